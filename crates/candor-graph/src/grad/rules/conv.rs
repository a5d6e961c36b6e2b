//! Convolution: its gradients are again convolutions.

use super::place::Window;
use crate::builder::Expr;
use crate::error::{GraphError, Result};
use crate::grad::Sweep;
use crate::graph::{Attr, Node};

/// conv: dx[i] = Σ dy[o]·W[k] over all o, k with o·stride + k·dilation − pad = i; dW[k] = Σ dy[o]·x[i] over these; db = Σ dy
pub(crate) fn conv(s: &mut Sweep, n: &Node) -> Result<()> {
    let dy = s.full_dy(n)?;
    if s.needs(n, 0) {
        let dx = input_gradient(s, n, dy)?;
        s.add_grad(n, 0, dx)?;
    }
    if s.needs(n, 1) {
        let dw = kernel_gradient(n, s.input(n, 0)?, dy, s.input(n, 1)?)?;
        s.add_grad(n, 1, dw)?;
    }
    bias_gradient(s, n, dy)
}

fn input_gradient<'b>(s: &Sweep<'b>, n: &Node, dy: Expr<'b>) -> Result<Expr<'b>> {
    let (x, weight) = (s.input(n, 0)?.shape()?, s.input(n, 1)?);
    let group = n.int("group", 1);
    let one_stride = n.ints("strides").is_none_or(|v| v.iter().all(|&s| s == 1));
    if x.len() != 4 {
        return transposed(s, n);
    }
    let window = Window::of(n, &x, &dy.shape()?)?;
    if one_stride {
        Ok(stride_one(dy, rotated(weight, group)?, group, &window))
    } else if (group > 1 || window.kernel == [1, 1]) && window.strides[0] == window.strides[1] {
        sub_pixel(dy, rotated(weight, group)?, group, &window)
    } else {
        transposed(s, n)
    }
}

/// dW[m, c, k] = Σ small[m, o]·large[c, o·stride + k·dilation − pad] over images and positions o, in the shape of `weight`: a
/// convolution of `large` with `small` as its kernel, in which images act as channels and strides and dilations are exchanged. `large`
/// has the shape of a convolution's input (N×g·C×…) and `small` that of its output (N×g·M×…).
fn kernel_gradient<'b>(n: &Node, large: Expr<'b>, small: Expr<'b>, weight: Expr<'b>) -> Result<Expr<'b>> {
    let (input, output, kernel) = (spatial(n, large)?, spatial(n, small)?, spatial(n, weight)?);
    let (axes, group) = (input.len(), n.int("group", 1));
    let (strides, dilations, mut pads) = attributes(n, axes);
    for a in 0..axes {
        let reach = strides[a] * (output[a] - 1) + dilations[a] * (kernel[a] - 1) + 1;
        pads[a + axes] = reach - input[a] - pads[a];
    }
    let mut exchange: Vec<i64> = (0..axes as i64 + 2).collect();
    exchange.swap(0, 1);
    let images = if group == 1 {
        large.transpose(&exchange)
    } else {
        let channels = weight.shape()?[1].fixed().map_or(-1, |c| c as i64);
        let last: Vec<i64> = (3..axes as i64 + 3).collect();
        let grouped = large.reshape(&[&[-1, group, channels], &input[..]].concat());
        let exchanged = grouped.transpose(&[&[2, 1, 0], &last[..]].concat());
        exchanged.reshape(&[&[channels, -1], &input[..]].concat())
    };
    let found = convolve(images, small.transpose(&exchange), group, [&output, &dilations, &strides], &pads);
    Ok(found.transpose(&exchange))
}

/// db: dy summed over images and positions.
fn bias_gradient<'b>(s: &mut Sweep<'b>, n: &Node, dy: Expr<'b>) -> Result<()> {
    if !s.needs(n, 2) {
        return Ok(());
    }
    let places: Vec<i64> = (2..dy.shape()?.len() as i64).collect();
    s.add_grad(n, 2, dy.sum(&places, false).sum(&[0], false))
}

/// Sizes of the axes after the first two.
fn spatial(n: &Node, x: Expr<'_>) -> Result<Vec<i64>> {
    let sizes: Option<Vec<i64>> = x.shape()?.iter().skip(2).map(|d| d.fixed().map(|n| n as i64)).collect();
    sizes.ok_or_else(|| GraphError::unknown_shape(n, "its spatial sizes are not known"))
}

/// Strides, dilations and pads of a node with `axes` spatial axes.
fn attributes(n: &Node, axes: usize) -> (Vec<i64>, Vec<i64>, Vec<i64>) {
    let ints = |name: &str, default: i64, count: usize| {
        n.ints(name).map_or_else(|| vec![default; count], <[i64]>::to_vec)
    };
    (ints("strides", 1, axes), ints("dilations", 1, axes), ints("pads", 0, 2 * axes))
}

/// W with input and output channels exchanged within each group and turned by 180°: C×M/g×kh×kw.
fn rotated(weight: Expr<'_>, group: i64) -> Result<Expr<'_>> {
    let sizes: Option<Vec<i64>> = weight.shape()?.iter().map(|d| d.fixed().map(|n| n as i64)).collect();
    let sizes = sizes.unwrap_or_default();
    let [filters, channels, kh, kw] = sizes[..] else {
        return Err(GraphError::Malformed("a Conv weight must be M×C×kh×kw".into()));
    };
    let exchanged =
        if group == 1 {
            weight.transpose(&[1, 0, 2, 3])
        } else {
            weight
                .reshape(&[group, filters / group, channels, kh, kw])
                .transpose(&[0, 2, 1, 3, 4])
                .reshape(&[group * channels, filters / group, kh, kw])
        };
    let axes: Vec<i64> =
        [(2, kh), (3, kw)].into_iter().filter(|(_, k)| *k > 1).map(|(axis, _)| axis).collect();
    if axes.is_empty() {
        return Ok(exchanged);
    }
    let count = axes.len();
    Ok(exchanged.slice(&axes, &vec![-1; count], &vec![i64::from(i32::MIN); count], &vec![-1; count]))
}

/// A convolution over any number of spatial axes, with padding that may be negative: all begins, then all ends.
fn convolve<'b>(
    x: Expr<'b>,
    weight: Expr<'b>,
    group: i64,
    [kernel, strides, dilations]: [&[i64]; 3],
    pads: &[i64],
) -> Expr<'b> {
    let (begins, ends) = pads.split_at(kernel.len());
    let cut = |pads: &[i64]| [0, 0].into_iter().chain(pads.iter().map(|p| *p.min(&0))).collect::<Vec<_>>();
    let x = x.pad(&[cut(begins), cut(ends)].concat(), 0.0);
    x.op(
        "Conv",
        &[weight],
        &[
            ("group", Attr::Int(group)),
            ("kernel_shape", Attr::Ints(kernel.to_vec())),
            ("dilations", Attr::Ints(dilations.to_vec())),
            ("strides", Attr::Ints(strides.to_vec())),
            ("pads", Attr::Ints(pads.iter().map(|p| *p.max(&0)).collect())),
        ],
    )
}

/// Stride 1: a convolution of dy with the rotated weight, as fast as the forward one.
fn stride_one<'b>(dy: Expr<'b>, rotated: Expr<'b>, group: i64, w: &Window) -> Expr<'b> {
    let mut pads = [0; 4];
    for axis in 0..2 {
        let reach = w.dilations[axis] * (w.kernel[axis] - 1);
        pads[axis] = reach - w.begin[axis];
        pads[axis + 2] = w.input[axis] - w.output[axis] + w.begin[axis];
    }
    convolve(dy, rotated, group, [&w.kernel, &[1, 1], &w.dilations], &pads)
}

/// Equal strides: for each offset inside a stride×stride cell, a small stride-1 convolution with the taps that reach it; the results
/// are interleaved.
fn sub_pixel<'b>(dy: Expr<'b>, rotated: Expr<'b>, group: i64, w: &Window) -> Result<Expr<'b>> {
    let mut phases = vec![];
    for row in 0..w.strides[0] {
        for column in 0..w.strides[1] {
            let taps = [Taps::reaching(w, 0, row), Taps::reaching(w, 1, column)];
            let [Some(vertical), Some(horizontal)] = taps else {
                phases.push(None);
                continue;
            };
            // Tap k of the kernel is at kernel − 1 − k in the rotated one.
            let axis = |t: &Taps, k: i64| (k - 1 - t.last(), k - t.first, t.step);
            let ((t0, t1, ts), (l0, l1, ls)) = (axis(&vertical, w.kernel[0]), axis(&horizontal, w.kernel[1]));
            let part = rotated.slice(&[2, 3], &[t0, l0], &[t1, l1], &[ts, ls]);
            let pads = [vertical.before, horizontal.before, vertical.after, horizontal.after];
            let kernel = [vertical.count, horizontal.count];
            let dilations = [vertical.dilation, horizontal.dilation];
            phases.push(Some(convolve(dy, part, group, [&kernel, &[1, 1], &dilations], &pads)));
        }
    }
    w.assemble(phases)
}

/// The taps of a kernel, along one axis, that reach one offset inside a stride's cell, as a stride-1 convolution.
struct Taps {
    /// First tap, distance between taps in the kernel, and their number.
    first: i64,
    step: i64,
    count: i64,
    /// Distance between the elements of dy that these taps read.
    dilation: i64,
    before: i64,
    after: i64,
}

impl Taps {
    fn reaching(w: &Window, axis: usize, offset: i64) -> Option<Self> {
        let (stride, dilation, kernel) = (w.strides[axis], w.dilations[axis], w.kernel[axis]);
        let taps: Vec<i64> = (0..kernel).filter(|k| (k * dilation) % stride == offset).collect();
        let (&first, &last) = (taps.first()?, taps.last()?);
        let step = taps.get(1).map_or(1, |second| second - first);
        // Tap k reads dy[cell − shift(k)]; shifts grow by `spacing` from tap to tap.
        let shift = |k: i64| (k * dilation - offset) / stride;
        let spacing = step * dilation / stride;
        let (cell, cells) = (w.first_cell(axis), w.cells(axis));
        Some(Taps {
            first,
            step,
            count: taps.len() as i64,
            dilation: spacing.max(1),
            before: shift(last) - cell,
            after: cell - shift(first) + cells - w.output[axis],
        })
    }

    fn last(&self) -> i64 {
        self.first + (self.count - 1) * self.step
    }
}

/// Any strides: ConvTranspose, with the elements that the forward pass rounded away as output padding.
fn transposed<'b>(s: &Sweep<'b>, n: &Node) -> Result<Expr<'b>> {
    let (weight, dy) = (s.input(n, 1)?, s.full_dy(n)?);
    let (input, output, kernel) = (spatial(n, s.input(n, 0)?)?, spatial(n, dy)?, spatial(n, weight)?);
    let axes = input.len();
    let (strides, dilations, pads) = attributes(n, axes);
    let rest = |a: usize| {
        let (stride, dilation) = (strides[a] * (output[a] - 1), dilations[a] * (kernel[a] - 1));
        input[a] - (stride + dilation + 1 - pads[a] - pads[a + axes])
    };
    let rest = (0..axes).map(rest).collect();
    Ok(dy.op(
        "ConvTranspose",
        &[weight],
        &[
            ("group", Attr::Int(n.int("group", 1))),
            ("kernel_shape", Attr::Ints(kernel)),
            ("strides", Attr::Ints(strides)),
            ("dilations", Attr::Ints(dilations)),
            ("pads", Attr::Ints(pads)),
            ("output_padding", Attr::Ints(rest)),
        ],
    ))
}

/// transposed conv: dx is the conv of dy with the same weight, strides, pads and dilations; dW is that of this conv, with x as its gradient; db = Σ dy
pub(crate) fn conv_transpose(s: &mut Sweep, n: &Node) -> Result<()> {
    let dy = s.full_dy(n)?;
    if s.needs(n, 0) {
        let same = ["dilations", "group", "kernel_shape", "pads", "strides"];
        let attrs: Vec<(&str, Attr)> =
            same.into_iter().filter_map(|name| Some((name, n.attrs.get(name)?.clone()))).collect();
        s.add_grad(n, 0, dy.op("Conv", &[s.input(n, 1)?], &attrs))?;
    }
    if s.needs(n, 1) {
        let dw = kernel_gradient(n, dy, s.input(n, 0)?, s.input(n, 1)?)?;
        s.add_grad(n, 1, dw)?;
    }
    bias_gradient(s, n, dy)
}
