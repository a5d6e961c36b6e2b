//! `candor detect eval`.

use std::process::ExitCode;

use anyhow::Result;
use candor_adversarial::detector::corpus::Split;
use candor_adversarial::detector::{Extractor, Threshold};
use candor_adversarial::study::report::{DetectResult, Hierarchy, Pair, write_study};
use candor_adversarial::study::{Figure, Report, Study};

use super::{FEATURES, Made, make, report_to};
use crate::arguments::EvalArgs;
use crate::output;

/// Clean images on the page.
const SHOWN: usize = 3;

pub fn run(args: &EvalArgs) -> Result<ExitCode> {
    let made = make(&args.corpus, &[Split::Train, Split::Test], &args.out)?;
    let Made { setup, dataset, corpus, features } = &made;
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
    let report = study.run(&args.out.join(FEATURES), &mut report_to(&bar))?;
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
    let page = write_study(&args.out, &result, &pairs(&made)?)?;
    if args.json {
        output::json(&result)?;
    } else {
        output::print(&text(&result.report))?;
        output::print(&format!("Report: {}\n", page.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The first test images with what each attack made of them.
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
    let mut text = format!("clean images: {train} training, {calibration} calibration, {test} test\n");
    for (i, a) in report.attacks.iter().enumerate() {
        text += &format!(
            "{:>3} {:<52} {:>5.1} % succeed, {} in the test part\n",
            i + 1,
            a.label,
            100.0 * a.success,
            a.test
        );
    }
    type Cells = fn(&candor_adversarial::study::DetectorRow) -> &Vec<Option<Figure>>;
    let tables: [(&str, Cells); 3] = [
        ("trained on all attacks", |d| &d.seen),
        ("trained on attacks of other names", |d| &d.unseen),
        ("trained on this attack alone", |d| &d.same),
    ];
    for (title, cells) in tables {
        text += &format!("\n{:<42}  mean", format!("AUROC, {title}"));
        (1..=report.attacks.len()).for_each(|i| text += &format!(" {i:>5}"));
        text += "\n";
        for d in &report.detectors {
            text += &format!("{:<42}", d.name);
            let areas = cells(d).iter().map(|f| f.as_ref().map(|f| f.auroc));
            for area in std::iter::once(Figure::mean(cells(d), |f| f.auroc)).chain(areas) {
                text += &area.map_or("     –".to_string(), |v| format!(" {v:>5.3}"));
            }
            text += "\n";
        }
    }
    if !report.adaptive.is_empty() {
        text += "\nby one who knows the detector\n";
    }
    for a in &report.adaptive {
        text += &format!(
            "L∞ {:.0}/255, {} steps, {} images: {:.1} % succeed",
            255.0 * a.eps,
            a.steps,
            a.images,
            100.0 * a.success
        );
        if let Some(area) = a.auroc {
            let [rare, frequent] = [0, 1].map(|i| 100.0 * a.detected[i]);
            text += &format!("; of those {rare:.1} % and {frequent:.1} % raise an alarm; AUROC {area:.3}");
        }
        text += &format!("; unseen by model and detector {:.1} % of all\n", 100.0 * a.evades);
    }
    text += "\nfalse alarms at the 1 % and 5 % thresholds\n";
    if let Some(caveat) = Threshold::caveat(calibration) {
        text += &format!("({caveat}; --calibration takes more)\n");
    }
    for d in &report.detectors {
        text += &format!("{:<42}", d.name);
        for (change, shares) in &d.false_alarms {
            let shares: Vec<String> = shares.iter().map(|s| format!("{:.1} %", 100.0 * s)).collect();
            text += &format!(" {change}: {};", shares.join(", "));
        }
        text += "\n";
    }
    text
}
