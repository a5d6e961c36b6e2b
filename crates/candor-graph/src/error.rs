//! Errors of graphs: each names the node, the value or the file, and says what to do.

use thiserror::Error;

/// Anything that can go wrong while a graph is loaded, checked, rewritten or differentiated.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GraphError {
    /// The file could not be read.
    #[error("{path}: cannot be read: {reason}")]
    Unreadable {
        /// Path as given.
        path: String,
        /// The system's reason.
        reason: String,
    },
    /// The file could not be written.
    #[error("{path}: cannot be written: {reason}")]
    Unwritable {
        /// Path as given.
        path: String,
        /// The system's reason.
        reason: String,
    },
    /// The bytes are not an ONNX model.
    #[error("{what}: not an ONNX model ({reason}); expected a file written by an ONNX exporter")]
    NotOnnx {
        /// Path or description of the source.
        what: String,
        /// What the parser stumbled over.
        reason: String,
    },
    /// The model imports an operator set outside the supported range.
    #[error(
        "operator set {version} of domain '{domain}' is not supported (7 to 25 are); convert with onnx.version_converter"
    )]
    Opset {
        /// Domain, empty for ai.onnx.
        domain: String,
        /// Version found.
        version: i64,
    },
    /// The model defines local functions.
    #[error(
        "the model defines functions ({names}), which are not supported; inline them with onnx.inliner.inline_local_functions and save again"
    )]
    Functions {
        /// Names of the functions.
        names: String,
    },
    /// An initializer lives in a file that is missing or too short.
    #[error("initializer '{tensor}': external data file '{path}': {reason}; put it beside the model")]
    ExternalData {
        /// Name of the initializer.
        tensor: String,
        /// Path of the data file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor has a type that is not supported or is malformed.
    #[error("tensor '{tensor}': {reason}")]
    Tensor {
        /// Name of the tensor.
        tensor: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor's shape and number of elements disagree.
    #[error("a tensor of shape {shape:?} cannot hold {have} elements")]
    TensorLength {
        /// The shape.
        shape: Vec<usize>,
        /// Elements given.
        have: usize,
    },
    /// A node is malformed or uses something unsupported.
    #[error("node '{node}' ({op}): {reason}")]
    Node {
        /// Name of the node.
        node: String,
        /// Its operator.
        op: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The graph as a whole is malformed.
    #[error("the graph is malformed: {0}")]
    Malformed(String),
    /// The operator has no gradient rule.
    #[error("node '{node}': no gradient rule for operator {op}: {reason}")]
    NoGradient {
        /// Name of the node.
        node: String,
        /// Operator, with its domain unless that is ai.onnx.
        op: String,
        /// Why, and what to do.
        reason: String,
    },
    /// No value has that name.
    #[error("no value is called '{name}'{hint}")]
    UnknownValue {
        /// The name asked for.
        name: String,
        /// Names that exist, or nothing.
        hint: String,
    },
    /// The evaluator that folds constants failed.
    #[error("constant folding failed: {0}")]
    Evaluate(String),
}

impl GraphError {
    /// An error at a node.
    pub(crate) fn node(node: &crate::graph::Node, reason: impl Into<String>) -> Self {
        GraphError::Node { node: node.name.clone(), op: node.op.clone(), reason: reason.into() }
    }
}

/// Shorthand for results of this crate.
pub type Result<T, E = GraphError> = std::result::Result<T, E>;
