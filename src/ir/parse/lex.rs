//! Words of Core's text form, each with its line and column (both from 1; columns count characters).

/// Where a word stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

#[derive(Clone, PartialEq, Debug)]
pub(super) enum Token {
    /// A keyword, a variable (`eta`, `eta.12`, `%12`), the name of an operation.
    Word(String),
    Int(i64),
    Real(f64),
    Text(String),
    /// `->` or one character.
    Sign(&'static str),
    End,
}

impl Token {
    /// For messages.
    pub(super) fn describe(&self) -> String {
        match self {
            Token::Word(w) => format!("`{w}`"),
            Token::Int(i) => format!("`{i}`"),
            Token::Real(x) => format!("`{x:?}`"),
            Token::Text(t) => format!("{t:?}"),
            Token::Sign(s) => format!("`{s}`"),
            Token::End => "the end of the text".to_owned(),
        }
    }
}

const SIGNS: [&str; 14] = ["->", "(", ")", "[", "]", "{", "}", "<", ">", ",", ":", ";", "=", "?"];

/// All words, the last one [`Token::End`]; or what is wrong and where.
pub(super) fn lex(text: &str) -> Result<Vec<(Token, Place)>, (Place, String)> {
    let chars: Vec<char> = text.chars().collect();
    let mut out = Vec::new();
    let mut at = 0;
    let mut place = Place { line: 1, column: 1 };
    while at < chars.len() {
        let start = at;
        let c = chars[at];
        if c == '\n' {
            at += 1;
            place = Place { line: place.line + 1, column: 1 };
            continue;
        }
        let token = if c.is_whitespace() {
            at += 1;
            None
        } else if c == '/' && chars.get(at + 1) == Some(&'/') {
            while at < chars.len() && chars[at] != '\n' {
                at += 1;
            }
            None
        } else if c.is_ascii_alphabetic() || c == '_' || c == '%' {
            at += 1;
            while at < chars.len() && (chars[at].is_ascii_alphanumeric() || chars[at] == '_') {
                at += 1;
            }
            if chars.get(at) == Some(&'.') && chars.get(at + 1).is_some_and(char::is_ascii_digit) {
                at += 1;
                while chars.get(at).is_some_and(char::is_ascii_digit) {
                    at += 1;
                }
            }
            let word: String = chars[start..at].iter().collect();
            Some(match word.as_str() {
                "inf" => Token::Real(f64::INFINITY),
                "nan" => Token::Real(f64::NAN),
                _ => Token::Word(word),
            })
        } else if c == '-' && chars.get(at + 1) == Some(&'>') {
            at += 2;
            Some(Token::Sign("->"))
        } else if c.is_ascii_digit() || c == '-' {
            Some(number(&chars, &mut at).map_err(|m| (place, m))?)
        } else if c == '"' {
            Some(Token::Text(string(&chars, &mut at).map_err(|m| (place, m))?))
        } else if let Some(sign) = SIGNS.iter().find(|s| s.len() == 1 && s.starts_with(c)) {
            at += 1;
            Some(Token::Sign(sign))
        } else {
            return Err((place, format!("unexpected character {c:?}")));
        };
        if let Some(token) = token {
            out.push((token, place));
        }
        place.column += at - start;
    }
    out.push((Token::End, place));
    Ok(out)
}

fn number(chars: &[char], at: &mut usize) -> Result<Token, String> {
    let start = *at;
    if chars[*at] == '-' {
        *at += 1;
        let rest: String = chars[*at..].iter().take(3).collect();
        if rest == "inf" {
            *at += 3;
            return Ok(Token::Real(f64::NEG_INFINITY));
        }
    }
    while let Some(&c) = chars.get(*at) {
        let sign_of_exponent = (c == '-' || c == '+') && matches!(chars[*at - 1], 'e' | 'E');
        if c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E') || sign_of_exponent {
            *at += 1;
        } else {
            break;
        }
    }
    let text: String = chars[start..*at].iter().collect();
    let wrong = |_| format!("`{text}` is not a number");
    if text.contains(['.', 'e', 'E']) {
        text.parse().map(Token::Real).map_err(|_| wrong(()))
    } else {
        text.parse().map(Token::Int).map_err(|_| wrong(()))
    }
}

fn string(chars: &[char], at: &mut usize) -> Result<String, String> {
    let mut out = String::new();
    *at += 1;
    loop {
        let Some(&c) = chars.get(*at) else { return Err("a string is not closed".to_owned()) };
        *at += 1;
        match c {
            '"' => return Ok(out),
            '\n' => return Err("a string is not closed on its line".to_owned()),
            '\\' => {
                let Some(&e) = chars.get(*at) else { return Err("a string is not closed".to_owned()) };
                *at += 1;
                out.push(match e {
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    '"' | '\\' => e,
                    _ => return Err(format!("unknown escape \\{e} in a string")),
                });
            }
            c => out.push(c),
        }
    }
}
