//! The folder of CUB-200-2011: `images.txt`, `image_class_labels.txt`, `classes.txt`, `bounding_boxes.txt`, and the photos in
//! `images`. If there is a `train_test_split.txt`, only the test photos are used.

use std::collections::HashMap;
use std::path::Path;

use super::{DatasetError, Object, Result, Sample, lines, text};

pub(super) fn read(path: &Path) -> Result<Vec<Sample>> {
    let table = |name: &str| pairs(&path.join(name));
    let (files, classes) = (table("images.txt")?, table("classes.txt")?);
    let (labels, boxes) = (lookup(table("image_class_labels.txt")?), lookup(table("bounding_boxes.txt")?));
    let classes = lookup(classes);
    let is_training = match path.join("train_test_split.txt") {
        split if split.is_file() => lookup(pairs(&split)?),
        _ => HashMap::new(),
    };
    let missing = |what: &str, id: &str| DatasetError::read(path, format!("image {id} has no {what}"));
    let mut samples = vec![];
    for (id, file) in files.into_iter().filter(|(id, _)| is_training.get(id).is_none_or(|v| v == "0")) {
        let label = labels.get(&id).ok_or_else(|| missing("label", &id))?;
        let name = classes.get(label).ok_or_else(|| missing("class name", &id))?.clone();
        let corners = boxes.get(&id).ok_or_else(|| missing("box", &id))?;
        let corners: Vec<f64> = corners
            .split_whitespace()
            .filter_map(|v| v.parse().ok())
            .filter(|v: &f64| v.is_finite())
            .collect();
        let [x, y, w, h] = corners[..] else { return Err(missing("box of four numbers", &id)) };
        let object = Object { name, classes: vec![], bbox: Some([x, y, x + w, y + h]), mask_value: None };
        samples.push(Sample::file(file.clone(), path.join("images").join(&file), vec![object]));
    }
    Ok(samples)
}

/// Splits each line into a key and the rest.
fn pairs(path: &Path) -> Result<Vec<(String, String)>> {
    lines(path, &text(path)?, "a number and a value", |line| {
        let (key, rest) = line.trim().split_once(' ')?;
        Some((key.to_string(), rest.trim().to_string()))
    })
}

fn lookup(pairs: Vec<(String, String)>) -> HashMap<String, String> {
    pairs.into_iter().collect()
}
