//! What checking found, as text: trace types and properties, strategies, derived guides, obligations.

use super::context::{Checker, How};
use super::generative::Outcome;
use super::program::DerivedGuide;
use super::value::{Env, GenForm, GenVal, Mode, Val};
use crate::syntax::tree::ItemKind;
use std::fmt::Write as _;

impl Checker {
    pub fn print(&mut self, derived: &[DerivedGuide]) -> String {
        let mut out = String::new();
        for at in 0..self.loaded.items.items.len() {
            let entry = self.loaded.items.items[at].clone();
            let id = super::program::ItemId(u32::try_from(at).unwrap_or(u32::MAX));
            if self.module_library(entry.module) {
                continue;
            }
            match &entry.item.kind {
                ItemKind::Data { name, .. } | ItemKind::Const { name, .. } | ItemKind::Param { name, .. } => {
                    let word = match &entry.item.kind {
                        ItemKind::Data { .. } => "data",
                        ItemKind::Const { .. } => "const",
                        _ => "param",
                    };
                    let value = self.global(id, false);
                    let kind = if value.kind().is_free() { "free" } else { "smooth" };
                    let _ = writeln!(out, "{word} {}: {} ({kind})", name.text, self.describe(&value));
                }
                ItemKind::Gen(g) => {
                    let (outcome, _) = self.quietly(|c| {
                        let mut env = Env::new(entry.module, Mode::Pure);
                        c.assumed_params(&g.sizes, &g.params, &mut env, false);
                        let (sizes, args) = super::call::split_bindings(&env, &g.sizes, &g.params);
                        c.run_gen(
                            &GenVal { form: GenForm::Item { id, args, sizes }, frozen: false, span: g.name.span },
                            How::Type,
                        )
                    });
                    let Some(outcome) = outcome else { continue };
                    let word = if g.is_model { "model" } else { "guide" };
                    self.print_function(word, &g.name.text, &outcome, &mut out);
                    let mut observed: Vec<&str> = outcome.run.observed.iter().map(|(n, _)| n.as_str()).collect();
                    observed.dedup();
                    if !observed.is_empty() {
                        let _ = writeln!(out, "  observes {}", observed.join(", "));
                    }
                    for e in &outcome.entries {
                        for id in &e.ids {
                            if let Some(s) = self.strategies.get(id) {
                                let _ = writeln!(out, "  {} by {s} (chosen)", e.path);
                            }
                        }
                    }
                }
                ItemKind::GuideAlias { name, .. } if !self.poisoned.contains(&id) => {
                    let (outcome, _) =
                        self.quietly(|c| match c.item_value(id, name.span, &Env::new(entry.module, Mode::Pure)) {
                            Val::Gen(g) => c.run_gen(&g, How::Type),
                            _ => None,
                        });
                    if let Some(outcome) = outcome {
                        self.print_function("guide", &name.text, &outcome, &mut out);
                    }
                }
                _ => {}
            }
        }
        for guide in derived {
            let _ = write!(out, "// guide {} = {}(…) stands for\n{}", guide.name, guide.family, guide.source);
        }
        for o in self.obligations.values() {
            let _ = writeln!(out, "to check when data are bound: {} = {}", o.left, o.right);
        }
        for t in &self.bound_tests {
            let (line, _) = self.loaded.sources.line_column(t.span);
            let _ = writeln!(out, "tested when it runs: {} must be {} (line {line})", t.what, t.bound);
        }
        out
    }

    /// Trace type and properties.
    fn print_function(&self, word: &str, name: &str, outcome: &Outcome, out: &mut String) {
        let normalized = if outcome.run.unnormalized.is_none() { "normalized, " } else { "" };
        let exact = if outcome.run.inexact.is_none() { "exact, " } else { "" };
        let whole = if self.subsampled_by(&outcome.run).is_none() { "whole" } else { "" };
        let properties = format!("{normalized}{exact}{whole}");
        let properties = properties.trim_end_matches(", ");
        let _ = writeln!(out, "{word} {name}: {} ({properties})", self.trace_text(&outcome.entries));
    }
}
