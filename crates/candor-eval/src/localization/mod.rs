//! Compares where a map locates the object with where it is: boxes, the pointing game, mass inside the box, pixel precision.

pub mod boxes;
mod contours;
pub mod pixels;

use boxes::Box4;
use candor::map::Map;

/// Tolerance of the pointing game in pixels of a 224×224 input (Zhang et al. 2018 allow 15 pixels in the photo).
pub const TOLERANCE: f64 = 15.0;

/// Whether the map's maximum is in one of the boxes, or at most `tolerance` pixels away from one. `false` for a map without a positive
/// value.
pub fn points(map: &Map, truth: &[Box4], tolerance: f64) -> bool {
    if map.max() <= 0.0 {
        return false;
    }
    let (row, column) = map.argmax();
    let beyond = |v: usize, low: i32, high: i32| {
        let v = v as f64;
        (f64::from(low) - v).max(v - f64::from(high)).max(0.0)
    };
    truth.iter().any(|&[x0, y0, x1, y1]| beyond(column, x0, x1).hypot(beyond(row, y0, y1)) <= tolerance)
}

/// Fraction of the map's positive mass on the pixels for which `inside` holds (energy-based pointing game, Wang et al. 2020);
/// `None` for a map without positive mass.
pub fn share(map: &Map, inside: impl Fn(usize, usize) -> bool) -> Option<f64> {
    let (mut all, mut part) = (0.0, 0.0);
    for (i, &value) in map.data.iter().enumerate() {
        let value = f64::from(value.max(0.0));
        all += value;
        if inside(i / map.width, i % map.width) {
            part += value;
        }
    }
    (all > 0.0).then(|| part / all)
}

/// Whether a pixel is in one of the boxes.
pub fn in_boxes(truth: &[Box4], row: usize, column: usize) -> bool {
    let (row, column) = (row as i32, column as i32);
    truth.iter().any(|b| (b[0]..=b[2]).contains(&column) && (b[1]..=b[3]).contains(&row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_maximum_hits_or_misses() {
        let mut map = Map::zeros(10, 10);
        map.data[3 * 10 + 8] = 2.0;
        assert!(points(&map, &[[7, 2, 9, 4]], 0.0));
        assert!(!points(&map, &[[0, 0, 5, 5]], 0.0));
        assert!(points(&map, &[[0, 0, 5, 5]], 3.0));
        assert!(!points(&Map::zeros(10, 10), &[[0, 0, 9, 9]], 15.0));
    }

    #[test]
    fn the_share_is_of_positive_mass() {
        let map = Map { height: 1, width: 4, data: vec![1.0, -5.0, 2.0, 1.0] };
        assert_eq!(share(&map, |r, c| in_boxes(&[[2, 0, 3, 0]], r, c)), Some(0.75));
        assert_eq!(share(&Map::zeros(1, 4), |_, _| true), None);
    }
}
