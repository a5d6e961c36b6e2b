//! Activations, powers and norms.

use candor_graph::builder::{Builder, Expr};
use candor_graph::graph::Attr;
use candor_graph::tensor::Tensor;

use crate::{Row, row, unary};

const IMAGE: &[usize] = &[0, 2, 5, 6];

pub fn rows() -> Vec<Row> {
    let alpha = |v: f32| ("alpha", Attr::Float(v));
    let epsilon = || ("epsilon", Attr::Float(1e-3));
    vec![
        unary("Elu", "", IMAGE, vec![]),
        unary("Elu", "slope .3", IMAGE, vec![alpha(0.3)]),
        row("PRelu", "one slope", &[IMAGE], |b, x| x[0].op("PRelu", &[b.scalar(0.3)], &[])),
        row("PRelu", "a slope for each channel", &[IMAGE, &[2, 1, 1]], |_, x| x[0].op("PRelu", &[x[1]], &[])),
        unary("Softplus", "", IMAGE, vec![]),
        unary("Softsign", "", IMAGE, vec![]),
        unary("Swish", "", IMAGE, vec![]),
        unary("Swish", "α 1.7", IMAGE, vec![alpha(1.7)]),
        unary("Erf", "", IMAGE, vec![]),
        unary("Gelu", "", IMAGE, vec![]),
        unary("Gelu", "tanh", IMAGE, vec![("approximate", Attr::Text("tanh".into()))]),
        unary("Sin", "", IMAGE, vec![]),
        unary("Cos", "", IMAGE, vec![]),
        Row { offset: 3.0, ..unary("Reciprocal", "", IMAGE, vec![]) },
        row("Pow", "square", &[IMAGE], |b, x| x[0].op("Pow", &[b.scalar(2.0)], &[])),
        row("Pow", "cube", &[IMAGE], |b, x| x[0].op("Pow", &[b.scalar(3.0)], &[])),
        row("Pow", "fourth", &[IMAGE], |b, x| x[0].op("Pow", &[b.scalar(4.0)], &[])),
        Row { offset: 3.0, ..row("Pow", "root", &[IMAGE], |b, x| x[0].op("Pow", &[b.scalar(0.5)], &[])) },
        Row { offset: 3.0, ..row("Pow", "−.7", &[IMAGE], |b, x| x[0].op("Pow", &[b.scalar(-0.7)], &[])) },
        Row {
            offset: 2.0,
            ..row("Pow", "both", &[&[0, 2, 3, 4], &[2, 1, 1]], |_, x| x[0].op("Pow", &[x[1] * 0.5], &[]))
        },
        row("LayerNormalization", "last axis", &[&[0, 5, 7]], move |b, x| {
            x[0].op("LayerNormalization", &[vector(b, 7, 1), vector(b, 7, 2)], &[epsilon()])
        }),
        row("LayerNormalization", "two axes, no bias", &[&[0, 3, 2, 5]], |b, x| {
            let scale = vector(b, 10, 1).reshape(&[2, 5]);
            x[0].op("LayerNormalization", &[scale], &[("axis", Attr::Int(2))])
        }),
        row("LayerNormalization", "then a mean", &[&[0, 5, 7]], |b, x| {
            let y = x[0].op("LayerNormalization", &[vector(b, 7, 1), vector(b, 7, 2)], &[]);
            y.op("ReduceMean", &[b.ints(&[1])], &[("keepdims", Attr::Int(0))])
        }),
        row("RMSNormalization", "", &[&[0, 5, 7]], |b, x| {
            x[0].op("RMSNormalization", &[vector(b, 7, 1)], &[])
        }),
        row("InstanceNormalization", "", &[IMAGE], |b, x| {
            x[0].op("InstanceNormalization", &[vector(b, 2, 1), vector(b, 2, 2)], &[])
        }),
        row("Mod", "fmod", &[IMAGE], |b, x| {
            (x[0] * 0.01).op("Mod", &[b.scalar(5.0)], &[("fmod", Attr::Int(1))])
        }),
    ]
}

/// A constant vector of numbers around one.
pub fn vector<'b>(b: &'b Builder, n: usize, salt: u64) -> Expr<'b> {
    let values = (0..n).map(|i| 1.0 + 0.5 * crate::support::noise(i, salt)).collect();
    b.constant(Tensor::floats(&[n], values).unwrap())
}
