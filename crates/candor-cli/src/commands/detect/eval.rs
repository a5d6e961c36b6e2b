//! `candor detect eval`.

use std::process::ExitCode;

use anyhow::Result;
use candor_adversarial::detector::corpus::Split;
use candor_adversarial::detector::{Extractor, Threshold};
use candor_adversarial::study::report::{DetectResult, Hierarchy, Pair, write_study};
use candor_adversarial::study::tables::tables;
use candor_adversarial::study::{Report, Study};

use super::{FEATURES, Made, Place, make};
use crate::arguments::EvalArgs;
use crate::command_line::command_line;
use crate::folder;
use crate::output;

/// Number of clean images on the page.
const SHOWN: usize = 3;

pub fn run(args: &EvalArgs) -> Result<ExitCode> {
    let files = ["detect.html", "detect.json"];
    let place = Place { command: "detect eval", out: &args.out, force: args.force, files };
    let made = make(&args.corpus, &[Split::Train, Split::Test], &place)?;
    let Made { setup, dataset, corpus, features, .. } = &made;
    let study = Study {
        model: &setup.model,
        preprocessing: &setup.preprocessing,
        corpus,
        features: features.clone(),
        training: args.corpus.training(),
        baselines: args.baselines,
        ablations: args.ablations,
        adaptive: args.adaptive,
    };
    let bar = output::progress(study.ticks(true)?);
    let report = study.run(&args.out.join(FEATURES), &mut output::Watching::new(&bar))?;
    bar.finish_and_clear();
    let result = DetectResult {
        model: setup.model.info.clone(),
        preprocessing: serde_json::to_value(&setup.preprocessing)?,
        engine: setup.model.engine.info(),
        dataset: args.corpus.source.dataset.display().to_string(),
        sha256: dataset.fingerprint(),
        features: Extractor::new(&setup.model, features.clone())?.settings().clone(),
        seed: args.corpus.seed,
        epochs: study.training.epochs,
        report,
    };
    let pairs = pairs(&made)?;
    folder::publish(made.folder, "detect-eval", &result.model.sha256, |files| {
        write_study(files, &result, &pairs, Some(&command_line())).map(drop)
    })?;
    if args.json {
        output::json(&result)?;
    } else {
        output::print(&text(&result.report))?;
        output::print(&format!("Report: {}\n", args.out.join("detect.html").display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The first test images with their adversarial versions.
fn pairs(made: &Made) -> Result<Vec<Pair>> {
    let Made { setup, corpus, features, .. } = made;
    let mut extractor = Extractor::new(&setup.model, features.clone())?;
    let mut pairs = vec![];
    for i in corpus.of(Split::Test).into_iter().take(SHOWN) {
        let clean = &corpus.clean[i];
        let made =
            corpus.attacks.iter().filter_map(|a| Some((a.spec.label.clone(), a.pictures[i].as_ref()?)));
        let pictures = std::iter::once(("clean".to_string(), &clean.picture)).chain(made);
        let mut rows = vec![];
        for (label, picture) in pictures {
            let input = setup.preprocessing.normalize(picture);
            let extracted = extractor.extract(&setup.model, &[&input])?.remove(0);
            let names =
                [&extracted.predicted, &extracted.runner_up].map(|l| setup.labels.name(l.query.class));
            rows.push(Hierarchy::draw(&label, picture, &extractor, &extracted, &names)?);
        }
        pairs.push(Pair { name: clean.id.clone(), rows });
    }
    Ok(pairs)
}

fn text(report: &Report) -> String {
    let [train, calibration, test] = report.clean;
    let head = format!("clean images: {train} training, {calibration} calibration, {test} test\n");
    let tables = tables(report).iter().map(|t| format!("\n{}", t.terminal())).collect::<String>();
    let caveat = Threshold::caveat(calibration)
        .map_or_else(String::new, |caveat| format!("\n{caveat} of false alarms; --calibration takes more\n"));
    head + &tables + &caveat
}
