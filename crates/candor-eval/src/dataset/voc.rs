//! Boxes in Pascal VOC's XML, one file per photo: Pascal VOC itself, and the boxes of ImageNet's validation photos.
//!
//! Either a folder with `Annotations` and `JPEGImages`, or a folder of XML files. VOC counts pixels from 1 and includes the last.

use std::path::Path;

use roxmltree::{Document, Node};

use super::folders::entries;
use super::{DatasetError, Object, Result, Sample, find_file, text};

/// Whether a folder contains XML files.
pub(super) fn is_folder_of_xml(path: &Path) -> bool {
    entries(path).is_ok_and(|all| all.iter().any(|p| is_xml(p)))
}

fn is_xml(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("xml"))
}

pub(super) fn read(path: &Path, images: Option<&Path>) -> Result<Vec<Sample>> {
    let inner = path.join("Annotations");
    let folder = if inner.is_dir() { inner } else { path.to_path_buf() };
    let photos = path.join("JPEGImages");
    let folders: Vec<&Path> = images.into_iter().chain([photos.as_path(), path]).collect();
    entries(&folder)?.iter().filter(|p| is_xml(p)).map(|file| sample(file, &folders)).collect()
}

fn sample(file: &Path, folders: &[&Path]) -> Result<Sample> {
    let fail = |reason: String| DatasetError::read(file, reason);
    let text = text(file)?;
    let document = Document::parse(&text).map_err(|e| fail(e.to_string()))?;
    let root = document.root_element();
    // ImageNet's `filename` has no extension, and is sometimes "%s".
    let stem = file.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into());
    let name = child(root, "filename").filter(|n| n.contains('.')).map_or(stem, str::to_string);
    let names = [name.clone(), format!("{name}.JPEG"), format!("{name}.jpg"), format!("{name}.png")];
    let photo = names.iter().map(|n| find_file(n, folders)).find(|p| p.is_file());
    let objects = root.children().filter(|n| n.has_tag_name("object")).map(|o| object(o).map_err(fail));
    let size = root.children().find(|n| n.has_tag_name("size"));
    let side =
        |tag| size.and_then(|s| child(s, tag)?.parse::<f64>().ok()).filter(|v| v.is_finite() && *v > 0.0);
    Ok(Sample {
        frame: side("width").zip(side("height")).map(|(w, h)| [w, h]),
        ..Sample::file(
            name.clone(),
            photo.unwrap_or_else(|| find_file(&name, folders)),
            objects.collect::<Result<_>>()?,
        )
    })
}

fn child<'a>(node: Node<'a, '_>, tag: &str) -> Option<&'a str> {
    node.children().find(|n| n.has_tag_name(tag))?.text().map(str::trim)
}

fn object(node: Node<'_, '_>) -> Result<Object, String> {
    let name = child(node, "name").ok_or("an object has no name")?.to_string();
    let box_of = node.children().find(|n| n.has_tag_name("bndbox")).ok_or("an object has no bndbox")?;
    let side = |tag: &str| -> Result<f64, String> {
        let value = child(box_of, tag).ok_or_else(|| format!("a bndbox has no {tag}"))?;
        let number = value.parse().ok().filter(|v: &f64| v.is_finite());
        number.ok_or_else(|| format!("{tag} '{value}' is not a number"))
    };
    let bbox = [side("xmin")? - 1.0, side("ymin")? - 1.0, side("xmax")?, side("ymax")?];
    Ok(Object { name, classes: vec![], bbox: Some(bbox), mask_value: None })
}
