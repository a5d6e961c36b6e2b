//! Maps node names in an engine's errors to the nodes of the user's file.

use std::collections::HashMap;

use super::{Graph, NodeName};

/// For each node that differs from the user's file, by the name that it has in the graph, its origin.
#[derive(Clone, Debug, Default)]
pub struct NodeNames(HashMap<String, NodeName>);

impl NodeNames {
    /// The names of a graph's nodes.
    pub fn of(graph: &Graph) -> Self {
        let names = graph.nodes.iter().map(|n| (&n.name, n.shown()));
        let invented = names.filter(|(name, shown)| shown.made.is_some() || shown.node != **name);
        NodeNames(invented.map(|(name, shown)| (name.clone(), shown)).collect())
    }

    /// An engine's text, followed by the node of the user's file if the text contains one of the names.
    pub fn explain(&self, text: &str) -> String {
        let named = self.0.iter().filter(|(name, _)| has_word(text, name));
        match named.max_by_key(|(name, _)| (name.len(), name.as_str())) {
            Some((_, shown)) => format!("{text} ({shown})"),
            None => text.to_string(),
        }
    }
}

/// Whether `text` contains `word`, and not as a part of a longer name.
fn has_word(text: &str, word: &str) -> bool {
    let inside = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    !word.is_empty()
        && text.match_indices(word).any(|(at, _)| {
            !inside(text[..at].chars().next_back()) && !inside(text[at + word.len()..].chars().next())
        })
}

#[cfg(test)]
mod tests {
    use super::super::{Node, Origin};
    use super::*;

    #[test]
    fn an_invented_name_is_explained_and_no_other() {
        let node = |name: &str, op: &str| Node::new(name, op, vec![], vec![], Default::default());
        let act = node("act7", "HardSwish");
        let made = |name: &str| node(name, "Mul").with_origin(Some(Origin::made_from(&act)));
        let mut graph = Graph::new(18);
        graph.nodes = vec![node("conv", "Conv"), made("candor_Mul_1"), made("candor_Mul_12")];
        let names = NodeNames::of(&graph);
        let text = "operator \"candor_Mul_12\" failed";
        assert_eq!(names.explain(text), format!("{text} (node 'act7' (HardSwish), in the Mul made from it)"));
        for other in ["operator \"conv\" failed", "operator \"candor_Mul_123\" failed"] {
            assert_eq!(names.explain(other), other);
        }
    }
}
