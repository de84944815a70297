//! Factors and solutions by multiplying back.

use super::*;

fn value(i: usize) -> f64 {
    (i * 7919 % 10007) as f64 / 10007.0 - 0.5
}

fn positive(n: usize) -> Vec<f64> {
    let b: Vec<f64> = (0..n * n).map(value).collect();
    let mut a = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..n {
            a[i * n + j] = (0..n).map(|k| b[i * n + k] * b[j * n + k]).sum::<f64>() + if i == j { 0.5 } else { 0.0 };
        }
    }
    a
}

#[test]
fn factors_multiply_back() {
    for n in [0, 1, 2, 3, 8, 17, 60] {
        let a = positive(n);
        let mut noisy = a.clone();
        // The upper triangle is not read.
        for i in 0..n {
            noisy[i * n + i + 1..(i + 1) * n].fill(f64::NAN);
        }
        let mut l = vec![f64::NAN; n * n];
        assert!(cholesky(&noisy, n, &mut l));
        for i in 0..n {
            for j in 0..n {
                assert!(j <= i || l[i * n + j] == 0.0);
                let back: f64 = (0..n).map(|k| l[i * n + k] * l[j * n + k]).sum();
                assert!((back - a[i * n + j]).abs() < 1e-13 * (n as f64 + 1.0), "{n} {i} {j}");
            }
        }
    }
}

#[test]
fn a_bad_pivot_is_told() {
    let mut l = [0.0; 4];
    assert!(!cholesky(&[1.0, 2.0, 2.0, 1.0], 2, &mut l));
    assert!(l[0] == 1.0 && l[2] == 2.0 && l[3].is_nan());
    assert!(!cholesky(&[0.0], 1, &mut l[..1]));
    assert!(!cholesky(&[f64::NAN], 1, &mut l[..1]));
}

#[test]
fn solutions_multiply_back() {
    for n in [1, 2, 5, 20, 90] {
        for m in [1, 3] {
            let mut l = vec![0.0; n * n];
            assert!(cholesky(&positive(n), n, &mut l));
            let mut dirty = l.clone();
            for i in 0..n {
                dirty[i * n + i + 1..(i + 1) * n].fill(f64::NAN);
            }
            let b: Vec<f64> = (0..n * m).map(|i| value(i + 3)).collect();
            for transposed in [false, true] {
                let mut x = b.clone();
                solve_lower(&dirty, n, m, transposed, &mut x);
                for i in 0..n {
                    for c in 0..m {
                        let entry = |i: usize, k: usize| if transposed { l[k * n + i] } else { l[i * n + k] };
                        let back: f64 = (0..n).map(|k| entry(i, k) * x[k * m + c]).sum();
                        assert!((back - b[i * m + c]).abs() < 1e-12);
                    }
                }
            }
        }
    }
}
