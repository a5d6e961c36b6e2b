//! `candor export` as a user runs it: a file that any engine runs with the results of `candor explain`, or a one-line error.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use candor::engine::{Engine, RTen};
use candor::image::{Preset, decode};
use candor::sidecar::Sidecar;
use candor_graph::onnx;
use candor_graph::tensor::{Tensor, TensorData};
use candor_scenes::embedded;
use serde_json::Value;

/// The embedded model and a scene as files.
fn files(dir: &Path) {
    fs::write(dir.join("model.onnx"), embedded::MODEL).unwrap();
    fs::write(dir.join("scene.png"), embedded::DEMO_SCENES[0].png).unwrap();
}

fn candor(dir: &Path, args: &[&str]) -> Output {
    Command::cargo_bin("candor").unwrap().current_dir(dir).args(args).output().unwrap()
}

fn json(done: &Output) -> Value {
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).unwrap()
}

/// The outputs of an exported file for the scene and a class: its logits and its map.
fn run(dir: &Path, file: &str, class: i64) -> (Vec<f32>, Vec<f32>) {
    let graph = onnx::load(&dir.join(file)).unwrap().graph;
    let shape: Vec<usize> =
        graph.shape(graph.inputs[0]).unwrap()[1..].iter().map(|d| d.fixed().unwrap()).collect();
    let sides = [Some(shape[1]), Some(shape[2])];
    let preprocessing = Sidecar::default().preprocessing(Some(Preset::Inception), sides, shape[0]).unwrap();
    let pixels = preprocessing.apply(&decode(&dir.join("scene.png")).unwrap());
    let image = Tensor::floats(&[1, shape[0], shape[1], shape[2]], pixels).unwrap();
    let class = Tensor::new(vec![1], TensorData::Int64(vec![class])).unwrap();
    let out = RTen::new(1).compile(&graph).unwrap().run(&[&image, &class]).unwrap();
    (out[0].as_floats().unwrap().to_vec(), out[1].as_floats().unwrap().to_vec())
}

#[test]
fn an_exported_file_says_what_explain_says() {
    let dir = tempfile::tempdir().unwrap();
    files(dir.path());
    for (method, extra) in [
        ("grad-cam", vec![]),
        ("gradient", vec![]),
        ("reliable", vec!["--set", "iterations=5", "--set", "evidence=photo"]),
    ] {
        let model = ["model.onnx", "--preset", "inception", "--method", method];
        let words = |command: &[&'static str], end: &[&'static str]| -> Vec<&str> {
            [command, &model, &extra, end].concat()
        };
        let said = json(&candor(dir.path(), &words(&["export"], &["-o", "out.onnx", "--json"])));
        assert_eq!(said["method"]["name"], method);
        assert_eq!(said["inputs"][1]["name"], "class");
        assert_eq!(said["outputs"][0]["name"], "logits");
        let graph = onnx::load(&dir.path().join("out.onnx")).unwrap().graph;
        assert_eq!(said["nodes"], graph.nodes.len());
        assert_eq!(said["inputs"][0]["name"], graph.name(graph.inputs[0]));

        let explained = words(
            &["explain"],
            &["scene.png", "--class", "top1", "--class", "lowest", "--json", "--out", "maps"],
        );
        for query in json(&candor(dir.path(), &explained))["images"][0]["queries"].as_array().unwrap() {
            let class = query["class_id"].as_i64().unwrap();
            let (logits, map) = run(dir.path(), "out.onnx", class);
            let near = |got: f64, want: &Value| {
                let want = want.as_f64().unwrap();
                assert!(
                    (got - want).abs() <= 1e-4 * want.abs().max(1e-3),
                    "{method}, class {class}: {got}, not {want}"
                );
            };
            near(logits[class as usize].into(), &query["score"]);
            near(map.iter().fold(f32::MIN, |m, &v| m.max(v)).into(), &query["map"]["max"]);
            near(
                map.iter().map(|&v| f64::from(v.max(0.0))).sum::<f64>() / map.len() as f64,
                &query["map"]["mass"],
            );
        }
    }
}

#[test]
fn without_json_it_says_in_a_line_what_was_written() {
    let dir = tempfile::tempdir().unwrap();
    files(dir.path());
    let done = candor(dir.path(), &["export", "model.onnx", "--method", "gradient", "-o", "out.onnx"]);
    let text = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success() && text.lines().count() == 1, "{text}");
    assert!(text.starts_with("out.onnx: ") && text.contains("outputs logits, map"), "{text}");
}

#[test]
fn what_cannot_be_exported_is_one_line_and_no_file() {
    let dir = tempfile::tempdir().unwrap();
    files(dir.path());
    let fails = |args: &[&str], code: i32, parts: &[&str]| {
        let done = candor(dir.path(), &[&["export"], args].concat());
        let error = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(code), "{error}");
        let last = error.trim_end().lines().last().unwrap();
        for part in parts {
            assert!(last.contains(part), "'{part}' is not in: {error}");
        }
        let mut left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|f| f.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["model.onnx", "scene.png"], "left behind");
    };
    let to = ["-o", "out.onnx"];
    fails(
        &[&["model.onnx", "--method", "rise"], &to[..]].concat(),
        2,
        &["rise", "cannot be exported", "grad-cam"],
    );
    fails(&[&["model.onnx", "--method", "grad-cma"], &to[..]].concat(), 2, &["grad-cma", "grad-cam"]);
    fails(&[&["missing.onnx", "--method", "gradient"], &to[..]].concat(), 1, &["missing.onnx"]);
    fails(&["model.onnx", "--method", "gradient", "-o", "no/such/out.onnx"], 1, &["no/such/out.onnx"]);
    fails(
        &[&["model.onnx", "--method", "grad-cam", "--set", "nothing=1"], &to[..]].concat(),
        2,
        &["nothing"],
    );
    fails(
        &[&["model.onnx", "--method", "grad-cam", "--levels", "nowhere"], &to[..]].concat(),
        2,
        &["nowhere"],
    );
    for (set, part) in [
        ("return=best", "return=last, not best"),
        ("settle=0.1", "settle=0, not 0.1"),
        ("lambda-path=true", "lambda-path=false, not true"),
    ] {
        fails(&[&["model.onnx", "--set", set], &to[..]].concat(), 2, &["can only be exported with", part]);
    }
}

#[test]
fn a_page_takes_no_setting_that_its_search_has_not() {
    let dir = tempfile::tempdir().unwrap();
    files(dir.path());
    let runtime = dir.path().join("node_modules/onnxruntime-web/dist");
    fs::create_dir_all(&runtime).unwrap();
    for file in candor_report::browser::RUNTIME {
        fs::write(runtime.join(file), "").unwrap();
    }
    let page = |more: &[&str]| {
        let done = candor(dir.path(), &[&["page", "--demo", "--out", "out"], more].concat());
        (done.status.code(), String::from_utf8(done.stderr).unwrap())
    };
    for (more, part) in [
        (["--set", "return=best"], "can only be exported with return=last"),
        (["--set", "fuse=gated"], "can only be exported with fuse=mask"),
        (["--methods", "rise"], "'rise': cannot be exported"),
    ] {
        let (code, error) = page(&more);
        assert!(code == Some(2) && error.contains(part), "{more:?}: {code:?} {error}");
        assert!(!dir.path().join("out").exists(), "{more:?} left something");
    }
    let (code, error) = page(&["--webgpu"]);
    assert!(code == Some(2) && error.contains("npm install onnxruntime-web"), "{error}");
    let (code, error) = page(&["--set", "evidence=photo"]);
    assert_eq!(code, Some(0), "{error}");
    for file in
        ["search.js", "graphs/reliable-step.onnx", "graphs/reliable-answer.onnx", "check-reliable.f32"]
    {
        assert!(dir.path().join("out").join(file).is_file(), "{file}");
    }
}
