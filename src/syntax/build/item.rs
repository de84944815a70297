//! Items and what only they hold: parameters, members, strategies, lines of `fit`.

use super::expression::{block_of, text_of};
use super::{Builder, Children, P, Result, malformed};
use crate::diagnostic::Diagnostic;
use crate::syntax::parser::Rule;
use crate::syntax::tree::{
    BijectorItem, Block, ContinuationKind, DistItem, DistPattern, Expr, ExprKind, FitLine, FnItem, GenItem, Item,
    ItemKind, Member, Name, ObjectiveItem, Param, StrategyItem, TypeExpr,
};

impl Builder<'_> {
    pub(in crate::syntax) fn item(&mut self, pair: P<'_>) -> Result<Item> {
        let span = self.span(&pair);
        let id = self.id();
        let inner = self.children(pair).need()?;
        let rule = inner.as_rule();
        let mut parts = self.children(inner.clone());
        let kind = match rule {
            Rule::data_item => ItemKind::Data {
                name: self.name(&parts.need()?),
                ty: self.type_expr(parts.need()?)?,
                default: self.optional_expr(parts.next())?,
            },
            Rule::const_item => ItemKind::Const {
                name: self.name(&parts.need()?),
                ty: {
                    let ty = parts.take_if(Rule::type_expr);
                    self.optional_type(ty)?
                },
                value: self.expr(parts.need()?)?,
            },
            Rule::param_item => {
                let tuned = parts.take_if(Rule::w_tune).is_some();
                ItemKind::Param {
                    name: self.name(&parts.need()?),
                    ty: self.type_expr(parts.need()?)?,
                    init: self.expr(parts.need()?)?,
                    tuned,
                }
            }
            Rule::plate_item => {
                let name = self.name(&parts.need()?);
                let range = self.expr(parts.need()?)?;
                let at = range.span;
                let ExprKind::Range { from, to } = range.kind else {
                    return Err(Box::new(
                        Diagnostic::error("E0101", at, "expected a range, such as `0..N`").label("not a range"),
                    ));
                };
                ItemKind::Plate { name, from: *from, to: *to, by: self.optional_expr(parts.next())? }
            }
            Rule::type_item => {
                let (name, sizes) = self.head(&mut parts)?;
                let record = parts.need()?;
                ItemKind::Type { name, sizes, fields: self.type_fields(record)? }
            }
            Rule::fn_item => {
                let (name, sizes) = self.head(&mut parts)?;
                let params = self.params(parts.need()?)?;
                let result = match parts.take_if(Rule::result_type) {
                    Some(ty) => Some(self.type_expr(self.children(ty).need()?)?),
                    None => None,
                };
                ItemKind::Fn(FnItem { name, sizes, params, result, body: self.body(parts.need()?)? })
            }
            Rule::model_item => ItemKind::Gen(self.generative(&mut parts, true)?),
            Rule::guide_item => {
                if inner.into_inner().nth(2).is_some_and(|p| p.as_rule() == Rule::expr) {
                    ItemKind::GuideAlias { name: self.name(&parts.need()?), value: self.expr(parts.need()?)? }
                } else {
                    ItemKind::Gen(self.generative(&mut parts, false)?)
                }
            }
            Rule::dist_item => {
                let (name, sizes) = self.head(&mut parts)?;
                let params = self.params(parts.need()?)?;
                let support = self.type_expr(parts.need()?)?;
                let (members, strategies) = self.members(parts.need()?)?;
                ItemKind::Dist(DistItem { name, sizes, params, support, members, strategies })
            }
            Rule::bijector_item => {
                let (name, sizes) = self.head(&mut parts)?;
                let params = self.params(parts.need()?)?;
                let from = self.type_expr(parts.need()?)?;
                let to = self.type_expr(parts.need()?)?;
                let (members, strategies) = self.members(parts.need()?)?;
                if let Some(strategy) = strategies.first() {
                    return Err(Box::new(Diagnostic::error(
                        "E0101",
                        strategy.span,
                        "a bijector has `forward` and `inverse`, not strategies",
                    )));
                }
                ItemKind::Bijector(BijectorItem { name, sizes, params, from, to, members })
            }
            Rule::family_item => {
                let (name, sizes) = self.head(&mut parts)?;
                let params = self.params(parts.need()?)?;
                let at_mode = parts.take_if(Rule::at_mode).is_some();
                ItemKind::Family { name, sizes, params, at_mode, body: self.expr(parts.need()?)? }
            }
            Rule::strategy_item => ItemKind::Strategy(self.strategy(inner, span)?),
            Rule::objective_item => ItemKind::Objective(self.objective(&mut parts)?),
            Rule::fit_item => {
                let mut lines = Vec::new();
                for line in parts {
                    lines.push(self.fit_line(line)?);
                }
                ItemKind::Fit { lines }
            }
            Rule::test_item => {
                ItemKind::Test { name: text_of(parts.need()?.as_str()), body: self.block(parts.need()?)? }
            }
            Rule::use_item => {
                let mut path = Vec::new();
                while let Some(segment) = parts.take_if(Rule::name) {
                    path.push(self.name(&segment));
                }
                let names = parts.need()?;
                ItemKind::Use { path, names: self.names(names) }
            }
            Rule::prefer_item => ItemKind::Prefer { strategies: parts.map(|p| self.name(&p)).collect() },
            Rule::support_item => {
                let support = self.type_expr(parts.need()?)?;
                ItemKind::SupportBijector { support, bijector: self.expr(parts.need()?)? }
            }
            _ => return Err(malformed(span)),
        };
        Ok(Item { id, doc: String::new(), span, kind })
    }

    fn optional_expr(&mut self, pair: Option<P<'_>>) -> Result<Option<Expr>> {
        pair.map(|p| self.expr(p)).transpose()
    }

    /// `name[n, …]`
    fn head(&mut self, parts: &mut Children<'_>) -> Result<(Name, Vec<Name>)> {
        let name = self.name(&parts.need()?);
        let sizes = parts.take_if(Rule::size_names).map(|p| self.names(p)).unwrap_or_default();
        Ok((name, sizes))
    }

    fn params(&mut self, pair: P<'_>) -> Result<Vec<Param>> {
        let mut list = Vec::new();
        for part in self.children(pair) {
            list.push(self.param(part)?);
        }
        Ok(list)
    }

    fn param(&mut self, pair: P<'_>) -> Result<Param> {
        let mut parts = self.children(pair);
        let name = self.name(&parts.need()?);
        let ty: Option<TypeExpr> = self.optional_type(parts.take_if(Rule::type_expr))?;
        let default = match parts.next() {
            Some(default) => Some(self.only_expr_of(default)?),
            None => None,
        };
        Ok(Param { name, ty, default })
    }

    fn body(&mut self, pair: P<'_>) -> Result<Block> {
        let inner = self.children(pair).need()?;
        if inner.as_rule() == Rule::block {
            return self.block(inner);
        }
        Ok(block_of(self.expr(inner)?))
    }

    fn generative(&mut self, parts: &mut Children<'_>, is_model: bool) -> Result<GenItem> {
        let (name, sizes) = self.head(parts)?;
        let params = self.params(parts.need()?)?;
        Ok(GenItem { name, is_model, sizes, params, body: self.block(parts.need()?)? })
    }

    fn members(&mut self, pair: P<'_>) -> Result<(Vec<Member>, Vec<StrategyItem>)> {
        let mut members: Vec<Member> = Vec::new();
        let mut strategies = Vec::new();
        for part in self.children(pair) {
            if part.as_rule() == Rule::own_strategy {
                let span = self.span(&part);
                strategies.push(self.strategy(part, span)?);
                continue;
            }
            let mut parts = self.children(part);
            let name = self.name(&parts.need()?);
            if let Some(first) = members.iter().find(|m| m.name.text == name.text) {
                return Err(Box::new(
                    Diagnostic::error("E0109", name.span, format!("`{}` is defined twice", name.text))
                        .also(first.name.span, "first here"),
                ));
            }
            let params = parts.take_if(Rule::member_params).map(|p| self.names(p)).unwrap_or_default();
            let hull = self.optional_type(parts.take_if(Rule::type_expr))?;
            members.push(Member { name, params, hull, body: self.body(parts.need()?)? });
        }
        Ok((members, strategies))
    }

    fn strategy(&mut self, pair: P<'_>, span: crate::base::source::Span) -> Result<StrategyItem> {
        let mut parts = self.children(pair);
        let biased = parts.take_if(Rule::w_biased).is_some();
        let name = self.name(&parts.need()?);
        let dist = match parts.take_if(Rule::dist_pattern) {
            None => None,
            Some(pattern) => {
                let with_args = pattern.as_str().contains('(');
                let mut names = self.names(pattern);
                if names.is_empty() {
                    return Err(malformed(span));
                }
                let head = names.remove(0);
                Some(if with_args { DistPattern::Of { dist: head, args: names } } else { DistPattern::Any(head) })
            }
        };
        let mut params = Vec::new();
        if let Some(list) = parts.take_if(Rule::params) {
            params = self.params(list)?;
        }
        while let Some(param) = parts.take_if(Rule::param) {
            params.push(self.param(param)?);
        }
        let continuation = parts.need()?;
        let mut inner = self.children(continuation);
        let k = self.name(&inner.need()?);
        let kind = match inner.need()?.as_str().trim_end() {
            "smooth" => ContinuationKind::Smooth,
            "free" => ContinuationKind::Free,
            _ => ContinuationKind::Relaxed,
        };
        Ok(StrategyItem { name, span, biased, dist, params, k, kind, body: self.body(parts.need()?)? })
    }

    fn objective(&mut self, parts: &mut Children<'_>) -> Result<ObjectiveItem> {
        let (name, sizes) = self.head(parts)?;
        let params = self.params(parts.need()?)?;
        let estimates = match parts.take_if(Rule::estimates) {
            Some(part) => Some(self.only_expr_of(part)?),
            None => None,
        };
        let mut conditions = Vec::new();
        if let Some(list) = parts.take_if(Rule::conditions) {
            for condition in self.children(list) {
                conditions.push(self.expr(condition)?);
            }
        }
        Ok(ObjectiveItem { name, sizes, params, estimates, conditions, body: self.expr(parts.need()?)? })
    }

    fn fit_line(&mut self, pair: P<'_>) -> Result<FitLine> {
        let span = self.span(&pair);
        let id = self.id();
        let mut parts = self.children(pair);
        let minimize = parts.take_if(Rule::w_minimize).is_some();
        let objective = self.expr(parts.need()?)?;
        let mut line = FitLine { id, span, minimize, objective, over: Vec::new(), optimiser: None, particles: None };
        for part in parts {
            let at = self.span(&part);
            let repeated = match part.as_rule() {
                Rule::fit_over => !line.over.is_empty(),
                Rule::fit_with => line.optimiser.is_some(),
                _ => line.particles.is_some(),
            };
            if repeated {
                return Err(Box::new(Diagnostic::error("E0109", at, "this part of `fit` is given twice")));
            }
            match part.as_rule() {
                Rule::fit_over => {
                    for group in self.children(part) {
                        line.over.push(self.expr(group)?);
                    }
                }
                Rule::fit_with => line.optimiser = Some(self.only_expr_of(part)?),
                _ => line.particles = Some(self.only_expr_of(part)?),
            }
        }
        Ok(line)
    }
}
