//! Adam (Kingma & Ba 2015, algorithm 1) with projection onto a box, on numbers and as nodes.

use candor_graph::builder::Expr;

use super::settings::Settings;

/// State for one vector of parameters.
#[derive(Clone, Debug)]
pub struct Adam {
    rate: f32,
    beta_2: f32,
    step: i32,
    mean: Vec<f32>,
    square: Vec<f32>,
}

const BETA_1: f32 = 0.9;
/// The usual decay of the second moment.
pub const BETA_2: f32 = 0.999;
const EPSILON: f32 = 1e-8;

impl Adam {
    /// Fresh state for `n` parameters, a learning rate, and the decay of the second moment.
    pub fn new(n: usize, rate: f32, beta_2: f32) -> Self {
        Adam { rate, beta_2, step: 0, mean: vec![0.0; n], square: vec![0.0; n] }
    }

    /// One step against `gradient`, then projection of each parameter onto `0..=cap`.
    pub fn step(&mut self, parameters: &mut [f32], gradient: impl Iterator<Item = f32>, cap: f32) {
        self.step += 1;
        let [correct_1, correct_2] = corrections(self.beta_2, self.step);
        let state = self.mean.iter_mut().zip(&mut self.square);
        for ((p, g), (m, v)) in parameters.iter_mut().zip(gradient).zip(state) {
            *m = BETA_1 * *m + (1.0 - BETA_1) * g;
            *v = self.beta_2 * *v + (1.0 - self.beta_2) * g * g;
            let update = (*m / correct_1) / ((*v / correct_2).sqrt() + EPSILON);
            *p = (*p - self.rate * update).clamp(0.0, cap);
        }
    }
}

/// 1 − β to the power of a step, for the first moment and the second.
fn corrections(beta_2: f32, step: i32) -> [f32; 2] {
    [BETA_1, beta_2].map(|beta| 1.0 - beta.powi(step))
}

/// How far along the falling part of [`Settings::anneal`] the middle of a step is, counted from 1: `slope`·step + `offset`, below 0 before it.
/// `None` where the rate stays.
fn falling(settings: &Settings) -> Option<[f32; 2]> {
    let (steps, share) = (settings.iterations as f32, settings.anneal);
    let falling = share * steps;
    (falling > 0.0).then(|| [1.0 / falling, -(0.5 + (1.0 - share) * steps) / falling])
}

/// [`corrections`] of a search's step, counted from 1. The first is over the share that is left of the rate: a smaller rate is a smaller
/// first moment.
pub(super) fn search_corrections(settings: &Settings, step: i32) -> [f32; 2] {
    let [first, second] = corrections(settings.beta_2, step);
    let left = falling(settings).map_or(1.0, |[slope, offset]| {
        let way = (slope * step as f32 + offset).clamp(0.0, 1.0);
        0.5 + 0.5 * (way * std::f32::consts::PI).cos()
    });
    [first / left, second]
}

/// [`search_corrections`] as nodes.
pub(super) fn search_correction_nodes<'b>(settings: &Settings, step: Expr<'b>) -> [Expr<'b>; 2] {
    let b = step.builder();
    let [first, second] = [BETA_1, settings.beta_2].map(|beta| 1.0 - b.scalar(beta).op("Pow", &[step], &[]));
    let Some([slope, offset]) = falling(settings) else { return [first, second] };
    let way = (step * slope + offset).op("Clip", &[b.scalar(0.0), b.scalar(1.0)], &[]);
    [first / ((way * std::f32::consts::PI).op("Cos", &[], &[]) * 0.5 + 0.5), second]
}

/// [`Adam::step`] as nodes: the mask and its two moments after it. `under_root` is added to the corrected second moment under the root.
pub(super) fn adam_step<'b>(
    mask: Expr<'b>,
    gradient: Expr<'b>,
    [mean, square]: [Expr<'b>; 2],
    [correct_1, correct_2]: [Expr<'b>; 2],
    settings: &Settings,
    under_root: f32,
) -> [Expr<'b>; 3] {
    let b = mask.builder();
    let mean = mean * BETA_1 + gradient * (1.0 - BETA_1);
    let square = square * settings.beta_2 + gradient * (1.0 - settings.beta_2) * gradient;
    let second = square / correct_2;
    let second = if under_root > 0.0 { second + under_root } else { second };
    let update = (mean / correct_1) / (second.sqrt() + EPSILON);
    let bounds = [b.scalar(0.0), b.scalar(settings.cap)];
    [(mask - update * settings.rate).op("Clip", &bounds, &[]), mean, square]
}

#[cfg(test)]
mod tests {
    use super::{Adam, BETA_2};

    #[test]
    fn first_step_moves_by_the_rate_whatever_the_gradient() {
        let mut adam = Adam::new(2, 0.05, BETA_2);
        let mut p = [1.0, 0.5];
        adam.step(&mut p, [1e-3f32, -40.0].into_iter(), 1.0);
        assert!((p[0] - 0.95).abs() < 1e-5 && (p[1] - 0.55).abs() < 1e-6, "{p:?}");
    }

    #[test]
    fn parameters_stay_in_the_box() {
        let mut adam = Adam::new(2, 0.5, BETA_2);
        let mut p = [0.9, 0.1];
        for _ in 0..5 {
            adam.step(&mut p, [-1.0f32, 1.0].into_iter(), 1.0);
        }
        assert_eq!(p, [1.0, 0.0]);
    }
}
