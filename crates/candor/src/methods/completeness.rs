//! Completeness: an attribution should add up to S_c(x) − S_c(x₀) (Sundararajan et al. 2017, proposition 1).

use crate::map::Map;

/// Largest share of the difference by which a sum may miss it unnoticed.
const TOLERANCE: f64 = 0.05;

/// Σ map − (score − baseline).
pub(super) fn delta(map: &Map, score: f32, baseline: f32) -> f64 {
    let sum: f64 = map.data.iter().map(|&v| f64::from(v)).sum();
    sum - f64::from(score - baseline)
}

/// What a reader must know if the sum misses.
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
}
