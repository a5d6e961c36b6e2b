//! Reductions, extrema, sums along axes and Einstein sums.

use candor_graph::graph::Attr;

use crate::{Row, row};

const IMAGE: &[usize] = &[0, 2, 5, 6];

pub fn rows() -> Vec<Row> {
    let mut rows = vec![];
    for op in ["ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp"] {
        rows.push(row(op, "spatial", &[IMAGE], move |b, x| x[0].op(op, &[b.ints(&[2, 3])], &[])));
        rows.push(row(op, "channels, dropped", &[IMAGE], move |b, x| {
            x[0].op(op, &[b.ints(&[-3])], &[("keepdims", Attr::Int(0))]) * 2.0
        }));
    }
    for op in ["ReduceProd", "ReduceLogSum"] {
        let built = row(op, "last axis, dropped", &[&[0, 3, 4]], move |b, x| {
            x[0].op(op, &[b.ints(&[2])], &[("keepdims", Attr::Int(0))])
        });
        rows.push(Row { offset: 1.0, ..built });
    }
    let einsum = |equation: &str| ("equation", Attr::Text(equation.into()));
    rows.extend([
        row("Max", "two", &[IMAGE, IMAGE], |_, x| x[0].op("Max", &[x[1] + 0.008], &[])),
        row("Max", "three, broadcast", &[IMAGE, &[2, 1, 1]], |b, x| {
            x[0].op("Max", &[x[1] + 0.008, b.scalar(0.2)], &[])
        }),
        row("Min", "two", &[IMAGE, IMAGE], |_, x| x[0].op("Min", &[x[1] + 0.008], &[])),
        row("Mean", "three", &[IMAGE, IMAGE, &[2, 1, 1]], |_, x| x[0].op("Mean", &[x[1], x[2]], &[])),
        row("CumSum", "", &[IMAGE], |b, x| x[0].op("CumSum", &[b.ints(&[3]).reshape(&[])], &[])),
        row("CumSum", "reverse, exclusive", &[IMAGE], |b, x| {
            let attrs = [("reverse", Attr::Int(1)), ("exclusive", Attr::Int(1))];
            x[0].op("CumSum", &[b.ints(&[2]).reshape(&[])], &attrs)
        }),
        row("Einsum", "attention scores", &[&[0, 3, 4, 5], &[0, 6, 4, 5]], move |_, x| {
            x[0].op("Einsum", &[x[1]], &[einsum("bqhd,bkhd->bhqk")])
        }),
        row("Einsum", "with a matrix", &[&[0, 3, 4], &[4, 5]], move |_, x| {
            x[0].op("Einsum", &[x[1]], &[einsum("bij, jk -> bik")])
        }),
        row("Einsum", "summed alone", &[&[0, 3, 4]], move |_, x| {
            x[0].op("Einsum", &[], &[einsum("bij->bj")])
        }),
    ]);
    rows
}
