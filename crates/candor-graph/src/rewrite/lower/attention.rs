//! Attention as two matrix products around a softmax.

use super::{input, required};
use crate::builder::{Builder, Expr};
use crate::error::{GraphError, Result};
use crate::graph::{Attr, Node};
use crate::tensor::{DataType, Tensor};

/// Maximum number of entries of a causal mask constant: 4096 tokens.
const LARGEST_MASK: usize = 1 << 24;
/// Maximum number of heads.
const MOST_HEADS: usize = 1 << 16;

/// softmax(cap(α·Q·Kᵀ) + mask)·V; Q, K and V are N×heads×tokens×size, or N×tokens×(heads·size) with the number of heads as attribute.
/// Several query heads may share one key head.
pub(super) fn attention<'b>(b: &'b Builder, n: &Node) -> Result<Option<Vec<Expr<'b>>>> {
    if n.inputs.len() > 4 && n.inputs[4..].iter().any(Option::is_some)
        || n.outputs[1..].iter().any(Option::is_some)
    {
        return Err(refused(n, "a cache of keys and values"));
    }
    let flat = required(b, n, 0)?.shape()?.len() == 3;
    let [q, k, v] = heads(b, n, flat)?;
    let mut scores = scaled_scores(n, q, k)?;
    let cap = n.float("softcap", 0.0);
    if cap > 0.0 {
        scores = (scores * (1.0 / cap)).op("Tanh", &[], &[]) * cap;
    }
    let given = given_mask(b, n, scores)?;
    let bias = match (given, places_mask(b, n, scores)?) {
        (Some(given), Some(places)) => Some(given + places),
        (given, places) => given.or(places),
    };
    if let Some(bias) = bias {
        scores = scores + bias;
    }
    let mut weights = scores.op("Softmax", &[], &[("axis", Attr::Int(-1))]);
    let boolean = input(b, n, 3).is_some_and(|mask| is_boolean(b, mask));
    if let Some(bias) = bias.filter(|_| boolean) {
        // A query that may attend to no key gets zeros.
        let best = bias.op("ReduceMax", &[b.ints(&[-1])], &[]);
        let some = best.op("Greater", &[b.scalar(f32::MIN / 2.0)], &[]);
        weights = some.op("Where", &[weights, b.scalar(0.0)], &[]);
    }
    let y = weights.op("MatMul", &[v], &[]);
    Ok(Some(vec![if flat { join_heads(y)? } else { y }]))
}

fn refused(n: &Node, what: &str) -> GraphError {
    GraphError::unsupported(n, format!("{what} has no rule; export attention as matrix products"))
}

/// Q, K and V as N×heads×tokens×size, with key and value heads repeated for the query heads that share them. `flat`: the node has them as
/// N×tokens×(heads·size).
fn heads<'b>(b: &'b Builder, n: &Node, flat: bool) -> Result<[Expr<'b>; 3]> {
    let (mut q, mut k, mut v) = (required(b, n, 0)?, required(b, n, 1)?, required(b, n, 2)?);
    if flat {
        let heads = (n.int("q_num_heads", 0), n.int("kv_num_heads", 0));
        if heads.0 < 1 || heads.1 < 1 {
            return Err(refused(n, "an unknown number of heads"));
        }
        (q, k, v) = (split_heads(q, heads.0), split_heads(k, heads.1), split_heads(v, heads.1));
    }
    let heads = |x: Expr<'b>| Ok(x.shape()?[1].fixed().filter(|h| (1..=MOST_HEADS).contains(h)));
    let (Some(of_q), Some(of_k)) = (heads(q)?, heads(k)?) else {
        return Err(refused(n, "an unknown number of heads"));
    };
    if of_q % of_k != 0 {
        return Err(refused(n, "a number of heads of queries that those of keys do not divide"));
    }
    if of_q != of_k {
        let shared: Vec<i64> = (0..of_q).map(|h| (h / (of_q / of_k)) as i64).collect();
        let repeated = |x: Expr<'b>| x.op("Gather", &[b.ints(&shared)], &[("axis", Attr::Int(1))]);
        (k, v) = (repeated(k), repeated(v));
    }
    Ok([q, k, v])
}

/// The mask among the node's inputs, in the form that is added to the scores.
fn given_mask<'b>(b: &'b Builder, n: &Node, scores: Expr<'b>) -> Result<Option<Expr<'b>>> {
    let keys = scores.shape()?[3];
    let Some(mask) = input(b, n, 3) else { return Ok(None) };
    if mask.shape()?.last() != Some(&keys) {
        return Err(refused(n, "a mask of fewer keys than there are"));
    }
    Ok(Some(additive(b, mask)))
}

/// The mask from causality and local windows, in the form that is added to the scores.
fn places_mask<'b>(b: &'b Builder, n: &Node, scores: Expr<'b>) -> Result<Option<Expr<'b>>> {
    let Some(allowed) = allowed(n) else { return Ok(None) };
    let shape = scores.shape()?;
    let (Some(l), Some(m)) = (shape[2].fixed(), shape[3].fixed()) else {
        return Err(refused(n, "a mask of unknown size"));
    };
    if l.saturating_mul(m) > LARGEST_MASK {
        return Err(refused(n, "a mask of so many tokens"));
    }
    let value = |i: usize| if allowed((i / m) as i64, (i % m) as i64) { 0.0 } else { f32::MIN };
    Ok(Some(b.constant(Tensor::floats(&[l, m], (0..l * m).map(value).collect())?)))
}

/// Whether a query may attend to a key, by their positions; `None` if all may.
fn allowed(n: &Node) -> Option<impl Fn(i64, i64) -> bool> {
    let limit = |name: &str| Some(n.int(name, -1)).filter(|&w| w >= 0);
    let (before, mut after) = (limit("left_window_size"), limit("right_window_size"));
    if n.int("is_causal", 0) != 0 {
        after = Some(0);
    }
    (before.is_some() || after.is_some()).then_some(move |query: i64, key: i64| {
        before.is_none_or(|w| query - key <= w) && after.is_none_or(|w| key - query <= w)
    })
}

/// As [`attention`], with Q, K and V as N×tokens×(heads·size) and one bias for the three of them
pub(super) fn multi_head_attention<'b>(b: &'b Builder, n: &Node) -> Result<Option<Vec<Expr<'b>>>> {
    let refuse = |what: &str| {
        GraphError::unsupported(n, format!("{what} has no rule; optimise the model at a lower level"))
    };
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

/// α·Q·Kᵀ; α is 1/√size unless the attribute is set.
fn scaled_scores<'b>(n: &Node, q: Expr<'b>, k: Expr<'b>) -> Result<Expr<'b>> {
    let size = q.shape()?[3]
        .fixed()
        .ok_or_else(|| GraphError::unknown_shape(n, "the size of its heads is not known"))?;
    let default = 1.0 / (size as f32).sqrt();
    let scale = match n.float("scale", default) {
        s if s > 0.0 => s,
        _ => default,
    };
    Ok((q * scale).op("MatMul", &[k.transpose(&[0, 1, 3, 2])], &[]))
}

/// 0 where a boolean mask is true, a large negative number elsewhere; a float mask is returned unchanged.
fn additive<'b>(b: &'b Builder, mask: Expr<'b>) -> Expr<'b> {
    if is_boolean(b, mask) { mask.op("Where", &[b.scalar(0.0), b.scalar(f32::MIN)], &[]) } else { mask }
}

fn is_boolean<'b>(b: &'b Builder, mask: Expr<'b>) -> bool {
    b.with(|g| g.value(mask.id()).dtype) == Some(DataType::Bool)
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
