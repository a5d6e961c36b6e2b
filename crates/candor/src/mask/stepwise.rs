//! The search of the reliable mask as graphs and numbers, for a caller that runs its steps in an ONNX runtime: like [`super::learn`],
//! with windows, closer looks and an adapted λ. The page that explains in a browser uses it.

use candor_graph::error::{GraphError, Result};
use candor_graph::graph::{Graph, ValueId};
use candor_graph::rewrite;
use serde::Serialize;

use super::adam::search_corrections;
use super::fuse::MIN_SCALE;
use super::keep;
use super::levels::Level;
use super::look::MARGINS;
use super::masked::{Masked, l1_weight, masked};
use super::objective::Objective;
use super::places::{self, CROWD, CROWD_RANK, Parts, has_crowd};
use super::settings::Settings;
use super::step::{self, KNOBS, START};
use crate::explanation::{LEAST_EVIDENCE, LEAST_MASS};
use crate::false_alarms::{DISCOVERIES, EVIDENCE, FalseAlarms, PARTS, WEAK};
use crate::map::Interpolation;
use crate::model::Model;

/// A search as graphs, which pass values on by name, and the numbers that control it.
pub struct Stepwise {
    /// From the image to the crossing values; `None` if only the image itself crosses.
    pub before: Option<Graph>,
    /// From masks and crossing values to the logits.
    pub answer: Graph,
    /// A step of Adam.
    pub step: Graph,
    /// From the image to the coarsest level, and from there, under a mask, to the logits; present if windows are evaluated.
    pub windows: Option<[Graph; 2]>,
    /// Numbers and names for the caller.
    pub plan: Plan,
}

/// What a caller needs to run the graphs.
#[derive(Debug, Serialize)]
pub struct Plan {
    /// Values passed from the first graph to the graphs after the cut, including the image if it crosses.
    crossing: Vec<String>,
    /// Name of the logits in [`Stepwise::answer`] and [`Stepwise::step`].
    logits: String,
    /// Inputs of the step: Adam's two corrections.
    corrections: [String; 2],
    /// Input of the step: λ, N×1×1×1.
    lambda_input: String,
    /// Inputs of the step: one-hot class, rivals, reference (N×K each), floor, target (N×1).
    queries: Vec<String>,
    /// Output of the step: size of the masks before it, N.
    size: String,
    /// State of the step, as pairs of input and output: the masks, then Adam's two moments.
    state: Vec<[String; 2]>,
    levels: Vec<Site>,
    /// Adam's corrections for each step.
    corrected: Vec<[f32; 2]>,
    /// The step from which masks are considered.
    first: usize,
    lambda: f32,
    /// Target fraction of the evidence; if it is above 0, λ is adapted to what the masks keep.
    aim: f64,
    least: f64,
    gain: f64,
    exponent: [f64; 2],
    retry: f32,
    rounds: usize,
    /// Initial masks inside and outside a class's window.
    start: [f32; 2],
    /// Whether a class without evidence gets the empty mask without a search.
    exact: bool,
    /// Lower bound of the null log-odds, if there is one.
    chance: Option<f64>,
    multi_label: bool,
    leave_out_top1: bool,
    /// A top-1 mask whose maximum is below this does not set the scale.
    min_scale: f32,
    nearest: bool,
    /// Whether classes are judged, by windows or by the whole photo.
    places: bool,
    windows: Option<Windows>,
    look: bool,
    margins: [f64; 3],
    false_alarms: FalseAlarms,
    parts: [f64; 2],
    evidence: f64,
    weak: f64,
    discoveries: f64,
    least_evidence: f64,
    least_mass: f64,
    show_weak: bool,
}

#[derive(Debug, Serialize)]
struct Site {
    name: String,
    /// Shape of the mask: channels, height, width.
    shape: [usize; 3],
    /// Weight of the mask's sum in the size of the masks.
    weight: f32,
}

#[derive(Debug, Serialize)]
struct Windows {
    mask: String,
    crossing: Vec<String>,
    logits: String,
    grid: [usize; 2],
    rows: usize,
    /// First and one past the last row, first and one past the last column; factor of the features there.
    all: Vec<([usize; 4], f32)>,
    /// The crowd is the evidence that one in this many classes has, but not that of a higher rank than the second number.
    crowd: [usize; 2],
}

/// Choices of the caller besides the settings of the search.
pub struct Shown {
    /// How levels are resized to the image.
    pub interpolation: Interpolation,
    /// Whether maps with weak evidence are shown.
    pub weak: bool,
    /// How much evidence absent classes show; the built-in rule if `None`.
    pub false_alarms: Option<FalseAlarms>,
}

/// The search of a model with masks at `levels`.
///
/// # Errors
/// A node without a gradient rule, or a graph that is malformed.
pub fn stepwise(model: &Model, levels: &[Level], settings: &Settings, shown: Shown) -> Result<Stepwise> {
    let masked = masked(model, levels, settings)?;
    let step = step::graph(&masked, settings)?;
    let Masked { cut, sites, .. } = &masked;
    let logits = cut.suffix.outputs[0];
    let masks: Vec<ValueId> = sites.iter().map(|s| s.mask).collect();
    let mut answer = cut.suffix.clone();
    answer.outputs = vec![logits];
    rewrite::remove_dead(&mut answer);
    let read = |id: &&ValueId| answer.nodes.iter().any(|n| n.inputs.contains(&Some(**id)));
    let inputs = masks.iter().chain(cut.crossing.iter().filter(read)).copied().collect();
    answer.inputs = inputs;
    answer.check()?;

    let name = |id: ValueId| step.name(id).to_string();
    let state_inputs = step.inputs.iter().skip(KNOBS).take(3 * sites.len());
    let state = state_inputs.zip(step.outputs.iter().skip(2));
    let [first, second, lambda_input, ..] = step.inputs[..] else {
        return Err(GraphError::Malformed("a step without its knobs".into()));
    };
    let coarsest = levels.last().filter(|_| settings.places && has_crowd(model.classes));
    let parts = coarsest.map(|level| places::parts(model, level)).transpose()?;
    let fitted = settings.objective == Objective::Evidence;
    let chance = -(model.classes.saturating_sub(1).max(1) as f64).ln();
    let plan = Plan {
        crossing: cut.crossing.iter().map(|&id| name(id)).collect(),
        logits: name(logits),
        corrections: [name(first), name(second)],
        lambda_input: name(lambda_input),
        queries: masked.queries.iter().map(|&id| name(id)).collect(),
        size: name(step.outputs[1]),
        state: state.map(|(&input, &output)| [name(input), name(output)]).collect(),
        levels: levels
            .iter()
            .zip(sites)
            .map(|(l, s)| Site { name: l.name.clone(), shape: s.mask_shape, weight: l1_weight(s) })
            .collect(),
        corrected: (1..=settings.iterations).map(|i| search_corrections(settings, i as i32)).collect(),
        first: settings.first(),
        lambda: masked.lambda,
        aim: if fitted { settings.keep } else { 0.0 },
        least: keep::LEAST,
        gain: keep::GAIN,
        exponent: keep::EXPONENT,
        retry: keep::RETRY,
        rounds: keep::ROUNDS,
        start: START,
        exact: settings.exact && fitted,
        chance: (settings.floor_at_chance && model.head.is_exclusive()).then_some(chance),
        multi_label: model.is_sigmoid(),
        leave_out_top1: settings.leave_out_top1,
        min_scale: MIN_SCALE,
        nearest: shown.interpolation == Interpolation::Nearest,
        places: settings.places,
        windows: parts.as_ref().map(Windows::of),
        look: settings.look && has_crowd(model.classes),
        margins: MARGINS,
        false_alarms: shown.false_alarms.unwrap_or_else(|| FalseAlarms::built_in(model.classes)),
        parts: PARTS,
        evidence: EVIDENCE,
        weak: WEAK,
        discoveries: DISCOVERIES,
        least_evidence: LEAST_EVIDENCE,
        least_mass: LEAST_MASS,
        show_weak: shown.weak,
    };
    let before = Some(masked.cut.prefix).filter(|prefix| !prefix.nodes.is_empty());
    let windows = parts.map(|parts| [parts.cut.prefix, parts.cut.suffix]);
    Ok(Stepwise { before, answer, step, windows, plan })
}

impl Windows {
    fn of(parts: &Parts) -> Self {
        let Parts { cut, mask, windows, grid, rows } = parts;
        let name = |id: ValueId| cut.suffix.name(id).to_string();
        let all = windows.iter().map(|w| {
            let [top, bottom] = w.rows;
            let [left, right] = w.columns;
            ([top, bottom, left, right], places::gain(w, *grid))
        });
        Windows {
            mask: name(*mask),
            crossing: cut.crossing.iter().map(|&id| name(id)).collect(),
            logits: name(cut.suffix.outputs[0]),
            grid: *grid,
            rows: *rows,
            all: all.collect(),
            crowd: [CROWD, CROWD_RANK],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::RTen;
    use crate::mask::levels;
    use crate::model::ModelOptions;
    use candor_scenes::embedded;

    #[test]
    fn the_plan_names_what_the_graphs_take_and_give() {
        let engine = Box::new(RTen::new(1));
        let model =
            Model::from_bytes("scenes.onnx", embedded::MODEL, &ModelOptions::default(), engine).unwrap();
        let levels = levels::choose(&model, &[]).unwrap();
        let shown = Shown { interpolation: Interpolation::Bilinear, weak: false, false_alarms: None };
        let Stepwise { before, answer, step, windows, plan } =
            stepwise(&model, &levels, &Settings::default(), shown).unwrap();
        let names = |graph: &Graph, ids: &[ValueId]| -> Vec<String> {
            ids.iter().map(|&id| graph.name(id).to_string()).collect()
        };
        let taken = names(&step, &step.inputs);
        let [first, second] = plan.corrections.clone();
        let state = plan.state.iter().map(|[input, _]| input.clone());
        let rest = plan.queries.iter().chain(&plan.crossing).cloned();
        let told: Vec<String> =
            [first, second, plan.lambda_input].into_iter().chain(state).chain(rest).collect();
        assert_eq!(taken, told);
        let outputs = plan.state.iter().map(|[_, output]| output.clone());
        let given: Vec<String> = [plan.logits.clone(), plan.size].into_iter().chain(outputs).collect();
        assert_eq!(names(&step, &step.outputs), given);
        assert_eq!(plan.state.len(), 3 * plan.levels.len());
        assert_eq!(names(&answer, &answer.outputs), [plan.logits]);
        let known = |name: &String| taken.contains(name);
        assert!(names(&answer, &answer.inputs).iter().all(known));
        let before = before.expect("layers before the first level");
        assert!(names(&before, &before.outputs).iter().all(|name| plan.crossing.contains(name)));
        assert!(windows.is_none() && plan.windows.is_none(), "twelve classes have no crowd");
    }
}
