//! Inserts masks into a graph, exposes values as outputs, and cuts the graph into the parts before and after the masks.

use std::collections::HashSet;

use crate::builder::{Builder, Expr};
use crate::error::{GraphError, Result};
use crate::feature::{Feature, Layout};
use crate::graph::{Graph, Node, ValueId};
use crate::shape::Dim;
use crate::tensor::{DataType, Tensor};

/// Whether a mask selects positions, features, or features at positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaskShape {
    /// N×1×H×W, broadcast over channels: selects positions only.
    Spatial,
    /// N×C×H×W: selects features at positions.
    Full,
    /// N×C×1×1, broadcast over positions: selects features only.
    Channel,
}

/// A mask that was put into a graph.
#[derive(Clone, Debug)]
pub struct MaskSite {
    /// The value that is masked.
    pub value: ValueId,
    /// Its shape without the batch: `[channels, height, width]`.
    pub value_shape: [usize; 3],
    /// The new input that holds the mask.
    pub mask: ValueId,
    /// The mask's shape without the batch: `[1 or channels, height or 1, width or 1]`.
    pub mask_shape: [usize; 3],
}

/// Multiplies each of `features` by a mask, a new input of the graph, wherever the value is read. The masks have the shapes of
/// [`MaskShape`], whatever the layout of the feature.
///
/// # Errors
/// [`GraphError`] if the graph is malformed.
pub fn insert_masks(graph: Graph, features: &[Feature], shape: MaskShape) -> Result<(Graph, Vec<MaskSite>)> {
    let mut graph = graph;
    let mut sites = vec![];
    for feature in features {
        let (value, [channels, height, width]) = (feature.value, feature.shape);
        let mask_shape = match shape {
            MaskShape::Spatial => [1, height, width],
            MaskShape::Full => [channels, height, width],
            MaskShape::Channel => [channels, 1, 1],
        };
        let batch = graph.shape(value).and_then(|s| s.first().copied()).unwrap_or(Dim::Unknown);
        let [own_channels, own_height, own_width] = mask_shape;
        let dims = [batch, Dim::Fixed(own_channels), Dim::Fixed(own_height), Dim::Fixed(own_width)];
        let name = format!("mask_{}", sites.len());
        // The product is placed right after the value's producer, so that the order stays topological.
        let split = graph.nodes.iter().position(|n| n.outputs.contains(&Some(value))).map_or(0, |i| i + 1);
        let rest = graph.nodes.split_off(split);
        let producer = split.checked_sub(1).map(|i| graph.nodes[i].clone());
        let builder = Builder::new(graph);
        let mask = builder.input(&name, DataType::Float, &dims);
        let product = || {
            let spread = if shape == MaskShape::Channel && feature.layout != Layout::ChannelsFirst {
                mask * builder.constant(Tensor::full(&[1, 1, height, width], 1.0))
            } else {
                mask
            };
            (builder.value(value) * feature.lay(spread, own_channels)).id()
        };
        let masked = match &producer {
            Some(node) => builder.made_from(node, product),
            None => product(),
        };
        let mask = mask.id();
        graph = builder.finish()?;
        let own = graph.nodes.len() - 1;
        graph.nodes.extend(rest);
        let product: Node = graph.nodes[own].clone();
        graph.replace_uses(value, masked, |n| n.name != product.name || n.op != "Mul");
        sites.push(MaskSite { value, value_shape: feature.shape, mask, mask_shape });
    }
    graph.check()?;
    Ok((graph, sites))
}

/// Replaces `value`, wherever it is read, by what `make` builds from the graph's inputs and constants; the new nodes come before all
/// others. Returns the value that was built.
///
/// # Errors
/// [`GraphError`] if `make` fails or the graph is malformed.
pub fn in_front(
    mut graph: Graph,
    value: ValueId,
    make: impl for<'b> FnOnce(&'b Builder) -> Result<Expr<'b>>,
) -> Result<(Graph, ValueId)> {
    let nodes = std::mem::take(&mut graph.nodes);
    let builder = Builder::new(graph);
    let made = make(&builder)?.id();
    let mut graph = builder.finish()?;
    let own: HashSet<ValueId> =
        graph.nodes.iter().flat_map(|n| n.outputs.iter().flatten().copied()).collect();
    graph.nodes.extend(nodes);
    graph.replace_uses(value, made, |n| !n.outputs.iter().flatten().any(|o| own.contains(o)));
    Ok((graph, made))
}

/// The `[channels, height, width]` of a value that is N×C×H×W.
///
/// # Errors
/// [`GraphError::Tensor`] if it has another rank or sizes that are not known.
pub fn image_shape(graph: &Graph, value: ValueId) -> Result<[usize; 3]> {
    let shape = graph.shape(value);
    match shape.as_deref() {
        Some([_, Dim::Fixed(c), Dim::Fixed(h), Dim::Fixed(w)]) => Ok([*c, *h, *w]),
        other => Err(GraphError::Tensor {
            tensor: graph.name(value).to_string(),
            reason: format!(
                "has shape {}, not N×C×H×W; choose a feature map (see `candor inspect`)",
                crate::shape::display(other)
            ),
        }),
    }
}

/// A graph cut in two: `prefix` runs once, `suffix` runs each time the separating inputs change.
#[derive(Debug)]
pub struct Cut {
    /// Computes `crossing` from the inputs that are not separating inputs. It has no outputs if only inputs cross.
    pub prefix: Graph,
    /// The rest: its inputs are the separating inputs followed by `crossing`.
    pub suffix: Graph,
    /// Values that the prefix passes to the suffix. Ids are those of the uncut graph.
    pub crossing: Vec<ValueId>,
}

impl Cut {
    /// Whether all crossing values are features with one row per image, so that a batch for the suffix can be stacked from images that
    /// the prefix processed one by one. Integers may depend on the batch: positions in a flattened batch, for example.
    pub fn crosses_in_rows(&self) -> bool {
        self.crossing.iter().all(|&id| is_feature(&self.suffix, id))
    }
}

/// Whether a value holds floats, or quantised floats, and not integers.
pub fn is_feature(graph: &Graph, id: ValueId) -> bool {
    graph.value(id).dtype.is_none_or(|t| t.is_float() || t.is_quantized())
}

/// Cuts a graph: the suffix is everything that depends on any of `separating` (inputs of the graph).
pub fn cut(graph: &Graph, separating: &[ValueId]) -> Cut {
    let late = graph.descendants(separating);
    let is_late = |n: &Node| n.outputs.iter().flatten().any(|o| late.contains(o));
    let mut crossing = vec![];
    let mut seen = HashSet::new();
    let read_late = graph.nodes.iter().filter(|n| is_late(n)).flat_map(|n| n.inputs.iter().flatten());
    for &id in read_late.chain(graph.outputs.iter()) {
        if !late.contains(&id) && graph.constant(id).is_none() && seen.insert(id) {
            crossing.push(id);
        }
    }
    let mut prefix = graph.clone();
    prefix.nodes.retain(|n| !is_late(n));
    prefix.inputs.retain(|i| !separating.contains(i));
    prefix.outputs = crossing.clone();
    crate::rewrite::remove_dead(&mut prefix);

    let mut suffix = graph.clone();
    suffix.nodes.retain(is_late);
    suffix.inputs = separating.iter().chain(&crossing).copied().collect();
    Cut { prefix, suffix, crossing }
}

/// Values through which every path from `input` to `output` passes, in order. Only float values are returned, although paths may
/// also pass through quantised ones.
pub fn dominators(graph: &Graph, input: ValueId, output: ValueId) -> Vec<ValueId> {
    let down = graph.descendants(&[input]);
    let up = graph.ancestors(&[output]);
    // Sizes computed from the image (Shape and what follows) are not a second path; quantised features are.
    let on_path = |id: &ValueId| down.contains(id) && up.contains(id) && is_feature(graph, *id);
    let mut readers: std::collections::HashMap<ValueId, usize> = std::collections::HashMap::new();
    for node in &graph.nodes {
        if node.outputs.iter().flatten().any(on_path) {
            for id in node.inputs.iter().flatten().filter(|i| on_path(i)) {
                *readers.entry(*id).or_default() += 1;
            }
        }
    }
    // Nodes are visited in topological order: all paths pass through a value if no other value is still to be read when it is produced.
    let mut open: HashSet<ValueId> = HashSet::from([input]);
    let mut found = vec![];
    for node in &graph.nodes {
        let outputs: Vec<ValueId> = node.outputs.iter().flatten().copied().filter(|o| on_path(o)).collect();
        if outputs.is_empty() {
            continue;
        }
        for id in node.inputs.iter().flatten() {
            if let Some(left) = readers.get_mut(id) {
                *left -= 1;
                if *left == 0 {
                    open.remove(id);
                }
            }
        }
        open.extend(&outputs);
        if let ([only], 1) = (outputs.as_slice(), open.len())
            && graph.value(*only).dtype.is_none_or(DataType::is_float)
        {
            found.push(*only);
        }
    }
    found
}
