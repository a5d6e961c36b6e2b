//! The result of a method for one class of a photo.

use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::false_alarms::{DISCOVERIES, EVIDENCE, Ground, WEAK, discoveries};
use crate::image::Change;
use crate::map::Map;
use crate::methods::attribution::Attribution;
use crate::passes::Passes;

/// Scores of the masked model.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Kept {
    /// Logit of the class under the masks.
    pub score: f64,
    /// Log-odds of the class under the masks.
    pub log_odds: f64,
}

/// One level's mask with its values.
#[derive(Clone, Debug)]
pub struct LevelMask {
    /// Name of the masked value in the graph.
    pub value: String,
    /// `[channels, height, width]`; channels is 1 for spatial masks.
    pub shape: [usize; 3],
    /// The mask, C×H×W row-major, 0..=1 unless the cap was lifted.
    pub data: Vec<f32>,
    /// Mean over channels, H×W.
    pub mean: Map,
}

/// A mask at another λ.
#[derive(Clone, Debug)]
pub struct PathPoint {
    /// Weight of the L1 term.
    pub lambda: f64,
    /// The map, on the scale of the main map.
    pub map: Map,
    /// What the masked model answers.
    pub kept: Kept,
}

/// How a class was judged by the window that shows it best.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Judged {
    /// What shows the class best: the photo, a window, or a closer look.
    pub ground: Ground,
    /// The window in which the class's log-odds are highest, as fractions of the image that the model sees: top, left, bottom, right; for
    /// a closer look the part that was cut out.
    pub window: [f64; 4],
    /// Fraction of absent classes that show at least as much evidence, 0..=1.
    pub p_value: f64,
    /// Whether that fraction was learned on photos ([`calibrate`](crate::calibrate)); else it is the built-in rule, which is
    /// conservative.
    pub calibrated: bool,
    /// Whether the class still counts as present among all requested classes, at the false discovery rate [`DISCOVERIES`].
    pub discovery: bool,
}

impl Judged {
    /// Whether few enough absent classes show as much evidence for the class to count as present.
    pub fn holds(&self) -> bool {
        self.p_value <= EVIDENCE && self.discovery
    }

    /// Judges several classes that were requested together, controlling the false discovery rate among them.
    pub fn together(all: &mut [Explanation]) {
        let p: Vec<f64> = all.iter().filter_map(|e| e.judged.map(|j| j.p_value)).collect();
        let mut stands = discoveries(&p, DISCOVERIES).into_iter();
        for judged in all.iter_mut().filter_map(|e| e.judged.as_mut()) {
            judged.discovery = stands.next().unwrap_or(false);
        }
    }
}

/// A method's answer for one class.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The map on the model's input grid, raw magnitudes.
    pub map: Map,
    /// The attribution from which the map was made, for methods that attribute to single input channels.
    pub attribution: Option<Attribution>,
    /// The masks, for methods that mask; finest first.
    pub levels: Vec<LevelMask>,
    /// Log-odds on the unmasked image as the method defines them (some leave out rival classes); `None`: over all classes.
    pub log_odds: Option<f64>,
    /// The null log-odds n_c: log-odds with every mask zero, or chance, −ln(K−1), if that is higher and the method's floor is chance.
    pub null_log_odds: Option<f64>,
    /// Log-odds above the null log-odds, at least 0.
    pub evidence: Option<f64>,
    /// How the class was judged by the window that shows it best, if windows were evaluated.
    pub judged: Option<Judged>,
    /// The map of a class with [`Verdict::Weak`], whose `map` is empty unless weak maps are to be shown.
    pub weak: Option<Map>,
    /// Weight λ of the L1 term with which the masks were found.
    pub lambda: Option<f64>,
    /// Scores of the masked model.
    pub kept: Option<Kept>,
    /// Maps at other λ, smallest first, if requested.
    pub path: Vec<PathPoint>,
    /// Passes through the network that it cost.
    pub passes: Passes,
    /// Warnings for the reader.
    pub warnings: Vec<String>,
}

/// Smallest evidence in log-odds, and smallest mass of a map, that count; smaller values are noise of the optimiser.
pub(crate) const LEAST_EVIDENCE: f64 = 0.05;
pub(crate) const LEAST_MASS: f64 = 1e-3;

/// Whether a map contains only noise of the optimiser.
pub(crate) fn is_empty(map: &Map) -> bool {
    map.mass() <= LEAST_MASS
}

impl Explanation {
    /// Whether the map can be read as evidence.
    ///
    /// - `evidence`: the class's log-odds exceed the null log-odds by more than 0.05, the map is not empty, and at most one in a hundred
    ///   absent classes shows as much evidence ([`EVIDENCE`]; among several requested classes, [`DISCOVERIES`]).
    /// - `weak`: the same with at most one in twenty ([`WEAK`]).
    /// - `not-judged`: the method has no null, or the class is present but its map does not show it (it is empty, or the mask
    ///   [lost](Self::lost) the class).
    /// - `no-evidence`: otherwise.
    pub fn verdict(&self) -> Verdict {
        let Some(evidence) = self.evidence else { return Verdict::NotJudged };
        let shown = self.weak.as_ref().unwrap_or(&self.map);
        if evidence <= LEAST_EVIDENCE || self.judged.is_some_and(|j| j.p_value > WEAK) {
            return Verdict::NoEvidence;
        }
        match self.judged {
            // An empty map would be a wrong answer for a class that is present.
            Some(judged) if is_empty(shown) && judged.holds() => Verdict::NotJudged,
            _ if is_empty(shown) => Verdict::NoEvidence,
            _ if self.lost() => Verdict::NotJudged,
            Some(judged) if !judged.holds() => Verdict::Weak,
            _ => Verdict::Evidence,
        }
    }

    /// Moves the map of a class with [`Verdict::Weak`] to `weak` and leaves an empty map, unless it is to be shown.
    pub fn set_aside(&mut self, show_weak: bool) {
        let verdict = self.verdict();
        if verdict == Verdict::Weak && !show_weak {
            let empty = Map::zeros(self.map.height, self.map.width);
            self.weak = Some(std::mem::replace(&mut self.map, empty));
        }
    }

    /// Whether the masked model keeps none of the evidence that the photo shows.
    pub fn lost(&self) -> bool {
        let kept = self.kept.zip(self.null_log_odds).map(|(kept, null)| kept.log_odds - null);
        self.evidence > Some(0.0) && kept.is_some_and(|kept| kept <= 0.0)
    }

    /// The explanation of a method that gives a map only.
    pub fn of_map(map: Map, passes: Passes) -> Self {
        Explanation {
            map,
            attribution: None,
            levels: vec![],
            log_odds: None,
            null_log_odds: None,
            evidence: None,
            judged: None,
            weak: None,
            lambda: None,
            kept: None,
            path: vec![],
            passes,
            warnings: vec![],
        }
    }

    /// The explanation of a method that attributes to input channels.
    pub fn of_attribution(attribution: Attribution) -> Self {
        let map = attribution.map();
        Explanation { attribution: Some(attribution), ..Explanation::of_map(map, Passes::default()) }
    }
}

/// Cost of one query, in passes of one image through the network, and in time.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Cost {
    /// Forward passes.
    pub forward: u64,
    /// Backward passes.
    pub backward: u64,
    /// Wall-clock seconds (the only field that differs between equal runs).
    pub seconds: f64,
}

/// Whether the map can be read as evidence for the class. Only a method with a null can decide that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Something in the image supports the class.
    Evidence,
    /// Something supports it, but more absent classes show as much than the stated false-alarm rate allows.
    Weak,
    /// Nothing in the image supports the class; the map is empty.
    NoEvidence,
    /// The method has no null to judge against, or the map does not show a class that is present.
    NotJudged,
}

impl Verdict {
    /// The verdict in words: `evidence`, `weak evidence`, `no evidence` or `not judged`.
    pub fn words(self) -> &'static str {
        match self {
            Verdict::Evidence => "evidence",
            Verdict::Weak => "weak evidence",
            Verdict::NoEvidence => "no evidence",
            Verdict::NotJudged => "not judged",
        }
    }
}

/// One of the top classes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TopClass {
    /// Index of the class.
    pub class_id: usize,
    /// Label, or `class N` where no labels were given.
    pub name: String,
    /// Logit.
    pub score: f64,
    /// Softmax probability, 0..=1.
    pub probability: f64,
}

/// The explanation of one class of one photo.
#[derive(Clone, Debug)]
pub struct ClassExplanation {
    /// Index of the class.
    pub class_id: usize,
    /// Label, or `class N`.
    pub class_name: String,
    /// Rank of the class among the model's scores; 1 is the model's answer.
    pub rank: usize,
    /// Logit of the class on the unmasked photo.
    pub score: f64,
    /// Probability, 0..=1.
    pub probability: f64,
    /// Log-odds o_c = S_c − logsumexp of the other logits, on the unmasked photo.
    pub log_odds: f64,
    /// The null log-odds n_c: log-odds of the class with every mask zero, but not below chance (−ln(K−1), unless `floor=null`). Evidence
    /// is measured from here. `None` for methods without a null.
    pub null_log_odds: Option<f64>,
    /// Log-odds above the null, at least 0: of the photo or of the window that shows the class best, whichever is higher; `None` for
    /// methods without a null.
    pub evidence: Option<f64>,
    /// How the class was judged by the window that shows it best; `None` for methods that evaluate no windows.
    pub judged: Option<Judged>,
    /// The map of a class with weak evidence, which is not shown; `map` is then empty.
    pub weak_map: Option<Map>,
    /// Weight λ of the L1 term with which the masks were found; `None` for methods without masks.
    pub lambda: Option<f64>,
    /// Scores of the masked model; `None` for methods without masks.
    pub kept: Option<Kept>,
    /// The map on the model's input grid, raw magnitudes.
    pub map: Map,
    /// The mask of each level, finest first; empty for methods without levels.
    pub levels: Vec<LevelMask>,
    /// Maps at other λ, smallest first, if requested.
    pub lambda_path: Vec<PathPoint>,
    /// What the explanation cost.
    pub cost: Cost,
    /// Whether the map can be read as evidence.
    pub verdict: Verdict,
    /// What a reader must know before trusting the map; each warning says what to do.
    pub warnings: Vec<String>,
}

/// The explanations of one photo.
#[derive(Clone, Debug)]
pub struct PhotoExplanation {
    /// Path as given.
    pub path: String,
    /// The part of the photo that the model sees, in the photo's own aspect ratio at display resolution; maps are drawn over it.
    pub photo: RgbImage,
    /// The photo on the model's input grid: squashed or cropped, and grey if the model is.
    pub seen: RgbImage,
    /// How the photo was prepared, one clause per step.
    pub preparation: Vec<String>,
    /// The five classes with the highest score, best first (fewer if the model has fewer).
    pub top: Vec<TopClass>,
    /// One entry for each requested class, in that order.
    pub classes: Vec<ClassExplanation>,
}

impl PhotoExplanation {
    /// Puts the changes made by decoding ([`decode_with_changes`](crate::image::decode_with_changes)) in front of
    /// [`preparation`](Self::preparation).
    #[must_use]
    pub fn after(mut self, changes: &[Change]) -> Self {
        self.preparation.splice(0..0, changes.iter().map(Change::to_string));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(evidence: Option<f64>, kept: Option<f64>, value: f32) -> Verdict {
        let map = Map { height: 1, width: 1, data: vec![value] };
        let null_log_odds = evidence.map(|_| -7.0);
        let kept = kept.map(|above| Kept { score: 0.0, log_odds: above - 7.0 });
        Explanation { evidence, null_log_odds, kept, ..Explanation::of_map(map, Passes::default()) }.verdict()
    }

    #[test]
    fn only_a_null_can_judge_and_only_a_mask_that_keeps_the_class() {
        assert_eq!(judged(Some(3.0), Some(2.9), 0.5), Verdict::Evidence);
        assert_eq!(judged(Some(3.0), None, 0.5), Verdict::Evidence);
        assert_eq!(judged(Some(0.0), Some(0.0), 0.0), Verdict::NoEvidence);
        assert_eq!(judged(Some(0.04), Some(0.0), 0.5), Verdict::NoEvidence);
        assert_eq!(judged(Some(0.3), Some(-0.2), 0.0), Verdict::NoEvidence, "the empty mask costs least");
        assert_eq!(judged(Some(3.0), Some(0.0), 0.5), Verdict::NotJudged, "lost");
        assert_eq!(judged(None, None, 0.5), Verdict::NotJudged);
        assert_eq!(judged(None, None, 0.0), Verdict::NotJudged, "an empty map without a null says nothing");
        let map = || Map { height: 1, width: 1, data: vec![0.5] };
        let at = |p_value: f64| Explanation {
            evidence: Some(3.0),
            judged: Some(Judged {
                ground: Ground::Place,
                window: [0.0; 4],
                p_value,
                calibrated: true,
                discovery: true,
            }),
            ..Explanation::of_map(map(), Passes::default())
        };
        let verdicts = [0.001, 0.02, 0.2].map(|p| at(p).verdict());
        assert_eq!(verdicts, [Verdict::Evidence, Verdict::Weak, Verdict::NoEvidence]);
        let empty = |p| Explanation { map: Map::zeros(1, 1), ..at(p) }.verdict();
        assert_eq!(
            empty(0.001),
            Verdict::NotJudged,
            "a lambda that is too large has the empty map, and the class is there"
        );
        assert_eq!(empty(0.02), Verdict::NoEvidence);
        let mut weak = at(0.02);
        weak.set_aside(false);
        assert!(weak.map.max() == 0.0 && weak.weak == Some(map()) && weak.verdict() == Verdict::Weak);
        // Alone it counts as present; among fifty absent classes it may be a chance finding.
        let mut many: Vec<Explanation> = (0..50).map(|_| at(0.6)).chain([at(0.009)]).collect();
        Judged::together(&mut many);
        assert_eq!(many[50].verdict(), Verdict::Weak);
        assert_eq!(serde_json::to_value(Verdict::NotJudged).unwrap(), "not-judged");
        assert_eq!(Verdict::NotJudged.words(), "not judged");
    }
}
