//! Scores of many perturbed copies of a photo, computed in batches.

use crate::engine::Session;
use crate::error::Result;
use crate::model::Model;
use crate::parameters::{Kind, Parameter, Parameters, names};
use crate::progress::Progress;

/// Copies per batch: larger batches are not faster with these engines and need more memory.
const BATCH: usize = 8;

/// Which score is computed from the logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Score {
    Logit,
    Probability,
}

/// Names of the scores.
const SCORES: [(&str, Score); 2] = [("logit", Score::Logit), ("probability", Score::Probability)];

/// The parameter `score`, the logit by default.
pub(super) const LOGIT: Parameter = Parameter {
    name: "score",
    default: "logit",
    kind: Kind::Choice(&names(&SCORES)),
    help: "what is measured: the class's logit or its probability",
};

/// The parameter `score`, the probability by default.
pub(super) const PROBABILITY: Parameter = Parameter { default: "probability", ..LOGIT };

impl Score {
    /// Reads the parameter `score`.
    pub(super) fn of(p: &Parameters) -> Self {
        p.choice(&SCORES, "score")
    }

    /// The scores of `classes` from logits.
    pub(super) fn read(self, model: &Model, logits: &[f32], classes: &[usize]) -> Vec<f32> {
        match self {
            Score::Logit => classes.iter().map(|&c| logits[c]).collect(),
            Score::Probability => {
                let p = model.probabilities(logits);
                classes.iter().map(|&c| p[c] as f32).collect()
            }
        }
    }

    /// ∂(score of `class`)/∂S: δ_ck for the logit; for the probability p_c (δ_ck − p_k), or δ_ck p_c (1 − p_c) if each class
    /// has its own probability (sigmoid).
    pub(super) fn slope(self, model: &Model, logits: &[f32], class: usize) -> Vec<f32> {
        let p = model.probabilities(logits);
        let entry = |k: usize| {
            let own = f64::from(u8::from(k == class));
            match self {
                Score::Logit => own,
                Score::Probability if model.is_sigmoid() => own * p[class] * (1.0 - p[class]),
                Score::Probability => p[class] * (own - p[k]),
            }
        };
        (0..logits.len()).map(|k| entry(k) as f32).collect()
    }
}

/// The largest difference of scores that can be the engine's rounding: eight units in the last place of the largest score.
/// (The same image in another row of a batch differs by one or two.)
pub(super) fn rounding<'s>(scores: impl Iterator<Item = &'s f64>) -> f64 {
    8.0 * f64::from(f32::EPSILON) * scores.fold(0.0, |most, s| s.abs().max(most))
}

/// A value computed from differences of scores; zero if it is at the level of rounding, which a map would otherwise amplify.
pub(super) fn above_rounding(value: f64, least: f64) -> f64 {
    if value.abs() > least { value } else { 0.0 }
}

/// The compiled network, with the current photo and its logits.
pub(super) struct Forward {
    session: Box<dyn Session>,
    /// The photo, C×H×W.
    pub image: Vec<f32>,
    /// Its logits.
    pub logits: Vec<f32>,
    /// Forward passes since the photo was set, including its own.
    pub passes: u64,
}

impl Forward {
    /// Compiles the model.
    pub(super) fn compile(model: &Model) -> Result<Self> {
        Ok(Forward { session: model.forward()?, image: vec![], logits: vec![], passes: 0 })
    }

    /// Sets the photo and returns its logits.
    pub(super) fn begin(&mut self, model: &Model, image: &[f32]) -> Result<Vec<f32>> {
        self.image = image.to_vec();
        self.logits = model.scores(self.session.as_mut(), image)?;
        self.passes = 1;
        Ok(self.logits.clone())
    }

    /// Scores of `classes` for each of `count` images: `make` writes image `i`. `done` is called for each image.
    pub(super) fn each(
        &mut self,
        model: &Model,
        count: usize,
        (classes, score): (&[usize], Score),
        mut make: impl FnMut(usize, &mut [f32]),
        progress: &mut dyn Progress,
    ) -> Result<Vec<Vec<f32>>> {
        let size = self.image.len();
        let mut all = vec![];
        let step = model.fixed_batch.unwrap_or(BATCH);
        for first in (0..count).step_by(step) {
            let used = step.min(count - first);
            let mut pixels = vec![0.0; used * size];
            for (i, image) in pixels.chunks_mut(size).enumerate() {
                make(first + i, image);
            }
            for row in model.batch_scores(self.session.as_mut(), pixels)? {
                all.push(score.read(model, &row, classes));
                progress.step()?;
            }
            self.passes += used as u64;
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::RTen;
    use crate::model::{Head, ModelOptions};
    use candor_scenes::embedded;

    #[test]
    fn the_slope_is_the_difference_quotient_of_the_score() {
        let (options, engine) = (ModelOptions::default(), Box::new(RTen::new(1)));
        let mut model = Model::from_bytes("scenes.onnx", embedded::MODEL, &options, engine).unwrap();
        let logits: Vec<f32> = (0..model.classes).map(|k| (k as f32 * 1.7).sin()).collect();
        for head in [Head::Logits, Head::MultiLabel] {
            model.head = head;
            for score in [Score::Logit, Score::Probability] {
                let slope = score.slope(&model, &logits, 1);
                for (k, slope) in slope.iter().enumerate() {
                    let moved = |by: f32| {
                        let mut logits = logits.clone();
                        logits[k] += by;
                        score.read(&model, &logits, &[1])[0]
                    };
                    let quotient = (moved(1e-2) - moved(-1e-2)) / 2e-2;
                    assert!(
                        (quotient - slope).abs() < 1e-3,
                        "{head:?} {score:?} {k}: {slope}, not {quotient}"
                    );
                }
            }
        }
    }
}
