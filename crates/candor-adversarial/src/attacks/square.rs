//! Square: random search without gradients. Squares of the perturbation are set to ±ε and kept if the margin decreases;
//! they become smaller with the number of queries (Andriushchenko, Croce, Flammarion, Hein 2020, algorithms 1 and 2, L∞; with the
//! authors' schedule).

use super::budget::{Budget, sign};
use super::loss::Loss;
use super::{Attack, Description, Item, TargetModel, eps_linf};
use crate::error::Result;
use candor::parameters::{Kind, Parameter, Parameters};
use candor::progress::Progress;

const PARAMETERS: &[Parameter] = &[
    eps_linf("8/255"),
    Parameter {
        name: "queries",
        default: "5000",
        kind: Kind::Integer(1, 10_000_000),
        help: "forward passes at most for an image",
    },
    Parameter {
        name: "p",
        default: "0.8",
        kind: Kind::Number(0.0, 1.0),
        help: "share of the image that the first squares cover",
    },
];

pub(super) const DESCRIPTION: Description = Description {
    name: "square",
    summary: "random squares, kept where they help; needs no gradient",
    source: "Andriushchenko, Croce, Flammarion, Hein 2020",
    norm: "L∞",
    targeted: true,
    parameters: PARAMETERS,
};

/// (last query of 10 000, exponent): up to that query the fraction p is divided by two to that power.
const SCHEDULE: [(usize, i32); 9] =
    [(10, 0), (50, 1), (200, 2), (500, 3), (1000, 4), (2000, 5), (4000, 6), (6000, 7), (8000, 8)];

/// The attack.
pub(super) struct Square {
    eps: f64,
    queries: usize,
    p: f64,
}

impl Square {
    pub(super) fn new(p: &Parameters) -> Self {
        Square { eps: p.real("eps"), queries: p.integer("queries"), p: p.real("p") }
    }

    /// Side of the squares at a query, in pixels.
    fn side(&self, query: usize, [_, height, width]: [usize; 3]) -> usize {
        let of_ten_thousand = (query as f64 / self.queries as f64 * 1e4) as usize;
        let halvings = SCHEDULE.iter().find(|(last, _)| of_ten_thousand <= *last).map_or(9, |(_, h)| *h);
        let share = self.p / f64::from(1 << halvings);
        let side = (share * (height * width) as f64).sqrt().round() as usize;
        side.clamp(1, height.min(width))
    }

    /// Vertical stripes of ±ε.
    fn stripes(&self, item: &mut Item<'_>, [channels, height, width]: [usize; 3]) -> Vec<f32> {
        let mut image = item.pixels.to_vec();
        for column in 0..channels * width {
            let change = self.eps as f32 * sign(item.noise.unit() - 0.5);
            let (c, x) = (column / width, column % width);
            for y in 0..height {
                image[(c * height + y) * width + x] += change;
            }
        }
        self.budget().project(&mut image, item.pixels);
        image
    }

    /// Sets one square to a new sign in each channel.
    fn with_square(&self, item: &mut Item<'_>, image: &[f32], query: usize, shape: [usize; 3]) -> Vec<f32> {
        let [channels, height, width] = shape;
        let side = self.side(query, shape);
        let top = item.noise.below((height - side).max(1));
        let left = item.noise.below((width - side).max(1));
        let mut next = image.to_vec();
        for c in 0..channels {
            let change = 2.0 * self.eps as f32 * sign(item.noise.unit() - 0.5);
            for y in top..top + side {
                let row = (c * height + y) * width + left;
                next[row..row + side].iter_mut().for_each(|v| *v += change);
            }
        }
        self.budget().project(&mut next, item.pixels);
        next
    }
}

impl Attack for Square {
    fn budget(&self) -> Budget {
        Budget::Linf(self.eps)
    }

    fn ticks(&self) -> u64 {
        self.queries as u64
    }

    fn run(
        &mut self,
        target_model: &mut TargetModel,
        items: &mut [Item<'_>],
        progress: &mut dyn Progress,
    ) -> Result<Vec<Vec<f32>>> {
        let shape = target_model.shape();
        let mut best: Vec<Vec<f32>> = items.iter().map(|i| i.pixels.to_vec()).collect();
        let mut highest = vec![f64::NEG_INFINITY; items.len()];
        let mut active: Vec<usize> = (0..items.len()).collect();
        for query in 0..self.queries {
            let mut tried = best.clone();
            for &row in &active {
                tried[row] = match query {
                    0 => self.stripes(&mut items[row], shape),
                    _ => self.with_square(&mut items[row], &best[row], query - 1, shape),
                };
            }
            let logits = target_model.logits(&tried, &active)?;
            let mut still = vec![];
            for (&row, logits) in active.iter().zip(&logits) {
                let goal = items[row].goal;
                let (margin, _) = Loss::Margin.at(logits, &goal);
                let reached = goal.reached(logits);
                if reached || margin > highest[row] {
                    highest[row] = margin;
                    best[row] = std::mem::take(&mut tried[row]);
                }
                if !reached {
                    still.push(row);
                }
            }
            active = still;
            progress.step()?;
            if active.is_empty() {
                break;
            }
        }
        Ok(best)
    }
}
