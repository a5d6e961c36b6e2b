//! Explains photos: from an image and the requested classes to scores and maps.

use std::path::Path;
use std::time::Instant;

use image::RgbImage;

use crate::classifier::Classifier;
use crate::error::{Error, ModelError, Result, guarded};
use crate::explanation::{ClassExplanation, Cost, Explanation, PhotoExplanation, TopClass};
use crate::image::Picture;
use crate::labels::{ClassError, Labels};
use crate::mask::Settings;
use crate::methods::{self, Compiled, Definition, prepare};
use crate::model::Head;
use crate::parameters::{MethodInfo, Pairs, Parameters};
use crate::probe;
use crate::progress::{Progress, Unwatched};
use crate::scores::ranking;

/// A class as asked for: by rank on the photo, by its number, or by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Class {
    /// The class of that rank, 1 being the model's answer.
    Top(usize),
    /// The class with the lowest score.
    Lowest,
    /// The class of median rank.
    Median,
    /// The class of that index.
    Index(usize),
    /// The class of that name, as [`Labels::find_class`] understands names.
    Named(String),
}

/// Words that choose a class by its rank on a photo.
const WORDS: [&str; 3] = ["top1", "lowest", "median"];

impl Class {
    /// The class of rank `n`, 1 being the model's answer.
    pub fn top(n: usize) -> Self {
        Class::Top(n)
    }

    /// The class of that name.
    pub fn named(name: impl Into<String>) -> Self {
        Class::Named(name.into())
    }

    /// Reads `top1` … `topN`, `median`, `lowest`, a class's number or its name.
    ///
    /// # Errors
    /// [`ClassError`] for a number or a rank out of range, or an unknown name with the nearest ones.
    pub fn parse(text: &str, labels: &Labels) -> Result<Self, ClassError> {
        let rank = text.strip_prefix("top").and_then(|n| n.parse().ok());
        Ok(match (text, rank) {
            (_, Some(rank)) if (1..=labels.len()).contains(&rank) => Class::Top(rank),
            ("lowest", _) => Class::Lowest,
            ("median", _) => Class::Median,
            // A class may be called `top 10`.
            _ => Class::Index(labels.find_class(text).map_err(|e| match rank {
                Some(_) => ClassError::Rank { query: text.to_string(), classes: labels.len() },
                None => e.or_word(text, &WORDS),
            })?),
        })
    }

    /// Replaces a name by its index; other variants stay as they are.
    fn known(&self, labels: &Labels) -> Result<Self, ClassError> {
        match self {
            Class::Named(name) => Ok(Class::Index(labels.find_class(name)?)),
            Class::Index(id) if *id >= labels.len() => {
                Err(ClassError::OutOfRange { id: *id, classes: labels.len() })
            }
            other => Ok(other.clone()),
        }
    }

    /// The index of the class, given the classes of a photo by descending score; names must have been replaced by indices.
    fn resolve(&self, ranking: &[usize]) -> Option<usize> {
        match self {
            Class::Top(n) => ranking.get(n.saturating_sub(1).min(ranking.len() - 1)).copied(),
            Class::Lowest => ranking.last().copied(),
            Class::Median => ranking.get(ranking.len() / 2).copied(),
            Class::Index(c) => Some(*c),
            Class::Named(_) => None,
        }
    }
}

/// The requested classes without duplicates, and the class with the lowest score.
fn asked(classes: &[Class], ranking: &[usize]) -> (Vec<usize>, usize) {
    let mut found: Vec<usize> = vec![];
    for class in classes.iter().filter_map(|q| q.resolve(ranking)) {
        if !found.contains(&class) {
            found.push(class);
        }
    }
    (found, ranking[ranking.len() - 1])
}

/// A method with its settings. The default is the reliable mask.
///
/// ```
/// use candor::Method;
/// use candor::mask::Settings;
///
/// let mask = Method::from(Settings { iterations: 30, ..Settings::default() }); // typed options of the mask
/// let lime = Method::named("lime").with("samples", 500); // name and options of the others
/// # let _ = (mask, lime);
/// ```
#[derive(Clone, Debug)]
pub struct Method {
    /// Name, as `candor methods` lists them.
    pub name: String,
    /// Names and values of the parameters that differ from the defaults.
    pub set: Pairs,
    /// Names of the levels, finest first; if empty, those of the sidecar, or automatic ones.
    pub levels: Vec<String>,
    /// Seed of all random numbers.
    pub seed: u64,
}

impl Default for Method {
    fn default() -> Self {
        Method::named("reliable")
    }
}

impl Method {
    /// The method of that name with its defaults.
    pub fn named(name: impl Into<String>) -> Self {
        Method { name: name.into(), set: vec![], levels: vec![], seed: 0 }
    }

    /// Sets a parameter.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl ToString) -> Self {
        self.set.push((name.into(), value.to_string()));
        self
    }
}

/// The reliable mask with these options. If λ is not set, the sidecar's is used, or a default by the sizes of the levels.
impl From<Settings> for Method {
    fn from(settings: Settings) -> Self {
        Method { set: settings.pairs(), ..Method::default() }
    }
}

impl Classifier {
    /// Compiles a method for the model: once, for any number of photos.
    ///
    /// # Errors
    /// An unknown method or parameter, a level that does not exist, a node without a gradient rule.
    pub fn explainer(&self, method: &Method) -> Result<Explainer> {
        self.explainer_of(methods::find(&method.name)?.as_ref(), method)
    }

    /// [`Classifier::explainer`] for a method that is not in the registry, with the settings of `method`.
    ///
    /// # Errors
    /// As [`Classifier::explainer`].
    pub fn explainer_of(&self, definition: &dyn Definition, method: &Method) -> Result<Explainer> {
        let choices = self.choices(&method.levels, method.seed);
        let prepared = || prepare(&self.model, definition, &method.set, &choices);
        let (prepared, parameters) = guarded(&self.model.info.path, prepared)?;
        Ok(Explainer { classifier: self.clone(), probe: true, parameters, prepared })
    }
}

/// A method compiled for a classifier: explains photos. It may be sent to another thread.
pub struct Explainer {
    /// The classifier.
    pub classifier: Classifier,
    /// Whether the lowest-scoring class of each photo is explained too, to warn if it highlights the same pixels ([`probe`]).
    pub probe: bool,
    parameters: Parameters,
    prepared: Box<dyn Compiled>,
}

impl Explainer {
    /// The method and every parameter it uses.
    pub fn method_info(&self) -> MethodInfo {
        self.parameters.info()
    }

    /// Maximum number of progress steps for a photo when this many classes are requested.
    pub fn steps(&self, classes: usize) -> u64 {
        self.prepared.steps(classes + usize::from(self.probe))
    }

    /// Number of photos per call of [`Explainer::photos`] when at least that many are queued: more at once are not faster.
    pub fn together(&self) -> usize {
        self.prepared.together(&self.classifier.model)
    }

    /// Explains classes of the photo in a file, in the order requested; duplicates are explained once.
    ///
    /// # Errors
    /// If the file is not a photo, a class does not exist, the engine fails, or a score is not finite.
    pub fn explain(&mut self, photo: impl AsRef<Path>, classes: &[Class]) -> Result<Vec<ClassExplanation>> {
        let path = photo.as_ref();
        let pixels = self.classifier.preprocessing.read(path)?.photo;
        Ok(self.photo(&path.display().to_string(), &pixels, classes, &mut Unwatched)?.classes)
    }

    /// Explains a decoded photo; `path` is its name in results.
    ///
    /// # Errors
    /// As [`Explainer::explain`], and [`Error::Cancelled`].
    pub fn photo(
        &mut self,
        path: &str,
        photo: &impl Picture,
        classes: &[Class],
        progress: &mut dyn Progress,
    ) -> Result<PhotoExplanation> {
        let mut explained = guarded(path, || self.batch(&[(path, photo)], classes, progress))?;
        explained.pop().ok_or_else(|| Error::model(&self.classifier.model.info.path, ModelError::NotComputed))
    }

    /// [`Explainer::photo`] for several photos, each with its path, in one batch if the method supports it.
    pub fn photos<P: Picture>(
        &mut self,
        photos: &[(&str, &P)],
        classes: &[Class],
        progress: &mut dyn Progress,
    ) -> Vec<Result<PhotoExplanation>> {
        if photos.len() > 1 {
            match guarded("several photos", || self.batch(photos, classes, progress)) {
                Ok(explained) => return explained.into_iter().map(Ok).collect(),
                Err(Error::Cancelled(c)) => return photos.iter().map(|_| Err(c.into())).collect(),
                // The photos are explained one by one below, so that one that fails does not affect the others.
                Err(_) => {}
            }
        }
        photos.iter().map(|(path, photo)| self.photo(path, *photo, classes, progress)).collect()
    }

    fn batch<P: Picture>(
        &mut self,
        photos: &[(&str, &P)],
        classes: &[Class],
        progress: &mut dyn Progress,
    ) -> Result<Vec<PhotoExplanation>> {
        let start = Instant::now();
        let known =
            classes.iter().map(|c| c.known(&self.classifier.labels)).collect::<Result<Vec<_>, _>>()?;
        let preprocessing = &self.classifier.preprocessing;
        let (seen, inputs): (Vec<RgbImage>, Vec<Vec<f32>>) =
            photos.iter().map(|(_, photo)| preprocessing.prepare(*photo)).unzip();
        let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
        let probe = self.probe;
        let choose = |scores: &[f32]| {
            let (mut classes, lowest) = asked(&known, &ranking(scores));
            if probe && !classes.contains(&lowest) {
                classes.push(lowest);
            }
            classes
        };
        let found = self.prepared.explain_all(&self.classifier.model, &inputs, &choose, progress)?;
        let rankings: Vec<Vec<usize>> = found.iter().map(|(scores, _)| ranking(scores)).collect();
        let asked: Vec<_> = rankings.iter().map(|ranking| asked(&known, ranking)).collect();
        let count: usize = asked.iter().map(|(classes, _)| classes.len()).sum();
        let seconds = start.elapsed().as_secs_f64() / count.max(1) as f64;
        let all = photos.iter().zip(seen).zip(found).zip(rankings.iter().zip(asked));
        Ok(all
            .map(|(((&(path, photo), seen), (scores, explanations)), (ranking, (classes, lowest)))| {
                let explanations = self.probed(&classes, lowest, explanations);
                let explanations = classes.iter().zip(explanations);
                self.explained(path, (photo.shown(), seen), (&scores, ranking), explanations, seconds)
            })
            .collect())
    }

    /// The report on a photo and on its pixels on the model's grid.
    fn explained<'c>(
        &self,
        path: &str,
        (photo, seen): (&RgbImage, RgbImage),
        (scores, ranking): (&[f32], &[usize]),
        explanations: impl Iterator<Item = (&'c usize, Explanation)>,
        seconds: f64,
    ) -> PhotoExplanation {
        let probabilities = self.classifier.model.probabilities(scores);
        let top = ranking
            .iter()
            .take(5)
            .map(|&c| TopClass {
                class_id: c,
                name: self.classifier.labels.name(c),
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
        PhotoExplanation {
            path: path.to_string(),
            photo: self.classifier.preprocessing.view(photo),
            seen,
            preparation: self.classifier.preprocessing.steps(photo.height(), photo.width()),
            top,
            classes,
        }
    }

    /// Explanations of the requested classes, with the probe's warnings. The class with the lowest score is the last one, unless it was
    /// requested itself. The probe's cost is divided among the requested classes.
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
        let name = self.classifier.labels.name(lowest);
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
        let verdict = e.verdict();
        let mut warnings = e.warnings;
        if self.classifier.model.head == Head::LogProbability {
            let note =
                "the model gives probabilities whose logits cannot be found; scores are their logarithms";
            warnings.push(note.to_string());
        }
        ClassExplanation {
            class_id: class,
            class_name: self.classifier.labels.name(class),
            rank,
            score: scores[class].into(),
            probability,
            log_odds: e.log_odds.unwrap_or_else(|| self.classifier.model.log_odds(scores, class)),
            null_log_odds: e.null_log_odds,
            evidence: e.evidence,
            judged: e.judged,
            weak_map: e.weak,
            lambda: e.lambda,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_rank_is_answered_with_the_ranks_there_are() {
        let labels = Labels::new(["low tide", "top 2", "cat"].map(String::from).into());
        let parse = |text: &str| Class::parse(text, &labels).map_err(|e| e.to_string());
        assert_eq!(parse("top3"), Ok(Class::Top(3)));
        assert_eq!(parse("top 2"), Ok(Class::Index(1)));
        for text in ["top0", "top4"] {
            let error =
                format!("no class has the rank `{text}`; there are top1, the model's answer, to top3");
            assert_eq!(parse(text), Err(error));
        }
        let error = parse("lowset").unwrap_err();
        assert!(error.starts_with("no class is called `lowset`; did you mean lowest"), "{error}");
        assert!(parse("Lowest").unwrap_err().contains("did you mean lowest"));
        let unnamed = Class::parse("lowset", &Labels::unnamed(3)).unwrap_err().to_string();
        assert_eq!(unnamed, "no class is called `lowset`; did you mean lowest?");
    }

    #[test]
    fn an_explainer_may_be_sent_to_another_thread() {
        fn sent<T: Send>() {}
        sent::<Explainer>();
    }
}
