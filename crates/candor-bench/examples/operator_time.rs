//! Times single operators and their gradients on request: the server for `tools/compare/operator_time.py`.
//!
//! Started with an engine and ONNX files with one image-like input and one output; prints a JSON line when ready, then one for each
//! request on stdin, `forward N` or `gradient N` for file N: the seconds of a run. Inputs and seeds of gradients are noise.
#![allow(missing_docs, reason = "an example")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use candor::engine::{Engine, Folding, Session};
use candor_graph::builder::Builder;
use candor_graph::graph::Graph;
use candor_graph::shape::Dim;
use candor_graph::tensor::{DataType, Tensor};
use candor_graph::{grad, onnx, rewrite, shape};
use clap::Parser;
use serde_json::json;

use candor_bench::{Outcome, engine, serve};

#[derive(Parser)]
struct Arguments {
    /// rten or onnxruntime
    #[arg(long, default_value = "rten")]
    engine: String,
    #[arg(long, default_value_t = 2)]
    threads: usize,
    models: Vec<PathBuf>,
}

/// Runs per request: a single run is too short for the clock of a shared machine.
const RUNS: usize = 9;

/// A compiled graph with its inputs.
type Timed = (Box<dyn Session>, Vec<Tensor>);

fn input(graph: &Graph, at: usize) -> Outcome<Tensor> {
    let dims = graph.shape(graph.inputs[at]).ok_or("an input without a shape")?;
    let sizes: Option<Vec<usize>> = dims.iter().map(|d: &Dim| d.fixed()).collect();
    let sizes = sizes.ok_or("an input of free size")?;
    // Values of both signs, without equal neighbours.
    let value = |i: usize| ((i as u64 * 2_654_435_761 % 1_000_003) as f32 / 1_000_003.0 - 0.5) * 4.0;
    Ok(Tensor::floats(&sizes, (0..sizes.iter().product()).map(value).collect())?)
}

fn compiled(path: &Path, gradient: bool, engine: &dyn Engine) -> Outcome<Timed> {
    let mut graph = onnx::load(path)?.graph;
    let folding = Folding(engine);
    shape::infer(&mut graph)?;
    rewrite::standard(&mut graph, &folding)?;
    if gradient {
        let (from, to) = (graph.inputs[0], graph.outputs[0]);
        let builder = Builder::new(graph);
        let seed = builder.input("seed", DataType::Float, &builder.value(to).shape()?).id();
        let (with, found) = grad::gradients(builder.finish()?, &[(to, seed)], &[from])?;
        graph = with;
        graph.outputs.push(found[0]);
        rewrite::fold_constants(&mut graph, &folding)?;
        rewrite::remove_dead(&mut graph);
    }
    let inputs: Outcome<Vec<Tensor>> = (0..graph.inputs.len()).map(|i| input(&graph, i)).collect();
    Ok((engine.compile(&graph)?, inputs?))
}

fn seconds((session, inputs): &mut Timed) -> Outcome<f64> {
    let inputs: Vec<&Tensor> = inputs.iter().collect();
    let mut all = vec![];
    for _ in 0..RUNS {
        let start = Instant::now();
        session.run(&inputs)?;
        all.push(start.elapsed().as_secs_f64());
    }
    all.sort_by(f64::total_cmp);
    Ok(all[RUNS / 2])
}

fn main() -> Outcome<()> {
    let a = Arguments::parse();
    let engine = engine(&a.engine, a.threads)?;
    let mut made: HashMap<String, Timed> = HashMap::new();
    serve(&engine.info(), |request| {
        let (what, number) = request.split_once(' ').ok_or("say what, and of which file")?;
        let path = a.models.get(number.parse::<usize>()?).ok_or("no such file")?;
        if !made.contains_key(request) {
            made.insert(request.to_string(), compiled(path, what == "gradient", engine.as_ref())?);
        }
        Ok(json!({ "seconds": seconds(made.get_mut(request).ok_or("not compiled")?)? }))
    })
}
