//! The form in which each engine runs a graph fastest: all engine-specific rewrites.
//!
//! Forms that both engines share were chosen by measuring on both, as were the operators of gradients:
//! book/src/contributing/engines.md.

use candor_graph::error::Result;
use candor_graph::graph::Graph;
use candor_graph::rewrite;

/// For RTen: it does not support dilated pools. Its strided Conv copies a column for each output, even where the column is one element,
/// so that it is faster to slice first.
pub(super) fn rten(graph: &mut Graph) -> Result<()> {
    rewrite::slice_dilated_pools(graph)?;
    rewrite::slice_before_pointwise(graph)
}

/// For ONNX Runtime: keeps only the first `outputs` outputs, since it computes all outputs, whichever are requested.
#[cfg(feature = "onnxruntime")]
pub(super) fn onnx_runtime(graph: &mut Graph, outputs: usize) {
    graph.outputs.truncate(outputs);
    rewrite::remove_dead(graph);
}
