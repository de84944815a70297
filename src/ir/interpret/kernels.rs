//! What the interpreter takes from the runtime: transcendental functions and draws. Rows, matrix products and
//! factorisations are called where they are used.

use super::super::core::Noise;
use super::super::op::Op;
use crate::runtime::executable::Stream;
use crate::runtime::kernel::Kernel;
use crate::runtime::random;

/// The runtime's kernel for an operation; `None` for those that are plain arithmetic.
pub fn kernel(op: Op) -> Option<Kernel> {
    match op {
        Op::Exp => Some(Kernel::Exp),
        Op::Log => Some(Kernel::Log),
        Op::Log1p => Some(Kernel::Log1p),
        Op::Expm1 => Some(Kernel::Expm1),
        Op::Sin => Some(Kernel::Sin),
        Op::Cos => Some(Kernel::Cos),
        Op::Tan => Some(Kernel::Tan),
        Op::Atan => Some(Kernel::Atan),
        Op::Tanh => Some(Kernel::Tanh),
        Op::Sigmoid => Some(Kernel::Sigmoid),
        Op::Softplus => Some(Kernel::Softplus),
        Op::Pow => Some(Kernel::Pow),
        Op::Lgamma => Some(Kernel::Lgamma),
        Op::Digamma => Some(Kernel::Digamma),
        Op::Trigamma => Some(Kernel::Trigamma),
        Op::NormalCdf => Some(Kernel::NormalCdf),
        Op::NormalQuantile => Some(Kernel::NormalQuantile),
        Op::LogNormalCdf => Some(Kernel::LogNormalCdf),
        Op::GammaP => Some(Kernel::GammaP),
        Op::GammaPDa => Some(Kernel::GammaPDa),
        Op::BetaInc => Some(Kernel::BetaInc),
        Op::Neg
        | Op::Add
        | Op::Sub
        | Op::Mul
        | Op::Div
        | Op::Fma
        | Op::Min
        | Op::Max
        | Op::Abs
        | Op::Sign
        | Op::Sqrt
        | Op::Floor
        | Op::Round
        | Op::Eq
        | Op::Lt
        | Op::Le
        | Op::IsNan
        | Op::INeg
        | Op::IAdd
        | Op::ISub
        | Op::IMul
        | Op::IDiv
        | Op::IMod
        | Op::IMin
        | Op::IMax
        | Op::IEq
        | Op::ILt
        | Op::ILe
        | Op::And
        | Op::Or
        | Op::Not
        | Op::ToReal
        | Op::ToInt
        | Op::BoolToInt
        | Op::Read
        | Op::Select
        | Op::Stop => None,
    }
}

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
