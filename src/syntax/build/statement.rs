//! Blocks and statements.

use super::expression::value_of;
use super::{Builder, P, Result, malformed};
use crate::diagnostic::Diagnostic;
use crate::syntax::parser::Rule;
use crate::syntax::tree::{
    Address, Block, Expr, ExprKind, IndexExpr, Name, Pattern, RefusedProgram, Stmt, StmtKind, TypeExpr,
};

impl Builder<'_> {
    pub(super) fn block(&mut self, pair: P<'_>) -> Result<Block> {
        let span = self.span(&pair);
        let mut stmts = Vec::new();
        for part in self.children(pair) {
            stmts.push(self.stmt(part)?);
        }
        let value = match stmts.pop() {
            None => None,
            Some(last) => match value_of(last.kind) {
                Ok(value) => Some(Box::new(value)),
                Err(kind) => {
                    stmts.push(Stmt { kind, ..last });
                    None
                }
            },
        };
        Ok(Block { stmts, value, span })
    }

    pub(in crate::syntax) fn stmt(&mut self, pair: P<'_>) -> Result<Stmt> {
        let span = self.span(&pair);
        let id = self.id();
        let inner = self.children(pair).need()?;
        let rule = inner.as_rule();
        let mut parts = self.children(inner);
        let kind = match rule {
            Rule::let_stmt => {
                let pattern = self.pattern(parts.need()?)?;
                let ty = self.optional_type(parts.take_if(Rule::type_expr))?;
                StmtKind::Let { pattern, ty, value: self.expr(parts.need()?)? }
            }
            Rule::var_stmt => {
                let (name, ty, value) = self.named_value(&mut parts)?;
                StmtKind::Var { name, ty, value }
            }
            Rule::state_stmt => {
                let (name, ty, init) = self.named_value(&mut parts)?;
                StmtKind::State { name, ty, init }
            }
            Rule::tune_stmt => {
                parts.take_if(Rule::w_tune);
                let (name, ty, init) = self.named_value(&mut parts)?;
                StmtKind::Tune { name, ty, init }
            }
            Rule::next_stmt => StmtKind::Next { name: self.name(&parts.need()?), value: self.expr(parts.need()?)? },
            Rule::observe_stmt => {
                StmtKind::Observe { value: self.expr(parts.need()?)?, dist: self.expr(parts.need()?)? }
            }
            Rule::factor_stmt => StmtKind::Factor(self.expr(parts.need()?)?),
            Rule::learn_stmt => StmtKind::Learn(self.expr(parts.need()?)?),
            Rule::assert_stmt => {
                let check = self.expr(parts.need()?)?;
                let block = match parts.next() {
                    None => None,
                    Some(refused) => {
                        let span = self.span(&refused);
                        let mut items = Vec::new();
                        for part in self.children(refused) {
                            items.push(self.item(part)?);
                        }
                        Some(RefusedProgram { items, span })
                    }
                };
                StmtKind::Assert { check, block }
            }
            Rule::splice_stmt => {
                let hole = self.span(&parts.need()?);
                self.sample(Address::Splice(hole), parts.need()?)?
            }
            Rule::expr_stmt => {
                let left = self.expr(parts.need()?)?;
                match parts.next() {
                    None => StmtKind::Expr(left),
                    Some(tail) if tail.as_rule() == Rule::sample_tail => {
                        let (name, indices) = place(left, "an address")?;
                        self.sample(Address::Named { name, indices }, tail)?
                    }
                    Some(tail) => {
                        let (target, fields) = part(left);
                        let (name, indices) = place(target, "what is assigned to")?;
                        StmtKind::Assign { name, fields, indices, value: self.only_expr_of(tail)? }
                    }
                }
            }
            _ => return Err(malformed(span)),
        };
        Ok(Stmt { id, span, kind })
    }

    fn sample(&mut self, address: Address, tail: P<'_>) -> Result<StmtKind> {
        let mut parts = self.children(tail);
        let ty = self.optional_type(parts.take_if(Rule::type_expr))?;
        let value = self.expr(parts.need()?)?;
        let by = match parts.next() {
            Some(strategy) => Some(self.expr(strategy)?),
            None => None,
        };
        Ok(StmtKind::Sample { address, ty, value, by })
    }

    fn named_value(&mut self, parts: &mut super::Children<'_>) -> Result<(Name, Option<TypeExpr>, Expr)> {
        let name = self.name(&parts.need()?);
        let ty = self.optional_type(parts.take_if(Rule::type_expr))?;
        Ok((name, ty, self.expr(parts.need()?)?))
    }

    pub(super) fn optional_type(&mut self, pair: Option<P<'_>>) -> Result<Option<TypeExpr>> {
        pair.map(|p| self.type_expr(p)).transpose()
    }

    fn pattern(&mut self, pair: P<'_>) -> Result<Pattern> {
        let span = self.span(&pair);
        let mut parts: Vec<P<'_>> = self.children(pair).collect();
        match parts.first().map(P::as_rule) {
            Some(Rule::hole) => Ok(Pattern::Ignore(span)),
            Some(Rule::name) => Ok(Pattern::Name(self.name(&parts.remove(0)))),
            Some(_) => {
                let mut elements = Vec::new();
                for part in parts {
                    elements.push(self.pattern(part)?);
                }
                Ok(Pattern::Tuple(elements))
            }
            None => Err(malformed(span)),
        }
    }
}

/// `x.a.b[i]` as `x[i]` and the fields on the way.
fn part(left: Expr) -> (Expr, Vec<Name>) {
    match left.kind {
        ExprKind::Field { value, field } => {
            let (target, mut fields) = part(*value);
            // Fields of elements are not parts of a `var`.
            if matches!(target.kind, ExprKind::Index { .. }) {
                let kind = ExprKind::Field { value: Box::new(target), field };
                return (Expr { kind, ..left }, Vec::new());
            }
            fields.push(field);
            (target, fields)
        }
        ExprKind::Index { array, indices } if matches!(array.kind, ExprKind::Field { .. }) => {
            let (target, fields) = part(*array);
            let kind = ExprKind::Index { array: Box::new(target), indices };
            (Expr { kind, ..left }, fields)
        }
        kind => (Expr { kind, ..left }, Vec::new()),
    }
}

/// A name with indices, as on the left of `~` and `=`.
fn place(left: Expr, role: &str) -> Result<(Name, Vec<Expr>)> {
    let span = left.span;
    let refuse = |span| {
        Box::new(
            Diagnostic::error(
                "E0110",
                span,
                format!("{role} is a name, with indices or without: `x`, `x[i]`, `x[i, j]`"),
            )
            .label("not a name with indices"),
        )
    };
    match left.kind {
        ExprKind::Name(text) => Ok((Name { text, span }, Vec::new())),
        ExprKind::Index { array, indices } => {
            let ExprKind::Name(text) = array.kind else { return Err(refuse(span)) };
            let name = Name { text, span: array.span };
            let mut list = Vec::new();
            for index in indices {
                match index {
                    IndexExpr::At(e) => list.push(e),
                    IndexExpr::Slice { span, .. } => return Err(refuse(span)),
                }
            }
            Ok((name, list))
        }
        _ => Err(refuse(span)),
    }
}
