//! What a piece of source mentions: names it reads, `var`s it assigns.

use crate::syntax::tree::{Address, Block, Expr, ExprKind, ForRange, IndexExpr, Stmt, StmtKind, TypeExpr, TypeKind};

/// A mention.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mention<'a> {
    Name(&'a str),
    Assigned(&'a str),
    /// Sampled at an address of this name.
    Sampled(&'a str),
    /// Observed at an address of this name.
    Observed(&'a str),
}

pub(super) fn block<'a>(b: &'a Block, f: &mut dyn FnMut(Mention<'a>)) {
    b.stmts.iter().for_each(|s| stmt(s, f));
    if let Some(v) = &b.value {
        expr(v, f);
    }
}

fn ty<'a>(t: &'a TypeExpr, f: &mut dyn FnMut(Mention<'a>)) {
    match &t.kind {
        TypeKind::Named { bounds, sizes, args, .. } => {
            if let Some(b) = bounds {
                b.lower.iter().chain(&b.upper).for_each(|e| expr(e, f));
            }
            sizes.iter().for_each(|e| expr(e, f));
            args.iter().for_each(|a| ty(a, f));
        }
        TypeKind::Tuple(items) => items.iter().for_each(|t| ty(t, f)),
        TypeKind::Record(fields) => fields.iter().for_each(|(_, t)| ty(t, f)),
        TypeKind::Fn { params, result } => {
            params.iter().for_each(|t| ty(t, f));
            ty(result, f);
        }
        TypeKind::Array { element, sizes } => {
            ty(element, f);
            sizes.iter().for_each(|e| expr(e, f));
        }
    }
}

fn stmt<'a>(s: &'a Stmt, f: &mut dyn FnMut(Mention<'a>)) {
    match &s.kind {
        StmtKind::Let { ty: t, value, .. } => {
            t.iter().for_each(|t| ty(t, f));
            expr(value, f);
        }
        StmtKind::Var { ty: t, value, .. } => {
            t.iter().for_each(|t| ty(t, f));
            expr(value, f);
        }
        StmtKind::Assign { name, indices, value, .. } => {
            f(Mention::Assigned(&name.text));
            f(Mention::Name(&name.text));
            indices.iter().for_each(|e| expr(e, f));
            expr(value, f);
        }
        StmtKind::Sample { address, ty: t, value, by } => {
            if let Address::Named { name, indices } = address {
                f(Mention::Sampled(&name.text));
                indices.iter().for_each(|e| expr(e, f));
            }
            t.iter().for_each(|t| ty(t, f));
            expr(value, f);
            by.iter().for_each(|e| expr(e, f));
        }
        StmtKind::Observe { value, dist } => {
            if let Some((name, _)) = crate::types::generative::observed_address(value) {
                f(Mention::Observed(name));
            }
            expr(value, f);
            expr(dist, f);
        }
        StmtKind::Factor(e) | StmtKind::Learn(e) | StmtKind::Expr(e) => expr(e, f),
        StmtKind::State { init, .. } | StmtKind::Tune { init, .. } => expr(init, f),
        StmtKind::Next { name, value } => {
            f(Mention::Name(&name.text));
            expr(value, f);
        }
        StmtKind::Assert { check, .. } => expr(check, f),
    }
}

pub(super) fn expr<'a>(e: &'a Expr, f: &mut dyn FnMut(Mention<'a>)) {
    match &e.kind {
        ExprKind::Int(_) | ExprKind::Real(_) | ExprKind::Bool(_) | ExprKind::Str(_) | ExprKind::Path(_) => {}
        ExprKind::Name(n) => f(Mention::Name(n)),
        ExprKind::Binary { left, right, .. } => {
            expr(left, f);
            expr(right, f);
        }
        ExprKind::Neg(x) | ExprKind::Not(x) => expr(x, f),
        ExprKind::Call { callee, args } => {
            expr(callee, f);
            args.iter().for_each(|a| expr(&a.value, f));
        }
        ExprKind::Index { array, indices } => {
            expr(array, f);
            for i in indices {
                match i {
                    IndexExpr::At(e) => expr(e, f),
                    IndexExpr::Slice { from, to, .. } => from.iter().chain(to).for_each(|e| expr(e, f)),
                }
            }
        }
        ExprKind::Field { value, .. } => expr(value, f),
        ExprKind::Array(items) | ExprKind::Tuple(items) => items.iter().for_each(|e| expr(e, f)),
        ExprKind::Record(fields) => fields.iter().for_each(|(_, e)| expr(e, f)),
        ExprKind::Block(b) | ExprKind::Expect(b) => block(b, f),
        ExprKind::If { condition, then, otherwise, .. } => {
            expr(condition, f);
            block(then, f);
            otherwise.iter().for_each(|b| block(b, f));
        }
        ExprKind::For { clauses, condition, body } => {
            for c in clauses {
                match &c.over {
                    ForRange::Range { from, to } => {
                        expr(from, f);
                        expr(to, f);
                    }
                    ForRange::In(e) => expr(e, f),
                }
            }
            condition.iter().for_each(|e| expr(e, f));
            block(body, f);
        }
        ExprKind::Lambda { body, .. } => expr(body, f),
        ExprKind::Default { value, default } => {
            expr(value, f);
            expr(default, f);
        }
        ExprKind::Match { value, arms } => {
            expr(value, f);
            arms.iter().for_each(|(_, b)| block(b, f));
        }
        ExprKind::Range { from, to } => {
            expr(from, f);
            expr(to, f);
        }
    }
}
