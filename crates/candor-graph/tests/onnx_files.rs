//! Files of old operator sets and with external data against ONNX Runtime; a saved graph loads as the same graph.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::path::PathBuf;

use candor_engine::{Engine, Folding, RTen};
use candor_graph::onnx;
use candor_graph::rewrite;
use candor_graph::shape;
use candor_graph::tensor::Tensor;
use serde_json::Value;

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/onnx").join(name)
}

fn floats(v: &Value) -> Vec<f32> {
    v.as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect()
}

fn sizes(v: &Value) -> Vec<usize> {
    v.as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as usize).collect()
}

#[test]
fn every_file_answers_as_onnx_runtime_does() {
    let golden: Value = serde_json::from_slice(&std::fs::read(file("golden.json")).unwrap()).unwrap();
    let x = Tensor::floats(&sizes(&golden["shape"]), floats(&golden["input"])).unwrap();
    for (name, want) in golden["outputs"].as_object().unwrap() {
        if name == "looped_long" {
            continue; // refused: see below
        }
        let mut graph = onnx::load(&file(&format!("{name}.onnx"))).unwrap().graph;
        shape::infer(&mut graph).unwrap();
        rewrite::settle_shapes(&mut graph, &Folding(&RTen::new(1))).unwrap();
        assert!(graph.nodes.iter().all(|n| n.op != "If" && n.op != "Loop"), "{name}");
        // The saved file has the current form: it must give the same results.
        let mut again = onnx::load_bytes(&onnx::to_bytes(&graph).unwrap()).unwrap().graph;
        shape::infer(&mut again).unwrap();
        for graph in [graph, again] {
            let y = support::run(&graph, &[&x]).remove(0);
            assert_eq!(y.shape(), sizes(&want["shape"]), "{name}");
            for (i, (a, b)) in y.as_floats().unwrap().iter().zip(floats(&want["values"])).enumerate() {
                assert!((a - b).abs() <= 1e-6, "{name}, value {i}: {a} is not {b}");
            }
        }
    }
}

#[test]
fn a_graph_in_a_node_is_saved_as_it_was() {
    let golden: Value = serde_json::from_slice(&std::fs::read(file("golden.json")).unwrap()).unwrap();
    let x = Tensor::floats(&sizes(&golden["shape"]), floats(&golden["input"])).unwrap();
    for name in ["conditional", "looped", "looped_long"] {
        let graph = onnx::load(&file(&format!("{name}.onnx"))).unwrap().graph;
        assert!(graph.nodes.iter().any(|n| n.op == "If" || n.op == "Loop"));
        let again = onnx::load_bytes(&onnx::to_bytes(&graph).unwrap()).unwrap().graph;
        let want = floats(&golden["outputs"][name]["values"]);
        for graph in [graph, again] {
            let y = RTen::new(1).compile(&graph).unwrap().run(&[&x]).unwrap().remove(0);
            let off = y.as_floats().unwrap().iter().zip(&want).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
            let largest = want.iter().fold(1.0f32, |m, v| m.max(v.abs()));
            assert!(off <= 1e-6 * largest, "{name}: off by {off} of {largest}");
        }
    }
}

#[test]
fn a_loop_too_long_names_itself() {
    let mut graph = onnx::load(&file("looped_long.onnx")).unwrap().graph;
    shape::infer(&mut graph).unwrap();
    let error = rewrite::settle_shapes(&mut graph, &Folding(&RTen::new(1))).unwrap_err().to_string();
    assert_eq!(
        error,
        "node 'halve' (Loop): a loop of 100 turns; at most 64 are unrolled; unroll it when exporting"
    );
}
