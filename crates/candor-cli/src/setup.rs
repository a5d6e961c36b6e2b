//! From arguments to a model with its preprocessing and labels.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use candor::engine::{Device, Engine, OnnxRuntime, RTen, automatic, cores};
use candor::image::Preset;
use candor::mask::named_levels;
use candor::methods::{self, Choices, Definition};
use candor::sidecar::{Sidecar, SidecarError};
use candor::suggest::among;
use candor::{Classifier, OpenOptions};
use candor_eval::dataset::{self, ClassMap, Dataset, Format};
use candor_scenes::embedded;

use crate::arguments::{DeviceName, EngineArgs, EngineName, ModelArgs, OpenArgs, SourceArgs};
use crate::caller;
use crate::output;
pub use crate::usage::{Usage, usage};

/// A model and everything that belongs to it.
pub type Setup = Classifier;

/// Tells the user about choices that were made for them.
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

/// The method with that name, after checking its settings.
pub fn method(name: &str, set: &[(String, String)]) -> Result<Box<dyn Definition>> {
    let method = found(name)?;
    methods::check(method.as_ref(), set)?;
    Ok(method)
}

/// The method with that name; a former name causes a note.
pub fn found(name: &str) -> Result<Box<dyn Definition>> {
    let found = methods::find(name)?;
    if let Some(today) = methods::renamed(name) {
        output::note(&format!("the method '{name}' is called '{today}' now"));
    }
    Ok(found)
}

/// Notes which engine runs. A program that calls the command finds it in the result.
fn tell_engine(what: &str) {
    if !caller::is_there() {
        output::note(&format!("engine: {what}"));
    }
}

/// The requested engine.
pub fn engine(args: &EngineArgs) -> Result<Box<dyn Engine>> {
    if args.threads > cores() {
        output::note(&format!(
            "--threads {}: this machine has {} cores, and no more threads are used",
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
        EngineName::Auto if !only_onnxruntime => {
            let (engine, why) = automatic(None, args.threads)?;
            why.iter().for_each(|why| tell_engine(why));
            Ok(engine)
        }
        EngineName::Auto | EngineName::Onnxruntime => {
            let device = match args.device {
                DeviceName::Cpu => Device::Cpu,
                DeviceName::Cuda => Device::Cuda,
                DeviceName::Tensorrt => Device::TensorRt,
                DeviceName::Coreml => Device::CoreMl,
                DeviceName::Directml => Device::DirectMl,
            };
            let engine = OnnxRuntime::new(args.onnxruntime.as_deref(), args.threads, device)?;
            tell_engine(&format!("ONNX Runtime, {}", engine.library().display()));
            Ok(Box::new(engine))
        }
    }
}

/// The choices besides a method's parameters: `levels`, else those of the sidecar. They must be levels of the model.
pub fn choices(setup: &Setup, levels: &[String], seed: u64) -> Result<Choices> {
    let choices = setup.choices(levels, seed);
    if !levels.is_empty() {
        named_levels(&setup.model, levels).context("--levels").map_err(|e| Usage(output::one_line(&e)))?;
    } else if !choices.levels.is_empty() {
        named_levels(&setup.model, &choices.levels)
            .with_context(|| setup.sidecar_path.display().to_string())?;
    }
    Ok(choices)
}

/// The format of a dataset that the arguments name.
pub fn format(args: &SourceArgs) -> Result<Option<Format>> {
    if let Some(images) = args.images.as_ref().filter(|images| !images.is_dir()) {
        anyhow::bail!("--images {}: there is no such folder", images.display());
    }
    let Some(name) = &args.format else { return Ok(None) };
    let known = Format::ALL.iter().find(|(n, _)| n == name).map(|(_, format)| *format);
    let unknown =
        || Usage(format!("there is no format '{name}'{}", among(name, &Format::ALL.map(|(n, _)| n))));
    Ok(Some(known.ok_or_else(unknown)?))
}

/// Opens a dataset and maps its classes to the model's.
pub fn dataset(setup: &Setup, args: &SourceArgs) -> Result<Dataset> {
    let mut dataset = dataset::open(&args.dataset, format(args)?, args.images.as_deref())?;
    let map = args.class_map.as_deref().map(ClassMap::load).transpose()?.unwrap_or_default();
    map.resolve(&mut dataset, &setup.labels)?;
    Ok(dataset)
}

/// Opens a model with its sidecar, and prints its notes.
pub fn load(args: &ModelArgs) -> Result<Setup> {
    let classifier = open(args)?;
    told(&classifier);
    Ok(classifier)
}

fn told(classifier: &Setup) {
    classifier.model.notes.iter().for_each(|note| output::note(note));
    tell_assumed(classifier);
}

/// Opens a model with its sidecar.
pub fn open(args: &ModelArgs) -> Result<Setup> {
    opened(args, |options| Classifier::open_with(&args.model, options))
}

/// As [`load`], for a command that writes the sidecar, which need not exist yet if it is named.
pub fn load_for_sidecar(args: &ModelArgs) -> Result<Setup> {
    let Some(new) = args.opened.sidecar.as_ref().filter(|path| !path.exists()) else { return load(args) };
    let sidecar = (Sidecar::default(), new.clone());
    let classifier = opened(args, |options| Classifier::open_as(&args.model, sidecar, options))?;
    told(&classifier);
    Ok(classifier)
}

fn opened(args: &ModelArgs, open: impl FnOnce(OpenOptions) -> candor::Result<Classifier>) -> Result<Setup> {
    let opened = &args.opened;
    let options = OpenOptions {
        engine: Some(engine(&opened.engine)?),
        preset: opened.preset,
        labels: opened.labels.clone(),
        sidecar: opened.sidecar.clone(),
        output: opened.output.clone(),
        size: opened.size,
    };
    open(options).map_err(|e| match e {
        e if opened.output.is_some() && names_no_output(&e) => usage(e),
        e if opened.size.is_some() && contradicts_size(&e) => usage(e),
        e => e.into(),
    })
}

/// The embedded model; `name` replaces its path in results.
pub fn embedded(name: &str, args: &EngineArgs) -> Result<Setup> {
    let sidecar = Sidecar::parse(embedded::SIDECAR, Path::new("scenes.candor.toml"))?;
    Ok(Classifier::from_bytes(name, embedded::MODEL, sidecar, Some(engine(args)?))?)
}

/// Whether the error is that the requested output does not exist.
fn names_no_output(error: &candor::Error) -> bool {
    use candor::error::ModelError::{OutputWithoutClasses, UnknownOutput};
    match error {
        candor::Error::Model { source, .. } => {
            matches!(source.as_ref(), UnknownOutput { .. } | OutputWithoutClasses { .. })
        }
        _ => false,
    }
}

/// Whether the error is that the requested size is not the model's.
fn contradicts_size(error: &candor::Error) -> bool {
    use candor::error::ModelError;
    match error {
        candor::Error::Sidecar(SidecarError::Size { .. }) => true,
        candor::Error::Model { source, .. } => {
            matches!(source.as_ref(), ModelError::Sidecar(SidecarError::Size { .. }))
        }
        _ => false,
    }
}

/// Loads the model on which the attack `transfer` makes images for the model of `setup`.
pub fn surrogate(setup: &Setup, args: &ModelArgs, path: PathBuf, preset: Option<Preset>) -> Result<Setup> {
    let engine = args.opened.engine.clone();
    let opened = OpenArgs { preset, labels: None, sidecar: None, output: None, size: None, engine };
    let other = load(&ModelArgs { model: path, opened })?;
    let (a, b) = (setup.model.input_shape, other.model.input_shape);
    if a != b || setup.model.classes != other.model.classes {
        return Err(Usage(format!(
            "{} takes {a:?} and has {} classes, {} takes {b:?} and has {}: images can only be passed between models of \
             the same input size and classes",
            setup.model.info.path, setup.model.classes, other.model.info.path, other.model.classes
        ))
        .into());
    }
    Ok(other)
}
