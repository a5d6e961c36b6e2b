//! Pooling.

use super::place::Window;
use crate::builder::Expr;
use crate::error::{GraphError, Result};
use crate::grad::Sweep;
use crate::graph::Node;
use crate::tensor::Tensor;

/// max pool: dx = Σ over windows of dy at the window's maximum; of equal ones the first in row-major order gets it,
/// as in PyTorch.
///
/// For each offset in the window, the elements at that offset are compared with the maxima; what an offset takes is subtracted
/// from dy, so that it is given only once.
pub(crate) fn max_pool(s: &mut Sweep, n: &Node) -> Result<()> {
    let (x, y, dy) = (s.input(n, 0)?, s.output(n), s.full_dy(n)?);
    let w = Window::of(n, &x.shape()?, &y.shape()?)?;
    w.check_kernel(n)?;
    // Large enough for every window of ceil_mode, whose last window may extend beyond the padding.
    let mut pads = [0; 8];
    for axis in 0..2 {
        let reach = (w.output[axis] - 1) * w.strides[axis] + w.dilations[axis] * (w.kernel[axis] - 1) + 1;
        pads[2 + axis] = w.begin[axis];
        pads[6 + axis] = reach - w.input[axis] - w.begin[axis];
    }
    let padded = x.pad(&pads, f32::MIN);
    let mut left = dy;
    let mut placed = Placement::new(&w);
    let last = w.kernel[0] * w.kernel[1] - 1;
    for place in 0..=last {
        let k = [place / w.kernel[1], place % w.kernel[1]];
        let start = [k[0] * w.dilations[0], k[1] * w.dilations[1]];
        let end = [0, 1].map(|a| start[a] + (w.output[a] - 1) * w.strides[a] + 1);
        let element = padded.slice(&[2, 3], &start, &end, &w.strides);
        // Elements never exceed the maximum: 1 where equal, 0 elsewhere.
        let taken = left * element.equals_bound(y);
        placed.add(k, taken);
        if place < last {
            left = left - taken;
        }
    }
    s.add_grad(n, 0, placed.finish()?)
}

/// average pool: dx = Σ over windows of dy/count
pub(crate) fn average_pool(s: &mut Sweep, n: &Node) -> Result<()> {
    let (x, dy) = (s.input(n, 0)?, s.full_dy(n)?);
    let w = Window::of(n, &x.shape()?, &dy.shape()?)?;
    w.check_kernel(n)?;
    if w.output[0].saturating_mul(w.output[1]) > LARGEST_OUTPUT {
        return Err(GraphError::too_large(n, format!("its output has more than {LARGEST_OUTPUT} places")));
    }
    let share = dy * s.builder().constant(one_over_count(&w, n.int("count_include_pad", 0) != 0)?);
    let mut placed = Placement::new(&w);
    for row in 0..w.kernel[0] {
        for column in 0..w.kernel[1] {
            placed.add([row, column], share);
        }
    }
    s.add_grad(n, 0, placed.finish()?)
}

/// Maximum number of spatial positions of an average pool's output: 4096 × 4096.
const LARGEST_OUTPUT: i64 = 1 << 24;

/// For each window, one over the number of elements it averages: 1×1×H×W.
pub(crate) fn one_over_count(w: &Window, include_pad: bool) -> Result<Tensor> {
    let count = |axis: usize, o: i64| {
        let (low, high) = if include_pad {
            (0, w.begin[axis] + w.input[axis] + w.end[axis])
        } else {
            (w.begin[axis], w.begin[axis] + w.input[axis])
        };
        let inside = |k: &i64| (low..high).contains(&(o * w.strides[axis] + k * w.dilations[axis]));
        (0..w.kernel[axis]).filter(inside).count().max(1)
    };
    let [h, width] = w.output;
    let values =
        (0..h).flat_map(|r| (0..width).map(move |c| 1.0 / (count(0, r) * count(1, c)) as f32)).collect();
    Tensor::floats(&[1, 1, h as usize, width as usize], values)
}

/// Sums N×C×out terms on the input's grid: tap k of window o lands on o·stride + k·dilation − pad.
struct Placement<'w, 'b> {
    window: &'w Window,
    phases: Vec<Option<Expr<'b>>>,
}

impl<'w, 'b> Placement<'w, 'b> {
    fn new(window: &'w Window) -> Self {
        Placement { window, phases: vec![None; (window.strides[0] * window.strides[1]) as usize] }
    }

    fn add(&mut self, tap: [i64; 2], term: Expr<'b>) {
        let w = self.window;
        let mut pads = [0; 8];
        let mut phase = 0;
        for axis in 0..2 {
            let at = tap[axis] * w.dilations[axis];
            phase = phase * w.strides[axis] + at % w.strides[axis];
            let shift = at / w.strides[axis] - w.first_cell(axis);
            pads[2 + axis] = shift;
            pads[6 + axis] = w.cells(axis) - shift - w.output[axis];
        }
        let term = term.pad(&pads, 0.0);
        let sum = &mut self.phases[phase as usize];
        *sum = Some(match *sum {
            Some(earlier) => earlier + term,
            None => term,
        });
    }

    fn finish(self) -> Result<Expr<'b>> {
        self.window.assemble(self.phases)
    }
}

/// global average pool: dx = dy/count, broadcast
pub(crate) fn global_average_pool(s: &mut Sweep, n: &Node) -> Result<()> {
    let count: Option<usize> = s.input(n, 0)?.shape()?[2..].iter().map(|d| d.fixed()).product();
    let count =
        count.ok_or_else(|| GraphError::unknown_shape(n, "the spatial size of its input is not known"))?;
    s.add_grad(n, 0, s.dy(n) * (1.0 / count as f32))
}

/// global max pool: dx = dy at the maximum, shared equally among equal ones
pub(crate) fn global_max_pool(s: &mut Sweep, n: &Node) -> Result<()> {
    let (x, y) = (s.input(n, 0)?, s.output(n));
    let axes: Vec<i64> = (2..x.shape()?.len() as i64).collect();
    let is_max = x.equals_bound(y);
    s.add_grad(n, 0, s.dy(n) / is_max.sum(&axes, true) * is_max)
}
