//! Output in a terminal: `explain` shows its preprocessing and the model's answers, in columns with names; colour only
//! if it is wanted.
#![allow(clippy::unwrap_used, reason = "a test")]

use assert_cmd::Command;

/// The output of `explain` for a scene; `variable` is set to 1.
fn explained(args: &[&str], variable: &[&str]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        let mut candor = Command::cargo_bin("candor").unwrap();
        candor.args(args).current_dir(&dir).env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
        let done = candor.envs(variable.iter().map(|name| (name, "1"))).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    run(&["scenes", "photos", "--count", "1", "--size", "112", "--model", "model.onnx"]);
    let explain = ["explain", "model.onnx", "photos/000000.png", "--class", "top1", "--class", "fish"];
    run(&[&explain[..], args].concat())
}

#[test]
fn explain_says_how_the_model_was_fed_and_what_it_answers() {
    let text = explained(&["--set", "iterations=2"], &[]);
    let fed = "preprocessing: inception: (v/255 − 0.5)/0.5, RGB; the whole photo squashed to 112×112 (height × width), bilinear (model.candor.toml)\n";
    assert!(text.starts_with(fed), "{text}");
    let top = text.lines().find_map(|l| l.trim().strip_prefix("top 5: ")).unwrap();
    let probabilities: Vec<f64> =
        top.split(", ").map(|class| class.rsplit(' ').next().unwrap().parse().unwrap()).collect();
    assert!(probabilities.len() == 5 && probabilities.is_sorted_by(|a, b| a >= b), "{top}");
    let head = text.lines().find(|l| l.trim_start().starts_with("class ")).unwrap();
    for column in ["rank", "probability", "log-odds", "null log-odds", "evidence", "mean of map", "verdict"] {
        assert!(head.contains(column), "{column} is not in: {head}");
    }
    assert!(text.contains("null log-odds: the same where the masks hide the photo"), "{text}");
    assert!(!text.contains('\x1b'), "no terminal, no colour: {text:?}");
    // A method without a null has no columns for it.
    let text = explained(&["--method", "gradient"], &[]);
    assert!(text.contains("log-odds") && !text.contains("null log-odds"), "{text}");
}

#[test]
fn colour_is_where_it_is_wanted() {
    let fast = ["--method", "gradient"];
    assert!(explained(&fast, &["CLICOLOR_FORCE"]).contains("\x1b[1m"));
    assert!(!explained(&fast, &["CLICOLOR_FORCE", "NO_COLOR"]).contains('\x1b'));
}
