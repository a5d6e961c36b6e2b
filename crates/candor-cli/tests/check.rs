//! `candor check` and the warnings of `candor explain`, as a user runs them.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use candor_scenes::embedded;
use serde_json::Value;

/// The embedded model and two scenes as files.
fn files(dir: &Path) -> (PathBuf, Vec<PathBuf>) {
    let model = dir.join("model.onnx");
    fs::write(&model, embedded::MODEL).unwrap();
    fs::write(
        dir.join("model.candor.toml"),
        format!("preset = \"inception\"\nlambda = {}\n", embedded::LAMBDA),
    )
    .unwrap();
    let write = |scene: &embedded::DemoScene| {
        let path = dir.join(scene.name);
        fs::write(&path, scene.png).unwrap();
        path
    };
    (model, embedded::DEMO_SCENES[..2].iter().map(write).collect())
}

fn run(command: &str, dir: &Path, args: &[&str]) -> Value {
    let (model, photos) = files(dir);
    let done = Command::cargo_bin("candor")
        .unwrap()
        .arg(command)
        .arg(model)
        .args(photos)
        .args(args)
        .args(["--json", "--out"])
        .arg(dir.join("out"))
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).unwrap()
}

#[test]
fn check_writes_its_page_its_table_and_all_it_was_asked() {
    let dir = tempfile::tempdir().unwrap();
    let more = ["--randomization", "--smooth", "2", "--input-shift", "--set", "reliable.iterations=10"];
    let mut args = vec!["--methods", "reliable,gradient,edges,attention-rollout"];
    args.extend(more);
    let found = run("check", dir.path(), &args);
    let methods = found["methods"].as_array().unwrap();
    let verdicts: Vec<bool> = methods.iter().map(|m| m["passed"].as_bool().unwrap()).collect();
    assert_eq!(verdicts, [true, false, false], "{found}");
    let caution = "from 2 images: too few for a verdict";
    assert!(methods[0]["caution"].as_str().unwrap().starts_with(caution), "{}", methods[0]["caution"]);
    assert_eq!((&methods[0]["has_null"], &methods[1]["has_null"]), (&true.into(), &false.into()));
    assert_eq!(found["skipped"][0]["method"], "attention-rollout");
    assert_eq!(found["gradients"].as_array().unwrap().len(), 5);
    assert!(found["gradients"][0]["queries"]["lowest"]["cosine"].as_f64().unwrap() < 1.0);
    assert_eq!(found["input_shift"].as_array().unwrap().len(), 3);
    let last = found["randomization"][1]["stages"].as_array().unwrap().last().unwrap();
    assert!(last["smooth_ssim"].as_f64().unwrap() < 1.0, "{last}");
    let page = fs::read_to_string(dir.path().join("out/check.html")).unwrap();
    for part in [
        "What the gradient knows",
        "With shifted values",
        "With random weights",
        "attention-rollout",
        caution,
    ] {
        assert!(page.contains(part), "no '{part}'");
    }
    let mut shown = Command::cargo_bin("candor").unwrap();
    let shown = shown.arg("table").arg(dir.path().join("out/check.json")).output().unwrap();
    let markdown = String::from_utf8(shown.stdout).unwrap();
    for title in ["### model: With shifted values", "### model: With random weights"] {
        assert!(markdown.contains(title), "{markdown}");
    }
    let table = fs::read_to_string(dir.path().join("out/check.csv")).unwrap();
    assert_eq!(table.lines().count(), 1 + 3 * 2 * 5);
}

#[test]
fn methods_with_the_same_null_are_one_finding() {
    let dir = tempfile::tempdir().unwrap();
    let (model, photos) = files(dir.path());
    let out = dir.path().join("out");
    let run = |methods: &str| {
        let mut candor = Command::cargo_bin("candor").unwrap();
        let done = candor
            .arg("check")
            .arg(&model)
            .args(&photos[..1])
            .args(["--methods", methods, "--out"])
            .arg(&out);
        let done = done.args(["--set", "reliable.iterations=5", "--input-shift"]).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let page = fs::read_to_string(out.join("check.html")).unwrap();
        (String::from_utf8(done.stdout).unwrap(), page)
    };
    let note = "reliable and evidence-scaled are silent by the same figure";
    let (text, page) = run("reliable,gradient,evidence-scaled");
    assert!(text.contains(note) && page.contains(note), "{text}");
    assert!(text.contains("? verdict from 1 image: too few") && text.contains("fails?"), "{text}");
    assert!(text.contains("With shifted values\n") && text.contains("norm of the change ÷"), "{text}");
    let (text, page) = run("reliable,gradient");
    assert!(!text.contains("same figure") && !page.contains("same figure"), "{text}");
}

#[test]
fn explain_warns_where_a_class_that_is_not_there_lights_the_same_pixels() {
    let dir = tempfile::tempdir().unwrap();
    let warnings = |args: &[&str]| -> Vec<String> {
        let found = run("explain", dir.path(), args);
        let images = found["images"].as_array().unwrap();
        let queries = images.iter().flat_map(|i| i["queries"].as_array().unwrap());
        queries
            .flat_map(|q| q["warnings"].as_array().unwrap())
            .map(|w| w.as_str().unwrap().to_string())
            .collect()
    };
    let same = |w: &[String]| w.iter().filter(|w| w.contains("highlights the same pixels")).count();
    assert_eq!(same(&warnings(&["--method", "edges"])), 2);
    assert_eq!(same(&warnings(&["--method", "edges", "--no-probe"])), 0);
    assert_eq!(same(&warnings(&["--class", "top1", "--class", "lowest"])), 0);
}

#[test]
fn the_path_of_lambda_is_in_the_result_and_its_map_shrinks() {
    let dir = tempfile::tempdir().unwrap();
    let found = run("explain", dir.path(), &["--lambda-path", "--class", "top1", "--class", "lowest"]);
    let queries = found["images"][0]["queries"].as_array().unwrap();
    let path = queries[0]["lambda_path"].as_array().unwrap();
    let of = |key: &str| path.iter().map(|p| p[key].as_f64().unwrap()).collect::<Vec<_>>();
    let (lambda, mass) = (of("lambda"), of("mass"));
    assert_eq!(path.len(), 4);
    assert!((lambda[3] / lambda[0] - 16.0).abs() < 1e-3, "{lambda:?}");
    assert!(mass.windows(2).all(|m| m[1] <= m[0] + 1e-3) && mass[3] < mass[0], "{mass:?}");
    let empty = queries[1]["lambda_path"].as_array().unwrap();
    assert!(empty.iter().all(|p| p["mass"] == 0.0), "{empty:?}");
    let page = fs::read_to_string(dir.path().join("out/report.html")).unwrap();
    let alone = page.matches("<figcaption><b>λ ").count();
    assert_eq!(alone, 4 * 2 * 2, "four other maps of two classes of two photos");
}
