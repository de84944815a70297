//! Statements as scalar code: one element at a time, loops as loops.

use super::lowerer::{Lowerer, Value, View, int, signed, strides};
use super::nest::{Node, Operand, Place};
use crate::ir::core::{Atom, Collector, Draw, If, Loop, Noise, Scalar, Stmt};
use crate::ir::kernel::kernel;
use crate::ir::op::Op;

/// Whether an operation is a call of a vector-math kernel (rather than inline code).
pub(super) fn is_kernel(op: Op, args: &[Atom]) -> bool {
    let repeated = op == Op::Pow && matches!(args, [_, Atom::Real(n)] if small_integer(*n));
    !repeated && kernel(op).is_some()
}

/// Exponents that are repeated multiplication.
pub(crate) fn small_integer(n: f64) -> bool {
    n == n.trunc() && n.abs() <= 64.0
}

impl Lowerer {
    pub(super) fn stmts(&mut self, stmts: &[Stmt]) {
        for stmt in stmts {
            self.stmt(stmt);
        }
    }

    pub(super) fn stmt(&mut self, stmt: &Stmt) {
        match stmt {
            Stmt::Op { result, op, args } => match op {
                Op::Read => {
                    let view = self.view(args[0]);
                    let indices: Vec<Operand> = args[1..].iter().map(|&a| self.operand(a)).collect();
                    let scalar = self.program.ty(*result).scalar;
                    let value = self.read(&view, &indices, scalar);
                    self.set_scalar(*result, value);
                }
                Op::Stop if self.is_array(args[0]) => {
                    let view = self.view(args[0]);
                    self.values.insert(*result, Value::Array(view));
                }
                Op::Stop => {
                    let value = self.operand(args[0]);
                    self.set_scalar(*result, value);
                }
                _ => {
                    let kernel = is_kernel(*op, args);
                    let args: Vec<Operand> = args.iter().map(|&a| self.operand(a)).collect();
                    let value = if kernel { self.call(*op, args) } else { self.inline(*op, &args) };
                    self.set_scalar(*result, value);
                }
            },
            Stmt::For(f) => self.lower_for(f),
            Stmt::Loop(l) => self.lower_loop(l),
            Stmt::If(i) => self.lower_if(i),
            Stmt::Contract(c) => self.contract(c),
            Stmt::Array { results, prim, args } => self.primitive(results, prim, args),
            Stmt::Draw(d) => {
                let value = self.draw(d);
                self.set_scalar(d.result, value);
            }
            Stmt::Check { ok, check } => {
                let ok = self.operand(*ok);
                self.nodes.push(Node::Check { ok, check: *check });
            }
            Stmt::Sample(_) | Stmt::Term(_) => self.fail("Core with sites cannot be lowered"),
        }
    }

    pub(super) fn call(&mut self, op: Op, args: Vec<Operand>) -> Operand {
        let result = self.reg(Scalar::Real);
        self.nodes.push(Node::Call { result, op, args });
        Operand::Reg(result)
    }

    /// An inline operation, with the status that it may set.
    pub(super) fn inline(&mut self, op: Op, args: &[Operand]) -> Operand {
        if matches!(op, Op::IDiv | Op::IMod) && may_be_zero(self.range(args[1])) {
            let zero = self.op(Op::IEq, &[args[1], Operand::Int(0)]);
            let ok = self.op(Op::Not, &[zero]);
            self.nodes.push(Node::Domain { ok });
        }
        self.op(op, args)
    }

    pub(super) fn read(&mut self, view: &View, indices: &[Operand], scalar: Scalar) -> Operand {
        let (indices, ok) = self.guarded(indices, &view.shape);
        let mut place = view.place.clone();
        for (&index, stride) in indices.iter().zip(strides(&view.shape)) {
            place = place.at(index, stride);
        }
        let value = self.load(place, scalar);
        match ok {
            Some(ok) => {
                let zero = zero_of(scalar);
                self.op(Op::Select, &[ok, value, zero])
            }
            None => value,
        }
    }

    fn draw(&mut self, d: &Draw) -> Operand {
        let args: Vec<Operand> = d.args.iter().map(|&a| self.operand(a)).collect();
        let extents: Vec<usize> = d.index.iter().map(|&(_, n)| n).collect();
        let mut index = Operand::Int(0);
        for (&(atom, _), stride) in d.index.iter().zip(strides(&extents)) {
            let at = self.operand(atom);
            let term = self.mul(at, stride);
            index = self.add(index, term);
        }
        let result = self.reg(Scalar::Real);
        self.nodes.push(Node::Draw { result, noise: d.noise, site: d.site, args, index });
        let value = Operand::Reg(result);
        let Some(mirror) = d.mirror else { return value };
        let mirror = self.operand(mirror);
        match mirrored(d.noise) {
            Some((op, args)) => {
                let mut args = args.to_vec();
                args.push(value);
                let other = self.op(op, &args);
                self.op(Op::Select, &[mirror, other, value])
            }
            None => value,
        }
    }

    fn lower_if(&mut self, i: &If) {
        let condition = self.operand(i.condition);
        let mut homes = Vec::new();
        for &result in &i.results {
            let ty = self.ty(result);
            if ty.is_scalar() {
                let reg = self.reg(ty.scalar);
                homes.push(Value::Scalar(Operand::Reg(reg)));
            } else {
                let place = self.result_slot(result, ty.size());
                homes.push(Value::Array(View { place, shape: ty.shape }));
            }
        }
        let arm = |s: &mut Lowerer, block: &crate::ir::core::Block| {
            s.region(|s| {
                s.stmts(&block.stmts);
                for (&atom, home) in block.results.iter().zip(&homes) {
                    s.put(atom, home);
                }
            })
        };
        let then = arm(self, &i.then);
        let otherwise = arm(self, &i.otherwise);
        self.nodes.push(Node::If { condition, then, otherwise });
        for (&result, home) in i.results.iter().zip(homes) {
            self.values.insert(result, home);
        }
    }

    /// Assigns a register or copies an array.
    fn put(&mut self, atom: Atom, home: &Value) {
        match home {
            Value::Scalar(Operand::Reg(result)) => {
                let value = self.operand(atom);
                self.nodes.push(Node::Copy { result: *result, value });
            }
            Value::Array(to) => {
                let from = self.view(atom);
                self.move_words(&from.place, &to.place, to.shape.iter().product());
            }
            _ => self.fail("a result without a home"),
        }
    }

    fn lower_loop(&mut self, l: &Loop) {
        let carried = l.carried.len();
        let mut homes = Vec::new();
        for (&(var, init), &result) in l.carried.iter().zip(&l.results) {
            let ty = self.ty(var);
            let home = if ty.is_scalar() {
                Value::Scalar(Operand::Reg(self.reg(ty.scalar)))
            } else {
                let place = self.result_slot(result, ty.size());
                Value::Array(View { place, shape: ty.shape })
            };
            self.put(init, &home);
            self.values.insert(var, home.clone());
            homes.push(home);
        }
        let mut collected = Vec::new();
        for (collector, &result) in l.collectors.iter().zip(&l.results[carried..]) {
            let ty = self.ty(result);
            let accumulates = !matches!(collector, Collector::Collect);
            if ty.is_scalar() {
                let reg = self.reg(ty.scalar);
                if accumulates {
                    self.nodes.push(Node::Copy { result: reg, value: zero_of(ty.scalar) });
                }
                collected.push(Value::Scalar(Operand::Reg(reg)));
            } else {
                let place = self.result_slot(result, ty.size());
                if accumulates {
                    let value = zero_of(ty.scalar);
                    self.nodes.push(Node::Fill { to: place.clone(), scalar: ty.scalar, value, count: ty.size() });
                }
                collected.push(Value::Array(View { place, shape: ty.shape }));
            }
        }
        let extent = l.extent;
        self.repeat(int(extent), extent, l.reverse, |s, index| {
            s.set_scalar(l.index, index);
            s.stmts(&l.body.stmts);
            for ((collector, home), &value) in l.collectors.iter().zip(&collected).zip(&l.body.results[carried..]) {
                s.loop_collect(collector, home, value, index);
            }
            s.assign_all(&homes, &l.body.results[..carried]);
        });
        for (&result, home) in l.results.iter().zip(homes.into_iter().chain(collected)) {
            self.values.insert(result, home);
        }
    }

    /// The next values of carried variables, all at once.
    fn assign_all(&mut self, homes: &[Value], next: &[Atom]) {
        let mut staged = Vec::new();
        for (home, &atom) in homes.iter().zip(next) {
            let value = match home {
                Value::Scalar(_) => {
                    let value = self.operand(atom);
                    let temp = self.reg(self.scalar_of(value));
                    self.nodes.push(Node::Copy { result: temp, value });
                    Value::Scalar(Operand::Reg(temp))
                }
                _ => {
                    let view = self.view(atom);
                    let size = view.shape.iter().product();
                    let shared = homes.iter().any(|h| matches!(h, Value::Array(v) if overlaps(&v.place, &view.place)));
                    if shared && !matches!(home, Value::Array(v) if v.place == view.place) {
                        let temp = self.scratch_slot(size);
                        self.move_words(&view.place, &temp, size);
                        Value::Array(View { place: temp, shape: view.shape })
                    } else {
                        Value::Array(view)
                    }
                }
            };
            staged.push(value);
        }
        for (home, value) in homes.iter().zip(staged) {
            match (home, value) {
                (Value::Scalar(Operand::Reg(result)), Value::Scalar(value)) => {
                    self.nodes.push(Node::Copy { result: *result, value });
                }
                (Value::Array(to), Value::Array(from)) => {
                    self.move_words(&from.place, &to.place, to.shape.iter().product());
                }
                _ => self.fail("a carried value without a home"),
            }
        }
    }

    fn loop_collect(&mut self, collector: &Collector, home: &Value, value: Atom, index: Operand) {
        match (collector, home) {
            (Collector::Collect, Value::Array(to)) => {
                let size: usize = to.shape[1..].iter().product();
                let place = to.place.at(index, signed(size));
                self.store_value(value, &place);
            }
            (Collector::SumAt { index: at, shape }, home) => {
                let place = match home {
                    Value::Array(to) => to.place.clone(),
                    _ => {
                        // A `sum_at` with no axes is a sum.
                        return self.loop_collect(&Collector::Sum { keep: Vec::new() }, home, value, index);
                    }
                };
                let at: Vec<Operand> = at.iter().map(|&a| self.operand(a)).collect();
                self.sum_at(&place, &at, shape, value);
            }
            (_, Value::Scalar(Operand::Reg(result))) => {
                let value = self.operand(value);
                let scalar = self.scalar_of(value);
                let fold = super::nest::Fold::Sum;
                self.nodes.push(Node::Fold { result: *result, fold, scalar, acc: Operand::Reg(*result), value });
            }
            (_, Value::Array(to)) => {
                let place = to.place.clone();
                self.add_value(value, &place, 1);
            }
            _ => self.fail("a collector without a home"),
        }
    }

    /// Stores a scalar, or all of an array, from `place` on.
    pub(super) fn store_value(&mut self, value: Atom, place: &Place) {
        if self.is_array(value) {
            let view = self.view(value);
            self.move_words(&view.place, place, view.shape.iter().product());
        } else {
            let value = self.operand(value);
            self.store(place.clone(), value);
        }
    }

    /// Adds a scalar, or an array element-wise, to the words at `place`, `factor` words apart.
    pub(super) fn add_value(&mut self, value: Atom, place: &Place, factor: i64) {
        if self.is_array(value) {
            let view = self.view(value);
            let scalar = self.program.atom_type(value).scalar;
            self.each(view.shape.iter().product(), |s, e| {
                let value = s.load(view.place.at(e, 1), scalar);
                s.fold_at(&place.at(e, factor), super::nest::Fold::Sum, value);
            });
        } else {
            let value = self.operand(value);
            self.fold_at(place, super::nest::Fold::Sum, value);
        }
    }

    pub(super) fn fold_at(&mut self, place: &Place, fold: super::nest::Fold, value: Operand) {
        let scalar = self.scalar_of(value);
        let acc = self.load(place.clone(), scalar);
        let result = self.reg(scalar);
        self.nodes.push(Node::Fold { result, fold, scalar, acc, value });
        self.store(place.clone(), Operand::Reg(result));
    }

    /// `place[at…] += value` where the indices are in `shape`; else the status.
    pub(super) fn sum_at(&mut self, place: &Place, at: &[Operand], shape: &[usize], value: Atom) {
        let size = self.program.atom_type(value).size();
        let (at, ok) = self.guarded(at, shape);
        let mut place = place.clone();
        for (&index, stride) in at.iter().zip(strides(shape)) {
            place = place.at(index, stride * signed(size));
        }
        match ok {
            None => self.add_value(value, &place, 1),
            Some(condition) => {
                let then = self.region(|s| s.add_value(value, &place, 1));
                self.nodes.push(Node::If { condition, then, otherwise: Vec::new() });
            }
        }
    }
}

fn overlaps(a: &Place, b: &Place) -> bool {
    a.base == b.base && a.offset == b.offset
}

pub(super) fn may_be_zero(range: Option<(i64, i64)>) -> bool {
    range.is_none_or(|(low, high)| low <= 0 && high >= 0)
}

pub(super) fn zero_of(scalar: Scalar) -> Operand {
    match scalar {
        Scalar::Real => Operand::Real(0.0),
        Scalar::Int => Operand::Int(0),
        Scalar::Bool => Operand::Bool(false),
    }
}

/// The operation (and the operands before the draw) that mirrors a draw: normal and uniform have one.
pub(super) fn mirrored(noise: Noise) -> Option<(Op, &'static [Operand])> {
    const ONE: &[Operand] = &[Operand::Real(1.0)];
    match noise {
        Noise::Normal => Some((Op::Neg, &[])),
        Noise::Uniform => Some((Op::Sub, ONE)),
        Noise::Exponential | Noise::LogGamma | Noise::Poisson | Noise::Binomial => None,
    }
}
