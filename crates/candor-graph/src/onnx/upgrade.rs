//! Upgrades graphs of old operator sets, so that rewrites and rules see each operator in one form only:
//! axes, bounds and pads are inputs, never attributes.

use std::sync::Arc;

use crate::error::Result;
use crate::graph::{Attr, Graph, Node};
use crate::tensor::Tensor;

/// Oldest operator set that can be read.
pub(super) const OLDEST: i64 = 7;
/// Newest operator set that can be read.
pub(super) const NEWEST: i64 = 25;
/// Graphs are upgraded to at least this operator set.
const TARGET: i64 = 18;

/// (operator, attribute, position of the input that replaced it). Listed in order of position.
const MOVED: &[(&str, &str, usize)] = &[
    ("Clip", "min", 1),
    ("Clip", "max", 2),
    ("Pad", "pads", 1),
    ("Pad", "value", 2),
    ("Slice", "starts", 1),
    ("Slice", "ends", 2),
    ("Slice", "axes", 3),
    ("Squeeze", "axes", 1),
    ("Unsqueeze", "axes", 1),
    ("Split", "split", 1),
    ("Upsample", "scales", 1),
    ("TopK", "k", 1),
    ("ReduceSum", "axes", 1),
    ("ReduceMean", "axes", 1),
    ("ReduceMax", "axes", 1),
    ("ReduceMin", "axes", 1),
    ("ReduceProd", "axes", 1),
    ("ReduceL1", "axes", 1),
    ("ReduceL2", "axes", 1),
    ("ReduceLogSum", "axes", 1),
    ("ReduceLogSumExp", "axes", 1),
    ("ReduceSumSquare", "axes", 1),
];

/// Upgrades a graph in place.
pub(super) fn upgrade(graph: &mut Graph) -> Result<()> {
    let from = graph.opset;
    let mut nodes = std::mem::take(&mut graph.nodes);
    for node in nodes.iter_mut().filter(|n| n.domain.is_empty()) {
        attributes_to_inputs(graph, node)?;
        match node.op.as_str() {
            // Before operator set 13 the input was flattened at `axis` (default 1); the pass `softmax_axis`
            // resolves that once ranks are known.
            "Softmax" | "LogSoftmax" if from < 13 => {
                let axis = node.int("axis", 1);
                node.attrs.insert("axis".into(), Attr::Int(axis));
                node.attrs.insert(FLATTENED.into(), Attr::Int(1));
            }
            "BatchNormalization" => {
                node.attrs.remove("spatial");
                node.attrs.remove("momentum");
                node.outputs.truncate(1);
            }
            // Until operator set 11 its inputs were (x, scales), its coordinates asymmetric and rounded down.
            "Upsample" | "Resize" if from < 11 && !node.inputs.is_empty() => {
                node.op = "Resize".into();
                node.inputs.insert(1, None);
                let text = |v: &str| Attr::Text(v.into());
                node.attrs.insert("coordinate_transformation_mode".into(), text("asymmetric"));
                node.attrs.insert("nearest_mode".into(), text("floor"));
            }
            "Dropout" => {
                node.attrs.remove("ratio");
            }
            "Split" if from < 18 && node.input(1).is_none() => {
                node.attrs.insert("num_outputs".into(), Attr::Int(node.outputs.len() as i64));
            }
            _ => {}
        }
    }
    graph.nodes = nodes;
    graph.opset = from.max(TARGET);
    Ok(())
}

/// Marks a softmax with the semantics of operator sets below 13.
pub(crate) const FLATTENED: &str = "candor_flattened";

fn attributes_to_inputs(graph: &mut Graph, node: &mut Node) -> Result<()> {
    for &(_, attr, position) in MOVED.iter().filter(|(op, _, _)| *op == node.op) {
        let Some(value) = node.attrs.remove(attr) else { continue };
        let tensor = match value {
            Attr::Ints(v) => Tensor::ints(&v),
            Attr::Float(v) => Tensor::scalar(v),
            Attr::Floats(v) => Tensor::floats(&[v.len()], v)?,
            Attr::Int(v) => Tensor::ints(&[v]),
            other => {
                node.attrs.insert(attr.to_string(), other);
                continue;
            }
        };
        let id = graph.add_constant(&format!("{}_{attr}", node.name), Arc::new(tensor));
        while node.inputs.len() <= position {
            node.inputs.push(None);
        }
        node.inputs[position] = Some(id);
    }
    Ok(())
}
