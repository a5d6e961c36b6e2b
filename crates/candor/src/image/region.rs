//! Which part of a photo a model sees: the whole of it, squashed, or the centre of it.

use serde::{Deserialize, Serialize};

/// How a photo of any aspect becomes the model's input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResizeMode {
    /// The whole photo is resized to the input; its aspect changes.
    ///
    /// The default: no part of the photo goes unexplained, and a box in the photo stays a box in the input.
    #[default]
    Squash,
    /// The photo is resized so that it covers 8/7 of the input (256 for 224), then its centre is cut out, as
    /// torchvision's `Resize(256)` and `CenterCrop(224)` do: an eighth and more of the photo is never seen.
    /// This holds for a square photo too.
    Crop,
}

/// The part of a photo that a model sees, in the photo's pixels: x in 0..=width, y in 0..=height.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Region {
    /// Left edge.
    pub left: f64,
    /// Top edge.
    pub top: f64,
    /// Horizontal extent.
    pub width: f64,
    /// Vertical extent.
    pub height: f64,
}

/// torchvision's geometry for [`ResizeMode::Crop`], in pixels of the resized photo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CentreCrop {
    pub resized_height: u32,
    pub resized_width: u32,
    pub top: u32,
    pub left: u32,
}

impl CentreCrop {
    /// The crop for a photo (both sides above 0) and an input, both as height and width.
    ///
    /// The sides are rounded as torchvision rounds them: the side that limits becomes ⌊input·8/7⌋, the other
    /// is rounded down; half a pixel of margin goes to the even side (Python's `round`).
    pub fn new(photo: (u32, u32), input: (u32, u32)) -> Self {
        let (photo_height, photo_width) = (u64::from(photo.0), u64::from(photo.1));
        let (cover_height, cover_width) = (cover(input.0), cover(input.1));
        let width_limits = cover_width * photo_height >= cover_height * photo_width;
        let (height, width) = if width_limits {
            (cover_width * photo_height / photo_width, cover_width)
        } else {
            (cover_height, cover_height * photo_width / photo_height)
        };
        let (resized_height, resized_width) = (height as u32, width as u32);
        CentreCrop {
            resized_height,
            resized_width,
            top: half_to_even(resized_height - input.0),
            left: half_to_even(resized_width - input.1),
        }
    }

    /// The same crop in the photo's own pixels.
    pub fn region(&self, photo: (u32, u32), input: (u32, u32)) -> Region {
        let y = f64::from(photo.0) / f64::from(self.resized_height);
        let x = f64::from(photo.1) / f64::from(self.resized_width);
        // Only a crop that starts at 0 reaches the far edge, and rounding must not carry it beyond.
        Region {
            left: f64::from(self.left) * x,
            top: f64::from(self.top) * y,
            width: (f64::from(input.1) * x).min(f64::from(photo.1)),
            height: (f64::from(input.0) * y).min(f64::from(photo.0)),
        }
    }
}

/// ⌊side / 0.875⌋: what the resized photo must cover.
fn cover(side: u32) -> u64 {
    u64::from(side) * 8 / 7
}

/// `margin / 2`, a half rounded to the even neighbour.
fn half_to_even(margin: u32) -> u32 {
    let half = margin / 2;
    half + (margin % 2) * (half % 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_landscape_photo_is_resized_by_its_height() {
        let crop = CentreCrop::new((375, 500), (224, 224));
        // int(256 * 500 / 375) = 341; round(117 / 2) = 58 (half to even); round(32 / 2) = 16.
        assert_eq!(crop, CentreCrop { resized_height: 256, resized_width: 341, top: 16, left: 58 });
    }

    #[test]
    fn halves_go_to_the_even_side() {
        assert_eq!([0, 1, 2, 3, 5, 7].map(half_to_even), [0, 0, 1, 2, 2, 4]);
    }

    #[test]
    fn the_region_lies_in_the_photo() {
        let photos = [(375, 500), (500, 333), (1, 1), (7, 4000), (224, 224), (49, 3)];
        for photo in photos {
            for input in (1..60).flat_map(|height| [(height, height), (height, 7), (9, height)]) {
                let region = CentreCrop::new(photo, input).region(photo, input);
                assert!(region.left >= 0.0 && region.top >= 0.0, "{photo:?} {input:?} {region:?}");
                assert!(region.left + region.width <= f64::from(photo.1), "{photo:?} {input:?} {region:?}");
                assert!(region.top + region.height <= f64::from(photo.0), "{photo:?} {input:?} {region:?}");
            }
        }
    }
}
