//! Errors of graphs: each names the node of the user's file, the value or the file, and says what to do.

use std::error::Error;

use thiserror::Error;

use crate::graph::{Node, NodeName};

/// Anything that can go wrong while a graph is loaded, checked, rewritten or differentiated. `Display` leaves out what
/// [`source`](Error::source) says; [`one_line`] has both.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GraphError {
    /// The file could not be read.
    #[error("{path}: cannot be read")]
    Unreadable {
        /// Path as given.
        path: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file could not be written.
    #[error("{path}: cannot be written")]
    Unwritable {
        /// Path as given.
        path: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The bytes are not an ONNX model.
    #[error("{what}: not an ONNX model ({reason}); expected a file written by an ONNX exporter")]
    NotOnnx {
        /// Path or description of the source.
        what: String,
        /// The parser's message.
        reason: String,
    },
    /// The bytes are a file of another kind.
    #[error("{what}: is {found}, not an ONNX model; {remedy}")]
    OtherFile {
        /// Path or description of the source.
        what: String,
        /// What it is.
        found: &'static str,
        /// How to get from this file to the model.
        remedy: &'static str,
    },
    /// The graph cannot be written as an ONNX file.
    #[error("the graph cannot be encoded")]
    Encode(#[source] Box<dyn Error + Send + Sync>),
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
    /// The external data file of an initializer is missing, too short, or outside of the model's folder.
    #[error("initializer '{tensor}': external data file '{path}' cannot be used; put it beside the model")]
    ExternalData {
        /// Name of the initializer.
        tensor: String,
        /// Path of the data file.
        path: String,
        /// What is wrong with it: the system's message, or what Candor found.
        source: std::io::Error,
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
    /// A node lacks an input or attribute, or has one that does not fit the others.
    #[error("{at}: {reason}")]
    Node {
        /// The node.
        at: NodeName,
        /// What is wrong.
        reason: String,
    },
    /// The operator is supported, but not this use of it.
    #[error("{at}: {reason}")]
    Unsupported {
        /// The node.
        at: NodeName,
        /// Which use, and what to do.
        reason: String,
    },
    /// The operator is not known.
    #[error("{at}: operator {} is not known to Candor; export with standard ONNX operators", at.operator())]
    UnknownOperator {
        /// The node.
        at: NodeName,
    },
    /// The shapes of a node's inputs do not fit its operator or each other.
    #[error("{at}: {reason}")]
    ShapeMismatch {
        /// The node.
        at: NodeName,
        /// What does not fit, and the shapes.
        reason: String,
    },
    /// A shape or size that must be known is not.
    #[error("{at}: {reason}")]
    UnknownShape {
        /// The node.
        at: NodeName,
        /// Which size, and what to do.
        reason: String,
    },
    /// The result of a node would not fit into memory, or would take too many nodes to compute.
    #[error("{at}: {reason}")]
    TooLarge {
        /// The node.
        at: NodeName,
        /// The size and the limit.
        reason: String,
    },
    /// The model has more nodes than are read.
    #[error("the model has more than {most} nodes; simplify it when exporting")]
    ManyNodes {
        /// The limit.
        most: usize,
    },
    /// The operator has no gradient rule, or none for this case.
    #[error("{at}: no gradient rule for operator {}: {reason}", at.operator())]
    NoGradient {
        /// The node.
        at: NodeName,
        /// Why, and what to do.
        reason: String,
    },
    /// The graph as a whole is malformed.
    #[error("the graph is malformed: {0}")]
    Malformed(String),
    /// No value has that name.
    #[error("no value is called '{name}'{hint}")]
    UnknownValue {
        /// The name asked for.
        name: String,
        /// The names that exist; may be empty.
        hint: String,
    },
    /// The evaluator that folds constants failed.
    #[error("its constants cannot be computed; try the other --engine")]
    Evaluate(#[source] Box<dyn Error + Send + Sync>),
}

impl GraphError {
    /// A malformed node.
    pub(crate) fn node(node: &Node, reason: impl Into<String>) -> Self {
        GraphError::Node { at: node.shown(), reason: reason.into() }
    }

    /// An unsupported use of an operator.
    pub(crate) fn unsupported(node: &Node, reason: impl Into<String>) -> Self {
        GraphError::Unsupported { at: node.shown(), reason: reason.into() }
    }

    /// Inputs whose shapes do not fit.
    pub(crate) fn shapes(node: &Node, reason: impl Into<String>) -> Self {
        GraphError::ShapeMismatch { at: node.shown(), reason: reason.into() }
    }

    /// A size that is not known.
    pub(crate) fn unknown_shape(node: &Node, reason: impl Into<String>) -> Self {
        GraphError::UnknownShape { at: node.shown(), reason: reason.into() }
    }

    /// A size beyond a limit.
    pub(crate) fn too_large(node: &Node, reason: impl Into<String>) -> Self {
        GraphError::TooLarge { at: node.shown(), reason: reason.into() }
    }

    /// A node, or a case of its operator, without gradient rule.
    pub(crate) fn no_gradient(node: &Node, reason: impl Into<String>) -> Self {
        GraphError::NoGradient { at: node.shown(), reason: reason.into() }
    }

    /// An error in what a rewrite makes from `node`: fills in that node where the error names none.
    pub(crate) fn at(self, node: &Node) -> Self {
        match self {
            GraphError::Malformed(reason) => GraphError::node(node, reason),
            GraphError::TensorLength { .. } => GraphError::node(node, self.to_string()),
            named => named,
        }
    }
}

/// An error and its causes in one line, joined by ": ". A cause whose text is there already is left out.
pub fn one_line(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        cause = error.source();
    }
    let words: Vec<&str> = line.split_whitespace().collect();
    // Names in a file may contain control sequences that a terminal would execute.
    words.join(" ").replace(char::is_control, "\u{fffd}")
}

/// Shorthand for results of this crate.
pub type Result<T, E = GraphError> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_each_cause_once() {
        let system = std::io::Error::new(std::io::ErrorKind::NotFound, "no such\nfile");
        let error = GraphError::Unreadable { path: "m.onnx".to_string(), source: system };
        assert_eq!(error.to_string(), "m.onnx: cannot be read");
        assert_eq!(one_line(&error), "m.onnx: cannot be read: no such file");
        let outer = GraphError::Evaluate(Box::new(GraphError::Evaluate("the engine failed".into())));
        assert_eq!(
            one_line(&outer),
            "its constants cannot be computed; try the other --engine: the engine failed"
        );
    }
}
