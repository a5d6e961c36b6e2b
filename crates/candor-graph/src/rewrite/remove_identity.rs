//! Removes Identity and inference Dropout, and casts between floats (which are all 32 bits here).

use crate::graph::{Graph, Node};

/// Makes the readers of such a node read its input.
pub(super) fn remove_identity(graph: &mut Graph) {
    let mut index = 0;
    while index < graph.nodes.len() {
        let node = &graph.nodes[index];
        let (Some(input), true) = (node.input(0), is_identity(graph, node)) else {
            index += 1;
            continue;
        };
        let output = node.output();
        let is_output = graph.outputs.contains(&output);
        // An output keeps its name; a constant or an input cannot give up its own.
        let producer = graph.nodes.iter().any(|n| n.outputs.contains(&Some(input)));
        if is_output && (!producer || graph.outputs.contains(&input)) {
            index += 1;
            continue;
        }
        graph.nodes.remove(index);
        graph.replace_uses(output, input, |_| true);
        if is_output {
            graph.take_name(input, output);
        }
    }
}

fn is_identity(graph: &Graph, node: &Node) -> bool {
    let is_float = |i: Option<crate::graph::ValueId>| {
        i.and_then(|id| graph.value(id).dtype).is_some_and(crate::tensor::DataType::is_float)
    };
    match node.op.as_str() {
        _ if !node.domain.is_empty() => false,
        "Identity" => true,
        // Its mask output, if asked for, is of no use at inference.
        "Dropout" => node.outputs.iter().flatten().count() == 1,
        "Cast" => is_float(node.input(0)) && is_float(Some(node.output())),
        _ => false,
    }
}
