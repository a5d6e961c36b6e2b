//! The reliable mask with hierarchical attribution fusion: see [`crate::mask`].

use candor_graph::insert::MaskShape;

use super::parameters::{Kind, Parameter, Parameters};
use super::{Choices, Description, Explainer, Explanation, Method};
use crate::error::Result;
use crate::map::{Interpolation, Map};
use crate::mask::learn::{Learner, Passes, Prepared, Settings, argmax};
use crate::mask::{Learned, Level, Objective, fuse, levels};
use crate::model::Model;
use crate::report::result::{Kept, LevelMask};

/// The L1 term of full masks at the default λ, in units of ln(K)²: the squared log-odds that lie between certainty and
/// chance among K classes. Chosen on twenty photos of imagenet/val and thirty of CIFAR-10 that no reported result uses.
const FULL_SPARSITY: f64 = 1.5;

const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "objective",
        default: "evidence",
        kind: Kind::Choice(&["evidence", "logit", "probability", "all-logits", "kl"]),
        help: "what must stay as it was: the class's log-odds against nothing, its logit, its probability, all logits, \
               all probabilities",
    },
    Parameter {
        name: "shape",
        default: "spatial",
        kind: Kind::Choice(&["spatial", "full"]),
        help: "one mask for all channels (where), or one for each (which feature, where)",
    },
    Parameter {
        name: "lambda",
        default: "auto",
        kind: Kind::Number(0.0, 1e6),
        help: "weight of the masks' L1 term; auto: the sidecar's (see calibrate), else by the levels' sizes",
    },
    Parameter { name: "iterations", default: "60", kind: Kind::Integer(1, 100_000), help: "steps of Adam" },
    Parameter {
        name: "rate",
        default: "0.05",
        kind: Kind::Number(1e-6, 10.0),
        help: "learning rate of Adam",
    },
    Parameter {
        name: "cap",
        default: "1",
        kind: Kind::Number(1e-3, 1e6),
        help: "upper bound of a mask; 1 keeps it a selection that can amplify nothing",
    },
    Parameter {
        name: "floor",
        default: "chance",
        kind: Kind::Choice(&["chance", "null"]),
        help: "the odds of nothing: those of the network with every mask zero (null), or chance where that is higher",
    },
    Parameter {
        name: "exact",
        default: "true",
        kind: Kind::Flag,
        help: "give a class without evidence the empty mask, its objective's known minimum, without taking steps",
    },
    Parameter {
        name: "rivals",
        default: "all",
        kind: Kind::Choice(&["all", "no-top1"]),
        help: "classes that compete with the query; no-top1 for photos of several objects",
    },
    Parameter {
        name: "return",
        default: "last",
        kind: Kind::Choice(&["last", "best"]),
        help: "the last iterate, or the one with the lowest total loss",
    },
    Parameter {
        name: "upsample",
        default: "bilinear",
        kind: Kind::Choice(&["bilinear", "nearest"]),
        help: "how the levels' masks come to the image's size",
    },
    Parameter {
        name: "fuse",
        default: "mask",
        kind: Kind::Choice(&["mask", "attribution"]),
        help: "fuse the masks m, or m times the feature under it",
    },
];

/// The method.
pub(super) struct Reliable;

impl Method for Reliable {
    fn description(&self) -> Description {
        Description {
            name: "reliable",
            summary: "masks on several levels that keep the class's odds and as little else as possible",
            source: "Wang, Su, Zhang, Hu 2020 (idea); evidence objective and spatial masks: ours",
            cost: "63 forward, 60 backward; 2 forward for a class without evidence",
            signed: false,
            class_sensitive: true,
            parameters: PARAMETERS,
        }
    }

    fn prepare(&self, model: &Model, p: &mut Parameters, choices: &Choices) -> Result<Box<dyn Explainer>> {
        let levels = levels::choose(model, &choices.levels)?;
        let lambda = p
            .number("lambda")
            .or(choices.calibrated_lambda)
            .unwrap_or_else(|| default_lambda(&levels, model.classes));
        p.record("lambda", lambda);
        p.record("levels", levels.iter().map(|l| l.name.clone()).collect::<Vec<_>>());
        let objective = Objective::ALL.iter().find(|(name, _)| *name == p.word("objective"));
        let settings = Settings {
            objective: objective.map_or(Objective::Evidence, |(_, o)| *o),
            shape: if p.word("shape") == "full" { MaskShape::Full } else { MaskShape::Spatial },
            lambda: lambda as f32,
            iterations: p.integer("iterations"),
            rate: p.number("rate").unwrap_or(0.05) as f32,
            cap: p.number("cap").unwrap_or(1.0) as f32,
            floor_at_chance: p.word("floor") == "chance",
            leave_out_top1: p.word("rivals") == "no-top1",
            return_best: p.word("return") == "best",
            exact: p.flag("exact"),
        };
        Ok(Box::new(ReliableExplainer {
            learner: Learner::new(model, levels, settings)?,
            interpolation: if p.word("upsample") == "nearest" {
                Interpolation::Nearest
            } else {
                Interpolation::Bilinear
            },
            attribution: p.word("fuse") == "attribution",
            prepared: None,
            passes: Passes::default(),
        }))
    }
}

/// λ at which the L1 term of full masks, λ Σ_l C_l √(H_l·W_l), has the same size relative to the odds for every model.
pub(crate) fn default_lambda(levels: &[Level], classes: usize) -> f64 {
    let size = |l: &Level| l.shape[0] as f64 * ((l.shape[1] * l.shape[2]) as f64).sqrt();
    FULL_SPARSITY * (classes.max(2) as f64).ln().powi(2) / levels.iter().map(size).sum::<f64>()
}

struct ReliableExplainer {
    learner: Learner,
    interpolation: Interpolation,
    attribution: bool,
    prepared: Option<Prepared>,
    passes: Passes,
}

impl Explainer for ReliableExplainer {
    fn scores(&mut self, model: &Model, image: &[f32]) -> Result<Vec<f32>> {
        self.passes = Passes::default();
        let prepared = self.learner.prepare(model, image, &mut self.passes)?;
        let scores = prepared.reference.clone();
        self.prepared = Some(prepared);
        Ok(scores)
    }

    fn explain(
        &mut self,
        model: &Model,
        classes: &[usize],
        steps: &mut dyn FnMut(),
    ) -> Result<Vec<Explanation>> {
        let Some(prepared) = self.prepared.take() else { return Ok(vec![]) };
        // The scale of the image is that of its top-1 query, asked or not.
        let top1 = argmax(&prepared.reference);
        let mut all = classes.to_vec();
        if !all.contains(&top1) {
            all.push(top1);
        }
        let mut passes = self.passes;
        let learned = self.learner.learn(model, &prepared, &all, &mut passes, steps)?;
        let means: Vec<Vec<Map>> = learned.iter().map(|l| self.means(l, &prepared)).collect();
        let top = all.iter().position(|&c| c == top1).unwrap_or(0);
        let scales: Vec<f32> = means[top].iter().map(Map::max).collect();
        let [_, height, width] = model.input_shape;
        // The shared passes (unmasked, null) and the top-1 query are split evenly among the queries asked for.
        let asked = learned.into_iter().zip(means).take(classes.len()).enumerate();
        Ok(asked
            .map(|(q, (l, means))| Explanation {
                attribution: None,
                map: fuse::fuse(&means, &scales, [height, width], self.interpolation),
                log_odds: Some(l.query.log_odds(&l.query.reference)),
                null_log_odds: Some(l.null_log_odds),
                evidence: Some(l.query.target() - l.query.floor),
                kept: Some(Kept {
                    score: f64::from(l.kept_logits[l.query.class]),
                    log_odds: l.query.log_odds(&l.kept_logits),
                }),
                passes: passes.share(q, classes.len()),
                warnings: warnings(&l),
                levels: self.level_masks(l),
            })
            .collect())
    }

    fn steps(&self, _: usize) -> u64 {
        self.learner.settings.iterations as u64
    }
}

impl ReliableExplainer {
    fn mask_shape(&self, level: usize, mask: &[f32]) -> [usize; 3] {
        let [_, h, w] = self.learner.levels[level].shape;
        [mask.len() / (h * w), h, w]
    }

    /// M_l, or A_l of the attribution form, of each level.
    fn means(&self, learned: &Learned, prepared: &Prepared) -> Vec<Map> {
        let mean = |(l, mask): (usize, &Vec<f32>)| {
            let shape = self.mask_shape(l, mask);
            match self.learner.feature(prepared, l).filter(|_| self.attribution) {
                Some(feature) => fuse::attribution_mean(mask, shape, &feature, 0),
                None => fuse::channel_mean(mask, shape),
            }
        };
        learned.masks.iter().enumerate().map(mean).collect()
    }

    fn level_masks(&self, learned: Learned) -> Vec<LevelMask> {
        let mask = |(l, data): (usize, Vec<f32>)| {
            let shape = self.mask_shape(l, &data);
            let mean = fuse::channel_mean(&data, shape);
            LevelMask { value: self.learner.levels[l].name.clone(), shape, data, mean }
        };
        learned.masks.into_iter().enumerate().map(mask).collect()
    }
}

/// Largest share of the evidence that a mask may lose before the reader is told.
const LOST_EVIDENCE: f64 = 0.2;

fn warnings(l: &Learned) -> Vec<String> {
    let evidence = l.query.target() - l.query.floor;
    let kept = l.query.log_odds(&l.kept_logits) - l.query.floor;
    if evidence <= 0.0 || (kept / evidence - 1.0).abs() <= LOST_EVIDENCE {
        return vec![];
    }
    let empty = l.masks.iter().flatten().all(|&m| m < 0.5);
    vec![if empty {
        format!(
            "weak evidence ({evidence:+.2} log-odds over nothing) is less than a mask costs at this lambda"
        )
    } else {
        format!(
            "the masked model keeps {:.0} % of the evidence: the map shows decisive parts only; use a smaller lambda or \
             more iterations for the whole",
            100.0 * kept / evidence
        )
    }]
}
