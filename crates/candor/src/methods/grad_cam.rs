//! Grad-CAM: relu(Σ_k α_k A_k), α_k = spatial mean of ∂S_c/∂A_k (Selvaraju et al. 2017, equations 1 and 2).

use super::gradient::{logit_gradient, run_logit_gradient};
use super::parameters::Parameters;
use super::{Choices, Description, Explainer, Explanation, Method};
use crate::engine::Session;
use crate::error::Result;
use crate::map::{Interpolation, Map};
use crate::mask::learn::Passes;
use crate::mask::{Level, automatic_levels, named_levels};
use crate::model::Model;

/// The method.
pub(super) struct GradCam;

impl Method for GradCam {
    fn description(&self) -> Description {
        Description {
            name: "grad-cam",
            summary: "the last feature maps, weighted by the mean gradient of the class's logit",
            source: "Selvaraju et al. 2017",
            cost: "1 forward, 1 backward",
            signed: false,
            class_sensitive: true,
            parameters: &[],
        }
    }

    fn prepare(&self, model: &Model, p: &mut Parameters, choices: &Choices) -> Result<Box<dyn Explainer>> {
        let levels = if choices.levels.is_empty() {
            automatic_levels(model)?
        } else {
            named_levels(model, &choices.levels)?
        };
        let level = levels[levels.len() - 1].clone();
        p.record("layer", level.name.clone());
        let session = logit_gradient(model, &[level.value], true)?;
        Ok(Box::new(GradCamExplainer { session, level, image: vec![] }))
    }
}

struct GradCamExplainer {
    session: Box<dyn Session>,
    level: Level,
    image: Vec<f32>,
}

impl Explainer for GradCamExplainer {
    fn scores(&mut self, model: &Model, image: &[f32]) -> Result<Vec<f32>> {
        self.image = image.to_vec();
        let scores = run_logit_gradient(model, self.session.as_mut(), image, 0)?.swap_remove(0);
        model.check_scores(&scores)?;
        Ok(scores)
    }

    fn explain(
        &mut self,
        model: &Model,
        classes: &[usize],
        steps: &mut dyn FnMut(),
    ) -> Result<Vec<Explanation>> {
        let mut explanations = vec![];
        for &class in classes {
            let out = run_logit_gradient(model, self.session.as_mut(), &self.image, class)?;
            let feature = self.level.feature();
            let [gradient, features] = [1, 2].map(|i| feature.channels_first(&out[i]));
            let cam = grad_cam(&gradient, &features, self.level.shape);
            let [_, height, width] = model.input_shape;
            explanations.push(Explanation {
                map: cam.resize(height, width, Interpolation::Bilinear),
                levels: vec![],
                log_odds: None,
                null_log_odds: None,
                evidence: None,
                kept: None,
                passes: Passes { forward: 1, backward: 1 },
                warnings: vec![],
            });
        }
        steps();
        Ok(explanations)
    }
}

/// The map on the layer's grid from gradient and feature maps, both C×H×W.
fn grad_cam(gradient: &[f32], features: &[f32], [channels, height, width]: [usize; 3]) -> Map {
    let area = height * width;
    let mut map = Map::zeros(height, width);
    for c in 0..channels {
        let range = c * area..(c + 1) * area;
        let weight = gradient[range.clone()].iter().sum::<f32>() / area as f32;
        for (m, a) in map.data.iter_mut().zip(&features[range]) {
            *m += weight * a;
        }
    }
    map.data.iter_mut().for_each(|v| *v = v.max(0.0));
    map
}

#[cfg(test)]
mod tests {
    use super::grad_cam;

    #[test]
    fn weights_are_mean_gradients_and_negative_sums_are_cut() {
        let gradient = [1.0, 3.0, -1.0, -1.0];
        let features = [1.0, 0.0, 0.0, 5.0];
        assert_eq!(grad_cam(&gradient, &features, [2, 1, 2]).data, vec![2.0, 0.0]);
    }
}
