//! Levels of the hierarchy: which feature maps are masked.

use candor_graph::graph::ValueId;
use candor_graph::insert::{dominators, image_shape};

use crate::error::{Error, Result};
use crate::model::{Model, unknown_value};

/// Most levels that are chosen automatically.
const MAX_LEVELS: usize = 4;
/// Largest side of an automatically chosen level: 56 for a 224² input, 32 for a 32² one.
const MAX_SIDE: usize = 64;

/// A feature map that is masked.
#[derive(Clone, Debug, PartialEq)]
pub struct Level {
    /// Its value in the model's graph.
    pub value: ValueId,
    /// Name of the value.
    pub name: String,
    /// `[channels, height, width]`.
    pub shape: [usize; 3],
}

/// The levels of those names, or the automatic ones if none is named.
///
/// # Errors
/// As [`named_levels`] and [`automatic_levels`].
pub fn choose(model: &Model, names: &[String]) -> Result<Vec<Level>> {
    if names.is_empty() { automatic_levels(model) } else { named_levels(model, names) }
}

/// The last feature map of each spatial size that everything on the way from the image to the logits passes through:
/// for a residual network the ends of its stages. At most the four coarsest, none larger than 64 a side, none without
/// spatial extent, and not the class score maps of a fully convolutional head. Finest first.
///
/// # Errors
/// [`Error::Model`] if there is none.
pub fn automatic_levels(model: &Model) -> Result<Vec<Level>> {
    let candidates = feature_maps(model);
    let mut levels: Vec<Level> = vec![];
    for level in candidates {
        match levels.last_mut() {
            Some(last) if last.shape[1..] == level.shape[1..] => *last = level,
            _ => levels.push(level),
        }
    }
    levels.retain(|l| l.shape[1].max(l.shape[2]) <= MAX_SIDE);
    let first = levels.len().saturating_sub(MAX_LEVELS);
    levels.drain(..first);
    if levels.is_empty() {
        return Err(Error::Model {
            path: model.info.path.clone(),
            reason:
                "no feature map between image and logits is passed by everything; name levels with --levels \
                     (see `candor inspect`)"
                    .to_string(),
        });
    }
    Ok(levels)
}

/// Levels by the names of their values, sorted from fine to coarse.
///
/// # Errors
/// [`Error::Graph`] for a name that does not exist (the nearest are suggested), is no feature map, or does not lie
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
        let shape = image_shape(&model.graph, value).map_err(at)?;
        levels.push(Level { value, name: name.clone(), shape });
    }
    levels.sort_by_key(|l| std::cmp::Reverse(l.shape[1] * l.shape[2]));
    Ok(levels)
}

/// All feature maps that dominate the logits, in order.
pub fn feature_maps(model: &Model) -> Vec<Level> {
    let graph = &model.graph;
    let weighted = graph.nodes.iter().filter(|n| matches!(n.op.as_str(), "Conv" | "Gemm" | "MatMul"));
    // Values from which some weight is still to come. Behind the last one lie the class score maps.
    let before_weights: Vec<ValueId> = weighted.filter_map(|n| n.input(0)).collect();
    let before_weights = graph.ancestors(&before_weights);
    dominators(graph, model.input, model.logits)
        .into_iter()
        .filter(|v| before_weights.contains(v))
        .filter_map(|value| {
            let shape = image_shape(graph, value).ok()?;
            let spatial = shape[1] > 1 && shape[2] > 1;
            spatial.then(|| Level { value, name: graph.name(value).to_string(), shape })
        })
        .collect()
}
