//! Explains image classifiers, and says so when there is no evidence for a class.
#![deny(missing_docs)]

/// The examples of README.md, run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub mod blur;
pub mod calibrate;
pub mod classifier;
pub mod doctor;
pub mod error;
pub mod explain;
pub mod explanation;
pub mod export;
pub mod false_alarms;
pub mod image;
pub mod labels;
pub mod map;
pub mod mask;
pub mod methods;
pub mod model;
pub mod nodes;
pub mod noise;
pub mod package;
pub mod parameters;
pub mod passes;
pub mod printable;
pub mod probe;
pub mod progress;
pub mod quantile;
pub mod scores;
pub mod sidecar;
pub mod similarity;
pub mod suggest;
pub mod training;

pub use candor_engine as engine;
pub use candor_graph::file;
pub use classifier::{Classifier, OpenOptions};
pub use error::{Error, Result};
pub use explain::{Class, Explainer, Method};
pub use explanation::{ClassExplanation, PhotoExplanation, Verdict};
pub use progress::{Cancelled, Progress, Unwatched};
