//! What a syntax error is called: pest's failed attempts at the furthest position, in human words.

use super::layout::span;
use super::lexer::{ITEM_WORDS, Kind, RESERVED, tokens};
use super::parser::{Grammar, Rule};
use crate::base::names::nearest;
use crate::base::source::FileId;
use crate::diagnostic::Diagnostic;
use pest::Parser as _;
use pest::error::{Error, InputLocation};
use std::sync::Mutex;

/// pest's switch for detailed errors belongs to the process.
static DETAIL: Mutex<()> = Mutex::new(());

/// The diagnostic of an item that pest refused. The item is parsed once more with details.
pub(super) fn explain(rule: Rule, text: &str, file: FileId, base: usize, error: &Error<Rule>) -> Diagnostic {
    let message = error.variant.message();
    if message.contains("limit reached") {
        return Diagnostic::error("E0105", span(file, base, base + text.len()), "this is nested too deeply to be read")
            .fix("give parts of it names with `let` or `fn`");
    }
    let (at, expected) = furthest(rule, text).unwrap_or_else(|| {
        let at = match error.location {
            InputLocation::Pos(at) | InputLocation::Span((at, _)) => at,
        };
        (at, Vec::new())
    });
    let at = skip_blanks(text, at.min(text.len()));
    let (found, end) = token_at(text, at);
    let place = span(file, base + at, base + end);
    let wanted = describe(&expected);
    if let Some((start, word)) = reserved_before(text, at).filter(|_| wanted.iter().any(|w| w == "a name")) {
        let place = span(file, base + start, base + start + word.len());
        return Diagnostic::error("E0106", place, format!("`{word}` is a word of the language, not a name"))
            .label("a name was expected")
            .fix(format!("choose another name, such as `{word}_`"));
    }
    let found = match found.as_str() {
        "" => "the end".to_string(),
        ";" => "the end of the statement".to_string(),
        word => format!("`{word}`"),
    };
    let place = if at >= text.len() { span(file, base + text.trim_end().len(), base + text.len()) } else { place };
    match wanted.as_slice() {
        [] => Diagnostic::error("E0101", place, format!("{found} was not expected here")).label("not expected"),
        list => Diagnostic::error("E0101", place, format!("expected {}, found {found}", or_list(list)))
            .label(format!("expected {}", or_list(list))),
    }
    .hinted(text, at)
}

/// A line outside all brackets that begins with no word for an item.
pub(super) fn not_an_item(file: FileId, base: usize, text: &str) -> Diagnostic {
    let (found, end) = token_at(text, 0);
    let error = Diagnostic::error("E0103", span(file, base, base + end), format!("expected an item, found `{found}`"))
        .label("no item begins with this")
        .note(format!("a file holds items, which begin with {}", quoted(&ITEM_WORDS)));
    match nearest(&found, ITEM_WORDS.iter().copied()) {
        Some(word) => error.fix(format!("`{word}`?")),
        None => error,
    }
}

/// Types that other languages put before a name.
const DECLARATIONS: [&str; 6] = [" real", " int", " bool", " vector", " matrix", " float"];

/// The text ends inside round brackets, after a name.
fn in_call(before: &str) -> bool {
    let opened = before.matches('(').count() > before.matches(')').count();
    opened && before.ends_with(|c: char| c.is_alphanumeric() || c == '_')
}

trait Hinted {
    fn hinted(self, text: &str, at: usize) -> Self;
}

impl Hinted for Diagnostic {
    /// Fixes of mistakes that are common among users of other languages.
    fn hinted(self, text: &str, at: usize) -> Diagnostic {
        let rest = &text[at..];
        let before = text[..at].trim_end();
        let fix = if rest.starts_with("<-") {
            "write `~` to sample and `=` to define"
        } else if rest.starts_with("**") || (before.ends_with('*') && rest.starts_with('*')) {
            "write `^` for powers"
        } else if rest.starts_with("+=") || (before.ends_with('+') && rest.starts_with('=')) {
            "write `x = x + e`"
        } else if rest.starts_with('.') && before.ends_with(|c: char| c.is_ascii_digit()) {
            "write a digit after the point: `2.0`, or leave the point out: `2`"
        } else if before.ends_with("return") {
            "there is no `return`: the last expression of a block is its value"
        } else if rest.starts_with('=') && in_call(before) {
            "a named argument takes a colon: `scale: 1`"
        } else if rest.starts_with(':') && before.rsplit_once('\n').map_or(before, |l| l.1).contains(" in ") {
            "a range is written `0..n`; indices start at 0, and `n` is left out"
        } else if rest.is_empty() && before.trim_start().starts_with("param ") && !before.contains('=') {
            "a parameter has a first value: `param m: real = 0`"
        } else if DECLARATIONS.iter().any(|word| before.ends_with(word)) {
            "nothing is declared ahead: `mu ~ normal(0, 1)` samples, `let x = e` names a value, `var x = e` one that changes"
        } else if rest.starts_with("then") {
            "write `if c { a } else { b }`"
        } else if (rest.starts_with('>') || rest.starts_with('<')) && text[..at].contains("..") && text.contains('<') {
            "bounds of ints are written `int<0..=9>`, of reals `real<lower=0, upper=1>`"
        } else {
            return self;
        };
        self.fix(fix)
    }
}

/// The furthest position reached, and what would have been accepted there.
fn furthest(rule: Rule, text: &str) -> Option<(usize, Vec<String>)> {
    let _held = DETAIL.lock().ok()?;
    pest::set_error_detail(true);
    let result = Grammar::parse(rule, text);
    pest::set_error_detail(false);
    let error = result.err()?;
    let attempts = error.parse_attempts()?;
    let mut expected: Vec<String> = attempts.expected_tokens().iter().map(ToString::to_string).collect();
    for stack in attempts.call_stacks() {
        for rule in [stack.deepest.get_rule(), stack.parent.as_ref()].into_iter().flatten() {
            expected.push(format!("rule {rule:?}"));
        }
    }
    Some((attempts.max_position, expected))
}

/// Human words for the tokens that would have been accepted.
fn describe(expected: &[String]) -> Vec<String> {
    let has = |token: &str| expected.iter().any(|e| e == token);
    let mut words: Vec<String> = Vec::new();
    let expression = has("expect") && has("match");
    let operator = has("??") || has("@");
    let name = has("rule name") || has("rule field_name") || has("rule hole");
    let type_like = !expression && has("rule named_type") || (has("fn") && has("{") && !has("model"));
    if expression {
        words.push("an expression".to_string());
    } else if type_like {
        words.push("a type".to_string());
    } else if name {
        words.push("a name".to_string());
    }
    if has("rule string") && !expression {
        words.push("a text in quotes".to_string());
    }
    if expression || type_like {
        return words;
    }
    if operator {
        words.push("an operator".to_string());
    }
    let punctuation: &[&str] = if operator {
        &["}", ")", "]", ","]
    } else {
        &["}", ")", "]", ",", ":", "=", "~", "{", "(", "[", "->", "=>", "<", ">", "::", "..="]
    };
    for token in punctuation {
        if has(token) {
            words.push(format!("`{token}`"));
        }
    }
    for token in ["in", "by", "on", "smooth", "free", "relaxed", "lower", "upper", "else"] {
        if has(token) && !operator {
            words.push(format!("`{token}`"));
        }
    }
    words.truncate(6);
    words
}

/// A reserved word that ends or begins at a position, with its start: the grammar reads past it before it refuses it.
fn reserved_before(text: &str, at: usize) -> Option<(usize, &str)> {
    let list = tokens(text);
    let next = list.iter().position(|t| t.start >= at).unwrap_or(list.len());
    let near = list.get(next).into_iter().chain(list[..next].iter().rev().find(|t| t.kind != Kind::Space));
    near.map(|t| (t.start, t.text(text))).find(|(_, word)| RESERVED.contains(word))
}

fn skip_blanks(text: &str, at: usize) -> usize {
    let at = (0..=at).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
    at + text[at..].len() - text[at..].trim_start().len()
}

/// The token that starts at a position, and its end.
fn token_at(text: &str, at: usize) -> (String, usize) {
    let rest = &text[at..];
    let line = rest.find('\n').unwrap_or(rest.len());
    match tokens(&rest[..line]).into_iter().find(|t| t.kind != Kind::Space) {
        Some(token) => (token.text(rest).to_string(), at + token.end),
        None => (String::new(), at),
    }
}

fn or_list(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} or {last}", rest.join(", ")),
    }
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", ")
}
