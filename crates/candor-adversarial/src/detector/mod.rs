//! Adversarial images told from clean ones by their hierarchical masks (METHOD section 6 in docs/method.md): [`Detector`], what it
//! sees ([`features`]), what it is ([`network`]) and how it learns ([`training`]), the pairs that it learns from ([`corpus`]), and what
//! it is compared with ([`views`], [`judges`]).
//!
//! A detector is two files in a folder: `detector.onnx`, a network from features to a probability, and `detector.json`, its card.

pub mod adaptive;
pub mod card;
pub mod corpus;
pub mod disturbances;
pub mod features;
#[cfg(feature = "train")]
pub mod judges;
pub mod network;
#[cfg(feature = "train")]
pub mod training;
pub mod views;

use std::path::Path;

use candor_graph::onnx::{self, Notes};

pub use card::{Card, Threshold};
pub use corpus::{AttackSpec, Corpus};
pub use features::{Extractor, FeatureSettings, Seen};
pub use network::{Layout, Network, Scorer};

use crate::error::{Error, Result};
use candor::model::Model;
use candor_report::atomic;

/// The network's file in a detector's folder.
pub const NETWORK_FILE: &str = "detector.onnx";
/// The card's file.
pub const CARD_FILE: &str = "detector.json";

/// A trained detector for one model.
pub struct Detector {
    /// What it is, and what it was trained on.
    pub card: Card,
    /// What it sees.
    pub extractor: Extractor,
    scorer: Scorer,
}

/// What a detector says of an image.
pub struct Screened {
    /// Probability, 0..=1, that it is adversarial, among images half of which are.
    pub score: f64,
    /// The masks that led to it.
    pub seen: Seen,
}

impl Detector {
    /// Compiles a detector for the model it was trained for. `network`: the bytes of its ONNX file.
    ///
    /// # Errors
    /// [`Error::Detector`] for another model, or if network and card do not belong together.
    pub fn new(model: &Model, card: Card, network: &[u8]) -> Result<Self> {
        if card.model.sha256 != model.info.sha256 {
            return Err(Error::Detector(format!(
                "the detector was trained for {} (SHA-256 {}…), not for {}: train one for this model with `candor detect train`",
                card.model.path,
                card.model.sha256.get(..12).unwrap_or_default(),
                model.info.path
            )));
        }
        let extractor = Extractor::new(model, card.features.clone())?;
        let mut graph =
            onnx::load_bytes(network).map_err(|e| candor::error::Error::graph(NETWORK_FILE, e))?.graph;
        candor_graph::shape::infer(&mut graph).map_err(|e| candor::error::Error::graph(NETWORK_FILE, e))?;
        let scorer = Scorer::new(model.engine.as_ref(), &graph)?;
        let (takes, length) = (scorer.length(), extractor.layout().length());
        if takes != length {
            return Err(Error::Detector(format!(
                "{NETWORK_FILE} takes {takes} features, {CARD_FILE} says {length}: they do not belong together"
            )));
        }
        Ok(Detector { card, extractor, scorer })
    }

    /// Reads a detector's folder.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file; or as [`Detector::new`].
    pub fn load(model: &Model, folder: &Path) -> Result<Self> {
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read(&path).map_err(|e| Error::io(&path, e))
        };
        let path = folder.join(CARD_FILE);
        let card = serde_json::from_slice(&read(CARD_FILE)?);
        let card = card.map_err(|e| Error::io(&path, format!("not a detector's card: {e}")))?;
        Detector::new(model, card, &read(NETWORK_FILE)?)
    }

    /// Screens preprocessed images (C·H·W values each).
    ///
    /// # Errors
    /// If the engine fails or a logit is not a finite number.
    pub fn screen(&mut self, model: &Model, images: &[&[f32]]) -> Result<Vec<Screened>> {
        let seen = self.extractor.look(model, images)?;
        let features: Vec<Vec<f32>> = seen.iter().map(|s| self.extractor.lay(s)).collect();
        let scores = self.scorer.scores(&features.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
        Ok(scores.into_iter().zip(seen).map(|(score, seen)| Screened { score, seen }).collect())
    }
}

/// Writes a detector's two files into a folder; returns the network's bytes.
///
/// # Errors
/// [`Error::Io`] naming the file.
pub fn save(card: &Card, network: &Network, folder: &Path) -> Result<Vec<u8>> {
    std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
    let notes = Notes { doc: format!("screens inputs of {}", card.model.path), ..Notes::default() };
    let bytes = onnx::to_bytes_with(&network.graph()?, &notes)
        .map_err(|e| candor::error::Error::graph(NETWORK_FILE, e))?;
    let text = serde_json::to_string_pretty(card).map_err(|e| Error::Detector(e.to_string()))? + "\n";
    for (name, bytes) in [(NETWORK_FILE, bytes.as_slice()), (CARD_FILE, text.as_bytes())] {
        atomic::write(&folder.join(name), bytes)?;
    }
    Ok(bytes)
}
