//! ONNX Runtime against RTen: scores, masks and gradients of the same models.
//!
//! Skipped where no library is found; with `CANDOR_REQUIRE_ONNXRUNTIME=1` that is a failure.
#![cfg(feature = "onnxruntime")]
#![allow(clippy::unwrap_used, reason = "a test")]

use candor::engine::{Device, Engine, OnnxRuntime, RTen};
use candor::image::Preset;
use candor::map::{Interpolation, Map};
use candor::mask::adam::BETA_2;
use candor::mask::learn::{Learned, Learner};
use candor::mask::{Level, Settings, automatic_levels, fuse};
use candor::methods::{Choices, find, prepare};
use candor::model::{Model, ModelOptions};
use candor::progress::Unwatched;
use candor_graph::builder::Builder;
use candor_graph::graph::Graph;
use candor_graph::shape::Dim;
use candor_graph::tensor::{DataType, Tensor};
use candor_scenes::embedded;
use candor_testing::noise_image;

const TOLERANCE: f32 = 1e-4;
/// Two units in the last place: about the smallest change of an input.
const NUDGE: f32 = 2.0 * f32::EPSILON;
/// The difference between two engines may be this many times the effect of a nudged input on one of them.
const ROUNDING: f32 = 4.0;

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

/// A demo scene with one object.
fn scene() -> Vec<f32> {
    let size = embedded::INPUT_SIZE as usize;
    let scene = image::load_from_memory(embedded::DEMO_SCENES[0].png).unwrap().to_rgb8();
    Preset::Inception.preprocessing(size, size).apply(&scene)
}

/// The golden's input of a real model, chosen away from kinks, at which rounding would change a gradient.
fn golden_input(model: &Model, name: &str) -> Vec<f32> {
    let path = format!("{}/tests/golden/models/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let golden: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    noise_image(model.input_shape.iter().product(), &golden["input"])
}

fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |m, v| m.max(v.abs()))
}

fn assert_near(what: &str, a: &[f32], b: &[f32], rounding: f32) {
    let (most, scale) = (difference(a, b), largest(b).max(1.0));
    assert!(
        most <= (TOLERANCE * scale).max(ROUNDING * rounding),
        "{what}: differ by {most}, largest value {scale}; a nudged input changes {rounding}"
    );
}

/// Scores, the maps of two classes after `iterations`, and the gradient of the answer. Maps, since single mask entries may
/// jump: Adam turns a gradient near zero, which is rounding noise, into a full step.
fn work(model: &Model, image: &[f32], iterations: usize) -> Vec<(String, Vec<f32>)> {
    // The search of the whole photo, since the default one returns the sparsest of the masks that keep enough, and rounding may decide
    // which. With the usual β₂ a mask moves smoothly with its gradient; with the default, rounding of a small gradient moves it farther,
    // and the test would compare Adam.
    let settings = Settings { iterations, exact: false, beta_2: BETA_2, ..Settings::of_photo() };
    let mut learner = Learner::new(model, automatic_levels(model).unwrap(), settings).unwrap();
    let prepared = learner.prepare(model, image).unwrap();
    let top = candor::scores::argmax(&prepared.reference);
    let classes = [top, (top + 1) % model.classes];
    let learned = learner.learn(model, &prepared, &classes, &mut Unwatched).unwrap();
    let mut found = vec![("scores".to_string(), prepared.reference)];
    let means = |l: &Learned| -> Vec<Map> {
        let mean = |(mask, level): (&Vec<f32>, &Level)| {
            let [_, h, w] = level.shape;
            fuse::channel_mean(mask, [1, h, w])
        };
        l.masks.iter().zip(&learner.levels).map(mean).collect()
    };
    let scales: Vec<f32> = means(&learned[0]).iter().map(Map::max).collect();
    let [_, height, width] = model.input_shape;
    for (query, l) in learned.iter().enumerate() {
        let map = fuse::Fusion::Mean.fuse(&means(l), &scales, [height, width], Interpolation::Bilinear);
        found.push((format!("map of query {query}"), map.data));
    }
    let gradient = find("gradient").unwrap();
    let (mut gradient, _) = prepare(model, gradient.as_ref(), &[], &Choices::default()).unwrap();
    gradient.scores(model, image).unwrap();
    found.push((
        "gradient".to_string(),
        gradient.explain(model, &[top], &mut Unwatched).unwrap().remove(0).map.data,
    ));
    found
}

fn agree(
    name: &str,
    load: impl Fn(Box<dyn Engine>) -> Model,
    image: impl Fn(&Model) -> Vec<f32>,
    iterations: usize,
) {
    let Some(engine) = onnx_runtime() else { return };
    let (ours, theirs) = (load(Box::new(RTen::new(2))), load(engine));
    let image = image(&ours);
    let sign = |i: usize| if i.is_multiple_of(2) { 1.0 } else { -1.0 };
    let nudged: Vec<f32> = image.iter().enumerate().map(|(i, v)| v * (1.0 + sign(i) * NUDGE)).collect();
    let [theirs, ours, nudged] = [(&theirs, &image), (&ours, &image), (&ours, &nudged)]
        .map(|(model, image)| work(model, image, iterations));
    let (mut theirs, mut nudged) = (theirs.into_iter(), nudged.into_iter());
    for (what, own) in ours {
        let ((_, other), (_, nudged)) = (theirs.next().unwrap(), nudged.next().unwrap());
        // The map of the answer must not be empty, so that there is something to compare.
        assert!(what != "map of query 0" || largest(&own) > 0.1, "{name}: the map is empty");
        assert_near(&format!("{name}: {what}"), &other, &own, difference(&nudged, &own));
    }
}

#[test]
fn the_embedded_model() {
    let load = |e| Model::from_bytes("embedded", embedded::MODEL, &ModelOptions::default(), e).unwrap();
    agree("embedded", load, |_| scene(), 60);
}

#[test]
fn a_session_that_expects_a_batch_still_runs_others() {
    let Some(engine) = onnx_runtime() else { return };
    let model = Model::from_bytes("embedded", embedded::MODEL, &ModelOptions::default(), engine).unwrap();
    let mut graph = model.graph.clone();
    let inner = graph.nodes[graph.nodes.len() / 2].output();
    graph.outputs = vec![model.logits, inner];
    let mut session = model.engine.compile(&graph).unwrap();
    let image = scene();
    let mut run = |expected: Option<usize>, batch: usize, outputs: usize| {
        if let Some(expected) = expected {
            session.expect_batch(expected);
        }
        let images = Tensor::floats(&model.batch_shape(batch), image.repeat(batch)).unwrap();
        let out = session.run_first(&[&images], outputs).unwrap();
        assert_eq!(out.len(), outputs);
        assert_eq!(out[0].shape(), [batch, model.classes]);
        out[0].as_floats().unwrap()[(batch - 1) * model.classes..].to_vec()
    };
    let first = run(None, 1, 2);
    for (expected, batch, outputs) in
        [(Some(2), 2, 2), (None, 3, 2), (None, 2, 1), (Some(3), 2, 2), (None, 3, 1)]
    {
        let what = format!("{batch} images where {expected:?} are expected, {outputs} outputs");
        assert_near(&what, &run(expected, batch, outputs), &first, 0.0);
    }
}

#[test]
fn a_loop_carries_what_it_wrote_and_keeps_what_it_holds() {
    let Some(engine) = onnx_runtime() else { return };
    let builder = Builder::new(Graph::new(18));
    let row = [Dim::Batch(1), Dim::Fixed(2)];
    let by = builder.input("by", DataType::Float, &[]);
    let [one, two, constants] =
        ["one", "two", "constants"].map(|name| builder.input(name, DataType::Float, &row));
    // Each output is the other's input: a run that overwrites what it reads gives another result.
    let outputs = vec![(one + two).id(), (two * by + constants).id(), (one - constants).id()];
    let mut graph = builder.finish().unwrap();
    graph.outputs = outputs;
    let tensor = |v: f32, batch: usize| Tensor::floats(&[batch, 2], vec![v; 2 * batch]).unwrap();
    for engine in [engine, Box::new(RTen::new(1))] {
        let mut session = engine.compile(&graph).unwrap();
        session.expect_batch(2);
        for (batch, start, hold) in [(2, 1.0, 3.0), (1, 2.0, 5.0)] {
            let constants = tensor(hold, batch);
            let state = vec![tensor(start, batch), tensor(10.0 * start, batch)];
            let mut loop_state = session.start_loop(state, vec![&constants]).unwrap();
            let (mut one, mut two) = (start, 10.0 * start);
            for step in 0..7_u8 {
                let (by, back) = (f32::from(step) - 2.0, step % 3 == 1);
                let by_tensor = Tensor::floats(&[], vec![by]).unwrap();
                let found = session.step_loop(&mut loop_state, &[&by_tensor], back).unwrap();
                let sum = one + two;
                (one, two) = (two * by + hold, one - hold);
                let want = if back { vec![sum, one, two] } else { vec![sum] };
                let found: Vec<_> = found.iter().map(|t| t.as_floats().unwrap().to_vec()).collect();
                assert_eq!(
                    found,
                    want.iter().map(|&v| vec![v; 2 * batch]).collect::<Vec<_>>(),
                    "step {step}"
                );
            }
        }
    }
}

#[test]
#[ignore = "needs real models and photos: CANDOR_DATA"]
fn real_models() {
    let data = candor_testing::data_dir();
    // Later some single mask entry jumps: Adam takes a full step for a gradient near zero, in the direction that rounding gives it.
    for (name, iterations) in
        [("cifar10_resnet20", 20), ("mobilenet_v2_1.0_224", 5), ("squeezenet1_0_deepcompressed", 5)]
    {
        let path = data.join(format!("models/{name}.onnx"));
        let load = |e| Model::load(&path, &ModelOptions::default(), e).unwrap();
        agree(name, load, |model| golden_input(model, name), iterations);
    }
}

#[test]
fn a_library_that_is_none_is_one_line() {
    // In its own process, since a process keeps the first library it loads.
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
        let error = candor::error::one_line(&model.err().unwrap());
        assert!(!error.contains('\n') && error.to_lowercase().contains("coreml"), "{error}");
    }
}
