//! `grad(f, x)`: the body of `f` is specialised in a region of its own, on variables that stand for `x`, and replaced by its
//! gradient. Differentiation itself is handed in ([`Gradient`]): this folder knows nothing of its rules.
//!
//! Before: `grad(|u| u^3, x)`. After: `t = mul(x, x); g = mul(3.0, t)`.

use super::machine::{Fact, Machine, R, refuse};
use super::value::Value;
use crate::base::source::Span;
use crate::diagnostic::Diagnostic;
use crate::ir::core::{Atom, Block, Program, Scalar, Stmt, Var};
use crate::ir::walk::{Substitution, copy_block};

/// The region whose results are the gradients of `block`'s only result, a real scalar, in `wrt`; its statements may stand
/// where those of `block` would. The error says which operation has no derivative.
pub type Gradient = fn(&mut Program, &Block, &[Var]) -> Result<Block, String>;

impl<'a> Machine<'a> {
    /// The gradient of `f` at `x`, of the form of `x`.
    pub(super) fn gradient(&mut self, f: &Value<'a>, x: &Value<'a>, span: Span) -> R<Value<'a>> {
        let Some(gradient) = self.bindings.gradient else {
            return refuse(span, "`grad` needs a way to differentiate");
        };
        let x = self.reals(x, span)?;
        let at = self.leaves(&x, span)?;
        let (calls, forwards) = (self.calls.len(), self.forwards.len());
        self.enter();
        let vars: Vec<Var> = at
            .iter()
            .map(|&a| {
                let (ty, fact) = (self.program.atom_type(a), self.fact(a));
                let var = self.new_var(ty, None);
                self.set_fact(var.into(), fact);
                var
            })
            .collect();
        let argument = self.rebuild(&x, &mut vars.iter().map(|&v| Atom::Var(v)));
        let value = self.apply(f, vec![argument], span).and_then(|v| self.force(&v, span));
        let value = value.map(|v| self.real_of(v));
        let stmts = self.leave();
        self.forwards.truncate(forwards);
        let value = value?;
        if self.calls.len() != calls || stmts.iter().any(random) {
            return Err(not_pure(span).into());
        }
        if !self.program.atom_type(value).is_scalar() {
            return refuse(span, "`grad` is of a function that gives a number");
        }
        let block = Block { stmts, results: vec![value] };
        let made = gradient(&mut self.program, &block, &vars).map_err(|why| {
            Diagnostic::error("E0313", span, format!("this function cannot be differentiated: {why}"))
                .label("differentiated here")
        })?;
        let mut map: Substitution = vars.iter().copied().zip(at.iter().copied()).collect();
        let made = copy_block(&mut self.program, &made, &mut map);
        let depth = self.outer.len();
        let random = at.iter().any(|&a| self.fact(a).random) || made.stmts.iter().any(|s| self.reads_random(s));
        for stmt in &made.stmts {
            for v in stmt.results() {
                self.facts.insert(v, Fact { random, depth, ..super::machine::UNKNOWN });
            }
        }
        self.stmts.extend(made.stmts);
        Ok(self.rebuild(&x, &mut made.results.into_iter()))
    }

    fn reads_random(&self, stmt: &Stmt) -> bool {
        stmt.free_vars().into_iter().any(|v| self.facts.get(&v).is_some_and(|f| f.random))
    }

    /// Ints as reals in every leaf.
    pub(super) fn reals(&mut self, x: &Value<'a>, span: Span) -> R<Value<'a>> {
        Ok(match x {
            Value::Tuple(items) => {
                let items: R<Vec<_>> = items.iter().map(|v| self.reals(v, span)).collect();
                Value::Tuple(items?.into())
            }
            Value::Record(fields) => {
                let fields: R<Vec<_>> = fields.iter().map(|(n, v)| Ok((n.clone(), self.reals(v, span)?))).collect();
                Value::record(fields?)
            }
            Value::Scalar(_) | Value::Array(_) | Value::Range(..) => self.with_scalar(x, Scalar::Real)?,
            other => return refuse(span, format!("a number or an array is needed, this is {}", other.kind())),
        })
    }
}

fn random(stmt: &Stmt) -> bool {
    matches!(stmt, Stmt::Sample(_) | Stmt::Draw(_)) || stmt.regions().iter().any(|r| r.stmts.iter().any(random))
}

fn not_pure(span: Span) -> Diagnostic {
    Diagnostic::error("E0217", span, "`grad` of a function that samples")
        .label("differentiated here")
        .note("`grad` is of pure functions: what is sampled inside has a distribution that depends on the argument")
        .fix("sample outside, and pass the value in")
}
