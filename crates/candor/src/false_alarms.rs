//! How much evidence classes show that are absent from a photo: thresholds that [`calibrate`](crate::calibrate) learns on the user's
//! photos, or a conservative built-in rule; and the error rates of the verdict.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::mask::places::{Place, has_crowd};

/// False-alarm rate at which a class counts as present.
pub const EVIDENCE: f64 = 0.01;
/// False-alarm rate at which a class counts as possibly present.
pub const WEAK: f64 = 0.05;
/// False discovery rate among the classes that count as present, if several are requested.
pub const DISCOVERIES: f64 = 0.05;

/// False-alarm rates for which thresholds are stored.
pub const RATES: [f64; 10] = [0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005];
/// Fractions of the stated false-alarm rate spent on the photo with its windows and on the closer look: together they keep the rate
/// (weighted Bonferroni correction).
pub(crate) const PARTS: [f64; 2] = [0.2, 0.8];

/// A rule without calibration: pairs of a rate and the strength that at most this fraction of absent classes reaches. The strengths are
/// above those found on tuning photos of six networks: book/src/explanation/verdict.md.
type Rule = [(f64, f64); 3];
/// For models of twenty classes or more: strength above the other classes of the photo.
const PLACES: Rule = [(0.05, 0.6), (0.01, 2.0), (0.001, 5.0)];
/// For models of fewer classes: evidence in the whole photo.
const PLACES_OF_FEW: Rule = [(0.05, 0.05), (0.01, 1.2), (0.001, 2.0)];
/// Evidence on a closer look.
const LOOKS: Rule = [(0.05, 2.3), (0.01, 4.2), (0.001, 7.0)];

/// Number of bisection steps; enough to reach the precision of a float.
const HALVINGS: usize = 60;
/// Tolerance for rounding errors between equal sums of logarithms.
const ROUNDING: f64 = 1e-9;

/// What shows a class best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ground {
    /// The whole photo.
    Photo,
    /// A window of the photo, by itself.
    Place,
    /// A window that is cut out and enlarged: the network recognises the class there, but not in the photo.
    CloserLook,
}

impl Ground {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Ground::Photo => "the whole photo",
            Ground::Place => "a place by itself",
            Ground::CloserLook => "a closer look",
        }
    }
}

/// Null distribution: the strengths that absent classes reach, in windows or on a closer look.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Null {
    /// Number of absent classes, summed over all photos; 0 if built in.
    pub classes: usize,
    /// Pairs of a false-alarm rate (descending) and the strength that this fraction of absent classes reaches (ascending).
    #[serde(deserialize_with = "pairs")]
    pub thresholds: Vec<(f64, f64)>,
}

/// Null distributions of absent classes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FalseAlarms {
    /// Number of photos from which they were learned; 0 if built in.
    pub photos: usize,
    /// For the strength of local evidence ([`Place::strength`]).
    pub place: Null,
    /// For the evidence on a closer look; empty if no closer look is taken.
    pub look: Null,
}

/// Too few absent classes to estimate the false-alarm rate [`EVIDENCE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TooFew {
    /// Number of absent classes, summed over all photos.
    pub classes: usize,
    /// Number of absent classes needed.
    pub needed: usize,
}

/// Pairs of numbers; a third number is an error.
fn pairs<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(f64, f64)>, D::Error> {
    let pair = |numbers: Vec<f64>| match numbers[..] {
        [rate, at] => Ok((rate, at)),
        _ => Err(D::Error::invalid_length(numbers.len(), &"a pair of a rate and a strength")),
    };
    Vec::<Vec<f64>>::deserialize(from)?.into_iter().map(pair).collect()
}

impl FalseAlarms {
    /// The conservative built-in rule for a model of `classes` classes.
    pub fn built_in(classes: usize) -> Self {
        let null = |rule: Rule| Null { classes: 0, thresholds: rule.to_vec() };
        let place = null(if has_crowd(classes) { PLACES } else { PLACES_OF_FEW });
        FalseAlarms { photos: 0, place, look: null(LOOKS) }
    }

    /// Learned from the strengths of absent classes in windows and on a closer look; the latter is empty if no closer look is taken.
    ///
    /// # Errors
    /// Too few absent classes for [`EVIDENCE`]: with such thresholds no class would ever count as present.
    pub fn learned(photos: usize, [places, looks]: [Vec<f64>; 2]) -> Result<Self, TooFew> {
        let parts = if looks.is_empty() { [1.0, 1.0] } else { PARTS };
        let enough = |samples: &Vec<f64>, part: f64| {
            // 1/(n + 1) is the smallest rate that n samples can estimate.
            let (classes, needed) = (samples.len(), (1.0 / (EVIDENCE * part) - 1.0 - 1e-9).ceil() as usize);
            if classes < needed { Err(TooFew { classes, needed }) } else { Ok(()) }
        };
        enough(&places, parts[0])?;
        if !looks.is_empty() {
            enough(&looks, parts[1])?;
        }
        Ok(FalseAlarms { photos, place: Null::learned(places), look: Null::learned(looks) })
    }

    /// Whether it was learned on photos.
    pub fn is_calibrated(&self) -> bool {
        self.photos > 0
    }

    /// What shows a class best, and the fraction of absent classes that show at least as much evidence. `looks`: whether a closer look is
    /// taken if the photo does not show enough; `look` is the evidence that it found, once it is known. Both together keep the
    /// false-alarm rate.
    pub fn judge(&self, place: &Place, look: Option<f64>, looks: bool) -> (Ground, f64) {
        let [of_place, of_look] = PARTS;
        let part = if looks { of_place } else { 1.0 };
        let at_place = |strength: f64| (self.place.rate(strength) / part).min(1.0);
        let p_place = at_place(place.strength);
        let p_look = look.map_or(1.0, |evidence| (self.look.rate(evidence) / of_look).min(1.0));
        if p_place > EVIDENCE && p_look < p_place {
            (Ground::CloserLook, p_look)
        } else if at_place(place.of_photo) <= EVIDENCE || place.of_photo + ROUNDING >= place.strength {
            // The photo by itself, or as the best of its windows: the only one, if no windows are evaluated.
            (Ground::Photo, p_place)
        } else {
            (Ground::Place, p_place)
        }
    }

    /// The thresholds as an inline table of TOML.
    pub fn inline(&self) -> String {
        let null = |n: &Null| {
            let pairs: Vec<String> =
                n.thresholds.iter().map(|(rate, at)| format!("[{rate:?}, {at:?}]")).collect();
            format!("{{ classes = {}, thresholds = [{}] }}", n.classes, pairs.join(", "))
        };
        format!("{{ photos = {}, place = {}, look = {} }}", self.photos, null(&self.place), null(&self.look))
    }

    /// Why the numbers are invalid, if they are.
    pub fn fault(&self) -> Option<&'static str> {
        let fine = |n: &Null| {
            let rates = n.thresholds.iter().all(|(rate, at)| *rate > 0.0 && *rate < 1.0 && at.is_finite());
            let ordered = n.thresholds.windows(2).all(|w| w[0].0 > w[1].0 && w[0].1 <= w[1].1);
            // This number of samples cannot estimate a smaller rate.
            let last = n.thresholds.last().map_or(1.0, |(rate, _)| *rate);
            let told = self.photos == 0 || last * (n.classes + 1) as f64 >= 1.0 - 1e-9;
            rates && ordered && told
        };
        let looks = !self.look.thresholds.is_empty();
        let [of_place, of_look] = if looks { PARTS } else { [1.0, 1.0] };
        // Otherwise no class would ever count as present.
        let tells = |n: &Null, part: f64| n.rate(f64::INFINITY) <= EVIDENCE * part;
        let told = tells(&self.place, of_place) && (!looks || tells(&self.look, of_look));
        (!fine(&self.place) || !fine(&self.look) || !told).then_some(FAULT)
    }
}

/// What is wrong with thresholds.
pub(crate) const FAULT: &str = "thresholds must be pairs of a falling rate between 0 and 1 and a rising strength, of classes enough to tell a rate of 0.01";

impl Null {
    /// Learned from the strengths of absent classes. A rate that is too small for the number of samples is left out.
    fn learned(mut strengths: Vec<f64>) -> Self {
        strengths.sort_by(f64::total_cmp);
        let n = strengths.len();
        let threshold = |&rate: &f64| {
            // The next sample exceeds the k-th of n with a probability of at most 1 − k/(n + 1) (split conformal prediction).
            let k = ((n + 1) as f64 * (1.0 - rate) - 1e-9).ceil() as usize;
            (1..=n).contains(&k).then(|| (rate, rounded(strengths[k - 1])))
        };
        Null { classes: n, thresholds: RATES.iter().filter_map(threshold).collect() }
    }

    /// Fraction of absent classes that reach a strength, by linear interpolation of the logarithm of the rate: 1 below the first
    /// threshold, and never below what the samples can estimate: 1/(n + 1), or a tenth of the last rate if built in.
    pub fn rate(&self, strength: f64) -> f64 {
        let t = &self.thresholds;
        let (Some(&(_, lowest)), Some(&(last, highest))) = (t.first(), t.last()) else { return 1.0 };
        if strength < lowest {
            return 1.0;
        }
        let least = if self.classes > 0 { 1.0 / (self.classes + 1) as f64 } else { 0.1 * last };
        let [(r0, s0), (r1, s1)] = match t.iter().position(|(_, at)| *at > strength) {
            Some(above) => [t[above - 1], t[above]],
            // Extrapolates with the last slope.
            None if t.len() > 1 => [t[t.len() - 2], (last, highest)],
            None => return last,
        };
        let way = if s1 > s0 { (strength - s0) / (s1 - s0) } else { 1.0 };
        (r0.ln() + way * (r1.ln() - r0.ln())).exp().max(least.min(last))
    }

    /// The smallest strength whose rate is at most the given one; infinite if there is none.
    pub(crate) fn strength(&self, rate: f64) -> f64 {
        let (Some(&(_, lowest)), Some(&(_, highest))) = (self.thresholds.first(), self.thresholds.last())
        else {
            return f64::INFINITY;
        };
        let reaches = |strength: f64| self.rate(strength) <= rate + ROUNDING;
        // After the last threshold the rate falls with the last slope, until its lower bound.
        let [mut below, mut above] = [lowest, highest + 10.0 * (highest - lowest) + 1.0];
        if reaches(below) {
            return below;
        }
        if !reaches(above) {
            return f64::INFINITY;
        }
        for _ in 0..HALVINGS {
            let middle = below + (above - below) / 2.0;
            if reaches(middle) { above = middle } else { below = middle }
        }
        above
    }

    /// The stored strength of the largest stored rate that is at most `rate`; `None` if there is none.
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

/// Rounds to three decimals, the precision of the estimate.
fn rounded(v: f64) -> f64 {
    (v * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::windows::Window;

    fn place(strength: f64, of_photo: f64) -> Place {
        Place { window: Window::whole([1, 1]), grid: [1, 1], log_odds: 0.0, strength, of_photo }
    }

    #[test]
    fn thresholds_learned_from_samples_hold_on_others_at_their_rates() {
        // A thousand draws from a uniform distribution, evenly spread.
        let samples: Vec<f64> = (0..1000).map(|i| (i as f64 + 0.5) / 1000.0).collect();
        let learned = FalseAlarms::learned(4, [samples.clone(), samples.clone()]).unwrap();
        let null = &learned.place;
        assert_eq!((learned.photos, null.classes, null.thresholds.len()), (4, 1000, RATES.len() - 1));
        for rate in [0.05, 0.01, 0.002] {
            let at = null.threshold(rate).unwrap();
            let false_alarms = samples.iter().filter(|&&s| s > at).count() as f64 / 1000.0;
            assert!(false_alarms <= rate && false_alarms >= rate - 0.0021, "{rate}: {false_alarms}");
            assert!((null.rate(at) - rate).abs() < 1e-9);
            assert!((null.strength(rate) - at).abs() < 1e-6, "{rate}: {}", null.strength(rate));
        }
        assert!((null.rate(0.97) - 0.03).abs() < 0.003, "{}", null.rate(0.97));
        assert_eq!((null.rate(50.0), null.rate(-1.0)), (1.0 / 1001.0, 1.0));
    }

    #[test]
    fn few_samples_state_no_small_rate() {
        let null = Null::learned((0..30).map(f64::from).collect());
        assert_eq!(null.thresholds.last().unwrap().0, 0.05);
        assert_eq!((null.threshold(0.01), Null::learned(vec![]).rate(9.0)), (None, 1.0));
        assert!(null.rate(1e9) > 0.01);
    }

    #[test]
    fn what_is_learned_can_always_say_that_a_class_is_there() {
        let samples = |n: usize| -> Vec<f64> { (0..n).map(|i| i as f64).collect() };
        let few = |places, looks| FalseAlarms::learned(5, [samples(places), samples(looks)]).unwrap_err();
        // Five photos of twelve classes: such thresholds would leave every map empty.
        assert_eq!(few(55, 0), TooFew { classes: 55, needed: 99 });
        assert_eq!(few(498, 200), TooFew { classes: 498, needed: 499 });
        assert_eq!(few(999, 100), TooFew { classes: 100, needed: 124 });
        for (places, looks) in [(99, 0), (499, 124), (1998, 200)] {
            let learned = FalseAlarms::learned(5, [samples(places), samples(looks)]).unwrap();
            let p = |place, look| learned.judge(&self::place(place, 0.0), look, looks > 0).1;
            assert!(p(1e9, None) <= EVIDENCE, "{places}");
            assert!(looks == 0 || p(-1e9, Some(1e9)) <= EVIDENCE, "{looks}");
        }
    }

    #[test]
    fn built_in_rules_are_in_order() {
        for classes in [1, 2, 10, 1000] {
            let rule = FalseAlarms::built_in(classes);
            assert!(rule.fault().is_none() && !rule.is_calibrated());
            for null in [&rule.place, &rule.look] {
                assert!((null.rate(null.threshold(EVIDENCE).unwrap()) - EVIDENCE).abs() < 1e-9);
                assert!(null.rate(0.0) == 1.0 && null.rate(0.3) > EVIDENCE && null.rate(30.0) < 0.001);
            }
        }
    }

    #[test]
    fn a_photo_a_place_or_a_closer_look_shows_a_class() {
        let rule = FalseAlarms::built_in(1000);
        let judge = |strength, of_photo, look, looks| rule.judge(&place(strength, of_photo), look, looks);
        assert_eq!(judge(9.0, 9.0, None, true).0, Ground::Photo);
        assert_eq!(judge(9.0, 0.0, None, true).0, Ground::Place);
        assert_eq!(judge(0.1, 0.1, None, false).0, Ground::Photo, "there is no other place");
        let (ground, p) = judge(0.5, 0.0, Some(9.0), true);
        assert!(ground == Ground::CloserLook && p < EVIDENCE);
        assert!(judge(0.5, 0.0, Some(1.0), true).1 > WEAK);
        // Without a closer look, its part of the rate goes to the windows.
        assert!(
            judge(2.0, 0.0, None, false).1 <= EVIDENCE + 1e-9 && judge(2.0, 0.0, None, true).1 > EVIDENCE
        );
    }

    #[test]
    fn the_inline_table_is_read_back() {
        let learned = FalseAlarms::learned(2, [(0..990).map(f64::from).collect(), vec![0.25; 140]]).unwrap();
        let text = format!("rule = {}", learned.inline());
        let read: std::collections::BTreeMap<String, FalseAlarms> = toml::from_str(&text).unwrap();
        assert_eq!(read["rule"], learned);
        let third = text.replacen("]]", ", 7.0]]", 1);
        let error = toml::from_str::<std::collections::BTreeMap<String, FalseAlarms>>(&third).unwrap_err();
        assert!(error.to_string().contains("a pair of a rate and a strength"), "{error}");
    }

    #[test]
    fn rates_that_the_samples_cannot_tell_are_a_fault() {
        let learned = FalseAlarms::learned(9, [(0..990).map(f64::from).collect(), vec![]]).unwrap();
        assert!(learned.fault().is_none());
        let with = |rate: f64, classes: usize| {
            let mut other = learned.clone();
            other.place = Null { classes, thresholds: vec![(0.05, 1.0), (rate, 2.0)] };
            other.fault()
        };
        assert!(with(0.002, 990).is_none());
        assert!(with(1e-300, 990).is_some() && with(0.002, 0).is_some() && with(0.02, 49).is_some());
    }

    #[test]
    fn benjamini_and_hochberg_reject_as_in_their_example() {
        // The fifteen p-values of their example: at 0.05 the first four are rejected.
        let p = [
            0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719,
            0.6528, 0.7590, 1.0,
        ];
        assert_eq!(discoveries(&p, 0.05).iter().filter(|r| **r).count(), 4);
        assert_eq!(discoveries(&[0.5, 0.02], 0.05), [false, true]);
        assert!(discoveries(&[], 0.05).is_empty());
    }
}
