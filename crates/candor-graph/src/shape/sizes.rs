//! Sizes and integers that the symbolic inference cannot follow by itself: equal splits, remainders, factors of Resize, scalars reshaped
//! to vectors.

use rten_shape_inference::{SymExpr, SymTensor};

use super::Dim;
use crate::graph::{Graph, Node};

/// The sizes of a Split without sizes: equal, the last one smaller if the axis cannot be divided evenly.
pub(super) fn equal_parts(graph: &Graph, node: &Node, axis: i32) -> SymTensor {
    let count = node.outputs.len().max(1);
    let size = node.input(0).and_then(|id| graph.shape(id)).and_then(|s| s.get(axis as usize)?.fixed());
    let Some(size) = size else { return SymTensor::unknown("a split of unknown size") };
    let part = size.div_ceil(count);
    let sizes = (0..count).map(|k| part.min(size.saturating_sub(k * part)));
    SymTensor::from_vec(sizes.map(|n| SymExpr::Value(n as i32)).collect())
}

/// The elements of an integer Mod whose inputs are known.
pub(super) fn remainders(graph: &Graph, node: &Node) -> Option<SymTensor> {
    let side = |i: usize| {
        let id = node.input(i)?;
        Some((graph.known_ints(id)?, graph.shape(id)?.len()))
    };
    let ((a, rank), (b, divisor_rank)) = (side(0)?, side(1)?);
    let count = a.len().max(b.len());
    let element = |i: usize| {
        let (x, y) = (*a.get(i.min(a.len() - 1))?, *b.get(i.min(b.len() - 1))?);
        let floored = x.checked_rem(y)?;
        let adjusted = floored != 0 && (floored < 0) != (y < 0) && node.int("fmod", 0) == 0;
        i32::try_from(if adjusted { floored + y } else { floored }).ok().map(SymExpr::Value)
    };
    if rank > 1 || divisor_rank > 1 || a.is_empty() || b.is_empty() {
        return None;
    }
    let values = (0..count).map(element).collect::<Option<Vec<_>>>()?;
    Some(match values.as_slice() {
        [only] if rank.max(divisor_rank) == 0 => SymTensor::from_scalar(only.clone()),
        _ => SymTensor::from_vec(values),
    })
}

/// A Reshape between a known scalar and a vector of one element: the number stays known.
pub(super) fn one_element(inputs: &[Option<SymTensor>]) -> Option<SymTensor> {
    let [Some(data), Some(shape)] = inputs else { return None };
    let element = match data.as_vector() {
        Some([only]) => only,
        Some(_) => return None,
        None => data.as_scalar()?,
    };
    match shape.as_vector()? {
        [] => Some(SymTensor::from_scalar(element.clone())),
        [SymExpr::Value(-1 | 1)] => Some(SymTensor::from_vec(vec![element.clone()])),
        _ => None,
    }
}

/// The shape of a Resize by constant factors, which are floats and therefore unknown to the symbolic inference.
pub(super) fn scaled(graph: &Graph, node: &Node) -> Option<Vec<SymExpr>> {
    let factors = graph.constant(node.input(2)?)?.as_floats()?.to_vec();
    let shape = graph.shape(node.input(0)?)?;
    if shape.len() != factors.len() {
        return None;
    }
    let scale = |(dim, &factor): (&Dim, &f32)| match dim {
        Dim::Fixed(n) => Some(Dim::Fixed((*n as f64 * f64::from(factor) + 1e-6).floor() as usize).to_expr()),
        other => (factor == 1.0).then(|| other.to_expr()),
    };
    shape.iter().zip(&factors).map(scale).collect()
}
