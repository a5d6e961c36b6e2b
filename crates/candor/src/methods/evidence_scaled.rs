//! Another method's map, scaled by the class's evidence; empty for a class without evidence (new in Candor):
//!
//! m'_c = m_c / max |m_c| · min(1, e_c / e_1), e_c = max(0, o_c(S(x)) − n_c),
//!
//! with the log-odds o_c, the null log-odds n_c of the reliable mask ([`crate::mask`]), and e_1 the evidence of the model's answer. It
//! takes no search: one pass of the photo and one of the network with every mask zero.

use super::reliable::judged;
use super::{Choices, Compiled, Cost, Definition, Description, prepare_wrapped};
use crate::error::{Error, Result};
use crate::explanation::{Explanation, Judged, Verdict};
use crate::map::Map;
use crate::mask::learn::{Learned, Learner};
use crate::mask::levels;
use crate::mask::settings::EVIDENCE;
use crate::mask::{Prepared, Settings};
use crate::model::Model;
use crate::parameters::{Kind, Parameter, Parameters};
use crate::progress::Progress;
use crate::scores::argmax;

const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "method",
        default: "fullgrad",
        kind: Kind::Method,
        help: "the method whose map it is; its own parameters are set as method.NAME=VALUE",
    },
    EVIDENCE,
];

/// The method.
pub(super) struct EvidenceScaled;

impl Definition for EvidenceScaled {
    fn description(&self) -> Description {
        Description {
            name: "evidence-scaled",
            summary: "another method's map on the scale of the class's evidence: empty where there is none",
            source: "new in Candor",
            cost: Cost { forward: 3, backward: 1, note: "2 forward, and those of the method, here FullGrad" },
            signed: true,
            class_sensitive: true,
            parameters: PARAMETERS,
        }
    }

    fn prepare(&self, model: &Model, p: &mut Parameters, choices: &Choices) -> Result<Box<dyn Compiled>> {
        let explainer = prepare_wrapped(model, p, choices)?;
        let levels = levels::choose(model, &choices.levels)?;
        p.record("levels", levels.iter().map(|l| l.name.clone()).collect::<Vec<_>>());
        let settings = if p.word("evidence") == "photo" { Settings::of_photo() } else { Settings::default() };
        let mut learner = Learner::new(model, levels, settings)?;
        learner
            .false_alarms
            .clone_from(choices.false_alarms.as_ref().unwrap_or(&learner.false_alarms.clone()));
        Ok(Box::new(EvidenceScaledExplainer { explainer, learner, prepared: None }))
    }
}

struct EvidenceScaledExplainer {
    explainer: Box<dyn Compiled>,
    /// Used only for its empty masks.
    learner: Learner,
    prepared: Option<Prepared>,
}

impl Compiled for EvidenceScaledExplainer {
    fn scores(&mut self, model: &Model, image: &[f32]) -> Result<Vec<f32>> {
        self.prepared = Some(self.learner.prepare(model, image)?);
        self.explainer.scores(model, image)
    }

    fn explain(
        &mut self,
        model: &Model,
        classes: &[usize],
        progress: &mut dyn Progress,
    ) -> Result<Vec<Explanation>> {
        let Some(prepared) = &self.prepared else { return Err(Error::NoPhoto) };
        let answer = argmax(&prepared.reference);
        let asked: Vec<_> = classes.iter().chain([&answer]).map(|&class| (prepared, class)).collect();
        let mut empty = self.learner.empty(model, &asked)?;
        let most = empty.pop().map_or(0.0, |l| l.query.evidence());
        let explained = self.explainer.explain(model, classes, progress)?.into_iter().zip(empty).enumerate();
        let scaled = |(q, (e, l)): (usize, (Explanation, Learned))| {
            let mut passes = e.passes;
            passes += l.passes;
            passes += Prepared::PASSES.share(q, classes.len());
            let evidence = l.query.evidence();
            Explanation {
                judged: judged(&l, &self.learner.false_alarms),
                log_odds: Some(l.query.log_odds(&prepared.reference)),
                null_log_odds: Some(l.query.floor),
                evidence: Some(evidence),
                warnings: e.warnings,
                ..Explanation::of_map(on_scale(e.map, share(evidence, most)), passes)
            }
        };
        let mut explained: Vec<Explanation> = explained.map(scaled).collect();
        Judged::together(&mut explained);
        for e in &mut explained {
            e.set_aside(false);
            if e.judged.is_some() && e.verdict() == Verdict::NoEvidence {
                e.map.data.fill(0.0);
            }
        }
        Ok(explained)
    }

    fn steps(&self, classes: usize) -> u64 {
        self.explainer.steps(classes)
    }
}

/// min(1, e_c / e_1), and 0 without evidence.
fn share(evidence: f64, most: f64) -> f32 {
    if evidence > 0.0 { (evidence / most).min(1.0) as f32 } else { 0.0 }
}

/// The map scaled so that its largest magnitude is `largest`; an empty map stays empty.
fn on_scale(map: Map, largest: f32) -> Map {
    let magnitude = map.max().max(-map.min());
    let scale = if magnitude > 0.0 { largest / magnitude } else { 0.0 };
    Map { data: map.data.iter().map(|v| v * scale).collect(), ..map }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_value_is_the_share_of_the_evidence() {
        let map = || Map { height: 1, width: 3, data: vec![-8.0, 2.0, 0.0] };
        assert_eq!(on_scale(map(), share(2.0, 8.0)).data, [-0.25, 0.0625, 0.0]);
        assert_eq!(on_scale(map(), share(0.0, 8.0)).data, [0.0, 0.0, 0.0]);
        // The answer may have less evidence than another class, each above its own null, or none.
        assert_eq!((share(9.0, 3.0), share(1.0, 0.0), share(0.0, 0.0)), (1.0, 1.0, 0.0));
        assert_eq!(on_scale(Map::zeros(1, 2), 1.0).data, [0.0, 0.0]);
    }
}
