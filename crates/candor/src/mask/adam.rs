//! Adam (Kingma & Ba 2015, algorithm 1), on numbers, and, with projection onto a box, as graph nodes.

use candor_graph::builder::Expr;

use super::settings::Settings;

/// State for one vector of parameters.
#[derive(Clone, Debug)]
pub struct Adam {
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
    /// Initial state for `n` parameters, with the decay β₂ of the second moment.
    pub fn new(n: usize, beta_2: f32) -> Self {
        Adam { beta_2, step: 0, mean: vec![0.0; n], square: vec![0.0; n] }
    }

    /// One step against `gradient`: by how much to decrease each parameter, divided by the learning rate.
    pub fn step(&mut self, gradient: impl Iterator<Item = f32>) -> impl Iterator<Item = f32> {
        self.step += 1;
        let beta_2 = self.beta_2;
        let [correct_1, correct_2] = corrections(beta_2, self.step);
        gradient.zip(self.mean.iter_mut().zip(&mut self.square)).map(move |(g, (m, v))| {
            *m = BETA_1 * *m + (1.0 - BETA_1) * g;
            *v = beta_2 * *v + (1.0 - beta_2) * g * g;
            (*m / correct_1) / ((*v / correct_2).sqrt() + EPSILON)
        })
    }
}

/// Bias corrections 1 − β₁^step and 1 − β₂^step of the first and second moments.
fn corrections(beta_2: f32, step: i32) -> [f32; 2] {
    [BETA_1, beta_2].map(|beta| 1.0 - beta.powi(step))
}

/// Fraction of the falling part of [`Settings::anneal`] at the middle of a step, counted from 1: `slope`·step + `offset`, negative before
/// that part. `None` if the learning rate is constant.
fn falling(settings: &Settings) -> Option<[f32; 2]> {
    let (steps, share) = (settings.iterations as f32, settings.anneal);
    let falling = share * steps;
    (falling > 0.0).then(|| [1.0 / falling, -(0.5 + (1.0 - share) * steps) / falling])
}

/// [`corrections`] for a search's step, counted from 1. The first is divided by the remaining fraction of the learning rate, which has
/// the effect of a smaller rate.
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

/// [`Adam::step`] as nodes, multiplied by the learning rate and projected onto the box. Returns the mask and its two moments.
/// `under_root` is added to the corrected second moment under the root.
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
    fn the_first_step_is_as_long_as_the_rate_whatever_the_gradient() {
        let mut adam = Adam::new(2, BETA_2);
        let step: Vec<f32> = adam.step([1e-3f32, -40.0].into_iter()).collect();
        assert!((step[0] - 1.0).abs() < 1e-4 && (step[1] + 1.0).abs() < 1e-6, "{step:?}");
    }
}
