//! Activations that are short expressions of others.

use super::required;
use crate::builder::{Builder, Expr};
use crate::error::Result;
use crate::graph::{Attr, Node};

/// γ·elu(x)
pub(super) fn selu<'b>(b: &'b Builder, n: &Node) -> Result<Option<Vec<Expr<'b>>>> {
    let alpha = ("alpha", Attr::Float(n.float("alpha", 1.673_263_2)));
    Ok(Some(vec![required(b, n, 0)?.op("Elu", &[], &[alpha]) * n.float("gamma", 1.050_701)]))
}

/// x where x > 0, α(exp(x/α) − 1) elsewhere: α·elu(x/α)
pub(super) fn celu<'b>(b: &'b Builder, n: &Node) -> Result<Option<Vec<Expr<'b>>>> {
    let alpha = n.float("alpha", 1.0);
    Ok(Some(vec![(required(b, n, 0)? * (1.0 / alpha)).op("Elu", &[], &[]) * alpha]))
}

/// x·tanh(softplus(x))
pub(super) fn mish<'b>(b: &'b Builder, n: &Node) -> Result<Option<Vec<Expr<'b>>>> {
    let x = required(b, n, 0)?;
    Ok(Some(vec![x * x.op("Softplus", &[], &[]).op("Tanh", &[], &[])]))
}

/// x where x > α, 0 elsewhere
pub(super) fn thresholded_relu<'b>(b: &'b Builder, n: &Node) -> Result<Option<Vec<Expr<'b>>>> {
    let x = required(b, n, 0)?;
    Ok(Some(vec![x * (x - n.float("alpha", 1.0)).is_positive()]))
}

/// x − β where x > λ, x + β where x < −λ, 0 elsewhere
pub(super) fn shrink<'b>(b: &'b Builder, n: &Node) -> Result<Option<Vec<Expr<'b>>>> {
    let (x, lambda, bias) = (required(b, n, 0)?, n.float("lambd", 0.5), n.float("bias", 0.0));
    let (above, below) = ((x - lambda).is_positive(), (-x - lambda).is_positive());
    Ok(Some(vec![(x - bias) * above + (x + bias) * below]))
}
