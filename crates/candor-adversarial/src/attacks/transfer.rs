//! Transfer: images are made on another model, and this model only classifies the results (Papernot, McDaniel, Goodfellow 2016).

use super::budget::Budget;
use super::{Attack, Description, Goal, Item, TargetModel};
use crate::error::Result;
use candor::parameters::{Kind, Parameter};
use candor::progress::Progress;

const PARAMETERS: &[Parameter] = &[Parameter {
    name: "attack",
    default: "pgd",
    kind: Kind::Method,
    help: "attack on the other model; its parameters are set as method.NAME, and early-stop is false unless set",
}];

pub(super) const DESCRIPTION: Description = Description {
    name: "transfer",
    summary: "an attack on another model, tried on this one",
    source: "Papernot, McDaniel, Goodfellow 2016",
    norm: "of the attack",
    targeted: true,
    parameters: PARAMETERS,
};

/// The attack.
pub(super) struct Transfer {
    inner: Box<dyn Attack>,
    surrogate: TargetModel,
}

impl Transfer {
    pub(super) fn new(inner: Box<dyn Attack>, surrogate: TargetModel) -> Self {
        Transfer { inner, surrogate }
    }
}

impl Attack for Transfer {
    fn budget(&self) -> Budget {
        self.inner.budget()
    }

    fn targeted(&self) -> bool {
        self.inner.targeted()
    }

    fn ticks(&self) -> u64 {
        self.inner.ticks()
    }

    fn least_classes(&self, goal: &Goal) -> usize {
        self.inner.least_classes(goal)
    }

    fn prepare(&mut self, _victim: &TargetModel) {
        self.inner.prepare(&self.surrogate);
    }

    fn run(
        &mut self,
        _victim: &mut TargetModel,
        items: &mut [Item<'_>],
        progress: &mut dyn Progress,
    ) -> Result<Vec<Vec<f32>>> {
        self.inner.run(&mut self.surrogate, items, progress)
    }
}
