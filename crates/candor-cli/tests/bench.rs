//! `candor bench speed` as a user runs it.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::process::Output;

use assert_cmd::Command;
use serde_json::Value;

fn speed(more: &[&str]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("model.onnx");
    fs::write(&model, candor::scenes::embedded::MODEL).unwrap();
    Command::cargo_bin("candor").unwrap().args(["bench", "speed"]).arg(model).args(more).output().unwrap()
}

#[test]
fn one_json_document_holds_every_figure() {
    let done = speed(&["--methods", "gradient,reliable", "--repeats", "1", "--threads", "1", "--json"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let found: Value = serde_json::from_slice(&done.stdout).unwrap();
    let positive = |v: &Value| assert!(v.as_f64().is_some_and(|v| v > 0.0), "{v} in {found}");
    positive(&found["load_seconds"]);
    positive(&found["peak_gflops"]);
    if cfg!(target_os = "linux") {
        positive(&found["peak_memory_bytes"]);
    }
    assert_eq!(found["engine"]["threads"], 1);
    let parts = found["parts"].as_array().unwrap();
    assert_eq!(
        parts.iter().map(|p| p["name"].as_str().unwrap()).collect::<Vec<_>>(),
        ["forward", "gradient", "mask iteration"]
    );
    for part in parts {
        for figure in ["gflop", "gflops", "share_of_peak"] {
            positive(&part[figure]);
        }
        positive(&part["seconds"]["median"]);
    }
    let methods = found["methods"].as_array().unwrap();
    assert_eq!(methods.len(), 2);
    assert_eq!((&methods[0]["forward"], &methods[0]["backward"]), (&1.into(), &1.into()));
    // Every step is taken, whatever the class: the image is noise.
    assert_eq!(methods[1]["backward"], methods[1]["method"]["parameters"]["iterations"]);
}

#[test]
fn the_table_names_each_part_and_what_is_wrong_is_one_line() {
    let done = speed(&["--methods", "gradient", "--repeats", "1"]);
    let text = String::from_utf8(done.stdout).unwrap();
    for part in ["forward", "mask iteration", "of best", "gradient", "GFLOP/s"] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
    let done = speed(&["--methods", "no-such-method"]);
    let error = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(2), "{error}");
    assert_eq!(error.trim_end().lines().count(), 1, "{error}");
    assert_eq!(speed(&["--repeats", "0"]).status.code(), Some(2));
}
