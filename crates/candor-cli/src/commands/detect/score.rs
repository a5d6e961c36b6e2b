//! `candor detect score`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use candor::Progress;
use candor::error::one_line;
use candor::printable::printable;
use candor_adversarial::detector::{CARD_FILE, Detector, NETWORK_FILE, Threshold};
use candor_adversarial::study::report::{Hierarchy, ScoreResult, ScoredImage, write_scores};
use candor_report::result::FailedImage;

use crate::arguments::ScoreArgs;
use crate::command_line::command_line;
use crate::folder;
use crate::output;
use crate::setup::{self, Usage};

/// Exit code for an alarm, if requested.
const ALARM: u8 = 4;

pub fn run(args: &ScoreArgs) -> Result<ExitCode> {
    let card = [CARD_FILE, NETWORK_FILE].map(|file| args.detector.join(file));
    let inputs = folder::inputs(&args.model, args.images.clone()).and(card);
    let files = ["score.html", "score.json"].map(String::from);
    let open = |out: &PathBuf| folder::open(out, "detect score", inputs.clone(), args.force, &files);
    let mut folder = args.out.as_ref().map(open).transpose()?;
    let setup = setup::load(&args.model)?;
    if let Some(folder) = &mut folder {
        folder.reads(folder::of_model(&args.model.model, &setup));
        folder.check(&files)?;
    }
    let mut detector = Detector::load(&setup.model, &args.detector)?;
    if serde_json::to_value(&setup.preprocessing)? != detector.card.preprocessing {
        anyhow::bail!(
            "the detector was trained with other preprocessing than this run's; give --preset as in training, or the model's sidecar"
        );
    }
    let threshold = threshold(&detector, args.false_alarms)?;
    let bar = output::progress(args.images.len() as u64);
    let (mut images, mut failed, mut shown) = (vec![], vec![], vec![]);
    let mut watching = output::Watching::new(&bar);
    for path in &args.images {
        let name = path.display().to_string();
        bar.set_message(name.clone());
        match setup.preprocessing.read(path).map(|file| file.photo) {
            Err(e) => failed.push(FailedImage { path: name, error: one_line(&e) }),
            Ok(photo) => {
                // As in training: quantised to 8 bits.
                let input = setup.preprocessing.normalize(&setup.preprocessing.pixels(&photo));
                let screened = detector.screen(&setup.model, &[&input])?.remove(0);
                let query = &screened.extracted.predicted.query;
                let probability = setup.model.probabilities(&query.reference)[query.class];
                images.push(ScoredImage {
                    path: name.clone(),
                    answer: query.class,
                    name: setup.labels.name(query.class),
                    probability,
                    score: screened.score,
                    alarm: screened.score > threshold.score,
                    evidence: screened.extracted.evidence(),
                    moves: screened.extracted.moves(),
                });
                if args.out.is_some() {
                    let view = setup.preprocessing.view(&photo);
                    let runner_up = setup.labels.name(screened.extracted.runner_up.query.class);
                    let names = [setup.labels.name(query.class), runner_up];
                    shown.push(Hierarchy::draw(
                        &name,
                        &view,
                        &detector.extractor,
                        &screened.extracted,
                        &names,
                    )?);
                }
            }
        }
        watching.step()?;
    }
    bar.finish_and_clear();
    let alarm = images.iter().any(|i| i.alarm);
    if let (true, Some(first)) = (images.is_empty(), failed.first()) {
        anyhow::bail!("{}: {}", first.path, first.error);
    }
    let claim = threshold.claim(detector.card.data.calibration);
    let result = ScoreResult {
        model: setup.model.info.clone(),
        engine: setup.model.engine.info(),
        card: detector.card.clone(),
        threshold,
        claim,
        images,
        failed,
    };
    if let Some(folder) = folder {
        folder::publish(folder, "detect-score", &result.card.model.sha256, |files| {
            write_scores(files, &result, &shown, Some(&command_line())).map(drop)
        })?;
    }
    if args.json {
        output::json(&result)?;
    } else {
        output::print(&text(&result))?;
    }
    Ok(match (result.failed.is_empty(), alarm && args.fail_on_alarm) {
        (_, true) => ExitCode::from(ALARM),
        (false, _) => ExitCode::from(3),
        _ => ExitCode::SUCCESS,
    })
}

fn threshold(detector: &Detector, share: f64) -> Result<Threshold> {
    let known = &detector.card.thresholds;
    let found = known.iter().find(|t| (t.false_alarms - share).abs() < 1e-9).copied();
    let shares = || known.iter().map(|t| t.false_alarms.to_string()).collect::<Vec<_>>().join(", ");
    Ok(found.ok_or_else(|| {
        Usage(format!("the detector has no threshold for {share} false alarms; it has {}", shares()))
    })?)
}

fn text(result: &ScoreResult) -> String {
    let mut text = String::new();
    for i in &result.images {
        let path = printable(&i.path);
        let verdict = if i.alarm { "ALARM" } else { "passes" };
        let name: String = i.name.chars().take(28).collect();
        text += &format!("{}\n  {name:<28} p {:.3}  score {:.4}  {verdict}\n", path, i.probability, i.score);
    }
    for f in &result.failed {
        text += &format!("{}\n  failed: {}\n", printable(&f.path), printable(&f.error));
    }
    text + &format!(
        "alarm above {:.4}: {}; clean images: {}\n",
        result.threshold.score, result.claim, result.card.data.path
    )
}
