//! APGD: PGD with momentum that halves its step length when progress stalls and then returns to the best point (Croce, Hein 2020,
//! algorithm 1), by default on the difference of logits ratio. The checkpoints are those of the authors' code, rounded down to whole
//! steps.

use super::budget::{Budget, length};
use super::loss::Loss;
use super::{Attack, Description, Goal, Item, TargetModel};
use crate::error::Result;
use candor::noise::Noise;
use candor::parameters::{Kind, Parameter, Parameters};
use candor::progress::Progress;

const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "eps",
        default: "8/255",
        kind: Kind::Number(0.0, 10_000.0),
        help: "the budget in the norm (pixels in 0..1); 8/255 is eight grey levels",
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

/// Weight of the new step relative to the last one.
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

/// The optimisation of one image.
struct Trajectory {
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
    fn start(&self, origin: &[f32], noise: &mut Noise) -> Trajectory {
        let linf = matches!(self.budget, Budget::Linf(_));
        let draw: Vec<f32> =
            origin.iter().map(|_| if linf { 2.0 * noise.unit() - 1.0 } else { noise.normal() }).collect();
        let size = if linf { draw.iter().fold(0f32, |m, v| m.max(v.abs())).into() } else { length(&draw) };
        let scale = (self.eps / size.max(f64::MIN_POSITIVE)) as f32;
        let mut image: Vec<f32> = origin.iter().zip(&draw).map(|(o, d)| o + scale * d).collect();
        self.budget.project(&mut image, origin);
        Trajectory {
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

    /// x' = Π(x + α·g), then x_next = Π(x + a·(x' − x) + (1 − a)·(x − x_before)).
    fn advance(&self, trajectory: &mut Trajectory, origin: &[f32], first: bool) {
        let share = if first { 1.0 } else { MOMENTUM };
        let direction = self.budget.steepest(&trajectory.gradient);
        let step = trajectory.step as f32;
        let mut moved: Vec<f32> =
            trajectory.image.iter().zip(&direction).map(|(v, d)| v + step * d).collect();
        self.budget.project(&mut moved, origin);
        for (m, (v, b)) in moved.iter_mut().zip(trajectory.image.iter().zip(&trajectory.before)) {
            *m = v + (*m - v) * share + (v - b) * (1.0 - share);
        }
        self.budget.project(&mut moved, origin);
        trajectory.before = std::mem::replace(&mut trajectory.image, moved);
    }

    /// Evaluates loss, gradient and success at the current images of `rows`.
    fn evaluate(
        &self,
        target_model: &mut TargetModel,
        items: &[Item<'_>],
        trajectories: &mut [Trajectory],
        rows: &[usize],
        first: bool,
    ) -> Result<()> {
        let images: Vec<Vec<f32>> = trajectories.iter().map(|w| w.image.clone()).collect();
        let found =
            target_model.gradients(&images, rows, |row, s| vec![self.loss.at(s, &items[row].goal).1])?;
        for (&row, mut found) in rows.iter().zip(found) {
            let trajectory = &mut trajectories[row];
            let (loss, _) = self.loss.at(&found.logits, &items[row].goal);
            trajectory.gradient = found.of_seeds.pop().expect("every row has one seed");
            if items[row].goal.reached(&found.logits) {
                trajectory.success = Some(trajectory.image.clone());
            }
            if !first {
                trajectory.losses.push(loss);
            }
            if first || loss > trajectory.highest {
                trajectory.highest = loss;
                trajectory.best.clone_from(&trajectory.image);
                trajectory.best_gradient.clone_from(&trajectory.gradient);
            }
        }
        Ok(())
    }

    /// Halves the step if the loss increased in too few of the last `window` steps, or if the last check did not halve it and the highest
    /// loss has not increased since.
    fn check(&self, trajectory: &mut Trajectory, window: usize) {
        let last = trajectory.losses.len();
        // The authors' code compares the first loss with zero.
        let at = |i: usize| if i == 0 { 0.0 } else { trajectory.losses[i - 1] };
        let rose = (0..window).filter(|c| at(last - c) > at(last - c - 1)).count();
        let seldom = rose as f64 <= window as f64 * self.rho;
        let nowhere = !trajectory.halved_at_check && trajectory.highest_at_check >= trajectory.highest;
        trajectory.halved_at_check = seldom || nowhere;
        trajectory.highest_at_check = trajectory.highest;
        if trajectory.halved_at_check {
            trajectory.step /= 2.0;
            trajectory.image.clone_from(&trajectory.best);
            trajectory.gradient.clone_from(&trajectory.best_gradient);
        }
    }

    /// Runs all steps for the images of `rows` from their starting points.
    fn take_steps(
        &self,
        target_model: &mut TargetModel,
        items: &[Item<'_>],
        trajectories: &mut [Trajectory],
        rows: &[usize],
        progress: &mut dyn Progress,
    ) -> Result<()> {
        let part = |share: f64| ((share * self.steps as f64) as usize).max(1);
        let (mut window, shrink, least) = (part(0.22), part(0.03), part(0.06));
        let mut since = 0;
        let mut active = rows.to_vec();
        self.evaluate(target_model, items, trajectories, &active, true)?;
        for &row in rows {
            trajectories[row].highest_at_check = trajectories[row].highest;
        }
        for i in 0..self.steps {
            active.retain(|&row| !self.early_stop || trajectories[row].success.is_none());
            for &row in &active {
                self.advance(&mut trajectories[row], items[row].pixels, i == 0);
            }
            self.evaluate(target_model, items, trajectories, &active, false)?;
            since += 1;
            if since == window {
                active.iter().for_each(|&row| self.check(&mut trajectories[row], window));
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
        target_model: &mut TargetModel,
        items: &mut [Item<'_>],
        progress: &mut dyn Progress,
    ) -> Result<Vec<Vec<f32>>> {
        let mut best: Vec<Vec<f32>> = items.iter().map(|i| i.pixels.to_vec()).collect();
        let mut highest = vec![f64::NEG_INFINITY; items.len()];
        let mut open: Vec<usize> = (0..items.len()).collect();
        for _ in 0..self.restarts {
            let mut trajectories: Vec<Trajectory> =
                items.iter_mut().map(|i| self.start(i.pixels, &mut i.noise)).collect();
            self.take_steps(target_model, items, &mut trajectories, &open, progress)?;
            for &row in &open {
                if let Some(success) = trajectories[row].success.clone() {
                    best[row] = success;
                } else if trajectories[row].highest > highest[row] {
                    (highest[row], best[row]) = (trajectories[row].highest, trajectories[row].best.clone());
                }
            }
            open.retain(|&row| trajectories[row].success.is_none());
        }
        Ok(best)
    }
}
