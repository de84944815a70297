//! Trees of additions in one region, for the passes that take sums apart and put them together again: [`super::gather`],
//! [`super::split`], [`super::merge`].

use crate::base::hash::{HashMap, HashSet};
use crate::ir::builder::Builder;
use crate::ir::core::{Atom, Block, Collector, For, Program, Stmt, Type, Var};
use crate::ir::op::Op;

/// A signed term of a sum.
pub(super) type Term = (bool, Atom);

/// Additions, subtractions and negations by their results.
pub(super) type Definitions = HashMap<Var, (Op, Vec<Atom>)>;

/// How often each variable is read.
pub(super) fn uses(block: &Block) -> HashMap<Var, usize> {
    let mut uses = HashMap::default();
    block.each_atom(&mut |a| {
        if let Atom::Var(v) = a {
            *uses.entry(v).or_insert(0) += 1;
        }
    });
    uses
}

pub(super) fn definitions(stmts: &[Stmt]) -> Definitions {
    let sum = |s: &Stmt| match s {
        Stmt::Op { result, op: op @ (Op::Add | Op::Sub | Op::Neg), args } => Some((*result, (*op, args.clone()))),
        _ => None,
    };
    stmts.iter().filter_map(sum).collect()
}

/// Terms of a larger sum, which are not sums of their own: read once, by another addition.
pub(super) fn inner(definitions: &Definitions, uses: &HashMap<Var, usize>) -> HashSet<Var> {
    let read = definitions.values().flat_map(|(_, args)| args.iter().filter_map(|a| a.var()));
    read.filter(|v| uses.get(v) == Some(&1) && definitions.contains_key(v)).collect()
}

/// Terms of the sum `root`, and the partial sums on the way, which nothing else reads.
pub(super) fn terms(definitions: &Definitions, uses: &HashMap<Var, usize>, root: Atom) -> (Vec<Term>, HashSet<Var>) {
    let (mut out, mut parts) = (Vec::new(), HashSet::default());
    match root.var().filter(|v| definitions.contains_key(v)) {
        Some(v) => apart(definitions, uses, (true, v), &mut out, &mut parts),
        None => out.push((true, root)),
    }
    (out, parts)
}

fn apart(
    definitions: &Definitions,
    uses: &HashMap<Var, usize>,
    (sign, var): (bool, Var),
    out: &mut Vec<Term>,
    parts: &mut HashSet<Var>,
) {
    let Some((op, args)) = definitions.get(&var) else { return };
    for (k, &arg) in args.iter().enumerate() {
        let sign = if *op == Op::Neg || (*op == Op::Sub && k == 1) { !sign } else { sign };
        match arg {
            Atom::Var(v) if definitions.contains_key(&v) && uses.get(&v) == Some(&1) => {
                parts.insert(v);
                apart(definitions, uses, (sign, v), out, parts);
            }
            other => out.push((sign, other)),
        }
    }
}

/// What is added comes first, so that only a sum of nothing but subtractions is negated.
pub(super) fn signed_sum(b: &mut Builder<'_>, terms: &[Term]) -> Atom {
    let mut acc: Option<Atom> = None;
    for &(sign, a) in terms.iter().filter(|t| t.0).chain(terms.iter().filter(|t| !t.0)) {
        acc = Some(match (acc, sign) {
            (None, true) => a,
            (None, false) => b.op(Op::Neg, &[a]),
            (Some(x), true) => b.op(Op::Add, &[x, a]),
            (Some(x), false) => b.op(Op::Sub, &[x, a]),
        });
    }
    acc.unwrap_or(Atom::Real(0.0))
}

/// Result `k` is the sum of a real scalar over all indices, in no order fixed yet.
pub(super) fn is_sum(f: &For, k: usize, program: &Program) -> bool {
    f.strip.is_none()
        && matches!(&f.collectors[k], Collector::Sum { keep } if keep.is_empty())
        && program.atom_type(f.body.results[k]) == Type::REAL
}
