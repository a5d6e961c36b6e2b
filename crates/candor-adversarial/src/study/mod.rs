//! Reliability of a detector: on attacks that it was trained on, on attacks that it was not trained on, and on clean images under common
//! corruptions; compared with published detectors on the same images.
//!
//! Networks and regressions are trained on the training split; clean images of the calibration split set the thresholds; every result
//! is for the test split.

mod adaptive;
mod cache;
mod candidates;
mod corruptions;
mod evaluation;
mod figures;
mod page;
pub mod report;
mod rows;
pub mod tables;

use candor::progress::Progress;
use std::path::Path;

use crate::attacks::Norms;
use crate::detector::card::{Learned, Threshold};
use crate::detector::corpus::{Adversaries, Corpus, Split};
use crate::detector::features::FeatureSettings;
use crate::detector::network::Network;
use crate::detector::training::Training;
use crate::error::Result;
use candidates::{Candidates, Kind};
use candor::image::Preprocessing;
use candor::model::Model;
use candor::quantile::median;
pub use figures::{AdaptiveRow, AttackRow, DetectorRow, Figure, Report};

const ALL: [Split; 3] = [Split::Train, Split::Calibration, Split::Test];

/// A study: a model, its images, and which detectors are compared.
pub struct Study<'s> {
    /// The model.
    pub model: &'s Model,
    /// The model's preprocessing.
    pub preprocessing: &'s Preprocessing,
    /// Clean and adversarial images.
    pub corpus: &'s Corpus,
    /// How features are computed.
    pub features: FeatureSettings,
    /// How networks are trained. Its seed is also that of the other detectors and of the intervals.
    pub training: Training,
    /// Whether published detectors are evaluated, too.
    pub baselines: bool,
    /// Whether other groups of features are evaluated, too.
    pub ablations: bool,
    /// Number of test images for the adaptive attack.
    pub adaptive: usize,
}

impl Study<'_> {
    /// Maximum number of steps that [`Study::run`] reports, or, if `tested` is false, [`Study::train`], which needs no test images.
    ///
    /// # Errors
    /// As [`Study::run`].
    pub fn ticks(&self, tested: bool) -> Result<u64> {
        let Candidates { representations, candidates } = self.candidates()?;
        let adversarial: usize =
            self.corpus.attacks.iter().map(|a| a.pictures.iter().flatten().count()).sum();
        let [train, calibration, test] = self.sizes();
        // Training images also with a corruption, test images with each measured one, including "unchanged".
        let tested = if tested { corruptions::MEASURED.len() * test } else { 0 };
        let pictures = 2 * train + calibration + tested + adversarial;
        Ok((representations.len() * pictures + candidates.len()) as u64)
    }

    fn candidates(&self) -> Result<Candidates> {
        Candidates::new(self.model, self.preprocessing, &self.features, (self.baselines, self.ablations))
    }

    /// Runs the study. Rows of representations are stored in `folder`. `progress` receives each representation and candidate as a stage.
    ///
    /// # Errors
    /// If an engine or a library fails, or if no attack succeeds on a training image.
    pub fn run(&self, folder: &Path, progress: &mut dyn Progress) -> Result<Report> {
        let Candidates { mut representations, candidates } = self.candidates()?;
        let mut rows = vec![];
        for (r, representation) in representations.iter_mut().enumerate() {
            let name = candidates.iter().find(|c| c.representation == r).map_or("", |c| c.name.as_str());
            progress.stage(name);
            rows.push(self.all_rows(representation.as_mut(), folder, progress)?);
        }
        let (mut detectors, mut adaptive) = (vec![], vec![]);
        for candidate in &candidates {
            progress.stage(&candidate.name);
            let (row, trained) = self.evaluate(candidate, &rows[candidate.representation], progress)?;
            detectors.push(row);
            progress.step()?;
            if candidate.kind == Kind::Masks && self.adaptive > 0 {
                adaptive = self.attack_adaptively(&trained, progress)?;
            }
        }
        Ok(Report { attacks: self.attacks(), clean: self.sizes(), detectors, adaptive })
    }

    /// Trains the network of the final detector, on all attacks; returns its thresholds and its training data.
    ///
    /// # Errors
    /// As [`Study::run`].
    pub fn train(
        &self,
        folder: &Path,
        progress: &mut dyn Progress,
    ) -> Result<(Network, Vec<Threshold>, Vec<Learned>)> {
        let Candidates { mut representations, candidates } =
            Candidates::new(self.model, self.preprocessing, &self.features, (false, false))?;
        let (masks, splits) = (&candidates[0], [Split::Train, Split::Calibration]);
        progress.stage(&masks.name);
        let rows = self.training_rows(representations[0].as_mut(), &splits, folder, progress)?;
        let trained = self.train_on(masks, &rows, &self.chosen_attacks(masks.budgets, &rows), progress)?;
        let train = self.corpus.of(Split::Train);
        let learned = self.corpus.attacks.iter().map(|a| Learned {
            attack: a.spec.label.clone(),
            images: train.iter().filter(|&&i| a.pictures[i].is_some()).count(),
        });
        Ok((trained.network()?.clone(), trained.thresholds, learned.collect()))
    }

    /// Number of clean images in each split.
    fn sizes(&self) -> [usize; 3] {
        ALL.map(|split| self.corpus.of(split).len())
    }

    fn attacks(&self) -> Vec<AttackRow> {
        let test = self.corpus.of(Split::Test);
        let row = |a: &Adversaries| {
            let norms: Vec<&Norms> = a.norms.iter().flatten().collect();
            let middle = |f: fn(&Norms) -> f64| median(&norms.iter().copied().map(f).collect::<Vec<_>>());
            AttackRow {
                label: a.spec.label.clone(),
                success: norms.len() as f64 / a.tried.max(1) as f64,
                test: test.iter().filter(|&&i| a.pictures[i].is_some()).count(),
                norms: middle(|n| n.linf).zip(middle(|n| n.l2)).map(|(a, b)| [a, b]),
            }
        };
        self.corpus.attacks.iter().map(row).collect()
    }
}
