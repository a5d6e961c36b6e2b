//! Mahalanobis distance to the nearest class, layer by layer, with one covariance for all classes, weighted by logistic regression
//! (Lee et al. 2018, without their perturbation of the input).

use super::Scorer;
use super::linear::{Linear, balanced};
use crate::detector::training::Examples;
use crate::error::{Error, Result};
use candor::methods::least_squares::Cholesky;

/// Ridge of a covariance, as a fraction of its mean variance: with few images it would be singular.
const RIDGE: f64 = 1e-2;

/// A layer's classes.
struct Layer {
    start: usize,
    length: usize,
    /// Class means, whitened by the covariance.
    means: Vec<Vec<f64>>,
    covariance: Cholesky,
}

/// The trained scorer.
pub(super) struct Mahalanobis {
    layers: Vec<Layer>,
    weigh: Linear,
}

impl Mahalanobis {
    pub(super) fn train(segments: &[usize], examples: &Examples<'_>) -> Result<Self> {
        let mut layers = vec![];
        let mut start = 0;
        for &length in segments {
            layers.push(Layer::of(&examples.clean, start, length)?);
            start += length;
        }
        let (rows, labels) = balanced(examples);
        let rows = rows.iter().map(|row| distances(&layers, row)).collect();
        Ok(Mahalanobis { weigh: Linear::fit(rows, &labels)?, layers })
    }
}

fn distances(layers: &[Layer], row: &[f32]) -> Vec<f64> {
    layers.iter().map(|l| l.nearest(row)).collect()
}

impl Layer {
    /// Class means by the model's answer, which is a row's last number, and the covariance within classes.
    fn of(clean: &[&[f32]], start: usize, length: usize) -> Result<Layer> {
        let part =
            |row: &[f32]| -> Vec<f64> { row[start..start + length].iter().map(|&v| v.into()).collect() };
        let class = |row: &[f32]| match row.last() {
            Some(&class) => Ok(class as usize),
            None => Err(Error::Detector("a row of activations without the answer behind them".into())),
        };
        let mut by_class: std::collections::BTreeMap<usize, Vec<Vec<f64>>> = Default::default();
        for row in clean {
            by_class.entry(class(row)?).or_default().push(part(row));
        }
        let mut covariance = vec![0.0; length * length];
        let mut means = vec![];
        for rows in by_class.values() {
            let mean: Vec<f64> =
                (0..length).map(|i| rows.iter().map(|r| r[i]).sum::<f64>() / rows.len() as f64).collect();
            for row in rows {
                for i in 0..length {
                    for j in 0..length {
                        covariance[i * length + j] +=
                            (row[i] - mean[i]) * (row[j] - mean[j]) / clean.len() as f64;
                    }
                }
            }
            means.push(mean);
        }
        let variance = (0..length).map(|i| covariance[i * length + i]).sum::<f64>() / length.max(1) as f64;
        (0..length).for_each(|i| covariance[i * length + i] += RIDGE * variance + 1e-12);
        let covariance = Cholesky::new(&covariance, length)
            .ok_or_else(|| Error::Detector("a layer's covariance is not positive definite".into()))?;
        let means = means.iter().map(|mean| covariance.whiten(mean)).collect();
        Ok(Layer { start, length, means, covariance })
    }

    /// The smallest squared distance to a class.
    fn nearest(&self, row: &[f32]) -> f64 {
        let row: Vec<f64> = row[self.start..self.start + self.length].iter().map(|&v| v.into()).collect();
        let row = self.covariance.whiten(&row);
        let distance = |mean: &Vec<f64>| row.iter().zip(mean).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
        self.means.iter().map(distance).fold(f64::INFINITY, f64::min)
    }
}

impl Scorer for Mahalanobis {
    fn scores(&mut self, rows: &[&[f32]]) -> Result<Vec<f64>> {
        Ok(rows.iter().map(|r| self.weigh.score(&distances(&self.layers, r))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_is_measured_in_the_spread_of_the_nearest_class() {
        // Two classes, around (0, 0) and (10, 0), spread by 1 and 2 along the axes.
        let rows: Vec<Vec<f32>> = [0.0f32, 10.0]
            .iter()
            .enumerate()
            .flat_map(|(k, x)| {
                [[1.0, 2.0], [-1.0, -2.0], [1.0, -2.0], [-1.0, 2.0]].map(|[a, b]| vec![x + a, b, k as f32])
            })
            .collect();
        let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        let layer = Layer::of(&rows, 0, 2).unwrap();
        assert!(layer.nearest(&[10.0, 0.0]).abs() < 1e-9);
        assert!((layer.nearest(&[3.0, 0.0]) - 9.0).abs() < 0.3, "{}", layer.nearest(&[3.0, 0.0]));
        assert!((layer.nearest(&[0.0, 4.0]) - 4.0).abs() < 0.1);
    }
}
