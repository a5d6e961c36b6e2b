//! Common corruptions of clean images, which should raise no alarm.

use image::codecs::jpeg::JpegEncoder;
use image::{ImageFormat, RgbImage};

use crate::error::{Error, Result};
use candor::noise::Noise;

/// A corruption.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Corruption {
    /// None.
    Unchanged,
    /// JPEG compression with this quality, 1..=100.
    Jpeg(u8),
    /// Gaussian noise with this standard deviation, in grey levels.
    Noise(f32),
    /// Gaussian blur with this standard deviation, in pixels.
    Blur(f32),
}

/// The corruptions for which false alarms are measured.
pub(super) const MEASURED: [(&str, Corruption); 4] = [
    ("unchanged", Corruption::Unchanged),
    ("JPEG at quality 75", Corruption::Jpeg(75)),
    ("noise of 4 levels", Corruption::Noise(4.0)),
    ("blur of 0.6 pixels", Corruption::Blur(0.6)),
];

impl Corruption {
    /// A random corruption for training, so that detectors become robust: JPEG of quality 60..=95, noise of 1..=6 levels, or blur of
    /// 0.3..=1 pixels.
    pub(super) fn random(noise: &mut Noise) -> Corruption {
        let share = noise.unit();
        match noise.below(3) {
            0 => Corruption::Jpeg(60 + (share * 35.0) as u8),
            1 => Corruption::Noise(1.0 + share * 5.0),
            _ => Corruption::Blur(0.3 + share * 0.7),
        }
    }

    /// The corrupted picture.
    ///
    /// # Errors
    /// [`Error::Detector`] if the JPEG library fails.
    pub(super) fn apply(self, picture: &RgbImage, noise: &mut Noise) -> Result<RgbImage> {
        Ok(match self {
            Corruption::Unchanged => picture.clone(),
            Corruption::Jpeg(quality) => {
                jpeg(picture, quality).map_err(|e| Error::Detector(format!("JPEG: {e}")))?
            }
            Corruption::Noise(levels) => {
                let mut noisy = picture.clone();
                for v in noisy.iter_mut() {
                    *v = (f32::from(*v) + levels * noise.normal()).round().clamp(0.0, 255.0) as u8;
                }
                noisy
            }
            Corruption::Blur(sigma) => image::imageops::blur(picture, sigma),
        })
    }
}

fn jpeg(picture: &RgbImage, quality: u8) -> image::ImageResult<RgbImage> {
    let mut bytes = vec![];
    picture.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, quality))?;
    Ok(image::load_from_memory_with_format(&bytes, ImageFormat::Jpeg)?.to_rgb8())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_corruptions_are_of_every_kind_and_change_a_picture_little() {
        let picture = RgbImage::from_fn(16, 16, |x, y| image::Rgb([10 * x as u8, 10 * y as u8, 128]));
        let mut kinds = std::collections::HashSet::new();
        for item in 0..30 {
            let mut noise = Noise::of_item(0, item);
            let change = Corruption::random(&mut noise);
            kinds.insert(std::mem::discriminant(&change));
            let changed = change.apply(&picture, &mut noise).unwrap();
            let off = |(a, b): (&u8, &u8)| f64::from(a.abs_diff(*b));
            let mean = picture.iter().zip(changed.iter()).map(off).sum::<f64>() / 768.0;
            assert!(changed.dimensions() == (16, 16) && mean < 8.0, "{change:?}: {mean}");
        }
        assert_eq!(kinds.len(), 3);
    }
}
