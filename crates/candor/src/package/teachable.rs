//! Exports of Teachable Machine: `labels.txt` with a number before each name, and `metadata.json` of its TensorFlow.js form.

use std::path::Path;

use serde_json::Value;

use super::properties::OfFile;
use super::{MOST_BYTES, PackageError, Recipe, json};
use crate::file::read_text;
use crate::image::{Preprocessing, Preset, ResizeMode};
use crate::labels::Labels;

const LABELS: &str = "labels.txt";
const METADATA: &str = "metadata.json";

/// Labels and preprocessing of an export: the central square of the photo, scaled to −1..1.
pub(super) fn read(folder: &Path) -> Result<OfFile, PackageError> {
    let metadata = json(&folder.join(METADATA)).ok().flatten().filter(|m| m.get("tmVersion").is_some());
    let names = metadata.as_ref().and_then(|m| m.get("labels")?.as_array().cloned());
    let mut labels = names.map(|names| {
        let names = names.iter().map(|n| n.as_str().unwrap_or_default().to_string()).collect();
        (METADATA.to_string(), Labels::new(names))
    });
    let file = folder.join(LABELS);
    let numbered =
        file.is_file() && read_text(&file, MOST_BYTES).is_ok_and(|text| Labels::are_numbered(&text));
    if labels.is_none() && numbered {
        labels = Some((LABELS.to_string(), Labels::load(&file)?));
    }
    let side = metadata.as_ref().and_then(|m| m.get("imageSize").and_then(Value::as_u64)).map(|n| n as usize);
    let source = if metadata.is_some() { METADATA } else { LABELS };
    let recipe = (metadata.is_some() || numbered).then(|| Recipe {
        source: format!("{source} (Teachable Machine)"),
        size: side.map(|s| [s; 2]),
        preprocessing: Preprocessing {
            resize: ResizeMode::Crop,
            resized: side.map(|s| [s; 2]),
            ..Preset::Inception.preprocessing(side.unwrap_or(1), side.unwrap_or(1))
        },
    });
    Ok(OfFile { recipe, labels })
}
