//! A smooth mask: at each pixel the smooth maximum over the cells near it of a bump times the cell's value (Fong, Patrick,
//! Vedaldi 2019): m = Σ v e^{v/T} / Σ e^{v/T}, v = k(|u − cell| / σ) · c, k(z) = e^{−2 (z − ½)₊²}.

use crate::map::Map;

/// Sharpness of the maximum, 1/T.
const SHARPNESS: f32 = 20.0;
/// Smaller bumps are left out.
const LEAST_BUMP: f32 = 0.3;

/// Cells, and for each pixel the cells that affect it.
pub(super) struct SmoothMask {
    size: [usize; 2],
    cells: usize,
    /// For each pixel: cells and bumps.
    reach: Vec<Vec<(usize, f32)>>,
}

impl SmoothMask {
    /// Cells `step` pixels apart with bumps of `sigma` pixels.
    pub(super) fn new(size: [usize; 2], step: usize, sigma: usize) -> Self {
        let [height, width] = size;
        let (rows, columns) = (height.div_ceil(step), width.div_ceil(step));
        let radius = 1 + sigma.div_ceil(step);
        let reach = radius as isize;
        // The outermost cells extend beyond the border, so that initially no pixel differs from the others: the area term keeps
        // pixels by rank and would follow any bias at the border.
        let inside = |cell: isize, count: usize| cell.clamp(0, count as isize - 1) as usize;
        let centre = |cell: isize| (cell as f32 + 0.5) * step as f32 - 0.5;
        let pixel = |i: usize| {
            let (y, x) = (i / width, i % width);
            let mut all = vec![];
            for r in (y / step) as isize - reach..=(y / step) as isize + reach {
                for c in (x / step) as isize - reach..=(x / step) as isize + reach {
                    let z = (y as f32 - centre(r)).hypot(x as f32 - centre(c)) / sigma as f32;
                    let bump = (-2.0 * (z - 0.5).max(0.0).powi(2)).exp();
                    // e^{(v − 1)/T} of the others is negligible compared to that of the nearest cell.
                    if bump > LEAST_BUMP {
                        all.push((inside(r, rows) * columns + inside(c, columns), bump));
                    }
                }
            }
            all
        };
        SmoothMask { size, cells: rows * columns, reach: (0..height * width).map(pixel).collect() }
    }

    /// Number of cells.
    pub(super) fn cells(&self) -> usize {
        self.cells
    }

    /// The mask of the cells' values.
    pub(super) fn apply(&self, cells: &[f32]) -> Map {
        let [height, width] = self.size;
        let pixel = |reach: &Vec<(usize, f32)>| {
            let (top, bottom) = moments(reach, cells);
            top / bottom
        };
        Map { height, width, data: self.reach.iter().map(pixel).collect() }
    }

    /// The gradient with respect to the cells from that with respect to the mask: ∂m/∂v = w (1 + (v − m)/T), w = e^{v/T} / Σ.
    pub(super) fn pull(&self, cells: &[f32], slope: &Map) -> Vec<f32> {
        let mut out = vec![0.0; self.cells];
        for (reach, g) in self.reach.iter().zip(&slope.data) {
            let (top, bottom) = moments(reach, cells);
            let m = top / bottom;
            for &(cell, bump) in reach {
                let v = bump * cells[cell];
                let weight = (SHARPNESS * (v - 1.0)).exp() / bottom;
                out[cell] += g * bump * weight * (1.0 + SHARPNESS * (v - m));
            }
        }
        out
    }
}

/// Σ v e^{v/T} and Σ e^{v/T}, both times e^{−1/T}.
fn moments(reach: &[(usize, f32)], cells: &[f32]) -> (f32, f32) {
    reach.iter().fold((0.0, 0.0), |(top, bottom), &(cell, bump)| {
        let v = bump * cells[cell];
        let e = (SHARPNESS * (v - 1.0)).exp();
        (top + v * e, bottom + e)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_cells_give_a_mask_without_a_border() {
        let mask = SmoothMask::new([32, 32], 4, 12);
        let m = mask.apply(&vec![1.0; mask.cells()]);
        for (i, v) in m.data.iter().enumerate() {
            let inner = m.data[(12 + i / 32 % 4) * 32 + 12 + i % 4];
            assert!((v - inner).abs() < 1e-6, "pixel {i}: {v} is not {inner}");
        }
    }

    #[test]
    fn the_gradient_is_the_difference_quotient() {
        let mask = SmoothMask::new([8, 8], 2, 4);
        let cells: Vec<f32> = (0..mask.cells()).map(|i| ((i * 7) % 10) as f32 / 10.0).collect();
        let slope = Map { height: 8, width: 8, data: (0..64).map(|i| ((i * 3) % 5) as f32 - 2.0).collect() };
        let gradient = mask.pull(&cells, &slope);
        let value = |cells: &[f32]| {
            let m = mask.apply(cells);
            m.data.iter().zip(&slope.data).map(|(m, s)| f64::from(m * s)).sum::<f64>()
        };
        for i in [0, 5, 10] {
            let moved = |by: f32| {
                let mut c = cells.clone();
                c[i] += by;
                value(&c)
            };
            let quotient = (moved(5e-3) - moved(-5e-3)) / 1e-2;
            assert!((quotient - f64::from(gradient[i])).abs() < 2e-2, "{quotient} {}", gradient[i]);
        }
    }
}
