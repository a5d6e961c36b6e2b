//! Calibrates a model: the λ at which masks are as sparse as possible and still keep the evidence, and how much evidence absent classes
//! show.

use crate::progress::{Progress, Unwatched};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::Serialize;

use crate::error::{Error, ModelError, Result};
use crate::false_alarms::{FalseAlarms, TooFew};
use crate::image::{Picture, Preprocessing};
use crate::mask::learn::Learner;
use crate::mask::{Prepared, Settings, levels};
use crate::model::Model;
use crate::noise::below;
use crate::quantile::median;
use crate::scores::argmax;

/// Number of λ that are tried.
pub const TRIALS: usize = 7;
/// Factors of the default λ that are tried, from sparse to dense.
const FACTORS: [f64; TRIALS] = [8.0, 4.0, 2.0, 1.0, 0.5, 0.25, 0.125];

/// Maximum number of absent classes of a photo that get a closer look.
const LOOKS: usize = 100;

/// One λ that was tried.
#[derive(Clone, Debug, Serialize)]
pub struct Trial {
    /// The λ.
    pub lambda: f64,
    /// Median over the images of |kept evidence / evidence − 1| for the top-1 class.
    pub median_change: f64,
    /// Median over the images of the mean of the masks.
    pub median_mask: f64,
}

/// What calibration found.
#[derive(Clone, Debug, Serialize)]
pub struct Calibration {
    /// The λ chosen: the largest whose median change stays within the tolerance.
    pub lambda: f64,
    /// Largest median relative change of the evidence allowed.
    pub tolerance: f64,
    /// Number of photos with evidence for their top-1 class, over which the medians are taken.
    pub photos: usize,
    /// All λ tried, largest first.
    pub trials: Vec<Trial>,
    /// How much evidence absent classes show; `None` if the photos have too few of them.
    pub false_alarms: Option<FalseAlarms>,
    /// If there are too few absent classes: how many there are, and how many are needed.
    pub too_few: Option<TooFew>,
}

/// Chooses λ for a model on a few photos: the largest at which the median relative change of the top-1 class's evidence, |(kept − null) /
/// evidence − 1|, is at most `tolerance` (0.05 to 0.1). Also learns from these photos how much evidence absent classes show; no labels
/// are needed, since all classes but the model's answers are taken to be absent. `progress` is called after each photo at each λ.
///
/// # Errors
/// If no photo shows evidence for its top-1 class, if no λ keeps it, or if the engine fails.
pub fn calibrate(
    model: &Model,
    preprocessing: &Preprocessing,
    photos: &[impl Picture],
    levels: &[String],
    tolerance: f64,
    progress: &mut dyn Progress,
) -> Result<Calibration> {
    let levels = levels::choose(model, levels)?;
    let base = levels::default_lambda(&levels, model.classes);
    let lambdas = FACTORS.map(|factor| rounded(base * factor));
    let mut learner = Learner::new(model, levels, Settings::default())?;
    let (mut changes, mut sizes) = ([const { vec![] }; TRIALS], [const { vec![] }; TRIALS]);
    let (mut shown, mut random) = ([vec![], vec![]], ChaCha8Rng::seed_from_u64(0));
    for photo in photos {
        let prepared = learner.prepare(model, &preprocessing.apply(photo))?;
        let absent = absent(model, &mut learner, &prepared, &mut random)?;
        shown.iter_mut().zip(absent).for_each(|(all, more)| all.extend(more));
        let case = [(&prepared, argmax(&prepared.reference))];
        let empty = learner.empty(model, &case)?;
        for (trial, lambda) in lambdas.iter().enumerate() {
            for l in learner.learn_at(model, &case, (&empty, &[*lambda as f32]), &mut Unwatched)? {
                if l.query.evidence() > 0.0 {
                    changes[trial].push((l.kept() - 1.0).abs());
                    let cells: usize = l.masks.iter().map(Vec::len).sum();
                    let sum = l.masks.iter().flatten().map(|&m| f64::from(m)).sum::<f64>();
                    sizes[trial].push(sum / cells as f64);
                }
            }
            progress.step()?;
        }
    }
    let mut trials = vec![];
    for (trial, &lambda) in lambdas.iter().enumerate() {
        let (Some(median_change), Some(median_mask)) = (median(&changes[trial]), median(&sizes[trial]))
        else {
            return Err(Error::model(&model.info.path, ModelError::NoEvidence));
        };
        trials.push(Trial { lambda, median_change, median_mask });
    }
    let photos_shown = changes[0].len();
    let Some(lambda) = trials.iter().find(|t| t.median_change <= tolerance).map(|best| best.lambda) else {
        return Err(Error::model(&model.info.path, ModelError::NoLambda));
    };
    let learned = FalseAlarms::learned(photos.len(), shown);
    let (too_few, false_alarms) = (learned.as_ref().err().copied(), learned.ok());
    Ok(Calibration { lambda, tolerance, photos: photos_shown, trials, false_alarms, too_few })
}

/// How much evidence absent classes show in windows and on a closer look ([`Learner::strengths`]). Absent are all classes but the model's
/// answers: the one with the highest score and, where classes do not exclude each other (sigmoid), those with a probability of at least
/// 0.5. At most [`LOOKS`] absent classes, drawn for each photo, get a closer look.
fn absent(
    model: &Model,
    learner: &mut Learner,
    prepared: &Prepared,
    random: &mut ChaCha8Rng,
) -> Result<[Vec<f64>; 2]> {
    let answer = argmax(&prepared.reference);
    let probabilities = model.probabilities(&prepared.reference);
    let is_answer = |class: usize| class == answer || model.is_sigmoid() && probabilities[class] >= 0.5;
    let absent: Vec<usize> = (0..model.classes).filter(|&class| !is_answer(class)).collect();
    let mut drawn = absent.clone();
    for i in 0..drawn.len().min(LOOKS) {
        let other = i + below(random, drawn.len() - i);
        drawn.swap(i, other);
    }
    drawn.truncate(LOOKS);
    learner.strengths(model, prepared, (&absent, &drawn))
}

/// Rounds to two significant digits, the precision of the estimate.
fn rounded(v: f64) -> f64 {
    format!("{v:.1e}").parse().unwrap_or(v)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::engine::RTen;
    use crate::image::decode_bytes;
    use crate::progress::Unwatched;
    use crate::sidecar::Sidecar;
    use crate::{Class, Classifier, Method};
    use candor_scenes::embedded;

    #[test]
    fn lambda_is_chosen_with_the_search_that_the_method_uses() {
        let sidecar = Sidecar::parse(embedded::SIDECAR, Path::new("embedded")).unwrap();
        let engine = Some(Box::new(RTen::new(1)) as Box<_>);
        let classifier = Classifier::from_bytes("embedded", embedded::MODEL, sidecar, engine).unwrap();
        let scenes = &embedded::DEMO_SCENES[..2];
        let photos: Vec<_> = scenes.iter().map(|s| decode_bytes(s.png, Path::new(s.name)).unwrap()).collect();
        let Classifier { model, preprocessing, .. } = &classifier;
        let found = calibrate(model, preprocessing, &photos, &[], 1.0, &mut Unwatched).unwrap();
        let trial = &found.trials[2];
        let mut explainer = classifier.explainer(&Method::default().with("lambda", trial.lambda)).unwrap();
        explainer.probe = false;
        let mut change = |photo| {
            let e =
                explainer.photo("photo", photo, &[Class::top(1)], &mut Unwatched).unwrap().classes.remove(0);
            let kept = e.kept.unwrap().log_odds - e.null_log_odds.unwrap();
            (kept / e.evidence.unwrap() - 1.0).abs()
        };
        let changes: Vec<f64> = photos.iter().map(&mut change).collect();
        let median = median(&changes).unwrap();
        assert!((median - trial.median_change).abs() < 1e-6, "{median} of the method, {trial:?}");
    }
}
