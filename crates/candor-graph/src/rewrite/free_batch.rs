//! Makes a batch size variable that an exporter fixed at one.

use super::{Evaluate, settle_shapes};
use crate::graph::Graph;
use crate::shape::Dim;
use crate::tensor::Tensor;
use std::sync::Arc;

/// Sets the first dimension of `graph`'s only input to the batch size and removes the ones that exporters wrote
/// into the targets of Reshape. Returns whether the first output's first dimension is then the batch size; if
/// not, `graph` is unchanged.
pub fn free_batch(graph: &mut Graph, evaluator: &dyn Evaluate) -> bool {
    let mut fixed = graph.clone();
    if settle_shapes(&mut fixed, evaluator).is_err() {
        return false;
    }
    let depends = graph.descendants(&graph.inputs);
    let mut free = graph.clone();
    let [input] = free.inputs[..] else { return false };
    let Some(mut shape) = free.shape(input) else { return false };
    let Some(first) = shape.first_mut() else { return false };
    *first = Dim::Batch(1);
    free.set_shape(input, &shape);
    for i in 0..free.nodes.len() {
        let node = &free.nodes[i];
        let (Some(data), Some(target)) = (node.input(0), node.input(1)) else { continue };
        let leading_one = fixed.shape(data).is_some_and(|s| s.first() == Some(&Dim::Fixed(1)));
        if node.op != "Reshape" || !depends.contains(&data) || !leading_one {
            continue;
        }
        let Some(mut dims) = free.constant(target).and_then(|t| t.to_ints()) else { continue };
        if dims.first() == Some(&1) {
            // 0 copies the input's dimension, which is the batch wherever the target's leading 1 was the batch.
            dims[0] = 0;
            let name = format!("{}_target", free.nodes[i].name);
            let id = free.add_constant(&name, Arc::new(Tensor::ints(&dims)));
            free.nodes[i].inputs[1] = Some(id);
        }
    }
    let output = free.outputs.first().copied();
    let ok = settle_shapes(&mut free, evaluator).is_ok()
        && output.and_then(|id| free.shape(id)).is_some_and(|s| s.first() == Some(&Dim::Batch(1)));
    if ok {
        *graph = free;
    }
    ok
}
