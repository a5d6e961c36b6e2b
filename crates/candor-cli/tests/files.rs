//! The files that commands write: no input and no file of the user's is overwritten, no file of an earlier run is left beside
//! a new result, and two runs do not share a folder.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;
use candor_scenes::embedded;

/// A folder with the embedded model, its sidecar and its scenes as files.
struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Bench { dir: tempfile::tempdir().unwrap() };
        fs::write(bench.path("model.onnx"), embedded::MODEL).unwrap();
        fs::write(bench.path("model.candor.toml"), embedded::SIDECAR).unwrap();
        for (i, scene) in embedded::DEMO_SCENES[..3].iter().enumerate() {
            fs::write(bench.path(&format!("scene{i}.png")), scene.png).unwrap();
        }
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, args: &[&str]) -> Output {
        Command::cargo_bin("candor").unwrap().current_dir(&self.dir).args(args).output().unwrap()
    }

    fn done(&self, args: &[&str]) {
        let done = self.run(args);
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// Runs a command that must be refused with `code` and one line that contains `part`; no file of the folder changes.
    fn refused(&self, args: &[&str], code: i32, part: &str) {
        let before = files(self.dir.path());
        let done = self.run(args);
        let error = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(code), "{args:?}: {error}");
        assert_eq!(error.trim_end().lines().count(), 1, "{args:?}: {error}");
        assert!(error.contains(part), "{args:?}: '{part}' is not in: {error}");
        assert!(files(self.dir.path()) == before, "{args:?} changed a file");
    }

    fn seen(&self, out: &str) -> Vec<String> {
        files(&self.path(out)).into_iter().map(|(name, _)| name).collect()
    }
}

/// All files below a folder with their bytes, by their names with `/`, without Candor's own.
fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = vec![];
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_string();
        if name == ".candor" {
            continue;
        }
        if path.is_dir() {
            found.extend(files(&path).into_iter().map(|(below, bytes)| (format!("{name}/{below}"), bytes)));
        } else {
            // For a dangling link, its target.
            let target = || path.read_link().unwrap().into_os_string().into_encoded_bytes();
            found.push((name, fs::read(&path).unwrap_or_else(|_| target())));
        }
    }
    found.sort();
    found
}

const FAST: [&str; 2] = ["--method", "grad-cam"];

#[test]
fn a_model_is_not_exported_onto_what_is_there() {
    let bench = Bench::new();
    fs::create_dir(bench.path("below")).unwrap();
    fs::hard_link(bench.path("model.onnx"), bench.path("hard.onnx")).unwrap();
    fs::write(bench.path("other.onnx"), "somebody's").unwrap();
    let export = |to: &'static str| ["export", "model.onnx", "--method", "gradient", "-o", to];
    for to in ["model.onnx", "./below/../model.onnx", "hard.onnx", "model.candor.toml"] {
        bench.refused(&export(to), 2, "which this command reads");
        bench.refused(&[&export(to)[..], &["--force"]].concat(), 2, "which this command reads");
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("model.onnx", bench.path("soft.onnx")).unwrap();
        bench.refused(&export("soft.onnx"), 2, "the same file as model.onnx");
    }
    bench.refused(&export("other.onnx"), 2, "--force");
    bench.done(&[&export("other.onnx")[..], &["--force"]].concat());
    // What was exported before is Candor's own file.
    bench.done(&export("other.onnx"));
}

#[test]
fn an_attack_into_the_photos_own_folder_spares_the_photos() {
    let bench = Bench::new();
    let attack = ["attack", "model.onnx", "scene0.png", "scene1.png", "--attack", "fgsm", "--out", "."];
    bench.refused(&attack, 2, "the same file as scene0.png, which this command reads");
    bench.refused(
        &[&attack[..], &["--force"]].concat(),
        2,
        "the same file as scene0.png, which this command reads",
    );
    // Named after another photo, beside the photos.
    fs::create_dir(bench.path("photos")).unwrap();
    fs::rename(bench.path("scene0.png"), bench.path("photos/scene1.png")).unwrap();
    let beside = ["attack", "model.onnx", "photos/scene1.png", "--attack", "fgsm", "--out", "."];
    bench.refused(&beside, 2, "scene1.png is there already");
}

#[test]
fn results_do_not_replace_files_of_somebody_else() {
    let bench = Bench::new();
    bench.done(&["scenes", "data", "--count", "6", "--size", "112", "--seed", "500000"]);
    let wsol =
        ["bench", "wsol", "model.onnx", "data", "--methods", "grad-cam", "--no-examples", "--out", "out"];
    let explain = [&["explain", "model.onnx", "scene0.png", "--out", "out"], &FAST[..]].concat();
    let check = ["check", "model.onnx", "scene0.png", "--methods", "grad-cam", "--out", "out"];
    let attack = ["attack", "model.onnx", "scene0.png", "--attack", "fgsm", "--out", "out"];
    let demo = [&["demo", "--out", "out"], &FAST[..]].concat();
    fs::create_dir(bench.path("out")).unwrap();
    for (command, file) in [
        (&explain[..], "report.html"),
        (&demo[..], "explain.json"),
        (&check[..], "check.csv"),
        (&attack[..], "scene0.npz"),
        (&wsol[..], "wsol.html"),
    ] {
        fs::write(bench.path("out").join(file), "mine").unwrap();
        bench.refused(command, 2, &format!("out/{file} is there already"));
        bench.done(&[command, &["--force"]].concat());
        assert_ne!(fs::read(bench.path("out").join(file)).unwrap(), b"mine");
        // Its own result is replaced without `--force`.
        bench.done(command);
    }
    // A photo without an extension has the name that its result's folder would have.
    fs::copy(bench.path("scene0.png"), bench.path("scene")).unwrap();
    bench.refused(
        &[&["explain", "model.onnx", "scene", "--out", "."], &FAST[..]].concat(),
        2,
        "scene is there already",
    );
    fs::create_dir_all(bench.path("kept/adversarial")).unwrap();
    fs::write(bench.path("kept/adversarial/000000.png"), "mine").unwrap();
    bench.refused(
        &["bench", "adversarial", "model.onnx", "data", "--out", "kept"],
        2,
        "kept/adversarial is there",
    );
    fs::create_dir_all(bench.path("kept/corpus")).unwrap();
    fs::write(bench.path("kept/corpus/notes.txt"), "mine").unwrap();
    bench.refused(&["detect", "train", "model.onnx", "data", "--out", "kept"], 2, "kept/corpus is there");
    fs::write(bench.path("kept/detect.html"), "mine").unwrap();
    bench.refused(&["detect", "eval", "model.onnx", "data", "--out", "kept"], 2, "detect.html is there");
}

#[test]
fn scenes_and_man_pages_do_not_replace_files() {
    let bench = Bench::new();
    fs::create_dir(bench.path("data")).unwrap();
    fs::write(bench.path("data/000001.png"), "a holiday").unwrap();
    fs::write(bench.path("data/000000.tmp"), "a draft").unwrap();
    let scenes = ["scenes", "data", "--count", "2", "--size", "64"];
    bench.refused(&scenes, 2, "data/000001.png is there already");
    bench.done(&[&scenes[..], &["--force"]].concat());
    let left = [
        "000000.png",
        "000000.tmp",
        "000000_mask.png",
        "000001.png",
        "000001_mask.png",
        "classes.txt",
        "scenes.csv",
    ];
    assert_eq!(bench.seen("data"), left);
    bench.done(&["man", "pages"]);
    assert!(bench.seen("pages").contains(&"candor-explain.1".to_string()));
    // Unchanged, they are its own.
    bench.done(&["man", "pages"]);
    fs::write(bench.path("pages/candor-explain.1"), "mine").unwrap();
    bench.refused(&["man", "pages"], 2, "pages/candor-explain.1 is there already");
    bench.done(&["man", "pages", "--force"]);
}

#[test]
fn calibrate_does_not_write_onto_what_it_reads() {
    let bench = Bench::new();
    // A file that is both a sidecar and a list of labels.
    let both: String = embedded::LABELS.lines().map(|label| format!("# {label}\n")).collect();
    fs::write(bench.path("labels.txt"), both).unwrap();
    let onto =
        ["calibrate", "model.onnx", "scene0.png", "--sidecar", "labels.txt", "--labels", "./labels.txt"];
    let onto = [&onto[..], &["--preset", "inception"]].concat();
    bench.refused(&onto, 2, "labels.txt is the same file as ./labels.txt, which this command reads");
}

#[test]
fn a_folder_holds_what_the_result_lists() {
    let bench = Bench::new();
    let explain = |photos: &[&str], more: &[&str]| {
        bench.done(&[&["explain", "model.onnx", "--out", "out"], photos, &FAST[..], more].concat());
        let text = fs::read_to_string(bench.path("out/explain.json")).unwrap();
        let result: serde_json::Value = serde_json::from_str(&text).unwrap();
        let mut listed: Vec<String> = ["explain.json", "report.html"].map(String::from).into();
        for query in
            result["images"].as_array().unwrap().iter().flat_map(|i| i["queries"].as_array().unwrap())
        {
            listed.extend(["npz", "png", "overlay"].map(|f| query["map"][f].as_str().unwrap().to_string()));
        }
        listed.sort();
        listed
    };
    let listed = explain(&["scene0.png", "scene1.png"], &["--class", "top1", "--class", "lowest"]);
    assert_eq!(bench.seen("out"), listed);
    // The user's own: a note, and a map that was painted over.
    fs::write(bench.path("out/scene0/note.txt"), "mine").unwrap();
    let painted = listed.iter().find(|f| f.starts_with("scene1/") && f.ends_with("overlay.png")).unwrap();
    fs::write(bench.path("out").join(painted), "mine").unwrap();
    let mut expected = explain(&["scene0.png"], &["--class", "top2"]);
    expected.extend(["scene0/note.txt".to_string(), painted.clone()]);
    expected.sort();
    assert_eq!(bench.seen("out"), expected);

    let attack = ["attack", "model.onnx", "--attack", "fgsm", "--out", "attacked"];
    bench.done(&[&attack[..], &["scene0.png", "scene1.png"]].concat());
    assert!(bench.seen("attacked").contains(&"scene1.npz".to_string()));
    bench.done(&[&attack[..], &["scene0.png"]].concat());
    assert!(!bench.seen("attacked").iter().any(|f| f.starts_with("scene1")), "{:?}", bench.seen("attacked"));
}

#[test]
fn a_run_that_fails_leaves_the_earlier_result_whole() {
    let bench = Bench::new();
    fs::write(bench.path("broken.png"), "no picture").unwrap();
    bench.done(&[&["explain", "model.onnx", "scene0.png", "--out", "out"], &FAST[..]].concat());
    let whole = files(&bench.path("out"));
    bench.refused(&["explain", "model.onnx", "broken.png", "--out", "out"], 1, "broken.png");
    bench.refused(
        &["explain", "model.onnx", "scene1.png", "--levels", "nowhere", "--out", "out"],
        2,
        "nowhere",
    );
    assert!(files(&bench.path("out")) == whole);
}

#[test]
fn a_folder_in_use_is_refused_with_the_name_of_who_uses_it() {
    use candor_report::folder::{Folder, Terms};
    let bench = Bench::new();
    let held = Folder::open(&bench.path("out"), Terms { command: "candor check".into(), ..Terms::default() })
        .unwrap();
    let explain = [&["explain", "model.onnx", "scene0.png", "--out", "out"], &FAST[..]].concat();
    bench.refused(
        &explain,
        1,
        &format!("out is in use by `candor check` (process {} on ", std::process::id()),
    );
    drop(held);
    bench.done(&explain);
}

#[test]
fn a_journal_of_another_model_is_called_so() {
    let bench = Bench::new();
    bench.done(&["scenes", "data", "--count", "4", "--size", "112", "--seed", "500000"]);
    let wsol = |model: &'static str| {
        [
            "bench",
            "wsol",
            model,
            "data",
            "--preset",
            "inception",
            "--methods",
            "grad-cam",
            "--no-examples",
            "--out",
            "out",
        ]
    };
    bench.done(&wsol("model.onnx"));
    // A second model file with another λ.
    let graph = candor_graph::onnx::load(&bench.path("model.onnx")).unwrap().graph;
    candor_graph::onnx::save(&graph, &bench.path("other.onnx")).unwrap();
    let sidecar =
        embedded::SIDECAR.lines().filter(|l| !l.starts_with("lambda")).collect::<Vec<_>>().join("\n");
    fs::write(bench.path("other.candor.toml"), sidecar + "\nlambda = 0.5\n").unwrap();
    bench.refused(&wsol("other.onnx"), 1, "localization.jsonl: was started with another model;");
    // The result of the other model, started from the beginning, replaces those of the first.
    bench.done(&[&["bench", "dwsol"], &wsol("model.onnx")[2..]].concat());
    fs::remove_file(bench.path("out/localization.jsonl")).unwrap();
    bench.done(&wsol("other.onnx"));
    let left = ["localization.jsonl", "wsol.csv", "wsol.html", "wsol.json"];
    assert_eq!(bench.seen("out"), left);
}

#[test]
fn more_threads_than_cores_are_capped_with_a_note() {
    let bench = Bench::new();
    let explain = ["explain", "model.onnx", "scene0.png", "--threads", "100000", "--out", "out", "--json"];
    let done = bench.run(&[&explain[..], &FAST[..]].concat());
    assert!(done.status.success());
    let note = String::from_utf8(done.stderr).unwrap();
    let cores = std::thread::available_parallelism().unwrap().get();
    assert!(note.contains("--threads 100000") && note.contains(&format!("{cores} cores")), "{note}");
    let result: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(result["engine"]["threads"].as_u64(), Some(cores as u64));
}

#[test]
fn a_file_of_the_earlier_result_may_be_the_next_input() {
    let bench = Bench::new();
    bench.done(&[&["explain", "model.onnx", "scene0.png", "--out", "out"], &FAST[..]].concat());
    let overlay = bench.seen("out").into_iter().find(|f| f.ends_with("overlay.png")).unwrap();
    let input = format!("out/{overlay}");
    let before = fs::read(bench.path(&input)).unwrap();
    bench.done(&[&["explain", "model.onnx", &input, "--out", "out"], &FAST[..]].concat());
    assert!(fs::read(bench.path(&input)).unwrap() == before, "the photo is still there");
    assert!(!bench.seen("out").iter().any(|f| f.starts_with("scene0/") && *f != overlay));
}

#[test]
fn force_spares_all_files_of_the_model() {
    let bench = Bench::new();
    // A sidecar with the longer name, and labels that only it names, whose file has the name of an output.
    fs::create_dir(bench.path("out")).unwrap();
    fs::remove_file(bench.path("model.candor.toml")).unwrap();
    let sidecar: Vec<&str> = embedded::SIDECAR.lines().filter(|l| !l.starts_with("labels")).collect();
    fs::write(
        bench.path("model.onnx.candor.toml"),
        format!("labels = \"out/check.csv\"\n{}\n", sidecar.join("\n")),
    )
    .unwrap();
    fs::write(bench.path("out/check.csv"), embedded::LABELS).unwrap();
    let check = ["check", "model.onnx", "scene0.png", "--methods", "grad-cam", "--out", "out", "--force"];
    bench.refused(&check, 2, "out/check.csv is an input, which this command reads");
    let export = ["export", "model.onnx", "--method", "gradient", "--force", "-o"];
    bench.refused(&[&export[..], &["model.onnx.candor.toml"]].concat(), 2, "which this command reads");
}

/// A model with a tensor in another file.
#[test]
fn force_spares_data_that_lies_beside_the_model() {
    let bench = Bench::new();
    let (bytes, outside) = externalised(embedded::MODEL);
    fs::write(bench.path("outside.onnx"), bytes).unwrap();
    fs::write(bench.path("a.npz"), outside).unwrap();
    fs::create_dir(bench.path("photos")).unwrap();
    fs::copy(bench.path("scene0.png"), bench.path("photos/a.png")).unwrap();
    let preset = ["--preset", "inception", "--force"];
    let explain = ["explain", "outside.onnx", "scene0.png", "--out", "out"];
    bench.done(&[&explain[..], &FAST, &preset].concat());
    let attack = ["attack", "outside.onnx", "photos/a.png", "--attack", "fgsm", "--out", "."];
    bench.refused(&[&attack[..], &preset].concat(), 2, "a.npz, which this command reads");
    let export = ["export", "outside.onnx", "--method", "gradient", "-o", "a.npz"];
    bench.refused(&[&export[..], &preset].concat(), 2, "a.npz is an input, which this command reads");
}

/// The model with the raw data of a tensor moved to a file `a.npz`, and that file's bytes.
fn externalised(model: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let field = |number: u64, inner: &[u8]| {
        let mut bytes = vec![];
        varint(number << 3 | 2, &mut bytes);
        varint(inner.len() as u64, &mut bytes);
        bytes.extend(inner);
        bytes
    };
    let entry =
        |key: &str, value: &str| field(13, &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat());
    let mut outside = vec![];
    let mut moved = |tensor: &[u8]| {
        let mut kept = vec![];
        for (number, whole, part) in fields(tensor) {
            if number == 9 && outside.is_empty() && part.len() > 256 {
                outside = part.to_vec();
                kept.extend([entry("location", "a.npz"), vec![14 << 3, 1]].concat());
            } else {
                kept.extend(whole);
            }
        }
        kept
    };
    let mut bytes = vec![];
    for (number, whole, part) in fields(model) {
        if number == 7 {
            let mut graph = vec![];
            for (number, whole, part) in fields(part) {
                match number {
                    5 => graph.extend(field(5, &moved(part))),
                    _ => graph.extend(whole),
                }
            }
            bytes.extend(field(7, &graph));
        } else {
            bytes.extend(whole);
        }
    }
    assert!(!outside.is_empty());
    (bytes, outside)
}

/// The fields of a protocol buffer message: number, all bytes, and the content if it is length-delimited.
fn fields(message: &[u8]) -> Vec<(u64, &[u8], &[u8])> {
    let (mut found, mut at) = (vec![], 0);
    let read = |at: &mut usize| {
        let (mut value, mut shift) = (0u64, 0);
        loop {
            let byte = message[*at];
            *at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                return value;
            }
        }
    };
    while at < message.len() {
        let start = at;
        let tag = read(&mut at);
        let length = match tag & 7 {
            0 => {
                read(&mut at);
                0
            }
            1 => 8,
            5 => 4,
            _ => read(&mut at) as usize,
        };
        found.push((tag >> 3, &message[start..at + length], &message[at..at + length]));
        at += length;
    }
    found
}

fn varint(mut value: u64, bytes: &mut Vec<u8>) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

#[test]
fn a_file_with_the_name_of_a_journal_stays() {
    let bench = Bench::new();
    bench.done(&["scenes", "data", "--count", "4", "--size", "64"]);
    fs::create_dir_all(bench.path("out/corpus")).unwrap();
    let bench_of =
        |name: &'static str| ["bench", name, "model.onnx", "data", "--methods", "grad-cam", "--out", "out"];
    for (command, journal) in [
        (&bench_of("wsol")[..], "localization"),
        (&bench_of("dwsol")[..], "localization"),
        (&bench_of("adversarial")[..], "adversarial"),
        (&bench_of("adversarial")[..], "attacked"),
        (&bench_of("grid")[..], "grid"),
        (&bench_of("objects")[..], "objects"),
        (&bench_of("faithfulness")[..], "faithfulness"),
        (&["detect", "train", "model.onnx", "data", "--out", "out"], "corpus/corpus"),
        (&["detect", "eval", "model.onnx", "data", "--out", "out"], "corpus/corpus"),
    ] {
        let journal = format!("out/{journal}.jsonl");
        fs::write(bench.path(&journal), "notes").unwrap();
        bench.refused(command, 1, &format!("{journal}: line 1 is not one of Candor's journal"));
        fs::remove_file(bench.path(&journal)).unwrap();
    }
    // Nor does such a file prove that a folder's contents are Candor's.
    fs::create_dir(bench.path("out/adversarial")).unwrap();
    fs::write(bench.path("out/adversarial/1.png"), "mine").unwrap();
    fs::write(bench.path("out/adversarial.jsonl"), "").unwrap();
    bench.refused(&bench_of("adversarial"), 2, "out/adversarial is there already");
}

#[test]
fn scenes_are_put_in_place_together_beside_their_model() {
    use candor_report::folder::{Folder, Terms};
    let bench = Bench::new();
    let scenes =
        |more: &[&'static str]| [&["scenes", "data", "--count", "2", "--size", "64"][..], more].concat();
    let held =
        Folder::open(&bench.path("data"), Terms { command: "candor scenes".into(), ..Terms::default() })
            .unwrap();
    bench.refused(&scenes(&[]), 1, "data is in use by `candor scenes`");
    drop(held);
    for own in ["data/scenes.csv", "./data/000001.png", "data/../data/classes.txt"] {
        bench.refused(&scenes(&["--model", own]), 2, "is one of the scenes' own files");
    }
    // Its folder is created first.
    bench.done(&scenes(&["--model", "data/model.onnx"]));
    bench.done(&scenes(&["--model", "elsewhere/below/model.onnx"]));
    assert_eq!(fs::read(bench.path("elsewhere/below/model.onnx")).unwrap(), embedded::MODEL);
    // Files that it wrote are its own, whether the new scenes are more or fewer.
    bench.done(&scenes(&["--seed", "7", "--model", "data/model.onnx"]));
    bench.done(&["scenes", "data", "--count", "1", "--size", "64"]);
    let left =
        ["000000.png", "000000_mask.png", "classes.txt", "model.candor.toml", "model.onnx", "scenes.csv"];
    assert_eq!(bench.seen("data"), left);
}

#[cfg(unix)]
#[test]
fn a_sidecar_that_is_a_link_stays_one() {
    use std::os::unix::fs::symlink;
    let bench = Bench::new();
    fs::create_dir(bench.path("shared")).unwrap();
    fs::rename(bench.path("model.candor.toml"), bench.path("shared/scenes.toml")).unwrap();
    symlink("shared/scenes.toml", bench.path("model.candor.toml")).unwrap();
    bench.done(&["calibrate", "model.onnx", "scene0.png"]);
    assert!(bench.path("model.candor.toml").is_symlink());
    assert!(fs::read_to_string(bench.path("shared/scenes.toml")).unwrap().contains("lambda"));
    fs::remove_file(bench.path("model.candor.toml")).unwrap();
    symlink("nowhere.toml", bench.path("model.candor.toml")).unwrap();
    let calibrate = ["calibrate", "model.onnx", "scene0.png", "--preset", "inception"];
    bench.refused(&calibrate, 1, "model.candor.toml: it is a link that leads nowhere");
}

#[test]
fn what_is_no_file_is_not_replaced_by_force() {
    let bench = Bench::new();
    fs::create_dir(bench.path("folder.onnx")).unwrap();
    let export = |to: &'static str| ["export", "model.onnx", "--method", "gradient", "--force", "-o", to];
    bench.refused(&export("folder.onnx"), 2, "no regular file");
    if Path::new("/dev/null").exists() {
        bench.refused(&export("/dev/null"), 2, "/dev/null is there, and is no regular file");
    }
    bench.refused(&export("missing/below.onnx"), 1, "cannot write missing/below.onnx");
}
