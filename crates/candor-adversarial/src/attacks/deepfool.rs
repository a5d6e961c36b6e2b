//! DeepFool in L2: moves repeatedly to the nearest boundary of the linearised model (Moosavi-Dezfooli, Fawzi, Frossard 2016,
//! algorithm 2). x ← x₀ + (1 + η) Σ |f_l| / ‖w_l‖² · w_l, with f_k = S_k − S_y, w_k = ∂f_k/∂x and l the class with the smallest
//! |f_k| / ‖w_k‖. As in Foolbox, only the classes with the highest scores on the clean image are candidates, and each distance is
//! increased by 10⁻⁴.

use super::budget::{Budget, length};
use super::loss::answer;
use super::{Attack, Description, Item, TargetModel};
use crate::error::Result;
use candor::parameters::{Kind, Parameter, Parameters};
use candor::progress::Progress;
use candor::scores::ranking;

const PARAMETERS: &[Parameter] = &[
    Parameter { name: "steps", default: "50", kind: Kind::Integer(1, 10_000), help: "steps at most" },
    Parameter {
        name: "candidates",
        default: "10",
        kind: Kind::Integer(2, 100_000),
        help: "number of highest-scoring classes whose boundaries are considered; each costs a backward pass per step",
    },
    Parameter {
        name: "overshoot",
        default: "0.02",
        kind: Kind::Number(0.0, 10.0),
        help: "share by which the perturbation is lengthened beyond the boundary",
    },
];

pub(super) const DESCRIPTION: Description = Description {
    name: "deepfool",
    summary: "a short way over the nearest boundary between classes",
    source: "Moosavi-Dezfooli, Fawzi, Frossard 2016",
    norm: "least L2",
    targeted: false,
    parameters: PARAMETERS,
};

/// Lower bound of norms in denominators (as in Foolbox).
const LEAST_NORM: f64 = 1e-8;
const LEAST_STEP: f64 = 1e-4;

/// The attack.
pub(super) struct DeepFool {
    steps: usize,
    candidates: usize,
    overshoot: f64,
}

impl DeepFool {
    pub(super) fn new(p: &Parameters) -> Self {
        DeepFool {
            steps: p.integer("steps"),
            candidates: p.integer("candidates"),
            overshoot: p.real("overshoot"),
        }
    }
}

impl Attack for DeepFool {
    fn budget(&self) -> Budget {
        Budget::Free
    }

    fn targeted(&self) -> bool {
        false
    }

    fn ticks(&self) -> u64 {
        self.steps as u64
    }

    fn run(
        &mut self,
        target_model: &mut TargetModel,
        items: &mut [Item<'_>],
        progress: &mut dyn Progress,
    ) -> Result<Vec<Vec<f32>>> {
        let mut images: Vec<Vec<f32>> = items.iter().map(|i| i.pixels.to_vec()).collect();
        let mut total: Vec<Vec<f64>> = items.iter().map(|i| vec![0.0; i.pixels.len()]).collect();
        // The image's class, then its rivals.
        let mut classes: Vec<Vec<usize>> = vec![vec![]; items.len()];
        let mut active: Vec<usize> = (0..items.len()).collect();
        for _ in 0..self.steps {
            let found = target_model.gradients(&images, &active, |row, logits| {
                if classes[row].is_empty() {
                    classes[row] = ranking(logits);
                    classes[row].truncate(self.candidates);
                }
                if answer(logits) == items[row].goal.label {
                    differences(&classes[row], logits.len())
                } else {
                    vec![]
                }
            })?;
            let mut still = vec![];
            for (&row, found) in active.iter().zip(&found) {
                if found.of_seeds.is_empty() {
                    continue;
                }
                let (distance, gradient) = nearest(&classes[row], &found.logits, &found.of_seeds);
                let factor = (distance + LEAST_STEP) / (length(gradient) + LEAST_NORM);
                let moved =
                    images[row].iter_mut().zip(items[row].pixels).zip(total[row].iter_mut().zip(gradient));
                for ((v, origin), (sum, g)) in moved {
                    *sum += factor * f64::from(*g);
                    *v = (f64::from(*origin) + (1.0 + self.overshoot) * *sum).clamp(0.0, 1.0) as f32;
                }
                still.push(row);
            }
            active = still;
            progress.step()?;
        }
        Ok(images)
    }
}

/// Seeds of S_k − S_y for each rival k.
fn differences(classes: &[usize], count: usize) -> Vec<Vec<f32>> {
    let seed = |&k: &usize| {
        let mut seed = vec![0.0; count];
        (seed[k], seed[classes[0]]) = (1.0, -1.0);
        seed
    };
    classes[1..].iter().map(seed).collect()
}

/// Distance to the nearest boundary of the linearised model, and the gradient towards it.
fn nearest<'g>(classes: &[usize], logits: &[f32], gradients: &'g [Vec<f32>]) -> (f64, &'g [f32]) {
    let own = f64::from(logits[classes[0]]);
    let distances = classes[1..].iter().zip(gradients).map(|(&k, gradient)| {
        ((f64::from(logits[k]) - own).abs() / (length(gradient) + LEAST_NORM), gradient.as_slice())
    });
    distances.reduce(|a, b| if b.0 < a.0 { b } else { a }).unwrap_or((0.0, &[]))
}
