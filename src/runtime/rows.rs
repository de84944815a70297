//! Products with a tall matrix `X[rows, d]`, row-major, read once by strips of rows.
//!
//! Order of the sums (part of the meaning of the `Rows` kind of contraction):
//! * [`rows_dot`], d >= 8: element `j` of a row goes to lane `j mod 8` by fused multiply-add, lanes start at 0.0 and
//!   combine as ((0+4)+(2+6))+((1+5)+(3+7)); d < 8: one accumulator from 0.0, `j` in order;
//! * [`rows_axpy`]: `acc[j]` takes rows in order, one fused multiply-add each.
//!
//! With AVX-512 and d >= 8 hand-written code gives the same bits.
//!
//! Without fused multiply-add in the process, a product is rounded before it is added.

use super::kernel::elementary::fma;
use super::level::{Level, level, leveled};

#[cfg(target_arch = "x86_64")]
mod wide;

const LANES: usize = 8;

#[inline(always)]
fn combine(l: [f64; LANES]) -> f64 {
    ((l[0] + l[4]) + (l[2] + l[6])) + ((l[1] + l[5]) + (l[3] + l[7]))
}

#[inline(always)]
fn dot_row<const F: bool>(row: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0; LANES];
    let (row_blocks, row_tail) = row.as_chunks::<LANES>();
    let (b_blocks, b_tail) = b.as_chunks::<LANES>();
    for (x, w) in row_blocks.iter().zip(b_blocks) {
        for l in 0..LANES {
            lanes[l] = fma::<F>(x[l], w[l], lanes[l]);
        }
    }
    for (l, (&x, &w)) in row_tail.iter().zip(b_tail).enumerate() {
        lanes[l] = fma::<F>(x, w, lanes[l]);
    }
    combine(lanes)
}

/// `out[i] = Σ_j x[i, j] b[j]`: `x` is `[out.len(), b.len()]`.
pub fn rows_dot(x: &[f64], b: &[f64], out: &mut [f64]) {
    assert!(x.len() >= out.len() * b.len());
    #[cfg(target_arch = "x86_64")]
    if level() == Level::Avx512 && b.len() >= LANES {
        // SAFETY: the processor has AVX-512; the matrix has the extents asserted.
        unsafe { wide::dot(x, b, out) };
        return;
    }
    narrow_dot(x, b, out);
}

/// `acc[j] += Σ_i x[i, j] r[i]`: `x` is `[r.len(), acc.len()]`.
pub fn rows_axpy(x: &[f64], r: &[f64], acc: &mut [f64]) {
    assert!(x.len() >= r.len() * acc.len());
    #[cfg(target_arch = "x86_64")]
    if level() == Level::Avx512 && acc.len() >= LANES {
        // SAFETY: the processor has AVX-512; the matrix has the extents asserted.
        unsafe { wide::axpy(x, r, acc) };
        return;
    }
    narrow_axpy(x, r, acc);
}

leveled! {
    fn narrow_dot(x: &[f64], b: &[f64], out: &mut [f64]) {
        let d = b.len();
        if d == 0 {
            out.fill(0.0);
            return;
        }
        if d < LANES {
            for (row, o) in x.chunks_exact(d).zip(out) {
                let mut sum = 0.0;
                for (&x, &w) in row.iter().zip(b) {
                    sum = fma::<FUSED>(x, w, sum);
                }
                *o = sum;
            }
            return;
        }
        for (row, o) in x.chunks_exact(d).zip(out) {
            *o = dot_row::<FUSED>(row, b);
        }
    }
}

leveled! {
    fn narrow_axpy(x: &[f64], r: &[f64], acc: &mut [f64]) {
        let d = acc.len();
        if d == 0 {
            return;
        }
        for (row, &r) in x.chunks_exact(d).zip(r) {
            for (a, &x) in acc.iter_mut().zip(row) {
                *a = fma::<FUSED>(x, r, *a);
            }
        }
    }
}

/// The functions for machine code.
pub mod entry {
    /// (x, b, out, rows, d).
    pub type Dot = unsafe extern "C" fn(*const f64, *const f64, *mut f64, usize, usize);
    /// (x, r, acc, rows, d).
    pub type Axpy = unsafe extern "C" fn(*const f64, *const f64, *mut f64, usize, usize);

    /// # Safety
    /// `x` has `rows * d` elements, `b` has `d`, `out` has `rows` and overlaps neither.
    pub unsafe extern "C" fn rows_dot(x: *const f64, b: *const f64, out: *mut f64, rows: usize, d: usize) {
        use std::slice::{from_raw_parts, from_raw_parts_mut};
        // SAFETY: given.
        unsafe { super::rows_dot(from_raw_parts(x, rows * d), from_raw_parts(b, d), from_raw_parts_mut(out, rows)) }
    }

    /// # Safety
    /// `x` has `rows * d` elements, `r` has `rows`, `acc` has `d` and overlaps neither.
    pub unsafe extern "C" fn rows_axpy(x: *const f64, r: *const f64, acc: *mut f64, rows: usize, d: usize) {
        use std::slice::{from_raw_parts, from_raw_parts_mut};
        // SAFETY: given.
        unsafe { super::rows_axpy(from_raw_parts(x, rows * d), from_raw_parts(r, rows), from_raw_parts_mut(acc, d)) }
    }
}

#[cfg(test)]
mod tests;
