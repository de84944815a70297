//! Questions about regions with sites: what is sampled where, what depends on it, where a variable is defined, and
//! making an inner variable visible outside ([`export`]).

use crate::ir::core::{Atom, Block, Collector, Program, Sample, Scalar, Stmt, Type, Var};
use crate::ir::op::Op;
use std::collections::{HashMap, HashSet};

pub fn has_sample(stmt: &Stmt) -> bool {
    matches!(stmt, Stmt::Sample(_)) || stmt.regions().iter().any(|r| r.stmts.iter().any(has_sample))
}

pub fn has_samples(stmts: &[Stmt]) -> bool {
    stmts.iter().any(has_sample)
}

pub fn has_term(stmts: &[Stmt]) -> bool {
    stmts.iter().any(|s| matches!(s, Stmt::Term(_)) || s.regions().iter().any(|r| has_term(&r.stmts)))
}

pub fn each_sample(stmts: &[Stmt], f: &mut impl FnMut(&Sample)) {
    for stmt in stmts {
        if let Stmt::Sample(s) = stmt {
            f(s);
        }
        for region in stmt.regions() {
            each_sample(&region.stmts, f);
        }
    }
}

/// True if no result of the statement depends on what is sampled inside it (and nothing sampled is carried).
pub fn is_closed(stmt: &Stmt) -> bool {
    let mut seeds = HashSet::new();
    for region in stmt.regions() {
        each_sample(&region.stmts, &mut |s| seeds.extend(s.results.iter().copied()));
    }
    let tainted = taint(std::slice::from_ref(stmt), seeds);
    let touched = |atoms: &[Atom]| atoms.iter().any(|a| is_tainted(&tainted, *a));
    match stmt {
        Stmt::For(f) => !touched(&f.body.results) && !f.collectors.iter().any(|c| collector_touched(c, &tainted)),
        Stmt::Loop(l) => !touched(&l.body.results),
        Stmt::If(i) => !touched(&i.then.results) && !touched(&i.otherwise.results),
        _ => false,
    }
}

fn collector_touched(c: &Collector, tainted: &HashSet<Var>) -> bool {
    matches!(c, Collector::SumAt { index, .. } if index.iter().any(|a| is_tainted(tainted, *a)))
}

pub fn is_tainted(tainted: &HashSet<Var>, atom: Atom) -> bool {
    atom.var().is_some_and(|v| tainted.contains(&v))
}

/// Terms that depend on tainted variables, by value or by condition.
pub fn tainted_terms(stmts: &[Stmt], tainted: &HashSet<Var>) -> HashSet<Atom> {
    fn walk(stmts: &[Stmt], tainted: &HashSet<Var>, controlled: bool, found: &mut HashSet<Atom>) {
        for stmt in stmts {
            let controlled = controlled || matches!(stmt, Stmt::If(i) if is_tainted(tainted, i.condition));
            if let Stmt::Term(a) = stmt
                && (controlled || is_tainted(tainted, *a))
            {
                found.insert(*a);
            }
            for region in stmt.regions() {
                walk(&region.stmts, tainted, controlled, found);
            }
        }
    }
    let mut found = HashSet::new();
    walk(stmts, tainted, false, &mut found);
    found
}

/// All variables that depend on `seeds`, by value, by index or by condition.
pub fn taint(stmts: &[Stmt], seeds: HashSet<Var>) -> HashSet<Var> {
    let mut tainted = seeds;
    taint_stmts(stmts, &mut tainted, false);
    tainted
}

fn taint_stmts(stmts: &[Stmt], tainted: &mut HashSet<Var>, controlled: bool) {
    for stmt in stmts {
        taint_stmt(stmt, tainted, controlled);
    }
}

fn taint_stmt(stmt: &Stmt, tainted: &mut HashSet<Var>, controlled: bool) {
    let any = |tainted: &HashSet<Var>, atoms: &[Atom]| atoms.iter().any(|a| is_tainted(tainted, *a));
    match stmt {
        Stmt::For(f) => {
            taint_stmts(&f.body.stmts, tainted, controlled);
            for ((&r, &a), c) in f.results.iter().zip(&f.body.results).zip(&f.collectors) {
                if controlled || is_tainted(tainted, a) || collector_touched(c, tainted) {
                    tainted.insert(r);
                }
            }
        }
        Stmt::Loop(l) => {
            for &(v, a) in &l.carried {
                if is_tainted(tainted, a) {
                    tainted.insert(v);
                }
            }
            loop {
                let before = tainted.len();
                taint_stmts(&l.body.stmts, tainted, controlled);
                for (&(v, _), &next) in l.carried.iter().zip(&l.body.results) {
                    if is_tainted(tainted, next) {
                        tainted.insert(v);
                    }
                }
                if tainted.len() == before {
                    break;
                }
            }
            for (k, (&r, &a)) in l.results.iter().zip(&l.body.results).enumerate() {
                let carried = l.carried.get(k).is_some_and(|&(v, _)| tainted.contains(&v));
                let at = k.checked_sub(l.carried.len()).is_some_and(|c| collector_touched(&l.collectors[c], tainted));
                if controlled || carried || at || is_tainted(tainted, a) {
                    tainted.insert(r);
                }
            }
        }
        Stmt::If(i) => {
            let controlled = controlled || is_tainted(tainted, i.condition);
            taint_stmts(&i.then.stmts, tainted, controlled);
            taint_stmts(&i.otherwise.stmts, tainted, controlled);
            for ((&r, &a), &b) in i.results.iter().zip(&i.then.results).zip(&i.otherwise.results) {
                if controlled || any(tainted, &[a, b]) {
                    tainted.insert(r);
                }
            }
        }
        Stmt::Op { .. }
        | Stmt::Contract(_)
        | Stmt::Array { .. }
        | Stmt::Draw(_)
        | Stmt::Check { .. }
        | Stmt::Sample(_)
        | Stmt::Term(_) => {
            let mut touched = controlled;
            stmt.each_atom(&mut |a| touched |= is_tainted(tainted, a));
            if touched {
                tainted.extend(stmt.results());
            }
        }
    }
}

/// Statement and region numbers from the top list down to the statement that defines `var` (the last pair's region is
/// unused and 0).
pub type Path = Vec<(usize, usize)>;

/// Where `var` is defined as a statement's result.
pub fn find(stmts: &[Stmt], var: Var) -> Option<Path> {
    for (i, stmt) in stmts.iter().enumerate() {
        if stmt.results().contains(&var) {
            return Some(vec![(i, 0)]);
        }
        for (r, region) in stmt.regions().into_iter().enumerate() {
            if let Some(mut inner) = find(&region.stmts, var) {
                inner.insert(0, (i, r));
                return Some(inner);
            }
        }
    }
    None
}

/// A loop around a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Around {
    pub index: Var,
    pub extent: usize,
    pub sequential: bool,
}

/// Loops around the place at `path`, outermost first.
pub fn loops_around(stmts: &[Stmt], path: &[(usize, usize)]) -> Vec<Around> {
    let mut loops = Vec::new();
    let mut list = stmts;
    for &(i, r) in &path[..path.len().saturating_sub(1)] {
        match &list[i] {
            Stmt::For(f) => {
                loops.extend(f.indices.iter().map(|&(index, extent)| Around { index, extent, sequential: false }));
            }
            Stmt::Loop(l) => loops.push(Around { index: l.index, extent: l.extent, sequential: true }),
            _ => {}
        }
        list = match list[i].regions().get(r) {
            Some(block) => &block.stmts,
            None => return loops,
        };
    }
    loops
}

/// Conditions of the branches around the place at `path`, outermost first.
pub fn conditions_around(stmts: &[Stmt], path: &[(usize, usize)]) -> Vec<(Atom, bool)> {
    let mut conditions = Vec::new();
    let mut list = stmts;
    for &(i, r) in &path[..path.len().saturating_sub(1)] {
        if let Stmt::If(x) = &list[i] {
            conditions.push((x.condition, r == 0));
        }
        list = match list[i].regions().get(r) {
            Some(block) => &block.stmts,
            None => return conditions,
        };
    }
    conditions
}

/// Makes `atom`, a value visible at the end of the region at `path`, visible in the top list: an array over the loops
/// around it (reals are 0 where a branch is not taken). Its type's own axes come last.
pub fn export(program: &mut Program, stmts: &mut [Stmt], path: &[(usize, usize)], atom: Atom) -> Atom {
    let Some((&(i, r), rest)) = path.split_first() else { return atom };
    if rest.is_empty() {
        return atom;
    }
    let Some(stmt) = stmts.get_mut(i) else { return atom };
    let inner = {
        let mut regions = stmt.regions_mut();
        let Some(region) = regions.get_mut(r) else { return atom };
        export(program, &mut region.stmts, rest, atom)
    };
    let ty = program.atom_type(inner);
    match stmt {
        Stmt::For(f) => {
            let extents: Vec<usize> = f.indices.iter().map(|&(_, n)| n).collect();
            let result = program.new_var(Collector::Collect.result_type(&extents, &ty), None);
            f.body.results.push(inner);
            f.collectors.push(Collector::Collect);
            f.results.push(result);
            result.into()
        }
        Stmt::Loop(l) => {
            let result = program.new_var(Collector::Collect.result_type(&[l.extent], &ty), None);
            l.body.results.push(inner);
            l.collectors.push(Collector::Collect);
            l.results.push(result);
            result.into()
        }
        Stmt::If(x) => {
            let result = program.new_var(ty.clone(), None);
            let (this, other) = if r == 0 { (&mut x.then, &mut x.otherwise) } else { (&mut x.otherwise, &mut x.then) };
            this.results.push(inner);
            let zero = zero_of(program, other, &ty);
            other.results.push(zero);
            x.results.push(result);
            result.into()
        }
        _ => inner,
    }
}

fn zero_of(program: &mut Program, block: &mut Block, ty: &Type) -> Atom {
    let zero = match ty.scalar {
        Scalar::Real => Atom::Real(0.0),
        Scalar::Int => Atom::Int(0),
        Scalar::Bool => Atom::Bool(false),
    };
    if ty.is_scalar() {
        return zero;
    }
    let result = program.new_var(ty.clone(), None);
    block.stmts.push(Stmt::Array {
        results: vec![result],
        prim: crate::ir::core::Prim::Fill { shape: ty.shape.clone() },
        args: vec![zero],
    });
    result.into()
}

/// Removes what depends on eliminated samples: tainted statements, yields and terms.
pub fn prune(stmts: Vec<Stmt>, tainted: &HashSet<Var>) -> Vec<Stmt> {
    let mut out = Vec::with_capacity(stmts.len());
    for mut stmt in stmts {
        match &mut stmt {
            Stmt::For(f) => {
                let keep: Vec<bool> = f.results.iter().map(|r| !tainted.contains(r)).collect();
                retain(&mut f.results, &keep);
                retain(&mut f.body.results, &keep);
                retain(&mut f.collectors, &keep);
                f.body.stmts = prune(std::mem::take(&mut f.body.stmts), tainted);
                if f.results.is_empty() && !has_effect(&f.body.stmts) {
                    continue;
                }
            }
            Stmt::Loop(l) => {
                // A carried variable that is tainted is carried no longer.
                let n = l.carried.len();
                let keep: Vec<bool> = (0..l.results.len())
                    .map(|k| match l.carried.get(k) {
                        Some((v, _)) => !tainted.contains(v),
                        None => !tainted.contains(&l.results[k]),
                    })
                    .collect();
                retain(&mut l.results, &keep);
                retain(&mut l.body.results, &keep);
                retain(&mut l.carried, &keep[..n]);
                retain(&mut l.collectors, &keep[n..]);
                l.body.stmts = prune(std::mem::take(&mut l.body.stmts), tainted);
                if l.results.is_empty() && !has_effect(&l.body.stmts) {
                    continue;
                }
            }
            Stmt::If(i) => {
                if is_tainted(tainted, i.condition) {
                    continue;
                }
                let keep: Vec<bool> = i.results.iter().map(|r| !tainted.contains(r)).collect();
                retain(&mut i.results, &keep);
                retain(&mut i.then.results, &keep);
                retain(&mut i.otherwise.results, &keep);
                i.then.stmts = prune(std::mem::take(&mut i.then.stmts), tainted);
                i.otherwise.stmts = prune(std::mem::take(&mut i.otherwise.stmts), tainted);
                if i.results.is_empty() && !has_effect(&i.then.stmts) && !has_effect(&i.otherwise.stmts) {
                    continue;
                }
            }
            other => {
                let mut touched = false;
                other.each_atom(&mut |a| touched |= is_tainted(tainted, a));
                if touched || other.results().iter().any(|r| tainted.contains(r)) {
                    continue;
                }
            }
        }
        out.push(stmt);
    }
    out
}

fn has_effect(stmts: &[Stmt]) -> bool {
    stmts.iter().any(|s| {
        matches!(s, Stmt::Term(_) | Stmt::Check { .. } | Stmt::Sample(_))
            || s.regions().iter().any(|r| has_effect(&r.stmts))
    })
}

fn retain<T>(items: &mut Vec<T>, keep: &[bool]) {
    let mut i = 0;
    items.retain(|_| {
        i += 1;
        keep[i - 1]
    });
}

/// Operations by result, through all regions: for reading index expressions.
pub fn operations(stmts: &[Stmt], map: &mut HashMap<Var, (Op, Vec<Atom>)>) {
    for stmt in stmts {
        if let Stmt::Op { result, op, args } = stmt {
            map.insert(*result, (*op, args.clone()));
        }
        for region in stmt.regions() {
            operations(&region.stmts, map);
        }
    }
}

/// Where `term atom` stands.
pub fn find_term(stmts: &[Stmt], atom: Atom) -> Option<Path> {
    for (i, stmt) in stmts.iter().enumerate() {
        if matches!(stmt, Stmt::Term(a) if *a == atom) {
            return Some(vec![(i, 0)]);
        }
        for (r, region) in stmt.regions().into_iter().enumerate() {
            if let Some(mut inner) = find_term(&region.stmts, atom) {
                inner.insert(0, (i, r));
                return Some(inner);
            }
        }
    }
    None
}

/// `base + offset` of an integer expression, through additions and subtractions of constants.
pub fn affine(operations: &HashMap<Var, (Op, Vec<Atom>)>, atom: Atom) -> (Option<Var>, i64) {
    let mut atom = atom;
    let mut offset = 0_i64;
    loop {
        match atom {
            Atom::Int(i) => return (None, offset.wrapping_add(i)),
            Atom::Var(v) => match operations.get(&v) {
                Some((Op::IAdd, args)) => match (args[0], args[1]) {
                    (x, Atom::Int(c)) | (Atom::Int(c), x) => {
                        offset = offset.wrapping_add(c);
                        atom = x;
                    }
                    _ => return (Some(v), offset),
                },
                Some((Op::ISub, args)) => match (args[0], args[1]) {
                    (x, Atom::Int(c)) => {
                        offset = offset.wrapping_sub(c);
                        atom = x;
                    }
                    _ => return (Some(v), offset),
                },
                _ => return (Some(v), offset),
            },
            Atom::Real(_) | Atom::Bool(_) => return (None, 0),
        }
    }
}
