//! Local intrinsic dimensionality of an image among clean ones, layer by layer: −k / Σ ln(r_i / r_k) over the k nearest in a sample of
//! clean training images, weighted by logistic regression (Ma et al. 2018, equation 4).

use super::Scorer;
use super::linear::{Linear, balanced};
use crate::detector::training::Examples;
use crate::error::Result;
use candor::noise::Noise;

/// Number of neighbours and size of the sample, as in the paper's experiments on CIFAR-10.
const NEIGHBOURS: usize = 20;
const SAMPLE: usize = 100;

/// The trained scorer.
pub(super) struct Lid {
    segments: Vec<usize>,
    sample: Vec<Vec<f32>>,
    weigh: Linear,
}

impl Lid {
    pub(super) fn train(segments: &[usize], examples: &Examples<'_>, seed: u64) -> Result<Self> {
        let chosen = Noise::new(seed).choose(SAMPLE, examples.clean.len());
        let sample: Vec<Vec<f32>> = chosen.into_iter().map(|i| examples.clean[i].to_vec()).collect();
        let (rows, labels) = balanced(examples);
        let rows = rows.iter().map(|row| dimensions(segments, &sample, row)).collect();
        Ok(Lid { segments: segments.to_vec(), weigh: Linear::fit(rows, &labels)?, sample })
    }
}

fn dimensions(segments: &[usize], sample: &[Vec<f32>], row: &[f32]) -> Vec<f64> {
    let mut start = 0;
    let mut all = vec![];
    for &length in segments {
        let part = start..start + length;
        let distance = |other: &Vec<f32>| {
            let squares =
                row[part.clone()].iter().zip(&other[part.clone()]).map(|(a, b)| f64::from(a - b).powi(2));
            squares.sum::<f64>().sqrt()
        };
        all.push(dimension(sample.iter().map(distance).collect()));
        start += length;
    }
    all
}

/// The estimate from all distances; an image of the sample does not count as its own neighbour.
fn dimension(mut distances: Vec<f64>) -> f64 {
    distances.retain(|d| *d > 0.0);
    distances.sort_by(f64::total_cmp);
    distances.truncate(NEIGHBOURS);
    let Some(&far) = distances.last() else { return 0.0 };
    let sum: f64 = distances.iter().map(|d| (d / far).ln()).sum();
    if sum < 0.0 { -(distances.len() as f64) / sum } else { 0.0 }
}

impl Scorer for Lid {
    fn scores(&mut self, rows: &[&[f32]]) -> Result<Vec<f64>> {
        Ok(rows.iter().map(|r| self.weigh.score(&dimensions(&self.segments, &self.sample, r))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dimension_of_a_uniform_cloud_is_found() {
        let mut noise = Noise::new(3);
        for dimensions in [1, 4] {
            let estimate = |noise: &mut Noise| {
                let distance = |noise: &mut Noise| {
                    let point: Vec<f64> =
                        (0..dimensions).map(|_| f64::from(2.0 * noise.unit() - 1.0)).collect();
                    point.iter().map(|v| v * v).sum::<f64>().sqrt()
                };
                dimension((0..2000).map(|_| distance(noise)).collect())
            };
            let mean = (0..100).map(|_| estimate(&mut noise)).sum::<f64>() / 100.0;
            let want = f64::from(dimensions);
            assert!((mean / want - 1.0).abs() < 0.2, "{mean} for {want}");
        }
    }
}
