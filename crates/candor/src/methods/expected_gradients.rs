//! Expected gradients: the mean over baselines x₀ and α of (x − x₀) · ∂S_c/∂x (x₀ + α (x − x₀)), Σ over channels (Erion et
//! al. 2021). No training set is available to draw baselines from, so they are noise: each pixel uniform between
//! the smallest and the largest value of its channel in the photo (Sturmfels, Lundberg, Lee 2020).

use super::attribution::{Attribution, Channels};
use super::backward::{Backward, Plan};
use super::{Choices, Compiled, Cost, Definition, Description};
use crate::error::Result;
use crate::explanation::Explanation;
use crate::model::Model;
use crate::noise::Noise;
use crate::parameters::{Kind, Parameter, Parameters};
use crate::passes::Passes;
use crate::progress::Progress;

const PARAMETERS: &[Parameter] = &[Parameter {
    name: "samples",
    default: "100",
    kind: Kind::Integer(1, 100_000),
    help: "baselines drawn, each with one point on its path",
}];

/// The method.
pub(super) struct ExpectedGradients;

impl Definition for ExpectedGradients {
    fn description(&self) -> Description {
        Description {
            name: "expected-gradients",
            summary: "integrated gradients, averaged over random baselines",
            source: "Erion et al. 2021",
            cost: Cost { forward: 101, backward: 100, note: "" },
            signed: true,
            class_sensitive: true,
            parameters: PARAMETERS,
        }
    }

    fn prepare(&self, model: &Model, p: &mut Parameters, choices: &Choices) -> Result<Box<dyn Compiled>> {
        Ok(Box::new(ExpectedGradientsExplainer {
            backward: Backward::compile(model, Plan::gradient(model, &[model.input]))?,
            samples: p.integer("samples"),
            seed: choices.seed,
        }))
    }
}

struct ExpectedGradientsExplainer {
    backward: Backward,
    samples: usize,
    seed: u64,
}

impl Compiled for ExpectedGradientsExplainer {
    fn scores(&mut self, model: &Model, image: &[f32]) -> Result<Vec<f32>> {
        self.backward.begin(model, image)
    }

    fn explain(
        &mut self,
        model: &Model,
        classes: &[usize],
        progress: &mut dyn Progress,
    ) -> Result<Vec<Explanation>> {
        let [_, height, width] = model.input_shape;
        let mut noise = Noise::new(self.seed);
        let ranges: Vec<(f32, f32)> = self
            .backward
            .image
            .chunks(height * width)
            .map(|c| c.iter().fold((f32::MAX, f32::MIN), |(l, h), &v| (l.min(v), h.max(v))))
            .collect();
        let mut sums = vec![vec![0.0f64; self.backward.image.len()]; classes.len()];
        for _ in 0..self.samples {
            let alpha = noise.unit();
            let way: Vec<f32> = (self.backward.image.iter().enumerate())
                .map(|(i, x)| {
                    let (low, high) = ranges[i / (height * width)];
                    x - (low + (high - low) * noise.unit())
                })
                .collect();
            // x₀ + α (x − x₀) = x − (1 − α) (x − x₀)
            let point: Vec<f32> =
                self.backward.image.iter().zip(&way).map(|(x, d)| x - (1.0 - alpha) * d).collect();
            self.backward.forward(model, &[&point])?;
            for (sum, found) in sums.iter_mut().zip(self.backward.sweep(model, classes)?) {
                for (s, (g, d)) in sum.iter_mut().zip(found[0].iter().zip(&way)) {
                    *s += f64::from(g * d) / self.samples as f64;
                }
            }
            progress.step()?;
        }
        let (count, queries) = (self.samples as u64, classes.len());
        let passes = Passes { forward: 1 + count, backward: count * queries as u64 };
        let explain = |(q, sum): (usize, Vec<f64>)| {
            let values = sum.iter().map(|&v| v as f32).collect();
            let (shape, channels) = (model.input_shape, Channels::Sum);
            let e = Explanation::of_attribution(Attribution { values, shape, channels });
            Explanation { passes: passes.share(q, queries), ..e }
        };
        Ok(sums.into_iter().enumerate().map(explain).collect())
    }

    fn steps(&self, _: usize) -> u64 {
        self.samples as u64
    }
}
