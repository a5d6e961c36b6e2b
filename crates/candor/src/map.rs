//! A saliency map: raw magnitudes on the pixel grid of the model's input.

/// A saliency map of H×W raw magnitudes (never normalised). Row-major.
///
/// 0 means that nothing at that place supports the class. For the reliable mask values lie in 0..=1;
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

    /// Mean over the pixels of the positive part: the map's mass, independent of resolution.
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

    /// Row and column of the largest value; the first in row-major order among equals.
    pub fn argmax(&self) -> (usize, usize) {
        let mut best = 0;
        for (i, v) in self.data.iter().enumerate() {
            if *v > self.data[best] {
                best = i;
            }
        }
        (best / self.width.max(1), best % self.width.max(1))
    }
}

/// How a map is brought to another resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    /// Shows the paper's squares.
    Nearest,
    /// Half-pixel centres, edges repeated.
    Bilinear,
}

impl Map {
    /// The map on a grid of `height`×`width`, which must not be coarser.
    pub fn resize(&self, height: usize, width: usize, interpolation: Interpolation) -> Map {
        let axis = |out: usize, size: usize| -> Vec<(usize, usize, f32)> {
            let cell = |i: usize| {
                let at = (i as f32 + 0.5) * size as f32 / out as f32;
                if interpolation == Interpolation::Nearest {
                    let near = (at as usize).min(size - 1);
                    return (near, near, 0.0);
                }
                let at = (at - 0.5).clamp(0.0, (size - 1) as f32);
                let low = at as usize;
                (low, (low + 1).min(size - 1), at - low as f32)
            };
            (0..out).map(cell).collect()
        };
        let (rows, columns) = (axis(height, self.height), axis(width, self.width));
        let mut data = Vec::with_capacity(height * width);
        for &(top, bottom, v) in &rows {
            for &(left, right, h) in &columns {
                let at = |r: usize, c: usize| self.data[r * self.width + c];
                let upper = at(top, left) * (1.0 - h) + at(top, right) * h;
                let lower = at(bottom, left) * (1.0 - h) + at(bottom, right) * h;
                data.push(upper * (1.0 - v) + lower * v);
            }
        }
        Map { height, width, data }
    }
}
