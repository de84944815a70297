//! The body of a strip: statements in levels of the dependency graph. Level L is one segment of arithmetic, then the
//! kernel calls and draws that need it (calls of one kernel merged over adjacent buffers), then nested loops and
//! branches. What does not vary over the strip is scalar code before all of it.

use super::collectors::{Home, Layout, Target, factor};
use super::levels::{Mode, Plan};
use super::lowerer::{LaneValue, Lowerer, Value, View, int, signed, strides};
use super::nest::{Base, Fold, LaneIndex, LaneNode, Node, Operand, Place, WIDTH};
use super::primitive::Spec;
use super::scalar::{mirrored, zero_of};
use super::schedule::Schedule;
use super::vectorise::statement_varies;
use crate::ir::core::{Atom, Block, Collector, Contract, Draw, If, Loop, Prim, Scalar, Stmt, Var};
use crate::ir::op::Op;
use std::collections::HashSet;
use std::rc::Rc;

/// The strip being made.
pub(super) struct Strip {
    pub pitch: usize,
    pub count: Operand,
    pub tail: bool,
    pub varying: Rc<HashSet<Var>>,
    /// The open segment and its number.
    pub open: Option<(u32, Vec<LaneNode>)>,
}

impl Strip {
    pub(super) fn new(pitch: usize, varying: Rc<HashSet<Var>>) -> Strip {
        Strip { pitch, count: Operand::Int(0), tail: true, varying, open: None }
    }
}

/// Where a value of the strip goes. Elements of an array value are `factor` words apart.
#[derive(Clone, Debug)]
pub(super) enum Sink {
    /// Element `e` to `place + stride * e`.
    Store { place: Place, stride: i64, factor: i64, padded: bool },
    /// Element `e` is folded into the word at `place + stride * e`.
    /// (`buffer`: a strip buffer).
    Fold { place: Place, stride: i64, factor: i64, fold: Fold, buffer: bool },
    /// Element `e` meets accumulator lane `e mod 4`.
    Accumulate { place: Place, factor: i64, fold: Fold },
    /// Added to an array of strips, each element at its own index.
    Scatter { place: Place, index: Vec<Atom>, shape: Vec<usize> },
    /// Added to an array, in order of elements.
    SumAt { place: Place, index: Vec<Atom>, shape: Vec<usize> },
}

impl Lowerer {
    pub(super) fn enter_strip(&mut self, index: Var, first: Operand, count: Operand, extent: usize) {
        if let Some(strip) = &mut self.strip {
            strip.count = count;
            strip.tail = !extent.is_multiple_of(WIDTH);
        }
        let range = Some((0, signed(extent) - 1));
        self.values.insert(index, Value::Lanes(LaneValue { affine: Some((first, 1)), range, ..Default::default() }));
    }

    /// Sinks of the innermost body of a vectorised `for`.
    pub(super) fn sinks(&mut self, plan: &Plan, targets: &[Target], at: &[Operand]) -> Vec<(Atom, Sink)> {
        let mut sinks = Vec::new();
        for (target, &value) in targets.iter().zip(&plan.f.body.results) {
            let sink = match target {
                Target::Collect { place, strides, factor } => {
                    let mut place = place.clone();
                    let mut stride = i64::from(plan.mode == Mode::Inner);
                    for (level, (&index, &step)) in at.iter().zip(strides).enumerate() {
                        place = place.at(index, step);
                        if plan.mode == Mode::Vector(level) {
                            stride = step;
                        }
                    }
                    let padded = plan.mode == Mode::Inner || self.whole(plan, &place, value, stride);
                    Sink::Store { place, stride, factor: *factor, padded }
                }
                Target::SumAt { place, index, shape } => {
                    let (place, index, shape) = (place.clone(), index.clone(), shape.clone());
                    match plan.mode {
                        Mode::Inner => Sink::Scatter { place, index, shape },
                        _ => Sink::SumAt { place, index, shape },
                    }
                }
                Target::Fold { fold, accs, .. } => {
                    let Some(acc) = accs.last() else { continue };
                    let Home::Memory(mut place) = self.acc_home(target, accs.len() - 1, at) else {
                        self.fail("an accumulator of strips in a register");
                        continue;
                    };
                    let mut stride = 1;
                    for &(level, step) in &acc.kept {
                        place = place.at(at[level], step);
                        if plan.mode == Mode::Vector(level) {
                            stride = step;
                        }
                    }
                    let step = factor(acc.layout, plan.pitch);
                    match acc.layout {
                        Layout::Lanes => Sink::Accumulate { place, factor: step, fold: *fold },
                        Layout::Strip | Layout::Plain => {
                            let buffer = acc.layout == Layout::Strip;
                            Sink::Fold { place, stride, factor: step, fold: *fold, buffer }
                        }
                    }
                }
            };
            sinks.push((value, sink));
        }
        sinks
    }

    /// Whether the strip is all of an array that has a slot to itself.
    fn whole(&self, plan: &Plan, place: &Place, value: Atom, stride: i64) -> bool {
        let scalar = !self.is_array(value);
        stride == 1
            && scalar
            && plan.extents.len() == 1
            && plan.extents[0] <= plan.pitch
            && place.index.is_empty()
            && place.base == Base::Frame
            && self.frame_slots.contains(&place.offset)
    }

    /// Lowers a block of a strip; its results go to `sinks`.
    pub(super) fn strip_block(&mut self, stmts: &[Stmt], sinks: &[(Atom, Sink)]) {
        let Some(varying) = self.strip.as_ref().map(|s| s.varying.clone()) else { return };
        let (uniform, rest): (Vec<&Stmt>, Vec<&Stmt>) = stmts.iter().partition(|s| !statement_varies(s, &varying));
        for stmt in uniform {
            self.stmt(stmt);
        }
        let schedule = Schedule::new(&rest, sinks, &self.program);
        for level in 0..schedule.levels {
            self.strip_level(&rest, sinks, &schedule, level);
        }
        for (value, sink) in sinks {
            match sink {
                Sink::SumAt { place, index, shape } => self.strip_sum_at(*value, place, index, shape),
                _ if self.is_array(*value) => self.sink_array(*value, sink),
                _ => {}
            }
        }
    }

    fn strip_level(&mut self, stmts: &[&Stmt], sinks: &[(Atom, Sink)], schedule: &Schedule, level: usize) {
        self.open_segment();
        for &i in &schedule.inline[level] {
            match stmts[i] {
                Stmt::Op { result, op, args } => {
                    self.lane_stmt(*result, *op, args, schedule.buffered.contains(result));
                }
                Stmt::Check { ok, check } => {
                    let ok = self.lane_operand(*ok);
                    self.lane(LaneNode::Check { ok, check: *check });
                }
                _ => {}
            }
        }
        for &i in &schedule.sinks[level] {
            let (value, sink) = &sinks[i];
            let value = self.lane_operand(*value);
            self.apply(sink, Operand::Int(0), value);
        }
        let pitch = self.pitch();
        let mut calls = Vec::new();
        for (op, members) in &schedule.kernels[level] {
            let arity = match stmts[members[0]] {
                Stmt::Op { args, .. } => args.len(),
                _ => 0,
            };
            let single = |arg: usize| match (&members[..], stmts[members[0]]) {
                ([_], Stmt::Op { args, .. }) => self.lane_place(args[arg]),
                _ => None,
            };
            let direct: Vec<Option<Place>> = (0..arity).map(single).collect();
            let mut areas = Vec::new();
            for place in &direct {
                areas.push(match place {
                    Some(place) => place.clone(),
                    None => self.scratch_slot(pitch * members.len()),
                });
            }
            let output = match direct.iter().position(Option::is_none) {
                Some(staged) => areas[staged].clone(),
                None => self.scratch_slot(pitch),
            };
            for (slot, &i) in members.iter().enumerate() {
                let Stmt::Op { args, .. } = stmts[i] else { continue };
                for ((area, &arg), _) in areas.iter().zip(args).zip(&direct).filter(|(_, d)| d.is_none()) {
                    let value = self.lane_operand(arg);
                    self.strip_buffer(area.plus(slot * pitch), value);
                }
            }
            calls.push((*op, members, areas, output));
        }
        let mut draws = Vec::new();
        for &i in &schedule.draws[level] {
            let Stmt::Draw(d) = stmts[i] else { continue };
            match self.predrawn.get(&d.result).cloned() {
                Some(drawn) => {
                    let reload = drawn.at(self);
                    let value = LaneValue { reload: Some(reload), ..Default::default() };
                    self.values.insert(d.result, Value::Lanes(value));
                }
                None => draws.push(self.stage_draw(d)),
            }
        }
        self.close_segment();
        let count = self.strip.as_ref().map_or(Operand::Int(0), |s| s.count);
        for (op, members, areas, output) in calls {
            let count = if members.len() == 1 { count } else { int(pitch * members.len()) };
            self.nodes.push(Node::Kernel { op, inputs: areas, output: output.clone(), count });
            for (slot, &i) in members.iter().enumerate() {
                if let Stmt::Op { result, .. } = stmts[i] {
                    self.set_strips(*result, output.plus(slot * pitch));
                }
            }
        }
        for (node, result, mirror) in draws {
            let Node::DrawStrip { output, noise, .. } = &node else { continue };
            let (output, noise) = (output.clone(), *noise);
            self.nodes.push(node);
            self.set_strips(result, output.clone());
            if let (Some(mirror), Some((op, before))) = (mirror, mirrored(noise)) {
                self.open_segment();
                let value = self.lane_operand(result.into());
                let mut args = before.to_vec();
                args.push(value);
                let other = self.lane_op(op, &args);
                let mirror = self.lane_operand(mirror);
                let value = self.lane_op(Op::Select, &[mirror, other, value]);
                self.strip_buffer(output.clone(), value);
                self.close_segment();
                self.set_strips(result, output);
            }
        }
        for &i in &schedule.compounds[level] {
            match stmts[i] {
                Stmt::For(f) => self.inner_for(f),
                Stmt::Loop(l) => self.strip_loop(l),
                Stmt::If(x) => self.strip_if(x),
                Stmt::Contract(c) => self.strip_contract(c),
                Stmt::Array { results, prim, args } => self.strip_primitive(results[0], prim, args),
                _ => self.fail("a statement that has no form over strips"),
            }
        }
    }

    /// Puts what a draw needs into buffers; the call comes after the segment.
    fn stage_draw(&mut self, d: &Draw) -> (Node, Var, Option<Atom>) {
        let pitch = self.pitch();
        let extents: Vec<usize> = d.index.iter().map(|&(_, n)| n).collect();
        let mut index = Operand::Int(0);
        let mut stride = 0;
        let mut gathered: Option<Operand> = None;
        for (&(atom, _), step) in d.index.iter().zip(strides(&extents)) {
            let affine = match atom.var().and_then(|v| self.values.get(&v)) {
                Some(Value::Lanes(value)) => value.affine,
                _ => Some((self.operand(atom), 0)),
            };
            if let Some((base, coefficient)) = affine {
                let term = self.mul(base, step);
                index = self.add(index, term);
                stride += coefficient * step;
            } else {
                let at = self.lane_operand(atom);
                let term = self.lane_op(Op::IMul, &[at, Operand::Int(step)]);
                gathered = Some(match gathered {
                    Some(sum) => self.lane_op(Op::IAdd, &[sum, term]),
                    None => term,
                });
            }
        }
        let at = gathered.map(|term| {
            let first = self.lane_reg(Scalar::Int);
            self.lane(LaneNode::Position { result: first, base: index, coefficient: stride });
            let sum = self.lane_op(Op::IAdd, &[Operand::Reg(first), term]);
            let place = self.scratch_slot(pitch);
            self.strip_buffer(place.clone(), sum);
            place
        });
        let mut args = Vec::new();
        for &arg in &d.args {
            let place = self.scratch_slot(pitch);
            let value = self.lane_operand(arg);
            self.strip_buffer(place.clone(), value);
            args.push(place);
        }
        let output = self.scratch_slot(pitch);
        let count = self.strip.as_ref().map_or(Operand::Int(0), |s| s.count);
        let node = Node::DrawStrip { noise: d.noise, site: d.site, args, index, stride, at, output, count };
        (node, d.result, d.mirror)
    }

    fn apply(&mut self, sink: &Sink, element: Operand, value: Operand) {
        match sink {
            Sink::Store { place, factor, padded: true, .. } => self.strip_buffer(place.at(element, *factor), value),
            Sink::Store { place, stride, factor, .. } => self.lane_store(place.at(element, *factor), *stride, value),
            Sink::Fold { place, stride, factor, fold, buffer } => {
                let scalar = self.scalar_of(value);
                let place = place.at(element, *factor);
                let acc = self.lane_load(place.clone(), *stride, scalar);
                let value = self.lane_op(Lowerer::fold_op(*fold, scalar), &[acc, value]);
                if *buffer {
                    self.strip_buffer(place, value);
                } else {
                    self.lane_store(place, *stride, value);
                }
            }
            Sink::Accumulate { place, factor, fold } => {
                let scalar = self.scalar_of(value);
                self.lane(LaneNode::Accumulate { place: place.at(element, *factor), fold: *fold, scalar, value });
            }
            Sink::Scatter { place, index, shape } => {
                let scalar = self.scalar_of(value);
                let pitch = signed(self.pitch());
                let mut at = Vec::new();
                for ((&atom, &extent), step) in index.iter().zip(shape).zip(strides(shape)) {
                    let range = self.lane_range(atom);
                    let index = self.lane_operand(atom);
                    let extent = (!super::lowerer::in_range(range, extent)).then_some(extent);
                    at.push(LaneIndex { index, stride: step * pitch, extent });
                }
                self.lane(LaneNode::Scatter { place: place.clone(), stride: 1, index: at, scalar, value });
            }
            Sink::SumAt { .. } => self.fail("a `sum_at` inside a segment"),
        }
    }

    fn sink_array(&mut self, value: Atom, sink: &Sink) {
        let sink = match sink {
            Sink::Scatter { .. } => return self.scatter_array(value, sink),
            _ => sink,
        };
        let size = self.program.atom_type(value).size();
        self.each(size, |s, e| {
            s.segment(|s| {
                let element = s.array_element(value, e);
                s.apply(sink, e, element);
            })
        });
    }

    fn scatter_array(&mut self, value: Atom, sink: &Sink) {
        let Sink::Scatter { place, index, shape } = sink else { return };
        let size = self.program.atom_type(value).size();
        let mut wide = shape.clone();
        wide.push(size);
        let mut index = index.clone();
        let pitch = signed(self.pitch());
        self.each(size, |s, e| {
            s.segment(|s| {
                let element = s.array_element(value, e);
                let scalar = s.scalar_of(element);
                let mut at = Vec::new();
                for ((&atom, &extent), step) in index.iter().zip(shape).zip(strides(&wide)) {
                    let range = s.lane_range(atom);
                    let index = s.lane_operand(atom);
                    let extent = (!super::lowerer::in_range(range, extent)).then_some(extent);
                    at.push(LaneIndex { index, stride: step * pitch, extent });
                }
                let place = place.at(e, pitch);
                s.lane(LaneNode::Scatter { place, stride: 1, index: at, scalar, value: element });
            })
        });
        index.clear();
    }

    /// Code made as one segment of its own.
    fn segment(&mut self, build: impl FnOnce(&mut Lowerer)) {
        self.open_segment();
        build(self);
        self.close_segment();
    }

    /// Element `e` of an array, in the open segment.
    fn array_element(&mut self, array: Atom, e: Operand) -> Operand {
        let scalar = self.program.atom_type(array).scalar;
        match array.var().and_then(|v| self.values.get(&v).cloned()) {
            Some(Value::LaneArray(view)) => {
                let pitch = signed(self.pitch());
                self.lane_load(view.place.at(e, pitch), 1, scalar)
            }
            Some(Value::Array(view)) => self.load(view.place.at(e, 1), scalar),
            _ => self.lane_operand(array),
        }
    }

    fn strip_sum_at(&mut self, value: Atom, place: &Place, index: &[Atom], shape: &[usize]) {
        let Some(count) = self.strip.as_ref().map(|s| s.count) else { return };
        let pitch = self.pitch();
        let size = self.program.atom_type(value).size();
        let scalar = self.program.atom_type(value).scalar;
        self.repeat(count, pitch, false, |s, i| {
            let at: Vec<Operand> = index.iter().map(|&a| s.lane_element(a, i)).collect();
            let (at, ok) = s.guarded(&at, shape);
            let mut to = place.clone();
            for (&index, stride) in at.iter().zip(strides(shape)) {
                to = to.at(index, stride * signed(size));
            }
            let add = |s: &mut Lowerer| {
                if s.is_array(value) {
                    let strips = matches!(value.var().and_then(|v| s.values.get(&v)), Some(Value::LaneArray(_)));
                    let view = s.view(value);
                    s.each(size, |s, e| {
                        let from = if strips { view.place.at(e, signed(pitch)).at(i, 1) } else { view.place.at(e, 1) };
                        let value = s.load(from, scalar);
                        s.fold_at(&to.at(e, 1), Fold::Sum, value);
                    });
                } else {
                    let value = s.lane_element(value, i);
                    s.fold_at(&to, Fold::Sum, value);
                }
            };
            match ok {
                None => add(s),
                Some(condition) => {
                    let then = s.region(add);
                    s.nodes.push(Node::If { condition, then, otherwise: Vec::new() });
                }
            }
        });
    }

    /// A sum's strip goes to the result outside the strip.
    pub(super) fn strip_store(&mut self, source: &Home, e: Operand, to: &Home, stride: i64, scalar: Scalar) {
        let (Home::Memory(from), Home::Memory(to)) = (source, to) else {
            return self.fail("a strip in a register");
        };
        let pitch = signed(self.pitch());
        self.segment(|s| {
            let value = s.lane_load(from.at(e, pitch), 1, scalar);
            s.lane_store(to.at(e, 1), stride, value);
        });
    }

    #[expect(clippy::too_many_arguments, reason = "an element, its accumulator and their addresses")]
    pub(super) fn strip_fold(
        &mut self,
        source: &Home,
        e: Operand,
        to: &Home,
        step: i64,
        layout: Layout,
        stride: i64,
        fold: Fold,
        scalar: Scalar,
    ) {
        let (Home::Memory(from), Home::Memory(to)) = (source, to) else {
            return self.fail("a strip in a register");
        };
        let pitch = signed(self.pitch());
        let sink = match layout {
            Layout::Lanes => Sink::Accumulate { place: to.clone(), factor: step, fold },
            Layout::Strip => Sink::Fold { place: to.clone(), stride: 1, factor: step, fold, buffer: true },
            Layout::Plain => Sink::Fold { place: to.clone(), stride, factor: step, fold, buffer: false },
        };
        self.segment(|s| {
            let value = s.lane_load(from.at(e, pitch), 1, scalar);
            s.apply(&sink, e, value);
        });
    }

    fn strips_slot(&mut self, var: Var) -> Place {
        let size = self.ty(var).size();
        self.scratch_slot(size * self.pitch())
    }

    /// Copies a value, scalar or array, to strips at `place`.
    fn put_strips(&mut self, value: Atom, place: &Place) {
        let sink = Sink::Store { place: place.clone(), stride: 1, factor: signed(self.pitch()), padded: true };
        if self.is_array(value) {
            self.sink_array(value, &sink);
        } else {
            self.segment(|s| {
                let value = s.lane_operand(value);
                s.apply(&sink, Operand::Int(0), value);
            });
        }
    }

    fn strip_loop(&mut self, l: &Loop) {
        let carried = l.carried.len();
        let pitch = self.pitch();
        let mut homes = Vec::new();
        for &(var, init) in &l.carried {
            let place = self.strips_slot(var);
            self.put_strips(init, &place);
            self.set_strips(var, place.clone());
            homes.push((var, place.clone(), self.strips_slot(var)));
        }
        let mut sinks: Vec<(Atom, Sink)> = Vec::new();
        for ((_, _, next), &value) in homes.iter().zip(&l.body.results) {
            sinks.push((value, Sink::Store { place: next.clone(), stride: 1, factor: signed(pitch), padded: true }));
        }
        let mut collected = Vec::new();
        for (collector, &result) in l.collectors.iter().zip(&l.results[carried..]) {
            let place = self.strips_slot(result);
            if !matches!(collector, Collector::Collect) {
                let ty = self.ty(result);
                let (scalar, count) = (ty.scalar, ty.size() * pitch);
                self.nodes.push(Node::Fill { to: place.clone(), scalar, value: zero_of(scalar), count });
            }
            collected.push(place);
        }
        self.predraw(&l.body, &mut vec![(l.index, l.extent)]);
        self.repeat(int(l.extent), l.extent, l.reverse, |s, index| {
            s.set_scalar(l.index, index);
            for ((collector, place), &value) in l.collectors.iter().zip(&collected).zip(&l.body.results[carried..]) {
                let (place, factor) = (place.clone(), signed(pitch));
                let size = s.program.atom_type(value).size();
                sinks.push((
                    value,
                    match collector {
                        Collector::Collect => Sink::Store {
                            place: place.at(index, signed(size * pitch)),
                            stride: 1,
                            factor,
                            padded: true,
                        },
                        Collector::SumAt { index, shape } => {
                            Sink::Scatter { place, index: index.clone(), shape: shape.clone() }
                        }
                        _ => Sink::Fold { place, stride: 1, factor, fold: Fold::Sum, buffer: true },
                    },
                ));
            }
            s.strip_block(&l.body.stmts, &sinks);
            for (var, home, next) in &homes {
                let size = s.ty(*var).size();
                s.move_words(next, home, size * pitch);
            }
        });
        for (&result, place) in l.results.iter().zip(homes.into_iter().map(|(_, p, _)| p).chain(collected)) {
            self.set_strips(result, place);
        }
    }

    /// A branch that all elements take alike.
    fn strip_if(&mut self, i: &If) {
        let condition = self.operand(i.condition);
        let homes: Vec<Place> = i.results.iter().map(|&r| self.strips_slot(r)).collect();
        let factor = signed(self.pitch());
        let arm = |s: &mut Lowerer, block: &Block| {
            s.region(|s| {
                let sinks: Vec<(Atom, Sink)> = block
                    .results
                    .iter()
                    .zip(&homes)
                    .map(|(&value, place)| {
                        (value, Sink::Store { place: place.clone(), stride: 1, factor, padded: true })
                    })
                    .collect();
                s.strip_block(&block.stmts, &sinks);
            })
        };
        let then = arm(self, &i.then);
        let otherwise = arm(self, &i.otherwise);
        self.nodes.push(Node::If { condition, then, otherwise });
        for (&result, place) in i.results.iter().zip(homes) {
            self.set_strips(result, place);
        }
    }

    fn strip_primitive(&mut self, result: Var, prim: &Prim, args: &[Atom]) {
        let ty = self.ty(result);
        let pitch = self.pitch();
        if let Prim::Reshape { .. } = prim {
            let place = self.view(args[0]).place;
            self.values.insert(result, Value::LaneArray(View { place, shape: ty.shape }));
            return;
        }
        let place = self.strips_slot(result);
        match prim {
            Prim::Fill { .. } => self.each(ty.size(), |s, e| {
                let to = place.at(e, signed(pitch));
                s.segment(|s| {
                    let value = s.lane_operand(args[0]);
                    s.strip_buffer(to, value);
                });
            }),
            Prim::Stack => {
                let step = ty.size() / args.len().max(1);
                for (i, &arg) in args.iter().enumerate() {
                    self.put_strips(arg, &place.plus(i * step * pitch));
                }
            }
            Prim::Concat { axis } => {
                let outer: usize = ty.shape[..*axis].iter().product();
                let inner: usize = ty.shape[axis + 1..].iter().product();
                let row = ty.shape[*axis] * inner;
                let mut done = 0;
                for &arg in args {
                    let count = self.program.atom_type(arg).shape[*axis] * inner;
                    self.each(outer, |s, o| {
                        s.each(count, |s, e| {
                            let to = place.plus(done * pitch).at(o, signed(row * pitch)).at(e, signed(pitch));
                            let offset = s.mul(o, signed(count));
                            let from = s.add(offset, e);
                            s.segment(|s| {
                                let value = s.array_element(arg, from);
                                s.strip_buffer(to, value);
                            });
                        });
                    });
                    done += count;
                }
            }
            Prim::CumSum { reverse } => {
                let total = self.scratch_slot(pitch);
                let scalar = ty.scalar;
                self.nodes.push(Node::Fill { to: total.clone(), scalar, value: zero_of(scalar), count: pitch });
                self.repeat(int(ty.size()), ty.size(), *reverse, |s, e| {
                    let to = place.at(e, signed(pitch));
                    s.segment(|s| {
                        let value = s.array_element(args[0], e);
                        let before = s.lane_load(total.clone(), 1, scalar);
                        let sum = s.lane_op(Lowerer::fold_op(Fold::Sum, scalar), &[before, value]);
                        s.strip_buffer(total.clone(), sum);
                        s.strip_buffer(to, sum);
                    });
                });
            }
            _ => self.fail("an array primitive that has no form over strips"),
        }
        self.set_strips(result, place);
    }

    /// A contract of strips: generated loops, each sum in order.
    fn strip_contract(&mut self, c: &Contract) {
        let place = self.strips_slot(c.result);
        let (a_type, b_type) = (self.program.atom_type(c.a), self.program.atom_type(c.b));
        let spec = Spec::new(c, &a_type.shape, &b_type.shape);
        self.strip_free(&spec, c, 0, [Operand::Int(0); 2], place.clone());
        self.set_strips(c.result, place);
    }

    fn strip_free(&mut self, spec: &Spec, c: &Contract, level: usize, at: [Operand; 2], out: Place) {
        if level == spec.free.len() {
            let (pitch, zero) = (self.pitch(), Operand::Real(0.0));
            self.nodes.push(Node::Fill { to: out.clone(), scalar: Scalar::Real, value: zero, count: pitch });
            return self.strip_summed(spec, c, 0, at, &out);
        }
        let axis = spec.free[level];
        let pitch = signed(self.pitch());
        self.each(axis.extent, |s, i| {
            let at = s.advance(at, i, [axis.a, axis.b]);
            s.strip_free(spec, c, level + 1, at, out.at(i, axis.out * pitch));
        });
    }

    fn strip_summed(&mut self, spec: &Spec, c: &Contract, level: usize, at: [Operand; 2], out: &Place) {
        if level == spec.summed.len() {
            return self.segment(|s| {
                let a = s.array_element(c.a, at[0]);
                let b = s.array_element(c.b, at[1]);
                let product = s.lane_op(Op::Mul, &[a, b]);
                let before = s.lane_load(out.clone(), 1, Scalar::Real);
                let sum = s.lane_op(Op::Add, &[before, product]);
                s.strip_buffer(out.clone(), sum);
            });
        }
        let axis = spec.summed[level];
        self.each(axis.extent, |s, i| {
            let at = s.advance(at, i, [axis.a, axis.b]);
            s.strip_summed(spec, c, level + 1, at, out);
        });
    }

    fn advance(&mut self, at: [Operand; 2], i: Operand, steps: [i64; 2]) -> [Operand; 2] {
        let mut next = at;
        for (at, step) in next.iter_mut().zip(steps) {
            let term = self.mul(i, step);
            *at = self.add(*at, term);
        }
        next
    }
}
