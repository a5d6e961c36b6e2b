//! Order of an image's axes.

use serde::{Deserialize, Serialize};

/// How the model's file orders an image's axes. Graphs are N×C×H×W after loading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Batch, channels, height, width.
    Nchw,
    /// Batch, height, width, channels: a Transpose is inserted before the model.
    Nhwc,
}
