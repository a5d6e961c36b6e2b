//! Activations: the mean over positions of each channel at each level, and the answer; used for Mahalanobis distances (Lee et al. 2018)
//! and local intrinsic dimensionality (Ma et al. 2018).

use candor_graph::tensor::Tensor;
use image::RgbImage;

use super::Representation;
use crate::attacks::answer;
use crate::error::{Error, Result};
use candor::engine::Session;
use candor::image::Preprocessing;
use candor::mask::Level;
use candor::model::Model;

/// The representation: the channels of all levels, then the logits, then the class index of the answer.
pub struct Activations {
    preprocessing: Preprocessing,
    levels: Vec<Level>,
    session: Box<dyn Session>,
}

impl Activations {
    /// Compiles the model with the levels as outputs.
    ///
    /// # Errors
    /// If the engine does not support an operator.
    pub fn new(model: &Model, preprocessing: &Preprocessing, levels: &[Level]) -> Result<Self> {
        let mut graph = model.graph.clone();
        graph.outputs = levels.iter().map(|l| l.value).chain([model.logits]).collect();
        let session = model.engine.compile(&graph)?;
        Ok(Activations { preprocessing: preprocessing.clone(), levels: levels.to_vec(), session })
    }

    /// Lengths of the parts of a row that belong together: one per level, and the logits.
    pub fn segments(&self, model: &Model) -> Vec<usize> {
        self.levels.iter().map(|l| l.shape[0]).chain([model.classes]).collect()
    }
}

impl Representation for Activations {
    fn rows(&mut self, model: &Model, pictures: &[&RgbImage]) -> Result<Vec<Vec<f32>>> {
        let mut rows = vec![];
        for picture in pictures {
            let input = model.input_tensor(&self.preprocessing.normalize(picture))?;
            let out = self.session.run(&[&input])?;
            let last = self.levels.len();
            let logits = out.get(last).and_then(Tensor::as_floats).and_then(|l| l.get(..model.classes));
            let logits =
                logits.ok_or_else(|| Error::Detector("the logits are no floats of the classes".into()))?;
            model.check_scores(logits)?;
            let mut row = vec![];
            for (level, value) in self.levels.iter().zip(&out) {
                let [c, h, w] = level.shape;
                let fail = || Error::Detector(format!("level {} holds no floats", level.name));
                let values = level.feature().channels_first(value.as_floats().ok_or_else(fail)?);
                row.extend(values.chunks(h * w).take(c).map(|p| p.iter().sum::<f32>() / (h * w) as f32));
            }
            row.extend(logits);
            row.push(answer(logits) as f32);
            rows.push(row);
        }
        Ok(rows)
    }

    fn describe(&self) -> serde_json::Value {
        serde_json::json!({"activations": self.levels.iter().map(|l| &l.name).collect::<Vec<_>>()})
    }
}
