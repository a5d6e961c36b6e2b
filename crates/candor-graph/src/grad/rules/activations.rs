//! Smooth and piecewise activations of one input. σ is the logistic function.

use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, PI};

use crate::builder::Expr;
use crate::error::Result;
use crate::grad::Sweep;
use crate::graph::Node;

/// elu: dx = dy where x > 0, dy·(y + α) elsewhere (where y = α(eˣ − 1))
pub(crate) fn elu(s: &mut Sweep, n: &Node) -> Result<()> {
    let y = s.output(n);
    let positive = s.input(n, 0)?.is_positive();
    let slope = positive + (1.0 - positive) * (y + n.float("alpha", 1.0));
    s.add_grad(n, 0, s.dy(n) * slope)
}

/// max(x, 0) + slope·min(x, 0): dx = dy where x > 0, slope·dy elsewhere; d slope = dy·min(x, 0)
pub(crate) fn prelu(s: &mut Sweep, n: &Node) -> Result<()> {
    let (x, slope) = (s.input(n, 0)?, s.input(n, 1)?);
    let positive = x.is_positive();
    s.add_grad(n, 0, s.dy(n) * (positive + (1.0 - positive) * slope))?;
    if s.needs(n, 1) {
        s.add_grad(n, 1, s.full_dy(n)? * (x * (1.0 - positive)))?;
    }
    Ok(())
}

/// ln(1 + eˣ): dx = dy·σ(x)
pub(crate) fn softplus(s: &mut Sweep, n: &Node) -> Result<()> {
    s.add_grad(n, 0, s.dy(n) * s.input(n, 0)?.op("Sigmoid", &[], &[]))
}

/// x/(1 + |x|): dx = dy/(1 + |x|)²
pub(crate) fn softsign(s: &mut Sweep, n: &Node) -> Result<()> {
    let base = s.input(n, 0)?.op("Abs", &[], &[]) + 1.0;
    s.add_grad(n, 0, s.dy(n) / (base * base))
}

/// x·σ(αx): dx = dy·(σ + αx·σ(1 − σ)) = dy·(σ + αy·(1 − σ))
pub(crate) fn swish(s: &mut Sweep, n: &Node) -> Result<()> {
    let (x, y, alpha) = (s.input(n, 0)?, s.output(n), n.float("alpha", 1.0));
    let scaled = if alpha == 1.0 { x } else { x * alpha };
    let sigma = scaled.op("Sigmoid", &[], &[]);
    let weighted = if alpha == 1.0 { y } else { y * alpha };
    s.add_grad(n, 0, s.dy(n) * (sigma + weighted * (1.0 - sigma)))
}

/// erf: dx = dy·2/√π·exp(−x²)
pub(crate) fn erf(s: &mut Sweep, n: &Node) -> Result<()> {
    let x = s.input(n, 0)?;
    s.add_grad(n, 0, s.dy(n) * ((-(x * x)).exp() * FRAC_2_SQRT_PI))
}

/// x·Φ(x): dx = dy·(Φ(x) + x·φ(x)), Φ and φ the normal distribution and density; or the tanh form of it
pub(crate) fn gelu(s: &mut Sweep, n: &Node) -> Result<()> {
    let x = s.input(n, 0)?;
    let slope = if n.text("approximate", "none") == "tanh" {
        gelu_tanh_slope(x)
    } else {
        let distribution = (x * FRAC_1_SQRT_2).op("Erf", &[], &[]) * 0.5 + 0.5;
        let density = (x * x * -0.5).exp() * (0.5 * FRAC_1_SQRT_2 * FRAC_2_SQRT_PI);
        distribution + x * density
    };
    s.add_grad(n, 0, s.dy(n) * slope)
}

/// ½x(1 + t), t = tanh(c(x + bx³)): slope = ½(1 + t) + ½x(1 − t²)·c(1 + 3bx²)
fn gelu_tanh_slope(x: Expr<'_>) -> Expr<'_> {
    let (c, b) = ((2.0 / PI).sqrt(), 0.044_715);
    let square = x * x;
    let t = (x * (square * (c * b) + c)).op("Tanh", &[], &[]);
    (t + 1.0) * 0.5 + x * (1.0 - t * t) * (square * (1.5 * c * b) + 0.5 * c)
}

/// sin: dx = dy·cos(x)
pub(crate) fn sin(s: &mut Sweep, n: &Node) -> Result<()> {
    s.add_grad(n, 0, s.dy(n) * s.input(n, 0)?.op("Cos", &[], &[]))
}

/// cos: dx = −dy·sin(x)
pub(crate) fn cos(s: &mut Sweep, n: &Node) -> Result<()> {
    s.add_grad(n, 0, -(s.dy(n) * s.input(n, 0)?.op("Sin", &[], &[])))
}

/// xᵖ: dx = dy·p·xᵖ⁻¹; dp = dy·y·ln x
pub(crate) fn pow(s: &mut Sweep, n: &Node) -> Result<()> {
    let (x, p) = (s.input(n, 0)?, s.input(n, 1)?);
    let exponent = s.builder().with(|g| match g.constant(p.id()).map(|t| t.data()) {
        Some(crate::tensor::TensorData::Float(v)) if v.len() == 1 => Some(v[0]),
        Some(crate::tensor::TensorData::Int64(v)) if v.len() == 1 => Some(v[0] as f32),
        _ => None,
    });
    if s.needs(n, 0) {
        let slope = match exponent {
            // Pow is slow; these three are most of its uses.
            Some(2.0) => x * 2.0,
            Some(3.0) => x * x * 3.0,
            Some(0.5) => 0.5 / s.output(n),
            Some(p) => x.op("Pow", &[s.builder().scalar(p - 1.0)], &[]) * p,
            None => p * x.op("Pow", &[p - 1.0], &[]),
        };
        s.add_grad(n, 0, s.full_dy(n)? * slope)?;
    }
    if s.needs(n, 1) {
        let logarithm = x.op("Log", &[], &[]);
        s.add_grad(n, 1, s.full_dy(n)? * s.output(n) * logarithm)?;
    }
    Ok(())
}

/// 1/x: dx = −dy·y²
pub(crate) fn reciprocal(s: &mut Sweep, n: &Node) -> Result<()> {
    let y = s.output(n);
    s.add_grad(n, 0, -(s.dy(n) * (y * y)))
}
