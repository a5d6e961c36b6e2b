//! `candor explain` and `candor demo` as a user runs them.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;

fn demo(out: &Path, extra: &[&str]) -> Value {
    let done =
        Command::cargo_bin("candor").unwrap().args(["demo", "--json", "--out"]).arg(out).args(extra).output();
    let done = done.unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).unwrap()
}

/// All files below a folder except for the two that contain times and Candor's own.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with(".candor") {
            continue;
        }
        if path.is_dir() {
            found.extend(files(&path));
        } else if !path.ends_with("explain.json") && !path.ends_with("report.html") {
            found.insert(
                path.strip_prefix(dir.parent().unwrap()).unwrap().display().to_string(),
                fs::read(&path).unwrap(),
            );
        }
    }
    found
}

fn without_seconds(mut v: Value) -> Value {
    for image in v["images"].as_array_mut().unwrap() {
        for query in image["queries"].as_array_mut().unwrap() {
            query["cost"]["seconds"] = Value::Null;
        }
    }
    v
}

#[test]
fn the_same_command_twice_gives_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a/x"), dir.path().join("b/x"));
    let first = demo(&a, &["--set", "iterations=10"]);
    let second = demo(&b, &["--set", "iterations=10"]);
    assert_eq!(without_seconds(first), without_seconds(second));
    let (first, second) = (files(&a), files(&b));
    assert!(first.len() >= 3 * 3 * 6, "{} files", first.len());
    assert!(first == second, "some file differs");
}

#[test]
fn present_classes_have_a_map_on_their_object_and_absent_ones_none() {
    let dir = tempfile::tempdir().unwrap();
    let result = demo(dir.path(), &[]);
    let scenes = candor_scenes::embedded::DEMO_SCENES;
    for (image, demo) in result["images"].as_array().unwrap().iter().zip(&scenes) {
        let scene = demo.scene(112);
        for query in image["queries"].as_array().unwrap() {
            let class = query["class_id"].as_u64().unwrap() as usize;
            let (rank, mass) = (query["rank"].as_u64().unwrap(), query["map"]["mass"].as_f64().unwrap());
            if !scene.classes().contains(&class) {
                assert!(mass < 1e-3, "{}: absent class {class} has mass {mass}", demo.name);
            } else if rank == 1 {
                assert!(mass > 5e-3, "{}: the answer {class} has mass {mass}", demo.name);
            }
        }
    }
}

#[test]
fn help_teaches_and_methods_are_listed() {
    let run = |args: &[&str]| {
        let done = Command::cargo_bin("candor").unwrap().args(args).output().unwrap();
        assert!(done.status.success());
        String::from_utf8(done.stdout).unwrap()
    };
    assert!(run(&["--help"]).contains("candor demo"));
    assert!(run(&["explain", "--help"]).contains("--class top1 --class fish"));
    let methods = run(&["methods"]);
    for name in ["reliable", "gradient", "grad-cam", "lambda=auto"] {
        assert!(methods.contains(name), "{methods}");
    }
    assert!(run(&["completions", "bash"]).contains("_candor"));
}

#[test]
fn calibrate_writes_the_sidecar_and_explain_reads_it() {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("model.onnx");
    fs::write(&model, candor_scenes::embedded::MODEL).unwrap();
    let sidecar = dir.path().join("model.candor.toml");
    fs::write(&sidecar, "# kept\npreset = \"inception\"\n").unwrap();
    let photos: Vec<_> = candor_scenes::embedded::DEMO_SCENES[..2]
        .iter()
        .map(|scene| {
            let path = dir.path().join(scene.name);
            fs::write(&path, scene.png).unwrap();
            path
        })
        .collect();
    let run = |command: &str, more: &[&str]| {
        let mut candor = Command::cargo_bin("candor").unwrap();
        let done = candor.arg(command).arg(&model).args(&photos).args(more).arg("--json").output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        serde_json::from_slice::<Value>(&done.stdout).unwrap()
    };
    let found = run("calibrate", &["--tolerance", "0.3"]);
    let lambda = found["lambda"].as_f64().unwrap();
    let trials = found["trials"].as_array().unwrap();
    let within = |t: &&Value| t["median_change"].as_f64().unwrap() <= 0.3;
    assert_eq!(trials.iter().find(within).unwrap()["lambda"].as_f64(), Some(lambda), "{found}");
    let text = fs::read_to_string(&sidecar).unwrap();
    assert!(text.contains("# kept") && text.contains("preset = \"inception\""), "{text}");
    // Two photos of twelve classes cannot estimate a rate of 1 %: thresholds from them would leave every map empty.
    assert!(found["false_alarms"].is_null() && !text.contains("false-alarms"), "{text}");
    assert_eq!(found["too_few"], serde_json::json!({ "classes": 22, "needed": 99 }));
    // A sidecar that is named need not exist.
    let new = dir.path().join("new.toml").display().to_string();
    run("calibrate", &["--tolerance", "0.3", "--preset", "inception", "--sidecar", &new]);
    let written = fs::read_to_string(&new).unwrap();
    assert!(written.contains("lambda = ") && written.contains("preset = \"inception\""), "{written}");
    let out = dir.path().join("out").display().to_string();
    let explained = run("explain", &["--set", "iterations=2", "--out", &out]);
    assert_eq!(explained["method"]["parameters"]["lambda"].as_f64(), Some(lambda));
    // If no λ meets the tolerance, this is an error, and the sidecar is unchanged.
    let mut candor = Command::cargo_bin("candor").unwrap();
    let done = candor.arg("calibrate").arg(&model).args(&photos).args(["--tolerance", "0"]).output().unwrap();
    let error = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(1), "{error}");
    assert!(error.contains("raise --tolerance"), "{error}");
    assert_eq!(fs::read_to_string(&sidecar).unwrap(), text);
}

/// The embedded model without a sidecar, and one of its scenes.
fn model_and_scene(dir: &Path) -> [std::path::PathBuf; 2] {
    let scene = &candor_scenes::embedded::DEMO_SCENES[0];
    let [model, photo] = ["model.onnx", scene.name].map(|name| dir.join(name));
    fs::write(&model, candor_scenes::embedded::MODEL).unwrap();
    fs::write(&photo, scene.png).unwrap();
    [model, photo]
}

/// The JSON document of a command, and its notes.
fn printed(command: &str, files: &[std::path::PathBuf; 2], more: &[&str]) -> (Value, String) {
    let mut candor = Command::cargo_bin("candor").unwrap();
    let done = candor.arg(command).args(files).args(more).arg("--json").output().unwrap();
    let notes = String::from_utf8(done.stderr).unwrap();
    assert!(done.status.success(), "{notes}");
    (serde_json::from_slice(&done.stdout).unwrap(), notes)
}

#[test]
fn explain_sees_photos_as_the_calibration_did() {
    let dir = tempfile::tempdir().unwrap();
    let files = model_and_scene(dir.path());
    let out = dir.path().join("out").display().to_string();
    let explain = ["--set", "iterations=1", "--no-probe", "--out", &out];
    let sidecar = dir.path().join("model.candor.toml");
    let assumed = "preprocessing is assumed";

    let (found, notes) = printed("calibrate", &files, &["--preset", "inception", "--tolerance", "1"]);
    assert!(!notes.contains(assumed), "{notes}");
    assert!(fs::read_to_string(&sidecar).unwrap().contains("preset = \"inception\""));
    let (explained, notes) = printed("explain", &files, &explain);
    assert!(!notes.contains(assumed), "{notes}");
    assert_eq!(explained["preprocessing"], found["preprocessing"]);
    assert_eq!(explained["method"]["parameters"]["lambda"], found["lambda"]);

    // A sidecar without preprocessing keys does not state a preprocessing.
    fs::write(&sidecar, "lambda = 0.25\n").unwrap();
    assert!(printed("explain", &files, &explain).1.contains(assumed));
    // Calibrating with an assumed preprocessing does not state it either.
    let (found, notes) = printed("calibrate", &files, &["--tolerance", "1"]);
    assert!(notes.contains(assumed) && found["preprocessing_stated"] == false, "{notes}");
    let text = fs::read_to_string(&sidecar).unwrap();
    assert!(text.contains("for imagenet preprocessing, which was assumed"), "{text}");
    assert!(printed("explain", &files, &explain).1.contains(assumed));
}

#[test]
fn a_method_without_a_null_judges_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let files = model_and_scene(dir.path());
    let out = dir.path().join("out");
    let folder = out.display().to_string();
    let classes = ["--class", "top1", "--class", "lowest", "--preset", "inception", "--out", &folder];
    let verdicts = |method: &[&str]| -> Vec<String> {
        let (found, _) = printed("explain", &files, &[&classes[..], method].concat());
        let queries = found["images"][0]["queries"].as_array().unwrap();
        queries.iter().map(|q| q["verdict"].as_str().unwrap().to_string()).collect()
    };
    assert_eq!(verdicts(&["--method", "evidence-scaled"]), ["evidence", "no-evidence"]);
    for method in ["gradient", "lrp", "grad-cam", "random"] {
        assert_eq!(verdicts(&["--method", method]), ["not-judged"; 2], "{method}");
        let page = fs::read_to_string(out.join("report.html")).unwrap();
        assert!(page.contains("not judged") && page.contains("The method has no null"), "{method}");
        assert!(
            !page.contains("class=\"verdict yes\"") && !page.contains("class=\"verdict no\""),
            "{method}"
        );
    }
    let mut candor = Command::cargo_bin("candor").unwrap();
    let done =
        candor.arg("explain").args(&files).args(classes).args(["--method", "gradient"]).output().unwrap();
    let text = String::from_utf8(done.stdout).unwrap();
    assert_eq!(text.matches("not judged").count(), 3, "{text}");
    assert!(!text.contains("evidence\n"), "{text}");
}

#[test]
fn several_methods_are_each_what_they_are_alone() {
    let dir = tempfile::tempdir().unwrap();
    let files = model_and_scene(dir.path());
    let out = dir.path().join("out");
    let folder = out.display().to_string();
    let asked = ["--class", "top1", "--class", "lowest", "--preset", "inception", "--out", &folder];
    let (together, _) = printed(
        "explain",
        &files,
        &[&asked[..], &["--methods", "grad-cam++,reliable", "--set", "iterations=9"]].concat(),
    );
    let names: Vec<_> = together["methods"].as_array().unwrap().iter().map(|m| m["name"].clone()).collect();
    assert_eq!(names, ["grad-cam++", "reliable"]);
    assert_eq!(together["method"], together["methods"][0]);
    let all = together["images"][0]["queries"].as_array().unwrap();
    let of: Vec<_> = all.iter().map(|q| q["method"].as_str().unwrap()).collect();
    assert_eq!(of, ["grad-cam++", "reliable", "grad-cam++", "reliable"], "class by class");
    for file in all.iter().flat_map(|q| ["npz", "png", "overlay"].map(|f| q["map"][f].as_str().unwrap())) {
        assert!(out.join(file).is_file() && file.contains('.'), "{file}");
    }
    let plain = |query: &Value| {
        let mut query = query.clone();
        query.as_object_mut().unwrap().remove("method");
        query["cost"]["seconds"] = Value::Null;
        for file in ["npz", "png", "overlay"] {
            let name = query["map"][file].as_str().unwrap();
            query["map"][file] = name.replace(".grad-cam++.", ".").replace(".reliable.", ".").into();
        }
        query
    };
    let npz = |query: &Value| fs::read(out.join(query["map"]["npz"].as_str().unwrap())).unwrap();
    let arrays: Vec<_> = all.iter().map(npz).collect();
    for (i, method) in ["grad-cam++", "reliable"].into_iter().enumerate() {
        let set = if method == "reliable" { &["--set", "iterations=9"][..] } else { &[] };
        let (alone, _) = printed("explain", &files, &[&asked[..], &["--method", method], set].concat());
        assert_eq!(alone["method"], together["methods"][i]);
        assert!(alone.get("methods").is_none() && alone["images"][0]["queries"][0].get("method").is_none());
        for (c, query) in alone["images"][0]["queries"].as_array().unwrap().iter().enumerate() {
            assert_eq!(plain(query), plain(&all[2 * c + i]), "{method}");
            assert!(npz(query) == arrays[2 * c + i], "{method}: the arrays differ");
        }
    }
}

#[test]
fn a_line_says_which_engine_was_taken_and_why() {
    let dir = tempfile::tempdir().unwrap();
    let [model, _] = model_and_scene(dir.path());
    let run = |engine: &str, library: Option<&str>, more: &[&str]| {
        let mut candor = Command::cargo_bin("candor").unwrap();
        candor.arg("inspect").arg(&model).args(more);
        candor.env("CANDOR_ENGINE", engine);
        library.map(|library| candor.env("ORT_DYLIB_PATH", library));
        let done = candor.output().unwrap();
        (done.status.code(), String::from_utf8(done.stderr).unwrap())
    };
    let nowhere = Some("nowhere/libonnxruntime.so");
    let (code, notes) = run("auto", nowhere, &[]);
    assert_eq!(code, Some(0), "{notes}");
    assert!(notes.contains("engine: RTen") && notes.contains("nowhere/libonnxruntime.so"), "{notes}");
    for (engine, more) in [("rten", &[][..]), ("auto", &["--engine", "rten"])] {
        let (code, notes) = run(engine, nowhere, more);
        assert!(code == Some(0) && !notes.contains("engine"), "{notes}");
    }
    for (engine, more) in
        [("onnxruntime", &[][..]), ("auto", &["--engine", "onnxruntime"]), ("auto", &["--device", "cuda"])]
    {
        let (code, notes) = run(engine, nowhere, more);
        assert!(code == Some(1) && notes.contains("nowhere/libonnxruntime.so"), "{notes}");
    }
    let (code, notes) = run("tensorflow", None, &[]);
    assert!(code == Some(1) && notes.contains("CANDOR_ENGINE: there is no engine 'tensorflow'"), "{notes}");
    if std::env::var_os("CANDOR_REQUIRE_ONNXRUNTIME").is_some() {
        let (code, notes) = run("auto", None, &[]);
        assert!(code == Some(0) && notes.contains("engine: ONNX Runtime, as its library is here"), "{notes}");
    }
}
