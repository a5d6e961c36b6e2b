//! The preprocessing of timm: `pretrained_cfg` of a `config.json`, or the same keys at its top level, as
//! `timm.data.create_transform(**timm.data.resolve_data_config(cfg))` reads them.

use serde_json::Value;

use super::{CONFIG, Recipe};
use crate::image::{ColorOrder, Filter, Preprocessing, Preset, ResizeMode, Rounding, covering};

/// timm's default for the fraction of the resized photo that is cropped.
const CROP: f64 = 0.875;

/// The preprocessing that a configuration states; `None` if it is not timm's.
pub(super) fn recipe(config: &Value) -> Result<Option<Recipe>, String> {
    let settings = config.get("pretrained_cfg").unwrap_or(config);
    let Some(sizes) = settings.get("input_size") else { return Ok(None) };
    let sizes = sizes.as_array().map(|s| s.iter().filter_map(Value::as_u64).collect::<Vec<_>>());
    let [channels, height, width] = match sizes.as_deref() {
        Some(&[c, h, w]) if (1..=1 << 14).contains(&h) && (1..=1 << 14).contains(&w) => {
            [c, h, w].map(|n| n as usize)
        }
        _ => return Err("`input_size` is not [channels, height, width]".to_string()),
    };
    let share = settings.get("crop_pct").and_then(Value::as_f64).unwrap_or(CROP);
    if share.is_nan() || share <= 0.0 {
        return Err(format!("`crop_pct` is {share}, not above 0"));
    }
    let filter = match settings.get("interpolation").and_then(Value::as_str).unwrap_or("bilinear") {
        "nearest" => Filter::Nearest,
        "bilinear" => Filter::Bilinear,
        "bicubic" => Filter::Bicubic,
        "lanczos" => Filter::Lanczos,
        other => {
            return Err(format!(
                "`interpolation` is '{other}', which is not supported; say `filter` in the sidecar and --preset"
            ));
        }
    };
    let imagenet = Preset::Imagenet.preprocessing(height, width);
    let mean = channel_numbers(settings, "mean")?.unwrap_or(imagenet.mean);
    let std = channel_numbers(settings, "std")?.unwrap_or(imagenet.std);
    let over = [height, width].map(|side| covering(side, share));
    let round = |v: f64| (255.0 * v).round_ties_even().clamp(0.0, 255.0) as u8;
    let (resize, rounding, fill) = match settings.get("crop_mode").and_then(Value::as_str).unwrap_or("center")
    {
        "squash" => (ResizeMode::Squash, Rounding::Torchvision, [0; 3]),
        "border" => (ResizeMode::Letterbox, Rounding::Timm, mean.map(round)),
        // For a square input the shorter side is resized, by torchvision.
        _ if over[0] == over[1] => (ResizeMode::Crop, Rounding::Torchvision, [0; 3]),
        _ => (ResizeMode::Crop, Rounding::Timm, [0; 3]),
    };
    let preprocessing = Preprocessing {
        channels,
        color: ColorOrder::Rgb,
        resize,
        resized: Some(over),
        rounding,
        fill,
        filter,
        mean,
        std,
        ..imagenet
    };
    Ok(Some(Recipe { source: CONFIG.to_string(), size: Some([height, width]), preprocessing }))
}

/// A number for each channel, or one for all.
pub(super) fn channel_numbers(settings: &Value, key: &str) -> Result<Option<[f64; 3]>, String> {
    let wrong = || format!("`{key}` is not a number for each channel");
    let numbers = match settings.get(key) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_f64).collect(),
        Some(one) => vec![one.as_f64().ok_or_else(wrong)?],
    };
    match numbers[..] {
        [all] => Ok(Some([all; 3])),
        [a, b, c] => Ok(Some([a, b, c])),
        _ => Err(wrong()),
    }
}
