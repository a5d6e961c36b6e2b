//! A detector's card: the model it is for, its training data, and its thresholds.

use serde::{Deserialize, Serialize};

use super::features::FeatureSettings;
use crate::error::{Error, Result};
use candor::engine::EngineInfo;
use candor::model::ModelInfo;
use candor::quantile::percentile;

/// The card.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Card {
    /// Version of Candor that trained it.
    pub candor: String,
    /// The model whose inputs it screens.
    pub model: ModelInfo,
    /// The model's preprocessing.
    pub preprocessing: serde_json::Value,
    /// The engine on which it was trained.
    pub engine: EngineInfo,
    /// How its features are computed.
    pub features: FeatureSettings,
    /// The attacks that it was trained on, with the number of adversarial images of each.
    pub attacks: Vec<Learned>,
    /// The dataset.
    pub data: Data,
    /// Seed of the split, of the attacks and of the training.
    pub seed: u64,
    /// Minimum number of passes of the training over the clean images.
    pub epochs: usize,
    /// Scores at which it raises an alarm.
    pub thresholds: Vec<Threshold>,
    /// SHA-256 of the network's file, so that a damaged or exchanged file is detected. Cards of earlier versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_sha256: Option<String>,
}

impl Card {
    /// What is invalid in a card read from a file; `None` if nothing is.
    pub(super) fn problem(&self) -> Option<String> {
        let share = |v: f64| (0.0..=1.0).contains(&v);
        let FeatureSettings { grid, iterations, rate, beta_2, lambda, .. } = &self.features;
        let wrong = |what: &str, value: &dyn std::fmt::Display| Some(format!("{what} is {value}"));
        if let Some(t) = self.thresholds.iter().find(|t| !share(t.false_alarms)) {
            return wrong("false_alarms of a threshold, a share of 0 to 1,", &t.false_alarms);
        }
        if let Some(t) = self.thresholds.iter().find(|t| !share(t.score)) {
            return wrong("score of a threshold, 0 to 1,", &t.score);
        }
        match () {
            () if self.thresholds.is_empty() => Some("it has no thresholds".to_string()),
            () if !(1..=512).contains(grid) => wrong("grid, 1 to 512,", grid),
            () if !(1..=100_000).contains(iterations) => wrong("iterations, 1 to 100000,", iterations),
            () if !(1e-6..=10.0).contains(rate) => wrong("rate, 1e-6 to 10,", rate),
            () if !(0.0..1.0).contains(beta_2) => wrong("beta_2, 0 to 1,", beta_2),
            () => lambda.filter(|l| !(0.0..=1e6).contains(l)).and_then(|l| wrong("lambda, 0 to 1e6,", &l)),
        }
    }
}

/// An attack that a detector was trained on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Learned {
    /// As given.
    pub attack: String,
    /// Adversarial images of it in the training split.
    pub images: usize,
}

/// What a detector was trained and calibrated on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Data {
    /// Path of the dataset.
    pub path: String,
    /// SHA-256 of the list of samples.
    pub sha256: String,
    /// Number of clean training images, each also used after JPEG, noise or blur.
    pub train: usize,
    /// Number of clean images with which its thresholds were set.
    pub calibration: usize,
}

/// A threshold calibrated on clean images that the network was not trained on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// Fraction of clean images that raise a false alarm, 0..=1.
    pub false_alarms: f64,
    /// The score above which an image raises an alarm.
    pub score: f64,
}

impl Threshold {
    /// The fractions for which thresholds are set.
    pub const SHARES: [f64; 2] = [0.01, 0.05];

    /// Whether `images` clean ones are enough to set the threshold for a fraction `share` of false alarms: at least one of them is above
    /// it.
    pub fn enough(share: f64, images: usize) -> bool {
        images as f64 * share >= 1.0
    }

    /// What its alarms mean if it was set with `images` clean images: the fraction of false alarms, or that there are too few images.
    pub fn claim(&self, images: usize) -> String {
        let share = 100.0 * self.false_alarms;
        if Self::enough(self.false_alarms, images) {
            return format!("{share:.0} % false alarms, with {images} clean images");
        }
        let needed = (1.0 / self.false_alarms).ceil();
        format!(
            "meant for {share:.0} % false alarms; with {images} clean images too few to tell, which takes at least {needed:.0}: \
             --calibration of `candor detect train`"
        )
    }

    /// A caveat for thresholds set with `images` clean images: for which of [`Threshold::SHARES`] these are too few; `None` if enough.
    pub fn caveat(images: usize) -> Option<String> {
        let few: Vec<String> = Self::SHARES
            .into_iter()
            .filter(|&share| !Self::enough(share, images))
            .map(|share| format!("{:.0} %", 100.0 * share))
            .collect();
        let shares = few.join(" and ");
        (!few.is_empty())
            .then(|| format!("{images} clean images set the thresholds: too few to tell {shares}"))
    }

    /// Sets the thresholds from the scores of clean images.
    ///
    /// # Errors
    /// [`Error::Detector`] without scores.
    pub fn calibrate(clean: &[f64]) -> Result<Vec<Threshold>> {
        if clean.is_empty() {
            return Err(Error::Detector("no clean images to calibrate on".into()));
        }
        let mut sorted = clean.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |&share: &f64| Threshold {
            false_alarms: share,
            score: percentile(&sorted, 100.0 * (1.0 - share)),
        };
        Ok(Threshold::SHARES.iter().map(at).collect())
    }

    /// Fraction of scores above the threshold; NaN without scores.
    pub fn alarms(&self, scores: &[f64]) -> f64 {
        scores.iter().filter(|s| **s > self.score).count() as f64 / scores.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_let_their_share_of_clean_images_through() {
        let clean: Vec<f64> = (0..1000).map(|i| f64::from(i) / 1000.0).collect();
        let thresholds = Threshold::calibrate(&clean).unwrap();
        assert_eq!(thresholds[0].alarms(&clean), 0.01);
        assert_eq!(thresholds[1].alarms(&clean), 0.05);
        assert!(Threshold::calibrate(&[]).is_err());
    }

    #[test]
    fn few_images_cannot_tell_rare_alarms() {
        assert_eq!(Threshold::caveat(100), None);
        assert!(Threshold::caveat(99).unwrap().ends_with("too few to tell 1 %"));
        assert!(Threshold::caveat(19).unwrap().ends_with("too few to tell 1 % and 5 %"));
        let card = |change: &dyn Fn(&mut serde_json::Value)| {
            let mut card = serde_json::json!({
                "candor": "", "model": { "path": "", "sha256": "", "opset": 13, "producer": "", "bytes": 0 },
                "preprocessing": null, "engine": { "name": "", "version": "", "threads": 1 },
                "features": { "parts": [], "grid": 16, "iterations": 10, "rate": 0.1, "beta_2": 0.999, "lambda": 0.01, "levels": [] },
                "attacks": [], "data": { "path": "", "sha256": "", "train": 1, "calibration": 1 }, "seed": 0, "epochs": 1,
                "thresholds": [{ "false_alarms": 0.05, "score": 0.5 }],
            });
            change(&mut card);
            serde_json::from_value::<Card>(card).unwrap().problem()
        };
        assert_eq!(card(&|_| {}), None);
        assert!(
            card(&|c| c["thresholds"][0]["score"] = (-1e9).into()).unwrap().contains("score of a threshold")
        );
        assert!(card(&|c| c["thresholds"] = serde_json::json!([])).unwrap().contains("no thresholds"));
        assert!(card(&|c| c["features"]["rate"] = 1e30.into()).unwrap().contains("rate"));
        assert!(card(&|c| c["features"]["lambda"] = (-1.0).into()).unwrap().contains("lambda"));
        let claim = |images| Threshold { false_alarms: 0.05, score: 0.5 }.claim(images);
        assert_eq!(claim(20), "5 % false alarms, with 20 clean images");
        assert!(claim(12).contains("with 12 clean images too few to tell, which takes at least 20"));
    }
}
