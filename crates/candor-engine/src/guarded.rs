//! The one place where a model's engine is called: errors name the model, panics become errors, the available memory is checked before
//! a run, and deep graphs get the stack that an engine's recursion needs.

use std::thread;

use candor_graph::footprint::Footprint;
use candor_graph::graph::Graph;
use candor_graph::guard;
use candor_graph::memory;
use candor_graph::shape::Dim;
use candor_graph::tensor::Tensor;

use crate::{Engine, EngineError, EngineInfo, LoopState, Session};

/// An engine that runs the graphs of one model.
pub struct Guarded {
    engine: Box<dyn Engine>,
    model: String,
}

impl Guarded {
    /// `engine` for the graphs of `model`, the name that its errors give: the path of its file.
    pub fn new(engine: Box<dyn Engine>, model: impl Into<String>) -> Self {
        Guarded { engine, model: model.into() }
    }
}

impl Engine for Guarded {
    fn info(&self) -> EngineInfo {
        self.engine.info()
    }

    fn compile(&self, graph: &Graph) -> Result<Box<dyn Session>, EngineError> {
        let caller =
            Caller { engine: self.engine.info().name, model: self.model.clone(), depth: graph.depth() };
        let session = caller.call(|| self.engine.compile(graph))?;
        let rows = graph.inputs.iter().map(|&id| match graph.shape(id)?.first() {
            Some(Dim::Batch(k)) => Some(*k),
            _ => None,
        });
        Ok(Box::new(GuardedSession {
            session,
            caller,
            footprint: Footprint::of(graph),
            rows: rows.collect(),
        }))
    }

    fn images_together(&self) -> usize {
        self.engine.images_together()
    }
}

/// What all calls for a graph have in common.
struct Caller {
    engine: String,
    model: String,
    /// Nodes on the graph's longest path.
    depth: usize,
}

/// Longest path, in nodes, for which every thread's default stack is large enough.
const SHALLOW: usize = 1000;
/// Bytes of stack for each node of a path: several times what an engine's recursion takes.
const STACK_PER_NODE: usize = 2048;

impl Caller {
    fn call<T: Send>(&self, work: impl FnOnce() -> Result<T, EngineError> + Send) -> Result<T, EngineError> {
        let guarded = || guard::guarded(work);
        let outcome =
            if self.depth <= SHALLOW { guarded() } else { on_stack(self.depth * STACK_PER_NODE, guarded) };
        let panicked = |reason| EngineError::Panicked { engine: self.engine.clone(), reason };
        outcome.map_err(panicked).flatten().map_err(|e| self.named(e))
    }

    fn named(&self, error: EngineError) -> EngineError {
        EngineError::Model { model: self.model.clone(), source: Box::new(error) }
    }
}

/// Runs `work` on a thread with a stack of that many bytes.
fn on_stack<T: Send>(bytes: usize, work: impl FnOnce() -> Result<T, String> + Send) -> Result<T, String> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(bytes).spawn_scoped(scope, work);
        let thread =
            thread.map_err(|e| format!("no thread with a stack of {bytes} bytes could be started: {e}"))?;
        thread.join().map_err(|panic| guard::words(panic.as_ref())).flatten()
    })
}

/// Below this many bytes available memory is not checked: the check would cost more than it is worth.
const LITTLE: u64 = 64 << 20;

struct GuardedSession {
    session: Box<dyn Session>,
    caller: Caller,
    footprint: Footprint,
    /// For each input whose first dimension is a multiple of the batch size, the multiple.
    rows: Vec<Option<usize>>,
}

impl GuardedSession {
    /// Refuses a run that does not fit into memory. `last` are the last of the graph's inputs.
    fn check_memory<'t>(&self, last: impl ExactSizeIterator<Item = &'t Tensor>) -> Result<(), EngineError> {
        let before = self.rows.len().saturating_sub(last.len());
        let sized = self.rows.iter().skip(before).zip(last);
        let batch = sized.filter_map(|(rows, t)| t.shape().first()?.checked_div((*rows)?)).max().unwrap_or(1);
        let bytes = self.footprint.peak(batch);
        if bytes < LITTLE || memory::is_available(bytes) {
            return Ok(());
        }
        let (engine, mebibytes) = (self.caller.engine.clone(), bytes >> 20);
        Err(self.caller.named(EngineError::Memory { engine, mebibytes, batch }))
    }
}

impl Session for GuardedSession {
    fn run(&mut self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, EngineError> {
        self.check_memory(inputs.iter().copied())?;
        self.caller.call(|| self.session.run(inputs))
    }

    fn run_first(&mut self, inputs: &[&Tensor], count: usize) -> Result<Vec<Tensor>, EngineError> {
        self.check_memory(inputs.iter().copied())?;
        self.caller.call(|| self.session.run_first(inputs, count))
    }

    fn start_loop<'t>(
        &mut self,
        state: Vec<Tensor>,
        constants: Vec<&'t Tensor>,
    ) -> Result<LoopState<'t>, EngineError> {
        let last: Vec<&Tensor> = state.iter().chain(constants.iter().copied()).collect();
        self.check_memory(last.into_iter())?;
        self.caller.call(|| self.session.start_loop(state, constants))
    }

    fn step_loop(
        &mut self,
        loop_state: &mut LoopState<'_>,
        inputs: &[&Tensor],
        back: bool,
    ) -> Result<Vec<Tensor>, EngineError> {
        self.caller.call(|| self.session.step_loop(loop_state, inputs, back))
    }

    fn expect_batch(&mut self, batch: usize) {
        self.session.expect_batch(batch);
    }
}

#[cfg(test)]
mod tests {
    use candor_graph::builder::Builder;
    use candor_graph::error::one_line;
    use candor_graph::tensor::DataType;

    use super::*;

    /// Panics where it is told to.
    struct Panics {
        compiling: bool,
    }

    impl Engine for Panics {
        fn info(&self) -> EngineInfo {
            EngineInfo { name: "fragile".to_string(), version: String::new(), threads: 1 }
        }

        fn compile(&self, _: &Graph) -> Result<Box<dyn Session>, EngineError> {
            assert!(!self.compiling, "index 7 out\nof bounds");
            Ok(Box::new(PanicsRunning))
        }
    }

    struct PanicsRunning;

    impl Session for PanicsRunning {
        fn run(&mut self, _: &[&Tensor]) -> Result<Vec<Tensor>, EngineError> {
            panic!("divided by zero")
        }
    }

    fn add_one(shape: &[Dim], times: usize) -> Graph {
        let b = Builder::new(Graph::new(18));
        let mut x = b.input("x", DataType::Float, shape);
        for _ in 0..times {
            x = x + 1.0;
        }
        let y = x.id();
        let mut graph = b.finish().unwrap();
        graph.outputs = vec![y];
        graph
    }

    #[test]
    fn a_panic_is_an_error_that_names_the_model() {
        let graph = add_one(&[Dim::Batch(1)], 1);
        let failed = |compiling: bool| {
            let engine = Guarded::new(Box::new(Panics { compiling }), "odd.onnx");
            let session = engine.compile(&graph);
            let input = Tensor::floats(&[1], vec![0.0]).unwrap();
            one_line(&session.and_then(|mut s| s.run(&[&input])).expect_err("panics"))
        };
        let start = "odd.onnx: fragile crashed on the graph";
        assert_eq!(failed(true), format!("{start} (index 7 out of bounds); try the other --engine"));
        assert_eq!(failed(false), format!("{start} (divided by zero); try the other --engine"));
    }

    #[test]
    fn memory_that_is_not_there_is_not_taken() {
        // 2^50 bytes: more than any system grants.
        let graph = add_one(&[Dim::Batch(1), Dim::Fixed(1 << 22)], 1);
        let session = GuardedSession {
            session: Box::new(PanicsRunning),
            caller: Caller { engine: "rten".to_string(), model: "large.onnx".to_string(), depth: 1 },
            footprint: Footprint::of(&graph),
            rows: vec![Some(1)],
        };
        let rows = Tensor::floats(&[1 << 26, 0], vec![]).unwrap();
        let error = session.check_memory([&rows].into_iter()).expect_err("refused");
        let text = one_line(&error);
        assert!(text.starts_with("large.onnx: rten would need 1073741824 MiB"), "{text}");
    }

    #[test]
    fn a_deep_graph_runs() {
        let depth = 20_000;
        let graph = add_one(&[Dim::Fixed(1)], depth);
        let engine = Guarded::new(Box::new(crate::RTen::new(1)), "deep.onnx");
        let zero = Tensor::floats(&[1], vec![0.0]).unwrap();
        let sums = engine.compile(&graph).and_then(|mut session| session.run(&[&zero])).unwrap();
        assert_eq!(sums[0].as_floats(), Some(&[depth as f32][..]));
    }
}
