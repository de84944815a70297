//! Whole programs are read, printed and read again; errors cost the item they stand in.

mod errors;
mod programs;
mod trees;

use super::parser::{NodeIds, parse_expr, parse_file};
use super::tree::{Expr, File};
use crate::base::source::Sources;
use crate::diagnostic::Diagnostic;

fn read(text: &str) -> (File, Vec<Diagnostic>, Sources) {
    let mut sources = Sources::default();
    let file = sources.add("test.ppl", text, false);
    let (tree, diagnostics) = parse_file(&sources, file, &mut NodeIds::default());
    (tree, diagnostics, sources)
}

fn expression(text: &str) -> Result<Expr, Vec<Diagnostic>> {
    let mut sources = Sources::default();
    let file = sources.add("expr", text, false);
    parse_expr(&sources, file, &mut NodeIds::default())
}

/// A tree as text, without spans and ids.
fn shape(tree: &impl std::fmt::Debug) -> String {
    let text = format!("{tree:?}");
    let mut kept = String::with_capacity(text.len());
    let mut rest = text.as_str();
    loop {
        let span = rest.find("Span {");
        let id = rest.find("NodeId(");
        let (at, close) = match (span, id) {
            (Some(s), Some(i)) if s < i => (s, '}'),
            (Some(s), None) => (s, '}'),
            (_, Some(i)) => (i, ')'),
            (None, None) => break,
        };
        kept.push_str(&rest[..at]);
        let mut end = at + rest[at..].find(close).map_or(rest.len() - at, |n| n + 1);
        // `Span { file: FileId(0), … }`
        if close == '}' && rest[at..end].matches('{').count() > 1 {
            end += rest[end..].find('}').map_or(0, |n| n + 1);
        }
        rest = &rest[end..];
    }
    kept.push_str(rest);
    kept
}
