//! Shared by the programs that measure Candor: engines by name, and a server that alternates with other frameworks.

use std::io::{BufRead, Write};

use candor::engine::EngineInfo;
use candor::engine::{Device, Engine, OnnxRuntime, RTen};
use serde_json::{Value, json};

/// A result of a program.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// The engine with that name: `rten`, `onnxruntime`, or a device of ONNX Runtime, such as `cuda`.
///
/// # Errors
/// An unknown name, or an engine whose library is missing.
pub fn engine(name: &str, threads: usize) -> Outcome<Box<dyn Engine>> {
    let device = match name {
        "rten" => return Ok(Box::new(RTen::new(threads))),
        "onnxruntime" => Some(Device::Cpu),
        device => Device::ALL.iter().find(|(known, _)| *known == device).map(|(_, device)| *device),
    };
    let device = device.ok_or_else(|| format!("unknown engine {name:?}"))?;
    Ok(Box::new(OnnxRuntime::new(None, threads, device)?))
}

/// Runs a server for the comparisons in `tools/compare`: announces that it is ready, then answers each line of stdin with a line of JSON.
///
/// # Errors
/// If stdin or stdout fails.
pub fn serve(info: &EngineInfo, mut answer: impl FnMut(&str) -> Outcome<Value>) -> Outcome<()> {
    let name = format!("candor {} {}", info.name, info.version);
    let mut out = std::io::stdout();
    let mut say = |value: Value| {
        writeln!(out, "{value}")?;
        out.flush()
    };
    say(json!({ "ready": true, "name": name }))?;
    for line in std::io::stdin().lock().lines() {
        say(answer(line?.trim()).unwrap_or_else(|e| json!({ "error": e.to_string() })))?;
    }
    Ok(())
}
