//! Channel gates (critical data routing paths: Wang et al. 2018): one mask value per channel at each level, learned to keep the answer.

use candor::progress::Unwatched;
use candor_graph::insert::MaskShape;
use image::RgbImage;

use super::Representation;
use crate::attacks::answer;
use crate::detector::features::FeatureSettings;
use crate::error::Result;
use candor::image::Preprocessing;
use candor::mask::{Learner, Level, Settings};
use candor::model::Model;

/// The representation: the gates of all levels' channels, 0..=1, learned with the steps and the λ of the masks.
pub struct Gates {
    preprocessing: Preprocessing,
    learner: Learner,
}

impl Gates {
    /// Compiles the model with gates.
    ///
    /// # Errors
    /// As [`Learner::new`].
    pub fn new(
        model: &Model,
        preprocessing: &Preprocessing,
        levels: &[Level],
        like: &FeatureSettings,
    ) -> Result<Self> {
        let settings = Settings {
            shape: MaskShape::Channel,
            lambda: Some(like.chosen_lambda()?),
            iterations: like.iterations,
            rate: like.rate,
            beta_2: like.beta_2,
            ..Settings::of_photo()
        };
        let learner = Learner::new(model, levels.to_vec(), settings)?;
        Ok(Gates { preprocessing: preprocessing.clone(), learner })
    }
}

impl Representation for Gates {
    fn rows(&mut self, model: &Model, pictures: &[&RgbImage]) -> Result<Vec<Vec<f32>>> {
        let images: Vec<Vec<f32>> = pictures.iter().map(|p| self.preprocessing.normalize(p)).collect();
        let images: Vec<&[f32]> = images.iter().map(Vec::as_slice).collect();
        let prepared = self.learner.prepare_all(model, &images)?;
        let cases: Vec<_> = prepared.iter().map(|p| (p, answer(&p.reference))).collect();
        let learned = self.learner.learn_all(model, &cases, &mut Unwatched)?;
        Ok(learned.into_iter().map(|l| l.masks.concat()).collect())
    }

    fn describe(&self) -> serde_json::Value {
        let s = &self.learner.settings;
        let levels: Vec<&String> = self.learner.levels.iter().map(|l| &l.name).collect();
        serde_json::json!({"gates": {"levels": levels, "steps": s.iterations, "rate": s.rate, "lambda": self.learner.lambda}})
    }
}
