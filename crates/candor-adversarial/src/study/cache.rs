//! Rows of representations, computed once and cached in files; a file's name is a hash of everything that its rows depend on.

use candor::progress::Progress;
use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor as Array};
use image::RgbImage;
use sha2::{Digest, Sha256};

use crate::detector::representations::Representation;
use crate::error::{Error, Result};
use candor::model::Model;

/// Pictures in one batch.
const AT_ONCE: usize = 16;
const ROWS: &str = "rows";

/// Rows of pictures, read from `folder` or computed and kept there. `progress` gets how many are ready.
pub(super) fn rows(
    representation: &mut dyn Representation,
    model: &Model,
    pictures: &[&RgbImage],
    folder: &Path,
    progress: &mut dyn Progress,
) -> Result<Vec<Vec<f32>>> {
    if pictures.is_empty() {
        return Ok(vec![]);
    }
    std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
    let path = folder.join(format!("{}.safetensors", key(representation, model, pictures)));
    let fail = |e: candle_core::Error| Error::io(&path, e);
    if path.exists() {
        progress.steps(pictures.len() as u64)?;
        let kept = candle_core::safetensors::load(&path, &Device::Cpu).map_err(fail)?;
        let kept = kept.get(ROWS).ok_or_else(|| Error::io(&path, "it holds no rows; delete it"))?;
        return kept.to_vec2().map_err(fail);
    }
    let mut all = vec![];
    for part in pictures.chunks(AT_ONCE) {
        all.extend(representation.rows(model, part)?);
        progress.steps(part.len() as u64)?;
    }
    let length = all.first().map_or(0, Vec::len);
    let array = Array::from_vec(all.concat(), (all.len(), length), &Device::Cpu).map_err(fail)?;
    let file = tempfile::NamedTempFile::new_in(folder).map_err(|e| Error::io(folder, e))?;
    candle_core::safetensors::save(&HashMap::from([(ROWS, array)]), file.path()).map_err(fail)?;
    file.persist(&path).map_err(|e| Error::io(&path, e))?;
    Ok(all)
}

fn key(representation: &dyn Representation, model: &Model, pictures: &[&RgbImage]) -> String {
    let engine = model.engine.info();
    let mut hash = Sha256::new();
    hash.update(format!("{} {} {}", env!("CARGO_PKG_VERSION"), engine.name, engine.version));
    hash.update(&model.info.sha256);
    hash.update(representation.describe().to_string());
    pictures.iter().for_each(|p| hash.update(p.as_raw()));
    hash.finalize().iter().take(16).map(|b| format!("{b:02x}")).collect()
}
