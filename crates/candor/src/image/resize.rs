//! Resizing as Pillow does: antialiased, on 8-bit samples, rows first.
//!
//! Pillow (`Image.resize`, `src/libImaging/Resample.c`) convolves each row with a filter that widens with the
//! reduction, rounds to 8 bits, then does the same to the columns. Both roundings are kept here, in that
//! order; the sums run on 16-bit samples, whose coefficients `fast_image_resize` holds in 32 bits, so the
//! result is Pillow's to the last level (tests/image_resize.rs says how nearly).

use fast_image_resize::images::Image as Samples;
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;
use serde::{Deserialize, Serialize};

/// How new pixels are made from old ones. All but `Nearest` antialias: the filter widens with the reduction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Filter {
    /// The pixel under the new pixel's centre.
    Nearest,
    /// Triangle; Pillow's `BILINEAR`, torchvision's default.
    #[default]
    Bilinear,
    /// Cubic with a = −0.5; Pillow's `BICUBIC`.
    Bicubic,
    /// Sinc windowed by sinc over three lobes; Pillow's `LANCZOS`.
    Lanczos,
}

impl Filter {
    fn algorithm(self) -> ResizeAlg {
        match self {
            Filter::Nearest => ResizeAlg::Nearest,
            Filter::Bilinear => ResizeAlg::Convolution(FilterType::Bilinear),
            Filter::Bicubic => ResizeAlg::Convolution(FilterType::CatmullRom),
            Filter::Lanczos => ResizeAlg::Convolution(FilterType::Lanczos3),
        }
    }
}

/// `photo` resized to `height` × `width` pixels, whatever its aspect, as Pillow's
/// `Image.resize((width, height), filter)` does it.
///
/// An empty photo or a size of 0 gives an image of zeros.
pub fn resize(photo: &RgbImage, height: u32, width: u32, filter: Filter) -> RgbImage {
    let (old_width, old_height) = photo.dimensions();
    if (old_width, old_height) == (width, height) {
        return photo.clone();
    }
    if [old_width, old_height, width, height].contains(&0) {
        return RgbImage::new(width, height);
    }
    if filter == Filter::Nearest {
        let source = Samples::from_vec_u8(old_width, old_height, photo.as_raw().clone(), PixelType::U8x3)
            .expect("an RgbImage holds three bytes a pixel");
        let bytes = run(&source, height, width, filter).into_vec();
        return RgbImage::from_raw(width, height, bytes).expect("the destination holds three bytes a pixel");
    }

    let mut samples = Samples::new(old_width, old_height, PixelType::U16x3);
    for (wide, &sample) in samples.buffer_mut().chunks_exact_mut(2).zip(photo.as_raw()) {
        wide.copy_from_slice(&u16::from(sample).to_ne_bytes());
    }
    for (pass_height, pass_width) in [(old_height, width), (height, width)] {
        if (samples.height(), samples.width()) != (pass_height, pass_width) {
            samples = run(&samples, pass_height, pass_width, filter);
            clamp_to_8_bits(samples.buffer_mut());
        }
    }
    let bytes = samples.buffer().chunks_exact(2).map(|wide| narrow(wide) as u8).collect();
    RgbImage::from_raw(width, height, bytes).expect("three samples a pixel")
}

fn run(source: &Samples, height: u32, width: u32, filter: Filter) -> Samples<'static> {
    let mut destination = Samples::new(width, height, source.pixel_type());
    let options = ResizeOptions::new().resize_alg(filter.algorithm()).use_alpha(false);
    Resizer::new()
        .resize(source, &mut destination, &options)
        .expect("both images have one pixel type and nothing is cropped");
    destination
}

/// Filters with negative lobes overshoot; 16 bits keep what 8 bits cut off.
fn clamp_to_8_bits(samples: &mut [u8]) {
    for wide in samples.chunks_exact_mut(2) {
        let value = narrow(wide).min(255);
        wide.copy_from_slice(&value.to_ne_bytes());
    }
}

fn narrow(wide: &[u8]) -> u16 {
    u16::from_ne_bytes([wide[0], wide[1]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    #[test]
    fn a_flat_photo_stays_flat() {
        let photo = RgbImage::from_pixel(13, 7, Rgb([3, 128, 255]));
        for filter in [Filter::Nearest, Filter::Bilinear, Filter::Bicubic, Filter::Lanczos] {
            for (height, width) in [(1, 1), (5, 40), (29, 3)] {
                let small = resize(&photo, height, width, filter);
                assert_eq!(small, RgbImage::from_pixel(width, height, Rgb([3, 128, 255])), "{filter:?}");
            }
        }
    }

    #[test]
    fn the_same_size_is_the_same_photo() {
        let photo = RgbImage::from_fn(5, 4, |x, y| Rgb([x as u8 * 50, y as u8 * 60, 7]));
        assert_eq!(resize(&photo, 4, 5, Filter::Lanczos), photo);
    }

    #[test]
    fn nothing_stays_nothing() {
        assert_eq!(resize(&RgbImage::new(0, 0), 2, 2, Filter::Bilinear), RgbImage::new(2, 2));
        assert_eq!(resize(&RgbImage::new(3, 3), 0, 2, Filter::Bilinear).dimensions(), (2, 0));
    }
}
