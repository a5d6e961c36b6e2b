//! `candor check`: which methods stay silent about classes that are not there?

use std::process::ExitCode;

use anyhow::Result;
use candor::Progress;
use candor::error::one_line;
use candor::printable::printable;
use candor_eval::check::further::further;
use candor_eval::check::input_shift::input_shift;
use candor_eval::check::randomize::cascade;
use candor_eval::check::report::{CheckResult, Gallery, HTML_FILE, Randomization, Shifted, write};
use candor_eval::check::table::{Checked, table};
use candor_eval::check::vanishing::vanishing;
use candor_eval::check::{Input, Skipped, Subject, check_method, same_figure};
use candor_report::result::FailedImage;

use crate::arguments::CheckArgs;
use crate::chosen::{self, Chosen};
use crate::command_line::command_line;
use crate::folder;
use crate::output::{self, Watching};
use crate::setup::{self, Setup};

/// The files that every run writes.
const FILES: [&str; 3] = [HTML_FILE, "check.csv", "check.json"];
/// Images whose maps the page shows.
const SHOWN: usize = 8;

pub fn run(args: &CheckArgs) -> Result<ExitCode> {
    let methods = chosen::methods(&chosen::or_all(&args.methods), &args.set)?;
    let reads = folder::inputs(&args.model, args.images.clone());
    let mut folder = folder::open(&args.out, "check", reads, args.force, &FILES.map(String::from))?;
    let setup = setup::load(&args.model)?;
    folder.reads(folder::of_model(&args.model.model, &setup));
    folder.check(&FILES)?;
    let choices = setup::choices(&setup, &args.levels, args.seed)?;
    let (inputs, mut galleries, failed) = read(&setup, args)?;
    let bar = output::progress((inputs.len() * methods.len()) as u64);
    let mut watching = Watching::new(&bar);
    let mut result = CheckResult {
        model: setup.model.info.clone(),
        preprocessing: serde_json::to_value(&setup.preprocessing)?,
        engine: setup.model.engine.info(),
        seed: args.seed,
        images: inputs.len(),
        failed,
        methods: vec![],
        gradients: vanishing(&setup.model, &choices.levels, &inputs, args.seed).unwrap_or_default(),
        input_shift: vec![],
        randomization: vec![],
        skipped: vec![],
    };
    for Chosen { method, set, .. } in &methods {
        let name = method.description().name;
        bar.set_message(name);
        let mut painted = Ok(());
        let mut paint = |i: usize, classes: &[usize], maps: &[candor::map::Map]| {
            if let (Some(gallery), Ok(())) = (galleries.get_mut(i), &painted) {
                let names = classes.iter().map(|&c| setup.labels.name(c)).collect();
                painted = gallery.add(name, names, maps);
            }
        };
        let subject = Subject { method: method.as_ref(), set, choices: &choices };
        let found = check_method(&setup.model, subject, &inputs, args.seed, &mut watching, &mut paint);
        painted?;
        match found {
            Ok(found) => result.methods.push(found),
            Err(candor_eval::error::Error::Explain(e @ candor::Error::Cancelled(_))) => return Err(e.into()),
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
    folder::publish(folder, "check", &result.model.sha256, |files| {
        write(files, &result, &galleries, Some(&command_line())).map(drop)
    })?;
    if args.json {
        output::json(&result)?;
    } else {
        output::print(&text(&result))?;
        output::print(&format!("Report: {}\n", args.out.join(HTML_FILE).display()))?;
    }
    Ok(if result.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

type Read = (Vec<Input>, Vec<Gallery>, Vec<FailedImage>);

/// All images preprocessed, the first few as pictures too. Images that cannot be read are named and left out.
fn read(setup: &Setup, args: &CheckArgs) -> Result<Read> {
    let (mut inputs, mut galleries, mut failed) = (vec![], vec![], vec![]);
    for path in &args.images {
        let name = path.display().to_string();
        let photo = match setup.preprocessing.read(path).map(|file| file.photo) {
            Ok(photo) => photo,
            Err(e) => {
                failed.push(FailedImage { path: name, error: one_line(&e) });
                continue;
            }
        };
        let values = setup.preprocessing.apply(&photo);
        if galleries.len() < SHOWN {
            galleries.push(Gallery::new(&name, &setup.preprocessing.view(&photo))?);
        }
        inputs.push(Input { path: name, values });
    }
    if inputs.is_empty() {
        let first = failed.first().map_or_else(String::new, |f| f.error.clone());
        anyhow::bail!("{first}");
    }
    Ok((inputs, galleries, failed))
}

fn text(result: &CheckResult) -> String {
    let checked: Vec<Checked> = result.methods.iter().map(Checked::from).collect();
    let images = result.images;
    let table = table(&checked);
    let mut text = format!("{images} image{}\n", if images == 1 { "" } else { "s" });
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

/// Why verdicts may not stand, each reason once.
fn cautions(result: &CheckResult) -> Vec<&str> {
    let mut all: Vec<&str> = result.methods.iter().filter_map(|m| m.caution.as_deref()).collect();
    all.sort_unstable();
    all.dedup();
    all
}
