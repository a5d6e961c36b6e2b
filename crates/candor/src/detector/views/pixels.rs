//! The image itself.

use image::RgbImage;

use super::View;
use crate::attacks::of_picture;
use crate::error::Result;
use crate::model::Model;

/// The view: C×H×W pixels in 0..=1.
pub struct Pixels;

impl View for Pixels {
    fn rows(&mut self, model: &Model, pictures: &[&RgbImage]) -> Result<Vec<Vec<f32>>> {
        Ok(pictures.iter().map(|p| of_picture(model.input_shape[0], p)).collect())
    }

    fn describe(&self) -> serde_json::Value {
        serde_json::json!("pixels")
    }
}
