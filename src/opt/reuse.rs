//! Work that two loops over one index set share, when they could not be fused because the second needs a fold of the
//! first: costly values (draws, transcendental functions) that both would find are collected by the first and read by the
//! second.
//!
//! before: `s = for i<n { e = exp(l[i]); … } yield sum …;  g = for i<n { e = exp(l[i]); s*e } yield collect`
//! after:  `s, E = for i<n { e = exp(l[i]); … } yield sum …, collect e;  g = for i<n { s*E[i] } yield collect`

use super::cse::key;
use crate::base::hash::HashMap;
use crate::ir::core::{Atom, Block, Collector, For, Program, Stmt, Type, Var};
use crate::ir::op::Op;
use crate::ir::walk::Substitution;

/// Shares in every region.
pub fn reuse(mut program: Program) -> Program {
    let step = std::mem::take(&mut program.step);
    let stmts = region(&mut program, step.stmts);
    program.step = Block { stmts, results: step.results };
    program
}

fn region(program: &mut Program, stmts: Vec<Stmt>) -> Vec<Stmt> {
    let mut stmts: Vec<Stmt> = stmts
        .into_iter()
        .map(|mut s| {
            for block in s.regions_mut() {
                let inner = std::mem::take(&mut block.stmts);
                block.stmts = region(program, inner);
            }
            s
        })
        .collect();
    for c in 1..stmts.len() {
        for p in 0..c {
            let (first, rest) = stmts.split_at_mut(c);
            if let (Stmt::For(producer), Stmt::For(consumer)) = (&mut first[p], &mut rest[0]) {
                share(program, producer, consumer);
            }
        }
    }
    stmts
}

fn is_costly(stmt: &Stmt) -> bool {
    match stmt {
        Stmt::Draw(_) => true,
        Stmt::Op { op, .. } => super::hoist::weight(*op) >= 8,
        _ => false,
    }
}

fn share(program: &mut Program, producer: &mut For, consumer: &mut For) {
    let same = producer.strip.is_none()
        && consumer.strip.is_none()
        && producer.indices.len() == consumer.indices.len()
        && producer.indices.iter().zip(&consumer.indices).all(|(a, b)| a.1 == b.1);
    if !same || !consumer.body.stmts.iter().any(is_costly) {
        return;
    }
    let mut known: HashMap<String, Var> = HashMap::default();
    for s in &producer.body.stmts {
        if s.regions().is_empty()
            && let [r] = s.results()[..]
        {
            known.insert(key(s), r);
        }
    }
    // The consumer's variables by what the producer calls them.
    let mut equal: Substitution = HashMap::default();
    for (&(a, _), &(b, _)) in producer.indices.iter().zip(&consumer.indices) {
        equal.insert(b, a.into());
    }
    for k in 0..consumer.body.stmts.len() {
        if !consumer.body.stmts[k].regions().is_empty() {
            continue;
        }
        let [result] = consumer.body.stmts[k].results()[..] else { continue };
        let mut as_first = consumer.body.stmts[k].clone();
        super::cse::substitute(&mut as_first, &equal);
        let Some(&value) = known.get(&key(&as_first)) else { continue };
        equal.insert(result, value.into());
        if !is_costly(&as_first) || !program.ty(result).is_scalar() {
            continue;
        }
        let array = collected(program, producer, value);
        let mut args = vec![Atom::Var(array)];
        args.extend(consumer.indices.iter().map(|&(v, _)| Atom::Var(v)));
        consumer.body.stmts[k] = Stmt::Op { result, op: Op::Read, args };
    }
}

/// The array in which the loop collects `value`.
fn collected(program: &mut Program, f: &mut For, value: Var) -> Var {
    for (k, c) in f.collectors.iter().enumerate() {
        if *c == Collector::Collect && f.body.results[k] == Atom::Var(value) {
            return f.results[k];
        }
    }
    let shape: Vec<usize> = f.indices.iter().map(|&(_, n)| n).collect();
    let scalar = program.ty(value).scalar;
    let array = program.new_var(Type { scalar, shape }, None);
    f.results.push(array);
    f.collectors.push(Collector::Collect);
    f.body.results.push(value.into());
    array
}
