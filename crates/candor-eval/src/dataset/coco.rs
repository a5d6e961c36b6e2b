//! COCO's JSON: `images`, `annotations` with `bbox` as x, y, width and height, and `categories`.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;

use super::{DatasetError, Object, Result, Sample, find_file, text};

#[derive(Deserialize)]
struct File {
    images: Vec<Image>,
    annotations: Vec<Annotation>,
    categories: Vec<Category>,
}

#[derive(Deserialize)]
struct Image {
    id: u64,
    file_name: String,
    width: f64,
    height: f64,
}

#[derive(Deserialize)]
struct Annotation {
    image_id: u64,
    category_id: u64,
    bbox: [f64; 4],
}

#[derive(Deserialize)]
struct Category {
    id: u64,
    name: String,
}

pub(super) fn read(path: &Path, images: Option<&Path>) -> Result<Vec<Sample>> {
    let fail = |reason: String| DatasetError::read(path, reason);
    let file: File = serde_json::from_str(&text(path)?).map_err(|e| fail(format!("not COCO's JSON: {e}")))?;
    let names: HashMap<u64, &str> = file.categories.iter().map(|c| (c.id, c.name.as_str())).collect();
    let beside = path.parent().unwrap_or(Path::new("."));
    let inner = beside.join("images");
    let folders: Vec<&Path> = images.into_iter().chain([beside, inner.as_path()]).collect();
    let mut samples = vec![];
    let mut index = HashMap::new();
    for image in &file.images {
        index.insert(image.id, samples.len());
        let photo = find_file(&image.file_name, &folders);
        samples.push(Sample {
            frame: Some([image.width, image.height]),
            ..Sample::file(image.file_name.clone(), photo, vec![])
        });
    }
    for a in &file.annotations {
        let at = index
            .get(&a.image_id)
            .ok_or_else(|| fail(format!("an annotation is of image {}, which is not there", a.image_id)))?;
        let name = names
            .get(&a.category_id)
            .ok_or_else(|| fail(format!("there is no category {}", a.category_id)))?;
        let [x, y, w, h] = a.bbox;
        let bbox = Some([x, y, x + w, y + h]);
        samples[*at].objects.push(Object {
            name: (*name).to_string(),
            classes: vec![],
            bbox,
            mask_value: None,
        });
    }
    Ok(samples)
}
