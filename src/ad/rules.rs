//! The table of partial derivatives: one row per scalar operation, from which both the tangent and the adjoint follow.
//! Total: an operation has a derivative, has derivative zero, or is refused.
//!
//! At edges: `0 ^ b` has derivative zero in `b`; `a ^ 0` has derivative zero in `a`; `max` and `min` give a tie to the
//! first operand; `sqrt` at 0 has derivative infinity. `select` passes by selection, never by multiplication.

use crate::ir::builder::Builder;
use crate::ir::core::Atom;
use crate::ir::op::Op;

/// The derivative of an operation in one operand, as what is done to a tangent or an adjoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Partial {
    Zero,
    One,
    MinusOne,
    /// Multiplied by.
    Times(Atom),
    /// Divided by.
    Over(Atom),
    /// Kept where the condition holds, else zero.
    Where(Atom),
    /// Kept where the condition does not hold, else zero.
    Unless(Atom),
    /// No rule.
    Refused,
}

impl Partial {
    /// The tangent or adjoint after this factor; `None` if it is zero by rule.
    pub fn apply(self, b: &mut Builder<'_>, x: Atom) -> Option<Atom> {
        if is_zero(x) {
            return None;
        }
        match self {
            Partial::Zero | Partial::Refused => None,
            Partial::One => Some(x),
            Partial::MinusOne => Some(neg(b, x)),
            Partial::Times(p) => Some(mul(b, x, p)),
            Partial::Over(p) => Some(b.op(Op::Div, &[x, p])),
            Partial::Where(c) => Some(b.op(Op::Select, &[c, x, Atom::Real(0.0)])),
            Partial::Unless(c) => Some(b.op(Op::Select, &[c, Atom::Real(0.0), x])),
        }
    }
}

/// `true` for the literal zero.
pub fn is_zero(x: Atom) -> bool {
    matches!(x, Atom::Real(v) if v == 0.0)
}

fn is_one(x: Atom) -> bool {
    matches!(x, Atom::Real(v) if v == 1.0)
}

pub(super) fn mul(b: &mut Builder<'_>, x: Atom, y: Atom) -> Atom {
    if is_one(x) {
        return y;
    }
    if is_one(y) {
        return x;
    }
    if let (Atom::Real(p), Atom::Real(q)) = (x, y) {
        return Atom::Real(p * q);
    }
    b.op(Op::Mul, &[x, y])
}

pub(super) fn add(b: &mut Builder<'_>, x: Atom, y: Atom) -> Atom {
    if is_zero(x) {
        return y;
    }
    if is_zero(y) {
        return x;
    }
    if let (Atom::Real(p), Atom::Real(q)) = (x, y) {
        return Atom::Real(p + q);
    }
    b.op(Op::Add, &[x, y])
}

pub(super) fn neg(b: &mut Builder<'_>, x: Atom) -> Atom {
    match x {
        Atom::Real(v) => Atom::Real(-v),
        _ => b.op(Op::Neg, &[x]),
    }
}

const HALF_LOG_TWO_PI: f64 = 0.918_938_533_204_672_7;
/// 1 / sqrt(2 pi).
const INV_SQRT_TWO_PI: f64 = 0.398_942_280_401_432_7;
const SQRT_TWO_PI: f64 = 2.506_628_274_631_000_7;

/// The partial derivative of `result = op(args…)` in operand `k`. `read` is not in this table: its adjoint is a
/// contribution to one element of its array. Statements that the derivative needs are added to `b`.
pub fn partial(b: &mut Builder<'_>, op: Op, args: &[Atom], result: Atom, k: usize) -> Partial {
    let r = result;
    let real = Atom::Real;
    match op {
        Op::Neg => Partial::MinusOne,
        Op::Add => Partial::One,
        Op::Sub => [Partial::One, Partial::MinusOne][k],
        Op::Mul => Partial::Times(args[1 - k]),
        Op::Div => {
            if k == 0 {
                return Partial::Over(args[1]);
            }
            let q = b.op(Op::Div, &[r, args[1]]);
            Partial::Times(neg(b, q))
        }
        Op::Fma => match k {
            0 => Partial::Times(args[1]),
            1 => Partial::Times(args[0]),
            _ => Partial::One,
        },
        Op::Pow => power(b, args[0], args[1], r, k),
        Op::Min => {
            let first = b.op(Op::Le, &[args[0], args[1]]);
            if k == 0 { Partial::Where(first) } else { Partial::Unless(first) }
        }
        Op::Max => {
            let first = b.op(Op::Le, &[args[1], args[0]]);
            if k == 0 { Partial::Where(first) } else { Partial::Unless(first) }
        }
        Op::Abs => Partial::Times(b.op(Op::Sign, &[args[0]])),
        Op::Sqrt => Partial::Times(b.op(Op::Div, &[real(0.5), r])),
        Op::Exp => Partial::Times(r),
        Op::Log => Partial::Over(args[0]),
        Op::Log1p => Partial::Over(b.op(Op::Add, &[real(1.0), args[0]])),
        Op::Expm1 => Partial::Times(b.op(Op::Add, &[r, real(1.0)])),
        Op::Sin => Partial::Times(b.op(Op::Cos, &[args[0]])),
        Op::Cos => {
            let s = b.op(Op::Sin, &[args[0]]);
            Partial::Times(neg(b, s))
        }
        Op::Tan => {
            let t = b.op(Op::Mul, &[r, r]);
            Partial::Times(b.op(Op::Add, &[real(1.0), t]))
        }
        Op::Atan => {
            let t = b.op(Op::Mul, &[args[0], args[0]]);
            Partial::Over(b.op(Op::Add, &[real(1.0), t]))
        }
        Op::Tanh => {
            let t = b.op(Op::Mul, &[r, r]);
            Partial::Times(b.op(Op::Sub, &[real(1.0), t]))
        }
        Op::Sigmoid => {
            let other = b.op(Op::Sub, &[real(1.0), r]);
            Partial::Times(b.op(Op::Mul, &[r, other]))
        }
        Op::Softplus => Partial::Times(b.op(Op::Sigmoid, &[args[0]])),
        Op::Lgamma => Partial::Times(b.op(Op::Digamma, &[args[0]])),
        Op::Digamma => Partial::Times(b.op(Op::Trigamma, &[args[0]])),
        Op::Trigamma => Partial::Refused,
        Op::NormalCdf => {
            let e = half_square(b, args[0]);
            let e = b.op(Op::Neg, &[e]);
            let e = b.op(Op::Exp, &[e]);
            Partial::Times(b.op(Op::Mul, &[e, real(INV_SQRT_TWO_PI)]))
        }
        Op::NormalQuantile => {
            let e = half_square(b, r);
            let e = b.op(Op::Exp, &[e]);
            Partial::Times(b.op(Op::Mul, &[e, real(SQRT_TWO_PI)]))
        }
        Op::LogNormalCdf => {
            let e = half_square(b, args[0]);
            let e = b.op(Op::Add, &[e, r]);
            let e = b.op(Op::Sub, &[real(-HALF_LOG_TWO_PI), e]);
            Partial::Times(b.op(Op::Exp, &[e]))
        }
        Op::GammaP => {
            if k == 0 {
                return Partial::Times(b.op(Op::GammaPDa, args));
            }
            Partial::Times(gamma_density(b, args[0], args[1]))
        }
        Op::GammaPDa => {
            if k == 0 {
                return Partial::Refused;
            }
            // d/da of the density x^(a-1) exp(-x) / Γ(a).
            let density = gamma_density(b, args[0], args[1]);
            let l = b.op(Op::Log, &[args[1]]);
            let d = b.op(Op::Digamma, &[args[0]]);
            let d = b.op(Op::Sub, &[l, d]);
            Partial::Times(b.op(Op::Mul, &[density, d]))
        }
        Op::GammaPInv => {
            if k == 0 {
                // The quantile moves as a draw that keeps its place.
                let l = b.op(Op::Log, &[r]);
                let d = b.op(Op::LogGammaDa, &[args[0], l]);
                return Partial::Times(b.op(Op::Mul, &[r, d]));
            }
            Partial::Over(gamma_density(b, args[0], r))
        }
        Op::BetaInc => match k {
            0 => Partial::Times(b.op(Op::BetaIncDa, args)),
            // I_x(a, b) = 1 - I_{1-x}(b, a).
            1 => Partial::Times(beta_inc_db(b, args[0], args[1], args[2])),
            _ => Partial::Times(beta_density(b, args[0], args[1], args[2])),
        },
        Op::BetaIncInv => {
            let density = beta_density(b, args[0], args[1], r);
            match k {
                0 => {
                    let d = b.op(Op::BetaIncDa, &[args[0], args[1], r]);
                    let d = b.op(Op::Div, &[d, density]);
                    Partial::Times(neg(b, d))
                }
                1 => {
                    let d = beta_inc_db(b, args[0], args[1], r);
                    let d = b.op(Op::Div, &[d, density]);
                    Partial::Times(neg(b, d))
                }
                _ => Partial::Over(density),
            }
        }
        Op::LogGammaDa | Op::BetaIncDa | Op::VonMisesDk => Partial::Refused,
        Op::VonMisesCdf => {
            let density = circular_density(b, args[0], args[1]);
            if k == 0 {
                let d = b.op(Op::VonMisesDk, args);
                let d = b.op(Op::Mul, &[d, density]);
                return Partial::Times(neg(b, d));
            }
            Partial::Times(density)
        }
        Op::VonMisesQuantile => {
            if k == 0 {
                return Partial::Times(b.op(Op::VonMisesDk, &[args[0], r]));
            }
            Partial::Over(circular_density(b, args[0], r))
        }
        Op::LogBesselI0 => Partial::Times(b.op(Op::BesselRatio, &[args[0]])),
        Op::BesselRatio => {
            // 1 - r/κ - r², with the limit 1/2 at 0.
            let q = b.op(Op::Div, &[r, args[0]]);
            let s = b.op(Op::Mul, &[r, r]);
            let d = b.op(Op::Sub, &[real(1.0), q]);
            let d = b.op(Op::Sub, &[d, s]);
            let zero = b.op(Op::Eq, &[args[0], real(0.0)]);
            Partial::Times(b.op(Op::Select, &[zero, real(0.5), d]))
        }
        Op::OwensT => owens_t(b, args[0], args[1], k),
        Op::Select => match k {
            0 => Partial::Zero,
            1 => Partial::Where(args[0]),
            _ => Partial::Unless(args[0]),
        },
        Op::Stop
        | Op::Sign
        | Op::Floor
        | Op::Round
        | Op::Read
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
        | Op::BoolToInt => Partial::Zero,
    }
}

/// Of the logarithm of a gamma draw in its shape: implicit, so that the draw keeps its place in the distribution.
pub fn draw_partial(b: &mut Builder<'_>, args: &[Atom], result: Atom) -> Partial {
    Partial::Times(b.op(Op::LogGammaDa, &[args[0], result]))
}

/// d I_x(a, b) / d b.
fn beta_inc_db(b: &mut Builder<'_>, p: Atom, q: Atom, x: Atom) -> Atom {
    let y = b.op(Op::Sub, &[Atom::Real(1.0), x]);
    let d = b.op(Op::BetaIncDa, &[q, p, y]);
    neg(b, d)
}

/// exp(κ cos x - log I0(κ)) / 2π.
fn circular_density(b: &mut Builder<'_>, kappa: Atom, x: Atom) -> Atom {
    let c = b.op(Op::Cos, &[x]);
    let e = b.op(Op::Mul, &[kappa, c]);
    let norm = b.op(Op::LogBesselI0, &[kappa]);
    let e = b.op(Op::Sub, &[e, norm]);
    let e = b.op(Op::Exp, &[e]);
    b.op(Op::Mul, &[e, Atom::Real(0.5 * std::f64::consts::FRAC_1_PI)])
}

/// In h: -exp(-h²/2) (Φ(a h) - 1/2) / sqrt(2π); in a: exp(-h² (1 + a²) / 2) / (2π (1 + a²)).
fn owens_t(b: &mut Builder<'_>, h: Atom, a: Atom, k: usize) -> Partial {
    let e = half_square(b, h);
    if k == 0 {
        let e = b.op(Op::Neg, &[e]);
        let e = b.op(Op::Exp, &[e]);
        let x = b.op(Op::Mul, &[a, h]);
        let p = b.op(Op::NormalCdf, &[x]);
        let p = b.op(Op::Sub, &[Atom::Real(0.5), p]);
        let p = b.op(Op::Mul, &[p, Atom::Real(INV_SQRT_TWO_PI)]);
        return Partial::Times(b.op(Op::Mul, &[e, p]));
    }
    let s = b.op(Op::Mul, &[a, a]);
    let s = b.op(Op::Add, &[s, Atom::Real(1.0)]);
    let e = b.op(Op::Mul, &[e, s]);
    let e = b.op(Op::Neg, &[e]);
    let e = b.op(Op::Exp, &[e]);
    let e = b.op(Op::Mul, &[e, Atom::Real(0.5 * std::f64::consts::FRAC_1_PI)]);
    Partial::Times(b.op(Op::Div, &[e, s]))
}

fn half_square(b: &mut Builder<'_>, x: Atom) -> Atom {
    let t = b.op(Op::Mul, &[x, x]);
    b.op(Op::Mul, &[t, Atom::Real(0.5)])
}

fn power(b: &mut Builder<'_>, base: Atom, exponent: Atom, result: Atom, k: usize) -> Partial {
    let real = Atom::Real;
    if k == 1 {
        let zero = b.op(Op::Eq, &[base, real(0.0)]);
        let l = b.op(Op::Log, &[base]);
        let d = b.op(Op::Mul, &[result, l]);
        return Partial::Times(b.op(Op::Select, &[zero, real(0.0), d]));
    }
    if let Atom::Real(c) = exponent {
        if c == 0.0 {
            return Partial::Zero;
        }
        if c == 1.0 {
            return Partial::One;
        }
        if c == 2.0 {
            return Partial::Times(b.op(Op::Mul, &[real(2.0), base]));
        }
        let p = b.op(Op::Pow, &[base, real(c - 1.0)]);
        return Partial::Times(b.op(Op::Mul, &[real(c), p]));
    }
    let less = b.op(Op::Sub, &[exponent, real(1.0)]);
    let p = b.op(Op::Pow, &[base, less]);
    let d = b.op(Op::Mul, &[exponent, p]);
    let zero = b.op(Op::Eq, &[exponent, real(0.0)]);
    Partial::Times(b.op(Op::Select, &[zero, real(0.0), d]))
}

/// exp((a-1) log x - x - lgamma a).
fn gamma_density(b: &mut Builder<'_>, a: Atom, x: Atom) -> Atom {
    let l = b.op(Op::Log, &[x]);
    let a1 = b.op(Op::Sub, &[a, Atom::Real(1.0)]);
    let e = b.op(Op::Mul, &[a1, l]);
    let e = b.op(Op::Sub, &[e, x]);
    let g = b.op(Op::Lgamma, &[a]);
    let e = b.op(Op::Sub, &[e, g]);
    b.op(Op::Exp, &[e])
}

/// exp((p-1) log x + (q-1) log(1-x) - lbeta(p, q)).
fn beta_density(b: &mut Builder<'_>, p: Atom, q: Atom, x: Atom) -> Atom {
    let real = Atom::Real;
    let l = b.op(Op::Log, &[x]);
    let p1 = b.op(Op::Sub, &[p, real(1.0)]);
    let e = b.op(Op::Mul, &[p1, l]);
    let m = b.op(Op::Neg, &[x]);
    let l = b.op(Op::Log1p, &[m]);
    let q1 = b.op(Op::Sub, &[q, real(1.0)]);
    let f = b.op(Op::Mul, &[q1, l]);
    let e = b.op(Op::Add, &[e, f]);
    let sum = b.op(Op::Add, &[p, q]);
    let gp = b.op(Op::Lgamma, &[p]);
    let gq = b.op(Op::Lgamma, &[q]);
    let gs = b.op(Op::Lgamma, &[sum]);
    let norm = b.op(Op::Add, &[gp, gq]);
    let norm = b.op(Op::Sub, &[norm, gs]);
    let e = b.op(Op::Sub, &[e, norm]);
    b.op(Op::Exp, &[e])
}
