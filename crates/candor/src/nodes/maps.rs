//! Makes maps from values, as nodes: the equivalents of [`crate::methods::attribution`] and [`crate::map`].

use candor_graph::builder::Expr;
use candor_graph::error::Result;
use candor_graph::tensor::Tensor;

use crate::map::{Interpolation, Map};
use crate::methods::attribution::Channels;

/// N×C×H×W → N×1×H×W: see [`crate::methods::attribution::Attribution::map`].
pub fn over_channels(x: Expr<'_>, channels: Channels) -> Expr<'_> {
    match channels {
        Channels::Sum => x.sum(&[1], true),
        Channels::MaxAbs => {
            let axes = x.builder().ints(&[1]);
            x.op("Abs", &[], &[]).op("ReduceMax", &[axes], &[])
        }
    }
}

/// N×C×h×w → N×C×H×W: rows · map · columns, with the weights of [`Map::resize`].
pub fn resized<'b>(map: Expr<'b>, size: [usize; 2], interpolation: Interpolation) -> Result<Expr<'b>> {
    let shape = map.shape()?;
    let from = [2, 3].map(|i| shape.get(i).and_then(|d| d.fixed()).unwrap_or(1));
    if from == size {
        return Ok(map);
    }
    let weights = |to: usize, from: usize| {
        // Column k is the result for a unit vector k.
        let mut matrix = vec![0.0; to * from];
        for k in 0..from {
            let mut point = Map::zeros(1, from);
            point.data[k] = 1.0;
            for (i, v) in point.resize(1, to, interpolation).data.into_iter().enumerate() {
                matrix[i * from + k] = v;
            }
        }
        matrix
    };
    rows_and_columns(map, Some(&weights(size[0], from[0])), Some(&weights(size[1], from[1])))
}

/// N×C×h×w → N×C×H×W: rows · map · columnsᵀ. `rows`: H×h, `columns`: W×w, row-major; a side without a matrix is unchanged.
pub fn rows_and_columns<'b>(
    map: Expr<'b>,
    rows: Option<&[f32]>,
    columns: Option<&[f32]>,
) -> Result<Expr<'b>> {
    let (b, shape) = (map.builder(), map.shape()?);
    let matrix = |axis: usize, values: &[f32]| {
        let from = shape.get(axis).and_then(|d| d.fixed()).unwrap_or(1);
        Tensor::floats(&[values.len() / from, from], values.to_vec()).map(|t| b.constant(t))
    };
    let wide = match columns {
        Some(columns) => map.op("MatMul", &[matrix(3, columns)?.transpose(&[1, 0])], &[]),
        None => map,
    };
    Ok(match rows {
        Some(rows) => matrix(2, rows)?.op("MatMul", &[wide], &[]),
        None => wide,
    })
}
