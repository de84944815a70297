//! Scalar operations on cells. The functions that fix a meaning beyond IEEE arithmetic (minimum and maximum, floor
//! division, integer powers) are public: machine code uses or mirrors them.

use super::super::op::Op;
use super::{from_int, int, kernels};

/// A cell that holds a bool.
fn from_bool(b: bool) -> f64 {
    from_int(i64::from(b))
}

/// An operation with one operand.
pub(super) fn unary(op: Op, cell: f64) -> f64 {
    match op {
        Op::Neg => -cell,
        Op::Abs => cell.abs(),
        Op::Sign => sign(cell),
        Op::Sqrt => cell.sqrt(),
        Op::Floor => cell.floor(),
        Op::Round => round(cell),
        Op::IsNan => from_bool(cell.is_nan()),
        Op::INeg => from_int(int(cell).wrapping_neg()),
        Op::Not => from_bool(cell.to_bits() == 0),
        Op::ToReal => int(cell) as f64,
        Op::ToInt => from_int(to_int(cell)),
        Op::BoolToInt => cell,
        _ => kernels::unary(op, cell),
    }
}

/// An operation with two operands.
pub(super) fn binary(op: Op, a: f64, b: f64) -> f64 {
    match op {
        Op::Add => a + b,
        Op::Sub => a - b,
        Op::Mul => a * b,
        Op::Div => a / b,
        Op::Min => minimum(a, b),
        Op::Max => maximum(a, b),
        Op::Eq => from_bool(a == b),
        Op::Lt => from_bool(a < b),
        Op::Le => from_bool(a <= b),
        Op::IAdd => from_int(int(a).wrapping_add(int(b))),
        Op::ISub => from_int(int(a).wrapping_sub(int(b))),
        Op::IMul => from_int(int(a).wrapping_mul(int(b))),
        Op::IMin => from_int(int(a).min(int(b))),
        Op::IMax => from_int(int(a).max(int(b))),
        Op::IEq => from_bool(int(a) == int(b)),
        Op::ILt => from_bool(int(a) < int(b)),
        Op::ILe => from_bool(int(a) <= int(b)),
        Op::And => from_bool(a.to_bits() != 0 && b.to_bits() != 0),
        Op::Or => from_bool(a.to_bits() != 0 || b.to_bits() != 0),
        _ => kernels::binary(op, a, b),
    }
}

/// An operation with three operands.
pub(super) fn ternary(op: Op, a: f64, b: f64, c: f64) -> f64 {
    match op {
        Op::Fma => a.mul_add(b, c),
        _ => kernels::ternary(op, a, b, c),
    }
}

/// The greater operand, NaN if either is NaN, and 0.0 rather than -0.0 (IEEE 754-2019 `maximum`).
pub fn maximum(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == b {
        // Equal numbers differ in bits only as zeros: the sign survives if both have it.
        f64::from_bits(a.to_bits() & b.to_bits())
    } else if a > b {
        a
    } else {
        b
    }
}

/// The lesser operand, NaN if either is NaN, and -0.0 rather than 0.0 (IEEE 754-2019 `minimum`).
pub fn minimum(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == b {
        f64::from_bits(a.to_bits() | b.to_bits())
    } else if a < b {
        a
    } else {
        b
    }
}

/// -1, 0 or 1; the operand itself if it is a zero or NaN.
pub fn sign(x: f64) -> f64 {
    if x > 0.0 {
        1.0
    } else if x < 0.0 {
        -1.0
    } else {
        x
    }
}

/// To the nearest whole number, halves to the even one (as IEEE `roundToIntegralTiesToEven`).
pub fn round(x: f64) -> f64 {
    x.round_ties_even()
}

/// Towards zero, saturating; NaN is 0.
pub fn to_int(x: f64) -> i64 {
    x as i64
}

/// Floor of `a / b`; 0 if `b` is 0; wrapping for the least int by -1.
pub fn floor_div(a: i64, b: i64) -> i64 {
    if b == 0 {
        return 0;
    }
    let q = a.wrapping_div(b);
    if a.wrapping_rem(b) != 0 && (a < 0) != (b < 0) { q - 1 } else { q }
}

/// `a - b * floor_div(a, b)`; 0 if `b` is 0.
pub fn floor_mod(a: i64, b: i64) -> i64 {
    if b == 0 {
        return 0;
    }
    let r = a.wrapping_rem(b);
    if r != 0 && (r < 0) != (b < 0) { r + b } else { r }
}

/// Whether a literal exponent means repeated multiplication.
pub fn is_small_integer(n: f64) -> bool {
    n.fract() == 0.0 && n.abs() <= 64.0
}

/// `x ^ n` for an `n` that [`is_small_integer`]: square and multiply from the lowest bit of |n| up, the first factor
/// taken as it is; the reciprocal at the end if `n` is negative; 1 if it is 0.
pub fn integer_power(x: f64, n: f64) -> f64 {
    let mut bits = n.abs() as u32;
    if bits == 0 {
        return 1.0;
    }
    let mut square = x;
    let mut product: Option<f64> = None;
    loop {
        if bits & 1 == 1 {
            product = Some(product.map_or(square, |p| p * square));
        }
        bits >>= 1;
        if bits == 0 {
            break;
        }
        square *= square;
    }
    let p = product.unwrap_or(1.0);
    if n < 0.0 { 1.0 / p } else { p }
}
