//! What belongs to a model: its folder, and what the files there say about preprocessing and classes.
//!
//! Supported are the layouts of optimum and transformers.js (`config.json`, `preprocessor_config.json`, `onnx/model.onnx`), of timm
//! (`config.json` with `pretrained_cfg`), of Teachable Machine (`labels.txt`, `metadata.json`), and the properties inside an ONNX file.

mod hub;
mod labels;
pub(crate) mod properties;
mod teachable;
mod timm;
mod transformers;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use crate::file::read_text;
use crate::image::{Preprocessing, ResizeMode};
use crate::labels::{Labels, LabelsError};

/// Maximum bytes of a configuration file.
const MOST_BYTES: u64 = 64 << 20;
/// Configuration of the image processors of transformers.
const PREPROCESSOR: &str = "preprocessor_config.json";
/// Configuration of a model: names of classes, timm's preprocessing.
const CONFIG: &str = "config.json";

/// Errors of the files of a model's folder, each in one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackageError {
    /// A file cannot be read.
    #[error("{}: cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// A configuration file is invalid.
    #[error("{}: {reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A folder contains no model.
    #[error("{}: holds no .onnx file; export the model there, for instance with `optimum-cli export onnx --model {}`", folder.display(), folder.display())]
    NoModel {
        /// The folder.
        folder: PathBuf,
    },
    /// A folder contains several models, none of which is named model.onnx.
    #[error("{}: holds several models; name one: {}", folder.display(), models.join(", "))]
    SeveralModels {
        /// The folder.
        folder: PathBuf,
        /// Their names.
        models: Vec<String>,
    },
    /// A malformed name of the hub.
    #[error("'{name}' is not hf://OWNER/NAME, hf://OWNER/NAME@REVISION or either with /FILE")]
    HubName {
        /// The name as given.
        name: String,
    },
    /// The model or file is not in the hub's local cache.
    #[error("{name} is not in the local cache ({}); Candor never downloads. Run: {command}", cache.display())]
    NotCached {
        /// The name as given.
        name: String,
        /// The cache that was searched.
        cache: PathBuf,
        /// Command that downloads it.
        command: String,
    },
    /// The labels cannot be used.
    #[error(transparent)]
    Labels(#[from] LabelsError),
}

/// A model file, and the folder that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// The ONNX file.
    pub model: PathBuf,
    /// The folder with the files that belong to it.
    pub folder: PathBuf,
}

/// Finds the model for a path: the file itself, `onnx/model.onnx`, `model.onnx` or the only ONNX file of a folder, or what
/// `hf://OWNER/NAME[@REVISION][/FILE]` refers to in the local cache of the Hugging Face hub.
///
/// # Errors
/// [`PackageError`] for a folder without a model or with several, and for what is not in the cache.
pub fn locate(path: &Path) -> Result<Located, PackageError> {
    let cached;
    let path = match path.to_str().filter(|p| p.starts_with(hub::SCHEME)) {
        Some(name) => {
            cached = hub::resolve(name, |key| std::env::var_os(key).map(PathBuf::from))?;
            &cached
        }
        None => path,
    };
    if !path.is_dir() {
        return Ok(Located { model: path.to_path_buf(), folder: folder_of(path) });
    }
    let usual = ["onnx/model.onnx", "model.onnx"].map(|name| path.join(name));
    if let Some(model) = usual.into_iter().find(|model| model.is_file()) {
        return Ok(Located { model, folder: path.to_path_buf() });
    }
    let mut models = onnx_files(path)?;
    models.extend(if path.join("onnx").is_dir() { onnx_files(&path.join("onnx"))? } else { vec![] });
    match &models[..] {
        [] => Err(PackageError::NoModel { folder: path.to_path_buf() }),
        [model] => Ok(Located { model: model.clone(), folder: path.to_path_buf() }),
        several => {
            let name = |m: &PathBuf| m.strip_prefix(path).unwrap_or(m).display().to_string();
            let models = several.iter().map(name).collect();
            Err(PackageError::SeveralModels { folder: path.to_path_buf(), models })
        }
    }
}

/// The folder that a file belongs to: its own or, for `NAME/onnx/model.onnx` with configuration files in NAME, that folder.
fn folder_of(model: &Path) -> PathBuf {
    let own = model.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_path_buf();
    let has_settings = |folder: &Path| folder.join(CONFIG).is_file() || folder.join(PREPROCESSOR).is_file();
    match own.parent() {
        Some(above) if own.ends_with("onnx") && !has_settings(&own) && has_settings(above) => {
            above.to_path_buf()
        }
        _ => own,
    }
}

/// The ONNX files in a folder, by name.
fn onnx_files(folder: &Path) -> Result<Vec<PathBuf>, PackageError> {
    let unreadable = |source| PackageError::Unreadable { path: folder.to_path_buf(), source };
    let mut found = vec![];
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|e| e == "onnx") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Preprocessing that a file states.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// Name of the file, or a description.
    pub source: String,
    /// Height and width of the input, if the file states them.
    pub size: Option<[usize; 2]>,
    /// How a photo becomes the input of `size`; if that is not stated, for an input of 1×1.
    pub preprocessing: Preprocessing,
}

impl Recipe {
    /// The preprocessing for an input of that size.
    ///
    /// # Errors
    /// [`PackageError::Invalid`] if the file states another.
    pub fn preprocessing(&self, height: usize, width: usize) -> Result<Preprocessing, PackageError> {
        match self.size {
            Some([h, w]) if [h, w] != [height, width] => Err(PackageError::Invalid {
                path: self.source.clone().into(),
                reason: format!(
                    "is for an input of {h}×{w} (height × width), but the model takes {height}×{width}; say how it is in the sidecar, or \
                     with --preset"
                ),
            }),
            Some(_) => Ok(self.preprocessing.clone()),
            None => {
                let own = self.preprocessing.clone();
                // A crop that covers exactly the input.
                let resized = own.resized.or((own.resize == ResizeMode::Crop).then_some([height, width]));
                Ok(Preprocessing { height, width, resized, ..own })
            }
        }
    }
}

/// Where values came from, for the report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Sources {
    /// Source of the preprocessing: `--preset`, a file's name, `the model's own input`, `assumed`.
    pub preprocessing: String,
    /// Source of the names of classes: `--labels`, a file's name, `none`.
    pub labels: String,
}

/// What the files beside a model, and the properties inside it, state.
#[derive(Clone, Debug, Default)]
pub struct Package {
    /// The preprocessing of the first file that states one.
    pub recipe: Option<Recipe>,
    /// Names of classes with the file that they come from, most likely first.
    pub labels: Vec<(String, Labels)>,
}

impl Package {
    /// Reads the files in a model's folder and the properties of its file.
    ///
    /// # Errors
    /// A configuration file that is invalid, or that demands what Candor does not support.
    pub fn read(folder: &Path, properties: &[(String, String)]) -> Result<Self, PackageError> {
        let preprocessor = json(&folder.join(PREPROCESSOR))?;
        let config = json(&folder.join(CONFIG))?;
        let mut package = Package::default();
        let invalid = |name: &str| {
            let path = folder.join(name);
            move |reason: String| PackageError::Invalid { path, reason }
        };
        if let Some(settings) = &preprocessor {
            package.recipe = transformers::recipe(settings).map_err(invalid(PREPROCESSOR))?;
        }
        if let Some(settings) = &config {
            if package.recipe.is_none() {
                package.recipe = timm::recipe(settings).map_err(invalid(CONFIG))?;
            }
            package.labels.extend(labels::of_config(settings).map(|names| (CONFIG.to_string(), names)));
        }
        let of_file = properties::read(properties);
        if package.recipe.is_none() {
            package.recipe = of_file.recipe;
        }
        package.labels.extend(of_file.labels);
        let machine = teachable::read(folder)?;
        if package.recipe.is_none() {
            package.recipe = machine.recipe;
        }
        package.labels.extend(machine.labels);
        Ok(package)
    }
}

/// The JSON object in a file; `None` if there is no file.
fn json(path: &Path) -> Result<Option<Value>, PackageError> {
    let text = match read_text(path, MOST_BYTES) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(PackageError::Unreadable { path: path.to_path_buf(), source }),
    };
    let invalid = |reason: String| PackageError::Invalid { path: path.to_path_buf(), reason };
    match serde_json::from_str(&text) {
        Ok(value @ Value::Object(_)) => Ok(Some(value)),
        Ok(_) => Err(invalid("is JSON, but no object; download it again".to_string())),
        Err(error) => Err(invalid(format!("is not JSON ({error}); download it again"))),
    }
}

#[cfg(test)]
mod tests;
