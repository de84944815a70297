//! Integrals of densities of scalar distributions: the support that a `dist` declares, and double-exponential nodes on it.
//!
//! Takahasi and Mori (1974): x = tanh(π/2 sinh t) on a finite interval, x = exp(π/2 sinh t) on a half line,
//! x = sinh(π/2 sinh t) on the line, with the trapezoidal rule in t.

use crate::syntax::print;
use crate::syntax::tree::{DistItem, Expr, ExprKind, ItemKind, TypeExpr, TypeKind};
use crate::types::program::Checked;
use std::f64::consts::FRAC_PI_2;

/// What values a distribution has.
#[derive(Clone, Debug)]
pub enum Support {
    /// A finite set that `support(d)` enumerates.
    Enumerable,
    /// Ints from a bound on.
    Counts { lower: Bound },
    /// Reals between bounds; `None` is infinite.
    Interval { lower: Option<Bound>, upper: Option<Bound> },
}

/// A bound in terms of the parameters of a distribution, with the call that makes it.
#[derive(Clone, Debug)]
pub struct Bound {
    item: Box<DistItem>,
    expr: Expr,
    call: Box<Expr>,
}

impl Bound {
    /// An expression for the bound.
    pub fn text(&self) -> String {
        let ExprKind::Call { args, .. } = &self.call.kind else { return print::expr(&self.expr) };
        let mut text = String::from("{\n");
        for (k, param) in self.item.params.iter().enumerate() {
            let named = args.iter().find(|a| a.name.as_ref().is_some_and(|n| n.text == param.name.text));
            let value = named.or_else(|| args.get(k).filter(|a| a.name.is_none())).map(|a| &a.value);
            // Distributions and functions are no values to be named; bounds mention numbers.
            if let Some(value) = value.or(param.default.as_ref())
                && mentions(&self.expr, &param.name.text)
            {
                text.push_str(&format!("let {} = {}\n", param.name.text, print::expr(value)));
            }
        }
        text.push_str(&print::expr(&self.expr));
        text.push_str("\n}");
        text
    }
}

fn mentions(expr: &Expr, name: &str) -> bool {
    match &expr.kind {
        ExprKind::Name(n) => n == name,
        ExprKind::Binary { left, right, .. } => mentions(left, name) || mentions(right, name),
        ExprKind::Neg(inner) => mentions(inner, name),
        ExprKind::Call { args, .. } => args.iter().any(|a| mentions(&a.value, name)),
        ExprKind::Index { array, .. } => mentions(array, name),
        _ => false,
    }
}

/// The support of a distribution made by a call of a `dist` item.
pub fn support(call: &Expr, checked: &Checked) -> Result<Support, String> {
    let unknown = || format!("the support of `{}` is not that of a scalar `dist`", print::expr(call));
    let ExprKind::Call { callee, args } = &call.kind else { return Err(unknown()) };
    let ExprKind::Name(name) = &callee.kind else { return Err(unknown()) };
    let id = checked.items.resolve(checked.main, name).ok_or_else(unknown)?;
    let ItemKind::Dist(item) = &checked.items.item(id).kind else { return Err(unknown()) };
    let TypeKind::Named { name, bounds, sizes, .. } = &item.support.kind else { return Err(unknown()) };
    if !sizes.is_empty() {
        return Err(unknown());
    }
    let bound = |side: &Option<Box<Expr>>| {
        side.as_ref().map(|e| Bound { item: Box::new(item.clone()), expr: (**e).clone(), call: Box::new(call.clone()) })
    };
    let (lower, upper) = bounds.as_ref().map_or((None, None), |b| (bound(&b.lower), bound(&b.upper)));
    match (name.text.as_str(), lower, upper) {
        ("real", lower, upper) => Ok(Support::Interval { lower, upper }),
        ("bool", _, _) | ("int", Some(_), Some(_)) => Ok(Support::Enumerable),
        ("int", Some(lower), None) => Ok(Support::Counts { lower }),
        // A type variable: the support of the argument that settles it, a distribution or a family of such.
        (variable, None, None) => {
            let of = |ty: &TypeExpr| {
                matches!(&ty.kind, TypeKind::Named { name, args, .. } if name.text == "dist"
                    && matches!(args.as_slice(), [TypeExpr { kind: TypeKind::Named { name, .. }, .. }] if name.text == variable))
            };
            for (k, param) in item.params.iter().enumerate() {
                let named = args.iter().find(|a| a.name.as_ref().is_some_and(|n| n.text == param.name.text));
                let Some(given) = named.or_else(|| args.get(k)) else { continue };
                match (param.ty.as_ref().map(|t| &t.kind), &given.value.kind) {
                    (Some(TypeKind::Fn { result, .. }), ExprKind::Lambda { body, .. }) if of(result) => {
                        return support(body, checked);
                    }
                    (Some(_), _) if param.ty.as_ref().is_some_and(of) => return support(&given.value, checked),
                    _ => {}
                }
            }
            Err(unknown())
        }
        _ => Err(unknown()),
    }
}

/// A point with its weight.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    pub point: f64,
    pub weight: f64,
}

/// Nodes of the double-exponential rule on `(lower, upper)`; either may be infinite. The usual step is divided by `finer`.
pub fn nodes(lower: f64, upper: f64, finer: i32) -> Vec<Node> {
    let step = 1.0 / f64::from(64 * finer);
    let count = 280 * finer;
    let mut list = Vec::new();
    for k in -count..=count {
        let t = f64::from(k) * step;
        let (s, ds) = (FRAC_PI_2 * t.sinh(), FRAC_PI_2 * t.cosh());
        let (point, slope) = match (lower.is_finite(), upper.is_finite()) {
            (true, true) => {
                // The distance from the nearer end, kept exact: 1 - tanh(s) = 2 / (1 + exp(2 s)).
                let half = 0.5 * (upper - lower);
                let gap = 2.0 / (1.0 + (2.0 * s.abs()).exp());
                let point = if s > 0.0 { upper - half * gap } else { lower + half * gap };
                (point, half * ds / s.cosh().powi(2))
            }
            (true, false) => (lower + s.exp(), s.exp() * ds),
            (false, true) => (upper - s.exp(), s.exp() * ds),
            (false, false) => (s.sinh(), s.cosh() * ds),
        };
        let weight = slope * step;
        let inside = point > lower && point < upper;
        if inside && point.is_finite() && weight.is_finite() && weight > 0.0 {
            list.push(Node { point, weight });
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::nodes;

    fn integral(lower: f64, upper: f64, f: impl Fn(f64) -> f64) -> f64 {
        nodes(lower, upper, 1).iter().map(|n| n.weight * f(n.point)).filter(|x| x.is_finite()).sum()
    }

    #[test]
    fn densities_integrate_to_one() {
        let root = (2.0 * std::f64::consts::PI).sqrt();
        let cases = [
            integral(f64::NEG_INFINITY, f64::INFINITY, |x| (-0.5 * (x - 3.0) * (x - 3.0)).exp() / root),
            integral(f64::NEG_INFINITY, f64::INFINITY, |x| 1.0 / (std::f64::consts::PI * (1.0 + x * x))),
            integral(0.0, f64::INFINITY, |x| (-x).exp()),
            integral(f64::NEG_INFINITY, 2.0, |x| (x - 2.0).exp()),
            integral(0.0, 1.0, |x| 1.0 / (std::f64::consts::PI * (x * (1.0 - x)).sqrt())),
            integral(-1.0, 4.0, |_| 0.2),
        ];
        for (i, total) in cases.into_iter().enumerate() {
            assert!((total - 1.0).abs() < 1e-7, "{i}: {total}");
        }
    }
}
