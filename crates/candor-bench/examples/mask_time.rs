//! Times the reliable mask, a gradient and other methods on request: the server for `tools/compare/`.
//!
//! The protocol is described in `tools/compare/mask_time.py`: a JSON line when ready, then one for each request on stdin,
//! with the seconds it took and numbers by which the work can be checked. Started by
//! `tools/compare/mask_time.py MODEL --candor target/release/examples/mask_time`.
#![allow(missing_docs, reason = "an example")]

use candor::progress::Unwatched;
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Instant;

use candor::engine::{Folding, Session};
use candor::mask::learn::Learner;
use candor::mask::{Settings, automatic_levels, named_levels};
use candor::methods::{self, Choices, Compiled};
use candor::model::{Model, ModelOptions};
use candor::parameters::key_value;
use candor_graph::builder::Builder;
use candor_graph::grad::gradients;
use candor_graph::rewrite;
use candor_graph::tensor::{DataType, Tensor};
use clap::Parser;
use serde_json::{Value, json};

use candor_testing::noise_image;

use candor_bench::{Outcome, engine, serve};

#[derive(Parser)]
struct Arguments {
    /// rten, onnxruntime, or a device of ONNX Runtime's such as cuda
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

/// Multiplier and increment of the comparison's image (tools/candor_tools/deterministic.py).
const IMAGE: (u64, u64) = (2_654_435_761, 12_345);

/// Compiles what a request needs when it is first made.
struct Server {
    model: Model,
    image: Vec<f32>,
    classes: Vec<usize>,
    levels: Vec<String>,
    settings: Settings,
    learner: Option<Learner>,
    gradient: Option<Box<dyn Session>>,
    explainers: HashMap<String, Box<dyn Compiled>>,
}

impl Server {
    fn new(a: Arguments) -> Outcome<Self> {
        let engine = engine(&a.engine, a.threads)?;
        let model = Model::load(&a.model, &ModelOptions::default(), engine)?;
        let settings = Settings {
            lambda: Some(a.lambda),
            iterations: a.iterations,
            rate: a.learning_rate,
            // The comparison uses the network's own null, and every query takes every step.
            floor_at_chance: false,
            exact: false,
            ..Settings::of_photo()
        };
        let (multiplier, increment) = IMAGE;
        let (amplitude, offset) = (a.amplitude, a.offset);
        let spec = json!({ "multiplier": multiplier, "increment": increment, "amplitude": amplitude, "offset": offset });
        let image = noise_image(model.input_shape.iter().product(), &spec);
        let levels = a.levels.into_iter().filter(|l| !l.is_empty()).collect();
        let (classes, learner, gradient, explainers) = (a.classes, None, None, HashMap::new());
        Ok(Server { model, image, classes, levels, settings, learner, gradient, explainers })
    }

    fn answer(&mut self, request: &str) -> Outcome<Value> {
        let words: Vec<&str> = request.split_whitespace().collect();
        match words[..] {
            ["mask"] => self.mask(),
            ["gradient"] => self.gradient(),
            ["logits"] => {
                let logits = self.model.scores(self.model.forward()?.as_mut(), &self.image)?;
                Ok(json!({ "logits": logits }))
            }
            ["method", name, ref set @ ..] => self.method(request, name, set),
            _ => Err(format!("unknown request {request:?}").into()),
        }
    }

    fn mask(&mut self) -> Outcome<Value> {
        if self.learner.is_none() {
            let levels = if self.levels.is_empty() {
                automatic_levels(&self.model)?
            } else {
                named_levels(&self.model, &self.levels)?
            };
            self.learner = Some(Learner::new(&self.model, levels, self.settings.clone())?);
        }
        let learner = self.learner.as_mut().ok_or("no learner")?;
        let start = Instant::now();
        let prepared = learner.prepare(&self.model, &self.image)?;
        let learned = learner.learn(&self.model, &prepared, &self.classes, &mut Unwatched)?;
        let seconds = start.elapsed().as_secs_f64();
        let mass = |m: &Vec<f32>| m.iter().map(|&v| f64::from(v)).sum::<f64>();
        let masses: Vec<Vec<f64>> = learned.iter().map(|l| l.masks.iter().map(mass).collect()).collect();
        Ok(json!({ "seconds": seconds, "mass": masses }))
    }

    fn gradient(&mut self) -> Outcome<Value> {
        if self.gradient.is_none() {
            self.gradient = Some(gradient(&self.model)?);
        }
        let session = self.gradient.as_mut().ok_or("no gradient")?;
        let start = Instant::now();
        let image = self.model.input_tensor(&self.image)?;
        let one_hot = (0..self.model.classes).map(|k| f32::from(u8::from(k == self.classes[0]))).collect();
        let one_hot = Tensor::floats(&[1, self.model.classes], one_hot)?;
        let out = session.run(&[&image, &one_hot])?;
        let seconds = start.elapsed().as_secs_f64();
        let squares = out[1].as_floats().unwrap_or_default().iter().map(|v| f64::from(*v).powi(2));
        Ok(json!({ "seconds": seconds, "norm": squares.sum::<f64>().sqrt() }))
    }

    /// A method's map of the first class, including the forward pass; `set` as in `candor explain --set`.
    fn method(&mut self, request: &str, name: &str, set: &[&str]) -> Outcome<Value> {
        if !self.explainers.contains_key(request) {
            let pairs: Result<Vec<_>, String> = set.iter().map(|s| key_value(s)).collect();
            let method = methods::find(name)?;
            let (made, _) = methods::prepare(&self.model, method.as_ref(), &pairs?, &Choices::default())?;
            self.explainers.insert(request.to_string(), made);
        }
        let explainer = self.explainers.get_mut(request).ok_or("no explainer")?;
        let start = Instant::now();
        explainer.scores(&self.model, &self.image)?;
        let explained = explainer.explain(&self.model, &self.classes[..1], &mut Unwatched)?;
        let seconds = start.elapsed().as_secs_f64();
        Ok(json!({ "seconds": seconds, "map": explained[0].map.data }))
    }
}

/// Logits, and the gradient of the logit that a second input selects.
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
    let mut server = Server::new(Arguments::parse())?;
    let info = server.model.engine.info();
    serve(&info, |request| server.answer(request))
}
