//! Resize as one matrix product for each resized axis: linear in the image in every mode, and therefore exact.

use super::required;
use crate::builder::{Builder, Expr};
use crate::error::{GraphError, Result};
use crate::graph::Node;
use crate::tensor::Tensor;

/// Maximum number of entries of a resizing matrix: about 5792 × 5792.
const LARGEST_MATRIX: usize = 1 << 25;
/// Maximum length of an axis before and after resizing.
const LONGEST_AXIS: usize = 1 << 20;

/// Resize to known sizes.
pub(super) fn resize<'b>(b: &'b Builder, n: &Node) -> Result<Option<Vec<Expr<'b>>>> {
    let mut x = required(b, n, 0)?;
    if n.text("keep_aspect_ratio_policy", "stretch") != "stretch" || n.ints("axes").is_some() {
        return Err(GraphError::unsupported(
            n,
            "sizes by aspect ratio or for some axes only have no rule; name all sizes",
        ));
    }
    let Ok(wanted) = b.value(n.output()).shape() else { return Ok(None) };
    let shape = x.shape()?;
    let scales = n.input(2).and_then(|id| b.with(|g| g.constant(id)?.as_floats().map(<[f32]>::to_vec)));
    for (axis, (from, to)) in shape.iter().zip(&wanted).enumerate() {
        let scale = scales.as_ref().and_then(|s| s.get(axis)).map(|&s| f64::from(s));
        let (Some(from), Some(to)) = (from.fixed(), to.fixed()) else {
            if from == to {
                continue;
            }
            return Ok(None);
        };
        let scale = scale.unwrap_or(to as f64 / from as f64);
        if from == to && (scale - 1.0).abs() < 1e-9 {
            continue;
        }
        if from == 0 || from.max(to) > LONGEST_AXIS || from.saturating_mul(to) > LARGEST_MATRIX {
            return Err(GraphError::too_large(
                n,
                format!("{from} places resized to {to} are none, or too many"),
            ));
        }
        let weights = (0..to).map(|i| taps(n, i, from, to, scale)).collect::<Result<Vec<_>>>()?;
        x = along(x, axis, shape.len(), b.constant(matrix(&weights, from)));
    }
    Ok(Some(vec![x]))
}

/// x with its axis of `from` elements multiplied by a from×to matrix.
fn along<'b>(x: Expr<'b>, axis: usize, rank: usize, weights: Expr<'b>) -> Expr<'b> {
    if axis + 1 == rank {
        return x.op("MatMul", &[weights], &[]);
    }
    if axis + 2 == rank {
        return weights.transpose(&[1, 0]).op("MatMul", &[x], &[]);
    }
    let mut order: Vec<i64> = (0..rank as i64).collect();
    order.swap(axis, rank - 1);
    x.transpose(&order).op("MatMul", &[weights], &[]).transpose(&order)
}

fn matrix(rows: &[Vec<(i64, f64)>], from: usize) -> Tensor {
    let to = rows.len();
    let mut values = vec![0.0f32; from * to];
    for (o, taps) in rows.iter().enumerate() {
        for &(i, weight) in taps {
            values[i as usize * to + o] += weight as f32;
        }
    }
    Tensor::floats(&[from, to], values).expect("from·to values")
}

/// The input elements that contribute to output element `o`, with their weights.
fn taps(n: &Node, o: usize, from: usize, to: usize, scale: f64) -> Result<Vec<(i64, f64)>> {
    let at = position(n, o as f64, from as f64, to as f64, scale)?;
    let last = from as i64 - 1;
    let antialias = n.int("antialias", 0) != 0;
    let mode = n.text("mode", "nearest");
    if mode == "nearest" {
        let rounded = match n.text("nearest_mode", "round_prefer_floor") {
            "floor" => at.floor(),
            "ceil" => at.ceil(),
            "round_prefer_ceil" => (at + 0.5).floor(),
            _ => (at - 0.5).ceil(),
        };
        return Ok(vec![((rounded as i64).clamp(0, last), 1.0)]);
    }
    let (reach, kernel): (f64, fn(f64, f64) -> f64) = match mode {
        "linear" => (1.0, |d, _| (1.0 - d.abs()).max(0.0)),
        "cubic" => (2.0, cubic),
        other => return Err(GraphError::node(n, format!("mode {other} is not an ONNX mode"))),
    };
    // With antialiasing, the kernel is widened for downscaling.
    let stretch = if antialias { scale.min(1.0) } else { 1.0 };
    let outside_counts = n.int("exclude_outside", 0) == 0;
    let a = f64::from(n.float("cubic_coeff_a", -0.75));
    let (first, end) = ((at - reach / stretch).ceil() as i64, (at + reach / stretch).floor() as i64);
    let taps: Vec<(i64, f64)> = (first..=end)
        .filter(|i| outside_counts || (0..=last).contains(i))
        .map(|i| (i.clamp(0, last), kernel((i as f64 - at) * stretch, a)))
        .collect();
    let sum: f64 = taps.iter().map(|t| t.1).sum();
    Ok(taps.into_iter().map(|(i, w)| (i, w / sum)).collect())
}

/// Keys' cubic convolution kernel with parameter a (Keys 1981).
fn cubic(d: f64, a: f64) -> f64 {
    let d = d.abs();
    match d {
        _ if d <= 1.0 => ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0,
        _ if d < 2.0 => ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a,
        _ => 0.0,
    }
}

/// Input coordinate of output element `o`.
fn position(n: &Node, o: f64, from: f64, to: f64, scale: f64) -> Result<f64> {
    let half_pixel = (o + 0.5) / scale - 0.5;
    Ok(match n.text("coordinate_transformation_mode", "half_pixel") {
        "half_pixel" => half_pixel,
        "pytorch_half_pixel" => {
            if to > 1.0 {
                half_pixel
            } else {
                0.0
            }
        }
        "align_corners" => {
            if to > 1.0 {
                o * (from - 1.0) / (to - 1.0)
            } else {
                0.0
            }
        }
        "asymmetric" => o / scale,
        "half_pixel_symmetric" => {
            let adjustment = to / (scale * from);
            half_pixel + from / 2.0 * (1.0 - adjustment)
        }
        other => {
            return Err(GraphError::unsupported(
                n,
                format!("coordinates {other} have no rule; export with half_pixel"),
            ));
        }
    })
}
