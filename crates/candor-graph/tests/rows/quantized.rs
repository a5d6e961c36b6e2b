//! Quantised operators. Differences cannot show a derivative of rounding: these rows are compared with PyTorch's
//! straight-through gradient only.

use candor_graph::builder::{Builder, Expr};
use candor_graph::graph::Attr;
use candor_graph::tensor::{Tensor, TensorData};

use super::moving::several;
use crate::{Row, ints, row, support};

const IMAGE: &[usize] = &[0, 2, 5, 6];

pub fn rows() -> Vec<Row> {
    let kernel = || ("kernel_shape", ints(&[3, 3]));
    let rows = [
        row("QuantizeLinear", "and back", &[IMAGE], |b, x| dequantised(b, quantised(b, x[0], 0.013), 0.013)),
        row("QuantizeLinear", "saturated, and back", &[IMAGE], |b, x| {
            dequantised(b, quantised(b, x[0], 0.0031), 0.0031)
        }),
        row("DequantizeLinear", "another scale", &[IMAGE], |b, x| {
            dequantised(b, quantised(b, x[0], 0.013), 0.7)
        }),
        row("DequantizeLinear", "a scale for each channel", &[IMAGE], |b, x| {
            let scales = b.constant(Tensor::floats(&[2], vec![0.013, 0.017]).unwrap());
            let zeros = bytes(b, &[2], 128.0, 0.0);
            let q = x[0].op("QuantizeLinear", &[scales, zeros], &[("axis", Attr::Int(1))]);
            q.op("DequantizeLinear", &[scales, zeros], &[("axis", Attr::Int(1))])
        }),
        row("DynamicQuantizeLinear", "and back", &[IMAGE], |b, x| {
            // Off the grid of the values, half of whose quotients would be ties.
            let made = several(b, "DynamicQuantizeLinear", &[x[0] + 0.3], 3, &[]);
            (made[0].to_float() - made[2].to_float()) * made[1]
        }),
        row("DynamicQuantizeLinear", "of positive numbers", &[&[0, 7]], |b, x| {
            let made = several(b, "DynamicQuantizeLinear", &[x[0] + 2.0], 3, &[]);
            (made[0].to_float() - made[2].to_float()) * made[1]
        }),
        row("QLinearConv", "", &[IMAGE], move |b, x| {
            let w = bytes(b, &[3, 2, 3, 3], 128.0, 50.0);
            let bias = b.constant(Tensor::new(vec![3], TensorData::Int32(vec![1200, -900, 77])).unwrap());
            let (s, z) = (|v| b.scalar(v), || zero(b));
            let inputs = [quantised(b, x[0], 0.013), s(0.013), z(), w, s(0.021), z(), s(0.11), z(), bias];
            dequantised(b, inputs[0].op("QLinearConv", &inputs[1..], &[kernel()]), 0.11)
        }),
        row("ConvInteger", "", &[IMAGE], move |b, x| {
            let inputs = [quantised(b, x[0], 0.013), bytes(b, &[3, 2, 3, 3], 128.0, 50.0), zero(b), zero(b)];
            inputs[0].op("ConvInteger", &inputs[1..], &[kernel()]).to_float() * (0.013 * 0.021)
        }),
        row("QLinearMatMul", "", &[&[0, 5]], |b, x| {
            let w = bytes(b, &[5, 3], 128.0, 50.0);
            let (s, z) = (|v| b.scalar(v), || zero(b));
            let inputs = [quantised(b, x[0], 0.013), s(0.013), z(), w, s(0.021), z(), s(0.011), z()];
            dequantised(b, inputs[0].op("QLinearMatMul", &inputs[1..], &[]), 0.011)
        }),
        row("MatMulInteger", "", &[&[0, 5]], |b, x| {
            let inputs = [quantised(b, x[0], 0.013), bytes(b, &[5, 3], 128.0, 50.0), zero(b), zero(b)];
            inputs[0].op("MatMulInteger", &inputs[1..], &[]).to_float() * (0.013 * 0.021)
        }),
        row("ConvInteger", "a zero point for each channel", &[IMAGE], move |b, x| {
            let inputs = [
                quantised(b, x[0], 0.013),
                bytes(b, &[3, 2, 3, 3], 128.0, 50.0),
                zero(b),
                bytes(b, &[3], 128.0, 20.0),
            ];
            inputs[0].op("ConvInteger", &inputs[1..], &[kernel()]).to_float() * (0.013 * 0.021)
        }),
        row("MatMulInteger", "a zero point for each column", &[&[2, 5]], |b, x| {
            let columns = bytes(b, &[3], 128.0, 20.0);
            let inputs = [quantised(b, x[0], 0.013), bytes(b, &[5, 3], 128.0, 50.0), zero(b), columns];
            inputs[0].op("MatMulInteger", &inputs[1..], &[]).to_float() * (0.013 * 0.021)
        }),
        row("MatMulInteger", "a zero point for each row", &[&[2, 4, 5]], |b, x| {
            let rows = bytes(b, &[4], 128.0, 20.0);
            let inputs = [quantised(b, x[0], 0.013), bytes(b, &[5, 3], 128.0, 50.0), rows, zero(b)];
            inputs[0].op("MatMulInteger", &inputs[1..], &[]).to_float() * (0.013 * 0.021)
        }),
        row("MatMulInteger", "zero points for each row and column", &[&[2, 5]], |b, x| {
            let (rows, columns) = (bytes(b, &[2], 128.0, 20.0), bytes(b, &[3], 128.0, 25.0));
            let inputs = [quantised(b, x[0], 0.013), bytes(b, &[5, 3], 128.0, 50.0), rows, columns];
            inputs[0].op("MatMulInteger", &inputs[1..], &[]).to_float() * (0.013 * 0.021)
        }),
    ];
    rows.into_iter().map(|r| Row { straight_through: true, ..r }).collect()
}

fn zero(b: &Builder) -> Expr<'_> {
    bytes(b, &[], 128.0, 0.0)
}

fn quantised<'b>(b: &'b Builder, x: Expr<'b>, scale: f32) -> Expr<'b> {
    x.op("QuantizeLinear", &[b.scalar(scale), zero(b)], &[])
}

fn dequantised<'b>(b: &'b Builder, q: Expr<'b>, scale: f32) -> Expr<'b> {
    q.op("DequantizeLinear", &[b.scalar(scale), zero(b)], &[])
}

/// Unsigned bytes around a centre.
fn bytes<'b>(b: &'b Builder, shape: &[usize], centre: f32, spread: f32) -> Expr<'b> {
    let values =
        (0..shape.iter().product()).map(|i| (centre + spread * support::noise(i, 3)) as u8).collect();
    b.constant(Tensor::new(shape.to_vec(), TensorData::Uint8(values)).unwrap())
}
