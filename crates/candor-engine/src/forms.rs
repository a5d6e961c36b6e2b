//! The form in which each engine runs a graph fastest: all rewrites that are made for one engine's sake, in one place.
//!
//! What both get alike was chosen by measuring on both, as a gradient's operators were: book/src/contributing/engines.md.

use candor_graph::error::Result;
use candor_graph::graph::Graph;
use candor_graph::rewrite;

/// For RTen: it has no pools over windows with holes. Its strided Conv gathers a column for each output, even where the column is one
/// element, so that it is faster to slice first.
pub(super) fn rten(graph: &mut Graph) -> Result<()> {
    rewrite::slice_dilated_pools(graph)?;
    rewrite::slice_before_pointwise(graph)
}

/// For ONNX Runtime: the first `outputs` outputs alone. It would compute all, whichever are asked for.
#[cfg(feature = "onnxruntime")]
pub(super) fn onnx_runtime(graph: &mut Graph, outputs: usize) {
    graph.outputs.truncate(outputs);
    rewrite::remove_dead(graph);
}
