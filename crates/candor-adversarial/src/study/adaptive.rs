//! Performance of a detector against an adaptive (white-box) attacker.

use std::ops::ControlFlow;

use candor::progress::Progress;

use super::Study;
use super::evaluation::Trained;
use super::figures::AdaptiveRow;
use crate::attacks::{Budget, Goal, Rounding, TargetModel, of_picture};
use crate::detector::adaptive::{Adaptive, Moves};
use crate::detector::corpus::Split;
use crate::detector::{CompiledNetwork, Extractor};
use crate::error::Result;
use candor_eval::statistics::auroc;

/// Budgets in L∞, in grey levels of 255.
const BUDGETS: [f64; 2] = [2.0, 8.0];

impl Study<'_> {
    /// Attacks the detector that was trained on all attacks.
    pub(super) fn attack_adaptively(
        &self,
        trained: &Trained,
        progress: &mut dyn Progress,
    ) -> Result<Vec<AdaptiveRow>> {
        let (network, thresholds) = (trained.network()?, &trained.thresholds);
        let (model, preprocessing) = (self.model, self.preprocessing);
        let mut extractor = Extractor::new(model, self.features.clone())?;
        let mut attack = Adaptive::new(model, preprocessing, &extractor, network)?;
        let mut compiled = CompiledNetwork::new(model.engine.as_ref(), &network.graph()?)?;
        let mut target_model = TargetModel::new(model, preprocessing)?;
        let mut rounding = Rounding::new(model, preprocessing)?;
        let test = self.corpus.of(Split::Test);
        let chosen = &test[..self.adaptive.min(test.len())];
        let clean: Vec<_> = chosen.iter().map(|&i| &self.corpus.clean[i]).collect();
        let images: Vec<Vec<f32>> =
            clean.iter().map(|c| of_picture(preprocessing.channels, &c.picture)).collect();
        let goals: Vec<Goal> = clean.iter().map(|c| Goal::away(c.answer)).collect();
        let mut score = |pictures: &[&image::RgbImage]| -> Result<Vec<f64>> {
            let inputs: Vec<Vec<f32>> = pictures.iter().map(|p| preprocessing.normalize(p)).collect();
            let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
            let features = extractor.features(model, &inputs)?;
            compiled.scores(&features.iter().map(Vec::as_slice).collect::<Vec<_>>())
        };
        let clean_scores = score(&test.iter().map(|&i| &self.corpus.clean[i].picture).collect::<Vec<_>>())?;
        let mut all = vec![];
        for eps in BUDGETS.map(|levels| levels / 255.0) {
            let moves = Moves { eps, ..Moves::default() };
            let found = attack.run(&mut target_model, &images, &goals, &moves, &mut Silent(progress))?;
            let mut pictures = vec![];
            for (i, found) in found.iter().enumerate() {
                let rounded = rounding.of(&images[i], found, Budget::Linf(eps), &goals[i])?;
                pictures.extend(rounded.map(|r| r.picture));
            }
            let scores = score(&pictures.iter().collect::<Vec<_>>())?;
            let missed = scores.iter().filter(|s| **s <= thresholds[1].score).count();
            all.push(AdaptiveRow {
                eps,
                steps: moves.steps,
                images: images.len(),
                success: scores.len() as f64 / images.len().max(1) as f64,
                detected: thresholds.iter().map(|t| t.alarms(&scores)).collect(),
                auroc: auroc(&scores, &clean_scores),
                evades: missed as f64 / images.len().max(1) as f64,
            });
        }
        Ok(all)
    }
}

/// Reports no steps, but lets the caller cancel the work.
struct Silent<'p>(&'p mut dyn Progress);

impl Progress for Silent<'_> {
    fn advance(&mut self, _: u64) -> ControlFlow<()> {
        self.0.advance(0)
    }
}
