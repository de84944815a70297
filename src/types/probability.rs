//! Distributions and bijectors as values (`log_prob(d, x)`, `draw(d)`, `forward(b, x)`), and `simulate`, `log_density`.

use super::call::ArgVal;
use super::condition::Condition;
use super::context::{Checker, How, Run, with_batch};
use super::generative::{Entry, Outcome};
use super::particles::trace;
use super::poly::Poly;
use super::value::{Base, DistVal, Env, GenVal, Kind, Num, Record, Support, Val};
use crate::base::source::Span;
use crate::diagnostic::{Diagnostic, Severity};
use crate::syntax::tree::ItemKind;
use std::rc::Rc;

impl Checker {
    pub fn can_draw(&self, d: &Rc<DistVal>) -> bool {
        let owner = Val::Dist(d.clone());
        d.item.is_none() || self.has_member(&owner, "draw") || self.has_member(&owner, "path")
    }

    /// `name(d, …)`: a member of a distribution or bijector, given as the first argument.
    pub fn member_call(&mut self, name: &str, args: &[ArgVal], span: Span, env: &mut Env) -> Val {
        let (first, rest) = match args.split_first() {
            Some(parts) => parts,
            None => return Val::Unknown,
        };
        let want = match name {
            "draw" | "path" | "support" | "mean" | "variance" => Some(0),
            "log_prob" | "prob" | "cdf" | "inv_cdf" | "log_cdf" | "log_ccdf" | "inv_ccdf" | "forward" | "inverse" => {
                Some(1)
            }
            _ => self.member_arity(&first.value, name),
        };
        if want.is_some_and(|w| w != rest.len()) {
            self.report(
                Diagnostic::error(
                    "E0203",
                    span,
                    format!("`{name}` takes {} arguments, not {}", want.unwrap_or(0) + 1, args.len()),
                )
                .label("here"),
            );
            return Val::Unknown;
        }
        match &first.value {
            Val::Dist(d) => self.dist_member(name, &d.clone(), rest, span, env),
            Val::Bijector(_) if name == "forward" || name == "inverse" => {
                self.bijector_member(name, first, rest, span, env)
            }
            Val::Gen(g) if name == "draw" => self.draw_gen(&g.clone()),
            Val::Unknown => match name {
                "log_prob" | "prob" | "cdf" | "log_cdf" | "log_ccdf" => Val::Num(Num::real()),
                _ => Val::Unknown,
            },
            other => {
                let found = self.describe(other);
                let wanted = if name == "forward" || name == "inverse" { "a bijector" } else { "a distribution" };
                self.report(
                    Diagnostic::error("E0204", first.span, format!("`{name}` is of {wanted}, not of {found}"))
                        .label(format!("this is {found}")),
                );
                Val::Unknown
            }
        }
    }

    fn draw_gen(&mut self, g: &Rc<GenVal>) -> Val {
        match self.run_gen(g, How::Draw) {
            Some(outcome) => self.freed(&Val::Record(trace(&outcome.entries, None))),
            None => Val::Unknown,
        }
    }

    fn dist_member(&mut self, name: &str, d: &Rc<DistVal>, rest: &[ArgVal], span: Span, env: &mut Env) -> Val {
        let owner = Val::Dist(d.clone());
        let whole = with_batch(&d.event, &d.batch);
        let mut kind = owner.kind();
        let lacks = |c: &mut Checker, what: &str| {
            c.report(
                Diagnostic::error("E0309", span, format!("`{}` has no `{what}`", d.name))
                    .label(format!("needs the `{what}` of its distribution"))
                    .also(d.span, format!("`{}` is made here", d.name))
                    .fix(format!("use what does without, or define `{what}` in the distribution")),
            );
        };
        let real = |dims: Vec<Poly>, support: Support, kind: Kind| {
            Val::Num(Num { support, kind, ..Num::new(Base::Real, dims) })
        };
        let unit = || Support::interval(Some(0.0), Some(1.0));
        match name {
            "draw" => {
                if !self.can_draw(d) {
                    lacks(self, "draw");
                }
                self.freed(&whole)
            }
            "path" => {
                if !self.has_member(&owner, "path") {
                    lacks(self, "path");
                    return whole;
                }
                // A path of paths needs those of its arguments.
                self.own_member(&owner, name, Vec::new(), span, env);
                whole.map(&mut |n| n.clone().with_kind(&kind))
            }
            "support" => {
                let finite = match &d.event {
                    Val::Num(n) if n.dims.is_empty() && d.batch.is_empty() => match n.base {
                        Base::Bool => true,
                        Base::Int => n.support.lower().is_some() && n.support.upper().is_some(),
                        Base::Real => false,
                    },
                    Val::Unknown => true,
                    _ => false,
                };
                if !finite {
                    let found = self.describe(&whole);
                    let fix = self.instead_of_enumeration(d);
                    self.report(
                        Diagnostic::error(
                            "E0307",
                            span,
                            format!("the support of `{}` is {found}: it cannot be enumerated", d.name),
                        )
                        .label("sums over the support")
                        .note("enumeration needs a finite set of ints")
                        .fix(fix),
                    );
                    return Val::Unknown;
                }
                Val::Values(d.clone())
            }
            "mean" | "variance" => {
                if !self.has_member(&owner, name) {
                    lacks(self, name);
                }
                match whole {
                    Val::Num(n) => real(
                        n.dims,
                        if name == "variance" { Support::interval(Some(0.0), None) } else { Support::all() },
                        kind,
                    ),
                    other => other,
                }
            }
            "inv_cdf" | "inv_ccdf" => {
                let name = if self.has_member(&owner, name) { name } else { "inv_cdf" };
                if !self.has_member(&owner, name) {
                    lacks(self, name);
                    return whole;
                }
                let u = rest[0].value.clone();
                kind.join(&u.kind());
                self.own_member(&owner, name, vec![u], span, env);
                whole.map(&mut |n| n.clone().with_kind(&kind))
            }
            "log_prob" | "prob" | "cdf" | "log_cdf" | "log_ccdf" => {
                let member = match name {
                    _ if self.has_member(&owner, name) => name,
                    "prob" => "log_prob",
                    "log_cdf" | "log_ccdf" => "cdf",
                    _ => name,
                };
                if !self.has_member(&owner, member) {
                    lacks(self, member);
                    return Val::Num(Num::real());
                }
                let x = &rest[0];
                kind.join(&x.value.kind());
                if let (Val::Num(v), Val::Num(t)) = (&x.value, &whole) {
                    if v.estimate.is_some() {
                        self.nonlinear(&v.estimate, x.span, &format!("the argument of `{name}`"));
                    }
                    let relaxed = self.relaxed_origin(&v.kind).is_some();
                    let base_ok = v.base == t.base || (t.base == Base::Real && v.base == Base::Int) || relaxed;
                    if !base_ok || v.dims.len() != t.dims.len() {
                        let (a, b) = (self.describe_num(v), self.describe_num(t));
                        self.report(
                            Diagnostic::error("E0204", x.span, format!("`{}` is over {b}, not {a}", d.name))
                                .label(format!("this is {a}")),
                        );
                        return Val::Num(Num::real());
                    }
                    for (a, b) in v.dims.iter().zip(&t.dims) {
                        self.same_size(a, b, x.span, "the value and the distribution");
                    }
                }
                let element = if d.batch.is_empty() {
                    x.value.clone()
                } else {
                    super::annotation::strip(&x.value, d.batch.len())
                };
                self.own_member(&owner, member, vec![element], span, env);
                let support = match name {
                    "log_prob" => Support::all(),
                    "log_cdf" | "log_ccdf" => Support::interval(None, Some(0.0)),
                    _ => unit(),
                };
                real(Vec::new(), support, kind)
            }
            other => {
                let values: Vec<Val> = rest.iter().map(|a| a.value.clone()).collect();
                self.own_member(&owner, other, values, span, env)
            }
        }
    }

    /// Strategies that do without a finite support, of those this distribution offers.
    fn instead_of_enumeration(&mut self, d: &Rc<DistVal>) -> String {
        let own = d.item.map(|id| self.loaded.items.item(id).clone());
        let mut names: Vec<String> = Vec::new();
        if let Some(item) = &own
            && let ItemKind::Dist(dist) = &item.kind
        {
            names.extend(dist.strategies.iter().filter(|s| !s.biased).map(|s| format!("`by {}`", s.name.text)));
        }
        names.extend(self.fallback().map(|s| format!("`by {s}`")));
        names.dedup();
        if names.is_empty() { "use another strategy".to_owned() } else { names.join(" or ") }
    }

    fn bijector_member(&mut self, name: &str, first: &ArgVal, rest: &[ArgVal], span: Span, env: &mut Env) -> Val {
        let Val::Bijector(b) = &first.value else { return Val::Unknown };
        let b = b.clone();
        let x = &rest[0];
        let (source, target) = if name == "forward" { (&b.from, &b.to) } else { (&b.to, &b.from) };
        let mut kind = first.value.kind();
        kind.join(&x.value.kind());
        if let (Val::Num(v), Val::Num(s)) = (&x.value, source) {
            if v.estimate.is_some() {
                self.nonlinear(&v.estimate, x.span, "transformed");
            }
            if v.dims.len() != s.dims.len() || v.base == Base::Bool {
                let (a, t) = (self.describe_num(v), self.describe_num(s));
                self.report(
                    Diagnostic::error("E0204", x.span, format!("the bijector takes {t}, not {a}"))
                        .label(format!("this is {a}")),
                );
            } else {
                for (p, q) in v.dims.iter().zip(&s.dims) {
                    self.same_size(p, q, x.span, "the bijector's argument");
                }
            }
        }
        if b.item.is_some() && !self.has_member(&first.value, name) {
            self.report(Diagnostic::error("E0309", span, format!("the bijector has no `{name}`")).label("here"));
        }
        // Evaluated for what it asks of its argument (that it be free, say); its type is the declared one.
        self.own_member(&first.value, name, vec![x.value.clone()], span, env);
        let out = target.map(&mut |n| Num { sym: None, ..n.clone().with_kind(&kind) });
        if name == "forward" { Val::Tuple(vec![out, Val::Num(Num::real().with_kind(&kind))]) } else { out }
    }

    pub fn simulate(&mut self, arg: &ArgVal, span: Span, env: &Env) -> Val {
        let lq = |kind: Kind| Val::Num(Num::real().with_kind(&kind));
        let g = match &arg.value {
            Val::Gen(g) => g.clone(),
            Val::Unknown => return Val::Tuple(vec![Val::Unknown, lq(Kind::default())]),
            other => {
                let found = self.describe(other);
                self.report(
                    Diagnostic::error("E0204", arg.span, format!("`simulate` runs a generative function, not {found}"))
                        .label(format!("this is {found}")),
                );
                return Val::Tuple(vec![Val::Unknown, lq(Kind::default())]);
            }
        };
        let g = if env.frozen { Rc::new(g.within(true)) } else { g };
        let Some(outcome) = self.run_gen(&g, How::Simulate) else {
            return Val::Tuple(vec![Val::Unknown, lq(Kind::default())]);
        };
        self.must_simulate(&outcome, span, "simulated here");
        let record = trace(&outcome.entries, Some(self.user_span(span)));
        let density = match &outcome.run.point {
            Some((span, name)) => Val::Absent { name: name.clone(), span: *span },
            None => density(&outcome.run),
        };
        if outcome.run.later.iter().any(|(n, _)| n == "?") {
            return Val::Tuple(vec![Val::Unknown, density]);
        }
        Val::Tuple(vec![Val::Record(record), density])
    }

    pub fn log_density(&mut self, g: &ArgVal, t: &ArgVal, span: Span, env: &Env) -> Val {
        let result = |kind: Kind| Val::Num(Num::real().with_kind(&kind));
        let gen_value = match &g.value {
            Val::Gen(g) => g.clone(),
            Val::Unknown => return result(t.value.kind()),
            other => {
                let found = self.describe(other);
                self.report(
                    Diagnostic::error(
                        "E0204",
                        g.span,
                        format!("`log_density` is of a generative function, not of {found}"),
                    )
                    .label(format!("this is {found}")),
                );
                return result(Kind::default());
            }
        };
        let gen_value = if env.frozen { Rc::new(gen_value.within(true)) } else { gen_value };
        let record = match &t.value {
            Val::Record(r) => r.clone(),
            // `{}`
            Val::Unit => Record::default(),
            Val::Unknown => {
                return match self.run_gen(&gen_value, How::Type) {
                    Some(outcome) => density(&outcome.run),
                    None => result(Kind::default()),
                };
            }
            other => {
                let found = self.describe(other);
                self.report(
                    Diagnostic::error(
                        "E0204",
                        t.span,
                        format!("the second argument of `log_density` is a trace, not {found}"),
                    )
                    .label(format!("this is {found}")),
                );
                return result(Kind::default());
            }
        };
        let Some(outcome) = self.run_gen(&gen_value, How::Density(record.clone())) else {
            return result(t.value.kind());
        };
        self.same_latents(&outcome, &record, span);
        if let Some((place, name)) = outcome.run.point.clone() {
            self.no_density(span, place, &name);
        }
        density(&outcome.run)
    }

    pub fn no_density(&mut self, span: Span, place: Span, name: &str) {
        self.report(
            Diagnostic::error("E0310", place, format!("`{name}` has no density"))
                .label("a point mass")
                .also(span, "the density is wanted here")
                .note(
                    "a point mass can be sampled, but its density cannot be compared with that of other distributions",
                )
                .fix("use it only with objectives that do not use this function's density"),
        );
    }

    /// The addresses of a trace must be those of the function that scores it.
    fn same_latents(&mut self, outcome: &Outcome, record: &Record, span: Span) {
        if outcome.run.later.iter().any(|(n, _)| n == "?") {
            return;
        }
        let given = record.paths();
        let wanted: Vec<&Entry> = outcome.entries.iter().collect();
        let never = |e: &&&Entry| self.guaranteed(&e.presence.not());
        let missing: Vec<String> = wanted
            .iter()
            .filter(|e| record.get_path(&e.path).is_none() && !never(e))
            .map(|e| format!("`{}`", e.path))
            .collect();
        let extra: Vec<String> =
            given.iter().filter(|p| !wanted.iter().any(|e| e.path == **p)).map(|p| format!("`{p}`")).collect();
        if missing.is_empty() && extra.is_empty() {
            for e in wanted {
                if let (Some(Val::Num(v)), Val::Num(t)) = (record.get_path(&e.path).map(Val::bare), &e.value)
                    && v.dims.len() == t.dims.len()
                {
                    for (a, b) in v.dims.clone().iter().zip(&t.dims) {
                        self.same_size(a, b, span, &format!("`{}` in the trace and in `{}`", e.path, outcome.run.name));
                    }
                }
                self.same_presence(e, record, &outcome.run.name, span);
            }
            return;
        }
        let name = &outcome.run.name;
        let who = if record.sampled.is_some() { "the guide" } else { "the trace" };
        let message = match (missing.is_empty(), extra.is_empty()) {
            (false, true) => format!("{who} lacks {} of `{name}`", missing.join(", ")),
            (true, _) => format!("{who} has {}, which `{name}` does not sample", extra.join(", ")),
            (false, false) => {
                format!("{who} lacks {} of `{name}`, and has {} beside", missing.join(", "), extra.join(", "))
            }
        };
        let mut d = Diagnostic::error("E0401", span, message).label("the two do not fit together");
        for e in &outcome.entries {
            if record.get_path(&e.path).is_none() {
                d = d.also(e.span, format!("`{}` is sampled here", e.path));
            }
        }
        let left = format!("{name} has");
        let width = left.chars().count().max(who.chars().count() + 4);
        d = d.note(format!("{left:<width$}  {}", self.trace_text(&outcome.entries))).note(format!(
            "{:<width$}  {}",
            format!("{who} has"),
            self.record_text(record)
        ));
        d = if !missing.is_empty() {
            d.fix(format!("sample {} in the guide too", missing.join(", ")))
        } else {
            let kept: Vec<&str> = outcome.entries.iter().map(|e| e.path.as_str()).collect();
            d.fix(format!(
                "take {} out of the guide, or integrate it out: `marginal(…, keep: [{}], by: importance(…, n: 5))`",
                extra.join(", "),
                kept.join(", ")
            ))
        };
        self.report(d);
    }

    /// An optional address must have one condition in the trace and where it is scored.
    fn same_presence(&mut self, e: &Entry, record: &Record, name: &str, span: Span) {
        let given = match record.get_path(&e.path) {
            Some(Val::Optional(o)) => o.presence.clone(),
            // In a trace that is written out, what is not looked at may stand.
            Some(_) if record.sampled.is_none() => return,
            Some(_) => Condition::TRUE,
            None => return,
        };
        if self.equivalent(&given, &e.presence) {
            return;
        }
        // A condition that was refused has no expression; its error is enough.
        let refused = self.findings.iter().any(|f| f.diagnostic.severity == Severity::Error);
        if refused && (given.is_opaque() || e.presence.is_opaque()) {
            return;
        }
        let who = if record.sampled.is_some() { "the guide" } else { "the trace" };
        self.report(
            Diagnostic::error("E0414", span, format!("`{}` is present under different conditions", e.path))
                .label("the two do not fit together")
                .also(e.span, format!("sampled here {}", e.presence.clause()))
                .note(format!("in `{name}` it is present {}", e.presence.clause()))
                .note(format!("in {who} it is present {}", given.clause()))
                .note("conditions are compared as expressions of addresses, arguments and data")
                .fix("give it the same condition in both; one that is not a comparison of these goes into a `fn` that both call"),
        );
    }
}

/// The log density of a run: an estimate if a subsampled plate adds to it.
fn density(run: &Run) -> Val {
    let estimate = (!run.sources.is_empty()).then(|| run.sources.clone());
    Val::Num(Num { estimate, ..Num::real().with_kind(&run.density) })
}
