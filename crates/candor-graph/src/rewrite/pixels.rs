//! Integer inputs: pixels of 0 to 255 that the model itself converts to floats and scales.

use std::collections::HashSet;

use crate::builder::{Builder, Expr};
use crate::error::Result;
use crate::graph::{Graph, Node, ValueId};
use crate::shape::infer;
use crate::tensor::DataType;

/// Changes an integer input to a float input that holds the same numbers, so that it can be differentiated: casts of it to float
/// are removed, and DequantizeLinear becomes arithmetic.
///
/// # Errors
/// [`crate::error::GraphError`] if the graph is malformed.
pub fn take_floats(graph: &mut Graph, input: ValueId) -> Result<()> {
    graph.set_type(input, DataType::Float);
    let mut pixels = HashSet::from([input]);
    let nodes = std::mem::take(&mut graph.nodes);
    let builder = Builder::new(std::mem::take(graph));
    for mut node in nodes {
        let reads = node.input(0).is_some_and(|id| pixels.contains(&id));
        match node.op.as_str() {
            // The same integers, rearranged.
            "Transpose" | "Reshape" | "Slice" | "Squeeze" | "Unsqueeze" | "Identity" | "Flatten"
            | "Gather" | "Pad" | "Split" | "Concat"
                if reads =>
            {
                pixels.extend(node.outputs.iter().flatten().copied());
            }
            "DequantizeLinear" if reads => {
                builder.made_from(&node, || dequantized(&builder, &node));
                continue;
            }
            // A cast to another integer type: the values are integers already.
            "Cast" if reads && node.int("to", 1) != 1 => {
                (node.op, node.attrs) = ("Identity".to_string(), Default::default());
                pixels.extend(node.outputs.iter().flatten().copied());
            }
            _ => {}
        }
        builder.push(node);
    }
    *graph = builder.finish()?;
    infer(graph)
}

/// (x − zero)·scale
fn dequantized(b: &Builder, node: &Node) {
    let value = |i: usize| node.input(i).map(|id| b.value(id));
    let (Some(x), Some(scale)) = (value(0), value(1)) else { return b.push(node.clone()) };
    let shifted: Expr<'_> = value(2).map_or(x, |zero| x - zero.to_float());
    let inputs = vec![Some(shifted.id()), Some(scale.id())];
    b.push(Node { op: "Mul".to_string(), inputs, attrs: Default::default(), ..node.clone() });
}

/// Smallest divisor and smallest subtracted mean from which a model's first arithmetic shows that its input is pixels of 0 to 255, not
/// already scaled.
const LEAST_SCALE: f32 = 32.0;

/// Whether the first arithmetic on an input rescales pixels of 0 to 255: division by a number above 32, multiplication by one below
/// 1/32, or subtraction of a mean above 32.
pub fn reads_pixels(graph: &Graph, input: ValueId) -> bool {
    let mut same = HashSet::from([input]);
    for node in graph.nodes.iter().filter(|n| n.domain.is_empty()) {
        let Some(at) = node.inputs.iter().position(|i| i.is_some_and(|id| same.contains(&id))) else {
            continue;
        };
        let other = || {
            let tensor = node.input(1 - at.min(1)).and_then(|id| graph.constant(id));
            let values = tensor.and_then(|t| t.as_floats()).filter(|v| !v.is_empty())?;
            Some(values.iter().map(|v| v.abs()).fold(0.0, f32::max))
        };
        match node.op.as_str() {
            "Transpose" | "Reshape" | "Identity" | "Cast" | "Gather" | "Slice" | "Concat" | "Pad"
            | "Split" | "Unsqueeze" | "Squeeze"
                if at == 0 || node.op == "Concat" =>
            {
                same.extend(node.outputs.iter().flatten().copied());
            }
            "Div" | "Sub" if at == 0 => return other().is_some_and(|v| v > LEAST_SCALE),
            "Add" => return other().is_some_and(|v| v > LEAST_SCALE),
            "Mul" => return other().is_some_and(|v| v < 1.0 / LEAST_SCALE),
            _ => return false,
        }
    }
    false
}
