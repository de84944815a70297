//! Expressions. The grammar gives a flat row of operands and operators; precedence is here:
//!
//! | binds | operators |
//! |---|---|
//! | tightest | calls, indices, fields; then `^` (to the right); then unary `-` and `!` |
//! | | `* / % @`; then `+ -`; then `??`; then comparisons (no chains); then `&&`; then `\|\|` |
//! | loosest | `..` and `..=` (no chains); `a..=b` is `a..b + 1` |

use super::{Builder, Children, P, Result, malformed};
use crate::base::source::Span;
use crate::diagnostic::Diagnostic;
use crate::syntax::layout::MAX_DEPTH;
use crate::syntax::parser::Rule;
use crate::syntax::tree::{
    Arg, BinaryOp, Block, Expr, ExprKind, ForClause, ForRange, IndexExpr, MatchPattern, Name, StmtKind,
};

/// Operators along one path from the root of an item's tree to a leaf.
const MAX_HEIGHT: usize = 2 * MAX_DEPTH;

#[derive(Clone, Copy)]
enum Infix {
    Op(BinaryOp),
    Default,
    Range { closed: bool },
}

enum Piece {
    Prefix { not: bool, span: Span },
    Operand(Expr),
    Infix(Infix, Span),
}

/// How tightly to the left and to the right; greater binds tighter.
fn binding(infix: Infix) -> (u8, u8) {
    match infix {
        Infix::Range { .. } => (1, 2),
        Infix::Op(op) => match op {
            BinaryOp::Or => (3, 4),
            BinaryOp::And => (5, 6),
            BinaryOp::Eq | BinaryOp::Ne | BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge => (7, 8),
            BinaryOp::Add | BinaryOp::Sub => (11, 12),
            BinaryOp::Mul | BinaryOp::Div | BinaryOp::Rem | BinaryOp::MatMul => (13, 14),
            BinaryOp::Pow => (18, 17),
        },
        Infix::Default => (9, 10),
    }
}

const PREFIX_BINDING: u8 = 16;

fn infix(text: &str) -> Option<Infix> {
    Some(match text {
        "+" => Infix::Op(BinaryOp::Add),
        "-" => Infix::Op(BinaryOp::Sub),
        "*" => Infix::Op(BinaryOp::Mul),
        "/" => Infix::Op(BinaryOp::Div),
        "%" => Infix::Op(BinaryOp::Rem),
        "^" => Infix::Op(BinaryOp::Pow),
        "@" => Infix::Op(BinaryOp::MatMul),
        "==" => Infix::Op(BinaryOp::Eq),
        "!=" => Infix::Op(BinaryOp::Ne),
        "<" => Infix::Op(BinaryOp::Lt),
        "<=" => Infix::Op(BinaryOp::Le),
        ">" => Infix::Op(BinaryOp::Gt),
        ">=" => Infix::Op(BinaryOp::Ge),
        "&&" => Infix::Op(BinaryOp::And),
        "||" => Infix::Op(BinaryOp::Or),
        "??" => Infix::Default,
        ".." => Infix::Range { closed: false },
        "..=" => Infix::Range { closed: true },
        _ => return None,
    })
}

impl Builder<'_> {
    pub(in crate::syntax) fn expr(&mut self, pair: P<'_>) -> Result<Expr> {
        let span = self.span(&pair);
        let parts: Vec<P<'_>> = pair.into_inner().collect();
        let operators = parts
            .iter()
            .filter(|p| {
                matches!(
                    p.as_rule(),
                    Rule::prefix | Rule::infix | Rule::arithmetic | Rule::call | Rule::index | Rule::field
                )
            })
            .count();
        self.height += operators + 1;
        if self.height > MAX_HEIGHT {
            self.height -= operators + 1;
            return Err(Box::new(
                Diagnostic::error("E0105", span, format!("more than {MAX_HEIGHT} operators in one expression"))
                    .fix("give parts of it names with `let`, or use `sum`"),
            ));
        }
        let result = self.row(parts, span);
        self.height -= operators + 1;
        result
    }

    fn row(&mut self, parts: Vec<P<'_>>, span: Span) -> Result<Expr> {
        let mut pieces: Vec<Piece> = Vec::with_capacity(parts.len());
        for part in parts {
            let at = self.span(&part);
            match part.as_rule() {
                Rule::prefix => pieces.push(Piece::Prefix { not: part.as_str().starts_with('!'), span: at }),
                Rule::infix | Rule::arithmetic => {
                    let op = infix(part.as_str().trim()).ok_or_else(|| malformed(at))?;
                    pieces.push(Piece::Infix(op, at));
                }
                Rule::call | Rule::index | Rule::field => match pieces.pop() {
                    Some(Piece::Operand(inner)) => {
                        let applied = self.postfix(inner, part)?;
                        pieces.push(Piece::Operand(applied));
                    }
                    _ => return Err(malformed(at)),
                },
                _ => {
                    let operand = self.primary(part)?;
                    pieces.push(Piece::Operand(operand));
                }
            }
        }
        let mut row = pieces.into_iter().peekable();
        let result = self.climb(&mut row, 0, span)?;
        match row.next() {
            None => Ok(result),
            Some(Piece::Prefix { span, .. } | Piece::Infix(_, span)) => Err(malformed(span)),
            Some(Piece::Operand(e)) => Err(malformed(e.span)),
        }
    }

    fn climb(
        &mut self,
        row: &mut std::iter::Peekable<std::vec::IntoIter<Piece>>,
        least: u8,
        span: Span,
    ) -> Result<Expr> {
        let mut left = match row.next() {
            Some(Piece::Operand(e)) => e,
            Some(Piece::Prefix { not, span: at }) => {
                let inner = self.climb(row, PREFIX_BINDING, span)?;
                let whole = at.to(inner.span);
                let kind = if not { ExprKind::Not(Box::new(inner)) } else { ExprKind::Neg(Box::new(inner)) };
                self.node(whole, kind)
            }
            Some(Piece::Infix(_, at)) => return Err(malformed(at)),
            None => return Err(malformed(span)),
        };
        let mut compared: Option<Span> = None;
        loop {
            let Some(Piece::Infix(op, at)) = row.peek() else { return Ok(left) };
            let (op, at) = (*op, *at);
            let (to_left, to_right) = binding(op);
            if to_left < least {
                return Ok(left);
            }
            let chainless = matches!(to_left, 1 | 7);
            if let (true, Some(first)) = (chainless, compared) {
                let error = if to_left == 7 {
                    Diagnostic::error("E0108", at, "comparisons do not chain")
                        .also(first, "the first comparison")
                        .fix("write `a < b && b < c`")
                } else {
                    Diagnostic::error("E0108", at, "ranges do not chain").also(first, "the first range")
                };
                return Err(Box::new(error));
            }
            compared = if chainless { Some(at) } else { None };
            row.next();
            let right = self.climb(row, to_right, span)?;
            let whole = left.span.to(right.span);
            let kind = match op {
                Infix::Op(op) => ExprKind::Binary { op, left: Box::new(left), right: Box::new(right) },
                Infix::Default => ExprKind::Default { value: Box::new(left), default: Box::new(right) },
                Infix::Range { closed: false } => ExprKind::Range { from: Box::new(left), to: Box::new(right) },
                Infix::Range { closed: true } => {
                    let right_span = right.span;
                    let one = self.node(right_span, ExprKind::Int(1));
                    let past = ExprKind::Binary { op: BinaryOp::Add, left: Box::new(right), right: Box::new(one) };
                    let past = self.node(right_span, past);
                    ExprKind::Range { from: Box::new(left), to: Box::new(past) }
                }
            };
            left = self.node(whole, kind);
        }
    }

    fn node(&mut self, span: Span, kind: ExprKind) -> Expr {
        Expr { id: self.id(), span, kind }
    }

    fn postfix(&mut self, inner: Expr, part: P<'_>) -> Result<Expr> {
        let whole = inner.span.to(self.span(&part));
        let rule = part.as_rule();
        let mut children = self.children(part);
        let kind = match rule {
            Rule::call => {
                let mut args = Vec::new();
                for arg in children {
                    let mut parts = self.children(arg);
                    let name = parts.take_if(Rule::field_name).map(|n| self.name(&n));
                    args.push(Arg { name, value: self.expr(parts.need()?)? });
                }
                ExprKind::Call { callee: Box::new(inner), args }
            }
            Rule::field => ExprKind::Field { value: Box::new(inner), field: self.name(&children.need()?) },
            _ => {
                let mut indices = Vec::new();
                for subscript in children {
                    indices.push(self.subscript(subscript)?);
                }
                ExprKind::Index { array: Box::new(inner), indices }
            }
        };
        Ok(self.node(whole, kind))
    }

    fn subscript(&mut self, pair: P<'_>) -> Result<IndexExpr> {
        let span = self.span(&pair);
        let mut parts = self.children(pair);
        let first = parts.need()?;
        if first.as_rule() == Rule::up_to {
            let to = match self.children(first).next() {
                Some(to) => Some(self.expr(to)?),
                None => None,
            };
            return Ok(IndexExpr::Slice { from: None, to, span });
        }
        let at = self.expr(first)?;
        if parts.take_if(Rule::onwards).is_some() {
            return Ok(IndexExpr::Slice { from: Some(at), to: None, span });
        }
        Ok(match at.kind {
            ExprKind::Range { from, to } => IndexExpr::Slice { from: Some(*from), to: Some(*to), span },
            _ => IndexExpr::At(at),
        })
    }

    fn primary(&mut self, pair: P<'_>) -> Result<Expr> {
        let span = self.span(&pair);
        let kind = match pair.as_rule() {
            Rule::number => number(pair.as_str().trim_end(), span)?,
            Rule::string => ExprKind::Str(text_of(pair.as_str())),
            Rule::boolean => ExprKind::Bool(pair.as_str().trim_end() == "true"),
            Rule::path => {
                let mut segments = self.names(pair);
                match (segments.len(), segments.pop()) {
                    (1, Some(name)) => ExprKind::Name(name.text),
                    (_, Some(last)) => {
                        segments.push(last);
                        ExprKind::Path(segments)
                    }
                    (_, None) => return Err(malformed(span)),
                }
            }
            Rule::array => {
                let mut elements = Vec::new();
                for element in self.children(pair) {
                    elements.push(self.expr(element)?);
                }
                ExprKind::Array(elements)
            }
            Rule::parenthesised => {
                let parts = self.children(pair);
                let mut elements = Vec::new();
                let mut commas = false;
                for part in parts {
                    if part.as_rule() == Rule::comma {
                        commas = true;
                    } else {
                        elements.push(self.expr(part)?);
                    }
                }
                match (commas, elements.pop()) {
                    (false, Some(inner)) => return Ok(Expr { span, ..inner }),
                    (_, Some(last)) => {
                        elements.push(last);
                        ExprKind::Tuple(elements)
                    }
                    (_, None) => return Err(malformed(span)),
                }
            }
            Rule::record => {
                let mut fields: Vec<(Name, Expr)> = Vec::new();
                for field in self.children(pair) {
                    let mut parts = self.children(field);
                    let name = self.name(&parts.need()?);
                    if let Some((first, _)) = fields.iter().find(|(f, _)| f.text == name.text) {
                        return Err(Box::new(
                            Diagnostic::error("E0109", name.span, format!("field `{}` is given twice", name.text))
                                .also(first.span, "first here"),
                        ));
                    }
                    fields.push((name, self.expr(parts.need()?)?));
                }
                ExprKind::Record(fields)
            }
            Rule::block => ExprKind::Block(self.block(pair)?),
            Rule::if_expr => self.if_expr(pair)?,
            Rule::for_expr => {
                let mut parts = self.children(pair);
                let mut clauses = Vec::new();
                while let Some(clause) = parts.take_if(Rule::for_clause) {
                    clauses.push(self.for_clause(clause)?);
                }
                let condition = match parts.take_if(Rule::for_while) {
                    Some(part) => Some(Box::new(self.only_expr_of(part)?)),
                    None => None,
                };
                ExprKind::For { clauses, condition, body: self.block(parts.need()?)? }
            }
            Rule::match_expr => self.match_expr(pair)?,
            Rule::lambda => {
                let mut parts = self.children(pair);
                let params = match parts.take_if(Rule::lambda_params) {
                    Some(list) => self.names(list),
                    None => Vec::new(),
                };
                ExprKind::Lambda { params, body: Box::new(self.expr(parts.need()?)?) }
            }
            Rule::expect_expr => {
                let block = self.children(pair).need()?;
                ExprKind::Expect(self.block(block)?)
            }
            _ => return Err(malformed(span)),
        };
        Ok(self.node(span, kind))
    }

    /// The one expression that a clause such as `by e` holds.
    pub(super) fn only_expr_of(&mut self, pair: P<'_>) -> Result<Expr> {
        let inner = self.children(pair).need()?;
        self.expr(inner)
    }

    fn if_expr(&mut self, pair: P<'_>) -> Result<ExprKind> {
        let mut parts = self.children(pair);
        let continuous = parts.take_if(Rule::w_continuous).is_some();
        let condition = Box::new(self.expr(parts.need()?)?);
        let then = self.block(parts.need()?)?;
        let otherwise = match parts.next() {
            None => None,
            Some(chained) if chained.as_rule() == Rule::if_expr => {
                let span = self.span(&chained);
                self.height += 1;
                let kind = self.if_expr(chained)?;
                self.height -= 1;
                let value = self.node(span, kind);
                Some(Block { stmts: Vec::new(), value: Some(Box::new(value)), span })
            }
            Some(block) => Some(self.block(block)?),
        };
        Ok(ExprKind::If { continuous, condition, then, otherwise })
    }

    fn for_clause(&mut self, pair: P<'_>) -> Result<ForClause> {
        let mut parts = self.children(pair);
        let name = self.name(&parts.need()?);
        let over = self.expr(parts.need()?)?;
        let over = match over.kind {
            ExprKind::Range { from, to } => ForRange::Range { from: *from, to: *to },
            _ => ForRange::In(over),
        };
        Ok(ForClause { name, over })
    }

    fn match_expr(&mut self, pair: P<'_>) -> Result<ExprKind> {
        let mut parts = self.children(pair);
        let value = Box::new(self.expr(parts.need()?)?);
        let mut arms = Vec::new();
        for arm in parts {
            let mut parts = self.children(arm);
            let pattern = self.match_pattern(parts.need()?)?;
            let body = self.expr(parts.need()?)?;
            arms.push((pattern, block_of(body)));
        }
        Ok(ExprKind::Match { value, arms })
    }

    fn match_pattern(&mut self, pair: P<'_>) -> Result<MatchPattern> {
        let span = self.span(&pair);
        let mut parts: Children<'_> = self.children(pair);
        let negative = parts.take_if(Rule::negative).is_some();
        let part = parts.need()?;
        match part.as_rule() {
            Rule::hole => Ok(MatchPattern::Any),
            Rule::boolean => Ok(MatchPattern::Bool(part.as_str().trim_end() == "true")),
            _ => match number(part.as_str().trim_end(), span)? {
                ExprKind::Int(n) => Ok(MatchPattern::Int(if negative { -n } else { n })),
                _ => Err(Box::new(
                    Diagnostic::error("E0104", span, "`match` tells ints and bools apart, not reals").fix("use `if`"),
                )),
            },
        }
    }
}

/// A block that holds an expression; an expression that is a block is that block.
pub(super) fn block_of(value: Expr) -> Block {
    match value.kind {
        ExprKind::Block(block) => block,
        _ => Block { stmts: Vec::new(), span: value.span, value: Some(Box::new(value)) },
    }
}

/// The last statement of a block is its value if it is an expression.
pub(super) fn value_of(kind: StmtKind) -> std::result::Result<Expr, StmtKind> {
    match kind {
        StmtKind::Expr(e) => Ok(e),
        other => Err(other),
    }
}

fn number(text: &str, span: Span) -> Result<ExprKind> {
    if text.contains(['.', 'e', 'E']) {
        return match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(ExprKind::Real(value)),
            _ => Err(Box::new(
                Diagnostic::error("E0104", span, "this number is too large for a real")
                    .fix("write `infinity` if you mean it"),
            )),
        };
    }
    text.parse::<i64>().map(ExprKind::Int).map_err(|_| {
        Box::new(
            Diagnostic::error("E0104", span, "this number is too large for an int")
                .fix(format!("write `{text}.0` if a real is meant")),
        )
    })
}

/// The text between quotes.
pub(super) fn text_of(quoted: &str) -> String {
    quoted.trim_end().trim_matches('"').to_string()
}
