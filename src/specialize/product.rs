//! Products of arrays. An inner product of a row of a matrix, inside the loop over the rows, is read from the product of
//! the whole matrix, made once before the loop.

use super::machine::{Fact, Machine, R, UNKNOWN, refuse};
use super::value::{Array, Repr, Value, ViewAxis};
use crate::base::source::Span;
use crate::ir::core::{Atom, Contract, Scalar, Stmt, Type};
use crate::ir::op::Op;

/// Labels of the operands and of the result.
type Labels = (&'static [u8], &'static [u8], &'static [u8]);

impl<'a> Machine<'a> {
    /// `contract` of two arrays of reals.
    pub(super) fn contract(&mut self, a: Atom, b: Atom, labels: Labels, shape: Vec<usize>) -> Atom {
        let ty = Type { scalar: Scalar::Real, shape };
        let random = self.fact(a).random || self.fact(b).random;
        let result = self.new_var(ty, None);
        let (a_labels, b_labels, out) = (labels.0.to_vec(), labels.1.to_vec(), labels.2.to_vec());
        self.stmts.push(Stmt::Contract(Contract { result, a, b, a_labels, b_labels, out, kind: None }));
        self.set_fact(result.into(), Fact { random, ..UNKNOWN });
        result.into()
    }

    /// `a @ b`: matrix, matrix-vector and inner product.
    pub(super) fn matmul(&mut self, a: &Value<'a>, b: &Value<'a>, span: Span) -> R<Value<'a>> {
        let a = self.with_scalar(a, Scalar::Real)?;
        let b = self.with_scalar(b, Scalar::Real)?;
        let (Value::Array(left), Value::Array(right)) = (&a, &b) else {
            return refuse(span, format!("`@` needs arrays, these are {} and {}", a.kind(), b.kind()));
        };
        let (ls, rs) = (left.shape.clone(), right.shape.clone());
        let inner = (ls.last().copied(), rs.first().copied());
        if inner.0 != inner.1 {
            return refuse(span, format!("`@` of shapes {ls:?} and {rs:?}"));
        }
        if let ([n], [_]) = (ls.as_slice(), rs.as_slice()) {
            return Ok(Value::Scalar(self.dot(left, right, *n)?));
        }
        let (x, y) = (self.force_array(left)?, self.force_array(right)?);
        let (labels, shape): (Labels, Vec<usize>) = match (ls.as_slice(), rs.as_slice()) {
            ([m, _], [_]) => ((b"ij", b"j", b"i"), vec![*m]),
            ([_], [_, n]) => ((b"i", b"ij", b"j"), vec![*n]),
            ([m, _], [_, n]) => ((b"ij", b"jk", b"ik"), vec![*m, *n]),
            _ => return refuse(span, format!("`@` of shapes {ls:?} and {rs:?}")),
        };
        let atom = self.contract(x, y, labels, shape.clone());
        Ok(Value::core(atom, Scalar::Real, shape))
    }

    /// Inner product. Of a row `X[i]` inside the loop over `i` with a vector from outside, it is read from the product
    /// of the whole matrix, which is made once, before the loop.
    fn dot(&mut self, left: &Array<'a>, right: &Array<'a>, n: usize) -> R<Atom> {
        for (row, vector) in [(left, right), (right, left)] {
            if let Some(atom) = self.hoisted_row_product(row, vector)? {
                return Ok(atom);
            }
        }
        if n <= 4 && matches!((&left.repr, &right.repr), (Repr::List(_), _) | (_, Repr::List(_))) {
            let mut total: Option<Atom> = None;
            for i in 0..n {
                let at = [Atom::Int(i as i64)];
                let (x, y) = (self.element(left, &at)?, self.element(right, &at)?);
                let p = self.real_op(Op::Mul, &[x, y]);
                total = Some(total.map_or(p, |t| self.add(t, p)));
            }
            return Ok(total.unwrap_or(Atom::Real(0.0)));
        }
        let (x, y) = (self.force_array(left)?, self.force_array(right)?);
        Ok(self.contract(x, y, (b"i", b"i", b""), Vec::new()))
    }

    fn hoisted_row_product(&mut self, row: &Array<'a>, vector: &Array<'a>) -> R<Option<Atom>> {
        if !self.hoists {
            return Ok(None);
        }
        let Repr::View { base, axes } = &row.repr else { return Ok(None) };
        let [ViewAxis::At(Atom::Var(i)), ViewAxis::From(Atom::Int(0))] = &axes[..] else { return Ok(None) };
        let shape = self.program.atom_type(*base).shape;
        if !self.loops.iter().any(|&(a, extent)| a == Atom::Var(*i) && extent == shape[0]) {
            return Ok(None);
        }
        let Some(depth) = self.facts.get(i).map(|f| f.depth) else { return Ok(None) };
        if depth == 0 || self.fact(*base).depth >= depth || shape.get(1) != vector.shape.first() {
            return Ok(None);
        }
        let mut vars = Vec::new();
        Value::Array(vector.clone()).vars(&mut vars);
        if vars.iter().any(|v| self.facts.get(v).is_none_or(|f| f.depth >= depth)) {
            return Ok(None);
        }
        let product = self.at_depth(depth - 1, |m| {
            let v = m.force_array(vector)?;
            Ok(m.contract(*base, v, (b"ij", b"j", b"i"), vec![shape[0]]))
        })?;
        Ok(Some(self.read(product, &[Atom::Var(*i)])))
    }
}
