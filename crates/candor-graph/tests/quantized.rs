//! Gradients of quantised operators are straight-through: those of the float operators between the dequantised values, and
//! zero where a value saturated.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use candor_graph::builder::{Builder, Expr};
use candor_graph::grad::gradients;
use candor_graph::graph::{Attr, Graph};
use candor_graph::insert::dominators;
use candor_graph::rewrite::lower;
use candor_graph::shape::Dim;
use candor_graph::tensor::{DataType, Tensor, TensorData};

/// Gradient of Σ w·y with respect to x, at a fixed x of that shape (batch first).
fn gradient(shape: &[usize], build: impl for<'b> Fn(&'b Builder, Expr<'b>) -> Expr<'b>) -> Vec<f32> {
    let builder = Builder::new(Graph::new(18));
    let dims: Vec<Dim> =
        std::iter::once(Dim::Batch(1)).chain(shape[1..].iter().map(|&d| Dim::Fixed(d))).collect();
    let x = builder.input("x", DataType::Float, &dims);
    let (y, x) = (build(&builder, x).id(), x.id());
    let mut graph = builder.finish().unwrap();
    graph.outputs = vec![y];
    lower(&mut graph).unwrap();
    let dims = graph.shape(y).unwrap();
    let seed = graph.add_input("seed", DataType::Float, &dims);
    let (mut graph, found) = gradients(graph, &[(y, seed)], &[x]).unwrap();
    graph.outputs = found;
    let sizes: Vec<usize> = dims.iter().map(|d| d.fixed().unwrap_or(shape[0])).collect();
    let noise = |shape: &[usize], salt| {
        let values = (0..shape.iter().product()).map(|i| support::noise(i, salt)).collect();
        Tensor::floats(shape, values).unwrap()
    };
    let out = support::run(&graph, &[&noise(shape, 1), &noise(&sizes, 2)]);
    out[0].as_floats().unwrap().to_vec()
}

fn zero(b: &Builder, value: u8) -> Expr<'_> {
    b.constant(Tensor::new(vec![], TensorData::Uint8(vec![value])).unwrap())
}

fn quantised<'b>(b: &'b Builder, x: Expr<'b>, scale: f32) -> Expr<'b> {
    x.op("QuantizeLinear", &[b.scalar(scale), zero(b, 128)], &[])
}

fn dequantised<'b>(b: &'b Builder, q: Expr<'b>, scale: f32) -> Expr<'b> {
    q.op("DequantizeLinear", &[b.scalar(scale), zero(b, 128)], &[])
}

fn weight<'b>(b: &'b Builder, shape: &[usize]) -> Expr<'b> {
    let values = (0..shape.iter().product()).map(|i| (128.0 + 50.0 * support::noise(i, 3)) as u8).collect();
    b.constant(Tensor::new(shape.to_vec(), TensorData::Uint8(values)).unwrap())
}

fn assert_near(a: &[f32], b: &[f32]) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() < 1e-5, "{a} is not {b}");
    }
}

#[test]
fn a_pair_is_the_identity_where_nothing_saturates() {
    let through = gradient(&[2, 3, 4], |b, x| dequantised(b, quantised(b, x, 0.01), 0.01));
    assert_near(&through, &gradient(&[2, 3, 4], |_, x| x * 1.0));
}

#[test]
fn what_saturates_gets_no_gradient() {
    let through = gradient(&[2, 3, 4], |b, x| dequantised(b, quantised(b, x, 0.004), 0.004));
    let plain = gradient(&[2, 3, 4], |_, x| x * 1.0);
    // From −128 to 127 steps; half a step beyond still rounds to the ends.
    let want: Vec<f32> = plain
        .iter()
        .enumerate()
        .map(|(i, g)| if (-0.514..0.510).contains(&support::noise(i, 1)) { *g } else { 0.0 })
        .collect();
    assert_near(&through, &want);
    assert!(want.contains(&0.0));
}

#[test]
fn a_quantised_convolution_has_the_float_ones_gradient() {
    let kernel = || ("kernel_shape", Attr::Ints(vec![3, 3]));
    let whole = gradient(&[2, 2, 5, 6], |b, x| {
        let (w, s) = (weight(b, &[3, 2, 3, 3]), |v| b.scalar(v));
        let inputs =
            [quantised(b, x, 0.01), s(0.01), zero(b, 128), w, s(0.02), zero(b, 128), s(0.1), zero(b, 128)];
        dequantised(b, inputs[0].op("QLinearConv", &inputs[1..], &[kernel()]), 0.1)
    });
    let float = gradient(&[2, 2, 5, 6], |b, x| {
        x.op("Conv", &[dequantised(b, weight(b, &[3, 2, 3, 3]), 0.02)], &[kernel()])
    });
    assert_near(&whole, &float);
    let integers = gradient(&[2, 2, 5, 6], |b, x| {
        let inputs = [quantised(b, x, 0.01), weight(b, &[3, 2, 3, 3]), zero(b, 128), zero(b, 128)];
        inputs[0].op("ConvInteger", &inputs[1..], &[kernel()]) * (0.01 * 0.02)
    });
    assert_near(&integers, &float);
}

#[test]
fn a_quantised_product_has_the_float_ones_gradient() {
    let float = gradient(&[2, 5], |b, x| x.op("MatMul", &[dequantised(b, weight(b, &[5, 3]), 0.02)], &[]));
    let whole = gradient(&[2, 5], |b, x| {
        let (w, s) = (weight(b, &[5, 3]), |v| b.scalar(v));
        let inputs =
            [quantised(b, x, 0.01), s(0.01), zero(b, 128), w, s(0.02), zero(b, 128), s(0.1), zero(b, 128)];
        dequantised(b, inputs[0].op("QLinearMatMul", &inputs[1..], &[]), 0.1)
    });
    assert_near(&whole, &float);
    let integers = gradient(&[2, 5], |b, x| {
        let inputs = [quantised(b, x, 0.01), weight(b, &[5, 3]), zero(b, 128), zero(b, 128)];
        inputs[0].op("MatMulInteger", &inputs[1..], &[]) * (0.01 * 0.02)
    });
    assert_near(&integers, &float);
}

#[test]
fn quantised_features_bypass_nothing() {
    let builder = Builder::new(Graph::new(18));
    let x =
        builder.input("x", DataType::Float, &[Dim::Batch(1), Dim::Fixed(3), Dim::Fixed(4), Dim::Fixed(4)]);
    let back = dequantised(&builder, quantised(&builder, x, 0.01), 0.01);
    let branch = dequantised(&builder, quantised(&builder, back.op("Relu", &[], &[]), 0.01), 0.01);
    let sum = branch + back;
    let (x, back, sum) = (x.id(), back.id(), sum.id());
    let graph = builder.finish().unwrap();
    assert_eq!(dominators(&graph, x, sum), [back, sum]);
}
