//! Errors of reports; each names the file or the image, and the reason.

use std::io;
use std::path::{Path, PathBuf};

/// A report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The output directory is missing, is a file, is read-only, or its disk is full.
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
    /// A file of an earlier run could not be read.
    #[error("cannot read {}: {reason}; delete it if it is damaged", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An output is the same file as an input, possibly under another path.
    #[error("{} is {}, which this command reads; name another output", path.display(), same(path, input))]
    IsInput {
        /// The output.
        path: PathBuf,
        /// The input.
        input: PathBuf,
    },
    /// An output would replace a file that Candor did not write or that was changed since.
    #[error("{} is there already, and not as Candor wrote it; name another output, or replace it with --force", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// An output would replace something that is not a regular file: a folder, a pipe, a device.
    #[error("{} is there, and is no regular file; name another output", path.display())]
    NoFile {
        /// Its path.
        path: PathBuf,
    },
    /// One of Candor's own folders is a link to another place.
    #[error("{} is a link; remove it, or name another directory with --out", path.display())]
    Linked {
        /// The link.
        path: PathBuf,
    },
    /// Another process writes into the output directory.
    #[error("{} is in use by {holder}; wait until it has ended, or name another directory with --out", path.display())]
    Busy {
        /// The directory.
        path: PathBuf,
        /// The process.
        holder: String,
    },
    /// Values could not be encoded.
    #[error("cannot encode {what}: {reason}")]
    Encode {
        /// The file or part of the report.
        what: String,
        /// The encoder's reason.
        reason: String,
    },
    /// An explained image is inconsistent (shapes, lengths) or contains NaN or infinity.
    #[error("{image}: {what}")]
    BadImage {
        /// Path of the image as given.
        image: String,
        /// What is wrong.
        what: String,
    },
}

impl ReportError {
    /// Whether the caller chose the output path wrongly: it is an input, or a file that Candor did not write.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            ReportError::IsInput { .. }
                | ReportError::Foreign { .. }
                | ReportError::NoFile { .. }
                | ReportError::Linked { .. }
        )
    }

    /// For `map_err`: adds the file that could not be written.
    pub fn write(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |reason| ReportError::Write { path: path.to_owned(), reason }
    }

    /// For `map_err`: adds what could not be encoded.
    pub fn encode<E: std::fmt::Display>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        move |reason| ReportError::Encode { what: what.into(), reason: reason.to_string() }
    }
}

/// The words after "is" in the error about an input: with its path, if that differs from the output's.
fn same(path: &Path, input: &Path) -> String {
    if path == input { "an input".to_owned() } else { format!("the same file as {}", input.display()) }
}
