//! A classifier: its graph from image to logits, ready to be rewritten, and the engine that runs it.

use std::path::Path;
use std::sync::Arc;

use candor_graph::builder::Builder;
use candor_graph::error::GraphError;
use candor_graph::graph::{Graph, Node, ValueId};
use candor_graph::onnx::{self, Loaded};
use candor_graph::shape::{self, Dim};
use candor_graph::tensor::{DataType, Tensor};
use candor_graph::{insert, memory, rewrite};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::engine::{Engine, Folding, Guarded, Session};
use crate::error::{Error, ModelError, Result, first_floats, floats, guarded};
use crate::image::{Layout, MAX_PIXELS, MAX_SIDE};
use crate::scores::{log_odds, softmax};

/// The model of a run, identified by content.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ModelInfo {
    /// Path as given.
    pub path: String,
    /// SHA-256 of the file, lower-case hex.
    pub sha256: String,
    /// Operator set of the file (default domain).
    pub opset: i64,
    /// Producer name and version from the file; may be empty.
    pub producer: String,
}

/// What the file does not say.
#[derive(Clone, Debug, Default)]
pub struct ModelOptions {
    /// Height and width of the input, needed where the file leaves them free.
    pub size: Option<[usize; 2]>,
    /// Order of the axes; found from the channel count (1 or 3) if not given.
    pub layout: Option<Layout>,
    /// Name of the logits' value; the first output, or what its Softmax reads, if not given.
    pub logits: Option<String>,
}

/// How the logits were found, which results state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// The output is the logits.
    Logits,
    /// The output is a softmax; the logits are its input.
    Softmax,
    /// The output is a sigmoid per class (labels do not exclude each other); the logits are its input.
    MultiLabel,
    /// The output is probabilities whose logits cannot be found; the scores are their logarithms.
    LogProbability,
}

/// Most pixels in one batch: bounds the memory. Larger batches are no faster.
const BATCH_PIXELS: usize = 4 * 224 * 224;

/// Most classes of a model.
const MOST_CLASSES: usize = 1 << 20;

/// A classifier from N×C×H×W images to N×K logits.
pub struct Model {
    /// The graph after the standard passes: one input, the logits as its only output.
    pub graph: Graph,
    /// The image input, N×C×H×W.
    pub input: ValueId,
    /// The logits, N×K.
    pub logits: ValueId,
    /// `[channels, height, width]` of the input.
    pub input_shape: [usize; 3],
    /// Number of classes.
    pub classes: usize,
    /// The batch size that the file fixes; `None` if it is free.
    pub fixed_batch: Option<usize>,
    /// How the logits were found.
    pub head: Head,
    /// Identity of the file.
    pub info: ModelInfo,
    /// The engine that runs it.
    pub engine: Arc<dyn Engine>,
}

impl Model {
    /// Loads a model file and makes it ready.
    ///
    /// # Errors
    /// [`Error::Graph`] for a file that is not a supported ONNX model; [`Error::Model`] for one that is not an
    /// image classifier.
    pub fn load(path: &Path, options: &ModelOptions, engine: Box<dyn Engine>) -> Result<Self> {
        let shown = path.display().to_string();
        if path.is_dir() {
            return Err(Error::Directory { path: path.to_path_buf() });
        }
        let bytes = onnx::read_file(path).map_err(|e| match e {
            GraphError::Unreadable { source, .. } => Error::read(path, source),
            other => Error::graph(&shown, other),
        })?;
        guarded(&shown, || {
            let loaded = onnx::load_beside(&bytes, path).map_err(|e| Error::graph(&shown, e))?;
            Model::from_loaded(loaded, &shown, &bytes, options, engine)
        })
    }

    /// Makes a model in memory ready; `name` stands for its path in results.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn from_bytes(
        name: &str,
        bytes: &[u8],
        options: &ModelOptions,
        engine: Box<dyn Engine>,
    ) -> Result<Self> {
        guarded(name, || {
            let loaded = onnx::load_bytes(bytes).map_err(|e| Error::graph(name, e))?;
            Model::from_loaded(loaded, name, bytes, options, engine)
        })
    }

    fn from_loaded(
        loaded: Loaded,
        name: &str,
        bytes: &[u8],
        options: &ModelOptions,
        engine: Box<dyn Engine>,
    ) -> Result<Self> {
        let at = |e: GraphError| Error::graph(name, e);
        let engine: Box<dyn Engine> = Box::new(Guarded::new(engine, name));
        let described = loaded.describe_inputs();
        let info = ModelInfo {
            path: name.to_string(),
            sha256: Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect(),
            opset: loaded.opset,
            producer: loaded.producer,
        };
        let mut graph = loaded.graph;
        graph.check_finite().map_err(at)?;
        let input = image_input(&mut graph, options, described).map_err(|e| Error::model(name, e))?;
        // Sizes that exporters compute from constants alone, before shapes are asked for. The batch is not settled yet, so
        // nothing may be folded that follows from it.
        shape::infer(&mut graph).map_err(at)?;
        rewrite::evaluate_constants(&mut graph, &Folding(engine.as_ref())).map_err(at)?;
        let fixed_batch = settle_batch(&mut graph, input, &Folding(engine.as_ref()));
        rewrite::settle_shapes(&mut graph, &Folding(engine.as_ref())).map_err(at)?;
        shape::check_known(&graph).map_err(at)?;
        rewrite::standard(&mut graph, &Folding(engine.as_ref())).map_err(at)?;
        shape::check_growth(&graph).map_err(at)?;
        let (logits, head) = find_logits(&mut graph, options.logits.as_deref(), name)?;
        graph.outputs = vec![logits];
        rewrite::remove_dead(&mut graph);
        let classes = match graph.shape(logits).as_deref() {
            Some([_, Dim::Fixed(k)]) if *k > MOST_CLASSES => {
                return Err(Error::model(name, ModelError::ManyClasses { classes: *k, most: MOST_CLASSES }));
            }
            Some([_, Dim::Fixed(k @ 1..)]) => *k,
            other => return Err(Error::model(name, ModelError::NotClasses { shape: shape::display(other) })),
        };
        let input_shape = insert::image_shape(&graph, input).map_err(at)?;
        check_input(input_shape, fixed_batch.unwrap_or(1)).map_err(|e| Error::model(name, e))?;
        let engine = Arc::from(engine);
        let mut model = Model { graph, input, logits, input_shape, classes, fixed_batch, head, info, engine };
        if head == Head::Logits && classes > 1 {
            model.take_logarithm_of_probabilities()?;
        }
        Ok(model)
    }

    /// The model with another graph of the same values: other weights, say.
    pub fn with_graph(&self, graph: Graph) -> Model {
        let (info, engine) = (self.info.clone(), self.engine.clone());
        Model { graph, info, engine, ..*self }
    }

    /// Compiles the graph from image to logits.
    ///
    /// # Errors
    /// If the engine lacks an operator.
    pub fn forward(&self) -> Result<Box<dyn Session>> {
        Ok(self.engine.compile(&self.graph)?)
    }

    /// Shape of a batch of images.
    pub fn batch_shape(&self, batch: usize) -> [usize; 4] {
        let [c, h, w] = self.input_shape;
        [batch, c, h, w]
    }

    /// One image (C·H·W preprocessed values) as the model's input, repeated where the file fixes a larger batch.
    ///
    /// # Errors
    /// [`Error::Graph`] if the image has another size.
    pub fn input_tensor(&self, image: &[f32]) -> Result<Tensor> {
        let batch = self.fixed_batch.unwrap_or(1);
        Tensor::floats(&self.batch_shape(batch), image.repeat(batch))
            .map_err(|e| Error::graph(&self.info.path, e))
    }

    /// Scores of one image (C·H·W preprocessed values) from a session of [`Model::forward`].
    ///
    /// # Errors
    /// If the engine fails or a score is not a finite number.
    pub fn scores(&self, forward: &mut dyn Session, image: &[f32]) -> Result<Vec<f32>> {
        let out = forward.run(&[&self.input_tensor(image)?])?;
        let mut scores = first_floats(out, "the scores")?;
        scores.truncate(self.classes);
        self.check_scores(&scores)?;
        Ok(scores)
    }

    /// Scores of several images (C·H·W preprocessed values each, one behind the other) in one batch, filled up where the file
    /// fixes a larger one.
    ///
    /// # Errors
    /// As [`Model::scores`].
    pub fn batch_scores(&self, forward: &mut dyn Session, mut images: Vec<f32>) -> Result<Vec<Vec<f32>>> {
        let size: usize = self.input_shape.iter().product();
        let count = images.len() / size;
        let batch = self.fixed_batch.unwrap_or(count);
        images.resize(batch * size, 0.0);
        let input = Tensor::floats(&self.batch_shape(batch), images);
        let out = forward.run(&[&input.map_err(|e| Error::graph(&self.info.path, e))?])?;
        let scores = floats(out.first(), "the scores")?;
        let checked = |row: &[f32]| self.check_scores(row).map(|()| row.to_vec());
        scores.chunks(self.classes).take(count).map(checked).collect()
    }

    /// Images that the model is asked of at once where nothing else decides: four of 224×224 pixels or as many smaller ones, 32 at most; what the
    /// file fixes.
    pub fn batch(&self) -> usize {
        let [_, h, w] = self.input_shape;
        self.fixed_batch.unwrap_or((BATCH_PIXELS / (h * w).max(1)).clamp(1, 32))
    }

    /// Scores of any number of images (C·H·W preprocessed values each), [`Model::batch`] at once.
    ///
    /// # Errors
    /// As [`Model::scores`].
    pub fn all_scores(&self, forward: &mut dyn Session, images: &[&[f32]]) -> Result<Vec<Vec<f32>>> {
        let mut all = vec![];
        for part in images.chunks(self.batch()) {
            all.extend(self.batch_scores(forward, part.concat())?);
        }
        Ok(all)
    }

    /// Refuses scores that are not finite numbers.
    ///
    /// # Errors
    /// [`Error::Model`] naming the first class whose score is not a finite number.
    pub fn check_scores(&self, scores: &[f32]) -> Result<()> {
        match scores.iter().position(|s| !s.is_finite()) {
            None => Ok(()),
            Some(i) => {
                let (class, score) = (i % self.classes, scores[i]);
                Err(Error::model(&self.info.path, ModelError::NotFinite { class, score }))
            }
        }
    }

    /// Whether each class has a probability of its own, by the sigmoid of its logit.
    pub fn is_sigmoid(&self) -> bool {
        self.head == Head::MultiLabel || self.classes == 1
    }

    /// Probability of each class, 0..=1, from logits.
    pub fn probabilities(&self, logits: &[f32]) -> Vec<f64> {
        if self.is_sigmoid() {
            return logits.iter().map(|&s| 1.0 / (1.0 + (-f64::from(s)).exp())).collect();
        }
        softmax(logits)
    }

    /// Log-odds of a class against all others, from logits; its logit where it has a probability of its own.
    pub fn log_odds(&self, logits: &[f32], class: usize) -> f64 {
        if self.is_sigmoid() { f64::from(logits[class]) } else { log_odds(logits, class, &[]) }
    }

    /// If the model turns a blank image into probabilities, its scores become their logarithms.
    fn take_logarithm_of_probabilities(&mut self) -> Result<()> {
        let blank = vec![0.0; self.input_shape.iter().product()];
        let mut forward = self.forward()?;
        let scores = self.scores(forward.as_mut(), &blank)?;
        let sum: f32 = scores.iter().sum();
        if scores.iter().any(|&s| s < 0.0) || (sum - 1.0).abs() > 1e-3 {
            return Ok(());
        }
        let builder = Builder::new(std::mem::take(&mut self.graph));
        let log = (builder.value(self.logits) + f32::MIN_POSITIVE).op("Log", &[], &[]).id();
        let mut graph = builder.finish().map_err(|e| Error::graph(&self.info.path, e))?;
        graph.outputs = vec![log];
        (self.graph, self.logits, self.head) = (graph, log, Head::LogProbability);
        Ok(())
    }
}

/// Refuses an input that nobody could fill.
fn check_input([channels, height, width]: [usize; 3], batch: usize) -> Result<(), ModelError> {
    let pixels = height as u64 * width as u64;
    let bytes = [channels, batch, size_of::<f32>()].iter().try_fold(pixels, |n, &k| n.checked_mul(k as u64));
    let fits = height.max(width) <= MAX_SIDE as usize
        && pixels <= MAX_PIXELS
        // The images, and the input made of them.
        && bytes.and_then(|n| n.checked_mul(2)).is_some_and(memory::is_available);
    if fits { Ok(()) } else { Err(ModelError::LargeInput { batch, channels, height, width }) }
}

/// The only float input of four axes; made NCHW, with known sizes.
fn image_input(graph: &mut Graph, options: &ModelOptions, inputs: String) -> Result<ValueId, ModelError> {
    let images: Vec<(ValueId, Vec<Dim>)> = graph
        .inputs
        .iter()
        .filter(|&&id| graph.value(id).dtype == Some(DataType::Float))
        .filter_map(|&id| Some((id, graph.shape(id).filter(|s| s.len() == 4)?)))
        .collect();
    let [(input, shape)] = &images[..] else {
        return Err(ModelError::ImageInputs { count: images.len(), inputs });
    };
    if graph.inputs.len() > 1 {
        return Err(ModelError::OtherInputs { inputs });
    }
    let (input, shape) = (*input, shape.clone());
    let is_channels = |d: Dim| matches!(d, Dim::Fixed(1 | 3));
    let layout = options.layout.unwrap_or(match (is_channels(shape[1]), is_channels(shape[3])) {
        (false, true) => Layout::Nhwc,
        _ => Layout::Nchw,
    });
    let order = if layout == Layout::Nhwc { [0, 3, 1, 2] } else { [0, 1, 2, 3] };
    let [batch, channels, height, width] = order.map(|i| shape[i]);
    if !is_channels(channels) {
        let channels = shape::display(Some(&[channels]));
        return Err(ModelError::Channels { channels, inputs });
    }
    let free = [height, width].contains(&Dim::Unknown);
    let size = match (options.size, free) {
        (Some(size), _) => size.map(Dim::Fixed),
        (None, false) => [height, width],
        (None, true) => return Err(ModelError::FreeSize { inputs }),
    };
    let known = |d: Dim, told: Dim| if d == Dim::Unknown { told } else { d };
    let nchw = [batch, channels, known(height, size[0]), known(width, size[1])];
    if layout == Layout::Nchw {
        graph.set_shape(input, &nchw);
        return Ok(input);
    }
    graph.inputs.clear();
    let image = graph.add_input("image_nchw", DataType::Float, &nchw);
    let turned =
        insert::in_front(std::mem::take(graph), input, |b| Ok(b.value(image).transpose(&[0, 2, 3, 1])));
    (*graph, _) = turned?;
    Ok(image)
}

/// Makes the batch free if the model allows it; else returns the size it fixes.
fn settle_batch(graph: &mut Graph, input: ValueId, folding: &Folding<'_>) -> Option<usize> {
    let mut shape = graph.shape(input)?;
    match shape[0] {
        Dim::Fixed(n) => (!rewrite::free_batch(graph, folding)).then_some(n),
        _ => {
            shape[0] = Dim::Batch(1);
            graph.set_shape(input, &shape);
            None
        }
    }
}

/// The value that holds the logits, N×K, of the model at `path`.
fn find_logits(graph: &mut Graph, name: Option<&str>, path: &str) -> Result<(ValueId, Head)> {
    let at = |e| Error::graph(path, e);
    if let Some(name) = name {
        let found = graph.find(name).filter(|&id| graph.shape(id).is_some());
        let found = found.ok_or_else(|| at(unknown_value(graph, name, "logits")))?;
        return Ok((flat(graph, found).map_err(at)?, Head::Logits));
    }
    let is_float = |&id: &ValueId| graph.value(id).dtype == Some(DataType::Float);
    let scores = graph.outputs.iter().copied().filter(is_float);
    let output = scores.into_iter().find(|&id| {
        let squeezed = graph.shape(id).map(|s| s.iter().skip(1).filter(|d| **d != Dim::Fixed(1)).count());
        matches!(squeezed, Some(0 | 1))
    });
    let output = output.ok_or_else(|| {
        let describe =
            |&id: &ValueId| format!("'{}' {}", graph.name(id), shape::display(graph.shape(id).as_deref()));
        let outputs: Vec<String> = graph.outputs.iter().map(describe).collect();
        Error::model(path, ModelError::NoClassOutput { outputs: outputs.join(", ") })
    })?;
    let producers = graph.producers();
    let producer = |id: ValueId| producers.get(&id).map(|&i| &graph.nodes[i]);
    let mut node: Option<&Node> = producer(output);
    // A reshape behind the softmax moves nothing.
    while let Some(n) =
        node.filter(|n| matches!(n.op.as_str(), "Reshape" | "Flatten" | "Squeeze" | "Identity"))
    {
        node = n.input(0).and_then(producer);
    }
    let (id, head) = match node.map(|n| (n.op.as_str(), n.input(0))) {
        Some(("Softmax" | "LogSoftmax", Some(id))) => (id, Head::Softmax),
        Some(("Sigmoid", Some(id))) => (id, Head::MultiLabel),
        _ => (output, Head::Logits),
    };
    Ok((flat(graph, id).map_err(at)?, head))
}

/// N×K×1×1 and the like as N×K.
fn flat(graph: &mut Graph, id: ValueId) -> Result<ValueId, GraphError> {
    if graph.shape(id).is_some_and(|s| s.len() <= 2) {
        return Ok(id);
    }
    let builder = Builder::new(std::mem::take(graph));
    let flat = builder.value(id).op("Flatten", &[], &[]).id();
    *graph = builder.finish()?;
    Ok(flat)
}

/// The error for a value that does not exist, with the names that come nearest.
pub fn unknown_value(graph: &Graph, name: &str, what: &str) -> GraphError {
    let outputs = graph.nodes.iter().flat_map(|n| n.outputs.iter().flatten());
    let mut names: Vec<(f64, &str)> =
        outputs.map(|&id| graph.name(id)).map(|n| (strsim::jaro_winkler(n, name), n)).collect();
    names.sort_by(|a, b| b.0.total_cmp(&a.0));
    let nearest: Vec<&str> = names.iter().take(4).map(|(_, n)| *n).collect();
    let hint = format!(" (wanted as {what}); the nearest names are: {}", nearest.join(", "));
    GraphError::UnknownValue { name: name.to_string(), hint }
}
