//! Random variables with finite support as the engine sees them: the values that a strategy passes to its continuation and
//! the coefficients of its calls. A *position* numbers the values of all calls in order.

use super::engine::Engine;
use super::fresh::Shot;
use super::pull::{Element, Env, Pulled, unravel};
use super::tree;
use crate::base::source::Span;
use crate::ir::core::{Atom, Prim, Stmt, Type, Var};
use crate::ir::op::Op;

/// One textual call of the continuation.
#[derive(Clone, Debug)]
pub struct Call {
    /// Extents of the strategy's own loops around the call (`for x in support(d)`); empty: one call.
    pub extents: Vec<usize>,
    /// The value passed, one atom per result of the sample statement, each with leading axes `extents`.
    pub args: Vec<Atom>,
    /// The values passed are those of a finite support that doesn't depend on anything drawn or on parameters.
    pub static_args: bool,
    /// Coefficient of `k(args)`, leading axes `extents`; `None`: zero. The literal `Atom::Real(1.0)` with no extents is
    /// the mark of a one-shot strategy whose continuation may be substituted in place.
    pub primal: Option<Atom>,
    /// Coefficient of `stop(k(args))`; `None`: zero.
    pub stopped: Option<Atom>,
}

impl Call {
    pub fn positions(&self) -> usize {
        self.extents.iter().product()
    }
}

/// A random variable: what a sample statement defines, an element per iteration of the loops around it.
#[derive(Clone, Debug)]
pub struct Variable {
    pub results: Vec<Var>,
    pub types: Vec<Type>,
    pub calls: Vec<Call>,
    /// Some call stands in a loop at values that are drawn: later draws are made anew for each.
    pub shoots: bool,
    /// For messages.
    pub address: String,
    pub span: Span,
}

impl Variable {
    /// Number of values, over all calls.
    pub fn support(&self) -> usize {
        self.calls.iter().map(Call::positions).sum::<usize>().max(1)
    }
}

/// A coefficient that is known to be one.
const ONE: Atom = Atom::Real(1.0);

impl Engine<'_> {
    /// The original indices around a variable's sample, at an element.
    pub(super) fn element_env(&self, element: &Element) -> Env {
        let result = self.variables[element.site].results[0];
        self.pull.defs.indices(result).into_iter().zip(element.at.iter().copied()).collect()
    }

    /// What distinguishes calls at a position: `(call, indices of its extents)`, chosen by `pick`.
    fn by_call(
        &mut self,
        variable: usize,
        l: Atom,
        zero: Atom,
        mut pick: impl FnMut(&mut Self, &Call, &[Atom]) -> Pulled<Option<Atom>>,
    ) -> Pulled<Atom> {
        let calls = self.variables[variable].calls.clone();
        let mut before = 0;
        let mut cases: Vec<(usize, Atom)> = Vec::new();
        let several = calls.len() > 1;
        for call in &calls {
            let n = call.positions();
            let own = if several && n > 1 {
                let moved = self.pull.op(Op::IAdd, &[l, Atom::Int(-int(before))]);
                let low = self.pull.op(Op::IMax, &[moved, Atom::Int(0)]);
                self.pull.op(Op::IMin, &[low, Atom::Int(int(n) - 1)])
            } else {
                l
            };
            let at = self.split_position(own, &call.extents);
            let value = pick(self, call, &at)?.unwrap_or(zero);
            before += n;
            cases.push((before, value));
        }
        let mut result = cases.pop().map_or(zero, |c| c.1);
        for (end, value) in cases.into_iter().rev() {
            let here = self.pull.op(Op::ILt, &[l, Atom::Int(int(end))]);
            result = self.pull.op(Op::Select, &[here, value, result]);
        }
        Ok(result)
    }

    fn split_position(&mut self, l: Atom, extents: &[usize]) -> Vec<Atom> {
        match extents.len() {
            0 => Vec::new(),
            1 => vec![l],
            _ => {
                let mut at = vec![Atom::Int(0); extents.len()];
                let mut rest = l;
                for (k, &n) in extents.iter().enumerate().rev() {
                    at[k] = if k == 0 { rest } else { self.pull.op(Op::IMod, &[rest, Atom::Int(int(n))]) };
                    rest = self.pull.op(Op::IDiv, &[rest, Atom::Int(int(n))]);
                }
                at
            }
        }
    }

    /// The value of `atom` (leading axes of a call) at indices `l` of the call.
    fn at_call(&mut self, atom: Atom, l: &[Atom], env: &Env) -> Pulled<Atom> {
        let ty = self.pull.program.atom_type(atom);
        if l.is_empty() {
            return self.pull.value(atom, env);
        }
        let own = ty.shape[l.len().min(ty.shape.len())..].to_vec();
        if own.is_empty() {
            return self.pull.read(atom, l, env);
        }
        // An element that is itself an array.
        let size: usize = own.iter().product();
        let mut elements = Vec::new();
        for linear in 0..size {
            let mut at = l.to_vec();
            at.extend(unravel(linear, &own));
            elements.push(self.pull.read(atom, &at, env)?);
        }
        let flat = self.pull.program.new_var(Type::array(ty.scalar, [size]), None);
        self.pull.push(Stmt::Array { results: vec![flat], prim: Prim::Stack, args: elements });
        let result = self.pull.program.new_var(Type::array(ty.scalar, own.clone()), None);
        self.pull.push(Stmt::Array {
            results: vec![result],
            prim: Prim::Reshape { shape: own },
            args: vec![flat.into()],
        });
        Ok(result.into())
    }

    /// The values passed at a position, one per result.
    fn values_at(&mut self, element: &Element, l: Atom) -> Pulled<Vec<Atom>> {
        let env = self.element_env(element);
        let types = self.variables[element.site].types.clone();
        let mut values = Vec::new();
        for (k, ty) in types.iter().enumerate() {
            let several = self.variables[element.site].calls.len() > 1;
            if several && !ty.is_scalar() {
                return Err(super::pull::fail("a strategy with several calls passes whole arrays"));
            }
            let zero = match ty.scalar {
                crate::ir::core::Scalar::Real => Atom::Real(0.0),
                crate::ir::core::Scalar::Int => Atom::Int(0),
                crate::ir::core::Scalar::Bool => Atom::Bool(false),
            };
            let value =
                self.by_call(element.site, l, zero, |e, call, at| Ok(Some(e.at_call(call.args[k], at, &env)?)))?;
            values.push(value);
        }
        Ok(values)
    }

    /// The values passed depend on other variables.
    pub(super) fn moving_values(&self, variable: usize) -> bool {
        self.variables[variable].calls.iter().flat_map(|c| &c.args).any(|a| tree::is_tainted(&self.pull.tainted, *a))
    }

    /// Gives an element the value at position `l`.
    pub(super) fn assign(&mut self, element: &Element, l: Atom) -> Pulled<()> {
        let values = self.values_at(element, l)?;
        self.pull.assigned.push((element.clone(), values));
        self.held.push((element.clone(), l));
        self.pull.value_vars.extend(l.var());
        if self.variables[element.site].shoots {
            let n = self.variables[element.site].support();
            self.pull.shots.push(Shot { site: element.site, at: vec![(l, n)] });
        }
        Ok(())
    }

    /// Coefficients `(of k, of stop(k))` of an element at position `l`. Where its sample statement is not reached, the
    /// first position has all the weight.
    pub(super) fn coefficients(&mut self, element: &Element, l: Atom) -> Pulled<(Option<Atom>, Option<Atom>)> {
        let env = self.element_env(element);
        let of = |part: fn(&Call) -> Option<Atom>, e: &mut Self, absent: bool| -> Pulled<Option<Atom>> {
            if e.variables[element.site].calls.iter().all(|c| part(c).is_none()) {
                return Ok(None);
            }
            let guard = e.guards[element.site].clone();
            let evaluate = |e: &mut Self| {
                e.by_call(element.site, l, Atom::Real(0.0), |e, call, at| match part(call) {
                    Some(c) => Ok(Some(e.at_call(c, at, &env)?)),
                    None => Ok(None),
                })
            };
            if guard.is_empty() {
                return Ok(Some(evaluate(e)?));
            }
            let condition = e.condition(&guard, &env)?;
            let value = e.under(condition, evaluate, |e| {
                if !absent {
                    return Atom::Real(0.0);
                }
                let first = e.pull.op(Op::IEq, &[l, Atom::Int(0)]);
                e.pull.op(Op::Select, &[first, ONE, Atom::Real(0.0)])
            })?;
            Ok(Some(value))
        };
        Ok((of(|c| c.primal, self, true)?, of(|c| c.stopped, self, false)?))
    }
}

/// A size as an index.
pub(super) fn int(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
