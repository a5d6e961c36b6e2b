//! Images that stand for "nothing here": what attributions are measured against and what perturbations put in.

use candor_graph::builder::{Builder, Expr};
use candor_graph::graph::Graph;
use candor_graph::shape::Dim;
use candor_graph::tensor::{DataType, Tensor};

use super::parameters::{Kind, Parameter};
use crate::error::{Error, Result};
use crate::export::maps::rows_and_columns;
use crate::model::Model;

/// The parameter `baseline`.
pub(super) const BASELINE: Parameter = Parameter {
    name: "baseline",
    default: "zero",
    kind: Kind::Choice(&["zero", "mean", "blur"]),
    help: "what stands for nothing: 0 in the model's input (grey under most presets), the image's mean colour, or the \
           image blurred",
};

/// A baseline of an image (C×H×W) by the word of the parameter: computed by the nodes that an exported model has, so that both
/// start from the same bits.
///
/// # Errors
/// If the engine fails.
pub(super) fn make(word: &str, model: &Model, image: &[f32]) -> Result<Vec<f32>> {
    if word == "zero" {
        return Ok(vec![0.0; image.len()]);
    }
    let [channels, height, width] = model.input_shape;
    let at = |e| Error::graph(&model.info.path, e);
    let b = Builder::new(Graph::new(model.graph.opset));
    let sizes = [1, channels, height, width];
    let input = b.input("image", DataType::Float, &sizes.map(Dim::Fixed));
    let baseline = as_nodes(word, model, input).map_err(at)?.id();
    let mut graph = b.finish().map_err(at)?;
    graph.outputs = vec![baseline];
    let image = Tensor::floats(&sizes, image.to_vec()).map_err(at)?;
    let out = model.engine.compile(&graph)?.run(&[&image])?;
    Ok(out.into_iter().next().and_then(Tensor::into_floats).unwrap_or_default())
}

/// Standard deviation of the baseline `blur`: a twentieth of the shorter side.
fn sigma(model: &Model) -> f32 {
    let [_, height, width] = model.input_shape;
    height.min(width) as f32 / 20.0
}

/// The same as nodes of a graph that has the image.
pub(super) fn as_nodes<'b>(
    word: &str,
    model: &Model,
    image: Expr<'b>,
) -> candor_graph::error::Result<Expr<'b>> {
    let [_, height, width] = model.input_shape;
    Ok(match word {
        "mean" => image * 0.0 + image.mean(&[2, 3]),
        "blur" => {
            let (rows, columns) = (blurring(height, sigma(model)), blurring(width, sigma(model)));
            rows_and_columns(image, Some(&rows), Some(&columns))?
        }
        _ => image * 0.0,
    })
}

/// n×n, row-major: row i is what [`blurred`] makes of place i in a row of n places.
pub(crate) fn blurring(n: usize, sigma: f32) -> Vec<f32> {
    let points: Vec<f32> = (0..n * n).map(|i| f32::from(u8::from(i % n == i / n))).collect();
    let of_point = blurred(&points, [n, 1, n], sigma);
    (0..n * n).map(|i| of_point[i % n * n + i / n]).collect()
}

/// The image's mean colour everywhere; `area` is H·W.
pub(crate) fn mean(image: &[f32], area: usize) -> Vec<f32> {
    let plain = |c: &[f32]| std::iter::repeat_n(c.iter().sum::<f32>() / area as f32, area);
    image.chunks(area).flat_map(plain).collect()
}

/// The image under a Gaussian of standard deviation `sigma` pixels, the border repeated.
pub(crate) fn blurred(image: &[f32], [_, height, width]: [usize; 3], sigma: f32) -> Vec<f32> {
    if sigma <= 0.0 {
        return image.to_vec();
    }
    let reach = (3.0 * sigma).ceil() as isize;
    let weights: Vec<f32> =
        (-reach..=reach).map(|d| (-(d * d) as f32 / (2.0 * sigma * sigma)).exp()).collect();
    let total: f32 = weights.iter().sum();
    let along = |values: &[f32], at: &dyn Fn(usize, isize) -> usize| -> Vec<f32> {
        let one = |i: usize| {
            let terms = weights.iter().zip(-reach..=reach).map(|(w, d)| w * values[at(i, d)]);
            terms.sum::<f32>() / total
        };
        (0..values.len()).map(one).collect()
    };
    let shift = |at: usize, d: isize, size: usize| (at as isize + d).clamp(0, size as isize - 1) as usize;
    let rows = along(image, &|i, d| i - i % width + shift(i % width, d, width));
    along(&rows, &|i, d| {
        let row = i / width % height;
        i - row * width + shift(row, d, height) * width
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blurring_keeps_a_plain_image_and_spreads_a_point() {
        let plain = vec![2.0; 2 * 5 * 7];
        assert!(blurred(&plain, [2, 5, 7], 1.5).iter().all(|v| (v - 2.0).abs() < 1e-5));
        let mut point = vec![0.0; 21 * 21];
        point[10 * 21 + 10] = 1.0;
        let out = blurred(&point, [1, 21, 21], 2.0);
        assert!((out.iter().sum::<f32>() - 1.0).abs() < 1e-4);
        assert!((out[10 * 21 + 12] - out[12 * 21 + 10]).abs() < 1e-7 && out[10 * 21 + 12] < out[220]);
    }
}
