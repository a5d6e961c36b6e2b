//! A model with everything that belongs to it, opened in one call.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::engine::{Engine, RTen};
use crate::error::{Error, Result};
use crate::image::{Preprocessing, Preset};
use crate::labels::Labels;
use crate::methods::Choices;
use crate::model::{Head, Model, ModelOptions};
use crate::package::{Package, Sources, locate};
use crate::sidecar::Sidecar;

/// An image classifier ready to be explained: the model, its preprocessing, the names of its classes, and its sidecar. Cheap to clone;
/// may be shared between threads.
#[derive(Clone)]
pub struct Classifier {
    /// The model with its engine.
    pub model: Arc<Model>,
    /// How photos are turned into the model's input.
    pub preprocessing: Preprocessing,
    /// Names of the classes.
    pub labels: Arc<Labels>,
    /// Content of the sidecar; empty if there is none.
    pub sidecar: Sidecar,
    /// Path of the sidecar, whether or not it exists.
    pub sidecar_path: PathBuf,
    /// Whether the preprocessing is stated: by a preset in the options, by a preset or numbers in the sidecar
    /// ([`Sidecar::states_preprocessing`]), by a file beside the model ([`Package`]), or by the model itself if it takes pixels
    /// (0..=255). If not, `imagenet` is assumed.
    pub preprocessing_stated: bool,
    /// Where preprocessing and labels came from.
    pub sources: Sources,
}

/// Options of [`Classifier::open_with`], for what a model file does not say.
#[derive(Default)]
pub struct OpenOptions {
    /// The engine; [`RTen`] on all cores if `None`.
    pub engine: Option<Box<dyn Engine>>,
    /// Preprocessing that replaces the sidecar's.
    pub preset: Option<Preset>,
    /// A file of labels that replaces the sidecar's.
    pub labels: Option<PathBuf>,
    /// A sidecar at another path than beside the model.
    pub sidecar: Option<PathBuf>,
    /// The output to explain, in place of the sidecar's.
    pub output: Option<String>,
    /// Height and width of the input, where the model leaves them free, in place of the sidecar's.
    pub size: Option<[usize; 2]>,
}

impl Classifier {
    /// Opens a model file with the sidecar and the labels beside it, on the embedded engine.
    ///
    /// # Errors
    /// As [`Classifier::open_with`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Classifier::open_with(path, OpenOptions::default())
    }

    /// Opens a model: an ONNX file, a folder that holds one, or `hf://OWNER/NAME` in the hub's local cache ([`locate`]).
    ///
    /// The preprocessing is that of the options, else the sidecar's, else that of the files beside the model and of its own properties
    /// ([`Package`]), else `raw` for a model that takes pixels, else `imagenet`. Labels come from the same sources; labels whose number
    /// does not match the number of classes are skipped.
    ///
    /// # Errors
    /// The file is missing, not an ONNX model or not an image classifier; the sidecar or the labels do not fit it.
    pub fn open_with(path: impl AsRef<Path>, options: OpenOptions) -> Result<Self> {
        let located = locate(path.as_ref())?;
        let path = located.model.as_path();
        let found = match &options.sidecar {
            Some(sidecar) => Some((sidecar.clone(), Sidecar::load(sidecar)?)),
            None => Sidecar::find(path)?,
        };
        let (sidecar_path, sidecar) = found.unwrap_or_else(|| (Sidecar::path_for(path), Sidecar::default()));
        Classifier::open_as(path, (sidecar, sidecar_path), options)
    }

    /// Opens a model with a sidecar that was already read or created. Paths in it are relative to the path given with it; the `sidecar`
    /// of the options is not read.
    ///
    /// # Errors
    /// As [`Classifier::open_with`].
    pub fn open_as(
        path: impl AsRef<Path>,
        (mut sidecar, sidecar_path): (Sidecar, PathBuf),
        options: OpenOptions,
    ) -> Result<Self> {
        let located = locate(path.as_ref())?;
        let path = located.model.as_path();
        sidecar.size = options.size.or(sidecar.size);
        if options.output.is_some() {
            (sidecar.output, sidecar.logits) = (options.output, None);
        }
        let engine = options.engine.unwrap_or_else(|| Box::new(RTen::new(0)));
        let mut package = Package::read(&located.folder, &[])?;
        let mut of_model = model_options(&sidecar);
        of_model.size = of_model.size.or(package.recipe.as_ref().and_then(|r| r.size));
        let model = Model::load(path, &of_model, engine)?;
        if !model.properties.is_empty() {
            package = Package::read(&located.folder, &model.properties)?;
        }
        let labels = options.labels.as_deref().map(Labels::load).transpose()?;
        Classifier::assemble(model, labels, options.preset, (sidecar, sidecar_path), package)
    }

    /// A model in memory; results have `name` in place of its path.
    ///
    /// # Errors
    /// As [`Classifier::open_with`].
    pub fn from_bytes(
        name: &str,
        bytes: &[u8],
        sidecar: Sidecar,
        engine: Option<Box<dyn Engine>>,
    ) -> Result<Self> {
        let engine = engine.unwrap_or_else(|| Box::new(RTen::new(0)));
        let model = Model::from_bytes(name, bytes, &model_options(&sidecar), engine)?;
        Classifier::assemble(model, None, None, (sidecar, PathBuf::from(name)), Package::default())
    }

    fn assemble(
        model: Model,
        labels: Option<Labels>,
        preset: Option<Preset>,
        (sidecar, sidecar_path): (Sidecar, PathBuf),
        package: Package,
    ) -> Result<Self> {
        let [channels, height, width] = model.input_shape;
        let of_sidecar = |e| Error::Model {
            path: sidecar_path.display().to_string(),
            source: Box::new(crate::error::ModelError::Sidecar(e)),
        };
        let [height, width] =
            sidecar.input_size([Some(height), Some(width)], channels).map_err(of_sidecar)?;
        let asked = preset.or(sidecar.preset);
        let (base, source) = match (asked, &package.recipe) {
            (Some(preset), _) => (preset.preprocessing(height, width), None),
            (None, Some(recipe)) => (recipe.preprocessing(height, width)?, Some(recipe.source.clone())),
            (None, None) if model.takes_pixels => (
                Preset::Raw.preprocessing(height, width),
                Some("the model, which scales pixels itself".to_string()),
            ),
            (None, None) => (Preset::default().preprocessing(height, width), None),
        };
        let preprocessing_stated = asked.is_some() || sidecar.states_preprocessing() || source.is_some();
        let preprocessing = sidecar.refine(base, preset.is_some(), channels);
        let name = || {
            sidecar_path.file_name().map_or_else(|| "the sidecar".into(), |n| n.to_string_lossy().to_string())
        };
        let refined = sidecar.states_preprocessing() && sidecar.preset.is_none();
        let told = match source {
            _ if preset.is_some() => "--preset".to_string(),
            Some(source) if refined => format!("{} over {source}", name()),
            Some(source) => source,
            None if sidecar.states_preprocessing() => name(),
            None => "assumed".to_string(),
        };
        let (labels, from) = match labels {
            Some(labels) => (labels, "--labels".to_string()),
            None => match sidecar.labels(&sidecar_path)? {
                Some(labels) => (labels, name()),
                None => found_labels(&model, package.labels),
            },
        };
        let labels = labels.for_one_logit(model.head == Head::Binary);
        labels.check_count(model.classes).map_err(|e| Error::model(&model.info.path, e))?;
        Ok(Classifier {
            model: Arc::new(model),
            preprocessing,
            labels: Arc::new(labels),
            sidecar,
            sidecar_path,
            preprocessing_stated,
            sources: Sources { preprocessing: told, labels: from },
        })
    }

    /// The choices besides a method's parameters: `levels`, or the sidecar's if empty; the sidecar's λ; the seed.
    pub fn choices(&self, levels: &[String], seed: u64) -> Choices {
        let own = || self.sidecar.levels.clone().unwrap_or_default();
        let levels = if levels.is_empty() { own() } else { levels.to_vec() };
        let false_alarms = self.sidecar.false_alarms.clone();
        Choices { levels, calibrated_lambda: self.sidecar.lambda, false_alarms, seed }
    }
}

fn model_options(sidecar: &Sidecar) -> ModelOptions {
    ModelOptions {
        size: sidecar.size,
        layout: sidecar.layout,
        output: sidecar.output.clone(),
        logits: sidecar.logits.clone(),
        inputs: sidecar.inputs.clone(),
    }
}

/// The first labels found whose number matches the number of classes. Others belong to something else: for example to the original
/// classes of a model whose head was replaced.
fn found_labels(model: &Model, found: Vec<(String, Labels)>) -> (Labels, String) {
    let one_name = model.head == Head::Binary;
    let fits = |labels: &Labels| labels.len() == model.classes || (one_name && labels.len() == 1);
    match found.into_iter().find(|(_, labels)| fits(labels)) {
        Some((source, labels)) => (labels, source),
        None => (Labels::unnamed(model.classes), "none".to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_classifier_may_be_shared_between_threads() {
        fn shared<T: Send + Sync>() {}
        shared::<Classifier>();
    }
}
