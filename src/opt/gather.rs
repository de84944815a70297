//! Sums of one loop that are only added up afterwards are one sum. So an objective of many terms is a loop with one
//! result, which is differentiated in one pass. Changes rounding.
//!
//! before: `s, t = for i<n { … } yield sum a, sum b;  v = (s + w) - t`
//! after:  `u = for i<n { …; c = a - b } yield sum c;  v = u + w`

use super::sums::{definitions, inner, is_sum, signed_sum, terms, uses};
use crate::base::hash::HashMap;
use crate::ir::builder::Builder;
use crate::ir::core::{Atom, Block, Collector, Program, Stmt, Type, Var};
use crate::ir::op::Op;

/// Gathers in every region of the step.
pub fn gather(mut program: Program) -> Program {
    let mut uses = uses(&program.step);
    let step = std::mem::take(&mut program.step);
    let stmts = region(&mut program, step.stmts, &mut uses);
    program.step = Block { stmts, results: step.results };
    program
}

fn region(program: &mut Program, stmts: Vec<Stmt>, uses: &mut HashMap<Var, usize>) -> Vec<Stmt> {
    let mut stmts: Vec<Stmt> = stmts
        .into_iter()
        .map(|mut s| {
            for block in s.regions_mut() {
                let inner = std::mem::take(&mut block.stmts);
                block.stmts = region(program, inner, uses);
            }
            s
        })
        .collect();
    // Scalar sums of this region: which statement, which result.
    let mut sums: HashMap<Var, (usize, usize)> = HashMap::default();
    for (n, s) in stmts.iter().enumerate() {
        let Stmt::For(f) = s else { continue };
        for (k, &r) in f.results.iter().enumerate() {
            if is_sum(f, k, program) && uses.get(&r) == Some(&1) {
                sums.insert(r, (n, k));
            }
        }
    }
    if sums.len() < 2 {
        return stmts;
    }
    let definitions = definitions(&stmts);
    let inner = inner(&definitions, uses);
    let mut n = 0;
    while n < stmts.len() {
        let Stmt::Op { result, op: Op::Add | Op::Sub | Op::Neg, .. } = stmts[n] else {
            n += 1;
            continue;
        };
        if inner.contains(&result) {
            n += 1;
            continue;
        }
        let (list, _) = terms(&definitions, uses, result.into());
        // Sums by loop: sign, which result, its variable.
        type Members = Vec<(bool, usize, Var)>;
        let mut groups: Vec<(usize, Members)> = Vec::new();
        let mut rest: Vec<(bool, Atom)> = Vec::new();
        for &(sign, a) in &list {
            match a.var().and_then(|v| Some((v, *sums.get(&v)?))) {
                Some((v, (at, k))) => match groups.iter_mut().find(|(g, _)| *g == at) {
                    Some((_, members)) => members.push((sign, k, v)),
                    None => groups.push((at, vec![(sign, k, v)])),
                },
                None => rest.push((sign, a)),
            }
        }
        if groups.iter().all(|(_, members)| members.len() < 2) {
            n += 1;
            continue;
        }
        for (at, members) in groups {
            if let [(sign, _, v)] = members[..] {
                rest.push((sign, v.into()));
                continue;
            }
            let Stmt::For(f) = &mut stmts[at] else { continue };
            let yields: Vec<(bool, Atom)> = members.iter().map(|&(sign, k, _)| (sign, f.body.results[k])).collect();
            let mut b = Builder::new(program);
            let together = signed_sum(&mut b, &yields);
            let result = b.var(Type::REAL);
            f.body.stmts.extend(b.stmts);
            f.results.push(result);
            f.collectors.push(Collector::Sum { keep: Vec::new() });
            f.body.results.push(together);
            uses.insert(result, 1);
            rest.push((true, result.into()));
        }
        // The root keeps its name; the rest of the old tree is dead.
        let mut b = Builder::new(program);
        let total = signed_sum(&mut b, &rest);
        let mut made = b.stmts;
        match made.last_mut() {
            Some(Stmt::Op { result: last, .. }) if Atom::Var(*last) == total => *last = result,
            _ => made.push(Stmt::Op { result, op: Op::Add, args: vec![total, Atom::Real(0.0)] }),
        }
        let count = made.len();
        stmts.splice(n..=n, made);
        n += count;
        // Positions after this root have moved; those of loops before it have not.
        let shift = count - 1;
        sums.values_mut().filter(|(at, _)| *at > n - count).for_each(|(at, _)| *at += shift);
    }
    stmts
}
