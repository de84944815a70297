//! Small loops inside others are written out, so that what is indexed by them becomes scalars. At the
//! top level only loops of one or two iterations are: a longer one is better as a strip.

use crate::base::hash::HashMap;
use crate::ir::builder::Builder;
use crate::ir::core::{Atom, Block, Collector, For, Prim, Program, Scalar, Stmt, Type};
use crate::ir::op::Op;
use crate::ir::walk::{Substitution, copy_block, subst};

/// Iterations that are always written out inside a loop.
const SMALL: usize = 4;
/// Iterations written out if the body is short.
const MEDIUM: usize = 8;
/// A short body, in statements.
const SHORT: usize = 16;
/// A body beyond this is not copied.
const LONG: usize = 200;
/// Iterations written out at the top level.
const TOP: usize = 2;

/// Writes out small `for`s.
pub fn unroll(mut program: Program) -> Program {
    let step = std::mem::take(&mut program.step);
    let mut map = Substitution::default();
    let stmts = region(&mut program, step.stmts, false, &mut map);
    let results = step.results.iter().map(|&a| subst(&map, a)).collect();
    program.step = Block { stmts, results };
    program
}

fn size(block: &Block) -> usize {
    block.stmts.iter().map(|s| 1 + s.regions().iter().map(|b| size(b)).sum::<usize>()).sum()
}

fn region(program: &mut Program, stmts: Vec<Stmt>, nested: bool, map: &mut Substitution) -> Vec<Stmt> {
    let mut out = Vec::with_capacity(stmts.len());
    for mut s in stmts {
        super::cse::substitute(&mut s, map);
        let within = nested || matches!(s, Stmt::For(_));
        for block in s.regions_mut() {
            let inner = std::mem::take(&mut block.stmts);
            block.stmts = region(program, inner, within, map);
            block.results.iter_mut().for_each(|a| *a = subst(map, *a));
        }
        super::cse::substitute_collectors(&mut s, map);
        match s {
            Stmt::For(f) if is_small(program, &f, nested) => {
                let mut b = Builder::new(program);
                let values = write_out(&mut b, &f);
                out.extend(b.stmts);
                for (&r, v) in f.results.iter().zip(values) {
                    map.insert(r, v);
                }
            }
            other => out.push(other),
        }
    }
    out
}

fn is_small(program: &Program, f: &For, nested: bool) -> bool {
    let count: usize = f.indices.iter().map(|&(_, n)| n).product();
    let body = size(&f.body);
    let small = if nested { count <= SMALL || (count <= MEDIUM && body <= SHORT) } else { count <= TOP };
    if count == 0 || !small || body * count > LONG || f.strip.is_some() {
        return false;
    }
    f.collectors.iter().zip(&f.body.results).all(|(c, &value)| {
        let scalar = program.atom_type(value).is_scalar();
        match c {
            Collector::Collect => scalar || f.indices.len() == 1,
            Collector::Sum { keep } => scalar && keep.len() <= 1,
            Collector::Max | Collector::Min | Collector::All => true,
            Collector::SumAt { .. } => false,
        }
    })
}

fn write_out(b: &mut Builder<'_>, f: &For) -> Vec<Atom> {
    let extents: Vec<usize> = f.indices.iter().map(|&(_, n)| n).collect();
    let count: usize = extents.iter().product();
    let mut values: Vec<Vec<Atom>> = vec![Vec::with_capacity(count); f.results.len()];
    let mut positions: Vec<Vec<usize>> = Vec::with_capacity(count);
    for flat in 0..count {
        let mut rest = flat;
        let mut at = vec![0; extents.len()];
        for (k, &n) in extents.iter().enumerate().rev() {
            at[k] = rest % n;
            rest /= n;
        }
        let mut map: Substitution = HashMap::default();
        for (&(v, _), &i) in f.indices.iter().zip(&at) {
            map.insert(v, Atom::Int(i64::try_from(i).unwrap_or(i64::MAX)));
        }
        let copy = copy_block(b.program, &f.body, &mut map);
        b.stmts.extend(copy.stmts);
        for (list, &v) in values.iter_mut().zip(&copy.results) {
            list.push(v);
        }
        positions.push(at);
    }
    f.collectors
        .iter()
        .zip(&values)
        .map(|(c, list)| match c {
            Collector::Collect => stack(b, list, &extents),
            Collector::Sum { keep } => match keep.first() {
                None => total(b, list),
                Some(&k) => {
                    let sums: Vec<Atom> = (0..extents[k])
                        .map(|i| {
                            let mine: Vec<Atom> =
                                list.iter().zip(&positions).filter(|(_, p)| p[k] == i).map(|(&v, _)| v).collect();
                            total(b, &mine)
                        })
                        .collect();
                    stack(b, &sums, &[extents[k]])
                }
            },
            Collector::Max | Collector::Min => {
                let real = b.program.atom_type(list[0]).scalar == Scalar::Real;
                let op = match (matches!(c, Collector::Max), real) {
                    (true, true) => Op::Max,
                    (false, true) => Op::Min,
                    (true, false) => Op::IMax,
                    (false, false) => Op::IMin,
                };
                list[1..].iter().fold(list[0], |acc, &v| b.op(op, &[acc, v]))
            }
            Collector::All => list[1..].iter().fold(list[0], |acc, &v| b.op(Op::And, &[acc, v])),
            Collector::SumAt { .. } => Atom::Real(0.0),
        })
        .collect()
}

fn total(b: &mut Builder<'_>, list: &[Atom]) -> Atom {
    let Some((&first, rest)) = list.split_first() else { return Atom::Real(0.0) };
    let op = if b.program.atom_type(first).scalar == Scalar::Int { Op::IAdd } else { Op::Add };
    rest.iter().fold(first, |acc, &v| b.op(op, &[acc, v]))
}

fn stack(b: &mut Builder<'_>, list: &[Atom], extents: &[usize]) -> Atom {
    let own = b.program.atom_type(list[0]);
    let mut shape = vec![list.len()];
    shape.extend(&own.shape);
    let stacked = b.array(Prim::Stack, list, Type { scalar: own.scalar, shape: shape.clone() });
    if extents.len() == 1 {
        return stacked;
    }
    let mut shape = extents.to_vec();
    shape.extend(&own.shape);
    b.array(Prim::Reshape { shape: shape.clone() }, &[stacked], Type { scalar: own.scalar, shape })
}
