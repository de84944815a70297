//! Folding of operations on literals, exactly as Core computes them, and interval arithmetic. Transcendental functions
//! are not folded: their bits belong to the runtime's kernels.

use super::machine::Fact;
use crate::ir::core::Atom;
use crate::ir::op::Op;

/// The least positive number: a lower end that is not attained.
const LEAST: f64 = 5e-324;

/// The literal result, if the operands are literals (or the operation is an exact identity).
pub(super) fn fold(op: Op, args: &[Atom]) -> Option<Atom> {
    use Atom::{Bool, Int, Real};
    Some(match (op, args) {
        (Op::Neg, [Real(a)]) => Real(-a),
        (Op::Add, [Real(a), Real(b)]) => Real(a + b),
        (Op::Sub, [Real(a), Real(b)]) => Real(a - b),
        (Op::Mul, [Real(a), Real(b)]) => Real(a * b),
        (Op::Div, [Real(a), Real(b)]) => Real(a / b),
        (Op::Mul | Op::Div, [x, Real(1.0)]) | (Op::Mul, [Real(1.0), x]) => *x,
        (Op::Add, [x, Real(0.0)] | [Real(0.0), x]) | (Op::Sub, [x, Real(0.0)]) => *x,
        (Op::Abs, [Real(a)]) => Real(a.abs()),
        (Op::Sqrt, [Real(a)]) => Real(a.sqrt()),
        (Op::Floor, [Real(a)]) => Real(a.floor()),
        (Op::Round, [Real(a)]) => Real(a.round_ties_even()),
        (Op::Min, [Real(a), Real(b)]) if !a.is_nan() && !b.is_nan() => Real(a.min(*b)),
        (Op::Max, [Real(a), Real(b)]) if !a.is_nan() && !b.is_nan() => Real(a.max(*b)),
        (Op::Pow, [x, Real(1.0)]) => *x,
        (Op::Pow, [Real(a), Real(2.0)]) => Real(a * a),
        (Op::Eq, [Real(a), Real(b)]) => Bool(a == b),
        (Op::Lt, [Real(a), Real(b)]) => Bool(a < b),
        (Op::Le, [Real(a), Real(b)]) => Bool(a <= b),
        (Op::IsNan, [Real(a)]) => Bool(a.is_nan()),
        (Op::INeg, [Int(a)]) => Int(a.wrapping_neg()),
        (Op::IAdd, [Int(a), Int(b)]) => Int(a.wrapping_add(*b)),
        (Op::ISub, [Int(a), Int(b)]) => Int(a.wrapping_sub(*b)),
        (Op::IMul, [Int(a), Int(b)]) => Int(a.wrapping_mul(*b)),
        (Op::IMul, [x, Int(1)] | [Int(1), x]) => *x,
        (Op::IDiv, [Int(a), Int(b)]) if *b != 0 => Int(floor_div(*a, *b)),
        (Op::IMod, [Int(a), Int(b)]) if *b != 0 => Int(a.wrapping_sub(floor_div(*a, *b).wrapping_mul(*b))),
        (Op::IMin, [Int(a), Int(b)]) => Int(*a.min(b)),
        (Op::IMax, [Int(a), Int(b)]) => Int(*a.max(b)),
        (Op::IEq, [Int(a), Int(b)]) => Bool(a == b),
        (Op::ILt, [Int(a), Int(b)]) => Bool(a < b),
        (Op::ILe, [Int(a), Int(b)]) => Bool(a <= b),
        (Op::And, [Bool(a), x] | [x, Bool(a)]) => {
            if *a {
                *x
            } else {
                Bool(false)
            }
        }
        (Op::Or, [Bool(a), x] | [x, Bool(a)]) => {
            if *a {
                Bool(true)
            } else {
                *x
            }
        }
        (Op::Not, [Bool(a)]) => Bool(!a),
        (Op::ToReal, [Int(a)]) => Real(*a as f64),
        (Op::ToInt, [Real(a)]) => Int(*a as i64),
        (Op::BoolToInt, [Bool(a)]) => Int(i64::from(*a)),
        (Op::Select, [Bool(c), a, b]) => {
            if *c {
                *a
            } else {
                *b
            }
        }
        (Op::Stop, [a @ (Real(_) | Int(_) | Bool(_))]) => *a,
        _ => return None,
    })
}

pub(super) fn floor_div(a: i64, b: i64) -> i64 {
    let quotient = a.wrapping_div(b);
    if a.wrapping_rem(b) != 0 && ((a < 0) != (b < 0)) { quotient - 1 } else { quotient }
}

const ALL: (f64, f64) = (f64::NEG_INFINITY, f64::INFINITY);

/// An interval that holds the result whenever the operands hold theirs.
pub(super) fn interval(op: Op, args: &[Atom], facts: &[Fact]) -> (f64, f64) {
    let clean = |lo: f64, hi: f64| {
        (if lo.is_nan() { f64::NEG_INFINITY } else { lo }, if hi.is_nan() { f64::INFINITY } else { hi })
    };
    match (op, facts) {
        (Op::Neg | Op::INeg, [a]) => (-a.upper, -a.lower),
        (Op::Add | Op::IAdd, [a, b]) => clean(a.lower + b.lower, a.upper + b.upper),
        (Op::Sub | Op::ISub, [a, b]) => clean(a.lower - b.upper, a.upper - b.lower),
        (Op::Mul | Op::IMul, [a, b]) => {
            if args[0] == args[1] {
                return (0.0, f64::INFINITY);
            }
            let products = [a.lower * b.lower, a.lower * b.upper, a.upper * b.lower, a.upper * b.upper];
            if products.iter().any(|p| p.is_nan()) {
                let nonneg = a.lower >= 0.0 && b.lower >= 0.0 || a.upper <= 0.0 && b.upper <= 0.0;
                return if nonneg { (0.0, f64::INFINITY) } else { ALL };
            }
            (
                products.iter().copied().fold(f64::INFINITY, f64::min),
                products.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            )
        }
        (Op::Div, [a, b]) if a.lower >= 0.0 && b.lower >= 0.0 => (0.0, f64::INFINITY),
        (Op::Pow, [a, _]) if a.lower >= 0.0 => (0.0, f64::INFINITY),
        (Op::Pow, [_, e]) if e.lower == e.upper && e.lower % 2.0 == 0.0 => (0.0, f64::INFINITY),
        (Op::Min | Op::IMin, [a, b]) => (a.lower.min(b.lower), a.upper.min(b.upper)),
        (Op::Max | Op::IMax, [a, b]) => (a.lower.max(b.lower), a.upper.max(b.upper)),
        // Open ends, but for rounding.
        (Op::Exp, _) => (LEAST, f64::INFINITY),
        (Op::Sigmoid, _) => (LEAST, 1.0 - 0.5 * f64::EPSILON),
        (Op::Abs | Op::Sqrt | Op::Softplus, _) => (0.0, f64::INFINITY),
        (Op::NormalCdf | Op::GammaP | Op::BetaInc | Op::BetaIncInv | Op::VonMisesCdf, _) => (0.0, 1.0),
        (Op::GammaPInv | Op::LogBesselI0, _) => (0.0, f64::INFINITY),
        (Op::VonMisesQuantile, _) => (-std::f64::consts::PI, std::f64::consts::PI),
        (Op::BesselRatio, _) => (-1.0, 1.0),
        (Op::Tanh | Op::Sign, _) => (-1.0, 1.0),
        (Op::Log1p, [a]) if a.lower >= 0.0 => (0.0, f64::INFINITY),
        (Op::Expm1, [a]) if a.lower >= 0.0 => (0.0, f64::INFINITY),
        (Op::Read | Op::Stop | Op::ToReal, [a, ..]) => (a.lower, a.upper),
        (Op::Floor | Op::Round | Op::ToInt, [a, ..]) => (a.lower.floor(), a.upper.ceil()),
        (Op::Select, [_, a, b]) => (a.lower.min(b.lower), a.upper.max(b.upper)),
        (Op::BoolToInt, _) => (0.0, 1.0),
        (Op::IMod, [_, b]) if b.lower > 0.0 => (0.0, b.upper - 1.0),
        (Op::IDiv, [a, b]) if a.lower >= 0.0 && b.lower > 0.0 => (0.0, a.upper),
        _ => ALL,
    }
}
