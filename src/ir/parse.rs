//! Core's text form, read: the inverse of [`super::print`]. Hand-written texts may also use plain names (`eta: real[8]
//! = …`) and `//` comments; a name is visible to the end of its region, an inner one hides an outer one.
//!
//! The parser checks the form only; types and the other invariants are [`super::validate`]'s. It never panics.

mod lex;
mod statement;
#[cfg(test)]
mod tests;

use super::core::{Atom, Block, CheckInfo, Input, Program, Role, Scalar, Type, Var};
use crate::base::source::{FileId, Span};
use lex::{Place, Token, lex};

/// What is wrong in a text, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParseError {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    pub message: String,
}

impl std::fmt::Display for ParseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for ParseError {}

type Parsed<T> = Result<T, ParseError>;

/// Regions may not be nested deeper (the parser is recursive).
const DEEPEST: usize = 200;

/// Reads a program.
pub fn parse(text: &str) -> Parsed<Program> {
    let tokens = lex(text).map_err(|(p, message)| ParseError { line: p.line, column: p.column, message })?;
    let mut p = Parser { tokens, at: 0, program: Program::default(), scope: Vec::new(), depth: 0 };
    p.program()?;
    Ok(p.program)
}

struct Parser {
    /// Never empty: the last one is `End`.
    tokens: Vec<(Token, Place)>,
    at: usize,
    program: Program,
    /// Names in scope, innermost last.
    scope: Vec<(String, Var)>,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).map_or(&Token::End, |t| &t.0)
    }

    fn peek_second(&self) -> &Token {
        self.tokens.get(self.at + 1).map_or(&Token::End, |t| &t.0)
    }

    fn error<T>(&self, message: impl Into<String>) -> Parsed<T> {
        let place = self.tokens.get(self.at).or(self.tokens.last()).map_or(Place { line: 1, column: 1 }, |t| t.1);
        Err(ParseError { line: place.line, column: place.column, message: message.into() })
    }

    fn expected<T>(&self, what: &str) -> Parsed<T> {
        self.error(format!("{what} expected, {} found", self.peek().describe()))
    }

    fn is_sign(&self, sign: &str) -> bool {
        matches!(self.peek(), Token::Sign(s) if *s == sign)
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Word(w) if w == word)
    }

    fn accept(&mut self, sign: &str) -> bool {
        let found = self.is_sign(sign);
        self.at += usize::from(found);
        found
    }

    fn accept_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        self.at += usize::from(found);
        found
    }

    fn sign(&mut self, sign: &str) -> Parsed<()> {
        if self.accept(sign) { Ok(()) } else { self.expected(&format!("`{sign}`")) }
    }

    fn keyword(&mut self, word: &str) -> Parsed<()> {
        if self.accept_word(word) { Ok(()) } else { self.expected(&format!("`{word}`")) }
    }

    fn word(&mut self, what: &str) -> Parsed<String> {
        match self.peek() {
            Token::Word(w) => {
                let w = w.clone();
                self.at += 1;
                Ok(w)
            }
            _ => self.expected(what),
        }
    }

    fn number<T: TryFrom<i64>>(&mut self, what: &str) -> Parsed<T> {
        match *self.peek() {
            Token::Int(i) => match T::try_from(i) {
                Ok(n) => {
                    self.at += 1;
                    Ok(n)
                }
                Err(_) => self.error(format!("{i} is out of range for {what}")),
            },
            _ => self.expected(what),
        }
    }

    fn text(&mut self, what: &str) -> Parsed<String> {
        match self.peek() {
            Token::Text(t) => {
                let t = t.clone();
                self.at += 1;
                Ok(t)
            }
            _ => self.expected(what),
        }
    }

    /// `item, item, …` up to the closing sign, which is consumed.
    fn list<T>(&mut self, close: &str, mut item: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        let mut out = Vec::new();
        if self.accept(close) {
            return Ok(out);
        }
        loop {
            out.push(item(self)?);
            if self.accept(close) {
                return Ok(out);
            }
            if !self.accept(",") {
                return self.expected(&format!("`,` or `{close}`"));
            }
        }
    }

    fn program(&mut self) -> Parsed<()> {
        while let Token::Word(w) = self.peek() {
            let role = match w.as_str() {
                "data" => Role::Data,
                "param" => Role::Param,
                "tuned" => Role::Tuned,
                "state" => Role::State,
                "check" => {
                    self.check()?;
                    continue;
                }
                _ => break,
            };
            self.at += 1;
            let var = self.definition()?;
            let name = if self.accept_word("as") {
                self.text("the input's name")?
            } else {
                self.program.vars.get(var.0 as usize).and_then(|i| i.name.clone()).unwrap_or_default()
            };
            self.program.inputs.push(Input { var, role, name });
        }
        if self.accept_word("setup") {
            self.sign("{")?;
            self.program.setup = self.stmts()?;
            self.sign("}")?;
        }
        if !self.is_word("step") {
            return self.expected("an input (`data`, `param`, `tuned`, `state`), `check`, `setup` or `step`");
        }
        self.at += 1;
        self.sign("{")?;
        let stmts = self.stmts()?;
        self.sign("}")?;
        let mut results = Vec::new();
        if self.accept_word("yield") {
            loop {
                let name = match self.peek() {
                    Token::Text(_) => self.text("an output's name")?,
                    _ => self.word("an output's name")?,
                };
                self.sign("=")?;
                results.push(self.atom()?);
                self.program.outputs.push(name);
                if !self.accept(",") {
                    break;
                }
            }
        }
        self.program.step = Block { stmts, results };
        match self.peek() {
            Token::End => Ok(()),
            _ => self.expected("the end of the program"),
        }
    }

    /// `check 0 "message" at 1:20:31`, in order.
    fn check(&mut self) -> Parsed<()> {
        self.at += 1;
        let n: usize = self.number("the check's number")?;
        if n != self.program.checks.len() {
            return self.error(format!("check {n} stands where check {} belongs", self.program.checks.len()));
        }
        let message = self.text("the check's message")?;
        let span = if self.accept_word("at") {
            let file = FileId(self.number("a file")?);
            self.sign(":")?;
            let start = self.number("a position")?;
            self.sign(":")?;
            Some(Span { file, start, end: self.number("a position")? })
        } else {
            None
        };
        self.program.checks.push(CheckInfo { message, span });
        Ok(())
    }

    /// `name: type`; brings the name into scope.
    fn definition(&mut self) -> Parsed<Var> {
        let name = self.word("a variable")?;
        self.sign(":")?;
        let ty = self.ty()?;
        Ok(self.define(name, ty))
    }

    fn define(&mut self, name: String, ty: Type) -> Var {
        let stem = name.split('.').next().unwrap_or_default();
        let hint = (!stem.starts_with('%')).then_some(stem);
        let var = self.program.new_var(ty, hint);
        self.scope.push((name, var));
        var
    }

    fn ty(&mut self) -> Parsed<Type> {
        let scalar = match self.peek() {
            Token::Word(w) if w == "real" => Scalar::Real,
            Token::Word(w) if w == "int" => Scalar::Int,
            Token::Word(w) if w == "bool" => Scalar::Bool,
            _ => return self.expected("a type (`real`, `int`, `bool`)"),
        };
        self.at += 1;
        let shape = if self.accept("[") { self.list("]", |p| p.number("an extent"))? } else { Vec::new() };
        Ok(Type { scalar, shape })
    }

    fn atom(&mut self) -> Parsed<Atom> {
        let atom = match self.peek() {
            Token::Int(i) => Atom::Int(*i),
            Token::Real(x) => Atom::Real(*x),
            Token::Word(w) if w == "true" => Atom::Bool(true),
            Token::Word(w) if w == "false" => Atom::Bool(false),
            Token::Word(w) => match self.scope.iter().rev().find(|(name, _)| name == w) {
                Some(&(_, var)) => Atom::Var(var),
                None => return self.error(format!("`{w}` is not defined here")),
            },
            Token::Text(_) | Token::Sign(_) | Token::End => return self.expected("an operand"),
        };
        self.at += 1;
        Ok(atom)
    }
}
