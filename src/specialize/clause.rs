//! What a `for` goes through: a range of indices, the elements of an array, the support of a distribution, the rows of a
//! plate. A plate that is subsampled has one index set in a program, drawn once a step and shared by all loops over it:
//! they go through positions in the set, and their sums stand for sums over all rows.
//!
//! `for i in rows { … }` of `plate rows = 0..1000 by 10` becomes `set = subset[1000, 10, 0](); for u<10 { i = read(set, u); … }`,
//! and what it adds to the objective is scaled by 100.

use super::array::Index;
use super::loops::Reduce;
use super::machine::{Fact, Fail, Machine, R, UNKNOWN, refuse};
use super::types::{Support, TypeValue};
use super::value::{Array, Dist, Env, Repr, Value};
use crate::base::source::Span;
use crate::diagnostic::Diagnostic;
use crate::ir::core::{Atom, Prim, Scalar, Type, Var};
use crate::ir::op::Op;
use crate::syntax::tree::{Expr, ExprKind, ForClause, ForRange, ItemKind};
use crate::types::program::ItemId;
use std::rc::Rc;

/// The rows of a subsampled plate in this program.
#[derive(Clone, Debug)]
pub(super) struct PlateSet {
    pub id: ItemId,
    pub from: i64,
    /// All rows.
    pub of: usize,
    /// This step's rows, counted from 0; `None`: all of them, in order.
    pub set: Option<Atom>,
    /// How many there are.
    pub take: usize,
}

#[derive(Clone)]
pub(super) struct Clause<'a> {
    pub name: &'a str,
    pub from: i64,
    pub extent: usize,
    /// Elements of an array that is gone through.
    pub over: Option<Value<'a>>,
    pub plate: Option<Rc<PlateSet>>,
    /// Over a plate, whole or not: its elements are alike.
    pub alike: bool,
    /// Addresses that the body samples.
    pub samples: Rc<[&'a str]>,
}

impl Clause<'_> {
    /// What a sum over the rows gone through is multiplied by to stand for the sum over all.
    pub(super) fn scale(&self) -> f64 {
        match &self.plate {
            Some(p) if p.set.is_some() => p.of as f64 / p.take as f64,
            _ => 1.0,
        }
    }

    /// Whether only some of a plate's rows are gone through.
    pub(super) fn is_subsampled(&self) -> bool {
        self.plate.as_ref().is_some_and(|p| p.set.is_some())
    }
}

impl<'a> Machine<'a> {
    pub(super) fn clause(&mut self, clause: &'a ForClause, samples: &Rc<[&'a str]>, env: &Env<'a>) -> R<Clause<'a>> {
        let samples = samples.clone();
        let name = clause.name.text.as_str();
        let span = clause.name.span;
        match &clause.over {
            ForRange::Range { from, to } => {
                let a = self.range_end(from, env)?;
                let b = self.range_end(to, env)?;
                let extent = usize::try_from(b - a).unwrap_or(0);
                Ok(Clause { name, from: a, extent, over: None, plate: None, alike: false, samples })
            }
            ForRange::In(e) => {
                if let ExprKind::Call { callee, args } = &e.kind
                    && matches!(&callee.kind, ExprKind::Name(n) if n == "support")
                    && let [arg] = args.as_slice()
                {
                    let d = self.expr(&arg.value, env)?;
                    let d = self.as_dist(&d, e.span)?;
                    return self.support_clause(name, &d, samples, e.span);
                }
                match self.expr(e, env)? {
                    Value::Range(a, b) => {
                        let extent = usize::try_from(b - a).unwrap_or(0);
                        let alike = self.names_plate(e, env);
                        Ok(Clause { name, from: a, extent, over: None, plate: None, alike, samples })
                    }
                    Value::Plate(plate) => {
                        let (from, extent) = (plate.from, plate.take);
                        Ok(Clause { name, from, extent, over: None, plate: Some(plate), alike: true, samples })
                    }
                    Value::Array(array) => {
                        let extent = array.shape[0];
                        Ok(Clause {
                            name,
                            from: 0,
                            extent,
                            over: Some(Value::Array(array)),
                            plate: None,
                            alike: false,
                            samples,
                        })
                    }
                    other => refuse(span, format!("a range or an array is gone through, this is {}", other.kind())),
                }
            }
        }
    }

    fn names_plate(&self, e: &Expr, env: &Env<'a>) -> bool {
        let ExprKind::Name(n) = &e.kind else { return false };
        let item = self.checked.items.resolve(env.module, n).filter(|_| env.local(n).is_none());
        item.is_some_and(|id| matches!(self.checked.items.item(id).kind, ItemKind::Plate { .. }))
    }

    /// A bound of a range; inside a loop whose index it depends on, that loop must be written out.
    fn range_end(&mut self, e: &'a Expr, env: &Env<'a>) -> R<i64> {
        match self.static_int(e, env) {
            Err(Fail::Error(reason)) => match self.open.last() {
                Some(o) if reason.message.contains("known when data are bound") => {
                    Err(Fail::Unroll { index: o.index, reason })
                }
                _ => Err(Fail::Error(reason)),
            },
            other => other,
        }
    }

    pub(super) fn support_clause(
        &mut self,
        name: &'a str,
        d: &Rc<Dist<'a>>,
        samples: Rc<[&'a str]>,
        span: Span,
    ) -> R<Clause<'a>> {
        let event = self.event_type(d)?;
        let infinite = |what: &str| -> R<Clause<'a>> {
            Err(Diagnostic::error("E0307", span, format!("the support of this distribution {what}"))
                .fix("use `by mvd` or `by reinforce`")
                .into())
        };
        let TypeValue::Leaf(leaf) = event else { return infinite("is not a finite set of scalars") };
        if !leaf.shape.is_empty() {
            return infinite("is not a finite set of scalars");
        }
        match leaf.support {
            Support::Int { lower, upper } => {
                let (Some(a), Some(b)) = (Self::literal_of(&lower), Self::literal_of(&upper)) else {
                    return infinite("is infinite or depends on values that are not known when data are bound");
                };
                let extent = usize::try_from(b as i64 - a as i64 + 1).unwrap_or(0);
                Ok(Clause { name, from: a as i64, extent, over: None, plate: None, alike: false, samples })
            }
            Support::Bool => Ok(Clause { name, from: 0, extent: 2, over: None, plate: None, alike: false, samples }),
            Support::Real { .. } | Support::Named(..) => infinite("is infinite"),
        }
    }

    /// What the loop's name stands for at index `u`.
    pub(super) fn loop_value(&mut self, clause: &Clause<'a>, u: Atom, span: Span) -> R<Value<'a>> {
        if let Some(PlateSet { id, set: Some(set), from, .. }) = clause.plate.as_deref() {
            let row = self.read(*set, &[u]);
            if let Atom::Var(v) = row {
                self.rows.insert(v, (*id, u));
            }
            return Ok(Value::Scalar(self.op(Op::IAdd, &[row, Atom::Int(*from)])));
        }
        match &clause.over {
            Some(array) => self.index(&array.clone(), &[Index::At(u)], span),
            None => Ok(Value::Scalar(self.op(Op::IAdd, &[u, Atom::Int(clause.from)]))),
        }
    }

    /// The value of a plate's name.
    pub(super) fn plate(&mut self, id: ItemId, span: Span) -> R<Value<'a>> {
        let checked = self.checked;
        let ItemKind::Plate { from, to, by, name } = &checked.items.item(id).kind else {
            return refuse(span, "not a plate");
        };
        let env = Env::new(checked.items.module_of(id), 0);
        let a = self.static_int(from, &env)?;
        let b = self.static_int(to, &env)?;
        let Some(by) = by else { return Ok(Value::Range(a, b)) };
        if let Some(known) = self.plates.get(&id) {
            return Ok(Value::Plate(known.clone()));
        }
        let of = usize::try_from(b - a).unwrap_or(0);
        let take = match usize::try_from(self.static_int(by, &env)?) {
            Ok(n) if n > 0 => n,
            _ => {
                return Err(Diagnostic::error("E0422", by.span, format!("the plate `{}` takes no rows", name.text))
                    .label("rows of one step: at least 1")
                    .fix("take at least one row, or leave `by` out")
                    .into());
            }
        };
        // All rows at once are a plain loop, without randomness.
        if take >= of {
            return Ok(Value::Range(a, b));
        }
        let plate = if self.whole_plates {
            PlateSet { id, from: a, of, set: None, take: of }
        } else {
            let number = checked.items.items[..id.0 as usize]
                .iter()
                .filter(|e| matches!(e.item.kind, ItemKind::Plate { .. }))
                .count();
            let prim = Prim::Subset { of, take, plate: u32::try_from(number).unwrap_or(u32::MAX) };
            let set = self.in_prologue(|m| {
                let set = m.prim(prim, &[], Type { scalar: Scalar::Int, shape: vec![take] });
                m.set_fact(set, Fact { lower: 0.0, upper: of as f64 - 1.0, ..UNKNOWN });
                Ok(set)
            })?;
            PlateSet { id, from: a, of, set: Some(set), take }
        };
        let plate = Rc::new(plate);
        self.plates.insert(id, plate.clone());
        Ok(Value::Plate(plate))
    }

    pub(super) fn scaled(&mut self, x: Atom, scale: f64) -> Atom {
        if scale == 1.0 { x } else { self.real_op(Op::Mul, &[x, Atom::Real(scale)]) }
    }

    /// The value of a `for` over rows: a sum stands for that over all rows, a mean needs no scale, and anything else does
    /// not exist.
    pub(super) fn over_rows(
        &mut self,
        value: Value<'a>,
        clauses: &[Clause<'a>],
        reduce: Reduce,
        scale: f64,
        span: Span,
    ) -> R<Value<'a>> {
        let Some(plate) = clauses.iter().filter(|c| c.is_subsampled()).find_map(|c| c.plate.clone()) else {
            return Ok(value);
        };
        match (reduce, value) {
            (Reduce::Sum, Value::Scalar(a)) => Ok(Value::Scalar(self.scaled(a, scale))),
            (Reduce::Sum, v @ Value::Estimate(_)) => self.estimate_scale(&v, Atom::Real(scale), span),
            (Reduce::Mean | Reduce::Discard, v) => Ok(v),
            (_, Value::Unit) => Ok(Value::Unit),
            _ => self.not_this_step(plate.id, span),
        }
    }

    /// Rows of a plate have no order.
    pub(super) fn rows_in_order<T>(&self, clause: &Clause<'a>, span: Span) -> R<T> {
        Err(Diagnostic::error(
            "E0421",
            span,
            format!("the rows of `{}` are subsampled: they have no order", clause.name),
        )
        .label("carries values from row to row")
        .into())
    }

    /// The plate that an index goes through, and its position in this step's set.
    pub(super) fn row_of(&self, index: Atom) -> Option<(ItemId, Atom)> {
        let (base, offset) = self.affine(index);
        let &(id, position) = self.rows.get(&base?)?;
        let plate = self.plates.get(&id)?;
        (offset == plate.from).then_some((id, position))
    }

    /// Leaves whose axis `axis` holds this step's rows get it marked, with the extent of all rows.
    pub(super) fn mark_rows(&self, value: &Value<'a>, axis: usize, plate: &PlateSet) -> Value<'a> {
        match value {
            Value::Array(array) => {
                let (base, mut axes) = match &array.repr {
                    Repr::Core(base) => (*base, vec![None; array.shape.len()]),
                    Repr::Rows { base, axes } => (*base, axes.to_vec()),
                    _ => return value.clone(),
                };
                let mut shape = array.shape.clone();
                if let (Some(extent), Some(mark)) = (shape.get_mut(axis), axes.get_mut(axis)) {
                    *extent = plate.of;
                    *mark = Some(plate.id);
                }
                Value::Array(Array { scalar: array.scalar, shape, repr: Repr::Rows { base, axes: axes.into() } })
            }
            Value::Tuple(items) => Value::Tuple(items.iter().map(|v| self.mark_rows(v, axis, plate)).collect()),
            Value::Record(fields) => {
                Value::Record(fields.iter().map(|(n, v)| (n.clone(), self.mark_rows(v, axis, plate))).collect())
            }
            other => other.clone(),
        }
    }

    /// Indices into what is stored of an array by rows.
    pub(super) fn row_indices(&self, axes: &[Option<ItemId>], indices: &[Atom], span: Span) -> R<Vec<Atom>> {
        indices
            .iter()
            .zip(axes)
            .map(|(&index, axis)| match axis {
                None => Ok(index),
                Some(plate) => match self.row_of(index) {
                    Some((id, position)) if id == *plate => Ok(position),
                    _ => self.not_this_step(*plate, span),
                },
            })
            .collect()
    }

    pub(super) fn not_this_step<T>(&self, plate: ItemId, span: Span) -> R<T> {
        let name = match &self.checked.items.item(plate).kind {
            ItemKind::Plate { name, .. } => name.text.as_str(),
            _ => "",
        };
        Err(Diagnostic::error("E0420", span, format!("only this step's rows of `{name}` exist"))
            .label("read outside the plate, or at another row")
            .fix(format!("read it inside `for i in {name}`, at `i`"))
            .into())
    }

    /// The index variables of loops over these clauses that an index of an address stands for.
    pub(super) fn is_index_of(&self, index: Atom, clause: &Clause<'a>, var: Var) -> bool {
        if clause.is_subsampled() {
            self.row_of(index).is_some_and(|(id, position)| {
                position == Atom::Var(var) && clause.plate.as_ref().is_some_and(|p| p.id == id)
            })
        } else {
            self.affine(index).0 == Some(var)
        }
    }
}
