//! An image at the cut before the masks.

use candor_graph::tensor::Tensor;

use super::places::Places;
use crate::passes::Passes;

/// An image's values at the cut, computed once for all its queries.
#[derive(Debug)]
pub struct Prepared {
    pub(super) crossing: Vec<Tensor>,
    /// Logits of the unmasked image.
    pub reference: Vec<f32>,
    /// The image itself, C·H·W preprocessed values.
    pub(super) image: Vec<f32>,
    /// Logits of the windows over its coarsest level, if windows are evaluated.
    pub(super) places: Option<Places>,
}

impl Prepared {
    /// The image, C·H·W preprocessed values.
    pub fn image(&self) -> &[f32] {
        &self.image
    }

    /// Passes for preparing an image.
    pub const PASSES: Passes = Passes { forward: 1, backward: 0 };
}
