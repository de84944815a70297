//! Sets of vectors and matrices that types name (`simplex[K]`, `cov_matrix[K]`), and whether numbers lie in them.

/// How much a constraint may be missed by rounding in a file.
const CONSTRAINT_TOLERANCE: f64 = 1e-6;

/// A constraint on whole vectors (the last axis) or matrices (the last two).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Constraint {
    #[default]
    None,
    Simplex,
    Ordered,
    PositiveOrdered,
    UnitVector,
    CholeskyCorr,
    CholeskyCov,
    CorrMatrix,
    CovMatrix,
}

impl Constraint {
    /// The set of that name.
    pub fn named(word: &str) -> Option<Constraint> {
        Some(match word {
            "simplex" => Constraint::Simplex,
            "ordered" => Constraint::Ordered,
            "positive_ordered" => Constraint::PositiveOrdered,
            "unit_vector" => Constraint::UnitVector,
            "cholesky_corr" => Constraint::CholeskyCorr,
            "cholesky_cov" => Constraint::CholeskyCov,
            "corr_matrix" => Constraint::CorrMatrix,
            "cov_matrix" => Constraint::CovMatrix,
            _ => return None,
        })
    }

    /// Whether numbers, row-major with these axes, lie in it, the last axes at each place of the others.
    ///
    /// # Errors
    /// The first place where they do not: the index of a number, and the reason.
    pub fn check(self, list: &[f64], sizes: &[usize]) -> Result<(), (usize, String)> {
        let last = sizes.last().copied().unwrap_or(1).max(1);
        let vectors = list.chunks(last).enumerate().map(|(i, v)| (i * last, v));
        match self {
            Constraint::None => Ok(()),
            Constraint::Simplex => {
                for (at, v) in vectors {
                    if let Some(i) = v.iter().position(|x| *x < 0.0) {
                        return Err((at + i, format!("{} in a simplex, expected at least 0", v[i])));
                    }
                    let sum: f64 = v.iter().sum();
                    if (sum - 1.0).abs() > CONSTRAINT_TOLERANCE {
                        return Err((at, format!("this simplex sums to {sum}, expected 1")));
                    }
                }
                Ok(())
            }
            Constraint::Ordered | Constraint::PositiveOrdered => {
                for (at, v) in vectors {
                    if let Some(i) = v.windows(2).position(|w| w[0] >= w[1]) {
                        return Err((at + i + 1, format!("{} does not come after {}", v[i + 1], v[i])));
                    }
                    if self == Constraint::PositiveOrdered && v.first().is_some_and(|x| *x < 0.0) {
                        return Err((at, format!("{}, expected at least 0", v[0])));
                    }
                }
                Ok(())
            }
            Constraint::UnitVector => {
                for (at, v) in vectors {
                    let norm: f64 = v.iter().map(|x| x * x).sum();
                    if (norm - 1.0).abs() > CONSTRAINT_TOLERANCE {
                        return Err((at, format!("the squares sum to {norm}, expected 1")));
                    }
                }
                Ok(())
            }
            Constraint::CholeskyCorr | Constraint::CholeskyCov | Constraint::CorrMatrix | Constraint::CovMatrix => list
                .chunks(last * last)
                .enumerate()
                .try_for_each(|(i, m)| check_matrix(self, m, last).map_err(|(j, why)| (i * last * last + j, why))),
        }
    }
}

fn check_matrix(constraint: Constraint, m: &[f64], n: usize) -> Result<(), (usize, String)> {
    if m.len() != n * n {
        return Err((0, "expected a square matrix".to_string()));
    }
    let triangular = matches!(constraint, Constraint::CholeskyCorr | Constraint::CholeskyCov);
    let mut factor = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..n {
            let x = m[i * n + j];
            if triangular && j > i && x != 0.0 {
                return Err((i * n + j, format!("{x} above the diagonal, expected 0")));
            }
            if !triangular && (x - m[j * n + i]).abs() > CONSTRAINT_TOLERANCE * (1.0 + x.abs()) {
                return Err((i * n + j, format!("{x}, where its mirror image is {}: not symmetric", m[j * n + i])));
            }
        }
        let square: f64 = (0..=i).map(|j| m[i * n + j] * m[i * n + j]).sum();
        let diagonal = m[i * n + i];
        match constraint {
            Constraint::CholeskyCorr if (square - 1.0).abs() > CONSTRAINT_TOLERANCE => {
                return Err((i * n, format!("the squares of this row sum to {square}, expected 1")));
            }
            Constraint::CorrMatrix if (diagonal - 1.0).abs() > CONSTRAINT_TOLERANCE => {
                return Err((i * n + i, format!("{diagonal} on the diagonal, expected 1")));
            }
            _ => {}
        }
        if triangular && diagonal <= 0.0 {
            return Err((i * n + i, format!("{diagonal} on the diagonal, expected more than 0")));
        }
        if !triangular {
            for j in 0..=i {
                let dot: f64 = (0..j).map(|k| factor[i * n + k] * factor[j * n + k]).sum();
                let rest = m[i * n + j] - dot;
                if i == j && (rest <= 0.0 || rest.is_nan()) {
                    return Err((i * n + i, "the matrix is not positive definite".to_string()));
                }
                factor[i * n + j] = if i == j { rest.sqrt() } else { rest / factor[j * n + j] };
            }
        }
    }
    Ok(())
}
