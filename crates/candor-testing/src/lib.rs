//! Shared by tests: inputs that any language can compute again (tools/candor_tools/deterministic.py), and the folder of real data.

pub mod dicom;

use std::path::PathBuf;

use serde_json::Value;

/// `noise`: entry `i` of a pseudo-random sequence in [−1, 1), given by `spec` (`multiplier`, `increment`, `scrambled`).
///
/// # Panics
/// If `spec` lacks a number.
pub fn noise(i: u64, spec: &Value) -> f64 {
    let part = |name: &str| spec[name].as_u64().unwrap_or_else(|| panic!("no {name} in {spec}"));
    let mut u = i.wrapping_mul(part("multiplier")).wrapping_add(part("increment")) as u32;
    if spec["scrambled"].as_bool().unwrap_or(false) {
        u = (u ^ (u >> 16)).wrapping_mul(0x85EB_CA6B);
        u = (u ^ (u >> 13)).wrapping_mul(0xC2B2_AE35);
        u ^= u >> 16;
    }
    f64::from(u) / 4_294_967_296.0 * 2.0 - 1.0
}

/// `noise_image`: `count` values, float32(noise · amplitude + offset); the offset is 0 if it is missing.
///
/// # Panics
/// If `spec` lacks a number.
pub fn noise_image(count: usize, spec: &Value) -> Vec<f32> {
    let amplitude = spec["amplitude"].as_f64().unwrap_or_else(|| panic!("no amplitude in {spec}"));
    let offset = spec["offset"].as_f64().unwrap_or(0.0);
    (0..count as u64).map(|i| (noise(i, spec) * amplitude + offset) as f32).collect()
}

/// The folder with real models and photos: `CANDOR_DATA`, by default `shared/data` beside the repository. Tests that need it are ignored
/// without `--include-ignored`.
///
/// # Panics
/// If the folder does not exist.
pub fn data_dir() -> PathBuf {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let directory = std::env::var_os("CANDOR_DATA").map_or_else(beside, PathBuf::from);
    assert!(directory.join("models").is_dir(), "no real models in {}; set CANDOR_DATA", directory.display());
    directory
}

/// The ONNX file of a golden's model: [`SCENES`] is the embedded one, others are in [`data_dir`].
///
/// # Panics
/// If it is another model and the folder does not exist.
pub fn model_file(name: &str) -> PathBuf {
    if name == SCENES {
        return PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../candor-scenes/assets/scenes.onnx");
    }
    data_dir().join("models").join(format!("{name}.onnx"))
}

/// The embedded model's name in goldens. Tests of its goldens need no real data.
pub const SCENES: &str = "scenes";

/// A file in the folder tests/data of the calling crate.
#[macro_export]
macro_rules! fixture {
    ($name:expr) => {
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join($name)
    };
}
