//! A loop of few iterations around loops over much data (particles around rows) is cut into one loop per inner loop or
//! contract, so that [`super::flatten`] and [`super::lift`] can make of each a loop over both index sets, or one product of
//! matrices. What one piece hands to a later one becomes an array over the outer indices.
//!
//! before: `for k<K { b = …; e = contract(X, b); s = for i<N { … e[i] … } yield sum; … }`
//! after:  `b = for k {…}; e = for k { contract(X, b[k]) }; s = for k { for i {…} }; for k { … }`

use crate::base::hash::{HashMap, HashSet};
use crate::ir::builder::Builder;
use crate::ir::core::{Atom, Block, Collector, Contract, For, Program, Stmt, Type, Var};
use crate::ir::op::Op;
use crate::ir::walk::copy_stmt;

/// An inner loop or product of at least so many iterations, and four times as many as there are around it, is worth a
/// loop of its own; else the outer index is the better strip.
const LARGE: usize = 256;
/// Most elements of an array made between two pieces.
const LARGEST: usize = 1 << 22;

/// Cuts outermost loops.
pub fn distribute(mut program: Program) -> Program {
    let step = std::mem::take(&mut program.step);
    let mut stmts = Vec::with_capacity(step.stmts.len());
    for s in step.stmts {
        match s {
            Stmt::For(f) if is_worth_it(&program, &f) => stmts.extend(cut(&mut program, f)),
            other => stmts.push(other),
        }
    }
    program.step = Block { stmts, results: step.results };
    program
}

fn is_large(program: &Program, s: &Stmt, outer: usize) -> bool {
    let count = match s {
        Stmt::For(f) => f.indices.iter().map(|&(_, n)| n).product(),
        Stmt::Contract(Contract { a, b, .. }) => program.atom_type(*a).size().max(program.atom_type(*b).size()),
        _ => 0,
    };
    count >= LARGE && count >= 4 * outer
}

fn is_worth_it(program: &Program, f: &For) -> bool {
    let outer: usize = f.indices.iter().map(|&(_, n)| n).product();
    let large = f.body.stmts.iter().filter(|s| is_large(program, s, outer)).count();
    let only = f.body.stmts.len() == 1;
    let biggest = f.body.stmts.iter().flat_map(Stmt::results).map(|r| program.ty(r).size()).max().unwrap_or(0);
    // A product per iteration is all there is to gain from; a check must stay where it is.
    let checks = f.body.stmts.iter().any(|s| matches!(s, Stmt::Check { .. } | Stmt::Sample(_) | Stmt::Term(_)));
    f.strip.is_none() && large > 0 && !only && outer > 0 && !checks && biggest.saturating_mul(outer) <= LARGEST
}

fn cut(program: &mut Program, f: For) -> Vec<Stmt> {
    let outer: usize = f.indices.iter().map(|&(_, n)| n).product();
    // Pieces: each large statement alone; the others as early as what they read allows.
    let mut level: HashMap<Var, usize> = HashMap::default();
    let mut pieces: Vec<(bool, Vec<Stmt>)> = vec![(false, Vec::new())];
    for s in f.body.stmts {
        let after = s.free_vars().iter().filter_map(|v| level.get(v)).copied().max().unwrap_or(0);
        let results = s.results();
        let piece = if is_large(program, &s, outer) {
            pieces.push((true, vec![s]));
            pieces.len() - 1
        } else {
            match (after..pieces.len()).find(|&k| !pieces[k].0) {
                Some(k) => {
                    pieces[k].1.push(s);
                    k
                }
                None => {
                    pieces.push((false, vec![s]));
                    pieces.len() - 1
                }
            }
        };
        for r in results {
            level.insert(r, piece);
        }
    }
    // Each result is yielded by the last piece that it needs.
    let last = f.results.len();
    let mut home: Vec<usize> = Vec::with_capacity(last);
    for k in 0..last {
        let mut needs = vec![f.body.results[k]];
        if let Collector::SumAt { index, .. } = &f.collectors[k] {
            needs.extend(index);
        }
        home.push(needs.iter().filter_map(|a| level.get(&a.var()?)).copied().max().unwrap_or(0));
    }
    let mut arrays: HashMap<Var, Var> = HashMap::default();
    let mut out = Vec::new();
    for (n, (_, stmts)) in pieces.iter().enumerate() {
        let needed: HashSet<Var> =
            pieces[n + 1..].iter().flat_map(|(_, p)| p.iter().flat_map(Stmt::free_vars)).collect();
        let mut kept: HashSet<Var> = needed;
        for (k, &h) in home.iter().enumerate() {
            if h > n {
                kept.extend(f.body.results[k].var());
                if let Collector::SumAt { index, .. } = &f.collectors[k] {
                    kept.extend(index.iter().filter_map(|a| a.var()));
                }
            }
        }
        let mut one = For {
            results: Vec::new(),
            indices: f.indices.clone(),
            body: Block { stmts: stmts.clone(), results: Vec::new() },
            collectors: Vec::new(),
            strip: None,
        };
        for (k, &h) in home.iter().enumerate() {
            if h == n {
                one.results.push(f.results[k]);
                one.body.results.push(f.body.results[k]);
                one.collectors.push(f.collectors[k].clone());
            }
        }
        let extents: Vec<usize> = f.indices.iter().map(|&(_, m)| m).collect();
        let mut made: Vec<(Var, Var)> = Vec::new();
        for v in stmts.iter().flat_map(Stmt::results).filter(|v| kept.contains(v)) {
            let ty = Collector::Collect.result_type(&extents, program.ty(v));
            let array = program.new_var(ty, None);
            one.results.push(array);
            one.body.results.push(v.into());
            one.collectors.push(Collector::Collect);
            made.push((v, array));
        }
        if one.results.is_empty() {
            continue;
        }
        bring_in(program, &mut one, &arrays);
        // Fresh variables: the pieces must not share their indices.
        let names = one.results.clone();
        let mut map = HashMap::default();
        if let Stmt::For(mut fresh) = copy_stmt(program, &Stmt::For(one), &mut map) {
            fresh.results = names;
            out.push(Stmt::For(fresh));
        }
        arrays.extend(made);
    }
    out
}

/// Defines, ahead of a piece's statements, what it reads of earlier pieces.
fn bring_in(program: &mut Program, one: &mut For, arrays: &HashMap<Var, Var>) {
    let mut wanted: Vec<Var> = Vec::new();
    let mut note = |a: Atom| {
        if let Atom::Var(v) = a
            && arrays.contains_key(&v)
            && !wanted.contains(&v)
        {
            wanted.push(v);
        }
    };
    one.body.each_atom(&mut note);
    for c in &one.collectors {
        if let Collector::SumAt { index, .. } = c {
            index.iter().for_each(|&a| note(a));
        }
    }
    let lead: Vec<Atom> = one.indices.iter().map(|&(v, _)| v.into()).collect();
    let mut head = Vec::new();
    for v in wanted {
        let Some(&array) = arrays.get(&v) else { continue };
        let shape = program.ty(v).shape.clone();
        let mut args = vec![Atom::Var(array)];
        args.extend(&lead);
        if shape.is_empty() {
            head.push(Stmt::Op { result: v, op: Op::Read, args });
            continue;
        }
        let mut b = Builder::new(program);
        let indices: Vec<(Var, usize)> = shape.iter().map(|&n| (b.var(Type::INT), n)).collect();
        args.extend(indices.iter().map(|&(i, _)| Atom::Var(i)));
        let body = b.region(|b| vec![b.op(Op::Read, &args)]);
        head.push(Stmt::For(For {
            results: vec![v],
            indices,
            body,
            collectors: vec![Collector::Collect],
            strip: None,
        }));
    }
    head.append(&mut one.body.stmts);
    one.body.stmts = head;
}
