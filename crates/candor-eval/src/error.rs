//! Errors of measurements. `Display` says what happened at this layer; the cause is its source
//! ([`one_line`](candor::error::one_line) prints both).

use std::io;
use std::path::{Path, PathBuf};

use candor::Cancelled;
use candor_report::ReportError;
use thiserror::Error;

use crate::dataset::DatasetError;

/// Anything that can go wrong while methods are measured.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// An explanation failed.
    #[error(transparent)]
    Explain(#[from] candor::Error),
    /// A dataset cannot be used.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// A sample of a dataset cannot be measured.
    #[error("{id}")]
    Sample {
        /// Name of the sample.
        id: String,
        /// What is wrong with it.
        source: SampleError,
    },
    /// A result's file could not be written.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// There are too few classes for grids, which are made of photos of different classes that are classified correctly.
    #[error(
        "grids need {needed} classes that are answered right with a probability of {probability} or more; in {photos} photos of a known \
         class there are {found}"
    )]
    FewClasses {
        /// Number of classes with such a photo.
        found: usize,
        /// Number of photos with a known class that were tried.
        photos: usize,
        /// Number of classes that the largest grid needs.
        needed: usize,
        /// Minimum probability of the correct class.
        probability: f64,
    },
    /// The error of an image in an earlier part of the run.
    #[error("{0}")]
    Recalled(String),
    /// The journal of a run cannot be used.
    #[error("{}", path.display())]
    Journal {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: JournalError,
    },
}

/// Why a sample cannot be measured.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SampleError {
    /// Its photo or mask cannot be read.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// Its boxes or its mask do not match its photo.
    #[error("{0}")]
    Unfit(String),
}

/// Errors of journals.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JournalError {
    /// It cannot be read or written.
    #[error("cannot be read or written")]
    File(#[from] io::Error),
    /// It is another kind of file, or damaged.
    #[error("line {line} is not one of Candor's journal; choose another --out")]
    Line {
        /// Number of the line, from 1.
        line: usize,
        /// The parser's error.
        source: serde_json::Error,
    },
    /// A line cannot be encoded.
    #[error("a line cannot be written as JSON")]
    Encode(#[source] serde_json::Error),
    /// It belongs to a run with other settings.
    #[error("was started with {which}; choose another --out, or delete the file to start again")]
    Other {
        /// The first setting that differs, such as `another model` or `other levels`.
        which: String,
    },
}

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Whether the caller's request is invalid, as for [`candor::Error::is_usage`].
    pub fn is_usage(&self) -> bool {
        matches!(self, Error::Explain(e) if e.is_usage())
    }

    pub(crate) fn journal(path: &Path, source: impl Into<JournalError>) -> Self {
        Error::Journal { path: path.to_path_buf(), source: source.into() }
    }

    /// An error of a sample.
    pub fn sample(id: &str, source: impl Into<SampleError>) -> Self {
        Error::Sample { id: id.to_string(), source: source.into() }
    }
}

impl From<candor::engine::EngineError> for Error {
    fn from(e: candor::engine::EngineError) -> Self {
        Error::Explain(e.into())
    }
}

impl From<Cancelled> for Error {
    fn from(e: Cancelled) -> Self {
        Error::Explain(e.into())
    }
}
