//! KernelSHAP: the Shapley values of superpixels, by regression on coalitions weighted by the Shapley kernel under the constraint
//! that the values add up to S_c(x) − S_c(nothing) (Lundberg and Lee 2017, theorem 2). [`coalitions`] draws the samples,
//! [`shapley_values`] computes the values that the map shows.

use super::forward::LOGIT;
use super::least_squares::{Cholesky, normal_matrix, normal_right};
use super::segments::{COMPACTNESS, Fit, HIDDEN, SAMPLES, SEGMENTS, Samples, SegmentExplainer};
use super::{Choices, Compiled, Cost, Definition, Description};
use crate::error::Result;
use crate::model::Model;
use crate::noise::Noise;
use crate::parameters::{Parameter, Parameters};

const PARAMETERS: &[Parameter] = &[SEGMENTS, COMPACTNESS, HIDDEN, SAMPLES, LOGIT];

/// The method.
pub(super) struct KernelShap;

impl Definition for KernelShap {
    fn description(&self) -> Description {
        Description {
            name: "kernel-shap",
            summary: "Shapley values of superpixels, by regression on coalitions",
            source: "Lundberg, Lee 2017",
            cost: Cost { forward: 1002, backward: 0, note: "" },
            signed: true,
            class_sensitive: true,
            parameters: PARAMETERS,
        }
    }

    fn prepare(&self, model: &Model, p: &mut Parameters, choices: &Choices) -> Result<Box<dyn Compiled>> {
        SegmentExplainer::prepare(model, p, choices, Shapley)
    }
}

/// The least squares fit of Shapley values.
struct Shapley;

impl Fit for Shapley {
    fn samples(&self, n: usize, samples: usize, seed: u64) -> Samples {
        let (rows, weights) = coalitions(n, samples, seed);
        Samples { rows, weights }
    }

    fn needs_nothing(&self) -> bool {
        true
    }

    fn values(&self, samples: &Samples, scores: &[f64], nothing: f64, whole: f64) -> Option<Vec<f64>> {
        shapley_values(&samples.rows, &samples.weights, scores, nothing, whole)
    }
}

/// Which of `n` superpixels are shown in each sample, and the weights of the samples. All coalitions with the Shapley kernel as weight,
/// if there are no more than `samples`; else pairs of a coalition and its complement, with sizes drawn by the kernel's weight and equal
/// weights.
pub fn coalitions(n: usize, samples: usize, seed: u64) -> (Vec<Vec<bool>>, Vec<f64>) {
    let mut noise = Noise::new(seed);
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

/// Value of each superpixel from the scores of coalitions, of nothing and of the whole photo: least squares under Σ φ = whole −
/// nothing, by a Lagrange multiplier. `None` if the samples do not determine them.
pub fn shapley_values(
    coalitions: &[Vec<bool>],
    weights: &[f64],
    scores: &[f64],
    nothing: f64,
    whole: f64,
) -> Option<Vec<f64>> {
    // A single superpixel has no coalitions: it gets the whole difference.
    let Some(n) = coalitions.first().map(Vec::len) else { return Some(vec![whole - nothing]) };
    let gains: Vec<f64> = scores.iter().map(|y| y - nothing).collect();
    let system = Cholesky::new(&normal_matrix(coalitions, weights, n, 1e-9), n)?;
    let free = system.solve(&normal_right(coalitions, weights, &gains, n));
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
        let (rows, weights) = coalitions(3, 10, 0);
        let y: Vec<f64> = rows.iter().map(|r| game(r)).collect();
        let phi = shapley_values(&rows, &weights, &y, 0.0, game(&[true; 3])).unwrap();
        for (got, want) in phi.iter().zip([2.5, 2.0, 1.5]) {
            assert!((got - want).abs() < 1e-6, "{phi:?}");
        }
    }

    #[test]
    fn sampled_coalitions_are_complete_and_near() {
        let (rows, weights) = coalitions(12, 600, 1);
        let y: Vec<f64> = rows.iter().map(|r| game(r)).collect();
        let phi = shapley_values(&rows, &weights, &y, 0.0, game(&[true; 12])).unwrap();
        assert!((phi.iter().sum::<f64>() - 6.0).abs() < 1e-9);
        assert!((phi[0] - 2.5).abs() < 0.2 && (phi[2] - 1.5).abs() < 0.2 && phi[5].abs() < 0.1, "{phi:?}");
    }
}
