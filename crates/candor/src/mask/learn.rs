//! Learning the masks of several queries of one image in one batch.

use candor_graph::insert::{MaskShape, MaskSite};
use candor_graph::tensor::Tensor;

use super::adam::Adam;
use super::levels::Level;
use super::masked::{Masked, l1_weight, masked};
use super::objective::{Objective, Query};
use crate::engine::Session;
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
    /// Upper bound of a mask; 1 keeps it a selection.
    pub cap: f32,
    /// Raise the null to chance, −ln(K−1), where it lies below: odds worse than a guess are no evidence.
    pub floor_at_chance: bool,
    /// Return the empty mask without a step where it is known to be the objective's minimum: for a class whose odds do not
    /// exceed the null. Adam would creep towards it, slowed by the large gradients of its first steps.
    pub exact: bool,
    /// Leave the top-1 class out of the rivals of other queries (photos with several objects).
    pub leave_out_top1: bool,
    /// Return the iterate with the lowest total loss instead of the last.
    pub return_best: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            objective: Objective::Evidence,
            shape: MaskShape::Spatial,
            lambda: 0.05,
            iterations: 60,
            rate: 0.05,
            cap: 1.0,
            floor_at_chance: true,
            exact: true,
            leave_out_top1: false,
            return_best: false,
        }
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
        })
    }

    /// Runs the part before the masks, once, and reads the unmasked logits.
    ///
    /// # Errors
    /// If the engine fails.
    pub fn prepare(&mut self, model: &Model, image: &[f32], passes: &mut Passes) -> Result<Prepared> {
        let image = model.input_tensor(image)?;
        let mut computed = match &mut self.prefix {
            Some(prefix) => prefix.run(&[&image])?.into_iter(),
            None => vec![].into_iter(),
        };
        let mut crossing = vec![];
        for &is_image in &self.crossing_is_image {
            let value = if is_image && self.prefix.is_none() { Some(image.clone()) } else { computed.next() };
            crossing.push(value.ok_or_else(|| missing(model))?);
        }
        let mut prepared = Prepared { crossing, reference: vec![] };
        let ones: Vec<Vec<f32>> =
            self.sites.iter().map(|s| vec![1.0; s.mask_shape.iter().product()]).collect();
        let blank = Query {
            class: 0,
            left_out: vec![],
            multi_label: self.multi_label,
            reference: vec![0.0; self.classes],
            floor: 0.0,
        };
        let (logits, _) = self.run(&prepared, &[&blank], &[&ones], Pass::Forward)?;
        passes.forward += 1;
        prepared.reference = logits.into_iter().next().unwrap_or_default();
        model.check_scores(&prepared.reference)?;
        Ok(prepared)
    }

    /// The unmasked feature map of a level (1×C×H×W), if it is computed before the masks.
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
        let top1 = argmax(&prepared.reference);
        let mut queries: Vec<Query> = classes
            .iter()
            .map(|&class| Query {
                class,
                left_out: if self.settings.leave_out_top1 && class != top1 { vec![top1] } else { vec![] },
                multi_label: self.multi_label,
                reference: prepared.reference.clone(),
                floor: f64::NEG_INFINITY,
            })
            .collect();
        // Every mask zero is the same image for all queries: one pass.
        let empty_logits = match queries.first() {
            Some(first) => {
                let blank = Query { floor: 0.0, ..first.clone() };
                passes.forward += 1;
                self.run(prepared, &[&blank], &[&self.full_masks(0.0)], Pass::Forward)?.0.swap_remove(0)
            }
            None => return Ok(vec![]),
        };
        let nulls: Vec<f64> = queries.iter().map(|q| q.log_odds(&empty_logits)).collect();
        let chance = -((self.classes.saturating_sub(1)).max(1) as f64).ln();
        for (query, &null) in queries.iter_mut().zip(&nulls) {
            query.floor =
                if self.settings.floor_at_chance && !self.multi_label { null.max(chance) } else { null };
        }
        let mut masks: Vec<Vec<Vec<f32>>> = queries.iter().map(|_| self.full_masks(1.0)).collect();
        let mut best: Vec<(f64, Vec<Vec<f32>>)> = masks.iter().map(|m| (f64::INFINITY, m.clone())).collect();
        let mut adams: Vec<Vec<Adam>> = masks
            .iter()
            .map(|m| m.iter().map(|l| Adam::new(l.len(), self.settings.rate)).collect())
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
        for _ in 0..self.settings.iterations {
            let (logits, slopes) = self.run_all(prepared, &queries, &masks, &open, Pass::Both)?;
            passes.forward += open.len() as u64;
            passes.backward += open.len() as u64;
            for (i, &q) in open.iter().enumerate() {
                let query = &queries[q];
                model.check_scores(&logits[i])?;
                let loss = self.loss(query, &logits[i], &masks[q]);
                losses[q].push(loss);
                if self.settings.return_best && loss < best[q].0 {
                    best[q] = (loss, masks[q].clone());
                }
                for (l, site) in self.sites.iter().enumerate() {
                    let pull = self.settings.lambda * l1_weight(site);
                    let gradient = slopes[i][l].iter().map(|g| g + pull);
                    adams[q][l].step(&mut masks[q][l], gradient, self.settings.cap);
                }
            }
            progress();
        }
        let mut logits = vec![empty_logits.clone(); queries.len()];
        let (kept, _) = self.run_all(prepared, &queries, &masks, &open, Pass::Forward)?;
        passes.forward += open.len() as u64;
        for (&q, kept) in open.iter().zip(kept) {
            logits[q] = kept;
            let last = self.loss(&queries[q], &logits[q], &masks[q]);
            if self.settings.return_best && best[q].0 < last {
                masks[q] = std::mem::take(&mut best[q].1);
                logits[q] = self.run_all(prepared, &queries, &masks, &[q], Pass::Forward)?.0.remove(0);
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

    /// D + λ Σ_l t_l · C_l/|m_l channels| · ‖m_l‖₁ with t_l = 1/√(H_l·W_l).
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

    /// [`Learner::run`] for the queries in `open`, in batches that the model allows.
    fn run_all(
        &mut self,
        prepared: &Prepared,
        queries: &[Query],
        masks: &[Vec<Vec<f32>>],
        open: &[usize],
        pass: Pass,
    ) -> Result<Step> {
        let mut all: Step = (vec![], vec![]);
        for part in open.chunks(self.fixed_batch.unwrap_or(MAX_BATCH)) {
            let queries: Vec<&Query> = part.iter().map(|&q| &queries[q]).collect();
            let masks: Vec<&Vec<Vec<f32>>> = part.iter().map(|&q| &masks[q]).collect();
            let (logits, slopes) = self.run(prepared, &queries, &masks, pass)?;
            all.0.extend(logits);
            all.1.extend(slopes);
        }
        Ok(all)
    }

    /// One pass: logits of the masked image, and (if asked for) the gradient of D with respect to each mask, query by query.
    fn run(
        &mut self,
        prepared: &Prepared,
        queries: &[&Query],
        masks: &[&Vec<Vec<f32>>],
        pass: Pass,
    ) -> Result<Step> {
        let used = queries.len();
        // A fixed batch larger than the queries is filled with the first.
        let batch = self.fixed_batch.unwrap_or(used);
        let pick = |i: usize| if i < used { i } else { 0 };
        let mut inputs = vec![];
        for (l, site) in self.sites.iter().enumerate() {
            let [c, h, w] = site.mask_shape;
            let values = (0..batch).flat_map(|i| masks[pick(i)][l].iter().copied()).collect();
            inputs.push(tensor(&[batch, c, h, w], values)?);
        }
        let rows = |f: &dyn Fn(&Query) -> Vec<f32>| -> Result<Tensor> {
            let values: Vec<f32> = (0..batch).flat_map(|i| f(queries[pick(i)])).collect();
            tensor(&[batch, values.len() / batch.max(1)], values)
        };
        let one_hot = |q: &Query| (0..q.reference.len()).map(|k| f32::from(u8::from(k == q.class))).collect();
        inputs.push(rows(&one_hot)?);
        inputs.push(rows(&Query::rivals)?);
        inputs.push(rows(&|q| q.reference.clone())?);
        inputs.push(rows(&|q| vec![q.floor as f32])?);
        let tiled: Vec<Tensor> = if self.fixed_batch.is_some() || batch == 1 {
            vec![]
        } else {
            let tiled = prepared.crossing.iter().map(|t| t.tiled(batch).map_err(|e| Error::graph("mask", e)));
            tiled.collect::<Result<_>>()?
        };
        let crossing = if tiled.is_empty() { &prepared.crossing } else { &tiled };
        let inputs: Vec<&Tensor> = inputs.iter().chain(crossing).collect();
        let wanted = if pass == Pass::Both { 1 + self.sites.len() } else { 1 };
        let mut out =
            self.step.run_first(&inputs, wanted)?.into_iter().map(|t| t.into_floats().unwrap_or_default());
        let split = |values: Vec<f32>| -> Vec<Vec<f32>> {
            let row = (values.len() / batch.max(1)).max(1);
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

/// Most queries in one batch: convolutions gain little from more, memory grows with each.
const MAX_BATCH: usize = 8;

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
