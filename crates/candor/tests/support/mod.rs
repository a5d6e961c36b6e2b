//! What integration tests share: fixtures of the repository, and real data where it is there.
#![allow(dead_code, reason = "every test file uses its own part")]

pub mod deterministic;

use std::path::{Path, PathBuf};

/// A file of the repository's own fixtures, tests/data.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// The directory with real models and photos: `CANDOR_DATA`, or `shared/data` beside the repository.
///
/// Without it a test prints `skipped: …` and returns; with `CANDOR_REQUIRE_DATA=1` it fails instead.
pub fn data_dir() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let directory = std::env::var_os("CANDOR_DATA").map_or_else(beside, PathBuf::from);
    if directory.is_dir() {
        return Some(directory);
    }
    let what = format!("no real data in {}; set CANDOR_DATA", directory.display());
    let required = std::env::var_os("CANDOR_REQUIRE_DATA").is_some_and(|v| v == "1");
    assert!(!required, "{what}");
    println!("skipped: {what}");
    None
}
