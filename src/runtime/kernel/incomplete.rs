//! The regularised incomplete gamma function, its derivative in the shape and its inverse. Prefactors by
//! Loader's saddle-point form (C. Loader, "Fast and accurate computation of binomial probabilities", 2000), so that
//! large parameters do not cost accuracy; series and continued fractions (modified Lentz) as in Numerical Recipes
//! 6.2.

use super::elementary::{exp, log, log1p};
use super::gamma::{LOG_SQRT_2PI, digamma, lgamma, stirling};
use super::normal::normal_quantile;

pub(super) const TINY: f64 = 1e-300;
pub(super) const EPSILON: f64 = 1e-16;

/// `log Γ(x + 1) - ((x + 1/2) log x - x + log(2π)/2)`, for x > 0.
pub(in crate::runtime) fn stirling_error<const F: bool>(x: f64) -> f64 {
    if x >= 10.0 { stirling::<F>(x) } else { lgamma::<F>(x + 1.0) - (x + 0.5) * log::<F>(x) + x - LOG_SQRT_2PI }
}

/// `x log(x / m) + m - x`, without cancellation, for x, m > 0.
pub(in crate::runtime) fn deviance<const F: bool>(x: f64, m: f64) -> f64 {
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

pub(super) fn iterations(a: f64) -> u32 {
    (200.0 + 12.0 * a.sqrt()).min(2e6) as u32
}

/// What series and continued fraction give of one tail, in units of `x^a exp(-x) / Γ(a + 1)`.
struct Tail {
    /// The lower tail P, else the upper tail Q.
    lower: bool,
    value: f64,
    /// Derivative of the tail in `a`.
    slope: f64,
}

/// The tail on `x`'s side of the mean; `log_x` is given beside, for where `x` underflows. For finite a > 0, x >= 0.
fn tail<const F: bool>(a: f64, x: f64, log_x: f64) -> Tail {
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
        return Tail { lower: true, value: sum, slope };
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
    // d log(mass · a) / da = log x - ψ(a).
    Tail { lower: false, value: a * h, slope: a * (h * (log_x - digamma::<F>(a)) + h_da) }
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
    let tail = tail::<F>(a, x, log::<F>(x));
    if tail.lower { (mass * tail.value, mass * tail.slope) } else { (1.0 - mass * tail.value, -(mass * tail.slope)) }
}

/// Derivative in `a` of the logarithm `l` of a gamma variate that keeps its place in the distribution,
/// `-(∂P/∂a) / (x p(x))` at `x = exp(l)` (Figurnov, Mohamed and Mnih 2018). The prefactors cancel, so that it is accurate
/// in either tail, also where `x` underflows.
#[inline(always)]
pub(super) fn log_gamma_da<const F: bool>(a: f64, l: f64) -> f64 {
    log_quantile_slope::<F>(a, l)
}

fn log_quantile_slope<const F: bool>(a: f64, l: f64) -> f64 {
    if !(a > 0.0 && l < f64::INFINITY) || a == f64::INFINITY {
        return f64::NAN;
    }
    let tail = tail::<F>(a, exp::<F>(l), l);
    let slope = tail.slope / a;
    if tail.lower { -slope } else { slope }
}

/// Inverse of `P(a, x)` in `x`: 0 at 0, infinity at 1, NaN outside.
#[inline(always)]
pub(super) fn gamma_p_inv<const F: bool>(a: f64, p: f64) -> f64 {
    gamma_quantile::<F>(a, p)
}

/// Newton's method on the logarithm of the smaller tail in `log x`: both are concave, so it converges from either side;
/// bisection where a step leaves the bracket.
fn gamma_quantile<const F: bool>(a: f64, p: f64) -> f64 {
    if !(a > 0.0 && (0.0..=1.0).contains(&p)) || a == f64::INFINITY {
        return f64::NAN;
    }
    if p == 0.0 || p == 1.0 {
        return if p == 0.0 { 0.0 } else { f64::INFINITY };
    }
    // P <= x^a / Γ(a + 1), with equality where x is tiny.
    let least = (log::<F>(p) + lgamma::<F>(a + 1.0)) / a;
    if least < -40.0 {
        return exp::<F>(least);
    }
    // Wilson and Hilferty.
    let root = 1.0 - 1.0 / (9.0 * a) + normal_quantile::<F>(p) / (3.0 * a.sqrt());
    let start = if root > 0.0 { log::<F>(a) + 3.0 * log::<F>(root) } else { least };
    newton(start.max(least), (least - 1e-9, f64::INFINITY), |l| {
        let x = exp::<F>(l);
        let mass = gamma_mass::<F>(a, x);
        let tail = tail::<F>(a, x, l);
        let one = mass * tail.value;
        let (lower, upper) = if tail.lower { (one, 1.0 - one) } else { (1.0 - one, one) };
        tails::<F>(p, lower, upper, mass * a)
    })
    .exp()
}

/// How far the smaller tail is from its target, in logarithms, and the derivative of that, increasing.
pub(super) fn tails<const F: bool>(p: f64, lower: f64, upper: f64, density: f64) -> (f64, f64) {
    if p <= 0.5 {
        (log::<F>(lower) - log::<F>(p), density / lower)
    } else {
        (log1p::<F>(-p) - log::<F>(upper), density / upper)
    }
}

/// Root of an increasing function with derivative, within a bracket.
pub(super) fn newton(start: f64, bracket: (f64, f64), f: impl Fn(f64) -> (f64, f64)) -> f64 {
    let (mut low, mut high) = bracket;
    let mut x = start;
    for _ in 0..200 {
        let (value, slope) = f(x);
        if value < 0.0 {
            low = x;
        } else {
            high = x;
        }
        let mut next = x - value / slope;
        let inside = next > low && next < high;
        if !inside {
            next = match (low.is_finite(), high.is_finite()) {
                (true, true) => 0.5 * (low + high),
                (true, false) => x + 1.0 + 0.5 * x.abs(),
                (false, _) => x - 1.0 - 0.5 * x.abs(),
            };
        }
        let step = (next - x).abs();
        x = next;
        // The next step would be the square of this one.
        if step <= 1e-10 * (1e-5 + x.abs()) && inside || step <= 1e-16 * x.abs() {
            break;
        }
    }
    x
}
