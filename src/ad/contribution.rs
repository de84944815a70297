//! Adjoints under construction: a variable's adjoint is a sum of contributions, each to one element, a block of
//! elements or the whole. Leaving a loop, a contribution becomes a collector: at the loop's own index `collect`, at an
//! index that ignores some loops `sum[keep]`, at any other index `sum_at`. So reads and collectors are each other's
//! transposes.

use super::rules::add;
use crate::ir::builder::Builder;
use crate::ir::core::{Atom, Collector, Prim, Scalar, Stmt, Type, Var};
use crate::ir::op::Op;
use std::collections::{BTreeMap, HashMap};

/// Where along one axis of the variable a contribution goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    /// At one index.
    At(Atom),
    /// Elements `offset..offset + n` along axis `axis` (of extent n) of the contributed value.
    Span { axis: usize, offset: usize },
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Contribution {
    /// One per axis of the variable; the spans' axes are a permutation of the value's axes.
    pub places: Vec<Place>,
    pub value: Atom,
}

/// Contributions by variable, in order of the variables (so that what is emitted does not depend on hashing).
#[derive(Default, Debug)]
pub(super) struct Adjoints {
    map: BTreeMap<Var, Vec<Contribution>>,
}

impl Adjoints {
    pub(super) fn add(&mut self, var: Var, places: Vec<Place>, value: Atom) {
        self.map.entry(var).or_default().push(Contribution { places, value });
    }

    /// A contribution to all of a scalar or array.
    pub(super) fn add_whole(&mut self, b: &Builder<'_>, var: Var, value: Atom) {
        let rank = b.program.ty(var).shape.len();
        self.add(var, (0..rank).map(|axis| Place::Span { axis, offset: 0 }).collect(), value);
    }

    /// The adjoint of `var` as one value of its type; `None` if nothing was contributed.
    pub(super) fn take(&mut self, b: &mut Builder<'_>, var: Var) -> Option<Atom> {
        let list = self.map.remove(&var)?;
        let shape = b.program.ty(var).shape.clone();
        Some(densify(b, &shape, list))
    }

    /// What is left: contributions to variables of enclosing regions; equal places added up. `b` is the region they
    /// stand in.
    pub(super) fn leave(self, b: &mut Builder<'_>, affine: &Affine) -> Vec<(Var, Contribution)> {
        let mut out = Vec::new();
        for (var, list) in self.map {
            for c in merge(b, affine, list) {
                out.push((var, c));
            }
        }
        out
    }
}

/// Index expressions of a region that are a loop index plus a constant, and all that the region defines.
#[derive(Default)]
pub(super) struct Affine {
    /// Variable to (position of the loop index, offset).
    forms: HashMap<Var, (usize, i64)>,
    inside: std::collections::HashSet<Var>,
}

impl Affine {
    pub(super) fn new(indices: &[(Var, usize)], stmts: &[Stmt]) -> Affine {
        let mut a = Affine::default();
        for (q, &(v, _)) in indices.iter().enumerate() {
            a.forms.insert(v, (q, 0));
            a.inside.insert(v);
        }
        for stmt in stmts {
            if let Stmt::Op { result, op, args } = stmt {
                let form = match (op, args.as_slice()) {
                    (Op::IAdd, &[Atom::Var(x), Atom::Int(c)] | &[Atom::Int(c), Atom::Var(x)]) => {
                        a.forms.get(&x).and_then(|&(q, o)| Some((q, o.checked_add(c)?)))
                    }
                    (Op::ISub, &[Atom::Var(x), Atom::Int(c)]) => {
                        a.forms.get(&x).and_then(|&(q, o)| Some((q, o.checked_sub(c)?)))
                    }
                    _ => None,
                };
                if let Some(form) = form {
                    a.forms.insert(*result, form);
                }
            }
            a.inside.extend(stmt.results());
        }
        a
    }

    pub(super) fn form(&self, atom: Atom) -> Option<(usize, i64)> {
        atom.var().and_then(|v| self.forms.get(&v).copied())
    }

    pub(super) fn is_inside(&self, atom: Atom) -> bool {
        atom.var().is_some_and(|v| self.inside.contains(&v))
    }
}

#[derive(PartialEq, Eq, Hash, Clone)]
enum PlaceKey {
    Affine(usize, i64),
    Place(Place),
}

/// Adds up contributions to the same places.
fn merge(b: &mut Builder<'_>, affine: &Affine, list: Vec<Contribution>) -> Vec<Contribution> {
    let mut order: Vec<(Vec<PlaceKey>, Contribution, Vec<Atom>)> = Vec::new();
    let mut position: HashMap<Vec<PlaceKey>, usize> = HashMap::new();
    for c in list {
        let key: Vec<PlaceKey> = c
            .places
            .iter()
            .map(|&p| match p {
                Place::At(atom) => match affine.form(atom) {
                    Some((q, o)) => PlaceKey::Affine(q, o),
                    None => PlaceKey::Place(p),
                },
                // Spans of different lengths must not be taken for equal: the length is the value's, so it is keyed
                // below by shape.
                Place::Span { .. } => PlaceKey::Place(p),
            })
            .collect();
        let mut key = key;
        for n in b.program.atom_type(c.value).shape {
            key.push(PlaceKey::Place(Place::At(Atom::Int(i64::try_from(n).unwrap_or(i64::MAX)))));
        }
        match position.get(&key) {
            Some(&i) => order[i].2.push(c.value),
            None => {
                position.insert(key.clone(), order.len());
                let value = c.value;
                order.push((key, c, vec![value]));
            }
        }
    }
    let mut out = Vec::new();
    for (_, mut c, values) in order {
        c.value = sum_values(b, &values);
        out.push(c);
    }
    out
}

/// Element-wise sum of values of one type.
pub(super) fn sum_values(b: &mut Builder<'_>, values: &[Atom]) -> Atom {
    let Some(&first) = values.first() else { return Atom::Real(0.0) };
    if values.len() == 1 {
        return first;
    }
    let shape = b.program.atom_type(first).shape;
    if shape.is_empty() {
        return values[1..].iter().fold(first, |acc, &v| add(b, acc, v));
    }
    b.for_(&shape, vec![Collector::Collect], |b, i| {
        let mut acc = b.read(first, i);
        for &v in &values[1..] {
            let x = b.read(v, i);
            acc = b.op(Op::Add, &[acc, x]);
        }
        vec![acc]
    })[0]
}

/// `factor * value`, `value` a scalar or array.
pub(super) fn scale(b: &mut Builder<'_>, factor: Atom, value: Atom) -> Atom {
    let shape = b.program.atom_type(value).shape;
    if shape.is_empty() || matches!(factor, Atom::Real(f) if f == 1.0) {
        return super::rules::mul(b, factor, value);
    }
    b.for_(&shape, vec![Collector::Collect], |b, i| {
        let x = b.read(value, i);
        vec![b.op(Op::Mul, &[factor, x])]
    })[0]
}

/// `array[lead…]`: the element or the block at the leading indices.
pub(super) fn slice(b: &mut Builder<'_>, array: Atom, lead: &[Atom]) -> Atom {
    if lead.is_empty() {
        return array;
    }
    let shape = b.program.atom_type(array).shape;
    let own = &shape[lead.len()..];
    if own.is_empty() {
        return b.read(array, lead);
    }
    let lead = lead.to_vec();
    b.for_(own, vec![Collector::Collect], |b, i| {
        let mut index = lead;
        index.extend_from_slice(i);
        vec![b.read(array, &index)]
    })[0]
}

/// An array of zeros, or the scalar zero.
pub(super) fn zeros(b: &mut Builder<'_>, ty: &Type) -> Atom {
    let zero = match ty.scalar {
        Scalar::Real => Atom::Real(0.0),
        Scalar::Int => Atom::Int(0),
        Scalar::Bool => Atom::Bool(false),
    };
    if ty.shape.is_empty() {
        return zero;
    }
    b.array(Prim::Fill { shape: ty.shape.clone() }, &[zero], ty.clone())
}

fn is_whole(b: &Builder<'_>, shape: &[usize], c: &Contribution) -> bool {
    b.program.atom_type(c.value).shape == shape
        && c.places.iter().enumerate().all(|(k, p)| *p == Place::Span { axis: k, offset: 0 })
}

/// A contribution to rows `start..start + length` of the first axis, all of the others.
fn rows(b: &Builder<'_>, shape: &[usize], c: &Contribution) -> Option<(usize, usize)> {
    let value = b.program.atom_type(c.value).shape;
    let (start, length, first_axis) = match *c.places.first()? {
        Place::At(Atom::Int(i)) => (usize::try_from(i).ok()?, 1, 0),
        Place::Span { axis: 0, offset } => (offset, *value.first()?, 1),
        _ => return None,
    };
    let rest = c.places[1..].iter().enumerate().all(|(k, p)| *p == Place::Span { axis: k + first_axis, offset: 0 });
    let covers = value.get(first_axis..)? == &shape[1..];
    (rest && covers && start + length <= shape[0]).then_some((start, length))
}

fn densify(b: &mut Builder<'_>, shape: &[usize], list: Vec<Contribution>) -> Atom {
    let list = merge(b, &Affine::default(), list);
    if shape.is_empty() {
        let values: Vec<Atom> = list.iter().map(|c| c.value).collect();
        return sum_values(b, &values);
    }
    let mut whole: Vec<Atom> = Vec::new();
    let mut pieces: Vec<(usize, usize, Contribution)> = Vec::new();
    let mut others: Vec<Contribution> = Vec::new();
    for c in list {
        if is_whole(b, shape, &c) {
            whole.push(c.value);
        } else if let Some((start, length)) = rows(b, shape, &c) {
            pieces.push((start, length, c));
        } else {
            others.push(c);
        }
    }
    pieces.sort_by_key(|&(start, length, _)| (start, length));
    while !pieces.is_empty() {
        let mut layer = Vec::new();
        let mut rest = Vec::new();
        let mut end = 0;
        for (start, length, c) in pieces {
            if start >= end {
                end = start + length;
                layer.push((start, length, c));
            } else {
                rest.push((start, length, c));
            }
        }
        whole.push(concatenate(b, shape, &layer));
        pieces = rest;
    }
    if others.is_empty() {
        return sum_values(b, &whole);
    }
    b.for_(shape, vec![Collector::Collect], |b, i| {
        let mut acc = Atom::Real(0.0);
        for &w in &whole {
            let x = b.read(w, i);
            acc = add(b, acc, x);
        }
        for c in &others {
            let x = element(b, shape, i, c);
            acc = add(b, acc, x);
        }
        vec![acc]
    })[0]
}

/// What a contribution adds to element `i`.
fn element(b: &mut Builder<'_>, shape: &[usize], i: &[Atom], c: &Contribution) -> Atom {
    let value_shape = b.program.atom_type(c.value).shape;
    let mut index = vec![Atom::Int(0); value_shape.len()];
    let mut condition: Option<Atom> = None;
    let and = |b: &mut Builder<'_>, condition: &mut Option<Atom>, c: Atom| {
        *condition = Some(match *condition {
            None => c,
            Some(old) => b.op(Op::And, &[old, c]),
        });
    };
    for ((&p, &at), &extent) in c.places.iter().zip(i).zip(shape) {
        match p {
            Place::Span { axis, offset: 0 } if value_shape[axis] == extent => index[axis] = at,
            Place::At(atom) => {
                let hit = b.op(Op::IEq, &[at, atom]);
                and(b, &mut condition, hit);
            }
            Place::Span { axis, offset } => {
                let n = i64::try_from(value_shape[axis]).unwrap_or(i64::MAX);
                let offset = i64::try_from(offset).unwrap_or(i64::MAX);
                let shifted = if offset == 0 { at } else { b.op(Op::ISub, &[at, Atom::Int(offset)]) };
                let from = b.op(Op::ILe, &[Atom::Int(0), shifted]);
                let below = b.op(Op::ILt, &[shifted, Atom::Int(n)]);
                and(b, &mut condition, from);
                and(b, &mut condition, below);
                let low = b.op(Op::IMax, &[shifted, Atom::Int(0)]);
                index[axis] = b.op(Op::IMin, &[low, Atom::Int(n - 1)]);
            }
        }
    }
    // An empty value contributes nothing, and has no element to read.
    if value_shape.contains(&0) {
        return Atom::Real(0.0);
    }
    let x = if value_shape.is_empty() { c.value } else { b.read(c.value, &index) };
    match condition {
        Some(c) => b.op(Op::Select, &[c, x, Atom::Real(0.0)]),
        None => x,
    }
}

/// Disjoint pieces, ascending, with zeros between them.
fn concatenate(b: &mut Builder<'_>, shape: &[usize], layer: &[(usize, usize, Contribution)]) -> Atom {
    let typed = |n: usize| {
        let mut s = shape.to_vec();
        s[0] = n;
        Type::array(Scalar::Real, s)
    };
    let mut parts: Vec<Atom> = Vec::new();
    let mut stack: Vec<Atom> = Vec::new();
    let mut at = 0;
    for (start, length, c) in layer {
        let single = matches!(c.places[0], Place::At(_));
        if !single || *start > at {
            flush(b, &mut stack, &mut parts, &typed);
        }
        if *start > at {
            let gap = zeros(b, &typed(start - at));
            parts.push(gap);
        }
        if single {
            stack.push(c.value);
        } else {
            parts.push(c.value);
        }
        at = start + length;
    }
    flush(b, &mut stack, &mut parts, &typed);
    if at < shape[0] {
        let gap = zeros(b, &typed(shape[0] - at));
        parts.push(gap);
    }
    if parts.len() == 1 {
        return parts[0];
    }
    b.array(Prim::Concat { axis: 0 }, &parts, typed(shape[0]))
}

fn flush(b: &mut Builder<'_>, stack: &mut Vec<Atom>, parts: &mut Vec<Atom>, typed: &impl Fn(usize) -> Type) {
    if !stack.is_empty() {
        let stacked = b.array(Prim::Stack, stack, typed(stack.len()));
        parts.push(stacked);
        stack.clear();
    }
}

/// A contribution on its way out of a loop: the collector, what it is given, and where its result goes.
pub(super) struct Exported {
    pub var: Var,
    pub collector: Collector,
    pub value: Atom,
    pub places: Vec<Place>,
}

/// Turns what is left in `adjoints` into collectors of the loop over `indices` whose body is `b`. With `sequential` the
/// collectors are those a `loop` may have.
pub(super) fn leave_loop(
    b: &mut Builder<'_>,
    indices: &[(Var, usize)],
    adjoints: Adjoints,
    sequential: bool,
) -> Vec<Exported> {
    let affine = Affine::new(indices, &b.stmts);
    let left = adjoints.leave(b, &affine);
    left.into_iter().map(|(var, c)| export(b, indices, &affine, var, c, sequential)).collect()
}

fn export(
    b: &Builder<'_>,
    indices: &[(Var, usize)],
    affine: &Affine,
    var: Var,
    c: Contribution,
    sequential: bool,
) -> Exported {
    let shape = &b.program.ty(var).shape;
    // Per axis: the loop index it follows and its offset.
    let mut follows: Vec<Option<(usize, usize)>> = vec![None; shape.len()];
    let mut used = vec![false; indices.len()];
    let mut scatter = false;
    for (k, &p) in c.places.iter().enumerate() {
        let Place::At(atom) = p else { continue };
        if !affine.is_inside(atom) {
            continue;
        }
        let form = affine.form(atom).and_then(|(q, o)| Some((q, usize::try_from(o).ok()?)));
        match form {
            Some((q, offset)) if !used[q] && offset + indices[q].1 <= shape[k] => {
                used[q] = true;
                follows[k] = Some((q, offset));
            }
            _ => scatter = true,
        }
    }
    if scatter {
        let mut index = Vec::new();
        let mut extents = Vec::new();
        for (k, &p) in c.places.iter().enumerate() {
            if let Place::At(atom) = p
                && affine.is_inside(atom)
            {
                index.push(atom);
                extents.push(shape[k]);
            }
        }
        let lead = index.len();
        let mut next = 0;
        let places = c
            .places
            .iter()
            .map(|&p| match p {
                Place::At(atom) if affine.is_inside(atom) => {
                    next += 1;
                    Place::Span { axis: next - 1, offset: 0 }
                }
                Place::At(_) => p,
                Place::Span { axis, offset } => Place::Span { axis: axis + lead, offset },
            })
            .collect();
        return Exported { var, collector: Collector::SumAt { index, shape: extents }, value: c.value, places };
    }
    let keep: Vec<usize> = (0..indices.len()).filter(|&q| used[q]).collect();
    let lead = keep.len();
    let places = c
        .places
        .iter()
        .zip(&follows)
        .map(|(&p, f)| match (p, f) {
            (_, Some((q, offset))) => {
                let axis = keep.iter().position(|k| k == q).unwrap_or(0);
                Place::Span { axis, offset: *offset }
            }
            (Place::At(_), None) => p,
            (Place::Span { axis, offset }, None) => Place::Span { axis: axis + lead, offset },
        })
        .collect();
    let all = keep.len() == indices.len();
    let collector = if all {
        Collector::Collect
    } else if sequential {
        Collector::Sum { keep: Vec::new() }
    } else {
        Collector::Sum { keep }
    };
    Exported { var, collector, value: c.value, places }
}
