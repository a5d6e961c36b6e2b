//! Compares two maps of the same size.

use crate::map::Map;

/// A map prepared for comparisons with others.
pub struct Profile {
    height: usize,
    width: usize,
    /// Rank of each pixel from 0; equal pixels share their mean rank.
    ranks: Vec<f64>,
    /// Indices of non-zero pixels, by descending magnitude.
    brightest: Vec<usize>,
    /// Values clipped at the 99.5th percentile of the magnitudes and divided by it.
    shape: Vec<f64>,
}

impl Profile {
    /// Sorts the map's pixels once.
    pub fn of(map: &Map) -> Self {
        let mut brightest: Vec<usize> = (0..map.data.len()).filter(|&i| map.data[i] != 0.0).collect();
        brightest.sort_by(|&i, &j| map.data[j].abs().total_cmp(&map.data[i].abs()).then(i.cmp(&j)));
        let shape = shape_of(map, &brightest);
        Profile { height: map.height, width: map.width, ranks: ranks(&map.data), brightest, shape }
    }

    /// Spearman's rank correlation of all pixels, −1..=1, with mean ranks for ties; `None` if a map is constant.
    pub fn spearman(&self, other: &Profile) -> Option<f64> {
        let mean = (self.ranks.len() as f64 - 1.0) / 2.0;
        let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
        for (x, y) in self.ranks.iter().zip(&other.ranks) {
            ab += (x - mean) * (y - mean);
            aa += (x - mean).powi(2);
            bb += (y - mean).powi(2);
        }
        (aa > 0.0 && bb > 0.0).then(|| ab / (aa * bb).sqrt())
    }

    /// Intersection over union of the fraction `share` (0..=1) of pixels with the largest magnitudes. Only non-zero pixels
    /// count, so that the result for an empty map is 0.
    pub fn top_iou(&self, other: &Profile, share: f64) -> f64 {
        let (a, b) = (self.top(share), other.top(share));
        let both = a.iter().zip(&b).filter(|(a, b)| **a && **b).count();
        let either = a.iter().zip(&b).filter(|(a, b)| **a || **b).count();
        if either == 0 { 0.0 } else { both as f64 / either as f64 }
    }

    fn top(&self, share: f64) -> Vec<bool> {
        let mut chosen = vec![false; self.ranks.len()];
        let count = (share * chosen.len() as f64).round() as usize;
        self.brightest.iter().take(count).for_each(|&i| chosen[i] = true);
        chosen
    }

    /// Structural similarity (Wang et al. 2004, uniform 5×5 windows, K1 0.01, K2 0.03) of the maps' shapes: each map is clipped
    /// at the 99.5th percentile of its magnitude and divided by it. The better of the two relative signs, since the sign of some methods
    /// has no meaning. 1 for two empty maps.
    pub fn ssim(&self, other: &Profile) -> f64 {
        let (x, y) = (&self.shape, &other.shape);
        let sums = |f: &dyn Fn(usize) -> f64| box_sums(f, self.height, self.width);
        let (sx, sy) = (sums(&|i| x[i]), sums(&|i| y[i]));
        let (sxx, syy, sxy) = (sums(&|i| x[i] * x[i]), sums(&|i| y[i] * y[i]), sums(&|i| x[i] * y[i]));
        let n = (WINDOW * WINDOW) as f64;
        let mut totals = [0.0, 0.0];
        for i in 0..sx.len() {
            let (mx, vx) = (sx[i] / n, sxx[i] / n - (sx[i] / n).powi(2));
            for (sign, total) in [1.0, -1.0].into_iter().zip(&mut totals) {
                let my = sign * sy[i] / n;
                let (vy, cov) = (syy[i] / n - my * my, sign * sxy[i] / n - mx * my);
                *total +=
                    (2.0 * mx * my + C1) * (2.0 * cov + C2) / ((mx * mx + my * my + C1) * (vx + vy + C2));
            }
        }
        if sx.is_empty() { 1.0 } else { totals[0].max(totals[1]) / sx.len() as f64 }
    }
}

/// [`Profile::spearman`] of two maps.
pub fn spearman(a: &Map, b: &Map) -> Option<f64> {
    Profile::of(a).spearman(&Profile::of(b))
}

/// [`Profile::top_iou`] of two maps.
pub fn top_iou(a: &Map, b: &Map, share: f64) -> f64 {
    Profile::of(a).top_iou(&Profile::of(b), share)
}

/// Overlap of the brightest fifths of two maps, as intersection over union: whether they highlight the same pixels.
pub fn overlap(a: &Map, b: &Map) -> f64 {
    top_iou(a, b, 0.2)
}

/// Minimum [`overlap`] of maps that highlight the same pixels.
pub const SAME: f64 = 0.5;

/// [`Profile::ssim`] of two maps.
pub fn ssim(a: &Map, b: &Map) -> f64 {
    Profile::of(a).ssim(&Profile::of(b))
}

fn ranks(values: &[f32]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&i, &j| values[i].total_cmp(&values[j]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for group in order.chunk_by(|&i, &j| values[i] == values[j]) {
        let mean = first as f64 + (group.len() - 1) as f64 / 2.0;
        group.iter().for_each(|&i| ranks[i] = mean);
        first += group.len();
    }
    ranks
}

/// Window of the structural similarity in pixels, and its constants for values in −1..=1.
const WINDOW: usize = 5;
const C1: f64 = 0.01 * 0.01;
const C2: f64 = 0.03 * 0.03;
/// Percentile at which magnitudes are clipped before the structural similarity.
const CLIP: f64 = 99.5;

fn shape_of(map: &Map, brightest: &[usize]) -> Vec<f64> {
    let mut magnitudes = vec![0.0; map.data.len() - brightest.len()];
    magnitudes.extend(brightest.iter().rev().map(|&i| f64::from(map.data[i].abs())));
    let mut most = crate::quantile::percentile(&magnitudes, CLIP);
    if most.is_nan() || most <= 0.0 {
        most = magnitudes.last().copied().unwrap_or(0.0);
    }
    let scale = if most > 0.0 { most } else { 1.0 };
    map.data.iter().map(|v| (f64::from(*v) / scale).clamp(-1.0, 1.0)).collect()
}

/// Sums over all complete windows.
fn box_sums(value: &dyn Fn(usize) -> f64, height: usize, width: usize) -> Vec<f64> {
    let mut table = vec![0.0; (height + 1) * (width + 1)];
    for r in 0..height {
        for c in 0..width {
            let (up, left) = (table[r * (width + 1) + c + 1], table[(r + 1) * (width + 1) + c]);
            table[(r + 1) * (width + 1) + c + 1] =
                value(r * width + c) + up + left - table[r * (width + 1) + c];
        }
    }
    let at = |r: usize, c: usize| table[r * (width + 1) + c];
    let mut sums = vec![];
    for r in WINDOW..=height {
        for c in WINDOW..=width {
            sums.push(at(r, c) - at(r - WINDOW, c) - at(r, c - WINDOW) + at(r - WINDOW, c - WINDOW));
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(width: usize, data: &[f32]) -> Map {
        Map { height: data.len() / width, width, data: data.to_vec() }
    }

    fn ramp(f: impl Fn(usize) -> f32) -> Map {
        Map { height: 8, width: 8, data: (0..64).map(f).collect() }
    }

    #[test]
    fn spearman_sees_ranks_alone() {
        let a = ramp(|i| i as f32);
        assert_eq!(spearman(&a, &ramp(|i| (i as f32).powi(3))), Some(1.0));
        assert_eq!(spearman(&a, &ramp(|i| -(i as f32))), Some(-1.0));
        assert_eq!(spearman(&a, &ramp(|_| 2.0)), None);
        // By hand: ranks 0 1.5 1.5 3 and 0 1 2 3.
        let got = spearman(&map(4, &[1.0, 2.0, 2.0, 3.0]), &map(4, &[1.0, 2.0, 3.0, 4.0])).unwrap();
        assert!((got - 4.5 / (4.5f64 * 5.0).sqrt()).abs() < 1e-12, "{got}");
    }

    #[test]
    fn an_empty_map_shares_nothing() {
        let a = ramp(|i| i as f32);
        assert_eq!(top_iou(&a, &a, 0.2), 1.0);
        assert_eq!(top_iou(&a, &ramp(|_| 0.0), 0.2), 0.0);
        assert_eq!(top_iou(&a, &ramp(|i| 63.0 - i as f32), 0.2), 0.0);
    }

    #[test]
    fn ssim_is_one_for_the_same_shape_and_ignores_sign_and_scale() {
        let a = ramp(|i| ((i * 37) % 11) as f32);
        assert!((ssim(&a, &ramp(|i| 3.0 * ((i * 37) % 11) as f32)) - 1.0).abs() < 1e-9);
        assert!((ssim(&a, &ramp(|i| -(((i * 37) % 11) as f32))) - 1.0).abs() < 1e-9);
        assert!(ssim(&a, &ramp(|i| ((i * 29 + 3) % 13) as f32)) < 0.5);
    }
}
