//! The coefficients of a one-shot site's elements, made visible as arrays, and their sums over what a term depends on:
//! one element, a prefix along a `loop`, or all.

use super::Deriver;
use super::dependence::{At, Dependence};
use crate::eliminate::tree::Around;
use crate::ir::builder::Builder;
use crate::ir::core::{Atom, Collector, Prim, Scalar, Stmt, Type, Var};
use crate::ir::op::Op;
use std::collections::HashMap;

/// Coefficients of a site's elements, as arrays in the top list: the sum over what a term depends on.
pub(super) struct Factor<'a> {
    loops: &'a [Around],
    pub(super) array: Option<Atom>,
    /// Running sums along a loop, and the sum over all.
    prefix: HashMap<usize, Atom>,
    whole: Option<Atom>,
}

impl<'a> Factor<'a> {
    pub(super) fn new(loops: &'a [Around]) -> Factor<'a> {
        Factor { loops, array: None, prefix: HashMap::new(), whole: None }
    }

    fn extents(&self) -> Vec<usize> {
        self.loops.iter().map(|l| l.extent).collect()
    }

    /// Makes the sums that `on` needs.
    pub(super) fn prepare(&mut self, d: &mut Deriver<'_>, out: &mut Vec<Stmt>, on: &Dependence) {
        let Some(array) = self.array else { return };
        for pattern in on {
            let up_to: Vec<usize> =
                (0..pattern.len()).filter(|&p| matches!(pattern[p], At::Index { up_to: true, .. })).collect();
            if pattern.iter().all(|p| *p == At::Any) || up_to.len() > 1 {
                if self.whole.is_none() && !self.loops.is_empty() {
                    let mut builder = Builder::new(&mut d.program);
                    let extents = self.extents();
                    let sum = builder
                        .for_(&extents, vec![Collector::Sum { keep: Vec::new() }], |b, i| vec![b.read(array, i)])[0];
                    out.append(&mut builder.stmts);
                    self.whole = Some(sum);
                }
            } else if let [p] = up_to[..]
                && !self.prefix.contains_key(&p)
            {
                let sums = running_sums(d, out, array, &self.extents(), p, false);
                self.prefix.insert(p, sums);
            }
        }
    }

    /// The sum of the coefficients of the elements in `on`; `map` renames loop indices.
    pub(super) fn at(
        &self,
        d: &mut Deriver<'_>,
        out: &mut Vec<Stmt>,
        on: &Dependence,
        map: &HashMap<Var, Atom>,
    ) -> Atom {
        let Some(array) = self.array else { return Atom::Real(0.0) };
        if self.loops.is_empty() {
            return array;
        }
        let mut parts = Vec::new();
        for pattern in on {
            let up_to = pattern.iter().filter(|p| matches!(p, At::Index { up_to: true, .. })).count();
            let visible = |base: Option<Var>| base.is_none_or(|v| map.contains_key(&v));
            let all_visible = pattern.iter().all(|p| match *p {
                At::Index { base, .. } => visible(base),
                At::Axis { .. } => false,
                At::Any => true,
            });
            if up_to > 1 || !all_visible || pattern.iter().all(|p| *p == At::Any) {
                match self.whole {
                    Some(sum) => return sum,
                    None => return self.sum_now(d, out, array),
                }
            }
            let along = pattern.iter().position(|p| matches!(p, At::Index { up_to: true, .. }));
            let source = along.and_then(|p| self.prefix.get(&p).copied()).unwrap_or(array);
            parts.push(self.element(d, out, source, pattern, map));
        }
        d.add_all(out, parts)
    }

    fn sum_now(&self, d: &mut Deriver<'_>, out: &mut Vec<Stmt>, array: Atom) -> Atom {
        let mut builder = Builder::new(&mut d.program);
        let sum =
            builder.for_(&self.extents(), vec![Collector::Sum { keep: Vec::new() }], |b, i| vec![b.read(array, i)])[0];
        out.append(&mut builder.stmts);
        sum
    }

    /// One element, or a sum over the loops where the pattern says any; zero outside the array (before the first
    /// element), the last prefix beyond its end.
    fn element(
        &self,
        d: &mut Deriver<'_>,
        out: &mut Vec<Stmt>,
        source: Atom,
        pattern: &[At],
        map: &HashMap<Var, Atom>,
    ) -> Atom {
        let any: Vec<usize> = (0..pattern.len()).filter(|&p| pattern[p] == At::Any).collect();
        let mut inside = Atom::Bool(true);
        let mut indices: Vec<Option<Atom>> = vec![None; pattern.len()];
        for (p, at) in pattern.iter().enumerate() {
            let At::Index { base, offset, up_to } = *at else { continue };
            let n = i64::try_from(self.loops[p].extent).unwrap_or(i64::MAX);
            let base_atom = match base {
                Some(v) => map.get(&v).copied().unwrap_or(Atom::Var(v)),
                None => Atom::Int(0),
            };
            let index = match base_atom {
                Atom::Int(i) => Atom::Int(i + offset),
                _ if offset == 0 => base_atom,
                _ => d.emit(out, Op::IAdd, &[base_atom, Atom::Int(offset)]),
            };
            let exact = base == Some(self.loops[p].index) && offset == 0;
            let clamped = match index {
                Atom::Int(i) => {
                    if i < 0 || (i >= n && !up_to) {
                        return Atom::Real(0.0);
                    }
                    Atom::Int(i.min(n - 1))
                }
                _ if exact => index,
                _ => {
                    let low = d.emit(out, Op::ILe, &[Atom::Int(0), index]);
                    inside = self.and(d, out, inside, low);
                    if !up_to {
                        let high = d.emit(out, Op::ILt, &[index, Atom::Int(n)]);
                        inside = self.and(d, out, inside, high);
                    }
                    let least = d.emit(out, Op::IMax, &[index, Atom::Int(0)]);
                    d.emit(out, Op::IMin, &[least, Atom::Int(n - 1)])
                }
            };
            indices[p] = Some(clamped);
        }
        let value = if any.is_empty() {
            let mut args = vec![source];
            args.extend(indices.iter().flatten());
            d.emit(out, Op::Read, &args)
        } else {
            let extents: Vec<usize> = any.iter().map(|&p| self.loops[p].extent).collect();
            let mut builder = Builder::new(&mut d.program);
            let sum = builder.for_(&extents, vec![Collector::Sum { keep: Vec::new() }], |b, i| {
                let mut free = i.iter();
                let at: Vec<Atom> =
                    indices.iter().map(|x| x.or_else(|| free.next().copied()).unwrap_or(Atom::Int(0))).collect();
                vec![b.read(source, &at)]
            })[0];
            out.append(&mut builder.stmts);
            sum
        };
        if inside == Atom::Bool(true) { value } else { d.emit(out, Op::Select, &[inside, value, Atom::Real(0.0)]) }
    }

    fn and(&self, d: &mut Deriver<'_>, out: &mut Vec<Stmt>, a: Atom, b: Atom) -> Atom {
        if a == Atom::Bool(true) { b } else { d.emit(out, Op::And, &[a, b]) }
    }
}

/// Running sums of `array` along axis `p`, from the end if `reverse`.
pub(super) fn running_sums(
    d: &mut Deriver<'_>,
    out: &mut Vec<Stmt>,
    array: Atom,
    extents: &[usize],
    p: usize,
    reverse: bool,
) -> Atom {
    let mut builder = Builder::new(&mut d.program);
    let result = if extents.len() == 1 {
        builder.array(Prim::CumSum { reverse }, &[array], Type { scalar: Scalar::Real, shape: extents.to_vec() })
    } else {
        let others: Vec<usize> = (0..extents.len()).filter(|&q| q != p).collect();
        let outer: Vec<usize> = others.iter().map(|&q| extents[q]).collect();
        let n = extents[p];
        let sums = builder.for_(&outer, vec![Collector::Collect], |b, at| {
            let row = b.for_(&[n], vec![Collector::Collect], |b, t| {
                let mut free = at.iter();
                let index: Vec<Atom> = (0..extents.len())
                    .map(|q| if q == p { t[0] } else { free.next().copied().unwrap_or(Atom::Int(0)) })
                    .collect();
                vec![b.read(array, &index)]
            })[0];
            vec![b.array(Prim::CumSum { reverse }, &[row], Type::array(Scalar::Real, [n]))]
        })[0];
        // Back to the loops' own order of axes.
        builder.for_(extents, vec![Collector::Collect], |b, at| {
            let mut index: Vec<Atom> = others.iter().map(|&q| at[q]).collect();
            index.push(at[p]);
            vec![b.read(sums, &index)]
        })[0]
    };
    out.append(&mut builder.stmts);
    result
}
