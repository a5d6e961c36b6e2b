//! Shared by tests of runs that are interrupted or divided.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use candor_scenes::embedded;

/// A folder with the embedded model and `count` scenes.
pub fn scenes(count: usize) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("model.onnx"), embedded::MODEL).unwrap();
    fs::write(dir.path().join("model.candor.toml"), embedded::SIDECAR).unwrap();
    let count = count.to_string();
    let made =
        candor(&dir, &["scenes", "data", "--seed", "500000", "--size", "112", "--count", &count]).output();
    assert!(made.unwrap().status.success());
    dir
}

pub fn candor(dir: &tempfile::TempDir, args: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("candor"));
    command.current_dir(dir).args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub fn lines(path: &Path) -> usize {
    fs::read(path).map_or(0, |text| text.iter().filter(|b| **b == b'\n').count())
}

/// The files of a result with their content, without seconds.
pub fn result(out: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![out.to_path_buf()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(out).unwrap().to_path_buf();
            let text = || fs::read_to_string(&path).unwrap();
            let without =
                |part: &str| text().lines().filter(|l| !l.contains(part)).collect::<Vec<_>>().join("\n");
            match path.extension().and_then(|e| e.to_str()) {
                _ if path.ends_with(".candor") => {}
                _ if path.is_dir() => open.push(path),
                Some("json") => drop(found.insert(name, without("\"seconds\":").into_bytes())),
                Some("html") => {
                    // The command contains the folder's name.
                    let named = format!("--out {}", out.file_name().unwrap().display());
                    let page = without(">Seconds<").replace(&named, "--out out");
                    drop(found.insert(name, page.into_bytes()));
                }
                _ => drop(found.insert(name, fs::read(&path).unwrap())),
            }
        }
    }
    found
}
