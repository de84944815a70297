//! One step of elimination, at one place: factors that read an element are joined and the element is summed out, which
//! leaves a table over the other elements read. `Σ_v c(v)·Σ_f f(v)` for expectations, `log Σ_v exp Σ_f f(v)` for densities.

use super::engine::{Engine, Semiring};
use super::factor::Factor;
use super::pull::{Element, Pulled, Scope};
use super::variable::int;
use super::{JOINT_LIMIT, TABLE_LIMIT};
use crate::ir::core::{Atom, Block, Collector, For, If, Stmt, Type, Var};
use crate::ir::op::Op;
use std::rc::Rc;

/// A factor at one place: the elements it reads there.
#[derive(Clone, Debug)]
pub(super) struct Local {
    pub reads: Vec<Element>,
    pub body: Body,
}

#[derive(Clone, Debug)]
pub(super) enum Body {
    /// At absolute loop indices; `None`: summed over.
    Factor { factor: Rc<Factor>, at: Vec<Option<Atom>> },
    /// `table[prefix…, positions of the reads…]`.
    Table { table: Atom, prefix: Vec<Atom> },
}

/// Evaluating a term costs more than reading a table: below this many joint values it is not tabulated by itself first.
const SMALL: usize = 16;

impl Engine<'_> {
    /// New indices over `extents`, in a new scope.
    pub(super) fn open(&mut self, extents: &[usize]) -> Vec<(Var, usize)> {
        let indices: Vec<(Var, usize)> =
            extents.iter().map(|&n| (self.pull.program.new_var(Type::INT, None), n)).collect();
        for &(v, n) in &indices {
            self.pull.ranges.insert(v, n);
        }
        self.pull.scopes.push(Scope::default());
        indices
    }

    /// Closes the open scope as a loop; without indices its statements stay where they are.
    pub(super) fn close(&mut self, indices: Vec<(Var, usize)>, value: Atom, collector: Collector) -> Atom {
        let scope = self.pull.scopes.pop().unwrap_or_default();
        if indices.is_empty() {
            for stmt in scope.stmts {
                if let Stmt::Op { result, op, args } = &stmt {
                    self.pull.known(*op, args, (*result).into());
                }
                self.pull.push(stmt);
            }
            return value;
        }
        let extents: Vec<usize> = indices.iter().map(|x| x.1).collect();
        let ty = collector.result_type(&extents, &self.pull.program.atom_type(value));
        let result = self.pull.program.new_var(ty, None);
        self.pull.push(Stmt::For(For {
            results: vec![result],
            indices,
            body: Block { stmts: scope.stmts, results: vec![value] },
            collectors: vec![collector],
            strip: None,
        }));
        result.into()
    }

    pub(super) fn close_sum(&mut self, indices: Vec<(Var, usize)>, value: Atom) -> Atom {
        self.close(indices, value, Collector::Sum { keep: Vec::new() })
    }

    /// `then` where the condition holds, evaluated only there.
    pub(super) fn under(
        &mut self,
        condition: Atom,
        then: impl FnOnce(&mut Self) -> Pulled<Atom>,
        otherwise: impl FnOnce(&mut Self) -> Atom,
    ) -> Pulled<Atom> {
        match condition {
            Atom::Bool(true) => return then(self),
            Atom::Bool(false) => return Ok(otherwise(self)),
            _ => {}
        }
        self.pull.scopes.push(Scope::default());
        let a = then(self);
        let first = self.pull.scopes.pop().unwrap_or_default();
        let a = a?;
        self.pull.scopes.push(Scope::default());
        let b = otherwise(self);
        let second = self.pull.scopes.pop().unwrap_or_default();
        let result = self.pull.program.new_var(Type::REAL, None);
        self.pull.push(Stmt::If(If {
            results: vec![result],
            condition,
            then: Block { stmts: first.stmts, results: vec![a] },
            otherwise: Block { stmts: second.stmts, results: vec![b] },
        }));
        Ok(result.into())
    }

    /// The position that an element is held at.
    pub(super) fn position(&self, element: &Element) -> Pulled<Atom> {
        match self.held.iter().rev().find(|h| h.0 == *element) {
            Some(&(_, l)) => Ok(l),
            None => Err(super::pull::fail("an enumerated value was met that the term's analysis did not list")),
        }
    }

    pub(super) fn supports(&self, elements: &[Element]) -> Vec<usize> {
        elements.iter().map(|e| self.variables[e.site].support()).collect()
    }

    fn joint(&self, elements: &[Element]) -> usize {
        self.supports(elements).iter().fold(1_usize, |a, &b| a.saturating_mul(b))
    }

    /// Fails if a table over these elements would be too large.
    pub(super) fn check_table(&self, elements: &[Element]) -> Pulled<()> {
        if self.joint(elements) > TABLE_LIMIT {
            return Err(self.too_large(elements, TABLE_LIMIT));
        }
        Ok(())
    }

    /// Fails if a term would be evaluated at too many joint values.
    pub(super) fn check_joint(&self, local: &Local) -> Pulled<()> {
        if let Body::Factor { factor, .. } = &local.body
            && factor.is_term()
            && self.joint(&local.reads) > JOINT_LIMIT
        {
            return Err(self.too_large(&local.reads, JOINT_LIMIT));
        }
        Ok(())
    }

    pub(super) fn local_value(&mut self, local: &Local) -> Pulled<Atom> {
        match &local.body {
            Body::Factor { factor, at } => self.evaluate(factor, at, &local.reads),
            Body::Table { table, prefix } => {
                let mut args = vec![*table];
                args.extend_from_slice(prefix);
                for element in &local.reads {
                    args.push(self.position(element)?);
                }
                Ok(if args.len() == 1 { *table } else { self.pull.op(Op::Read, &args) })
            }
        }
    }

    pub(super) fn sum_of(&mut self, locals: &[Local]) -> Pulled<Atom> {
        let mut total: Option<Atom> = None;
        for local in locals {
            let value = self.local_value(local)?;
            total = Some(match total {
                None => value,
                Some(sum) => self.pull.op(Op::Add, &[sum, value]),
            });
        }
        Ok(total.unwrap_or(Atom::Real(0.0)))
    }

    /// Opens a loop over the positions of `elements` and assigns them. Returns marks for [`Engine::shut`].
    pub(super) fn open_elements(&mut self, elements: &[Element]) -> Pulled<(Vec<(Var, usize)>, usize)> {
        let extents = self.supports(elements);
        let mark = self.held.len();
        let indices = self.open(&extents);
        for k in self.parents_first(elements)? {
            self.assign(&elements[k], indices[k].0.into())?;
        }
        Ok((indices, mark))
    }

    /// An order in which values that depend on the values of others come after these.
    fn parents_first(&mut self, elements: &[Element]) -> Pulled<Vec<usize>> {
        let mut before: Vec<Vec<usize>> = Vec::new();
        for element in elements {
            let parents = if self.moving_values(element.site) { self.parents(element)? } else { Vec::new() };
            before.push(parents.iter().filter_map(|p| elements.iter().position(|e| e == p)).collect());
        }
        let mut order: Vec<usize> = Vec::new();
        while order.len() < elements.len() {
            let ready = |k: &usize| !order.contains(k) && before[*k].iter().all(|p| order.contains(p));
            let Some(next) = (0..elements.len()).find(ready) else {
                return Err(super::pull::fail("the values of enumerated sites depend on each other in a circle"));
            };
            order.push(next);
        }
        Ok(order)
    }

    /// Forgets assignments since `mark`.
    pub(super) fn shut(&mut self, mark: usize) {
        self.held.truncate(mark);
        self.pull.assigned.truncate(mark);
        self.end_shots();
    }

    /// Calls at hand are those of the elements held.
    pub(super) fn end_shots(&mut self) {
        let shooting = self.held.iter().filter(|(e, _)| self.variables[e.site].shoots).count();
        self.pull.shots.truncate(shooting);
    }

    /// A table over `elements` of the sum of `locals`.
    pub(super) fn tabulate(&mut self, locals: &[Local], elements: &[Element]) -> Pulled<Local> {
        self.check_table(elements)?;
        for local in locals {
            self.check_joint(local)?;
        }
        if let ([local], true) = (locals, locals.len() == 1 && locals[0].reads == elements)
            && matches!(&local.body, Body::Table { prefix, .. } if prefix.is_empty())
        {
            return Ok(local.clone());
        }
        let (indices, mark) = self.open_elements(elements)?;
        let value = self.sum_of(locals)?;
        self.shut(mark);
        let table = self.close(indices, value, Collector::Collect);
        Ok(Local { reads: elements.to_vec(), body: Body::Table { table, prefix: Vec::new() } })
    }

    /// Elements read by some of `locals`, and by the values of these, without `x`.
    pub(super) fn union(&mut self, locals: &[Local], more: &[Element], x: Option<&Element>) -> Pulled<Vec<Element>> {
        let mut all: Vec<Element> = Vec::new();
        for element in locals.iter().flat_map(|l| &l.reads).chain(more) {
            if !all.contains(element) {
                all.push(element.clone());
            }
        }
        let mut next = 0;
        while next < all.len() {
            let element = all[next].clone();
            next += 1;
            if self.moving_values(element.site) {
                for parent in self.parents(&element)? {
                    if !all.contains(&parent) {
                        all.push(parent);
                    }
                }
            }
        }
        all.retain(|e| Some(e) != x);
        Ok(all)
    }

    /// The elements that an element's coefficients and values depend on.
    pub(super) fn parents(&mut self, element: &Element) -> Pulled<Vec<Element>> {
        let inside = |l: &Factor, e: &Element| {
            l.loops.iter().zip(&e.at).all(|(&(low, high), &a)| match a {
                Atom::Int(i) => int(low) <= i && i < int(high),
                _ => {
                    let (base, offset) = self.pull.affine(a);
                    match base.and_then(|v| self.pull.ranges.get(&v)) {
                        Some(&n) => int(low) <= offset && offset + int(n) <= int(high),
                        None => true,
                    }
                }
            })
        };
        let links = self.links[element.site].clone();
        let mut fitting = links.iter().filter(|l| inside(l, element));
        let Some(link) = fitting.next() else {
            return Err(super::pull::fail("the parents of a variable cannot be told apart"));
        };
        let several = fitting.next().is_some();
        if several {
            return Err(super::pull::fail("the parents of a variable that is looked up cannot be told apart"));
        }
        let at: Vec<Option<Atom>> = element.at.iter().map(|&a| Some(a)).collect();
        let mut elements = self.place(link, &at)?;
        elements.remove(0);
        elements.retain(|e| e != element);
        Ok(elements)
    }

    /// Sums an element out of the factors that read it.
    pub(super) fn reduce(&mut self, x: &Element, locals: Vec<Local>) -> Pulled<Vec<Local>> {
        if locals.is_empty() {
            return Ok(Vec::new());
        }
        for local in &locals {
            self.check_joint(local)?;
        }
        match self.semiring {
            Semiring::LogSum => Ok(vec![self.reduce_joined(x, locals, &[])?]),
            Semiring::Expectation => {
                let parents = self.parents(x)?;
                let mut sizes = Vec::new();
                for local in &locals {
                    let own = self.union(std::slice::from_ref(local), &parents, Some(x))?;
                    sizes.push(self.joint(&own));
                }
                let all = self.union(&locals, &parents, Some(x))?;
                let largest = sizes.iter().copied().max().unwrap_or(1);
                if self.joint(&all) <= largest.saturating_mul(4).max(SMALL) {
                    return Ok(vec![self.reduce_joined(x, locals, &parents)?]);
                }
                let mut out = Vec::new();
                for local in locals {
                    out.push(self.reduce_joined(x, vec![local], &parents)?);
                }
                Ok(out)
            }
        }
    }

    fn reduce_joined(&mut self, x: &Element, locals: Vec<Local>, parents: &[Element]) -> Pulled<Local> {
        let scope = self.union(&locals, parents, Some(x))?;
        let mut with = scope.clone();
        with.push(x.clone());
        self.check_table(&with)?;
        // A term that reads few of the elements is tabulated over these first.
        let mut prepared = Vec::new();
        for local in locals {
            let own = self.union(std::slice::from_ref(&local), &[], None)?;
            let term = matches!(&local.body, Body::Factor { factor, .. } if factor.is_term());
            if term && self.joint(&own) < self.joint(&with) && self.joint(&with) > SMALL {
                prepared.push(self.tabulate(&[local], &own)?);
            } else {
                prepared.push(local);
            }
        }
        let (indices, mark) = self.open_elements(&scope)?;
        let value = self.summed(x, &prepared)?;
        self.shut(mark);
        let table = self.close(indices, value, Collector::Collect);
        Ok(Local { reads: scope, body: Body::Table { table, prefix: Vec::new() } })
    }

    /// The sum over the values of `x`, all other elements being assigned.
    pub(super) fn summed(&mut self, x: &Element, locals: &[Local]) -> Pulled<Atom> {
        let n = self.variables[x.site].support();
        let mark = self.held.len();
        let indices = self.open(&[n]);
        let l: Atom = indices[0].0.into();
        self.assign(x, l)?;
        let value = self.sum_of(locals)?;
        match self.semiring {
            Semiring::LogSum => {
                self.shut(mark);
                let all = self.close(indices, value, Collector::Collect);
                Ok(self.log_sum(all, n))
            }
            Semiring::Expectation => {
                let part = self.weighed(x, l, value)?;
                self.shut(mark);
                Ok(self.close_sum(indices, part))
            }
        }
    }

    /// `primal · value + stopped · stop(value)` at position `l` of `x`.
    pub(super) fn weighed(&mut self, x: &Element, l: Atom, value: Atom) -> Pulled<Atom> {
        let (primal, stopped) = self.coefficients(x, l)?;
        let mut part: Option<Atom> = None;
        if let Some(c) = primal {
            part = Some(self.weighted(c, value));
        }
        if let Some(c) = stopped {
            let held = self.pull.op(Op::Stop, &[value]);
            let product = self.weighted(c, held);
            part = Some(match part {
                None => product,
                Some(sum) => self.pull.op(Op::Add, &[sum, product]),
            });
        }
        Ok(part.unwrap_or(Atom::Real(0.0)))
    }

    /// `weight · value`, zero where the weight is zero and the value is not finite.
    pub(super) fn weighted(&mut self, weight: Atom, value: Atom) -> Atom {
        if weight == Atom::Real(1.0) {
            return value;
        }
        let magnitude = self.pull.op(Op::Abs, &[value]);
        let finite = self.pull.op(Op::Lt, &[magnitude, Atom::Real(f64::INFINITY)]);
        let wild = self.pull.op(Op::Not, &[finite]);
        let none = self.pull.op(Op::Eq, &[weight, Atom::Real(0.0)]);
        let void = self.pull.op(Op::And, &[wild, none]);
        let safe = self.pull.op(Op::Select, &[void, Atom::Real(0.0), value]);
        self.pull.op(Op::Mul, &[weight, safe])
    }

    /// `log Σ exp` of an array of `n`: -infinity if all are, with derivative zero there.
    fn log_sum(&mut self, all: Atom, n: usize) -> Atom {
        let top = self.fold(n, Collector::Max, |e, i| e.pull.op(Op::Read, &[all, i]));
        let top = self.pull.op(Op::Stop, &[top]);
        let top = self.pull.op(Op::Max, &[top, Atom::Real(-1e300)]);
        let top = self.pull.op(Op::Min, &[top, Atom::Real(1e300)]);
        let sum = self.fold(n, Collector::Sum { keep: Vec::new() }, |e, i| {
            let a = e.pull.op(Op::Read, &[all, i]);
            let d = e.pull.op(Op::Sub, &[a, top]);
            e.pull.op(Op::Exp, &[d])
        });
        let none = self.pull.op(Op::Eq, &[sum, Atom::Real(0.0)]);
        let safe = self.pull.op(Op::Select, &[none, Atom::Real(1.0), sum]);
        let log = self.pull.op(Op::Log, &[safe]);
        let value = self.pull.op(Op::Add, &[top, log]);
        self.pull.op(Op::Select, &[none, Atom::Real(f64::NEG_INFINITY), value])
    }

    fn fold(&mut self, n: usize, collector: Collector, body: impl FnOnce(&mut Self, Atom) -> Atom) -> Atom {
        let indices = self.open(&[n]);
        let value = body(self, indices[0].0.into());
        self.close(indices, value, collector)
    }
}
