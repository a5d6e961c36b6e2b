//! Nodes: an operator, its inputs and outputs, and the node of the user's file that it comes from.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::ValueId;
use crate::subgraph::Subgraph;
use crate::tensor::Tensor;

/// A node's attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Attr {
    /// Integer.
    Int(i64),
    /// Float.
    Float(f32),
    /// Text.
    Text(String),
    /// Integers.
    Ints(Vec<i64>),
    /// Floats.
    Floats(Vec<f32>),
    /// Texts.
    Texts(Vec<String>),
    /// Tensor.
    Tensor(Arc<Tensor>),
    /// A graph inside the node.
    Graph(Arc<Subgraph>),
}

/// An operator applied to values.
#[derive(Clone, Debug)]
pub struct Node {
    /// Name, unique where the file gave one.
    pub name: String,
    /// Operator, e.g. `Conv`.
    pub op: String,
    /// Operator domain; empty for ai.onnx.
    pub domain: String,
    /// Inputs; `None` where an optional input is omitted.
    pub inputs: Vec<Option<ValueId>>,
    /// Outputs; `None` where an optional output is omitted.
    pub outputs: Vec<Option<ValueId>>,
    /// Attributes by name.
    pub attrs: BTreeMap<String, Attr>,
    /// The node of the user's file that this node is or was made from. Not written to files.
    pub origin: Option<Origin>,
}

impl Node {
    /// A node of ai.onnx, without origin.
    pub fn new(
        name: &str,
        op: &str,
        inputs: Vec<Option<ValueId>>,
        outputs: Vec<Option<ValueId>>,
        attrs: BTreeMap<String, Attr>,
    ) -> Self {
        let (name, op, domain) = (name.to_string(), op.to_string(), String::new());
        Node { name, op, domain, inputs, outputs, attrs, origin: None }
    }

    /// The node with that origin.
    pub(crate) fn with_origin(self, origin: Option<Origin>) -> Self {
        Node { origin, ..self }
    }

    /// An integer attribute, or its default.
    pub fn int(&self, name: &str, default: i64) -> i64 {
        match self.attrs.get(name) {
            Some(Attr::Int(v)) => *v,
            _ => default,
        }
    }

    /// A float attribute, or its default.
    pub fn float(&self, name: &str, default: f32) -> f32 {
        match self.attrs.get(name) {
            Some(Attr::Float(v)) => *v,
            _ => default,
        }
    }

    /// An attribute of integers.
    pub fn ints(&self, name: &str) -> Option<&[i64]> {
        match self.attrs.get(name) {
            Some(Attr::Ints(v)) => Some(v),
            _ => None,
        }
    }

    /// A text attribute, or its default.
    pub fn text<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        match self.attrs.get(name) {
            Some(Attr::Text(v)) => v,
            _ => default,
        }
    }

    /// The operator as an error should name it.
    pub fn qualified_op(&self) -> String {
        if self.domain.is_empty() { self.op.clone() } else { format!("{}.{}", self.domain, self.op) }
    }

    /// Input `i`, if it is present.
    pub fn input(&self, i: usize) -> Option<ValueId> {
        self.inputs.get(i).copied().flatten()
    }

    /// The first output.
    ///
    /// # Panics
    /// If the node has none, which [`Graph::check`](super::Graph::check) excludes.
    pub fn output(&self) -> ValueId {
        self.outputs.iter().copied().flatten().next().expect("every node has an output")
    }

    /// Whether a rewrite made the node, so that it is not in the user's file.
    pub fn is_made(&self) -> bool {
        self.origin.as_ref().is_none_or(|origin| origin.made)
    }

    /// The node as an error should name it.
    pub fn shown(&self) -> NodeName {
        let op = self.qualified_op();
        match &self.origin {
            None => NodeName { node: self.name.clone(), op, made: None },
            Some(origin) => NodeName {
                node: origin.node.name.clone(),
                op: origin.node.op.clone(),
                made: (origin.made || op != origin.node.op).then_some(op),
            },
        }
    }
}

/// The node of the user's file that a node is or was made from by a rewrite. Errors name this node, since users do not know the names
/// that rewrites invent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    node: Arc<FileNode>,
    /// Whether a rewrite made the node.
    made: bool,
}

/// A node as it is in its file.
#[derive(Debug, PartialEq, Eq)]
struct FileNode {
    name: String,
    /// With its domain unless that is ai.onnx.
    op: String,
}

impl Origin {
    /// Origin of a node that is in a file under that name.
    pub(crate) fn in_file(name: &str, node: &Node) -> Self {
        Origin { node: Arc::new(FileNode { name: name.to_string(), op: node.qualified_op() }), made: false }
    }

    /// Origin of what a rewrite makes from `node`. A node that comes from no file is named as it is in the graph.
    pub(crate) fn made_from(node: &Node) -> Self {
        let origin = node.origin.clone().unwrap_or_else(|| Origin::in_file(&node.name, node));
        Origin { made: true, ..origin }
    }
}

/// How an error names a node: `node 'act7' (HardSwish)`, or `node 'act7' (HardSwish), in the Mul made from it`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeName {
    /// The node's name in the user's file; for a node without a name there, the name of its first output.
    pub node: String,
    /// Its operator there, with its domain unless that is ai.onnx.
    pub op: String,
    /// If the error is about a node that a rewrite made, the operator of that node.
    pub made: Option<String>,
}

impl NodeName {
    /// The operator that the error is about.
    pub fn operator(&self) -> &str {
        self.made.as_deref().unwrap_or(&self.op)
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node '{}' ({})", self.node, self.op)?;
        self.made.as_ref().map_or(Ok(()), |made| write!(f, ", in the {made} made from it"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(node: &Node) -> String {
        node.shown().to_string()
    }

    #[test]
    fn a_node_is_shown_as_its_file_has_it() {
        let mut node = Node::new("Upsample_3", "Upsample", vec![], vec![], BTreeMap::new());
        assert_eq!(shown(&node), "node 'Upsample_3' (Upsample)");
        node.origin = Some(Origin::in_file("large", &node));
        assert_eq!(shown(&node), "node 'large' (Upsample)");
        // As the loader does with old operator sets.
        node.op = "Resize".to_string();
        assert_eq!(shown(&node), "node 'large' (Upsample), in the Resize made from it");
        let product = Node::new("candor_MatMul", "MatMul", vec![], vec![], BTreeMap::new());
        let product = product.with_origin(Some(Origin::made_from(&node)));
        assert_eq!(shown(&product), "node 'large' (Upsample), in the MatMul made from it");
    }
}
