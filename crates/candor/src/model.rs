//! A classifier: its graph from image to logits, ready to be rewritten, and the engine that runs it.

mod head;
mod input;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

pub use head::Head;

use candor_graph::builder::Builder;
use candor_graph::error::GraphError;
use candor_graph::graph::{Graph, ValueId};
use candor_graph::onnx::{self, Loaded};
use candor_graph::shape::{self, Dim};
use candor_graph::statistics::{self, Normalised};
use candor_graph::tensor::Tensor;
use candor_graph::{insert, rewrite};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::engine::{Engine, Folding, Guarded, Session};
use crate::error::{Error, ModelError, Result, first_floats, floats, guarded};
use crate::image::Layout;
use crate::package::properties;
use crate::scores::{log_odds, softmax};

/// The model of a run, identified by its content.
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
    /// Name of the explained output.
    #[serde(default)]
    pub output: String,
    /// Names and shapes of the other outputs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_outputs: Vec<String>,
}

/// Options for what the file does not say.
#[derive(Clone, Debug, Default)]
pub struct ModelOptions {
    /// Height and width of the input, needed if the file leaves them free.
    pub size: Option<[usize; 2]>,
    /// Order of the axes; if `None`, determined from the channel count (1 or 3).
    pub layout: Option<Layout>,
    /// Name of the output to explain, needed if several have classes. Takes precedence over `logits`.
    pub output: Option<String>,
    /// Name of the logits' value, if they cannot be found from an output.
    pub logits: Option<String>,
    /// Values of the inputs other than the image, constant over each input.
    pub inputs: BTreeMap<String, f64>,
}

/// Maximum number of pixels in one batch: limits the memory. Larger batches are not faster.
const BATCH_PIXELS: usize = 4 * 224 * 224;

/// Maximum number of classes of a model.
const MOST_CLASSES: usize = 1 << 20;

/// A classifier from N×C×H×W images to N×K logits.
pub struct Model {
    /// The graph after the standard passes: the image as its only input, the logits as its only output.
    pub graph: Graph,
    /// The image input, N×C×H×W.
    pub input: ValueId,
    /// The logits, N×K.
    pub logits: ValueId,
    /// `[channels, height, width]` of the input.
    pub input_shape: [usize; 3],
    /// Number of classes; two for a model with one logit.
    pub classes: usize,
    /// The batch size that the file fixes; `None` if it is free.
    pub fixed_batch: Option<usize>,
    /// How the logits were found.
    pub head: Head,
    /// Whether the model takes pixels of 0 to 255 and scales them itself: its input has an integer type, or its first arithmetic shows
    /// it.
    pub takes_pixels: bool,
    /// What a user of the model must know, one line each.
    pub notes: Vec<String>,
    /// Training statistics of the BatchNormalization nodes whose outputs are in the graph.
    pub normalised: Vec<Normalised>,
    /// Properties that the exporter wrote into the file.
    pub properties: Vec<(String, String)>,
    /// Path, content hash and origin of the file.
    pub info: ModelInfo,
    /// The engine that runs it.
    pub engine: Arc<dyn Engine>,
}

impl Model {
    /// Loads a model file and prepares it.
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

    /// Prepares a model in memory; results have `name` in place of its path.
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
        let mut info = ModelInfo {
            path: name.to_string(),
            sha256: Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect(),
            opset: loaded.opset,
            producer: loaded.producer,
            output: String::new(),
            other_outputs: vec![],
        };
        // The exporter's metadata give a free size, unless the options do.
        let size = options.size.or_else(|| properties::size(&loaded.properties));
        let options = &ModelOptions { size, ..options.clone() };
        let mut graph = loaded.graph;
        graph.check_finite().map_err(at)?;
        let image = input::image_input(&mut graph, options, described).map_err(|e| Error::model(name, e))?;
        let as_file = graph.clone();
        let ready =
            |graph: Graph, batch| Ready::new(graph, image.value, options, (engine.as_ref(), name), batch);
        let mut found = ready(graph, Batch::Free)?;
        if let Some(node) = shape::mixes_batch(&found.graph).map(|n| n.shown()) {
            let apart = |_| Error::model(name, ModelError::MixesBatch { at: Box::new(node.clone()) });
            found = ready(as_file, Batch::One).map_err(apart)?;
            found.scores.notes.push(format!(
                "{node}, computes with all images of a batch together: each image is given alone, in a batch of one"
            ));
        }
        let Ready { graph, fixed_batch, scores, normalised } = found;
        let head::Found { logits, head, output, others, notes } = scores;
        (info.output, info.other_outputs) = (output, others);
        let classes = match graph.shape(logits).as_deref() {
            Some([_, Dim::Fixed(k)]) if *k > MOST_CLASSES => {
                return Err(Error::model(name, ModelError::ManyClasses { classes: *k, most: MOST_CLASSES }));
            }
            Some([_, Dim::Fixed(k @ 1..)]) => *k,
            other => return Err(Error::model(name, ModelError::NotClasses { shape: shape::display(other) })),
        };
        let input = image.value;
        let input_shape = insert::image_shape(&graph, input).map_err(at)?;
        input::check_input(input_shape, fixed_batch.unwrap_or(1)).map_err(|e| Error::model(name, e))?;
        let takes_pixels = image.whole_numbers || rewrite::reads_pixels(&graph, input);
        let engine = Arc::from(engine);
        let mut model = Model {
            graph,
            input,
            logits,
            input_shape,
            classes,
            fixed_batch,
            head,
            takes_pixels,
            notes,
            normalised,
            properties: loaded.properties,
            info,
            engine,
        };
        if head == Head::Logits {
            model.take_logarithm_of_probabilities()?;
        }
        Ok(model)
    }

    /// The model with another graph that has the same values: with other weights, for example.
    pub fn with_graph(&self, graph: Graph) -> Model {
        let (info, engine) = (self.info.clone(), self.engine.clone());
        let (notes, properties) = (self.notes.clone(), self.properties.clone());
        let normalised = self.normalised.clone();
        Model { graph, info, engine, notes, properties, normalised, ..*self }
    }

    /// Compiles the graph from image to logits.
    ///
    /// # Errors
    /// If the engine does not support an operator.
    pub fn forward(&self) -> Result<Box<dyn Session>> {
        Ok(self.engine.compile(&self.graph)?)
    }

    /// Shape of a batch of images.
    pub fn batch_shape(&self, batch: usize) -> [usize; 4] {
        let [c, h, w] = self.input_shape;
        [batch, c, h, w]
    }

    /// One image (C·H·W preprocessed values) as the model's input, repeated if the file fixes a larger batch.
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

    /// Scores of several images (C·H·W preprocessed values each, concatenated) in one batch, which is filled up if the file
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

    /// Default number of images per batch: the batch size that the file fixes; otherwise four of 224×224 pixels, or more smaller ones up
    /// to 32.
    pub fn batch(&self) -> usize {
        let [_, h, w] = self.input_shape;
        self.fixed_batch.unwrap_or((BATCH_PIXELS / (h * w).max(1)).clamp(1, 32))
    }

    /// Scores of any number of images (C·H·W preprocessed values each), in batches of [`Model::batch`].
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

    /// Whether each class has its own probability, the sigmoid of its logit.
    pub fn is_sigmoid(&self) -> bool {
        self.head.is_sigmoid()
    }

    /// Probability of each class, 0..=1, from logits.
    pub fn probabilities(&self, logits: &[f32]) -> Vec<f64> {
        if self.is_sigmoid() {
            return logits.iter().map(|&s| 1.0 / (1.0 + (-f64::from(s)).exp())).collect();
        }
        softmax(logits)
    }

    /// Log-odds of a class against all others, from logits; its logit if each class has its own probability.
    pub fn log_odds(&self, logits: &[f32], class: usize) -> f64 {
        if self.is_sigmoid() { f64::from(logits[class]) } else { log_odds(logits, class, &[]) }
    }

    /// If the model's scores for a blank image are probabilities, they are replaced by their logarithms.
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

/// The batch size of a prepared graph.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Batch {
    /// Variable, if the model allows it.
    Free,
    /// One image.
    One,
}

/// A graph from image to logits, after the standard passes.
struct Ready {
    graph: Graph,
    fixed_batch: Option<usize>,
    scores: head::Found,
    normalised: Vec<Normalised>,
}

impl Ready {
    fn new(
        mut graph: Graph,
        input: ValueId,
        options: &ModelOptions,
        (engine, name): (&dyn Engine, &str),
        batch: Batch,
    ) -> Result<Self> {
        let at = |e: GraphError| Error::graph(name, e);
        let folding = Folding(engine);
        // Folds sizes that exporters compute from constants, before shapes are required. The batch size is not settled yet, so
        // nothing that depends on it may be folded.
        shape::infer(&mut graph).map_err(at)?;
        rewrite::evaluate_constants(&mut graph, &folding).map_err(at)?;
        let fixed_batch = match batch {
            Batch::Free => settle_batch(&mut graph, input, &folding),
            Batch::One => {
                let mut shape = graph.shape(input).unwrap_or_default();
                shape.iter_mut().take(1).for_each(|d| *d = Dim::Fixed(1));
                graph.set_shape(input, &shape);
                Some(1)
            }
        };
        rewrite::settle_shapes(&mut graph, &folding).map_err(at)?;
        shape::check_known(&graph).map_err(at)?;
        // Read here, since folding removes the statistics.
        let normalised = statistics::normalised(&graph);
        rewrite::standard(&mut graph, &folding).map_err(at)?;
        shape::check_growth(&graph).map_err(at)?;
        let scores = head::find(&mut graph, options, name)?;
        graph.outputs = vec![scores.logits];
        rewrite::remove_dead(&mut graph);
        let normalised = statistics::still_there(&graph, normalised);
        Ok(Ready { graph, fixed_batch, scores, normalised })
    }
}

/// Makes the batch size variable if the model allows it; otherwise returns the fixed size.
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

/// The error for a value that does not exist, with the most similar names.
pub fn unknown_value(graph: &Graph, name: &str, what: &str) -> GraphError {
    let outputs = graph.nodes.iter().flat_map(|n| n.outputs.iter().flatten());
    let mut names: Vec<(f64, &str)> =
        outputs.map(|&id| graph.name(id)).map(|n| (strsim::jaro_winkler(n, name), n)).collect();
    names.sort_by(|a, b| b.0.total_cmp(&a.0));
    let nearest: Vec<&str> = names.iter().take(4).map(|(_, n)| *n).collect();
    let hint = format!(" (wanted as {what}); the nearest names are: {}", nearest.join(", "));
    GraphError::UnknownValue { name: name.to_string(), hint }
}
