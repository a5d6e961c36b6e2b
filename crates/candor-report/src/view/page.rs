//! The view of the page around the images: the table of images, and how to reproduce the run.

use image::RgbImage;
use image::imageops::{self, FilterType};
use serde::Serialize;

use super::ImageView;
use super::words;
use crate::error::ReportError;
use crate::picture::Picture;
use crate::recipe::{Document, Recipe};
use crate::result::{ExplainResult, FailedImage};
use candor::explanation::Verdict;

/// Side of a thumbnail in the table of images, in pixels.
const THUMBNAIL: u32 = 72;

/// A row of the table of images.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    number: usize,
    name: String,
    thumbnail: Picture,
    marks: String,
    answer: Option<(String, String)>,
    queries: Vec<RowQuery>,
}

#[derive(Debug, Serialize)]
struct RowQuery {
    method: String,
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
            method: query.method.clone(),
            name: query.name.clone(),
            rank: query.rank,
            verdict: query.verdict,
            ratio: query.ratio.clone(),
            warnings: query.warnings.len(),
        });
        Ok(Row {
            number: view.number,
            name: view.name.clone(),
            marks: view.marks.clone(),
            // The link beside it has the text.
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
    /// Number of methods.
    methods: usize,
    evidence: usize,
    weak: usize,
    no_evidence: usize,
    not_judged: usize,
    /// Why some queries are not judged, one sentence per reason.
    why_not_judged: Vec<&'static str>,
    warnings: usize,
    failed: &'a [FailedImage],
    recipe: Recipe,
    /// Whether the method has masks, and whether its maps can be negative: decides what the reader's guide explains.
    masks: bool,
    signed: bool,
    version: &'static str,
}

impl<'a> PageView<'a> {
    pub(crate) fn new(
        result: &'a ExplainResult,
        rows: &'a [serde_json::Value],
        command: Option<&str>,
    ) -> Self {
        let queries = || result.images.iter().flat_map(|image| &image.queries);
        let of = |verdict| queries().filter(move |query| query.verdict == verdict);
        let methods =
            if result.methods.is_empty() { vec![&result.method] } else { result.methods.iter().collect() };
        let file = &result.model;
        let recipe = Recipe::new(file, &result.engine, &result.preprocessing, result.seed);
        PageView {
            title: file.path.rsplit(['/', '\\']).next().unwrap_or(&file.path).to_owned(),
            rows,
            questions: queries().count() / methods.len(),
            methods: methods.len(),
            evidence: of(Verdict::Evidence).count(),
            weak: of(Verdict::Weak).count(),
            no_evidence: of(Verdict::NoEvidence).count(),
            not_judged: of(Verdict::NotJudged).count(),
            why_not_judged: words::why_not_judged(of(Verdict::NotJudged)),
            warnings: queries().map(|query| query.warnings.len()).sum(),
            failed: &result.failed,
            recipe: recipe.command(command).methods(methods).documents(documents()),
            masks: queries().any(|query| query.kept.is_some()),
            signed: queries().any(|query| query.map.min < 0.0),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

fn documents() -> [Document; 5] {
    [
        Document::new("How to read a map", "book/src/explanation/reading-a-map.md"),
        Document::new("Warnings and what to do", "book/src/how-to/warnings.md"),
        Document::new("How the masks are learned", "book/src/explanation/evidence.md"),
        Document::new("Methods", "book/src/reference/methods.md"),
        Document::new("What the sanity check found", "book/src/results/sanity-check.md"),
    ]
}
