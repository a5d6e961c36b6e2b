//! `candor calibrate`: a model's λ and false-alarm rates, written to its sidecar with the preprocessing and the levels that they hold
//! for.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use candor::calibrate::{Calibration, TRIALS, Trial, calibrate};
use candor::false_alarms::TooFew;
use candor::image::Preset;
use candor::sidecar::{Calibrated, Sidecar};
use candor_report::atomic;
use candor_report::folder::Inputs;
use serde::Serialize;

use crate::arguments::CalibrateArgs;
use crate::output;
use crate::setup::{self, Setup};

/// The document of `--json`: the results, and what they hold for.
#[derive(Serialize)]
struct Printed<'p> {
    #[serde(flatten)]
    found: &'p Calibration,
    preprocessing: serde_json::Value,
    /// Whether the preprocessing was stated; only then it is written to the sidecar.
    preprocessing_stated: bool,
    sidecar: String,
}

pub fn run(args: &CalibrateArgs) -> Result<ExitCode> {
    let setup = setup::load_for_sidecar(&args.model)?;
    let levels = setup::choices(&setup, &args.levels, 0)?.levels;
    let reads = Inputs::of([&args.model.model]).and(&args.model.opened.labels).and(&args.images);
    reads.spare(&setup.sidecar_path)?;
    let sidecar = atomic::behind(&setup.sidecar_path)?;
    atomic::writable(&sidecar)?;
    let photos =
        args.images.iter().map(|p| Ok(setup.preprocessing.read(p)?.photo)).collect::<Result<Vec<_>>>()?;
    let bar = output::progress((photos.len() * TRIALS) as u64);
    let found = calibrate(
        &setup.model,
        &setup.preprocessing,
        &photos,
        &levels,
        args.tolerance,
        &mut output::Watching::new(&bar),
    )?;
    bar.finish_and_clear();
    let written = Calibrated {
        lambda: found.lambda,
        false_alarms: found.false_alarms.clone(),
        preset: args.model.opened.preset,
        assumed: (!setup.preprocessing_stated).then(Preset::default),
        levels: args.levels.clone(),
    };
    write(&setup, &sidecar, &written)?;
    if args.json {
        output::json(&Printed {
            found: &found,
            preprocessing: serde_json::to_value(&setup.preprocessing)?,
            preprocessing_stated: setup.preprocessing_stated,
            sidecar: setup.sidecar_path.display().to_string(),
        })?;
    } else {
        output::print(&(trials(&found) + &rates(&found) + &told(&setup, &written)))?;
    }
    if let Some(few) = &found.too_few {
        output::note(&too_few(few, photos.len(), setup.sidecar.false_alarms.is_some()));
    }
    Ok(ExitCode::SUCCESS)
}

fn write(setup: &Setup, sidecar: &Path, written: &Calibrated) -> Result<()> {
    let text = Sidecar::with_calibration(&setup.sidecar_path, written)?;
    atomic::write(sidecar, text.as_bytes()).with_context(|| {
        format!(
            "λ is {}, but the sidecar could not be written; pass an existing one elsewhere with --sidecar FILE",
            written.lambda
        )
    })
}

fn trials(found: &Calibration) -> String {
    let mut text = format!(
        "{:>10}  {:>16}  {:>10}   medians of {}\n",
        "lambda",
        "evidence changed",
        "mask",
        output::counted(found.photos, "photo")
    );
    for t in &found.trials {
        let mark = if t.lambda == found.lambda { "  <- chosen" } else { "" };
        text += &format!("{:>10}  {:>16}  {:>8.1} %{mark}\n", t.lambda, changed(t), 100.0 * t.median_mask);
    }
    text
}

/// How much evidence absent classes show, at the rates of the verdicts.
fn rates(found: &Calibration) -> String {
    let Some(rule) = &found.false_alarms else { return String::new() };
    let ways = [("in the photo", &rule.place), ("on a closer look", &rule.look)];
    let told = ways.iter().filter(|(_, null)| !null.thresholds.is_empty()).map(|(way, null)| {
        let at = |rate: f64| null.threshold(rate).map_or("?".to_string(), output::decimals);
        format!(
            "Evidence of absent classes, {way}: 5 % of {} reach {}, 1 % reach {}, 0.1 % reach {}\n",
            null.classes,
            at(0.05),
            at(0.01),
            at(0.001)
        )
    });
    let few = "?: too few classes; give more photos\n";
    let text: String = told.collect();
    if text.contains('?') { text + few } else { text }
}

/// Why no false-alarm rates were learned, and what is used instead.
fn too_few(few: &TooFew, photos: usize, known: bool) -> String {
    let TooFew { classes, needed } = few;
    let stays = if known { "those in the sidecar stay" } else { "the built-in rule stays" };
    let more = if *classes > 0 {
        let wanted = (photos * needed).div_ceil(*classes);
        format!("; {wanted} photos would do")
    } else {
        String::new()
    };
    format!(
        "no rates of false alarms were learned, {stays}: 1 % takes {needed} classes that are not there, these photos have {classes}{more}"
    )
}

/// The change as a percentage; beyond 100 % the mask lost the class, and the amount has no meaning.
fn changed(t: &Trial) -> String {
    if t.median_change > 1.0 { "over 100 %".to_string() } else { format!("{:.1} %", 100.0 * t.median_change) }
}

/// Says what was written, and what was not.
fn told(setup: &Setup, written: &Calibrated) -> String {
    let mut what = vec![format!("lambda = {:?}", written.lambda)];
    let learned = |photos| format!("false-alarms of {}", output::counted(photos, "photo"));
    what.extend(written.false_alarms.as_ref().map(|rule| learned(rule.photos)));
    if let Some(preset) = written.preset {
        let before = setup.sidecar.preset.filter(|before| *before != preset);
        what.push(format!("preset = \"{preset}\""));
        what.extend(before.map(|before| format!("it was \"{before}\"")));
    }
    if !written.levels.is_empty() {
        what.push(format!("levels = {:?}", written.levels));
    }
    let mut text = format!("Written to {}: {}\n", setup.sidecar_path.display(), what.join(", "));
    if let Some(preset) = written.assumed {
        text += &format!(
            "The preprocessing was assumed ({preset}) and is not written: this lambda holds for it alone. State it with --preset and \
             calibrate again.\n"
        );
    }
    text
}
