//! Expressions over values of a graph: operators of maths and of ONNX.

use std::ops::{Add, Div, Mul, Neg, Sub};

use super::Builder;
use crate::error::{GraphError, Result};
use crate::graph::{Attr, Graph, ValueId};
use crate::shape::Dim;

/// A value inside a [`Builder`]: copyable, with operators.
#[derive(Clone, Copy)]
pub struct Expr<'b> {
    pub(super) builder: &'b Builder,
    pub(super) id: ValueId,
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

    /// Shape in terms of the batch size.
    ///
    /// # Errors
    /// [`GraphError::UnknownShape`] or [`GraphError::Tensor`] if the rank or a dimension is not known.
    pub fn shape(self) -> Result<Vec<Dim>> {
        self.known_shape().ok_or_else(|| self.builder.with(|g| unknown_shape(g, self.id)))
    }

    /// Shape in terms of the batch size, if rank and dimensions are known.
    pub(crate) fn known_shape(self) -> Option<Vec<Dim>> {
        self.builder.with(|g| g.shape(self.id)).filter(|shape| !shape.contains(&Dim::Unknown))
    }

    /// A node with this value as its first input.
    pub fn op(self, op: &str, others: &[Expr<'b>], attrs: &[(&str, Attr)]) -> Expr<'b> {
        let inputs: Vec<_> = std::iter::once(self).chain(others.iter().copied()).map(Some).collect();
        self.builder.node(op, &inputs, attrs)
    }

    /// 1 where the value is greater than zero, else 0. A saturated HardSigmoid: one pass over the elements, no booleans.
    pub fn is_positive(self) -> Expr<'b> {
        self.op("HardSigmoid", &[], &[("alpha", Attr::Float(f32::MAX)), ("beta", Attr::Float(0.0))])
    }

    /// 1 where the value equals `bound`, an upper bound of it (of the same shape, or broadcast), 0 elsewhere: a saturated HardSigmoid
    /// of the difference.
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

    /// x·Φ(x), Φ the standard normal distribution function, or its tanh approximation. Written in operators of operator set 18.
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

    /// The `count` largest values along the last axis, in descending order.
    pub fn largest(self, count: usize) -> Expr<'b> {
        let count = self.builder.ints(&[count as i64]);
        let [values, _] = self.builder.with_outputs("TopK", &[Some(self), Some(count)], &[]);
        values
    }

    /// Mean over axes; they are kept with size 1.
    pub fn mean(self, axes: &[i64]) -> Expr<'b> {
        self.op("ReduceMean", &[self.builder.ints(axes)], &[])
    }

    /// Reshapes to a shape of which at most one dimension depends on the batch.
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

    /// Reshapes; −1 (at most once) stands for the remaining elements.
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

    /// A constant border: `pads` in ONNX's order, all begins and then all ends. Negative pads crop.
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

fn unknown_shape(graph: &Graph, id: ValueId) -> GraphError {
    const REMEDY: &str = "is not known; give the model fixed input sizes";
    match graph.nodes.iter().find(|n| n.outputs.contains(&Some(id))) {
        Some(node) => GraphError::unknown_shape(node, format!("the shape of its output {REMEDY}")),
        None => {
            GraphError::Tensor { tensor: graph.name(id).to_string(), reason: format!("its shape {REMEDY}") }
        }
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
