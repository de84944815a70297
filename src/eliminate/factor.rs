//! Factors: what is summed or multiplied, over ranges of formal loops, each reading some elements of random variables at
//! indices that are constants, loop indices plus a constant, or looked up. A factor is a term of the program, or a table
//! that an earlier elimination made.

use super::engine::Engine;
use super::pull::{Element, Env, Interrupt, Loops, Pulled, Scope, Task, fail};
use super::variable::int;
use crate::ir::core::{Atom, Stmt, Type, Var};
use crate::ir::op::Op;
use std::collections::{BTreeSet, HashSet};
use std::rc::Rc;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub(super) enum Index {
    Const(i64),
    /// The loop's absolute index plus an offset.
    Loop {
        number: usize,
        offset: i64,
    },
    /// Looked up: number in [`Factor::lookups`].
    Lookup(usize),
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Read {
    pub variable: usize,
    pub at: Vec<Index>,
}

#[derive(Clone, Debug)]
pub(super) enum Source {
    /// Terms of the program; the task's loops are the factor's.
    Terms(Task),
    /// `table[loops without a constant range − low…, positions of the reads…]`.
    Table { table: Atom, low: Vec<usize> },
    /// What keeps a variable whose sample statement is not reached at its first value (in log space).
    Absence(usize),
    /// Not a value: where a variable's coefficients and values read other elements; its own element is the first read.
    Link(usize),
}

#[derive(Clone, Debug)]
pub(super) struct Factor {
    /// Ranges `low..high` of the formal loops.
    pub loops: Vec<(usize, usize)>,
    pub reads: Vec<Read>,
    /// For a table: arrays of indices by loop, as the table's first axes. For terms: found by evaluation.
    pub lookups: Vec<Option<Atom>>,
    /// By lookup: the loops that its index follows.
    pub follows: Vec<BTreeSet<usize>>,
    /// Whether the value depends on each loop other than through its elements.
    pub by_loop: Vec<bool>,
    pub source: Source,
}

impl Factor {
    pub(super) fn has_lookup(&self) -> bool {
        self.reads.iter().any(|r| r.at.iter().any(|i| matches!(i, Index::Lookup(_))))
    }

    /// Loops that some read's index follows.
    pub(super) fn indexed(&self) -> Vec<bool> {
        let mut used = vec![self.has_lookup(); self.loops.len()];
        for index in self.reads.iter().flat_map(|r| &r.at) {
            if let Index::Loop { number, .. } = *index {
                used[number] = true;
            }
        }
        used
    }

    /// With loop `k` cut to a range; a loop of one iteration is a constant in the indices.
    pub(super) fn restricted(&self, k: usize, low: usize, high: usize) -> Factor {
        let mut new = self.clone();
        new.loops[k] = (low, high);
        if let Source::Terms(task) = &mut new.source {
            task.loops[k].1 = low;
            task.loops[k].2 = high;
        }
        if high - low == 1 {
            for index in new.reads.iter_mut().flat_map(|r| r.at.iter_mut()) {
                if let Index::Loop { number, offset } = *index
                    && number == k
                {
                    *index = Index::Const(int(low) + offset);
                }
            }
        }
        new
    }
}

/// What an evaluation with placeholders found.
pub(super) struct Found {
    pub reads: Vec<Read>,
    /// By lookup: the loops that its index follows.
    pub follows: Vec<BTreeSet<usize>>,
    pub by_loop: Vec<bool>,
}

impl Engine<'_> {
    /// Evaluates with placeholders for elements, under fresh loops, and tells what was read.
    pub(super) fn find_reads(
        &mut self,
        loops: &[(Var, usize, usize)],
        eval: &mut dyn FnMut(&mut Self, &Env) -> Pulled<Vec<Atom>>,
    ) -> Pulled<Found> {
        let task = Task { loops: loops.to_vec(), conditions: Vec::new(), terms: Vec::new() };
        let depth = self.pull.scopes.len();
        let (_, env) = self.pull.open_task(&task);
        self.pull.assigned.clear();
        self.pull.placeholders.clear();
        self.pull.recording = true;
        let values = eval(self, &env);
        self.pull.recording = false;
        self.pull.placeholders.clear();
        let assigned = std::mem::take(&mut self.pull.assigned);
        let scope = self.pull.scopes.pop().unwrap_or_default();
        self.pull.scopes.truncate(depth);
        let values = values?;
        let indices = self.pull.task_indices.clone();
        let mut lookups: Vec<Atom> = Vec::new();
        let mut reads = Vec::new();
        for (element, _) in &assigned {
            let mut at = Vec::new();
            for &a in &element.at {
                at.push(match (self.pull.affine(a), a) {
                    (_, Atom::Int(c)) => Index::Const(c),
                    ((Some(v), offset), _) if indices.contains(&v) => {
                        let number = indices.iter().position(|&i| i == v).unwrap_or(0);
                        Index::Loop { number, offset: offset - int(loops[number].1) }
                    }
                    _ => Index::Lookup(match lookups.iter().position(|&l| l == a) {
                        Some(k) => k,
                        None => {
                            lookups.push(a);
                            lookups.len() - 1
                        }
                    }),
                });
            }
            reads.push(Read { variable: element.site, at });
        }
        let by_loop = indices.iter().map(|&v| depends(&scope, v, &values)).collect();
        let follows = lookups
            .iter()
            .map(|&a| (0..indices.len()).filter(|&k| depends(&scope, indices[k], &[a])).collect())
            .collect();
        Ok(Found { reads, follows, by_loop })
    }

    /// The factors of a place: one per set of elements that its terms read.
    pub(super) fn factors_of(&mut self, task: &Task) -> Pulled<Vec<Factor>> {
        let mut groups: Vec<(HashSet<Read>, Vec<Atom>)> = Vec::new();
        for &term in &task.terms {
            let single = Task { terms: vec![term], ..task.clone() };
            let found = self.find_reads(&task.loops, &mut |e, env| Ok(vec![e.terms_value(&single, env)?]))?;
            let set: HashSet<Read> = found.reads.iter().cloned().collect();
            // Lookups are numbered by term: terms with one are kept apart.
            match groups.iter_mut().find(|g| g.0 == set && found.follows.is_empty()) {
                Some(group) => group.1.push(term),
                None => groups.push((set, vec![term])),
            }
        }
        let mut factors = Vec::new();
        for (_, terms) in groups {
            let own = Task { terms, ..task.clone() };
            let found = self.find_reads(&task.loops, &mut |e, env| Ok(vec![e.terms_value(&own, env)?]))?;
            factors.push(Factor {
                loops: task.loops.iter().map(|&(_, low, high)| (low, high)).collect(),
                reads: found.reads,
                lookups: vec![None; found.follows.len()],
                follows: found.follows,
                by_loop: found.by_loop,
                source: Source::Terms(own),
            });
        }
        Ok(factors)
    }

    pub(super) fn terms_value(&mut self, task: &Task, env: &Env) -> Pulled<Atom> {
        self.pull.guarded(task, env, |p, env| {
            let mut total: Option<Atom> = None;
            for &term in &task.terms {
                let value = p.atom(term, env)?;
                total = Some(match total {
                    None => value,
                    Some(sum) => p.op(Op::Add, &[sum, value]),
                });
            }
            Ok(total.unwrap_or(Atom::Real(0.0)))
        })
    }

    /// Where a variable's coefficients and values read other elements, by pieces of its loops.
    pub(super) fn links_of(&mut self, variable: usize) -> Pulled<Vec<Factor>> {
        let shape = self.shapes[variable].clone();
        let indices = self.pull.defs.indices(self.variables[variable].results[0]);
        self.links_in(variable, indices.iter().zip(&shape).map(|(&v, &n)| (v, 0, n)).collect())
    }

    /// The same in a part of its loops.
    pub(super) fn links_in(&mut self, variable: usize, piece: Loops) -> Pulled<Vec<Factor>> {
        let mut pieces = vec![piece];
        let mut links = Vec::new();
        while let Some(piece) = pieces.pop() {
            let found = self.find_reads(&piece, &mut |e, env| e.link_atoms(variable, env));
            let found = match found {
                Ok(found) => found,
                Err(Interrupt::Split { index, at }) => {
                    let Some((first, second)) = self.pull.cut(&piece, index, at) else {
                        return Err(fail("the parents of a variable cannot be told apart"));
                    };
                    pieces.extend([first, second]);
                    continue;
                }
                Err(other) => return Err(other),
            };
            let own = piece.iter().enumerate().map(|(number, &(_, low, high))| {
                if high - low == 1 { Index::Const(int(low)) } else { Index::Loop { number, offset: 0 } }
            });
            let mut reads = vec![Read { variable, at: own.collect() }];
            reads.extend(found.reads);
            links.push(Factor {
                loops: piece.iter().map(|&(_, low, high)| (low, high)).collect(),
                reads,
                lookups: vec![None; found.follows.len()],
                follows: found.follows,
                by_loop: found.by_loop,
                source: Source::Link(variable),
            });
        }
        Ok(links)
    }

    /// Everything that a variable's coefficients, values and presence depend on.
    pub(super) fn link_atoms(&mut self, variable: usize, env: &Env) -> Pulled<Vec<Atom>> {
        let indices = self.pull.defs.indices(self.variables[variable].results[0]);
        let at = indices.iter().map(|i| env.get(i).copied().unwrap_or((*i).into())).collect();
        let element = Element { site: variable, at };
        let l = self.pull.program.new_var(Type::INT, None);
        self.pull.ranges.insert(l, self.variables[variable].support());
        self.pull.placeholders.insert(l);
        let mut atoms = Vec::new();
        if self.expects() {
            let (primal, stopped) = self.coefficients(&element, l.into())?;
            atoms.extend(primal);
            atoms.extend(stopped);
        } else {
            let guard = self.guards[variable].clone();
            atoms.push(self.condition(&guard, env)?);
        }
        if self.moving_values(variable) {
            let mark = self.pull.assigned.len();
            self.assign(&element, l.into())?;
            // The assignment itself is no read.
            let own = self.pull.assigned.iter().skip(mark).position(|(e, _)| *e == element);
            if let Some(k) = own {
                self.pull.assigned.remove(mark + k);
            }
            self.held.pop();
            self.end_shots();
        }
        Ok(atoms)
    }

    /// Original loop indices of a factor's source.
    fn source_indices(&self, source: &Source) -> Vec<Var> {
        match source {
            Source::Terms(task) => task.loops.iter().map(|l| l.0).collect(),
            Source::Absence(v) | Source::Link(v) => self.pull.defs.indices(self.variables[*v].results[0]),
            Source::Table { .. } => Vec::new(),
        }
    }

    fn source_env(&self, source: &Source, at: &[Atom]) -> Env {
        self.source_indices(source).into_iter().zip(at.iter().copied()).collect()
    }

    /// The elements a factor reads at absolute loop indices; an index that is `None` is not followed by any read.
    pub(super) fn place(&mut self, factor: &Factor, at: &[Option<Atom>]) -> Pulled<Vec<Element>> {
        if factor.has_lookup() && !matches!(factor.source, Source::Table { .. }) {
            return self.locate(factor, at);
        }
        let mut elements = Vec::new();
        for read in &factor.reads {
            let mut indices = Vec::new();
            for &index in &read.at {
                indices.push(match index {
                    Index::Const(c) => Atom::Int(c),
                    Index::Loop { number, offset } => match at[number] {
                        Some(a) => self.pull.op(Op::IAdd, &[a, Atom::Int(offset)]),
                        None => return Err(fail("an element follows a loop that is summed over")),
                    },
                    Index::Lookup(k) => {
                        let Some(Some(array)) = factor.lookups.get(k).copied() else {
                            return Err(fail("an element is looked up where its index is not known"));
                        };
                        let mut args = vec![array];
                        args.extend(self.table_indices(factor, at)?);
                        self.pull.op(Op::Read, &args)
                    }
                });
            }
            elements.push(Element { site: read.variable, at: indices });
        }
        Ok(elements)
    }

    /// Loop indices as a table's first axes.
    fn table_indices(&mut self, factor: &Factor, at: &[Option<Atom>]) -> Pulled<Vec<Atom>> {
        let Source::Table { low, .. } = &factor.source else { return Ok(Vec::new()) };
        let mut out = Vec::new();
        for (a, &low) in at.iter().zip(low) {
            let Some(a) = *a else { return Err(fail("a table is read at a loop that is not open")) };
            out.push(self.pull.op(Op::IAdd, &[a, Atom::Int(-int(low))]));
        }
        Ok(out)
    }

    /// As [`Engine::place`], by evaluating with placeholders; what does not depend on them stays in the open scope.
    fn locate(&mut self, factor: &Factor, at: &[Option<Atom>]) -> Pulled<Vec<Element>> {
        let Some(at) = at.iter().copied().collect::<Option<Vec<Atom>>>() else {
            return Err(fail("an element is looked up by a loop that is summed over"));
        };
        let env = self.source_env(&factor.source, &at);
        let assigned = std::mem::take(&mut self.pull.assigned);
        let placeholders = std::mem::take(&mut self.pull.placeholders);
        self.pull.scopes.push(Scope::default());
        self.pull.recording = true;
        let done = match &factor.source {
            Source::Terms(task) => self.terms_value(task, &env).map(|_| ()),
            Source::Link(v) | Source::Absence(v) => self.link_atoms(*v, &env).map(|_| ()),
            Source::Table { .. } => Ok(()),
        };
        self.pull.recording = false;
        let scope = self.pull.scopes.pop().unwrap_or_default();
        let mut marked = std::mem::replace(&mut self.pull.placeholders, placeholders);
        let found = std::mem::replace(&mut self.pull.assigned, assigned);
        done?;
        for stmt in scope.stmts {
            if stmt.free_vars().iter().any(|v| marked.contains(v)) {
                marked.extend(stmt.results());
                continue;
            }
            if let Stmt::Op { result, op, args } = &stmt {
                self.pull.known(*op, args, (*result).into());
            }
            self.pull.push(stmt);
        }
        let mut elements: Vec<Element> = found.into_iter().map(|(e, _)| e).collect();
        if let Source::Link(v) = factor.source {
            elements.insert(0, Element { site: v, at });
        }
        let same = elements.len() == factor.reads.len()
            && elements.iter().zip(&factor.reads).all(|(e, r)| e.site == r.variable);
        if !same {
            return Err(fail("a term reads other elements at some of its iterations than at others"));
        }
        Ok(elements)
    }

    /// The value of a factor at absolute loop indices, under assigned elements; loops that are `None` are summed over.
    pub(super) fn evaluate(&mut self, factor: &Rc<Factor>, at: &[Option<Atom>], reads: &[Element]) -> Pulled<Atom> {
        // A loop of one iteration is a constant, so that elements are recognised.
        let single = |k: usize| factor.loops[k].1 - factor.loops[k].0 == 1;
        let at: Vec<Option<Atom>> =
            (0..at.len()).map(|k| if single(k) { Some(Atom::Int(int(factor.loops[k].0))) } else { at[k] }).collect();
        let free: Vec<usize> = (0..at.len()).filter(|&k| at[k].is_none()).collect();
        if free.is_empty() {
            let at: Vec<Atom> = at.iter().copied().flatten().collect();
            return self.value_at(factor, &at, reads);
        }
        let extents: Vec<usize> = free.iter().map(|&k| factor.loops[k].1 - factor.loops[k].0).collect();
        let indices = self.open(&extents);
        let mut all = at.clone();
        for (&k, &(v, _)) in free.iter().zip(&indices) {
            all[k] = Some(self.pull.op(Op::IAdd, &[v.into(), Atom::Int(int(factor.loops[k].0))]));
        }
        let all: Vec<Atom> = all.into_iter().flatten().collect();
        let value = self.value_at(factor, &all, reads)?;
        Ok(self.close_sum(indices, value))
    }

    fn value_at(&mut self, factor: &Factor, at: &[Atom], reads: &[Element]) -> Pulled<Atom> {
        match &factor.source {
            Source::Terms(task) => {
                let env = self.source_env(&factor.source, at);
                self.terms_value(task, &env)
            }
            Source::Absence(v) => {
                let env = self.source_env(&factor.source, at);
                let guard = self.guards[*v].clone();
                let condition = self.condition(&guard, &env)?;
                let own = self.position(&Element { site: *v, at: at.to_vec() })?;
                let first = self.pull.op(Op::IEq, &[own, Atom::Int(0)]);
                let fine = self.pull.op(Op::Or, &[condition, first]);
                Ok(self.pull.op(Op::Select, &[fine, Atom::Real(0.0), Atom::Real(f64::NEG_INFINITY)]))
            }
            Source::Table { table, .. } => {
                let at: Vec<Option<Atom>> = at.iter().map(|&a| Some(a)).collect();
                let mut args = vec![*table];
                args.extend(self.table_indices(factor, &at)?);
                for element in reads {
                    args.push(self.position(element)?);
                }
                if args.len() == 1 {
                    return Ok(*table);
                }
                Ok(self.pull.op(Op::Read, &args))
            }
            Source::Link(_) => Ok(Atom::Real(0.0)),
        }
    }

    /// The conjunction of conditions.
    pub(super) fn condition(&mut self, guard: &[(Atom, bool)], env: &Env) -> Pulled<Atom> {
        let mut all = Atom::Bool(true);
        for &(c, wanted) in guard {
            let mut value = self.pull.atom(c, env)?;
            if !wanted {
                value = self.pull.op(Op::Not, &[value]);
            }
            all = if all == Atom::Bool(true) { value } else { self.pull.op(Op::And, &[all, value]) };
        }
        Ok(all)
    }
}

/// Whether any of `values` depends on `on` through the scope's statements.
fn depends(scope: &Scope, on: Var, values: &[Atom]) -> bool {
    let mut set = HashSet::from([on]);
    for stmt in &scope.stmts {
        if stmt.free_vars().iter().any(|v| set.contains(v)) {
            set.extend(stmt.results());
        }
    }
    values.iter().any(|a| a.var().is_some_and(|v| set.contains(&v)))
}
