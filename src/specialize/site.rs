//! Sites: where a sample of a distribution goes by a strategy. The sample statement of Core names the site; what the strategy
//! and the distribution are is kept beside the program.

use super::generative::{Site, StrategyCall, leaf_types};
use super::machine::{Machine, R, UNKNOWN, refuse};
use super::strategy::{Choice, SiteEntry};
use super::types::{TypeValue, shape_of};
use super::value::{Dist, Env, Strategy, Value};
use crate::base::source::Span;
use crate::diagnostic::Diagnostic;
use crate::ir::core::{Atom, Block as CoreBlock, Collector, Sample, Scalar, Stmt as CoreStmt, Type, Var};
use crate::ir::op::Op;
use crate::syntax::tree::{Address, ContinuationKind, DistItem, Expr, ExprKind, ItemKind, NodeId, Stmt};
use std::rc::Rc;

impl<'a> Machine<'a> {
    pub(super) fn strategy_call(
        &mut self,
        id: NodeId,
        by: Option<&'a Expr>,
        env: &Env<'a>,
        span: Span,
    ) -> R<Option<StrategyCall<'a>>> {
        let checked = self.checked;
        let module = env.module;
        let Some(by) = by else {
            let otherwise = checked.alternatives.get(&id).map(String::as_str);
            let call = |name| StrategyCall { name, args: Vec::new(), module, span, otherwise };
            return Ok(checked.strategies.get(&id).map(|name| call(name.as_str())));
        };
        match &by.kind {
            ExprKind::Name(name) => {
                Ok(Some(StrategyCall { name, args: Vec::new(), module, span: by.span, otherwise: None }))
            }
            ExprKind::Path(segments) => match segments.last() {
                Some(n) => {
                    Ok(Some(StrategyCall { name: &n.text, args: Vec::new(), module, span: by.span, otherwise: None }))
                }
                None => refuse(by.span, "a strategy's name is needed"),
            },
            ExprKind::Call { callee, args } => {
                let name = match &callee.kind {
                    ExprKind::Name(n) => n.as_str(),
                    ExprKind::Path(segments) if !segments.is_empty() => segments[segments.len() - 1].text.as_str(),
                    _ => return refuse(by.span, "a strategy's name is needed"),
                };
                let args = self.args(args, env)?;
                Ok(Some(StrategyCall { name, args, module, span: by.span, otherwise: None }))
            }
            _ => refuse(by.span, "a strategy's name is needed"),
        }
    }

    pub(super) fn written(&self, stmt: &Stmt, address: &Address) -> String {
        match address {
            Address::Splice(_) => "_".to_owned(),
            Address::Named { name, indices } if indices.is_empty() => name.text.clone(),
            Address::Named { name, indices } => {
                let last = indices[indices.len() - 1].span;
                let file = self.checked.sources.file(last.file);
                let text = file.text.get(name.span.start as usize..last.end as usize).unwrap_or(&name.text);
                let _ = stmt;
                format!("{text}]")
            }
        }
    }

    /// Samples `dist`; the value and its log density (0 unless `scored`). Elements of a batch are sites of one number
    /// under one loop. A distribution that is the image of a `base` under its `forward` is sampled at its base.
    pub(super) fn site(
        &mut self,
        dist: &Rc<Dist<'a>>,
        site: &Site<'a>,
        number: u32,
        scored: bool,
    ) -> R<(Value<'a>, Atom)> {
        if dist.batch.is_empty() {
            return self.site_element(dist, site, number, scored);
        }
        let batch = dist.batch.clone();
        self.enter();
        let indices = self.open_loops(&batch);
        let atoms: Vec<Atom> = indices.iter().map(|&(v, _)| v.into()).collect();
        let inner = self
            .dist_element(dist, &atoms, site.span)
            .and_then(|element| self.site_element(&element, site, number, scored))
            .and_then(|(x, lp)| {
                let mut results = self.leaves(&x, site.span)?;
                let n = results.len();
                results.push(lp);
                Ok((x, results, n))
            });
        self.loops.truncate(self.loops.len() - batch.len());
        let stmts = self.leave();
        let (x, results, n) = inner?;
        let mut collectors = vec![Collector::Collect; n];
        collectors.push(Collector::Sum { keep: Vec::new() });
        let mut results = results;
        if !scored {
            results.pop();
            collectors.pop();
        }
        let atoms = self.push_for(indices, CoreBlock { stmts, results }, collectors);
        let lp = atoms.get(n).copied().unwrap_or(Atom::Real(0.0));
        Ok((self.rebuild(&x, &mut atoms.into_iter()), lp))
    }

    pub(super) fn site_element(
        &mut self,
        dist: &Rc<Dist<'a>>,
        site: &Site<'a>,
        number: u32,
        scored: bool,
    ) -> R<(Value<'a>, Atom)> {
        let own = site.strategy.as_ref().is_some_and(|s| {
            self.dist_item(dist.item).is_some_and(|d| d.strategies.iter().any(|o| o.name.text == s.name))
        });
        if let (Some(base), Some(forward), false) = (self.member(dist, "base"), self.member(dist, "forward"), own) {
            let env = self.dist_env(dist);
            let inner = self.call_member(base, Vec::new(), &env)?;
            let inner = self.as_dist(&inner, site.span)?;
            let (z, lp) = self.site(&inner, site, number, scored)?;
            let result = self.call_member(forward, vec![z], &env)?;
            let Value::Tuple(parts) = &result else {
                return refuse(site.span, "`forward` gives a pair of the value and the log determinant");
            };
            let [x, log_det] = &parts[..] else {
                return refuse(site.span, "`forward` gives a pair of the value and the log determinant");
            };
            let log_det = self.force(log_det, site.span)?;
            let lp = if scored { self.real_op(Op::Sub, &[lp, log_det]) } else { lp };
            return Ok((x.clone(), lp));
        }
        let x = match &site.strategy {
            _ if self.enumerating => self.emit_summed(dist, site, number)?,
            Some(call) => self.emit_sample(dist, call, site, number)?,
            None => {
                // Inside a strategy for the whole function the draws are that site's.
                let own = self.drawing.is_none();
                if own {
                    self.drawing = Some((number, 0));
                }
                let x = if site.path { self.path(dist, site.span) } else { self.draw(dist, site.span) };
                if own {
                    self.drawing = None;
                }
                x?
            }
        };
        let lp = if scored { self.log_prob_own(dist, &x, site.span)? } else { Atom::Real(0.0) };
        Ok((x, lp))
    }

    pub(super) fn log_prob_own(&mut self, dist: &Rc<Dist<'a>>, x: &Value<'a>, span: Span) -> R<Atom> {
        // A point mass has none; the checker has seen to it that nothing reads it.
        if self.member(dist, "log_prob").is_none() {
            self.point = true;
            return Ok(Atom::Real(f64::NAN));
        }
        self.log_prob(dist, x, false, span)
    }

    pub(super) fn emit_sample(
        &mut self,
        dist: &Rc<Dist<'a>>,
        call: &StrategyCall<'a>,
        site: &Site<'a>,
        number: u32,
    ) -> R<Value<'a>> {
        let strategy = self.resolve_strategy(dist, call)?;
        let event = self.event_type(dist)?;
        let relaxed = strategy.item.kind == ContinuationKind::Relaxed;
        let template = self.template(&event);
        // A relaxed value lies anywhere in the hull of the support.
        let template = if relaxed { self.on_hull(&template)? } else { template };
        let mut types: Vec<Type> = Vec::new();
        leaf_types(&event, &mut types);
        if relaxed {
            types.iter_mut().for_each(|t| t.scalar = Scalar::Real);
        }
        let mut vars: Vec<Var> = Vec::new();
        Value::Dist(dist.clone()).vars(&mut vars);
        for (_, v) in &strategy.args {
            v.vars(&mut vars);
        }
        let entry = u32::try_from(self.sites.len()).unwrap_or(u32::MAX);
        let name = site.address.split('[').next().unwrap_or("").to_owned();
        let mut results = Vec::new();
        for ty in &types {
            let var = self.new_var(ty.clone(), if name == "_" { None } else { Some(&name) });
            self.set_fact(var.into(), super::machine::Fact { random: true, ..UNKNOWN });
            results.push(var);
        }
        let mut choices = vec![self.choice(dist, call.name, strategy)];
        if let Some(name) = call.otherwise {
            let next = self.resolve_strategy(dist, &StrategyCall { name, otherwise: None, ..call.clone() })?;
            choices.push(self.choice(dist, name, next));
        }
        self.sites.push(SiteEntry {
            dist: dist.clone(),
            choices,
            types,
            vars: vars.clone(),
            kept: self.memory_loops(&site.indices),
            address: site.address.clone(),
            span: site.span,
        });
        let args = vars.iter().map(|&v| v.into()).collect();
        let index = self.loops.clone();
        let atoms: Vec<Atom> = results.iter().map(|&v| v.into()).collect();
        self.stmts.push(CoreStmt::Sample(Sample { results, site: number, entry, args, index }));
        let value = self.rebuild(&template, &mut atoms.into_iter());
        self.learn_type(&value, &event);
        debug_assert!(shape_of(&value).len() == event.rank() || !matches!(event, TypeValue::Leaf(_)));
        Ok(value)
    }

    fn choice(&self, dist: &Rc<Dist<'a>>, name: &str, strategy: Strategy<'a>) -> Choice<'a> {
        let own = |d: &DistItem| d.strategies.iter().any(|o| std::ptr::eq(o, strategy.item));
        Choice { name: name.to_owned(), own: self.dist_item(dist.item).is_some_and(own), strategy }
    }

    pub(super) fn on_hull(&mut self, v: &Value<'a>) -> R<Value<'a>> {
        Ok(match v {
            Value::Tuple(items) => {
                let items: R<Vec<Value<'a>>> = items.iter().map(|v| self.on_hull(v)).collect();
                Value::Tuple(items?.into())
            }
            Value::Record(fields) => {
                let fields: R<Vec<(String, Value<'a>)>> =
                    fields.iter().map(|(n, v)| Ok((n.clone(), self.on_hull(v)?))).collect();
                Value::record(fields?)
            }
            other => self.with_scalar(other, Scalar::Real)?,
        })
    }

    /// Positions of the loops around that index an address, but for those over plates.
    pub(super) fn memory_loops(&self, indices: &[Atom]) -> Vec<usize> {
        let bases: Vec<Var> = indices.iter().filter_map(|&a| self.affine(a).0).collect();
        let plate = |v: Var| self.open.iter().any(|o| o.index == v && o.alike);
        (0..self.loops.len())
            .filter(|&p| self.loops[p].0.var().is_some_and(|v| bases.contains(&v) && !plate(v)))
            .collect()
    }

    /// The strategy item: the distribution's own before those in scope.
    pub(super) fn resolve_strategy(&mut self, dist: &Rc<Dist<'a>>, call: &StrategyCall<'a>) -> R<Strategy<'a>> {
        let checked = self.checked;
        let own = self.dist_item(dist.item).and_then(|d| d.strategies.iter().find(|s| s.name.text == call.name));
        let (item, module) = match own {
            Some(item) => (item, checked.items.module_of(dist.item)),
            None => match checked.items.resolve(call.module, call.name) {
                Some(id) => match &checked.items.item(id).kind {
                    ItemKind::Strategy(item) => (item, checked.items.module_of(id)),
                    _ => return refuse(call.span, format!("`{}` is not a strategy", call.name)),
                },
                None => {
                    return Err(Diagnostic::error(
                        "E0391",
                        call.span,
                        format!("there is no strategy `{}` for this distribution", call.name),
                    )
                    .into());
                }
            },
        };
        let env = Env::new(module, 0);
        let (args, _) = self.bind_args(&[], &item.params, call.args.clone(), env, &item.name, call.span)?;
        Ok(Strategy { item, module, args })
    }
}
