//! Computed from a model's scores: the top class, ranks, probabilities, log-odds.

/// Index of the largest score; the first among equals.
pub fn argmax(scores: &[f32]) -> usize {
    let mut best = 0;
    for (i, s) in scores.iter().enumerate() {
        if *s > scores[best] {
            best = i;
        }
    }
    best
}

/// The classes by descending score; of equal ones the smaller number first.
pub fn ranking(scores: &[f32]) -> Vec<usize> {
    let mut ranking: Vec<usize> = (0..scores.len()).collect();
    ranking.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
    ranking
}

/// ln Σ eˣ without overflow.
pub fn log_sum_exp(values: &[f64]) -> f64 {
    let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if max == f64::NEG_INFINITY {
        return max;
    }
    max + values.iter().map(|v| (v - max).exp()).sum::<f64>().ln()
}

/// Softmax probabilities.
pub fn softmax(logits: &[f32]) -> Vec<f64> {
    let wide: Vec<f64> = logits.iter().map(|&v| v.into()).collect();
    let total = log_sum_exp(&wide);
    wide.iter().map(|v| (v - total).exp()).collect()
}

/// The log-odds o_c = S_c − ln Σ_k eˣᵏ over the classes k other than `class` and those `left_out`.
pub fn log_odds(logits: &[f32], class: usize, left_out: &[usize]) -> f64 {
    let competes = |k: &usize| *k != class && !left_out.contains(k);
    let rivals: Vec<f64> = (0..logits.len()).filter(competes).map(|k| f64::from(logits[k])).collect();
    f64::from(logits[class]) - log_sum_exp(&rivals)
}

/// [`log_odds`] of every class against all others, in time proportional to the number of classes.
pub fn all_log_odds(logits: &[f32]) -> Vec<f64> {
    let best = argmax(logits);
    let Some(&most) = logits.get(best) else { return vec![] };
    let exp: Vec<f64> = logits.iter().map(|&v| f64::from(v - most).exp()).collect();
    let total: f64 = exp.iter().sum();
    let odds = |(k, e): (usize, &f64)| f64::from(logits[k]) - f64::from(most) - (total - e).ln();
    let mut all: Vec<f64> = exp.iter().enumerate().map(odds).collect();
    // Subtracting the largest term from the sum would leave too few digits.
    all[best] = log_odds(logits, best, &[]);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_odds_are_those_of_the_probability() {
        let logits = [2.0f32, 0.5, -1.0];
        let p = softmax(&logits);
        let odds = |c: usize| (p[c] / (1.0 - p[c])).ln();
        (0..3).for_each(|c| assert!((log_odds(&logits, c, &[]) - odds(c)).abs() < 1e-9));
        assert!((log_odds(&logits, 1, &[0]) - 1.5).abs() < 1e-9);
        (0..3).for_each(|c| assert!((all_log_odds(&logits)[c] - odds(c)).abs() < 1e-9));
        let sure = [80.0f32, 0.0, 1.0];
        (0..3).for_each(|c| assert!((all_log_odds(&sure)[c] - log_odds(&sure, c, &[])).abs() < 1e-9));
        assert_eq!((argmax(&logits), ranking(&[1.0, 3.0, 3.0])), (0, vec![1, 2, 0]));
    }
}
