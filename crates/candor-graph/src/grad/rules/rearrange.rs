//! Operators that repeat, choose between, or rearrange elements along whole axes.

use crate::builder::Expr;
use crate::error::{GraphError, Result};
use crate::grad::Sweep;
use crate::graph::{Attr, Node};
use crate::shape::Dim;

/// expand: dx = dy; the sweep sums over what was repeated
pub(crate) fn expand(s: &mut Sweep, n: &Node) -> Result<()> {
    s.add_grad(n, 0, s.full_dy(n)?)
}

/// tile: dx = Σ over the copies of dy
pub(crate) fn tile(s: &mut Sweep, n: &Node) -> Result<()> {
    let x = s.input(n, 0)?.shape()?;
    let repeats = n.input(1).and_then(|id| s.builder().with(|g| g.known_dims(id)));
    let repeats = repeats
        .ok_or_else(|| GraphError::unknown_shape(n, "its repeats are not known, which is not supported"))?;
    let (mut apart, mut copies) = (vec![], vec![]);
    for (&dim, &count) in x.iter().zip(&repeats) {
        if count != Dim::Fixed(1) {
            copies.push(apart.len() as i64);
            apart.push(count);
        }
        apart.push(dim);
    }
    let dy = s.full_dy(n)?;
    let dx = if copies.is_empty() { dy } else { dy.reshape_to(&apart)?.sum(&copies, false) };
    s.add_grad(n, 0, dx)
}

/// a where c, else b: da = dy where c, db = dy where not c
pub(crate) fn select(s: &mut Sweep, n: &Node) -> Result<()> {
    let (c, dy, zero) = (s.input(n, 0)?, s.full_dy(n)?, s.builder().scalar(0.0));
    if s.needs(n, 1) {
        s.add_grad(n, 1, c.op("Where", &[dy, zero], &[]))?;
    }
    if s.needs(n, 2) {
        s.add_grad(n, 2, c.op("Where", &[zero, dy], &[]))?;
    }
    Ok(())
}

/// split: dx = the parts' gradients side by side
pub(crate) fn split(s: &mut Sweep, n: &Node) -> Result<()> {
    let mut parts: Vec<Expr> = vec![];
    for k in 0..n.outputs.len() {
        let Some(part) = n.outputs[k] else {
            return Err(GraphError::no_gradient(n, "an output is left out, which is not supported"));
        };
        parts.push(s.full_dy_of(part)?);
    }
    s.add_grad(n, 0, s.builder().concat(&parts, n.int("axis", 0)))
}

/// triangle of a matrix: dx = the triangle of dy
pub(crate) fn trilu(s: &mut Sweep, n: &Node) -> Result<()> {
    let diagonal: Vec<Expr> = n.input(1).map(|id| s.builder().value(id)).into_iter().collect();
    let dx = s.full_dy(n)?.op("Trilu", &diagonal, &[("upper", Attr::Int(n.int("upper", 1)))]);
    s.add_grad(n, 0, dx)
}

/// running sum along an axis: dx = the running sum of dy from the other end
pub(crate) fn cum_sum(s: &mut Sweep, n: &Node) -> Result<()> {
    let attrs = [
        ("exclusive", Attr::Int(n.int("exclusive", 0))),
        ("reverse", Attr::Int(i64::from(n.int("reverse", 0) == 0))),
    ];
    let dx = s.full_dy(n)?.op("CumSum", &[s.input(n, 1)?], &attrs);
    s.add_grad(n, 0, dx)
}

/// depth to space: dx = dy with each block's elements back in the channels
pub(crate) fn depth_to_space(s: &mut Sweep, n: &Node) -> Result<()> {
    let block = n.int("blocksize", 1);
    let crd = n.text("mode", "DCR") == "CRD";
    s.add_grad(n, 0, space_to_depth(s.full_dy(n)?, block, crd)?)
}

/// N×C×H·b×W·b to N×C·b²×H×W: blocks before channels (DCR) or channels before blocks (CRD).
pub(crate) fn space_to_depth(x: Expr<'_>, block: i64, crd: bool) -> Result<Expr<'_>> {
    let shape = x.shape()?;
    let [batch, Dim::Fixed(c), Dim::Fixed(h), Dim::Fixed(w)] = shape[..] else {
        return Err(GraphError::Malformed("depth and space are exchanged on N×C×H×W of known sizes".into()));
    };
    let b = block.max(1) as usize;
    let fixed = Dim::Fixed;
    let blocks = [batch, fixed(c), fixed(h / b), fixed(b), fixed(w / b), fixed(b)];
    let order = if crd { [0, 1, 3, 5, 2, 4] } else { [0, 3, 5, 1, 2, 4] };
    let deep = [batch, fixed(c * b * b), fixed(h / b), fixed(w / b)];
    x.reshape_to(&blocks)?.transpose(&order).reshape_to(&deep)
}
