//! Statements with regions in a generated program: `for`, `loop`, `if`.

use super::super::core::{Atom, Block, Collector, For, If, Loop, Scalar, Stmt, Type, Var};
use super::super::op::Op;
use super::Generator;

impl Generator {
    /// Builds a region; what it defines is out of scope afterwards.
    fn region(&mut self, loops: &[(Var, usize)], top_loop: bool, build: impl FnOnce(&mut Self) -> Vec<Atom>) -> Block {
        let outer = std::mem::take(&mut self.stmts);
        let scope = self.scope.len();
        let was_top_loop = std::mem::replace(&mut self.in_top_loop, top_loop);
        self.depth += 1;
        for &(v, n) in loops {
            self.loops.push((v.into(), n));
            self.expose(v.into());
        }
        let results = build(self);
        self.loops.truncate(self.loops.len() - loops.len());
        self.depth -= 1;
        self.in_top_loop = was_top_loop;
        self.scope.truncate(scope);
        let stmts = std::mem::replace(&mut self.stmts, outer);
        Block { stmts, results }
    }

    fn body_size(&mut self) -> usize {
        let most = if self.work() > 100 { 2 } else { 5 };
        1 + self.random.below(most)
    }

    /// A small real or int array in scope, if any.
    fn small_array(&mut self) -> Option<Var> {
        self.find(|k| !k.ty.is_scalar() && k.ty.size() <= 8 && k.ty.scalar == Scalar::Real)
    }

    /// `a · factor` element by element, exposed.
    pub(super) fn scale_array(&mut self, array: Atom, factor: f64) -> Atom {
        let ty = self.program.atom_type(array);
        if ty.is_scalar() {
            let r = self.op(Op::Mul, &[array, Atom::Real(factor)]);
            self.expose(r);
            return r;
        }
        let shape = ty.shape.clone();
        let r = self.map(&shape, |g, indices| {
            let mut args = vec![array];
            args.extend_from_slice(indices);
            let x = g.op(Op::Read, &args);
            g.op(Op::Mul, &[x, Atom::Real(factor)])
        });
        self.expose(r);
        r
    }

    /// `for` over the shape with one `collect`; not exposed.
    pub(super) fn map(&mut self, shape: &[usize], element: impl FnOnce(&mut Self, &[Atom]) -> Atom) -> Atom {
        let indices: Vec<(Var, usize)> = shape.iter().map(|&n| (self.var(Type::INT, None), n)).collect();
        let atoms: Vec<Atom> = indices.iter().map(|&(v, _)| v.into()).collect();
        let body = self.region(&indices, false, |g| vec![element(g, &atoms)]);
        let scalar = self.program.atom_type(body.results[0]).scalar;
        let result = self.var(Type { scalar, shape: shape.to_vec() }, None);
        let collectors = vec![Collector::Collect];
        self.push(Stmt::For(For { results: vec![result], indices, body, collectors, strip: None }));
        result.into()
    }

    /// A collector with the atom it is given; `rank` is the number of the loop's indices.
    fn collector(&mut self, rank: usize, kind: usize) -> (Collector, Atom) {
        match kind {
            0 => {
                let scalar = *self.random.pick(&[Scalar::Real, Scalar::Real, Scalar::Int, Scalar::Bool]);
                let value = match self.small_array() {
                    Some(v) if self.random.chance(0.15) && self.work() < 200 => v.into(),
                    _ => self.scalar(scalar),
                };
                (Collector::Collect, value)
            }
            1 => {
                let keep = (0..rank).filter(|_| self.random.chance(0.3)).collect();
                let value = match self.small_array() {
                    Some(v) if self.random.chance(0.15) => v.into(),
                    _ if self.random.chance(0.2) => self.int(),
                    _ => self.real(),
                };
                (Collector::Sum { keep }, value)
            }
            2 | 3 => {
                let value = if self.random.chance(0.3) { self.int() } else { self.real() };
                (if kind == 2 { Collector::Max } else { Collector::Min }, value)
            }
            4 => (Collector::All, self.boolean()),
            _ => {
                let shape: Vec<usize> = (0..1 + self.random.below(2)).map(|_| self.small_extent()).collect();
                let index = shape.iter().map(|&n| self.index(n)).collect();
                let value = match self.small_array() {
                    Some(v) if self.random.chance(0.15) => v.into(),
                    _ if self.random.chance(0.15) => self.int(),
                    _ => self.real(),
                };
                (Collector::SumAt { index, shape }, value)
            }
        }
    }

    /// Exposes what a loop over `count` iterations gave.
    fn expose_collected(&mut self, collector: &Collector, result: Var, count: usize) {
        let ty = self.program.ty(result).clone();
        let real = ty.scalar == Scalar::Real;
        match collector {
            Collector::Sum { .. } | Collector::SumAt { .. } if real => {
                self.output(result.into());
                if count <= 2 {
                    self.expose(result.into());
                } else if ty.size() <= 300 {
                    self.scale_array(result.into(), 1.0 / count as f64);
                }
            }
            Collector::Max | Collector::Min if count == 0 => self.output(result.into()),
            Collector::Collect
            | Collector::Sum { .. }
            | Collector::SumAt { .. }
            | Collector::Max
            | Collector::Min
            | Collector::All => self.expose(result.into()),
        }
    }
}

pub(super) fn for_(g: &mut Generator) {
    let rank = *g.random.pick(&[1, 1, 1, 2, 2, 3]);
    let mut extents: Vec<usize> = Vec::new();
    for _ in 0..rank {
        let n = g.extent();
        let total: usize = extents.iter().product::<usize>() * n * g.work();
        extents.push(if g.spent + 3 * total > super::AFFORDABLE { n.min(2) } else { n });
    }
    if rank > 1 && g.random.chance(0.5) {
        extents.reverse();
    }
    let strip_allowed = (g.depth == 0 || g.in_top_loop) && !g.options.smooth_only;
    let strip = (strip_allowed && g.random.chance(0.5)).then(|| g.random.below(rank));
    let indices: Vec<(Var, usize)> = extents.iter().map(|&n| (g.var(Type::INT, Some("i")), n)).collect();
    let mut collectors = Vec::new();
    let body = g.region(&indices, false, |g| {
        let size = g.body_size();
        g.statements(size);
        let mut results = Vec::new();
        for _ in 0..1 + g.random.below(4) {
            let kind = *g.random.pick(&[0, 0, 1, 1, 1, 2, 3, 4, 5, 5]);
            let (collector, value) = g.collector(rank, kind);
            collectors.push(collector);
            results.push(value);
        }
        results
    });
    let results: Vec<Var> = collectors
        .iter()
        .zip(&body.results)
        .map(|(c, &value)| {
            let ty = c.result_type(&extents, &g.program.atom_type(value));
            g.var(ty, None)
        })
        .collect();
    let count = extents.iter().product();
    g.push(Stmt::For(For { results: results.clone(), indices, body, collectors: collectors.clone(), strip }));
    for (c, v) in collectors.iter().zip(results) {
        g.expose_collected(c, v, count);
    }
}

pub(super) fn loop_(g: &mut Generator) {
    let extent = if g.depth == 0 && g.random.chance(0.2) { 40 } else { g.small_extent() };
    let reverse = g.random.chance(0.4);
    let index = g.var(Type::INT, Some("t"));
    let mut carried: Vec<(Var, Atom)> = Vec::new();
    for _ in 0..1 + g.random.below(3) {
        let init = match g.small_array() {
            Some(v) if g.random.chance(0.4) => v.into(),
            _ if g.random.chance(0.2) => g.int(),
            _ if g.random.chance(0.15) => g.boolean(),
            _ => g.real(),
        };
        let ty = g.program.atom_type(init);
        let real = ty.scalar == Scalar::Real;
        let var = g.var(ty, Some("c"));
        g.depends[var.0 as usize] = real;
        carried.push((var, init));
    }
    let top = g.depth == 0;
    let mut collectors = Vec::new();
    let body = g.region(&[(index, extent)], top, |g| {
        for &(v, _) in &carried {
            g.expose(v.into());
        }
        let size = g.body_size();
        g.statements(size);
        let mut results: Vec<Atom> = carried.iter().map(|&(v, _)| next(g, v)).collect();
        for _ in 0..g.random.below(4) {
            let kind = *g.random.pick(&[0, 1, 5]);
            let (collector, value) = g.collector(0, kind);
            collectors.push(collector);
            results.push(value);
        }
        results
    });
    let mut results: Vec<Var> = Vec::new();
    for &(v, _) in &carried {
        let ty = g.program.ty(v).clone();
        results.push(g.var(ty, None));
    }
    for (c, &value) in collectors.iter().zip(&body.results[carried.len()..]) {
        let ty = c.result_type(&[extent], &g.program.atom_type(value));
        results.push(g.var(ty, None));
    }
    let count = carried.len();
    g.push(Stmt::Loop(Loop {
        results: results.clone(),
        index,
        extent,
        carried,
        body,
        collectors: collectors.clone(),
        reverse,
    }));
    for &v in &results[..count] {
        g.expose(v.into());
    }
    for (c, &v) in collectors.iter().zip(&results[count..]) {
        g.expose_collected(c, v, extent);
    }
}

/// The next value of a carried variable: of its type, of moderate size.
fn next(g: &mut Generator, carried: Var) -> Atom {
    let ty = g.program.ty(carried).clone();
    if ty.is_scalar() {
        return match ty.scalar {
            Scalar::Real => {
                let x = g.real();
                let sum = g.op(Op::Add, &[carried.into(), x]);
                g.op(Op::Mul, &[sum, Atom::Real(0.5)])
            }
            kind => g.scalar(kind),
        };
    }
    if g.random.chance(0.2)
        && let Some(v) = g.find(|k| k.ty == ty)
    {
        return v.into();
    }
    g.map(&ty.shape, |g, indices| {
        let mut args = vec![carried.into()];
        args.extend_from_slice(indices);
        let old = g.op(Op::Read, &args);
        let x = g.real();
        let sum = g.op(Op::Add, &[old, x]);
        g.op(Op::Mul, &[sum, Atom::Real(0.5)])
    })
}

pub(super) fn if_(g: &mut Generator) {
    let condition = g.boolean();
    let mut types: Vec<Type> = Vec::new();
    for _ in 0..1 + g.random.below(3) {
        let ty = match g.small_array() {
            Some(v) if g.random.chance(0.3) => g.program.ty(v).clone(),
            _ => g.random.pick(&[Type::REAL, Type::REAL, Type::INT, Type::BOOL]).clone(),
        };
        types.push(ty);
    }
    let side = |g: &mut Generator| {
        g.region(&[], false, |g| {
            let size = g.random.below(4);
            g.statements(size);
            types
                .iter()
                .map(|ty| {
                    if ty.is_scalar() {
                        return g.scalar(ty.scalar);
                    }
                    if g.random.chance(0.5)
                        && let Some(v) = g.find(|k| k.ty == *ty)
                    {
                        return v.into();
                    }
                    g.map(&ty.shape, |g, _| g.real())
                })
                .collect()
        })
    };
    let then = side(g);
    let otherwise = side(g);
    let results: Vec<Var> = types.iter().map(|ty| g.var(ty.clone(), None)).collect();
    g.push(Stmt::If(If { results: results.clone(), condition, then, otherwise }));
    for v in results {
        g.expose(v.into());
    }
}
