//! Convolution: its input gradient is again a convolution.

use super::place::Window;
use crate::builder::Expr;
use crate::error::{GraphError, Result};
use crate::grad::Sweep;
use crate::graph::{Attr, Node};

/// conv: dx[i] = Σ dy[o]·W[k] over all o, k with o·stride + k·dilation − pad = i
pub(crate) fn conv(s: &mut Sweep, n: &Node) -> Result<()> {
    if s.needs(n, 1) || s.needs(n, 2) {
        return Err(GraphError::no_gradient(
            n,
            "its weight or bias depends on the input, which is not supported",
        ));
    }
    let (x, weight, dy) = (s.input(n, 0)?.shape()?, s.input(n, 1)?, s.full_dy(n)?);
    let group = n.int("group", 1);
    let one_stride = n.ints("strides").is_none_or(|v| v.iter().all(|&s| s == 1));
    let dx = if x.len() != 4 {
        transposed(s, n)?
    } else {
        let window = Window::of(n, &x, &dy.shape()?)?;
        if one_stride {
            stride_one(dy, rotated(weight, group)?, group, &window)
        } else if (group > 1 || window.kernel == [1, 1]) && window.strides[0] == window.strides[1] {
            sub_pixel(dy, rotated(weight, group)?, group, &window)?
        } else {
            transposed(s, n)?
        }
    };
    s.add_grad(n, 0, dx)
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

/// A stride-1 convolution with padding that may be negative.
fn convolve<'b>(
    x: Expr<'b>,
    weight: Expr<'b>,
    group: i64,
    kernel: [i64; 2],
    dilations: [i64; 2],
    pads: [i64; 4],
) -> Expr<'b> {
    let cut = |p: i64| p.min(0);
    let [top, left, bottom, right] = pads;
    let x = x.pad(&[0, 0, cut(top), cut(left), 0, 0, cut(bottom), cut(right)], 0.0);
    x.op(
        "Conv",
        &[weight],
        &[
            ("group", Attr::Int(group)),
            ("kernel_shape", Attr::Ints(kernel.to_vec())),
            ("dilations", Attr::Ints(dilations.to_vec())),
            ("strides", Attr::Ints(vec![1, 1])),
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
    convolve(dy, rotated, group, w.kernel, w.dilations, pads)
}

/// Equal strides: for each offset inside a stride×stride cell a small stride-1 convolution with the taps that can
/// reach it, then interleaved.
fn sub_pixel<'b>(dy: Expr<'b>, rotated: Expr<'b>, group: i64, w: &Window) -> Result<Expr<'b>> {
    let mut phases = vec![];
    for row in 0..w.strides[0] {
        for column in 0..w.strides[1] {
            let taps = [Taps::reaching(w, 0, row), Taps::reaching(w, 1, column)];
            let [Some(vertical), Some(horizontal)] = taps else {
                phases.push(None);
                continue;
            };
            // Tap k of the kernel stands at kernel − 1 − k of the rotated one.
            let axis = |t: &Taps, k: i64| (k - 1 - t.last(), k - t.first, t.step);
            let ((t0, t1, ts), (l0, l1, ls)) = (axis(&vertical, w.kernel[0]), axis(&horizontal, w.kernel[1]));
            let part = rotated.slice(&[2, 3], &[t0, l0], &[t1, l1], &[ts, ls]);
            let pads = [vertical.before, horizontal.before, vertical.after, horizontal.after];
            let kernel = [vertical.count, horizontal.count];
            phases.push(Some(convolve(
                dy,
                part,
                group,
                kernel,
                [vertical.dilation, horizontal.dilation],
                pads,
            )));
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
    /// Distance between the elements of dy that they meet.
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
        // Tap k meets dy[cell − shift(k)]; shifts grow by `spacing` from tap to tap.
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

/// Any strides: ConvTranspose with what the forward pass's rounding dropped as output padding.
fn transposed<'b>(s: &Sweep<'b>, n: &Node) -> Result<Expr<'b>> {
    let (x, weight, dy) = (s.input(n, 0)?.shape()?, s.input(n, 1)?, s.full_dy(n)?);
    let (kernel, out) = (weight.shape()?, dy.shape()?);
    let unknown = || GraphError::unknown_shape(n, "its spatial sizes are not known");
    let axes = x.len() - 2;
    let ints = |name: &str, default: i64, count: usize| {
        n.ints(name).map_or_else(|| vec![default; count], <[i64]>::to_vec)
    };
    let (strides, dilations, pads) =
        (ints("strides", 1, axes), ints("dilations", 1, axes), ints("pads", 0, 2 * axes));
    let mut rest = vec![];
    for a in 0..axes {
        let size = |shape: &[crate::shape::Dim]| shape[a + 2].fixed().map(|n| n as i64).ok_or_else(unknown);
        let (i, o, k) = (size(&x)?, size(&out)?, size(&kernel)?);
        rest.push(i - (strides[a] * (o - 1) + dilations[a] * (k - 1) + 1 - pads[a] - pads[a + axes]));
    }
    Ok(dy.op(
        "ConvTranspose",
        &[weight],
        &[
            ("group", Attr::Int(n.int("group", 1))),
            ("kernel_shape", Attr::Ints(kernel[2..].iter().map(|d| d.fixed().unwrap_or(1) as i64).collect())),
            ("strides", Attr::Ints(strides)),
            ("dilations", Attr::Ints(dilations)),
            ("pads", Attr::Ints(pads)),
            ("output_padding", Attr::Ints(rest)),
        ],
    ))
}

/// transposed conv: dx is the conv of dy with the same weight, strides, pads and dilations
pub(crate) fn conv_transpose(s: &mut Sweep, n: &Node) -> Result<()> {
    if s.needs(n, 1) || s.needs(n, 2) {
        return Err(GraphError::no_gradient(
            n,
            "its weight or bias depends on the input, which is not supported",
        ));
    }
    let same = ["dilations", "group", "kernel_shape", "pads", "strides"];
    let attrs: Vec<(&str, Attr)> =
        same.into_iter().filter_map(|name| Some((name, n.attrs.get(name)?.clone()))).collect();
    let dx = s.full_dy(n)?.op("Conv", &[s.input(n, 1)?], &attrs);
    s.add_grad(n, 0, dx)
}
