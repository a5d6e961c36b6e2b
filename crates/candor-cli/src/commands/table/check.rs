//! The tables of a sanity check.

use candor::engine::EngineInfo;
use candor::model::ModelInfo;
use candor_eval::check::Skipped;
use candor_eval::check::further::further;
use candor_eval::check::report::{Randomization, Shifted};
use candor_eval::check::table::{Checked, published};
use candor_report::table::Table;
use serde::Deserialize;

use super::{Sheet, not_defined, stem};
use crate::output;

/// The fields of such a result that the tables need.
#[derive(Deserialize)]
pub struct Check {
    model: ModelInfo,
    engine: EngineInfo,
    images: usize,
    methods: Vec<Checked>,
    #[serde(default)]
    input_shift: Vec<Shifted>,
    #[serde(default)]
    randomization: Vec<Randomization>,
    #[serde(default)]
    skipped: Vec<Skipped>,
}

pub fn sheet(check: &Check) -> Sheet {
    let photos = output::counted(check.images, "photo");
    let note = format!("{photos}, {} {}.", check.engine.name, check.engine.version);
    let table = published(stem(&check.model.path), note, &check.methods);
    let named = |t: Table| Table { title: format!("{}: {}", stem(&check.model.path), t.title), ..t };
    let further = further(&check.input_shift, &check.randomization).into_iter().map(named);
    let tables = std::iter::once(table).chain(further).collect();
    Sheet { tables, remark: not_defined(&check.skipped) }
}
