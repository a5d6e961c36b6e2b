//! Views: what a detector looks at, as one row of numbers an image. One file a view; a judge (see [`super::judges`]) makes a score of
//! a row.

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
use crate::image::Preprocessing;
use crate::model::Model;

/// Makes rows of pictures at the model's input size.
pub trait View {
    /// One row a picture, all of the same length.
    ///
    /// # Errors
    /// If the engine fails or a logit is not a finite number.
    fn rows(&mut self, model: &Model, pictures: &[&RgbImage]) -> Result<Vec<Vec<f32>>>;

    /// All on which a row depends, beside the model and the picture.
    fn describe(&self) -> serde_json::Value;
}

/// The model's answers to pictures.
struct Answers {
    preprocessing: Preprocessing,
    forward: Box<dyn crate::engine::Session>,
}

/// Pictures in one batch, and most pixels.
const BATCH: usize = 32;

impl Answers {
    fn new(model: &Model, preprocessing: &Preprocessing) -> Result<Self> {
        Ok(Answers { preprocessing: preprocessing.clone(), forward: model.forward()? })
    }

    fn logits<'p>(
        &mut self,
        model: &Model,
        pictures: impl IntoIterator<Item = &'p RgbImage>,
    ) -> Result<Vec<Vec<f32>>> {
        let [_, h, w] = model.input_shape;
        let batch = model.fixed_batch.unwrap_or((4 * 224 * 224 / (h * w).max(1)).clamp(1, BATCH));
        let pictures: Vec<&RgbImage> = pictures.into_iter().collect();
        let mut all = vec![];
        for part in pictures.chunks(batch) {
            let values = part.iter().flat_map(|p| self.preprocessing.normalize(p)).collect();
            all.extend(model.batch_scores(self.forward.as_mut(), values)?);
        }
        Ok(all)
    }
}
