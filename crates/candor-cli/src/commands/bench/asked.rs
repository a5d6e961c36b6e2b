//! The methods that a benchmark is asked for, with their settings.

use anyhow::Result;
use candor::methods::{self, Choices, Method};
use candor::parameters::name_and_settings;
use candor_eval::bench::Contender;
use candor_eval::check::Subject;

use crate::arguments::DatasetArgs;
use crate::commands::check::for_method;
use crate::setup::Usage;

/// Methods measured unless others are named: those of at most 200 passes a map, and the null methods.
const DEFAULT: [&str; 22] = [
    "reliable",
    "gradient",
    "gradient-times-input",
    "deconvnet",
    "guided-backprop",
    "smoothgrad",
    "integrated-gradients",
    "grad-cam",
    "grad-cam++",
    "xgrad-cam",
    "hires-cam",
    "layer-cam",
    "eigen-cam",
    "guided-grad-cam",
    "fullgrad",
    "lrp",
    "excitation-backprop",
    "contrastive-excitation-backprop",
    "deeplift",
    "evident",
    "random",
    "edges",
];
/// Always measured: where photographers put what they show.
const CENTRE: &str = "centre";

/// A method as asked for: `NAME`, or `NAME+KEY=VALUE+…` where one method runs with several settings.
pub struct Asked {
    name: String,
    method: Box<dyn Method>,
    set: Vec<(String, String)>,
}

/// The methods asked for, the centre always among them.
pub fn methods(args: &DatasetArgs) -> Result<Vec<Asked>> {
    let mut names: Vec<String> = args.methods.clone();
    if names.is_empty() {
        names = DEFAULT.map(String::from).to_vec();
    }
    if !names.iter().any(|n| n == CENTRE) {
        names.push(CENTRE.to_string());
    }
    names.into_iter().map(|name| asked(name, &args.set)).collect()
}

fn asked(name: String, set: &[(String, String)]) -> Result<Asked> {
    let (method, own) = name_and_settings(&name).map_err(Usage)?;
    let method = methods::find(method).map_err(|e| Usage(e.to_string()))?;
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
