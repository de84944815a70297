//! A sum whose terms depend in part on data alone is two sums, the second of which can leave the step. Changes rounding.
//!
//! before: `s = for j<n { e = a[j]*x + c[j] } yield sum e`   (c data)
//! after:  `s1 = for j<n {…} yield sum a[j]*x; s2 = for j<n {…} yield sum c[j]; s = s1 + s2`

use super::dynamic::dynamic_vars;
use super::sums::{definitions, signed_sum, terms, uses};
use crate::base::hash::{HashMap, HashSet};
use crate::ir::builder::Builder;
use crate::ir::core::{Atom, Block, Collector, For, Program, Stmt, Var};
use crate::ir::op::Op;
use crate::ir::walk::copy_stmt;

/// Splits sums in every region of the step.
pub fn split(mut program: Program) -> Program {
    let mut dynamic = dynamic_vars(&program);
    let uses = uses(&program.step);
    let step = std::mem::take(&mut program.step);
    let stmts = region(&mut program, step.stmts, &mut dynamic, &uses);
    program.step = Block { stmts, results: step.results };
    program
}

fn region(
    program: &mut Program,
    stmts: Vec<Stmt>,
    dynamic: &mut HashSet<Var>,
    uses: &HashMap<Var, usize>,
) -> Vec<Stmt> {
    let mut out = Vec::with_capacity(stmts.len());
    for mut s in stmts {
        for block in s.regions_mut() {
            let inner = std::mem::take(&mut block.stmts);
            block.stmts = region(program, inner, dynamic, uses);
        }
        match s {
            Stmt::For(f) if f.strip.is_none() => for_(program, f, dynamic, uses, &mut out),
            other => out.push(other),
        }
    }
    out
}

fn for_(
    program: &mut Program,
    mut f: For,
    dynamic: &mut HashSet<Var>,
    uses: &HashMap<Var, usize>,
    out: &mut Vec<Stmt>,
) {
    let definitions = definitions(&f.body.stmts);
    let is_static = |dynamic: &HashSet<Var>, a: Atom| a.var().is_none_or(|v| !dynamic.contains(&v));
    let mut after = Vec::new();
    let mut ahead = Vec::new();
    for k in 0..f.results.len() {
        let Collector::Sum { keep } = f.collectors[k].clone() else { continue };
        let value = f.body.results[k];
        if is_static(dynamic, value) || program.atom_type(value) != crate::ir::core::Type::REAL {
            continue;
        }
        let (list, _) = terms(&definitions, uses, value);
        let (fixed, moving): (Vec<_>, Vec<_>) = list.into_iter().partition(|&(_, a)| is_static(dynamic, a));
        if fixed.is_empty() || moving.is_empty() {
            continue;
        }
        // The moving part stays here.
        let mut b = Builder::new(program);
        let rest = signed_sum(&mut b, &moving);
        dynamic.extend(b.stmts.iter().flat_map(Stmt::results));
        f.body.stmts.extend(b.stmts);
        f.body.results[k] = rest;
        let old = f.results[k];
        let ty = program.ty(old).clone();
        let moved = program.new_var(ty.clone(), None);
        dynamic.insert(moved);
        f.results[k] = moved;
        // The fixed part: a copy of the loop that yields it.
        let constants = fixed.iter().all(|(_, a)| a.var().is_none());
        let fixed_sum: Atom = if constants && keep.is_empty() {
            let count: f64 = f.indices.iter().map(|&(_, n)| n as f64).product();
            let sum: f64 =
                fixed.iter().map(|&(s, a)| if let Atom::Real(x) = a { if s { x } else { -x } } else { 0.0 }).sum();
            Atom::Real(sum * count)
        } else {
            let mut b = Builder::new(program);
            let yielded = signed_sum(&mut b, &fixed);
            let mut stmts: Vec<Stmt> =
                f.body.stmts.iter().filter(|s| !matches!(s, Stmt::Check { .. })).cloned().collect();
            stmts.extend(b.stmts);
            let result = program.new_var(ty.clone(), None);
            let one = For {
                results: vec![result],
                indices: f.indices.clone(),
                body: Block { stmts, results: vec![yielded] },
                collectors: vec![Collector::Sum { keep: keep.clone() }],
                strip: None,
            };
            let mut map = HashMap::default();
            let copy = copy_stmt(program, &Stmt::For(one), &mut map);
            let copied = map.get(&result).copied().unwrap_or(Atom::Var(result));
            ahead.push(trim(copy));
            copied
        };
        let mut b = Builder::new(program);
        let together = if ty.shape.is_empty() {
            b.op(Op::Add, &[moved.into(), fixed_sum])
        } else {
            b.for_(&ty.shape, vec![Collector::Collect], |b, i| {
                let x = b.read(moved.into(), i);
                let y = b.read(fixed_sum, i);
                vec![b.op(Op::Add, &[x, y])]
            })[0]
        };
        let mut stmts = b.stmts;
        // The sum keeps the name that others read.
        if let (Some(last), Some(t)) = (stmts.last_mut(), together.var()) {
            rename_result(last, t, old);
        }
        after.extend(stmts);
    }
    out.extend(ahead);
    out.push(Stmt::For(f));
    out.extend(after);
}

/// Drops from a fresh loop what its one result does not need, so that what is left is data alone.
fn trim(stmt: Stmt) -> Stmt {
    let Stmt::For(mut f) = stmt else { return stmt };
    let mut live: HashSet<Var> = f.body.results.iter().filter_map(|a| a.var()).collect();
    let mut kept = Vec::new();
    for s in f.body.stmts.into_iter().rev() {
        if s.results().iter().any(|r| live.contains(r)) {
            s.each_atom(&mut |a| live.extend(a.var()));
            kept.push(s);
        }
    }
    kept.reverse();
    f.body.stmts = kept;
    Stmt::For(f)
}

fn rename_result(stmt: &mut Stmt, from: Var, to: Var) {
    match stmt {
        Stmt::Op { result, .. } if *result == from => *result = to,
        Stmt::For(f) => f.results.iter_mut().filter(|r| **r == from).for_each(|r| *r = to),
        _ => {}
    }
}
