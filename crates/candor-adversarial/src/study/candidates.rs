//! The detectors of a study: the mask detector, its ablations, and published ones.

use crate::detector::Layout;
use crate::detector::features::{Extractor, FeatureGroup, FeatureSettings};
use crate::detector::representations::{
    Activations, Dispersion, Gates, Gradient, MIDDLE, Masks, Pixels, Representation, Softmax, Squeezing,
};
use crate::detector::scorers::{Pick, ScorerKind};
use crate::error::Result;
use candor::image::Preprocessing;
use candor::mask::Level;
use candor::model::Model;

/// A detector: a representation and a scorer.
pub(super) struct Candidate {
    /// Name in tables.
    pub name: String,
    /// The kind of its row in tables.
    pub kind: Kind,
    /// Index of its representation.
    pub representation: usize,
    /// The scorer that is trained on it.
    pub scorer: ScorerKind,
    /// The budgets of attacks on which it is trained.
    pub budgets: Budgets,
}

/// Which budgets of an attack (in the order given, weakest first) a detector is trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Budgets {
    All,
    /// The weakest that succeeds on a training image.
    Weakest,
    /// The strongest that succeeds on a training image.
    Strongest,
}

/// The kind of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The mask detector itself.
    Masks,
    /// A published detector, or one with another representation.
    Baseline,
    /// The mask detector with other features or other training images.
    Ablation,
}

/// A representation, and the scorers that are trained on it, each with its name.
type Baseline = (Box<dyn Representation>, Vec<(&'static str, ScorerKind)>);

impl Kind {
    /// The word for it in JSON.
    pub(super) fn word(self) -> &'static str {
        match self {
            Kind::Masks => "ours",
            Kind::Baseline => "baseline",
            Kind::Ablation => "ablation",
        }
    }
}

/// The name of the mask detector.
pub(super) const MASK_DETECTOR: &str = "hierarchical masks";

/// Ablations of features.
const ABLATIONS: [(&str, &[FeatureGroup]); 11] = {
    use FeatureGroup::*;
    [
        ("masks alone (the paper's)", &[Masks]),
        ("+ runner-up", &[Masks, RunnerUp]),
        ("+ evidence", &[Masks, Evidence]),
        ("evidence alone", &[Evidence]),
        ("full masks alone", &[Full]),
        ("shapes alone", &[Shapes]),
        ("masks, runner-up, evidence", &[Masks, RunnerUp, Evidence]),
        ("masks, runner-up, evidence, levels", &[Masks, RunnerUp, Evidence, Levels]),
        ("stability alone", &[Stability]),
        ("evidence, stability", &[Evidence, Stability]),
        ("everything", &[Masks, RunnerUp, Full, Shapes, Evidence, Levels, Stability]),
    ]
};

/// Ablations of the budgets for training.
const BUDGET_ABLATIONS: [(&str, Budgets); 2] =
    [("trained on weakest budgets", Budgets::Weakest), ("trained on strongest budgets", Budgets::Strongest)];

/// Representations, and the candidates that share them.
pub(super) struct Candidates {
    pub representations: Vec<Box<dyn Representation>>,
    pub candidates: Vec<Candidate>,
}

/// The feature groups that the extractor computes, of which each network uses some.
struct Extracted {
    groups: Vec<FeatureGroup>,
    layout: Layout,
    levels: Vec<Level>,
    settings: FeatureSettings,
}

impl Candidates {
    /// The mask detector, and if requested baselines and ablations.
    pub(super) fn new(
        model: &Model,
        preprocessing: &Preprocessing,
        settings: &FeatureSettings,
        (baselines, ablations): (bool, bool),
    ) -> Result<Self> {
        let groups = needed(&settings.parts, baselines, ablations);
        let extractor = Extractor::new(model, FeatureSettings { parts: groups.clone(), ..settings.clone() })?;
        let extracted = Extracted {
            groups,
            layout: extractor.layout(),
            levels: extractor.levels().to_vec(),
            settings: extractor.settings().clone(),
        };
        let mut all = Candidates { representations: vec![], candidates: vec![] };
        let own = extracted.network(&settings.parts);
        all.add(
            Box::new(Masks::new(extractor, preprocessing)),
            Kind::Masks,
            vec![(MASK_DETECTOR, own.clone())],
        );
        if ablations {
            for (name, wanted) in ABLATIONS {
                all.share_masks(name, Kind::Ablation, extracted.network(wanted), Budgets::All);
            }
            for (name, budgets) in BUDGET_ABLATIONS {
                all.share_masks(name, Kind::Ablation, own.clone(), budgets);
            }
        }
        if baselines {
            all.add_baselines(model, preprocessing, &extracted)?;
        }
        Ok(all)
    }

    /// Adds a representation with the scorers that share it.
    fn add(&mut self, representation: Box<dyn Representation>, kind: Kind, scorers: Vec<(&str, ScorerKind)>) {
        let number = self.representations.len();
        self.representations.push(representation);
        self.candidates.extend(scorers.into_iter().map(|(name, scorer)| Candidate {
            name: name.into(),
            kind,
            representation: number,
            scorer,
            budgets: Budgets::All,
        }));
    }

    /// Adds a scorer on the mask detector's representation, which is the first.
    fn share_masks(&mut self, name: &str, kind: Kind, scorer: ScorerKind, budgets: Budgets) {
        self.candidates.push(Candidate { name: name.into(), kind, representation: 0, scorer, budgets });
    }

    fn add_baselines(
        &mut self,
        model: &Model,
        preprocessing: &Preprocessing,
        extracted: &Extracted,
    ) -> Result<()> {
        let [channels, height, _] = model.input_shape;
        let pixels = Layout { planes: channels, grid: height.min(MIDDLE), numbers: 0 };
        let whole =
            ScorerKind::Network(Pick { whole: pixels, planes: (0..channels).collect(), numbers: vec![] });
        let activations = Activations::new(model, preprocessing, &extracted.levels)?;
        let segments = activations.segments(model);
        let gates = Gates::new(model, preprocessing, &extracted.levels, &extracted.settings)?;
        let baselines: Vec<Baseline> = vec![
            (Box::new(Softmax::new(model, preprocessing)?), vec![("maximum softmax", ScorerKind::Value)]),
            (Box::new(Squeezing::new(model, preprocessing)?), vec![("feature squeezing", ScorerKind::Value)]),
            (
                Box::new(Dispersion::new(model, preprocessing)?),
                vec![("leave-one-out dispersion", ScorerKind::Logistic)],
            ),
            (
                Box::new(activations),
                vec![
                    ("Mahalanobis", ScorerKind::Mahalanobis(segments.clone())),
                    ("LID", ScorerKind::Lid(segments)),
                ],
            ),
            (Box::new(gates), vec![("forest on channel gates", ScorerKind::Forest)]),
            (Box::new(Pixels), vec![("CNN on the image", whole.clone())]),
            (Box::new(Gradient::new(model, preprocessing)?), vec![("CNN on the gradient", whole)]),
        ];
        for (representation, scorers) in baselines {
            self.add(representation, Kind::Baseline, scorers);
        }
        let fused = extracted.network(&[FeatureGroup::Fused]);
        self.share_masks("CNN on the fused map", Kind::Baseline, fused, Budgets::All);
        Ok(())
    }
}

/// The groups that all candidates together need, without duplicates: the detector's own first.
fn needed(own: &[FeatureGroup], baselines: bool, ablations: bool) -> Vec<FeatureGroup> {
    use FeatureGroup::*;
    let mut all = own.to_vec();
    if ablations || baselines {
        all.push(Fused);
    }
    if ablations {
        all.extend([Masks, RunnerUp, Evidence, Full, Shapes, Levels, Stability]);
    }
    let mut groups = vec![];
    for group in all {
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    groups
}

impl Extracted {
    /// The network for some groups.
    fn network(&self, wanted: &[FeatureGroup]) -> ScorerKind {
        let levels = self.levels.len();
        ScorerKind::Network(Pick {
            whole: self.layout,
            planes: self.places(wanted, |g| g.planes(levels)),
            numbers: self.places(wanted, |g| g.numbers(levels)),
        })
    }

    /// Indices of the planes, or numbers, that belong to the wanted groups, among those of all groups.
    fn places(&self, wanted: &[FeatureGroup], size: impl Fn(FeatureGroup) -> usize) -> Vec<usize> {
        let mut all = vec![];
        for group in wanted {
            let start: usize = self.groups.iter().take_while(|g| *g != group).map(|g| size(*g)).sum();
            all.extend(start..start + size(*group));
        }
        all
    }
}
