//! Expressions that read as maths: rewrites, rules and tests build nodes with them.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::ops::{Add, Div, Mul, Neg, Sub};
use std::sync::Arc;

use rten_shape_inference::SymbolGen;

use crate::error::{GraphError, Result};
use crate::graph::{Attr, Graph, Node, ValueId};
use crate::shape::{Dim, infer_node};
use crate::tensor::{DataType, Tensor};

/// Appends nodes to a graph. The first node that cannot be built is remembered and reported by
/// [`Builder::finish`], so that expressions need no `?`.
pub struct Builder {
    graph: RefCell<Graph>,
    error: RefCell<Option<GraphError>>,
    symbols: RefCell<SymbolGen>,
    scalars: RefCell<HashMap<u32, ValueId>>,
}

/// A value inside a [`Builder`]: copyable, with operators.
#[derive(Clone, Copy)]
pub struct Expr<'b> {
    builder: &'b Builder,
    id: ValueId,
}

impl Builder {
    /// Continues a graph.
    pub fn new(graph: Graph) -> Self {
        Builder {
            graph: RefCell::new(graph),
            error: RefCell::new(None),
            symbols: RefCell::new(SymbolGen::with_prefix("built".into())),
            scalars: RefCell::default(),
        }
    }

    /// The graph with all that was appended.
    ///
    /// # Errors
    /// The first node whose inputs did not fit its operator.
    pub fn finish(self) -> Result<Graph> {
        match self.error.into_inner() {
            Some(error) => Err(error),
            None => Ok(self.graph.into_inner()),
        }
    }

    /// Hands over what is wrong with the first node that could not be built: rules and lowerings count on inputs that fit
    /// their operator, so that nothing must be built on top of it.
    pub(crate) fn check(&self) -> Result<()> {
        self.error.borrow_mut().take().map_or(Ok(()), Err)
    }

    /// Reads the graph as it stands.
    pub fn with<T>(&self, f: impl FnOnce(&Graph) -> T) -> T {
        f(&self.graph.borrow())
    }

    /// Changes the graph as it stands.
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
        let id = self.with_mut(|g| {
            let output = g.add_value(&format!("candor_{op}"), None);
            g.nodes.push(Node {
                name: g.name(output).to_string(),
                op: op.to_string(),
                domain: String::new(),
                inputs: inputs.iter().map(|i| i.map(|e| e.id)).collect(),
                outputs: vec![Some(output)],
                attrs: attrs.iter().map(|(k, v)| (k.to_string(), v.clone())).collect::<BTreeMap<_, _>>(),
            });
            output
        });
        self.infer_last();
        self.value(id)
    }

    /// Appends a node as it is; its outputs keep their ids.
    pub(crate) fn push(&self, node: Node) {
        self.with_mut(|g| g.nodes.push(node));
        self.infer_last();
    }

    /// Appends copies of those of `nodes` that depend on any of the replaced values, reading the replacements in their place.
    /// Returns, for each value that was replaced or computed anew, the one that stands for it.
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

impl<'b> Expr<'b> {
    /// Id of the value.
    pub fn id(self) -> ValueId {
        self.id
    }

    /// The builder it belongs to.
    pub fn builder(self) -> &'b Builder {
        self.builder
    }

    /// Shape in terms of the batch.
    ///
    /// # Errors
    /// [`GraphError::Tensor`] if the rank or a dimension is not known.
    pub fn shape(self) -> Result<Vec<Dim>> {
        let shape = self.builder.with(|g| g.shape(self.id));
        match shape {
            Some(shape) if !shape.contains(&Dim::Unknown) => Ok(shape),
            _ => Err(GraphError::Tensor {
                tensor: self.builder.with(|g| g.name(self.id).to_string()),
                reason: "its shape is not known; give the model fixed input sizes".to_string(),
            }),
        }
    }

    /// A node with this as first of its inputs.
    pub fn op(self, op: &str, others: &[Expr<'b>], attrs: &[(&str, Attr)]) -> Expr<'b> {
        let inputs: Vec<_> = std::iter::once(self).chain(others.iter().copied()).map(Some).collect();
        self.builder.node(op, &inputs, attrs)
    }

    /// 1 where the value is greater than zero, else 0. A saturated HardSigmoid: one pass, no booleans.
    pub fn is_positive(self) -> Expr<'b> {
        self.op("HardSigmoid", &[], &[("alpha", Attr::Float(f32::MAX)), ("beta", Attr::Float(0.0))])
    }

    /// 1 where the value equals an upper bound of it (of its shape, or broadcast), 0 elsewhere: a saturated HardSigmoid of
    /// the difference.
    pub fn equals_bound(self, bound: Expr<'b>) -> Expr<'b> {
        let (alpha, beta) = (("alpha", Attr::Float(f32::MAX)), ("beta", Attr::Float(1.0)));
        (self - bound).op("HardSigmoid", &[], &[alpha, beta])
    }

    /// The same values as 32-bit floats.
    pub fn to_float(self) -> Expr<'b> {
        const FLOAT: i64 = 1;
        self.op("Cast", &[], &[("to", Attr::Int(FLOAT))])
    }

    /// exp
    pub fn exp(self) -> Expr<'b> {
        self.op("Exp", &[], &[])
    }

    /// Square root.
    pub fn sqrt(self) -> Expr<'b> {
        self.op("Sqrt", &[], &[])
    }

    /// x·Φ(x), Φ the normal distribution; or the tanh form of it. Written in operators of set 18.
    pub fn gelu(self, tanh: bool) -> Expr<'b> {
        if tanh {
            let inner = self * (self * self * 0.044_715 + 1.0) * (2.0 / std::f32::consts::PI).sqrt();
            return self * ((inner.op("Tanh", &[], &[]) + 1.0) * 0.5);
        }
        let erf = (self * std::f32::consts::FRAC_1_SQRT_2).op("Erf", &[], &[]);
        self * (erf * 0.5 + 0.5)
    }

    /// Sum over axes.
    pub fn sum(self, axes: &[i64], keep_dims: bool) -> Expr<'b> {
        let axes = self.builder.ints(axes);
        self.op("ReduceSum", &[axes], &[("keepdims", Attr::Int(keep_dims.into()))])
    }

    /// Mean over axes, which stay as ones.
    pub fn mean(self, axes: &[i64]) -> Expr<'b> {
        self.op("ReduceMean", &[self.builder.ints(axes)], &[])
    }

    /// A shape of which at most one dimension depends on the batch.
    ///
    /// # Errors
    /// [`GraphError::Malformed`] if more do.
    pub fn reshape_to(self, shape: &[Dim]) -> Result<Expr<'b>> {
        if shape.iter().filter(|d| d.fixed().is_none()).count() > 1 {
            return Err(GraphError::Malformed(format!(
                "'{}' would have several axes that depend on the batch",
                self.builder.with(|g| g.name(self.id).to_string())
            )));
        }
        let target: Vec<i64> = shape.iter().map(|d| d.fixed().map_or(-1, |n| n as i64)).collect();
        Ok(self.reshape(&target))
    }

    /// Another shape; −1 once for "whatever is left".
    pub fn reshape(self, shape: &[i64]) -> Expr<'b> {
        let shape = self.builder.ints(shape);
        self.op("Reshape", &[shape], &[])
    }

    /// Axes in another order.
    pub fn transpose(self, perm: &[i64]) -> Expr<'b> {
        self.op("Transpose", &[], &[("perm", Attr::Ints(perm.to_vec()))])
    }

    /// Part of the axes: from `starts` to `ends` (exclusive) in `steps`.
    pub fn slice(self, axes: &[i64], starts: &[i64], ends: &[i64], steps: &[i64]) -> Expr<'b> {
        let b = self.builder;
        self.op("Slice", &[b.ints(starts), b.ints(ends), b.ints(axes), b.ints(steps)], &[])
    }

    /// A constant border: `pads` as ONNX has them, all begins and then all ends. Negative pads cut off.
    pub fn pad(self, pads: &[i64], value: f32) -> Expr<'b> {
        let rank = pads.len() / 2;
        let cut: Vec<usize> = (0..rank).filter(|&i| pads[i] < 0 || pads[i + rank] < 0).collect();
        let mut x = self;
        if !cut.is_empty() {
            let axes: Vec<i64> = cut.iter().map(|&i| i as i64).collect();
            let starts: Vec<i64> = cut.iter().map(|&i| (-pads[i]).max(0)).collect();
            let ends: Vec<i64> =
                cut.iter().map(|&i| if pads[i + rank] < 0 { pads[i + rank] } else { i64::MAX }).collect();
            x = x.slice(&axes, &starts, &ends, &vec![1; axes.len()]);
        }
        if pads.iter().any(|&p| p > 0) {
            let pads: Vec<i64> = pads.iter().map(|&p| p.max(0)).collect();
            let b = self.builder;
            x = x.op("Pad", &[b.ints(&pads), b.scalar(value)], &[("mode", Attr::Text("constant".into()))]);
        }
        x
    }
}

macro_rules! operator {
    ($trait:ident, $method:ident, $op:literal) => {
        impl<'b> $trait for Expr<'b> {
            type Output = Expr<'b>;
            fn $method(self, other: Expr<'b>) -> Expr<'b> {
                self.op($op, &[other], &[])
            }
        }
        impl<'b> $trait<f32> for Expr<'b> {
            type Output = Expr<'b>;
            fn $method(self, other: f32) -> Expr<'b> {
                let other = self.builder.scalar(other);
                self.op($op, &[other], &[])
            }
        }
        impl<'b> $trait<Expr<'b>> for f32 {
            type Output = Expr<'b>;
            fn $method(self, other: Expr<'b>) -> Expr<'b> {
                other.builder.scalar(self).op($op, &[other], &[])
            }
        }
    };
}
operator!(Add, add, "Add");
operator!(Sub, sub, "Sub");
operator!(Mul, mul, "Mul");
operator!(Div, div, "Div");

impl<'b> Neg for Expr<'b> {
    type Output = Expr<'b>;
    fn neg(self) -> Expr<'b> {
        self.op("Neg", &[], &[])
    }
}
