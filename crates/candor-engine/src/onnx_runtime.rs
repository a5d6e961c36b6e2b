//! The fast engine: ONNX Runtime, whose shared library is loaded when the engine is requested.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use candor_graph::graph::{Graph, NodeNames};
use candor_graph::onnx;
use candor_graph::shape::Dim;
use candor_graph::tensor::{Tensor, TensorData};
use ort::environment::Environment;
use ort::ep;
use ort::logging::LogLevel;
use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{IoBinding, Session as OrtSession, SessionInputValue};
use ort::value::{DynValue, Tensor as OrtTensor, TensorElementType, TensorRef};

use crate::{
    Engine, EngineError, EngineInfo, LoopState, Session, check_count, forms, library, threads_or_cores,
};

const NAME: &str = "onnxruntime";

/// The device on which ONNX Runtime executes a graph.
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

    /// What to do if a device is not available; empty for the CPU, which always is.
    fn remedy(self) -> String {
        let package = match self {
            Device::Cpu => return String::new(),
            Device::Cuda | Device::TensorRt => " (`pip install onnxruntime-gpu`)",
            Device::DirectMl => " (`pip install onnxruntime-directml`)",
            Device::CoreMl => "",
        };
        let name = self.name();
        format!(
            "; --device {name} needs a library of ONNX Runtime that is built for it{package}, or leave --device out"
        )
    }

    fn provider(self) -> Option<ep::ExecutionProviderDispatch> {
        let provider = match self {
            Device::Cpu => return None,
            // In TF32, ONNX Runtime's default, gradients are accurate to three digits; trying all of cuDNN's algorithms, its other
            // default, takes longer than sixteen photos do (book/src/results/gpu.md).
            Device::Cuda => ep::CUDA::default()
                .with_tf32(false)
                .with_conv_algorithm_search(ep::cuda::ConvAlgorithmSearch::Heuristic)
                .build(),
            Device::TensorRt => ep::TensorRT::default().build(),
            Device::CoreMl => ep::CoreML::default().build(),
            Device::DirectMl => ep::DirectML::default().build(),
        };
        // Fails instead of falling back to the CPU.
        Some(provider.error_on_failure())
    }

    /// The memory that holds its values.
    fn memory(self) -> ort::Result<MemoryInfo<'static>> {
        let at = match self {
            Device::Cpu | Device::CoreMl => AllocationDevice::CPU,
            Device::Cuda | Device::TensorRt => AllocationDevice::CUDA,
            Device::DirectMl => AllocationDevice::DIRECTML,
        };
        MemoryInfo::new(at, 0, AllocatorType::Device, MemoryType::Default)
    }
}

/// The ONNX Runtime engine.
pub struct OnnxRuntime {
    maker: Maker,
    library: PathBuf,
    version: String,
}

/// Settings for new sessions.
#[derive(Clone)]
struct Maker {
    environment: Environment,
    threads: usize,
    device: Device,
}

/// ONNX Runtime has one environment per process, with the library that it was loaded from.
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
    /// Loads the library: `named`, or the one that [`library::find`] finds. `threads`: 0 means one for each core that the process may
    /// use, which is also the maximum. A process keeps the first library that it loads, whatever is named later.
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
            expected: vec![],
            made: vec![],
            spared: 0,
        }))
    }

    /// Two searches of MobileNetV2 take a sixth less time in one batch; larger batches are not faster (book/src/results/speed.md). Other
    /// devices are fastest with all that their memory holds.
    fn images_together(&self) -> usize {
        if self.maker.device == Device::Cpu { 2 } else { 64 }
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
        made.map_err(|e| {
            let reason = NodeNames::of(&part).explain(&e.to_string());
            if self.device == Device::Cpu {
                return fail(reason);
            }
            let reason = format!("{}{}", one_line(&reason).trim_end_matches('.'), self.device.remedy());
            EngineError::Library { engine: NAME, reason }
        })
    }

    fn builder(&self, graph: &Graph, batch: Option<usize>) -> ort::Result<SessionBuilder> {
        let mut builder = OrtSession::builder(&self.environment)?
            .with_optimization_level(GraphOptimizationLevel::Level3)?
            .with_intra_threads(self.threads)?
            .with_inter_threads(1)?
            // Threads spin between operators, but not between runs, where they would compete with the code that prepares the next run.
            .with_config_entry("session.force_spinning_stop", "1")?
            // Longer sums inside a pointwise convolution; 4 % faster than its default of 128 on MobileNetV2 and ResNet-50.
            .with_nchwc_pointwise_conv_max_input_channel_batch(512)?
            // ONNX Runtime would learn a memory pattern for each batch size and allocate constants in one block; without both a run needs
            // less memory and no more time.
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

/// The variant of a graph that a session of ONNX Runtime is made for.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Form {
    /// The batch size, or any. If it is known, ONNX Runtime keeps its blocked layout through products.
    batch: Option<usize>,
    /// How many of the graph's outputs are computed.
    outputs: usize,
}

/// Number of announced batch sizes whose sessions are kept. Searches for one, two and three classes alternate between photos; making
/// their sessions anew each time would cost time, and memory that the allocator does not return completely.
const SIZES: usize = 3;

/// Number of runs for a part of the outputs that a session for all outputs serves, if there is one: a session of its own would hold the
/// weights again.
const RUNS_OF_WHOLE: usize = 8;

/// A graph with its sessions, each made when it is first needed.
struct OnnxRuntimeSession {
    maker: Maker,
    graph: Graph,
    /// The batch sizes announced last, at most [`SIZES`] of them, newest first.
    expected: Vec<usize>,
    made: Vec<(Form, Shared)>,
    /// Runs that the session for all outputs has served for a part of them.
    spared: usize,
}

/// A session that a loop keeps alive, even if it is dropped here.
type Shared = Arc<Mutex<OrtSession>>;

/// A loop in the device's memory.
struct Loop {
    session: Shared,
    /// A run overwrites the outputs of its binding's last run, so that two bindings alternate: one reads what the other wrote.
    bindings: [IoBinding; 2],
    /// Names of the inputs that are given at each step.
    brought: Vec<String>,
    /// Names of the inputs and of the outputs that are state.
    state: Vec<(String, String)>,
    /// Names of the outputs before them.
    read: Vec<String>,
}

impl Loop {
    fn begin(
        session: Shared,
        state: &[Tensor],
        constants: &[&Tensor],
        device: &MemoryInfo<'_>,
    ) -> ort::Result<Self> {
        let made = session.lock().unwrap_or_else(PoisonError::into_inner);
        let mut brought: Vec<String> = made.inputs().iter().map(|i| i.name().to_string()).collect();
        let mut given = brought.split_off(brought.len().saturating_sub(state.len() + constants.len()));
        let kept = given.split_off(state.len());
        let mut read: Vec<String> = made.outputs().iter().map(|o| o.name().to_string()).collect();
        let written = read.split_off(read.len().saturating_sub(state.len()));
        let mut bindings = [made.create_binding()?, made.create_binding()?];
        for binding in &mut bindings {
            kept.iter().zip(constants).try_for_each(|(name, tensor)| bind_input(binding, name, tensor))?;
            read.iter().try_for_each(|name| binding.bind_output_to_device(name, &MemoryInfo::default()))?;
            written.iter().try_for_each(|name| binding.bind_output_to_device(name, device))?;
        }
        given.iter().zip(state).try_for_each(|(name, tensor)| bind_input(&mut bindings[0], name, tensor))?;
        drop(made);
        Ok(Loop { session, bindings, brought, state: given.into_iter().zip(written).collect(), read })
    }

    /// Runs one step and returns the outputs before the state outputs; if `back` is set, the state outputs, too.
    fn step_loop(&mut self, inputs: &[&Tensor], back: bool) -> ort::Result<Vec<Result<Tensor, String>>> {
        let [now, next] = &mut self.bindings;
        for (name, tensor) in self.brought.iter().zip(inputs) {
            bind_input(now, name, tensor)?;
        }
        if back {
            // The engine copies the state to host memory to be read; the next step reads it from there.
            let host = MemoryInfo::default();
            self.state.iter().try_for_each(|(_, output)| now.bind_output_to_device(output, &host))?;
        }
        now.synchronize_inputs()?;
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let mut values = session.run_binding(now)?;
        let mut outputs: Vec<_> = self.read.iter().map(|name| from_ort(&values[name.as_str()])).collect();
        for (input, output) in &self.state {
            let value =
                values.remove(output).ok_or_else(|| ort::Error::new(format!("no output {output}")))?;
            if back {
                outputs.push(from_ort(&value));
            }
            next.bind_input(input, &value)?;
        }
        drop(values);
        self.bindings.swap(0, 1);
        Ok(outputs)
    }
}

impl OnnxRuntimeSession {
    /// The form that a run for all outputs with these inputs needs. `inputs` are the last of the graph's inputs.
    fn whole(&self, inputs: &[&Tensor]) -> Form {
        let before = self.graph.inputs.len() - inputs.len();
        let is = |batch: usize| {
            let mut given = batches(&self.graph).filter(|(i, _)| *i >= before);
            given.all(|(i, k)| inputs[i - before].shape().first() == Some(&(k * batch)))
        };
        let batch = self.expected.first().copied().filter(|&batch| is(batch));
        Form { batch, outputs: self.graph.outputs.len() }
    }

    /// The form for a run of the first `outputs` outputs. A part has one session for all batch sizes.
    fn form(&mut self, inputs: &[&Tensor], outputs: usize) -> Form {
        let (whole, part) = (self.whole(inputs), Form { batch: None, outputs });
        let is_made = |form: &Form| self.made.iter().any(|(made, _)| made == form);
        if outputs == whole.outputs {
            return whole;
        }
        let spares = !is_made(&part) && is_made(&whole) && self.spared < RUNS_OF_WHOLE;
        self.spared += usize::from(spares);
        if spares { whole } else { part }
    }

    /// The session for a form; it is made if there is none.
    fn find(&mut self, form: Form) -> Result<Shared, EngineError> {
        if let Some((_, session)) = self.made.iter().find(|(made, _)| *made == form) {
            return Ok(session.clone());
        }
        let session = Arc::new(Mutex::new(self.maker.session(&self.graph, form)?));
        self.made.push((form, session.clone()));
        Ok(session)
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
        let form = self.form(inputs, outputs);
        let session = self.find(form)?;
        let mut session = session.lock().unwrap_or_else(PoisonError::into_inner);
        let values = session.run(given.as_slice()).map_err(failed)?;
        (0..outputs).map(|i| from_ort(&values[i]).map_err(failed)).collect()
    }

    fn start_loop<'t>(
        &mut self,
        state: Vec<Tensor>,
        constants: Vec<&'t Tensor>,
    ) -> Result<LoopState<'t>, EngineError> {
        let last: Vec<&Tensor> = state.iter().chain(constants.iter().copied()).collect();
        let session = self.find(self.whole(&last))?;
        let device = self.maker.device.memory().map_err(failed)?;
        let looped = Loop::begin(session, &state, &constants, &device).map_err(failed)?;
        Ok(LoopState { state: vec![], constants: vec![], own: Some(Box::new(looped)) })
    }

    fn step_loop(
        &mut self,
        loop_state: &mut LoopState<'_>,
        inputs: &[&Tensor],
        back: bool,
    ) -> Result<Vec<Tensor>, EngineError> {
        let own = loop_state.own.as_mut().and_then(|own| own.downcast_mut::<Loop>());
        let own = own.ok_or_else(|| failed("a loop that another engine loop_state out"))?;
        let values = own.step_loop(inputs, back).map_err(failed)?;
        values.into_iter().map(|v| v.map_err(failed)).collect()
    }

    fn expect_batch(&mut self, batch: usize) {
        self.expected.retain(|&known| known != batch);
        self.expected.insert(0, batch);
        self.expected.truncate(SIZES);
        let stays = |form: &Form| form.batch.is_none_or(|size| self.expected.contains(&size));
        self.made.retain(|(form, _)| stays(form));
    }
}

fn failed(reason: impl ToString) -> EngineError {
    EngineError::Run { engine: NAME, reason: one_line(&reason.to_string()) }
}

/// ONNX Runtime's messages may span lines.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Copies a tensor to a binding, which transfers it to the session's device. (If a borrowed tensor were given, `ort` would make the copy,
/// with a session of its own.)
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

/// Passes a tensor without copying it.
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
