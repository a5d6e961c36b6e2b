//! The engine to take where none is named.

use std::path::Path;

#[cfg(feature = "onnxruntime")]
use crate::{Device, OnnxRuntime};
use crate::{Engine, EngineError, RTen};

/// Environment variable that says which engine is taken where none is named: `rten`, `onnxruntime` or `auto`.
pub const ENGINE: &str = "CANDOR_ENGINE";

/// The engine that [`ENGINE`] names; else the faster of those that are there: ONNX Runtime if its library, `library` or found, can be used,
/// or RTen. `threads` as the engines take them. The text says which it is and why, if that was not said before.
///
/// # Errors
/// [`EngineError::Library`] if the variable names an engine that there is not, or whose library cannot be used.
pub fn automatic(
    library: Option<&Path>,
    threads: usize,
) -> Result<(Box<dyn Engine>, Option<String>), EngineError> {
    let named = std::env::var_os(ENGINE).unwrap_or_default().to_string_lossy().trim().to_lowercase();
    match named.as_str() {
        "" | "auto" => Ok(match fast(library, threads) {
            Ok((engine, why)) => (engine, Some(why)),
            Err(e) => {
                let why = format!("RTen, which is slower and always here ({e})");
                (Box::new(RTen::new(threads)), Some(why))
            }
        }),
        "rten" => Ok((Box::new(RTen::new(threads)), None)),
        "onnxruntime" => fast(library, threads).map(|(engine, _)| (engine, None)),
        _ => Err(EngineError::Library {
            engine: ENGINE,
            reason: format!(
                "there is no engine '{named}', which this environment variable names; there are: auto, rten, onnxruntime"
            ),
        }),
    }
}

#[cfg(feature = "onnxruntime")]
fn fast(library: Option<&Path>, threads: usize) -> Result<(Box<dyn Engine>, String), EngineError> {
    let engine = OnnxRuntime::new(library, threads, Device::Cpu)?;
    let why = format!("ONNX Runtime, as its library is here: {}", engine.library().display());
    Ok((Box::new(engine), why))
}

#[cfg(not(feature = "onnxruntime"))]
fn fast(_: Option<&Path>, _: usize) -> Result<(Box<dyn Engine>, String), EngineError> {
    let reason = "this build is without it (feature `onnxruntime`)".to_string();
    Err(EngineError::Library { engine: "onnxruntime", reason })
}
