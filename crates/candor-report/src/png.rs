//! Encodes PNG and JPEG: the files of a map, and the smaller pictures of the HTML page.

use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;

use super::error::ReportError;
use super::paint::{self, Scale};
use candor::map::Map;

/// PNG of an RGB picture. `comment` is stored in the file's metadata (the scale that was used).
///
/// # Errors
/// [`ReportError::Encode`] for a picture without pixels.
pub fn rgb(picture: &RgbImage, comment: &str) -> Result<Vec<u8>, ReportError> {
    let (width, height) = picture.dimensions();
    encode(width, height, picture.as_raw(), None, comment)
}

/// PNG of a map alone, one pixel per value, in the colours of `scale`; stored with a palette of 256 colours.
///
/// # Errors
/// [`ReportError::Encode`] for a map without values.
pub fn map(map: &Map, scale: &Scale, comment: &str) -> Result<Vec<u8>, ReportError> {
    let palette = scale.palette().concat();
    encode(map.width as u32, map.height as u32, &paint::indices(map, scale), Some(palette), comment)
}

fn encode(
    width: u32,
    height: u32,
    pixels: &[u8],
    palette: Option<Vec<u8>>,
    comment: &str,
) -> Result<Vec<u8>, ReportError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_depth(png::BitDepth::Eight);
    match palette {
        Some(palette) => {
            encoder.set_color(png::ColorType::Indexed);
            encoder.set_palette(palette);
        }
        None => encoder.set_color(png::ColorType::Rgb),
    }
    let fail = || ReportError::encode(format!("a PNG of {width}×{height} pixels"));
    if !comment.is_empty() {
        // iTXt is UTF-8; tEXt does not support all scripts.
        encoder.add_itxt_chunk("Comment".to_owned(), comment.to_owned()).map_err(fail())?;
    }
    let mut writer = encoder.write_header().map_err(fail())?;
    writer.write_image_data(pixels).map_err(fail())?;
    writer.finish().map_err(fail())?;
    Ok(bytes)
}

/// JPEG of a picture at the quality of the HTML page's photos.
///
/// # Errors
/// [`ReportError::Encode`] for a picture without pixels or with a side over 65535.
pub fn jpeg(picture: &RgbImage) -> Result<Vec<u8>, ReportError> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, 80)
        .encode_image(picture)
        .map_err(ReportError::encode("a photo for the HTML page"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paint::Scale;

    #[test]
    fn a_map_keeps_its_grid_and_says_its_scale() {
        let ramp = Map { height: 2, width: 3, data: vec![0.0, 0.1, 0.2, 0.3, 0.4, 0.5] };
        let scale = Scale::common(&[&ramp], Some(&ramp), true);
        let bytes = map(&ramp, &scale, "scale 0 to 0.5").unwrap();
        assert!(bytes.windows(14).any(|w| w == b"scale 0 to 0.5"));
        let read = image::load_from_memory(&bytes).unwrap().to_rgb8();
        assert_eq!(read.dimensions(), (3, 2));
        assert_eq!(read.get_pixel(0, 0).0, scale.palette()[0]);
        assert_eq!(read.get_pixel(2, 1).0, scale.palette()[255]);
        assert_eq!(bytes, map(&ramp, &scale, "scale 0 to 0.5").unwrap());
    }

    #[test]
    fn rgb_round_trips_and_nothing_is_an_error() {
        let picture = RgbImage::from_fn(5, 4, |x, y| image::Rgb([x as u8, y as u8, 9]));
        let bytes = rgb(&picture, "").unwrap();
        assert_eq!(image::load_from_memory(&bytes).unwrap().to_rgb8(), picture);
        assert!(rgb(&RgbImage::new(0, 0), "").is_err());
        assert!(jpeg(&RgbImage::new(0, 0)).is_err());
    }
}
