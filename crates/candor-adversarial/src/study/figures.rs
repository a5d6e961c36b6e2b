//! The results of a study as plain data.

use serde::Serialize;

/// The result of a study.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The attacks.
    pub attacks: Vec<AttackRow>,
    /// Numbers of clean images: training, calibration, test.
    pub clean: [usize; 3],
    /// One row per detector.
    pub detectors: Vec<DetectorRow>,
    /// Adaptive (white-box) attacks on the detector, if requested.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub adaptive: Vec<AdaptiveRow>,
}

/// An attack of the study.
#[derive(Debug, Serialize)]
pub struct AttackRow {
    /// As given.
    pub label: String,
    /// Fraction of the images of training and test on which it succeeds, quantised to 8 bits, 0..=1.
    pub success: f64,
    /// Number of adversarial images in the test split.
    pub test: usize,
    /// Median L∞ and L2 norms of the successful ones, with pixels in 0..=1.
    pub norms: Option<[f64; 2]>,
}

/// The results of a detector.
#[derive(Debug, Serialize)]
pub struct DetectorRow {
    /// Its name.
    pub name: String,
    /// `ours`, `baseline` or `ablation`.
    pub kind: &'static str,
    /// Trained on all attacks: one result per attack.
    pub seen: Vec<Option<Figure>>,
    /// Trained on all attacks except those with the same name: one result per attack.
    pub unseen: Vec<Option<Figure>>,
    /// Trained only on this attack; among networks, for the mask detector only.
    pub same: Vec<Option<Figure>>,
    /// By the attack's name, for each image with the weakest budget of the attack that succeeds on it; trained on all attacks.
    pub weakest: Vec<(String, Option<Figure>)>,
    /// Fraction of clean test images above the thresholds, by corruption; trained on all attacks.
    pub false_alarms: Vec<(String, Vec<f64>)>,
}

/// How well scores distinguish adversarial images from clean ones.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// Area under the ROC curve.
    pub auroc: f64,
    /// Its 95 % bootstrap interval over images.
    pub interval: [f64; 2],
    /// Fraction of adversarial images above each threshold of [`crate::detector::Threshold::SHARES`].
    pub detected: Vec<f64>,
    /// Number of adversarial images.
    pub count: usize,
}

impl Figure {
    /// The mean of a value over the attacks that have results.
    pub fn mean(figures: &[Option<Figure>], value: fn(&Figure) -> f64) -> Option<f64> {
        let values: Vec<f64> = figures.iter().flatten().map(value).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }
}

/// The result of the adaptive attack with one budget.
#[derive(Clone, Debug, Serialize)]
pub struct AdaptiveRow {
    /// Budget in L∞, with pixels in 0..=1.
    pub eps: f64,
    /// Number of steps.
    pub steps: usize,
    /// Number of attacked images, all of the test split.
    pub images: usize,
    /// Fraction that the model misclassifies, quantised to 8 bits, 0..=1.
    pub success: f64,
    /// Fractions of the misclassified images above the thresholds for false-alarm rates of 0.01 and 0.05.
    pub detected: Vec<f64>,
    /// AUROC of the misclassified images and the clean test images.
    pub auroc: Option<f64>,
    /// Fraction of all images that the model misclassifies without an alarm at the threshold for a false-alarm rate of 0.05.
    pub evades: f64,
}
