//! Ctrl-C and resuming: a line that says how to resume, exit code 130, and a run that continues where it was interrupted.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use common::{candor, lines, result, scenes};
use serde_json::Value;

/// Starts a command, sends it Ctrl-C as soon as `begun` is true, and waits for it.
fn interrupted(mut command: Command, begun: impl Fn() -> bool) -> Output {
    let mut run = command.spawn().unwrap();
    while !begun() {
        if run.try_wait().unwrap().is_some() {
            return run.wait_with_output().unwrap();
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let id = run.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    run.wait_with_output().unwrap()
}

/// Checks that a run was interrupted properly: its exit code, and its last line.
fn stopped(done: &Output) -> String {
    let error = String::from_utf8(done.stderr.clone()).unwrap();
    assert_eq!(done.status.code(), Some(130), "{error}");
    let last = error.trim_end().lines().last().unwrap_or_default().to_string();
    assert!(last.starts_with("candor: stopped: "), "{error}");
    last
}

/// `explain` for all scenes into a folder. With one thread, so that there is time to interrupt it.
fn explain(dir: &tempfile::TempDir, out: &str, more: &[&str]) -> Command {
    let mut photos: Vec<_> =
        fs::read_dir(dir.path().join("data")).unwrap().map(|f| f.unwrap().file_name()).collect();
    photos.retain(|p| p.to_str().is_some_and(|p| p.ends_with(".png") && !p.contains("mask")));
    photos.sort();
    let mut command = candor(dir, &["explain", "model.onnx", "--threads", "1", "--out", out]);
    command.args(photos.iter().map(|p| format!("data/{}", p.to_str().unwrap())));
    command.args(["--class", "top1", "--class", "lowest", "--set", "iterations=40", "--json"]).args(more);
    command
}

fn journal(dir: &tempfile::TempDir, out: &str) -> PathBuf {
    dir.path().join(out).join(".candor/explain/work/journal.jsonl")
}

#[test]
fn explain_stopped_again_and_again_gives_the_result_of_one_run() {
    let dir = scenes(8);
    fs::write(dir.path().join("data/000003b.png"), "no picture").unwrap();
    let whole = explain(&dir, "out", &[]).output().unwrap();
    assert_eq!(whole.status.code(), Some(3), "{}", String::from_utf8_lossy(&whole.stderr));
    fs::rename(dir.path().join("out"), dir.path().join("whole")).unwrap();
    let mut stops = 0;
    loop {
        let before = lines(&journal(&dir, "out"));
        // The header is a line, too: at least one more photo is done.
        let done = interrupted(explain(&dir, "out", &[]), || lines(&journal(&dir, "out")) > before.max(1));
        if done.status.code() == Some(3) {
            assert_eq!(String::from_utf8(done.stderr).unwrap().matches("stopped").count(), 0);
            break;
        }
        let last = stopped(&done);
        assert!(last.contains(" of 9 photos are done and kept in out; the same command goes on"), "{last}");
        assert!(lines(&journal(&dir, "out")) > before, "it goes on where it was");
        assert!(result(&dir.path().join("out")).is_empty(), "nothing is half there");
        stops += 1;
    }
    assert!(stops > 0, "it was done before it was stopped");
    let [whole, again] = ["whole", "out"].map(|out| result(&dir.path().join(out)));
    assert_eq!(whole.keys().collect::<Vec<_>>(), again.keys().collect::<Vec<_>>());
    for (name, bytes) in &whole {
        assert!(*bytes == again[name], "{} differs", name.display());
    }
    assert!(!journal(&dir, "out").exists(), "what is done is done");
}

#[test]
fn an_unfinished_run_is_not_dropped_without_being_asked() {
    let dir = scenes(6);
    let begun = || lines(&journal(&dir, "out")) > 1;
    stopped(&interrupted(explain(&dir, "out", &[]), begun));
    let kept = fs::read(journal(&dir, "out")).unwrap();
    let refused = |mut command: Command, part: &str| {
        let done = command.output().unwrap();
        let error = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(2), "{error}");
        assert!(error.contains("holds an unfinished run") && error.contains(part), "{error}");
        assert_eq!(error.trim_end().lines().count(), 1, "{error}");
        assert_eq!(fs::read(journal(&dir, "out")).unwrap(), kept);
    };
    refused(explain(&dir, "out", &["--seed", "1"]), "with another seed");
    refused(explain(&dir, "out", &["--class", "median"]), "with other classes");
    refused(
        candor(&dir, &["explain", "model.onnx", "data/000005.png", "--out", "out"]),
        "run with other classes",
    );
    // A photo that changed is explained again; the others are not.
    fs::copy(dir.path().join("data/000005.png"), dir.path().join("data/000000.png")).unwrap();
    let done = explain(&dir, "out", &[]).output().unwrap();
    assert!(done.status.success());
    let changed: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(changed["images"][0]["top"], changed["images"][5]["top"]);
    // With `--force` an unfinished run is dropped.
    stopped(&interrupted(explain(&dir, "out", &[]), begun));
    assert!(explain(&dir, "out", &["--force", "--seed", "1"]).output().unwrap().status.success());
}

#[test]
fn other_commands_say_how_they_go_on() {
    let dir = scenes(12);
    let wsol = [
        "bench",
        "wsol",
        "model.onnx",
        "data",
        "--methods",
        "reliable",
        "--no-examples",
        "--threads",
        "1",
        "--out",
        "out",
    ];
    let measured = dir.path().join("out/localization.jsonl");
    let last = stopped(&interrupted(candor(&dir, &wsol), || lines(&measured) > 1));
    assert!(
        last.contains("maps are measured and kept in out/localization.jsonl; the same command goes on"),
        "{last}"
    );
    assert!(!dir.path().join("out/wsol.json").exists());
    let kept = lines(&measured);
    assert!(candor(&dir, &wsol).output().unwrap().status.success());
    assert!(lines(&measured) > kept);

    // Unfinished work: an earlier result is unchanged.
    let check =
        ["check", "model.onnx", "data/000000.png", "data/000001.png", "--threads", "1", "--out", "checked"];
    let quick = [&check[..], &["--methods", "grad-cam"]].concat();
    assert!(candor(&dir, &quick).output().unwrap().status.success());
    let before = result(&dir.path().join("checked"));
    let busy = || dir.path().join("checked/.candor/holder.json").exists();
    let last = stopped(&interrupted(candor(&dir, &[&check[..], &["--methods", "rise"]].concat()), busy));
    assert!(last.contains("nothing was written"), "{last}");
    assert!(result(&dir.path().join("checked")) == before);
    assert!(!busy(), "nobody holds it any more");
}

#[test]
fn a_run_that_was_killed_leaves_a_note_and_its_photos() {
    let dir = scenes(6);
    let mut run = explain(&dir, "out", &[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while lines(&journal(&dir, "out")) < 2 && run.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(2));
    }
    run.kill().unwrap();
    run.wait().unwrap();
    let done = explain(&dir, "out", &[]).output().unwrap();
    let note = String::from_utf8(done.stderr).unwrap();
    assert!(done.status.success(), "{note}");
    assert!(note.contains(&format!("was left by `candor explain` (process {} on ", run.id())), "{note}");
    assert!(note.contains("of 6 photos are done; the others follow"), "{note}");
    let [resumed, whole] = [false, true].map(|again| {
        if again {
            assert!(explain(&dir, "out", &[]).output().unwrap().status.success());
        }
        result(&dir.path().join("out"))
    });
    assert!(resumed == whole);
}

#[test]
fn several_methods_go_on_where_they_were() {
    let dir = scenes(8);
    let several = ["--methods", "reliable,grad-cam"];
    assert!(explain(&dir, "out", &several).output().unwrap().status.success());
    fs::rename(dir.path().join("out"), dir.path().join("whole")).unwrap();
    let done = interrupted(explain(&dir, "out", &several), || lines(&journal(&dir, "out")) > 2);
    assert!(stopped(&done).contains(" of 8 photos are done"), "{}", stopped(&done));
    // Other methods make it another run.
    let other = explain(&dir, "out", &["--methods", "grad-cam,reliable"]).output().unwrap();
    let error = String::from_utf8(other.stderr).unwrap();
    assert!(other.status.code() == Some(2) && error.contains("holds an unfinished run"), "{error}");
    assert!(explain(&dir, "out", &several).output().unwrap().status.success());
    let (out, whole) = (result(&dir.path().join("out")), result(&dir.path().join("whole")));
    assert!(out.keys().eq(whole.keys()));
    for (name, bytes) in &out {
        assert!(bytes == &whole[name], "{} differs", name.display());
    }
}
