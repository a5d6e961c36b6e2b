//! The view of the page around the images: the table of images, and how to get the run again.

use image::RgbImage;
use image::imageops::{self, FilterType};
use serde::Serialize;

use super::ImageView;
use super::words;
use crate::error::ReportError;
use crate::picture::Picture;
use crate::result::{ExplainResult, FailedImage};
use candor::explanation::Verdict;

/// Side of a thumbnail in the table of images.
const THUMBNAIL: u32 = 72;

/// A row of the table of images.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    number: usize,
    name: String,
    thumbnail: Picture,
    answer: Option<(String, String)>,
    queries: Vec<RowQuery>,
}

#[derive(Debug, Serialize)]
struct RowQuery {
    name: String,
    rank: usize,
    verdict: &'static str,
    ratio: String,
    warnings: usize,
}

impl Row {
    pub(crate) fn new(view: &ImageView, photo: &RgbImage) -> Result<Self, ReportError> {
        let side = photo.width().min(photo.height());
        let (x, y) = ((photo.width() - side) / 2, (photo.height() - side) / 2);
        let square = imageops::crop_imm(photo, x, y, side, side).to_image();
        let small = imageops::resize(&square, THUMBNAIL, THUMBNAIL, FilterType::CatmullRom);
        let queries = view.queries.iter().map(|query| RowQuery {
            name: query.name.clone(),
            rank: query.rank,
            verdict: query.verdict,
            ratio: query.ratio.clone(),
            warnings: query.warnings.len(),
        });
        Ok(Row {
            number: view.number,
            name: view.name.clone(),
            // The link beside it says the same.
            thumbnail: Picture::jpeg(&small, String::new())?,
            answer: view.top.first().map(|top| (top.name.clone(), top.probability.clone())),
            queries: queries.collect(),
        })
    }
}

/// The page around the images.
#[derive(Debug, Serialize)]
pub(crate) struct PageView<'a> {
    title: String,
    rows: &'a [serde_json::Value],
    questions: usize,
    evidence: usize,
    no_evidence: usize,
    not_judged: usize,
    /// Why some are not judged, a sentence a reason.
    why_not_judged: Vec<&'static str>,
    warnings: usize,
    failed: &'a [FailedImage],
    method: String,
    parameters: Vec<(String, String)>,
    preprocessing: Vec<(String, String)>,
    model: Vec<(&'static str, String)>,
    /// Whether the method masks, and whether its maps can be negative: what the reader's guide has to explain.
    masks: bool,
    signed: bool,
    version: &'static str,
}

impl<'a> PageView<'a> {
    pub(crate) fn new(result: &'a ExplainResult, rows: &'a [serde_json::Value]) -> Self {
        let queries = || result.images.iter().flat_map(|image| &image.queries);
        let of = |verdict| queries().filter(move |query| query.verdict == verdict);
        let file = &result.model;
        let producer = if file.producer.is_empty() { "not stated" } else { &file.producer };
        let threads = result.engine.threads;
        PageView {
            title: file.path.rsplit(['/', '\\']).next().unwrap_or(&file.path).to_owned(),
            rows,
            questions: queries().count(),
            evidence: of(Verdict::Evidence).count(),
            no_evidence: of(Verdict::NoEvidence).count(),
            not_judged: of(Verdict::NotJudged).count(),
            why_not_judged: words::why_not_judged(of(Verdict::NotJudged)),
            warnings: queries().map(|query| query.warnings.len()).sum(),
            failed: &result.failed,
            method: result.method.name.clone(),
            parameters: result.method.parameters.iter().map(|(k, v)| (k.clone(), plain(v))).collect(),
            preprocessing: match &result.preprocessing {
                serde_json::Value::Object(fields) => {
                    fields.iter().map(|(k, v)| (k.clone(), plain(v))).collect()
                }
                serde_json::Value::Null => Vec::new(),
                other => vec![("preprocessing".to_owned(), plain(other))],
            },
            model: vec![
                ("Model", file.path.clone()),
                ("SHA-256", file.sha256.clone()),
                ("Operator set", file.opset.to_string()),
                ("Producer", producer.to_owned()),
                ("Engine", format!("{} {}", result.engine.name, result.engine.version)),
                ("Threads", threads.to_string()),
                ("Seed", result.seed.to_string()),
            ],
            masks: queries().any(|query| query.kept.is_some()),
            signed: queries().any(|query| query.map.min < 0.0),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

/// A parameter as a reader wants it: strings without quotes, lists with commas, everything else as JSON.
fn plain(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}
