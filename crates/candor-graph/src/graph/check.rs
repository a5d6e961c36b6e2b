//! The invariants of every graph, and a check of its constants.

use std::collections::HashSet;

use super::{Graph, Node, ValueId};
use crate::error::{GraphError, Result};

impl Graph {
    /// Checks the invariants.
    ///
    /// # Errors
    /// [`GraphError::Malformed`] naming the first node or value that breaks one.
    pub fn check(&self) -> Result<()> {
        let mut ready: HashSet<ValueId> = self.inputs.iter().copied().collect();
        for id in self.value_ids() {
            if self.constant(id).is_some() && !ready.insert(id) {
                return malformed(format!("'{}' is both an input and an initializer", self.name(id)));
            }
        }
        for node in &self.nodes {
            self.check_node(node, &mut ready)?;
        }
        match self.outputs.iter().find(|output| !ready.contains(output)) {
            Some(&output) => malformed(format!("output '{}' is produced by nothing", self.name(output))),
            None => Ok(()),
        }
    }

    /// Checks that a node reads only values in `ready` and produces only values that are not; then adds its outputs to `ready`.
    fn check_node(&self, node: &Node, ready: &mut HashSet<ValueId>) -> Result<()> {
        for input in node.inputs.iter().flatten() {
            if input.index() >= self.values.len() {
                return malformed(format!("{} reads a value that does not exist", node.shown()));
            }
            if !ready.contains(input) {
                return malformed(format!(
                    "{} reads '{}', which nothing before it produces (dangling or a cycle)",
                    node.shown(),
                    self.name(*input)
                ));
            }
        }
        if node.outputs.iter().flatten().next().is_none() {
            return malformed(format!("{} has no output", node.shown()));
        }
        match node.outputs.iter().flatten().find(|output| !ready.insert(**output)) {
            Some(&output) => malformed(format!("'{}' is produced twice", self.name(output))),
            None => Ok(()),
        }
    }

    /// Refuses a graph with a NaN in a constant that some node reads.
    ///
    /// # Errors
    /// [`GraphError::Tensor`] naming the first.
    pub fn check_finite(&self) -> Result<()> {
        for node in &self.nodes {
            for &id in node.inputs.iter().flatten() {
                if let Some((index, value)) = self.constant(id).and_then(|t| t.first_not_finite())
                    && value.is_nan()
                {
                    return Err(GraphError::Tensor {
                        tensor: self.name(id).to_string(),
                        reason: format!(
                            "element {index} is NaN (read by {}); the weights are damaged",
                            node.shown()
                        ),
                    });
                }
            }
        }
        Ok(())
    }
}

fn malformed<T>(what: String) -> Result<T> {
    Err(GraphError::Malformed(what))
}
