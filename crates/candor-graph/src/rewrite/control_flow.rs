//! If and Loop nodes with a constant condition or count: replaced by the branch taken, or by all iterations in sequence.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::error::{GraphError, Result};
use crate::graph::{Attr, Graph, Node, Origin, ValueId};
use crate::subgraph::Subgraph;
use crate::tensor::{Tensor, TensorData};

/// Maximum number of iterations of a loop that is unrolled.
pub const MOST_TURNS: i64 = 64;
/// Maximum number of nodes of a graph with unrolled loops: nested loops multiply.
const MOST_NODES: usize = 100_000;

/// Replaces each If with a constant condition by the branch it takes, and each Loop with a constant number of iterations and a
/// condition that stays true by its iterations. Returns whether there was any; then shapes must be inferred again.
///
/// # Errors
/// [`GraphError::TooLarge`] for a loop of more than [`MOST_TURNS`] iterations, [`GraphError::Node`] for one that is malformed.
pub fn unfold_control_flow(graph: &mut Graph) -> Result<bool> {
    if !graph.nodes.iter().any(is_control_flow) {
        return Ok(false);
    }
    let mut any = false;
    // A stack with the next node on top: the nodes that replace it may contain control flow again.
    let mut waiting: Vec<Node> = std::mem::take(&mut graph.nodes).into_iter().rev().collect();
    while let Some(node) = waiting.pop() {
        let unfolded = match node.op.as_str() {
            _ if !is_control_flow(&node) => None,
            "If" => branch(graph, &node)?,
            _ => turns(graph, &node)?,
        };
        match unfolded {
            Some(nodes) => {
                check_size(&node, nodes.len() + waiting.len() + graph.nodes.len())?;
                waiting.extend(nodes.into_iter().rev());
                any = true;
            }
            None => graph.nodes.push(node),
        }
    }
    Ok(any)
}

fn is_control_flow(node: &Node) -> bool {
    node.domain.is_empty() && matches!(node.op.as_str(), "If" | "Loop")
}

fn check_size(node: &Node, nodes: usize) -> Result<()> {
    if nodes > MOST_NODES {
        let reason = format!("written out, the graph has more than {MOST_NODES} nodes");
        return Err(GraphError::too_large(node, reason));
    }
    Ok(())
}

fn branch(graph: &mut Graph, node: &Node) -> Result<Option<Vec<Node>>> {
    let Some(taken) = node.input(0).and_then(|id| truth(graph, id)) else { return Ok(None) };
    let inner = inner_graph(node, if taken { "then_branch" } else { "else_branch" })?;
    let mut nodes = vec![];
    let outputs = copy(graph, node, &inner, &[], "", &mut nodes);
    hand_over(node, outputs, &mut nodes)?;
    Ok(Some(nodes))
}

fn turns(graph: &mut Graph, node: &Node) -> Result<Option<Vec<Node>>> {
    let body = inner_graph(node, "body")?;
    let formal = body.graph.inputs.len() - body.captured.len();
    if formal < 2 || body.graph.outputs.len() + 1 < formal {
        return Err(GraphError::node(node, "its body takes or hands on too few values"));
    }
    let starts_true = node.input(1).is_none_or(|id| truth(graph, id) == Some(true));
    let count = node.input(0).and_then(|id| graph.known_ints(id)).and_then(|v| v.first().copied());
    let (Some(count), true) = (count, starts_true && stays_true(&body.graph)) else { return Ok(None) };
    if count > MOST_TURNS {
        let reason =
            format!("a loop of {count} turns; at most {MOST_TURNS} are unrolled; unroll it when exporting");
        return Err(GraphError::too_large(node, reason));
    }
    // Checked before anything is copied: a body may be large.
    check_size(node, body.graph.nodes.len().saturating_mul(count.max(0) as usize))?;
    let carried = formal - 2;
    let mut nodes = vec![];
    let mut values: Vec<ValueId> = vec![];
    for i in 0..carried {
        let start = node.input(2 + i);
        values.push(start.ok_or_else(|| GraphError::node(node, format!("input {} is missing", 2 + i)))?);
    }
    let mut scanned: Vec<Vec<ValueId>> = vec![vec![]; body.graph.outputs.len() - 1 - carried];
    let going = graph.add_constant("going", Arc::new(Tensor::new(vec![], TensorData::Bool(vec![true]))?));
    for turn in 0..count.max(0) {
        let number = Tensor::new(vec![], TensorData::Int64(vec![turn]))?;
        let number = graph.add_constant("turn", Arc::new(number));
        let given: Vec<ValueId> = [number, going].into_iter().chain(values).collect();
        let mut outputs =
            copy(graph, node, &body, &given, &format!("_{turn}"), &mut nodes).into_iter().skip(1);
        values = outputs.by_ref().take(carried).collect();
        scanned.iter_mut().zip(outputs).for_each(|(all, one)| all.push(one));
    }
    for parts in scanned {
        if parts.is_empty() {
            return Err(GraphError::unknown_shape(
                node,
                "a loop of no turns gathers values, whose shape is not known",
            ));
        }
        values.push(stacked(graph, node, &parts, &mut nodes));
    }
    hand_over(node, values, &mut nodes)?;
    Ok(Some(nodes))
}

fn inner_graph(node: &Node, name: &str) -> Result<Arc<Subgraph>> {
    match node.attrs.get(name) {
        Some(Attr::Graph(inner)) => Ok(inner.clone()),
        _ => Err(GraphError::node(node, format!("attribute '{name}' is missing"))),
    }
}

fn truth(graph: &Graph, id: ValueId) -> Option<bool> {
    match graph.constant(id)?.data() {
        TensorData::Bool(values) => values.first().copied(),
        _ => None,
    }
}

/// Whether the condition that a body returns is the one it was given, or true.
fn stays_true(body: &Graph) -> bool {
    let Some(mut id) = body.outputs.first().copied() else { return false };
    // Nodes are in topological order: one backward walk follows a whole chain.
    for node in body.nodes.iter().rev() {
        if node.op == "Identity" && node.outputs.contains(&Some(id)) {
            let Some(before) = node.input(0) else { return false };
            id = before;
        }
    }
    body.inputs.get(1) == Some(&id) || truth(body, id) == Some(true)
}

/// Appends the inner graph's nodes with its formal inputs replaced by `given`. Returns its outputs.
fn copy(
    graph: &mut Graph,
    node: &Node,
    inner: &Subgraph,
    given: &[ValueId],
    suffix: &str,
    nodes: &mut Vec<Node>,
) -> Vec<ValueId> {
    let source = &inner.graph;
    let mut stands: HashMap<ValueId, ValueId> =
        source.inputs.iter().copied().zip(given.iter().copied()).collect();
    stands.extend(inner.captured.iter().filter_map(|&(id, place)| Some((id, node.input(place)?))));
    let mut outer = |graph: &mut Graph, id: ValueId| {
        *stands.entry(id).or_insert_with(|| match source.constant(id) {
            Some(tensor) => graph.add_constant(source.name(id), tensor.clone()),
            None => graph.add_value(&format!("{}{suffix}", source.name(id)), source.value(id).dtype),
        })
    };
    for n in &source.nodes {
        let mut copy = n.clone();
        copy.name = format!("{}_{}{suffix}", node.name, n.name);
        for id in copy.inputs.iter_mut().chain(&mut copy.outputs).flatten() {
            *id = outer(graph, *id);
        }
        nodes.push(copy);
    }
    source.outputs.iter().map(|&id| outer(graph, id)).collect()
}

/// Connects the node's outputs to the values that replace them.
fn hand_over(node: &Node, values: Vec<ValueId>, nodes: &mut Vec<Node>) -> Result<()> {
    if values.len() < node.outputs.len() {
        return Err(GraphError::node(node, "it has more outputs than its graph"));
    }
    for (i, (wanted, value)) in node.outputs.iter().zip(values).enumerate() {
        if wanted.is_some() {
            let name = format!("{}_{i}", node.name);
            nodes.push(plain(node, &name, "Identity", vec![value], *wanted, BTreeMap::new()));
        }
    }
    Ok(())
}

/// The values of all iterations, stacked along a new first axis.
fn stacked(graph: &mut Graph, node: &Node, parts: &[ValueId], nodes: &mut Vec<Node>) -> ValueId {
    let axes = graph.add_constant("axes", Arc::new(Tensor::ints(&[0])));
    let mut rows = vec![];
    for &part in parts {
        let row = graph.add_value("row", graph.value(part).dtype);
        let name = graph.name(row).to_string();
        nodes.push(plain(node, &name, "Unsqueeze", vec![part, axes], Some(row), BTreeMap::new()));
        rows.push(row);
    }
    let all = graph.add_value("rows", graph.value(parts[0]).dtype);
    let name = graph.name(all).to_string();
    let axis = BTreeMap::from([("axis".to_string(), Attr::Int(0))]);
    nodes.push(plain(node, &name, "Concat", rows, Some(all), axis));
    all
}

/// A node added by the unrolling of `from`.
fn plain(
    from: &Node,
    name: &str,
    op: &str,
    inputs: Vec<ValueId>,
    output: Option<ValueId>,
    attrs: BTreeMap<String, Attr>,
) -> Node {
    let inputs = inputs.into_iter().map(Some).collect();
    Node::new(name, op, inputs, vec![output], attrs).with_origin(Some(Origin::made_from(from)))
}
