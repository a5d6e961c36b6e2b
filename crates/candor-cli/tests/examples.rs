//! Every example of README.md and of every `--help` runs as written: one after the other in one folder, with the files that earlier
//! ones made.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Instant;

/// The program under test.
fn candor() -> std::path::PathBuf {
    assert_cmd::cargo::cargo_bin("candor")
}

/// The help of a command.
fn help(command: &[String]) -> String {
    let done = Command::new(candor()).args(command).arg("--help").output().unwrap();
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// The commands in the order of their help, each followed by its subcommands; the program itself first.
fn commands(parent: &[String]) -> Vec<Vec<String>> {
    let text = help(parent);
    let listed = text.lines().skip_while(|l| *l != "Commands:").skip(1).take_while(|l| !l.is_empty());
    let names = listed.filter(|l| l.starts_with("  ") && !l.starts_with("   "));
    let names = names.map(|l| l.split_whitespace().next().unwrap().to_string()).filter(|n| n != "help");
    let mut all = vec![parent.to_vec()];
    for name in names {
        all.extend(commands(&[parent, &[name]].concat()));
    }
    all
}

/// The indented lines under a heading, without the indentation.
fn section(text: &str, heading: &str) -> Vec<String> {
    let below = text.lines().skip_while(|l| *l != heading).skip(1).take_while(|l| l.starts_with("  "));
    below.map(|l| l[2..].to_string()).collect()
}

/// Lines of a shell script; those that end in a backslash are joined with the next.
fn joined(lines: &[String]) -> Vec<String> {
    let text = lines.join("\n").replace("\\\n", " ");
    text.lines().filter(|l| !l.trim().is_empty() && !l.starts_with('#')).map(str::to_string).collect()
}

/// The blocks of a Markdown text that are fenced as `language`.
fn fenced(markdown: &str, language: &str) -> Vec<String> {
    let mut lines = vec![];
    let mut inside = false;
    for line in markdown.lines() {
        match line.trim_start().strip_prefix("```") {
            Some(rest) => inside = !inside && rest == language,
            None if inside => lines.push(line.to_string()),
            None => {}
        }
    }
    lines
}

/// A folder in which examples run.
struct Shell {
    dir: tempfile::TempDir,
    ran: BTreeSet<String>,
}

/// Commands that set the system up: they need a network or build this program.
const SETUP: [&str; 4] = ["cargo install ", "cargo test ", "pip install ", "npm install "];

impl Shell {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        // A stand-in for npm's files: `candor page` copies them without reading them.
        let runtime = dir.path().join("node_modules/onnxruntime-web/dist");
        std::fs::create_dir_all(&runtime).unwrap();
        for file in candor_report::browser::RUNTIME {
            std::fs::write(runtime.join(file), "").unwrap();
        }
        Shell { dir, ran: BTreeSet::new() }
    }

    fn bash(&self, line: &str) -> Output {
        let path = std::env::var("PATH").unwrap();
        let path = format!("{}:{path}", candor().parent().unwrap().display());
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", line]).current_dir(&self.dir);
        bash.env("PATH", path).env_remove("NO_COLOR").output().unwrap()
    }

    /// Runs the example on a line; `from` is where the line is from.
    fn run(&mut self, line: &str, from: &str) {
        // An example that two helps share runs once.
        if SETUP.iter().any(|setup| line.starts_with(setup)) || !self.ran.insert(line.to_string()) {
            return;
        }
        // The build under test.
        let mut line = line.replace("cargo run --release -- ", "candor ");
        // jq is another program: if it is missing, its input is made nevertheless.
        if let Some((left, _)) = line.split_once("| jq ").filter(|_| !self.has("jq --version")) {
            eprintln!("jq is not there: {line}");
            line = left.to_string();
        }
        let start = Instant::now();
        let done = self.bash(&line);
        let error = String::from_utf8_lossy(&done.stderr);
        eprintln!("{:5.1} s  {from}: {line}", start.elapsed().as_secs_f64());
        if line.contains("--engine onnxruntime") && error.contains("its library was not found") {
            assert!(std::env::var_os("CANDOR_REQUIRE_ONNXRUNTIME").is_none(), "{from}: {line}: {error}");
            eprintln!("ONNX Runtime is not there: {line}");
            return;
        }
        assert!(done.status.success(), "{from}: {line}: {:?}\n{error}", done.status);
    }

    /// Runs the Python code in a help's text, if Python with ONNX Runtime is available.
    fn python(&mut self, lines: &[String], from: &str) {
        if lines.is_empty() {
            return;
        }
        if !self.has("python3 -c 'import numpy, onnxruntime'") {
            assert!(
                std::env::var_os("CANDOR_REQUIRE_PYTHON").is_none(),
                "{from}: no Python with ONNX Runtime"
            );
            eprintln!("a Python with ONNX Runtime is not there: the Python of {from} did not run");
            return;
        }
        let done =
            Command::new("python3").arg("-c").arg(lines.join("\n")).current_dir(&self.dir).output().unwrap();
        assert!(done.status.success(), "{from}: {}", String::from_utf8_lossy(&done.stderr));
    }

    fn has(&self, command: &str) -> bool {
        self.bash(command).status.success()
    }
}

#[test]
fn the_examples_of_every_help_run() {
    let mut shell = Shell::new();
    for command in commands(&[]) {
        let text = help(&command);
        let from = [&["candor".to_string()], &command[..]].concat().join(" ");
        let mut examples = joined(&section(&text, "Examples:"));
        examples.extend(joined(&section(&text, "Example:")));
        assert!(!examples.is_empty() || text.contains("\nCommands:\n"), "{from} has no example");
        examples.iter().for_each(|line| shell.run(line, &from));
        shell.python(&section(&text, "In Python:"), &from);
    }
    assert!(shell.ran.len() >= 40, "{} examples", shell.ran.len());
}

#[test]
fn the_examples_of_the_readme_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for file in ["README.md", "crates/candor-cli/README.md"] {
        let mut shell = Shell::new();
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        let examples = joined(&fenced(&text, "sh"));
        examples.iter().for_each(|line| shell.run(line, file));
        assert!(shell.ran.len() >= 3, "{file}: {} examples", shell.ran.len());
        // A command in another kind of block would not be run here.
        let elsewhere = text.lines().filter(|l| l.starts_with("    candor ") || l.starts_with("    cargo "));
        assert_eq!(elsewhere.collect::<Vec<_>>(), [""; 0], "{file}");
    }
}
