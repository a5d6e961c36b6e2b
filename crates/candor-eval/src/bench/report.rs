//! A benchmark's files: NAME.json, NAME.csv with each item's figures (with the feature `parquet` also NAME.parquet), and NAME.html.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::example::Example;
use super::page::PageView;
use super::table::{Plot, Table};
use super::values::{Value, values};
use crate::check::Skipped;
use candor::engine::EngineInfo;
use candor::model::ModelInfo;
use candor::parameters::MethodInfo;
use candor_report::ReportError;
use candor_report::atomic;
use candor_report::html;
use candor_report::result::FailedImage;

/// What a benchmark was run on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DatasetInfo {
    /// Its path as given.
    pub path: String,
    /// Number of items measured.
    pub items: usize,
    /// Number of tuning items: the first ones, on which settings were chosen and nothing is reported.
    pub tuning: usize,
}

/// The result of a benchmark: its figures, and all that is needed to reproduce it.
#[derive(Clone, Debug, Serialize)]
pub struct BenchResult {
    /// Name of the benchmark.
    pub benchmark: String,
    /// The model.
    pub model: ModelInfo,
    /// The preprocessing.
    pub preprocessing: serde_json::Value,
    /// The engine that ran it.
    pub engine: EngineInfo,
    /// The dataset.
    pub dataset: DatasetInfo,
    /// Seed of all random draws.
    pub seed: u64,
    /// The methods with all their parameters.
    pub methods: Vec<MethodInfo>,
    /// Tables of figures.
    pub tables: Vec<Table>,
    /// Curves.
    pub plots: Vec<Plot>,
    /// Items that could not be measured, and why.
    pub failed: Vec<FailedImage>,
    /// Methods that are not defined for the model.
    pub skipped: Vec<Skipped>,
}

impl BenchResult {
    /// Whether some figure is of too few items for a comparison.
    pub fn has_few(&self) -> bool {
        let cells = self.tables.iter().flat_map(|t| &t.rows).flat_map(|row| &row.cells);
        cells.flatten().any(|cell| cell.too_few)
    }
}

/// Writes the files into `directory`. `names`: names of the items; `command`: the command line, for the page.
///
/// # Errors
/// [`ReportError`] naming the file and the reason.
pub fn write(
    directory: &Path,
    result: &BenchResult,
    names: &dyn Fn(usize) -> String,
    examples: &[Example],
    command: Option<&str>,
) -> Result<PathBuf, ReportError> {
    let path = |extension: &str| directory.join(format!("{}.{extension}", result.benchmark));
    let json = serde_json::to_string_pretty(result).map_err(ReportError::encode("the result as JSON"))?;
    let values = values(&result.tables, names);
    atomic::write(&path("csv"), &csv(&values)?)?;
    #[cfg(feature = "parquet")]
    atomic::write(&path("parquet"), &super::parquet::bytes(&values)?)?;
    let view = PageView::new(result, examples, command);
    let html = html::render("bench.html", include_str!("../template/bench.html"), &view)?;
    atomic::write(&path("html"), html.as_bytes())?;
    // Last: if it is there, the other files are, too.
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
