//! Learns the masks of several queries, of one image or of several, in one batch.

use crate::progress::{Cancelled, Progress};
use candor_graph::flops;
use candor_graph::tensor::Tensor;

use super::evidence::{Found, Look};
use super::keep::{self, Keeping, Seen};
use super::levels::Level;
use super::masked::{Masked, masked};
use super::objective::{Objective, Query};
use super::places::{PlaceTest, has_crowd};
use super::prepared::Prepared;
use super::settings::{Returned, Settings};
use super::step::{Case, Step};
use crate::engine::Session;
use crate::error::{Error, ModelError, Result};
use crate::false_alarms::{FalseAlarms, Ground, WEAK};
use crate::model::Model;
use crate::passes::Passes;

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
    /// Weight λ of the L1 term with which the masks were found.
    pub lambda: f32,
    /// Logits with every mask zero.
    pub null_logits: Vec<f32>,
    /// Where the class is, and whether it counts as present; `None` if the settings evaluate the whole photo.
    pub found: Option<Found>,
    /// Passes of this query. Those of the null, which all queries of an image share, are added to the first query.
    pub passes: Passes,
}

impl Learned {
    /// The closer look on which the masks were learned, if any.
    pub fn look(&self) -> Option<&Look> {
        self.found.as_ref().filter(|f| f.ground == Ground::CloserLook)?.look.as_ref()
    }

    /// Fraction of the evidence that the masks keep; 0 without evidence.
    pub fn kept(&self) -> f64 {
        share(&self.query, &self.kept_logits)
    }
}

/// Fraction of a query's evidence in masked logits; 0 without evidence.
fn share(query: &Query, logits: &[f32]) -> f64 {
    let evidence = query.evidence();
    if evidence > 0.0 { (query.log_odds(logits) - query.floor) / evidence } else { 0.0 }
}

/// A model with masks inserted, compiled once: the part before the first mask, and one optimiser step of the rest.
pub struct Learner {
    /// The levels that are masked.
    pub levels: Vec<Level>,
    /// The settings it was compiled for.
    pub settings: Settings,
    /// Weight λ of the L1 term with which searches start; may be changed between searches.
    pub lambda: f32,
    /// How often absent classes show as much evidence.
    pub false_alarms: FalseAlarms,
    pub(super) places: Option<PlaceTest>,
    prefix: Option<Box<dyn Session>>,
    pub(super) step: Step,
    pub(super) classes: usize,
    pub(super) multi_label: bool,
    /// Whether classes exclude each other, so that chance is a lower bound of the null.
    pub(super) exclusive: bool,
    fixed_batch: Option<usize>,
    /// For each crossing value of the cut, whether it is the input image.
    crossing_is_image: Vec<bool>,
    /// For each level, the index of its unmasked feature map among the crossing values, if it is one.
    level_crossing: Vec<Option<usize>>,
}

impl Learner {
    /// Compiles a model for learning masks at `levels`.
    ///
    /// # Errors
    /// A node without a gradient rule, or an operator that the engine does not support.
    pub fn new(model: &Model, levels: Vec<Level>, mut settings: Settings) -> Result<Self> {
        settings.look &= has_crowd(model.classes);
        let multi_label = model.is_sigmoid();
        let masked = masked(model, &levels, &settings).map_err(|e| Error::graph(&model.info.path, e))?;
        let step = Step::new(model, &masked, &settings)?;
        let Masked { cut, lambda, .. } = masked;
        let prefix =
            if cut.prefix.nodes.is_empty() { None } else { Some(model.engine.compile(&cut.prefix)?) };
        let coarsest = levels.last().filter(|_| settings.places && has_crowd(model.classes));
        let before = flops::forward(&cut.prefix, 1);
        Ok(Learner {
            places: coarsest.map(|level| PlaceTest::new(model, level, before)).transpose()?,
            false_alarms: FalseAlarms::built_in(model.classes),
            level_crossing: levels.iter().map(|l| cut.crossing.iter().position(|c| *c == l.value)).collect(),
            crossing_is_image: cut.crossing.iter().map(|&c| c == model.input).collect(),
            levels,
            settings,
            lambda,
            prefix,
            step,
            classes: model.classes,
            multi_label,
            exclusive: model.head.is_exclusive(),
            fixed_batch: model.fixed_batch,
        })
    }

    /// Maximum number of images in one batch, limited by memory.
    pub fn images(&self) -> usize {
        self.step.images()
    }

    /// Runs the part before the masks, once, and reads the unmasked logits.
    ///
    /// # Errors
    /// If the engine fails.
    pub fn prepare(&mut self, model: &Model, image: &[f32]) -> Result<Prepared> {
        let mut prepared = self.prepare_all(model, &[image])?;
        prepared.pop().ok_or_else(|| missing(model))
    }

    /// [`Learner::prepare`] for several images, in batches if the model allows them.
    ///
    /// # Errors
    /// If the engine fails.
    pub fn prepare_all(&mut self, model: &Model, images: &[&[f32]]) -> Result<Vec<Prepared>> {
        let mut all: Vec<Prepared> = vec![];
        for part in images.chunks(self.step.images()) {
            all.extend(self.prepare_part(model, part)?);
        }
        if let Some(test) = &mut self.places {
            for prepared in &mut all {
                let places = test.test(model, &prepared.image)?;
                prepared.reference = places.whole().to_vec();
                prepared.places = Some(places);
            }
            return Ok(all);
        }
        let ones = self.step.masks(1.0);
        let blank = self.blank();
        let cases: Vec<Case<'_>> = all.iter().map(|prepared| Case { prepared, query: &blank }).collect();
        let logits = self.step.logits(&cases, &vec![&ones; cases.len()])?;
        for (prepared, logits) in all.iter_mut().zip(logits) {
            model.check_scores(&logits)?;
            prepared.reference = logits;
        }
        Ok(all)
    }

    /// Images at the cut, without their logits.
    pub(super) fn prepare_part(&mut self, model: &Model, part: &[&[f32]]) -> Result<Vec<Prepared>> {
        let at = |e| Error::graph(&model.info.path, e);
        let images = match part {
            [one] => model.input_tensor(one)?,
            _ => Tensor::floats(&model.batch_shape(part.len()), part.concat()).map_err(at)?,
        };
        let mut computed = match &mut self.prefix {
            Some(prefix) => prefix.run(&[&images])?.into_iter(),
            None => vec![].into_iter(),
        };
        let mut all: Vec<Prepared> = part
            .iter()
            .map(|image| Prepared {
                crossing: vec![],
                reference: vec![],
                image: image.to_vec(),
                places: None,
            })
            .collect();
        for &is_image in &self.crossing_is_image {
            let value =
                if is_image && self.prefix.is_none() { Some(images.clone()) } else { computed.next() };
            let rows = value.ok_or_else(|| missing(model))?.split(part.len()).map_err(at)?;
            all.iter_mut().zip(rows).for_each(|(prepared, row)| prepared.crossing.push(row));
        }
        Ok(all)
    }

    /// A query without a class of interest, for calls that need only logits.
    pub(super) fn blank(&self) -> Query {
        Query {
            class: 0,
            left_out: vec![],
            multi_label: self.multi_label,
            reference: vec![0.0; self.classes],
            floor: 0.0,
            place: None,
            losses_only: false,
        }
    }

    /// The unmasked feature map of a level (C×H×W), if it is computed before the masks and
    /// [`Settings::keep_features`] is set.
    pub fn feature(&self, prepared: &Prepared, level: usize) -> Option<Vec<f32>> {
        let values = prepared.crossing[self.level_crossing[level]?].as_floats()?;
        // A fixed batch contains the image several times; the first is enough.
        let one = &values[..values.len() / self.fixed_batch.unwrap_or(1)];
        Some(self.levels[level].feature().channels_first(one))
    }

    /// Learns the masks of several classes of one prepared image, in one batch where the model allows it.
    /// `progress` is called after each step.
    ///
    /// # Errors
    /// If the engine fails or a score is not finite.
    pub fn learn(
        &mut self,
        model: &Model,
        prepared: &Prepared,
        classes: &[usize],
        progress: &mut dyn Progress,
    ) -> Result<Vec<Learned>> {
        let cases: Vec<_> = classes.iter().map(|&class| (prepared, class)).collect();
        self.learn_all(model, &cases, progress)
    }

    /// [`Learner::learn`] for classes of several images.
    ///
    /// # Errors
    /// As [`Learner::learn`].
    pub fn learn_all(
        &mut self,
        model: &Model,
        cases: &[(&Prepared, usize)],
        progress: &mut dyn Progress,
    ) -> Result<Vec<Learned>> {
        let learned = self.empty(model, cases)?;
        self.search_all(model, cases, learned, progress)
    }

    /// Learns the masks of cases again at other, fixed λ, one per case. `like`: the results for these cases, or their empty masks.
    ///
    /// # Errors
    /// As [`Learner::learn`].
    pub fn learn_at(
        &mut self,
        model: &Model,
        cases: &[(&Prepared, usize)],
        (like, lambdas): (&[Learned], &[f32]),
        progress: &mut dyn Progress,
    ) -> Result<Vec<Learned>> {
        let masks = self.step.masks(0.0);
        let again = |(l, &lambda): (&Learned, &f32)| Learned {
            lambda,
            masks: masks.clone(),
            kept_logits: l.null_logits.clone(),
            losses: vec![],
            passes: Passes::default(),
            ..l.clone()
        };
        let learned = like.iter().zip(lambdas).map(again).collect();
        let keep = std::mem::replace(&mut self.settings.keep, 0.0);
        let found = self.search_all(model, cases, learned, progress);
        self.settings.keep = keep;
        found
    }

    /// Whether the empty mask is the result without a search: there is no evidence, or many absent classes show as much.
    fn is_known(&self, l: &Learned) -> bool {
        let nothing = l.query.evidence() <= 0.0 || l.found.as_ref().is_some_and(|f| f.p_value > WEAK);
        self.settings.exact && self.settings.objective == Objective::Evidence && nothing
    }

    fn search_all(
        &mut self,
        model: &Model,
        cases: &[(&Prepared, usize)],
        mut learned: Vec<Learned>,
        progress: &mut dyn Progress,
    ) -> Result<Vec<Learned>> {
        let open: Vec<usize> = (0..cases.len()).filter(|&q| !self.is_known(&learned[q])).collect();
        self.step.expect(open.len());
        // If a closer look showed the class, its masks are learned on the cut-out.
        let image = |q: usize| learned[q].look().and_then(Look::prepared).unwrap_or(cases[q].0);
        let rows: Vec<Case<'_>> =
            open.iter().map(|&q| Case { prepared: image(q), query: &learned[q].query }).collect();
        let batches = self.step.batches(&rows);
        let (steps, mut ticks) = (self.settings.iterations, 0);
        let mut found = vec![];
        for (done, part) in batches.iter().enumerate() {
            // Progress is scaled so that several batches report as many steps as one.
            let mut tick = |step: usize| {
                let until = (done * steps + step) / batches.len();
                let more = (until - ticks) as u64;
                ticks = until;
                progress.steps(more)
            };
            let lambdas: Vec<f32> = open[part.clone()].iter().map(|&q| learned[q].lambda).collect();
            found.extend(self.search(model, &rows[part.clone()], &lambdas, &mut tick)?);
        }
        progress.steps((steps - ticks) as u64)?;
        let unknown = || (0..open.len()).filter(|&i| found[i].logits.is_empty());
        let (cases, masks): (Vec<Case<'_>>, Vec<_>) = unknown().map(|i| (rows[i], &found[i].masks)).unzip();
        let logits = self.step.logits(&cases, &masks)?;
        for (i, logits) in unknown().collect::<Vec<_>>().into_iter().zip(logits) {
            found[i].logits = logits;
            found[i].passes.forward += 1;
        }
        for (&q, Searched { masks, logits, lambda, losses, passes }) in open.iter().zip(found) {
            let l = &mut learned[q];
            (l.kept_logits, l.masks, l.losses, l.lambda) = (logits, masks, losses, lambda);
            l.passes += passes;
        }
        for l in &mut learned {
            l.losses.push(self.loss(l.lambda, &l.query, &l.kept_logits, &l.masks));
        }
        Ok(learned)
    }

    /// Learns the masks of cases that fit into one batch. `tick` receives the number of steps taken.
    fn search(
        &mut self,
        model: &Model,
        cases: &[Case<'_>],
        lambdas: &[f32],
        tick: &mut dyn FnMut(usize) -> Result<(), Cancelled>,
    ) -> Result<Vec<Searched>> {
        let aim = if self.settings.objective == Objective::Evidence { self.settings.keep } else { 0.0 };
        let nothing = |(case, &lambda): (&Case<'_>, &f32)| Searched {
            masks: self.step.start(case.query),
            logits: vec![],
            lambda,
            losses: vec![],
            passes: Passes::default(),
        };
        let mut found: Vec<Searched> = cases.iter().zip(lambdas).map(nothing).collect();
        let mut keeping: Vec<Keeping> = lambdas.iter().map(|&lambda| Keeping::new(lambda, aim)).collect();
        let first = self.settings.first();
        let (mut found_now, mut keeping_now): (Vec<&mut Searched>, Vec<&mut Keeping>) =
            (found.iter_mut().collect(), keeping.iter_mut().collect());
        self.round(
            model,
            cases,
            (self.settings.iterations, first),
            (&mut found_now, &mut keeping_now),
            tick,
        )?;
        for _ in 0..keep::ROUNDS {
            let lost: Vec<usize> = (0..cases.len()).filter(|&q| keeping[q].lost()).collect();
            if lost.is_empty() {
                break;
            }
            // One query at a time, so that the result does not depend on which other queries are retried.
            for q in lost {
                if let Some(masks) = keeping[q].again() {
                    found[q].masks = masks;
                }
                let case = [cases[q]];
                let steps = (self.settings.iterations / 2).max(1);
                let one = (&mut [&mut found[q]][..], &mut [&mut keeping[q]][..]);
                self.round(model, &case, (steps, 0), one, &mut |_| Ok(()))?;
            }
        }
        for (found, keeping) in found.iter_mut().zip(keeping) {
            if let Some(Seen { masks, logits, lambda, .. }) = keeping.found() {
                (found.masks, found.logits, found.lambda) = (masks, logits, lambda);
            }
        }
        Ok(found)
    }

    /// Takes steps from the masks in `found` and stores the resulting masks there. `first`: the step from which masks are considered.
    fn round(
        &mut self,
        model: &Model,
        cases: &[Case<'_>],
        (steps, first): (usize, usize),
        (found, keeping): (&mut [&mut Searched], &mut [&mut Keeping]),
        tick: &mut dyn FnMut(usize) -> Result<(), Cancelled>,
    ) -> Result<()> {
        let Settings { returned, settle, keep, .. } = self.settings;
        let batch = self.step.batch(cases)?;
        let mut search = self.step.begin(&batch, found.iter().map(|f| f.masks.clone()).collect())?;
        for step in 0..steps {
            if found.iter().all(|f| self.settings.settled(&f.losses)) {
                break;
            }
            let before = (returned == Returned::Best || keep > 0.0).then(|| search.masks.clone());
            let back = step + 1 == steps || returned != Returned::Last || settle > 0.0 || keep > 0.0;
            let lambdas: Vec<f32> = keeping.iter().map(|k| k.lambda).collect();
            let seen = self.step.step_loop(&mut search, (&self.settings, &lambdas), back)?;
            for (i, (logits, size)) in seen.iter().enumerate() {
                model.check_scores(logits)?;
                found[i].passes += Passes { forward: 1, backward: 1 };
                let loss = self.total(lambdas[i], cases[i].query, logits, *size);
                if let Some(before) = &before {
                    let share = share(cases[i].query, logits);
                    keeping[i].observe(share, *size, (&before[i], logits), step >= first);
                    if returned == Returned::Best && found[i].beaten_by(loss) {
                        found[i].masks.clone_from(&before[i]);
                    }
                }
                found[i].losses.push(loss);
                if returned == Returned::Mean && step >= first {
                    fold_in(&mut found[i].masks, &search.masks[i], step - first + 1);
                }
            }
            tick(step + 1)?;
        }
        if returned != Returned::Best && keep <= 0.0 {
            if returned == Returned::Last {
                found.iter_mut().zip(search.masks).for_each(|(f, masks)| f.masks = masks);
            }
            return Ok(());
        }
        // The last masks have not been evaluated yet.
        let logits = self.step.logits(cases, &search.masks.iter().collect::<Vec<_>>())?;
        for (i, (logits, masks)) in logits.iter().zip(search.masks).enumerate() {
            found[i].passes.forward += 1;
            let size = self.step.size(&masks);
            let loss = self.total(keeping[i].lambda, cases[i].query, logits, size);
            keeping[i].observe(share(cases[i].query, logits), size, (&masks, logits), true);
            if returned == Returned::Last || returned == Returned::Best && found[i].beaten_by(loss) {
                found[i].masks = masks;
            }
        }
        Ok(())
    }

    /// Logits of prepared images under given masks (one vector per level, C×H×W row-major).
    ///
    /// # Errors
    /// If the engine fails.
    pub fn answers(&mut self, cases: &[(&Prepared, &Vec<Vec<f32>>)]) -> Result<Vec<Vec<f32>>> {
        let blank = self.blank();
        let rows: Vec<Case<'_>> =
            cases.iter().map(|&(prepared, _)| Case { prepared, query: &blank }).collect();
        let masks: Vec<&Vec<Vec<f32>>> = cases.iter().map(|&(_, masks)| masks).collect();
        self.step.logits(&rows, &masks)
    }

    /// D + λ Σ_l t_l · |feature_l|/|m_l| · ‖m_l‖₁ with t_l = 1/√(H_l·W_l).
    fn loss(&self, lambda: f32, query: &Query, logits: &[f32], masks: &[Vec<f32>]) -> f64 {
        self.total(lambda, query, logits, self.step.size(masks))
    }

    /// The loss for masks of a known size ([`Step::size`]).
    fn total(&self, lambda: f32, query: &Query, logits: &[f32], size: f64) -> f64 {
        self.settings.objective.value(query, logits) + f64::from(lambda) * size
    }
}

/// Result of a search.
struct Searched {
    masks: Vec<Vec<f32>>,
    /// Logits at the masks; empty if they were not computed.
    logits: Vec<f32>,
    lambda: f32,
    /// Total loss before each step.
    losses: Vec<f64>,
    passes: Passes,
}

impl Searched {
    /// Whether a loss is below all losses so far.
    fn beaten_by(&self, loss: f64) -> bool {
        self.losses.iter().all(|&l| loss < l)
    }
}

/// Updates the running mean of `count` - 1 masks to that of `count`.
fn fold_in(mean: &mut [Vec<f32>], masks: &[Vec<f32>], count: usize) {
    for (mean, mask) in mean.iter_mut().flatten().zip(masks.iter().flatten()) {
        *mean += (mask - *mean) / count as f32;
    }
}

fn missing(model: &Model) -> Error {
    Error::model(&model.info.path, ModelError::NotComputed)
}
