//! Input-shift invariance (Kindermans et al. 2019, "The (un)reliability of saliency methods"): a model that first subtracts a constant
//! from its input is the same model on photos with that constant added. Both should have the same maps.

use candor_graph::graph::Graph;
use candor_graph::insert;
use serde::{Deserialize, Serialize};

use super::randomize::{answers, maps};
use super::{Input, Subject};
use crate::error::Result;
use candor::map::Map;
use candor::model::Model;
use candor::progress::Progress;
use candor::quantile::median;
use candor::similarity::{spearman, ssim};

/// How much a method's maps change with the shift.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct InputShift {
    /// The constant, in units of the model's input: the standard deviation of the values of all images.
    pub constant: f64,
    /// Median Euclidean norm of the difference of the maps, divided by that of the original map.
    pub difference: Option<f64>,
    /// Median structural similarity.
    pub ssim: Option<f64>,
    /// Median rank correlation.
    pub spearman: Option<f64>,
}

/// Compares maps of each image's answer, by the model and by the model for shifted photos.
///
/// # Errors
/// If the method is not defined for the model, the engine fails, or the work is cancelled.
pub fn input_shift(
    model: &Model,
    subject: Subject<'_>,
    images: &[Input],
    progress: &mut dyn Progress,
) -> Result<InputShift> {
    let constant = deviation(images);
    let shifted = |i: &Input| Input { values: i.values.iter().map(|v| v + constant).collect(), ..i.clone() };
    let moved: Vec<Input> = images.iter().map(shifted).collect();
    let classes = answers(model, images)?;
    let original = maps(model, subject, images, &classes, progress)?;
    let other = model.with_graph(expecting(model, constant)?);
    let found = maps(&other, subject, &moved, &classes, progress)?;
    let pairs = || original.iter().zip(&found);
    let finite = |values: Vec<f64>| median(&values.into_iter().filter(|v| v.is_finite()).collect::<Vec<_>>());
    Ok(InputShift {
        constant: constant.into(),
        difference: finite(pairs().map(|(a, b)| difference(a, b)).collect()),
        ssim: median(&pairs().map(|(a, b)| ssim(a, b)).collect::<Vec<_>>()),
        spearman: median(&pairs().filter_map(|(a, b)| spearman(a, b)).collect::<Vec<_>>()),
    })
}

fn deviation(images: &[Input]) -> f32 {
    let values = || images.iter().flat_map(|i| &i.values).map(|&v| f64::from(v));
    let count = values().count().max(1) as f64;
    let mean = values().sum::<f64>() / count;
    (values().map(|v| (v - mean).powi(2)).sum::<f64>() / count).sqrt() as f32
}

/// ‖b − a‖ / ‖a‖
fn difference(a: &Map, b: &Map) -> f64 {
    let norm =
        |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    norm(&mut a.data.iter().zip(&b.data).map(|(a, b)| b - a)) / norm(&mut a.data.iter().copied())
}

/// The graph with `constant` first subtracted from its input.
fn expecting(model: &Model, constant: f32) -> Result<Graph> {
    let at = |e| candor::error::Error::graph(&model.info.path, e);
    let restored =
        insert::in_front(model.graph.clone(), model.input, |b| Ok(b.value(model.input) - constant));
    let (graph, _) = restored.map_err(at)?;
    graph.check().map_err(at)?;
    Ok(graph)
}
