//! Strategies: evaluated at a site with the continuation native, in affine normal form; and the table of sites handed
//! to `estimate`.

use super::call::{Argument, env_of};
use super::generative::Mode;
use super::machine::{Fail, Machine, R, unsupported};
use super::memory::Memory;
use super::sites::{Call, SiteDescription, Sites, StrategyForm};
use super::value::{Dist, Estimate, EstimateTerm, Estimates, Strategy, This, Value};
use crate::base::source::Span;
use crate::diagnostic::Diagnostic;
use crate::ir::core::{Atom, Collector, Program, Sample, Scalar, Stmt, Type, Var};
use crate::ir::op::Op;
use crate::ir::walk::Substitution;
use crate::syntax::tree::{BinaryOp, ContinuationKind, DistPattern};
use std::rc::Rc;

/// A call of the continuation while a strategy is evaluated. Arguments have the leading axes `extents`.
#[derive(Clone, Debug)]
pub(super) struct CallRecord {
    pub extents: Vec<usize>,
    pub args: Vec<Atom>,
    pub static_args: bool,
}

/// A strategy that serves a site.
#[derive(Clone)]
pub(super) struct Choice<'a> {
    pub name: String,
    pub strategy: Strategy<'a>,
    /// The strategy is one of the distribution's own.
    pub own: bool,
}

/// A site: its distribution and strategy, and the variables they mention (the sample's operands).
pub(super) struct SiteEntry<'a> {
    pub dist: Rc<Dist<'a>>,
    /// The first one stands; the others take its place if it takes too many joint values.
    pub choices: Vec<Choice<'a>>,
    pub types: Vec<Type>,
    pub vars: Vec<Var>,
    /// Loops around the sample that tell its memories apart: those of its address, but for plates.
    pub kept: Vec<usize>,
    pub address: String,
    pub span: Span,
}

impl SiteEntry<'_> {
    fn description(&self) -> SiteDescription {
        let strategy = self.choices.first().map(|c| c.name.clone()).unwrap_or_default();
        SiteDescription { address: self.address.clone(), strategy, span: self.span }
    }
}

/// The site whose strategy is being evaluated.
#[derive(Clone)]
pub(super) struct Current<'a> {
    pub types: Vec<Type>,
    pub dist: Rc<Dist<'a>>,
    pub address: String,
}

/// The sites of a program.
pub struct SiteTable<'a> {
    pub(super) machine: Machine<'a>,
}

fn not_affine<T>(span: Span, what: &str) -> R<T> {
    Err(Diagnostic::error("E0305", span, format!("{what} of the continuation's result is not affine in it"))
        .note("a strategy's value is a sum of calls of the continuation, each times a number: anything else is biased")
        .into())
}

impl<'a> Machine<'a> {
    pub(super) fn call_continuation(&mut self, args: Vec<Argument<'a>>, span: Span) -> R<Value<'a>> {
        if self.memory.realising {
            return unsupported(
                span,
                "a call of the continuation inside `next` or `learn` (bind it before: `let v = k(x)`)",
            );
        }
        let Some(Current { types, .. }) = self.current.clone() else {
            return super::machine::refuse(span, "a continuation outside its strategy");
        };
        let [(_, value, _)] = args.as_slice() else {
            return super::machine::refuse(span, "the continuation takes one argument");
        };
        let mut atoms = self.leaves(value, span)?;
        if atoms.len() != types.len() {
            return super::machine::refuse(span, "the continuation is called with a value of another form");
        }
        for (atom, ty) in atoms.iter_mut().zip(&types) {
            let own = self.program.atom_type(*atom);
            if own.shape != ty.shape {
                return super::machine::refuse(
                    span,
                    format!("the continuation takes a value of shape {:?}, this has {:?}", ty.shape, own.shape),
                );
            }
            if own.scalar != ty.scalar && ty.scalar == Scalar::Real {
                // Of a relaxed site this includes its own values.
                let v = Value::core(*atom, own.scalar, own.shape);
                let v = self.with_scalar(&v, Scalar::Real)?;
                *atom = self.force(&v, span)?;
            } else if own.scalar != ty.scalar {
                return super::machine::refuse(span, "the continuation is called with a value of another type");
            }
            if self.detaches {
                *atom = self.stop_atom(*atom);
            }
        }
        let call = self.calls.len();
        self.calls.push(CallRecord { extents: Vec::new(), args: atoms, static_args: false });
        let term = EstimateTerm { call, primal: Some(Atom::Real(1.0)), stopped: None };
        Ok(Value::Estimate(Rc::new(Estimate { constant: Atom::Real(0.0), terms: vec![term] })))
    }

    /// A coefficient (with the axes of its call) under a scalar operation.
    pub(super) fn coefficient(&mut self, extents: &[usize], op: Op, a: Atom, b: Option<Atom>) -> Atom {
        let operand = |m: &Machine<'a>, x: Atom| -> (Atom, bool) { (x, !m.program.atom_type(x).is_scalar()) };
        let (a, a_array) = operand(self, a);
        let b = b.map(|b| operand(self, b));
        if !a_array && !b.is_some_and(|(_, array)| array) {
            let mut args = vec![a];
            args.extend(b.map(|(b, _)| b));
            return self.real_op(op, &args);
        }
        if op == Op::Stop {
            return self.op(Op::Stop, &[a]);
        }
        let mapped = self.map(extents, Scalar::Real, |m, idx| {
            let mut args = vec![if a_array { m.read(a, idx) } else { a }];
            if let Some((b, array)) = b {
                args.push(if array { m.read(b, idx) } else { b });
            }
            Ok(m.real_op(op, &args))
        });
        mapped.and_then(|v| self.force(&v, Span::default())).unwrap_or(a)
    }

    pub(super) fn estimate_of(&mut self, v: &Value<'a>, span: Span) -> R<Estimate> {
        match v {
            Value::Estimate(e) => Ok((**e).clone()),
            Value::Scalar(a) => Ok(Self::constant_estimate(self.real_of(*a))),
            Value::Estimates(_) => {
                super::machine::refuse(span, "several results of the continuation where one is needed")
            }
            other => super::machine::refuse(span, format!("a real is needed, this is {}", other.kind())),
        }
    }

    pub(super) fn estimate_scale(&mut self, v: &Value<'a>, factor: Atom, span: Span) -> R<Value<'a>> {
        if let Value::Estimates(e) = v {
            let mut new = (**e).clone();
            new.constant = self.coefficient(&e.extents, Op::Mul, e.constant, Some(factor));
            for t in &mut new.terms {
                let extents = self.term_extents(e, t);
                t.primal = t.primal.map(|p| self.coefficient(&extents, Op::Mul, p, Some(factor)));
                t.stopped = t.stopped.map(|p| self.coefficient(&extents, Op::Mul, p, Some(factor)));
            }
            return Ok(Value::Estimates(Rc::new(new)));
        }
        let mut e = self.estimate_of(v, span)?;
        e.constant = self.real_op(Op::Mul, &[e.constant, factor]);
        for t in &mut e.terms {
            let extents = self.calls[t.call].extents.clone();
            t.primal = t.primal.map(|p| self.coefficient(&extents, Op::Mul, p, Some(factor)));
            t.stopped = t.stopped.map(|p| self.coefficient(&extents, Op::Mul, p, Some(factor)));
        }
        Ok(Value::Estimate(Rc::new(e)))
    }

    fn term_extents(&self, e: &Estimates, t: &EstimateTerm) -> Vec<usize> {
        if t.call >= e.inner {
            self.calls[t.call].extents.clone()
        } else {
            let mut all = e.extents.clone();
            all.extend(&self.calls[t.call].extents);
            all
        }
    }

    pub(super) fn estimate_stop(&mut self, v: &Value<'a>) -> Value<'a> {
        match v {
            Value::Estimate(e) => {
                let mut new = (**e).clone();
                new.constant = self.stop_atom(e.constant);
                for t in &mut new.terms {
                    let extents = self.calls[t.call].extents.clone();
                    self.stop_term(t, &extents);
                }
                Value::Estimate(Rc::new(new))
            }
            Value::Estimates(e) => {
                let mut new = (**e).clone();
                new.constant = self.stop_atom(e.constant);
                for t in &mut new.terms {
                    let extents = self.term_extents(e, t);
                    self.stop_term(t, &extents);
                }
                Value::Estimates(Rc::new(new))
            }
            other => other.clone(),
        }
    }

    fn stop_term(&mut self, t: &mut EstimateTerm, extents: &[usize]) {
        let primal = t.primal.take().map(|p| self.coefficient(extents, Op::Stop, p, None));
        let stopped = t.stopped.take().map(|p| self.coefficient(extents, Op::Stop, p, None));
        t.stopped = match (primal, stopped) {
            (Some(a), Some(b)) => Some(self.coefficient(extents, Op::Add, a, Some(b))),
            (a, b) => a.or(b),
        };
    }

    pub(super) fn estimate_binary(&mut self, op: BinaryOp, l: &Value<'a>, r: &Value<'a>, span: Span) -> R<Value<'a>> {
        let real = |v: &Value<'a>| matches!(v, Value::Scalar(_));
        let many = |v: &Value<'a>| matches!(v, Value::Estimates(_) | Value::Array(_) | Value::Range(..));
        if many(l) || many(r) {
            return self.estimates_binary(op, l, r, span);
        }
        match op {
            BinaryOp::Add | BinaryOp::Sub => {
                let a = self.estimate_of(l, span)?;
                let mut b = self.estimate_of(r, span)?;
                if op == BinaryOp::Sub {
                    let negated = self.estimate_scale(&Value::Estimate(Rc::new(b)), Atom::Real(-1.0), span)?;
                    b = self.estimate_of(&negated, span)?;
                }
                Ok(Value::Estimate(Rc::new(self.estimate_add(a, b))))
            }
            BinaryOp::Mul => match (l, r) {
                (Value::Scalar(x), e) | (e, Value::Scalar(x)) => {
                    let x = self.real_of(*x);
                    self.estimate_scale(e, x, span)
                }
                _ => not_affine(span, "a product"),
            },
            BinaryOp::Div if real(r) => {
                let Value::Scalar(x) = r else { return not_affine(span, "this quotient") };
                let x = self.real_of(*x);
                let inverse = self.op(Op::Div, &[Atom::Real(1.0), x]);
                self.estimate_scale(l, inverse, span)
            }
            BinaryOp::Div => not_affine(span, "this quotient"),
            BinaryOp::Eq | BinaryOp::Ne | BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge => {
                not_affine(span, "a comparison")
            }
            BinaryOp::Pow => not_affine(span, "a power"),
            BinaryOp::Rem | BinaryOp::MatMul | BinaryOp::And | BinaryOp::Or => not_affine(span, "this operation"),
        }
    }

    fn estimate_add(&mut self, a: Estimate, b: Estimate) -> Estimate {
        let constant = self.real_op(Op::Add, &[a.constant, b.constant]);
        let mut terms = a.terms;
        for t in b.terms {
            let extents = self.calls[t.call].extents.clone();
            match terms.iter_mut().find(|s| s.call == t.call) {
                Some(s) => {
                    let (p, q) = (s.primal, s.stopped);
                    let add = |m: &mut Machine<'a>, x: Option<Atom>, y: Option<Atom>| match (x, y) {
                        (Some(x), Some(y)) => Some(m.coefficient(&extents, Op::Add, x, Some(y))),
                        (x, y) => x.or(y),
                    };
                    s.primal = add(self, p, t.primal);
                    s.stopped = add(self, q, t.stopped);
                }
                None => terms.push(t),
            }
        }
        Estimate { constant, terms }
    }

    /// Sum over the loops that made the estimates: a call inside them keeps its coefficients, one from outside gets
    /// their sum.
    pub(super) fn estimates_sum(&mut self, e: &Estimates, span: Span) -> R<Value<'a>> {
        let shape = e.extents.clone();
        let total = |m: &mut Machine<'a>, atom: Atom, lead: &[usize], call_rank: usize| -> R<Atom> {
            if m.program.atom_type(atom).is_scalar() {
                let n: usize = lead.iter().product();
                return Ok(m.real_op(Op::Mul, &[atom, Atom::Real(n as f64)]));
            }
            let all = m.program.atom_type(atom).shape;
            let keep: Vec<usize> = (all.len() - call_rank..all.len()).collect();
            let results = m.for_(&all, vec![Collector::Sum { keep }], |m, idx| Ok(vec![m.read(atom, idx)]))?;
            Ok(results[0])
        };
        let constant = total(self, e.constant, &shape, 0)?;
        let mut terms = Vec::new();
        for t in &e.terms {
            if t.call >= e.inner {
                terms.push(*t);
                continue;
            }
            let rank = self.calls[t.call].extents.len();
            let primal = t.primal.map(|p| total(self, p, &shape, rank)).transpose()?;
            let stopped = t.stopped.map(|p| total(self, p, &shape, rank)).transpose()?;
            terms.push(EstimateTerm { call: t.call, primal, stopped });
        }
        let _ = span;
        Ok(Value::Estimate(Rc::new(Estimate { constant, terms })))
    }

    fn evaluate_strategy(&mut self, entry: usize, map: &Substitution) -> R<StrategyForm> {
        let site = &self.sites[entry];
        let span = site.span;
        let Some(Choice { strategy, own, .. }) = site.choices.first().cloned() else {
            return Err(Diagnostic::bare("E0390", "a site without a strategy").into());
        };
        let (types, kept, address) = (site.types.clone(), site.kept.clone(), site.address.clone());
        let mut subst = |a: Atom| crate::ir::walk::subst(map, a);
        let dist = Rc::new(site.dist.map_atoms(&mut subst));
        let args: Vec<(&'a str, Value<'a>)> =
            strategy.args.iter().map(|(n, v)| (*n, v.map_atoms(&mut subst))).collect();
        let (item, module) = (strategy.item, strategy.module);
        let mut env = if own { self.dist_env(&dist) } else { env_of(module, &[], &[]) };
        for (n, v) in &args {
            env.bind(n, v.clone());
        }
        match &item.dist {
            None => env.this = Some(This::Dist(dist.clone())),
            Some(DistPattern::Any(name)) => env.bind(&name.text, Value::Dist(dist.clone())),
            Some(DistPattern::Of { dist: pattern, args: names }) => {
                let given = self.dist_item(dist.item).map_or("", |d| d.name.text.as_str());
                if pattern.text != given {
                    return Err(Diagnostic::error(
                        "E0391",
                        span,
                        format!("strategy `{}` is for `{}`, not for `{given}`", item.name.text, pattern.text),
                    )
                    .into());
                }
                for (name, (_, value)) in names.iter().zip(&dist.args) {
                    env.bind(&name.text, value.clone());
                }
            }
        }
        env.bind(&item.k.text, Value::Continuation);
        self.current = Some(Current { types, dist, address });
        let loops = &self.loops;
        self.memory =
            Memory { kept: kept.iter().filter_map(|&p| loops.get(p).copied()).collect(), ..Memory::default() };
        self.detaches = item.kind == ContinuationKind::Free;
        // What the body samples is a site of its own, with the body's rest in its continuation.
        env.frame = self.push_frame(Mode::Simulate, false);
        let value = self.block(&item.body, &env)?;
        let form = self.estimate_of(&value, item.span)?;
        let constant = self.share_of_copy(form.constant);
        let stmts = std::mem::take(&mut self.stmts);
        let Memory { after, results, .. } = std::mem::take(&mut self.memory);
        let mut terms = form.terms;
        for &call in results.keys().filter(|_| !after.is_empty()) {
            if !terms.iter().any(|t| t.call == call) {
                terms.push(EstimateTerm { call, primal: None, stopped: None });
            }
        }
        let results = terms.iter().enumerate().filter_map(|(k, t)| results.get(&t.call).map(|&v| (k, v))).collect();
        let calls = terms
            .iter()
            .map(|t| {
                let call = &self.calls[t.call];
                Call {
                    extents: call.extents.clone(),
                    args: call.args.clone(),
                    static_args: call.static_args,
                    primal: t.primal,
                    stopped: t.stopped,
                }
            })
            .collect();
        Ok(StrategyForm { stmts, constant, calls, after, results, kept })
    }

    fn evaluate_draw(&mut self, entry: usize, map: &Substitution) -> R<(Vec<Stmt>, Vec<Atom>)> {
        let site = &self.sites[entry];
        let span = site.span;
        let dist = Rc::new(site.dist.map_atoms(&mut |a| crate::ir::walk::subst(map, a)));
        let value = self.draw(&dist, span)?;
        let atoms = self.leaves(&value, span)?;
        Ok((std::mem::take(&mut self.stmts), atoms))
    }
}

impl<'a> SiteTable<'a> {
    /// Runs `f` on the machine with `program` in the place of its own and the sample's loops and draws around it.
    fn at_site<T>(
        &mut self,
        program: &mut Program,
        sample: &Sample,
        f: impl FnOnce(&mut Machine<'a>, usize, &Substitution) -> R<T>,
    ) -> Result<T, Diagnostic> {
        let entry = sample.entry as usize;
        let Some(site) = self.machine.sites.get(entry) else {
            return Err(Diagnostic::bare("E0390", "a sample without a site"));
        };
        let description = site.description();
        let map: Substitution = site.vars.iter().copied().zip(sample.args.iter().copied()).collect();
        let m = &mut self.machine;
        std::mem::swap(&mut m.program, program);
        m.stmts.clear();
        m.outer.clear();
        m.open.clear();
        m.calls.clear();
        m.frames.clear();
        m.forwards.clear();
        m.prologue.clear();
        m.hoists = false;
        m.loops = sample.index.clone();
        m.drawing = Some((sample.site, 0));
        m.depth_of_calls = 0;
        let result = f(m, entry, &map);
        m.drawing = None;
        m.current = None;
        std::mem::swap(&mut m.program, program);
        result.map_err(|e: Fail| {
            let d = e.into_diagnostic();
            match &d.primary {
                Some(p) if p.span != description.span => {
                    let text = format!("`{}` is sampled here by {}", description.address, description.strategy);
                    d.also(description.span, text)
                }
                _ => d,
            }
        })
    }
}

impl Sites for SiteTable<'_> {
    fn strategy(&mut self, program: &mut Program, sample: &Sample) -> Result<StrategyForm, Diagnostic> {
        let mut form = self.at_site(program, sample, |m, entry, map| m.evaluate_strategy(entry, map))?;
        self.prepend_prologue(&mut form.stmts);
        Ok(form)
    }

    fn instead(&mut self, entry: u32) -> bool {
        match self.machine.sites.get_mut(entry as usize) {
            Some(site) if site.choices.len() > 1 => {
                site.choices.remove(0);
                true
            }
            _ => false,
        }
    }

    fn plain_draw(&mut self, program: &mut Program, sample: &Sample) -> Result<(Vec<Stmt>, Vec<Atom>), Diagnostic> {
        let (mut stmts, atoms) = self.at_site(program, sample, |m, entry, map| m.evaluate_draw(entry, map))?;
        self.prepend_prologue(&mut stmts);
        Ok((stmts, atoms))
    }

    fn result_types(&self, entry: u32) -> Vec<Type> {
        self.machine.sites.get(entry as usize).map(|s| s.types.clone()).unwrap_or_default()
    }

    fn describe(&self, entry: u32) -> SiteDescription {
        match self.machine.sites.get(entry as usize) {
            Some(s) => s.description(),
            None => SiteDescription { address: String::new(), strategy: String::new(), span: Span::default() },
        }
    }
}

impl SiteTable<'_> {
    /// Parameters first read inside a strategy: their values stand before it, and are not remembered.
    fn prepend_prologue(&mut self, stmts: &mut Vec<Stmt>) {
        if self.machine.prologue.is_empty() {
            return;
        }
        let mut all = std::mem::take(&mut self.machine.prologue);
        let made: Vec<Var> = all.iter().flat_map(Stmt::results).collect();
        all.append(stmts);
        *stmts = all;
        self.machine.params.clear();
        self.machine.frozen_params.clear();
        self.machine.plates.retain(|_, p| !p.set.and_then(Atom::var).is_some_and(|v| made.contains(&v)));
    }
}
