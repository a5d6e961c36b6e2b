//! Levels of the hierarchy: the feature maps that are masked.

use std::collections::HashSet;

use candor_graph::error::GraphError;
use candor_graph::feature::{Feature, Layout};
use candor_graph::graph::{Graph, Node, ValueId};
use candor_graph::insert::dominators;
use candor_graph::rewrite::read_in_parts;
use candor_graph::shape::Dim;

use crate::error::{Error, ModelError, Result};
use crate::model::{Model, unknown_value};

/// Maximum number of automatically chosen levels.
const MAX_LEVELS: usize = 4;
/// Maximum size of an automatically chosen level, as the side of a square: 56 for a 224² input, 32 for a 32² one.
const MAX_SIDE: usize = 64;
/// Prefix of the names of values that rewrites make.
const MADE: &str = "candor_";
/// The L1 term of full masks at the default λ, in units of ln(K)²: the squared difference in log-odds between certainty and
/// chance among K classes. Chosen on twenty photos of imagenet/val and thirty of CIFAR-10 that are not used in any reported result.
const FULL_SPARSITY: f64 = 1.5;

/// A feature map that is masked.
#[derive(Clone, Debug, PartialEq)]
pub struct Level {
    /// Its value in the model's graph.
    pub value: ValueId,
    /// Name of the value.
    pub name: String,
    /// `[channels, height, width]`.
    pub shape: [usize; 3],
    /// Order of the value's axes.
    pub layout: Layout,
}

impl Level {
    fn of(graph: &Graph, value: ValueId) -> Option<Self> {
        let feature = Feature::of(graph, value)?;
        let name = graph.name(value).to_string();
        Some(Level { value, name, shape: feature.shape, layout: feature.layout })
    }

    /// The value as a feature map.
    pub fn feature(&self) -> Feature {
        Feature { value: self.value, layout: self.layout, shape: self.shape }
    }
}

/// The levels with these names, or the automatic ones if none is named.
///
/// # Errors
/// As [`named_levels`] and [`automatic_levels`].
pub fn choose(model: &Model, names: &[String]) -> Result<Vec<Level>> {
    if names.is_empty() { automatic_levels(model) } else { named_levels(model, names) }
}

/// λ at which the L1 term of full masks, λ Σ_l C_l √(H_l·W_l), is the same relative to ln(K)² for every model.
pub fn default_lambda(levels: &[Level], classes: usize) -> f64 {
    let size = |l: &Level| l.shape[0] as f64 * ((l.shape[1] * l.shape[2]) as f64).sqrt();
    FULL_SPARSITY * (classes.max(2) as f64).ln().powi(2) / levels.iter().map(size).sum::<f64>()
}

/// The last feature map of each spatial size through which every path from the image to the logits passes:
/// for a residual network the ends of its stages. At most the four coarsest, none with more than 64² positions, none without
/// spatial extent, and not the class score maps of a fully convolutional head. Finest first.
///
/// For a network with one spatial size (a vision transformer), the residual stream at 1/4, 2/4, 3/4 and 4/4 of the depth instead,
/// counting only the residual sums from which the logits can be reached from every position.
///
/// # Errors
/// [`Error::Model`] if there is none.
pub fn automatic_levels(model: &Model) -> Result<Vec<Level>> {
    let chosen = survey(model).into_iter().filter(|s| s.chosen).map(|s| s.level);
    let levels: Vec<Level> = chosen.collect();
    if levels.is_empty() {
        return Err(Error::model(&model.info.path, ModelError::NoLevel));
    }
    Ok(levels)
}

/// A feature map, and whether and why it is an automatic level.
#[derive(Clone, Debug)]
pub struct Surveyed {
    /// The feature map.
    pub level: Level,
    /// Whether it is one of [`automatic_levels`].
    pub chosen: bool,
    /// Why, or why not, in half a sentence.
    pub why: String,
}

/// All feature maps on every path to the logits, in order, each with the decision of [`automatic_levels`].
pub fn survey(model: &Model) -> Vec<Surveyed> {
    let maps = feature_maps(model);
    let in_parts = read_in_parts(&model.graph);
    let over_image: Vec<bool> = over_the_image(model, &maps)
        .into_iter()
        .zip(&maps)
        .map(|(over, l)| over && !in_parts.contains(&l.value))
        .collect();
    let candidates: Vec<Level> =
        maps.iter().zip(&over_image).filter(|(_, o)| **o).map(|(l, _)| l.clone()).collect();
    let small = |l: &Level| l.shape[1] * l.shape[2] <= MAX_SIDE * MAX_SIDE;
    let stream = residual_stream(&model.graph, &candidates);
    let one_size = candidates.windows(2).all(|w| w[0].shape[1..] == w[1].shape[1..]);
    let of_stream = one_size && stream.len() >= MAX_LEVELS && small(&stream[0]);
    let at = |k: usize| (k * stream.len()).div_ceil(MAX_LEVELS) - 1;
    let mut sizes: Vec<&[usize]> = candidates.iter().filter(|l| small(l)).map(|l| &l.shape[1..]).collect();
    sizes.dedup();
    let coarsest = &sizes[sizes.len().saturating_sub(MAX_LEVELS)..];
    let judge = |level: &Level, over_image: bool| -> (bool, String) {
        let size = &level.shape[1..];
        let last = candidates.iter().rfind(|l| l.shape[1..] == *size) == Some(level);
        if in_parts.contains(&level.value) {
            (false, "only some of its places are read; a later one has these".into())
        } else if !over_image {
            (false, "its grid is not one over the whole image, or is finer than one before".into())
        } else if of_stream {
            match (1..=MAX_LEVELS).find(|&k| stream[at(k)] == *level) {
                Some(k) => (
                    true,
                    format!("residual sum {} of {}, {k}/{MAX_LEVELS} of the depth", at(k) + 1, stream.len()),
                ),
                None => {
                    (false, "all have one size; only residual sums at quarters of the depth are taken".into())
                }
            }
        } else if !small(level) {
            (false, format!("has more than {MAX_SIDE} × {MAX_SIDE} places"))
        } else if !last {
            (false, "a later feature map has the same size".into())
        } else if !coarsest.contains(&size) {
            (false, format!("finer than the {MAX_LEVELS} coarsest"))
        } else {
            (true, "the last of its size on every path to the logits".into())
        }
    };
    let surveyed = |(level, over_image): (&Level, bool)| {
        let (chosen, why) = judge(level, over_image);
        Surveyed { level: level.clone(), chosen, why }
    };
    maps.iter().zip(over_image).map(surveyed).collect()
}

/// For each map, whether its grid covers the whole image: it is computed position by position from the image or has its aspect ratio, to
/// within a cell, and it is no finer than an earlier one. Windows and attention heads (N×windows×49×C, for example) are of rank four,
/// too, and are therefore read as feature maps.
fn over_the_image(model: &Model, maps: &[Level]) -> Vec<bool> {
    let [_, height, width] = model.input_shape;
    let grids = grids_of_the_image(&model.graph, model.input);
    let mut cells = usize::MAX;
    let lies = |l: &Level| {
        let [_, h, w] = l.shape;
        let proportional = (h * width).abs_diff(w * height) <= height.max(width) || grids.contains(&l.value);
        let finer = h * w > cells;
        if proportional && !finer {
            cells = h * w;
        }
        proportional && !finer
    };
    maps.iter().map(lies).collect()
}

/// Values of rank four whose last two axes are those of the image, possibly strided: outputs of windows and of positionwise operators.
fn grids_of_the_image(graph: &Graph, input: ValueId) -> HashSet<ValueId> {
    // These move or merge axes, or combine all positions.
    const OTHERWISE: [&str; 12] = [
        "Transpose",
        "Reshape",
        "Flatten",
        "MatMul",
        "Gemm",
        "Gather",
        "Einsum",
        "DepthToSpace",
        "SpaceToDepth",
        "Expand",
        "Shape",
        "Tile",
    ];
    let mut grids = HashSet::from([input]);
    for node in &graph.nodes {
        let mut features =
            node.inputs.iter().flatten().filter(|&&id| graph.constant(id).is_none()).peekable();
        let over = features.peek().is_some() && features.all(|id| grids.contains(id));
        let places = |id: &ValueId| matches!(graph.shape(*id).as_deref(), Some([_, _, Dim::Fixed(h), Dim::Fixed(w)]) if h * w > 1);
        // Per-channel factors (squeeze and excitation) do not move positions.
        let mut read = node
            .inputs
            .iter()
            .flatten()
            .filter(|&&id| graph.constant(id).is_none() && places(&id))
            .peekable();
        let scaled = read.peek().is_some() && read.all(|id| grids.contains(id));
        if (over || scaled) && !OTHERWISE.contains(&node.op.as_str()) {
            grids.extend(node.outputs.iter().flatten().filter(|id| places(id)));
        }
    }
    grids
}

/// The sums of two computed values among the feature maps. If the logits depend only on the class token, the sums after the last
/// attention are left out: the logits do not depend on their other tokens.
fn residual_stream(graph: &Graph, maps: &[Level]) -> Vec<Level> {
    let position = |value: ValueId| graph.nodes.iter().position(|n| n.outputs.contains(&Some(value)));
    let computed = |n: &Node| n.inputs.iter().flatten().all(|&id| graph.constant(id).is_none());
    let mixing = graph.nodes.iter().rposition(|n| n.op == "MatMul" && computed(n));
    let reads_class_token = |n: &Node| {
        let ints = |i: usize| n.input(i).and_then(|id| graph.known_ints(id));
        let tokens = n.input(0).and_then(|id| graph.shape(id)).is_some_and(|s| s.len() == 3);
        let one = match n.op.as_str() {
            "Gather" => n.int("axis", 0) == 1 && ints(1).is_some_and(|i| i.len() <= 2),
            "Slice" => {
                ints(3) == Some(vec![1])
                    && ints(1) == Some(vec![0])
                    && ints(2).is_some_and(|e| matches!(e[..], [1 | 2]))
            }
            _ => false,
        };
        tokens && one
    };
    let last = mixing.filter(|&m| graph.nodes[m..].iter().any(reads_class_token));
    let is_sum = |l: &&Level| {
        position(l.value).is_some_and(|p| {
            graph.nodes[p].op == "Add" && computed(&graph.nodes[p]) && last.is_none_or(|last| p < last)
        })
    };
    maps.iter().filter(is_sum).cloned().collect()
}

/// Levels by the names of their values, sorted from fine to coarse.
///
/// # Errors
/// [`Error::Graph`] for a name that does not exist (the nearest are suggested), is not a feature map, or is not
/// between the image and the logits.
pub fn named_levels(model: &Model, names: &[String]) -> Result<Vec<Level>> {
    let at = |e| Error::graph(&model.info.path, e);
    let down = model.graph.descendants(&[model.input]);
    let up = model.graph.ancestors(&[model.logits]);
    let mut levels = vec![];
    for name in names {
        let value = model.graph.find(name).filter(|v| down.contains(v) && up.contains(v));
        let value = value.ok_or_else(|| at(unknown_value(&model.graph, name, "a level")))?;
        if levels.iter().any(|l: &Level| l.value == value) {
            continue;
        }
        let level = Level::of(&model.graph, value).ok_or_else(|| at(no_feature_map(&model.graph, value)))?;
        levels.push(level);
    }
    levels.sort_by_key(|l| std::cmp::Reverse(l.shape[1] * l.shape[2]));
    Ok(levels)
}

/// All feature maps through which every path to the logits passes, in order.
pub fn feature_maps(model: &Model) -> Vec<Level> {
    let graph = &model.graph;
    let weighted = graph.nodes.iter().filter(|n| matches!(n.op.as_str(), "Conv" | "Gemm" | "MatMul"));
    // Values before the last weighted layer. The class score maps are after it.
    let before_weights: Vec<ValueId> = weighted.filter_map(|n| n.input(0)).collect();
    let before_weights = graph.ancestors(&before_weights);
    let grids = grids_of_the_image(graph, model.input);
    // A single row or column of cells over the image counts as a map, too.
    let spread = |l: &Level, grid: bool| {
        let (short, long) = (l.shape[1].min(l.shape[2]), l.shape[1].max(l.shape[2]));
        short > 1 || (grid && long > 1)
    };
    // Values that a rewrite made inside a node of the file have no name in the file.
    let producers = graph.producers();
    let is_within = |v: ValueId| {
        graph.name(v).starts_with(MADE) && producers.get(&v).is_some_and(|&i| graph.nodes[i].is_made())
    };
    dominators(graph, model.input, model.logits)
        .into_iter()
        .filter(|&v| before_weights.contains(&v) && !is_within(v))
        .filter_map(|value| Level::of(graph, value).filter(|l| spread(l, grids.contains(&value))))
        .collect()
}

fn no_feature_map(graph: &Graph, value: ValueId) -> GraphError {
    let shape = candor_graph::shape::display(graph.shape(value).as_deref());
    GraphError::Tensor {
        tensor: graph.name(value).to_string(),
        reason: format!(
            "has shape {shape}: neither N×C×H×W nor tokens of a grid; choose a feature map (see `candor inspect`)"
        ),
    }
}
