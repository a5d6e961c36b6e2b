//! The reliable mask as graph nodes: Adam in a Loop, for exported models. [`super::learn`] does the same step by step. If windows are
//! evaluated, the loop starts from the class's window, λ is adapted to what the masks keep, and the sparsest masks that keep the evidence
//! are returned; of [`super::learn`], only the closer look is missing.

use candor_graph::builder::{Builder, Expr};
use candor_graph::error::{GraphError, Result};
use candor_graph::graph::{Attr, Graph, Node, ValueId};
use candor_graph::insert::MaskSite;
use candor_graph::rewrite;
use candor_graph::shape::Dim;
use candor_graph::subgraph::LoopBody;
use candor_graph::tensor::DataType;

use super::adam::search_correction_nodes;
use super::fuse::MIN_SCALE;
use super::keep::{EXPONENT, GAIN, LEAST, RETRY, ROUNDS};
use super::levels::Level;
use super::masked::{Masked, l1_weight, masked};
use super::objective::{EXCLUDED, Objective, QueryInputs, log_odds_of, maximum};
use super::placed::{Placed, Windows, all_log_odds, filled};
use super::places::{has_crowd, losses_only};
use super::settings::Settings;
use super::step::with_adam;
use crate::false_alarms::{EVIDENCE, FalseAlarms, WEAK};
use crate::map::Interpolation;
use crate::model::Model;
use crate::nodes::{canvas, maps};

/// Settings of an exported map besides those of its search.
pub struct Shown<'s> {
    /// How levels are resized to the image.
    pub interpolation: Interpolation,
    /// Whether maps with weak evidence are shown.
    pub weak: bool,
    /// How much evidence absent classes show.
    pub false_alarms: &'s FalseAlarms,
}

/// Builds the graph from image and class to the fused map. The masks of the top-1 class, whose maxima are the scales, are learned in
/// a separate loop. `None` if windows are to be evaluated and the model does not allow a batch of them.
///
/// # Errors
/// A node without a gradient rule, or a graph that is malformed.
pub fn as_nodes(
    model: &Model,
    levels: &[Level],
    settings: &Settings,
    shown: &Shown<'_>,
) -> Result<Option<Graph>> {
    let masked = masked(model, levels, settings)?;
    let b = Builder::new(unmasked(model, &masked));
    let logits = b.value(model.logits);
    let shape = logits.shape()?;
    let null = null_logits(&b, &masked)?;
    let mut step = Search { model, settings, masked: &masked, logits, null, windows: None };
    if settings.places && has_crowd(model.classes) {
        let of_all = if model.is_sigmoid() { null } else { all_log_odds(null, model.classes) };
        let Some(windows) = Windows::new(&b, model, &masked, step.raised(of_all))? else { return Ok(None) };
        step.windows = Some(windows);
    }
    let class = canvas::one_hot(&b, &shape);
    let top1 = logits.op("ArgMax", &[], &[("axis", Attr::Int(1)), ("keepdims", Attr::Int(0))]);
    let top1 = canvas::equals_class(top1, &shape);

    let leave_out = if settings.leave_out_top1 { maximum(class, top1) } else { class };
    let (masks, strength) = step.learn("masks", class, leave_out, shown.false_alarms)?;
    let (top_masks, _) = step.learn("top1_masks", top1, top1, shown.false_alarms)?;
    let [_, height, width] = model.input_shape;
    let count = levels.len() as f32;
    let mut fused: Option<Expr<'_>> = None;
    for (mask, top) in masks.into_iter().zip(top_masks) {
        let axes = b.ints(&[2, 3]);
        let largest = top.mean(&[1]).op("ReduceMax", &[axes], &[]);
        let counts = (largest - MIN_SCALE).is_positive();
        let scale = largest * counts + (1.0 - counts);
        let part = maps::resized(mask.mean(&[1]), [height, width], shown.interpolation)? / scale / count;
        fused = Some(fused.map_or(part, |sum| sum + part));
    }
    let mut map = fused.ok_or_else(|| GraphError::Malformed("no level to mask".into()))?;
    if let Some(strength) = strength.filter(|_| !shown.weak) {
        // The map of weak evidence is hidden unless requested; below that the map is empty if the empty mask is known to be optimal.
        let [evidence, weak] = [EVIDENCE, WEAK].map(|rate| reaches(strength, shown.false_alarms, rate));
        map = map * (evidence + (1.0 - weak));
    }
    let map = map.id();
    canvas::finish(model, b.finish()?, map).map(Some)
}

/// 1 if at most the given rate of absent classes shows as much evidence, else 0; N×1×1×1.
fn reaches<'b>(strength: Expr<'b>, false_alarms: &FalseAlarms, rate: f64) -> Expr<'b> {
    let threshold = false_alarms.place.strength(rate).min(f64::from(f32::MAX)) as f32;
    (strength - threshold).is_positive().reshape(&[-1, 1, 1, 1])
}

/// The network without masks, with the values before the first mask that the masked network uses.
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
    let zeros: Vec<Expr<'b>> = masked.sites.iter().map(|site| b.constant(filled(site, 0.0))).collect();
    logits_under(b, masked, &zeros)
}

/// Logits under masks, one per level.
pub(super) fn logits_under<'b>(b: &'b Builder, masked: &Masked, masks: &[Expr<'b>]) -> Result<Expr<'b>> {
    let suffix = &masked.cut.suffix;
    let up = suffix.ancestors(&[suffix.outputs[0]]);
    let forward: Vec<Node> = suffix.nodes.iter().filter(|n| up.contains(&n.output())).cloned().collect();
    let sites: Vec<_> = masked.sites.iter().map(|s| s.mask).zip(masks.iter().copied()).collect();
    copied_logits(b, masked, (&forward, &sites))
}

/// The logits computed by copies of the nodes after the masks, with some values replaced.
pub(super) fn copied_logits<'b>(
    b: &'b Builder,
    masked: &Masked,
    (nodes, replaced): (&[Node], &[(ValueId, Expr<'b>)]),
) -> Result<Expr<'b>> {
    let copied = b.copy(nodes, replaced);
    let logits = copied.get(&masked.cut.suffix.outputs[0]);
    logits.map(|&id| b.value(id)).ok_or_else(|| GraphError::Malformed("no mask reaches the logits".into()))
}

/// What all searches share.
struct Search<'s, 'b> {
    model: &'s Model,
    settings: &'s Settings,
    masked: &'s Masked,
    logits: Expr<'b>,
    null: Expr<'b>,
    windows: Option<Windows<'s, 'b>>,
}

/// Larger than the size of any masks: no masks were accepted yet.
const NONE_YET: f32 = 1e30;
/// Lower bound of the evidence in the denominator of a share.
const SOME: f32 = 1e-6;

/// The state of an adapted λ: λ, the size of the sparsest masks that keep enough and the largest share that any masks keep (N×1×1×1
/// each), the former masks and the latter.
struct Following<'b> {
    lambda: Expr<'b>,
    size: Expr<'b>,
    share: Expr<'b>,
    sparsest: Vec<Expr<'b>>,
    fullest: Vec<Expr<'b>>,
}

impl<'b> Following<'b> {
    fn all(&self) -> Vec<Expr<'b>> {
        let numbers = [self.lambda, self.size, self.share];
        numbers.into_iter().chain(self.sparsest.iter().copied()).chain(self.fullest.iter().copied()).collect()
    }

    fn of(all: &[Expr<'b>]) -> Result<Self> {
        let [lambda, size, share, masks @ ..] = all else {
            return Err(GraphError::Malformed("a search that keeps nothing".into()));
        };
        let (sparsest, fullest) = masks.split_at(masks.len() / 2);
        let (sparsest, fullest) = (sparsest.to_vec(), fullest.to_vec());
        Ok(Following { lambda: *lambda, size: *size, share: *share, sparsest, fullest })
    }

    /// [`super::keep::Keeping::observe`] as nodes. `counts`: 1 where the masks may be accepted.
    fn observed(
        &self,
        (masks, sizes): (&[Expr<'b>], Expr<'b>),
        share: Expr<'b>,
        counts: Expr<'b>,
        aim: f64,
    ) -> Self {
        let b = share.builder();
        let sparser = counts * (share - LEAST as f32).is_positive() * (self.size - sizes).is_positive();
        let fuller = (share - self.share).is_positive();
        let instead = |which: Expr<'b>, new: Expr<'b>, old: Expr<'b>| new * which + old * (1.0 - which);
        let masks_instead = |which: Expr<'b>, old: &[Expr<'b>]| -> Vec<Expr<'b>> {
            masks.iter().zip(old).map(|(new, old)| instead(which, *new, *old)).collect()
        };
        let bounds = EXPONENT.map(|v| b.scalar(v as f32));
        let exponent = ((share - aim as f32) * GAIN as f32).op("Clip", &bounds, &[]);
        Following {
            lambda: self.lambda * (exponent * counts).exp(),
            size: instead(sparser, sizes, self.size),
            share: instead(fuller, share, self.share),
            sparsest: masks_instead(sparser, &self.sparsest),
            fullest: masks_instead(fuller, &self.fullest),
        }
    }
}

impl<'b> Search<'_, 'b> {
    /// Log-odds raised to chance, if the settings say so.
    fn raised(&self, log_odds: Expr<'b>) -> Expr<'b> {
        if !(self.settings.floor_at_chance && self.model.head.is_exclusive()) {
            return log_odds;
        }
        let chance = -(self.model.classes.saturating_sub(1).max(1) as f32).ln();
        maximum(log_odds, log_odds.builder().scalar(chance))
    }

    /// The masks of a query, and the strength of its evidence if windows are evaluated: see [`super::learn::Learner::learn`].
    fn learn(
        &self,
        name: &str,
        one_hot: Expr<'b>,
        left_out: Expr<'b>,
        false_alarms: &FalseAlarms,
    ) -> Result<(Vec<Expr<'b>>, Option<Expr<'b>>)> {
        let multi_label = self.model.is_sigmoid();
        let rivals = left_out * EXCLUDED;
        let odds = |logits: Expr<'b>| log_odds_of(logits, one_hot, rivals, multi_label);
        let floor = self.raised(odds(self.null));
        let of_photo = odds(self.logits);
        let placed = match &self.windows {
            _ if !self.settings.places => None,
            Some(windows) => Some(windows.place((one_hot, rivals, floor), multi_label, &odds)?),
            None => Some(Placed::whole(of_photo, floor)),
        };
        let there = placed.as_ref().map_or(of_photo, |placed| maximum(of_photo, placed.log_odds));
        let target = maximum(there, floor);
        let losses_only = losses_only(self.settings, self.model.classes);
        let query = QueryInputs { one_hot, rivals, reference: self.logits, floor, target, losses_only };
        let sites = &self.masked.sites;
        // One row per query, for any N.
        let row = (one_hot.sum(&[1], true) * 0.0).reshape(&[-1, 1, 1, 1]);
        let full = |site: &MaskSite, value: f32| row + row.builder().constant(filled(site, value));
        let start = |site: &MaskSite| match (&self.windows, &placed) {
            (Some(windows), Some(placed)) => windows.start(placed, site, full(site, 1.0)),
            _ => Ok(full(site, 1.0)),
        };
        let start = sites.iter().map(start).collect::<Result<Vec<_>>>()?;
        let zeros: Vec<Expr<'b>> = sites.iter().map(|site| full(site, 0.0)).collect();
        let by_evidence = self.settings.objective == Objective::Evidence;
        // Without evidence the empty mask is the known minimum.
        let open = (self.settings.exact && by_evidence).then(|| {
            let some = (target - floor).is_positive().reshape(&[-1, 1, 1, 1]);
            placed.as_ref().map_or(some, |placed| some * reaches(placed.strength, false_alarms, WEAK))
        });
        let mut masks = if self.settings.keep > 0.0 && by_evidence {
            self.follow(name, &query, (start, &zeros), open.unwrap_or(row + 1.0))?
        } else {
            self.repeat(name, &query, start.into_iter().chain(zeros.repeat(2)).collect())?
        };
        if let Some(open) = open {
            masks = masks.into_iter().map(|m| m * open).collect();
        }
        Ok((masks, placed.map(|placed| placed.strength)))
    }

    /// The outer values that a loop reads.
    fn captured(&self, query: &QueryInputs<'b>) -> Vec<(ValueId, Expr<'b>)> {
        let b = self.logits.builder();
        let crossing = self.masked.cut.crossing.iter().map(|&id| (id, b.value(id)));
        self.masked.queries.iter().copied().zip(query.all()).chain(crossing).collect()
    }

    /// Masks after all steps at a constant λ. `start`: masks and moments.
    fn repeat(&self, name: &str, query: &QueryInputs<'b>, start: Vec<Expr<'b>>) -> Result<Vec<Expr<'b>>> {
        let Body { graph, turn, carried, .. } = self.body(None)?;
        let carried = carried.into_iter().zip(start).collect();
        let body = LoopBody { graph, turn: Some(turn), carried, captured: self.captured(query) };
        let mut masks = self.logits.builder().repeat(name, self.settings.iterations, body)?;
        masks.truncate(self.masked.sites.len());
        Ok(masks)
    }

    /// The sparsest masks that keep the evidence, with an adapted λ, in the rounds of [`super::learn`]; further rounds run only while a
    /// query of the batch has no such masks. `lost`: 1 for the queries that are searched for, N×1×1×1.
    fn follow(
        &self,
        name: &str,
        query: &QueryInputs<'b>,
        (mut start, zeros): (Vec<Expr<'b>>, &[Expr<'b>]),
        mut lost: Expr<'b>,
    ) -> Result<Vec<Expr<'b>>> {
        let b = lost.builder();
        let row = lost * 0.0;
        let mut found = Following {
            lambda: row + self.masked.lambda,
            size: row + NONE_YET,
            share: row - NONE_YET,
            sparsest: zeros.to_vec(),
            fullest: zeros.to_vec(),
        };
        for round in 0..=ROUNDS {
            let (steps, first) = match round {
                0 => (self.settings.iterations, self.settings.first()),
                _ => ((self.settings.iterations / 2).max(1), 0),
            };
            let Body { graph, turn, carried, lost: open } = self.body(Some(first))?;
            let state = start.iter().chain(zeros).chain(zeros).copied().chain(found.all());
            let carried = carried.into_iter().zip(state).collect();
            let captured = self.captured(query).into_iter().chain(open.map(|open| (open, lost))).collect();
            let body = LoopBody { graph, turn: Some(turn), carried, captured };
            let name = if round == 0 { name.to_string() } else { format!("{name}_round{}", round + 1) };
            let last = if round == 0 {
                b.repeat(&name, steps, body)?
            } else {
                // Zero iterations if every query has found masks.
                let any = lost.op("ReduceMax", &[], &[("keepdims", Attr::Int(0))]) * steps as f32;
                b.repeat_counted(&name, any.op("Cast", &[], &[("to", Attr::Int(INT64))]), body)?
            };
            let (masks, rest) = last.split_at(self.masked.sites.len());
            found = Following::of(&rest[2 * masks.len()..])?;
            // The last masks have not been evaluated yet.
            let seen = (masks, size(&self.masked.sites, masks)?);
            let share = share(query, logits_under(b, self.masked, masks)?, self.model.is_sigmoid());
            found = found.observed(seen, share, lost, self.settings.keep);
            lost = lost * (found.size - NONE_YET / 2.0).is_positive();
            found.lambda = found.lambda * (1.0 - lost * (1.0 - RETRY));
            start.clone_from(&found.fullest);
        }
        let masks = found.sparsest.into_iter().zip(found.fullest);
        Ok(masks.map(|(sparsest, fullest)| sparsest * (1.0 - lost) + fullest * lost).collect())
    }

    /// One step of Adam for all masks; see [`super::adam`]. With `first`, the step from which masks are considered, λ is adapted as well.
    fn body(&self, first: Option<usize>) -> Result<Body> {
        let Masked { cut, sites, lambda, queries, .. } = self.masked;
        let b = Builder::new(cut.suffix.clone());
        let turn = b.input("turn", DataType::Int64, &[]);
        let step = turn.to_float() + 1.0;
        let corrections = search_correction_nodes(self.settings, step);
        let masks: Vec<Expr<'_>> = sites.iter().map(|s| b.value(s.mask)).collect();
        let mut row = masks[0].shape()?;
        row[1..].fill(Dim::Fixed(1));
        let following = first.map(|first| -> Result<_> {
            let number = |name: &str| b.input(name, DataType::Float, &row);
            let lost = number("lost");
            let same = |name: &str, mask: &Expr<'_>| Ok(b.input(name, DataType::Float, &mask.shape()?));
            let before = Following {
                lambda: number("lambda"),
                size: number("least_size"),
                share: number("largest_share"),
                sparsest: masks.iter().map(|m| same("sparsest", m)).collect::<Result<_>>()?,
                fullest: masks.iter().map(|m| same("fullest", m)).collect::<Result<_>>()?,
            };
            let [one_hot, rivals, reference, floor, target] = queries[..] else {
                return Err(GraphError::Malformed("a search without its query".into()));
            };
            let [one_hot, rivals, reference, floor, target] =
                [one_hot, rivals, reference, floor, target].map(|id| b.value(id));
            let query = QueryInputs { one_hot, rivals, reference, floor, target, losses_only: true };
            let share = share(&query, b.value(cut.suffix.outputs[0]), self.model.is_sigmoid());
            let counts = lost * (step - first as f32).is_positive();
            let after = before.observed((&masks, size(sites, &masks)?), share, counts, self.settings.keep);
            Ok((before, after, lost))
        });
        let following = following.transpose()?;
        let pull = |site: &MaskSite| match &following {
            Some((before, ..)) => before.lambda * l1_weight(site),
            None => b.scalar(lambda * l1_weight(site)),
        };
        let adam = with_adam(&b, self.masked, self.settings, corrections, &pull)?;
        let ids = |all: Vec<Expr<'_>>| all.into_iter().map(Expr::id).collect::<Vec<_>>();
        let lost = following.as_ref().map(|(.., lost)| lost.id());
        let [before, after] = following.map_or([vec![], vec![]], |(a, z, _)| [ids(a.all()), ids(z.all())]);
        let turn = turn.id();
        let mut graph = b.finish()?;
        graph.outputs = [adam.outputs, after].concat();
        rewrite::remove_dead(&mut graph);
        Ok(Body { graph, turn, carried: [adam.inputs, before].concat(), lost })
    }
}

/// ONNX's code of the type int64.
const INT64: i64 = 7;

/// The body of a search's loop, and which of its inputs are loop state.
struct Body {
    graph: Graph,
    turn: ValueId,
    carried: Vec<ValueId>,
    /// The input that marks the queries whose masks are recorded, if λ is adapted.
    lost: Option<ValueId>,
}

/// Fraction of a query's evidence in logits, N×1×1×1.
fn share<'b>(q: &QueryInputs<'b>, logits: Expr<'b>, multi_label: bool) -> Expr<'b> {
    let kept = log_odds_of(logits, q.one_hot, q.rivals, multi_label) - q.floor;
    let evidence = maximum(q.target - q.floor, kept.builder().scalar(SOME));
    (kept / evidence).reshape(&[-1, 1, 1, 1])
}

/// Σ_l w_l ‖m_l‖₁, N×1×1×1.
fn size<'b>(sites: &[MaskSite], masks: &[Expr<'b>]) -> Result<Expr<'b>> {
    let sizes = sites.iter().zip(masks).map(|(s, m)| m.sum(&[1, 2, 3], false) * l1_weight(s));
    let size = sizes.reduce(|a, b| a + b).ok_or_else(|| GraphError::Malformed("no level to mask".into()))?;
    Ok(size.reshape(&[-1, 1, 1, 1]))
}
