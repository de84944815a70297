//! What checking found, as text: trace types and properties, strategies, derived guides, obligations.

use super::context::{Checker, How};
use super::program::DerivedGuide;
use super::value::{Env, GenVal, Mode};
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
                        c.run_gen(&GenVal { item: Some(id), args, sizes, frozen: false, span: g.name.span }, How::Type)
                    });
                    let Some(outcome) = outcome else { continue };
                    let word = if g.is_model { "model" } else { "guide" };
                    let normalized = if outcome.run.unnormalized.is_none() { "normalized, " } else { "" };
                    let whole = if self.subsampled_by(&outcome.run).is_none() { ", whole" } else { "" };
                    let _ = writeln!(
                        out,
                        "{word} {}: {} ({normalized}exact{whole})",
                        g.name.text,
                        self.trace_text(&outcome.entries)
                    );
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
}
