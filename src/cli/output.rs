//! Where things are written: results on standard output, diagnostics on standard error.

use super::Exit;
use super::arguments::Format;
use crate::base::source::Sources;
use crate::diagnostic::{Diagnostic, render};
use crate::driver::Refusal;
use std::io::{IsTerminal as _, Write as _};

#[derive(Clone, Copy, Debug)]
pub struct Output {
    pub format: Format,
    colour: bool,
}

impl Output {
    pub fn new(format: Format) -> Output {
        let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Output { format, colour }
    }

    /// Whether progress may be shown.
    pub fn shows_progress(&self) -> bool {
        std::io::stderr().is_terminal()
    }

    /// The result: the text or the object, by the format asked for.
    pub fn result(&self, text: impl FnOnce() -> String, json: impl FnOnce() -> serde_json::Value) {
        let text = match self.format {
            Format::Text => text(),
            Format::Json => serde_json::to_string_pretty(&json()).unwrap_or_else(|_| "null".to_string()),
        };
        let mut out = std::io::stdout().lock();
        // A closed pipe is the reader's choice.
        let _ = out.write_all(text.as_bytes());
        if !text.ends_with('\n') && !text.is_empty() {
            let _ = out.write_all(b"\n");
        }
        let _ = out.flush();
    }

    /// A line on standard error.
    pub fn say(&self, text: &str) {
        let mut err = std::io::stderr().lock();
        let _ = writeln!(err, "{}", text.trim_end_matches('\n'));
    }

    pub fn diagnostics(&self, diagnostics: &[Diagnostic], sources: &Sources) {
        if !diagnostics.is_empty() {
            self.say(&render::report(diagnostics, sources, self.colour));
        }
    }

    /// Diagnostics that ended a command; with `--format json` they are the result too.
    pub fn refusal(&self, refusal: &Refusal) -> Exit {
        self.diagnostics(&refusal.diagnostics, &refusal.sources);
        if self.format == Format::Json {
            let list: Vec<_> = refusal.diagnostics.iter().map(|d| render::json(d, &refusal.sources)).collect();
            self.result(String::new, || serde_json::json!({ "status": "error", "diagnostics": list }));
        }
        Exit::Wrong
    }

    /// Arguments that make no sense.
    pub fn usage(&self, message: &str) -> Exit {
        self.say(&format!("error: {message}"));
        Exit::Usage
    }
}
