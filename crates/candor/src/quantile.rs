//! Medians and percentiles.

/// The values in ascending order.
pub fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// The middle value, or the mean of the two in the middle; `None` if there are none.
pub fn median(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| percentile(&sorted(values), 50.0))
}

/// Percentile `p` (0..=100) of sorted values, with linear interpolation (NumPy's default); NaN if there are none.
pub fn percentile(sorted: &[f64], p: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let at = p / 100.0 * last as f64;
    let (low, high) = (at.floor() as usize, at.ceil() as usize);
    sorted[low] + (at - low as f64) * (sorted[high] - sorted[low])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_numpys() {
        let values = [1.0, 2.0, 4.0, 8.0];
        assert_eq!(percentile(&values, 50.0), 3.0);
        assert!((percentile(&values, 95.0) - 7.4).abs() < 1e-12);
        assert!(percentile(&[], 50.0).is_nan());
    }
}
