//! Memory of strategies and relaxed values: where a state may go (only where it is stopped), what `next` and `learn` take,
//! and where a relaxed value may not go.

use super::annotation::Purpose;
use super::context::{Checker, Origin, OriginKind};
use super::value::{Base, Env, Kind, Mode, Num, Support, Val};
use crate::base::source::Span;
use crate::diagnostic::Diagnostic;
use crate::syntax::tree::{Expr, Name, TypeExpr};

impl Checker {
    /// The states that a value depends on.
    pub fn memory_part(&self, kind: &Kind) -> Kind {
        let states = kind.0.iter().filter(|o| self.origins[o.0 as usize].what == OriginKind::Memory);
        Kind(states.copied().collect())
    }

    /// Why a value is smooth: a state is no reason.
    pub fn without_memory(&self, kind: &Kind) -> Kind {
        let others = kind.0.iter().filter(|o| self.origins[o.0 as usize].what != OriginKind::Memory);
        Kind(others.copied().collect())
    }

    /// The relaxed site that a value depends on.
    pub fn relaxed_origin(&self, kind: &Kind) -> Option<Origin> {
        let origins = kind.0.iter().map(|o| &self.origins[o.0 as usize]);
        origins.into_iter().find(|o| matches!(o.what, OriginKind::Site { relaxed: true, .. })).cloned()
    }

    pub fn relaxed_reaches(&mut self, origin: &Origin, kind: &Kind, span: Span, what: &str, verb: &str) {
        let OriginKind::Site { strategy, .. } = &origin.what else { return };
        let d = Diagnostic::error("E0315", span, format!("a relaxed value reaches {what}: `{}` is any number between its values", origin.name))
            .label(format!("{verb} depends on `{}`", origin.name))
            .also(origin.span, format!("`{}` is sampled here by {strategy}, which passes on relaxed values", origin.name))
            .note("a relaxed strategy evaluates the rest of the program between the values of a discrete site, so the rest may use it in arithmetic and in densities that are defined there, not in comparisons, branches and indices")
            .fix(format!(
                "write the use as arithmetic (an index as a product with a one-hot vector, `one_hot`; `if z == 1 {{ a }} else {{ b }}` as `z * a + (1 - z) * b`){}",
                self.fallback().map_or(String::new(), |s| format!(", or sample `{}` by a strategy that is not relaxed, e.g. `by {s}`", origin.name))
            ));
        self.blame(d, kind);
    }

    pub fn memory_reaches(&mut self, memory: &Kind, span: Span, what: &str) {
        let Some(origin) = memory.0.first().map(|o| self.origins[o.0 as usize].clone()) else { return };
        self.report(
            Diagnostic::error("E0316", span, format!("the state `{}` reaches {what} without `stop`", origin.name))
                .label(format!("depends on `{}`", origin.name))
                .also(origin.span, "remembered here")
                .note("a state depends on earlier steps: it may only weigh what is stopped, as a baseline does, so that no gradient depends on it in the mean")
                .fix("put the part that depends on it under `stop(…)`"),
        );
    }

    fn remembered(&mut self, what: &str, ty: Option<&TypeExpr>, init: &Expr, span: Span, env: &mut Env) -> Val {
        if env.mode != Mode::Strategy {
            self.report(
                Diagnostic::error("E0316", span, format!("{what} belongs to a strategy"))
                    .label("not in a strategy")
                    .fix("a parameter that only `learn` trains is an item: `tune name: type = init`"),
            );
        }
        let mut value = self.expr(init, env);
        if let Some(ty) = ty {
            value = self.conform(ty, &value, env, Purpose { what: "the first value", span: init.span }, None);
        }
        match &value {
            Val::Num(n) if n.base != Base::Bool && n.estimate.is_none() => {
                let support = if ty.is_some() { n.support.clone() } else { Support::all() };
                Val::Num(Num { support, ..Num::new(Base::Real, n.dims.clone()) })
            }
            Val::Unknown => Val::Unknown,
            other => {
                let found = self.describe(other);
                self.report(
                    Diagnostic::error(
                        "E0316",
                        init.span,
                        format!("{what} is a real or an array of reals, not {found}"),
                    )
                    .label(format!("this is {found}")),
                );
                Val::Unknown
            }
        }
    }

    pub fn state(&mut self, name: &Name, ty: Option<&TypeExpr>, init: &Expr, span: Span, env: &mut Env) {
        let value = self.remembered("`state`", ty, init, span, env);
        let kind = Kind::of(self.origin(OriginKind::Memory, &name.text, name.span));
        env.bind(&name.text, value.map(&mut |n| n.clone().with_kind(&kind)));
    }

    pub fn tune(&mut self, name: &Name, ty: Option<&TypeExpr>, init: &Expr, span: Span, env: &mut Env) {
        let value = self.remembered("`tune`", ty, init, span, env);
        env.bind(&name.text, value);
    }

    pub fn next(&mut self, name: &Name, value: &Expr, span: Span, env: &mut Env) {
        let new = self.learnt(value, env);
        let state = env.get(&name.text).map(|b| b.value.clone());
        let own = self.origins.iter().position(|o| o.what == OriginKind::Memory && o.name == name.text);
        match (state, own) {
            (Some(Val::Num(old)), Some(_)) if !self.memory_part(&old.kind).is_free() => {
                if let Val::Num(n) = &new {
                    if n.base == Base::Bool || n.dims.len() != old.dims.len() {
                        let (a, b) = (self.describe_num(&old), self.describe_num(n));
                        self.report(
                            Diagnostic::error(
                                "E0316",
                                value.span,
                                format!("`{}` is {a}, its next value {b}", name.text),
                            )
                            .label(format!("this is {b}")),
                        );
                        return;
                    }
                    for (a, b) in n.dims.iter().zip(&old.dims) {
                        self.same_size(a, b, value.span, "a state and its next value");
                    }
                }
            }
            (Some(Val::Unknown), _) => {}
            _ => self.report(
                Diagnostic::error("E0316", span, format!("`{}` is not a state of this strategy", name.text))
                    .label("no state of this name")
                    .fix(format!("declare it: `state {}: real = 0`", name.text)),
            ),
        }
    }

    pub fn learn(&mut self, value: &Expr, span: Span, env: &mut Env) {
        if env.mode != Mode::Strategy {
            self.report(Diagnostic::error("E0316", span, "`learn` belongs to a strategy").label("not in a strategy"));
        }
        match self.learnt(value, env) {
            Val::Num(n) if n.dims.is_empty() && n.base != Base::Bool => {}
            Val::Unknown => {}
            other => {
                let found = self.describe(&other);
                self.report(
                    Diagnostic::error("E0316", value.span, format!("`learn` minimises a number, not {found}"))
                        .label(format!("this is {found}")),
                );
            }
        }
    }

    /// A value in which results of the continuation count as numbers.
    fn learnt(&mut self, value: &Expr, env: &mut Env) -> Val {
        self.learning += 1;
        let value = self.expr(value, env);
        self.learning -= 1;
        value
    }
}
