//! What a method finds for one class of a photo.

use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::map::Map;
use crate::methods::attribution::Attribution;
use crate::passes::Passes;

/// What the masked model still answers.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Kept {
    /// Logit of the class under the masks.
    pub score: f64,
    /// Log-odds of the class under the masks.
    pub log_odds: f64,
}

/// One level's mask with its values.
#[derive(Clone, Debug)]
pub struct LevelMask {
    /// Name of the masked value in the graph.
    pub value: String,
    /// `[channels, height, width]`; channels is 1 for spatial masks.
    pub shape: [usize; 3],
    /// The mask, C×H×W row-major, 0..=1 unless the cap was lifted.
    pub data: Vec<f32>,
    /// Mean over channels, H×W.
    pub mean: Map,
}

/// What a mask is at another λ.
#[derive(Clone, Debug)]
pub struct PathPoint {
    /// Weight of the L1 term.
    pub lambda: f64,
    /// The map, on the scale of the map that it belongs to.
    pub map: Map,
    /// What the masked model answers.
    pub kept: Kept,
}

/// A method's answer for one class.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The map on the model's input grid, raw magnitudes.
    pub map: Map,
    /// What the map was made of, for methods that attribute to single input channels.
    pub attribution: Option<Attribution>,
    /// The masks, for methods that mask; finest first.
    pub levels: Vec<LevelMask>,
    /// Log-odds on the unmasked image as the method counts them (some leave rivals out); `None`: over all classes.
    pub log_odds: Option<f64>,
    /// The null log-odds n_c: log-odds with every mask zero, raised to chance, −ln(K−1), where the method's floor is chance.
    pub null_log_odds: Option<f64>,
    /// Log-odds above the null log-odds, at least 0.
    pub evidence: Option<f64>,
    /// What the masked model answers.
    pub kept: Option<Kept>,
    /// Maps at other λ, from the smallest, where they were asked for.
    pub path: Vec<PathPoint>,
    /// What it cost.
    pub passes: Passes,
    /// What a reader must know.
    pub warnings: Vec<String>,
}

impl Explanation {
    /// That of a method which has a map and no more.
    pub fn of_map(map: Map, passes: Passes) -> Self {
        Explanation {
            map,
            attribution: None,
            levels: vec![],
            log_odds: None,
            null_log_odds: None,
            evidence: None,
            kept: None,
            path: vec![],
            passes,
            warnings: vec![],
        }
    }

    /// That of a method which attributes to input channels.
    pub fn of_attribution(attribution: Attribution) -> Self {
        let map = attribution.map();
        Explanation { attribution: Some(attribution), ..Explanation::of_map(map, Passes::default()) }
    }
}

/// Cost of one query, in passes of one image through the network.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Cost {
    /// Forward passes.
    pub forward: u64,
    /// Backward passes.
    pub backward: u64,
    /// Wall-clock seconds (the only field that differs between equal runs).
    pub seconds: f64,
}

/// Whether the map can be read as evidence for the class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Something in the image supports the class.
    Evidence,
    /// Nothing in the image supports the class; the empty map is the answer.
    NoEvidence,
}

/// One of the model's answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TopClass {
    /// Index of the class.
    pub class_id: usize,
    /// Label, or `class N` where no labels were given.
    pub name: String,
    /// Logit.
    pub score: f64,
    /// Softmax probability, 0..=1.
    pub probability: f64,
}

/// The explanation of one class of one photo.
#[derive(Clone, Debug)]
pub struct ClassExplanation {
    /// Index of the class.
    pub class_id: usize,
    /// Label, or `class N`.
    pub class_name: String,
    /// Rank of the class among the model's scores; 1 is the model's answer.
    pub rank: usize,
    /// Logit of the class on the unmasked photo.
    pub score: f64,
    /// Probability, 0..=1.
    pub probability: f64,
    /// Log-odds o_c = S_c − logsumexp of the other logits, on the unmasked photo.
    pub log_odds: f64,
    /// The null log-odds n_c: of the class when every mask is zero, but not below chance (−ln(K−1), unless `floor=null`); evidence begins
    /// above it. `None` for methods without a null.
    pub null_log_odds: Option<f64>,
    /// Log-odds beyond the null's, at least 0; `None` for methods without a null.
    pub evidence: Option<f64>,
    /// What the masked model answers; `None` for methods that mask nothing.
    pub kept: Option<Kept>,
    /// The map on the model's input grid, raw magnitudes.
    pub map: Map,
    /// The mask of each level, finest first; empty for methods without levels.
    pub levels: Vec<LevelMask>,
    /// Maps at other λ, from the smallest, if they were asked for.
    pub lambda_path: Vec<PathPoint>,
    /// What it cost.
    pub cost: Cost,
    /// Whether the map can be read as evidence.
    pub verdict: Verdict,
    /// What a reader must know before believing the map; each says what to do.
    pub warnings: Vec<String>,
}

/// The explanations of one photo.
#[derive(Clone, Debug)]
pub struct PhotoExplanation {
    /// Path as given.
    pub path: String,
    /// The photo as the model sees it (cropped as the model crops), at display resolution.
    pub photo: RgbImage,
    /// The five classes with the highest score, best first (fewer if the model has fewer).
    pub top: Vec<TopClass>,
    /// One entry a class asked for, in the order asked.
    pub classes: Vec<ClassExplanation>,
}
