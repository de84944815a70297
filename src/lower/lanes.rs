//! Values over a strip: how a variable reaches the open segment, and operations on it.

use super::lowerer::{LaneValue, Lowerer, Value, View, in_range, int_range, strides};
use super::nest::{LaneIndex, LaneNode, Node, Operand, Place, Segment, Tail};
use super::scalar::{may_be_zero, zero_of};
use crate::ir::core::{Atom, Scalar, Var};
use crate::ir::op::Op;

/// An index of a read, over a strip.
enum Index {
    /// The same for all elements.
    Uniform(Operand),
    Affine(Operand, i64, Option<(i64, i64)>),
    Varying(Atom, Option<(i64, i64)>),
}

impl Lowerer {
    pub(super) fn open_segment(&mut self) {
        self.segments += 1;
        let id = self.segments;
        if let Some(strip) = &mut self.strip {
            strip.open = Some((id, Vec::new()));
        }
    }

    pub(super) fn close_segment(&mut self) {
        let Some(strip) = &mut self.strip else { return };
        let (count, tail) = (strip.count, strip.tail);
        if let Some((_, body)) = strip.open.take()
            && body.iter().any(effective)
        {
            let fixed = matches!(count, Operand::Int(_));
            let tail = match tail {
                false => Tail::None,
                true if body.iter().all(|node| pads(node, fixed)) => Tail::Padded,
                true => Tail::Elements,
            };
            self.nodes.push(Node::Segment(Segment { count, tail, body }));
        }
    }

    pub(super) fn lane(&mut self, node: LaneNode) {
        match self.strip.as_mut().and_then(|s| s.open.as_mut()) {
            Some((_, body)) => body.push(node),
            None => self.fail("an operation on lanes outside a segment"),
        }
    }

    pub(super) fn segment_id(&self) -> u32 {
        self.strip.as_ref().and_then(|s| s.open.as_ref()).map_or(0, |(id, _)| *id)
    }

    pub(super) fn lane_load(&mut self, place: Place, stride: i64, scalar: Scalar) -> Operand {
        let result = self.lane_reg(scalar);
        self.lane(LaneNode::Load { result, place, stride });
        Operand::Reg(result)
    }

    /// To an array.
    pub(super) fn lane_store(&mut self, place: Place, stride: i64, value: Operand) {
        let scalar = self.scalar_of(value);
        self.lane(LaneNode::Store { place, stride, scalar, value, padded: false });
    }

    /// To a strip buffer, or an array with room for whole groups of lanes.
    pub(super) fn strip_buffer(&mut self, place: Place, value: Operand) {
        let scalar = self.scalar_of(value);
        self.lane(LaneNode::Store { place, stride: 1, scalar, value, padded: true });
    }

    pub(super) fn lane_op(&mut self, op: Op, args: &[Operand]) -> Operand {
        let scalar = match op.signature() {
            Some((_, result)) => result,
            None => self.scalar_of(args[args.len() - 1]),
        };
        let result = self.lane_reg(scalar);
        let ranges: Vec<Option<(i64, i64)>> = args.iter().map(|&a| self.range(a)).collect();
        self.set_range(result, int_range(op, &ranges));
        self.lane(LaneNode::Op { result, op, args: args.to_vec() });
        Operand::Reg(result)
    }

    /// A scalar atom in the open segment: a lane register, or an operand that is the same for all lanes.
    pub(super) fn lane_operand(&mut self, atom: Atom) -> Operand {
        let Atom::Var(var) = atom else { return self.operand(atom) };
        let Some(Value::Lanes(value)) = self.values.get(&var).cloned() else { return self.operand(atom) };
        let id = self.segment_id();
        if let Some((segment, reg)) = value.reg
            && segment == id
        {
            return Operand::Reg(reg);
        }
        let scalar = self.program.ty(var).scalar;
        let operand = if let Some((base, coefficient)) = value.affine {
            let result = self.lane_reg(Scalar::Int);
            self.lane(LaneNode::Position { result, base, coefficient });
            Operand::Reg(result)
        } else if let Some((place, stride)) = value.reload.clone() {
            self.lane_load(place, stride, scalar)
        } else if let Some(place) = value.buffer.clone() {
            self.lane_load(place, 1, scalar)
        } else {
            self.fail("a value over the strip was not kept");
            return zero_of(scalar);
        };
        if let Operand::Reg(reg) = operand {
            self.set_range(reg, value.range);
            self.values.insert(var, Value::Lanes(LaneValue { reg: Some((id, reg)), ..value }));
        }
        operand
    }

    /// Where a scalar atom's strip already is (or will be when the open segment ends).
    pub(super) fn lane_place(&self, atom: Atom) -> Option<Place> {
        match atom.var().and_then(|v| self.values.get(&v)) {
            Some(Value::Lanes(LaneValue { buffer: Some(place), .. })) => Some(place.clone()),
            Some(Value::Lanes(LaneValue { reload: Some((place, 1)), .. })) => Some(place.clone()),
            _ => None,
        }
    }

    pub(super) fn lane_range(&self, atom: Atom) -> Option<(i64, i64)> {
        match atom {
            Atom::Int(i) => Some((i, i)),
            Atom::Var(v) => match self.values.get(&v) {
                Some(Value::Lanes(value)) => value.range,
                Some(Value::Scalar(o)) => self.range(*o),
                _ => None,
            },
            _ => None,
        }
    }

    fn set_lanes(&mut self, var: Var, operand: Operand) {
        let value = match operand {
            Operand::Reg(reg) if self.regs[reg.0 as usize].lanes => {
                let range = self.range(operand);
                Value::Lanes(LaneValue { reg: Some((self.segment_id(), reg)), range, ..Default::default() })
            }
            _ => Value::Scalar(operand),
        };
        self.values.insert(var, value);
    }

    /// An inline operation whose result varies; kept in a buffer if a later segment needs it.
    pub(super) fn lane_stmt(&mut self, result: Var, op: Op, args: &[Atom], buffered: bool) {
        match op {
            Op::Stop => {
                if let Some(value) = args[0].var().and_then(|v| self.values.get(&v).cloned()) {
                    self.values.insert(result, value);
                }
                return;
            }
            Op::Read => self.lane_read(result, args),
            _ => {
                if let Some(value) = self.affine(op, args) {
                    self.values.insert(result, Value::Lanes(value));
                    return;
                }
                let operands: Vec<Operand> = args.iter().map(|&a| self.lane_operand(a)).collect();
                if matches!(op, Op::IDiv | Op::IMod) && may_be_zero(self.range(operands[1])) {
                    let zero = self.lane_op(Op::IEq, &[operands[1], Operand::Int(0)]);
                    let ok = self.lane_op(Op::Not, &[zero]);
                    self.lane(LaneNode::Domain { ok });
                }
                let value = self.lane_op(op, &operands);
                self.set_lanes(result, value);
            }
        }
        if buffered {
            self.keep(result);
        }
    }

    /// Stores a register of the open segment to a strip buffer.
    fn keep(&mut self, var: Var) {
        let Some(Value::Lanes(value)) = self.values.get(&var).cloned() else { return };
        let Some((_, reg)) = value.reg else { return };
        if value.reload.is_some() || value.affine.is_some() || value.buffer.is_some() {
            return;
        }
        let place = self.scratch_slot(self.pitch());
        self.strip_buffer(place.clone(), Operand::Reg(reg));
        self.values.insert(var, Value::Lanes(LaneValue { buffer: Some(place), ..value }));
    }

    fn affine_of(&mut self, atom: Atom) -> Option<(Operand, i64)> {
        match atom {
            Atom::Var(v) => match self.values.get(&v) {
                Some(Value::Lanes(value)) => value.affine,
                Some(Value::Scalar(o)) => Some((*o, 0)),
                _ => None,
            },
            _ => Some((self.operand(atom), 0)),
        }
    }

    /// An int that stays `base + coefficient * e`.
    fn affine(&mut self, op: Op, args: &[Atom]) -> Option<LaneValue> {
        if !matches!(op, Op::IAdd | Op::ISub | Op::IMul | Op::INeg) {
            return None;
        }
        let parts: Option<Vec<(Operand, i64)>> = args.iter().map(|&a| self.affine_of(a)).collect();
        let parts = parts?;
        let ranges: Vec<Option<(i64, i64)>> = args.iter().map(|&a| self.lane_range(a)).collect();
        let affine = match (op, &parts[..]) {
            (Op::IAdd, [(a, p), (b, q)]) => (self.add(*a, *b), p.checked_add(*q)?),
            (Op::ISub, [(a, p), (b, q)]) => (self.op(Op::ISub, &[*a, *b]), p.checked_sub(*q)?),
            (Op::INeg, [(a, p)]) => (self.op(Op::ISub, &[Operand::Int(0), *a]), p.checked_neg()?),
            (Op::IMul, [(a, p), (Operand::Int(c), 0)] | [(Operand::Int(c), 0), (a, p)]) => {
                (self.mul(*a, *c), p.checked_mul(*c)?)
            }
            _ => return None,
        };
        Some(LaneValue { affine: Some(affine), range: int_range(op, &ranges), ..Default::default() })
    }

    fn lane_read(&mut self, result: Var, args: &[Atom]) {
        let scalar = self.program.ty(result).scalar;
        let strips = matches!(args[0].var().and_then(|v| self.values.get(&v)), Some(Value::LaneArray(_)));
        let view: View = self.view(args[0]);
        let factor = if strips { super::lowerer::signed(self.pitch()) } else { 1 };
        let mut indices = Vec::new();
        for &atom in &args[1..] {
            let range = self.lane_range(atom);
            indices.push(match self.affine_of(atom) {
                Some((o, 0)) => Index::Uniform(o),
                Some((base, coefficient)) => Index::Affine(base, coefficient, range),
                None => Index::Varying(atom, range),
            });
        }
        let mut place = view.place.clone();
        let mut stride = i64::from(strips);
        let mut outside: Option<Operand> = None;
        let mut tested = Vec::new();
        for ((index, &extent), step) in indices.into_iter().zip(&view.shape).zip(strides(&view.shape)) {
            let step = step * factor;
            match index {
                Index::Uniform(o) => {
                    let (safe, ok) = self.guarded(&[o], &[extent]);
                    place = place.at(safe[0], step);
                    if let Some(ok) = ok {
                        outside = Some(match outside {
                            Some(before) => self.op(Op::And, &[before, ok]),
                            None => ok,
                        });
                    }
                }
                Index::Affine(base, coefficient, range) if in_range(range, extent) => {
                    place = place.at(base, step);
                    stride += coefficient * step;
                }
                Index::Affine(base, coefficient, _) => {
                    let index = self.lane_reg(Scalar::Int);
                    self.lane(LaneNode::Position { result: index, base, coefficient });
                    tested.push(LaneIndex { index: Operand::Reg(index), stride: step, extent: Some(extent) });
                }
                Index::Varying(atom, range) => {
                    let index = self.lane_operand(atom);
                    let extent = (!in_range(range, extent)).then_some(extent);
                    tested.push(LaneIndex { index, stride: step, extent });
                }
            }
        }
        if tested.is_empty() && outside.is_none() {
            let value = LaneValue { reload: Some((place, stride)), ..Default::default() };
            self.values.insert(result, Value::Lanes(value));
            return;
        }
        let mut value = if tested.is_empty() {
            self.lane_load(place, stride, scalar)
        } else {
            let reg = self.lane_reg(scalar);
            self.lane(LaneNode::Gather { result: reg, place, stride, index: tested });
            Operand::Reg(reg)
        };
        if let Some(ok) = outside {
            value = self.lane_op(Op::Select, &[ok, value, zero_of(scalar)]);
        }
        self.set_lanes(result, value);
    }

    /// A scalar atom's value at element `e` of the strip, in scalar code between segments.
    pub(super) fn lane_element(&mut self, atom: Atom, e: Operand) -> Operand {
        let Some(Value::Lanes(value)) = atom.var().and_then(|v| self.values.get(&v).cloned()) else {
            return self.operand(atom);
        };
        let scalar = self.program.atom_type(atom).scalar;
        if let Some((base, coefficient)) = value.affine {
            let offset = self.mul(e, coefficient);
            let at = self.add(base, offset);
            if let Operand::Reg(r) = at {
                self.set_range(r, value.range);
            }
            return at;
        }
        if let Some((place, stride)) = value.reload {
            return self.load(place.at(e, stride), scalar);
        }
        match value.buffer {
            Some(place) => self.load(place.at(e, 1), scalar),
            None => {
                self.fail("a value over the strip was not kept");
                zero_of(scalar)
            }
        }
    }
}

/// Whether a node may run on elements beyond the last one.
fn pads(node: &LaneNode, fixed: bool) -> bool {
    match node {
        LaneNode::Op { .. } | LaneNode::Position { .. } => true,
        LaneNode::Load { stride, .. } => matches!(stride, 0 | 1),
        LaneNode::Store { padded, .. } => *padded,
        LaneNode::Accumulate { .. } => fixed,
        LaneNode::Gather { .. } | LaneNode::Scatter { .. } | LaneNode::Check { .. } | LaneNode::Domain { .. } => false,
    }
}

/// Whether a segment with this node does anything outside itself.
fn effective(node: &LaneNode) -> bool {
    match node {
        LaneNode::Store { .. }
        | LaneNode::Scatter { .. }
        | LaneNode::Accumulate { .. }
        | LaneNode::Check { .. }
        | LaneNode::Domain { .. } => true,
        LaneNode::Gather { index, .. } => index.iter().any(|i| i.extent.is_some()),
        LaneNode::Op { .. } | LaneNode::Position { .. } | LaneNode::Load { .. } => false,
    }
}
