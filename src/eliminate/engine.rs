//! The engine: factors over random variables with finite support, and the order in which the variables are summed out.
//!
//! Expectations (`by` a strategy that calls its continuation several times) and densities (`log Σ exp` of log factors) are
//! one elimination: factors are *added*, and a variable is summed out of those that read it, by `Σ_v c(v)·F(v)` or by
//! `log Σ_v exp F(v)`. For expectations each variable's coefficients sum to what the strategy says of a constant, so factors
//! that do not read it are untouched, and children must go before parents; for densities any order is right.
//!
//! What is eliminated at once is a *unit*: a variable (or a part of it, where an axis has been written out) with all its
//! elements, either element by element ([`super::plate`]) or along a time axis with the units it is tied to
//! ([`super::chain`]).

use super::factor::{Factor, Index, Read, Source};
use super::pull::{Element, Interrupt, Pull, Pulled, Task, fail};
use super::variable::{Variable, int};
use crate::diagnostic::{Diagnostic, Label};
use crate::ir::core::{Atom, Program, Stmt};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Semiring {
    Expectation,
    LogSum,
}

/// A variable, with the constant index of each axis that has been written out.
pub(super) type Unit = (usize, Vec<Option<i64>>);

/// Axes of at most this many elements may be written out.
const WRITTEN: usize = 64;
/// Most factors that writing out may make.
const FACTORS: usize = 20_000;

pub(crate) struct Engine<'a> {
    pub(super) pull: Pull<'a>,
    pub(super) semiring: Semiring,
    pub(super) variables: &'a [Variable],
    /// Extents of the loops around each variable.
    pub(super) shapes: Vec<Vec<usize>>,
    /// Conditions under which each variable's sample statement is reached.
    pub(super) guards: Vec<Vec<(Atom, bool)>>,
    /// Where each variable's coefficients read others.
    pub(super) links: Vec<Vec<Factor>>,
    pub(super) factors: Vec<Rc<Factor>>,
    /// Axes that are written out.
    written: Vec<Vec<bool>>,
    /// Positions of the elements assigned now.
    pub(super) held: Vec<(Element, Atom)>,
    /// A variable that is not eliminated ([`super::results`]).
    pub(super) kept: Option<usize>,
}

impl Factor {
    pub(super) fn is_term(&self) -> bool {
        matches!(self.source, Source::Terms(_))
    }
}

impl<'a> Engine<'a> {
    pub(crate) fn new(
        program: &'a mut Program,
        stmts: &[Stmt],
        variables: &'a [Variable],
        tainted: HashSet<crate::ir::core::Var>,
        semiring: Semiring,
    ) -> Engine<'a> {
        let mut pull = Pull::new(program, stmts, tainted);
        pull.site_types = variables.iter().map(|v| v.types.clone()).collect();
        pull.guards_logs = semiring == Semiring::LogSum;
        for (k, variable) in variables.iter().enumerate() {
            for (position, &r) in variable.results.iter().enumerate() {
                pull.site_of.insert(r, (k, position));
            }
        }
        let mut shapes = Vec::new();
        let mut guards = Vec::new();
        for variable in variables {
            let path = super::tree::find(stmts, variable.results[0]).unwrap_or_default();
            shapes.push(super::tree::loops_around(stmts, &path).iter().map(|l| l.extent).collect::<Vec<_>>());
            guards.push(super::tree::conditions_around(stmts, &path));
        }
        let written = shapes.iter().map(|s| vec![false; s.len()]).collect();
        Engine {
            pull,
            semiring,
            variables,
            shapes,
            guards,
            links: Vec::new(),
            factors: Vec::new(),
            written,
            held: Vec::new(),
            kept: None,
        }
    }

    pub(super) fn expects(&self) -> bool {
        self.semiring == Semiring::Expectation
    }

    /// Eliminates all variables from the terms of `tasks`: new statements with the terms that remain.
    pub(crate) fn run(&mut self, tasks: Vec<Task>) -> Pulled<Vec<Stmt>> {
        self.eliminate_all(tasks)?;
        for factor in std::mem::take(&mut self.factors) {
            let at = vec![None; factor.loops.len()];
            let value = self.evaluate(&factor, &at, &[])?;
            self.pull.push(Stmt::Term(value));
        }
        Ok(std::mem::take(&mut self.pull.scopes[0].stmts))
    }

    /// Leaves factors that read nothing but the variable that is kept.
    pub(super) fn eliminate_all(&mut self, tasks: Vec<Task>) -> Pulled<()> {
        for variable in 0..self.variables.len() {
            let links = self.links_of(variable)?;
            self.links.push(links);
        }
        for task in tasks {
            self.add_task(task)?;
        }
        if !self.expects() {
            for variable in 0..self.variables.len() {
                self.add_absence(variable);
            }
            self.scatter_all()?;
        }
        loop {
            let remaining = self.remaining();
            if remaining.is_empty() {
                return Ok(());
            }
            self.advance(&remaining)?;
            debug_assert!(self.pull.scopes.len() == 1 && self.held.is_empty());
        }
    }

    /// Factors of a place, its loops cut where asked.
    fn add_task(&mut self, task: Task) -> Pulled<()> {
        let mut tasks = vec![task];
        while let Some(task) = tasks.pop() {
            if self.factors.len() > FACTORS {
                return Err(fail("a term reads a different set of elements at each of too many iterations"));
            }
            match self.factors_of(&task) {
                Ok(factors) => self.factors.extend(factors.into_iter().map(Rc::new)),
                Err(Interrupt::Split { index, at }) => {
                    let Some((first, second)) = self.pull.cut(&task.loops, index, at) else {
                        return Err(fail("a term reads pieces of one address at indices that cannot be told apart"));
                    };
                    tasks.push(Task { loops: second, ..task.clone() });
                    tasks.push(Task { loops: first, ..task });
                }
                Err(Interrupt::Unroll | Interrupt::Cut { .. }) => {
                    return Err(fail("a term reads elements of a site in a way that cannot be followed"));
                }
                Err(other) => return Err(other),
            }
        }
        Ok(())
    }

    fn add_absence(&mut self, variable: usize) {
        if self.guards[variable].is_empty() {
            return;
        }
        for link in self.links[variable].clone() {
            self.factors.push(Rc::new(Factor { source: Source::Absence(variable), ..link }));
        }
    }

    pub(super) fn unit_of(&self, read: &Read) -> Unit {
        let fixed = read
            .at
            .iter()
            .zip(&self.written[read.variable])
            .map(|(&index, &written)| match index {
                Index::Const(c) if written => Some(c),
                _ => None,
            })
            .collect();
        (read.variable, fixed)
    }

    /// Axes of a unit along which it has elements.
    pub(super) fn axes(&self, unit: &Unit) -> Vec<usize> {
        (0..unit.1.len()).filter(|&d| unit.1[d].is_none()).collect()
    }

    /// Units that some factor reads and, for expectations, their ancestors; in order.
    fn remaining(&self) -> Vec<Unit> {
        let mut units: BTreeSet<Unit> = self.factors.iter().flat_map(|f| &f.reads).map(|r| self.unit_of(r)).collect();
        if self.expects() {
            let mut todo: Vec<Unit> = units.iter().cloned().collect();
            while let Some(unit) = todo.pop() {
                for parent in self.parent_units(&unit) {
                    if units.insert(parent.clone()) {
                        todo.push(parent);
                    }
                }
            }
        }
        units.into_iter().filter(|u| self.kept != Some(u.0)).collect()
    }

    /// Links of a unit's own elements.
    pub(super) fn own_links(&self, unit: &Unit) -> impl Iterator<Item = &Factor> {
        let unit = unit.clone();
        self.links[unit.0].iter().filter(move |l| self.unit_of(&l.reads[0]) == unit)
    }

    fn parent_units(&self, unit: &Unit) -> BTreeSet<Unit> {
        self.own_links(unit).flat_map(|l| &l.reads[1..]).map(|r| self.unit_of(r)).collect()
    }

    /// Eliminates one unit or a chain of them.
    fn advance(&mut self, remaining: &[Unit]) -> Pulled<()> {
        let mut users: HashMap<Unit, Vec<usize>> = HashMap::new();
        for (k, factor) in self.factors.iter().enumerate() {
            let units: HashSet<Unit> = factor.reads.iter().map(|r| self.unit_of(r)).collect();
            for unit in units {
                users.entry(unit).or_default().push(k);
            }
        }
        let empty = Vec::new();
        let mut best: Option<(usize, &Unit)> = None;
        let with_children: HashSet<Unit> =
            if self.expects() { remaining.iter().flat_map(|u| self.parent_units(u)).collect() } else { HashSet::new() };
        // Later variables first, where nothing else decides.
        for unit in remaining.iter().rev() {
            if self.expects() {
                if !with_children.contains(unit) {
                    best = Some((0, unit));
                    break;
                }
                continue;
            }
            if let Some(cost) = self.plate_cost(unit, users.get(unit).unwrap_or(&empty))
                && best.is_none_or(|(c, _)| cost < c)
            {
                best = Some((cost, unit));
            }
        }
        let mut refused = None;
        if let Some((_, unit)) = best {
            let unit = unit.clone();
            let users = users.get(&unit).cloned().unwrap_or_default();
            match self.eliminate_plate(&unit, &users) {
                Ok(()) => return Ok(()),
                Err(Interrupt::Fail(d)) if d.code == "E0314" => {
                    refused = Some(d);
                    self.reset();
                }
                Err(other) => return Err(other),
            }
        }
        for unit in remaining.iter().rev() {
            match self.eliminate_chain(unit, remaining) {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(Interrupt::Fail(d)) => {
                    refused = Some(refused.unwrap_or(d));
                    self.reset();
                }
                Err(other) => return Err(other),
            }
        }
        let none = fail("the enumerated sites depend on each other in a way that has no order of elimination");
        let last = match self.write_out(remaining) {
            Ok(true) => return Ok(()),
            Ok(false) => none,
            Err(other) => other,
        };
        Err(refused.map_or(last, Interrupt::Fail))
    }

    /// Forgets an elimination that was given up; what it has put in the top list is not used.
    fn reset(&mut self) {
        self.pull.scopes.truncate(1);
        self.held.clear();
        self.pull.shots.clear();
        self.pull.assigned.clear();
        self.pull.placeholders.clear();
        self.pull.recording = false;
    }

    /// Puts an elimination's outcome in the place of the factors it used.
    pub(super) fn replace(&mut self, used: &[usize], new: Vec<Factor>) {
        let used: HashSet<usize> = used.iter().copied().collect();
        let mut k = 0;
        self.factors.retain(|_| {
            k += 1;
            !used.contains(&(k - 1))
        });
        self.factors.extend(new.into_iter().map(Rc::new));
    }

    /// Writes out the shortest axis that some factor varies along: its elements become units of their own. False if there
    /// is none.
    fn write_out(&mut self, remaining: &[Unit]) -> Pulled<bool> {
        let mut best: Option<(usize, usize, usize)> = None;
        for unit in remaining {
            for d in self.axes(unit) {
                if self.written[unit.0][d] {
                    continue;
                }
                let n = self.shapes[unit.0][d];
                if n <= WRITTEN && best.is_none_or(|b| n < b.0) {
                    best = Some((n, unit.0, d));
                }
            }
        }
        let Some((_, variable, axis)) = best else { return Ok(false) };
        self.written[variable][axis] = true;
        let mut again = Vec::new();
        let mut kept = Vec::new();
        for mut factor in std::mem::take(&mut self.factors) {
            let looked = |r: &Read| r.variable == variable && matches!(r.at[axis], Index::Lookup(_));
            if factor.reads.iter().any(looked) && (!factor.is_term() || self.width(&factor, variable, axis) > WRITTEN) {
                factor = Rc::new(self.scatter(&factor)?);
            }
            match self.apart(&factor, variable, axis)? {
                None => kept.push(factor),
                Some(pieces) => again.extend(pieces),
            }
        }
        self.factors = kept;
        for piece in again {
            match piece.source {
                Source::Terms(task) => self.add_task(task)?,
                _ => self.factors.push(Rc::new(piece)),
            }
            if self.factors.len() > FACTORS {
                return Err(fail("too many elements would have to be written out"));
            }
        }
        for v in 0..self.links.len() {
            let mut links = Vec::new();
            for link in std::mem::take(&mut self.links[v]) {
                let Some(pieces) = self.apart(&link, variable, axis)? else {
                    links.push(link);
                    continue;
                };
                let indices = self.pull.defs.indices(self.variables[v].results[0]);
                for piece in pieces {
                    // At one iteration an index that was looked up is a constant.
                    let loops = indices.iter().zip(&piece.loops).map(|(&i, &(low, high))| (i, low, high)).collect();
                    links.extend(if piece.has_lookup() { self.links_in(v, loops)? } else { vec![piece] });
                }
            }
            self.links[v] = links;
        }
        Ok(true)
    }

    /// Loops that reads of `variable` follow along `axis`.
    fn loops_along(&self, factor: &Factor, variable: usize, axis: usize) -> BTreeSet<usize> {
        let mut loops = BTreeSet::new();
        for read in factor.reads.iter().filter(|r| r.variable == variable) {
            match read.at[axis] {
                Index::Const(_) => {}
                Index::Loop { number, .. } => {
                    loops.insert(number);
                }
                Index::Lookup(k) => loops.extend(factor.follows.get(k).into_iter().flatten()),
            }
        }
        loops
    }

    /// Number of pieces that [`Engine::apart`] would make.
    fn width(&self, factor: &Factor, variable: usize, axis: usize) -> usize {
        let loops = self.loops_along(factor, variable, axis);
        loops.iter().map(|&k| factor.loops[k].1 - factor.loops[k].0).fold(1, usize::saturating_mul)
    }

    /// A factor by single iterations of every loop that reads of `variable` follow along `axis`; `None` if there is none.
    fn apart(&self, factor: &Factor, variable: usize, axis: usize) -> Pulled<Option<Vec<Factor>>> {
        let loops = self.loops_along(factor, variable, axis);
        if loops.is_empty() {
            return Ok(None);
        }
        let mut pieces = vec![factor.clone()];
        for k in loops {
            let (low, high) = factor.loops[k];
            pieces = pieces.iter().flat_map(|p| (low..high).map(move |i| p.restricted(k, i, i + 1))).collect();
            if pieces.len() > FACTORS {
                return Err(fail("too many elements would have to be written out"));
            }
        }
        Ok(Some(pieces))
    }

    pub(super) fn too_large(&self, elements: &[Element], limit: usize) -> Interrupt {
        let count = self.supports(elements).iter().fold(1_u128, |a, &b| a.saturating_mul(b as u128));
        let mut d = Diagnostic::bare("E0314", format!("{count} joint values of enumerated sites would be needed"))
            .note(format!("a term or a table depends on all of these at once; the most is {limit}"))
            .fix(
                "use a one-shot strategy (`by reinforce`) for some of them, or write the term as a sum of smaller ones",
            );
        // One statement may be several variables: a loop's first iterations are written out.
        let mut named: Vec<(&Variable, usize)> = Vec::new();
        for element in elements {
            let variable = &self.variables[element.site];
            match named.iter_mut().find(|(v, _)| v.span == variable.span && v.support() == variable.support()) {
                Some((_, times)) => *times += 1,
                None => named.push((variable, 1)),
            }
        }
        named.sort_by_key(|(v, _)| v.span.start);
        for (k, (variable, times)) in named.into_iter().take(6).enumerate() {
            let text = match times {
                1 => format!("`{}` has {} values", variable.address, variable.support()),
                n => format!("{n} elements of `{}`, each of {} values", variable.address, variable.support()),
            };
            if k == 0 {
                d.primary = Some(Label { span: variable.span, text });
            } else {
                d = d.also(variable.span, text);
            }
        }
        Interrupt::Fail(Box::new(d))
    }

    /// The range of an index over a factor's loops.
    pub(super) fn range(&self, factor: &Factor, index: Index) -> Option<(i64, i64)> {
        match index {
            Index::Const(c) => Some((c, c + 1)),
            Index::Loop { number, offset } => {
                let (low, high) = factor.loops[number];
                Some((int(low) + offset, int(high) + offset))
            }
            Index::Lookup(_) => None,
        }
    }
}
