//! Learning the masks of several queries, of one image or of several, in one batch.

use crate::progress::{Cancelled, Progress};
use candor_graph::tensor::Tensor;

use super::levels::Level;
use super::masked::{Masked, masked};
use super::objective::{Objective, Query};
use super::prepared::Prepared;
use super::settings::{Returned, Settings};
use super::step::{Case, Step};
use crate::engine::Session;
use crate::error::{Error, ModelError, Result};
use crate::model::Model;
use crate::passes::Passes;
use crate::scores::argmax;

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
    /// Passes that this query took. The null's, which all queries of an image share, are its first query's.
    pub passes: Passes,
}

/// A model with masks in it, compiled once: the part before the first mask, and one optimiser step of the rest.
pub struct Learner {
    /// The levels that are masked.
    pub levels: Vec<Level>,
    /// The settings it was compiled for.
    pub settings: Settings,
    /// Weight of the L1 term, which may be changed from one search to the next.
    pub lambda: f32,
    prefix: Option<Box<dyn Session>>,
    step: Step,
    classes: usize,
    multi_label: bool,
    /// Whether classes exclude each other, so that chance bounds the null.
    exclusive: bool,
    fixed_batch: Option<usize>,
    /// For each crossing value of the cut, whether it is the image itself.
    crossing_is_image: Vec<bool>,
    /// Position among the crossing values of each level's unmasked feature map, where it crosses.
    level_crossing: Vec<Option<usize>>,
}

impl Learner {
    /// Compiles a model for learning masks at `levels`.
    ///
    /// # Errors
    /// A node without a gradient rule, or an operator that the engine lacks.
    pub fn new(model: &Model, levels: Vec<Level>, settings: Settings) -> Result<Self> {
        let multi_label = model.is_sigmoid();
        let masked = masked(model, &levels, &settings).map_err(|e| Error::graph(&model.info.path, e))?;
        let step = Step::new(model, &masked, &settings)?;
        let Masked { cut, lambda, .. } = masked;
        let prefix =
            if cut.prefix.nodes.is_empty() { None } else { Some(model.engine.compile(&cut.prefix)?) };
        Ok(Learner {
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

    /// Most images in one batch, by memory.
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

    /// [`Learner::prepare`] of several images, in batches where the model allows them.
    ///
    /// # Errors
    /// If the engine fails.
    pub fn prepare_all(&mut self, model: &Model, images: &[&[f32]]) -> Result<Vec<Prepared>> {
        let mut all: Vec<Prepared> = vec![];
        for part in images.chunks(self.step.images()) {
            all.extend(self.prepare_part(model, part)?);
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

    /// The unmasked feature map of a level (C×H×W), if it is computed before the masks and
    /// [`Settings::keep_features`] asked for it.
    pub fn feature(&self, prepared: &Prepared, level: usize) -> Option<Vec<f32>> {
        let values = prepared.crossing[self.level_crossing[level]?].as_floats()?;
        // A fixed batch repeats the image; the first is enough.
        let one = &values[..values.len() / self.fixed_batch.unwrap_or(1)];
        Some(self.levels[level].feature().channels_first(one))
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
        let mut learned = self.empty(cases)?;
        // Without evidence the empty mask costs nothing, and nothing costs less.
        let known = |q: &Query| {
            self.settings.exact && self.settings.objective == Objective::Evidence && q.target() <= q.floor
        };
        let open: Vec<usize> = (0..cases.len()).filter(|&q| !known(&learned[q].query)).collect();
        self.step.expect(open.len());
        let rows: Vec<Case<'_>> =
            open.iter().map(|&q| Case { prepared: cases[q].0, query: &learned[q].query }).collect();
        let batches = self.step.batches(&rows);
        let (steps, mut ticks) = (self.settings.iterations, 0);
        let mut found = vec![];
        for (done, part) in batches.iter().enumerate() {
            // However many batches there are, they tell of as many steps as one.
            let mut tick = |step: usize| {
                let until = (done * steps + step) / batches.len();
                let more = (until - ticks) as u64;
                ticks = until;
                progress.steps(more)
            };
            found.extend(self.search(model, &rows[part.clone()], &mut tick)?);
        }
        progress.steps((steps - ticks) as u64)?;
        let kept = self.step.logits(&rows, &found.iter().map(|f| &f.masks).collect::<Vec<_>>())?;
        for ((&q, kept_logits), Searched { masks, losses, passes }) in open.iter().zip(kept).zip(found) {
            let l = &mut learned[q];
            (l.kept_logits, l.masks, l.losses) = (kept_logits, masks, losses);
            l.passes += passes;
            l.passes.forward += 1;
        }
        for l in &mut learned {
            l.losses.push(self.loss(&l.query, &l.kept_logits, &l.masks));
        }
        Ok(learned)
    }

    /// The empty mask of each case, with its query's reference and floor: how much evidence there is, before any mask is learned.
    ///
    /// # Errors
    /// If the engine fails.
    pub fn empty(&mut self, cases: &[(&Prepared, usize)]) -> Result<Vec<Learned>> {
        let chance = -((self.classes.saturating_sub(1)).max(1) as f64).ln();
        let masks = self.step.masks(0.0);
        let (logits, passes) = self.empty_logits(cases)?;
        let empty =
            |((&(prepared, class), kept_logits), passes): ((&(&Prepared, usize), Vec<f32>), Passes)| {
                let top1 = argmax(&prepared.reference);
                let leave_out = self.settings.leave_out_top1 && class != top1;
                let mut query = Query {
                    class,
                    left_out: if leave_out { vec![top1] } else { vec![] },
                    reference: prepared.reference.clone(),
                    ..self.blank()
                };
                let null_log_odds = query.log_odds(&kept_logits);
                let at_chance = self.settings.floor_at_chance && self.exclusive;
                query.floor = if at_chance { null_log_odds.max(chance) } else { null_log_odds };
                Learned { query, null_log_odds, kept_logits, masks: masks.clone(), losses: vec![], passes }
            };
        Ok(cases.iter().zip(logits).zip(passes).map(empty).collect())
    }

    /// Learns the masks of cases that fit into one batch. `tick` is told the number of steps taken.
    fn search(
        &mut self,
        model: &Model,
        cases: &[Case<'_>],
        tick: &mut dyn FnMut(usize) -> Result<(), Cancelled>,
    ) -> Result<Vec<Searched>> {
        let Settings { returned, iterations, settle, .. } = self.settings;
        let batch = self.step.batch(cases)?;
        let mut search = self.step.begin(&batch)?;
        let mut found: Vec<Searched> = search.masks.iter().cloned().map(Searched::nothing).collect();
        // The mean is of the iterates from the first that counts on.
        let first = ((1.0 / self.settings.rate).ceil() as usize).min(iterations.saturating_sub(1));
        for step in 0..iterations {
            if found.iter().all(|f| self.settings.settled(&f.losses)) {
                break;
            }
            let before = (returned == Returned::Best).then(|| search.masks.clone());
            let back = step + 1 == iterations || returned != Returned::Last || settle > 0.0;
            let seen = self.step.step_loop(&mut search, (&self.settings, self.lambda), back)?;
            for (i, (logits, size)) in seen.iter().enumerate() {
                model.check_scores(logits)?;
                found[i].passes += Passes { forward: 1, backward: 1 };
                let loss = self.total(cases[i].query, logits, *size);
                if let Some(before) = &before
                    && found[i].beaten_by(loss)
                {
                    found[i].masks.clone_from(&before[i]);
                }
                found[i].losses.push(loss);
                if returned == Returned::Mean && step >= first {
                    fold_in(&mut found[i].masks, &search.masks[i], step - first + 1);
                }
            }
            tick(step + 1)?;
        }
        match returned {
            Returned::Last => found.iter_mut().zip(search.masks).for_each(|(f, masks)| f.masks = masks),
            Returned::Mean => {}
            Returned::Best => {
                let last: Vec<_> = search.masks.iter().collect();
                let logits = self.step.logits(cases, &last)?;
                for ((found, masks), (logits, case)) in
                    found.iter_mut().zip(&search.masks).zip(logits.iter().zip(cases))
                {
                    found.passes.forward += 1;
                    let loss = self.loss(case.query, logits, masks);
                    if found.beaten_by(loss) {
                        found.masks.clone_from(masks);
                    }
                }
            }
        }
        Ok(found)
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
        self.step.logits(&rows, &masks)
    }

    /// D + λ Σ_l t_l · |feature_l|/|m_l| · ‖m_l‖₁ with t_l = 1/√(H_l·W_l).
    fn loss(&self, query: &Query, logits: &[f32], masks: &[Vec<f32>]) -> f64 {
        self.total(query, logits, self.step.size(masks))
    }

    /// The loss at masks of a known size ([`Step::size`]).
    fn total(&self, query: &Query, logits: &[f32], size: f64) -> f64 {
        self.settings.objective.value(query, logits) + f64::from(self.lambda) * size
    }

    /// For each case the logits with every mask zero, and its passes: one an image, however many of its classes are asked for.
    fn empty_logits(&mut self, cases: &[(&Prepared, usize)]) -> Result<(Vec<Vec<f32>>, Vec<Passes>)> {
        let mut images: Vec<&Prepared> = vec![];
        let (mut of_case, mut passes) = (vec![], vec![]);
        for &(prepared, _) in cases {
            let new = !images.last().is_some_and(|last| std::ptr::eq(*last, prepared));
            if new {
                images.push(prepared);
            }
            of_case.push(images.len() - 1);
            passes.push(Passes { forward: new.into(), backward: 0 });
        }
        let (blank, zeros) = (self.blank(), self.step.masks(0.0));
        let blanks: Vec<Case<'_>> = images.iter().map(|prepared| Case { prepared, query: &blank }).collect();
        let logits = self.step.logits(&blanks, &vec![&zeros; images.len()])?;
        Ok((of_case.into_iter().map(|i| logits[i].clone()).collect(), passes))
    }
}

/// What a search found.
struct Searched {
    masks: Vec<Vec<f32>>,
    /// Total loss before each step.
    losses: Vec<f64>,
    passes: Passes,
}

impl Searched {
    fn nothing(masks: Vec<Vec<f32>>) -> Self {
        Searched { masks, losses: vec![], passes: Passes::default() }
    }

    /// Whether a loss is below all before it.
    fn beaten_by(&self, loss: f64) -> bool {
        self.losses.iter().all(|&l| loss < l)
    }
}

/// Makes the mean of `count` - 1 masks that of `count`.
fn fold_in(mean: &mut [Vec<f32>], masks: &[Vec<f32>], count: usize) {
    for (mean, mask) in mean.iter_mut().flatten().zip(masks.iter().flatten()) {
        *mean += (mask - *mean) / count as f32;
    }
}

fn missing(model: &Model) -> Error {
    Error::model(&model.info.path, ModelError::NotComputed)
}
