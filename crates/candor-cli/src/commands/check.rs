//! `candor check`: which methods give empty maps for absent classes?

use std::process::ExitCode;

use anyhow::Result;
use candor::Progress;
use candor::error::one_line;
use candor::methods::Choices;
use candor::printable::printable;
use candor_eval::check::further::further;
use candor_eval::check::input_shift::input_shift;
use candor_eval::check::randomize::cascade;
use candor_eval::check::report::{CheckResult, Gallery, HTML_FILE, Randomization, Shifted, write};
use candor_eval::check::table::{Checked, table};
use candor_eval::check::vanishing::vanishing;
use candor_eval::check::{Input, Skipped, Subject, check_method, same_figure};
use candor_eval::error::Error;
use candor_report::result::FailedImage;

use crate::arguments::CheckArgs;
use crate::chosen::{self, Chosen};
use crate::command_line::command_line;
use crate::folder;
use crate::ledger;
use crate::output::{self, Watching};
use crate::setup::{self, Setup, Usage};
use crate::shard::Part;
use serde_json::{Value, json};

/// The files that every run writes.
const FILES: [&str; 3] = [HTML_FILE, "check.csv", "check.json"];
/// Number of images whose maps the page shows.
const SHOWN: usize = 8;

pub fn run(args: &CheckArgs) -> Result<ExitCode> {
    let methods = chosen::methods(&chosen::or_all(&args.methods), &args.set)?;
    let reads = folder::inputs(&args.model, args.images.clone());
    let mut folder = folder::open(&args.out, "check", reads, args.force, &FILES.map(String::from))?;
    let setup = setup::load(&args.model)?;
    folder.reads(folder::of_model(&args.model.model, &setup));
    folder.check(&FILES)?;
    let choices = setup::choices(&setup, &args.levels, args.seed)?;
    let shard = args.shard.shard;
    if shard.is_some() && (args.randomization || args.input_shift) {
        let reason =
            "--randomization and --input-shift compare all photos; do them without --shard, on fewer photos";
        return Err(Usage(reason.to_string()).into());
    }
    let Read { inputs, mut galleries, failed } = read(&setup, args)?;
    let configuration = configuration(&setup, args, &choices)?;
    let part = shard.map(|shard| Part::begin(&args.out, shard, &[ledger::JOURNAL], &[])).transpose()?;
    let (mut draft, mut kept) = ledger::open(folder, (&configuration, args.force.force), &inputs, shard)?;
    part.iter().try_for_each(|part| part.write(&args.out))?;
    let own = inputs.iter().filter(|i| shard.is_none_or(|shard| shard.owns(i.number))).count();
    let bar = output::progress((own * methods.len()) as u64);
    let mut watching = Watching::new(&bar);
    let mut result = CheckResult {
        model: setup.model.info.clone(),
        preprocessing: serde_json::to_value(&setup.preprocessing)?,
        engine: setup.model.engine.info(),
        seed: args.seed,
        images: inputs.len(),
        failed,
        methods: vec![],
        gradients: vec![],
        input_shift: vec![],
        randomization: vec![],
        skipped: vec![],
    };
    let mut of_none = kept.of("", &mut [], &setup.labels, &mut draft);
    result.gradients = match vanishing(&setup.model, &choices.levels, &inputs, args.seed, &mut of_none) {
        Ok(found) => found,
        Err(e @ Error::Journal { .. }) => return Err(e.into()),
        // A network without gradients is checked with the methods that need none.
        Err(_) => vec![],
    };
    for Chosen { method, set, .. } in &methods {
        let name = method.description().name;
        bar.set_message(name);
        let subject = Subject { method: method.as_ref(), set, choices: &choices };
        let mut of_method = kept.of(name, &mut galleries, &setup.labels, &mut draft);
        let found = check_method(&setup.model, subject, &inputs, args.seed, &mut watching, &mut of_method);
        match found {
            Ok(found) => result.methods.push(found),
            Err(Error::Explain(e @ candor::Error::Cancelled(_))) => return Err(e.into()),
            Err(e @ (Error::Report(_) | Error::Journal { .. })) => return Err(e.into()),
            Err(e) => result.skipped.push(Skipped { method: name.to_string(), reason: one_line(&e) }),
        }
        watching.poll()?;
        if args.randomization
            && let Ok(stages) =
                cascade(&setup.model, subject, &inputs, (args.smooth, args.seed), &mut watching)
        {
            result.randomization.push(Randomization { method: name.to_string(), stages });
        }
        watching.poll()?;
        if args.input_shift
            && let Ok(shift) = input_shift(&setup.model, subject, &inputs, &mut watching)
        {
            result.input_shift.push(Shifted { method: name.to_string(), shift });
        }
    }
    bar.finish_and_clear();
    if let Some(part) = part {
        let failed = result.failed.len();
        part.end(&args.out, (own + failed, failed), "photos", args.json)?;
        return Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(3) });
    }
    let galleries: Vec<Gallery> = galleries.into_iter().map(|(_, gallery)| gallery).collect();
    write(&draft.files(), &result, &galleries, Some(&command_line()))?;
    draft.publish(&result.model.sha256)?;
    if args.json {
        output::json(&result)?;
    } else {
        output::print(&text(&result))?;
        output::print(&format!("Report: {}\n", args.out.join(HTML_FILE).display()))?;
    }
    Ok(if result.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

/// Everything that a map's figures depend on. The number of threads and the set of checked methods are not part of it.
fn configuration(setup: &Setup, args: &CheckArgs, choices: &Choices) -> Result<Value> {
    let engine = setup.model.engine.info();
    Ok(json!({
        "model": setup.model.info.sha256,
        "version": env!("CARGO_PKG_VERSION"),
        "engine": format!("{} {}", engine.name, engine.version),
        "preprocessing": setup.preprocessing,
        "parameters": args.set,
        "levels": choices.levels,
        "lambda": choices.calibrated_lambda,
        "seed": args.seed,
        "photos": args.images.iter().map(|p| p.display().to_string()).collect::<Vec<_>>(),
    }))
}

/// The photos of a run, or of a shard.
struct Read {
    inputs: Vec<Input>,
    /// The first few photos for the page, with their indices.
    galleries: Vec<(usize, Gallery)>,
    failed: Vec<FailedImage>,
}

/// Reads all images as preprocessed values, and the first few also as pictures. Images that cannot be read are named and left out.
fn read(setup: &Setup, args: &CheckArgs) -> Result<Read> {
    let mut read = Read { inputs: vec![], galleries: vec![], failed: vec![] };
    for (number, path) in args.images.iter().enumerate() {
        let own = args.shard.shard.is_none_or(|shard| shard.owns(number));
        if !own && read.galleries.len() >= SHOWN {
            continue;
        }
        let name = path.display().to_string();
        let photo = match setup.preprocessing.read(path).map(|file| file.photo) {
            Ok(photo) => photo,
            Err(e) if own => {
                read.failed.push(FailedImage { path: name, error: one_line(&e) });
                continue;
            }
            Err(_) => continue,
        };
        if read.galleries.len() < SHOWN {
            read.galleries.push((number, Gallery::new(&name, &setup.preprocessing.view(&photo))?));
        }
        if own {
            read.inputs.push(Input { number, path: name, values: setup.preprocessing.apply(&photo) });
        }
    }
    if read.inputs.is_empty() && args.shard.shard.is_none() {
        let first = read.failed.first().map_or_else(String::new, |f| f.error.clone());
        anyhow::bail!("{first}");
    }
    Ok(read)
}

fn text(result: &CheckResult) -> String {
    let checked: Vec<Checked> = result.methods.iter().map(Checked::from).collect();
    let table = table(&checked);
    let mut text = output::counted(result.images, "image") + "\n";
    text += &table.screen(output::width());
    text += &format!(
        "\n{}mass: mean of a map's positive values; figures are medians over the photos (95th percentile)\n",
        table.legend()
    );
    for table in further(&result.input_shift, &result.randomization) {
        text += &format!("\n{}{}", table.screen(output::width()), table.legend());
    }
    for why in cautions(result) {
        text += &format!("? verdict {why}\n");
    }
    text += &same_figure(&result.methods).map_or_else(String::new, |note| format!("{note}\n"));
    for m in result.methods.iter().filter(|m| !m.passed) {
        text += &format!("{}: {}\n", m.method.name, m.reasons.join("; "));
    }
    for s in &result.skipped {
        text += &format!("{}: not checked: {}\n", s.method, s.reason);
    }
    for f in &result.failed {
        text += &format!("{}: failed: {}\n", printable(&f.path), printable(&f.error));
    }
    text
}

/// Why verdicts are uncertain, without duplicates.
fn cautions(result: &CheckResult) -> Vec<&str> {
    let mut all: Vec<&str> = result.methods.iter().filter_map(|m| m.caution.as_deref()).collect();
    all.sort_unstable();
    all.dedup();
    all
}
