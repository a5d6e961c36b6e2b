//! Lowered operators on the node tests of the `onnx` package; the expected numbers are from tools/goldens/nodes.py.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::path::Path;

use candor_engine::{Engine, Folding, RTen};
use candor_graph::rewrite::{LOWERINGS, standard};
use candor_graph::tensor::{Tensor, TensorData};
use candor_graph::{onnx, shape};
use candor_testing::noise;
use serde_json::Value;

/// Largest difference, in units of the output's largest value.
const TOLERANCE: f64 = 1e-5;

/// What Candor or the embedded engine refuses: (a part of the case's name, a part of the error).
const REFUSED: &[(&str, &str)] = &[
    ("_with_past", "a cache of keys and values has no rule"),
    ("_qk_matmul", "a cache of keys and values has no rule"),
    ("nonpad", "a cache of keys and values has no rule"),
    ("_padded_kv", "a cache of keys and values has no rule"),
    ("_window_gqa_rank4", "a cache of keys and values has no rule"),
    ("_ext_cache", "a cache of keys and values has no rule"),
    ("_tf_crop_and_resize", "no rule"),
    ("_axes_2_3", "for some axes only have no rule"),
    ("_axes_3_2", "for some axes only have no rule"),
    ("_not_larger", "sizes by aspect ratio"),
    ("_not_smaller", "sizes by aspect ratio"),
    ("lppool_3d_default", "Only inputs with 1 or 2 spatial dims are supported"),
    ("averagepool_3d_default", "Only inputs with 1 or 2 spatial dims are supported"),
    ("averagepool_3d_dilations", "dilations"),
    ("col2im_5d", "only images of two dimensions are supported"),
];

fn strings(v: &Value) -> Vec<&str> {
    v.as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect()
}

fn sizes(v: &Value) -> Vec<usize> {
    v["shape"].as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as usize).collect()
}

/// Numbers given as a list, or computed from a sequence.
fn values(v: &Value) -> Vec<f64> {
    let number = |v: &Value| match v.as_str() {
        Some(text) => text.parse().unwrap(),
        None => v.as_f64().unwrap_or_else(|| f64::from(u8::from(v.as_bool().unwrap()))),
    };
    if let Some(values) = v["values"].as_array() {
        return values.iter().map(number).collect();
    }
    let (spec, whole) = (&v["noise"], v["type"] != "FLOAT");
    let (amplitude, offset) = (spec["amplitude"].as_f64().unwrap(), spec["offset"].as_f64().unwrap());
    let count = sizes(v).iter().product::<usize>() as u64;
    let value = |i| noise(i, spec) * amplitude + offset;
    (0..count).map(|i| if whole { value(i).floor() } else { value(i) }).collect()
}

fn tensor(v: &Value) -> Tensor {
    let x = values(v);
    let data = match v["type"].as_str().unwrap() {
        "FLOAT" => TensorData::Float(x.iter().map(|&x| x as f32).collect()),
        "UINT8" => TensorData::Uint8(x.iter().map(|&x| x as u8).collect()),
        "INT8" => TensorData::Int8(x.iter().map(|&x| x as i8).collect()),
        other => panic!("data of type {other}"),
    };
    Tensor::new(sizes(v), data).unwrap()
}

fn numbers(t: &Tensor) -> Vec<f64> {
    match t.data() {
        TensorData::Float(v) => v.iter().map(|&v| f64::from(v)).collect(),
        TensorData::Uint8(v) => v.iter().map(|&v| f64::from(v)).collect(),
        TensorData::Int8(v) => v.iter().map(|&v| f64::from(v)).collect(),
        TensorData::Int32(v) => v.iter().map(|&v| f64::from(v)).collect(),
        TensorData::Int64(v) => v.iter().map(|&v| v as f64).collect(),
        TensorData::Bool(v) => v.iter().map(|&v| f64::from(u8::from(v))).collect(),
    }
}

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

fn run(case: &Value) -> Fallible<Tensor> {
    let hex = case["model"].as_str().unwrap();
    let byte = |i: usize| u8::from_str_radix(&hex[i..i + 2], 16).unwrap();
    let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
    let mut graph = onnx::load_bytes(&bytes)?.graph;
    let engine = RTen::new(1);
    shape::infer(&mut graph)?;
    standard(&mut graph, &Folding(&engine))?;
    let inputs: Vec<Tensor> = case["inputs"].as_array().unwrap().iter().map(tensor).collect();
    let mut out = engine.compile(&graph)?.run(&inputs.iter().collect::<Vec<_>>())?;
    Ok(out.remove(0))
}

fn check(case: &Value) -> Fallible<()> {
    let (y, want) = (run(case)?, &case["output"]);
    if y.shape() != sizes(want) {
        return Err(format!("shape {:?}, not {:?}", y.shape(), sizes(want)).into());
    }
    let stride = want["stride"].as_u64().unwrap() as usize;
    let (got, want) = (numbers(&y), values(want));
    let scale = want.iter().fold(1e-30, |m: f64, v| m.max(v.abs()));
    let off = got.iter().step_by(stride).zip(&want).map(|(g, w)| (g - w).abs() / scale);
    let off = off.fold(0.0, |m: f64, d| if d.is_nan() { f64::INFINITY } else { m.max(d) });
    if off > TOLERANCE {
        return Err(format!("off by {off:.1e} of its largest value").into());
    }
    Ok(())
}

/// Checks the cases of a file; returns the number of agreeing ones.
fn check_file(path: &Path) -> usize {
    let document: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let (mut agree, mut wrong) = (0, vec![]);
    for case in document["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let refusal = REFUSED.iter().find(|(part, _)| name.contains(part)).map(|r| r.1);
        match (check(case).map_err(|e| e.to_string()), refusal) {
            (Ok(()), None) => agree += 1,
            (Ok(()), Some(_)) => wrong.push(format!("{name}: not refused any more")),
            (Err(e), Some(part)) if e.contains(part) => println!("{name}: {e}"),
            (Err(e), _) => wrong.push(format!("{name}: {e}")),
        }
    }
    println!("{agree} agree");
    assert!(wrong.is_empty(), "{} fail:\n{}", wrong.len(), wrong.join("\n"));
    agree
}

fn golden() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/nodes.json")
}

#[test]
fn node_tests_agree_with_the_reference_evaluator() {
    assert!(check_file(&golden()) > 0);
}

#[test]
#[ignore = "needs a file: CANDOR_NODES=FILE, of tools/goldens/nodes.py --package FILE"]
fn the_packages_own_vectors_are_met() {
    check_file(Path::new(&std::env::var_os("CANDOR_NODES").expect("CANDOR_NODES names a file")));
}

#[test]
fn every_lowered_operator_of_onnx_has_a_node_test() {
    let document: Value = serde_json::from_slice(&std::fs::read(golden()).unwrap()).unwrap();
    let without = strings(&document["without"]);
    let has = |op: &str| document["cases"].as_array().unwrap().iter().any(|c| c["op"] == op);
    let missing: Vec<_> = LOWERINGS
        .iter()
        .filter(|(domain, op, _)| domain.is_empty() && !has(op) && !without.contains(op))
        .map(|(_, op, _)| op)
        .collect();
    assert!(missing.is_empty(), "run tools/goldens/nodes.py for {missing:?}");
}
