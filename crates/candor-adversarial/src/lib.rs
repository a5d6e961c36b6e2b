//! Adversarial attacks on ONNX classifiers, a detector that reads explanation masks, and studies of how reliable it is.
#![deny(missing_docs)]

pub mod attacks;
pub mod bench;
pub mod detector;
pub mod error;
mod outputs;
#[cfg(feature = "train")]
pub mod study;
