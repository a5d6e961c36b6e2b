//! The metadata folder of `wsolevaluation` (Choe et al. 2020): `image_ids.txt`, `class_labels.txt`, `image_sizes.txt` and
//! `localization.txt`, each `id,values`. A photo has several boxes if it has several lines of localization.

use std::collections::HashMap;
use std::path::Path;

use super::{DatasetError, Object, Result, Sample, find_file, lines, text};

pub(super) fn read(path: &Path, images: Option<&Path>) -> Result<Vec<Sample>> {
    let folders: Vec<&Path> = images.into_iter().chain([path]).collect();
    let ids = text(&path.join("image_ids.txt"))?;
    let (mut labels, mut sizes) = (HashMap::new(), HashMap::new());
    let mut boxes: HashMap<String, Vec<[f64; 4]>> = HashMap::new();
    for (id, [class]) in rows::<1>(&path.join("class_labels.txt"))? {
        if class < 0.0 || class.fract() != 0.0 {
            let reason = format!("class_labels.txt: {id}: {class} is not the number of a class");
            return Err(DatasetError::read(path, reason));
        }
        labels.insert(id, class as usize);
    }
    for (id, size) in rows::<2>(&path.join("image_sizes.txt"))? {
        sizes.insert(id, size);
    }
    for (id, corners) in rows::<4>(&path.join("localization.txt"))? {
        boxes.entry(id).or_default().push(corners);
    }
    let sample = |id: &str| {
        let missing = |what: &str| DatasetError::read(path, format!("{id} has no {what}"));
        let class = *labels.get(id).ok_or_else(|| missing("class label"))?;
        let object = |bbox| Object { name: class.to_string(), classes: vec![class], bbox, mask_value: None };
        let of_boxes = boxes.get(id).map(|all| all.iter().map(|&b| object(Some(b))).collect());
        let objects = of_boxes.unwrap_or_else(|| vec![object(None)]);
        Ok(Sample {
            frame: sizes.get(id).copied(),
            ..Sample::file(id.to_string(), find_file(id, &folders), objects)
        })
    };
    ids.lines().map(str::trim).filter(|l| !l.is_empty()).map(sample).collect()
}

/// Lines of an id and N numbers.
fn rows<const N: usize>(path: &Path) -> Result<Vec<(String, [f64; N])>> {
    lines(path, &text(path)?, &format!("an id and {N} numbers"), |line| {
        let parts: Vec<&str> = line.trim().rsplitn(N + 1, ',').collect();
        let numbers: Vec<f64> = parts
            .iter()
            .take(N)
            .rev()
            .filter_map(|v| v.trim().parse().ok())
            .filter(|v: &f64| v.is_finite())
            .collect();
        Some(((*parts.get(N)?).to_string(), numbers.try_into().ok()?))
    })
}
