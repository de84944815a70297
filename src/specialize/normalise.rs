//! The total mass of a distribution over a scalar: for `assert normalized(d)`.

use super::bind::Bound;
use super::machine::{Machine, R, SiteForm, Space, unsupported};
use super::types::{Support, TypeValue};
use super::value::Value;
use crate::diagnostic::Diagnostic;
use crate::ir::core::{Atom, Collector, Program, Scalar};
use crate::ir::op::Op;
use crate::syntax::tree::Expr;

/// Values that a sum over an unbounded discrete support reaches.
const LEVELS: usize = 20_000;
/// Nodes of the quadrature, and the half-width of their range: `z = sinh(u)`, `|u| <= REACH`.
const NODES: usize = 400_001;
const REACH: f64 = 20.0;

/// A program whose only result is the mass of the distribution `expr`: a sum over a discrete support (the first 20,000
/// values if it has no upper bound), the trapezoidal rule in `u` over a continuous one, with `x = f(sinh(u))` and `f` the
/// support's bijector. Values where the density is not a number at the ends of the range count as zero.
pub fn total_mass<'a>(bound: &Bound<'a>, expr: &'a Expr) -> Result<Program, Vec<Diagnostic>> {
    let mut m = Machine::new(bound.checked, bound.bindings.clone(), Space::Constrained, SiteForm::Draw);
    build(&mut m, expr).map_err(|e| vec![e.into_diagnostic()])?;
    Ok(m.program)
}

fn build<'a>(m: &mut Machine<'a>, expr: &'a Expr) -> R<()> {
    let env = m.main_env();
    let span = expr.span;
    let Value::Dist(dist) = m.expr(expr, &env)? else {
        return super::machine::refuse(span, "`normalized` asks about a distribution");
    };
    let TypeValue::Leaf(leaf) = m.event_type(&dist)? else {
        return unsupported(span, "`normalized` of a distribution over records");
    };
    if !leaf.shape.is_empty() || !dist.batch.is_empty() {
        return unsupported(span, "`normalized` of a distribution over arrays");
    }
    let mass = match &leaf.support {
        Support::Bool | Support::Named(..) => return unsupported(span, "`normalized` on this support"),
        Support::Int { lower, upper } => {
            let Some(lower) = lower else { return unsupported(span, "`normalized` on an unbounded discrete support") };
            let lower = m.force(lower, span)?;
            let upper = match upper {
                Some(u) => Some(m.force(u, span)?),
                None => None,
            };
            m.for_(&[LEVELS], vec![Collector::Sum { keep: Vec::new() }], |m, at| {
                let x = m.op(Op::IAdd, &[at[0], lower]);
                let lp = m.log_prob(&dist, &Value::core(x, Scalar::Int, Vec::new()), false, span)?;
                let p = m.op(Op::Exp, &[lp]);
                let p = match upper {
                    Some(u) => {
                        let inside = m.op(Op::ILe, &[x, u]);
                        m.op(Op::Select, &[inside, p, Atom::Real(0.0)])
                    }
                    None => p,
                };
                Ok(vec![p])
            })?[0]
        }
        Support::Real { .. } => {
            let bijector = m.support_bijector(&leaf.support, span)?;
            let step = 2.0 * REACH / (NODES as f64 - 1.0);
            let sum = m.for_(&[NODES], vec![Collector::Sum { keep: Vec::new() }], |m, at| {
                let i = m.op(Op::ToReal, &[at[0]]);
                let scaled = m.op(Op::Mul, &[i, Atom::Real(step)]);
                let u = m.op(Op::Sub, &[scaled, Atom::Real(REACH)]);
                let up = m.op(Op::Exp, &[u]);
                let down = m.op(Op::Div, &[Atom::Real(1.0), up]);
                let difference = m.op(Op::Sub, &[up, down]);
                let z = m.op(Op::Mul, &[difference, Atom::Real(0.5)]);
                let sum = m.op(Op::Add, &[up, down]);
                let slope = m.op(Op::Mul, &[sum, Atom::Real(0.5)]);
                let z = Value::core(z, Scalar::Real, Vec::new());
                let (x, log_det) = match &bijector {
                    None => (z, Atom::Real(0.0)),
                    Some(b) => {
                        let Value::Tuple(parts) = m.forward(b, &z, span)? else {
                            return super::machine::refuse(span, "`forward` gives a pair");
                        };
                        let log_det = m.force(&parts[1], span)?;
                        (parts[0].clone(), log_det)
                    }
                };
                let lp = m.log_prob(&dist, &x, false, span)?;
                let lp = m.real_op(Op::Add, &[lp, log_det]);
                let p = m.op(Op::Exp, &[lp]);
                let p = m.op(Op::Mul, &[p, slope]);
                let lost = m.op(Op::IsNan, &[p]);
                Ok(vec![m.op(Op::Select, &[lost, Atom::Real(0.0), p])])
            })?[0];
            m.op(Op::Mul, &[sum, Atom::Real(step)])
        }
    };
    m.program.outputs = vec!["mass".to_owned()];
    m.finish(vec![mass]);
    Ok(())
}
