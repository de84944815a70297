//! The loops of one `for`: chunks of its first index, then its indices in order; the vectorised one becomes a loop
//! over strips, with those inside it as loops around segments.

use super::collectors::{Home, Layout, Target, fold_of};
use super::cost;
use super::lowerer::{Lowerer, Value, View, int, signed, strides};
use super::nest::{Fold, Node, Operand, Place};
use super::rows::Rows;
use super::scalar::zero_of;
use super::strip::Strip;
use super::vectorise::{self, Vectorised};
use crate::ir::core::{Atom, Collector, For, Scalar, Stmt, Var, chunk_size};
use crate::ir::op::Op;
use std::collections::HashSet;
use std::rc::Rc;

/// How the indices run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mode {
    Scalar,
    /// This index runs over strips.
    Vector(usize),
    /// All are inside a strip.
    Inner,
}

pub(super) struct Plan<'f> {
    pub f: &'f For,
    pub extents: Vec<usize>,
    pub mode: Mode,
    /// The strip index of the sums' order.
    pub lanes: Option<usize>,
    pub varying: Rc<HashSet<Var>>,
    pub pitch: usize,
    pub rows: Rows,
    /// Arrays of the results.
    pub arrays: Vec<Option<Place>>,
}

impl Plan<'_> {
    /// Layout of the accumulator of summed index `level`.
    pub(super) fn layout(&self, level: usize, ordered: bool) -> Layout {
        match (self.mode, ordered) {
            (Mode::Inner, _) => Layout::Strip,
            (Mode::Vector(_), false) => Layout::Lanes,
            (Mode::Scalar, false) => Layout::Plain,
            (Mode::Vector(k), true) if level > k => Layout::Strip,
            (_, true) if self.lanes == Some(level) => Layout::Lanes,
            (_, true) => Layout::Plain,
        }
    }

    /// Stride of the vectorised index among `outer`.
    pub(super) fn element_stride(&self, outer: &[(usize, i64)]) -> i64 {
        outer.iter().find(|&&(l, _)| self.mode == Mode::Vector(l)).map_or(0, |&(_, s)| s)
    }
}

/// The part of the first index that a chunk covers.
struct Chunk {
    index: Operand,
    start: Operand,
    count: Operand,
}

impl Lowerer {
    pub(super) fn lower_for(&mut self, f: &For) {
        let vectorised = match self.strip {
            None => vectorise::choose(self, f, 0),
            Some(_) => None,
        };
        match vectorised {
            Some(Vectorised { f, index, varying, pitch }) => {
                self.outer_for(&f, Mode::Vector(index), varying, pitch, Rows::default());
            }
            None => self.outer_for(f, Mode::Scalar, Rc::default(), 1, Rows::default()),
        }
    }

    pub(super) fn outer_for(&mut self, f: &For, mode: Mode, varying: Rc<HashSet<Var>>, pitch: usize, rows: Rows) {
        let extents: Vec<usize> = f.indices.iter().map(|&(_, n)| n).collect();
        let chunk = chunk_size(extents[0]);
        let chunks = if f.strip.is_some() { extents[0].div_ceil(chunk) } else { 1 };
        let mut plan = Plan { f, extents, mode, lanes: f.strip, varying, pitch, rows, arrays: Vec::new() };
        let mut homes: Vec<Home> = Vec::new();
        for (&result, collector) in f.results.iter().zip(&f.collectors) {
            homes.push(match collector {
                Collector::SumAt { .. } => {
                    let size = self.ty(result).size();
                    Home::Memory(self.result_slot(result, size))
                }
                _ => self.result_home(result),
            });
        }
        plan.arrays = homes
            .iter()
            .map(|h| match h {
                Home::Memory(place) => Some(place.clone()),
                Home::Reg(_) => None,
            })
            .collect();
        let outer_strip = self.strip.take();
        if mode != Mode::Scalar {
            self.strip = Some(Strip::new(pitch, plan.varying.clone()));
        }
        let whole = Chunk { index: Operand::Int(0), start: Operand::Int(0), count: int(plan.extents[0]) };
        if chunks <= 1 {
            let targets: Vec<Target> = (0..homes.len()).map(|i| self.target(&plan, i, &homes[i], false)).collect();
            self.start_targets(&plan, &targets);
            self.run(&plan, &targets, &whole);
        } else {
            self.chunked(&plan, &homes, chunk, chunks);
        }
        self.strip = outer_strip;
        for (&result, home) in f.results.iter().zip(homes) {
            match home {
                Home::Reg(r) => self.set_scalar(result, Operand::Reg(r)),
                Home::Memory(place) if self.program.ty(result).is_scalar() => {
                    let scalar = self.ty(result).scalar;
                    let value = self.load(place, scalar);
                    self.set_scalar(result, value);
                }
                Home::Memory(place) => self.set_array(result, place),
            }
        }
    }

    fn result_home(&mut self, var: Var) -> Home {
        let ty = self.ty(var);
        if ty.is_scalar() { Home::Reg(self.reg(ty.scalar)) } else { Home::Memory(self.result_slot(var, ty.size())) }
    }

    fn chunked(&mut self, plan: &Plan, homes: &[Home], chunk: usize, chunks: usize) {
        let n = plan.extents[0];
        let mut areas: Vec<Option<(Place, usize, Fold, Scalar)>> = Vec::new();
        for (number, collector) in plan.f.collectors.iter().enumerate() {
            let ty = self.ty(plan.f.results[number]);
            let by_chunk = match collector {
                Collector::Sum { keep } => !keep.contains(&0),
                Collector::Max | Collector::Min | Collector::All | Collector::SumAt { .. } => true,
                Collector::Collect => false,
            };
            let area = by_chunk.then(|| {
                let place = if self.depth == 0 {
                    self.frame_slot(ty.size() * chunks)
                } else {
                    self.scratch_slot(ty.size() * chunks)
                };
                (place, ty.size(), fold_of(collector).unwrap_or(Fold::Sum), ty.scalar)
            });
            areas.push(area);
        }
        let body = |s: &mut Lowerer, c: Operand| {
            let start = s.mul(c, signed(chunk));
            let count = if n.is_multiple_of(chunk) {
                int(chunk)
            } else {
                let left = s.op(Op::ISub, &[int(n), start]);
                s.op(Op::IMin, &[left, int(chunk)])
            };
            let mut targets = Vec::new();
            for (number, home) in homes.iter().enumerate() {
                let home = match &areas[number] {
                    Some((place, size, ..)) => Home::Memory(place.at(c, signed(*size))),
                    None => home.clone(),
                };
                targets.push(s.target(plan, number, &home, areas[number].is_some()));
            }
            s.start_targets(plan, &targets);
            s.run(plan, &targets, &Chunk { index: c, start, count });
        };
        if self.depth == 0 && cost::of_for(&self.program, plan.f, plan.rows.streamed()) >= cost::WORTH_THREADS {
            self.task(plan.f, chunks, body);
        } else {
            self.repeat(int(chunks), chunks, false, body);
        }
        for (area, home) in areas.iter().zip(homes) {
            if let Some((place, size, fold, scalar)) = area {
                self.combine(place, *size, chunks, *fold, *scalar, home);
            }
        }
    }

    /// A routine of its own that runs one chunk; scalars from outside pass through the frame.
    fn task(&mut self, f: &For, chunks: usize, body: impl FnOnce(&mut Lowerer, Operand)) {
        let mut passed = Vec::new();
        for var in Stmt::For(f.clone()).free_vars() {
            if let Some(Value::Scalar(Operand::Reg(reg))) = self.values.get(&var) {
                let (reg, scalar) = (*reg, self.regs[reg.0 as usize].scalar);
                let place = self.frame_slot(1);
                self.store(place.clone(), Operand::Reg(reg));
                passed.push((var, Value::Scalar(Operand::Reg(reg)), place, scalar, self.ranges[reg.0 as usize]));
            }
        }
        let (regs, ranges) = (std::mem::take(&mut self.regs), std::mem::take(&mut self.ranges));
        let chunk = self.reg(Scalar::Int);
        self.set_range(chunk, Some((0, signed(chunks) - 1)));
        let nodes = self.region(|s| {
            for (var, _, place, scalar, range) in &passed {
                let value = s.load(place.clone(), *scalar);
                if let Operand::Reg(reg) = value {
                    s.set_range(reg, *range);
                }
                s.set_scalar(*var, value);
            }
            body(s, Operand::Reg(chunk));
        });
        let regs = std::mem::replace(&mut self.regs, regs);
        self.ranges = ranges;
        self.values.extend(passed.into_iter().map(|(var, value, ..)| (var, value)));
        let task = self.nests.tasks.len();
        self.nests.tasks.push(super::nest::Routine { regs, body: nodes, chunk: Some(chunk) });
        self.nodes.push(Node::Parallel { task, count: chunks });
    }

    fn target(&mut self, plan: &Plan, number: usize, home: &Home, chunked: bool) -> Target {
        let value = plan.f.body.results[number];
        let collects = match &plan.f.collectors[number] {
            Collector::Collect => true,
            // Summed over no index.
            Collector::Sum { keep } => keep.len() == plan.extents.len(),
            _ => false,
        };
        match (&plan.f.collectors[number], home) {
            (_, Home::Memory(place)) if collects => {
                let ty = self.program.atom_type(value);
                let mut shape = plan.extents.clone();
                shape.push(ty.size());
                let factor = if plan.mode == Mode::Inner { signed(self.pitch()) } else { 1 };
                let strides = strides(&shape)[..plan.extents.len()].iter().map(|s| s * factor).collect();
                Target::Collect { place: place.clone(), strides, factor }
            }
            (Collector::SumAt { index, shape }, Home::Memory(place)) => {
                Target::SumAt { place: place.clone(), index: index.clone(), shape: shape.clone() }
            }
            _ => self.fold_target(plan, number, home.clone(), chunked),
        }
    }

    /// What has to hold before the first index runs.
    fn start_targets(&mut self, plan: &Plan, targets: &[Target]) {
        self.init_accs(plan, targets, None, &[]);
        let pitch = if plan.mode == Mode::Inner { self.pitch() } else { 1 };
        for (number, target) in targets.iter().enumerate() {
            if let Target::SumAt { place, .. } = target {
                let ty = self.ty(plan.f.results[number]);
                let (scalar, count) = (ty.scalar, ty.size() * pitch);
                self.nodes.push(Node::Fill { to: place.clone(), scalar, value: zero_of(scalar), count });
            }
        }
    }

    fn run(&mut self, plan: &Plan, targets: &[Target], chunk: &Chunk) {
        self.start_rows(&plan.rows, chunk.index);
        let mut at = Vec::new();
        self.level(plan, targets, chunk, &mut at);
    }

    fn level(&mut self, plan: &Plan, targets: &[Target], chunk: &Chunk, at: &mut Vec<Operand>) {
        let level = at.len();
        if level == plan.extents.len() {
            return self.innermost(plan, targets, at);
        }
        self.init_accs(plan, targets, Some(level), at);
        let extent = plan.extents[level];
        let (start, count) = if level == 0 { (chunk.start, chunk.count) } else { (Operand::Int(0), int(extent)) };
        let index = plan.f.indices[level].0;
        if plan.mode == Mode::Vector(level) {
            self.strips(plan, targets, chunk, at, (start, count));
        } else {
            self.repeat(count, extent, false, |s, i| {
                let i = s.offset_index(i, start, extent);
                s.set_scalar(index, i);
                at.push(i);
                s.level(plan, targets, chunk, at);
                at.pop();
            });
        }
        self.finish_accs(plan, targets, level, at);
    }

    /// `start + i`, known to be below `extent`.
    fn offset_index(&mut self, i: Operand, start: Operand, extent: usize) -> Operand {
        let i = self.add(i, start);
        if let Operand::Reg(r) = i {
            self.set_range(r, Some((0, signed(extent) - 1)));
        }
        i
    }

    fn strips(
        &mut self,
        plan: &Plan,
        targets: &[Target],
        chunk: &Chunk,
        at: &mut Vec<Operand>,
        (start, count): (Operand, Operand),
    ) {
        let level = at.len();
        let (index, extent) = plan.f.indices[level];
        let pitch = plan.pitch;
        let number = match count {
            Operand::Int(n) => int(usize::try_from(n).unwrap_or(0).div_ceil(pitch)),
            _ => {
                let rounded = self.add(count, int(pitch - 1));
                self.op(Op::IDiv, &[rounded, int(pitch)])
            }
        };
        let limit = extent.div_ceil(pitch);
        self.repeat(number, limit, false, |s, strip| {
            let done = s.mul(strip, signed(pitch));
            let length = match count {
                Operand::Int(n) if n % signed(pitch) == 0 => int(pitch),
                Operand::Int(n) if n <= signed(pitch) => count,
                _ => {
                    let left = s.op(Op::ISub, &[count, done]);
                    s.op(Op::IMin, &[left, int(pitch)])
                }
            };
            let first = s.offset_index(done, start, extent);
            s.enter_strip(index, first, length, extent);
            s.strip_dots(&plan.rows, first, length);
            at.push(first);
            s.level(plan, targets, chunk, at);
            at.pop();
            s.strip_axpys(plan, chunk.index, first, length);
        });
    }

    /// A `for` inside a strip: its results are strips, or arrays of them.
    pub(super) fn inner_for(&mut self, f: &For) {
        let extents: Vec<usize> = f.indices.iter().map(|&(_, n)| n).collect();
        let varying = self.strip.as_ref().map(|s| s.varying.clone()).unwrap_or_default();
        let pitch = self.pitch();
        let (rows, arrays) = (Rows::default(), Vec::new());
        let plan = Plan { f, extents, mode: Mode::Inner, lanes: None, varying, pitch, rows, arrays };
        let mut homes = Vec::new();
        for &result in &f.results {
            let size = self.ty(result).size();
            homes.push(Home::Memory(self.scratch_slot(size * pitch)));
        }
        let targets: Vec<Target> = (0..homes.len()).map(|i| self.target(&plan, i, &homes[i], false)).collect();
        self.start_targets(&plan, &targets);
        self.predraw(&f.body, &mut f.indices.clone());
        self.run(
            &plan,
            &targets,
            &Chunk { index: Operand::Int(0), start: Operand::Int(0), count: int(plan.extents[0]) },
        );
        for (&result, home) in f.results.iter().zip(homes) {
            if let Home::Memory(place) = home {
                self.set_strips(result, place);
            }
        }
    }

    /// A variable's strips are at `place`.
    pub(super) fn set_strips(&mut self, var: Var, place: Place) {
        let ty = self.ty(var);
        let value = if ty.is_scalar() {
            Value::Lanes(super::lowerer::LaneValue { buffer: Some(place), ..Default::default() })
        } else {
            Value::LaneArray(View { place, shape: ty.shape })
        };
        self.values.insert(var, value);
    }

    fn innermost(&mut self, plan: &Plan, targets: &[Target], at: &[Operand]) {
        if plan.mode == Mode::Scalar {
            self.array_hints(plan, targets, at);
            self.stmts(&plan.f.body.stmts);
            self.yield_scalars(plan, targets, at);
        } else {
            let sinks = self.sinks(plan, targets, at);
            self.strip_block(&plan.f.body.stmts, &sinks);
        }
    }

    /// An array that the body makes and only collects is made where it is collected.
    fn array_hints(&mut self, plan: &Plan, targets: &[Target], at: &[Operand]) {
        for (target, value) in targets.iter().zip(&plan.f.body.results) {
            let (Target::Collect { place, strides, .. }, Atom::Var(var)) = (target, *value) else { continue };
            if self.program.ty(var).is_scalar() || self.hints.contains_key(&var) {
                continue;
            }
            let made = plan.f.body.stmts.iter().any(|stmt| match stmt {
                Stmt::For(f) => f.results.contains(&var),
                Stmt::Contract(c) => c.result == var,
                Stmt::If(i) => i.results.contains(&var),
                _ => false,
            });
            if made {
                let mut place = place.clone();
                for (&index, &stride) in at.iter().zip(strides) {
                    place = place.at(index, stride);
                }
                self.hints.insert(var, place);
            }
        }
    }
}
