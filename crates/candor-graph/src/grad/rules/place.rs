//! Placing gradients of strided windows back on the input's grid.

use crate::builder::{Builder, Expr};
use crate::error::{GraphError, Result};
use crate::graph::{Attr, Node};
use crate::shape::Dim;

/// A window over two spatial axes with everything explicit, and the sizes before and after it.
pub(crate) struct Window {
    pub kernel: [i64; 2],
    pub strides: [i64; 2],
    pub dilations: [i64; 2],
    /// Padding before, by axis.
    pub begin: [i64; 2],
    /// Padding after, by axis.
    pub end: [i64; 2],
    pub input: [i64; 2],
    pub output: [i64; 2],
}

impl Window {
    /// Reads the window of a Conv or pooling node, whose attributes the pass `windows` made explicit.
    pub(crate) fn of(n: &Node, input: &[Dim], output: &[Dim]) -> Result<Self> {
        let pair = |name: &str, default: i64| -> Option<[i64; 2]> {
            n.ints(name).map_or(Some([default; 2]), |v| v.try_into().ok())
        };
        let sizes = |shape: &[Dim]| match shape {
            [_, _, Dim::Fixed(h), Dim::Fixed(w)] => Some([*h as i64, *w as i64]),
            _ => None,
        };
        let read = || {
            let pads: [i64; 4] = n.ints("pads").map_or(Some([0; 4]), |v| v.try_into().ok())?;
            Some(Window {
                kernel: pair("kernel_shape", 1)?,
                strides: pair("strides", 1)?,
                dilations: pair("dilations", 1)?,
                begin: [pads[0], pads[1]],
                end: [pads[2], pads[3]],
                input: sizes(input)?,
                output: sizes(output)?,
            })
        };
        read().ok_or_else(|| {
            GraphError::node(n, "only windows over two spatial axes of known size are supported")
        })
    }

    /// Index of the first coarse cell (of `stride` padded-input elements) that holds input elements, by axis.
    pub(crate) fn first_cell(&self, axis: usize) -> i64 {
        self.begin[axis] / self.strides[axis]
    }

    /// Number of coarse cells that hold input elements.
    pub(crate) fn cells(&self, axis: usize) -> i64 {
        let s = self.strides[axis];
        (self.input[axis] + self.begin[axis] + s - 1) / s - self.first_cell(axis)
    }

    /// Lays the phases (one for each offset inside a cell, row-major; `None` is zero) of N×C×cells together and cuts the
    /// input's extent out.
    pub(crate) fn assemble<'b>(&self, phases: Vec<Option<Expr<'b>>>) -> Result<Expr<'b>> {
        let whole = interleave(phases, self.strides)?;
        let mut pads = [0; 8];
        for axis in 0..2 {
            let before = self.begin[axis] - self.first_cell(axis) * self.strides[axis];
            pads[2 + axis] = -before;
            pads[6 + axis] = self.input[axis] + before - self.cells(axis) * self.strides[axis];
        }
        Ok(whole.pad(&pads, 0.0))
    }
}

/// N×C×n×m phases, `steps[0] * steps[1]` of them in row-major order, to N×C×(n·steps[0])×(m·steps[1]).
fn interleave(phases: Vec<Option<Expr<'_>>>, steps: [i64; 2]) -> Result<Expr<'_>> {
    let count = phases.len();
    let present: Vec<Expr> = phases.iter().flatten().copied().collect();
    let Some(&any) = present.first() else {
        return Err(GraphError::Malformed("a strided window reaches no input element".into()));
    };
    if count == 1 {
        return Ok(any);
    }
    let shape = any.shape()?;
    let sizes: Vec<i64> = shape.iter().map(|d| d.fixed().map_or(-1, |n| n as i64)).collect();
    let [_, c, h, w] = sizes[..] else {
        return Err(GraphError::Malformed("phases must be N×C×H×W".into()));
    };
    let stacked = if present.len() == 1 && phases[0].is_some() {
        let mut pads = [0; 8];
        pads[5] = c * (count as i64 - 1);
        any.pad(&pads, 0.0)
    } else {
        let zero = if present.len() < count { Some(any * 0.0) } else { None };
        let parts: Vec<Expr> = phases.into_iter().map(|p| p.or(zero).unwrap_or(any)).collect();
        any.builder().concat(&parts, 1)
    };
    if steps[0] == steps[1] {
        return Ok(stacked.op("DepthToSpace", &[], &[("blocksize", Attr::Int(steps[0]))]));
    }
    Ok(stacked.reshape(&[-1, steps[0], steps[1], c, h, w]).transpose(&[0, 3, 4, 1, 5, 2]).reshape(&[
        -1,
        c,
        h * steps[0],
        w * steps[1],
    ]))
}

/// Puts `step − 1` zeros behind each element along an axis.
pub(crate) fn interleave_axis<'b>(x: Expr<'b>, axis: usize, rank: usize, step: i64) -> Expr<'b> {
    if step == 1 {
        return x;
    }
    let b: &'b Builder = x.builder();
    let mut pads = vec![0; 2 * (rank + 1)];
    pads[rank + 1 + axis + 1] = step - 1;
    // 0 copies a dimension, −1 merges the element with its zeros.
    let mut merged = vec![0; rank];
    merged[axis] = -1;
    let spread = x.op("Unsqueeze", &[b.ints(&[axis as i64 + 1])], &[]).pad(&pads, 0.0);
    if axis + 1 == rank {
        return spread.reshape(&merged);
    }
    // Behind the merged axis, 0 would copy the wrong dimension: name the sizes, which are fixed there.
    let Ok(shape) = x.shape() else { return spread.reshape(&merged) };
    for (i, dim) in shape.iter().enumerate().skip(axis + 1) {
        merged[i] = dim.fixed().map_or(-1, |n| n as i64);
    }
    spread.reshape(&merged)
}
