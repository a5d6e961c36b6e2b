//! The methods requested for a benchmark.

use anyhow::Result;
use candor::methods::{self, Choices};
use candor_eval::bench::Contender;
use candor_eval::check::Subject;

use crate::arguments::DatasetArgs;
use crate::chosen::{Chosen, methods_with_settings};
use crate::usage::Usage;

/// Methods measured by default: those with at most this many passes per map.
const MOST_PASSES: u64 = 200;
/// Always measured: a map of the centre, where photographers place the subject.
const CENTRE: &str = "centre";

/// The requested methods, and always the centre.
pub fn methods(args: &DatasetArgs) -> Result<Vec<Chosen>> {
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
    let fewer: Vec<&str> = args.fewer.iter().map(|(name, _)| name.as_str()).collect();
    if let Some(i) = (1..fewer.len()).find(|&i| fewer[..i].contains(&fewer[i])) {
        return Err(Usage(format!("--fewer {}: it is given twice", fewer[i])).into());
    }
    methods_with_settings(&names, &args.set)
}

/// The method in the form that the run takes, with its limit from `--fewer`.
pub fn contender<'a>(chosen: &'a Chosen, args: &DatasetArgs, choices: &'a Choices) -> Contender<'a> {
    let subject = Subject { method: chosen.method.as_ref(), set: &chosen.set, choices };
    let fewer = args.fewer.iter().find(|(name, _)| *name == chosen.name);
    Contender { name: &chosen.name, subject, most: fewer.map(|(_, n)| *n) }
}
