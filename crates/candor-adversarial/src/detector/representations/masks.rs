//! The hierarchical masks: [`Extractor`]'s planes.

use image::RgbImage;

use super::Representation;
use crate::detector::features::Extractor;
use crate::error::Result;
use candor::image::Preprocessing;
use candor::model::Model;

/// The representation: planes×grid×grid.
pub struct Masks {
    preprocessing: Preprocessing,
    /// Computes the planes.
    pub extractor: Extractor,
}

impl Masks {
    /// The representation by an extractor's planes.
    pub fn new(extractor: Extractor, preprocessing: &Preprocessing) -> Self {
        Masks { preprocessing: preprocessing.clone(), extractor }
    }
}

impl Representation for Masks {
    fn rows(&mut self, model: &Model, pictures: &[&RgbImage]) -> Result<Vec<Vec<f32>>> {
        let images: Vec<Vec<f32>> = pictures.iter().map(|p| self.preprocessing.normalize(p)).collect();
        self.extractor.features(model, &images.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }

    fn describe(&self) -> serde_json::Value {
        serde_json::json!({"masks": self.extractor.settings()})
    }
}
