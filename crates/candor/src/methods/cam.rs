//! Class activation maps: feature maps A of one layer, combined by what the gradient G = ∂S_c/∂A says of them.
//!
//! A and G are C×H×W, the layer is the last level unless `--levels` names another. Every map is cut at zero and enlarged
//! to the input's size; none is normalised.

use super::backward::{OneSweep, Plan};
use super::parameters::Parameters;
use super::{Choices, Description, Explainer, Explanation, Method};
use crate::error::Result;
use crate::map::{Interpolation, Map};
use crate::mask::{Level, levels};
use crate::model::Model;

/// Combines A and G into a map on the layer's grid.
type Combine = fn(&Layer<'_>) -> Map;

/// A method of the family.
pub(super) struct Cam {
    name: &'static str,
    summary: &'static str,
    source: &'static str,
    combine: Combine,
}

/// The family.
pub(super) const FAMILY: [Cam; 5] = [
    Cam {
        name: "grad-cam",
        summary: "the last feature maps, weighted by the mean gradient of the class's logit",
        source: "Selvaraju et al. 2017",
        combine: grad_cam,
    },
    Cam {
        name: "grad-cam++",
        summary: "the last feature maps, weighted by positive gradients where they are strong",
        source: "Chattopadhyay et al. 2018",
        combine: grad_cam_plus_plus,
    },
    Cam {
        name: "xgrad-cam",
        summary: "the last feature maps, weighted by the gradient where the feature is",
        source: "Fu et al. 2020",
        combine: xgrad_cam,
    },
    Cam {
        name: "hires-cam",
        summary: "the last feature maps times their gradients, place by place",
        source: "Draelos, Carin 2020",
        combine: hires_cam,
    },
    Cam {
        name: "layer-cam",
        summary: "the last feature maps times their positive gradients, place by place",
        source: "Jiang et al. 2021",
        combine: layer_cam,
    },
];

impl Method for Cam {
    fn description(&self) -> Description {
        Description {
            name: self.name,
            summary: self.summary,
            source: self.source,
            cost: "1 forward, 1 backward",
            signed: false,
            class_sensitive: true,
            parameters: &[],
        }
    }

    fn prepare(&self, model: &Model, p: &mut Parameters, choices: &Choices) -> Result<Box<dyn Explainer>> {
        let level = layer(model, p, choices)?;
        let (plan, combine) = (Plan::gradient(model, &[level.value], true), self.combine);
        Ok(Box::new(OneSweep::new(
            model,
            plan,
            Box::new(move |v| {
                let feature = level.feature();
                let [features, gradient] = [v.values[0], &v.found[0]].map(|a| feature.channels_first(a));
                let layer = Layer { features: &features, gradient: &gradient, shape: level.shape };
                Explanation::of_map(enlarged(combine(&layer), v.model), Default::default())
            }),
        )?))
    }
}

/// The layer of a CAM method: the coarsest level. Its name is recorded.
pub(super) fn layer(model: &Model, p: &mut Parameters, choices: &Choices) -> Result<Level> {
    let mut levels = levels::choose(model, &choices.levels)?;
    let level = levels.swap_remove(levels.len() - 1);
    p.record("layer", level.name.clone());
    Ok(level)
}

/// The positive part of a map on the layer's grid, on the model's input grid.
pub(super) fn enlarged(map: Map, model: &Model) -> Map {
    let [_, height, width] = model.input_shape;
    let positive = Map { data: map.data.iter().map(|v| v.max(0.0)).collect(), ..map };
    positive.resize(height, width, Interpolation::Bilinear)
}

/// Feature maps and gradient of a layer, both C×H×W.
pub(super) struct Layer<'l> {
    pub features: &'l [f32],
    pub gradient: &'l [f32],
    pub shape: [usize; 3],
}

impl<'l> Layer<'l> {
    /// (A_k, G_k) of each channel.
    fn channels(&self) -> impl Iterator<Item = (&'l [f32], &'l [f32])> {
        let area = self.shape[1] * self.shape[2];
        self.features.chunks(area).zip(self.gradient.chunks(area))
    }

    /// Σ_k w(A_k, G_k) · A_k
    fn weighted(&self, weight: impl Fn(&[f32], &[f32]) -> f32) -> Map {
        let mut map = Map::zeros(self.shape[1], self.shape[2]);
        for (a, g) in self.channels() {
            let weight = weight(a, g);
            map.data.iter_mut().zip(a).for_each(|(m, a)| *m += weight * a);
        }
        map
    }

    /// Σ_k f(A_k, G_k), place by place
    fn summed(&self, f: impl Fn(f32, f32) -> f32) -> Map {
        let mut map = Map::zeros(self.shape[1], self.shape[2]);
        for (a, g) in self.channels() {
            map.data.iter_mut().zip(a.iter().zip(g)).for_each(|(m, (&a, &g))| *m += f(a, g));
        }
        map
    }
}

/// Grad-CAM: α_k = mean G_k (equation 1)
pub(super) fn grad_cam(layer: &Layer<'_>) -> Map {
    layer.weighted(|_, g| g.iter().sum::<f32>() / g.len() as f32)
}

/// Grad-CAM++: w_k = Σ α G⁺ with α = G² / (2 G² + Σ A · G³) where G ≠ 0, for the score exp(S_c)
fn grad_cam_plus_plus(layer: &Layer<'_>) -> Map {
    layer.weighted(|a, g| {
        let total: f32 = a.iter().sum();
        let term = |&g: &f32| {
            let alpha = g * g / (2.0 * g * g + total * g * g * g + 1e-6);
            if g == 0.0 { 0.0 } else { alpha * g.max(0.0) }
        };
        g.iter().map(term).sum()
    })
}

/// XGrad-CAM: α_k = Σ A·G / Σ A
fn xgrad_cam(layer: &Layer<'_>) -> Map {
    layer.weighted(|a, g| {
        let product: f32 = a.iter().zip(g).map(|(a, g)| a * g).sum();
        product / (a.iter().sum::<f32>() + 1e-7)
    })
}

/// HiRes-CAM: Σ_k G·A
fn hires_cam(layer: &Layer<'_>) -> Map {
    layer.summed(|a, g| a * g)
}

/// Layer-CAM: Σ_k G⁺·A
fn layer_cam(layer: &Layer<'_>) -> Map {
    layer.summed(|a, g| a * g.max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYER: Layer<'_> =
        Layer { features: &[1.0, 0.0, 0.0, 5.0], gradient: &[1.0, 3.0, -1.0, -1.0], shape: [2, 1, 2] };

    #[test]
    fn grad_cam_weighs_by_mean_gradients() {
        assert_eq!(grad_cam(&LAYER).data, [2.0, -5.0]);
    }

    #[test]
    fn the_others_weigh_place_by_place() {
        assert_eq!(hires_cam(&LAYER).data, [1.0, -5.0]);
        assert_eq!(layer_cam(&LAYER).data, [1.0, 0.0]);
        let xgrad = xgrad_cam(&LAYER).data;
        assert!((xgrad[0] - 1.0).abs() < 1e-6 && (xgrad[1] + 5.0).abs() < 1e-5);
        // Channel 1: G = 1, 3 and ΣA = 1 give w = 1/(2+1) + 9·3/(18+27).
        let plus = grad_cam_plus_plus(&LAYER).data;
        assert!((plus[0] - (1.0 / 3.0 + 0.6)).abs() < 1e-5 && plus[1] == 0.0, "{plus:?}");
    }
}
