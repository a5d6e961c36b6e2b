//! The detectors of a study: ours, its ablations, and what is published.

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

/// A detector: a representation and how it is judged.
pub(super) struct Candidate {
    /// Name in tables.
    pub name: String,
    /// What kind of row it is.
    pub kind: Kind,
    /// Number of its representation.
    pub representation: usize,
    /// How the representation is judged.
    pub scorer: ScorerKind,
    /// What it learns from.
    pub budgets: Budgets,
}

/// Of the budgets of an attack (the weakest first, as they are asked for), those that a detector learns from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Budgets {
    All,
    /// The weakest that succeeds on a training image.
    Weakest,
    /// The strongest that does.
    Strongest,
}

/// Which table a candidate belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The detector itself.
    Ours,
    /// A published one, or one that looks at something else.
    Baseline,
    /// Ours with other parts.
    Ablation,
}

/// Representations, and the candidates that share them.
pub(super) type Candidates = (Vec<Box<dyn Representation>>, Vec<Candidate>);

/// The name of ours.
pub(super) const OURS: &str = "hierarchical masks";

/// Representations, and the candidates that share them. `baselines` and `ablations` may be left out.
pub(super) fn all(
    model: &Model,
    preprocessing: &Preprocessing,
    settings: &FeatureSettings,
    (baselines, ablations): (bool, bool),
) -> Result<Candidates> {
    let own = settings.parts.clone();
    let mut superset = own.clone();
    if ablations || baselines {
        superset.push(FeatureGroup::Fused);
    }
    if ablations {
        superset.extend([
            FeatureGroup::Masks,
            FeatureGroup::RunnerUp,
            FeatureGroup::Evidence,
            FeatureGroup::Full,
            FeatureGroup::Shapes,
            FeatureGroup::Levels,
            FeatureGroup::Stability,
        ]);
    }
    let mut parts: Vec<FeatureGroup> = vec![];
    superset.into_iter().for_each(|p| {
        if !parts.contains(&p) {
            parts.push(p)
        }
    });
    let extractor = Extractor::new(model, FeatureSettings { parts: parts.clone(), ..settings.clone() })?;
    let levels: Vec<Level> = extractor.levels().to_vec();
    let (filled, row) = (extractor.settings().clone(), extractor.layout());
    let network = |wanted: &[FeatureGroup]| {
        ScorerKind::Network(Pick {
            whole: row,
            planes: places(&parts, wanted, |p| p.planes(levels.len())),
            numbers: places(&parts, wanted, |p| p.numbers(levels.len())),
        })
    };
    let of = |name: &str, kind: Kind, representation: usize, scorer: ScorerKind| Candidate {
        name: name.into(),
        kind,
        representation,
        scorer,
        budgets: Budgets::All,
    };
    let mut candidates = vec![of(OURS, Kind::Ours, 0, network(&own))];
    let mut representations: Vec<Box<dyn Representation>> =
        vec![Box::new(Masks::new(extractor, preprocessing))];
    if ablations {
        use FeatureGroup::*;
        let rows: [(&str, &[FeatureGroup]); 11] = [
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
        ];
        candidates.extend(rows.map(|(name, wanted)| of(name, Kind::Ablation, 0, network(wanted))));
        let budgets = [
            ("trained on weakest budgets", Budgets::Weakest),
            ("trained on strongest budgets", Budgets::Strongest),
        ];
        candidates.extend(
            budgets
                .map(|(name, budgets)| Candidate { budgets, ..of(name, Kind::Ablation, 0, network(&own)) }),
        );
    }
    if baselines {
        let [channels, height, _] = model.input_shape;
        let pixels = Layout { planes: channels, grid: height.min(MIDDLE), numbers: 0 };
        let whole =
            ScorerKind::Network(Pick { whole: pixels, planes: (0..channels).collect(), numbers: vec![] });
        let activations = Activations::new(model, preprocessing, &levels)?;
        let segments = activations.segments(model);
        let mut add = |representation: Box<dyn Representation>, rows: Vec<(&str, ScorerKind)>| {
            representations.push(representation);
            let at = representations.len() - 1;
            candidates.extend(rows.into_iter().map(|(name, scorer)| of(name, Kind::Baseline, at, scorer)));
        };
        add(Box::new(Softmax::new(model, preprocessing)?), vec![("maximum softmax", ScorerKind::Value)]);
        add(Box::new(Squeezing::new(model, preprocessing)?), vec![("feature squeezing", ScorerKind::Value)]);
        add(
            Box::new(Dispersion::new(model, preprocessing)?),
            vec![("leave-one-out dispersion", ScorerKind::Logistic)],
        );
        add(
            Box::new(activations),
            vec![
                ("Mahalanobis", ScorerKind::Mahalanobis(segments.clone())),
                ("LID", ScorerKind::Lid(segments)),
            ],
        );
        let gates = Gates::new(model, preprocessing, &levels, &filled)?;
        add(Box::new(gates), vec![("forest on channel gates", ScorerKind::Forest)]);
        add(Box::new(Pixels), vec![("CNN on the image", whole.clone())]);
        add(Box::new(Gradient::new(model, preprocessing)?), vec![("CNN on the gradient", whole)]);
        candidates.push(of("CNN on the fused map", Kind::Baseline, 0, network(&[FeatureGroup::Fused])));
    }
    Ok((representations, candidates))
}

/// Which of the planes, or numbers, of all parts belong to the wanted ones.
fn places(
    parts: &[FeatureGroup],
    wanted: &[FeatureGroup],
    size: impl Fn(FeatureGroup) -> usize,
) -> Vec<usize> {
    let mut all = vec![];
    for part in wanted {
        let start: usize = parts.iter().take_while(|p| *p != part).map(|p| size(*p)).sum();
        all.extend(start..start + size(*part));
    }
    all
}
