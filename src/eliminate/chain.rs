//! Elimination along a time axis: units whose elements at different times take part in one factor, with all units that are
//! tied to them time by time. A factor is attached to the latest time that it reads; from the last time to the first,
//! what is attached is added to the table over the window of earlier elements and the latest ones are summed out:
//! `M_t[window] = Σ_{x_t} c(x_t)·(F_t(x_t, window) + M_{t+1}[window of t+1])`, or its log form. Times at which the same
//! factors take part are one `loop`; single times are written out.

use super::engine::{Engine, Unit};
use super::factor::{Factor, Index, Read, Source};
use super::plate::{Place, Slot, boxes, covers};
use super::pull::{Element, Pulled, fail};
use super::step::{Body, Local};
use super::variable::int;
use super::{TABLE_LIMIT, pull::Scope};
use crate::ir::core::{Atom, Block, Collector, Loop, Prim, Stmt, Type};
use crate::ir::op::Op;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

/// A unit of the chain: its time axis, and what is added to its index there to give the chain's time.
#[derive(Clone, Debug)]
struct Member {
    unit: Unit,
    axis: usize,
    shift: i64,
    /// How many earlier elements a step reads.
    window: usize,
}

/// A factor attached to times `range`.
struct Attached {
    factor: Rc<Factor>,
    slots: Vec<Slot>,
    /// By plate.
    ranges: Vec<(i64, i64)>,
    times: (i64, i64),
}

/// Most stretches of time with different factors.
const STRETCHES: usize = 256;
/// A factor is tabulated for all times before the loop if the table is no larger.
const AHEAD: usize = 1 << 18;

impl Engine<'_> {
    /// Eliminates the chain that a unit belongs to; false if it is no chain.
    pub(super) fn eliminate_chain(&mut self, unit: &Unit, remaining: &[Unit]) -> Pulled<bool> {
        for axis in self.axes(unit) {
            let Some(members) = self.members(unit, axis)? else { continue };
            let units: Vec<&Unit> = members.iter().map(|m| &m.unit).collect();
            if units.iter().any(|u| self.moving_values(u.0)) {
                return Err(fail("the values that a strategy passes depend on all earlier ones of a chain"));
            }
            if self.expects() {
                // Children outside the chain go first.
                let outside = remaining.iter().filter(|u| !units.contains(u));
                let mut blocked = false;
                for other in outside {
                    blocked |=
                        self.own_links(other).flat_map(|l| &l.reads[1..]).any(|r| units.contains(&&self.unit_of(r)));
                }
                if blocked {
                    return Err(fail("enumerated sites of a chain have children that depend on other times"));
                }
            }
            self.sum_chain(members)?;
            return Ok(true);
        }
        Ok(false)
    }

    /// All factors, and for expectations links, that tie elements together.
    fn ties(&self) -> Vec<Rc<Factor>> {
        let mut all = self.factors.clone();
        if self.expects() {
            all.extend(self.links.iter().flatten().map(|l| Rc::new(l.clone())));
        }
        all
    }

    /// The chain of a unit along an axis; `None` if no factor reads two of its elements that differ there.
    fn members(&self, unit: &Unit, axis: usize) -> Pulled<Option<Vec<Member>>> {
        let ties = self.ties();
        let two = |f: &Factor| {
            let mut own = f.reads.iter().filter(|r| self.unit_of(r) == *unit);
            let Some(first) = own.next() else { return false };
            own.any(|r| r.at[axis] != first.at[axis])
        };
        if !ties.iter().any(|f| two(f)) {
            return Ok(None);
        }
        let mut members = vec![Member { unit: unit.clone(), axis, shift: 0, window: 0 }];
        loop {
            let mut joined = None;
            'search: for factor in &ties {
                let own = factor.reads.iter().find_map(|r| {
                    let m = members.iter().find(|m| m.unit == self.unit_of(r))?;
                    match r.at[m.axis] {
                        Index::Loop { number, offset } => Some((number, offset + m.shift)),
                        _ => None,
                    }
                });
                let Some((number, time)) = own else { continue };
                for read in &factor.reads {
                    let other = self.unit_of(read);
                    if self.kept == Some(other.0) || members.iter().any(|m| m.unit == other) {
                        continue;
                    }
                    for (d, &index) in read.at.iter().enumerate() {
                        if let Index::Loop { number: n, offset } = index
                            && n == number
                        {
                            joined = Some(Member { unit: other, axis: d, shift: time - offset, window: 0 });
                            break 'search;
                        }
                    }
                }
            }
            match joined {
                Some(m) => members.push(m),
                None => break,
            }
        }
        members.sort_by(|a, b| a.unit.cmp(&b.unit));
        Ok(Some(members))
    }

    /// Axes of a member other than its time.
    fn plates(&self, member: &Member) -> Vec<usize> {
        self.axes(&member.unit).into_iter().filter(|&d| d != member.axis).collect()
    }

    /// How a factor that reads members follows time and plates, and by how much each read is earlier than the latest.
    fn attach(&self, factor: &Rc<Factor>, members: &[Member]) -> Pulled<Option<(Attached, Vec<(usize, i64)>)>> {
        let find = |r: &Read| members.iter().position(|m| m.unit == self.unit_of(r));
        let own: Vec<(usize, &Read)> = factor.reads.iter().filter_map(|r| Some((find(r)?, r))).collect();
        if own.is_empty() {
            return Ok(None);
        }
        let mut slots = vec![Slot::Free; factor.loops.len()];
        let mut ranges: Vec<(i64, i64)> = Vec::new();
        let mut rows: Vec<Index> = Vec::new();
        let mut times: Vec<(usize, i64)> = Vec::new();
        let mut along: Option<Option<usize>> = None;
        for (nth, (m, read)) in own.iter().enumerate() {
            let member = &members[*m];
            let (number, offset) = match read.at[member.axis] {
                Index::Const(c) => (None, c),
                Index::Loop { number, offset } => (Some(number), offset),
                Index::Lookup(_) => return Err(fail("a chain is looked up together with other values")),
            };
            if along.is_some_and(|a| a != number) {
                return Err(fail("a term reads a chain at two times that are not a fixed distance apart"));
            }
            along = Some(number);
            times.push((*m, offset + member.shift));
            let plates = self.plates(member);
            if nth > 0 && plates.len() != ranges.len() {
                return Err(fail("chains that stand in different plates are tied together"));
            }
            for (p, &d) in plates.iter().enumerate() {
                let range = self.range(factor, read.at[d]).unwrap_or((0, 0));
                if nth == 0 {
                    rows.push(read.at[d]);
                } else if rows[p] != read.at[d] {
                    // Two loops over the same range are two rows as well.
                    return Err(fail("a term reads a chain in two rows of its plate"));
                }
                match read.at[d] {
                    Index::Const(_) => {}
                    Index::Loop { number, offset } => {
                        let slot = Slot::Axis(p, -offset);
                        if slots[number] != Slot::Free && slots[number] != slot {
                            return Err(fail("a term reads a chain in two rows of its plate"));
                        }
                        slots[number] = slot;
                    }
                    Index::Lookup(_) => return Err(fail("a chain is looked up together with other values")),
                }
                if nth == 0 {
                    ranges.push(range);
                }
            }
        }
        let latest = times.iter().map(|t| t.1).max().unwrap_or(0);
        let range = match along.flatten() {
            Some(number) => {
                if slots[number] != Slot::Free {
                    return Err(fail("a term reads a chain along its plate and its time at once"));
                }
                slots[number] = Slot::Time(-latest);
                let (low, high) = factor.loops[number];
                (int(low) + latest, int(high) + latest)
            }
            None => (latest, latest + 1),
        };
        for read in factor.reads.iter().filter(|r| find(r).is_none()) {
            for &index in &read.at {
                if let Index::Loop { number, .. } = index
                    && !matches!(slots[number], Slot::Axis(..))
                {
                    return Err(fail("a chain shares a parent that varies with it in a way that is not supported"));
                }
            }
        }
        let early = times.into_iter().map(|(m, t)| (m, latest - t)).collect();
        Ok(Some((Attached { factor: factor.clone(), slots, ranges, times: range }, early)))
    }

    fn sum_chain(&mut self, mut members: Vec<Member>) -> Pulled<()> {
        let units: Vec<Unit> = members.iter().map(|m| m.unit.clone()).collect();
        let used: Vec<usize> = (0..self.factors.len())
            .filter(|&k| self.factors[k].reads.iter().any(|r| units.contains(&self.unit_of(r))))
            .collect();
        let mut attached = Vec::new();
        // Which members depend on which at the same time.
        let mut above: Vec<(usize, usize)> = Vec::new();
        for &k in &used {
            let mut factor = self.factors[k].clone();
            if factor.has_lookup() {
                factor = Rc::new(self.scatter(&factor)?);
            }
            if let Some((a, early)) = self.attach(&factor, &members)? {
                attached.push(a);
                widen(&mut members, &early)?;
            }
        }
        if self.expects() {
            for link in units.iter().flat_map(|u| self.own_links(u).cloned().collect::<Vec<_>>()) {
                let link = Rc::new(link);
                if let Some((_, early)) = self.attach(&link, &members)? {
                    if early[0].1 != 0 {
                        return Err(fail("an enumerated site of a chain depends on a later one"));
                    }
                    let child = early[0].0;
                    above.extend(early[1..].iter().filter(|e| e.1 == 0 && e.0 != child).map(|e| (child, e.0)));
                    widen(&mut members, &early)?;
                }
            }
        }
        let members = parents_first(members, &above)?;
        let first = &members[0];
        let plates: Vec<usize> = self.plates(first).iter().map(|&d| self.shapes[first.unit.0][d]).collect();
        let ranges: Vec<&Vec<(i64, i64)>> = attached.iter().map(|a| &a.ranges).collect();
        let mut new = Vec::new();
        for cell in boxes(&plates, &ranges)? {
            let mut place = Place::open(self, &cell);
            let here: Vec<&Attached> = attached.iter().filter(|a| covers(&a.ranges, &cell)).collect();
            let left = self.backwards(&members, &here, &place)?;
            new.extend(self.finish(&mut place, left)?);
        }
        self.replace(&used, new);
        Ok(())
    }

    fn extent(&self, member: &Member) -> i64 {
        int(self.shapes[member.unit.0][member.axis])
    }

    /// A member's element at a time; `None` if it has none there.
    fn at_time(&mut self, member: &Member, place: &Place, time: Atom, known: i64) -> Option<Element> {
        let index = known - member.shift;
        if index < 0 || index >= self.extent(member) {
            return None;
        }
        let own = self.pull.op(Op::IAdd, &[time, Atom::Int(-member.shift)]);
        let mut plate = place.axes.iter().copied();
        let at = member
            .unit
            .1
            .iter()
            .enumerate()
            .map(|(d, fixed)| match fixed {
                Some(c) => Atom::Int(*c),
                None if d == member.axis => own,
                None => plate.next().unwrap_or(Atom::Int(0)),
            })
            .collect();
        Some(Element { site: member.unit.0, at })
    }

    /// From the last time to the first; what is left reads no member.
    fn backwards(&mut self, members: &[Member], attached: &[&Attached], place: &Place) -> Pulled<Vec<Local>> {
        let (start, end) = (
            members.iter().map(|m| m.shift).min().unwrap_or(0),
            members.iter().map(|m| m.shift + self.extent(m)).max().unwrap_or(0),
        );
        let mut cuts: BTreeSet<i64> = BTreeSet::from([start, end]);
        for a in attached {
            cuts.extend([a.times.0, a.times.1]);
        }
        for m in members {
            let n = self.extent(m);
            for d in 0..=int(m.window) {
                cuts.extend([m.shift + d, m.shift + n + d]);
            }
        }
        let cuts: Vec<i64> = cuts.into_iter().filter(|&c| start <= c && c <= end).collect();
        if cuts.len() > STRETCHES {
            return Err(fail("a chain is read at too many single times"));
        }
        let mut pending: Vec<Local> = Vec::new();
        for w in cuts.windows(2).rev() {
            let here: Vec<&Attached> =
                attached.iter().copied().filter(|a| a.times.0 <= w[0] && w[1] <= a.times.1).collect();
            if here.is_empty() && pending.is_empty() {
                continue;
            }
            pending = if w[1] - w[0] <= 2 {
                let mut now = pending;
                for t in (w[0]..w[1]).rev() {
                    let mut locals = now;
                    for a in &here {
                        locals.push(self.local(&a.factor, &a.slots, &place.axes, Some(Atom::Int(t)))?);
                    }
                    now = self.sum_latest(members, place, Atom::Int(t), t, locals)?;
                }
                now
            } else {
                self.stretch(members, &here, place, (w[0], w[1]), pending)?
            };
        }
        Ok(pending)
    }

    /// Sums out the members' elements at one time, children first.
    fn sum_latest(
        &mut self,
        members: &[Member],
        place: &Place,
        time: Atom,
        known: i64,
        mut locals: Vec<Local>,
    ) -> Pulled<Vec<Local>> {
        for member in members.iter().rev() {
            let Some(x) = self.at_time(member, place, time, known) else { continue };
            let (reading, rest): (Vec<Local>, Vec<Local>) = locals.into_iter().partition(|l| l.reads.contains(&x));
            locals = rest;
            locals.extend(self.reduce(&x, reading)?);
        }
        Ok(locals)
    }

    /// Elements before `time` that a table there may read.
    fn window(&mut self, members: &[Member], place: &Place, time: Atom, known: i64) -> Vec<Element> {
        let mut out = Vec::new();
        for member in members {
            for depth in 1..=int(member.window) {
                let at = self.pull.op(Op::IAdd, &[time, Atom::Int(-depth)]);
                out.extend(self.at_time(member, place, at, known - depth));
            }
        }
        out
    }

    /// Several times with the same factors: one loop over tables.
    fn stretch(
        &mut self,
        members: &[Member],
        attached: &[&Attached],
        place: &Place,
        (from, to): (i64, i64),
        pending: Vec<Local>,
    ) -> Pulled<Vec<Local>> {
        let steps = usize::try_from(to - from).unwrap_or(0);
        let mut ahead: HashMap<usize, Local> = HashMap::new();
        for (k, a) in attached.iter().enumerate() {
            if let Some(local) = self.tabulate_ahead(a, place, from, steps)? {
                ahead.insert(k, local);
            }
        }
        // The table at the stretch's end: over the window there and everything that is shared.
        let edge = self.window(members, place, Atom::Int(to), to);
        let mut shared: Vec<Element> = Vec::new();
        let is_member = |e: &Element, of: &Self| {
            members.iter().any(|m| {
                m.unit.0 == e.site
                    && of.axes(&m.unit).len() == m.unit.1.iter().filter(|f| f.is_none()).count()
                    && m.unit.1.iter().zip(&e.at).all(|(f, &a)| f.is_none_or(|c| a == Atom::Int(c)))
            })
        };
        let keep = |elements: &[Element], shared: &mut Vec<Element>, of: &Self| {
            for e in elements {
                if !is_member(e, of) && !shared.contains(e) {
                    shared.push(e.clone());
                }
            }
        };
        for local in &pending {
            keep(&local.reads, &mut shared, self);
        }
        for a in attached {
            let local = self.local(&a.factor, &a.slots, &place.axes, Some(Atom::Int(from)))?;
            keep(&local.reads, &mut shared, self);
        }
        if self.expects() {
            for member in members {
                if let Some(x) = self.at_time(member, place, Atom::Int(from), from) {
                    let parents = self.parents(&x)?;
                    keep(&parents, &mut shared, self);
                }
            }
        }
        let mut axes = edge.clone();
        axes.extend(shared.iter().cloned());
        let shape = self.supports(&axes);
        let first = if pending.is_empty() {
            self.zeros(&shape)
        } else {
            let table = self.tabulate_in_order(&pending, &axes)?;
            match table.body {
                Body::Table { table, .. } => table,
                Body::Factor { .. } => return Err(fail("a table was expected")),
            }
        };
        let index = self.pull.program.new_var(Type::INT, None);
        self.pull.ranges.insert(index, steps);
        let ty = self.pull.program.atom_type(first);
        let carried = self.pull.program.new_var(ty.clone(), None);
        self.pull.scopes.push(Scope::default());
        let time = self.pull.op(Op::IAdd, &[index.into(), Atom::Int(from)]);
        let next = self.pull.op(Op::IAdd, &[time, Atom::Int(1)]);
        let mut reads = self.window(members, place, next, from + 1);
        reads.extend(shared.iter().cloned());
        let mut locals = vec![Local { reads, body: Body::Table { table: carried.into(), prefix: Vec::new() } }];
        for (k, a) in attached.iter().enumerate() {
            let here = self.local(&a.factor, &a.slots, &place.axes, Some(time))?;
            locals.push(match ahead.get(&k) {
                Some(Local { body: Body::Table { table, prefix }, .. }) => {
                    let prefix = prefix.iter().map(|_| index.into()).collect();
                    Local { reads: here.reads, body: Body::Table { table: *table, prefix } }
                }
                _ => here,
            });
        }
        let left = self.sum_latest(members, place, time, from, locals)?;
        let mut out = self.window(members, place, time, from);
        out.extend(shared.iter().cloned());
        let table = self.tabulate_in_order(&left, &out)?;
        let Body::Table { table, .. } = table.body else { return Err(fail("a table was expected")) };
        let scope = self.pull.scopes.pop().unwrap_or_default();
        let result = self.pull.program.new_var(ty, None);
        self.pull.push(Stmt::Loop(Loop {
            results: vec![result],
            index,
            extent: steps,
            carried: vec![(carried, first)],
            body: Block { stmts: scope.stmts, results: vec![table] },
            collectors: Vec::new(),
            reverse: true,
        }));
        let mut reads = self.window(members, place, Atom::Int(from), from);
        reads.extend(shared);
        Ok(vec![Local { reads, body: Body::Table { table: result.into(), prefix: Vec::new() } }])
    }

    /// As [`Engine::tabulate`], with the axes in this very order and a fresh array.
    fn tabulate_in_order(&mut self, locals: &[Local], axes: &[Element]) -> Pulled<Local> {
        for element in locals.iter().flat_map(|l| &l.reads) {
            if !axes.contains(element) {
                return Err(fail("a chain reads an element outside its window"));
            }
        }
        let table = self.tabulate(locals, axes)?;
        if !axes.is_empty() || !matches!(&table.body, Body::Table { prefix, .. } if !prefix.is_empty()) {
            return Ok(table);
        }
        let value = self.sum_of(&[table])?;
        Ok(Local { reads: Vec::new(), body: Body::Table { table: value, prefix: Vec::new() } })
    }

    fn zeros(&mut self, shape: &[usize]) -> Atom {
        if shape.is_empty() {
            return Atom::Real(0.0);
        }
        let ty = Type::array(crate::ir::core::Scalar::Real, shape.to_vec());
        let result = self.pull.program.new_var(ty, None);
        let prim = Prim::Fill { shape: shape.to_vec() };
        self.pull.push(Stmt::Array { results: vec![result], prim, args: vec![Atom::Real(0.0)] });
        result.into()
    }

    /// A term's values at all times of a stretch, in a loop without order; without the time axis where they do not
    /// depend on it.
    fn tabulate_ahead(&mut self, a: &Attached, place: &Place, from: i64, steps: usize) -> Pulled<Option<Local>> {
        if !matches!(a.factor.source, Source::Terms(_)) {
            return Ok(None);
        }
        let number = a.slots.iter().position(|s| matches!(s, Slot::Time(_)));
        let varies = number.is_some_and(|k| a.factor.by_loop[k]);
        let extents = if varies { vec![steps] } else { Vec::new() };
        let indices = self.open(&extents);
        let time = match indices.first() {
            Some(&(v, _)) => self.pull.op(Op::IAdd, &[v.into(), Atom::Int(from)]),
            None => Atom::Int(from),
        };
        let local = self.local(&a.factor, &a.slots, &place.axes, Some(time))?;
        let size = self.supports(&local.reads).iter().fold(steps, |x, &n| x.saturating_mul(n));
        if size > AHEAD.min(TABLE_LIMIT) {
            self.pull.scopes.pop();
            return Ok(None);
        }
        let reads = local.reads.clone();
        let table = self.tabulate(&[local], &reads)?;
        let Body::Table { table, .. } = table.body else { return Ok(None) };
        let prefix: Vec<Atom> = indices.iter().map(|_| Atom::Int(0)).collect();
        let table = self.close(indices, table, Collector::Collect);
        Ok(Some(Local { reads, body: Body::Table { table, prefix } }))
    }
}

/// Most earlier times that a chain may depend on.
const WINDOW: i64 = 20;

/// Members in an order in which `(child, parent)` come parent first.
fn parents_first(members: Vec<Member>, above: &[(usize, usize)]) -> Pulled<Vec<Member>> {
    let mut order: Vec<usize> = Vec::new();
    while order.len() < members.len() {
        let ready = |k: &usize| !order.contains(k) && above.iter().all(|(c, p)| c != k || order.contains(p));
        match (0..members.len()).find(ready) {
            Some(next) => order.push(next),
            None => return Err(fail("enumerated sites of a chain depend on each other at one time in a circle")),
        }
    }
    Ok(order.into_iter().map(|k| members[k].clone()).collect())
}

fn widen(members: &mut [Member], early: &[(usize, i64)]) -> Pulled<()> {
    for &(m, by) in early {
        if by > WINDOW {
            return Err(fail("a chain depends on values that lie too far back"));
        }
        members[m].window = members[m].window.max(usize::try_from(by).unwrap_or(0));
    }
    Ok(())
}
