//! Infidelity and sensitivity (Yeh et al. 2019): whether an attribution predicts the effect of perturbations on the score, and
//! whether it is stable under small changes of the image.

use super::{Scores, each};
use crate::error::Result;
use candor::map::Map;
use candor::noise::Noise;

/// How badly an attribution predicts the score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Infidelity {
    /// Mean of (β·Iᵀφ − (f(x) − f(x − I)))² over perturbations I, in the score's units squared.
    pub value: f64,
    /// β: 1, or the best scale of the attribution, if requested.
    pub scale: f64,
}

/// The infidelity of an attribution φ of an image x under perturbations I, each C×H×W. φ is C×H×W, or H×W
/// for a map, whose values then count for every channel. With `scaled`, φ is multiplied by β = E[Iᵀφ·d] / E[(Iᵀφ)²], where d is
/// the drop of the score; this minimises the value and is meant for maps that are not gradients and have their own units.
///
/// An attribution that predicts nothing, such as an empty map, gives the mean of d² (and β = 0 with `scaled`). `None`
/// without perturbations. One forward pass more than there are perturbations, of which `batch` are in memory at once.
///
/// # Errors
/// If the model fails.
///
/// # Panics
/// If the sizes do not fit.
pub fn infidelity(
    scores: &mut Scores<'_>,
    image: &[f32],
    attribution: &[f32],
    perturbations: impl IntoIterator<Item = Vec<f32>>,
    scaled: bool,
    batch: usize,
) -> Result<Option<Infidelity>> {
    assert!(image.len().is_multiple_of(attribution.len()), "an attribution has the image's grid");
    let mut foretold = vec![];
    let perturbed = perturbations.into_iter().map(|by| {
        assert_eq!(by.len(), image.len(), "a perturbation has the size of the image");
        let terms = by.iter().zip(attribution.iter().cycle());
        foretold.push(terms.map(|(i, a)| f64::from(*i) * f64::from(*a)).sum::<f64>());
        image.iter().zip(&by).map(|(x, i)| x - i).collect()
    });
    let found = each(scores, batch, std::iter::once(image.to_vec()).chain(perturbed))?;
    let falls: Vec<f64> = found[1..].iter().map(|v| found[0] - v).collect();
    if falls.is_empty() {
        return Ok(None);
    }
    let sum = |f: &dyn Fn(f64, f64) -> f64| foretold.iter().zip(&falls).map(|(a, d)| f(*a, *d)).sum::<f64>();
    let scale = match (scaled, sum(&|a, _| a * a)) {
        (false, _) => 1.0,
        (true, 0.0) => 0.0,
        (true, squares) => sum(&|a, d| a * d) / squares,
    };
    let value = sum(&|a, d| (scale * a - d).powi(2)) / falls.len() as f64;
    Ok(Some(Infidelity { value, scale }))
}

/// Perturbation `index` for a seed: Gaussian noise of standard deviation `deviation`, in the model's units, on each of `size`
/// values (the paper's noisy baseline, around the image itself).
pub fn gaussian(seed: u64, index: usize, size: usize, deviation: f32) -> Vec<f32> {
    let mut noise = stream(seed, index);
    (0..size).map(|_| deviation * noise.normal()).collect()
}

/// Perturbation `index` for a seed that removes a square of `side` pixels, at a uniformly random position inside the image:
/// x − substrate there and 0 elsewhere, so that x − I is the substrate there (the paper's square removal). A side longer than
/// the image's is reduced to it.
pub fn square(
    seed: u64,
    index: usize,
    image: &[f32],
    substrate: &[f32],
    [height, width]: [usize; 2],
    side: usize,
) -> Vec<f32> {
    let mut noise = stream(seed, index);
    let (tall, wide) = (side.min(height), side.min(width));
    let (top, left) = (noise.below(height - tall + 1), noise.below(width - wide + 1));
    let inside = |i: usize| {
        let (row, column) = (i / width % height, i % width);
        (top..top + tall).contains(&row) && (left..left + wide).contains(&column)
    };
    let pixel = |(i, (x, s))| if inside(i) { x - s } else { 0.0 };
    image.iter().zip(substrate).enumerate().map(pixel).collect()
}

/// Perturbed image `index` for a seed: each value is changed by up to `radius`, uniformly.
pub fn nearby(seed: u64, index: usize, image: &[f32], radius: f32) -> Vec<f32> {
    let mut noise = stream(seed, index);
    image.iter().map(|x| x + radius * (2.0 * noise.unit() - 1.0)).collect()
}

/// A separate stream for each index, so that none depends on the number of draws before it.
fn stream(seed: u64, index: usize) -> Noise {
    Noise::new(seed ^ (index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

/// How much a map changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sensitivity {
    /// Largest Euclidean norm of the difference of the maps, in the map's units.
    pub largest: f64,
    /// The same relative to the original map's norm; `None` for an empty map.
    pub relative: Option<f64>,
}

/// The max-sensitivity of a method: `explain` makes the map of an image, `nearby` are images close to it ([`nearby`]). It takes one
/// explanation more than there are of those. `None` if there are none.
///
/// # Errors
/// If the method fails.
pub fn max_sensitivity(
    explain: &mut dyn FnMut(&[f32]) -> Result<Map>,
    image: &[f32],
    nearby: impl IntoIterator<Item = Vec<f32>>,
) -> Result<Option<Sensitivity>> {
    let original = explain(image)?;
    let norm = |v: &mut dyn Iterator<Item = f64>| v.map(|v| v * v).sum::<f64>().sqrt();
    let mut largest: Option<f64> = None;
    for other in nearby {
        let map = explain(&other)?;
        let pairs = original.data.iter().zip(&map.data);
        let moved = norm(&mut pairs.map(|(a, b)| f64::from(*a) - f64::from(*b)));
        largest = Some(largest.map_or(moved, |l| l.max(moved)));
    }
    let size = norm(&mut original.data.iter().map(|&v| f64::from(v)));
    let relative = |l: f64| (size > 0.0).then(|| l / size);
    Ok(largest.map(|largest| Sensitivity { largest, relative: relative(largest) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: [f32; 8] = [1.0, 2.0, -3.0, 4.0, 0.5, 0.0, 1.0, -1.0];
    const WEIGHTS: [f32; 8] = [0.5, -1.0, 2.0, 0.25, 1.0, 1.0, -2.0, 0.75];

    fn linear(images: &[Vec<f32>]) -> Result<Vec<f64>> {
        let one = |x: &Vec<f32>| x.iter().zip(&WEIGHTS).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
        Ok(images.iter().map(one).collect())
    }

    fn squares() -> impl Iterator<Item = Vec<f32>> {
        (0..9).map(|i| square(1, i, &IMAGE, &[0.0; 8], [2, 2], 1))
    }

    #[test]
    fn the_gradient_of_a_linear_model_foretells_everything() {
        let found = infidelity(&mut linear, &IMAGE, &WEIGHTS, squares(), false, 4).unwrap().unwrap();
        assert!(found.value < 1e-12 && found.scale == 1.0, "{found:?}");
        let noise = (0..9).map(|i| gaussian(2, i, 8, 0.1));
        let found = infidelity(&mut linear, &IMAGE, &WEIGHTS, noise, false, 4).unwrap().unwrap();
        assert!(found.value < 1e-12, "{found:?}");
        let tripled = WEIGHTS.map(|w| 3.0 * w);
        let found = infidelity(&mut linear, &IMAGE, &tripled, squares(), true, 4).unwrap().unwrap();
        assert!(found.value < 1e-12 && (found.scale - 1.0 / 3.0).abs() < 1e-6, "{found:?}");
    }

    #[test]
    fn an_empty_map_foretells_nothing_and_batches_change_nothing() {
        let mut passes = 0;
        let mut counted = |images: &[Vec<f32>]| {
            passes += images.len();
            linear(images)
        };
        let found = infidelity(&mut counted, &IMAGE, &[0.0; 4], squares(), true, 4).unwrap().unwrap();
        assert_eq!(passes, 10);
        let fall = |by: Vec<f32>| linear(&[by]).unwrap()[0].powi(2);
        let mean = squares().map(fall).sum::<f64>() / 9.0;
        assert!((found.value - mean).abs() < 1e-6 && found.scale == 0.0, "{found:?} {mean}");
        let other = infidelity(&mut linear, &IMAGE, &[0.0; 4], squares(), true, 100).unwrap().unwrap();
        assert_eq!(found, other);
        let none = infidelity(&mut linear, &IMAGE, &WEIGHTS, std::iter::empty(), true, 4).unwrap();
        assert_eq!(none, None);
    }

    #[test]
    fn squares_are_within_the_image_and_as_large_as_said() {
        for i in 0..20 {
            let by = square(3, i, &[1.0; 60], &[0.0; 60], [5, 6], 3);
            assert_eq!(by.iter().sum::<f32>(), 18.0);
            assert_eq!(by[..30], by[30..]);
        }
        assert_eq!(square(0, 0, &IMAGE, &[0.0; 8], [2, 2], 9), IMAGE);
    }

    #[test]
    fn sensitivity_is_the_largest_move() {
        let map = |data: Vec<f32>| Map { height: 1, width: data.len(), data };
        let mut itself = |x: &[f32]| Ok(map(x.to_vec()));
        let near = [vec![3.0, 4.5], vec![3.0, 5.0], vec![3.5, 4.0]];
        let found = max_sensitivity(&mut itself, &[3.0, 4.0], near.clone()).unwrap().unwrap();
        assert_eq!(found, Sensitivity { largest: 1.0, relative: Some(0.2) });
        let found = max_sensitivity(&mut itself, &[0.0, 0.0], near).unwrap().unwrap();
        assert_eq!(found.relative, None);
        assert_eq!(max_sensitivity(&mut itself, &[3.0, 4.0], vec![]).unwrap(), None);
        let moved = nearby(1, 2, &IMAGE, 0.1);
        assert!(IMAGE.iter().zip(&moved).all(|(a, b)| (a - b).abs() <= 0.1001) && moved != IMAGE);
    }
}
