//! Model parameter randomisation (Adebayo et al. 2018, section 3): a map that does not change when the weights do explains
//! something other than the model.

use candor::progress::Progress;
use std::sync::Arc;

use candor_graph::graph::{Graph, ValueId};
use candor_graph::tensor::Tensor;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

use super::{Input, Subject};
use crate::error::Result;
use crate::explaining::Explaining;
use crate::scatter::entropy;
use candor::map::Map;
use candor::model::Model;
use candor::noise::Noise;
use candor::noise::below;
use candor::quantile::median;
use candor::scores::argmax;
use candor::similarity::{spearman, ssim};

/// Fractions of the weighted layers, from the top, whose weights are randomised. 0 stands for a single layer.
pub const SHARES: [f64; 4] = [0.0, 0.25, 0.5, 1.0];

/// Compares maps of the original model's answer, on the model with its top layers randomised, with those on the original.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stage {
    /// Number of randomised weighted layers, counted from the top; at least one.
    pub layers: usize,
    /// Median structural similarity to the original map.
    pub ssim: Option<f64>,
    /// Median rank correlation with the original map; `None` if all maps of one side are constant.
    pub spearman: Option<f64>,
    /// Median increase of the map's entropy over the original's, for the efficient variant (Hedström et al. 2023, eMPRT): above
    /// 0, random weights made the map more complex.
    pub entropy_rise: Option<f64>,
    /// Median structural similarity of maps averaged over noisy copies of the photo, for the smooth variant (Hedström et al.
    /// 2023, sMPRT), if requested: averaging removes the noise of single maps from the comparison.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smooth_ssim: Option<f64>,
}

/// Standard deviation of the smooth variant's noise, as a fraction of the range of a photo's values.
const NOISE: f32 = 0.1;

/// The cascade for one method: the last layer, a quarter, a half, and all of the weighted layers randomised. `copies` is the number of
/// noisy copies of each photo for the smooth variant; 0 leaves it out.
///
/// # Errors
/// If the method is not defined for the model, the engine fails, or the work is cancelled. A stage whose model gives scores that are not
/// finite is left out.
pub fn cascade(
    model: &Model,
    subject: Subject<'_>,
    images: &[Input],
    (copies, seed): (usize, u64),
    progress: &mut dyn Progress,
) -> Result<Vec<Stage>> {
    let weights = weights(&model.graph);
    let answers = answers(model, images)?;
    let original = maps(model, subject, images, &answers, progress)?;
    let smooth = |model: &Model, progress: &mut dyn Progress| {
        smooth_maps(model, subject, images, &answers, (copies, seed), progress)
    };
    let original_smooth = smooth(model, progress)?;
    let mut stages: Vec<Stage> = vec![];
    for share in SHARES {
        let count = ((share * weights.len() as f64).round() as usize).max(1);
        if stages.last().is_some_and(|s| s.layers >= count) {
            continue;
        }
        let graph = randomized(&model.graph, &weights[weights.len().saturating_sub(count)..], seed);
        let shuffled = model.with_graph(graph);
        let random = maps(&shuffled, subject, images, &answers, progress);
        let random = random.and_then(|random| Ok((random, smooth(&shuffled, progress)?)));
        progress.poll()?;
        let Ok((random, random_smooth)) = random else { continue };
        let pairs = || original.iter().zip(&random);
        stages.push(Stage {
            layers: count,
            ssim: median(&pairs().map(|(a, b)| ssim(a, b)).collect::<Vec<_>>()),
            spearman: median(&pairs().filter_map(|(a, b)| spearman(a, b)).collect::<Vec<_>>()),
            entropy_rise: median(
                &pairs().filter_map(|(a, b)| Some(entropy(b)? - entropy(a)?)).collect::<Vec<_>>(),
            ),
            smooth_ssim: median(
                &original_smooth.iter().zip(&random_smooth).map(|(a, b)| ssim(a, b)).collect::<Vec<_>>(),
            ),
        });
    }
    Ok(stages)
}

/// Each image's top-1 class.
pub(super) fn answers(model: &Model, images: &[Input]) -> Result<Vec<usize>> {
    let mut forward = model.forward()?;
    images.iter().map(|i| Ok(argmax(&model.scores(forward.as_mut(), &i.values)?))).collect()
}

/// One method's map of each image's class.
pub(super) fn maps(
    model: &Model,
    subject: Subject<'_>,
    images: &[Input],
    classes: &[usize],
    progress: &mut dyn Progress,
) -> Result<Vec<Map>> {
    let (mut explainer, _) = subject.prepare(model)?;
    let mut method = Explaining { model, explainer: explainer.as_mut(), progress };
    let one = |(image, &class): (&Input, &usize)| method.map(&image.values, class);
    images.iter().zip(classes).map(one).collect()
}

/// The same, averaged over noisy copies of each image; empty for zero copies.
fn smooth_maps(
    model: &Model,
    subject: Subject<'_>,
    images: &[Input],
    classes: &[usize],
    (copies, seed): (usize, u64),
    progress: &mut dyn Progress,
) -> Result<Vec<Map>> {
    if copies == 0 {
        return Ok(vec![]);
    }
    let (mut explainer, _) = subject.prepare(model)?;
    let mut method = Explaining { model, explainer: explainer.as_mut(), progress };
    let mut noise = Noise::new(seed);
    let [_, height, width] = model.input_shape;
    let mut sums = vec![Map::zeros(height, width); images.len()];
    for _ in 0..copies {
        for ((image, &class), sum) in images.iter().zip(classes).zip(&mut sums) {
            let noisy = noise.added(&image.values, NOISE);
            let map = method.map(&noisy, class)?;
            sum.data.iter_mut().zip(map.data).for_each(|(s, v)| *s += v);
        }
    }
    sums.iter_mut().flat_map(|m| &mut m.data).for_each(|v| *v /= copies as f32);
    Ok(sums)
}

/// The weights of the weighted layers, in the order of the layers.
fn weights(graph: &Graph) -> Vec<ValueId> {
    let weighted = graph.nodes.iter().filter(|n| matches!(n.op.as_str(), "Conv" | "Gemm" | "MatMul"));
    let mut found: Vec<ValueId> = vec![];
    for id in weighted.filter_map(|n| n.input(1)) {
        if graph.constant(id).is_some() && !found.contains(&id) {
            found.push(id);
        }
    }
    found
}

/// The graph with the elements of some weights shuffled, which keeps their distribution.
fn randomized(graph: &Graph, weights: &[ValueId], seed: u64) -> Graph {
    let mut graph = graph.clone();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    for &id in weights {
        let Some(tensor) = graph.constant(id).cloned() else { continue };
        let Some(mut values) = tensor.as_floats().map(<[f32]>::to_vec) else { continue };
        for i in (1..values.len()).rev() {
            values.swap(i, below(&mut random, i + 1));
        }
        if let Ok(shuffled) = Tensor::floats(tensor.shape(), values) {
            graph.set_constant(id, Arc::new(shuffled));
        }
    }
    graph
}
