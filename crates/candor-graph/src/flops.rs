//! Floating-point operations of convolutions and matrix products, which are nearly all of a classifier's arithmetic.

use crate::graph::{Graph, Node, ValueId};

/// Operations of one forward pass at a batch size; a multiplication with its addition counts as two. Conv, ConvTranspose, Gemm and
/// MatMul are counted; a node whose shapes are not known counts as zero.
pub fn forward(graph: &Graph, batch: usize) -> u64 {
    graph.nodes.iter().map(|n| of_node(graph, n, batch)).sum()
}

/// Operations of the nodes of a forward pass that depend on any of `from`.
pub fn forward_from(graph: &Graph, from: &[ValueId], batch: usize) -> u64 {
    let below = graph.descendants(from);
    let depends = |n: &&Node| n.inputs.iter().flatten().any(|id| below.contains(id));
    graph.nodes.iter().filter(depends).map(|n| of_node(graph, n, batch)).sum()
}

/// Operations that the gradient with respect to `from` takes in addition to the forward pass: each product once more for every
/// factor of it that depends on `from`. The count follows the mathematics, whatever nodes a rule emits.
pub fn backward(graph: &Graph, from: &[ValueId], batch: usize) -> u64 {
    let below = graph.descendants(from);
    let factors = |n: &Node| n.inputs.iter().take(2).flatten().filter(|id| below.contains(id)).count();
    graph.nodes.iter().map(|n| factors(n) as u64 * of_node(graph, n, batch)).sum()
}

fn of_node(graph: &Graph, node: &Node, batch: usize) -> u64 {
    if !node.domain.is_empty() {
        return 0;
    }
    let shape = |id: Option<ValueId>| -> Option<Vec<u64>> {
        graph.shape(id?)?.iter().map(|d| d.at(batch).map(|n| n as u64)).collect()
    };
    let (a, b) = (shape(node.input(0)), shape(node.input(1)));
    let out = shape(node.outputs.first().copied().flatten());
    let products = match (node.op.as_str(), a, b, out) {
        // Each output element is a sum over the filter's taps.
        ("Conv", _, Some(weight), Some(out)) => count(&out) * count(weight.get(1..).unwrap_or_default()),
        // Each input element is spread over the filter's taps.
        ("ConvTranspose", Some(x), Some(weight), _) => count(&x) * count(weight.get(1..).unwrap_or_default()),
        ("Gemm", Some(a), _, Some(out)) => {
            count(&out) * a.get(usize::from(node.int("transA", 0) == 0)).copied().unwrap_or(0)
        }
        ("MatMul", Some(a), _, Some(out)) => count(&out) * a.last().copied().unwrap_or(0),
        _ => 0,
    };
    2 * products
}

fn count(shape: &[u64]) -> u64 {
    shape.iter().product()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::Builder;
    use crate::graph::Attr;
    use crate::shape::Dim;
    use crate::tensor::{DataType, Tensor};

    #[test]
    fn a_convolution_and_a_product_are_counted_by_hand() {
        let builder = Builder::new(Graph::new(18));
        let x = builder.input(
            "x",
            DataType::Float,
            &[Dim::Batch(1), Dim::Fixed(4), Dim::Fixed(8), Dim::Fixed(8)],
        );
        let weight = builder.constant(Tensor::full(&[6, 2, 3, 3], 0.1));
        let attributes = [("group", Attr::Int(2)), ("pads", Attr::Ints(vec![1; 4]))];
        let features = x.op("Conv", &[weight], &attributes);
        let flat = features.op("Flatten", &[], &[]);
        let weight = builder.constant(Tensor::full(&[10, 6 * 64], 0.1));
        let logits = flat.op("Gemm", &[weight], &[("transB", Attr::Int(1))]);
        let (x, features, logits) = (x.id(), features.id(), logits.id());
        let mut graph = builder.finish().unwrap();
        graph.outputs = vec![logits];
        let (conv, gemm) = (2 * (6 * 64) * (2 * 9), 2 * 10 * (6 * 64));
        assert_eq!(forward(&graph, 1), conv + gemm);
        assert_eq!(forward(&graph, 3), 3 * (conv + gemm));
        assert_eq!(forward_from(&graph, &[features], 1), gemm);
        assert_eq!(backward(&graph, &[x], 1), conv + gemm);
        assert_eq!(backward(&graph, &[features], 2), 2 * gemm);
    }

    #[test]
    fn a_product_of_two_dependent_factors_counts_twice_backward() {
        let builder = Builder::new(Graph::new(18));
        let x = builder.input("x", DataType::Float, &[Dim::Batch(1), Dim::Fixed(5), Dim::Fixed(7)]);
        let product = x.op("MatMul", &[x.transpose(&[0, 2, 1])], &[]);
        let (x, product) = (x.id(), product.id());
        let mut graph = builder.finish().unwrap();
        graph.outputs = vec![product];
        assert_eq!(forward(&graph, 1), 2 * 25 * 7);
        assert_eq!(backward(&graph, &[x], 1), 2 * 2 * 25 * 7);
    }
}
