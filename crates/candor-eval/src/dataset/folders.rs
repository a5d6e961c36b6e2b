//! One folder per class, which contains its photos; the folder's name is the class's.

use std::path::{Path, PathBuf};

use super::{DatasetError, Object, Result, Sample};
use candor_report::names;

const EXTENSIONS: [&str; 9] = ["jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff", "dcm"];

pub(super) fn read(path: &Path) -> Result<Vec<Sample>> {
    let mut samples = vec![];
    for folder in entries(path)?.into_iter().filter(|p| p.is_dir()) {
        let name = names::file(&folder);
        if name.starts_with('.') {
            continue;
        }
        for photo in entries(&folder)?.into_iter().filter(|p| is_photo(p)) {
            let object = Object { name: name.clone(), classes: vec![], bbox: None, mask_value: None };
            samples.push(Sample::file(format!("{name}/{}", names::file(&photo)), photo, vec![object]));
        }
    }
    if samples.is_empty() {
        return Err(DatasetError::read(
            path,
            "expected a folder for each class with photos in it, and found none",
        ));
    }
    Ok(samples)
}

/// The entries of a folder, sorted by name.
pub(super) fn entries(path: &Path) -> Result<Vec<PathBuf>> {
    let fail = |e: std::io::Error| DatasetError::read(path, e);
    let entries = std::fs::read_dir(path).map_err(fail)?;
    let mut found = entries.map(|e| Ok(e.map_err(fail)?.path())).collect::<Result<Vec<_>>>()?;
    found.sort();
    Ok(found)
}

fn is_photo(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("").to_ascii_lowercase();
    path.is_file() && EXTENSIONS.contains(&extension.as_str())
}
