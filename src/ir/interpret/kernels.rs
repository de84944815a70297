//! What the interpreter takes from the runtime: transcendental functions, draws, row kernels, dense linear algebra.

use super::super::core::Noise;
use super::super::op::Op;
use crate::runtime::executable::Stream;

pub(super) fn unary(op: Op, x: f64) -> f64 {
    match op {
        Op::Exp => x.exp(),
        Op::Log => x.ln(),
        Op::Log1p => x.ln_1p(),
        Op::Expm1 => x.exp_m1(),
        Op::Sin => x.sin(),
        Op::Cos => x.cos(),
        Op::Tan => x.tan(),
        Op::Atan => x.atan(),
        Op::Tanh => x.tanh(),
        Op::Sigmoid => {
            let e = (-x.abs()).exp();
            if x >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) }
        }
        Op::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
        Op::Lgamma => lgamma(x),
        Op::Digamma => digamma(x),
        Op::Trigamma => (digamma(x + 1e-4) - digamma(x - 1e-4)) / 2e-4,
        Op::NormalCdf => normal_cdf(x),
        Op::NormalQuantile => {
            let (mut low, mut high) = (-40.0, 40.0);
            for _ in 0..60 {
                let mid = 0.5 * (low + high);
                if normal_cdf(mid) < x { low = mid } else { high = mid }
            }
            low
        }
        Op::LogNormalCdf => normal_cdf(x).ln(),
        _ => f64::NAN,
    }
}

pub(super) fn binary(op: Op, a: f64, b: f64) -> f64 {
    match op {
        Op::Pow => a.powf(b),
        Op::GammaP => gamma_p(a, b),
        Op::GammaPDa => (gamma_p(a + 1e-4, b) - gamma_p(a - 1e-4, b)) / 2e-4,
        _ => f64::NAN,
    }
}

pub(super) fn ternary(op: Op, a: f64, b: f64, c: f64) -> f64 {
    match op {
        Op::BetaInc => (0..200)
            .map(|k| (f64::from(k) + 0.5) / 200.0 * c)
            .map(|t| ((a - 1.0) * t.ln() + (b - 1.0) * (-t).ln_1p()).exp() * c / 200.0)
            .sum::<f64>()
            .min(1.0),
        _ => f64::NAN,
    }
}

fn lgamma(x: f64) -> f64 {
    if x.is_nan() || x < -100.0 {
        return f64::NAN;
    }
    if x < 10.0 {
        return lgamma(x + 1.0) - x.abs().ln();
    }
    (x - 0.5) * x.ln() - x + 0.918_938_533_204_672_7 + 1.0 / (12.0 * x) - 1.0 / (360.0 * x.powi(3))
        + 1.0 / (1260.0 * x.powi(5))
}

fn digamma(x: f64) -> f64 {
    if x.is_nan() || x < -100.0 {
        return f64::NAN;
    }
    if x < 10.0 {
        return digamma(x + 1.0) - 1.0 / x;
    }
    x.ln() - 0.5 / x - 1.0 / (12.0 * x * x) + 1.0 / (120.0 * x.powi(4)) - 1.0 / (252.0 * x.powi(6))
}

fn normal_cdf(x: f64) -> f64 {
    let p = 0.5 * gamma_p(0.5, 0.5 * x * x);
    if x > 0.0 { 0.5 + p } else { 0.5 - p }
}

fn gamma_p(a: f64, x: f64) -> f64 {
    let mut term = (a * x.ln() - x - lgamma(a + 1.0)).exp();
    let mut sum = 0.0;
    for k in 1..2000 {
        sum += term;
        if term.is_nan() || term.abs() < 1e-18 * sum {
            break;
        }
        term *= x / (a + f64::from(k));
    }
    sum
}

/// A native random primitive at its counter.
pub(super) fn draw(noise: Noise, stream: Stream, site: u32, index: u64, shape: f64, mirror: bool) -> f64 {
    let mut z = stream.seed ^ (u64::from(stream.step) << 32) ^ u64::from(site).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ index.wrapping_mul(0x94d0_49bb_1331_11eb)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 32;
    let mut u = ((z >> 12) as f64 + 0.5) / (1u64 << 52) as f64;
    if mirror && noise == Noise::Uniform {
        u = 1.0 - u;
    }
    match noise {
        Noise::Uniform => u,
        Noise::Exponential => -u.ln(),
        Noise::Normal => {
            let x = unary(Op::NormalQuantile, u);
            if mirror { -x } else { x }
        }
        Noise::Gamma => shape * u,
    }
}

pub(super) fn rows_dot(x: &[f64], d: usize, b: &[f64], out: &mut [f64]) {
    for (i, o) in out.iter_mut().enumerate() {
        *o = x[i * d..(i + 1) * d].iter().zip(b).map(|(x, b)| x * b).sum();
    }
}

pub(super) fn rows_axpy(x: &[f64], d: usize, r: &[f64], acc: &mut [f64]) {
    for (i, &r) in r.iter().enumerate() {
        for (a, x) in acc.iter_mut().zip(&x[i * d..(i + 1) * d]) {
            *a += x * r;
        }
    }
}

type Strided<'a> = (&'a [f64], (usize, usize));

pub(super) fn gemm(
    (m, k, n): (usize, usize, usize),
    (a, sa): Strided<'_>,
    (b, sb): Strided<'_>,
    (c, sc): (&mut [f64], (usize, usize)),
) {
    for i in 0..m {
        for j in 0..n {
            let mut total = 0.0;
            for l in 0..k {
                total += a[i * sa.0 + l * sa.1] * b[l * sb.0 + j * sb.1];
            }
            c[i * sc.0 + j * sc.1] = total;
        }
    }
}

/// In place; false if a pivot is not positive.
pub(super) fn cholesky(a: &mut [f64], n: usize) -> bool {
    let mut fine = true;
    for i in 0..n {
        for j in 0..n {
            if j > i {
                a[i * n + j] = 0.0;
                continue;
            }
            let mut s = a[i * n + j];
            for k in 0..j {
                s -= a[i * n + k] * a[j * n + k];
            }
            if i == j {
                fine &= s > 0.0;
                a[i * n + j] = if s > 0.0 { s.sqrt() } else { f64::NAN };
            } else {
                a[i * n + j] = s / a[j * n + j];
            }
        }
    }
    fine
}

/// In place on `x[n, columns]`.
pub(super) fn solve_lower(l: &[f64], n: usize, x: &mut [f64], columns: usize, transposed: bool) {
    for step in 0..n {
        let i = if transposed { n - 1 - step } else { step };
        for c in 0..columns {
            let mut s = x[i * columns + c];
            let others = if transposed { i + 1..n } else { 0..i };
            for k in others {
                let e = if transposed { l[k * n + i] } else { l[i * n + k] };
                s -= e * x[k * columns + c];
            }
            x[i * columns + c] = s / l[i * n + i];
        }
    }
}
