//! A picture inside a page: its bytes are in the page's own text.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use candor::map::Map;
use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::error::ReportError;
use crate::paint::Scale;
use crate::png;

/// What a template needs of a picture.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Picture {
    pub(crate) uri: String,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) alt: String,
}

impl Picture {
    /// A photo, as JPEG; `alt` says what it shows.
    ///
    /// # Errors
    /// [`ReportError::Encode`] if it cannot be encoded.
    pub fn jpeg(picture: &RgbImage, alt: String) -> Result<Self, ReportError> {
        let uri = format!("data:image/jpeg;base64,{}", STANDARD.encode(png::jpeg(picture)?));
        Ok(Picture { uri, width: picture.width(), height: picture.height(), alt })
    }

    /// A map, as PNG on a scale; `alt` says what it shows.
    ///
    /// # Errors
    /// As [`Picture::jpeg`].
    pub fn map(map: &Map, scale: &Scale, alt: String) -> Result<Self, ReportError> {
        let uri = format!("data:image/png;base64,{}", STANDARD.encode(png::map(map, scale, "")?));
        Ok(Picture { uri, width: map.width as u32, height: map.height as u32, alt })
    }

    /// What it shows, in words.
    pub fn alt(&self) -> &str {
        &self.alt
    }
}
