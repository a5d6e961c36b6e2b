//! Which preprocessing a model was made for, found by what it answers: each that could be meant is tried on a few photos.
//!
//! With true classes known, the preprocessing is best whose answers are right most often, then whose true classes are likeliest. Without,
//! it is best by
//!
//! J = H(answers) − ½ · mean (CE(p, p′) + CE(p′, p)),   CE(p, q) = −Σ_c p_c ln q_c
//!
//! new in Candor: H(answers) is the entropy of how the answers share the photos (a wrong scale gives one class for all), p and p′ are the
//! probabilities for a photo and for its mirror image (a wrong scale is sure of what the mirror image contradicts, a wrong mean is sure of
//! nothing). A model that is sure of N photos of N classes has J = ln N. Of six forms this one was chosen on 60 photos of ImageNet's validation set and six
//! trained networks, where it is the only one that puts the right numbers first in all of three draws of 20 photos.

use serde::Serialize;

use crate::error::Result;
use crate::explanation::TopClass;
use crate::image::{ColorOrder, Photo, Preprocessing, Preset, ResizeMode};
use crate::labels::Labels;
use crate::model::Model;
use crate::progress::Progress;
use crate::scores::ranking;

/// A preprocessing that was tried, and what the model answered.
#[derive(Clone, Debug, Serialize)]
pub struct Candidate {
    /// In words: the numbers, and how photos come to the input's size.
    pub name: String,
    /// The preprocessing.
    pub preprocessing: Preprocessing,
    /// The keys of a sidecar that state it, as TOML.
    pub sidecar: String,
    /// J, in nats: the higher the better.
    pub score: f64,
    /// Mean probability of the answer.
    pub confidence: f64,
    /// Share of the photos whose mirror image gets the same answer.
    pub mirrored: f64,
    /// Different answers.
    pub answers: usize,
    /// Share of the photos with a known class whose answer is right; `None` if none is known.
    pub accuracy: Option<f64>,
    /// Mean log-likelihood of the true classes; `None` if none is known.
    pub log_likelihood: Option<f64>,
    /// The five classes with the highest score for each photo, best first.
    #[serde(skip)]
    pub top: Vec<Vec<TopClass>>,
}

/// Numbers that models are made for: the name, their sidecar, and what they are of a preset.
type Numbers = (&'static str, &'static str, Preset, Option<([f64; 3], ColorOrder)>);

/// What is tried, from the most to the least usual: of equal ones the first is taken.
const NUMBERS: [Numbers; 10] = [
    ("imagenet", "preset = \"imagenet\"\n", Preset::Imagenet, None),
    ("inception", "preset = \"inception\"\n", Preset::Inception, None),
    ("unit", "preset = \"unit\"\n", Preset::Unit, None),
    ("caffe", "preset = \"caffe\"\n", Preset::Caffe, None),
    ("raw", "preset = \"raw\"\n", Preset::Raw, None),
    (
        "raw minus a mean, RGB",
        "preset = \"raw\"\nmean = [123.0, 117.0, 104.0]\n",
        Preset::Raw,
        Some(([123.0, 117.0, 104.0], ColorOrder::Rgb)),
    ),
    (
        "imagenet, BGR",
        "preset = \"imagenet\"\ncolor = \"bgr\"\n",
        Preset::Imagenet,
        Some(([0.485, 0.456, 0.406], ColorOrder::Bgr)),
    ),
    (
        "inception, BGR",
        "preset = \"inception\"\ncolor = \"bgr\"\n",
        Preset::Inception,
        Some(([0.5; 3], ColorOrder::Bgr)),
    ),
    ("unit, BGR", "preset = \"unit\"\ncolor = \"bgr\"\n", Preset::Unit, Some(([0.0; 3], ColorOrder::Bgr))),
    ("raw, BGR", "preset = \"raw\"\ncolor = \"bgr\"\n", Preset::Raw, Some(([0.0; 3], ColorOrder::Bgr))),
];

/// Ways to the input's size: the name, the sidecar's line, the mode and the share.
const WAYS: [(&str, &str, ResizeMode, Option<f64>); 3] = [
    ("squash", "", ResizeMode::Squash, None),
    ("crop 0.875", "resize = \"crop\"\n", ResizeMode::Crop, None),
    ("crop 1", "crop = 1.0\n", ResizeMode::Crop, Some(1.0)),
];

/// Every preprocessing that could be meant for an input, `stated` first: what files or a sidecar state, with its name.
fn candidates(
    model: &Model,
    stated: Option<(String, Preprocessing)>,
) -> Vec<(String, Preprocessing, String)> {
    let [channels, height, width] = model.input_shape;
    let mut all: Vec<(String, Preprocessing, String)> = vec![];
    for (name, sidecar, preset, refined) in NUMBERS {
        for (way, line, resize, share) in WAYS {
            let base = preset.preprocessing(height, width);
            let (mean, color) = refined.unwrap_or((base.mean, base.color));
            // Of grey there is one order of the channels.
            if channels == 1 && color == ColorOrder::Bgr {
                continue;
            }
            let resized = share.map(|share| [height, width].map(|side| crate::image::covering(side, share)));
            let made = Preprocessing { channels, mean, color, resize, resized, ..base };
            all.push((format!("{name}; {way}"), made, format!("{sidecar}{line}")));
        }
    }
    if let Some((name, preprocessing)) = stated {
        all.retain(|(_, known, _)| *known != preprocessing);
        all.insert(0, (name, preprocessing, String::new()));
    }
    all
}

/// Number of preprocessings that [`examine`] tries at most.
pub const TRIALS: usize = NUMBERS.len() * WAYS.len() + 1;

/// Tries every preprocessing that could be meant on photos, best first. `truth` has the true class of each photo, where it is known.
/// `progress` is called after each preprocessing.
///
/// # Errors
/// If the engine fails. A preprocessing with which scores stop being numbers is left out.
pub fn examine(
    model: &Model,
    labels: &Labels,
    stated: Option<(String, Preprocessing)>,
    photos: &[Photo],
    truth: &[Option<usize>],
    progress: &mut dyn Progress,
) -> Result<Vec<Candidate>> {
    let mut forward = model.forward()?;
    let mirrored: Vec<Photo> = photos.iter().map(Photo::mirrored).collect();
    let (mut found, mut given) = (vec![], vec![]);
    for (name, preprocessing, sidecar) in candidates(model, stated) {
        let inputs: Vec<Vec<f32>> = photos.iter().chain(&mirrored).map(|p| preprocessing.apply(p)).collect();
        let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
        let scores = model.all_scores(forward.as_mut(), &inputs);
        progress.step()?;
        let Ok(scores) = scores else { continue };
        // The middle of square photos is the whole.
        if given.contains(&scores) {
            continue;
        }
        let (own, other) = scores.split_at(photos.len());
        found.push(judged(model, labels, (name, preprocessing, sidecar), own, other, truth));
        given.push(scores);
    }
    let order = |c: &Candidate| (c.accuracy.unwrap_or(0.0), c.log_likelihood.unwrap_or(c.score));
    found.sort_by(|a, b| order(b).0.total_cmp(&order(a).0).then(order(b).1.total_cmp(&order(a).1)));
    Ok(found)
}

fn judged(
    model: &Model,
    labels: &Labels,
    (name, preprocessing, sidecar): (String, Preprocessing, String),
    scores: &[Vec<f32>],
    mirrored: &[Vec<f32>],
    truth: &[Option<usize>],
) -> Candidate {
    let all: Vec<Vec<f64>> = scores.iter().map(|s| model.probabilities(s)).collect();
    let rankings: Vec<Vec<usize>> = scores.iter().map(|s| ranking(s)).collect();
    let answers: Vec<usize> = rankings.iter().map(|r| r[0]).collect();
    let count = scores.len().max(1) as f64;
    let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / count;
    let least = |p: f64| p.max(1e-12).ln();
    let cross = |p: &[f64], q: &[f64]| -p.iter().zip(q).map(|(p, q)| p * least(*q)).sum::<f64>();
    let others: Vec<Vec<f64>> = mirrored.iter().map(|s| model.probabilities(s)).collect();
    let differ = mean(&mut all.iter().zip(&others).map(|(p, q)| (cross(p, q) + cross(q, p)) / 2.0));
    let known: Vec<(usize, usize)> = truth.iter().enumerate().filter_map(|(i, t)| Some((i, (*t)?))).collect();
    let of_known = |value: &dyn Fn(usize, usize) -> f64| {
        let sum: f64 = known.iter().map(|&(i, class)| value(i, class)).sum();
        (!known.is_empty()).then(|| sum / known.len() as f64)
    };
    let top = |i: usize| {
        let class = |&c: &usize| TopClass {
            class_id: c,
            name: labels.name(c),
            score: scores[i][c].into(),
            probability: all[i][c],
        };
        rankings[i].iter().take(5).map(class).collect()
    };
    let mut different = answers.clone();
    different.sort_unstable();
    let entropy: f64 = different
        .chunk_by(|a, b| a == b)
        .map(|same| same.len() as f64 / count)
        .map(|share| -share * share.ln())
        .sum();
    different.dedup();
    Candidate {
        name,
        preprocessing,
        sidecar,
        score: entropy - differ,
        confidence: mean(&mut answers.iter().zip(&all).map(|(&a, p)| p[a])),
        mirrored: mean(
            &mut answers.iter().zip(mirrored).map(|(&a, s)| f64::from(u8::from(ranking(s)[0] == a))),
        ),
        answers: different.len(),
        accuracy: of_known(&|i, class| f64::from(u8::from(answers[i] == class))),
        log_likelihood: of_known(&|i, class| least(all[i][class])),
        top: (0..scores.len()).map(top).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Classifier;
    use crate::engine::RTen;
    use crate::image::decode_bytes;
    use crate::progress::Unwatched;
    use crate::sidecar::Sidecar;
    use candor_scenes::embedded;

    #[test]
    fn the_preprocessing_of_the_embedded_model_is_found() {
        let sidecar = Sidecar::parse(embedded::SIDECAR, "embedded".as_ref()).unwrap();
        let engine = Some(Box::new(RTen::new(1)) as Box<_>);
        let classifier = Classifier::from_bytes("embedded", embedded::MODEL, sidecar, engine).unwrap();
        let scenes = embedded::DEMO_SCENES.iter();
        let photos: Vec<Photo> =
            scenes.map(|s| decode_bytes(s.png, s.name.as_ref()).unwrap().into()).collect();
        let Classifier { model, preprocessing, labels, .. } = &classifier;
        let mut forward = model.forward().unwrap();
        let mut answer =
            |p: &Photo| Some(ranking(&model.scores(forward.as_mut(), &preprocessing.apply(p)).unwrap())[0]);
        let truth: Vec<Option<usize>> = photos.iter().map(&mut answer).collect();
        for truth in [vec![None; photos.len()], truth] {
            let known = truth[0].is_some();
            let found = examine(model, labels, None, &photos, &truth, &mut Unwatched).unwrap();
            // The pictures are square: of three ways to the input's size two are one.
            assert_eq!(found.len(), 2 * NUMBERS.len());
            let place = |numbers: &str| found.iter().position(|c| c.name.starts_with(numbers)).unwrap();
            assert!(
                place("inception;") < place("raw;").min(place("caffe;")) || !known,
                "{:?}",
                found[0].name
            );
            if known {
                assert_eq!(found[0].preprocessing.mean, [0.5; 3], "{}", found[0].name);
                assert!(found[0].sidecar.starts_with("preset = \"inception\""));
            }
            assert_eq!(found[0].accuracy.is_some(), known);
            assert_eq!(found[0].top[0].len(), 5);
        }
    }

    #[test]
    fn what_is_stated_is_tried_and_not_twice() {
        let engine = Some(Box::new(RTen::new(1)) as Box<_>);
        let classifier =
            Classifier::from_bytes("embedded", embedded::MODEL, Sidecar::default(), engine).unwrap();
        let side = embedded::INPUT_SIZE as usize;
        let own = Preprocessing { scale: 0.1, ..Preset::Raw.preprocessing(side, side) };
        let all = candidates(&classifier.model, Some(("own".into(), own)));
        assert_eq!((all.len(), all[0].0.as_str()), (TRIALS, "own"));
        let unit = Preset::Unit.preprocessing(side, side);
        let all = candidates(&classifier.model, Some(("unit of a file".into(), unit.clone())));
        assert_eq!((all.len(), all.iter().filter(|c| c.1 == unit).count()), (TRIALS - 1, 1));
        // Each says in a sidecar what it is.
        for (name, preprocessing, sidecar) in candidates(&classifier.model, None) {
            let sidecar = Sidecar::parse(&sidecar, "m".as_ref()).unwrap();
            assert_eq!(sidecar.preprocessing(None, [Some(side); 2], 3).unwrap(), preprocessing, "{name}");
        }
    }
}
