//! Attention as two matrix products around a softmax.

use super::{input, required};
use crate::builder::{Builder, Expr};
use crate::error::{GraphError, Result};
use crate::graph::{Attr, Node};
use crate::tensor::{DataType, Tensor};

/// Most entries of a causal mask that is written out: 4096 tokens.
const LARGEST_MASK: usize = 1 << 24;

/// softmax(α·Q·Kᵀ + mask)·V, Q, K and V N×heads×tokens×size, or N×tokens×(heads·size) with the number of heads named
pub(super) fn attention<'b>(b: &'b Builder, n: &Node) -> Result<Option<Vec<Expr<'b>>>> {
    let refuse =
        |what: &str| GraphError::node(n, format!("{what} has no rule; export attention as matrix products"));
    if n.inputs.len() > 4 && n.inputs[4..].iter().any(Option::is_some)
        || n.outputs[1..].iter().any(Option::is_some)
    {
        return Err(refuse("a cache of keys and values"));
    }
    let (q, k, v) = (required(b, n, 0)?, required(b, n, 1)?, required(b, n, 2)?);
    let flat = q.shape()?.len() == 3;
    let heads = (n.int("q_num_heads", 0), n.int("kv_num_heads", 0));
    let (q, k, v) = if flat {
        if heads.0 < 1 || heads.0 != heads.1 {
            return Err(refuse("a different number of heads for queries and keys"));
        }
        (split_heads(q, heads.0), split_heads(k, heads.0), split_heads(v, heads.0))
    } else {
        if q.shape()?[1] != k.shape()?[1] {
            return Err(refuse("a different number of heads for queries and keys"));
        }
        (q, k, v)
    };
    let mut scores = scaled_scores(n, q, k)?;
    if let Some(mask) = input(b, n, 3) {
        scores = scores + additive(b, mask);
    }
    if n.int("is_causal", 0) != 0 {
        let shape = scores.shape()?;
        let (Some(l), Some(m)) = (shape[2].fixed(), shape[3].fixed()) else {
            return Err(refuse("a causal mask of unknown size"));
        };
        if l.saturating_mul(m) > LARGEST_MASK {
            return Err(refuse("a causal mask of so many tokens"));
        }
        let allowed = |i: usize| if i % m <= i / m { 0.0 } else { f32::MIN };
        scores = scores + b.constant(Tensor::floats(&[l, m], (0..l * m).map(allowed).collect())?);
    }
    let cap = n.float("softcap", 0.0);
    if cap > 0.0 {
        return Err(refuse("softcap"));
    }
    let y = scores.op("Softmax", &[], &[("axis", Attr::Int(-1))]).op("MatMul", &[v], &[]);
    Ok(Some(vec![if flat { join_heads(y)? } else { y }]))
}

/// As attention, Q, K and V N×tokens×(heads·size), a bias for the three of them
pub(super) fn multi_head_attention<'b>(b: &'b Builder, n: &Node) -> Result<Option<Vec<Expr<'b>>>> {
    let refuse =
        |what: &str| GraphError::node(n, format!("{what} has no rule; optimise the model at a lower level"));
    let extra = [4, 6, 7].into_iter().any(|i| n.input(i).is_some());
    if n.input(1).is_none() || n.input(2).is_none() || extra {
        return Err(refuse("packed queries, a key mask or a cache"));
    }
    let (mut q, mut k, mut v) = (required(b, n, 0)?, required(b, n, 1)?, required(b, n, 2)?);
    if q.shape()?.len() != 3 || k.shape()?.len() != 3 || v.shape()?.len() != 3 {
        return Err(refuse("keys that are split into heads already"));
    }
    if let Some(bias) = input(b, n, 3) {
        let size = |x: Expr<'b>| -> Result<i64> { Ok(x.shape()?[2].fixed().unwrap_or(0) as i64) };
        let (nq, nk, nv) = (size(q)?, size(k)?, size(v)?);
        let part = |from: i64, count: i64| bias.slice(&[0], &[from], &[from + count], &[1]);
        (q, k, v) = (q + part(0, nq), k + part(nq, nk), v + part(nq + nk, nv));
    }
    let heads = n.int("num_heads", 1);
    let mut scores = scaled_scores(n, split_heads(q, heads), split_heads(k, heads))?;
    if let Some(mask) = input(b, n, 5) {
        scores = scores + mask;
    }
    let weights = scores.op("Softmax", &[], &[("axis", Attr::Int(-1))]);
    Ok(Some(vec![join_heads(weights.op("MatMul", &[split_heads(v, heads)], &[]))?]))
}

/// α·Q·Kᵀ; α is 1/√size unless it is named.
fn scaled_scores<'b>(n: &Node, q: Expr<'b>, k: Expr<'b>) -> Result<Expr<'b>> {
    let size =
        q.shape()?[3].fixed().ok_or_else(|| GraphError::node(n, "the size of its heads is not known"))?;
    let default = 1.0 / (size as f32).sqrt();
    let scale = match n.float("scale", default) {
        s if s > 0.0 => s,
        _ => default,
    };
    Ok((q * scale).op("MatMul", &[k.transpose(&[0, 1, 3, 2])], &[]))
}

/// 0 where a boolean mask allows, a large negative number elsewhere; a float mask as it is.
fn additive<'b>(b: &'b Builder, mask: Expr<'b>) -> Expr<'b> {
    if b.with(|g| g.value(mask.id()).dtype) == Some(DataType::Bool) {
        mask.op("Where", &[b.scalar(0.0), b.scalar(f32::MIN)], &[])
    } else {
        mask
    }
}

/// N×tokens×(heads·size) to N×heads×tokens×size.
fn split_heads(x: Expr<'_>, heads: i64) -> Expr<'_> {
    x.reshape(&[0, 0, heads, -1]).transpose(&[0, 2, 1, 3])
}

/// N×heads×tokens×size to N×tokens×(heads·size).
fn join_heads(x: Expr<'_>) -> Result<Expr<'_>> {
    let shape = x.shape()?;
    let size = shape[1].fixed().zip(shape[3].fixed()).map_or(-1, |(h, s)| (h * s) as i64);
    Ok(x.transpose(&[0, 2, 1, 3]).reshape(&[0, 0, size]))
}
