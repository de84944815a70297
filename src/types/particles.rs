//! Runs of generative functions made of others: conditioned, predictive, marginalised, normalised. Each is run as the
//! programs that it stands for: the function itself, the proposal forwards, and the proposal's density at what the
//! function sampled.

use super::call::ArgVal;
use super::combinator::{is_kept, quoted};
use super::context::{Checker, Frame, How};
use super::generative::{Entry, Given, Outcome};
use super::value::{Algorithm, Base, Edge, Env, GenForm, GenVal, Importance, Kind, Mode, Num, Record, Support, Val};
use crate::base::source::Span;
use crate::diagnostic::Diagnostic;
use crate::syntax::tree::{Expr, ExprKind, Stmt, StmtKind};

/// The library's distribution of an index over log weights, by which a particle is chosen.
pub const INDEX: &str = "weighted_index";
/// The library's logarithm of the mean of weights, of their logarithms.
pub const MEAN: &str = "log_mean_exp";

/// A run under way: what is run, how, and where it is written.
struct Scheme<'c> {
    g: &'c GenVal,
    of: GenVal,
    by: &'c Importance,
    /// "marginal" or "normalize", for messages.
    name: &'static str,
}

impl Checker {
    pub fn run_combined(&mut self, g: &GenVal, how: How, given: Given) -> Option<Outcome> {
        let name = match &g.form {
            GenForm::Declared | GenForm::Item { .. } => return None,
            GenForm::Condition { .. } => "condition",
            GenForm::Predictive { .. } => "predictive",
            GenForm::Marginal { .. } => "marginal",
            GenForm::Normalize { .. } => "normalize",
        };
        self.frames.push(Frame { span: g.span, name: name.to_owned(), item: None });
        let outcome = self.combined(g, how, given);
        self.frames.pop();
        let mut outcome = outcome?;
        // What nothing is marginalised of is the function itself.
        if outcome.run.inexact.is_some() || name != "marginal" {
            outcome.run.name = format!("{name}({})", outcome.run.name);
        }
        Some(outcome)
    }

    fn combined(&mut self, g: &GenVal, how: How, given: Given) -> Option<Outcome> {
        match &g.form {
            GenForm::Declared | GenForm::Item { .. } => None,
            GenForm::Condition { of, fixed } => self.conditioned(g, of, fixed, how, given),
            GenForm::Predictive { of } => {
                self.run_given(&of.within(g.frozen), how, Given { predictive: true, ..given })
            }
            GenForm::Marginal { of, keep, by } => {
                let (how, fixed) = self.whole_trace(g, how, given)?;
                let outcome = self.marginal(g, of, keep, by, how)?;
                Some(without(outcome, &fixed))
            }
            GenForm::Normalize { of, by } => {
                let (how, fixed) = self.whole_trace(g, how, given)?;
                let importance = match &**by {
                    Algorithm::Importance(importance) => importance,
                    Algorithm::Enumerate { span } => {
                        let outcome = self.normalized_by_enumeration(&of.within(g.frozen), how, *span)?;
                        return Some(without(outcome, &fixed));
                    }
                };
                let scheme = Scheme { g, of: of.within(g.frozen), by: importance, name: "normalize" };
                let outcome = self.normalized(&scheme, how)?;
                Some(without(outcome, &fixed))
            }
        }
    }

    /// What fixes addresses of a function that runs as a whole becomes part of the trace that it scores.
    fn whole_trace(&mut self, g: &GenVal, how: How, given: Given) -> Option<(How, Record)> {
        if given.predictive {
            self.report(
                Diagnostic::error("E0290", g.span, "`predictive` of a marginal or normalised function is not supported yet")
                    .label("its observations are inside")
                    .fix("take it inside: `marginal(predictive(p), keep: …, by: …)`, with what is observed among the kept addresses"),
            );
            return None;
        }
        let how = match how {
            How::Density(trace) => How::Density(trace.merged(&given.fixed)),
            other => other,
        };
        Some((how, given.fixed))
    }

    fn conditioned(&mut self, g: &GenVal, of: &GenVal, fixed: &Record, how: How, given: Given) -> Option<Outcome> {
        let all = Given { fixed: given.fixed.merged(fixed), ..given };
        let mut outcome = self.run_given(&of.within(g.frozen), how, all)?;
        let known = !outcome.run.later.iter().any(|(n, _)| n == "?");
        let absent: Vec<String> =
            fixed.paths().into_iter().filter(|p| !outcome.given.iter().any(|e| e.path == *p)).collect();
        if known && !absent.is_empty() {
            let name = outcome.run.name.clone();
            self.report(
                Diagnostic::error(
                    "E0401",
                    g.span,
                    format!("`condition` fixes {}, which `{name}` does not sample", quoted(&absent)),
                )
                .label("no such address")
                .note(format!("{name} samples  {}", self.trace_text(&outcome.entries)))
                .fix("fix addresses that it samples"),
            );
        }
        if outcome.run.unnormalized.is_none() {
            outcome.run.unnormalized = Some((g.span, "`condition` fixes addresses here".to_owned()));
        }
        outcome.run.is_guide = false;
        Some(outcome)
    }

    fn marginal(&mut self, g: &GenVal, of: &GenVal, keep: &[String], by: &Algorithm, how: How) -> Option<Outcome> {
        let of = of.within(g.frozen);
        let types = self.run_gen(&of, How::Type)?;
        if types.run.later.iter().any(|(n, _)| n == "?") {
            return None;
        }
        self.must_be_whole(&types, g.span);
        let paths: Vec<String> = types.entries.iter().map(|e| e.path.clone()).collect();
        let shown = self.trace_text(&types.entries);
        let whose = format!("`{}`", types.run.name);
        if !self.all_there(keep, &paths, &whose, g.span, &shown) {
            return None;
        }
        let (kept, rest): (Vec<Entry>, Vec<Entry>) =
            types.entries.iter().cloned().partition(|e| is_kept(keep, &e.path));
        if rest.is_empty() {
            // Nothing is marginalised.
            return self.run_gen(&of, how);
        }
        match by {
            Algorithm::Enumerate { span } => self.marginal_by_enumeration(&of, types, kept, &rest, how, *span),
            Algorithm::Importance(importance) => {
                let scheme = Scheme { g, of, by: importance, name: "marginal" };
                self.marginal_by_importance(&scheme, types, kept, &rest, how)
            }
        }
    }

    fn marginal_by_importance(
        &mut self,
        scheme: &Scheme<'_>,
        types: Outcome,
        kept: Vec<Entry>,
        rest: &[Entry],
        how: How,
    ) -> Option<Outcome> {
        let is_rest = |path: &str| rest.iter().any(|e| e.path == path);
        let mut kinds = Kind::default();
        let mut point = None;
        let mut outcome = match how {
            How::Type => {
                let given = trace(&kept, None);
                let proposal = self.proposal(scheme.by, Some(&given), scheme.g.frozen)?;
                self.covers(scheme, &proposal, rest)?;
                Outcome { entries: kept, ..types }
            }
            How::Simulate | How::Draw => {
                let full = self.run_gen(&scheme.of, how)?;
                let place = self.user_span(scheme.g.span);
                let whole = trace(&full.entries, Some(place));
                let given = whole.restricted(&|p| !is_rest(p));
                let own = whole.restricted(&is_rest);
                let proposal = self.proposal(scheme.by, Some(&given), scheme.g.frozen)?;
                let scored = self.run_gen(&proposal, How::Density(Record { sampled: None, ..own.clone() }))?;
                kinds.join(&scored.run.density);
                point = point.or(scored.run.point);
                if self.may_exceed_one(&scheme.by.count) {
                    self.fresh_particles(scheme, &proposal, &given, &mut kinds, &mut point)?;
                }
                let entries = full.entries.into_iter().filter(|e| !is_rest(&e.path)).collect();
                Outcome { run: full.run, entries, given: full.given, result: Val::Unit }
            }
            How::Density(values) => {
                let mut given = trace(&kept, None);
                given.sampled = values.sampled;
                let given = given.merged(&values.restricted(&|p| kept.iter().any(|e| e.path == p)));
                let proposal = self.proposal(scheme.by, Some(&given), scheme.g.frozen)?;
                let mut outcome = Outcome { entries: kept, ..types };
                outcome.run.density = Kind::default();
                let scored = self.fresh_particles(scheme, &proposal, &given, &mut kinds, &mut point)?;
                outcome.entries = present_as(outcome.entries, &scored);
                outcome
            }
        };
        outcome.run.density.join(&kinds);
        outcome.run.point = outcome.run.point.or(point);
        outcome.run.inexact = Some((scheme.g.span, "its density is estimated by importance sampling here".to_owned()));
        outcome.result = Val::Record(trace(&outcome.entries, None));
        Some(outcome)
    }

    /// Particles that the proposal samples, and the function's density at them: its addresses as it scores them.
    fn fresh_particles(
        &mut self,
        scheme: &Scheme<'_>,
        proposal: &GenVal,
        given: &Record,
        kinds: &mut Kind,
        point: &mut Option<(Span, String)>,
    ) -> Option<Vec<Entry>> {
        let sampled = self.run_gen(proposal, How::Simulate)?;
        self.must_simulate(&sampled, scheme.by.proposal_span, "the proposal");
        let values = trace(&sampled.entries, None);
        let mut whole = given.merged(&values);
        whole.sampled = None;
        let scored = self.run_gen(&scheme.of, How::Density(whole))?;
        kinds.join(&sampled.run.density);
        kinds.join(&scored.run.density);
        *point = point.take().or(sampled.run.point).or(scored.run.point);
        Some(scored.entries)
    }

    /// A proposal must have the addresses of what it proposes for, on the same supports.
    fn covers(&mut self, scheme: &Scheme<'_>, proposal: &GenVal, wanted: &[Entry]) -> Option<()> {
        let proposed = self.run_gen(proposal, How::Type)?;
        self.must_simulate(&proposed, scheme.by.proposal_span, "the proposal");
        if proposed.run.later.iter().any(|(n, _)| n == "?") {
            return None;
        }
        let own = &scheme.by.proposal_span;
        let lacks: Vec<String> = wanted
            .iter()
            .filter(|e| !proposed.entries.iter().any(|p| p.path == e.path))
            .map(|e| e.path.clone())
            .collect();
        let exceeds: Vec<String> = proposed
            .entries
            .iter()
            .filter(|p| !wanted.iter().any(|e| e.path == p.path))
            .map(|p| p.path.clone())
            .collect();
        if !lacks.is_empty() || !exceeds.is_empty() {
            let message = match (lacks.is_empty(), exceeds.is_empty()) {
                (false, true) => format!("the proposal lacks {}", quoted(&lacks)),
                (true, _) => format!("the proposal has {}, which is not wanted of it", quoted(&exceeds)),
                (false, false) => format!("the proposal lacks {}, and has {} beside", quoted(&lacks), quoted(&exceeds)),
            };
            let wants = if scheme.name == "marginal" { "marginalised" } else { "the target" };
            self.report(
                Diagnostic::error("E0401", *own, message)
                    .label(format!("`{}`", proposed.run.name))
                    .note(format!("{wants:<12}  {}", self.trace_text(wanted)))
                    .note(format!("{:<12}  {}", "proposed", self.trace_text(&proposed.entries)))
                    .fix(if exceeds.is_empty() {
                        format!("sample {} in the proposal", quoted(&lacks))
                    } else if lacks.is_empty() && scheme.name == "marginal" {
                        format!("take {} out of the proposal, or out of `keep`", quoted(&exceeds))
                    } else {
                        "the proposal must sample exactly these addresses; `marginal` takes others out".to_owned()
                    }),
            );
            return None;
        }
        for e in wanted {
            let Some(p) = proposed.entries.iter().find(|p| p.path == e.path) else { continue };
            let (Val::Num(v), Val::Num(t)) = (&p.value, &e.value) else { continue };
            let (found, target) = (self.describe_num(v), self.describe_num(t));
            let base_ok = v.base == t.base || (t.base == Base::Real && v.base == Base::Int);
            if !base_ok || v.dims.len() != t.dims.len() {
                self.report(
                    Diagnostic::error(
                        "E0401",
                        *own,
                        format!("`{}` is {found} in the proposal, but {target} in `{}`", e.path, scheme.of_name()),
                    )
                    .label("proposes another type")
                    .also(e.span, "sampled here")
                    .also(p.span, "proposed here")
                    .fix(format!("propose `{}` from a distribution over {target}", e.path)),
                );
                continue;
            }
            for (a, b) in v.dims.iter().zip(&t.dims) {
                self.same_size(a, b, *own, &format!("`{}` in the proposal and where it is wanted", e.path));
            }
            let (beyond, missed) = (self.exceeds(v, t), self.exceeds(t, v));
            if beyond || missed {
                let note = if missed {
                    "what the proposal never samples is missing from the estimate, which is then biased"
                } else {
                    "particles outside have weight zero, and the logarithm of a sum of none is minus infinity"
                };
                self.report(
                    Diagnostic::error(
                        "E0303",
                        *own,
                        format!("the proposal samples `{}` on {found}, but it lies in {target}", e.path),
                    )
                    .label(format!("proposed on {found}"))
                    .also(p.span, format!("on {found}"))
                    .also(e.span, format!("on {target}"))
                    .note(note)
                    .fix(format!("propose `{}` from a distribution on {target}", e.path)),
                );
            }
        }
        Some(())
    }

    /// Some value of `a` surely lies outside the interval of `b`.
    fn exceeds(&self, a: &Num, b: &Num) -> bool {
        if self.contained(a, b) == Some(false) {
            return true;
        }
        let above = |x: &Option<Edge>, y: &Option<Edge>| match (x, y) {
            (Some(x), Some(y)) => self.at_most(&x.value, &y.value) == Some(false),
            _ => false,
        };
        above(&b.support.lower(), &a.support.lower()) || above(&a.support.upper(), &b.support.upper())
    }

    fn normalized(&mut self, scheme: &Scheme<'_>, how: How) -> Option<Outcome> {
        let types = self.run_gen(&scheme.of, How::Type)?;
        if types.run.later.iter().any(|(n, _)| n == "?") {
            return None;
        }
        self.must_be_whole(&types, scheme.g.span);
        let proposal = self.proposal(scheme.by, None, scheme.g.frozen)?;
        self.covers(scheme, &proposal, &types.entries)?;
        let mut outcome = match how {
            How::Type => types,
            How::Simulate | How::Draw => self.chosen_particle(scheme, &proposal, types, &how)?,
            How::Density(values) => {
                let values = Record { sampled: None, ..trace(&types.entries, None).merged(&values) };
                let mut outcome = self.run_gen(&scheme.of, How::Density(values.clone()))?;
                let scored = self.run_gen(&proposal, How::Density(values))?;
                let (mut kinds, mut point) = (scored.run.density, scored.run.point);
                if self.may_exceed_one(&scheme.by.count) {
                    self.fresh_particles(scheme, &proposal, &Record::default(), &mut kinds, &mut point)?;
                }
                outcome.run.density.join(&kinds);
                outcome.run.point = outcome.run.point.or(point);
                outcome.entries = present_as(types.entries, &outcome.entries);
                outcome
            }
        };
        outcome.run.unnormalized = None;
        outcome.run.is_guide = true;
        outcome.run.observed.clear();
        outcome.run.inexact = Some((scheme.g.span, "its density is estimated by resampling here".to_owned()));
        outcome.result = Val::Record(trace(&outcome.entries, None));
        Some(outcome)
    }

    /// K particles, one of which is chosen by weight. The index is a site with a strategy.
    fn chosen_particle(
        &mut self,
        scheme: &Scheme<'_>,
        proposal: &GenVal,
        types: Outcome,
        how: &How,
    ) -> Option<Outcome> {
        let sampled = self.run_gen(proposal, how.clone())?;
        self.must_simulate(&sampled, scheme.by.proposal_span, "the proposal");
        let values = trace(&sampled.entries, None);
        let mut outcome = self.run_gen(&scheme.of, How::Density(values))?;
        outcome.run.density.join(&sampled.run.density);
        outcome.run.point = outcome.run.point.or(sampled.run.point);
        if matches!(how, How::Simulate) && self.may_exceed_one(&scheme.by.count) {
            self.index_site(scheme, &outcome.run.density.clone());
        }
        // In the order of the function, with what is known of the proposal's values.
        outcome.entries = types
            .entries
            .into_iter()
            .filter_map(|e| {
                let own = sampled.entries.iter().find(|p| p.path == e.path)?;
                Some(Entry {
                    value: own.value.clone(),
                    element: own.element.clone(),
                    axes: own.axes.clone(),
                    presence: own.presence.clone(),
                    ..e
                })
            })
            .collect();
        outcome.run.token = sampled.run.token;
        Some(outcome)
    }

    /// Checks the strategy of the index at log weights of this kind.
    fn index_site(&mut self, scheme: &Scheme<'_>, weights: &Kind) {
        let Some(id) = self.loaded.items.prelude.get(INDEX).copied() else {
            self.report(
                Diagnostic::error("E0201", scheme.by.span, format!("the library has no `{INDEX}`"))
                    .label("chooses a particle by weight"),
            );
            return;
        };
        let size = scheme.by.count.sym.clone().unwrap_or_else(|| self.opaque());
        let weights = Num { kind: weights.clone(), support: Support::all(), ..Num::new(Base::Real, vec![size]) };
        let arg = ArgVal { name: None, value: Val::Num(weights), span: scheme.by.span };
        let env = Env::new(self.loaded.main, Mode::Pure);
        let Val::Dist(d) = self.apply_item(id, vec![arg], scheme.by.span, &env) else { return };
        let (by, mut env) = match &scheme.by.index {
            Some((e, env)) => (Some(e.clone()), env.clone()),
            None => (None, Env::new(self.loaded.main, Mode::Pure)),
        };
        let place = self.user_span(scheme.by.span);
        // Only its number and place matter: the index has no statement of its own.
        let written = Expr { id: scheme.by.id, span: place, kind: ExprKind::Bool(true) };
        let stmt = Stmt { id: scheme.by.id, span: place, kind: StmtKind::Expr(written) };
        let kind = self.strategy(&d, by.as_ref(), &stmt, "index", &mut env);
        if !kind.is_free() {
            self.report(
                Diagnostic::error("E0309", place, "the index of the chosen particle must be free")
                    .label("this strategy passes on a smooth value")
                    .fix("`index: enum` or `index: reinforce`"),
            );
        }
    }
}

impl Scheme<'_> {
    fn of_name(&self) -> &'static str {
        if self.name == "marginal" { "what is marginalised" } else { "the target" }
    }
}

/// Addresses, present as where they were scored at a trace: conditions are then by the trace's names.
pub fn present_as(entries: Vec<Entry>, scored: &[Entry]) -> Vec<Entry> {
    let presence = |e: &Entry| scored.iter().find(|s| s.path == e.path).unwrap_or(e).presence.clone();
    entries.into_iter().map(|e| Entry { presence: presence(&e), ..e }).collect()
}

/// The values of a run's addresses.
pub fn trace(entries: &[Entry], sampled: Option<Span>) -> Record {
    let mut record = Record { fields: Vec::new(), sampled };
    for e in entries {
        record.set_path(&e.path, e.traced(e.value.clone()));
    }
    record
}

/// The outcome, with these addresses no longer part of the trace.
fn without(mut outcome: Outcome, fixed: &Record) -> Outcome {
    let (given, entries) = outcome.entries.into_iter().partition(|e: &Entry| fixed.get_path(&e.path).is_some());
    outcome.entries = entries;
    outcome.given = given;
    outcome
}
