//! Whole models against PyTorch in float64: logits, and gradients of logits with respect to the image and inner values.
#![allow(clippy::unwrap_used, reason = "a test")]

use candor::engine::{Engine, Folding, RTen};
use candor::model::{Model, ModelOptions};
use candor_graph::builder::Builder;
use candor_graph::grad::gradients;
use candor_graph::graph::Graph;
use candor_graph::rewrite;
use candor_graph::tensor::{DataType, Tensor};
use candor_testing::{SCENES, model_file, noise, noise_image};
use serde_json::Value;

/// Runs a graph on the embedded engine, after the passes that every model goes through.
fn run(graph: &Graph, inputs: &[&Tensor]) -> Vec<Tensor> {
    let engine = RTen::new(2);
    let mut graph = graph.clone();
    rewrite::standard(&mut graph, &Folding(&engine)).unwrap();
    engine.compile(&graph).unwrap().run(inputs).unwrap()
}

fn floats(v: &Value) -> Vec<f64> {
    v.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

/// Relative L2 error.
fn relative(got: impl Iterator<Item = f64>, want: &[f64]) -> f64 {
    let (mut error, mut norm) = (0.0, 0.0);
    for (g, w) in got.zip(want) {
        error += (g - w).powi(2);
        norm += w * w;
    }
    if norm == 0.0 { error.sqrt() } else { (error / norm).sqrt() }
}

/// Prints and checks the golden of a model.
fn check(name: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/models");
    let text = std::fs::read_to_string(path.join(format!("{name}.json"))).unwrap();
    let golden: Value = serde_json::from_str(&text).unwrap();
    let model = Model::load(&model_file(name), &ModelOptions::default(), Box::new(RTen::new(2))).unwrap();
    assert_eq!(model.info.sha256, golden["sha256"].as_str().unwrap(), "{name}: another file");
    let image = noise_image(model.input_shape.iter().product(), &golden["input"]);
    let image = Tensor::floats(&model.batch_shape(1), image).unwrap();
    let mut worst: f64 = 0.0;
    for entry in golden["gradients"].as_array().unwrap() {
        let value = entry["value"].as_str().unwrap();
        let class = entry["class"].as_u64().unwrap() as usize;
        let builder = Builder::new(model.graph.clone());
        let shape = builder.value(model.logits).shape().unwrap();
        let seed = builder.input("seed", DataType::Float, &shape).id();
        let wrt = builder.with(|g| g.find(value)).unwrap_or_else(|| panic!("{name}: no value '{value}'"));
        let graph = builder.finish().unwrap();
        let (mut graph, found) = gradients(graph, &[(model.logits, seed)], &[wrt]).unwrap();
        graph.outputs = vec![model.logits, found[0]];
        let mut seed = vec![0.0; model.classes];
        seed[class] = 1.0;
        let seed = Tensor::floats(&[1, model.classes], seed).unwrap();
        let out = run(&graph, &[&image, &seed]);
        let wide = |t: &Tensor| t.as_floats().unwrap().iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        let (logits, gradient) = (wide(&out[0]), wide(&out[1]));
        let error = relative(logits.iter().copied(), &floats(&golden["logits"]));
        assert!(error < 1e-5, "{name}: logits differ by {error:.1e}");

        let norm = entry["norm"].as_f64().unwrap();
        let got = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        if norm == 0.0 {
            assert_eq!(got, 0.0, "{name}: d logit {class} / d {value} must vanish");
            continue;
        }
        let stride = entry["stride"].as_u64().unwrap() as usize;
        let samples = floats(&entry["samples"]);
        let error = relative(gradient.iter().copied().step_by(stride), &samples);
        let projections: Vec<f64> = golden["directions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|d| gradient.iter().enumerate().map(|(i, g)| g * noise(i as u64, d)).sum())
            .collect();
        let spread = norm * (gradient.len() as f64).sqrt().recip().max(1.0);
        let off = projections
            .iter()
            .zip(floats(&entry["projections"]))
            .map(|(a, b)| (a - b).abs() / spread)
            .fold((got - norm).abs() / norm, f64::max);
        // The project's tolerance, or three times the float32 error of PyTorch itself if that is more (a kink).
        let tolerance = f64::max(1e-4, 3.0 * entry["torch_float32_relative_error"].as_f64().unwrap());
        println!("{name}: d logit {class} / d {value}: samples {error:.1e}, norm and projections {off:.1e}");
        assert!(
            error <= tolerance && off <= tolerance,
            "{name}: d logit {class} / d {value}: {error:.1e}, {off:.1e}"
        );
        worst = worst.max(error).max(off);
    }
    println!("{name}: worst {worst:.1e}");
}

#[test]
fn gradients_of_the_embedded_model_agree_with_pytorch() {
    check(SCENES);
}

#[test]
#[ignore = "needs real models and photos: CANDOR_DATA"]
fn gradients_of_real_models_agree_with_pytorch() {
    let goldens = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/models");
    let mut files: Vec<_> = std::fs::read_dir(goldens).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 1);
    for file in files {
        let name = file.file_stem().unwrap().to_str().unwrap();
        if name != SCENES {
            check(name);
        }
    }
}

#[test]
#[ignore = "needs real models and photos: CANDOR_DATA"]
fn a_saved_model_loads_as_the_same_model() {
    let data = candor_testing::data_dir();
    let path = data.join("models/cifar10_resnet20.onnx");
    let model = Model::load(&path, &ModelOptions::default(), Box::new(RTen::new(1))).unwrap();
    let bytes = candor_graph::onnx::to_bytes(&model.graph).unwrap();
    let again = Model::from_bytes("again", &bytes, &ModelOptions::default(), Box::new(RTen::new(1))).unwrap();
    assert_eq!(model.graph.nodes.len(), again.graph.nodes.len());
    let image = Tensor::full(&model.batch_shape(1), 0.25);
    let run = |m: &Model| m.engine.compile(&m.graph).unwrap().run(&[&image]).unwrap();
    assert_eq!(run(&model), run(&again));
}
