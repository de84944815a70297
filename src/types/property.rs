//! Properties of generative functions: what they need, who asks for them, and what is said where one is missing. They are
//! found by running the function for its trace type.

use super::context::{Checker, How};
use super::generative::Outcome;
use super::value::{Env, GenVal, Val};
use crate::base::source::Span;
use crate::diagnostic::Diagnostic;
use crate::syntax::tree::{ExprKind, ObjectiveItem};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Property {
    /// Its density integrates to one: no `observe`, `factor`, `condition`, narrowed site, improper distribution.
    Normalized,
    /// Its log density is a number, not an estimate of one.
    Exact,
    /// It has no subsampled plate.
    Whole,
}

/// Who asks for a property.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// "the objective"
    pub by: &'static str,
    pub place: Option<Span>,
}

impl Property {
    pub fn name(self) -> &'static str {
        match self {
            Property::Normalized => "normalized",
            Property::Exact => "exact",
            Property::Whole => "whole",
        }
    }

    pub fn of(name: &str) -> Option<Property> {
        [Property::Normalized, Property::Exact, Property::Whole].into_iter().find(|p| p.name() == name)
    }

    /// Where and why a function lacks it.
    fn fault(self, checker: &Checker, outcome: &Outcome) -> Option<(Span, String)> {
        match self {
            Property::Normalized => outcome.run.unnormalized.clone(),
            Property::Exact => outcome.run.inexact.clone(),
            Property::Whole => {
                let (name, place) = checker.subsampled_by(&outcome.run)?;
                Some((place, format!("a step goes through some rows of `{name}` only")))
            }
        }
    }
}

impl Checker {
    /// Whether `g` has the property; reports it if not.
    pub fn require(&mut self, g: &GenVal, property: Property, span: Span, asked: Asked) -> bool {
        let (outcome, _) = self.quietly(|c| c.run_gen(g, How::Type));
        let Some(outcome) = outcome else { return true };
        let Some((place, why)) = property.fault(self, &outcome) else { return true };
        let name = &outcome.run.name;
        let (code, message, fix) = match property {
            Property::Normalized => (
                "E0306",
                format!("`{name}` must be normalized here"),
                "use an objective for unnormalized models, a model without observations (`predictive`), or `normalize`",
            ),
            Property::Exact => (
                "E0311",
                format!("`{name}` must have an exact density here"),
                "use an objective that takes an estimated density (ELBO, IWELBO), or marginalise by `enumerate`",
            ),
            Property::Whole => (
                "E0320",
                format!("`{name}` must be whole here: its log density is an estimate"),
                "leave `by` out of the plate, or apply the objective to each row: `sum(for i in rows { … })`",
            ),
        };
        let mut d = Diagnostic::error(code, span, message)
            .label(format!("{} asks for `{}`", asked.by, property.name()))
            .also(place, why);
        if let Some(at) = asked.place {
            d = d.also(at, "asked for here");
        }
        if property == Property::Exact {
            d = d.note(
                "the logarithm of an estimated density is not an unbiased estimate, nor is its derivative a score",
            );
        }
        self.report(d.fix(fix));
        false
    }

    /// `where normalized(p), exact(q) = …`
    pub fn conditions(&mut self, o: &ObjectiveItem, span: Span, env: &mut Env) {
        for condition in &o.conditions {
            let ExprKind::Call { callee, args } = &condition.kind else {
                self.report(
                    Diagnostic::error(
                        "E0205",
                        condition.span,
                        "a condition asks for a property: `exact(q)`, `normalized(p)`, `whole(p)`",
                    )
                    .label("here"),
                );
                continue;
            };
            let name = match &callee.kind {
                ExprKind::Name(name) => name.as_str(),
                _ => "",
            };
            let Some(property) = Property::of(name) else {
                self.report(
                    Diagnostic::error("E0201", condition.span, format!("there is no property `{name}`"))
                        .label("properties are `exact`, `normalized`, `whole`"),
                );
                continue;
            };
            for a in args {
                if let Val::Gen(g) = self.expr(&a.value, env) {
                    self.require(&g, property, span, Asked { by: "the objective", place: Some(a.value.span) });
                }
            }
        }
    }

    /// A weight is an exponential of a log density, which an estimate of that would bias.
    pub fn must_be_whole(&mut self, outcome: &Outcome, span: Span) {
        if let Some((name, place)) = self.subsampled_by(&outcome.run) {
            let function = &outcome.run.name;
            self.report(
                Diagnostic::error(
                    "E0320",
                    span,
                    format!("particles of `{function}` cannot be weighed: `{name}` is subsampled"),
                )
                .label("weighs whole traces")
                .also(place, "a step goes through some rows only")
                .note("a weight is the exponential of a log density, and that of an estimate is biased")
                .fix(format!("leave `by` out of `plate {name}`, or marginalise inside a row")),
            );
        }
    }

    /// Reports a function that cannot be run forwards. `span` is the place that runs it.
    pub fn must_simulate(&mut self, outcome: &Outcome, span: Span, label: &str) {
        let Some((place, why)) = &outcome.run.unnormalized else { return };
        // A guide that is not normalized is an error of its own.
        if outcome.run.is_guide {
            return;
        }
        self.report(
            Diagnostic::error("E0306", span, format!("`{}` cannot be simulated: it is not normalized", outcome.run.name))
                .label(label.to_owned())
                .also(*place, why.clone())
                .note("`simulate` needs a density that integrates to one; a function that observes, has a `factor`, a narrowed type or an improper distribution has none")
                .fix("give a guide here, or a model without observations; `predictive` samples the observations, `normalize` resamples"),
        );
    }
}
