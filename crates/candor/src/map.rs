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
