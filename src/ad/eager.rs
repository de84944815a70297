//! Scalar loops differentiated in the forward pass. A `for` whose differentiable results are few
//! scalar sums returns, from the same iterations, its gradients with seed one; the reverse sweep only multiplies. A
//! `for` that collects one scalar per iteration out of much work (an inner loop over data, under particles) likewise
//! keeps the gradient of each iteration's scalar, if that is smaller than the work of finding it again.

use super::AdError;
use super::contribution::{Adjoints, Affine, Place, scale, slice};
use super::reverse::{Reverse, Taped, finish_for, inner_parts};
use crate::ir::builder::Builder;
use crate::ir::core::{Atom, Collector, Contract, For, Program, Stmt, Type, Var};
use crate::ir::op::Op;

/// More sums than this in one loop are differentiated by recomputation.
const MOST_SUMS: usize = 4;

/// One scalar sum of a loop and its gradient with seed one.
pub(super) struct Sum {
    result: Var,
    gradient: Vec<(Var, Vec<Place>, Atom)>,
}

/// A loop that collects one scalar: gradients per iteration.
pub(super) struct Stash {
    result: Var,
    indices: Vec<(Var, usize)>,
    gradient: Vec<(Var, Vec<Kept>, Atom)>,
}

/// Where a stashed contribution goes, along one axis.
enum Kept {
    Place(Place),
    /// At loop index `q` plus an offset.
    Index(usize, i64),
    /// At the int collected in this array.
    Array(Atom),
}

impl Reverse {
    /// The forward pass of an active `for` with its own gradient, if it is of one of the two kinds.
    pub(super) fn eager_for(&mut self, b: &mut Builder<'_>, f: &For) -> Result<Option<Taped>, AdError> {
        if !self.options.eager {
            return Ok(None);
        }
        let active: Vec<usize> = (0..f.results.len()).filter(|&k| self.active.contains(&f.results[k])).collect();
        let scalar = active.iter().all(|&k| b.program.atom_type(f.body.results[k]).is_scalar());
        if !scalar {
            return Ok(None);
        }
        let nested = f.body.stmts.iter().any(|s| !s.regions().is_empty());
        let sums = active.iter().all(|&k| f.collectors[k] == Collector::Sum { keep: Vec::new() });
        if sums && (active.len() == 1 || (active.len() <= MOST_SUMS && !nested)) {
            return self.eager_sums(b, f, &active).map(Some);
        }
        let heavy = nested || f.body.stmts.iter().any(|s| matches!(s, Stmt::Contract(_)));
        if active.len() == 1 && f.collectors[active[0]] == Collector::Collect && heavy {
            return self.eager_collect(b, f, active[0]);
        }
        Ok(None)
    }

    fn eager_sums(&mut self, b: &mut Builder<'_>, f: &For, active: &[usize]) -> Result<Taped, AdError> {
        let mut inner = Builder::new(b.program);
        let taped = self.forward(&mut inner, &f.body.stmts)?;
        let mut grown = f.clone();
        let mut pending: Vec<(Var, Var, Vec<Place>)> = Vec::new();
        for &k in active {
            let Atom::Var(y) = f.body.results[k] else { continue };
            if !self.active.contains(&y) {
                continue;
            }
            let mut adj = Adjoints::default();
            adj.add_whole(&inner, y, Atom::Real(1.0));
            self.pull(&mut inner, &taped, &mut adj)?;
            for e in super::contribution::leave_loop(&mut inner, &f.indices, adj, false) {
                pending.push((f.results[k], e.var, e.places));
                grown.collectors.push(e.collector);
                grown.body.results.push(e.value);
            }
        }
        let stmts = inner.stmts;
        let sums = close(b, grown, stmts, f.results.len(), pending);
        let mut out: Vec<Sum> = Vec::new();
        for (result, var, places, value) in sums {
            match out.last_mut() {
                Some(last) if last.result == result => last.gradient.push((var, places, value)),
                _ => out.push(Sum { result, gradient: vec![(var, places, value)] }),
            }
        }
        Ok(Taped::Sums(out))
    }

    pub(super) fn pull_sums(b: &mut Builder<'_>, sums: &[Sum], adj: &mut Adjoints) {
        for sum in sums.iter().rev() {
            let Some(r_adj) = adj.take(b, sum.result) else { continue };
            for (var, places, g) in &sum.gradient {
                let value = scale(b, r_adj, *g);
                adj.add(*var, places.clone(), value);
            }
        }
    }

    fn eager_collect(&mut self, b: &mut Builder<'_>, f: &For, k: usize) -> Result<Option<Taped>, AdError> {
        let Atom::Var(y) = f.body.results[k] else { return Ok(None) };
        let first_new = b.program.vars.len();
        let mut inner = Builder::new(b.program);
        let taped = self.forward(&mut inner, &f.body.stmts)?;
        let mut adj = Adjoints::default();
        adj.add_whole(&inner, y, Atom::Real(1.0));
        self.pull(&mut inner, &taped, &mut adj)?;
        let affine = Affine::new(&f.indices, &inner.stmts);
        let left = adj.leave(&mut inner, &affine);
        let stored: usize = left.iter().map(|(_, c)| inner.program.atom_type(c.value).size()).sum();
        if work(inner.program, &f.body.stmts) < 2.0 * stored as f64 {
            inner.stmts.clear();
            b.program.vars.truncate(first_new);
            self.active.retain(|v| (v.0 as usize) < first_new);
            return Ok(None);
        }
        let mut grown = f.clone();
        let extents: Vec<usize> = f.indices.iter().map(|&(_, n)| n).collect();
        let mut gradient = Vec::new();
        let stmts = inner.stmts;
        let mut collect = |b: &mut Builder<'_>, value: Atom| -> Atom {
            let ty = Collector::Collect.result_type(&extents, &b.program.atom_type(value));
            let result = b.program.new_var(ty, None);
            grown.results.push(result);
            grown.collectors.push(Collector::Collect);
            grown.body.results.push(value);
            result.into()
        };
        for (var, c) in left {
            let mut kept = Vec::new();
            for p in c.places {
                kept.push(match p {
                    Place::At(a) => match affine.form(a) {
                        Some((q, o)) => Kept::Index(q, o),
                        None if affine.is_inside(a) => Kept::Array(collect(b, a)),
                        None => Kept::Place(p),
                    },
                    Place::Span { .. } => Kept::Place(p),
                });
            }
            let value = collect(b, c.value);
            gradient.push((var, kept, value));
        }
        grown.body.stmts = stmts;
        b.stmts.push(Stmt::For(grown));
        Ok(Some(Taped::Stash(Box::new(Stash { result: f.results[k], indices: f.indices.clone(), gradient }))))
    }

    pub(super) fn pull_stash(b: &mut Builder<'_>, stash: &Stash, adj: &mut Adjoints) {
        let Some(r_adj) = adj.take(b, stash.result) else { return };
        let indices: Vec<(Var, usize)> =
            stash.indices.iter().map(|&(_, n)| (b.program.new_var(Type::INT, None), n)).collect();
        let at: Vec<Atom> = indices.iter().map(|&(v, _)| v.into()).collect();
        let mut inner = Builder::new(b.program);
        let seed = slice(&mut inner, r_adj, &at);
        let mut inner_adj = Adjoints::default();
        for (var, kept, stored) in &stash.gradient {
            let g = slice(&mut inner, *stored, &at);
            let value = scale(&mut inner, seed, g);
            let places = kept
                .iter()
                .map(|k| match *k {
                    Kept::Place(p) => p,
                    Kept::Index(q, 0) => Place::At(at[q]),
                    Kept::Index(q, o) => Place::At(inner.op(Op::IAdd, &[at[q], Atom::Int(o)])),
                    Kept::Array(a) => Place::At(inner.read(a, &at)),
                })
                .collect();
            inner_adj.add(*var, places, value);
        }
        let parts = inner_parts(inner, &indices, inner_adj);
        finish_for(b, parts, indices, adj);
    }
}

/// Pushes the `for` that also yields gradients.
fn close(
    b: &mut Builder<'_>,
    mut grown: For,
    stmts: Vec<Stmt>,
    known: usize,
    pending: Vec<(Var, Var, Vec<Place>)>,
) -> Vec<(Var, Var, Vec<Place>, Atom)> {
    let extents: Vec<usize> = grown.indices.iter().map(|&(_, n)| n).collect();
    grown.body.stmts = stmts;
    let mut out = Vec::new();
    for (n, (result, var, places)) in pending.into_iter().enumerate() {
        let value = b.program.atom_type(grown.body.results[known + n]);
        let ty = grown.collectors[known + n].result_type(&extents, &value);
        let g = b.program.new_var(ty, None);
        grown.results.push(g);
        out.push((result, var, places, g.into()));
    }
    b.stmts.push(Stmt::For(grown));
    out
}

/// A rough count of scalar operations.
fn work(program: &Program, stmts: &[Stmt]) -> f64 {
    stmts
        .iter()
        .map(|s| match s {
            Stmt::Op { .. } | Stmt::Check { .. } | Stmt::Sample(_) | Stmt::Term(_) => 1.0,
            Stmt::Draw(_) => 8.0,
            Stmt::For(f) => f.indices.iter().map(|&(_, n)| n as f64).product::<f64>() * work(program, &f.body.stmts),
            Stmt::Loop(l) => l.extent as f64 * work(program, &l.body.stmts),
            Stmt::If(i) => work(program, &i.then.stmts).max(work(program, &i.otherwise.stmts)),
            Stmt::Contract(c) => contract_work(program, c),
            Stmt::Array { results, .. } => results.iter().map(|&r| program.ty(r).size() as f64).sum(),
        })
        .sum()
}

fn contract_work(program: &Program, c: &Contract) -> f64 {
    let a = program.atom_type(c.a).shape;
    let b = program.atom_type(c.b).shape;
    let only_b = c.b_labels.iter().zip(&b).filter(|(l, _)| !c.a_labels.contains(l)).map(|(_, &n)| n as f64);
    a.iter().map(|&n| n as f64).product::<f64>() * only_b.product::<f64>()
}
