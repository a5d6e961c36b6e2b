//! The table of a sanity check.

use candor::engine::EngineInfo;
use candor::model::ModelInfo;
use candor_eval::check::Skipped;
use candor_eval::check::table::{Checked, published};
use serde::Deserialize;

use super::{Sheet, not_defined, stem};

/// What the table needs of such a result.
#[derive(Deserialize)]
pub struct Check {
    model: ModelInfo,
    engine: EngineInfo,
    images: usize,
    methods: Vec<Checked>,
    #[serde(default)]
    skipped: Vec<Skipped>,
}

pub fn sheet(check: &Check) -> Sheet {
    let note = format!("{} photos, {} {}.", check.images, check.engine.name, check.engine.version);
    let table = published(stem(&check.model.path), note, &check.methods);
    Sheet { tables: vec![table], remark: not_defined(&check.skipped) }
}
