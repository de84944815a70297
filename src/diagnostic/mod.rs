//! Diagnostics: what a user is told about a program or its data. A diagnostic carries a code, a main span with a
//! label, further labelled spans, the reason and, where there is one, a fix. Rendering is in [`render`].

pub mod codes;
pub mod render;

use crate::base::source::Span;

#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub enum Severity {
    Note,
    Warning,
    Error,
}

/// A labelled place.
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    pub span: Span,
    pub text: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Diagnostic {
    /// `E0301`, `W0101`; every code has a page.
    pub code: &'static str,
    pub severity: Severity,
    /// One line, no full stop.
    pub message: String,
    /// The main place; `None` for what has no place in a source file (data files, the command line).
    pub primary: Option<Label>,
    pub secondary: Vec<Label>,
    /// Why, in sentences.
    pub notes: Vec<String>,
    /// What to write instead.
    pub fix: Option<String>,
}

impl Diagnostic {
    pub fn error(code: &'static str, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            code,
            severity: Severity::Error,
            message: message.into(),
            primary: Some(Label { span, text: String::new() }),
            secondary: Vec::new(),
            notes: Vec::new(),
            fix: None,
        }
    }

    /// An error without a place in a source file.
    pub fn bare(code: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            code,
            severity: Severity::Error,
            message: message.into(),
            primary: None,
            secondary: Vec::new(),
            notes: Vec::new(),
            fix: None,
        }
    }

    pub fn warning(code: &'static str, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic { severity: Severity::Warning, ..Diagnostic::error(code, span, message) }
    }

    #[must_use]
    pub fn label(mut self, text: impl Into<String>) -> Diagnostic {
        if let Some(primary) = &mut self.primary {
            primary.text = text.into();
        }
        self
    }

    #[must_use]
    pub fn also(mut self, span: Span, text: impl Into<String>) -> Diagnostic {
        self.secondary.push(Label { span, text: text.into() });
        self
    }

    #[must_use]
    pub fn note(mut self, text: impl Into<String>) -> Diagnostic {
        self.notes.push(text.into());
        self
    }

    #[must_use]
    pub fn fix(mut self, text: impl Into<String>) -> Diagnostic {
        self.fix = Some(text.into());
        self
    }
}

/// True if any is an error.
pub fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|d| d.severity == Severity::Error)
}
