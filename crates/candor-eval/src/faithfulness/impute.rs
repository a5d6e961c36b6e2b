//! Imputes missing pixels from the remaining ones: the noisy linear imputation of ROAD (Rong et al. 2022), without its noise.
//!
//! Each missing pixel is the weighted mean of its neighbours, all of them at once: a system with one unknown per pixel, which the
//! published code passes to a direct solver. Here conjugate gradients solve it, with multigrid as preconditioner.

use super::multigrid::{LANES, Multigrid, NEIGHBOURS};

/// The residual, relative to the right-hand side's norm, at which the system counts as solved.
const TOLERANCE: f64 = 1e-10;

/// Replaces the `removed` pixels (H×W) of an image (C×H×W, on a grid of `[height, width]`) by the weighted mean of their
/// neighbours, all of them at once: Σ_j w_ij (x_i − x_j) = 0 over the neighbours j within the image (without the paper's
/// noise). If no pixel remains to impute from, 0.
///
/// # Panics
/// If the sizes do not fit.
pub fn impute(image: &[f32], grid: [usize; 2], removed: &[bool]) -> Vec<f32> {
    check(image, grid, removed);
    let mut out = image.to_vec();
    if removed.iter().all(|r| *r) {
        out.fill(0.0);
        return out;
    }
    let system = System::of(grid, removed);
    for channels in out.chunks_mut(LANES * removed.len()) {
        let mut left = vec![[0.0; LANES]; removed.len() + 1];
        for (lane, channel) in channels.chunks(removed.len()).enumerate() {
            left.iter_mut().zip(channel).for_each(|(l, &v)| l[lane] = f64::from(v));
        }
        let solution = system.solve(&left);
        for (lane, channel) in channels.chunks_mut(removed.len()).enumerate() {
            system.pixels.iter().zip(&solution).for_each(|(&i, v)| channel[i] = v[lane] as f32);
        }
    }
    out
}

/// Panics if sizes do not fit.
pub(super) fn check(image: &[f32], [height, width]: [usize; 2], removed: &[bool]) {
    assert_eq!(removed.len(), height * width, "removed pixels are a choice among those of the grid");
    assert!(image.is_empty() || image.len().is_multiple_of(removed.len()), "an image has whole channels");
}

/// The equations of the removed pixels. Their matrix is symmetric and positive definite, as each connected patch of them has a neighbour
/// that remains.
struct System {
    /// The removed pixels: the unknowns.
    pixels: Vec<usize>,
    /// For each unknown, the indices of the neighbours that are unknowns, too; for other neighbours the number of unknowns.
    unknown: Vec<[u32; 8]>,
    /// For each unknown, the neighbours that remain; for other neighbours the number of pixels.
    known: Vec<[u32; 8]>,
    /// For each unknown, the sum of its neighbours' weights: less than 1 at the border.
    diagonal: Vec<f64>,
    multigrid: Multigrid,
}

impl System {
    fn of([height, width]: [usize; 2], removed: &[bool]) -> Self {
        let pixels: Vec<usize> = (0..removed.len()).filter(|&i| removed[i]).collect();
        let mut number = vec![pixels.len() as u32; removed.len()];
        pixels.iter().enumerate().for_each(|(n, &i)| number[i] = n as u32);
        let (mut all_unknown, mut all_known, mut diagonal) = (vec![], vec![], vec![]);
        for &i in &pixels {
            let (mut unknown, mut known) = ([pixels.len() as u32; 8], [removed.len() as u32; 8]);
            let mut sum = 0.0;
            for (k, (down, across, weight)) in NEIGHBOURS.into_iter().enumerate() {
                let row = (i / width).checked_add_signed(down).filter(|r| *r < height);
                let column = (i % width).checked_add_signed(across).filter(|c| *c < width);
                let (Some(row), Some(column)) = (row, column) else { continue };
                let j = row * width + column;
                sum += weight;
                if removed[j] {
                    unknown[k] = number[j];
                } else {
                    known[k] = j as u32;
                }
            }
            all_unknown.push(unknown);
            all_known.push(known);
            diagonal.push(sum);
        }
        let at = pixels.iter().map(|i| [i / width, i % width]).collect();
        let multigrid = Multigrid::of(at, &all_unknown, &diagonal);
        System { pixels, unknown: all_unknown, known: all_known, diagonal, multigrid }
    }

    /// Solves for the unknowns of up to [`LANES`] channels by preconditioned conjugate gradients. The channels share only the matrix,
    /// whose entries are read once for all of them. `left`, `p` and other vectors that are multiplied have a zero at their end, for
    /// neighbours that do not exist or are not unknowns.
    fn solve(&self, left: &[Lanes]) -> Vec<Lanes> {
        let b: Vec<Lanes> = self.known.iter().map(|k| gather(k, left)).collect();
        // Starts from the weighted mean of the remaining pixels around.
        let ones: Vec<Lanes> = std::iter::repeat_n([1.0; LANES], b.len()).chain([[0.0; LANES]]).collect();
        let shared: f64 = self.unknown.iter().map(|u| gather(u, &ones)[0]).sum();
        let weight = self.diagonal.iter().sum::<f64>() - shared;
        let sum = b.iter().fold([0.0; LANES], |sum, b| each_lane(|l| sum[l] + b[l]));
        let mut x = vec![sum.map(|s| s / weight); b.len()];
        let mut p: Vec<Lanes> = x.iter().copied().chain([[0.0; LANES]]).collect();
        let mut r: Vec<Lanes> =
            b.iter().zip(self.times(&p)).map(|(b, a)| each_lane(|l| b[l] - a[l])).collect();
        let (norms, start) = (dot(&b, &b), dot(&r, &r));
        let enough = each_lane(|l| TOLERANCE * (norms[l].sqrt() + start[l].sqrt()));
        // The first direction has no predecessor.
        let mut rz = [f64::INFINITY; LANES];
        // In exact arithmetic as many steps as unknowns suffice; the tolerance is usually reached much earlier.
        for _ in 0..b.len() + 100 {
            let left = dot(&r, &r);
            let open = each_lane(|l| f64::from(u8::from(left[l].sqrt() > enough[l])));
            if open.iter().all(|&o| o == 0.0) {
                break;
            }
            // A channel that is solved is not changed.
            let ratio = |a: f64, b: f64, open: f64| if open > 0.0 { a / b } else { 0.0 };
            let z = self.multigrid.apply(&r);
            let next = dot(&r, &z);
            let turn = each_lane(|l| ratio(next[l], rz[l], open[l]));
            rz = next;
            p.iter_mut().zip(&z).for_each(|(p, z)| *p = each_lane(|l| z[l] + turn[l] * p[l]));
            let a = self.times(&p);
            let pa = dot(&p, &a);
            let step = each_lane(|l| ratio(rz[l], pa[l], open[l]));
            x.iter_mut().zip(&p).for_each(|(x, p)| *x = each_lane(|l| x[l] + step[l] * p[l]));
            r.iter_mut().zip(&a).for_each(|(r, a)| *r = each_lane(|l| r[l] - step[l] * a[l]));
        }
        x
    }

    /// The matrix times a vector.
    fn times(&self, p: &[Lanes]) -> Vec<Lanes> {
        let rows = self.unknown.iter().zip(&self.diagonal).zip(p);
        let row = |((unknown, d), v): ((&[u32; 8], &f64), &Lanes)| {
            let around = gather(unknown, p);
            each_lane(|l| d * v[l] - around[l])
        };
        rows.map(row).collect()
    }
}

/// One number per channel.
type Lanes = [f64; LANES];

fn each_lane(of: impl Fn(usize) -> f64) -> Lanes {
    std::array::from_fn(of)
}

/// Σ_k w_k v[at_k]
fn gather(at: &[u32; 8], v: &[Lanes]) -> Lanes {
    at.iter().zip(NEIGHBOURS).fold([0.0; LANES], |sum, (&j, (_, _, weight))| {
        let v = &v[j as usize];
        each_lane(|l| sum[l] + weight * v[l])
    })
}

/// Dot product over the length of the shorter one.
fn dot(a: &[Lanes], b: &[Lanes]) -> Lanes {
    a.iter().zip(b).fold([0.0; LANES], |sum, (a, b)| each_lane(|l| sum[l] + a[l] * b[l]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pixel_is_the_mean_of_its_neighbours() {
        let image: Vec<f32> = (1..=9).map(|v| (v * v) as f32).collect();
        let removed: Vec<bool> = (0..9).map(|i| i == 4).collect();
        let out = impute(&image, [3, 3], &removed);
        let mean = (4.0 + 16.0 + 36.0 + 64.0) / 6.0 + (1.0 + 9.0 + 49.0 + 81.0) / 12.0;
        assert!((out[4] - mean).abs() < 1e-5, "{} {mean}", out[4]);
        assert!((0..9).all(|i| i == 4 || out[i] == image[i]));
        // A corner has only three neighbours.
        let out = impute(&image, [3, 3], &(0..9).map(|i| i == 0).collect::<Vec<_>>());
        assert!((out[0] - (4.0 / 6.0 + 16.0 / 6.0 + 25.0 / 12.0) / (5.0 / 12.0)).abs() < 1e-5, "{}", out[0]);
    }

    #[test]
    fn large_holes_satisfy_their_equations() {
        let (h, w) = (40, 50);
        let image: Vec<f32> = (0..2 * h * w).map(|i| ((i as f32) * 0.37).sin()).collect();
        let hole = |i: usize| (5..38).contains(&(i / w)) && i % w >= 12;
        let removed: Vec<bool> = (0..h * w).map(hole).collect();
        let out = impute(&image, [h, w], &removed);
        let again = impute(&out, [h, w], &removed);
        assert!(out.iter().zip(&again).all(|(a, b)| (a - b).abs() < 1e-5));
        for i in (0..h * w).filter(|&i| hole(i) && i % w < w - 1) {
            let at = |(down, across, _): (isize, isize, f64)| {
                let j = i.strict_add_signed(down * w as isize + across);
                f64::from(out[h * w + j])
            };
            let mean: f64 = NEIGHBOURS.into_iter().map(|n| n.2 * at(n)).sum();
            assert!((mean - f64::from(out[h * w + i])).abs() < 1e-6);
        }
    }

    #[test]
    fn a_cycle_of_multigrid_takes_most_of_a_smooth_error_and_the_diagonal_little() {
        let hole: Vec<bool> = (0..64 * 64).map(|i| (4..60).contains(&(i / 64)) && i % 64 >= 4).collect();
        let system = System::of([64, 64], &hole);
        let smooth = [vec![[1.0; LANES]; system.pixels.len()], vec![[0.0; LANES]]].concat();
        let of = system.times(&smooth);
        let left = |found: Vec<Lanes>| {
            let error: Vec<Lanes> = found.iter().map(|f| f.map(|f| 1.0 - f)).collect();
            (dot(&error, &error)[0] / found.len() as f64).sqrt()
        };
        let diagonal = left(of.iter().zip(&system.diagonal).map(|(v, d)| v.map(|v| v / d)).collect());
        let cycle = left(system.multigrid.apply(&of));
        assert!(cycle < 0.5 && diagonal > 0.9, "{cycle} {diagonal}");
    }

    #[test]
    fn without_anything_left_there_is_nothing() {
        assert_eq!(impute(&[1.0, 2.0], [1, 2], &[true, true]), [0.0, 0.0]);
        assert_eq!(impute(&[1.0, 2.0], [1, 2], &[false, false]), [1.0, 2.0]);
        // Zero neighbours give zero, without a division by zero.
        assert_eq!(impute(&[0.0, 2.0, 0.0], [1, 3], &[false, true, false]), [0.0, 0.0, 0.0]);
    }
}
