//! Types.

use super::{Builder, P, Result, malformed};
use crate::diagnostic::Diagnostic;
use crate::syntax::parser::Rule;
use crate::syntax::tree::{Bounds, Expr, Name, TypeExpr, TypeKind};

/// `T[a][b]…`: how many groups of sizes a type may have.
const MAX_SIZE_GROUPS: usize = 8;

impl Builder<'_> {
    pub(super) fn type_expr(&mut self, pair: P<'_>) -> Result<TypeExpr> {
        let span = self.span(&pair);
        let mut parts = self.children(pair);
        let mut result = self.atom(parts.need()?)?;
        for (group, part) in parts.enumerate() {
            if group >= MAX_SIZE_GROUPS {
                return Err(Box::new(Diagnostic::error("E0105", span, "this type has too many groups of sizes")));
            }
            let end = self.span(&part);
            let mut list = Vec::new();
            for size in self.children(part) {
                list.push(self.expr(size)?);
            }
            let whole = result.span.to(end);
            result = match result.kind {
                TypeKind::Named { name, bounds, optional, sizes, args } if group == 0 && sizes.is_empty() => {
                    TypeExpr { span: whole, kind: TypeKind::Named { name, bounds, optional, sizes: list, args } }
                }
                _ => TypeExpr { span: whole, kind: TypeKind::Array { element: Box::new(result), sizes: list } },
            };
        }
        Ok(result)
    }

    fn atom(&mut self, pair: P<'_>) -> Result<TypeExpr> {
        let span = self.span(&pair);
        let kind = match pair.as_rule() {
            Rule::named_type => self.named(pair)?,
            Rule::record_type => TypeKind::Record(self.type_fields(pair)?),
            Rule::tuple_type => {
                let mut elements = self.type_list(pair)?;
                match (elements.len(), elements.pop()) {
                    (1, Some(one)) => return Ok(one),
                    (_, Some(last)) => {
                        elements.push(last);
                        TypeKind::Tuple(elements)
                    }
                    (_, None) => return Err(malformed(span)),
                }
            }
            Rule::fn_type => {
                let mut parts = self.children(pair);
                let params = parts.need()?;
                let params = self.type_list(params)?;
                TypeKind::Fn { params, result: Box::new(self.type_expr(parts.need()?)?) }
            }
            _ => return Err(malformed(span)),
        };
        Ok(TypeExpr { span, kind })
    }

    fn type_list(&mut self, pair: P<'_>) -> Result<Vec<TypeExpr>> {
        let mut list = Vec::new();
        for part in self.children(pair) {
            list.push(self.type_expr(part)?);
        }
        Ok(list)
    }

    pub(super) fn type_fields(&mut self, pair: P<'_>) -> Result<Vec<(Name, TypeExpr)>> {
        let mut fields: Vec<(Name, TypeExpr)> = Vec::new();
        for field in self.children(pair) {
            let mut parts = self.children(field);
            let name = self.name(&parts.need()?);
            if let Some((first, _)) = fields.iter().find(|(f, _)| f.text == name.text) {
                return Err(Box::new(
                    Diagnostic::error("E0109", name.span, format!("field `{}` is declared twice", name.text))
                        .also(first.span, "first here"),
                ));
            }
            fields.push((name, self.type_expr(parts.need()?)?));
        }
        Ok(fields)
    }

    fn named(&mut self, pair: P<'_>) -> Result<TypeKind> {
        let mut parts = self.children(pair);
        let name = self.name(&parts.need()?);
        let mut bounds: Option<Bounds> = None;
        let mut args = Vec::new();
        let mut optional = false;
        for part in parts {
            let span = self.span(&part);
            match part.as_rule() {
                Rule::bound => {
                    let mut inner = self.children(part);
                    let key = inner.need()?;
                    let value = self.expr(inner.need()?)?;
                    let found = bounds.get_or_insert(Bounds { lower: None, upper: None });
                    let side = if key.as_str().trim_end() == "lower" { &mut found.lower } else { &mut found.upper };
                    if let Some(first) = side {
                        let first: &Expr = first;
                        return Err(Box::new(
                            Diagnostic::error("E0109", span, "this bound is given twice")
                                .also(first.span, "first here"),
                        ));
                    }
                    *side = Some(Box::new(value));
                }
                Rule::bound_range => {
                    let mut inner = self.children(part);
                    let lower = self.expr(inner.need()?)?;
                    let upper = self.expr(inner.need()?)?;
                    bounds = Some(Bounds { lower: Some(Box::new(lower)), upper: Some(Box::new(upper)) });
                }
                Rule::optional => optional = true,
                _ => args.push(self.type_expr(part)?),
            }
        }
        Ok(TypeKind::Named { name, bounds, optional, sizes: Vec::new(), args })
    }
}
