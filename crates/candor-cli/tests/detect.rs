//! `candor detect` as a user runs it, on the embedded model and generated scenes.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use assert_cmd::Command;
use serde_json::{Value, json};

/// The embedded model and scenes in a folder.
struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("model.onnx"), candor_scenes::embedded::MODEL).unwrap();
        let bench = Bench { dir };
        let scenes = bench.path("scenes");
        let count = ["--count", "20", "--objects", "1-1", "--seed", "5", "--size", "112"];
        let made =
            Command::cargo_bin("candor").unwrap().arg("scenes").arg(scenes).args(count).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `candor detect WHAT MODEL …`
    fn run(&self, what: &str, arguments: &[PathBuf], extra: &[&str]) -> Output {
        let mut command = Command::cargo_bin("candor").unwrap();
        command.args(["detect", what]).arg(self.path("model.onnx")).args(arguments);
        command.args(["--preset", "inception", "--json"]).args(extra).output().unwrap()
    }

    /// `candor detect train | eval` into a folder with that name, with small masks and short training.
    fn learn(&self, what: &str, out: &str, attacks: &str, extra: &[&str]) -> Output {
        let out = self.path(out).display().to_string();
        let labels = self.labels().display().to_string();
        let settings = [
            "--attacks",
            attacks,
            "--iterations",
            "2",
            "--grid",
            "8",
            "--epochs",
            "3",
            "--out",
            &out,
            "--labels",
            &labels,
        ];
        self.run(what, &[self.path("scenes")], &[&settings[..], extra].concat())
    }

    /// Trains a detector into a folder with that name.
    fn train(&self, out: &str, attacks: &str) -> Output {
        self.learn("train", out, attacks, &[])
    }

    /// The names of the embedded model's classes.
    fn labels(&self) -> PathBuf {
        let path = self.path("labels.txt");
        fs::write(&path, candor_scenes::embedded::LABELS).unwrap();
        path
    }
}

fn printed(done: &Output) -> Value {
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).unwrap()
}

const FAST: &str = "fgsm+eps=8/255,pgd+eps=8/255+steps=5";

#[test]
fn a_detector_is_trained_goes_on_where_it_was_and_scores() {
    let bench = Bench::new();
    let card = printed(&bench.train("detector", FAST));
    assert_eq!(card["attacks"].as_array().unwrap().len(), 2);
    assert!(card["data"]["train"].as_u64().unwrap() >= 6, "{card}");
    let network = fs::read(bench.path("detector/detector.onnx")).unwrap();
    let journal = bench.path("detector/corpus/corpus.jsonl");
    let lines = fs::read_to_string(&journal).unwrap();

    // The journal loses its last line, and the stored features are removed: the same detector must result.
    let cut = lines.trim_end().rfind('\n').unwrap();
    fs::write(&journal, &lines[..cut + 9]).unwrap();
    fs::remove_dir_all(bench.path("detector/features")).unwrap();
    assert_eq!(printed(&bench.train("detector", FAST)), card);
    assert_eq!(fs::read_to_string(&journal).unwrap(), lines);
    assert_eq!(fs::read(bench.path("detector/detector.onnx")).unwrap(), network);

    let photo = bench.path("scene.png");
    fs::write(&photo, candor_scenes::embedded::DEMO_SCENES[0].png).unwrap();
    let out = bench.path("score").display().to_string();
    let scored = bench.run("score", &[bench.path("detector"), photo.clone()], &["--out", &out]);
    let scored = printed(&scored);
    let score = scored["images"][0]["score"].as_f64().unwrap();
    let threshold = scored["threshold"]["score"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&score));
    assert_eq!(scored["images"][0]["alarm"], score > threshold);
    let page = fs::read_to_string(bench.path("score/score.html")).unwrap();
    assert!(page.contains("data:image/jpeg;base64,"), "the masks are on the page");
    let moves = scored["images"][0]["moves"].as_array().unwrap();
    assert!(moves.len() == 7 && moves[0][0] == "mirrored" && moves[0][1][0].is_number(), "{moves:?}");
    assert!(page.contains("a pixel up "), "how far the evidence moves is on the page");

    // A network or a card that was changed.
    let refused = |change: &dyn Fn(), part: &str| {
        let [network, card] = ["detector/detector.onnx", "detector/detector.json"].map(|f| bench.path(f));
        let whole = [fs::read(&network).unwrap(), fs::read(&card).unwrap()];
        change();
        let done = bench.run("score", &[bench.path("detector"), photo.clone()], &[]);
        let error = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(1), "{error}");
        assert!(error.contains(part) && !error.contains("in memory"), "'{part}' is not in: {error}");
        fs::write(&network, &whole[0]).unwrap();
        fs::write(&card, &whole[1]).unwrap();
    };
    let card = |change: &dyn Fn(&mut Value)| {
        let path = bench.path("detector/detector.json");
        let mut card: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        change(&mut card);
        fs::write(path, card.to_string()).unwrap();
    };
    let flip = || {
        let mut bytes = network.clone();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(bench.path("detector/detector.onnx"), bytes).unwrap();
    };
    refused(&flip, "detector.onnx is not the network that");
    let cut = || {
        card(&|c| drop(c.as_object_mut().unwrap().remove("network_sha256")));
        fs::write(bench.path("detector/detector.onnx"), &network[..network.len() / 2]).unwrap();
    };
    refused(&cut, "detector/detector.onnx");
    refused(
        &|| card(&|c| c["thresholds"][1]["score"] = (-1e9).into()),
        "detector.json: score of a threshold",
    );
    refused(&|| card(&|c| c["features"]["rate"] = 1e30.into()), "detector.json: rate");

    // A file that is not a photo is named, and the others are screened.
    fs::write(bench.path("broken.png"), b"no picture").unwrap();
    let mixed = bench.run("score", &[bench.path("detector"), photo, bench.path("broken.png")], &[]);
    assert_eq!(mixed.status.code(), Some(3));
    let mixed: Value = serde_json::from_slice(&mixed.stdout).unwrap();
    assert_eq!(mixed["images"].as_array().unwrap().len(), 1);
    assert!(mixed["failed"][0]["path"].as_str().unwrap().ends_with("broken.png"));
}

#[test]
fn photos_for_the_thresholds_alone_are_not_attacked_and_change_no_network() {
    let bench = Bench::new();
    let train = |further: &[&str]| {
        let settings = [&["--limit", "10"], further].concat();
        let card = printed(&bench.learn("train", "detector", "fgsm+eps=8/255", &settings));
        let read = |file: &str| fs::read(bench.path("detector").join(file)).unwrap();
        let looked_at = fs::read_dir(bench.path("detector/features")).unwrap().count();
        (card, [read("detector.onnx"), read("corpus/corpus.jsonl")], looked_at)
    };
    let (plain, files, looked_at) = train(&[]);
    assert_eq!((&plain["data"]["train"], &plain["data"]["calibration"]), (&json!(5), &json!(2)));
    let (more, same, now_looked_at) = train(&["--calibration", "4"]);
    assert_eq!((&more["data"]["train"], &more["data"]["calibration"]), (&json!(5), &json!(6)));
    assert_ne!(plain["thresholds"], more["thresholds"]);
    assert_eq!(files, same, "the network and what was attacked");
    assert_eq!(now_looked_at, looked_at + 1, "only photos that calibrate are looked at anew");
}

#[test]
fn a_study_measures_all_detectors_on_images_that_none_saw() {
    let bench = Bench::new();
    let attacks = "fgsm+eps=8/255,pgd+eps=4/255+steps=5,pgd+eps=8/255+steps=5";
    let extra = ["--baselines", "--ablations", "--adaptive", "1"];
    let study = printed(&bench.learn("eval", "study", attacks, &extra));
    let names: Vec<&str> =
        study["detectors"].as_array().unwrap().iter().map(|d| d["name"].as_str().unwrap()).collect();
    assert_eq!(names[0], "hierarchical masks");
    assert_eq!(names.len(), 23, "{names:?}");
    for budgets in ["trained on weakest budgets", "trained on strongest budgets"] {
        assert!(names.contains(&budgets), "{names:?}");
    }
    for detector in study["detectors"].as_array().unwrap() {
        for cell in detector["unseen"].as_array().unwrap().iter().filter(|c| !c.is_null()) {
            let (area, interval) = (cell["auroc"].as_f64().unwrap(), &cell["interval"]);
            assert!((0.0..=1.0).contains(&area), "{detector}");
            assert!(interval[0].as_f64().unwrap() <= interval[1].as_f64().unwrap(), "{detector}");
        }
    }
    assert_eq!(study["adaptive"].as_array().unwrap().len(), 2);
    let page = fs::read_to_string(bench.path("study/detect.html")).unwrap();
    assert!(page.contains("Adaptive (white-box) attack") && page.contains("255, 60 steps"), "{page}");
}

#[test]
fn wrong_usage_is_said_in_one_line() {
    let bench = Bench::new();
    let fails = |done: Output, code: i32, words: &str| {
        let error = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(code), "{error}");
        let last = error.lines().last().unwrap_or_default();
        assert!(last.contains(words), "{error}");
    };
    fails(bench.train("d", "pdg+eps=8/255"), 2, "did you mean 'pgd'?");
    fails(bench.train("d", "pgd+eps"), 2, "'eps' of 'pgd+eps' is not KEY=VALUE");
    fails(bench.train("d", "transfer"), 2, "--from OTHER.onnx");
    let photo = bench.path("scenes");
    fails(bench.run("score", &[bench.path("nothing"), photo], &[]), 1, "detector.json");
    assert!(!bench.path("d/detector.onnx").exists());
}
