//! Writes out the axes of a Squeeze without axes: those of size one, but not the batch axis, even for a batch of one.

use std::sync::Arc;

use crate::graph::Graph;
use crate::tensor::Tensor;

/// Gives each Squeeze whose input has a known shape explicit axes.
pub(super) fn squeeze_axes(graph: &mut Graph) {
    for i in 0..graph.nodes.len() {
        let node = &graph.nodes[i];
        if node.op != "Squeeze" || !node.domain.is_empty() || node.input(1).is_some() {
            continue;
        }
        let Some(shape) = node.input(0).and_then(|id| graph.shape(id)) else { continue };
        let axes: Vec<i64> =
            (0..shape.len()).filter(|&a| shape[a].fixed() == Some(1)).map(|a| a as i64).collect();
        let name = format!("{}_axes", node.name);
        let id = graph.add_constant(&name, Arc::new(Tensor::ints(&axes)));
        graph.nodes[i].inputs.resize(1, None);
        graph.nodes[i].inputs.push(Some(id));
    }
}
