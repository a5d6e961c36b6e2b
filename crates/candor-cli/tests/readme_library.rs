//! The program in README.md is the one in `readme/program.rs`, and runs on the files that its first examples make.
#![allow(clippy::unwrap_used, reason = "a test")]

include!("readme/program.rs");

#[test]
fn the_program_of_the_readme_runs() {
    let readme = include_str!("../../../README.md").replace("\r\n", "\n");
    let program = include_str!("readme/program.rs").replace("\r\n", "\n");
    assert!(readme.contains(&format!("```rust\n{program}```\n")), "README.md has another program");
    let dir = tempfile::tempdir().unwrap();
    let mut scenes = assert_cmd::Command::cargo_bin("candor").unwrap();
    scenes
        .args(["scenes", "photos", "--count", "1", "--model", "model.onnx"])
        .current_dir(&dir)
        .assert()
        .success();
    std::env::set_current_dir(&dir).unwrap();
    main().unwrap();
}
