//! BIM (Kurakin, Goodfellow, Bengio 2017, equation 2) and PGD in L∞ and L2 (Madry et al. 2018, section 2.1): many small steps,
//! each projected back onto the ball; PGD starts at a random point of it.

use super::budget::Budget;
use super::descent::Descent;
use super::loss::Loss;
use super::{Attack, Description, Item, TargetModel, eps_l2, eps_linf};
use crate::error::Result;
use candor::parameters::{Kind, Parameter, Parameters};
use candor::progress::Progress;

const EARLY_STOP: Parameter = Parameter {
    name: "early-stop",
    default: "true",
    kind: Kind::Flag,
    help: "an image stops as soon as it is successful; false takes every step",
};
const LOSS: Parameter = Parameter {
    name: "loss",
    default: "cross-entropy",
    kind: Kind::Choice(&["cross-entropy", "margin", "dlr"]),
    help: "what is raised",
};
const RANDOM_START: Parameter = Parameter {
    name: "random-start",
    default: "true",
    kind: Kind::Flag,
    help: "start at a random point of the ball",
};
const RESTARTS: Parameter = Parameter {
    name: "restarts",
    default: "1",
    kind: Kind::Integer(1, 1000),
    help: "starts at most for an image that does not succeed",
};

const fn steps(default: &'static str) -> Parameter {
    Parameter { name: "steps", default, kind: Kind::Integer(1, 100_000), help: "steps at most" }
}

const fn step(default: &'static str) -> Parameter {
    Parameter {
        name: "step",
        default,
        kind: Kind::Number(0.0, 10.0),
        help: "length of a step, as a share of eps",
    }
}

pub(super) const BIM: Description = Description {
    name: "bim",
    summary: "FGSM in small steps, each clipped to the budget",
    source: "Kurakin, Goodfellow, Bengio 2017",
    norm: "L∞",
    targeted: true,
    parameters: &[eps_linf("8/255"), steps("10"), step("0.2"), EARLY_STOP, LOSS],
};

pub(super) const PGD: Description = Description {
    name: "pgd",
    summary: "BIM from random points of the ball, more than once if needed",
    source: "Madry, Makelov, Schmidt, Tsipras, Vladu 2018",
    norm: "L∞",
    targeted: true,
    parameters: &[
        eps_linf("8/255"),
        steps("40"),
        step("0.03333333333333333"),
        RANDOM_START,
        RESTARTS,
        EARLY_STOP,
        LOSS,
    ],
};

pub(super) const PGD_L2: Description = Description {
    name: "pgd-l2",
    summary: "PGD in a Euclidean ball, steps along the gradient itself",
    source: "Madry, Makelov, Schmidt, Tsipras, Vladu 2018",
    norm: "L2",
    targeted: true,
    parameters: &[eps_l2("0.5"), steps("50"), step("0.025"), RANDOM_START, RESTARTS, EARLY_STOP, LOSS],
};

/// The attack.
pub(super) struct Pgd(Descent);

impl Pgd {
    /// BIM is PGD with one start, at the image itself; it does not declare the two parameters for starts.
    pub(super) fn new(p: &Parameters, ball: fn(f64) -> Budget) -> Self {
        let eps = p.real("eps");
        Pgd(Descent {
            budget: ball(eps),
            step: eps * p.real("step"),
            steps: p.integer("steps"),
            random_start: p.has("random-start") && p.flag("random-start"),
            restarts: if p.has("restarts") { p.integer("restarts").max(1) } else { 1 },
            early_stop: p.flag("early-stop"),
            loss: Loss::named(p.word("loss")),
        })
    }
}

impl Attack for Pgd {
    fn budget(&self) -> Budget {
        self.0.budget
    }

    fn ticks(&self) -> u64 {
        self.0.ticks()
    }

    fn least_classes(&self, goal: &super::Goal) -> usize {
        self.0.loss.least_classes(goal)
    }

    fn run(
        &mut self,
        target_model: &mut TargetModel,
        items: &mut [Item<'_>],
        progress: &mut dyn Progress,
    ) -> Result<Vec<Vec<f32>>> {
        self.0.run(target_model, items, progress)
    }
}
