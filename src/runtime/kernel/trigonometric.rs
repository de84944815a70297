//! Sine, cosine, tangent, arctangent. The near functions are branch-free and hold for |x| < 1e5; beyond, the
//! platform's functions answer. Reductions and coefficients follow fdlibm (k_sin.c, k_cos.c, s_atan.c).

use super::elementary::{SHIFT, fma, polynomial};
use std::f64::consts::FRAC_2_PI;

/// Below this magnitude the near functions hold.
pub(super) const NEAR: f64 = 1e5;

const HALF_PI_1: f64 = 1.570_796_326_734_125_6;
const HALF_PI_2: f64 = 6.077_100_506_303_966e-11;
const HALF_PI_3: f64 = 2.022_266_248_795_950_6e-21;
const SIN: [f64; 6] = [
    -1.666_666_666_666_663_2e-1,
    8.333_333_333_322_49e-3,
    -1.984_126_982_985_795e-4,
    2.755_731_370_707_006_8e-6,
    -2.505_076_025_340_686_3e-8,
    1.589_690_995_211_55e-10,
];
const COS: [f64; 6] = [
    4.166_666_666_666_66e-2,
    -1.388_888_888_887_411e-3,
    2.480_158_728_947_673e-5,
    -2.755_731_435_139_066_3e-7,
    2.087_572_321_298_175e-9,
    -1.135_964_755_778_819_5e-11,
];

/// Quadrant (mod 4), sine and cosine of the remainder, for |x| < 1e5. The remainder is a sum of two numbers, so that
/// it keeps its relative accuracy near multiples of π/2.
#[inline(always)]
fn quarter<const F: bool>(x: f64) -> (u64, f64, f64) {
    let k = fma::<F>(x, FRAC_2_PI, SHIFT);
    let quadrant = k.to_bits() & 3;
    let n = k - SHIFT;
    let t = fma::<F>(n, -HALF_PI_1, x);
    let p2 = n * HALF_PI_2;
    let r = t - p2;
    let w = fma::<F>(n, HALF_PI_3, -((t - r) - p2));
    let y = r - w;
    let low = (r - y) - w;
    let z = y * y;
    let v = z * y;
    let tail: [f64; 5] = [SIN[1], SIN[2], SIN[3], SIN[4], SIN[5]];
    let s = polynomial::<F, 5>(z, &tail);
    let sin = y - ((z * (0.5 * low - v * s) - low) - v * SIN[0]);
    let c = polynomial::<F, 6>(z, &COS);
    let half = 0.5 * z;
    let one = 1.0 - half;
    let cos = one + (((1.0 - one) - half) + (z * (z * c) - y * low));
    (quadrant, sin, cos)
}

#[inline(always)]
fn negate_if(x: f64, condition: bool) -> f64 {
    if condition { -x } else { x }
}

#[inline(always)]
pub(super) fn sin_near<const F: bool>(x: f64) -> f64 {
    let (q, s, c) = quarter::<F>(x);
    let value = negate_if(if q & 1 == 0 { s } else { c }, q & 2 != 0);
    if x == 0.0 { x } else { value }
}

#[inline(always)]
pub(super) fn cos_near<const F: bool>(x: f64) -> f64 {
    let (q, s, c) = quarter::<F>(x);
    negate_if(if q & 1 == 0 { c } else { s }, (q + 1) & 2 != 0)
}

#[inline(always)]
pub(super) fn tan_near<const F: bool>(x: f64) -> f64 {
    let (q, s, c) = quarter::<F>(x);
    let odd = q & 1 != 0;
    let value = negate_if(if odd { c } else { s }, odd) / if odd { s } else { c };
    if x == 0.0 { x } else { value }
}

pub(super) fn sin_far(x: f64) -> f64 {
    x.sin()
}

pub(super) fn cos_far(x: f64) -> f64 {
    x.cos()
}

pub(super) fn tan_far(x: f64) -> f64 {
    x.tan()
}

const ATAN: [f64; 11] = [
    3.333_333_333_333_293e-1,
    -1.999_999_999_987_648_3e-1,
    1.428_571_427_250_346_6e-1,
    -1.111_111_040_546_235_6e-1,
    9.090_887_133_436_507e-2,
    -7.691_876_205_044_83e-2,
    6.661_073_137_387_531e-2,
    -5.833_570_133_790_573_5e-2,
    4.976_877_994_615_932e-2,
    -3.653_157_274_421_691_6e-2,
    1.628_582_011_536_578_2e-2,
];

#[inline(always)]
pub(super) fn atan<const F: bool>(x: f64) -> f64 {
    use std::f64::consts::{FRAC_PI_2, FRAC_PI_4};
    let a = x.abs();
    let (mut top, mut bottom, mut high, mut low) = (a, 1.0, 0.0, 0.0);
    if a >= 0.4375 {
        (top, bottom, high, low) = (2.0 * a - 1.0, 2.0 + a, 4.636_476_090_008_061e-1, 2.269_877_745_296_168_7e-17);
    }
    if a >= 0.6875 {
        (top, bottom, high, low) = (a - 1.0, a + 1.0, FRAC_PI_4, 3.061_616_997_868_383e-17);
    }
    if a >= 1.1875 {
        (top, bottom, high, low) = (a - 1.5, 1.0 + 1.5 * a, 9.827_937_232_473_29e-1, 1.390_331_103_123_099_8e-17);
    }
    if a >= 2.4375 {
        (top, bottom, high, low) = (-1.0, a, FRAC_PI_2, 6.123_233_995_736_766e-17);
    }
    let t = top / bottom;
    let z = t * t;
    let p = z * polynomial::<F, 11>(z, &ATAN);
    let value = high - ((t * p - low) - t);
    let value = value.copysign(x);
    if x == 0.0 || x.is_nan() { x } else { value }
}
