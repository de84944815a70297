//! Regularised incomplete gamma and beta functions, and the derivative of the former in its shape. Prefactors by
//! Loader's saddle-point form (C. Loader, "Fast and accurate computation of binomial probabilities", 2000), so that
//! large parameters do not cost accuracy; series and continued fractions (modified Lentz) as in Numerical Recipes
//! 6.2, 6.4.

use super::elementary::{exp, log, log1p};
use super::gamma::{LOG_SQRT_2PI, digamma, lgamma, stirling};

const TINY: f64 = 1e-300;
const EPSILON: f64 = 1e-16;

/// `log Γ(x + 1) - ((x + 1/2) log x - x + log(2π)/2)`, for x > 0.
fn stirling_error<const F: bool>(x: f64) -> f64 {
    if x >= 10.0 { stirling::<F>(x) } else { lgamma::<F>(x + 1.0) - (x + 0.5) * log::<F>(x) + x - LOG_SQRT_2PI }
}

/// `x log(x / m) + m - x`, without cancellation, for x, m > 0.
fn deviance<const F: bool>(x: f64, m: f64) -> f64 {
    let d = x - m;
    if d.abs() < 0.1 * (x + m) {
        let v = d / (x + m);
        let mut sum = d * v;
        let mut term = 2.0 * x * v;
        let v2 = v * v;
        for j in 1..200 {
            term *= v2;
            let next = sum + term / f64::from(2 * j + 1);
            if next == sum {
                break;
            }
            sum = next;
        }
        return sum;
    }
    x * log::<F>(x / m) - d
}

/// `x^a exp(-x) / Γ(a + 1)`.
fn gamma_mass<const F: bool>(a: f64, x: f64) -> f64 {
    exp::<F>(-stirling_error::<F>(a) - deviance::<F>(a, x) - LOG_SQRT_2PI) / a.sqrt()
}

fn iterations(a: f64) -> u32 {
    (200.0 + 12.0 * a.sqrt()).min(2e6) as u32
}

/// Regularised lower incomplete gamma function; NaN outside a > 0, x >= 0.
#[inline(always)]
pub(super) fn gamma_p<const F: bool>(a: f64, x: f64) -> f64 {
    incomplete_gamma::<F>(a, x).0
}

/// Its derivative in `a`.
#[inline(always)]
pub(super) fn gamma_p_da<const F: bool>(a: f64, x: f64) -> f64 {
    incomplete_gamma::<F>(a, x).1
}

fn incomplete_gamma<const F: bool>(a: f64, x: f64) -> (f64, f64) {
    if !(a > 0.0 && x >= 0.0) || a == f64::INFINITY {
        return (f64::NAN, f64::NAN);
    }
    if x == 0.0 {
        return (0.0, 0.0);
    }
    if x == f64::INFINITY {
        return (1.0, 0.0);
    }
    let mass = gamma_mass::<F>(a, x);
    let log_x = log::<F>(x);
    if x < a + 1.0 {
        // P = mass · Σ x^n / ((a+1)…(a+n)); each term has the derivative term · (log x - ψ(a+n+1)).
        let (mut term, mut sum, mut slope) = (1.0, 1.0, 0.0);
        let mut psi = log_x - digamma::<F>(a + 1.0);
        slope += psi;
        let mut n = a;
        for _ in 0..iterations(a) {
            n += 1.0;
            term *= x / n;
            psi -= 1.0 / n;
            sum += term;
            slope += term * psi;
            if term < EPSILON * sum && (term * psi).abs() < EPSILON * slope.abs() {
                break;
            }
        }
        return (mass * sum, mass * slope);
    }
    // Q = (mass · a) · h, h the continued fraction; with derivatives in a carried along.
    let (mut b, mut b_da) = (x + 1.0 - a, -1.0);
    let (mut c, mut c_da) = (1.0 / TINY, 0.0);
    let mut d = 1.0 / b;
    let mut d_da = -d * d * b_da;
    let (mut h, mut h_da) = (d, d_da);
    for i in 1..=iterations(a) {
        let i = f64::from(i);
        let (an, an_da) = (-i * (i - a), i);
        b += 2.0;
        b_da = -1.0;
        let mut den = an * d + b;
        let den_da = an_da * d + an * d_da + b_da;
        if den.abs() < TINY {
            den = TINY;
        }
        let mut next_c = b + an / c;
        let next_c_da = b_da + an_da / c - an * c_da / (c * c);
        if next_c.abs() < TINY {
            next_c = TINY;
        }
        (c, c_da) = (next_c, next_c_da);
        d = 1.0 / den;
        d_da = -d * d * den_da;
        let del = d * c;
        let del_da = d_da * c + d * c_da;
        h_da = h_da * del + h * del_da;
        h *= del;
        if (del - 1.0).abs() < EPSILON && (h * del_da).abs() < EPSILON * h_da.abs() {
            break;
        }
    }
    let front = mass * a;
    // d log(front) / da = log x - ψ(a).
    (1.0 - front * h, -(front * (h * (log_x - digamma::<F>(a)) + h_da)))
}

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
    let y = 1.0 - x;
    let n = a + b;
    // x^a y^b / B(a, b).
    let front = if x < 1e-3 || y < 1e-3 || n < 1.0 {
        let log_beta = log_beta::<F>(a, b);
        exp::<F>(a * log::<F>(x) + b * log1p::<F>(-x) - log_beta)
    } else {
        let exponent = stirling_error::<F>(n)
            - stirling_error::<F>(a)
            - stirling_error::<F>(b)
            - deviance::<F>(a, n * x)
            - deviance::<F>(b, n * y);
        exp::<F>(exponent - LOG_SQRT_2PI) * (a * b / n).sqrt()
    };
    if x < (a + 1.0) / (n + 2.0) {
        front * beta_fraction(a, b, x) / a
    } else {
        1.0 - front * beta_fraction(b, a, y) / b
    }
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
