//! Operators that the pass `lower` replaces by others.

use candor_graph::builder::{Builder, Expr};
use candor_graph::graph::Attr;
use candor_graph::tensor::{Tensor, TensorData};

use super::moving::several;
use super::smooth::vector;
use crate::{Row, ints, row, unary};

const IMAGE: &[usize] = &[0, 2, 5, 6];

pub fn rows() -> Vec<Row> {
    let float = |name: &'static str, v: f32| (name, Attr::Float(v));
    let int = |name: &'static str, v: i64| (name, Attr::Int(v));
    let mut rows = vec![
        unary("Selu", "", IMAGE, vec![]),
        unary("Celu", "α 2", IMAGE, vec![float("alpha", 2.0)]),
        unary("Mish", "", IMAGE, vec![]),
        Row { offset: 0.006, ..unary("ThresholdedRelu", "", IMAGE, vec![float("alpha", 0.1)]) },
        unary("Shrink", "", IMAGE, vec![float("lambd", 0.096), float("bias", 0.05)]),
        unary("LRN", "", &[0, 6, 2, 3], vec![int("size", 3), float("alpha", 0.5), float("beta", 0.6)]),
        unary("LRN", "even", &[0, 6, 2, 3], vec![int("size", 4), float("alpha", 0.5), float("bias", 2.0)]),
        unary("LpNormalization", "", &[0, 3, 5], vec![]),
        unary("LpNormalization", "p 1, axis 1", &[0, 3, 5], vec![int("p", 1), int("axis", 1)]),
        unary("MeanVarianceNormalization", "spatial", IMAGE, vec![("axes", ints(&[2, 3]))]),
        unary("LpPool", "", IMAGE, vec![("kernel_shape", ints(&[2, 2])), ("strides", ints(&[2, 2]))]),
        unary(
            "AveragePool",
            "over the first of three axes",
            &[0, 1, 6, 2, 3],
            vec![
                ("kernel_shape", ints(&[3, 1, 1])),
                ("strides", ints(&[1, 1, 1])),
                ("pads", ints(&[1, 0, 0, 1, 0, 0])),
                int("count_include_pad", 1),
            ],
        ),
        unary("GlobalLpPool", "p 3", IMAGE, vec![int("p", 3)]),
        unary("SpaceToDepth", "", &[0, 2, 4, 6], vec![int("blocksize", 2)]),
        row("Col2Im", "overlapping", &[&[0, 18, 12]], move |b, x| {
            let window = [("strides", ints(&[2, 2])), ("pads", ints(&[1, 1, 1, 1]))];
            x[0].op("Col2Im", &[b.ints(&[5, 7]), b.ints(&[3, 3])], &window)
        }),
        row("Col2Im", "dilated, with rest", &[&[0, 12, 6]], move |b, x| {
            let window =
                [("strides", ints(&[3, 1])), ("dilations", ints(&[2, 1])), ("pads", ints(&[0, 1, 1, 0]))];
            x[0].op("Col2Im", &[b.ints(&[6, 4]), b.ints(&[2, 3])], &window)
        }),
        row("BatchNormalization", "in training mode", &[&[3, 2, 5, 6]], move |b, x| {
            let inputs = [1, 2, 3, 4].map(|salt| vector(b, 2, salt));
            several(
                b,
                "BatchNormalization",
                &[x[0], inputs[0], inputs[1], inputs[2], inputs[3]],
                3,
                &[int("training_mode", 1)],
            )[0]
        }),
        row("GroupNormalization", "", &[&[0, 6, 3, 2]], move |b, x| {
            x[0].op("GroupNormalization", &[vector(b, 6, 1), vector(b, 6, 2)], &[int("num_groups", 2)])
        }),
        row("GroupNormalization", "a scale for each group", &[&[0, 6, 3, 2]], move |b, x| {
            x[0].op("GroupNormalization", &[vector(b, 2, 1), vector(b, 2, 2)], &[int("num_groups", 2)])
        }),
        row("Attention", "heads apart", &[&[0, 2, 3, 4], &[0, 2, 5, 4], &[0, 2, 5, 4]], |_, x| {
            x[0].op("Attention", &[x[1], x[2]], &[])
        }),
        row(
            "Attention",
            "heads joined, causal, scale",
            &[&[0, 3, 8], &[0, 3, 8], &[0, 3, 8]],
            move |_, x| {
                let attrs =
                    [int("q_num_heads", 2), int("kv_num_heads", 2), int("is_causal", 1), float("scale", 0.4)];
                x[0].op("Attention", &[x[1], x[2]], &attrs)
            },
        ),
    ];
    rows.push(row(
        "Attention",
        "keys shared, capped",
        &[&[0, 4, 3, 4], &[0, 2, 5, 4], &[0, 2, 5, 4]],
        move |_, x| x[0].op("Attention", &[x[1], x[2]], &[float("softcap", 0.3)]),
    ));
    rows.push(row(
        "Attention",
        "window, a query without keys",
        &[&[0, 2, 4, 4], &[0, 2, 4, 4], &[0, 2, 4, 4]],
        move |b, x| {
            let mask = TensorData::Bool((0..16).map(|i| i / 4 != 2 && i != 5).collect());
            let mask = b.constant(Tensor::new(vec![4, 4], mask).unwrap());
            let attrs = [int("left_window_size", 1), int("right_window_size", 2)];
            x[0].op("Attention", &[x[1], x[2], mask], &attrs)
        },
    ));
    for mode in ["reflect", "edge", "wrap"] {
        rows.push(row("Pad", mode, &[IMAGE], move |b, x| {
            x[0].op("Pad", &[b.ints(&[0, 0, 2, 1, 0, 0, 1, 3])], &[("mode", Attr::Text(mode.into()))])
        }));
    }
    rows.extend(resizes());
    rows.extend(contrib_rows());
    rows
}

fn resizes() -> Vec<Row> {
    let resize = |case: &'static str,
                  mode: &'static str,
                  coordinates: &'static str,
                  size: [i64; 2],
                  extra: &'static str| {
        row("Resize", case, &[IMAGE], move |b, x| {
            let sizes = b.ints(&[0, 2, size[0], size[1]]);
            // The batch is free: its size comes from the shape, as exporters write it.
            let batch = x[0].op("Shape", &[], &[("end", Attr::Int(1))]);
            let sizes = b.concat(&[batch, sizes.slice(&[0], &[1], &[4], &[1])], 0);
            let mut attrs = vec![
                ("mode", Attr::Text(mode.into())),
                ("coordinate_transformation_mode", Attr::Text(coordinates.into())),
            ];
            attrs.extend(extra.split_whitespace().map(|name| (name, Attr::Int(1))));
            b.node("Resize", &[Some(x[0]), None, None, Some(sizes)], &attrs)
        })
    };
    vec![
        resize("nearest, larger", "nearest", "asymmetric", [10, 12], ""),
        resize("nearest, smaller", "nearest", "half_pixel", [3, 4], ""),
        resize("linear, larger", "linear", "half_pixel", [8, 9], ""),
        resize("linear, corners", "linear", "align_corners", [9, 4], ""),
        resize("linear, antialiased", "linear", "pytorch_half_pixel", [2, 3], "antialias"),
        resize("linear, antialiased inside", "linear", "half_pixel", [2, 3], "antialias exclude_outside"),
        resize("cubic", "cubic", "half_pixel", [7, 11], ""),
        row("Resize", "scales", &[IMAGE], |b, x| {
            let scales = b.constant(Tensor::floats(&[4], vec![1.0, 1.0, 2.0, 1.5]).unwrap());
            b.node("Resize", &[Some(x[0]), None, Some(scales)], &[("mode", Attr::Text("linear".into()))])
        }),
    ]
}

/// A node of ONNX Runtime's own domain.
fn contrib<'b>(b: &'b Builder, op: &str, x: &[Option<Expr<'b>>], attrs: &[(&str, Attr)]) -> Expr<'b> {
    let y = b.node(op, x, attrs);
    b.with_mut(|g| g.nodes.last_mut().unwrap().domain = "com.microsoft".into());
    y
}

fn contrib_rows() -> Vec<Row> {
    vec![
        row("Gelu", "com.microsoft", &[IMAGE], |b, x| contrib(b, "Gelu", &[Some(x[0])], &[])),
        row("BiasGelu", "", &[&[0, 5, 6], &[6]], |b, x| {
            contrib(b, "BiasGelu", &[Some(x[0]), Some(x[1])], &[])
        }),
        row("FastGelu", "", &[&[0, 5, 6], &[6]], |b, x| {
            contrib(b, "FastGelu", &[Some(x[0]), Some(x[1])], &[])
        }),
        row("QuickGelu", "", &[IMAGE], |b, x| contrib(b, "QuickGelu", &[Some(x[0])], &[])),
        row("FusedMatMul", "transposed, α", &[&[0, 5, 3], &[0, 4, 3]], |b, x| {
            let attrs = [("transB", Attr::Int(1)), ("alpha", Attr::Float(0.5))];
            contrib(b, "FusedMatMul", &[Some(x[0]), Some(x[1])], &attrs)
        }),
        row("FusedConv", "tanh, residual", &[IMAGE, &[0, 3, 3, 4]], |b, x| {
            let w: Vec<f32> = (0..54).map(|i| crate::support::noise(i, 7)).collect();
            let w = b.constant(Tensor::floats(&[3, 2, 3, 3], w).unwrap());
            let attrs = [("activation", Attr::Text("Tanh".into())), ("kernel_shape", ints(&[3, 3]))];
            contrib(b, "FusedConv", &[Some(x[0]), Some(w), Some(vector(b, 3, 1)), Some(x[1])], &attrs)
        }),
        row("FusedGemm", "", &[&[0, 5], &[5, 4]], |b, x| {
            let attrs = [("activation", Attr::Text("Sigmoid".into()))];
            contrib(b, "FusedGemm", &[Some(x[0]), Some(x[1]), Some(vector(b, 4, 1))], &attrs)
        }),
        row("SkipLayerNormalization", "", &[&[0, 3, 7], &[0, 3, 7]], |b, x| {
            let inputs =
                [Some(x[0]), Some(x[1]), Some(vector(b, 7, 1)), Some(vector(b, 7, 2)), Some(vector(b, 7, 3))];
            contrib(b, "SkipLayerNormalization", &inputs, &[("epsilon", Attr::Float(1e-3))])
        }),
        row("MultiHeadAttention", "", &[&[0, 3, 8], &[0, 5, 8], &[0, 5, 8]], |b, x| {
            let inputs = [Some(x[0]), Some(x[1]), Some(x[2]), Some(vector(b, 24, 1))];
            contrib(b, "MultiHeadAttention", &inputs, &[("num_heads", Attr::Int(2))])
        }),
    ]
}
