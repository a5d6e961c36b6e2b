//! Baselines: images without content, against which attributions are measured and which perturbations insert.

use candor_graph::builder::{Builder, Expr};
use candor_graph::graph::Graph;
use candor_graph::shape::Dim;
use candor_graph::tensor::{DataType, Tensor};

use crate::blur::blurred;
use crate::error::{Error, Result, first_floats};
use crate::model::Model;
use crate::nodes::maps::rows_and_columns;
use crate::parameters::{Kind, Parameter};

/// The parameter `baseline`.
pub(super) const BASELINE: Parameter = Parameter {
    name: "baseline",
    default: "zero",
    kind: Kind::Choice(&["zero", "mean", "blur"]),
    help: "the baseline: 0 in the model's input (grey under most presets), the image's mean colour, or the \
           image blurred",
};

/// A baseline of an image (C×H×W), by the parameter's word. It is computed by the same nodes as in an exported model, so that both
/// use identical values.
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
    first_floats(out, "a baseline")
}

/// The Gaussian of the baseline `blur` is truncated after this many standard deviations.
pub const REACH: f32 = 3.0;

/// Standard deviation of the baseline `blur`, in pixels: a twentieth of the shorter side.
fn sigma(model: &Model) -> f32 {
    let [_, height, width] = model.input_shape;
    height.min(width) as f32 / 20.0
}

/// The baseline as nodes of a graph that contains the image.
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

/// n×n, row-major: row i holds the weights with which [`blurred`] computes position i of a row of n positions.
pub fn blurring(n: usize, sigma: f32) -> Vec<f32> {
    let points: Vec<f32> = (0..n * n).map(|i| f32::from(u8::from(i % n == i / n))).collect();
    let of_point = blurred(&points, [n, 1, n], sigma, REACH);
    (0..n * n).map(|i| of_point[i % n * n + i / n]).collect()
}

/// The image's mean colour everywhere; `area` is H·W.
pub fn mean(image: &[f32], area: usize) -> Vec<f32> {
    let plain = |c: &[f32]| std::iter::repeat_n(c.iter().sum::<f32>() / area as f32, area);
    image.chunks(area).flat_map(plain).collect()
}
