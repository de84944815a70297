//! Dead code: what no output, check or other live statement needs is dropped: statements, results of loops and
//! branches, carried values that only feed themselves. Checks (and terms and samples) stay.

use crate::base::hash::HashSet;
use crate::ir::core::{Block, For, If, Loop, Program, Stmt, Var};

/// Drops dead code.
pub fn dce(mut program: Program) -> Program {
    let mut live: HashSet<Var> = HashSet::default();
    let step = std::mem::take(&mut program.step);
    program.step = block(step, &mut live);
    let setup = std::mem::take(&mut program.setup);
    program.setup = region(setup, &mut live);
    program
}

fn block(b: Block, live: &mut HashSet<Var>) -> Block {
    live.extend(b.results.iter().filter_map(|a| a.var()));
    Block { stmts: region(b.stmts, live), results: b.results }
}

fn has_effect(stmts: &[Stmt]) -> bool {
    stmts.iter().any(|s| match s {
        Stmt::Check { .. } | Stmt::Term(_) | Stmt::Sample(_) => true,
        _ => s.regions().iter().any(|b| has_effect(&b.stmts)),
    })
}

fn keep<T: Clone>(items: &[T], kept: &[bool]) -> Vec<T> {
    items.iter().zip(kept).filter(|(_, k)| **k).map(|(x, _)| x.clone()).collect()
}

fn region(stmts: Vec<Stmt>, live: &mut HashSet<Var>) -> Vec<Stmt> {
    let mut out: Vec<Stmt> = Vec::with_capacity(stmts.len());
    for stmt in stmts.into_iter().rev() {
        let wanted = stmt.results().iter().any(|r| live.contains(r));
        if !wanted && !has_effect(std::slice::from_ref(&stmt)) {
            continue;
        }
        let stmt = match stmt {
            Stmt::For(f) => Stmt::For(for_(f, live)),
            Stmt::Loop(l) => Stmt::Loop(loop_(l, live)),
            Stmt::If(i) => Stmt::If(if_(i, live)),
            other => other,
        };
        stmt.each_atom(&mut |a| {
            live.extend(a.var());
        });
        out.push(stmt);
    }
    out.reverse();
    out
}

fn for_(f: For, live: &mut HashSet<Var>) -> For {
    let kept: Vec<bool> = f.results.iter().map(|r| live.contains(r)).collect();
    let collectors = keep(&f.collectors, &kept);
    for c in &collectors {
        if let crate::ir::core::Collector::SumAt { index, .. } = c {
            live.extend(index.iter().filter_map(|a| a.var()));
        }
    }
    let body = Block { stmts: f.body.stmts, results: keep(&f.body.results, &kept) };
    For { results: keep(&f.results, &kept), body: block(body, live), collectors, ..f }
}

fn if_(i: If, live: &mut HashSet<Var>) -> If {
    let kept: Vec<bool> = i.results.iter().map(|r| live.contains(r)).collect();
    let side =
        |b: Block, live: &mut HashSet<Var>| block(Block { stmts: b.stmts, results: keep(&b.results, &kept) }, live);
    let then = side(i.then, live);
    let otherwise = side(i.otherwise, live);
    If { results: keep(&i.results, &kept), then, otherwise, ..i }
}

fn loop_(l: Loop, live: &mut HashSet<Var>) -> Loop {
    let n = l.carried.len();
    // Carried values that are needed: by a live result, by what is yielded, or by a needed carried value.
    let mut kept: Vec<bool> = l.results.iter().map(|r| live.contains(r)).collect();
    let (stmts, inner) = loop {
        let mut inner: HashSet<Var> = HashSet::default();
        for (k, a) in l.body.results.iter().enumerate() {
            if kept[k] {
                inner.extend(a.var());
            }
        }
        for (k, c) in l.collectors.iter().enumerate() {
            if let (true, crate::ir::core::Collector::SumAt { index, .. }) = (kept[n + k], c) {
                inner.extend(index.iter().filter_map(|a| a.var()));
            }
        }
        let stmts = region(l.body.stmts.clone(), &mut inner);
        let mut changed = false;
        for (k, &(v, _)) in l.carried.iter().enumerate() {
            if !kept[k] && inner.contains(&v) {
                kept[k] = true;
                changed = true;
            }
        }
        if !changed {
            break (stmts, inner);
        }
    };
    live.extend(inner);
    let body = Block { stmts, results: keep(&l.body.results, &kept) };
    let collectors = keep(&l.collectors, &kept[n..]);
    Loop { results: keep(&l.results, &kept), carried: keep(&l.carried, &kept[..n]), body, collectors, ..l }
}
