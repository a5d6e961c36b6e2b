//! Removes Identity and inference Dropout, and casts between floats (which are all 32 bits here).

use std::collections::{HashMap, HashSet};

use crate::graph::{Graph, Node, ValueId};

/// Makes the readers of such a node read its input. One pass, however long a chain of them is.
pub(super) fn remove_identity(graph: &mut Graph) {
    let produced: HashSet<ValueId> =
        graph.nodes.iter().flat_map(|n| n.outputs.iter().flatten().copied()).collect();
    let mut outputs: HashSet<ValueId> = graph.outputs.iter().copied().collect();
    // For each removed node's output, the value that replaces it.
    let mut stands: HashMap<ValueId, ValueId> = HashMap::new();
    for mut node in std::mem::take(&mut graph.nodes) {
        for id in node.inputs.iter_mut().flatten() {
            *id = stands.get(id).copied().unwrap_or(*id);
        }
        let (Some(input), true) = (node.input(0), is_identity(graph, &node)) else {
            graph.nodes.push(node);
            continue;
        };
        let output = node.output();
        let is_output = outputs.contains(&output);
        // An output keeps its name; a constant or an input must keep its own.
        if is_output && (!produced.contains(&input) || outputs.contains(&input)) {
            graph.nodes.push(node);
            continue;
        }
        stands.insert(output, input);
        if is_output {
            outputs.remove(&output);
            outputs.insert(input);
            graph.take_name(input, output);
        }
    }
    for output in &mut graph.outputs {
        *output = stands.get(output).copied().unwrap_or(*output);
    }
}

fn is_identity(graph: &Graph, node: &Node) -> bool {
    let is_float = |i: Option<ValueId>| {
        i.and_then(|id| graph.value(id).dtype).is_some_and(crate::tensor::DataType::is_float)
    };
    match node.op.as_str() {
        _ if !node.domain.is_empty() => false,
        "Identity" => true,
        // Its mask output, if present, has no meaning at inference.
        "Dropout" => node.outputs.iter().flatten().count() == 1,
        "Cast" => is_float(node.input(0)) && is_float(Some(node.output())),
        _ => false,
    }
}
