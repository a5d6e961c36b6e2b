//! Adversarial attacks on ONNX classifiers, a detector that reads explanation masks, and studies of its reliability.
#![deny(missing_docs)]

/// The examples of README.md, run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub mod attacks;
pub mod bench;
pub mod detector;
pub mod error;
mod outputs;
#[cfg(feature = "train")]
pub mod study;
