//! Matrix products.

use crate::builder::Expr;
use crate::error::{GraphError, Result};
use crate::grad::Sweep;
use crate::graph::{Attr, Node};

/// y = α·op(A)·op(B) + β·C: dA = α·dy·op(B)ᵀ, dB = α·op(A)ᵀ·dy (each transposed back), dC = β·dy
pub(crate) fn gemm(s: &mut Sweep, n: &Node) -> Result<()> {
    let (a, b, dy) = (s.input(n, 0)?, s.input(n, 1)?, s.full_dy(n)?);
    let (trans_a, trans_b) = (n.int("transA", 0) != 0, n.int("transB", 0) != 0);
    let product = |left: Expr<'_>, trans_left: bool, right, trans_right: bool| {
        let attrs = [
            ("alpha", Attr::Float(n.float("alpha", 1.0))),
            ("transA", Attr::Int(trans_left.into())),
            ("transB", Attr::Int(trans_right.into())),
        ];
        left.builder().node("Gemm", &[Some(left), Some(right)], &attrs).id()
    };
    let at = s.builder();
    if s.needs(n, 0) {
        let da = if trans_a { product(b, trans_b, dy, true) } else { product(dy, false, b, !trans_b) };
        s.add_grad(n, 0, at.value(da))?;
    }
    if s.needs(n, 1) {
        let db = if trans_b { product(dy, true, a, trans_a) } else { product(a, !trans_a, dy, false) };
        s.add_grad(n, 1, at.value(db))?;
    }
    if s.needs(n, 2) {
        s.add_grad(n, 2, dy * n.float("beta", 1.0))?;
    }
    Ok(())
}

/// y = A·B over the last two axes: dA = dy·Bᵀ, dB = Aᵀ·dy
pub(crate) fn matmul(s: &mut Sweep, n: &Node) -> Result<()> {
    let (a, b, dy) = (s.input(n, 0)?, s.input(n, 1)?, s.full_dy(n)?);
    if a.shape()?.len() < 2 || b.shape()?.len() < 2 {
        return Err(GraphError::no_gradient(
            n,
            "products with vectors have no rule; Unsqueeze the vector first",
        ));
    }
    if s.needs(n, 0) {
        s.add_grad(n, 0, dy.op("MatMul", &[swap_last(b)?], &[]))?;
    }
    if s.needs(n, 1) {
        s.add_grad(n, 1, swap_last(a)?.op("MatMul", &[dy], &[]))?;
    }
    Ok(())
}

fn swap_last(x: Expr<'_>) -> Result<Expr<'_>> {
    let rank = x.shape()?.len();
    let mut perm: Vec<i64> = (0..rank as i64).collect();
    perm.swap(rank - 2, rank - 1);
    Ok(x.transpose(&perm))
}
