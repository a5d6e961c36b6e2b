//! A benchmark on a dataset: measured map by map into a journal, then summarised, drawn and printed.

use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use candor::Progress;
use candor::methods::Choices;
use candor::printable::printable;
use candor_eval::bench::report::{BenchResult, DatasetInfo, write};
use candor_eval::bench::table::{Plot, Table, too_few};
use candor_eval::bench::threshold::Frozen;
use candor_eval::bench::{Contender, Found, Measure, run, run_shard};
use candor_eval::journal::Journal;
use candor_eval::shard::Shard;
use candor_report::folder::Folder;
use candor_report::result::FailedImage;
use candor_report::table as drawn;
use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::asked::contender;
use super::examples::examples;
use crate::arguments::DatasetArgs;
use crate::chosen::Chosen;
use crate::command_line::command_line;
use crate::folder;
use crate::interrupt::{self, Watched};
use crate::output;
use crate::setup::{Setup, Usage};
use crate::shard::Part;

/// Makes tables and plots from the results; the second argument is the number of tuning items.
type Summary<'s, R> = &'s dyn Fn(&Found<R>, usize) -> (Vec<Table>, Vec<Plot>);

/// The choice frozen on the tuning items for the method with a name; the last argument is the number of tuning items.
pub type ByMethod<'f, R> = &'f dyn Fn(&Found<R>, &str, usize) -> Frozen;

/// A benchmark: what it measures, on what data, and how its records become tables.
pub struct Benchmark<'a, R> {
    pub args: &'a DatasetArgs,
    pub setup: &'a Setup,
    pub methods: &'a [Chosen],
    pub choices: &'a Choices,
    /// Fingerprint of the dataset.
    pub fingerprint: &'a str,
    /// Further settings that the records depend on, by name.
    pub further: Value,
    /// Name of the result's files.
    pub name: &'a str,
    /// Name of the journal; benchmarks with the same records share one.
    pub journal: &'a str,
    /// Name of the folder of pictures made for it, and of their journal.
    pub made: Option<&'a str>,
    /// The column of the first table by which examples are chosen.
    pub headline: &'a str,
    /// How the boxes of the examples are found; `None` for a benchmark without boxes.
    pub frozen: Option<ByMethod<'a, R>>,
    pub sum: Summary<'a, R>,
}

impl<R> Benchmark<'_, R> {
    /// Measures, writes the files and prints.
    pub fn run<M: Measure<Record = R>>(&self, mut measure: M, folder: Folder) -> Result<ExitCode> {
        let Benchmark { args, setup, .. } = self;
        let contenders: Vec<Contender<'_>> =
            self.methods.iter().map(|chosen| contender(chosen, args, self.choices)).collect();
        if let Some(shard) = args.shard.shard {
            // Of pictures made for the benchmark, a shard has only its own.
            if self.made.is_none() {
                self.tuning(measure.items())?;
            }
            return self.run_shard(&contenders, &mut measure, shard);
        }
        let tuning = self.tuning(measure.items())?;
        let start = Instant::now();
        let found = self.measure(&contenders, &mut measure)?;
        let result = self.result(&found, &measure, tuning)?;
        let examples = if args.no_examples {
            vec![]
        } else {
            let frozen = |method: &str| self.frozen.map(|of| of(&found, method, tuning));
            examples(&result, &contenders, setup, &mut measure, (self.headline, &frozen))?
        };
        folder::publish(folder, &format!("bench-{}", self.name), &result.model.sha256, |files| {
            write(files, &result, &|i| measure.name(i), &examples, Some(&command_line())).map(drop)
        })?;
        let page = args.out.join(format!("{}.html", self.name));
        output::progress_note(&format!("{:.0} s", start.elapsed().as_secs_f64()));
        self.print(&result, &page)?;
        Ok(if result.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(3) })
    }

    /// Number of items on which settings are chosen.
    fn tuning(&self, items: usize) -> Result<usize> {
        let tuning = self.args.tuning.unwrap_or(items / 4);
        if tuning >= items {
            let most = items.saturating_sub(1);
            return Err(Usage(format!(
                "--tuning {tuning} leaves none of the {items} items to report; at most {most} can choose settings"
            ))
            .into());
        }
        Ok(tuning)
    }

    /// Measures the items of a shard and stores the results for `candor merge`.
    fn run_shard<M: Measure<Record = R>>(
        &self,
        contenders: &[Contender<'_>],
        measure: &mut M,
        shard: Shard,
    ) -> Result<ExitCode> {
        let out = &self.args.out;
        let mut journals = vec![format!("{}.jsonl", self.journal)];
        journals.extend(self.made.map(|made| format!("{made}.jsonl")));
        let journals: Vec<&str> = journals.iter().map(String::as_str).collect();
        let part = Part::begin(out, shard, &journals, self.made.as_slice())?;
        let maps = self.measured(contenders, measure, |measure, of, stage| {
            // A journal of another run is refused before this part's description is written.
            drop(Journal::open(of.0, of.1)?);
            part.write(out)?;
            Ok(run_shard(&self.setup.model, contenders, measure, (of.0, of.1, shard), stage)?)
        })?;
        part.end(out, (maps, 0), "maps", self.args.json)?;
        Ok(ExitCode::SUCCESS)
    }

    /// Measures what the journal does not contain yet.
    fn measure<M: Measure<Record = R>>(
        &self,
        contenders: &[Contender<'_>],
        measure: &mut M,
    ) -> Result<Found<R>> {
        self.measured(contenders, measure, |measure, of, stage| {
            Ok(run(&self.setup.model, contenders, measure, of, stage)?)
        })
    }

    /// Calls `work` with the run's journal and its configuration, and shows a progress bar.
    fn measured<M: Measure<Record = R>, T>(
        &self,
        contenders: &[Contender<'_>],
        measure: &mut M,
        work: impl FnOnce(&mut M, (&Path, &Value), &mut Stage<'_>) -> Result<T>,
    ) -> Result<T> {
        let configuration =
            configuration(self.args, self.setup, (self.fingerprint, &self.further), self.choices);
        let journal = self.args.out.join(format!("{}.jsonl", self.journal));
        let items = measure.items();
        let own = |item: &usize| self.args.shard.shard.is_none_or(|s| s.owns(measure.unit(*item)));
        let maps = |c: &Contender<'_>| c.items(items).into_iter().filter(own).count() as u64;
        let bar = output::progress(contenders.iter().map(maps).sum());
        let mut stage = Stage {
            bar: &bar,
            journal: &journal,
            method: String::new(),
            since: Instant::now(),
            items: 0,
            _watched: Watched::begin(),
        };
        let found = work(measure, (&journal, &configuration), &mut stage)?;
        stage.tell();
        bar.finish_and_clear();
        Ok(found)
    }

    fn result<M: Measure<Record = R>>(
        &self,
        found: &Found<R>,
        measure: &M,
        tuning: usize,
    ) -> Result<BenchResult> {
        let Benchmark { args, setup, .. } = self;
        let (tables, plots) = (self.sum)(found, tuning);
        let failed =
            found.failed().into_iter().map(|(i, error)| FailedImage { path: measure.name(i), error });
        let path = args.source.dataset.display().to_string();
        Ok(BenchResult {
            benchmark: self.name.to_string(),
            model: setup.model.info.clone(),
            preprocessing: serde_json::to_value(&setup.preprocessing)?,
            engine: setup.model.engine.info(),
            dataset: DatasetInfo { path, items: measure.items(), tuning },
            seed: args.seed,
            methods: found.methods.clone(),
            failed: failed.collect(),
            skipped: found.skipped.clone(),
            tables,
            plots,
        })
    }

    fn print(&self, result: &BenchResult, page: &Path) -> Result<()> {
        if self.args.json {
            return output::json(result);
        }
        output::print(&text(result))?;
        output::print(&format!("Report: {}\n", page.display()))
    }
}

/// A progress bar; if nobody sees it, prints a line for each finished method. Ctrl-C ends the work after the current map.
struct Stage<'b> {
    bar: &'b ProgressBar,
    journal: &'b Path,
    method: String,
    since: Instant,
    items: u64,
    _watched: Watched,
}

impl Stage<'_> {
    fn tell(&self) {
        if self.items > 0 && !std::io::stderr().is_terminal() {
            let seconds = self.since.elapsed().as_secs_f64();
            output::progress_note(&format!("{}: {} items, {seconds:.0} s", self.method, self.items));
        }
    }
}

impl Progress for Stage<'_> {
    fn advance(&mut self, steps: u64) -> ControlFlow<()> {
        self.items += steps;
        self.bar.inc(steps);
        let (done, all) = (self.bar.position(), self.bar.length().unwrap_or(0));
        let journal = self.journal.display();
        interrupt::at(format!(
            "{done} of {all} maps are measured and kept in {journal}; the same command goes on there"
        ));
        output::advanced(self.bar)
    }

    fn stage(&mut self, name: &str) {
        self.tell();
        (self.method, self.since, self.items) = (name.to_string(), Instant::now(), 0);
        self.bar.set_message(name.to_string());
    }
}

/// Everything that a figure depends on. The number of threads and the set of measured methods are not part of it.
pub fn configuration(
    args: &DatasetArgs,
    setup: &Setup,
    (fingerprint, further): (&str, &Value),
    choices: &Choices,
) -> Value {
    let engine = setup.model.engine.info();
    let mut all = json!({
        "model": setup.model.info.sha256,
        "preprocessing": setup.preprocessing,
        "engine": format!("{} {}", engine.name, engine.version),
        "dataset": fingerprint,
        "parameters": args.set,
        "levels": choices.levels,
        "lambda": choices.calibrated_lambda,
        "seed": args.seed,
        "version": env!("CARGO_PKG_VERSION"),
    });
    if let (Some(all), Some(further)) = (all.as_object_mut(), further.as_object()) {
        all.extend(further.clone());
    }
    all
}

fn text(result: &BenchResult) -> String {
    let mut text = format!("{} on {}, {} items", result.benchmark, result.dataset.path, result.dataset.items);
    if result.dataset.tuning > 0 {
        text +=
            &format!(" (the first {} chose the settings; figures are of the others)", result.dataset.tuning);
    }
    text += "\n";
    let mut legend: Vec<String> = vec![];
    for table in &result.tables {
        let shown = drawn::Table { title: table.title_with_count(), ..table.shown(false) };
        text += &format!("\n{}", shown.screen(output::width()));
        let new: Vec<String> =
            shown.legend().lines().map(String::from).filter(|l| !legend.contains(l)).collect();
        legend.extend(new);
    }
    text += &format!("\n{}\n", legend.join("\n"));
    if result.tables.iter().any(|t| t.shown(false).has_best()) {
        text += "* the best of its column, or not significantly different from it (p ≥ 0.05, paired)\n";
    }
    if result.has_few() {
        text += &format!("? {}\n", too_few());
    }
    for s in &result.skipped {
        text += &format!("{}: not measured: {}\n", s.method, s.reason);
    }
    for f in &result.failed {
        text += &format!("{}: failed: {}\n", printable(&f.path), printable(&f.error));
    }
    text
}
