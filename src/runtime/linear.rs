//! Dense linear algebra on row-major matrices: Cholesky and triangular solves. Sums run in index order, one
//! multiplication then one subtraction (no fused operation), so results do not depend on the processor.

/// Lower Cholesky factor of `a[n, n]`, of which the lower triangle is read; the upper triangle of `out` is 0. False
/// if a pivot is not positive: NaN from there on. In place allowed through [`cholesky_in_place`].
pub fn cholesky(a: &[f64], n: usize, out: &mut [f64]) -> bool {
    out[..n * n].copy_from_slice(&a[..n * n]);
    cholesky_in_place(out, n)
}

/// As [`cholesky`], over its operand.
pub fn cholesky_in_place(a: &mut [f64], n: usize) -> bool {
    let mut fine = true;
    for i in 0..n {
        let (above, row) = a.split_at_mut(i * n);
        for j in 0..i {
            let other = &above[j * n..j * n + n];
            let mut sum = row[j];
            for k in 0..j {
                sum -= row[k] * other[k];
            }
            row[j] = sum / other[j];
        }
        let mut pivot = row[i];
        for &l in &row[..i] {
            pivot -= l * l;
        }
        if pivot <= 0.0 || pivot.is_nan() {
            fine = false;
            pivot = f64::NAN;
        }
        row[i] = pivot.sqrt();
        row[i + 1..n].fill(0.0);
    }
    fine
}

/// Above this size columns of `L` no longer stay in the cache: `Lᵀ` is then solved row by row of `L`, each sum from its end.
const COLUMNS: usize = 64;

/// Solves `L x = b` (or `Lᵀ x = b`) in place: `l[n, n]` lower triangle, `x[n, m]` holds b.
pub fn solve_lower(l: &[f64], n: usize, m: usize, transposed: bool, x: &mut [f64]) {
    if transposed && n > COLUMNS {
        for i in (0..n).rev() {
            let (head, tail) = x.split_at_mut(i * m);
            let row = &mut tail[..m];
            let d = l[i * n + i];
            row.iter_mut().for_each(|v| *v /= d);
            for (k, &f) in l[i * n..i * n + i].iter().enumerate() {
                for (v, &w) in head[k * m..(k + 1) * m].iter_mut().zip(row.iter()) {
                    *v -= f * w;
                }
            }
        }
    } else if transposed {
        for i in (0..n).rev() {
            let (head, tail) = x.split_at_mut((i + 1) * m);
            let row = &mut head[i * m..];
            for k in i + 1..n {
                let f = l[k * n + i];
                for (v, &w) in row.iter_mut().zip(&tail[(k - i - 1) * m..(k - i) * m]) {
                    *v -= f * w;
                }
            }
            let d = l[i * n + i];
            row.iter_mut().for_each(|v| *v /= d);
        }
    } else {
        for i in 0..n {
            let (head, tail) = x.split_at_mut(i * m);
            let row = &mut tail[..m];
            for k in 0..i {
                let f = l[i * n + k];
                for (v, &w) in row.iter_mut().zip(&head[k * m..(k + 1) * m]) {
                    *v -= f * w;
                }
            }
            let d = l[i * n + i];
            row.iter_mut().for_each(|v| *v /= d);
        }
    }
}

/// The functions for machine code.
pub mod entry {
    /// (a, out, n) -> 1 if every pivot was positive, else 0; `out` may be `a`.
    pub type Cholesky = unsafe extern "C" fn(*const f64, *mut f64, usize) -> u32;
    /// (l, b, out, n, m, transposed); `out` may be `b`.
    pub type SolveLower = unsafe extern "C" fn(*const f64, *const f64, *mut f64, usize, usize, u32);

    /// # Safety
    /// `a` and `out` have `n * n` elements; they are equal or do not overlap.
    pub unsafe extern "C" fn cholesky(a: *const f64, out: *mut f64, n: usize) -> u32 {
        // SAFETY: given.
        unsafe {
            if !std::ptr::eq(a, out) {
                std::ptr::copy_nonoverlapping(a, out, n * n);
            }
            u32::from(super::cholesky_in_place(std::slice::from_raw_parts_mut(out, n * n), n))
        }
    }

    /// # Safety
    /// `l` has `n * n` elements, `b` and `out` have `n * m`; `b` and `out` are equal or do not overlap, `l` and
    /// `out` do not overlap.
    pub unsafe extern "C" fn solve_lower(
        l: *const f64,
        b: *const f64,
        out: *mut f64,
        n: usize,
        m: usize,
        transposed: u32,
    ) {
        // SAFETY: given.
        unsafe {
            if !std::ptr::eq(b, out) {
                std::ptr::copy_nonoverlapping(b, out, n * m);
            }
            let l = std::slice::from_raw_parts(l, n * n);
            super::solve_lower(l, n, m, transposed != 0, std::slice::from_raw_parts_mut(out, n * m));
        }
    }
}

#[cfg(test)]
mod tests;
