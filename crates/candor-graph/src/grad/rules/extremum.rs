//! Maxima and minima over axes and over several inputs: the gradient goes to the extreme elements, shared equally among equal ones.

use super::reduce::Reduced;
use crate::builder::Expr;
use crate::error::Result;
use crate::grad::Sweep;
use crate::graph::Node;

/// max over axes: dx = dy at the maximum, shared equally among equal ones (as PyTorch's amax)
pub(crate) fn reduce_max(s: &mut Sweep, n: &Node) -> Result<()> {
    let (r, x) = (Reduced::of(s, n)?, s.input(n, 0)?);
    let hit = x.equals_bound(r.y);
    s.add_grad(n, 0, r.dy / hit.sum(&r.axes, true) * hit)
}

/// min over axes: dx = dy at the minimum, shared equally among equal ones
pub(crate) fn reduce_min(s: &mut Sweep, n: &Node) -> Result<()> {
    let (r, x) = (Reduced::of(s, n)?, s.input(n, 0)?);
    let hit = r.y.equals_bound(x);
    s.add_grad(n, 0, r.dy / hit.sum(&r.axes, true) * hit)
}

/// largest input, elementwise: its gradient is dy, shared equally among equal ones
pub(crate) fn max(s: &mut Sweep, n: &Node) -> Result<()> {
    shared(s, n, |x, y| x.equals_bound(y))
}

/// smallest input, elementwise: its gradient is dy, shared equally among equal ones
pub(crate) fn min(s: &mut Sweep, n: &Node) -> Result<()> {
    shared(s, n, |x, y| y.equals_bound(x))
}

fn shared(s: &mut Sweep, n: &Node, equals: impl for<'b> Fn(Expr<'b>, Expr<'b>) -> Expr<'b>) -> Result<()> {
    let (y, dy) = (s.output(n), s.full_dy(n)?);
    let hits = (0..n.inputs.len()).map(|i| Ok(equals(s.input(n, i)?, y))).collect::<Result<Vec<_>>>()?;
    let Some(count) = hits.iter().copied().reduce(|a, b| a + b) else { return Ok(()) };
    let share = dy / count;
    hits.into_iter().enumerate().try_for_each(|(i, hit)| s.add_grad(n, i, share * hit))
}
