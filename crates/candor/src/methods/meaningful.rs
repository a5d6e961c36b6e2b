//! Meaningful perturbation: the smallest smooth mask whose blurring destroys the class's probability (Fong and Vedaldi 2017):
//!
//! ```text
//!     minimise over m in 0..1:   λ₁ Σ (1 − m) + λ₂ Σ |∇m|^β + p_c(m ⊙ x + (1 − m) ⊙ blur(x))
//! ```
//!
//! on a coarse grid of n cells, enlarged to the photo. The map is 1 − m: what had to be removed.

use super::backward::{Backward, Plan, class_by_class};
use super::baseline::REACH;
use super::blend::{Enlarge, blend_gradient, blended};
use super::forward::{PROBABILITY, Score};
use super::{Choices, Compiled, Cost, Definition, Description};
use crate::blur::blurred;
use crate::error::Result;
use crate::explanation::Explanation;
use crate::map::Map;
use crate::mask::adam::{Adam, BETA_2};
use crate::model::Model;
use crate::noise::Noise;
use crate::parameters::{Kind, Parameter, Parameters};
use crate::progress::Progress;

const PARAMETERS: &[Parameter] = &[
    Parameter { name: "iterations", default: "300", kind: Kind::Integer(1, 100_000), help: "steps of Adam" },
    Parameter { name: "rate", default: "0.1", kind: Kind::Number(1e-6, 10.0), help: "learning rate of Adam" },
    Parameter {
        name: "cells",
        default: "28",
        kind: Kind::Integer(2, 512),
        help: "cells along each side of the mask",
    },
    Parameter {
        name: "sparsity",
        default: "0.0001",
        kind: Kind::Number(0.0, 1e3),
        help: "λ₁, the weight of the area that is blurred, a cell",
    },
    Parameter {
        name: "smoothness",
        default: "0.01",
        kind: Kind::Number(0.0, 1e3),
        help: "λ₂, the weight of the total variation",
    },
    Parameter {
        name: "exponent",
        default: "3",
        kind: Kind::Number(1.0, 10.0),
        help: "β of the total variation",
    },
    Parameter {
        name: "blur",
        default: "10",
        kind: Kind::Number(0.1, 100.0),
        help: "standard deviation of the blur in pixels of a 224² input, scaled to others",
    },
    Parameter {
        name: "jitter",
        default: "4",
        kind: Kind::Integer(0, 64),
        help: "pixels by which photo and mask are shifted at random in each step, against artefacts",
    },
    PROBABILITY,
];

/// The method.
pub(super) struct MeaningfulPerturbation;

impl Definition for MeaningfulPerturbation {
    fn description(&self) -> Description {
        Description {
            name: "meaningful-perturbation",
            summary: "the smallest smooth mask whose blurring destroys the class's probability",
            source: "Fong, Vedaldi 2017",
            cost: Cost { forward: 301, backward: 300, note: "" },
            signed: false,
            class_sensitive: true,
            parameters: PARAMETERS,
        }
    }

    fn prepare(&self, model: &Model, p: &mut Parameters, choices: &Choices) -> Result<Box<dyn Compiled>> {
        let number = |name: &str| p.real(name) as f32;
        Ok(Box::new(MeaningfulExplainer {
            backward: Backward::compile(model, Plan::gradient(model, &[model.input]))?,
            iterations: p.integer("iterations"),
            rate: number("rate"),
            cells: p.integer("cells"),
            sparsity: number("sparsity"),
            smoothness: number("smoothness"),
            exponent: number("exponent"),
            blur: number("blur"),
            jitter: p.integer("jitter"),
            score: Score::of(p),
            seed: choices.seed,
        }))
    }
}

struct MeaningfulExplainer {
    backward: Backward,
    iterations: usize,
    rate: f32,
    cells: usize,
    sparsity: f32,
    smoothness: f32,
    exponent: f32,
    blur: f32,
    jitter: usize,
    score: Score,
    seed: u64,
}

impl Compiled for MeaningfulExplainer {
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
        let sigma = self.blur * height.min(width) as f32 / 224.0;
        let blur = blurred(&self.backward.image, model.input_shape, sigma, REACH);
        class_by_class(classes, self.iterations as u64, |class| self.learn(model, class, &blur, progress))
    }

    fn steps(&self, classes: usize) -> u64 {
        (classes * self.iterations) as u64
    }
}

impl MeaningfulExplainer {
    fn learn(
        &mut self,
        model: &Model,
        class: usize,
        blur: &[f32],
        progress: &mut dyn Progress,
    ) -> Result<Map> {
        let [_, height, width] = model.input_shape;
        let cells = self.cells.min(height).min(width);
        let enlarge = Enlarge::new([cells, cells], [height, width]);
        let mut noise = Noise::new(self.seed);
        let mut mask = Map { height: cells, width: cells, data: vec![1.0; cells * cells] };
        let mut adam = Adam::new(mask.data.len(), BETA_2);
        for _ in 0..self.iterations {
            let large = enlarge.apply(&mask);
            let shift = [noise.below(self.jitter + 1), noise.below(self.jitter + 1)];
            let seen = blended(&large, &self.backward.image, blur, shift);
            let logits = self.backward.forward(model, &[&seen])?;
            let seed = self.score.slope(model, &logits, class);
            let slope = self.backward.sweep_from(model, &[seed])?.swap_remove(0).swap_remove(0);
            let slope =
                enlarge.pull(&blend_gradient(&slope, &self.backward.image, blur, [height, width], shift));
            let variation = total_variation_slope(&mask, self.exponent);
            let gradient =
                slope.data.iter().zip(&variation.data).map(|(s, v)| s + self.smoothness * v - self.sparsity);
            for (gate, step) in mask.data.iter_mut().zip(adam.step(gradient)) {
                *gate = (*gate - self.rate * step).clamp(0.0, 1.0);
            }
            progress.step()?;
        }
        let mut map = enlarge.apply(&mask);
        map.data.iter_mut().for_each(|v| *v = 1.0 - *v);
        Ok(map)
    }
}

/// ∂/∂m of Σ |m(y, x+1) − m(y, x)|^β + |m(y+1, x) − m(y, x)|^β
fn total_variation_slope(m: &Map, exponent: f32) -> Map {
    let mut slope = Map::zeros(m.height, m.width);
    let mut pair = |a: usize, b: usize| {
        let d = m.data[b] - m.data[a];
        let s = exponent * d.abs().powf(exponent - 1.0) * d.signum() * f32::from(u8::from(d != 0.0));
        slope.data[b] += s;
        slope.data[a] -= s;
    };
    for i in 0..m.data.len() {
        if (i + 1) % m.width != 0 {
            pair(i, i + 1);
        }
        if i + m.width < m.data.len() {
            pair(i, i + m.width);
        }
    }
    slope
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_variations_slope_is_its_difference_quotient() {
        let value = |m: &Map| {
            let mut sum = 0.0;
            for y in 0..3 {
                for x in 0..3 {
                    let v = m.data[y * 3 + x];
                    sum += if x < 2 { (m.data[y * 3 + x + 1] - v).abs().powi(3) } else { 0.0 };
                    sum += if y < 2 { (m.data[y * 3 + x + 3] - v).abs().powi(3) } else { 0.0 };
                }
            }
            sum
        };
        let map = Map { height: 3, width: 3, data: (0..9).map(|i| ((i * 7) % 5) as f32 / 5.0).collect() };
        let slope = total_variation_slope(&map, 3.0);
        for i in 0..9 {
            let moved = |by: f32| {
                let mut m = map.clone();
                m.data[i] += by;
                value(&m)
            };
            let quotient = (moved(1e-2) - moved(-1e-2)) / 2e-2;
            assert!((quotient - slope.data[i]).abs() < 1e-2, "{quotient} {}", slope.data[i]);
        }
    }
}
