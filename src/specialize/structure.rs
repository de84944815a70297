//! Structured values as lists of Core atoms, one per leaf, and back.

use super::machine::{Machine, R, refuse};
use super::value::{Array, Repr, Value};
use crate::base::source::Span;
use crate::ir::core::{Atom, Collector, Scalar};
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
            Value::Array(Array { repr: Repr::Rows { base, .. }, .. }) => {
                into.push(*base);
                Ok(())
            }
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
            Value::Array(Array { repr: Repr::Rows { axes, .. }, shape, .. }) => {
                let base = atoms.next().unwrap_or(Atom::Real(f64::NAN));
                let ty = self.program.atom_type(base);
                let lead = ty.shape.len().saturating_sub(axes.len());
                let axes = std::iter::repeat_n(None, lead).chain(axes.iter().copied()).collect();
                let shape = ty.shape[..lead].iter().chain(shape).copied().collect();
                Value::Array(Array { scalar: ty.scalar, shape, repr: Repr::Rows { base, axes } })
            }
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
}

/// True if a result of the continuation is part of it.
pub(super) fn has_estimates(value: &Value<'_>) -> bool {
    match value {
        Value::Estimate(_) | Value::Estimates(_) => true,
        Value::Tuple(items) => items.iter().any(has_estimates),
        Value::Record(fields) => fields.iter().any(|(_, v)| has_estimates(v)),
        _ => false,
    }
}
