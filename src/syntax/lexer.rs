//! The lexer: text to tokens, for layout, splitting, highlighting and the continuation of a line typed at a prompt.
//!
//! Tokens cover the text without gaps; what is no token of the language is [`Kind::Unknown`].

use logos::Logos;

#[derive(Logos, Clone, Copy, PartialEq, Eq, Debug, Hash)]
enum Raw {
    #[regex(r"[ \t\r\u{feff}]+")]
    Space,
    #[token("\n")]
    Newline,
    #[regex(r"//[^\n]*", allow_greedy = true)]
    Comment,
    #[regex(r"[\p{XID_Start}_][\p{XID_Continue}]*")]
    Word,
    #[regex(r"[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")]
    Number,
    #[regex("\"[^\"\n]*\"?")]
    Text,
    #[regex(r"[({\[]")]
    Open,
    #[regex(r"[)}\]]")]
    Close,
    #[token(";")]
    Semicolon,
    #[regex(r"==|!=|<=|>=|&&|\|\||\?\?|\.\.=|\.\.|->|=>|::|[-+*/%^@=<>!~:,.?|]")]
    Symbol,
}

/// What a token is. `Symbol` covers operators and punctuation; its text says which.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Kind {
    Space,
    Newline,
    /// `// …`
    Comment,
    /// `/// …`
    Doc,
    /// An identifier, a reserved word, or `_`.
    Word,
    Number,
    /// `"…"`; the closing quote is missing when the line ends first.
    Text,
    Open,
    Close,
    Semicolon,
    Symbol,
    Unknown,
}

/// Bytes `start..end` of the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Token {
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
}

impl Token {
    pub fn text<'a>(&self, source: &'a str) -> &'a str {
        source.get(self.start..self.end).unwrap_or("")
    }

    /// Space, newline or comment: nothing that a statement is made of.
    pub fn is_trivia(&self) -> bool {
        matches!(self.kind, Kind::Space | Kind::Newline | Kind::Comment | Kind::Doc)
    }
}

/// All tokens of a text.
pub fn tokens(source: &str) -> Vec<Token> {
    let mut found: Vec<Token> = Vec::with_capacity(source.len() / 3);
    for (raw, range) in Raw::lexer(source).spanned() {
        let kind = match raw {
            Ok(Raw::Space) => Kind::Space,
            Ok(Raw::Newline) => Kind::Newline,
            Ok(Raw::Comment) => {
                let text = &source[range.clone()];
                if text.starts_with("///") && !text.starts_with("////") { Kind::Doc } else { Kind::Comment }
            }
            Ok(Raw::Word) => Kind::Word,
            Ok(Raw::Number) => Kind::Number,
            Ok(Raw::Text) => Kind::Text,
            Ok(Raw::Open) => Kind::Open,
            Ok(Raw::Close) => Kind::Close,
            Ok(Raw::Semicolon) => Kind::Semicolon,
            Ok(Raw::Symbol) => Kind::Symbol,
            Err(()) => Kind::Unknown,
        };
        match found.last_mut() {
            Some(last) if kind == Kind::Unknown && last.kind == Kind::Unknown => last.end = range.end,
            _ => found.push(Token { kind, start: range.start, end: range.end }),
        }
    }
    found
}

/// Words that are never names.
pub const RESERVED: [&str; 15] = [
    "let", "var", "if", "else", "for", "in", "while", "match", "expect", "observe", "factor", "learn", "assert",
    "true", "false",
];

/// Words that begin an item.
pub const ITEM_WORDS: [&str; 20] = [
    "data",
    "const",
    "param",
    "tune",
    "plate",
    "type",
    "fn",
    "model",
    "guide",
    "dist",
    "bijector",
    "family",
    "biased",
    "strategy",
    "objective",
    "fit",
    "test",
    "use",
    "prefer",
    "support",
];
