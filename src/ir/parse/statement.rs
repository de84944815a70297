//! Statements of Core's text form.

use super::super::core::{
    Atom, Block, Collector, Contract, ContractKind, Draw, For, If, Loop, Noise, Prim, Sample, Stmt, Type, Var,
};
use super::super::op::Op;
use super::lex::Token;
use super::{DEEPEST, Parsed, Parser};
use std::sync::Arc;

/// A result as written: its name and type. It comes into scope after the statement.
type Named = (String, Type);

impl Parser {
    pub(super) fn stmts(&mut self) -> Parsed<Vec<Stmt>> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return self.error("regions are nested too deeply");
        }
        let mut out = Vec::new();
        while !self.is_sign("}") {
            if *self.peek() == Token::End {
                return self.expected("a statement or `}`");
            }
            out.push(self.stmt()?);
        }
        self.depth -= 1;
        Ok(out)
    }

    fn stmt(&mut self) -> Parsed<Stmt> {
        if let Token::Word(w) = self.peek()
            && !matches!(self.peek_second(), Token::Sign(":"))
        {
            match w.as_str() {
                "check" => {
                    self.at += 1;
                    let check = self.number("the check's number")?;
                    return Ok(Stmt::Check { ok: self.atom()?, check });
                }
                "term" => {
                    self.at += 1;
                    return Ok(Stmt::Term(self.atom()?));
                }
                "for" | "loop" | "if" | "sample" => return self.value(Vec::new()),
                _ => return self.error(format!("`{w}` starts no statement")),
            }
        }
        let results = if self.accept("(") {
            self.list(")", |p| {
                let name = p.word("a variable")?;
                p.sign(":")?;
                Ok((name, p.ty()?))
            })?
        } else {
            let name = self.word("a statement")?;
            self.sign(":")?;
            vec![(name, self.ty()?)]
        };
        self.sign("=")?;
        self.value(results)
    }

    fn define_all(&mut self, results: Vec<Named>) -> Vec<Var> {
        results.into_iter().map(|(name, ty)| self.define(name, ty)).collect()
    }

    fn define_one(&mut self, results: Vec<Named>) -> Parsed<Var> {
        match <[Named; 1]>::try_from(results) {
            Ok([(name, ty)]) => Ok(self.define(name, ty)),
            Err(many) => self.error(format!("{} results where one is expected", many.len())),
        }
    }

    fn arguments(&mut self) -> Parsed<Vec<Atom>> {
        self.sign("(")?;
        self.list(")", Self::atom)
    }

    /// What stands right of `=`.
    fn value(&mut self, results: Vec<Named>) -> Parsed<Stmt> {
        let word = self.word("an operation")?;
        match word.as_str() {
            "for" => self.for_(results),
            "loop" => self.loop_(results),
            "if" => self.if_(results),
            "contract" => self.contract(results),
            "draw" => self.draw(results),
            "sample" => self.sample(results),
            _ => {
                if let Some(&op) = Op::ALL.iter().find(|op| op.name() == word) {
                    let args = self.arguments()?;
                    return Ok(Stmt::Op { result: self.define_one(results)?, op, args });
                }
                let prim = self.prim(&word, results.first().map(|r| &r.1))?;
                let args = self.arguments()?;
                Ok(Stmt::Array { results: self.define_all(results), prim, args })
            }
        }
    }

    fn prim(&mut self, word: &str, result: Option<&Type>) -> Parsed<Prim> {
        Ok(match word {
            "cholesky" => Prim::Cholesky,
            "solve_lower" => Prim::SolveLower { transposed: false },
            "solve_lower_transposed" => Prim::SolveLower { transposed: true },
            "cumsum" => Prim::CumSum { reverse: false },
            "cumsum_reverse" => Prim::CumSum { reverse: true },
            "stack" => Prim::Stack,
            "sort" => Prim::Sort,
            "subset" => {
                self.sign("[")?;
                let parts = self.list("]", |p| p.number("a number"))?;
                let [of, take, plate] = parts[..] else { return self.error("subset has three numbers") };
                let Ok(plate) = u32::try_from(plate) else { return self.error("a plate's number is too large") };
                Prim::Subset { of, take, plate }
            }
            "concat" => {
                self.sign("[")?;
                let axis = self.number("an axis")?;
                self.sign("]")?;
                Prim::Concat { axis }
            }
            "reshape" | "fill" => {
                self.sign("[")?;
                let shape = self.list("]", |p| p.number("an extent"))?;
                if word == "fill" { Prim::Fill { shape } } else { Prim::Reshape { shape } }
            }
            "const" => {
                self.sign("[")?;
                let data: Vec<f64> = self.list("]", |p| match p.atom()? {
                    Atom::Real(x) => Ok(x),
                    Atom::Int(i) => Ok(i as f64),
                    Atom::Bool(b) => Ok(f64::from(u8::from(b))),
                    Atom::Var(_) => p.error("an element of const is a number or bool"),
                })?;
                let Some(ty) = result else { return self.error("const has one result") };
                Prim::Const { data: Arc::from(data), ty: ty.clone() }
            }
            _ => {
                self.at -= 1;
                return self.error(format!("`{word}` is not an operation"));
            }
        })
    }

    /// `{ statements }`; the caller closes the scope.
    fn body(&mut self) -> Parsed<Vec<Stmt>> {
        self.sign("{")?;
        let stmts = self.stmts()?;
        self.sign("}")?;
        Ok(stmts)
    }

    fn extent(&mut self) -> Parsed<usize> {
        self.sign("<")?;
        self.number("an extent")
    }

    fn for_(&mut self, results: Vec<Named>) -> Parsed<Stmt> {
        let outer = self.scope.len();
        let mut indices = Vec::new();
        loop {
            let name = self.word("an index")?;
            let n = self.extent()?;
            indices.push((self.define(name, Type::INT), n));
            if !self.accept(",") {
                break;
            }
        }
        let strip = if self.accept_word("strip") { Some(self.number("the strip index")?) } else { None };
        let stmts = self.body()?;
        let (collectors, values) = self.yields()?;
        self.scope.truncate(outer);
        let results = self.define_all(results);
        Ok(Stmt::For(For { results, indices, body: Block { stmts, results: values }, collectors, strip }))
    }

    /// `yield collector atom, …`, if there.
    fn yields(&mut self) -> Parsed<(Vec<Collector>, Vec<Atom>)> {
        let mut out = (Vec::new(), Vec::new());
        if !self.accept_word("yield") {
            return Ok(out);
        }
        loop {
            let word = self.word("a collector")?;
            let collector = match word.as_str() {
                "collect" => Collector::Collect,
                "sum" => {
                    let keep = if self.accept("[") { self.list("]", |p| p.number("an index"))? } else { Vec::new() };
                    Collector::Sum { keep }
                }
                "max" => Collector::Max,
                "min" => Collector::Min,
                "all" => Collector::All,
                "sum_at" => {
                    self.sign("[")?;
                    let index = self.list(";", Self::atom)?;
                    Collector::SumAt { index, shape: self.list("]", |p| p.number("an extent"))? }
                }
                _ => {
                    self.at -= 1;
                    return self.expected("a collector (`collect`, `sum`, `max`, `min`, `all`, `sum_at`)");
                }
            };
            out.0.push(collector);
            out.1.push(self.atom()?);
            if !self.accept(",") {
                return Ok(out);
            }
        }
    }

    fn loop_(&mut self, results: Vec<Named>) -> Parsed<Stmt> {
        let outer = self.scope.len();
        let index = self.word("an index")?;
        let extent = self.extent()?;
        let reverse = self.accept_word("reverse");
        self.sign("(")?;
        // First values are read outside the loop: names come into scope after all of them.
        let carried: Vec<(Named, Atom)> = self.list(")", |p| {
            let name = p.word("a variable")?;
            p.sign(":")?;
            let ty = p.ty()?;
            p.sign("=")?;
            Ok(((name, ty), p.atom()?))
        })?;
        let index = self.define(index, Type::INT);
        let carried: Vec<(Var, Atom)> = carried.into_iter().map(|((name, ty), a)| (self.define(name, ty), a)).collect();
        let stmts = self.body()?;
        let mut values = Vec::new();
        if self.accept_word("next") {
            loop {
                values.push(self.atom()?);
                if !self.accept(",") {
                    break;
                }
            }
        }
        if values.len() != carried.len() {
            return self.error(format!("loop carries {} values but has {} next ones", carried.len(), values.len()));
        }
        let (collectors, mut collected) = self.yields()?;
        values.append(&mut collected);
        self.scope.truncate(outer);
        let results = self.define_all(results);
        let body = Block { stmts, results: values };
        Ok(Stmt::Loop(Loop { results, index, extent, carried, body, collectors, reverse }))
    }

    fn if_(&mut self, results: Vec<Named>) -> Parsed<Stmt> {
        let condition = self.atom()?;
        let then = self.side()?;
        self.keyword("else")?;
        let otherwise = self.side()?;
        let results = self.define_all(results);
        Ok(Stmt::If(If { results, condition, then, otherwise }))
    }

    fn side(&mut self) -> Parsed<Block> {
        let outer = self.scope.len();
        let stmts = self.body()?;
        let mut results = Vec::new();
        if self.accept_word("yield") {
            loop {
                results.push(self.atom()?);
                if !self.accept(",") {
                    break;
                }
            }
        }
        self.scope.truncate(outer);
        Ok(Block { stmts, results })
    }

    /// `contract{ij,j->i}(a, b) kind`.
    fn contract(&mut self, results: Vec<Named>) -> Parsed<Stmt> {
        self.sign("{")?;
        let a_labels = self.labels()?;
        self.sign(",")?;
        let b_labels = self.labels()?;
        self.sign("->")?;
        let out = self.labels()?;
        self.sign("}")?;
        let args = self.arguments()?;
        let [a, b] = args[..] else { return self.error("contract takes two operands") };
        let kind = [("loops", ContractKind::Loops), ("rows", ContractKind::Rows), ("gemm", ContractKind::Gemm)]
            .into_iter()
            .find(|(word, _)| self.accept_word_as_kind(word))
            .map(|(_, kind)| kind);
        Ok(Stmt::Contract(Contract { result: self.define_one(results)?, a, b, a_labels, b_labels, out, kind }))
    }

    /// The word, unless it is a variable of that name being defined by the next statement.
    fn accept_word_as_kind(&mut self, word: &str) -> bool {
        !matches!(self.peek_second(), Token::Sign(":")) && self.accept_word(word)
    }

    fn labels(&mut self) -> Parsed<Vec<u8>> {
        let mut out = Vec::new();
        loop {
            if self.accept("<") {
                out.push(self.number("a label")?);
                self.sign(">")?;
                continue;
            }
            match self.peek() {
                Token::Word(w) if w.bytes().all(|b| b.is_ascii_alphabetic()) => {
                    out.extend(w.bytes());
                    self.at += 1;
                }
                _ => return Ok(out),
            }
        }
    }

    fn index(&mut self) -> Parsed<Vec<(Atom, usize)>> {
        if !(self.is_word("index") && matches!(self.peek_second(), Token::Sign("("))) {
            return Ok(Vec::new());
        }
        self.at += 1;
        self.sign("(")?;
        self.list(")", |p| {
            let atom = p.atom()?;
            p.keyword("of")?;
            Ok((atom, p.number("an extent")?))
        })
    }

    fn draw(&mut self, results: Vec<Named>) -> Parsed<Stmt> {
        let word = self.word("a random primitive")?;
        let Some(&(noise, _)) = Noise::ALL.iter().find(|(_, name)| *name == word) else {
            self.at -= 1;
            let names: Vec<String> = Noise::ALL.iter().map(|(_, name)| format!("`{name}`")).collect();
            return self.expected(&format!("one of {}", names.join(", ")));
        };
        let args = self.arguments()?;
        self.keyword("site")?;
        let site = self.number("a site")?;
        let index = self.index()?;
        let mirror = if self.accept_word_as_kind("mirror") { Some(self.atom()?) } else { None };
        Ok(Stmt::Draw(Draw { result: self.define_one(results)?, noise, args, site, index, mirror }))
    }

    fn sample(&mut self, results: Vec<Named>) -> Parsed<Stmt> {
        let site = self.number("a site")?;
        self.keyword("entry")?;
        let entry = self.number("an entry")?;
        let args = self.arguments()?;
        let index = self.index()?;
        Ok(Stmt::Sample(Sample { results: self.define_all(results), site, entry, args, index }))
    }
}
