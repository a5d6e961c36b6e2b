//! Rows of representations, computed once and cached in files; a file's name is a hash of everything that its rows depend on.

use candor::progress::Progress;
use std::path::Path;

use image::RgbImage;
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use sha2::{Digest, Sha256};

use crate::detector::representations::Representation;
use crate::error::{Error, Result};
use candor::file;
use candor::model::Model;
use candor_report::atomic;

/// Pictures per batch.
const AT_ONCE: usize = 16;
const ROWS: &str = "rows";
/// Maximum bytes of a file of rows.
const MOST_BYTES: u64 = 1 << 36;

/// Rows of pictures, read from `folder` or computed and stored there. `progress` receives the number of rows that are ready.
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
    if path.exists() {
        progress.steps(pictures.len() as u64)?;
        let bytes = file::read(&path, MOST_BYTES).map_err(|e| Error::io(&path, e))?;
        let kept = decoded(&bytes).filter(|kept| kept.len() == pictures.len());
        return kept.ok_or_else(|| Error::io(&path, "it does not hold these rows; delete it"));
    }
    let mut all = vec![];
    for part in pictures.chunks(AT_ONCE) {
        all.extend(representation.rows(model, part)?);
        progress.steps(part.len() as u64)?;
    }
    atomic::write(&path, &encoded(&all).map_err(|e| Error::io(&path, e))?)?;
    Ok(all)
}

/// Rows of equal length as the float32 tensor `rows` of a safetensors file.
fn encoded(rows: &[Vec<f32>]) -> std::result::Result<Vec<u8>, safetensors::SafeTensorError> {
    let bytes: Vec<u8> = rows.iter().flatten().flat_map(|v| v.to_le_bytes()).collect();
    let shape = vec![rows.len(), rows.first().map_or(0, Vec::len)];
    serialize([(ROWS, TensorView::new(Dtype::F32, shape, &bytes)?)], None)
}

/// The rows of such a file; `None` for another file.
fn decoded(bytes: &[u8]) -> Option<Vec<Vec<f32>>> {
    let file = SafeTensors::deserialize(bytes).ok()?;
    let kept = file.tensor(ROWS).ok()?;
    let &[count, length] = kept.shape() else { return None };
    if kept.dtype() != Dtype::F32 {
        return None;
    }
    let (values, _) = kept.data().as_chunks();
    let mut values = values.iter().map(|b| f32::from_le_bytes(*b));
    Some((0..count).map(|_| values.by_ref().take(length).collect()).collect())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back() {
        let rows = vec![vec![1.5, f32::MIN_POSITIVE, -0.0], vec![2.0, 3.0, f32::MAX]];
        let bytes = encoded(&rows).unwrap();
        assert_eq!(decoded(&bytes), Some(rows));
        assert_eq!(decoded(&bytes[..bytes.len() - 1]), None);
    }

    /// Files written by candle, which earlier versions used.
    #[test]
    fn files_of_earlier_versions_are_read() {
        let header = br#"{"rows":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]}}     "#;
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header);
        bytes.extend([1.0f32, -2.5].into_iter().flat_map(f32::to_le_bytes));
        assert_eq!(decoded(&bytes), Some(vec![vec![1.0], vec![-2.5]]));
    }
}
