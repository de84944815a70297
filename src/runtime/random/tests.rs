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
    let shapes: Vec<f64> = (0..200).map(|i| 0.05 + f64::from(i) * 0.1).collect();
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
            gamma_strip(STREAM, site, first, &shapes, &mut out);
            let gammas: Vec<f64> = indices.iter().zip(&shapes).map(|(&i, &a)| gamma(STREAM, site, i, a)).collect();
            assert_eq!(out, gammas);
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
fn gamma_by_its_distribution_function() {
    for (k, shape) in [0.1, 0.5, 1.0, 2.5, 30.0].into_iter().enumerate() {
        let site = 20 + k as u32;
        let mut cells = [0.0; 64];
        let mut shifted = [0.0; 64];
        for i in 0..40_000 {
            let x = gamma(STREAM, site, i, shape);
            let u = Kernel::GammaP.apply2(shape, x);
            cells[((u * 64.0) as usize).min(63)] += 1.0;
            let wrong = Kernel::GammaP.apply2(shape * 1.1, x);
            shifted[((wrong * 64.0) as usize).min(63)] += 1.0;
        }
        assert!(chi_square(&cells) < 136.0, "shape {shape}: {}", chi_square(&cells));
        assert!(chi_square(&shifted) > 136.0, "shape {shape}: the test would not see a shape off by 10 %");
    }
    assert!(gamma(STREAM, 1, 1, -1.0).is_nan() && gamma(STREAM, 1, 1, f64::NAN).is_nan());
}
