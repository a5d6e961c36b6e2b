//! Resizes exactly as Pillow does: antialiased, on 8-bit samples, rows first.
//!
//! Models are trained on photos resized by Pillow (`Image.resize`, `src/libImaging/Resample.c`): each row is
//! convolved with a filter whose width grows with the reduction and rounded to 8 bits, then each column; weights are
//! integers with 22 fractional bits. `fast_image_resize` stores weights differently, so that sums half-way between two levels are
//! rounded the other way: a level or two on up to 5 % of the samples of a regular pattern. Hence this implementation. Pillow 13
//! sometimes resizes columns first; earlier versions always resize rows first, as here.

use std::f64::consts::PI;

use image::RgbImage;
use serde::{Deserialize, Serialize};

use super::photo::Samples;

/// Fractional bits of a weight.
const PRECISION: u32 = 32 - 8 - 2;
/// One half: makes the final shift round to nearest.
const HALF: i32 = 1 << (PRECISION - 1);

/// Resampling filter. All but `Nearest` antialias: the filter's width grows with the reduction.
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
    /// Radius of the filter, in pixels of the coarser grid.
    fn support(self) -> f64 {
        match self {
            Filter::Nearest => 0.5,
            Filter::Bilinear => 1.0,
            Filter::Bicubic => 2.0,
            Filter::Lanczos => 3.0,
        }
    }

    /// The filter at distance `x`, in pixels of the coarser grid.
    fn at(self, x: f64) -> f64 {
        let sinc = |x: f64| if x == 0.0 { 1.0 } else { (x * PI).sin() / (x * PI) };
        let x = x.abs();
        match self {
            _ if x >= self.support() => 0.0,
            Filter::Nearest => 1.0,
            Filter::Bilinear => 1.0 - x,
            Filter::Bicubic if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
            Filter::Bicubic => (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5,
            Filter::Lanczos => sinc(x) * sinc(x / 3.0),
        }
    }
}

/// `photo` resized to `height` × `width` pixels, ignoring its aspect ratio, as Pillow's
/// `Image.resize((width, height), filter)` does.
///
/// An empty photo or a size of 0 gives an image of zeros.
pub fn resize(photo: &RgbImage, height: u32, width: u32, filter: Filter) -> RgbImage {
    if [photo.width(), photo.height(), width, height].contains(&0) {
        return RgbImage::new(width, height);
    }
    if filter == Filter::Nearest {
        return nearest(photo, height, width);
    }
    let across = if width == photo.width() { photo.clone() } else { resize_rows(photo, width, filter) };
    if height == across.height() { across } else { resize_columns(&across, height, filter) }
}

/// Samples resized to `height` × `width`, as Pillow's `Image.resize` does for float images (mode `F`): sums in double precision,
/// neither rounded nor clipped.
///
/// No samples or a size of 0 give zeros.
pub(super) fn resize_samples(samples: &Samples, height: u32, width: u32, filter: Filter) -> Samples {
    let values = vec![0.0; width as usize * height as usize];
    if [samples.width, samples.height, width, height].contains(&0) {
        return Samples { width, height, values };
    }
    if filter == Filter::Nearest {
        let (ys, xs) = (positions(samples.height, height), positions(samples.width, width));
        let at = |y: &u32, x: &u32| samples.values[*y as usize * samples.width as usize + *x as usize];
        return Samples {
            width,
            height,
            values: ys.iter().flat_map(|y| xs.iter().map(move |x| at(y, x))).collect(),
        };
    }
    let rows = |samples: &Samples, width: u32| -> Samples {
        let sums = sums(samples.width, width, filter);
        let rows = samples.values.chunks_exact(samples.width as usize);
        let values = rows.flat_map(|row| {
            sums.iter().map(|(first, weights)| {
                let sum: f64 = row[*first..].iter().zip(weights).map(|(&v, w)| f64::from(v) * w).sum();
                sum as f32
            })
        });
        Samples { width, height: samples.height, values: values.collect() }
    };
    let across = if width == samples.width { samples.clone() } else { rows(samples, width) };
    if height == across.height {
        return across;
    }
    across.transposed_by(|turned| rows(turned, height))
}

/// Source positions for `Nearest`. Pillow accumulates the step instead of multiplying, which decides cases half-way between two pixels.
fn positions(old: u32, new: u32) -> Vec<u32> {
    let step = f64::from(old) / f64::from(new);
    let centres = std::iter::successors(Some(step * 0.5), |at| Some(at + step));
    centres.take(new as usize).map(|at| (at as u32).min(old - 1)).collect()
}

fn nearest(photo: &RgbImage, height: u32, width: u32) -> RgbImage {
    let (ys, xs) = (positions(photo.height(), height), positions(photo.width(), width));
    RgbImage::from_fn(width, height, |x, y| *photo.get_pixel(xs[x as usize], ys[y as usize]))
}

/// One new pixel as a weighted sum of old ones: index of the first, and the weights.
struct Taps {
    first: usize,
    weights: Vec<i32>,
}

/// The weights as integers (`normalize_coeffs_8bpc`).
fn taps(old: u32, new: u32, filter: Filter) -> Vec<Taps> {
    let fixed = |w: &f64| (w * f64::from(1 << PRECISION)).round() as i32;
    let of =
        |(first, weights): (usize, Vec<f64>)| Taps { first, weights: weights.iter().map(fixed).collect() };
    sums(old, new, filter).into_iter().map(of).collect()
}

/// For each of `new` pixels, the first of the `old` pixels and the weights, which sum to 1 (`precompute_coeffs`).
fn sums(old: u32, new: u32, filter: Filter) -> Vec<(usize, Vec<f64>)> {
    let step = f64::from(old) / f64::from(new);
    let widening = step.max(1.0);
    let support = filter.support() * widening;
    let one_pixel = |i: u32| {
        let centre = (f64::from(i) + 0.5) * step;
        let first = (centre - support + 0.5).max(0.0) as u32;
        let end = ((centre + support + 0.5) as u32).min(old);
        let distance = |j: u32| (f64::from(j) - centre + 0.5) * (1.0 / widening);
        let weights: Vec<f64> = (first..end).map(|j| filter.at(distance(j))).collect();
        let total: f64 = weights.iter().sum();
        (first as usize, weights.iter().map(|w| w / total).collect())
    };
    (0..new).map(one_pixel).collect()
}

/// The sum as a level: rounded, then clipped to 0..=255.
fn level(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

fn resize_rows(photo: &RgbImage, width: u32, filter: Filter) -> RgbImage {
    let taps = taps(photo.width(), width, filter);
    let mut levels = Vec::with_capacity(3 * taps.len() * photo.height() as usize);
    for row in photo.as_raw().chunks_exact(3 * photo.width() as usize) {
        for Taps { first, weights } in &taps {
            let mut sums = [HALF; 3];
            for (pixel, weight) in row[3 * first..].as_chunks::<3>().0.iter().zip(weights) {
                for (sum, &v) in sums.iter_mut().zip(pixel) {
                    *sum += i32::from(v) * weight;
                }
            }
            levels.extend(sums.map(level));
        }
    }
    RgbImage::from_raw(width, photo.height(), levels).expect("three levels for each new pixel")
}

fn resize_columns(photo: &RgbImage, height: u32, filter: Filter) -> RgbImage {
    let row_length = 3 * photo.width() as usize;
    let mut levels = Vec::with_capacity(row_length * height as usize);
    let mut sums = vec![0; row_length];
    for Taps { first, weights } in taps(photo.height(), height, filter) {
        sums.fill(HALF);
        for (row, weight) in photo.as_raw()[first * row_length..].chunks_exact(row_length).zip(weights) {
            for (sum, &v) in sums.iter_mut().zip(row) {
                *sum += i32::from(v) * weight;
            }
        }
        levels.extend(sums.iter().map(|&sum| level(sum)));
    }
    RgbImage::from_raw(photo.width(), height, levels).expect("three levels for each new pixel")
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
    fn sums_fit_in_32_bits() {
        for filter in [Filter::Bilinear, Filter::Bicubic, Filter::Lanczos] {
            for (old, new) in (1..40).flat_map(|old| (1..90).map(move |new| (old, new))) {
                for Taps { weights, .. } in taps(old, new, filter) {
                    let positive: i64 = weights.iter().map(|&w| i64::from(w.max(0)) * 255).sum();
                    assert!(positive + i64::from(HALF) <= i64::from(i32::MAX), "{filter:?} {old} {new}");
                }
            }
        }
    }

    #[test]
    fn nothing_stays_nothing() {
        assert_eq!(resize(&RgbImage::new(0, 0), 2, 2, Filter::Bilinear), RgbImage::new(2, 2));
        assert_eq!(resize(&RgbImage::new(3, 3), 0, 2, Filter::Bilinear).dimensions(), (2, 0));
    }
}
