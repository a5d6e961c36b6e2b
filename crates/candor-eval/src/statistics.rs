//! Statistics over many images: medians with bootstrap intervals, percentiles, AUROC.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use candor::noise::below;
use candor::quantile::{percentile, sorted};

/// Number of bootstrap resamples.
const RESAMPLES: usize = 1000;

/// Statistics of a figure over images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Number of values.
    pub count: usize,
    /// Their median.
    pub median: f64,
    /// Ends of the 95 % percentile-bootstrap interval of the median.
    pub interval: [f64; 2],
    /// Their 95th percentile.
    pub p95: f64,
}

/// The summary of values; `None` if there are none. The bootstrap uses its own generator, seeded with `seed`.
pub fn summarize(values: &[f64], seed: u64) -> Option<Summary> {
    let sorted = sorted(values);
    if sorted.is_empty() {
        return None;
    }
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut medians: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let draw = (0..sorted.len()).map(|_| sorted[below(&mut random, sorted.len())]);
            percentile(&self::sorted(&draw.collect::<Vec<_>>()), 50.0)
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    Some(Summary {
        count: sorted.len(),
        median: percentile(&sorted, 50.0),
        interval: [percentile(&medians, 2.5), percentile(&medians, 97.5)],
        p95: percentile(&sorted, 95.0),
    })
}

/// A mean over images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Mean {
    /// Number of values.
    pub count: usize,
    /// Their mean.
    pub mean: f64,
    /// Ends of the 95 % percentile-bootstrap interval of the mean.
    pub interval: [f64; 2],
}

/// The mean of values with its interval; `None` if there are none. The bootstrap uses its own generator, seeded with
/// `seed`.
pub fn mean(values: &[f64], seed: u64) -> Option<Mean> {
    if values.is_empty() {
        return None;
    }
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let n = values.len();
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| (0..n).map(|_| values[below(&mut random, n)]).sum::<f64>() / n as f64)
        .collect();
    means.sort_by(f64::total_cmp);
    Some(Mean {
        count: n,
        mean: values.iter().sum::<f64>() / n as f64,
        interval: [percentile(&means, 2.5), percentile(&means, 97.5)],
    })
}

/// Smallest number of pairs for which a paired randomisation test can find a significant difference (p < 0.05): n signs have 2ⁿ
/// combinations, of which two are most extreme, so p is at least 2/2ⁿ, which is 0.0625 for five pairs and 0.031 for six.
pub const FEWEST_PAIRS: usize = 6;

/// Smallest number of images for which the 95th percentile is not practically the largest value: one image in twenty is 5 %.
pub const FEWEST_FOR_P95: usize = 20;

/// A method against another on the same images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Paired {
    /// Number of pairs.
    pub count: usize,
    /// Mean difference.
    pub difference: f64,
    /// Ends of its 95 % percentile-bootstrap interval.
    pub interval: [f64; 2],
    /// Probability of a difference at least as large if the signs of the differences are random: a two-sided paired
    /// randomisation test.
    pub p: f64,
}

/// Compares paired values by their differences; `None` if there are none.
pub fn paired(differences: &[f64], seed: u64) -> Option<Paired> {
    let Mean { count, mean: difference, interval } = mean(differences, seed)?;
    let mut random = ChaCha8Rng::seed_from_u64(seed ^ 1);
    let moved: Vec<f64> = differences.iter().copied().filter(|d| *d != 0.0).collect();
    let flipped = |random: &mut ChaCha8Rng| {
        let (mut sum, mut bits) = (0.0, 0);
        for (i, d) in moved.iter().enumerate() {
            if i % 32 == 0 {
                bits = random.next_u32();
            }
            sum += if bits >> (i % 32) & 1 == 1 { *d } else { -d };
        }
        sum.abs() / count as f64
    };
    // The order of summation changes the last digits.
    let least = difference.abs() - 1e-12;
    let extreme = (0..RESAMPLES).filter(|_| flipped(&mut random) >= least).count();
    Some(Paired { count, difference, interval, p: (1 + extreme) as f64 / (1 + RESAMPLES) as f64 })
}

/// Area under the ROC curve: the probability that a positive ranks above a negative, with ties counted half. `None` without
/// positives or negatives.
pub fn auroc(positives: &[f64], negatives: &[f64]) -> Option<f64> {
    if positives.is_empty() || negatives.is_empty() {
        return None;
    }
    let negatives = sorted(negatives);
    let wins = |p: f64| {
        let below = negatives.partition_point(|n| *n < p);
        let not_above = negatives.partition_point(|n| *n <= p);
        below as f64 + (not_above - below) as f64 / 2.0
    };
    let total: f64 = positives.iter().map(|&p| wins(p)).sum();
    Some(total / (positives.len() * negatives.len()) as f64)
}

/// The 95 % percentile-bootstrap interval of [`auroc`], with positives and negatives resampled separately, by its own
/// generator, seeded with `seed`.
pub fn auroc_interval(positives: &[f64], negatives: &[f64], seed: u64) -> [f64; 2] {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut draw = |values: &[f64]| -> Vec<f64> {
        (0..values.len()).map(|_| values[below(&mut random, values.len())]).collect()
    };
    let mut areas: Vec<f64> =
        (0..RESAMPLES).filter_map(|_| auroc(&draw(positives), &draw(negatives))).collect();
    areas.sort_by(f64::total_cmp);
    [percentile(&areas, 2.5), percentile(&areas, 97.5)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auroc_counts_pairs() {
        assert_eq!(auroc(&[2.0, 3.0], &[0.0, 1.0]), Some(1.0));
        assert_eq!(auroc(&[1.0], &[1.0]), Some(0.5));
        assert_eq!(auroc(&[0.0, 2.0], &[1.0]), Some(0.5));
        assert_eq!(auroc(&[], &[1.0]), None);
    }

    #[test]
    fn the_fewest_pairs_are_those_that_can_be_significant() {
        // The largest possible difference, all with the same sign.
        let p = |n: usize| (0..20).map(|seed| paired(&vec![1.0; n], seed).unwrap().p).sum::<f64>() / 20.0;
        assert!(p(FEWEST_PAIRS - 1) > 0.05 && p(FEWEST_PAIRS) < 0.05);
    }

    #[test]
    fn a_steady_difference_is_no_chance_and_a_scattered_one_may_be() {
        let steady = paired(&[0.1; 30], 1).unwrap();
        assert!(steady.p < 0.01 && (steady.difference - 0.1).abs() < 1e-12, "{steady:?}");
        let scattered: Vec<f64> = (0..30).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
        let scattered = paired(&scattered, 1).unwrap();
        assert!(scattered.p > 0.9 && scattered.interval[0] < 0.0 && scattered.interval[1] > 0.0);
        assert_eq!(paired(&[0.0; 5], 1).unwrap().p, 1.0);
        assert!(mean(&[], 0).is_none());
    }

    #[test]
    fn the_interval_holds_the_median_and_is_the_same_again() {
        let values: Vec<f64> = (0..40).map(|i| f64::from(i * i)).collect();
        let a = summarize(&values, 7).unwrap();
        assert!(a.interval[0] < a.median && a.median < a.interval[1]);
        assert_eq!(Some(a), summarize(&values, 7));
        assert_eq!(summarize(&[], 7), None);
    }
}
