//! A product of an outer matrix with a vector that is made inside a `for` is one product of matrices: the loop is cut in two
//! there, its vectors collected. So a network applied to each row costs as many matrix products as it has layers.
//!
//! before: `for i<n { v = …i…; c = contract{hd,d->h}(W, v); … }`
//! after:  `V = for i<n { v = …i… } yield collect v; C = contract{nd,hd->nh}(V, W); for i<n { v = V[i]; c = C[i]; … }`
//!
//! Only where the product is large enough to be worth a matrix product, and what is collected not too large to keep.

use crate::base::hash::HashSet;
use crate::ir::builder::Builder;
use crate::ir::core::{Atom, Block, Collector, Contract, For, Prim, Program, Scalar, Stmt, Type, Var};
use crate::ir::walk::{Substitution, copy_stmts, subst};

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
                let f = cut(program, f, trips, &mut out);
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
    /// What makes the vector, and the indices of the loop that it depends on.
    slice: Vec<Stmt>,
    indices: Vec<(Var, usize)>,
}

/// The product `c`, statement `at` of the body, if making it at once is possible and worth it.
fn plan(program: &Program, f: &For, at: usize, c: &Contract, outer: usize) -> Option<Plan> {
    let body = &f.body.stmts[..at];
    let own: HashSet<Var> = body.iter().flat_map(Stmt::results).chain(f.indices.iter().map(|i| i.0)).collect();
    let inside = |a: Atom| a.var().is_some_and(|v| own.contains(&v));
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
    let vector = vector.var()?;
    let mut needed: HashSet<Var> = HashSet::from_iter([vector]);
    let mut slice: Vec<Stmt> = Vec::new();
    for s in body.iter().rev() {
        if s.results().iter().any(|r| needed.contains(r)) {
            needed.extend(s.free_vars());
            slice.push(s.clone());
        }
    }
    slice.reverse();
    // A vector that is the same in all iterations is left to invariant code motion.
    let indices: Vec<(Var, usize)> = f.indices.iter().copied().filter(|(v, _)| needed.contains(v)).collect();
    let shape = &program.ty(vector).shape;
    let (&d, rows) = shape.split_last()?;
    let h = program.atom_type(matrix).shape[usize::from(transposed)];
    let here = indices.iter().map(|i| i.1).chain(rows.iter().copied()).fold(1, usize::saturating_mul);
    let total = here.saturating_mul(outer);
    let worth = d >= LEAST && h >= LEAST && total >= LEAST && total.saturating_mul(d * h) >= WORTH;
    let kept = total.saturating_mul(d + h) <= KEPT;
    (!indices.is_empty() && worth && kept).then(|| Plan {
        matrix,
        vector,
        transposed,
        rows: rows.to_vec(),
        summed: d,
        free: h,
        slice,
        indices,
    })
}

/// Cuts a `for` at each such product of its body, in order. `outer`: trips of the loops around it.
fn cut(program: &mut Program, mut f: For, outer: usize, out: &mut Vec<Stmt>) -> For {
    let mut at = 0;
    while at < f.body.stmts.len() {
        let found = match &f.body.stmts[at] {
            Stmt::Contract(c) => plan(program, &f, at, c, outer).map(|p| (p, c.result)),
            _ => None,
        };
        let Some((plan, result)) = found else {
            at += 1;
            continue;
        };
        let (vectors, products) = product(program, &plan, out);
        let lead: Vec<Atom> = plan.indices.iter().map(|&(v, _)| v.into()).collect();
        let mut b = Builder::new(program);
        let shape = |last: usize| plan.rows.iter().copied().chain([last]).collect::<Vec<usize>>();
        let vector = view(&mut b, vectors, &lead, &shape(plan.summed));
        let value = view(&mut b, products, &lead, &shape(plan.free));
        let views = b.stmts;
        let mut tail = f.body.stmts.split_off(at);
        tail.remove(0);
        let mut map = Substitution::default();
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
fn product(program: &mut Program, plan: &Plan, out: &mut Vec<Stmt>) -> (Atom, Atom) {
    let mut map = Substitution::default();
    let mut indices: Vec<(Var, usize)> = Vec::new();
    for &(v, n) in &plan.indices {
        let new = program.new_var(Type::INT, None);
        map.insert(v, new.into());
        indices.push((new, n));
    }
    let stmts = copy_stmts(program, &plan.slice, &mut map);
    let body = Block { stmts, results: vec![subst(&map, plan.vector.into())] };
    let lead: Vec<usize> = plan.indices.iter().map(|&(_, n)| n).chain(plan.rows.iter().copied()).collect();
    let rows: usize = lead.iter().product();
    let mut b = Builder::new(program);
    let collected = b.push_for(indices, body, vec![Collector::Collect])[0];
    let reshape = |b: &mut Builder<'_>, a: Atom, shape: Vec<usize>| {
        if lead.len() == 1 {
            a
        } else {
            b.array(Prim::Reshape { shape: shape.clone() }, &[a], Type::array(Scalar::Real, shape))
        }
    };
    let vectors = reshape(&mut b, collected, vec![rows, plan.summed]);
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
    let product = reshape(&mut b, result.into(), lead.iter().copied().chain([plan.free]).collect());
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
