//! Budgets of perturbations, enforced exactly: the norm in float64 never exceeds the budget, and pixels stay in 0..=1.

use serde::{Deserialize, Serialize};

use candor::noise::Noise;

/// Norms of a perturbation of pixels in 0..=1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Norms {
    /// Largest change of a value.
    pub linf: f64,
    /// Euclidean norm.
    pub l2: f64,
    /// Number of values (pixel and channel) that changed.
    pub l0: usize,
}

impl Norms {
    /// Norms of the difference of two images.
    pub fn between(a: &[f32], b: &[f32]) -> Self {
        let mut norms = Norms::default();
        for (a, b) in a.iter().zip(b) {
            let d = (f64::from(*a) - f64::from(*b)).abs();
            norms.linf = norms.linf.max(d);
            norms.l2 += d * d;
            norms.l0 += usize::from(d != 0.0);
        }
        norms.l2 = norms.l2.sqrt();
        norms
    }
}

/// A bound on the perturbation: a ball around the image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Budget {
    /// No value changes by more than this.
    Linf(f64),
    /// The L2 norm of the change is at most this.
    L2(f64),
    /// No bound: the attack minimises the perturbation itself.
    Free,
}

impl Budget {
    /// Whether a perturbation with these norms is within the budget.
    pub fn holds(self, norms: &Norms) -> bool {
        match self {
            Budget::Linf(eps) => norms.linf <= eps,
            Budget::L2(eps) => norms.l2 <= eps,
            Budget::Free => true,
        }
    }

    /// Projects `image` onto the ball around `origin` (for L2 along the line between them) and then onto 0..=1.
    pub fn project(self, image: &mut [f32], origin: &[f32]) {
        match self {
            Budget::Linf(eps) => project_linf(image, origin, eps),
            Budget::L2(eps) => project_l2(image, origin, eps),
            Budget::Free => image.iter_mut().for_each(|v| *v = v.clamp(0.0, 1.0)),
        }
    }

    /// A point drawn uniformly from the ball, clipped to 0..=1: each value uniform for L∞; for L2 by Voelker et al. 2017, the first n of
    /// n + 2 coordinates of a point on the sphere.
    pub(super) fn random_start(self, origin: &[f32], noise: &mut Noise) -> Vec<f32> {
        let mut start = match self {
            Budget::Linf(eps) => origin.iter().map(|v| v + eps as f32 * (2.0 * noise.unit() - 1.0)).collect(),
            Budget::L2(eps) => {
                let draw: Vec<f64> = (0..origin.len() + 2).map(|_| noise.normal().into()).collect();
                let length = draw.iter().map(|v| v * v).sum::<f64>().sqrt();
                origin.iter().zip(&draw).map(|(v, d)| (f64::from(*v) + eps * d / length) as f32).collect()
            }
            Budget::Free => origin.to_vec(),
        };
        self.project(&mut start, origin);
        start
    }

    /// The direction in which a loss with this gradient grows fastest, with length 1 in the budget's norm: the gradient's sign, or the
    /// gradient divided by its length.
    pub(super) fn steepest(self, gradient: &[f32]) -> Vec<f32> {
        match self {
            Budget::Linf(_) => gradient.iter().map(|g| sign(*g)).collect(),
            Budget::L2(_) | Budget::Free => {
                let length = length(gradient).max(f64::from(f32::MIN_POSITIVE));
                gradient.iter().map(|g| (f64::from(*g) / length) as f32).collect()
            }
        }
    }
}

/// Euclidean norm.
pub(super) fn length(values: &[f32]) -> f64 {
    values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt()
}

/// −1, 0 or 1.
pub(super) fn sign(v: f32) -> f32 {
    if v == 0.0 { 0.0 } else { v.signum() }
}

/// Bounds are rounded inwards, so that the difference in float64 is at most eps.
fn project_linf(image: &mut [f32], origin: &[f32], eps: f64) {
    for (v, o) in image.iter_mut().zip(origin) {
        let (low, high) = (f64::from(*o) - eps, f64::from(*o) + eps);
        let (mut least, mut most) = (low as f32, high as f32);
        if f64::from(least) < low {
            least = least.next_up();
        }
        if f64::from(most) > high {
            most = most.next_down();
        }
        *v = v.max(least).min(most).clamp(0.0, 1.0);
    }
}

fn project_l2(image: &mut [f32], origin: &[f32], eps: f64) {
    let norm = Norms::between(image, origin).l2;
    let mut factor = (eps / norm.max(f64::MIN_POSITIVE)).min(1.0);
    loop {
        let moved = image.iter().zip(origin).map(|(v, o)| {
            let d = f64::from(*v) - f64::from(*o);
            if factor < 1.0 { (f64::from(*o) + factor * d) as f32 } else { *v }.clamp(0.0, 1.0)
        });
        let moved: Vec<f32> = moved.collect();
        // Rounding to 32 bits can make it slightly longer.
        if Norms::between(&moved, origin).l2 <= eps || factor == 0.0 {
            image.copy_from_slice(&moved);
            return;
        }
        factor = if factor > 1e-6 { factor * (1.0 - 1e-7) } else { 0.0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn projections_hold_the_budget_exactly() {
        let mut noise = Noise::new(3);
        for eps in [1.0 / 255.0, 8.0 / 255.0, 0.1, 0.5] {
            for budget in [Budget::Linf(eps), Budget::L2(eps)] {
                for _ in 0..50 {
                    let origin: Vec<f32> = (0..300).map(|_| noise.unit()).collect();
                    let mut image: Vec<f32> = origin.iter().map(|v| v + noise.normal()).collect();
                    budget.project(&mut image, &origin);
                    let norms = Norms::between(&image, &origin);
                    assert!(budget.holds(&norms), "{budget:?} {norms:?}");
                    assert!(image.iter().all(|v| (0.0..=1.0).contains(v)));
                    let start = budget.random_start(&origin, &mut noise);
                    assert!(budget.holds(&Norms::between(&start, &origin)));
                    // A point inside the ball is unchanged.
                    let mut inside = start.clone();
                    budget.project(&mut inside, &origin);
                    assert_eq!(inside, start);
                }
            }
        }
    }

    #[test]
    fn a_free_point_is_moved_to_the_border_and_no_further() {
        let origin = vec![0.5f32; 100];
        let far = vec![0.9f32; 100];
        for (budget, norm) in [(Budget::Linf(0.1), 0.1), (Budget::L2(1.0), 1.0)] {
            let mut image = far.clone();
            budget.project(&mut image, &origin);
            let norms = Norms::between(&image, &origin);
            let got = if matches!(budget, Budget::L2(_)) { norms.l2 } else { norms.linf };
            assert!((got - norm).abs() < 1e-6, "{got}");
        }
    }
}
