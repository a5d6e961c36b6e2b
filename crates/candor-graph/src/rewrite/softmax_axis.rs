//! Translates the softmax of operator sets below 13, which flattened its input at `axis`, to its current meaning.

use crate::error::{GraphError, Result};
use crate::graph::{Attr, Graph, Node, Origin, ValueId};
use crate::onnx::upgrade::FLATTENED;
use crate::shape::infer;

/// Replaces flattened softmaxes by Flatten → Softmax → Reshape, or by a plain one on the last axis.
pub(super) fn softmax_axis(graph: &mut Graph) -> Result<()> {
    if !graph.nodes.iter().any(|n| n.attrs.contains_key(FLATTENED)) {
        return Ok(());
    }
    for mut node in std::mem::take(&mut graph.nodes) {
        if node.attrs.remove(FLATTENED).is_none() {
            graph.nodes.push(node);
            continue;
        }
        let input = node.input(0).ok_or_else(|| GraphError::node(&node, "has no input"))?;
        let shape = graph.shape(input);
        let shape =
            shape.ok_or_else(|| GraphError::unknown_shape(&node, "the rank of its input is not known"))?;
        let rank = shape.len() as i64;
        let axis = node.int("axis", 1);
        let axis = if axis < 0 { axis + rank } else { axis };
        // All dimensions after the axis are one: flattening changes only the axis.
        if shape.iter().skip(axis as usize + 1).all(|d| d.fixed() == Some(1)) {
            node.attrs.insert("axis".into(), Attr::Int(axis));
            graph.nodes.push(node);
        } else {
            let nodes = flattened(graph, &node, input, axis);
            graph.nodes.extend(nodes);
        }
    }
    infer(graph)
}

fn flattened(graph: &mut Graph, node: &Node, input: ValueId, axis: i64) -> [Node; 4] {
    let flat = graph.add_value(&format!("{}_flat", node.name), None);
    let soft = graph.add_value(&format!("{}_soft", node.name), None);
    let target = graph.add_value(&format!("{}_shape", node.name), None);
    let make = |op: &str, inputs: &[_], output, attrs: &[(&str, Attr)]| {
        let name = format!("{}_{op}", node.name);
        let attrs = attrs.iter().map(|(k, v)| ((*k).to_string(), v.clone())).collect();
        Node::new(&name, op, inputs.to_vec(), vec![Some(output)], attrs)
            .with_origin(Some(Origin::made_from(node)))
    };
    [
        make("Flatten", &[Some(input)], flat, &[("axis", Attr::Int(axis))]),
        make(&node.op, &[Some(flat)], soft, &[("axis", Attr::Int(-1))]),
        make("Shape", &[Some(input)], target, &[]),
        make("Reshape", &[Some(soft), Some(target)], node.output(), &[]),
    ]
}
