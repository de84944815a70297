//! `inspect(e, "name")`: the value of `e`; in a program made for it, also what `e` was in every iteration it stood in.
//!
//! Before: `for i<n { t = …inspected…; … }`. After: `t_all = for i<n { … } yield …, collect t`. Where a branch was not
//! taken there is NaN.

use super::machine::{Machine, R};
use super::value::Value;
use crate::base::source::Span;
use crate::ir::builder::Builder;
use crate::ir::core::{Atom, Block, Collector, Prim, Program, Scalar, Stmt, Type, Var};

impl<'a> Machine<'a> {
    pub(super) fn inspect(&mut self, x: &Value<'a>, name: &str, span: Span) -> R<Value<'a>> {
        if self.inspected.is_some() && matches!(x, Value::Scalar(_) | Value::Array(_)) {
            let real = self.with_scalar(x, Scalar::Real)?;
            let atom = self.force(&real, span)?;
            // A variable of its own: that of a literal, too, stands somewhere.
            let ty = self.program.atom_type(atom);
            let at = if ty.is_scalar() {
                self.prim(Prim::Fill { shape: vec![1] }, &[atom], Type::array(Scalar::Real, vec![1]))
            } else {
                self.prim(Prim::Reshape { shape: ty.shape.clone() }, &[atom], ty)
            };
            if let (Some(list), Atom::Var(v)) = (&mut self.inspected, at) {
                list.push((name.to_owned(), v));
            }
        }
        Ok(x.clone())
    }
}

/// Hands the variables out of the regions they stand in; for each, what it is called outside, if it is there at all.
pub(super) fn expose(program: &mut Program, stmts: &mut [Stmt], wanted: &[Var]) -> Vec<Option<Var>> {
    let mut found: Vec<Option<Var>> = vec![None; wanted.len()];
    for stmt in stmts {
        for v in stmt.results() {
            if let Some(k) = wanted.iter().position(|w| *w == v) {
                found[k] = Some(v);
            }
        }
        match stmt {
            Stmt::For(f) => {
                let extents: Vec<usize> = f.indices.iter().map(|&(_, n)| n).collect();
                for (k, inner) in expose(program, &mut f.body.stmts, wanted).into_iter().enumerate() {
                    let Some(inner) = inner else { continue };
                    let ty = Collector::Collect.result_type(&extents, program.ty(inner));
                    let outer = program.new_var(ty, None);
                    f.body.results.push(inner.into());
                    f.collectors.push(Collector::Collect);
                    f.results.push(outer);
                    found[k] = Some(outer);
                }
            }
            Stmt::Loop(l) => {
                for (k, inner) in expose(program, &mut l.body.stmts, wanted).into_iter().enumerate() {
                    let Some(inner) = inner else { continue };
                    let ty = Collector::Collect.result_type(&[l.extent], program.ty(inner));
                    let outer = program.new_var(ty, None);
                    l.body.results.push(inner.into());
                    l.collectors.push(Collector::Collect);
                    l.results.push(outer);
                    found[k] = Some(outer);
                }
            }
            Stmt::If(i) => {
                let then = expose(program, &mut i.then.stmts, wanted);
                let otherwise = expose(program, &mut i.otherwise.stmts, wanted);
                for (k, (a, b)) in then.into_iter().zip(otherwise).enumerate() {
                    let Some(ty) = a.or(b).map(|v| program.ty(v).clone()) else { continue };
                    let a = a.map_or_else(|| absent(program, &mut i.then, &ty), Atom::Var);
                    let b = b.map_or_else(|| absent(program, &mut i.otherwise, &ty), Atom::Var);
                    let outer = program.new_var(ty, None);
                    i.then.results.push(a);
                    i.otherwise.results.push(b);
                    i.results.push(outer);
                    found[k] = Some(outer);
                }
            }
            Stmt::Op { .. }
            | Stmt::Contract(_)
            | Stmt::Array { .. }
            | Stmt::Draw(_)
            | Stmt::Check { .. }
            | Stmt::Sample(_)
            | Stmt::Term(_) => {}
        }
    }
    found
}

fn absent(program: &mut Program, block: &mut Block, ty: &Type) -> Atom {
    let mut b = Builder::new(program);
    let atom = b.array(Prim::Fill { shape: ty.shape.clone() }, &[Atom::Real(f64::NAN)], ty.clone());
    block.stmts.extend(b.stmts);
    atom
}
