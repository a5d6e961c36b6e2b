//! Examples on a benchmark's page: a method's best and worst items, drawn with the true boxes and those found.

use image::RgbImage;
use image::imageops::{FilterType, resize};
use serde::Serialize;

use super::{Shown, ShownMap};
use crate::localization::boxes::{Box4, iou};
use candor::map::Map;
use candor_report::ReportError;
use candor_report::figures::figure;
use candor_report::paint::{Scale, overlay};
use candor_report::picture::Picture;

/// Height and width of a picture in pixels.
const SIDE: u32 = 180;

/// An item of a method, and why it is an example.
#[derive(Clone, Copy, Debug)]
pub struct Chosen<'c> {
    /// The method.
    pub method: &'c str,
    /// Best or worst.
    pub kind: &'static str,
    /// Name of the item.
    pub item: &'c str,
    /// Name of the figure by which it was chosen.
    pub figure: &'c str,
    /// Its value.
    pub value: f64,
}

/// A method's best or worst item, drawn.
#[derive(Debug, Serialize)]
pub struct Example {
    pub(super) method: String,
    kind: &'static str,
    item: String,
    figure: String,
    /// The photo, then the maps.
    pictures: Vec<Boxed>,
    /// Whether boxes are drawn into the pictures.
    pub(super) boxes: bool,
}

/// A picture with boxes.
#[derive(Debug, Serialize)]
struct Boxed {
    name: String,
    /// Description of its boxes; empty if there are none.
    said: String,
    picture: Picture,
    /// Width and height of the grid on which boxes are given.
    size: [usize; 2],
    truth: Vec<Box4>,
    found: Option<Box4>,
}

impl Example {
    /// Draws an item: the picture, and each map on the scale of the first.
    ///
    /// # Errors
    /// [`ReportError::Encode`] if a picture cannot be encoded.
    pub fn draw(chosen: Chosen<'_>, shown: &Shown) -> Result<Self, ReportError> {
        let view = &shown.picture;
        let height = (SIDE * view.height() / view.width().max(1)).max(1);
        let small: RgbImage = resize(view, SIDE, height, FilterType::Triangle);
        let maps: Vec<&Map> = shown.maps.iter().map(|m| &m.map).collect();
        let scale = Scale::common(&maps, maps.first().copied(), false);
        let mut pictures = vec![Boxed::photo(chosen.item, &small, &shown.maps)?];
        for m in &shown.maps {
            let alt = format!("map of {} by {}{}", m.name, chosen.method, in_words(m));
            pictures.push(Boxed {
                name: m.name.clone(),
                said: said(m),
                picture: Picture::jpeg(&overlay(&small, &m.map, &scale), alt)?,
                size: [m.map.width, m.map.height],
                truth: m.truth.clone(),
                found: m.found,
            });
        }
        Ok(Example {
            method: chosen.method.into(),
            kind: chosen.kind,
            item: chosen.item.into(),
            figure: format!("{} {}", chosen.figure, figure(chosen.value)),
            boxes: pictures.iter().any(|p| !p.truth.is_empty() || p.found.is_some()),
            pictures,
        })
    }
}

impl Boxed {
    /// The photo with the true boxes of all classes asked for.
    fn photo(item: &str, small: &RgbImage, maps: &[ShownMap]) -> Result<Self, ReportError> {
        let size = maps.first().map_or([1, 1], |m| [m.map.width, m.map.height]);
        Ok(Boxed {
            name: "photo".to_string(),
            said: String::new(),
            picture: Picture::jpeg(small, item.to_string())?,
            size,
            truth: maps.iter().flat_map(|m| m.truth.iter().copied()).collect(),
            found: None,
        })
    }
}

/// Describes the boxes of a map.
fn said(m: &ShownMap) -> String {
    let best = |found: Box4, boxes: &[Box4]| boxes.iter().map(|&t| iou(found, t)).fold(0.0, f64::max);
    match (m.found, m.truth.is_empty(), m.objects.is_empty()) {
        (_, true, true) => String::new(),
        (None, ..) => "no box found".to_string(),
        (Some(found), false, _) => format!("IoU {:.2}", best(found, &m.truth)),
        (Some(found), true, false) => format!("IoU {:.2} with an object", best(found, &m.objects)),
    }
}

/// The description for readers who do not see the picture.
fn in_words(m: &ShownMap) -> String {
    match said(m) {
        said if said.is_empty() => said,
        said => format!("; {} true box{}, {said}", m.truth.len(), if m.truth.len() == 1 { "" } else { "es" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_names_its_figure_and_has_the_boxes_and_how_they_overlap() {
        let map = |name: &str, [truth, objects]: [&[Box4]; 2], found| ShownMap {
            name: name.into(),
            map: Map { height: 20, width: 30, data: vec![0.5; 600] },
            truth: truth.to_vec(),
            objects: objects.to_vec(),
            found,
        };
        let maps = vec![
            map("dog", [&[[0, 0, 9, 9]], &[]], Some([0, 0, 4, 9])),
            map("fish", [&[], &[[0, 0, 9, 9]]], Some([1, 1, 2, 2])),
            map("cat", [&[], &[]], None),
        ];
        let shown = Shown { picture: RgbImage::new(60, 40), maps };
        let chosen = Chosen { method: "lrp", kind: "best", item: "a.jpg", figure: "inside", value: 0.5741 };
        let example = Example::draw(chosen, &shown).unwrap();
        assert_eq!((example.figure.as_str(), example.boxes), ("inside 0.574", true));
        let said: Vec<&str> = example.pictures.iter().map(|p| p.said.as_str()).collect();
        assert_eq!(said, ["", "IoU 0.50", "IoU 0.04 with an object", ""]);
        assert_eq!(example.pictures[0].truth, [[0, 0, 9, 9]], "the photo has the true boxes");
        assert_eq!(example.pictures[1].size, [30, 20]);
        assert_eq!(example.pictures[1].picture.alt(), "map of dog by lrp; 1 true box, IoU 0.50");
    }
}
