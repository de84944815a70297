//! What the interpreter takes from the runtime: transcendental functions and draws. Rows, matrix products and
//! factorisations are called where they are used.

use super::super::core::Noise;
use super::super::kernel::kernel;
use super::super::op::Op;
use crate::runtime::executable::Stream;
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
pub(super) fn draw(noise: Noise, stream: Stream, site: u32, index: u64, shape: f64, mirror: bool) -> f64 {
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
        Noise::Gamma => random::gamma(stream, site, index, shape),
    }
}
