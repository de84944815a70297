//! `marginal(…, by: enumerate)`: what is summed over must have finitely many values; the density is then exact, and is
//! that of the function with these addresses free.

use super::context::{Checker, How};
use super::generative::{Entry, Outcome};
use super::particles::{present_as, trace};
use super::value::{Base, GenVal, Val};
use crate::base::source::Span;
use crate::diagnostic::Diagnostic;

impl Checker {
    pub(super) fn marginal_by_enumeration(
        &mut self,
        of: &GenVal,
        types: Outcome,
        kept: Vec<Entry>,
        rest: &[Entry],
        how: How,
        span: Span,
    ) -> Option<Outcome> {
        if let Some((place, _)) = &types.run.inexact {
            let place = *place;
            self.unsupported(
                place,
                "a function that is estimated by importance sampling inside `marginal` by `enumerate`",
            );
            return None;
        }
        if !self.all_finite(rest, true, span) {
            return None;
        }
        let is_kept = |path: &str| kept.iter().any(|e| e.path == path);
        let mut outcome = match how {
            How::Type => Outcome { entries: kept, ..types },
            How::Simulate | How::Draw => {
                let full = self.run_gen(of, how)?;
                let place = self.user_span(of.span);
                let entries: Vec<Entry> = full.entries.into_iter().filter(|e| is_kept(&e.path)).collect();
                let scored = self.run_gen(of, How::Density(trace(&entries, Some(place))))?;
                let mut run = full.run;
                run.density.join(&scored.run.density);
                Outcome { run, entries, given: full.given, result: Val::Unit }
            }
            How::Density(values) => {
                let given = values.restricted(&is_kept);
                let scored = self.run_gen(of, How::Density(given))?;
                Outcome { entries: present_as(kept, &scored.entries), ..scored }
            }
        };
        outcome.result = Val::Record(trace(&outcome.entries, None));
        Some(outcome)
    }

    /// The density over what it sums to; all that is sampled has finitely many values.
    pub(super) fn normalized_by_enumeration(&mut self, of: &GenVal, how: How, span: Span) -> Option<Outcome> {
        let types = self.run_gen(of, How::Type)?;
        if types.run.later.iter().any(|(n, _)| n == "?") {
            return None;
        }
        self.must_be_whole(&types, of.span);
        if let Some((place, _)) = &types.run.inexact {
            let place = *place;
            self.unsupported(
                place,
                "a function that is estimated by importance sampling inside `normalize` by `enumerate`",
            );
            return None;
        }
        if !self.all_finite(&types.entries, false, span) {
            return None;
        }
        let mut outcome = match how {
            How::Type => types,
            How::Density(values) => {
                let scored = self.run_gen(of, How::Density(values))?;
                Outcome { entries: present_as(types.entries, &scored.entries), ..scored }
            }
            How::Simulate | How::Draw => {
                let place = self.user_span(span);
                self.report(
                    Diagnostic::error(
                        "E0290",
                        place,
                        "a sample of what is normalised by `enumerate` is not supported yet",
                    )
                    .label("has a density only")
                    .fix("`by: importance(q, n: K)` with a proposal `q`, which is exact as K grows"),
                );
                return None;
            }
        };
        outcome.run.unnormalized = None;
        outcome.run.is_guide = true;
        outcome.run.observed.clear();
        outcome.result = Val::Record(trace(&outcome.entries, None));
        Some(outcome)
    }

    fn all_finite(&mut self, rest: &[Entry], some_kept: bool, span: Span) -> bool {
        let mut fine = true;
        for e in rest {
            let finite = match &e.element {
                Val::Num(n) => match n.base {
                    Base::Bool => true,
                    Base::Int => n.support.lower().is_some() && n.support.upper().is_some(),
                    Base::Real => false,
                },
                Val::Unknown => true,
                _ => false,
            };
            if finite {
                continue;
            }
            fine = false;
            let found = self.describe(&e.value);
            let place = self.user_span(span);
            self.report(
                Diagnostic::error("E0307", place, format!("`{}` is {found}: it cannot be enumerated", e.path))
                    .label("sums over all values of what is not kept")
                    .also(e.span, "sampled here")
                    .note("enumeration needs a finite set of ints")
                    .fix(format!(
                        "{}`by: importance(…)`",
                        if some_kept { format!("keep `{}`, or ", e.path) } else { String::new() }
                    )),
            );
        }
        fine
    }
}
