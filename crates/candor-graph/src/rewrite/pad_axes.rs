//! Writes out the pads of a Pad that names axes, which not every engine supports.

use std::sync::Arc;

use crate::graph::Graph;
use crate::tensor::Tensor;

/// Replaces constant `pads` and `axes` by pads for all axes.
pub(super) fn pad_all_axes(graph: &mut Graph) {
    for i in 0..graph.nodes.len() {
        let node = &graph.nodes[i];
        if node.op != "Pad" || !node.domain.is_empty() {
            continue;
        }
        let ints = |k: usize| node.input(k).and_then(|id| graph.known_ints(id));
        let rank = node.input(0).and_then(|id| graph.shape(id)).map(|s| s.len());
        let (Some(pads), Some(axes), Some(rank)) = (ints(1), ints(3), rank) else { continue };
        if pads.len() != 2 * axes.len() {
            continue; // The engine will report what is wrong with it.
        }
        let mut all = vec![0; 2 * rank];
        for (k, &axis) in axes.iter().enumerate() {
            let axis = (if axis < 0 { axis + rank as i64 } else { axis }) as usize % rank.max(1);
            all[axis] = pads[k];
            all[axis + rank] = pads[k + axes.len()];
        }
        let name = format!("{}_pads", node.name);
        let id = graph.add_constant(&name, Arc::new(Tensor::ints(&all)));
        let node = &mut graph.nodes[i];
        node.inputs[1] = Some(id);
        node.inputs.truncate(3);
    }
}
