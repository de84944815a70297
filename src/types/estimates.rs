//! Estimates: numbers that stand for their mean. Each carries its sources, the evaluations that make it random; sums and
//! products with numbers keep the meaning, products of estimates do if they share no source, and nothing else does.
//!
//! A source is one evaluation: of an `expect`, of a call of a continuation, or all of one plate's in a step, since a step
//! has one index set.

use super::call::ArgVal;
use super::context::Checker;
use super::value::{Env, Num, Sources, Val};
use crate::base::source::Span;
use crate::diagnostic::Diagnostic;
use crate::syntax::tree::{ItemKind, TypeKind};

/// Where an estimate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// An `expect`.
    Expect(Span),
    /// A call of a continuation.
    Continuation(Span),
    /// A subsampled plate: its name, and where it is declared.
    Plate(String, Span),
}

pub fn union(a: &Option<Sources>, b: &Option<Sources>) -> Sources {
    let mut out: Vec<u32> = a.iter().chain(b).flatten().copied().collect();
    out.sort_unstable();
    out.dedup();
    out
}

impl Checker {
    /// A fresh source of estimates.
    pub fn source(&mut self, what: Source) -> u32 {
        let number = self.fresh();
        self.sources.insert(number, what);
        number
    }

    /// A product of two estimates: right if they share no source.
    pub fn product(&mut self, a: &Sources, b: &Sources, span: Span) {
        if self.in_strategy > 0 && self.continues(a) && self.continues(b) {
            return self.nonlinear(&Some(a.clone()), span, "multiplied by another one");
        }
        let shared = a.iter().find(|s| b.contains(s)).copied();
        if shared.is_none() && !a.is_empty() && !b.is_empty() {
            return;
        }
        let mut d = Diagnostic::error(
            "E0305",
            span,
            "an estimate is multiplied by one of the same source: the result would be biased",
        )
        .label("both stand for their means, and are not independent")
        .note("the mean of a product is the product of the means only if the two are independent");
        d = match shared.and_then(|s| self.sources.get(&s).cloned()) {
            Some(Source::Expect(at)) => d.also(at, "both come from this `expect`").fix(
                "write the second factor as an occurrence of its own, not through the same `let`: two runs that are independent",
            ),
            Some(Source::Plate(name, at)) => d
                .also(at, format!("a step has one set of rows of `{name}`, which both go through"))
                .fix(format!("leave `by` out of `plate {name}`, or multiply row by row, inside the sum")),
            Some(Source::Continuation(at)) => d.also(at, "both come from this call"),
            None => d.fix("pass recipes, `|| …`, and call each: two runs that are independent"),
        };
        self.report(d);
    }

    fn continues(&self, sources: &Sources) -> bool {
        sources.is_empty() || sources.iter().any(|s| matches!(self.sources.get(s), Some(Source::Continuation(_))))
    }

    /// An estimate where only a number may stand.
    pub fn nonlinear(&mut self, estimate: &Option<Sources>, span: Span, verb: &str) {
        // Under `next` and `learn` results are numbers of this run.
        if self.learning > 0 {
            return;
        }
        let sources = estimate.clone().unwrap_or_default();
        if self.in_strategy > 0 && self.continues(&sources) {
            let d = Diagnostic::error("E0308", span, format!("a result of the continuation is {verb}: a strategy must be affine in it"))
                .label("stands for the mean of the rest of the program")
                .note("`k(x)` is an estimate of the rest; its mean enters correctly only through sums, and through products with numbers that do not come from `k`")
                .fix("use `v + …`, `r * v`, `sum`, `mean` of results of `k`");
            return self.report(d);
        }
        let plate = sources.iter().find_map(|s| match self.sources.get(s) {
            Some(Source::Plate(name, place)) => Some((name.clone(), *place)),
            _ => None,
        });
        if let Some((name, place)) = plate {
            let user = self.user_span(span);
            let caller = self.frames.iter().find(|f| f.span == user).filter(|_| user != span).map(|f| f.name.clone());
            let used = caller.map_or_else(|| verb.to_owned(), |c| format!("used by `{c}` other than in sums"));
            let d = Diagnostic::error(
                "E0305",
                span,
                format!("a sum over some rows of `{name}` is {used}: the result would be biased"),
            )
            .label(format!("an estimate is {verb}"))
            .also(place, format!("`{name}` is subsampled: what is summed over it stands for the sum over all rows"))
            .note("the mean of a non-linear function of an estimate is not the function of its mean")
            .fix(format!(
                "leave `by` out of `plate {name}`, so that the sum is whole; or apply the function to each row: `sum(for i in {name} {{ … }})`"
            ));
            return self.report(d);
        }
        let mut d = Diagnostic::error("E0305", span, format!("an estimate is {verb}: the result would be biased"))
            .label("an estimate: a number that stands for its mean")
            .note("the mean of a non-linear function of an estimate is not the function of its mean; estimates may be added, subtracted, and multiplied or divided by numbers");
        if let Some(Source::Expect(at)) = sources.iter().find_map(|s| self.sources.get(s))
            && !self.is_library(*at)
        {
            d = d.also(*at, "estimated here");
        }
        let recipes = if verb.contains("`exp`") { self.functions_of_recipes() } else { Vec::new() };
        let first = match recipes.first() {
            Some(name) => format!("`{name}(|| …)`, which takes independent runs"),
            None => "put the function inside the `expect`, where it acts on the numbers of one run, if that mean is what you want".to_owned(),
        };
        self.report(d.fix(format!(
            "{first}; or `plug_in(…)`, which takes the estimate for a number and marks the objective as biased"
        )));
    }

    /// An estimate taken for a number: the one way out, which every report names.
    pub fn plug_in(&mut self, arg: &ArgVal, span: Span, env: &Env) -> Val {
        let Some(n) = self.want_num(&arg.value, arg.span, env) else { return Val::Unknown };
        match &n.estimate {
            None => {}
            Some(sources) if self.in_strategy > 0 && self.continues(sources) => {
                self.nonlinear(&n.estimate, arg.span, "taken for a number");
            }
            Some(_) => {
                if self.mute == 0 {
                    self.biased.insert("plug_in".to_owned(), ());
                }
                self.report(
                    Diagnostic::warning(
                        "W0302",
                        span,
                        "the objective is biased: `plug_in` takes an estimate for a number",
                    )
                    .label("its mean is not this function of the mean")
                    .note(
                        "what is fitted is the mean of the program with the numbers of one run in place of their means",
                    ),
                );
            }
        }
        Val::Num(Num { estimate: None, ..n })
    }

    /// Functions of the library that take a recipe of an estimate and give one.
    fn functions_of_recipes(&mut self) -> Vec<String> {
        if self.mute > 0 {
            return Vec::new();
        }
        self.loaded.whole_folder("functions/");
        let estimate = |kind: &TypeKind| matches!(kind, TypeKind::Named { name, .. } if name.text == "estimate");
        let mut names: Vec<String> = Vec::new();
        for entry in &self.loaded.items.items {
            if let ItemKind::Fn(f) = &entry.item.kind
                && let Some(ty) = f.params.first().and_then(|p| p.ty.as_ref())
                && let TypeKind::Fn { params, result } = &ty.kind
                && params.is_empty()
                && estimate(&result.kind)
                && f.result.as_ref().is_some_and(|r| estimate(&r.kind))
            {
                names.push(f.name.text.clone());
            }
        }
        names.sort();
        names.dedup();
        names
    }
}
