//! Photos given by Python: a path, the bytes of a file, or pixels.

use std::path::{Path, PathBuf};

use candor::error::Result;
use candor::image::{Decoded, Preprocessing};
use image::RgbImage;
use numpy::{PyReadonlyArray3, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use crate::errors::{self, Raised};

/// A photo with its name in results.
pub struct Photo {
    /// The name.
    pub name: String,
    source: Source,
}

enum Source {
    File(PathBuf),
    Bytes(PyBackedBytes),
    Pixels(RgbImage),
}

impl Photo {
    /// A photo from a path, bytes, or H×W×3 uint8 pixels in C order.
    pub fn new(name: String, given: &Bound<'_, PyAny>) -> PyResult<Self> {
        let source = if let Ok(bytes) = given.extract::<PyBackedBytes>() {
            Source::Bytes(bytes)
        } else if let Ok(pixels) = given.extract::<PyReadonlyArray3<'_, u8>>() {
            Source::Pixels(picture(&name, &pixels)?)
        } else {
            Source::File(given.extract()?)
        };
        Ok(Photo { name, source })
    }

    /// The photo in the form that a model takes, upright and opaque, and the changes made for that.
    ///
    /// # Errors
    /// If the file is not a photo.
    pub fn decoded(self, preprocessing: &Preprocessing) -> Result<Decoded> {
        Ok(match self.source {
            Source::File(path) => preprocessing.read(&path)?,
            Source::Bytes(bytes) => preprocessing.read_bytes(&bytes, Path::new(&self.name))?,
            Source::Pixels(photo) => Decoded { photo: photo.into(), changes: vec![] },
        })
    }
}

/// The bytes of a PNG file of H×W×3 uint8 RGB pixels; ImageError for another shape or an order other than C.
#[pyfunction]
pub fn png<'py>(py: Python<'py>, pixels: PyReadonlyArray3<'py, u8>) -> PyResult<Bound<'py, PyBytes>> {
    let picture = picture("a photo", &pixels)?;
    Ok(PyBytes::new(py, &candor_report::png::rgb(&picture, "").raised()?))
}

fn picture(name: &str, pixels: &PyReadonlyArray3<'_, u8>) -> PyResult<RgbImage> {
    let &[height, width, channels] = pixels.shape() else {
        return Err(errors::exception("ImageError", &format!("{name}: pixels have three axes, H×W×3")));
    };
    let wrong = || {
        let text = format!(
            "{name}: pixels of shape ({height}, {width}, {channels}); H×W×3 are taken, each side 1 to 16384"
        );
        errors::exception("ImageError", &text)
    };
    let side = |n: usize| u32::try_from(n).ok().filter(|n| (1..=candor::image::MAX_SIDE).contains(n));
    let (Some(w), Some(h), 3) = (side(width), side(height), channels) else { return Err(wrong()) };
    let values = pixels.as_slice().map_err(|_| wrong())?.to_vec();
    RgbImage::from_raw(w, h, values).ok_or_else(wrong)
}
