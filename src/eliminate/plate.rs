//! Elimination element by element.
//!
//! *Densities*: every factor that reads the unit reads one element of it, at its own loop indices plus constants or at a
//! constant. The elements are cut into boxes in which the same factors take part; in a box each element is summed out of
//! their sum, which leaves a factor over the box. Factors that look elements up are first added up by element
//! (`sum_at`).
//!
//! *Expectations* are linear, so each factor is treated in its own loops, and may look elements up, or read several
//! elements of the unit; where two of them are the same one, the second has the first one's value.

use super::engine::{Engine, Unit};
use super::factor::{Factor, Index, Read, Source};
use super::pull::{Element, Pulled, fail};
use super::step::{Body, Local};
use super::variable::int;
use crate::ir::core::{Atom, Block, Collector, For, Stmt, Type, Var};
use crate::ir::op::Op;
use std::collections::BTreeSet;
use std::rc::Rc;

/// How one loop of a factor follows the place at which it is evaluated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Slot {
    /// The place's axis plus a constant.
    Axis(usize, i64),
    /// The time plus a constant.
    Time(i64),
    Free,
}

/// Most boxes a unit is cut into.
const BOXES: usize = 256;

impl Engine<'_> {
    /// How a factor follows the element read at `read` along `axes`; `None` if another element would vary within one.
    fn fit(&self, factor: &Factor, read: &Read, axes: &[usize]) -> Option<Vec<Slot>> {
        let mut slots = vec![Slot::Free; factor.loops.len()];
        for (p, &d) in axes.iter().enumerate() {
            match read.at[d] {
                Index::Const(_) => {}
                Index::Loop { number, offset } if slots[number] == Slot::Free => {
                    slots[number] = Slot::Axis(p, -offset);
                }
                Index::Loop { .. } | Index::Lookup(_) => return None,
            }
        }
        let fixed = factor.reads.iter().flat_map(|r| &r.at).all(|&i| match i {
            Index::Const(_) => true,
            Index::Loop { number, .. } => slots[number] != Slot::Free,
            Index::Lookup(_) => false,
        });
        fixed.then_some(slots)
    }

    /// Entries of the largest table that eliminating a unit element by element would make; `None` if it cannot be.
    pub(super) fn plate_cost(&self, unit: &Unit, users: &[usize]) -> Option<usize> {
        let axes = self.axes(unit);
        let mut others: BTreeSet<(usize, Vec<String>)> = BTreeSet::new();
        let mut size = self.variables[unit.0].support();
        for &k in users {
            let factor = &self.factors[k];
            let own: Vec<&Read> = factor.reads.iter().filter(|r| self.unit_of(r) == *unit).collect();
            if own.windows(2).any(|w| w[0] != w[1]) {
                return None;
            }
            let slots = self.fit(factor, own[0], &axes)?;
            for read in factor.reads.iter().filter(|r| self.unit_of(r) != *unit) {
                let at = read.at.iter().map(|&i| match i {
                    Index::Loop { number, offset } => format!("{:?} {offset}", slots[number]),
                    other => format!("{other:?}"),
                });
                if others.insert((read.variable, at.collect())) {
                    size = size.saturating_mul(self.variables[read.variable].support());
                }
            }
        }
        Some(size)
    }

    pub(super) fn eliminate_plate(&mut self, unit: &Unit, users: &[usize]) -> Pulled<()> {
        let new = if self.expects() {
            let mut new = Vec::new();
            for &k in users {
                let factor = self.factors[k].clone();
                new.extend(self.expect_unit(unit, &factor)?);
            }
            new
        } else {
            self.sum_boxes(unit, users)?
        };
        self.replace(users, new);
        Ok(())
    }

    /// Densities: box by box.
    fn sum_boxes(&mut self, unit: &Unit, users: &[usize]) -> Pulled<Vec<Factor>> {
        let axes = self.axes(unit);
        let mut members = Vec::new();
        for &k in users {
            let factor = self.factors[k].clone();
            let read = factor.reads.iter().find(|r| self.unit_of(r) == *unit).cloned();
            let Some(read) = read else { continue };
            let Some(slots) = self.fit(&factor, &read, &axes) else {
                return Err(fail("a factor reads a site in a way that cannot be followed"));
            };
            let ranges: Vec<(i64, i64)> =
                axes.iter().map(|&d| self.range(&factor, read.at[d]).unwrap_or((0, 0))).collect();
            members.push((factor, slots, ranges));
        }
        let extents: Vec<usize> = axes.iter().map(|&d| self.shapes[unit.0][d]).collect();
        let ranges: Vec<&Vec<(i64, i64)>> = members.iter().map(|m| &m.2).collect();
        let mut new = Vec::new();
        for cell in boxes(&extents, &ranges)? {
            let mut place = Place::open(self, &cell);
            let mut at = Vec::new();
            let mut p = 0;
            for fixed in &unit.1 {
                at.push(match fixed {
                    Some(c) => Atom::Int(*c),
                    None => {
                        p += 1;
                        place.axes[p - 1]
                    }
                });
            }
            let element = Element { site: unit.0, at };
            let mut locals = Vec::new();
            for (factor, slots, ranges) in &members {
                if covers(ranges, &cell) {
                    locals.push(self.local(factor, slots, &place.axes, None)?);
                }
            }
            let left = self.reduce(&element, locals)?;
            new.extend(self.finish(&mut place, left)?);
        }
        Ok(new)
    }

    /// A factor at a place.
    pub(super) fn local(
        &mut self,
        factor: &Rc<Factor>,
        slots: &[Slot],
        axes: &[Atom],
        time: Option<Atom>,
    ) -> Pulled<Local> {
        let mut at = Vec::new();
        for slot in slots {
            at.push(match *slot {
                Slot::Axis(p, shift) => Some(self.pull.op(Op::IAdd, &[axes[p], Atom::Int(shift)])),
                Slot::Time(shift) => time.map(|t| self.pull.op(Op::IAdd, &[t, Atom::Int(shift)])),
                Slot::Free => None,
            });
        }
        for (k, a) in at.iter_mut().enumerate() {
            let (low, high) = factor.loops[k];
            if high - low == 1 {
                *a = Some(Atom::Int(int(low)));
            }
        }
        let reads = self.place(factor, &at)?;
        Ok(Local { reads, body: Body::Factor { factor: factor.clone(), at } })
    }

    /// Closes a place: what is left there, as factors over it.
    pub(super) fn finish(&mut self, place: &mut Place, left: Vec<Local>) -> Pulled<Vec<Factor>> {
        // All that is left is one table over what it reads, or several where they read different elements.
        let mut groups: Vec<(Vec<Element>, Vec<Local>)> = Vec::new();
        for local in left {
            match groups.iter_mut().find(|g| g.0 == local.reads) {
                Some(group) => group.1.push(local),
                None => groups.push((local.reads.clone(), vec![local])),
            }
        }
        let mut parts: Vec<(Vec<Element>, Atom)> = Vec::new();
        for (reads, locals) in groups {
            let table = self.tabulate(&locals, &reads)?;
            let atom = match (&table.body, reads.is_empty()) {
                (Body::Table { table, prefix }, _) if prefix.is_empty() => *table,
                _ => self.sum_of(&[table])?,
            };
            parts.push((reads, atom));
        }
        let indices = std::mem::take(&mut place.indices);
        let scope = self.pull.scopes.pop().unwrap_or_default();
        let mut factors = Vec::new();
        if indices.is_empty() {
            for stmt in scope.stmts {
                if let Stmt::Op { result, op, args } = &stmt {
                    self.pull.known(*op, args, (*result).into());
                }
                self.pull.push(stmt);
            }
            for (reads, table) in parts {
                let reads = reads.iter().map(|e| self.as_read(e, &[], &[])).collect::<Pulled<Vec<_>>>()?;
                let source = Source::Table { table, low: Vec::new() };
                factors.push(Factor {
                    loops: Vec::new(),
                    reads,
                    lookups: Vec::new(),
                    follows: Vec::new(),
                    by_loop: Vec::new(),
                    source,
                });
            }
            return Ok(factors);
        }
        let extents: Vec<usize> = indices.iter().map(|x| x.1).collect();
        let mut results = Vec::new();
        let mut collectors = Vec::new();
        let mut values = Vec::new();
        for (reads, atom) in &parts {
            let collector = if reads.is_empty() { Collector::Sum { keep: Vec::new() } } else { Collector::Collect };
            let ty = collector.result_type(&extents, &self.pull.program.atom_type(*atom));
            results.push(self.pull.program.new_var(ty, None));
            collectors.push(collector);
            values.push(*atom);
        }
        for ((reads, _), &result) in parts.iter().zip(&results) {
            let (mut loops, mut low, mut by_loop) = (Vec::new(), Vec::new(), Vec::new());
            if !reads.is_empty() {
                loops = place.lows.iter().zip(&extents).map(|(&l, &n)| (l, l + n)).collect();
                low = place.lows.clone();
                by_loop = vec![true; loops.len()];
            }
            let reads = reads.iter().map(|e| self.as_read(e, &indices, &place.lows)).collect::<Pulled<Vec<_>>>()?;
            let source = Source::Table { table: result.into(), low };
            factors.push(Factor { loops, reads, lookups: Vec::new(), follows: Vec::new(), by_loop, source });
        }
        let body = Block { stmts: scope.stmts, results: values };
        self.pull.push(Stmt::For(For { results, indices, body, collectors, strip: None }));
        Ok(factors)
    }

    /// An element as a read of formal loops.
    fn as_read(&self, element: &Element, indices: &[(Var, usize)], lows: &[usize]) -> Pulled<Read> {
        let mut at = Vec::new();
        for &a in &element.at {
            at.push(match (a, self.pull.affine(a)) {
                (Atom::Int(c), _) => Index::Const(c),
                (_, (Some(v), offset)) => match indices.iter().position(|i| i.0 == v) {
                    Some(number) => Index::Loop { number, offset: offset - int(lows[number]) },
                    None => return Err(fail("an element is read at an index that its table does not have")),
                },
                _ => return Err(fail("an element is read at an index that its table does not have")),
            });
        }
        Ok(Read { variable: element.site, at })
    }

    /// Expectations: a factor that reads a unit, in its own loops.
    fn expect_unit(&mut self, unit: &Unit, factor: &Rc<Factor>) -> Pulled<Vec<Factor>> {
        let own: Vec<usize> = (0..factor.reads.len()).filter(|&k| self.unit_of(&factor.reads[k]) == *unit).collect();
        if own.is_empty() {
            return Ok(vec![(**factor).clone()]);
        }
        let mut place = Place::of(self, factor);
        let reads = self.place(factor, &place.at)?;
        let mut elements: Vec<Element> = own.iter().map(|&k| reads[k].clone()).collect();
        let mut seen = Vec::new();
        elements.retain(|e| {
            let new = !seen.contains(e);
            seen.push(e.clone());
            new
        });
        let mut local = Local { reads, body: Body::Factor { factor: factor.clone(), at: place.at.clone() } };
        while let Some(x) = elements.pop() {
            local = self.without(&x, local, &elements)?;
        }
        let lookups = self.looked_up(&place, &local);
        let mut factors = Vec::new();
        match lookups {
            None => factors = self.finish(&mut place, vec![local])?,
            Some(()) => factors.push(self.finish_looked_up(&mut place, local)?),
        }
        Ok(factors)
    }

    /// A factor with `x` summed out; `others` are elements of the same variable that stay.
    pub(super) fn without(&mut self, x: &Element, local: Local, others: &[Element]) -> Pulled<Local> {
        let coincide = self.coincidences(x, others)?;
        if !coincide.is_empty() {
            return self.reduce_apart(x, local, &coincide);
        }
        match self.reduce(x, vec![local])?.pop() {
            Some(left) => Ok(left),
            None => Err(fail("a factor was expected")),
        }
    }

    /// Earlier elements that may be the same one as `x`, with the condition under which they are.
    pub(super) fn coincidences(&mut self, x: &Element, others: &[Element]) -> Pulled<Vec<(Element, Atom)>> {
        let mut found = Vec::new();
        for other in others {
            if self.pull.differ(x, other) {
                continue;
            }
            let mut same = Atom::Bool(true);
            for (&a, &b) in x.at.iter().zip(&other.at) {
                if a == b {
                    continue;
                }
                let equal = self.pull.op(Op::IEq, &[a, b]);
                same = if same == Atom::Bool(true) { equal } else { self.pull.op(Op::And, &[same, equal]) };
            }
            if same != Atom::Bool(false) {
                found.push((other.clone(), same));
            }
        }
        Ok(found)
    }

    /// Sums `x` out of a factor that also reads elements which may be the same one: the value is then theirs.
    fn reduce_apart(&mut self, x: &Element, local: Local, coincide: &[(Element, Atom)]) -> Pulled<Local> {
        self.check_joint(&local)?;
        let parents = self.parents(x)?;
        let scope = self.union(std::slice::from_ref(&local), &parents, Some(x))?;
        let mut with = scope.clone();
        with.push(x.clone());
        self.check_table(&with)?;
        let (indices, mark) = self.open_elements(&scope)?;
        let n = self.variables[x.site].support();
        let inner = self.held.len();
        let own = self.open(&[n]);
        let l: Atom = own[0].0.into();
        self.assign(x, l)?;
        let value = self.sum_of(std::slice::from_ref(&local))?;
        let (mut primal, mut stopped) = self.coefficients(x, l)?;
        for (other, same) in coincide {
            let held = self.position(other)?;
            let equal = self.pull.op(Op::IEq, &[l, held]);
            let one = self.pull.op(Op::Select, &[equal, Atom::Real(1.0), Atom::Real(0.0)]);
            primal = Some(self.pull.op(Op::Select, &[*same, one, primal.unwrap_or(Atom::Real(0.0))]));
            if let Some(s) = &mut stopped {
                *s = self.pull.op(Op::Select, &[*same, Atom::Real(0.0), *s]);
            }
        }
        let mut part = self.weighted(primal.unwrap_or(Atom::Real(0.0)), value);
        if let Some(c) = stopped {
            let held = self.pull.op(Op::Stop, &[value]);
            let more = self.weighted(c, held);
            part = self.pull.op(Op::Add, &[part, more]);
        }
        self.shut(inner);
        let total = self.close_sum(own, part);
        self.shut(mark);
        let table = self.close(indices, total, Collector::Collect);
        Ok(Local { reads: scope, body: Body::Table { table, prefix: Vec::new() } })
    }

    /// Whether some element left is at an index that is neither constant nor an axis plus a constant.
    fn looked_up(&self, place: &Place, local: &Local) -> Option<()> {
        let plain = |a: Atom| match (a, self.pull.affine(a)) {
            (Atom::Int(_), _) => true,
            (_, (Some(v), _)) => place.indices.iter().any(|i| i.0 == v),
            _ => false,
        };
        (!local.reads.iter().flat_map(|e| &e.at).all(|&a| plain(a))).then_some(())
    }

    /// As [`Engine::finish`] for one table some of whose elements are looked up: their indices are kept as arrays.
    fn finish_looked_up(&mut self, place: &mut Place, local: Local) -> Pulled<Factor> {
        let table = self.tabulate(std::slice::from_ref(&local), &local.reads.clone())?;
        let Body::Table { table: atom, .. } = table.body else { return Err(fail("a table was expected")) };
        let indices = std::mem::take(&mut place.indices);
        let extents: Vec<usize> = indices.iter().map(|x| x.1).collect();
        let mut values = vec![atom];
        let mut reads = Vec::new();
        let mut looked: Vec<Atom> = Vec::new();
        for element in &local.reads {
            let mut at = Vec::new();
            for &a in &element.at {
                at.push(match (a, self.pull.affine(a)) {
                    (Atom::Int(c), _) => Index::Const(c),
                    (_, (Some(v), offset)) if indices.iter().any(|i| i.0 == v) => {
                        let number = indices.iter().position(|i| i.0 == v).unwrap_or(0);
                        Index::Loop { number, offset: offset - int(place.lows[number]) }
                    }
                    _ => Index::Lookup(match looked.iter().position(|&l| l == a) {
                        Some(k) => k,
                        None => {
                            looked.push(a);
                            looked.len() - 1
                        }
                    }),
                });
            }
            reads.push(Read { variable: element.site, at });
        }
        values.extend(&looked);
        let scope = self.pull.scopes.pop().unwrap_or_default();
        let mut results = Vec::new();
        if indices.is_empty() {
            for stmt in scope.stmts {
                self.pull.push(stmt);
            }
            results = values;
        } else {
            let mut vars = Vec::new();
            for &v in &values {
                let ty = Collector::Collect.result_type(&extents, &self.pull.program.atom_type(v));
                vars.push(self.pull.program.new_var(ty, None));
            }
            results.extend(vars.iter().map(|&v| Atom::Var(v)));
            let collectors = vec![Collector::Collect; values.len()];
            let body = Block { stmts: scope.stmts, results: values };
            self.pull.push(Stmt::For(For { results: vars, indices, body, collectors, strip: None }));
        }
        let loops: Vec<(usize, usize)> = place.lows.iter().zip(&extents).map(|(&l, &n)| (l, l + n)).collect();
        Ok(Factor {
            by_loop: vec![true; loops.len()],
            loops,
            reads,
            lookups: results[1..].iter().map(|&a| Some(a)).collect(),
            follows: vec![(0..extents.len()).collect(); results.len() - 1],
            source: Source::Table { table: results[0], low: place.lows.clone() },
        })
    }

    /// Densities: factors that look elements up are added up by element.
    pub(super) fn scatter_all(&mut self) -> Pulled<()> {
        for k in 0..self.factors.len() {
            let factor = self.factors[k].clone();
            if factor.has_lookup() {
                let new = self.scatter(&factor)?;
                self.factors[k] = Rc::new(new);
            }
        }
        Ok(())
    }

    /// A factor whose looked-up indices are loops of its own: a table of sums.
    pub(super) fn scatter(&mut self, factor: &Rc<Factor>) -> Pulled<Factor> {
        let indices = self.open(&factor.loops.iter().map(|l| l.1 - l.0).collect::<Vec<_>>());
        let mut at = Vec::new();
        for (&(v, _), &(low, _)) in indices.iter().zip(&factor.loops) {
            at.push(Some(match self.pull.ranges.get(&v) {
                Some(1) => Atom::Int(int(low)),
                _ => self.pull.op(Op::IAdd, &[v.into(), Atom::Int(int(low))]),
            }));
        }
        let elements = self.place(factor, &at)?;
        // Axes of the table: loops that reads follow, then looked-up indices, then positions.
        let mut loops: Vec<(usize, usize)> = Vec::new();
        let mut target: Vec<Atom> = Vec::new();
        let mut of_loop = vec![None; factor.loops.len()];
        let mut of_lookup = vec![None; factor.lookups.len()];
        let mut reads = Vec::new();
        for (read, element) in factor.reads.iter().zip(&elements) {
            let mut new = Vec::new();
            for (d, (&index, &a)) in read.at.iter().zip(&element.at).enumerate() {
                new.push(match index {
                    Index::Const(c) => Index::Const(c),
                    Index::Loop { number, offset } => {
                        let k = *of_loop[number].get_or_insert_with(|| {
                            loops.push(factor.loops[number]);
                            target.push(indices[number].0.into());
                            loops.len() - 1
                        });
                        Index::Loop { number: k, offset }
                    }
                    Index::Lookup(l) => {
                        let n = self.shapes[read.variable][d];
                        let k = *of_lookup[l].get_or_insert_with(|| {
                            loops.push((0, n));
                            target.push(a);
                            loops.len() - 1
                        });
                        loops[k].1 = loops[k].1.max(n);
                        Index::Loop { number: k, offset: 0 }
                    }
                });
            }
            reads.push(Read { variable: read.variable, at: new });
        }
        let supports = self.supports(&elements);
        let shape: Vec<usize> = loops.iter().map(|l| l.1 - l.0).chain(supports.iter().copied()).collect();
        if shape.iter().fold(1_usize, |a, &b| a.saturating_mul(b)) > super::TABLE_LIMIT {
            return Err(self.too_large(&elements, super::TABLE_LIMIT));
        }
        let local = Local { reads: elements.clone(), body: Body::Factor { factor: factor.clone(), at } };
        self.check_joint(&local)?;
        let (inner, mark) = self.open_elements(&elements)?;
        let value = self.local_value(&local)?;
        self.shut(mark);
        let scope = self.pull.scopes.pop().unwrap_or_default();
        let outer = self.pull.scopes.pop().unwrap_or_default();
        let mut all = indices;
        all.extend(&inner);
        let mut stmts = outer.stmts;
        stmts.extend(scope.stmts);
        target.extend(inner.iter().map(|&(v, _)| Atom::Var(v)));
        let table = self.pull.program.new_var(Type::array(crate::ir::core::Scalar::Real, shape.clone()), None);
        if all.is_empty() {
            return Err(fail("an element is looked up outside a loop"));
        }
        self.pull.push(Stmt::For(For {
            results: vec![table],
            indices: all,
            body: Block { stmts, results: vec![value] },
            collectors: vec![Collector::SumAt { index: target, shape }],
            strip: None,
        }));
        let low = loops.iter().map(|l| l.0).collect();
        Ok(Factor {
            by_loop: vec![true; loops.len()],
            loops,
            reads,
            lookups: Vec::new(),
            follows: Vec::new(),
            source: Source::Table { table: table.into(), low },
        })
    }
}

/// A box of elements under construction: open indices for axes of more than one element.
pub(super) struct Place {
    /// Absolute index by axis.
    pub axes: Vec<Atom>,
    /// For the place of a factor, absolute index by loop; `None`: summed over.
    pub at: Vec<Option<Atom>>,
    pub indices: Vec<(Var, usize)>,
    pub lows: Vec<usize>,
}

impl Place {
    pub(super) fn open(engine: &mut Engine<'_>, cell: &[(usize, usize)]) -> Place {
        let wide: Vec<(usize, usize)> = cell.iter().copied().filter(|c| c.1 - c.0 > 1).collect();
        let extents: Vec<usize> = wide.iter().map(|c| c.1 - c.0).collect();
        let indices = engine.open(&extents);
        let mut next = 0;
        let mut axes = Vec::new();
        for &(low, high) in cell {
            if high - low == 1 {
                axes.push(Atom::Int(int(low)));
                continue;
            }
            axes.push(engine.pull.op(Op::IAdd, &[indices[next].0.into(), Atom::Int(int(low))]));
            next += 1;
        }
        Place { at: Vec::new(), axes, indices, lows: wide.iter().map(|c| c.0).collect() }
    }

    /// The loops of a factor that its reads follow.
    pub(super) fn of(engine: &mut Engine<'_>, factor: &Factor) -> Place {
        let outer = factor.indexed();
        let cell: Vec<(usize, usize)> = factor.loops.iter().zip(&outer).filter(|(_, o)| **o).map(|(&l, _)| l).collect();
        let mut place = Place::open(engine, &cell);
        let mut axes = place.axes.iter().copied();
        place.at = outer.iter().map(|&o| if o { axes.next() } else { None }).collect();
        place
    }
}

/// Whether ranges along each axis contain a box.
pub(super) fn covers(ranges: &[(i64, i64)], cell: &[(usize, usize)]) -> bool {
    ranges.iter().zip(cell).all(|(r, c)| r.0 <= int(c.0) && int(c.1) <= r.1)
}

/// Boxes over `extents` in which the same ranges take part.
pub(super) fn boxes(extents: &[usize], ranges: &[&Vec<(i64, i64)>]) -> Pulled<Vec<Vec<(usize, usize)>>> {
    let mut cells: Vec<Vec<(usize, usize)>> = vec![Vec::new()];
    for (p, &n) in extents.iter().enumerate() {
        let mut cuts: BTreeSet<usize> = BTreeSet::from([0, n]);
        for r in ranges {
            for edge in [r[p].0, r[p].1] {
                if let Ok(edge) = usize::try_from(edge)
                    && edge < n
                {
                    cuts.insert(edge);
                }
            }
        }
        let cuts: Vec<usize> = cuts.into_iter().collect();
        let mut next = Vec::new();
        for cell in &cells {
            for w in cuts.windows(2) {
                let mut cell = cell.clone();
                cell.push((w[0], w[1]));
                next.push(cell);
            }
        }
        cells = next;
        if cells.len() > BOXES {
            return Err(fail("the elements of a site take part in too many different ways"));
        }
    }
    Ok(cells)
}
