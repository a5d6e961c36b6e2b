//! Undoes the fusions of ONNX Runtime's optimiser (domain com.microsoft).

use super::{input, required};
use crate::builder::{Builder, Expr};
use crate::error::{GraphError, Result};
use crate::graph::{Attr, Node};

/// x·Φ(x)
pub(super) fn gelu<'b>(b: &'b Builder, n: &Node) -> Result<Option<Vec<Expr<'b>>>> {
    Ok(Some(vec![required(b, n, 0)?.gelu(false)]))
}

/// gelu(x + bias)
pub(super) fn bias_gelu<'b>(b: &'b Builder, n: &Node) -> Result<Option<Vec<Expr<'b>>>> {
    Ok(Some(vec![(required(b, n, 0)? + required(b, n, 1)?).gelu(false)]))
}

/// gelu(x + bias) in the tanh form
pub(super) fn fast_gelu<'b>(b: &'b Builder, n: &Node) -> Result<Option<Vec<Expr<'b>>>> {
    let x = required(b, n, 0)?;
    Ok(Some(vec![input(b, n, 1).map_or(x, |bias| x + bias).gelu(true)]))
}

/// x·σ(αx)
pub(super) fn quick_gelu<'b>(b: &'b Builder, n: &Node) -> Result<Option<Vec<Expr<'b>>>> {
    let x = required(b, n, 0)?;
    Ok(Some(vec![x * (x * n.float("alpha", 1.702)).op("Sigmoid", &[], &[])]))
}

/// α·A·B, either transposed in its last two axes
pub(super) fn fused_mat_mul<'b>(b: &'b Builder, n: &Node) -> Result<Option<Vec<Expr<'b>>>> {
    if n.int("transBatchA", 0) != 0 || n.int("transBatchB", 0) != 0 {
        return Err(GraphError::unsupported(
            n,
            "transBatchA and transBatchB have no rule; optimise the model at a lower level",
        ));
    }
    let side = |i: usize, transposed: &str| -> Result<Expr<'b>> {
        let x = required(b, n, i)?;
        if n.int(transposed, 0) == 0 {
            return Ok(x);
        }
        let rank = x.shape()?.len();
        if rank < 2 {
            return Err(GraphError::shapes(n, "a vector cannot be transposed"));
        }
        let mut order: Vec<i64> = (0..rank as i64).collect();
        order.swap(rank - 2, rank - 1);
        Ok(x.transpose(&order))
    };
    let product = side(0, "transA")?.op("MatMul", &[side(1, "transB")?], &[]);
    let alpha = n.float("alpha", 1.0);
    Ok(Some(vec![if alpha == 1.0 { product } else { product * alpha }]))
}

/// activation(conv(x) + z)
pub(super) fn fused_conv<'b>(b: &'b Builder, n: &Node) -> Result<Option<Vec<Expr<'b>>>> {
    let inputs: Vec<_> = (0..3).map(|i| input(b, n, i)).collect();
    let attrs: Vec<(&str, Attr)> = n
        .attrs
        .iter()
        .filter(|(name, _)| !name.starts_with("activation"))
        .map(|(name, value)| (name.as_str(), value.clone()))
        .collect();
    let y = b.node("Conv", &inputs, &attrs);
    let y = input(b, n, 3).map_or(y, |z| y + z);
    Ok(Some(vec![activated(y, n)?]))
}

/// activation(gemm)
pub(super) fn fused_gemm<'b>(b: &'b Builder, n: &Node) -> Result<Option<Vec<Expr<'b>>>> {
    let inputs: Vec<_> = (0..3).map(|i| input(b, n, i)).collect();
    let attrs: Vec<(&str, Attr)> = ["alpha", "beta", "transA", "transB"]
        .into_iter()
        .filter_map(|name| Some((name, n.attrs.get(name)?.clone())))
        .collect();
    Ok(Some(vec![activated(b.node("Gemm", &inputs, &attrs), n)?]))
}

fn activated<'b>(y: Expr<'b>, n: &Node) -> Result<Expr<'b>> {
    let given = match n.attrs.get("activation_params") {
        Some(Attr::Floats(v)) => v.clone(),
        _ => vec![],
    };
    let parameter = |i: usize, name: &str, default: f32| {
        given.get(i).copied().unwrap_or_else(|| n.float(&format!("activation_{name}"), default))
    };
    Ok(match n.text("activation", "") {
        "" => y,
        plain @ ("Relu" | "Sigmoid" | "Tanh") => y.op(plain, &[], &[]),
        "LeakyRelu" => y.op("LeakyRelu", &[], &[("alpha", Attr::Float(parameter(0, "alpha", 0.01)))]),
        "HardSigmoid" => {
            let (alpha, beta) = (parameter(0, "alpha", 0.2), parameter(1, "beta", 0.5));
            y.op("HardSigmoid", &[], &[("alpha", Attr::Float(alpha)), ("beta", Attr::Float(beta))])
        }
        "Clip" => {
            let bound = |v: f32| y.builder().scalar(v);
            y.op("Clip", &[bound(parameter(0, "min", f32::MIN)), bound(parameter(1, "max", f32::MAX))], &[])
        }
        other => {
            return Err(GraphError::unsupported(
                n,
                format!("activation {other} has no rule; optimise the model at a lower level"),
            ));
        }
    })
}

/// layer normalization of x + skip (+ bias); the fourth output is that sum
pub(super) fn skip_layer_normalization<'b>(b: &'b Builder, n: &Node) -> Result<Option<Vec<Expr<'b>>>> {
    let sum = required(b, n, 0)? + required(b, n, 1)?;
    let sum = input(b, n, 4).map_or(sum, |bias| sum + bias);
    let inputs = [Some(sum), Some(required(b, n, 2)?), input(b, n, 3)];
    let epsilon = ("epsilon", Attr::Float(n.float("epsilon", 1e-12)));
    let y = b.node("LayerNormalization", &inputs, &[("axis", Attr::Int(-1)), epsilon]);
    // Mean and inverse deviation (outputs 1 and 2) are for training.
    Ok(Some(vec![y, y, y, sum]))
}
