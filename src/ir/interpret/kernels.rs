//! What the interpreter takes from the runtime: transcendental functions and draws. Rows, matrix products and
//! factorisations are called where they are used.

use super::super::core::Noise;
use super::super::kernel::kernel;
use super::super::op::Op;
use crate::runtime::executable::Stream;
use crate::runtime::kernel::Kernel;
use crate::runtime::random;

pub(super) fn unary(op: Op, x: f64) -> f64 {
    kernel(op).map_or(f64::NAN, |k| k.apply1(x))
}

pub(super) fn binary(op: Op, a: f64, b: f64) -> f64 {
    kernel(op).map_or(f64::NAN, |k| k.apply2(a, b))
}

pub(super) fn ternary(op: Op, a: f64, b: f64, c: f64) -> f64 {
    kernel(op).map_or(f64::NAN, |k| k.apply3(a, b, c))
}

/// A native random primitive at its counter. A mirrored normal is the negative, a mirrored uniform `1 - u`.
pub(super) fn draw(noise: Noise, (stream, site, index): (Stream, u32, u64), [a, b]: [f64; 2], mirror: bool) -> f64 {
    match noise {
        Noise::Normal => {
            let x = random::normal(stream, site, index);
            if mirror { -x } else { x }
        }
        Noise::Uniform => {
            let u = random::uniform(stream, site, index);
            if mirror { 1.0 - u } else { u }
        }
        Noise::Exponential => random::exponential(stream, site, index),
        Noise::LogGamma => random::log_gamma(stream, site, index, a),
        Noise::Poisson => random::poisson(stream, site, index, a),
        Noise::Binomial => random::binomial(stream, site, index, a, b),
    }
}

/// The logarithm of a gamma draw `l` at shape `from` that keeps its place in the distribution as the shape moves to `to`:
/// the path of `dl/da = log_gamma_da(a, l)`, by Runge and Kutta's method.
pub(super) fn follow(l: f64, from: f64, to: f64) -> f64 {
    const STEPS: u32 = 4;
    let h = (to - from) / f64::from(STEPS);
    if h == 0.0 {
        return l;
    }
    let slope = |a: f64, l: f64| Kernel::LogGammaDa.apply2(a, l);
    let mut at = l;
    for k in 0..STEPS {
        let a = from + h * f64::from(k);
        let k1 = slope(a, at);
        let k2 = slope(a + 0.5 * h, at + 0.5 * h * k1);
        let k3 = slope(a + 0.5 * h, at + 0.5 * h * k2);
        let k4 = slope(a + h, at + h * k3);
        at += h * (k1 + 2.0 * k2 + 2.0 * k3 + k4) / 6.0;
    }
    at
}
