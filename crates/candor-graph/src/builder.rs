//! Appends nodes to a graph, each with the node of the user's file that it comes from.

mod expr;

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

pub use expr::Expr;
use rten_shape_inference::SymbolGen;

use crate::error::{GraphError, Result};
use crate::graph::{Attr, Graph, Node, Origin, ValueId};
use crate::shape::{Dim, infer_node};
use crate::tensor::{DataType, Tensor};

/// Appends nodes to a graph. The first node that cannot be built is remembered and reported by
/// [`Builder::finish`], so that expressions need no `?`.
pub struct Builder {
    graph: RefCell<Graph>,
    error: RefCell<Option<GraphError>>,
    symbols: RefCell<SymbolGen>,
    scalars: RefCell<HashMap<u32, ValueId>>,
    /// Origin given to the nodes that are appended.
    origin: RefCell<Option<Origin>>,
}

impl Builder {
    /// Continues a graph.
    pub fn new(graph: Graph) -> Self {
        Builder {
            graph: RefCell::new(graph),
            error: RefCell::new(None),
            symbols: RefCell::new(SymbolGen::with_prefix("built".into())),
            scalars: RefCell::default(),
            origin: RefCell::default(),
        }
    }

    /// Runs `build` and returns its result. Errors about the nodes that it appends name `node`'s node in the user's file.
    pub(crate) fn made_from<T>(&self, node: &Node, build: impl FnOnce() -> T) -> T {
        let around = self.origin.replace(Some(Origin::made_from(node)));
        let built = build();
        self.origin.replace(around);
        built
    }

    /// The graph with all appended nodes.
    ///
    /// # Errors
    /// That of the first node whose inputs did not fit its operator.
    pub fn finish(self) -> Result<Graph> {
        match self.error.into_inner() {
            Some(error) => Err(error),
            None => Ok(self.graph.into_inner()),
        }
    }

    /// Returns the error of the first node that could not be built: rules and lowerings rely on inputs that fit their operator, so
    /// nothing may be built on top of such a node.
    pub(crate) fn check(&self) -> Result<()> {
        self.error.borrow_mut().take().map_or(Ok(()), Err)
    }

    /// Reads the graph built so far.
    pub fn with<T>(&self, f: impl FnOnce(&Graph) -> T) -> T {
        f(&self.graph.borrow())
    }

    /// Changes the graph built so far.
    pub fn with_mut<T>(&self, f: impl FnOnce(&mut Graph) -> T) -> T {
        f(&mut self.graph.borrow_mut())
    }

    /// An existing value.
    pub fn value(&self, id: ValueId) -> Expr<'_> {
        Expr { builder: self, id }
    }

    /// A new input of the graph.
    pub fn input(&self, name: &str, dtype: DataType, shape: &[Dim]) -> Expr<'_> {
        let id = self.with_mut(|g| g.add_input(name, dtype, shape));
        self.value(id)
    }

    /// A constant.
    pub fn constant(&self, tensor: Tensor) -> Expr<'_> {
        let id = self.with_mut(|g| g.add_constant("constant", Arc::new(tensor)));
        self.value(id)
    }

    /// A float scalar; equal ones share a value.
    pub fn scalar(&self, value: f32) -> Expr<'_> {
        let mut scalars = self.scalars.borrow_mut();
        let add = || self.with_mut(|g| g.add_constant("scalar", Arc::new(Tensor::scalar(value))));
        let id = *scalars.entry(value.to_bits()).or_insert_with(add);
        self.value(id)
    }

    /// A vector of integers (shapes, axes, pads).
    pub fn ints(&self, values: &[i64]) -> Expr<'_> {
        self.constant(Tensor::ints(values))
    }

    /// Appends a node with one output.
    pub fn node<'b>(&'b self, op: &str, inputs: &[Option<Expr<'b>>], attrs: &[(&str, Attr)]) -> Expr<'b> {
        let [output] = self.with_outputs(op, inputs, attrs);
        output
    }

    /// Appends a node with `N` outputs.
    pub fn with_outputs<'b, const N: usize>(
        &'b self,
        op: &str,
        inputs: &[Option<Expr<'b>>],
        attrs: &[(&str, Attr)],
    ) -> [Expr<'b>; N] {
        let ids: [ValueId; N] = self.with_mut(|g| {
            let outputs = std::array::from_fn(|_| g.add_value(&format!("candor_{op}"), None));
            let name = g.name(outputs[0]).to_string();
            let inputs = inputs.iter().map(|i| i.map(|e| e.id)).collect();
            let attrs = attrs.iter().map(|(k, v)| (k.to_string(), v.clone())).collect();
            let node = Node::new(&name, op, inputs, outputs.map(Some).to_vec(), attrs);
            g.nodes.push(node.with_origin(self.origin.borrow().clone()));
            outputs
        });
        self.infer_last();
        ids.map(|id| self.value(id))
    }

    /// Appends a node as it is: it keeps its output ids and its origin.
    pub(crate) fn push(&self, node: Node) {
        self.with_mut(|g| g.nodes.push(node));
        self.infer_last();
    }

    /// Copies those of `nodes` that depend on a replaced value; the copies read the replacements instead. Returns a map from each value
    /// that was replaced or recomputed to its new value.
    pub fn copy<'b>(&'b self, nodes: &[Node], replaced: &[(ValueId, Expr<'b>)]) -> HashMap<ValueId, ValueId> {
        let mut stands: HashMap<ValueId, ValueId> = replaced.iter().map(|(id, e)| (*id, e.id())).collect();
        for node in nodes {
            if !node.inputs.iter().flatten().any(|i| stands.contains_key(i)) {
                continue;
            }
            let mut copy = node.clone();
            for id in copy.inputs.iter_mut().flatten() {
                *id = stands.get(id).copied().unwrap_or(*id);
            }
            for id in copy.outputs.iter_mut().flatten() {
                let new = self.with_mut(|g| {
                    let name = g.name(*id).to_string();
                    g.add_value(&name, g.value(*id).dtype)
                });
                stands.insert(*id, new);
                *id = new;
            }
            copy.name = self.with(|g| g.name(copy.output()).to_string());
            self.push(copy);
        }
        stands
    }

    fn infer_last(&self) {
        let last = self.with(|g| g.nodes.len() - 1);
        let inferred = infer_node(&mut self.graph.borrow_mut(), last, &mut self.symbols.borrow_mut());
        if let Err(e) = inferred {
            self.error.borrow_mut().get_or_insert(e);
        }
    }

    /// Concatenation along an axis.
    pub fn concat<'b>(&'b self, parts: &[Expr<'b>], axis: i64) -> Expr<'b> {
        if let [only] = parts {
            return *only;
        }
        let inputs: Vec<_> = parts.iter().map(|&p| Some(p)).collect();
        self.node("Concat", &inputs, &[("axis", Attr::Int(axis))])
    }
}
