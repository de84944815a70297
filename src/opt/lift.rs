//! A contract inside a `for`, of rows of an outer array, is one contract with the loop's index as a further label, ahead of
//! the loop. So a product per row becomes a product of a matrix. Acts on index expressions alone.
//!
//! before: `for i<n { r = for j<d { X[i,j] } yield collect; e = contract{j,j->}(r, b); … }`
//! after:  `E = contract{ij,j->i}(X, b); for i<n { e = E[i]; … }`

use crate::base::hash::{HashMap, HashSet};
use crate::ir::builder::Builder;
use crate::ir::core::{Atom, Block, Collector, Contract, For, Program, Scalar, Stmt, Type, Var};
use crate::ir::op::Op;

/// Lifts contracts out of loops, innermost first.
pub fn lift(mut program: Program) -> Program {
    let setup = std::mem::take(&mut program.setup);
    program.setup = region(&mut program, setup);
    let step = std::mem::take(&mut program.step);
    let stmts = region(&mut program, step.stmts);
    program.step = Block { stmts, results: step.results };
    program
}

fn region(program: &mut Program, stmts: Vec<Stmt>) -> Vec<Stmt> {
    let mut out = Vec::with_capacity(stmts.len());
    for mut s in stmts {
        for block in s.regions_mut() {
            let inner = std::mem::take(&mut block.stmts);
            block.stmts = region(program, inner);
        }
        match s {
            Stmt::For(f) => {
                let f = lift_from(program, f, &mut out);
                if let Some(c) = product_sum(program, &f) {
                    out.extend(c);
                } else {
                    out.push(Stmt::For(f));
                }
            }
            other => out.push(other),
        }
    }
    out
}

/// An operand seen as an array outside the loop: its labels, and the loop indices it is read at.
struct Operand {
    array: Atom,
    labels: Vec<u8>,
    indices: Vec<usize>,
}

fn lift_from(program: &mut Program, f: For, out: &mut Vec<Stmt>) -> For {
    let inside: HashSet<Var> =
        f.body.stmts.iter().flat_map(Stmt::results).chain(f.indices.iter().map(|&(v, _)| v)).collect();
    let contracts: Vec<Contract> =
        f.body.stmts.iter().filter_map(|s| if let Stmt::Contract(c) = s { Some(c.clone()) } else { None }).collect();
    if contracts.is_empty() || f.strip.is_some() || f.indices.iter().any(|&(_, n)| n == 0) {
        return f;
    }
    let mut replaced: HashMap<Var, Vec<Stmt>> = HashMap::default();
    for c in contracts {
        let largest = c.a_labels.iter().chain(&c.b_labels).chain(&c.out).copied().max().unwrap_or(b'a');
        let fresh: Option<Vec<u8>> =
            (0..f.indices.len()).map(|q| largest.checked_add(1)?.checked_add(u8::try_from(q).ok()?)).collect();
        let Some(fresh) = fresh else { continue };
        let (Some(a), Some(b)) = (
            operand(program, &f, &inside, c.a, &c.a_labels, &fresh),
            operand(program, &f, &inside, c.b, &c.b_labels, &fresh),
        ) else {
            continue;
        };
        let used: Vec<usize> =
            (0..f.indices.len()).filter(|q| a.indices.contains(q) || b.indices.contains(q)).collect();
        if used.is_empty() {
            continue;
        }
        let mut labels: Vec<u8> = used.iter().map(|&q| fresh[q]).collect();
        labels.extend(&c.out);
        let mut shape: Vec<usize> = used.iter().map(|&q| f.indices[q].1).collect();
        let own = program.ty(c.result).shape.clone();
        shape.extend(&own);
        let result = program.new_var(Type::array(Scalar::Real, shape), None);
        out.push(Stmt::Contract(Contract {
            result,
            a: a.array,
            b: b.array,
            a_labels: a.labels,
            b_labels: b.labels,
            out: labels,
            kind: None,
        }));
        let lead: Vec<Atom> = used.iter().map(|&q| f.indices[q].0.into()).collect();
        let mut builder = Builder::new(program);
        if own.is_empty() {
            let mut args = vec![Atom::Var(result)];
            args.extend(lead);
            builder.stmts.push(Stmt::Op { result: c.result, op: Op::Read, args });
        } else {
            let indices: Vec<(Var, usize)> = own.iter().map(|&n| (builder.var(Type::INT), n)).collect();
            let mut index = lead;
            index.extend(indices.iter().map(|&(v, _)| Atom::Var(v)));
            let block = builder.region(|b| vec![b.read(result.into(), &index)]);
            builder.stmts.push(Stmt::For(For {
                results: vec![c.result],
                indices,
                body: block,
                collectors: vec![Collector::Collect],
                strip: None,
            }));
        }
        replaced.insert(c.result, builder.stmts);
    }
    if replaced.is_empty() {
        return f;
    }
    let mut stmts = Vec::with_capacity(f.body.stmts.len());
    for s in f.body.stmts {
        match s {
            Stmt::Contract(c) if replaced.contains_key(&c.result) => {
                stmts.extend(replaced.remove(&c.result).unwrap_or_default());
            }
            other => stmts.push(other),
        }
    }
    For { body: Block { stmts, results: f.body.results }, ..f }
}

fn operand(
    program: &Program,
    f: &For,
    inside: &HashSet<Var>,
    atom: Atom,
    labels: &[u8],
    fresh: &[u8],
) -> Option<Operand> {
    let Atom::Var(v) = atom else { return None };
    if !inside.contains(&v) {
        return Some(Operand { array: atom, labels: labels.to_vec(), indices: Vec::new() });
    }
    let defined = f.body.stmts.iter().find(|s| s.results().contains(&v))?;
    match defined {
        Stmt::For(view) => {
            let k = view.results.iter().position(|&r| r == v)?;
            if view.collectors[k] != Collector::Collect || view.indices.len() != labels.len() {
                return None;
            }
            let value = view.body.results[k].var()?;
            let read = view.body.stmts.iter().find(|s| s.results().first() == Some(&value))?;
            let Stmt::Op { op: Op::Read, args, .. } = read else { return None };
            viewed(program, f, inside, args, &view.indices, labels, fresh)
        }
        Stmt::Op { op: Op::Read, args, .. } if labels.is_empty() => {
            viewed(program, f, inside, args, &[], labels, fresh)
        }
        _ => None,
    }
}

/// A read at distinct loop indices only, each over its whole axis, as an operand.
fn viewed(
    program: &Program,
    f: &For,
    inside: &HashSet<Var>,
    args: &[Atom],
    own: &[(Var, usize)],
    labels: &[u8],
    fresh: &[u8],
) -> Option<Operand> {
    let array = args[0].var().filter(|v| !inside.contains(v))?;
    let shape = &program.ty(array).shape;
    let mut found = Vec::new();
    let mut indices = Vec::new();
    for (&a, &n) in args[1..].iter().zip(shape) {
        let v = a.var()?;
        let label = if let Some(k) = own.iter().position(|&(w, m)| w == v && m == n) {
            labels[k]
        } else {
            let q = f.indices.iter().position(|&(w, m)| w == v && m == n)?;
            indices.push(q);
            fresh[q]
        };
        if found.contains(&label) {
            return None;
        }
        found.push(label);
    }
    let all_own = labels.iter().all(|l| found.contains(l));
    all_own.then_some(Operand { array: array.into(), labels: found, indices })
}

/// `for i, j { A[i,j] * b[j] } yield sum[i]` is a contract.
fn product_sum(program: &Program, f: &For) -> Option<Vec<Stmt>> {
    let [Collector::Sum { keep }] = &f.collectors[..] else { return None };
    if f.strip.is_some() || keep.len() == f.indices.len() {
        return None;
    }
    let [
        Stmt::Op { result: p, op: Op::Read, args: x },
        Stmt::Op { result: q, op: Op::Read, args: y },
        Stmt::Op { result: product, op: Op::Mul, args },
    ] = &f.body.stmts[..]
    else {
        return None;
    };
    let both = (args[0] == Atom::Var(*p) && args[1] == Atom::Var(*q))
        || (args[0] == Atom::Var(*q) && args[1] == Atom::Var(*p));
    if !both || f.body.results[0] != Atom::Var(*product) {
        return None;
    }
    let label: HashMap<Var, (u8, usize)> = f.indices.iter().zip(b'a'..=b'z').map(|(&(v, n), l)| (v, (l, n))).collect();
    let labels = |args: &[Atom]| -> Option<Vec<u8>> {
        let shape = program.atom_type(args[0]).shape;
        let mut out = Vec::new();
        for (a, &n) in args[1..].iter().zip(&shape) {
            let &(l, m) = label.get(&a.var()?)?;
            if m != n || out.contains(&l) {
                return None;
            }
            out.push(l);
        }
        Some(out)
    };
    let (a_labels, b_labels) = (labels(x)?, labels(y)?);
    let every =
        f.indices.iter().all(|(v, _)| label.get(v).is_some_and(|(l, _)| a_labels.contains(l) || b_labels.contains(l)));
    // A sum over one index that both have: anything else is cheaper as it stands.
    let summed = (0..f.indices.len())
        .filter(|k| !keep.contains(k))
        .all(|k| label.get(&f.indices[k].0).is_some_and(|(l, _)| a_labels.contains(l) && b_labels.contains(l)));
    let out: Vec<u8> = keep.iter().filter_map(|&k| label.get(&f.indices[k].0).map(|&(l, _)| l)).collect();
    let worth = !out.is_empty() && every && summed;
    worth.then(|| {
        vec![Stmt::Contract(Contract { result: f.results[0], a: x[0], b: y[0], a_labels, b_labels, out, kind: None })]
    })
}
