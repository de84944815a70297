//! Whole programs: those that must check, and those that must be refused with the code and place named.

use super::*;
use crate::diagnostic::{Diagnostic, Severity};

fn run(text: &str) -> (Option<program::Checked>, Vec<Diagnostic>, String) {
    let (checked, diagnostics, sources) = check_with_sources("test.ppl", text, &Alone);
    let mut shown = String::new();
    for d in &diagnostics {
        let place = d.primary.as_ref().map_or_else(String::new, |p| {
            let (line, column) = sources.line_column(p.span);
            format!("{}:{line}:{column} `{}` ({})", sources.file(p.span.file).name, sources.text(p.span), p.text)
        });
        shown.push_str(&format!("{} {} at {place}\n", d.code, d.message));
        for l in &d.secondary {
            let (line, column) = sources.line_column(l.span);
            shown.push_str(&format!("    {}:{line}:{column} {}\n", sources.file(l.span.file).name, l.text));
        }
        for n in &d.notes {
            shown.push_str(&format!("    note: {n}\n"));
        }
        if let Some(f) = &d.fix {
            shown.push_str(&format!("    fix: {f}\n"));
        }
    }
    (checked, diagnostics, shown)
}

/// The checked program; fails with what was reported.
fn fine(text: &str) -> program::Checked {
    let (checked, diagnostics, shown) = run(text);
    assert!(diagnostics.iter().all(|d| d.severity != Severity::Error), "{shown}");
    checked.unwrap_or_else(|| panic!("no result\n{shown}"))
}

/// The errors are exactly these codes, in order of place.
fn refused(text: &str, codes: &[&str]) -> String {
    let (checked, diagnostics, shown) = run(text);
    let found: Vec<&str> = diagnostics.iter().filter(|d| d.severity == Severity::Error).map(|d| d.code).collect();
    assert_eq!(found, codes, "{shown}");
    assert!(checked.is_none());
    shown
}

#[test]
fn scratch() {
    let Ok(list) = std::env::var("PROVI_SCRATCH") else { return };
    for file in list.split(',') {
        let text = std::fs::read_to_string(file).unwrap();
        let start = std::time::Instant::now();
        let (checked, _, shown) = run(&text);
        println!("==== {file} {:?}\n{shown}{}", start.elapsed(), checked.map_or(String::new(), |c| format!("{}{:?} {:?}\n", c.types, c.substitutes.len(), c.strategies.len())));
    }
}
