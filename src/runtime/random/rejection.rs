//! Random numbers with operands, by rejection: the logarithm of a gamma variate (Marsaglia and Tsang 2000), Poisson and
//! binomial counts (Hörmann 1993, transformed rejection with squeeze; by inversion where the mean is small). Exact for all
//! operands, at a cost that does not grow with them. An attempt takes one block; NaN outside the domain.

use super::super::executable::Stream;
use super::super::kernel::elementary::{exp, log, log1p};
use super::super::kernel::incomplete::{deviance, stirling_error};
use super::super::kernel::normal::normal_quantile;
use super::super::level::leveled;
use super::{block, unit};

/// Attempts number fewer than this, which has the uniform that boosts a gamma variate of shape below one. Every method
/// accepts with a probability above 0.5, so that the last attempt is of probability below 0.5^65535.
const BOOST: u64 = 0xFFFF;
/// Means below are by inversion.
const SMALL: f64 = 10.0;

/// Both uniforms of an attempt.
#[inline(always)]
fn attempt(stream: Stream, site: u32, index: u64, number: u64) -> (f64, f64) {
    let (a, b) = block(stream, site, index, number);
    (unit(a), unit(b))
}

#[inline(always)]
fn log_gamma_at<const F: bool>(stream: Stream, site: u32, index: u64, shape: f64) -> f64 {
    if !(shape > 0.0 && shape < f64::INFINITY) {
        return f64::NAN;
    }
    let raised = if shape < 1.0 { shape + 1.0 } else { shape };
    let d = raised - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    let mut value = log::<F>(d);
    for number in 0..BOOST {
        let (u, v) = attempt(stream, site, index, number);
        let x = normal_quantile::<F>(u);
        let root = 1.0 + c * x;
        if root > 0.0 {
            let log_cube = 3.0 * log::<F>(root);
            if log::<F>(v) < 0.5 * x * x + d * (1.0 - root * root * root + log_cube) {
                value += log_cube;
                break;
            }
        }
    }
    if shape < 1.0 {
        let (u, _) = attempt(stream, site, index, BOOST);
        value + log::<F>(u) / shape
    } else {
        value
    }
}

/// Log of the Poisson density at `k`, by Loader's saddle-point form.
#[inline(always)]
fn log_poisson<const F: bool>(k: f64, mean: f64) -> f64 {
    if k == 0.0 {
        return -mean;
    }
    -stirling_error::<F>(k) - deviance::<F>(k, mean) - 0.5 * log::<F>(std::f64::consts::TAU * k)
}

/// The least k at which `u` is below the sum of a density given by its first value and the ratio of successors.
#[inline(always)]
fn invert(u: f64, first: f64, last: f64, ratio: impl Fn(f64) -> f64) -> f64 {
    let (mut k, mut density, mut rest) = (0.0, first, u - first);
    while rest > 0.0 && k < last {
        k += 1.0;
        density *= ratio(k);
        rest -= density;
    }
    k
}

#[inline(always)]
fn poisson_at<const F: bool>(stream: Stream, site: u32, index: u64, mean: f64) -> f64 {
    if !(0.0..f64::INFINITY).contains(&mean) {
        return f64::NAN;
    }
    if mean < SMALL {
        // Beyond 200 there is less than the least step of the uniform.
        return invert(attempt(stream, site, index, 0).0, exp::<F>(-mean), 200.0, |k| mean / k);
    }
    let root = mean.sqrt();
    let b = 0.931 + 2.53 * root;
    let a = -0.059 + 0.02483 * b;
    let inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
    let squeeze = 0.9277 - 3.6224 / (b - 2.0);
    for number in 0..BOOST {
        let (u, v) = attempt(stream, site, index, number);
        let u = u - 0.5;
        let us = 0.5 - u.abs();
        let k = ((2.0 * a / us + b) * u + mean + 0.43).floor();
        if us >= 0.07 && v <= squeeze {
            return k;
        }
        if k < 0.0 || (us < 0.013 && v > us) {
            continue;
        }
        if log::<F>(v * inverse_alpha / (a / (us * us) + b)) <= log_poisson::<F>(k, mean) {
            return k;
        }
    }
    mean.floor()
}

/// Log of the binomial density at `k`, without the terms of `n` alone.
#[inline(always)]
fn log_binomial<const F: bool>(k: f64, n: f64, p: f64) -> f64 {
    log_poisson::<F>(k, n * p) + log_poisson::<F>(n - k, n * (1.0 - p))
}

#[inline(always)]
fn binomial_at<const F: bool>(stream: Stream, site: u32, index: u64, n: f64, p: f64) -> f64 {
    if !((0.0..f64::INFINITY).contains(&n) && (0.0..=1.0).contains(&p)) {
        return f64::NAN;
    }
    let rare = p.min(1.0 - p);
    let k = rare_binomial::<F>(stream, site, index, n, rare);
    if p > 0.5 { n - k } else { k }
}

/// For p <= 1/2.
#[inline(always)]
fn rare_binomial<const F: bool>(stream: Stream, site: u32, index: u64, n: f64, p: f64) -> f64 {
    let mean = n * p;
    if mean < SMALL {
        let odds = p / (1.0 - p);
        let first = exp::<F>(n * log1p::<F>(-p));
        return invert(attempt(stream, site, index, 0).0, first, n, |k| odds * (n - k + 1.0) / k);
    }
    let sd = (mean * (1.0 - p)).sqrt();
    let b = 1.15 + 2.53 * sd;
    let a = -0.0873 + 0.0248 * b + 0.01 * p;
    let centre = mean + 0.5;
    let alpha = (2.83 + 5.1 / b) * sd;
    let squeeze = 0.92 - 4.2 / b;
    let mode = ((n + 1.0) * p).floor();
    for number in 0..BOOST {
        let (u, v) = attempt(stream, site, index, number);
        let u = u - 0.5;
        let us = 0.5 - u.abs();
        let k = ((2.0 * a / us + b) * u + centre).floor();
        if us >= 0.07 && v <= squeeze {
            return k;
        }
        if k < 0.0 || k > n {
            continue;
        }
        let height = log_binomial::<F>(k, n, p) - log_binomial::<F>(mode, n, p);
        if log::<F>(v * alpha / (a / (us * us) + b)) <= height {
            return k;
        }
    }
    mode
}

leveled! {
    /// The logarithm of a gamma variate of scale 1; NaN unless `0 < shape < inf`.
    pub fn log_gamma(stream: Stream, site: u32, index: u64, shape: f64) -> f64 {
        log_gamma_at::<FUSED>(stream, site, index, shape)
    }
}

leveled! {
    /// A Poisson count; NaN unless `0 <= mean < inf`.
    pub fn poisson(stream: Stream, site: u32, index: u64, mean: f64) -> f64 {
        poisson_at::<FUSED>(stream, site, index, mean)
    }
}

leveled! {
    /// A binomial count of `n` (whole) trials; NaN unless `0 <= n < inf`, `0 <= p <= 1`.
    pub fn binomial(stream: Stream, site: u32, index: u64, n: f64, p: f64) -> f64 {
        binomial_at::<FUSED>(stream, site, index, n, p)
    }
}
