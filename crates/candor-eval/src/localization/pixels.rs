//! Maps against pixel masks: PxAP (Choe et al. 2020).

use candor::map::Map;

/// Number of bins for a map's values on 0..=1; the last contains the value 1.
pub const BINS: usize = 101;

/// Numbers of pixels with a value in each bin, on the object and off it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Histogram {
    /// On the object.
    pub on: Vec<u64>,
    /// Off the object.
    pub off: Vec<u64>,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { on: vec![0; BINS], off: vec![0; BINS] }
    }
}

impl Histogram {
    /// Counts a map's positive part, divided by `scale` and capped at 1. `mask`: whether each pixel belongs to the object. All counts are
    /// 0 if `scale` is not positive.
    pub fn of(map: &Map, mask: &[bool], scale: f32) -> Self {
        let mut histogram = Histogram::default();
        for (&value, &on) in map.data.iter().zip(mask) {
            let value = if scale > 0.0 { (value.max(0.0) / scale).min(1.0) } else { 0.0 };
            let bin = bin(f64::from(value));
            if on { histogram.on[bin] += 1 } else { histogram.off[bin] += 1 }
        }
        histogram
    }

    /// Adds another image's counts.
    pub fn add(&mut self, other: &Histogram) {
        self.on.iter_mut().zip(&other.on).for_each(|(a, b)| *a += b);
        self.off.iter_mut().zip(&other.off).for_each(|(a, b)| *a += b);
    }

    /// Pixel average precision, 0..=1: Σ precision · Δrecall over descending thresholds, without the highest bin, as the published
    /// code computes it. `None` without pixels of an object.
    pub fn average_precision(&self) -> Option<f64> {
        let all: u64 = self.on.iter().sum();
        if all == 0 {
            return None;
        }
        let (mut on, mut off, mut sum) = (0, 0, 0.0);
        // The published histogram has one more bin at the top, which is empty: the first step is always from recall 0.
        for (&a, &b) in self.on.iter().zip(&self.off).rev() {
            on += a;
            off += b;
            if on + off > 0 {
                sum += on as f64 / (on + off) as f64 * (a as f64 / all as f64);
            }
        }
        Some(sum)
    }
}

/// The bin of a value: edges at 0, 0.01, …, 0.99, 1, as floats represent them.
fn bin(value: f64) -> usize {
    let edge = |i: usize| if i == BINS - 1 { 1.0 } else { i as f64 * 0.01 };
    let near = ((value * 100.0) as usize).min(BINS - 1);
    // The product's rounding may give a bin that is off by one.
    if near + 1 < BINS && value >= edge(near + 1) {
        near + 1
    } else if value < edge(near) {
        near - 1
    } else {
        near
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_that_is_the_mask_has_precision_one() {
        let map = Map { height: 1, width: 4, data: vec![0.0, 1.0, 1.0, 0.0] };
        let histogram = Histogram::of(&map, &[false, true, true, false], 1.0);
        assert_eq!(histogram.average_precision(), Some(1.0));
        let blind = Histogram::of(&Map::zeros(1, 4), &[false, true, true, false], 0.0);
        assert_eq!(blind.average_precision(), Some(0.5));
        assert_eq!(Histogram::default().average_precision(), None);
    }
}
