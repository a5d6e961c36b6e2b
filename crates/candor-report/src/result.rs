//! The result of `explain` as plain data: exactly the fields of the command line's JSON contract.

use candor::Explainer;
use candor::engine::EngineInfo;
use candor::explanation::{
    ClassExplanation, Cost, Judged, Kept, LevelMask, PhotoExplanation, TopClass, Verdict,
};
use candor::map::Map;
use candor::model::ModelInfo;
use candor::package::Sources;
use candor::parameters::MethodInfo;
use serde::{Deserialize, Serialize};

use crate::ReportError;

/// One run of `explain`: the request and its results.
#[derive(Clone, Debug, Serialize)]
pub struct ExplainResult {
    /// The model, identified by its content.
    pub model: ModelInfo,
    /// The preprocessing.
    pub preprocessing: serde_json::Value,
    /// Where preprocessing and labels came from.
    pub sources: Sources,
    /// What a user of the model must know, one line each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The engine that ran the graphs.
    pub engine: EngineInfo,
    /// The explanation method and every parameter it used.
    pub method: MethodInfo,
    /// All methods of the run if it has several: `method` is the first of them, and each query names its own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<MethodInfo>,
    /// The seed of all random numbers of the run.
    pub seed: u64,
    /// One entry per image that could be explained, in the order given.
    pub images: Vec<ImageResult>,
    /// Images that failed, with the reason (exit code 3).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<FailedImage>,
}

impl ExplainResult {
    /// The result of an explainer without any image: what is needed to reproduce it.
    ///
    /// # Errors
    /// [`ReportError::Encode`]; valid preprocessing never causes it.
    pub fn of(explainer: &Explainer, seed: u64) -> Result<Self, ReportError> {
        let classifier = &explainer.classifier;
        let preprocessing = serde_json::to_value(&classifier.preprocessing);
        Ok(ExplainResult {
            model: classifier.model.info.clone(),
            preprocessing: preprocessing.map_err(ReportError::encode("the preprocessing"))?,
            sources: classifier.sources.clone(),
            notes: classifier.model.notes.clone(),
            engine: classifier.model.engine.info(),
            method: explainer.method_info(),
            methods: vec![],
            seed,
            images: vec![],
            failed: vec![],
        })
    }
}

/// An image that could not be explained.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FailedImage {
    /// Path as given.
    pub path: String,
    /// One line that names the problem and the file.
    pub error: String,
}

/// The result for one image.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ImageResult {
    /// Path as given.
    pub path: String,
    /// How the photo was prepared, one clause per step: decoding, resizing, cropping.
    #[serde(default)]
    pub preparation: Vec<String>,
    /// The five classes with the highest score, best first (fewer if the model has fewer).
    pub top: Vec<TopClass>,
    /// One entry per queried class, in the order requested; with several methods one entry per class and method, class by class.
    pub queries: Vec<QueryResult>,
}

/// The explanation of one class on one image.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct QueryResult {
    /// The method, if a run has several.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub method: Option<String>,
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
    /// The null log-odds n_c: log-odds of the class with every mask zero (nothing of the image is left), but not below chance; `null` in
    /// JSON for methods without a null.
    pub null_log_odds: Option<f64>,
    /// Log-odds above the null log-odds, at least 0, of the photo or of the window that shows the class best, whichever is higher; `null`
    /// for methods without a null.
    #[serde(default)]
    pub evidence: Option<f64>,
    /// What shows the class best, in which window, and what fraction of absent classes shows as much: `ground`, `window`, `p_value`,
    /// `calibrated`, `discovery`; `null` for methods that do not evaluate windows.
    #[serde(default)]
    pub judged: Option<Judged>,
    /// Weight λ of the masks' L1 term with which they were found; `null` for methods without masks.
    #[serde(default)]
    pub lambda: Option<f64>,
    /// Score and log-odds of the masked model with the returned masks; `null` for methods without masks.
    pub kept: Option<Kept>,
    /// The fused map.
    pub map: MapInfo,
    /// The masks of each level, finest first; empty for methods without levels.
    pub levels: Vec<LevelInfo>,
    /// Maps at other λ, smallest first, if the path was requested.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub lambda_path: Vec<PathInfo>,
    /// What the explanation cost.
    pub cost: Cost,
    /// `evidence`, `weak`, `no-evidence` or, if there is no null or the mask lost the class, `not-judged`.
    pub verdict: Verdict,
    /// What a reader must know before trusting the map; each warning says what to do.
    pub warnings: Vec<String>,
}

/// Statistics and files of a map.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MapInfo {
    /// `[height, width]`.
    pub shape: [usize; 2],
    /// Smallest raw value.
    pub min: f64,
    /// Largest raw value.
    pub max: f64,
    /// Mean over pixels of the positive part, raw.
    pub mass: f64,
    /// File of the raw magnitudes; path relative to the output directory.
    pub npz: Option<String>,
    /// File of the painted map alone; path relative to the output directory.
    pub png: Option<String>,
    /// File of the map over the photo; path relative to the output directory.
    pub overlay: Option<String>,
}

/// The mask at another λ; its map is `path_0_map`, `path_1_map`, … of the NPZ file.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct PathInfo {
    /// Weight λ of the L1 term.
    pub lambda: f64,
    /// Mean over pixels of the positive part of the map, raw.
    pub mass: f64,
    /// Scores of the masked model.
    pub kept: Kept,
}

/// One level's mask.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LevelInfo {
    /// Name of the masked value in the graph.
    pub value: String,
    /// Shape of the mask, `[channels, height, width]`; channels is 1 for spatial masks.
    pub shape: [usize; 3],
    /// Mean of the mask, 0..=1.
    pub mass: f64,
}

/// One explained image with its arrays: what the report writers need besides [`ImageResult`].
#[derive(Clone, Debug)]
pub struct ExplainedImage {
    /// The part of the photo that the model sees, in the photo's own aspect ratio at display resolution.
    pub photo: image::RgbImage,
    /// The photo on the model's input grid.
    pub seen: image::RgbImage,
    /// The result; `result.queries` corresponds to `queries`. The writers fill in the paths of files.
    pub result: ImageResult,
    /// Arrays of each query.
    pub queries: Vec<ExplainedQuery>,
}

/// Arrays of one query.
#[derive(Clone, Debug)]
pub struct ExplainedQuery {
    /// The fused map on the model's input grid.
    pub map: Map,
    /// The map of a class with weak evidence, which is not painted.
    pub weak_map: Option<Map>,
    /// Each level's mask, finest first.
    pub levels: Vec<LevelMask>,
    /// The fused maps at other λ, smallest first, if requested.
    pub path: Vec<Map>,
}

impl From<PhotoExplanation> for ExplainedImage {
    fn from(e: PhotoExplanation) -> Self {
        let (figures, arrays) = e.classes.into_iter().map(split).unzip();
        let result = ImageResult { path: e.path, preparation: e.preparation, top: e.top, queries: figures };
        ExplainedImage { photo: e.photo, seen: e.seen, result, queries: arrays }
    }
}

impl ExplainedImage {
    /// Combines the results of several methods, each with its name, for the same image: class by class, and for each class method by
    /// method. `None` if there are none.
    pub fn of_methods(all: Vec<(String, ExplainedImage)>) -> Option<Self> {
        let mut classes: Vec<usize> = vec![];
        let mut found = vec![];
        let mut merged: Option<ExplainedImage> = None;
        for (name, mut image) in all {
            let figures = std::mem::take(&mut image.result.queries);
            for (mut figures, arrays) in figures.into_iter().zip(std::mem::take(&mut image.queries)) {
                figures.method = Some(name.clone());
                if !classes.contains(&figures.class_id) {
                    classes.push(figures.class_id);
                }
                found.push((figures, arrays));
            }
            merged.get_or_insert(image);
        }
        found.sort_by_key(|(figures, _)| classes.iter().position(|&c| c == figures.class_id));
        let mut merged = merged?;
        (merged.result.queries, merged.queries) = found.into_iter().unzip();
        Some(merged)
    }

    /// The methods of its queries, in order; a single `None` if the run has one method.
    pub(crate) fn methods(&self) -> Vec<Option<&str>> {
        let mut methods = vec![];
        for query in &self.result.queries {
            if !methods.contains(&query.method.as_deref()) {
                methods.push(query.method.as_deref());
            }
        }
        methods
    }
}

/// Splits a class's explanation into its result and its arrays.
fn split(e: ClassExplanation) -> (QueryResult, ExplainedQuery) {
    let figures = QueryResult {
        method: None,
        class_id: e.class_id,
        class_name: e.class_name,
        rank: e.rank,
        score: e.score,
        probability: e.probability,
        log_odds: e.log_odds,
        null_log_odds: e.null_log_odds,
        evidence: e.evidence,
        judged: e.judged,
        lambda: e.lambda,
        kept: e.kept,
        map: MapInfo::of(&e.map),
        levels: e
            .levels
            .iter()
            .map(|l| LevelInfo { value: l.value.clone(), shape: l.shape, mass: l.mean.mass() })
            .collect(),
        lambda_path: e
            .lambda_path
            .iter()
            .map(|p| PathInfo { lambda: p.lambda, mass: p.map.mass(), kept: p.kept })
            .collect(),
        cost: e.cost,
        verdict: e.verdict,
        warnings: e.warnings,
    };
    let path = e.lambda_path.into_iter().map(|p| p.map).collect();
    (figures, ExplainedQuery { map: e.map, weak_map: e.weak_map, levels: e.levels, path })
}
