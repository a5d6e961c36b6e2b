//! CSV tables: one object per row.
//!
//! Columns, named in the first line, in any order: `file`; a class as `class_index`, `imagenet_indices` (several, separated by
//! spaces) or a name (`class_name`, `class`, `coco_class`, `object`); a box `x0,y0,x1,y1` in pixels, x1 and y1 excluded; `width,height`
//! if the box refers to a picture of another size than the file's; `mask`, an indexed PNG in which the pixels of a row's object have
//! the value 1 + `object` (its number within the photo). Only `file` and a class are required. A row without a class is a photo without
//! objects. `candor scenes` writes this format.

use std::collections::HashMap;
use std::path::Path;

use candor::file;

use super::{DatasetError, MOST_BYTES, Object, Result, Sample, find_file};

const CLASS_NAMES: [&str; 4] = ["class_name", "class", "coco_class", "object"];

pub(super) fn read(path: &Path, images: Option<&Path>) -> Result<Vec<Sample>> {
    let path = if path.is_dir() { path.join("scenes.csv") } else { path.to_path_buf() };
    let fail = |reason: String| DatasetError::read(&path, reason);
    let file = file::open(&path, MOST_BYTES).map_err(|e| fail(e.to_string()))?;
    let mut reader = csv::Reader::from_reader(file);
    let header = reader.headers().map_err(|e| fail(e.to_string()))?.clone();
    let column = |name: &str| header.iter().position(|h| h == name);
    let file = column("file").ok_or_else(|| fail("there is no column 'file'".into()))?;
    let indices = ["class_index", "imagenet_indices", "best_imagenet_index"].iter().find_map(|n| column(n));
    let name = CLASS_NAMES.iter().find_map(|n| column(n));
    if indices.is_none() && name.is_none() {
        return Err(fail(format!(
            "there is no column with a class: class_index or {}",
            CLASS_NAMES.join(", ")
        )));
    }
    let corners: Option<Vec<usize>> = ["x0", "y0", "x1", "y1"].iter().map(|n| column(n)).collect();
    let frame = column("width").zip(column("height"));
    let mask = column("mask");
    let beside = path.parent().unwrap_or(Path::new("."));
    let named_after =
        beside.join(path.file_stem().and_then(|s| s.to_str()).unwrap_or("").split('_').next().unwrap_or(""));
    let inner = beside.join("images");
    let folders: Vec<&Path> =
        images.into_iter().chain([beside, inner.as_path(), named_after.as_path()]).collect();
    let (mut samples, mut index): (Vec<Sample>, HashMap<String, usize>) = (vec![], HashMap::new());
    for (i, row) in reader.records().enumerate() {
        let row = row.map_err(|e| fail(e.to_string()))?;
        let line = i + 2;
        let number = |column: usize| -> Result<f64> {
            let text = row.get(column).unwrap_or("");
            text.parse().ok().filter(|v: &f64| v.is_finite()).ok_or_else(|| {
                fail(format!("line {line}: '{text}' in column '{}' is not a number", &header[column]))
            })
        };
        let id = row.get(file).unwrap_or("").to_string();
        let class_name = name.and_then(|c| row.get(c)).unwrap_or("").to_string();
        let classes: Result<Vec<usize>> = indices
            .and_then(|c| row.get(c))
            .unwrap_or("")
            .split_whitespace()
            .map(|v| v.parse().map_err(|_| fail(format!("line {line}: '{v}' is not the number of a class"))))
            .collect();
        let classes = classes?;
        let is_object = !classes.is_empty() || !class_name.is_empty();
        let bbox = match &corners {
            Some(corners) if is_object => {
                let c: Result<Vec<f64>> = corners.iter().map(|&c| number(c)).collect();
                let c = c?;
                Some([c[0], c[1], c[2], c[3]])
            }
            _ => None,
        };
        let mask_file = mask.and_then(|c| row.get(c)).filter(|m| !m.is_empty());
        let object_number = column("object").and_then(|c| row.get(c)).and_then(|v| v.parse::<u8>().ok());
        let mask_value = mask_file.and(object_number).and_then(|n| n.checked_add(1));
        let objects =
            if is_object { vec![Object { name: class_name, classes, bbox, mask_value }] } else { vec![] };
        let sample = Sample {
            frame: frame.map(|(w, h)| Ok::<_, DatasetError>([number(w)?, number(h)?])).transpose()?,
            mask: mask_file.map(|m| find_file(m, &folders)),
            ..Sample::file(id.clone(), find_file(&id, &folders), objects)
        };
        // Rows of one photo need not be adjacent.
        let at = *index.entry(id).or_insert(samples.len());
        match samples.get_mut(at) {
            Some(known) => known.objects.extend(sample.objects),
            None => samples.push(sample),
        }
    }
    Ok(samples)
}
