//! The reliable mask against plain PyTorch in float64: losses, and the masks after ten steps.
#![allow(clippy::unwrap_used, reason = "a test")]

use candor::engine::RTen;
use candor::mask::Prepared;
use candor::mask::learn::Learner;
use candor::mask::{Settings, automatic_levels, named_levels};
use candor::model::{Model, ModelOptions};
use candor::passes::Passes;
use candor::progress::Unwatched;
use candor_testing::model_file;
use serde_json::Value;

/// `smooth_image` of tools/candor_tools/deterministic.py: amplitude · sin(2π(x + c)·3/W) · cos(2π(y − c)·2/H).
fn smooth_image([channels, height, width]: [usize; 3], amplitude: f64) -> Vec<f32> {
    let tau = std::f64::consts::TAU;
    let entry = |i: usize| {
        let (c, y, x) = ((i / (height * width)) as f64, (i / width % height) as f64, (i % width) as f64);
        let wave = (tau * (x + c) * 3.0 / width as f64).sin() * (tau * (y - c) * 2.0 / height as f64).cos();
        (amplitude * wave) as f32
    };
    (0..channels * height * width).map(entry).collect()
}

fn floats(v: &Value) -> Vec<f64> {
    v.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

#[test]
fn ten_steps_on_the_embedded_model_agree_with_pytorch() {
    agrees(include_str!("golden/mask_scenes.json"));
}

#[test]
#[ignore = "needs real models and photos: CANDOR_DATA"]
fn ten_steps_on_a_real_model_agree_with_pytorch() {
    agrees(include_str!("golden/mask_resnet20.json"));
    agrees(include_str!("golden/mask_resnet20_beta2_0.9.json"));
}

fn agrees(golden: &str) {
    let golden: Value = serde_json::from_str(golden).unwrap();
    let path = model_file(golden["model"].as_str().unwrap());
    let model = Model::load(&path, &ModelOptions::default(), Box::new(RTen::new(2))).unwrap();
    let names: Vec<String> = golden["levels"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| l["value"].as_str().unwrap().to_string())
        .collect();
    let levels = named_levels(&model, &names).unwrap();
    assert_eq!(automatic_levels(&model).unwrap(), levels, "the automatic levels are the golden's");
    let settings = Settings {
        lambda: Some(golden["lambda"].as_f64().unwrap() as f32),
        iterations: golden["iterations"].as_u64().unwrap() as usize,
        beta_2: golden["optimiser"]["beta2"].as_f64().unwrap() as f32,
        floor_at_chance: false,
        exact: false,
        ..Settings::of_photo()
    };
    let mut learner = Learner::new(&model, levels, settings).unwrap();
    let image = smooth_image(model.input_shape, golden["input"]["amplitude"].as_f64().unwrap());
    let prepared = learner.prepare(&model, &image).unwrap();
    let queries = golden["queries"].as_array().unwrap();
    let classes: Vec<usize> = queries.iter().map(|q| q["class"].as_u64().unwrap() as usize).collect();
    let learned = learner.learn(&model, &prepared, &classes, &mut Unwatched).unwrap();
    let mut passes = Prepared::PASSES;
    learned.iter().for_each(|l| passes += l.passes);
    for (query, learned) in queries.iter().zip(&learned) {
        let near = |got: f64, key: &str| {
            let want = query[key].as_f64().unwrap();
            assert!((got - want).abs() < 1e-4, "class {}: {key} {got} is not {want}", query["class"]);
        };
        near(learned.query.log_odds(&learned.query.reference), "log_odds");
        near(learned.null_log_odds, "null_log_odds");
        near(learned.query.target(), "target");
        let want = floats(&query["losses"]);
        assert_eq!(want.len(), learned.losses.len());
        for (got, want) in learned.losses.iter().zip(&want) {
            assert!((got - want).abs() <= 1e-4 * want, "class {}: loss {got} is not {want}", query["class"]);
        }
        // For a class with constant masks the golden has their ranges instead.
        for (l, want) in query["masks"].as_array().into_iter().flatten().enumerate() {
            let worst = learned.masks[l]
                .iter()
                .zip(floats(want))
                .map(|(&got, want)| (f64::from(got) - want).abs())
                .fold(0.0, f64::max);
            assert!(worst < 1e-4, "class {}: level {l} strays by {worst:.1e}", query["class"]);
        }
    }
    assert_eq!(
        passes,
        Passes { forward: 2 + 11 * queries.len() as u64, backward: 10 * queries.len() as u64 }
    );
}
