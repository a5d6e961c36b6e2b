//! A decoded photo: 8 bits for display, and for files with finer samples, those for the model.

use std::ops::Deref;
use std::path::{Path, PathBuf};

use image::RgbImage;
use image::imageops::{crop_imm, flip_horizontal};

use super::resize::{Filter, resize_samples};

/// A photo: the 8-bit image for display, to which it derefs, and the source of a model's input.
#[derive(Clone, Debug, PartialEq)]
pub struct Photo {
    shown: RgbImage,
    samples: Option<Samples>,
}

/// Grey samples that were not rounded to 8 bits: black is 0, white is 255, and values in between keep their precision.
#[derive(Clone, Debug, PartialEq)]
pub struct Samples {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Row-major, each 0..=255.
    pub values: Vec<f32>,
}

impl Samples {
    /// `height` × `width` of them, by `filter`.
    #[must_use]
    pub fn resized(&self, height: u32, width: u32, filter: Filter) -> Samples {
        resize_samples(self, height, width, filter)
    }

    /// Applies `work` to the transposed samples and transposes the result back.
    pub(super) fn transposed_by(&self, work: impl FnOnce(&Samples) -> Samples) -> Samples {
        work(&self.transposed()).transposed()
    }

    fn transposed(&self) -> Samples {
        let (width, height) = (self.width as usize, self.height as usize);
        let column = |x: usize| (0..height).map(move |y| self.values[y * width + x]);
        Samples { width: self.height, height: self.width, values: (0..width).flat_map(column).collect() }
    }
}

/// An image from which a model's input can be made.
pub trait Picture {
    /// The image in 8-bit RGB.
    fn shown(&self) -> &RgbImage;

    /// The finer samples of the same image, if it has any.
    fn samples(&self) -> Option<&Samples> {
        None
    }
}

impl Picture for RgbImage {
    fn shown(&self) -> &RgbImage {
        self
    }
}

impl Picture for Photo {
    fn shown(&self) -> &RgbImage {
        &self.shown
    }

    fn samples(&self) -> Option<&Samples> {
        self.samples.as_ref()
    }
}

impl<P: Picture + ?Sized> Picture for &P {
    fn shown(&self) -> &RgbImage {
        (**self).shown()
    }

    fn samples(&self) -> Option<&Samples> {
        (**self).samples()
    }
}

impl Deref for Photo {
    type Target = RgbImage;

    fn deref(&self) -> &RgbImage {
        &self.shown
    }
}

impl From<RgbImage> for Photo {
    fn from(shown: RgbImage) -> Self {
        Photo { shown, samples: None }
    }
}

impl From<Samples> for Photo {
    /// For display, the samples are rounded.
    fn from(samples: Samples) -> Self {
        let levels = samples.values.iter().flat_map(|&v| [v.round().clamp(0.0, 255.0) as u8; 3]).collect();
        let shown = RgbImage::from_raw(samples.width, samples.height, levels)
            .expect("a value for each pixel of the samples");
        Photo { shown, samples: Some(samples) }
    }
}

impl PartialEq<RgbImage> for Photo {
    fn eq(&self, other: &RgbImage) -> bool {
        self.shown == *other
    }
}

impl Photo {
    /// The 8-bit image only.
    pub fn into_shown(self) -> RgbImage {
        self.shown
    }

    /// The part of `width` × `height` pixels from column `left` and row `top` on, as far as it lies in the photo.
    #[must_use]
    pub fn cropped(&self, [left, top]: [u32; 2], [width, height]: [u32; 2]) -> Self {
        let shown = crop_imm(&self.shown, left, top, width, height).to_image();
        let (width, height) = shown.dimensions();
        let cut = |samples: &Samples| {
            let rows = samples.values.chunks(samples.width.max(1) as usize);
            let rows = rows.skip(top as usize).take(height as usize);
            let values = rows.flat_map(|row| row.iter().skip(left as usize).take(width as usize).copied());
            Samples { width, height, values: values.collect() }
        };
        Photo { samples: self.samples.as_ref().map(cut), shown }
    }

    /// The image mirrored horizontally.
    #[must_use]
    pub fn mirrored(&self) -> Self {
        let flip = |samples: &Samples| {
            let rows = samples.values.chunks(samples.width.max(1) as usize);
            Samples { values: rows.flat_map(|row| row.iter().rev().copied()).collect(), ..*samples }
        };
        Photo { shown: flip_horizontal(&self.shown), samples: self.samples.as_ref().map(flip) }
    }
}

/// 255 · ((v − centre)/width + 1/2), clipped to 0..=255.
pub(super) fn windowed(v: f64, [centre, width]: [f64; 2]) -> f64 {
    (((v - centre) / width + 0.5) * 255.0).clamp(0.0, 255.0)
}

/// Splits a path into the file and the number of a frame, from 1: `scan.dcm#3` is the third frame of `scan.dcm`, unless there is a file
/// with that very name.
pub fn frame_of(path: &Path) -> (PathBuf, Option<u32>) {
    let whole = || (path.to_path_buf(), None);
    let Some((file, number)) = path.to_str().and_then(|text| text.rsplit_once('#')) else { return whole() };
    match number.parse() {
        Ok(number) if number > 0 && !file.is_empty() && !path.exists() => (file.into(), Some(number)),
        _ => whole(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_behind_a_path_is_a_frame_unless_the_file_has_that_name() {
        let split = |text: &str| frame_of(Path::new(text));
        assert_eq!(split("a/scan.dcm#3"), ("a/scan.dcm".into(), Some(3)));
        for whole in ["scan.dcm", "scan.dcm#", "scan#x.dcm", "scan.dcm#0", "scan.dcm#-1", "#3"] {
            assert_eq!(split(whole), (whole.into(), None));
        }
        let folder = tempfile::tempdir().unwrap();
        let named = folder.path().join("scan#3");
        std::fs::write(&named, "").unwrap();
        assert_eq!(frame_of(&named), (named, None));
    }

    #[test]
    fn samples_are_rounded_for_people_and_mirrored_with_them() {
        let photo = Photo::from(Samples { width: 2, height: 1, values: vec![0.4, 254.5] });
        assert_eq!(photo.as_raw()[..], [0, 0, 0, 255, 255, 255]);
        let mirrored = photo.mirrored();
        assert_eq!(mirrored.samples().unwrap().values, [254.5, 0.4]);
        assert_eq!((mirrored.get_pixel(0, 0).0, mirrored.mirrored()), ([255; 3], photo.clone()));
        let cropped = photo.cropped([1, 0], [9, 9]);
        assert_eq!((cropped.dimensions(), &cropped.samples().unwrap().values[..]), ((1, 1), &[254.5][..]));
    }
}
