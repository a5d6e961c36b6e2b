//! Elementwise operators. Broadcasting is undone by the sweep.

use crate::builder::Expr;
use crate::error::{GraphError, Result};
use crate::grad::Sweep;
use crate::graph::{Attr, Node};

/// identity, inference dropout, casts between floats: dx = dy
pub(crate) fn identity(s: &mut Sweep, n: &Node) -> Result<()> {
    if s.builder().with(|g| g.value(n.output()).dtype).is_some_and(|t| !t.is_float()) {
        return Ok(()); // A cast to integers has zero gradient.
    }
    s.add_grad(n, 0, s.dy(n))
}

/// a + b: da = dy, db = dy
pub(crate) fn add(s: &mut Sweep, n: &Node) -> Result<()> {
    let dy = broadcastable_dy(s, n)?;
    s.add_grad(n, 0, dy)?;
    s.add_grad(n, 1, dy)
}

/// a − b: da = dy, db = −dy
pub(crate) fn sub(s: &mut Sweep, n: &Node) -> Result<()> {
    let dy = broadcastable_dy(s, n)?;
    s.add_grad(n, 0, dy)?;
    if s.needs(n, 1) { s.add_grad(n, 1, -dy) } else { Ok(()) }
}

/// Σ inputs: each input's gradient is dy
pub(crate) fn sum(s: &mut Sweep, n: &Node) -> Result<()> {
    let dy = broadcastable_dy(s, n)?;
    (0..n.inputs.len()).try_for_each(|i| s.add_grad(n, i, dy))
}

/// mean of k inputs: each input's gradient is dy/k
pub(crate) fn mean(s: &mut Sweep, n: &Node) -> Result<()> {
    let share = broadcastable_dy(s, n)? * (1.0 / n.inputs.len() as f32);
    (0..n.inputs.len()).try_for_each(|i| s.add_grad(n, i, share))
}

/// a mod b, b fixed: da = dy
pub(crate) fn modulo(s: &mut Sweep, n: &Node) -> Result<()> {
    if s.needs(n, 1) {
        return Err(GraphError::no_gradient(n, "its divisor depends on the input, which is not supported"));
    }
    s.add_grad(n, 0, broadcastable_dy(s, n)?)
}

/// a · b: da = dy·b, db = dy·a
pub(crate) fn mul(s: &mut Sweep, n: &Node) -> Result<()> {
    let dy = broadcastable_dy(s, n)?;
    for (i, other) in [(0, 1), (1, 0)] {
        if s.needs(n, i) {
            s.add_grad(n, i, dy * s.input(n, other)?)?;
        }
    }
    Ok(())
}

/// a / b: da = dy/b, db = −dy·y/b
pub(crate) fn div(s: &mut Sweep, n: &Node) -> Result<()> {
    let (dy, b) = (broadcastable_dy(s, n)?, s.input(n, 1)?);
    if s.needs(n, 0) {
        s.add_grad(n, 0, dy / b)?;
    }
    if s.needs(n, 1) {
        s.add_grad(n, 1, -(dy * s.output(n) / b))?;
    }
    Ok(())
}

/// dy in full where an input is smaller than the output. The sweep undoes broadcasting by comparing shapes; a dy that is
/// itself still to be broadcast would hide from it how often an input was used.
fn broadcastable_dy<'b>(s: &Sweep<'b>, n: &Node) -> Result<Expr<'b>> {
    let shape = s.output(n).shape()?;
    for i in 0..n.inputs.len() {
        if s.needs(n, i) && s.input(n, i)?.shape()? != shape {
            return s.full_dy(n);
        }
    }
    Ok(s.dy(n))
}

/// −x: dx = −dy
pub(crate) fn neg(s: &mut Sweep, n: &Node) -> Result<()> {
    s.add_grad(n, 0, -s.dy(n))
}

/// |x|: dx = dy·sign(x)
pub(crate) fn abs(s: &mut Sweep, n: &Node) -> Result<()> {
    let x = s.input(n, 0)?;
    s.add_grad(n, 0, s.dy(n) * x.op("Sign", &[], &[]))
}

/// eˣ: dx = dy·y
pub(crate) fn exp(s: &mut Sweep, n: &Node) -> Result<()> {
    s.add_grad(n, 0, s.dy(n) * s.output(n))
}

/// ln x: dx = dy/x
pub(crate) fn log(s: &mut Sweep, n: &Node) -> Result<()> {
    s.add_grad(n, 0, s.dy(n) / s.input(n, 0)?)
}

/// √x: dx = dy/(2y)
pub(crate) fn sqrt(s: &mut Sweep, n: &Node) -> Result<()> {
    s.add_grad(n, 0, s.dy(n) / (s.output(n) * 2.0))
}

/// relu: dx = dy where x > 0 (which is where y > 0, and y is kept anyway)
pub(crate) fn relu(s: &mut Sweep, n: &Node) -> Result<()> {
    s.add_grad(n, 0, s.dy(n) * s.output(n).is_positive())
}

/// leaky relu: dx = dy where x > 0, α·dy elsewhere
pub(crate) fn leaky_relu(s: &mut Sweep, n: &Node) -> Result<()> {
    let alpha = n.float("alpha", 0.01);
    let slope = s.input(n, 0)?.is_positive() * (1.0 - alpha) + alpha;
    s.add_grad(n, 0, s.dy(n) * slope)
}

/// clip: dx = dy where min < x < max (which is where min < y < max)
pub(crate) fn clip(s: &mut Sweep, n: &Node) -> Result<()> {
    let y = s.output(n);
    let mut dx = s.dy(n);
    for (bound, sign) in [(1, 1.0), (2, -1.0)] {
        let Some(id) = n.input(bound) else { continue };
        // ±2¹⁰⁰·(y − bound) is exact: with a constant bound the indicator is one pass over the elements; computing y − bound would be a
        // second.
        let beyond = match s.builder().with(|g| g.known_float(id)) {
            Some(v) if v.abs() < 1e6 => {
                let (alpha, beta) = (sign * STEEP, -sign * v * STEEP);
                y.op("HardSigmoid", &[], &[("alpha", Attr::Float(alpha)), ("beta", Attr::Float(beta))])
            }
            _ => ((y - s.input(n, bound)?) * sign).is_positive(),
        };
        dx = dx * beyond;
    }
    s.add_grad(n, 0, dx)
}

/// 2¹⁰⁰: a slope at which HardSigmoid is a 0/1 indicator; a power of two, so that multiplying by it is exact.
const STEEP: f32 = (1u128 << 100) as f32;

/// σ(x): dx = dy·y·(1−y)
pub(crate) fn sigmoid(s: &mut Sweep, n: &Node) -> Result<()> {
    let y = s.output(n);
    s.add_grad(n, 0, s.dy(n) * (y * (1.0 - y)))
}

/// tanh: dx = dy·(1−y²)
pub(crate) fn tanh(s: &mut Sweep, n: &Node) -> Result<()> {
    let y = s.output(n);
    s.add_grad(n, 0, s.dy(n) * (1.0 - y * y))
}

/// clip(αx+β, 0, 1): dx = α·dy where 0 < y < 1
pub(crate) fn hard_sigmoid(s: &mut Sweep, n: &Node) -> Result<()> {
    let inside = between_zero_and_one(s.output(n));
    s.add_grad(n, 0, s.dy(n) * inside * n.float("alpha", 0.2))
}

/// x·h(x) with h(x) = clip(x/6 + ½, 0, 1): dx = dy·(h + x/6 where 0 < h < 1)
pub(crate) fn hard_swish(s: &mut Sweep, n: &Node) -> Result<()> {
    let x = s.input(n, 0)?;
    let h = x.op("HardSigmoid", &[], &[("alpha", Attr::Float(1.0 / 6.0)), ("beta", Attr::Float(0.5))]);
    let slope = h + x * (1.0 / 6.0) * between_zero_and_one(h);
    s.add_grad(n, 0, s.dy(n) * slope)
}

fn between_zero_and_one(y: Expr<'_>) -> Expr<'_> {
    (y * (1.0 - y)).is_positive()
}
