//! From arguments to a model with its preprocessing and labels.

use std::path::PathBuf;

use anyhow::Result;
use candor::engine::{Device, Engine, OnnxRuntime, RTen, cores};
use candor::error::one_line;
use candor::image::Preset;
use candor::methods::{self, Definition};
use candor::{Classifier, OpenOptions};
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

/// An error of the library as one of usage, if it is one.
pub fn usage(error: candor::Error) -> anyhow::Error {
    if error.is_usage() { Usage(one_line(&error)).into() } else { error.into() }
}

/// A model and what belongs to it.
pub type Setup = Classifier;

/// What a user should know about the choices made for them.
fn tell_assumed(classifier: &Classifier) {
    if !classifier.preprocessing_stated {
        let names: Vec<&str> = Preset::ALL.iter().map(|p| p.name()).collect();
        output::note(&format!(
            "preprocessing is assumed to be 'imagenet'; if the answers look wrong choose another with --preset ({}) or \
             write preset = \"NAME\" to {}",
            names.join(", "),
            classifier.sidecar_path.display()
        ));
    }
}

/// The method of that name; an old name is noted.
pub fn method(name: &str) -> Result<Box<dyn Definition>> {
    let found = methods::find(name).map_err(usage)?;
    if let Some(today) = methods::renamed(name) {
        output::note(&format!("the method '{name}' is called '{today}' now"));
    }
    Ok(found)
}

/// The engine asked for.
pub fn engine(args: &EngineArgs) -> Result<Box<dyn Engine>> {
    if args.threads > cores() {
        output::note(&format!(
            "--threads {}: this machine has {} cores, which is the most that is used",
            args.threads,
            cores()
        ));
    }
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

/// Opens a model with its sidecar, and says what the user should know of it.
pub fn load(args: &ModelArgs) -> Result<Setup> {
    let options = OpenOptions {
        engine: Some(engine(&args.engine)?),
        preset: args.preset,
        labels: args.labels.clone(),
        sidecar: args.sidecar.clone(),
    };
    let classifier = Classifier::open_with(&args.model, options)?;
    tell_assumed(&classifier);
    Ok(classifier)
}

/// Loads the model on which the attack `transfer` makes images for that of `setup`.
pub fn surrogate(setup: &Setup, args: &ModelArgs, path: PathBuf, preset: Option<Preset>) -> Result<Setup> {
    let own = ModelArgs { model: path, preset, labels: None, sidecar: None, ..args.clone() };
    let other = load(&own)?;
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
