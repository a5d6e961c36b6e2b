//! Quantisation whose scale is computed while the graph runs.

use super::required;
use crate::builder::{Builder, Expr};
use crate::error::Result;
use crate::graph::{Attr, Node};
use crate::tensor::{Tensor, TensorData};

/// The largest 8-bit value.
const TOP: f32 = 255.0;
/// ONNX's number of the type uint8.
const UINT8: i64 = 2;

/// scale = (max(x, 0) − min(x, 0))/255, zero = round(−min/scale), y = quantise(x, scale, zero). As for all quantisation, the gradient
/// goes straight through y; scale and zero count as constants.
pub(super) fn dynamic_quantize_linear<'b>(b: &'b Builder, n: &Node) -> Result<Option<Vec<Expr<'b>>>> {
    let x = required(b, n, 0)?;
    let whole = |op: &str| x.op(op, &[], &[("keepdims", Attr::Int(0))]);
    let low = whole("ReduceMin").op("Min", &[b.scalar(0.0)], &[]);
    let high = whole("ReduceMax").op("Max", &[b.scalar(0.0)], &[]);
    // For an input of zeros every result is zero, whatever the scale.
    let scale = ((high - low) / TOP).op("Max", &[b.scalar(f32::MIN_POSITIVE)], &[]);
    // 1 · scale as a DequantizeLinear, which passes no gradient on to its scale.
    let one = b.constant(Tensor::new(vec![], TensorData::Uint8(vec![1]))?);
    let scale = one.op("DequantizeLinear", &[scale], &[]);
    let zero = ((0.0 - low) / scale).op("Clip", &[b.scalar(0.0), b.scalar(TOP)], &[]);
    let zero = zero.op("Round", &[], &[]).op("Cast", &[], &[("to", Attr::Int(UINT8))]);
    Ok(Some(vec![x.op("QuantizeLinear", &[scale, zero], &[]), scale, zero]))
}
