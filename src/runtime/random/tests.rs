//! The generator against Random123's known answers; draws by moments and by their distribution functions.

use super::*;
use crate::runtime::kernel::Kernel;

const STREAM: Stream = Stream { seed: 0x0123_4567_89ab_cdef, step: 5 };

#[test]
fn known_answers() {
    // Random123, kat_vectors, philox4x32 10.
    let all = LOW;
    assert_eq!(philox([0; 4], [0; 2]), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
    assert_eq!(philox([all; 4], [u32::MAX; 2]), [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]);
    assert_eq!(
        philox([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0]),
        [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]
    );
}

#[test]
fn units_are_inside_and_symmetric() {
    assert_eq!(unit(0), 2f64.powi(-53));
    assert_eq!(unit(u64::MAX), 1.0 - 2f64.powi(-53));
    for i in 0..1000 {
        let u = uniform(STREAM, 3, i);
        assert!(u > 0.0 && u < 1.0);
        assert_eq!((u * 2f64.powi(53)) % 2.0, 1.0);
        assert_eq!(1.0 - (1.0 - u), u);
    }
}

#[test]
fn strips_are_the_scalar_draws() {
    let site = 77;
    for first in [0, 1, 2, 7, (1 << 33) - 3, (1 << 40) + 1] {
        for n in [0, 1, 2, 3, 8, 15, 16, 33, 100] {
            let mut out = vec![0.0; n];
            let indices: Vec<u64> = (0..n as u64).map(|i| first + i).collect();
            let spread: Vec<u64> = (0..n as u64).map(|i| first + 5 * i).collect();
            let draw = |f: fn(Stream, u32, u64) -> f64, at: &[u64]| -> Vec<f64> {
                at.iter().map(|&i| f(STREAM, site, i)).collect()
            };
            normal_strip(STREAM, site, first, &mut out);
            assert_eq!(out, draw(normal, &indices));
            normal_strided(STREAM, site, first, 5, &mut out);
            assert_eq!(out, draw(normal, &spread));
            normal_gather(STREAM, site, &spread, &mut out);
            assert_eq!(out, draw(normal, &spread));
            uniform_strip(STREAM, site, first, &mut out);
            assert_eq!(out, draw(uniform, &indices));
            uniform_strided(STREAM, site, first, 5, &mut out);
            assert_eq!(out, draw(uniform, &spread));
            uniform_gather(STREAM, site, &spread, &mut out);
            assert_eq!(out, draw(uniform, &spread));
            exponential_strip(STREAM, site, first, &mut out);
            assert_eq!(out, draw(exponential, &indices));
            exponential_strided(STREAM, site, first, 5, &mut out);
            assert_eq!(out, draw(exponential, &spread));
            exponential_gather(STREAM, site, &spread, &mut out);
            assert_eq!(out, draw(exponential, &spread));
        }
    }
}

#[test]
fn every_field_of_the_counter_matters() {
    let base = normal(STREAM, 1, 10);
    let other = [
        normal(Stream { seed: STREAM.seed ^ 1, ..STREAM }, 1, 10),
        normal(Stream { seed: STREAM.seed ^ (1 << 40), ..STREAM }, 1, 10),
        normal(Stream { step: 6, ..STREAM }, 1, 10),
        normal(STREAM, 2, 10),
        normal(STREAM, 1, 11),
        normal(STREAM, 1, 10 + (1 << 34)),
    ];
    assert!(other.iter().all(|&x| x != base));
}

/// Chi-square of 64 equal cells of a probability integral transform.
fn chi_square(cells: &[f64]) -> f64 {
    let n: f64 = cells.iter().sum();
    let expected = n / cells.len() as f64;
    cells.iter().map(|c| (c - expected).powi(2) / expected).sum()
}

/// With 200,000 draws and 64 cells the bound, the 1 - 1e-7 quantile of 63 degrees of freedom (about 136), detects a
/// shift of 0.02 standard deviations of a normal with power above 0.99 (noncentrality about 77 + 63 - 136 …: at 0.03
/// about 172).
fn fits(name: &str, cdf: impl Fn(usize) -> f64) -> f64 {
    let mut cells = [0.0; 64];
    for i in 0..200_000 {
        let u = cdf(i);
        assert!((0.0..=1.0).contains(&u), "{name}: {u}");
        cells[((u * 64.0) as usize).min(63)] += 1.0;
    }
    chi_square(&cells)
}

#[test]
fn distributions_by_their_transforms() {
    let phi = |x| Kernel::NormalCdf.apply1(x);
    let mut normals = vec![0.0; 200_000];
    normal_strip(STREAM, 9, 0, &mut normals);
    let mut uniforms = vec![0.0; 200_000];
    uniform_strip(STREAM, 10, 0, &mut uniforms);
    let mut exponentials = vec![0.0; 200_000];
    exponential_strip(STREAM, 11, 0, &mut exponentials);
    assert!(fits("normal", |i| phi(normals[i])) < 136.0);
    assert!(fits("uniform", |i| uniforms[i]) < 136.0);
    assert!(fits("exponential", |i| -Kernel::Expm1.apply1(-exponentials[i])) < 136.0);
    // Mutants: a shift of 0.03 standard deviations, a scale off by 2 %.
    assert!(fits("shifted", |i| phi(normals[i] + 0.03)) > 136.0);
    assert!(fits("scaled", |i| phi(normals[i] * 1.02)) > 136.0);
    // Neighbours are independent: pairs' sum over sqrt 2 is normal, and products have mean 0 within 5.2 sd.
    assert!(fits("pairs", |i| phi((normals[i] + normals[(i + 1) % 200_000]) / 2f64.sqrt())) < 2.0 * 136.0);
    let product: f64 = normals.as_chunks::<2>().0.iter().map(|p| p[0] * p[1]).sum::<f64>() / 100_000f64.sqrt();
    assert!(product.abs() < 5.2, "{product}");
    let square: f64 = normals.as_chunks::<2>().0.iter().map(|p| (p[0] * p[0] - 1.0) * (p[1] * p[1] - 1.0)).sum::<f64>();
    assert!((square / (2.0 * 100_000f64.sqrt())).abs() < 5.2, "{square}");
}

#[test]
fn moments() {
    let n = 400_000;
    let mut x = vec![0.0; n];
    normal_strip(STREAM, 12, 0, &mut x);
    let moment = |k: i32| x.iter().map(|v| v.powi(k)).sum::<f64>() / n as f64;
    // Standard errors of the first four moments: 1, sqrt 2, sqrt 15, sqrt 96 over sqrt n; 5.2 of them.
    for (k, mean, sd) in [(1, 0.0, 1.0), (2, 1.0, 2f64.sqrt()), (3, 0.0, 15f64.sqrt()), (4, 3.0, 96f64.sqrt())] {
        assert!((moment(k) - mean).abs() < 5.2 * sd / (n as f64).sqrt(), "moment {k}: {}", moment(k));
    }
    assert!(x.iter().any(|v| *v > 4.0) && x.iter().any(|v| *v < -4.0));
}

#[test]
fn log_gamma_by_its_distribution_function() {
    for (k, shape) in [0.001, 0.1, 0.5, 1.0, 2.5, 30.0, 1e4].into_iter().enumerate() {
        let site = 20 + k as u32;
        let mut cells = [0.0; 64];
        let mut shifted = [0.0; 64];
        // P(a, exp(l)), also where exp(l) underflows.
        let p = |a: f64, l: f64| {
            if l < -60.0 { (a * l - Kernel::Lgamma.apply1(a + 1.0)).exp() } else { Kernel::GammaP.apply2(a, l.exp()) }
        };
        for i in 0..40_000 {
            let l = log_gamma(STREAM, site, i, shape);
            cells[((p(shape, l) * 64.0) as usize).min(63)] += 1.0;
            let wrong = if shape < 100.0 { 1.1 } else { 1.001 };
            shifted[((p(shape * wrong, l) * 64.0) as usize).min(63)] += 1.0;
        }
        assert!(chi_square(&cells) < 136.0, "shape {shape}: {}", chi_square(&cells));
        assert!(chi_square(&shifted) > 136.0, "shape {shape}: the test would not see a wrong shape");
    }
    assert!(log_gamma(STREAM, 1, 1, -1.0).is_nan() && log_gamma(STREAM, 1, 1, f64::NAN).is_nan());
}

/// The randomised transform of a count: uniform if `below` is P(K < k) and `at` is P(K <= k).
fn between(below: f64, at: f64, i: u64) -> f64 {
    below + (at - below) * uniform(STREAM, 999, i)
}

#[test]
fn poisson_by_its_distribution_function() {
    for (k, mean) in [0.05, 3.0, 9.99, 10.0, 25.0, 1e3, 1e5].into_iter().enumerate() {
        let site = 40 + k as u32;
        let n = if mean > 1e4 { 20_000 } else { 100_000 };
        let (mut cells, mut shifted) = ([0.0; 64], [0.0; 64]);
        let transform = |x: f64, mean: f64, i| {
            let at = |x: f64| if x < 0.0 { 0.0 } else { 1.0 - Kernel::GammaP.apply2(x + 1.0, mean) };
            between(at(x - 1.0), at(x), i)
        };
        for i in 0..n {
            let x = poisson(STREAM, site, i, mean);
            assert!(x >= 0.0 && x.fract() == 0.0);
            cells[((transform(x, mean, i) * 64.0) as usize).min(63)] += 1.0;
            // A shift of a tenth of a standard deviation.
            let wrong = transform(x, mean + 0.1 * mean.sqrt(), i);
            shifted[((wrong * 64.0) as usize).min(63)] += 1.0;
        }
        assert!(chi_square(&cells) < 136.0, "mean {mean}: {}", chi_square(&cells));
        assert!(chi_square(&shifted) > 136.0 || mean < 1.0, "mean {mean}: the test would not see a wrong mean");
    }
    assert_eq!(poisson(STREAM, 1, 1, 0.0), 0.0);
    assert!(poisson(STREAM, 1, 1, -1.0).is_nan() && poisson(STREAM, 1, 1, f64::INFINITY).is_nan());
    let far = poisson(STREAM, 1, 1, 1e12);
    assert!((far - 1e12).abs() < 6e6);
}

#[test]
fn binomial_by_its_distribution_function() {
    let cases = [(1.0, 0.3), (10.0, 0.02), (40.0, 0.5), (100.0, 0.93), (1e4, 0.001), (1e5, 0.4)];
    for (k, (n, p)) in cases.into_iter().enumerate() {
        let site = 60 + k as u32;
        let draws = if n > 1e4 { 20_000 } else { 100_000 };
        let (mut cells, mut shifted) = ([0.0; 64], [0.0; 64]);
        let transform = |x: f64, p: f64, i| {
            let at = |x: f64| match x {
                _ if x < 0.0 => 0.0,
                _ if x >= n => 1.0,
                _ => Kernel::BetaInc.apply3(n - x, x + 1.0, 1.0 - p),
            };
            between(at(x - 1.0), at(x), i)
        };
        for i in 0..draws {
            let x = binomial(STREAM, site, i, n, p);
            assert!((0.0..=n).contains(&x) && x.fract() == 0.0);
            cells[((transform(x, p, i) * 64.0) as usize).min(63)] += 1.0;
            let wrong = transform(x, p + 0.1 * (p * (1.0 - p) / n).sqrt(), i);
            shifted[((wrong * 64.0) as usize).min(63)] += 1.0;
        }
        assert!(chi_square(&cells) < 136.0, "{n}, {p}: {}", chi_square(&cells));
        assert!(chi_square(&shifted) > 136.0 || n < 20.0, "{n}, {p}: the test would not see a wrong probability");
    }
    assert_eq!((binomial(STREAM, 1, 1, 7.0, 0.0), binomial(STREAM, 1, 1, 7.0, 1.0)), (0.0, 7.0));
    assert_eq!(binomial(STREAM, 1, 1, 0.0, 0.4), 0.0);
    assert!(binomial(STREAM, 1, 1, 7.0, 1.1).is_nan() && binomial(STREAM, 1, 1, -7.0, 0.1).is_nan());
}
