//! Results and their formats: one file a format.
//!
//! [`result`] is plain data. [`ReportWriter`] turns it into the files of an output directory; [`json`], [`npz`] and
//! [`png`] each make the bytes of one format, [`paint`] chooses the colours, [`atomic`] puts files in place, [`folder`] guards what is there.
#![deny(missing_docs)]

/// The examples of README.md, run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// The examples of the book's page on Rust, run as tests.
#[cfg(doctest)]
#[doc = include_str!("../../../book/src/tutorial/from-rust.md")]
struct FromRust;

pub mod atomic;
pub mod browser;
pub mod chart;
mod error;
pub mod figures;
pub mod folder;
pub mod html;
pub mod json;
pub mod names;
pub mod npz;
pub mod paint;
pub mod picture;
pub mod png;
pub mod recipe;
/// Plain serde results.
pub mod result;
mod scales;
pub mod table;
mod view;
mod words;
mod writer;

pub use error::ReportError;
pub use writer::{HTML_FILE, JSON_FILE, ReportWriter};
