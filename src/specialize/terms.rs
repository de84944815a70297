//! The objective as a list of additive terms: the value is split through sums, differences, scalings by what does not
//! depend on samples, sums over loops, accumulators of loops and branches, and each part becomes a `Term` where it is
//! computed. What can't be split is one term. Then everything that no term needs is removed.
//!
//! `v = add(a, for i { … } yield sum b)` becomes `Term(a); for i { …; Term(b) }`.

use crate::ir::core::{Atom, Block, Collector, Loop, Program, Scalar, Stmt, Type, Var};
use crate::ir::op::Op;
use std::collections::{HashMap, HashSet};

/// A product of factors, each multiplied or divided by.
#[derive(Clone, Default)]
struct Coefficient {
    negative: bool,
    factors: Vec<(Op, Atom)>,
}

impl Coefficient {
    fn negated(&self) -> Coefficient {
        Coefficient { negative: !self.negative, factors: self.factors.clone() }
    }

    fn times(&self, op: Op, atom: Atom) -> Coefficient {
        let mut factors = self.factors.clone();
        factors.push((op, atom));
        Coefficient { negative: self.negative, factors }
    }
}

type Request = (Atom, Coefficient);

/// Splits `step.results[0]`, which must be a real scalar, and removes it from the results.
pub(super) fn split(program: &mut Program) {
    if program.step.results.is_empty() {
        return;
    }
    let value = program.step.results.remove(0);
    if !program.outputs.is_empty() {
        program.outputs.remove(0);
    }
    let mut step = std::mem::take(&mut program.step);
    let mut random = HashSet::new();
    while mark_random(&step.stmts, &mut random) {}
    region(program, &mut step.stmts, vec![(value, Coefficient::default())], &random);
    program.step = step;
    remove_dead(program);
}

/// Splits `value`, which `stmts` define, into terms among them.
pub(super) fn split_value(program: &mut Program, stmts: &mut Vec<Stmt>, value: Atom) {
    let mut random = HashSet::new();
    while mark_random(stmts, &mut random) {}
    region(program, stmts, vec![(value, Coefficient::default())], &random);
}

/// Variables that depend on samples; true if any was added. Draws are not samples: no strategy moves them.
fn mark_random(stmts: &[Stmt], random: &mut HashSet<Var>) -> bool {
    let mut changed = false;
    for stmt in stmts {
        let mut depends = matches!(stmt, Stmt::Sample(_));
        stmt.each_atom(&mut |a| depends |= a.var().is_some_and(|v| random.contains(&v)));
        for region in stmt.regions() {
            changed |= mark_random(&region.stmts, random);
            depends |= contains_sample(&region.stmts);
        }
        if let (Stmt::Loop(l), true) = (stmt, depends) {
            for &(v, _) in &l.carried {
                changed |= random.insert(v);
            }
        }
        if depends {
            for v in stmt.results() {
                changed |= random.insert(v);
            }
        }
    }
    changed
}

fn contains_sample(stmts: &[Stmt]) -> bool {
    stmts.iter().any(|s| matches!(s, Stmt::Sample(_)) || s.regions().iter().any(|r| contains_sample(&r.stmts)))
}

fn region(program: &mut Program, stmts: &mut Vec<Stmt>, requests: Vec<Request>, random: &HashSet<Var>) {
    let mut definitions: HashMap<Var, (usize, usize)> = HashMap::new();
    for (at, stmt) in stmts.iter().enumerate() {
        for (k, v) in stmt.results().into_iter().enumerate() {
            definitions.insert(v, (at, k));
        }
    }
    let is_random = |a: Atom| a.var().is_some_and(|v| random.contains(&v));
    let before = |c: &Coefficient, at: usize| {
        c.factors.iter().all(|(_, a)| a.var().and_then(|v| definitions.get(&v)).is_none_or(|&(d, _)| d < at))
    };
    let mut work = requests;
    let mut terms: Vec<Request> = Vec::new();
    let mut inner: Vec<(usize, usize, Coefficient)> = Vec::new();
    work.reverse();
    while let Some((atom, c)) = work.pop() {
        let Some(&(at, k)) = atom.var().and_then(|v| definitions.get(&v)) else {
            terms.push((atom, c));
            continue;
        };
        match &stmts[at] {
            Stmt::Op { op: Op::Add, args, .. } => {
                work.push((args[1], c.clone()));
                work.push((args[0], c));
            }
            Stmt::Op { op: Op::Sub, args, .. } => {
                work.push((args[1], c.negated()));
                work.push((args[0], c));
            }
            Stmt::Op { op: Op::Neg, args, .. } => work.push((args[0], c.negated())),
            Stmt::Op { op: Op::Mul, args, .. } if !is_random(args[0]) && is_random(args[1]) => {
                work.push((args[1], c.times(Op::Mul, args[0])));
            }
            Stmt::Op { op: Op::Mul, args, .. } if !is_random(args[1]) && is_random(args[0]) => {
                work.push((args[0], c.times(Op::Mul, args[1])));
            }
            Stmt::Op { op: Op::Div, args, .. } if !is_random(args[1]) && is_random(args[0]) => {
                work.push((args[0], c.times(Op::Div, args[1])));
            }
            Stmt::For(f) if is_plain_sum(&f.collectors[k]) && is_real(program, atom) && before(&c, at) => {
                inner.push((at, k, c));
            }
            Stmt::Loop(l) if k >= l.carried.len() => {
                if is_plain_sum(&l.collectors[k - l.carried.len()]) && is_real(program, atom) && before(&c, at) {
                    inner.push((at, k, c));
                } else {
                    terms.push((atom, c));
                }
            }
            Stmt::Loop(l) if is_real(program, atom) && before(&c, at) && accumulated(l, k).is_some() => {
                work.push((l.carried[k].1, c.clone()));
                inner.push((at, k, c));
            }
            Stmt::If(_) if is_real(program, atom) && before(&c, at) => inner.push((at, k, c)),
            _ => terms.push((atom, c)),
        }
    }
    for at in (0..stmts.len()).rev() {
        let mine: Vec<(usize, Coefficient)> =
            inner.iter().filter(|(a, _, _)| *a == at).map(|(_, k, c)| (*k, c.clone())).collect();
        if mine.is_empty() {
            continue;
        }
        match &mut stmts[at] {
            Stmt::For(f) => {
                let requests = mine.into_iter().map(|(k, c)| (f.body.results[k], c)).collect();
                region(program, &mut f.body.stmts, requests, random);
            }
            Stmt::Loop(l) => {
                let mut requests = Vec::new();
                for (k, c) in mine {
                    if k >= l.carried.len() {
                        requests.push((l.body.results[k], c));
                    } else {
                        for (atom, negative) in accumulated(l, k).unwrap_or_default() {
                            requests.push((atom, if negative { c.negated() } else { c.clone() }));
                        }
                    }
                }
                region(program, &mut l.body.stmts, requests, random);
            }
            Stmt::If(i) => {
                let then = mine.iter().map(|(k, c)| (i.then.results[*k], c.clone())).collect();
                let otherwise = mine.into_iter().map(|(k, c)| (i.otherwise.results[k], c)).collect();
                region(program, &mut i.then.stmts, then, random);
                region(program, &mut i.otherwise.stmts, otherwise, random);
            }
            _ => {}
        }
    }
    for (atom, c) in terms {
        if matches!(atom, Atom::Real(0.0)) {
            continue;
        }
        let mut value = atom;
        for (op, factor) in c.factors {
            value = push(program, stmts, op, &[value, factor]);
        }
        if c.negative {
            value = push(program, stmts, Op::Neg, &[value]);
        }
        stmts.push(Stmt::Term(value));
    }
}

fn push(program: &mut Program, stmts: &mut Vec<Stmt>, op: Op, args: &[Atom]) -> Atom {
    if let Some(folded) = super::fold::fold(op, args) {
        return folded;
    }
    let result = program.new_var(Type::REAL, None);
    stmts.push(Stmt::Op { result, op, args: args.to_vec() });
    result.into()
}

fn is_plain_sum(c: &Collector) -> bool {
    matches!(c, Collector::Sum { keep } if keep.is_empty())
}

fn is_real(program: &Program, atom: Atom) -> bool {
    let ty = program.atom_type(atom);
    ty.scalar == Scalar::Real && ty.is_scalar()
}

/// If carried value `k` is only added to: what is added, with sign.
fn accumulated(l: &Loop, k: usize) -> Option<Vec<(Atom, bool)>> {
    let var = l.carried[k].0;
    let mut uses = 0;
    l.body.each_atom(&mut |a| uses += usize::from(a == Atom::Var(var)));
    if uses != 1 {
        return None;
    }
    let mut parts = Vec::new();
    let mut work = vec![(l.body.results[k], false)];
    let mut found = false;
    while let Some((atom, negative)) = work.pop() {
        if atom == Atom::Var(var) {
            if negative {
                return None;
            }
            found = true;
            continue;
        }
        let definition = l.body.stmts.iter().find_map(|s| match s {
            Stmt::Op { result, op, args } if Atom::Var(*result) == atom => Some((*op, args)),
            _ => None,
        });
        match definition {
            Some((Op::Add, args)) => work.extend([(args[1], negative), (args[0], negative)]),
            Some((Op::Sub, args)) => work.extend([(args[1], !negative), (args[0], negative)]),
            _ => parts.push((atom, negative)),
        }
    }
    found.then_some(parts)
}

/// Removes statements, collectors and carried values that no term, check or result needs. A sample without use goes too.
pub(super) fn remove_dead(program: &mut Program) {
    let mut live: HashSet<Var> = HashSet::new();
    let mut step = std::mem::take(&mut program.step);
    dead(&mut step, &mut live);
    program.step = step;
    let mut setup = Block { stmts: std::mem::take(&mut program.setup), results: Vec::new() };
    dead(&mut setup, &mut live);
    program.setup = setup.stmts;
    program.inputs.retain(|i| i.role == crate::ir::core::Role::Param || live.contains(&i.var));
}

fn dead(block: &mut Block, live: &mut HashSet<Var>) {
    let mark = |a: Atom, live: &mut HashSet<Var>| {
        if let Atom::Var(v) = a {
            live.insert(v);
        }
    };
    block.results.iter().for_each(|&a| mark(a, live));
    let stmts = std::mem::take(&mut block.stmts);
    let mut kept: Vec<Stmt> = Vec::with_capacity(stmts.len());
    for mut stmt in stmts.into_iter().rev() {
        let needed = stmt.results().iter().any(|v| live.contains(v)) || has_effect(&stmt);
        if !needed {
            continue;
        }
        match &mut stmt {
            Stmt::For(f) => {
                let keep: Vec<bool> = f.results.iter().map(|v| live.contains(v)).collect();
                retain(&mut f.results, &keep);
                retain(&mut f.collectors, &keep);
                retain(&mut f.body.results, &keep);
                collector_atoms(&f.collectors, live);
                dead(&mut f.body, live);
            }
            Stmt::Loop(l) => dead_loop(l, live),
            Stmt::If(i) => {
                let keep: Vec<bool> = i.results.iter().map(|v| live.contains(v)).collect();
                retain(&mut i.results, &keep);
                retain(&mut i.then.results, &keep);
                retain(&mut i.otherwise.results, &keep);
                mark(i.condition, live);
                dead(&mut i.then, live);
                dead(&mut i.otherwise, live);
            }
            other => other.each_atom(&mut |a| mark(a, live)),
        }
        kept.push(stmt);
    }
    kept.reverse();
    block.stmts = kept;
}

fn dead_loop(l: &mut Loop, live: &mut HashSet<Var>) {
    let carried = l.carried.len();
    let mut keep: Vec<bool> = l.results.iter().map(|v| live.contains(v)).collect();
    loop {
        let mut body = l.body.clone();
        retain(&mut body.results, &keep);
        let mut inside = live.clone();
        dead(&mut body, &mut inside);
        let missing: Vec<usize> = (0..carried).filter(|&k| !keep[k] && inside.contains(&l.carried[k].0)).collect();
        if missing.is_empty() {
            *live = inside;
            l.body = body;
            break;
        }
        for k in missing {
            keep[k] = true;
        }
    }
    retain(&mut l.collectors, &keep[carried..]);
    retain(&mut l.carried, &keep[..carried]);
    retain(&mut l.results, &keep);
    collector_atoms(&l.collectors, live);
    for &(_, a) in &l.carried {
        if let Atom::Var(v) = a {
            live.insert(v);
        }
    }
}

fn collector_atoms(collectors: &[Collector], live: &mut HashSet<Var>) {
    for c in collectors {
        if let Collector::SumAt { index, .. } = c {
            live.extend(index.iter().filter_map(|a| a.var()));
        }
    }
}

fn has_effect(stmt: &Stmt) -> bool {
    matches!(stmt, Stmt::Term(_) | Stmt::Check { .. }) || stmt.regions().iter().any(|r| r.stmts.iter().any(has_effect))
}

fn retain<T>(items: &mut Vec<T>, keep: &[bool]) {
    let mut k = keep.iter();
    items.retain(|_| k.next().copied().unwrap_or(true));
}
