//! Exponentials, logarithms and what is made of them. Branch-free element functions; `F` says whether fused
//! multiply-add is used. Errors are below 2 units in the last place.
//!
//! Reductions and the coefficients of `log` follow fdlibm (Sun Microsystems, e_log.c, s_log1p.c); the polynomial of
//! `exp` interpolates at Chebyshev nodes (60 digits, mpmath).

use std::f64::consts::LOG2_E;

/// Adding 1.5·2^52 rounds to an integer that then stands in the low bits.
pub(super) const SHIFT: f64 = 6755399441055744.0;
const LN2_HIGH: f64 = 6.931_471_803_691_238e-1;
const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// `a * b + c`, with one rounding if `F`.
#[inline(always)]
pub(crate) fn fma<const F: bool>(a: f64, b: f64, c: f64) -> f64 {
    if F { a.mul_add(b, c) } else { a * b + c }
}

/// `c[0] + c[1] x + …`, Horner's scheme.
#[inline(always)]
pub(crate) fn polynomial<const F: bool, const N: usize>(x: f64, c: &[f64; N]) -> f64 {
    let mut p = c[N - 1];
    let mut i = N - 1;
    while i > 0 {
        i -= 1;
        p = fma::<F>(p, x, c[i]);
    }
    p
}

/// `(exp(r) - 1 - r) / r^2` on |r| <= log(2)/2.
const EXP: [f64; 10] = [
    0.5000000000000001,
    0.16666666666666669,
    0.04166666666662413,
    0.008333333333330062,
    0.0013888888917213717,
    0.00019841269863053618,
    2.4801521295954376e-05,
    2.7557268459997064e-06,
    2.7620088445409746e-07,
    2.510038549551032e-08,
];

/// `(n, expm1(r))` with `x = n log 2 + r`, for -746 <= x <= 710.
#[inline(always)]
fn reduce<const F: bool>(x: f64) -> (i64, f64) {
    let k = fma::<F>(x, LOG2_E, SHIFT);
    let n = ((k.to_bits() as i64) << 32) >> 32;
    let kf = k - SHIFT;
    let r = fma::<F>(kf, -LN2_HIGH, x);
    let low = kf * LN2_LOW;
    let s = r - low;
    let error = (r - s) - low;
    let q = polynomial::<F, 10>(s, &EXP);
    (n, s + fma::<F>(s * s, q, error))
}

/// `2^n` for -1022 <= n <= 1023.
#[inline(always)]
fn power_of_two(n: i64) -> f64 {
    f64::from_bits(((n + 1023) as u64) << 52)
}

#[inline(always)]
pub(crate) fn exp<const F: bool>(x: f64) -> f64 {
    let c = if x > 710.0 { 710.0 } else { x };
    let c = if c < -746.0 { -746.0 } else { c };
    let (n, p) = reduce::<F>(c);
    let half = n >> 1;
    (1.0 + p) * power_of_two(half) * power_of_two(n - half)
}

#[inline(always)]
pub(crate) fn expm1<const F: bool>(x: f64) -> f64 {
    let c = if x > 710.0 { 710.0 } else { x };
    let c = if c < -60.0 { -60.0 } else { c };
    let (n, p) = reduce::<F>(c);
    let s = power_of_two(n - 1);
    let value = 2.0 * fma::<F>(s, p, s - 0.5);
    if x == 0.0 { x } else { value }
}

/// Coefficients of `log(1 + f) = 2s + 2s^3/3 + …`, `s = f / (2 + f)`.
const LOG: [f64; 7] = [
    6.666_666_666_666_735e-1,
    3.999_999_999_940_942e-1,
    2.857_142_874_366_239e-1,
    2.222_219_843_214_978_4e-1,
    1.818_357_216_161_805e-1,
    1.531_383_769_920_937_3e-1,
    1.479_819_860_511_658_6e-1,
];
const SQRT_HALF_BITS: u64 = 0x3fe6_a09e_667f_3bcd;

/// `(k, m)` with `x = 2^k m`, `sqrt(1/2) <= m < sqrt(2)`, for positive normal x; `k` in two's complement.
#[inline(always)]
fn decompose(x: f64) -> (u64, f64) {
    let t = x.to_bits().wrapping_add(0x3ff0_0000_0000_0000 - SQRT_HALF_BITS);
    let k = (t >> 52).wrapping_sub(1023);
    (k, f64::from_bits((t & 0x000f_ffff_ffff_ffff).wrapping_add(SQRT_HALF_BITS)))
}

/// A small integer in two's complement as a real.
#[inline(always)]
fn to_real(k: u64) -> f64 {
    f64::from_bits(SHIFT.to_bits().wrapping_add(k)) - SHIFT
}

/// `k log 2 + log(1 + f) + c` for small `c`, with `s = f / (2 + f)`.
#[inline(always)]
fn log_series<const F: bool>(k: f64, f: f64, s: f64, c: f64) -> f64 {
    let z = s * s;
    let r = z * polynomial::<F, 7>(z, &LOG);
    let half = 0.5 * f * f;
    let low = fma::<F>(s, half + r, fma::<F>(k, LN2_LOW, c));
    fma::<F>(k, LN2_HIGH, f - (half - low))
}

#[inline(always)]
pub(crate) fn log<const F: bool>(x: f64) -> f64 {
    let tiny = x < f64::MIN_POSITIVE;
    let scaled = if tiny { x * 18014398509481984.0 } else { x };
    let (k, m) = decompose(scaled);
    let k = if tiny { to_real(k) - 54.0 } else { to_real(k) };
    let f = m - 1.0;
    let value = log_series::<F>(k, f, f / (2.0 + f), 0.0);
    let value = if x == 0.0 { f64::NEG_INFINITY } else { value };
    let value = if x < 0.0 { f64::NAN } else { value };
    if x < f64::INFINITY { value } else { x }
}

/// `log(1 + x)` for -1 < x < inf.
#[inline(always)]
fn log1p_inside<const F: bool>(x: f64) -> f64 {
    let u = 1.0 + x;
    let (k, m) = decompose(u);
    let f = m - 1.0;
    // What the sum above has lost, relative to u. Above 2^60 it does not matter; its scale stays in range.
    let lost = if x > 1.0 { 1.0 - (u - x) } else { x - (u - 1.0) };
    let bounded = if x > 1152921504606846976.0 { 60 } else { k };
    let scale = f64::from_bits(1023u64.wrapping_sub(bounded) << 52);
    let d = 2.0 + f;
    let inverse = 1.0 / (d * m);
    log_series::<F>(to_real(k), f, f * (m * inverse), lost * scale * (d * inverse))
}

#[inline(always)]
pub(crate) fn log1p<const F: bool>(x: f64) -> f64 {
    let value = log1p_inside::<F>(x);
    let value = if x == 0.0 { x } else { value };
    let value = if x == -1.0 { f64::NEG_INFINITY } else { value };
    let value = if x < -1.0 { f64::NAN } else { value };
    if x < f64::INFINITY { value } else { x }
}

/// `exp(-|x|)`.
#[inline(always)]
pub(crate) fn neg_abs_exp<const F: bool>(x: f64) -> f64 {
    exp::<F>(-x.abs())
}

#[inline(always)]
pub(crate) fn sigmoid<const F: bool>(x: f64) -> f64 {
    let e = neg_abs_exp::<F>(x);
    let top = if x < 0.0 { e } else { 1.0 };
    top / (1.0 + e)
}

#[inline(always)]
pub(crate) fn softplus<const F: bool>(x: f64) -> f64 {
    let positive = if x <= 0.0 { 0.0 } else { x };
    positive + log1p_inside::<F>(neg_abs_exp::<F>(x))
}

#[inline(always)]
pub(crate) fn tanh<const F: bool>(x: f64) -> f64 {
    let t = expm1::<F>(-2.0 * x.abs());
    let value = (-t / (2.0 + t)).copysign(x);
    if x == 0.0 { x } else { value }
}
