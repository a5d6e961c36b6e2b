//! The reliable mask with hierarchical attribution fusion: see [`crate::mask`].

use crate::progress::Progress;
use candor_graph::graph::Graph;

use super::{Choices, Compiled, Cost, Definition, Description, Export};
use crate::error::{Error, MethodError, Result};
use crate::explanation::{Explanation, Judged, Kept, LevelMask, PathPoint, is_empty};
use crate::false_alarms::{FalseAlarms, WEAK};
use crate::map::{Interpolation, Map};
use crate::mask::evidence::Look;
use crate::mask::extent::{Extent, Features};
use crate::mask::fuse::{self, Fusion};
use crate::mask::learn::Learner;
use crate::mask::look::laid_back;
use crate::mask::looped::{self, as_nodes};
use crate::mask::places::has_crowd;
use crate::mask::settings::{self, Settings};
use crate::mask::stepwise::{Shown, Stepwise, stepwise};
use crate::mask::{Learned, Level, Prepared, levels};
use crate::model::Model;
use crate::parameters::{Kind, Parameter, Parameters, names};
use crate::passes::Passes;
use crate::scores::argmax;
use crate::similarity::{SAME, overlap};

/// Names of the ways to resize levels to the image.
const INTERPOLATIONS: [(&str, Interpolation); 2] =
    [("bilinear", Interpolation::Bilinear), ("nearest", Interpolation::Nearest)];
/// Names of what is fused, and how.
const FUSIONS: [(&str, (Fused, Fusion)); 4] = [
    ("mask", (Fused::Masks, Fusion::Mean)),
    ("attribution", (Fused::Features, Fusion::Mean)),
    ("geometric", (Fused::Masks, Fusion::Geometric)),
    ("gated", (Fused::Masks, Fusion::Gated)),
];

/// What the levels' maps are computed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fused {
    /// The masks m.
    Masks,
    /// m ⊙ a, with the feature a under the mask.
    Features,
}

const PARAMETERS: &[Parameter] = &[
    settings::OBJECTIVE,
    settings::EVIDENCE,
    settings::LOOK,
    settings::SHAPE,
    settings::LAMBDA,
    settings::KEEP,
    settings::ITERATIONS,
    settings::RATE,
    settings::BETA2,
    settings::ANNEAL,
    settings::CAP,
    settings::FLOOR,
    settings::EXACT,
    settings::RIVALS,
    settings::RETURN,
    settings::SETTLE,
    Parameter {
        name: "upsample",
        default: "bilinear",
        kind: Kind::Choice(&names(&INTERPOLATIONS)),
        help: "how the levels' masks are enlarged to the image's size",
    },
    Parameter {
        name: "lambda-path",
        default: "false",
        kind: Kind::Flag,
        help: "learn the masks at λ/4, λ/2, 2λ and 4λ, too, and warn if the map changes",
    },
    Parameter {
        name: "weak",
        default: "false",
        kind: Kind::Flag,
        help: "show the maps of classes with weak evidence, too",
    },
    Parameter {
        name: "extent",
        default: "false",
        kind: Kind::Flag,
        help: "show how far the object reaches, not its decisive part: the map grown over the places whose features are like those under it",
    },
    Parameter {
        name: "fuse",
        default: "mask",
        kind: Kind::Choice(&names(&FUSIONS)),
        help: "the levels' mean of the masks m, of m times the feature under it; their geometric mean; or the coarsest level's \
               mask times the mean of the finer ones'",
    },
];

/// The method.
pub(super) struct Reliable;

impl Definition for Reliable {
    fn description(&self) -> Description {
        Description {
            name: "reliable",
            summary: "masks on several levels that keep the class's odds and as little else as possible",
            source: "Wang, Su, Zhang, Hu 2020 (idea); evidence objective and spatial masks: new in Candor",
            cost: Cost {
                forward: 33,
                backward: 30,
                note: "5 forward for a class without evidence; up to 45 more each way where a fitted lambda lost it",
            },
            signed: false,
            class_sensitive: true,
            parameters: PARAMETERS,
        }
    }

    fn prepare(&self, model: &Model, p: &mut Parameters, choices: &Choices) -> Result<Box<dyn Compiled>> {
        let (levels, settings) = search_settings(model, p, choices)?;
        let (fused, fusion) = p.choice(&FUSIONS, "fuse");
        let extent = p.flag("extent").then(|| Extent::new(model, &levels)).transpose()?;
        let mut learner = Learner::new(model, levels, settings)?;
        learner
            .false_alarms
            .clone_from(choices.false_alarms.as_ref().unwrap_or(&learner.false_alarms.clone()));
        Ok(Box::new(ReliableExplainer {
            learner,
            weak: p.flag("weak"),
            interpolation: p.choice(&INTERPOLATIONS, "upsample"),
            attribution: fused == Fused::Features,
            fusion,
            path: p.flag("lambda-path"),
            extent,
            prepared: None,
        }))
    }

    fn exporter(&self) -> Option<&dyn Export> {
        Some(self)
    }
}

impl Export for Reliable {
    fn export(&self, model: &Model, p: &mut Parameters, choices: &Choices) -> Result<Graph> {
        plain(p)?;
        let at = |e| Error::graph(&model.info.path, e);
        let chooses = Settings::chooses_evidence(p);
        let (levels, settings) = search_settings(model, p, choices)?;
        let built_in = FalseAlarms::built_in(model.classes);
        let shown = looped::Shown {
            interpolation: p.choice(&INTERPOLATIONS, "upsample"),
            weak: p.flag("weak"),
            false_alarms: choices.false_alarms.as_ref().unwrap_or(&built_in),
        };
        let mut found = as_nodes(model, &levels, &settings, &shown).map_err(at)?;
        if found.is_none() && chooses {
            p.record("evidence", "photo");
            let (levels, settings) = search_settings(model, p, choices)?;
            found = as_nodes(model, &levels, &settings, &shown).map_err(at)?;
        }
        // The closer look cannot be exported as a graph.
        p.record("look", 0);
        let (name, only, given) = ("evidence", "photo", "place".to_string());
        found.ok_or_else(|| Error::method(p.method(), MethodError::NotExportableWith { name, only, given }))
    }

    fn stepwise(&self, model: &Model, p: &mut Parameters, choices: &Choices) -> Result<Option<Stepwise>> {
        plain(p)?;
        let (levels, settings) = search_settings(model, p, choices)?;
        let shown = Shown {
            interpolation: p.choice(&INTERPOLATIONS, "upsample"),
            weak: p.flag("weak"),
            false_alarms: choices.false_alarms.clone(),
        };
        let made = stepwise(model, &levels, &settings, shown);
        made.map(Some).map_err(|e| Error::graph(&model.info.path, e))
    }
}

/// Checks that the settings ask for nothing but the last masks after all steps.
fn plain(p: &Parameters) -> Result<()> {
    let asked = [
        ("return", "last", p.word("return").to_string()),
        ("fuse", "mask", p.word("fuse").to_string()),
        ("lambda-path", "false", p.flag("lambda-path").to_string()),
        ("extent", "false", p.flag("extent").to_string()),
        ("settle", "0", p.real("settle").to_string()),
    ];
    match asked.into_iter().find(|(_, only, given)| given != only) {
        Some((name, only, given)) => {
            Err(Error::method(p.method(), MethodError::NotExportableWith { name, only, given }))
        }
        None => Ok(()),
    }
}

/// The levels, and the settings of mask learning from the parameters.
fn search_settings(model: &Model, p: &mut Parameters, choices: &Choices) -> Result<(Vec<Level>, Settings)> {
    let levels = levels::choose(model, &choices.levels)?;
    let lambda = p
        .auto("lambda")
        .or(choices.calibrated_lambda)
        .unwrap_or_else(|| levels::default_lambda(&levels, model.classes));
    let (fused, _) = p.choice(&FUSIONS, "fuse");
    let keep_features = fused == Fused::Features;
    let settings = Settings { keep_features, ..Settings::read(p, Some(lambda as f32)) };
    p.record("lambda", lambda);
    p.record("evidence", if settings.places { "place" } else { "photo" });
    p.record("look", u8::from(settings.look && has_crowd(model.classes)));
    p.record("keep", settings.keep);
    p.record("iterations", settings.iterations);
    p.record("rate", exact(settings.rate));
    p.record("levels", levels.iter().map(|l| l.name.clone()).collect::<Vec<_>>());
    Ok((levels, settings))
}

/// The number that a setting's text states, not the nearest single-precision value.
fn exact(v: f32) -> f64 {
    v.to_string().parse().unwrap_or(f64::from(v))
}

struct ReliableExplainer {
    learner: Learner,
    interpolation: Interpolation,
    attribution: bool,
    fusion: Fusion,
    path: bool,
    /// Extends the maps, if requested.
    extent: Option<Extent>,
    weak: bool,
    prepared: Option<Prepared>,
}

impl Compiled for ReliableExplainer {
    fn scores(&mut self, model: &Model, image: &[f32]) -> Result<Vec<f32>> {
        let prepared = self.learner.prepare(model, image)?;
        let scores = prepared.reference.clone();
        self.prepared = Some(prepared);
        Ok(scores)
    }

    fn explain(
        &mut self,
        model: &Model,
        classes: &[usize],
        progress: &mut dyn Progress,
    ) -> Result<Vec<Explanation>> {
        let Some(prepared) = self.prepared.take() else { return Err(Error::NoPhoto) };
        let explained = self.explain_prepared(model, &[(&prepared, classes.to_vec())], progress);
        self.prepared = Some(prepared);
        Ok(explained?.into_iter().flatten().collect())
    }

    fn explain_all(
        &mut self,
        model: &Model,
        images: &[&[f32]],
        classes: &dyn Fn(&[f32]) -> Vec<usize>,
        progress: &mut dyn Progress,
    ) -> Result<Vec<(Vec<f32>, Vec<Explanation>)>> {
        let prepared = self.learner.prepare_all(model, images)?;
        let asked: Vec<_> = prepared.iter().map(|p| (p, classes(&p.reference))).collect();
        let mut step_of_each = |steps| progress.advance(steps * images.len() as u64);
        let explained = self.explain_prepared(model, &asked, &mut step_of_each)?;
        Ok(prepared.into_iter().map(|p| p.reference).zip(explained).collect())
    }

    fn together(&self, model: &Model) -> usize {
        // A search that may end early ends for its whole batch: run one image at a time, so that its map does not depend on others.
        if self.learner.settings.settle > 0.0 {
            1
        } else {
            model.engine.images_together().min(self.learner.images())
        }
    }

    fn steps(&self, _: usize) -> u64 {
        let times = if self.path { 1 + PATH.len() } else { 1 };
        (times * self.learner.settings.iterations) as u64
    }
}

impl ReliableExplainer {
    /// Explanations of the requested classes of each image, all learned in the same batches.
    fn explain_prepared(
        &mut self,
        model: &Model,
        asked: &[(&Prepared, Vec<usize>)],
        progress: &mut dyn Progress,
    ) -> Result<Vec<Vec<Explanation>>> {
        // The scale of an image is that of its top-1 query, whether or not it was requested.
        let with_top1 = |(prepared, classes): &(&Prepared, Vec<usize>)| {
            let top1 = Some(argmax(&prepared.reference)).filter(|top1| !classes.contains(top1));
            classes.iter().copied().chain(top1).collect::<Vec<_>>()
        };
        let all: Vec<Vec<usize>> = asked.iter().map(with_top1).collect();
        let cases: Vec<(&Prepared, usize)> =
            asked.iter().zip(&all).flat_map(|((p, _), all)| all.iter().map(|&c| (*p, c))).collect();
        let learned = self.learner.learn_all(model, &cases, progress)?;
        let lambdas: Vec<f32> = learned.iter().map(|l| l.lambda).collect();
        let mut other = self.learn_paths(model, &cases, (&learned, &lambdas), progress)?.into_iter();
        let mut learned = learned.into_iter();
        let mut explained = vec![];
        for ((prepared, classes), all) in asked.iter().zip(&all) {
            let learned: Vec<Learned> = learned.by_ref().take(all.len()).collect();
            let other: Vec<_> = other.by_ref().take(all.len()).collect();
            let features = self.extent.as_mut().map(|e| e.features(model, prepared.image())).transpose()?;
            explained.push(self.explanations(model, prepared, classes, learned, &other, features.as_ref()));
        }
        Ok(explained)
    }

    /// For each case the masks at the other λ of [`PATH`], learned again; empty if the path was not requested.
    fn learn_paths(
        &mut self,
        model: &Model,
        cases: &[(&Prepared, usize)],
        (like, lambdas): (&[Learned], &[f32]),
        progress: &mut dyn Progress,
    ) -> Result<Vec<Vec<Learned>>> {
        let mut paths: Vec<Vec<Learned>> = cases.iter().map(|_| vec![]).collect();
        for factor in PATH.iter().filter(|_| self.path) {
            let lambdas: Vec<f32> = lambdas.iter().map(|lambda| lambda * factor).collect();
            let learned = self.learner.learn_at(model, cases, (like, &lambdas), progress)?;
            paths.iter_mut().zip(learned).for_each(|(path, l)| path.push(l));
        }
        Ok(paths)
    }

    /// Explanations of an image's `classes`, which are the first of those whose masks were learned.
    fn explanations(
        &self,
        model: &Model,
        prepared: &Prepared,
        classes: &[usize],
        learned: Vec<Learned>,
        other: &[Vec<Learned>],
        features: Option<&Features>,
    ) -> Vec<Explanation> {
        let means: Vec<Vec<Map>> = learned.iter().map(|l| self.means(l, prepared)).collect();
        let top1 = argmax(&prepared.reference);
        let top = learned.iter().position(|l| l.query.class == top1).unwrap_or(0);
        let scales: Vec<f32> = means[top].iter().map(Map::max).collect();
        // The shared passes (unmasked, null) and those of the top-1 query are divided evenly among the requested queries.
        let own = learned.iter().chain(other.iter().flatten()).map(|l| l.passes);
        let extent = features.map(|_| Extent::PASSES);
        let passes: Passes = own.chain([Prepared::PASSES]).chain(extent).sum();
        let asked = learned.into_iter().zip(means).zip(other).take(classes.len()).enumerate();
        let mut explained: Vec<Explanation> = asked
            .map(|(q, ((l, means), other))| {
                let map = self.fused(model, &l, (&means, &scales), features);
                let path: Vec<PathPoint> = other
                    .iter()
                    .map(|l| PathPoint {
                        lambda: f64::from(l.lambda),
                        map: self.fused(model, l, (&self.means(l, prepared), &scales), features),
                        kept: kept(l),
                    })
                    .collect();
                let unstable = unstable(&map, &path);
                let warnings = warnings(&l, &map).into_iter().chain(unstable).collect();
                Explanation {
                    attribution: None,
                    map,
                    path,
                    log_odds: Some(l.query.log_odds(&prepared.reference)),
                    null_log_odds: Some(l.query.floor),
                    evidence: Some(l.query.evidence()),
                    judged: judged(&l, &self.learner.false_alarms),
                    weak: None,
                    lambda: Some(f64::from(l.lambda)),
                    kept: Some(kept(&l)),
                    passes: passes.share(q, classes.len()),
                    warnings,
                    levels: self.level_masks(l),
                }
            })
            .collect();
        Judged::together(&mut explained);
        explained.iter_mut().for_each(|e| e.set_aside(self.weak));
        explained
    }

    fn mask_shape(&self, level: usize, mask: &[f32]) -> [usize; 3] {
        let [_, h, w] = self.learner.levels[level].shape;
        [mask.len() / (h * w), h, w]
    }

    /// Fuses the levels' maps; a map learned on a closer look is put at its position; extended if requested.
    fn fused(
        &self,
        model: &Model,
        learned: &Learned,
        (means, scales): (&[Map], &[f32]),
        features: Option<&Features>,
    ) -> Map {
        let [_, height, width] = model.input_shape;
        let map = self.fusion.fuse(means, scales, [height, width], self.interpolation);
        let map = match learned.look() {
            Some(look) => laid_back(&map, look.part, [height, width]),
            None => map,
        };
        // Over the whole photo: an object may extend beyond the part of the closer look.
        match features {
            Some(features) => features.grown(&map),
            None => map,
        }
    }

    /// M_l, or A_l in the attribution form, of each level.
    fn means(&self, learned: &Learned, prepared: &Prepared) -> Vec<Map> {
        let mean = |(l, mask): (usize, &Vec<f32>)| {
            let shape = self.mask_shape(l, mask);
            let prepared = learned.look().and_then(Look::prepared).unwrap_or(prepared);
            match self.learner.feature(prepared, l).filter(|_| self.attribution) {
                Some(feature) => fuse::attribution_mean(mask, shape, &feature),
                None => fuse::channel_mean(mask, shape),
            }
        };
        learned.masks.iter().enumerate().map(mean).collect()
    }

    fn level_masks(&self, learned: Learned) -> Vec<LevelMask> {
        let part = learned.look().map(|look| look.part);
        let mask = |(l, data): (usize, Vec<f32>)| {
            let shape @ [_, height, width] = self.mask_shape(l, &data);
            let at_place = |part, plane: &[f32]| {
                laid_back(&Map { height, width, data: plane.to_vec() }, part, [height, width]).data
            };
            let data = match part {
                Some(part) => data.chunks(height * width).flat_map(|plane| at_place(part, plane)).collect(),
                None => data,
            };
            let mean = fuse::channel_mean(&data, shape);
            LevelMask { value: self.learner.levels[l].name.clone(), shape, data, mean }
        };
        learned.masks.into_iter().enumerate().map(mask).collect()
    }
}

/// How a query was judged, if windows were evaluated.
pub(super) fn judged(l: &Learned, rule: &FalseAlarms) -> Option<Judged> {
    let found = l.found.as_ref()?;
    Some(Judged {
        ground: found.ground,
        window: l.look().map_or_else(|| found.place.window.shares(found.place.grid), |look| look.part),
        p_value: found.p_value,
        calibrated: rule.is_calibrated(),
        discovery: true,
    })
}

/// Scores of the masked model.
fn kept(l: &Learned) -> Kept {
    Kept { score: f64::from(l.kept_logits[l.query.class]), log_odds: l.query.log_odds(&l.kept_logits) }
}

/// Factors of λ in the path, smallest first.
const PATH: [f32; 4] = [0.25, 0.5, 2.0, 4.0];

/// A warning if the map changes when λ is halved or doubled: if the brightest fifths overlap by less than half.
fn unstable(map: &Map, path: &[PathPoint]) -> Option<String> {
    if map.data.iter().all(|&v| v == 0.0) {
        return None;
    }
    let neighbours = path.iter().skip(PATH.len() / 2 - 1).take(2);
    let overlaps = neighbours.map(|p| (overlap(map, &p.map), p.lambda));
    let (overlap, lambda) = overlaps.min_by(|a, b| a.0.total_cmp(&b.0))?;
    (overlap < SAME).then(|| {
        format!(
            "the map changes with lambda ({:.0} % overlap of the brightest fifths at lambda {lambda:.2e}): trust only \
             regions present at every lambda",
            100.0 * overlap
        )
    })
}

/// Largest relative change of the evidence under a mask that gives no warning.
const LOST_EVIDENCE: f64 = 0.2;

fn warnings(l: &Learned, map: &Map) -> Vec<String> {
    let evidence = l.query.evidence();
    let kept = l.query.log_odds(&l.kept_logits) - l.query.floor;
    let change = kept / evidence - 1.0;
    // If only a loss of log-odds costs, masks may remove rivals at other positions.
    let meant = change > 0.0 && l.query.losses_only;
    if evidence <= 0.0
        || l.found.as_ref().is_some_and(|f| f.p_value > WEAK)
        || change.abs() <= LOST_EVIDENCE
        || meant
    {
        return vec![];
    }
    let faint = l.masks.iter().flatten().all(|&m| m < 0.5);
    vec![told(evidence, kept, (is_empty(map), faint))]
}

/// The warning for masks that do not keep the evidence. `kept`: log-odds above the null under the masks; `faint`: all mask values are
/// below one half.
fn told(evidence: f64, kept: f64, (empty, faint): (bool, bool)) -> String {
    let share = kept / evidence;
    if empty || faint && (0.0..=1.0).contains(&share) && kept > 0.0 {
        format!(
            "the evidence ({evidence:+.2} log-odds above the null) is less than a mask costs at this lambda; a smaller lambda may show it"
        )
    } else if kept <= 0.0 {
        format!(
            "the mask lost the class; do not read this map (log-odds above the null: {evidence:+.2} in the photo, {kept:+.2} under \
             the mask); use a smaller lambda or more iterations"
        )
    } else if share > 1.0 {
        format!(
            "the masked model is more certain than the model ({kept:+.2} log-odds above the null instead of {evidence:+.2}): the map leaves \
             out evidence against the class; use more iterations or a smaller lambda"
        )
    } else {
        format!(
            "the masked model keeps {:.0} % of the evidence: the map shows only decisive parts; use a smaller lambda or \
             more iterations to see the rest",
            100.0 * share
        )
    }
}

#[cfg(test)]
mod tests {
    use super::told;

    #[test]
    fn what_is_told_of_masks_depends_on_what_they_keep() {
        let line = |evidence, kept| told(evidence, kept, (false, false));
        // As for a photo with little evidence whose mask ended far below the null.
        let lost = line(0.06, -3.49);
        assert!(lost.starts_with("the mask lost the class; do not read this map"), "{lost}");
        assert!(!lost.contains('%'), "{lost}");
        assert!(line(8.0, 2.0).contains("keeps 25 % of the evidence"));
        let surer = line(0.06, 3.49);
        assert!(surer.contains("more certain than the model") && !surer.contains('%'), "{surer}");
        // Faint masks with which the model is more certain do not mean that lambda is too large.
        assert!(told(1.3, 2.1, (false, true)).contains("more certain than the model"));
        assert!(told(1.3, 0.4, (false, true)).starts_with("the evidence (+1.30"));
        assert!(told(0.3, -0.2, (true, true)).starts_with("the evidence (+0.30"));
        assert!(told(5.0, -1.0, (false, true)).starts_with("the mask lost the class"));
    }
}
