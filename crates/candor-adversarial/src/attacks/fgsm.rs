//! FGSM: x + ε · sign(∂L/∂x), one step (Goodfellow, Shlens, Szegedy 2015, section 4).

use super::budget::Budget;
use super::descent::Descent;
use super::loss::Loss;
use super::{Attack, Description, Item, TargetModel, eps_linf};
use crate::error::Result;
use candor::parameters::{Parameter, Parameters};
use candor::progress::Progress;

const PARAMETERS: &[Parameter] = &[eps_linf("8/255")];

pub(super) const DESCRIPTION: Description = Description {
    name: "fgsm",
    summary: "one step along the sign of the gradient",
    source: "Goodfellow, Shlens, Szegedy 2015",
    norm: "L∞",
    targeted: true,
    parameters: PARAMETERS,
};

/// The attack.
pub(super) struct Fgsm(Descent);

impl Fgsm {
    pub(super) fn new(p: &Parameters) -> Self {
        let eps = p.real("eps");
        Fgsm(Descent {
            budget: Budget::Linf(eps),
            step: eps,
            steps: 1,
            random_start: false,
            restarts: 1,
            early_stop: false,
            loss: Loss::CrossEntropy,
        })
    }
}

impl Attack for Fgsm {
    fn budget(&self) -> Budget {
        self.0.budget
    }

    fn ticks(&self) -> u64 {
        self.0.ticks()
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
