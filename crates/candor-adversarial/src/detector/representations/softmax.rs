//! Maximum softmax: one minus the probability of the answer (Hendrycks, Gimpel 2017).

use image::RgbImage;

use super::{Answers, Representation};
use crate::attacks::answer;
use crate::error::Result;
use candor::image::Preprocessing;
use candor::model::Model;
use candor::scores::log_sum_exp;

/// The representation: one number, ln(1 − p) for the probability p of the answer, which orders images as 1 − p does and does not round
/// to zero if the model is certain.
pub struct Softmax(Answers);

impl Softmax {
    /// Compiles the model.
    ///
    /// # Errors
    /// If the engine does not support an operator.
    pub fn new(model: &Model, preprocessing: &Preprocessing) -> Result<Self> {
        Ok(Softmax(Answers::new(model, preprocessing)?))
    }
}

impl Representation for Softmax {
    fn rows(&mut self, model: &Model, pictures: &[&RgbImage]) -> Result<Vec<Vec<f32>>> {
        let logits = self.0.logits(model, pictures.iter().copied())?;
        let doubt = |logits: &Vec<f32>| {
            let top = answer(logits);
            let rivals: Vec<f64> =
                (0..logits.len()).filter(|k| *k != top).map(|k| logits[k].into()).collect();
            let all: Vec<f64> = logits.iter().map(|&s| s.into()).collect();
            vec![(log_sum_exp(&rivals) - log_sum_exp(&all)) as f32]
        };
        Ok(logits.iter().map(doubt).collect())
    }

    fn describe(&self) -> serde_json::Value {
        serde_json::json!("softmax")
    }
}
