//! Times the reliable mask and a gradient on request: the server that `tools/compare/mask_time.py` speaks to.
//!
//! The protocol stands at the top of that script: a JSON line when ready, then one for each request on stdin (`mask` or
//! `gradient`) with the seconds it took and figures by which the work can be checked. Started by
//! `tools/compare/mask_time.py MODEL --candor target/release/examples/mask_time`.
#![allow(missing_docs, reason = "an example")]

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::time::Instant;

use candor::engine::{Device, Engine, Folding, OnnxRuntime, RTen, Session};
use candor::mask::learn::{Learner, Passes};
use candor::mask::{Settings, named_levels};
use candor::model::{Model, ModelOptions};
use candor_graph::builder::Builder;
use candor_graph::grad::gradients;
use candor_graph::rewrite;
use candor_graph::tensor::{DataType, Tensor};
use clap::Parser;
use serde_json::{Value, json};

#[path = "../tests/support/deterministic.rs"]
mod deterministic;
use deterministic::noise_image;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

#[derive(Parser)]
struct Arguments {
    /// rten or onnxruntime
    #[arg(long, default_value = "rten")]
    engine: String,
    model: PathBuf,
    #[arg(long, value_delimiter = ',')]
    levels: Vec<String>,
    #[arg(long, value_delimiter = ',')]
    classes: Vec<usize>,
    #[arg(long)]
    iterations: usize,
    #[arg(long)]
    lambda: f32,
    #[arg(long)]
    learning_rate: f32,
    #[arg(long)]
    threads: usize,
    #[arg(long)]
    amplitude: f64,
    #[arg(long)]
    offset: f64,
}

/// Multiplier and increment of the comparison's image (tools/deterministic.py).
const IMAGE: (u64, u64) = (2_654_435_761, 12_345);

struct Server {
    model: Model,
    image: Vec<f32>,
    classes: Vec<usize>,
    learner: Learner,
    gradient: Box<dyn Session>,
}

impl Server {
    fn new(a: Arguments) -> Outcome<(Self, String)> {
        let engine: Box<dyn Engine> = match a.engine.as_str() {
            "rten" => Box::new(RTen::new(a.threads)),
            "onnxruntime" => Box::new(OnnxRuntime::new(None, a.threads, Device::Cpu)?),
            other => return Err(format!("unknown engine {other:?}").into()),
        };
        let info = engine.info();
        let model = Model::load(&a.model, &ModelOptions::default(), engine)?;
        let settings = Settings {
            lambda: a.lambda,
            iterations: a.iterations,
            rate: a.learning_rate,
            // The comparison's null is the network's own, and every query takes every step.
            floor_at_chance: false,
            exact: false,
            ..Settings::default()
        };
        let learner = Learner::new(&model, named_levels(&model, &a.levels)?, settings)?;
        let gradient = gradient(&model)?;
        let (multiplier, increment) = IMAGE;
        let (amplitude, offset) = (a.amplitude, a.offset);
        let spec = json!({ "multiplier": multiplier, "increment": increment, "amplitude": amplitude, "offset": offset });
        let image = noise_image(model.input_shape.iter().product(), &spec);
        let name = format!("candor {} {}", info.name, info.version);
        Ok((Server { model, image, classes: a.classes, learner, gradient }, name))
    }

    fn answer(&mut self, request: &str) -> Outcome<Value> {
        match request {
            "mask" => self.mask(),
            "gradient" => self.gradient(),
            other => Err(format!("unknown request {other:?}").into()),
        }
    }

    fn mask(&mut self) -> Outcome<Value> {
        let start = Instant::now();
        let mut passes = Passes::default();
        let prepared = self.learner.prepare(&self.model, &self.image, &mut passes)?;
        let learned = self.learner.learn(&self.model, &prepared, &self.classes, &mut passes, &mut || {})?;
        let seconds = start.elapsed().as_secs_f64();
        let mass = |m: &Vec<f32>| m.iter().map(|&v| f64::from(v)).sum::<f64>();
        let masses: Vec<Vec<f64>> = learned.iter().map(|l| l.masks.iter().map(mass).collect()).collect();
        Ok(json!({ "seconds": seconds, "mass": masses }))
    }

    fn gradient(&mut self) -> Outcome<Value> {
        let start = Instant::now();
        let image = self.model.input_tensor(&self.image)?;
        let one_hot = (0..self.model.classes).map(|k| f32::from(u8::from(k == self.classes[0]))).collect();
        let one_hot = Tensor::floats(&[1, self.model.classes], one_hot)?;
        let out = self.gradient.run(&[&image, &one_hot])?;
        let seconds = start.elapsed().as_secs_f64();
        let squares = out[1].as_floats().unwrap_or_default().iter().map(|v| f64::from(*v).powi(2));
        Ok(json!({ "seconds": seconds, "norm": squares.sum::<f64>().sqrt() }))
    }
}

/// Logits, and the gradient of the logit that a second input chooses.
fn gradient(model: &Model) -> Outcome<Box<dyn Session>> {
    let builder = Builder::new(model.graph.clone());
    let shape = builder.value(model.logits).shape()?;
    let seed = builder.input("one_hot", DataType::Float, &shape).id();
    let (mut graph, found) = gradients(builder.finish()?, &[(model.logits, seed)], &[model.input])?;
    graph.outputs = vec![model.logits, found[0]];
    rewrite::fold_constants(&mut graph, &Folding(model.engine.as_ref()))?;
    rewrite::remove_dead(&mut graph);
    Ok(model.engine.compile(&graph)?)
}

fn main() -> Outcome<()> {
    let (mut server, name) = Server::new(Arguments::parse())?;
    for request in ["mask", "gradient"] {
        server.answer(request)?;
    }
    let mut out = std::io::stdout();
    writeln!(out, "{}", json!({ "ready": true, "name": name }))?;
    out.flush()?;
    for line in std::io::stdin().lock().lines() {
        let answer = server.answer(line?.trim()).unwrap_or_else(|e| json!({ "error": e.to_string() }));
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}
