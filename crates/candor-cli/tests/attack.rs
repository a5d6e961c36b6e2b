//! `candor attack` as a user runs it, on the embedded model.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;
use serde_json::Value;

/// A folder with the embedded model and its scenes as files.
struct Bench {
    dir: tempfile::TempDir,
    photos: Vec<PathBuf>,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("model.onnx"), candor_scenes::embedded::MODEL).unwrap();
        let mut photos = vec![];
        for (i, scene) in candor_scenes::embedded::DEMO_SCENES.iter().enumerate() {
            photos.push(dir.path().join(format!("scene{i}.png")));
            fs::write(&photos[i], scene.png).unwrap();
        }
        Bench { dir, photos }
    }

    fn run(&self, out: &str, photos: &[PathBuf], extra: &[&str]) -> Output {
        let mut command = Command::cargo_bin("candor").unwrap();
        command.arg("attack").arg(self.dir.path().join("model.onnx")).args(photos);
        command.args(["--preset", "inception", "--json", "--out"]).arg(self.out(out)).args(extra);
        command.output().unwrap()
    }

    fn out(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn attacked(&self, out: &str, extra: &[&str]) -> Value {
        let done = self.run(out, &self.photos, extra);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        serde_json::from_slice(&done.stdout).unwrap()
    }
}

fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut paths: Vec<_> =
        fs::read_dir(dir).unwrap().map(|f| f.unwrap().path()).filter(|p| p.is_file()).collect();
    paths.sort();
    paths.into_iter().map(|p| (p.file_name().unwrap().into(), fs::read(&p).unwrap())).collect()
}

#[test]
fn budgets_hold_and_a_rounded_image_is_asked_again() {
    let bench = Bench::new();
    for (name, norm, budget) in
        [("fgsm", "linf", 8.0 / 255.0), ("pgd", "linf", 8.0 / 255.0), ("pgd-l2", "l2", 0.5)]
    {
        let result = bench.attacked(name, &["--attack", name]);
        for image in result["images"].as_array().unwrap() {
            // Norms are computed in double precision from single-precision pixels.
            assert!(image["norms"][norm].as_f64().unwrap() <= budget + 1e-7, "{name}: {image}");
            let changed = image["after"]["class_id"] != image["before"]["class_id"];
            assert_eq!(image["success"], changed, "{name}: {image}");
            if let Some(rounded) = image["rounded"].as_object() {
                assert_ne!(rounded["after"]["class_id"], image["before"]["class_id"], "{name}: {image}");
                assert!(bench.out(name).join(rounded["png"].as_str().unwrap()).is_file());
            }
        }
    }
}

#[test]
fn more_steps_succeed_more_often_and_deepfool_goes_the_shorter_way() {
    let bench = Bench::new();
    let (fgsm, pgd) = (bench.attacked("a", &["--attack", "fgsm"]), bench.attacked("b", &["--attack", "pgd"]));
    let successes = |r: &Value| r["summary"]["successes"].as_u64().unwrap();
    assert!(successes(&pgd) > 0 && successes(&pgd) >= successes(&fgsm), "{pgd} {fgsm}");
    let deepfool = bench.attacked("c", &["--attack", "deepfool"]);
    assert_eq!(successes(&deepfool), bench.photos.len() as u64);
    let median = |r: &Value| r["summary"]["median"]["l2"].as_f64().unwrap();
    assert!(median(&deepfool) < median(&fgsm), "{deepfool}");
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_one_others() {
    let bench = Bench::new();
    let pgd = |out: &str, seed: &str| {
        bench.attacked(out, &["--attack", "pgd", "--seed", seed, "--set", "early-stop=false"]);
        files(&bench.out(out))
    };
    let (a, b, c) = (pgd("a", "1"), pgd("b", "1"), pgd("c", "2"));
    assert!(a == b, "some file differs");
    assert!(a != c, "the seed changes nothing");
}

#[test]
fn bad_input_is_one_line() {
    let bench = Bench::new();
    let text = bench.dir.path().join("text.png");
    fs::write(&text, "not a picture").unwrap();
    let cases: [(&[PathBuf], &[&str], i32, &str); 4] = [
        (&bench.photos, &["--attack", "pdg"], 2, "pgd"),
        (&bench.photos, &["--attack", "transfer"], 2, "--from"),
        (&bench.photos, &["--attack", "pgd", "--set", "no-such=1"], 2, "no-such"),
        (std::slice::from_ref(&text), &["--attack", "fgsm"], 1, "text.png"),
    ];
    for (photos, extra, code, part) in cases {
        let done = bench.run("out", photos, extra);
        let error = String::from_utf8(done.stderr).unwrap();
        assert!(error.contains(part) && !error.contains("panicked"), "{extra:?}: {error}");
        assert_eq!(error.trim_end().lines().count(), 1, "one line: {error}");
        assert_eq!(done.status.code(), Some(code), "{extra:?}: {error}");
    }
    let mut mixed = bench.photos.clone();
    mixed.push(text);
    assert_eq!(bench.run("mixed", &mixed, &["--attack", "fgsm"]).status.code(), Some(3));
}

#[test]
fn a_photo_that_is_answered_with_the_target_already_is_named_and_not_counted() {
    let bench = Bench::new();
    let free = bench.attacked("free", &["--attack", "fgsm"]);
    let before: Vec<u64> = free["images"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| i["before"]["class_id"].as_u64().unwrap())
        .collect();
    let target = before[0].to_string();
    let own = before.iter().filter(|class| **class == before[0]).count();
    assert!(own < before.len(), "other answers, too: {before:?}");
    let done = bench.run("aimed", &bench.photos, &["--attack", "fgsm", "--target", &target]);
    assert_eq!(done.status.code(), Some(3), "{}", String::from_utf8_lossy(&done.stderr));
    let result: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(result["summary"]["images"].as_u64(), Some((before.len() - own) as u64));
    assert_eq!(result["failed"].as_array().unwrap().len(), own);
    assert!(
        result["failed"][0]["error"]
            .as_str()
            .unwrap()
            .contains("already, so that there is nothing to change")
    );
    let alone = bench.run("alone", &bench.photos[..1], &["--attack", "fgsm", "--target", &target]);
    assert_eq!(alone.status.code(), Some(1));
    assert!(String::from_utf8(alone.stderr).unwrap().contains("scene0.png: the model answers "));
}
