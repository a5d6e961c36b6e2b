//! Disturbances that keep the evidence in an image: mirroring, a shift by a pixel, blur, a median filter, rescaling. The answer for a
//! clean image is stable under them; that for an adversarial image often changes (Tian, Yang, Cai 2018 for
//! transformed images and their logits; Xu, Evans, Qi 2018 for smoothing; Guo et al. 2018 for rescaling). All of them are nodes, so
//! that an attack can be differentiated through them, and none depends on the normalisation of pixels.

use candor_graph::builder::{Builder, Expr};
use candor_graph::error::{GraphError, Result as GraphResult};
use candor_graph::graph::Graph;
use candor_graph::shape::Dim;
use candor_graph::tensor::{DataType, Tensor};

use crate::error::Result;
use crate::outputs::floats;
use candor::engine::Session;
use candor::methods::baseline::blurring;
use candor::model::Model;
use candor::nodes::maps::rows_and_columns;

/// The disturbances, in the order of their planes.
pub const NAMES: [&str; 7] =
    ["mirrored", "a pixel up", "a pixel left", "blurred", "median", "larger by 4/3", "smaller by 4/5"];

/// Each disturbance of images N×C×H×W, in the order of [`NAMES`].
///
/// # Errors
/// [`GraphError`] if height or width depend on the batch.
pub(super) fn disturbed<'b>(x: Expr<'b>) -> GraphResult<Vec<Expr<'b>>> {
    let shape = x.shape()?;
    let side = |i: usize| shape.get(i).and_then(|d| d.fixed());
    let (Some(height), Some(width)) = (side(2), side(3)) else {
        return Err(GraphError::Malformed("an image's height and width are not fixed".into()));
    };
    let along = |rows: Option<Matrix>, columns: Option<Matrix>| {
        let (rows, columns) = (rows.map(|of| of(height)), columns.map(|of| of(width)));
        rows_and_columns(x, rows.as_deref(), columns.as_deref())
    };
    let both = |matrix: Matrix| along(Some(matrix), Some(matrix));
    let (up, left, corner) = (along(Some(next), None)?, along(None, Some(next))?, both(next)?);
    // Of the four values in a 2×2 window, the higher of the middle two, as in SciPy's filter.
    let (max, min) = (
        |a: Expr<'b>, b: Expr<'b>| a.op("Max", &[b], &[]),
        |a: Expr<'b>, b: Expr<'b>| a.op("Min", &[b], &[]),
    );
    let median = max(min(max(x, up), max(left, corner)), max(min(x, up), min(left, corner)));
    Ok(vec![
        along(None, Some(mirrored))?,
        up,
        left,
        both(|n| blurring(n, 1.0))?,
        median,
        both(|n| rescaled(n, 4.0 / 3.0))?,
        both(|n| rescaled(n, 4.0 / 5.0))?,
    ])
}

/// From a length n to an n×n matrix, row-major: the weights of the old positions for each new one.
type Matrix = fn(usize) -> Vec<f32>;

/// The matrix that samples position `to(i)` for each i, with linear interpolation; positions outside are clamped to the border.
fn moved(n: usize, to: impl Fn(f64) -> f64) -> Vec<f32> {
    let mut matrix = vec![0.0; n * n];
    for i in 0..n {
        let place = to(i as f64).clamp(0.0, (n - 1) as f64);
        let (low, share) = (place.floor() as usize, (place - place.floor()) as f32);
        matrix[i * n + low] = 1.0 - share;
        if share > 0.0 {
            matrix[i * n + low + 1] = share;
        }
    }
    matrix
}

fn next(n: usize) -> Vec<f32> {
    moved(n, |i| i + 1.0)
}

fn mirrored(n: usize) -> Vec<f32> {
    moved(n, |i| (n - 1) as f64 - i)
}

/// Bilinear rescaling about the centre.
fn rescaled(n: usize, factor: f64) -> Vec<f32> {
    let middle = (n as f64 - 1.0) / 2.0;
    moved(n, |i| (i - middle) / factor + middle)
}

/// Computes the model's answers for disturbed images; compiled once per model.
pub(super) struct Disturber {
    disturb: Box<dyn Session>,
    forward: Box<dyn Session>,
}

impl Disturber {
    /// Compiles the disturbances and the model.
    ///
    /// # Errors
    /// If the engine does not support an operator.
    pub fn new(model: &Model) -> Result<Self> {
        let graph =
            graph(model.input_shape).map_err(|e| candor::error::Error::graph("the disturbances", e))?;
        Ok(Disturber { disturb: model.engine.compile(&graph)?, forward: model.forward()? })
    }

    /// Logits of each preprocessed image (C·H·W values each) under each disturbance.
    ///
    /// # Errors
    /// If the engine fails or a logit is not finite.
    pub fn logits(&mut self, model: &Model, images: &[&[f32]]) -> Result<Vec<Vec<Vec<f32>>>> {
        let (count, size): (usize, usize) = (images.len(), model.input_shape.iter().product());
        let batch = Tensor::floats(&model.batch_shape(count), images.concat());
        let disturbed = self.disturb.run(&[&batch.map_err(|e| candor::error::Error::graph("images", e))?])?;
        let values = floats(&disturbed, 0, NAMES.len() * count * size, "the disturbances")?;
        let disturbed: Vec<&[f32]> = values.chunks(size).collect();
        let logits = model.all_scores(self.forward.as_mut(), &disturbed)?;
        let of_image = |i: usize| logits.iter().skip(i).step_by(count).cloned().collect();
        Ok((0..count).map(of_image).collect())
    }
}

/// `image` N×C×H×W → its disturbances concatenated along the batch: N images for each of [`NAMES`].
fn graph(shape: [usize; 3]) -> GraphResult<Graph> {
    let b = Builder::new(Graph::new(18));
    let shape: Vec<Dim> = [Dim::Batch(1)].into_iter().chain(shape.map(Dim::Fixed)).collect();
    let image = b.input("image", DataType::Float, &shape);
    let all = b.concat(&disturbed(image)?, 0).id();
    let mut graph = b.finish()?;
    graph.outputs = vec![all];
    Ok(graph)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candor::engine::{Engine, RTen};

    fn of(image: &[f32], shape: [usize; 3]) -> Vec<Vec<f32>> {
        let mut session = RTen::new(1).compile(&graph(shape).unwrap()).unwrap();
        let image = Tensor::floats(&[1, shape[0], shape[1], shape[2]], image.to_vec()).unwrap();
        let all = session.run(&[&image]).unwrap().remove(0);
        all.as_floats().unwrap().chunks(shape.iter().product()).map(<[f32]>::to_vec).collect()
    }

    #[test]
    fn each_does_what_its_name_says() {
        let image: Vec<f32> = vec![1.0, 5.0, 2.0, 8.0, 3.0, 9.0, 7.0, 4.0, 6.0];
        let all = of(&image, [1, 3, 3]);
        assert_eq!(all.len(), NAMES.len());
        assert_eq!(all[0], [2.0, 5.0, 1.0, 9.0, 3.0, 8.0, 6.0, 4.0, 7.0]);
        assert_eq!(all[1], [8.0, 3.0, 9.0, 7.0, 4.0, 6.0, 7.0, 4.0, 6.0]);
        assert_eq!(all[2], [5.0, 2.0, 2.0, 3.0, 9.0, 9.0, 4.0, 6.0, 6.0]);
        // The second largest of 1 5 8 3, of 5 2 3 9, of 2 2 9 9, and so on.
        assert_eq!(all[4], [5.0, 5.0, 9.0, 7.0, 6.0, 9.0, 7.0, 6.0, 6.0]);
    }

    #[test]
    fn an_even_image_stays_as_it_is_and_a_blur_keeps_what_is_there() {
        let (h, w) = (24, 20);
        for one in of(&vec![0.7; 3 * h * w], [3, h, w]) {
            assert!(one.iter().all(|v| (v - 0.7).abs() < 1e-5));
        }
        let mut point = vec![0.0; h * w];
        point[12 * w + 10] = 1.0;
        let all = of(&point, [1, h, w]);
        let sum = |k: usize| all[k].iter().sum::<f32>();
        assert!((sum(3) - 1.0).abs() < 1e-3 && all[3].iter().all(|v| *v < 0.17), "{}", sum(3));
        // The point twelve pixels from the top is at the centre of 24 pixels, minus a half; enlarged, it covers more pixels.
        assert!(
            (sum(5) - 16.0 / 9.0).abs() < 0.2 && (sum(6) - 16.0 / 25.0).abs() < 0.2,
            "{} {}",
            sum(5),
            sum(6)
        );
    }
}
