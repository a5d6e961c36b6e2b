//! Policies: ordered overrides of the table's rules, which turn the one sweep into guided backprop, LRP and similar methods.

use super::sweep::Sweep;
use crate::builder::Expr;
use crate::error::Result;
use crate::graph::{Graph, Node};

type Predicate<'p> = Box<dyn Fn(&Graph, &Node) -> bool + 'p>;
type Override<'p> = Box<dyn Fn(&mut Sweep<'_>, &Node) -> Result<()> + 'p>;

/// An ordered list of (predicate on a node → rule). The first predicate that holds decides; a node for which none holds
/// uses the table's rule. The policy defines what the sweep carries (gradients, relevance, multipliers).
#[derive(Default)]
pub struct Policy<'p> {
    overrides: Vec<(Predicate<'p>, Override<'p>)>,
}

impl<'p> Policy<'p> {
    /// The policy with one more override, after those it has.
    pub fn with(
        mut self,
        when: impl Fn(&Graph, &Node) -> bool + 'p,
        rule: impl Fn(&mut Sweep<'_>, &Node) -> Result<()> + 'p,
    ) -> Self {
        self.overrides.push((Box::new(when), Box::new(rule)));
        self
    }

    /// The override for this node, if any.
    pub(super) fn rule(&self, graph: &Graph, node: &Node) -> Option<&Override<'p>> {
        self.overrides.iter().find(|(when, _)| when(graph, node)).map(|(_, rule)| rule)
    }
}

/// A ReLU: Relu, or a Clip from zero (ReLU6).
pub fn is_relu(graph: &Graph, node: &Node) -> bool {
    let from_zero = || node.input(1).and_then(|id| graph.known_float(id)) == Some(0.0);
    node.op == "Relu" || node.op == "Clip" && from_zero()
}

/// Guided backprop (Springenberg et al. 2015). relu: dx = dy⁺ where x > 0
pub fn guided_backprop() -> Policy<'static> {
    Policy::default().with(is_relu, |s, n| {
        let dx = s.pull(n, positive(s.dy(n)), 0)?;
        s.add_grad(n, 0, dx)
    })
}

/// Deconvnet (Zeiler and Fergus 2014, section 2.1). relu: dx = dy⁺, whatever x was
pub fn deconvnet() -> Policy<'static> {
    Policy::default().with(is_relu, |s, n| s.add_grad(n, 0, positive(s.dy(n))))
}

/// max(x, 0)
pub(super) fn positive(x: Expr<'_>) -> Expr<'_> {
    x.op("Relu", &[], &[])
}

/// min(x, 0)
pub(super) fn negative(x: Expr<'_>) -> Expr<'_> {
    -positive(-x)
}
