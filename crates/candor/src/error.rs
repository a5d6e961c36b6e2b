//! Errors of explaining. Each variant can be matched; [`one_line`] prints an error with its causes.
//!
//! `Display` says what happened at this layer and leaves the cause to [`std::error::Error::source`]: a program that prints errors prints
//! the chain, as [`one_line`] does.

use std::io;
use std::path::{Path, PathBuf};

use candor_engine::EngineError;
use candor_graph::error::GraphError;
pub use candor_graph::error::one_line;
use candor_graph::graph::NodeName;
use candor_graph::guard;
use candor_graph::tensor::Tensor;
use thiserror::Error;

use crate::image::ImageError;
use crate::labels::{ClassError, LabelsError};
use crate::package::PackageError;
use crate::progress::Cancelled;
use crate::sidecar::SidecarError;
use crate::suggest::{among, did_you_mean, nearest};

/// Anything that can go wrong between a model file and a map.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read.
    #[error("{}: cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A directory was given for a model.
    #[error("{}: is a directory, not a model file", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
    },
    /// The file is no ONNX file, or cannot be read or written; the cause names it.
    #[error(transparent)]
    File(Box<GraphError>),
    /// A model's graph is invalid.
    #[error("{path}")]
    Graph {
        /// The model file.
        path: String,
        /// What is wrong with it.
        source: Box<GraphError>,
    },
    /// The file is a valid graph but not one that can be explained.
    #[error("{path}")]
    Model {
        /// The model file.
        path: String,
        /// Why, and what to do.
        source: Box<ModelError>,
    },
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// An engine's output that should hold floats does not.
    #[error("the engine gave no float values for {what}; try the other --engine")]
    NoFloats {
        /// What was computed.
        what: &'static str,
    },
    /// A method was asked to explain before it was given a photo.
    #[error("no photo was given: call `scores` before `explain`")]
    NoPhoto,
    /// No method has that name.
    #[error("there is no method '{name}'; {}", match nearest(name, known.iter().copied()) {
        Some(meant) => format!("did you mean '{meant}'? `candor methods` lists all"),
        None => format!("there are: {}", known.join(", ")),
    })]
    UnknownMethod {
        /// The name asked for.
        name: String,
        /// The known names.
        known: Vec<&'static str>,
    },
    /// A method's parameter is wrong, or the method does not apply to this model.
    #[error("method '{method}'")]
    Method {
        /// The method.
        method: String,
        /// What is wrong.
        source: MethodError,
    },
    /// An image cannot be used.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A model's labels cannot be used.
    #[error(transparent)]
    Labels(#[from] LabelsError),
    /// The requested class does not exist or is ambiguous.
    #[error(transparent)]
    Class(#[from] ClassError),
    /// The sidecar cannot be used.
    #[error(transparent)]
    Sidecar(#[from] SidecarError),
    /// The files beside the model cannot be used.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// A bug: a panic that was caught before it left the library.
    #[error("{what}: an unexpected state ({reason}); please report it with this file")]
    Panicked {
        /// The file that was processed.
        what: String,
        /// The panic's message.
        reason: String,
    },
    /// The caller cancelled the work.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// Why a model cannot be explained, and what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The number of inputs that could be an image is not one.
    #[error("it has {count} image inputs (four axes), not one; its inputs are: {inputs}")]
    ImageInputs {
        /// Inputs that could be an image.
        count: usize,
        /// All inputs with their shapes.
        inputs: String,
    },
    /// It has inputs besides the image.
    #[error(
        "it has other inputs beside the image; give each a value in the sidecar ([inputs], then NAME = NUMBER a line); its inputs are: {inputs}"
    )]
    OtherInputs {
        /// All inputs with their shapes.
        inputs: String,
    },
    /// The image has neither one channel nor three.
    #[error("its input has {channels} channels, not 1 or 3; its inputs are: {inputs}")]
    Channels {
        /// The channels as the file says.
        channels: String,
        /// All inputs with their shapes.
        inputs: String,
    },
    /// The file leaves the input's size free.
    #[error(
        "it takes images of any size; say which in its sidecar: size = [height, width]; its inputs are: {inputs}"
    )]
    FreeSize {
        /// All inputs with their shapes.
        inputs: String,
    },
    /// An input is given a value but does not exist.
    #[error("it has no input '{name}', which the sidecar gives a value; its inputs are: {inputs}")]
    UnknownInput {
        /// The name in the sidecar.
        name: String,
        /// All inputs with their shapes.
        inputs: String,
    },
    /// An image's output depends on the other images of its batch, and the file fixes a batch of several.
    #[error(
        "{at} computes with all images of a batch together, and the file fixes a batch of several; export it with a batch of one"
    )]
    MixesBatch {
        /// The node.
        at: Box<NodeName>,
    },
    /// Several outputs have classes.
    #[error(
        "several of its outputs could be the classes: {outputs}; name one with --output, or `output` in the sidecar"
    )]
    SeveralOutputs {
        /// Those outputs with their shapes.
        outputs: String,
    },
    /// No output has the name asked for.
    #[error("it has no output '{name}'; its outputs are: {outputs}")]
    UnknownOutput {
        /// The name asked for.
        name: String,
        /// All outputs with their shapes.
        outputs: String,
    },
    /// The requested output does not have the shape N×classes.
    #[error("its output {output} is not N×classes; its outputs are: {outputs}")]
    OutputWithoutClasses {
        /// The output asked for.
        output: String,
        /// All outputs with their shapes.
        outputs: String,
    },
    /// No output is N×classes.
    #[error(
        "none of its outputs is N×classes: {outputs}; a value inside the graph can be named with `logits` in the sidecar"
    )]
    NoClassOutput {
        /// All outputs with their shapes.
        outputs: String,
    },
    /// The value of the logits is not N×classes.
    #[error(
        "its output has shape {shape}, not N×classes: not an image classifier (name the logits' value with `logits` in the sidecar)"
    )]
    NotClasses {
        /// The shape found.
        shape: String,
    },
    /// It has more classes than are supported.
    #[error("its output has {classes} classes; at most {most} are supported")]
    ManyClasses {
        /// Classes of the model.
        classes: usize,
        /// The limit.
        most: usize,
    },
    /// Its input has more pixels than a photo may have, or does not fit into memory.
    #[error(
        "its input of {batch} × {channels} × {height} × {width} is too large: at most {} pixels a side and {} million in all, if they fit into memory; \
         export it for smaller images",
        crate::image::MAX_SIDE, crate::image::MAX_PIXELS / 1_000_000
    )]
    LargeInput {
        /// The batch size that the file fixes; 1 if it is free.
        batch: usize,
        /// Channels.
        channels: usize,
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
    /// A score is NaN or infinite.
    #[error(
        "the score of class {class} is {score}; the weights or the preprocessing are wrong for this model"
    )]
    NotFinite {
        /// The first such class.
        class: usize,
        /// Its score.
        score: f32,
    },
    /// The graph could not be brought into the form of a classifier.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The labels have another number of classes.
    #[error(transparent)]
    Labels(#[from] LabelsError),
    /// The sidecar contradicts the model.
    #[error(transparent)]
    Sidecar(#[from] SidecarError),
    /// No feature map can be masked.
    #[error(
        "no feature map separates the image from the logits; name levels with --levels (see `candor inspect`)"
    )]
    NoLevel,
    /// The logits do not depend on a level, or the level does not depend on the image.
    #[error("level '{level}' is not between the image and the logits; name others with --levels")]
    LevelApart {
        /// Name of the level.
        level: String,
    },
    /// A value that a method needs is computed by neither part of the cut graph.
    #[error("a method reads a value that nothing computes; please report this model")]
    NotComputed,
    /// Calibration found no photo with evidence for its top-1 class.
    #[error("none of the photos shows evidence for its top class; give other photos")]
    NoEvidence,
    /// Calibration found no λ that keeps the evidence.
    #[error("no λ tried keeps the evidence; raise --tolerance or name other levels")]
    NoLambda,
}

/// What is wrong with a method's setting, or why a method does not apply to a model.
#[derive(Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum MethodError {
    /// A parameter that the method does not have.
    #[error("has no parameter '{name}'{}", among(name, known))]
    UnknownParameter {
        /// The name given.
        name: String,
        /// The known names.
        known: Vec<&'static str>,
    },
    /// A parameter that is given twice.
    #[error("parameter '{name}' is given twice")]
    Twice {
        /// The parameter.
        name: String,
    },
    /// A value that a parameter does not accept.
    #[error("parameter '{name}' must be {wanted}, not '{given}'")]
    Value {
        /// The parameter.
        name: &'static str,
        /// The values it takes.
        wanted: String,
        /// The value given.
        given: String,
    },
    /// A word that a parameter does not accept.
    #[error("parameter '{name}' must be one of {}, not '{given}'{}", known.join(", "), did_you_mean(given, known.iter().copied()))]
    Choice {
        /// The parameter.
        name: &'static str,
        /// The words it accepts.
        known: &'static [&'static str],
        /// The word given.
        given: String,
    },
    /// A wrapper that wraps itself.
    #[error("cannot wrap itself; name another method with --set method=…")]
    WrapsItself,
    /// The method cannot be exported as a graph.
    #[error("cannot be exported; these can: {}", known.join(", "))]
    NotExportable {
        /// The methods that can.
        known: Vec<&'static str>,
    },
    /// The setting cannot be exported as a graph.
    #[error("can only be exported with {name}={only}, not {given}")]
    NotExportableWith {
        /// The parameter.
        name: &'static str,
        /// The value it must have.
        only: &'static str,
        /// The value it has.
        given: String,
    },
    /// The model has none of the operators that the method is defined for.
    #[error("is defined for {networks}, and this model is none; choose another method")]
    NotForModel {
        /// The networks that it is defined for.
        networks: &'static str,
    },
    /// Too few samples to determine the coefficients of all superpixels.
    #[error("{samples} samples do not determine {segments} superpixels; raise samples or lower segments")]
    FewSamples {
        /// Samples drawn.
        samples: usize,
        /// Superpixels of the photo.
        segments: usize,
    },
    /// Attention in a form that the method cannot read.
    #[error("{reason}")]
    Attention {
        /// What was found where.
        reason: String,
    },
}

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of a model's graph. The file is not added to errors that name it already.
    pub fn graph(path: &str, source: GraphError) -> Self {
        match source {
            GraphError::Unreadable { .. }
            | GraphError::Unwritable { .. }
            | GraphError::NotOnnx { .. }
            | GraphError::OtherFile { .. } => Error::File(Box::new(source)),
            source => Error::Graph { path: path.to_string(), source: Box::new(source) },
        }
    }

    /// An error of a model.
    pub fn model(path: &str, source: impl Into<ModelError>) -> Self {
        Error::Model { path: path.to_string(), source: Box::new(source.into()) }
    }

    /// An error of a method.
    pub(crate) fn method(method: &str, source: MethodError) -> Self {
        Error::Method { method: method.to_string(), source }
    }

    pub(crate) fn read(path: &Path, source: io::Error) -> Self {
        Error::Read { path: path.to_path_buf(), source }
    }

    /// Whether the caller's request is invalid: an unknown name of a method or a class, or an invalid value of a parameter.
    /// Everything else is a failure of files, models or engines.
    pub fn is_usage(&self) -> bool {
        use MethodError::{
            Choice, NotExportable, NotExportableWith, Twice, UnknownParameter, Value, WrapsItself,
        };
        match self {
            Error::UnknownMethod { .. } | Error::Class(_) => true,
            Error::Method { source, .. } => matches!(
                source,
                UnknownParameter { .. }
                    | Twice { .. }
                    | Value { .. }
                    | Choice { .. }
                    | WrapsItself
                    | NotExportable { .. }
                    | NotExportableWith { .. }
            ),
            _ => false,
        }
    }
}

/// Runs `work` on the file that `what` names; a panic becomes an error.
pub(crate) fn guarded<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let panicked = |reason| Error::Panicked { what: what.to_string(), reason };
    guard::guarded(work).map_err(panicked).flatten()
}

/// The float values of an engine's output.
pub(crate) fn floats<'t>(tensor: Option<&'t Tensor>, what: &'static str) -> Result<&'t [f32]> {
    tensor.and_then(Tensor::as_floats).ok_or(Error::NoFloats { what })
}

/// The float values of an engine's first output, without a copy.
pub(crate) fn first_floats(outputs: Vec<Tensor>, what: &'static str) -> Result<Vec<f32>> {
    outputs.into_iter().next().and_then(Tensor::into_floats).ok_or(Error::NoFloats { what })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_one_line_that_names_each_cause_once() {
        let denied = || io::Error::new(io::ErrorKind::PermissionDenied, "no permission");
        let read = Error::read(Path::new("m.onnx"), denied());
        assert_eq!(read.to_string(), "m.onnx: cannot be read");
        assert_eq!(one_line(&read), "m.onnx: cannot be read: no permission");
        let node = Error::model("m.onnx", ModelError::NoLevel);
        assert!(one_line(&node).starts_with("m.onnx: no feature map"), "{}", one_line(&node));
        let image: Error = ImageError::Unreadable { path: "x.png".into(), source: denied() }.into();
        assert_eq!(one_line(&image), "x.png: cannot be read: no permission");
    }

    #[test]
    fn what_the_user_asked_wrongly_is_usage() {
        let value = MethodError::Value { name: "rate", wanted: "a number".into(), given: "x".into() };
        assert!(Error::method("reliable", value).is_usage());
        assert!(!Error::method("lime", MethodError::FewSamples { samples: 1, segments: 9 }).is_usage());
        assert!(!Error::model("m.onnx", ModelError::NoLevel).is_usage());
    }
}
