//! `page.json`: the data for the page.

use std::collections::HashMap;

use candor::image::Preprocessing;
use candor::mask::stepwise::Plan;
use serde::Serialize;
use serde_json::Value;

/// The content of `page.json`.
#[derive(Serialize)]
pub(super) struct Description<'a> {
    pub candor: &'static str,
    pub model: About<'a>,
    pub preprocessing: &'a Preprocessing,
    pub formula: String,
    pub labels: Vec<String>,
    pub weights: &'static str,
    pub webgpu: bool,
    pub network: String,
    pub methods: Vec<Explains>,
    pub colors: Colors,
    pub samples: Vec<String>,
    pub check: Checked,
    pub files: Vec<String>,
}

#[derive(Serialize)]
pub(super) struct About<'a> {
    pub name: String,
    pub sha256: &'a str,
    pub classes: usize,
    /// Names of the graphs' inputs and outputs.
    pub image: &'a str,
    pub class: &'static str,
    pub logits: &'static str,
    pub map: &'static str,
    /// Whether classes exclude each other (softmax) or not (one sigmoid each).
    pub exclusive: bool,
}

#[derive(Serialize)]
pub(super) struct Explains {
    pub name: String,
    pub summary: &'static str,
    pub source: &'static str,
    pub signed: bool,
    pub parameters: Value,
    #[serde(flatten)]
    pub how: How,
}

/// How the page runs a method.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum How {
    /// Graphs, run one after the other.
    Stages(Vec<Run>),
    /// A search whose steps the page runs.
    Search(Box<Search>),
}

/// Files of a search: see [`Stepwise`].
#[derive(Serialize)]
pub(super) struct Search {
    pub before: Option<String>,
    pub answer: String,
    pub step: String,
    /// The layers up to the coarsest level, and those after it.
    pub features: Option<String>,
    pub tail: Option<String>,
    pub plan: Plan,
}

/// A stage as the page runs it: see [`candor_graph::stages`].
#[derive(Serialize)]
pub(super) struct Run {
    pub file: String,
    #[serde(flatten)]
    pub turns: Option<Turned>,
}

#[derive(Serialize)]
pub(super) struct Turned {
    pub turns: usize,
    pub turn: Option<String>,
    pub carried: Vec<HashMap<&'static str, String>>,
    pub captured: HashMap<String, String>,
}

/// Colours from the smallest value of a scale to the largest, as `#rrggbb`.
#[derive(Serialize)]
pub(super) struct Colors {
    pub positive: Vec<String>,
    pub signed: Vec<String>,
}

/// Candor's own results on the check's photo.
#[derive(Serialize)]
pub(super) struct Checked {
    pub photo: &'static str,
    pub class: usize,
    pub logits: String,
    /// Each method with the file of its map, float32, height × width of the input.
    pub maps: Vec<(String, String)>,
}
