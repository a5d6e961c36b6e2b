//! Results and their formats, one file each.
//!
//! [`result`] is plain data. [`ReportWriter`] turns it into the files of an output directory; [`json`], [`npz`] and
//! [`png`] each encode one format, [`paint`] chooses the colours, [`atomic`] writes files, [`folder`] protects existing ones.
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
/// Plain serde data.
pub mod result;
mod scales;
pub mod table;
mod view;
mod words;
mod writer;

pub use error::ReportError;
pub use writer::{HTML_FILE, JSON_FILE, ReportWriter};
