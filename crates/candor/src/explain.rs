//! Explaining photos: from a decoded picture and the classes asked for to figures and maps.

use std::time::Instant;

use image::RgbImage;

use crate::error::{Error, Result};
use crate::explanation::{ClassExplanation, Cost, Explanation, PhotoExplanation, TopClass, Verdict};
use crate::image::Preprocessing;
use crate::labels::{ClassError, Labels};
use crate::methods::{Choices, Explainer, Method, prepare};
use crate::model::{Head, Model};
use crate::parameters::MethodInfo;
use crate::parameters::Parameters;
use crate::probe;
use crate::scores::ranking;

/// A class as asked for: by rank on the image, or itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClassQuery {
    /// The class of that rank, 1 being the model's answer.
    Rank(usize),
    /// The class with the lowest score.
    Lowest,
    /// The class of median rank.
    Median,
    /// This class.
    Class(usize),
}

impl ClassQuery {
    /// Reads `top1` … `topN`, `median`, `lowest`, a class's number or its name.
    ///
    /// # Errors
    /// [`ClassError`] for a number out of range, or an unknown name with the nearest ones.
    pub fn parse(text: &str, labels: &Labels) -> Result<Self, ClassError> {
        let rank = text.strip_prefix("top").and_then(|n| n.parse().ok());
        Ok(match (text, rank) {
            (_, Some(rank)) if (1..=labels.len()).contains(&rank) => ClassQuery::Rank(rank),
            ("lowest", _) => ClassQuery::Lowest,
            ("median", _) => ClassQuery::Median,
            _ => ClassQuery::Class(labels.find_class(text)?),
        })
    }

    fn resolve(&self, ranking: &[usize]) -> usize {
        match self {
            ClassQuery::Rank(n) => ranking[(n - 1).min(ranking.len() - 1)],
            ClassQuery::Lowest => ranking[ranking.len() - 1],
            ClassQuery::Median => ranking[ranking.len() / 2],
            ClassQuery::Class(c) => *c,
        }
    }
}

/// The classes that queries mean, each once, and the class with the lowest score.
fn asked(queries: &[ClassQuery], ranking: &[usize]) -> (Vec<usize>, usize) {
    let mut classes: Vec<usize> = vec![];
    for class in queries.iter().map(|q| q.resolve(ranking)) {
        if !classes.contains(&class) {
            classes.push(class);
        }
    }
    (classes, ranking[ranking.len() - 1])
}

/// A model with a method, preprocessing and labels: explains photos.
pub struct Explain {
    /// The model.
    pub model: Model,
    /// How photos become input.
    pub preprocessing: Preprocessing,
    /// Names of the classes.
    pub labels: Labels,
    /// Whether each photo is asked for its lowest class, too, to warn where that lights the same pixels ([`probe`]).
    pub probe: bool,
    parameters: Parameters,
    explainer: Box<dyn Explainer>,
}

impl Explain {
    /// Compiles `method` for `model`.
    ///
    /// # Errors
    /// As [`Method::prepare`]; or labels that are not as many as the classes.
    pub fn new(
        model: Model,
        preprocessing: Preprocessing,
        labels: Labels,
        method: &dyn Method,
        set: &[(String, String)],
        choices: &Choices,
    ) -> Result<Self> {
        labels
            .check_count(model.classes)
            .map_err(|e| Error::Model { path: model.info.path.clone(), reason: e.to_string() })?;
        let (explainer, parameters) = prepare(&model, method, set, choices)?;
        Ok(Explain { model, preprocessing, labels, probe: true, parameters, explainer })
    }

    /// The method and every parameter it uses.
    pub fn method_info(&self) -> MethodInfo {
        self.parameters.info()
    }

    /// Steps of work that each photo takes with so many classes, at most, for a progress bar.
    pub fn steps(&self, classes: usize) -> u64 {
        self.explainer.steps(classes + usize::from(self.probe))
    }

    /// Photos which [`Explain::photos`] should be given where so many wait: more gain nothing.
    pub fn together(&self) -> usize {
        self.explainer.together(&self.model)
    }

    /// Explains one photo. A class asked for twice, by rank and by name, say, is explained once.
    ///
    /// # Errors
    /// If the engine fails or a score is not a number.
    pub fn photo(
        &mut self,
        path: &str,
        photo: &RgbImage,
        queries: &[ClassQuery],
        steps: &mut dyn FnMut(),
    ) -> Result<PhotoExplanation> {
        let mut explained = self.batch(&[(path, photo)], queries, steps)?;
        explained
            .pop()
            .ok_or_else(|| Error::Io { path: path.into(), reason: "the method gives no answer".into() })
    }

    /// [`Explain::photo`] of several photos, each with its path, in one batch where the method has one.
    pub fn photos(
        &mut self,
        photos: &[(&str, &RgbImage)],
        queries: &[ClassQuery],
        steps: &mut dyn FnMut(),
    ) -> Vec<Result<PhotoExplanation>> {
        if photos.len() > 1
            && let Ok(explained) = self.batch(photos, queries, steps)
        {
            return explained.into_iter().map(Ok).collect();
        }
        // Alone, those that fail do not keep the others from their maps.
        photos.iter().map(|(path, photo)| self.photo(path, photo, queries, steps)).collect()
    }

    fn batch(
        &mut self,
        photos: &[(&str, &RgbImage)],
        queries: &[ClassQuery],
        steps: &mut dyn FnMut(),
    ) -> Result<Vec<PhotoExplanation>> {
        let start = Instant::now();
        let inputs: Vec<Vec<f32>> = photos.iter().map(|(_, photo)| self.preprocessing.apply(photo)).collect();
        let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
        let probe = self.probe;
        let choose = |scores: &[f32]| {
            let (mut classes, lowest) = asked(queries, &ranking(scores));
            if probe && !classes.contains(&lowest) {
                classes.push(lowest);
            }
            classes
        };
        let found = self.explainer.explain_all(&self.model, &inputs, &choose, steps)?;
        let rankings: Vec<Vec<usize>> = found.iter().map(|(scores, _)| ranking(scores)).collect();
        let asked: Vec<_> = rankings.iter().map(|ranking| asked(queries, ranking)).collect();
        let count: usize = asked.iter().map(|(classes, _)| classes.len()).sum();
        let seconds = start.elapsed().as_secs_f64() / count.max(1) as f64;
        let all = photos.iter().zip(found).zip(rankings.iter().zip(asked));
        Ok(all
            .map(|((&(path, photo), (scores, explanations)), (ranking, (classes, lowest)))| {
                let explanations = self.probed(&classes, lowest, explanations);
                self.explained(path, photo, (&scores, ranking), classes.iter().zip(explanations), seconds)
            })
            .collect())
    }

    /// What is reported of a photo.
    fn explained<'c>(
        &self,
        path: &str,
        photo: &RgbImage,
        (scores, ranking): (&[f32], &[usize]),
        explanations: impl Iterator<Item = (&'c usize, Explanation)>,
        seconds: f64,
    ) -> PhotoExplanation {
        let probabilities = self.model.probabilities(scores);
        let top = ranking
            .iter()
            .take(5)
            .map(|&c| TopClass {
                class_id: c,
                name: self.labels.name(c),
                score: scores[c].into(),
                probability: probabilities[c],
            })
            .collect();
        let classes = explanations
            .map(|(&class, explanation)| {
                let rank = 1 + ranking.iter().position(|&c| c == class).unwrap_or(0);
                self.of_class(class, rank, scores, probabilities[class], explanation, seconds)
            })
            .collect();
        PhotoExplanation { path: path.to_string(), photo: self.preprocessing.view(photo), top, classes }
    }

    /// Explanations of the classes asked for, with the warnings of a probe for the class with the lowest score, which is the last if it
    /// was not asked for itself. What the probe costs is shared by the classes asked for.
    fn probed(
        &self,
        classes: &[usize],
        lowest: usize,
        mut explanations: Vec<Explanation>,
    ) -> Vec<Explanation> {
        if !self.probe {
            return explanations;
        }
        let at = classes.iter().position(|&c| c == lowest).unwrap_or(classes.len());
        let name = self.labels.name(lowest);
        let warn = |e: &Explanation| probe::warning(e, &explanations[at], &name);
        let warnings: Vec<Option<String>> = explanations.iter().map(warn).collect();
        for (q, warning) in warnings.into_iter().enumerate().filter(|(q, _)| *q != at) {
            explanations[q].warnings.extend(warning);
        }
        if at == classes.len() {
            let Explanation { passes, .. } = explanations.remove(at);
            for (q, e) in explanations.iter_mut().enumerate() {
                e.passes += passes.share(q, classes.len());
            }
        }
        explanations
    }

    fn of_class(
        &self,
        class: usize,
        rank: usize,
        scores: &[f32],
        probability: f64,
        e: Explanation,
        seconds: f64,
    ) -> ClassExplanation {
        let verdict = verdict(&e);
        let mut warnings = e.warnings;
        if self.model.head == Head::LogProbability {
            let note =
                "the model gives probabilities whose logits cannot be found; scores are their logarithms";
            warnings.push(note.to_string());
        }
        ClassExplanation {
            class_id: class,
            class_name: self.labels.name(class),
            rank,
            score: scores[class].into(),
            probability,
            log_odds: e.log_odds.unwrap_or_else(|| self.model.log_odds(scores, class)),
            null_log_odds: e.null_log_odds,
            evidence: e.evidence,
            kept: e.kept,
            map: e.map,
            levels: e.levels,
            lambda_path: e.path,
            cost: Cost { forward: e.passes.forward, backward: e.passes.backward, seconds },
            verdict,
            warnings,
        }
    }
}

/// Least evidence in log-odds, and least mass of a map, that count: what lies below is noise of the optimiser.
const LEAST_EVIDENCE: f64 = 0.05;
const LEAST_MASS: f64 = 1e-3;

/// `evidence` if the class's odds exceed those of nothing and the map is not empty; for methods without a null, if the map
/// is not empty.
fn verdict(e: &Explanation) -> Verdict {
    let found = match e.evidence {
        Some(evidence) => evidence > LEAST_EVIDENCE && e.map.mass() > LEAST_MASS,
        None => e.map.data.iter().any(|&v| v != 0.0),
    };
    if found { Verdict::Evidence } else { Verdict::NoEvidence }
}
