//! The sanity check's files: `check.json`, `check.csv` with a line for every map, and `check.html` with the maps side by side.

use std::path::{Path, PathBuf};

use image::RgbImage;
use image::imageops::{FilterType, resize};
use serde::Serialize;

use crate::check::input_shift::InputShift;
use crate::check::randomize::Stage;
use crate::check::vanishing::LevelGradient;
use crate::check::{Kind, LEAST_AUROC, MOST_MEDIAN, MOST_P95, MethodCheck, Skipped, caution, same_figure};
use candor::engine::EngineInfo;
use candor::map::Map;
use candor::model::ModelInfo;
use candor_report::ReportError;
use candor_report::atomic;
use candor_report::figures::figure;
use candor_report::html;
use candor_report::names;
use candor_report::paint::{Scale, overlay};
use candor_report::picture::Picture;

/// Name of the page.
pub const HTML_FILE: &str = "check.html";
/// Pixels a side of a map's picture on the page.
const SIDE: u32 = 120;

/// The result of `candor check`.
#[derive(Clone, Debug, Serialize)]
pub struct CheckResult {
    /// The model.
    pub model: ModelInfo,
    /// How photos became input.
    pub preprocessing: serde_json::Value,
    /// What executed it.
    pub engine: EngineInfo,
    /// The seed of random classes and of methods.
    pub seed: u64,
    /// Number of images.
    pub images: usize,
    /// Images that could not be read, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<candor_report::result::FailedImage>,
    /// What each method showed.
    pub methods: Vec<MethodCheck>,
    /// Gradients of the classes at the image and at each level; empty where the model has no gradient.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gradients: Vec<LevelGradient>,
    /// Input-shift invariance by method, if it was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub input_shift: Vec<Shifted>,
    /// Parameter randomisation by method, if it was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub randomization: Vec<Randomization>,
    /// Methods that are not defined for the model.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Skipped>,
}

/// A method's cascade of randomised weights.
#[derive(Clone, Debug, Serialize)]
pub struct Randomization {
    /// Name of the method.
    pub method: String,
    /// From few random layers to all.
    pub stages: Vec<Stage>,
}

/// How far a method's maps move with the photo's values.
#[derive(Clone, Debug, Serialize)]
pub struct Shifted {
    /// Name of the method.
    pub method: String,
    /// What was measured.
    #[serde(flatten)]
    pub shift: InputShift,
}

/// An image of the page: the photo, the classes asked for, and a row of pictures for each method.
#[derive(Debug, Serialize)]
pub struct Gallery {
    name: String,
    photo: Picture,
    classes: Vec<String>,
    rows: Vec<GalleryRow>,
    #[serde(skip)]
    small: RgbImage,
}

#[derive(Debug, Serialize)]
struct GalleryRow {
    method: String,
    pictures: Vec<Picture>,
}

impl Gallery {
    /// An image without maps yet. `view` is the photo as the model sees it.
    ///
    /// # Errors
    /// [`ReportError::Encode`] if the picture cannot be encoded.
    pub fn new(name: &str, view: &RgbImage) -> Result<Self, ReportError> {
        let small = resize(view, SIDE, SIDE * view.height() / view.width().max(1), FilterType::Triangle);
        let photo = Picture::jpeg(&small, name.to_string())?;
        Ok(Gallery { name: name.to_string(), photo, classes: vec![], rows: vec![], small })
    }

    /// Adds a method's maps, painted on the scale of its own map of top-1. Maps and names of the classes, which are the same
    /// for all methods, in the order of [`Kind::ALL`].
    ///
    /// # Errors
    /// As [`Gallery::new`].
    pub fn add(&mut self, method: &str, classes: Vec<String>, maps: &[Map]) -> Result<(), ReportError> {
        self.classes = classes;
        let all: Vec<&Map> = maps.iter().collect();
        let scale = Scale::common(&all, maps.first(), false);
        let picture = |(map, class): (&Map, &String)| {
            let alt = format!("map of {class} by {method}");
            Picture::jpeg(&overlay(&self.small, map, &scale), alt)
        };
        let pictures = maps.iter().zip(&self.classes).map(picture).collect::<Result<_, _>>()?;
        self.rows.push(GalleryRow { method: method.to_string(), pictures });
        Ok(())
    }
}

/// Writes the three files into `directory`, which is made if need be.
///
/// # Errors
/// [`ReportError`] naming the file and the reason.
pub fn write(directory: &Path, result: &CheckResult, galleries: &[Gallery]) -> Result<PathBuf, ReportError> {
    std::fs::create_dir_all(directory)
        .map_err(|reason| ReportError::Directory { path: directory.to_owned(), reason })?;
    let json = serde_json::to_string_pretty(result).map_err(ReportError::encode("check.json"))?;
    atomic::write(&directory.join("check.json"), (json + "\n").as_bytes())?;
    atomic::write(&directory.join("check.csv"), &csv(result)?)?;
    let page = directory.join(HTML_FILE);
    let view = PageView::new(result, galleries);
    let html = html::render(HTML_FILE, include_str!("../template/check.html"), &view)?;
    atomic::write(&page, html.as_bytes())?;
    Ok(page)
}

/// Columns of `check.csv`: the method, and the fields of [`Row`](crate::check::Row) in their order.
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
        // A line of another length than the columns is an error of the writer.
        writer.serialize((&m.method.name, row)).map_err(fail())?;
    }
    writer.into_inner().map_err(|e| ReportError::encode("check.csv")(e.to_string()))
}

/// What the template is given: text alone.
#[derive(Serialize)]
struct PageView<'r> {
    title: String,
    images: usize,
    passed: usize,
    /// Why the verdicts may not stand, and what to know of methods that have a null; empty where there is nothing to say.
    caution: String,
    same_figure: String,
    rule: String,
    columns: Vec<&'static str>,
    methods: Vec<MethodView>,
    kinds: Vec<&'static str>,
    gradients: Vec<GradientView>,
    shifts: Vec<[String; 4]>,
    randomization: Vec<RandomizationView>,
    skipped: &'r [Skipped],
    galleries: &'r [Gallery],
    facts: Vec<(&'static str, String)>,
}

#[derive(Serialize)]
struct MethodView {
    name: String,
    passed: bool,
    /// Why the verdict may not stand; empty if it may.
    caution: String,
    /// For top-2 and each absent kind: the median ratio, its interval and 95th percentile.
    ratios: Vec<[String; 3]>,
    spearman: String,
    ssim: String,
    components: String,
    auroc: String,
    gain: String,
    passes: String,
    reasons: Vec<String>,
}

#[derive(Serialize)]
struct RandomizationView {
    method: String,
    stages: Vec<[String; 5]>,
}

/// A level: norm and cosine of each kind.
#[derive(Serialize)]
struct GradientView {
    value: String,
    cells: Vec<[String; 2]>,
}

impl<'r> PageView<'r> {
    fn new(result: &'r CheckResult, galleries: &'r [Gallery]) -> Self {
        PageView {
            title: names::file(&result.model.path),
            images: result.images,
            passed: result.methods.iter().filter(|m| m.passed).count(),
            caution: caution(result.images).unwrap_or_default(),
            same_figure: same_figure(&result.methods).unwrap_or_default(),
            rule: format!(
                "for each kind of absent class the median of mass ÷ top-1's mass is at most {MOST_MEDIAN} and the 95th \
                 percentile at most {MOST_P95}, and the AUROC of telling top-1 classes from absent ones by mass is at least \
                 {LEAST_AUROC}"
            ),
            columns: Kind::ALL.iter().map(|k| k.name()).collect(),
            methods: result.methods.iter().map(MethodView::new).collect(),
            kinds: Kind::ALL[1..].iter().map(|k| k.name()).collect(),
            gradients: result.gradients.iter().map(GradientView::new).collect(),
            shifts: result.input_shift.iter().map(shift_cells).collect(),
            randomization: result.randomization.iter().map(RandomizationView::new).collect(),
            skipped: &result.skipped,
            galleries,
            facts: vec![
                ("Model", format!("{} (SHA-256 {})", result.model.path, result.model.sha256)),
                ("Preprocessing", result.preprocessing.to_string()),
                ("Engine", format!("{} {}", result.engine.name, result.engine.version)),
                ("Seed", result.seed.to_string()),
            ],
        }
    }
}

fn optional(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_string(), figure)
}

fn shift_cells(s: &Shifted) -> [String; 4] {
    let InputShift { difference, ssim, spearman, .. } = s.shift;
    [s.method.clone(), optional(difference), optional(ssim), optional(spearman)]
}

impl GradientView {
    fn new(g: &LevelGradient) -> Self {
        let cell = |kind: &Kind| {
            let figures = g.queries.get(kind);
            [optional(figures.and_then(|f| f.ratio)), optional(figures.and_then(|f| f.cosine))]
        };
        GradientView { value: g.value.clone(), cells: Kind::ALL[1..].iter().map(cell).collect() }
    }
}

impl MethodView {
    fn new(m: &MethodCheck) -> Self {
        let ratio = |kind: Kind| match m.queries.get(&kind).and_then(|f| f.ratio) {
            Some(s) => [
                figure(s.median),
                format!("{} to {}", figure(s.interval[0]), figure(s.interval[1])),
                figure(s.p95),
            ],
            None => ["–", "–", "–"].map(String::from),
        };
        let random = m.queries.get(&Kind::Random);
        let gain = Kind::ALL.iter().filter_map(|k| m.queries.get(k)?.gain).reduce(f64::max);
        let count = m.rows.len().max(1) as u64;
        MethodView {
            name: m.method.name.clone(),
            passed: m.passed,
            caution: m.caution.clone().unwrap_or_default(),
            ratios: [Kind::Top2, Kind::Median, Kind::Random, Kind::Lowest].map(ratio).to_vec(),
            spearman: optional(random.and_then(|f| f.spearman).map(|s| s.median)),
            ssim: optional(random.and_then(|f| f.ssim).map(|s| s.median)),
            components: optional(random.and_then(|f| f.components)),
            auroc: optional(m.existence_auroc_mass),
            gain: optional(gain),
            passes: format!("{} + {}", m.forward.div_ceil(count), m.backward.div_ceil(count)),
            reasons: m.reasons.clone(),
        }
    }
}

impl RandomizationView {
    fn new(r: &Randomization) -> Self {
        let stage = |s: &Stage| {
            [
                s.layers.to_string(),
                optional(s.ssim),
                optional(s.spearman),
                optional(s.entropy_rise),
                optional(s.smooth_ssim),
            ]
        };
        RandomizationView { method: r.method.clone(), stages: r.stages.iter().map(stage).collect() }
    }
}
