//! Runs of generative functions made of others. Particles are a `for` of Core over K copies of the proposal's run; their
//! log weights are an array.
//!
//! What each run must give, with `E` over the run's own randomness:
//! * the density of a marginal at x: the mean of q(x, u_k)/r(u_k) over fresh u_k, whose expectation is q(x);
//! * a marginal forwards: the function's own u is one of the particles, weighed by the proposal's *density*, the others
//!   are fresh and weighed by what their *simulation* says. Then the reciprocal of the mean has expectation 1/q(x);
//! * a normalised function forwards: K particles, one chosen by weight w; its density is p(x)/mean(w);
//! * its density at x: the same, with x one of the K particles (conditional resampling).
//!
//! Densities that are estimates themselves keep these promises at every depth, since each pair (simulate, density) is the
//! same importance sampling on an extended space (the retained particle by density, fresh ones by simulation).

use super::array::Index;
use super::generative::{Given, Mode, Run, Site};
use super::machine::{Machine, R, SiteForm, refuse, unsupported};
use super::value::{Algorithm, Gen, GenForm, Importance, Value};
use crate::base::source::Span;
use crate::ir::core::Atom;
use crate::ir::op::Op;
use crate::types::combinator::is_kept;
use crate::types::particles::{INDEX, MEAN};
use std::rc::Rc;

impl<'a> Machine<'a> {
    pub(super) fn run_combined(&mut self, g: &Rc<Gen<'a>>, mode: Mode<'a>, given: Given<'a>, span: Span) -> R<Run<'a>> {
        match &g.form {
            GenForm::Item { .. } => refuse(span, "not made of another generative function"),
            GenForm::Condition { of, fixed } => {
                let fixed = match &given.fixed {
                    Some(outer) => outer.merged(fixed),
                    None => fixed.clone(),
                };
                self.run_given(&of.within(g.frozen), mode, Given { fixed: Some(fixed), ..given }, span)
            }
            GenForm::Predictive { of } => {
                self.run_given(&of.within(g.frozen), mode, Given { predictive: true, ..given }, span)
            }
            GenForm::Marginal { .. } | GenForm::Normalize { .. } if self.enumerating && !g.enumerates() => unsupported(
                span,
                "a function that is estimated by importance sampling inside `marginal` by `enumerate`",
            ),
            GenForm::Marginal { of, keep, by } => {
                if let (true, Some(fixed), false) = (self.enumerating, &given.fixed, matches!(mode, Mode::Density(_))) {
                    return self.fixed_marginal(&of.within(g.frozen), keep, fixed, span);
                }
                let mode = whole_trace(mode, &given);
                let run = self.marginal(&of.within(g.frozen), keep, by, g.frozen, mode, span)?;
                Ok(without(run, given.fixed.as_ref()))
            }
            GenForm::Normalize { of, by } => {
                let mode = whole_trace(mode, &given);
                let Algorithm::Importance(by) = &**by else {
                    let run = self.normalized_by_enumeration(&of.within(g.frozen), mode, span)?;
                    return Ok(without(run, given.fixed.as_ref()));
                };
                let run = self.normalized(&of.within(g.frozen), by, g.frozen, mode, span)?;
                Ok(without(run, given.fixed.as_ref()))
            }
        }
    }

    /// A function of the library.
    fn library(&mut self, name: &str, args: Vec<Value<'a>>, span: Span) -> R<Value<'a>> {
        let Some(&id) = self.checked.items.prelude.get(name) else {
            return refuse(span, format!("the library has no `{name}`"));
        };
        self.call_item(id, args.into_iter().map(|v| (None, v, span)).collect(), span)
    }

    fn log_mean(&mut self, log_weights: &Value<'a>, span: Span) -> R<Atom> {
        if let Value::Scalar(one) = log_weights {
            return Ok(*one);
        }
        let mean = self.library(MEAN, vec![log_weights.clone()], span)?;
        self.force(&mean, span)
    }

    fn proposal(&mut self, by: &Importance<'a>, given: Option<&Value<'a>>, frozen: bool) -> R<Rc<Gen<'a>>> {
        let value = match (&by.proposal, given) {
            (function @ (Value::Closure(_) | Value::Item(_)), Some(given)) => {
                // The proposal's parameters are read here, too.
                let before = self.frozen;
                self.frozen |= frozen;
                let value = match self.maybe_gen_without_arguments(function) {
                    Some(g) => Ok(Value::Gen(g)),
                    None => self.apply(function, vec![given.clone()], by.span),
                };
                self.frozen = before;
                value?
            }
            (value, _) => value.clone(),
        };
        Ok(self.as_gen(&value, by.span)?.within(frozen))
    }

    /// The function that an item without parameters is.
    fn maybe_gen_without_arguments(&mut self, value: &Value<'a>) -> Option<Rc<Gen<'a>>> {
        let Value::Item(id) = value else { return None };
        match &self.checked.items.item(*id).kind {
            crate::syntax::tree::ItemKind::Gen(item) if item.params.is_empty() => {
                Some(Rc::new(Gen { form: GenForm::Item { item: *id, args: Vec::new() }, frozen: false }))
            }
            _ => None,
        }
    }

    /// `n` runs of `f`, which gives a structured value: leaves gain an axis, unless `n` is 1.
    fn copies(&mut self, n: usize, span: Span, f: impl FnOnce(&mut Machine<'a>) -> R<Value<'a>>) -> R<Value<'a>> {
        if n == 1 { f(self) } else { self.collected_over(&[n], span, |m, _| f(m)) }
    }

    /// Log weights of `n` fresh particles of what is marginalised, for the kept trace.
    fn fresh_weights(
        &mut self,
        of: &Rc<Gen<'a>>,
        proposal: &Rc<Gen<'a>>,
        kept: &Value<'a>,
        n: usize,
        drawn: bool,
        span: Span,
    ) -> R<Value<'a>> {
        self.copies(n, span, |m| {
            let forwards = if drawn { Mode::Draw } else { Mode::Simulate };
            let own = m.run_gen(proposal, forwards, span)?;
            let scored = m.run_gen(of, Mode::Density(kept.merged(&own.trace)), span)?;
            Ok(Value::Scalar(m.real_op(Op::Sub, &[scored.score, own.score])))
        })
    }

    fn marginal(
        &mut self,
        of: &Rc<Gen<'a>>,
        keep: &[String],
        by: &Algorithm<'a>,
        frozen: bool,
        mode: Mode<'a>,
        span: Span,
    ) -> R<Run<'a>> {
        let by = match by {
            Algorithm::Importance(by) => by,
            Algorithm::Enumerate => return self.marginal_by_enumeration(of, keep, mode, span),
        };
        let kept_only = |t: &Value<'a>| t.restricted(&|p| is_kept(keep, p));
        match mode {
            Mode::Density(trace) => {
                let kept = kept_only(&trace);
                let proposal = self.proposal(by, Some(&kept), frozen)?;
                let drawn = self.sites_form == SiteForm::Draw;
                let weights = self.fresh_weights(of, &proposal, &kept, by.count, drawn, span)?;
                let score = self.log_mean(&weights, span)?;
                Ok(Run { trace: Value::record(Vec::new()), given: Vec::new(), score, value: kept })
            }
            Mode::Path => unsupported(span, "a path through a function made of others"),
            Mode::Simulate | Mode::Draw => {
                let drawn = matches!(mode, Mode::Draw);
                let own = self.run_gen(of, mode, span)?;
                let kept = kept_only(&own.trace);
                let rest = own.trace.restricted(&|p| !is_kept(keep, p));
                if matches!(&rest, Value::Record(fields) if fields.is_empty()) {
                    return Ok(own);
                }
                let proposal = self.proposal(by, Some(&kept), frozen)?;
                let retained = self.run_gen(&proposal, Mode::Density(rest), span)?;
                let mut weights = Value::Scalar(self.real_op(Op::Sub, &[own.score, retained.score]));
                if by.count > 1 {
                    let fresh = self.fresh_weights(of, &proposal, &kept, by.count - 1, drawn, span)?;
                    weights = self.concat(vec![weights, fresh], span)?;
                }
                let score = self.log_mean(&weights, span)?;
                Ok(Run { trace: kept.clone(), given: Vec::new(), score, value: kept })
            }
        }
    }

    fn normalized(
        &mut self,
        of: &Rc<Gen<'a>>,
        by: &Importance<'a>,
        frozen: bool,
        mode: Mode<'a>,
        span: Span,
    ) -> R<Run<'a>> {
        let proposal = self.proposal(by, None, frozen)?;
        match mode {
            Mode::Density(trace) => {
                let target = self.run_gen(of, Mode::Density(trace.clone()), span)?;
                let retained = self.run_gen(&proposal, Mode::Density(trace.clone()), span)?;
                let mut weights = Value::Scalar(self.real_op(Op::Sub, &[target.score, retained.score]));
                if by.count > 1 {
                    let drawn = self.sites_form == SiteForm::Draw;
                    let nothing = Value::record(Vec::new());
                    let fresh = self.fresh_weights(of, &proposal, &nothing, by.count - 1, drawn, span)?;
                    weights = self.concat(vec![weights, fresh], span)?;
                }
                let mean = self.log_mean(&weights, span)?;
                let score = self.real_op(Op::Sub, &[target.score, mean]);
                Ok(Run { trace: Value::record(Vec::new()), given: Vec::new(), score, value: trace })
            }
            Mode::Path => refuse(span, "a normalised function has no path"),
            Mode::Simulate | Mode::Draw => {
                let drawn = matches!(mode, Mode::Draw);
                let particles = self.copies(by.count, span, |m| {
                    let own = m.run_gen(&proposal, mode, span)?;
                    let scored = m.run_gen(of, Mode::Density(own.trace.clone()), span)?;
                    let weight = m.real_op(Op::Sub, &[scored.score, own.score]);
                    Ok(Value::Tuple([own.trace, Value::Scalar(scored.score), Value::Scalar(weight)].into()))
                })?;
                let Value::Tuple(parts) = &particles else { return refuse(span, "no particles") };
                let [traces, densities, weights] = &parts[..] else { return refuse(span, "no particles") };
                let mean = self.log_mean(weights, span)?;
                let (trace, density) = if by.count == 1 {
                    (traces.clone(), self.force(densities, span)?)
                } else {
                    let index = self.index_site(by, weights, drawn, span)?;
                    let density = self.index(densities, &[Index::At(index)], span)?;
                    (self.chosen(traces, index, span)?, self.force(&density, span)?)
                };
                let score = self.real_op(Op::Sub, &[density, mean]);
                Ok(Run { trace: trace.clone(), given: Vec::new(), score, value: trace })
            }
        }
    }

    /// The index of one particle, by weight.
    fn index_site(&mut self, by: &Importance<'a>, weights: &Value<'a>, drawn: bool, span: Span) -> R<Atom> {
        let d = self.library(INDEX, vec![weights.clone()], span)?;
        let d = self.as_dist(&d, span)?;
        // A frozen function's weights have no derivative that a strategy could carry on.
        let plain = drawn || self.held || self.sites_form == SiteForm::Draw;
        let strategy = if plain { None } else { by.index.clone() };
        if strategy.is_none() && !plain {
            return refuse(by.span, "no strategy was chosen for the index of the particle");
        }
        let indices = Vec::new();
        let site = Site { strategy, address: "index".to_owned(), indices, path: false, span: by.span };
        let number = self.fresh_site();
        let (index, _) = self.site(&d, &site, number, false)?;
        self.force(&index, span)
    }

    /// The traces' element at `index`, leaf by leaf.
    fn chosen(&mut self, traces: &Value<'a>, index: Atom, span: Span) -> R<Value<'a>> {
        match traces {
            Value::Record(fields) => {
                let mut out = Vec::with_capacity(fields.len());
                for (n, v) in fields.iter() {
                    out.push((n.clone(), self.chosen(v, index, span)?));
                }
                Ok(Value::record(out))
            }
            Value::Tuple(items) => {
                let items: R<Vec<Value<'a>>> = items.iter().map(|v| self.chosen(v, index, span)).collect();
                Ok(Value::Tuple(items?.into()))
            }
            other => self.index(other, &[Index::At(index)], span),
        }
    }
}

/// Fixed addresses of a function that runs as a whole are part of the trace that it scores.
fn whole_trace<'a>(mode: Mode<'a>, given: &Given<'a>) -> Mode<'a> {
    match (mode, &given.fixed) {
        (Mode::Density(trace), Some(fixed)) => Mode::Density(trace.merged(fixed)),
        (mode, _) => mode,
    }
}

fn without<'a>(mut run: Run<'a>, fixed: Option<&Value<'a>>) -> Run<'a> {
    if let (Some(Value::Record(fixed)), Value::Record(fields)) = (fixed, &run.trace) {
        let kept = fields.iter().filter(|(n, _)| !fixed.iter().any(|(f, _)| f == n)).cloned().collect();
        run.trace = Value::record(kept);
    }
    run
}
