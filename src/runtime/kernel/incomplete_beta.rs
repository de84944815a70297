//! The regularised incomplete beta function, its derivative in the first parameter and its inverse. Prefactors by
//! Loader's saddle-point form, so that large parameters do not cost accuracy; continued fractions (modified Lentz) as in
//! Numerical Recipes 6.4, with tangents carried along for the derivative.

use super::elementary::{exp, log, log1p, sigmoid};
use super::gamma::{LOG_SQRT_2PI, digamma, lgamma, stirling, trigamma};
use super::incomplete::{EPSILON, TINY, deviance, iterations, newton, stirling_error, tails};
use super::normal::normal_quantile;

/// Regularised incomplete beta function `I_x(a, b)`; NaN outside a, b > 0, 0 <= x <= 1.
#[inline(always)]
pub(super) fn beta_inc<const F: bool>(a: f64, b: f64, x: f64) -> f64 {
    incomplete_beta::<F>(a, b, x)
}

fn incomplete_beta<const F: bool>(a: f64, b: f64, x: f64) -> f64 {
    if !(a > 0.0 && b > 0.0 && (0.0..=1.0).contains(&x)) || a == f64::INFINITY || b == f64::INFINITY {
        return f64::NAN;
    }
    if x == 0.0 || x == 1.0 {
        return x;
    }
    both_tails::<F>(a, b, x, 1.0 - x).0
}

/// `x^a y^b / B(a, b)` with y = 1 - x.
fn front<const F: bool>(a: f64, b: f64, x: f64, y: f64) -> f64 {
    let n = a + b;
    if x < 1e-3 || y < 1e-3 || n < 1.0 {
        let log_beta = log_beta::<F>(a, b);
        let log_y = if y < 0.5 { log::<F>(y) } else { log1p::<F>(-x) };
        exp::<F>(a * log::<F>(x) + b * log_y - log_beta)
    } else {
        let exponent = stirling_error::<F>(n)
            - stirling_error::<F>(a)
            - stirling_error::<F>(b)
            - deviance::<F>(a, n * x)
            - deviance::<F>(b, n * y);
        exp::<F>(exponent - LOG_SQRT_2PI) * (a * b / n).sqrt()
    }
}

/// Lower and upper tail.
fn both_tails<const F: bool>(a: f64, b: f64, x: f64, y: f64) -> (f64, f64) {
    let front = front::<F>(a, b, x, y);
    if x < (a + 1.0) / (a + b + 2.0) {
        let lower = front * beta_fraction(a, b, x) / a;
        (lower, 1.0 - lower)
    } else {
        let upper = front * beta_fraction(b, a, y) / b;
        (1.0 - upper, upper)
    }
}

/// Derivative of `I_x(a, b)` in `a`.
#[inline(always)]
pub(super) fn beta_inc_da<const F: bool>(a: f64, b: f64, x: f64) -> f64 {
    incomplete_beta_da::<F>(a, b, x)
}

fn incomplete_beta_da<const F: bool>(a: f64, b: f64, x: f64) -> f64 {
    if !(a > 0.0 && b > 0.0 && (0.0..=1.0).contains(&x)) || a == f64::INFINITY || b == f64::INFINITY {
        return f64::NAN;
    }
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let y = 1.0 - x;
    let front = front::<F>(a, b, x, y);
    // d log(front) / da.
    let slope = log::<F>(x) - digamma::<F>(a) + digamma::<F>(a + b);
    if x < (a + 1.0) / (a + b + 2.0) {
        let (h, h_tan) = beta_fraction_tangent([a, b], [1.0, 0.0], x);
        front / a * (h * (slope - 1.0 / a) + h_tan)
    } else {
        let (h, h_tan) = beta_fraction_tangent([b, a], [0.0, 1.0], y);
        -front / b * (h * slope + h_tan)
    }
}

/// Inverse of `I_x(a, b)` in `x`; NaN outside 0 <= p <= 1.
#[inline(always)]
pub(super) fn beta_inc_inv<const F: bool>(a: f64, b: f64, p: f64) -> f64 {
    beta_quantile::<F>(a, b, p)
}

/// Newton's method on the logarithm of the smaller tail in `log(x / (1 - x))`: both are concave, so it converges from
/// either side.
fn beta_quantile<const F: bool>(a: f64, b: f64, p: f64) -> f64 {
    if !(a > 0.0 && b > 0.0 && (0.0..=1.0).contains(&p)) || a == f64::INFINITY || b == f64::INFINITY {
        return f64::NAN;
    }
    if p == 0.0 || p == 1.0 {
        return p;
    }
    // Log odds are about normal; where a tail is a power, that power.
    let mean = digamma::<F>(a) - digamma::<F>(b);
    let sd = (trigamma::<F>(a) + trigamma::<F>(b)).sqrt();
    let log_beta = log_beta::<F>(a, b);
    let left = (log::<F>(p) + log::<F>(a) + log_beta) / a;
    let right = -(log1p::<F>(-p) + log::<F>(b) + log_beta) / b;
    let start = if left < -40.0 {
        return exp::<F>(left);
    } else if left < -3.0 && left < mean {
        left
    } else if right > 3.0 && right > mean {
        right
    } else {
        mean + sd * normal_quantile::<F>(p)
    };
    let t = newton(start, (f64::NEG_INFINITY, f64::INFINITY), |t| {
        let (x, y) = (sigmoid::<F>(t), sigmoid::<F>(-t));
        if x == 0.0 || y == 0.0 {
            return (if x == 0.0 { f64::NEG_INFINITY } else { f64::INFINITY }, 0.0);
        }
        let (lower, upper) = both_tails::<F>(a, b, x, y);
        tails::<F>(p, lower, upper, front::<F>(a, b, x, y))
    });
    sigmoid::<F>(t)
}

/// `log B(a, b)`, without cancellation for large arguments.
fn log_beta<const F: bool>(a: f64, b: f64) -> f64 {
    let (p, q) = if a < b { (a, b) } else { (b, a) };
    if q < 10.0 {
        return lgamma::<F>(p) + lgamma::<F>(q) - lgamma::<F>(p + q);
    }
    // lgamma(q) - lgamma(p + q) by Stirling's series.
    let difference =
        stirling::<F>(q) - stirling::<F>(p + q) - (q - 0.5) * log1p::<F>(p / q) - p * (log::<F>(p + q) - 1.0);
    lgamma::<F>(p) + difference
}

/// Continued fraction of the incomplete beta function.
fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    let floor = |v: f64| if v.abs() < TINY { TINY } else { v };
    let (n, up, down) = (a + b, a + 1.0, a - 1.0);
    let mut c = 1.0;
    let mut d = 1.0 / floor(1.0 - n * x / up);
    let mut h = d;
    for m in 1..=iterations(n) {
        let m = f64::from(m);
        let twice = 2.0 * m;
        let even = m * (b - m) * x / ((down + twice) * (a + twice));
        d = 1.0 / floor(1.0 + even * d);
        c = floor(1.0 + even / c);
        h *= d * c;
        let odd = -(a + m) * (n + m) * x / ((a + twice) * (up + twice));
        d = 1.0 / floor(1.0 + odd * d);
        c = floor(1.0 + odd / c);
        let del = d * c;
        h *= del;
        if (del - 1.0).abs() < 4.0 * EPSILON {
            break;
        }
    }
    h
}

/// The continued fraction and its tangent along `(a_tan, b_tan)`.
fn beta_fraction_tangent([a, b]: [f64; 2], [a_tan, b_tan]: [f64; 2], x: f64) -> (f64, f64) {
    let floor = |v: f64| if v.abs() < TINY { TINY } else { v };
    let (n, n_tan) = (a + b, a_tan + b_tan);
    let (mut c, mut c_tan) = (1.0, 0.0);
    let den = floor(1.0 - n * x / (a + 1.0));
    let den_tan = -x * (n_tan * (a + 1.0) - n * a_tan) / ((a + 1.0) * (a + 1.0));
    let mut d = 1.0 / den;
    let mut d_tan = -den_tan * d * d;
    let (mut h, mut h_tan) = (d, d_tan);
    for m in 1..=iterations(n) {
        let m = f64::from(m);
        let twice = 2.0 * m;
        let low = (a - 1.0 + twice) * (a + twice);
        let low_tan = a_tan * (2.0 * a - 1.0 + 2.0 * twice);
        let even = m * (b - m) * x / low;
        let even_tan = m * x * (b_tan - (b - m) * low_tan / low) / low;
        let high = (a + twice) * (a + 1.0 + twice);
        let high_tan = a_tan * (2.0 * a + 1.0 + 2.0 * twice);
        let product = (a + m) * (n + m);
        let product_tan = a_tan * (n + m) + (a + m) * n_tan;
        let odd = -product * x / high;
        let odd_tan = -x * (product_tan - product * high_tan / high) / high;
        let mut change = 0.0;
        for (term, term_tan) in [(even, even_tan), (odd, odd_tan)] {
            let den = floor(1.0 + term * d);
            let den_tan = term_tan * d + term * d_tan;
            let next_c = floor(1.0 + term / c);
            let next_c_tan = (term_tan - term * c_tan / c) / c;
            d = 1.0 / den;
            d_tan = -den_tan * d * d;
            (c, c_tan) = (next_c, next_c_tan);
            let del = d * c;
            let del_tan = d_tan * c + d * c_tan;
            h_tan = h_tan * del + h * del_tan;
            h *= del;
            change = (del - 1.0).abs().max((h * del_tan).abs() / h_tan.abs().max(TINY));
        }
        if change < 4.0 * EPSILON {
            break;
        }
    }
    (h, h_tan)
}
