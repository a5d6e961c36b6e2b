//! The embedded engine: RTen, pure Rust.

use std::collections::HashMap;
use std::sync::Arc;

use candor_graph::graph::{Graph, NodeNames, ValueId};
use candor_graph::onnx;
use candor_graph::tensor::{Tensor, TensorData};
use rten::{Model, ModelOptions, NodeId, RunOptions, ThreadPool, Value, ValueOrView, ValueView};
use rten_tensor::{Layout, TensorView};

use crate::{Engine, EngineError, EngineInfo, Session, check_count, forms, threads_or_cores};

const NAME: &str = "rten";
/// Version of the `rten` crate that Candor is built with; kept equal to Cargo.lock by a test.
const VERSION: &str = "0.27.0";

/// The RTen engine with its own thread pool.
pub struct RTen {
    pool: Arc<ThreadPool>,
    threads: usize,
}

impl RTen {
    /// An engine with that many threads, limited to the number of cores that the process may use; 0 means one per core.
    pub fn new(threads: usize) -> Self {
        let threads = threads_or_cores(threads);
        keep_activations_on_the_heap();
        RTen { pool: Arc::new(ThreadPool::with_num_threads(threads)), threads }
    }
}

/// glibc maps each block above a threshold separately and unmaps it when it is freed, so that every run would take page faults for its
/// activations (a third more time on MobileNetV2). The threshold follows the largest block that was freed, up to 32 MiB, so one such
/// block is allocated and freed here. Other allocators are not affected; the pages are never touched.
fn keep_activations_on_the_heap() {
    const LARGEST: usize = (32 << 20) - (64 << 10);
    drop(std::hint::black_box(Vec::<u8>::with_capacity(LARGEST)));
}

impl Engine for RTen {
    fn info(&self) -> EngineInfo {
        EngineInfo { name: NAME.to_string(), version: VERSION.to_string(), threads: self.threads }
    }

    fn compile(&self, graph: &Graph) -> Result<Box<dyn Session>, EngineError> {
        let fail = |reason: String| EngineError::Compile { engine: NAME, reason };
        let mut graph = graph.clone();
        forms::rten(&mut graph).map_err(|e| fail(e.to_string()))?;
        let names = NodeNames::of(&graph);
        let load = |optimised: bool| {
            let (bytes, weights) = onnx::to_parts(&graph).map_err(|e| fail(e.to_string()))?;
            let mut options = ModelOptions::with_all_ops();
            options.external_data(onnx::WEIGHTS, weights);
            options.enable_optimization(optimised);
            options.load(bytes).map_err(|e| fail(names.explain(&e.to_string())))
        };
        // A graph without inputs runs only once. The optimiser also fails on graphs in which it finds that two outputs are the same
        // value.
        let optimised = !graph.inputs.is_empty() && has_few_terms(&graph);
        let model = match load(optimised) {
            Err(first) if optimised => load(false).map_err(|_| first)?,
            loaded => loaded?,
        };
        let ids = |ids: &[ValueId]| {
            let ids = ids.iter().map(|&id| model.node_id(graph.name(id)));
            ids.collect::<Result<Vec<_>, _>>().map_err(|e| fail(e.to_string()))
        };
        let (inputs, outputs) = (ids(&graph.inputs)?, ids(&graph.outputs)?);
        Ok(Box::new(RTenSession { model, inputs, outputs, names, pool: self.pool.clone() }))
    }
}

/// Maximum total number of terms of sums and products for which RTen's optimiser is used.
const MOST_TERMS: u64 = 1 << 22;

/// Whether RTen's optimiser would finish in reasonable time. At each Add and each Mul it lists the terms of the whole tree of such nodes:
/// a chain of n nodes has n²/2 of them, and n doublings x + x have 2ⁿ.
fn has_few_terms(graph: &Graph) -> bool {
    let mut terms: HashMap<ValueId, (&str, u64)> = HashMap::new();
    let mut total = 0u64;
    for node in graph.nodes.iter().filter(|n| matches!(n.op.as_str(), "Add" | "Mul")) {
        let of = |id: &ValueId| terms.get(id).filter(|(op, _)| *op == node.op).map_or(1, |(_, n)| *n);
        let own = node.inputs.iter().flatten().map(of).fold(0, u64::saturating_add);
        total = total.saturating_add(own);
        terms.extend(node.outputs.iter().flatten().map(|&id| (id, (node.op.as_str(), own))));
    }
    total <= MOST_TERMS
}

struct RTenSession {
    model: Model,
    inputs: Vec<NodeId>,
    outputs: Vec<NodeId>,
    /// For errors: the engine's messages name nodes as the graph does.
    names: NodeNames,
    pool: Arc<ThreadPool>,
}

impl Session for RTenSession {
    fn run(&mut self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, EngineError> {
        self.run_first(inputs, self.outputs.len())
    }

    fn run_first(&mut self, inputs: &[&Tensor], count: usize) -> Result<Vec<Tensor>, EngineError> {
        let fail = |reason: String| EngineError::Run { engine: NAME, reason };
        check_count(NAME, inputs.len(), self.inputs.len())?;
        let given = self.inputs.iter().zip(inputs).map(|(&id, t)| (id, to_rten(t))).collect();
        let options = RunOptions::default().with_thread_pool(Some(self.pool.clone()));
        let wanted = &self.outputs[..count.min(self.outputs.len())];
        // The optimiser may have found that two outputs are the same value, which cannot be requested twice.
        let mut once: Vec<NodeId> = vec![];
        let places: Vec<usize> = wanted.iter().map(|id| place_of(&mut once, *id)).collect();
        let values = self.model.run(given, &once, Some(options));
        let values = values.map_err(|e| fail(self.names.explain(&e.to_string())))?;
        let values = values.into_iter().map(|v| from_rten(v).map_err(fail)).collect::<Result<Vec<_>, _>>()?;
        if once.len() == wanted.len() {
            return Ok(values);
        }
        Ok(places.into_iter().map(|at| values[at].clone()).collect())
    }
}

/// Index of `id` in a list without duplicates; it is appended if it is missing.
fn place_of(once: &mut Vec<NodeId>, id: NodeId) -> usize {
    once.iter().position(|known| *known == id).unwrap_or_else(|| {
        once.push(id);
        once.len() - 1
    })
}

/// Floats and 8-bit integers are borrowed; wider integers and booleans are converted to RTen's 32-bit integers.
fn to_rten(tensor: &Tensor) -> ValueOrView<'_> {
    let shape = tensor.shape();
    let ints = |v: Vec<i32>| ValueOrView::Value(Value::from(rten_tensor::Tensor::from_data(shape, v)));
    match tensor.data() {
        TensorData::Float(v) => {
            ValueOrView::View(ValueView::from(TensorView::from_data(shape, v.as_slice())))
        }
        TensorData::Uint8(v) => {
            ValueOrView::View(ValueView::from(TensorView::from_data(shape, v.as_slice())))
        }
        TensorData::Int8(v) => ValueOrView::View(ValueView::from(TensorView::from_data(shape, v.as_slice()))),
        TensorData::Int32(v) => ints(v.clone()),
        TensorData::Int64(v) => {
            ints(v.iter().map(|&x| x.clamp(i32::MIN.into(), i32::MAX.into()) as i32).collect())
        }
        TensorData::Bool(v) => ints(v.iter().map(|&x| x.into()).collect()),
    }
}

fn from_rten(value: Value) -> Result<Tensor, String> {
    let (shape, data) = match value {
        Value::FloatTensor(t) => (t.shape().to_vec(), TensorData::Float(t.into_data())),
        Value::Int32Tensor(t) => (t.shape().to_vec(), TensorData::Int32(t.into_data())),
        Value::UInt8Tensor(t) => (t.shape().to_vec(), TensorData::Uint8(t.into_data())),
        Value::Int8Tensor(t) => (t.shape().to_vec(), TensorData::Int8(t.into_data())),
        other => return Err(format!("an output has the unexpected type {:?}", other.dtype())),
    };
    Tensor::new(shape, data).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use candor_graph::builder::Builder;
    use candor_graph::graph::{Attr, Graph};
    use candor_graph::shape::Dim;
    use candor_graph::tensor::{DataType, Tensor};

    use crate::{Engine, RTen};

    /// The optimiser would list 2⁶⁰ terms.
    #[test]
    fn a_chain_of_doublings_is_loaded() {
        let b = Builder::new(Graph::new(18));
        let mut x = b.input("x", DataType::Float, &[Dim::Fixed(1)]);
        for _ in 0..60 {
            x = x + x;
        }
        let y = x.id();
        let mut graph = b.finish().unwrap();
        graph.outputs = vec![y];
        let one = Tensor::floats(&[1], vec![1.0]).unwrap();
        let sums = RTen::new(1).compile(&graph).and_then(|mut session| session.run(&[&one])).unwrap();
        assert_eq!(sums[0].as_floats(), Some(&[(60f32).exp2()][..]));
    }

    /// Casts between integer types do nothing in an engine with a single integer type.
    #[test]
    fn outputs_that_the_optimiser_makes_one_are_given_each() {
        let b = Builder::new(Graph::new(18));
        let x = b.input("x", DataType::Int64, &[Dim::Fixed(2)]);
        let sum = x.op("Add", &[x], &[]);
        let cast = |to: i64| sum.op("Cast", &[], &[("to", Attr::Int(to))]).id();
        let outputs = vec![sum.id(), cast(6), cast(7)];
        let mut graph = b.finish().unwrap();
        graph.outputs = outputs;
        let given = Tensor::ints(&[3, -4]);
        let found = RTen::new(1).compile(&graph).unwrap().run(&[&given]).unwrap();
        for (i, output) in found.iter().enumerate() {
            assert_eq!(output.to_ints(), Some(vec![6, -8]), "output {i}");
        }
    }

    #[test]
    fn the_version_is_that_of_the_lock_file() {
        let lock = include_str!("../../../Cargo.lock");
        let entry = format!("name = \"rten\"\nversion = \"{}\"", super::VERSION);
        assert!(lock.contains(&entry), "VERSION must follow Cargo.lock");
    }
}
