//! ONNX Runtime against RTen: scores, masks and gradients of the same models.
//!
//! Skipped where no library is found; with `CANDOR_REQUIRE_ONNXRUNTIME=1` that is a failure.
#![cfg(feature = "onnxruntime")]
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use candor::engine::{Device, Engine, OnnxRuntime, RTen};
use candor::mask::learn::{Learner, Passes};
use candor::mask::{Settings, automatic_levels};
use candor::methods::{Choices, find, parameters::Parameters};
use candor::model::{Model, ModelOptions};
use candor::scenes::embedded;

const TOLERANCE: f32 = 1e-4;

fn onnx_runtime() -> Option<Box<dyn Engine>> {
    match OnnxRuntime::new(None, 2, Device::Cpu) {
        Ok(engine) => Some(Box::new(engine)),
        Err(e) => {
            let required = std::env::var_os("CANDOR_REQUIRE_ONNXRUNTIME").is_some_and(|v| v == "1");
            assert!(!required, "{e}");
            println!("skipped: {e}");
            None
        }
    }
}

fn image(model: &Model) -> Vec<f32> {
    let [_, height, width] = model.input_shape;
    let value = |i: usize| {
        let (c, y, x) = (i / (height * width), i / width % height, i % width);
        ((x as f32 * 0.11 + c as f32).sin() + (y as f32 * 0.07 - c as f32).cos()) / 2.0
    };
    (0..model.input_shape.iter().product()).map(value).collect()
}

fn assert_near(what: &str, a: &[f32], b: &[f32]) {
    assert_eq!(a.len(), b.len(), "{what}");
    let scale = b.iter().fold(0.0f32, |m, v| m.max(v.abs())).max(1.0);
    let most = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(most <= TOLERANCE * scale, "{what}: differ by {most}, largest value {scale}");
}

/// Scores, the masks of two classes after `iterations`, and the gradient of the answer.
fn work(model: &Model, iterations: usize) -> Vec<(String, Vec<f32>)> {
    let image = image(model);
    let settings = Settings { iterations, exact: false, ..Settings::default() };
    let mut learner = Learner::new(model, automatic_levels(model).unwrap(), settings).unwrap();
    let mut passes = Passes::default();
    let prepared = learner.prepare(model, &image, &mut passes).unwrap();
    let top = candor::mask::learn::argmax(&prepared.reference);
    let classes = [top, (top + 1) % model.classes];
    let learned = learner.learn(model, &prepared, &classes, &mut passes, &mut || {}).unwrap();
    let mut found = vec![("scores".to_string(), prepared.reference)];
    for (query, learned) in learned.into_iter().enumerate() {
        for (level, mask) in learned.masks.into_iter().enumerate() {
            found.push((format!("query {query}, level {level}"), mask));
        }
    }
    let method = find("gradient").unwrap();
    let described = method.description();
    let mut parameters = Parameters::new(described.name, described.parameters, &[]).unwrap();
    let mut gradient = method.prepare(model, &mut parameters, &Choices::default()).unwrap();
    gradient.scores(model, &image).unwrap();
    found.push((
        "gradient".to_string(),
        gradient.explain(model, &[top], &mut || {}).unwrap().remove(0).map.data,
    ));
    found
}

fn agree(name: &str, load: impl Fn(Box<dyn Engine>) -> Model, iterations: usize) {
    let Some(engine) = onnx_runtime() else { return };
    let (ours, theirs) = (load(Box::new(RTen::new(2))), load(engine));
    for ((what, a), (_, b)) in work(&theirs, iterations).iter().zip(work(&ours, iterations)) {
        assert_near(&format!("{name}: {what}"), a, &b);
    }
}

#[test]
fn the_embedded_model() {
    let load = |e| Model::from_bytes("embedded", embedded::MODEL, &ModelOptions::default(), e).unwrap();
    agree("embedded", load, 60);
}

#[test]
fn real_models() {
    let Some(data) = support::data_dir() else { return };
    for (name, iterations) in
        [("cifar10_resnet20", 60), ("mobilenet_v2_1.0_224", 5), ("squeezenet1_0_deepcompressed", 5)]
    {
        let path = data.join(format!("models/{name}.onnx"));
        agree(name, |e| Model::load(&path, &ModelOptions::default(), e).unwrap(), iterations);
    }
}

#[test]
fn a_library_that_is_none_is_one_line() {
    // In a process of its own: this one keeps the first library it loads.
    if std::env::var_os("CANDOR_TEST_BAD_LIBRARY").is_some() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = OnnxRuntime::new(Some(file.path()), 1, Device::Cpu).err().unwrap().to_string();
        assert!(error.contains("is not a library of ONNX Runtime") && !error.contains('\n'), "{error}");
        return;
    }
    let mut again = std::process::Command::new(std::env::current_exe().unwrap());
    again.args(["a_library_that_is_none_is_one_line", "--exact"]).env("CANDOR_TEST_BAD_LIBRARY", "1");
    assert!(again.output().unwrap().status.success());
}

#[test]
fn a_device_that_the_library_lacks_is_an_error() {
    if onnx_runtime().is_none() {
        return;
    }
    let engine = OnnxRuntime::new(None, 1, Device::CoreMl).unwrap();
    let model = Model::from_bytes("embedded", embedded::MODEL, &ModelOptions::default(), Box::new(engine));
    if cfg!(target_os = "linux") {
        let error = model.err().unwrap().to_string();
        assert!(!error.contains('\n') && error.to_lowercase().contains("coreml"), "{error}");
    }
}
