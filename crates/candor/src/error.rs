//! Errors of explaining: each one line that names the file or value and says what to do.

use std::path::Path;

use candor_engine::EngineError;
use candor_graph::error::GraphError;
use thiserror::Error;

use crate::image::ImageError;

/// Anything that can go wrong between a model file and a map.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The model's graph.
    #[error("{path}: {source}")]
    Graph {
        /// The model file.
        path: String,
        /// What is wrong with it.
        source: GraphError,
    },
    /// The file is a valid graph but not one that can be explained.
    #[error("{path}: {reason}")]
    Model {
        /// The model file.
        path: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A method's parameter.
    #[error("method '{method}': {reason}")]
    Parameter {
        /// The method.
        method: String,
        /// The parameter and the values it takes.
        reason: String,
    },
    /// A picture.
    #[error(transparent)]
    Image(#[from] ImageError),
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
    /// An error of a model's graph. Errors that name the file already are not named twice.
    pub fn graph(path: &str, source: GraphError) -> Self {
        match source {
            GraphError::Unreadable { .. } | GraphError::NotOnnx { .. } => Error::Model {
                path: path.to_string(),
                reason: source.to_string().replacen(&format!("{path}: "), "", 1),
            },
            source => Error::Graph { path: path.to_string(), source },
        }
    }

    /// A file error.
    pub(crate) fn io(path: &Path, e: impl std::fmt::Display) -> Self {
        Error::Io { path: path.display().to_string(), reason: e.to_string() }
    }
}
