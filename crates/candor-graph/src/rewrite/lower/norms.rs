//! Normalisations as statistics and arithmetic.

use super::required;
use crate::builder::{Builder, Expr};
use crate::error::{GraphError, Result};
use crate::graph::{Attr, Node};
use crate::shape::Dim;

/// BatchNormalization in training mode (used to standardise weights, for example): the statistics are those of the input itself, over
/// all axes but 1.
pub(super) fn batch_normalization<'b>(b: &'b Builder, n: &Node) -> Result<Option<Vec<Expr<'b>>>> {
    if n.int("training_mode", 0) == 0 {
        return Ok(None);
    }
    let (x, scale, bias) = (required(b, n, 0)?, required(b, n, 1)?, required(b, n, 2)?);
    let rank = x.shape()?.len();
    let axes: Vec<i64> = (0..rank as i64).filter(|&a| a != 1).collect();
    let mut per_channel = vec![1; rank];
    per_channel[1] = -1;
    let d = x - x.mean(&axes);
    let deviation = ((d * d).mean(&axes) + n.float("epsilon", 1e-5)).sqrt();
    Ok(Some(vec![d / deviation * scale.reshape(&per_channel) + bias.reshape(&per_channel)]))
}

/// Maximum number of channel groups.
const MOST_GROUPS: i64 = 1 << 20;

/// Each group of channels is standardised, then scaled by γ and shifted by β: InstanceNormalization of N×G×rest.
pub(super) fn group_normalization<'b>(b: &'b Builder, n: &Node) -> Result<Option<Vec<Expr<'b>>>> {
    let (x, scale, bias) = (required(b, n, 0)?, required(b, n, 1)?, required(b, n, 2)?);
    let (shape, groups) = (x.shape()?, n.int("num_groups", 1).max(1));
    if groups > MOST_GROUPS {
        return Err(GraphError::too_large(
            n,
            format!("{groups} groups; at most {MOST_GROUPS} are supported"),
        ));
    }
    let rest: Option<usize> = shape[1..].iter().map(|d| d.fixed()).product();
    let rest =
        rest.ok_or_else(|| GraphError::unknown_shape(n, "the sizes of its input are not known"))? as i64;
    let per_group = |v: f32| b.constant(crate::tensor::Tensor::full(&[groups as usize], v));
    let epsilon = ("epsilon", Attr::Float(n.float("epsilon", 1e-5)));
    let standard = x
        .reshape(&[0, groups, rest / groups])
        .op("InstanceNormalization", &[per_group(1.0), per_group(0.0)], &[epsilon])
        .reshape_to(&shape)?;
    // Operator set 18 had a γ for each group, 21 has one for each channel.
    let channels = shape[1].fixed().unwrap_or(1) as i64;
    let mut per_channel = vec![1; shape.len() - 1];
    per_channel[0] = channels;
    let spread = |p: Expr<'b>| -> Result<Expr<'b>> {
        if p.shape()? == [Dim::Fixed(groups as usize)] && groups != channels {
            let copies = b.ints(&[groups, channels / groups]);
            return Ok(p.reshape(&[groups, 1]).op("Expand", &[copies], &[]).reshape(&per_channel));
        }
        Ok(p.reshape(&per_channel))
    };
    Ok(Some(vec![standard * spread(scale)? + spread(bias)?]))
}

/// x/(k + α/size·Σ x² over neighbouring channels)^β
pub(super) fn local_response<'b>(b: &'b Builder, n: &Node) -> Result<Option<Vec<Expr<'b>>>> {
    let x = required(b, n, 0)?;
    let (shape, size) = (x.shape()?, n.int("size", 1).max(1));
    let [_, Dim::Fixed(c), rest @ ..] = shape.as_slice() else { return Ok(None) };
    let Some(area) = rest.iter().map(|d| d.fixed()).product::<Option<usize>>() else { return Ok(None) };
    // The mean over a window of channels, with zeros at the border: Σ/size.
    let (before, after) = ((size - 1) / 2, size / 2);
    let window = [
        ("kernel_shape", Attr::Ints(vec![size, 1])),
        ("pads", Attr::Ints(vec![before, 0, after, 0])),
        ("strides", Attr::Ints(vec![1, 1])),
        ("count_include_pad", Attr::Int(1)),
    ];
    let mean = (x * x)
        .reshape(&[-1, 1, *c as i64, area as i64])
        .op("AveragePool", &[], &window)
        .reshape_to(&shape)?;
    let base = mean * n.float("alpha", 1e-4) + n.float("bias", 1.0);
    Ok(Some(vec![x / base.op("Pow", &[b.scalar(n.float("beta", 0.75))], &[])]))
}

/// x/‖x‖ along an axis
pub(super) fn lp_normalization<'b>(b: &'b Builder, n: &Node) -> Result<Option<Vec<Expr<'b>>>> {
    let x = required(b, n, 0)?;
    let norm = if n.int("p", 2) == 1 { "ReduceL1" } else { "ReduceL2" };
    let norm = x.op(norm, &[b.ints(&[n.int("axis", -1)])], &[]);
    Ok(Some(vec![x / norm.op("Max", &[b.scalar(f32::MIN_POSITIVE)], &[])]))
}

/// (x − μ)/(σ + 1e-9) over the attribute's axes, by default 0, 2, 3
pub(super) fn mean_variance<'b>(b: &'b Builder, n: &Node) -> Result<Option<Vec<Expr<'b>>>> {
    let x = required(b, n, 0)?;
    let axes = n.ints("axes").map_or_else(|| vec![0, 2, 3], <[i64]>::to_vec);
    let d = x - x.mean(&axes);
    Ok(Some(vec![d / ((d * d).mean(&axes).sqrt() + 1e-9)]))
}
