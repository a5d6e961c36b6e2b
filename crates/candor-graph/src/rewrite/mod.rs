//! Ordered rewrite passes, one file each. A pass does not change what the graph's outputs compute.

mod control_flow;
mod dead;
mod dilated_pools;
mod fold_batch_norm;
mod fold_constants;
mod free_batch;
mod lower;
mod masks_behind_pointwise;
mod pad_axes;
mod pixels;
mod pointwise_strides;
mod read_grid;
mod remove_identity;
mod settle_shapes;
mod softmax_axis;
mod squeeze_axes;
mod windows;

pub use control_flow::{MOST_TURNS, unfold_control_flow};
pub use dead::remove_dead;
pub use dilated_pools::slice_dilated_pools;
pub use fold_constants::{Evaluate, evaluate_constants, fold_constants};
pub use free_batch::free_batch;
pub use lower::{LOWERINGS, Lowering, lower};
pub use masks_behind_pointwise::masks_behind_pointwise;
pub use pixels::{reads_pixels, take_floats};
pub use pointwise_strides::slice_before_pointwise;
pub use read_grid::read_in_parts;
pub use settle_shapes::settle_shapes;

use crate::error::Result;
use crate::graph::Graph;

/// The passes for every model after loading, once the shapes of its inputs are set.
///
/// # Errors
/// Those of a node whose inputs do not fit its operator, or a failure of the evaluator.
pub fn standard(graph: &mut Graph, evaluator: &dyn Evaluate) -> Result<()> {
    // First: the other passes use the shapes.
    settle_shapes(graph, evaluator)?;
    // Needs ranks; later passes and rules read `axis` in its current meaning.
    softmax_axis::softmax_axis(graph)?;
    // Needs sizes; turns auto_pad and missing defaults into numbers before any rule reads them.
    windows::explicit_windows(graph)?;
    // RTen does not support the axes input.
    pad_axes::pad_all_axes(graph);
    // Before folding, so that an Identity between Conv and BatchNormalization does not hide the pair.
    remove_identity::remove_identity(graph);
    // Weights computed from constants must be constants before BatchNormalization looks for them.
    fold_constants(graph, evaluator)?;
    // Again, for nodes that needed constants (the sizes of Resize), and for shapes that follow from them.
    lower(graph)?;
    fold_batch_norm::fold_batch_norm(graph)?;
    // After folding, so that no BatchNormalization hides which convolutions read a value.
    read_grid::cut_out_what_is_read(graph)?;
    remove_identity::remove_identity(graph);
    // The folded weights are still expressions.
    fold_constants(graph, evaluator)?;
    remove_dead(graph);
    graph.check()
}
