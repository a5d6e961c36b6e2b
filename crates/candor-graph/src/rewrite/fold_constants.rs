//! Replaces what depends on constants alone by its value. The arithmetic is an engine's, not ours.

use std::collections::HashSet;
use std::error::Error;
use std::sync::Arc;

use crate::error::{GraphError, Result};
use crate::graph::{Graph, Node, ValueId};
use crate::tensor::{DataType, Tensor};

/// Runs a graph without inputs: what constant folding needs of an engine.
pub trait Evaluate {
    /// The graph's outputs, in order.
    ///
    /// # Errors
    /// What the engine could not do.
    fn evaluate(&self, graph: &Graph) -> Result<Vec<Tensor>, Box<dyn Error + Send + Sync>>;
}

/// Folds nodes whose inputs are all constants, and integer values that shape inference knows.
///
/// # Errors
/// [`GraphError::Evaluate`] if the evaluator fails.
pub fn fold_constants(graph: &mut Graph, evaluator: &dyn Evaluate) -> Result<()> {
    fold_known_integers(graph);
    evaluate_constants(graph, evaluator)
}

/// Folds nodes whose inputs are all constants, and nothing that follows from the size of the input. The types of values must
/// be inferred.
///
/// # Errors
/// [`GraphError::Evaluate`] if the evaluator fails.
pub fn evaluate_constants(graph: &mut Graph, evaluator: &dyn Evaluate) -> Result<()> {
    share_constants(graph);
    let is_constant = |g: &Graph, id: ValueId| g.constant(id).is_some();
    let mut foldable: HashSet<ValueId> = HashSet::new();
    let mut folded_nodes = vec![false; graph.nodes.len()];
    for (i, node) in graph.nodes.iter().enumerate() {
        let constant = node.domain.is_empty()
            && !node.op.starts_with("Random")
            && !(GROWING.contains(&node.op.as_str()) && sizes(graph, node).is_none())
            && node.inputs.iter().flatten().all(|id| is_constant(graph, *id) || foldable.contains(id));
        if constant {
            folded_nodes[i] = true;
            foldable.extend(node.outputs.iter().flatten());
        }
    }
    let needed: Vec<ValueId> = {
        let rest = graph.nodes.iter().zip(&folded_nodes).filter(|(_, f)| !**f);
        let read = rest.flat_map(|(n, _)| n.inputs.iter().flatten().copied());
        let mut seen = HashSet::new();
        let wanted = read.chain(graph.outputs.iter().copied());
        wanted.filter(|id| foldable.contains(id) && seen.insert(*id)).collect()
    };
    if !needed.is_empty() {
        check_cost(graph, &folded_nodes)?;
        let mut part = graph.clone();
        part.inputs.clear();
        part.outputs = needed.clone();
        super::remove_dead(&mut part);
        // Engines need not know what can be written in other operators (weights standardised by BatchNormalization in training
        // mode, say).
        super::lower(&mut part)?;
        let tensors = evaluator.evaluate(&part).map_err(GraphError::Evaluate)?;
        for (id, tensor) in needed.into_iter().zip(tensors) {
            let dtype = graph.value(id).dtype.unwrap_or(DataType::Float);
            graph.set_constant(id, Arc::new(tensor.cast_integers(dtype)));
        }
    }
    let mut folded = folded_nodes.into_iter();
    graph.nodes.retain(|_| !folded.next().unwrap_or(false));
    Ok(())
}

/// Operators that make much out of little; they wait until their sizes are known.
const GROWING: &[&str] =
    &["ConstantOfShape", "Expand", "OneHot", "Pad", "Range", "Resize", "Tile", "Upsample"];
/// Most elements of folded values together, and how many times what they are made of they may be if that is more.
const MOST_ELEMENTS: usize = 1 << 27;
const MOST_GROWTH: usize = 16;

/// Refuses to evaluate what would fill the memory: a few bytes of a damaged file can ask for any size.
fn check_cost(graph: &Graph, folded: &[bool]) -> Result<()> {
    let nodes = || graph.nodes.iter().zip(folded).filter(|(_, f)| **f).map(|(n, _)| n);
    let given: usize = nodes()
        .flat_map(|n| n.inputs.iter().flatten())
        .filter_map(|&id| graph.constant(id))
        .map(|t| t.len())
        .sum();
    let most = MOST_ELEMENTS.max(given.saturating_mul(MOST_GROWTH));
    let mut total = 0usize;
    for node in nodes() {
        total = sizes(graph, node).unwrap_or(0).saturating_add(total);
        if total > most {
            let reason = format!("constants that are computed have more than {most} elements");
            return Err(GraphError::too_large(node, reason));
        }
    }
    Ok(())
}

/// Elements of a node's outputs together, if their shapes are known.
fn sizes(graph: &Graph, node: &Node) -> Option<usize> {
    let size = |id: ValueId| {
        let shape = graph.shape(id)?;
        shape.iter().map(|d| d.fixed()).try_fold(1usize, |n, d| Some(n.saturating_mul(d?)))
    };
    node.outputs.iter().flatten().try_fold(0usize, |sum, &id| Some(sum.saturating_add(size(id)?)))
}

/// Exporters write a tensor that two layers share once, and Identity of it for the second. Such a copy is the same constant; an
/// engine that removes the node would find one output asked for twice.
fn share_constants(graph: &mut Graph) {
    let mut index = 0;
    while index < graph.nodes.len() {
        let node = &graph.nodes[index];
        let copied = (node.op == "Identity" && node.domain.is_empty())
            .then(|| node.input(0).and_then(|id| graph.constant(id).cloned()))
            .flatten();
        match copied {
            Some(tensor) => {
                let output = graph.nodes.remove(index).output();
                graph.set_constant(output, tensor);
            }
            None => index += 1,
        }
    }
}

/// Integers that follow from shapes (Shape of a fixed size, say) need no node.
fn fold_known_integers(graph: &mut Graph) {
    let mut index = 0;
    while index < graph.nodes.len() {
        let node = &graph.nodes[index];
        let id = match node.outputs.as_slice() {
            [Some(id)] => *id,
            _ => {
                index += 1;
                continue;
            }
        };
        let dtype = graph.value(id).dtype;
        let known =
            matches!(dtype, Some(DataType::Int64 | DataType::Int32)).then(|| graph.known_ints(id)).flatten();
        let rank = graph.shape(id).map(|s| s.len());
        let tensor = match (known, rank, dtype) {
            (Some(v), Some(0), Some(dtype)) => {
                Tensor::new(vec![], crate::tensor::TensorData::Int64(v)).ok().map(|t| t.cast_integers(dtype))
            }
            (Some(v), Some(1), Some(dtype)) => Some(Tensor::ints(&v).cast_integers(dtype)),
            _ => None,
        };
        match tensor {
            Some(tensor) => {
                graph.nodes.remove(index);
                graph.set_constant(id, Arc::new(tensor));
            }
            None => index += 1,
        }
    }
}
