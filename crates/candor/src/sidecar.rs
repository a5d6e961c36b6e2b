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
//! crop = 0.875                 # of a crop: the input's share of the resized photo
//! fill = [114, 114, 114]       # of a letterbox: colour of the border
//! rounding = "torchvision"     # torchvision, transformers, timm: whose arithmetic rounds sizes and margins
//! filter = "bilinear"          # nearest, bilinear, bicubic, lanczos
//! window = [40.0, 400.0]       # centre and width of the samples that become black to white
//! labels = "classes.txt"       # beside the sidecar; or a list of names
//! output = "logits"            # name of the output that is explained
//! logits = "fc_out"            # name of the value that holds the logits
//! levels = ["conv1", "conv5"]  # names of the values that masks multiply
//! lambda = 0.01                # written by `candor calibrate`, with the preset and the levels that it was asked for
//! false-alarms = { photos = 20, place = { classes = 19980, thresholds = [[0.05, 0.0], [0.01, 1.3], [0.001, 3.7]] }, look = { … } }  # likewise
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

/// What `scale` and `std` must be.
const USABLE: &str = "must be finite and not 0, of a size from 1e-12 to 1e12";

/// Most bytes of a sidecar, which may hold the names of all classes.
const MOST_BYTES: u64 = 64 << 20;

/// What a sidecar says; `None` where it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sidecar {
    /// Where preprocessing starts from; the fields down to `filter` refine it.
    pub preset: Option<Preset>,
    /// Height and width of the input, 1..=[`MAX_SIDE`].
    #[serde(default, deserialize_with = "exactly")]
    pub size: Option<[usize; 2]>,
    /// Multiplies the 8-bit sample; its size is 1e-12 to 1e12.
    pub scale: Option<f64>,
    /// Subtracted from the scaled sample, by channel in the model's order; -1e12 to 1e12. One number is for all channels.
    #[serde(default, deserialize_with = "each_channel")]
    pub mean: Option<[f64; 3]>,
    /// Divides the difference, by channel in the model's order; its size is 1e-12 to 1e12. One number is for all channels.
    #[serde(default, deserialize_with = "each_channel")]
    pub std: Option<[f64; 3]>,
    /// Order of the input channels.
    pub color: Option<ColorOrder>,
    /// Layout of the input in the model file.
    pub layout: Option<Layout>,
    /// Squash, crop or letterbox; a crop where `crop` is given.
    pub resize: Option<ResizeMode>,
    /// The input's share of the side that the photo is resized to, for a crop; above 0, at most 1.
    pub crop: Option<f64>,
    /// Colour of a letterbox's border, red, green, blue.
    #[serde(default, deserialize_with = "exactly")]
    pub fill: Option<[u8; 3]>,
    /// Whose arithmetic rounds sizes and margins.
    pub rounding: Option<Rounding>,
    /// Resampling filter.
    pub filter: Option<Filter>,
    /// Centre and width of the samples that become black to white; finite, the width above 0.
    #[serde(default, deserialize_with = "exactly")]
    pub window: Option<[f64; 2]>,
    /// The classes' names.
    pub labels: Option<LabelSource>,
    /// Name of the output that is explained.
    pub output: Option<String>,
    /// Name of the value that holds the logits.
    pub logits: Option<String>,
    /// Names of the values that masks multiply.
    pub levels: Option<Vec<String>>,
    /// The model's λ; 1e-12 to 1e6.
    pub lambda: Option<f64>,
    /// What classes that are not there show, learned by calibration.
    #[serde(rename = "false-alarms")]
    pub false_alarms: Option<FalseAlarms>,
    /// A value for each input other than the image; finite.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, f64>,
}

/// One number for all channels, or a list of one or three.
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

/// A list of N. Of an array alone the parser would take the first N and leave the others.
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

/// What [`calibrate`](crate::calibrate::calibrate) found, for the sidecar, and what it holds for.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibrated {
    /// The λ.
    pub lambda: f64,
    /// What classes that are not there show; what the sidecar says stays if `None`.
    pub false_alarms: Option<FalseAlarms>,
    /// The preset that was asked for; `None` if the sidecar has it already, or none was.
    pub preset: Option<Preset>,
    /// The preset that was assumed. It is not written as a stated one: a comment says that λ holds for it.
    pub assumed: Option<Preset>,
    /// The levels that were asked for; those of the sidecar, or automatic ones, if empty.
    pub levels: Vec<String>,
}

impl Calibrated {
    fn remark(&self) -> String {
        self.assumed
            .map_or_else(String::new, |preset| format!(" # for {preset} preprocessing, which was assumed"))
    }
}

/// What can be wrong with a sidecar, in one line.
#[derive(Debug, thiserror::Error)]
pub enum SidecarError {
    /// It cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Unreadable {
        /// The sidecar.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// It has no form as TOML.
    #[error("{}: cannot be written as TOML: {reason}", path.display())]
    Text {
        /// The sidecar.
        path: PathBuf,
        /// What the encoder says.
        reason: String,
    },
    /// It is not TOML, has an unknown key or a value of the wrong kind or range.
    #[error("{}: line {line}, key `{key}`: {message}", path.display())]
    Invalid {
        /// The sidecar.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// The key, or its place.
        key: String,
        /// What is wrong.
        message: String,
    },
    /// A model has two.
    #[error("{} and {} both exist; keep one", .0.display(), .1.display())]
    Two(PathBuf, PathBuf),
    /// Neither the model nor the sidecar says the input's size.
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
    /// The model takes no image.
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
    /// A file that cannot be read, and any key or value that is not as documented: nothing is ignored.
    pub fn load(path: &Path) -> Result<Sidecar, SidecarError> {
        let text = file::read_text(path, MOST_BYTES)
            .map_err(|source| SidecarError::Unreadable { path: path.into(), source })?;
        Self::parse(&text, path)
    }

    /// The sidecar in a text; errors name `path`.
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

    /// The first key whose value is of the right kind but makes no sense, and why.
    fn out_of_range(&self) -> Option<(&'static str, &'static str)> {
        // Of such numbers the input stays finite in 32 bits.
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

    /// The sidecar as text, for a file at `path`.
    ///
    /// # Errors
    /// A value out of its range.
    pub fn to_text(&self, path: &Path) -> Result<String, SidecarError> {
        let text = toml::to_string(self)
            .map_err(|error| SidecarError::Text { path: path.into(), reason: error.to_string() })?;
        Self::parse(&text, path)?;
        Ok(text)
    }

    /// Whether it says what the values of the input are: a preset, or numbers of one's own. How a photo is resized alone does not.
    pub fn states_preprocessing(&self) -> bool {
        let Sidecar { preset, scale, mean, std, color, .. } = self;
        preset.is_some() || scale.is_some() || mean.is_some() || std.is_some() || color.is_some()
    }

    /// The text of the sidecar at `path` with what calibration found and on what it was found, and everything else there kept, comments
    /// included; a text of its own if there is no file.
    ///
    /// # Errors
    /// What is there is not a sidecar, or a value makes no sense.
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
            // As on the command line, a preset replaces the numbers that refined another.
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
            return wanted.to_text(path); // a key is part of something else, or a value makes no sense
        }
        Ok(edited)
    }

    /// How a photo becomes the model's input: `preset` (the command line's) if given, else the sidecar's fields over its
    /// preset, else [`Preset::Imagenet`].
    ///
    /// `model_size` is the height and width of the model's input where they are fixed, `channels` how many
    /// channels it has.
    ///
    /// # Errors
    /// The size is stated nowhere, or the model and the sidecar differ in it; channels other than 1 and 3.
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

    /// Height and width of the input of a model with that many channels: this sidecar's, else the model's.
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

    /// `base` overridden by this sidecar, for a model of that many channels. A preset that was asked for replaces the
    /// sidecar's numbers, too.
    pub(crate) fn refine(&self, base: Preprocessing, asked: bool, channels: usize) -> Preprocessing {
        let numbers = if asked { &Sidecar::default() } else { self };
        let [height, width] = [base.height, base.width];
        let cropped =
            self.crop.map(|share| (ResizeMode::Crop, [height, width].map(|side| covering(side, share))));
        // How a photo is resized is said as a whole.
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

/// Line number (from 1) of byte `at` of a TOML text, and the key whose value it belongs to.
fn place(text: &str, at: usize) -> (usize, &str) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count();
    let up_to: Vec<&str> = text.lines().take(line + 1).collect();
    let assigned = up_to.iter().rev().find_map(|line| line.split_once('=')).map(|(key, _)| key);
    let key = assigned.or(up_to.last().copied()).unwrap_or_default();
    (line + 1, key.trim())
}

/// The text with a line that assigns `value` to `key`, in place of the one that did.
fn set(text: &str, key: &str, value: &str) -> String {
    let line = format!("{key} = {value}");
    let mut lines: Vec<&str> = text.lines().collect();
    match line_of(text, key) {
        Some(at) => lines[at] = &line,
        // Behind the head of a table it would belong to that.
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
