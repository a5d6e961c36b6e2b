//! Reductions: the gradient is spread over what was reduced.

use crate::builder::Expr;
use crate::error::{GraphError, Result};
use crate::grad::Sweep;
use crate::graph::Node;

/// Σ over axes: dx = dy, broadcast
pub(crate) fn reduce_sum(s: &mut Sweep, n: &Node) -> Result<()> {
    let (dy, _) = kept_dims_dy(s, n)?;
    s.add_grad(n, 0, dy)
}

/// mean over axes: dx = dy/count, broadcast
pub(crate) fn reduce_mean(s: &mut Sweep, n: &Node) -> Result<()> {
    let (dy, axes) = kept_dims_dy(s, n)?;
    let shape = s.input(n, 0)?.shape()?;
    let mut count = 1;
    for &axis in &axes {
        let size = shape[axis].fixed();
        count *=
            size.ok_or_else(|| GraphError::node(n, "averages over the batch, which has no gradient here"))?;
    }
    s.add_grad(n, 0, dy * (1.0 / count as f32))
}

/// dy with the reduced axes back as ones, and the axes.
fn kept_dims_dy<'b>(s: &Sweep<'b>, n: &Node) -> Result<(Expr<'b>, Vec<usize>)> {
    let rank = s.input(n, 0)?.shape()?.len();
    let axes = match n.input(1) {
        None => None,
        Some(id) => Some(
            s.builder()
                .with(|g| g.known_ints(id))
                .ok_or_else(|| GraphError::node(n, "its axes are not constant, which is not supported"))?,
        ),
    };
    let axes = match axes {
        Some(axes) if !axes.is_empty() => {
            axes.into_iter().map(|a| if a < 0 { a + rank as i64 } else { a } as usize).collect()
        }
        _ if n.int("noop_with_empty_axes", 0) != 0 => vec![],
        _ => (0..rank).collect::<Vec<_>>(),
    };
    let mut dy = s.dy(n);
    if n.int("keepdims", 1) == 0 && !axes.is_empty() {
        let axes: Vec<i64> = axes.iter().map(|&a| a as i64).collect();
        dy = s.full_dy(n)?.op("Unsqueeze", &[s.builder().ints(&axes)], &[]);
    }
    Ok((dy, axes))
}
