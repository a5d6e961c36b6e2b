//! Completeness: an attribution should add up to S_c(x) − S_c(x₀) (Sundararajan et al. 2017, proposition 1).

use crate::map::Map;

/// Relative error of a sum up to which there is no warning.
const TOLERANCE: f64 = 0.05;

/// Σ map − (score − baseline).
pub(super) fn delta(map: &Map, score: f32, baseline: f32) -> f64 {
    let sum: f64 = map.data.iter().map(|&v| f64::from(v)).sum();
    sum - f64::from(score - baseline)
}

/// The warning for a sum that misses the difference.
pub(super) fn warning(map: &Map, score: f32, baseline: f32) -> Vec<String> {
    let (delta, difference) = (delta(map, score, baseline), f64::from(score - baseline));
    if delta.abs() <= TOLERANCE * difference.abs().max(1e-3) {
        return vec![];
    }
    vec![format!(
        "the attributions add up to {:+.3} where the score differs from the baseline's by {difference:+.3}",
        difference + delta
    )]
}

/// Fraction of the score that must arrive as relevance; below it there is a warning.
const LEAST_RELEVANCE: f64 = 0.5;

/// The warning for a map of relevance that does not add up to the score as it should. In each layer, the part that biases take is lost
/// (`biases`: whether they take any), and so is what arrives at units whose inputs contribute nothing: in a
/// depthwise layer of a MobileNet a third of it, at units that only their bias activates.
pub(super) fn relevance(map: &Map, score: f32, biases: bool) -> Vec<String> {
    let score = f64::from(score);
    let arrived = delta(map, 0.0, 0.0);
    let share = arrived / score;
    if score == 0.0 || (LEAST_RELEVANCE..=1.0 / LEAST_RELEVANCE).contains(&share) {
        return vec![];
    }
    let why = if !(0.0..=1.0).contains(&share) {
        "contributions of both signs nearly cancel in some layer, and what is divided by their sum grows; try another composite"
    } else if biases {
        "the layers' biases take the rest; read where it is, not how much, or set bias=none, which keeps more"
    } else {
        "the rest is lost at units that only their bias activates; read where it is, not how much"
    };
    vec![format!("the relevance adds up to {arrived:+.2e} where the class's score is {score:+.3}: {why}")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_that_misses_is_told() {
        let map = Map { height: 1, width: 2, data: vec![1.0, 0.5] };
        assert!(warning(&map, 2.0, 0.5).is_empty());
        let text = warning(&map, 3.0, 0.5).join("");
        assert!(text.contains("+1.500") && text.contains("+2.500"), "{text}");
    }

    #[test]
    fn relevance_that_does_not_arrive_is_told() {
        let of = |sum: f32| Map { height: 1, width: 2, data: vec![0.5 * sum; 2] };
        assert!(relevance(&of(9.0), 16.4, true).is_empty());
        assert!(relevance(&of(-9.0), -16.4, true).is_empty());
        let text = relevance(&of(1.9e-6), 16.4, true).join("");
        assert!(
            text.contains("+1.90e-6 where the class's score is +16.400") && text.contains("bias=none"),
            "{text}"
        );
        assert!(relevance(&of(0.1), 16.4, false).join("").contains("units that only their bias activates"));
        for grown in [-9.0, 40.0] {
            assert!(relevance(&of(grown), 16.4, true).join("").contains("try another composite"), "{grown}");
        }
    }
}
