//! Shared by LIME and KernelSHAP: the photo with superpixels hidden, and its scores.

use super::baseline;
use super::forward::{Forward, Score, above_rounding, rounding};
use super::superpixels::slic;
use super::{Choices, Compiled};
use crate::error::{Error, MethodError, Result};
use crate::explanation::Explanation;
use crate::map::Map;
use crate::model::Model;
use crate::parameters::{Kind, Parameter, Parameters};
use crate::passes::Passes;
use crate::progress::Progress;

pub(super) const SEGMENTS: Parameter = Parameter {
    name: "segments",
    default: "50",
    kind: Kind::Integer(2, 1000),
    help: "about how many superpixels (SLIC)",
};
pub(super) const COMPACTNESS: Parameter = Parameter {
    name: "compactness",
    default: "0.3",
    kind: Kind::Number(0.001, 100.0),
    help: "weight of place against colour in SLIC; large ones make squares",
};
pub(super) const HIDDEN: Parameter = Parameter {
    name: "hidden",
    default: "segment-mean",
    kind: Kind::Choice(&["segment-mean", "zero", "mean", "blur"]),
    help: "what a hidden superpixel shows: its own mean colour, 0, the photo's mean colour, or the photo blurred",
};
pub(super) const SAMPLES: Parameter = Parameter {
    name: "samples",
    default: "1000",
    kind: Kind::Integer(2, 1_000_000),
    help: "subsets of the superpixels that are tried",
};
/// Which superpixels the samples show, and the weight of each sample.
pub(super) struct Samples {
    pub rows: Vec<Vec<bool>>,
    /// Empty if the fit computes the weights itself.
    pub weights: Vec<f64>,
}

/// A regression of the scores of samples.
pub(super) trait Fit: Send {
    /// Draws samples of `n` superpixels.
    fn samples(&self, n: usize, samples: usize, seed: u64) -> Samples;

    /// Whether the score of the photo with everything hidden is needed, too.
    fn needs_nothing(&self) -> bool;

    /// Value of each superpixel from the samples' `scores`, the score of nothing (if needed) and that of the whole photo; `None` if the
    /// samples do not determine them.
    fn values(&self, samples: &Samples, scores: &[f64], nothing: f64, whole: f64) -> Option<Vec<f64>>;
}

/// The explainer of both.
pub(super) struct SegmentExplainer {
    forward: Forward,
    method: &'static str,
    fit: Box<dyn Fit>,
    segments: usize,
    compactness: f32,
    hidden: String,
    samples: usize,
    score: Score,
    seed: u64,
}

impl SegmentExplainer {
    /// Compiles the model, reads the parameters.
    pub(super) fn prepare(
        model: &Model,
        p: &Parameters,
        choices: &Choices,
        fit: impl Fit + 'static,
    ) -> Result<Box<dyn Compiled>> {
        Ok(Box::new(SegmentExplainer {
            forward: Forward::compile(model)?,
            method: p.method(),
            fit: Box::new(fit),
            segments: p.integer("segments"),
            compactness: p.real("compactness") as f32,
            hidden: p.word("hidden").to_string(),
            samples: p.integer("samples"),
            score: Score::of(p),
            seed: choices.seed,
        }))
    }

    /// The values of hidden pixels.
    fn hidden(&self, model: &Model, labels: &[usize], count: usize) -> Result<Vec<f32>> {
        let image = &self.forward.image;
        if self.hidden != "segment-mean" {
            return baseline::make(&self.hidden, model, image);
        }
        let mean = |plane: &[f32]| {
            let mut sums = vec![(0.0f32, 0.0f32); count];
            for (v, &k) in plane.iter().zip(labels) {
                sums[k] = (sums[k].0 + v, sums[k].1 + 1.0);
            }
            labels.iter().map(|&k| sums[k].0 / sums[k].1.max(1.0)).collect::<Vec<f32>>()
        };
        Ok(image.chunks(labels.len()).flat_map(mean).collect())
    }
}

impl Compiled for SegmentExplainer {
    fn scores(&mut self, model: &Model, image: &[f32]) -> Result<Vec<f32>> {
        self.forward.begin(model, image)
    }

    fn explain(
        &mut self,
        model: &Model,
        classes: &[usize],
        progress: &mut dyn Progress,
    ) -> Result<Vec<Explanation>> {
        let [_, height, width] = model.input_shape;
        let image = self.forward.image.clone();
        let labels = slic(&image, model.input_shape, self.segments, self.compactness);
        let n = labels.iter().max().map_or(0, |m| m + 1);
        let hidden = self.hidden(model, &labels, n)?;
        let samples = self.fit.samples(n, self.samples, self.seed);
        let rows = &samples.rows;
        let extra = usize::from(self.fit.needs_nothing());
        let make = |i: usize, out: &mut [f32]| {
            for (j, o) in out.iter_mut().enumerate() {
                let shown = rows.get(i).is_some_and(|r| r[labels[j % labels.len()]]);
                *o = if shown { image[j] } else { hidden[j] };
            }
        };
        let target = (classes, self.score);
        let scores = self.forward.each(model, rows.len() + extra, target, make, progress)?;
        // Few superpixels have fewer coalitions than the requested number of samples.
        progress.steps(self.steps(classes.len()).saturating_sub(scores.len() as u64))?;
        let own = self.score.read(model, &self.forward.logits, classes);
        let passes = Passes { forward: self.forward.passes, backward: 0 };
        let mut explanations = vec![];
        for q in 0..classes.len() {
            let y: Vec<f64> = scores.iter().take(rows.len()).map(|s| s[q].into()).collect();
            let nothing = scores.get(rows.len()).map_or(0.0, |s| s[q].into());
            let values = self.fit.values(&samples, &y, nothing, own[q].into());
            let values = values.ok_or_else(|| {
                let few = MethodError::FewSamples { samples: self.samples, segments: n };
                Error::method(self.method, few)
            })?;
            let least = rounding(y.iter().chain([&nothing, &own[q].into()]));
            let data = labels.iter().map(|&k| above_rounding(values[k], least) as f32).collect();
            explanations
                .push(Explanation::of_map(Map { height, width, data }, passes.share(q, classes.len())));
        }
        Ok(explanations)
    }

    fn steps(&self, _: usize) -> u64 {
        self.samples as u64 + u64::from(self.fit.needs_nothing())
    }
}
