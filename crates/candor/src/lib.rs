//! Explains image classifiers, and says so when there is nothing to see.
#![deny(missing_docs)]

pub mod attacks;
pub mod calibrate;
pub mod config;
pub mod dataset;
pub mod detector;
pub mod engine;
pub mod error;
pub mod explain;
pub mod export;
pub mod faithfulness;
pub mod image;
pub mod labels;
pub mod localization;
pub mod map;
pub mod mask;
pub mod methods;
pub mod model;
pub mod probe;
pub mod report;
pub mod scenes;
pub mod similarity;
pub mod statistics;
pub mod tasks;
