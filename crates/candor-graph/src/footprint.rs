//! Memory of a graph's values.

use crate::graph::Graph;

/// Bytes of all values that the nodes compute for a batch of one, at four bytes an element; a value whose shape is not known counts
/// nothing. It bounds what an engine holds at once, which is less, since values go when nobody reads them any more.
pub fn computed_bytes(graph: &Graph) -> u64 {
    let computed = graph.nodes.iter().flat_map(|n| n.outputs.iter().flatten());
    let elements = computed.filter_map(|&id| {
        graph.shape(id)?.iter().map(|d| d.at(1).map(|n| n as u64)).product::<Option<u64>>()
    });
    4 * elements.sum::<u64>()
}

/// How many rows (1..=`most`) a batch may have for the values that `graph` computes to stay within `bytes`, all together.
pub fn batch_within(graph: &Graph, bytes: u64, most: u64) -> usize {
    (bytes / computed_bytes(graph).max(1)).clamp(1, most) as usize
}

#[cfg(test)]
mod tests {
    use super::{batch_within, computed_bytes};
    use crate::builder::Builder;
    use crate::graph::Graph;
    use crate::shape::Dim;
    use crate::tensor::DataType;

    #[test]
    fn what_is_computed_counts_and_inputs_do_not() {
        let b = Builder::new(Graph::new(18));
        let x = b.input("x", DataType::Float, &[Dim::Batch(2), Dim::Fixed(3)]);
        let y = (x + 1.0).sum(&[1], true).id();
        let mut graph = b.finish().unwrap();
        graph.outputs = vec![y];
        assert_eq!(computed_bytes(&graph), 4 * (6 + 2));
        assert_eq!([31, 100, 1000].map(|bytes| batch_within(&graph, bytes, 8)), [1, 3, 8]);
    }
}
