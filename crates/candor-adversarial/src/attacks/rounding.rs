//! Quantises adversarial images to 8 bits, as a PNG stores them, and checks whether they still succeed: the model is run again on the
//! quantised picture, with the preprocessing of a photo.

use image::RgbImage;

use super::budget::{Budget, Norms};
use super::loss::{Goal, answer};
use super::target_model::picture;
use crate::error::Result;
use candor::engine::Session;
use candor::image::Preprocessing;
use candor::model::Model;

/// Factors by which the perturbation is scaled up in turn, until the quantised image succeeds.
const LONGER: [f64; 8] = [1.0, 1.05, 1.1, 1.2, 1.35, 1.5, 2.0, 3.0];
/// In an L2 ball rounding may make the perturbation too long: factors by which it is scaled down in turn, until the quantised image is
/// in the ball.
const SHORTER: [f64; 6] = [1.0, 0.99, 0.97, 0.94, 0.9, 0.8];

/// An image quantised to 8 bits.
#[derive(Clone, Debug)]
pub struct Rounded {
    /// The image, at the model's input size.
    pub picture: RgbImage,
    /// The model's answer to it.
    pub answer: usize,
    /// Its logits.
    pub logits: Vec<f32>,
    /// Norms of its difference from the original, which is rounded to 8 bits, too.
    pub norms: Norms,
    /// Factor by which the perturbation was multiplied before quantisation.
    pub factor: f64,
}

/// Quantises adversarial images to 8 bits and runs the model on them again.
pub struct Rounding<'m> {
    model: &'m Model,
    preprocessing: &'m Preprocessing,
    forward: Box<dyn Session>,
}

impl<'m> Rounding<'m> {
    /// Compiles the model.
    ///
    /// # Errors
    /// If the engine does not support an operator.
    pub fn new(model: &'m Model, preprocessing: &'m Preprocessing) -> Result<Self> {
        Ok(Rounding { model, preprocessing, forward: model.forward()? })
    }

    /// The first quantised image that reaches the goal within the budget; `None` if none of those tried does.
    ///
    /// # Errors
    /// If the engine fails or a logit is not finite.
    pub fn of(
        &mut self,
        origin: &[f32],
        found: &[f32],
        budget: Budget,
        goal: &Goal,
    ) -> Result<Option<Rounded>> {
        let factors: &[f64] = if matches!(budget, Budget::L2(_)) { &SHORTER } else { &LONGER };
        for &factor in factors {
            let levels = levels(origin, found, budget, factor);
            let norms = norms(origin, &levels);
            if !budget.holds(&norms) {
                continue;
            }
            let pixels: Vec<f32> = levels.iter().map(|l| (l / 255.0) as f32).collect();
            let picture = picture(self.model.input_shape, &pixels);
            let logits = self.model.scores(self.forward.as_mut(), &self.preprocessing.normalize(&picture))?;
            if goal.reached(&logits) {
                return Ok(Some(Rounded { answer: answer(&logits), picture, logits, norms, factor }));
            }
        }
        Ok(None)
    }
}

/// The nearest 8-bit levels, 0..=255; with an L∞ budget the nearest levels within it.
fn levels(origin: &[f32], found: &[f32], budget: Budget, factor: f64) -> Vec<f64> {
    let one = |(o, f): (&f32, &f32)| {
        let own = (f64::from(*o) * 255.0).round();
        let wanted = (own + factor * (f64::from(*f) * 255.0 - own)).round().clamp(0.0, 255.0);
        match budget {
            Budget::Linf(eps) => {
                let mut most = (eps * 255.0).ceil();
                while most / 255.0 > eps {
                    most -= 1.0;
                }
                wanted.clamp(own - most, own + most)
            }
            _ => wanted,
        }
    };
    origin.iter().zip(found).map(one).collect()
}

/// Norms computed from 8-bit levels, so that a change of eight levels is exactly 8/255.
fn norms(origin: &[f32], levels: &[f64]) -> Norms {
    let changes = origin.iter().zip(levels).map(|(o, l)| (l - (f64::from(*o) * 255.0).round()).abs());
    let mut norms = Norms::default();
    let mut squares = 0.0;
    for d in changes {
        norms.linf = norms.linf.max(d / 255.0);
        norms.l0 += usize::from(d > 0.0);
        squares += d * d;
    }
    norms.l2 = squares.sqrt() / 255.0;
    norms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounded_levels_keep_the_budget() {
        let origin: Vec<f32> = (0..256).map(|l| l as f32 / 255.0).collect();
        for levels_of_eps in [0.5, 1.0, 7.3, 8.0] {
            let eps = levels_of_eps / 255.0;
            let budget = Budget::Linf(eps);
            let mut moved: Vec<f32> = origin.iter().map(|v| v + 0.2).collect();
            budget.project(&mut moved, &origin);
            let rounded = levels(&origin, &moved, budget, 1.5);
            let norms = norms(&origin, &rounded);
            assert!(budget.holds(&norms), "{norms:?}");
            assert_eq!((norms.linf * 255.0).round(), f64::floor(levels_of_eps));
        }
    }
}
