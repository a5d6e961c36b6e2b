//! A method that is run on the images of a check or a benchmark.

use candor::explanation::Explanation;
use candor::map::Map;
use candor::methods::Compiled;
use candor::model::Model;
use candor::progress::{Progress, Within};

use crate::error::Result;

/// A method compiled for a model, with a progress that can cancel its work, also within a map.
pub struct Explaining<'e> {
    /// The model.
    pub model: &'e Model,
    /// The method.
    pub explainer: &'e mut dyn Compiled,
    /// Receives no steps from here: steps are images, which the caller counts.
    pub progress: &'e mut dyn Progress,
}

impl Explaining<'_> {
    /// Logits of an image (C·H·W preprocessed values); sets the image for the next call of [`Explaining::explain`].
    ///
    /// # Errors
    /// As [`Compiled::scores`].
    pub fn scores(&mut self, image: &[f32]) -> Result<Vec<f32>> {
        Ok(self.explainer.scores(self.model, image)?)
    }

    /// Explanations of classes of the image last given to [`Explaining::scores`].
    ///
    /// # Errors
    /// As [`Compiled::explain`], and [`Cancelled`](candor::Cancelled).
    pub fn explain(&mut self, classes: &[usize]) -> Result<Vec<Explanation>> {
        Ok(self.explainer.explain(self.model, classes, &mut Within(self.progress))?)
    }

    /// The map of one class of an image.
    ///
    /// # Errors
    /// As [`Explaining::explain`].
    pub fn map(&mut self, image: &[f32], class: usize) -> Result<Map> {
        self.scores(image)?;
        Ok(self.explain(&[class])?.swap_remove(0).map)
    }
}
