//! Generative functions made of others, and traces made of others: their arguments. Runs of them are in
//! [`super::particles`].

use super::machine::{Machine, R, refuse};
use super::value::{Algorithm, Env, Gen, GenForm, Importance, Value};
use crate::base::source::Span;
use crate::syntax::tree::{Arg, Expr, ExprKind, NodeId};
use crate::types::combinator::{NAMES, is_kept};
use crate::types::expression::address_path;
use std::rc::Rc;

pub(super) fn is_combinator(name: &str) -> bool {
    NAMES.contains(&name)
}

impl<'a> Machine<'a> {
    /// `call` is the number of the call, by which the checker has noted the strategy of an index without one.
    pub(super) fn combinator(
        &mut self,
        name: &'a str,
        call: NodeId,
        args: &'a [Arg],
        env: &Env<'a>,
        span: Span,
    ) -> R<Value<'a>> {
        let names = crate::types::combinator::parameters(name).0;
        let mut slots: Vec<Option<&'a Expr>> = vec![None; names.len()];
        let mut next = 0;
        for arg in args {
            let at = match &arg.name {
                Some(n) => names.iter().position(|p| *p == n.text).unwrap_or(names.len()),
                None => {
                    next += 1;
                    next - 1
                }
            };
            match slots.get_mut(at) {
                Some(slot) => *slot = Some(&arg.value),
                None => return refuse(arg.value.span, format!("`{name}` does not take this argument")),
            }
        }
        let arg = |at: usize| slots.get(at).copied().flatten();
        let made = |form: GenForm<'a>| Ok(Value::Gen(Rc::new(Gen { form, frozen: false })));
        match (name, arg(0), arg(1)) {
            ("enumerate", ..) => Ok(Value::Algorithm(Rc::new(Algorithm::Enumerate))),
            ("importance", Some(proposal), Some(count)) => {
                let proposal = self.expr(proposal, env)?;
                let n = self.static_int(count, env)?;
                let Some(count_of) = usize::try_from(n).ok().filter(|&n| n > 0) else {
                    return refuse(count.span, format!("importance sampling needs at least one particle, not {n}"));
                };
                let index = self.strategy_call(call, arg(2), env, span)?;
                let importance = Importance { proposal, count: count_of, index, span };
                Ok(Value::Algorithm(Rc::new(Algorithm::Importance(importance))))
            }
            ("condition", Some(g), Some(fixed)) => {
                let of = self.gen_of(g, env)?;
                let fixed = self.trace_of(fixed, env)?;
                made(GenForm::Condition { of, fixed })
            }
            ("predictive", Some(g), _) => {
                let of = self.gen_of(g, env)?;
                made(GenForm::Predictive { of })
            }
            ("marginal", Some(g), Some(keep)) => {
                let of = self.gen_of(g, env)?;
                let keep = addresses(keep)?.into();
                let by = self.algorithm_of(arg(2), env, span)?;
                made(GenForm::Marginal { of, keep, by })
            }
            ("normalize", Some(g), Some(by)) => {
                let of = self.gen_of(g, env)?;
                let by = self.algorithm_of(Some(by), env, span)?;
                made(GenForm::Normalize { of, by })
            }
            ("merge", Some(a), Some(b)) => {
                let (first, second) = (self.trace_of(a, env)?, self.trace_of(b, env)?);
                Ok(first.merged(&second))
            }
            ("restrict", Some(t), Some(names)) => {
                let trace = self.trace_of(t, env)?;
                let names = addresses(names)?;
                Ok(trace.restricted(&|p| is_kept(&names, p)))
            }
            _ => refuse(span, format!("`{name}` lacks an argument")),
        }
    }

    fn gen_of(&mut self, e: &'a Expr, env: &Env<'a>) -> R<Rc<Gen<'a>>> {
        let v = self.expr(e, env)?;
        self.as_gen(&v, e.span)
    }

    fn trace_of(&mut self, e: &'a Expr, env: &Env<'a>) -> R<Value<'a>> {
        match self.expr(e, env)? {
            v @ Value::Record(_) => Ok(v),
            Value::Unit => Ok(Value::record(Vec::new())),
            other => refuse(e.span, format!("a trace is needed, this is {}", other.kind())),
        }
    }

    fn algorithm_of(&mut self, e: Option<&'a Expr>, env: &Env<'a>, span: Span) -> R<Rc<Algorithm<'a>>> {
        let Some(e) = e else { return refuse(span, "an algorithm is needed (`by:`)") };
        match self.expr(e, env)? {
            Value::Algorithm(a) => Ok(a),
            other => refuse(e.span, format!("an algorithm is needed, this is {}", other.kind())),
        }
    }
}

fn addresses(e: &Expr) -> R<Vec<String>> {
    if let ExprKind::Array(parts) = &e.kind
        && let Some(names) = parts.iter().map(address_path).collect::<Option<Vec<String>>>()
    {
        return Ok(names);
    }
    refuse(e.span, "addresses are listed by name: `[x, y]`")
}

impl<'a> Value<'a> {
    /// The fields of both records; those of `over` where both have one.
    pub(super) fn merged(&self, over: &Value<'a>) -> Value<'a> {
        let (Value::Record(own), Value::Record(theirs)) = (self, over) else { return over.clone() };
        let mut out: Vec<(String, Value<'a>)> = own.to_vec();
        for (name, value) in theirs.iter() {
            match out.iter_mut().find(|(n, _)| n == name) {
                Some((_, present)) => *present = present.merged(value),
                None => out.push((name.clone(), value.clone())),
            }
        }
        Value::record(out)
    }

    /// The fields of a record whose paths `keep` accepts.
    pub(super) fn restricted(&self, keep: &dyn Fn(&str) -> bool) -> Value<'a> {
        self.restricted_under("", keep).unwrap_or_else(|| Value::record(Vec::new()))
    }

    fn restricted_under(&self, path: &str, keep: &dyn Fn(&str) -> bool) -> Option<Value<'a>> {
        match self {
            Value::Record(fields) => {
                let kept: Vec<(String, Value<'a>)> = fields
                    .iter()
                    .filter_map(|(n, v)| {
                        let path = if path.is_empty() { n.clone() } else { format!("{path}.{n}") };
                        Some((n.clone(), v.restricted_under(&path, keep)?))
                    })
                    .collect();
                (!kept.is_empty()).then(|| Value::record(kept))
            }
            leaf => keep(path).then(|| leaf.clone()),
        }
    }
}
