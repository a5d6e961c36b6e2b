//! The benchmarks on a dataset, each with what it measures and how its records become tables.

use std::process::ExitCode;

use anyhow::Result;
use candor::methods::Choices;
use candor_adversarial::attacks;
use candor_adversarial::bench::Adversarial;
use candor_eval::bench::absent::Absent;
use candor_eval::bench::dwsol::Disturbance;
use candor_eval::bench::faithful::{self, Faithfulness, Settings};
use candor_eval::bench::grid::{self as composed, Grids};
use candor_eval::bench::localize::Localize;
use candor_eval::bench::objects::{self as several, Objects};
use candor_eval::bench::threshold::Scale;
use candor_eval::bench::{Found, Measure, dwsol as disturbed, wsol as located};
use candor_eval::dataset::{Dataset, Sample};
use candor_eval::journal::Journal;
use candor_report::folder::Folder;
use serde_json::{Value, json};

use super::asked::methods;
use super::benchmark::{Benchmark, configuration};
use crate::arguments::{
    AbsentKind, AdversarialArgs, DatasetArgs, DwsolArgs, FaithfulnessArgs, GridArgs, ObjectsArgs, SourceArgs,
};
use crate::chosen::Chosen;
use crate::folder;
use crate::interrupt;
use crate::output;
use crate::setup::{self, Setup, Usage};

/// `candor bench wsol`.
pub fn wsol(args: &DatasetArgs) -> Result<ExitCode> {
    let Opened { setup, dataset, fingerprint, methods, choices, folder } =
        open(args, "wsol", &["localization.jsonl"])?;
    let measure = with_boxes(args, &setup, &dataset)?;
    let sum = |found: &Found<_>, tuning| (located::tables(found, tuning, args.seed), vec![]);
    let benchmark = Benchmark {
        args,
        setup: &setup,
        methods: &methods,
        choices: &choices,
        fingerprint: &fingerprint,
        further: Value::Null,
        name: "wsol",
        journal: "localization",
        made: None,
        headline: "inside",
        frozen: Some(&|found, method, tuning| located::frozen(found, method, tuning, Scale::Map)),
        sum: &sum,
    };
    benchmark.run(measure, folder)
}

/// `candor bench dwsol`, with the same journal.
pub fn dwsol(args: &DwsolArgs) -> Result<ExitCode> {
    let (args, kind) = (&args.dataset, args.absent);
    let Opened { setup, dataset, fingerprint, methods, choices, folder } =
        open(args, "dwsol", &["localization.jsonl"])?;
    let mut measure = with_boxes(args, &setup, &dataset)?;
    let further = match kind {
        // As in journals written before this could be chosen.
        AbsentKind::Far => Value::Null,
        _ => json!({ "absent": kind.to_string(), "limit": dataset.samples.len() }),
    };
    measure.absent = match kind {
        AbsentKind::Far => Absent::Far,
        AbsentKind::Shuffled => Absent::shuffled(&measure.samples),
        AbsentKind::Near => {
            let bar = output::progress(measure.samples.len() as u64);
            bar.set_message("comparing classes");
            let of = (setup.model.as_ref(), &setup.preprocessing);
            let near = Absent::near(&measure.samples, of, &mut output::Watching::new(&bar))?;
            bar.finish_and_clear();
            near
        }
    };
    let sum = |found: &Found<_>, tuning| {
        let (table, plot) = disturbed::tables(found, Disturbance::Label, tuning, args.seed);
        (vec![table], vec![plot])
    };
    let benchmark = Benchmark {
        args,
        setup: &setup,
        methods: &methods,
        choices: &choices,
        fingerprint: &fingerprint,
        further,
        name: "dwsol",
        journal: "localization",
        made: None,
        headline: "t-f",
        frozen: Some(&|found, method, tuning| located::frozen(found, method, tuning, Scale::Image)),
        sum: &sum,
    };
    benchmark.run(measure, folder)
}

/// `candor bench adversarial`.
pub fn adversarial(args: &AdversarialArgs) -> Result<ExitCode> {
    let (args, spec) = (&args.dataset, &args.attack);
    if !attacks::prepare(&spec.name, &spec.set)?.0.targeted() {
        let reason = "cannot aim at a class, which this benchmark needs";
        return Err(Usage(format!("attack '{}' {reason}", spec.name)).into());
    }
    let Opened { setup, dataset, fingerprint, methods, choices, folder } =
        open(args, "adversarial", &["adversarial.jsonl", "attacked.jsonl"])?;
    folder.check_kept("adversarial", Journal::is_begun(&args.out.join("adversarial.jsonl")))?;
    let localize = with_boxes(args, &setup, &dataset)?;
    let samples = localize.samples.len();
    let bar = output::progress(samples as u64);
    bar.set_message(format!("attacking ({})", spec.label));
    let further = json!({ "attack": spec.label, "numbering": "by sample" });
    let configuration = configuration(args, &setup, (&fingerprint, &further), &choices);
    let of = (args.out.as_path(), &configuration, args.shard.shard);
    let kept = args.out.join("adversarial");
    interrupt::at(format!(
        "photos attacked so far are kept in {}; the same command goes on there",
        kept.display()
    ));
    let measure = Adversarial::new(localize, &setup.model, spec, of, &mut output::Watching::new(&bar))?;
    bar.finish_and_clear();
    output::note(&format!(
        "{}: {} of {} photos that the model classified correctly now have another answer ({samples} photos in all)",
        spec.label,
        measure.items(),
        measure.right
    ));
    if measure.items() == 0 && args.shard.shard.is_none() {
        anyhow::bail!("{}: the attack succeeded on no photo", args.source.dataset.display());
    }
    let sum = |found: &Found<_>, tuning| {
        let (table, plot) = disturbed::tables(found, Disturbance::Adversarial, tuning, args.seed);
        (vec![table], vec![plot])
    };
    let benchmark = Benchmark {
        args,
        setup: &setup,
        methods: &methods,
        choices: &choices,
        fingerprint: &fingerprint,
        further,
        name: "adversarial",
        journal: "attacked",
        made: Some("adversarial"),
        headline: "t-f",
        frozen: Some(&|found, method, tuning| located::frozen(found, method, tuning, Scale::Image)),
        sum: &sum,
    };
    benchmark.run(measure, folder)
}

/// `candor bench grid`.
pub fn grid(args: &GridArgs) -> Result<ExitCode> {
    let (args, count) = (&args.dataset, args.grids);
    let Opened { setup, dataset, fingerprint, methods, choices, folder } =
        open(args, "grid", &["grid.jsonl"])?;
    let localize = Localize::of_classes(&dataset, &setup.preprocessing, &setup.labels, args.seed);
    let bar = output::progress(localize.samples.len() as u64);
    bar.set_message("choosing photos");
    let measure = Grids::new(localize, &setup.model, count, &mut output::Watching::new(&bar))?;
    bar.finish_and_clear();
    let further = json!({ "limit": dataset.samples.len(), "number of grids": count });
    // Without boxes there is no threshold to choose, and therefore no tuning.
    let tuning = args.tuning.or((!measure.has_boxes()).then_some(0));
    let args = &DatasetArgs { tuning, ..args.clone() };
    let sum = |found: &Found<_>, tuning| (composed::tables(found, tuning, args.seed), vec![]);
    let benchmark = Benchmark {
        args,
        setup: &setup,
        methods: &methods,
        choices: &choices,
        fingerprint: &fingerprint,
        further,
        name: "grid",
        journal: "grid",
        made: None,
        headline: "own-share",
        frozen: Some(&composed::frozen),
        sum: &sum,
    };
    benchmark.run(measure, folder)
}

/// `candor bench objects`.
pub fn objects(args: &ObjectsArgs) -> Result<ExitCode> {
    let recognised = args.recognised;
    let args = &without_tuning(&args.dataset, "objects")?;
    let Opened { setup, dataset, fingerprint, methods, choices, folder } =
        open(args, "objects", &["objects.jsonl"])?;
    let localize = Localize::new(&dataset, &setup.preprocessing, &setup.labels, args.seed);
    let mut measure = Objects::new(&dataset, localize);
    if measure.photos() == 0 {
        anyhow::bail!("{}: no photo has boxes of two classes or more", args.source.dataset.display());
    }
    if let Some(first) = recognised {
        let asked = measure.photos();
        let bar = output::progress(asked as u64);
        bar.set_message("showing objects alone");
        measure.recognised(&setup.model, first, &mut output::Watching::new(&bar))?;
        bar.finish_and_clear();
        let left = measure.photos();
        if left == 0 {
            anyhow::bail!(
                "{}: in no photo does the model recognise two classes",
                args.source.dataset.display()
            );
        }
        output::note(&format!("the model recognises two classes or more in {left} of {asked} photos"));
    }
    // Absent classes are drawn among those of the samples.
    let mut further = json!({ "limit": dataset.samples.len() });
    if let Some(first) = recognised {
        further["recognised"] = json!(first);
    }
    let sum = |found: &Found<_>, _| (vec![several::table(found, args.seed)], vec![]);
    let benchmark = Benchmark {
        args,
        setup: &setup,
        methods: &methods,
        choices: &choices,
        fingerprint: &fingerprint,
        further,
        name: "objects",
        journal: "objects",
        made: None,
        headline: "own-share",
        frozen: None,
        sum: &sum,
    };
    benchmark.run(measure, folder)
}

/// `candor bench faithfulness`.
pub fn faithfulness(args: &FaithfulnessArgs) -> Result<ExitCode> {
    let settings = Settings { seed: args.dataset.seed, steps: args.steps, area: args.area };
    let args = &args.dataset;
    let args = &without_tuning(args, "faithfulness")?;
    let Opened { setup, dataset, fingerprint, methods, choices, folder } =
        open(args, "faithfulness", &["faithfulness.jsonl"])?;
    let measure = Faithfulness::new(&dataset, &setup.preprocessing, &setup.labels, &setup.model, settings)?;
    let further = json!({ "number of steps": settings.steps, "area": settings.area });
    let sum = |found: &Found<_>, _| {
        let (table, plots) = faithful::tables(found, args.seed);
        (vec![table], plots)
    };
    let benchmark = Benchmark {
        args,
        setup: &setup,
        methods: &methods,
        choices: &choices,
        fingerprint: &fingerprint,
        further,
        name: "faithfulness",
        journal: "faithfulness",
        made: None,
        headline: "insertion",
        frozen: None,
        sum: &sum,
    };
    benchmark.run(measure, folder)
}

/// The arguments of a benchmark without tuning.
fn without_tuning(args: &DatasetArgs, name: &str) -> Result<DatasetArgs> {
    if args.tuning.is_some_and(|n| n > 0) {
        return Err(Usage(format!("{name} has no settings to choose: leave --tuning out")).into());
    }
    Ok(DatasetArgs { tuning: Some(0), ..args.clone() })
}

/// The samples for localisation, with boxes.
fn with_boxes<'d>(args: &DatasetArgs, setup: &'d Setup, dataset: &'d Dataset) -> Result<Localize<'d>> {
    let localize = Localize::new(dataset, &setup.preprocessing, &setup.labels, args.seed);
    if localize.samples.is_empty() {
        anyhow::bail!(
            "{}: no sample says where its class is; this benchmark needs boxes (grid and faithfulness need none)",
            args.source.dataset.display()
        );
    }
    Ok(localize)
}

/// What every benchmark needs: the folder, the model and the dataset.
struct Opened {
    setup: Setup,
    /// The dataset, with its classes mapped to the model's.
    dataset: Dataset,
    fingerprint: String,
    methods: Vec<Chosen>,
    choices: Choices,
    folder: Folder,
}

/// Opens the folder of the benchmark `name`, with these journals, the model and the dataset.
fn open(args: &DatasetArgs, name: &str, journals: &[&str]) -> Result<Opened> {
    // Errors in the names of methods, of their parameters and of the format are reported before a model is loaded.
    let methods = methods(args)?;
    setup::format(&args.source)?;
    let files = ["html", "csv", "json"].map(|extension| format!("{name}.{extension}"));
    let SourceArgs { dataset: list, class_map, .. } = &args.source;
    let inputs = folder::inputs(&args.model, [list]).and(class_map);
    let mut folder = folder::open(&args.out, &format!("bench {name}"), inputs, args.force, &files)?;
    journals.iter().try_for_each(|journal| {
        folder.check_journal(journal)?;
        anyhow::Ok(Journal::check(&args.out.join(journal))?)
    })?;
    let setup = setup::load(&args.model)?;
    let choices = setup::choices(&setup, &args.levels, args.seed)?;
    let mut dataset = setup::dataset(&setup, &args.source)?;
    folder.reads(folder::of_model(&args.model.model, &setup));
    folder.reads(dataset.samples.iter().flat_map(Sample::files));
    folder.check(&files)?;
    // Of the whole list, since a run may be continued with more samples.
    let fingerprint = dataset.fingerprint();
    if let Some(limit) = args.limit {
        dataset.samples.truncate(limit);
    }
    Ok(Opened { setup, dataset, fingerprint, methods, choices, folder })
}
