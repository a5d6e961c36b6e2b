//! Runs the shell blocks of the book, one after the other in one folder, with the files that earlier ones made.
#![cfg(unix)]

use std::process::{Command, Output};
use std::time::Instant;

/// Commands that set the system up: they need a network or build this program.
const SETUP: [&str; 2] = ["cargo install ", "pip install "];

/// A folder in which blocks run.
pub struct Shell {
    folder: tempfile::TempDir,
    /// Number of blocks that ran.
    pub ran: usize,
}

impl Shell {
    /// An empty folder.
    pub fn new() -> Self {
        Shell { folder: tempfile::tempdir().unwrap(), ran: 0 }
    }

    fn bash(&self, script: &str) -> Output {
        let program = assert_cmd::cargo::cargo_bin("candor");
        let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", script]).current_dir(&self.folder).env("PATH", path);
        bash.output().unwrap()
    }

    /// Runs a block; `from` is the page that it is on.
    pub fn run(&mut self, block: &str, from: &str) {
        let lines = block.lines().filter(|l| !SETUP.iter().any(|setup| l.starts_with(setup)));
        let script = lines.collect::<Vec<_>>().join("\n");
        if script.trim().is_empty() {
            return;
        }
        let start = Instant::now();
        let done = self.bash(&script);
        let error = String::from_utf8_lossy(&done.stderr);
        eprintln!(
            "{:5.1} s  {from}: {}",
            start.elapsed().as_secs_f64(),
            script.lines().next().unwrap_or_default()
        );
        if script.contains("--engine onnxruntime") && error.contains("its library was not found") {
            assert!(std::env::var_os("CANDOR_REQUIRE_ONNXRUNTIME").is_none(), "{from}: {script}\n{error}");
            eprintln!("ONNX Runtime is not there: {script}");
            return;
        }
        assert!(done.status.success(), "{from}: {script}\n{:?}\n{error}", done.status);
        self.ran += 1;
    }

    /// Runs a block of Python, if Python and the modules that it imports first are available.
    pub fn python(&mut self, block: &str, from: &str) {
        let imports = block.lines().find(|l| l.starts_with("import ")).unwrap_or_default();
        if !self.bash(&format!("python3 -c '{imports}'")).status.success() {
            let required =
                imports.contains("onnxruntime") && std::env::var_os("CANDOR_REQUIRE_ONNXRUNTIME").is_some();
            assert!(!required, "{from}: no Python with ONNX Runtime");
            eprintln!("the Python of {from} did not run: {imports}");
            return;
        }
        let done = Command::new("python3").args(["-c", block]).current_dir(&self.folder).output().unwrap();
        assert!(done.status.success(), "{from}: {block}\n{}", String::from_utf8_lossy(&done.stderr));
        self.ran += 1;
    }
}
