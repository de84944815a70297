//! The state of a lowering: the code under construction, where each variable lives, and the memory plan.
//!
//! Memory: a result of a top-level statement has a slot of the frame; everything inside regions lives in scratch, which
//! is a stack of marks: a region's slots are free again when it ends.

use super::LowerError;
use super::nest::{Base, Nests, Node, Operand, Place, Reg, RegInfo, Routine};
use super::predraw::Predrawn;
use super::strip::Strip;
use crate::ir::core::{Atom, Program, Scalar, Type, Var};
use crate::ir::op::Op;
use std::collections::{HashMap, HashSet};

/// A contiguous row-major array; in a strip, of strips.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct View {
    pub place: Place,
    pub shape: Vec<usize>,
}

/// What a variable is to the code being made.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Scalar(Operand),
    Array(View),
    /// Differs between the elements of the running strip.
    Lanes(LaneValue),
    /// An array of strips: element `i` of it is a strip at `place + i * pitch`.
    LaneArray(View),
}

#[derive(Clone, Debug, Default)]
pub(super) struct LaneValue {
    /// Register, and the segment it lives in.
    pub reg: Option<(u32, Reg)>,
    /// A strip buffer that holds it.
    pub buffer: Option<Place>,
    /// An int that is `base + coefficient * e`.
    pub affine: Option<(Operand, i64)>,
    /// To be loaded from `place + stride * e`.
    pub reload: Option<(Place, i64)>,
    pub range: Option<(i64, i64)>,
}

pub(super) struct Lowerer {
    pub program: Program,
    pub nests: Nests,
    pub regs: Vec<RegInfo>,
    pub ranges: Vec<Option<(i64, i64)>>,
    pub nodes: Vec<Node>,
    pub values: HashMap<Var, Value>,
    /// Where a variable's array is wanted.
    pub hints: HashMap<Var, Place>,
    /// Where slots of the frame start.
    pub frame_slots: HashSet<i64>,
    /// Draws of inner loops that were made before them.
    pub predrawn: HashMap<Var, Predrawn>,
    /// Regions around the statement; 0 at top level.
    pub depth: usize,
    pub scratch: usize,
    pub strip: Option<Strip>,
    pub segments: u32,
    pub error: Option<LowerError>,
}

pub(super) fn signed(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

pub(super) fn int(n: usize) -> Operand {
    Operand::Int(signed(n))
}

/// Strides of a row-major array, in elements.
pub(super) fn strides(shape: &[usize]) -> Vec<i64> {
    let mut out = vec![1; shape.len()];
    for axis in (0..shape.len().saturating_sub(1)).rev() {
        out[axis] = out[axis + 1] * signed(shape[axis + 1]);
    }
    out
}

impl Lowerer {
    pub(super) fn new(program: &Program) -> Lowerer {
        Lowerer {
            program: program.clone(),
            nests: Nests::default(),
            regs: Vec::new(),
            ranges: Vec::new(),
            nodes: Vec::new(),
            values: HashMap::new(),
            hints: HashMap::new(),
            frame_slots: HashSet::new(),
            predrawn: HashMap::new(),
            depth: 0,
            scratch: 0,
            strip: None,
            segments: 0,
            error: None,
        }
    }

    pub(super) fn fail(&mut self, message: &str) {
        self.error.get_or_insert_with(|| LowerError { message: message.to_owned() });
    }

    pub(super) fn frame_slot(&mut self, words: usize) -> Place {
        let offset = self.nests.frame;
        self.nests.frame = offset.saturating_add(words.max(1).saturating_add(7) / 8 * 8);
        self.frame_slots.insert(signed(offset));
        Place::new(Base::Frame, offset)
    }

    pub(super) fn scratch_slot(&mut self, words: usize) -> Place {
        let offset = self.scratch;
        self.scratch = offset.saturating_add(words.max(1).saturating_add(7) / 8 * 8);
        self.nests.scratch = self.nests.scratch.max(self.scratch);
        Place::new(Base::Scratch, offset)
    }

    pub(super) fn slot(&mut self, words: usize) -> Place {
        if self.depth == 0 { self.frame_slot(words) } else { self.scratch_slot(words) }
    }

    /// The slot of a statement's array result.
    pub(super) fn result_slot(&mut self, var: Var, words: usize) -> Place {
        match self.hints.remove(&var) {
            Some(place) => place,
            None => self.slot(words),
        }
    }

    pub(super) fn reg(&mut self, scalar: Scalar) -> Reg {
        let reg = Reg(u32::try_from(self.regs.len()).unwrap_or(u32::MAX));
        self.regs.push(RegInfo { scalar, lanes: false });
        self.ranges.push(None);
        reg
    }

    pub(super) fn lane_reg(&mut self, scalar: Scalar) -> Reg {
        let reg = self.reg(scalar);
        self.regs[reg.0 as usize].lanes = true;
        reg
    }

    pub(super) fn range(&self, operand: Operand) -> Option<(i64, i64)> {
        match operand {
            Operand::Int(i) => Some((i, i)),
            Operand::Reg(r) => self.ranges[r.0 as usize],
            Operand::Real(_) | Operand::Bool(_) => None,
        }
    }

    pub(super) fn set_range(&mut self, reg: Reg, range: Option<(i64, i64)>) {
        self.ranges[reg.0 as usize] = range;
    }

    /// Code made by `build`, apart; its scratch is free again afterwards.
    pub(super) fn region(&mut self, build: impl FnOnce(&mut Lowerer)) -> Vec<Node> {
        let outer = std::mem::take(&mut self.nodes);
        let mark = self.scratch;
        self.depth += 1;
        build(self);
        self.depth -= 1;
        self.scratch = mark;
        std::mem::replace(&mut self.nodes, outer)
    }

    /// `for index in 0..count`, or backwards.
    pub(super) fn repeat(
        &mut self,
        count: Operand,
        limit: usize,
        reverse: bool,
        body: impl FnOnce(&mut Lowerer, Operand),
    ) {
        if limit == 0 {
            return;
        }
        if limit == 1 && count == Operand::Int(1) {
            let inner = self.region(|s| body(s, Operand::Int(0)));
            self.nodes.extend(inner);
            return;
        }
        let index = self.reg(Scalar::Int);
        self.set_range(index, Some((0, signed(limit) - 1)));
        let body = self.region(|s| body(s, Operand::Reg(index)));
        self.nodes.push(Node::Loop { index, count, reverse, body });
    }

    /// For each element of an array of `size` elements; nothing is repeated for one.
    pub(super) fn each(&mut self, size: usize, body: impl FnOnce(&mut Lowerer, Operand)) {
        self.repeat(int(size), size, false, body);
    }

    pub(super) fn scalar_of(&self, operand: Operand) -> Scalar {
        match operand {
            Operand::Reg(r) => self.regs[r.0 as usize].scalar,
            Operand::Real(_) => Scalar::Real,
            Operand::Int(_) => Scalar::Int,
            Operand::Bool(_) => Scalar::Bool,
        }
    }

    /// The register or constant of a scalar atom that is the same over the strip.
    pub(super) fn operand(&mut self, atom: Atom) -> Operand {
        match atom {
            Atom::Real(x) => Operand::Real(x),
            Atom::Int(i) => Operand::Int(i),
            Atom::Bool(b) => Operand::Bool(b),
            Atom::Var(v) => match self.values.get(&v) {
                Some(Value::Scalar(o)) => *o,
                _ => {
                    self.fail("a scalar is used before its definition");
                    match self.program.ty(v).scalar {
                        Scalar::Real => Operand::Real(f64::NAN),
                        Scalar::Int => Operand::Int(0),
                        Scalar::Bool => Operand::Bool(false),
                    }
                }
            },
        }
    }

    pub(super) fn view(&mut self, atom: Atom) -> View {
        if let Atom::Var(v) = atom
            && let Some(Value::Array(view) | Value::LaneArray(view)) = self.values.get(&v)
        {
            return view.clone();
        }
        self.fail("an array is used before its definition");
        View { place: Place::new(Base::Frame, 0), shape: self.program.atom_type(atom).shape }
    }

    pub(super) fn is_array(&self, atom: Atom) -> bool {
        atom.var().is_some_and(|v| !self.program.ty(v).is_scalar())
    }

    pub(super) fn set_scalar(&mut self, var: Var, value: Operand) {
        self.values.insert(var, Value::Scalar(value));
    }

    pub(super) fn set_array(&mut self, var: Var, place: Place) {
        let shape = self.program.ty(var).shape.clone();
        self.values.insert(var, Value::Array(View { place, shape }));
    }

    pub(super) fn load(&mut self, place: Place, scalar: Scalar) -> Operand {
        let result = self.reg(scalar);
        self.nodes.push(Node::Load { result, place });
        Operand::Reg(result)
    }

    pub(super) fn store(&mut self, place: Place, value: Operand) {
        let scalar = self.scalar_of(value);
        self.nodes.push(Node::Store { place, scalar, value });
    }

    pub(super) fn move_words(&mut self, from: &Place, to: &Place, count: usize) {
        if count > 0 && from != to {
            self.nodes.push(Node::Move { from: from.clone(), to: to.clone(), count });
        }
    }

    /// An inline operation, ints folded where they are constants.
    pub(super) fn op(&mut self, op: Op, args: &[Operand]) -> Operand {
        if let Some(folded) = fold_int(op, args) {
            return folded;
        }
        let scalar = match op.signature() {
            Some((_, result)) => result,
            None => self.scalar_of(args[args.len() - 1]),
        };
        let result = self.reg(scalar);
        let ranges: Vec<Option<(i64, i64)>> = args.iter().map(|&a| self.range(a)).collect();
        self.set_range(result, int_range(op, &ranges));
        self.nodes.push(Node::Op { result, op, args: args.to_vec() });
        Operand::Reg(result)
    }

    pub(super) fn add(&mut self, a: Operand, b: Operand) -> Operand {
        self.op(Op::IAdd, &[a, b])
    }

    pub(super) fn mul(&mut self, a: Operand, b: i64) -> Operand {
        self.op(Op::IMul, &[a, Operand::Int(b)])
    }

    /// Whether `index` is in `0..extent`: proven (`None`), or a bool to test.
    pub(super) fn bound(&mut self, index: Operand, extent: usize) -> Option<Operand> {
        if in_range(self.range(index), extent) {
            return None;
        }
        let result = self.reg(Scalar::Bool);
        self.nodes.push(Node::InBounds { result, index, extent });
        Some(Operand::Reg(result))
    }

    /// As [`Lowerer::bound`] for several indices; sets the status where one is out. The indices come back usable.
    pub(super) fn guarded(&mut self, indices: &[Operand], shape: &[usize]) -> (Vec<Operand>, Option<Operand>) {
        let mut all: Option<Operand> = None;
        for (&index, &extent) in indices.iter().zip(shape) {
            if let Some(ok) = self.bound(index, extent) {
                all = Some(match all {
                    Some(before) => self.op(Op::And, &[before, ok]),
                    None => ok,
                });
            }
        }
        let Some(ok) = all else { return (indices.to_vec(), None) };
        self.nodes.push(Node::Domain { ok });
        let safe = indices.iter().map(|&i| self.op(Op::Select, &[ok, i, Operand::Int(0)])).collect();
        (safe, Some(ok))
    }

    /// Makes the code so far a routine and starts an empty one.
    pub(super) fn take_routine(&mut self) -> Routine {
        self.ranges.clear();
        Routine { regs: std::mem::take(&mut self.regs), body: std::mem::take(&mut self.nodes), chunk: None }
    }

    pub(super) fn ty(&self, var: Var) -> Type {
        self.program.ty(var).clone()
    }
}

pub(super) fn in_range(range: Option<(i64, i64)>, extent: usize) -> bool {
    range.is_some_and(|(low, high)| low >= 0 && high < signed(extent))
}

fn fold_int(op: Op, args: &[Operand]) -> Option<Operand> {
    match (op, args) {
        (Op::IAdd, [Operand::Int(a), Operand::Int(b)]) => Some(Operand::Int(a.wrapping_add(*b))),
        (Op::IMul, [Operand::Int(a), Operand::Int(b)]) => Some(Operand::Int(a.wrapping_mul(*b))),
        (Op::ISub, [Operand::Int(a), Operand::Int(b)]) => Some(Operand::Int(a.wrapping_sub(*b))),
        (Op::IAdd, [Operand::Int(0), x]) | (Op::IAdd | Op::ISub, [x, Operand::Int(0)]) => Some(*x),
        (Op::IMul, [x, Operand::Int(1)]) | (Op::IMul, [Operand::Int(1), x]) => Some(*x),
        (Op::IMul, [_, Operand::Int(0)]) => Some(Operand::Int(0)),
        _ => None,
    }
}

/// The interval of an int operation's result; `None` is unknown.
pub(super) fn int_range(op: Op, args: &[Option<(i64, i64)>]) -> Option<(i64, i64)> {
    let both = || Some((args.first().copied()??, args.get(1).copied()??));
    match op {
        Op::IAdd => both().and_then(|(a, b)| Some((a.0.checked_add(b.0)?, a.1.checked_add(b.1)?))),
        Op::ISub => both().and_then(|(a, b)| Some((a.0.checked_sub(b.1)?, a.1.checked_sub(b.0)?))),
        Op::INeg => args.first().copied()?.and_then(|a| Some((a.1.checked_neg()?, a.0.checked_neg()?))),
        Op::IMul => both().and_then(|(a, b)| {
            let all = [a.0.checked_mul(b.0)?, a.0.checked_mul(b.1)?, a.1.checked_mul(b.0)?, a.1.checked_mul(b.1)?];
            Some((*all.iter().min()?, *all.iter().max()?))
        }),
        Op::IMin => both().map(|(a, b)| (a.0.min(b.0), a.1.min(b.1))),
        Op::IMax => both().map(|(a, b)| (a.0.max(b.0), a.1.max(b.1))),
        Op::IMod => match args.get(1).copied()? {
            Some((low, high)) if low == high && low > 0 => Some((0, low - 1)),
            _ => None,
        },
        Op::IDiv => match both() {
            Some((a, (b, c))) if b == c && b > 0 => Some((a.0.div_euclid(b), a.1.div_euclid(b))),
            _ => None,
        },
        Op::BoolToInt => Some((0, 1)),
        Op::Select => {
            let (a, b) = (args.get(1).copied()??, args.get(2).copied()??);
            Some((a.0.min(b.0), a.1.max(b.1)))
        }
        _ => None,
    }
}

/// The last error of a lowering, if there was one.
pub(super) fn finish(lowerer: Lowerer) -> Result<Nests, LowerError> {
    match lowerer.error {
        Some(error) => Err(error),
        None => Ok(lowerer.nests),
    }
}
