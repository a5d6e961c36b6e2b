//! `candor demo`: the main job on the embedded model and pictures.

use std::process::ExitCode;

use anyhow::Result;
use candor::explain::ClassQuery;
use candor::image::Preset;
use candor::labels::Labels;
use candor::methods;
use candor::model::{Model, ModelOptions};
use candor::sidecar::Sidecar;
use candor_scenes::embedded;

use super::explain::{Photo, Source, explain_all, finish, prepare};
use crate::arguments::DemoArgs;
use crate::setup::{self, Setup, Usage};

pub fn run(args: &DemoArgs) -> Result<ExitCode> {
    let method = methods::find(&args.method.chosen.method).map_err(|e| Usage(e.to_string()))?;
    let options = ModelOptions::default();
    let model =
        Model::from_bytes("scenes.onnx (embedded)", embedded::MODEL, &options, setup::engine(&args.engine)?)?;
    let size = embedded::INPUT_SIZE as usize;
    let setup = Setup {
        model,
        preprocessing: Preset::Inception.preprocessing(size, size),
        labels: Labels::new(embedded::LABELS.lines().map(str::to_string).collect()),
        sidecar: Sidecar { lambda: Some(embedded::LAMBDA), ..Sidecar::default() },
        sidecar_path: Default::default(),
        notes: vec![],
    };
    let explain = prepare(setup, method.as_ref(), &args.method)?;
    let photos = embedded::DEMO_SCENES
        .iter()
        .map(|s| Photo { name: s.name.to_string(), source: Source::Bytes(s.png) })
        .collect();
    // The answer, the runner-up, and a class that the network is surest is not there.
    let queries = [ClassQuery::Rank(1), ClassQuery::Rank(2), ClassQuery::Lowest];
    let result = explain_all(explain, photos, &queries, args.method.seed, &args.out)?;
    finish(&result, args.json, &args.out)
}
