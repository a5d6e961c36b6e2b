//! Limits of inference: values must fit into memory, expressions must not grow without limit, and panics of the inference library
//! become errors.

use rten_shape_inference::{SymExpr, SymTensor, SymbolGen};

use super::{Dim, dim_of};
use crate::error::{GraphError, Result};
use crate::graph::Node;
use crate::guard;

/// Maximum number of elements of a value for one image.
const MOST_ELEMENTS: usize = 1 << 31;
/// Maximum number of terms of a size that is not a multiple of the batch size.
const MOST_TERMS: usize = 64;

/// Runs `infer`; a panic of the library (an overflow, for example) becomes an error.
///
/// # Errors
/// The library's own, or the panic's message.
pub(super) fn guarded<T>(infer: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    guard::guarded(infer).unwrap_or_else(|_| Err("its sizes overflow".to_string()))
}

/// Refuses a value too large to be held.
///
/// # Errors
/// [`GraphError::TooLarge`] with the limit.
pub(super) fn check_size(node: &Node, sym: &SymTensor) -> Result<()> {
    let Some(shape) = sym.shape() else { return Ok(()) };
    let mut known = shape.map(|d| match dim_of(&d) {
        Dim::Fixed(n) | Dim::Batch(n) => n,
        Dim::Unknown => 1,
    });
    let count = known.try_fold(1usize, usize::checked_mul);
    match count {
        Some(n) if n <= MOST_ELEMENTS => Ok(()),
        _ => Err(GraphError::too_large(
            node,
            format!("its output would have more than {MOST_ELEMENTS} elements"),
        )),
    }
}

/// Simplifies expressions: multiples of the batch size are written as such, and expressions of too many terms become unknown.
/// Otherwise chains of Reshape would accumulate products and quotients until they overflow.
pub(super) fn simple(sym: &SymTensor, symbols: &mut SymbolGen) -> SymTensor {
    let mut tidy = |e: &SymExpr| {
        if terms(e, MOST_TERMS) == 0 {
            return symbols.gen_positive();
        }
        let simplified = guarded(|| Ok(e.simplify())).unwrap_or_else(|_| symbols.gen_positive());
        match dim_of(&simplified) {
            Dim::Unknown => simplified,
            known => known.to_expr(),
        }
    };
    if let Some(value) = sym.as_scalar() {
        return SymTensor::from_scalar(tidy(value));
    }
    if let Some(values) = sym.as_vector() {
        return SymTensor::from_vec(values.iter().map(tidy).collect());
    }
    let dims: Option<Vec<SymExpr>> = sym.shape().map(|dims| dims.map(|d| tidy(&d)).collect());
    dims.map_or_else(|| sym.clone(), SymTensor::from_shape)
}

/// `most` minus the number of terms of an expression; 0 if there are more.
fn terms(expression: &SymExpr, most: usize) -> usize {
    let most = most.saturating_sub(1);
    match expression {
        _ if most == 0 => 0,
        SymExpr::Value(_) | SymExpr::Var(_) => most,
        SymExpr::Neg(x) => terms(x, most),
        SymExpr::Add(a, b)
        | SymExpr::Sub(a, b)
        | SymExpr::Mul(a, b)
        | SymExpr::Div(a, b)
        | SymExpr::DivCeil(a, b)
        | SymExpr::Max(a, b)
        | SymExpr::Min(a, b)
        | SymExpr::Broadcast(a, b) => terms(b, terms(a, most)),
    }
}
