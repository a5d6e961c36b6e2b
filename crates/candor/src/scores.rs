//! What is read off a model's scores: the answer, ranks, probabilities, log-odds.

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

/// The classes from the highest score to the lowest; of equal ones the smaller number first.
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
