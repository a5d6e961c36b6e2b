//! Whether a map is faithful to its model: how the model's score changes when parts of the image are removed.
//!
//! The figures do not depend on an engine. A model is a closure from images to values, [`Scores`]; an image is C×H×W as the model takes
//! it, on the map's grid of H×W. Functions panic if the image's length is not a multiple of that grid, or if the closure
//! does not return one value per image.
//!
//! An empty map is never normalised or replaced. If a figure needs an order and the map gives none, it is `None`, or the
//! order is row by row and the result says so.

pub mod curve;
pub mod drop;
pub mod impute;
pub mod infidelity;
mod multigrid;
pub mod road;
pub mod sparseness;
pub mod substrate;

use crate::error::Result;
use candor::map::Map;

/// A model as the figures see it: from a batch of images (C×H×W each, row-major, as the model takes them) to one value per image,
/// the measured score of the queried class: its probability, logit or log-odds.
pub type Scores<'a> = dyn FnMut(&[Vec<f32>]) -> Result<Vec<f64>> + 'a;

/// An image and the map to evaluate.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The image, C×H×W, row-major.
    pub image: &'a [f32],
    /// The map that explains it, H×W.
    pub map: &'a Map,
    /// Maximum number of images passed to the model, and in memory, at once; 0 counts as 1.
    pub batch: usize,
}

impl Case<'_> {
    /// Height and width of the map.
    pub(crate) fn grid(&self) -> [usize; 2] {
        [self.map.height, self.map.width]
    }
}

/// The pixels of a map, ranked.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranking {
    /// Pixels (row-major indices) by descending value; equal ones row by row, from the top left.
    pub order: Vec<usize>,
    /// All values are equal, as in an empty map: the order is that of the pixels and has no meaning.
    pub uninformative: bool,
    values: Vec<f32>,
}

impl Ranking {
    /// Sorts a map's pixels.
    pub fn of(map: &Map) -> Self {
        // Makes −0 equal to 0.
        let values: Vec<f32> = map.data.iter().map(|v| v + 0.0).collect();
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|&i, &j| values[j].total_cmp(&values[i]));
        let uninformative = values.iter().all(|v| *v == values[0]);
        Ranking { order, uninformative, values }
    }

    /// The first `count` pixels, as a selection among all.
    pub fn top(&self, count: usize) -> Vec<bool> {
        chosen(self.order.iter().take(count), self.order.len())
    }

    /// The last `count` pixels, as a selection among all.
    pub fn bottom(&self, count: usize) -> Vec<bool> {
        chosen(self.order.iter().rev().take(count), self.order.len())
    }

    /// The fraction (0..=1) of the first `count` pixels that the map itself ranks there. The others have the same value as pixels left
    /// out, so that only their positions decided: below 1 if a sparse map has fewer positive pixels than requested.
    pub fn decided(&self, count: usize) -> f64 {
        if count == 0 || count >= self.order.len() {
            return 1.0;
        }
        let (last, next) = (self.values[self.order[count - 1]], self.values[self.order[count]]);
        if last != next {
            return 1.0;
        }
        self.order.iter().filter(|&&i| self.values[i] > last).count() as f64 / count as f64
    }

    /// Number of pixels in a fraction `share` (0..=1) of all.
    pub(crate) fn count(&self, share: f64) -> usize {
        ((share * self.order.len() as f64).round() as usize).min(self.order.len())
    }
}

fn chosen<'a>(pixels: impl Iterator<Item = &'a usize>, of: usize) -> Vec<bool> {
    let mut chosen = vec![false; of];
    pixels.for_each(|&i| chosen[i] = true);
    chosen
}

/// The values of images, computed in batches of `batch`: further images are made only after the model has seen those.
pub(crate) fn each(
    scores: &mut Scores<'_>,
    batch: usize,
    mut images: impl Iterator<Item = Vec<f32>>,
) -> Result<Vec<f64>> {
    let mut all = vec![];
    loop {
        let images: Vec<Vec<f32>> = images.by_ref().take(batch.max(1)).collect();
        if images.is_empty() {
            return Ok(all);
        }
        let values = scores(&images)?;
        assert_eq!(values.len(), images.len(), "a model gives one value an image");
        all.extend(values);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_pixels_keep_their_places_and_are_counted() {
        let map = Map { height: 2, width: 3, data: vec![0.0, 2.0, -0.0, 5.0, 0.0, -1.0] };
        let ranking = Ranking::of(&map);
        assert_eq!(ranking.order, [3, 1, 0, 2, 4, 5]);
        assert_eq!(ranking.bottom(2), [false, false, false, false, true, true]);
        assert!(!ranking.uninformative && Ranking::of(&Map::zeros(2, 2)).uninformative);
        assert_eq!([0, 2, 4, 5, 6].map(|n| ranking.decided(n)), [1.0, 1.0, 0.5, 1.0, 1.0]);
        assert_eq!(Ranking::of(&Map::zeros(2, 2)).decided(2), 0.0);
        assert!(Ranking::of(&Map::zeros(0, 0)).uninformative);
    }

    #[test]
    fn batches_are_full_and_no_larger() {
        let mut sizes = vec![];
        let mut scores = |images: &[Vec<f32>]| {
            sizes.push(images.len());
            Ok(images.iter().map(|i| f64::from(i[0])).collect())
        };
        let all = each(&mut scores, 3, (0..7u8).map(|i| vec![f32::from(i)])).unwrap();
        assert_eq!(all, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(sizes, [3, 3, 1]);
    }
}
