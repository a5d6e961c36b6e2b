//! Every row against PyTorch in float64 (tools/goldens/rules.py): its value, and the gradient of Σ weights·y.

use std::collections::BTreeMap;
use std::path::Path;

use candor_graph::builder::Builder;
use candor_graph::graph::Graph;
use candor_graph::onnx;
use candor_graph::tensor::Tensor;
use serde_json::{Value, json};

use crate::{Row, build, differentiated, input_tensors, rows, support, weights};

/// Relative L2 error, float32 against float64.
const TOLERANCE: f64 = 1e-5;

fn golden_file() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/rules.json")
}

fn name(row: &Row) -> String {
    format!("{} ({})", row.op, row.case)
}

fn floats(v: &Value) -> Vec<f64> {
    v.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

/// What differs between a tensor and its golden.
fn difference(got: &Tensor, want: &Value) -> Option<String> {
    let (got, want) = (got.as_floats().unwrap(), floats(want));
    if got.len() != want.len() {
        return Some(format!("{} numbers, not {}", got.len(), want.len()));
    }
    let error: f64 = got.iter().zip(&want).map(|(&g, w)| (f64::from(g) - w).powi(2)).sum();
    let norm: f64 = want.iter().map(|w| w * w).sum();
    let error = if norm == 0.0 { error.sqrt() } else { (error / norm).sqrt() };
    (error.is_nan() || error > TOLERANCE).then(|| format!("off by {error:.1e}"))
}

#[test]
fn rules_and_lowerings_agree_with_pytorch() {
    let golden: BTreeMap<String, Value> =
        serde_json::from_str(&std::fs::read_to_string(golden_file()).unwrap()).unwrap();
    let (mut wrong, mut seen) = (vec![], 0);
    for row in rows() {
        let name = name(&row);
        let Some(want) = golden.get(&name) else {
            wrong.push(format!("{name}: no golden; run tools/goldens/rules.py"));
            continue;
        };
        seen += 1;
        let (graph, inputs) = (differentiated(&row), input_tensors(&row));
        let seed = weights(&graph);
        let out = support::run(&graph, &inputs.iter().chain([&seed]).collect::<Vec<_>>());
        let expected = std::iter::once(&want["y"]).chain(want["gradients"].as_array().unwrap());
        assert_eq!(out.len(), expected.clone().count(), "{name}: outputs");
        for (i, (got, want)) in out.iter().zip(expected).enumerate() {
            let what = if i == 0 { "value".into() } else { format!("gradient of input {}", i - 1) };
            wrong.extend(difference(got, want).map(|d| format!("{name}: {what}: {d}")));
        }
    }
    assert!(wrong.is_empty(), "{} fail:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(seen, golden.len(), "goldens of rows that are gone, or rows of one name");
}

/// Input of tools/goldens/rules.py: each row as an ONNX file of the node, not lowered, and its numbers.
#[test]
#[ignore = "writes files: CANDOR_ROWS=DIR, for tools/goldens/rules.py"]
fn write_rows() {
    let dir = std::path::PathBuf::from(std::env::var_os("CANDOR_ROWS").expect("CANDOR_ROWS names a folder"));
    std::fs::create_dir_all(&dir).unwrap();
    let mut index = vec![];
    for (i, row) in rows().iter().enumerate() {
        let builder = Builder::new(Graph::new(18));
        let (_, y) = build(&builder, row);
        let mut graph = builder.finish().unwrap();
        graph.outputs = vec![y];
        graph.domains.insert("com.microsoft".into(), 1);
        let file = format!("{i:03}.onnx");
        std::fs::write(dir.join(&file), onnx::to_bytes(&graph).unwrap()).unwrap();
        let numbers = |t: &Tensor| json!({"shape": t.shape(), "values": t.as_floats().unwrap()});
        index.push(json!({
            "name": name(row), "op": row.op, "file": file,
            "inputs": input_tensors(row).iter().map(numbers).collect::<Vec<_>>(),
            "weights": numbers(&weights(&differentiated(row))),
        }));
    }
    std::fs::write(dir.join("rows.json"), serde_json::to_string(&index).unwrap()).unwrap();
}

/// Writes the smallest row of each operator as a seed for the fuzzer.
#[test]
#[ignore = "writes files: the seeds of fuzz/seeds/graph"]
fn write_seeds() {
    const MOST_BYTES: usize = 1500;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/graph");
    std::fs::create_dir_all(&folder).unwrap();
    let mut smallest: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
    for row in rows() {
        let builder = Builder::new(Graph::new(18));
        let (_, y) = build(&builder, &row);
        let mut graph = builder.finish().unwrap();
        graph.outputs = vec![y];
        graph.domains.insert("com.microsoft".into(), 1);
        let bytes = onnx::to_bytes(&graph).unwrap();
        let known = smallest.entry(row.op).or_insert_with(|| bytes.clone());
        if bytes.len() < known.len() {
            *known = bytes;
        }
    }
    for (op, bytes) in smallest.iter().filter(|(_, bytes)| bytes.len() <= MOST_BYTES) {
        std::fs::write(folder.join(format!("{op}.onnx")), bytes).unwrap();
    }
    for name in ["conditional", "looped", "looped_long", "old_7", "old_10"] {
        let file = format!("{name}.onnx");
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/onnx").join(&file);
        std::fs::copy(from, folder.join(file)).unwrap();
    }
}
