//! The reliable mask as nodes: Adam in a Loop, for exported models. [`super::learn`] does the same step by step.

use candor_graph::builder::{Builder, Expr};
use candor_graph::error::{GraphError, Result};
use candor_graph::graph::{Attr, Graph, Node, ValueId};
use candor_graph::insert::MaskSite;
use candor_graph::rewrite;
use candor_graph::subgraph::LoopBody;
use candor_graph::tensor::{DataType, Tensor};

use super::adam::search_correction_nodes;
use super::fuse::MIN_SCALE;
use super::levels::Level;
use super::masked::{Masked, l1_weight, masked};
use super::objective::{EXCLUDED, Objective, QueryInputs, log_odds_of, maximum};
use super::settings::Settings;
use super::step::with_adam;
use crate::map::Interpolation;
use crate::model::Model;
use crate::nodes::{canvas, maps};

/// The graph from image and class to the fused map. The masks of the top-1 class, whose maxima are the scales, are learned in
/// a loop of their own.
///
/// # Errors
/// A node without a gradient rule, or a graph that is malformed.
pub fn as_nodes(
    model: &Model,
    levels: &[Level],
    settings: &Settings,
    interpolation: Interpolation,
) -> Result<Graph> {
    let masked = masked(model, levels, settings)?;
    let b = Builder::new(unmasked(model, &masked));
    let logits = b.value(model.logits);
    let shape = logits.shape()?;
    let step = Step { model, settings, masked: &masked, logits, null: null_logits(&b, &masked)? };
    let class = canvas::one_hot(&b, &shape);
    let top1 = logits.op("ArgMax", &[], &[("axis", Attr::Int(1)), ("keepdims", Attr::Int(0))]);
    let top1 = canvas::equals_class(top1, &shape);

    let leave_out = if settings.leave_out_top1 { maximum(class, top1) } else { class };
    let masks = step.learn("masks", class, leave_out)?;
    let top_masks = step.learn("top1_masks", top1, top1)?;
    let [_, height, width] = model.input_shape;
    let count = levels.len() as f32;
    let mut fused: Option<Expr<'_>> = None;
    for (mask, top) in masks.into_iter().zip(top_masks) {
        let axes = b.ints(&[2, 3]);
        let largest = top.mean(&[1]).op("ReduceMax", &[axes], &[]);
        let counts = (largest - MIN_SCALE).is_positive();
        let scale = largest * counts + (1.0 - counts);
        let part = maps::resized(mask.mean(&[1]), [height, width], interpolation)? / scale / count;
        fused = Some(fused.map_or(part, |sum| sum + part));
    }
    let map = fused.ok_or_else(|| GraphError::Malformed("no level to mask".into()))?.id();
    canvas::finish(model, b.finish()?, map)
}

/// The network without masks, and what the masked one takes from before the first mask.
pub fn unmasked(model: &Model, masked: &Masked) -> Graph {
    let mut graph = masked.cut.prefix.clone();
    let prefix = std::mem::take(&mut graph.nodes);
    let constant = |n: &&Node, graph: &Graph| graph.constant(n.output()).is_some();
    graph.nodes = model.graph.nodes.iter().filter(|n| !constant(n, &graph)).cloned().collect();
    let known: Vec<ValueId> = graph.nodes.iter().map(Node::output).collect();
    graph.nodes.extend(prefix.into_iter().filter(|n| !known.contains(&n.output())));
    graph.inputs = vec![model.input];
    graph.outputs = vec![];
    graph
}

/// Logits with every mask zero.
pub(super) fn null_logits<'b>(b: &'b Builder, masked: &Masked) -> Result<Expr<'b>> {
    let suffix = &masked.cut.suffix;
    let mut zeros = vec![];
    for site in &masked.sites {
        let [c, h, w] = site.mask_shape;
        zeros.push((site.mask, b.constant(Tensor::full(&[1, c, h, w], 0.0))));
    }
    let logits = suffix.outputs[0];
    let up = suffix.ancestors(&[logits]);
    let forward: Vec<Node> = suffix.nodes.iter().filter(|n| up.contains(&n.output())).cloned().collect();
    let copied = b.copy(&forward, &zeros);
    let null = copied.get(&logits);
    null.map(|&id| b.value(id)).ok_or_else(|| GraphError::Malformed("no mask reaches the logits".into()))
}

/// What the loops have in common.
struct Step<'s, 'b> {
    model: &'s Model,
    settings: &'s Settings,
    masked: &'s Masked,
    logits: Expr<'b>,
    null: Expr<'b>,
}

impl<'b> Step<'_, 'b> {
    /// The masks of a query: see [`super::learn::Learner::learn`].
    fn learn(&self, name: &str, one_hot: Expr<'b>, left_out: Expr<'b>) -> Result<Vec<Expr<'b>>> {
        let b = self.logits.builder();
        let multi_label = self.model.is_sigmoid();
        let rivals = left_out * EXCLUDED;
        let odds = |logits: Expr<'b>| log_odds_of(logits, one_hot, rivals, multi_label);
        let mut floor = odds(self.null);
        if self.settings.floor_at_chance && self.model.head.is_exclusive() {
            let chance = -(self.model.classes.saturating_sub(1).max(1) as f32).ln();
            floor = maximum(floor, b.scalar(chance));
        }
        let target = maximum(odds(self.logits), floor);
        let query =
            QueryInputs { one_hot, rivals, reference: self.logits, floor, target, losses_only: false };
        let (body, turn, carried) = self.body()?;
        let sites = &self.masked.sites;
        // One row a query, whatever N is.
        let row = (one_hot.sum(&[1], true) * 0.0).reshape(&[-1, 1, 1, 1]);
        let full = |i: usize| {
            let [c, h, w] = sites[i % sites.len()].mask_shape;
            // Masks start at one, Adam's two moments at zero.
            row + b.constant(Tensor::full(&[1, c, h, w], if i < sites.len() { 1.0 } else { 0.0 }))
        };
        let crossing = self.masked.cut.crossing.iter().map(|&id| (id, b.value(id)));
        let queries = self.masked.queries.iter().copied();
        let queries = queries.zip(query.all());
        let body = LoopBody {
            graph: body,
            turn: Some(turn),
            carried: carried.into_iter().enumerate().map(|(i, id)| (id, full(i))).collect(),
            captured: queries.chain(crossing).collect(),
        };
        let mut masks = b.repeat(name, self.settings.iterations, body)?;
        masks.truncate(sites.len());
        if self.settings.exact && self.settings.objective == Objective::Evidence {
            // Without evidence the empty mask is the known minimum.
            let evidence = (maximum(odds(self.logits), floor) - floor).is_positive().reshape(&[-1, 1, 1, 1]);
            masks = masks.into_iter().map(|m| m * evidence).collect();
        }
        Ok(masks)
    }

    /// One step of Adam for all masks; the number of the step, and the masks with their moments. See [`super::adam`].
    fn body(&self) -> Result<(Graph, ValueId, Vec<ValueId>)> {
        let b = Builder::new(self.masked.cut.suffix.clone());
        let turn = b.input("turn", DataType::Int64, &[]);
        let step = turn.to_float() + 1.0;
        let corrections = search_correction_nodes(self.settings, step);
        let pull = |site: &MaskSite| b.scalar(self.masked.lambda * l1_weight(site));
        let carried = with_adam(&b, self.masked, self.settings, corrections, &pull)?;
        let turn = turn.id();
        let mut body = b.finish()?;
        body.outputs = carried.outputs;
        rewrite::remove_dead(&mut body);
        Ok((body, turn, carried.inputs))
    }
}
