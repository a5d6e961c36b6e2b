//! The help of every command, as snapshots: names, flags and defaults are a contract, and a change of them shows in review.
//! After an intended change: `INSTA_UPDATE=always cargo test -p candor-cli --test help`, and read the difference.
#![allow(clippy::unwrap_used, reason = "a test")]

use assert_cmd::Command;

/// A command's help, 100 columns wide.
fn help(path: &[&str]) -> String {
    let done = Command::cargo_bin("candor").unwrap().args(path).arg("--help").output().unwrap();
    assert!(done.status.success() && done.stderr.is_empty(), "{path:?}");
    // On Windows the program's name has an extension.
    String::from_utf8(done.stdout).unwrap().replace("candor.exe", "candor")
}

/// The subcommands that a help lists, except for clap's own `help`.
fn subcommands(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|l| *l != "Commands:").skip(1).take_while(|l| !l.is_empty());
    let names = lines.filter(|l| l.starts_with("  ") && !l.starts_with("   "));
    names.filter_map(|l| l.split_whitespace().next()).filter(|n| *n != "help").map(String::from).collect()
}

/// Takes snapshots of a command and its subcommands; returns their number.
fn snapshot(path: &[&str]) -> usize {
    let text = help(path);
    insta::assert_snapshot!([&["candor"], path].concat().join("_"), text);
    let below = subcommands(&text);
    1 + below.iter().map(|name| snapshot(&[path, &[name.as_str()]].concat())).sum::<usize>()
}

#[test]
fn every_command_says_what_it_said() {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let commands = settings.bind(|| snapshot(&[]));
    // A snapshot whose command was removed would never fail.
    let kept = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/snapshots")).unwrap();
    let kept = kept.filter(|f| f.as_ref().unwrap().path().extension().is_some_and(|e| e == "snap")).count();
    assert_eq!(kept, commands);
}
