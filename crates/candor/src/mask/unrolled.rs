//! The reliable mask as nodes with unrolled steps: [`super::looped`] uses a Loop instead; unrolled, the learned masks can
//! themselves be differentiated with respect to the image.

use candor_graph::builder::{Builder, Expr};
use candor_graph::error::{GraphError, Result};
use candor_graph::graph::Node;
use candor_graph::tensor::Tensor;

use super::adam::{adam_step, search_corrections};
use super::looped::{logits_under, null_logits};
use super::masked::{Masked, l1_weight};
use super::objective::{EXCLUDED, QueryInputs, log_odds_of, maximum};
use super::settings::Settings;

/// Result of mask learning for one class per image.
pub struct Unrolled<'b> {
    /// The learned masks, one per level.
    pub masks: Vec<Expr<'b>>,
    /// Log-odds of the unmasked image above the floor, N×1.
    pub there: Expr<'b>,
    /// Log-odds above the floor that the masks keep, N×1.
    pub kept: Expr<'b>,
}

/// Learns masks for the classes `one_hot` (N×K) with the evidence objective, in a graph that contains the unmasked network
/// ([`super::looped::unmasked`]). `logits`: its logits, N×K.
///
/// # Errors
/// [`GraphError`] if the graph is malformed.
pub fn unrolled<'b>(
    b: &'b Builder,
    masked: &Masked,
    settings: &Settings,
    (logits, one_hot): (Expr<'b>, Expr<'b>),
    classes: usize,
) -> Result<Unrolled<'b>> {
    let rivals = one_hot * EXCLUDED;
    let odds = |s: Expr<'b>| log_odds_of(s, one_hot, rivals, false);
    let chance = b.scalar(-(classes.saturating_sub(1).max(1) as f32).ln());
    let floor = maximum(odds(null_logits(b, masked)?), chance);
    let target = maximum(odds(logits), floor);
    let query = QueryInputs { one_hot, rivals, reference: logits, floor, target, losses_only: false };
    let row = (one_hot.sum(&[1], true) * 0.0).reshape(&[-1, 1, 1, 1]);
    let full = |value: f32| -> Vec<Expr<'b>> {
        let of = |shape: [usize; 3]| row + b.constant(Tensor::full(&[&[1], &shape[..]].concat(), value));
        masked.sites.iter().map(|s| of(s.mask_shape)).collect()
    };
    let (mut masks, mut means, mut squares) = (full(1.0), full(0.0), full(0.0));
    for step in 1..=settings.iterations {
        let copied = copy(b, masked, &masked.cut.suffix.nodes, &query, &masks);
        let corrections = search_corrections(settings, step as i32).map(|c| b.scalar(c));
        for (l, site) in masked.sites.iter().enumerate() {
            let slope = copied.get(&masked.cut.suffix.outputs[1 + l]).copied();
            let slope = slope.ok_or_else(|| GraphError::Malformed("a mask without a slope".into()))?;
            let slope = b.value(slope) + masked.lambda * l1_weight(site);
            let moments = [means[l], squares[l]];
            let moved = adam_step(masks[l], slope, moments, corrections, settings, DIFFERENTIABLE);
            [masks[l], means[l], squares[l]] = moved;
        }
    }
    let there = maximum(odds(logits), floor) - floor;
    let evidence = there.is_positive().reshape(&[-1, 1, 1, 1]);
    masks = masks.into_iter().map(|m| m * evidence).collect();
    let kept = odds(logits_under(b, masked, &masks)?) - floor;
    Ok(Unrolled { masks, there: odds(logits) - floor, kept })
}

/// Added under the root of Adam's second moment, since the derivative of a root is infinite at zero.
const DIFFERENTIABLE: f32 = 1e-16;

fn copy<'b>(
    b: &'b Builder,
    masked: &Masked,
    nodes: &[Node],
    q: &QueryInputs<'b>,
    masks: &[Expr<'b>],
) -> std::collections::HashMap<candor_graph::graph::ValueId, candor_graph::graph::ValueId> {
    let queries = masked.queries.iter().copied().zip(q.all());
    let sites = masked.sites.iter().map(|s| s.mask).zip(masks.iter().copied());
    b.copy(nodes, &queries.chain(sites).collect::<Vec<_>>())
}
