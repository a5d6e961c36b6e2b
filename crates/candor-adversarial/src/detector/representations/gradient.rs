//! The gradient of the answer's logit with respect to the pixels.

use image::RgbImage;

use super::{Representation, middle};
use crate::attacks::{TargetModel, answer, of_picture};
use crate::error::Result;
use candor::image::Preprocessing;
use candor::model::Model;

/// The representation: C×H×W, at most [`super::MIDDLE`] per side.
pub struct Gradient(TargetModel);

impl Gradient {
    /// Compiles the gradient.
    ///
    /// # Errors
    /// As [`TargetModel::new`].
    pub fn new(model: &Model, preprocessing: &Preprocessing) -> Result<Self> {
        Ok(Gradient(TargetModel::new(model, preprocessing)?))
    }
}

impl Representation for Gradient {
    fn rows(&mut self, _: &Model, pictures: &[&RgbImage]) -> Result<Vec<Vec<f32>>> {
        let [channels, ..] = self.0.shape();
        let images: Vec<Vec<f32>> = pictures.iter().map(|p| of_picture(channels, p)).collect();
        let rows: Vec<usize> = (0..images.len()).collect();
        let one_hot = |_, logits: &[f32]| {
            let top = answer(logits);
            vec![(0..logits.len()).map(|k| f32::from(u8::from(k == top))).collect()]
        };
        let found = self.0.gradients(&images, &rows, one_hot)?;
        Ok(found.iter().map(|g| middle(self.0.shape(), g.first())).collect())
    }

    fn describe(&self) -> serde_json::Value {
        serde_json::json!("gradient")
    }
}
