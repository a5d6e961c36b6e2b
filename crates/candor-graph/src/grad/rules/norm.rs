//! Normalisation layers.

use crate::builder::Expr;
use crate::error::{GraphError, Result};
use crate::grad::Sweep;
use crate::graph::Node;

/// (x−μ)/√(σ²+ε)·γ + β with fixed μ, σ: dx = dy·γ/√(σ²+ε)
pub(crate) fn batch_normalization(s: &mut Sweep, n: &Node) -> Result<()> {
    if n.int("training_mode", 0) != 0 {
        return Err(GraphError::no_gradient(n, "is in training mode; export the model for inference"));
    }
    if (1..5).any(|i| s.needs(n, i)) {
        return Err(GraphError::no_gradient(n, "its parameters depend on the input, which is not supported"));
    }
    let rank = s.input(n, 0)?.shape()?.len();
    let gain = s.input(n, 1)? / (s.input(n, 4)? + n.float("epsilon", 1e-5)).sqrt();
    let mut per_channel = vec![1; rank];
    per_channel[1.min(rank - 1)] = -1;
    s.add_grad(n, 0, s.dy(n) * gain.reshape(&per_channel))
}

/// (x − μ)·r·γ + β, μ and r = 1/√(σ² + ε) over the last axes: dx = r·(h − mean h − d·r²·mean(h·d)), h = dy·γ, d = x − μ
pub(crate) fn layer_normalization(s: &mut Sweep, n: &Node) -> Result<()> {
    let x = s.input(n, 0)?;
    let h = s.full_dy(n)? * s.input(n, 1)?;
    let dx = standardised(n, x, h, &last_axes(n, x)?)?;
    fixed_parameters(s, n)?;
    s.add_grad(n, 0, dx)
}

/// as layer normalization, over the spatial axes, with γ and β for each channel
pub(crate) fn instance_normalization(s: &mut Sweep, n: &Node) -> Result<()> {
    let x = s.input(n, 0)?;
    let axes: Vec<i64> = (2..x.shape()?.len() as i64).collect();
    let mut per_channel = vec![1; axes.len() + 1];
    per_channel[0] = -1;
    let h = s.full_dy(n)? * s.input(n, 1)?.reshape(&per_channel);
    let dx = standardised(n, x, h, &axes)?;
    fixed_parameters(s, n)?;
    s.add_grad(n, 0, dx)
}

/// x·r·γ, r = 1/√(mean x² + ε) over the last axes: dx = r·(h − x·r²·mean(h·x)), h = dy·γ
pub(crate) fn rms_normalization(s: &mut Sweep, n: &Node) -> Result<()> {
    let x = s.input(n, 0)?;
    let h = s.full_dy(n)? * s.input(n, 1)?;
    let axes = last_axes(n, x)?;
    let r = one_over_root(n, x, &axes)?;
    fixed_parameters(s, n)?;
    s.add_grad(n, 0, (h - x * ((h * x).mean(&axes) * (r * r))) * r)
}

fn standardised<'b>(n: &Node, x: Expr<'b>, h: Expr<'b>, axes: &[i64]) -> Result<Expr<'b>> {
    let d = x - x.mean(axes);
    let r = one_over_root(n, d, axes)?;
    Ok((h - h.mean(axes) - d * ((h * d).mean(axes) * (r * r))) * r)
}

/// 1/√(mean d² + ε)
fn one_over_root<'b>(n: &Node, d: Expr<'b>, axes: &[i64]) -> Result<Expr<'b>> {
    let shape = d.shape()?;
    let count: Option<usize> = axes.iter().map(|&a| shape[a as usize].fixed()).product();
    let count = count
        .ok_or_else(|| GraphError::no_gradient(n, "normalises over the batch, which has no gradient here"))?;
    let axes = d.builder().ints(axes);
    let mean = d.op("ReduceSumSquare", &[axes], &[]) * (1.0 / count as f32);
    Ok((mean + n.float("epsilon", 1e-5)).sqrt().op("Reciprocal", &[], &[]))
}

/// The axes from the attribute `axis` on.
fn last_axes(n: &Node, x: Expr<'_>) -> Result<Vec<i64>> {
    let rank = x.shape()?.len() as i64;
    Ok((n.int("axis", -1).rem_euclid(rank)..rank).collect())
}

fn fixed_parameters(s: &Sweep, n: &Node) -> Result<()> {
    if s.needs(n, 1) || s.needs(n, 2) {
        return Err(GraphError::no_gradient(
            n,
            "its scale or bias depends on the input, which is not supported",
        ));
    }
    Ok(())
}
