//! The sum of the terms of a region: each leaves the loops and branches it stands in as one more result.

use super::tree;
use crate::ir::builder::Builder;
use crate::ir::core::{Atom, Collector, Program, Stmt, Type};
use crate::ir::op::Op;

/// The sum of the terms that `keep` accepts, and the statements without any term.
pub fn total(program: &mut Program, stmts: Vec<Stmt>, keep: &dyn Fn(Atom) -> bool) -> (Vec<Stmt>, Atom) {
    let (mut stmts, parts) = sum_terms(program, stmts, keep);
    let total = add_all(program, &mut stmts, parts);
    (stmts, total)
}

/// Adds up `parts` at the end of `stmts`.
pub fn add_all(program: &mut Program, stmts: &mut Vec<Stmt>, parts: Vec<Atom>) -> Atom {
    let mut total: Option<Atom> = None;
    for part in parts {
        total = Some(match total {
            None => part,
            Some(sum) => {
                let mut builder = Builder::new(program);
                let sum = builder.op(Op::Add, &[sum, part]);
                stmts.append(&mut builder.stmts);
                sum
            }
        });
    }
    total.unwrap_or(Atom::Real(0.0))
}

fn sum_terms(program: &mut Program, stmts: Vec<Stmt>, keep: &dyn Fn(Atom) -> bool) -> (Vec<Stmt>, Vec<Atom>) {
    let mut out = Vec::with_capacity(stmts.len());
    let mut parts = Vec::new();
    for mut stmt in stmts {
        match &mut stmt {
            Stmt::Term(a) => {
                if keep(*a) {
                    parts.push(*a);
                }
                continue;
            }
            Stmt::For(f) if tree::has_term(&f.body.stmts) => {
                let (body, inner) = sum_terms(program, std::mem::take(&mut f.body.stmts), keep);
                f.body.stmts = body;
                for part in inner {
                    f.body.results.push(part);
                    f.collectors.push(Collector::Sum { keep: Vec::new() });
                    let result = program.new_var(Type::REAL, None);
                    f.results.push(result);
                    parts.push(result.into());
                }
            }
            Stmt::Loop(l) if tree::has_term(&l.body.stmts) => {
                let (body, inner) = sum_terms(program, std::mem::take(&mut l.body.stmts), keep);
                l.body.stmts = body;
                for part in inner {
                    l.body.results.push(part);
                    l.collectors.push(Collector::Sum { keep: Vec::new() });
                    let result = program.new_var(Type::REAL, None);
                    l.results.push(result);
                    parts.push(result.into());
                }
            }
            Stmt::If(i) if tree::has_term(&i.then.stmts) || tree::has_term(&i.otherwise.stmts) => {
                let mut sums = Vec::new();
                for block in [&mut i.then, &mut i.otherwise] {
                    let (mut body, inner) = sum_terms(program, std::mem::take(&mut block.stmts), keep);
                    let sum = add_all(program, &mut body, inner);
                    block.stmts = body;
                    sums.push(sum);
                }
                if sums.iter().any(|&s| s != Atom::Real(0.0)) {
                    i.then.results.push(sums[0]);
                    i.otherwise.results.push(sums[1]);
                    let result = program.new_var(Type::REAL, None);
                    i.results.push(result);
                    parts.push(result.into());
                }
            }
            Stmt::Op { .. }
            | Stmt::For(_)
            | Stmt::Loop(_)
            | Stmt::If(_)
            | Stmt::Contract(_)
            | Stmt::Array { .. }
            | Stmt::Draw(_)
            | Stmt::Check { .. }
            | Stmt::Sample(_) => {}
        }
        out.push(stmt);
    }
    (out, parts)
}
