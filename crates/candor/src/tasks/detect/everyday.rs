//! What happens to honest pictures every day, and should raise no alarm.

use image::codecs::jpeg::JpegEncoder;
use image::{ImageFormat, RgbImage};

use crate::error::{Error, Result};
use crate::methods::noise::Noise;

/// Names of the changes.
pub(super) const ALL: [&str; 4] =
    ["unchanged", "JPEG at quality 75", "noise of 4 levels", "blur of 0.6 pixels"];

/// The picture after a change of [`ALL`], by number.
pub(super) fn changed(picture: &RgbImage, change: usize, item: usize) -> Result<RgbImage> {
    match change {
        1 => jpeg(picture).map_err(|e| Error::Detector(format!("JPEG: {e}"))),
        2 => {
            let mut noise = Noise::of_item(0, item);
            let mut noisy = picture.clone();
            for v in noisy.iter_mut() {
                *v = (f32::from(*v) + 4.0 * noise.normal()).round().clamp(0.0, 255.0) as u8;
            }
            Ok(noisy)
        }
        3 => Ok(image::imageops::blur(picture, 0.6)),
        _ => Ok(picture.clone()),
    }
}

fn jpeg(picture: &RgbImage) -> image::ImageResult<RgbImage> {
    let mut bytes = vec![];
    picture.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, 75))?;
    Ok(image::load_from_memory_with_format(&bytes, ImageFormat::Jpeg)?.to_rgb8())
}
