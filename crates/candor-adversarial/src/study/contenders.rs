//! The detectors of a study: ours, its ablations, and what is published.

use crate::detector::Layout;
use crate::detector::features::{Extractor, FeatureSettings, Part};
use crate::detector::judges::{Judging, Pick};
use crate::detector::views::{
    Activations, Dispersion, Gates, Gradient, MIDDLE, Masks, Pixels, Softmax, Squeezing, View,
};
use crate::error::Result;
use candor::image::Preprocessing;
use candor::mask::Level;
use candor::model::Model;

/// A detector: a view and how it is judged.
pub(super) struct Contender {
    /// Name in tables.
    pub name: String,
    /// What kind of row it is.
    pub kind: Kind,
    /// Number of its view.
    pub view: usize,
    /// How the view is judged.
    pub judging: Judging,
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

/// Which table a contender belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The detector itself.
    Ours,
    /// A published one, or one that looks at something else.
    Baseline,
    /// Ours with other parts.
    Ablation,
}

/// Views, and the contenders that share them.
pub(super) type Contest = (Vec<Box<dyn View>>, Vec<Contender>);

/// The name of ours.
pub(super) const OURS: &str = "hierarchical masks";

/// Views, and the contenders that share them. `baselines` and `ablations` may be left out.
pub(super) fn all(
    model: &Model,
    preprocessing: &Preprocessing,
    settings: &FeatureSettings,
    (baselines, ablations): (bool, bool),
) -> Result<Contest> {
    let own = settings.parts.clone();
    let mut superset = own.clone();
    if ablations || baselines {
        superset.push(Part::Fused);
    }
    if ablations {
        superset.extend([
            Part::Masks,
            Part::RunnerUp,
            Part::Evidence,
            Part::Full,
            Part::Shapes,
            Part::Levels,
            Part::Stability,
        ]);
    }
    let mut parts: Vec<Part> = vec![];
    superset.into_iter().for_each(|p| {
        if !parts.contains(&p) {
            parts.push(p)
        }
    });
    let extractor = Extractor::new(model, FeatureSettings { parts: parts.clone(), ..settings.clone() })?;
    let levels: Vec<Level> = extractor.levels().to_vec();
    let (filled, row) = (extractor.settings().clone(), extractor.layout());
    let network = |wanted: &[Part]| {
        Judging::Network(Pick {
            whole: row,
            planes: places(&parts, wanted, |p| p.planes(levels.len())),
            numbers: places(&parts, wanted, |p| p.numbers(levels.len())),
        })
    };
    let of = |name: &str, kind: Kind, view: usize, judging: Judging| Contender {
        name: name.into(),
        kind,
        view,
        judging,
        budgets: Budgets::All,
    };
    let mut contenders = vec![of(OURS, Kind::Ours, 0, network(&own))];
    let mut views: Vec<Box<dyn View>> = vec![Box::new(Masks::new(extractor, preprocessing))];
    if ablations {
        use Part::*;
        let rows: [(&str, &[Part]); 11] = [
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
        contenders.extend(rows.map(|(name, wanted)| of(name, Kind::Ablation, 0, network(wanted))));
        let budgets = [
            ("trained on weakest budgets", Budgets::Weakest),
            ("trained on strongest budgets", Budgets::Strongest),
        ];
        contenders.extend(
            budgets
                .map(|(name, budgets)| Contender { budgets, ..of(name, Kind::Ablation, 0, network(&own)) }),
        );
    }
    if baselines {
        let [channels, height, _] = model.input_shape;
        let pixels = Layout { planes: channels, grid: height.min(MIDDLE), numbers: 0 };
        let whole =
            Judging::Network(Pick { whole: pixels, planes: (0..channels).collect(), numbers: vec![] });
        let activations = Activations::new(model, preprocessing, &levels)?;
        let segments = activations.segments(model);
        let mut add = |view: Box<dyn View>, rows: Vec<(&str, Judging)>| {
            views.push(view);
            let at = views.len() - 1;
            contenders.extend(rows.into_iter().map(|(name, judging)| of(name, Kind::Baseline, at, judging)));
        };
        add(Box::new(Softmax::new(model, preprocessing)?), vec![("maximum softmax", Judging::Value)]);
        add(Box::new(Squeezing::new(model, preprocessing)?), vec![("feature squeezing", Judging::Value)]);
        add(
            Box::new(Dispersion::new(model, preprocessing)?),
            vec![("leave-one-out dispersion", Judging::Logistic)],
        );
        add(
            Box::new(activations),
            vec![("Mahalanobis", Judging::Mahalanobis(segments.clone())), ("LID", Judging::Lid(segments))],
        );
        let gates = Gates::new(model, preprocessing, &levels, &filled)?;
        add(Box::new(gates), vec![("forest on channel gates", Judging::Forest)]);
        add(Box::new(Pixels), vec![("CNN on the image", whole.clone())]);
        add(Box::new(Gradient::new(model, preprocessing)?), vec![("CNN on the gradient", whole)]);
        contenders.push(of("CNN on the fused map", Kind::Baseline, 0, network(&[Part::Fused])));
    }
    Ok((views, contenders))
}

/// Which of the planes, or numbers, of all parts belong to the wanted ones.
fn places(parts: &[Part], wanted: &[Part], size: impl Fn(Part) -> usize) -> Vec<usize> {
    let mut all = vec![];
    for part in wanted {
        let start: usize = parts.iter().take_while(|p| *p != part).map(|p| size(*p)).sum();
        all.extend(start..start + size(*part));
    }
    all
}
