//! How often a class that is not in a photo shows as much as a class does: the null distribution of the strength of local evidence
//! ([`Place::strength`](crate::mask::places::Place::strength)), learned by [`calibrate`](crate::calibrate) on photos of one's own, or
//! a cautious one that is built in.

use serde::{Deserialize, Serialize};

/// Rate of false alarms at which a class counts as there.
pub const EVIDENCE: f64 = 0.01;
/// Rate at which it counts as possibly there.
pub const WEAK: f64 = 0.05;
/// Share of false discoveries among the classes that count as there, where several are asked for.
pub const DISCOVERIES: f64 = 0.05;

/// Rates whose thresholds are kept.
pub const RATES: [f64; 9] = [0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001];

/// What holds without calibration, for models with a crowd (twenty classes or more; strength counts from the crowd) and without. Above what was
/// measured on tuning photos of six networks: book/src/explanation/verdict.md.
const BUILT_IN: [[(f64, f64); 3]; 2] =
    [[(0.05, 0.6), (0.01, 2.0), (0.001, 5.0)], [(0.05, 1.0), (0.01, 2.5), (0.001, 5.0)]];
/// Fewest classes of a model with a crowd.
const CROWD: usize = 20;

/// Strengths that classes which are not there reach at given rates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FalseAlarms {
    /// Photos from which it was learned; 0 if it is built in.
    pub photos: usize,
    /// Classes that are not there, over all photos; 0 if it is built in.
    pub classes: usize,
    /// Pairs of a rate, falling, and the strength that so many reach, rising.
    pub thresholds: Vec<(f64, f64)>,
}

impl FalseAlarms {
    /// A cautious rule for a model of so many classes.
    pub fn built_in(classes: usize) -> Self {
        let thresholds = BUILT_IN[usize::from(classes < CROWD)].to_vec();
        FalseAlarms { photos: 0, classes: 0, thresholds }
    }

    /// Learned from the strengths of classes that are not there. A rate of so few samples that none may exceed its threshold is left out.
    /// `None` without a sample for any rate.
    pub fn learned(photos: usize, mut strengths: Vec<f64>) -> Option<Self> {
        strengths.sort_by(f64::total_cmp);
        let n = strengths.len();
        let threshold = |&rate: &f64| {
            // The next sample exceeds the k-th of n with a probability of at most 1 − k/(n + 1) (split conformal prediction).
            let k = ((n + 1) as f64 * (1.0 - rate)).ceil() as usize;
            (1..=n).contains(&k).then(|| (rate, rounded(strengths[k - 1])))
        };
        let thresholds: Vec<_> = RATES.iter().filter_map(threshold).collect();
        (!thresholds.is_empty()).then_some(FalseAlarms { photos, classes: n, thresholds })
    }

    /// Whether it was learned on photos.
    pub fn is_calibrated(&self) -> bool {
        self.photos > 0
    }

    /// As an inline table of TOML.
    pub fn inline(&self) -> String {
        let pairs: Vec<String> = self.thresholds.iter().map(|(rate, at)| format!("[{rate:?}, {at:?}]")).collect();
        let FalseAlarms { photos, classes, .. } = self;
        format!("{{ photos = {photos}, classes = {classes}, thresholds = [{}] }}", pairs.join(", "))
    }

    /// Why the numbers make no sense, if they do not.
    pub fn fault(&self) -> Option<&'static str> {
        let rates = self.thresholds.iter().all(|(rate, at)| *rate > 0.0 && *rate < 1.0 && at.is_finite());
        let ordered = self.thresholds.windows(2).all(|w| w[0].0 > w[1].0 && w[0].1 <= w[1].1);
        (self.thresholds.is_empty() || !rates || !ordered)
            .then_some("thresholds must be pairs of a falling rate between 0 and 1 and a rising strength")
    }

    /// Share of the classes that are not there which reach a strength, by interpolation of the rates' logarithms. It is 1 below the first
    /// threshold, and no smaller than the samples can tell: 1/(n + 1), or a tenth of the last rate if it is built in.
    pub fn rate(&self, strength: f64) -> f64 {
        let Some((&(first, lowest), &(last, highest))) = self.thresholds.first().zip(self.thresholds.last())
        else {
            return 1.0;
        };
        if strength < lowest {
            return if self.is_calibrated() || strength <= 0.0 { 1.0 } else { 1.0_f64.min(4.0 * first) };
        }
        let least = if self.is_calibrated() { 1.0 / (self.classes + 1) as f64 } else { 0.1 * last };
        let above = self.thresholds.iter().position(|(_, at)| *at > strength);
        let [(r0, s0), (r1, s1)] = match above {
            Some(i) => [self.thresholds[i - 1], self.thresholds[i]],
            // The last slope goes on.
            None if self.thresholds.len() > 1 => {
                let (rate, at) = self.thresholds[self.thresholds.len() - 2];
                [(rate, at), (last, highest)]
            }
            None => return last.max(least),
        };
        let way = if s1 > s0 { (strength - s0) / (s1 - s0) } else { 1.0 };
        (r0.ln() + way * (r1.ln() - r0.ln())).exp().max(least.min(last))
    }

    /// The strength from which on so many false alarms are stated; `None` if no photos can state so few.
    pub fn threshold(&self, rate: f64) -> Option<f64> {
        self.thresholds.iter().find(|(r, _)| *r <= rate).map(|(_, at)| *at)
    }
}

/// Whether each of several hypotheses is rejected at a false discovery rate (Benjamini & Hochberg 1995).
pub fn discoveries(p_values: &[f64], rate: f64) -> Vec<bool> {
    let mut sorted = p_values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    let passes = |(i, p): (usize, &f64)| (*p <= rate * (i + 1) as f64 / n as f64).then_some(*p);
    let highest = sorted.iter().enumerate().filter_map(passes).next_back();
    p_values.iter().map(|p| highest.is_some_and(|h| *p <= h)).collect()
}

/// Three decimals: more would pretend.
fn rounded(v: f64) -> f64 {
    (v * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_learned_from_samples_hold_on_others_at_their_rates() {
        // A thousand draws from a uniform distribution, evenly spread.
        let samples: Vec<f64> = (0..1000).map(|i| (i as f64 + 0.5) / 1000.0).collect();
        let learned = FalseAlarms::learned(4, samples.clone()).unwrap();
        assert_eq!((learned.photos, learned.classes, learned.thresholds.len()), (4, 1000, RATES.len()));
        for rate in [0.05, 0.01, 0.002] {
            let at = learned.threshold(rate).unwrap();
            let false_alarms = samples.iter().filter(|&&s| s > at).count() as f64 / 1000.0;
            assert!(false_alarms <= rate && false_alarms >= rate - 0.0021, "{rate}: {false_alarms}");
            assert!((learned.rate(at) - rate).abs() < 1e-9);
        }
        assert!((learned.rate(0.97) - 0.03).abs() < 0.003, "{}", learned.rate(0.97));
        assert_eq!(learned.rate(50.0), 1.0 / 1001.0);
        assert_eq!(learned.rate(-1.0), 1.0);
    }

    #[test]
    fn few_samples_state_no_small_rate() {
        let learned = FalseAlarms::learned(3, (0..30).map(f64::from).collect()).unwrap();
        assert_eq!(learned.thresholds.last().unwrap().0, 0.05);
        assert_eq!((learned.threshold(0.01), FalseAlarms::learned(1, vec![])), (None, None));
        assert!(learned.rate(1e9) > 0.01);
    }

    #[test]
    fn built_in_rules_are_in_order() {
        for classes in [1, 2, 10, 1000] {
            let rule = FalseAlarms::built_in(classes);
            assert!(rule.fault().is_none() && !rule.is_calibrated());
            assert!((rule.rate(rule.threshold(EVIDENCE).unwrap()) - EVIDENCE).abs() < 1e-9);
            assert!(rule.rate(0.0) == 1.0 && rule.rate(0.3) > WEAK && rule.rate(30.0) < 0.001);
        }
    }

    #[test]
    fn benjamini_and_hochberg_reject_as_in_their_example() {
        // Their table of fifteen p-values: at 0.05 the first four are rejected.
        let p = [
            0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719,
            0.6528, 0.7590, 1.0,
        ];
        assert_eq!(discoveries(&p, 0.05).iter().filter(|r| **r).count(), 4);
        assert_eq!(discoveries(&[0.5, 0.02], 0.05), [false, true]);
        assert!(discoveries(&[], 0.05).is_empty());
    }
}
