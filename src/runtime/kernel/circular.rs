//! The von Mises distribution on the circle: distribution function, its inverse, the path of the inverse in the
//! concentration, and the Bessel functions of its constant. Everything rests on two integrals over an upper tail, scaled
//! by the density at its end, so that tails and large concentrations keep their relative accuracy at a fixed cost.

use super::incomplete::newton;
use super::legendre::integrals;
use super::normal::normal_quantile;
use std::f64::consts::PI;

/// Beyond this the integrand is below the rounding of the whole.
const DEPTH: f64 = 42.0;

/// `∫ exp(κ (cos t - cos x)) dt` and `∫ (1 - cos t) exp(κ (cos t - cos x)) dt` over [x, π], for 0 <= x <= π.
fn tail(kappa: f64, x: f64) -> [f64; 2] {
    let s = (0.5 * x).sin();
    let far = s * s + 0.5 * DEPTH / kappa;
    let end = if far < 1.0 { 2.0 * far.sqrt().asin() } else { PI };
    integrals(x, end, |t| {
        let e = (-2.0 * kappa * (0.5 * (t + x)).sin() * (0.5 * (t - x)).sin()).exp();
        let half = (0.5 * t).sin();
        [e, 2.0 * half * half * e]
    })
}

fn valid(kappa: f64) -> bool {
    (0.0..f64::INFINITY).contains(&kappa)
}

/// Logarithm of the probability beyond x, for 0 <= x <= π, and the tail's first integral.
fn log_upper(kappa: f64, x: f64, whole: f64) -> (f64, f64) {
    let [r, _] = tail(kappa, x);
    let s = (0.5 * x).sin();
    (-2.0 * kappa * s * s + (r / (2.0 * whole)).ln(), r)
}

/// Distribution function on [-π, π] with mean direction 0; NaN unless `0 <= κ < inf`.
#[inline(always)]
pub(super) fn von_mises_cdf<const F: bool>(kappa: f64, x: f64) -> f64 {
    distribution(kappa, x)
}

fn distribution(kappa: f64, x: f64) -> f64 {
    if !valid(kappa) || x.is_nan() {
        return f64::NAN;
    }
    if x.abs() >= PI {
        return if x > 0.0 { 1.0 } else { 0.0 };
    }
    let [whole, _] = tail(kappa, 0.0);
    let upper = log_upper(kappa, x.abs(), whole).0.exp();
    if x > 0.0 { 1.0 - upper } else { upper }
}

/// Its inverse: -π at 0, π at 1, NaN outside.
#[inline(always)]
pub(super) fn von_mises_quantile<const F: bool>(kappa: f64, u: f64) -> f64 {
    quantile::<F>(kappa, u)
}

fn quantile<const F: bool>(kappa: f64, u: f64) -> f64 {
    if !valid(kappa) || !(0.0..=1.0).contains(&u) {
        return f64::NAN;
    }
    let (p, sign) = if u < 0.5 { (u, -1.0) } else { (1.0 - u, 1.0) };
    if p == 0.0 || p == 0.5 {
        return if p == 0.0 { sign * PI } else { 0.0 };
    }
    let [whole, _] = tail(kappa, 0.0);
    let start = (-normal_quantile::<F>(p) / kappa.sqrt()).min(PI * (1.0 - 2.0 * p));
    let log_p = p.ln();
    sign * newton(start, (0.0, PI), |x| {
        let (log_tail, r) = log_upper(kappa, x, whole);
        (log_p - log_tail, 1.0 / r)
    })
}

/// Derivative in the concentration of a variate that keeps its place in the distribution.
#[inline(always)]
pub(super) fn von_mises_dk<const F: bool>(kappa: f64, x: f64) -> f64 {
    quantile_slope(kappa, x)
}

fn quantile_slope(kappa: f64, x: f64) -> f64 {
    if !valid(kappa) || x.is_nan() {
        return f64::NAN;
    }
    if x.abs() >= PI {
        return 0.0;
    }
    let ([whole, versine], [r, v]) = (tail(kappa, 0.0), tail(kappa, x.abs()));
    // ∫ (cos t - E cos) exp(κ (cos t - cos x)) dt over the tail.
    let slope = versine / whole * r - v;
    if x < 0.0 { -slope } else { slope }
}

/// `log I0(κ)`.
#[inline(always)]
pub(super) fn log_bessel_i0<const F: bool>(kappa: f64) -> f64 {
    log_i0(kappa.abs())
}

fn log_i0(kappa: f64) -> f64 {
    if kappa < 2.0 {
        return series(kappa, 0.0).ln_1p();
    }
    if !kappa.is_finite() {
        return kappa;
    }
    kappa + (tail(kappa, 0.0)[0] / PI).ln()
}

/// `I1(κ) / I0(κ)`, the mean of the cosine.
#[inline(always)]
pub(super) fn bessel_ratio<const F: bool>(kappa: f64) -> f64 {
    if kappa < 0.0 { -ratio(-kappa) } else { ratio(kappa) }
}

fn ratio(kappa: f64) -> f64 {
    if kappa < 2.0 {
        return 0.5 * kappa * (1.0 + series(kappa, 1.0)) / (1.0 + series(kappa, 0.0));
    }
    if kappa == f64::INFINITY {
        return 1.0;
    }
    let [whole, versine] = tail(kappa, 0.0);
    1.0 - versine / whole
}

/// `Σ_{k>0} (κ/2)^2k / (k! (k+ν)!)`, for ν = 0, 1.
fn series(kappa: f64, order: f64) -> f64 {
    let q = 0.25 * kappa * kappa;
    let (mut term, mut sum) = (1.0, 0.0);
    for k in 1..24 {
        let k = f64::from(k);
        term *= q / (k * (k + order));
        sum += term;
    }
    sum
}
