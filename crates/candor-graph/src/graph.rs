//! The graph: values, and nodes in topological order.

mod check;
mod names;
mod node;
mod walk;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use rten_shape_inference::SymTensor;

pub use names::NodeNames;
pub use node::{Attr, Node, NodeName, Origin};

use crate::shape::{Dim, dim_of};
use crate::tensor::{DataType, Tensor};

/// Index of a value in its graph. Ids are stable: values are never removed, only disconnected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub(crate) u32);

impl ValueId {
    fn index(self) -> usize {
        self.0 as usize
    }
}

/// A value: an input, a constant, or an output of a node.
#[derive(Clone, Debug)]
pub struct Value {
    /// Unique name.
    pub name: String,
    /// Element type, if known.
    pub dtype: Option<DataType>,
    /// The tensor, if the value is a constant (an initializer).
    pub constant: Option<Arc<Tensor>>,
    /// Shape, and for small integer tensors the elements, in terms of the batch size.
    pub(crate) sym: SymTensor,
}

/// An ONNX graph. Invariants ([`Graph::check`]): nodes are in topological order, every value has at most
/// one producer, names are unique, ids are in range.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// Values by id.
    values: Vec<Value>,
    names: HashMap<String, ValueId>,
    /// Numeric suffixes below this one were used or tried for names that had to be made unique.
    next_number: usize,
    /// Nodes in topological order.
    pub nodes: Vec<Node>,
    /// Inputs that a caller must provide (initializers are constants, not inputs).
    pub inputs: Vec<ValueId>,
    /// Outputs, in order.
    pub outputs: Vec<ValueId>,
    /// Operator set of the default domain.
    pub opset: i64,
    /// Operator sets of other domains.
    pub domains: BTreeMap<String, i64>,
}

impl Graph {
    /// An empty graph for an operator set.
    pub fn new(opset: i64) -> Self {
        Graph { opset, ..Graph::default() }
    }

    /// Adds a value of unknown shape. If the name is taken, a number is appended.
    pub fn add_value(&mut self, name: &str, dtype: Option<DataType>) -> ValueId {
        let name = self.unique_name(name);
        let id = ValueId(u32::try_from(self.values.len()).expect("fewer than 2^32 values"));
        self.names.insert(name.clone(), id);
        self.values.push(Value { name, dtype, constant: None, sym: SymTensor::unknown("not inferred") });
        id
    }

    /// Adds an input of known shape.
    pub fn add_input(&mut self, name: &str, dtype: DataType, shape: &[Dim]) -> ValueId {
        let id = self.add_value(name, Some(dtype));
        self.set_shape(id, shape);
        self.inputs.push(id);
        id
    }

    /// Adds a constant.
    pub fn add_constant(&mut self, name: &str, tensor: Arc<Tensor>) -> ValueId {
        let id = self.add_value(name, None);
        self.set_constant(id, tensor);
        id
    }

    /// Turns a value into a constant. The caller must remove any node that produced it.
    pub fn set_constant(&mut self, id: ValueId, tensor: Arc<Tensor>) {
        let value = &mut self.values[id.index()];
        value.dtype = Some(tensor.dtype());
        value.sym = crate::shape::sym_of_constant(&tensor);
        value.constant = Some(tensor);
    }

    /// Turns a constant into a value of the same shape that has to be provided from elsewhere.
    pub(crate) fn forget_constant(&mut self, id: ValueId) {
        let shape: Option<Vec<Dim>> =
            self.constant(id).map(|t| t.shape().iter().map(|&n| Dim::Fixed(n)).collect());
        self.values[id.index()].constant = None;
        if let Some(shape) = shape {
            self.set_shape(id, &shape);
        }
    }

    /// Declares the element type of a value.
    pub(crate) fn set_type(&mut self, id: ValueId, dtype: DataType) {
        self.values[id.index()].dtype = Some(dtype);
    }

    /// Declares the shape of a value.
    pub fn set_shape(&mut self, id: ValueId, shape: &[Dim]) {
        self.values[id.index()].sym = SymTensor::from_shape(shape.iter().map(|d| d.to_expr()).collect());
    }

    pub(crate) fn set_sym(&mut self, id: ValueId, sym: SymTensor, dtype: Option<DataType>) {
        let value = &mut self.values[id.index()];
        value.sym = sym;
        value.dtype = dtype.or(value.dtype);
    }

    /// Appends a number where the name is taken. No number is tried twice: a file may use many such names.
    fn unique_name(&mut self, name: &str) -> String {
        if !name.is_empty() && !self.names.contains_key(name) {
            return name.to_string();
        }
        let stem = if name.is_empty() { "value" } else { name };
        self.next_number = self.next_number.max(self.values.len());
        loop {
            let candidate = format!("{stem}_{}", self.next_number);
            if !self.names.contains_key(&candidate) {
                return candidate;
            }
            self.next_number += 1;
        }
    }

    /// A value.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.index()]
    }

    /// All value ids.
    pub fn value_ids(&self) -> impl Iterator<Item = ValueId> + use<> {
        (0..self.values.len() as u32).map(ValueId)
    }

    /// Name of a value.
    pub fn name(&self, id: ValueId) -> &str {
        &self.values[id.index()].name
    }

    /// The constant behind a value, if it is one.
    pub fn constant(&self, id: ValueId) -> Option<&Arc<Tensor>> {
        self.values[id.index()].constant.as_ref()
    }

    /// The value of that name.
    pub fn find(&self, name: &str) -> Option<ValueId> {
        self.names.get(name).copied()
    }

    /// Shape of a value in terms of the batch size, if its rank is known.
    pub fn shape(&self, id: ValueId) -> Option<Vec<Dim>> {
        Some(self.values[id.index()].sym.shape()?.map(|d| dim_of(&d)).collect())
    }

    /// The first element of a constant of floats: the value of a scalar, such as a bound of Clip.
    pub fn known_float(&self, id: ValueId) -> Option<f32> {
        self.constant(id)?.as_floats()?.first().copied()
    }

    /// Elements of an integer value, if they are known and do not depend on the batch size.
    pub fn known_ints(&self, id: ValueId) -> Option<Vec<i64>> {
        if let Some(tensor) = self.constant(id) {
            return tensor.to_ints();
        }
        let constant = self.values[id.index()].sym.to_constant()?;
        Some(constant.values().iter().map(|&v| v.into()).collect())
    }

    /// Elements of an integer vector that are known in terms of the batch size: the target of a Reshape or Tile.
    pub(crate) fn known_dims(&self, id: ValueId) -> Option<Vec<Dim>> {
        if let Some(ints) = self.known_ints(id) {
            return ints.into_iter().map(|v| usize::try_from(v).ok().map(Dim::Fixed)).collect();
        }
        let dims: Vec<Dim> = self.values[id.index()].sym.as_vector()?.iter().map(dim_of).collect();
        (!dims.contains(&Dim::Unknown)).then_some(dims)
    }

    /// Replaces `from` by `to` in the inputs of the nodes for which `which` holds and in the graph's outputs.
    pub fn replace_uses(&mut self, from: ValueId, to: ValueId, which: impl Fn(&Node) -> bool) {
        for node in self.nodes.iter_mut().filter(|n| which(n)) {
            for input in node.inputs.iter_mut().flatten() {
                if *input == from {
                    *input = to;
                }
            }
        }
        for output in &mut self.outputs {
            if *output == from {
                *output = to;
            }
        }
    }

    /// Gives a value the name of another, which is renamed. Keeps the file's names on values that a rewrite replaced.
    pub fn take_name(&mut self, id: ValueId, from: ValueId) {
        let name = self.name(from).to_string();
        let old = self.name(id).to_string();
        let aside = self.unique_name(&format!("{name}_before"));
        self.names.remove(&old);
        self.names.insert(aside.clone(), from);
        self.names.insert(name.clone(), id);
        self.values[from.index()].name = aside;
        self.values[id.index()].name = name;
    }

    /// Gives a value this name. A value that already has the name is renamed.
    pub fn rename(&mut self, id: ValueId, name: &str) {
        if self.name(id) == name {
            return;
        }
        if let Some(other) = self.names.remove(name) {
            self.names.insert(name.to_string(), other);
            let aside = self.unique_name(name);
            self.names.insert(aside.clone(), other);
            self.values[other.index()].name = aside;
        }
        let old = std::mem::replace(&mut self.values[id.index()].name, name.to_string());
        self.names.remove(&old);
        self.names.insert(name.to_string(), id);
    }

    /// Total number of elements of the constants that nodes read.
    pub fn parameter_count(&self) -> usize {
        let used: HashSet<ValueId> =
            self.nodes.iter().flat_map(|n| n.inputs.iter().flatten().copied()).collect();
        used.iter().filter_map(|&id| self.constant(id)).map(|t| t.len()).sum()
    }

    pub(crate) fn sym(&self, id: ValueId) -> &SymTensor {
        &self.values[id.index()].sym
    }
}
