//! The gradient of an ONNX model in ten lines: writes a model with ∂(Σ outputs)/∂input as an additional output.
//!
//! `cargo run --release -p candor-graph --example gradient -- model.onnx gradient.onnx`
#![allow(missing_docs, reason = "an example")]

use std::path::Path;

use candor_engine::{Folding, RTen};
use candor_graph::builder::Builder;
use candor_graph::{grad, onnx, rewrite, shape};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [from, to] = &arguments[..] else { return Err("give a model and a file to write".into()) };

    let mut graph = onnx::load(Path::new(from))?.graph;
    let engine = RTen::new(0);
    let folding = Folding(&engine);
    rewrite::free_batch(&mut graph, &folding);
    shape::infer(&mut graph)?;
    rewrite::standard(&mut graph, &folding)?;
    let (input, output) = (graph.inputs[0], graph.outputs[0]);
    let builder = Builder::new(graph);
    // The seed of the reverse sweep: 1 for every element of the output.
    let seed = (builder.value(output) * 0.0 + 1.0).id();
    let (mut graph, gradients) = grad::gradients(builder.finish()?, &[(output, seed)], &[input])?;
    graph.outputs.push(gradients[0]);
    rewrite::fold_constants(&mut graph, &folding)?;
    onnx::save(&graph, Path::new(to))?;
    Ok(())
}
