//! Layer-wise relevance propagation: the sweep carries relevance R instead of gradients (Bach et al. 2015), and
//! excitation backprop, its zero-bias z⁺ form that carries probabilities (Zhang et al. 2018).
//!
//! Every rule for a layer z = Σ_i x_i w_i + b has the form R_i = Σ_terms x̃_i · (∂z̃/∂x̃_i)ᵀ (R / z̃), with modified
//! inputs x̃ and weights w̃ (Montavon et al. 2019, table 1). Σ R is conserved except for what biases absorb: the fraction b / z in each
//! layer ([`Composite::biases`]).

use std::collections::HashSet;

use super::policy::{Policy, is_relu, negative, positive};
use super::sweep::Sweep;
use crate::builder::Expr;
use crate::error::{GraphError, Result};
use crate::graph::{Graph, Node, ValueId};

/// A rule for layers with weights (Conv, Gemm, MatMul).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LayerRule {
    /// R_i = x_i w_i R / (z + ε sign z) (Bach et al. 2015, equation 58).
    Epsilon(f32),
    /// Positive weights count 1 + γ times (Montavon et al. 2019, table 1; for z < 0 the negative ones, Andéol et al. 2021).
    Gamma(f32),
    /// α times positive minus β times negative contributions, α − β = 1 (Bach et al. 2015, equation 60).
    AlphaBeta(f32, f32),
    /// Squared weights, independent of x (Montavon et al. 2017).
    WSquare,
    /// Equal weights, independent of x (Lapuschkin et al. 2019).
    Flat,
    /// For pixels between `low` and `high`, in the model's input units (z^B rule, Montavon et al. 2017).
    ZBox(f32, f32),
    /// Positive contributions only, no bias (Zhang et al. 2018).
    Excitation,
    /// Excitation, minus excitation for the negated weights (Zhang et al. 2018).
    ContrastiveExcitation,
}

/// A composite (Kohlbrenner et al. 2020): which rule for which layer.
#[derive(Clone, Copy, Debug)]
pub struct Composite {
    /// For layers with no weighted layer between them and the image; `None`: no special rule.
    pub first: Option<LayerRule>,
    /// For convolutions.
    pub conv: LayerRule,
    /// For matrix products.
    pub dense: LayerRule,
    /// For layers with no weighted layer after them; `None`: no special rule.
    pub last: Option<LayerRule>,
    /// Whether a bias absorbs the relevance of its contribution, which then reaches no pixel. If not, it is shared among the inputs.
    pub biases: bool,
}

/// Added to denominators, with their sign.
const STABILISER: f32 = 1e-6;

/// Elementwise operators of one input, through which relevance passes unchanged.
const PASS: &[&str] = &[
    "BatchNormalization",
    "Cast",
    "Clip",
    "Dropout",
    "HardSwish",
    "Identity",
    "LeakyRelu",
    "Neg",
    "Relu",
    "Sigmoid",
    "HardSigmoid",
    "Tanh",
];
/// Sums without weights: R_i = x_i ∂y/∂x_i R / y.
const SUMS: &[&str] = &["Add", "AveragePool", "GlobalAveragePool", "ReduceMean", "ReduceSum", "Sub", "Sum"];
/// Operators that move or select elements: their gradient rule moves relevance in the same way.
const MOVES: &[&str] = &[
    "Concat",
    "Flatten",
    "GlobalMaxPool",
    "MaxPool",
    "Pad",
    "Reshape",
    "Slice",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
];

/// The policy of a composite. Seed it with the class's score (then Σ R is the score) or, for excitation, with 1.
///
/// For an operator that relevance is not defined for, the sweep fails.
pub fn lrp(graph: &Graph, input: ValueId, composite: Composite) -> Policy<'static> {
    let (first, last) = (first_layers(graph, input), last_layers(graph));
    let layer = |n: &Node| is_layer(n);
    let by =
        move |rule: LayerRule| move |s: &mut Sweep<'_>, n: &Node| layer_rule(s, n, rule, composite.biases);
    Policy::default()
        .with(
            move |_, n| layer(n) && composite.first.is_some() && first.contains(&n.output()),
            by(composite.first.unwrap_or(composite.conv)),
        )
        .with(
            move |_, n| layer(n) && composite.last.is_some() && last.contains(&n.output()),
            by(composite.last.unwrap_or(composite.dense)),
        )
        .with(|_, n| n.op == "Conv", by(composite.conv))
        .with(|_, n| is_layer(n), by(composite.dense))
        .with(|_, n| SUMS.contains(&n.op.as_str()), move |s, n| sum_rule(s, n, composite.biases))
        .with(|_, n| PASS.contains(&n.op.as_str()), |s, n| s.add_grad(n, 0, s.dy(n)))
        .with(|_, n| n.op == "Mul" || n.op == "Div", product_rule)
        .with(|_, n| !MOVES.contains(&n.op.as_str()), refuse)
}

fn is_layer(n: &Node) -> bool {
    matches!(n.op.as_str(), "Conv" | "Gemm" | "MatMul")
}

/// Outputs of the layers with no other layer between them and the image.
fn first_layers(graph: &Graph, input: ValueId) -> HashSet<ValueId> {
    let mut plain = HashSet::from([input]);
    let mut first = HashSet::new();
    for n in &graph.nodes {
        if n.inputs.iter().flatten().any(|i| plain.contains(i)) {
            if is_layer(n) {
                first.insert(n.output())
            } else {
                plain.insert(n.output())
            };
        }
    }
    first
}

/// Outputs of the layers with no other layer after them.
fn last_layers(graph: &Graph) -> HashSet<ValueId> {
    let layers = || graph.nodes.iter().filter(|n| is_layer(n));
    let read: Vec<ValueId> = layers().filter_map(|n| n.input(0)).collect();
    let before = graph.ancestors(&read);
    layers().map(Node::output).filter(|o| !before.contains(o)).collect()
}

fn layer_rule<'b>(s: &mut Sweep<'b>, n: &Node, rule: LayerRule, biases: bool) -> Result<()> {
    use Part::{All, Fill, Negative, One, Positive, Square, WithNegative, WithPositive};
    // A MatMul may have its weight on the left.
    let at = usize::from(!s.needs(n, 0));
    if s.needs(n, 0) && s.needs(n, 1) {
        return product_rule(s, n);
    }
    let (r, z) = (s.full_dy(n)?, s.output(n));
    let stable = |r: Expr<'b>, terms: &[Term], epsilon: f32| shared(s, n, (at, biases), r, terms, epsilon);
    let share = |r: Expr<'b>, terms: &[Term]| stable(r, terms, STABILISER);
    let dx = match rule {
        LayerRule::Epsilon(epsilon) => stable(r, &[Term(1.0, All, All, Some(All))], epsilon)?,
        LayerRule::Gamma(g) => {
            let (up, down) = (WithPositive(g), WithNegative(g));
            let above = [Term(1.0, Positive, up, Some(up)), Term(1.0, Negative, down, None)];
            let below = [Term(1.0, Positive, down, Some(down)), Term(1.0, Negative, up, None)];
            share(r * z.is_positive(), &above)? + share(r * (-z).is_positive(), &below)?
        }
        LayerRule::AlphaBeta(alpha, beta) => {
            let up = [Term(1.0, Positive, Positive, Some(Positive)), Term(1.0, Negative, Negative, None)];
            let down = [Term(1.0, Positive, Negative, Some(Negative)), Term(1.0, Negative, Positive, None)];
            let plus = share(r, &up)? * alpha;
            if beta == 0.0 { plus } else { plus - share(r, &down)? * beta }
        }
        LayerRule::WSquare => share(r, &[Term(1.0, One, Square, None)])?,
        LayerRule::Flat => share(r, &[Term(1.0, One, One, None)])?,
        LayerRule::ZBox(low, high) => {
            let terms = [
                Term(1.0, All, All, None),
                Term(-1.0, Fill(low), Positive, None),
                Term(-1.0, Fill(high), Negative, None),
            ];
            share(r, &terms)?
        }
        LayerRule::Excitation => share(r, &EXCITATORY)?,
        LayerRule::ContrastiveExcitation => share(r, &EXCITATORY)? - share(r, &INHIBITORY)?,
    };
    s.add_grad(n, at, dx)
}

/// How a rule modifies inputs or weights.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    All,
    Positive,
    Negative,
    /// v + γ v⁺
    WithPositive(f32),
    /// v + γ v⁻
    WithNegative(f32),
    Square,
    One,
    Fill(f32),
}

impl Part {
    fn of(self, v: Expr<'_>) -> Expr<'_> {
        match self {
            Part::All => v,
            Part::Positive => positive(v),
            Part::Negative => negative(v),
            Part::WithPositive(gamma) => v + positive(v) * gamma,
            Part::WithNegative(gamma) => v + negative(v) * gamma,
            Part::Square => v * v,
            Part::One => v * 0.0 + 1.0,
            Part::Fill(value) => v * 0.0 + value,
        }
    }
}

/// One term of a rule's denominator: its sign, and how inputs, weights and bias are modified (`None`: the bias is left out).
struct Term(f32, Part, Part, Option<Part>);

const EXCITATORY: [Term; 2] =
    [Term(1.0, Part::Positive, Part::Positive, None), Term(1.0, Part::Negative, Part::Negative, None)];
/// For the negated weights, up to a sign that cancels in the quotient R / z.
const INHIBITORY: [Term; 2] =
    [Term(1.0, Part::Positive, Part::Negative, None), Term(1.0, Part::Negative, Part::Positive, None)];

/// Σ_terms ± x̃ · (∂z̃/∂x̃)ᵀ (R / Σ_terms ± z̃) for the layer's input `at`; with `biases`, the denominators include the biases.
fn shared<'b>(
    s: &Sweep<'b>,
    n: &Node,
    (at, biases): (usize, bool),
    r: Expr<'b>,
    terms: &[Term],
    epsilon: f32,
) -> Result<Expr<'b>> {
    let x = s.input(n, at)?;
    // After a ReLU the terms of negative inputs are zero: skip their convolutions.
    let nothing_below = s.builder().with(|g| non_negative(g, x.id()));
    let mut sums = vec![];
    for Term(sign, input, weight, bias) in terms {
        if nothing_below && *input == Part::Negative {
            continue;
        }
        let input = if nothing_below && *input == Part::Positive { x } else { input.of(x) };
        let mut inputs: Vec<Option<Expr<'b>>> = vec![None; 2];
        inputs[at] = Some(input);
        inputs[1 - at] = Some(weight.of(s.input(n, 1 - at)?));
        if let (true, Some(bias), Some(_)) = (biases, bias, n.input(2)) {
            inputs.push(Some(bias.of(s.input(n, 2)?)));
        }
        sums.push((*sign, input, s.again(n, &inputs)));
    }
    let total = sums.iter().map(|(sign, _, sum)| s.output(sum) * *sign).reduce(|a, b| a + b);
    let ratio = match total {
        Some(z) => r / stabilised(z, epsilon),
        None => return Ok(x * 0.0),
    };
    let mut parts = vec![];
    for (sign, input, sum) in &sums {
        parts.push(*input * s.pull(sum, ratio, at)? * *sign);
    }
    Ok(parts.into_iter().reduce(|a, b| a + b).unwrap_or(x * 0.0))
}

/// z + ε sign(z), with sign(0) = 1
fn stabilised(z: Expr<'_>, epsilon: f32) -> Expr<'_> {
    let sign = z.op("Sign", &[], &[]);
    z + (sign + (1.0 - sign * sign)) * epsilon
}

/// Whether a value cannot be negative, by the operators that make it.
fn non_negative(graph: &Graph, id: ValueId) -> bool {
    // Forward over the nodes: walking backward would visit shared branches again and again.
    let mut known: HashSet<ValueId> = HashSet::new();
    for n in &graph.nodes {
        let holds = match n.op.as_str() {
            "Sigmoid" | "HardSigmoid" | "Softmax" => true,
            "Relu" | "Clip" => is_relu(graph, n),
            "Add" | "Sum" | "Concat" => n.inputs.iter().flatten().all(|i| known.contains(i)),
            "MaxPool" | "AveragePool" | "GlobalAveragePool" | "GlobalMaxPool" | "Reshape" | "Flatten"
            | "Slice" | "Squeeze" | "Unsqueeze" | "Transpose" | "ReduceMean" => {
                n.input(0).is_some_and(|i| known.contains(&i))
            }
            _ => false,
        };
        if n.outputs.contains(&Some(id)) {
            return holds;
        }
        if holds {
            known.extend(n.outputs.iter().flatten());
        }
    }
    false
}

/// y linear in its inputs: R_i = x_i · (∂y/∂x_i)ᵀ (R / y). A constant is a bias.
fn sum_rule(s: &mut Sweep, n: &Node, biases: bool) -> Result<()> {
    let takes: Vec<usize> = (0..n.inputs.len()).filter(|&i| s.needs(n, i)).collect();
    if let (false, [one], [_, _]) = (biases, &takes[..], &n.inputs[..])
        && (n.op == "Add" || n.op == "Sub")
    {
        let r = s.full_dy(n)?;
        return s.add_grad(n, *one, r);
    }
    let ratio = s.full_dy(n)? / stabilised(s.output(n), STABILISER);
    let mut done = vec![];
    for i in takes {
        // For a value added to itself, one pull returns both of its shares.
        if !done.contains(&n.input(i)) {
            done.push(n.input(i));
            let share = s.input(n, i)? * s.pull(n, ratio, i)?;
            s.add_grad(n, i, share)?;
        }
    }
    Ok(())
}

/// A product with a constant passes relevance on. A gate (the output of a Sigmoid, HardSigmoid or Softmax) takes none; the signal that it
/// multiplies takes all of it (Arras et al. 2017). Of two signals (matrix products of attention) each takes half, in proportion to its
/// contributions.
fn product_rule(s: &mut Sweep, n: &Node) -> Result<()> {
    let is_gate = |s: &Sweep, i: usize| {
        let gates = ["Sigmoid", "HardSigmoid", "Softmax"];
        let made_by = |g: &Graph| {
            let found = g.nodes.iter().find(|m| m.outputs.contains(&n.input(i)) && n.input(i).is_some());
            found.is_some_and(|m| gates.contains(&m.op.as_str()))
        };
        s.builder().with(made_by)
    };
    let takes: Vec<usize> = (0..2).filter(|&i| s.needs(n, i)).collect();
    let signals: Vec<usize> = takes.iter().copied().filter(|&i| !is_gate(s, i)).collect();
    let signals = if signals.is_empty() { takes } else { signals };
    if n.op == "Div" && s.needs(n, 1) {
        return refuse(s, n);
    }
    let ratio = s.full_dy(n)? / stabilised(s.output(n), STABILISER) * (1.0 / signals.len() as f32);
    for &i in &signals {
        let factor = s.pull(n, ratio, i)?;
        s.add_grad(n, i, s.input(n, i)? * factor)?;
    }
    Ok(())
}

fn refuse(_: &mut Sweep, n: &Node) -> Result<()> {
    Err(GraphError::unsupported(
        n,
        "relevance propagation is not defined for this operator; choose another method",
    ))
}
