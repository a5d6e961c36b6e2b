//! Preprocessing in words, for help and for results.

use std::fmt;

use super::preprocess::{ColorOrder, Preprocessing};
use super::preset::Preset;
use super::region::ResizeMode;
use super::resize::Filter;

impl Preprocessing {
    /// How a sample v of 0..=255 becomes input, and the order of the channels: `v/255, RGB`.
    pub fn formula(&self) -> String {
        let scaled = match self.scale {
            1.0 => "v".to_string(),
            s if (1.0 / s - 255.0).abs() < 1e-9 => "v/255".to_string(),
            s => format!("v·{s}"),
        };
        let channels = if self.channels == 1 { 1 } else { 3 };
        let (mean, std) = (&self.mean[..channels], &self.std[..channels]);
        let mut numbers = String::new();
        let mut part = |name: &str, values: &[f64]| match values.iter().all(|v| *v == values[0]) {
            true => values[0].to_string(),
            false => {
                numbers +=
                    &format!(", {name} {}", values.iter().map(f64::to_string).collect::<Vec<_>>().join(" "));
                name.to_string()
            }
        };
        let shifted = match mean.iter().all(|m| *m == 0.0) {
            true => scaled,
            false => format!("{scaled} − {}", part("mean", mean)),
        };
        let text = match std.iter().all(|s| *s == 1.0) {
            true => shifted,
            false if shifted.contains(' ') => format!("({shifted})/{}", part("std", std)),
            false => format!("{shifted}/{}", part("std", std)),
        };
        text + &numbers + self.order()
    }

    fn order(&self) -> &'static str {
        match (self.channels, self.color) {
            (1, _) => ", grey",
            (_, ColorOrder::Rgb) => ", RGB",
            (_, ColorOrder::Bgr) => ", BGR",
            (_, ColorOrder::Grey) => ", grey in every channel",
        }
    }

    /// The preset that has these numbers.
    fn preset(&self) -> Option<Preset> {
        let same = |preset: &Preset| {
            let p = preset.preprocessing(self.height, self.width);
            (p.scale, p.mean, p.std, p.color) == (self.scale, self.mean, self.std, self.color)
        };
        Preset::ALL.into_iter().find(same)
    }
}

/// `inception: (v/255 − 0.5)/0.5, RGB; the whole photo squashed to 112×112 (height × width), bilinear`; the name is that of the preset
/// with these numbers, `own numbers` where there is none.
impl fmt::Display for Preprocessing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.preset().map_or("own numbers", Preset::name);
        let over = self.resized.map(|[h, w]| format!("{h}×{w}"));
        let resized = match (self.resize, over) {
            (ResizeMode::Squash, None) => "the whole photo squashed to".to_string(),
            (ResizeMode::Squash, Some(over)) => {
                format!("the photo squashed to {over} and its centre cut out at")
            }
            (ResizeMode::Crop, None) => "the photo's centre cut out at".to_string(),
            (ResizeMode::Crop, Some(over)) => {
                format!("the photo resized to cover {over} and its centre cut out at")
            }
            (ResizeMode::Letterbox, _) => {
                format!("the whole photo with a border of colour {:?} fitted into", self.fill)
            }
        };
        let filter = match self.filter {
            Filter::Nearest => "nearest",
            Filter::Bilinear => "bilinear",
            Filter::Bicubic => "bicubic",
            Filter::Lanczos => "lanczos",
        };
        let Preprocessing { height, width, .. } = self;
        write!(f, "{name}: {}; {resized} {height}×{width} (height × width), {filter}", self.formula())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_preset_says_its_numbers() {
        let formulas = [
            "(v/255 − mean)/std, mean 0.485 0.456 0.406, std 0.229 0.224 0.225, RGB",
            "(v/255 − 0.5)/0.5, RGB",
            "v/255, RGB",
            "v − mean, mean 103.939 116.779 123.68, BGR",
            "v, RGB",
        ];
        for (preset, formula) in Preset::ALL.into_iter().zip(formulas) {
            assert_eq!(preset.preprocessing(1, 1).formula(), formula);
        }
    }

    #[test]
    fn what_is_no_preset_says_its_own() {
        let inception = Preset::Inception.preprocessing(224, 192);
        let text = "inception: (v/255 − 0.5)/0.5, RGB; the whole photo squashed to 224×192 (height × width), bilinear";
        assert_eq!(inception.to_string(), text);
        let own = Preprocessing {
            resize: ResizeMode::Crop,
            filter: Filter::Bicubic,
            scale: 0.5,
            mean: [0.0; 3],
            std: [1.0, 2.0, 4.0],
            ..inception.clone()
        };
        let text = "own numbers: v·0.5/std, std 1 2 4, RGB; the photo's centre cut out at 224×192 (height × width), bicubic";
        assert_eq!(own.to_string(), text);
        let grey = Preprocessing { channels: 1, ..inception };
        assert!(grey.to_string().contains("(v/255 − 0.5)/0.5, grey;"), "{grey}");
    }
}
