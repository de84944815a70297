//! Several calls of the continuation: arrays of its results, one of them, results of a loop, and results of two branches.
//!
//! A result is held as its coefficients (`Estimate`), an array of results as coefficients with further leading axes
//! (`Estimates`). `v[i]` is the array with all coefficients but those of call `i` zero; two branches of a condition become
//! calls at the chosen values with chosen coefficients.
//!
//! `if c { k(a) } else { k(b) }` becomes one call, at `select(c, a, b)`.

use super::array::Index;
use super::machine::{Fact, Fail, Machine, R, UNKNOWN, refuse, unsupported};
use super::strategy::{CallRecord, Current};
use super::types::shape_of;
use super::value::{Estimate, EstimateTerm, Estimates, Value};
use crate::base::source::Span;
use crate::diagnostic::Diagnostic;
use crate::ir::core::{Atom, Block, Collector, If, Prim, Scalar, Stmt, Type, Var};
use crate::ir::op::Op;
use crate::syntax::tree::BinaryOp;
use std::rc::Rc;

/// Asks for the loop to be written out: it calls the continuation and carries values.
pub(super) fn written_out<T>(index: Var, span: Span) -> R<T> {
    let reason = Diagnostic::error(
        "E0290",
        span,
        "a long loop that calls the continuation and carries values is not supported yet",
    )
    .fix("collect the results, `let v = for i in 0..n { k(x[i]) }`, and add them up");
    Err(Fail::Unroll { index, reason: Box::new(reason) })
}

/// A branch that has been evaluated, with the calls made in it.
pub(super) struct Branch<'a> {
    pub stmts: Vec<Stmt>,
    pub value: Value<'a>,
    pub calls: Vec<CallRecord>,
}

impl<'a> Machine<'a> {
    /// What the body of a loop hands out of it for an estimate that it yields.
    pub(super) fn estimate_yields(
        &self,
        e: &Estimate,
        calls: usize,
        results: &mut Vec<Atom>,
        collectors: &mut Vec<Collector>,
    ) {
        let mut yield_ = |atom: Atom| {
            results.push(atom);
            collectors.push(Collector::Collect);
        };
        yield_(e.constant);
        for call in &self.calls[calls..] {
            call.args.iter().for_each(|&a| yield_(a));
        }
        for t in &e.terms {
            t.primal.into_iter().chain(t.stopped).for_each(&mut yield_);
        }
    }

    /// The results of a loop that yields an estimate: calls made in it get the loop's axes.
    pub(super) fn estimates_of_loop(
        &mut self,
        e: &Estimate,
        extents: &[usize],
        calls: usize,
        index: &Option<(Var, i64, usize)>,
        atoms: &mut dyn Iterator<Item = Atom>,
    ) -> Estimates {
        let mut next = || atoms.next().unwrap_or(Atom::Real(f64::NAN));
        let constant = next();
        for k in calls..self.calls.len() {
            let args = self.calls[k].args.clone();
            let mut new = Vec::with_capacity(args.len());
            let mut literal = self.calls[k].extents.is_empty();
            for a in args {
                let collected = next();
                new.push(match index {
                    Some((var, from, extent)) if self.affine(a).0 == Some(*var) && literal => {
                        let (_, offset) = self.affine(a);
                        let _ = from;
                        let data: Vec<f64> = (0..*extent as i64).map(|u| (u + offset) as f64).collect();
                        let ty = Type { scalar: Scalar::Int, shape: vec![*extent] };
                        self.prim(Prim::Const { data: data.into(), ty: ty.clone() }, &[], ty)
                    }
                    _ => {
                        literal = false;
                        collected
                    }
                });
            }
            let call = &mut self.calls[k];
            call.static_args = literal;
            call.args = new;
            let mut all = extents.to_vec();
            all.extend(&call.extents);
            call.extents = all;
        }
        let terms: Vec<EstimateTerm> = e
            .terms
            .iter()
            .map(|t| EstimateTerm {
                call: t.call,
                primal: t.primal.map(|_| next()),
                stopped: t.stopped.map(|_| next()),
            })
            .collect();
        Estimates { extents: extents.to_vec(), constant, terms, inner: calls }
    }

    /// `v[i]` of an array of results.
    pub(super) fn estimate_at(&mut self, e: &Estimates, at: &[Index], span: Span) -> R<Value<'a>> {
        let mut places = Vec::with_capacity(at.len());
        for index in at {
            match index {
                Index::At(a) => places.push(*a),
                _ => return unsupported(span, "part of an array of results of the continuation"),
            }
        }
        if places.len() != e.extents.len() {
            return refuse(span, format!("{} indices for {} axes of results", places.len(), e.extents.len()));
        }
        for (&a, &n) in places.iter().zip(&e.extents) {
            let inside = match a {
                Atom::Int(i) => usize::try_from(i).is_ok_and(|i| i < n),
                _ => true,
            };
            if !inside {
                return Err(Diagnostic::error("E0212", span, format!("an index of 0..{n} is needed here")).into());
            }
        }
        Ok(Value::Estimate(Rc::new(self.estimate_element(e, &places)?)))
    }

    pub(super) fn estimate_element(&mut self, e: &Estimates, at: &[Atom]) -> R<Estimate> {
        let constant = self.lead_read(e.constant, at, &[])?;
        let mut terms = Vec::with_capacity(e.terms.len());
        for t in &e.terms {
            let extents = self.calls[t.call].extents.clone();
            let inner = t.call >= e.inner;
            let one = |m: &mut Machine<'a>, p: Option<Atom>| -> R<Option<Atom>> {
                let Some(p) = p else { return Ok(None) };
                if !inner {
                    return Ok(Some(m.lead_read(p, at, &extents)?));
                }
                let array = !m.program.atom_type(p).is_scalar();
                let value = m.map(&extents, Scalar::Real, |m, idx| {
                    let mut here = Atom::Bool(true);
                    for (&i, &a) in idx.iter().zip(at) {
                        let same = m.op(Op::IEq, &[i, a]);
                        here = m.op(Op::And, &[here, same]);
                    }
                    let c = if array { m.read(p, idx) } else { p };
                    Ok(m.op(Op::Select, &[here, c, Atom::Real(0.0)]))
                })?;
                Ok(Some(m.force(&value, Span::default())?))
            };
            let (primal, stopped) = (one(self, t.primal)?, one(self, t.stopped)?);
            terms.push(EstimateTerm { call: t.call, primal, stopped });
        }
        Ok(Estimate { constant, terms })
    }

    /// A coefficient with leading axes, read at them; what is left has the axes `extents`.
    fn lead_read(&mut self, atom: Atom, at: &[Atom], extents: &[usize]) -> R<Atom> {
        if self.program.atom_type(atom).is_scalar() {
            return Ok(atom);
        }
        let value = self.map(extents, Scalar::Real, |m, idx| {
            let full: Vec<Atom> = at.iter().chain(idx).copied().collect();
            Ok(m.read(atom, &full))
        })?;
        self.force(&value, Span::default())
    }

    /// One estimate per index, as an array of results.
    fn estimates_over(
        &mut self,
        extents: &[usize],
        f: impl FnOnce(&mut Machine<'a>, &[Atom]) -> R<Estimate>,
    ) -> R<Estimates> {
        self.enter();
        let indices = self.open_loops(extents);
        let at: Vec<Atom> = indices.iter().map(|&(v, _)| v.into()).collect();
        let made = f(self, &at);
        self.loops.truncate(self.loops.len() - extents.len());
        let stmts = self.leave();
        let e = made?;
        let (mut results, mut collectors) = (Vec::new(), Vec::new());
        let inner = self.calls.len();
        self.estimate_yields(&e, inner, &mut results, &mut collectors);
        let atoms = self.push_for(indices, Block { stmts, results }, collectors);
        Ok(self.estimates_of_loop(&e, extents, inner, &None, &mut atoms.into_iter()))
    }

    /// An operation on arrays of results and of reals, element by element.
    pub(super) fn estimates_binary(&mut self, op: BinaryOp, l: &Value<'a>, r: &Value<'a>, span: Span) -> R<Value<'a>> {
        let extents_of = |v: &Value<'a>| match v {
            Value::Estimates(e) => e.extents.clone(),
            other => shape_of(other),
        };
        let (a, b) = (extents_of(l), extents_of(r));
        let extents = if a.is_empty() { b.clone() } else { a.clone() };
        if !a.is_empty() && !b.is_empty() && a != b {
            return refuse(span, format!("shapes {a:?} and {b:?} differ"));
        }
        let dot = op == BinaryOp::MatMul;
        let inner = if dot { BinaryOp::Mul } else { op };
        if dot && (a.len() != 1 || b.len() != 1) {
            return unsupported(span, "a matrix product of results of the continuation");
        }
        let made = self.estimates_over(&extents, |m, at| {
            let element = |m: &mut Machine<'a>, v: &Value<'a>| -> R<Value<'a>> {
                match v {
                    Value::Estimates(e) => Ok(Value::Estimate(Rc::new(m.estimate_element(e, at)?))),
                    Value::Array(_) | Value::Range(..) => {
                        let at: Vec<Index> = at.iter().map(|&a| Index::At(a)).collect();
                        m.index(v, &at, span)
                    }
                    other => Ok(other.clone()),
                }
            };
            let (x, y) = (element(m, l)?, element(m, r)?);
            let value = m.binary(inner, &x, &y, span)?;
            m.estimate_of(&value, span)
        })?;
        if dot { self.estimates_sum(&made, span) } else { Ok(Value::Estimates(Rc::new(made))) }
    }

    /// Results written out one by one, as an array.
    pub(super) fn estimates_stack(&mut self, items: Vec<Value<'a>>, span: Span) -> R<Value<'a>> {
        let mut parts = Vec::with_capacity(items.len());
        for item in &items {
            parts.push(self.estimate_of(item, span)?);
        }
        let n = parts.len();
        let mut calls: Vec<usize> = parts.iter().flat_map(|e| e.terms.iter().map(|t| t.call)).collect();
        calls.sort_unstable();
        calls.dedup();
        let constants: Vec<Atom> = parts.iter().map(|e| e.constant).collect();
        let constant = self.prim(Prim::Stack, &constants, Type::array(Scalar::Real, [n]));
        let mut terms = Vec::new();
        for call in calls {
            let extents = self.calls[call].extents.clone();
            let column = |m: &mut Machine<'a>, of: &dyn Fn(&EstimateTerm) -> Option<Atom>| -> R<Option<Atom>> {
                let found: Vec<Option<Atom>> =
                    parts.iter().map(|e| e.terms.iter().find(|t| t.call == call).and_then(of)).collect();
                if found.iter().all(Option::is_none) {
                    return Ok(None);
                }
                let mut atoms = Vec::with_capacity(n);
                for a in found {
                    let a = a.unwrap_or(Atom::Real(0.0));
                    atoms.push(m.with_axes(a, &extents));
                }
                let mut shape = vec![n];
                shape.extend(&extents);
                Ok(Some(m.prim(Prim::Stack, &atoms, Type::array(Scalar::Real, shape))))
            };
            let primal = column(self, &|t| t.primal)?;
            let stopped = column(self, &|t| t.stopped)?;
            terms.push(EstimateTerm { call, primal, stopped });
        }
        let estimates = Estimates { inner: self.calls.len(), extents: vec![n], constant, terms };
        Ok(Value::Estimates(Rc::new(estimates)))
    }

    /// A coefficient with all axes of its call.
    fn with_axes(&mut self, a: Atom, extents: &[usize]) -> Atom {
        if extents.is_empty() || !self.program.atom_type(a).is_scalar() {
            return a;
        }
        self.prim(Prim::Fill { shape: extents.to_vec() }, &[a], Type::array(Scalar::Real, extents.to_vec()))
    }

    /// `if` whose branches give results of the continuation: calls of the two branches are paired, at the value that the
    /// branch taken passes and with its coefficients.
    pub(super) fn branch_estimates(
        &mut self,
        condition: Atom,
        mut then: Branch<'a>,
        mut otherwise: Branch<'a>,
        before: usize,
        span: Span,
    ) -> R<Value<'a>> {
        let mut pairs: Vec<(Estimate, Estimate)> = Vec::new();
        let (left, right) = self.paired(&then.value, &otherwise.value, &mut pairs, span)?;
        let (n, m) = (then.calls.len(), otherwise.calls.len());
        let mut merged: Vec<CallRecord> = Vec::new();
        let mut then_results: Vec<Atom> = Vec::new();
        let mut else_results: Vec<Atom> = Vec::new();
        for k in 0..n.max(m) {
            let missing = then.calls.get(k).is_none() || otherwise.calls.get(k).is_none();
            let Some(known) = then.calls.get(k).or(otherwise.calls.get(k)).cloned() else { continue };
            if missing && !known.extents.is_empty() {
                return unsupported(span, "a loop that calls the continuation in one branch only");
            }
            if !missing && then.calls[k].extents != otherwise.calls[k].extents {
                return unsupported(span, "loops of different lengths that call the continuation in two branches");
            }
            for (branch, results) in [(&mut then, &mut then_results), (&mut otherwise, &mut else_results)] {
                let args = match branch.calls.get(k) {
                    Some(call) => call.args.clone(),
                    // The value does not count, but must be one of the distribution's.
                    None => self.neutral(&mut branch.stmts, span)?,
                };
                results.extend(args);
            }
            merged.push(CallRecord { extents: known.extents, args: Vec::new(), static_args: false });
        }
        // Coefficients: of calls before the branches, then of the merged ones.
        let mut slots: Vec<(usize, EstimateTerm)> = Vec::new();
        let mut constants: Vec<usize> = Vec::new();
        for (p, (a, b)) in pairs.iter().enumerate() {
            constants.push(then_results.len());
            then_results.push(a.constant);
            else_results.push(b.constant);
            let mut calls: Vec<usize> = a.terms.iter().chain(&b.terms).map(|t| t.call).collect();
            calls.sort_unstable();
            calls.dedup();
            for call in calls {
                let of = |e: &Estimate| e.terms.iter().find(|t| t.call == call).copied();
                let (x, y) = (of(a), of(b));
                let extents = match call.checked_sub(before) {
                    None => self.calls[call].extents.clone(),
                    Some(k) => merged[k].extents.clone(),
                };
                let mut pick = |m: &mut Machine<'a>, x: Option<Atom>, y: Option<Atom>| -> Option<Atom> {
                    if x.is_none() && y.is_none() {
                        return None;
                    }
                    if x == y && matches!(x, Some(Atom::Real(_))) {
                        return x;
                    }
                    let zero = m.with_axes(Atom::Real(0.0), &extents);
                    then_results.push(x.map_or(zero, |x| m.with_axes(x, &extents)));
                    else_results.push(y.map_or(zero, |y| m.with_axes(y, &extents)));
                    // Marked by its place, and replaced by the result below.
                    Some(Atom::Int(i64::try_from(then_results.len() - 1).unwrap_or(0)))
                };
                let primal = pick(self, x.and_then(|t| t.primal), y.and_then(|t| t.primal));
                let stopped = pick(self, x.and_then(|t| t.stopped), y.and_then(|t| t.stopped));
                slots.push((p, EstimateTerm { call, primal, stopped }));
            }
        }
        let fixed = then_results.len();
        let rest = self.leaves_in(&mut then.stmts, &left, span)?;
        then_results.extend(rest);
        let rest = self.leaves_in(&mut otherwise.stmts, &right, span)?;
        else_results.extend(rest);
        let then = Block { stmts: then.stmts, results: then_results };
        let otherwise = Block { stmts: otherwise.stmts, results: else_results };
        let results = self.push_if(condition, then, otherwise, span)?;
        let mut at = 0;
        for call in &mut merged {
            let n = self.current.as_ref().map_or(0, |c| c.types.len());
            call.args = results[at..at + n].to_vec();
            at += n;
        }
        self.calls.truncate(before);
        self.calls.extend(merged);
        let resolve = |a: Option<Atom>| match a {
            Some(Atom::Int(i)) => usize::try_from(i).ok().and_then(|i| results.get(i)).copied(),
            other => other,
        };
        let mut estimates: Vec<Estimate> =
            constants.iter().map(|&c| Estimate { constant: results[c], terms: Vec::new() }).collect();
        for (p, t) in slots {
            let term = EstimateTerm { call: t.call, primal: resolve(t.primal), stopped: resolve(t.stopped) };
            estimates[p].terms.push(term);
        }
        let mut rest = results[fixed..].iter().copied();
        let mut estimates = estimates.into_iter();
        Ok(self.with_estimates(&left, &mut estimates, &mut rest))
    }

    /// The values of two branches with estimates taken out (a real beside an estimate is one, without calls).
    fn paired(
        &mut self,
        l: &Value<'a>,
        r: &Value<'a>,
        pairs: &mut Vec<(Estimate, Estimate)>,
        span: Span,
    ) -> R<(Value<'a>, Value<'a>)> {
        match (l, r) {
            (Value::Estimate(_), _) | (_, Value::Estimate(_)) => {
                let of = |v: &Value<'a>| -> R<Estimate> {
                    match v {
                        Value::Estimate(e) => Ok((**e).clone()),
                        Value::Scalar(a) if self.scalar_of(*a) == Scalar::Real => Ok(Self::constant_estimate(*a)),
                        Value::Scalar(Atom::Int(i)) => Ok(Self::constant_estimate(Atom::Real(*i as f64))),
                        _ => refuse(span, "one branch gives a result of the continuation, the other does not"),
                    }
                };
                pairs.push((of(l)?, of(r)?));
                Ok((Value::Continuation, Value::Continuation))
            }
            (Value::Estimates(_), _) | (_, Value::Estimates(_)) => {
                unsupported(span, "an array of results of the continuation chosen at run time")
            }
            (Value::Tuple(a), Value::Tuple(b)) if a.len() == b.len() => {
                let (mut x, mut y) = (Vec::new(), Vec::new());
                for (a, b) in a.iter().zip(b.iter()) {
                    let (p, q) = self.paired(a, b, pairs, span)?;
                    x.push(p);
                    y.push(q);
                }
                Ok((Value::Tuple(x.into()), Value::Tuple(y.into())))
            }
            (Value::Record(a), Value::Record(b)) if a.len() == b.len() => {
                let (mut x, mut y) = (Vec::new(), Vec::new());
                for ((n, a), (_, b)) in a.iter().zip(b.iter()) {
                    let (p, q) = self.paired(a, b, pairs, span)?;
                    x.push((n.clone(), p));
                    y.push((n.clone(), q));
                }
                Ok((Value::record(x), Value::record(y)))
            }
            _ => Ok((l.clone(), r.clone())),
        }
    }

    /// `template` with estimates put back in place of their marks, and other leaves from `atoms`.
    fn with_estimates(
        &mut self,
        template: &Value<'a>,
        estimates: &mut dyn Iterator<Item = Estimate>,
        atoms: &mut dyn Iterator<Item = Atom>,
    ) -> Value<'a> {
        match template {
            Value::Continuation => estimates.next().map_or(Value::Unit, |e| Value::Estimate(Rc::new(e))),
            Value::Tuple(items) => {
                let items: Vec<Value<'a>> = items.iter().map(|v| self.with_estimates(v, estimates, atoms)).collect();
                Value::Tuple(items.into())
            }
            Value::Record(fields) => {
                let fields = fields
                    .iter()
                    .map(|(n, v)| (n.clone(), self.with_estimates(v, estimates, atoms)))
                    .collect::<Vec<_>>();
                Value::record(fields)
            }
            other => self.rebuild(other, atoms),
        }
    }

    /// Leaves of a branch's value, computed in the branch.
    fn leaves_in(&mut self, stmts: &mut Vec<Stmt>, value: &Value<'a>, span: Span) -> R<Vec<Atom>> {
        self.enter();
        self.stmts = std::mem::take(stmts);
        let leaves = self.marked_leaves(value, span);
        *stmts = self.leave();
        leaves
    }

    fn marked_leaves(&mut self, value: &Value<'a>, span: Span) -> R<Vec<Atom>> {
        match value {
            Value::Continuation => Ok(Vec::new()),
            Value::Tuple(items) => {
                let mut all = Vec::new();
                for v in items.iter() {
                    all.extend(self.marked_leaves(v, span)?);
                }
                Ok(all)
            }
            Value::Record(fields) => {
                let mut all = Vec::new();
                for (_, v) in fields.iter() {
                    all.extend(self.marked_leaves(v, span)?);
                }
                Ok(all)
            }
            other => self.leaves(other, span),
        }
    }

    /// A value of the site's distribution, for a branch that passes none.
    fn neutral(&mut self, stmts: &mut Vec<Stmt>, span: Span) -> R<Vec<Atom>> {
        let Some(Current { dist, .. }) = self.current.clone() else { return Ok(Vec::new()) };
        self.enter();
        self.stmts = std::mem::take(stmts);
        let atoms = self.draw(&dist, span).and_then(|v| self.leaves(&v, span));
        *stmts = self.leave();
        atoms
    }

    /// An `if` of two blocks with results of equal types.
    fn push_if(&mut self, condition: Atom, then: Block, otherwise: Block, span: Span) -> R<Vec<Atom>> {
        if then.results.len() != otherwise.results.len() {
            return refuse(span, "the branches give values of different form");
        }
        let mut results = Vec::new();
        for (&a, &b) in then.results.iter().zip(&otherwise.results) {
            let (ta, tb) = (self.program.atom_type(a), self.program.atom_type(b));
            if ta != tb {
                return refuse(span, "the branches give values of different types");
            }
            let (fa, fb) = (self.fact(a), self.fact(b));
            let random = fa.random || fb.random || self.fact(condition).random;
            let var = self.new_var(ta, None);
            let fact = Fact { lower: fa.lower.min(fb.lower), upper: fa.upper.max(fb.upper), random, ..UNKNOWN };
            self.set_fact(var.into(), fact);
            results.push(var);
        }
        let atoms = results.iter().map(|&v| v.into()).collect();
        self.stmts.push(Stmt::If(If { results, condition, then, otherwise }));
        Ok(atoms)
    }
}
