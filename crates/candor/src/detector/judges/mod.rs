//! Judges: from a view's row (see [`super::views`]) to a score, the higher the more likely adversarial. One file a judge.

mod forest;
mod lid;
mod linear;
mod mahalanobis;

use super::network::{Examples, Network, Scorer, Training};
use crate::engine::Engine;
use crate::error::Result;

/// A trained judge.
pub trait Judge {
    /// Scores of rows.
    ///
    /// # Errors
    /// If an engine fails.
    fn scores(&mut self, rows: &[&[f32]]) -> Result<Vec<f64>>;
}

/// How a view is judged.
#[derive(Clone, Debug)]
pub enum Judging {
    /// The row's first number is the score; nothing is learned.
    Value,
    /// Logistic regression.
    Logistic,
    /// Random forest.
    Forest,
    /// Mahalanobis distances of segments of these lengths, by the answer behind them, weighed by logistic regression.
    Mahalanobis(Vec<usize>),
    /// Local intrinsic dimensionality of segments of these lengths, weighed by logistic regression.
    Lid(Vec<usize>),
    /// The network, on some of the row's planes.
    Network {
        /// Numbers of the planes.
        planes: Vec<usize>,
        /// Height and width of a plane.
        grid: usize,
    },
}

impl Judging {
    /// Learns from examples.
    ///
    /// # Errors
    /// [`crate::error::Error::Detector`] if there is nothing to learn from or a library fails.
    pub fn train(&self, engine: &dyn Engine, examples: &Examples<'_>, seed: u64) -> Result<Box<dyn Judge>> {
        Ok(match self {
            Judging::Value => Box::new(Value),
            Judging::Logistic => Box::new(linear::Linear::train(examples)?),
            Judging::Forest => Box::new(forest::Forest::train(examples, seed)?),
            Judging::Mahalanobis(segments) => Box::new(mahalanobis::Mahalanobis::train(segments, examples)?),
            Judging::Lid(segments) => Box::new(lid::Lid::train(segments, examples, seed)?),
            Judging::Network { planes, grid } => {
                let own = examples.clean.iter().chain(examples.adversarial.iter().flatten());
                let own: Vec<Vec<f32>> = own.map(|row| picked(row, planes, *grid)).collect();
                let mut rows = own.iter().map(Vec::as_slice);
                let clean = rows.by_ref().take(examples.clean.len()).collect();
                let lists = examples.adversarial.iter();
                let adversarial = lists.map(|list| rows.by_ref().take(list.len()).collect()).collect();
                let how = Training { seed, ..Training::default() };
                let network = Network::train(planes.len(), *grid, &Examples { clean, adversarial }, &how)?;
                let scorer = Scorer::new(engine, &network.graph()?)?;
                Box::new(Networked { scorer, planes: planes.clone(), grid: *grid })
            }
        })
    }
}

/// Some of a row's planes.
pub(crate) fn picked(row: &[f32], planes: &[usize], grid: usize) -> Vec<f32> {
    let area = grid * grid;
    planes.iter().flat_map(|p| &row[p * area..(p + 1) * area]).copied().collect()
}

struct Value;

impl Judge for Value {
    fn scores(&mut self, rows: &[&[f32]]) -> Result<Vec<f64>> {
        Ok(rows.iter().map(|r| r.first().copied().unwrap_or_default().into()).collect())
    }
}

struct Networked {
    scorer: Scorer,
    planes: Vec<usize>,
    grid: usize,
}

impl Judge for Networked {
    fn scores(&mut self, rows: &[&[f32]]) -> Result<Vec<f64>> {
        let picked: Vec<Vec<f32>> = rows.iter().map(|row| picked(row, &self.planes, self.grid)).collect();
        self.scorer.scores(&picked.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }
}
