//! Contributions to a log density: supports, narrowed types, observations, factors.

use super::annotation::{leading_dim, strip};
use super::context::{Checker, How, OriginKind, with_batch};
use super::estimates::union;
use super::value::{Base, DistVal, Env, Mode, Num, Val};
use crate::base::source::Span;
use crate::diagnostic::Diagnostic;
use crate::syntax::tree::{Expr, ItemKind, Stmt};
use std::rc::Rc;

impl Checker {
    /// The type of a site that is narrower than its distribution's support.
    pub fn narrowed(&mut self, support: &Val, declared: &Val, ty_span: Span, span: Span) -> Val {
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
    pub fn fits(&mut self, path: &str, value: &Val, target: &Val, sampled: Option<Span>, span: Span) -> bool {
        let (Val::Num(v), Val::Num(t)) = (value, target) else { return true };
        let relaxed = self.relaxed_origin(&v.kind).is_some();
        let base_ok = v.base == t.base || (t.base == Base::Real && v.base == Base::Int) || relaxed;
        if !base_ok {
            let (a, b) = (self.describe_num(v), self.describe_num(t));
            self.report(
                Diagnostic::error("E0303", span, format!("`{path}` is {a} in the trace, but {b} here"))
                    .label("scored here")
                    .note("a guide must sample each latent over the model's type: an int by a distribution of ints, a real by one of reals")
                    .fix(format!("sample `{path}` in the guide from a distribution over {b}")),
            );
            return false;
        }
        for (a, b) in v.dims.iter().rev().zip(t.dims.iter().rev()) {
            self.same_size(a, b, span, &format!("`{path}` in the trace and here"));
        }
        match self.contained(v, t) {
            Some(true) => {}
            inside => {
                let (a, b) = (self.describe_num(v), self.describe_num(t));
                if self.disjoint(v, t) {
                    let fix = format!("sample `{path}` from a distribution on {b}{}", self.suggest_support(t));
                    self.report(
                        Diagnostic::error(
                            "E0303",
                            span,
                            format!("`{path}` is {a} in the trace, never in the support {b}"),
                        )
                        .label("scored here")
                        .fix(fix),
                    );
                    return false;
                }
                let mut kind = v.kind.clone();
                if inside.is_none() {
                    for edge in [t.support.lower(), t.support.upper()].into_iter().flatten() {
                        kind.join(&edge.kind);
                    }
                }
                if kind.is_free() && sampled.is_some() && inside == Some(false) {
                    let fix = format!("sample `{path}` from a distribution on {b}{}", self.suggest_support(t));
                    self.report(
                        Diagnostic::error(
                            "E0303",
                            span,
                            format!("the support of `{path}` in the trace is {a}, which is not inside {b}"),
                        )
                        .label(format!("scored here on {b}"))
                        .note("a sample outside has density zero, so the mean of the log density is minus infinity")
                        .fix(fix),
                    );
                } else if !kind.is_free() {
                    let origin = self.origins[kind.0[0].0 as usize].clone();
                    let place = match origin.what {
                        OriginKind::Site { .. } => origin.span,
                        OriginKind::Param | OriginKind::Argument | OriginKind::Memory | OriginKind::Differentiated => {
                            span
                        }
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
                return true;
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
        true
    }

    /// Names of library distributions are not known here; those that are loaded with this support are.
    fn suggest_support(&mut self, wanted: &Num) -> String {
        let mut names: Vec<String> = Vec::new();
        if self.mute > 0 {
            return String::new();
        }
        self.loaded.whole_folder("distributions");
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

    /// The distribution, of this one and those it is made of, that has no density.
    fn without_density(&self, d: &Rc<DistVal>) -> Option<String> {
        if d.item.is_some() && !self.has_member(&Val::Dist(d.clone()), "log_prob") {
            return Some(d.name.clone());
        }
        d.args.iter().find_map(|(_, v)| match v {
            Val::Dist(inner) => self.without_density(inner),
            _ => None,
        })
    }

    /// Adds the log density of a value: evaluated for its checks, and for what it depends on.
    pub fn score(&mut self, d: &Rc<DistVal>, value: &Val, span: Span) {
        let mut kind = Val::Dist(d.clone()).kind();
        kind.join(&value.kind());
        if d.item.is_some() && !matches!(self.how(), Some(How::Draw)) {
            let owner = Val::Dist(d.clone());
            if let Some(name) = self.without_density(d) {
                // It is an error only where the density is wanted.
                if let Some(run) = self.runs.last_mut()
                    && run.point.is_none()
                {
                    run.point = Some((span, name));
                }
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

    /// `observe x ~ d` under `predictive`: a sample at the address `x`.
    fn predicted(&mut self, stmt: &Stmt, value: &Expr, dist: &Val, span: Span, env: &mut Env) {
        let Some((name, indices)) = super::generative::observed_address(value) else {
            self.mark_unknown();
            self.report(
                Diagnostic::error("E0405", value.span, "what is observed here has no address to be sampled at")
                    .label("neither a name nor an element `y[i]`")
                    .note("`predictive` samples each observation at the address of the data or argument observed")
                    .fix("give the model an argument for it, and observe that"),
            );
            return;
        };
        let indices: Vec<Expr> = indices.into_iter().cloned().collect();
        let Some((pieces, at)) = self.pieces(name, &indices, stmt.span, env) else { return self.mark_unknown() };
        match dist {
            Val::Dist(d) => {
                let site = self.site(d, name, &pieces, &at, None, None, stmt, env);
                self.record_site(name, pieces, site, stmt);
            }
            Val::Unknown => self.mark_unknown(),
            other => self.not_sampled(other, span),
        }
    }

    pub fn observe(&mut self, stmt: &Stmt, value: &Expr, dist: &Expr, env: &mut Env) {
        let predictive = self.runs.last().is_some_and(|r| r.predictive);
        let v = if predictive { Val::Unknown } else { self.expr(value, env) };
        let d = self.expr(dist, env);
        if !self.generative_only(stmt.span, "`observe`", env) {
            return;
        }
        if self.runs.last().is_some_and(|r| r.predictive) {
            return self.predicted(stmt, value, &d, dist.span, env);
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
                // The shape of a distribution with an argument that was refused is not known.
                if d.args.iter().any(|(_, v)| matches!(v, Val::Unknown)) {
                    return;
                }
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
                            .label("observed here")
                            .fix(format!("observe it with a distribution on {found}, or mend the value")),
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
                run.sources = union(&Some(std::mem::take(&mut run.sources)), &n.estimate);
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
}

fn element_of_batch(value: &Val, axes: usize) -> Val {
    if leading_dim(value, axes.saturating_sub(1)).is_some() { strip(value, axes) } else { value.clone() }
}
