//! The sanity check with non-maximum classes: does a method's map of an absent class stay empty?
//!
//! For each image, the top-1 class, the second, the class of median rank, a seeded random one and the lowest are explained. All
//! figures are of raw magnitudes; nothing is normalised per query.

pub mod further;
pub mod input_shift;
mod page;
pub mod randomize;
pub mod report;
pub mod table;
pub mod vanishing;

pub use vanishing::Gradients;

use candor::progress::Progress;
use std::collections::BTreeMap;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::explaining::Explaining;
use crate::scatter::{components, entropy, total_variation};
use crate::statistics::{FEWEST_FOR_P95, Summary, auroc, summarize};
use candor::error::one_line;
use candor::explanation::Explanation;
use candor::map::Map;
use candor::methods::{Choices, Compiled, Definition, prepare};
use candor::model::Model;
use candor::noise::{below, stream};
use candor::parameters::MethodInfo;
use candor::parameters::Parameters;
use candor::passes::Passes;
use candor::quantile::median;
use candor::scores::ranking;
use candor::similarity::Profile;

/// Which class of an image is explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The model's answer.
    Top1,
    /// Its second class, which may well be present.
    Top2,
    /// The class of median rank.
    Median,
    /// A seeded random class other than the first two.
    Random,
    /// The class with the lowest score.
    Lowest,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 5] = [Kind::Top1, Kind::Top2, Kind::Median, Kind::Random, Kind::Lowest];
    /// Classes that are assumed to be absent from the image.
    pub const ABSENT: [Kind; 3] = [Kind::Median, Kind::Random, Kind::Lowest];

    /// Name in results.
    pub fn name(self) -> &'static str {
        ["top1", "top2", "median", "random", "lowest"][self as usize]
    }

    /// Name for display.
    pub fn label(self) -> &'static str {
        ["top-1", "top-2", "median rank", "random", "lowest"][self as usize]
    }
}

/// An image of the check.
#[derive(Clone, Debug)]
pub struct Input {
    /// Its index among all images that were named, from which its random class is drawn.
    pub number: usize,
    /// Its path, for results.
    pub path: String,
    /// Preprocessed values, C·H·W.
    pub values: Vec<f32>,
}

/// The figures of one map, compared with the map of top-1 of the same image.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// The image.
    pub image: String,
    /// Which class.
    pub kind: Kind,
    /// Its id.
    pub class_id: usize,
    /// Its rank, 1 being the model's answer.
    pub rank: usize,
    /// Mean over the pixels of the positive part: the map's mass.
    pub mass: f64,
    /// Largest value.
    pub max: f64,
    /// Mass divided by top-1's; `None` if that is 0.
    pub ratio: Option<f64>,
    /// Rank correlation with top-1's map; `None` if one of the two is constant.
    pub spearman: Option<f64>,
    /// Structural similarity to top-1's map.
    pub ssim: f64,
    /// Overlap (IoU) of the largest 5 % of pixels.
    pub iou_5: f64,
    /// Overlap (IoU) of the largest 20 % of pixels.
    pub iou_20: f64,
    /// Total variation, in units of the map's largest magnitude.
    pub total_variation: f64,
    /// Entropy as a fraction of its maximum, 0..=1; `None` for an empty map.
    pub entropy: Option<f64>,
    /// Number of connected parts above half the maximum.
    pub components: usize,
    /// Log-odds of the masked model minus those of the unmasked one, for methods with masks and classes with evidence: far above 0
    /// means adversarial noise.
    pub gain: Option<f64>,
    /// Mass of the mask at each level, finest first, for methods with masks.
    #[serde(skip)]
    pub level_mass: Vec<f64>,
}

/// The figures of one kind of query over all images.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Mass divided by top-1's.
    pub ratio: Option<Summary>,
    /// Rank correlation with top-1's map, over the images that have one.
    pub spearman: Option<Summary>,
    /// Structural similarity to top-1's map. For the random class this is the random-logit test (Sixt et al. 2020).
    pub ssim: Option<Summary>,
    /// Median overlap of the largest 5 %.
    pub iou_5: Option<f64>,
    /// Median overlap of the largest 20 %.
    pub iou_20: Option<f64>,
    /// Median total variation.
    pub total_variation: Option<f64>,
    /// Median entropy of maps that are not empty.
    pub entropy: Option<f64>,
    /// Median number of connected parts.
    pub components: Option<f64>,
    /// Largest gain in log-odds.
    pub gain: Option<f64>,
    /// Median mass of the mask at each level, finest first, for methods with masks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub level_mass: Vec<f64>,
}

impl Figures {
    /// Whether the maps resemble those of top-1: correlated or structurally similar, in the median.
    fn is_nearly_top1(&self) -> bool {
        let alike = |s: Option<Summary>| s.is_some_and(|s| s.median > 0.7);
        alike(self.spearman) || alike(self.ssim)
    }
}

/// The check of one method.
#[derive(Clone, Debug, Serialize)]
pub struct MethodCheck {
    /// The method and its parameters.
    pub method: MethodInfo,
    /// Whether it passed: [`judge`].
    pub passed: bool,
    /// Why, one clause per reason.
    pub reasons: Vec<String>,
    /// Why the verdict is uncertain, if there are too few images: [`caution`].
    pub caution: Option<String>,
    /// Whether it has a null, which decides whether its maps are empty: [`same_figure`].
    pub has_null: bool,
    /// Figures by kind of query.
    pub queries: BTreeMap<Kind, Figures>,
    /// Probability that the map of a top-1 class has more mass than that of an absent class, over all images.
    pub existence_auroc_mass: Option<f64>,
    /// The same for the maximum of the maps.
    pub existence_auroc_max: Option<f64>,
    /// Whether explaining the first image twice gave identical bytes.
    pub repeatable: bool,
    /// Forward passes of all images and queries.
    pub forward: u64,
    /// Backward passes.
    pub backward: u64,
    /// Seconds for all images and queries.
    pub seconds: f64,
    /// Every map's figures.
    pub rows: Vec<Row>,
}

/// A method that could not be checked, and why.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Skipped {
    /// Name of the method.
    pub method: String,
    /// Why, in one line.
    pub reason: String,
}

/// Largest median, over images, of mass(absent)/mass(top-1) with which a method passes, for each kind of absent class.
pub const MOST_MEDIAN: f64 = 0.01;
/// Largest 95th percentile of the same ratio.
pub const MOST_P95: f64 = 0.1;
/// Smallest existence AUROC by mass with which a method passes.
pub const LEAST_AUROC: f64 = 0.95;

/// A method with the caller's choices.
#[derive(Clone, Copy)]
pub struct Subject<'m> {
    /// The method.
    pub method: &'m dyn Definition,
    /// Its parameters that differ from the defaults.
    pub set: &'m [(String, String)],
    /// Levels, calibrated λ, seed.
    pub choices: &'m Choices,
}

impl Subject<'_> {
    /// Prepares the method for a model. Returns it with all its parameters.
    ///
    /// # Errors
    /// As [`prepare`].
    pub fn prepare(&self, model: &Model) -> Result<(Box<dyn Compiled>, Parameters)> {
        Ok(prepare(model, self.method, self.set, self.choices)?)
    }
}

/// A method's results for one image.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OfImage {
    rows: Vec<Row>,
    /// For each row: see [`Row::level_mass`].
    level_mass: Vec<Vec<f64>>,
    has_null: bool,
    /// For the first image of a run: whether explaining it twice gave identical bytes.
    repeatable: Option<bool>,
    forward: u64,
    backward: u64,
    seconds: f64,
}

/// Stores the results of one method's images, so that a run can be resumed or divided among machines.
pub trait Ledger {
    /// Whether this run checks an image.
    fn owns(&self, image: usize) -> bool;

    /// The stored results of an image, or why it could not be explained; `None` if nothing is stored.
    fn recall(&mut self, image: usize) -> Option<std::result::Result<OfImage, String>>;

    /// Stores the results of an image, with its classes and their maps in the order of [`Kind::ALL`], or why it failed.
    ///
    /// # Errors
    /// Any error that ends the check.
    fn add(
        &mut self,
        image: usize,
        found: std::result::Result<(&OfImage, &[usize], &[Map]), String>,
    ) -> Result<()>;

    /// The stored gradients of an image.
    fn recall_gradients(&mut self, image: usize) -> Option<Gradients>;

    /// Stores the gradients of an image.
    ///
    /// # Errors
    /// Any error that ends the check.
    fn add_gradients(&mut self, image: usize, found: &Gradients) -> Result<()>;
}

/// Stores nothing: every image is checked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Forgetful;

impl Ledger for Forgetful {
    fn owns(&self, _: usize) -> bool {
        true
    }

    fn recall(&mut self, _: usize) -> Option<std::result::Result<OfImage, String>> {
        None
    }

    fn add(&mut self, _: usize, _: std::result::Result<(&OfImage, &[usize], &[Map]), String>) -> Result<()> {
        Ok(())
    }

    fn recall_gradients(&mut self, _: usize) -> Option<Gradients> {
        None
    }

    fn add_gradients(&mut self, _: usize, _: &Gradients) -> Result<()> {
        Ok(())
    }
}

/// Checks one method on the images that `ledger` owns. From `seed`, the random class of each image is drawn (and the method's own
/// random numbers). `progress` is called once per image.
///
/// # Errors
/// If the method is not defined for the model, or the engine fails.
pub fn check_method(
    model: &Model,
    subject: Subject<'_>,
    images: &[Input],
    seed: u64,
    progress: &mut dyn Progress,
    ledger: &mut dyn Ledger,
) -> Result<MethodCheck> {
    let (mut explainer, parameters) = subject.prepare(model)?;
    let mut method = Explaining { model, explainer: explainer.as_mut(), progress };
    let mut found: Vec<OfImage> = vec![];
    let first = images.iter().position(|i| ledger.owns(i.number));
    for (at, image) in images.iter().enumerate().filter(|(_, i)| ledger.owns(i.number)).collect::<Vec<_>>() {
        found.push(match ledger.recall(image.number) {
            Some(known) => known.map_err(Error::Recalled)?,
            None => measured(&mut method, image, (seed, Some(at) == first), ledger)?,
        });
        method.progress.step()?;
    }
    Ok(summed(parameters.info(), found, seed))
}

/// Measures an image and stores the results; `first`: whether to explain it twice.
fn measured(
    method: &mut Explaining<'_>,
    image: &Input,
    (seed, first): (u64, bool),
    ledger: &mut dyn Ledger,
) -> Result<OfImage> {
    match of_image(method, image, (seed, first)) {
        Ok((found, ids, maps)) => {
            ledger.add(image.number, Ok((&found, &ids, &maps)))?;
            Ok(found)
        }
        Err(e) => {
            // Not the image's fault: it is measured when the run is resumed.
            if !matches!(e, Error::Explain(candor::Error::Cancelled(_))) {
                ledger.add(image.number, Err(one_line(&e)))?;
            }
            Err(e)
        }
    }
}

/// Results for an image, with its classes and their maps.
fn of_image(
    method: &mut Explaining<'_>,
    image: &Input,
    (seed, first): (u64, bool),
) -> Result<(OfImage, Vec<usize>, Vec<Map>)> {
    let start = Instant::now();
    let scores = method.scores(&image.values)?;
    let classes = queried(&scores, seed, image.number);
    let mut distinct: Vec<usize> = vec![];
    for &(_, class, _) in &classes {
        if !distinct.contains(&class) {
            distinct.push(class);
        }
    }
    let explained = method.explain(&distinct)?;
    let seconds = start.elapsed().as_secs_f64();
    let mut passes = Passes::default();
    explained.iter().for_each(|e| passes += e.passes);
    let mut repeatable = None;
    if first {
        method.scores(&image.values)?;
        let again = method.explain(&distinct)?;
        repeatable = Some(again.iter().zip(&explained).all(|(a, b)| a.map == b.map));
    }
    let profiles: Vec<Profile> = explained.iter().map(|e| Profile::of(&e.map)).collect();
    // The first of the distinct classes is top-1.
    let at = |class: usize| distinct.iter().position(|&c| c == class).unwrap_or(0);
    let pair = |i: usize| (&explained[i], &profiles[i]);
    let rows: Vec<Row> = classes.iter().map(|&query| row(image, query, pair(at(query.1)), pair(0))).collect();
    let (ids, maps) = classes.iter().map(|&(_, class, _)| (class, explained[at(class)].map.clone())).unzip();
    let found = OfImage {
        level_mass: rows.iter().map(|r| r.level_mass.clone()).collect(),
        rows,
        has_null: explained.iter().any(|e| e.evidence.is_some()),
        repeatable,
        forward: passes.forward,
        backward: passes.backward,
        seconds,
    };
    Ok((found, ids, maps))
}

fn summed(method: MethodInfo, images: Vec<OfImage>, seed: u64) -> MethodCheck {
    let total = |f: &dyn Fn(&OfImage) -> u64| images.iter().map(f).sum();
    let (forward, backward) = (total(&|i| i.forward), total(&|i| i.backward));
    let has_null = images.iter().any(|i| i.has_null);
    let repeatable = images.iter().all(|i| i.repeatable != Some(false));
    let seconds = images.iter().map(|i| i.seconds).sum();
    let count = images.len();
    let with_levels = |i: OfImage| {
        let levels = i.level_mass.into_iter();
        i.rows.into_iter().zip(levels).map(|(row, level_mass)| Row { level_mass, ..row }).collect::<Vec<_>>()
    };
    let rows: Vec<Row> = images.into_iter().flat_map(with_levels).collect();
    let mut found = MethodCheck {
        method,
        passed: false,
        reasons: vec![],
        caution: None,
        has_null,
        queries: Kind::ALL.iter().map(|&kind| (kind, figures(&rows, kind, seed))).collect(),
        existence_auroc_mass: existence(&rows, |r| r.mass),
        existence_auroc_max: existence(&rows, |r| r.max),
        repeatable,
        forward,
        backward,
        seconds,
        rows,
    };
    // Ratios exist only for images whose top-1 class has a map.
    let measured = found.queries.values().filter_map(|f| f.ratio).map(|s| s.count).max();
    found.caution = caution(measured.unwrap_or(count));
    found.reasons = judge(&found);
    found.passed = found.reasons.is_empty();
    found
}

/// The classes asked for: kind, class and rank. The random one depends only on `seed` and the image's number.
pub(super) fn queried(scores: &[f32], seed: u64, image: usize) -> Vec<(Kind, usize, usize)> {
    let ranking = ranking(scores);
    let last = ranking.len() - 1;
    let mut random = stream(seed, image);
    let drawn = if last >= 2 { 2 + below(&mut random, last - 1) } else { last };
    let ranks = [0, 1.min(last), ranking.len() / 2, drawn, last];
    Kind::ALL.iter().zip(ranks).map(|(&kind, rank)| (kind, ranking[rank], rank + 1)).collect()
}

fn row(
    image: &Input,
    (kind, class_id, rank): (Kind, usize, usize),
    (e, profile): (&Explanation, &Profile),
    (top, of_top): (&Explanation, &Profile),
) -> Row {
    let (mass, top_mass) = (e.map.mass(), top.map.mass());
    Row {
        image: image.path.clone(),
        kind,
        class_id,
        rank,
        mass,
        max: e.map.max().into(),
        ratio: (top_mass > 0.0).then(|| mass / top_mass),
        spearman: profile.spearman(of_top),
        ssim: profile.ssim(of_top),
        iou_5: profile.top_iou(of_top, 0.05),
        iou_20: profile.top_iou(of_top, 0.2),
        total_variation: total_variation(&e.map),
        entropy: entropy(&e.map),
        components: components(&e.map),
        gain: e
            .kept
            .zip(e.log_odds)
            .filter(|_| e.evidence > Some(0.0))
            .map(|(kept, before)| kept.log_odds - before),
        level_mass: e.levels.iter().map(|l| l.mean.mass()).collect(),
    }
}

fn figures(rows: &[Row], kind: Kind, seed: u64) -> Figures {
    let rows: Vec<&Row> = rows.iter().filter(|r| r.kind == kind).collect();
    let values = |f: &dyn Fn(&Row) -> Option<f64>| rows.iter().filter_map(|r| f(r)).collect::<Vec<f64>>();
    let middle = |f: &dyn Fn(&Row) -> Option<f64>| median(&values(f));
    Figures {
        ratio: summarize(&values(&|r| r.ratio), seed),
        spearman: summarize(&values(&|r| r.spearman), seed),
        ssim: summarize(&values(&|r| Some(r.ssim)), seed),
        iou_5: middle(&|r| Some(r.iou_5)),
        iou_20: middle(&|r| Some(r.iou_20)),
        total_variation: middle(&|r| Some(r.total_variation)),
        entropy: middle(&|r| r.entropy),
        components: middle(&|r| Some(r.components as f64)),
        gain: values(&|r| r.gain).into_iter().reduce(f64::max),
        level_mass: (0..rows.first().map_or(0, |r| r.level_mass.len()))
            .filter_map(|l| middle(&|r| r.level_mass.get(l).copied()))
            .collect(),
    }
}

/// AUROC of separating top-1 classes from absent ones by a figure of their maps.
fn existence(rows: &[Row], figure: impl Fn(&Row) -> f64) -> Option<f64> {
    let of = |absent: bool| -> Vec<f64> {
        let wanted = |r: &&Row| if absent { Kind::ABSENT.contains(&r.kind) } else { r.kind == Kind::Top1 };
        rows.iter().filter(wanted).map(&figure).collect()
    };
    auroc(&of(false), &of(true))
}

/// Reasons to fail; if there are none the method passes. It passes if, for each kind of absent class, the median ratio is at most
/// [`MOST_MEDIAN`] and its 95th percentile at most [`MOST_P95`], and masses separate present from absent classes with an AUROC of
/// at least [`LEAST_AUROC`].
pub fn judge(check: &MethodCheck) -> Vec<String> {
    let mut reasons = vec![];
    for kind in Kind::ABSENT {
        let Some(figures) = check.queries.get(&kind) else { continue };
        let Some(ratio) = figures.ratio else {
            reasons.push("the map of top-1 is empty on every image".to_string());
            return reasons;
        };
        if ratio.median > MOST_MEDIAN || ratio.p95 > MOST_P95 {
            let how = if figures.is_nearly_top1() { "nearly the map of top-1" } else { "scattered patterns" };
            reasons.push(format!(
                "{}: {:.3} of top-1's mass in the median ({:.3} at the 95th percentile), {how}",
                kind.label(),
                ratio.median,
                ratio.p95
            ));
        }
    }
    if let Some(auroc) = check.existence_auroc_mass.filter(|a| *a < LEAST_AUROC) {
        reasons.push(format!("mass tells present from absent classes with an AUROC of {auroc:.3} only"));
    }
    reasons
}

/// A caution about a verdict from so few images; `None` if there are enough. With fewer than [`FEWEST_FOR_P95`], the 95th percentile, by
/// which methods pass or fail, is close to the largest value.
pub fn caution(images: usize) -> Option<String> {
    (images < FEWEST_FOR_P95).then(|| {
        format!(
            "from {images} image{}: too few for a verdict; the 95th percentile needs at least {FEWEST_FOR_P95}",
            if images == 1 { "" } else { "s" }
        )
    })
}

/// A note on methods that have a null, if there are two or more: that their figures agree is not a second finding.
pub fn same_figure(methods: &[MethodCheck]) -> Option<String> {
    let names: Vec<&str> = methods.iter().filter(|m| m.has_null).map(|m| m.method.name.as_str()).collect();
    let (last, first) = names.split_last()?;
    (!first.is_empty()).then(|| {
        format!(
            "{} and {last} are silent by the same figure: both leave a class without evidence (log-odds above the null) an empty map. \
             That both pass is one finding, of the null, and not two",
            first.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_images_carry_no_verdict() {
        assert_eq!(
            caution(1).unwrap(),
            "from 1 image: too few for a verdict; the 95th percentile needs at least 20"
        );
        assert!(caution(19).is_some() && caution(20).is_none());
    }

    #[test]
    fn the_classes_asked_for_are_of_their_rank() {
        let scores: Vec<f32> = (0..10).map(|i| ((i * 7) % 10) as f32).collect();
        for image in 0..20 {
            let asked = queried(&scores, 3, image);
            assert_eq!(asked[0].1, 7);
            assert_eq!(asked[4].1, 0);
            assert!((3..=10).contains(&asked[3].2), "{asked:?}");
            assert_eq!(asked, queried(&scores, 3, image));
        }
        let two = queried(&[0.1, 0.9], 0, 0);
        assert_eq!((two[0].1, two[1].1, two[3].1), (1, 0, 0));
    }
}
