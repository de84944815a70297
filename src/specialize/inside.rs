//! Values that are known before anything runs must lie in the sets that their types declare: constants, defaults of data,
//! initial values of parameters, arguments. Arguments that are computed of parameters are tested when it runs, where the checker could not prove them inside.

use super::machine::{Constant, Machine, R};
use super::types::{Support, TypeValue, shape_of};
use super::value::{Env, Value};
use crate::base::constraint::Constraint;
use crate::base::source::Span;
use crate::diagnostic::Diagnostic;
use crate::ir::core::Atom;
use crate::ir::op::Op;
use crate::syntax::tree::{TypeExpr, TypeKind};

/// What rounding may add to a bound.
const ROUNDING: f64 = 1e-9;

/// The first number outside: why.
fn outside(values: &[f64], shape: &[usize], support: &Support<'_>) -> Option<String> {
    let (lower, upper) = match support {
        Support::Bool => return None,
        Support::Named(name, _) => return Constraint::named(name)?.check(values, shape).err().map(|(_, why)| why),
        Support::Int { lower, upper } | Support::Real { lower, upper } => (lower, upper),
    };
    let bounds = |b: &Option<Value<'_>>| b.as_ref().and_then(Machine::static_values).unwrap_or_default();
    let (lower, upper) = (bounds(lower), bounds(upper));
    let at = |bounds: &[f64], k: usize| match bounds {
        [one] => Some(*one),
        all if all.len() == values.len() => Some(all[k]),
        _ => None,
    };
    values.iter().enumerate().find_map(|(k, &x)| match (at(&lower, k), at(&upper, k)) {
        (Some(l), _) if x < l => Some(format!("{x} is less than {l}")),
        (_, Some(u)) if x > u => Some(format!("{x} is more than {u}")),
        _ => None,
    })
}

fn refused(what: &str, why: &str, span: Span) -> Diagnostic {
    Diagnostic::error("E0213", span, format!("{what} is not of its declared type: {why}"))
        .label("outside")
        .fix("write a value inside, or declare another type")
}

/// A constant of this type.
pub(super) fn constant_inside(c: &Constant, ty: &TypeValue<'_>, what: &str, span: Span) -> Result<(), Diagnostic> {
    match (c, ty) {
        (Constant::Leaf(k), TypeValue::Leaf(leaf)) => match outside(&k.values, &k.shape, &leaf.support) {
            Some(why) => Err(refused(what, &why, span)),
            None => Ok(()),
        },
        (Constant::Tuple(items), TypeValue::Tuple(types)) => {
            items.iter().zip(types).try_for_each(|(c, t)| constant_inside(c, t, what, span))
        }
        (Constant::Record(fields), TypeValue::Record(types)) => fields.iter().try_for_each(|(n, c)| {
            types
                .iter()
                .find(|(t, _)| t == n)
                .map_or(Ok(()), |(_, t)| constant_inside(c, t, &format!("{what}.{n}"), span))
        }),
        _ => Ok(()),
    }
}

impl<'a> Machine<'a> {
    /// A value of this type, as far as it is known.
    pub(super) fn value_inside(&self, value: &Value<'a>, ty: &TypeValue<'a>, what: &str, span: Span) -> R<()> {
        match (value, ty) {
            (Value::Record(fields), TypeValue::Record(types)) => fields.iter().try_for_each(|(n, v)| {
                let ty = types.iter().find(|(t, _)| t == n);
                ty.map_or(Ok(()), |(_, t)| self.value_inside(v, t, &format!("{what}.{n}"), span))
            }),
            (Value::Tuple(items), TypeValue::Tuple(types)) => {
                items.iter().zip(types).try_for_each(|(v, t)| self.value_inside(v, t, what, span))
            }
            (value, TypeValue::Leaf(leaf)) => {
                let why = Self::static_values(value).and_then(|k| outside(&k, &shape_of(value), &leaf.support));
                why.map_or(Ok(()), |why| Err(refused(what, &why, span).into()))
            }
            _ => Ok(()),
        }
    }

    /// An argument of a parameter with this type.
    pub(super) fn argument_inside(
        &mut self,
        value: &Value<'a>,
        ty: &'a TypeExpr,
        env: &Env<'a>,
        parameter: &str,
        of: &str,
        span: Span,
    ) -> R<()> {
        let mut element = ty;
        while let TypeKind::Array { element: inner, .. } = &element.kind {
            element = inner;
        }
        let TypeKind::Named { name, bounds, .. } = &element.kind else { return Ok(()) };
        if bounds.is_none() && Constraint::named(&name.text).is_none() {
            return Ok(());
        }
        let what = format!("`{parameter}` of `{of}`");
        if Self::static_values(value).is_some() {
            // Where sizes are not known here nothing is said.
            return self.eval_type(ty, env).map_or(Ok(()), |ty| self.value_inside(value, &ty, &what, span));
        }
        if let (Value::Scalar(x), true) = (value, self.checked.bound_tests.iter().any(|t| t.span == span))
            && let Ok(TypeValue::Leaf(leaf)) = self.eval_type(ty, env)
        {
            return self.tested(*x, &leaf.support, &what, span);
        }
        Ok(())
    }

    /// A test, when it runs, of what the checker could not prove; of samples it is left out, since they may be summed out.
    fn tested(&mut self, x: Atom, support: &Support<'a>, what: &str, span: Span) -> R<()> {
        let Support::Real { lower, upper } = support else { return Ok(()) };
        let known = self.fact(x);
        if known.random || self.enumerating {
            return Ok(());
        }
        let bound =
            |b: &Option<Value<'a>>| b.as_ref().and_then(Self::static_values).filter(|b| b.len() == 1).map(|b| b[0]);
        for (bound, is_lower) in [(bound(lower), true), (bound(upper), false)] {
            let Some(bound) = bound.filter(|b| b.is_finite()) else { continue };
            if if is_lower { known.lower >= bound } else { known.upper <= bound } {
                continue;
            }
            let slack = ROUNDING * (1.0 + bound.abs());
            let (low, high, side) = match is_lower {
                true => (Atom::Real(bound - slack), x, "at least"),
                false => (x, Atom::Real(bound + slack), "at most"),
            };
            let ok = self.real_op(Op::Le, &[low, high]);
            self.check(ok, format!("{what} must be {side} {bound}"), span)?;
        }
        Ok(())
    }
}
