//! `for`: its body is specialised once with a symbolic index. Parallel if no `var` from outside is assigned and no
//! earlier iteration's address is read; else sequential, with the `var`s and the last values of those addresses
//! carried; written out (up to [`MAX_UNROLL`] iterations) where neither fits.
//!
//! Which addresses are carried, and how far back, is found by trying: reading one that is not at hand fails with what
//! is missing, and the loop is specialised again with it.

use super::address::{Dim, Window};
use super::clause::Clause;
use super::machine::{Fail, Machine, OpenLoop, R, UNKNOWN, refuse};
use super::scan::{self, Mention};
use super::shots::written_out;
use super::value::{Env, Estimate, Value};
use crate::base::source::Span;
use crate::diagnostic::Diagnostic;
use crate::ir::core::{Atom, Block as CoreBlock, Collector, Loop, Scalar, Stmt, Var};
use crate::ir::op::Op;
use crate::syntax::tree::{Block, Expr, ForClause};
use std::rc::Rc;

/// What becomes of the values of a `for`'s body.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reduce {
    Collect,
    Sum,
    Mean,
    Discard,
}

/// Most iterations that are written out.
pub(super) const MAX_UNROLL: usize = 256;

/// State to go back to when a loop is tried another way.
struct Snapshot<'a> {
    stmts: usize,
    cells: Vec<Value<'a>>,
    pieces: usize,
    windows: usize,
    score: Vec<Atom>,
    sites: usize,
    next_site: u32,
    calls: usize,
    open: usize,
    loops: usize,
    outer: Vec<usize>,
    frames: usize,
    forwards: usize,
    drawing: Option<(u32, u32)>,
    depth_of_calls: usize,
}

/// The clauses of a `for`, the cells that its body assigns, the addresses that it samples.
struct Parts<'b, 'a> {
    clauses: &'a [ForClause],
    cells: &'b [usize],
    samples: Rc<[&'a str]>,
}

pub(super) type Body<'b, 'a> = &'b mut dyn FnMut(&mut Machine<'a>, &Env<'a>) -> R<Value<'a>>;

impl<'a> Machine<'a> {
    pub(super) fn for_expr(
        &mut self,
        clauses: &'a [ForClause],
        condition: Option<&'a Expr>,
        body: &'a Block,
        env: &Env<'a>,
        reduce: Reduce,
        span: Span,
    ) -> R<Value<'a>> {
        if let Some(condition) = condition {
            return self.while_loop(clauses, condition, body, env, span);
        }
        let want = self.want.take();
        let cells = self.assigned_cells(body, env);
        let mut samples: Vec<&'a str> = Vec::new();
        let predictive = self.frames.last().is_some_and(|f| f.predictive);
        scan::block(body, &mut |m| match m {
            Mention::Sampled(n) => samples.push(n),
            Mention::Observed(n) if predictive => samples.push(n),
            _ => {}
        });
        let parts = Parts { clauses, cells: &cells, samples: samples.into() };
        let mut body = |m: &mut Machine<'a>, env: &Env<'a>| {
            m.want = want.clone();
            m.block(body, env)
        };
        self.clauses(&parts, env, &mut body, reduce, span)
    }

    fn clauses(
        &mut self,
        parts: &Parts<'_, 'a>,
        env: &Env<'a>,
        body: Body<'_, 'a>,
        reduce: Reduce,
        span: Span,
    ) -> R<Value<'a>> {
        let (clauses, cells, samples) = (parts.clauses, parts.cells, &parts.samples);
        if clauses.len() > 1 && cells.is_empty() {
            let snapshot = self.snapshot();
            let evaluated: R<Vec<Clause<'a>>> = clauses.iter().map(|c| self.clause(c, samples, env)).collect();
            if let Ok(evaluated) = evaluated {
                let (result, indices) = self.parallel(&evaluated, env, body, reduce, span);
                match result {
                    Err(Fail::Window { index, .. } | Fail::Unroll { index, .. }) if indices.contains(&index) => {}
                    other => return other,
                }
            }
            self.restore(snapshot);
        }
        let Some((first, rest)) = clauses.split_first() else {
            return body(self, env);
        };
        let clause = self.clause(first, samples, env)?;
        if rest.is_empty() {
            return self.one_loop(&clause, cells, env, body, reduce, span);
        }
        let inner = if reduce == Reduce::Mean { Reduce::Mean } else { reduce };
        let rest = Parts { clauses: rest, cells, samples: samples.clone() };
        self.one_loop(&clause, cells, env, &mut |m, env| m.clauses(&rest, env, body, inner, span), reduce, span)
    }

    fn snapshot(&self) -> Snapshot<'a> {
        Snapshot {
            stmts: self.stmts.len(),
            cells: self.cells.clone(),
            pieces: self.mark(),
            windows: self.frames.last().map_or(0, |f| f.windows.len()),
            score: self.frames.last().map(|f| f.score.clone()).unwrap_or_default(),
            sites: self.sites.len(),
            next_site: self.next_site,
            calls: self.calls.len(),
            open: self.open.len(),
            loops: self.loops.len(),
            outer: self.outer.iter().map(Vec::len).collect(),
            frames: self.frames.len(),
            forwards: self.forwards.len(),
            drawing: self.drawing,
            depth_of_calls: self.depth_of_calls,
        }
    }

    fn restore(&mut self, s: Snapshot<'a>) {
        self.frames.truncate(s.frames);
        while self.outer.len() > s.outer.len() {
            self.leave();
        }
        for (region, &len) in self.outer.iter_mut().zip(&s.outer) {
            region.truncate(len);
        }
        self.stmts.truncate(s.stmts);
        self.cells = s.cells;
        if let Some(f) = self.frames.last_mut() {
            f.pieces.truncate(s.pieces);
            f.windows.truncate(s.windows);
            f.score = s.score;
        }
        self.sites.truncate(s.sites);
        self.next_site = s.next_site;
        self.calls.truncate(s.calls);
        self.open.truncate(s.open);
        self.loops.truncate(s.loops);
        self.forwards.truncate(s.forwards);
        self.drawing = s.drawing;
        self.depth_of_calls = s.depth_of_calls;
    }

    pub(super) fn one_loop(
        &mut self,
        clause: &Clause<'a>,
        cells: &[usize],
        env: &Env<'a>,
        body: Body<'_, 'a>,
        reduce: Reduce,
        span: Span,
    ) -> R<Value<'a>> {
        let snapshot = self.snapshot();
        let mut windows: Vec<Fail> = Vec::new();
        let mut sequential = !cells.is_empty();
        // Each try learns of one more address or a longer reach.
        for _ in 0..64 {
            let (result, index) = if sequential {
                self.sequential(clause, cells, &windows, env, body, reduce, span)
            } else {
                let (r, indices) = self.parallel(std::slice::from_ref(clause), env, body, reduce, span);
                (r, indices.first().copied())
            };
            let again = Snapshot {
                cells: snapshot.cells.clone(),
                score: snapshot.score.clone(),
                outer: snapshot.outer.clone(),
                ..snapshot
            };
            match result {
                Err(Fail::Window { index: at, name, offset, position, dims }) if Some(at) == index => {
                    self.restore(again);
                    sequential = true;
                    windows.retain(
                        |w| !matches!(w, Fail::Window { name: n, dims: d, position: p, .. } if *n == name && d.len() == dims.len() && *p == position),
                    );
                    windows.push(Fail::Window { index: at, name, offset, position, dims });
                }
                Err(Fail::Unroll { index: at, reason }) if Some(at) == index => {
                    self.restore(again);
                    return self.unrolled(clause, env, body, reduce, *reason, span);
                }
                other => return other,
            }
        }
        refuse(span, "this loop reads too many earlier iterations")
    }

    fn parallel(
        &mut self,
        clauses: &[Clause<'a>],
        env: &Env<'a>,
        body: Body<'_, 'a>,
        reduce: Reduce,
        span: Span,
    ) -> (R<Value<'a>>, Vec<Var>) {
        let extents: Vec<usize> = clauses.iter().map(|c| c.extent).collect();
        let (mark, calls, open) = (self.mark(), self.calls.len(), self.open.len());
        let score = self.take_score();
        self.enter();
        let indices = self.open_loops(&extents);
        let vars: Vec<Var> = indices.iter().map(|&(v, _)| v).collect();
        let mut results = Vec::new();
        let mut collectors = Vec::new();
        let inner = self.parallel_body(clauses, &indices, env, body, reduce, span).and_then(|value| {
            let value = self.yielded(value, reduce, &mut results, &mut collectors, calls, span)?;
            Ok((value, self.collect_pieces(mark, span, &mut results, &mut collectors)?))
        });
        let own = self.restore_score(score);
        let scored = own != Atom::Real(0.0);
        if scored {
            results.push(own);
            collectors.push(Collector::Sum { keep: Vec::new() });
        }
        self.open.truncate(open);
        self.loops.truncate(self.loops.len().saturating_sub(extents.len()));
        let stmts = self.leave();
        let (value, pieces) = match inner {
            Ok(x) => x,
            Err(e) => return (Err(e), vars),
        };
        let atoms = self.push_for(indices.clone(), CoreBlock { stmts, results }, collectors);
        let mut atoms = atoms.into_iter();
        let supports = Self::index_literals(clauses, &vars);
        let scale = clauses.iter().map(Clause::scale).product();
        let value = self
            .reduced(value, reduce, &extents, calls, &supports, &mut atoms, span)
            .and_then(|v| self.over_rows(v, clauses, reduce, scale, span));
        let closed = self.close_pieces(pieces, clauses, &indices, &mut atoms, span);
        if scored && let Some(s) = atoms.next() {
            let s = self.scaled(s, scale);
            self.score(s);
        }
        (value.and_then(|v| closed.map(|()| v)), vars)
    }

    fn index_literals(clauses: &[Clause<'a>], vars: &[Var]) -> Option<(Var, i64, usize)> {
        match (clauses, vars) {
            ([c], [v]) if c.over.is_none() && !c.is_subsampled() => Some((*v, c.from, c.extent)),
            _ => None,
        }
    }

    fn parallel_body(
        &mut self,
        clauses: &[Clause<'a>],
        indices: &[(Var, usize)],
        env: &Env<'a>,
        body: Body<'_, 'a>,
        reduce: Reduce,
        span: Span,
    ) -> R<Value<'a>> {
        let mut env = env.clone();
        for (clause, &(var, _)) in clauses.iter().zip(indices) {
            let frame = self.frames.last().map_or(0, |f| f.id);
            let (from, samples, plate) = (clause.from, clause.samples.clone(), clause.plate.is_some());
            let alike = clause.alike;
            self.open.push(OpenLoop { index: var, from, frame, samples, plate, alike });
            let value = self.loop_value(clause, var.into(), span)?;
            env.bind(clause.name, value);
        }
        let _ = reduce;
        body(self, &env)
    }

    /// Pushes what the body's value yields to the loop; the value's form.
    fn yielded(
        &mut self,
        value: Value<'a>,
        reduce: Reduce,
        results: &mut Vec<Atom>,
        collectors: &mut Vec<Collector>,
        calls: usize,
        span: Span,
    ) -> R<Value<'a>> {
        if reduce == Reduce::Discard {
            return Ok(Value::Unit);
        }
        // What has no elements in Core is known for each iteration.
        if let Value::Bijector(_) | Value::List(_) = &value
            && let Some(open) = self.open.last()
        {
            let reason = Diagnostic::error("E0390", span, "a list of bijectors is made here");
            return Err(Fail::Unroll { index: open.index, reason: Box::new(reason) });
        }
        if let Value::Estimate(e) = &value {
            self.estimate_yields(e, calls, results, collectors);
            return Ok(value);
        }
        if matches!(reduce, Reduce::Sum | Reduce::Mean) {
            let n: usize = super::types::shape_of(&value).iter().product();
            let mut atom = self.sum(&value, span)?;
            if self.scalar_of(atom) == Scalar::Bool {
                atom = self.real_of(atom);
            }
            if reduce == Reduce::Mean && n != 1 {
                atom = self.real_op(Op::Div, &[atom, Atom::Real(n as f64)]);
            }
            results.push(atom);
            collectors.push(Collector::Sum { keep: Vec::new() });
            return Ok(Value::Scalar(atom));
        }
        self.collect_leaves(&value, &Collector::Collect, span, results, collectors)?;
        Ok(value)
    }

    /// The value of the loop, from its results.
    #[expect(clippy::too_many_arguments, reason = "the loop's form, its results and where it stands")]
    fn reduced(
        &mut self,
        value: Value<'a>,
        reduce: Reduce,
        extents: &[usize],
        calls: usize,
        index: &Option<(Var, i64, usize)>,
        atoms: &mut dyn Iterator<Item = Atom>,
        span: Span,
    ) -> R<Value<'a>> {
        if let Value::Estimate(e) = &value {
            let estimates = self.estimates_of_loop(e, extents, calls, index, atoms);
            return match reduce {
                Reduce::Sum => self.estimates_sum(&estimates, span),
                Reduce::Mean => {
                    let n: usize = extents.iter().product();
                    let s = self.estimates_sum(&estimates, span)?;
                    self.estimate_scale(&s, Atom::Real(1.0 / n as f64), span)
                }
                Reduce::Collect | Reduce::Discard => Ok(Value::Estimates(Rc::new(estimates))),
            };
        }
        match reduce {
            Reduce::Discard => Ok(Value::Unit),
            Reduce::Sum => Ok(Value::Scalar(atoms.next().unwrap_or(Atom::Real(0.0)))),
            Reduce::Mean => {
                let n: usize = extents.iter().product();
                let s = atoms.next().unwrap_or(Atom::Real(0.0));
                Ok(Value::Scalar(self.real_op(Op::Div, &[s, Atom::Real(n as f64)])))
            }
            Reduce::Collect => Ok(self.rebuild(&value, atoms)),
        }
    }

    /// In order, with cells and windows carried.
    #[expect(clippy::too_many_arguments, reason = "the loop, what it carries, and where it stands")]
    fn sequential(
        &mut self,
        clause: &Clause<'a>,
        cells: &[usize],
        windows: &[Fail],
        env: &Env<'a>,
        body: Body<'_, 'a>,
        reduce: Reduce,
        span: Span,
    ) -> (R<Value<'a>>, Option<Var>) {
        if clause.is_subsampled() {
            return (self.rows_in_order(clause, span), None);
        }
        // Ints that become reals are found by trying, too.
        let snapshot = self.snapshot();
        for _ in 0..=cells.len() + 1 {
            let mut widen = None;
            let (result, index) = self.sequential_once(clause, cells, windows, env, body, reduce, span, &mut widen);
            let Some(cell) = widen else { return (result, index) };
            let again = Snapshot {
                cells: snapshot.cells.clone(),
                score: snapshot.score.clone(),
                outer: snapshot.outer.clone(),
                ..snapshot
            };
            self.restore(again);
            let old = self.cells[cell].clone();
            match self.with_scalar(&old, Scalar::Real) {
                Ok(v) => self.cells[cell] = v,
                Err(e) => return (Err(e), index),
            }
        }
        (refuse(span, "the type of a `var` changes in this loop"), None)
    }

    #[expect(clippy::too_many_arguments, reason = "the loop, what it carries, and where it stands")]
    fn sequential_once(
        &mut self,
        clause: &Clause<'a>,
        cells: &[usize],
        windows: &[Fail],
        env: &Env<'a>,
        body: Body<'_, 'a>,
        reduce: Reduce,
        span: Span,
        widen: &mut Option<usize>,
    ) -> (R<Value<'a>>, Option<Var>) {
        // Results of the continuation are no values that a loop could carry.
        if cells.iter().any(|&c| matches!(self.cells[c], Value::Estimate(_) | Value::Estimates(_))) {
            return match written_out::<()>(Var(0), span) {
                Err(Fail::Unroll { reason, .. }) => (self.unrolled(clause, env, body, reduce, *reason, span), None),
                _ => (Ok(Value::Unit), None),
            };
        }
        // First values.
        let mut first: Vec<Atom> = Vec::new();
        let mut templates: Vec<(Value<'a>, usize)> = Vec::new();
        for &c in cells {
            let v = self.cells[c].clone();
            match self.leaves(&v, span) {
                Ok(atoms) => {
                    templates.push((v, atoms.len()));
                    first.extend(atoms);
                }
                Err(e) => return (Err(e), None),
            }
        }
        let mut reach: Vec<(String, usize, usize, Vec<Atom>)> = Vec::new();
        for w in windows {
            let Fail::Window { name, offset, position, dims, .. } = w else { continue };
            for k in 1..=*offset {
                let mut at: Vec<super::array::Index> = dims.iter().map(|&a| super::array::Index::At(a)).collect();
                at[*position] = super::array::Index::At(Atom::Int(clause.from - k as i64));
                let value = self.address_read(name, &at, env, span).and_then(|v| Ok((self.leaves(&v, span)?, v)));
                match value {
                    Ok((atoms, v)) => {
                        templates.push((v, atoms.len()));
                        first.extend(atoms);
                    }
                    Err(Fail::Error(reason)) => {
                        // No piece before the loop: the body asks for it under a condition on the index.
                        return (self.unrolled(clause, env, body, reduce, *reason, span), None);
                    }
                    Err(Fail::Unroll { reason, index }) => {
                        let inner = self.unrolled(clause, env, body, reduce, (*reason).clone(), span);
                        return match inner {
                            Ok(v) => (Ok(v), None),
                            Err(_) => (Err(Fail::Unroll { reason, index }), None),
                        };
                    }
                    Err(e) => return (Err(e), None),
                }
            }
            reach.push((name.clone(), *offset, *position, dims.clone()));
        }
        let (mark, calls, open) = (self.mark(), self.calls.len(), self.open.len());
        let windows_before = self.frames.last().map_or(0, |f| f.windows.len());
        let score = self.take_score();
        self.enter();
        let indices = self.open_loops(&[clause.extent]);
        let index = indices[0].0;
        let carried: Vec<(Var, Atom)> = first
            .iter()
            .map(|&a| {
                let ty = self.program.atom_type(a);
                let var = self.new_var(ty, None);
                self.set_fact(var.into(), super::machine::Fact { random: true, ..UNKNOWN });
                (var, a)
            })
            .collect();
        let mut vars = carried.iter().map(|&(v, _)| Atom::Var(v));
        let mut inside: Vec<Value<'a>> = Vec::new();
        for (template, _) in &templates {
            let v = self.rebuild(template, &mut vars);
            inside.push(v);
        }
        for (&c, v) in cells.iter().zip(&inside) {
            self.cells[c] = v.clone();
        }
        let mut rest = inside[cells.len()..].iter();
        for (name, offset, position, dims) in &reach {
            let values: Vec<Value<'a>> = rest.by_ref().take(*offset).cloned().collect();
            let window = Window {
                name: name.clone(),
                index,
                from: clause.from,
                position: *position,
                dims: dims.clone(),
                values,
            };
            if let Some(f) = self.frames.last_mut() {
                f.windows.push(window);
            }
        }
        let mut results = Vec::new();
        let mut collectors = Vec::new();
        let mut next: Vec<Atom> = Vec::new();
        let inner =
            self.parallel_body(std::slice::from_ref(clause), &indices, env, body, reduce, span).and_then(|value| {
                if matches!(value, Value::Estimate(_)) || self.calls.len() != calls {
                    return written_out(index, span);
                }
                let mut k = 0;
                for (&c, (_, n)) in cells.iter().zip(&templates) {
                    let v = self.cells[c].clone();
                    if matches!(v, Value::Estimate(_) | Value::Estimates(_)) {
                        return written_out(index, span);
                    }
                    let atoms = self.leaves(&v, span)?;
                    if atoms.len() != *n {
                        return refuse(span, "a `var` changes its form in this loop");
                    }
                    for a in atoms {
                        let (old, new) = (self.program.atom_type(first[k]), self.program.atom_type(a));
                        if old.shape != new.shape {
                            return refuse(
                                span,
                                format!("a `var` of shape {:?} becomes one of {:?} in this loop", old.shape, new.shape),
                            );
                        }
                        if old.scalar != new.scalar {
                            if old.scalar == Scalar::Int && new.scalar == Scalar::Real {
                                *widen = Some(c);
                                return refuse(span, "an int becomes a real");
                            }
                            let array = Value::core(a, new.scalar, new.shape);
                            let v = self.with_scalar(&array, old.scalar)?;
                            next.push(self.force(&v, span)?);
                        } else {
                            next.push(a);
                        }
                        k += 1;
                    }
                }
                let mut at = cells.len();
                for (name, offset, position, _) in &reach {
                    let current = self.piece_of_iteration(mark, name, *position, index, clause.from);
                    let Some(current) = current else {
                        return refuse(span, format!("`{name}` is not sampled in every iteration"));
                    };
                    let mut values = vec![current];
                    values.extend(inside[at..at + offset - 1].iter().cloned());
                    at += offset;
                    for v in values {
                        let atoms = self.leaves(&v, span)?;
                        for a in atoms {
                            let want = self.program.atom_type(first[next.len()]).scalar;
                            next.push(self.convert(a, want));
                        }
                    }
                }
                let value = self.yielded(value, reduce, &mut results, &mut collectors, calls, span)?;
                Ok((value, self.collect_pieces(mark, span, &mut results, &mut collectors)?))
            });
        if let Some(f) = self.frames.last_mut() {
            f.windows.truncate(windows_before);
        }
        let own = self.restore_score(score);
        let scored = own != Atom::Real(0.0);
        if scored {
            results.push(own);
            collectors.push(Collector::Sum { keep: Vec::new() });
        }
        self.open.truncate(open);
        self.loops.truncate(self.loops.len().saturating_sub(1));
        let stmts = self.leave();
        let (value, pieces) = match inner {
            Ok(x) => x,
            Err(e) => return (Err(e), Some(index)),
        };
        let mut finals: Vec<Var> = Vec::new();
        for &(v, _) in &carried {
            let ty = self.program.ty(v).clone();
            let var = self.new_var(ty, None);
            self.set_fact(var.into(), super::machine::Fact { random: true, ..UNKNOWN });
            finals.push(var);
        }
        let mut loop_results = finals.clone();
        for (c, &a) in collectors.iter().zip(&results) {
            let ty = c.result_type(&[clause.extent], &self.program.atom_type(a));
            let fact = super::machine::collected(c, self.fact(a));
            let var = self.new_var(ty, None);
            self.set_fact(var.into(), fact);
            loop_results.push(var);
        }
        let mut outcome = loop_results[finals.len()..].iter().map(|&v| Atom::Var(v)).collect::<Vec<_>>().into_iter();
        let mut block_results = next;
        block_results.extend(results);
        self.stmts.push(Stmt::Loop(Loop {
            results: loop_results,
            index,
            extent: clause.extent,
            carried,
            body: CoreBlock { stmts, results: block_results },
            collectors,
            reverse: false,
        }));
        let mut final_atoms = finals.iter().map(|&v| Atom::Var(v));
        for (&c, (template, _)) in cells.iter().zip(&templates) {
            let v = self.rebuild(template, &mut final_atoms);
            self.cells[c] = v;
        }
        let value = self.reduced(value, reduce, &[clause.extent], calls, &None, &mut outcome, span);
        let closed = self.close_pieces(pieces, std::slice::from_ref(clause), &indices, &mut outcome, span);
        if scored && let Some(s) = outcome.next() {
            self.score(s);
        }
        (value.and_then(|v| closed.map(|()| v)), Some(index))
    }

    /// The value sampled in this iteration at the loop's own index.
    fn piece_of_iteration(&self, mark: usize, name: &str, position: usize, index: Var, from: i64) -> Option<Value<'a>> {
        let frame = self.frames.last()?;
        frame.pieces[mark.min(frame.pieces.len())..].iter().find_map(|(key, v)| {
            let own = key.name == name
                && key.order.is_empty()
                && matches!(key.dims.get(position), Some(Dim::At(a)) if self.affine(*a) == (Some(index), from));
            own.then(|| v.clone())
        })
    }

    /// Every iteration written out.
    pub(super) fn unrolled(
        &mut self,
        clause: &Clause<'a>,
        env: &Env<'a>,
        body: Body<'_, 'a>,
        reduce: Reduce,
        reason: Diagnostic,
        span: Span,
    ) -> R<Value<'a>> {
        if clause.is_subsampled() {
            return Err(reason.into());
        }
        if clause.extent > MAX_UNROLL {
            return Err(reason
                .note(format!(
                    "a loop can be written out only up to {MAX_UNROLL} iterations; this one has {}",
                    clause.extent
                ))
                .into());
        }
        let mut values = Vec::with_capacity(clause.extent);
        let mut marks = Vec::with_capacity(clause.extent);
        for u in 0..clause.extent {
            let mut env = env.clone();
            let value = self.loop_value(clause, Atom::Int(u as i64), span)?;
            env.bind(clause.name, value);
            marks.push(self.mark());
            values.push(body(self, &env)?);
        }
        self.complete(clause.from, &marks, span)?;
        match reduce {
            Reduce::Discard => Ok(Value::Unit),
            Reduce::Collect => self.stack(values, span),
            Reduce::Sum | Reduce::Mean => {
                let n = values.len();
                let mut total: Option<Value<'a>> = None;
                for v in values {
                    let v = match v {
                        Value::Estimate(_) => v,
                        other => Value::Scalar(self.sum(&other, span)?),
                    };
                    total = Some(match total {
                        None => v,
                        Some(t) => self.binary(crate::syntax::tree::BinaryOp::Add, &t, &v, span)?,
                    });
                }
                let total = total.unwrap_or(Value::ZERO);
                if reduce == Reduce::Sum {
                    return Ok(total);
                }
                self.binary(crate::syntax::tree::BinaryOp::Div, &total, &Value::real(n as f64), span)
            }
        }
    }

    /// An estimate of nothing but a real.
    pub(super) fn constant_estimate(constant: Atom) -> Estimate {
        Estimate { constant, terms: Vec::new() }
    }
}
