//! A product of an outer matrix with a vector that is made inside a `for` is one product of matrices: the loop is cut in two
//! there, its vectors collected. So a network applied to each row costs as many matrix products as it has layers.
//!
//! before: `for i<n { v = …i…; c = contract{hd,d->h}(W, v); … }`
//! after:  `V = for i<n { v = …i… } yield collect v; C = contract{nd,hd->nh}(V, W); for i<n { v = V[i]; c = C[i]; … }`
//!
//! Only where the product is large enough to be worth a matrix product, and what is collected not too large to keep.

use crate::ir::builder::Builder;
use crate::ir::core::{Atom, Block, Collector, Contract, For, Prim, Program, Scalar, Stmt, Type, Var};
use crate::ir::walk::{Substitution, copy_stmts, subst};
use std::collections::HashSet;

/// Multiply-adds of all iterations from which it is worth it.
const WORTH: usize = 64 * 1024;
/// Least extent of the matrix and of the rows together.
const LEAST: usize = 8;
/// Most elements of what is collected, and of the product.
const KEPT: usize = 1 << 23;

/// Batches products in every region, innermost first.
pub fn batch(mut program: Program) -> Program {
    let step = std::mem::take(&mut program.step);
    let stmts = region(&mut program, step.stmts, 1);
    program.step = Block { stmts, results: step.results };
    program
}

/// `trips`: how often the region runs for one run of the outermost `for`s around it.
fn region(program: &mut Program, stmts: Vec<Stmt>, trips: usize) -> Vec<Stmt> {
    let mut out = Vec::with_capacity(stmts.len());
    for mut s in stmts {
        let inner = match &s {
            Stmt::For(f) => f.indices.iter().fold(trips, |t, &(_, n)| t.saturating_mul(n)),
            Stmt::Loop(_) => 1,
            _ => trips,
        };
        for block in s.regions_mut() {
            let stmts = std::mem::take(&mut block.stmts);
            block.stmts = region(program, stmts, inner);
        }
        match s {
            Stmt::For(f) if f.strip.is_none() => {
                let f = cut(program, f, inner, &mut out);
                out.push(Stmt::For(f));
            }
            other => out.push(other),
        }
    }
    out
}

/// A product that may be made for all iterations at once.
struct Plan {
    matrix: Atom,
    vector: Var,
    /// Whether the matrix' first axis is the summed one.
    transposed: bool,
    /// Axes of the vector before the summed one, and the summed and the free extent.
    rows: Vec<usize>,
    summed: usize,
    free: usize,
}

fn plan(program: &Program, body: &[Stmt], c: &Contract, trips: usize) -> Option<Plan> {
    let made: HashSet<Var> = body.iter().flat_map(Stmt::results).collect();
    let inside = |a: Atom| a.var().is_some_and(|v| made.contains(&v));
    let (matrix, matrix_labels, vector, labels) = match (inside(c.a), inside(c.b)) {
        (false, true) => (c.a, &c.a_labels, c.b, &c.b_labels),
        (true, false) => (c.b, &c.b_labels, c.a, &c.a_labels),
        _ => return None,
    };
    let (&summed, rows) = labels.split_last()?;
    let (&free, out_rows) = c.out.split_last()?;
    let transposed = match matrix_labels[..] {
        [f, s] if f == free && s == summed => false,
        [s, f] if f == free && s == summed => true,
        _ => return None,
    };
    if rows != out_rows || rows.contains(&free) {
        return None;
    }
    let shape = program.atom_type(vector).shape;
    let (&d, rows) = shape.split_last()?;
    let h = program.atom_type(matrix).shape[usize::from(transposed)];
    let own: usize = rows.iter().product();
    let total = trips.saturating_mul(own);
    let worth = d >= LEAST && h >= LEAST && total >= LEAST && total.saturating_mul(d * h) >= WORTH;
    let kept = total.saturating_mul(d + h) <= KEPT;
    let vector = vector.var()?;
    (worth && kept).then(|| Plan { matrix, vector, transposed, rows: rows.to_vec(), summed: d, free: h })
}

/// Cuts a `for` at each such product of its body, in order.
fn cut(program: &mut Program, mut f: For, trips: usize, out: &mut Vec<Stmt>) -> For {
    let indices: HashSet<Var> = f.indices.iter().map(|&(v, _)| v).collect();
    let mut at = 0;
    while at < f.body.stmts.len() {
        let found = match &f.body.stmts[at] {
            Stmt::Contract(c) => plan(program, &f.body.stmts[..at], c, trips).map(|p| (p, c.result)),
            _ => None,
        };
        // The matrix must stand outside.
        let found = found.filter(|(p, _)| p.matrix.var().is_some_and(|v| !indices.contains(&v)));
        let Some((plan, result)) = found else {
            at += 1;
            continue;
        };
        let product = product(program, &f, at, &plan, out);
        let lead: Vec<Atom> = f.indices.iter().map(|&(v, _)| v.into()).collect();
        let mut b = Builder::new(program);
        let vector_shape: Vec<usize> = plan.rows.iter().copied().chain([plan.summed]).collect();
        let result_shape: Vec<usize> = plan.rows.iter().copied().chain([plan.free]).collect();
        let vector = view(&mut b, product.0, &lead, &vector_shape);
        let value = view(&mut b, product.1, &lead, &result_shape);
        let views = b.stmts;
        let mut tail = f.body.stmts.split_off(at);
        tail.remove(0);
        let mut map = Substitution::new();
        map.insert(plan.vector, vector);
        map.insert(result, value);
        let tail = copy_stmts(program, &tail, &mut map);
        f.body.stmts.extend(views);
        at = f.body.stmts.len();
        f.body.stmts.extend(tail);
        for a in &mut f.body.results {
            *a = subst(&map, *a);
        }
        for c in &mut f.collectors {
            if let Collector::SumAt { index, .. } = c {
                index.iter_mut().for_each(|a| *a = subst(&map, *a));
            }
        }
    }
    f
}

/// Emits the loop that collects the vectors and their product with the matrix; both arrays.
fn product(program: &mut Program, f: &For, at: usize, plan: &Plan, out: &mut Vec<Stmt>) -> (Atom, Atom) {
    let mut needed: HashSet<Var> = HashSet::from([plan.vector]);
    let mut slice: Vec<&Stmt> = Vec::new();
    for s in f.body.stmts[..at].iter().rev() {
        if s.results().iter().any(|r| needed.contains(r)) {
            needed.extend(s.free_vars());
            slice.push(s);
        }
    }
    let slice: Vec<Stmt> = slice.into_iter().rev().cloned().collect();
    let mut map = Substitution::new();
    let indices: Vec<(Var, usize)> = f
        .indices
        .iter()
        .map(|&(v, n)| {
            let new = program.new_var(Type::INT, None);
            map.insert(v, new.into());
            (new, n)
        })
        .collect();
    let stmts = copy_stmts(program, &slice, &mut map);
    let body = Block { stmts, results: vec![subst(&map, plan.vector.into())] };
    let extents: Vec<usize> = f.indices.iter().map(|&(_, n)| n).collect();
    let mut b = Builder::new(program);
    let collected = b.push_for(indices, body, vec![Collector::Collect])[0];
    let rows: usize = extents.iter().chain(&plan.rows).product();
    let flat = extents.len() + plan.rows.len() == 1;
    let matrix_of = |b: &mut Builder<'_>, a: Atom| {
        let shape = vec![rows, plan.summed];
        if flat { a } else { b.array(Prim::Reshape { shape: shape.clone() }, &[a], Type::array(Scalar::Real, shape)) }
    };
    let vectors = matrix_of(&mut b, collected);
    let result = b.var(Type::array(Scalar::Real, vec![rows, plan.free]));
    b.stmts.push(Stmt::Contract(Contract {
        result,
        a: vectors,
        b: plan.matrix,
        a_labels: b"nd".to_vec(),
        b_labels: if plan.transposed { b"dh".to_vec() } else { b"hd".to_vec() },
        out: b"nh".to_vec(),
        kind: None,
    }));
    let product = if flat {
        result.into()
    } else {
        let shape: Vec<usize> = extents.iter().chain(&plan.rows).copied().chain([plan.free]).collect();
        b.array(Prim::Reshape { shape: shape.clone() }, &[result.into()], Type::array(Scalar::Real, shape))
    };
    out.append(&mut b.stmts);
    (collected, product)
}

/// `array[lead…]` as an array of its own.
fn view(b: &mut Builder<'_>, array: Atom, lead: &[Atom], shape: &[usize]) -> Atom {
    b.for_(shape, vec![Collector::Collect], |b, own| {
        let index: Vec<Atom> = lead.iter().chain(own).copied().collect();
        vec![b.read(array, &index)]
    })[0]
}
