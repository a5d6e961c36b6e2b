//! From a decoded photo to a model's input, every step recorded.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::{RgbImage, imageops};
use serde::{Deserialize, Serialize};

use super::region::{CentreCrop, Region, ResizeMode};
use super::resize::{Filter, resize};

/// Longest side, in pixels, of [`Preprocessing::view`].
pub const VIEW_SIDE: u32 = 640;

/// The order of a model's input channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColorOrder {
    /// Red first.
    #[default]
    Rgb,
    /// Blue first, as OpenCV and Caffe read.
    Bgr,
}

/// How a photo becomes a model's input. Every field is part of a result, so that it can be got again.
///
/// The photo is resized on 8-bit samples v (0..=255), then input = (v · scale − mean) / std by channel. The
/// layout is always N×C×H×W; a model that takes N×H×W×C is rewritten to take it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Preprocessing {
    /// Rows of the input, at least 1.
    pub height: usize,
    /// Columns of the input, at least 1.
    pub width: usize,
    /// 3, or 1 for models of grey images, which get the photo's luma (ITU-R 601, as Pillow's mode `L`).
    pub channels: usize,
    /// Order of the channels; means nothing with one channel.
    pub color: ColorOrder,
    /// Whether the photo is squashed or its centre cut out.
    pub resize: ResizeMode,
    /// The resampling filter.
    pub filter: Filter,
    /// Multiplies v: 1/255 for models trained on 0..=1.
    pub scale: f64,
    /// Subtracted from v · scale, by channel in the model's order; with one channel only the first counts.
    pub mean: [f64; 3],
    /// Divides the difference, by channel in the model's order; with one channel only the first counts.
    pub std: [f64; 3],
}

impl Preprocessing {
    /// The model's input for `photo`: C×H×W values, row-major, to be used as a batch of one in N×C×H×W.
    ///
    /// A photo without pixels gives the input of a black one.
    pub fn apply(&self, photo: &RgbImage) -> Vec<f32> {
        self.normalize(&self.pixels(photo))
    }

    /// `photo` on the input's grid, before normalisation: `height` × `width`, RGB whatever the model's order;
    /// three equal channels for a model of grey images.
    pub fn pixels(&self, photo: &RgbImage) -> RgbImage {
        let grey;
        let photo = match self.channels {
            1 => {
                grey = luma(photo);
                &grey
            }
            _ => photo,
        };
        let (height, width) = self.input();
        if self.resize == ResizeMode::Squash || photo.is_empty() {
            return resize(photo, height, width, self.filter);
        }
        let crop = CentreCrop::new((photo.height(), photo.width()), (height, width));
        let resized = resize(photo, crop.resized_height, crop.resized_width, self.filter);
        imageops::crop_imm(&resized, crop.left, crop.top, width, height).to_image()
    }

    /// (v · scale − mean) / std of an image already on the input's grid, as C×H×W.
    ///
    /// For pixels from elsewhere (an attacked image, a rendered scene); [`apply`](Self::apply) is
    /// [`pixels`](Self::pixels), then this.
    pub fn normalize(&self, pixels: &RgbImage) -> Vec<f32> {
        let mut input = Vec::with_capacity(self.channels * pixels.as_raw().len() / 3);
        for c in 0..self.channels {
            let source = if self.color == ColorOrder::Bgr && self.channels == 3 { 2 - c } else { c };
            let levels: Vec<f32> = (0..=u8::MAX).map(|v| self.level(v, c)).collect();
            input.extend(pixels.pixels().map(|p| levels[usize::from(p.0[source])]));
        }
        input
    }

    /// The part of a photo of `height` × `width` pixels that the model sees.
    ///
    /// A point (x, y) of the input grid lies at left + x · width / input width, and likewise for y.
    pub fn region(&self, height: u32, width: u32) -> Region {
        let whole = Region { left: 0.0, top: 0.0, width: f64::from(width), height: f64::from(height) };
        match self.resize {
            ResizeMode::Squash => whole,
            ResizeMode::Crop if height == 0 || width == 0 => whole,
            ResizeMode::Crop => {
                CentreCrop::new((height, width), self.input()).region((height, width), self.input())
            }
        }
    }

    /// What the model sees of `photo` (see [`region`](Self::region)), in its own aspect and colours, for
    /// people to look at: as large as in the photo, but at most [`VIEW_SIDE`] pixels a side.
    pub fn view(&self, photo: &RgbImage) -> RgbImage {
        let region = self.region(photo.height(), photo.width());
        let shrink = (f64::from(VIEW_SIDE) / region.width.max(region.height)).min(1.0);
        let side = |length: f64| ((length * shrink).round() as u32).clamp(1, VIEW_SIDE);
        let (height, width) = (side(region.height), side(region.width));
        let mut view = RgbImage::new(width, height);
        let options = ResizeOptions::new()
            .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
            .crop(region.left, region.top, region.width, region.height)
            .use_alpha(false);
        if !photo.is_empty() {
            // By the type of its pixels: the call without compiles the library's kernels for every type, into this crate.
            let source = TypedImageRef::<U8x3>::from_buffer(photo.width(), photo.height(), photo.as_raw())
                .expect("an RgbImage holds three bytes a pixel");
            let mut target = TypedImage::<U8x3>::from_buffer(width, height, &mut view)
                .expect("an RgbImage holds three bytes a pixel");
            Resizer::new()
                .resize_typed(&source, &mut target, &options)
                .expect("the region lies in the photo");
        }
        view
    }

    /// The input value of the 8-bit sample `v` in channel `c`.
    fn level(&self, v: u8, c: usize) -> f32 {
        ((f64::from(v) * self.scale - self.mean[c]) / self.std[c]) as f32
    }

    fn input(&self) -> (u32, u32) {
        (self.height as u32, self.width as u32)
    }
}

/// ITU-R 601 luma in three equal channels, rounded as Pillow's `convert("L")` does. Grey stays as it is.
fn luma(photo: &RgbImage) -> RgbImage {
    let mut grey = photo.clone();
    for pixel in grey.pixels_mut() {
        let [r, g, b] = pixel.0.map(u32::from);
        pixel.0 = [((r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16) as u8; 3];
    }
    grey
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Preset;
    use image::Rgb;

    fn one_pixel(preset: Preset, pixel: [u8; 3]) -> Vec<f32> {
        preset.preprocessing(1, 1).apply(&RgbImage::from_pixel(1, 1, Rgb(pixel)))
    }

    fn close(a: &[f32], b: &[f32]) {
        assert_eq!(a.len(), b.len());
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5), "{a:?} {b:?}");
    }

    #[test]
    fn each_preset_is_its_formula() {
        let pixel = [255, 0, 51];
        close(&one_pixel(Preset::Raw, pixel), &[255.0, 0.0, 51.0]);
        close(&one_pixel(Preset::Unit, pixel), &[1.0, 0.0, 0.2]);
        close(&one_pixel(Preset::Inception, pixel), &[1.0, -1.0, -0.6]);
        close(&one_pixel(Preset::Caffe, pixel), &[51.0 - 103.939, -116.779, 255.0 - 123.68]);
        let imagenet = [(1.0 - 0.485) / 0.229, -0.456 / 0.224, (0.2 - 0.406) / 0.225];
        close(&one_pixel(Preset::Imagenet, pixel), &imagenet);
    }

    #[test]
    fn channels_are_planes() {
        let photo = RgbImage::from_fn(2, 1, |x, _| Rgb([x as u8, 10 + x as u8, 20 + x as u8]));
        let input = Preset::Raw.preprocessing(1, 2).apply(&photo);
        assert_eq!(input, [0.0, 1.0, 10.0, 11.0, 20.0, 21.0]);
    }

    #[test]
    fn a_model_of_grey_images_gets_luma() {
        let grey = Preprocessing { channels: 1, ..Preset::Raw.preprocessing(1, 2) };
        let photo = RgbImage::from_fn(2, 1, |x, _| if x == 0 { Rgb([255, 0, 0]) } else { Rgb([77; 3]) });
        // round(0.299 · 255) = 76; grey stays grey, in one channel whatever the colour order.
        assert_eq!(grey.apply(&photo), [76.0, 77.0]);
        assert_eq!(Preprocessing { color: ColorOrder::Bgr, ..grey }.apply(&photo), [76.0, 77.0]);
    }

    #[test]
    fn the_view_is_the_region_at_display_resolution() {
        let photo = RgbImage::from_fn(1600, 800, |x, _| Rgb([if x < 800 { 0 } else { 255 }, 0, 0]));
        let squash = Preset::Imagenet.preprocessing(224, 224);
        assert_eq!(squash.view(&photo).dimensions(), (640, 320));
        let crop = Preprocessing { resize: ResizeMode::Crop, ..squash };
        let view = crop.view(&photo);
        assert_eq!(view.dimensions(), (640, 640));
        assert_eq!((view.get_pixel(300, 9).0[0], view.get_pixel(340, 9).0[0]), (0, 255));
        assert_eq!(crop.view(&RgbImage::new(32, 32)).dimensions(), (28, 28));
    }

    #[test]
    fn every_field_is_recorded() {
        let json = serde_json::to_value(Preset::Caffe.preprocessing(224, 192)).unwrap();
        let mut keys: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        let fields = ["channels", "color", "filter", "height", "mean", "resize", "scale", "std", "width"];
        assert_eq!(keys, fields);
        assert_eq!(
            (&json["color"], &json["resize"], &json["filter"]),
            (&"bgr".into(), &"squash".into(), &"bilinear".into())
        );
    }
}
