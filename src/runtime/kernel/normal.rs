//! The standard normal distribution function, its logarithm and its inverse. Relative error below 1e-14 but for the
//! conditioning of `exp(-x^2 / 2)`, which is evaluated with the rounding of the square made good, so that far tails
//! keep their relative accuracy.

use super::elementary::{exp, fma, log, log1p, polynomial};

const INV_SQRT_2PI: f64 = 0.398_942_280_401_432_7;
const LOG_SQRT_2PI: f64 = 0.918_938_533_204_672_8;

/// `(1 + x) R(x)` in `t = (x - 5) / (x + 5)`, where `R(x) = Φ(-x) / φ(x)`, x >= 0.
const MILLS: [f64; 25] = [
    1.1568486282918946,
    -0.22948753825211318,
    0.07778159886873558,
    0.02507217930163978,
    -0.06617760077899582,
    0.061505045840161206,
    -0.03802659218771832,
    0.016348231281331425,
    -0.004201290311078416,
    1.9530636365484052e-05,
    0.0004570438205116078,
    -0.0001343742704194541,
    -2.480546663097941e-05,
    2.270959149359291e-05,
    -1.7721527238693433e-07,
    -3.2772513658038686e-06,
    3.2194150125726876e-07,
    4.919558007942762e-07,
    -6.735246707235891e-08,
    -7.755689282319666e-08,
    1.006273629203449e-08,
    1.1020770424653135e-08,
    -1.0770966817867951e-09,
    -9.545215884456858e-10,
    6.163047198655167e-11,
];

/// Mills' ratio `Φ(-x) / φ(x)` for x >= 0.
#[inline(always)]
fn mills<const F: bool>(x: f64) -> f64 {
    let c = if x < 1e30 { x } else { 1e30 };
    polynomial::<F, 25>((c - 5.0) / (c + 5.0), &MILLS) / (1.0 + c)
}

/// `exp(-x^2 / 2)` with the square's rounding made good (Veltkamp's splitting, so without fused operations too).
#[inline(always)]
fn gaussian<const F: bool>(x: f64) -> f64 {
    let c = if x < 40.0 { x } else { 40.0 };
    let split = c * 134217729.0;
    let high = split - (split - c);
    let low = c - high;
    let square = c * c;
    let lost = ((high * high - square) + 2.0 * high * low) + low * low;
    exp::<F>(-0.5 * square) * (1.0 - 0.5 * lost)
}

/// `Φ(-x)` for x >= 0.
#[inline(always)]
fn upper<const F: bool>(x: f64) -> f64 {
    gaussian::<F>(x) * INV_SQRT_2PI * mills::<F>(x)
}

#[inline(always)]
pub(crate) fn normal_cdf<const F: bool>(x: f64) -> f64 {
    let tail = upper::<F>(x.abs());
    let value = if x > 0.0 { 1.0 - tail } else { tail };
    if x.is_nan() { x } else { value }
}

#[inline(always)]
pub(crate) fn log_normal_cdf<const F: bool>(x: f64) -> f64 {
    let a = x.abs();
    let right = log1p::<F>(-upper::<F>(a));
    let left = fma::<F>(-0.5 * a, a, log::<F>(mills::<F>(a)) - LOG_SQRT_2PI);
    let value = if x > 0.0 { right } else { left };
    if x.is_nan() { x } else { value }
}

/// Numerators and denominators of Wichura's algorithm AS 241 (PPND16): centre, near tail, far tail.
const CENTRE: ([f64; 8], [f64; 8]) = (
    [
        3.387_132_872_796_366_5,
        1.331_416_678_917_843_8e2,
        1.971_590_950_306_551_3e3,
        1.373_169_376_550_946e4,
        4.592_195_393_154_987e4,
        6.726_577_092_700_87e4,
        3.343_057_558_358_813e4,
        2.509_080_928_730_122_7e3,
    ],
    [
        1.0,
        4.231_333_070_160_091e1,
        6.871_870_074_920_579e2,
        5.394_196_021_424_751e3,
        2.121_379_430_158_659_7e4,
        3.930_789_580_009_271e4,
        2.872_908_573_572_194_3e4,
        5.226_495_278_852_854e3,
    ],
);
const NEAR_TAIL: ([f64; 8], [f64; 8]) = (
    [
        1.423_437_110_749_683_5,
        4.630_337_846_156_546,
        5.769_497_221_460_691,
        3.647_848_324_763_204_5,
        1.270_458_252_452_368_4,
        2.417_807_251_774_506e-1,
        2.272_384_498_926_918_4e-2,
        7.745_450_142_783_414e-4,
    ],
    [
        1.0,
        2.053_191_626_637_759,
        1.676_384_830_183_803_8,
        6.897_673_349_851e-1,
        1.481_039_764_274_800_8e-1,
        1.519_866_656_361_645_7e-2,
        5.475_938_084_995_345e-4,
        1.050_750_071_644_416_9e-9,
    ],
);
const FAR_TAIL: ([f64; 8], [f64; 8]) = (
    [
        6.657_904_643_501_103,
        5.463_784_911_164_114,
        1.784_826_539_917_291_3,
        2.965_605_718_285_048_7e-1,
        2.653_218_952_657_612_4e-2,
        1.242_660_947_388_078_4e-3,
        2.711_555_568_743_487_6e-5,
        2.010_334_399_292_288_1e-7,
    ],
    [
        1.0,
        5.998_322_065_558_879e-1,
        1.369_298_809_227_358e-1,
        1.487_536_129_085_061_5e-2,
        7.868_691_311_456_133e-4,
        1.846_318_317_510_054_8e-5,
        1.421_511_758_316_446e-7,
        2.044_263_103_389_939_8e-15,
    ],
);

#[inline(always)]
fn ratio<const F: bool>(r: f64, table: &([f64; 8], [f64; 8])) -> f64 {
    polynomial::<F, 8>(r, &table.0) / polynomial::<F, 8>(r, &table.1)
}

#[inline(always)]
pub(crate) fn normal_quantile<const F: bool>(p: f64) -> f64 {
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        return q * ratio::<F>(0.180_625 - q * q, &CENTRE);
    }
    if !(p > 0.0 && p < 1.0) {
        return match p {
            0.0 => f64::NEG_INFINITY,
            1.0 => f64::INFINITY,
            _ => f64::NAN,
        };
    }
    let tail = if q < 0.0 { p } else { 1.0 - p };
    let r = (-log::<F>(tail)).sqrt();
    let value = if r <= 5.0 { ratio::<F>(r - 1.6, &NEAR_TAIL) } else { ratio::<F>(r - 5.0, &FAR_TAIL) };
    if q < 0.0 { -value } else { value }
}
