//! The methods that a benchmark is asked for, with their settings.

use anyhow::Result;
use candor::methods::{self, Choices, Definition};
use candor::parameters::name_and_settings;
use candor_eval::bench::Contender;
use candor_eval::check::Subject;

use crate::arguments::DatasetArgs;
use crate::commands::check::for_method;
use crate::setup::{self, Usage};
use crate::stoppable::stoppable;

/// Methods measured unless others are named: those of at most this many passes a map.
const MOST_PASSES: u64 = 200;
/// Always measured: where photographers put what they show.
const CENTRE: &str = "centre";

/// A method as asked for: `NAME`, or `NAME+KEY=VALUE+…` where one method runs with several settings.
pub struct Asked {
    name: String,
    method: Box<dyn Definition>,
    set: Vec<(String, String)>,
}

/// The methods asked for, the centre always among them.
pub fn methods(args: &DatasetArgs) -> Result<Vec<Asked>> {
    let mut names: Vec<String> = args.methods.clone();
    if names.is_empty() {
        let all = methods::all().into_iter().map(|m| m.description());
        names = all.filter(|d| d.cost.passes() <= MOST_PASSES).map(|d| d.name.to_string()).collect();
    }
    if !names.iter().any(|n| n == CENTRE) {
        names.push(CENTRE.to_string());
    }
    if let Some((unknown, n)) = args.fewer.iter().find(|(name, _)| !names.contains(name)) {
        return Err(Usage(format!(
            "--fewer {unknown}={n}: '{unknown}' is not among the methods measured: {}",
            names.join(", ")
        ))
        .into());
    }
    names.into_iter().map(|name| asked(name, &args.set)).collect()
}

fn asked(name: String, set: &[(String, String)]) -> Result<Asked> {
    let (method, own) = name_and_settings(&name).map_err(Usage)?;
    let method = setup::method(method).map(stoppable)?;
    let mut set = for_method(set, method.as_ref());
    set.retain(|(key, _)| own.iter().all(|(k, _)| k != key));
    set.extend(own);
    Ok(Asked { name, method, set })
}

impl Asked {
    /// As what the run takes, with `--fewer` for it.
    pub fn contender<'a>(&'a self, args: &DatasetArgs, choices: &'a Choices) -> Contender<'a> {
        let subject = Subject { method: self.method.as_ref(), set: &self.set, choices };
        let fewer = args.fewer.iter().find(|(name, _)| *name == self.name);
        Contender { name: &self.name, subject, most: fewer.map(|(_, n)| *n) }
    }
}
