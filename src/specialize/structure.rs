//! Structured values as lists of Core atoms, one per leaf, and back; values of two branches.

use super::machine::{Fact, Machine, R, UNKNOWN, refuse};
use super::shots::Branch;
use super::value::Value;
use crate::base::source::Span;
use crate::ir::core::{Atom, Block, Collector, If, Scalar, Stmt};
use std::rc::Rc;

impl<'a> Machine<'a> {
    /// The Core atoms of a structured value, in order.
    pub(super) fn leaves(&mut self, value: &Value<'a>, span: Span) -> R<Vec<Atom>> {
        let mut atoms = Vec::new();
        self.leaves_into(value, span, &mut atoms)?;
        Ok(atoms)
    }

    fn leaves_into(&mut self, value: &Value<'a>, span: Span, into: &mut Vec<Atom>) -> R<()> {
        match value {
            Value::Unit => Ok(()),
            Value::Scalar(_) | Value::Array(_) | Value::Range(..) => {
                let atom = self.force(value, span)?;
                into.push(atom);
                Ok(())
            }
            Value::Tuple(items) => items.iter().try_for_each(|v| self.leaves_into(v, span, into)),
            Value::Record(fields) => fields.iter().try_for_each(|(_, v)| self.leaves_into(v, span, into)),
            Value::Dist(d) => d.args.iter().try_for_each(|(_, v)| self.leaves_into(v, span, into)),
            Value::Bijector(b) => b.args.iter().try_for_each(|(_, v)| self.leaves_into(v, span, into)),
            Value::List(items) => items.iter().try_for_each(|v| self.leaves_into(v, span, into)),
            Value::Item(_) | Value::Native(_) | Value::Text(_) => Ok(()),
            other => refuse(span, format!("{} can't be chosen or collected at run time", other.kind())),
        }
    }

    /// A value of the form of `template` made of other atoms, in the order of `leaves`; they may have further axes.
    pub(super) fn rebuild(&self, template: &Value<'a>, atoms: &mut dyn Iterator<Item = Atom>) -> Value<'a> {
        match template {
            Value::Scalar(_) | Value::Array(_) | Value::Range(..) => {
                let atom = atoms.next().unwrap_or(Atom::Real(f64::NAN));
                let ty = self.program.atom_type(atom);
                Value::core(atom, ty.scalar, ty.shape)
            }
            Value::Tuple(items) => {
                let items: Vec<Value<'a>> = items.iter().map(|v| self.rebuild(v, atoms)).collect();
                Value::Tuple(items.into())
            }
            Value::Record(fields) => {
                Value::Record(fields.iter().map(|(n, v)| (n.clone(), self.rebuild(v, atoms))).collect())
            }
            Value::Dist(d) => {
                let mut new = (**d).clone();
                for (_, v) in &mut new.args {
                    *v = self.rebuild(v, atoms);
                }
                Value::Dist(Rc::new(new))
            }
            Value::Bijector(b) => {
                let mut new = (**b).clone();
                for (_, v) in &mut new.args {
                    *v = self.rebuild(v, atoms);
                }
                Value::Bijector(Rc::new(new))
            }
            Value::List(items) => Value::List(items.iter().map(|v| self.rebuild(v, atoms)).collect()),
            other => other.clone(),
        }
    }

    /// Collects `value` of the body just built over the loops `extents`: pushes its leaves to `results` with one
    /// collector each. [`Machine::rebuild`] makes the value from the loop's results.
    pub(super) fn collect_leaves(
        &mut self,
        value: &Value<'a>,
        collector: &Collector,
        span: Span,
        results: &mut Vec<Atom>,
        collectors: &mut Vec<Collector>,
    ) -> R<usize> {
        let atoms = self.leaves(value, span)?;
        let n = atoms.len();
        for mut atom in atoms {
            if matches!(collector, Collector::Sum { .. }) && self.scalar_of(atom) == Scalar::Bool {
                atom = self.real_of(atom);
            }
            results.push(atom);
            collectors.push(collector.clone());
        }
        Ok(n)
    }

    /// `if` with one value per branch. Both are evaluated in regions of their own.
    pub(super) fn branch(
        &mut self,
        condition: Atom,
        span: Span,
        then: impl FnOnce(&mut Machine<'a>) -> R<Value<'a>>,
        otherwise: impl FnOnce(&mut Machine<'a>) -> R<Value<'a>>,
    ) -> R<Value<'a>> {
        if let Atom::Bool(c) = condition {
            return if c { then(self) } else { otherwise(self) };
        }
        let calls = self.calls.len();
        self.enter();
        let left = then(self);
        if self.calls.len() != calls || left.as_ref().is_ok_and(has_estimates) {
            let left_stmts = self.leave();
            let left_calls = self.calls.split_off(calls);
            self.enter();
            let right = otherwise(self);
            let right_stmts = self.leave();
            let right_calls = self.calls.split_off(calls);
            let then = Branch { stmts: left_stmts, value: left?, calls: left_calls };
            let otherwise = Branch { stmts: right_stmts, value: right?, calls: right_calls };
            return self.branch_estimates(condition, then, otherwise, calls, span);
        }
        let (left, left_atoms) = match left {
            Ok(v) => {
                let atoms = self.leaves(&v, span);
                (Ok(v), atoms)
            }
            Err(e) => (Err(e), Ok(Vec::new())),
        };
        let left_stmts = self.leave();
        let (left, left_atoms): (Value<'a>, Vec<Atom>) = (left?, left_atoms?);
        self.enter();
        let right = otherwise(self);
        if self.calls.len() != calls || right.as_ref().is_ok_and(has_estimates) {
            let right_stmts = self.leave();
            let right_calls = self.calls.split_off(calls);
            let then = Branch { stmts: left_stmts, value: left, calls: Vec::new() };
            let otherwise = Branch { stmts: right_stmts, value: right?, calls: right_calls };
            return self.branch_estimates(condition, then, otherwise, calls, span);
        }
        let (right, right_atoms) = match right {
            Ok(v) => {
                let atoms = self.leaves(&v, span);
                (Ok(v), atoms)
            }
            Err(e) => (Err(e), Ok(Vec::new())),
        };
        let right_stmts = self.leave();
        let (_right, right_atoms): (Value<'a>, Vec<Atom>) = (right?, right_atoms?);
        let mut then = Block { stmts: left_stmts, results: left_atoms };
        let mut otherwise = Block { stmts: right_stmts, results: right_atoms };
        if then.results.len() != otherwise.results.len() {
            return refuse(span, "the branches give values of different form");
        }
        let mut results = Vec::new();
        for k in 0..then.results.len() {
            let (a, b) = (then.results[k], otherwise.results[k]);
            let (sa, sb) = (self.scalar_of(a), self.scalar_of(b));
            if sa != sb {
                then.results[k] = self.convert_in(&mut then.stmts, a);
                otherwise.results[k] = self.convert_in(&mut otherwise.stmts, b);
            }
            let (a, b) = (then.results[k], otherwise.results[k]);
            let (ta, tb) = (self.program.atom_type(a), self.program.atom_type(b));
            if ta != tb {
                return refuse(span, format!("the branches give arrays of shapes {:?} and {:?}", ta.shape, tb.shape));
            }
            let (fa, fb) = (self.fact(a), self.fact(b));
            let random = fa.random || fb.random || self.fact(condition).random;
            let var = self.new_var(ta, None);
            let fact = Fact { lower: fa.lower.min(fb.lower), upper: fa.upper.max(fb.upper), random, ..UNKNOWN };
            self.set_fact(var.into(), fact);
            results.push(var);
        }
        let atoms: Vec<Atom> = results.iter().map(|&v| v.into()).collect();
        self.stmts.push(Stmt::If(If { results, condition, then, otherwise }));
        Ok(self.rebuild(&left, &mut atoms.into_iter()))
    }

    fn convert_in(&mut self, stmts: &mut Vec<Stmt>, atom: Atom) -> Atom {
        let present = std::mem::replace(&mut self.stmts, std::mem::take(stmts));
        let ty = self.program.atom_type(atom);
        let value = Value::core(atom, ty.scalar, ty.shape);
        let converted = self.with_scalar(&value, Scalar::Real).and_then(|v| self.force(&v, Span::default()));
        *stmts = std::mem::replace(&mut self.stmts, present);
        converted.unwrap_or(atom)
    }
}

fn has_estimates(value: &Value<'_>) -> bool {
    match value {
        Value::Estimate(_) | Value::Estimates(_) => true,
        Value::Tuple(items) => items.iter().any(has_estimates),
        Value::Record(fields) => fields.iter().any(|(_, v)| has_estimates(v)),
        _ => false,
    }
}
