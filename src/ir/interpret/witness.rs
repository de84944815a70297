//! Where a value that is not finite came from. While an interpreter watches, each variable whose value has a cell that is
//! not finite is traced to the statement that made one of operands that were finite all; at the end the outputs tell.
//! Invariant: watching changes no value.

use super::super::core::{Atom, Program, Scalar, Stmt, Var};
use super::super::op::Op;
use super::machine::Machine;
use crate::base::source::Span;
use std::collections::HashMap;

/// The statement that went wrong first, with its operands.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub cause: Cause,
    /// Expression of the user's file that the statement was made for.
    pub span: Option<Span>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Cause {
    /// An operation on scalars.
    Operation { op: Op, operands: Vec<f64>, result: f64 },
    /// An index outside an array.
    Index { index: Vec<i64>, shape: Vec<usize> },
    /// A division of whole numbers by zero.
    DivisionByZero,
    /// An operation on arrays, a draw, or an input that was not finite.
    Other,
}

/// Births that are kept apart; later ones are not told from the last.
const MOST: usize = 1 << 16;

#[derive(Default)]
pub(super) struct Witness {
    /// For variables with a cell that is not finite: where it came from.
    origins: HashMap<Var, usize>,
    events: Vec<Event>,
    /// The first index out of bounds or division by zero.
    pub(super) fault: Option<Event>,
}

impl Witness {
    fn born(&mut self, event: Event) -> usize {
        if self.events.len() < MOST {
            self.events.push(event);
        }
        self.events.len() - 1
    }

    pub(super) fn origin(&self, atom: Atom) -> Option<&Event> {
        self.origins.get(&atom.var()?).map(|&e| &self.events[e])
    }

    /// Forgets what a variable held before.
    fn set(&mut self, var: Var, origin: Option<usize>) {
        match origin {
            Some(origin) => _ = self.origins.insert(var, origin),
            None => _ = self.origins.remove(&var),
        }
    }
}

impl Machine {
    fn bad(&self, program: &Program, atom: Atom) -> bool {
        match atom {
            Atom::Var(v) if program.ty(v).scalar != Scalar::Real => false,
            Atom::Var(v) if program.ty(v).is_scalar() => !self.cell(atom).is_finite(),
            Atom::Var(_) => self.cells(program, atom).iter().any(|c| !c.is_finite()),
            Atom::Real(x) => !x.is_finite(),
            Atom::Int(_) | Atom::Bool(_) => false,
        }
    }

    /// After a statement without regions.
    pub(super) fn note(&mut self, program: &Program, stmt: &Stmt) {
        if self.witness.is_none() {
            return;
        }
        for result in stmt.results() {
            if !self.bad(program, result.into()) {
                if let Some(witness) = &mut self.witness {
                    witness.set(result, None);
                }
                continue;
            }
            let mut operands = Vec::new();
            stmt.each_atom(&mut |a| operands.push(a));
            let from = operands.iter().copied().find(|&a| self.bad(program, a));
            let cause = match stmt {
                Stmt::Op { op, args, .. } if !matches!(op, Op::Read | Op::Select | Op::Stop) => {
                    let operands = args.iter().map(|&a| self.cell(a)).collect();
                    Cause::Operation { op: *op, operands, result: self.cell(result.into()) }
                }
                _ => Cause::Other,
            };
            let event = Event { cause, span: program.vars[result.0 as usize].span };
            if let Some(witness) = &mut self.witness {
                let known = from.and_then(|a| a.var()).and_then(|v| witness.origins.get(&v).copied());
                let origin = known.unwrap_or_else(|| witness.born(event));
                witness.set(result, Some(origin));
            }
        }
    }

    /// Before the iterations of a loop.
    pub(super) fn note_start(&mut self, results: &[Var]) {
        if let Some(witness) = &mut self.witness {
            results.iter().for_each(|&v| witness.set(v, None));
        }
    }

    /// After an iteration, or a branch: `values` go into `results`. Of several iterations the first tells.
    pub(super) fn note_results(&mut self, program: &Program, results: &[Var], values: &[Atom]) {
        if self.witness.is_none() {
            return;
        }
        for (&result, &value) in results.iter().zip(values) {
            let bad = self.bad(program, value);
            let Some(witness) = &mut self.witness else { return };
            if bad && !witness.origins.contains_key(&result) {
                let known = value.var().and_then(|v| witness.origins.get(&v).copied());
                let span = program.vars[result.0 as usize].span;
                let origin = known.unwrap_or_else(|| witness.born(Event { cause: Cause::Other, span }));
                witness.set(result, Some(origin));
            }
        }
    }

    /// After an iteration of a loop that carries values: what `var` holds from now on came from `value`.
    pub(super) fn note_copy(&mut self, var: Var, value: Atom) {
        if let Some(witness) = &mut self.witness {
            let known = value.var().and_then(|v| witness.origins.get(&v).copied());
            witness.set(var, known);
        }
    }

    /// An index out of bounds.
    pub(super) fn note_index(&mut self, span: Option<Span>, shape: &[usize], indices: &[Atom]) {
        let index = indices.iter().map(|&i| self.int(i)).collect();
        if let Some(witness) = &mut self.witness {
            let cause = Cause::Index { index, shape: shape.to_vec() };
            witness.fault.get_or_insert(Event { cause, span });
        }
    }

    pub(super) fn note_division(&mut self, span: Option<Span>) {
        if let Some(witness) = &mut self.witness {
            witness.fault.get_or_insert(Event { cause: Cause::DivisionByZero, span });
        }
    }
}
