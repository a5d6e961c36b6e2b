//! LIME: ridge regression of the score on which superpixels are shown, weighted by the similarity to the whole photo (Ribeiro,
//! Singh, Guestrin 2016, equation 1). [`subsets`] draws the samples, [`coefficients`] computes what the map shows.

use super::forward::PROBABILITY;
use super::least_squares::{Cholesky, normal_matrix, normal_right};
use super::segments::{COMPACTNESS, Fit, HIDDEN, SAMPLES, SEGMENTS, Samples, SegmentExplainer};
use super::{Choices, Compiled, Cost, Definition, Description};
use crate::error::Result;
use crate::model::Model;
use crate::noise::Noise;
use crate::parameters::{Kind, Parameter, Parameters};

const PARAMETERS: &[Parameter] = &[
    SEGMENTS,
    COMPACTNESS,
    HIDDEN,
    SAMPLES,
    Parameter {
        name: "kernel",
        default: "0.25",
        kind: Kind::Number(1e-3, 1e3),
        help: "width of the similarity kernel over the cosine distance to the whole photo",
    },
    Parameter {
        name: "ridge",
        default: "1",
        kind: Kind::Number(1e-9, 1e6),
        help: "weight of the coefficients' squares",
    },
    PROBABILITY,
];

/// The method.
pub(super) struct Lime;

impl Definition for Lime {
    fn description(&self) -> Description {
        Description {
            name: "lime",
            summary: "a local linear model of the score in which superpixels are there",
            source: "Ribeiro, Singh, Guestrin 2016",
            cost: Cost { forward: 1001, backward: 0, note: "" },
            signed: true,
            class_sensitive: true,
            parameters: PARAMETERS,
        }
    }

    fn prepare(&self, model: &Model, p: &mut Parameters, choices: &Choices) -> Result<Box<dyn Compiled>> {
        let (kernel, ridge) = (p.real("kernel"), p.real("ridge"));
        SegmentExplainer::prepare(model, p, choices, Ridge { kernel, ridge })
    }
}

/// The ridge regression, weighted by the similarity to the whole photo.
struct Ridge {
    kernel: f64,
    ridge: f64,
}

impl Fit for Ridge {
    fn samples(&self, n: usize, samples: usize, seed: u64) -> Samples {
        Samples { rows: subsets(n, samples, seed), weights: vec![] }
    }

    fn needs_nothing(&self) -> bool {
        false
    }

    fn values(&self, samples: &Samples, scores: &[f64], _: f64, _: f64) -> Option<Vec<f64>> {
        coefficients(&samples.rows, scores, self.kernel, self.ridge)
    }
}

/// Which of `segments` superpixels are shown in each of `samples` samples: all in the first, then random halves.
pub fn subsets(segments: usize, samples: usize, seed: u64) -> Vec<Vec<bool>> {
    let mut noise = Noise::new(seed);
    let row = |i: usize| -> Vec<bool> { (0..segments).map(|_| i == 0 || noise.chance(0.5)).collect() };
    (0..samples).map(row).collect()
}

/// Weight of a sample: exp(−d²/2k²) with d = 1 − √(shown/all), the cosine distance to the whole photo. (The authors' code takes
/// the root of exp(−d²/k²), which is the same.)
pub fn likeness(subset: &[bool], kernel: f64) -> f64 {
    let d = 1.0 - (subset.iter().filter(|s| **s).count() as f64 / subset.len() as f64).sqrt();
    (-d * d / (2.0 * kernel * kernel)).exp()
}

/// Coefficient of each superpixel: ridge regression of `scores`, one per subset, with an unpenalised intercept.
/// `None` if the samples do not determine them.
pub fn coefficients(subsets: &[Vec<bool>], scores: &[f64], kernel: f64, ridge: f64) -> Option<Vec<f64>> {
    let n = subsets.first()?.len();
    let weights: Vec<f64> = subsets.iter().map(|s| likeness(s, kernel)).collect();
    let total: f64 = weights.iter().sum();
    // Columns and scores are centred with the weights, which removes the intercept.
    let mean = weights.iter().zip(scores).map(|(w, y)| w * y).sum::<f64>() / total;
    let sums = normal_right(subsets, &weights, &vec![1.0; scores.len()], n);
    let mut matrix = normal_matrix(subsets, &weights, n, ridge);
    for i in 0..n {
        (0..n).for_each(|j| matrix[i * n + j] -= sums[i] * sums[j] / total);
    }
    let mut right = normal_right(subsets, &weights, scores, n);
    (0..n).for_each(|i| right[i] -= sums[i] * mean);
    Some(Cholesky::new(&matrix, n)?.solve(&right))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lime_of_a_linear_game_is_the_game() {
        let rows = subsets(4, 200, 0);
        let y: Vec<f64> = rows.iter().map(|r| 5.0 + f64::from(u8::from(r[1])) * 2.0).collect();
        let beta = coefficients(&rows, &y, 0.25, 1e-9).unwrap();
        assert!((beta[1] - 2.0).abs() < 1e-6 && beta[0].abs() < 1e-6, "{beta:?}");
    }
}
