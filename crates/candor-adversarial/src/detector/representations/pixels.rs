//! The image itself.

use image::RgbImage;

use super::{Representation, middle};
use crate::attacks::of_picture;
use crate::error::Result;
use candor::model::Model;

/// The representation: C×H×W pixels in 0..=1, at most [`super::MIDDLE`] per side.
pub struct Pixels;

impl Representation for Pixels {
    fn rows(&mut self, model: &Model, pictures: &[&RgbImage]) -> Result<Vec<Vec<f32>>> {
        let shape = model.input_shape;
        Ok(pictures.iter().map(|p| middle(shape, &of_picture(shape[0], p))).collect())
    }

    fn describe(&self) -> serde_json::Value {
        serde_json::json!("pixels")
    }
}
