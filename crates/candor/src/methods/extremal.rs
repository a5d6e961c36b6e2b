//! Extremal perturbation: the smooth mask of a fixed area under which the class's logit is highest (Fong, Patrick, Vedaldi 2019):
//!
//! ```text
//!     maximise over m in 0..1:   S_c(m ⊙ x + (1 − m) ⊙ blur(x)) − λ ‖sort(m) − r_a‖²
//! ```
//!
//! r_a: zeros, then a fraction a of ones. m is the smooth maximum over cells of a bump times the cell's value. The map is the
//! mean of the masks of several areas.

use super::backward::{Backward, Plan, class_by_class};
use super::baseline::REACH;
use super::blend::{blend_gradient, blended};
use super::smooth_mask::SmoothMask;
use super::{Choices, Compiled, Cost, Definition, Description};
use crate::blur::blurred;
use crate::error::Result;
use crate::explanation::Explanation;
use crate::map::Map;
use crate::model::Model;
use crate::parameters::{Kind, Parameter, Parameters};
use crate::progress::Progress;

const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "area",
        default: "auto",
        kind: Kind::Number(0.001, 0.999),
        help: "share of the photo that the mask keeps; auto: the mean over 0.05, 0.1, 0.2 and 0.4",
    },
    Parameter {
        name: "iterations",
        default: "200",
        kind: Kind::Integer(1, 100_000),
        help: "steps of the optimiser for each area",
    },
    Parameter {
        name: "rate",
        default: "0.01",
        kind: Kind::Number(1e-6, 10.0),
        help: "learning rate; the momentum is 0.9, damped by 0.9",
    },
    Parameter {
        name: "regularity",
        default: "300",
        kind: Kind::Number(0.0, 1e6),
        help: "λ at the start; it grows 16-fold over the steps",
    },
    Parameter {
        name: "step",
        default: "7",
        kind: Kind::Integer(1, 64),
        help: "pixels from one cell of the mask to the next, of a 224² input, scaled to others",
    },
    Parameter {
        name: "blur",
        default: "20",
        kind: Kind::Number(0.1, 100.0),
        help: "standard deviation of the blur in pixels of a 224² input, scaled to others",
    },
];

const AREAS: [f32; 4] = [0.05, 0.1, 0.2, 0.4];
const MOMENTUM: f32 = 0.9;
/// Factor by which λ grows from the first to the last step (1.0035 per step over 800 steps in the authors' code).
const GROWTH: f32 = 16.4;

/// The method.
pub(super) struct ExtremalPerturbation;

impl Definition for ExtremalPerturbation {
    fn description(&self) -> Description {
        Description {
            name: "extremal-perturbation",
            summary: "the smooth masks of fixed areas that keep the class's logit highest",
            source: "Fong, Patrick, Vedaldi 2019",
            cost: Cost { forward: 801, backward: 800, note: "" },
            signed: false,
            class_sensitive: true,
            parameters: PARAMETERS,
        }
    }

    fn prepare(&self, model: &Model, p: &mut Parameters, _: &Choices) -> Result<Box<dyn Compiled>> {
        let number = |name: &str| p.real(name) as f32;
        let [_, height, width] = model.input_shape;
        let scale = height.min(width) as f32 / 224.0;
        let step = ((p.integer("step") as f32 * scale).round() as usize).max(1);
        Ok(Box::new(ExtremalExplainer {
            backward: Backward::compile(model, Plan::gradient(model, &[model.input]))?,
            areas: p.auto("area").map_or(AREAS.to_vec(), |a| vec![a as f32]),
            iterations: p.integer("iterations"),
            rate: number("rate"),
            regularity: number("regularity"),
            blur: number("blur") * scale,
            mask: SmoothMask::new([height, width], step, 3 * step),
        }))
    }
}

struct ExtremalExplainer {
    backward: Backward,
    areas: Vec<f32>,
    iterations: usize,
    rate: f32,
    regularity: f32,
    blur: f32,
    mask: SmoothMask,
}

impl Compiled for ExtremalExplainer {
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
        let blur = blurred(&self.backward.image, model.input_shape, self.blur, REACH);
        let n = (self.areas.len() * self.iterations) as u64;
        class_by_class(classes, n, |class| {
            let mut map = Map::zeros(height, width);
            for area in self.areas.clone() {
                let one = self.learn(model, class, area, &blur, progress)?;
                let share = 1.0 / self.areas.len() as f32;
                map.data.iter_mut().zip(&one.data).for_each(|(m, v)| *m += share * v);
            }
            Ok(map)
        })
    }

    fn steps(&self, classes: usize) -> u64 {
        (classes * self.areas.len() * self.iterations) as u64
    }
}

impl ExtremalExplainer {
    fn learn(
        &mut self,
        model: &Model,
        class: usize,
        area: f32,
        blur: &[f32],
        progress: &mut dyn Progress,
    ) -> Result<Map> {
        let [_, height, width] = model.input_shape;
        let mut cells = vec![1.0f32; self.mask.cells()];
        let mut velocity = vec![0.0f32; cells.len()];
        for t in 0..self.iterations {
            let mask = self.mask.apply(&cells);
            let seen = blended(&mask, &self.backward.image, blur, [0, 0]);
            self.backward.forward(model, &[&seen])?;
            let found = self.backward.sweep(model, &[class])?.swap_remove(0).swap_remove(0);
            let mut slope = blend_gradient(&found, &self.backward.image, blur, [height, width], [0, 0]);
            let weight = self.regularity * GROWTH.powf(t as f32 / self.iterations as f32);
            let away = area_slope(&mask, area);
            for (s, a) in slope.data.iter_mut().zip(&away) {
                *s = weight * a - *s;
            }
            let gradient = self.mask.pull(&cells, &slope);
            for ((c, v), g) in cells.iter_mut().zip(&mut velocity).zip(&gradient) {
                // Damped by the momentum, as in the authors' code: the step is that of a running mean.
                *v = MOMENTUM * *v + (1.0 - MOMENTUM) * g;
                *c = (*c - self.rate * *v).clamp(0.0, 1.0);
            }
            progress.step()?;
        }
        Ok(self.mask.apply(&cells))
    }
}

/// ∂/∂m of mean (sort(m) − r_a)²
fn area_slope(mask: &Map, area: f32) -> Vec<f32> {
    let n = mask.data.len();
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| mask.data[a].total_cmp(&mask.data[b]));
    let ones = (n as f32 * area) as usize;
    let mut slope = vec![0.0; n];
    for (rank, &i) in order.iter().enumerate() {
        let target = if rank >= n - ones { 1.0 } else { 0.0 };
        slope[i] = 2.0 * (mask.data[i] - target) / n as f32;
    }
    slope
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_values_are_drawn_to_one_and_the_rest_to_zero() {
        let mask = Map { height: 1, width: 4, data: vec![0.5, 0.25, 1.0, 0.0] };
        assert_eq!(area_slope(&mask, 0.5), [-0.25, 0.125, 0.0, 0.0]);
    }
}
