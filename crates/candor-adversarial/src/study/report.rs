//! The files of detection: `score.json` with a page of the masks behind each score; `detect.json` with a page of the results and
//! of clean and adversarial masks side by side.

use std::path::{Path, PathBuf};

use image::RgbImage;
use image::imageops::{FilterType, resize};
use serde::Serialize;

use super::page::{Page, score_page, study_page};
use crate::detector::{Card, Extracted, Extractor, FeatureSettings, Threshold};
use crate::study::Report;
use candor::engine::EngineInfo;
use candor::map::Map;
use candor::model::ModelInfo;
use candor_report::ReportError;
use candor_report::atomic;
use candor_report::figures::figure;
use candor_report::html;
use candor_report::paint::{Scale, overlay};
use candor_report::picture::Picture;
use candor_report::result::FailedImage;

/// Height and width of a picture on the page, in pixels.
const SIDE: u32 = 140;

/// The result of `candor detect score`.
#[derive(Clone, Debug, Serialize)]
pub struct ScoreResult {
    /// The model whose input was screened.
    pub model: ModelInfo,
    /// The engine that ran it.
    pub engine: EngineInfo,
    /// The detector's card.
    pub card: Card,
    /// The threshold used.
    pub threshold: Threshold,
    /// What its alarms mean, given the number of clean images: [`Threshold::claim`].
    pub claim: String,
    /// One entry per image.
    pub images: Vec<ScoredImage>,
    /// Images that could not be read, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<FailedImage>,
}

/// A screened image.
#[derive(Clone, Debug, Serialize)]
pub struct ScoredImage {
    /// Its file.
    pub path: String,
    /// The model's answer.
    pub answer: usize,
    /// Its name.
    pub name: String,
    /// Its probability.
    pub probability: f64,
    /// Probability, 0..=1, that the image is adversarial, if half of all images were.
    pub score: f64,
    /// Whether the score is above the threshold.
    pub alarm: bool,
    /// Log-odds above the floor for the answer, what its masks keep of them, and the same for the runner-up.
    pub evidence: [f64; 4],
    /// Change of the log-odds when the image is disturbed: by disturbance, for the answer and for the runner-up.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub moves: Vec<(&'static str, [f64; 2])>,
}

/// The result of `candor detect eval`.
#[derive(Debug, Serialize)]
pub struct DetectResult {
    /// The model.
    pub model: ModelInfo,
    /// The preprocessing.
    pub preprocessing: serde_json::Value,
    /// The engine that ran it.
    pub engine: EngineInfo,
    /// The dataset.
    pub dataset: String,
    /// SHA-256 of its list of samples.
    pub sha256: String,
    /// How features were computed.
    pub features: FeatureSettings,
    /// Seed of the split, of the attacks and of the training.
    pub seed: u64,
    /// Minimum number of passes of the networks' training over the clean images.
    pub epochs: usize,
    /// The results.
    #[serde(flatten)]
    pub report: Report,
}

/// An image with the masks of its answer and of the runner-up, drawn on one scale from 0 to 1.
#[derive(Debug, Serialize)]
pub struct Hierarchy {
    label: String,
    picture: Picture,
    answers: Vec<AnswerRow>,
}

#[derive(Debug, Serialize)]
struct AnswerRow {
    name: String,
    /// The answer or the runner-up.
    what: &'static str,
    evidence: String,
    kept: String,
    moves: Vec<String>,
    levels: Vec<LevelPicture>,
}

#[derive(Debug, Serialize)]
struct LevelPicture {
    name: String,
    picture: Picture,
}

impl Hierarchy {
    /// Draws the masks of a picture. `names`: those of the answer and of the runner-up.
    ///
    /// # Errors
    /// [`ReportError::Encode`] if a picture cannot be encoded.
    pub fn draw(
        label: &str,
        picture: &RgbImage,
        extractor: &Extractor,
        extracted: &Extracted,
        names: &[String; 2],
    ) -> Result<Self, ReportError> {
        let height = SIDE * picture.height() / picture.width().max(1);
        let small = resize(picture, SIDE, height.max(1), FilterType::Triangle);
        let whole = Map { height: 1, width: 1, data: vec![1.0] };
        let scale = Scale::common(&[&whole], Some(&whole), true);
        let evidence = extracted.evidence();
        let mut answers = vec![];
        for (q, learned) in [&extracted.predicted, &extracted.runner_up].into_iter().enumerate() {
            let mut levels = vec![];
            for (level, map) in extractor.levels().iter().zip(extractor.maps(learned)) {
                let alt = format!("mask of {} at {}", names[q], level.name);
                let picture = Picture::jpeg(&overlay(&small, &map, &scale), alt)?;
                levels.push(LevelPicture { name: level.name.clone(), picture });
            }
            let [there, kept] = [evidence[2 * q], evidence[2 * q + 1]].map(figure);
            let moves = extracted
                .moves()
                .into_iter()
                .map(|(name, by)| format!("{name} {}{}", if by[q] > 0.0 { "+" } else { "" }, figure(by[q])));
            answers.push(AnswerRow {
                name: names[q].clone(),
                what: ["the answer", "the runner-up"][q],
                evidence: there,
                kept,
                moves: moves.collect(),
                levels,
            });
        }
        Ok(Hierarchy {
            label: label.to_string(),
            picture: Picture::jpeg(&small, label.to_string())?,
            answers,
        })
    }
}

/// A clean image and its adversarial versions.
#[derive(Debug, Serialize)]
pub struct Pair {
    /// Name of the image.
    pub name: String,
    /// The clean one first.
    pub rows: Vec<Hierarchy>,
}

/// Writes `score.json` and `score.html`. `shown`: the masks of each image of the result; `command`: the command line, for the page.
///
/// # Errors
/// [`ReportError`] naming the file and the reason.
pub fn write_scores(
    folder: &Path,
    result: &ScoreResult,
    shown: &[Hierarchy],
    command: Option<&str>,
) -> Result<PathBuf, ReportError> {
    write(folder, "score", result, &score_page(result, shown, command))
}

/// Writes `detect.json` and `detect.html`. `command`: the command line, for the page.
///
/// # Errors
/// [`ReportError`] naming the file and the reason.
pub fn write_study(
    folder: &Path,
    result: &DetectResult,
    pairs: &[Pair],
    command: Option<&str>,
) -> Result<PathBuf, ReportError> {
    write(folder, "detect", result, &study_page(result, pairs, command))
}

fn write(
    folder: &Path,
    name: &str,
    result: &impl Serialize,
    page: &Page<'_>,
) -> Result<PathBuf, ReportError> {
    std::fs::create_dir_all(folder)
        .map_err(|reason| ReportError::Directory { path: folder.to_owned(), reason })?;
    let html = html::render("detect.html", include_str!("../template/detect.html"), page)?;
    let path = folder.join(format!("{name}.html"));
    atomic::write(&path, html.as_bytes())?;
    let json =
        serde_json::to_string_pretty(result).map_err(ReportError::encode("the result as JSON"))? + "\n";
    atomic::write(&folder.join(format!("{name}.json")), json.as_bytes())?;
    Ok(path)
}
