//! Rendering: a diagnostic as text in the look of `rustc` (code, source lines, labels, notes, fix), or as the JSON object
//! that `--format json` prints.

use super::{Diagnostic, Label, Severity};
use crate::base::source::{FileId, Sources};
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use std::ops::Range;

/// One diagnostic as text, without a newline at its end. `colour` asks for ANSI escapes.
pub fn text(diagnostic: &Diagnostic, sources: &Sources, colour: bool) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let mut group: Group<'_> = Group::with_title(level.primary_title(diagnostic.message.as_str()).id(diagnostic.code));
    let labels: Vec<(&Label, AnnotationKind)> = diagnostic
        .primary
        .iter()
        .map(|l| (l, AnnotationKind::Primary))
        .chain(diagnostic.secondary.iter().map(|l| (l, AnnotationKind::Context)))
        .collect();
    let mut files: Vec<FileId> = Vec::new();
    for (label, _) in &labels {
        if !files.contains(&label.span.file) {
            files.push(label.span.file);
        }
    }
    for id in files {
        let file = sources.file(id);
        let mut snippet = Snippet::source(&*file.text).path(file.name.as_str());
        for (label, kind) in labels.iter().filter(|(l, _)| l.span.file == id) {
            let mut annotation = kind.span(clipped(&file.text, label));
            if !label.text.is_empty() {
                annotation = annotation.label(label.text.as_str());
            }
            snippet = snippet.annotation(annotation);
        }
        group = group.element(snippet);
    }
    for note in &diagnostic.notes {
        group = group.element(Level::NOTE.message(note.as_str()));
    }
    if let Some(fix) = &diagnostic.fix {
        group = group.element(Level::HELP.message(fix.as_str()));
    }
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    renderer.render(&[group])
}

/// All diagnostics as text, a blank line between them, and a line that counts them; empty if there are none.
pub fn report(diagnostics: &[Diagnostic], sources: &Sources, colour: bool) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        out.push_str(&text(diagnostic, sources, colour));
        out.push_str("\n\n");
    }
    let count = |severity| diagnostics.iter().filter(|d| d.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let plural = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    match (errors, warnings) {
        (0, 0) => {}
        (e, 0) => out.push_str(&format!("{}\n", plural(e, "error"))),
        (0, w) => out.push_str(&format!("{}\n", plural(w, "warning"))),
        (e, w) => out.push_str(&format!("{}, {}\n", plural(e, "error"), plural(w, "warning"))),
    }
    out
}

/// `{code, severity, message, file, line, column, fix}`, with `notes` and `labels` beside them. Lines and columns count
/// from 1, columns in characters. `file`, `line` and `column` are null for what has no place in a source file.
pub fn json(diagnostic: &Diagnostic, sources: &Sources) -> serde_json::Value {
    let place = |label: &Label| {
        let (line, column) = sources.line_column(label.span);
        (sources.file(label.span.file).name.clone(), line, column)
    };
    let severity = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    let main = diagnostic.primary.as_ref().map(place);
    let labels: Vec<serde_json::Value> = diagnostic
        .primary
        .iter()
        .chain(&diagnostic.secondary)
        .map(|l| {
            let (file, line, column) = place(l);
            serde_json::json!({ "file": file, "line": line, "column": column, "text": l.text })
        })
        .collect();
    serde_json::json!({
        "code": diagnostic.code,
        "severity": severity,
        "message": diagnostic.message,
        "file": main.as_ref().map(|m| &m.0),
        "line": main.as_ref().map(|m| m.1),
        "column": main.as_ref().map(|m| m.2),
        "fix": diagnostic.fix,
        "notes": diagnostic.notes,
        "labels": labels,
    })
}

/// The bytes of a label, within its file and on character boundaries.
fn clipped(text: &str, label: &Label) -> Range<usize> {
    let boundary = |at: usize| (0..=at.min(text.len())).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
    let start = boundary(label.span.start as usize);
    let end = boundary(label.span.end as usize).max(start);
    start..end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::source::Span;

    fn example() -> (Diagnostic, Sources) {
        let mut sources = Sources::default();
        let file = sources.add("a.ppl", "data x: real\nmodel m() {\n  θ ~ ~ normal(0, 1)\n}\n", false);
        let span = |start, end| Span { file, start, end };
        let diagnostic = Diagnostic::error("E0101", span(32, 33), "expected an expression, found `~`")
            .label("expected an expression")
            .also(span(0, 4), "after this")
            .note("a sample statement is `x ~ d`")
            .fix("remove one `~`");
        (diagnostic, sources)
    }

    #[test]
    fn text_shows_lines_labels_notes_and_fix() {
        let (diagnostic, sources) = example();
        let shown = text(&diagnostic, &sources, false);
        for part in [
            "error[E0101]: expected an expression",
            "--> a.ppl:3:7",
            "θ ~ ~ normal(0, 1)",
            "after this",
            "note: a sample",
            "help: remove one",
        ] {
            assert!(shown.contains(part), "{part}\n{shown}");
        }
        assert!(!shown.contains('\u{1b}'));
        assert!(text(&diagnostic, &sources, true).contains('\u{1b}'));
        assert!(report(&[diagnostic], &sources, false).ends_with("\n\n1 error\n"));
    }

    #[test]
    fn json_has_the_promised_fields() {
        let (diagnostic, sources) = example();
        let value = json(&diagnostic, &sources);
        assert_eq!(value["line"], 3);
        assert_eq!(value["column"], 7);
        assert_eq!(value["file"], "a.ppl");
        assert_eq!(value["severity"], "error");
        assert_eq!(value["fix"], "remove one `~`");
        let bare = json(&Diagnostic::bare("E0501", "no"), &sources);
        assert!(bare["line"].is_null() && bare["fix"].is_null() && bare["file"].is_null());
    }

    #[test]
    fn spans_outside_the_file_are_clipped() {
        let (mut diagnostic, sources) = example();
        for (start, end) in [(0, 9_999), (27, 28), (47, 47), (9_999, 1), (12, 13)] {
            diagnostic.primary = Some(Label { span: Span { file: FileId(0), start, end }, text: "here".to_string() });
            assert!(text(&diagnostic, &sources, false).contains("here"));
        }
    }
}
