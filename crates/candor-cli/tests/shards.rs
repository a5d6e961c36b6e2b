//! Runs that are divided among machines, and merged again.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::fs;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use common::{candor, lines, result, scenes};

type Dir = tempfile::TempDir;

fn run(dir: &Dir, args: &[&str]) -> Output {
    candor(dir, args).output().unwrap()
}

/// Checks that a command ends with this exit code, and returns its stderr.
fn ends(dir: &Dir, args: &[&str], code: i32) -> String {
    let done = run(dir, args);
    let error = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(code), "{args:?}: {error}");
    error
}

/// Checks that the parts of a command, run separately and merged, give the files of the whole command.
fn joined_as_whole(dir: &Dir, command: &[&str], count: usize, code: i32) {
    ends(dir, &[command, &["--out", "whole"]].concat(), code);
    let outs: Vec<String> = (1..=count).map(|i| format!("part{i}")).collect();
    let before: Vec<_> = outs
        .iter()
        .enumerate()
        .map(|(i, out)| {
            let shard = format!("{}/{count}", i + 1);
            let part = [command, &["--shard", &shard, "--out", out]].concat();
            let done = run(dir, &part);
            let (said, error) =
                (String::from_utf8(done.stdout).unwrap(), String::from_utf8(done.stderr).unwrap());
            assert!([0, code].contains(&done.status.code().unwrap()), "{part:?}: {error}");
            assert!(said.starts_with(&format!("shard {shard} is done in {out}: ")), "{said}");
            everything(&dir.path().join(out))
        })
        .collect();
    let mut merge = vec!["merge"];
    // In any order.
    merge.extend(outs.iter().rev().map(String::as_str));
    merge.extend(["--out", "joined"]);
    ends(dir, &merge, code);
    let [whole, joined] = ["whole", "joined"].map(|out| result(&dir.path().join(out)));
    assert!(!whole.is_empty());
    assert_eq!(whole.keys().collect::<Vec<_>>(), joined.keys().collect::<Vec<_>>(), "{command:?}");
    for (name, bytes) in &whole {
        // Lines of journals contain seconds.
        let journal = name.extension().is_some_and(|e| e == "jsonl");
        assert!(journal || *bytes == joined[name], "{command:?}: {} differs", name.display());
    }
    let after: Vec<_> = outs.iter().map(|out| everything(&dir.path().join(out))).collect();
    assert!(before == after, "the parts stay as they are");
    for out in outs.iter().map(String::as_str).chain(["whole", "joined"]) {
        fs::remove_dir_all(dir.path().join(out)).unwrap();
    }
}

/// All files below a folder, including Candor's own.
fn everything(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = vec![];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(everything(&path));
        } else if !path.ends_with("lock") {
            found.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

#[test]
fn explained_in_parts() {
    let dir = scenes(5);
    // Two photos with the same name, of which the first cannot be read, and more parts than photos.
    fs::create_dir(dir.path().join("more")).unwrap();
    fs::write(dir.path().join("more/000001.png"), "no picture").unwrap();
    let mut command = vec!["explain", "model.onnx", "more/000001.png"];
    let photos: Vec<String> = (0..5).map(|i| format!("data/00000{i}.png")).collect();
    command.extend(photos.iter().map(String::as_str));
    command.extend(["--class", "top1", "--class", "lowest", "--set", "iterations=8"]);
    joined_as_whole(&dir, &command, 3, 3);
    joined_as_whole(&dir, &command, 8, 3);
}

#[test]
fn checked_in_parts() {
    let dir = scenes(5);
    fs::write(dir.path().join("data/000001b.png"), "no picture").unwrap();
    let photos =
        ["data/000000.png", "data/000001b.png", "data/000001.png", "data/000002.png", "data/000004.png"];
    let methods = ["--methods", "grad-cam,gradient,edges,reliable", "--set", "iterations=5"];
    joined_as_whole(&dir, &[&["check", "model.onnx"], &photos[..], &methods[..]].concat(), 2, 3);
    let refused = ends(
        &dir,
        &["check", "model.onnx", photos[0], "--methods", "edges", "--randomization", "--shard", "1/2"],
        2,
    );
    assert!(refused.contains("without --shard"), "{refused}");
}

#[test]
fn benchmarks_in_parts() {
    let dir = scenes(60);
    let methods = ["--methods", "grad-cam,reliable", "--set", "reliable.iterations=5"];
    for name in ["wsol", "dwsol", "objects", "faithfulness", "adversarial"] {
        joined_as_whole(
            &dir,
            &[&["bench", name, "model.onnx", "data", "--limit", "6"], &methods[..]].concat(),
            2,
            0,
        );
    }
    joined_as_whole(
        &dir,
        &[&["bench", "grid", "model.onnx", "data", "--grids", "2"], &methods[..]].concat(),
        2,
        0,
    );
    let few = [
        "bench",
        "wsol",
        "model.onnx",
        "data",
        "--limit",
        "8",
        "--methods",
        "grad-cam,gradient",
        "--fewer",
        "gradient=3",
    ];
    joined_as_whole(&dir, &few, 3, 0);
}

#[test]
fn a_part_that_is_missing_or_wrong_is_named() {
    let dir = scenes(4);
    let command = [
        "explain",
        "model.onnx",
        "data/000000.png",
        "data/000001.png",
        "data/000002.png",
        "--method",
        "grad-cam",
    ];
    let part =
        |shard: &str, out: &str| ends(&dir, &[&command[..], &["--shard", shard, "--out", out]].concat(), 0);
    ["1/3", "2/3", "3/3"].iter().zip(["a", "b", "c"]).for_each(|(shard, out)| drop(part(shard, out)));
    let refused = |outs: &[&str], says: &str| {
        let error = ends(&dir, &[&["merge"], outs, &["--out", "joined"]].concat(), 1);
        assert!(error.contains(says) && error.trim_end().lines().count() == 1, "{error}");
        assert!(!dir.path().join("joined").exists());
    };
    refused(&["a", "b"], "shard 3/3 is missing");
    refused(&["b"], "shards 1/3, 3/3 are missing");
    fs::create_dir(dir.path().join("empty")).unwrap();
    refused(&["a", "b", "empty"], "empty holds no part of a run");
    part("2/3", "again");
    refused(&["a", "b", "again"], "shard 2/3 is given twice: in b and in again");
    part("1/2", "half");
    refused(&["a", "half"], "half holds shard 1/2, a shard 1/3");
    ends(&dir, &[&command[..6], &["lrp", "--threads", "1", "--shard", "2/3", "--out", "other"]].concat(), 0);
    refused(&["a", "other"], "other belongs to another command than a: 'lrp' instead of 'grad-cam'");
    // A folder takes one part.
    let error = ends(&dir, &[&command[..], &["--shard", "2/3", "--out", "a"]].concat(), 2);
    assert!(error.contains("a holds shard 1/3 of this run"), "{error}");
    assert!(ends(&dir, &["merge", "a", "b", "c", "--out", "a"], 2).contains("is one of the parts"));
    for shard in ["0/3", "4/3", "x"] {
        let error = ends(&dir, &[&command[..], &["--shard", shard, "--out", "x"]].concat(), 2);
        assert!(error.contains("must be I/N"), "{error}");
    }
    // The state of another run is not dropped; that of a merge is.
    let other = ["explain", "model.onnx", "data/000003.png", "--shard", "1/1", "--out", "joined"];
    ends(&dir, &other, 0);
    let error = ends(&dir, &["merge", "a", "b", "c", "--out", "joined"], 1);
    assert!(error.contains("joined holds an unfinished run"), "{error}");
    ends(&dir, &["merge", "a", "b", "c", "--out", "joined", "--force"], 0);
    fs::rename(dir.path().join("model.onnx"), dir.path().join("away.onnx")).unwrap();
    assert!(ends(&dir, &["merge", "a", "b", "c", "--out", "later"], 1).contains("model.onnx"));
    fs::rename(dir.path().join("away.onnx"), dir.path().join("model.onnx")).unwrap();
    ends(&dir, &["merge", "a", "b", "c", "--out", "later"], 0);
    assert!(!dir.path().join("later/.candor/merging").exists());
}

/// Two shards of a run over three photos with Grad-CAM, in the folders `a` and `b`, and the whole run in `whole`.
fn two_parts(dir: &Dir) -> Vec<&'static str> {
    let photos = ["data/000000.png", "data/000001.png", "data/000002.png"];
    let command = [&["explain", "model.onnx"], &photos[..], &["--method", "grad-cam"]].concat();
    ends(dir, &[&command[..], &["--shard", "1/2", "--out", "a"]].concat(), 0);
    ends(dir, &[&command[..], &["--shard", "2/2", "--out", "b"]].concat(), 0);
    ends(dir, &[&command[..], &["--out", "whole"]].concat(), 0);
    command
}

#[test]
fn a_merge_that_was_cut_off_leaves_nothing_in_the_next_one() {
    let dir = scenes(3);
    two_parts(&dir);
    let whole = result(&dir.path().join("whole"));
    // Half of a file in the folder where a merge is prepared.
    let aside = dir.path().join("joined/.candor/merging/.candor/explain/files");
    for (name, bytes) in &whole {
        let half = aside.join(name);
        fs::create_dir_all(half.parent().unwrap()).unwrap();
        fs::write(half, &bytes[..bytes.len() / 2]).unwrap();
    }
    ends(&dir, &["merge", "a", "b", "--out", "joined"], 0);
    assert!(result(&dir.path().join("joined")) == whole);
    // A merge whose last step failed starts again; one in whose folder another run was begun does not.
    fs::create_dir(dir.path().join("blocked")).unwrap();
    fs::write(dir.path().join("blocked/report.html"), "mine").unwrap();
    for _ in 0..2 {
        let error = ends(&dir, &["merge", "a", "b", "--out", "blocked"], 2);
        assert!(error.contains("report.html"), "{error}");
    }
    fs::remove_file(dir.path().join("blocked/report.html")).unwrap();
    ends(&dir, &["merge", "a", "b", "--out", "blocked"], 0);
    assert!(result(&dir.path().join("blocked")) == whole);
    fs::create_dir_all(dir.path().join("begun/.candor/merging")).unwrap();
    ends(&dir, &["explain", "model.onnx", "data/000000.png", "--shard", "1/1", "--out", "begun"], 0);
    let error = ends(&dir, &["merge", "a", "b", "--out", "begun"], 1);
    assert!(error.contains("begun holds an unfinished run"), "{error}");
}

#[test]
fn parts_stay_joinable_whatever_is_tried_with_their_folders() {
    let dir = scenes(3);
    let command = two_parts(&dir);
    // Another run is refused there.
    let other = [&command[..5], &["--method", "lrp", "--shard", "1/2", "--out", "a"]].concat();
    assert!(ends(&dir, &other, 2).contains("a holds an unfinished run with another method"));
    ends(&dir, &["merge", "a", "b", "--out", "joined"], 0);
    let error = ends(&dir, &["merge", "a", "b", "--out", "a/.candor/explain/files"], 2);
    assert!(error.contains("lies inside a"), "{error}");
    // A model that now gives other results: nothing is measured again silently.
    let sidecar = dir.path().join("model.candor.toml");
    let text = fs::read_to_string(&sidecar).unwrap();
    fs::write(&sidecar, "preset = \"unit\"\n").unwrap();
    for force in [&[][..], &["--force"]] {
        let error = ends(&dir, &[&["merge", "a", "b", "--out", "changed"], force].concat(), 1);
        assert!(error.contains("the parts were measured with another preprocessing"), "{error}");
    }
    fs::write(&sidecar, text).unwrap();
    // Another run in a part's folder.
    let [a, kept] = ["a", "kept"].map(|name| dir.path().join(name));
    ends(&dir, &[&command[..], &["--out", "b"]].concat(), 0);
    let error = ends(&dir, &["merge", "a", "b", "--out", "again"], 1);
    assert!(error.contains("b no longer has the results of shard 2/2"), "{error}");
    // Descriptions that were edited.
    fs::copy(a.join(".candor/shard.json"), &kept).unwrap();
    let text = fs::read_to_string(&kept).unwrap();
    let edited = [
        (text.replace("[\"explain\"", "[\"merge\""), "is damaged"),
        (text.replace("[\"explain\"", "[\"demo\""), "is damaged"),
        (text.replace("\"version\":\"", "\"version\":\"9"), "was made by Candor 9"),
    ];
    for (edited, says) in edited {
        assert_ne!(edited, text);
        fs::write(a.join(".candor/shard.json"), edited).unwrap();
        let error = ends(&dir, &["merge", "a", "b", "--out", "again"], 1);
        assert!(error.contains(says) && !dir.path().join("again").exists(), "{error}");
    }
}

#[test]
fn what_the_whole_run_would_refuse_is_refused_before_a_part_is_measured() {
    let dir = scenes(6);
    let command = ["bench", "wsol", "model.onnx", "data", "--methods", "grad-cam", "--tuning", "60"];
    let error = ends(&dir, &[&command[..], &["--shard", "1/2", "--out", "a"]].concat(), 2);
    assert!(error.contains("--tuning 60 leaves none"), "{error}");
}

#[test]
fn a_journal_that_stands_in_the_way_is_the_one_that_is_named() {
    let dir = scenes(6);
    let command = ["bench", "wsol", "model.onnx", "data", "--methods", "grad-cam,gradient", "--no-examples"];
    for (shard, out) in [("1/2", "a"), ("2/2", "b")] {
        ends(&dir, &[&command[..], &["--shard", shard, "--out", out]].concat(), 0);
    }
    ends(&dir, &[&command[..], &["--seed", "7", "--out", "joined"]].concat(), 0);
    let before = everything(&dir.path().join("joined"));
    let error = ends(&dir, &["merge", "a", "b", "--out", "joined"], 1);
    assert!(error.contains("joined/localization.jsonl: was started with another seed"), "{error}");
    let after: Vec<_> = everything(&dir.path().join("joined"));
    assert!(before == after);
}

#[test]
fn parts_that_were_killed_again_and_again_are_joined_to_the_same_bytes() {
    let dir = scenes(8);
    let mut command = vec!["explain", "model.onnx"];
    let photos: Vec<String> = (0..8).map(|i| format!("data/00000{i}.png")).collect();
    command.extend(photos.iter().map(String::as_str));
    command.extend(["--class", "top1", "--class", "lowest", "--set", "iterations=20", "--threads", "1"]);
    ends(&dir, &[&command[..], &["--out", "whole"]].concat(), 0);
    let mut kills = 0;
    for (shard, out) in [("1/2", "a"), ("2/2", "b")] {
        let part = [&command[..], &["--shard", shard, "--out", out]].concat();
        let journal = dir.path().join(out).join(".candor/explain/work/journal.jsonl");
        loop {
            let before = lines(&journal);
            let mut started = candor(&dir, &part).spawn().unwrap();
            // At another moment each time: after one more photo, and a varying number of milliseconds.
            while lines(&journal) <= before.max(1) && started.try_wait().unwrap().is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(Duration::from_millis(7 * kills % 40));
            if started.try_wait().unwrap().is_some() {
                break;
            }
            started.kill().unwrap();
            started.wait().unwrap();
            kills += 1;
        }
        ends(&dir, &part, 0);
    }
    assert!(kills >= 2, "{kills} kills");
    ends(&dir, &["merge", "a", "b", "--out", "joined"], 0);
    let [whole, joined] = ["whole", "joined"].map(|out| result(&dir.path().join(out)));
    assert_eq!(whole.keys().collect::<Vec<_>>(), joined.keys().collect::<Vec<_>>());
    for (name, bytes) in &whole {
        assert!(*bytes == joined[name], "{} differs", name.display());
    }
}
