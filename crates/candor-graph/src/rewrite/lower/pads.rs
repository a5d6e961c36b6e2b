//! Padding from the image itself: reflect, edge and wrap gather along one axis after another.

use super::required;
use crate::builder::{Builder, Expr};
use crate::error::{GraphError, Result};
use crate::graph::{Attr, Node};
use crate::shape::Dim;

/// Longest axis that is padded by gathering.
const LONGEST_AXIS: i64 = 1 << 24;

/// Pad with a mode other than constant, by known amounts.
pub(super) fn pad<'b>(b: &'b Builder, n: &Node) -> Result<Option<Vec<Expr<'b>>>> {
    let mode = n.text("mode", "constant");
    let known = |i: usize| n.input(i).and_then(|id| b.with(|g| g.known_ints(id)));
    let (Some(pads), true) = (known(1), matches!(mode, "reflect" | "edge" | "wrap")) else { return Ok(None) };
    let mut x = required(b, n, 0)?;
    let shape = x.shape()?;
    let axes = known(3).unwrap_or_else(|| (0..shape.len() as i64).collect());
    for (k, axis) in axes.iter().map(|a| a.rem_euclid(shape.len() as i64)).enumerate() {
        let (before, after) = (pads[k], pads[k + axes.len()]);
        if before == 0 && after == 0 {
            continue;
        }
        let Dim::Fixed(size @ 1..) = shape[axis as usize] else { return Ok(None) };
        if size as i64 + before.max(0) + after.max(0) > LONGEST_AXIS {
            return Err(GraphError::too_large(
                n,
                format!("an axis would have more than {LONGEST_AXIS} elements"),
            ));
        }
        let rows: Vec<i64> = (-before..size as i64 + after).map(|i| source(i, size as i64, mode)).collect();
        x = x.op("Gather", &[b.ints(&rows)], &[("axis", Attr::Int(axis))]);
    }
    Ok(Some(vec![x]))
}

/// The index in 0..size that padded index `i`, which may be outside, reads.
fn source(i: i64, size: i64, mode: &str) -> i64 {
    match mode {
        "edge" => i.clamp(0, size - 1),
        "wrap" => i.rem_euclid(size),
        _ if size == 1 => 0,
        _ => {
            let period = 2 * (size - 1);
            let folded = i.rem_euclid(period);
            folded.min(period - folded)
        }
    }
}
