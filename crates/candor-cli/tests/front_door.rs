//! `candor explain` and the library give the same files, byte for byte except for seconds.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use candor::{Class, Classifier, Method, Unwatched};
use candor_report::ReportWriter;
use candor_report::result::ExplainResult;
use candor_scenes::embedded;

/// The files below a folder, without seconds and without the page (which contains seconds, too).
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().display().to_string();
            match path.extension().and_then(|e| e.to_str()) {
                _ if path.ends_with(".candor") => {}
                _ if path.is_dir() => open.push(path),
                Some("html") => {}
                Some("json") => {
                    let text = fs::read_to_string(&path).unwrap();
                    let lines = text.lines().filter(|l| !l.trim_start().starts_with("\"seconds\":"));
                    found.insert(name, lines.collect::<Vec<_>>().join("\n").into_bytes());
                }
                _ => drop(found.insert(name, fs::read(&path).unwrap())),
            }
        }
    }
    found
}

#[test]
fn the_command_line_and_the_library_write_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let [model, photo] = ["model.onnx", "photo.png"].map(|name| dir.path().join(name));
    fs::write(&model, embedded::MODEL).unwrap();
    fs::write(dir.path().join("model.candor.toml"), embedded::SIDECAR).unwrap();
    fs::write(&photo, embedded::DEMO_SCENES[2].png).unwrap();
    let absent = "lowest";
    for (name, set) in [("reliable", vec![("iterations", "12")]), ("grad-cam", vec![])] {
        let settings = set.iter().flat_map(|(k, v)| ["--set".to_string(), format!("{k}={v}")]);
        let mut command = assert_cmd::Command::cargo_bin("candor").unwrap();
        let done = command
            .arg("explain")
            .args([&model, &photo])
            .args(["--class", "top1", "--class", absent, "--method", name, "--seed", "5", "--threads", "0"])
            .args(settings)
            .arg("--out")
            .arg(dir.path().join("command"))
            .assert()
            .success();
        assert!(done.get_output().stderr.is_empty(), "nothing was assumed");

        let method = set.iter().fold(Method::named(name), |method, (k, v)| method.with(*k, v));
        let classifier = Classifier::open(&model).unwrap();
        let mut explainer = classifier.explainer(&Method { seed: 5, ..method }).unwrap();
        let shown = photo.display().to_string();
        let pixels = candor::image::decode(&photo).unwrap();
        let classes = [Class::top(1), Class::Lowest];
        let explained = explainer.photo(&shown, &pixels, &classes, &mut Unwatched).unwrap();
        let direct = explainer.explain(&photo, &classes).unwrap();
        assert_eq!(direct[0].map, explained.classes[0].map, "a path and a decoded photo are the same");
        let mut writer = ReportWriter::create(&dir.path().join("library")).unwrap();
        writer.add(explained.into()).unwrap();
        let header = ExplainResult::of(&explainer, 5).unwrap();
        writer.finish(header).unwrap();

        let [command, library] = ["command", "library"].map(|out| files(&dir.path().join(out)));
        assert_eq!(command.keys().collect::<Vec<_>>(), library.keys().collect::<Vec<_>>());
        assert!(command.keys().any(|k| k.ends_with(".npz")), "{:?}", command.keys());
        for (name, bytes) in &command {
            assert!(*bytes == library[name], "{name} differs");
        }
    }
}
