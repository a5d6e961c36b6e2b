//! Settings of mask learning: the options, their names and defaults on the command line, and their typed form.

use candor_graph::insert::MaskShape;

use super::objective::Objective;
use crate::parameters::{Kind, Pairs, Parameter, Parameters, names};

/// Shapes of a mask by name.
const SHAPES: [(&str, MaskShape); 2] = [("spatial", MaskShape::Spatial), ("full", MaskShape::Full)];
/// Names of whether the null is at least chance.
const FLOORS: [(&str, bool); 2] = [("chance", true), ("null", false)];
/// Names of whether the top-1 class is left out of the rivals.
const RIVALS_LEFT_OUT: [(&str, bool); 2] = [("all", false), ("no-top1", true)];
/// Names of whether windows are evaluated.
const EVIDENCES: [(&str, bool); 2] = [("place", true), ("photo", false)];
/// Steps and learning rate of a search with windows, and of one for the whole photo.
const SCHEDULES: [(usize, f32); 2] = [(30, 0.1), (60, 0.05)];
/// Fraction of the evidence that a fitted λ aims at.
const KEPT: f64 = 0.95;
/// Names of what a search returns.
pub(crate) const RETURNED: [(&str, Returned); 3] =
    [("last", Returned::Last), ("best", Returned::Best), ("mean", Returned::Mean)];

/// The parameter `objective`.
pub const OBJECTIVE: Parameter = Parameter {
    name: "objective",
    default: "evidence",
    kind: Kind::Choice(&names(&Objective::ALL)),
    help: "what the masks keep: the class's log-odds against nothing, its logit, its probability, all logits, \
               all probabilities",
};

/// The parameter `shape`.
pub const SHAPE: Parameter = Parameter {
    name: "shape",
    default: "spatial",
    kind: Kind::Choice(&names(&SHAPES)),
    help: "one mask for all channels (where), or one for each (which feature, where)",
};

/// The parameter `evidence`.
pub const EVIDENCE: Parameter = Parameter {
    name: "evidence",
    default: "auto",
    kind: Kind::Choice(&names(&EVIDENCES)),
    help: "where evidence is measured: at the place where each class is by itself, or over the whole photo, with the former search \
               (60 steps from masks of one, at one lambda); auto: place, and photo in an exported graph of a model that cannot be asked in batches",
};

/// The parameter `look`.
pub const LOOK: Parameter = Parameter {
    name: "look",
    default: "1",
    kind: Kind::Integer(0, 1),
    help: "closer looks for a class that the photo does not show well enough: the place where it is by itself is cut out, enlarged and shown \
               to the network again; 0: none",
};

/// The parameter `keep`.
pub const KEEP: Parameter = Parameter {
    name: "keep",
    default: "auto",
    kind: Kind::Number(0.0, 1.0),
    help: "share of the evidence that each query's lambda is fitted to keep; 0: lambda stays as it is; auto: 0.95, and 0 if lambda is set or \
               evidence=photo",
};

/// The parameter `iterations`.
pub const ITERATIONS: Parameter = Parameter {
    name: "iterations",
    default: "auto",
    kind: Kind::Integer(1, 100_000),
    help: "steps of Adam; auto: 30, and 60 for the evidence of the photo",
};

/// The parameter `rate`.
pub const RATE: Parameter = Parameter {
    name: "rate",
    default: "auto",
    kind: Kind::Number(1e-6, 10.0),
    help: "learning rate of Adam; auto: 0.1, and 0.05 for the evidence of the photo",
};

/// The parameter `beta2`.
pub const BETA2: Parameter = Parameter {
    name: "beta2",
    default: "0.9",
    kind: Kind::Number(0.0, 0.999_999),
    help: "Adam's decay of the second moment; at the usual 0.999 mask entries the output no longer depends on decay too slowly",
};

/// The parameter `anneal`.
pub const ANNEAL: Parameter = Parameter {
    name: "anneal",
    default: "0",
    kind: Kind::Number(0.0, 1.0),
    help: "share of the steps, the last ones, in which the rate falls to 0: gates settle, and engines agree more closely",
};

/// The parameter `cap`.
pub const CAP: Parameter = Parameter {
    name: "cap",
    default: "1",
    kind: Kind::Number(1e-3, 1e6),
    help: "upper bound of a mask; 1 keeps it a selection that can amplify nothing",
};

/// The parameter `floor`.
pub const FLOOR: Parameter = Parameter {
    name: "floor",
    default: "chance",
    kind: Kind::Choice(&names(&FLOORS)),
    help: "the null log-odds: those with every mask zero (null), or chance where that is higher (chance)",
};

/// The parameter `exact`.
pub const EXACT: Parameter = Parameter {
    name: "exact",
    default: "true",
    kind: Kind::Flag,
    help: "give a class without evidence the empty mask, its objective's known minimum, without taking steps",
};

/// The parameter `rivals`.
pub const RIVALS: Parameter = Parameter {
    name: "rivals",
    default: "all",
    kind: Kind::Choice(&names(&RIVALS_LEFT_OUT)),
    help: "classes that compete with the query; no-top1 for photos of several objects",
};

/// The parameter `return`.
pub const RETURN: Parameter = Parameter {
    name: "return",
    default: "last",
    kind: Kind::Choice(&names(&RETURNED)),
    help: "the last iterate, the one with the lowest total loss, or the mean of those after the first 1/rate steps, which is graded",
};

/// The parameter `settle`.
pub const SETTLE: Parameter = Parameter {
    name: "settle",
    default: "0",
    kind: Kind::Number(0.0, 1.0),
    help: "stop when ten steps together lowered the total loss by no more than this share; 0 takes every step",
};

/// The parameter `lambda`. Methods read it themselves, since the sidecar may have a λ where it is not set.
pub const LAMBDA: Parameter = Parameter {
    name: "lambda",
    default: "auto",
    kind: Kind::Number(0.0, 1e6),
    help: "weight of the masks' L1 term, fixed if it is set; auto: begins at the sidecar's (see calibrate), else at one by the levels' \
               sizes, and is fitted as keep says",
};

/// The parameters of a search, except for [`LAMBDA`].
pub const PARAMETERS: &[Parameter] = &[
    OBJECTIVE, EVIDENCE, LOOK, SHAPE, KEEP, ITERATIONS, RATE, BETA2, ANNEAL, CAP, FLOOR, EXACT, RIVALS,
    RETURN, SETTLE,
];

/// How masks are learned: the typed form of [`PARAMETERS`], where the defaults are declared.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The output distance.
    pub objective: Objective,
    /// Whether windows over the coarsest level are evaluated to find where a class is ([`places`](super::places)). The search then starts
    /// from that window and keeps its log-odds. Otherwise the whole photo is evaluated, and masks start at one.
    pub places: bool,
    /// Whether a class that the photo does not show well enough gets a closer look.
    pub look: bool,
    /// One mask for all channels, or one for each.
    pub shape: MaskShape,
    /// Fraction of the evidence that each query's λ is fitted to keep; 0 keeps λ constant.
    pub keep: f64,
    /// Weight λ of the L1 term; `None`: a default for the model ([`default_lambda`](super::levels::default_lambda)), since no value suits
    /// every model.
    pub lambda: Option<f32>,
    /// Steps of the optimiser.
    pub iterations: usize,
    /// Learning rate of Adam.
    pub rate: f32,
    /// Adam's decay of the second moment. At [`BETA_2`](super::adam::BETA_2), the usual value, the large gradients of the first steps
    /// have an effect for a thousand steps: mask entries that the output no longer depends on then decay too slowly.
    pub beta_2: f32,
    /// Fraction of the steps, at the end, in which the learning rate falls to 0 along half a cosine; 0 keeps it constant. At a constant
    /// rate, mask entries between the two terms keep oscillating, with a phase that depends on the engine.
    pub anneal: f32,
    /// Upper bound of a mask; with 1 it only selects.
    pub cap: f32,
    /// Whether the null is raised to chance, −ln(K−1), if it is lower: odds worse than a guess are no evidence.
    pub floor_at_chance: bool,
    /// Whether the empty mask is returned without a search if it is known to be the objective's minimum: for a class whose log-odds do
    /// not exceed the null. Adam would approach it slowly, because of the large gradients of its first steps.
    pub exact: bool,
    /// Whether the top-1 class is left out of the rivals of other queries (for photos with several objects).
    pub leave_out_top1: bool,
    /// Which masks are returned.
    pub returned: Returned,
    /// Stop when the last [`SETTLING`] steps lowered the lowest total loss of every query by at most this fraction. 0 takes
    /// every step.
    pub settle: f64,
    /// Whether each step gets the first level's features, for [`Learner::feature`](super::Learner::feature); otherwise they may be
    /// computed only in the part that runs once.
    pub keep_features: bool,
}

/// Which masks a search returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returned {
    /// The last iterate.
    Last,
    /// The iterate with the lowest total loss.
    Best,
    /// The mean of the iterates after the first ⌈1/rate⌉ steps, in which a mask entry can fall from 1 to 0. Its values are graded:
    /// entries that decrease late have a higher value than those that decrease at once.
    Mean,
}

/// Number of steps over which the decrease is measured if [`Settings::settle`] may end a search early.
pub const SETTLING: usize = 10;

impl Default for Settings {
    /// The defaults of [`PARAMETERS`], with the model's default λ.
    fn default() -> Self {
        Settings::read(&Parameters::defaults("reliable", PARAMETERS), None)
    }
}

/// The word of a table for a value; a value without a word gives its name in the code, which no method accepts.
fn word<T: Copy + PartialEq + std::fmt::Debug>(table: &[(&str, T)], value: T) -> String {
    let found = table.iter().find(|(_, known)| *known == value);
    found.map_or_else(|| format!("{value:?}"), |(word, _)| word.to_string())
}

impl Settings {
    /// A search that evaluates the whole photo: sixty steps from masks of one at a constant λ.
    pub fn of_photo() -> Self {
        let set = [(EVIDENCE.name.to_string(), "photo".to_string())];
        let p = Parameters::new("reliable", PARAMETERS, &set);
        Settings::read(&p.expect("a declared choice"), None)
    }

    /// Whether the parameters leave the choice between windows and the whole photo to the method.
    pub fn chooses_evidence(p: &Parameters) -> bool {
        p.word(EVIDENCE.name) == "auto"
    }

    /// Reads the declared parameters, with λ as chosen. λ is fitted if [`LAMBDA`] is not set, unless [`KEEP`] says otherwise.
    pub fn read(p: &Parameters, lambda: Option<f32>) -> Self {
        let places = p.word(EVIDENCE.name) != EVIDENCES[1].0;
        let (iterations, rate) = SCHEDULES[usize::from(!places)];
        let fitted = places && (!p.has(LAMBDA.name) || p.auto(LAMBDA.name).is_none());
        Settings {
            objective: p.choice(&Objective::ALL, OBJECTIVE.name),
            places,
            look: places && p.integer(LOOK.name) > 0,
            keep: p.auto(KEEP.name).unwrap_or(if fitted { KEPT } else { 0.0 }),
            shape: p.choice(&SHAPES, SHAPE.name),
            lambda,
            iterations: p.auto(ITERATIONS.name).map_or(iterations, |n| n as usize),
            rate: p.auto(RATE.name).map_or(rate, |r| r as f32),
            beta_2: p.real(BETA2.name) as f32,
            anneal: p.real(ANNEAL.name) as f32,
            cap: p.real(CAP.name) as f32,
            floor_at_chance: p.choice(&FLOORS, FLOOR.name),
            exact: p.flag(EXACT.name),
            leave_out_top1: p.choice(&RIVALS_LEFT_OUT, RIVALS.name),
            returned: p.choice(&RETURNED, RETURN.name),
            settle: p.real(SETTLE.name),
            keep_features: false,
        }
    }

    /// The parameters as names and texts, with λ if it is set; [`Settings::keep_features`] is not a parameter.
    pub fn pairs(&self) -> Pairs {
        let pair = |p: &Parameter, value: String| (p.name.to_string(), value);
        let mut pairs = vec![
            pair(&OBJECTIVE, word(&Objective::ALL, self.objective)),
            pair(&EVIDENCE, word(&EVIDENCES, self.places)),
            pair(&LOOK, u8::from(self.look).to_string()),
            pair(&SHAPE, word(&SHAPES, self.shape)),
            pair(&KEEP, self.keep.to_string()),
            pair(&ITERATIONS, self.iterations.to_string()),
            pair(&RATE, self.rate.to_string()),
            pair(&BETA2, self.beta_2.to_string()),
            pair(&ANNEAL, self.anneal.to_string()),
            pair(&CAP, self.cap.to_string()),
            pair(&FLOOR, word(&FLOORS, self.floor_at_chance)),
            pair(&EXACT, self.exact.to_string()),
            pair(&RIVALS, word(&RIVALS_LEFT_OUT, self.leave_out_top1)),
            pair(&RETURN, word(&RETURNED, self.returned)),
            pair(&SETTLE, self.settle.to_string()),
        ];
        pairs.extend(self.lambda.map(|lambda| pair(&LAMBDA, lambda.to_string())));
        pairs
    }

    /// The step from which masks are considered: in the steps before, an entry can fall from one to zero.
    pub(super) fn first(&self) -> usize {
        ((1.0 / self.rate).ceil() as usize).min(self.iterations.saturating_sub(1))
    }

    /// Whether a query's total losses per step have settled.
    pub(super) fn settled(&self, losses: &[f64]) -> bool {
        let lowest = |l: &[f64]| l.iter().copied().fold(f64::INFINITY, f64::min);
        let Some(before) = losses.len().checked_sub(SETTLING).filter(|&n| self.settle > 0.0 && n > 0) else {
            return false;
        };
        let before = lowest(&losses[..before]);
        before - lowest(losses) <= self.settle * before.abs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_declared_defaults_are_the_typed_ones() {
        let default = Settings::default();
        assert_eq!((default.iterations, default.beta_2, default.returned), (30, 0.9, Returned::Last));
        assert!(default.places && default.keep == KEPT);
        let photo = Settings::of_photo();
        assert_eq!((photo.places, photo.iterations, photo.rate, photo.keep), (false, 60, 0.05, 0.0));
        assert!(default.exact && default.floor_at_chance && !default.leave_out_top1);
        let set = [("beta2".to_string(), "0.999".to_string()), ("floor".to_string(), "null".to_string())];
        let read = Settings::read(&Parameters::new("reliable", PARAMETERS, &set).unwrap(), Some(1.0));
        assert_eq!((read.beta_2, read.floor_at_chance, read.lambda), (0.999, false, Some(1.0)));
        // Typed options and their texts describe the same options.
        let pairs = Settings { lambda: None, ..read.clone() }.pairs();
        let again = Settings::read(&Parameters::new("reliable", PARAMETERS, &pairs).unwrap(), Some(1.0));
        assert_eq!(again.pairs(), read.pairs());
        assert_eq!(read.pairs().last().unwrap(), &("lambda".to_string(), "1".to_string()));
    }
}
