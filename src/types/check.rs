//! Checking a program: every item of the user's alone, then every `fit`, with strategies chosen for sites that name none.

use super::annotation::{Purpose, named};
use super::context::{Checker, How, OriginKind};
use super::load::{Command, World, load};
use super::poly::Poly;
use super::program::{Checked, ItemId, ModuleId};
use super::value::{Base, BijectorVal, DistVal, Env, GenForm, GenVal, Kind, Mode, Num, Support, Val};
use crate::base::source::Span;
use crate::diagnostic::{Diagnostic, Severity, has_errors};
use crate::syntax::tree::{
    BijectorItem, DistItem, Expr, ExprKind, FitLine, Item, ItemKind, Name, NodeId, Param, TypeExpr,
};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

/// Rounds of choosing strategies; each rejects at least one choice.
const ROUNDS: usize = 40;
/// Deep expressions nest deep calls of the checker.
const STACK: usize = 256 << 20;

/// Reads and checks a program. All diagnostics; no `Checked` if one is an error.
pub fn check(name: &str, text: &str, world: &dyn World) -> (Option<Checked>, Vec<Diagnostic>) {
    let (checked, diagnostics, _) = check_with_sources(name, text, world);
    (checked, diagnostics)
}

/// [`check`], with the files that the diagnostics' spans refer to.
pub fn check_with_sources(
    name: &str,
    text: &str,
    world: &dyn World,
) -> (Option<Checked>, Vec<Diagnostic>, Arc<crate::base::source::Sources>) {
    check_with_command(name, text, world, None)
}

/// The same with an expression that is checked as part of the file; [`Checked::command`] holds it.
pub fn check_with_command(
    name: &str,
    text: &str,
    world: &dyn World,
    command: Option<Command<'_>>,
) -> (Option<Checked>, Vec<Diagnostic>, Arc<crate::base::source::Sources>) {
    let loaded = load(name, text, world, command);
    let work = move || {
        let mut checker = Checker::new(loaded);
        let checked = checker.program();
        (checked, std::mem::take(&mut checker.output), Arc::new(std::mem::take(&mut checker.loaded.sources)))
    };
    let done = std::thread::scope(|scope| {
        std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work).map(std::thread::ScopedJoinHandle::join)
    });
    match done {
        Ok(Ok((checked, diagnostics, sources))) => {
            let checked = checked.map(|c| Checked { sources: sources.clone(), ..c });
            (checked, diagnostics, sources)
        }
        _ => {
            let d = Diagnostic::bare("E0299", "the checker failed on this program")
                .note("this is a defect of the compiler, not of the program");
            (None, vec![d], Arc::default())
        }
    }
}

/// Trace types, kinds and decisions as text.
pub fn print_types(checked: &Checked) -> String {
    checked.types.clone()
}

impl Checker {
    fn program(&mut self) -> Option<Checked> {
        self.find_recursion();
        self.data_ranges();
        let derived = self.derive_guides();
        let early: Vec<_> = self.findings.drain(..).collect();
        let early_found = self.found.clone();
        for _ in 0..ROUNDS {
            self.findings.clear();
            self.found = early_found.clone();
            self.obligations.clear();
            self.bound_tests.clear();
            self.strategies.clear();
            self.alternatives.clear();
            self.biased.clear();
            self.globals.clear();
            self.check_items();
            if !self.reject_choices() {
                break;
            }
        }
        let substitutes = self.substitutes();
        let trained = self.trained();
        let mut diagnostics = std::mem::take(&mut self.loaded.diagnostics);
        diagnostics.extend(early.into_iter().map(|f| f.diagnostic));
        diagnostics.extend(self.findings.drain(..).map(|f| f.diagnostic));
        diagnostics
            .sort_by_key(|d| (d.primary.as_ref().map(|p| (p.span.file, p.span.start)), std::cmp::Reverse(d.severity)));
        let failed = has_errors(&diagnostics);
        self.output = diagnostics;
        if failed {
            return None;
        }
        let types = self.print(&derived);
        Some(Checked {
            sources: Arc::default(),
            items: self.loaded.items.clone(),
            main: self.loaded.main,
            strategies: self.strategies.clone(),
            alternatives: self.alternatives.clone(),
            reasons: self.reasons.clone(),
            derived_guides: derived,
            substitutes,
            trained,
            biased: self.biased.keys().cloned().collect(),
            obligations: self.obligations.values().cloned().collect(),
            bound_tests: self.bound_tests.clone(),
            types,
            command: self.loaded.command.as_ref().map(|c| c.0.clone()),
        })
    }

    /// Sites whose chosen strategy an error blames get the next one. False if there is none.
    fn reject_choices(&mut self) -> bool {
        let mut changed = false;
        let blamed: Vec<(NodeId, String, String)> = self
            .findings
            .iter()
            .filter(|f| f.diagnostic.severity == Severity::Error)
            .flat_map(|f| f.blames.iter().map(|o| (o, f.diagnostic.message.clone())))
            .filter_map(|(o, message)| match &self.origins[o.0 as usize].what {
                OriginKind::Site { id, chosen: true, strategy, .. } => Some((*id, strategy.clone(), message)),
                _ => None,
            })
            .collect();
        for (id, strategy, message) in blamed {
            if self.stuck.contains(&id) {
                continue;
            }
            self.not_possible(id, &strategy, message);
            *self.rejected.entry(id).or_insert(0) += 1;
            changed = true;
        }
        changed
    }

    /// Functions that call themselves, directly or through others.
    fn find_recursion(&mut self) {
        let mut calls: HashMap<ItemId, Vec<ItemId>> = HashMap::new();
        for (at, entry) in self.loaded.items.items.iter().enumerate() {
            if self.module_library(entry.module) {
                continue;
            }
            let params: &[Param] = match &entry.item.kind {
                ItemKind::Fn(f) => &f.params,
                ItemKind::Gen(g) => &g.params,
                ItemKind::Objective(o) => &o.params,
                ItemKind::Const { .. } | ItemKind::GuideAlias { .. } => &[],
                _ => continue,
            };
            let text = self.loaded.sources.text(entry.item.span);
            let mut callees = Vec::new();
            for word in called(text) {
                if params.iter().any(|p| p.name.text == word) {
                    continue;
                }
                if let Some(id) = self.loaded.items.resolve(entry.module, word)
                    && matches!(
                        self.loaded.items.item(id).kind,
                        ItemKind::Fn(_) | ItemKind::Gen(_) | ItemKind::Objective(_)
                    )
                {
                    let own = super::load::item_name(&entry.item).is_some_and(|n| n.text == word);
                    // The item's own head, `fn f(…)`, is not a call.
                    if own && called(text).filter(|w| *w == word).nth(1).is_none() {
                        continue;
                    }
                    callees.push(id);
                }
            }
            calls.insert(ItemId(u32::try_from(at).unwrap_or(u32::MAX)), callees);
        }
        let mut starts: Vec<ItemId> = calls.keys().copied().collect();
        starts.sort();
        for start in starts {
            if self.recursive.contains(&start) {
                continue;
            }
            let mut path = vec![start];
            let mut seen = vec![start];
            if cycle(start, &calls, &mut path, &mut seen) {
                let names: Vec<String> = path
                    .iter()
                    .chain([&start])
                    .filter_map(|id| {
                        super::load::item_name(self.loaded.items.item(*id)).map(|n| format!("`{}`", n.text))
                    })
                    .collect();
                let span = super::load::item_name(self.loaded.items.item(start)).map_or(Span::default(), |n| n.span);
                let mut d = Diagnostic::error("E0206", span, format!("recursion: {}", names.join(" calls ")))
                    .label("calls itself")
                    .note("there is no recursion in this language")
                    .fix("write a loop");
                for other in &path[1..] {
                    if let Some(n) = super::load::item_name(self.loaded.items.item(*other)) {
                        d = d.also(n.span, "through this one");
                    }
                }
                self.recursive.extend(path);
                self.report(d);
            }
        }
    }

    /// What the bounds of integer data say about sizes.
    fn data_ranges(&mut self) {
        for at in 0..self.loaded.items.items.len() {
            let entry = self.loaded.items.items[at].clone();
            if let ItemKind::Data { name, ty, .. } = &entry.item.kind {
                let mut env = Env::new(entry.module, Mode::Pure);
                let (value, _) = self.quietly(|c| c.resolve(ty, &mut env));
                if let Val::Num(n) = value
                    && n.dims.is_empty()
                    && n.base == Base::Int
                {
                    let low = n.support.lower().map_or(f64::NEG_INFINITY, |e| self.range(&e.value).0);
                    let high = n.support.upper().map_or(f64::INFINITY, |e| self.range(&e.value).1);
                    self.ranges.insert(name.text.clone(), (low, high));
                }
                // An int that is a size is not negative.
                let mut sizes = Vec::new();
                size_names(ty, &mut sizes);
                for size in sizes {
                    let range = self.ranges.entry(size).or_insert((f64::NEG_INFINITY, f64::INFINITY));
                    range.0 = range.0.max(0.0);
                }
            }
        }
    }

    /// The value of `data`, `const` or `param`.
    pub fn global(&mut self, id: ItemId, frozen: bool) -> Val {
        let item = self.loaded.items.item(id).clone();
        let module = self.loaded.items.module_of(id);
        if let Some(value) = self.globals.get(&id) {
            if frozen && matches!(item.kind, ItemKind::Param { .. }) {
                return self.freed(&value.clone());
            }
            return value.clone();
        }
        // A cycle ends here.
        self.globals.insert(id, Val::Unknown);
        let mut env = Env::new(module, Mode::Pure);
        let value = match &item.kind {
            ItemKind::Data { name, ty, .. } => named(&self.resolve(ty, &mut env), &name.text),
            ItemKind::Const { name, ty, value } => {
                env.mode = Mode::Sampler;
                let place = value.span;
                let want = ty.as_ref().and_then(|ty| self.wanted(ty, &mut env));
                let mut value = self.expr_as(value, want, &mut env);
                if let Some(ty) = ty {
                    value = self.conform(
                        ty,
                        &value,
                        &mut env,
                        Purpose { what: &format!("`{}`", name.text), span: place },
                        None,
                    );
                }
                match &value {
                    // What it is made of says more than its name.
                    Val::Num(n) if n.dims.is_empty() && n.sym.as_ref().is_some_and(Poly::printable) => value,
                    other => named(other, &name.text),
                }
            }
            ItemKind::Param { name, ty, tuned, .. } => {
                let value = named(&self.resolve(ty, &mut env), &name.text);
                if *tuned {
                    value
                } else {
                    let kind = Kind::of(self.origin(OriginKind::Param, &name.text, name.span));
                    value.map(&mut |n| if n.base == Base::Real { n.clone().with_kind(&kind) } else { n.clone() })
                }
            }
            _ => Val::Unknown,
        };
        self.globals.insert(id, value.clone());
        if frozen && matches!(item.kind, ItemKind::Param { .. }) { self.freed(&value) } else { value }
    }

    fn check_items(&mut self) {
        for at in 0..self.loaded.items.items.len() {
            let entry = self.loaded.items.items[at].clone();
            let id = ItemId(u32::try_from(at).unwrap_or(u32::MAX));
            if self.module_library(entry.module) || self.recursive.contains(&id) || self.poisoned.contains(&id) {
                continue;
            }
            self.check_item(id, &entry.item, entry.module);
        }
        if let Some((expr, objective)) = self.loaded.command.clone() {
            let mode = if objective { Mode::Pure } else { Mode::Sampler };
            let mut env = Env::new(self.loaded.main, mode);
            if objective {
                self.check_objective(&expr, &mut env);
            } else {
                self.expr(&expr, &mut env);
            }
        }
    }

    fn check_item(&mut self, id: ItemId, item: &Item, module: ModuleId) {
        let mut env = Env::new(module, Mode::Pure);
        match &item.kind {
            ItemKind::Data { name, default, ty } => {
                self.global(id, false);
                if let Some(default) = default {
                    let value = self.expr(default, &mut env);
                    let what = format!("the default of `{}`", name.text);
                    self.conform(ty, &value, &mut env, Purpose { what: &what, span: default.span }, None);
                }
            }
            ItemKind::Const { .. } => {
                self.global(id, false);
            }
            ItemKind::Param { name, ty, init, .. } => {
                self.global(id, false);
                env.mode = Mode::Sampler;
                let want = self.wanted(ty, &mut env);
                let value = self.expr_as(init, want, &mut env);
                let what = format!("the initial value of `{}`", name.text);
                self.conform(ty, &value, &mut env, Purpose { what: &what, span: init.span }, None);
            }
            ItemKind::Plate { .. } => {
                self.item_value(id, item.span, &env);
            }
            ItemKind::Type { sizes, fields, .. } => {
                self.assumed_sizes(sizes, &mut env);
                for (_, ty) in fields {
                    self.resolve(ty, &mut env);
                }
            }
            ItemKind::Fn(f) => {
                self.assumed_params(&f.sizes, &f.params, &mut env, false);
                self.want = f.result.as_ref().and_then(|ty| self.wanted(ty, &mut env));
                let value = self.block(&f.body, &mut env);
                if let Some(ty) = &f.result {
                    let what = format!("the result of `{}`", f.name.text);
                    let span = f.body.value.as_ref().map_or(f.body.span, |v| v.span);
                    self.conform(ty, &value, &mut env, Purpose { what: &what, span }, None);
                }
            }
            ItemKind::Gen(g) => {
                self.assumed_params(&g.sizes, &g.params, &mut env, false);
                let (sizes, args) = super::call::split_bindings(&env, &g.sizes, &g.params);
                let value = GenVal { form: GenForm::Item { id, args, sizes }, frozen: false, span: g.name.span };
                self.run_gen(&value, if g.is_model { How::Type } else { How::Simulate });
            }
            ItemKind::GuideAlias { value, .. } => {
                let found = self.expr(value, &mut env);
                if let Val::Gen(g) = &found {
                    self.run_gen(g, How::Type);
                }
                if !matches!(found, Val::Gen(_) | Val::Unknown) {
                    let found = self.describe(&found);
                    self.report(
                        Diagnostic::error(
                            "E0204",
                            value.span,
                            format!("a guide is a generative function, not {found}"),
                        )
                        .label(format!("this is {found}")),
                    );
                }
            }
            ItemKind::Dist(d) => self.check_dist(id, d),
            ItemKind::Bijector(b) => self.check_bijector(id, b, &mut env),
            ItemKind::Family { name, sizes, params, at_mode, body } => {
                if *at_mode && !super::derived::gaussian(params) {
                    self.report(
                        Diagnostic::error(
                            "E0204",
                            name.span,
                            "a family `at mode` has a location and a scale, which the mode and the curvature there give",
                        )
                        .label("has other parameters")
                        .fix("`(location: real[n] = zeros(n), scale: cholesky_cov[n] = identity(n))`"),
                    );
                }
                self.assumed_params(sizes, params, &mut env, false);
                for p in params {
                    if let Some(default) = &p.default {
                        self.expr(default, &mut env);
                    }
                }
                let value = self.expr(body, &mut env);
                if !matches!(value, Val::Dist(_) | Val::Unknown) {
                    let found = self.describe(&value);
                    self.report(
                        Diagnostic::error("E0204", body.span, format!("a family is a distribution, not {found}"))
                            .label(found.clone()),
                    );
                }
            }
            ItemKind::Strategy(s) => self.check_strategy(s, module, None),
            ItemKind::Objective(o) => {
                self.assumed_params(&o.sizes, &o.params, &mut env, false);
                if let Some(e) = &o.estimates {
                    self.expr(e, &mut env);
                }
                self.conditions(o, o.name.span, &mut env);
                let value = self.expr(&o.body, &mut env);
                let fine = matches!(&value, Val::Num(n) if n.dims.is_empty() && n.base != Base::Bool)
                    || matches!(value, Val::Unknown);
                if !fine {
                    let found = self.describe(&value);
                    self.report(
                        Diagnostic::error("E0204", o.body.span, format!("an objective is an estimate, not {found}"))
                            .label(found.clone()),
                    );
                }
            }
            ItemKind::Fit { lines } => {
                for line in lines {
                    self.check_objective(&line.objective, &mut env);
                    self.check_settings(line, &mut env);
                }
            }
            ItemKind::Test { body, .. } => {
                self.block(body, &mut env);
            }
            ItemKind::Use { .. } | ItemKind::Prefer { .. } => {}
            ItemKind::SupportBijector { .. } => {}
        }
    }

    /// What is fitted, or differentiated: a number.
    fn check_objective(&mut self, objective: &Expr, env: &mut Env) {
        let value = self.expr(objective, env);
        match &value {
            Val::Num(n) if n.dims.is_empty() && n.base != Base::Bool => {}
            Val::Unknown => {}
            Val::Fn(_) => self.report(
                Diagnostic::error("E0204", objective.span, "an objective needs its arguments")
                    .label("a function")
                    .fix(format!("`fit {}(model(), q)`", self.text_of(objective.span))),
            ),
            other => {
                let found = self.describe(other);
                self.report(
                    Diagnostic::error("E0204", objective.span, format!("`fit` takes an estimate, not {found}"))
                        .label(format!("this is {found}")),
                );
            }
        }
    }

    fn text_of(&self, span: Span) -> String {
        self.loaded.sources.text(span).to_owned()
    }

    fn assumed_sizes(&mut self, sizes: &[Name], env: &mut Env) {
        for s in sizes {
            let size = Num { support: Support::interval(Some(0.0), None), ..Num::size(Poly::atom(&s.text)) };
            env.bind(&s.text, Val::Num(size));
        }
    }

    /// Binds parameters to what their types allow.
    pub fn assumed_params(&mut self, sizes: &[Name], params: &[Param], env: &mut Env, smooth: bool) {
        self.assumed_sizes(sizes, env);
        for p in params {
            let value = match &p.ty {
                Some(ty) => self.assumed(ty, &p.name, env, smooth),
                None => Val::Unknown,
            };
            if let (Some(default), Some(ty)) = (&p.default, &p.ty) {
                let found = self.expr(default, env);
                let what = format!("the default of `{}`", p.name.text);
                self.conform(ty, &found, env, Purpose { what: &what, span: default.span }, None);
            }
            env.bind(&p.name.text, value);
        }
    }

    fn assumed(&mut self, ty: &TypeExpr, name: &Name, env: &mut Env, smooth: bool) -> Val {
        // A size name may be a type variable (`gen<T>`): then nothing is known.
        let mut value = named(&self.resolve(ty, env), &name.text);
        // Estimates given apart are taken to share nothing; each call is checked with those it gives.
        if let Val::Num(n) = &mut value
            && n.estimate.as_ref().is_some_and(Vec::is_empty)
        {
            n.estimate = Some(vec![self.fresh()]);
        }
        if !smooth {
            return value;
        }
        let kind = Kind::of(self.origin(OriginKind::Argument, &name.text, name.span));
        value.map(&mut |n| if n.base == Base::Real { n.clone().with_kind(&kind) } else { n.clone() })
    }

    /// A distribution with arguments of which only the types are known.
    pub fn assumed_dist(&mut self, id: ItemId, span: Span) -> Option<Rc<DistVal>> {
        self.assumed_dist_kind(id, span, false)
    }

    fn assumed_dist_kind(&mut self, id: ItemId, span: Span, smooth: bool) -> Option<Rc<DistVal>> {
        let item = self.loaded.items.item(id).clone();
        let ItemKind::Dist(d) = &item.kind else { return None };
        let mut env = Env::new(self.loaded.items.module_of(id), Mode::Pure);
        self.assumed_params(&d.sizes, &d.params, &mut env, smooth);
        let event = self.resolve(&d.support, &mut env);
        let (sizes, args) = super::call::split_bindings(&env, &d.sizes, &d.params);
        Some(Rc::new(DistVal {
            item: Some(id),
            whole: None,
            name: d.name.text.clone(),
            args,
            sizes,
            batch: Vec::new(),
            event,
            span,
        }))
    }

    fn check_dist(&mut self, id: ItemId, d: &DistItem) {
        let Some(free) = self.assumed_dist(id, d.name.span) else { return };
        let env = Env::new(self.loaded.items.module_of(id), Mode::Pure);
        if !d.members.iter().any(|m| ["log_prob", "draw", "path"].contains(&m.name.text.as_str())) {
            self.report(
                Diagnostic::error(
                    "E0309",
                    d.name.span,
                    format!("`{}` defines neither `log_prob` nor `draw` nor `path`", d.name.text),
                )
                .label("here"),
            );
        }
        for m in &d.members {
            let arity = match m.name.text.as_str() {
                "log_prob" | "prob" | "cdf" | "inv_cdf" | "log_cdf" | "log_ccdf" | "inv_ccdf" => Some(1),
                "path" | "draw" | "mean" | "variance" => Some(0),
                _ => None,
            };
            if arity.is_some_and(|a| a != m.params.len()) {
                self.report(
                    Diagnostic::error(
                        "E0203",
                        m.name.span,
                        format!("`{}` takes {} arguments", m.name.text, arity.unwrap_or(0)),
                    )
                    .label("here"),
                );
                continue;
            }
            let owner = if m.name.text == "path" {
                // Reparameterisation follows the arguments, so they are smooth here.
                match self.assumed_dist_kind(id, d.name.span, true) {
                    Some(smooth) => Val::Dist(smooth),
                    None => continue,
                }
            } else {
                Val::Dist(free.clone())
            };
            let args = match m.name.text.as_str() {
                "inv_cdf" | "inv_ccdf" => {
                    vec![Val::Num(Num { support: Support::interval(Some(0.0), Some(1.0)), ..Num::real() })]
                }
                _ => m.params.iter().map(|p| named(&free.event, &p.text)).collect(),
            };
            let value = self.own_member(&owner, &m.name.text, args, m.name.span, &env);
            let span = m.body.value.as_ref().map_or(m.body.span, |v| v.span);
            match m.name.text.as_str() {
                "log_prob" | "prob" | "cdf" | "log_cdf" | "log_ccdf" => {
                    let fine = match &value {
                        Val::Num(n) => n.dims.is_empty() && n.base != Base::Bool,
                        Val::Unknown => true,
                        _ => false,
                    };
                    if !fine {
                        let found = self.describe(&value);
                        self.report(
                            Diagnostic::error(
                                "E0204",
                                span,
                                format!("`{}` of `{}` is a real, not {found}", m.name.text, d.name.text),
                            )
                            .label(format!("this is {found}")),
                        );
                    }
                }
                "path" | "draw" | "inv_cdf" | "inv_ccdf" => {
                    self.same_type(&value, &free.event, span, &m.name.text, &d.name.text)
                }
                _ => {}
            }
        }
        for s in &d.strategies {
            self.check_strategy(s, self.loaded.items.module_of(id), Some(&free));
        }
    }

    fn same_type(&mut self, value: &Val, event: &Val, span: Span, member: &str, name: &str) {
        let (Val::Num(v), Val::Num(e)) = (value, event) else { return };
        let base_ok = v.base == e.base || (e.base == Base::Real && v.base == Base::Int);
        if !base_ok || v.dims.len() != e.dims.len() {
            let (found, wanted) = (self.describe_num(v), self.describe_num(e));
            self.report(
                Diagnostic::error(
                    "E0204",
                    span,
                    format!("`{member}` of `{name}` gives {found}, but the support is {wanted}"),
                )
                .label(format!("this is {found}")),
            );
            return;
        }
        for (a, b) in v.dims.iter().zip(&e.dims) {
            self.same_size(a, b, span, &format!("`{member}` must give a value of the support"));
        }
    }

    fn check_bijector(&mut self, id: ItemId, b: &BijectorItem, env: &mut Env) {
        self.assumed_params(&b.sizes, &b.params, env, false);
        let from = self.resolve(&b.from, env);
        let to = self.resolve(&b.to, env);
        let (sizes, args) = super::call::split_bindings(env, &b.sizes, &b.params);
        let own = BijectorVal { item: Some(id), args, sizes, from: from.clone(), to: to.clone() };
        env.owner = Some(Val::Bijector(Rc::new(own)));
        for member in ["forward", "inverse"] {
            let Some(m) = b.members.iter().find(|m| m.name.text == member) else {
                self.report(
                    Diagnostic::error("E0309", b.name.span, format!("`{}` has no `{member}`", b.name.text))
                        .label("here")
                        .note("a bijector defines `forward(x) = (y, log_det)` and `inverse(y) = x`"),
                );
                continue;
            };
            let Some(p) = m.params.first() else { continue };
            let depth = env.vars.len();
            let source = if member == "forward" { &from } else { &to };
            env.bind(&p.text, source.clone());
            let value = self.block(&m.body, env);
            env.vars.truncate(depth);
            let span = m.body.value.as_ref().map_or(m.body.span, |v| v.span);
            match (member, &value) {
                (_, Val::Unknown) => {}
                ("forward", Val::Tuple(parts)) if parts.len() == 2 => {
                    self.same_type(&parts[0], &to, span, member, &b.name.text);
                }
                ("forward", other) => {
                    let found = self.describe(other);
                    self.report(
                        Diagnostic::error("E0204", span, format!("`forward` gives `(y, log_det)`, not {found}"))
                            .label(format!("this is {found}")),
                    );
                }
                (_, other) => self.same_type(other, &from, span, member, &b.name.text),
            }
        }
    }

    /// For `fit` lines: the objective that the library prefers because it estimates the same.
    fn substitutes(&mut self) -> HashMap<NodeId, Expr> {
        let mut out = HashMap::new();
        let mut preferred: Vec<ItemId> = Vec::new();
        for entry in &self.loaded.items.items {
            if let ItemKind::Prefer { strategies } = &entry.item.kind {
                preferred.extend(strategies.iter().filter_map(|n| self.loaded.items.resolve(entry.module, &n.text)));
            }
        }
        for at in 0..self.loaded.items.items.len() {
            let entry = self.loaded.items.items[at].clone();
            let ItemKind::Fit { lines } = &entry.item.kind else { continue };
            for line in lines {
                for id in &preferred {
                    if let Some(e) = self.substitute(line, *id, entry.module) {
                        let mut env = Env::new(entry.module, Mode::Pure);
                        let (_, errors) = self.quietly(|c| c.expr(&e, &mut env));
                        if errors == 0 {
                            out.insert(line.id, e);
                            break;
                        }
                    }
                }
            }
        }
        out
    }

    fn substitute(&self, line: &FitLine, id: ItemId, module: ModuleId) -> Option<Expr> {
        let ExprKind::Call { callee, args } = &line.objective.kind else { return None };
        let ExprKind::Name(written) = &callee.kind else { return None };
        let target = self.loaded.items.resolve(module, written)?;
        let item = self.loaded.items.item(id);
        let ItemKind::Objective(o) = &item.kind else { return None };
        if self.loaded.items.resolve(module, &o.name.text) != Some(id) {
            return None;
        }
        // `estimates elbo(p, q)`: the same objective, of this one's parameters.
        let ExprKind::Call { callee: estimated, args: formal } = &o.estimates.as_ref()?.kind else { return None };
        let ExprKind::Name(estimated) = &estimated.kind else { return None };
        if self.loaded.items.resolve(self.loaded.items.module_of(id), estimated)? != target
            || formal.len() != args.len()
        {
            return None;
        }
        if args.iter().any(|a| a.name.is_some()) {
            return None;
        }
        let mut ordered = Vec::new();
        for p in &o.params {
            let place = formal.iter().position(|f| matches!(&f.value.kind, ExprKind::Name(n) if *n == p.name.text))?;
            ordered.push(args[place].clone());
        }
        let callee = Expr { kind: ExprKind::Name(o.name.text.clone()), ..(**callee).clone() };
        Some(Expr { kind: ExprKind::Call { callee: Box::new(callee), args: ordered }, ..line.objective.clone() })
    }
}

/// Names of sizes in a type.
fn size_names(ty: &TypeExpr, out: &mut Vec<String>) {
    use crate::syntax::tree::TypeKind;
    match &ty.kind {
        TypeKind::Named { sizes, .. } => {
            for s in sizes {
                if let ExprKind::Name(n) = &s.kind {
                    out.push(n.clone());
                }
            }
        }
        TypeKind::Array { element, sizes } => {
            for s in sizes {
                if let ExprKind::Name(n) = &s.kind {
                    out.push(n.clone());
                }
            }
            size_names(element, out);
        }
        TypeKind::Tuple(parts) => parts.iter().for_each(|p| size_names(p, out)),
        TypeKind::Record(fields) => fields.iter().for_each(|(_, t)| size_names(t, out)),
        TypeKind::Fn { .. } => {}
    }
}

/// Words that stand before `(`.
fn called(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| {
        let code = line.split("//").next().unwrap_or("");
        code.match_indices('(').filter_map(|(at, _)| {
            let before = &code[..at];
            let start = before
                .rfind(|c: char| !(c.is_alphanumeric() || c == '_'))
                .map_or(0, |p| p + before[p..].chars().next().map_or(1, char::len_utf8));
            let word = &before[start..];
            (!word.is_empty()).then_some(word)
        })
    })
}

/// Extends `path` to a cycle back to `start`.
fn cycle(start: ItemId, calls: &HashMap<ItemId, Vec<ItemId>>, path: &mut Vec<ItemId>, seen: &mut Vec<ItemId>) -> bool {
    let Some(last) = path.last().copied() else { return false };
    for next in calls.get(&last).into_iter().flatten() {
        if *next == start {
            return true;
        }
        if !seen.contains(next) {
            seen.push(*next);
            path.push(*next);
            if cycle(start, calls, path, seen) {
                return true;
            }
            path.pop();
        }
    }
    false
}
