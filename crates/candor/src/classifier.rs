//! The front door: a model with all that belongs to it, opened in one call.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::engine::{Engine, RTen};
use crate::error::{Error, Result};
use crate::image::{Preprocessing, Preset};
use crate::labels::Labels;
use crate::methods::Choices;
use crate::model::{Model, ModelOptions};
use crate::sidecar::Sidecar;

/// An image classifier ready to be explained: the model, how photos become its input, the names of its classes, and what its sidecar
/// says. Cheap to clone; may be shared between threads.
#[derive(Clone)]
pub struct Classifier {
    /// The model with its engine.
    pub model: Arc<Model>,
    /// How photos become its input.
    pub preprocessing: Preprocessing,
    /// Names of the classes.
    pub labels: Arc<Labels>,
    /// What the file beside the model says; empty if there is none.
    pub sidecar: Sidecar,
    /// Where the sidecar is, or would be.
    pub sidecar_path: PathBuf,
    /// Whether somebody stated the preprocessing: a preset asked for, or one or numbers of its own in the sidecar
    /// ([`Sidecar::states_preprocessing`]). If not, `imagenet` is assumed.
    pub preprocessing_stated: bool,
}

/// What a model file does not say, for [`Classifier::open_with`].
#[derive(Default)]
pub struct OpenOptions {
    /// What runs the model; [`RTen`] with all cores if `None`.
    pub engine: Option<Box<dyn Engine>>,
    /// Preprocessing that replaces the sidecar's.
    pub preset: Option<Preset>,
    /// A file of labels that replaces the sidecar's.
    pub labels: Option<PathBuf>,
    /// A sidecar elsewhere than beside the model.
    pub sidecar: Option<PathBuf>,
}

impl Classifier {
    /// Opens a model file with the sidecar and the labels that lie beside it, on the embedded engine.
    ///
    /// # Errors
    /// As [`Classifier::open_with`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Classifier::open_with(path, OpenOptions::default())
    }

    /// Opens a model file.
    ///
    /// # Errors
    /// A file that is missing, no ONNX model or not an image classifier; a sidecar or labels that do not fit it.
    pub fn open_with(path: impl AsRef<Path>, options: OpenOptions) -> Result<Self> {
        let path = path.as_ref();
        let found = match &options.sidecar {
            Some(sidecar) => Some((sidecar.clone(), Sidecar::load(sidecar)?)),
            None => Sidecar::find(path)?,
        };
        let (sidecar_path, sidecar) = found.unwrap_or_else(|| (Sidecar::path_for(path), Sidecar::default()));
        Classifier::open_as(path, (sidecar, sidecar_path), options)
    }

    /// Opens a model file with a sidecar that was read, or made, already. Files that it names lie beside the path that goes with it; that of the
    /// options is not read.
    ///
    /// # Errors
    /// As [`Classifier::open_with`].
    pub fn open_as(
        path: impl AsRef<Path>,
        (sidecar, sidecar_path): (Sidecar, PathBuf),
        options: OpenOptions,
    ) -> Result<Self> {
        let path = path.as_ref();
        let engine = options.engine.unwrap_or_else(|| Box::new(RTen::new(0)));
        let model = Model::load(path, &model_options(&sidecar), engine)?;
        let labels = options.labels.as_deref().map(Labels::load).transpose()?;
        Classifier::assemble(model, labels, options.preset, (sidecar, sidecar_path))
    }

    /// A model in memory; `name` stands for its path in results.
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
        Classifier::assemble(model, None, None, (sidecar, PathBuf::from(name)))
    }

    fn assemble(
        model: Model,
        labels: Option<Labels>,
        preset: Option<Preset>,
        (sidecar, sidecar_path): (Sidecar, PathBuf),
    ) -> Result<Self> {
        let preprocessing_stated = preset.is_some() || sidecar.states_preprocessing();
        let [channels, height, width] = model.input_shape;
        let of_sidecar = |e| Error::Model {
            path: sidecar_path.display().to_string(),
            source: Box::new(crate::error::ModelError::Sidecar(e)),
        };
        let preprocessing =
            sidecar.preprocessing(preset, [Some(height), Some(width)], channels).map_err(of_sidecar)?;
        let labels = match labels {
            Some(labels) => Some(labels),
            None => sidecar.labels(&sidecar_path)?,
        };
        let labels = labels.unwrap_or_else(|| Labels::unnamed(model.classes));
        labels.check_count(model.classes).map_err(|e| Error::model(&model.info.path, e))?;
        Ok(Classifier {
            model: Arc::new(model),
            preprocessing,
            labels: Arc::new(labels),
            sidecar,
            sidecar_path,
            preprocessing_stated,
        })
    }

    /// What is chosen beside a method's parameters: `levels`, else those of the sidecar; the sidecar's λ; the seed.
    pub fn choices(&self, levels: &[String], seed: u64) -> Choices {
        let own = || self.sidecar.levels.clone().unwrap_or_default();
        let levels = if levels.is_empty() { own() } else { levels.to_vec() };
        Choices { levels, calibrated_lambda: self.sidecar.lambda, seed }
    }
}

fn model_options(sidecar: &Sidecar) -> ModelOptions {
    ModelOptions { size: sidecar.size, layout: sidecar.layout, logits: sidecar.logits.clone() }
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
