//! How few pixels contain most of a map.

use candor::map::Map;

/// Gini index of the magnitudes (Chalasani et al. 2020): 0 if all are equal, near 1 if one pixel has all;
/// Σ_i (2i − n − 1) v_i / (n Σ v) over the n magnitudes v in ascending order. `None` for an empty map.
pub fn gini(map: &Map) -> Option<f64> {
    let mut values: Vec<f64> = map.data.iter().map(|v| f64::from(v.abs())).collect();
    values.sort_by(f64::total_cmp);
    let (n, total) = (values.len() as f64, values.iter().sum::<f64>());
    let weighted: f64 = values.iter().enumerate().map(|(i, v)| (2.0 * (i + 1) as f64 - n - 1.0) * v).sum();
    (total > 0.0).then(|| weighted / (n * total))
}

/// The smallest fraction of pixels (0..=1) that contain `mass` (0..=1, such as 0.9) of the sum of the positive values. `None` for a map
/// without positive values.
pub fn pixels_of_mass(map: &Map, mass: f64) -> Option<f64> {
    let mut values: Vec<f64> = map.data.iter().map(|&v| f64::from(v)).filter(|v| *v > 0.0).collect();
    values.sort_by(|a, b| b.total_cmp(a));
    let total: f64 = values.iter().sum();
    let mut held = 0.0;
    let missing = values.iter().take_while(|v| {
        let before = held;
        held += **v;
        before < mass * total
    });
    let count = missing.count();
    (total > 0.0).then(|| count as f64 / map.data.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(data: &[f32]) -> Map {
        Map { height: 1, width: data.len(), data: data.to_vec() }
    }

    #[test]
    fn gini_goes_from_equal_to_one_pixel() {
        assert_eq!(gini(&map(&[2.0, -2.0, 2.0, 2.0])), Some(0.0));
        assert_eq!(gini(&map(&[0.0, 0.0, 5.0, 0.0])), Some(0.75));
        // By hand: (−3·1 − 1·2 + 1·3 + 3·4) / (4·10)
        assert_eq!(gini(&map(&[4.0, 1.0, -3.0, 2.0])), Some(0.25));
        assert_eq!(gini(&map(&[0.0, 0.0])), None);
        assert_eq!(gini(&map(&[])), None);
    }

    #[test]
    fn mass_is_counted_from_the_brightest() {
        assert_eq!(pixels_of_mass(&map(&[1.0, 0.0, 8.0, -7.0, 1.0]), 0.9), Some(0.4));
        assert_eq!(pixels_of_mass(&map(&[1.0, 0.0, 8.0, -7.0, 1.0]), 0.8), Some(0.2));
        assert_eq!(pixels_of_mass(&map(&[1.0, 1.0]), 1.0), Some(1.0));
        assert_eq!(pixels_of_mass(&map(&[-1.0, 0.0]), 0.9), None);
    }
}
