//! Opens a model: its sidecar, with keys that the caller gave, and its engine.

use std::path::{Path, PathBuf};

use candor::engine::{Device, Engine, OnnxRuntime, RTen, automatic};
use candor::sidecar::Sidecar;
use pyo3::prelude::*;
use serde_json::{Map, Value, json};

use crate::errors::{self, Raised};

/// Name, device, library and threads of an engine.
pub type Chosen = (String, String, Option<PathBuf>, usize);

/// A sidecar with some keys replaced. A preset replaces numbers that refined another preset.
pub fn with_keys(sidecar: Sidecar, keys: &str, at: &Path) -> PyResult<Sidecar> {
    let wrong = |e: serde_json::Error| errors::exception("UsageError", &format!("{}: {e}", at.display()));
    let keys: Map<String, Value> = serde_json::from_str(keys).map_err(wrong)?;
    for (key, value) in &keys {
        let alone = serde_json::from_value::<Sidecar>(json!({ key: value }));
        alone.map_err(|e| errors::exception("UsageError", &format!("{}, key `{key}`: {e}", at.display())))?;
    }
    let mut all = serde_json::to_value(sidecar).map_err(wrong)?;
    if let Some(all) = all.as_object_mut() {
        all.retain(|_, value| !value.is_null());
        if keys.contains_key("preset") {
            all.retain(|key, _| !["scale", "mean", "std", "color"].contains(&key.as_str()));
        }
        all.extend(keys);
    }
    let sidecar: Sidecar = serde_json::from_value(all).map_err(wrong)?;
    let checked = sidecar.to_text(at).map_err(candor::Error::from);
    checked.map_err(|e| errors::exception("UsageError", &candor::error::one_line(&e)))?;
    Ok(sidecar)
}

/// The engine with that name, on that device, with that library of ONNX Runtime and that number of threads.
pub fn engine_of((name, device, library, threads): Chosen) -> PyResult<Box<dyn Engine>> {
    let usage = |text: String| errors::exception("UsageError", &text);
    let known = Device::ALL.map(|(name, _)| name);
    let found = Device::ALL.iter().find(|(n, _)| *n == device).map(|(_, device)| *device);
    let device = found
        .ok_or_else(|| usage(format!("there is no device '{device}'; there are: {}", known.join(", "))))?;
    match name.as_str() {
        "rten" if device != Device::Cpu => Err(usage("a device needs engine='onnxruntime'".to_string())),
        "rten" => Ok(Box::new(RTen::new(threads))),
        "auto" if device == Device::Cpu => {
            Ok(automatic(library.as_deref(), threads).map_err(candor::Error::from).raised()?.0)
        }
        "auto" | "onnxruntime" => {
            let engine = OnnxRuntime::new(library.as_deref(), threads, device);
            Ok(Box::new(engine.map_err(candor::Error::from).raised()?))
        }
        _ => Err(usage(format!("there is no engine '{name}'; there are: auto, rten, onnxruntime"))),
    }
}
