//! Fusion of `for`s over one index set in one region. *Horizontal*: neither reads the other. *Vertical*: the consumer reads
//! collected results of the producer at its own index only; the reads become the yielded values. The producer's body
//! is never repeated, so nothing is computed twice. A `for` never swallows one whose fold it reads. Two branches on one
//! condition, neither reading the other, are one branch.
//!
//! before: `a = for i<n { .. } yield collect e; s = for j<n { x = a[j]; .. } yield sum t`
//! after:  `a, s = for i<n { ..; .. } yield collect e, sum t`

use crate::base::hash::HashSet;
use crate::ir::core::{Atom, Block, Collector, For, Program, Stmt, Var};
use crate::ir::op::Op;
use crate::ir::walk::Substitution;

/// Fuses in every region, innermost first.
pub fn fuse(mut program: Program) -> Program {
    let setup = std::mem::take(&mut program.setup);
    program.setup = region(setup);
    let step = std::mem::take(&mut program.step);
    program.step = Block { stmts: region(step.stmts), results: step.results };
    program
}

fn region(stmts: Vec<Stmt>) -> Vec<Stmt> {
    let mut stmts: Vec<Stmt> = stmts
        .into_iter()
        .map(|mut s| {
            for block in s.regions_mut() {
                let inner = std::mem::take(&mut block.stmts);
                block.stmts = region(inner);
            }
            s
        })
        .collect();
    loop {
        let Some((p, c)) = find_pair(&stmts) else { return stmts };
        stmts = merge(stmts, p, c);
    }
}

fn same_space(a: &For, b: &For) -> bool {
    a.strip == b.strip
        && a.indices.len() == b.indices.len()
        && a.indices.iter().zip(&b.indices).all(|(x, y)| x.1 == y.1)
}

/// Positions of a producer and a later consumer that may become one.
fn find_pair(stmts: &[Stmt]) -> Option<(usize, usize)> {
    let fors: Vec<usize> = (0..stmts.len()).filter(|&k| matches!(stmts[k], Stmt::For(_) | Stmt::If(_))).collect();
    if fors.len() < 2 {
        return None;
    }
    let reads: Vec<HashSet<Var>> = stmts.iter().map(Stmt::free_vars).collect();
    let results: Vec<Vec<Var>> = stmts.iter().map(Stmt::results).collect();
    for (n, &c) in fors.iter().enumerate() {
        for &p in fors[..n].iter().rev() {
            let fits = match (&stmts[p], &stmts[c]) {
                (Stmt::For(a), Stmt::For(b)) => same_space(a, b) && element_wise(a, b),
                (Stmt::If(a), Stmt::If(b)) => {
                    a.condition == b.condition && !results[p].iter().any(|r| reads[c].contains(r))
                }
                _ => false,
            };
            if !fits {
                continue;
            }
            // No statement between may stand on a path from the producer to the consumer.
            let mut tainted: HashSet<Var> = results[p].iter().copied().collect();
            let mut blocked = false;
            for k in p + 1..c {
                if reads[k].iter().any(|v| tainted.contains(v)) {
                    tainted.extend(&results[k]);
                    blocked |= results[k].iter().any(|r| reads[c].contains(r));
                }
            }
            if !blocked {
                return Some((p, c));
            }
        }
    }
    None
}

/// True if the consumer's every use of the producer's results is a read of a collected scalar at its own index.
fn element_wise(producer: &For, consumer: &For) -> bool {
    let results: HashSet<Var> = producer.results.iter().copied().collect();
    let index: Vec<Atom> = consumer.indices.iter().map(|&(v, _)| v.into()).collect();
    let mut fine = true;
    for stmt in &consumer.body.stmts {
        fine &= uses(stmt, producer, &results, &index);
    }
    let mut yielded = consumer.body.results.clone();
    for c in &consumer.collectors {
        if let Collector::SumAt { index, .. } = c {
            yielded.extend_from_slice(index);
        }
    }
    fine && !yielded.iter().any(|a| a.var().is_some_and(|v| results.contains(&v)))
}

fn uses(stmt: &Stmt, producer: &For, results: &HashSet<Var>, index: &[Atom]) -> bool {
    match stmt {
        Stmt::Op { op: Op::Read, args, .. } => match args[0].var().filter(|v| results.contains(v)) {
            None => args[1..].iter().all(|a| a.var().is_none_or(|v| !results.contains(&v))),
            Some(v) => {
                let k = producer.results.iter().position(|&r| r == v);
                k.is_some_and(|k| producer.collectors[k] == Collector::Collect) && &args[1..] == index
            }
        },
        _ => {
            let regions = stmt.regions();
            if regions.is_empty() {
                let mut fine = true;
                stmt.each_atom(&mut |a| fine &= a.var().is_none_or(|v| !results.contains(&v)));
                return fine;
            }
            // Operands of the statement itself.
            let own: Vec<Atom> = match stmt {
                Stmt::Loop(l) => l.carried.iter().map(|&(_, a)| a).collect(),
                Stmt::If(i) => vec![i.condition],
                _ => Vec::new(),
            };
            let inner_results = regions.iter().flat_map(|b| b.results.iter().copied());
            let clean = own.into_iter().chain(inner_results).all(|a| a.var().is_none_or(|v| !results.contains(&v)));
            clean && regions.iter().all(|b| b.stmts.iter().all(|s| uses(s, producer, results, index)))
        }
    }
}

fn merge(stmts: Vec<Stmt>, p: usize, c: usize) -> Vec<Stmt> {
    let mut tainted: HashSet<Var> = stmts[p].results().into_iter().collect();
    let mut before = Vec::new();
    let mut after = Vec::new();
    let mut producer = None;
    let mut consumer = None;
    let mut rest = Vec::new();
    for (k, stmt) in stmts.into_iter().enumerate() {
        match k {
            _ if k < p => before.push(stmt),
            _ if k == p => producer = Some(stmt),
            _ if k < c => {
                if stmt.free_vars().iter().any(|v| tainted.contains(v)) {
                    tainted.extend(stmt.results());
                    after.push(stmt);
                } else {
                    before.push(stmt);
                }
            }
            _ if k == c => consumer = Some(stmt),
            _ => rest.push(stmt),
        }
    }
    match (producer, consumer) {
        (Some(Stmt::For(a)), Some(Stmt::For(b))) => before.push(Stmt::For(join(a, b))),
        (Some(Stmt::If(mut a)), Some(Stmt::If(b))) => {
            for (x, y) in [(&mut a.then, b.then), (&mut a.otherwise, b.otherwise)] {
                x.stmts.extend(y.stmts);
                x.results.extend(y.results);
            }
            a.results.extend(b.results);
            before.push(Stmt::If(a));
        }
        _ => {}
    }
    before.extend(after);
    before.extend(rest);
    before
}

fn join(a: For, b: For) -> For {
    let mut map = Substitution::default();
    for (&(x, _), &(y, _)) in a.indices.iter().zip(&b.indices) {
        map.insert(y, x.into());
    }
    let mut body = a.body;
    let mut second = b.body.stmts;
    let yielded: std::collections::HashMap<Var, Atom> =
        a.results.iter().copied().zip(body.results.iter().copied()).collect();
    forward(&mut second, &yielded, a.indices.len(), &mut map);
    body.stmts.extend(second);
    body.results.extend(b.body.results.iter().map(|&x| crate::ir::walk::subst(&map, x)));
    let mut wrapper = Stmt::For(For { collectors: b.collectors, body: Block::default(), ..b });
    super::cse::substitute_collectors(&mut wrapper, &map);
    let Stmt::For(b) = wrapper else { return For { body, ..a } };
    let mut results = a.results;
    results.extend(b.results);
    let mut collectors = a.collectors;
    collectors.extend(b.collectors);
    For { results, collectors, body, ..a }
}

/// Replaces reads of the producer's results by what it yields, and operands by `map`, throughout.
fn forward(stmts: &mut Vec<Stmt>, yielded: &std::collections::HashMap<Var, Atom>, rank: usize, map: &mut Substitution) {
    let old = std::mem::take(stmts);
    for mut stmt in old {
        if let Stmt::Op { result, op: Op::Read, args } = &stmt
            && let Some(&value) = args[0].var().and_then(|v| yielded.get(&v))
        {
            if args.len() == rank + 1 {
                map.insert(*result, value);
                continue;
            }
            // An element of a yielded array.
            let mut args: Vec<Atom> = args[rank..].to_vec();
            args[0] = value;
            stmt = Stmt::Op { result: *result, op: Op::Read, args };
            super::cse::substitute(&mut stmt, map);
            stmts.push(stmt);
            continue;
        }
        super::cse::substitute(&mut stmt, map);
        for block in stmt.regions_mut() {
            forward(&mut block.stmts, yielded, rank, map);
            block.results.iter_mut().for_each(|a| *a = crate::ir::walk::subst(map, *a));
        }
        super::cse::substitute_collectors(&mut stmt, map);
        stmts.push(stmt);
    }
}
