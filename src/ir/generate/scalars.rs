//! Scalar operations of a generated program. Each gets operands in its domain and a result scaled back to moderate
//! size (|x| up to about 4); now and then one gets special values, and its result is an output only.

use super::super::core::{Atom, Block, Collector, For, Scalar, Stmt, Type};
use super::super::op::Op;
use super::Generator;

const SPECIAL: [f64; 14] =
    [0.0, -0.0, 1.0, -1.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1e300, -1e300, 1e-310, 0.5, 2.0, -2.5, 37.0];

impl Generator {
    /// Emits `op`; the result is not exposed.
    pub(super) fn op(&mut self, op: Op, args: &[Atom]) -> Atom {
        let ty = match op.signature() {
            Some((_, result)) => Type { scalar: result, shape: Vec::new() },
            None => match op {
                Op::Read => Type { scalar: self.program.atom_type(args[0]).scalar, shape: Vec::new() },
                Op::Select => self.program.atom_type(args[1]),
                _ => self.program.atom_type(args[0]),
            },
        };
        let result = self.var(ty, None);
        self.push(Stmt::Op { result, op, args: args.to_vec() });
        result.into()
    }

    /// A real scalar of moderate size.
    pub(super) fn real(&mut self) -> Atom {
        if self.random.chance(0.15) {
            return Atom::Real((self.random.range(-3.0, 3.0) * 64.0).round() / 64.0);
        }
        if self.random.chance(0.2)
            && let Some(x) = self.read_any(Scalar::Real)
        {
            return x;
        }
        match self.find(|k| k.ty == Type::REAL) {
            Some(v) => v.into(),
            None => Atom::Real(0.75),
        }
    }

    /// A real scalar that what jumps may read.
    pub(super) fn free_real(&mut self) -> Atom {
        for _ in 0..4 {
            let x = self.real();
            if self.free(x) {
                return x;
            }
        }
        Atom::Real(1.25)
    }

    /// In about [0.25, 4.5].
    pub(super) fn positive(&mut self, free: bool) -> Atom {
        let x = if free { self.free_real() } else { self.real() };
        let p = match self.random.below(3) {
            0 => self.op(Op::Abs, &[x]),
            1 => self.op(Op::Softplus, &[x]),
            _ => {
                let half = self.op(Op::Mul, &[x, Atom::Real(0.5)]);
                self.op(Op::Mul, &[half, half])
            }
        };
        self.op(Op::Add, &[p, Atom::Real(0.25)])
    }

    /// In (0, 1).
    fn probability(&mut self) -> Atom {
        let x = self.real();
        self.op(Op::Sigmoid, &[x])
    }

    pub(super) fn int(&mut self) -> Atom {
        if self.random.chance(0.2) {
            return Atom::Int(self.random.below(12) as i64 - 4);
        }
        if self.random.chance(0.2)
            && let Some(x) = self.read_any(Scalar::Int)
        {
            return x;
        }
        match self.find(|k| k.ty == Type::INT) {
            Some(v) => v.into(),
            None => Atom::Int(3),
        }
    }

    pub(super) fn boolean(&mut self) -> Atom {
        if self.random.chance(0.4)
            && let Some(v) = self.find(|k| k.ty == Type::BOOL)
        {
            return v.into();
        }
        if self.random.chance(0.5) {
            let (a, b) = (self.free_real(), self.free_real());
            let op = *self.random.pick(&[Op::Lt, Op::Le, Op::Eq]);
            return self.op(op, &[a, b]);
        }
        let (a, b) = (self.int(), self.int());
        let op = *self.random.pick(&[Op::ILt, Op::ILe, Op::IEq]);
        self.op(op, &[a, b])
    }

    /// A scalar of the kind, usable anywhere.
    pub(super) fn scalar(&mut self, kind: Scalar) -> Atom {
        match kind {
            Scalar::Real => self.real(),
            Scalar::Int => self.int(),
            Scalar::Bool => self.boolean(),
        }
    }

    /// An index for an axis of `n`; almost always in bounds.
    pub(super) fn index(&mut self, n: usize) -> Atom {
        let loops: Vec<Atom> = self.loops.iter().filter(|&&(_, m)| m <= n).map(|&(a, _)| a).collect();
        if !loops.is_empty() && self.random.chance(0.6) {
            return *self.random.pick(&loops);
        }
        if n == 0 || (!self.options.smooth_only && self.random.chance(0.03)) {
            return self.int();
        }
        if self.random.chance(0.3) {
            return Atom::Int(self.random.below(n) as i64);
        }
        let i = self.int();
        if self.random.chance(0.7) {
            self.op(Op::IMod, &[i, Atom::Int(n as i64)])
        } else {
            let low = self.op(Op::IMax, &[i, Atom::Int(0)]);
            self.op(Op::IMin, &[low, Atom::Int(n as i64 - 1)])
        }
    }

    /// An element of some array in scope.
    pub(super) fn read_any(&mut self, scalar: Scalar) -> Option<Atom> {
        let array = self.find(|k| k.ty.scalar == scalar && !k.ty.is_scalar())?;
        let shape = self.program.ty(array).shape.clone();
        let mut args = vec![array.into()];
        for n in shape {
            let i = self.index(n);
            args.push(i);
        }
        Some(self.op(Op::Read, &args))
    }

    /// Σ a[i…] · w over all elements of a real array, w = 1/(size).
    pub(super) fn weighted_sum(&mut self, array: Atom) -> Atom {
        let shape = self.program.atom_type(array).shape;
        let size = shape.iter().product::<usize>().max(1);
        let indices: Vec<_> = shape.iter().map(|&n| (self.var(Type::INT, None), n)).collect();
        let outer = std::mem::take(&mut self.stmts);
        let mut args = vec![array];
        args.extend(indices.iter().map(|&(v, _)| Atom::Var(v)));
        let x = self.op(Op::Read, &args);
        let y = self.op(Op::Mul, &[x, Atom::Real(1.0 / size as f64)]);
        let stmts = std::mem::replace(&mut self.stmts, outer);
        let result = self.var(Type::REAL, None);
        self.push(Stmt::For(For {
            results: vec![result],
            indices,
            body: Block { stmts, results: vec![y] },
            collectors: vec![Collector::Sum { keep: vec![] }],
            strip: None,
        }));
        result.into()
    }

    fn scaled(&mut self, x: Atom, factor: f64) -> Atom {
        self.op(Op::Mul, &[x, Atom::Real(factor)])
    }
}

/// Emits one operation with operands in its domain, and exposes its result.
pub(super) fn operation(g: &mut Generator, op: Op) {
    if !g.options.smooth_only && g.random.chance(0.08) {
        special(g, op);
        return;
    }
    let result = match op {
        Op::Neg | Op::Abs | Op::Sin | Op::Cos | Op::Atan | Op::Tanh | Op::Sigmoid | Op::Softplus | Op::NormalCdf => {
            let x = g.real();
            g.op(op, &[x])
        }
        Op::Min | Op::Max => {
            let (a, b) = (g.real(), g.real());
            g.op(op, &[a, b])
        }
        Op::Add | Op::Sub => {
            let (a, b) = (g.real(), g.real());
            let r = g.op(op, &[a, b]);
            g.scaled(r, 0.5)
        }
        Op::Mul => {
            let (a, b) = (g.real(), g.real());
            let r = g.op(op, &[a, b]);
            g.scaled(r, 0.25)
        }
        Op::Div => {
            let (a, b) = (g.real(), g.positive(false));
            let r = g.op(op, &[a, b]);
            g.scaled(r, 0.25)
        }
        Op::Fma => {
            let (a, b, c) = (g.real(), g.real(), g.real());
            let r = g.op(op, &[a, b, c]);
            g.scaled(r, 0.2)
        }
        Op::Pow => {
            let r = if g.random.chance(0.5) {
                let x = g.real();
                let n = *g.random.pick(&[0.0, 1.0, 2.0, 3.0, 4.0, 7.0]);
                g.op(op, &[x, Atom::Real(n)])
            } else if g.random.chance(0.3) {
                let x = g.positive(false);
                let n = *g.random.pick(&[-1.0, -2.0, -3.0, 0.5, 65.0]);
                g.op(op, &[x, Atom::Real(n)])
            } else {
                let (a, b) = (g.positive(false), g.real());
                g.op(op, &[a, b])
            };
            g.op(Op::Atan, &[r])
        }
        Op::Sign | Op::Floor | Op::Round => {
            let x = g.free_real();
            g.op(op, &[x])
        }
        Op::IsNan => {
            let x = g.free_real();
            g.op(op, &[x])
        }
        Op::Sqrt | Op::Log | Op::Log1p | Op::Lgamma => {
            let x = g.positive(false);
            g.op(op, &[x])
        }
        Op::Digamma => {
            let x = g.positive(false);
            g.op(op, &[x])
        }
        Op::Trigamma => {
            let x = g.positive(true);
            let r = g.op(op, &[x]);
            g.scaled(r, 0.2)
        }
        Op::Exp | Op::Expm1 => {
            let x = g.real();
            let r = g.op(op, &[x]);
            g.scaled(r, 0.07)
        }
        Op::Tan => {
            let x = g.real();
            let x = g.scaled(x, 0.3);
            g.op(op, &[x])
        }
        Op::NormalQuantile => {
            let p = g.probability();
            g.op(op, &[p])
        }
        Op::LogNormalCdf => {
            let x = g.real();
            let r = g.op(op, &[x]);
            g.scaled(r, 0.3)
        }
        Op::GammaP => {
            let (a, x) = (g.positive(false), g.positive(false));
            g.op(op, &[a, x])
        }
        Op::GammaPDa => {
            let (a, x) = (g.positive(true), g.positive(true));
            g.op(op, &[a, x])
        }
        Op::GammaPInv => {
            let (a, p) = (g.positive(false), g.probability());
            let r = g.op(op, &[a, p]);
            g.op(Op::Atan, &[r])
        }
        Op::LogGammaDa => {
            let (a, l) = (g.positive(true), g.free_real());
            let r = g.op(op, &[a, l]);
            g.op(Op::Atan, &[r])
        }
        Op::BetaInc | Op::BetaIncInv => {
            let (a, b, x) = (g.positive(false), g.positive(false), g.probability());
            g.op(op, &[a, b, x])
        }
        Op::BetaIncDa => {
            let (a, b, x) = (g.positive(true), g.positive(true), g.free_real());
            let x = g.op(Op::Sigmoid, &[x]);
            g.op(op, &[a, b, x])
        }
        Op::VonMisesCdf => {
            let (k, x) = (g.positive(false), g.real());
            let x = g.scaled(x, 0.7);
            g.op(op, &[k, x])
        }
        Op::VonMisesQuantile => {
            let (k, u) = (g.positive(false), g.probability());
            g.op(op, &[k, u])
        }
        Op::VonMisesDk => {
            let (k, x) = (g.positive(true), g.free_real());
            g.op(op, &[k, x])
        }
        Op::LogBesselI0 | Op::BesselRatio => {
            let x = g.real();
            g.op(op, &[x])
        }
        Op::OwensT => {
            let (h, a) = (g.real(), g.real());
            g.op(op, &[h, a])
        }
        Op::Eq | Op::Lt | Op::Le => {
            let (a, b) = (g.free_real(), g.free_real());
            g.op(op, &[a, b])
        }
        Op::INeg => {
            let a = g.int();
            g.op(op, &[a])
        }
        Op::IAdd | Op::ISub | Op::IMul | Op::IMin | Op::IMax | Op::IEq | Op::ILt | Op::ILe => {
            let (a, b) = (g.int(), g.int());
            g.op(op, &[a, b])
        }
        Op::IDiv | Op::IMod => {
            let a = g.int();
            let b = if g.random.chance(0.9) { Atom::Int(*g.random.pick(&[1, 2, 3, -3, 7, -1])) } else { g.int() };
            g.op(op, &[a, b])
        }
        Op::And | Op::Or => {
            let (a, b) = (g.boolean(), g.boolean());
            g.op(op, &[a, b])
        }
        Op::Not => {
            let a = g.boolean();
            g.op(op, &[a])
        }
        Op::ToReal => {
            let i = g.int();
            let small = g.op(Op::IMod, &[i, Atom::Int(8)]);
            let r = g.op(op, &[small]);
            g.scaled(r, 0.5)
        }
        Op::ToInt => {
            let x = g.free_real();
            g.op(op, &[x])
        }
        Op::BoolToInt => {
            let a = g.boolean();
            g.op(op, &[a])
        }
        Op::Read => {
            let kind = *g.random.pick(&[Scalar::Real, Scalar::Real, Scalar::Int, Scalar::Bool]);
            match g.read_any(kind) {
                Some(x) => x,
                None => return,
            }
        }
        Op::Select => {
            let kind = *g.random.pick(&[Scalar::Real, Scalar::Real, Scalar::Int, Scalar::Bool]);
            let (c, a, b) = (g.boolean(), g.scalar(kind), g.scalar(kind));
            g.op(op, &[c, a, b])
        }
        Op::Stop => {
            let array = g.random.chance(0.3);
            let smooth = g.options.smooth_only;
            let depends = g.depends.clone();
            let found = g.find(|k| k.ty.is_scalar() != array && !(smooth && depends[k.var.0 as usize]));
            match found {
                Some(v) => g.op(op, &[v.into()]),
                None => {
                    let x = g.free_real();
                    g.op(op, &[x])
                }
            }
        }
    };
    g.expose(result);
}

/// Special values or unguarded operands; the result only goes out.
fn special(g: &mut Generator, op: Op) {
    let Some((args, _)) = op.signature() else { return };
    let args: Vec<Atom> = args
        .iter()
        .map(|kind| match kind {
            Scalar::Real if g.random.chance(0.6) => Atom::Real(*g.random.pick(&SPECIAL)),
            Scalar::Int if g.random.chance(0.5) => Atom::Int(*g.random.pick(&[i64::MIN, i64::MAX, 0, -1, 1, 2])),
            kind => g.scalar(*kind),
        })
        .collect();
    let result = g.op(op, &args);
    g.output(result);
}
