//! Memory of strategies: states (`state b = 0`, `next b = …`) and tuned parameters (`tune c = 1`, `learn …`) of a site, as
//! inputs of the program, and what is computed of results of the continuation once these are known.
//!
//! A site has one memory per index of its address that is not a plate's. `next` and `learn` see results of the
//! continuation as numbers, whose place is held by variables that `estimate` defines.

use super::machine::{Machine, R, refuse, unsupported};
use super::sites::{After, Target};
use super::types::TypeValue;
use super::value::{Binding, Env, Estimate, Estimates, Value};
use crate::base::source::Span;
use crate::diagnostic::Diagnostic;
use crate::ir::core::{Atom, Block, Collector, Program, Role, Scalar, Type, Var};
use crate::ir::op::Op;
use crate::syntax::tree::{Expr, Name, TypeExpr};
use std::collections::BTreeMap;

/// What the strategy at hand keeps and learns.
#[derive(Default)]
pub(super) struct Memory<'a> {
    /// Index and extent of the loops that tell its memories apart.
    pub kept: Vec<(Atom, usize)>,
    /// Name in the body, input.
    pub states: Vec<(&'a str, Var)>,
    pub after: Vec<After>,
    /// What stands for the results of each call.
    pub results: BTreeMap<usize, Var>,
    /// Under `next` or `learn`.
    pub realising: bool,
}

impl<'a> Machine<'a> {
    fn in_strategy_body(&self, span: Span, what: &str) -> R<()> {
        if self.current.is_none() {
            return refuse(span, format!("{what} outside a strategy"));
        }
        if !self.outer.is_empty() {
            return unsupported(span, format!("{what} under a condition or in a loop of a strategy"));
        }
        Ok(())
    }

    /// The declared or found type of what is remembered, and its first value.
    fn remembered(
        &mut self,
        ty: Option<&'a TypeExpr>,
        init: &'a Expr,
        env: &Env<'a>,
    ) -> R<(Option<TypeValue<'a>>, Value<'a>)> {
        let mut value = self.expr(init, env)?;
        let mut declared = None;
        if let Some(ty) = ty {
            value = self.coerce(value, ty)?;
            declared = Some(self.eval_type(ty, env)?);
        }
        Ok((declared, self.with_scalar(&value, Scalar::Real)?))
    }

    /// Runs `f`, whose value must depend on constants alone, and computes it: once per memory.
    fn constant<T>(&mut self, span: Span, f: impl FnOnce(&mut Machine<'a>) -> R<(T, Value<'a>)>) -> R<(T, Vec<f64>)> {
        let body = std::mem::take(&mut self.stmts);
        let made = f(self).and_then(|(kept, value)| {
            let known = Self::static_values(&value);
            let atom = match known {
                Some(_) => Atom::Real(0.0),
                None => self.force(&value, span)?,
            };
            Ok((kept, known, atom))
        });
        let stmts = std::mem::replace(&mut self.stmts, body);
        let (kept, known, atom) = made?;
        let values = match known {
            Some(values) => values,
            None => {
                let constants = self.program.setup.iter().filter(|s| s.free_vars().is_empty()).cloned().collect();
                let program = Program {
                    vars: self.program.vars.clone(),
                    setup: constants,
                    step: Block { stmts, results: vec![atom] },
                    outputs: vec![String::new()],
                    ..Program::default()
                };
                super::bind::run(program, &[], span).map_err(|_| {
                    Diagnostic::error("E0390", span, "the first value of a memory must be a constant")
                        .fix("start from numbers: it may not depend on data, parameters or samples")
                })?
            }
        };
        let copies: usize = self.memory.kept.iter().map(|k| k.1).product();
        Ok((kept, values.repeat(copies)))
    }

    /// The element of a memory's input that belongs to the site at hand.
    fn recalled(&mut self, input: Atom, shape: Vec<usize>, span: Span) -> R<Value<'a>> {
        let at: Vec<super::array::Index> = self.memory.kept.iter().map(|k| super::array::Index::At(k.0)).collect();
        self.index(&Value::core(input, Scalar::Real, shape), &at, span)
    }

    fn memory_name(&self, name: &str, role: Role) -> String {
        let address = self.current.as_ref().map_or("", |c| c.address.as_str());
        let root = format!("{}.{name}", address.split('[').next().unwrap_or(""));
        let taken = |n: &str| self.program.inputs.iter().any(|i| i.role == role && i.name == n);
        let mut unique = root.clone();
        let mut number = 2;
        while taken(&unique) {
            unique = format!("{root}#{number}");
            number += 1;
        }
        unique
    }

    pub(super) fn state_stmt(
        &mut self,
        name: &'a Name,
        ty: Option<&'a TypeExpr>,
        init: &'a Expr,
        env: &mut Env<'a>,
        span: Span,
    ) -> R<()> {
        self.in_strategy_body(span, "`state`")?;
        let (own, initial) = self.constant(init.span, |m| {
            let (_, value) = m.remembered(ty, init, env)?;
            if !matches!(value, Value::Scalar(_) | Value::Array(_)) {
                return unsupported(span, "a state that is not a number or an array");
            }
            Ok((super::types::shape_of(&value), value))
        })?;
        let shape: Vec<usize> = self.memory.kept.iter().map(|k| k.1).chain(own).collect();
        let input_name = self.memory_name(&name.text, Role::State);
        let input = self.input(Role::State, &input_name, Type { scalar: Scalar::Real, shape: shape.clone() });
        if let Atom::Var(var) = input {
            self.program.initial.push((var, initial));
            self.memory.states.push((&name.text, var));
        }
        let value = self.recalled(input, shape, span)?;
        env.bind(&name.text, value);
        Ok(())
    }

    pub(super) fn tune_stmt(
        &mut self,
        name: &'a Name,
        ty: Option<&'a TypeExpr>,
        init: &'a Expr,
        env: &mut Env<'a>,
        span: Span,
    ) -> R<()> {
        self.in_strategy_body(span, "`tune`")?;
        let (leaf, initial) = self.constant(init.span, |m| {
            let (declared, value) = m.remembered(ty, init, env)?;
            let leaf = match declared {
                Some(TypeValue::Leaf(leaf)) => leaf,
                None if matches!(value, Value::Scalar(_) | Value::Array(_)) => super::types::LeafType {
                    scalar: Scalar::Real,
                    shape: super::types::shape_of(&value),
                    support: super::types::Support::Real { lower: None, upper: None },
                },
                _ => {
                    return unsupported(span, "a tuned parameter of a strategy that is not a number or an array");
                }
            };
            let free = match m.space {
                super::machine::Space::Constrained => value,
                super::machine::Space::Unconstrained => {
                    m.unconstrained(&value, &TypeValue::Leaf(leaf.clone()), init.span)?
                }
            };
            Ok((leaf, free))
        })?;
        let mut all = leaf;
        all.shape = self.memory.kept.iter().map(|k| k.1).chain(all.shape).collect();
        let shape = all.shape.clone();
        let input_name = self.memory_name(&name.text, Role::Tuned);
        let inputs = self.program.inputs.len();
        let whole = self.in_prologue(|m| m.role_leaf(Role::Tuned, &input_name, &all, span))?;
        if let Some(input) = self.program.inputs[inputs..].iter().find(|i| i.role == Role::Tuned) {
            self.program.initial.push((input.var, initial));
        }
        let whole = self.force(&whole, span)?;
        let value = self.recalled(whole, shape, span)?;
        env.bind(&name.text, value);
        Ok(())
    }

    pub(super) fn next_stmt(&mut self, name: &'a Name, e: &'a Expr, env: &Env<'a>, span: Span) -> R<()> {
        self.in_strategy_body(span, "`next`")?;
        let Some(&(_, state)) = self.memory.states.iter().rev().find(|s| s.0 == name.text) else {
            return refuse(name.span, format!("`{}` is not a state of this strategy", name.text));
        };
        self.afterwards(Target::Next(state), e, env, span)
    }

    pub(super) fn learn_stmt(&mut self, e: &'a Expr, env: &Env<'a>, span: Span) -> R<()> {
        self.in_strategy_body(span, "`learn`")?;
        self.afterwards(Target::Learn, e, env, span)
    }

    /// Evaluates `e` on results of the continuation, apart from the strategy's own statements.
    fn afterwards(&mut self, target: Target, e: &'a Expr, env: &Env<'a>, span: Span) -> R<()> {
        let body = std::mem::take(&mut self.stmts);
        let cells = self.cells.clone();
        self.memory.realising = true;
        let made = self.realised(env).and_then(|env| {
            let value = self.expr(e, &env)?;
            let value = self.with_scalar(&value, Scalar::Real)?;
            self.force(&value, span)
        });
        self.memory.realising = false;
        self.cells = cells;
        let stmts = std::mem::replace(&mut self.stmts, body);
        let atom = self.real_constant(made?);
        self.memory.after.push(After { stmts, atom, target });
        Ok(())
    }

    fn real_constant(&self, a: Atom) -> Atom {
        match a {
            Atom::Int(i) => Atom::Real(i as f64),
            other => other,
        }
    }

    /// The environment with results of the continuation as numbers.
    fn realised(&mut self, env: &Env<'a>) -> R<Env<'a>> {
        let mut bindings = Vec::new();
        let mut node = env.locals.as_deref();
        while let Some(n) = node {
            bindings.push((n.name, n.binding.clone()));
            node = n.parent.as_deref();
        }
        let mut new = Env { locals: None, ..env.clone() };
        for (name, binding) in bindings.into_iter().rev() {
            match binding {
                Binding::Value(v) => {
                    let v = self.real_result(v)?;
                    new.bind(name, v);
                }
                Binding::Cell(c) => {
                    let v = self.cells[c].clone();
                    self.cells[c] = self.real_result(v)?;
                    new.push(name, Binding::Cell(c));
                }
            }
        }
        Ok(new)
    }

    fn real_result(&mut self, v: Value<'a>) -> R<Value<'a>> {
        Ok(match v {
            Value::Estimate(e) => Value::Scalar(self.realise(&e)?),
            Value::Estimates(e) => self.realise_all(&e)?,
            Value::Tuple(items) => {
                let items: R<Vec<Value<'a>>> = items.iter().map(|v| self.real_result(v.clone())).collect();
                Value::Tuple(items?.into())
            }
            Value::Record(fields) => {
                let fields: R<Vec<(String, Value<'a>)>> =
                    fields.iter().map(|(n, v)| Ok((n.clone(), self.real_result(v.clone())?))).collect();
                Value::record(fields?)
            }
            other => other,
        })
    }

    /// The objective is the mean of `copies` runs, each with terms of its share: what a strategy adds besides results of its
    /// continuation is on the scale of one run.
    pub(super) fn share_of_copy(&mut self, constant: Atom) -> Atom {
        if self.copies == 1.0 { constant } else { self.real_op(Op::Div, &[constant, Atom::Real(self.copies)]) }
    }

    fn result_of_call(&mut self, call: usize) -> Atom {
        if let Some(&v) = self.memory.results.get(&call) {
            return v.into();
        }
        let shape = self.calls[call].extents.clone();
        let v = self.new_var(Type { scalar: Scalar::Real, shape }, Some("k"));
        self.memory.results.insert(call, v);
        v.into()
    }

    /// An estimate as the number that this run gives.
    pub(super) fn realise(&mut self, e: &Estimate) -> R<Atom> {
        let mut total = e.constant;
        for t in &e.terms {
            let result = self.result_of_call(t.call);
            let copies = self.copies;
            let extents = self.calls[t.call].extents.clone();
            for c in t.primal.into_iter().chain(t.stopped) {
                let part = if extents.is_empty() {
                    let result = self.real_op(Op::Mul, &[result, Atom::Real(copies)]);
                    self.op(Op::Mul, &[c, result])
                } else {
                    let array = !self.program.atom_type(c).is_scalar();
                    self.for_(&extents, vec![Collector::Sum { keep: Vec::new() }], |m, idx| {
                        let v = m.read(result, idx);
                        let v = m.real_op(Op::Mul, &[v, Atom::Real(copies)]);
                        let c = if array { m.read(c, idx) } else { c };
                        Ok(vec![m.op(Op::Mul, &[c, v])])
                    })?[0]
                };
                total = self.real_op(Op::Add, &[total, part]);
            }
        }
        Ok(total)
    }

    fn realise_all(&mut self, e: &Estimates) -> R<Value<'a>> {
        let e = e.clone();
        self.map(&e.extents.clone(), Scalar::Real, |m, at| {
            let one = m.estimate_element(&e, at)?;
            m.realise(&one)
        })
    }
}
