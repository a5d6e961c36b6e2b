//! Puts gradients of strided windows back on the input's grid.

use crate::builder::{Builder, Expr};
use crate::error::{GraphError, Result};
use crate::graph::Node;
use crate::shape::Dim;
use crate::tensor::Tensor;

/// A window over two spatial axes with explicit attributes, and the sizes before and after it.
pub(crate) struct Window {
    pub kernel: [i64; 2],
    pub strides: [i64; 2],
    pub dilations: [i64; 2],
    /// Padding before, by axis.
    pub begin: [i64; 2],
    /// Padding after, by axis.
    pub end: [i64; 2],
    pub input: [i64; 2],
    pub output: [i64; 2],
}

impl Window {
    /// Reads the window of a Conv or pooling node, whose attributes the pass `windows` made explicit.
    pub(crate) fn of(n: &Node, input: &[Dim], output: &[Dim]) -> Result<Self> {
        let pair = |name: &str, default: i64| -> Option<[i64; 2]> {
            n.ints(name).map_or(Some([default; 2]), |v| v.try_into().ok())
        };
        let sizes = |shape: &[Dim]| match shape {
            [_, _, Dim::Fixed(h), Dim::Fixed(w)] => Some([*h as i64, *w as i64]),
            _ => None,
        };
        let read = || {
            let pads: [i64; 4] = n.ints("pads").map_or(Some([0; 4]), |v| v.try_into().ok())?;
            Some(Window {
                kernel: pair("kernel_shape", 1)?,
                strides: pair("strides", 1)?,
                dilations: pair("dilations", 1)?,
                begin: [pads[0], pads[1]],
                end: [pads[2], pads[3]],
                input: sizes(input)?,
                output: sizes(output)?,
            })
        };
        let window = read().ok_or_else(|| {
            GraphError::no_gradient(n, "only windows over two spatial axes of known size are supported")
        })?;
        check_places(n, "strides", window.strides)?;
        Ok(window)
    }

    /// Refuses a window with too many elements, for each of which nodes are written.
    pub(crate) fn check_kernel(&self, n: &Node) -> Result<()> {
        check_places(n, "a kernel", self.kernel)
    }

    /// Index of the first coarse cell (of `stride` padded-input elements) that holds input elements, by axis.
    pub(crate) fn first_cell(&self, axis: usize) -> i64 {
        self.begin[axis] / self.strides[axis]
    }

    /// Number of coarse cells that hold input elements.
    pub(crate) fn cells(&self, axis: usize) -> i64 {
        let s = self.strides[axis];
        (self.input[axis] + self.begin[axis] + s - 1) / s - self.first_cell(axis)
    }

    /// Joins the phases (one N×C×cells value for each offset inside a cell, row-major; `None` is zero) and crops to the input's extent.
    pub(crate) fn assemble<'b>(&self, phases: Vec<Option<Expr<'b>>>) -> Result<Expr<'b>> {
        let Some(any) = phases.iter().flatten().next().copied() else {
            return Err(GraphError::Malformed("a strided window reaches no input element".into()));
        };
        let mut pads = [0; 8];
        for axis in 0..2 {
            let before = self.begin[axis] - self.first_cell(axis) * self.strides[axis];
            pads[2 + axis] = -before;
            pads[6 + axis] = self.input[axis] + before - self.cells(axis) * self.strides[axis];
        }
        let [rows, columns] = self.strides;
        let cells = [self.cells(0), self.cells(1)];
        if rows * columns == 1 {
            return Ok(any.pad(&pads, 0.0));
        }
        let width = cells[1] * columns;
        let small = width <= MAX_PERMUTED && rows * self.input[1] <= MAX_PERMUTED * MAX_PERMUTED;
        if let ([(phase, only)], true) = (&present(&phases)[..], small) {
            // One phase among zeros: the product writes the zeros, too.
            let (row, column) = (*phase as i64 / columns, *phase as i64 % columns);
            let matrix = self.scatter(rows, row, pads[3], &cells, &[column])?;
            let spread = only.op("MatMul", &[any.builder().constant(matrix)], &[]);
            (pads[3], pads[7]) = (0, 0);
            return Ok(spread.reshape(&[0, 0, cells[0] * rows, self.input[1]]).pad(&pads, 0.0));
        }
        // Row by row: the phases of a row of cells are concatenated, which copies whole rows.
        let in_rows = side_by_side(any, &phases, cells[1]).reshape(&[0, 0, cells[0] * rows, width]);
        if columns == 1 {
            return Ok(in_rows.pad(&pads, 0.0));
        }
        if width > MAX_PERMUTED {
            let channels = any.shape()?[1].fixed().map_or(-1, |n| n as i64);
            let split = in_rows.reshape(&[-1, channels, cells[0] * rows, columns, cells[1]]);
            let laced = split.transpose(&[0, 1, 2, 4, 3]).reshape(&[-1, channels, cells[0] * rows, width]);
            return Ok(laced.pad(&pads, 0.0));
        }
        let all: Vec<i64> = (0..columns).collect();
        let laced =
            in_rows.op("MatMul", &[any.builder().constant(self.scatter(1, 0, pads[3], &cells, &all)?)], &[]);
        (pads[3], pads[7]) = (0, 0);
        Ok(laced.pad(&pads, 0.0))
    }

    /// The 0/1 matrix that moves the columns of one row from "phase after phase" to their positions in the input: element
    /// `cell` of phase `p` goes to column `cell · stride + p + shift` of row `row` of `rows`. A matrix product does this several times
    /// faster than a transposition that moves single elements.
    fn scatter(&self, rows: i64, row: i64, shift: i64, cells: &[i64; 2], phases: &[i64]) -> Result<Tensor> {
        let width = self.input[1];
        let (from, to_all) = (phases.len() as i64 * cells[1], rows * width);
        let mut matrix = vec![0.0; (from * to_all) as usize];
        for (i, &p) in phases.iter().enumerate() {
            for cell in 0..cells[1] {
                let to = cell * self.strides[1] + p + shift;
                if (0..width).contains(&to) {
                    matrix[((i as i64 * cells[1] + cell) * to_all + row * width + to) as usize] = 1.0;
                }
            }
        }
        Tensor::floats(&[from as usize, to_all as usize], matrix)
    }
}

/// Maximum number of elements of a window: 128 × 128.
const MOST_PLACES: i64 = 1 << 14;

fn check_places(n: &Node, what: &str, [rows, columns]: [i64; 2]) -> Result<()> {
    if rows.saturating_mul(columns) > MOST_PLACES {
        let reason =
            format!("it has {what} of {rows} × {columns}; at most {MOST_PLACES} places are supported");
        return Err(GraphError::too_large(n, reason));
    }
    Ok(())
}

/// The phases that are not zero, with their numbers.
fn present<'b>(phases: &[Option<Expr<'b>>]) -> Vec<(usize, Expr<'b>)> {
    phases.iter().enumerate().filter_map(|(i, phase)| Some((i, (*phase)?))).collect()
}

/// Widest row that is rearranged by a matrix product: its cost grows with the square.
const MAX_PERMUTED: i64 = 256;

/// The phases side by side along the last axis, zeros where there is none. `any` is one of them.
fn side_by_side<'b>(any: Expr<'b>, phases: &[Option<Expr<'b>>], width: i64) -> Expr<'b> {
    let present = phases.iter().flatten().count();
    if let ([Some(first), ..], 1) = (phases, present) {
        return first.pad(&[0, 0, 0, 0, 0, 0, 0, width * (phases.len() as i64 - 1)], 0.0);
    }
    let zero = if present < phases.len() { Some(any * 0.0) } else { None };
    let parts: Vec<Expr> = phases.iter().map(|p| p.or(zero).unwrap_or(any)).collect();
    any.builder().concat(&parts, 3)
}

/// Inserts `step − 1` zeros after each element along an axis.
pub(crate) fn interleave_axis<'b>(x: Expr<'b>, axis: usize, rank: usize, step: i64) -> Expr<'b> {
    if step == 1 {
        return x;
    }
    let b: &'b Builder = x.builder();
    let mut pads = vec![0; 2 * (rank + 1)];
    pads[rank + 1 + axis + 1] = step - 1;
    // 0 copies a dimension, −1 merges the element with its zeros.
    let mut merged = vec![0; rank];
    merged[axis] = -1;
    let spread = x.op("Unsqueeze", &[b.ints(&[axis as i64 + 1])], &[]).pad(&pads, 0.0);
    if axis + 1 == rank {
        return spread.reshape(&merged);
    }
    // After the merged axis, 0 would copy the wrong dimension: name the sizes, which are fixed there.
    let Ok(shape) = x.shape() else { return spread.reshape(&merged) };
    for (i, dim) in shape.iter().enumerate().skip(axis + 1) {
        merged[i] = dim.fixed().map_or(-1, |n| n as i64);
    }
    spread.reshape(&merged)
}
