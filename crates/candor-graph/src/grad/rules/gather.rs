//! Picking elements by index, and putting elements at indices.

use crate::builder::Expr;
use crate::error::{GraphError, Result};
use crate::grad::Sweep;
use crate::graph::{Attr, Node};
use crate::shape::Dim;

/// gather along an axis: dx[j] = Σ dy[i] over all i with index[i] = j
///
/// Constant indices need no scatter: round r (0, 1, …) gathers from dy the r-th occurrence of every j at once; a j that occurs
/// fewer times reads a row of zeros.
pub(crate) fn gather(s: &mut Sweep, n: &Node) -> Result<()> {
    let x = s.input(n, 0)?.shape()?;
    let axis = n.int("axis", 0).rem_euclid(x.len() as i64) as usize;
    let index = n.input(1).and_then(|id| s.builder().with(|g| g.known_ints(id)));
    let (Some(index), Dim::Fixed(size)) = (index, x[axis]) else {
        return gather_computed(s, n, axis);
    };
    // Merge all axes of the indices into one.
    let mut merged = x.clone();
    merged[axis] = Dim::Fixed(index.len());
    let dy = s.full_dy(n)?.reshape_to(&merged)?;
    let positions: Vec<usize> = index.iter().map(|i| i.rem_euclid(size as i64) as usize).collect();
    let put = put_back(dy, axis, x.len(), &positions, size).ok_or_else(|| {
        let (axis, times) = (size, positions.len());
        GraphError::too_large(
            n,
            format!("an axis of {axis} of which {times} are taken has too many to put back"),
        )
    })?;
    s.add_grad(n, 0, put)
}

/// Maximum number of indices for the gradient, all rounds together.
const MOST_INDICES: usize = 1 << 24;

/// Indices that are not constant (positions in a flattened batch, for example): a scatter along the first axis.
fn gather_computed(s: &mut Sweep, n: &Node, axis: usize) -> Result<()> {
    if axis != 0 {
        return Err(GraphError::no_gradient(
            n,
            "its indices are not constant; only along the first axis may they be computed",
        ));
    }
    let last = s.builder().ints(&[-1]);
    let index = s.input(n, 1)?.op("Unsqueeze", &[last], &[]);
    let add = ("reduction", Attr::Text("add".into()));
    let dx = (s.input(n, 0)? * 0.0).op("ScatterND", &[index, s.full_dy(n)?], &[add]);
    s.add_grad(n, 0, dx)
}

/// Sums the rows of `dy` along `axis` into their `positions` on an axis of the given size; `None` if that takes too many indices.
fn put_back<'b>(
    dy: Expr<'b>,
    axis: usize,
    rank: usize,
    positions: &[usize],
    size: usize,
) -> Option<Expr<'b>> {
    let padded = |before: usize, after: usize| {
        let mut pads = vec![0; 2 * rank];
        (pads[axis], pads[axis + rank]) = (before as i64, after as i64);
        dy.pad(&pads, 0.0)
    };
    if let Some(&first) = positions.first()
        && positions.iter().enumerate().all(|(i, &p)| p == first + i)
    {
        return Some(padded(first, size - first - positions.len()));
    }
    if size > MOST_INDICES {
        return None;
    }
    let mut occurrences: Vec<Vec<usize>> = vec![vec![]; size];
    for (i, &p) in positions.iter().enumerate() {
        occurrences[p].push(i);
    }
    let rounds = occurrences.iter().map(Vec::len).max().unwrap_or(0);
    if rounds.saturating_mul(size) > MOST_INDICES {
        return None;
    }
    let complete = occurrences.iter().all(|o| o.len() == rounds);
    let (source, zero) = if complete { (dy, 0) } else { (padded(0, 1), positions.len()) };
    let round = |r: usize| {
        let rows: Vec<i64> = occurrences.iter().map(|o| o.get(r).copied().unwrap_or(zero) as i64).collect();
        source.op("Gather", &[dy.builder().ints(&rows)], &[("axis", Attr::Int(axis as i64))])
    };
    Some((1..rounds).fold(round(0), |sum, r| sum + round(r)))
}

/// x at an index for each element: dx = Σ dy, added at the indices
pub(crate) fn gather_elements(s: &mut Sweep, n: &Node) -> Result<()> {
    let (x, index, dy) = (s.input(n, 0)?, s.input(n, 1)?, s.full_dy(n)?);
    let dx = add_at(x, index, dy, n.int("axis", 0));
    s.add_grad(n, 0, dx)
}

/// the k largest or smallest of an axis: dx = dy at their indices, zero elsewhere
pub(crate) fn top_k(s: &mut Sweep, n: &Node) -> Result<()> {
    let Some(Some(index)) = n.outputs.get(1).copied() else {
        return Err(GraphError::no_gradient(n, "its indices are not an output; export with both outputs"));
    };
    let (x, index, dy) = (s.input(n, 0)?, s.builder().value(index), s.full_dy(n)?);
    s.add_grad(n, 0, add_at(x, index, dy, n.int("axis", -1)))
}

fn add_at<'b>(x: Expr<'b>, index: Expr<'b>, dy: Expr<'b>, axis: i64) -> Expr<'b> {
    let attrs = [("axis", Attr::Int(axis)), ("reduction", Attr::Text("add".into()))];
    (x * 0.0).op("ScatterElements", &[index, dy], &attrs)
}

/// slices of x at index vectors: dx = Σ dy, added at the indices
pub(crate) fn gather_nd(s: &mut Sweep, n: &Node) -> Result<()> {
    if n.int("batch_dims", 0) != 0 {
        return Err(GraphError::no_gradient(n, "batch_dims has no rule; export with index_select or gather"));
    }
    let (x, index, dy) = (s.input(n, 0)?, s.input(n, 1)?, s.full_dy(n)?);
    let dx = (x * 0.0).op("ScatterND", &[index, dy], &[("reduction", Attr::Text("add".into()))]);
    s.add_grad(n, 0, dx)
}

/// x with some elements replaced by u: dx = dy with zeros there, du = dy there. If u is added: dx = dy
pub(crate) fn scatter_elements(s: &mut Sweep, n: &Node) -> Result<()> {
    let axis = ("axis", Attr::Int(n.int("axis", 0)));
    scatter(s, n, "ScatterElements", "GatherElements", &[axis])
}

/// x with some slices replaced by u: dx = dy with zeros there, du = dy there. If u is added: dx = dy
pub(crate) fn scatter_nd(s: &mut Sweep, n: &Node) -> Result<()> {
    scatter(s, n, "ScatterND", "GatherND", &[])
}

fn scatter(s: &mut Sweep, n: &Node, put: &str, get: &str, attrs: &[(&str, Attr)]) -> Result<()> {
    let (index, update, dy) = (s.input(n, 1)?, s.input(n, 2)?, s.full_dy(n)?);
    match n.text("reduction", "none") {
        "none" => {
            if s.needs(n, 0) {
                s.add_grad(n, 0, dy.op(put, &[index, update * 0.0], attrs))?;
            }
        }
        "add" => s.add_grad(n, 0, dy)?,
        other => {
            return Err(GraphError::no_gradient(n, format!("reduction {other} has no rule; only add has")));
        }
    }
    if s.needs(n, 2) {
        s.add_grad(n, 2, dy.op(get, &[index], attrs))?;
    }
    Ok(())
}
