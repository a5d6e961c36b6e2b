//! Explains image classifiers, and says so when there is nothing to see.
#![deny(missing_docs)]

pub mod config;
pub mod image;
pub mod labels;
pub mod map;
pub mod report;
pub mod scenes;
