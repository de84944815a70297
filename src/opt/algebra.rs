//! Rules on one scalar operation and the definitions of its operands. Exact identities, but for those marked *changes
//! rounding*; none turns a number into another or hides a NaN that the result depends on, but where an operand cancels
//! (`(m + t) - m`).

use super::simplify::Simplify;
use crate::ir::core::{Atom, Stmt};
use crate::ir::op::Op;

const ZERO: Atom = Atom::Real(0.0);
const ONE: Atom = Atom::Real(1.0);

/// What an operation becomes.
pub(super) enum Reduced {
    Atom(Atom),
    Op(Op, Vec<Atom>),
}

impl Simplify<'_> {
    /// Applies rules until none fits. Statements that the result needs go to `out`.
    pub(super) fn reduce(&mut self, out: &mut Vec<Stmt>, mut op: Op, mut args: Vec<Atom>) -> Reduced {
        for _ in 0..16 {
            if let Some(a) = fold(op, &args) {
                return Reduced::Atom(a);
            }
            order(op, &mut args);
            match self.rule(out, op, &args) {
                None => return Reduced::Op(op, args),
                Some(Reduced::Atom(a)) => return Reduced::Atom(a),
                Some(Reduced::Op(o, a)) => {
                    op = o;
                    args = a;
                }
            }
        }
        Reduced::Op(op, args)
    }

    fn rule(&mut self, out: &mut Vec<Stmt>, op: Op, args: &[Atom]) -> Option<Reduced> {
        let to = |op: Op, args: &[Atom]| Some(Reduced::Op(op, args.to_vec()));
        let is = |a: Atom| Some(Reduced::Atom(a));
        let (x, y) = (args[0], args.get(1).copied().unwrap_or(args[0]));
        match op {
            Op::Neg => match self.op_of(x)? {
                (Op::Neg, a) => is(a[0]),
                (Op::Sub, a) => to(Op::Sub, &[a[1], a[0]]),
                (Op::Mul, a) if matches!(a[1], Atom::Real(_)) => {
                    let Atom::Real(c) = a[1] else { return None };
                    to(Op::Mul, &[a[0], Atom::Real(-c)])
                }
                _ => None,
            },
            Op::Add => self.rule_add(x, y),
            Op::Sub => self.rule_sub(x, y),
            Op::Mul => self.rule_mul(out, x, y),
            Op::Div => self.rule_div(out, x, y),
            Op::Pow => {
                let Atom::Real(c) = y else { return None };
                if c == 0.0 {
                    is(ONE)
                } else if c == 1.0 {
                    is(x)
                } else if c == 2.0 {
                    to(Op::Mul, &[x, x])
                } else if c == 3.0 {
                    let square = self.make(out, Op::Mul, &[x, x]);
                    to(Op::Mul, &[square, x])
                } else if c == 0.5 {
                    to(Op::Sqrt, &[x])
                } else if c == -1.0 {
                    to(Op::Div, &[ONE, x])
                } else if c == -2.0 {
                    let square = self.make(out, Op::Mul, &[x, x]);
                    to(Op::Div, &[ONE, square])
                } else {
                    None
                }
            }
            Op::Exp => match self.op_of(x)? {
                // Changes rounding; for a negative operand of the log both are NaN or the branch was not taken.
                (Op::Neg, a) => match self.op_of(a[0])? {
                    (Op::Softplus, s) => {
                        let s = self.make(out, Op::Neg, &[s[0]]);
                        to(Op::Sigmoid, &[s])
                    }
                    _ => None,
                },
                _ => None,
            },
            Op::Log => match self.op_of(x)? {
                // Changes rounding, all of these.
                (Op::Exp, a) => is(a[0]),
                (Op::Sigmoid, a) => {
                    let n = self.make(out, Op::Neg, &[a[0]]);
                    let s = self.make(out, Op::Softplus, &[n]);
                    to(Op::Neg, &[s])
                }
                (Op::Add, a) if a[1] == ONE => to(Op::Log1p, &[a[0]]),
                (Op::Sub, a) if a[0] == ONE => {
                    let n = self.make(out, Op::Neg, &[a[1]]);
                    to(Op::Log1p, &[n])
                }
                (Op::Sqrt, a) => {
                    let l = self.make(out, Op::Log, &[a[0]]);
                    to(Op::Mul, &[l, Atom::Real(0.5)])
                }
                (Op::NormalCdf, a) => to(Op::LogNormalCdf, &[a[0]]),
                (Op::Div, a) if a[0] == ONE => {
                    let l = self.make(out, Op::Log, &[a[1]]);
                    to(Op::Neg, &[l])
                }
                _ => None,
            },
            Op::Log1p => match self.op_of(x)? {
                (Op::Exp, a) => to(Op::Softplus, &[a[0]]),
                (Op::Expm1, a) => is(a[0]),
                (Op::Neg, a) => match self.op_of(a[0])? {
                    // log(1 - sigmoid(t)) = -softplus(t).
                    (Op::Sigmoid, s) => {
                        let s = self.make(out, Op::Softplus, &[s[0]]);
                        to(Op::Neg, &[s])
                    }
                    _ => None,
                },
                _ => None,
            },
            Op::Expm1 => match self.op_of(x)? {
                (Op::Log1p, a) => is(a[0]),
                _ => None,
            },
            Op::Abs => match self.op_of(x)? {
                (Op::Neg, a) => to(Op::Abs, &[a[0]]),
                (Op::Abs | Op::Exp | Op::Sqrt | Op::Softplus | Op::Sigmoid, _) => is(x),
                _ => None,
            },
            Op::Min | Op::Max if x == y => is(x),
            Op::Stop if self.after_ad => is(x),
            Op::Stop => match x {
                Atom::Var(_) => match self.op_of(x)? {
                    (Op::Stop, _) => is(x),
                    _ => None,
                },
                _ => is(x),
            },
            Op::Select => self.rule_select(x, y, args[2]),
            Op::IAdd => match (y, self.op_of(x)) {
                (Atom::Int(0), _) => is(x),
                (Atom::Int(c), Some((Op::IAdd, a))) => match a[1] {
                    Atom::Int(d) => to(Op::IAdd, &[a[0], Atom::Int(c.wrapping_add(d))]),
                    _ => None,
                },
                _ => None,
            },
            Op::ISub => match y {
                Atom::Int(0) => is(x),
                Atom::Int(c) => to(Op::IAdd, &[x, Atom::Int(c.wrapping_neg())]),
                _ if x == y => is(Atom::Int(0)),
                _ => None,
            },
            Op::IMul => match y {
                Atom::Int(1) => is(x),
                Atom::Int(0) => is(Atom::Int(0)),
                _ => None,
            },
            Op::IDiv if y == Atom::Int(1) => is(x),
            Op::IMod => {
                let ((low, high), Atom::Int(n)) = (self.range(x), y) else { return None };
                if low >= 0 && high < n { is(x) } else { None }
            }
            Op::IMin | Op::IMax => {
                let ((a, b), (c, d)) = (self.range(x), self.range(y));
                let first = if op == Op::IMin { b <= c } else { a >= d };
                let second = if op == Op::IMin { d <= a } else { c >= b };
                if x == y || first {
                    is(x)
                } else if second {
                    is(y)
                } else {
                    None
                }
            }
            Op::IEq | Op::ILt | Op::ILe => {
                if x == y {
                    return is(Atom::Bool(op != Op::ILt));
                }
                let ((a, b), (c, d)) = (self.range(x), self.range(y));
                match op {
                    Op::IEq if b < c || d < a => is(Atom::Bool(false)),
                    Op::ILt if b < c => is(Atom::Bool(true)),
                    Op::ILt if a >= d => is(Atom::Bool(false)),
                    Op::ILe if b <= c => is(Atom::Bool(true)),
                    Op::ILe if a > d => is(Atom::Bool(false)),
                    _ => None,
                }
            }
            Op::And => match (x, y) {
                (Atom::Bool(true), o) | (o, Atom::Bool(true)) => is(o),
                (Atom::Bool(false), _) | (_, Atom::Bool(false)) => is(Atom::Bool(false)),
                _ if x == y => is(x),
                _ => None,
            },
            Op::Or => match (x, y) {
                (Atom::Bool(false), o) | (o, Atom::Bool(false)) => is(o),
                (Atom::Bool(true), _) | (_, Atom::Bool(true)) => is(Atom::Bool(true)),
                _ if x == y => is(x),
                _ => None,
            },
            Op::Not => match self.op_of(x)? {
                (Op::Not, a) => is(a[0]),
                _ => None,
            },
            Op::ToInt => match self.op_of(x)? {
                (Op::ToReal, a) => is(a[0]),
                _ => None,
            },
            Op::Read => self.forward_read(out, args),
            _ => None,
        }
    }

    fn rule_add(&self, x: Atom, y: Atom) -> Option<Reduced> {
        let to = |op: Op, args: &[Atom]| Some(Reduced::Op(op, args.to_vec()));
        if y == ZERO || y == Atom::Real(-0.0) {
            return Some(Reduced::Atom(x));
        }
        if x == y {
            return to(Op::Mul, &[x, Atom::Real(2.0)]);
        }
        for (p, q) in [(x, y), (y, x)] {
            match self.op_of(p) {
                Some((Op::Neg, a)) => return to(Op::Sub, &[q, a[0]]),
                // Changes rounding: (a - q) + q.
                Some((Op::Sub, a)) if a[1] == q => return Some(Reduced::Atom(a[0])),
                // Changes rounding: (t + c) + d.
                Some((Op::Add, a)) => {
                    if let (Atom::Real(c), Atom::Real(d)) = (a[1], q) {
                        return to(Op::Add, &[a[0], Atom::Real(c + d)]);
                    }
                }
                Some((Op::Mul, a)) if a[1] == Atom::Real(-1.0) => return to(Op::Sub, &[q, a[0]]),
                _ => {}
            }
        }
        None
    }

    fn rule_sub(&self, x: Atom, y: Atom) -> Option<Reduced> {
        let to = |op: Op, args: &[Atom]| Some(Reduced::Op(op, args.to_vec()));
        if x == ZERO {
            return to(Op::Neg, &[y]);
        }
        if let Atom::Real(c) = y {
            return if c == 0.0 { Some(Reduced::Atom(x)) } else { to(Op::Add, &[x, Atom::Real(-c)]) };
        }
        match self.op_of(y) {
            Some((Op::Neg, a)) => return to(Op::Add, &[x, a[0]]),
            // Changes rounding, these two: m - (m + t), m - (m - t).
            Some((Op::Add, a)) if a[0] == x => return to(Op::Neg, &[a[1]]),
            Some((Op::Add, a)) if a[1] == x => return to(Op::Neg, &[a[0]]),
            Some((Op::Sub, a)) if a[0] == x => return Some(Reduced::Atom(a[1])),
            Some((Op::Mul, a)) => {
                if let Atom::Real(c) = a[1]
                    && c == -1.0
                {
                    return to(Op::Add, &[x, a[0]]);
                }
            }
            _ => {}
        }
        match self.op_of(x) {
            // Changes rounding: (m + t) - m, (m - t) - m.
            Some((Op::Add, a)) if a[0] == y => Some(Reduced::Atom(a[1])),
            Some((Op::Add, a)) if a[1] == y => Some(Reduced::Atom(a[0])),
            Some((Op::Sub, a)) if a[0] == y => to(Op::Neg, &[a[1]]),
            _ => None,
        }
    }

    fn rule_mul(&mut self, out: &mut Vec<Stmt>, x: Atom, y: Atom) -> Option<Reduced> {
        let to = |op: Op, args: &[Atom]| Some(Reduced::Op(op, args.to_vec()));
        if y == ONE {
            return Some(Reduced::Atom(x));
        }
        if y == Atom::Real(-1.0) {
            return to(Op::Neg, &[x]);
        }
        if let Atom::Real(c) = y {
            match self.op_of(x) {
                // Changes rounding: (t * d) * c.
                Some((Op::Mul, a)) => {
                    if let Atom::Real(d) = a[1] {
                        return to(Op::Mul, &[a[0], Atom::Real(c * d)]);
                    }
                }
                Some((Op::Neg, a)) => return to(Op::Mul, &[a[0], Atom::Real(-c)]),
                _ => {}
            }
            return None;
        }
        for (p, q) in [(x, y), (y, x)] {
            match self.op_of(p) {
                Some((Op::Neg, a)) => {
                    let product = self.make(out, Op::Mul, &[a[0], q]);
                    return to(Op::Neg, &[product]);
                }
                // Changes rounding: (a / q) * q.
                Some((Op::Div, a)) if a[1] == q => return Some(Reduced::Atom(a[0])),
                // Changes rounding: (1 / a) * (a * t).
                Some((Op::Div, a)) if a[0] == ONE => {
                    if let Some((Op::Mul, m)) = self.op_of(q) {
                        if m[0] == a[1] {
                            return Some(Reduced::Atom(m[1]));
                        }
                        if m[1] == a[1] {
                            return Some(Reduced::Atom(m[0]));
                        }
                    }
                }
                _ => {}
            }
        }
        None
    }

    fn rule_div(&mut self, out: &mut Vec<Stmt>, x: Atom, y: Atom) -> Option<Reduced> {
        let to = |op: Op, args: &[Atom]| Some(Reduced::Op(op, args.to_vec()));
        if y == ONE {
            return Some(Reduced::Atom(x));
        }
        if let Atom::Real(c) = y {
            // Changes rounding, unless c is a power of two.
            let inverse = 1.0 / c;
            return if inverse.is_normal() { to(Op::Mul, &[x, Atom::Real(inverse)]) } else { None };
        }
        match self.op_of(x) {
            // Changes rounding: (s * e) / s.
            Some((Op::Mul, a)) if a[0] == y => return Some(Reduced::Atom(a[1])),
            Some((Op::Mul, a)) if a[1] == y => return Some(Reduced::Atom(a[0])),
            Some((Op::Neg, a)) => {
                let quotient = self.make(out, Op::Div, &[a[0], y]);
                return to(Op::Neg, &[quotient]);
            }
            _ => {}
        }
        if let Some((Op::Neg, a)) = self.op_of(y) {
            let quotient = self.make(out, Op::Div, &[x, a[0]]);
            return to(Op::Neg, &[quotient]);
        }
        if let Some((Op::Exp, a)) = self.op_of(y)
            && x == ONE
            && !self.after_ad
        {
            let n = self.make(out, Op::Neg, &[a[0]]);
            return to(Op::Exp, &[n]);
        }
        // Changes rounding: the reciprocal of what does not change in this loop, or of data, is found once.
        if self.after_ad && x != ONE && (self.is_invariant(y) || (self.is_static(y) && !self.is_static(x))) {
            let inverse = self.make(out, Op::Div, &[ONE, y]);
            return to(Op::Mul, &[x, inverse]);
        }
        None
    }

    fn rule_select(&self, c: Atom, x: Atom, y: Atom) -> Option<Reduced> {
        match c {
            Atom::Bool(true) => return Some(Reduced::Atom(x)),
            Atom::Bool(false) => return Some(Reduced::Atom(y)),
            _ => {}
        }
        if x == y {
            return Some(Reduced::Atom(x));
        }
        match self.op_of(c) {
            Some((Op::Not, a)) => Some(Reduced::Op(Op::Select, vec![a[0], y, x])),
            _ => None,
        }
    }
}

/// Operands of commutative operations in one order: literals last, then by number.
fn order(op: Op, args: &mut [Atom]) {
    let commutes = matches!(
        op,
        Op::Add | Op::Mul | Op::IAdd | Op::IMul | Op::IMin | Op::IMax | Op::And | Op::Or | Op::Eq | Op::IEq
    );
    if commutes {
        let key = |a: Atom| a.var().map_or(u64::MAX, |v| u64::from(v.0));
        if key(args[0]) > key(args[1]) {
            args.swap(0, 1);
        }
    }
}

/// The value of an operation on literals, where folding cannot differ from running it by more than rounding.
fn fold(op: Op, args: &[Atom]) -> Option<Atom> {
    let real = |k: usize| match args.get(k) {
        Some(&Atom::Real(v)) => Some(v),
        _ => None,
    };
    let int = |k: usize| match args.get(k) {
        Some(&Atom::Int(v)) => Some(v),
        _ => None,
    };
    let r = |v: f64| Some(Atom::Real(v));
    match op {
        Op::Neg => r(-real(0)?),
        Op::Add => r(real(0)? + real(1)?),
        Op::Sub => r(real(0)? - real(1)?),
        Op::Mul => r(real(0)? * real(1)?),
        Op::Div => r(real(0)? / real(1)?),
        Op::Abs => r(real(0)?.abs()),
        Op::Sqrt => r(real(0)?.sqrt()),
        Op::Exp => r(real(0)?.exp()),
        Op::Log => r(real(0)?.ln()),
        Op::Log1p => r(real(0)?.ln_1p()),
        Op::Expm1 => r(real(0)?.exp_m1()),
        Op::Floor => r(real(0)?.floor()),
        Op::Eq => Some(Atom::Bool(real(0)? == real(1)?)),
        Op::Lt => Some(Atom::Bool(real(0)? < real(1)?)),
        Op::Le => Some(Atom::Bool(real(0)? <= real(1)?)),
        Op::IsNan => Some(Atom::Bool(real(0)?.is_nan())),
        Op::INeg => Some(Atom::Int(int(0)?.wrapping_neg())),
        Op::IAdd => Some(Atom::Int(int(0)?.wrapping_add(int(1)?))),
        Op::ISub => Some(Atom::Int(int(0)?.wrapping_sub(int(1)?))),
        Op::IMul => Some(Atom::Int(int(0)?.wrapping_mul(int(1)?))),
        Op::IDiv => {
            let (a, b) = (int(0)?, int(1)?);
            if b == 0 {
                return None;
            }
            let q = a.wrapping_div(b);
            let inexact = a.wrapping_rem(b) != 0 && (a < 0) != (b < 0);
            Some(Atom::Int(if inexact { q - 1 } else { q }))
        }
        Op::IMod => {
            let (a, b) = (int(0)?, int(1)?);
            if b == 0 {
                return None;
            }
            let m = a.wrapping_rem(b);
            Some(Atom::Int(if m != 0 && (m < 0) != (b < 0) { m + b } else { m }))
        }
        Op::IMin => Some(Atom::Int(int(0)?.min(int(1)?))),
        Op::IMax => Some(Atom::Int(int(0)?.max(int(1)?))),
        Op::IEq => Some(Atom::Bool(int(0)? == int(1)?)),
        Op::ILt => Some(Atom::Bool(int(0)? < int(1)?)),
        Op::ILe => Some(Atom::Bool(int(0)? <= int(1)?)),
        Op::Not => match args[0] {
            Atom::Bool(v) => Some(Atom::Bool(!v)),
            _ => None,
        },
        Op::ToReal => r(int(0)? as f64),
        Op::BoolToInt => match args[0] {
            Atom::Bool(v) => Some(Atom::Int(i64::from(v))),
            _ => None,
        },
        _ => None,
    }
}
