//! Which variables depend differentiably on given ones: real variables reached from them through operations that have a
//! derivative. `stop`, rounding, signs, comparisons, ints and draws that are no smooth function of an argument end a path. Going backwards, which variables a given one
//! depends on in that way.

use crate::ir::core::{Atom, Block, Collector, Prim, Program, Scalar, Stmt, Var};
use crate::ir::op::Op;
use std::collections::HashSet;

/// Adds to `active` all that depends on it in `stmts` (and in their regions).
pub fn propagate(program: &Program, stmts: &[Stmt], active: &mut HashSet<Var>) {
    for stmt in stmts {
        propagate_stmt(program, stmt, active);
    }
}

fn is_active(active: &HashSet<Var>, atom: Atom) -> bool {
    matches!(atom, Atom::Var(v) if active.contains(&v))
}

/// True if a derivative passes through the operation at all.
pub fn passes(op: Op) -> bool {
    let real_result = op.signature().is_none_or(|(_, result)| result == Scalar::Real);
    real_result && !matches!(op, Op::Stop | Op::Sign | Op::Floor | Op::Round | Op::ToReal)
}

fn propagate_block(program: &Program, block: &Block, active: &mut HashSet<Var>) {
    propagate(program, &block.stmts, active);
}

fn mark(program: &Program, active: &mut HashSet<Var>, var: Var) {
    if program.ty(var).scalar == Scalar::Real {
        active.insert(var);
    }
}

fn propagate_stmt(program: &Program, stmt: &Stmt, active: &mut HashSet<Var>) {
    match stmt {
        Stmt::Op { result, op, args } => {
            if passes(*op) && args.iter().any(|&a| is_active(active, a)) {
                mark(program, active, *result);
            }
        }
        Stmt::Array { results, prim, args } => {
            if !matches!(prim, Prim::Const { .. } | Prim::Subset { .. }) && args.iter().any(|&a| is_active(active, a)) {
                for &r in results {
                    mark(program, active, r);
                }
            }
        }
        Stmt::Contract(c) => {
            if is_active(active, c.a) || is_active(active, c.b) {
                mark(program, active, c.result);
            }
        }
        Stmt::For(f) => {
            propagate_block(program, &f.body, active);
            for ((&r, &value), c) in f.results.iter().zip(&f.body.results).zip(&f.collectors) {
                if is_active(active, value) && !matches!(c, Collector::All) {
                    mark(program, active, r);
                }
            }
        }
        Stmt::Loop(l) => {
            for &(v, init) in &l.carried {
                if is_active(active, init) {
                    mark(program, active, v);
                }
            }
            loop {
                propagate_block(program, &l.body, active);
                let before = active.len();
                for (&(v, _), &next) in l.carried.iter().zip(&l.body.results) {
                    if is_active(active, next) {
                        mark(program, active, v);
                    }
                }
                if active.len() == before {
                    break;
                }
            }
            for (i, &r) in l.results.iter().enumerate() {
                let carried = l.carried.get(i).is_some_and(|&(v, _)| active.contains(&v));
                if carried || is_active(active, l.body.results[i]) {
                    mark(program, active, r);
                }
            }
        }
        Stmt::If(i) => {
            propagate_block(program, &i.then, active);
            propagate_block(program, &i.otherwise, active);
            for (k, &r) in i.results.iter().enumerate() {
                if is_active(active, i.then.results[k]) || is_active(active, i.otherwise.results[k]) {
                    mark(program, active, r);
                }
            }
        }
        Stmt::Draw(d) => {
            if d.noise.is_smooth() && d.args.iter().any(|&a| is_active(active, a)) {
                mark(program, active, d.result);
            }
        }
        Stmt::Check { .. } | Stmt::Sample(_) | Stmt::Term(_) => {}
    }
}

/// Adds to `useful` all real variables of `stmts` that those in it depend on differentiably.
pub fn trace_back(program: &Program, stmts: &[Stmt], useful: &mut HashSet<Var>) {
    for stmt in stmts.iter().rev() {
        trace_stmt(program, stmt, useful);
    }
}

fn want(program: &Program, useful: &mut HashSet<Var>, atom: Atom) {
    if let Atom::Var(v) = atom {
        mark(program, useful, v);
    }
}

fn trace_stmt(program: &Program, stmt: &Stmt, useful: &mut HashSet<Var>) {
    if !stmt.results().iter().any(|r| useful.contains(r)) {
        return;
    }
    match stmt {
        Stmt::Op { op, args, .. } => {
            if passes(*op) {
                args.iter().for_each(|&a| want(program, useful, a));
            }
        }
        Stmt::Array { args, .. } => args.iter().for_each(|&a| want(program, useful, a)),
        Stmt::Contract(c) => {
            want(program, useful, c.a);
            want(program, useful, c.b);
        }
        Stmt::For(f) => {
            for (k, r) in f.results.iter().enumerate() {
                if useful.contains(r) {
                    want(program, useful, f.body.results[k]);
                }
            }
            trace_back(program, &f.body.stmts, useful);
        }
        Stmt::Loop(l) => {
            for (k, r) in l.results.iter().enumerate() {
                if useful.contains(r) {
                    want(program, useful, l.body.results[k]);
                    if let Some(&(v, _)) = l.carried.get(k) {
                        mark(program, useful, v);
                    }
                }
            }
            loop {
                let before = useful.len();
                for (&(v, _), &next) in l.carried.iter().zip(&l.body.results) {
                    if useful.contains(&v) {
                        want(program, useful, next);
                    }
                }
                trace_back(program, &l.body.stmts, useful);
                if useful.len() == before {
                    break;
                }
            }
            for &(v, init) in &l.carried {
                if useful.contains(&v) {
                    want(program, useful, init);
                }
            }
        }
        Stmt::If(i) => {
            for (k, r) in i.results.iter().enumerate() {
                if useful.contains(r) {
                    want(program, useful, i.then.results[k]);
                    want(program, useful, i.otherwise.results[k]);
                }
            }
            trace_back(program, &i.then.stmts, useful);
            trace_back(program, &i.otherwise.stmts, useful);
        }
        Stmt::Draw(d) => {
            if d.noise.is_smooth() {
                d.args.iter().for_each(|&a| want(program, useful, a));
            }
        }
        Stmt::Check { .. } | Stmt::Sample(_) | Stmt::Term(_) => {}
    }
}
