//! Generative functions sampled inside others: their addresses nest under the statement's, or come into scope by name; with a
//! strategy for all of it, one is a single site whose distribution is over its traces.

use super::address::{Nesting, add_kind, element_at, rewritten};
use super::condition::Condition;
use super::context::{Checker, How, Piece, Site};
use super::estimates::union;
use super::generative::{Given, on_kind};
use super::poly::Poly;
use super::property::{Asked, Property};
use super::strategy::on_hull;
use super::value::{DistVal, Env, GenVal, Kind, Record, Val, Whole};
use crate::base::source::Span;
use crate::diagnostic::Diagnostic;
use crate::syntax::tree::{Expr, Stmt};
use std::rc::Rc;

impl Checker {
    /// The kind of what a strategy for a whole generative function passes on; reports what is wrong with it there.
    pub(super) fn whole(&mut self, g: &Rc<GenVal>, by: &Expr, name: &str, stmt: &Stmt, env: &mut Env) -> Kind {
        let asked = Asked { by: "the strategy", place: None };
        let fine =
            self.require(g, Property::Normalized, by.span, asked) & self.require(g, Property::Exact, by.span, asked);
        let (outcome, _) = self.quietly(|c| c.run_gen(g, How::Type));
        let Some(outcome) = outcome.filter(|_| fine) else {
            self.mark_unknown();
            return Kind::default();
        };
        let mut event = Record::default();
        for e in &outcome.entries {
            event.set_path(&e.path, self.freed(&e.value));
        }
        let d = Rc::new(DistVal {
            item: None,
            whole: Some(Whole { pathless: outcome.run.pathless.clone() }),
            name: outcome.run.name.clone(),
            args: vec![("of".to_owned(), Val::Gen(g.clone()))],
            sizes: Vec::new(),
            batch: Vec::new(),
            event: Val::Record(event),
            span: stmt.span,
        });
        self.strategy(&d, Some(by), stmt, name, env)
    }

    /// `addr ~ child(args)`: its addresses nest; the binding is its return value.
    /// With `as_site`, the function is one site, whose strategy passes on values of this kind.
    pub(super) fn child(
        &mut self,
        g: &Rc<GenVal>,
        name: &str,
        pieces: &[Piece],
        at: &[Poly],
        stmt: &Stmt,
        as_site: Option<Kind>,
    ) {
        let simulated = matches!(self.how(), Some(How::Simulate));
        let as_site = as_site.filter(|_| simulated);
        let how = match self.how().cloned().unwrap_or(How::Type) {
            How::Simulate if as_site.is_some() => How::Type,
            How::Density(trace) if name.is_empty() => How::Density(trace),
            How::Density(trace) => match trace.get(name) {
                Some(value) => match element_at(value, at) {
                    Val::Record(mut r) => {
                        r.sampled = trace.sampled;
                        How::Density(r)
                    }
                    _ => How::Type,
                },
                None => How::Type,
            },
            other => other,
        };
        let child = GenVal { span: stmt.span, ..(**g).clone() };
        let given = match self.runs.last() {
            Some(run) if name.is_empty() => Given { fixed: run.fixed.clone(), predictive: run.predictive },
            Some(run) => {
                let fixed = match run.fixed.get(name).map(|v| element_at(v, at)) {
                    Some(Val::Record(r)) => r,
                    _ => Record::default(),
                };
                Given { fixed, predictive: run.predictive }
            }
            None => Given::default(),
        };
        let Some(outcome) = self.run_given(&child, how, given) else {
            self.mark_unknown();
            if let Some(run) = self.runs.last_mut() {
                run.bindings.push(Site {
                    path: name.to_owned(),
                    pieces: pieces.to_vec(),
                    value: Val::Unknown,
                    span: stmt.span,
                    id: None,
                    presence: Condition::TRUE,
                });
            }
            return;
        };
        let relaxed = as_site.as_ref().is_some_and(|k| self.relaxed_origin(k).is_some());
        let present = self.present_condition();
        let Some(run) = self.runs.last_mut() else { return };
        let token = run.token;
        run.density.join(&outcome.run.density);
        run.sources = union(&Some(std::mem::take(&mut run.sources)), &Some(outcome.run.sources.clone()));
        if run.unnormalized.is_none() {
            run.unnormalized = outcome.run.unnormalized.clone();
        }
        if run.point.is_none() {
            run.point = outcome.run.point.clone();
        }
        if run.inexact.is_none() {
            run.inexact = outcome.run.inexact.clone();
        }
        if run.pathless.is_none() {
            run.pathless = outcome.run.pathless.clone();
        }
        run.observed.extend(outcome.run.observed.clone());
        if outcome.run.later.iter().any(|(n, _)| n == "?") {
            run.later.push(("?".to_owned(), Span::default()));
        }
        let nesting = Nesting { child: outcome.run.token, parent: token, name, at };
        let rename = |p: &Poly| nesting.apply(p);
        let guide_observes = run.is_guide && (outcome.run.unnormalized.is_some());
        let mut noted: Vec<(String, Vec<Piece>)> = Vec::new();
        for entry in outcome.entries.iter().chain(&outcome.given) {
            let path = if name.is_empty() { entry.path.clone() } else { format!("{name}.{}", entry.path) };
            let whole: Vec<Piece> = pieces
                .iter()
                .cloned()
                .chain(entry.axes.iter().zip(&entry.names).map(|(a, n)| Piece {
                    from: Poly::default(),
                    to: a.clone(),
                    name: n.clone(),
                    atom: None,
                    group: None,
                }))
                .collect();
            // The child's addresses are known here by the parent's names.
            let mut element = rewritten(&entry.element, &rename);
            if let Some(kind) = &as_site {
                element = on_kind(&if relaxed { on_hull(&element) } else { element }, kind);
            }
            let kind = element.kind();
            run.kinds.entry(path.clone()).or_default().join(&kind);
            noted.push((path.clone(), whole.clone()));
            let span = if name.is_empty() { entry.span } else { stmt.span };
            let mut site = Site { path, pieces: whole, value: element, span, id: None, presence: Condition::TRUE };
            let own = entry.presence.under(pieces.len(), entry.axes.len());
            let own = own.map(&rename);
            site.presence = site.over_places(&Condition::all([own, present.clone()]));
            run.templates.insert(site.path.clone(), site.template());
            if name.is_empty() {
                run.bindings.push(site.clone());
            }
            run.sites.push(site);
        }
        for (path, pieces) in noted {
            self.note_rows(&path, &pieces);
        }
        if !name.is_empty() {
            self.note_rows(name, pieces);
            let value = match outcome.result {
                Val::Unit => Val::Record(Record::default()),
                other => rewritten(&other, &rename),
            };
            let value = match &as_site {
                Some(kind) => add_kind(&value, kind),
                None => value,
            };
            let Some(run) = self.runs.last_mut() else { return };
            let mut site = Site {
                path: name.to_owned(),
                pieces: pieces.to_vec(),
                value,
                span: stmt.span,
                id: None,
                presence: Condition::TRUE,
            };
            site.presence = site.over_places(&present);
            run.templates.insert(name.to_owned(), site.template());
            run.bindings.push(site);
        }
        if guide_observes && let Some((span, why)) = outcome.run.unnormalized {
            self.report(
                Diagnostic::error("E0407", stmt.span, "a guide may not observe")
                    .label("this calls what is not normalized")
                    .also(span, why),
            );
        }
    }
}
