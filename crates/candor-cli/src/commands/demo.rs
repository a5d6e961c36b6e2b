//! `candor demo`: explains the embedded pictures with the embedded model.

use std::process::ExitCode;

use anyhow::Result;
use candor::Class;
use candor_report::folder::Inputs;
use candor_scenes::embedded;

use super::explain::{Job, Photo, Source, chosen, explain_all, files, finish};
use crate::arguments::DemoArgs;
use crate::folder;
use crate::setup;

pub fn run(args: &DemoArgs) -> Result<ExitCode> {
    let method = chosen(&args.method);
    setup::method(&method.name, &method.set)?;
    let folder = folder::open(&args.out, "demo", Inputs::default(), args.force, &files())?;
    let classifier = setup::embedded("scenes.onnx (embedded)", &args.engine)?;
    setup::choices(&classifier, &method.levels, method.seed)?;
    let explainer = classifier.explainer(&method)?;
    let photos = embedded::DEMO_SCENES
        .iter()
        .map(|s| Photo { name: s.name.to_string(), source: Source::Bytes(s.png) })
        .collect();
    // The answer, the runner-up, and the class with the lowest score.
    let classes = [Class::Top(1), Class::Top(2), Class::Lowest];
    let (seed, levels) = (args.method.seed, method.levels);
    let job = Job { classes: &classes, seed, levels, folder, force: args.force.force };
    let result = explain_all(vec![explainer], photos, job)?;
    finish(&result, &classifier.preprocessing, args.json, &args.out)
}
