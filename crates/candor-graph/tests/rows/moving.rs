//! Operators that select, insert, repeat or rearrange elements; transposed convolution.

use candor_graph::builder::{Builder, Expr};
use candor_graph::graph::{Attr, Node};
use candor_graph::tensor::{DataType, Tensor, TensorData};

use crate::{Row, ints, row, support};

const IMAGE: &[usize] = &[0, 2, 5, 6];

pub fn rows() -> Vec<Row> {
    let axis = |a: i64| [("axis", Attr::Int(a))];
    let mut rows = vec![
        row("Expand", "", &[&[0, 2, 1, 6]], |b, x| x[0].op("Expand", &[b.ints(&[1, 1, 5, 1])], &[]) * 2.0),
        row("Expand", "more axes", &[&[2, 1]], |b, x| x[0].op("Expand", &[b.ints(&[3, 2, 4])], &[])),
        row("Tile", "", &[&[0, 2, 3]], |b, x| x[0].op("Tile", &[b.ints(&[1, 3, 2])], &[])),
        row("Where", "constant condition", &[IMAGE, &[2, 1, 1]], |b, x| {
            let pattern = (0..30).map(|i| i % 3 == 0).collect();
            let condition = b.constant(Tensor::new(vec![5, 6], TensorData::Bool(pattern)).unwrap());
            condition.op("Where", &[x[0], x[1]], &[])
        }),
        row("Where", "computed condition", &[IMAGE, IMAGE], |b, x| {
            x[0].op("Greater", &[b.scalar(0.0)], &[]).op("Where", &[x[0] * 3.0, x[1]], &[])
        }),
        row("Split", "in two", &[&[0, 2, 6]], |b, x| {
            let parts = split(b, x[0], &[2, 4], 2);
            b.concat(&[parts[1] * 2.0, parts[0]], 2)
        }),
        row("Split", "one part unused", &[&[0, 6, 2]], |b, x| split(b, x[0], &[1, 2, 3], 1)[1] * 3.0),
        row("Split", "equal parts, not named", &[&[0, 7, 2]], |b, x| {
            let count = [("axis", Attr::Int(1)), ("num_outputs", Attr::Int(3))];
            let parts = several(b, "Split", &[x[0]], 3, &count);
            b.concat(&[parts[2] * 3.0, parts[0]], 1)
        }),
        row("Gather", "one index", &[IMAGE], move |b, x| {
            let index = b.constant(Tensor::new(vec![], TensorData::Int64(vec![-2])).unwrap());
            x[0].op("Gather", &[index], &axis(2)) * 2.0
        }),
        row("Gather", "a range", &[IMAGE], move |b, x| x[0].op("Gather", &[b.ints(&[1, 2, 3])], &axis(3))),
        row("Gather", "another order", &[IMAGE], move |b, x| {
            x[0].op("Gather", &[b.ints(&[3, 0, 2, 1, 4])], &axis(2))
        }),
        row("Gather", "some twice, some never", &[IMAGE], move |b, x| {
            x[0].op("Gather", &[b.ints(&[5, 0, 5, -1, 2])], &axis(-1))
        }),
        row("Gather", "a matrix of indices", &[&[4, 3]], move |b, x| {
            x[0].op("Gather", &[b.ints(&[0, 3, 1, 1, 0, 2]).reshape(&[2, 3])], &axis(0))
        }),
        row("Gather", "computed indices", &[&[5, 3], &[2]], move |_, x| {
            let index = (x[1] * 0.01).op("Cast", &[], &[("to", Attr::Int(7))]);
            x[0].op("Gather", &[index], &axis(0))
        }),
        row("GatherElements", "", &[&[3, 4]], move |b, x| {
            x[0].op("GatherElements", &[b.ints(&[0, 3, 1, 1, 0, 0]).reshape(&[3, 2])], &axis(1))
        }),
        row("GatherND", "", &[&[3, 4, 2]], |b, x| {
            x[0].op("GatherND", &[b.ints(&[0, 3, 2, 1, 0, 3]).reshape(&[3, 2])], &[])
        }),
        row("ScatterElements", "replaced", &[&[3, 4], &[3, 2]], move |b, x| {
            x[0].op("ScatterElements", &[b.ints(&[0, 3, 1, 2, 3, 0]).reshape(&[3, 2]), x[1]], &axis(1))
        }),
        row("ScatterND", "replaced", &[&[3, 4, 2], &[2, 2]], |b, x| {
            x[0].op("ScatterND", &[b.ints(&[0, 3, 2, 1]).reshape(&[2, 2]), x[1]], &[])
        }),
        row("ScatterND", "added", &[&[3, 4, 2], &[2, 2]], |b, x| {
            let add = ("reduction", Attr::Text("add".into()));
            x[0].op("ScatterND", &[b.ints(&[0, 3, 0, 3]).reshape(&[2, 2]), x[1]], &[add])
        }),
        row("TopK", "", &[&[0, 7]], |b, x| {
            several(b, "TopK", &[x[0], b.ints(&[3])], 2, &[("axis", Attr::Int(-1))])[0]
        }),
        row("Trilu", "upper", &[&[0, 4, 5]], |_, x| x[0].op("Trilu", &[], &[])),
        row("Trilu", "lower, from 1", &[&[0, 4, 5]], |b, x| {
            x[0].op("Trilu", &[b.ints(&[1]).reshape(&[])], &[("upper", Attr::Int(0))])
        }),
    ];
    for mode in ["DCR", "CRD"] {
        rows.push(row("DepthToSpace", mode, &[&[0, 8, 2, 3]], move |_, x| {
            x[0].op("DepthToSpace", &[], &[("blocksize", Attr::Int(2)), ("mode", Attr::Text(mode.into()))])
        }));
    }
    let s = |h, w| ("strides", ints(&[h, w]));
    let p = |a, b, c, d| ("pads", ints(&[a, b, c, d]));
    rows.extend([
        conv_transpose("stride 2", &[2, 3, 2, 2], vec![s(2, 2)]),
        conv_transpose(
            "pads, output padding",
            &[2, 3, 3, 3],
            vec![s(2, 2), p(1, 1, 1, 1), ("output_padding", ints(&[1, 1]))],
        ),
        conv_transpose(
            "groups, dilated",
            &[2, 2, 3, 2],
            vec![("group", Attr::Int(2)), ("dilations", ints(&[2, 1])), p(1, 0, 0, 1)],
        ),
    ]);
    rows
}

fn conv_transpose(case: &'static str, weight: &'static [usize], attrs: Vec<(&'static str, Attr)>) -> Row {
    row("ConvTranspose", case, &[IMAGE], move |b, x| {
        let values = (0..weight.iter().product()).map(|i| support::noise(i, 7)).collect();
        let w = b.constant(Tensor::floats(weight, values).unwrap());
        let mut attrs = attrs.clone();
        attrs.push(("kernel_shape", ints(&[weight[2] as i64, weight[3] as i64])));
        x[0].op("ConvTranspose", &[w], &attrs)
    })
}

fn split<'b>(b: &'b Builder, x: Expr<'b>, sizes: &[i64], axis: i64) -> Vec<Expr<'b>> {
    several(b, "Split", &[x, b.ints(sizes)], sizes.len(), &[("axis", Attr::Int(axis))])
}

/// A node of several outputs.
pub fn several<'b>(
    b: &'b Builder,
    op: &str,
    x: &[Expr<'b>],
    count: usize,
    attrs: &[(&str, Attr)],
) -> Vec<Expr<'b>> {
    let outputs: Vec<_> = b
        .with_mut(|g| (0..count).map(|i| g.add_value(&format!("{op}_{i}"), Some(DataType::Float))).collect());
    b.with_mut(|g| {
        g.nodes.push(Node {
            name: op.into(),
            op: op.into(),
            domain: String::new(),
            inputs: x.iter().map(|e| Some(e.id())).collect(),
            outputs: outputs.iter().copied().map(Some).collect(),
            attrs: attrs.iter().map(|(k, v)| (k.to_string(), v.clone())).collect(),
            origin: None,
        });
        candor_graph::shape::infer(g).unwrap();
    });
    outputs.into_iter().map(|id| b.value(id)).collect()
}
