//! A picture embedded in a page as a data URI.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use candor::map::Map;
use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::error::ReportError;
use crate::paint::Scale;
use crate::png;

/// A picture for a template.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Picture {
    pub(crate) uri: String,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) alt: String,
}

impl Picture {
    /// A photo, as JPEG; `alt` is its alternative text.
    ///
    /// # Errors
    /// [`ReportError::Encode`] if it cannot be encoded.
    pub fn jpeg(picture: &RgbImage, alt: String) -> Result<Self, ReportError> {
        let uri = format!("data:image/jpeg;base64,{}", STANDARD.encode(png::jpeg(picture)?));
        Ok(Picture { uri, width: picture.width(), height: picture.height(), alt })
    }

    /// A map, as PNG on a scale; `alt` is its alternative text.
    ///
    /// # Errors
    /// As [`Picture::jpeg`].
    pub fn map(map: &Map, scale: &Scale, alt: String) -> Result<Self, ReportError> {
        let uri = format!("data:image/png;base64,{}", STANDARD.encode(png::map(map, scale, "")?));
        Ok(Picture { uri, width: map.width as u32, height: map.height as u32, alt })
    }

    /// The alternative text.
    pub fn alt(&self) -> &str {
        &self.alt
    }
}
