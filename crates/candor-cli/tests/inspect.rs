//! `candor inspect` as a user runs it: operators and their gradients, levels and why, for a network of stages, a transformer,
//! and models with operators that have no gradient.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use candor_graph::builder::{Builder, Expr};
use candor_graph::graph::{Attr, Graph};
use candor_graph::onnx;
use candor_graph::shape::Dim;
use candor_graph::tensor::{DataType, Tensor};
use candor_scenes::embedded;
use serde_json::Value;

fn inspect(model: &Path, args: &[&str]) -> Output {
    Command::cargo_bin("candor").unwrap().arg("inspect").arg(model).args(args).output().unwrap()
}

fn text(model: &Path) -> String {
    let done = inspect(model, &[]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

fn json(model: &Path) -> Value {
    let done = inspect(model, &["--json"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).unwrap()
}

/// Shapes and reasons of the feature maps that are masked, or of those that are not.
fn maps(found: &Value, masked: bool) -> Vec<(Vec<u64>, String)> {
    let maps = found["feature_maps"].as_array().unwrap().iter().filter(|m| m["masked"] == masked);
    let numbers = |v: &Value| v.as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect();
    maps.map(|m| (numbers(&m["shape"]), m["why"].as_str().unwrap().to_string())).collect()
}

/// A small classifier whose second layer `middle` builds from the first.
fn model(path: &Path, middle: impl for<'b> Fn(&'b Builder, Expr<'b>) -> Expr<'b>) {
    let builder = Builder::new(Graph::new(18));
    let sizes = [Dim::Batch(1), Dim::Fixed(3), Dim::Fixed(8), Dim::Fixed(8)];
    let image = builder.input("image", DataType::Float, &sizes);
    let kernel = builder.constant(Tensor::full(&[4, 3, 3, 3], 0.1));
    let first = image.op("Conv", &[kernel], &[("kernel_shape", Attr::Ints(vec![3, 3]))]);
    let pooled = middle(&builder, first).op("GlobalAveragePool", &[], &[]).op("Flatten", &[], &[]);
    let matrix = builder.constant(Tensor::full(&[4, 5], 0.1));
    let logits = pooled.op("Gemm", &[matrix], &[]).id();
    let mut graph = builder.finish().unwrap();
    graph.outputs = vec![logits];
    graph.domains.insert("my.domain".into(), 1);
    fs::write(path, onnx::to_bytes(&graph).unwrap()).unwrap();
}

#[test]
fn a_network_of_stages_is_masked_at_the_last_map_of_each_size() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.onnx");
    fs::write(&path, embedded::MODEL).unwrap();
    let found = json(&path);
    for operator in found["operators"].as_array().unwrap() {
        assert_eq!(operator["gradient"], "rule", "{operator}");
    }
    let masked = maps(&found, true);
    assert!(masked.len() > 1 && masked.windows(2).all(|w| w[0].0[1] > w[1].0[1]), "{masked:?}");
    assert!(
        masked.iter().all(|(_, why)| why == "the last of its size on every path to the logits"),
        "{masked:?}"
    );
    let levels: Vec<&Value> = found["levels"].as_array().unwrap().iter().map(|l| &l["value"]).collect();
    assert_eq!(levels.len(), masked.len());
    let others = maps(&found, false);
    assert!(others.iter().any(|(_, why)| why == "a later feature map has the same size"), "{others:?}");
    let text = text(&path);
    for level in levels {
        assert!(text.contains(level.as_str().unwrap()), "{text}");
    }
    assert!(text.contains("the last of its size on every path to the logits"), "{text}");
}

#[test]
fn a_transformer_is_masked_on_its_residual_stream() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../candor/tests/data/transformer.onnx");
    let found = json(&path);
    let masked = maps(&found, true);
    assert_eq!(masked.len(), 4, "{masked:?}");
    for (k, (shape, why)) in masked.iter().enumerate() {
        assert_eq!(shape[1..], masked[0].0[1..], "one size");
        assert!(
            why.starts_with("residual sum ") && why.ends_with(&format!("{}/4 of the depth", k + 1)),
            "{why}"
        );
    }
}

#[test]
fn an_operator_without_a_rule_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.onnx");
    model(&path, |_, x| x.op("Atan", &[], &[]).op("Relu", &[], &[]));
    let found = json(&path);
    let gradient = |op: &str| {
        let operators = found["operators"].as_array().unwrap();
        operators.iter().find(|o| o["operator"] == op).unwrap_or_else(|| panic!("{op}: {found}"))["gradient"]
            .clone()
    };
    assert_eq!(gradient("Atan"), "no rule");
    assert_eq!(gradient("Relu"), "rule");
}

#[test]
fn a_model_that_is_not_understood_still_lists_its_operators() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.onnx");
    model(&path, |b, x| {
        let y = x.op("Mystery", &[], &[]);
        b.with_mut(|g| g.nodes.last_mut().unwrap().domain = "my.domain".into());
        y.op("Relu", &[], &[])
    });
    let done = inspect(&path, &[]);
    let (out, error) = (String::from_utf8(done.stdout).unwrap(), String::from_utf8(done.stderr).unwrap());
    assert_eq!(done.status.code(), Some(1), "{out}{error}");
    assert_eq!(error.trim_end().lines().count(), 1, "{error}");
    assert!(error.contains("Mystery"), "{error}");
    let line = |op: &str| out.lines().find(|l| l.contains(op)).unwrap_or_else(|| panic!("{op}: {out}"));
    assert!(line("my.domain.Mystery").ends_with("no rule") && line("Relu").ends_with("rule"), "{out}");
}
