//! Score-CAM: (Σ_k α_k A_k)⁺ with α = softmax over channels of S_c(x ⊙ Â_k), Â_k the feature map enlarged and scaled to
//! 0..1 (Wang et al. 2020, "Score-CAM", algorithm 1). For a constant channel, Â_k is zero, so that it gets the score S_c(0).

use super::attribution::enlarged;
use super::forward::Score;
use super::layer::LayerFeatures;
use super::{Choices, Compiled, Cost, Definition, Description};
use crate::error::Result;
use crate::explanation::Explanation;
use crate::map::{Interpolation, Map};
use crate::model::Model;
use crate::parameters::Parameters;
use crate::passes::Passes;
use crate::progress::Progress;
use crate::scores::softmax;

/// The method.
pub(super) struct ScoreCam;

impl Definition for ScoreCam {
    fn description(&self) -> Description {
        Description {
            name: "score-cam",
            summary: "the last feature maps, weighted by the logit of the photo masked with each",
            source: "Wang et al. 2020 (Score-CAM)",
            cost: Cost {
                forward: 2050,
                backward: 0,
                note: "2 forward, and 1 for each channel of the layer, here 2,048",
            },
            signed: false,
            class_sensitive: true,
            parameters: &[],
        }
    }

    fn prepare(&self, model: &Model, p: &mut Parameters, choices: &Choices) -> Result<Box<dyn Compiled>> {
        Ok(Box::new(ScoreCamExplainer(LayerFeatures::compile(model, p, choices)?)))
    }
}

struct ScoreCamExplainer(LayerFeatures);

impl Compiled for ScoreCamExplainer {
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
        let [_, tall, wide] = model.input_shape;
        let features: Vec<&[f32]> = self.0.features.chunks(height * width).collect();
        let image = self.0.forward.image.clone();
        let make = |k: usize, out: &mut [f32]| {
            let mask = Map { height, width, data: features[k].to_vec() };
            let mask = mask.resize(tall, wide, Interpolation::Bilinear);
            let (low, range) = (mask.min(), mask.max() - mask.min());
            for ((o, x), m) in out.iter_mut().zip(&image).zip(mask.data.iter().cycle()) {
                *o = if range > 0.0 { x * (m - low) / range } else { 0.0 };
            }
        };
        let scores = self.0.forward.each(model, channels, (classes, Score::Logit), make, progress)?;
        let passes = Passes { forward: 1 + self.0.forward.passes, backward: 0 };
        let explain = |q: usize| {
            let weights = softmax(&scores.iter().map(|s| s[q]).collect::<Vec<f32>>());
            let mut map = Map::zeros(height, width);
            for (a, w) in features.iter().zip(weights) {
                map.data.iter_mut().zip(*a).for_each(|(m, a)| *m += w as f32 * a);
            }
            Explanation::of_map(enlarged(map, model), passes.share(q, classes.len()))
        };
        Ok((0..classes.len()).map(explain).collect())
    }

    fn steps(&self, _: usize) -> u64 {
        self.0.level.shape[0] as u64
    }
}
