//! Losses of the logits that attacks increase, and their derivatives, from which the reverse sweep starts.

use candor::scores::{log_sum_exp, softmax};

/// What counts as success for one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Goal {
    /// The image's class, which the model should no longer predict.
    pub label: usize,
    /// The class that the model should predict; if `None`, any other than `label`.
    pub target: Option<usize>,
}

impl Goal {
    /// Any class but this one.
    pub fn away(label: usize) -> Self {
        Goal { label, target: None }
    }

    /// Whether the model's answer is the target, or without a target not the label.
    pub fn reached(&self, logits: &[f32]) -> bool {
        let answer = answer(logits);
        self.target.map_or(answer != self.label, |target| answer == target)
    }
}

/// The class with the highest score; the smallest number among equal ones.
pub fn answer(logits: &[f32]) -> usize {
    best_other(logits, usize::MAX)
}

/// The class with the highest score except for `but`.
fn best_other(logits: &[f32], but: usize) -> usize {
    let others = (0..logits.len()).filter(|&k| k != but);
    others.reduce(|best, k| if logits[k] > logits[best] { k } else { best }).unwrap_or(0)
}

/// A loss that an attack increases. S: logits, y: the label, t: the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// −log p_y; with a target, log p_t.
    CrossEntropy,
    /// max_{k≠y} S_k − S_y; with a target, S_t − max_{k≠t} S_k (Carlini, Wagner 2017, f₆ without its floor).
    Margin,
    /// Difference of logits ratio: (max_{k≠y} S_k − S_y) / (S_π1 − S_π3), π the classes by descending score; with a target,
    /// (S_t − S_y) / (S_π1 − (S_π3 + S_π4) / 2) (Croce, Hein 2020, equations 6 and 7). It does not depend on the scale of
    /// the logits, and needs 3 classes, 4 with a target.
    Dlr,
}

impl Loss {
    /// All losses by name.
    pub const ALL: [(&'static str, Loss); 3] =
        [("cross-entropy", Loss::CrossEntropy), ("margin", Loss::Margin), ("dlr", Loss::Dlr)];

    /// The loss of that name.
    pub(super) fn named(name: &str) -> Loss {
        Loss::ALL.iter().find(|(n, _)| *n == name).map_or(Loss::CrossEntropy, |(_, loss)| *loss)
    }

    /// Minimum number of classes that it needs.
    pub fn least_classes(self, goal: &Goal) -> usize {
        match (self, goal.target) {
            (Loss::Dlr, None) => 3,
            (Loss::Dlr, Some(_)) => 4,
            _ => 2,
        }
    }

    /// The loss, and its derivative with respect to the logits.
    pub fn at(self, logits: &[f32], goal: &Goal) -> (f64, Vec<f32>) {
        match self {
            Loss::CrossEntropy => cross_entropy(logits, goal),
            Loss::Margin => margin(logits, goal),
            Loss::Dlr => dlr(logits, goal),
        }
    }
}

fn cross_entropy(logits: &[f32], goal: &Goal) -> (f64, Vec<f32>) {
    let (class, sign) = goal.target.map_or((goal.label, -1.0), |t| (t, 1.0));
    let wide: Vec<f64> = logits.iter().map(|&s| s.into()).collect();
    let log_p = wide[class] - log_sum_exp(&wide);
    let p = softmax(logits);
    let slope = |(k, p): (usize, &f64)| (sign * (f64::from(u8::from(k == class)) - p)) as f32;
    (sign * log_p, p.iter().enumerate().map(slope).collect())
}

fn margin(logits: &[f32], goal: &Goal) -> (f64, Vec<f32>) {
    let class = goal.target.unwrap_or(goal.label);
    let other = best_other(logits, class);
    let (up, down) = if goal.target.is_some() { (class, other) } else { (other, class) };
    let mut seed = vec![0.0; logits.len()];
    (seed[up], seed[down]) = (1.0, -1.0);
    (f64::from(logits[up]) - f64::from(logits[down]), seed)
}

/// Keeps the quotient finite if the first and third scores are equal, as in the authors' code.
const LEAST_SPREAD: f64 = 1e-12;

fn dlr(logits: &[f32], goal: &Goal) -> (f64, Vec<f32>) {
    let order = candor::scores::ranking(logits);
    let s = |k: usize| f64::from(logits[k]);
    let up = goal.target.unwrap_or(if order[0] == goal.label { order[1] } else { order[0] });
    // What is subtracted from the highest score, as weighted classes.
    let low: &[(usize, f64)] = match goal.target {
        None => &[(order[2], 1.0)],
        Some(_) => &[(order[2], 0.5), (order[3], 0.5)],
    };
    let spread = s(order[0]) - low.iter().map(|(k, share)| share * s(*k)).sum::<f64>() + LEAST_SPREAD;
    let difference = s(up) - s(goal.label);
    let mut slope = vec![0.0; logits.len()];
    slope[up] += 1.0 / spread;
    slope[goal.label] -= 1.0 / spread;
    let of_spread = -difference / (spread * spread);
    slope[order[0]] += of_spread;
    for (k, share) in low {
        slope[*k] -= of_spread * share;
    }
    (difference / spread, slope.into_iter().map(|v| v as f32).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_the_derivatives_of_the_losses() {
        let logits = [1.5f32, -0.7, 2.0, 0.3, 0.9];
        for (name, loss) in Loss::ALL {
            for label in 0..5 {
                for target in [None, Some((label + 1) % 5), Some((label + 3) % 5)] {
                    let goal = Goal { label, target };
                    let (_, seed) = loss.at(&logits, &goal);
                    for i in 0..5 {
                        let moved = |h: f32| {
                            let mut moved = logits;
                            moved[i] += h;
                            loss.at(&moved, &goal).0
                        };
                        let want = (moved(1e-2) - moved(-1e-2)) / 2e-2;
                        let error = (f64::from(seed[i]) - want).abs();
                        assert!(error < 1e-3, "{name}, {goal:?}, logit {i}: {} not {want}", seed[i]);
                    }
                }
            }
        }
    }

    #[test]
    fn losses_have_the_values_of_their_formulas() {
        let logits = [3.0f32, 1.0, 2.0, 0.0];
        assert_eq!(Loss::Margin.at(&logits, &Goal::away(0)).0, -1.0);
        assert_eq!(Loss::Margin.at(&logits, &Goal { label: 0, target: Some(1) }).0, -2.0);
        // (2 − 3) / (3 − 1), and (1 − 3) / (3 − (1 + 0) / 2).
        assert!((Loss::Dlr.at(&logits, &Goal::away(0)).0 + 0.5).abs() < 1e-9);
        assert!((Loss::Dlr.at(&logits, &Goal { label: 0, target: Some(1) }).0 + 0.8).abs() < 1e-9);
        let p = (3f64.exp() / (3f64.exp() + 1f64.exp() + 2f64.exp() + 1.0)).ln();
        assert!((Loss::CrossEntropy.at(&logits, &Goal::away(0)).0 + p).abs() < 1e-9);
    }

    #[test]
    fn a_goal_is_reached_by_the_answer() {
        assert!(Goal::away(0).reached(&[0.0, 1.0, 0.5]));
        assert!(!Goal::away(1).reached(&[0.0, 1.0, 0.5]));
        assert!(!Goal { label: 0, target: Some(2) }.reached(&[0.0, 1.0, 0.5]));
        assert_eq!(answer(&[1.0, 1.0]), 0);
    }
}
