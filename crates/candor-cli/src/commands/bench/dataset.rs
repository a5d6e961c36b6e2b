//! Benchmarks on a dataset: measured map by map into a journal, then summed up.

use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use candor::Progress;
use candor::methods::{self, Choices, Method};
use candor::parameters::name_and_settings;
use candor_adversarial::bench::Adversarial;
use candor_eval::bench::dwsol::Disturbance;
use candor_eval::bench::faithful::{self, Faithfulness, Settings};
use candor_eval::bench::grid::{self as composed, Grids};
use candor_eval::bench::localize::Localize;
use candor_eval::bench::report::{BenchResult, DatasetInfo, Example, write};
use candor_eval::bench::table::{Plot, Table};
use candor_eval::bench::{Contender, Found, Measure, dwsol as disturbed, run, wsol as located};
use candor_eval::check::Subject;
use candor_eval::dataset::Dataset;
use candor_report::result::FailedImage;
use indicatif::ProgressBar;

use crate::arguments::{AdversarialArgs, DatasetArgs, FaithfulnessArgs, GridArgs};
use crate::commands::check::for_method;
use crate::output;
use crate::setup::{self, Setup, Usage};

/// Methods measured unless others are named: those of at most so many passes a map.
const MOST_PASSES: u64 = 200;
/// Always measured: where photographers put what they show.
const CENTRE: &str = "centre";
/// Examples of each method on the page: so many best, so many worst.
const EXAMPLES: usize = 3;

/// Tables and plots of what was found; the second argument is the number of tuning items.
type Summary<'s, R> = &'s dyn Fn(&Found<R>, usize) -> (Vec<Table>, Vec<Plot>);

/// `candor bench wsol`.
pub fn wsol(args: &DatasetArgs) -> Result<ExitCode> {
    let (setup, dataset, fingerprint) = open(args)?;
    let measure = Localize::new(&dataset, &setup.preprocessing, &setup.labels, args.seed);
    let sum = |found: &Found<_>, tuning| (located::tables(found, tuning, args.seed), vec![]);
    benchmark(args, &setup, &fingerprint, ("wsol", "localization"), measure, &sum, "inside")
}

/// `candor bench dwsol`, on the same journal.
pub fn dwsol(args: &DatasetArgs) -> Result<ExitCode> {
    let (setup, dataset, fingerprint) = open(args)?;
    let measure = Localize::new(&dataset, &setup.preprocessing, &setup.labels, args.seed);
    let sum = |found: &Found<_>, tuning| {
        let (table, plot) = disturbed::tables(found, Disturbance::Label, tuning, args.seed);
        (vec![table], vec![plot])
    };
    benchmark(args, &setup, &fingerprint, ("dwsol", "localization"), measure, &sum, "t-f")
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
    benchmark(args, &setup, &fingerprint, ("adversarial", "attacked"), measure, &sum, "t-f")
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
    benchmark(args, &setup, &fingerprint, ("grid", "grid"), measure, &sum, "own-share")
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
    benchmark(&none, &setup, &fingerprint, ("faithfulness", "faithfulness"), measure, &sum, "insertion")
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

/// A method as asked for: `NAME`, or `NAME+KEY=VALUE+…` where one method runs with several settings.
struct Asked {
    name: String,
    method: Box<dyn Method>,
    set: Vec<(String, String)>,
}

/// The methods asked for, the centre always among them.
fn methods(args: &DatasetArgs) -> Result<Vec<Asked>> {
    let mut names: Vec<String> = args.methods.clone();
    if names.is_empty() {
        let cheap = methods::all().into_iter().map(|m| m.description());
        names = cheap.filter(|d| d.cost.passes() <= MOST_PASSES).map(|d| d.name.to_string()).collect();
    }
    if !names.iter().any(|n| n == CENTRE) {
        names.push(CENTRE.to_string());
    }
    names.into_iter().map(|name| asked(name, &args.set)).collect()
}

fn asked(name: String, set: &[(String, String)]) -> Result<Asked> {
    let (method, own) = name_and_settings(&name).map_err(Usage)?;
    let method = setup::method(method)?;
    let mut set = for_method(set, method.as_ref());
    set.retain(|(key, _)| own.iter().all(|(k, _)| k != key));
    set.extend(own);
    Ok(Asked { name, method, set })
}

fn benchmark<M: Measure>(
    args: &DatasetArgs,
    setup: &Setup,
    fingerprint: &str,
    (name, journal): (&str, &str),
    mut measure: M,
    sum: Summary<'_, M::Record>,
    headline: &str,
) -> Result<ExitCode> {
    let methods = methods(args)?;
    let choices = setup.choices(&args.levels, args.seed);
    let items = measure.items();
    if items == 0 {
        anyhow::bail!(
            "{}: no sample says where its class is; this benchmark needs boxes",
            args.source.dataset.display()
        );
    }
    let tuning = args.tuning.unwrap_or(items / 4).min(items);
    if tuning == items {
        return Err(Usage(format!("--tuning {tuning} leaves none of the {items} items to report")).into());
    }
    let contenders: Vec<Contender<'_>> = methods
        .iter()
        .map(|m| {
            let subject = Subject { method: m.method.as_ref(), set: &m.set, choices: &choices };
            let fewer = args.fewer.iter().find(|(name, _)| *name == m.name);
            Contender { name: &m.name, subject, most: fewer.map(|(_, n)| *n) }
        })
        .collect();
    std::fs::create_dir_all(&args.out)
        .map_err(|reason| candor_report::ReportError::Directory { path: args.out.clone(), reason })?;
    let configuration = configuration(args, setup, fingerprint, &choices);
    let path = args.out.join(format!("{journal}.jsonl"));
    let bar = output::progress(contenders.iter().map(|c| c.items(items).len() as u64).sum());
    let start = Instant::now();
    let mut progress = Told { bar: &bar, method: String::new(), since: start, items: 0 };
    let found = run(&setup.model, &contenders, &mut measure, (&path, &configuration), &mut progress)?;
    progress.tell();
    bar.finish_and_clear();
    let (tables, plots) = sum(&found, tuning);
    let failed = found.failed().into_iter().map(|(i, error)| FailedImage { path: measure.name(i), error });
    let result = BenchResult {
        benchmark: name.to_string(),
        model: setup.model.info.clone(),
        preprocessing: serde_json::to_value(&setup.preprocessing)?,
        engine: setup.model.engine.info(),
        dataset: DatasetInfo { path: args.source.dataset.display().to_string(), items, tuning },
        seed: args.seed,
        methods: found.methods.clone(),
        failed: failed.collect(),
        skipped: found.skipped.clone(),
        tables,
        plots,
    };
    let examples = if args.no_examples {
        vec![]
    } else {
        examples(&result, &contenders, setup, &mut measure, headline)?
    };
    let page = write(&args.out, &result, &|i| measure.name(i), &examples)?;
    output::note(&format!("{:.0} s", start.elapsed().as_secs_f64()));
    if args.json {
        output::json(&result)?;
    } else {
        output::print(&text(&result))?;
        output::print(&format!("Report: {}\n", page.display()))?;
    }
    Ok(if result.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

/// A bar; where nobody sees it, a line for each method that is done.
struct Told<'b> {
    bar: &'b ProgressBar,
    method: String,
    since: Instant,
    items: u64,
}

impl Told<'_> {
    fn tell(&self) {
        if self.items > 0 && !std::io::stderr().is_terminal() {
            let seconds = self.since.elapsed().as_secs_f64();
            output::note(&format!("{}: {} items, {seconds:.0} s", self.method, self.items));
        }
    }
}

impl Progress for Told<'_> {
    fn advance(&mut self, steps: u64) -> ControlFlow<()> {
        self.items += steps;
        self.bar.inc(steps);
        ControlFlow::Continue(())
    }

    fn stage(&mut self, name: &str) {
        self.tell();
        (self.method, self.since, self.items) = (name.to_string(), Instant::now(), 0);
        self.bar.set_message(name.to_string());
    }
}

/// All on which a figure depends. Threads do not count, nor which methods are measured.
fn configuration(
    args: &DatasetArgs,
    setup: &Setup,
    fingerprint: &str,
    choices: &Choices,
) -> serde_json::Value {
    let engine = setup.model.engine.info();
    serde_json::json!({
        "model": setup.model.info.sha256,
        "preprocessing": setup.preprocessing,
        "engine": format!("{} {}", engine.name, engine.version),
        "dataset": fingerprint,
        "parameters": args.set,
        "levels": choices.levels,
        "lambda": choices.calibrated_lambda,
        "seed": args.seed,
        "version": env!("CARGO_PKG_VERSION"),
    })
}

/// The best and the worst items of each method by a figure of the first table, explained again and drawn.
fn examples<M: Measure>(
    result: &BenchResult,
    contenders: &[Contender<'_>],
    setup: &Setup,
    measure: &mut M,
    headline: &str,
) -> Result<Vec<Example>> {
    let mut drawn = vec![];
    let Some(table) = result.tables.first() else { return Ok(drawn) };
    let Some(column) = table.columns.iter().position(|c| c.name == headline) else { return Ok(drawn) };
    for row in &table.rows {
        let found = contenders.iter().find(|c| c.name == row.method);
        let (Some(cell), Some(contender)) = (&row.cells[column], found) else { continue };
        let mut ranked: Vec<(usize, f64)> = cell.values.iter().map(|(&i, &v)| (i, v)).collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let count = EXAMPLES.min(ranked.len() / 2);
        let worst = ranked.iter().rev().take(count).map(|r| ("worst", r));
        let wanted: Vec<_> = ranked.iter().take(count).map(|r| ("best", r)).chain(worst).collect();
        let (mut explainer, _) = contender.subject.prepare(&setup.model)?;
        for (kind, &(item, value)) in wanted {
            let shown = measure.show(&setup.model, explainer.as_mut(), item)?;
            drawn.push(Example::draw(&row.method, (kind, &measure.name(item), value), &shown)?);
        }
    }
    Ok(drawn)
}

fn text(result: &BenchResult) -> String {
    let mut text = format!("{} on {}, {} items", result.benchmark, result.dataset.path, result.dataset.items);
    if result.dataset.tuning > 0 {
        text +=
            &format!(" (the first {} chose the settings; figures are of the others)", result.dataset.tuning);
    }
    for table in &result.tables {
        text += &format!("\n\n{}\n{:<32}", table.title, "");
        for column in &table.columns {
            text += &format!(" {:>13}", column.name);
        }
        for row in &table.rows {
            text += &format!("\n{:<32}", row.method);
            for cell in &row.cells {
                let shown = cell.as_ref().map_or_else(
                    || "–".to_string(),
                    |c| format!("{:.3}{}", c.mean, if c.among_best { " *" } else { "  " }),
                );
                text += &format!(" {shown:>13}");
            }
        }
    }
    text += "\n* the best, or not told apart from it (p ≥ 0.05, paired)\n";
    for s in &result.skipped {
        text += &format!("{}: not measured: {}\n", s.method, s.reason);
    }
    for f in &result.failed {
        text += &format!("{}: failed: {}\n", f.path, f.error);
    }
    text
}
