//! Shapes and types of values, in terms of the batch size.
//!
//! Shapes are inferred by `rten-shape-inference`, whose symbolic expressions also follow the integer arithmetic
//! (Shape, Gather, Concat, …) by which exporters compute the targets of Reshape.

mod attributes;
mod bounds;
mod dim;
mod operators;
mod sizes;
mod types;

pub use crate::batch::mixes_batch;
pub(crate) use dim::dim_of;
pub use dim::{Dim, display};
use rten_shape_inference::{SymExpr, SymTensor, SymbolGen};

use crate::error::{GraphError, Result};
use crate::graph::{Graph, Node, ValueId};
use crate::tensor::{Tensor, TensorData};

/// What shape inference knows about a constant: its shape, and its elements if it is a small vector of integers.
pub(crate) fn sym_of_constant(tensor: &Tensor) -> SymTensor {
    const MAX_ELEMENTS: usize = 64;
    if tensor.shape().len() <= 1 && tensor.len() <= MAX_ELEMENTS {
        let ints = match tensor.data() {
            TensorData::Bool(v) => Some(v.iter().map(|&b| i64::from(b)).collect()),
            _ => tensor.to_ints(),
        };
        if let Some(ints) = ints {
            let mut values =
                ints.into_iter().map(|v| SymExpr::Value(v.clamp(i32::MIN.into(), i32::MAX.into()) as i32));
            return match (tensor.shape(), values.next()) {
                ([], Some(value)) => SymTensor::from_scalar(value),
                (_, first) => SymTensor::from_vec(first.into_iter().chain(values).collect()),
            };
        }
    }
    SymTensor::from_fixed_shape(tensor.shape())
}

/// Infers shapes and types of all values from those of the inputs and constants.
///
/// # Errors
/// [`GraphError::ShapeMismatch`] for the first node whose inputs do not fit its operator.
pub fn infer(graph: &mut Graph) -> Result<()> {
    let mut symbols = SymbolGen::new();
    for i in 0..graph.nodes.len() {
        infer_node(graph, i, &mut symbols)?;
    }
    Ok(())
}

/// Infers the outputs of one node.
pub(crate) fn infer_node(graph: &mut Graph, index: usize, symbols: &mut SymbolGen) -> Result<()> {
    let node = &graph.nodes[index];
    let inputs: Vec<Option<SymTensor>> =
        node.inputs.iter().map(|id| id.map(|id| graph.sym(id).clone())).collect();
    let known = node.inputs.iter().flatten().all(|&id| graph.sym(id).ndim().is_some());
    if known && node.domain.is_empty() {
        attributes::check(graph, node)?;
    }
    let syms = if known { operators::infer_outputs(graph, node, inputs, symbols)? } else { vec![] };
    let outputs = node.outputs.clone();
    let dtype = types::output_type(graph, node);
    for (i, id) in outputs.into_iter().enumerate() {
        let Some(id) = id else { continue };
        let dtype = if i == 0 { dtype } else { types::second_output_type(&graph.nodes[index].op, dtype) };
        if let Some(sym) = syms.get(i) {
            let sym = bounds::simple(sym, symbols);
            bounds::check_size(&graph.nodes[index], &sym)?;
            graph.set_sym(id, sym, dtype);
        } else {
            graph.set_sym(id, SymTensor::unknown("not inferred"), dtype);
        }
    }
    Ok(())
}

/// Checks that the shapes of the graph's outputs are known.
///
/// # Errors
/// Names the first node on the way to an output whose inputs have known shapes and whose output does not:
/// [`GraphError::UnknownOperator`], [`GraphError::UnknownShape`] if the sizes depend on computed values, or
/// [`GraphError::Unsupported`] for control flow.
pub fn check_known(graph: &Graph) -> Result<()> {
    let unknown = |id: &ValueId| graph.shape(*id).is_none_or(|s| s.contains(&Dim::Unknown));
    if !graph.outputs.iter().any(unknown) {
        return Ok(());
    }
    let up = graph.ancestors(&graph.outputs);
    let culprit = graph.nodes.iter().find(|n| {
        n.outputs.iter().flatten().any(|o| unknown(o) && up.contains(o))
            && !n.inputs.iter().flatten().any(unknown)
    });
    culprit.map_or(Ok(()), |node| Err(why_unknown(graph, node)))
}

/// Operators whose output can be far larger than their inputs.
pub(crate) const GROWING: &[&str] = &[
    "Col2Im",
    "ConstantOfShape",
    "ConvTranspose",
    "DFT",
    "Expand",
    "GridSample",
    "Multinomial",
    "OneHot",
    "Pad",
    "Range",
    "Resize",
    "STFT",
    "Tile",
    "Upsample",
];

/// Checks that no operator whose output can be far larger than its inputs has an output size that depends on computed values.
///
/// # Errors
/// [`GraphError::UnknownShape`] naming the first that does.
pub fn check_growth(graph: &Graph) -> Result<()> {
    let unknown = |id: &ValueId| graph.shape(*id).is_none_or(|s| s.contains(&Dim::Unknown));
    let grows = |n: &&Node| n.domain.is_empty() && GROWING.contains(&n.op.as_str());
    match graph.nodes.iter().filter(grows).find(|n| n.outputs.iter().flatten().any(unknown)) {
        Some(node) => Err(GraphError::unknown_shape(
            node,
            "the size of its output depends on what is computed; export with fixed sizes",
        )),
        None => Ok(()),
    }
}

fn why_unknown(graph: &Graph, node: &Node) -> GraphError {
    if let Some(reason) = control_flow_reason(node) {
        return GraphError::unsupported(node, reason);
    }
    match graph.shape(node.output()) {
        Some(shape) => GraphError::unknown_shape(
            node,
            format!(
                "the shape of its output is {}: a size depends on what is computed; export with a fixed input size",
                display(Some(&shape))
            ),
        ),
        None => GraphError::UnknownOperator { at: node.shown() },
    }
}

/// Why an If or a Loop could not be replaced.
fn control_flow_reason(node: &Node) -> Option<&'static str> {
    match (node.domain.as_str(), node.op.as_str()) {
        ("", "If") => Some("its condition is computed from the image; export the branch that is taken"),
        ("", "Loop") => {
            Some("its number of turns or its condition is computed from the image; unroll it when exporting")
        }
        ("", "Scan") => Some("Scan is not supported; unroll it when exporting"),
        _ => None,
    }
}
