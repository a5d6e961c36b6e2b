//! A sparse attack by the Jacobian's saliency map (JSMA): two values at a time are changed by θ, the pair with the largest α·|β|, where
//! α > 0 is the sum of their derivatives of S_t and β < 0 that of all other logits (Papernot et al. 2016, equations 8 to 10,
//! algorithm 3). Without a target, t is the class with the second highest score on the clean image.

use super::budget::Budget;
use super::{Attack, Description, Item, TargetModel};
use crate::error::Result;
use candor::parameters::{Kind, Parameter, Parameters};
use candor::progress::Progress;
use candor::scores::ranking;

const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "theta",
        default: "1",
        kind: Kind::Number(-1.0, 1.0),
        help: "by how much a value is moved, of 0..=1; negative darkens",
    },
    Parameter {
        name: "gamma",
        default: "0.1",
        kind: Kind::Number(0.0, 1.0),
        help: "largest share of values that are moved",
    },
    Parameter {
        name: "shortlist",
        default: "4096",
        kind: Kind::Integer(2, 100_000),
        help: "number of values among which pairs are searched: those with the largest slope of S_t minus all others",
    },
];

pub(super) const DESCRIPTION: Description = Description {
    name: "jsma",
    summary: "few values changed by much, two at a time",
    source: "Papernot, McDaniel, Jha, Fredrikson, Celik, Swami 2016",
    norm: "few values (L0)",
    targeted: true,
    parameters: PARAMETERS,
};

/// Values within this distance of 0 or 1 are not moved towards it.
const BORDER: f32 = 0.01;

/// The attack.
pub(super) struct Jsma {
    theta: f32,
    gamma: f64,
    shortlist: usize,
    values: usize,
}

impl Jsma {
    pub(super) fn new(p: &Parameters) -> Self {
        Jsma {
            theta: p.real("theta") as f32,
            gamma: p.real("gamma"),
            shortlist: p.integer("shortlist"),
            values: 0,
        }
    }

    fn pairs(&self, values: usize) -> usize {
        (values as f64 * self.gamma / 2.0).ceil() as usize
    }

    /// The pair to change. `target` and `others`: derivatives of S_t and of the sum of the other logits.
    fn best_pair(&self, target: &[f32], others: &[f32], movable: &[bool]) -> Option<(usize, usize)> {
        let up = if self.theta < 0.0 { -1.0 } else { 1.0 };
        let mut list: Vec<usize> = (0..target.len()).filter(|&i| movable[i]).collect();
        if list.len() > self.shortlist {
            let slope = |i: usize| up * (target[i] - others[i]);
            list.sort_by(|&a, &b| slope(b).total_cmp(&slope(a)).then(a.cmp(&b)));
            list.truncate(self.shortlist);
            list.sort_unstable();
        }
        let mut best = (0.0, None);
        for (n, &p) in list.iter().enumerate() {
            for &q in &list[n + 1..] {
                let (alpha, beta) = (up * (target[p] + target[q]), up * (others[p] + others[q]));
                if alpha > 0.0 && beta < 0.0 && -alpha * beta > best.0 {
                    best = (-alpha * beta, Some((p, q)));
                }
            }
        }
        best.1
    }
}

impl Attack for Jsma {
    fn budget(&self) -> Budget {
        Budget::Free
    }

    fn ticks(&self) -> u64 {
        self.pairs(self.values) as u64
    }

    fn prepare(&mut self, target_model: &TargetModel) {
        self.values = target_model.shape().iter().product();
    }

    fn run(
        &mut self,
        target_model: &mut TargetModel,
        items: &mut [Item<'_>],
        progress: &mut dyn Progress,
    ) -> Result<Vec<Vec<f32>>> {
        let mut images: Vec<Vec<f32>> = items.iter().map(|i| i.pixels.to_vec()).collect();
        let can_move = |v: &f32| if self.theta < 0.0 { *v > BORDER } else { *v < 1.0 - BORDER };
        let mut movable: Vec<Vec<bool>> =
            items.iter().map(|i| i.pixels.iter().map(can_move).collect()).collect();
        let mut targets: Vec<Option<usize>> = items.iter().map(|i| i.goal.target).collect();
        let mut active: Vec<usize> = (0..items.len()).collect();
        for _ in 0..self.pairs(self.values) {
            let found = target_model.gradients(&images, &active, |row, logits| {
                let order = ranking(logits);
                let label = items[row].goal.label;
                let second = order.iter().copied().find(|&k| k != label).unwrap_or(label);
                let target = *targets[row].get_or_insert(second);
                if items[row].goal.reached(logits) { vec![] } else { seeds(target, logits.len()) }
            })?;
            let mut still = vec![];
            for (&row, found) in active.iter().zip(&found) {
                let [target, others] = &found.of_seeds[..] else { continue };
                let Some((p, q)) = self.best_pair(target, others, &movable[row]) else { continue };
                for at in [p, q] {
                    images[row][at] = (images[row][at] + self.theta).clamp(0.0, 1.0);
                    movable[row][at] = false;
                }
                still.push(row);
            }
            active = still;
            progress.step()?;
        }
        Ok(images)
    }
}

/// Seeds of S_t and of the sum of all other logits.
fn seeds(target: usize, count: usize) -> Vec<Vec<f32>> {
    let one = |k: usize| f32::from(u8::from(k == target));
    vec![(0..count).map(one).collect(), (0..count).map(|k| 1.0 - one(k)).collect()]
}
