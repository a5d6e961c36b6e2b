//! Quantisation, with straight-through gradients: rounding counts as the identity, saturation as a clip.

use crate::error::Result;
use crate::grad::Sweep;
use crate::graph::{Attr, Node};

/// round(x/scale) + zero, saturated: dx = dy/scale inside the range (straight through)
pub(crate) fn quantize_linear(s: &mut Sweep, n: &Node) -> Result<()> {
    let (x, scale) = (s.input(n, 0)?, s.input(n, 1)?);
    let scale = per_axis(n, scale, x.shape()?.len())?;
    // The dequantised value is within half a step of x unless it saturated.
    let mut inputs = vec![s.input(n, 1)?];
    inputs.extend(n.input(2).map(|id| s.builder().value(id)));
    let back = s.output(n).op("DequantizeLinear", &inputs, &[("axis", Attr::Int(n.int("axis", 1)))]);
    let inside = (scale * 0.51 - (x - back).op("Abs", &[], &[])).is_positive();
    s.add_grad(n, 0, s.dy(n) * inside / scale)
}

/// (x − zero)·scale: dx = dy·scale
pub(crate) fn dequantize_linear(s: &mut Sweep, n: &Node) -> Result<()> {
    let scale = per_axis(n, s.input(n, 1)?, s.output(n).shape()?.len())?;
    s.add_grad(n, 0, s.dy(n) * scale)
}

/// A scale for each entry of the attribute `axis`, or a scalar, reshaped to broadcast.
fn per_axis<'b>(n: &Node, scale: crate::builder::Expr<'b>, rank: usize) -> Result<crate::builder::Expr<'b>> {
    if scale.shape()?.len() != 1 {
        return Ok(scale);
    }
    let axis = n.int("axis", 1).rem_euclid(rank.max(1) as i64) as usize;
    let mut shape = vec![1; rank - axis];
    if let Some(first) = shape.first_mut() {
        *first = -1;
    }
    Ok(scale.reshape(&shape))
}
