//! A graph that loads goes through the standard passes and is differentiated, or is an error.
#![no_main]

use std::panic::{AssertUnwindSafe, catch_unwind};

use candor_graph::grad::gradients;
use candor_graph::graph::Graph;
use candor_graph::onnx;
use candor_graph::rewrite::{self, Evaluate};
use candor_graph::shape::Dim;
use candor_graph::tensor::{DataType, Tensor};
use libfuzzer_sys::fuzz_target;

/// Computes nothing: what is tested are the passes and rules, not an engine.
struct Refuses;

impl Evaluate for Refuses {
    fn evaluate(&self, _: &Graph) -> Result<Vec<Tensor>, String> {
        Err("not computed".to_string())
    }
}

fuzz_target!(init: {
    // Candor makes errors of a library's panics; only those that leave it count.
    std::panic::set_hook(Box::new(|_| {}));
}, |bytes: &[u8]| {
    if catch_unwind(AssertUnwindSafe(|| run(bytes))).is_err() {
        std::process::abort();
    }
});

fn run(bytes: &[u8]) -> Option<()> {
    let mut graph = onnx::load_bytes(bytes).ok()?.graph;
    rewrite::standard(&mut graph, &Refuses).ok()?;
    let (x, y) = (*graph.inputs.first()?, *graph.outputs.first()?);
    let shape: Vec<Dim> = graph.shape(y)?;
    let seed = graph.add_input("seed", DataType::Float, &shape);
    gradients(graph, &[(y, seed)], &[x]).ok()?;
    Some(())
}
