//! The logarithm of the gamma function and its first two derivatives. Polynomials interpolate at Chebyshev nodes (60
//! digits, mpmath), divided by the function's zeros so that relative accuracy holds there; asymptotic series as in
//! Abramowitz and Stegun 6.1.41, 6.3.18, 6.4.12.

use super::elementary::{log, polynomial};
use std::f64::consts::PI;

pub(super) const LOG_SQRT_2PI: f64 = 0.918_938_533_204_672_8;

/// `lgamma(1 + t) / t` on [-0.5, 0.5].
const LGAMMA_ONE: [f64; 28] = [
    -0.5772156649015329,
    0.8224670334241132,
    -0.4006856343865406,
    0.2705808084277935,
    -0.2073855510262953,
    0.16955717699509998,
    -0.14404989701106719,
    0.1255096697597847,
    -0.1113342530365414,
    0.10009944506030896,
    -0.09095442301348973,
    0.08335423437020126,
    -0.07692423568567124,
    0.07142491150665906,
    -0.06678275881746833,
    0.0626116167474043,
    -0.057737256640806416,
    0.054501409023364235,
    -0.059850048562680856,
    0.057003000096539545,
    -0.014509338086091672,
    0.01333577663873192,
    -0.14497971020532596,
    0.14011729595820724,
    0.1528715168258553,
    -0.14857260899606312,
    -0.22471180158915516,
    0.21762817640022097,
];
/// `lgamma(2 + t) / t` on [-0.5, 0.5].
const LGAMMA_TWO: [f64; 19] = [
    0.42278433509846713,
    0.32246703342411326,
    -0.0673523010531981,
    0.02058080842778038,
    -0.0073855510286719986,
    0.002890510331034267,
    -0.0011927539118428156,
    0.0005096695154115458,
    -0.00022315475400520507,
    9.945767355819498e-05,
    -4.49263133791557e-05,
    2.0505590755833454e-05,
    -9.438715099211532e-06,
    4.38470440459836e-06,
    -2.0439048107029907e-06,
    9.200527894968101e-07,
    -4.3252393445604814e-07,
    2.78740805211359e-07,
    -1.3219945666117874e-07,
];
/// Zero of the digamma function on x > 0, as a sum of two numbers.
const DIGAMMA_ROOT: (f64, f64) = (1.4616321449683622, 9.549995429965697e-17);
/// `digamma(x) / (x - root)` in `t = x - 1.5` on [-0.5, 0.5].
const DIGAMMA: [f64; 23] = [
    0.9510558760318328,
    -0.4236274212814606,
    0.24054248424078697,
    -0.14840492305388092,
    0.09498872445289039,
    -0.06192213327548831,
    0.040760833940846085,
    -0.026975796659787055,
    0.017907248317313294,
    -0.011908220105959716,
    0.007927021796868154,
    -0.005279937255532708,
    0.003518106563802472,
    -0.0023454947397380833,
    0.0015633696313653504,
    -0.0010364584817312839,
    0.0006909255761282986,
    -0.00048595039220036254,
    0.00032395945401345196,
    -0.00014480643368061614,
    9.653646261410062e-05,
    -0.0001782188548855923,
    0.00011881232908510335,
];

/// `log Γ(x) - ((x - 1/2) log x - x + log(2π)/2)`, for x >= 10.
#[inline(always)]
pub(super) fn stirling<const F: bool>(x: f64) -> f64 {
    const C: [f64; 8] = [
        1.0 / 12.0,
        -1.0 / 360.0,
        1.0 / 1260.0,
        -1.0 / 1680.0,
        1.0 / 1188.0,
        -691.0 / 360360.0,
        1.0 / 156.0,
        -3617.0 / 122400.0,
    ];
    let r = 1.0 / x;
    r * polynomial::<F, 8>(r * r, &C)
}

/// `sin(π x)`, exact in its reduction.
fn sin_pi(x: f64) -> f64 {
    let r = x % 2.0;
    let (r, sign) = if r < 0.0 { (-r, -1.0) } else { (r, 1.0) };
    let (r, sign) = if r >= 1.0 { (r - 1.0, -sign) } else { (r, sign) };
    let r = if r > 0.5 { 1.0 - r } else { r };
    sign * (PI * r).sin()
}

fn positive_lgamma<const F: bool>(x: f64) -> f64 {
    if x < 0.5 {
        let t = x;
        t * polynomial::<F, 28>(t, &LGAMMA_ONE) - log::<F>(x)
    } else if x < 1.5 {
        let t = x - 1.0;
        // The zero makes lgamma(1) a positive zero.
        t * polynomial::<F, 28>(t, &LGAMMA_ONE) + 0.0
    } else if x < 2.5 {
        let t = x - 2.0;
        t * polynomial::<F, 19>(t, &LGAMMA_TWO)
    } else if x < 10.0 {
        let (mut y, mut product) = (x, 1.0);
        while y >= 2.5 {
            y -= 1.0;
            product *= y;
        }
        let t = y - 2.0;
        log::<F>(product) + t * polynomial::<F, 19>(t, &LGAMMA_TWO)
    } else if x < 1e300 {
        (x - 0.5) * (log::<F>(x) - 1.0) + (LOG_SQRT_2PI - 0.5 + stirling::<F>(x))
    } else {
        x * (log::<F>(x) - 1.0)
    }
}

#[inline(always)]
pub(crate) fn lgamma<const F: bool>(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    if x > 0.0 {
        return if x == f64::INFINITY { x } else { positive_lgamma::<F>(x) };
    }
    if x == x.floor() {
        // A pole, or minus infinity.
        return f64::INFINITY;
    }
    log::<F>(PI / (x * sin_pi(x)).abs()) - positive_lgamma::<F>(-x)
}

#[inline(always)]
pub(crate) fn digamma<const F: bool>(x: f64) -> f64 {
    if x.is_nan() || x == f64::INFINITY {
        return x;
    }
    if x <= 0.0 {
        if x == x.floor() {
            return f64::NAN;
        }
        let r = x - x.round();
        return positive_digamma::<F>(1.0 - x) - PI / (PI * r).tan();
    }
    positive_digamma::<F>(x)
}

fn positive_digamma<const F: bool>(x: f64) -> f64 {
    if x >= 10.0 {
        const C: [f64; 8] = [
            -1.0 / 12.0,
            1.0 / 120.0,
            -1.0 / 252.0,
            1.0 / 240.0,
            -1.0 / 132.0,
            691.0 / 32760.0,
            -1.0 / 12.0,
            3617.0 / 8160.0,
        ];
        let r = 1.0 / x;
        let z = r * r;
        return log::<F>(x) + (z * polynomial::<F, 8>(z, &C) - 0.5 * r);
    }
    let (mut y, mut sum) = (x, 0.0);
    if y < 1.0 {
        sum -= 1.0 / y;
        y += 1.0;
    }
    while y >= 2.0 {
        y -= 1.0;
        sum += 1.0 / y;
    }
    let (high, low) = DIGAMMA_ROOT;
    sum + ((y - high) - low) * polynomial::<F, 23>(y - 1.5, &DIGAMMA)
}

#[inline(always)]
pub(crate) fn trigamma<const F: bool>(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    if x <= 0.0 {
        if x == x.floor() {
            return f64::INFINITY;
        }
        let s = sin_pi(x);
        return PI * PI / (s * s) - positive_trigamma::<F>(1.0 - x);
    }
    positive_trigamma::<F>(x)
}

fn positive_trigamma<const F: bool>(x: f64) -> f64 {
    const C: [f64; 9] = [
        1.0 / 6.0,
        -1.0 / 30.0,
        1.0 / 42.0,
        -1.0 / 30.0,
        5.0 / 66.0,
        -691.0 / 2730.0,
        7.0 / 6.0,
        -3617.0 / 510.0,
        43867.0 / 798.0,
    ];
    let (mut y, mut sum) = (x, 0.0);
    while y < 12.0 {
        sum += 1.0 / (y * y);
        y += 1.0;
    }
    let r = 1.0 / y;
    let z = r * r;
    sum + (r + 0.5 * z + r * z * polynomial::<F, 9>(z, &C))
}
