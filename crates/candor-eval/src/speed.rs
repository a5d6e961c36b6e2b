//! How fast a model is explained on this machine: single passes, relative to the engine's peak, and whole explanations.

use candor::progress::{Progress, Unwatched};
use std::ops::ControlFlow;
use std::time::Instant;

use candor_graph::builder::Builder;
use candor_graph::flops;
use candor_graph::graph::{Graph, ValueId};
use candor_graph::shape::Dim;
use candor_graph::tensor::{DataType, Tensor};
use serde::Serialize;

use super::memory;
use crate::check::Skipped;
use crate::error::Result;
use crate::explaining::Explaining;
use candor::engine::EngineInfo;
use candor::engine::{Engine, Session};
use candor::error::one_line;
use candor::mask::learn::Learner;
use candor::mask::{Settings, automatic_levels};
use candor::methods::{Choices, Definition, find, prepare};
use candor::model::Model;
use candor::model::ModelInfo;
use candor::parameters::MethodInfo;
use candor::passes::Passes;
use candor::quantile::percentile;

/// Size of the square matrices whose product measures the engine's peak.
const PEAK_SIZE: usize = 2048;
/// Runs longer than this, in seconds, are not repeated.
const PATIENCE: f64 = 10.0;

/// The measurements.
#[derive(Clone, Debug, Serialize)]
pub struct SpeedResult {
    /// The model.
    pub model: ModelInfo,
    /// The engine that ran it.
    pub engine: EngineInfo,
    /// Maximum number of runs of each part.
    pub repeats: usize,
    /// Number of images and queries in a batch.
    pub batch: usize,
    /// Time for reading the model file and preparing the graph, once, in seconds.
    pub load_seconds: f64,
    /// The engine's peak, in 10⁹ operations per second: the fastest run of the product of two 2048×2048 matrices, or a faster pass.
    pub peak_gflops: f64,
    /// Single passes.
    pub parts: Vec<Part>,
    /// Whole explanations of one class.
    pub methods: Vec<MethodSpeed>,
    /// Methods that could not be measured.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Skipped>,
    /// The peak memory of the process, in bytes; `null` if the system does not report it.
    pub peak_memory_bytes: Option<u64>,
}

/// Statistics of several runs' times, in seconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Seconds {
    /// The median.
    pub median: f64,
    /// The fastest.
    pub min: f64,
    /// The slowest.
    pub max: f64,
    /// Number of runs.
    pub runs: usize,
}

/// One pass.
#[derive(Clone, Debug, Serialize)]
pub struct Part {
    /// What was run.
    pub name: &'static str,
    /// Its time.
    pub seconds: Seconds,
    /// Operations of its convolutions and matrix products, in 10⁹; a multiplication with its addition counts as two.
    pub gflop: f64,
    /// 10⁹ operations per second, at the median time.
    pub gflops: f64,
    /// `gflops` as a fraction of the engine's peak, 0..=1.
    pub share_of_peak: f64,
}

/// A method's explanation of one class, forward pass included.
#[derive(Clone, Debug, Serialize)]
pub struct MethodSpeed {
    /// The method with every parameter.
    pub method: MethodInfo,
    /// Time for preparing it for the model (rewriting, compiling), once, in seconds.
    pub prepare_seconds: f64,
    /// Time of one explanation.
    pub seconds: Seconds,
    /// Forward passes of one explanation.
    pub forward: u64,
    /// Backward passes of one explanation.
    pub backward: u64,
}

/// Measures `model` and the methods on it. `load_seconds` is the time that loading it took; `progress` is called after each part,
/// [`steps`] times.
///
/// # Errors
/// If the engine fails, or the model has no gradient.
pub fn measure(
    model: &Model,
    methods: &[Box<dyn Definition>],
    repeats: usize,
    load_seconds: f64,
    progress: &mut dyn Progress,
) -> Result<SpeedResult> {
    let repeats = repeats.max(1);
    let image = noise(model.input_shape.iter().product());
    let product = peak(model.engine.as_ref(), repeats)?;
    progress.stage("matrix product");
    progress.step()?;
    let mut parts = vec![];
    let mut add = |name: &'static str, seconds: Seconds, operations: u64| {
        let gflop = operations as f64 / 1e9;
        let gflops = gflop / seconds.median;
        parts.push(Part { name, seconds, gflop, gflops, share_of_peak: f64::NAN });
    };
    let batch = model.fixed_batch.unwrap_or(1);
    let forward = flops::forward(&model.graph, batch);
    add("forward", time_forward(model, &image, repeats)?, forward);
    progress.stage("forward");
    progress.step()?;
    let both = forward + flops::backward(&model.graph, &[model.input], batch);
    add("gradient", time_gradient(model, &image, repeats)?, both);
    progress.stage("gradient");
    progress.step()?;
    let (iteration, levels) = time_iteration(model, &image, repeats)?;
    let behind_masks = flops::forward_from(&model.graph, &levels, batch);
    add("mask iteration", iteration, behind_masks + flops::backward(&model.graph, &levels, batch));
    progress.stage("mask iteration");
    progress.step()?;
    // A pass may be faster than the product, by an algorithm with fewer multiplications or because more of it fits into a cache.
    let peak_gflops = parts.iter().map(|p| p.gflops).fold(product, f64::max);
    parts.iter_mut().for_each(|p| p.share_of_peak = p.gflops / peak_gflops);
    let (mut measured, mut skipped) = (vec![], vec![]);
    for method in methods {
        let name = method.description().name;
        match time_method(model, method.as_ref(), (&image, repeats), progress) {
            Ok(speed) => measured.push(speed),
            Err(e) => skipped.push(Skipped { method: name.to_string(), reason: one_line(&e) }),
        }
        progress.stage(name);
        progress.step()?;
    }
    Ok(SpeedResult {
        model: model.info.clone(),
        engine: model.engine.info(),
        repeats,
        batch,
        load_seconds,
        peak_gflops,
        parts,
        methods: measured,
        skipped,
        peak_memory_bytes: memory::peak(),
    })
}

/// Number of times that [`measure`] reports progress.
pub fn steps(methods: &[Box<dyn Definition>]) -> u64 {
    4 + methods.len() as u64
}

/// Pseudo-random values in −1..1: a Weyl sequence.
fn noise(count: usize) -> Vec<f32> {
    let value = |i: usize| (i as u32).wrapping_mul(2_654_435_761) as f32 / u32::MAX as f32 * 2.0 - 1.0;
    (0..count).map(value).collect()
}

/// Runs once to warm up, then up to `repeats` times. If the first run takes longer than [`PATIENCE`], it is the only one.
fn time(repeats: usize, mut run: impl FnMut() -> Result<()>) -> Result<Seconds> {
    let mut timed = || -> Result<f64> {
        let start = Instant::now();
        run()?;
        Ok(start.elapsed().as_secs_f64())
    };
    let first = timed()?;
    if first > PATIENCE {
        return Ok(spread(vec![first]));
    }
    let begin = Instant::now();
    let mut seconds = vec![];
    while seconds.len() < repeats && (seconds.is_empty() || begin.elapsed().as_secs_f64() < PATIENCE) {
        seconds.push(timed()?);
    }
    Ok(spread(seconds))
}

fn spread(mut seconds: Vec<f64>) -> Seconds {
    seconds.sort_by(f64::total_cmp);
    let (n, median) = (seconds.len(), percentile(&seconds, 50.0));
    let end = |v: Option<&f64>| v.copied().unwrap_or(f64::NAN);
    Seconds { median, min: end(seconds.first()), max: end(seconds.last()), runs: n }
}

/// The fastest product of two large matrices, in 10⁹ operations per second.
fn peak(engine: &dyn Engine, repeats: usize) -> Result<f64> {
    let at = |e| candor::error::Error::graph("matrix product", e);
    let builder = Builder::new(Graph::new(18));
    let values = Tensor::floats(&[PEAK_SIZE, PEAK_SIZE], noise(PEAK_SIZE * PEAK_SIZE)).map_err(at)?;
    let a = builder.input("a", DataType::Float, &[Dim::Fixed(PEAK_SIZE); 2]);
    // A constant factor, as weights are: engines pack it once.
    let product = a.op("MatMul", &[builder.constant(values.clone())], &[]).id();
    let mut graph = builder.finish().map_err(at)?;
    graph.outputs = vec![product];
    let operations = flops::forward(&graph, 1) as f64;
    let mut session = engine.compile(&graph)?;
    let seconds = time(repeats, || run(session.as_mut(), &values))?;
    Ok(operations / seconds.min / 1e9)
}

fn run(session: &mut dyn Session, input: &Tensor) -> Result<()> {
    session.run(&[input])?;
    Ok(())
}

fn time_forward(model: &Model, image: &[f32], repeats: usize) -> Result<Seconds> {
    let mut forward = model.forward()?;
    time(repeats, || Ok(model.scores(forward.as_mut(), image).map(|_| ())?))
}

fn time_gradient(model: &Model, image: &[f32], repeats: usize) -> Result<Seconds> {
    let (mut explainer, _) = prepare(model, find("gradient")?.as_ref(), &[], &Choices::default())?;
    time(repeats, || {
        explainer.scores(model, image)?;
        explainer.explain(model, &[0], &mut Unwatched)?;
        Ok(())
    })
}

/// Time per step of one query's masks, and the masked levels.
fn time_iteration(model: &Model, image: &[f32], repeats: usize) -> Result<(Seconds, Vec<ValueId>)> {
    let levels = automatic_levels(model)?;
    let values = levels.iter().map(|l| l.value).collect();
    // Every class takes every step, and the first steps warm up.
    let settings = Settings { iterations: repeats + 2, exact: false, ..Settings::of_photo() };
    let mut learner = Learner::new(model, levels, settings)?;
    let prepared = learner.prepare(model, image)?;
    let mut ends = vec![];
    let mut timed = |_| {
        ends.push(Instant::now());
        ControlFlow::Continue(())
    };
    learner.learn(model, &prepared, &[0], &mut timed)?;
    let between = ends.windows(2).skip(1).map(|w| (w[1] - w[0]).as_secs_f64());
    Ok((spread(between.collect()), values))
}

fn time_method(
    model: &Model,
    method: &dyn Definition,
    (image, repeats): (&[f32], usize),
    progress: &mut dyn Progress,
) -> Result<MethodSpeed> {
    // A class without evidence must not end the work early: noise has no evidence.
    let full = method.description().parameters.iter().filter(|p| p.name == "exact");
    let set: Vec<_> = full.map(|p| (p.name.to_string(), "false".to_string())).collect();
    let start = Instant::now();
    let (mut explainer, parameters) = prepare(model, method, &set, &Choices::default())?;
    let prepare_seconds = start.elapsed().as_secs_f64();
    let mut method = Explaining { model, explainer: explainer.as_mut(), progress };
    let mut passes = Passes::default();
    let seconds = time(repeats, || {
        let scores = method.scores(image)?;
        let class = candor::scores::argmax(&scores);
        let explained = method.explain(&[class])?;
        passes = explained.first().map_or_else(Passes::default, |e| e.passes);
        Ok(())
    })?;
    let Passes { forward, backward } = passes;
    Ok(MethodSpeed { method: parameters.info(), prepare_seconds, seconds, forward, backward })
}

#[cfg(test)]
mod tests {
    use super::*;
    use candor::engine::RTen;
    use candor::model::ModelOptions;
    use candor_scenes::embedded;

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        let s = spread(vec![4.0, 1.0, 2.0, 3.0]);
        assert_eq!((s.min, s.median, s.max, s.runs), (1.0, 2.5, 4.0, 4));
        assert_eq!(spread(vec![5.0]).median, 5.0);
    }

    #[test]
    fn every_part_and_method_of_the_embedded_model_is_measured() {
        let engine = Box::new(RTen::new(1));
        let model = Model::from_bytes("scenes", embedded::MODEL, &ModelOptions::default(), engine).unwrap();
        let chosen = ["gradient", "grad-cam"].map(|n| find(n).unwrap());
        let mut told = 0;
        let mut count = |steps| {
            told += steps;
            ControlFlow::Continue(())
        };
        let result = measure(&model, &chosen, 2, 0.1, &mut count).unwrap();
        assert_eq!(told, steps(&chosen));
        assert_eq!(
            result.parts.iter().map(|p| p.name).collect::<Vec<_>>(),
            ["forward", "gradient", "mask iteration"]
        );
        assert!(result.parts.iter().all(|p| p.seconds.runs == 2 && p.gflops > 0.0 && p.gflops.is_finite()));
        assert!(result.parts.iter().all(|p| p.share_of_peak > 0.0 && p.share_of_peak <= 1.0));
        // With the gradient of the first convolution included, the backward pass costs as much as the forward pass.
        assert!((result.parts[1].gflop / result.parts[0].gflop - 2.0).abs() < 1e-9);
        assert_eq!(result.methods.len(), 2);
        assert!(result.skipped.is_empty());
    }
}
