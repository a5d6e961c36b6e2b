//! The fast engine: ONNX Runtime, through its shared library, loaded when it is asked for.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};

use candor_graph::graph::Graph;
use candor_graph::onnx;
use candor_graph::shape::Dim;
use candor_graph::tensor::{Tensor, TensorData};
use ort::environment::Environment;
use ort::ep;
use ort::logging::LogLevel;
use ort::memory::MemoryInfo;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{IoBinding, Session as OrtSession, SessionInputValue};
use ort::value::{DynValue, Tensor as OrtTensor, TensorElementType, TensorRef};

use super::{Engine, EngineError, HeldKey, Session, check_count, forms, library, threads_or_cores};
use crate::report::result::EngineInfo;

const NAME: &str = "onnxruntime";

/// What executes a graph in ONNX Runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// An NVIDIA GPU, by CUDA.
    Cuda,
    /// An NVIDIA GPU, by TensorRT.
    TensorRt,
    /// Apple's accelerators.
    CoreMl,
    /// A GPU on Windows.
    DirectMl,
}

impl Device {
    /// All devices by name.
    pub const ALL: [(&'static str, Device); 5] = [
        ("cpu", Device::Cpu),
        ("cuda", Device::Cuda),
        ("tensorrt", Device::TensorRt),
        ("coreml", Device::CoreMl),
        ("directml", Device::DirectMl),
    ];

    fn name(self) -> &'static str {
        Device::ALL.iter().find(|(_, d)| *d == self).map_or("cpu", |(name, _)| name)
    }

    fn provider(self) -> Option<ep::ExecutionProviderDispatch> {
        let provider = match self {
            Device::Cpu => return None,
            Device::Cuda => ep::CUDA::default().build(),
            Device::TensorRt => ep::TensorRT::default().build(),
            Device::CoreMl => ep::CoreML::default().build(),
            Device::DirectMl => ep::DirectML::default().build(),
        };
        // Never the processor in silence.
        Some(provider.error_on_failure())
    }
}

/// The ONNX Runtime engine.
pub struct OnnxRuntime {
    maker: Maker,
    library: PathBuf,
    version: String,
}

/// What sessions are made with.
#[derive(Clone)]
struct Maker {
    environment: Environment,
    threads: usize,
    device: Device,
}

/// ONNX Runtime has one environment a process, with the library it was loaded from.
static LOADED: Mutex<Option<(Environment, PathBuf)>> = Mutex::new(None);

fn load(library: PathBuf) -> Result<(Environment, PathBuf), String> {
    let shown = library.display().to_string();
    if ort::util::probe(&library).is_none() {
        return Err(format!("{shown} is not a library of ONNX Runtime 1.x that this system can load"));
    }
    let builder = ort::init_from(&library)
        .map_err(|e| format!("{shown} cannot be used ({e}); run `pip install --upgrade onnxruntime`"))?;
    let environment = builder.with_name("candor").with_telemetry(false).build();
    Ok((environment.map_err(|e| format!("{shown}: {}", one_line(&e.to_string())))?, library))
}

impl OnnxRuntime {
    /// Loads the library, `named` or found ([`library::find`]). `threads`: 0 is one for each core the process may use.
    /// The first library that a process loads is the one it keeps, whatever is named later.
    ///
    /// # Errors
    /// [`EngineError::Library`] if there is none, it does not load, or it is older than 1.18.
    pub fn new(named: Option<&Path>, threads: usize, device: Device) -> Result<Self, EngineError> {
        let fail = |reason: String| EngineError::Library { engine: NAME, reason };
        let mut loaded = LOADED.lock().map_err(|e| fail(e.to_string()))?;
        let (environment, library) = match &*loaded {
            Some(loaded) => loaded.clone(),
            None => loaded.insert(load(library::find(named).map_err(fail)?).map_err(fail)?).clone(),
        };
        drop(loaded);
        environment.set_log_level(LogLevel::Error);
        Ok(OnnxRuntime {
            maker: Maker { environment, threads: threads_or_cores(threads), device },
            version: library::version_of(&library).unwrap_or_else(|| "1.x".to_string()),
            library,
        })
    }

    /// The library in use.
    pub fn library(&self) -> &Path {
        &self.library
    }
}

impl Engine for OnnxRuntime {
    fn info(&self) -> EngineInfo {
        let Maker { threads, device, .. } = self.maker;
        let on = if device == Device::Cpu { String::new() } else { format!(" on {}", device.name()) };
        EngineInfo { name: format!("{NAME}{on}"), version: self.version.clone(), threads }
    }

    fn compile(&self, graph: &Graph) -> Result<Box<dyn Session>, EngineError> {
        graph.check().map_err(|e| EngineError::Compile { engine: NAME, reason: e.to_string() })?;
        let maker = self.maker.clone();
        Ok(Box::new(OnnxRuntimeSession {
            maker,
            graph: graph.clone(),
            expected: None,
            made: vec![],
            bound: vec![],
        }))
    }
}

impl Maker {
    /// A session for the first `outputs` outputs of a graph, for one batch size or any.
    fn session(&self, graph: &Graph, form: Form) -> Result<OrtSession, EngineError> {
        let fail = |reason: String| EngineError::Compile { engine: NAME, reason: one_line(&reason) };
        let mut part = graph.clone();
        forms::onnx_runtime(&mut part, form.outputs);
        let (bytes, weights) = onnx::to_parts(&part).map_err(|e| fail(e.to_string()))?;
        let made = self
            .builder(graph, form.batch)
            .and_then(|b| Ok(b.with_external_initializer_file_in_memory(onnx::WEIGHTS, weights.into())?))
            .and_then(|mut b| b.commit_from_memory(&bytes));
        made.map_err(|e| fail(e.to_string()))
    }

    fn builder(&self, graph: &Graph, batch: Option<usize>) -> ort::Result<SessionBuilder> {
        let mut builder = OrtSession::builder(&self.environment)?
            .with_optimization_level(GraphOptimizationLevel::Level3)?
            .with_intra_threads(self.threads)?
            .with_inter_threads(1)?
            // Threads spin from operator to operator, not from run to run, where they would take the processor from whoever
            // prepares the next.
            .with_config_entry("session.force_spinning_stop", "1")?
            // Longer sums inside a pointwise convolution; 4 % faster than its default of 128 on MobileNetV2 and ResNet-50.
            .with_nchwc_pointwise_conv_max_input_channel_batch(512)?
            // Patterns of memory are learned for each batch size and held in one block; without them a run needs less and no more time.
            .with_memory_pattern(false)?
            .with_deterministic_compute(true)?
            .with_log_level(LogLevel::Error)?;
        if let Some(batch) = batch {
            for k in batches(graph).map(|(_, k)| k).collect::<BTreeSet<_>>() {
                builder = builder.with_dimension_override(onnx::batch_name(k), (k * batch) as i64)?;
            }
        }
        if let Some(provider) = self.device.provider() {
            builder = builder.with_execution_providers([provider])?;
        }
        Ok(builder)
    }
}

/// The inputs whose first dimension is a multiple of the batch size, and the multiple.
fn batches(graph: &Graph) -> impl Iterator<Item = (usize, usize)> + '_ {
    graph.inputs.iter().enumerate().filter_map(|(i, &id)| match graph.shape(id)?.first() {
        Some(Dim::Batch(k)) => Some((i, *k)),
        _ => None,
    })
}

/// What a session of ONNX Runtime is made for.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Form {
    /// The batch size, or any. Where it is known, ONNX Runtime keeps its blocked layout through products.
    batch: Option<usize>,
    /// How many of the graph's outputs are computed.
    outputs: usize,
}

/// A graph with the sessions that were made for it, each when it was first needed.
struct OnnxRuntimeSession {
    maker: Maker,
    graph: Graph,
    expected: Option<usize>,
    made: Vec<(Form, OrtSession)>,
    bound: Vec<Bound>,
}

/// Inputs that a device keeps for the session of a form, as long as somebody has their key.
struct Bound {
    key: Weak<()>,
    form: Form,
    binding: IoBinding,
}

impl OnnxRuntimeSession {
    /// What these inputs and outputs need.
    fn form(&self, inputs: &[&Tensor], outputs: usize) -> Form {
        let is =
            |batch: usize| batches(&self.graph).all(|(i, k)| inputs[i].shape().first() == Some(&(k * batch)));
        Form { batch: self.expected.filter(|&batch| is(batch)), outputs }
    }

    /// Position of the session of a form, which is made if there is none.
    fn find(&mut self, form: Form) -> Result<usize, EngineError> {
        if let Some(at) = self.made.iter().position(|(made, _)| *made == form) {
            return Ok(at);
        }
        self.made.push((form, self.maker.session(&self.graph, form)?));
        Ok(self.made.len() - 1)
    }

    /// Position of the binding that holds `held` behind the first `skip` inputs; it is made if there is none.
    fn bind(&mut self, at: usize, skip: usize, held: &[&Tensor], key: &HeldKey) -> ort::Result<usize> {
        self.bound.retain(|b| b.key.strong_count() > 0);
        let (form, session) = &self.made[at];
        let key = Arc::downgrade(&key.0);
        if let Some(known) = self.bound.iter().position(|b| b.key.ptr_eq(&key) && b.form == *form) {
            return Ok(known);
        }
        let mut binding = session.create_binding()?;
        for (input, tensor) in session.inputs().iter().skip(skip).zip(held) {
            bind_input(&mut binding, input.name(), tensor)?;
        }
        for output in session.outputs() {
            binding.bind_output_to_device(output.name(), &MemoryInfo::default())?;
        }
        self.bound.push(Bound { key, form: *form, binding });
        Ok(self.bound.len() - 1)
    }

    fn run_bound(
        &mut self,
        inputs: &[&Tensor],
        held: &[&Tensor],
        key: &HeldKey,
        at: usize,
    ) -> ort::Result<Vec<Result<Tensor, String>>> {
        let bound = self.bind(at, inputs.len(), held, key)?;
        let (session, binding) = (&mut self.made[at].1, &mut self.bound[bound].binding);
        for (input, tensor) in session.inputs().iter().zip(inputs) {
            bind_input(binding, input.name(), tensor)?;
        }
        let names: Vec<String> = session.outputs().iter().map(|o| o.name().to_string()).collect();
        binding.synchronize_inputs()?;
        let values = session.run_binding(binding)?;
        Ok(names.iter().map(|name| from_ort(&values[name.as_str()])).collect())
    }
}

impl Session for OnnxRuntimeSession {
    fn run(&mut self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, EngineError> {
        self.run_first(inputs, self.graph.outputs.len())
    }

    fn run_first(&mut self, inputs: &[&Tensor], count: usize) -> Result<Vec<Tensor>, EngineError> {
        check_count(NAME, inputs.len(), self.graph.inputs.len())?;
        let outputs = count.min(self.graph.outputs.len());
        let given: Result<Vec<SessionInputValue<'_>>, ort::Error> =
            inputs.iter().map(|t| to_ort(t)).collect();
        let given = given.map_err(failed)?;
        let at = self.find(self.form(inputs, outputs))?;
        let values = self.made[at].1.run(given.as_slice()).map_err(failed)?;
        (0..outputs).map(|i| from_ort(&values[i]).map_err(failed)).collect()
    }

    fn run_held(
        &mut self,
        inputs: &[&Tensor],
        held: &[&Tensor],
        key: &HeldKey,
        count: usize,
    ) -> Result<Vec<Tensor>, EngineError> {
        let all = [inputs, held].concat();
        check_count(NAME, all.len(), self.graph.inputs.len())?;
        let at = self.find(self.form(&all, count.min(self.graph.outputs.len())))?;
        let values = self.run_bound(inputs, held, key, at).map_err(failed)?;
        values.into_iter().map(|v| v.map_err(failed)).collect()
    }

    fn expect_batch(&mut self, batch: usize) {
        // The size before stays, too: searches for one and for two classes take turns from photo to photo.
        let before = self.expected.replace(batch);
        if before != self.expected {
            let stays = [None, before, self.expected];
            self.bound.retain(|b| stays.contains(&b.form.batch));
            self.made.retain(|(form, _)| stays.contains(&form.batch));
        }
    }
}

fn failed(reason: impl ToString) -> EngineError {
    EngineError::Run { engine: NAME, reason: one_line(&reason.to_string()) }
}

/// ONNX Runtime's messages may span lines.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Gives a copy of a tensor to a binding, which brings it to the session's device. (Of a lent one `ort` would make the copy, by a
/// session of its own.)
fn bind_input(binding: &mut IoBinding, name: &str, tensor: &Tensor) -> ort::Result<()> {
    let shape = tensor.shape();
    macro_rules! bind {
        ($values:expr) => {
            binding.bind_input(name, &OrtTensor::from_array((shape, $values.clone()))?)
        };
    }
    match tensor.data() {
        TensorData::Float(v) => bind!(v),
        TensorData::Int64(v) => bind!(v),
        TensorData::Int32(v) => bind!(v),
        TensorData::Uint8(v) => bind!(v),
        TensorData::Int8(v) => bind!(v),
        TensorData::Bool(v) => bind!(v),
    }
}

/// Lends a tensor.
fn to_ort(tensor: &Tensor) -> ort::Result<SessionInputValue<'_>> {
    let shape = tensor.shape();
    macro_rules! lend {
        ($values:expr) => {
            TensorRef::from_array_view((shape, $values.as_slice()))?.into()
        };
    }
    Ok(match tensor.data() {
        TensorData::Float(v) => lend!(v),
        TensorData::Int64(v) => lend!(v),
        TensorData::Int32(v) => lend!(v),
        TensorData::Uint8(v) => lend!(v),
        TensorData::Int8(v) => lend!(v),
        TensorData::Bool(v) => lend!(v),
    })
}

fn from_ort(value: &DynValue) -> Result<Tensor, String> {
    macro_rules! read {
        ($kind:ty, $variant:path) => {{
            let (shape, values) = value.try_extract_tensor::<$kind>().map_err(|e| e.to_string())?;
            let shape = shape.iter().map(|&d| d.max(0) as usize).collect();
            Tensor::new(shape, $variant(values.to_vec())).map_err(|e| e.to_string())
        }};
    }
    match value.dtype().tensor_type() {
        Some(TensorElementType::Float32) => read!(f32, TensorData::Float),
        Some(TensorElementType::Int64) => read!(i64, TensorData::Int64),
        Some(TensorElementType::Int32) => read!(i32, TensorData::Int32),
        Some(TensorElementType::Uint8) => read!(u8, TensorData::Uint8),
        Some(TensorElementType::Int8) => read!(i8, TensorData::Int8),
        Some(TensorElementType::Bool) => read!(bool, TensorData::Bool),
        other => Err(format!("an output has the unexpected type {other:?}")),
    }
}
