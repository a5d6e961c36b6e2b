//! `candor detect`: detection of adversarial inputs by their masks.

mod eval;
mod score;
mod train;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use candor_adversarial::attacks::TargetModel;
use candor_adversarial::detector::corpus::{AttackSpec, Corpus, Recipe, Split};
use candor_adversarial::detector::features::FeatureSettings;
use candor_adversarial::error::Error;
use candor_eval::dataset::{Dataset, Sample};
use candor_eval::journal::Journal;
use candor_report::folder::Folder;

use crate::arguments::{CorpusArgs, Detect, DetectArgs, ForceArgs, SourceArgs};
use crate::folder;
use crate::interrupt;
use crate::output;
use crate::setup::{self, Setup, Usage};

pub fn run(args: &DetectArgs) -> Result<ExitCode> {
    match &args.detect {
        Detect::Train(args) => train::run(args),
        Detect::Score(args) => score::run(args),
        Detect::Eval(args) => eval::run(args),
    }
}

/// Folders under --out.
const CORPUS: &str = "corpus";
const FEATURES: &str = "features";

/// A model with clean and adversarial images.
struct Made {
    folder: Folder,
    setup: Setup,
    dataset: Dataset,
    corpus: Corpus,
    features: FeatureSettings,
}

/// The output of a command.
struct Place<'p> {
    command: &'static str,
    out: &'p Path,
    force: ForceArgs,
    /// The files that every run writes.
    files: [&'static str; 2],
}

/// Makes the images, or reads existing ones. Those of the splits `attacked` are attacked.
fn make(args: &CorpusArgs, attacked: &[Split], place: &Place<'_>) -> Result<Made> {
    // Errors in an attack's name or parameters are reported before a model is loaded.
    let attacks: Vec<AttackSpec> = args.attacks.iter().map(|a| a.parse()).collect::<Result<_, Error>>()?;
    if let Some(i) = (1..attacks.len()).find(|&i| attacks[..i].contains(&attacks[i])) {
        return Err(Usage(format!("the attack '{}' is named twice", attacks[i].label)).into());
    }
    for attack in &attacks {
        candor_adversarial::attacks::check(&attack.name, &attack.set)?;
    }
    match (args.surrogate.from.is_some(), attacks.iter().any(|a| a.name == "transfer")) {
        (false, true) => {
            let wanted =
                "the attack transfer needs the model on which it makes its images: --from OTHER.onnx";
            return Err(Usage(wanted.into()).into());
        }
        (true, false) => return Err(Usage("--from is for the attack transfer".into()).into()),
        _ => {}
    }
    setup::format(&args.source)?;
    let Place { command, out, force, files } = *place;
    let SourceArgs { dataset: list, class_map, .. } = &args.source;
    let inputs = folder::inputs(&args.model, [list]).and(class_map).and(&args.surrogate.from);
    let mut folder = folder::open(out, command, inputs, force, &files.map(String::from))?;
    let journal = format!("{CORPUS}/corpus.jsonl");
    folder.check_journal(&journal)?;
    Journal::check(&out.join(&journal))?;
    folder.check_kept(CORPUS, Journal::is_begun(&out.join(&journal)))?;
    let setup = setup::load(&args.model)?;
    folder.reads(folder::of_model(&args.model.model, &setup));
    let features = features(args, &setup)?;
    let dataset = setup::dataset(&setup, &args.source)?;
    folder.reads(dataset.samples.iter().flat_map(Sample::files));
    folder.check(&files)?;
    let surrogate = match args.surrogate.from.clone() {
        Some(path) => {
            let other = setup::surrogate(&setup, &args.model, path, args.surrogate.from_preset)?;
            folder.reads(folder::of_model(Path::new(&other.model.info.path), &other));
            Some(TargetModel::new(&other.model, &other.preprocessing)?)
        }
        None => None,
    };
    let recipe = Recipe {
        model: &setup.model,
        preprocessing: &setup.preprocessing,
        samples: &dataset.samples,
        limit: args.limit,
        calibration: args.calibration,
        attacked,
        seed: args.seed,
    };
    let most = args.limit.unwrap_or(dataset.samples.len()).min(dataset.samples.len());
    let bar = output::progress((attacks.len() * most) as u64);
    let kept = out.join(CORPUS);
    interrupt::at(format!(
        "images attacked so far are kept in {}; the same command goes on there",
        kept.display()
    ));
    let corpus = Corpus::make(&recipe, &attacks, surrogate, &kept, &mut output::Watching::new(&bar))?;
    bar.finish_and_clear();
    Ok(Made { folder, setup, dataset, corpus, features })
}

/// How features are computed, from the arguments.
fn features(args: &CorpusArgs, setup: &Setup) -> Result<FeatureSettings> {
    let default = FeatureSettings::for_model(&setup.model);
    Ok(FeatureSettings {
        levels: setup::choices(setup, &args.levels, args.seed)?.levels,
        grid: args.grid.unwrap_or(default.grid),
        iterations: args.iterations.unwrap_or(default.iterations),
        rate: args.rate.unwrap_or(default.rate),
        beta_2: args.beta2.unwrap_or(default.beta_2),
        ..default
    })
}
