//! Errors of attacks and of detectors: each is one line that names the file or value and says what to do.

use std::path::Path;

use candor::error::MethodError;
use candor_eval::dataset::DatasetError;
use candor_report::ReportError;
use thiserror::Error;

/// Anything that can go wrong in attacks and in the detection of adversarial images.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// An error of the model, its engine, a method's parameter or a picture.
    #[error(transparent)]
    Explain(#[from] candor::error::Error),
    /// A measurement failed.
    #[error(transparent)]
    Eval(#[from] candor_eval::error::Error),
    /// An attack's name, parameter or goal is invalid.
    #[error("attack '{attack}': {reason}")]
    Attack {
        /// The attack.
        attack: String,
        /// What is wrong, and what is available.
        reason: String,
    },
    /// An attack's parameter is invalid.
    #[error("attack '{attack}'")]
    Setting {
        /// The attack.
        attack: String,
        /// What is wrong with it.
        source: MethodError,
    },
    /// A detector cannot be trained, loaded or used.
    #[error("{0}")]
    Detector(String),
    /// The model's classes do not exclude each other.
    #[error(
        "{path}: its classes do not exclude each other, so that no image has one answer that an attack could change; attacks and their \
         detectors need a model with one class an image"
    )]
    MultiLabel {
        /// The model.
        path: String,
    },
    /// A result's file could not be written.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// A file could not be read or written.
    #[error("{path}: {reason}")]
    Io {
        /// The file.
        path: String,
        /// The system's reason.
        reason: String,
    },
}

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Whether the caller's request is invalid, as for [`candor::Error::is_usage`].
    pub fn is_usage(&self) -> bool {
        match self {
            Error::Attack { .. } | Error::Setting { .. } => true,
            Error::Explain(e) => e.is_usage(),
            Error::Eval(e) => e.is_usage(),
            _ => false,
        }
    }

    /// A file error.
    pub(crate) fn io(path: &Path, e: impl std::fmt::Display) -> Self {
        Error::Io { path: path.display().to_string(), reason: e.to_string() }
    }
}

impl From<candor::engine::EngineError> for Error {
    fn from(e: candor::engine::EngineError) -> Self {
        Error::Explain(e.into())
    }
}

impl From<DatasetError> for Error {
    fn from(e: DatasetError) -> Self {
        Error::Eval(e.into())
    }
}

impl From<candor::image::ImageError> for Error {
    fn from(e: candor::image::ImageError) -> Self {
        Error::Explain(e.into())
    }
}

impl From<candor::Cancelled> for Error {
    fn from(e: candor::Cancelled) -> Self {
        Error::Explain(e.into())
    }
}
