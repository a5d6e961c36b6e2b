//! The sanity check's files: `check.json`, `check.csv` with one line per map, and `check.html` with a card for each method.

use std::path::{Path, PathBuf};

use image::RgbImage;
use image::imageops::{FilterType, resize};
use serde::{Deserialize, Serialize};

use super::page::PageView;
use crate::check::input_shift::InputShift;
use crate::check::randomize::Stage;
use crate::check::vanishing::LevelGradient;
use crate::check::{MethodCheck, Skipped};
use candor::engine::EngineInfo;
use candor::map::Map;
use candor::model::ModelInfo;
use candor_report::ReportError;
use candor_report::atomic;
use candor_report::html;
use candor_report::paint::{Scale, overlay};
use candor_report::picture::Picture;

/// Name of the page.
pub const HTML_FILE: &str = "check.html";
/// Height and width of a map's picture on the page, in pixels.
const SIDE: u32 = 120;

/// The result of `candor check`.
#[derive(Clone, Debug, Serialize)]
pub struct CheckResult {
    /// The model.
    pub model: ModelInfo,
    /// The preprocessing.
    pub preprocessing: serde_json::Value,
    /// The engine that ran it.
    pub engine: EngineInfo,
    /// The seed of random classes and of methods.
    pub seed: u64,
    /// Number of images.
    pub images: usize,
    /// Images that could not be read, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<candor_report::result::FailedImage>,
    /// The check of each method.
    pub methods: Vec<MethodCheck>,
    /// Gradients of the classes at the image and at each level; empty if the model has no gradient.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gradients: Vec<LevelGradient>,
    /// Input-shift invariance by method, if requested.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub input_shift: Vec<Shifted>,
    /// Parameter randomisation by method, if requested.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub randomization: Vec<Randomization>,
    /// Methods that are not defined for the model.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Skipped>,
}

/// A method's cascade of randomised weights.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Randomization {
    /// Name of the method.
    pub method: String,
    /// From one randomised layer to all.
    pub stages: Vec<Stage>,
}

/// How much a method's maps change with a shift of the input.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Shifted {
    /// Name of the method.
    pub method: String,
    /// The measurements.
    #[serde(flatten)]
    pub shift: InputShift,
}

/// An image on the page: the photo, the classes asked for, and a row of pictures for each method.
#[derive(Debug)]
pub struct Gallery {
    pub(super) name: String,
    pub(super) photo: Picture,
    pub(super) classes: Vec<String>,
    pub(super) rows: Vec<GalleryRow>,
    small: RgbImage,
}

/// The painted maps of one method.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GalleryRow {
    pub(super) method: String,
    /// Names of the classes.
    classes: Vec<String>,
    pub(super) pictures: Vec<Picture>,
}

impl Gallery {
    /// An image without maps. `view` is the photo as the model sees it.
    ///
    /// # Errors
    /// [`ReportError::Encode`] if the picture cannot be encoded.
    pub fn new(name: &str, view: &RgbImage) -> Result<Self, ReportError> {
        let small = resize(view, SIDE, SIDE * view.height() / view.width().max(1), FilterType::Triangle);
        let photo = Picture::jpeg(&small, name.to_string())?;
        Ok(Gallery { name: name.to_string(), photo, classes: vec![], rows: vec![], small })
    }

    /// A method's maps, painted on the scale of its own map of top-1. The maps and the names of the classes, which are the same
    /// for all methods, are in the order of [`Kind::ALL`](crate::check::Kind::ALL).
    ///
    /// # Errors
    /// As [`Gallery::new`].
    pub fn painted(
        &self,
        method: &str,
        classes: Vec<String>,
        maps: &[Map],
    ) -> Result<GalleryRow, ReportError> {
        let all: Vec<&Map> = maps.iter().collect();
        let scale = Scale::common(&all, maps.first(), false);
        let picture = |(map, class): (&Map, &String)| {
            let alt = format!("map of {class} by {method}");
            Picture::jpeg(&overlay(&self.small, map, &scale), alt)
        };
        let pictures = maps.iter().zip(&classes).map(picture).collect::<Result<_, _>>()?;
        Ok(GalleryRow { method: method.to_string(), classes, pictures })
    }

    /// Adds a method's maps.
    pub fn add(&mut self, row: GalleryRow) {
        self.classes = row.classes.clone();
        self.rows.push(row);
    }
}

/// Writes the three files into `directory`, which is created if it is missing. `command`: the command line, for the page.
///
/// # Errors
/// [`ReportError`] naming the file and the reason.
pub fn write(
    directory: &Path,
    result: &CheckResult,
    galleries: &[Gallery],
    command: Option<&str>,
) -> Result<PathBuf, ReportError> {
    std::fs::create_dir_all(directory)
        .map_err(|reason| ReportError::Directory { path: directory.to_owned(), reason })?;
    let json = serde_json::to_string_pretty(result).map_err(ReportError::encode("check.json"))?;
    atomic::write(&directory.join("check.json"), (json + "\n").as_bytes())?;
    atomic::write(&directory.join("check.csv"), &csv(result)?)?;
    let page = directory.join(HTML_FILE);
    let view = PageView::new(result, galleries, command);
    let html = html::render(HTML_FILE, include_str!("../template/check.html"), &view)?;
    atomic::write(&page, html.as_bytes())?;
    Ok(page)
}

/// Columns of `check.csv`: the method, and the fields of [`Row`](crate::check::Row) in order.
const COLUMNS: [&str; 16] = [
    "method",
    "image",
    "kind",
    "class_id",
    "rank",
    "mass",
    "max",
    "ratio",
    "spearman",
    "ssim",
    "iou_5",
    "iou_20",
    "total_variation",
    "entropy",
    "components",
    "gain",
];

fn csv(result: &CheckResult) -> Result<Vec<u8>, ReportError> {
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(vec![]);
    let fail = || ReportError::encode("check.csv");
    writer.write_record(COLUMNS).map_err(fail())?;
    for (m, row) in result.methods.iter().flat_map(|m| m.rows.iter().map(move |row| (m, row))) {
        // A line whose length differs from the header's is an error of the writer.
        writer.serialize((&m.method.name, row)).map_err(fail())?;
    }
    writer.into_inner().map_err(|e| ReportError::encode("check.csv")(e.to_string()))
}
