//! Feature squeezing: how much the probabilities change, in L1, when the picture's colour depth is reduced or it is smoothed; the larger
//! of the two (Xu, Evans, Qi 2018: depth of 5 bits for CIFAR-10 and ImageNet, median of 2×2; their third squeezer, non-local means, is
//! left out).

use image::{Rgb, RgbImage};

use super::{Answers, Representation};
use crate::error::Result;
use candor::image::Preprocessing;
use candor::model::Model;
use candor::scores::softmax;

/// The representation: one number, 0..=2.
pub struct Squeezing(Answers);

const BITS: u32 = 5;

impl Squeezing {
    /// Compiles the model.
    ///
    /// # Errors
    /// If the engine does not support an operator.
    pub fn new(model: &Model, preprocessing: &Preprocessing) -> Result<Self> {
        Ok(Squeezing(Answers::new(model, preprocessing)?))
    }
}

impl Representation for Squeezing {
    fn rows(&mut self, model: &Model, pictures: &[&RgbImage]) -> Result<Vec<Vec<f32>>> {
        let mut probabilities = |pictures: &[RgbImage]| -> Result<Vec<Vec<f64>>> {
            Ok(self.0.logits(model, pictures)?.iter().map(|l| softmax(l)).collect())
        };
        let own: Vec<RgbImage> = pictures.iter().map(|p| (*p).clone()).collect();
        let before = probabilities(&own)?;
        let shallow = probabilities(&own.iter().map(shallow).collect::<Vec<_>>())?;
        let smooth = probabilities(&own.iter().map(median).collect::<Vec<_>>())?;
        let distance = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f64>();
        let row =
            |i: usize| vec![distance(&before[i], &shallow[i]).max(distance(&before[i], &smooth[i])) as f32];
        Ok((0..own.len()).map(row).collect())
    }

    fn describe(&self) -> serde_json::Value {
        serde_json::json!({"squeezing": {"bits": BITS, "median": 2}})
    }
}

/// Reduces each channel to 2^[`BITS`] levels.
fn shallow(picture: &RgbImage) -> RgbImage {
    let steps = ((1u32 << BITS) - 1) as f32;
    let level = |v: u8| ((f32::from(v) / 255.0 * steps).round() / steps * 255.0).round() as u8;
    RgbImage::from_fn(picture.width(), picture.height(), |x, y| Rgb(picture.get_pixel(x, y).0.map(level)))
}

/// The median of a 2×2 window whose lower right is the pixel: of four values, the higher of the middle two, as in SciPy's filter.
fn median(picture: &RgbImage) -> RgbImage {
    RgbImage::from_fn(picture.width(), picture.height(), |x, y| {
        let (left, up) = (x.saturating_sub(1), y.saturating_sub(1));
        let window = [(left, up), (x, up), (left, y), (x, y)].map(|(x, y)| picture.get_pixel(x, y).0);
        Rgb([0, 1, 2].map(|c| {
            let mut values = window.map(|p| p[c]);
            values.sort_unstable();
            values[2]
        }))
    })
}
