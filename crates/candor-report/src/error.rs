//! What can go wrong while a report is written; each error names the file or the image, and the reason.

use std::io;
use std::path::{Path, PathBuf};

/// A report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The output directory is missing, a file, read-only or on a full disk.
    #[error("cannot write to the output directory {}: {reason}; name another with --out", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The operating system's reason.
        reason: io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {}: {reason}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        reason: io::Error,
    },
    /// Values could not be put into a format.
    #[error("cannot encode {what}: {reason}")]
    Encode {
        /// The file or part of the report.
        what: String,
        /// The encoder's reason.
        reason: String,
    },
    /// An explained image contradicts itself (shapes, lengths) or holds NaN or infinity.
    #[error("{image}: {what}")]
    BadImage {
        /// Path of the image as given.
        image: String,
        /// What is wrong, and where.
        what: String,
    },
}

impl ReportError {
    /// For `map_err`: names the file that could not be written.
    pub fn write(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |reason| ReportError::Write { path: path.to_owned(), reason }
    }

    /// For `map_err`: names what could not be encoded.
    pub fn encode<E: std::fmt::Display>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        move |reason| ReportError::Encode { what: what.into(), reason: reason.to_string() }
    }
}
