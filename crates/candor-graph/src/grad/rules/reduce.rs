//! Reductions: the gradient is spread over what was reduced.

use crate::builder::Expr;
use crate::error::{GraphError, Result};
use crate::grad::Sweep;
use crate::graph::Node;

/// Σ over axes: dx = dy, broadcast
pub(crate) fn reduce_sum(s: &mut Sweep, n: &Node) -> Result<()> {
    let r = Reduced::of(s, n)?;
    s.add_grad(n, 0, r.dy)
}

/// mean over axes: dx = dy/count, broadcast
pub(crate) fn reduce_mean(s: &mut Sweep, n: &Node) -> Result<()> {
    let r = Reduced::of(s, n)?;
    let shape = s.input(n, 0)?.shape()?;
    let count: Option<usize> = r.axes.iter().map(|&a| shape[a as usize].fixed()).product();
    let count = count
        .ok_or_else(|| GraphError::no_gradient(n, "averages over the batch, which has no gradient here"))?;
    s.add_grad(n, 0, r.dy * (1.0 / count as f32))
}

/// Σ|x|: dx = dy·sign(x)
pub(crate) fn reduce_l1(s: &mut Sweep, n: &Node) -> Result<()> {
    let (r, x) = (Reduced::of(s, n)?, s.input(n, 0)?);
    s.add_grad(n, 0, x.op("Sign", &[], &[]) * r.dy)
}

/// √Σx²: dx = dy·x/y; where y is 0 the gradient is 0, as in PyTorch
pub(crate) fn reduce_l2(s: &mut Sweep, n: &Node) -> Result<()> {
    let (r, x) = (Reduced::of(s, n)?, s.input(n, 0)?);
    s.add_grad(n, 0, x * (r.dy / r.y.op("Max", &[s.builder().scalar(f32::MIN_POSITIVE)], &[])))
}

/// Σx²: dx = 2·dy·x
pub(crate) fn reduce_sum_square(s: &mut Sweep, n: &Node) -> Result<()> {
    let (r, x) = (Reduced::of(s, n)?, s.input(n, 0)?);
    s.add_grad(n, 0, x * (r.dy * 2.0))
}

/// ln Σx: dx = dy·exp(−y)
pub(crate) fn reduce_log_sum(s: &mut Sweep, n: &Node) -> Result<()> {
    let r = Reduced::of(s, n)?;
    s.add_grad(n, 0, r.dy * (-r.y).exp())
}

/// ln Σeˣ: dx = dy·exp(x − y)
pub(crate) fn reduce_log_sum_exp(s: &mut Sweep, n: &Node) -> Result<()> {
    let (r, x) = (Reduced::of(s, n)?, s.input(n, 0)?);
    s.add_grad(n, 0, (x - r.y).exp() * r.dy)
}

/// Πx: dx = dy·y/x, for x ≠ 0
pub(crate) fn reduce_prod(s: &mut Sweep, n: &Node) -> Result<()> {
    let (r, x) = (Reduced::of(s, n)?, s.input(n, 0)?);
    s.add_grad(n, 0, r.dy * r.y / x)
}

/// A reduction's output and its gradient with the reduced axes restored as size 1, and those axes, all non-negative.
pub(super) struct Reduced<'b> {
    pub y: Expr<'b>,
    pub dy: Expr<'b>,
    pub axes: Vec<i64>,
}

impl<'b> Reduced<'b> {
    pub(super) fn of(s: &Sweep<'b>, n: &Node) -> Result<Self> {
        let rank = s.input(n, 0)?.shape()?.len() as i64;
        let given = match n.input(1) {
            None => vec![],
            Some(id) => s.builder().with(|g| g.known_ints(id)).ok_or_else(|| {
                GraphError::no_gradient(n, "its axes are not constant, which is not supported")
            })?,
        };
        let axes: Vec<i64> = match given.as_slice() {
            [] if n.int("noop_with_empty_axes", 0) != 0 => vec![],
            [] => (0..rank).collect(),
            some => some.iter().map(|a| a.rem_euclid(rank)).collect(),
        };
        if n.int("keepdims", 1) != 0 || axes.is_empty() {
            return Ok(Reduced { y: s.output(n), dy: s.dy(n), axes });
        }
        let back = s.builder().ints(&axes);
        let kept = |x: Expr<'b>| x.op("Unsqueeze", &[back], &[]);
        Ok(Reduced { y: kept(s.output(n)), dy: kept(s.full_dy(n)?), axes })
    }
}
