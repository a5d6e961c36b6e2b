//! Learning the masks of several queries, of one image or of several, in one batch.

use std::borrow::Cow;

use candor_graph::footprint::computed_bytes;
use candor_graph::graph::Graph;
use candor_graph::insert::{MaskShape, MaskSite};
use candor_graph::tensor::Tensor;

use super::adam::{Adam, BETA_2};
use super::levels::Level;
use super::masked::{Masked, l1_weight, masked};
use super::objective::{Objective, Query};
use crate::engine::{HeldKey, Session};
use crate::error::{Error, Result};
use crate::model::{Head, Model};

/// How masks are learned.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The output distance.
    pub objective: Objective,
    /// One mask for all channels, or one for each.
    pub shape: MaskShape,
    /// Weight of the L1 term.
    pub lambda: f32,
    /// Steps of the optimiser.
    pub iterations: usize,
    /// Learning rate of Adam.
    pub rate: f32,
    /// Adam's decay of the second moment. At [`BETA_2`] the large gradients of the first steps are remembered for a thousand: a gate
    /// that nothing depends on any more, since one behind it closed, then hardly follows the L1 term.
    pub beta_2: f32,
    /// Upper bound of a mask; 1 keeps it a selection.
    pub cap: f32,
    /// Raise the null to chance, −ln(K−1), where it lies below: odds worse than a guess are no evidence.
    pub floor_at_chance: bool,
    /// Return the empty mask without a step where it is known to be the objective's minimum: for a class whose odds do not
    /// exceed the null. Adam would creep towards it, slowed by the large gradients of its first steps.
    pub exact: bool,
    /// Leave the top-1 class out of the rivals of other queries (photos with several objects).
    pub leave_out_top1: bool,
    /// Which masks are returned.
    pub returned: Returned,
    /// Stop when [`SETTLING`] steps together lowered the lowest total loss of every query by at most this share of it. 0 takes
    /// every step.
    pub settle: f64,
    /// Hand the first level's features to each step, for [`Learner::feature`]; else they may stay behind in the part that runs once.
    pub keep_features: bool,
}

/// Which masks a search returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returned {
    /// The last iterate.
    Last,
    /// The one with the lowest total loss.
    Best,
    /// The mean of the iterates after the first ⌈1/rate⌉ steps, in which a gate can come from 1 to 0. It is graded: what goes late is
    /// worth more than what goes at once.
    Mean,
}

/// Steps over which progress is measured where [`Settings::settle`] may end a search early.
pub const SETTLING: usize = 10;

impl Default for Settings {
    fn default() -> Self {
        Settings {
            objective: Objective::Evidence,
            shape: MaskShape::Spatial,
            lambda: 0.05,
            iterations: 60,
            rate: 0.05,
            beta_2: BETA_2,
            cap: 1.0,
            floor_at_chance: true,
            exact: true,
            leave_out_top1: false,
            returned: Returned::Last,
            settle: 0.0,
            keep_features: false,
        }
    }
}

impl Settings {
    /// Whether a query's total losses, step by step, have settled.
    fn settled(&self, losses: &[f64]) -> bool {
        let lowest = |l: &[f64]| l.iter().copied().fold(f64::INFINITY, f64::min);
        let Some(before) = losses.len().checked_sub(SETTLING).filter(|&n| self.settle > 0.0 && n > 0) else {
            return false;
        };
        let before = lowest(&losses[..before]);
        before - lowest(losses) <= self.settle * before.abs()
    }
}

/// The masks of one query.
#[derive(Clone, Debug)]
pub struct Learned {
    /// The query with its reference and null.
    pub query: Query,
    /// Log-odds with every mask zero, before any floor.
    pub null_log_odds: f64,
    /// Logits of the masked model at the returned masks.
    pub kept_logits: Vec<f32>,
    /// The mask of each level, C×H×W row-major.
    pub masks: Vec<Vec<f32>>,
    /// Total loss before each step and at the returned masks.
    pub losses: Vec<f64>,
}

/// Passes of one image through the network, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passes {
    /// Forward passes.
    pub forward: u64,
    /// Backward passes.
    pub backward: u64,
}

impl std::ops::AddAssign for Passes {
    fn add_assign(&mut self, other: Passes) {
        self.forward += other.forward;
        self.backward += other.backward;
    }
}

impl Passes {
    /// The part of query `q` of `count` in passes that all of them share. The parts add up to the whole.
    pub fn share(self, q: usize, count: usize) -> Passes {
        let part = |n: u64| n / count.max(1) as u64 + u64::from((q as u64) < n % count.max(1) as u64);
        Passes { forward: part(self.forward), backward: part(self.backward) }
    }
}

/// A model with masks in it, compiled once: the part before the first mask, and one optimiser step of the rest.
pub struct Learner {
    /// The levels that are masked.
    pub levels: Vec<Level>,
    /// The settings it was compiled for.
    pub settings: Settings,
    sites: Vec<MaskSite>,
    prefix: Option<Box<dyn Session>>,
    step: Box<dyn Session>,
    classes: usize,
    multi_label: bool,
    fixed_batch: Option<usize>,
    max_batch: usize,
    /// For each crossing value of the cut, whether it is the image itself.
    crossing_is_image: Vec<bool>,
    /// Position among the crossing values of each level's unmasked feature map, where it crosses.
    level_crossing: Vec<Option<usize>>,
}

/// An image's values at the cut, computed once for all its queries.
pub struct Prepared {
    crossing: Vec<Tensor>,
    /// Logits of the unmasked image.
    pub reference: Vec<f32>,
}

impl Learner {
    /// Compiles a model for learning masks at `levels`.
    ///
    /// # Errors
    /// A node without a gradient rule, or an operator that the engine lacks.
    pub fn new(model: &Model, levels: Vec<Level>, settings: Settings) -> Result<Self> {
        let multi_label = model.head == Head::MultiLabel;
        let Masked { sites, cut, .. } =
            masked(model, &levels, &settings).map_err(|e| Error::graph(&model.info.path, e))?;
        let prefix =
            if cut.prefix.nodes.is_empty() { None } else { Some(model.engine.compile(&cut.prefix)?) };
        let step = model.engine.compile(&cut.suffix)?;
        Ok(Learner {
            level_crossing: levels.iter().map(|l| cut.crossing.iter().position(|c| *c == l.value)).collect(),
            crossing_is_image: cut.crossing.iter().map(|&c| c == model.input).collect(),
            levels,
            settings,
            sites,
            prefix,
            step,
            classes: model.classes,
            multi_label,
            fixed_batch: model.fixed_batch,
            max_batch: if cut.crosses_in_rows() { max_batch(&cut.suffix) } else { 1 },
        })
    }

    /// Runs the part before the masks, once, and reads the unmasked logits.
    ///
    /// # Errors
    /// If the engine fails.
    pub fn prepare(&mut self, model: &Model, image: &[f32], passes: &mut Passes) -> Result<Prepared> {
        let mut prepared = self.prepare_all(model, &[image], passes)?;
        prepared.pop().ok_or_else(|| missing(model))
    }

    /// [`Learner::prepare`] of several images, in batches where the model allows them.
    ///
    /// # Errors
    /// If the engine fails.
    pub fn prepare_all(
        &mut self,
        model: &Model,
        images: &[&[f32]],
        passes: &mut Passes,
    ) -> Result<Vec<Prepared>> {
        let mut all: Vec<Prepared> = vec![];
        for part in images.chunks(if self.fixed_batch.is_some() { 1 } else { self.max_batch }) {
            all.extend(self.prepare_part(model, part)?);
            passes.forward += part.len() as u64;
        }
        let ones = self.full_masks(1.0);
        let blank = self.blank();
        let cases: Vec<Case<'_>> = all.iter().map(|prepared| Case { prepared, query: &blank }).collect();
        let (logits, _) = self.run_all(&cases, &vec![&ones; cases.len()], Pass::Forward)?;
        for (prepared, logits) in all.iter_mut().zip(logits) {
            model.check_scores(&logits)?;
            prepared.reference = logits;
        }
        Ok(all)
    }

    fn prepare_part(&mut self, model: &Model, part: &[&[f32]]) -> Result<Vec<Prepared>> {
        let at = |e| Error::graph(&model.info.path, e);
        let images = match part {
            [one] => model.input_tensor(one)?,
            _ => Tensor::floats(&model.batch_shape(part.len()), part.concat()).map_err(at)?,
        };
        let mut computed = match &mut self.prefix {
            Some(prefix) => prefix.run(&[&images])?.into_iter(),
            None => vec![].into_iter(),
        };
        let mut all: Vec<Prepared> =
            part.iter().map(|_| Prepared { crossing: vec![], reference: vec![] }).collect();
        for &is_image in &self.crossing_is_image {
            let value =
                if is_image && self.prefix.is_none() { Some(images.clone()) } else { computed.next() };
            let rows = value.ok_or_else(|| missing(model))?.split(part.len()).map_err(at)?;
            all.iter_mut().zip(rows).for_each(|(prepared, row)| prepared.crossing.push(row));
        }
        Ok(all)
    }

    /// A query that asks for nothing.
    fn blank(&self) -> Query {
        Query {
            class: 0,
            left_out: vec![],
            multi_label: self.multi_label,
            reference: vec![0.0; self.classes],
            floor: 0.0,
        }
    }

    /// The unmasked feature map of a level (1×C×H×W), if it is computed before the masks and
    /// [`Settings::keep_features`] asked for it.
    pub fn feature(&self, prepared: &Prepared, level: usize) -> Option<Tensor> {
        let values = prepared.crossing[self.level_crossing[level]?].as_floats()?;
        let feature = self.levels[level].feature();
        let [c, h, w] = feature.shape;
        // A fixed batch repeats the image; the first is enough.
        let one = &values[..values.len() / self.fixed_batch.unwrap_or(1)];
        Tensor::floats(&[1, c, h, w], feature.channels_first(one)).ok()
    }

    /// Learns the masks of several classes of one prepared image, in one batch where the model allows it.
    /// `progress` is called after each step.
    ///
    /// # Errors
    /// If the engine fails or the output stops being a number.
    pub fn learn(
        &mut self,
        model: &Model,
        prepared: &Prepared,
        classes: &[usize],
        passes: &mut Passes,
        progress: &mut dyn FnMut(),
    ) -> Result<Vec<Learned>> {
        let cases: Vec<_> = classes.iter().map(|&class| (prepared, class)).collect();
        self.learn_all(model, &cases, passes, progress)
    }

    /// [`Learner::learn`] for classes of several images.
    ///
    /// # Errors
    /// As [`Learner::learn`].
    pub fn learn_all(
        &mut self,
        model: &Model,
        cases: &[(&Prepared, usize)],
        passes: &mut Passes,
        progress: &mut dyn FnMut(),
    ) -> Result<Vec<Learned>> {
        let mut queries: Vec<Query> = cases
            .iter()
            .map(|&(prepared, class)| {
                let top1 = argmax(&prepared.reference);
                let leave_out = self.settings.leave_out_top1 && class != top1;
                Query {
                    class,
                    left_out: if leave_out { vec![top1] } else { vec![] },
                    reference: prepared.reference.clone(),
                    floor: f64::NEG_INFINITY,
                    ..self.blank()
                }
            })
            .collect();
        let empty_logits = self.empty_logits(cases, passes)?;
        let nulls: Vec<f64> = queries.iter().zip(&empty_logits).map(|(q, empty)| q.log_odds(empty)).collect();
        let chance = -((self.classes.saturating_sub(1)).max(1) as f64).ln();
        for (query, &null) in queries.iter_mut().zip(&nulls) {
            query.floor =
                if self.settings.floor_at_chance && !self.multi_label { null.max(chance) } else { null };
        }
        let mut masks: Vec<Vec<Vec<f32>>> = queries.iter().map(|_| self.full_masks(1.0)).collect();
        let mut best: Vec<(f64, Vec<Vec<f32>>)> = masks.iter().map(|m| (f64::INFINITY, m.clone())).collect();
        let mut adams: Vec<Vec<Adam>> = masks
            .iter()
            .map(|m| m.iter().map(|l| Adam::new(l.len(), self.settings.rate, self.settings.beta_2)).collect())
            .collect();
        let mut losses: Vec<Vec<f64>> = vec![vec![]; queries.len()];
        // Without evidence the empty mask costs nothing, and nothing costs less.
        let known = |q: &Query| {
            self.settings.exact && self.settings.objective == Objective::Evidence && q.target() <= q.floor
        };
        let open: Vec<usize> = (0..queries.len()).filter(|&q| !known(&queries[q])).collect();
        for q in (0..queries.len()).filter(|q| !open.contains(q)) {
            masks[q] = self.full_masks(0.0);
        }
        if self.fixed_batch.is_none() && !open.is_empty() {
            self.step.expect_batch(open.len().min(self.max_batch));
        }
        // What stays the same from step to step is laid out once.
        let rows: Vec<Case<'_>> = open.iter().map(|&q| case(cases, &queries, q)).collect();
        let batches = self.batches(&rows)?;
        // Means of the iterates from the first that counts on, for those that ask for them.
        let mut means: Vec<Vec<Vec<f32>>> = vec![];
        let first =
            ((1.0 / self.settings.rate).ceil() as usize).min(self.settings.iterations.saturating_sub(1));
        for step in 0..self.settings.iterations {
            if !open.is_empty() && open.iter().all(|&q| self.settings.settled(&losses[q])) {
                (step..self.settings.iterations).for_each(|_| progress());
                break;
            }
            let at: Vec<_> = open.iter().map(|&q| &masks[q]).collect();
            let (logits, slopes) = self.run(&batches, &at, Pass::Both)?;
            passes.forward += open.len() as u64;
            passes.backward += open.len() as u64;
            for (i, &q) in open.iter().enumerate() {
                let query = &queries[q];
                model.check_scores(&logits[i])?;
                let loss = self.loss(query, &logits[i], &masks[q]);
                losses[q].push(loss);
                if self.settings.returned == Returned::Best && loss < best[q].0 {
                    best[q] = (loss, masks[q].clone());
                }
                for (l, site) in self.sites.iter().enumerate() {
                    let pull = self.settings.lambda * l1_weight(site);
                    let gradient = slopes[i][l].iter().map(|g| g + pull);
                    adams[q][l].step(&mut masks[q][l], gradient, self.settings.cap);
                }
            }
            if self.settings.returned == Returned::Mean && step == first {
                means = open.iter().map(|&q| masks[q].clone()).collect();
            }
            for (mean, &q) in means.iter_mut().zip(&open).filter(|_| step > first) {
                fold_in(mean, &masks[q], step - first + 1);
            }
            progress();
        }
        for (mean, &q) in means.into_iter().zip(&open) {
            masks[q] = mean;
        }
        let mut logits = empty_logits;
        let at: Vec<_> = open.iter().map(|&q| &masks[q]).collect();
        let (kept, _) = self.run(&batches, &at, Pass::Forward)?;
        passes.forward += open.len() as u64;
        for (&q, kept) in open.iter().zip(kept) {
            logits[q] = kept;
            let last = self.loss(&queries[q], &logits[q], &masks[q]);
            if self.settings.returned == Returned::Best && best[q].0 < last {
                masks[q] = std::mem::take(&mut best[q].1);
                let row = [case(cases, &queries, q)];
                logits[q] = self.run_all(&row, &[&masks[q]], Pass::Forward)?.0.remove(0);
                passes.forward += 1;
            }
        }
        for (q, query) in queries.iter().enumerate() {
            losses[q].push(self.loss(query, &logits[q], &masks[q]));
        }
        let rows = queries.into_iter().zip(nulls).zip(logits.into_iter().zip(masks.into_iter().zip(losses)));
        Ok(rows
            .map(|((query, null_log_odds), (kept_logits, (masks, losses)))| Learned {
                query,
                null_log_odds,
                kept_logits,
                masks,
                losses,
            })
            .collect())
    }

    /// Logits of prepared images under given masks (one vector a level, C×H×W row-major).
    ///
    /// # Errors
    /// If the engine fails.
    pub fn answers(&mut self, cases: &[(&Prepared, &Vec<Vec<f32>>)]) -> Result<Vec<Vec<f32>>> {
        let blank = self.blank();
        let rows: Vec<Case<'_>> =
            cases.iter().map(|&(prepared, _)| Case { prepared, query: &blank }).collect();
        let masks: Vec<&Vec<Vec<f32>>> = cases.iter().map(|&(_, masks)| masks).collect();
        Ok(self.run_all(&rows, &masks, Pass::Forward)?.0)
    }

    /// D + λ Σ_l t_l · |feature_l|/|m_l| · ‖m_l‖₁ with t_l = 1/√(H_l·W_l).
    fn loss(&self, query: &Query, logits: &[f32], masks: &[Vec<f32>]) -> f64 {
        let sparsity: f64 = self
            .sites
            .iter()
            .zip(masks)
            .map(|(site, m)| f64::from(l1_weight(site)) * m.iter().map(|&v| f64::from(v)).sum::<f64>())
            .sum();
        self.settings.objective.value(query, logits) + f64::from(self.settings.lambda) * sparsity
    }

    fn full_masks(&self, value: f32) -> Vec<Vec<f32>> {
        self.sites.iter().map(|s| vec![value; s.mask_shape.iter().product()]).collect()
    }

    /// For each case the logits with every mask zero: one pass an image, however many of its classes are asked for.
    fn empty_logits(&mut self, cases: &[(&Prepared, usize)], passes: &mut Passes) -> Result<Vec<Vec<f32>>> {
        let mut images: Vec<&Prepared> = vec![];
        let mut of_case = vec![];
        for &(prepared, _) in cases {
            if !images.last().is_some_and(|last| std::ptr::eq(*last, prepared)) {
                images.push(prepared);
            }
            of_case.push(images.len() - 1);
        }
        let (blank, zeros) = (self.blank(), self.full_masks(0.0));
        let blanks: Vec<Case<'_>> = images.iter().map(|prepared| Case { prepared, query: &blank }).collect();
        let (logits, _) = self.run_all(&blanks, &vec![&zeros; images.len()], Pass::Forward)?;
        passes.forward += images.len() as u64;
        Ok(of_case.into_iter().map(|i| logits[i].clone()).collect())
    }

    /// One pass over cases that are not run again.
    fn run_all(&mut self, cases: &[Case<'_>], masks: &[&Vec<Vec<f32>>], pass: Pass) -> Result<Step> {
        let batches = self.batches(cases)?;
        self.run(&batches, masks, pass)
    }

    /// Cases in batches that the model allows: a fixed batch holds one image.
    fn batches<'c>(&self, cases: &[Case<'c>]) -> Result<Vec<Batch<'c>>> {
        let mut all = vec![];
        let mut start = 0;
        while let Some(first) = cases.get(start) {
            let most = self.fixed_batch.unwrap_or(self.max_batch);
            let fits = |c: &&Case<'_>| self.fixed_batch.is_none() || std::ptr::eq(c.prepared, first.prepared);
            let end = start + cases[start..].iter().take(most).take_while(fits).count();
            all.push(self.batch(&cases[start..end])?);
            start = end;
        }
        Ok(all)
    }

    fn batch<'c>(&self, cases: &[Case<'c>]) -> Result<Batch<'c>> {
        let used = cases.len();
        // A fixed batch larger than the queries is filled with the first.
        let size = self.fixed_batch.unwrap_or(used);
        let rows = |f: &dyn Fn(&Query) -> Vec<f32>| -> Result<Tensor> {
            let values: Vec<f32> = (0..size).flat_map(|i| f(cases[row_of(i, used)].query)).collect();
            tensor(&[size, values.len() / size.max(1)], values)
        };
        let one_hot = |q: &Query| (0..q.reference.len()).map(|k| f32::from(u8::from(k == q.class))).collect();
        let queries = vec![
            rows(&one_hot)?,
            rows(&Query::rivals)?,
            rows(&|q| q.reference.clone())?,
            rows(&|q| vec![q.floor as f32])?,
        ];
        let crossing = if self.fixed_batch.is_some() || size == 1 {
            Cow::Borrowed(cases[0].prepared.crossing.as_slice())
        } else {
            let stacked = |i: usize| Tensor::stacked(cases.iter().map(|c| &c.prepared.crossing[i]));
            let stacked = (0..self.crossing_is_image.len()).map(stacked);
            Cow::Owned(stacked.collect::<std::result::Result<_, _>>().map_err(|e| Error::graph("mask", e))?)
        };
        Ok(Batch { used, size, queries, crossing, key: HeldKey::default() })
    }

    /// One pass: logits of the masked images, and (if asked for) the gradient of D with respect to each mask, case by case.
    fn run(&mut self, batches: &[Batch<'_>], masks: &[&Vec<Vec<f32>>], pass: Pass) -> Result<Step> {
        let mut all: Step = (vec![], vec![]);
        let mut masks = masks;
        for batch in batches {
            let (own, rest) = masks.split_at(batch.used);
            masks = rest;
            let (logits, slopes) = self.run_batch(batch, own, pass)?;
            all.0.extend(logits);
            all.1.extend(slopes);
        }
        Ok(all)
    }

    fn run_batch(&mut self, batch: &Batch<'_>, masks: &[&Vec<Vec<f32>>], pass: Pass) -> Result<Step> {
        let &Batch { used, size, .. } = batch;
        let mut inputs = vec![];
        for (l, site) in self.sites.iter().enumerate() {
            let [c, h, w] = site.mask_shape;
            let values = (0..size).flat_map(|i| masks[row_of(i, used)][l].iter().copied()).collect();
            inputs.push(tensor(&[size, c, h, w], values)?);
        }
        let masks: Vec<&Tensor> = inputs.iter().collect();
        let held: Vec<&Tensor> = batch.queries.iter().chain(batch.crossing.iter()).collect();
        let out = match pass {
            Pass::Forward => self.step.run_first(&[masks, held].concat(), 1)?,
            Pass::Both => self.step.run_held(&masks, &held, &batch.key, 1 + self.sites.len())?,
        };
        let mut out = out.into_iter().map(|t| t.into_floats().unwrap_or_default());
        let split = |values: Vec<f32>| -> Vec<Vec<f32>> {
            let row = (values.len() / size.max(1)).max(1);
            values.chunks(row).take(used).map(<[f32]>::to_vec).collect()
        };
        let logits = split(out.next().unwrap_or_default());
        let mut slopes: Vec<Vec<Vec<f32>>> = vec![vec![]; used];
        for level in out {
            for (q, row) in split(level).into_iter().enumerate() {
                slopes[q].push(row);
            }
        }
        Ok((logits, slopes))
    }
}

/// Makes the mean of `count` - 1 masks that of `count`.
fn fold_in(mean: &mut [Vec<f32>], masks: &[Vec<f32>], count: usize) {
    for (mean, mask) in mean.iter_mut().flatten().zip(masks.iter().flatten()) {
        *mean += (mask - *mean) / count as f32;
    }
}

/// Which of `used` cases stands in row `i` of a batch.
fn row_of(i: usize, used: usize) -> usize {
    if i < used { i } else { 0 }
}

/// What one run computes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// Logits.
    Forward,
    /// Logits and slopes.
    Both,
}

/// Logits, and slopes by level, of each query.
type Step = (Vec<Vec<f32>>, Vec<Vec<Vec<f32>>>);

/// A class of an image, as one row of a batch.
struct Case<'c> {
    prepared: &'c Prepared,
    query: &'c Query,
}

fn case<'c>(cases: &[(&'c Prepared, usize)], queries: &'c [Query], q: usize) -> Case<'c> {
    Case { prepared: cases[q].0, query: &queries[q] }
}

/// Cases in the form of the step's inputs, without the masks.
struct Batch<'c> {
    used: usize,
    size: usize,
    queries: Vec<Tensor>,
    crossing: Cow<'c, [Tensor]>,
    /// Stands for `queries` and `crossing`, which are the same in every step.
    key: HeldKey,
}

/// Most bytes that the values of one step may have, all together.
const STEP_BYTES: u64 = 1 << 30;
/// Most queries in one batch, however small: convolutions gain nothing from more.
const MOST_QUERIES: u64 = 64;

/// Most queries in one batch of a step, by memory.
fn max_batch(step: &Graph) -> usize {
    (STEP_BYTES / computed_bytes(step).max(1)).clamp(1, MOST_QUERIES) as usize
}

fn tensor(shape: &[usize], values: Vec<f32>) -> Result<Tensor> {
    Tensor::floats(shape, values).map_err(|e| Error::graph("mask", e))
}

fn missing(model: &Model) -> Error {
    Error::Model {
        path: model.info.path.clone(),
        reason: "a level depends on nothing the prefix computes".into(),
    }
}

/// Index of the largest score; the first among equals.
pub fn argmax(scores: &[f32]) -> usize {
    let mut best = 0;
    for (i, s) in scores.iter().enumerate() {
        if *s > scores[best] {
            best = i;
        }
    }
    best
}
