//! Replaces values that depend on constants only by constants. An engine does the arithmetic.

use std::collections::HashSet;
use std::error::Error;
use std::sync::Arc;

use crate::error::{GraphError, Result};
use crate::graph::{Graph, Node, ValueId};
use crate::memory;
use crate::shape::{GROWING, infer};
use crate::tensor::{DataType, Tensor, TensorData};

/// Runs a graph without inputs: what constant folding needs from an engine.
pub trait Evaluate {
    /// The graph's outputs, in order.
    ///
    /// # Errors
    /// The engine's error.
    fn evaluate(&self, graph: &Graph) -> Result<Vec<Tensor>, Box<dyn Error + Send + Sync>>;
}

/// Folds nodes whose inputs are all constants, and integer values that shape inference determined.
///
/// # Errors
/// [`GraphError::Evaluate`] if the evaluator fails.
pub fn fold_constants(graph: &mut Graph, evaluator: &dyn Evaluate) -> Result<()> {
    fold_known_integers(graph);
    evaluate_constants(graph, evaluator)
}

/// Folds nodes whose inputs are all constants, but not values that follow from the size of the input. Value types must have been
/// inferred.
///
/// # Errors
/// [`GraphError::Evaluate`] if the evaluator fails, [`GraphError::TooLarge`] for constants that would not fit into memory.
pub fn evaluate_constants(graph: &mut Graph, evaluator: &dyn Evaluate) -> Result<()> {
    share_constants(graph);
    for _ in 0..MOST_TURNS {
        let plan = Plan::of(graph);
        if !plan.nodes.contains(&true) {
            break;
        }
        evaluate(graph, &plan, evaluator)?;
        if !plan.waiting {
            break;
        }
        // Nodes that waited for a size can be planned after this.
        infer(graph)?;
    }
    Ok(())
}

/// Maximum number of rounds; each computes constants from those of the rounds before.
const MOST_TURNS: usize = 64;

/// Which nodes can be evaluated in this round.
struct Plan {
    /// For each node of the graph, whether it can be evaluated.
    nodes: Vec<bool>,
    /// Whether other nodes also depend on constants only, but need a value whose size is not known before it is computed.
    waiting: bool,
}

impl Plan {
    fn of(graph: &Graph) -> Plan {
        let (mut computed, mut of_unknown_size) = (HashSet::new(), HashSet::new());
        let mut plan = Plan { nodes: vec![false; graph.nodes.len()], waiting: false };
        for (node, folded) in graph.nodes.iter().zip(&mut plan.nodes) {
            let constant = |id: &ValueId| graph.constant(*id).is_some() || computed.contains(id);
            let reads = || node.inputs.iter().flatten();
            if !foldable(node) || !reads().all(|id| constant(id) || of_unknown_size.contains(id)) {
                continue;
            }
            let sized = sizes(graph, node).is_some();
            let outputs = node.outputs.iter().flatten().copied();
            // Operators whose output can be far larger than their inputs wait until the size is known.
            *folded = reads().all(constant) && (sized || !GROWING.contains(&node.op.as_str()));
            plan.waiting |= !*folded;
            if *folded && sized { computed.extend(outputs) } else { of_unknown_size.extend(outputs) }
        }
        plan
    }
}

/// Whether a node with constant inputs has constant outputs, computed in time that the size of its inputs limits.
fn foldable(node: &Node) -> bool {
    node.domain.is_empty()
        && !node.op.starts_with("Random")
        && !matches!(node.op.as_str(), "If" | "Loop" | "Scan")
}

/// Evaluates the planned nodes, makes their outputs constants and removes the nodes.
fn evaluate(graph: &mut Graph, plan: &Plan, evaluator: &dyn Evaluate) -> Result<()> {
    let planned = || graph.nodes.iter().zip(&plan.nodes);
    let computed: HashSet<ValueId> =
        planned().filter(|(_, f)| **f).flat_map(|(n, _)| n.outputs.iter().flatten().copied()).collect();
    let read = planned().filter(|(_, f)| !**f).flat_map(|(n, _)| n.inputs.iter().flatten().copied());
    let mut seen = HashSet::new();
    let wanted = read.chain(graph.outputs.iter().copied());
    let needed: Vec<ValueId> = wanted.filter(|id| computed.contains(id) && seen.insert(*id)).collect();
    if !needed.is_empty() {
        check_cost(graph, &plan.nodes)?;
        let mut part = graph.clone();
        let mut planned = plan.nodes.iter();
        part.nodes.retain(|_| planned.next().copied().unwrap_or(false));
        part.inputs.clear();
        part.outputs = needed.clone();
        super::remove_dead(&mut part);
        // Engines may not support operators that can be lowered (for example weights standardised by BatchNormalization in training
        // mode).
        super::lower(&mut part)?;
        let tensors = evaluator.evaluate(&part).map_err(GraphError::Evaluate)?;
        for (id, tensor) in needed.into_iter().zip(tensors) {
            let dtype = graph.value(id).dtype.unwrap_or(DataType::Float);
            graph.set_constant(id, Arc::new(tensor.cast_integers(dtype)));
        }
    }
    let mut folded = plan.nodes.iter();
    graph.nodes.retain(|_| !folded.next().copied().unwrap_or(false));
    Ok(())
}

/// Maximum number of elements of all folded values together, and the maximum ratio to the elements they are computed from, if that
/// allows more.
const MOST_ELEMENTS: usize = 1 << 25;
const MOST_GROWTH: usize = 16;
/// Bytes of an element; the engine and the graph both hold it for a time.
const BYTES: usize = 2 * size_of::<f32>();

/// Refuses to evaluate what would fill the memory: a few bytes of a damaged file can demand any size.
fn check_cost(graph: &Graph, folded: &[bool]) -> Result<()> {
    let nodes = || graph.nodes.iter().zip(folded).filter(|(_, f)| **f).map(|(n, _)| n);
    let given: HashSet<ValueId> = nodes().flat_map(|n| n.inputs.iter().flatten().copied()).collect();
    let given: usize = given.into_iter().filter_map(|id| graph.constant(id)).map(|t| t.len()).sum();
    let most = MOST_ELEMENTS.max(given.saturating_mul(MOST_GROWTH));
    let mut total = 0usize;
    let mut largest: Option<(usize, &Node)> = None;
    for node in nodes() {
        let own = sizes(graph, node).unwrap_or(0);
        total = own.saturating_add(total);
        if total > most {
            let reason = format!("constants that are computed have more than {most} elements");
            return Err(GraphError::too_large(node, reason));
        }
        largest = largest.filter(|(size, _)| *size >= own).or(Some((own, node)));
    }
    match largest {
        Some((_, node)) if !memory::is_available(total.saturating_mul(BYTES) as u64) => {
            Err(GraphError::too_large(
                node,
                format!("constants of {total} elements, which are computed, do not fit into memory"),
            ))
        }
        _ => Ok(()),
    }
}

/// Total number of elements of a node's outputs, if their shapes are known.
fn sizes(graph: &Graph, node: &Node) -> Option<usize> {
    let size = |id: ValueId| {
        let shape = graph.shape(id)?;
        shape.iter().map(|d| d.fixed()).try_fold(1usize, |n, d| Some(n.saturating_mul(d?)))
    };
    node.outputs.iter().flatten().try_fold(0usize, |sum, &id| Some(sum.saturating_add(size(id)?)))
}

/// Exporters write a tensor that two layers share once, and an Identity of it for the second layer. Such a copy becomes the same
/// constant; an engine that removes the node would otherwise get one output requested twice.
fn share_constants(graph: &mut Graph) {
    for node in std::mem::take(&mut graph.nodes) {
        let copied = (node.op == "Identity" && node.domain.is_empty())
            .then(|| node.input(0).and_then(|id| graph.constant(id).cloned()))
            .flatten();
        match copied {
            Some(tensor) => graph.set_constant(node.output(), tensor),
            None => graph.nodes.push(node),
        }
    }
}

/// Replaces nodes whose integers follow from shapes (Shape of a fixed size, for example) by constants.
fn fold_known_integers(graph: &mut Graph) {
    for node in std::mem::take(&mut graph.nodes) {
        match known_integers(graph, &node) {
            Some(tensor) => graph.set_constant(node.output(), Arc::new(tensor)),
            None => graph.nodes.push(node),
        }
    }
}

/// The only output of a node, if inference knows it as integers.
fn known_integers(graph: &Graph, node: &Node) -> Option<Tensor> {
    let [Some(id)] = node.outputs[..] else { return None };
    let dtype = graph.value(id).dtype.filter(|t| matches!(t, DataType::Int64 | DataType::Int32))?;
    let known = graph.known_ints(id)?;
    match graph.shape(id)?.len() {
        0 => Some(Tensor::new(vec![], TensorData::Int64(known)).ok()?.cast_integers(dtype)),
        1 => Some(Tensor::ints(&known).cast_integers(dtype)),
        _ => None,
    }
}
