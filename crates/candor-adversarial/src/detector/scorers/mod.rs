//! Scorers: from a row of a representation (see [`super::representations`]) to a score; higher means more likely adversarial. One
//! file per scorer.

mod forest;
mod lid;
mod linear;
mod mahalanobis;

use super::network::{CompiledNetwork, Layout, Network};
use super::training::{Examples, Training};
use crate::error::{Error, Result};
use candor::engine::Engine;
use candor::progress::Progress;

/// A trained scorer.
pub trait Scorer: Send {
    /// Scores of rows.
    ///
    /// # Errors
    /// If an engine fails.
    fn scores(&mut self, rows: &[&[f32]]) -> Result<Vec<f64>>;

    /// The network, if the scorer is one.
    fn network(&self) -> Option<&Network> {
        None
    }
}

/// Which scorer a detector uses for its representation.
#[derive(Clone, Debug)]
pub enum ScorerKind {
    /// The row's first number is the score; nothing is trained.
    Value,
    /// Logistic regression.
    Logistic,
    /// Random forest.
    Forest,
    /// Mahalanobis distances of segments of these lengths, by the answer that follows them, weighted by logistic regression.
    Mahalanobis(Vec<usize>),
    /// Local intrinsic dimensionality of segments of these lengths, weighted by logistic regression.
    Lid(Vec<usize>),
    /// The network, on some planes and numbers of the row.
    Network(Pick),
}

impl ScorerKind {
    /// Trains on examples. `how`: settings for networks; the other scorers use only its seed.
    ///
    /// # Errors
    /// [`crate::error::Error::Detector`] if there is nothing to train on or a library fails.
    pub fn train(
        &self,
        engine: &dyn Engine,
        examples: &Examples<'_>,
        how: &Training,
        progress: &mut dyn Progress,
    ) -> Result<Box<dyn Scorer>> {
        Ok(match self {
            ScorerKind::Value => Box::new(FirstValue),
            ScorerKind::Logistic => Box::new(linear::Linear::train(examples)?),
            ScorerKind::Forest => Box::new(forest::Forest::train(examples, how.seed)?),
            ScorerKind::Mahalanobis(segments) => {
                Box::new(mahalanobis::Mahalanobis::train(segments, examples)?)
            }
            ScorerKind::Lid(segments) => Box::new(lid::Lid::train(segments, examples, how.seed)?),
            ScorerKind::Network(pick) => {
                let own = examples.clean.iter().chain(examples.adversarial.iter().flatten());
                let own: Vec<Vec<f32>> = own.map(|row| pick.of(row)).collect();
                let mut rows = own.iter().map(Vec::as_slice);
                let clean = rows.by_ref().take(examples.clean.len()).collect();
                let lists = examples.adversarial.iter();
                let adversarial = lists.map(|list| rows.by_ref().take(list.len()).collect()).collect();
                let examples = Examples { clean, adversarial };
                let network = Network::train(engine, pick.layout(), &examples, how, progress)?;
                let compiled = CompiledNetwork::new(engine, &network.graph()?)?;
                Box::new(NetworkScorer { network, compiled, pick: pick.clone() })
            }
        })
    }
}

/// A selection of planes and numbers of a row.
#[derive(Clone, Debug)]
pub struct Pick {
    /// Layout of the whole row.
    pub whole: Layout,
    /// Indices of the planes.
    pub planes: Vec<usize>,
    /// Indices of the numbers.
    pub numbers: Vec<usize>,
}

impl Pick {
    /// Layout of the selection.
    pub fn layout(&self) -> Layout {
        Layout { planes: self.planes.len(), grid: self.whole.grid, numbers: self.numbers.len() }
    }

    /// The selection from a row.
    pub fn of(&self, row: &[f32]) -> Vec<f32> {
        let area = self.whole.grid * self.whole.grid;
        let planes = self.planes.iter().flat_map(|p| &row[p * area..(p + 1) * area]);
        planes.chain(self.numbers.iter().map(|n| &row[self.whole.area() + n])).copied().collect()
    }
}

struct FirstValue;

impl Scorer for FirstValue {
    fn scores(&mut self, rows: &[&[f32]]) -> Result<Vec<f64>> {
        let value = |row: &&[f32]| {
            row.first()
                .map(|&v| v.into())
                .ok_or_else(|| Error::Detector("a row without a value to score".into()))
        };
        rows.iter().map(value).collect()
    }
}

struct NetworkScorer {
    network: Network,
    compiled: CompiledNetwork,
    pick: Pick,
}

impl Scorer for NetworkScorer {
    fn scores(&mut self, rows: &[&[f32]]) -> Result<Vec<f64>> {
        let picked: Vec<Vec<f32>> = rows.iter().map(|row| self.pick.of(row)).collect();
        self.compiled.scores(&picked.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }

    fn network(&self) -> Option<&Network> {
        Some(&self.network)
    }
}
