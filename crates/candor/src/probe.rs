//! A warning sign: the map of an absent class highlights the same pixels.

use crate::explanation::Explanation;
use crate::similarity::{SAME, overlap};

/// Minimum mass of the probe's map, as a fraction of the map's, for a warning.
const LEAST_MASS: f64 = 0.1;

/// A warning about a map if the map of `class`, which has the lowest score of all, highlights the same pixels: if their brightest fifths
/// overlap by at least half (intersection over union) and the probe's map has at least a tenth of the mass.
pub fn warning(e: &Explanation, probe: &Explanation, class: &str) -> Option<String> {
    let overlap = overlap(&e.map, &probe.map);
    let share = probe.map.mass() / e.map.mass();
    if overlap < SAME || share.is_nan() || share < LEAST_MASS {
        return None;
    }
    Some(format!(
        "'{class}', which has the lowest score of all, highlights the same pixels ({:.0} % of the brightest fifths overlap, {:.0} % of \
         the mass): such a map shows the photo more than the class; compare --method reliable and `candor check`",
        100.0 * overlap,
        100.0 * share
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::Map;

    fn map(f: impl Fn(usize) -> f32) -> Explanation {
        Explanation::of_map(Map { height: 1, width: 20, data: (0..20).map(f).collect() }, Default::default())
    }

    #[test]
    fn the_same_pixels_are_told_and_others_are_not() {
        let present = map(|i| i as f32);
        let told = warning(&present, &map(|i| 0.5 * i as f32), "fish").unwrap();
        assert!(told.contains("'fish'") && told.contains("100 % of the brightest fifths"), "{told}");
        assert_eq!(warning(&present, &map(|i| 20.0 - i as f32), "fish"), None, "elsewhere");
        assert_eq!(warning(&present, &map(|i| 0.01 * i as f32), "fish"), None, "hardly anything");
        assert_eq!(warning(&present, &map(|_| 0.0), "fish"), None, "empty");
        assert_eq!(warning(&map(|_| 0.0), &map(|_| 0.0), "fish"), None, "both empty");
    }
}
