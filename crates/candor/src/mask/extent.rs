//! Extends a map from the decisive part of an object, which a mask finds, to the whole object: to positions whose features are similar to
//! those under the map. New in Candor; nothing in it is learned from boxes.
//!
//! Let m be the map at the positions p of a level (its mean there, divided by its maximum) and a_p the features of the level, each
//! channel standardised over the positions of the image. Then
//!
//! E_p = σ(κ · (cos(a_p, q) − cos(a_p, b))) · ‖a′_p‖ / max ‖a′‖,   q = Σ_p m_p a_p,   b = Σ_p max(0, 1 − m_p/θ) a_p,
//!
//! where a′ are the unstandardised features of the coarsest level. The first factor says whether a feature is more similar to those of
//! the decisive part or to those that the map leaves out; it is the mean over two levels, the coarsest one of at least [`PLACES`]
//! positions and the one before it. The second says how strongly the network responds there at all. E is scaled to the maximum of the
//! map, and is empty if the map is.

use candor_graph::builder::Builder;
use candor_graph::rewrite;

use super::levels::Level;
use crate::engine::Session;
use crate::error::{Error, Result, floats};
use crate::map::{Interpolation, Map};
use crate::model::Model;
use crate::passes::Passes;

/// Minimum number of positions of the levels at which features are compared, if any level has as many.
const PLACES: usize = 100;
/// Number of such levels, if there are as many.
const COMPARED: usize = 2;
/// κ: sharpness of the border between features that are similar to the decisive part and others.
const SHARPNESS: f64 = 4.0;
/// θ: positions with less than this fraction of the map's maximum count as left out, with a weight that grows as the map decreases.
const LEFT_OUT: f64 = 0.25;

/// The features of a model at some of its levels, compiled.
pub(crate) struct Extent {
    session: Box<dyn Session>,
    /// The levels at which features are compared, then the coarsest.
    levels: Vec<Level>,
}

/// Features of one image at those levels, each with its shape, C×H×W row-major.
pub(crate) struct Features(Vec<([usize; 3], Vec<f32>)>);

impl Extent {
    /// Passes per image.
    pub const PASSES: Passes = Passes { forward: 1, backward: 0 };

    /// Compiles the layers up to the levels.
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub fn new(model: &Model, levels: &[Level]) -> Result<Self> {
        let compared = match levels.iter().rposition(|l| l.shape[1] * l.shape[2] >= PLACES) {
            Some(last) => &levels[(last + 1).saturating_sub(COMPARED)..=last],
            None => &levels[..levels.len().min(1)],
        };
        let levels: Vec<Level> = compared.iter().chain(levels.last()).cloned().collect();
        let mut graph = model.graph.clone();
        // A level in both roles is an output twice.
        let builder = Builder::new(graph);
        let outputs = levels.iter().map(|l| builder.value(l.value).op("Identity", &[], &[]).id()).collect();
        let at = |e| Error::graph(&model.info.path, e);
        graph = builder.finish().map_err(at)?;
        graph.outputs = outputs;
        rewrite::remove_dead(&mut graph);
        Ok(Extent { session: model.engine.compile(&graph)?, levels })
    }

    /// The features of an image (C·H·W preprocessed values), with which any of its maps can be extended.
    ///
    /// # Errors
    /// If the engine fails.
    pub fn features(&mut self, model: &Model, image: &[f32]) -> Result<Features> {
        let values = self.session.run(&[&model.input_tensor(image)?])?;
        let mut all = vec![];
        for (level, values) in self.levels.iter().zip(&values) {
            let values = floats(Some(values), "the features of a level")?;
            // A fixed batch repeats the image; the first is enough.
            let one = &values[..values.len() / model.fixed_batch.unwrap_or(1)];
            all.push((level.shape, level.feature().channels_first(one)));
        }
        Ok(Features(all))
    }
}

impl Features {
    /// Extends a map of the image.
    pub fn grown(&self, map: &Map) -> Map {
        let (most, mut grown) = (map.max(), Map::zeros(map.height, map.width));
        let Some((coarsest, compared)) = self.0.split_last().filter(|_| most > 0.0) else { return grown };
        let at_size = |[_, height, width]: [usize; 3], data: Vec<f64>| {
            let data = data.into_iter().map(|v| v as f32).collect();
            Map { height, width, data }.resize(map.height, map.width, Interpolation::Bilinear)
        };
        for (shape @ [_, height, width], features) in compared {
            let like = at_size(*shape, alike(features, &shares(map, [*height, *width])));
            grown.data.iter_mut().zip(&like.data).for_each(|(sum, v)| *sum += v);
        }
        let (shape @ [_, rows, columns], features) = coarsest;
        let strength = at_size(*shape, norms(features, rows * columns));
        grown.data.iter_mut().zip(&strength.data).for_each(|(g, s)| *g *= s);
        let largest = grown.max();
        if largest > 0.0 {
            grown.data.iter_mut().for_each(|v| *v *= most / largest);
        }
        grown
    }
}

/// The map on a grid, divided by its maximum: the mean of the pixels whose centres lie in each cell.
fn shares(map: &Map, [height, width]: [usize; 2]) -> Vec<f64> {
    let mut sums = vec![(0.0, 0.0f64); height * width];
    for (i, &v) in map.data.iter().enumerate() {
        let at = |k: usize, size: usize, places: usize| ((2 * k + 1) * places / (2 * size)).min(places - 1);
        let (y, x) = (at(i / map.width, map.height, height), at(i % map.width, map.width, width));
        let (sum, count) = &mut sums[y * width + x];
        (*sum, *count) = (*sum + f64::from(v.max(0.0)), *count + 1.0);
    }
    let means: Vec<f64> = sums.into_iter().map(|(sum, count)| sum / count.max(1.0)).collect();
    let most = means.iter().copied().fold(0.0, f64::max);
    means.into_iter().map(|v| if most > 0.0 { v / most } else { 0.0 }).collect()
}

/// σ(κ · (cos(a_p, q) − cos(a_p, b))) at each position of features (C×P, row-major), given the map's fractions there.
fn alike(features: &[f32], shares: &[f64]) -> Vec<f64> {
    let places = shares.len();
    let features: Vec<f32> = features.chunks(places).flat_map(standardised).collect();
    let length = norms(&features, places);
    let direction = |weight: &dyn Fn(f64) -> f64| -> Vec<f64> {
        let sum = |plane: &[f32]| plane.iter().zip(shares).map(|(&a, &m)| f64::from(a) * weight(m)).sum();
        let all: Vec<f64> = features.chunks(places).map(sum).collect();
        let norm = all.iter().map(|v| v * v).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
        all.into_iter().map(|v| v / norm).collect()
    };
    let decisive = direction(&|m| m);
    let rest = direction(&|m| (1.0 - m / LEFT_OUT).max(0.0));
    let nearer = |p: usize| {
        let pairs = features.chunks(places).zip(decisive.iter().zip(&rest));
        let dot: f64 = pairs.map(|(plane, (q, b))| f64::from(plane[p]) * (q - b)).sum();
        1.0 / (1.0 + (-SHARPNESS * dot / length[p].max(f64::MIN_POSITIVE)).exp())
    };
    (0..places).map(nearer).collect()
}

/// A channel standardised to mean 0 and variance 1; zeros if it is constant.
fn standardised(plane: &[f32]) -> Vec<f32> {
    let n = plane.len() as f64;
    let mean = plane.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    let variance = plane.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
    let scale = if variance > 0.0 { variance.sqrt().recip() } else { 0.0 };
    plane.iter().map(|&v| ((f64::from(v) - mean) * scale) as f32).collect()
}

/// ‖a_p‖ at each position of features (C×P, row-major).
fn norms(features: &[f32], places: usize) -> Vec<f64> {
    let mut squares = vec![0.0; places];
    for plane in features.chunks(places) {
        squares.iter_mut().zip(plane).for_each(|(sum, &a)| *sum += f64::from(a) * f64::from(a));
    }
    squares.into_iter().map(f64::sqrt).collect()
}

#[cfg(test)]
mod tests {
    use super::{alike, shares};
    use crate::map::Map;

    #[test]
    fn a_map_grows_over_what_is_alike_and_not_over_the_rest() {
        // Two kinds of features, in the upper and in the lower row; the map has one position of the upper row.
        let features = [1.0f32, 1.2, 0.9, 0.1, 0.1, 0.1, 0.1, 0.2, 0.1, 1.3, 1.0, 1.1];
        let grown = alike(&features, &[1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        assert!(grown[..3].iter().all(|&v| v > 0.9), "{grown:?}");
        assert!(grown[3..].iter().all(|&v| v < 0.1), "{grown:?}");
        // Zero features are similar to neither.
        assert_eq!(alike(&[0.0; 4], &[1.0, 0.0]), [0.5, 0.5]);
    }

    #[test]
    fn places_have_the_mean_of_their_pixels_over_the_largest() {
        let map = Map { height: 2, width: 4, data: vec![1.0, 1.0, 0.0, 0.5, 1.0, 1.0, 0.0, -7.0] };
        assert_eq!(shares(&map, [1, 2]), [1.0, 0.125]);
        assert_eq!(shares(&Map::zeros(3, 3), [2, 2]), [0.0; 4]);
    }
}
