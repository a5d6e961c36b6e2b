//! Which part of a photo a model sees: all of it, squashed or letterboxed, or its centre.

use serde::{Deserialize, Serialize};

/// How a photo of any aspect ratio becomes the model's input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResizeMode {
    /// The whole photo is resized to the input; its aspect ratio changes.
    ///
    /// The default: every part of the photo is explained, and a box in the photo stays a box in the input.
    #[default]
    Squash,
    /// The photo is resized so that it covers 8/7 of the input (256 for 224) or another ratio, then its centre is cropped, as
    /// torchvision's `Resize(256)` and `CenterCrop(224)` do: by default at least an eighth of each side is never seen,
    /// also for a square photo.
    Crop,
    /// The whole photo is resized to fit into the input and keeps its aspect ratio; the rest of the input is a border.
    #[serde(alias = "pad")]
    Letterbox,
}

/// The part of a photo that a model sees, in the photo's pixels: x in 0..=width, y in 0..=height. A border around the photo is outside
/// this range.
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

/// Whose rounding of sizes and margins is used for a resized photo; the results differ by a pixel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rounding {
    /// torchvision's `Resize` and `CenterCrop`: sizes are rounded down, half a pixel of margin goes to the even side.
    #[default]
    Torchvision,
    /// The image processors of transformers: sizes and margins are rounded down.
    Transformers,
    /// timm's `ResizeKeepRatio` and `CenterCropOrPad`: sizes are rounded to nearest, a half to even; margins as torchvision's.
    Timm,
}

impl Rounding {
    /// New length of a side of `side` pixels when the other side, of `other` pixels, becomes `new`.
    fn along(self, side: u32, other: u32, new: u64) -> u32 {
        let (side, other) = (u64::from(side), u64::from(other));
        match self {
            Rounding::Torchvision | Rounding::Transformers => (new * side / other) as u32,
            Rounding::Timm => (side as f64 / (other as f64 / new as f64)).round_ties_even() as u32,
        }
    }

    /// Start of the input on a resized side; negative if the side is padded.
    fn begin(self, resized: u32, input: u32) -> i64 {
        let (resized, input) = (i64::from(resized), i64::from(input));
        let margin = resized - input;
        match self {
            Rounding::Transformers => margin.div_euclid(2),
            _ if margin < 0 => -(-margin / 2),
            // A half is rounded to even.
            _ => margin / 2 + (margin % 2) * (margin / 2 % 2),
        }
    }
}

/// Position of the input on a resized photo, in pixels of the resized photo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placement {
    pub resized_height: u32,
    pub resized_width: u32,
    /// Negative if the input has a border above the photo.
    pub top: i64,
    pub left: i64,
}

impl Placement {
    /// For a photo (both sides above 0) and an input, both as height and width. Depending on the mode, the photo is resized to cover
    /// `resized` pixels or to fit into them; the input is the centre of the result.
    pub fn new(
        mode: ResizeMode,
        photo: (u32, u32),
        resized: (u32, u32),
        input: (u32, u32),
        rounding: Rounding,
    ) -> Self {
        let (height, width) = (u64::from(resized.0), u64::from(resized.1));
        // Whether the photo, resized to the requested width, has at least the requested height.
        let covers = width * u64::from(photo.0) >= height * u64::from(photo.1);
        let (resized_height, resized_width) = match mode {
            ResizeMode::Squash => resized,
            ResizeMode::Crop if covers => (rounding.along(photo.0, photo.1, width), resized.1),
            ResizeMode::Letterbox if !covers => (rounding.along(photo.0, photo.1, width).max(1), resized.1),
            ResizeMode::Crop => (resized.0, rounding.along(photo.1, photo.0, height)),
            ResizeMode::Letterbox => (resized.0, rounding.along(photo.1, photo.0, height).max(1)),
        };
        let top = rounding.begin(resized_height, input.0);
        let left = rounding.begin(resized_width, input.1);
        Placement { resized_height, resized_width, top, left }
    }

    /// The input in the photo's own pixels.
    pub fn region(&self, photo: (u32, u32), input: (u32, u32)) -> Region {
        let y = f64::from(photo.0) / f64::from(self.resized_height);
        let x = f64::from(photo.1) / f64::from(self.resized_width);
        let (left, top) = (self.left as f64 * x, self.top as f64 * y);
        // Rounding must not move an edge that coincides with the photo's end beyond it.
        let length = |begin: i64, resized: u32, input: u32, scale: f64, side: u32, at: f64| {
            let length = f64::from(input) * scale;
            if begin >= 0 && begin + i64::from(input) <= i64::from(resized) {
                length.min(f64::from(side) - at)
            } else {
                length
            }
        };
        Region {
            left,
            top,
            width: length(self.left, self.resized_width, input.1, x, photo.1, left),
            height: length(self.top, self.resized_height, input.0, y, photo.0, top),
        }
    }
}

/// ⌊side / share⌋: the length that the resized photo must cover so that the input is `share` of it.
pub fn covering(side: usize, share: f64) -> usize {
    // A share such as 0.875 of 224 must give 256 despite rounding errors.
    (side as f64 / share + 1e-9).floor() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crop(photo: (u32, u32), input: (u32, u32), rounding: Rounding) -> Placement {
        let cover = |side: u32| covering(side as usize, 0.875) as u32;
        Placement::new(ResizeMode::Crop, photo, (cover(input.0), cover(input.1)), input, rounding)
    }

    #[test]
    fn a_landscape_photo_is_resized_by_its_height() {
        let found = crop((375, 500), (224, 224), Rounding::Torchvision);
        // int(256 * 500 / 375) = 341; round(117 / 2) = 58 (half to even); round(32 / 2) = 16.
        assert_eq!(found, Placement { resized_height: 256, resized_width: 341, top: 16, left: 58 });
        // 117 // 2 = 58, and of 341.33 the nearest is the same.
        assert_eq!(crop((375, 500), (224, 224), Rounding::Transformers), found);
        assert_eq!(crop((375, 500), (224, 224), Rounding::Timm), found);
    }

    #[test]
    fn halves_go_to_the_even_side_or_down() {
        let begins = |r: Rounding| [224, 225, 226, 227, 229, 231].map(|side| r.begin(side, 224));
        assert_eq!(begins(Rounding::Torchvision), [0, 0, 1, 2, 2, 4]);
        assert_eq!(begins(Rounding::Transformers), [0, 0, 1, 1, 2, 3]);
        assert_eq!([Rounding::Torchvision, Rounding::Transformers].map(|r| r.begin(221, 224)), [-1, -2]);
    }

    #[test]
    fn a_share_of_the_resized_side_is_exact() {
        assert_eq!(
            [(224, 0.875), (224, 0.95), (299, 0.875), (384, 1.0)].map(|(s, c)| covering(s, c)),
            [256, 235, 341, 384]
        );
        for side in 1..3000 {
            assert_eq!(covering(side, 0.875), side * 8 / 7, "{side}");
        }
    }

    #[test]
    fn the_region_lies_in_the_photo_and_a_letterbox_around_it() {
        let photos = [(375, 500), (500, 333), (1, 1), (7, 4000), (224, 224), (49, 3)];
        for photo in photos {
            for input in (1..60).flat_map(|height| [(height, height), (height, 7), (9, height)]) {
                let region = crop(photo, input, Rounding::Torchvision).region(photo, input);
                assert!(region.left >= 0.0 && region.top >= 0.0, "{photo:?} {input:?} {region:?}");
                assert!(region.left + region.width <= f64::from(photo.1), "{photo:?} {input:?} {region:?}");
                assert!(region.top + region.height <= f64::from(photo.0), "{photo:?} {input:?} {region:?}");
                let boxed = Placement::new(ResizeMode::Letterbox, photo, input, input, Rounding::Timm);
                let around = boxed.region(photo, input);
                assert!(boxed.top <= 0 && boxed.left <= 0, "{photo:?} {input:?} {boxed:?}");
                assert!(
                    around.left + around.width + 1e-9 >= f64::from(photo.1),
                    "{photo:?} {input:?} {around:?}"
                );
            }
        }
    }

    #[test]
    fn a_letterbox_has_its_border_on_the_short_side() {
        let found = Placement::new(ResizeMode::Letterbox, (300, 400), (640, 640), (640, 640), Rounding::Timm);
        assert_eq!(found, Placement { resized_height: 480, resized_width: 640, top: -80, left: 0 });
        let region = found.region((300, 400), (640, 640));
        assert_eq!(region, Region { left: 0.0, top: -50.0, width: 400.0, height: 400.0 });
    }
}
