//! Which parameters an expression reads, itself or through what it calls: what `over params(g)` means. By names as written,
//! scopes respected; a parameter that is read in vain or with derivative zero is read all the same.

use super::program::{ItemId, Items, ModuleId};
use crate::syntax::tree::{
    Address, Block, Expr, ExprKind, ForClause, ForRange, IndexExpr, Item, ItemKind, Member, Name, Param, Pattern,
    StmtKind, StrategyItem,
};
use std::collections::{BTreeSet, HashSet};

/// Parameters that `expr`, standing in `module`, reads.
pub fn params_read(items: &Items, module: ModuleId, expr: &Expr) -> BTreeSet<ItemId> {
    let mut reader = Reader { items, module, bound: Vec::new(), seen: HashSet::new(), found: BTreeSet::new() };
    reader.expr(expr);
    reader.found
}

struct Reader<'a> {
    items: &'a Items,
    module: ModuleId,
    /// Names of the scopes around, innermost last.
    bound: Vec<String>,
    seen: HashSet<ItemId>,
    found: BTreeSet<ItemId>,
}

impl Reader<'_> {
    fn name(&mut self, name: &str) {
        if self.bound.iter().any(|b| b == name) {
            return;
        }
        if let Some(id) = self.items.resolve(self.module, name) {
            self.visit(id);
        }
    }

    fn visit(&mut self, id: ItemId) {
        if !self.seen.insert(id) {
            return;
        }
        let items = self.items;
        let outer = std::mem::replace(&mut self.module, items.module_of(id));
        let bound = std::mem::take(&mut self.bound);
        self.item(id, items.item(id));
        self.bound = bound;
        self.module = outer;
    }

    fn item(&mut self, id: ItemId, item: &Item) {
        match &item.kind {
            ItemKind::Param { tuned: false, .. } => {
                self.found.insert(id);
            }
            ItemKind::Const { value, .. } | ItemKind::GuideAlias { value, .. } => self.expr(value),
            ItemKind::Fn(f) => self.body(&f.params, |r| r.block(&f.body)),
            ItemKind::Gen(g) => self.body(&g.params, |r| r.block(&g.body)),
            ItemKind::Dist(d) => self.body(&d.params, |r| {
                d.members.iter().for_each(|m| r.member(m));
                d.strategies.iter().for_each(|s| r.strategy(s));
            }),
            ItemKind::Bijector(b) => self.body(&b.params, |r| b.members.iter().for_each(|m| r.member(m))),
            ItemKind::Family { params, body, .. } => self.body(params, |r| r.expr(body)),
            ItemKind::Strategy(s) => self.strategy(s),
            ItemKind::Objective(o) => self.body(&o.params, |r| r.expr(&o.body)),
            ItemKind::Param { .. }
            | ItemKind::Data { .. }
            | ItemKind::Plate { .. }
            | ItemKind::Type { .. }
            | ItemKind::Fit { .. }
            | ItemKind::Test { .. }
            | ItemKind::Use { .. }
            | ItemKind::Prefer { .. }
            | ItemKind::SupportBijector { .. } => {}
        }
    }

    /// What `inside` binds ends with it.
    fn scope(&mut self, inside: impl FnOnce(&mut Self)) {
        let depth = self.bound.len();
        inside(self);
        self.bound.truncate(depth);
    }

    fn bind(&mut self, name: &Name) {
        self.bound.push(name.text.clone());
    }

    fn body(&mut self, params: &[Param], inside: impl FnOnce(&mut Self)) {
        self.scope(|r| {
            for p in params {
                if let Some(default) = &p.default {
                    r.expr(default);
                }
                r.bind(&p.name);
            }
            inside(r);
        });
    }

    fn member(&mut self, member: &Member) {
        self.scope(|r| {
            member.params.iter().for_each(|p| r.bind(p));
            r.block(&member.body);
        });
    }

    fn strategy(&mut self, s: &StrategyItem) {
        self.scope(|r| {
            match &s.dist {
                None => {}
                Some(crate::syntax::tree::DistPattern::Any(name)) => r.bind(name),
                Some(crate::syntax::tree::DistPattern::Of { args, .. }) => args.iter().for_each(|a| r.bind(a)),
            }
            r.bind(&s.k);
            r.body(&s.params, |r| r.block(&s.body));
        });
    }

    fn block(&mut self, block: &Block) {
        self.scope(|r| r.statements(block));
    }

    fn statements(&mut self, block: &Block) {
        for stmt in &block.stmts {
            self.statement(&stmt.kind);
        }
        if let Some(value) = &block.value {
            self.expr(value);
        }
    }

    fn statement(&mut self, stmt: &StmtKind) {
        match stmt {
            StmtKind::Let { pattern, value, .. } => {
                self.expr(value);
                self.pattern(pattern);
            }
            StmtKind::Var { name, value, .. } => {
                self.expr(value);
                self.bind(name);
            }
            StmtKind::Assign { indices, value, .. } => {
                indices.iter().for_each(|i| self.expr(i));
                self.expr(value);
            }
            StmtKind::Sample { address, value, by, .. } => {
                self.expr(value);
                if let Some(by) = by {
                    self.expr(by);
                }
                match address {
                    Address::Splice(_) => self.brought(value),
                    Address::Named { name, indices } => {
                        indices.iter().for_each(|i| self.expr(i));
                        self.bind(name);
                    }
                }
            }
            StmtKind::Observe { value, dist } => {
                self.expr(value);
                self.expr(dist);
            }
            StmtKind::Factor(e) | StmtKind::Learn(e) => self.expr(e),
            StmtKind::State { name, init, .. } | StmtKind::Tune { name, init, .. } => {
                self.expr(init);
                self.bind(name);
            }
            StmtKind::Next { value, .. } => self.expr(value),
            StmtKind::Assert { check, .. } => self.expr(check),
            // Addresses that a loop or branch samples are seen after it.
            StmtKind::Expr(e) => match &e.kind {
                ExprKind::For { clauses, condition, body } => {
                    let depth = self.bound.len();
                    self.clauses(clauses);
                    if let Some(c) = condition {
                        self.expr(c);
                    }
                    self.statements(body);
                    self.bound.truncate(depth);
                    self.addresses(body, 8);
                }
                ExprKind::If { condition, then, otherwise, .. } => {
                    self.expr(condition);
                    self.block(then);
                    self.addresses(then, 8);
                    if let Some(other) = otherwise {
                        self.block(other);
                        self.addresses(other, 8);
                    }
                }
                _ => self.expr(e),
            },
        }
    }

    /// Addresses that `_ ~ g()` brings into scope.
    fn brought(&mut self, callee: &Expr) {
        let name = match &callee.kind {
            ExprKind::Name(name) => name,
            ExprKind::Call { callee, .. } => match &callee.kind {
                ExprKind::Name(name) => name,
                _ => return,
            },
            _ => return,
        };
        let items = self.items;
        let Some(id) = items.resolve(self.module, name) else { return };
        if let ItemKind::Gen(g) = &items.item(id).kind {
            self.addresses(&g.body, 8);
        }
    }

    /// Binds the addresses of a block; of what it brings in, to a depth.
    fn addresses(&mut self, block: &Block, depth: usize) {
        for stmt in &block.stmts {
            match &stmt.kind {
                StmtKind::Sample { address: Address::Named { name, .. }, .. } => self.bind(name),
                StmtKind::Sample { address: Address::Splice(_), value, .. } if depth > 0 => self.brought(value),
                StmtKind::Expr(e) => match &e.kind {
                    ExprKind::For { body, .. } if depth > 0 => self.addresses(body, depth - 1),
                    ExprKind::If { then, otherwise, .. } if depth > 0 => {
                        self.addresses(then, depth - 1);
                        if let Some(other) = otherwise {
                            self.addresses(other, depth - 1);
                        }
                    }
                    _ => {}
                },
                _ => {}
            }
        }
    }

    fn pattern(&mut self, pattern: &Pattern) {
        match pattern {
            Pattern::Name(name) => self.bind(name),
            Pattern::Ignore(_) => {}
            Pattern::Tuple(parts) => parts.iter().for_each(|p| self.pattern(p)),
        }
    }

    fn clauses(&mut self, clauses: &[ForClause]) {
        for clause in clauses {
            match &clause.over {
                ForRange::Range { from, to } => {
                    self.expr(from);
                    self.expr(to);
                }
                ForRange::In(e) => self.expr(e),
            }
            self.bind(&clause.name);
        }
    }

    fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Int(_) | ExprKind::Real(_) | ExprKind::Bool(_) | ExprKind::Str(_) | ExprKind::Path(_) => {}
            ExprKind::Name(name) => self.name(name),
            ExprKind::Binary { left, right, .. } => {
                self.expr(left);
                self.expr(right);
            }
            ExprKind::Neg(e) | ExprKind::Not(e) => self.expr(e),
            ExprKind::Call { callee, args } => {
                self.expr(callee);
                args.iter().for_each(|a| self.expr(&a.value));
            }
            ExprKind::Index { array, indices } => {
                self.expr(array);
                for index in indices {
                    match index {
                        IndexExpr::At(e) => self.expr(e),
                        IndexExpr::Slice { from, to, .. } => from.iter().chain(to).for_each(|e| self.expr(e)),
                    }
                }
            }
            ExprKind::Field { value, .. } => self.expr(value),
            ExprKind::Array(list) | ExprKind::Tuple(list) => list.iter().for_each(|e| self.expr(e)),
            ExprKind::Record(fields) => fields.iter().for_each(|(_, e)| self.expr(e)),
            ExprKind::Block(block) | ExprKind::Expect(block) => self.block(block),
            ExprKind::If { condition, then, otherwise, .. } => {
                self.expr(condition);
                self.block(then);
                otherwise.iter().for_each(|b| self.block(b));
            }
            ExprKind::For { clauses, condition, body } => self.scope(|r| {
                r.clauses(clauses);
                if let Some(c) = condition {
                    r.expr(c);
                }
                r.statements(body);
            }),
            ExprKind::Lambda { params, body } => self.scope(|r| {
                params.iter().for_each(|p| r.bind(p));
                r.expr(body);
            }),
            ExprKind::Default { value, default } => {
                self.expr(value);
                self.expr(default);
            }
            ExprKind::Match { value, arms } => {
                self.expr(value);
                arms.iter().for_each(|(_, block)| self.block(block));
            }
            ExprKind::Range { from, to } => {
                self.expr(from);
                self.expr(to);
            }
        }
    }
}
