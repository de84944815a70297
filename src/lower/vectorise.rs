//! Whether and along which index a `for` is vectorised, and how long its strips are.
//!
//! A variable *varies* if it depends on the strip index. What varies must have a form over strips: scalar operations,
//! kernels, draws, nested loops, branches on a condition that does not vary (others become selects where that is
//! allowed, see [`super::convert`]), and the array primitives that only move elements.

use super::convert;
use super::lowerer::Lowerer;
use super::scalar::is_kernel;
use crate::ir::core::{Atom, Block, Collector, ContractKind, For, Prim, Program, Stmt, Var};
use std::collections::HashSet;
use std::rc::Rc;

pub(super) struct Vectorised {
    pub f: For,
    pub index: usize,
    pub varying: Rc<HashSet<Var>>,
    pub pitch: usize,
}

/// Fewer elements are done one by one.
const LEAST: usize = 4;
/// Bytes that the buffers of a strip may take.
const STRIP_BYTES: usize = 24 * 1024;
/// Above this a `for` is not worth its buffers.
const MOST_BYTES: usize = 512 * 1024;

/// `streamed` words pass through the cache with each element besides.
pub(super) fn choose(s: &mut Lowerer, f: &For, streamed: usize) -> Option<Vectorised> {
    if f.indices.iter().any(|&(_, n)| n == 0) {
        return None;
    }
    let last = f.indices.len() - 1;
    let allowed = |k: usize| {
        f.indices[k].1 >= LEAST
            && f.collectors.iter().all(|c| match c {
                Collector::Collect | Collector::Max | Collector::Min | Collector::All => true,
                Collector::Sum { keep } => keep.contains(&k) || f.strip == Some(k),
                Collector::SumAt { .. } => k == last,
            })
    };
    let index = match f.strip {
        Some(k) => Some(k).filter(|&k| allowed(k)),
        None => (0..=last).rev().find(|&k| allowed(k)),
    }?;
    let mut f = f.clone();
    let mut varying = HashSet::from([f.indices[index].0]);
    mark(&f.body, &mut varying);
    if f.body.stmts.iter().any(|stmt| branches(stmt, &varying)) {
        f.body = convert::selects(&mut s.program, &f.body, &varying)?;
        varying = HashSet::from([f.indices[index].0]);
        mark(&f.body, &mut varying);
    }
    if !f.body.stmts.iter().all(|stmt| supported(stmt, &varying)) {
        return None;
    }
    let strips = buffers(&s.program, &f.body, &varying);
    let extent = f.indices[index].1;
    let fits = |pitch: usize| (strips + streamed).saturating_mul(pitch * 8) <= STRIP_BYTES;
    let pitch = [256, 128, 64, 32].into_iter().find(|&p| fits(p)).unwrap_or(32).min(extent.div_ceil(8) * 8);
    (strips.saturating_mul(pitch * 8) <= MOST_BYTES).then_some(Vectorised {
        f,
        index,
        varying: Rc::new(varying),
        pitch,
    })
}

/// Adds what varies in `block`, given what varies outside.
pub(super) fn mark(block: &Block, varying: &mut HashSet<Var>) {
    for stmt in &block.stmts {
        if !stmt.free_vars().iter().any(|v| varying.contains(v)) {
            continue;
        }
        varying.extend(stmt.results());
        match stmt {
            Stmt::For(f) => mark(&f.body, varying),
            Stmt::Loop(l) => {
                varying.extend(l.carried.iter().map(|&(v, _)| v));
                mark(&l.body, varying);
            }
            Stmt::If(i) => {
                mark(&i.then, varying);
                mark(&i.otherwise, varying);
            }
            _ => {}
        }
    }
}

fn varies(atom: Atom, varying: &HashSet<Var>) -> bool {
    atom.var().is_some_and(|v| varying.contains(&v))
}

/// Whether a branch in the statement depends on the element.
fn branches(stmt: &Stmt, varying: &HashSet<Var>) -> bool {
    match stmt {
        Stmt::If(i) if varies(i.condition, varying) => true,
        _ => stmt.regions().iter().any(|b| b.stmts.iter().any(|s| branches(s, varying))),
    }
}

/// Whether the statement, if it varies, has a form over strips.
fn supported(stmt: &Stmt, varying: &HashSet<Var>) -> bool {
    if !statement_varies(stmt, varying) {
        return true;
    }
    let inside = |block: &Block| block.stmts.iter().all(|s| supported(s, varying));
    match stmt {
        Stmt::Op { .. } | Stmt::Draw(_) | Stmt::Check { .. } => true,
        Stmt::For(f) => f.indices.iter().all(|&(_, n)| n > 0) && inside(&f.body),
        Stmt::Loop(l) => l.extent > 0 && inside(&l.body),
        Stmt::If(i) => !varies(i.condition, varying) && inside(&i.then) && inside(&i.otherwise),
        Stmt::Contract(c) => matches!(c.kind, None | Some(ContractKind::Loops)),
        Stmt::Array { prim, .. } => match prim {
            Prim::Stack | Prim::Concat { .. } | Prim::Reshape { .. } | Prim::Fill { .. } | Prim::CumSum { .. } => true,
            Prim::Cholesky | Prim::SolveLower { .. } | Prim::Sort | Prim::Const { .. } | Prim::Subset { .. } => false,
        },
        Stmt::Sample(_) | Stmt::Term(_) => false,
    }
}

/// Whether the statement's results (or its effect) differ between elements.
pub(super) fn statement_varies(stmt: &Stmt, varying: &HashSet<Var>) -> bool {
    match stmt {
        Stmt::Check { ok, .. } => varies(*ok, varying),
        // A branch or loop of checks alone has no results.
        _ => stmt.results().iter().chain(&stmt.free_vars()).any(|v| varying.contains(v)),
    }
}

/// An estimate of the strips that are live.
fn buffers(program: &Program, block: &Block, varying: &HashSet<Var>) -> usize {
    let mut count = 0_usize;
    for stmt in block.stmts.iter().filter(|s| statement_varies(s, varying)) {
        for result in stmt.results() {
            count += match stmt {
                Stmt::Op { op, args, .. } => {
                    if is_kernel(*op, args) {
                        2
                    } else {
                        0
                    }
                }
                Stmt::Array { prim: Prim::Reshape { .. }, .. } => 0,
                _ => program.ty(result).size(),
            };
        }
        for region in stmt.regions() {
            count = count.saturating_add(buffers(program, region, varying));
        }
    }
    count
}
