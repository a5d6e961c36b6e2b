//! Whether the images of a batch are computed independently of each other.

use crate::graph::{Graph, Node};
use crate::insert::is_feature;
use crate::shape::Dim;

/// The first node that makes the result for one image depend on the other images of its batch: batch statistics (BatchNormalization
/// in training mode), a maximum over the whole batch (dynamic quantisation), a softmax along the batch axis. Shapes must have been
/// inferred in terms of the batch.
pub fn mixes_batch(graph: &Graph) -> Option<&Node> {
    graph.nodes.iter().find(|node| {
        let batched = |id: &crate::graph::ValueId| {
            is_feature(graph, *id)
                .then(|| graph.shape(*id))
                .flatten()
                .filter(|s| s.iter().any(|d| is_batch(*d)))
        };
        let inputs: Vec<Vec<Dim>> = node.inputs.iter().flatten().filter_map(batched).collect();
        if inputs.is_empty() || graph.constant(node.output()).is_some() {
            return false;
        }
        let mut outputs = node.outputs.iter().flatten().filter(|&&id| is_feature(graph, id));
        outputs.any(|&id| {
            graph.shape(id).is_some_and(|s| !s.contains(&Dim::Unknown) && !s.iter().any(|d| is_batch(*d)))
        }) || along_batch(node, &inputs[0])
    })
}

fn is_batch(dim: Dim) -> bool {
    matches!(dim, Dim::Batch(_))
}

/// Whether a node whose operator works along an axis works along the batch axis.
fn along_batch(node: &Node, shape: &[Dim]) -> bool {
    let default = match node.op.as_str() {
        "Softmax" | "LogSoftmax" | "Hardmax" | "TopK" | "LpNormalization" | "LayerNormalization" => -1,
        _ => return false,
    };
    let axis = node.int("axis", default).rem_euclid(shape.len().max(1) as i64) as usize;
    // LayerNormalization normalises over the named axis and all axes after it.
    let last = if node.op == "LayerNormalization" { shape.len() } else { axis + 1 };
    shape.iter().take(last).skip(axis).any(|d| is_batch(*d))
}

#[cfg(test)]
mod tests {
    use super::mixes_batch;
    use crate::builder::{Builder, Expr};
    use crate::graph::{Attr, Graph};
    use crate::shape::Dim;
    use crate::tensor::DataType;

    fn mixing(make: impl for<'b> Fn(Expr<'b>) -> Expr<'b>) -> Option<String> {
        let b = Builder::new(Graph::new(18));
        let x = b.input("x", DataType::Float, &[Dim::Batch(1), Dim::Fixed(3), Dim::Fixed(4), Dim::Fixed(4)]);
        let y = make(x).id();
        let mut graph = b.finish().unwrap();
        graph.outputs = vec![y];
        mixes_batch(&graph).map(|n| n.op.clone())
    }

    #[test]
    fn what_is_made_of_several_images_is_found() {
        let axis = |a: i64| [("axis", Attr::Int(a))];
        assert_eq!(mixing(|x| x - x.mean(&[0, 2, 3])).as_deref(), Some("ReduceMean"));
        assert_eq!(
            mixing(|x| x / x.op("ReduceMax", &[], &[("keepdims", Attr::Int(0))])).as_deref(),
            Some("ReduceMax")
        );
        assert_eq!(mixing(|x| x.op("Softmax", &[], &axis(0))).as_deref(), Some("Softmax"));
        let b = Builder::new(Graph::new(18));
        let x = b.input("x", DataType::Float, &[Dim::Batch(1), Dim::Fixed(3), Dim::Fixed(4), Dim::Fixed(4)]);
        let flat = x.reshape(&[-1, 48]);
        flat.op("MatMul", &[flat.transpose(&[1, 0]).op("MatMul", &[flat], &[])], &[]);
        let graph = b.finish().unwrap();
        assert_eq!(mixes_batch(&graph).map(|n| n.op.as_str()), Some("MatMul"));
    }

    #[test]
    fn images_that_are_computed_apart_are_not() {
        assert_eq!(
            mixing(|x| x.mean(&[2, 3]).reshape(&[-1, 3]).op("Softmax", &[], &[("axis", Attr::Int(1))])),
            None
        );
        assert_eq!(mixing(|x| x.reshape(&[-1, 4]).op("Softmax", &[], &[]).reshape(&[-1, 3, 4, 4])), None);
        assert_eq!(mixing(|x| x * x.op("Shape", &[], &[]).to_float().op("ReduceProd", &[], &[])), None);
    }
}
