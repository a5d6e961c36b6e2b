//! Logistic regression on standardised numbers, by smartcore.

use smartcore::linalg::basic::arrays::Array;
use smartcore::linalg::basic::matrix::DenseMatrix;
use smartcore::linear::logistic_regression::{LogisticRegression, LogisticRegressionParameters};

use super::Scorer;
use crate::detector::training::Examples;
use crate::error::{Error, Result};

/// Weight of the L2 penalty.
const RIDGE: f64 = 1.0;

/// A trained regression.
pub(super) struct Linear {
    mean: Vec<f64>,
    deviation: Vec<f64>,
    coefficients: Vec<f64>,
    intercept: f64,
}

impl Linear {
    pub(super) fn train(examples: &Examples<'_>) -> Result<Self> {
        let (rows, labels) = balanced(examples);
        Linear::fit(rows.iter().map(|r| r.iter().map(|&v| v.into()).collect()).collect(), &labels)
    }

    /// Fits rows with labels of 0 and 1.
    pub(super) fn fit(mut rows: Vec<Vec<f64>>, labels: &[u32]) -> Result<Self> {
        let columns = rows.first().map_or(0, Vec::len);
        let count = rows.len().max(1) as f64;
        let mean: Vec<f64> = (0..columns).map(|c| rows.iter().map(|r| r[c]).sum::<f64>() / count).collect();
        let spread = |c: usize| (rows.iter().map(|r| (r[c] - mean[c]).powi(2)).sum::<f64>() / count).sqrt();
        let deviation: Vec<f64> = (0..columns).map(|c| spread(c).max(1e-9)).collect();
        for row in &mut rows {
            row.iter_mut().enumerate().for_each(|(c, v)| *v = (*v - mean[c]) / deviation[c]);
        }
        let fail = |e: smartcore::error::Failed| Error::Detector(format!("logistic regression failed: {e}"));
        let x = DenseMatrix::from_2d_vec(&rows).map_err(fail)?;
        let how = LogisticRegressionParameters::default().with_alpha(RIDGE);
        let fitted = LogisticRegression::fit(&x, &labels.to_vec(), how).map_err(fail)?;
        let coefficients = (0..columns).map(|c| *fitted.coefficients().get((0, c))).collect();
        let intercept = *fitted.intercept().get((0, 0));
        Ok(Linear { mean, deviation, coefficients, intercept })
    }

    /// The logit of a row.
    pub(super) fn score(&self, row: &[f64]) -> f64 {
        let term = |c: usize| self.coefficients[c] * (row[c] - self.mean[c]) / self.deviation[c];
        self.intercept + (0..self.mean.len()).map(term).sum::<f64>()
    }
}

/// The rows with their labels; clean ones are repeated until they are about as many as the adversarial ones.
pub(super) fn balanced<'e>(examples: &Examples<'e>) -> (Vec<&'e [f32]>, Vec<u32>) {
    let adversarial: Vec<&[f32]> = examples.adversarial.iter().flatten().copied().collect();
    let times = (adversarial.len() / examples.clean.len().max(1)).max(1);
    let mut rows = examples.clean.repeat(times);
    let mut labels = vec![0; rows.len()];
    labels.extend(vec![1; adversarial.len()]);
    rows.extend(adversarial);
    (rows, labels)
}

impl Scorer for Linear {
    fn scores(&mut self, rows: &[&[f32]]) -> Result<Vec<f64>> {
        Ok(rows.iter().map(|r| self.score(&r.iter().map(|&v| v.into()).collect::<Vec<_>>())).collect())
    }
}
