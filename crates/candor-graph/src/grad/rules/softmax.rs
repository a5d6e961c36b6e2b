//! Softmax and its logarithm.

use crate::error::Result;
use crate::grad::Sweep;
use crate::graph::Node;

/// softmax: dx = y·(dy − Σ dy·y)
pub(crate) fn softmax(s: &mut Sweep, n: &Node) -> Result<()> {
    let (y, dy) = (s.output(n), s.dy(n));
    let inner = (dy * y).sum(&[n.int("axis", -1)], true);
    s.add_grad(n, 0, y * (dy - inner))
}

/// log softmax: dx = dy − eʸ·Σ dy
pub(crate) fn log_softmax(s: &mut Sweep, n: &Node) -> Result<()> {
    let (y, dy) = (s.output(n), s.full_dy(n)?);
    s.add_grad(n, 0, dy - y.exp() * dy.sum(&[n.int("axis", -1)], true))
}
