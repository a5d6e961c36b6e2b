//! Errors of measuring: each one line that names the file or value and says what to do.

use std::path::Path;

use candor_report::ReportError;
use thiserror::Error;

use crate::dataset::DatasetError;

/// Anything that can go wrong while methods are measured.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// An explanation.
    #[error(transparent)]
    Explain(#[from] candor::error::Error),
    /// A dataset or one of its photos.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// A file of a result.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// Grids are made of photos of different classes, and too few of them are answered with certainty.
    #[error(
        "only {found} classes of the dataset are answered right with a probability of {probability}; grids need {needed}"
    )]
    FewClasses {
        /// Classes of which a photo is.
        found: usize,
        /// Classes that the largest grid takes.
        needed: usize,
        /// Probability that is asked of an answer.
        probability: f64,
    },
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
    /// A file error.
    pub fn io(path: &Path, e: impl std::fmt::Display) -> Self {
        Error::Io { path: path.display().to_string(), reason: e.to_string() }
    }
}

impl From<candor::engine::EngineError> for Error {
    fn from(e: candor::engine::EngineError) -> Self {
        Error::Explain(e.into())
    }
}
