//! Delegation inside strategies that call their continuation several times: what they sample by a strategy that only replaces
//! the sample is replaced within the strategy's own statements. (Of a one-shot strategy, what it samples becomes a site of
//! the program, with the same rest.)

use super::oneshot::{is_one_shot, region_at, substitute_form};
use super::{Deriver, Site};
use crate::diagnostic::Diagnostic;
use crate::eliminate::tree;
use crate::ir::core::{Atom, Sample};
use crate::ir::walk::Substitution;
use crate::specialize::sites::StrategyForm;

impl Deriver<'_> {
    /// Replaces what the site's strategy samples by its value.
    pub(crate) fn inline_delegated(&mut self, site: &mut Site) -> Result<(), Diagnostic> {
        while tree::has_samples(&site.form.stmts) {
            let mut samples: Vec<Sample> = Vec::new();
            tree::each_sample(&site.form.stmts, &mut |s| samples.push(s.clone()));
            for sample in samples {
                let form = self.sites.strategy(&mut self.program, &sample)?;
                let Some(value) = replaced_by(&form) else {
                    let (outer, inner) = (self.sites.describe(site.sample.entry), self.sites.describe(sample.entry));
                    return Err(Diagnostic::error(
                        "E0290",
                        inner.span,
                        format!(
                            "`{}` calls its continuation several times and delegates to `{}`: this is not supported yet",
                            outer.strategy, inner.strategy
                        ),
                    )
                    .label(format!("`{}` is sampled here inside a strategy", inner.address))
                    .also(outer.span, format!("`{}` is sampled here by `{}`", outer.address, outer.strategy))
                    .fix("delegate to a strategy that passes on a path, such as `reparam` or `implicit`, or call the continuation once"));
                };
                let Some(path) = tree::find(&site.form.stmts, sample.results[0]) else { continue };
                let map: Substitution = sample.results.iter().copied().zip(value).collect();
                let at = path.last().map_or(0, |p| p.0);
                region_at(&mut site.form.stmts, &path).splice(at..=at, form.stmts);
                substitute_form(&mut site.form, &map);
            }
        }
        Ok(())
    }
}

/// The value of a strategy that is nothing but one call at it.
fn replaced_by(form: &StrategyForm) -> Option<Vec<Atom>> {
    let plain = is_one_shot(form) && form.constant == Atom::Real(0.0) && form.after.is_empty();
    let [call] = &form.calls[..] else { return None };
    (plain && call.stopped.is_none()).then(|| call.args.clone())
}
