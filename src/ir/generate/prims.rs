//! Array primitives, contracts, draws and samples of a generated program.

use super::super::core::{Atom, Contract, ContractKind, Draw, Noise, Prim, Sample, Scalar, Stmt, Type};
use super::super::op::Op;
use super::Generator;
use std::sync::Arc;

/// Number of kinds that [`primitive`] knows.
pub(super) const KINDS: usize = 13;

impl Generator {
    fn prim(&mut self, prim: Prim, args: &[Atom], ty: Type) -> Atom {
        let result = self.var(ty, None);
        self.push(Stmt::Array { results: vec![result], prim, args: args.to_vec() });
        result.into()
    }

    /// A real array of the shape: one in scope, or a new one.
    fn array(&mut self, shape: &[usize]) -> Atom {
        if self.random.chance(0.6)
            && let Some(v) = self.find(|k| k.ty.scalar == Scalar::Real && k.ty.shape == shape)
        {
            return v.into();
        }
        if shape.is_empty() {
            return self.real();
        }
        self.map(shape, |g, _| g.real())
    }

    /// `[n, n]` with `diagonal(x)` on the diagonal and small elements elsewhere.
    fn lower(&mut self, n: usize) -> Atom {
        self.map(&[n, n], |g, ij| {
            let x = g.real();
            let p = g.positive(false);
            let d = g.op(Op::Add, &[p, Atom::Real(0.75)]);
            let o = g.op(Op::Mul, &[x, Atom::Real(0.2)]);
            let same = g.op(Op::IEq, &[ij[0], ij[1]]);
            g.op(Op::Select, &[same, d, o])
        })
    }

    /// `[n, n]` symmetric and positive definite.
    fn positive_definite(&mut self, n: usize) -> Atom {
        let a = self.array(&[n, 2]);
        let result = self.var(Type::array(Scalar::Real, [n, n]), None);
        let (a_labels, b_labels, out) = (b"ik".to_vec(), b"jk".to_vec(), b"ij".to_vec());
        self.push(Stmt::Contract(Contract { result, a, b: a, a_labels, b_labels, out, kind: None }));
        self.map(&[n, n], |g, ij| {
            let x = g.op(Op::Read, &[result.into(), ij[0], ij[1]]);
            let same = g.op(Op::IEq, &[ij[0], ij[1]]);
            let d = g.op(Op::Select, &[same, Atom::Real(1.5), Atom::Real(0.0)]);
            g.op(Op::Add, &[x, d])
        })
    }

    fn some_array(&mut self, wanted: impl Fn(&Type) -> bool) -> Option<(Atom, Type)> {
        let v = self.find(|k| !k.ty.is_scalar() && k.ty.size() <= 1100 && wanted(&k.ty))?;
        Some((v.into(), self.program.ty(v).clone()))
    }
}

/// Emits one array primitive of the kind, and exposes its result.
pub(super) fn primitive(g: &mut Generator, kind: usize) {
    let n = g.small_extent();
    match kind {
        0 => {
            let any = !g.options.smooth_only && g.random.chance(0.15);
            let a = if any { g.array(&[n, n]) } else { g.positive_definite(n) };
            let l = g.prim(Prim::Cholesky, &[a], Type::array(Scalar::Real, [n, n]));
            if any { g.output(l) } else { g.expose(l) }
        }
        1 | 2 => {
            let l = g.lower(n);
            let shape = if g.random.chance(0.5) { vec![n] } else { vec![n, g.small_extent()] };
            let b = g.array(&shape);
            let x = g.prim(Prim::SolveLower { transposed: kind == 2 }, &[l, b], Type::array(Scalar::Real, shape));
            g.scale_array(x, 0.25);
        }
        3 | 4 => {
            let Some((a, ty)) = g.some_array(|ty| ty.scalar == Scalar::Real && ty.shape.len() == 1) else { return };
            let size = ty.size().max(1);
            let r = g.prim(Prim::CumSum { reverse: kind == 4 }, &[a], ty);
            g.scale_array(r, 1.0 / size as f64);
        }
        5 | 6 => {
            let Some((a, ty)) = g.some_array(|_| true) else { return };
            let axis = g.random.below(ty.shape.len());
            let mut args = vec![a];
            let mut shape = ty.shape.clone();
            for _ in 0..g.random.below(3) {
                let same = |t: &Type| {
                    t.scalar == ty.scalar
                        && t.shape.len() == ty.shape.len()
                        && (0..t.shape.len()).all(|d| d == axis || t.shape[d] == ty.shape[d])
                };
                let Some((b, t)) = g.some_array(same) else { continue };
                args.push(b);
                shape[axis] += t.shape[axis];
            }
            let r = g.prim(Prim::Concat { axis }, &args, Type { scalar: ty.scalar, shape });
            g.expose(r);
        }
        7 => {
            let count = 1 + g.random.below(4);
            let array = g.some_array(|ty| ty.size() <= 64);
            let (args, ty) = match array {
                Some((a, ty)) if g.random.chance(0.4) => {
                    let mut args = vec![a];
                    for _ in 1..count {
                        args.push(g.some_array(|t| *t == ty).map_or(a, |(b, _)| b));
                    }
                    (args, ty)
                }
                _ => {
                    let kind = *g.random.pick(&[Scalar::Real, Scalar::Real, Scalar::Int, Scalar::Bool]);
                    let args = (0..count).map(|_| g.scalar(kind)).collect();
                    (args, Type { scalar: kind, shape: vec![] })
                }
            };
            let mut shape = vec![count];
            shape.extend_from_slice(&ty.shape);
            let r = g.prim(Prim::Stack, &args, Type { scalar: ty.scalar, shape });
            g.expose(r);
        }
        8 => {
            let Some((a, ty)) = g.some_array(|_| true) else { return };
            let mut shape: Vec<usize> = ty.shape.clone();
            match g.random.below(3) {
                0 => shape = vec![ty.size()],
                1 => shape.push(1),
                _ => shape.reverse(),
            }
            let r = g.prim(Prim::Reshape { shape: shape.clone() }, &[a], Type { scalar: ty.scalar, shape });
            g.expose(r);
        }
        9 => {
            let Some((a, ty)) = g.some_array(|ty| ty.scalar == Scalar::Real && ty.shape.len() == 1) else { return };
            let r = g.prim(Prim::Sort, &[a], ty);
            g.expose(r);
        }
        10 => {
            if g.in_setup {
                return;
            }
            let take = 1 + g.random.below(n);
            let of = take + g.random.below(9);
            let prim = Prim::Subset { of, take, plate: 3 };
            let r = g.prim(prim, &[], Type { scalar: Scalar::Int, shape: vec![take] });
            g.expose(r);
        }
        11 => {
            let kind = *g.random.pick(&[Scalar::Real, Scalar::Int, Scalar::Bool]);
            let x = g.scalar(kind);
            let shape = if g.random.chance(0.5) { vec![n] } else { vec![n, 2] };
            let r = g.prim(Prim::Fill { shape: shape.clone() }, &[x], Type { scalar: kind, shape });
            g.expose(r);
        }
        _ => {
            let kind = *g.random.pick(&[Scalar::Real, Scalar::Int, Scalar::Bool]);
            let shape = if g.random.chance(0.6) { vec![n] } else { vec![2, n] };
            let ty = Type { scalar: kind, shape };
            let data: Vec<f64> = (0..ty.size())
                .map(|_| match kind {
                    Scalar::Real => g.random.range(-2.0, 2.0),
                    Scalar::Int => g.random.below(6) as f64,
                    Scalar::Bool => g.random.below(2) as f64,
                })
                .collect();
            let r = g.prim(Prim::Const { data: Arc::from(data), ty: ty.clone() }, &[], ty);
            g.expose(r);
        }
    }
}

/// Emits a contract and exposes its scaled result.
pub(super) fn contract(g: &mut Generator) {
    let free_choice = g.options.smooth_only;
    let (a_labels, b_labels, out, kind): (Vec<u8>, Vec<u8>, Vec<u8>, Option<ContractKind>) = match g.random.below(9) {
        8 => (b"j".to_vec(), b"ij".to_vec(), b"i".to_vec(), Some(ContractKind::Rows)),
        0 => (b"ij".to_vec(), b"j".to_vec(), b"i".to_vec(), Some(ContractKind::Rows)),
        1 => (b"ij".to_vec(), b"i".to_vec(), b"j".to_vec(), Some(ContractKind::Rows)),
        2 | 3 => {
            let spec: &[&[u8; 2]; 3] = g.random.pick(&[
                [b"ik", b"kj", b"ij"],
                [b"ki", b"kj", b"ij"],
                [b"ik", b"jk", b"ij"],
                [b"ki", b"jk", b"ij"],
                [b"ik", b"kj", b"ji"],
            ]);
            (spec[0].to_vec(), spec[1].to_vec(), spec[2].to_vec(), Some(ContractKind::Gemm))
        }
        _ => {
            let labels = b"abcd";
            let mut subset = |p: f64| -> Vec<u8> {
                let mut s: Vec<u8> = labels.iter().copied().filter(|_| g.random.chance(p)).collect();
                if s.len() > 1 && g.random.chance(0.5) {
                    s.reverse();
                }
                s
            };
            let (a, b) = (subset(0.5), subset(0.5));
            let mut out = subset(0.5);
            out.retain(|l| a.contains(l) || b.contains(l));
            (a, b, out, None)
        }
    };
    let kind = if free_choice {
        None
    } else if g.random.chance(0.2) {
        Some(ContractKind::Loops)
    } else {
        kind
    };
    let large = g.depth == 0 && matches!(kind, Some(ContractKind::Rows)) && g.random.chance(0.3);
    let rows = if g.random.chance(0.5) { 300 } else { 1100 };
    let mut extents = [1usize; 256];
    for (n, &l) in a_labels.iter().chain(&b_labels).enumerate() {
        extents[l as usize] = if large && n == 0 { rows } else { g.small_extent().min(5) };
    }
    if large {
        extents[b'i' as usize] = rows;
    }
    let shape = |labels: &[u8]| labels.iter().map(|&l| extents[l as usize]).collect::<Vec<usize>>();
    let a = g.array(&shape(&a_labels));
    let b = g.array(&shape(&b_labels));
    let mut summed: Vec<u8> = a_labels.iter().chain(&b_labels).copied().filter(|l| !out.contains(l)).collect();
    summed.sort_unstable();
    summed.dedup();
    let terms: usize = shape(&summed).iter().product();
    let result = g.var(Type { scalar: Scalar::Real, shape: shape(&out) }, None);
    g.push(Stmt::Contract(Contract { result, a, b, a_labels, b_labels, out, kind }));
    g.output(result.into());
    g.scale_array(result.into(), 0.25 / terms.max(1) as f64);
}

/// Emits a draw at the counters of the enclosing loops.
pub(super) fn draw(g: &mut Generator) {
    let (noise, _) = if g.random.chance(0.2) { (Noise::Normal, "") } else { *g.random.pick(&Noise::ALL) };
    let args = match noise {
        Noise::LogGamma => vec![g.positive(false)],
        Noise::Poisson => vec![g.positive(true)],
        Noise::Binomial => {
            let p = g.free_real();
            vec![Atom::Real(g.random.below(40) as f64), g.op(Op::Sigmoid, &[p])]
        }
        Noise::Normal | Noise::Uniform | Noise::Exponential => vec![],
    };
    let mirror = match noise {
        Noise::Normal | Noise::Uniform if g.random.chance(0.3) => Some(g.boolean()),
        _ => None,
    };
    if g.random.chance(0.85) {
        g.site += 1;
    }
    let index = g.loops.clone();
    let result = g.var(Type::REAL, None);
    let site = g.site;
    g.push(Stmt::Draw(Draw { result, noise, args, site, index, mirror }));
    let scale = match noise {
        Noise::Normal | Noise::Uniform => {
            g.expose(result.into());
            return;
        }
        Noise::Exponential | Noise::LogGamma | Noise::Poisson => 0.25,
        Noise::Binomial => 0.05,
    };
    let r = g.op(Op::Mul, &[result.into(), Atom::Real(scale)]);
    g.expose(r);
}

/// Emits a sample statement (Core with sites).
pub(super) fn sample(g: &mut Generator) {
    let types: Vec<Type> = match g.random.below(3) {
        0 => vec![Type::REAL],
        1 => vec![Type::INT],
        _ => vec![Type::array(Scalar::Real, [3]), Type::REAL],
    };
    let args = (0..g.random.below(3)).map(|_| g.real()).collect();
    g.site += 1;
    let index = g.loops.clone();
    let results: Vec<_> = types.into_iter().map(|ty| g.var(ty, Some("z"))).collect();
    let (site, entry) = (g.site, g.site / 2);
    g.push(Stmt::Sample(Sample { results: results.clone(), site, entry, args, index }));
    for v in results {
        g.expose(v.into());
    }
}
