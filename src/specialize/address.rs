//! Addresses while a generative function is simulated: pieces (`x[0]`, `x[t]` under a loop), how loops and branches hand
//! them on, reading them back, and joining them when the trace is finished.
//!
//! A piece's index is a literal, the index of an open loop, or, once the loop is closed, a range.

use super::array::Index;
use super::clause::Clause;
use super::generative::Mode;
use super::machine::{Fail, Machine, R, refuse};
use super::value::{Array, Env, Repr, Value};
use crate::base::source::Span;
use crate::diagnostic::Diagnostic;
use crate::ir::core::{Atom, Collector, Prim, Type, Var};

#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Dim {
    At(Atom),
    Range { from: i64, len: usize },
}

#[derive(Clone, PartialEq, Debug)]
pub(super) struct PieceKey {
    pub name: String,
    pub dims: Vec<Dim>,
    /// Which dimension each leading axis of the value belongs to.
    pub order: Vec<usize>,
}

/// Values of an address at earlier iterations, carried by a sequential loop.
#[derive(Clone)]
pub(super) struct Window<'a> {
    pub name: String,
    /// The index of the loop.
    pub index: Var,
    /// Offset of the loop's own address index from `index`.
    pub from: i64,
    pub position: usize,
    /// Indices at the other positions.
    pub dims: Vec<Atom>,
    /// `values[k]` is the value `k + 1` iterations ago.
    pub values: Vec<Value<'a>>,
}

impl Dim {
    fn interval(self) -> Option<(i64, usize)> {
        match self {
            Dim::At(Atom::Int(i)) => Some((i, 1)),
            Dim::At(_) => None,
            Dim::Range { from, len } => Some((from, len)),
        }
    }
}

impl<'a> Machine<'a> {
    fn frame_of(&self, env: &Env<'a>) -> Option<usize> {
        self.frames.iter().rposition(|f| f.id == env.frame)
    }

    /// Whether a name that is not local is an address of the function under evaluation.
    pub(super) fn is_address(&self, name: &str, env: &Env<'a>) -> bool {
        if env.local(name).is_some() {
            return false;
        }
        let Some(frame) = self.frame_of(env).map(|k| &self.frames[k]) else { return false };
        let result = returned(name);
        if frame.pieces.iter().any(|(k, _)| k.name == result) || frame.windows.iter().any(|w| w.name == result) {
            return true;
        }
        match &frame.mode {
            Mode::Density(trace) => frame.sampled.iter().any(|n| n == name) && trace.field(name).is_some(),
            Mode::Simulate | Mode::Draw | Mode::Path => {
                frame.pieces.iter().any(|(k, _)| k.name == name) || frame.windows.iter().any(|w| w.name == name)
            }
        }
    }

    pub(super) fn mark(&self) -> usize {
        self.frames.last().map_or(0, |f| f.pieces.len())
    }

    pub(super) fn take_pieces(&mut self, mark: &usize) -> (Vec<PieceKey>, Vec<Value<'a>>) {
        match self.frames.last_mut() {
            Some(f) => f.pieces.split_off((*mark).min(f.pieces.len())).into_iter().unzip(),
            None => (Vec::new(), Vec::new()),
        }
    }

    pub(super) fn put_pieces(&mut self, keys: Vec<PieceKey>, values: Vec<Value<'a>>) {
        if let Some(f) = self.frames.last_mut() {
            f.pieces.extend(keys.into_iter().zip(values));
        }
    }

    pub(super) fn add_piece(&mut self, name: &str, indices: &[Atom], value: Value<'a>, span: Span) -> R<()> {
        let dims: Vec<Dim> = indices.iter().map(|&a| Dim::At(a)).collect();
        if self.open.iter().any(|o| o.plate) && !self.local_addresses.iter().any(|n| n == name) {
            self.local_addresses.push(name.to_owned());
        }
        let key = PieceKey { name: name.to_owned(), dims, order: Vec::new() };
        let Some(f) = self.frames.last_mut() else {
            return refuse(span, "an address outside a generative function");
        };
        if f.pieces.iter().any(|(k, _)| *k == key) {
            return Err(Diagnostic::error("E0390", span, format!("address `{name}` repeats")).into());
        }
        f.pieces.push((key, value));
        Ok(())
    }

    fn same_index(&self, a: Atom, b: Atom) -> bool {
        a == b || self.affine(a) == self.affine(b)
    }

    /// Under what name pieces are kept of what reading `name` gives: for a child, its results.
    fn piece_name(&self, k: usize, name: &str) -> String {
        let result = returned(name);
        let frame = &self.frames[k];
        let child =
            frame.pieces.iter().any(|(k, _)| k.name == result) || frame.windows.iter().any(|w| w.name == result);
        if child { result } else { name.to_owned() }
    }

    /// The whole value of an address.
    pub(super) fn address_value(&mut self, name: &str, env: &Env<'a>, span: Span) -> R<Value<'a>> {
        let Some(k) = self.frame_of(env) else {
            return refuse(span, format!("`{name}` has no value here"));
        };
        let name = &self.piece_name(k, name);
        if let Mode::Density(trace) = &self.frames[k].mode
            && !is_returned(name)
        {
            return match trace.field(name) {
                Some(v) => Ok(v.clone()),
                None => refuse(span, format!("the trace has no `{name}`")),
            };
        }
        self.joined(k, name, span)
    }

    /// `name[indices]`.
    pub(super) fn address_read(&mut self, name: &str, at: &[Index], env: &Env<'a>, span: Span) -> R<Value<'a>> {
        let Some(k) = self.frame_of(env) else {
            return refuse(span, format!("`{name}` has no value here"));
        };
        let name = &self.piece_name(k, name);
        if let Mode::Density(trace) = &self.frames[k].mode
            && !is_returned(name)
        {
            return match trace.field(name).cloned() {
                Some(v) => self.index(&v, at, span),
                None => refuse(span, format!("the trace has no `{name}`")),
            };
        }
        let mut atoms = Vec::new();
        for i in at {
            match i {
                Index::At(a) => atoms.push(*a),
                Index::Slice(..) | Index::All => {
                    let whole = self.joined(k, name, span)?;
                    return self.index(&whole, at, span);
                }
            }
        }
        self.piece_read(k, name, &atoms, span)
    }

    fn piece_read(&mut self, k: usize, name: &str, at: &[Atom], span: Span) -> R<Value<'a>> {
        // A piece whose indices begin with these.
        for (key, value) in &self.frames[k].pieces {
            if key.name != name || key.dims.len() > at.len() || !key.order.is_empty() {
                continue;
            }
            let same = key.dims.iter().zip(at).all(|(d, &a)| matches!(d, Dim::At(b) if self.same_index(*b, a)));
            if same {
                let (value, rest): (Value<'a>, Vec<Index>) =
                    (value.clone(), at[key.dims.len()..].iter().map(|&a| Index::At(a)).collect());
                return self.index(&value, &rest, span);
            }
        }
        for w in self.frames[k].windows.iter().rev() {
            if w.name != name || w.dims.len() != at.len() {
                continue;
            }
            let others = (0..at.len()).all(|p| p == w.position || self.same_index(w.dims[p], at[p]));
            if let (true, (Some(base), offset)) = (others, self.affine(at[w.position]))
                && base == w.index
                && offset < w.from
                && let Some(v) = w.values.get((w.from - offset - 1) as usize)
            {
                return Ok(v.clone());
            }
        }
        if let Some(v) = self.covered_read(k, name, at, span)? {
            return Ok(v);
        }
        // An earlier iteration of an open loop.
        for (position, &a) in at.iter().enumerate() {
            let (Some(base), offset) = self.affine(a) else { continue };
            if let Some((_, from)) = self.open.iter().map(|o| (o.index, o.from)).find(|&(v, _)| v == base)
                && offset < from
            {
                return Err(Fail::Window {
                    index: base,
                    name: name.to_owned(),
                    offset: (from - offset) as usize,
                    position,
                    dims: at.to_vec(),
                });
            }
        }
        let reason = Diagnostic::error(
            "E0390",
            span,
            format!("`{name}` is read at an index for which no earlier iteration is known to have sampled it"),
        );
        match self.open.last() {
            Some(o) => Err(Fail::Unroll { index: o.index, reason: Box::new(reason) }),
            None => Err(reason.into()),
        }
    }

    /// Reads from pieces of closed loops, if they cover the index.
    fn covered_read(&mut self, k: usize, name: &str, at: &[Atom], span: Span) -> R<Option<Value<'a>>> {
        let mut chosen: Vec<(PieceKey, Value<'a>)> = Vec::new();
        let mut fixed: Option<Vec<bool>> = None;
        for (key, value) in &self.frames[k].pieces {
            if key.name != name || key.dims.len() > at.len() {
                continue;
            }
            // Dimensions of open loops must be the reader's own.
            let mut open = Vec::new();
            let mut fits = true;
            for (d, &a) in key.dims.iter().zip(at) {
                match d {
                    Dim::At(b @ Atom::Var(_)) => {
                        fits &= self.same_index(*b, a);
                        open.push(true);
                    }
                    _ => open.push(false),
                }
            }
            if !fits {
                continue;
            }
            match &fixed {
                None => fixed = Some(open),
                Some(f) if *f == open => {}
                Some(_) => continue,
            }
            chosen.push((key.clone(), value.clone()));
        }
        let Some(fixed) = fixed else { return Ok(None) };
        // Drop the fixed dimensions.
        let kept: Vec<usize> = (0..fixed.len()).filter(|&p| !fixed[p]).collect();
        let mut rest: Vec<Index> = kept.iter().map(|&p| Index::At(at[p])).collect();
        for (key, _) in &mut chosen {
            key.dims = kept.iter().map(|&p| key.dims[p]).collect();
            key.order = key.order.iter().filter_map(|o| kept.iter().position(|p| p == o)).collect();
        }
        // While a loop around still samples the address, only what is proved to lie in the pieces at hand is read from
        // them; afterwards they are all there is.
        let frame = self.frames[k].id;
        let growing =
            self.open.iter().any(|o| o.frame == frame && o.samples.contains(&name.trim_end_matches(RETURNED)));
        for (axis, &p) in kept.iter().enumerate() {
            if !growing {
                break;
            }
            let mut intervals: Vec<(i64, usize)> =
                chosen.iter().filter_map(|(key, _)| key.dims[axis].interval()).collect();
            intervals.sort_unstable();
            let mut end = 0;
            for (from, len) in intervals {
                if from > end {
                    break;
                }
                end = end.max(from + len as i64);
            }
            let (base, offset) = self.affine(at[p]);
            let fact = self.fact(base.map_or(at[p], Atom::Var));
            let offset = if base.is_some() { offset as f64 } else { 0.0 };
            if fact.lower + offset < 0.0 || fact.upper + offset >= end as f64 {
                return Ok(None);
            }
        }
        rest.extend(at[fixed.len()..].iter().map(|&a| Index::At(a)));
        let whole = self.join(name, chosen, span)?;
        Ok(Some(self.index(&whole, &rest, span)?))
    }

    fn joined(&mut self, k: usize, name: &str, span: Span) -> R<Value<'a>> {
        let pieces: Vec<(PieceKey, Value<'a>)> =
            self.frames[k].pieces.iter().filter(|(key, _)| key.name == name).cloned().collect();
        if pieces.iter().any(|(key, _)| key.dims.iter().any(|d| matches!(d, Dim::At(Atom::Var(_))))) {
            return refuse(span, format!("`{name}` is read whole inside the loop that samples it"));
        }
        self.join(name, pieces, span)
    }

    /// All addresses of the innermost frame, joined, in order of first occurrence.
    pub(super) fn finish_trace(&mut self, span: Span) -> R<Vec<(String, Value<'a>)>> {
        let Some(k) = self.frames.len().checked_sub(1) else { return Ok(Vec::new()) };
        let mut names: Vec<String> = Vec::new();
        for (key, _) in &self.frames[k].pieces {
            if !names.contains(&key.name) && !is_returned(&key.name) {
                names.push(key.name.clone());
            }
        }
        names
            .into_iter()
            .map(|n| {
                let v = self.joined(k, &n, span)?;
                Ok((n, v))
            })
            .collect()
    }

    fn join(&mut self, name: &str, mut pieces: Vec<(PieceKey, Value<'a>)>, span: Span) -> R<Value<'a>> {
        let Some((first, value)) = pieces.first() else {
            return refuse(span, format!("address `{name}` has no pieces"));
        };
        let rank = first.dims.len();
        if pieces.iter().any(|(k, _)| k.dims.len() != rank) {
            return refuse(span, format!("pieces of `{name}` have different numbers of indices"));
        }
        if rank == 0 {
            return Ok(value.clone());
        }
        if let Value::Record(fields) = value {
            let fields: Vec<String> = fields.iter().map(|(n, _)| n.clone()).collect();
            let mut out = Vec::new();
            for f in fields {
                let column: Vec<(PieceKey, Value<'a>)> =
                    pieces.iter().filter_map(|(k, v)| v.field(&f).map(|x| (k.clone(), x.clone()))).collect();
                out.push((f, self.join(name, column, span)?));
            }
            return Ok(Value::record(out));
        }
        let ascending = |order: &[usize]| order.windows(2).all(|w| w[0] < w[1]);
        if let [(key, value)] = pieces.as_slice()
            && key.dims.iter().all(|d| matches!(d, Dim::Range { from: 0, .. }))
            && ascending(&key.order)
        {
            return Ok(value.clone());
        }
        if let [(key, value)] = pieces.as_slice()
            && key.dims.iter().all(|d| matches!(d, Dim::Range { from: 0, .. }))
            && key.order.len() == rank
            && let Value::Array(Array { repr: Repr::Rows { .. }, .. }) = value
        {
            return self.sorted_rows(key, value, span);
        }
        if rank == 1 && pieces.iter().all(|(k, _)| matches!(k.dims[0], Dim::At(_))) {
            pieces.sort_by_key(|(k, _)| k.dims[0].interval());
            for (i, (k, _)) in pieces.iter().enumerate() {
                if k.dims[0].interval() != Some((i as i64, 1)) {
                    return gap(name, span);
                }
            }
            return self.stack(pieces.into_iter().map(|(_, v)| v).collect(), span);
        }
        let mut full = Vec::new();
        for (key, value) in pieces {
            let intervals: Option<Vec<(i64, usize)>> = key.dims.iter().map(|d| d.interval()).collect();
            let Some(intervals) = intervals else {
                return refuse(span, format!("`{name}` is read inside the loop that samples it"));
            };
            let value = self.full_rank(&key, &value, &intervals, span)?;
            full.push((intervals, value));
        }
        self.join_axis(name, full, 0, rank, span)
    }

    /// An array by rows with its leading axes in the order of the address' dimensions.
    fn sorted_rows(&mut self, key: &PieceKey, value: &Value<'a>, span: Span) -> R<Value<'a>> {
        let Value::Array(Array { repr: Repr::Rows { base, axes }, .. }) = value else { return Ok(value.clone()) };
        let ty = self.program.atom_type(*base);
        let intervals: Vec<(i64, usize)> = ty.shape[..key.order.len()].iter().map(|&n| (0, n)).collect();
        let inner = Value::core(*base, ty.scalar, ty.shape);
        let mut sorted = self.full_rank(key, &inner, &intervals, span)?;
        for (axis, plate) in axes.iter().enumerate() {
            let to = key.order.get(axis).copied().unwrap_or(axis);
            if let Some(plate) = plate.and_then(|id| self.plates.get(&id).cloned()) {
                sorted = self.mark_rows(&sorted, to, &plate);
            }
        }
        Ok(sorted)
    }

    /// Refuses a trace that has elements which the function does not score, or lacks some that it does.
    pub(super) fn covers(&mut self, trace: &Value<'a>, span: Span) -> R<()> {
        let Some(frame) = self.frames.last() else { return Ok(()) };
        let mut names: Vec<String> = frame.pieces.iter().map(|(k, _)| k.name.clone()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names.iter().filter(|n| !is_returned(n)) {
            let Some(shape) = trace.field(name).and_then(leading_shape) else { continue };
            let all: Option<Vec<Vec<(i64, usize)>>> = frame
                .pieces
                .iter()
                .filter(|(k, _)| k.name == *name)
                .map(|(k, _)| k.dims.iter().map(|d| d.interval()).collect())
                .collect();
            let Some(all) = all else { continue };
            tiles(name, &all, &shape, span)?;
        }
        Ok(())
    }

    /// The value with one axis per dimension, in their order.
    fn full_rank(&mut self, key: &PieceKey, value: &Value<'a>, intervals: &[(i64, usize)], span: Span) -> R<Value<'a>> {
        let mut atom = self.force(value, span)?;
        let mut ty = self.program.atom_type(atom);
        let mut order = key.order.clone();
        if !order.windows(2).all(|w| w[0] < w[1]) {
            let mut sorted: Vec<usize> = (0..order.len()).collect();
            sorted.sort_by_key(|&axis| order[axis]);
            let array = Array { scalar: ty.scalar, shape: ty.shape.clone(), repr: Repr::Core(atom) };
            let lead = order.len();
            let mut shape: Vec<usize> = sorted.iter().map(|&axis| ty.shape[axis]).collect();
            shape.extend(&ty.shape[lead..]);
            let permuted = self.map(&shape, ty.scalar, |m, idx| {
                let mut at = idx.to_vec();
                for (new, &old) in sorted.iter().enumerate() {
                    at[old] = idx[new];
                }
                m.element(&array, &at)
            })?;
            order.sort_unstable();
            atom = self.force(&permuted, span)?;
            ty = self.program.atom_type(atom);
        }
        if order.len() < intervals.len() {
            let mut shape: Vec<usize> = intervals.iter().map(|&(_, len)| len).collect();
            shape.extend(&ty.shape[order.len()..]);
            let ty = Type { scalar: ty.scalar, shape: shape.clone() };
            let atom = if self.program.atom_type(atom).is_scalar() {
                self.prim(Prim::Fill { shape: shape.clone() }, &[atom], ty.clone())
            } else {
                self.prim(Prim::Reshape { shape: shape.clone() }, &[atom], ty.clone())
            };
            return Ok(Value::core(atom, ty.scalar, shape));
        }
        Ok(Value::core(atom, ty.scalar, ty.shape))
    }

    #[expect(clippy::type_complexity, reason = "pieces with their intervals")]
    fn join_axis(
        &mut self,
        name: &str,
        pieces: Vec<(Vec<(i64, usize)>, Value<'a>)>,
        axis: usize,
        rank: usize,
        span: Span,
    ) -> R<Value<'a>> {
        if axis == rank {
            let mut pieces = pieces;
            return match (pieces.pop(), pieces.is_empty()) {
                (Some((_, v)), true) => Ok(v),
                _ => Err(Diagnostic::error("E0390", span, format!("address `{name}` repeats")).into()),
            };
        }
        let mut groups: Vec<((i64, usize), Vec<(Vec<(i64, usize)>, Value<'a>)>)> = Vec::new();
        for (intervals, value) in pieces {
            let own = intervals[axis];
            match groups.iter_mut().find(|(i, _)| *i == own) {
                Some((_, g)) => g.push((intervals, value)),
                None => groups.push((own, vec![(intervals, value)])),
            }
        }
        groups.sort_by_key(|(i, _)| *i);
        let mut end = 0;
        let mut atoms = Vec::new();
        for ((from, len), group) in groups {
            if from != end {
                return gap(name, span);
            }
            end = from + len as i64;
            let v = self.join_axis(name, group, axis + 1, rank, span)?;
            atoms.push(self.force(&v, span)?);
        }
        if let [one] = atoms.as_slice() {
            let ty = self.program.atom_type(*one);
            return Ok(Value::core(*one, ty.scalar, ty.shape));
        }
        let mut ty = self.program.atom_type(atoms[0]);
        ty.shape[axis] = end as usize;
        let atom = self.prim(Prim::Concat { axis }, &atoms, ty.clone());
        Ok(Value::core(atom, ty.scalar, ty.shape))
    }

    /// Yields the leaves of the pieces sampled since `mark` from a body over the loops `indices`.
    pub(super) fn collect_pieces(
        &mut self,
        mark: usize,
        span: Span,
        results: &mut Vec<Atom>,
        collectors: &mut Vec<Collector>,
    ) -> R<Vec<(PieceKey, Value<'a>)>> {
        let (keys, values) = self.take_pieces(&mark);
        for v in &values {
            self.collect_leaves(v, &Collector::Collect, span, results, collectors)?;
        }
        Ok(keys.into_iter().zip(values).collect())
    }

    /// The pieces with the loops closed: `atoms` are the collected leaves.
    pub(super) fn close_pieces(
        &mut self,
        pieces: Vec<(PieceKey, Value<'a>)>,
        clauses: &[Clause<'a>],
        indices: &[(Var, usize)],
        atoms: &mut dyn Iterator<Item = Atom>,
        span: Span,
    ) -> R<()> {
        for (mut key, value) in pieces {
            let mut value = self.rebuild(&value, atoms);
            let mut order = Vec::new();
            for (axis, (&(var, len), clause)) in indices.iter().zip(clauses).enumerate() {
                let position =
                    key.dims.iter().position(|d| matches!(d, Dim::At(a) if self.is_index_of(*a, clause, var)));
                let Some(p) = position else {
                    return Err(Diagnostic::error(
                        "E0390",
                        span,
                        format!("address `{}` repeats in this loop", key.name),
                    )
                    .fix(format!("give it the loop's index: `{}[i]`", key.name))
                    .into());
                };
                if let Some(plate) = clause.plate.as_deref().filter(|_| clause.is_subsampled()) {
                    key.dims[p] = Dim::Range { from: plate.from, len: plate.of };
                    value = self.mark_rows(&value, axis, plate);
                } else if let Dim::At(a) = key.dims[p] {
                    key.dims[p] = Dim::Range { from: self.affine(a).1, len };
                }
                order.push(p);
            }
            order.extend(&key.order);
            key.order = order;
            if let Some(f) = self.frames.last_mut() {
                f.pieces.push((key, value));
            }
        }
        Ok(())
    }
}

/// The name under which it is kept whether an address is present, where reports ask for it.
pub(super) fn present(name: &str) -> String {
    format!("{name}?")
}

/// Marks the name under which the results of a child are kept beside its addresses.
const RETURNED: &str = "()";

pub(super) fn returned(name: &str) -> String {
    if is_returned(name) { name.to_owned() } else { format!("{name}{RETURNED}") }
}

fn is_returned(name: &str) -> bool {
    name.ends_with(RETURNED)
}

/// The axes of an array; of a record of arrays, those of its first array.
fn leading_shape(value: &Value<'_>) -> Option<Vec<usize>> {
    match value {
        Value::Record(fields) => fields.iter().find_map(|(_, v)| leading_shape(v)),
        Value::Tuple(items) => items.iter().find_map(leading_shape),
        Value::Array(a) => Some(a.shape.clone()),
        _ => None,
    }
}

/// The pieces must cover each axis once, from 0 to its extent.
fn tiles(name: &str, pieces: &[Vec<(i64, usize)>], shape: &[usize], span: Span) -> R<()> {
    let Some(first) = pieces.first() else { return Ok(()) };
    let (Some(_), Some((&extent, rest))) = (first.first(), shape.split_first()) else { return Ok(()) };
    let mut intervals: Vec<(i64, usize)> = pieces.iter().map(|p| p[0]).filter(|i| i.1 > 0).collect();
    intervals.sort_unstable();
    intervals.dedup();
    let mut end = 0;
    for &(from, len) in &intervals {
        if from != end {
            return uncovered(name, end.min(from), from < end, span);
        }
        end = from + len as i64;
        let inner: Vec<Vec<(i64, usize)>> =
            pieces.iter().filter(|p| p[0] == (from, len)).map(|p| p[1..].to_vec()).collect();
        tiles(name, &inner, rest, span)?;
    }
    if end != extent as i64 {
        return uncovered(name, end.min(extent as i64), end > extent as i64, span);
    }
    Ok(())
}

fn uncovered<T>(name: &str, at: i64, twice: bool, span: Span) -> R<T> {
    let what = if twice { "more than once, or beyond the trace's" } else { "nowhere" };
    Err(Diagnostic::error("E0390", span, format!("element {at} of address `{name}` is sampled {what}"))
        .note("the pieces of an address, such as the groups `start[g]..start[g + 1]`, must cover 0..n once")
        .fix("mend the data that bound the loops, or the loops")
        .into())
}

fn gap<T>(name: &str, span: Span) -> R<T> {
    Err(Diagnostic::error("E0390", span, format!("the pieces of address `{name}` leave a gap or overlap"))
        .note("pieces and groups of an address must cover it; what data leave out leaves a gap")
        .fix("sample every piece: where data decide, under a condition inside the innermost loop")
        .into())
}
