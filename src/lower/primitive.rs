//! Array primitives and contractions as scalar loops, moves and calls of the runtime's linear algebra.

use super::lowerer::{Lowerer, Value, View, int, signed, strides};
use super::nest::{Fold, Linear, Node, Operand, Place};
use super::scalar::zero_of;
use crate::ir::core::{Atom, Contract, ContractKind, Prim, Scalar, Type, Var, chunk_size};
use crate::ir::op::Op;

impl Lowerer {
    pub(super) fn primitive(&mut self, results: &[Var], prim: &Prim, args: &[Atom]) {
        let result = results[0];
        let ty = self.ty(result);
        let size = ty.size();
        match prim {
            Prim::Reshape { .. } => {
                let from = self.view(args[0]);
                self.values.insert(result, Value::Array(View { place: from.place, shape: ty.shape }));
            }
            Prim::Const { data, ty } => {
                let words = data.iter().map(|&x| word(x, ty.scalar)).collect();
                let place = self.frame_slot(size);
                self.nests.constants.push((usize::try_from(place.offset).unwrap_or(0), words));
                self.set_array(result, place);
            }
            &Prim::Subset { of, take, plate } => {
                let place = self.result_slot(result, size);
                self.nodes.push(Node::Linear(Linear::Subset { of, take, plate, result: place.clone() }));
                self.set_array(result, place);
            }
            Prim::Fill { .. } => {
                let value = self.operand(args[0]);
                let place = self.result_slot(result, size);
                self.nodes.push(Node::Fill { to: place.clone(), scalar: ty.scalar, value, count: size });
                self.set_array(result, place);
            }
            Prim::Stack => {
                let place = self.result_slot(result, size);
                let step = size / args.len().max(1);
                for (i, &arg) in args.iter().enumerate() {
                    self.store_value(arg, &place.plus(i * step));
                }
                self.set_array(result, place);
            }
            Prim::Concat { axis } => {
                let place = self.result_slot(result, size);
                let outer: usize = ty.shape[..*axis].iter().product();
                let inner: usize = ty.shape[axis + 1..].iter().product();
                let row = ty.shape[*axis] * inner;
                let mut done = 0;
                for &arg in args {
                    let from = self.view(arg);
                    let count = from.shape[*axis] * inner;
                    self.each(outer, |s, o| {
                        let to = place.plus(done).at(o, signed(row));
                        s.move_words(&from.place.at(o, signed(count)), &to, count);
                    });
                    done += count;
                }
                self.set_array(result, place);
            }
            Prim::CumSum { reverse } => {
                let from = self.view(args[0]);
                let place = self.result_slot(result, size);
                let total = self.reg(ty.scalar);
                self.nodes.push(Node::Copy { result: total, value: zero_of(ty.scalar) });
                self.repeat(int(size), size, *reverse, |s, i| {
                    let value = s.load(from.place.at(i, 1), ty.scalar);
                    let acc = Operand::Reg(total);
                    s.nodes.push(Node::Fold { result: total, fold: Fold::Sum, scalar: ty.scalar, acc, value });
                    s.store(place.at(i, 1), acc);
                });
                self.set_array(result, place);
            }
            Prim::Sort => {
                let a = self.view(args[0]).place;
                let place = self.result_slot(result, size);
                let call = Linear::Sort { n: size, scalar: ty.scalar, a, result: place.clone() };
                self.nodes.push(Node::Linear(call));
                self.set_array(result, place);
            }
            Prim::Cholesky => {
                let a = self.view(args[0]).place;
                let place = self.result_slot(result, size);
                self.nodes.push(Node::Linear(Linear::Cholesky { n: ty.shape[0], a, result: place.clone() }));
                self.set_array(result, place);
            }
            Prim::SolveLower { transposed } => {
                let (l, b) = (self.view(args[0]), self.view(args[1]).place);
                let place = self.result_slot(result, size);
                let m = ty.shape.get(1).copied().unwrap_or(1);
                let n = l.shape[0];
                self.nodes.push(Node::Linear(Linear::SolveLower {
                    n,
                    m,
                    transposed: *transposed,
                    l: l.place,
                    b,
                    result: place.clone(),
                }));
                self.set_array(result, place);
            }
        }
    }

    pub(super) fn contract(&mut self, c: &Contract) {
        let ty = self.ty(c.result);
        let (a, b) = (self.view_or_scalar(c.a), self.view_or_scalar(c.b));
        match c.kind {
            Some(ContractKind::Rows) => self.rows(c, &a, &b, &ty),
            Some(ContractKind::Gemm) => self.gemm(c, &a, &b, &ty),
            None | Some(ContractKind::Loops) => self.contract_loops(c, &a, &b, &ty),
        }
    }

    /// A contract's operand: an array, or a scalar put into memory.
    fn view_or_scalar(&mut self, atom: Atom) -> View {
        if self.is_array(atom) {
            return self.view(atom);
        }
        let value = self.operand(atom);
        let place = self.slot(1);
        self.store(place.clone(), value);
        View { place, shape: Vec::new() }
    }

    fn contract_loops(&mut self, c: &Contract, a: &View, b: &View, ty: &Type) {
        let place = if ty.is_scalar() { None } else { Some(self.result_slot(c.result, ty.size())) };
        let spec = Spec::new(c, &a.shape, &b.shape);
        let total = self.reg(Scalar::Real);
        self.free_loops(&spec, 0, a.place.clone(), b.place.clone(), place.clone(), total);
        match place {
            Some(place) => self.set_array(c.result, place),
            None => self.set_scalar(c.result, Operand::Reg(total)),
        }
    }

    fn free_loops(
        &mut self,
        spec: &Spec,
        level: usize,
        a: Place,
        b: Place,
        out: Option<Place>,
        total: super::nest::Reg,
    ) {
        if level == spec.free.len() {
            self.nodes.push(Node::Copy { result: total, value: Operand::Real(0.0) });
            self.summed_loops(spec, 0, a, b, total);
            if let Some(out) = out {
                self.store(out, Operand::Reg(total));
            }
            return;
        }
        let axis = &spec.free[level];
        self.each(axis.extent, |s, i| {
            let out = out.map(|p| p.at(i, axis.out));
            s.free_loops(spec, level + 1, a.at(i, axis.a), b.at(i, axis.b), out, total);
        });
    }

    fn summed_loops(&mut self, spec: &Spec, level: usize, a: Place, b: Place, total: super::nest::Reg) {
        if level == spec.summed.len() {
            let x = self.load(a, Scalar::Real);
            let y = self.load(b, Scalar::Real);
            let value = self.op(Op::Mul, &[x, y]);
            let acc = Operand::Reg(total);
            self.nodes.push(Node::Fold { result: total, fold: Fold::Sum, scalar: Scalar::Real, acc, value });
            return;
        }
        let axis = &spec.summed[level];
        self.each(axis.extent, |s, i| {
            s.summed_loops(spec, level + 1, a.at(i, axis.a), b.at(i, axis.b), total);
        });
    }

    fn rows(&mut self, c: &Contract, a: &View, b: &View, ty: &Type) {
        let place = self.result_slot(c.result, ty.size());
        let swapped = c.a_labels.len() == 1;
        let (x, v, x_labels, v_labels) =
            if swapped { (b, a, &c.b_labels, &c.a_labels) } else { (a, b, &c.a_labels, &c.b_labels) };
        let (Some(&rows), Some(&d), [_, inner], [label]) =
            (x.shape.first(), x.shape.get(1), &x_labels[..], &v_labels[..])
        else {
            return self.fail("a rows contract is a matrix and a vector");
        };
        let (x, v) = (x.place.clone(), v.place.clone());
        if inner == label {
            self.nodes.push(Node::Linear(Linear::RowsDot { rows: int(rows), d, x, b: v, result: place.clone() }));
        } else {
            self.rows_by_chunks(rows, d, &x, &v, &place);
        }
        self.set_array(c.result, place);
    }

    /// Sums over rows: each chunk from 0.0, chunks in order.
    fn rows_by_chunks(&mut self, rows: usize, d: usize, x: &Place, r: &Place, result: &Place) {
        let chunk = chunk_size(rows);
        let zeros =
            |to: &Place| Node::Fill { to: to.clone(), scalar: Scalar::Real, value: Operand::Real(0.0), count: d };
        self.nodes.push(zeros(result));
        if rows <= chunk {
            let (x, r, result) = (x.clone(), r.clone(), result.clone());
            return self.nodes.push(Node::Linear(Linear::RowsAxpy { rows: int(rows), d, x, r, result }));
        }
        let chunks = rows.div_ceil(chunk);
        let total = self.scratch_slot(d);
        self.repeat(int(chunks), chunks, false, |s, c| {
            let start = s.mul(c, signed(chunk));
            let left = s.op(Op::ISub, &[int(rows), start]);
            let count = s.op(Op::IMin, &[left, int(chunk)]);
            s.nodes.push(zeros(&total));
            s.nodes.push(Node::Linear(Linear::RowsAxpy {
                rows: count,
                d,
                x: x.at(start, signed(d)),
                r: r.at(start, 1),
                result: total.clone(),
            }));
            s.each(d, |s, j| {
                let value = s.load(total.at(j, 1), Scalar::Real);
                s.fold_at(&result.at(j, 1), Fold::Sum, value);
            });
        });
    }

    fn gemm(&mut self, c: &Contract, a: &View, b: &View, ty: &Type) {
        let place = self.result_slot(c.result, ty.size());
        let spec = Spec::new(c, &a.shape, &b.shape);
        let (mut batch, mut rows, mut columns) = (Vec::new(), Vec::new(), Vec::new());
        for axis in &spec.free {
            match (axis.a, axis.b) {
                (_, 0) => rows.push(*axis),
                (0, _) => columns.push(*axis),
                _ => batch.push(*axis),
            }
        }
        let one = Axis { extent: 1, a: 0, b: 0, out: 0 };
        let take = |axes: &[Axis]| match axes {
            [] => Some(one),
            [axis] => Some(*axis),
            _ => None,
        };
        let (Some(m), Some(n), Some(k)) = (take(&rows), take(&columns), take(&spec.summed)) else {
            return self.contract_loops(c, a, b, ty);
        };
        self.gemm_batches(&batch, (a.place.clone(), b.place.clone(), place.clone()), &|s, a, b, result| {
            s.nodes.push(Node::Linear(Linear::Gemm {
                m: m.extent,
                k: k.extent,
                n: n.extent,
                a,
                a_strides: (m.a, k.a),
                b,
                b_strides: (k.b, n.b),
                result,
                result_strides: (m.out, n.out),
            }));
        });
        self.set_array(c.result, place);
    }

    fn gemm_batches(
        &mut self,
        batch: &[Axis],
        (a, b, out): (Place, Place, Place),
        call: &dyn Fn(&mut Lowerer, Place, Place, Place),
    ) {
        match batch {
            [] => call(self, a, b, out),
            [axis, rest @ ..] => self.each(axis.extent, |s, i| {
                s.gemm_batches(rest, (a.at(i, axis.a), b.at(i, axis.b), out.at(i, axis.out)), call);
            }),
        }
    }
}

/// A label of a contract: extent, and its stride in each operand and the result (0 where it does not occur).
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    pub extent: usize,
    pub a: i64,
    pub b: i64,
    pub out: i64,
}

/// Labels of the result in order, and summed labels in order of first occurrence.
pub(super) struct Spec {
    pub free: Vec<Axis>,
    pub summed: Vec<Axis>,
}

impl Spec {
    pub(super) fn new(c: &Contract, a: &[usize], b: &[usize]) -> Spec {
        let find = |labels: &[u8], shape: &[usize], label: u8| -> Option<(usize, i64)> {
            let axis = labels.iter().position(|&l| l == label)?;
            Some((shape[axis], strides(shape)[axis]))
        };
        let extent = |label: u8| {
            find(&c.a_labels, a, label).or_else(|| find(&c.b_labels, b, label)).map_or(0, |(extent, _)| extent)
        };
        let out_shape: Vec<usize> = c.out.iter().map(|&l| extent(l)).collect();
        let axis = |label: u8| Axis {
            extent: extent(label),
            a: find(&c.a_labels, a, label).map_or(0, |(_, s)| s),
            b: find(&c.b_labels, b, label).map_or(0, |(_, s)| s),
            out: find(&c.out, &out_shape, label).map_or(0, |(_, s)| s),
        };
        let mut summed: Vec<u8> = Vec::new();
        for &label in c.a_labels.iter().chain(&c.b_labels) {
            if !c.out.contains(&label) && !summed.contains(&label) {
                summed.push(label);
            }
        }
        Spec { free: c.out.iter().map(|&l| axis(l)).collect(), summed: summed.into_iter().map(axis).collect() }
    }
}

/// The word that holds a constant's element.
fn word(x: f64, scalar: Scalar) -> u64 {
    match scalar {
        Scalar::Real => x.to_bits(),
        #[expect(clippy::cast_possible_truncation, reason = "a constant int array holds ints as reals")]
        Scalar::Int => (x as i64).cast_unsigned(),
        Scalar::Bool => u64::from(x != 0.0),
    }
}
