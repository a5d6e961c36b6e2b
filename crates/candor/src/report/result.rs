//! The result of `explain` as plain data: exactly the fields of the command line's JSON contract.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::map::Map;

/// One run of `explain`: what was asked of which model, and what came out.
#[derive(Clone, Debug, Serialize)]
pub struct ExplainResult {
    /// The model, by content.
    pub model: ModelInfo,
    /// How images became input.
    pub preprocessing: serde_json::Value,
    /// What executed the graphs.
    pub engine: EngineInfo,
    /// The explanation method and every parameter it used.
    pub method: MethodInfo,
    /// The seed from which all randomness of the run flows.
    pub seed: u64,
    /// One entry per image that could be explained, in the order given.
    pub images: Vec<ImageResult>,
    /// Images that failed, with the reason (exit code 3).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<FailedImage>,
}

/// The model of a run, identified by content.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ModelInfo {
    /// Path as given.
    pub path: String,
    /// SHA-256 of the file, lower-case hex.
    pub sha256: String,
    /// Operator set of the file (default domain).
    pub opset: i64,
    /// Producer name and version from the file; may be empty.
    pub producer: String,
}

/// The engine of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EngineInfo {
    /// `rten` or `onnxruntime`.
    pub name: String,
    /// Version of the engine.
    pub version: String,
    /// Threads it was allowed.
    pub threads: usize,
}

/// The method of a run.
#[derive(Clone, Debug, Serialize)]
pub struct MethodInfo {
    /// Name as in `candor methods`.
    pub name: String,
    /// Every parameter with its value, defaults included.
    pub parameters: BTreeMap<String, serde_json::Value>,
}

/// An image that could not be explained.
#[derive(Clone, Debug, Serialize)]
pub struct FailedImage {
    /// Path as given.
    pub path: String,
    /// One line that says what and where.
    pub error: String,
}

/// What was found for one image.
#[derive(Clone, Debug, Serialize)]
pub struct ImageResult {
    /// Path as given.
    pub path: String,
    /// The five classes with the highest score, best first (fewer if the model has fewer).
    pub top: Vec<TopClass>,
    /// One entry per queried class, in the order asked.
    pub queries: Vec<QueryResult>,
}

/// One of the model's answers.
#[derive(Clone, Debug, Serialize)]
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

/// The explanation of one class on one image.
#[derive(Clone, Debug, Serialize)]
pub struct QueryResult {
    /// Index of the class.
    pub class_id: usize,
    /// Label, or `class N`.
    pub class_name: String,
    /// Rank of the class among the model's scores; 1 is the model's answer.
    pub rank: usize,
    /// Logit of the class on the unmasked image.
    pub score: f64,
    /// Softmax probability, 0..=1.
    pub probability: f64,
    /// Log-odds o_c = S_c − logsumexp of the other logits, on the unmasked image.
    pub log_odds: f64,
    /// Log-odds of the class when every mask is zero (nothing of the image is left); `null` in JSON for methods
    /// that mask nothing.
    pub null_log_odds: Option<f64>,
    /// Score and log-odds of the masked model at the returned masks; `null` for methods that mask nothing.
    pub kept: Option<Kept>,
    /// The fused map.
    pub map: MapInfo,
    /// The masks of each level, finest first; empty for methods without levels.
    pub levels: Vec<LevelInfo>,
    /// Maps at other λ, from the smallest, if the path was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lambda_path: Vec<PathInfo>,
    /// What it cost.
    pub cost: Cost,
    /// `evidence` or `no-evidence`.
    pub verdict: Verdict,
    /// Anything a reader must know before believing the map; each says what to do.
    pub warnings: Vec<String>,
}

/// What the masked model still answers.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Kept {
    /// Logit of the class under the masks.
    pub score: f64,
    /// Log-odds of the class under the masks.
    pub log_odds: f64,
}

/// A map's figures and files.
#[derive(Clone, Debug, Serialize)]
pub struct MapInfo {
    /// `[height, width]`.
    pub shape: [usize; 2],
    /// Smallest raw value.
    pub min: f64,
    /// Largest raw value.
    pub max: f64,
    /// Mean over pixels of the positive part, raw.
    pub mass: f64,
    /// Raw magnitudes, path relative to the output directory.
    pub npz: Option<String>,
    /// The map alone, painted; path relative to the output directory.
    pub png: Option<String>,
    /// The map over the photo; path relative to the output directory.
    pub overlay: Option<String>,
}

/// The mask at another λ; its map is `path_0_map`, `path_1_map`, … of the NPZ file.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PathInfo {
    /// Weight of the L1 term.
    pub lambda: f64,
    /// Mean over pixels of the positive part of the map, raw.
    pub mass: f64,
    /// What the masked model still answers.
    pub kept: Kept,
}

/// One level's mask.
#[derive(Clone, Debug, Serialize)]
pub struct LevelInfo {
    /// Name of the masked value in the graph.
    pub value: String,
    /// Shape of the mask, `[channels, height, width]`; channels is 1 for spatial masks.
    pub shape: [usize; 3],
    /// Mean of the mask, 0..=1.
    pub mass: f64,
}

/// Cost of one query, in passes of one image through the network.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Cost {
    /// Forward passes.
    pub forward: u64,
    /// Backward passes.
    pub backward: u64,
    /// Wall-clock seconds (the only field that differs between equal runs).
    pub seconds: f64,
}

/// Whether the map can be read as evidence for the class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Something in the image supports the class.
    Evidence,
    /// Nothing in the image supports the class; the empty map is the answer.
    NoEvidence,
}

/// One explained image with its arrays: what the report writers need beside [`ImageResult`].
#[derive(Clone, Debug)]
pub struct ExplainedImage {
    /// The photo as the model sees it (cropped as the model crops), at display resolution.
    pub photo: image::RgbImage,
    /// Figures; `result.queries` runs parallel to `queries`. File paths are filled in by the writers.
    pub result: ImageResult,
    /// Arrays of each query.
    pub queries: Vec<ExplainedQuery>,
}

/// Arrays of one query.
#[derive(Clone, Debug)]
pub struct ExplainedQuery {
    /// The fused map on the model's input grid.
    pub map: Map,
    /// Each level's mask, finest first.
    pub levels: Vec<LevelMask>,
    /// The fused maps at other λ, from the smallest, if they were asked for.
    pub path: Vec<Map>,
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
