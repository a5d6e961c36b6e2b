//! Weighted least squares with few unknowns: (XᵀWX + αI) β = XᵀWy by Cholesky's factorisation.

/// The Cholesky factorisation of a symmetric positive definite matrix, n×n row-major.
pub struct Cholesky {
    lower: Vec<f64>,
    n: usize,
}

impl Cholesky {
    /// Factorises a matrix; `None` if it is not positive definite.
    pub fn new(matrix: &[f64], n: usize) -> Option<Self> {
        let mut lower = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..=i {
                let dot: f64 = (0..j).map(|k| lower[i * n + k] * lower[j * n + k]).sum();
                let rest = matrix[i * n + j] - dot;
                lower[i * n + j] = if i == j { rest.sqrt() } else { rest / lower[j * n + j] };
                if i == j && (rest.is_nan() || rest <= 0.0) {
                    return None;
                }
            }
        }
        Some(Cholesky { lower, n })
    }

    /// L⁻¹ · right for the factor L: its squared length is rightᵀ · matrix⁻¹ · right.
    pub fn whiten(&self, right: &[f64]) -> Vec<f64> {
        let (n, l) = (self.n, &self.lower);
        let mut x = right.to_vec();
        for i in 0..n {
            let dot: f64 = (0..i).map(|k| l[i * n + k] * x[k]).sum();
            x[i] = (x[i] - dot) / l[i * n + i];
        }
        x
    }

    /// The solution for a right-hand side.
    pub fn solve(&self, right: &[f64]) -> Vec<f64> {
        let (n, l) = (self.n, &self.lower);
        let mut x = self.whiten(right);
        for i in (0..n).rev() {
            let dot: f64 = (i + 1..n).map(|k| l[k * n + i] * x[k]).sum();
            x[i] = (x[i] - dot) / l[i * n + i];
        }
        x
    }
}

/// XᵀWX + αI (n×n), with rows of X that are zero or one.
pub(super) fn normal_matrix(rows: &[Vec<bool>], weights: &[f64], n: usize, ridge: f64) -> Vec<f64> {
    let mut matrix = vec![0.0; n * n];
    for (row, w) in rows.iter().zip(weights) {
        let on: Vec<usize> = (0..n).filter(|&i| row[i]).collect();
        for &i in &on {
            on.iter().for_each(|&j| matrix[i * n + j] += w);
        }
    }
    (0..n).for_each(|i| matrix[i * n + i] += ridge);
    matrix
}

/// XᵀWy
pub(super) fn normal_right(rows: &[Vec<bool>], weights: &[f64], y: &[f64], n: usize) -> Vec<f64> {
    let mut right = vec![0.0; n];
    for ((row, w), y) in rows.iter().zip(weights).zip(y) {
        (0..n).filter(|&i| row[i]).for_each(|i| right[i] += w * y);
    }
    right
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_is_solved_and_an_indefinite_one_refused() {
        let x = Cholesky::new(&[4.0, 2.0, 2.0, 3.0], 2).unwrap().solve(&[8.0, 7.0]);
        assert!((x[0] - 1.25).abs() < 1e-12 && (x[1] - 1.5).abs() < 1e-12);
        assert!(Cholesky::new(&[1.0, 2.0, 2.0, 1.0], 2).is_none());
    }
}
