//! Memory of a graph's values.

use std::collections::{HashMap, HashSet};

use crate::graph::{Graph, ValueId};
use crate::shape::Dim;

/// Bytes of all values that the nodes compute for a batch of one, at four bytes an element; a value of unknown shape counts as zero.
/// An upper bound of what an engine holds at once, since engines free a value after its last reader.
pub fn computed_bytes(graph: &Graph) -> u64 {
    let computed = graph.nodes.iter().flat_map(|n| n.outputs.iter().flatten());
    let bytes = computed.map(|&id| Bytes::of(graph, id).at(1));
    bytes.fold(0, u64::saturating_add)
}

/// The largest batch size (1..=`most`) at which all values that `graph` computes together stay within `bytes`.
pub fn batch_within(graph: &Graph, bytes: u64, most: u64) -> usize {
    (bytes / computed_bytes(graph).max(1)).clamp(1, most) as usize
}

/// Bytes that a run of a graph holds at once, for any batch size.
#[derive(Clone, Debug, Default)]
pub struct Footprint(Vec<Step>);

/// What a node allocates, and what is freed after it because it was the last reader: bytes, and bytes per image of a batch.
#[derive(Clone, Copy, Debug, Default)]
struct Step {
    taken: Bytes,
    given_back: Bytes,
}

#[derive(Clone, Copy, Debug, Default)]
struct Bytes {
    fixed: u64,
    each: u64,
}

impl Bytes {
    /// Size of a value, at four bytes an element; zero if its shape is not known.
    fn of(graph: &Graph, id: ValueId) -> Self {
        let shape = graph.shape(id).unwrap_or_else(|| vec![Dim::Unknown]);
        let bytes = shape.iter().try_fold(4u64, |n, d| Some(n.saturating_mul(d.at(1)? as u64)));
        match bytes {
            None => Bytes::default(),
            Some(each) if shape.iter().any(|d| matches!(d, Dim::Batch(_))) => Bytes { fixed: 0, each },
            Some(fixed) => Bytes { fixed, each: 0 },
        }
    }

    fn add(&mut self, other: Bytes) {
        self.fixed = self.fixed.saturating_add(other.fixed);
        self.each = self.each.saturating_add(other.each);
    }

    fn at(self, batch: usize) -> u64 {
        self.fixed.saturating_add(self.each.saturating_mul(batch as u64))
    }
}

impl Footprint {
    /// Footprint of a graph whose nodes run in order and whose values are freed after their last reader.
    pub fn of(graph: &Graph) -> Self {
        let stays: HashSet<ValueId> = graph.outputs.iter().copied().collect();
        let mut last: HashMap<ValueId, usize> = HashMap::new();
        for (i, node) in graph.nodes.iter().enumerate() {
            last.extend(node.inputs.iter().chain(&node.outputs).flatten().map(|&id| (id, i)));
        }
        let mut steps = vec![Step::default(); graph.nodes.len()];
        for (i, node) in graph.nodes.iter().enumerate() {
            for &id in node.outputs.iter().flatten() {
                let bytes = Bytes::of(graph, id);
                steps[i].taken.add(bytes);
                if let (Some(&at), false) = (last.get(&id), stays.contains(&id)) {
                    steps[at].given_back.add(bytes);
                }
            }
        }
        Footprint(steps)
    }

    /// Peak memory in bytes at a batch size. Inputs and constants are not counted.
    pub fn peak(&self, batch: usize) -> u64 {
        let (mut held, mut peak) = (0u64, 0);
        for step in &self.0 {
            held = held.saturating_add(step.taken.at(batch));
            peak = peak.max(held);
            held = held.saturating_sub(step.given_back.at(batch));
        }
        peak
    }
}

#[cfg(test)]
mod tests {
    use super::{Footprint, batch_within, computed_bytes};
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

    #[test]
    fn values_that_nobody_reads_any_more_are_not_held() {
        let b = Builder::new(Graph::new(18));
        let x = b.input("x", DataType::Float, &[Dim::Batch(1), Dim::Fixed(10)]);
        let early = x + 1.0;
        let chain = (early * 2.0).sqrt().sqrt();
        let y = (chain + early).id();
        let mut graph = b.finish().unwrap();
        graph.outputs = vec![y];
        // `early` and the two ends of one step of the other chain; the last sum holds both and its own result.
        assert_eq!(Footprint::of(&graph).peak(1), 4 * 30);
        assert_eq!(Footprint::of(&graph).peak(5), 5 * 4 * 30);
    }
}
