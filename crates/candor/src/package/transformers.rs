//! The preprocessing of transformers' image processors: `preprocessor_config.json`, interpreted as by the processor that it names (the
//! variants that work on Pillow images).

use serde_json::Value;

use super::timm::channel_numbers;
use super::{PREPROCESSOR, Recipe};
use crate::image::{ColorOrder, Filter, Preprocessing, Preset, ResizeMode, Rounding};

/// Height and width, or the length of the shorter side.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Size {
    Both([usize; 2]),
    Short(usize),
}

impl Size {
    fn read(settings: &Value, key: &str, one_is_short: bool) -> Result<Option<Size>, String> {
        let wrong = || format!("`{key}` is neither a number, height and width, nor the shortest edge");
        let number = |v: &Value| v.as_u64().filter(|n| (1..=1 << 14).contains(n)).map(|n| n as usize);
        let Some(value) = settings.get(key).filter(|v| !v.is_null()) else { return Ok(None) };
        if let Some(side) = number(value) {
            return Ok(Some(if one_is_short { Size::Short(side) } else { Size::Both([side; 2]) }));
        }
        let part = |key: &str| value.get(key).and_then(number);
        match (part("height"), part("width"), part("shortest_edge")) {
            (Some(height), Some(width), _) => Ok(Some(Size::Both([height, width]))),
            (_, _, Some(side)) => Ok(Some(Size::Short(side))),
            _ => Err(wrong()),
        }
    }
}

/// A processor's defaults.
struct Defaults {
    filter: Filter,
    /// Whether a size given as one number is the shorter side.
    one_is_short: bool,
    crops: bool,
    normalizes: bool,
    flips: bool,
}

fn defaults(processor: &str) -> Defaults {
    let is = |names: &[&str]| names.iter().any(|name| processor.starts_with(name));
    Defaults {
        filter: match () {
            () if is(&[
                "CLIP",
                "Bit",
                "Levit",
                "DeiT",
                "Beit",
                "PoolFormer",
                "Siglip",
                "EfficientNet",
                "MobileViT",
            ]) =>
            {
                Filter::Bicubic
            }
            () => Filter::Bilinear,
        },
        one_is_short: is(&["CLIP", "Bit", "Levit", "ConvNext", "MobileNet", "MobileViT", "PoolFormer"]),
        crops: is(&["CLIP", "Bit", "Levit", "DeiT", "Beit", "MobileNet", "MobileViT", "PoolFormer"]),
        normalizes: !is(&["MobileViT"]),
        flips: is(&["MobileViT"]),
    }
}

/// The preprocessing that the settings state; `None` if they are timm's, which are read from `config.json`.
pub(super) fn recipe(settings: &Value) -> Result<Option<Recipe>, String> {
    let text = |key: &str| settings.get(key).and_then(Value::as_str);
    let processor =
        text("image_processor_type").or(text("feature_extractor_type")).unwrap_or("ViTImageProcessor");
    if processor.starts_with("TimmWrapper") {
        return Ok(None);
    }
    let defaults = defaults(processor);
    let flag = |key: &str, default: bool| settings.get(key).and_then(Value::as_bool).unwrap_or(default);
    let number = |key: &str| settings.get(key).and_then(Value::as_f64);
    let size = match flag("do_resize", true) {
        true => Size::read(settings, "size", defaults.one_is_short)?,
        false => None,
    };
    let crop = match flag("do_center_crop", defaults.crops) && !processor.starts_with("ConvNext") {
        true => Size::read(settings, "crop_size", false)?,
        false => None,
    };
    let place = place(processor, size, crop, number("crop_pct"))?;
    let scale = if flag("do_rescale", true) { number("rescale_factor").unwrap_or(1.0 / 255.0) } else { 1.0 };
    // EfficientNet: v·scale − 1.
    let offset = if flag("rescale_offset", false) && flag("do_rescale", true) { 1.0 } else { 0.0 };
    let imagenet = Preset::Imagenet.preprocessing(1, 1);
    let (mut mean, mut std) = ([0.0; 3], [1.0; 3]);
    if flag("do_normalize", defaults.normalizes) {
        mean = channel_numbers(settings, "image_mean")?.unwrap_or(imagenet.mean);
        std = channel_numbers(settings, "image_std")?.unwrap_or(imagenet.std);
    }
    // EfficientNet's processor divides by the standard deviation twice for classifiers: (x/σ − μ/σ)/σ.
    if processor.starts_with("EfficientNet") && flag("include_top", true) && flag("do_normalize", true) {
        std = std.map(|s| s * s);
    }
    let preprocessing = Preprocessing {
        height: place.input.map_or(1, |s| s[0]),
        width: place.input.map_or(1, |s| s[1]),
        channels: 3,
        color: if flag("do_flip_channel_order", defaults.flips) { ColorOrder::Bgr } else { ColorOrder::Rgb },
        resize: place.mode,
        resized: place.resized,
        rounding: Rounding::Transformers,
        fill: [0; 3],
        window: None,
        filter: filter(settings.get("resample"), defaults.filter)?,
        scale,
        mean: mean.map(|m| m + offset),
        std,
    };
    Ok(Some(Recipe { source: PREPROCESSOR.to_string(), size: place.input, preprocessing }))
}

/// The filter with Pillow's number.
fn filter(resample: Option<&Value>, default: Filter) -> Result<Filter, String> {
    match resample.filter(|r| !r.is_null()).map(Value::as_u64) {
        None => Ok(default),
        Some(Some(0)) => Ok(Filter::Nearest),
        Some(Some(1)) => Ok(Filter::Lanczos),
        Some(Some(2)) => Ok(Filter::Bilinear),
        Some(Some(3)) => Ok(Filter::Bicubic),
        _ => Err("`resample` is none of 0 (nearest), 1 (lanczos), 2 (bilinear) and 3 (bicubic); say `filter` in the sidecar and --preset".into()),
    }
}

/// How a photo is brought to the input's size.
struct Place {
    mode: ResizeMode,
    resized: Option<[usize; 2]>,
    input: Option<[usize; 2]>,
}

fn place(
    processor: &str,
    size: Option<Size>,
    crop: Option<Size>,
    share: Option<f64>,
) -> Result<Place, String> {
    let both = |size: Size| match size {
        Size::Both(sides) => sides,
        Size::Short(side) => [side; 2],
    };
    let part = |side: usize, share: f64| (side as f64 / share) as usize;
    let crop = crop.map(both);
    if let Some(share) = share.filter(|s| s.is_nan() || *s <= 0.0) {
        return Err(format!("`crop_pct` is {share}, not above 0"));
    }
    let cover = |over: [usize; 2], input: [usize; 2]| Place {
        mode: ResizeMode::Crop,
        resized: Some(over),
        input: Some(input),
    };
    Ok(match (size, crop) {
        (None, None) => Place { mode: ResizeMode::Squash, resized: None, input: None },
        (None, Some(_)) => return Err(
            "cuts out a photo's middle without resizing it, which is not supported; say how in the sidecar"
                .into(),
        ),
        // For inputs below 384 a larger photo is cropped; for others the whole photo is squashed.
        (Some(Size::Short(side) | Size::Both([side, _])), _) if processor.starts_with("ConvNext") => {
            match side {
                384.. => Place { mode: ResizeMode::Squash, resized: None, input: Some([side; 2]) },
                _ => cover([part(side, share.unwrap_or(224.0 / 256.0)); 2], [side; 2]),
            }
        }
        (Some(Size::Short(side)), Some(input)) if processor.starts_with("Levit") => {
            cover([(256.0 / 224.0 * side as f64) as usize; 2], input)
        }
        (Some(Size::Short(side)), Some(input)) if processor.starts_with("PoolFormer") => {
            cover([part(side, share.unwrap_or(0.9)); 2], input)
        }
        (Some(Size::Short(side)), Some(input)) => cover([side; 2], input),
        // The length of the longer side depends on the photo: inputs of a fixed size take the centre.
        (Some(Size::Short(side)), None) => cover([side; 2], [side; 2]),
        (Some(Size::Both(sides)), None) => {
            Place { mode: ResizeMode::Squash, resized: None, input: Some(sides) }
        }
        (Some(Size::Both(sides)), Some(input)) => {
            Place { mode: ResizeMode::Squash, resized: Some(sides), input: Some(input) }
        }
    })
}
