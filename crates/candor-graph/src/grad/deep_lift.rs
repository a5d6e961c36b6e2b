//! DeepLIFT, rescale rule: the sweep carries multipliers Δy/Δx against a reference input (Shrikumar et al. 2017), so
//! that Σ (x − x₀) · m = S(x) − S(x₀).

use std::collections::HashMap;
use std::rc::Rc;

use super::policy::Policy;
use super::sweep::Sweep;
use crate::builder::Expr;
use crate::error::{GraphError, Result};
use crate::graph::{Graph, Node, ValueId};

/// Below this |Δx| the quotient is dominated by rounding; the gradient, its limit, is used instead.
const NEAR: f32 = 1e-6;

/// Elementwise operators of one input.
const ELEMENTWISE: &[&str] = &[
    "Abs",
    "Clip",
    "Exp",
    "HardSigmoid",
    "HardSwish",
    "LeakyRelu",
    "Log",
    "Relu",
    "Sigmoid",
    "Sqrt",
    "Tanh",
];
/// Operators whose output is not a sum of separate effects of their inputs.
const REFUSED: &[&str] = &["LogSoftmax", "Softmax"];

/// For each value that depends on an input, the value that the copy for the reference computes.
pub type Twins = HashMap<ValueId, ValueId>;

/// Appends a copy of all nodes that depend on `input`, which reads `reference` (of the same shape) instead.
pub fn twin(graph: &mut Graph, input: ValueId, reference: ValueId) -> Twins {
    let mut twins = HashMap::from([(input, reference)]);
    for n in graph.nodes.clone() {
        if !n.inputs.iter().flatten().any(|i| twins.contains_key(i)) {
            continue;
        }
        let mut copy = n.clone();
        copy.name = format!("{}_reference", n.name);
        for id in copy.inputs.iter_mut().flatten() {
            *id = twins.get(id).copied().unwrap_or(*id);
        }
        for id in copy.outputs.iter_mut().flatten() {
            let twin = graph.add_value(&format!("{}_reference", graph.name(*id)), graph.value(*id).dtype);
            graph.set_sym(twin, graph.sym(*id).clone(), None);
            twins.insert(*id, twin);
            *id = twin;
        }
        graph.nodes.push(copy);
    }
    twins
}

/// The rescale rule's policy. `twins` is what [`twin`] returned for the image.
pub fn rescale(twins: Twins) -> Policy<'static> {
    let twins = Rc::new(twins);
    let [a, b, c, d, e] = [(); 5].map(|()| twins.clone());
    Policy::default()
        .with(|_, n| ELEMENTWISE.contains(&n.op.as_str()), move |s, n| elementwise(s, n, &a))
        .with(|_, n| n.op == "MaxPool" || n.op == "GlobalMaxPool", move |s, n| max_pool(s, n, &b))
        .with(
            move |_, n| {
                n.op == "Mul" && [0, 1].iter().all(|&i| n.input(i).is_some_and(|id| c.contains_key(&id)))
            },
            move |s, n| product(s, n, &d),
        )
        .with(
            move |_, n| {
                let of_two = n.op == "Div" || n.op == "MatMul";
                REFUSED.contains(&n.op.as_str()) || of_two && n.input(1).is_some_and(|id| e.contains_key(&id))
            },
            |_, n| {
                let reason =
                    "DeepLIFT's rescale rule is not defined for this operator; choose another method";
                Err(GraphError::unsupported(n, reason))
            },
        )
}

fn reference<'b>(s: &Sweep<'b>, twins: &Twins, value: Expr<'b>) -> Expr<'b> {
    s.builder().value(twins.get(&value.id()).copied().unwrap_or(value.id()))
}

/// f(x): dx = dy · Δy/Δx, or the gradient where |Δx| is close to zero
fn elementwise(s: &mut Sweep, n: &Node, twins: &Twins) -> Result<()> {
    let (x, y, dy) = (s.input(n, 0)?, s.output(n), s.full_dy(n)?);
    let (dx, dout) = (x - reference(s, twins, x), y - reference(s, twins, y));
    let gradient = s.pull(n, dy, 0)?;
    s.add_grad(n, 0, quotient(dy * dout, dx, gradient))
}

/// max pool: Δx · dx = dy · (max(y, y₀) − y₀) at x's maximum + dy · (y − max(y, y₀)) at x₀'s
fn max_pool(s: &mut Sweep, n: &Node, twins: &Twins) -> Result<()> {
    let (x, y, dy) = (s.input(n, 0)?, s.output(n), s.full_dy(n)?);
    let (x0, y0) = (reference(s, twins, x), reference(s, twins, y));
    let gain = (y - y0).op("Relu", &[], &[]);
    let at_reference = s.again(n, &[Some(x0)]);
    let moved = s.pull(n, dy * gain, 0)? + s.pull(&at_reference, dy * (y - y0 - gain), 0)?;
    let gradient = s.pull(n, dy, 0)?;
    s.add_grad(n, 0, quotient(moved, x - x0, gradient))
}

/// a · b: da = dy · (b + b₀)/2, db = dy · (a + a₀)/2, which is exact: Δ(ab) = Δa·b̄ + Δb·ā
fn product(s: &mut Sweep, n: &Node, twins: &Twins) -> Result<()> {
    let dy = s.full_dy(n)?;
    for (i, other) in [(0, 1), (1, 0)] {
        let b = s.input(n, other)?;
        s.add_grad(n, i, dy * ((b + reference(s, twins, b)) * 0.5))?;
    }
    Ok(())
}

/// above / below where |below| > NEAR, else `instead`
fn quotient<'b>(above: Expr<'b>, below: Expr<'b>, instead: Expr<'b>) -> Expr<'b> {
    let far = (below.op("Abs", &[], &[]) - NEAR).is_positive();
    let near = 1.0 - far;
    above * far / (below * far + near) + instead * near
}
