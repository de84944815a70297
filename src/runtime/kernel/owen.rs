//! Owen's function `T(h, a) = 1/(2π) ∫ exp(-h² (1 + x²) / 2) / (1 + x²) dx` over [0, a] (Owen 1956), by quadrature for |a| <= 1
//! and by its reflection otherwise (Patefield and Tandy 2000, equation 2.3).

use super::legendre::integrals;
use super::normal::normal_cdf;
use std::f64::consts::PI;

#[inline(always)]
pub(super) fn owens_t<const F: bool>(h: f64, a: f64) -> f64 {
    odd::<F>(h, a)
}

fn odd<const F: bool>(h: f64, a: f64) -> f64 {
    if h.is_nan() || a.is_nan() {
        return f64::NAN;
    }
    let value = positive::<F>(h.abs(), a.abs());
    if a < 0.0 { -value } else { value }
}

fn positive<const F: bool>(h: f64, a: f64) -> f64 {
    if h == 0.0 {
        return a.atan() / (2.0 * PI);
    }
    if h == f64::INFINITY {
        return 0.0;
    }
    if a <= 1.0 {
        return direct(h, a);
    }
    let (near, far) = (normal_cdf::<F>(-h), normal_cdf::<F>(-a * h));
    0.5 * (near + far) - near * far - direct(a * h, 1.0 / a)
}

fn direct(h: f64, a: f64) -> f64 {
    // Beyond 9 standard deviations the integrand is below rounding.
    let end = a.min(9.0 / h);
    let [sum] = integrals(0.0, end, |x| [(-0.5 * h * h * x * x).exp() / (1.0 + x * x)]);
    if sum == 0.0 { 0.0 } else { (-0.5 * h * h).exp() * sum / (2.0 * PI) }
}
