//! Multigrid as a preconditioner for the systems of imputation: smooth corrections come from coarser levels.
//!
//! A level's unknowns in a square of two by two become one unknown of the next (aggregation: interpolation is constant, the coarser
//! matrix is PᵀAP), which keeps eight neighbours and works for holes of any shape. Constant interpolation makes smooth errors
//! too stiff by a factor of about two, so the coarser matrix is halved (Braess 1995, Towards algebraic multigrid for elliptic problems of
//! second order), and each level is visited twice (a W-cycle): about twelve steps solve a hole of any size. Single precision
//! suffices here: conjugate gradients correct it.

/// Row and column offsets of the neighbours, and their weights: 1/6 along an axis, 1/12 diagonally (as in the published code).
pub(super) const NEIGHBOURS: [(isize, isize, f64); 8] = [
    (-1, 0, 1.0 / 6.0),
    (0, -1, 1.0 / 6.0),
    (0, 1, 1.0 / 6.0),
    (1, 0, 1.0 / 6.0),
    (-1, -1, 1.0 / 12.0),
    (-1, 1, 1.0 / 12.0),
    (1, -1, 1.0 / 12.0),
    (1, 1, 1.0 / 12.0),
];

/// Number of channels that are solved at once.
pub(super) const LANES: usize = 4;

/// One value per channel.
type Lanes = [f32; LANES];

/// Factor of the coarser matrix.
const STIFFNESS: f32 = 0.5;
/// Weight of a Jacobi step.
const DAMPING: f32 = 0.8;
/// If this fraction of the weights leads to remaining pixels, a level needs no coarser one: its errors are not smooth.
const ENOUGH_LEFT: f64 = 0.25;

/// A weighted graph with links to remaining pixels: row i is `diagonal[i]` x_i − Σ_k `weights[i][k]` x at `neighbours[i][k]`.
pub(super) struct Level {
    /// For each unknown its neighbours, in the order of [`NEIGHBOURS`]; for missing ones the number of unknowns.
    neighbours: Vec<[u32; 8]>,
    weights: Vec<[f32; 8]>,
    diagonal: Vec<f32>,
    /// Row and column of each unknown on the level's grid.
    at: Vec<[usize; 2]>,
    /// For each unknown, the unknown of the next level that it is part of; empty on the last level.
    parts: Vec<u32>,
}

/// The levels, finest first.
pub(super) struct Multigrid(Vec<Level>);

impl Multigrid {
    /// For a system with an unknown at each row and column of `at`, its `neighbours` (in the order of [`NEIGHBOURS`]; for missing ones
    /// the number of unknowns) and `diagonal`.
    pub(super) fn of(at: Vec<[usize; 2]>, neighbours: &[[u32; 8]], diagonal: &[f64]) -> Self {
        let missing = at.len() as u32;
        let weight = |of: &[u32; 8]| {
            std::array::from_fn(|k| if of[k] == missing { 0.0 } else { NEIGHBOURS[k].2 as f32 })
        };
        let mut levels = vec![Level {
            weights: neighbours.iter().map(weight).collect(),
            neighbours: neighbours.to_vec(),
            diagonal: diagonal.iter().map(|&d| d as f32).collect(),
            at,
            parts: vec![],
        }];
        while let Some(next) = levels.last_mut().and_then(Level::coarser) {
            levels.push(next);
        }
        Multigrid(levels)
    }

    /// Approximately the inverse of the matrix times `of`: symmetric and positive definite, as conjugate gradients require.
    pub(super) fn apply(&self, of: &[[f64; LANES]]) -> Vec<[f64; LANES]> {
        let of: Vec<Lanes> = of.iter().map(|v| v.map(|v| v as f32)).collect();
        let of = cycle(&self.0, &of);
        of[..of.len() - 1].iter().map(|v| v.map(f64::from)).collect()
    }
}

/// Approximately the inverse of the first of `levels` times `b`, with a zero at its end.
fn cycle(levels: &[Level], b: &[Lanes]) -> Vec<Lanes> {
    let (level, coarser) = (&levels[0], &levels[1..]);
    let mut x = vec![[0.0; LANES]; b.len() + 1];
    let [next, ..] = coarser else {
        level.jacobi(&mut x, b, 1.0);
        return x;
    };
    level.jacobi(&mut x, b, DAMPING);
    let mut gathered = vec![[0.0; LANES]; next.diagonal.len()];
    for (&part, left) in level.parts.iter().zip(level.residual(&x, b)) {
        add(&mut gathered[part as usize], 1.0, &left);
    }
    let mut correction = cycle(coarser, &gathered);
    if coarser.len() > 1 {
        let again = cycle(coarser, &next.residual(&correction, &gathered));
        correction.iter_mut().zip(&again).for_each(|(c, a)| add(c, 1.0, a));
    }
    x.iter_mut().zip(&level.parts).for_each(|(x, &part)| add(x, 1.0, &correction[part as usize]));
    let left = level.residual(&x, b);
    level.jacobi(&mut x, &left, DAMPING);
    x
}

impl Level {
    /// The next level, with one unknown per square; `None` if it would not help.
    fn coarser(&mut self) -> Option<Level> {
        let sum = |values: &mut dyn Iterator<Item = &f32>| values.map(|&v| f64::from(v)).sum::<f64>();
        let all = sum(&mut self.diagonal.iter());
        let left = all - sum(&mut self.weights.iter().flatten());
        if self.at.len() < 2 || left >= ENOUGH_LEFT * all {
            return None;
        }
        let end = |axis: usize| self.at.iter().map(|at| at[axis] / 2 + 1).max().unwrap_or(0);
        let columns = end(1);
        let mut numbers = vec![u32::MAX; end(0) * columns];
        let mut at = vec![];
        for &[row, column] in &self.at {
            let square = [row / 2, column / 2];
            let number = &mut numbers[square[0] * columns + square[1]];
            if *number == u32::MAX {
                *number = at.len() as u32;
                at.push(square);
            }
            self.parts.push(*number);
        }
        let missing = at.len();
        let mut next = Level {
            neighbours: vec![[missing as u32; 8]; missing],
            weights: vec![[0.0; 8]; missing],
            diagonal: vec![0.0; missing],
            at,
            parts: vec![],
        };
        for (i, &part) in self.parts.iter().enumerate() {
            let part = part as usize;
            next.diagonal[part] += STIFFNESS * self.diagonal[i];
            for (&neighbour, weight) in self.neighbours[i].iter().zip(self.weights[i]) {
                let Some(&other) = self.parts.get(neighbour as usize) else { continue };
                let ([row, column], [from, of]) = (next.at[other as usize], next.at[part]);
                let way = |&(down, across, _): &(isize, isize, f64)| {
                    from.checked_add_signed(down) == Some(row)
                        && of.checked_add_signed(across) == Some(column)
                };
                match NEIGHBOURS.iter().position(way) {
                    Some(k) => {
                        next.neighbours[part][k] = other;
                        next.weights[part][k] += STIFFNESS * weight;
                    }
                    None => next.diagonal[part] -= STIFFNESS * weight,
                }
            }
        }
        Some(next)
    }

    /// x + `damping` · D⁻¹ `left`.
    fn jacobi(&self, x: &mut [Lanes], left: &[Lanes], damping: f32) {
        for ((x, left), d) in x.iter_mut().zip(left).zip(&self.diagonal) {
            add(x, damping / d, left);
        }
    }

    /// b − A x; `x` has a zero at its end.
    fn residual(&self, x: &[Lanes], b: &[Lanes]) -> Vec<Lanes> {
        let row = |(i, b): (usize, &Lanes)| {
            let mut out = *b;
            add(&mut out, -self.diagonal[i], &x[i]);
            let around = self.neighbours[i].iter().zip(&self.weights[i]);
            around.for_each(|(&j, weight)| add(&mut out, *weight, &x[j as usize]));
            out
        };
        b.iter().enumerate().map(row).collect()
    }
}

fn add(to: &mut Lanes, times: f32, of: &Lanes) {
    to.iter_mut().zip(of).for_each(|(t, o)| *t += times * o);
}
