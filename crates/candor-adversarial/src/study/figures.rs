//! The figures of a study as plain data.

use serde::Serialize;

/// The result of a study.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The attacks.
    pub attacks: Vec<AttackRow>,
    /// Numbers of clean images: training, calibration, test.
    pub clean: [usize; 3],
    /// A row a detector.
    pub detectors: Vec<DetectorRow>,
    /// Adaptive (white-box) attacks on the detector, if requested.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub adaptive: Vec<AdaptiveRow>,
}

/// An attack on the images.
#[derive(Debug, Serialize)]
pub struct AttackRow {
    /// As given.
    pub label: String,
    /// Share of the images of training and test on which it succeeds, quantised to 8 bits, 0..=1.
    pub success: f64,
    /// Adversarial images of the test split.
    pub test: usize,
    /// Median L∞ and L2 of the successful ones.
    pub norms: Option<[f64; 2]>,
}

/// A detector's figures.
#[derive(Debug, Serialize)]
pub struct DetectorRow {
    /// Its name.
    pub name: String,
    /// `ours`, `baseline` or `ablation`.
    pub kind: &'static str,
    /// Trained on all attacks: a figure an attack.
    pub seen: Vec<Option<Figure>>,
    /// Trained on all but those of the same name: a figure an attack.
    pub unseen: Vec<Option<Figure>>,
    /// Trained on this attack alone; of networks, the mask detector only.
    pub same: Vec<Option<Figure>>,
    /// On the weakest of an attack's budgets that succeeds on an image, by the attack's name; trained on all.
    pub weakest: Vec<(String, Option<Figure>)>,
    /// Share of clean test images above the thresholds, trained on all: by corruption.
    pub false_alarms: Vec<(String, Vec<f64>)>,
}

/// How well scores distinguish adversarial images from clean ones.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// Area under the ROC curve.
    pub auroc: f64,
    /// Its 95 % bootstrap interval over images.
    pub interval: [f64; 2],
    /// Share of adversarial images above each threshold of [`crate::detector::Threshold::SHARES`].
    pub detected: Vec<f64>,
    /// Adversarial images.
    pub count: usize,
}

impl Figure {
    /// The mean of a value over the attacks that have figures.
    pub fn mean(figures: &[Option<Figure>], value: fn(&Figure) -> f64) -> Option<f64> {
        let values: Vec<f64> = figures.iter().flatten().map(value).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }
}

/// The adaptive attack with one budget.
#[derive(Clone, Debug, Serialize)]
pub struct AdaptiveRow {
    /// Budget in L∞, pixels counted in 0..=1.
    pub eps: f64,
    /// Steps.
    pub steps: usize,
    /// Attacked images, all of the test split.
    pub images: usize,
    /// Share that the model misclassifies, quantised to 8 bits, 0..=1.
    pub success: f64,
    /// Of those, the shares above the thresholds for 1 % and 5 % false alarms.
    pub detected: Vec<f64>,
    /// Of those, against clean test images.
    pub auroc: Option<f64>,
    /// Share of all images that the model misclassifies without an alarm at the threshold for 5 %.
    pub evades: f64,
}
