//! Generative functions on abstract values: sites, addresses, observations; one body serves the trace type, `simulate`,
//! `log_density` and `draw`.

use super::address::{add_kind, element_at, present_at, value_rank};
use super::annotation::named;
use super::block::any_stmt;
use super::condition::Condition;
use super::context::{Checker, Frame, How, LoopFrame, Piece, Run, Site, Template, with_batch};
use super::poly::Poly;
use super::tiling::Fault;
use super::value::{DistVal, Env, GenForm, GenVal, Kind, Mode, Num, Optional, Record, Support, Val};
use crate::base::source::Span;
use crate::diagnostic::Diagnostic;
use crate::syntax::tree::{Address, Expr, ExprKind, IndexExpr, ItemKind, NodeId, Stmt, StmtKind, TypeExpr};
use std::rc::Rc;

/// One address with all its pieces joined.
#[derive(Clone, Debug)]
pub struct Entry {
    pub path: String,
    /// Axes of the address itself (before those of the value).
    pub axes: Vec<Poly>,
    /// The value at all indices.
    pub value: Val,
    /// One element of the address.
    pub element: Val,
    pub span: Span,
    /// Loop variables of the pieces, if they have one name per axis.
    pub names: Vec<Option<String>>,
    pub ids: Vec<NodeId>,
    /// When it is present, over the places of its axes.
    pub presence: Condition,
}

/// What a run of a generative function gave.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub run: Run,
    pub entries: Vec<Entry>,
    /// Addresses whose values are fixed: not part of the trace.
    pub given: Vec<Entry>,
    pub result: Val,
}

/// What a generative function is run with from outside.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// Values of addresses that are not sampled.
    pub fixed: Record,
    /// Observations are samples.
    pub predictive: bool,
}

impl Checker {
    /// Runs the body of a generative function; `None` if nothing is known of it.
    pub fn run_gen(&mut self, g: &GenVal, how: How) -> Option<Outcome> {
        self.run_given(g, how, Given::default())
    }

    /// [`Checker::run_gen`], with some addresses fixed or observations sampled.
    pub fn run_given(&mut self, g: &GenVal, how: How, given: Given) -> Option<Outcome> {
        let GenForm::Item { id, args, sizes } = &g.form else { return self.run_combined(g, how, given) };
        let id = *id;
        let item = self.loaded.items.item(id).clone();
        let ItemKind::Gen(function) = &item.kind else { return None };
        if self.recursive.contains(&id) || self.frames.len() > 60 {
            return None;
        }
        let mut env = Env::new(self.loaded.items.module_of(id), Mode::Generative);
        env.frozen = g.frozen;
        for (name, size) in sizes {
            env.bind(name, Val::Num(Num { support: Support::interval(Some(0.0), None), ..Num::size(size.clone()) }));
        }
        let token = self.fresh();
        let mut later = Vec::new();
        let mut observed = Vec::new();
        any_stmt(&function.body, &mut |s| {
            match &s.kind {
                StmtKind::Sample { address: Address::Named { name, .. }, .. } => {
                    later.push((name.text.clone(), s.span));
                }
                StmtKind::Observe { value, .. } if given.predictive => {
                    if let Some((name, _)) = observed_address(value) {
                        later.push((name.to_owned(), s.span));
                        observed.push(name.to_owned());
                    }
                }
                _ => {}
            }
            false
        });
        for (name, value) in args {
            // An argument that is sampled is read as the address.
            if !observed.contains(name) {
                env.bind(name, value.clone());
            }
        }
        self.runs.push(Run {
            how,
            name: function.name.text.clone(),
            is_guide: !function.is_model,
            sites: Vec::new(),
            bindings: Vec::new(),
            loops: Vec::new(),
            density: Kind::default(),
            sources: Vec::new(),
            unnormalized: None,
            point: None,
            pathless: None,
            observed: Vec::new(),
            inexact: None,
            fixed: given.fixed,
            predictive: given.predictive,
            kinds: std::collections::BTreeMap::new(),
            templates: std::collections::BTreeMap::new(),
            by_rows: std::collections::BTreeMap::new(),
            later,
            token,
            guards: self.guards.len(),
        });
        self.frames.push(Frame { span: g.span, name: function.name.text.clone(), item: Some(id) });
        let whole = std::mem::take(&mut self.whole_division);
        let result = self.block(&function.body, &mut env);
        self.whole_division = whole;
        let run = self.runs.pop()?;
        let (given, sampled): (Vec<Site>, Vec<Site>) =
            run.sites.iter().cloned().partition(|s| run.fixed.get_path(&s.path).is_some());
        let entries = self.join_pieces(&run, &sampled);
        let given = self.join_pieces(&run, &given);
        self.frames.pop();
        Some(Outcome { run, entries, given, result })
    }

    fn join_pieces(&mut self, run: &Run, all: &[Site]) -> Vec<Entry> {
        let mut paths: Vec<&str> = Vec::new();
        for site in all {
            if !paths.contains(&site.path.as_str()) {
                paths.push(&site.path);
            }
        }
        let mut entries = Vec::new();
        for path in paths {
            let sites: Vec<&Site> = all.iter().filter(|s| s.path == path).collect();
            let own: Vec<Site> = sites.iter().map(|s| (*s).clone()).collect();
            let presence = present_at(&own, None, &[]);
            let tiled = self.tile(&sites);
            let axes = match tiled {
                Ok(axes) => axes,
                Err(fault) => {
                    self.tiling_fault(path, fault);
                    continue;
                }
            };
            let mut element = sites[0].value.clone();
            for other in &sites[1..] {
                element = self.join(&element, &other.value, other.span);
            }
            if let Some(kind) = run.kinds.get(path) {
                element = add_kind(&element, kind);
            }
            let atom = format!("{path}@{}", run.token);
            let value = named(&with_batch(&element, &axes), &atom);
            let names = sites[sites.len() - 1].pieces.iter().map(|p| p.name.clone()).collect();
            entries.push(Entry {
                path: path.to_owned(),
                axes,
                value,
                element,
                span: sites[0].span,
                names,
                ids: sites.iter().filter_map(|s| s.id).collect(),
                presence,
            });
        }
        entries
    }

    fn tiling_fault(&mut self, path: &str, fault: Fault) {
        let d = match fault {
            Fault::Gap { from, to, before, after } => {
                let to = to.map_or_else(String::new, |t| t.source());
                let mut d = Diagnostic::error(
                    "E0403",
                    after,
                    format!("the address `{path}` has a gap: {}..{to} is not sampled", from.source()),
                )
                .label(format!("this piece starts at {to}"))
                .note("the pieces of an address must cover 0..n without gaps, in any order");
                if let Some(before) = before {
                    d = d.also(before, format!("the piece before ends at {}", from.source()));
                }
                d.fix(format!("sample `{path}` from {} on, or let its index start at 0", from.source()))
            }
            Fault::Overlap { first, second } => {
                Diagnostic::error("E0402", second, format!("the address `{path}` is sampled twice"))
                    .label("sampled again here")
                    .also(first, "first sampled here")
                    .note("an address stands for one value of a trace; pieces of an array must not overlap")
                    .fix("give the second one another name, or an index of its own")
            }
            Fault::Axes { first, second } => {
                Diagnostic::error("E0404", second, format!("the pieces of the address `{path}` have different shapes"))
                    .label("this piece")
                    .also(first, "differs from this one")
            }
        };
        self.report(d);
    }

    /// Pieces of an address from its written indices.
    pub fn pieces(
        &mut self,
        name: &str,
        indices: &[Expr],
        span: Span,
        env: &mut Env,
    ) -> Option<(Vec<Piece>, Vec<Poly>)> {
        let mut pieces = Vec::new();
        let mut at = Vec::new();
        let mut used: Vec<String> = Vec::new();
        for e in indices {
            let n = self.index_value(e, None, env);
            let Some(sym) = n.sym.clone() else {
                self.bad_index(name, e);
                return None;
            };
            let frame = self.runs.last()?.loops.iter().find(|l| sym.as_atom() == Some(l.atom.as_str())).cloned();
            match frame {
                Some(frame) => {
                    let (mut from, mut to) = (frame.from.clone(), frame.to.clone());
                    if let Some(rows) = frame.rows.clone() {
                        // By rows an address has the plate's own size.
                        (from, to) = (from.clone(), from.add(&rows));
                    }
                    used.push(frame.name.clone());
                    let mut ragged = None;
                    if let Some(group) = &frame.groups
                        && let Some(outer) = self.runs.last()?.loops.iter().find(|l| l.name == *group)
                    {
                        // Groups tile: the whole goes from the first one's begin, 0, to the last one's end.
                        from = Poly::default();
                        ragged = Some((outer.atom.clone(), to.clone()));
                        to = to.substitute(&outer.atom, &outer.to.plus(-1.0));
                        used.push(group.clone());
                    }
                    if ragged.is_none() && (from.mentions("#") || to.mentions("#")) {
                        self.uneven(name, e, &frame);
                        return None;
                    }
                    pieces.push(Piece { from, to, name: Some(frame.name), atom: Some(frame.atom), group: ragged });
                }
                None if !sym.mentions("#") && !sym.mentions("?") && !sym.mentions("@") => {
                    pieces.push(Piece { from: sym.clone(), to: sym.plus(1.0), name: None, atom: None, group: None });
                }
                None => {
                    self.bad_index(name, e);
                    return None;
                }
            }
            at.push(sym);
        }
        let missing = self.runs.last()?.loops.iter().find(|l| !used.contains(&l.name)).cloned();
        if let Some(missing) = missing {
            let v = if missing.name == "_" { "i".to_owned() } else { missing.name.clone() };
            let mut written: Vec<String> = at.iter().map(Poly::source).collect();
            // Outer loops first.
            let outer = self.runs.last().map_or(0, |r| r.loops.iter().take_while(|l| l.name != missing.name).count());
            written.insert(outer.min(written.len()), v.clone());
            self.report(
                Diagnostic::error("E0406", span, format!("the address `{name}` repeats in every iteration"))
                    .label(format!("sampled for each `{v}`"))
                    .also(missing.span, "in this loop")
                    .note("an address stands for one value of a trace, so in a loop it carries the loop's index")
                    .fix(format!("`{name}[{}] ~ …`", written.join(", "))),
            );
            return None;
        }
        Some((pieces, at))
    }

    fn uneven(&mut self, name: &str, e: &Expr, frame: &LoopFrame) {
        let (v, from, to) = (&frame.name, frame.from.source(), frame.to.source());
        self.report(
            Diagnostic::error("E0404", e.span, format!("the address `{name}` would have rows of different lengths"))
                .label(format!("`{v}` goes over {from}..{to}, which depends on another loop"))
                .also(frame.span, "this loop")
                .note("an address is an array, whose axes have one length each; only groups that follow one another (`for i in start[g]..start[g + 1]`) make one axis")
                .fix(format!("let `{v}` go over the most there can be, and sample under a condition: `if {v} < {to} {{ {name}[…] ~ … }}`")),
        );
    }

    fn bad_index(&mut self, name: &str, e: &Expr) {
        self.report(
            Diagnostic::error(
                "E0405",
                e.span,
                format!("an index of the address `{name}` must be a constant or a loop variable"),
            )
            .label("neither")
            .fix("let the loop run over what the address is indexed by"),
        );
    }

    pub fn sample(
        &mut self,
        stmt: &Stmt,
        address: &Address,
        ty: Option<&TypeExpr>,
        value: &Expr,
        by: Option<&Expr>,
        env: &mut Env,
    ) {
        let source = self.expr(value, env);
        match env.mode {
            Mode::Generative => {}
            // In a strategy, delegation: the body's rest is the continuation.
            Mode::Expect | Mode::Strategy => {
                self.impure(stmt.span, "samples");
                return self.sample_untraced(stmt, address, &source, by, value.span, env);
            }
            Mode::Pure | Mode::Sampler => {
                self.report(
                    Diagnostic::error(
                        "E0408",
                        stmt.span,
                        "a sample statement must stand in a model, a guide or an `expect`",
                    )
                    .label("not here")
                    .fix("`draw(d)` is a plain draw without an address"),
                );
                if let Address::Named { name, .. } = address {
                    env.bind(&name.text, Val::Unknown);
                }
                return;
            }
        }
        match (address, source) {
            (Address::Splice(at), source) => {
                let inside = self.runs.last().and_then(|r| r.loops.last().cloned());
                if let Some(frame) = inside {
                    let v = if frame.name == "_" { "i".to_owned() } else { frame.name };
                    self.report(
                        Diagnostic::error("E0406", *at, "the addresses of `_ ~ …` repeat in every iteration")
                            .label("spliced in a loop")
                            .also(frame.span, "in this loop")
                            .fix(format!("give it a name with the loop's index: `c[{v}] ~ …`")),
                    );
                    return;
                }
                match source {
                    Val::Gen(g) => {
                        let kind = by.map(|by| self.whole(&g, by, "_", stmt, env));
                        self.child(&g, "", &[], &[], stmt, kind);
                    }
                    Val::Dist(d) => self.splice_dist(&d, by, stmt, env),
                    Val::Unknown => self.mark_unknown(),
                    other => self.not_sampled(&other, value.span),
                }
            }
            (Address::Named { name, indices }, source) => {
                let pieces = self.pieces(&name.text, indices, stmt.span, env);
                let (pieces, at) = match pieces {
                    Some(p) => p,
                    None => {
                        self.mark_unknown();
                        // Reads of it are not reported again.
                        env.bind(&name.text, Val::Unknown);
                        return;
                    }
                };
                match source {
                    Val::Gen(g) => {
                        let kind = by.map(|by| self.whole(&g, by, &name.text, stmt, env));
                        self.child(&g, &name.text, &pieces, &at, stmt, kind);
                    }
                    Val::Dist(d) => {
                        let value = self.site(&d, &name.text, &pieces, &at, ty, by, stmt, env);
                        self.record_site(&name.text, pieces, value, stmt);
                    }
                    Val::Unknown => {
                        let value = match ty {
                            Some(ty) => self.resolve(ty, env),
                            None => Val::Unknown,
                        };
                        self.mark_unknown();
                        self.record_site(&name.text, pieces, value, stmt);
                    }
                    other => self.not_sampled(&other, value.span),
                }
            }
        }
    }

    pub fn mark_unknown(&mut self) {
        if let Some(run) = self.runs.last_mut() {
            run.later.push(("?".to_owned(), Span::default()));
        }
    }

    pub fn not_sampled(&mut self, value: &Val, span: Span) {
        let found = self.describe(value);
        let mut d = Diagnostic::error(
            "E0205",
            span,
            format!("only distributions and generative functions can be sampled, not {found}"),
        )
        .label(found.clone());
        if let Val::Fn(_) = value {
            d = d.fix("give it its arguments");
        }
        self.report(d);
    }

    pub fn record_site(&mut self, path: &str, pieces: Vec<Piece>, value: Val, stmt: &Stmt) {
        let kind = value.kind();
        let present = self.present_condition();
        let Some(run) = self.runs.last_mut() else { return };
        run.kinds.entry(path.to_owned()).or_default().join(&kind);
        let mut site = Site {
            path: path.to_owned(),
            pieces,
            value,
            span: stmt.span,
            id: Some(stmt.id),
            presence: Condition::TRUE,
        };
        site.presence = site.over_places(&present);
        run.templates.insert(path.to_owned(), site.template());
        self.note_rows(path, &site.pieces);
        let Some(run) = self.runs.last_mut() else { return };
        run.sites.push(site.clone());
        run.bindings.push(site);
    }

    /// `x ~ d` in an `expect`: no address.
    fn sample_untraced(
        &mut self,
        stmt: &Stmt,
        address: &Address,
        source: &Val,
        by: Option<&Expr>,
        span: Span,
        env: &mut Env,
    ) {
        let name = match address {
            Address::Named { name, indices } if indices.is_empty() => name.text.clone(),
            _ => {
                self.report(
                    Diagnostic::error(
                        "E0408",
                        stmt.span,
                        "a sample in an `expect` or a strategy has no address: it needs a plain name",
                    )
                    .label("here")
                    .fix("`let x = for i in 0..n { z ~ …; z }` samples an array"),
                );
                return;
            }
        };
        let value = match source {
            Val::Dist(d) => {
                let kind = self.strategy(d, by, stmt, &name, env);
                let atom = format!("{name}@{}", self.fresh());
                let whole = with_batch(&d.event, &d.batch);
                self.passed(&named(&whole, &atom), &kind)
            }
            Val::Gen(_) => {
                self.report(
                    Diagnostic::error("E0408", span, "a generative function in an `expect` is run by `simulate`")
                        .label("sampled here")
                        .fix("`let (t, lq) = simulate(q)`"),
                );
                Val::Unknown
            }
            Val::Unknown => Val::Unknown,
            other => {
                self.not_sampled(other, span);
                Val::Unknown
            }
        };
        env.bind(&name, value);
    }

    /// `_ ~ d` where `d` is a distribution over a record: its fields are addresses.
    fn splice_dist(&mut self, d: &Rc<DistVal>, by: Option<&Expr>, stmt: &Stmt, env: &mut Env) {
        let Val::Record(fields) = &d.event else {
            if !matches!(d.event, Val::Unknown) {
                let found = self.describe(&d.event);
                self.report(
                    Diagnostic::error(
                        "E0205",
                        stmt.span,
                        format!("`_ ~ d` needs a distribution over a record, not over {found}"),
                    )
                    .label("here")
                    .fix("give it an address: `x ~ …`"),
                );
            }
            self.mark_unknown();
            return;
        };
        let how = self.how().cloned().unwrap_or(How::Type);
        let kind = match &how {
            How::Simulate => self.strategy(d, by, stmt, "_", env),
            How::Type | How::Draw | How::Density(_) => Kind::default(),
        };
        let token = self.runs.last().map_or(0, |r| r.token);
        let mut substituted: Vec<(String, Poly)> = Vec::new();
        let mut whole = Record::default();
        for (field, template) in &fields.fields {
            let target = substitute_bounds(template, &substituted);
            let fixed = self.runs.last().and_then(|r| r.fixed.get(field)).cloned();
            let value = match &how {
                _ if fixed.is_some() => {
                    let v = fixed.unwrap_or(Val::Unknown);
                    self.fits(field, &v, &target, None, stmt.span);
                    v
                }
                How::Density(trace) => match trace.get(field).map(Val::bare) {
                    Some(v) => {
                        self.fits(field, v, &target, trace.sampled, stmt.span);
                        v.clone()
                    }
                    None => Val::Unknown,
                },
                How::Type | How::Simulate | How::Draw => {
                    self.passed(&named(&target, &format!("{field}@{token}")), &kind)
                }
            };
            let by_sym = match &value {
                Val::Num(n) => n.sym.clone(),
                _ => None,
            };
            let by_sym = by_sym.unwrap_or_else(|| Poly::atom(&format!("{field}@{token}")));
            substituted.push((format!("{field}@r"), by_sym));
            whole.fields.push((field.clone(), value.clone()));
            self.record_site(field, Vec::new(), value, stmt);
        }
        self.score(d, &Val::Record(whole), stmt.span);
    }

    /// One site: its value, and its contribution to the density.
    #[expect(clippy::too_many_arguments, reason = "the parts of a sample statement")]
    pub fn site(
        &mut self,
        d: &Rc<DistVal>,
        path: &str,
        pieces: &[Piece],
        at: &[Poly],
        ty: Option<&TypeExpr>,
        by: Option<&Expr>,
        stmt: &Stmt,
        env: &mut Env,
    ) -> Val {
        let mut target = with_batch(&d.event, &d.batch);
        if let Some(ty) = ty {
            let declared = self.resolve(ty, env);
            target = self.narrowed(&target, &declared, ty.span, stmt.span);
        }
        if matches!(target, Val::Unknown) && ty.is_none() && !d.args.iter().any(|(_, v)| matches!(v, Val::Unknown)) {
            self.report(
                Diagnostic::error("E0204", stmt.span, format!("the type of `{path}` is not known"))
                    .label("the distribution has no support of its own")
                    .fix(format!("write it: `{path}: real ~ …`")),
            );
        }
        if !self.has_member(&Val::Dist(d.clone()), "path")
            && let Some(run) = self.runs.last_mut()
            && run.pathless.is_none()
        {
            run.pathless = Some((stmt.span, path.to_owned()));
        }
        if d.item.is_some() && !self.can_draw(d) {
            let reason = format!("`{}` cannot be drawn from", d.name);
            self.unnormalized(stmt.span, reason);
        }
        let token = self.runs.last().map_or(0, |r| r.token);
        let atom = if at.is_empty() {
            format!("{path}@{token}")
        } else {
            let inner: Vec<String> = at.iter().map(Poly::print).collect();
            format!("{path}@{token}[{}]", inner.join(", "))
        };
        let how = self.how().cloned().unwrap_or(How::Type);
        let fixed = self.runs.last().and_then(|r| r.fixed.get_path(path)).cloned();
        let value = match &how {
            _ if fixed.is_some() => {
                let value = fixed.unwrap_or(Val::Unknown);
                self.element_of_trace(path, &value, pieces.len(), at, &target, None, stmt.span)
            }
            How::Type | How::Draw => named(&target, &atom),
            How::Simulate => {
                let kind = self.strategy(d, by, stmt, path, env);
                self.passed(&named(&target, &atom), &kind)
            }
            How::Density(trace) => match trace.get_path(path).map(Val::bare) {
                Some(value) => self.element_of_trace(path, value, pieces.len(), at, &target, trace.sampled, stmt.span),
                None => named(&target, &atom),
            },
        };
        self.score(d, &value, stmt.span);
        value
    }

    /// The element of a trace's value that a site scores.
    #[expect(clippy::too_many_arguments, reason = "the two sides of a comparison")]
    fn element_of_trace(
        &mut self,
        path: &str,
        value: &Val,
        axes: usize,
        at: &[Poly],
        target: &Val,
        sampled: Option<Span>,
        span: Span,
    ) -> Val {
        if value_rank(value) != axes + value_rank(target) && !matches!(value, Val::Unknown) {
            let (found, wanted) = (self.describe(value), self.describe(target));
            self.report(
                Diagnostic::error("E0401", span, format!("`{path}` has another shape in the trace: {found}"))
                    .label(if axes == 0 {
                        format!("here it is {wanted}")
                    } else {
                        format!("here it is an array of {wanted}, {axes} axes")
                    })
                    .note("the guide and the model must give an address the same shape")
                    .fix(format!(
                        "sample `{path}` in the guide as the model does: in the same loops, with the same indices"
                    )),
            );
            return Val::Unknown;
        }
        let element = element_at(value, at);
        if self.fits(path, &element, target, sampled, span) { element } else { Val::Unknown }
    }

    /// The trace type as users read it.
    pub fn trace_text(&self, entries: &[Entry]) -> String {
        let fields: Vec<String> =
            entries.iter().map(|e| format!("{}: {}", e.path, self.describe(&e.traced(e.value.clone())))).collect();
        format!("{{ {} }}", fields.join(", "))
    }

    pub fn record_text(&self, record: &Record) -> String {
        let fields: Vec<String> = record
            .paths()
            .iter()
            .map(|p| format!("{p}: {}", record.get_path(p).map_or_else(|| "?".to_owned(), |v| self.describe(v))))
            .collect();
        format!("{{ {} }}", fields.join(", "))
    }
}

/// A value with another kind.
pub(super) fn on_kind(value: &Val, kind: &Kind) -> Val {
    value.map(&mut |n| n.clone().with_kind(kind))
}

impl Entry {
    /// A value of it as a trace holds it.
    pub fn traced(&self, value: Val) -> Val {
        if self.presence.is_true() {
            return value;
        }
        Val::Optional(Rc::new(Optional {
            name: self.path.clone(),
            value,
            presence: self.presence.clone(),
            arity: self.axes.len(),
        }))
    }
}

impl Site {
    pub(super) fn template(&self) -> Template {
        Template { arity: self.pieces.len(), value: self.value.clone(), presence: self.presence.clone() }
    }
}

pub(super) fn substitute_bounds(value: &Val, by: &[(String, Poly)]) -> Val {
    value.map(&mut |n| {
        let edge = |e: Option<super::value::Edge>| {
            e.map(|mut e| {
                for (atom, poly) in by {
                    e.value = e.value.substitute(atom, poly);
                }
                e
            })
        };
        match &n.support {
            Support::Interval { lower, upper } => Num {
                support: Support::Interval { lower: edge(lower.clone()), upper: edge(upper.clone()) },
                ..n.clone()
            },
            Support::Shape(_) => n.clone(),
        }
    })
}

/// The address that an observed expression is: its name and indices.
pub fn observed_address(value: &Expr) -> Option<(&str, Vec<&Expr>)> {
    match &value.kind {
        ExprKind::Name(name) => Some((name, Vec::new())),
        ExprKind::Index { array, indices } => {
            let ExprKind::Name(name) = &array.kind else { return None };
            let at: Option<Vec<&Expr>> = indices
                .iter()
                .map(|i| match i {
                    IndexExpr::At(e) => Some(e),
                    IndexExpr::Slice { .. } => None,
                })
                .collect();
            Some((name, at?))
        }
        _ => None,
    }
}
