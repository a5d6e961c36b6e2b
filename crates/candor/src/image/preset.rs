//! Named preprocessing presets: the inputs of the models of common training frameworks.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::preprocess::{ColorOrder, Preprocessing};
use super::region::{ResizeMode, Rounding};
use super::resize::Filter;
use crate::suggest::among;

/// A named way to turn 8-bit samples v into input. Each squashes the whole photo with an antialiased bilinear
/// filter unless a crop is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// (v/255 − mean)/std, RGB, mean 0.485 0.456 0.406, std 0.229 0.224 0.225: torchvision, timm.
    #[default]
    Imagenet,
    /// (v/255 − 0.5)/0.5, RGB, so −1..=1: Inception and MobileNet of TensorFlow.
    Inception,
    /// v/255, RGB, so 0..=1.
    Unit,
    /// v − mean, BGR, mean 103.939 116.779 123.68 (blue, green, red): Caffe, Keras' ResNet-50 and VGG.
    Caffe,
    /// v itself, RGB, 0..=255.
    Raw,
}

impl Preset {
    /// Every preset, in the order of the help.
    pub const ALL: [Preset; 5] =
        [Preset::Imagenet, Preset::Inception, Preset::Unit, Preset::Caffe, Preset::Raw];

    /// The preset's name on the command line and in sidecars.
    pub fn name(self) -> &'static str {
        match self {
            Preset::Imagenet => "imagenet",
            Preset::Inception => "inception",
            Preset::Unit => "unit",
            Preset::Caffe => "caffe",
            Preset::Raw => "raw",
        }
    }

    /// Which models use it.
    pub fn used_by(self) -> &'static str {
        match self {
            Preset::Imagenet => "torchvision, timm",
            Preset::Inception => "TensorFlow's Inception, MobileNet and EfficientNet",
            Preset::Unit => "models trained on 0..=1",
            Preset::Caffe => "Caffe, Keras' ResNet-50 and VGG",
            Preset::Raw => "models that normalise inside",
        }
    }

    /// The preset for an input of 3 × `height` × `width`.
    pub fn preprocessing(self, height: usize, width: usize) -> Preprocessing {
        let (scale, mean, std, color) = match self {
            Preset::Imagenet => (255.0, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225], ColorOrder::Rgb),
            Preset::Inception => (255.0, [0.5; 3], [0.5; 3], ColorOrder::Rgb),
            Preset::Unit => (255.0, [0.0; 3], [1.0; 3], ColorOrder::Rgb),
            Preset::Caffe => (1.0, [103.939, 116.779, 123.68], [1.0; 3], ColorOrder::Bgr),
            Preset::Raw => (1.0, [0.0; 3], [1.0; 3], ColorOrder::Rgb),
        };
        Preprocessing {
            height,
            width,
            channels: 3,
            color,
            resize: ResizeMode::default(),
            resized: None,
            rounding: Rounding::default(),
            fill: [0; 3],
            window: None,
            filter: Filter::default(),
            scale: 1.0 / scale,
            mean,
            std,
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An unknown preset name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no preset '{name}'{}", among(name, &Preset::ALL.map(Preset::name)))]
pub struct ParsePresetError {
    name: String,
}

impl FromStr for Preset {
    type Err = ParsePresetError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let same = |preset: &Preset| preset.name().eq_ignore_ascii_case(name);
        Preset::ALL.into_iter().find(same).ok_or_else(|| ParsePresetError { name: name.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for preset in Preset::ALL {
            assert_eq!(preset.to_string().parse(), Ok(preset));
        }
        let error = "imagnet".parse::<Preset>().unwrap_err().to_string();
        assert_eq!(
            error,
            "there is no preset 'imagnet'; did you mean 'imagenet'? There are: imagenet, inception, unit, caffe, raw"
        );
    }
}
