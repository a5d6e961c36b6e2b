//! Quantised operators in the form dequantise → float operator → quantise.

use super::{input, required};
use crate::builder::{Builder, Expr};
use crate::error::Result;
use crate::graph::{Attr, Node};

/// quantise(conv(dequantise x, dequantise w) + bias·scales)
pub(super) fn q_linear_conv<'b>(b: &'b Builder, n: &Node) -> Result<Option<Vec<Expr<'b>>>> {
    let at = |i: usize| required(b, n, i);
    let (x_scale, w_scale) = (at(1)?, at(4)?);
    let x = dequantised(at(0)?, x_scale, at(2)?, 1);
    let w = dequantised(at(3)?, w_scale, at(5)?, 0);
    let bias = input(b, n, 8).map(|bias| bias.to_float() * (x_scale * w_scale));
    let attrs: Vec<(&str, Attr)> = n.attrs.iter().map(|(k, v)| (k.as_str(), v.clone())).collect();
    let y = b.node("Conv", &[Some(x), Some(w), bias], &attrs);
    Ok(Some(vec![y.op("QuantizeLinear", &[at(6)?, at(7)?], &[("axis", Attr::Int(1))])]))
}

/// quantise(dequantise a · dequantise b)
pub(super) fn q_linear_mat_mul<'b>(b: &'b Builder, n: &Node) -> Result<Option<Vec<Expr<'b>>>> {
    let at = |i: usize| required(b, n, i);
    let left = dequantised(at(0)?, at(1)?, at(2)?, -2);
    let right = dequantised(at(3)?, at(4)?, at(5)?, -1);
    let y = left.op("MatMul", &[right], &[]);
    Ok(Some(vec![y.op("QuantizeLinear", &[at(6)?, at(7)?], &[("axis", Attr::Int(-1))])]))
}

/// conv of the differences from the zero points; its sums are integers below 2²⁴, exact in float32
pub(super) fn conv_integer<'b>(b: &'b Builder, n: &Node) -> Result<Option<Vec<Expr<'b>>>> {
    let (x, w) = (shifted(b, n, 0, (2, 1))?, shifted(b, n, 1, (3, 0))?);
    let attrs: Vec<(&str, Attr)> = n.attrs.iter().map(|(k, v)| (k.as_str(), v.clone())).collect();
    Ok(Some(vec![x.op("Conv", &[w], &attrs)]))
}

/// product of the differences from the zero points
pub(super) fn mat_mul_integer<'b>(b: &'b Builder, n: &Node) -> Result<Option<Vec<Expr<'b>>>> {
    Ok(Some(vec![shifted(b, n, 0, (2, -2))?.op("MatMul", &[shifted(b, n, 1, (3, -1))?], &[])]))
}

fn dequantised<'b>(x: Expr<'b>, scale: Expr<'b>, zero: Expr<'b>, axis: i64) -> Expr<'b> {
    x.op("DequantizeLinear", &[scale, zero], &[("axis", Attr::Int(axis))])
}

/// Input `i` minus its zero point, as floats. The zero point is input `zero.0`: a scalar, or one for each entry of axis `zero.1`.
fn shifted<'b>(b: &'b Builder, n: &Node, i: usize, zero: (usize, i64)) -> Result<Expr<'b>> {
    let x = required(b, n, i)?.to_float();
    let Some(z) = input(b, n, zero.0).map(|z| z.to_float()) else { return Ok(x) };
    let rank = x.shape()?.len();
    if z.shape()?.len() != 1 || rank < 2 {
        return Ok(x - z);
    }
    let mut along = vec![1; rank];
    along[zero.1.rem_euclid(rank as i64) as usize] = -1;
    Ok(x - z.reshape(&along))
}
