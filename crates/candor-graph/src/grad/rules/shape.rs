//! Operators that move elements without changing them.

use super::place::interleave_axis;
use crate::builder::Expr;
use crate::error::{GraphError, Result};
use crate::grad::Sweep;
use crate::graph::Node;
use crate::shape::Dim;

/// reshape, flatten, squeeze, unsqueeze: dx = dy in x's shape
pub(crate) fn reshape(s: &mut Sweep, n: &Node) -> Result<()> {
    let shape = s.input(n, 0)?.shape()?;
    let free = |_| GraphError::no_gradient(n, "its input has more than one axis that depends on the batch");
    let dx = s.full_dy(n)?.reshape_to(&shape).map_err(free)?;
    s.add_grad(n, 0, dx)
}

/// transpose: dx = dy with the permutation undone
pub(crate) fn transpose(s: &mut Sweep, n: &Node) -> Result<()> {
    let rank = s.input(n, 0)?.shape()?.len();
    let perm: Vec<i64> = n.ints("perm").map_or_else(|| (0..rank as i64).rev().collect(), <[i64]>::to_vec);
    let mut inverse = vec![0; rank];
    for (i, &p) in perm.iter().enumerate() {
        inverse[p as usize] = i as i64;
    }
    s.add_grad(n, 0, s.full_dy(n)?.transpose(&inverse))
}

/// concat: each input's gradient is its part of dy
pub(crate) fn concat(s: &mut Sweep, n: &Node) -> Result<()> {
    let dy = s.full_dy(n)?;
    let rank = dy.shape()?.len() as i64;
    let axis = n.int("axis", 0);
    let axis = if axis < 0 { axis + rank } else { axis };
    let mut start = 0;
    for i in 0..n.inputs.len() {
        let size = s.input(n, i)?.shape()?[axis as usize].fixed();
        let size = size.ok_or_else(|| GraphError::no_gradient(n, "concatenates along the batch"))? as i64;
        if s.needs(n, i) {
            s.add_grad(n, i, dy.slice(&[axis], &[start], &[start + size], &[1]))?;
        }
        start += size;
    }
    Ok(())
}

/// constant padding: dx = dy without the border
pub(crate) fn pad(s: &mut Sweep, n: &Node) -> Result<()> {
    if n.text("mode", "constant") != "constant" {
        let reason = format!("mode {} has no rule yet; export with constant padding", n.text("mode", ""));
        return Err(GraphError::no_gradient(n, reason));
    }
    let rank = s.input(n, 0)?.shape()?.len();
    let pads = constant_ints(s, n, 1)?.ok_or_else(|| GraphError::node(n, "has no pads"))?;
    let mut undo = vec![0; 2 * rank];
    let axes = constant_ints(s, n, 3)?.unwrap_or_else(|| (0..rank as i64).collect());
    for (k, &axis) in axes.iter().enumerate() {
        let axis = if axis < 0 { axis + rank as i64 } else { axis } as usize;
        undo[axis] = -pads[k];
        undo[axis + rank] = -pads[k + axes.len()];
    }
    s.add_grad(n, 0, s.full_dy(n)?.pad(&undo, 0.0))
}

/// slice: dx = dy put back in its place, zero elsewhere
pub(crate) fn slice(s: &mut Sweep, n: &Node) -> Result<()> {
    let shape = s.input(n, 0)?.shape()?;
    let rank = shape.len();
    let missing = |what: &str| GraphError::node(n, format!("has no {what}"));
    let starts = constant_ints(s, n, 1)?.ok_or_else(|| missing("starts"))?;
    let ends = constant_ints(s, n, 2)?.ok_or_else(|| missing("ends"))?;
    let axes = constant_ints(s, n, 3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = constant_ints(s, n, 4)?.unwrap_or_else(|| vec![1; starts.len()]);
    let mut dx = s.full_dy(n)?;
    for (k, &axis) in axes.iter().enumerate() {
        let axis = if axis < 0 { axis + rank as i64 } else { axis } as usize;
        let size = match shape[axis] {
            Dim::Fixed(size) => size as i64,
            // The batch axis can be sliced only from end to end.
            _ if starts[k] == 0 && steps[k] == 1 && ends[k] >= i64::from(i32::MAX) => continue,
            _ => return Err(GraphError::no_gradient(n, "slices the batch")),
        };
        let range = Range::new(starts[k], ends[k], steps[k], size);
        dx = range.put_back(dx, axis, rank, size);
    }
    s.add_grad(n, 0, dx)
}

/// A slice along one axis, with start, end and step normalised.
struct Range {
    first: i64,
    count: i64,
    step: i64,
}

impl Range {
    fn new(start: i64, end: i64, step: i64, size: i64) -> Self {
        let clamp =
            |v: i64, low: i64, high: i64| (if v < 0 { v.saturating_add(size) } else { v }).clamp(low, high);
        let (first, count) = if step > 0 {
            let (start, end) = (clamp(start, 0, size), clamp(end, 0, size));
            (start, ((end - start).max(0) + step - 1) / step)
        } else {
            let (start, end) = (clamp(start, 0, size - 1), clamp(end, -1, size - 1));
            (start, ((start - end).max(0) + (-step) - 1) / -step)
        };
        Range { first, count, step }
    }

    fn put_back<'b>(&self, dy: Expr<'b>, axis: usize, rank: usize, size: i64) -> Expr<'b> {
        let mut dx = dy;
        let mut first = self.first;
        if self.step < 0 {
            dx = dx.slice(&[axis as i64], &[-1], &[i64::MIN], &[-1]);
            first = self.first + (self.count - 1) * self.step;
        }
        let step = self.step.abs();
        dx = interleave_axis(dx, axis, rank, step);
        let mut pads = vec![0; 2 * rank];
        pads[axis] = first;
        pads[axis + rank] = size - first - self.count * step;
        dx.pad(&pads, 0.0)
    }
}

/// Input `i` as constant integers; `None` if it is left out.
fn constant_ints(s: &Sweep, n: &Node, i: usize) -> Result<Option<Vec<i64>>> {
    let Some(id) = n.input(i) else { return Ok(None) };
    let known = s.builder().with(|g| g.known_ints(id));
    known.map(Some).ok_or_else(|| {
        GraphError::no_gradient(n, format!("input {i} is not constant, which is not supported"))
    })
}
