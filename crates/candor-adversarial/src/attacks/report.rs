//! The result of attacks as plain data, and its files: one PNG and one NPZ per image, and `attack.json`.
//!
//! ```text
//! out/attack.json
//! out/<image stem>.png    quantised to 8 bits, at the model's input size; only if the quantised image still succeeds
//! out/<image stem>.npz    adversarial and original (C×H×W, 0..=1, red first) and the logits of the adversarial image (K)
//! ```

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::attacks::{Adversarial, Norms, Rounded};
use candor::engine::EngineInfo;
use candor::model::ModelInfo;
use candor::parameters::MethodInfo;
use candor::quantile::median;
use candor_report::ReportError;
use candor_report::names::{self, Names};
use candor_report::result::FailedImage;
use candor_report::{atomic, npz, png};

/// Name of the JSON file in the output directory.
pub const JSON_FILE: &str = "attack.json";

/// The result of `candor attack`.
#[derive(Clone, Debug, Serialize)]
pub struct AttackResult {
    /// The attacked model.
    pub model: ModelInfo,
    /// Its preprocessing.
    pub preprocessing: serde_json::Value,
    /// The engine that executed it.
    pub engine: EngineInfo,
    /// The attack with every parameter.
    pub attack: MethodInfo,
    /// The surrogate model on which the images were made, if any.
    pub from: Option<ModelInfo>,
    /// Seed of all random numbers.
    pub seed: u64,
    /// Statistics over the images.
    pub summary: Summary,
    /// Each image.
    pub images: Vec<AttackedImage>,
    /// Images that could not be attacked.
    pub failed: Vec<FailedImage>,
}

/// Statistics over the attacked images. Norms are those of successful images before quantisation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Number of attacked images.
    pub images: usize,
    /// Number of successes.
    pub successes: usize,
    /// Number of images that still succeed when quantised to 8 bits.
    pub rounded_successes: usize,
    /// Medians of the norms.
    pub median: Option<Sizes>,
    /// Means of the norms.
    pub mean: Option<Sizes>,
    /// Median number of forward passes per image, over all images.
    pub forward: Option<f64>,
    /// Median number of backward passes per image, over all images.
    pub backward: Option<f64>,
}

/// A statistic for each norm.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Sizes {
    /// Largest change of a value, with pixels in 0..=1.
    pub linf: f64,
    /// Euclidean norm, with pixels in 0..=1.
    pub l2: f64,
    /// Number of values that changed.
    pub l0: f64,
}

/// A class and its probability.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// Number of the class.
    pub class_id: usize,
    /// Its name.
    pub name: String,
    /// Its probability, 0..=1.
    pub probability: f64,
}

/// One attacked image.
#[derive(Clone, Debug, Serialize)]
pub struct AttackedImage {
    /// Its path as given.
    pub path: String,
    /// The answer before the attack.
    pub before: Answer,
    /// The target class, if any.
    pub target: Option<usize>,
    /// The model's answer to the attacked image.
    pub after: Answer,
    /// Whether the goal is reached.
    pub success: bool,
    /// Norms of the perturbation.
    pub norms: Norms,
    /// Forward passes of the attack on it.
    pub forward: u64,
    /// Backward passes of the attack on it.
    pub backward: u64,
    /// The image quantised to 8 bits, if a quantised image succeeds.
    pub rounded: Option<RoundedImage>,
    /// File of the raw values, relative to the output directory.
    pub npz: Option<String>,
}

/// An adversarial image quantised to 8 bits.
#[derive(Clone, Debug, Serialize)]
pub struct RoundedImage {
    /// The model's answer to it.
    pub after: Answer,
    /// Norms of its perturbation.
    pub norms: Norms,
    /// Factor by which the perturbation was multiplied before quantisation.
    pub factor: f64,
    /// Its file, relative to the output directory.
    pub png: Option<String>,
}

impl Summary {
    /// The summary of attacked images.
    pub fn of(images: &[AttackedImage]) -> Self {
        let successes: Vec<&AttackedImage> = images.iter().filter(|i| i.success).collect();
        let middle = |values: Vec<f64>| median(&values);
        let mean =
            |values: Vec<f64>| (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
        let sizes = |figure: &dyn Fn(Vec<f64>) -> Option<f64>| {
            let of =
                |norm: &dyn Fn(&Norms) -> f64| figure(successes.iter().map(|i| norm(&i.norms)).collect());
            Some(Sizes { linf: of(&|n| n.linf)?, l2: of(&|n| n.l2)?, l0: of(&|n| n.l0 as f64)? })
        };
        Summary {
            images: images.len(),
            successes: successes.len(),
            rounded_successes: images.iter().filter(|i| i.rounded.is_some()).count(),
            median: sizes(&middle),
            mean: sizes(&mean),
            forward: middle(images.iter().map(|i| i.forward as f64).collect()),
            backward: middle(images.iter().map(|i| i.backward as f64).collect()),
        }
    }
}

/// Writes the files of one run, each atomically. Equal runs give equal bytes.
pub struct AttackWriter {
    directory: PathBuf,
    files: Names,
}

impl AttackWriter {
    /// Creates `directory` if it is missing and checks that it is writable.
    ///
    /// # Errors
    /// [`ReportError::Directory`] names the directory and the reason.
    pub fn create(directory: &Path) -> Result<Self, ReportError> {
        let fail = |reason| ReportError::Directory { path: directory.to_owned(), reason };
        std::fs::create_dir_all(directory).map_err(fail)?;
        tempfile::Builder::new().prefix(".candor-").tempfile_in(directory).map_err(fail)?;
        Ok(AttackWriter { directory: directory.to_owned(), files: AttackWriter::names() })
    }

    /// Assigns the names of images' files, in the order in which images are added.
    pub fn names() -> Names {
        Names::without(&["attack"])
    }

    /// Writes an image's files and fills in their names. `shape`: `[channels, height, width]`.
    ///
    /// # Errors
    /// [`ReportError::Write`] with file and reason.
    pub fn add(
        &mut self,
        image: &mut AttackedImage,
        shape: [usize; 3],
        original: &[f32],
        found: &Adversarial,
        rounded: Option<&Rounded>,
    ) -> Result<(), ReportError> {
        let name = self.files.claim(&names::folder(&image.path));
        let arrays = npz::arrays(&[
            ("adversarial", &shape, &found.pixels),
            ("original", &shape, original),
            ("logits", &[found.logits.len()], &found.logits),
        ])?;
        image.npz = Some(self.write(format!("{name}.npz"), &arrays)?);
        if let (Some(rounded), Some(entry)) = (rounded, &mut image.rounded) {
            let about = format!("{} changed so that the answer is {}", image.path, entry.after.name);
            let bytes = png::rgb(&rounded.picture, &about)?;
            entry.png = Some(self.write(format!("{name}.png"), &bytes)?);
        }
        Ok(())
    }

    /// Writes `attack.json`.
    ///
    /// # Errors
    /// [`ReportError::Write`] with file and reason.
    pub fn finish(self, result: &AttackResult) -> Result<(), ReportError> {
        let encode = ReportError::encode("the result as JSON");
        let text = serde_json::to_string_pretty(result).map_err(encode)? + "\n";
        atomic::write(&self.directory.join(JSON_FILE), text.as_bytes())
    }

    fn write(&self, file: String, bytes: &[u8]) -> Result<String, ReportError> {
        atomic::write(&self.directory.join(&file), bytes)?;
        Ok(file)
    }
}
