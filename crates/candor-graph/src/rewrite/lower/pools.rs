//! Pools of p-norms, and space to depth.

use super::required;
use crate::builder::{Builder, Expr};
use crate::error::Result;
use crate::grad::rules::rearrange;
use crate::graph::{Attr, Node};

/// (Σ|x|ᵖ over windows)^(1/p), the sum as an average times its count
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

/// Each block of places as channels.
pub(super) fn space_to_depth<'b>(b: &'b Builder, n: &Node) -> Result<Option<Vec<Expr<'b>>>> {
    Ok(Some(vec![rearrange::space_to_depth(required(b, n, 0)?, n.int("blocksize", 1), false)?]))
}
