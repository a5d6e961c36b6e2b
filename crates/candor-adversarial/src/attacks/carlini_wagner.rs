//! Carlini & Wagner's L2 attack: minimise ‖x' − x‖² + c · max(0, κ − margin(x')) over w, x' = (tanh w + 1) / 2, by Adam, with a
//! binary search for the smallest c that succeeds (Carlini, Wagner 2017, section VI). Schedule and search are Foolbox's; whether
//! a descent has converged is decided for each image separately, by its lowest loss: Foolbox uses the latest loss summed over all
//! images, which fluctuates less than that of one image.

use super::budget::{Budget, length};
use super::loss::Loss;
use super::{Attack, Description, Goal, Item, TargetModel};
use crate::error::Result;
use candor::parameters::{Kind, Parameter, Parameters};
use candor::progress::Progress;

const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "binary-search-steps",
        default: "9",
        kind: Kind::Integer(1, 100),
        help: "values of c that are tried",
    },
    Parameter {
        name: "steps",
        default: "200",
        kind: Kind::Integer(1, 100_000),
        help: "steps for each c at most",
    },
    Parameter { name: "step", default: "0.01", kind: Kind::Number(0.0, 10.0), help: "Adam's step length" },
    Parameter {
        name: "confidence",
        default: "0",
        kind: Kind::Number(0.0, 1000.0),
        help: "margin of logits by which the wrong class must lead",
    },
    Parameter { name: "initial-c", default: "0.001", kind: Kind::Number(0.0, 1e10), help: "the first c" },
    Parameter {
        name: "abort-early",
        default: "true",
        kind: Kind::Flag,
        help: "end a descent whose least loss a quarter of the steps did not lower by a ten-thousandth",
    },
];

pub(super) const DESCRIPTION: Description = Description {
    name: "cw",
    summary: "the shortest perturbation that a slow optimisation finds",
    source: "Carlini, Wagner 2017",
    norm: "least L2",
    targeted: true,
    parameters: PARAMETERS,
};

/// Keeps atanh finite for pixels of 0 and 1.
const SHRINK: f32 = 0.999_999;
const BETA1: f32 = 0.9;
const BETA2: f32 = 0.999;
const LARGEST_C: f64 = 1e10;

/// The attack.
pub(super) struct CarliniWagner {
    searches: usize,
    steps: usize,
    step: f32,
    confidence: f32,
    initial: f64,
    abort_early: bool,
}

/// The search for one image's c.
struct Search {
    c: f64,
    low: f64,
    high: f64,
    /// w of the image, and the image recomputed from w.
    start: Vec<f32>,
    origin: Vec<f32>,
    best: Vec<f32>,
    shortest: f64,
}

/// One descent of one image.
struct Descent {
    delta: Vec<f32>,
    first: Vec<f32>,
    second: Vec<f32>,
    found: bool,
    /// The lowest loss so far, and its value a quarter of the steps ago.
    least: f64,
    least_at_check: f64,
}

impl CarliniWagner {
    pub(super) fn new(p: &Parameters) -> Self {
        CarliniWagner {
            searches: p.integer("binary-search-steps"),
            steps: p.integer("steps"),
            step: p.real("step") as f32,
            confidence: p.real("confidence") as f32,
            initial: p.real("initial-c"),
            abort_early: p.flag("abort-early"),
        }
    }

    /// Descends for every image with its c.
    fn descend(
        &self,
        target_model: &mut TargetModel,
        items: &[Item<'_>],
        searches: &mut [Search],
        progress: &mut dyn Progress,
    ) -> Result<Vec<bool>> {
        let zeros = |s: &Search| vec![0.0; s.start.len()];
        let mut descents: Vec<Descent> = searches
            .iter()
            .map(|s| Descent {
                delta: zeros(s),
                first: zeros(s),
                second: zeros(s),
                found: false,
                least: f64::INFINITY,
                least_at_check: f64::INFINITY,
            })
            .collect();
        let mut images: Vec<Vec<f32>> = searches.iter().map(|s| s.origin.clone()).collect();
        let mut active: Vec<usize> = (0..items.len()).collect();
        for step in 0..self.steps {
            let found = target_model.gradients(&images, &active, |row, logits| {
                let (margin, seed) = Loss::Margin.at(logits, &items[row].goal);
                if margin < f64::from(self.confidence) { vec![seed] } else { vec![] }
            })?;
            let checks = self.abort_early && step % self.steps.div_ceil(4) == 0;
            let mut still = vec![];
            for (&row, found) in active.iter().zip(&found) {
                let (search, descent) = (&mut searches[row], &mut descents[row]);
                let (margin, _) = Loss::Margin.at(&found.logits, &items[row].goal);
                let image = &mut images[row];
                let squared: f64 =
                    image.iter().zip(&search.origin).map(|(a, b)| f64::from(a - b).powi(2)).sum();
                let loss = squared + search.c * (f64::from(self.confidence) - margin).max(0.0);
                descent.least = descent.least.min(loss);
                if checks {
                    if descent.least > 0.9999 * descent.least_at_check {
                        continue;
                    }
                    descent.least_at_check = descent.least;
                }
                if self.succeeds(&found.logits, &items[row].goal) {
                    descent.found = true;
                    let change: Vec<f32> = image.iter().zip(items[row].pixels).map(|(a, b)| a - b).collect();
                    let long = length(&change);
                    if long < search.shortest {
                        search.shortest = long;
                        search.best.clone_from(image);
                    }
                }
                self.adam(descent, search, image, found.first(), step + 1);
                still.push(row);
            }
            active = still;
            progress.step()?;
        }
        Ok(descents.into_iter().map(|d| d.found).collect())
    }

    /// Whether the goal is reached by the margin κ.
    fn succeeds(&self, logits: &[f32], goal: &Goal) -> bool {
        let mut handicapped = logits.to_vec();
        match goal.target {
            Some(target) => handicapped[target] -= self.confidence,
            None => handicapped[goal.label] += self.confidence,
        }
        goal.reached(&handicapped)
    }

    /// One step of Adam on w; `slope` is the margin's gradient with respect to the pixels, empty if the margin is reached.
    fn adam(&self, d: &mut Descent, search: &Search, image: &mut [f32], slope: &[f32], t: usize) {
        let c = search.c as f32;
        let (correct1, correct2) = (1.0 - BETA1.powi(t as i32), 1.0 - BETA2.powi(t as i32));
        for (i, pixel) in image.iter_mut().enumerate() {
            let of_pixel = 2.0 * (*pixel - search.origin[i]) - c * slope.get(i).copied().unwrap_or(0.0);
            let tanh = (search.start[i] + d.delta[i]).tanh();
            let g = of_pixel * 0.5 * (1.0 - tanh * tanh);
            d.first[i] = BETA1 * d.first[i] + (1.0 - BETA1) * g;
            d.second[i] = BETA2 * d.second[i] + (1.0 - BETA2) * g * g;
            d.delta[i] -= self.step * (d.first[i] / correct1) / ((d.second[i] / correct2).sqrt() + 1e-8);
            *pixel = to_pixel(search.start[i] + d.delta[i]);
        }
    }
}

impl Attack for CarliniWagner {
    fn budget(&self) -> Budget {
        Budget::Free
    }

    fn ticks(&self) -> u64 {
        (self.searches * self.steps) as u64
    }

    fn run(
        &mut self,
        target_model: &mut TargetModel,
        items: &mut [Item<'_>],
        progress: &mut dyn Progress,
    ) -> Result<Vec<Vec<f32>>> {
        let begin = |i: &Item<'_>| {
            let start: Vec<f32> = i.pixels.iter().map(|p| ((p - 0.5) / 0.5 * SHRINK).atanh()).collect();
            let origin = start.iter().map(|w| to_pixel(*w)).collect();
            let (best, shortest) = (i.pixels.to_vec(), f64::INFINITY);
            Search { c: self.initial, low: 0.0, high: f64::INFINITY, start, origin, best, shortest }
        };
        let mut searches: Vec<Search> = items.iter().map(begin).collect();
        for turn in 0..self.searches {
            if turn + 1 == self.searches && self.searches >= 10 {
                searches.iter_mut().for_each(|s| s.c = s.high.min(LARGEST_C));
            }
            let found = self.descend(target_model, items, &mut searches, progress)?;
            for (s, found) in searches.iter_mut().zip(found) {
                if found {
                    s.high = s.c
                } else {
                    s.low = s.c
                }
                s.c = if s.high.is_finite() { (s.low + s.high) / 2.0 } else { s.c * 10.0 };
            }
        }
        Ok(searches.into_iter().map(|s| s.best).collect())
    }
}

fn to_pixel(w: f32) -> f32 {
    w.tanh() * 0.5 + 0.5
}
