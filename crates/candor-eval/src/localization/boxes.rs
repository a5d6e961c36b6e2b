//! Boxes from maps, as in the published metrics of weakly supervised localisation (Choe et al. 2020, `wsolevaluation`).
//!
//! A map is quantised to 0..=255 on a scale, and a pixel is foreground if its level exceeds the threshold's. Each contour of the
//! foreground, outer or of a hole, has a bounding box `[x0, y0, x1, y1]`; x1 and y1 are one past the last pixel, but at most the
//! last column and row. Areas include both ends (the `+ 1` of the published code).

use super::contours::{Contour, contours};
use candor::map::Map;

/// A box in pixels of the map.
pub type Box4 = [i32; 4];

/// A quantised map.
#[derive(Clone, Debug)]
pub struct Levels {
    /// Columns and rows.
    size: [usize; 2],
    levels: Vec<u8>,
}

impl Levels {
    /// Quantises the positive part of a map on a scale: level = ⌊255 · min(value ÷ scale, 1)⌋. If `scale` is not positive, all
    /// levels are 0.
    pub fn of(map: &Map, scale: f32) -> Self {
        let scale = f64::from(scale);
        let level =
            |v: f32| if scale > 0.0 { (255.0 * (f64::from(v.max(0.0)) / scale).min(1.0)) as u8 } else { 0 };
        Levels { size: [map.width, map.height], levels: map.data.iter().map(|&v| level(v)).collect() }
    }

    /// Boxes of all contours of the pixels whose level exceeds `level`, and which of them has the largest contour (by the area
    /// of the polygon through its pixels' centres; among equal ones the lowest, which OpenCV lists first).
    pub fn boxes(&self, level: u8) -> Boxes {
        let [width, height] = self.size;
        let found = contours(width, &self.levels, level);
        let last = [width as i32 - 1, height as i32 - 1];
        let largest = found.iter().enumerate().max_by_key(|(_, c)| c.doubled_area).map_or(0, |(i, _)| i);
        let of = |c: &Contour| {
            let [x0, y0, x1, y1] = c.ends;
            [x0, y0, (x1 + 1).min(last[0]), (y1 + 1).min(last[1])]
        };
        Boxes { all: found.iter().map(of).collect(), largest }
    }
}

/// The boxes of one threshold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Boxes {
    /// One per contour.
    pub all: Vec<Box4>,
    /// Index of the largest contour's box.
    largest: usize,
}

impl Boxes {
    /// The box of the largest contour.
    pub fn largest(&self) -> Option<Box4> {
        self.all.get(self.largest).copied()
    }

    /// Best IoU of the largest contour's box with one of `truth`; 0 without a box.
    pub fn single(&self, truth: &[Box4]) -> f64 {
        self.largest().map_or(0.0, |b| best(b, truth))
    }

    /// Best IoU of any contour's box with one of `truth`; 0 without a box.
    pub fn multi(&self, truth: &[Box4]) -> f64 {
        self.all.iter().map(|&b| best(b, truth)).fold(0.0, f64::max)
    }
}

fn best(b: Box4, truth: &[Box4]) -> f64 {
    truth.iter().map(|&t| iou(b, t)).fold(0.0, f64::max)
}

/// Intersection over union, 0..=1, with both ends of a box included.
pub fn iou(a: Box4, b: Box4) -> f64 {
    let area = |b: Box4| i64::from((b[2] - b[0] + 1).max(0)) * i64::from((b[3] - b[1] + 1).max(0));
    let both = area([a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])]);
    let either = area(a) + area(b) - both;
    if either <= 0 { 0.0 } else { both as f64 / either as f64 }
}

/// How a threshold is computed from a map (Cao et al. 2015; Fong & Vedaldi 2017, section 5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// α times the largest value.
    Value,
    /// α times the mean.
    Mean,
    /// The value of the darkest of the brightest pixels that together contain the fraction α of the map's positive mass.
    Energy,
}

impl Rule {
    /// All rules.
    pub const ALL: [Rule; 3] = [Rule::Value, Rule::Mean, Rule::Energy];

    /// Name in results.
    pub fn name(self) -> &'static str {
        ["value", "mean", "energy"][self as usize]
    }

    /// The values of α that are tried: [`VALUES`] for [`Rule::Value`], nine for the others.
    pub fn alphas(self) -> Vec<f64> {
        match self {
            Rule::Value => (0..VALUES).map(|i| i as f64 / VALUES as f64).collect(),
            Rule::Mean => (0..SHARES).map(|i| i as f64 * 0.5).collect(),
            Rule::Energy => (1..=SHARES).map(|i| i as f64 / (SHARES + 1) as f64).collect(),
        }
    }

    /// The level above which a pixel is foreground. `levels` are relative to the map's own maximum.
    pub fn level(self, alpha: f64, map: &Map, levels: &Levels) -> u8 {
        let most = f64::from(map.max());
        if most <= 0.0 {
            return u8::MAX;
        }
        match self {
            Rule::Value => share_of_scale(alpha),
            Rule::Mean => (alpha * map.mass() / most * 255.0).min(255.0) as u8,
            Rule::Energy => {
                let mut histogram = [0_u64; 256];
                levels.levels.iter().for_each(|&v| histogram[usize::from(v)] += u64::from(v));
                let wanted = alpha * histogram.iter().sum::<u64>() as f64;
                let mut held = 0;
                // The highest level above which pixels contain the fraction.
                (0..=254_u8)
                    .rev()
                    .find(|&level| {
                        held += histogram[usize::from(level) + 1];
                        held as f64 >= wanted
                    })
                    .unwrap_or(0)
            }
        }
    }
}

/// The level at the fraction α of the scale.
pub fn share_of_scale(alpha: f64) -> u8 {
    (alpha * f64::from(u8::MAX)) as u8
}

/// Number of thresholds of the rule [`Rule::Value`].
pub const VALUES: usize = 20;
/// Number of thresholds of the other rules.
const SHARES: usize = 9;

#[cfg(test)]
mod tests {
    use super::*;

    fn square(at: std::ops::Range<usize>, value: f32) -> Map {
        let mut map = Map::zeros(20, 20);
        for y in at.clone() {
            for x in at.clone() {
                map.data[y * 20 + x] = value;
            }
        }
        map
    }

    #[test]
    fn a_square_is_its_box_at_every_threshold() {
        let map = square(4..9, 3.0);
        let levels = Levels::of(&map, map.max());
        for rule in Rule::ALL {
            for alpha in rule.alphas().into_iter().filter(|a| rule != Rule::Mean || *a < 16.0) {
                let boxes = levels.boxes(rule.level(alpha, &map, &levels));
                assert_eq!(boxes.all, [[4, 4, 9, 9]], "{rule:?} {alpha}");
            }
        }
    }

    #[test]
    fn on_a_scale_of_its_own_image_a_faint_map_has_no_box() {
        let map = square(4..9, 0.1);
        assert_eq!(Levels::of(&map, 1.0).boxes(127), Boxes::default());
        assert_eq!(Levels::of(&map, 1.0).boxes(20).all, [[4, 4, 9, 9]]);
        let empty = Map::zeros(20, 20);
        assert_eq!(Levels::of(&empty, empty.max()).boxes(0).single(&[[0, 0, 19, 19]]), 0.0);
    }

    #[test]
    fn overlap_counts_both_ends() {
        assert_eq!(iou([0, 0, 9, 9], [0, 0, 9, 9]), 1.0);
        assert_eq!(iou([0, 0, 9, 9], [0, 0, 4, 9]), 0.5);
        assert_eq!(iou([0, 0, 4, 4], [6, 6, 9, 9]), 0.0);
    }
}
