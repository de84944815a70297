//! Algebra on literals and definitions, branches with known conditions, and reads of arrays whose definition is in
//! sight (array forwarding). One walk in program order; what becomes an operand is substituted in all that follows.
//!
//! before: `t = s * e; x = m + t; d = x - m; z = d / s`
//! after:  uses of `z` are uses of `e`

use super::algebra::Reduced;
use super::dynamic::dynamic_vars;
use crate::base::hash::{HashMap, HashSet};
use crate::ir::core::{Atom, Block, Collector, Contract, Draw, For, If, Loop, Prim, Program, Stmt, Type, Var};
use crate::ir::op::Op;
use crate::ir::walk::{Substitution, subst};
use std::rc::Rc;

/// How a variable was defined.
#[derive(Clone)]
pub(super) enum Definition {
    Op(Op, Vec<Atom>),
    Array(Prim, Vec<Atom>),
    Contract(Contract),
    /// Result `k` of a `for`.
    For(Rc<For>, usize),
}

pub(super) struct Simplify<'a> {
    pub(super) program: &'a mut Program,
    pub(super) map: Substitution,
    pub(super) definitions: HashMap<Var, Definition>,
    ranges: HashMap<Var, (i64, i64)>,
    dynamic: HashSet<Var>,
    /// Number of loops around the definition.
    depths: HashMap<Var, usize>,
    depth: usize,
    /// `stop` has done its work and may go.
    pub(super) after_ad: bool,
}

/// One walk; `after_ad` also drops `stop` and takes reciprocals of what is invariant.
pub fn simplify(mut program: Program, after_ad: bool) -> Program {
    let dynamic = dynamic_vars(&program);
    let setup = std::mem::take(&mut program.setup);
    let step = std::mem::take(&mut program.step);
    let mut s = Simplify {
        program: &mut program,
        map: Substitution::default(),
        definitions: HashMap::default(),
        ranges: HashMap::default(),
        dynamic,
        depths: HashMap::default(),
        depth: 0,
        after_ad,
    };
    let setup = s.region(setup);
    let step = s.block(step);
    program.setup = setup;
    program.step = step;
    program
}

impl Simplify<'_> {
    pub(super) fn op_of(&self, atom: Atom) -> Option<(Op, Vec<Atom>)> {
        match self.definitions.get(&atom.var()?)? {
            Definition::Op(op, args) => Some((*op, args.clone())),
            _ => None,
        }
    }

    pub(super) fn definition(&self, atom: Atom) -> Option<&Definition> {
        self.definitions.get(&atom.var()?)
    }

    /// Depends on data and loop indices alone.
    pub(super) fn is_static(&self, atom: Atom) -> bool {
        atom.var().is_none_or(|v| !self.dynamic.contains(&v))
    }

    /// Defined outside the innermost loop here.
    pub(super) fn is_invariant(&self, atom: Atom) -> bool {
        self.depth > 0 && atom.var().is_none_or(|v| self.depths.get(&v).is_none_or(|&d| d < self.depth))
    }

    /// Bounds of an int.
    pub(super) fn range(&self, atom: Atom) -> (i64, i64) {
        match atom {
            Atom::Int(c) => (c, c),
            Atom::Var(v) => self.ranges.get(&v).copied().unwrap_or((i64::MIN, i64::MAX)),
            _ => (i64::MIN, i64::MAX),
        }
    }

    /// An operation, simplified; a statement if one is needed.
    pub(super) fn make(&mut self, out: &mut Vec<Stmt>, op: Op, args: &[Atom]) -> Atom {
        match self.reduce(out, op, args.to_vec()) {
            Reduced::Atom(a) => a,
            Reduced::Op(op, args) => {
                let scalar = match op.signature() {
                    Some((_, result)) => result,
                    None if op == Op::Select => self.program.atom_type(args[1]).scalar,
                    None => self.program.atom_type(args[0]).scalar,
                };
                let shape = if op == Op::Stop { self.program.atom_type(args[0]).shape } else { Vec::new() };
                let result = self.program.new_var(Type { scalar, shape }, None);
                if args.iter().any(|&a| !self.is_static(a)) {
                    self.dynamic.insert(result);
                }
                self.emit_op(out, result, op, args);
                result.into()
            }
        }
    }

    fn emit_op(&mut self, out: &mut Vec<Stmt>, result: Var, op: Op, args: Vec<Atom>) {
        self.depths.insert(result, self.depth);
        let range = match op {
            Op::IAdd => {
                let ((a, b), (c, d)) = (self.range(args[0]), self.range(args[1]));
                a.checked_add(c).zip(b.checked_add(d))
            }
            Op::IMin => {
                let ((a, b), (c, d)) = (self.range(args[0]), self.range(args[1]));
                Some((a.min(c), b.min(d)))
            }
            Op::IMax => {
                let ((a, b), (c, d)) = (self.range(args[0]), self.range(args[1]));
                Some((a.max(c), b.max(d)))
            }
            Op::BoolToInt => Some((0, 1)),
            Op::IMod => match args[1] {
                Atom::Int(n) if n > 0 => Some((0, n - 1)),
                _ => None,
            },
            Op::IMul => {
                let ((a, b), (c, d)) = (self.range(args[0]), self.range(args[1]));
                if a >= 0 && c >= 0 { a.checked_mul(c).zip(b.checked_mul(d)) } else { None }
            }
            _ => None,
        };
        if let Some(range) = range {
            self.ranges.insert(result, range);
        }
        self.definitions.insert(result, Definition::Op(op, args.clone()));
        out.push(Stmt::Op { result, op, args });
    }

    fn region(&mut self, stmts: Vec<Stmt>) -> Vec<Stmt> {
        let mut out = Vec::with_capacity(stmts.len());
        for stmt in stmts {
            self.stmt(&mut out, stmt);
        }
        out
    }

    fn block(&mut self, block: Block) -> Block {
        let stmts = self.region(block.stmts);
        Block { stmts, results: self.atoms(&block.results) }
    }

    fn atoms(&self, atoms: &[Atom]) -> Vec<Atom> {
        atoms.iter().map(|&a| subst(&self.map, a)).collect()
    }

    fn collectors(&self, collectors: Vec<Collector>) -> Vec<Collector> {
        collectors
            .into_iter()
            .map(|c| match c {
                Collector::SumAt { index, shape } => Collector::SumAt { index: self.atoms(&index), shape },
                other => other,
            })
            .collect()
    }

    fn index_range(&mut self, var: Var, extent: usize) {
        let last = i64::try_from(extent).unwrap_or(i64::MAX).max(1) - 1;
        self.ranges.insert(var, (0, last));
        self.depths.insert(var, self.depth);
    }

    fn stmt(&mut self, out: &mut Vec<Stmt>, stmt: Stmt) {
        match stmt {
            Stmt::Op { result, op, args } => {
                let args = self.atoms(&args);
                match self.reduce(out, op, args) {
                    Reduced::Atom(a) => {
                        self.map.insert(result, a);
                    }
                    Reduced::Op(op, args) => self.emit_op(out, result, op, args),
                }
            }
            Stmt::Array { results, prim, args } => {
                let args = self.atoms(&args);
                self.array(out, results, prim, args);
            }
            Stmt::Contract(c) => {
                let (a, b) = (subst(&self.map, c.a), subst(&self.map, c.b));
                let c = Contract { a, b, ..c };
                self.depths.insert(c.result, self.depth);
                self.definitions.insert(c.result, Definition::Contract(c.clone()));
                out.push(Stmt::Contract(c));
            }
            Stmt::Draw(d) => {
                let d = Draw {
                    args: self.atoms(&d.args),
                    index: d.index.iter().map(|&(a, n)| (subst(&self.map, a), n)).collect(),
                    mirror: d.mirror.map(|a| subst(&self.map, a)),
                    ..d
                };
                self.depths.insert(d.result, self.depth);
                out.push(Stmt::Draw(d));
            }
            Stmt::Check { ok, check } => {
                let ok = subst(&self.map, ok);
                if ok != Atom::Bool(true) {
                    out.push(Stmt::Check { ok, check });
                }
            }
            Stmt::For(f) => self.for_(out, f),
            Stmt::Loop(l) => self.loop_(out, l),
            Stmt::If(i) => self.if_(out, i),
            Stmt::Sample(mut s) => {
                s.args = self.atoms(&s.args);
                s.index = s.index.iter().map(|&(a, n)| (subst(&self.map, a), n)).collect();
                out.push(Stmt::Sample(s));
            }
            Stmt::Term(a) => out.push(Stmt::Term(subst(&self.map, a))),
        }
    }

    fn for_(&mut self, out: &mut Vec<Stmt>, f: For) {
        for &r in &f.results {
            self.depths.insert(r, self.depth);
        }
        self.depth += 1;
        for &(v, n) in &f.indices {
            if n == 1 {
                self.map.insert(v, Atom::Int(0));
            }
            self.index_range(v, n);
        }
        let body = self.block(f.body);
        let collectors = self.collectors(f.collectors);
        self.depth -= 1;
        let f = For { body, collectors, ..f };
        self.constant_sums(out, &f);
        let shared = Rc::new(f);
        for (k, &r) in shared.results.iter().enumerate() {
            if self.map.contains_key(&r) {
                continue;
            }
            if let Some(x) = self.copied_array(&shared, k) {
                self.map.insert(r, x);
            } else if shared.collectors[k] == Collector::Collect {
                self.definitions.insert(r, Definition::For(shared.clone(), k));
            }
        }
        out.push(Stmt::For(shared.as_ref().clone()));
    }

    /// A sum of what does not change is a product. Changes rounding.
    fn constant_sums(&mut self, out: &mut Vec<Stmt>, f: &For) {
        let inside: HashSet<Var> =
            f.body.stmts.iter().flat_map(Stmt::results).chain(f.indices.iter().map(|&(v, _)| v)).collect();
        for (k, c) in f.collectors.iter().enumerate() {
            let value = f.body.results[k];
            let constant = value.var().is_none_or(|v| !inside.contains(&v));
            let whole = *c == Collector::Sum { keep: Vec::new() };
            let count: f64 = f.indices.iter().map(|&(_, n)| n as f64).product();
            if constant && whole && count > 0.0 && self.program.atom_type(value) == Type::REAL {
                let total = self.make(out, Op::Mul, &[value, Atom::Real(count)]);
                self.map.insert(f.results[k], total);
            }
        }
    }

    fn loop_(&mut self, out: &mut Vec<Stmt>, l: Loop) {
        let carried: Vec<(Var, Atom)> = l.carried.iter().map(|&(v, a)| (v, subst(&self.map, a))).collect();
        for &r in &l.results {
            self.depths.insert(r, self.depth);
        }
        self.depth += 1;
        for &(v, _) in &carried {
            self.depths.insert(v, self.depth);
        }
        self.index_range(l.index, l.extent);
        let body = self.block(l.body);
        let collectors = self.collectors(l.collectors);
        self.depth -= 1;
        out.push(Stmt::Loop(Loop { carried, body, collectors, ..l }));
    }

    fn if_(&mut self, out: &mut Vec<Stmt>, i: If) {
        let condition = subst(&self.map, i.condition);
        if let Atom::Bool(c) = condition {
            let block = self.block(if c { i.then } else { i.otherwise });
            out.extend(block.stmts);
            for (&r, &value) in i.results.iter().zip(&block.results) {
                self.map.insert(r, value);
            }
            return;
        }
        for &r in &i.results {
            self.depths.insert(r, self.depth);
        }
        let then = self.block(i.then);
        let otherwise = self.block(i.otherwise);
        for ((&r, &a), &b) in i.results.iter().zip(&then.results).zip(&otherwise.results) {
            if a == b && !matches!(a, Atom::Var(_)) {
                self.map.insert(r, a);
            }
        }
        out.push(Stmt::If(If { condition, then, otherwise, ..i }));
    }

    fn array(&mut self, out: &mut Vec<Stmt>, results: Vec<Var>, prim: Prim, args: Vec<Atom>) {
        let result = results[0];
        let ty = self.program.ty(result).clone();
        let alias = match &prim {
            Prim::Reshape { .. } => {
                let same = self.program.atom_type(args[0]).shape == ty.shape;
                same.then_some(args[0])
            }
            Prim::Concat { .. } if args.len() == 1 => Some(args[0]),
            Prim::Stack => self.stacked_reads(&args, &ty),
            Prim::SolveLower { transposed } => self.solved_product(args[0], args[1], *transposed),
            _ => None,
        };
        if let Some(a) = alias {
            self.map.insert(result, a);
            return;
        }
        let (prim, args) = self.flatten_concat(prim, args);
        self.depths.insert(result, self.depth);
        self.definitions.insert(result, Definition::Array(prim.clone(), args.clone()));
        out.push(Stmt::Array { results, prim, args });
    }

    /// A concatenation of concatenations, along one axis, is one.
    fn flatten_concat(&self, prim: Prim, args: Vec<Atom>) -> (Prim, Vec<Atom>) {
        let Prim::Concat { axis } = prim else { return (prim, args) };
        let mut flat = Vec::new();
        for a in args {
            match self.definition(a) {
                Some(Definition::Array(Prim::Concat { axis: inner }, parts)) if *inner == axis => flat.extend(parts),
                _ => flat.push(a),
            }
        }
        (Prim::Concat { axis }, flat)
    }

    /// `[x[0], x[1], …]`, all of `x` in order, is `x`.
    fn stacked_reads(&self, args: &[Atom], ty: &Type) -> Option<Atom> {
        let mut source = None;
        for (k, &a) in args.iter().enumerate() {
            let (Op::Read, r) = self.op_of(a)? else { return None };
            let at = Atom::Int(i64::try_from(k).ok()?);
            if r.len() != 2 || r[1] != at || source.is_some_and(|s| s != r[0]) {
                return None;
            }
            source = Some(r[0]);
        }
        source.filter(|&s| self.program.atom_type(s) == *ty)
    }

    /// `solve(L, L e)` is `e` where `L` has nothing above its diagonal (the solve reads the lower triangle only).
    fn solved_product(&self, l: Atom, rhs: Atom, transposed: bool) -> Option<Atom> {
        let Some(Definition::Contract(c)) = self.definition(rhs) else { return None };
        for (m, m_labels, x, x_labels) in [(c.a, &c.a_labels, c.b, &c.b_labels), (c.b, &c.b_labels, c.a, &c.a_labels)] {
            if m != l || m_labels.len() != 2 {
                continue;
            }
            let (row, column) = if transposed { (m_labels[1], m_labels[0]) } else { (m_labels[0], m_labels[1]) };
            let expected: Vec<u8> = x_labels.iter().map(|&k| if k == column { row } else { k }).collect();
            if x_labels.first() == Some(&column) && c.out == expected && self.is_lower(l) {
                return Some(x);
            }
        }
        None
    }
}
