//! Projected gradient steps in a ball around the image, shared by FGSM, BIM and PGD:
//! x ← Π(x + α · g), where g is the steepest direction of the loss in the ball's norm (Madry et al. 2018, section 2.1).

use super::budget::Budget;
use super::loss::Loss;
use super::{Item, TargetModel};
use crate::error::Result;
use candor::progress::Progress;

/// Parameters in which the attacks of this family differ.
#[derive(Clone, Debug)]
pub(super) struct Descent {
    pub budget: Budget,
    /// Length of a step, in the budget's norm.
    pub step: f64,
    pub steps: usize,
    pub random_start: bool,
    /// Maximum number of starts; an image is started again only if it was not successful.
    pub restarts: usize,
    /// Whether an image stops as soon as it is successful.
    pub early_stop: bool,
    pub loss: Loss,
}

impl Descent {
    /// Maximum number of steps reported for one chunk of images.
    pub(super) fn ticks(&self) -> u64 {
        (self.steps * self.restarts) as u64
    }

    /// The perturbed images: for successful ones the success, for others the result of the start that ended with the highest loss.
    pub(super) fn run(
        &self,
        target_model: &mut TargetModel,
        items: &mut [Item<'_>],
        progress: &mut dyn Progress,
    ) -> Result<Vec<Vec<f32>>> {
        let mut best: Vec<Vec<f32>> = items.iter().map(|i| i.pixels.to_vec()).collect();
        let mut highest = vec![f64::NEG_INFINITY; items.len()];
        let mut open: Vec<usize> = (0..items.len()).collect();
        for start in 0..self.restarts {
            let mut images = best.clone();
            for &row in &open {
                let Item { pixels, noise, .. } = &mut items[row];
                images[row] = match self.random_start {
                    true => self.budget.random_start(pixels, noise),
                    false => pixels.to_vec(),
                };
            }
            self.take_steps(target_model, items, &mut images, &open, progress)?;
            if self.restarts == 1 {
                return Ok(images);
            }
            let logits = target_model.logits(&images, &open)?;
            let mut still = vec![];
            for (&row, logits) in open.iter().zip(&logits) {
                let reached = items[row].goal.reached(logits);
                let (loss, _) = self.loss.at(logits, &items[row].goal);
                if reached || start == 0 || loss > highest[row] {
                    highest[row] = loss;
                    best[row] = std::mem::take(&mut images[row]);
                }
                if !reached {
                    still.push(row);
                }
            }
            open = still;
        }
        Ok(best)
    }

    /// Moves the images of `rows` from their starting points, each until it stops early or has taken every step.
    fn take_steps(
        &self,
        target_model: &mut TargetModel,
        items: &[Item<'_>],
        images: &mut [Vec<f32>],
        rows: &[usize],
        progress: &mut dyn Progress,
    ) -> Result<()> {
        let mut active = rows.to_vec();
        for _ in 0..self.steps {
            let stops = |row: usize, logits: &[f32]| self.early_stop && items[row].goal.reached(logits);
            let found = target_model.gradients(images, &active, |row, logits| {
                if stops(row, logits) { vec![] } else { vec![self.loss.at(logits, &items[row].goal).1] }
            })?;
            let mut still = vec![];
            for (&row, found) in active.iter().zip(&found) {
                if found.of_seeds.is_empty() {
                    continue;
                }
                let direction = self.budget.steepest(found.first());
                for (v, d) in images[row].iter_mut().zip(direction) {
                    *v += self.step as f32 * d;
                }
                self.budget.project(&mut images[row], items[row].pixels);
                still.push(row);
            }
            active = still;
            progress.step()?;
        }
        Ok(())
    }
}
