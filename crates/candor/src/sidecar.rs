//! The sidecar: a small TOML file beside a model that says what the model file itself does not.
//!
//! `resnet.candor.toml` (or `resnet.onnx.candor.toml`) beside `resnet.onnx`, every key optional:
//!
//! ```toml
//! preset = "imagenet"          # imagenet, inception, unit, caffe, raw; the keys below refine it
//! size = [224, 224]            # height, width
//! scale = 1.0                  # input = (v · scale − mean) / std, v in 0..=255
//! mean = [123.0, 117.0, 104.0] # or one number for all channels
//! std = [1.0, 1.0, 1.0]
//! color = "rgb"                # rgb, bgr, grey (the luma in every channel)
//! layout = "nchw"              # nchw, nhwc: the model file's own
//! resize = "squash"            # squash, crop, letterbox
//! crop = 0.875                 # for a crop: the input's fraction of the resized photo
//! fill = [114, 114, 114]       # for a letterbox: colour of the border
//! rounding = "torchvision"     # torchvision, transformers, timm: whose rounding of sizes and margins is used
//! filter = "bilinear"          # nearest, bilinear, bicubic, lanczos
//! window = [40.0, 400.0]       # centre and width of the range of samples that is mapped to black to white
//! labels = "classes.txt"       # beside the sidecar; or a list of names
//! output = "logits"            # name of the output to explain
//! logits = "fc_out"            # name of the value that holds the logits
//! levels = ["conv1", "conv5"]  # names of the values that are masked
//! lambda = 0.01                # written by `candor calibrate`, with the requested preset and levels
//! # written by `candor calibrate`, too:
//! false-alarms = { photos = 20, place = { classes = 19980, thresholds = [[0.05, 0.0], [0.01, 1.3], [0.001, 3.7]] }, look = { … } }
//! [inputs]                     # a value for each input other than the image
//! temperature = 1.0
//! ```

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::false_alarms::{FAULT, FalseAlarms};
use crate::file;
use crate::image::{
    ColorOrder, Filter, Layout, MAX_SIDE, Preprocessing, Preset, ResizeMode, Rounding, covering,
};
use crate::labels::{Labels, LabelsError};

/// Requirement on `scale` and `std`.
const USABLE: &str = "must be finite and not 0, of a size from 1e-12 to 1e12";

/// Maximum bytes of a sidecar, which may contain the names of all classes.
const MOST_BYTES: u64 = 64 << 20;

/// The content of a sidecar; a field is `None` if its key is missing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sidecar {
    /// The base of the preprocessing; the fields down to `filter` refine it.
    pub preset: Option<Preset>,
    /// Height and width of the input, 1..=[`MAX_SIDE`].
    #[serde(default, deserialize_with = "exactly")]
    pub size: Option<[usize; 2]>,
    /// Multiplies the 8-bit sample; its magnitude is 1e-12 to 1e12.
    pub scale: Option<f64>,
    /// Subtracted from the scaled sample, per channel in the model's order; -1e12 to 1e12. A single number applies to all channels.
    #[serde(default, deserialize_with = "each_channel")]
    pub mean: Option<[f64; 3]>,
    /// Divides the difference, per channel in the model's order; its magnitude is 1e-12 to 1e12. A single number applies to all channels.
    #[serde(default, deserialize_with = "each_channel")]
    pub std: Option<[f64; 3]>,
    /// Order of the input channels.
    pub color: Option<ColorOrder>,
    /// Layout of the input in the model file.
    pub layout: Option<Layout>,
    /// Squash, crop or letterbox; crop if `crop` is given.
    pub resize: Option<ResizeMode>,
    /// For a crop, the input's fraction of the side that the photo is resized to; 0.01..=1.
    pub crop: Option<f64>,
    /// Colour of a letterbox border, as red, green, blue.
    #[serde(default, deserialize_with = "exactly")]
    pub fill: Option<[u8; 3]>,
    /// Whose rounding of sizes and margins is used.
    pub rounding: Option<Rounding>,
    /// Resampling filter.
    pub filter: Option<Filter>,
    /// Centre and width of the range of samples that is mapped to black to white; finite, the width above 0.
    #[serde(default, deserialize_with = "exactly")]
    pub window: Option<[f64; 2]>,
    /// The classes' names.
    pub labels: Option<LabelSource>,
    /// Name of the output to explain.
    pub output: Option<String>,
    /// Name of the value that holds the logits.
    pub logits: Option<String>,
    /// Names of the values that are masked.
    pub levels: Option<Vec<String>>,
    /// The model's λ; 1e-12 to 1e6.
    pub lambda: Option<f64>,
    /// How much evidence absent classes show, learned by calibration.
    #[serde(rename = "false-alarms")]
    pub false_alarms: Option<FalseAlarms>,
    /// A value for each input other than the image; finite.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, f64>,
}

/// Reads one number for all channels, or a list of one or three.
fn each_channel<'de, D: Deserializer<'de>>(value: D) -> Result<Option<[f64; 3]>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a number, or a list of 1 or 3")]
    enum Numbers {
        One(f64),
        List(Vec<f64>),
    }
    match Numbers::deserialize(value)? {
        Numbers::One(all) => Ok(Some([all; 3])),
        Numbers::List(list) => match list[..] {
            [all] => Ok(Some([all; 3])),
            [a, b, c] => Ok(Some([a, b, c])),
            _ => Err(D::Error::invalid_length(list.len(), &"a list of 1 or 3")),
        },
    }
}

/// Reads a list of exactly N elements. For an array the parser would read the first N and ignore the others.
fn exactly<'de, D: Deserializer<'de>, T: Deserialize<'de>, const N: usize>(
    value: D,
) -> Result<Option<[T; N]>, D::Error> {
    let list = Vec::<T>::deserialize(value)?;
    let count = list.len();
    let wrong = |_| D::Error::invalid_length(count, &format!("a list of {N}").as_str());
    list.try_into().map(Some).map_err(wrong)
}

/// Where labels come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a file name or a list of names")]
pub enum LabelSource {
    /// A file as [`Labels::load`] reads it, relative to the sidecar.
    File(PathBuf),
    /// The names themselves, in class order.
    Names(Vec<String>),
}

/// The results of [`calibrate`](crate::calibrate::calibrate) for the sidecar, and the choices that they hold for.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibrated {
    /// The λ.
    pub lambda: f64,
    /// How much evidence absent classes show; `None` keeps what the sidecar has.
    pub false_alarms: Option<FalseAlarms>,
    /// The requested preset; `None` if the sidecar has it already, or none was requested.
    pub preset: Option<Preset>,
    /// The assumed preset. It is not written as a stated one: a comment says that λ holds for it.
    pub assumed: Option<Preset>,
    /// The requested levels; empty for those of the sidecar, or automatic ones.
    pub levels: Vec<String>,
}

impl Calibrated {
    fn remark(&self) -> String {
        self.assumed
            .map_or_else(String::new, |preset| format!(" # for {preset} preprocessing, which was assumed"))
    }
}

/// Errors of sidecars, each in one line.
#[derive(Debug, thiserror::Error)]
pub enum SidecarError {
    /// It cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Unreadable {
        /// The sidecar.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// It cannot be written as TOML.
    #[error("{}: cannot be written as TOML: {reason}", path.display())]
    Text {
        /// The sidecar.
        path: PathBuf,
        /// The encoder's message.
        reason: String,
    },
    /// It is not TOML, has an unknown key or a value of the wrong kind or range.
    #[error("{}: line {line}, key `{key}`: {message}", path.display())]
    Invalid {
        /// The sidecar.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// The key, or its position.
        key: String,
        /// What is wrong.
        message: String,
    },
    /// A model has two.
    #[error("{} and {} both exist; keep one", .0.display(), .1.display())]
    Two(PathBuf, PathBuf),
    /// Neither the model nor the sidecar states the input's size.
    #[error("the model takes any input size; say which one in its sidecar: size = [height, width]")]
    UnknownSize,
    /// Sidecar and model contradict each other.
    #[error(
        "size = {sidecar:?} is asked for, by --size or the sidecar, but the model takes {}x{} (height x width); leave it out",
        model[0].map_or("any".into(), |n| n.to_string()), model[1].map_or("any".into(), |n| n.to_string())
    )]
    Size {
        /// Height and width in the sidecar.
        sidecar: [usize; 2],
        /// Height and width of the model, where fixed.
        model: [Option<usize>; 2],
    },
    /// The number of the model's input channels is not that of an image.
    #[error("the model's input has {0} channels; an image gives 3, or 1 when grey")]
    Channels(usize),
}

impl Sidecar {
    /// The sidecar's path for a model: `resnet.onnx` → `resnet.candor.toml`.
    pub fn path_for(model: &Path) -> PathBuf {
        model.with_extension("candor.toml")
    }

    /// The sidecar beside `model` with its path, if there is one; `MODEL.onnx.candor.toml` counts as well.
    ///
    /// # Errors
    /// Two of them, or one that [`load`](Self::load) refuses.
    pub fn find(model: &Path) -> Result<Option<(PathBuf, Sidecar)>, SidecarError> {
        let short = Self::path_for(model);
        let mut long = model.as_os_str().to_owned();
        long.push(".candor.toml");
        let long = PathBuf::from(long);
        let path = match (short.exists(), long.exists()) {
            (true, true) if short != long => return Err(SidecarError::Two(short, long)),
            (true, _) => short,
            (_, true) => long,
            _ => return Ok(None),
        };
        Self::load(&path).map(|sidecar| Some((path, sidecar)))
    }

    /// The sidecar in the file at `path`.
    ///
    /// # Errors
    /// A file that cannot be read, and any key or value that is not as documented: no key is ignored.
    pub fn load(path: &Path) -> Result<Sidecar, SidecarError> {
        let text = file::read_text(path, MOST_BYTES)
            .map_err(|source| SidecarError::Unreadable { path: path.into(), source })?;
        Self::parse(&text, path)
    }

    /// Parses the text of a sidecar; errors name `path`.
    ///
    /// # Errors
    /// As [`Sidecar::load`].
    pub fn parse(text: &str, path: &Path) -> Result<Sidecar, SidecarError> {
        let invalid = |line, key: &str, message: &str| SidecarError::Invalid {
            path: path.into(),
            line,
            key: key.into(),
            message: message.split_whitespace().collect::<Vec<_>>().join(" "),
        };
        let sidecar: Sidecar = toml::from_str(text).map_err(|error| {
            let (line, key) = place(text, error.span().map_or(0, |span| span.start));
            invalid(line, key, error.message())
        })?;
        match sidecar.out_of_range() {
            Some((key, message)) => Err(invalid(line_of(text, key).map_or(1, |at| at + 1), key, message)),
            None => Ok(sidecar),
        }
    }

    /// The first key whose value has the right type but is invalid, and why.
    fn out_of_range(&self) -> Option<(&'static str, &'static str)> {
        // With such numbers the input is finite in 32 bits.
        let usable = |v: &f64| (1e-12..=1e12).contains(&v.abs());
        let side = |n: &usize| (1..=MAX_SIDE as usize).contains(n);
        let checks = [
            (
                "size",
                "must be [height, width], each in 1..=16384",
                self.size.is_none_or(|s| s.iter().all(side)),
            ),
            ("scale", USABLE, self.scale.is_none_or(|s| usable(&s))),
            (
                "mean",
                "must be from -1e12 to 1e12",
                self.mean.is_none_or(|m| m.iter().all(|v| v.abs() <= 1e12)),
            ),
            ("std", USABLE, self.std.is_none_or(|s| s.iter().all(usable))),
            ("crop", "must be in 0.01..=1", self.crop.is_none_or(|c| (0.01..=1.0).contains(&c))),
            (
                "window",
                "must be [centre, width], finite, the width above 0",
                self.window.is_none_or(|[c, w]| c.is_finite() && w.is_finite() && w > 0.0),
            ),
            ("inputs", "must be finite", self.inputs.values().all(|v| v.is_finite())),
            ("lambda", "must be from 1e-12 to 1e6", self.lambda.is_none_or(|l| (1e-12..=1e6).contains(&l))),
            ("false-alarms", FAULT, self.false_alarms.as_ref().is_none_or(|f| f.fault().is_none())),
        ];
        checks.into_iter().find(|(_, _, fine)| !fine).map(|(key, message, _)| (key, message))
    }

    /// The sidecar's text, for a file at `path`.
    ///
    /// # Errors
    /// A value out of its range.
    pub fn to_text(&self, path: &Path) -> Result<String, SidecarError> {
        let text = toml::to_string(self)
            .map_err(|error| SidecarError::Text { path: path.into(), reason: error.to_string() })?;
        Self::parse(&text, path)?;
        Ok(text)
    }

    /// Whether it states how input values are computed: by a preset, or by numbers. Stating only how a photo is resized does not count.
    pub fn states_preprocessing(&self) -> bool {
        let Sidecar { preset, scale, mean, std, color, .. } = self;
        preset.is_some() || scale.is_some() || mean.is_some() || std.is_some() || color.is_some()
    }

    /// The text of the sidecar at `path` with the results of calibration and the choices that they hold for. Everything else is kept,
    /// including comments; if there is no file, a new text.
    ///
    /// # Errors
    /// The file is not a sidecar, or a value is invalid.
    pub fn with_calibration(path: &Path, found: &Calibrated) -> Result<String, SidecarError> {
        let text = match file::read_text(path, MOST_BYTES) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(SidecarError::Unreadable { path: path.into(), source }),
        };
        let mut wanted = Sidecar { lambda: Some(found.lambda), ..Self::parse(&text, path)? };
        let mut edited = set(&text, "lambda", &format!("{:?}{}", found.lambda, found.remark()));
        if let Some(false_alarms) = &found.false_alarms {
            wanted.false_alarms = Some(false_alarms.clone());
            edited = set(&edited, "false-alarms", &false_alarms.inline());
        }
        if let Some(preset) = found.preset {
            // As on the command line, a preset replaces numbers that refined another preset.
            wanted =
                Sidecar { preset: Some(preset), scale: None, mean: None, std: None, color: None, ..wanted };
            edited = set(&edited, "preset", &format!("\"{preset}\""));
            edited = ["scale", "mean", "std", "color"].iter().fold(edited, |text, key| without(&text, key));
        }
        if !found.levels.is_empty() {
            wanted.levels = Some(found.levels.clone());
            edited = set(&edited, "levels", &toml::Value::from(found.levels.clone()).to_string());
        }
        if Self::parse(&edited, path).ok().as_ref() != Some(&wanted) {
            return wanted.to_text(path); // a key is part of something else, or a value is invalid
        }
        Ok(edited)
    }

    /// How a photo becomes the model's input: `preset` (from the command line) if given, else the sidecar's fields over its
    /// preset, else over [`Preset::Imagenet`].
    ///
    /// `model_size` is the height and width of the model's input where they are fixed, `channels` its number of channels.
    ///
    /// # Errors
    /// The size is not stated anywhere, or the model and the sidecar disagree on it; channels other than 1 and 3.
    pub fn preprocessing(
        &self,
        preset: Option<Preset>,
        model_size: [Option<usize>; 2],
        channels: usize,
    ) -> Result<Preprocessing, SidecarError> {
        let [height, width] = self.input_size(model_size, channels)?;
        let base = preset.or(self.preset).unwrap_or_default().preprocessing(height, width);
        Ok(self.refine(base, preset.is_some(), channels))
    }

    /// Height and width of the input of a model with that number of channels: this sidecar's, else the model's.
    pub(crate) fn input_size(
        &self,
        model_size: [Option<usize>; 2],
        channels: usize,
    ) -> Result<[usize; 2], SidecarError> {
        if channels != 1 && channels != 3 {
            return Err(SidecarError::Channels(channels));
        }
        let differ = |sidecar: [usize; 2]| (0..2).any(|i| model_size[i].is_some_and(|n| n != sidecar[i]));
        match (self.size, model_size) {
            (Some(sidecar), model) if differ(sidecar) => Err(SidecarError::Size { sidecar, model }),
            (Some(sidecar), _) => Ok(sidecar),
            (None, [Some(height), Some(width)]) => Ok([height, width]),
            (None, _) => Err(SidecarError::UnknownSize),
        }
    }

    /// `base` refined by this sidecar, for a model with that number of channels. A requested preset (`asked`) replaces the
    /// sidecar's numbers, too.
    pub(crate) fn refine(&self, base: Preprocessing, asked: bool, channels: usize) -> Preprocessing {
        let numbers = if asked { &Sidecar::default() } else { self };
        let [height, width] = [base.height, base.width];
        let cropped =
            self.crop.map(|share| (ResizeMode::Crop, [height, width].map(|side| covering(side, share))));
        // The keys for resizing apply together.
        let resized = match (self.resize, cropped) {
            (_, Some((_, sizes))) => Some(sizes),
            (Some(_), None) => None,
            (None, None) => base.resized,
        };
        Preprocessing {
            channels,
            color: numbers.color.unwrap_or(base.color),
            resize: self.resize.or(cropped.map(|(mode, _)| mode)).unwrap_or(base.resize),
            resized,
            fill: self.fill.unwrap_or(base.fill),
            rounding: self.rounding.unwrap_or(base.rounding),
            window: self.window.or(base.window),
            filter: self.filter.unwrap_or(base.filter),
            scale: numbers.scale.unwrap_or(base.scale),
            mean: numbers.mean.unwrap_or(base.mean),
            std: numbers.std.unwrap_or(base.std),
            ..base
        }
    }

    /// The labels that this sidecar, at `path`, names; `None` if it names none.
    ///
    /// # Errors
    /// Those of [`Labels::load`].
    pub fn labels(&self, path: &Path) -> Result<Option<Labels>, LabelsError> {
        match &self.labels {
            None => Ok(None),
            Some(LabelSource::Names(names)) => Ok(Some(Labels::new(names.clone()))),
            Some(LabelSource::File(file)) => Labels::load(&path.with_file_name("").join(file)).map(Some),
        }
    }
}

/// Line number (from 1) of byte `at` of a TOML text, and the key to whose value it belongs.
fn place(text: &str, at: usize) -> (usize, &str) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count();
    let up_to: Vec<&str> = text.lines().take(line + 1).collect();
    let assigned = up_to.iter().rev().find_map(|line| line.split_once('=')).map(|(key, _)| key);
    let key = assigned.or(up_to.last().copied()).unwrap_or_default();
    (line + 1, key.trim())
}

/// The text with a line that assigns `value` to `key`, in place of the existing one if there is one.
fn set(text: &str, key: &str, value: &str) -> String {
    let line = format!("{key} = {value}");
    let mut lines: Vec<&str> = text.lines().collect();
    match line_of(text, key) {
        Some(at) => lines[at] = &line,
        // After the header of a table the key would belong to the table.
        None => lines.insert(lines.iter().position(|l| l.starts_with('[')).unwrap_or(lines.len()), &line),
    }
    lines.join("\n") + "\n"
}

/// The text without the line that assigns `key`.
fn without(text: &str, key: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    if let Some(at) = line_of(text, key) {
        lines.remove(at);
    }
    lines.join("\n") + "\n"
}

/// Index of the line that assigns `key`.
fn line_of(text: &str, key: &str) -> Option<usize> {
    text.lines().position(|line| line.split_once('=').is_some_and(|(left, _)| left.trim() == key))
}

#[cfg(test)]
mod tests;
