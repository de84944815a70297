//! `grad(f, x)`: its function must be pure, and differentiable as often as the result is differentiated. Also `fold`.
//!
//! The gradient of a function with kinks (`max`, `abs`) jumps where the function bends. That is fine at a point that does not
//! move; where anything smooth decides on which side of the kink it is, the gradient is not smooth in it, and is refused.

use super::call::ArgVal;
use super::context::{Checker, OriginKind};
use super::value::{Base, Callable, Env, Kind, Num, Val};
use crate::base::source::Span;
use crate::diagnostic::Diagnostic;

impl Checker {
    pub fn gradient(&mut self, args: &[ArgVal], span: Span, env: &mut Env) -> Val {
        let [f, x] = args else { return Val::Unknown };
        if !matches!(f.value, Val::Fn(_) | Val::Unknown) {
            let found = self.describe(&f.value);
            self.report(
                Diagnostic::error("E0204", f.span, format!("`grad` differentiates a function, not {found}"))
                    .label(format!("this is {found}"))
                    .fix("`grad(|u| …, x)` is the gradient in `u` at `x`"),
            );
            return Val::Unknown;
        }
        if !self.differentiable_argument(&x.value, x.span) {
            return Val::Unknown;
        }
        let name = match &f.value {
            Val::Fn(f) => match &**f {
                Callable::Lambda { params, .. } => params.first().map_or("its argument".to_owned(), |p| p.text.clone()),
                _ => "its argument".to_owned(),
            },
            _ => "its argument".to_owned(),
        };
        let origin = self.origin(OriginKind::Differentiated, &name, x.span);
        let own = Kind::of(origin);
        let at = x.value.map(&mut |n| {
            let mut kind = n.kind.clone();
            kind.join(&own);
            Num { base: Base::Real, kind, ..n.clone() }
        });
        self.gradients.push((span, origin));
        let value = self.apply(&f.value, vec![ArgVal { name: None, value: at, span: x.span }], span, env);
        self.gradients.pop();
        let mut kind = x.value.kind();
        match &value {
            Val::Num(n) if n.estimate.is_some() => {
                self.report(not_pure(span, "is an estimate").also(self.user_span(f.span), "the function"));
                return Val::Unknown;
            }
            Val::Num(n) if n.dims.is_empty() && n.base != Base::Bool => kind.join(&n.kind),
            Val::Unknown => {}
            other => {
                let found = self.describe(other);
                self.report(
                    Diagnostic::error(
                        "E0204",
                        f.span,
                        format!("`grad` is of a function that gives a real, and this one gives {found}"),
                    )
                    .label("the function")
                    .fix("sum the elements, or take one of them"),
                );
                return Val::Unknown;
            }
        }
        kind.0.retain(|o| *o != origin);
        x.value.map(&mut |n| Num { kind: kind.clone(), ..Num::new(Base::Real, n.dims.clone()) })
    }

    fn differentiable_argument(&mut self, x: &Val, span: Span) -> bool {
        let fine = match x {
            Val::Num(n) => n.base != Base::Bool && n.estimate.is_none(),
            Val::Record(r) => r.fields.iter().all(|(_, v)| matches!(v, Val::Num(_) | Val::Record(_))),
            Val::Tuple(parts) => parts.iter().all(|v| matches!(v, Val::Num(_) | Val::Record(_))),
            Val::Unknown => true,
            _ => false,
        };
        if !fine {
            let found = self.describe(x);
            self.report(
                Diagnostic::error("E0204", span, format!("`grad` is taken at numbers, not at {found}"))
                    .label(format!("this is {found}")),
            );
        }
        fine
    }

    /// Reports what a function may not do while it is differentiated by `grad`.
    pub fn impure(&mut self, span: Span, what: &str) {
        let Some((place, _)) = self.gradients.last().copied() else { return };
        self.report(not_pure(span, what).also(self.user_span(place), "differentiated here"));
    }

    /// A function that bends, of this argument, while something is differentiated by `grad`: the gradient must not be
    /// differentiated again in anything that decides on which side the argument lies.
    pub fn kink(&mut self, kind: &Kind, span: Span, what: &str) {
        let Some(inner) = self.gradients.iter().rev().map(|(_, o)| *o).find(|o| kind.0.contains(o)) else { return };
        let Some(other) = kind.0.iter().copied().find(|o| *o != inner) else { return };
        let (inner, other) = (self.origins[inner.0 as usize].clone(), self.origins[other.0 as usize].clone());
        let role = match &other.what {
            OriginKind::Site { strategy, .. } => format!("`{}` is sampled here by {strategy}", other.name),
            OriginKind::Param | OriginKind::Argument | OriginKind::Memory => format!("`{}` is trained", other.name),
            OriginKind::Differentiated => format!("`{}` is differentiated here", other.name),
        };
        let d = Diagnostic::error(
            "E0217",
            span,
            format!(
                "{what} inside `grad`: the gradient in `{}` jumps where `{}` crosses the bend",
                inner.name, other.name
            ),
        )
        .label(format!("bends, and depends on `{}`", other.name))
        .also(other.span, role)
        .also(inner.span, format!("`{}` is differentiated here", inner.name))
        .note("the derivative of a function that bends is a step, and the derivative of a step is missed")
        .fix("use a function whose derivative is continuous (`tanh`, `softplus`)");
        self.blame(d, kind);
    }

    /// `fold(f, list)`: `f(f(a, b), f(c, d))`.
    pub fn fold(&mut self, args: &[ArgVal], span: Span, env: &mut Env) -> Val {
        let [f, list] = args else { return Val::Unknown };
        let items: Vec<Val> = match &list.value {
            Val::Bijectors(list) => list.iter().map(|b| Val::Bijector(b.clone())).collect(),
            Val::Unknown => return Val::Unknown,
            other => {
                let found = self.describe(other);
                self.report(
                    Diagnostic::error("E0204", list.span, format!("an array of bijectors is wanted, not {found}"))
                        .label(format!("this is {found}")),
                );
                return Val::Unknown;
            }
        };
        self.folded(&f.value, &items, span, env)
    }

    fn folded(&mut self, f: &Val, items: &[Val], span: Span, env: &mut Env) -> Val {
        match items {
            [] => Val::Unknown,
            [one] => one.clone(),
            _ => {
                let (left, right) = items.split_at(items.len() / 2);
                let sides = [self.folded(f, left, span, env), self.folded(f, right, span, env)];
                let args = sides.into_iter().map(|value| ArgVal { name: None, value, span }).collect();
                self.apply(f, args, span, env)
            }
        }
    }
}

fn not_pure(span: Span, what: &str) -> Diagnostic {
    Diagnostic::error("E0217", span, format!("`grad` is of pure functions, and this {what}"))
        .label(format!("{what}, inside `grad`"))
        .note("a function that samples, stops derivatives or estimates has no gradient at a point: its value depends on its argument in ways that the derivative of its text misses")
        .fix("sample outside of `grad` and pass the value in; the objective itself is differentiated in the parameters anyway")
}
