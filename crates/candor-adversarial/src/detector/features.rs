//! The detector's features of an image: the unfused masks of the predicted class and of the runner-up, level by level on one grid
//! (book/src/reference/detector.md), how much of the evidence they keep, and how much the evidence changes when the image is
//! disturbed.

use candor::progress::Unwatched;
use candor_graph::insert::MaskShape;
use serde::{Deserialize, Serialize};

use super::disturbances::{self, Disturber};
use super::network::Layout;
use crate::error::{Error, Result};
use candor::map::{Interpolation, Map};
use candor::mask::adam::BETA_2;
use candor::mask::{Learned, Prepared};
use candor::mask::{Learner, Level, Settings, fuse, levels};
use candor::model::Model;
use candor::scores::ranking;

/// A group of planes or of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FeatureGroup {
    /// The spatial mask of the predicted class at each level, as in the paper.
    Masks,
    /// The spatial mask of the runner-up at each level.
    RunnerUp,
    /// The channel mean of the full mask of the predicted class at each level.
    Full,
    /// [`FeatureGroup::Masks`], each divided by its own mean: shape without magnitude.
    Shapes,
    /// Numbers: log-odds of the predicted class and of the runner-up above the null log-odds, and what their masks keep of them.
    Evidence,
    /// Numbers: log-odds of the predicted class above the null log-odds with the mask of one level only, one per level.
    Levels,
    /// The masks of the predicted class fused into one map, without the hierarchy.
    Fused,
    /// Numbers: how much the log-odds of the predicted class, and of the runner-up, change when the image is disturbed, one per
    /// disturbance (see [`super::disturbances`]) and class.
    Stability,
}

impl FeatureGroup {
    /// All groups by name.
    pub const ALL: [(&'static str, FeatureGroup); 8] = [
        ("masks", FeatureGroup::Masks),
        ("runner-up", FeatureGroup::RunnerUp),
        ("full", FeatureGroup::Full),
        ("shapes", FeatureGroup::Shapes),
        ("evidence", FeatureGroup::Evidence),
        ("levels", FeatureGroup::Levels),
        ("fused", FeatureGroup::Fused),
        ("stability", FeatureGroup::Stability),
    ];

    /// Number of planes for `levels` levels.
    pub fn planes(self, levels: usize) -> usize {
        match self {
            FeatureGroup::Evidence | FeatureGroup::Levels | FeatureGroup::Stability => 0,
            FeatureGroup::Fused => 1,
            _ => levels,
        }
    }

    /// Number of numbers for `levels` levels.
    pub fn numbers(self, levels: usize) -> usize {
        match self {
            FeatureGroup::Evidence => 4,
            FeatureGroup::Levels => levels,
            FeatureGroup::Stability => 2 * disturbances::NAMES.len(),
            _ => 0,
        }
    }
}

/// How features are computed; recorded in the detector's card.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeatureSettings {
    /// Groups of planes and of numbers, in order.
    pub parts: Vec<FeatureGroup>,
    /// Height and width of the planes.
    pub grid: usize,
    /// Number of Adam steps for the masks.
    pub iterations: usize,
    /// Its learning rate.
    pub rate: f32,
    /// Its decay of the second moment.
    #[serde(default = "unnamed_beta_2")]
    pub beta_2: f32,
    /// Weight λ of the masks' L1 term; if `None`, by the sizes of the levels.
    pub lambda: Option<f32>,
    /// Names of the masked values; the automatic levels if empty.
    pub levels: Vec<String>,
}

impl FeatureSettings {
    /// The default for a model: ten long steps, 16×16 planes for inputs up to 64², otherwise 28×28.
    pub fn for_model(model: &Model) -> Self {
        let [_, h, w] = model.input_shape;
        FeatureSettings {
            parts: vec![
                FeatureGroup::Masks,
                FeatureGroup::RunnerUp,
                FeatureGroup::Evidence,
                FeatureGroup::Stability,
            ],
            grid: if h.max(w) <= 64 { 16 } else { 28 },
            iterations: 10,
            rate: 0.1,
            beta_2: BETA_2,
            lambda: None,
            levels: vec![],
        }
    }

    /// λ, which [`Extractor::new`] sets.
    ///
    /// # Errors
    /// [`Error::Detector`] if it is not set.
    pub(crate) fn chosen_lambda(&self) -> Result<f32> {
        self.lambda
            .ok_or_else(|| Error::Detector("the feature settings have no lambda; use an extractor's".into()))
    }
}

/// The value of cards written before the field existed.
fn unnamed_beta_2() -> f32 {
    BETA_2
}

/// Computes features; compiled once per model.
pub struct Extractor {
    settings: FeatureSettings,
    learner: Learner,
    full: Option<Learner>,
    disturber: Option<Disturber>,
}

impl Extractor {
    /// Compiles the model with masks. Settings that are left open are filled in.
    ///
    /// # Errors
    /// As [`Learner::new`] and [`levels::choose`]; [`Error::MultiLabel`] for a model whose classes do not exclude each other.
    pub fn new(model: &Model, mut settings: FeatureSettings) -> Result<Self> {
        if !model.head.is_exclusive() {
            return Err(Error::MultiLabel { path: model.info.path.clone() });
        }
        let levels = levels::choose(model, &settings.levels)?;
        let lambda = settings.lambda.unwrap_or_else(|| levels::default_lambda(&levels, model.classes) as f32);
        settings.lambda = Some(lambda);
        settings.levels = levels.iter().map(|l| l.name.clone()).collect();
        let compile = |shape: MaskShape| {
            let how = Settings {
                shape,
                lambda: Some(lambda),
                iterations: settings.iterations,
                rate: settings.rate,
                beta_2: settings.beta_2,
                ..Settings::of_photo()
            };
            Learner::new(model, levels.clone(), how)
        };
        let full =
            settings.parts.contains(&FeatureGroup::Full).then(|| compile(MaskShape::Full)).transpose()?;
        let disturber =
            settings.parts.contains(&FeatureGroup::Stability).then(|| Disturber::new(model)).transpose()?;
        Ok(Extractor { learner: compile(MaskShape::Spatial)?, full, disturber, settings })
    }

    /// The settings, with everything filled in.
    pub fn settings(&self) -> &FeatureSettings {
        &self.settings
    }

    /// The masked levels, finest first.
    pub fn levels(&self) -> &[Level] {
        &self.learner.levels
    }

    /// The layout of a row.
    pub fn layout(&self) -> Layout {
        let (parts, levels) = (&self.settings.parts, self.levels().len());
        Layout {
            planes: parts.iter().map(|p| p.planes(levels)).sum(),
            grid: self.settings.grid,
            numbers: parts.iter().map(|p| p.numbers(levels)).sum(),
        }
    }

    /// Features of preprocessed images (C·H·W values each): planes×grid×grid, row-major, followed by the numbers.
    ///
    /// # Errors
    /// If the engine fails or a logit is not finite.
    pub fn features(&mut self, model: &Model, images: &[&[f32]]) -> Result<Vec<Vec<f32>>> {
        let extracted = self.extract(model, images)?;
        Ok(extracted.iter().map(|e| self.row(e)).collect())
    }

    /// Masks and logits from which the features are computed, before they are resampled to the grid.
    ///
    /// # Errors
    /// As [`Extractor::features`].
    pub fn extract(&mut self, model: &Model, images: &[&[f32]]) -> Result<Vec<Extracted>> {
        let prepared = self.learner.prepare_all(model, images)?;
        let mut cases = vec![];
        for p in &prepared {
            let order = ranking(&p.reference);
            cases.extend([(p, order[0]), (p, order[1])]);
        }
        let mut learned = self.learner.learn_all(model, &cases, &mut Unwatched)?.into_iter();
        let predicted: Vec<(&Prepared, usize)> = cases.iter().step_by(2).copied().collect();
        let mut full = match &mut self.full {
            Some(full) => {
                let own = full.prepare_all(model, images)?;
                let own: Vec<_> = own.iter().zip(&predicted).map(|(p, (_, class))| (p, *class)).collect();
                full.learn_all(model, &own, &mut Unwatched)?
            }
            None => vec![],
        }
        .into_iter();
        let mut all = vec![];
        while let (Some(predicted), Some(runner_up)) = (learned.next(), learned.next()) {
            all.push(Extracted { predicted, runner_up, full: full.next(), alone: vec![], disturbed: vec![] });
        }
        if let Some(disturber) = &mut self.disturber {
            for (extracted, logits) in all.iter_mut().zip(disturber.logits(model, images)?) {
                extracted.disturbed = logits;
            }
        }
        if self.settings.parts.contains(&FeatureGroup::Levels) {
            for level in 0..self.levels().len() {
                let masks: Vec<Vec<Vec<f32>>> = all.iter().map(|s| only(&s.predicted.masks, level)).collect();
                let cases: Vec<_> = prepared.iter().zip(&masks).collect();
                for (extracted, logits) in all.iter_mut().zip(self.learner.answers(&cases)?) {
                    extracted.alone.push(extracted.predicted.query.log_odds(&logits));
                }
            }
        }
        Ok(all)
    }

    /// The masks of a query as maps, one per level.
    pub fn maps(&self, learned: &Learned) -> Vec<Map> {
        let mean = |(level, mask): (&Level, &Vec<f32>)| {
            let [_, h, w] = level.shape;
            fuse::channel_mean(mask, [mask.len() / (h * w), h, w])
        };
        self.levels().iter().zip(&learned.masks).map(mean).collect()
    }

    /// The row of features: planes×grid×grid values, followed by the numbers.
    pub(super) fn row(&self, extracted: &Extracted) -> Vec<f32> {
        let g = self.settings.grid;
        let (mut row, mut numbers): (Vec<f32>, Vec<f64>) = (vec![], vec![]);
        for part in &self.settings.parts {
            let maps = match part {
                FeatureGroup::Masks => self.maps(&extracted.predicted),
                FeatureGroup::RunnerUp => self.maps(&extracted.runner_up),
                FeatureGroup::Full => extracted.full.as_ref().map_or(vec![], |full| self.maps(full)),
                FeatureGroup::Shapes => self.maps(&extracted.predicted).into_iter().map(shape).collect(),
                FeatureGroup::Fused => {
                    let maps = self.maps(&extracted.predicted);
                    let scales: Vec<f32> = maps.iter().map(Map::max).collect();
                    vec![fuse::Fusion::Mean.fuse(&maps, &scales, [g, g], Interpolation::Bilinear)]
                }
                FeatureGroup::Evidence => {
                    numbers.extend(extracted.evidence());
                    vec![]
                }
                FeatureGroup::Levels => {
                    numbers.extend(extracted.alone.iter().map(|o| o - extracted.predicted.query.floor));
                    vec![]
                }
                FeatureGroup::Stability => {
                    numbers.extend(extracted.moves().into_iter().flat_map(|(_, by)| by));
                    vec![]
                }
            };
            row.extend(maps.into_iter().flat_map(|m| m.resized(g, g).data));
        }
        row.extend(numbers.into_iter().map(|v| v as f32));
        row
    }
}

/// Masks and logits of an image, from which its features are computed.
pub struct Extracted {
    /// Masks of the predicted class.
    pub predicted: Learned,
    /// Masks of the class with the second highest score.
    pub runner_up: Learned,
    /// Full masks of the predicted class, if requested.
    pub full: Option<Learned>,
    /// Log-odds of the predicted class with only one level's mask, level by level, if requested.
    pub(super) alone: Vec<f64>,
    /// Logits of the disturbed image, one row per disturbance, if requested.
    pub(super) disturbed: Vec<Vec<f32>>,
}

impl Extracted {
    /// Log-odds of both classes minus their null log-odds (the floor), and what remains of them under the masks: predicted, predicted
    /// under its masks, runner-up, runner-up under its masks.
    pub fn evidence(&self) -> [f64; 4] {
        let over = |l: &Learned, logits: &[f32]| l.query.log_odds(logits) - l.query.floor;
        let of = |l: &Learned| [over(l, &l.query.reference), over(l, &l.kept_logits)];
        let ([a, b], [c, d]) = (of(&self.predicted), of(&self.runner_up));
        [a, b, c, d]
    }

    /// The change of the log-odds under each of [`disturbances::NAMES`], if requested: its name, the change for the predicted
    /// class, and the change for the runner-up.
    pub fn moves(&self) -> Vec<(&'static str, [f64; 2])> {
        let classes = [&self.predicted.query, &self.runner_up.query];
        let of = |logits: &Vec<f32>| classes.map(|q| q.log_odds(logits) - q.log_odds(&q.reference));
        disturbances::NAMES.into_iter().zip(self.disturbed.iter().map(of)).collect()
    }
}

/// A map divided by its mean; an all-zero map is unchanged.
fn shape(mut map: Map) -> Map {
    let mean = map.mass() as f32;
    if mean > 0.0 {
        map.data.iter_mut().for_each(|v| *v /= mean);
    }
    map
}

/// The masks of one level, with those of all other levels set to 1.
fn only(masks: &[Vec<f32>], level: usize) -> Vec<Vec<f32>> {
    let one = |(l, mask): (usize, &Vec<f32>)| if l == level { mask.clone() } else { vec![1.0; mask.len()] };
    masks.iter().enumerate().map(one).collect()
}
