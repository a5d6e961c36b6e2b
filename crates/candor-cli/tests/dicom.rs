//! DICOM files on the command line: frames by number, the report's description of them, and that an output does not replace them.
#![cfg(feature = "dicom")]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use candor_scenes::embedded;
use candor_testing::dicom::{DicomFile, Syntax};
use serde_json::Value;

/// Two frames of 112×112 samples of 12 bits, a ramp and its mirror image, with a window.
fn scan() -> Vec<u8> {
    let ramp = |mirrored: bool| {
        (0..112 * 112).map(move |i| if mirrored { 111 - i % 112 } else { i % 112 }).map(|x| 1000 + 3 * x)
    };
    let samples: Vec<i32> = ramp(false).chain(ramp(true)).collect();
    DicomFile::grey(Syntax::Explicit, (112, 112), 12, &samples)
        .with(0x0028, 0x0008, "IS", "2")
        .with_window("1166.5", "333")
        .bytes()
}

fn run(folder: &Path, args: &[&str]) -> Output {
    let common = ["--method", "gradient", "--no-probe"];
    Command::cargo_bin("candor").unwrap().current_dir(folder).args(args).args(common).output().unwrap()
}

/// What a command prints with `--json`.
fn json(folder: &Path, args: &[&str]) -> Value {
    let mut command = Command::cargo_bin("candor").unwrap();
    let done = command.current_dir(folder).args(args).arg("--json").output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).unwrap()
}

#[test]
fn an_attack_begins_with_the_samples_that_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    let attacked = |window: &str| {
        write("model.onnx", embedded::MODEL);
        write("model.candor.toml", format!("preset = \"inception\"\n{window}").as_bytes());
        write("scan.dcm", &scan());
        let attack = ["attack", "model.onnx", "scan.dcm", "--attack", "fgsm", "--out", "a", "--force"];
        let found = json(folder.path(), &attack);
        let explain = ["explain", "model.onnx", "scan.dcm", "--method", "gradient", "--no-probe", "--force"];
        let top = json(folder.path(), &explain)["images"][0]["top"][0].clone();
        let before = &found["images"][0]["before"];
        assert_eq!(before["class_id"], top["class_id"]);
        let [attack, explain] = [before, &top].map(|answer| answer["probability"].as_f64().unwrap());
        assert!((attack - explain).abs() < 1e-6, "{attack} {explain}");
        explain
    };
    let own = attacked("");
    let stated = attacked("window = [1400.0, 1000.0]\n");
    assert!((own - stated).abs() > 1e-4, "{own} {stated}");
}

#[test]
fn frames_are_photos_that_the_report_names() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    write("model.onnx", embedded::MODEL);
    write("model.candor.toml", b"preset = \"inception\"\n");
    write("scan.dcm", &scan());
    let done = run(folder.path(), &["explain", "model.onnx", "scan.dcm#1", "scan.dcm#2", "--json"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let found: Value = serde_json::from_slice(&done.stdout).unwrap();
    for (i, name) in ["scan.dcm#1", "scan.dcm#2"].iter().enumerate() {
        let image = &found["images"][i];
        assert_eq!(image["path"], *name);
        assert_eq!(image["preparation"][0], format!("frame {} of 2", i + 1));
        assert_eq!(image["preparation"][1], "samples through the file's window of centre 1166.5, width 333");
    }
    let [first, second] = [0, 1].map(|i| &found["images"][i]["top"]);
    assert_ne!(first, second, "the frames are different pictures");
    let page = fs::read_to_string(folder.path().join("candor-out/report.html")).unwrap();
    assert!(page.contains("frame 2 of 2"));
    let missing = run(folder.path(), &["explain", "model.onnx", "scan.dcm#3", "--out", "none"]);
    assert_eq!(missing.status.code(), Some(1));
    let said = String::from_utf8(missing.stderr).unwrap();
    assert!(said.contains("scan.dcm#3: there is no frame 3 in the file; its frames are #1 to #2"), "{said}");
    assert!(!folder.path().join("none/report.html").exists());
}
