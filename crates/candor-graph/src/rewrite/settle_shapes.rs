//! Shapes that the graph itself computes: alternates inference and folding until nothing changes.

use super::squeeze_axes::squeeze_axes;
use super::{Evaluate, fold_constants, lower, unfold_control_flow};
use crate::error::Result;
use crate::graph::Graph;
use crate::shape;

/// Maximum number of node visits in all rounds together: a chain of nodes that each need a round would take quadratic time.
const MOST_VISITS: usize = 1 << 19;

/// Infers the shapes of all values. Exporters compute sizes with integer nodes (the pads of TorchScript's `pad`, for example) that
/// inference cannot follow. Once their inputs are known they are constants, which the evaluator computes; that makes the sizes after
/// them known, up to the next such node. If and Loop nodes that depend on such constants are replaced by their nodes.
///
/// # Errors
/// Those of a node whose inputs do not fit its operator, or a failure of the evaluator.
pub fn settle_shapes(graph: &mut Graph, evaluator: &dyn Evaluate) -> Result<()> {
    unfold_control_flow(graph)?;
    lower(graph)?;
    squeeze_axes(graph);
    let mut left = MOST_VISITS;
    while shape::check_known(graph).is_err() {
        let before = graph.nodes.len();
        left = left.saturating_sub(before);
        if left == 0 {
            break; // Code that needs a shape reports which one is not known.
        }
        fold_constants(graph, evaluator)?;
        // A condition that follows from sizes is a constant only now.
        if !unfold_control_flow(graph)? && graph.nodes.len() == before {
            break;
        }
        lower(graph)?;
        squeeze_axes(graph);
    }
    Ok(())
}
