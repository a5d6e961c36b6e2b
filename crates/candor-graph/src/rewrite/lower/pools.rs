//! Pools of p-norms, and space to depth.

use super::required;
use crate::builder::{Builder, Expr};
use crate::error::Result;
use crate::grad::rules::rearrange;
use crate::graph::{Attr, Node};
use crate::shape::Dim;

/// (Σ|x|ᵖ over windows)^(1/p); the sum is an average times its count
pub(super) fn lp_pool<'b>(b: &'b Builder, n: &Node) -> Result<Option<Vec<Expr<'b>>>> {
    let x = required(b, n, 0)?;
    let kernel = n.ints("kernel_shape").unwrap_or_default().to_vec();
    let mut window: Vec<(&str, Attr)> = vec![("count_include_pad", Attr::Int(1))];
    for name in ["kernel_shape", "pads", "strides", "dilations", "auto_pad"] {
        window.extend(n.attrs.get(name).map(|value| (name, value.clone())));
    }
    if n.int("ceil_mode", 0) != 0 {
        return Ok(None);
    }
    let count = kernel.iter().product::<i64>() as f32;
    let p = n.int("p", 2);
    Ok(Some(vec![root(power(x, p).op("AveragePool", &[], &window) * count, p)]))
}

/// (Σ|x|ᵖ over all places)^(1/p)
pub(super) fn global_lp_pool<'b>(b: &'b Builder, n: &Node) -> Result<Option<Vec<Expr<'b>>>> {
    let (x, p) = (required(b, n, 0)?, n.int("p", 2));
    let axes: Vec<i64> = (2..x.shape()?.len() as i64).collect();
    Ok(Some(vec![root(power(x, p).sum(&axes, true), p)]))
}

fn power(x: Expr<'_>, p: i64) -> Expr<'_> {
    match p {
        1 => x.op("Abs", &[], &[]),
        2 => x * x,
        _ => x.op("Abs", &[], &[]).op("Pow", &[x.builder().scalar(p as f32)], &[]),
    }
}

fn root(x: Expr<'_>, p: i64) -> Expr<'_> {
    match p {
        1 => x,
        2 => x.sqrt(),
        _ => x.op("Pow", &[x.builder().scalar(1.0 / p as f32)], &[]),
    }
}

/// Each block of positions becomes channels.
pub(super) fn space_to_depth<'b>(b: &'b Builder, n: &Node) -> Result<Option<Vec<Expr<'b>>>> {
    Ok(Some(vec![rearrange::space_to_depth(required(b, n, 0)?, n.int("blocksize", 1), false)?]))
}

/// An average over three spatial axes that pools over the first one or two only (LocalResponseNormalization as PyTorch exports it:
/// over N×1×C×H×W, a window of channels) becomes one over two axes, with the other axes merged.
pub(super) fn average_pool<'b>(b: &'b Builder, n: &Node) -> Result<Option<Vec<Expr<'b>>>> {
    let x = required(b, n, 0)?;
    let shape = x.shape()?;
    let [batch, channels, first, rest @ ..] = &shape[..] else { return Ok(None) };
    let (Some(kernel), 2) = (n.ints("kernel_shape"), rest.len()) else { return Ok(None) };
    let (strides, pads) = (n.ints("strides").unwrap_or(&[1; 3]), n.ints("pads").unwrap_or(&[0; 6]));
    let alone = kernel.len() == 3
        && kernel[1..] == [1, 1]
        && strides[1..] == [1, 1]
        && [1, 2, 4, 5].iter().all(|&i| pads.get(i) == Some(&0));
    let (Some(across), true) = (rest.iter().map(|d| d.fixed()).product::<Option<usize>>(), alone) else {
        return Ok(None);
    };
    let window = [
        ("kernel_shape", Attr::Ints(vec![kernel[0], 1])),
        ("strides", Attr::Ints(vec![strides[0], 1])),
        ("pads", Attr::Ints(vec![pads[0], 0, pads[3], 0])),
        ("count_include_pad", Attr::Int(n.int("count_include_pad", 0))),
        ("ceil_mode", Attr::Int(n.int("ceil_mode", 0))),
    ];
    let y = x.reshape_to(&[*batch, *channels, *first, Dim::Fixed(across)])?.op("AveragePool", &[], &window);
    let mut back = y.shape()?[..3].to_vec();
    back.extend(rest);
    Ok(Some(vec![y.reshape_to(&back)?]))
}
