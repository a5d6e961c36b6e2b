//! The reverse sweep: walks the nodes backward; each node's rule adds to the gradients of its inputs.

use std::collections::{HashMap, HashSet};

use super::policy::Policy;
use super::table::{Entry, entry};
use crate::builder::{Builder, Expr};
use crate::error::{GraphError, Result};
use crate::graph::{Attr, Graph, Node, ValueId};
use crate::shape::Dim;
use crate::tensor::Tensor;

/// State of one reverse sweep, as rules see it.
pub struct Sweep<'b> {
    builder: &'b Builder,
    gradients: HashMap<ValueId, Expr<'b>>,
    needed: HashSet<ValueId>,
}

/// Appends to `graph` the gradient of Σ ⟨seed, output⟩ with respect to each of `wrt`, where `seeds` pairs
/// outputs with seeds of the same shape: a vector-Jacobian product. Returns the ids of the gradients, each with the shape
/// of its value. Only nodes between `wrt` and the outputs are differentiated.
///
/// # Errors
/// [`GraphError::NoGradient`] for a node on the way that has no rule, and any error of a rule.
pub fn gradients(
    graph: Graph,
    seeds: &[(ValueId, ValueId)],
    wrt: &[ValueId],
) -> Result<(Graph, Vec<ValueId>)> {
    propagate(graph, seeds, wrt, &Policy::default())
}

/// [`gradients`] with some of the table's rules overridden: the policy decides what is propagated back and returned for each of
/// `wrt`. With the empty policy it is the gradient.
///
/// # Errors
/// As [`gradients`], and any error of an override.
pub fn propagate(
    graph: Graph,
    seeds: &[(ValueId, ValueId)],
    wrt: &[ValueId],
    policy: &Policy<'_>,
) -> Result<(Graph, Vec<ValueId>)> {
    let nodes = graph.nodes.clone();
    let down = differentiable_descendants(&graph, wrt);
    let outputs: Vec<ValueId> = seeds.iter().map(|(o, _)| *o).collect();
    let up = graph.ancestors(&outputs);
    let needed = down.into_iter().filter(|id| up.contains(id)).collect();
    let builder = Builder::new(graph);
    let mut sweep = Sweep { builder: &builder, gradients: HashMap::new(), needed };
    for &(output, seed) in seeds {
        sweep.accumulate(output, builder.value(seed))?;
    }
    for node in nodes.iter().rev() {
        sweep.visit(node, policy)?;
        builder.check()?;
    }
    let mut found = vec![];
    for &id in wrt {
        let gradient = match sweep.gradients.get(&id) {
            Some(_) => sweep.full_gradient(id)?,
            // No differentiable path leads here: the gradient is zero.
            None => builder.value(id) * 0.0,
        };
        // An output must be a value of its own: not an input (the seed itself) and not another's gradient.
        let taken = found.contains(&gradient.id()) || seeds.iter().any(|(_, seed)| *seed == gradient.id());
        found.push(if taken { gradient.op("Identity", &[], &[]).id() } else { gradient.id() });
    }
    drop(sweep);
    Ok((builder.finish()?, found))
}

/// Values that depend on any of `from` in a way that can carry a gradient: not through an operator whose gradient is zero (Shape,
/// for example), and not as integers.
fn differentiable_descendants(graph: &Graph, from: &[ValueId]) -> HashSet<ValueId> {
    let mut set: HashSet<ValueId> = from.iter().copied().collect();
    for node in &graph.nodes {
        let reads = node.inputs.iter().flatten().any(|i| set.contains(i));
        if !reads || matches!(entry(&node.domain, &node.op), Some(Entry::Zero)) {
            continue;
        }
        let floats = |o: &ValueId| graph.value(*o).dtype.is_none_or(|t| t.is_float() || t.is_quantized());
        set.extend(node.outputs.iter().flatten().filter(|o| floats(o)));
    }
    set
}

impl<'b> Sweep<'b> {
    fn visit(&mut self, node: &Node, policy: &Policy<'_>) -> Result<()> {
        let wanted = node.inputs.iter().flatten().any(|i| self.needed.contains(i));
        let reached = node.outputs.iter().flatten().any(|o| self.gradients.contains_key(o));
        if !wanted || !reached {
            return Ok(());
        }
        self.builder.made_from(node, || self.apply(node, policy)).map_err(|e| e.at(node))
    }

    /// Lets the node's rule add to the gradients.
    fn apply(&mut self, node: &Node, policy: &Policy<'_>) -> Result<()> {
        let no_gradient = |reason: &str| Err(GraphError::no_gradient(node, reason));
        let mut reached = node.outputs.iter().flatten().filter(|o| self.gradients.contains_key(o));
        if let Some(rule) = self.builder.with(|g| policy.rule(g, node)) {
            return rule(self, node);
        }
        match entry(&node.domain, &node.op) {
            Some(Entry::Zero) => Ok(()),
            Some(Entry::Unsupported(reason)) => no_gradient(reason),
            None => no_gradient(
                "it is not in the table; the book says how to add it (Contributing, Adding an operator), or report the model",
            ),
            Some(Entry::Rule(_)) if node.op != "Split" && reached.any(|o| *o != node.output()) => {
                no_gradient("only its first output can be differentiated")
            }
            Some(Entry::Rule(rule)) => rule(self, node),
        }
    }

    /// The builder, for constants.
    pub fn builder(&self) -> &'b Builder {
        self.builder
    }

    /// Input `i` of a node.
    ///
    /// # Errors
    /// [`GraphError::Node`] if it is left out.
    pub fn input(&self, node: &Node, i: usize) -> Result<Expr<'b>> {
        let id = node.input(i).ok_or_else(|| GraphError::node(node, format!("input {i} is missing")))?;
        Ok(self.builder.value(id))
    }

    /// Output of a node.
    pub fn output(&self, node: &Node) -> Expr<'b> {
        self.builder.value(node.output())
    }

    /// Gradient with respect to the node's output; may be smaller than the output where it would be broadcast.
    /// For rules that multiply elementwise.
    pub fn dy(&self, node: &Node) -> Expr<'b> {
        self.gradients[&node.output()]
    }

    /// Gradient with respect to the node's output, in the output's full shape.
    ///
    /// # Errors
    /// If the output's shape is not known.
    pub fn full_dy(&self, node: &Node) -> Result<Expr<'b>> {
        self.full_gradient(node.output())
    }

    /// The gradient that the table's rule gives to input `i` if the output's gradient is `seed`: the building block of a policy's rules.
    /// If the node reads the input's value more than once, all of these uses count.
    ///
    /// # Errors
    /// As the table's rule.
    pub fn pull(&self, node: &Node, seed: Expr<'b>, i: usize) -> Result<Expr<'b>> {
        let x = self.input(node, i)?;
        let needed = HashSet::from([x.id()]);
        let gradients = HashMap::from([(node.output(), seed)]);
        let mut alone = Sweep { builder: self.builder, gradients, needed };
        alone.visit(node, &Policy::default())?;
        if alone.gradients.contains_key(&x.id()) { alone.full_gradient(x.id()) } else { Ok(x * 0.0) }
    }

    /// Appends the node once more with other inputs (`None`: omitted), for rules that modify inputs or weights.
    pub fn again(&self, node: &Node, inputs: &[Option<Expr<'b>>]) -> Node {
        let attrs: Vec<_> = node.attrs.iter().map(|(k, v)| (k.as_str(), v.clone())).collect();
        let output = self.builder.node(&node.op, inputs, &attrs).id();
        let appended = |g: &Graph| g.nodes.iter().rev().find(|n| n.outputs == [Some(output)]).cloned();
        self.builder.with(appended).expect("the builder has just appended it")
    }

    /// Gradient with respect to one of several outputs, in its full shape; zeros if nothing reached it.
    ///
    /// # Errors
    /// If the output's shape is not known.
    pub fn full_dy_of(&self, output: ValueId) -> Result<Expr<'b>> {
        match self.gradients.get(&output) {
            Some(_) => self.full_gradient(output),
            None => Ok(self.builder.value(output) * 0.0),
        }
    }

    /// Whether input `i` needs a gradient.
    pub fn needs(&self, node: &Node, i: usize) -> bool {
        node.input(i).is_some_and(|id| self.needed.contains(&id))
    }

    /// Adds to the gradient of input `i`. The gradient may have the shape of the node's output where the input was
    /// broadcast to it (it is summed here, once for all rules), or be broadcastable to the input.
    ///
    /// # Errors
    /// If a shape is not known.
    pub fn add_grad(&mut self, node: &Node, i: usize, gradient: Expr<'b>) -> Result<()> {
        match node.input(i) {
            Some(id) if self.needed.contains(&id) => self.accumulate(id, gradient),
            _ => Ok(()),
        }
    }

    fn accumulate(&mut self, id: ValueId, gradient: Expr<'b>) -> Result<()> {
        let gradient = un_broadcast(gradient, &self.builder.value(id).shape()?)?;
        let sum = match self.gradients.get(&id) {
            Some(&earlier) => earlier + gradient,
            None => gradient,
        };
        self.gradients.insert(id, sum);
        Ok(())
    }

    fn full_gradient(&self, id: ValueId) -> Result<Expr<'b>> {
        let gradient = self.gradients[&id];
        let want = self.builder.value(id).shape()?;
        if gradient.shape()? == want {
            return Ok(gradient);
        }
        let batched = |shape: &[Dim]| shape.iter().any(|d| d.fixed().is_none());
        if batched(&want) && !batched(&gradient.shape()?) {
            // The batch size is known only when the graph runs.
            let shape = self.builder.value(id).op("Shape", &[], &[]);
            return Ok(gradient.op("Expand", &[shape], &[]));
        }
        let target: Vec<i64> = want.iter().map(|d| d.fixed().map_or(1, |n| n as i64)).collect();
        let target = self.builder.ints(&target);
        Ok(gradient.op("Expand", &[target], &[]))
    }
}

/// Sums a gradient over the axes along which its value was broadcast.
fn un_broadcast<'b>(gradient: Expr<'b>, want: &[Dim]) -> Result<Expr<'b>> {
    let have = gradient.shape()?;
    if have == want || have.len() < want.len() {
        return Ok(gradient);
    }
    let extra = have.len() - want.len();
    let mut g = gradient;
    if extra > 0 {
        g = g.sum(&(0..extra as i64).collect::<Vec<_>>(), false);
    }
    let axes: Vec<i64> = (0..want.len())
        .filter(|&i| want[i] == Dim::Fixed(1) && have[i + extra] != Dim::Fixed(1))
        .map(|i| i as i64)
        .collect();
    const MOST_ONES: usize = 1 << 20;
    if let ([1], [_, Dim::Fixed(channels @ ..=MOST_ONES), Dim::Fixed(_), Dim::Fixed(_)]) =
        (&axes[..], &g.shape()?[..])
    {
        // Over all but the channels of feature maps: as a convolution with ones, which engines compute several times faster.
        let ones = Tensor::floats(&[1, *channels, 1, 1], vec![1.0; *channels])?;
        return Ok(g.op("Conv", &[g.builder().constant(ones)], &[("kernel_shape", Attr::Ints(vec![1, 1]))]));
    }
    Ok(if axes.is_empty() { g } else { g.sum(&axes, true) })
}
