//! All methods on a vision transformer (tools/goldens/transformer.py) and a residual network, and attention against PyTorch.
#![allow(clippy::unwrap_used, reason = "a test")]

use candor::engine::RTen;
use candor::error::one_line;
use candor::map::{Interpolation, Map};
use candor::methods::{self, Choices};
use candor::model::{Model, ModelOptions};
use candor::progress::Unwatched;
use candor::scores::argmax;
use candor_scenes::embedded;
use candor_testing::fixture;
use candor_testing::noise_image;
use serde_json::Value;

fn golden() -> Value {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/transformer.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn model() -> Model {
    let path = fixture!("transformer.onnx");
    Model::load(&path, &ModelOptions::default(), Box::new(RTen::new(2))).unwrap()
}

fn image(model: &Model, golden: &Value) -> Vec<f32> {
    noise_image(model.input_shape.iter().product(), &golden["input"])
}

/// The largest difference, relative to the larger map's largest value.
fn differ(a: &Map, b: &Map) -> f32 {
    let most = a.data.iter().zip(&b.data).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    most / a.max().max(b.max())
}

#[test]
fn attention_is_followed_as_the_papers_say() {
    let (golden, model) = (golden(), model());
    let image = image(&model, &golden);
    let classes: Vec<usize> =
        golden["queries"].as_array().unwrap().iter().map(|q| q["class"].as_u64().unwrap() as usize).collect();
    for (name, key) in
        [("attention-rollout", "rollout"), ("gradient-weighted-attention", "gradient_weighted")]
    {
        let method = methods::find(name).unwrap();
        let (mut e, _) = methods::prepare(&model, method.as_ref(), &[], &Choices::default()).unwrap();
        let scores = e.scores(&model, &image).unwrap();
        for (got, want) in scores.iter().zip(golden["logits"].as_array().unwrap()) {
            assert!((f64::from(*got) - want.as_f64().unwrap()).abs() < 1e-4);
        }
        let found = e.explain(&model, &classes, &mut Unwatched).unwrap();
        for (found, query) in found.iter().zip(golden["queries"].as_array().unwrap()) {
            let data = query[key].as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect();
            let side = golden["grid"].as_u64().unwrap() as usize;
            let grid = Map { height: side, width: side, data };
            let want = grid.resize(found.map.height, found.map.width, Interpolation::Bilinear);
            let off = differ(&found.map, &want);
            assert!(off < 1e-4, "{name}, class {}: {off:.1e}", query["class"]);
        }
    }
}

/// Runs every method on an image, two classes each. Returns the methods that are not defined for the model.
fn refused(model: &Model, image: &[f32]) -> Vec<&'static str> {
    let mut refused = vec![];
    for method in methods::all() {
        let name = method.description().name;
        let cheap: &[(&str, &str)] = match name {
            // An untrained network has no evidence: masks are learned and shown nevertheless.
            "reliable" => &[("iterations", "3"), ("exact", "false"), ("weak", "true")],
            "evidence-scaled" => &[("evidence", "photo")],
            "meaningful-perturbation" => &[("iterations", "3")],
            "extremal-perturbation" => &[("iterations", "3"), ("area", "0.2")],
            "rise" => &[("masks", "20")],
            "lime" | "kernel-shap" => &[("samples", "60"), ("segments", "8")],
            "expected-gradients" | "smoothgrad" => &[("samples", "5")],
            _ => &[],
        };
        let set: Vec<_> = cheap.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        match methods::prepare(model, method.as_ref(), &set, &Choices::default()) {
            Ok((mut e, _)) => {
                let scores = e.scores(model, image).unwrap();
                let classes = [argmax(&scores), 1];
                let found = e.explain(model, &classes, &mut Unwatched).unwrap();
                assert!(found.iter().flat_map(|e| &e.map.data).all(|v| v.is_finite()), "{name}");
                assert!(found[0].map.data.iter().any(|&v| v != 0.0), "{name}: the answer's map is empty");
            }
            Err(e) => {
                let line = one_line(&e);
                assert!(!line.contains('\n') && line.len() > 30, "{name}: {line}");
                println!("{line}");
                refused.push(name);
            }
        }
    }
    refused
}

#[test]
fn every_method_runs_on_a_transformer_or_says_in_a_line_why_not() {
    let (golden, model) = (golden(), model());
    let undefined = [
        "deconvnet",
        "guided-backprop",
        "guided-grad-cam",
        "lrp",
        "excitation-backprop",
        "contrastive-excitation-backprop",
        "deeplift",
    ];
    assert_eq!(refused(&model, &image(&model, &golden)), undefined);
}

#[test]
#[ignore = "needs real models and photos: CANDOR_DATA"]
fn every_method_runs_on_a_residual_network() {
    let data = candor_testing::data_dir();
    let path = data.join("models/cifar10_resnet20.onnx");
    let model = Model::load(&path, &ModelOptions::default(), Box::new(RTen::new(2))).unwrap();
    let attention = ["attention-rollout", "gradient-weighted-attention"];
    assert_eq!(refused(&model, &image(&model, &golden())), attention);
}

#[test]
fn attention_of_a_convolutional_network_is_refused_in_a_line() {
    let options = ModelOptions::default();
    let model = Model::from_bytes("scenes.onnx", embedded::MODEL, &options, Box::new(RTen::new(2))).unwrap();
    let method = methods::find("attention-rollout").unwrap();
    let refused =
        one_line(&methods::prepare(&model, method.as_ref(), &[], &Choices::default()).err().unwrap());
    assert!(refused.contains("transformers") && !refused.contains('\n'), "{refused}");
}
