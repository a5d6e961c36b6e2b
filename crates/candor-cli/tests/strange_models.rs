//! Unusual models on the command line: a folder, a name on the hub, one logit, several outputs, and the doctor.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;
use candor_graph::builder::{Builder, Expr};
use candor_graph::graph::Graph;
use candor_graph::onnx;
use candor_graph::shape;
use candor_scenes::embedded;
use serde_json::Value;

/// A folder with photos, in which commands run.
struct Desk {
    dir: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let desk = Desk { dir: tempfile::tempdir().unwrap() };
        for (i, scene) in embedded::DEMO_SCENES.iter().enumerate() {
            desk.file(&format!("{i}.png"), scene.png);
        }
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::cargo_bin("candor").unwrap();
        command.current_dir(self.dir.path()).env("HF_HOME", self.path("hub-home"));
        command.args(args).output().unwrap()
    }

    fn done(&self, args: &[&str]) -> String {
        let done = self.run(args);
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.done(args)).unwrap()
    }

    fn fails(&self, args: &[&str], code: i32) -> String {
        let done = self.run(args);
        let error = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(code), "{error}");
        error
    }
}

/// The embedded model with other outputs, by name.
fn with_end(make: impl for<'b> Fn(Expr<'b>) -> Vec<(&'static str, Expr<'b>)>) -> Vec<u8> {
    let mut graph: Graph = onnx::load_bytes(embedded::MODEL).unwrap().graph;
    shape::infer(&mut graph).unwrap();
    let output = graph.outputs[0];
    let builder = Builder::new(graph);
    let made: Vec<_> = make(builder.value(output)).into_iter().map(|(name, e)| (name, e.id())).collect();
    let mut graph = builder.finish().unwrap();
    for (name, id) in &made {
        graph.rename(*id, name);
    }
    graph.outputs = made.into_iter().map(|(_, id)| id).collect();
    onnx::to_bytes(&graph).unwrap()
}

/// A single logit: that of class 3 minus that of class 5.
fn one_logit() -> Vec<u8> {
    with_end(|y| {
        let class = |c: i64| y.slice(&[1], &[c], &[c + 1], &[1]);
        vec![("unsafe", class(3) - class(5))]
    })
}

const PROCESSOR: &str = r#"{"image_processor_type": "ViTImageProcessor", "do_resize": true, "size": {"height": SIDE, "width": SIDE},
    "resample": 2, "do_rescale": true, "rescale_factor": 0.00392156862745098, "do_normalize": true,
    "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}"#;

fn processor() -> String {
    PROCESSOR.replace("SIDE", &embedded::INPUT_SIZE.to_string())
}

fn config() -> String {
    let names: Vec<String> = (0..12).map(|i| format!("\"{i}\": \"thing {i}\"")).collect();
    format!("{{\"id2label\": {{{}}}}}", names.join(", "))
}

#[test]
fn a_folder_brings_its_preprocessing_and_its_labels() {
    let desk = Desk::new();
    desk.file("pets/onnx/model.onnx", embedded::MODEL);
    desk.file("pets/preprocessor_config.json", processor());
    desk.file("pets/config.json", config());
    let quick = ["--method", "gradient", "--no-probe", "--force"];
    let explain = |model: &str, more: &[&str]| {
        desk.json(&[&["explain", model, "0.png", "--json", "--out", "out"], &quick[..], more].concat())
    };
    for model in ["pets", "pets/onnx/model.onnx"] {
        let found = explain(model, &[]);
        assert_eq!(found["sources"]["preprocessing"], "preprocessor_config.json", "{model}");
        assert_eq!(found["sources"]["labels"], "config.json", "{model}");
        assert_eq!(found["preprocessing"]["mean"][0], 0.5);
        assert!(found["images"][0]["top"][0]["name"].as_str().unwrap().starts_with("thing "));
    }
    // Options take precedence, then the sidecar.
    assert_eq!(explain("pets", &["--preset", "unit"])["sources"]["preprocessing"], "--preset");
    desk.file("pets/onnx/model.candor.toml", "mean = 0.25\n");
    let refined = explain("pets", &[]);
    assert_eq!(refined["sources"]["preprocessing"], "model.candor.toml over preprocessor_config.json");
    assert_eq!(
        (&refined["preprocessing"]["mean"][2], &refined["preprocessing"]["std"][2]),
        (&0.25.into(), &0.5.into())
    );
    let text = desk.done(&[
        "explain",
        "pets",
        "0.png",
        "--out",
        "out",
        "--method",
        "gradient",
        "--no-probe",
        "--force",
    ]);
    assert!(
        text.contains("(model.candor.toml over preprocessor_config.json)\nlabels: config.json\n"),
        "{text}"
    );
    // The photos' folder may not be the output.
    assert!(desk.fails(&["explain", "nothing", "0.png"], 1).contains("nothing"));
    fs::create_dir(desk.path("empty")).unwrap();
    assert!(desk.fails(&["explain", "empty", "0.png"], 1).contains("holds no .onnx file"));
}

#[test]
fn a_name_of_the_hub_is_a_folder_of_the_cache() {
    let desk = Desk::new();
    let error = desk.fails(&["inspect", "hf://me/pets"], 1);
    assert!(error.contains("Run: hf download me/pets --include \"*.json\" \"*.onnx*\""), "{error}");
    let snapshot = "hub-home/hub/models--me--pets/snapshots/c0ffee";
    desk.file(&format!("{snapshot}/onnx/model.onnx"), embedded::MODEL);
    desk.file(&format!("{snapshot}/preprocessor_config.json"), processor());
    desk.file("hub-home/hub/models--me--pets/refs/main", "c0ffee");
    let found = desk.json(&["inspect", "hf://me/pets", "--json"]);
    assert_eq!(found["sources"]["preprocessing"], "preprocessor_config.json");
}

#[test]
fn one_logit_goes_through_every_command() {
    let desk = Desk::new();
    desk.file("m.onnx", one_logit());
    desk.file("m.candor.toml", "preset = \"inception\"\nlabels = [\"safe\", \"unsafe\"]\n");
    assert!(desk.done(&["inspect", "m.onnx"]).contains("2 classes (one logit"));
    let found = desk.json(&[
        "explain",
        "m.onnx",
        "0.png",
        "--class",
        "safe",
        "--class",
        "1",
        "--set",
        "iterations=5",
        "--out",
        "o",
        "--json",
    ]);
    let queries = found["images"][0]["queries"].as_array().unwrap();
    assert_eq!([&queries[0]["class_name"], &queries[1]["class_name"]], ["safe", "unsafe"]);
    assert_eq!(queries[0]["log_odds"].as_f64().unwrap(), -queries[1]["log_odds"].as_f64().unwrap());
    let p: f64 = queries.iter().map(|q| q["probability"].as_f64().unwrap()).sum();
    assert!((p - 1.0).abs() < 1e-9);
    let check = desk.json(&[
        "check",
        "m.onnx",
        "0.png",
        "1.png",
        "--methods",
        "reliable,gradient",
        "--set",
        "reliable.iterations=5",
        "--out",
        "c",
        "--json",
    ]);
    let rows = check["methods"][0]["rows"].as_array().unwrap();
    let class = |kind: &str| rows.iter().find(|r| r["kind"] == kind).unwrap()["class_id"].clone();
    assert_ne!(class("top1"), class("lowest"), "the absent class is the other side");
    desk.done(&["calibrate", "m.onnx", "0.png", "1.png", "2.png", "--tolerance", "1"]);
    desk.done(&["attack", "m.onnx", "0.png", "--attack", "pgd", "--eps", "8/255", "--out", "a"]);
    desk.done(&["export", "m.onnx", "--method", "grad-cam", "--out", "cam.onnx"]);
}

#[test]
fn an_output_is_chosen_by_name() {
    let desk = Desk::new();
    desk.file("m.onnx", with_end(|y| vec![("first", y * 1.0), ("second", y * 2.0)]));
    let error = desk.fails(&["inspect", "m.onnx", "--json"], 1);
    assert!(error.contains("'first' N×12, 'second' N×12; name one with --output"), "{error}");
    let error = desk.fails(&["explain", "m.onnx", "0.png", "--output", "third"], 2);
    assert!(error.contains("it has no output 'third'"), "{error}");
    let text = desk.done(&[
        "explain",
        "m.onnx",
        "0.png",
        "--output",
        "second",
        "--preset",
        "inception",
        "--method",
        "gradient",
        "--no-probe",
    ]);
    assert!(text.contains("output: second; not used: 'first' N×12"), "{text}");
    desk.file("m.candor.toml", "output = \"first\"\n");
    let found = desk.json(&["inspect", "m.onnx", "--json"]);
    assert_eq!(
        (&found["model"]["output"], &found["model"]["other_outputs"][0]),
        (&"first".into(), &"'second' N×12".into())
    );
}

#[test]
fn the_doctor_finds_the_preprocessing_and_writes_it() {
    let desk = Desk::new();
    desk.file("m.onnx", embedded::MODEL);
    desk.done(&["scenes", "photos", "--count", "20", "--size", "112"]);
    let photos: Vec<String> = (0..20).map(|i| format!("photos/{i:06}.png")).collect();
    let photos: Vec<&str> = photos.iter().map(String::as_str).collect();
    let found = desk.json(&[&["doctor", "m.onnx", "--json"], &photos[..]].concat());
    let best = &found["candidates"][0];
    assert!(best["name"].as_str().unwrap().starts_with("inception; "), "{}", best["name"]);
    let fine = |what: &str| {
        let all = found["findings"].as_array().unwrap();
        all.iter().find(|f| f["what"] == what).unwrap()["fine"] == true
    };
    assert!(fine("levels") && fine("reliable") && fine("grad-cam") && !fine("labels"));
    // Photos of one class, by given classes or by the model's answers, decide nothing.
    desk.file("alike.csv", "0.png,3\n");
    for more in [&["--write"][..], &["--write", "--truth", "alike.csv"]] {
        let text = desk.done(&[&["doctor", "m.onnx", "0.png"], more].concat());
        assert!(
            text.contains("photos of so few classes cannot tell") && !desk.path("m.candor.toml").exists(),
            "{text}"
        );
    }
    let text = desk.done(&[&["doctor", "m.onnx", "--write"], &photos[..]].concat());
    assert!(text.contains("the most plausible") && text.contains("Written to m.candor.toml"), "{text}");
    assert!(fs::read_to_string(desk.path("m.candor.toml")).unwrap().contains("preset = \"inception\""));
    let again = desk.json(&[&["doctor", "m.onnx", "--json"], &photos[..]].concat());
    assert_eq!(again["stated"], true);
    // Wrong classes make another candidate best, and the mismatch is reported.
    desk.file("truth.csv", "file,class\n0.png,99\n");
    assert!(
        desk.fails(&["doctor", "m.onnx", "0.png", "--truth", "truth.csv"], 2)
            .contains("truth.csv: line 2: class 99")
    );
    // A table with more columns, with quotes and commas in them; one with a comma too many.
    desk.file("truth.csv", "file,class,name\n\"0.png\",\"1\",\"a, b\"\n");
    assert_eq!(desk.json(&["doctor", "m.onnx", "0.png", "--json", "--truth", "truth.csv"])["photos"], 1);
    desk.file("truth.csv", "file,class\n0.png,a, b\n");
    assert!(
        desk.fails(&["doctor", "m.onnx", "0.png", "--truth", "truth.csv"], 2)
            .contains("truth.csv: CSV error: record 1 (line: 2")
    );
    for (text, said) in [
        ("", "truth.csv: names none of the given photos"),
        ("0.png,99\n", "truth.csv: line 1: class 99"),
        ("0.png,1\n0.png,0\n", "truth.csv: line 2: 0.png has two classes"),
    ] {
        desk.file("truth.csv", text);
        let error = desk.fails(&["doctor", "m.onnx", "0.png", "--truth", "truth.csv"], 2);
        assert!(error.contains(said), "{error}");
    }
    desk.file("truth.csv", "other.png,1\n");
    assert!(
        desk.fails(&["doctor", "m.onnx", "0.png", "--truth", "truth.csv"], 2)
            .contains("names none of the given photos")
    );
    assert!(Path::new(&desk.path("0.png")).exists());
}
