//! A random forest (Breiman 2001), by smartcore: the mean of regression trees on labels 0 and 1.

use smartcore::ensemble::random_forest_regressor::{RandomForestRegressor, RandomForestRegressorParameters};
use smartcore::linalg::basic::matrix::DenseMatrix;

use super::Scorer;
use super::linear::balanced;
use crate::detector::training::Examples;
use crate::error::{Error, Result};

const TREES: usize = 100;
const DEPTH: u16 = 12;

/// A trained forest.
pub(super) struct Forest(RandomForestRegressor<f32, f32, DenseMatrix<f32>, Vec<f32>>);

impl Forest {
    pub(super) fn train(examples: &Examples<'_>, seed: u64) -> Result<Self> {
        let (rows, labels) = balanced(examples);
        let labels: Vec<f32> = labels.iter().map(|&l| l as f32).collect();
        let columns = rows.first().map_or(1, |r| r.len());
        let how = RandomForestRegressorParameters::default()
            .with_n_trees(TREES)
            .with_max_depth(DEPTH)
            .with_m(((columns as f64).sqrt() as usize).max(1))
            .with_seed(seed);
        let forest = RandomForestRegressor::fit(&matrix(&rows)?, &labels, how);
        Ok(Forest(forest.map_err(fail)?))
    }
}

fn matrix(rows: &[&[f32]]) -> Result<DenseMatrix<f32>> {
    DenseMatrix::from_2d_array(rows).map_err(fail)
}

fn fail(e: smartcore::error::Failed) -> Error {
    Error::Detector(format!("the random forest failed: {e}"))
}

impl Scorer for Forest {
    fn scores(&mut self, rows: &[&[f32]]) -> Result<Vec<f64>> {
        let scores = self.0.predict(&matrix(rows)?).map_err(fail)?;
        Ok(scores.into_iter().map(f64::from).collect())
    }
}
