//! LIME and KernelSHAP: a linear model of the score in which superpixels are there.
//!
//! LIME (Ribeiro, Singh, Guestrin 2016, equation 1): ridge regression on random subsets, weighted by their likeness to the
//! whole photo. KernelSHAP (Lundberg and Lee 2017, theorem 2): regression on coalitions weighted by Shapley's kernel under
//! the constraint that the values add up to S_c(x) − S_c(nothing).

use super::baseline;
use super::forward::{Forward, LOGIT, PROBABILITY, Score};
use super::least_squares::{Cholesky, normal_matrix, normal_right};
use super::noise::Noise;
use super::parameters::{Kind, Parameter, Parameters};
use super::superpixels::slic;
use super::{Choices, Description, Explainer, Explanation, Method};
use crate::error::{Error, Result};
use crate::map::Map;
use crate::mask::learn::Passes;
use crate::model::Model;

const SEGMENTS: Parameter = Parameter {
    name: "segments",
    default: "50",
    kind: Kind::Integer(2, 1000),
    help: "about how many superpixels (SLIC)",
};
const COMPACTNESS: Parameter = Parameter {
    name: "compactness",
    default: "0.3",
    kind: Kind::Number(0.001, 100.0),
    help: "weight of place against colour in SLIC; large ones make squares",
};
const HIDDEN: Parameter = Parameter {
    name: "hidden",
    default: "segment-mean",
    kind: Kind::Choice(&["segment-mean", "zero", "mean", "blur"]),
    help: "what a hidden superpixel shows: its own mean colour, 0, the photo's mean colour, or the photo blurred",
};
const SAMPLES: Parameter = Parameter {
    name: "samples",
    default: "1000",
    kind: Kind::Integer(2, 1_000_000),
    help: "subsets of the superpixels that are tried",
};
const LIME: &[Parameter] = &[
    SEGMENTS,
    COMPACTNESS,
    HIDDEN,
    SAMPLES,
    Parameter {
        name: "kernel",
        default: "0.25",
        kind: Kind::Number(1e-3, 1e3),
        help: "width of the likeness kernel on the cosine distance to the whole photo",
    },
    Parameter {
        name: "ridge",
        default: "1",
        kind: Kind::Number(1e-9, 1e6),
        help: "weight of the coefficients' squares",
    },
    PROBABILITY,
];
const SHAP: &[Parameter] = &[SEGMENTS, COMPACTNESS, HIDDEN, SAMPLES, LOGIT];

/// LIME.
pub(super) struct Lime;
/// KernelSHAP.
pub(super) struct KernelShap;

impl Method for Lime {
    fn description(&self) -> Description {
        Description {
            name: "lime",
            summary: "a local linear model of the score in which superpixels are there",
            source: "Ribeiro, Singh, Guestrin 2016",
            cost: "1001 forward",
            signed: true,
            class_sensitive: true,
            parameters: LIME,
        }
    }

    fn prepare(&self, model: &Model, p: &mut Parameters, choices: &Choices) -> Result<Box<dyn Explainer>> {
        let (kernel, ridge) = (p.number("kernel").unwrap_or(0.25), p.number("ridge").unwrap_or(1.0));
        SegmentExplainer::prepare(model, p, choices, Fit::Lime { kernel, ridge })
    }
}

impl Method for KernelShap {
    fn description(&self) -> Description {
        Description {
            name: "kernel-shap",
            summary: "Shapley values of superpixels, by regression on coalitions",
            source: "Lundberg, Lee 2017",
            cost: "1002 forward",
            signed: true,
            class_sensitive: true,
            parameters: SHAP,
        }
    }

    fn prepare(&self, model: &Model, p: &mut Parameters, choices: &Choices) -> Result<Box<dyn Explainer>> {
        SegmentExplainer::prepare(model, p, choices, Fit::Shapley)
    }
}

#[derive(Clone, Copy)]
enum Fit {
    Lime { kernel: f64, ridge: f64 },
    Shapley,
}

struct SegmentExplainer {
    forward: Forward,
    fit: Fit,
    segments: usize,
    compactness: f32,
    hidden: String,
    samples: usize,
    score: Score,
    seed: u64,
}

impl SegmentExplainer {
    fn prepare(model: &Model, p: &Parameters, choices: &Choices, fit: Fit) -> Result<Box<dyn Explainer>> {
        Ok(Box::new(SegmentExplainer {
            forward: Forward::compile(model)?,
            fit,
            segments: p.integer("segments"),
            compactness: p.number("compactness").unwrap_or(0.3) as f32,
            hidden: p.word("hidden").to_string(),
            samples: p.integer("samples"),
            score: Score::of(p),
            seed: choices.seed,
        }))
    }

    /// What hidden pixels show.
    fn hidden(&self, model: &Model, labels: &[usize], count: usize) -> Vec<f32> {
        let image = &self.forward.image;
        if self.hidden != "segment-mean" {
            return baseline::make(&self.hidden, model, image);
        }
        let mean = |plane: &[f32]| {
            let mut sums = vec![(0.0f32, 0.0f32); count];
            for (v, &k) in plane.iter().zip(labels) {
                sums[k] = (sums[k].0 + v, sums[k].1 + 1.0);
            }
            labels.iter().map(|&k| sums[k].0 / sums[k].1.max(1.0)).collect::<Vec<f32>>()
        };
        image.chunks(labels.len()).flat_map(mean).collect()
    }
}

impl Explainer for SegmentExplainer {
    fn scores(&mut self, model: &Model, image: &[f32]) -> Result<Vec<f32>> {
        self.forward.begin(model, image)
    }

    fn explain(
        &mut self,
        model: &Model,
        classes: &[usize],
        steps: &mut dyn FnMut(),
    ) -> Result<Vec<Explanation>> {
        let [_, height, width] = model.input_shape;
        let image = self.forward.image.clone();
        let labels = slic(&image, model.input_shape, self.segments, self.compactness);
        let n = labels.iter().max().map_or(0, |m| m + 1);
        let hidden = self.hidden(model, &labels, n);
        let mut noise = Noise::new(self.seed);
        let (rows, weights) = match self.fit {
            Fit::Lime { kernel, .. } => likeness_subsets(n, self.samples, kernel, &mut noise),
            Fit::Shapley => coalitions(n, self.samples, &mut noise),
        };
        // KernelSHAP also needs the score of nothing.
        let extra = usize::from(matches!(self.fit, Fit::Shapley));
        let make = |i: usize, out: &mut [f32]| {
            for (j, o) in out.iter_mut().enumerate() {
                let shown = rows.get(i).is_some_and(|r| r[labels[j % labels.len()]]);
                *o = if shown { image[j] } else { hidden[j] };
            }
        };
        let target = (classes, self.score);
        let scores = self.forward.each(model, rows.len() + extra, target, make, steps)?;
        let own = self.score.read(model, &self.forward.logits, classes);
        let passes = Passes { forward: self.forward.passes, backward: 0 };
        let mut explanations = vec![];
        for q in 0..classes.len() {
            let y: Vec<f64> = scores.iter().take(rows.len()).map(|s| s[q].into()).collect();
            let values = match self.fit {
                Fit::Lime { ridge, .. } => fit_lime(&rows, &weights, &y, n, ridge),
                Fit::Shapley => {
                    let nothing = f64::from(scores[rows.len()][q]);
                    fit_shapley(&rows, &weights, &y, n, nothing, own[q].into())
                }
            };
            let values = values.ok_or_else(|| Error::Model {
                path: model.info.path.clone(),
                reason: format!(
                    "{} samples do not determine {n} superpixels; raise samples or lower segments",
                    self.samples
                ),
            })?;
            let data = labels.iter().map(|&k| values[k] as f32).collect();
            explanations
                .push(Explanation::of_map(Map { height, width, data }, passes.share(q, classes.len())));
        }
        Ok(explanations)
    }

    fn steps(&self) -> u64 {
        self.samples as u64 + u64::from(matches!(self.fit, Fit::Shapley))
    }
}

/// Rows (which segments are shown) and their weights.
type Design = (Vec<Vec<bool>>, Vec<f64>);

/// The whole, then random halves; weight exp(−d²/2k²) with d = 1 − √(shown/n), the cosine distance to the whole. (The
/// authors' code takes the root of exp(−d²/k²), which is the same.)
fn likeness_subsets(n: usize, samples: usize, kernel: f64, noise: &mut Noise) -> Design {
    let row = |i: usize, noise: &mut Noise| (0..n).map(|_| i == 0 || noise.chance(0.5)).collect();
    let rows: Vec<Vec<bool>> = (0..samples).map(|i| row(i, noise)).collect();
    let weight = |row: &Vec<bool>| {
        let d = 1.0 - (row.iter().filter(|r| **r).count() as f64 / n as f64).sqrt();
        (-d * d / (2.0 * kernel * kernel)).exp()
    };
    let weights = rows.iter().map(weight).collect();
    (rows, weights)
}

/// All coalitions with Shapley's kernel as weight if there are no more than `samples`; else pairs of a coalition and its
/// complement, their sizes drawn by the kernel's weight, all weighing the same.
fn coalitions(n: usize, samples: usize, noise: &mut Noise) -> Design {
    let kernel = |s: usize| (n - 1) as f64 / (s * (n - s)) as f64;
    if n < 24 && (1usize << n) - 2 <= samples {
        let rows: Vec<Vec<bool>> =
            (1..(1usize << n) - 1).map(|bits| (0..n).map(|i| bits >> i & 1 == 1).collect()).collect();
        let choose = |s: usize| (0..s).map(|i| (n - i) as f64 / (i + 1) as f64).product::<f64>();
        let weight = |row: &Vec<bool>| {
            let s = row.iter().filter(|r| **r).count();
            kernel(s) / choose(s)
        };
        let weights = rows.iter().map(weight).collect();
        return (rows, weights);
    }
    let total: f64 = (1..n).map(kernel).sum();
    let mut rows = vec![];
    while rows.len() < samples {
        let mut left = f64::from(noise.unit()) * total;
        let mut size = 1;
        while size + 1 < n && left > kernel(size) {
            left -= kernel(size);
            size += 1;
        }
        let mut row = vec![false; n];
        noise.choose(size, n).into_iter().for_each(|i| row[i] = true);
        let complement = row.iter().map(|r| !r).collect();
        rows.push(row);
        if rows.len() < samples {
            rows.push(complement);
        }
    }
    let weights = vec![1.0; rows.len()];
    (rows, weights)
}

/// Ridge regression with an intercept that is not penalised: columns and scores are centred by weight.
fn fit_lime(rows: &[Vec<bool>], weights: &[f64], y: &[f64], n: usize, ridge: f64) -> Option<Vec<f64>> {
    let total: f64 = weights.iter().sum();
    let mean_y = weights.iter().zip(y).map(|(w, y)| w * y).sum::<f64>() / total;
    let sums = normal_right(rows, weights, &vec![1.0; y.len()], n);
    let mut matrix = normal_matrix(rows, weights, n, ridge);
    for i in 0..n {
        (0..n).for_each(|j| matrix[i * n + j] -= sums[i] * sums[j] / total);
    }
    let mut right = normal_right(rows, weights, y, n);
    (0..n).for_each(|i| right[i] -= sums[i] * mean_y);
    Some(Cholesky::new(&matrix, n)?.solve(&right))
}

/// Least squares under Σ φ = whole − nothing, by Lagrange's multiplier.
fn fit_shapley(
    rows: &[Vec<bool>],
    weights: &[f64],
    y: &[f64],
    n: usize,
    nothing: f64,
    whole: f64,
) -> Option<Vec<f64>> {
    if n == 1 {
        return Some(vec![whole - nothing]);
    }
    let gains: Vec<f64> = y.iter().map(|y| y - nothing).collect();
    let system = Cholesky::new(&normal_matrix(rows, weights, n, 1e-9), n)?;
    let free = system.solve(&normal_right(rows, weights, &gains, n));
    let ones = system.solve(&vec![1.0; n]);
    let excess = free.iter().sum::<f64>() - (whole - nothing);
    let pull = excess / ones.iter().sum::<f64>();
    Some(free.iter().zip(&ones).map(|(f, o)| f - pull * o).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A game with an interaction: v(S) = 1·a + 2·b + 3·a·c.
    fn game(row: &[bool]) -> f64 {
        let v = |i: usize| f64::from(u8::from(row[i]));
        v(0) + 2.0 * v(1) + 3.0 * v(0) * v(2)
    }

    #[test]
    fn all_coalitions_give_the_shapley_values() {
        let (rows, weights) = coalitions(3, 10, &mut Noise::new(0));
        let y: Vec<f64> = rows.iter().map(|r| game(r)).collect();
        let phi = fit_shapley(&rows, &weights, &y, 3, 0.0, game(&[true; 3])).unwrap();
        for (got, want) in phi.iter().zip([2.5, 2.0, 1.5]) {
            assert!((got - want).abs() < 1e-6, "{phi:?}");
        }
    }

    #[test]
    fn sampled_coalitions_are_complete_and_near() {
        let (rows, weights) = coalitions(12, 600, &mut Noise::new(1));
        let y: Vec<f64> = rows.iter().map(|r| game(r)).collect();
        let phi = fit_shapley(&rows, &weights, &y, 12, 0.0, game(&[true; 12])).unwrap();
        assert!((phi.iter().sum::<f64>() - 6.0).abs() < 1e-9);
        assert!((phi[0] - 2.5).abs() < 0.2 && (phi[2] - 1.5).abs() < 0.2 && phi[5].abs() < 0.1, "{phi:?}");
    }

    #[test]
    fn lime_of_a_linear_game_is_the_game() {
        let (rows, weights) = likeness_subsets(4, 200, 0.25, &mut Noise::new(0));
        let y: Vec<f64> = rows.iter().map(|r| 5.0 + f64::from(u8::from(r[1])) * 2.0).collect();
        let beta = fit_lime(&rows, &weights, &y, 4, 1e-9).unwrap();
        assert!((beta[1] - 2.0).abs() < 1e-6 && beta[0].abs() < 1e-6, "{beta:?}");
    }
}
