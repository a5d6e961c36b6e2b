//! Shapes that are computed by the graph itself: infers and folds in turn until nothing more is learned.

use super::squeeze_axes::squeeze_axes;
use super::{Evaluate, fold_constants, lower, unfold_control_flow};
use crate::error::Result;
use crate::graph::Graph;
use crate::shape;

/// Most nodes that are visited in all turns together: a chain of nodes each of which needs a turn would take the square of its length.
const MOST_VISITS: usize = 1 << 19;

/// Infers the shapes of all values. Exporters compute sizes with integer nodes (the pads of TorchScript's `pad`, say) that
/// inference cannot follow. Once what they read is known they are constants, which the evaluator computes; that makes the
/// sizes behind them known, up to the next such place. If and Loop that turn on such constants become their nodes.
///
/// # Errors
/// A node whose inputs do not fit its operator, or a failure of the evaluator.
pub fn settle_shapes(graph: &mut Graph, evaluator: &dyn Evaluate) -> Result<()> {
    unfold_control_flow(graph)?;
    lower(graph)?;
    squeeze_axes(graph);
    let mut left = MOST_VISITS;
    while shape::check_known(graph).is_err() {
        let before = graph.nodes.len();
        left = left.saturating_sub(before);
        if left == 0 {
            break; // Whoever needs the shapes says which is not known.
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
