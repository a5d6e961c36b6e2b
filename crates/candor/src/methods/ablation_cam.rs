//! Ablation-CAM: (Σ_k w_k A_k)⁺ with w_k = (S_c − S_c without A_k) / S_c (Desai and Ramaswamy 2020).

use super::attribution::enlarged;
use super::forward::{above_rounding, rounding};
use super::layer::LayerFeatures;
use super::{Choices, Compiled, Cost, Definition, Description};
use crate::error::Result;
use crate::explanation::Explanation;
use crate::map::Map;
use crate::model::Model;
use crate::parameters::Parameters;
use crate::passes::Passes;
use crate::progress::Progress;

/// The method.
pub(super) struct AblationCam;

impl Definition for AblationCam {
    fn description(&self) -> Description {
        Description {
            name: "ablation-cam",
            summary: "the last feature maps, weighted by what the logit loses without each",
            source: "Desai, Ramaswamy 2020",
            cost: Cost {
                forward: 2050,
                backward: 0,
                note: "2 forward, and 1 behind the layer for each of its channels, here 2,048",
            },
            signed: false,
            class_sensitive: true,
            parameters: &[],
        }
    }

    fn prepare(&self, model: &Model, p: &mut Parameters, choices: &Choices) -> Result<Box<dyn Compiled>> {
        Ok(Box::new(AblationCamExplainer(LayerFeatures::compile(model, p, choices)?)))
    }
}

struct AblationCamExplainer(LayerFeatures);

impl Compiled for AblationCamExplainer {
    fn scores(&mut self, model: &Model, image: &[f32]) -> Result<Vec<f32>> {
        self.0.begin(model, image)
    }

    fn explain(
        &mut self,
        model: &Model,
        classes: &[usize],
        progress: &mut dyn Progress,
    ) -> Result<Vec<Explanation>> {
        let [channels, height, width] = self.0.level.shape;
        let without = self.0.cut.without_each_channel(model, progress)?;
        let passes = Passes { forward: 2 + channels as u64, backward: 0 };
        let explain = |(q, &class): (usize, &usize)| {
            let own = self.0.forward.logits[class];
            let mut map = Map::zeros(height, width);
            for (a, logits) in self.0.features.chunks(height * width).zip(&without) {
                let lost =
                    above_rounding((own - logits[class]).into(), rounding([f64::from(own)].iter())) as f32;
                let weight = if own == 0.0 { 0.0 } else { lost / own };
                map.data.iter_mut().zip(a).for_each(|(m, a)| *m += weight * a);
            }
            Explanation::of_map(enlarged(map, model), passes.share(q, classes.len()))
        };
        Ok(classes.iter().enumerate().map(explain).collect())
    }

    fn steps(&self, _: usize) -> u64 {
        self.0.level.shape[0] as u64
    }
}
