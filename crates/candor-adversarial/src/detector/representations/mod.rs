//! Representations of an image for a detector: one row of numbers per image. One file per representation; a scorer (see
//! [`super::scorers`]) turns a row into a score.

mod activations;
mod dispersion;
mod gates;
mod gradient;
mod masks;
mod pixels;
mod softmax;
mod squeezing;

use image::RgbImage;

pub use activations::Activations;
pub use dispersion::Dispersion;
pub use gates::Gates;
pub use gradient::Gradient;
pub use masks::Masks;
pub use pixels::Pixels;
pub use softmax::Softmax;
pub use squeezing::Squeezing;

use crate::error::Result;
use candor::image::Preprocessing;
use candor::model::Model;

/// Computes rows for pictures at the model's input size.
pub trait Representation {
    /// One row per picture, all of the same length.
    ///
    /// # Errors
    /// If the engine fails or a logit is not finite.
    fn rows(&mut self, model: &Model, pictures: &[&RgbImage]) -> Result<Vec<Vec<f32>>>;

    /// Everything that a row depends on, besides the model and the picture.
    fn describe(&self) -> serde_json::Value;
}

/// Maximum side of the crops of images and gradients for a network.
pub const MIDDLE: usize = 64;

/// The centre of C×H×W values, at most [`MIDDLE`] per side. Cropped, not averaged: adversarial changes are everywhere, and averaging
/// would remove them.
fn middle([channels, height, width]: [usize; 3], values: &[f32]) -> Vec<f32> {
    let (h, w) = (height.min(MIDDLE), width.min(MIDDLE));
    let (top, left) = ((height - h) / 2, (width - w) / 2);
    let row = |c: usize, y: usize| (c * height + top + y) * width + left;
    (0..channels)
        .flat_map(|c| (0..h).flat_map(move |y| row(c, y)..row(c, y) + w))
        .map(|i| values[i])
        .collect()
}

/// Computes the model's answers for pictures.
struct Answers {
    preprocessing: Preprocessing,
    forward: Box<dyn candor::engine::Session>,
}

impl Answers {
    fn new(model: &Model, preprocessing: &Preprocessing) -> Result<Self> {
        Ok(Answers { preprocessing: preprocessing.clone(), forward: model.forward()? })
    }

    fn logits<'p>(
        &mut self,
        model: &Model,
        pictures: impl IntoIterator<Item = &'p RgbImage>,
    ) -> Result<Vec<Vec<f32>>> {
        let images: Vec<Vec<f32>> = pictures.into_iter().map(|p| self.preprocessing.normalize(p)).collect();
        let images: Vec<&[f32]> = images.iter().map(Vec::as_slice).collect();
        Ok(model.all_scores(self.forward.as_mut(), &images)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_cut_out_of_every_channel() {
        let (h, w) = (66, 65);
        let values: Vec<f32> = (0..2 * h * w).map(|i| i as f32).collect();
        let cut = middle([2, h, w], &values);
        assert_eq!(cut.len(), 2 * MIDDLE * MIDDLE);
        assert_eq!(cut[0], w as f32);
        assert_eq!(cut[MIDDLE * MIDDLE + MIDDLE + 1], (h * w + 2 * w + 1) as f32);
        let small: Vec<f32> = (0..12).map(|i| i as f32).collect();
        assert_eq!(middle([3, 2, 2], &small), small);
    }
}
