//! A benchmark's files: NAME.json, NAME.csv with each item's figures (with the feature `parquet` NAME.parquet, too), and NAME.html.

use std::path::{Path, PathBuf};

use image::RgbImage;
use image::imageops::{FilterType, resize};
use serde::{Deserialize, Serialize};

use super::values::{Value, values};
use crate::bench::Shown;
use crate::bench::table::{Curve, Plot, Table, too_few};
use crate::check::Skipped;
use candor::engine::EngineInfo;
use candor::map::Map;
use candor::model::ModelInfo;
use candor::parameters::MethodInfo;
use candor_report::ReportError;
use candor_report::atomic;
use candor_report::figures::figure;
use candor_report::html;
use candor_report::names;
use candor_report::paint::{Scale, overlay};
use candor_report::picture::Picture;
use candor_report::result::FailedImage;
use candor_report::table::{self as drawn, View};

/// Pixels a side of an example's picture.
const SIDE: u32 = 132;

/// What a benchmark was run on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DatasetInfo {
    /// Its path as given.
    pub path: String,
    /// Items measured.
    pub items: usize,
    /// Of them, the first ones, on which settings were chosen and nothing is reported.
    pub tuning: usize,
}

/// The result of a benchmark: all that is needed to get it again, and what it found.
#[derive(Clone, Debug, Serialize)]
pub struct BenchResult {
    /// Name of the benchmark.
    pub benchmark: String,
    /// The model.
    pub model: ModelInfo,
    /// How photos became input.
    pub preprocessing: serde_json::Value,
    /// What executed it.
    pub engine: EngineInfo,
    /// The data.
    pub dataset: DatasetInfo,
    /// Seed of all draws.
    pub seed: u64,
    /// The methods with all their parameters.
    pub methods: Vec<MethodInfo>,
    /// Figures.
    pub tables: Vec<Table>,
    /// Curves.
    pub plots: Vec<Plot>,
    /// Items that could not be measured, and why.
    pub failed: Vec<FailedImage>,
    /// Methods that are not defined for the model.
    pub skipped: Vec<Skipped>,
}

impl BenchResult {
    /// Whether some figure is of too few items to be compared.
    pub fn has_few(&self) -> bool {
        let cells = self.tables.iter().flat_map(|t| &t.rows).flat_map(|row| &row.cells);
        cells.flatten().any(|cell| cell.too_few)
    }
}

/// A method's best or worst item, drawn.
#[derive(Debug, Serialize)]
pub struct Example {
    method: String,
    kind: &'static str,
    item: String,
    figure: String,
    pictures: Vec<(String, Picture)>,
}

impl Example {
    /// Draws an item: the picture and each map on the scale of the first. `kind`: best or worst; `value`: its figure.
    ///
    /// # Errors
    /// [`ReportError::Encode`] if a picture cannot be encoded.
    pub fn draw(
        method: &str,
        (kind, item, value): (&'static str, &str, f64),
        shown: &Shown,
    ) -> Result<Self, ReportError> {
        let view = &shown.picture;
        let small: RgbImage =
            resize(view, SIDE, SIDE * view.height() / view.width().max(1), FilterType::Triangle);
        let maps: Vec<&Map> = shown.maps.iter().map(|(_, m)| m).collect();
        let scale = Scale::common(&maps, maps.first().copied(), false);
        let mut pictures = vec![("picture".to_string(), Picture::jpeg(&small, item.to_string())?)];
        for (name, map) in &shown.maps {
            let alt = format!("map of {name} by {method}");
            pictures.push((name.clone(), Picture::jpeg(&overlay(&small, map, &scale), alt)?));
        }
        Ok(Example { method: method.into(), kind, item: item.into(), figure: figure(value), pictures })
    }
}

/// Writes the four files into `directory`. `names`: the items'.
///
/// # Errors
/// [`ReportError`] naming the file and the reason.
pub fn write(
    directory: &Path,
    result: &BenchResult,
    names: &dyn Fn(usize) -> String,
    examples: &[Example],
) -> Result<PathBuf, ReportError> {
    let path = |extension: &str| directory.join(format!("{}.{extension}", result.benchmark));
    let json = serde_json::to_string_pretty(result).map_err(ReportError::encode("the result as JSON"))?;
    let values = values(&result.tables, names);
    atomic::write(&path("csv"), &csv(&values)?)?;
    #[cfg(feature = "parquet")]
    atomic::write(&path("parquet"), &super::parquet::bytes(&values)?)?;
    let view = PageView::new(result, examples);
    let html = html::render("bench.html", include_str!("../template/bench.html"), &view)?;
    atomic::write(&path("html"), html.as_bytes())?;
    // Last, so that whoever finds it finds the others.
    atomic::write(&path("json"), (json + "\n").as_bytes())?;
    Ok(path("html"))
}

fn csv(values: &[Value<'_>]) -> Result<Vec<u8>, ReportError> {
    let mut writer = csv::Writer::from_writer(vec![]);
    for value in values {
        writer.serialize(value).map_err(ReportError::encode("the table as CSV"))?;
    }
    writer.into_inner().map_err(|e| ReportError::encode("the table as CSV")(e.to_string()))
}

/// What the template is given: text and coordinates.
#[derive(Serialize)]
struct PageView<'r> {
    title: String,
    benchmark: &'r str,
    items: usize,
    tuning: usize,
    /// The methods of the first table.
    methods: usize,
    /// Why some figures are grey; empty if none is.
    few: String,
    tables: Vec<View>,
    plots: Vec<PlotView<'r>>,
    examples: &'r [Example],
    failed: &'r [FailedImage],
    skipped: &'r [Skipped],
    facts: Vec<(&'static str, String)>,
}

#[derive(Serialize)]
struct PlotView<'r> {
    title: &'r str,
    x: &'r str,
    y: &'r str,
    curves: Vec<CurveView<'r>>,
}

#[derive(Serialize)]
struct CurveView<'r> {
    method: &'r str,
    colour: String,
    /// Points of an SVG polyline, the unit square being 300 × 300 with y upwards.
    points: String,
}

impl<'r> PageView<'r> {
    fn new(result: &'r BenchResult, examples: &'r [Example]) -> Self {
        PageView {
            title: names::file(&result.model.path),
            benchmark: &result.benchmark,
            items: result.dataset.items,
            tuning: result.dataset.tuning,
            methods: result.tables.first().map_or(0, |t| t.rows.len()),
            few: if result.has_few() { too_few() } else { String::new() },
            tables: result.tables.iter().map(view).collect(),
            plots: result.plots.iter().map(PlotView::new).collect(),
            examples,
            failed: &result.failed,
            skipped: &result.skipped,
            facts: vec![
                ("Model", format!("{} (SHA-256 {})", result.model.path, result.model.sha256)),
                ("Dataset", result.dataset.path.clone()),
                ("Preprocessing", result.preprocessing.to_string()),
                ("Engine", format!("{} {}", result.engine.name, result.engine.version)),
                ("Seed", result.seed.to_string()),
            ],
        }
    }
}

/// A table whose title says of how many items it is.
fn view(table: &Table) -> View {
    View::from(&drawn::Table { title: table.title_with_count(), ..table.shown(true) })
}

impl<'r> PlotView<'r> {
    fn new(plot: &'r Plot) -> Self {
        let count = plot.curves.len().max(1);
        let curve = |(i, c): (usize, &'r Curve)| {
            let colour = colorous::SINEBOW.eval_rational(i, count);
            let point = |[x, y]: &[f64; 2]| format!("{:.1},{:.1}", 300.0 * x, 300.0 * (1.0 - y));
            CurveView {
                method: &c.method,
                colour: format!("#{colour:x}"),
                points: c.points.iter().map(point).collect::<Vec<_>>().join(" "),
            }
        };
        PlotView {
            title: &plot.title,
            x: &plot.x,
            y: &plot.y,
            curves: plot.curves.iter().enumerate().map(curve).collect(),
        }
    }
}
