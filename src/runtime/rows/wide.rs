//! The row kernels in AVX-512, for d >= 8: the same order of sums, registers for accumulators, masks for the rest.

use super::LANES;
use std::arch::x86_64::{
    __m256d, __m512d, __mmask8, _MM_HINT_T0, _mm_add_pd, _mm_add_sd, _mm_cvtsd_f64, _mm_prefetch, _mm_unpackhi_pd,
    _mm256_add_pd, _mm256_castpd256_pd128, _mm256_extractf128_pd, _mm512_castpd512_pd256, _mm512_extractf64x4_pd,
    _mm512_fmadd_pd, _mm512_loadu_pd, _mm512_mask_storeu_pd, _mm512_mask3_fmadd_pd, _mm512_maskz_loadu_pd,
    _mm512_set1_pd, _mm512_setzero_pd, _mm512_storeu_pd,
};

#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma")]
fn combine(v: __m512d) -> f64 {
    let four: __m256d = _mm256_add_pd(_mm512_castpd512_pd256(v), _mm512_extractf64x4_pd::<1>(v));
    let two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd::<1>(four));
    _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)))
}

/// Dot products of `R` rows with `b`.
///
/// # Safety
/// `x` has `R * d` elements.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma")]
unsafe fn dot_rows<const R: usize>(x: *const f64, b: &[f64], out: *mut f64) {
    let d = b.len();
    let blocks = d / LANES;
    let mask: __mmask8 = (1u8 << (d % LANES)) - 1;
    let mut acc = [_mm512_setzero_pd(); R];
    // SAFETY: loads stay within the rows and b; masked elements are not touched.
    unsafe {
        for j in 0..blocks {
            let w = _mm512_loadu_pd(b.as_ptr().add(j * LANES));
            for (r, a) in acc.iter_mut().enumerate() {
                *a = _mm512_fmadd_pd(_mm512_loadu_pd(x.add(r * d + j * LANES)), w, *a);
            }
        }
        if mask != 0 {
            let w = _mm512_maskz_loadu_pd(mask, b.as_ptr().add(blocks * LANES));
            for (r, a) in acc.iter_mut().enumerate() {
                let v = _mm512_maskz_loadu_pd(mask, x.add(r * d + blocks * LANES));
                *a = _mm512_mask3_fmadd_pd(v, w, *a, mask);
            }
        }
        for (r, a) in acc.iter().enumerate() {
            *out.add(r) = combine(*a);
        }
    }
}

/// # Safety
/// `x` is `[out.len(), b.len()]`.
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma")]
pub(super) unsafe fn dot(x: &[f64], b: &[f64], out: &mut [f64]) {
    const R: usize = 4;
    let (d, rows) = (b.len(), out.len());
    let mut i = 0;
    // SAFETY: rows i.. of the matrix and of the output.
    unsafe {
        while i + R <= rows {
            dot_rows::<R>(x.as_ptr().add(i * d), b, out.as_mut_ptr().add(i));
            i += R;
        }
        while i < rows {
            dot_rows::<1>(x.as_ptr().add(i * d), b, out.as_mut_ptr().add(i));
            i += 1;
        }
    }
}

/// Bytes of a strip that may wait in the nearest cache beside the one at work.
const NEAR: usize = 16 << 10;

/// Adds to `K` blocks of 8 columns, the last one masked. Whoever streams a matrix reads the rows behind these next: they
/// are fetched while arithmetic is done.
///
/// # Safety
/// `x` is the first column of the blocks in a matrix with rows of `d` elements, as many as `r` has.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma")]
unsafe fn axpy_blocks<const K: usize>(x: *const f64, d: usize, r: &[f64], acc: *mut f64, mask: __mmask8) {
    // SAFETY: loads and stores stay within the columns; masked elements are not touched.
    unsafe {
        let mut sums = [_mm512_setzero_pd(); K];
        for (k, s) in sums.iter_mut().enumerate() {
            let m = if k + 1 == K { mask } else { 0xFF };
            *s = _mm512_maskz_loadu_pd(m, acc.add(k * LANES));
        }
        let ahead = r.len() * d;
        let near = ahead * size_of::<f64>() <= NEAR;
        for (i, &factor) in r.iter().enumerate() {
            let f = _mm512_set1_pd(factor);
            let row = x.add(i * d);
            if near {
                for k in 0..K {
                    // A hint: an address behind the matrix is not read.
                    _mm_prefetch::<_MM_HINT_T0>(row.wrapping_add(ahead + k * LANES).cast());
                }
            }
            for (k, s) in sums.iter_mut().enumerate() {
                let v = if k + 1 == K {
                    _mm512_maskz_loadu_pd(mask, row.add(k * LANES))
                } else {
                    _mm512_loadu_pd(row.add(k * LANES))
                };
                *s = _mm512_fmadd_pd(v, f, *s);
            }
        }
        for (k, s) in sums.iter().enumerate() {
            if k + 1 == K {
                _mm512_mask_storeu_pd(acc.add(k * LANES), mask, *s);
            } else {
                _mm512_storeu_pd(acc.add(k * LANES), *s);
            }
        }
    }
}

/// # Safety
/// `x` is `[r.len(), acc.len()]`.
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma")]
pub(super) unsafe fn axpy(x: &[f64], r: &[f64], acc: &mut [f64]) {
    let d = acc.len();
    let mut column = 0;
    while column < d {
        let width = (d - column).min(8 * LANES);
        let mask: __mmask8 = if width.is_multiple_of(LANES) { 0xFF } else { (1u8 << (width % LANES)) - 1 };
        // SAFETY: `width` columns from `column` on.
        unsafe {
            let (x, acc) = (x.as_ptr().add(column), acc.as_mut_ptr().add(column));
            match width.div_ceil(LANES) {
                1 => axpy_blocks::<1>(x, d, r, acc, mask),
                2 => axpy_blocks::<2>(x, d, r, acc, mask),
                3 => axpy_blocks::<3>(x, d, r, acc, mask),
                4 => axpy_blocks::<4>(x, d, r, acc, mask),
                5 => axpy_blocks::<5>(x, d, r, acc, mask),
                6 => axpy_blocks::<6>(x, d, r, acc, mask),
                7 => axpy_blocks::<7>(x, d, r, acc, mask),
                _ => axpy_blocks::<8>(x, d, r, acc, mask),
            }
        }
        column += width;
    }
}
