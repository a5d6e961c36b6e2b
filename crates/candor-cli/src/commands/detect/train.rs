//! `candor detect train`.

use std::process::ExitCode;

use anyhow::Result;
use candor_adversarial::detector::card::{Card, Data};
use candor_adversarial::detector::corpus::Split;
use candor_adversarial::detector::{CARD_FILE, Extractor, NETWORK_FILE, save};
use candor_adversarial::study::Study;

use super::{FEATURES, Made, Place, make};
use crate::arguments::TrainArgs;
use crate::folder;
use crate::output;

pub fn run(args: &TrainArgs) -> Result<ExitCode> {
    let files = [NETWORK_FILE, CARD_FILE];
    let place = Place { command: "detect train", out: &args.out, force: args.force, files };
    let Made { folder, setup, dataset, corpus, features } = make(&args.corpus, &[Split::Train], &place)?;
    // The extractor's settings have everything filled in.
    let features = Extractor::new(&setup.model, features)?.settings().clone();
    let study = Study {
        model: &setup.model,
        preprocessing: &setup.preprocessing,
        corpus: &corpus,
        features: features.clone(),
        training: args.corpus.training(),
        baselines: false,
        ablations: false,
        adaptive: 0,
    };
    let bar = output::progress(study.ticks(false)?);
    let (network, thresholds, attacks) =
        study.train(&args.out.join(FEATURES), &mut output::Watching::new(&bar))?;
    bar.finish_and_clear();
    let mut card = Card {
        candor: env!("CARGO_PKG_VERSION").into(),
        model: setup.model.info.clone(),
        preprocessing: serde_json::to_value(&setup.preprocessing)?,
        engine: setup.model.engine.info(),
        features,
        attacks,
        data: Data {
            path: args.corpus.source.dataset.display().to_string(),
            sha256: dataset.fingerprint(),
            train: corpus.of(Split::Train).len(),
            calibration: corpus.of(Split::Calibration).len(),
        },
        seed: args.corpus.seed,
        epochs: study.training.epochs,
        thresholds,
        network_sha256: None,
    };
    let model = card.model.sha256.clone();
    folder::publish(folder, "detect-train", &model, |files| save(&mut card, &network, files).map(drop))?;
    if args.json {
        output::json(&card)?;
    } else {
        output::print(&text(&card, &args.out.display().to_string()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn text(card: &Card, out: &str) -> String {
    let mut text = format!(
        "trained on {} clean images and {} adversarial ones\n",
        card.data.train,
        card.attacks.iter().map(|a| a.images).sum::<usize>()
    );
    for a in &card.attacks {
        text += &format!("  {:<52} {:>6}\n", a.attack, a.images);
    }
    for t in &card.thresholds {
        text += &format!("alarm above {:.4}: {}\n", t.score, t.claim(card.data.calibration));
    }
    text + &format!("Detector: {out}\n")
}
