//! Detection of adversarial images by their hierarchical masks (book/src/reference/detector.md): the [`Detector`], its features
//! ([`features`]), its network ([`network`]) and how it is trained ([`training`]), the pairs of images for training ([`corpus`]), and
//! the detectors that it is compared with ([`representations`], [`scorers`]).
//!
//! A detector is two files in a folder: `detector.onnx`, a network from features to a probability, and `detector.json`, its card.

pub mod adaptive;
pub mod card;
pub mod corpus;
pub mod disturbances;
pub mod features;
pub mod network;
pub mod representations;
#[cfg(feature = "train")]
pub mod scorers;
#[cfg(feature = "train")]
pub mod training;

use std::path::Path;

use candor_graph::onnx::{self, Notes};

pub use card::{Card, Threshold};
pub use corpus::{AttackSpec, Corpus};
pub use features::{Extracted, Extractor, FeatureSettings};
pub use network::{CompiledNetwork, Layout, Network};

use crate::error::{Error, Result};
use candor::file;
use candor::model::Model;
use candor_report::atomic;
use sha2::{Digest, Sha256};

/// Maximum bytes of a card or a network.
const MOST_BYTES: u64 = 1 << 28;

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// Name of the network's file in a detector's folder.
pub const NETWORK_FILE: &str = "detector.onnx";
/// Name of the card's file.
pub const CARD_FILE: &str = "detector.json";

/// A trained detector for one model.
pub struct Detector {
    /// The model it is for, and its training data.
    pub card: Card,
    /// Computes its features.
    pub extractor: Extractor,
    network: CompiledNetwork,
}

/// The result of screening an image.
pub struct Screened {
    /// Probability, 0..=1, that it is adversarial, if half of all images were.
    pub score: f64,
    /// The masks and logits from which the score is computed.
    pub extracted: Extracted,
}

impl Detector {
    /// Compiles a detector for the model that it was trained for. `network`: the bytes of its ONNX file.
    ///
    /// # Errors
    /// [`Error::Detector`] for another model, or if network and card do not belong together.
    pub fn new(model: &Model, card: Card, network: &[u8]) -> Result<Self> {
        Detector::of(model, card, network, [CARD_FILE, NETWORK_FILE])
    }

    /// [`Detector::new`] with the names of the files, for errors.
    fn of(model: &Model, card: Card, network: &[u8], [card_file, network_file]: [&str; 2]) -> Result<Self> {
        if let Some(problem) = card.problem() {
            return Err(Error::Detector(format!("{card_file}: {problem}")));
        }
        if card.network_sha256.as_ref().is_some_and(|written| *written != sha256(network)) {
            return Err(Error::Detector(format!(
                "{network_file} is not the network that {card_file} was written with: damaged, or of another detector"
            )));
        }
        if card.model.sha256 != model.info.sha256 {
            return Err(Error::Detector(format!(
                "the detector was trained for {} (SHA-256 {}…), not for {}: train one for this model with `candor detect train`",
                card.model.path,
                card.model.sha256.get(..12).unwrap_or_default(),
                model.info.path
            )));
        }
        let extractor = Extractor::new(model, card.features.clone())?;
        let fail = |e| candor::error::Error::graph(network_file, e);
        let mut graph = onnx::load_named(network, network_file).map_err(fail)?.graph;
        candor_graph::shape::infer(&mut graph).map_err(fail)?;
        let network = CompiledNetwork::new(model.engine.as_ref(), &graph)?;
        let (takes, length) = (network.length(), extractor.layout().length());
        if takes != length {
            return Err(Error::Detector(format!(
                "{network_file} takes {takes} features, {card_file} says {length}: they do not belong together"
            )));
        }
        Ok(Detector { card, extractor, network })
    }

    /// Loads a detector from its folder.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file; or as [`Detector::new`].
    pub fn load(model: &Model, folder: &Path) -> Result<Self> {
        let read = |name: &str| {
            let path = folder.join(name);
            file::read(&path, MOST_BYTES).map_err(|e| Error::io(&path, e))
        };
        let path = folder.join(CARD_FILE);
        let card = serde_json::from_slice(&read(CARD_FILE)?);
        let card = card.map_err(|e| Error::io(&path, format!("not a detector's card: {e}")))?;
        let names = [CARD_FILE, NETWORK_FILE].map(|name| folder.join(name).display().to_string());
        Detector::of(model, card, &read(NETWORK_FILE)?, names.each_ref().map(String::as_str))
    }

    /// Screens preprocessed images (C·H·W values each).
    ///
    /// # Errors
    /// If the engine fails or a logit is not finite.
    pub fn screen(&mut self, model: &Model, images: &[&[f32]]) -> Result<Vec<Screened>> {
        let extracted = self.extractor.extract(model, images)?;
        let features: Vec<Vec<f32>> = extracted.iter().map(|e| self.extractor.row(e)).collect();
        let scores = self.network.scores(&features.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
        Ok(scores
            .into_iter()
            .zip(extracted)
            .map(|(score, extracted)| Screened { score, extracted })
            .collect())
    }
}

/// Writes a detector's two files into a folder, and the network's SHA-256 into its card; returns the network's bytes.
///
/// # Errors
/// [`Error::Io`] naming the file.
pub fn save(card: &mut Card, network: &Network, folder: &Path) -> Result<Vec<u8>> {
    std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
    let notes = Notes { doc: format!("screens inputs of {}", card.model.path), ..Notes::default() };
    let bytes = onnx::to_bytes_with(&network.graph()?, &notes)
        .map_err(|e| candor::error::Error::graph(NETWORK_FILE, e))?;
    card.network_sha256 = Some(sha256(&bytes));
    let text = serde_json::to_string_pretty(card).map_err(|e| Error::Detector(e.to_string()))? + "\n";
    for (name, bytes) in [(NETWORK_FILE, bytes.as_slice()), (CARD_FILE, text.as_bytes())] {
        atomic::write(&folder.join(name), bytes)?;
    }
    Ok(bytes)
}
