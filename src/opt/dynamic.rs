//! What changes from step to step: parameters, tuned parameters, states, draws, and all that depends on them. The rest
//! depends on data and on loop indices alone and may leave the step.

use crate::base::hash::HashSet;
use crate::ir::core::{Block, Collector, Prim, Program, Role, Stmt, Var};

/// All variables of the program that depend on more than data and loop indices.
pub fn dynamic_vars(program: &Program) -> HashSet<Var> {
    let mut dynamic: HashSet<Var> = program.inputs.iter().filter(|i| i.role != Role::Data).map(|i| i.var).collect();
    region(&program.setup, &mut dynamic);
    region(&program.step.stmts, &mut dynamic);
    dynamic
}

fn region(stmts: &[Stmt], dynamic: &mut HashSet<Var>) {
    for s in stmts {
        stmt(s, dynamic);
    }
}

fn stmt(s: &Stmt, dynamic: &mut HashSet<Var>) {
    let is = |dynamic: &HashSet<Var>, a: crate::ir::core::Atom| a.var().is_some_and(|v| dynamic.contains(&v));
    match s {
        Stmt::Draw(d) => {
            dynamic.insert(d.result);
        }
        Stmt::Array { results, prim: Prim::Subset { .. }, .. } => dynamic.extend(results),
        Stmt::Sample(x) => dynamic.extend(&x.results),
        Stmt::For(f) => {
            region(&f.body.stmts, dynamic);
            for (k, &r) in f.results.iter().enumerate() {
                let index = match &f.collectors[k] {
                    Collector::SumAt { index, .. } => index.iter().any(|&a| is(dynamic, a)),
                    _ => false,
                };
                if index || is(dynamic, f.body.results[k]) {
                    dynamic.insert(r);
                }
            }
        }
        Stmt::Loop(l) => {
            for &(v, init) in &l.carried {
                if is(dynamic, init) {
                    dynamic.insert(v);
                }
            }
            loop {
                region(&l.body.stmts, dynamic);
                let before = dynamic.len();
                for (&(v, _), &next) in l.carried.iter().zip(&l.body.results) {
                    if is(dynamic, next) {
                        dynamic.insert(v);
                    }
                }
                if dynamic.len() == before {
                    break;
                }
            }
            // Carried values differ from iteration to iteration: results are static only if all are.
            let any = l.carried.iter().any(|&(v, _)| dynamic.contains(&v)) || block_has(&l.body, dynamic);
            if any {
                dynamic.extend(&l.results);
            }
        }
        Stmt::If(i) => {
            region(&i.then.stmts, dynamic);
            region(&i.otherwise.stmts, dynamic);
            for (k, &r) in i.results.iter().enumerate() {
                if is(dynamic, i.condition) || is(dynamic, i.then.results[k]) || is(dynamic, i.otherwise.results[k]) {
                    dynamic.insert(r);
                }
            }
        }
        Stmt::Op { .. } | Stmt::Array { .. } | Stmt::Contract(_) => {
            let mut any = false;
            s.each_atom(&mut |a| any |= is(dynamic, a));
            if any {
                dynamic.extend(s.results());
            }
        }
        Stmt::Check { .. } | Stmt::Term(_) => {}
    }
}

fn block_has(block: &Block, dynamic: &HashSet<Var>) -> bool {
    let mut any = false;
    block.each_atom(&mut |a| any |= a.var().is_some_and(|v| dynamic.contains(&v)));
    any
}
