//! Terms at another value of a site that has been replaced in place: each is evaluated anew with the value overridden.

use super::pull::{Env, Interrupt, Pull, Pulled, Redraw, Task, unsupported};
use super::tree::{self, conditions_around, find_term};
use crate::diagnostic::Diagnostic;
use crate::ir::core::{Atom, Block, For, Program, Stmt, Var};
use crate::ir::op::Op;
use std::collections::HashSet;

/// A site's value replaced by another expression of its own place.
pub(crate) struct Overrides {
    pub values: Vec<Var>,
    pub args: Vec<Atom>,
    /// What the terms are multiplied by, at the place where the value is met.
    pub coefficient: Atom,
}

impl Task {
    /// One term at its place.
    pub(crate) fn of(stmts: &[Stmt], term: Atom) -> Option<Task> {
        let path = find_term(stmts, term)?;
        let loops = tree::loops_around(stmts, &path).iter().map(|a| (a.index, 0, a.extent)).collect();
        Some(Task { loops, conditions: conditions_around(stmts, &path), terms: vec![term] })
    }
}

impl<'a> Pull<'a> {
    /// `redraw`: for samples that depend on the value which is overridden.
    pub(crate) fn overriding(
        program: &'a mut Program,
        stmts: &[Stmt],
        overrides: Overrides,
        tainted: HashSet<Var>,
        redraw: &'a mut Redraw<'a>,
    ) -> Pull<'a> {
        Pull { overrides: Some(overrides), redraw: Some(redraw), ..Pull::new(program, stmts, tainted) }
    }

    /// Companions `stop(t at x') · c` of terms that read one element each, and the variables of these terms: their value is
    /// identically zero.
    pub(crate) fn run_overrides(&mut self, mut tasks: Vec<Task>) -> Result<(Vec<Stmt>, Vec<Var>), Diagnostic> {
        tasks.reverse();
        let mut zero = Vec::new();
        while let Some(task) = tasks.pop() {
            match self.override_task(&task, &mut zero) {
                Ok(()) => {}
                Err(interrupt) => self.split_task(interrupt, task, &mut tasks)?,
            }
        }
        Ok((std::mem::take(&mut self.scopes[0].stmts), zero))
    }

    /// Cuts a task in two as asked, or fails.
    fn split_task(&mut self, interrupt: Interrupt, task: Task, tasks: &mut Vec<Task>) -> Result<(), Diagnostic> {
        self.scopes.truncate(1);
        let apart = "a term reads pieces of one address at indices that cannot be told apart";
        match interrupt {
            Interrupt::Split { index, at } => {
                let Some((first, second)) = self.cut(&task.loops, index, at) else { return Err(unsupported(apart)) };
                tasks.push(Task { loops: second, ..task.clone() });
                tasks.push(Task { loops: first, ..task });
                Ok(())
            }
            Interrupt::Fail(d) => Err(*d),
            Interrupt::Unroll => Err(unsupported("a term reads elements of a site in a way that cannot be followed")),
        }
    }

    fn override_task(&mut self, task: &Task, zero: &mut Vec<Var>) -> Pulled<()> {
        let (indices, env) = self.open_task(task);
        let mut total = Vec::new();
        for &term in &task.terms {
            self.met = None;
            let t = self.guarded(task, &env, |p, env: &Env| p.atom(term, env))?;
            let Some(place) = self.met.clone() else { continue };
            let coefficient = self.overrides.as_ref().map_or(Atom::Real(0.0), |o| o.coefficient);
            let c = self.atom(coefficient, &place)?;
            let held = self.op(Op::Stop, &[t]);
            let product = self.op(Op::Mul, &[held, c]);
            zero.extend(product.var());
            total.push(product);
        }
        for t in total {
            self.push(Stmt::Term(t));
        }
        let scope = self.scopes.pop().unwrap_or_default();
        if indices.is_empty() {
            scope.stmts.into_iter().for_each(|s| self.push(s));
            return Ok(());
        }
        let body = Block { stmts: scope.stmts, results: Vec::new() };
        self.push(Stmt::For(For { results: Vec::new(), indices, body, collectors: Vec::new(), strip: None }));
        Ok(())
    }
}
