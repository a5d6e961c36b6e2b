//! From arguments to a model with its preprocessing and labels.

use std::path::PathBuf;

use anyhow::{Context, Result};
use candor::engine::{Device, Engine, OnnxRuntime, RTen};
use candor::image::{Preprocessing, Preset};
use candor::labels::Labels;
use candor::methods::Choices;
use candor::model::{Layout, Model, ModelOptions};
use candor::sidecar::{Layout as SidecarLayout, Sidecar};
use candor_eval::dataset::{self, ClassMap, Dataset};

use crate::arguments::{DeviceName, EngineArgs, EngineName, ModelArgs, SourceArgs};
use crate::output;

/// An error of usage (exit code 2): what was asked for does not exist.
#[derive(Debug)]
pub struct Usage(pub String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// A model and what belongs to it.
pub struct Setup {
    pub model: Model,
    pub preprocessing: Preprocessing,
    pub labels: Labels,
    pub sidecar: Sidecar,
    /// Where the sidecar is, or would be written.
    pub sidecar_path: PathBuf,
    /// What the user should know about the choices made for them.
    pub notes: Vec<String>,
}

impl Setup {
    /// What is chosen beside a method's parameters: levels of the command line, else of the sidecar, and the sidecar's λ.
    pub fn choices(&self, levels: &[String], seed: u64) -> Choices {
        let own = || self.sidecar.levels.clone().unwrap_or_default();
        let levels = if levels.is_empty() { own() } else { levels.to_vec() };
        Choices { levels, calibrated_lambda: self.sidecar.lambda, seed }
    }
}

/// The engine asked for.
pub fn engine(args: &EngineArgs) -> Result<Box<dyn Engine>> {
    let only_onnxruntime = args.device != DeviceName::Cpu || args.onnxruntime.is_some();
    match args.engine {
        EngineName::Rten if only_onnxruntime => {
            Err(Usage("--device and --onnxruntime need --engine onnxruntime".to_string()).into())
        }
        EngineName::Rten => Ok(Box::new(RTen::new(args.threads))),
        EngineName::Onnxruntime => {
            let device = match args.device {
                DeviceName::Cpu => Device::Cpu,
                DeviceName::Cuda => Device::Cuda,
                DeviceName::Tensorrt => Device::TensorRt,
                DeviceName::Coreml => Device::CoreMl,
                DeviceName::Directml => Device::DirectMl,
            };
            let engine = OnnxRuntime::new(args.onnxruntime.as_deref(), args.threads, device)?;
            output::note(&format!("engine: ONNX Runtime, {}", engine.library().display()));
            Ok(Box::new(engine))
        }
    }
}

/// Opens a dataset, its classes mapped to the model's.
pub fn dataset(setup: &Setup, args: &SourceArgs) -> Result<Dataset> {
    let format = match &args.format {
        Some(name) => {
            let known = dataset::Format::ALL.iter().find(|(n, _)| n == name);
            let names = || dataset::Format::ALL.map(|(n, _)| n).join(", ");
            let unknown = || Usage(format!("there is no format '{name}'; there are: {}", names()));
            Some(known.ok_or_else(unknown)?.1)
        }
        None => None,
    };
    let mut dataset = dataset::open(&args.dataset, format, args.images.as_deref())?;
    let map = args.class_map.as_deref().map(ClassMap::load).transpose()?.unwrap_or_default();
    map.resolve(&mut dataset, &setup.labels)?;
    Ok(dataset)
}

/// Loads a model with its sidecar, and says what the user should know of it.
pub fn load_telling(args: &ModelArgs) -> Result<Setup> {
    let setup = load(args)?;
    setup.notes.iter().for_each(|note| output::note(note));
    Ok(setup)
}

/// Loads the model on which the attack `transfer` makes images for that of `setup`.
pub fn surrogate(setup: &Setup, args: &ModelArgs, path: PathBuf, preset: Option<Preset>) -> Result<Setup> {
    let own = ModelArgs { model: path, preset, labels: None, sidecar: None, ..args.clone() };
    let other = load_telling(&own)?;
    let (a, b) = (setup.model.input_shape, other.model.input_shape);
    if a != b || setup.model.classes != other.model.classes {
        return Err(Usage(format!(
            "{} takes {a:?} and has {} classes, {} takes {b:?} and has {}: images can only be handed on between models of \
             the same input size and classes",
            setup.model.info.path, setup.model.classes, other.model.info.path, other.model.classes
        ))
        .into());
    }
    Ok(other)
}

/// Loads a model with its sidecar.
pub fn load(args: &ModelArgs) -> Result<Setup> {
    let found = match &args.sidecar {
        Some(path) => Some((path.clone(), Sidecar::load(path)?)),
        None => Sidecar::find(&args.model)?,
    };
    let no_sidecar = found.is_none();
    let (sidecar_path, sidecar) =
        found.unwrap_or_else(|| (Sidecar::path_for(&args.model), Sidecar::default()));
    let options = ModelOptions {
        size: sidecar.size,
        layout: sidecar.layout.map(|l| match l {
            SidecarLayout::Nchw => Layout::Nchw,
            SidecarLayout::Nhwc => Layout::Nhwc,
        }),
        logits: sidecar.logits.clone(),
    };
    let model = Model::load(&args.model, &options, engine(&args.engine)?)?;
    let [channels, height, width] = model.input_shape;
    let preprocessing = sidecar
        .preprocessing(args.preset, [Some(height), Some(width)], channels)
        .with_context(|| sidecar_path.display().to_string())?;
    let labels = match &args.labels {
        Some(path) => Some(Labels::load(path)?),
        None => sidecar.labels(&sidecar_path)?,
    };
    let mut notes = vec![];
    if args.preset.is_none() && no_sidecar {
        let names: Vec<&str> = Preset::ALL.iter().map(|p| p.name()).collect();
        notes.push(format!(
            "preprocessing is assumed to be 'imagenet'; if the answers look wrong choose another with --preset ({}) or \
             write {}",
            names.join(", "),
            sidecar_path.display()
        ));
    }
    let labels = labels.unwrap_or_else(|| Labels::unnamed(model.classes));
    labels.check_count(model.classes).with_context(|| format!("labels of {}", args.model.display()))?;
    Ok(Setup { model, preprocessing, labels, sidecar, sidecar_path, notes })
}
