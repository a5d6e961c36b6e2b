//! Every gradient rule and lowering against central differences along random directions, and against PyTorch: one row per case.
#![allow(clippy::unwrap_used, reason = "a test")]

mod rows;
mod support;

use candor_graph::builder::{Builder, Expr};
use candor_graph::grad::{RULES, gradients};
use candor_graph::graph::{Attr, Graph, Node, ValueId};
use candor_graph::rewrite::{LOWERINGS, lower};
use candor_graph::shape::Dim;
use candor_graph::tensor::{DataType, Tensor};

/// Batch size at which graphs with a free batch are run.
const BATCH: usize = 2;
/// Step of the central difference; inputs are at least four steps apart from each other and two steps from zero.
const STEP: f32 = 4e-3;
const TOLERANCE: f64 = 2e-3;

/// Builds the node under test from its inputs.
type Build = dyn for<'b> Fn(&'b Builder, &[Expr<'b>]) -> Expr<'b>;

struct Row {
    op: &'static str,
    case: &'static str,
    /// Shapes of the differentiated inputs; 0 stands for the batch.
    inputs: Vec<Vec<usize>>,
    /// Added to every input (for operators that need positive numbers).
    offset: f32,
    /// Rounding is differentiated straight through, which differences cannot show.
    straight_through: bool,
    build: Box<Build>,
}

fn row(
    op: &'static str,
    case: &'static str,
    inputs: &[&[usize]],
    build: impl for<'b> Fn(&'b Builder, &[Expr<'b>]) -> Expr<'b> + 'static,
) -> Row {
    let inputs = inputs.iter().map(|s| s.to_vec()).collect();
    Row { op, case, inputs, offset: 0.0, straight_through: false, build: Box::new(build) }
}

/// An operator of one input with attributes.
fn unary(op: &'static str, case: &'static str, shape: &[usize], attrs: Vec<(&'static str, Attr)>) -> Row {
    row(op, case, &[shape], move |_, x| x[0].op(op, &[], &attrs))
}

fn ints(v: &[i64]) -> Attr {
    Attr::Ints(v.to_vec())
}

/// Conv with a constant weight of the given shape.
fn conv(case: &'static str, x: &[usize], weight: &'static [usize], attrs: Vec<(&'static str, Attr)>) -> Row {
    row("Conv", case, &[x], move |b, x| {
        let count = weight.iter().product();
        let values = (0..count).map(|i| support::noise(i, 7)).collect();
        let w = b.constant(Tensor::floats(weight, values).unwrap());
        let kernel = ("kernel_shape", ints(&weight[2..].iter().map(|&k| k as i64).collect::<Vec<_>>()));
        let mut attrs = attrs.clone();
        attrs.push(kernel);
        x[0].op("Conv", &[w], &attrs)
    })
}

/// Conv or ConvTranspose whose kernel and bias are differentiated, too.
fn learned(
    op: &'static str,
    case: &'static str,
    shapes: [&[usize]; 3],
    attrs: Vec<(&'static str, Attr)>,
) -> Row {
    let kernel = ints(&shapes[1][2..].iter().map(|&k| k as i64).collect::<Vec<_>>());
    row(op, case, &shapes, move |_, x| {
        let mut attrs = attrs.clone();
        attrs.push(("kernel_shape", kernel.clone()));
        x[0].op(op, &x[1..], &attrs)
    })
}

fn pool(
    op: &'static str,
    case: &'static str,
    x: &[usize],
    kernel: i64,
    attrs: Vec<(&'static str, Attr)>,
) -> Row {
    let mut attrs = attrs;
    attrs.push(("kernel_shape", ints(&[kernel, kernel])));
    unary(op, case, x, attrs)
}

fn rows() -> Vec<Row> {
    let s = |h, w| ("strides", ints(&[h, w]));
    let p = |a, b, c, d| ("pads", ints(&[a, b, c, d]));
    let d = |h, w| ("dilations", ints(&[h, w]));
    let g = |n| ("group", Attr::Int(n));
    let ceil = || ("ceil_mode", Attr::Int(1));
    let include = || ("count_include_pad", Attr::Int(1));
    let image: &[usize] = &[0, 2, 5, 6];
    let mut rows = vec![
        unary("Abs", "", image, vec![]),
        unary("Neg", "", image, vec![]),
        unary("Exp", "", &[0, 20], vec![]),
        unary("Relu", "", image, vec![]),
        unary("LeakyRelu", "default slope", image, vec![]),
        unary("LeakyRelu", "slope .3", image, vec![("alpha", Attr::Float(0.3))]),
        unary("LeakyRelu", "negative slope", image, vec![("alpha", Attr::Float(-0.3))]),
        unary("Sigmoid", "", image, vec![]),
        unary("Tanh", "", image, vec![]),
        unary("HardSigmoid", "", image, vec![]),
        unary("HardSigmoid", "steep", image, vec![("alpha", Attr::Float(0.5)), ("beta", Attr::Float(0.4))]),
        // Off the grid of the inputs, which has a point on the kink at 3.
        Row { offset: 0.006, ..unary("HardSwish", "", &[0, 400], vec![]) },
        unary("Identity", "", image, vec![]),
        row("Dropout", "inference", &[image], |_, x| (x[0] * 2.0).op("Dropout", &[], &[])),
        unary("Cast", "to float", image, vec![("to", Attr::Int(1))]),
        unary("Softmax", "last axis", &[0, 3, 10], vec![]),
        unary("Softmax", "axis 1", &[0, 5, 4], vec![("axis", Attr::Int(1))]),
        unary("LogSoftmax", "last axis", &[0, 12], vec![]),
        unary("LogSoftmax", "axis 1", &[0, 5, 4], vec![("axis", Attr::Int(1))]),
        unary("Flatten", "axis 1", image, vec![("axis", Attr::Int(1))]),
        unary("Flatten", "axis 2", image, vec![("axis", Attr::Int(2))]),
        unary("Transpose", "nchw to nhwc", image, vec![("perm", ints(&[0, 2, 3, 1]))]),
        unary("Transpose", "reverse", image, vec![]),
        unary("GlobalAveragePool", "", image, vec![]),
        unary("GlobalMaxPool", "", image, vec![]),
        row("Clip", "both bounds", &[image], |b, x| {
            b.node("Clip", &[Some(x[0]), Some(b.scalar(-0.19)), Some(b.scalar(0.21))], &[])
        }),
        row("Clip", "lower bound", &[image], |b, x| {
            b.node("Clip", &[Some(x[0]), Some(b.scalar(-0.19))], &[])
        }),
        row("Clip", "upper bound", &[image], |b, x| {
            b.node("Clip", &[Some(x[0]), None, Some(b.scalar(0.21))], &[])
        }),
        row("Add", "same shape", &[image, image], |_, x| x[0] + x[1]),
        row("Add", "per channel", &[image, &[2, 1, 1]], |_, x| x[0] + x[1]),
        row("Add", "scalar", &[image, &[]], |_, x| x[0] + x[1]),
        row("Add", "both ways", &[&[0, 3, 1], &[1, 4]], |_, x| x[0] + x[1]),
        row("Sub", "per channel", &[image, &[2, 1, 1]], |_, x| x[0] - x[1]),
        row("Sub", "same value twice", &[image], |_, x| x[0] - x[0] * 3.0),
        row("Mul", "spatial mask", &[image, &[0, 1, 5, 6]], |_, x| x[0] * x[1]),
        row("Mul", "per channel", &[image, &[0, 2, 1, 1]], |_, x| x[0] * x[1]),
        row("Mul", "square", &[image], |_, x| x[0] * x[0]),
        Row { offset: 3.0, ..row("Div", "per channel", &[image, &[2, 1, 1]], |_, x| x[0] / x[1]) },
        Row { offset: 3.0, ..unary("Log", "", image, vec![]) },
        Row { offset: 3.0, ..unary("Sqrt", "", image, vec![]) },
        row("Sum", "three", &[image, image, &[2, 1, 1]], |_, x| x[0].op("Sum", &[x[1], x[2]], &[])),
        row("Concat", "channels", &[image, &[0, 3, 5, 6]], |b, x| b.concat(&[x[0], x[1]], 1) * 2.0),
        row("Concat", "last axis, negative", &[image, image], |b, x| b.concat(&[x[0], x[1], x[0]], -1)),
        row("Slice", "crop", &[image], |_, x| x[0].slice(&[2, 3], &[1, 2], &[4, 6], &[1, 1])),
        row("Slice", "step 2", &[image], |_, x| x[0].slice(&[2, 3], &[0, 0], &[i64::MAX, i64::MAX], &[2, 2])),
        row("Slice", "step 2 from 1", &[image], |_, x| x[0].slice(&[2, 3], &[1, 1], &[5, 6], &[2, 3])),
        row("Slice", "backward", &[image], |_, x| x[0].slice(&[3], &[-1], &[i64::from(i32::MIN)], &[-1])),
        row("Slice", "backward by 2", &[image], |_, x| {
            x[0].slice(&[3], &[-2], &[i64::from(i32::MIN)], &[-2])
        }),
        row("Slice", "channels", &[image], |_, x| x[0].slice(&[1], &[-1], &[i64::from(i32::MAX)], &[1])),
        row("Pad", "border", &[image], |_, x| x[0].pad(&[0, 0, 1, 2, 0, 0, 3, 0], 0.5)),
        row("Pad", "channels", &[image], |_, x| x[0].pad(&[0, 4, 0, 0, 0, 4, 0, 0], 0.0)),
        row("Pad", "axes", &[image], |b, x| {
            x[0].op("Pad", &[b.ints(&[1, 2]), b.scalar(0.0), b.ints(&[-1])], &[])
        }),
        row("Pad", "negative", &[image], |b, x| x[0].op("Pad", &[b.ints(&[0, 0, -1, 0, 0, 0, 0, -2])], &[])),
        row("Reshape", "to matrix", &[image], |_, x| x[0].reshape(&[0, -1])),
        row("Reshape", "merge batch", &[image], |_, x| x[0].reshape(&[-1, 6])),
        row("Squeeze", "axes", &[&[0, 7, 1, 1]], |b, x| x[0].op("Squeeze", &[b.ints(&[2, 3])], &[])),
        row("Unsqueeze", "axes", &[&[0, 7]], |b, x| x[0].op("Unsqueeze", &[b.ints(&[1, 3])], &[])),
        row("ReduceMean", "spatial", &[image], |b, x| x[0].op("ReduceMean", &[b.ints(&[2, 3])], &[])),
        row("ReduceMean", "spatial, dropped", &[image], |b, x| {
            x[0].op("ReduceMean", &[b.ints(&[-1, -2])], &[("keepdims", Attr::Int(0))]) * 2.0
        }),
        row("ReduceSum", "channels", &[image], |_, x| x[0].sum(&[1], true)),
        row("ReduceSum", "channels, dropped", &[image], |_, x| x[0].sum(&[1], false)),
        row("ReduceSum", "then a bias", &[image, &[1, 1, 5, 6]], |_, x| x[0].sum(&[1], true) + x[1]),
        row("Gemm", "plain", &[&[0, 5], &[5, 4], &[4]], |_, x| x[0].op("Gemm", &[x[1], x[2]], &[])),
        row("Gemm", "transB, alpha, beta", &[&[0, 5], &[4, 5], &[0, 4]], |_, x| {
            let attrs = [("transB", Attr::Int(1)), ("alpha", Attr::Float(0.5)), ("beta", Attr::Float(2.0))];
            x[0].op("Gemm", &[x[1], x[2]], &attrs)
        }),
        row("Gemm", "transA", &[&[5, 3], &[5, 4]], |_, x| {
            x[0].op("Gemm", &[x[1]], &[("transA", Attr::Int(1))])
        }),
        row("Gemm", "transA, transB", &[&[5, 3], &[4, 5]], |_, x| {
            x[0].op("Gemm", &[x[1]], &[("transA", Attr::Int(1)), ("transB", Attr::Int(1))])
        }),
        row("MatMul", "matrices", &[&[0, 5], &[5, 4]], |_, x| x[0].op("MatMul", &[x[1]], &[])),
        row("MatMul", "batched", &[&[0, 3, 4, 5], &[0, 3, 5, 2]], |_, x| x[0].op("MatMul", &[x[1]], &[])),
        row("MatMul", "broadcast", &[&[0, 3, 4, 5], &[5, 2]], |_, x| x[0].op("MatMul", &[x[1]], &[])),
        row("BatchNormalization", "", &[image], |b, x| {
            let c = |v: [f32; 2]| b.constant(Tensor::floats(&[2], v.to_vec()).unwrap());
            let parameters = [c([1.5, -0.5]), c([0.1, 0.2]), c([0.3, -0.3]), c([0.5, 2.0])];
            x[0].op("BatchNormalization", &parameters, &[("epsilon", Attr::Float(1e-3))])
        }),
        conv("1×1", image, &[3, 2, 1, 1], vec![]),
        conv("1×1 with padding", image, &[3, 2, 1, 1], vec![p(1, 1, 1, 1)]),
        conv("1×1, stride 2", image, &[3, 2, 1, 1], vec![s(2, 2)]),
        conv("3×3", image, &[3, 2, 3, 3], vec![p(1, 1, 1, 1)]),
        conv("3×3 valid", image, &[3, 2, 3, 3], vec![]),
        conv("wide padding", image, &[3, 2, 3, 3], vec![p(3, 3, 4, 2)]),
        conv("asymmetric pads", image, &[3, 2, 3, 2], vec![p(0, 1, 2, 0)]),
        conv("stride 2", image, &[3, 2, 3, 3], vec![s(2, 2), p(1, 1, 1, 1)]),
        conv("stride 2, same pads", image, &[3, 2, 3, 3], vec![s(2, 2), p(0, 0, 1, 1)]),
        conv("stride 3, kernel 2", &[0, 2, 8, 7], &[3, 2, 2, 2], vec![s(3, 3)]),
        conv("unequal strides", image, &[3, 2, 3, 3], vec![s(2, 1), p(1, 1, 1, 1)]),
        conv("dilated", &[0, 2, 7, 8], &[3, 2, 3, 2], vec![d(2, 3), p(2, 1, 2, 1)]),
        conv("dilated, stride 2", &[0, 2, 9, 9], &[3, 2, 3, 3], vec![d(2, 2), s(2, 2), p(2, 2, 2, 2)]),
        conv("groups", &[0, 4, 5, 6], &[6, 2, 3, 3], vec![g(2), p(1, 1, 1, 1)]),
        conv("groups, stride 2", &[0, 4, 5, 6], &[6, 2, 3, 3], vec![g(2), s(2, 2), p(1, 1, 1, 1)]),
        conv("depthwise", &[0, 3, 5, 6], &[3, 1, 3, 3], vec![g(3), p(1, 1, 1, 1)]),
        conv("depthwise, multiplier 2", &[0, 3, 5, 6], &[6, 1, 3, 3], vec![g(3), p(1, 1, 1, 1)]),
        conv("depthwise, stride 2", &[0, 3, 6, 6], &[3, 1, 3, 3], vec![g(3), s(2, 2), p(0, 0, 1, 1)]),
        conv("depthwise, stride 2, odd", &[0, 3, 5, 7], &[3, 1, 3, 3], vec![g(3), s(2, 2), p(1, 1, 1, 1)]),
        conv(
            "depthwise, stride 2, kernel 5",
            &[0, 2, 9, 8],
            &[2, 1, 5, 5],
            vec![g(2), s(2, 2), p(2, 2, 2, 2)],
        ),
        conv("depthwise, stride 3", &[0, 2, 9, 8], &[2, 1, 3, 3], vec![g(2), s(3, 3), p(1, 1, 1, 1)]),
        conv(
            "depthwise, stride 2, dilation 3",
            &[0, 2, 9, 9],
            &[2, 1, 3, 3],
            vec![g(2), s(2, 2), d(3, 3), p(3, 3, 3, 3)],
        ),
        conv(
            "depthwise, stride 2, dilation 2",
            &[0, 2, 9, 9],
            &[2, 1, 3, 3],
            vec![g(2), s(2, 2), d(2, 2), p(2, 2, 2, 2)],
        ),
        conv("depthwise, stride 3, kernel 1", &[0, 2, 7, 8], &[2, 1, 1, 1], vec![g(2), s(3, 3)]),
        learned("Conv", "kernel and bias", [image, &[3, 2, 3, 3], &[3]], vec![p(1, 1, 1, 1)]),
        learned("Conv", "kernel and bias, 1×1, stride 2", [image, &[3, 2, 1, 1], &[3]], vec![s(2, 2)]),
        learned(
            "Conv",
            "kernel and bias, asymmetric pads, stride 2 and 3, with rest",
            [&[0, 2, 8, 9], &[3, 2, 3, 2], &[3]],
            vec![s(2, 3), p(0, 1, 2, 0)],
        ),
        learned(
            "Conv",
            "kernel and bias, groups, dilated, stride 2",
            [&[0, 4, 9, 8], &[6, 2, 3, 2], &[6]],
            vec![g(2), d(2, 3), s(2, 1), p(2, 1, 2, 1)],
        ),
        learned(
            "Conv",
            "kernel and bias, depthwise",
            [&[0, 3, 5, 6], &[6, 1, 3, 3], &[6]],
            vec![g(3), p(1, 1, 1, 1)],
        ),
        learned(
            "Conv",
            "kernel and bias, one axis",
            [&[0, 2, 9], &[3, 2, 4], &[3]],
            vec![("strides", ints(&[2])), ("pads", ints(&[1, 2]))],
        ),
        learned(
            "ConvTranspose",
            "kernel and bias, pads, output padding",
            [image, &[2, 3, 3, 3], &[3]],
            vec![s(2, 2), p(1, 1, 1, 1), ("output_padding", ints(&[1, 1]))],
        ),
        learned(
            "ConvTranspose",
            "kernel and bias, groups, dilated",
            [&[0, 4, 5, 6], &[4, 3, 3, 2], &[6]],
            vec![g(2), d(2, 1), s(1, 2), p(1, 0, 0, 1)],
        ),
    ];
    for op in ["MaxPool", "AveragePool"] {
        rows.extend([
            pool(op, "2×2, stride 2", &[0, 2, 6, 4], 2, vec![s(2, 2)]),
            pool(op, "3×3, stride 2", &[0, 2, 7, 7], 3, vec![s(2, 2)]),
            pool(op, "3×3, stride 1, pads", image, 3, vec![s(1, 1), p(1, 1, 1, 1)]),
            pool(op, "3×3, stride 2, pads", image, 3, vec![s(2, 2), p(1, 1, 1, 1)]),
            pool(op, "ceil_mode", &[0, 2, 6, 6], 3, vec![s(2, 2), ceil()]),
            pool(op, "ceil_mode, pads", &[0, 2, 6, 7], 3, vec![s(2, 2), p(1, 1, 1, 1), ceil()]),
            pool(op, "ceil_mode, odd", &[0, 2, 5, 5], 2, vec![s(2, 2), ceil()]),
            pool(op, "unequal strides", &[0, 2, 6, 7], 3, vec![s(2, 1), p(0, 1, 1, 0)]),
            pool(op, "stride beyond kernel", &[0, 2, 8, 8], 2, vec![s(3, 3)]),
            pool(op, "asymmetric pads", &[0, 2, 6, 6], 3, vec![s(2, 2), p(0, 0, 1, 1)]),
        ]);
    }
    rows.extend([
        pool("AveragePool", "count_include_pad", image, 3, vec![s(2, 2), p(1, 1, 1, 1), include()]),
        pool(
            "AveragePool",
            "count_include_pad, ceil",
            &[0, 2, 6, 6],
            3,
            vec![s(2, 2), p(1, 1, 1, 1), include(), ceil()],
        ),
    ]);
    rows.extend(rows::all());
    rows
}

/// The row's inputs and its value.
fn build(builder: &Builder, row: &Row) -> (Vec<ValueId>, ValueId) {
    let mut inputs = vec![];
    for (i, shape) in row.inputs.iter().enumerate() {
        let dims: Vec<Dim> =
            shape.iter().map(|&d| if d == 0 { Dim::Batch(1) } else { Dim::Fixed(d) }).collect();
        inputs.push(builder.input(&format!("x{i}"), DataType::Float, &dims));
    }
    let y = (row.build)(builder, &inputs);
    (inputs.iter().map(|x| x.id()).collect(), y.id())
}

/// y and the gradient of Σ weights·y with respect to each input, as a graph.
fn differentiated(row: &Row) -> Graph {
    let builder = Builder::new(Graph::new(18));
    let (wrt, y) = build(&builder, row);
    let mut graph = builder.finish().unwrap();
    lower(&mut graph).unwrap();
    let dims = graph.shape(y).unwrap_or_else(|| panic!("{} {}: shape not known", row.op, row.case));
    let seed = graph.add_input("seed", DataType::Float, &dims);
    graph.outputs = vec![y];
    let (mut graph, found) = gradients(graph, &[(y, seed)], &wrt).unwrap();
    for (&g, &x) in found.iter().zip(&wrt) {
        assert_eq!(graph.shape(g), graph.shape(x), "{} {}: shape of the gradient", row.op, row.case);
    }
    graph.outputs.extend(found);
    graph
}

fn input_tensors(row: &Row) -> Vec<Tensor> {
    let tensor = |(k, shape): (usize, &Vec<usize>)| {
        let shape: Vec<usize> = shape.iter().map(|&d| if d == 0 { BATCH } else { d }).collect();
        let n = shape.iter().product();
        let values = support::spread(n, 4.0 * STEP, k as u64).iter().map(|v| v + row.offset).collect();
        Tensor::floats(&shape, values).unwrap()
    };
    row.inputs.iter().enumerate().map(tensor).collect()
}

/// The weights of y's sum: the value of the seed.
fn weights(graph: &Graph) -> Tensor {
    let dims = graph.shape(graph.outputs[0]).unwrap();
    let size = |d: &Dim| match d {
        Dim::Fixed(n) => *n,
        Dim::Batch(k) => k * BATCH,
        Dim::Unknown => panic!("unknown shape"),
    };
    let shape: Vec<usize> = dims.iter().map(size).collect();
    let values = (0..shape.iter().product()).map(|i| support::noise(i, 99)).collect();
    Tensor::floats(&shape, values).unwrap()
}

fn check(row: &Row) -> Result<(), String> {
    let what = format!("{} ({})", row.op, row.case);
    let graph = differentiated(row);
    let (inputs, seed) = (input_tensors(row), weights(&graph));
    let (y_shape, weights) = (seed.shape(), seed.as_floats().unwrap());
    let run = |inputs: &[Tensor]| {
        let all: Vec<&Tensor> = inputs.iter().chain([&seed]).collect();
        support::run(&graph, &all)
    };
    let value = |inputs: &[Tensor]| -> f64 {
        let out = run(inputs);
        assert_eq!(out[0].shape(), y_shape, "{what}: shape of the output");
        let y = out[0].as_floats().unwrap();
        y.iter().zip(weights).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
    };
    let gradient = run(&inputs);
    for direction in 0..2 {
        let moved = |sign: f32| -> Vec<Tensor> {
            let shift = |(k, t): (usize, &Tensor)| {
                let values = t.as_floats().unwrap().iter().enumerate();
                let v = |i| support::noise(i, 1000 + 10 * direction + k as u64);
                Tensor::floats(t.shape(), values.map(|(i, x)| x + sign * STEP * v(i)).collect()).unwrap()
            };
            inputs.iter().enumerate().map(shift).collect()
        };
        let (plus, minus) = (moved(1.0), moved(-1.0));
        let difference = value(&plus) - value(&minus);
        let (mut product, mut scale) = (0.0, 0.0);
        for (k, g) in gradient[1..].iter().enumerate() {
            let (plus, minus) = (plus[k].as_floats().unwrap(), minus[k].as_floats().unwrap());
            for (i, &g) in g.as_floats().unwrap().iter().enumerate() {
                let term = f64::from(g) * (f64::from(plus[i]) - f64::from(minus[i]));
                product += term;
                scale += term * term;
            }
        }
        let error = (difference - product).abs() / (product.abs() + scale.sqrt()).max(1e-9);
        if error > TOLERANCE {
            return Err(format!(
                "{what}: difference {difference:.6}, gradient {product:.6}, error {error:.1e}"
            ));
        }
    }
    Ok(())
}

#[test]
fn rules_agree_with_central_differences() {
    let failures: Vec<String> = rows()
        .iter()
        .filter(|row| !row.straight_through)
        .filter_map(|row| {
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(row)))
                .unwrap_or_else(|_| Err(format!("{} ({}): panicked", row.op, row.case)))
                .err()
        })
        .collect();
    assert!(failures.is_empty(), "{} rows fail:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn every_rule_has_a_row() {
    let rows = rows();
    let missing: Vec<&str> =
        RULES.iter().map(|(op, _)| *op).filter(|op| !rows.iter().any(|r| r.op == *op)).collect();
    assert!(missing.is_empty(), "no row for {missing:?}");
}

#[test]
fn every_lowering_has_a_row_that_goes_through_it() {
    let rows = rows();
    let lowered = |row: &Row, domain: &str, op: &str| {
        let builder = Builder::new(Graph::new(18));
        build(&builder, row);
        let mut graph = builder.finish().unwrap();
        let is_it = |n: &Node| n.domain == domain && n.op == op;
        // By name: a node of the same kind may replace it.
        let before: Vec<String> = graph.nodes.iter().filter(|n| is_it(n)).map(|n| n.name.clone()).collect();
        lower(&mut graph).unwrap();
        before.iter().any(|name| !graph.nodes.iter().any(|n| is_it(n) && n.name == *name))
    };
    let missing: Vec<_> = LOWERINGS
        .iter()
        .filter(|(domain, op, _)| !rows.iter().any(|r| r.op == *op && lowered(r, domain, op)))
        .map(|(domain, op, _)| (domain, op))
        .collect();
    assert!(missing.is_empty(), "no row for {missing:?}");
}
