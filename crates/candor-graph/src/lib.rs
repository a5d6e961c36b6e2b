//! Load, rewrite and differentiate ONNX graphs.
//!
//! Reverse-mode differentiation is done on the graph itself: each operator has one small rule that emits nodes
//! of the standard operator set. The result is an ordinary ONNX model that any runtime executes. This crate
//! knows no runtime and no images, and holds no numeric kernels.
#![deny(missing_docs)]

/// The examples of README.md, run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod batch;
pub mod builder;
pub mod error;
pub mod feature;
pub mod file;
pub mod flops;
pub mod footprint;
pub mod grad;
pub mod graph;
pub mod guard;
pub mod insert;
pub mod memory;
pub mod onnx;
pub mod rewrite;
pub mod shape;
pub mod stages;
pub mod statistics;
pub mod subgraph;
pub mod tensor;
