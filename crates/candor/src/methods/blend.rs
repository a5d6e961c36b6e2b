//! Blends a photo with another under a coarse mask, and computes the gradient with respect to the mask.

use crate::map::{Interpolation, Map};

/// Bilinear enlargement of a grid as a sparse matrix, so that it can be transposed.
pub(super) struct Enlarge {
    from: [usize; 2],
    to: [usize; 2],
    /// For each row (column) of the large grid, its weights on those of the small grid.
    rows: Vec<Vec<(usize, f32)>>,
    columns: Vec<Vec<(usize, f32)>>,
}

impl Enlarge {
    /// From one grid to another, each `[height, width]`.
    pub(super) fn new(from: [usize; 2], to: [usize; 2]) -> Self {
        Enlarge { from, to, rows: weights(from[0], to[0]), columns: weights(from[1], to[1]) }
    }

    /// The enlarged map.
    pub(super) fn apply(&self, map: &Map) -> Map {
        map.resize(self.to[0], self.to[1], Interpolation::Bilinear)
    }

    /// The gradient with respect to the small map, from that with respect to the large one.
    pub(super) fn pull(&self, large: &Map) -> Map {
        let mut small = Map::zeros(self.from[0], self.from[1]);
        for (y, rows) in self.rows.iter().enumerate() {
            for (x, columns) in self.columns.iter().enumerate() {
                let g = large.data[y * self.to[1] + x];
                for (r, a) in rows {
                    for (c, b) in columns {
                        small.data[r * self.from[1] + c] += a * b * g;
                    }
                }
            }
        }
        small
    }
}

/// For each sample of an axis of `to`, its weights on the samples of `from`, obtained by enlarging unit vectors.
fn weights(from: usize, to: usize) -> Vec<Vec<(usize, f32)>> {
    let mut all = vec![vec![]; to];
    for k in 0..from {
        let mut unit = Map::zeros(1, from);
        unit.data[k] = 1.0;
        let large = unit.resize(1, to, Interpolation::Bilinear);
        for (i, &w) in large.data.iter().enumerate().filter(|(_, w)| **w != 0.0) {
            all[i].push((k, w));
        }
    }
    all
}

/// m ⊙ a + (1 − m) ⊙ b (C×H×W each), shifted by rows and columns with border values repeated.
pub(super) fn blended(mask: &Map, a: &[f32], b: &[f32], shift: [usize; 2]) -> Vec<f32> {
    let (width, area) = (mask.width, mask.data.len());
    let value = |i: usize| {
        let from = i - i % area + shifted(i % area, mask.height, width, shift);
        let m = mask.data[from % area];
        m * a[from] + (1.0 - m) * b[from]
    };
    (0..a.len()).map(value).collect()
}

/// ∂S/∂m = Σ over channels of ∂S/∂x ⊙ (a − b), with the shift undone.
pub(super) fn blend_gradient(
    slope: &[f32],
    a: &[f32],
    b: &[f32],
    [height, width]: [usize; 2],
    shift: [usize; 2],
) -> Map {
    let area = height * width;
    let mut map = Map::zeros(height, width);
    for (i, g) in slope.iter().enumerate() {
        let from = i - i % area + shifted(i % area, height, width, shift);
        map.data[from % area] += g * (a[from] - b[from]);
    }
    map
}

/// Source of pixel `i` under the shift.
fn shifted(i: usize, height: usize, width: usize, [down, right]: [usize; 2]) -> usize {
    let (y, x) = ((i / width + down).min(height - 1), (i % width + right).min(width - 1));
    y * width + x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pulling_is_the_transpose_of_enlarging() {
        let enlarge = Enlarge::new([3, 4], [10, 9]);
        let small = Map { height: 3, width: 4, data: (0..12).map(|i| (i * i % 7) as f32).collect() };
        let large = Map { height: 10, width: 9, data: (0..90).map(|i| (i * 5 % 11) as f32).collect() };
        let dot = |a: &Map, b: &Map| a.data.iter().zip(&b.data).map(|(a, b)| a * b).sum::<f32>();
        let (left, right) = (dot(&enlarge.apply(&small), &large), dot(&small, &enlarge.pull(&large)));
        assert!((left - right).abs() < 1e-3 * left.abs(), "{left} {right}");
    }

    #[test]
    fn the_gradient_is_that_of_the_blend() {
        let (a, b) = ([1.0, 2.0, 3.0, 4.0], [0.0, 1.0, 1.0, 0.0]);
        let mask = Map { height: 2, width: 2, data: vec![0.5; 4] };
        assert_eq!(blended(&mask, &a, &b, [0, 0]), [0.5, 1.5, 2.0, 2.0]);
        assert_eq!(blended(&mask, &a, &b, [1, 0]), [2.0, 2.0, 2.0, 2.0]);
        let slope = blend_gradient(&[1.0; 4], &a, &b, [2, 2], [1, 0]);
        assert_eq!(slope.data, [0.0, 0.0, 4.0, 8.0]);
    }
}
