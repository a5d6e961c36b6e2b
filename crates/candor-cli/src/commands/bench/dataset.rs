//! The benchmarks on a dataset, each with what it measures and how its records become tables.

use std::process::ExitCode;

use anyhow::Result;
use candor_adversarial::bench::Adversarial;
use candor_eval::bench::dwsol::Disturbance;
use candor_eval::bench::faithful::{self, Faithfulness, Settings};
use candor_eval::bench::grid::{self as composed, Grids};
use candor_eval::bench::localize::Localize;
use candor_eval::bench::threshold::Scale;
use candor_eval::bench::{Found, Measure, dwsol as disturbed, wsol as located};
use candor_eval::dataset::Dataset;

use super::benchmark::{Benchmark, configuration};
use crate::arguments::{AdversarialArgs, DatasetArgs, FaithfulnessArgs, GridArgs};
use crate::output;
use crate::setup::{self, Setup, Usage};

/// `candor bench wsol`.
pub fn wsol(args: &DatasetArgs) -> Result<ExitCode> {
    let (setup, dataset, fingerprint) = open(args)?;
    let measure = Localize::new(&dataset, &setup.preprocessing, &setup.labels, args.seed);
    let sum = |found: &Found<_>, tuning| (located::tables(found, tuning, args.seed), vec![]);
    let benchmark = Benchmark {
        args,
        setup: &setup,
        fingerprint: &fingerprint,
        name: "wsol",
        journal: "localization",
        headline: "inside",
        frozen: Some(&|found, method, tuning| located::frozen(found, method, tuning, Scale::Map)),
        sum: &sum,
    };
    benchmark.run(measure)
}

/// `candor bench dwsol`, on the same journal.
pub fn dwsol(args: &DatasetArgs) -> Result<ExitCode> {
    let (setup, dataset, fingerprint) = open(args)?;
    let measure = Localize::new(&dataset, &setup.preprocessing, &setup.labels, args.seed);
    let sum = |found: &Found<_>, tuning| {
        let (table, plot) = disturbed::tables(found, Disturbance::Label, tuning, args.seed);
        (vec![table], vec![plot])
    };
    let benchmark = Benchmark {
        args,
        setup: &setup,
        fingerprint: &fingerprint,
        name: "dwsol",
        journal: "localization",
        headline: "t-f",
        frozen: Some(&|found, method, tuning| located::frozen(found, method, tuning, Scale::Image)),
        sum: &sum,
    };
    benchmark.run(measure)
}

/// `candor bench adversarial`.
pub fn adversarial(args: &AdversarialArgs) -> Result<ExitCode> {
    let (args, spec) = (&args.dataset, &args.attack);
    let (setup, dataset, fingerprint) = open(args)?;
    let localize = Localize::new(&dataset, &setup.preprocessing, &setup.labels, args.seed);
    let samples = localize.samples.len();
    let bar = output::progress(samples as u64);
    bar.set_message(format!("attacking ({})", spec.label));
    let choices = setup.choices(&args.levels, args.seed);
    let fingerprint = format!("{fingerprint}, {}", spec.label);
    let of = (args.out.as_path(), &configuration(args, &setup, &fingerprint, &choices));
    let measure = Adversarial::new(localize, &setup.model, spec, of, &mut output::Watching(&bar))?;
    bar.finish_and_clear();
    output::note(&format!(
        "{}: {} of {} photos that the model answers right are taken for another class ({samples} photos in all)",
        spec.label,
        measure.items(),
        measure.right
    ));
    if measure.items() == 0 {
        anyhow::bail!("{}: no photo was changed with success", args.source.dataset.display());
    }
    let sum = |found: &Found<_>, tuning| {
        let (table, plot) = disturbed::tables(found, Disturbance::Adversarial, tuning, args.seed);
        (vec![table], vec![plot])
    };
    let benchmark = Benchmark {
        args,
        setup: &setup,
        fingerprint: &fingerprint,
        name: "adversarial",
        journal: "attacked",
        headline: "t-f",
        frozen: Some(&|found, method, tuning| located::frozen(found, method, tuning, Scale::Image)),
        sum: &sum,
    };
    benchmark.run(measure)
}

/// `candor bench grid`.
pub fn grid(args: &GridArgs) -> Result<ExitCode> {
    let (args, count) = (&args.dataset, args.grids);
    let (setup, dataset, fingerprint) = open(args)?;
    let localize = Localize::new(&dataset, &setup.preprocessing, &setup.labels, args.seed);
    let bar = output::progress(localize.samples.len() as u64);
    bar.set_message("choosing photos");
    let measure = Grids::new(localize, &setup.model, count, &mut output::Watching(&bar))?;
    bar.finish_and_clear();
    let fingerprint = format!("{fingerprint}, {} samples, {count} grids", dataset.samples.len());
    let sum = |found: &Found<_>, tuning| (composed::tables(found, tuning, args.seed), vec![]);
    let benchmark = Benchmark {
        args,
        setup: &setup,
        fingerprint: &fingerprint,
        name: "grid",
        journal: "grid",
        headline: "own-share",
        frozen: Some(&composed::frozen),
        sum: &sum,
    };
    benchmark.run(measure)
}

/// `candor bench faithfulness`.
pub fn faithfulness(args: &FaithfulnessArgs) -> Result<ExitCode> {
    let settings = Settings { seed: args.dataset.seed, steps: args.steps, area: args.area };
    let args = &args.dataset;
    if args.tuning.is_some_and(|n| n > 0) {
        return Err(Usage("faithfulness chooses nothing: leave --tuning out".to_string()).into());
    }
    let (setup, dataset, fingerprint) = open(args)?;
    let measure = Faithfulness::new(&dataset, &setup.preprocessing, &setup.labels, &setup.model, settings)?;
    let fingerprint = format!("{fingerprint}, {} steps, area {}", settings.steps, settings.area);
    let sum = |found: &Found<_>, _| {
        let (table, plots) = faithful::tables(found, args.seed);
        (vec![table], plots)
    };
    let none = DatasetArgs { tuning: Some(0), ..args.clone() };
    let benchmark = Benchmark {
        args: &none,
        setup: &setup,
        fingerprint: &fingerprint,
        name: "faithfulness",
        journal: "faithfulness",
        headline: "insertion",
        frozen: None,
        sum: &sum,
    };
    benchmark.run(measure)
}

/// The model and the dataset, its classes mapped to the model's, and the dataset's fingerprint.
fn open(args: &DatasetArgs) -> Result<(Setup, Dataset, String)> {
    let setup = setup::load(&args.model)?;
    let mut dataset = setup::dataset(&setup, &args.source)?;
    // Of the whole list: a run may go on with more samples.
    let fingerprint = dataset.fingerprint();
    if let Some(limit) = args.limit {
        dataset.samples.truncate(limit);
    }
    Ok((setup, dataset, fingerprint))
}
