//! Engines execute graphs: compile once, run many times.
#![deny(missing_docs)]

/// The examples of README.md, run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod automatic;
mod forms;
mod guarded;
#[cfg(feature = "onnxruntime")]
pub mod library;
#[cfg(feature = "onnxruntime")]
mod onnx_runtime;
mod rten;

use std::any::Any;

use candor_graph::graph::Graph;
use candor_graph::rewrite::Evaluate;
use candor_graph::tensor::Tensor;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use automatic::{ENGINE, automatic};
pub use guarded::Guarded;
#[cfg(feature = "onnxruntime")]
pub use onnx_runtime::{Device, OnnxRuntime};
pub use rten::RTen;

/// The engine used for a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EngineInfo {
    /// `rten` or `onnxruntime`.
    pub name: String,
    /// Version of the engine.
    pub version: String,
    /// Number of threads it may use.
    pub threads: usize,
}

/// An engine's failure.
#[derive(Debug, Error)]
pub enum EngineError {
    /// The engine's library is missing or cannot be used.
    #[error("{engine}: {reason}")]
    Library {
        /// Name of the engine.
        engine: &'static str,
        /// Where the library was looked for, and what to do.
        reason: String,
    },
    /// The graph could not be compiled.
    #[error("{engine} cannot load the graph: {reason}; try the other --engine")]
    Compile {
        /// Name of the engine.
        engine: &'static str,
        /// The engine's message.
        reason: String,
    },
    /// A run failed.
    #[error("{engine} failed while running the graph: {reason}")]
    Run {
        /// Name of the engine.
        engine: &'static str,
        /// The engine's message.
        reason: String,
    },
    /// The engine panicked: a bug of the engine, or a file that it does not expect.
    #[error("{engine} crashed on the graph ({reason}); try the other --engine")]
    Panicked {
        /// Name of the engine.
        engine: String,
        /// The panic's message.
        reason: String,
    },
    /// A run would need more memory than is available.
    #[error(
        "{engine} would need {mebibytes} MiB for a batch of {batch}, more than there is; give the model smaller images, or fewer at once"
    )]
    Memory {
        /// Name of the engine.
        engine: String,
        /// Peak memory of the graph's values, in MiB.
        mebibytes: u64,
        /// The batch size.
        batch: usize,
    },
    /// One of these errors, with the model that it is about.
    #[error("{model}")]
    Model {
        /// The model's file.
        model: String,
        /// What happened.
        source: Box<EngineError>,
    },
}

/// Number of cores that the process may use: the maximum number of threads of an engine.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The number of threads to use: 0 means one per core. It is limited to the number of cores: with more, threads wait for each other at
/// every operator, and runs with a thousand threads did not end.
fn threads_or_cores(threads: usize) -> usize {
    let cores = cores();
    if threads == 0 { cores } else { threads.min(cores) }
}

/// Refuses a wrong number of inputs, so that the error does not depend on the engine.
fn check_count(engine: &'static str, given: usize, expected: usize) -> Result<(), EngineError> {
    if given == expected {
        return Ok(());
    }
    Err(EngineError::Run { engine, reason: format!("{given} inputs given, {expected} expected") })
}

/// Compiles graphs.
pub trait Engine: Send + Sync {
    /// Name, version and threads, as recorded in results.
    fn info(&self) -> EngineInfo;

    /// Compiles a graph. Inputs and outputs of the session are in the graph's order.
    ///
    /// # Errors
    /// [`EngineError::Compile`] if the engine does not support something in the graph.
    fn compile(&self, graph: &Graph) -> Result<Box<dyn Session>, EngineError>;

    /// Number of images per batch when at least that many are queued: larger batches are not faster.
    fn images_together(&self) -> usize {
        1
    }
}

/// State and constants of a loop of runs: see [`Session::start_loop`].
pub struct LoopState<'t> {
    state: Vec<Tensor>,
    constants: Vec<&'t Tensor>,
    /// The same in an engine's own memory, if it keeps them there.
    own: Option<Box<dyn Any + Send>>,
}

/// A compiled graph; it keeps its buffers between runs.
pub trait Session: Send {
    /// Runs the graph. `inputs` in the order of the graph's inputs; the result in the order of its outputs.
    ///
    /// # Errors
    /// [`EngineError::Run`] with the engine's reason.
    fn run(&mut self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, EngineError>;

    /// Runs the graph for its first `count` outputs. Engines skip nodes that only other outputs need, where they can.
    ///
    /// # Errors
    /// As [`Session::run`].
    fn run_first(&mut self, inputs: &[&Tensor], count: usize) -> Result<Vec<Tensor>, EngineError> {
        let mut outputs = self.run(inputs)?;
        outputs.truncate(count);
        Ok(outputs)
    }

    /// Prepares a loop over the graph. The graph's inputs are those given at each step, then `state`, then `constants`; its last outputs
    /// are the `state` of the next step. An engine with its own memory copies both there once.
    ///
    /// # Errors
    /// As [`Session::run`].
    fn start_loop<'t>(
        &mut self,
        state: Vec<Tensor>,
        constants: Vec<&'t Tensor>,
    ) -> Result<LoopState<'t>, EngineError> {
        Ok(LoopState { state, constants, own: None })
    }

    /// One step of a loop. Returns the outputs before the state outputs and, if `back` is set, the state outputs, too.
    ///
    /// # Errors
    /// As [`Session::run`].
    fn step_loop(
        &mut self,
        loop_state: &mut LoopState<'_>,
        inputs: &[&Tensor],
        back: bool,
    ) -> Result<Vec<Tensor>, EngineError> {
        let all = inputs.iter().copied().chain(&loop_state.state).chain(loop_state.constants.iter().copied());
        let mut outputs = self.run(&all.collect::<Vec<_>>())?;
        loop_state.state = outputs.split_off(outputs.len().saturating_sub(loop_state.state.len()));
        if back {
            outputs.extend(loop_state.state.iter().cloned());
        }
        Ok(outputs)
    }

    /// Announces that many runs with this batch size follow: an engine that is faster for a known size may prepare for it. Other
    /// sizes still run.
    fn expect_batch(&mut self, _batch: usize) {}
}

/// Constant folding by an engine.
pub struct Folding<'e>(pub &'e dyn Engine);

impl Evaluate for Folding<'_> {
    fn evaluate(&self, graph: &Graph) -> Result<Vec<Tensor>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.0.compile(graph)?.run(&[])?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_engine_has_more_threads_than_there_are_cores() {
        assert_eq!([0, 1, 1_000_000].map(|n| RTen::new(n).info().threads), [cores(), 1, cores()]);
    }
}
