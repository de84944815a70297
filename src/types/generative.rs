//! Generative functions on abstract values: sites, addresses, observations; one body serves the trace type, `simulate`,
//! `log_density` and `draw`.

use super::annotation::{leading_dim, named, strip};
use super::block::any_stmt;
use super::context::{Checker, Frame, How, OriginKind, Piece, Run, Site, with_batch};
use super::poly::Poly;
use super::tiling::Fault;
use super::value::{Base, DistVal, Env, GenVal, Kind, Mode, Num, Record, Support, Val};
use crate::base::source::Span;
use crate::diagnostic::Diagnostic;
use crate::syntax::tree::{Address, Expr, ItemKind, NodeId, Stmt, StmtKind, TypeExpr};
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
}

/// What a run of a generative function gave.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub run: Run,
    pub entries: Vec<Entry>,
    pub result: Val,
}

impl Checker {
    /// Runs the body of a generative function; `None` if nothing is known of it.
    pub fn run_gen(&mut self, g: &GenVal, how: How) -> Option<Outcome> {
        let id = g.item?;
        let item = self.loaded.items.item(id).clone();
        let ItemKind::Gen(function) = &item.kind else { return None };
        if self.recursive.contains(&id) || self.frames.len() > 60 {
            return None;
        }
        let mut env = Env::new(self.loaded.items.module_of(id), Mode::Generative);
        env.frozen = g.frozen;
        for (name, size) in &g.sizes {
            env.bind(name, Val::Num(Num { support: Support::interval(Some(0.0), None), ..Num::size(size.clone()) }));
        }
        for (name, value) in &g.args {
            env.bind(name, value.clone());
        }
        let token = self.fresh();
        let mut later = Vec::new();
        any_stmt(&function.body, &mut |s| {
            if let StmtKind::Sample { address: Address::Named { name, .. }, .. } = &s.kind {
                later.push((name.text.clone(), s.span));
            }
            false
        });
        self.runs.push(Run {
            how,
            name: function.name.text.clone(),
            is_guide: !function.is_model,
            sites: Vec::new(),
            bindings: Vec::new(),
            loops: Vec::new(),
            density: Kind::default(),
            unnormalized: None,
            observed: Vec::new(),
            kinds: std::collections::BTreeMap::new(),
            templates: std::collections::BTreeMap::new(),
            later,
            token,
        });
        self.frames.push(Frame { span: g.span, name: function.name.text.clone(), item: Some(id) });
        let whole = std::mem::take(&mut self.whole_division);
        let result = self.block(&function.body, &mut env);
        self.whole_division = whole;
        let run = self.runs.pop()?;
        let entries = self.join_pieces(&run);
        self.frames.pop();
        Some(Outcome { run, entries, result })
    }

    fn join_pieces(&mut self, run: &Run) -> Vec<Entry> {
        let mut paths: Vec<&str> = Vec::new();
        for site in &run.sites {
            if !paths.contains(&site.path.as_str()) {
                paths.push(&site.path);
            }
        }
        let mut entries = Vec::new();
        for path in paths {
            let sites: Vec<&Site> = run.sites.iter().filter(|s| s.path == path).collect();
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
    fn pieces(&mut self, name: &str, indices: &[Expr], span: Span, env: &mut Env) -> Option<(Vec<Piece>, Vec<Poly>)> {
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
                    used.push(frame.name.clone());
                    if let Some(group) = &frame.groups
                        && let Some(outer) = self.runs.last()?.loops.iter().find(|l| l.name == *group)
                    {
                        // Groups tile: the whole goes from the first one's begin, 0, to the last one's end.
                        from = Poly::default();
                        to = to.substitute(&outer.atom, &outer.to.plus(-1.0));
                        used.push(group.clone());
                    }
                    pieces.push(Piece { from, to, name: Some(frame.name) });
                }
                None if !sym.mentions("#") && !sym.mentions("?") && !sym.mentions("@") => {
                    pieces.push(Piece { from: sym.clone(), to: sym.plus(1.0), name: None });
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
            written.insert(0, v.clone());
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
            Mode::Expect => return self.sample_untraced(stmt, address, &source, by, value.span, env),
            Mode::Strategy => {
                self.unsupported(stmt.span, "sampling inside a strategy (delegation)");
                if let Address::Named { name, .. } = address {
                    env.bind(&name.text, Val::Unknown);
                }
                return;
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
                        if let Some(by) = by {
                            self.unsupported(by.span, "a strategy for a whole generative function");
                            return;
                        }
                        self.child(&g, "", &[], &[], stmt);
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
                        if let Some(by) = by {
                            self.unsupported(by.span, "a strategy for a whole generative function");
                            return;
                        }
                        self.child(&g, &name.text, &pieces, &at, stmt);
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

    fn mark_unknown(&mut self) {
        if let Some(run) = self.runs.last_mut() {
            run.later.push(("?".to_owned(), Span::default()));
        }
    }

    fn not_sampled(&mut self, value: &Val, span: Span) {
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

    fn record_site(&mut self, path: &str, pieces: Vec<Piece>, value: Val, stmt: &Stmt) {
        let kind = value.kind();
        let Some(run) = self.runs.last_mut() else { return };
        run.kinds.entry(path.to_owned()).or_default().join(&kind);
        run.templates.insert(path.to_owned(), (pieces.len(), value.clone()));
        let site = Site { path: path.to_owned(), pieces, value, span: stmt.span, id: Some(stmt.id) };
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
                        "a sample in an `expect` has no address: it needs a plain name",
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
                named(&whole.map(&mut |n| n.clone().with_kind(&kind)), &atom)
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
            let value = match &how {
                How::Density(trace) => match trace.get(field) {
                    Some(v) => {
                        self.fits(field, v, &target, trace.sampled, stmt.span);
                        v.clone()
                    }
                    None => Val::Unknown,
                },
                How::Type | How::Simulate | How::Draw => {
                    named(&target, &format!("{field}@{token}")).map(&mut |n| n.clone().with_kind(&kind))
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
    fn site(
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
        if matches!(target, Val::Unknown) && ty.is_none() {
            self.report(
                Diagnostic::error("E0204", stmt.span, format!("the type of `{path}` is not known"))
                    .label("the distribution has no support of its own")
                    .fix(format!("write it: `{path}: real ~ …`")),
            );
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
        let value = match &how {
            How::Type | How::Draw => named(&target, &atom),
            How::Simulate => {
                let kind = self.strategy(d, by, stmt, path, env);
                named(&target, &atom).map(&mut |n| n.clone().with_kind(&kind))
            }
            How::Density(trace) => match trace.get_path(path) {
                Some(value) => {
                    let rank = value_rank(value);
                    let want = pieces.len() + value_rank(&target);
                    if rank != want && !matches!(value, Val::Unknown) {
                        let (found, wanted) = (self.describe(value), self.describe(&target));
                        self.report(
                            Diagnostic::error(
                                "E0401",
                                stmt.span,
                                format!("`{path}` has another shape in the trace: {found}"),
                            )
                            .label(format!(
                                "{} of these: {wanted}",
                                if pieces.is_empty() { "one" } else { "an array" }
                            )),
                        );
                        Val::Unknown
                    } else {
                        let element = element_at(value, at);
                        self.fits(path, &element, &target, trace.sampled, stmt.span);
                        element
                    }
                }
                None => named(&target, &atom),
            },
        };
        self.score(d, &value, stmt.span);
        value
    }

    /// The type of a site that is narrower than its distribution's support.
    fn narrowed(&mut self, support: &Val, declared: &Val, ty_span: Span, span: Span) -> Val {
        match (support, declared) {
            (Val::Unknown, d) => {
                self.unnormalized(span, "its type is narrower than the support".to_owned());
                d.clone()
            }
            (Val::Num(s), Val::Num(d)) => {
                if s.base != d.base || s.dims.len() > d.dims.len() {
                    let (a, b) = (self.describe_num(s), self.describe_num(d));
                    self.report(
                        Diagnostic::error(
                            "E0204",
                            ty_span,
                            format!("the distribution is over {a}, which does not narrow to {b}"),
                        )
                        .label("declared here"),
                    );
                    return declared.clone();
                }
                // Trailing axes agree; a scalar distribution is repeated over the axes declared.
                let extra = d.dims.len() - s.dims.len();
                for (a, b) in d.dims[extra..].iter().zip(&s.dims) {
                    self.same_size(a, b, ty_span, "the declared shape and the distribution's");
                }
                if self.disjoint(d, s) {
                    let (a, b) = (self.describe_num(s), self.describe_num(d));
                    self.report(
                        Diagnostic::error("E0303", ty_span, format!("no value of {b} lies in the support {a}"))
                            .label("declared here"),
                    );
                }
                let wide = Num { dims: d.dims.clone(), ..s.clone() };
                if self.contained(&wide, d) != Some(true) {
                    let wanted = self.describe_num(d);
                    self.unnormalized(span, format!("the site is narrowed to {wanted}"));
                }
                Val::Num(d.clone())
            }
            (_, d) => d.clone(),
        }
    }

    pub fn unnormalized(&mut self, span: Span, why: String) {
        let Some(run) = self.runs.last_mut() else { return };
        let guide = run.is_guide;
        if run.unnormalized.is_none() {
            run.unnormalized = Some((span, why.clone()));
        }
        if guide {
            self.report(
                Diagnostic::error("E0306", span, format!("a guide must be normalized: {why}"))
                    .label("here")
                    .note("a type narrower than the distribution's support cuts the density off without rescaling it, which only a model may do")
                    .fix("choose a distribution whose support is the type wanted"),
            );
        }
    }

    /// A value of a trace against the support of the site that scores it.
    fn fits(&mut self, path: &str, value: &Val, target: &Val, sampled: Option<Span>, span: Span) {
        let (Val::Num(v), Val::Num(t)) = (value, target) else { return };
        let base_ok = v.base == t.base || (t.base == Base::Real && v.base == Base::Int);
        if !base_ok {
            let (a, b) = (self.describe_num(v), self.describe_num(t));
            self.report(
                Diagnostic::error("E0303", span, format!("`{path}` is {a} in the trace, but {b} here"))
                    .label("scored here")
                    .fix("the two distributions must be over one type"),
            );
            return;
        }
        for (a, b) in v.dims.iter().rev().zip(t.dims.iter().rev()) {
            self.same_size(a, b, span, &format!("`{path}` in the trace and here"));
        }
        match self.contained(v, t) {
            Some(true) => {}
            inside => {
                let (a, b) = (self.describe_num(v), self.describe_num(t));
                if self.disjoint(v, t) {
                    self.report(
                        Diagnostic::error(
                            "E0303",
                            span,
                            format!("`{path}` is {a} in the trace, never in the support {b}"),
                        )
                        .label("scored here"),
                    );
                    return;
                }
                let mut kind = v.kind.clone();
                if inside.is_none() {
                    for edge in [t.support.lower(), t.support.upper()].into_iter().flatten() {
                        kind.join(&edge.kind);
                    }
                }
                if !kind.is_free() {
                    let origin = self.origins[kind.0[0].0 as usize].clone();
                    let place = match origin.what {
                        OriginKind::Site { .. } => origin.span,
                        OriginKind::Param | OriginKind::Argument => span,
                    };
                    let mut d = Diagnostic::error("E0303", place, format!("the support of `{path}` here is {a}, which is not inside {b}"))
                        .label(format!("sampled on {a}"))
                        .note("outside the density is zero and its logarithm minus infinity: the gradient along the sample would miss the edge");
                    if place != span {
                        d = d.also(span, format!("scored here on {b}"));
                    }
                    let d = d.fix(format!("sample `{path}` from a distribution on {b}{}", self.suggest_support(t)));
                    self.blame(d, &kind);
                }
                return;
            }
        }
        if sampled.is_some() && self.contained(t, v) == Some(false) {
            let (a, b) = (self.describe_num(v), self.describe_num(t));
            self.report(
                Diagnostic::warning(
                    "W0301",
                    span,
                    format!("the guide covers less than the model: `{path}` is {a} there, {b} here"),
                )
                .label(format!("the model gives weight to all of {b}"))
                .note("what the guide never samples is left out of the approximation"),
            );
        }
    }

    /// Names of library distributions are not known here; those that are loaded with this support are.
    fn suggest_support(&mut self, wanted: &Num) -> String {
        let mut names: Vec<String> = Vec::new();
        if self.mute > 0 {
            return String::new();
        }
        self.loaded.whole_folder("distributions/");
        for id in 0..self.loaded.items.items.len() {
            let entry = &self.loaded.items.items[id];
            let (item, module) = (entry.item.clone(), entry.module);
            let ItemKind::Dist(d) = &item.kind else { continue };
            if !d.params.iter().all(|p| {
                p.ty.as_ref().is_some_and(
                    |t| matches!(&t.kind, crate::syntax::tree::TypeKind::Named { name, .. } if name.text == "real"),
                )
            }) {
                continue;
            }
            let mut env = Env::new(module, Mode::Pure);
            env.open = d.sizes.iter().map(|s| s.text.clone()).collect();
            for p in &d.params {
                env.bind(&p.name.text, Val::Unknown);
            }
            let (support, errors) = self.quietly(|c| c.resolve(&d.support, &mut env));
            if let Val::Num(s) = support
                && errors == 0
                && s.base == wanted.base
                && s.support == wanted.support
                && s.dims.len() == wanted.dims.len()
            {
                names.push(format!("`{}`", d.name.text));
            }
        }
        names.sort();
        names.truncate(4);
        if names.is_empty() { String::new() } else { format!(", e.g. {}", names.join(", ")) }
    }

    /// Adds the log density of a value: evaluated for its checks, and for what it depends on.
    fn score(&mut self, d: &Rc<DistVal>, value: &Val, span: Span) {
        let mut kind = Val::Dist(d.clone()).kind();
        kind.join(&value.kind());
        if d.item.is_some() && !matches!(self.how(), Some(How::Draw)) {
            let owner = Val::Dist(d.clone());
            if !self.has_member(&owner, "log_prob") {
                self.report(
                    Diagnostic::error("E0310", span, format!("`{}` has no density", d.name))
                        .label("scored here")
                        .note("a point mass can be sampled, but its density cannot be compared with that of other distributions")
                        .fix("use it only with objectives that do not use this function's density"),
                );
            } else {
                let element = if d.batch.is_empty() { value.clone() } else { element_of_batch(value, d.batch.len()) };
                let env = Env::new(self.loaded.main, Mode::Pure);
                self.own_member(&owner, "log_prob", vec![element], span, &env);
            }
        }
        if let Some(run) = self.runs.last_mut() {
            run.density.join(&kind);
        }
    }

    /// `addr ~ child(args)`: its addresses nest; the binding is its return value.
    fn child(&mut self, g: &Rc<GenVal>, name: &str, pieces: &[Piece], at: &[Poly], stmt: &Stmt) {
        let how = match self.how().cloned().unwrap_or(How::Type) {
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
        let Some(outcome) = self.run_gen(&child, how) else {
            self.mark_unknown();
            if let Some(run) = self.runs.last_mut() {
                run.bindings.push(Site {
                    path: name.to_owned(),
                    pieces: pieces.to_vec(),
                    value: Val::Unknown,
                    span: stmt.span,
                    id: None,
                });
            }
            return;
        };
        let Some(run) = self.runs.last_mut() else { return };
        let token = run.token;
        run.density.join(&outcome.run.density);
        if run.unnormalized.is_none() {
            run.unnormalized = outcome.run.unnormalized.clone();
        }
        run.observed.extend(outcome.run.observed.clone());
        if outcome.run.later.iter().any(|(n, _)| n == "?") {
            run.later.push(("?".to_owned(), Span::default()));
        }
        let guide_observes = run.is_guide && (outcome.run.unnormalized.is_some());
        for entry in &outcome.entries {
            let path = if name.is_empty() { entry.path.clone() } else { format!("{name}.{}", entry.path) };
            let whole: Vec<Piece> = pieces
                .iter()
                .cloned()
                .chain(entry.axes.iter().zip(&entry.names).map(|(a, n)| Piece {
                    from: Poly::default(),
                    to: a.clone(),
                    name: n.clone(),
                }))
                .collect();
            // The child's addresses are known here by the parent's names.
            let element = rename_token(&entry.element, outcome.run.token, token);
            let kind = element.kind();
            run.kinds.entry(path.clone()).or_default().join(&kind);
            run.templates.insert(path.clone(), (whole.len(), element.clone()));
            let site = Site { path, pieces: whole, value: element, span: stmt.span, id: None };
            run.sites.push(site.clone());
            if name.is_empty() {
                run.bindings.push(Site { span: entry.span, ..site.clone() });
            }
            if let Some(last) = run.sites.last_mut()
                && name.is_empty()
            {
                last.span = entry.span;
            }
        }
        if !name.is_empty() {
            let value = match outcome.result {
                Val::Unit => Val::Record(Record::default()),
                other => rename_token(&other, outcome.run.token, token),
            };
            run.templates.insert(name.to_owned(), (pieces.len(), value.clone()));
            run.bindings.push(Site {
                path: name.to_owned(),
                pieces: pieces.to_vec(),
                value,
                span: stmt.span,
                id: None,
            });
        }
        if guide_observes && let Some((span, why)) = outcome.run.unnormalized {
            self.report(
                Diagnostic::error("E0407", stmt.span, "a guide may not observe")
                    .label("this calls what is not normalized")
                    .also(span, why),
            );
        }
    }

    pub fn observe(&mut self, stmt: &Stmt, value: &Expr, dist: &Expr, env: &mut Env) {
        let v = self.expr(value, env);
        let d = self.expr(dist, env);
        if !self.generative_only(stmt.span, "`observe`", env) {
            return;
        }
        let name = super::expression::address_path(value).unwrap_or_default();
        if let Some(run) = self.runs.last_mut() {
            if !name.is_empty() {
                run.observed.push((name, stmt.span));
            }
            if run.unnormalized.is_none() {
                run.unnormalized = Some((stmt.span, "it observes here".to_owned()));
            }
        }
        let d = match d {
            Val::Dist(d) => d,
            Val::Unknown => return,
            other => return self.not_sampled(&other, dist.span),
        };
        let target = with_batch(&d.event, &d.batch);
        if let (Val::Num(n), Val::Num(t)) = (&v, &target) {
            let present = Num { optional: false, ..n.clone() };
            let base_ok = n.base == t.base || (t.base == Base::Real && n.base == Base::Int);
            let (found, wanted) = (self.describe_num(&present), self.describe_num(t));
            if !base_ok {
                let mut report = Diagnostic::error(
                    "E0204",
                    value.span,
                    format!("{found} is observed with a distribution over {wanted}"),
                )
                .label(format!("this is {found}"))
                .also(dist.span, format!("over {wanted}"));
                if t.base == Base::Int && n.base == Base::Real {
                    report = report.fix("declare the data as `int`");
                }
                return self.report(report);
            }
            if n.dims.len() != t.dims.len() {
                return self.report(
                    Diagnostic::error("E0210", value.span, format!("{found} is observed with a distribution over {wanted}"))
                        .label(format!("this is {found}"))
                        .also(dist.span, format!("over {wanted}"))
                        .fix("give the distribution arguments of the observed shape, or observe element by element in a loop"),
                );
            }
            for (a, b) in n.dims.iter().zip(&t.dims) {
                if !self.same_size(a, b, value.span, "the observed value and the distribution") {
                    return;
                }
            }
            if self.contained(&present, t) != Some(true) {
                if self.disjoint(&present, t) {
                    self.report(
                        Diagnostic::error("E0303", value.span, format!("{found} is never in the support {wanted}"))
                            .label("observed here"),
                    );
                    return;
                }
                let mut kind = present.kind.clone();
                for edge in [t.support.lower(), t.support.upper()].into_iter().flatten() {
                    kind.join(&edge.kind);
                }
                if !kind.is_free() {
                    let origin = self.origins[kind.0[0].0 as usize].clone();
                    let report = Diagnostic::error("E0304", stmt.span, format!("the support {wanted} moves with `{}`", origin.name))
                        .label(format!("{found} may lie on either side of its edge"))
                        .also(origin.span, format!("`{}` comes from here", origin.name))
                        .note("the density jumps where the edge passes an observed value, which its derivative does not see")
                        .fix("declare bounds of the data that lie inside the support, or use a distribution with a fixed support");
                    self.blame(report, &kind);
                }
            }
            self.score(&d, &Val::Num(present), stmt.span);
            return;
        }
        self.score(&d, &v, stmt.span);
    }

    pub fn factor(&mut self, stmt: &Stmt, value: &Expr, env: &mut Env) {
        let v = self.expr(value, env);
        if !self.generative_only(stmt.span, "`factor`", env) {
            return;
        }
        if let Some(n) = self.want_num(&v, value.span, env) {
            if !n.dims.is_empty() || n.base == Base::Bool {
                let found = self.describe_num(&n);
                self.report(
                    Diagnostic::error("E0204", value.span, format!("`factor` takes a real, not {found}"))
                        .label(format!("this is {found}"))
                        .fix("`factor sum(…)`"),
                );
            }
            if let Some(run) = self.runs.last_mut() {
                run.density.join(&n.kind);
            }
        }
        if let Some(run) = self.runs.last_mut()
            && run.unnormalized.is_none()
        {
            run.unnormalized = Some((stmt.span, "it has a `factor` here".to_owned()));
        }
    }

    fn generative_only(&mut self, span: Span, what: &str, env: &Env) -> bool {
        if env.mode != Mode::Generative {
            self.report(Diagnostic::error("E0408", span, format!("{what} must stand in a model")).label("not here"));
            return false;
        }
        if self.runs.last().is_some_and(|r| r.is_guide) {
            self.report(
                Diagnostic::error("E0407", span, format!("a guide has no {what}"))
                    .label("in a guide")
                    .note("a guide is a normalized distribution over the model's latents")
                    .fix("write it in the model"),
            );
            return false;
        }
        true
    }

    /// How many indices an address takes; `None`: it is not one (yet).
    pub fn address_arity(&self, path: &str) -> Option<usize> {
        let run = self.runs.last()?;
        run.bindings
            .iter()
            .find(|b| b.path == path)
            .map(|b| b.pieces.len())
            .or_else(|| run.templates.get(path).map(|(n, _)| *n))
    }

    /// The value of an address, at indices or as a whole. `None`: there is no such address.
    pub fn address(&mut self, path: &str, at: &[Num], span: Span) -> Option<Val> {
        let run = self.runs.last()?;
        let sites: Vec<Site> = run.bindings.iter().filter(|b| b.path == path).cloned().collect();
        let token = run.token;
        let kind = run.kinds.get(path).cloned().unwrap_or_default();
        if sites.is_empty() {
            if let (Some((arity, template)), false) = (run.templates.get(path).cloned(), at.is_empty())
                && arity == at.len()
            {
                // Sampled further down in this loop: an earlier iteration's value.
                let current = run
                    .loops
                    .iter()
                    .any(|l| at.iter().any(|n| n.sym.as_ref().and_then(Poly::as_atom) == Some(&l.atom)));
                let every = at.iter().all(|n| {
                    n.sym.as_ref().and_then(Poly::as_atom).is_some_and(|a| run.loops.iter().any(|l| l.atom == a))
                });
                if !(current && every) {
                    return Some(add_kind(&template, &kind));
                }
            }
            let (_, later) = run.later.iter().find(|(n, _)| n == path).cloned()?;
            if later.start <= span.start && later.file == span.file && run.templates.contains_key(path) {
                return Some(Val::Unknown);
            }
            if at.is_empty() && self.loaded.items.resolve(self.loaded.main, path).is_some() {
                return None;
            }
            if self.mute > 0 && run.templates.is_empty() && !at.is_empty() {
                return Some(Val::Unknown);
            }
            self.report(
                Diagnostic::error("E0409", span, format!("`{path}` is read before it is sampled"))
                    .label("read here")
                    .also(later, "sampled here")
                    .fix("move the sample statement up"),
            );
            return Some(Val::Unknown);
        }
        let arity = sites[0].pieces.len();
        let mut element = sites[0].value.clone();
        for other in &sites[1..] {
            let (joined, _) = self.quietly(|c| c.join(&element, &other.value, span));
            element = joined;
        }
        element = add_kind(&element, &kind);
        let base = match &sites[0].value {
            Val::Num(n) => match n.sym.as_ref().and_then(Poly::as_atom) {
                Some(a) => a.split('[').next().unwrap_or(a).to_owned(),
                None => format!("{path}@{token}"),
            },
            _ => format!("{path}@{token}"),
        };
        if arity == 0 {
            return Some(element);
        }
        if at.len() >= arity {
            let mut inner = Vec::new();
            for n in at {
                inner.push(self.sym(n).print());
            }
            return Some(renamed(&element, &format!("{base}[{}]", inner.join(", "))));
        }
        let refs: Vec<&Site> = sites.iter().collect();
        match self.tile(&refs) {
            Ok(axes) => Some(renamed(&with_batch(&element, &axes), &base)),
            Err(_) => {
                self.report(
                    Diagnostic::error(
                        "E0409",
                        span,
                        format!("`{path}` is read as a whole before all of it is sampled"),
                    )
                    .label("read here")
                    .also(sites[0].span, "a piece is sampled here"),
                );
                Some(Val::Unknown)
            }
        }
    }

    /// Takes off what was sampled since the marks.
    pub fn split_run(&mut self, marks: (usize, usize)) -> (Vec<Site>, Vec<Site>) {
        match self.runs.last_mut() {
            Some(run) => {
                let sites = run.sites.split_off(marks.0.min(run.sites.len()));
                let bindings = run.bindings.split_off(marks.1.min(run.bindings.len()));
                (sites, bindings)
            }
            None => (Vec::new(), Vec::new()),
        }
    }

    /// Puts what two branches sampled together: an address must be in both.
    pub fn merge_branches(
        &mut self,
        then: (Vec<Site>, Vec<Site>),
        otherwise: (Vec<Site>, Vec<Site>),
        condition: &Expr,
    ) {
        for (which, (a, b)) in [(then.0, otherwise.0), (then.1, otherwise.1)].into_iter().enumerate() {
            let mut rest = b;
            for site in a {
                let twin = rest.iter().position(|o| {
                    o.path == site.path
                        && o.pieces.len() == site.pieces.len()
                        && o.pieces.iter().zip(&site.pieces).all(|(x, y)| x.from == y.from && x.to == y.to)
                });
                let Some(twin) = twin else {
                    if which == 0 {
                        self.optional_address(&site, condition);
                    } else if let Some(run) = self.runs.last_mut() {
                        run.bindings.push(Site { value: Val::Unknown, ..site });
                    }
                    continue;
                };
                let other = rest.remove(twin);
                let (joined, errors) = self.quietly(|c| c.join(&site.value, &other.value, other.span));
                let same = match (&site.value, &other.value) {
                    (Val::Num(x), Val::Num(y)) => x.base == y.base && errors == 0,
                    _ => errors == 0,
                };
                if !same && which == 0 {
                    let (x, y) = (self.describe(&site.value), self.describe(&other.value));
                    self.report(
                        Diagnostic::error(
                            "E0410",
                            other.span,
                            format!("`{}` has another type in this branch: {y}", site.path),
                        )
                        .label(y)
                        .also(site.span, x),
                    );
                }
                if let Some(run) = self.runs.last_mut() {
                    let merged = Site { value: joined, ..site };
                    if which == 0 {
                        run.sites.push(merged);
                    } else {
                        run.bindings.push(merged);
                    }
                }
            }
            for site in rest {
                if which == 0 {
                    self.optional_address(&site, condition);
                } else if let Some(run) = self.runs.last_mut() {
                    run.bindings.push(Site { value: Val::Unknown, ..site });
                }
            }
        }
    }

    fn optional_address(&mut self, site: &Site, condition: &Expr) {
        self.mark_unknown();
        self.report(
            Diagnostic::error(
                "E0290",
                site.span,
                format!("the address `{}` in one branch only is not supported yet", site.path),
            )
            .label("sampled only here")
            .also(condition.span, "under this condition")
            .fix("sample it in both branches"),
        );
    }

    /// The trace type as users read it.
    pub fn trace_text(&self, entries: &[Entry]) -> String {
        let fields: Vec<String> = entries.iter().map(|e| format!("{}: {}", e.path, self.describe(&e.value))).collect();
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

pub fn value_rank(value: &Val) -> usize {
    match value {
        Val::Num(n) => n.dims.len(),
        _ => 0,
    }
}

/// The value at these leading indices.
pub fn element_at(value: &Val, at: &[Poly]) -> Val {
    if at.is_empty() {
        return value.clone();
    }
    let inner: Vec<String> = at.iter().map(Poly::print).collect();
    let inner = inner.join(", ");
    value.map(&mut |n| Num {
        dims: n.dims.get(at.len()..).unwrap_or_default().to_vec(),
        sym: n.sym.as_ref().and_then(Poly::as_atom).map(|a| Poly::atom(&format!("{a}[{inner}]"))),
        ..n.clone()
    })
}

fn element_of_batch(value: &Val, axes: usize) -> Val {
    if leading_dim(value, axes.saturating_sub(1)).is_some() { strip(value, axes) } else { value.clone() }
}

fn add_kind(value: &Val, kind: &Kind) -> Val {
    if kind.is_free() {
        return value.clone();
    }
    value.map(&mut |n| {
        let mut joined = n.kind.clone();
        joined.join(kind);
        Num { kind: joined, ..n.clone() }
    })
}

fn renamed(value: &Val, atom: &str) -> Val {
    match value {
        Val::Num(_) => named(value, atom),
        other => other.clone(),
    }
}

fn substitute_bounds(value: &Val, by: &[(String, Poly)]) -> Val {
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

/// Addresses of one run get the mark of another.
fn rename_token(value: &Val, from: u32, to: u32) -> Val {
    let old = format!("@{from}");
    let new = format!("@{to}");
    let change = |p: &Poly| {
        if !p.mentions(&old) {
            return p.clone();
        }
        let atoms: Vec<String> = p.atoms().filter(|a| a.contains(&old)).map(str::to_owned).collect();
        let mut out = p.clone();
        for a in atoms {
            let changed = retoken(&a, &old, &new);
            out = out.substitute(&a, &Poly::atom(&changed));
        }
        out
    };
    value.map(&mut |n| {
        let support = match &n.support {
            Support::Interval { lower, upper } => {
                let edge = |e: &Option<super::value::Edge>| {
                    e.as_ref().map(|e| super::value::Edge { value: change(&e.value), kind: e.kind.clone() })
                };
                Support::Interval { lower: edge(lower), upper: edge(upper) }
            }
            Support::Shape(s) => Support::Shape(*s),
        };
        Num { sym: n.sym.as_ref().map(&change), support, ..n.clone() }
    })
}

fn retoken(text: &str, old: &str, new: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(old) {
        let end = at + old.len();
        let longer = rest[end..].starts_with(|c: char| c.is_ascii_digit());
        out.push_str(&rest[..at]);
        out.push_str(if longer { old } else { new });
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}
