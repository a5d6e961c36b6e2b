//! From a decoded photo to a model's input, with every step recorded.

use std::path::Path;

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::{Rgb, RgbImage, imageops};
use serde::{Deserialize, Serialize};

use super::change::Decoded;
use super::decode::{decode_bytes_windowed, decode_windowed};
use super::error::ImageError;
use super::photo::{Picture, Samples};
use super::planes::planes;
use super::region::{Placement, Region, ResizeMode, Rounding, covering};
use super::resize::{Filter, resize, resize_samples};

/// Longest side, in pixels, of [`Preprocessing::view`].
pub const VIEW_SIDE: u32 = 640;

/// The order of a model's input channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColorOrder {
    /// Red first.
    #[default]
    Rgb,
    /// Blue first, as in OpenCV and Caffe.
    Bgr,
    /// The photo's luma in every channel.
    #[serde(alias = "gray")]
    Grey,
}

/// How a photo becomes a model's input. Every field is part of a result, so that it can be reproduced.
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
    /// Whether the photo is squashed, cropped to its centre, or letterboxed.
    pub resize: ResizeMode,
    /// Height and width to which the photo is resized so that it covers (crop) or fits into (letterbox) them; the input is then taken
    /// from the centre. `None`: those of the input, or 8/7 of them for a crop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resized: Option<[usize; 2]>,
    /// Whose rounding of sizes and margins is used.
    #[serde(skip_serializing_if = "is_default")]
    pub rounding: Rounding,
    /// Colour of a letterbox border, as red, green, blue.
    #[serde(skip_serializing_if = "is_default")]
    pub fill: [u8; 3],
    /// Centre and width of the range of samples that is mapped to black to white, before any other step; in the file's own samples
    /// (DICOM's after rescaling, for example to Hounsfield units). `None`: DICOM's own window, else the samples relative to the largest
    /// value of their type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<[f64; 2]>,
    /// The resampling filter.
    pub filter: Filter,
    /// Multiplies v: 1/255 for models trained on 0..=1.
    pub scale: f64,
    /// Subtracted from v · scale, per channel in the model's order; with one channel only the first is used.
    pub mean: [f64; 3],
    /// Divides the difference, per channel in the model's order; with one channel only the first is used.
    pub std: [f64; 3],
}

/// Fields that most pipelines do not need are left out of results.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Preprocessing {
    /// Reads the photo in the file at `path` as for [`decode_with_changes`](super::decode_with_changes), but through the
    /// [`window`](Self::window).
    ///
    /// # Errors
    /// As [`decode_with_changes`](super::decode_with_changes).
    pub fn read(&self, path: &Path) -> Result<Decoded, ImageError> {
        decode_windowed(path, self.window)
    }

    /// [`read`](Self::read) for a file's content; `path` names it in errors.
    ///
    /// # Errors
    /// As [`decode_bytes_with_changes`](super::decode_bytes_with_changes).
    pub fn read_bytes(&self, bytes: &[u8], path: &Path) -> Result<Decoded, ImageError> {
        decode_bytes_windowed(bytes, path, self.window)
    }

    /// The model's input for `photo`: C×H×W values, row-major, to be used as a batch of one in N×C×H×W. Samples finer than 8 bits are
    /// resized as floats and not rounded.
    ///
    /// A photo without pixels gives the input of a black one.
    pub fn apply(&self, photo: &impl Picture) -> Vec<f32> {
        match photo.samples() {
            Some(samples) => self.normalize_levels(&self.levels_of(samples)),
            None => self.normalize(&self.pixels(photo.shown())),
        }
    }

    /// `photo` on the input's grid before normalisation: levels of 0..=255, C×H×W, red first whatever the model's order. Those of
    /// [`pixels`](Self::pixels), or of a photo with finer samples than 8 bits, these.
    pub fn levels(&self, photo: &impl Picture) -> Vec<f32> {
        match photo.samples() {
            Some(samples) => self.levels_of(samples),
            None => planes(&self.pixels(photo.shown()), self.channels),
        }
    }

    /// `photo` on the input's grid for display ([`pixels`](Self::pixels)), and the model's input ([`apply`](Self::apply)).
    pub fn prepare(&self, photo: &impl Picture) -> (RgbImage, Vec<f32>) {
        let pixels = self.pixels(photo.shown());
        let input = photo.samples().map_or_else(
            || self.normalize(&pixels),
            |samples| self.normalize_levels(&self.levels_of(samples)),
        );
        (pixels, input)
    }

    /// [`levels`](Self::levels) of grey samples, which are every channel; a border has its colour.
    fn levels_of(&self, samples: &Samples) -> Vec<f32> {
        let (height, width) = self.input();
        let fill = if self.is_grey() {
            luma(&RgbImage::from_pixel(1, 1, Rgb(self.fill))).get_pixel(0, 0).0
        } else {
            self.fill
        };
        let empty = samples.values.is_empty();
        let Placement { resized_height, resized_width, top, left } =
            self.placement(samples.height.max(1), samples.width.max(1));
        let resized = resize_samples(samples, resized_height, resized_width, self.filter);
        // The sample at a pixel of the input; `None` in the border.
        let at = |y: i64, x: i64| -> Option<f32> {
            let (y, x) = (u32::try_from(top + y).ok()?, u32::try_from(left + x).ok()?);
            let inside = y < resized.height && x < resized.width;
            inside.then(|| resized.values[y as usize * resized.width as usize + x as usize])
        };
        let mut levels = Vec::with_capacity(self.channels * self.height * self.width);
        for colour in fill.iter().take(self.channels) {
            let border = if empty { 0.0 } else { f32::from(*colour) };
            for y in 0..i64::from(height) {
                levels.extend((0..i64::from(width)).map(|x| at(y, x).filter(|_| !empty).unwrap_or(border)));
            }
        }
        levels
    }

    /// (v · scale − mean) / std of [`levels`](Self::levels), channels in the model's order.
    pub fn normalize_levels(&self, levels: &[f32]) -> Vec<f32> {
        let plane = (levels.len() / self.channels.max(1)).max(1);
        let channel = |c: usize| levels.chunks(plane).nth(self.source(c)).unwrap_or_default();
        (0..self.channels).flat_map(|c| channel(c).iter().map(move |&v| self.value(v.into(), c))).collect()
    }

    /// The channel of the photo from which channel `c` of the input is made.
    fn source(&self, c: usize) -> usize {
        if self.color == ColorOrder::Bgr && self.channels == 3 { 2 - c } else { c }
    }

    /// `photo` on the input's grid, before normalisation: `height` × `width`, RGB whatever the model's order;
    /// three equal channels for a model of grey images.
    pub fn pixels(&self, photo: &RgbImage) -> RgbImage {
        let grey;
        let photo = match self.is_grey() {
            true => {
                grey = luma(photo);
                &grey
            }
            false => photo,
        };
        let (height, width) = self.input();
        if photo.is_empty() {
            return RgbImage::new(width, height);
        }
        let Placement { resized_height, resized_width, top, left } =
            self.placement(photo.height(), photo.width());
        let resized = resize(photo, resized_height, resized_width, self.filter);
        if (resized_height, resized_width) == (height, width) {
            return resized;
        }
        let mut pixels = RgbImage::from_pixel(width, height, Rgb(self.fill));
        imageops::replace(&mut pixels, &resized, -left, -top);
        pixels
    }

    /// Whether the model sees the photo's luma.
    fn is_grey(&self) -> bool {
        self.channels == 1 || self.color == ColorOrder::Grey
    }

    /// Position of the input on the resized photo; both sides must be above 0.
    fn placement(&self, height: u32, width: u32) -> Placement {
        let own = |side: usize| match self.resize {
            ResizeMode::Crop => covering(side, 0.875),
            ResizeMode::Squash | ResizeMode::Letterbox => side,
        };
        let [tall, wide] = self.resized.unwrap_or([own(self.height), own(self.width)]);
        Placement::new(self.resize, (height, width), (tall as u32, wide as u32), self.input(), self.rounding)
    }

    /// (v · scale − mean) / std of an image already on the input's grid, as C×H×W.
    ///
    /// For pixels from other sources (an attacked image, a rendered scene); [`apply`](Self::apply) is
    /// [`pixels`](Self::pixels), then this.
    pub fn normalize(&self, pixels: &RgbImage) -> Vec<f32> {
        let mut input = Vec::with_capacity(self.channels * pixels.as_raw().len() / 3);
        for c in 0..self.channels {
            let source = self.source(c);
            let levels: Vec<f32> = (0..=u8::MAX).map(|v| self.value(v.into(), c)).collect();
            input.extend(pixels.pixels().map(|p| levels[usize::from(p.0[source])]));
        }
        input
    }

    /// The part of a photo of `height` × `width` pixels that the model sees.
    ///
    /// A point (x, y) of the input grid is at x-coordinate left + x · width / input width in the photo, and likewise for y.
    pub fn region(&self, height: u32, width: u32) -> Region {
        if height == 0 || width == 0 {
            return Region { left: 0.0, top: 0.0, width: f64::from(width), height: f64::from(height) };
        }
        self.placement(height, width).region((height, width), self.input())
    }

    /// The steps that a photo of `height` × `width` pixels goes through before the model sees it, one clause each; without normalisation.
    pub fn steps(&self, height: u32, width: u32) -> Vec<String> {
        let input = self.input();
        let size = |(height, width): (u32, u32)| format!("{width} × {height}");
        let Region { height: seen_height, width: seen_width, .. } = self.region(height, width);
        let to = format!("{} to {}", size((height, width)), size(input));
        let same_aspect = u64::from(height) * u64::from(input.1) == u64::from(width) * u64::from(input.0);
        let sized = match self.resize {
            _ if (height, width) == input => None,
            _ if same_aspect && self.sees_all() => Some(format!("resized from {to} pixels")),
            ResizeMode::Squash if self.resized.is_none() => {
                Some(format!("squashed from {to} pixels, which changes its aspect"))
            }
            ResizeMode::Letterbox => Some(format!("resized to fit from {to} pixels, with a border")),
            ResizeMode::Squash | ResizeMode::Crop => {
                let share =
                    100.0 * seen_height * seen_width / (f64::from(height) * f64::from(width)).max(1.0);
                Some(format!("resized and cut from {to} pixels: its middle, {share:.0} % of it"))
            }
        };
        let grey = self.is_grey().then(|| "made grey".to_string());
        sized.into_iter().chain(grey).collect()
    }

    /// Whether the whole photo is part of the input.
    fn sees_all(&self) -> bool {
        match self.resize {
            ResizeMode::Squash => self.resized.is_none_or(|r| r == [self.height, self.width]),
            ResizeMode::Crop => false,
            ResizeMode::Letterbox => self.resized.is_none_or(|[h, w]| h <= self.height && w <= self.width),
        }
    }

    /// The part of `photo` that the model sees (see [`region`](Self::region)), in its own aspect ratio and colours, for display: at the
    /// photo's resolution, but at most [`VIEW_SIDE`] pixels a side.
    pub fn view(&self, photo: &RgbImage) -> RgbImage {
        let region = self.region(photo.height(), photo.width());
        let shrink = (f64::from(VIEW_SIDE) / region.width.max(region.height)).min(1.0);
        let side = |length: f64| ((length * shrink).round() as u32).clamp(1, VIEW_SIDE);
        let (height, width) = (side(region.height), side(region.width));
        // For a region with a border, the part that belongs to the photo.
        let (left, top) = (region.left.max(0.0), region.top.max(0.0));
        let right = (region.left + region.width).min(f64::from(photo.width()));
        let bottom = (region.top + region.height).min(f64::from(photo.height()));
        let inside = (side(right - left), side(bottom - top));
        let mut view = RgbImage::new(inside.0, inside.1);
        let options = ResizeOptions::new()
            .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
            .crop(left, top, right - left, bottom - top)
            .use_alpha(false);
        if !photo.is_empty() {
            // With the pixel type named: the untyped call would compile the library's kernels for every type into this crate.
            let source = TypedImageRef::<U8x3>::from_buffer(photo.width(), photo.height(), photo.as_raw())
                .expect("an RgbImage holds three bytes a pixel");
            let mut target = TypedImage::<U8x3>::from_buffer(inside.0, inside.1, &mut view)
                .expect("an RgbImage holds three bytes a pixel");
            Resizer::new()
                .resize_typed(&source, &mut target, &options)
                .expect("the region lies in the photo");
        }
        if inside == (width, height) {
            return view;
        }
        let mut whole = RgbImage::from_pixel(width, height, Rgb(self.fill));
        let at = |begin: f64, from: f64| ((begin - from) * shrink).round() as i64;
        imageops::replace(&mut whole, &view, at(left, region.left), at(top, region.top));
        whole
    }

    /// The input value for the sample `v`, 0..=255, in channel `c`.
    fn value(&self, v: f64, c: usize) -> f32 {
        ((v * self.scale - self.mean[c]) / self.std[c]) as f32
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
    use crate::image::{Photo, Preset};

    fn one_pixel(preset: Preset, pixel: [u8; 3]) -> Vec<f32> {
        preset.preprocessing(1, 1).apply(&RgbImage::from_pixel(1, 1, Rgb(pixel)))
    }

    #[test]
    fn the_steps_say_what_becomes_of_a_photo() {
        let squash = Preset::Unit.preprocessing(8, 8);
        let of = |p: &Preprocessing, height, width| p.steps(height, width).join("; ");
        assert_eq!(of(&squash, 8, 8), "");
        assert_eq!(of(&squash, 16, 16), "resized from 16 × 16 to 8 × 8 pixels");
        assert_eq!(of(&squash, 9, 16), "squashed from 16 × 9 to 8 × 8 pixels, which changes its aspect");
        let grey = Preprocessing { channels: 1, ..squash.clone() };
        assert_eq!(of(&grey, 8, 8), "made grey");
        let crop = Preprocessing { resize: ResizeMode::Crop, ..squash };
        let cut = of(&crop, 40, 80);
        assert!(cut.starts_with("resized and cut from 80 × 40 to 8 × 8 pixels: its middle, "), "{cut}");
    }

    #[test]
    fn levels_normalised_are_the_input_and_are_rounded_only_where_the_photo_is() {
        let letterbox = Preprocessing {
            resize: ResizeMode::Letterbox,
            fill: [10, 20, 30],
            color: ColorOrder::Bgr,
            ..Preset::Caffe.preprocessing(6, 6)
        };
        let coarse = RgbImage::from_fn(9, 5, |x, y| Rgb([20 * x as u8, 40 * y as u8, 99]));
        let fine = Samples { width: 9, height: 5, values: (0..45).map(|i| 5.3 * i as f32).collect() };
        for (photo, whole) in [(Photo::from(coarse), true), (Photo::from(fine), false)] {
            for p in [letterbox.clone(), Preprocessing { channels: 1, ..letterbox.clone() }] {
                let levels = p.levels(&photo);
                assert_eq!(p.normalize_levels(&levels), p.apply(&photo));
                assert_eq!(levels.iter().all(|l| l.fract() == 0.0), whole);
                assert_eq!(levels.len(), 36 * p.channels);
            }
            // The border's colour, red first.
            let levels = letterbox.levels(&photo);
            assert_eq!([levels[0], levels[36], levels[72]], [10.0, 20.0, 30.0]);
        }
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
    fn grey_is_laid_into_three_channels() {
        let grey = Preprocessing { color: ColorOrder::Grey, ..Preset::Raw.preprocessing(1, 2) };
        let photo = RgbImage::from_fn(2, 1, |x, _| if x == 0 { Rgb([255, 0, 0]) } else { Rgb([77; 3]) });
        assert_eq!(grey.apply(&photo), [76.0, 77.0].repeat(3));
        assert_eq!(grey.steps(1, 2), ["made grey"]);
    }

    #[test]
    fn a_letterbox_keeps_the_aspect_and_has_a_border() {
        let boxed = Preprocessing {
            resize: ResizeMode::Letterbox,
            fill: [9, 8, 7],
            ..Preset::Raw.preprocessing(4, 4)
        };
        let photo = RgbImage::from_pixel(8, 4, Rgb([200; 3]));
        let red = &boxed.apply(&photo)[..16];
        assert_eq!(red, [[9.0; 4], [200.0; 4], [200.0; 4], [9.0; 4]].concat());
        assert_eq!(boxed.region(4, 8), Region { left: 0.0, top: -2.0, width: 8.0, height: 8.0 });
        let view = boxed.view(&photo);
        assert_eq!(view.dimensions(), (8, 8));
        assert_eq!((view.get_pixel(0, 0).0, view.get_pixel(0, 4).0), ([9, 8, 7], [200; 3]));
        assert_eq!(boxed.steps(4, 8), ["resized to fit from 8 × 4 to 4 × 4 pixels, with a border"]);
    }

    #[test]
    fn a_squashed_photo_may_be_cut_too() {
        // Resized to 4×4, then cropped to the central 2×2.
        let cut = Preprocessing { resized: Some([4, 4]), ..Preset::Raw.preprocessing(2, 2) };
        let photo = RgbImage::from_fn(4, 4, |x, y| Rgb([(4 * y + x) as u8; 3]));
        assert_eq!(cut.apply(&photo)[..4], [5.0, 6.0, 9.0, 10.0]);
        assert_eq!(cut.region(8, 4), Region { left: 1.0, top: 2.0, width: 2.0, height: 4.0 });
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
