//! Deletion and insertion (Petsiuk, Das, Saenko 2018; `CausalMetric` of their code): the score while pixels are removed, or
//! inserted, in the order of their importance in a map.

use super::substrate::Substrate;
use super::{Case, Ranking, Scores, each};
use crate::error::Result;

/// The scores along a curve.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// One value per step, both ends included, in the units of the score.
    pub values: Vec<f64>,
    /// Area under them, with an x-axis of length 1: their mean height.
    pub area: f64,
    /// The map is constant: its pixels are taken row by row, and the curve says nothing about it.
    pub uninformative: bool,
}

/// From the image to the substrate: pixels are removed in order of descending map value. A low area means that the map found what the
/// score depends on. `steps` + 1 forward passes; after step i of n the first ⌊i·H·W/n + ½⌋ pixels are removed.
///
/// # Errors
/// If the model fails.
pub fn deletion(
    scores: &mut Scores<'_>,
    case: Case<'_>,
    substrate: &Substrate,
    steps: usize,
) -> Result<Curve> {
    along(scores, case, substrate, steps, false)
}

/// From the substrate to the image: pixels are inserted in order of descending map value. A high area means that they suffice. Steps as
/// in [`deletion`].
///
/// # Errors
/// If the model fails.
pub fn insertion(
    scores: &mut Scores<'_>,
    case: Case<'_>,
    substrate: &Substrate,
    steps: usize,
) -> Result<Curve> {
    along(scores, case, substrate, steps, true)
}

fn along(
    scores: &mut Scores<'_>,
    case: Case<'_>,
    substrate: &Substrate,
    steps: usize,
    insert: bool,
) -> Result<Curve> {
    let ranking = Ranking::of(case.map);
    let steps = steps.max(1);
    let image = |i: usize| {
        let changed = ranking.top(ranking.count(i as f64 / steps as f64));
        let removed: Vec<bool> = changed.into_iter().map(|c| c != insert).collect();
        substrate.without(case.image, case.grid(), &removed)
    };
    let values = each(scores, case.batch, (0..=steps).map(image))?;
    Ok(Curve { area: area(&values), values, uninformative: ranking.uninformative })
}

/// Trapezoidal area under values at equal distances on an x-axis of length 1: (Σ − first/2 − last/2) / (n − 1). NaN for fewer
/// than two.
pub fn area(values: &[f64]) -> f64 {
    match values {
        [first, .., last] => {
            (values.iter().sum::<f64>() - first / 2.0 - last / 2.0) / (values.len() - 1) as f64
        }
        _ => f64::NAN,
    }
}

/// Trapezoidal area under points (x, y) with ascending x.
pub fn trapezoids(points: &[[f64; 2]]) -> f64 {
    points.windows(2).map(|w| (w[1][0] - w[0][0]) * (w[0][1] + w[1][1]) / 2.0).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candor::map::Map;

    const IMAGE: [f32; 10] = [1.0, -2.0, 0.5, 3.0, 1.5, 2.0, 1.0, -1.0, 0.25, 0.75];
    const WEIGHTS: [f32; 10] = [0.5, 1.0, 2.0, -1.0, 0.7, 1.5, 0.3, 1.0, 4.0, -2.0];

    /// A linear model of two channels and five pixels.
    fn linear(images: &[Vec<f32>]) -> Result<Vec<f64>> {
        let one = |x: &Vec<f32>| x.iter().zip(&WEIGHTS).map(|(x, w)| f64::from(x * w)).sum();
        Ok(images.iter().map(one).collect())
    }

    /// The contribution of each pixel to it.
    fn truth() -> Vec<f32> {
        (0..5).map(|p| IMAGE[p] * WEIGHTS[p] + IMAGE[p + 5] * WEIGHTS[p + 5]).collect()
    }

    #[test]
    fn areas_of_equal_and_of_unequal_steps_agree() {
        let points = [[0.0, 3.0], [0.25, 1.0], [0.5, 2.0], [0.75, 0.0], [1.0, 4.0]];
        assert_eq!(trapezoids(&points), area(&points.map(|[_, y]| y)));
        assert_eq!(trapezoids(&[[0.0, 1.0], [0.2, 1.0], [1.0, 3.0]]), 0.2 + 1.6);
    }

    fn permutations(of: Vec<f32>) -> Vec<Vec<f32>> {
        if of.is_empty() {
            return vec![vec![]];
        }
        let rest = |i: usize| of.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, v)| *v).collect();
        let with = |i: usize| {
            permutations(rest(i)).into_iter().map(|p| [vec![of[i]], p].concat()).collect::<Vec<_>>()
        };
        (0..of.len()).flat_map(with).collect()
    }

    #[test]
    fn the_truth_of_a_linear_model_is_best_among_all_orders() {
        let areas = |data: Vec<f32>| {
            let map = Map { height: 1, width: 5, data };
            let (case, zero) = (Case { image: &IMAGE, map: &map, batch: 4 }, Substrate::zero(&IMAGE));
            let deletion = deletion(&mut linear, case, &zero, 5).unwrap();
            (deletion.area, insertion(&mut linear, case, &zero, 5).unwrap().area)
        };
        let (low, high) = areas(truth());
        for other in permutations(truth()) {
            let (deletion, insertion) = areas(other);
            assert!(deletion >= low - 1e-9 && insertion <= high + 1e-9);
        }
    }

    #[test]
    fn batches_change_nothing_and_passes_are_counted() {
        let map = Map { height: 1, width: 5, data: truth() };
        let zero = Substrate::zero(&IMAGE);
        let run = |batch: usize| {
            let mut passes = 0;
            let mut counted = |images: &[Vec<f32>]| {
                assert!(images.len() <= batch.max(1));
                passes += images.len();
                linear(images)
            };
            let curve = deletion(&mut counted, Case { image: &IMAGE, map: &map, batch }, &zero, 3).unwrap();
            assert_eq!(passes, 4);
            curve
        };
        let one = run(0);
        assert_eq!(one, run(3));
        assert_eq!(one, run(100));
        // 2 and 3 of 5 pixels after a third and two thirds.
        let best: f64 = truth().iter().map(|&v| f64::from(v)).sum();
        assert!((one.values[0] - best).abs() < 1e-6 && one.values[3] == 0.0);
        assert!((one.area - (one.values[0] / 2.0 + one.values[1] + one.values[2]) / 3.0).abs() < 1e-12);
    }

    #[test]
    fn an_empty_map_goes_row_by_row_and_says_so() {
        let map = Map::zeros(1, 5);
        let case = Case { image: &IMAGE, map: &map, batch: 8 };
        let curve = deletion(&mut linear, case, &Substrate::zero(&IMAGE), 5).unwrap();
        assert!(curve.uninformative);
        let left: f64 = truth()[1..].iter().map(|&v| f64::from(v)).sum();
        assert!((curve.values[1] - left).abs() < 1e-6);
        assert!(area(&[1.0]).is_nan() && area(&[1.0, 3.0]) == 2.0);
    }
}
