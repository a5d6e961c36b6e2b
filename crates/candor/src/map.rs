//! A saliency map: raw magnitudes on the pixel grid of the model's input.

use crate::blur::blurred;

/// The Gaussian of [`Map::blurred`] is truncated after this many standard deviations.
const REACH: f32 = 2.0;

/// A saliency map of H×W raw magnitudes (never normalised). Row-major.
///
/// 0 means that nothing at that position supports the class. Values of the reliable mask are in 0..=1;
/// other methods have their own units and may be negative.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Values, row-major, `height * width` of them.
    pub data: Vec<f32>,
}

impl Map {
    /// A map of zeros.
    pub fn zeros(height: usize, width: usize) -> Self {
        Map { height, width, data: vec![0.0; height * width] }
    }

    /// Mean over the pixels of the positive part: the mass of the map, independent of resolution.
    pub fn mass(&self) -> f64 {
        if self.data.is_empty() {
            return 0.0;
        }
        self.data.iter().map(|&v| f64::from(v.max(0.0))).sum::<f64>() / self.data.len() as f64
    }

    /// Smallest value (0 for an empty map).
    pub fn min(&self) -> f32 {
        self.data.iter().copied().reduce(f32::min).unwrap_or(0.0)
    }

    /// Largest value (0 for an empty map).
    pub fn max(&self) -> f32 {
        self.data.iter().copied().reduce(f32::max).unwrap_or(0.0)
    }

    /// Row and column of the largest value; the first in row-major order if several are equal.
    pub fn argmax(&self) -> (usize, usize) {
        let mut best = 0;
        for (i, v) in self.data.iter().enumerate() {
            if *v > self.data[best] {
                best = i;
            }
        }
        (best / self.width.max(1), best % self.width.max(1))
    }

    /// The map blurred with a Gaussian of standard deviation `sigma` pixels, border values repeated; unchanged if `sigma` is not
    /// positive.
    pub fn blurred(&self, sigma: f32) -> Map {
        if sigma <= 0.0 || self.data.iter().all(|&v| v == 0.0) {
            return self.clone();
        }
        Map { data: blurred(&self.data, [1, self.height, self.width], sigma, REACH), ..*self }
    }

    /// The map on another grid, bilinear, with half-pixel centres and border values repeated (`align_corners = false` in
    /// other frameworks). Values stay within the map's range. Meant for enlarging: it does not average,
    /// so shrinking skips pixels. An empty map gives zeros.
    pub fn resized(&self, height: usize, width: usize) -> Map {
        let mut out = Map::zeros(height, width);
        if self.data.is_empty() {
            return out;
        }
        let rows: Vec<_> = (0..height).map(|y| neighbours(y, height, self.height)).collect();
        let columns: Vec<_> = (0..width).map(|x| neighbours(x, width, self.width)).collect();
        for (y, &(top, bottom, down)) in rows.iter().enumerate() {
            let (upper, lower) = (&self.data[top * self.width..], &self.data[bottom * self.width..]);
            for (x, &(left, right, across)) in columns.iter().enumerate() {
                let above = upper[left] + across * (upper[right] - upper[left]);
                let below = lower[left] + across * (lower[right] - lower[left]);
                out.data[y * width + x] = above + down * (below - above);
            }
        }
        out
    }
}

/// The two samples of a grid of `from` that surround sample `i` of a grid of `to`, and the weight of the second.
fn neighbours(i: usize, to: usize, from: usize) -> (usize, usize, f32) {
    let at = ((i as f32 + 0.5) * from as f32 / to as f32 - 0.5).clamp(0.0, (from - 1) as f32);
    let first = at as usize;
    (first, (first + 1).min(from - 1), at - first as f32)
}

/// How a map is brought to another resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    /// Nearest value: shows the cells of the map as squares.
    Nearest,
    /// Bilinear with half-pixel centres, border values repeated.
    Bilinear,
}

impl Map {
    /// The map on another grid.
    pub fn resize(&self, height: usize, width: usize, interpolation: Interpolation) -> Map {
        if interpolation == Interpolation::Bilinear {
            return self.resized(height, width);
        }
        let at = |i: usize, to: usize, from: usize| ((2 * i + 1) * from / (2 * to)).min(from - 1);
        let pixel = |i: usize| {
            let (row, column) = (at(i / width, height, self.height), at(i % width, width, self.width));
            self.data[row * self.width + column]
        };
        Map { height, width, data: (0..height * width).map(pixel).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resizing_interpolates_between_centres() {
        let map = Map { height: 1, width: 2, data: vec![0.0, 1.0] };
        assert_eq!(map.resized(1, 4).data, [0.0, 0.25, 0.75, 1.0]);
        assert_eq!(map.resized(3, 2).data, [0.0, 1.0, 0.0, 1.0, 0.0, 1.0]);
        assert_eq!(map.resized(1, 2), map);
    }

    #[test]
    fn resizing_keeps_a_plane_and_its_mass() {
        let map = Map { height: 8, width: 8, data: (0..64).map(|i| (i % 8) as f32).collect() };
        let large = map.resized(32, 32);
        assert!((large.mass() - map.mass()).abs() < 1e-6);
        assert_eq!((large.min(), large.max()), (0.0, 7.0));
        assert_eq!(Map::zeros(0, 0).resized(2, 2), Map::zeros(2, 2));
    }
}
