//! APGD: PGD with momentum that halves its step by itself and goes back to the best point then (Croce, Hein 2020, algorithm 1),
//! by default on the difference of logits ratio. The checkpoints are those of the authors' code, which counts whole steps.

use super::budget::{Budget, length};
use super::loss::Loss;
use super::{Attack, Description, Goal, Item, Victim};
use crate::error::Result;
use candor::noise::Noise;
use candor::parameters::{Kind, Parameter, Parameters};
use candor::progress::Progress;

const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "eps",
        default: "8/255",
        kind: Kind::Number(0.0, 10_000.0),
        help: "the budget in the norm, pixels counted in 0..=1; 8/255 is eight grey levels",
    },
    Parameter {
        name: "norm",
        default: "linf",
        kind: Kind::Choice(&["linf", "l2"]),
        help: "the budget's norm",
    },
    Parameter { name: "steps", default: "100", kind: Kind::Integer(1, 100_000), help: "steps" },
    Parameter {
        name: "restarts",
        default: "1",
        kind: Kind::Integer(1, 1000),
        help: "starts at most for an image that does not succeed",
    },
    Parameter {
        name: "loss",
        default: "dlr",
        kind: Kind::Choice(&["cross-entropy", "margin", "dlr"]),
        help: "what is raised",
    },
    Parameter {
        name: "rho",
        default: "0.75",
        kind: Kind::Number(0.0, 1.0),
        help: "the step is halved where fewer than this share of steps raised the loss",
    },
    Parameter {
        name: "early-stop",
        default: "true",
        kind: Kind::Flag,
        help: "an image stops as soon as it is successful; false takes every step",
    },
];

pub(super) const DESCRIPTION: Description = Description {
    name: "apgd",
    summary: "PGD that sets its own step length, on a loss that saturation does not blind",
    source: "Croce, Hein 2020",
    norm: "L∞ or L2",
    targeted: true,
    parameters: PARAMETERS,
};

/// Weight of the new step against the last one.
const MOMENTUM: f32 = 0.75;

/// The attack.
pub(super) struct Apgd {
    budget: Budget,
    eps: f64,
    steps: usize,
    restarts: usize,
    loss: Loss,
    rho: f64,
    early_stop: bool,
}

/// One image on its way.
struct Walk {
    image: Vec<f32>,
    before: Vec<f32>,
    gradient: Vec<f32>,
    step: f64,
    /// The point with the highest loss so far.
    best: Vec<f32>,
    best_gradient: Vec<f32>,
    highest: f64,
    /// The loss after each step.
    losses: Vec<f64>,
    highest_at_check: f64,
    halved_at_check: bool,
    /// The last point that was successful.
    success: Option<Vec<f32>>,
}

impl Apgd {
    pub(super) fn new(p: &Parameters) -> Self {
        let eps = p.real("eps");
        Apgd {
            budget: if p.word("norm") == "l2" { Budget::L2(eps) } else { Budget::Linf(eps) },
            eps,
            steps: p.integer("steps"),
            restarts: p.integer("restarts"),
            loss: Loss::named(p.word("loss")),
            rho: p.real("rho"),
            early_stop: p.flag("early-stop"),
        }
    }

    /// A point on the ball's surface.
    fn start(&self, origin: &[f32], noise: &mut Noise) -> Walk {
        let linf = matches!(self.budget, Budget::Linf(_));
        let draw: Vec<f32> =
            origin.iter().map(|_| if linf { 2.0 * noise.unit() - 1.0 } else { noise.normal() }).collect();
        let size = if linf { draw.iter().fold(0f32, |m, v| m.max(v.abs())).into() } else { length(&draw) };
        let scale = (self.eps / size.max(f64::MIN_POSITIVE)) as f32;
        let mut image: Vec<f32> = origin.iter().zip(&draw).map(|(o, d)| o + scale * d).collect();
        self.budget.project(&mut image, origin);
        Walk {
            before: image.clone(),
            best: image.clone(),
            image,
            gradient: vec![],
            step: 2.0 * self.eps,
            best_gradient: vec![],
            highest: f64::NEG_INFINITY,
            losses: vec![],
            highest_at_check: f64::NEG_INFINITY,
            halved_at_check: true,
            success: None,
        }
    }

    /// x' = Π(x + α·g), then x ← Π(x + a·(x' − x) + (1 − a)·(x − x before)).
    fn advance(&self, walk: &mut Walk, origin: &[f32], first: bool) {
        let share = if first { 1.0 } else { MOMENTUM };
        let direction = self.budget.steepest(&walk.gradient);
        let step = walk.step as f32;
        let mut moved: Vec<f32> = walk.image.iter().zip(&direction).map(|(v, d)| v + step * d).collect();
        self.budget.project(&mut moved, origin);
        for (m, (v, b)) in moved.iter_mut().zip(walk.image.iter().zip(&walk.before)) {
            *m = v + (*m - v) * share + (v - b) * (1.0 - share);
        }
        self.budget.project(&mut moved, origin);
        walk.before = std::mem::replace(&mut walk.image, moved);
    }

    /// Losses, gradients and successes at the images of `rows`.
    fn look(
        &self,
        victim: &mut Victim,
        items: &[Item<'_>],
        walks: &mut [Walk],
        rows: &[usize],
        first: bool,
    ) -> Result<()> {
        let images: Vec<Vec<f32>> = walks.iter().map(|w| w.image.clone()).collect();
        let found = victim.gradients(&images, rows, |row, s| vec![self.loss.at(s, &items[row].goal).1])?;
        for (&row, mut found) in rows.iter().zip(found) {
            let walk = &mut walks[row];
            let (loss, _) = self.loss.at(&found.logits, &items[row].goal);
            walk.gradient = found.of_seeds.pop().unwrap_or_default();
            if items[row].goal.reached(&found.logits) {
                walk.success = Some(walk.image.clone());
            }
            if !first {
                walk.losses.push(loss);
            }
            if first || loss > walk.highest {
                walk.highest = loss;
                walk.best.clone_from(&walk.image);
                walk.best_gradient.clone_from(&walk.gradient);
            }
        }
        Ok(())
    }

    /// Halves the step where the loss rose too seldom in the last `window` steps, or not at all since a check that did not halve.
    fn check(&self, walk: &mut Walk, window: usize) {
        let last = walk.losses.len();
        // The authors' code compares the first loss with zero.
        let at = |i: usize| if i == 0 { 0.0 } else { walk.losses[i - 1] };
        let rose = (0..window).filter(|c| at(last - c) > at(last - c - 1)).count();
        let seldom = rose as f64 <= window as f64 * self.rho;
        let nowhere = !walk.halved_at_check && walk.highest_at_check >= walk.highest;
        walk.halved_at_check = seldom || nowhere;
        walk.highest_at_check = walk.highest;
        if walk.halved_at_check {
            walk.step /= 2.0;
            walk.image.clone_from(&walk.best);
            walk.gradient.clone_from(&walk.best_gradient);
        }
    }

    fn walk(
        &self,
        victim: &mut Victim,
        items: &[Item<'_>],
        walks: &mut [Walk],
        rows: &[usize],
        progress: &mut dyn Progress,
    ) -> Result<()> {
        let part = |share: f64| ((share * self.steps as f64) as usize).max(1);
        let (mut window, shrink, least) = (part(0.22), part(0.03), part(0.06));
        let mut since = 0;
        let mut active = rows.to_vec();
        self.look(victim, items, walks, &active, true)?;
        for &row in rows {
            walks[row].highest_at_check = walks[row].highest;
        }
        for i in 0..self.steps {
            active.retain(|&row| !self.early_stop || walks[row].success.is_none());
            for &row in &active {
                self.advance(&mut walks[row], items[row].pixels, i == 0);
            }
            self.look(victim, items, walks, &active, false)?;
            since += 1;
            if since == window {
                active.iter().for_each(|&row| self.check(&mut walks[row], window));
                since = 0;
                window = window.saturating_sub(shrink).max(least);
            }
            progress.step()?;
        }
        Ok(())
    }
}

impl Attack for Apgd {
    fn budget(&self) -> Budget {
        self.budget
    }

    fn ticks(&self) -> u64 {
        (self.steps * self.restarts) as u64
    }

    fn least_classes(&self, goal: &Goal) -> usize {
        self.loss.least_classes(goal)
    }

    fn run(
        &mut self,
        victim: &mut Victim,
        items: &mut [Item<'_>],
        progress: &mut dyn Progress,
    ) -> Result<Vec<Vec<f32>>> {
        let mut best: Vec<Vec<f32>> = items.iter().map(|i| i.pixels.to_vec()).collect();
        let mut highest = vec![f64::NEG_INFINITY; items.len()];
        let mut open: Vec<usize> = (0..items.len()).collect();
        for _ in 0..self.restarts {
            let mut walks: Vec<Walk> = items.iter_mut().map(|i| self.start(i.pixels, &mut i.noise)).collect();
            self.walk(victim, items, &mut walks, &open, progress)?;
            for &row in &open {
                if let Some(success) = walks[row].success.clone() {
                    best[row] = success;
                } else if walks[row].highest > highest[row] {
                    (highest[row], best[row]) = (walks[row].highest, walks[row].best.clone());
                }
            }
            open.retain(|&row| walks[row].success.is_none());
        }
        Ok(best)
    }
}
