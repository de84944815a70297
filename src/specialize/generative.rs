//! Generative functions under their three handlers: simulation by strategies, plain draws, and the log density at a
//! trace. Scores are kept as lists of atoms; a loop's or branch's score leaves it as one more result.

use super::address::{PieceKey, Window};
use super::array::Index;
use super::call::Argument;
use super::machine::{Constant, Machine, R, SiteForm, refuse, unsupported};
use super::scan::Mention;
use super::types::TypeValue;
use super::value::{Dist, Env, Gen, GenForm, Value};
use crate::base::source::Span;
use crate::diagnostic::Diagnostic;
use crate::ir::core::{Atom, Type};
use crate::syntax::tree::{Address, Block, Expr, ExprKind, ItemKind, Stmt, TypeExpr};
use crate::types::generative::observed_address;
use crate::types::program::{ItemId, ModuleId};
use std::rc::Rc;

#[derive(Clone)]
pub(super) enum Mode<'a> {
    Simulate,
    Draw,
    /// Every site by its distribution's path.
    Path,
    Density(Value<'a>),
}

/// A generative function (or an `expect`) under evaluation.
pub(super) struct Frame<'a> {
    pub id: u32,
    pub mode: Mode<'a>,
    pub pieces: Vec<(PieceKey, Value<'a>)>,
    pub windows: Vec<Window<'a>>,
    pub score: Vec<Atom>,
    /// Names sampled so far, under `Mode::Density`.
    pub sampled: Vec<String>,
    /// False in an `expect`: samples bind names and leave no trace.
    pub traced: bool,
    /// Values of addresses that are not sampled; under `Mode::Density` they are in the trace.
    pub fixed: Option<Value<'a>>,
    /// Addresses that have them: no part of the trace.
    pub given: Vec<String>,
    /// Observations are samples.
    pub predictive: bool,
}

/// What a generative function is run with from outside.
#[derive(Clone, Default)]
pub(super) struct Given<'a> {
    /// A record: values of addresses that are not sampled.
    pub fixed: Option<Value<'a>>,
    pub predictive: bool,
}

pub(super) struct Run<'a> {
    pub trace: Value<'a>,
    /// Addresses with fixed values.
    pub given: Vec<(String, Value<'a>)>,
    pub score: Atom,
    pub value: Value<'a>,
}

/// A strategy as written at a site; which item it is depends on the distribution.
#[derive(Clone)]
pub(super) struct StrategyCall<'a> {
    pub name: &'a str,
    pub args: Vec<Argument<'a>>,
    pub module: ModuleId,
    pub span: Span,
    /// What takes its place where it would take too many joint values.
    pub otherwise: Option<&'a str>,
}

impl<'a> StrategyCall<'a> {
    pub(super) fn map_atoms(&self, f: &mut dyn FnMut(Atom) -> Atom) -> StrategyCall<'a> {
        StrategyCall { args: self.args.iter().map(|(n, v, s)| (*n, v.map_atoms(f), *s)).collect(), ..self.clone() }
    }
}

impl<'a> Machine<'a> {
    pub(super) fn score(&mut self, atom: Atom) {
        if let Some(f) = self.frames.last_mut() {
            f.score.push(atom);
        }
    }

    pub(super) fn take_score(&mut self) -> Vec<Atom> {
        self.frames.last_mut().map(|f| std::mem::take(&mut f.score)).unwrap_or_default()
    }

    /// Puts an earlier score back; the sum of what was scored since.
    pub(super) fn restore_score(&mut self, before: Vec<Atom>) -> Atom {
        let inner = match self.frames.last_mut() {
            Some(f) => std::mem::replace(&mut f.score, before),
            None => Vec::new(),
        };
        self.total(&inner)
    }

    fn total(&mut self, scores: &[Atom]) -> Atom {
        let mut total = Atom::Real(0.0);
        for &s in scores {
            total = self.add(total, s);
        }
        total
    }

    pub(super) fn push_frame(&mut self, mode: Mode<'a>, traced: bool) -> u32 {
        let id = self.next_frame;
        self.next_frame += 1;
        self.frames.push(Frame {
            id,
            mode,
            pieces: Vec::new(),
            windows: Vec::new(),
            score: Vec::new(),
            sampled: Vec::new(),
            traced,
            fixed: None,
            given: Vec::new(),
            predictive: false,
        });
        id
    }

    pub(super) fn run_gen(&mut self, g: &Rc<Gen<'a>>, mode: Mode<'a>, span: Span) -> R<Run<'a>> {
        self.run_given(g, mode, Given::default(), span)
    }

    /// [`Machine::run_gen`], with some addresses fixed or observations sampled.
    pub(super) fn run_given(&mut self, g: &Rc<Gen<'a>>, mode: Mode<'a>, given: Given<'a>, span: Span) -> R<Run<'a>> {
        let held = self.held;
        // What is scored may have a derivative, and so may what is sampled for it.
        self.held = (held || g.frozen) && !matches!(mode, Mode::Density(_));
        let run = match &g.form {
            GenForm::Item { item, args } => self.run_item(g, *item, args, mode, given, span),
            _ => self.run_combined(g, mode, given, span),
        };
        self.held = held;
        run
    }

    fn run_item(
        &mut self,
        g: &Rc<Gen<'a>>,
        id: ItemId,
        args: &[(&'a str, Value<'a>)],
        mode: Mode<'a>,
        given: Given<'a>,
        span: Span,
    ) -> R<Run<'a>> {
        let ItemKind::Gen(item) = &self.checked.items.item(id).kind else {
            return refuse(span, "not a generative function");
        };
        let mut args = args.to_vec();
        if given.predictive {
            // An argument that is sampled is read as the address.
            super::scan::block(&item.body, &mut |m| {
                if let Mention::Observed(name) = m {
                    args.retain(|(n, _)| *n != name);
                }
            });
        }
        let mut env = super::call::env_of(self.checked.items.module_of(id), &args, &[]);
        let mode = match (mode, &given.fixed) {
            (Mode::Density(trace), Some(fixed)) => Mode::Density(trace.merged(fixed)),
            (mode, _) => mode,
        };
        let scoring = matches!(mode, Mode::Density(_));
        env.frame = self.push_frame(mode, true);
        if let Some(f) = self.frames.last_mut() {
            f.predictive = given.predictive;
            f.fixed = if scoring { None } else { given.fixed };
        }
        let frozen = self.frozen;
        self.frozen |= g.frozen;
        let depth = self.frames.len();
        let value = self.block(&item.body, &env);
        let finished = match &value {
            Ok(_) => match self.frames.last().map(|f| f.mode.clone()) {
                Some(Mode::Density(trace)) => self.covers(&trace, item.name.span).map(|()| Vec::new()),
                _ => self.finish_trace(span),
            },
            Err(_) => Ok(Vec::new()),
        };
        self.frozen = frozen;
        self.frames.truncate(depth);
        let frame = self.frames.pop();
        let value = value?;
        let names = frame.as_ref().map(|f| f.given.clone()).unwrap_or_default();
        let (given, sampled) = finished?.into_iter().partition(|(n, _)| names.contains(n));
        let trace = Value::record(sampled);
        let score = self.total(&frame.map(|f| f.score).unwrap_or_default());
        Ok(Run { trace, given, score, value })
    }

    pub(super) fn expect(&mut self, b: &'a Block, env: &Env<'a>, _span: Span) -> R<Value<'a>> {
        let mut env = env.clone();
        // Names of an enclosing function stay readable: only the handler changes.
        let outer = env.frame;
        let id = self.push_frame(Mode::Simulate, false);
        if outer == 0 {
            env.frame = id;
        }
        let depth = self.frames.len();
        let value = self.block(b, &env);
        self.frames.truncate(depth);
        self.frames.pop();
        value
    }

    fn mode(&self, span: Span) -> R<(Mode<'a>, bool)> {
        match self.frames.last() {
            Some(f) => Ok((f.mode.clone(), f.traced)),
            None => refuse(span, "a sample outside a generative function or `expect`"),
        }
    }

    pub(super) fn observe(&mut self, stmt: &'a Stmt, value: &'a Expr, dist: &'a Expr, env: &mut Env<'a>) -> R<()> {
        let span = stmt.span;
        let d = self.expr(dist, env)?;
        let d = self.as_dist(&d, dist.span)?;
        if self.frames.last().is_some_and(|f| f.predictive) {
            let Some((name, at)) = observed_address(value) else {
                return refuse(value.span, "what is observed here has no address to be sampled at");
            };
            let mut indices = Vec::new();
            for e in at {
                indices.push(self.scalar(e, env)?);
            }
            let written = self.checked.sources.text(value.span).to_owned();
            let sample = Sampling { name: Some(name), indices, ty: None, by: None, written };
            return self.sample_dist(stmt, &d, sample, env);
        }
        let optional = self.optional_data(value, env);
        let x = self.expr(value, env)?;
        let lp = self.log_prob(&d, &x, optional, span)?;
        self.score(lp);
        Ok(())
    }

    /// Whether an observed expression is (part of) data with missing elements.
    fn optional_data(&self, e: &Expr, env: &Env<'a>) -> bool {
        match &e.kind {
            ExprKind::Name(n) if env.local(n).is_none() => match self.checked.items.resolve(env.module, n) {
                Some(id) => {
                    self.bindings.data.get(&id).is_some_and(|k| k.has_missing())
                        || self.bindings.consts.get(&id).is_some_and(Constant::has_missing)
                }
                None => false,
            },
            ExprKind::Index { array, .. } => self.optional_data(array, env),
            ExprKind::Field { .. } => self.optional_field(e, env).is_some_and(Constant::has_missing),
            _ => false,
        }
    }

    /// A part of data that are records.
    fn optional_field(&self, e: &Expr, env: &Env<'a>) -> Option<&Constant> {
        match &e.kind {
            ExprKind::Name(n) if env.local(n).is_none() => {
                self.checked.items.resolve(env.module, n).and_then(|id| self.bindings.consts.get(&id))
            }
            ExprKind::Index { array, .. } => self.optional_field(array, env),
            ExprKind::Field { value, field } => match self.optional_field(value, env)? {
                Constant::Record(fields) => fields.iter().find(|(n, _)| *n == field.text).map(|(_, c)| c),
                Constant::Leaf(_) | Constant::Tuple(_) => None,
            },
            _ => None,
        }
    }

    pub(super) fn sample_stmt(
        &mut self,
        stmt: &'a Stmt,
        address: &'a Address,
        ty: Option<&'a TypeExpr>,
        value: &'a Expr,
        by: Option<&'a Expr>,
        env: &mut Env<'a>,
    ) -> R<()> {
        let v = self.expr(value, env)?;
        let mut indices = Vec::new();
        if let Address::Named { indices: exprs, .. } = address {
            for e in exprs {
                indices.push(self.scalar(e, env)?);
            }
        }
        if let Some(g) = self.maybe_gen(&v, value.span)? {
            let (mode, traced) = self.mode(stmt.span)?;
            let free = self.frames.last().is_none_or(|f| f.fixed.is_none() && !f.predictive);
            if by.is_some() && matches!(mode, Mode::Simulate) && self.sites_form == SiteForm::Keep && free {
                return self.sample_whole(&g, stmt, address, &indices, traced, by, env);
            }
            return self.sample_gen(&g, address, &indices, mode, traced, stmt.span);
        }
        let d = self.as_dist(&v, value.span)?;
        let name = match address {
            Address::Named { name, .. } => Some(name.text.as_str()),
            Address::Splice(_) => None,
        };
        let written = self.written(stmt, address);
        self.sample_dist(stmt, &d, Sampling { name, indices, ty, by, written }, env)
    }

    /// A sample from a distribution: scored where its value is given, else a site.
    fn sample_dist(&mut self, stmt: &'a Stmt, d: &Rc<Dist<'a>>, sample: Sampling<'a>, env: &mut Env<'a>) -> R<()> {
        let (mode, traced) = self.mode(stmt.span)?;
        let Sampling { name, indices, ty, by, written } = sample;
        if let Mode::Density(trace) = &mode {
            let x = match name {
                Some(n) => self.trace_value(trace, n, &indices, stmt.span)?,
                None => {
                    let TypeValue::Record(fields) = self.event_type(d)? else {
                        return refuse(stmt.span, "`_ ~` takes a distribution over a record");
                    };
                    let mut out = Vec::new();
                    for (n, _) in fields {
                        let x = self.trace_value(trace, &n, &[], stmt.span)?;
                        self.note_sampled(&n);
                        out.push((n, x));
                    }
                    Value::record(out)
                }
            };
            if let Some(n) = name {
                self.note_sampled(n);
                // That it is scored here; its value stays in the trace.
                self.add_piece(n, &indices, Value::Unit, stmt.span)?;
            }
            let lp = self.log_prob(d, &x, false, stmt.span)?;
            self.score(lp);
            return Ok(());
        }
        if let (Some(n), Some(fixed)) = (name, self.fixed_field(name))
            && traced
        {
            let at: Vec<Index> = indices.iter().map(|&a| Index::At(a)).collect();
            let x = self.index(&fixed, &at, stmt.span)?;
            let lp = self.log_prob(d, &x, false, stmt.span)?;
            self.score(lp);
            self.note_given(n);
            return self.add_piece(n, &indices, x, stmt.span);
        }
        let strategy = self.strategy_call(stmt.id, by, env, stmt.span)?;
        let plain = matches!(mode, Mode::Draw | Mode::Path) || self.sites_form == SiteForm::Draw;
        let mut site_type = None;
        if let Some(t) = ty {
            site_type = Some(self.eval_type(t, env)?);
        }
        let site = Site {
            strategy: if plain { None } else { strategy },
            address: written,
            indices: self.address_indices.iter().chain(&indices).copied().collect(),
            path: matches!(mode, Mode::Path),
            span: stmt.span,
        };
        let d = self.widened(d, site_type.as_ref())?;
        let number = self.fresh_site();
        let (x, lp) = self.site(&d, &site, number, traced)?;
        if traced {
            self.score(lp);
        }
        match (name, traced) {
            (Some(n), true) => {
                if self.absent_is_missing {
                    let present = Value::Scalar(Atom::Bool(true));
                    self.add_piece(&super::address::present(n), &indices, present, stmt.span)?;
                }
                self.add_piece(n, &indices, x, stmt.span)
            }
            (Some(n), false) => {
                env.bind(n, x);
                Ok(())
            }
            (None, _) => {
                let Value::Record(fields) = x else {
                    return refuse(stmt.span, "`_ ~` takes a distribution over a record");
                };
                for (n, v) in fields.iter() {
                    if traced {
                        self.add_piece(n, &[], v.clone(), stmt.span)?;
                    } else {
                        return unsupported(stmt.span, "`_ ~` in an `expect`");
                    }
                }
                Ok(())
            }
        }
    }

    fn fixed_field(&self, name: Option<&str>) -> Option<Value<'a>> {
        self.frames.last()?.fixed.as_ref()?.field(name?).cloned()
    }

    fn note_given(&mut self, name: &str) {
        if let Some(f) = self.frames.last_mut()
            && !f.given.iter().any(|n| n == name)
        {
            f.given.push(name.to_owned());
        }
    }

    /// A distribution with scalar arguments at a site of an array type: one element per element of the site.
    fn widened(&mut self, d: &Rc<Dist<'a>>, site: Option<&TypeValue<'a>>) -> R<Rc<Dist<'a>>> {
        let Some(TypeValue::Leaf(leaf)) = site else { return Ok(d.clone()) };
        let event = self.event_type(d)?;
        let extra = leaf.shape.len().saturating_sub(event.rank());
        if d.batch.is_empty() && extra > 0 {
            let mut new = (**d).clone();
            new.batch = leaf.shape[..extra].to_vec();
            return Ok(Rc::new(new));
        }
        Ok(d.clone())
    }

    fn note_sampled(&mut self, name: &str) {
        if let Some(f) = self.frames.last_mut()
            && !f.sampled.iter().any(|n| n == name)
        {
            f.sampled.push(name.to_owned());
        }
    }

    fn trace_value(&mut self, trace: &Value<'a>, name: &str, indices: &[Atom], span: Span) -> R<Value<'a>> {
        let Some(v) = trace.field(name) else {
            return Err(Diagnostic::error("E0401", span, format!("the trace has no value for address `{name}`")).into());
        };
        let at: Vec<Index> = indices.iter().map(|&a| Index::At(a)).collect();
        let v = v.clone();
        self.index(&v, &at, span)
    }

    fn sample_gen(
        &mut self,
        g: &Rc<Gen<'a>>,
        address: &'a Address,
        indices: &[Atom],
        mode: Mode<'a>,
        traced: bool,
        span: Span,
    ) -> R<()> {
        let name = match address {
            Address::Named { name, .. } => Some(name.text.as_str()),
            Address::Splice(_) => None,
        };
        let inner = match (&mode, name) {
            (Mode::Density(trace), Some(n)) => Mode::Density(self.trace_value(trace, n, indices, span)?),
            (other, _) => other.clone(),
        };
        let given = Given {
            fixed: match name {
                None => self.frames.last().and_then(|f| f.fixed.clone()),
                Some(_) => match self.fixed_field(name) {
                    Some(fixed) => {
                        let at: Vec<Index> = indices.iter().map(|&a| Index::At(a)).collect();
                        Some(self.index(&fixed, &at, span)?)
                    }
                    None => None,
                },
            },
            predictive: self.frames.last().is_some_and(|f| f.predictive),
        };
        let before = self.address_indices.len();
        self.address_indices.extend_from_slice(indices);
        let run = self.run_given(g, inner, given, span);
        self.address_indices.truncate(before);
        let run = run?;
        self.score(run.score);
        match name {
            None => {
                if let Mode::Density(_) = mode {
                    for n in self.sampled_names(g) {
                        self.note_sampled(&n);
                    }
                } else if let Value::Record(fields) = &run.trace {
                    for (n, v) in fields.iter() {
                        self.add_piece(n, &[], v.clone(), span)?;
                    }
                    for (n, v) in run.given {
                        self.note_given(&n);
                        self.add_piece(&n, &[], v, span)?;
                    }
                }
                Ok(())
            }
            Some(n) => {
                if !matches!(mode, Mode::Density(_)) && traced {
                    self.add_piece(n, indices, run.trace, span)?;
                } else {
                    self.note_sampled(n);
                    self.add_piece(n, indices, Value::Unit, span)?;
                }
                // The name stands for what the child returns.
                if !matches!(run.value, Value::Unit) {
                    self.add_piece(&super::address::returned(n), indices, run.value, span)?;
                }
                Ok(())
            }
        }
    }

    /// A generative function as one site over its traces.
    #[expect(clippy::too_many_arguments, reason = "what a sample statement consists of")]
    fn sample_whole(
        &mut self,
        g: &Rc<Gen<'a>>,
        stmt: &'a Stmt,
        address: &'a Address,
        indices: &[Atom],
        traced: bool,
        by: Option<&'a Expr>,
        env: &mut Env<'a>,
    ) -> R<()> {
        let span = stmt.span;
        let site = Site {
            strategy: self.strategy_call(stmt.id, by, env, span)?,
            address: self.written(stmt, address),
            indices: self.address_indices.iter().chain(indices).copied().collect(),
            path: false,
            span,
        };
        let d = super::dist::whole(g);
        let number = self.fresh_site();
        let (trace, _) = self.site(&d, &site, number, false)?;
        // Its density at what was sampled, and what it returns then.
        let run = self.run_gen(g, Mode::Density(trace.clone()), span)?;
        if traced {
            self.score(run.score);
        }
        let name = match address {
            Address::Named { name, .. } => Some(name.text.as_str()),
            Address::Splice(_) => None,
        };
        match (name, &trace) {
            (None, Value::Record(fields)) => {
                for (n, v) in fields.iter() {
                    if traced {
                        self.add_piece(n, &[], v.clone(), span)?;
                    } else {
                        return unsupported(span, "`_ ~` in an `expect`");
                    }
                }
                Ok(())
            }
            (None, _) => refuse(span, "a trace is a record"),
            (Some(n), _) => {
                if traced {
                    self.add_piece(n, indices, trace, span)?;
                }
                if !matches!(run.value, Value::Unit) {
                    self.add_piece(&super::address::returned(n), indices, run.value, span)?;
                }
                Ok(())
            }
        }
    }

    /// Names that a generative function samples, as written in it and in what it splices.
    fn sampled_names(&self, g: &Rc<Gen<'a>>) -> Vec<String> {
        let mut names = Vec::new();
        // Any field of the trace may be read by name after a splice; the checker has verified which exist.
        if let Some(f) = self.frames.last()
            && let Mode::Density(Value::Record(fields)) = &f.mode
        {
            names.extend(fields.iter().map(|(n, _)| n.clone()));
        }
        let _ = g;
        names
    }
}

/// The parts of a sample from a distribution.
struct Sampling<'a> {
    /// `None`: a record, whose fields are addresses.
    name: Option<&'a str>,
    indices: Vec<Atom>,
    ty: Option<&'a TypeExpr>,
    by: Option<&'a Expr>,
    /// The address as written.
    written: String,
}

/// What a site carries besides its distribution.
pub(super) struct Site<'a> {
    /// `None`: a plain draw.
    pub strategy: Option<StrategyCall<'a>>,
    pub address: String,
    /// Indices of the address, those of enclosing children first.
    pub indices: Vec<Atom>,
    /// Without a strategy: by the distribution's path.
    pub path: bool,
    pub span: Span,
}

/// Core types of an event, one per leaf.
pub(super) fn leaf_types(ty: &TypeValue<'_>, into: &mut Vec<Type>) {
    match ty {
        TypeValue::Leaf(leaf) => into.push(Type { scalar: leaf.scalar, shape: leaf.shape.clone() }),
        TypeValue::Tuple(items) => items.iter().for_each(|t| leaf_types(t, into)),
        TypeValue::Record(fields) => fields.iter().for_each(|(_, t)| leaf_types(t, into)),
    }
}
