//! Small dense linear algebra for starts and coordinates: row-major `[n, n]` matrices, no blocking. Matrices here are
//! at most a few hundred wide; those of programs go through `runtime/`.

/// Lower Cholesky factor of the symmetric `a` (lower triangle read); `None` if a pivot is not positive and finite.
pub(crate) fn cholesky(a: &[f64], n: usize) -> Option<Vec<f64>> {
    let mut l = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..=i {
            let mut sum = a[i * n + j];
            for k in 0..j {
                sum -= l[i * n + k] * l[j * n + k];
            }
            if i == j {
                if !(sum > 0.0 && sum.is_finite()) {
                    return None;
                }
                l[i * n + i] = sum.sqrt();
            } else {
                l[i * n + j] = sum / l[j * n + j];
            }
        }
    }
    Some(l)
}

/// `x` with `L x = b`.
pub(crate) fn solve_lower(l: &[f64], n: usize, b: &mut [f64]) {
    for i in 0..n {
        let mut sum = b[i];
        for k in 0..i {
            sum -= l[i * n + k] * b[k];
        }
        b[i] = sum / l[i * n + i];
    }
}

/// `x` with `Lᵀ x = b`.
pub(crate) fn solve_lower_transposed(l: &[f64], n: usize, b: &mut [f64]) {
    for i in (0..n).rev() {
        let mut sum = b[i];
        for k in i + 1..n {
            sum -= l[k * n + i] * b[k];
        }
        b[i] = sum / l[i * n + i];
    }
}

/// Inverse of a positive definite matrix given by its Cholesky factor.
pub(crate) fn inverse_from_cholesky(l: &[f64], n: usize) -> Vec<f64> {
    let mut inverse = vec![0.0; n * n];
    let mut column = vec![0.0; n];
    for j in 0..n {
        column.fill(0.0);
        column[j] = 1.0;
        solve_lower(l, n, &mut column);
        solve_lower_transposed(l, n, &mut column);
        for i in 0..n {
            inverse[i * n + j] = column[i];
        }
    }
    symmetrise(&mut inverse, n);
    inverse
}

/// Replaces `a` by `(a + aᵀ)/2`.
pub(crate) fn symmetrise(a: &mut [f64], n: usize) {
    for i in 0..n {
        for j in 0..i {
            let mean = 0.5 * (a[i * n + j] + a[j * n + i]);
            a[i * n + j] = mean;
            a[j * n + i] = mean;
        }
    }
}

/// `L u` of a lower-triangular `L`, added to `out`.
pub(crate) fn add_lower_product(l: &[f64], n: usize, u: &[f64], out: &mut [f64]) {
    for i in 0..n {
        let row = &l[i * n..i * n + i + 1];
        out[i] += dot(row, &u[..i + 1]);
    }
}

/// `Lᵀ g` of a lower-triangular `L`, written to `out`.
pub(crate) fn lower_transposed_product(l: &[f64], n: usize, g: &[f64], out: &mut [f64]) {
    out.fill(0.0);
    for i in 0..n {
        for j in 0..=i {
            out[j] += l[i * n + j] * g[i];
        }
    }
}

/// `L B` of two lower-triangular matrices.
pub(crate) fn lower_by_lower(l: &[f64], b: &[f64], n: usize) -> Vec<f64> {
    let mut product = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..=i {
            product[i * n + j] = (j..=i).map(|k| l[i * n + k] * b[k * n + j]).sum();
        }
    }
    product
}

/// `A u` of a full matrix.
pub(crate) fn product(a: &[f64], n: usize, u: &[f64]) -> Vec<f64> {
    (0..n).map(|i| dot(&a[i * n..(i + 1) * n], u)).collect()
}

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

pub(crate) fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

pub(crate) fn all_finite(a: &[f64]) -> bool {
    a.iter().all(|x| x.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cholesky_solves() {
        let a = [4.0, 2.0, 0.4, 2.0, 3.0, 0.5, 0.4, 0.5, 2.0];
        let l = cholesky(&a, 3).unwrap();
        let inverse = inverse_from_cholesky(&l, 3);
        for i in 0..3 {
            let column: Vec<f64> = (0..3).map(|k| inverse[k * 3 + i]).collect();
            for (j, value) in product(&a, 3, &column).into_iter().enumerate() {
                assert!((value - f64::from(u8::from(i == j))).abs() < 1e-14);
            }
        }
        assert!(cholesky(&[1.0, 2.0, 2.0, 1.0], 2).is_none());
    }
}
