//! Results and their formats: one file a format.
//!
//! [`result`] is plain data. [`ReportWriter`] turns it into the files of an output directory; [`json`], [`npz`] and
//! [`png`] each make the bytes of one format, [`paint`] chooses the colours, [`atomic`] puts files in place.

pub mod atomic;
pub mod attack;
pub mod bench;
pub mod check;
pub mod detect;
mod error;
mod figures;
mod html;
pub mod json;
pub(crate) mod names;
pub mod npz;
pub mod paint;
pub mod png;
/// Plain serde results.
pub mod result;
mod view;
mod words;
mod writer;

pub use error::ReportError;
pub use writer::{HTML_FILE, JSON_FILE, ReportWriter};
