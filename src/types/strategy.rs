//! Strategies at sites: which one a site gets, whether it is valid there, and what kind of value it passes on.

use super::call::ArgVal;
use super::context::{Checker, Frame, OriginKind};
use super::value::{Base, Callable, DistVal, Env, Kind, Mode, Num, Support, Val};
use crate::base::source::Span;
use crate::diagnostic::Diagnostic;
use crate::syntax::tree::{Arg, ContinuationKind, DistPattern, Expr, ExprKind, ItemKind, Stmt, StrategyItem};
use std::rc::Rc;

/// A strategy as found: the item, or one of the distribution's own.
#[derive(Clone)]
struct Found {
    strategy: StrategyItem,
    own: bool,
    module: super::program::ModuleId,
}

impl Checker {
    /// The kind of the value that a site's strategy passes on; reports what is wrong with it there.
    pub fn strategy(&mut self, d: &Rc<DistVal>, by: Option<&Expr>, stmt: &Stmt, name: &str, env: &mut Env) -> Kind {
        if d.item.is_none() && d.whole.is_none() {
            return Kind::default();
        }
        // The image of another distribution is sampled through it.
        let owner = Val::Dist(d.clone());
        if self.member_arity(&owner, "base") == Some(0)
            && self.member_arity(&owner, "forward") == Some(1)
            && let Val::Dist(base) = self.own_member(&owner, "base", Vec::new(), stmt.span, env)
        {
            return self.strategy(&base, by, stmt, name, env);
        }
        match by {
            Some(by) => {
                let (callee, args): (&Expr, &[Arg]) = match &by.kind {
                    ExprKind::Call { callee, args } => (callee, args),
                    _ => (by, &[]),
                };
                let wanted = match &callee.kind {
                    ExprKind::Name(n) => n.clone(),
                    ExprKind::Path(path) => path.last().map(|n| n.text.clone()).unwrap_or_default(),
                    _ => String::new(),
                };
                let values = self.args(args, env);
                let Some(found) = self.find_strategy(&wanted, d, env.module) else {
                    let mut report = Diagnostic::error(
                        "E0201",
                        callee.span,
                        format!("there is no strategy `{wanted}` for `{}`", d.name),
                    )
                    .label("not found");
                    let known = self.strategy_names(d, env.module);
                    if d.whole.is_some() && !known.contains(&wanted) {
                        report = report.note("a strategy for a whole generative function is one for any distribution, such as a score function");
                    }
                    if let Some(near) = crate::base::names::nearest(&wanted, known.iter().map(String::as_str)) {
                        report = report.fix(format!("did you mean `{near}`?"));
                    } else if !known.is_empty() {
                        report = report.note(format!("strategies here: {}", known.join(", ")));
                    }
                    self.report(report);
                    return Kind::default();
                };
                if found.strategy.biased {
                    self.biased.insert(wanted.clone(), ());
                }
                self.apply_strategy(&found, d, values, by.span, stmt, name, false)
            }
            None => self.default_strategy(d, stmt, name, env),
        }
    }

    fn default_strategy(&mut self, d: &Rc<DistVal>, stmt: &Stmt, name: &str, env: &Env) -> Kind {
        let candidates = self.preferred();
        let first = if self.stuck.contains(&stmt.id) { 0 } else { self.rejected.get(&stmt.id).copied().unwrap_or(0) };
        // When nothing is left the first one that is valid stands, so that the error says what is wrong with it.
        for from in [first, 0] {
            for (number, candidate) in candidates.iter().enumerate().skip(from) {
                let Some(found) = self.find_strategy(candidate, d, env.module) else {
                    self.not_possible(stmt.id, candidate, format!("`{}` has no such strategy", d.name));
                    continue;
                };
                let before = self.muted_first.take();
                let (_, errors) =
                    self.quietly(|c| c.apply_strategy(&found, d, Vec::new(), stmt.span, stmt, name, true));
                let why = std::mem::replace(&mut self.muted_first, before);
                if errors > 0 {
                    self.not_possible(stmt.id, candidate, why.unwrap_or_default());
                    continue;
                }
                if !self.stuck.contains(&stmt.id) {
                    self.rejected.insert(stmt.id, number);
                }
                self.strategies.insert(stmt.id, candidate.clone());
                if found.strategy.kind == ContinuationKind::Free {
                    self.alternative(d, stmt, name, env, &candidates[number + 1..]);
                }
                return self.apply_strategy(&found, d, Vec::new(), stmt.span, stmt, name, true);
            }
            if from > 0 {
                self.stuck.insert(stmt.id);
            }
        }
        if candidates.is_empty() {
            // Without a library nothing is preferred.
            self.report(
                Diagnostic::error("E0309", stmt.span, format!("`{name}` needs a strategy"))
                    .label("no `by`")
                    .fix("write one: `by …`"),
            );
            return Kind::default();
        }
        self.report(
            Diagnostic::error("E0309", stmt.span, format!("no strategy applies to `{name}`"))
                .label(format!("tried {}", candidates.join(", ")))
                .note("a strategy must be valid for the distribution and for every use of the value")
                .fix("write the strategy, `by …`, to see why it does not apply"),
        );
        Kind::default()
    }

    /// Notes the first of `candidates` that would do as well at a site whose value has no derivative, should the one chosen
    /// turn out too costly once sizes are known. No use of the value can tell such strategies apart.
    fn alternative(&mut self, d: &Rc<DistVal>, stmt: &Stmt, name: &str, env: &Env, candidates: &[String]) {
        self.alternatives.remove(&stmt.id);
        for candidate in candidates {
            let Some(found) = self.find_strategy(candidate, d, env.module) else { continue };
            if found.strategy.kind != ContinuationKind::Free {
                continue;
            }
            let before = self.muted_first.take();
            let (_, errors) = self.quietly(|c| c.apply_strategy(&found, d, Vec::new(), stmt.span, stmt, name, true));
            self.muted_first = before;
            if errors == 0 {
                self.alternatives.insert(stmt.id, candidate.clone());
                return;
            }
        }
    }

    /// Notes why a preferred strategy does not serve a site.
    pub fn not_possible(&mut self, id: crate::syntax::tree::NodeId, strategy: &str, why: String) {
        let reasons = self.reasons.entry(id).or_default();
        match reasons.iter_mut().find(|(s, _)| s == strategy) {
            Some(known) => known.1 = why,
            None => reasons.push((strategy.to_owned(), why)),
        }
    }

    fn find_strategy(&self, name: &str, d: &Rc<DistVal>, module: super::program::ModuleId) -> Option<Found> {
        if let Some(id) = d.item {
            let item = self.loaded.items.item(id);
            if let ItemKind::Dist(dist) = &item.kind
                && let Some(s) = dist.strategies.iter().find(|s| s.name.text == name)
            {
                return Some(Found { strategy: s.clone(), own: true, module: self.loaded.items.module_of(id) });
            }
        }
        let id = self.loaded.items.resolve(module, name)?;
        match &self.loaded.items.item(id).kind {
            ItemKind::Strategy(s) => {
                Some(Found { strategy: s.clone(), own: false, module: self.loaded.items.module_of(id) })
            }
            _ => None,
        }
    }

    fn strategy_names(&self, d: &Rc<DistVal>, module: super::program::ModuleId) -> Vec<String> {
        let mut names = Vec::new();
        if let Some(id) = d.item
            && let ItemKind::Dist(dist) = &self.loaded.items.item(id).kind
        {
            names.extend(dist.strategies.iter().map(|s| s.name.text.clone()));
        }
        for entry in &self.loaded.items.items {
            if let ItemKind::Strategy(s) = &entry.item.kind
                && self.loaded.items.resolve(module, &s.name.text).is_some()
            {
                names.push(s.name.text.clone());
            }
        }
        names.sort();
        names.dedup();
        names
    }

    /// Evaluates a strategy's body at a site. Strategies act on one element of a batch.
    #[expect(clippy::too_many_arguments, reason = "a strategy, its site, and where they stand")]
    fn apply_strategy(
        &mut self,
        found: &Found,
        d: &Rc<DistVal>,
        args: Vec<ArgVal>,
        span: Span,
        stmt: &Stmt,
        name: &str,
        chosen: bool,
    ) -> Kind {
        let s = &found.strategy;
        let element = Rc::new(DistVal { batch: Vec::new(), ..(**d).clone() });
        let mut env = if found.own {
            match self.dist_scope(&element) {
                Some((_, env)) => env,
                None => return Kind::default(),
            }
        } else {
            Env::new(found.module, Mode::Strategy)
        };
        env.mode = Mode::Strategy;
        match &s.dist {
            Some(DistPattern::Any(p)) => env.bind(&p.text, Val::Dist(element.clone())),
            Some(DistPattern::Of { dist, args }) => {
                let wanted = self.loaded.items.resolve(found.module, &dist.text);
                if wanted.is_none() || wanted != d.item {
                    self.report(
                        Diagnostic::error(
                            "E0309",
                            span,
                            format!("`{}` is for `{}` only, not for `{}`", s.name.text, dist.text, d.name),
                        )
                        .label("here")
                        .also(s.span, "the strategy"),
                    );
                    return Kind::default();
                }
                for (p, (_, value)) in args.iter().zip(&element.args) {
                    env.bind(&p.text, value.clone());
                }
            }
            None => {}
        }
        if !self.bind_params(&mut env, &[], &s.params, args, span, &s.name.text, None) {
            return Kind::default();
        }
        let event = if s.kind == ContinuationKind::Relaxed { on_hull(&element.event) } else { element.event.clone() };
        env.bind(&s.k.text, Val::Fn(Rc::new(Callable::Continuation { event })));
        self.frames.push(Frame { span, name: s.name.text.clone(), item: None });
        self.in_strategy += 1;
        let value = self.block(&s.body, &mut env);
        self.in_strategy -= 1;
        self.strategy_value(&value, s);
        self.frames.pop();
        let relaxed = s.kind == ContinuationKind::Relaxed;
        if s.kind != ContinuationKind::Smooth {
            self.fixed_support(d, s, name, stmt.span);
        }
        match s.kind {
            ContinuationKind::Smooth | ContinuationKind::Relaxed => Kind::of(self.origin(
                OriginKind::Site { id: stmt.id, strategy: s.name.text.clone(), chosen, relaxed },
                name,
                stmt.span,
            )),
            ContinuationKind::Free => Kind::default(),
        }
    }

    /// A free strategy does not see an edge that moves.
    fn fixed_support(&mut self, d: &Rc<DistVal>, s: &StrategyItem, name: &str, span: Span) {
        let mut kind = Kind::default();
        let mut shown = String::new();
        let mut note = |n: &Num, c: &Checker| {
            for edge in [n.support.lower(), n.support.upper()].into_iter().flatten() {
                if !edge.kind.is_free() {
                    kind.join(&edge.kind);
                    shown = c.describe_num(n);
                }
            }
        };
        if let Val::Num(n) = &d.event {
            note(n, self);
        }
        if kind.is_free() {
            return;
        }
        let origin = self.origins[kind.0[0].0 as usize].clone();
        let smooth = self.following_strategy(d);
        let report = Diagnostic::error(
            "E0304",
            span,
            format!("the edge of the support of `{name}` moves with `{}`", origin.name),
        )
        .label(format!("{} on {shown}", s.name.text))
        .also(origin.span, format!("`{}` comes from here", origin.name))
        .note("the score of the density does not see mass that crosses a moving edge, so the gradient would be biased");
        let report = match smooth {
            Some(smooth) => report.fix(format!("`by {smooth}`, which moves the sample with the edge")),
            None => report.fix("use a distribution with a fixed support"),
        };
        self.blame(report, &kind);
    }

    /// A preferred strategy that passes on a smooth value and is valid for the distribution.
    fn following_strategy(&mut self, d: &Rc<DistVal>) -> Option<String> {
        let owner = Val::Dist(d.clone());
        let main = self.loaded.main;
        self.preferred().into_iter().find(|n| {
            self.has_member(&owner, "path")
                && self.find_strategy(n, d, main).is_some_and(|f| f.strategy.kind == ContinuationKind::Smooth)
        })
    }

    /// Checks a strategy alone, on an assumed distribution.
    pub fn check_strategy(&mut self, s: &StrategyItem, module: super::program::ModuleId, own: Option<&Rc<DistVal>>) {
        let d = match (own, &s.dist) {
            (Some(d), _) => d.clone(),
            (None, Some(DistPattern::Of { dist, .. })) => {
                let Some(id) = self.loaded.items.resolve(module, &dist.text) else {
                    let env = Env::new(module, Mode::Pure);
                    self.unknown_name(&dist.text, dist.span, &env);
                    return;
                };
                match self.assumed_dist(id, dist.span) {
                    Some(d) => d,
                    None => return,
                }
            }
            (None, _) => Rc::new(DistVal {
                item: None,
                whole: None,
                name: "d".to_owned(),
                args: Vec::new(),
                sizes: Vec::new(),
                batch: Vec::new(),
                event: Val::Unknown,
                span: s.span,
            }),
        };
        let mut env = match own.and_then(|d| self.dist_scope(d)) {
            Some((_, env)) => env,
            None => Env::new(module, Mode::Strategy),
        };
        env.mode = Mode::Strategy;
        match &s.dist {
            Some(DistPattern::Any(p)) => env.bind(&p.text, Val::Dist(d.clone())),
            Some(DistPattern::Of { args, .. }) => {
                for (p, (_, value)) in args.iter().zip(&d.args) {
                    env.bind(&p.text, value.clone());
                }
            }
            None => {}
        }
        self.assumed_params(&[], &s.params, &mut env, false);
        let event = if s.kind == ContinuationKind::Relaxed { on_hull(&d.event) } else { d.event.clone() };
        env.bind(&s.k.text, Val::Fn(Rc::new(Callable::Continuation { event })));
        self.in_strategy += 1;
        let value = self.block(&s.body, &mut env);
        self.in_strategy -= 1;
        self.strategy_value(&value, s);
    }

    /// What a strategy's body ends in.
    fn strategy_value(&mut self, value: &Val, s: &StrategyItem) {
        let place = s.body.value.as_ref().map_or(s.body.span, |v| v.span);
        let memory = self.memory_part(&value.kind());
        if !memory.is_free() {
            self.memory_reaches(&memory, place, "the strategy's value");
        }
        match value {
            Val::Num(n) if n.dims.is_empty() && n.base != Base::Bool => {}
            Val::Unknown => {}
            other => {
                let found = self.describe(other);
                self.report(
                    Diagnostic::error(
                        "E0308",
                        place,
                        format!("a strategy ends in an estimate made of results of the continuation, not in {found}"),
                    )
                    .label(format!("this is {found}")),
                );
            }
        }
    }
}

/// A value anywhere in the hull of a support.
pub fn on_hull(event: &Val) -> Val {
    event.map(&mut |n| Num {
        base: Base::Real,
        support: if n.base == Base::Bool { Support::interval(Some(0.0), Some(1.0)) } else { n.support.clone() },
        sym: None,
        ..n.clone()
    })
}

impl Checker {
    /// A sampled value as the site's strategy passes it on.
    pub fn passed(&self, value: &Val, kind: &Kind) -> Val {
        let value = if self.relaxed_origin(kind).is_some() { on_hull(value) } else { value.clone() };
        value.map(&mut |n| n.clone().with_kind(kind))
    }
}
