//! Leave-one-out dispersion (ML-LOO: Yang et al. 2020): each patch in turn is replaced by grey; measures how widely the answer's log-odds
//! scatter over the patches: standard deviation, mean absolute deviation, interquartile range. The original leaves out single pixels and
//! also uses hidden neurons; patches limit it to 16 passes.

use image::{Rgb, RgbImage};

use super::{Answers, Representation};
use crate::attacks::answer;
use crate::error::Result;
use candor::image::Preprocessing;
use candor::model::Model;
use candor::quantile::{median, percentile};

/// The representation: three numbers, in log-odds.
pub struct Dispersion(Answers);

/// Number of patches per side.
const SIDE: u32 = 4;

impl Dispersion {
    /// Compiles the model.
    ///
    /// # Errors
    /// If the engine does not support an operator.
    pub fn new(model: &Model, preprocessing: &Preprocessing) -> Result<Self> {
        Ok(Dispersion(Answers::new(model, preprocessing)?))
    }
}

impl Representation for Dispersion {
    fn rows(&mut self, model: &Model, pictures: &[&RgbImage]) -> Result<Vec<Vec<f32>>> {
        let mut rows = vec![];
        for picture in pictures {
            let patched: Vec<RgbImage> = (0..SIDE * SIDE).map(|i| without(picture, i)).collect();
            let before = self.0.logits(model, [*picture])?.remove(0);
            let class = answer(&before);
            let after = self.0.logits(model, &patched)?;
            let own = model.log_odds(&before, class);
            let mut effects: Vec<f64> = after.iter().map(|l| own - model.log_odds(l, class)).collect();
            effects.sort_by(f64::total_cmp);
            let mean = effects.iter().sum::<f64>() / effects.len() as f64;
            let variance = effects.iter().map(|e| (e - mean).powi(2)).sum::<f64>() / effects.len() as f64;
            let middle = median(&effects).unwrap_or(0.0);
            let absolute: Vec<f64> = effects.iter().map(|e| (e - middle).abs()).collect();
            let range = percentile(&effects, 75.0) - percentile(&effects, 25.0);
            rows.push(vec![variance.sqrt() as f32, median(&absolute).unwrap_or(0.0) as f32, range as f32]);
        }
        Ok(rows)
    }

    fn describe(&self) -> serde_json::Value {
        serde_json::json!({"dispersion": {"patches": SIDE * SIDE}})
    }
}

/// The picture with patch `i` of [`SIDE`]² grey.
fn without(picture: &RgbImage, i: u32) -> RgbImage {
    let (w, h) = picture.dimensions();
    let (column, row) = (i % SIDE, i / SIDE);
    RgbImage::from_fn(w, h, |x, y| {
        let inside = x * SIDE / w == column && y * SIDE / h == row;
        if inside { Rgb([128; 3]) } else { *picture.get_pixel(x, y) }
    })
}
