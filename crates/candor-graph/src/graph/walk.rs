//! Producers and consumers of values, and dependencies between values.

use std::collections::{HashMap, HashSet};

use super::{Graph, ValueId};

impl Graph {
    /// For each value, the index of the node that produces it.
    pub fn producers(&self) -> HashMap<ValueId, usize> {
        let mut map = HashMap::new();
        for (i, node) in self.nodes.iter().enumerate() {
            for out in node.outputs.iter().flatten() {
                map.insert(*out, i);
            }
        }
        map
    }

    /// For each value, the indices of the nodes that read it, once per reading input.
    pub fn consumers(&self) -> HashMap<ValueId, Vec<usize>> {
        let mut map: HashMap<ValueId, Vec<usize>> = HashMap::new();
        for (i, node) in self.nodes.iter().enumerate() {
            for input in node.inputs.iter().flatten() {
                map.entry(*input).or_default().push(i);
            }
        }
        map
    }

    /// Values that depend on any of `from` (which are included).
    pub fn descendants(&self, from: &[ValueId]) -> HashSet<ValueId> {
        let mut set: HashSet<ValueId> = from.iter().copied().collect();
        for node in &self.nodes {
            if node.inputs.iter().flatten().any(|i| set.contains(i)) {
                set.extend(node.outputs.iter().flatten());
            }
        }
        set
    }

    /// Values on which any of `of` depends (which are included).
    pub fn ancestors(&self, of: &[ValueId]) -> HashSet<ValueId> {
        let mut set: HashSet<ValueId> = of.iter().copied().collect();
        for node in self.nodes.iter().rev() {
            if node.outputs.iter().flatten().any(|o| set.contains(o)) {
                set.extend(node.inputs.iter().flatten());
            }
        }
        set
    }

    /// Number of nodes on the longest path.
    pub fn depth(&self) -> usize {
        let mut depths: HashMap<ValueId, usize> = HashMap::new();
        let mut deepest = 0;
        for node in &self.nodes {
            let before = node.inputs.iter().flatten().filter_map(|id| depths.get(id)).max();
            let depth = before.copied().unwrap_or(0) + 1;
            depths.extend(node.outputs.iter().flatten().map(|&id| (id, depth)));
            deepest = deepest.max(depth);
        }
        deepest
    }
}
