//! Layout: which newlines end a statement, and where one item ends and the next begins.
//!
//! `x =⏎ 1 // one⏎y` becomes `x =  1       ;y`: the text keeps its length in bytes, so spans stay exact. A newline ends a
//! statement unless the innermost open bracket is `(` or `[`, the token before it asks for more (a comma, an infix
//! operator, an opening bracket), or the next line starts with `by else with over where estimates .` or a closing brace.

use super::lexer::{ITEM_WORDS, Kind, RESERVED, Token};
use crate::base::source::{FileId, Span};
use crate::diagnostic::Diagnostic;

/// How deep brackets, and words that hold an expression, may nest.
pub const MAX_DEPTH: usize = 200;

/// The text of a file after layout, cut into items.
#[derive(Debug)]
pub struct Layout {
    /// As long as the source.
    pub text: String,
    pub pieces: Vec<Piece>,
}

/// What stands between two ends of statements outside all brackets: an item, if it begins with a word for one.
#[derive(Debug)]
pub struct Piece {
    pub start: usize,
    pub end: usize,
    /// `///` lines before it.
    pub doc: String,
    /// Why it must not be parsed: an unclosed bracket, a stray character, nesting that is too deep.
    pub error: Option<Diagnostic>,
    /// Deepest nesting in it.
    pub depth: usize,
}

#[derive(Clone, Copy)]
struct Opener {
    token: Token,
    /// Words in the current comma-separated part that hold an expression without a bracket: `if`, `|`, `<` ….
    weight: usize,
}

struct Cutter<'a> {
    source: &'a str,
    file: FileId,
    text: Vec<u8>,
    pieces: Vec<Piece>,
    stack: Vec<Opener>,
    weight: usize,
    /// The sum of all weights.
    total: usize,
    doc: Vec<String>,
    current: Option<Piece>,
}

/// Cuts a text into pieces. Never fails; pieces that cannot be parsed carry their error.
pub fn layout(source: &str, file: FileId, tokens: &[Token]) -> Layout {
    let significant: Vec<Token> = tokens.iter().copied().filter(|t| !t.is_trivia()).collect();
    let balanced = is_balanced(source, &significant);
    let mut cutter = Cutter {
        source,
        file,
        text: source.as_bytes().to_vec(),
        pieces: Vec::new(),
        stack: Vec::new(),
        weight: 0,
        total: 0,
        doc: Vec::new(),
        current: None,
    };
    // Index in `significant` of the next token that is not trivia.
    let mut next = 0;
    for token in tokens {
        match token.kind {
            Kind::Space => {}
            Kind::Comment => cutter.blank(token),
            Kind::Doc => {
                cutter.blank(token);
                if cutter.stack.is_empty() {
                    let line = token.text(source).trim_start_matches('/');
                    cutter.doc.push(line.strip_prefix(' ').unwrap_or(line).trim_end().to_string());
                }
            }
            Kind::Newline => {
                let before = if cutter.current.is_some() { &significant[..next] } else { &[] };
                let resync = !balanced && begins_item(source, token.end, &significant[next..]);
                if resync {
                    cutter.close_open_brackets();
                }
                if resync || ends_statement(source, &cutter.stack, before, &significant[next..]) {
                    cutter.text[token.start] = b';';
                    if cutter.stack.is_empty() {
                        cutter.finish();
                    }
                    cutter.reset_weight();
                }
            }
            Kind::Semicolon => {
                next += 1;
                if cutter.stack.is_empty() {
                    cutter.finish();
                }
                cutter.reset_weight();
            }
            Kind::Word | Kind::Number | Kind::Text | Kind::Open | Kind::Close | Kind::Symbol | Kind::Unknown => {
                next += 1;
                cutter.take(token);
            }
        }
    }
    cutter.close_open_brackets();
    cutter.finish();
    let text = String::from_utf8(cutter.text).unwrap_or_else(|_| source.to_string());
    Layout { text, pieces: cutter.pieces }
}

/// Layout of a text that is one expression or statement: all newlines that end a statement become `;`.
pub fn single(source: &str, file: FileId, tokens: &[Token]) -> Result<(String, usize), Box<Diagnostic>> {
    let laid = layout(source, file, tokens);
    let mut depth = 0;
    for piece in laid.pieces {
        if let Some(error) = piece.error {
            return Err(Box::new(error));
        }
        depth = depth.max(piece.depth);
    }
    Ok((laid.text, depth))
}

impl Cutter<'_> {
    fn span(&self, token: &Token) -> Span {
        span(self.file, token.start, token.end)
    }

    fn blank(&mut self, token: &Token) {
        for byte in &mut self.text[token.start..token.end] {
            *byte = b' ';
        }
    }

    fn piece(&mut self, token: &Token) -> &mut Piece {
        let doc = &mut self.doc;
        let piece = self.current.get_or_insert_with(|| Piece {
            start: token.start,
            end: token.end,
            doc: std::mem::take(doc).join("\n"),
            error: None,
            depth: 0,
        });
        piece.end = token.end;
        piece
    }

    fn fail(&mut self, token: &Token, error: Diagnostic) {
        self.piece(token).error.get_or_insert(error);
    }

    fn reset_weight(&mut self) {
        let weight = match self.stack.last_mut() {
            Some(opener) => &mut opener.weight,
            None => &mut self.weight,
        };
        self.total -= *weight;
        *weight = 0;
    }

    fn pop(&mut self) -> Option<Opener> {
        let opener = self.stack.pop()?;
        self.total -= opener.weight;
        Some(opener)
    }

    fn take(&mut self, token: &Token) {
        self.piece(token);
        let text = token.text(self.source);
        match token.kind {
            Kind::Open => self.stack.push(Opener { token: *token, weight: 0 }),
            Kind::Close => match self.pop() {
                Some(opener) if closes(opener.token.text(self.source), text) => {}
                Some(opener) => {
                    let open = opener.token.text(self.source);
                    let error =
                        Diagnostic::error("E0102", self.span(token), format!("`{text}` does not close `{open}`"))
                            .label(format!("expected `{}`", closer(open)))
                            .also(self.span(&opener.token), "opened here");
                    self.fail(token, error);
                }
                None => {
                    let error = Diagnostic::error("E0102", self.span(token), format!("`{text}` closes nothing"))
                        .label("not opened");
                    self.fail(token, error);
                }
            },
            Kind::Word | Kind::Symbol => {
                if text == "," {
                    self.reset_weight();
                } else if matches!(text, "if" | "match" | "for" | "expect" | "|" | "||" | "<" | "->") {
                    self.total += 1;
                    match self.stack.last_mut() {
                        Some(opener) => opener.weight += 1,
                        None => self.weight += 1,
                    }
                }
            }
            Kind::Text => {
                if token.end - token.start < 2 || !text.ends_with('"') {
                    let error = Diagnostic::error("E0107", self.span(token), "this text has no closing `\"`")
                        .label("the line ends first")
                        .fix("put a `\"` at its end");
                    self.fail(token, error);
                }
            }
            Kind::Unknown => {
                let error =
                    Diagnostic::error("E0107", self.span(token), format!("`{text}` is no character of the language"));
                self.fail(token, error);
            }
            Kind::Number | Kind::Space | Kind::Newline | Kind::Comment | Kind::Doc | Kind::Semicolon => {}
        }
        let depth = self.stack.len() + self.total;
        if depth > MAX_DEPTH {
            let error = Diagnostic::error("E0105", self.span(token), format!("nested more than {MAX_DEPTH} deep"))
                .fix("give parts of it names with `let` or `fn`");
            self.fail(token, error);
        }
        let piece = self.piece(token);
        piece.depth = piece.depth.max(depth);
    }

    fn close_open_brackets(&mut self) {
        let Some(opener) = self.stack.pop() else { return };
        let open = opener.token.text(self.source);
        let error = Diagnostic::error("E0102", self.span(&opener.token), format!("this `{open}` is never closed"))
            .label(format!("needs a `{}`", closer(open)));
        if let Some(piece) = &mut self.current {
            piece.error.get_or_insert(error);
        }
        self.stack.clear();
    }

    fn finish(&mut self) {
        self.weight = 0;
        self.total = 0;
        if let Some(piece) = self.current.take() {
            self.pieces.push(piece);
        }
    }
}

pub(super) fn span(file: FileId, start: usize, end: usize) -> Span {
    let clip = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    Span { file, start: clip(start), end: clip(end) }
}

fn closer(open: &str) -> &'static str {
    match open {
        "(" => ")",
        "[" => "]",
        _ => "}",
    }
}

fn closes(open: &str, close: &str) -> bool {
    closer(open) == close
}

fn is_balanced(source: &str, significant: &[Token]) -> bool {
    let mut stack = Vec::new();
    for token in significant {
        match token.kind {
            Kind::Open => stack.push(token.text(source)),
            Kind::Close => match stack.pop() {
                Some(open) if closes(open, token.text(source)) => {}
                _ => return false,
            },
            _ => {}
        }
    }
    stack.is_empty()
}

/// In a file whose brackets do not match, an item word at the very start of a line begins an item.
fn begins_item(source: &str, line: usize, rest: &[Token]) -> bool {
    let [first, second, ..] = rest else { return false };
    let word = first.text(source);
    first.start == line
        && ITEM_WORDS.contains(&word)
        && match second.kind {
            Kind::Word | Kind::Text => true,
            Kind::Open => word == "fit",
            _ => false,
        }
}

fn ends_statement(source: &str, stack: &[Opener], before: &[Token], after: &[Token]) -> bool {
    let Some(last) = before.last() else { return false };
    if stack.last().is_some_and(|o| o.token.text(source) != "{") {
        return false;
    }
    let text = last.text(source);
    let asks_for_more = match last.kind {
        Kind::Open | Kind::Semicolon => true,
        Kind::Word => {
            let is_field = before.len() > 1 && before[before.len() - 2].text(source) == ".";
            RESERVED.contains(&text) && !is_field && text != "true" && text != "false"
        }
        Kind::Symbol => match text {
            "?" => false,
            ">" => !closes_angle(source, before),
            _ => true,
        },
        _ => false,
    };
    if asks_for_more {
        return false;
    }
    let Some(first) = after.first() else { return false };
    let follows = after.get(1).map_or("", |t| t.text(source));
    match (first.kind, first.text(source)) {
        (Kind::Close, "}") => false,
        (Kind::Symbol, ".") => false,
        (Kind::Word, "else") => false,
        (Kind::Word, "by" | "with" | "over" | "where" | "estimates") => matches!(follows, "=" | "~" | ":"),
        (Kind::Word, "particles") => !(stack.is_empty() && follows == ":"),
        _ => true,
    }
}

/// Whether the `>` at the end closes a `<` of a type rather than compares.
fn closes_angle(source: &str, before: &[Token]) -> bool {
    let mut depth = 0_i32;
    let mut angles = 0_i32;
    for token in before.iter().rev() {
        match (token.kind, token.text(source)) {
            (Kind::Close, _) => depth += 1,
            (Kind::Open, _) => {
                depth -= 1;
                if depth < 0 {
                    return false;
                }
            }
            (Kind::Semicolon, _) | (Kind::Symbol, "&&" | "||") if depth == 0 => return false,
            (Kind::Symbol, ">") if depth == 0 => angles += 1,
            (Kind::Symbol, "<") if depth == 0 => {
                angles -= 1;
                if angles <= 0 {
                    return true;
                }
            }
            _ => {}
        }
    }
    false
}
