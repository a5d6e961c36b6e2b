//! ROAD, remove and debias (Rong et al. 2022): removed pixels are imputed from those around, so that neither the hole nor its
//! outline gives information to the model.

use super::substrate::Substrate;
use super::{Case, Ranking, Scores, each};
use crate::error::Result;

/// Percentages of pixels that the paper removes.
pub const PERCENTAGES: [f64; 9] = [10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0];

/// Scores for increasing numbers of imputed pixels.
#[derive(Clone, Debug, PartialEq)]
pub struct Road {
    /// Percentages of pixels removed.
    pub percentages: Vec<f64>,
    /// The score for each when the pixels with the highest map values are removed (MoRF): low for a good map.
    pub most: Vec<f64>,
    /// The same for the lowest map values (LeRF): high for a good map.
    pub least: Vec<f64>,
    /// The map is constant: `most` starts at the top left, `least` at the bottom right, and neither says anything about it.
    pub uninformative: bool,
}

impl Road {
    /// Half the mean difference of `least` and `most`; higher is better. `None` for a constant map or without percentages.
    pub fn combined(&self) -> Option<f64> {
        let sum: f64 = self.least.iter().zip(&self.most).map(|(l, m)| l - m).sum();
        (!self.uninformative && !self.most.is_empty()).then(|| sum / 2.0 / self.most.len() as f64)
    }
}

/// The scores at `percentages` (0..=100, rounded to whole pixels) removed, by [`impute`](super::impute::impute) with Gaussian noise of
/// standard deviation `noise` in the model's units (0.01 in the published code) drawn from `seed`. Two forward passes per percentage.
///
/// # Errors
/// If the model fails.
pub fn road(
    scores: &mut Scores<'_>,
    case: Case<'_>,
    percentages: &[f64],
    noise: f32,
    seed: u64,
) -> Result<Road> {
    let (ranking, substrate) = (Ranking::of(case.map), Substrate::Inpaint { noise, seed });
    let count = |i: usize| ranking.count(percentages[i % percentages.len()] / 100.0);
    let image = &|i: usize| {
        let removed = if i < percentages.len() { ranking.top(count(i)) } else { ranking.bottom(count(i)) };
        substrate.without(case.image, case.grid(), &removed)
    };
    let mut most = vec![];
    for part in (0..2 * percentages.len()).collect::<Vec<_>>().chunks(case.batch.max(1)) {
        // The systems of a batch are solved in parallel.
        let images = std::thread::scope(|scope| {
            let threads: Vec<_> = part.iter().map(|&i| scope.spawn(move || image(i))).collect();
            threads.into_iter().map(|t| t.join().expect("imputing does not panic")).collect::<Vec<_>>()
        });
        most.extend(each(scores, case.batch, images.into_iter())?);
    }
    let least = most.split_off(percentages.len());
    Ok(Road { percentages: percentages.to_vec(), most, least, uninformative: ranking.uninformative })
}

#[cfg(test)]
mod tests {
    use super::*;
    use candor::map::Map;

    #[test]
    fn most_and_least_are_both_asked_and_noise_depends_on_the_seed() {
        let image: Vec<f32> = (0..100).map(|i| (i % 7) as f32).collect();
        let map = Map { height: 10, width: 10, data: image.clone() };
        let mut passes = 0;
        let mut scores = |images: &[Vec<f32>]| {
            passes += images.len();
            Ok(images.iter().map(|i| i.iter().map(|&v| f64::from(v)).sum()).collect())
        };
        let mut run = |map: &Map, batch, seed| {
            road(&mut scores, Case { image: &image, map, batch }, &PERCENTAGES, 0.05, seed).unwrap()
        };
        let a = run(&map, 5, 1);
        assert!(a.most[4] < a.least[4] && a.combined().is_some_and(|c| c > 0.0));
        assert_eq!(a, run(&map, 1, 1));
        assert_ne!(a, run(&map, 1, 2));
        let empty = run(&Map::zeros(10, 10), 5, 1);
        assert!(empty.uninformative && empty.combined().is_none());
        assert_eq!(passes, 4 * 18);
    }
}
