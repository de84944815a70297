//! Adjoints of `contract` and of the array primitives. A contract's adjoints are contracts, by its labels alone.
//! Cholesky and triangular solves: Giles, *Collected matrix derivative results for forward and reverse mode* (2008).

use super::AdError;
use super::contribution::{Adjoints, slice};
use super::reverse::Reverse;
use super::rules::neg;
use crate::ir::builder::Builder;
use crate::ir::core::{Atom, Collector, Contract, Prim, Scalar, Stmt, Type, Var};
use crate::ir::op::Op;

impl Reverse {
    pub(super) fn pull_contract(&mut self, b: &mut Builder<'_>, c: &Contract, r_adj: Atom, adj: &mut Adjoints) {
        for (this, labels, other, other_labels) in
            [(c.a, &c.a_labels, c.b, &c.b_labels), (c.b, &c.b_labels, c.a, &c.a_labels)]
        {
            let Atom::Var(v) = this else { continue };
            if !self.active.contains(&v) {
                continue;
            }
            let value = contract_adjoint(b, (v, labels), (other, other_labels), (r_adj, &c.out));
            adj.add_whole(b, v, value);
        }
    }

    pub(super) fn pull_primitive(
        &mut self,
        b: &mut Builder<'_>,
        result: Var,
        prim: &Prim,
        args: &[Atom],
        r_adj: Atom,
        adj: &mut Adjoints,
    ) -> Result<(), AdError> {
        let active = |this: &Reverse, k: usize| match args.get(k) {
            Some(&Atom::Var(v)) if this.active.contains(&v) => Some(v),
            _ => None,
        };
        match prim {
            Prim::Cholesky => {
                if let Some(v) = active(self, 0) {
                    let value = cholesky_adjoint(b, result.into(), r_adj);
                    adj.add_whole(b, v, value);
                }
            }
            Prim::SolveLower { transposed } => {
                let flipped = Prim::SolveLower { transposed: !transposed };
                let ty = b.program.atom_type(r_adj);
                let rhs_adj = b.array(flipped, &[args[0], r_adj], ty);
                if let Some(v) = active(self, 1) {
                    adj.add_whole(b, v, rhs_adj);
                }
                if let Some(v) = active(self, 0) {
                    let (x, y) = if *transposed { (result.into(), rhs_adj) } else { (rhs_adj, result.into()) };
                    let outer = outer_product(b, x, y);
                    let value = lower_triangle(b, outer, neg, neg);
                    adj.add_whole(b, v, value);
                }
            }
            Prim::CumSum { reverse } => {
                if let Some(v) = active(self, 0) {
                    let ty = b.program.ty(v).clone();
                    let value = b.array(Prim::CumSum { reverse: !reverse }, &[r_adj], ty);
                    adj.add_whole(b, v, value);
                }
            }
            Prim::Concat { axis } => {
                let mut offset = 0;
                for (k, &arg) in args.iter().enumerate() {
                    let shape = b.program.atom_type(arg).shape;
                    let length = shape[*axis];
                    if let Some(v) = active(self, k) {
                        let value = window(b, r_adj, *axis, offset, &shape);
                        adj.add_whole(b, v, value);
                    }
                    offset += length;
                }
            }
            Prim::Stack => {
                for k in 0..args.len() {
                    if let Some(v) = active(self, k) {
                        let at = Atom::Int(i64::try_from(k).unwrap_or(i64::MAX));
                        let value = slice(b, r_adj, &[at]);
                        adj.add_whole(b, v, value);
                    }
                }
            }
            Prim::Reshape { .. } => {
                if let Some(v) = active(self, 0) {
                    let ty = b.program.ty(v).clone();
                    let value = b.array(Prim::Reshape { shape: ty.shape.clone() }, &[r_adj], ty);
                    adj.add_whole(b, v, value);
                }
            }
            Prim::Sort => {
                if let Some(v) = active(self, 0) {
                    let n = b.program.ty(v).shape[0];
                    let value = b.for_(&[n], vec![Collector::Collect], |b, i| {
                        let at = rank(b, v.into(), n, i[0]);
                        vec![b.read(r_adj, &[at])]
                    })[0];
                    adj.add_whole(b, v, value);
                }
            }
            Prim::Fill { shape } => {
                if let Some(v) = active(self, 0) {
                    let value =
                        b.for_(shape, vec![Collector::Sum { keep: Vec::new() }], |b, i| vec![b.read(r_adj, i)])[0];
                    adj.add_whole(b, v, value);
                }
            }
            Prim::Const { .. } | Prim::Subset { .. } => {}
        }
        Ok(())
    }
}

/// The adjoint of operand `v` of a contract: the contract of the result's adjoint and the other operand; labels that
/// stand in `v` alone were summed out and are broadcast.
fn contract_adjoint(
    b: &mut Builder<'_>,
    (v, labels): (Var, &[u8]),
    (other, other_labels): (Atom, &[u8]),
    (r_adj, out): (Atom, &[u8]),
) -> Atom {
    let shape = b.program.ty(v).shape.clone();
    let present: Vec<bool> = labels.iter().map(|l| out.contains(l) || other_labels.contains(l)).collect();
    let kept_labels: Vec<u8> = labels.iter().zip(&present).filter(|(_, p)| **p).map(|(&l, _)| l).collect();
    let kept_shape: Vec<usize> = shape.iter().zip(&present).filter(|(_, p)| **p).map(|(&n, _)| n).collect();
    let ty = Type::array(Scalar::Real, kept_shape);
    let core = contract(b, (r_adj, out.to_vec()), (other, other_labels.to_vec()), kept_labels, ty);
    if present.iter().all(|&p| p) {
        return core;
    }
    b.for_(&shape, vec![Collector::Collect], |b, i| {
        let index: Vec<Atom> = i.iter().zip(&present).filter(|(_, p)| **p).map(|(&a, _)| a).collect();
        let x = if index.is_empty() { core } else { b.read(core, &index) };
        vec![x]
    })[0]
}

pub(super) fn contract(
    b: &mut Builder<'_>,
    (x, x_labels): (Atom, Vec<u8>),
    (y, y_labels): (Atom, Vec<u8>),
    out: Vec<u8>,
    ty: Type,
) -> Atom {
    let result = b.var(ty);
    b.stmts.push(Stmt::Contract(Contract {
        result,
        a: x,
        b: y,
        a_labels: x_labels,
        b_labels: y_labels,
        out,
        kind: None,
    }));
    result.into()
}

fn extent(b: &Builder<'_>, matrix: Atom, axis: usize) -> usize {
    b.program.atom_type(matrix).shape.get(axis).copied().unwrap_or(0)
}

/// x yᵀ, [n] or [n, m] both: summed over the second axis if there is one.
fn outer_product(b: &mut Builder<'_>, x: Atom, y: Atom) -> Atom {
    let n = extent(b, x, 0);
    let ty = Type::array(Scalar::Real, [n, n]);
    if b.program.atom_type(x).shape.len() == 1 {
        return contract(b, (x, vec![b'i']), (y, vec![b'j']), vec![b'i', b'j'], ty);
    }
    contract(b, (x, vec![b'i', b'k']), (y, vec![b'j', b'k']), vec![b'i', b'j'], ty)
}

/// The lower triangle of a square matrix, `below` applied under the diagonal and `on` on it; zero above.
pub(super) fn lower_triangle(
    b: &mut Builder<'_>,
    matrix: Atom,
    below: impl FnOnce(&mut Builder<'_>, Atom) -> Atom,
    on: impl FnOnce(&mut Builder<'_>, Atom) -> Atom,
) -> Atom {
    let n = extent(b, matrix, 0);
    b.for_(&[n, n], vec![Collector::Collect], |b, i| {
        let x = b.read(matrix, i);
        let under = below(b, x);
        let diagonal = on(b, x);
        let is_under = b.op(Op::ILt, &[i[1], i[0]]);
        let is_on = b.op(Op::IEq, &[i[0], i[1]]);
        let rest = b.op(Op::Select, &[is_on, diagonal, Atom::Real(0.0)]);
        vec![b.op(Op::Select, &[is_under, under, rest])]
    })[0]
}

fn half(b: &mut Builder<'_>, x: Atom) -> Atom {
    b.op(Op::Mul, &[x, Atom::Real(0.5)])
}

pub(super) fn transpose(b: &mut Builder<'_>, x: Atom) -> Atom {
    let (n, m) = (extent(b, x, 0), extent(b, x, 1));
    b.for_(&[m, n], vec![Collector::Collect], |b, i| vec![b.read(x, &[i[1], i[0]])])[0]
}

pub(super) fn solve(b: &mut Builder<'_>, l: Atom, rhs: Atom, transposed: bool) -> Atom {
    let ty = b.program.atom_type(rhs);
    b.array(Prim::SolveLower { transposed }, &[l, rhs], ty)
}

/// P = Φ(LᵀL_adj), S = L⁻ᵀPL⁻¹, A_adj = lower(S + Sᵀ) with diagonal S.
fn cholesky_adjoint(b: &mut Builder<'_>, l: Atom, l_adj: Atom) -> Atom {
    let n = extent(b, l, 0);
    let square = Type::array(Scalar::Real, [n, n]);
    let masked = lower_triangle(b, l_adj, |_, x| x, |_, x| x);
    let p = contract(b, (l, vec![b'k', b'i']), (masked, vec![b'k', b'j']), vec![b'i', b'j'], square);
    let p = lower_triangle(b, p, |_, x| x, half);
    let left = solve(b, l, p, true);
    let left = transpose(b, left);
    // L⁻ᵀ (L⁻ᵀ P)ᵀ is Sᵀ.
    let s = solve(b, l, left, true);
    b.for_(&[n, n], vec![Collector::Collect], |b, i| {
        let x = b.read(s, &[i[0], i[1]]);
        let y = b.read(s, &[i[1], i[0]]);
        let both = b.op(Op::Add, &[x, y]);
        let is_under = b.op(Op::ILt, &[i[1], i[0]]);
        let is_on = b.op(Op::IEq, &[i[0], i[1]]);
        let rest = b.op(Op::Select, &[is_on, x, Atom::Real(0.0)]);
        vec![b.op(Op::Select, &[is_under, both, rest])]
    })[0]
}

/// Tangent of L = cholesky(A): L Φ(L⁻¹ A_tan L⁻ᵀ), A_tan symmetric from its lower triangle.
pub(super) fn cholesky_tangent(b: &mut Builder<'_>, l: Atom, a_tan: Atom) -> Atom {
    let n = extent(b, l, 0);
    let square = Type::array(Scalar::Real, [n, n]);
    let symmetric = b.for_(&[n, n], vec![Collector::Collect], |b, i| {
        let row = b.op(Op::IMax, &[i[0], i[1]]);
        let column = b.op(Op::IMin, &[i[0], i[1]]);
        vec![b.read(a_tan, &[row, column])]
    })[0];
    let left = solve(b, l, symmetric, false);
    let left = transpose(b, left);
    let middle = solve(b, l, left, false);
    let middle = lower_triangle(b, middle, |_, x| x, half);
    contract(b, (l, vec![b'i', b'k']), (middle, vec![b'k', b'j']), vec![b'i', b'j'], square)
}

/// Elements `offset..` along `axis`, as many as `shape` has.
fn window(b: &mut Builder<'_>, array: Atom, axis: usize, offset: usize, shape: &[usize]) -> Atom {
    let offset = Atom::Int(i64::try_from(offset).unwrap_or(i64::MAX));
    b.for_(shape, vec![Collector::Collect], |b, i| {
        let mut index = i.to_vec();
        if offset != Atom::Int(0) {
            index[axis] = b.op(Op::IAdd, &[i[axis], offset]);
        }
        vec![b.read(array, &index)]
    })[0]
}

/// Position of element `i` of `x[n]` in ascending order, ties by index.
pub(super) fn rank(b: &mut Builder<'_>, x: Atom, n: usize, i: Atom) -> Atom {
    let here = b.read(x, &[i]);
    b.for_(&[n], vec![Collector::Sum { keep: Vec::new() }], |b, j| {
        let there = b.read(x, j);
        let less = b.op(Op::Lt, &[there, here]);
        let equal = b.op(Op::Eq, &[there, here]);
        let earlier = b.op(Op::ILt, &[j[0], i]);
        let tie = b.op(Op::And, &[equal, earlier]);
        let before = b.op(Op::Or, &[less, tie]);
        vec![b.op(Op::BoolToInt, &[before])]
    })[0]
}
