//! Tables of a benchmark on a dataset: means with 95 % intervals.

use anyhow::{Result, bail};
use candor::engine::EngineInfo;
use candor::model::ModelInfo;
use candor_eval::bench::report::DatasetInfo;
use candor_eval::bench::table::Table as Measured;
use candor_eval::check::Skipped;
use candor_report::table::Table;
use serde::Deserialize;

use super::{Sheet, not_defined, stem};

/// The fields of such a result that the tables need.
#[derive(Deserialize)]
pub struct Bench {
    model: ModelInfo,
    engine: EngineInfo,
    dataset: DatasetInfo,
    seed: u64,
    tables: Vec<Measured>,
    skipped: Vec<Skipped>,
}

/// `settings`: whether to show the choices of the tuning split. A row whose number of values differs from the number of columns is an
/// error: the file was changed.
pub fn sheet(bench: Bench, settings: bool) -> Result<Sheet> {
    for (table, row) in bench.tables.iter().flat_map(|t| t.rows.iter().map(move |row| (t, row))) {
        let (figures, columns) = (row.cells.len(), table.columns.len());
        if figures != columns {
            bail!(
                "the row '{}' of '{}' has {figures} figures for {columns} columns",
                row.method,
                table.title
            );
        }
    }
    let tables = bench.tables.iter().map(|measured| Table {
        title: format!("{}: {}", stem(&bench.model.path), measured.title),
        note: note(&bench, measured),
        ..measured.shown(settings)
    });
    Ok(Sheet { tables: tables.collect(), remark: not_defined(&bench.skipped) })
}

fn note(bench: &Bench, table: &Measured) -> String {
    let items = table.counts().map_or(0, |[_, most]| most);
    let Bench { engine, dataset, seed, .. } = bench;
    format!("{items} items, {} for tuning, {} {}, seed {seed}.", dataset.tuning, engine.name, engine.version)
}
