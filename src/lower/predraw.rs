//! Draws of loops inside a strip, made before them in one call.
//!
//! `for p<100 (strip) { for a<10 { draw normal() index (p of 100, a of 10) } }` takes the indices `10 p + a`: over the
//! strip and the inner loop they are consecutive. One call on `10 count` elements costs far less than ten strided ones;
//! the body then reads element `10 e + a` of its buffer.

use super::lowerer::{Lowerer, Value, signed, strides};
use super::nest::{Node, Operand, Place};
use crate::ir::core::{Block, Draw, Stmt, Var};

/// Words that the draws of one statement may take.
const MOST: usize = 8192;

/// Where a draw's values are: element `e` at `place + stride * e + Σ index * stride`.
#[derive(Clone, Debug)]
pub(super) struct Predrawn {
    place: Place,
    stride: i64,
    inner: Vec<(Var, i64)>,
}

impl Predrawn {
    /// Place and stride over the strip, at the present values of the inner indices.
    pub(super) fn at(&self, s: &mut Lowerer) -> (Place, i64) {
        let mut place = self.place.clone();
        for &(var, stride) in &self.inner {
            let index = s.operand(var.into());
            place = place.at(index, stride);
        }
        (place, self.stride)
    }
}

impl Lowerer {
    /// Makes the draws in `block` that are consecutive over the strip and the loops on `path`.
    pub(super) fn predraw(&mut self, block: &Block, path: &mut Vec<(Var, usize)>) {
        for stmt in &block.stmts {
            match stmt {
                Stmt::Draw(d) => self.predraw_one(d, path),
                Stmt::For(f) => {
                    path.extend(&f.indices);
                    self.predraw(&f.body, path);
                    path.truncate(path.len() - f.indices.len());
                }
                Stmt::Loop(l) => {
                    path.push((l.index, l.extent));
                    self.predraw(&l.body, path);
                    path.pop();
                }
                _ => {}
            }
        }
    }

    fn predraw_one(&mut self, d: &Draw, path: &[(Var, usize)]) {
        if self.predrawn.contains_key(&d.result) || !d.args.is_empty() || d.mirror.is_some() {
            return;
        }
        let inner: usize = path.iter().map(|&(_, n)| n).product();
        let pitch = self.pitch();
        let Some(outer) = d.index.len().checked_sub(path.len()) else { return };
        let same =
            d.index[outer..].iter().zip(path).all(|(&(atom, n), &(var, extent))| atom == var.into() && n == extent);
        if !same || inner < 2 || inner * pitch > MOST {
            return;
        }
        let extents: Vec<usize> = d.index.iter().map(|&(_, n)| n).collect();
        let (mut first, mut stride) = (Operand::Int(0), 0);
        for (&(atom, _), step) in d.index[..outer].iter().zip(strides(&extents)) {
            let affine = match atom.var().map(|v| self.values.get(&v)) {
                Some(Some(Value::Lanes(value))) => value.affine,
                Some(Some(Value::Scalar(o))) => Some((*o, 0)),
                Some(_) => None,
                None => Some((self.operand(atom), 0)),
            };
            let Some((base, coefficient)) = affine else { return };
            let term = self.mul(base, step);
            first = self.add(first, term);
            stride += coefficient * step;
        }
        if stride != signed(inner) {
            return;
        }
        let count = self.strip.as_ref().map_or(Operand::Int(0), |s| s.count);
        let count = match count {
            Operand::Int(n) => Operand::Int(n * stride),
            _ => self.mul(count, stride),
        };
        let output = self.scratch_slot(inner * pitch);
        self.nodes.push(Node::DrawStrip {
            noise: d.noise,
            site: d.site,
            args: Vec::new(),
            index: first,
            stride: 1,
            at: None,
            output: output.clone(),
            count,
        });
        let shape: Vec<usize> = path.iter().map(|&(_, n)| n).collect();
        let inner = path.iter().map(|&(v, _)| v).zip(strides(&shape)).collect();
        self.predrawn.insert(d.result, Predrawn { place: output, stride, inner });
    }
}
