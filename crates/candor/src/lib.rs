//! Explains image classifiers, and says so when there is nothing to see.
#![deny(missing_docs)]

pub mod engine;
pub mod image;
pub mod map;
pub mod report;
pub mod scenes;
