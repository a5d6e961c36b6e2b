//! Einstein summation: each gradient is again one.

use crate::builder::Expr;
use crate::error::{GraphError, Result};
use crate::grad::Sweep;
use crate::graph::{Attr, Node};

/// einsum "a,b→y": da = einsum "y,b→a", db = einsum "y,a→b"
pub(crate) fn einsum(s: &mut Sweep, n: &Node) -> Result<()> {
    let equation: String = n.text("equation", "").chars().filter(|c| !c.is_whitespace()).collect();
    let refuse =
        |what: &str| GraphError::no_gradient(n, format!("'{equation}' {what}; write it with MatMul"));
    let (left, output) = equation.split_once("->").ok_or_else(|| refuse("does not name its output"))?;
    let terms: Vec<&str> = left.split(',').collect();
    if equation.contains('.') {
        return Err(refuse("has an ellipsis, which has no rule"));
    }
    let dy = s.full_dy(n)?;
    for (i, term) in terms.iter().enumerate() {
        if !s.needs(n, i) {
            continue;
        }
        let others: Vec<usize> = (0..terms.len()).filter(|k| k != &i).collect();
        let repeated = term.chars().any(|c| term.matches(c).count() > 1);
        if repeated {
            return Err(refuse("takes a diagonal, which has no rule"));
        }
        let reached = |c: char| output.contains(c) || others.iter().any(|&k| terms[k].contains(c));
        // An index that is summed over and occurs in this input only: the gradient is constant along it.
        let alone: Vec<usize> = (0..term.len()).filter(|&k| !reached(term.as_bytes()[k].into())).collect();
        let kept: String = term.chars().filter(|&c| reached(c)).collect();
        let left: Vec<&str> = std::iter::once(output).chain(others.iter().map(|&k| terms[k])).collect();
        let inputs = others.iter().map(|&k| s.input(n, k)).collect::<Result<Vec<Expr>>>()?;
        let equation = Attr::Text(format!("{}->{kept}", left.join(",")));
        let mut dx = dy.op("Einsum", &inputs, &[("equation", equation)]);
        if !alone.is_empty() {
            let axes: Vec<i64> = alone.iter().map(|&k| k as i64).collect();
            dx = dx.op("Unsqueeze", &[s.builder().ints(&axes)], &[]);
        }
        s.add_grad(n, i, dx)?;
    }
    Ok(())
}
