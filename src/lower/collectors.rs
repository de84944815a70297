//! Where the results of a `for` accumulate: one accumulator per summed index of each fold, outermost first.
//!
//! An inner sum is complete before it is added to the outer one, so each summed index has an accumulator of its own,
//! over the kept indices inside it. Its layout says how an element meets it: `Plain`, `Lanes` (4 words an element: the
//! strip index), `Strip` (a strip an element: an index inside the strip).

use super::levels::{Mode, Plan};
use super::lowerer::{Lowerer, int, signed, strides};
use super::nest::{Fold, LANES, Node, Operand, Place, Reg};
use crate::ir::core::{Atom, Collector, Scalar};
use crate::ir::op::Op;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Layout {
    Plain,
    Lanes,
    Strip,
}

#[derive(Clone, Debug)]
pub(super) enum Home {
    Reg(Reg),
    Memory(Place),
}

#[derive(Clone, Debug)]
pub(super) struct Acc {
    /// The summed index; `None` if none is (elements are then only added to).
    pub level: Option<usize>,
    /// Kept indices that address it, with their strides in words.
    pub kept: Vec<(usize, i64)>,
    pub size: usize,
    pub layout: Layout,
    pub home: Home,
}

#[derive(Clone, Debug)]
pub(super) enum Target {
    Collect { place: Place, strides: Vec<i64>, factor: i64 },
    Fold { fold: Fold, scalar: Scalar, accs: Vec<Acc>, result: Home, outer: Vec<(usize, i64)> },
    SumAt { place: Place, index: Vec<Atom>, shape: Vec<usize> },
}

/// Words between neighbouring elements.
pub(super) fn factor(layout: Layout, pitch: usize) -> i64 {
    match layout {
        Layout::Plain => 1,
        Layout::Lanes => signed(LANES),
        Layout::Strip => signed(pitch),
    }
}

pub(super) fn identity(fold: Fold, scalar: Scalar) -> Operand {
    match (fold, scalar) {
        (Fold::Sum, Scalar::Real) => Operand::Real(0.0),
        (Fold::Max, Scalar::Real) => Operand::Real(f64::NEG_INFINITY),
        (Fold::Min, Scalar::Real) => Operand::Real(f64::INFINITY),
        (Fold::Sum, Scalar::Int) => Operand::Int(0),
        (Fold::Max, Scalar::Int) => Operand::Int(i64::MIN),
        (Fold::Min, Scalar::Int) => Operand::Int(i64::MAX),
        (Fold::All, _) | (_, Scalar::Bool) => Operand::Bool(true),
    }
}

pub(super) fn fold_of(collector: &Collector) -> Option<Fold> {
    match collector {
        Collector::Sum { .. } => Some(Fold::Sum),
        Collector::Max => Some(Fold::Max),
        Collector::Min => Some(Fold::Min),
        Collector::All => Some(Fold::All),
        Collector::Collect | Collector::SumAt { .. } => None,
    }
}

/// Strides in elements of the kept indices inside `from`, in an array over them and then `size` elements.
fn kept_strides(keep: &[usize], extents: &[usize], from: Option<usize>, size: usize) -> (Vec<(usize, i64)>, usize) {
    let inside: Vec<usize> = keep.iter().copied().filter(|&k| from.is_none_or(|s| k > s)).collect();
    let mut shape: Vec<usize> = inside.iter().map(|&k| extents[k]).collect();
    shape.push(size);
    let strides = strides(&shape);
    (inside.iter().copied().zip(strides.iter().copied()).collect(), shape.iter().product())
}

impl Lowerer {
    /// Accumulators of a fold whose result lives at `result`.
    pub(super) fn fold_target(&mut self, plan: &Plan, number: usize, result: Home, chunked: bool) -> Target {
        let collector = &plan.f.collectors[number];
        let fold = fold_of(collector).unwrap_or(Fold::Sum);
        let ty = self.program.atom_type(plan.f.body.results[number]);
        let (scalar, value_size) = (ty.scalar, ty.size());
        let keep: Vec<usize> = match collector {
            Collector::Sum { keep } => keep.clone(),
            _ => Vec::new(),
        };
        let levels = plan.extents.len();
        let ordered = fold == Fold::Sum;
        let summed: Vec<usize> = match ordered {
            true => (0..levels).filter(|l| !keep.contains(l)).collect(),
            false => vec![0],
        };
        let pitch = self.pitch();
        let whole = kept_strides(&keep, &plan.extents, None, value_size).0;
        let result_factor = if plan.mode == Mode::Inner { signed(pitch) } else { 1 };
        let outer: Vec<(usize, i64)> =
            whole.into_iter().filter(|&(l, _)| l < summed[0]).map(|(l, s)| (l, s * result_factor)).collect();
        let mut accs = Vec::new();
        for (position, &level) in summed.iter().enumerate() {
            let layout = plan.layout(level, ordered);
            let (kept, size) = kept_strides(&keep, &plan.extents, Some(level), value_size);
            let kept = kept.into_iter().map(|(l, s)| (l, s * factor(layout, pitch))).collect();
            let words = size * usize::try_from(factor(layout, pitch)).unwrap_or(1);
            let in_result = position == 0 && (plan.mode == Mode::Inner || layout == Layout::Plain);
            // The result is addressed by kept indices outside as well; an accumulator there sums straight into it.
            let home = if in_result && (outer.is_empty() || plan.mode == Mode::Inner || !chunked) {
                result.clone()
            } else if layout == Layout::Plain && size == 1 {
                Home::Reg(self.reg(scalar))
            } else {
                Home::Memory(self.scratch_slot(words))
            };
            accs.push(Acc { level: Some(level), kept, size, layout, home });
        }
        Target::Fold { fold, scalar, accs, result, outer }
    }

    fn shifted(&self, home: &Home, outer: &[(usize, i64)], at: &[Operand]) -> Home {
        match home {
            Home::Reg(r) => Home::Reg(*r),
            Home::Memory(place) => {
                let mut place = place.clone();
                for &(level, stride) in outer {
                    place = place.at(at[level], stride);
                }
                Home::Memory(place)
            }
        }
    }

    /// The first accumulator may be a part of the result.
    pub(super) fn acc_home(&self, target: &Target, number: usize, at: &[Operand]) -> Home {
        let Target::Fold { accs, result, outer, .. } = target else { return Home::Reg(Reg(0)) };
        let acc = &accs[number];
        match (&acc.home, result) {
            (Home::Memory(a), Home::Memory(r)) if number == 0 && a == r && acc.level.is_some() => {
                self.shifted(&acc.home, outer, at)
            }
            _ => acc.home.clone(),
        }
    }

    /// Identities into the accumulators of index `level`.
    pub(super) fn init_accs(&mut self, plan: &Plan, targets: &[Target], level: Option<usize>, at: &[Operand]) {
        let _ = plan;
        let pitch = self.pitch();
        for target in targets {
            let Target::Fold { fold, scalar, accs, .. } = target else { continue };
            for (number, acc) in accs.iter().enumerate().filter(|(_, a)| a.level == level) {
                let value = identity(*fold, *scalar);
                match self.acc_home(target, number, at) {
                    Home::Reg(result) => self.nodes.push(Node::Copy { result, value }),
                    Home::Memory(to) => {
                        let count = acc.size * usize::try_from(factor(acc.layout, pitch)).unwrap_or(1);
                        self.nodes.push(Node::Fill { to, scalar: *scalar, value, count });
                    }
                }
            }
        }
    }

    /// After the loop over `level`: its sums go to the accumulators outside, or to the results.
    pub(super) fn finish_accs(&mut self, plan: &Plan, targets: &[Target], level: usize, at: &[Operand]) {
        let pitch = self.pitch();
        for target in targets {
            let Target::Fold { fold, scalar, accs, result, outer } = target else { continue };
            for (number, acc) in accs.iter().enumerate().filter(|(_, a)| a.level == Some(level)) {
                let (fold, scalar) = (*fold, *scalar);
                let source = self.acc_home(target, number, at);
                if number == 0 {
                    let to = self.shifted(result, outer, at);
                    if same_home(&source, &to) {
                        continue;
                    }
                    self.each(acc.size, |s, e| match acc.layout {
                        Layout::Strip => {
                            let stride = plan.element_stride(outer);
                            s.strip_store(&source, e, &to, stride, scalar);
                        }
                        _ => {
                            let value = s.total(&source, acc.layout, e, fold, scalar);
                            match &to {
                                Home::Reg(result) => s.nodes.push(Node::Copy { result: *result, value }),
                                Home::Memory(to) => s.store(to.at(e, 1), value),
                            }
                        }
                    });
                    continue;
                }
                let next = &accs[number - 1];
                let home = self.acc_home(target, number - 1, at);
                let mut stride = 0;
                let mut to = home.clone();
                if let Home::Memory(place) = &home {
                    let mut place = place.clone();
                    for &(l, s) in next.kept.iter().filter(|&&(l, _)| l < level) {
                        if plan.mode == Mode::Vector(l) {
                            stride = s;
                        }
                        place = place.at(at[l], s);
                    }
                    to = Home::Memory(place);
                }
                let step = factor(next.layout, pitch);
                self.each(acc.size, |s, e| {
                    if acc.layout == Layout::Strip {
                        s.strip_fold(&source, e, &to, step, next.layout, stride, fold, scalar);
                    } else {
                        let value = s.total(&source, acc.layout, e, fold, scalar);
                        s.fold_into(plan, &to, e, step, next.layout, at, fold, value);
                    }
                });
            }
        }
    }

    /// One element of an accumulator as a scalar; lanes are combined.
    fn total(&mut self, home: &Home, layout: Layout, e: Operand, fold: Fold, scalar: Scalar) -> Operand {
        match home {
            Home::Reg(r) => Operand::Reg(*r),
            Home::Memory(place) if layout == Layout::Lanes => {
                let lane: Vec<Operand> =
                    (0..LANES).map(|l| self.load(place.at(e, signed(LANES)).plus(l), scalar)).collect();
                let a = self.fold(fold, scalar, lane[0], lane[2]);
                let b = self.fold(fold, scalar, lane[1], lane[3]);
                self.fold(fold, scalar, a, b)
            }
            Home::Memory(place) => self.load(place.at(e, 1), scalar),
        }
    }

    pub(super) fn fold(&mut self, fold: Fold, scalar: Scalar, acc: Operand, value: Operand) -> Operand {
        let result = self.reg(scalar);
        self.nodes.push(Node::Fold { result, fold, scalar, acc, value });
        Operand::Reg(result)
    }

    #[expect(clippy::too_many_arguments, reason = "an element, its accumulator and their addresses")]
    pub(super) fn fold_into(
        &mut self,
        plan: &Plan,
        home: &Home,
        e: Operand,
        step: i64,
        layout: Layout,
        at: &[Operand],
        fold: Fold,
        value: Operand,
    ) {
        match home {
            Home::Reg(result) => {
                let scalar = self.scalar_of(value);
                let acc = Operand::Reg(*result);
                self.nodes.push(Node::Fold { result: *result, fold, scalar, acc, value });
            }
            Home::Memory(place) => {
                let mut place = place.at(e, step);
                if layout == Layout::Lanes {
                    let lane = self.reg(Scalar::Int);
                    let index = plan.lanes.map_or(Operand::Int(0), |k| at[k]);
                    self.nodes.push(Node::Lane { result: lane, index });
                    place = place.at(Operand::Reg(lane), 1);
                }
                self.fold_at(&place, fold, value);
            }
        }
    }

    /// Chunk totals, in order, from the identity.
    pub(super) fn combine(
        &mut self,
        area: &Place,
        size: usize,
        chunks: usize,
        fold: Fold,
        scalar: Scalar,
        result: &Home,
    ) {
        self.each(size, |s, e| {
            let total = s.reg(scalar);
            s.nodes.push(Node::Copy { result: total, value: identity(fold, scalar) });
            s.repeat(int(chunks), chunks, false, |s, c| {
                let value = s.load(area.at(c, signed(size)).at(e, 1), scalar);
                s.nodes.push(Node::Fold { result: total, fold, scalar, acc: Operand::Reg(total), value });
            });
            let value = Operand::Reg(total);
            match result {
                Home::Reg(result) => s.nodes.push(Node::Copy { result: *result, value }),
                Home::Memory(to) => s.store(to.at(e, 1), value),
            }
        });
    }

    /// What the innermost scalar body yields goes to the targets.
    pub(super) fn yield_scalars(&mut self, plan: &Plan, targets: &[Target], at: &[Operand]) {
        for (target, &value) in targets.iter().zip(&plan.f.body.results) {
            match target {
                Target::Collect { place, strides, .. } => {
                    let mut place = place.clone();
                    for (&index, &stride) in at.iter().zip(strides) {
                        place = place.at(index, stride);
                    }
                    self.store_value(value, &place);
                }
                Target::SumAt { place, index, shape } => {
                    let index: Vec<Operand> = index.iter().map(|&a| self.operand(a)).collect();
                    self.sum_at(place, &index, shape, value);
                }
                Target::Fold { fold, accs, .. } => {
                    let Some(acc) = accs.last() else { continue };
                    let mut home = self.acc_home(target, accs.len() - 1, at);
                    if let Home::Memory(place) = &mut home {
                        for &(level, stride) in &acc.kept {
                            *place = place.at(at[level], stride);
                        }
                    }
                    let (fold, step, layout) = (*fold, factor(acc.layout, 1), acc.layout);
                    if self.is_array(value) {
                        let view = self.view(value);
                        let scalar = self.program.atom_type(value).scalar;
                        self.each(view.shape.iter().product(), |s, e| {
                            let value = s.load(view.place.at(e, 1), scalar);
                            s.fold_into(plan, &home, e, step, layout, at, fold, value);
                        });
                    } else {
                        let value = self.operand(value);
                        self.fold_into(plan, &home, Operand::Int(0), step, layout, at, fold, value);
                    }
                }
            }
        }
    }

    /// Words between the elements of strips here.
    pub(super) fn pitch(&self) -> usize {
        self.strip.as_ref().map_or(1, |s| s.pitch)
    }

    /// The operation that is a fold, on real operands.
    pub(super) fn fold_op(fold: Fold, scalar: Scalar) -> Op {
        match (fold, scalar) {
            (Fold::Sum, Scalar::Real) => Op::Add,
            (Fold::Max, Scalar::Real) => Op::Max,
            (Fold::Min, Scalar::Real) => Op::Min,
            (Fold::Sum, Scalar::Int) => Op::IAdd,
            (Fold::Max, Scalar::Int) => Op::IMax,
            (Fold::Min, Scalar::Int) => Op::IMin,
            (Fold::All, _) | (_, Scalar::Bool) => Op::And,
        }
    }
}

fn same_home(a: &Home, b: &Home) -> bool {
    match (a, b) {
        (Home::Reg(a), Home::Reg(b)) => a == b,
        (Home::Memory(a), Home::Memory(b)) => a == b,
        _ => false,
    }
}
