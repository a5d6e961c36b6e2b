//! Any bytes are a graph or an error, never a panic and never an allocation that fails.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = candor_graph::onnx::load_bytes(bytes);
});
