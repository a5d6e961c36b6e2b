//! Gradients of a class's logit at every level and at the image, in one sweep: shows where they vanish.

use super::backward::{Backward, Plan};
use crate::error::Result;
use crate::mask::Level;
use crate::model::Model;

/// The compiled sweep.
pub struct LevelGradients(Backward);

impl LevelGradients {
    /// Compiles the gradients with respect to the image and then each level.
    pub fn compile(model: &Model, levels: &[Level]) -> Result<Self> {
        let mut wrt = vec![model.input];
        wrt.extend(levels.iter().map(|l| l.value));
        Ok(LevelGradients(Backward::compile(model, Plan::gradient(model, &wrt))?))
    }

    /// Logits of an image (C·H·W preprocessed values).
    pub fn scores(&mut self, model: &Model, image: &[f32]) -> Result<Vec<f32>> {
        self.0.begin(model, image)
    }

    /// For each class, the gradients with respect to the image and to each level, for the image last given.
    pub fn of(&mut self, model: &Model, classes: &[usize]) -> Result<Vec<Vec<Vec<f32>>>> {
        self.0.sweep(model, classes)
    }
}
