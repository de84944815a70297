//! `for`, `loop`, `if`, and the folds of their collectors in the order that Core defines.

use super::super::core::{Atom, Collector, For, If, Loop, Program, Scalar, Type, Var, chunk_size};
use super::machine::Machine;
use super::{from_int, int, scalar};
use std::sync::Arc;

/// Adds cell by cell, as reals or ints.
fn add(ints: bool, to: &mut [f64], from: &[f64]) {
    for (t, &f) in to.iter_mut().zip(from) {
        *t = if ints { from_int(int(*t).wrapping_add(int(f))) } else { *t + f };
    }
}

/// One index of a `for` as `collect` and `sum` see it.
struct Level {
    /// The index is an axis of the result (else it is summed over).
    kept: bool,
    /// Cells of one iteration.
    size: usize,
    /// Cells of the level: what the current chunk (or the whole index) has given so far.
    cells: Vec<f64>,
    /// Four partial sums, if this is the strip index and summed over.
    lanes: Option<Vec<f64>>,
    /// Sum of the chunks that are complete, if this is the chunked index and summed over.
    total: Option<Vec<f64>>,
}

/// The running state of one collector.
enum Fold {
    /// `collect` and `sum`: one level per index.
    Nested {
        levels: Vec<Level>,
        ints: bool,
    },
    Extreme {
        cell: f64,
        greatest: bool,
        ints: bool,
    },
    All(bool),
    /// `chunk` is the current chunk's own copy.
    At {
        total: Vec<f64>,
        chunk: Option<Vec<f64>>,
        size: usize,
        ints: bool,
    },
}

impl Fold {
    fn new(collector: &Collector, value: &Type, extents: &[usize], strip: Option<usize>) -> Fold {
        let ints = value.scalar == Scalar::Int;
        match collector {
            Collector::Collect | Collector::Sum { .. } => {
                let mut size = value.size();
                let mut levels: Vec<Level> = Vec::with_capacity(extents.len());
                for (d, &n) in extents.iter().enumerate().rev() {
                    let kept = match collector {
                        Collector::Sum { keep } => keep.contains(&d),
                        _ => true,
                    };
                    let cells = vec![0.0; if kept { n * size } else { size }];
                    let lanes = (!kept && strip == Some(d)).then(|| vec![0.0; 4 * size]);
                    let total = (!kept && strip.is_some() && d == 0).then(|| vec![0.0; size]);
                    let next = cells.len();
                    levels.push(Level { kept, size, cells, lanes, total });
                    size = next;
                }
                levels.reverse();
                Fold::Nested { levels, ints }
            }
            Collector::Max => {
                Fold::Extreme { cell: if ints { from_int(i64::MIN) } else { f64::NEG_INFINITY }, greatest: true, ints }
            }
            Collector::Min => {
                Fold::Extreme { cell: if ints { from_int(i64::MAX) } else { f64::INFINITY }, greatest: false, ints }
            }
            Collector::All => Fold::All(true),
            Collector::SumAt { shape, .. } => {
                let cells = vec![0.0; shape.iter().product::<usize>() * value.size()];
                Fold::At { chunk: strip.map(|_| cells.clone()), total: cells, size: value.size(), ints }
            }
        }
    }

    /// Starts index `d` anew.
    fn begin(&mut self, d: usize) {
        if let Fold::Nested { levels, .. } = self {
            let level = &mut levels[d];
            level.cells.fill(0.0);
            level.lanes.iter_mut().for_each(|l| l.fill(0.0));
            level.total.iter_mut().for_each(|t| t.fill(0.0));
        }
    }

    /// Takes the finished cells of index `d + 1` as iteration `i` of index `d`.
    fn take_inner(&mut self, d: usize, i: usize) {
        if let Fold::Nested { levels, ints } = self {
            let (outer, inner) = levels.split_at_mut(d + 1);
            take(&mut outer[d], *ints, i, inner[0].result());
        }
    }

    /// At the end of a chunk of index 0, or of index `d`.
    fn end(&mut self, d: usize, chunked: bool) {
        match self {
            Fold::Nested { levels, ints } => levels[d].end(*ints),
            Fold::At { total, chunk: Some(chunk), ints, .. } if chunked => {
                add(*ints, total, chunk);
                chunk.fill(0.0);
            }
            Fold::At { .. } | Fold::Extreme { .. } | Fold::All(_) => {}
        }
    }

    fn finish(self) -> Vec<f64> {
        match self {
            Fold::Nested { levels, .. } => levels.into_iter().next().map(Level::into_result).unwrap_or_default(),
            Fold::Extreme { cell, .. } => vec![cell],
            Fold::All(b) => vec![from_int(i64::from(b))],
            Fold::At { total, .. } => total,
        }
    }
}

fn take(level: &mut Level, ints: bool, i: usize, value: &[f64]) {
    let size = level.size;
    if level.kept {
        level.cells[i * size..(i + 1) * size].copy_from_slice(value);
    } else if let Some(lanes) = &mut level.lanes {
        let lane = i % 4;
        add(ints, &mut lanes[lane * size..(lane + 1) * size], value);
    } else {
        add(ints, &mut level.cells, value);
    }
}

impl Level {
    /// Combines the lanes; adds the chunk to the total.
    fn end(&mut self, ints: bool) {
        let size = self.size;
        if let Some(lanes) = &mut self.lanes {
            let (low, high) = lanes.split_at_mut(2 * size);
            add(ints, low, high);
            let (first, second) = low.split_at_mut(size);
            add(ints, first, second);
            self.cells.copy_from_slice(first);
            lanes.fill(0.0);
        }
        if let Some(total) = &mut self.total {
            add(ints, total, &self.cells);
            self.cells.fill(0.0);
        }
    }

    fn result(&self) -> &[f64] {
        self.total.as_deref().unwrap_or(&self.cells)
    }

    fn into_result(self) -> Vec<f64> {
        self.total.unwrap_or(self.cells)
    }
}

impl Machine {
    pub(super) fn for_(&mut self, program: &Program, f: &For) {
        let extents: Vec<usize> = f.indices.iter().map(|&(_, n)| n).collect();
        let mut folds: Vec<Fold> = f
            .collectors
            .iter()
            .zip(&f.body.results)
            .map(|(c, &value)| Fold::new(c, &program.atom_type(value), &extents, f.strip))
            .collect();
        self.note_start(&f.results);
        self.level(program, f, 0, &mut folds);
        self.finish(program, folds, &f.results);
    }

    fn finish(&mut self, program: &Program, folds: Vec<Fold>, results: &[Var]) {
        for (fold, &result) in folds.into_iter().zip(results) {
            self.bind(result, program.ty(result), fold.finish());
        }
    }

    /// Runs index `d` of a `for`; as deep as the `for` has indices.
    fn level(&mut self, program: &Program, f: &For, d: usize, folds: &mut [Fold]) {
        let (var, n) = f.indices[d];
        let chunk = if f.strip.is_some() && d == 0 { chunk_size(n) } else { usize::MAX };
        folds.iter_mut().for_each(|fold| fold.begin(d));
        for i in 0..n {
            if i > 0 && i.is_multiple_of(chunk) {
                folds.iter_mut().for_each(|fold| fold.end(d, true));
            }
            self.set(var, from_int(i as i64));
            if d + 1 == f.indices.len() {
                self.stmts(program, &f.body.stmts);
                self.note_results(program, &f.results, &f.body.results);
                for ((fold, c), &value) in folds.iter_mut().zip(&f.collectors).zip(&f.body.results) {
                    self.fold(program, fold, c, value, d, i);
                }
            } else {
                self.level(program, f, d + 1, folds);
                folds.iter_mut().for_each(|fold| fold.take_inner(d, i));
            }
        }
        if n > 0 || d > 0 {
            folds.iter_mut().for_each(|fold| fold.end(d, d == 0));
        }
    }

    /// Adds one iteration's value.
    fn fold(&mut self, program: &Program, fold: &mut Fold, collector: &Collector, value: Atom, d: usize, i: usize) {
        let cells;
        let one;
        let slice: &[f64] = match value {
            Atom::Var(v) if !program.ty(v).is_scalar() => {
                cells = self.cells(program, value);
                &cells
            }
            _ => {
                one = [self.cell(value)];
                &one
            }
        };
        match fold {
            Fold::Nested { levels, ints } => take(&mut levels[d], *ints, i, slice),
            Fold::Extreme { cell, greatest, ints } => {
                let x = self.cell(value);
                *cell = match (*ints, *greatest) {
                    (true, true) => from_int(int(*cell).max(int(x))),
                    (true, false) => from_int(int(*cell).min(int(x))),
                    (false, true) => scalar::maximum(*cell, x),
                    (false, false) => scalar::minimum(*cell, x),
                };
            }
            Fold::All(all) => *all &= self.bool(value),
            Fold::At { total, chunk, size, ints } => {
                let Collector::SumAt { index, shape } = collector else { return };
                let Some(offset) = self.offset(shape, index) else {
                    self.faults.domain = true;
                    return;
                };
                let to = chunk.as_mut().unwrap_or(total);
                add(*ints, &mut to[offset * *size..(offset + 1) * *size], slice);
            }
        }
    }

    pub(super) fn loop_(&mut self, program: &Program, l: &Loop) {
        let count = l.carried.len();
        self.note_start(&l.results);
        for &(v, init) in &l.carried {
            self.copy(program, v, init);
            self.note_copy(v, init);
        }
        let mut folds: Vec<Fold> = l
            .collectors
            .iter()
            .zip(&l.body.results[count..])
            .map(|(c, &value)| Fold::new(c, &program.atom_type(value), &[l.extent], None))
            .collect();
        let mut next: Vec<(f64, Arc<Vec<f64>>)> = Vec::with_capacity(count);
        for step in 0..l.extent {
            let i = if l.reverse { l.extent - 1 - step } else { step };
            self.set(l.index, from_int(i as i64));
            self.stmts(program, &l.body.stmts);
            self.note_results(program, &l.results[count..], &l.body.results[count..]);
            for ((fold, c), &value) in folds.iter_mut().zip(&l.collectors).zip(&l.body.results[count..]) {
                self.fold(program, fold, c, value, 0, i);
            }
            // All are read before any is written: one may be the next value of another.
            next.clear();
            next.extend(l.body.results[..count].iter().map(|&a| self.pair(program, a)));
            for (&(v, _), (cell, cells)) in l.carried.iter().zip(next.drain(..)) {
                self.set(v, cell);
                self.set_array(v, cells);
            }
            for (&(v, _), &value) in l.carried.iter().zip(&l.body.results) {
                self.note_copy(v, value);
            }
        }
        for (&(v, _), &result) in l.carried.iter().zip(&l.results) {
            self.copy(program, result, v.into());
            self.note_copy(result, v.into());
        }
        self.finish(program, folds, &l.results[count..]);
    }

    pub(super) fn if_(&mut self, program: &Program, i: &If) {
        let side = if self.bool(i.condition) { &i.then } else { &i.otherwise };
        self.stmts(program, &side.stmts);
        for (&result, &value) in i.results.iter().zip(&side.results) {
            self.copy(program, result, value);
            self.note_copy(result, value);
        }
    }

    /// A value of any type: its cell if it is a scalar, its vector if it is an array.
    fn pair(&self, program: &Program, atom: Atom) -> (f64, Arc<Vec<f64>>) {
        match atom {
            Atom::Var(v) if !program.ty(v).is_scalar() => (0.0, self.cells(program, atom)),
            _ => (self.cell(atom), self.no_array()),
        }
    }

    fn copy(&mut self, program: &Program, to: Var, from: Atom) {
        if program.ty(to).is_scalar() {
            let cell = self.cell(from);
            self.set(to, cell);
        } else {
            let cells = self.cells(program, from);
            self.set_array(to, cells);
        }
    }
}
