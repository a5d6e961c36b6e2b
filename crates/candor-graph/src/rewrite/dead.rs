//! Removes nodes that no output depends on.

use crate::graph::Graph;

/// Removes nodes that no output depends on. Inputs stay, used or not.
pub fn remove_dead(graph: &mut Graph) {
    let live = graph.ancestors(&graph.outputs);
    graph.nodes.retain(|n| n.outputs.iter().flatten().any(|o| live.contains(o)));
}
