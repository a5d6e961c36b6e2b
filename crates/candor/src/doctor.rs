//! Finds the preprocessing that a model was made for: tries each plausible one on a few photos and compares the model's answers and the
//! statistics of its layers.
//!
//! Which criterion decides ([`Criterion`]):
//!
//! 1. True classes, if those of photos of several classes are given: accuracy, then the likelihood of the true classes. Candidates that the
//!    first does not clearly lead are ranked by K or B if the file has them: a correct model is more confident on larger inputs, whatever
//!    it was trained on.
//! 2. Else K ([`crate::training`]), if the file has BatchNormalization: how far the statistics of its inputs are from those in training.
//! 3. Else B (see there), the balance of biases, if it shows that BatchNormalization was folded into convolutions: at least 0.3 nats. J is
//!    added if the photos get at least five different answers, and more than half of the possible number, and J is positive for some
//!    candidate.
//! 4. Else J alone, which needs photos of different classes:
//!
//! J = H(answers) − ½ · mean (CE(p, p′) + CE(p′, p)),   CE(p, q) = −Σ_c p_c ln q_c
//!
//! new in Candor: H(answers) is the entropy of the distribution of the top-1 classes over the photos (a wrong scale gives one class for
//! all), p and p′ are the probabilities for a photo and for its mirror image (with a wrong scale the model is confident but contradicts
//! itself on the mirror image; with a wrong mean its confidence is low). For a model that is certain about N photos of N classes, J = ln N.
//! This form was chosen among six on 60 photos of ImageNet's validation set and six trained networks: it is the only one that ranks
//! the right preprocessing first in all of three draws of 20 photos.
//!
//! By K and B, numbers are ranked by their mean over the ways of resizing. Those that are neither stated, nor a preset, nor pixels less a mean
//! come first only if their lead over the best of those is clear, and so does a way of resizing that is neither stated nor the whole photo.
//! On 300 draws of 20 of 160 photos and three networks, J + B with this rule ranks the right numbers first in 293, without it in 280. (B
//! alone had 299 and 245, but failed for two of the networks on 20 other photos.)
//!
//! A lead is clear if it is at least 0.1 in accuracy, or 0.1 nats of J, J + B or the likelihood, or, for K and B, twice its standard error
//! over photos (jackknife) and, for B, 0.05 nats. For K and B on photos of many classes, J must also rank the same preprocessing first, since
//! photos unlike the training set have other statistics; where classes are told, no other numbers may have more right answers. A lead may be
//! clear except for the order of the colours: photos of one class share a typical colour, and text has none.

use std::path::Path;

use serde::Serialize;

use crate::error::{Error, ModelError, Result};
use crate::explanation::TopClass;
use crate::image::{ColorOrder, Photo, Preprocessing};
use crate::labels::Labels;
use crate::model::Model;
use crate::progress::Progress;
use crate::scores::ranking;
use crate::sidecar::Sidecar;
use crate::training::{Fit, Observer};

/// Smallest B, in nats, that shows a folded BatchNormalization: trained networks have 0.8 and more with it, 0.001 without.
const FOLDED: f64 = 0.3;
/// Fewest different answers for which J is added to B: with fewer, chance changes their entropy more than the preprocessing does.
const MANY_ANSWERS: usize = 5;
/// Lead in J or in log-likelihood that counts as clear, in nats.
const CLEAR: f64 = 0.1;
/// Lead in B that counts as clear, in nats: photos unlike the training set change B by more than the spread over photos suggests.
const CLEAR_BALANCE: f64 = 0.05;
/// Lead in K and B that counts as clear, in standard errors.
const CLEAR_ERRORS: f64 = 2.0;

/// A preprocessing that was tried, with the model's answers.
#[derive(Clone, Debug, Serialize)]
pub struct Candidate {
    /// Description: the numbers, and how photos are brought to the input's size.
    pub name: String,
    /// The preprocessing.
    pub preprocessing: Preprocessing,
    /// The keys of a sidecar that state it, as TOML.
    pub sidecar: String,
    /// J, in nats: higher is better.
    pub score: f64,
    /// K, in nats: lower is better; `None` if the file has no BatchNormalization.
    pub divergence: Option<f64>,
    /// B, in nats: higher is better; `None` if the file has BatchNormalization, or if no convolution has a bias.
    pub balance: Option<f64>,
    /// Mean probability of the top-1 class, 0..=1.
    pub confidence: f64,
    /// Share of the photos whose mirror image gets the same answer.
    pub mirrored: f64,
    /// Number of different top-1 classes.
    pub answers: usize,
    /// Top-1 accuracy on the photos with a known class, 0..=1; `None` if none is known.
    pub accuracy: Option<f64>,
    /// Mean log-likelihood of the true classes, in nats; `None` if none is known.
    pub log_likelihood: Option<f64>,
    /// The five classes with the highest score for each photo, best first.
    #[serde(skip)]
    pub top: Vec<Vec<TopClass>>,
    /// K or B with each photo left out, for the jackknife.
    #[serde(skip)]
    without: Vec<f64>,
}

impl Candidate {
    /// Whether it is stated, a preset, or pixels less a mean.
    fn is_common(&self) -> bool {
        !["scale", "color"].iter().any(|key| self.sidecar.contains(key))
    }

    /// Whether its way of resizing is stated, or the most common one.
    fn is_usual(&self) -> bool {
        !["resize", "crop"].iter().any(|key| self.sidecar.contains(key))
    }
}

/// The criterion that candidates are ranked by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Criterion {
    /// True classes that were given.
    Truth,
    /// These, then K.
    TruthAndDivergence,
    /// These, then B.
    TruthAndBalance,
    /// K.
    Divergence,
    /// J + B.
    AnswersAndBalance,
    /// B.
    Balance,
    /// J.
    Answers,
}

impl Criterion {
    /// Whether true classes, which were given, come first.
    fn is_told(self) -> bool {
        matches!(self, Criterion::Truth | Criterion::TruthAndDivergence | Criterion::TruthAndBalance)
    }

    /// Whether it is what layers see that decides, with a spread over photos.
    fn of_layers(self) -> bool {
        !matches!(self, Criterion::Truth | Criterion::Answers | Criterion::AnswersAndBalance)
    }

    /// What makes a candidate best, in words.
    pub fn words(self) -> &'static str {
        match self {
            Criterion::Truth => "right answers, then the likelihood of the true classes",
            Criterion::TruthAndDivergence => {
                "answers are right, then what BatchNormalization sees is nearest to what it saw in training (divergence)"
            }
            Criterion::TruthAndBalance => "answers are right, then biases cancel what layers see (balance)",
            Criterion::Divergence => {
                "what BatchNormalization sees is nearest to what it saw in training (divergence)"
            }
            Criterion::AnswersAndBalance => {
                "answers differ and the mirror keeps them (score), and biases cancel what layers see (balance)"
            }
            Criterion::Balance => "biases cancel what layers see (balance)",
            Criterion::Answers => "answers differ and the mirror keeps them (score)",
        }
    }
}

/// What [`examine`] found.
#[derive(Clone, Debug)]
pub struct Examination {
    /// The candidates, best first.
    pub candidates: Vec<Candidate>,
    /// The criterion that they are ranked by.
    pub criterion: Criterion,
    /// Whether the photos have enough different classes for answers to be informative: by the given classes, or because the best
    /// candidate has more than half of the possible number of different answers and some J is positive.
    pub varied: bool,
    /// Whether all photos are of one class: by the given classes or, if none is given, by the answers of the best candidate.
    pub alike: bool,
}

/// How certain it is that the first candidate is best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Certainty {
    /// Its lead is clear.
    Clear,
    /// Its lead is not clear.
    Hardly,
    /// Its lead over other numbers is clear, but these photos cannot determine the order of the colours.
    NotOfColours,
    /// Photos of so few classes cannot decide.
    Cannot,
}

impl Examination {
    /// The best candidate, and the next one with other numbers, not just another way of resizing.
    pub fn leaders(&self) -> Option<(&Candidate, Option<&Candidate>)> {
        let best = self.candidates.first()?;
        Some((best, self.candidates.iter().find(|c| !same_numbers(c, best, true))))
    }

    /// How certain it is that the first candidate is best.
    pub fn certainty(&self) -> Certainty {
        let Some((best, next)) = self.leaders() else { return Certainty::Cannot };
        if self.criterion == Criterion::Answers && (self.alike || best.score <= 0.0) {
            return Certainty::Cannot;
        }
        let agreed = |with_colours| self.agreed(best, with_colours);
        let ahead_of = |other: Option<&Candidate>| other.is_none_or(|other| self.clear(best, other));
        let numbers = ahead_of(self.candidates.iter().find(|c| !same_numbers(c, best, false)));
        if !self.criterion.of_layers() || self.varied {
            return match numbers && agreed(false) {
                true if ahead_of(next) && agreed(true) => Certainty::Clear,
                true if self.criterion.of_layers() => Certainty::NotOfColours,
                _ => Certainty::Hardly,
            };
        }
        // Photos of one class are of a colour of their own: neither K nor B can tell the order by them.
        let turned =
            self.candidates.iter().any(|c| same_numbers(c, best, false) && !same_numbers(c, best, true));
        match numbers {
            true if turned => Certainty::NotOfColours,
            true => Certainty::Clear,
            false => Certainty::Cannot,
        }
    }

    /// A candidate's value under the criterion: higher is better.
    pub fn value(&self, c: &Candidate) -> f64 {
        value(self.criterion, c)
    }

    /// Whether the answers do not contradict: photos unlike those of training change what layers see, and the balance is much the same for
    /// similar scales. Told classes contradict if other numbers have more right answers.
    fn agreed(&self, best: &Candidate, with_colours: bool) -> bool {
        match self.criterion {
            Criterion::Divergence | Criterion::Balance if self.varied => {
                let highest = self.candidates.iter().max_by(|a, b| a.score.total_cmp(&b.score));
                highest.is_some_and(|highest| same_numbers(highest, best, with_colours))
            }
            Criterion::TruthAndDivergence | Criterion::TruthAndBalance => {
                let better = |c: &Candidate| c.accuracy > best.accuracy;
                !self.candidates.iter().any(|c| better(c) && !same_numbers(c, best, with_colours))
            }
            _ => true,
        }
    }

    /// Puts the best of the common candidates first, unless an uncommon one leads it clearly; then, of its numbers, the usual way of
    /// resizing, unless another leads it clearly. Told classes must not contradict a clear lead.
    fn prefer_common(&mut self) {
        self.prefer(|c, _| c.is_common());
        self.prefer(|c, first| c.is_usual() && same_numbers(c, first, true));
    }

    /// Puts the best of some candidates first, unless the first leads it clearly.
    fn prefer(&mut self, is_one: impl Fn(&Candidate, &Candidate) -> bool) {
        let Some(first) = self.candidates.first() else { return };
        let Some(place) = self.candidates.iter().position(|c| is_one(c, first)) else { return };
        let other = &self.candidates[place];
        let contradicted =
            self.criterion.is_told() && (!self.agreed(first, false) || other.accuracy > first.accuracy);
        if contradicted || !self.clear(first, other) {
            self.candidates[..=place].rotate_right(1);
        }
    }

    fn clear(&self, best: &Candidate, next: &Candidate) -> bool {
        match self.criterion {
            Criterion::Truth => ahead(best, next),
            Criterion::Answers | Criterion::AnswersAndBalance => self.value(best) - self.value(next) >= CLEAR,
            Criterion::TruthAndDivergence | Criterion::TruthAndBalance if ahead(best, next) => true,
            _ => {
                let lead = self.value(best) - self.value(next);
                let leads: Vec<f64> = best.without.iter().zip(&next.without).map(|(a, b)| a - b).collect();
                let count = leads.len() as f64;
                let mean = leads.iter().sum::<f64>() / count;
                let spread = leads.iter().map(|l| (l - mean).powi(2)).sum::<f64>();
                let balance = matches!(self.criterion, Criterion::Balance | Criterion::TruthAndBalance);
                let least = if balance { CLEAR_BALANCE } else { 0.0 };
                count > 1.0 && lead >= least && lead > CLEAR_ERRORS * ((count - 1.0) / count * spread).sqrt()
            }
        }
    }
}

/// Whether true classes say clearly that `a` is better than `b`.
fn ahead(a: &Candidate, b: &Candidate) -> bool {
    let [right, likely] = [|c: &Candidate| c.accuracy, |c: &Candidate| c.log_likelihood]
        .map(|of| of(a).unwrap_or(f64::NEG_INFINITY) - of(b).unwrap_or(f64::NEG_INFINITY));
    10.0 * right >= 1.0 || (right >= 0.0 && likely >= CLEAR)
}

/// A candidate's value under a criterion: higher is better.
fn value(criterion: Criterion, c: &Candidate) -> f64 {
    let found = match criterion {
        Criterion::Truth => c.log_likelihood,
        Criterion::Divergence | Criterion::TruthAndDivergence => c.divergence.map(|k| -k),
        Criterion::AnswersAndBalance => c.balance.map(|b| b + c.score),
        Criterion::Balance | Criterion::TruthAndBalance => c.balance,
        Criterion::Answers => Some(c.score),
    };
    found.filter(|v| !v.is_nan()).unwrap_or(f64::NEG_INFINITY)
}

/// Whether two candidates have the same numbers: exactly and in the same order of colours, or within 1 % in any order.
fn same_numbers(a: &Candidate, b: &Candidate, with_colours: bool) -> bool {
    let (a, b) = (&a.preprocessing, &b.preprocessing);
    if with_colours {
        return (a.scale, a.mean, a.std, a.color) == (b.scale, b.mean, b.std, b.color);
    }
    let near = |a: f64, b: f64| (a - b).abs() <= 0.01 * a.abs().max(b.abs());
    let alike = |mut a: [f64; 3], mut b: [f64; 3]| {
        a.sort_unstable_by(f64::total_cmp);
        b.sort_unstable_by(f64::total_cmp);
        a.iter().zip(b).all(|(a, b)| near(*a, b))
    };
    near(a.scale, b.scale) && alike(a.mean, b.mean) && alike(a.std, b.std)
}

/// Common numbers, as a sidecar states them: the presets, then others, most common first.
const NUMBERS: [(&str, &str); 11] = [
    ("imagenet", "preset = \"imagenet\"\n"),
    ("inception", "preset = \"inception\"\n"),
    ("unit", "preset = \"unit\"\n"),
    ("caffe", "preset = \"caffe\"\n"),
    ("raw", "preset = \"raw\"\n"),
    ("raw minus a mean, RGB", "preset = \"raw\"\nmean = [123.0, 117.0, 104.0]\n"),
    ("imagenet, BGR", "preset = \"imagenet\"\ncolor = \"bgr\"\n"),
    ("inception, BGR", "preset = \"inception\"\ncolor = \"bgr\"\n"),
    ("unit, BGR", "preset = \"unit\"\ncolor = \"bgr\"\n"),
    ("raw, BGR", "preset = \"raw\"\ncolor = \"bgr\"\n"),
    ("dlib", "preset = \"raw\"\nscale = 0.00390625\nmean = [0.479617, 0.457035, 0.407414]\n"),
];

/// Ways of resizing to the input's size, most common first.
const WAYS: [(&str, &str); 3] =
    [("squash", ""), ("crop 0.875", "resize = \"crop\"\n"), ("crop 1", "crop = 1.0\n")];

/// Every plausible preprocessing for an input. `stated` comes first: the one of the files or the sidecar, with its name.
fn candidates(
    model: &Model,
    stated: Option<(String, Preprocessing)>,
) -> Vec<(String, Preprocessing, String)> {
    let [channels, height, width] = model.input_shape;
    let mut all: Vec<(String, Preprocessing, String)> = vec![];
    for (name, numbers) in NUMBERS {
        for (way, line) in WAYS {
            let text = format!("{numbers}{line}");
            let sidecar = Sidecar::parse(&text, Path::new(name));
            let made = sidecar.and_then(|s| s.preprocessing(None, [Some(height), Some(width)], channels));
            // Grey has only one order of channels, and a model that scales pixels itself takes them as they are.
            let possible = |p: &Preprocessing| {
                (channels > 1 || p.color != ColorOrder::Bgr)
                    && (!model.takes_pixels || (p.scale, p.mean, p.std) == (1.0, [0.0; 3], [1.0; 3]))
            };
            let Some(made) = made.ok().filter(possible) else { continue };
            all.push((format!("{name}; {way}"), made, text));
        }
    }
    if let Some((name, preprocessing)) = stated {
        all.retain(|(_, known, _)| *known != preprocessing);
        all.insert(0, (name, preprocessing, String::new()));
    }
    all
}

/// Maximum number of preprocessings that [`examine`] tries.
pub const TRIALS: usize = NUMBERS.len() * WAYS.len() + 1;

/// Tries every plausible preprocessing on photos and ranks them, best first. `truth` has the true class of each photo, where it is
/// known. `progress` is called after each preprocessing.
///
/// # Errors
/// If the engine fails. A preprocessing that gives scores which are not finite is left out.
pub fn examine(
    model: &Model,
    labels: &Labels,
    stated: Option<(String, Preprocessing)>,
    photos: &[Photo],
    truth: &[Option<usize>],
    progress: &mut dyn Progress,
) -> Result<Examination> {
    let mut forward = model.forward()?;
    let mut observer = Observer::new(model)?;
    let mirrored: Vec<Photo> = photos.iter().map(Photo::mirrored).collect();
    let (mut candidates, mut given) = (vec![], vec![]);
    for (name, preprocessing, sidecar) in self::candidates(model, stated) {
        let inputs: Vec<Vec<f32>> = photos.iter().chain(&mirrored).map(|p| preprocessing.apply(p)).collect();
        let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
        let scores = model.all_scores(forward.as_mut(), &inputs);
        let scores = match scores {
            Err(Error::Model { source, .. }) if matches!(*source, ModelError::NotFinite { .. }) => {
                progress.step()?;
                continue;
            }
            scores => scores?,
        };
        // For example, cropping a square photo to its centre can leave the whole photo.
        if given.contains(&scores) {
            progress.step()?;
            continue;
        }
        let (own, other) = scores.split_at(photos.len());
        let mut found = judged(model, labels, (name, preprocessing, sidecar), own, other, truth);
        match observer.as_mut().map(|o| o.fit(&inputs[..photos.len()])).transpose()? {
            Some(Fit::Divergence(value, without)) => {
                (found.divergence, found.without) = (Some(value), without);
            }
            Some(Fit::Balance(value, without)) => (found.balance, found.without) = (Some(value), without),
            None => {}
        }
        candidates.push(found);
        given.push(scores);
        progress.step()?;
    }
    let mut told: Vec<usize> = truth.iter().flatten().copied().collect();
    told.sort_unstable();
    told.dedup();
    let (criterion, varied) = criterion(model, &candidates, photos.len(), told.len());
    let candidates = in_order(candidates, criterion);
    let alike = match told.len() {
        0 => candidates.first().is_some_and(|best| best.answers < 2),
        n => n < 2,
    };
    let mut found = Examination { candidates, criterion, varied, alike };
    found.prefer_common();
    Ok(found)
}

/// Best first. By what layers see, numbers are ranked by their mean over the ways of resizing, then the ways; what is stated counts by itself.
/// Where true classes are told, those that the first does not clearly lead are in the order of what training left in the weights.
fn in_order(mut candidates: Vec<Candidate>, criterion: Criterion) -> Vec<Candidate> {
    let of_numbers = |c: &Candidate, all: &[Candidate]| {
        let alike = |d: &&Candidate| !d.sidecar.is_empty() && same_numbers(c, d, true);
        match all.iter().filter(alike).map(|d| value(criterion, d)).collect::<Vec<f64>>() {
            _ if c.sidecar.is_empty() || criterion == Criterion::Answers => value(criterion, c),
            values => values.iter().sum::<f64>() / values.len() as f64,
        }
    };
    let sort = |all: &mut Vec<Candidate>| {
        let means: Vec<f64> = all.iter().map(|c| of_numbers(c, all)).collect();
        let mut ordered: Vec<(f64, Candidate)> = means.into_iter().zip(all.drain(..)).collect();
        ordered.sort_by(|(m, a), (n, b)| {
            n.total_cmp(m).then(value(criterion, b).total_cmp(&value(criterion, a)))
        });
        all.extend(ordered.into_iter().map(|(_, c)| c));
    };
    if !criterion.is_told() {
        sort(&mut candidates);
        return candidates;
    }
    let right = |c: &Candidate| c.accuracy.unwrap_or(0.0);
    let likely = |c: &Candidate| value(Criterion::Truth, c);
    candidates.sort_by(|a, b| right(b).total_cmp(&right(a)).then(likely(b).total_cmp(&likely(a))));
    let Some(first) = candidates.first().cloned() else { return candidates };
    let (mut alike, behind): (Vec<_>, Vec<_>) = candidates.into_iter().partition(|c| !ahead(&first, c));
    if criterion != Criterion::Truth {
        sort(&mut alike);
    }
    alike.into_iter().chain(behind).collect()
}

/// The criterion, and whether the photos are of many classes, of which `told` are known.
fn criterion(model: &Model, all: &[Candidate], photos: usize, told: usize) -> (Criterion, bool) {
    if told > 1 {
        let folded = || all.iter().any(|c| c.balance.is_some_and(|b| b >= FOLDED));
        return match all.iter().any(|c| c.divergence.is_some()) {
            true => (Criterion::TruthAndDivergence, true),
            false if folded() => (Criterion::TruthAndBalance, true),
            false => (Criterion::Truth, true),
        };
    }
    let best = |criterion| {
        let by = |a: &&Candidate, b: &&Candidate| value(criterion, b).total_cmp(&value(criterion, a));
        all.iter().min_by(by)
    };
    // If only one class is given, different answers do not mean that the photos are of different classes. If J is negative for all
    // candidates, mirror images belong to other classes, as with text, and J is not informative.
    let many = |c: Option<&Candidate>| {
        let answered = |c: &Candidate| c.answers > 1 && 2 * c.answers > photos.min(model.classes);
        told == 0 && c.is_some_and(answered) && all.iter().any(|c| answered(c) && c.score > 0.0)
    };
    if all.iter().any(|c| c.divergence.is_some()) {
        return (Criterion::Divergence, many(best(Criterion::Divergence)));
    }
    let balanced = best(Criterion::Balance).filter(|c| c.balance.is_some_and(|b| b >= FOLDED));
    match balanced {
        Some(c) if many(Some(c)) && c.answers >= MANY_ANSWERS => (Criterion::AnswersAndBalance, true),
        Some(c) => (Criterion::Balance, many(Some(c))),
        None => (Criterion::Answers, many(best(Criterion::Answers))),
    }
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
        divergence: None,
        balance: None,
        confidence: mean(&mut answers.iter().zip(&all).map(|(&a, p)| p[a])),
        mirrored: mean(
            &mut answers.iter().zip(mirrored).map(|(&a, s)| f64::from(u8::from(ranking(s)[0] == a))),
        ),
        answers: different.len(),
        accuracy: of_known(&|i, class| f64::from(u8::from(answers[i] == class))),
        log_likelihood: of_known(&|i, class| least(all[i][class])),
        top: (0..scores.len()).map(top).collect(),
        without: vec![],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Classifier;
    use crate::engine::RTen;
    use crate::image::{Preset, decode_bytes};
    use crate::progress::Unwatched;
    use candor_graph::builder::Builder;
    use candor_graph::graph::Graph;
    use candor_graph::onnx;
    use candor_graph::shape::Dim;
    use candor_graph::tensor::{DataType, Tensor};
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
            let examined = examine(model, labels, None, &photos, &truth, &mut Unwatched).unwrap();
            let by_truth = matches!(examined.criterion, Criterion::Truth | Criterion::TruthAndBalance);
            assert_eq!(by_truth, known);
            let found = examined.candidates;
            // The pictures are square: two of the three ways of resizing give the same input.
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

    /// A candidate of a preset, with what was found: right answers, the likelihood of the true classes, K, J.
    fn found(numbers: &str, [right, likely, divergence, score]: [f64; 4]) -> Candidate {
        let sidecar = Sidecar::parse(numbers, "m".as_ref()).unwrap();
        Candidate {
            name: numbers.to_string(),
            preprocessing: sidecar.preprocessing(None, [Some(8); 2], 3).unwrap(),
            sidecar: numbers.to_string(),
            score,
            divergence: Some(divergence),
            balance: None,
            confidence: 1.0,
            mirrored: 1.0,
            answers: 2,
            accuracy: Some(right),
            log_likelihood: Some(likely),
            top: vec![],
            without: [0.99, 1.0, 1.01].map(|share| share * divergence).into(),
        }
    }

    #[test]
    fn among_right_answers_training_decides_and_text_has_no_colours() {
        let [inception, turned, imagenet, caffe, unit] = [
            found("preset = \"inception\"", [1.0, -0.02, 0.045, -5.0]),
            found("preset = \"inception\"\ncolor = \"bgr\"", [1.0, -0.01, 0.046, -5.0]),
            found("preset = \"imagenet\"", [1.0, 0.0, 0.3, -0.8]),
            found("preset = \"caffe\"", [0.5, -0.7, 0.01, 0.7]),
            found("preset = \"unit\"", [1.0, -0.3, 0.02, -0.7]),
        ];
        // From photo to photo either order of the colours is the better one.
        let turned = Candidate { without: vec![0.040, 0.046, 0.052], ..turned };
        let all = vec![caffe, unit, imagenet, turned, inception];
        let examined = |criterion| {
            let candidates = in_order(all.clone(), criterion);
            let examined = Examination { candidates, criterion, varied: true, alike: false };
            let names: Vec<&str> = examined.candidates.iter().map(|c| c.name.as_str()).collect();
            (names.join("|").replace("preset = ", "").replace(['"', '\n'], ""), examined.certainty())
        };
        // Those that are wrong, or clearly less sure of what is right, come last, whatever the layers see.
        let (names, certainty) = examined(Criterion::TruthAndDivergence);
        assert_eq!(names, "inception|inceptioncolor = bgr|imagenet|unit|caffe");
        assert_eq!(certainty, Certainty::NotOfColours);
        let (names, certainty) = examined(Criterion::Truth);
        assert_eq!(names, "imagenet|inceptioncolor = bgr|inception|unit|caffe");
        assert_eq!(certainty, Certainty::Hardly);
        // What is no preset comes first only where its lead is clear.
        let common_first = |lead: f64, right: f64, criterion: Criterion| {
            let with = |name: &str, right, divergence| found(name, [right, 0.0, divergence, 0.0]);
            let uncommon = with("preset = \"raw\"\nscale = 0.004", 0.95, 1.0);
            let uncommon = Candidate { without: vec![0.9, 1.0, 1.1], ..uncommon };
            let candidates = vec![uncommon, with("preset = \"unit\"", right, 1.0 + lead)];
            let varied = criterion == Criterion::TruthAndDivergence;
            let mut examined = Examination { candidates, criterion, varied, alike: false };
            examined.prefer_common();
            (examined.candidates[0].is_common(), examined.certainty() == Certainty::Hardly)
        };
        assert!(common_first(0.001, 0.0, Criterion::Divergence).0);
        assert!(!common_first(0.5, 0.0, Criterion::Divergence).0);
        assert!(!common_first(0.5, 0.95, Criterion::TruthAndDivergence).0);
        // Nor where others have more right answers.
        assert_eq!(common_first(0.5, 1.0, Criterion::TruthAndDivergence), (true, true));
        // Untold, what the layers see decides, which the answers confirm here.
        let (names, certainty) = examined(Criterion::Divergence);
        assert!(names.starts_with("caffe|unit"), "{names}");
        assert_eq!(certainty, Certainty::Clear);
        // Answers that the mirror contradicts more than they differ tell nothing.
        let candidates = vec![found("preset = \"raw\"", [0.5, -1.0, 1.0, -0.1])];
        let examined = Examination { candidates, criterion: Criterion::Answers, varied: false, alike: false };
        assert_eq!(examined.certainty(), Certainty::Cannot);
    }

    /// Scenes as photos.
    fn scenes() -> Vec<Photo> {
        embedded::DEMO_SCENES.iter().map(|s| decode_bytes(s.png, s.name.as_ref()).unwrap().into()).collect()
    }

    /// Eight features that are sums of the colours, normalised as if trained on the scenes with the preset `inception`, and three classes
    /// of which only larger inputs make the model certain. `how` says where the normalisation is: kept, folded into a bias, or nowhere.
    fn trained_on_scenes(how: &str) -> Classifier {
        let side = 16;
        let preprocessing = Preset::Inception.preprocessing(side, side);
        let weights: Vec<f32> = (0..24).map(|i| ((i * 7 % 11) as f32 - 4.0) / 5.0).collect();
        let mut values: Vec<Vec<f64>> = vec![vec![]; 8];
        for photo in scenes() {
            let x = preprocessing.apply(&photo);
            for (k, own) in values.iter_mut().enumerate() {
                own.extend((0..side * side).map(|i| {
                    (0..3).map(|c| f64::from(weights[3 * k + c] * x[c * side * side + i])).sum::<f64>()
                }));
            }
        }
        let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
        let means: Vec<f32> = values.iter().map(|v| mean(v) as f32).collect();
        let square = |v: &[f64]| mean(&v.iter().map(|x| x * x).collect::<Vec<f64>>());
        let variances: Vec<f32> = values.iter().map(|v| (square(v) - mean(v) * mean(v)) as f32).collect();
        let builder = Builder::new(Graph::new(18));
        let size = Dim::Fixed(side);
        let x = builder.input("x", DataType::Float, &[Dim::Batch(1), Dim::Fixed(3), size, size]);
        let floats = |shape: &[usize], v: Vec<f32>| builder.constant(Tensor::floats(shape, v).unwrap());
        let weight = floats(&[8, 3, 1, 1], weights);
        let y = match how {
            "kept" => x.op("Conv", &[weight], &[]).op(
                "BatchNormalization",
                &[
                    floats(&[8], vec![1.0; 8]),
                    floats(&[8], vec![0.0; 8]),
                    floats(&[8], means),
                    floats(&[8], variances),
                ],
                &[],
            ),
            "folded" => {
                let bias = means.iter().enumerate().map(|(k, m)| 0.01 * (k % 3) as f32 - m).collect();
                x.op("Conv", &[weight, floats(&[8], bias)], &[])
            }
            _ => x.op("Conv", &[weight], &[]),
        };
        let features = y.op("Relu", &[], &[]).op("GlobalAveragePool", &[], &[]).op("Flatten", &[], &[]);
        let classes = (0..24).map(|i| 0.1 * ((i * 5 % 7) as f32 - 3.0)).collect();
        let logits = features.op("MatMul", &[floats(&[8, 3], classes)], &[]).id();
        let mut graph = builder.finish().unwrap();
        graph.rename(logits, "logits");
        graph.outputs = vec![logits];
        let bytes = onnx::to_bytes(&graph).unwrap();
        let engine = Some(Box::new(RTen::new(1)) as Box<_>);
        Classifier::from_bytes("trained", &bytes, Sidecar::default(), engine).unwrap()
    }

    #[test]
    fn statistics_of_training_tell_what_answers_do_not() {
        let by = |how: &str| {
            let Classifier { model, labels, .. } = trained_on_scenes(how);
            let photos = scenes();
            examine(&model, &labels, None, &photos, &vec![None; photos.len()], &mut Unwatched).unwrap()
        };
        let place = |found: &Examination| found.candidates[0].name.clone();
        let kept = by("kept");
        assert_eq!(kept.criterion, Criterion::Divergence);
        assert!(place(&kept).starts_with("inception; squash"), "{}", place(&kept));
        let divergence = |name: &str| {
            kept.candidates.iter().find(|c| c.name.starts_with(name)).unwrap().divergence.unwrap()
        };
        assert!(divergence("inception;") < 0.02 && divergence("raw;") > 10.0);
        // By the answers alone another candidate would win.
        let most = kept.candidates.iter().max_by(|a, b| a.score.total_cmp(&b.score)).unwrap();
        assert!(!most.name.starts_with("inception"), "{}", most.name);
        let folded = by("folded");
        assert!([Criterion::Balance, Criterion::AnswersAndBalance].contains(&folded.criterion));
        assert!(place(&folded).starts_with("inception"), "{}", place(&folded));
        let nowhere = by("nowhere");
        assert_eq!(nowhere.criterion, Criterion::Answers);
        assert!(nowhere.candidates.iter().all(|c| c.divergence.is_none() && c.balance.is_none()));
    }

    #[test]
    fn photos_of_one_class_tell_numbers_and_no_order_of_colours() {
        let Classifier { model, labels, .. } = trained_on_scenes("kept");
        let photos = scenes();
        let told = vec![Some(1); photos.len()];
        let found = examine(&model, &labels, None, &photos, &told, &mut Unwatched).unwrap();
        assert_eq!((found.criterion, found.varied, found.alike), (Criterion::Divergence, false, true));
        assert_eq!(found.certainty(), Certainty::NotOfColours);
        // A single photo gives no spread to compare a lead with.
        let found = examine(&model, &labels, None, &photos[..1], &told[..1], &mut Unwatched).unwrap();
        assert_eq!(found.certainty(), Certainty::Cannot);
        let Classifier { model, labels, .. } = trained_on_scenes("nowhere");
        let found = examine(&model, &labels, None, &photos, &told, &mut Unwatched).unwrap();
        assert_eq!((found.criterion, found.certainty()), (Criterion::Answers, Certainty::Cannot));
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
        // Each candidate's sidecar text states its own preprocessing.
        for (name, preprocessing, sidecar) in candidates(&classifier.model, None) {
            let sidecar = Sidecar::parse(&sidecar, "m".as_ref()).unwrap();
            assert_eq!(sidecar.preprocessing(None, [Some(side); 2], 3).unwrap(), preprocessing, "{name}");
        }
    }
}
