//! Items: declarations, generative functions, distributions, strategies, objectives, `fit` and `test`.

use super::super::tree::{
    Block, ContinuationKind, DistPattern, FitLine, GenItem, Item, ItemKind, Member, Name, Param, StrategyItem, TypeExpr,
};
use super::{Printer, inline};

/// What stands between the braces of a `dist`.
enum Inner<'a> {
    Member(&'a Member),
    Strategy(&'a StrategyItem),
}

impl Printer {
    pub(super) fn item(&mut self, item: &Item) {
        if !item.doc.is_empty() {
            for line in item.doc.lines() {
                let text = format!("/// {line}");
                self.put(text.trim_end());
                self.line();
            }
        }
        match &item.kind {
            ItemKind::Data { name, ty, default } => {
                self.declared("data", name, Some(ty));
                if let Some(default) = default {
                    self.put(" = ");
                    self.expr(default, 0);
                }
            }
            ItemKind::Const { name, ty, value } => {
                self.declared("const", name, ty.as_ref());
                self.put(" = ");
                self.expr(value, 0);
            }
            ItemKind::Param { name, ty, init, tuned } => {
                self.declared(if *tuned { "tune" } else { "param" }, name, Some(ty));
                self.put(" = ");
                self.expr(init, 0);
            }
            ItemKind::Plate { name, from, to, by } => {
                self.put(&format!("plate {} = ", name.text));
                self.range(from, to);
                if let Some(by) = by {
                    self.put(" by ");
                    self.expr(by, 0);
                }
            }
            ItemKind::Type { name, sizes, fields } => {
                self.head("type", name, sizes);
                self.put(" = ");
                self.record_type(fields);
            }
            ItemKind::Fn(f) => {
                self.head("fn", &f.name, &f.sizes);
                self.params(&f.params);
                if let Some(result) = &f.result {
                    self.put(" -> ");
                    self.ty(result);
                }
                self.body(&f.body);
            }
            ItemKind::Gen(g) => self.generative(g),
            ItemKind::GuideAlias { name, value } => {
                self.put(&format!("guide {} = ", name.text));
                self.expr(value, 0);
            }
            ItemKind::Dist(d) => {
                self.head("dist", &d.name, &d.sizes);
                self.params(&d.params);
                self.put(" on ");
                self.ty(&d.support);
                self.put(" ");
                let lines: Vec<Inner<'_>> =
                    d.members.iter().map(Inner::Member).chain(d.strategies.iter().map(Inner::Strategy)).collect();
                self.braces(&lines, Printer::inner);
            }
            ItemKind::Bijector(b) => {
                self.head("bijector", &b.name, &b.sizes);
                self.params(&b.params);
                self.put(": ");
                self.ty(&b.from);
                self.put(" -> ");
                self.ty(&b.to);
                self.put(" ");
                self.braces(&b.members, Printer::member);
            }
            ItemKind::Family { name, sizes, params, at_mode, body } => {
                self.head("family", name, sizes);
                self.params(params);
                if *at_mode {
                    self.put(" at mode");
                }
                self.put(" = ");
                self.expr(body, 0);
            }
            ItemKind::Strategy(s) => self.strategy(s),
            ItemKind::Objective(o) => {
                self.head("objective", &o.name, &o.sizes);
                self.params(&o.params);
                if let Some(estimates) = &o.estimates {
                    self.put(" estimates ");
                    self.expr(estimates, 0);
                }
                if !o.conditions.is_empty() {
                    self.put(" where ");
                    self.list(&o.conditions, |p, c| p.expr(c, 0));
                }
                self.put(" = ");
                self.expr(&o.body, 0);
            }
            ItemKind::Fit { lines } => match lines.as_slice() {
                [line] => {
                    self.put("fit ");
                    self.fit_line(line);
                }
                lines => {
                    self.put("fit ");
                    self.braces(lines, Printer::fit_line);
                }
            },
            ItemKind::Test { name, body } => {
                self.put(&format!("test \"{name}\" "));
                self.block(body);
            }
            ItemKind::Use { path, names } => {
                self.put("use ");
                for segment in path {
                    self.put(&segment.text);
                    self.put("::");
                }
                self.put("{");
                self.names(names);
                self.put("}");
            }
            ItemKind::Prefer { strategies } => {
                self.put("prefer ");
                self.names(strategies);
            }
            ItemKind::SupportBijector { support, bijector } => {
                self.put("support ");
                self.ty(support);
                self.put(" by ");
                self.expr(bijector, 0);
            }
        }
    }

    pub(super) fn declared(&mut self, word: &str, name: &Name, ty: Option<&TypeExpr>) {
        self.put(word);
        self.put(" ");
        self.put(&name.text);
        if let Some(ty) = ty {
            self.put(": ");
            self.ty(ty);
        }
    }

    fn head(&mut self, word: &str, name: &Name, sizes: &[Name]) {
        self.put(word);
        self.put(" ");
        self.put(&name.text);
        if !sizes.is_empty() {
            self.put("[");
            self.names(sizes);
            self.put("]");
        }
    }

    fn params(&mut self, params: &[Param]) {
        self.put("(");
        self.list(params, Printer::param);
        self.put(")");
    }

    pub(super) fn param(&mut self, param: &Param) {
        self.put(&param.name.text);
        if let Some(ty) = &param.ty {
            self.put(": ");
            self.ty(ty);
        }
        if let Some(default) = &param.default {
            self.put(" = ");
            self.expr(default, 0);
        }
    }

    fn generative(&mut self, g: &GenItem) {
        self.head(if g.is_model { "model" } else { "guide" }, &g.name, &g.sizes);
        self.params(&g.params);
        self.put(" ");
        self.block(&g.body);
    }

    fn inner(&mut self, inner: &Inner<'_>) {
        match inner {
            Inner::Member(m) => self.member(m),
            Inner::Strategy(s) => self.strategy(s),
        }
    }

    fn member(&mut self, member: &Member) {
        self.put(&member.name.text);
        // `path()` and `mean` differ only in what the language says of their names.
        if !member.params.is_empty() || matches!(member.name.text.as_str(), "path" | "draw") {
            self.put("(");
            self.names(&member.params);
            self.put(")");
        }
        if let Some(hull) = &member.hull {
            self.put(" on ");
            self.ty(hull);
        }
        self.body(&member.body);
    }

    fn strategy(&mut self, s: &StrategyItem) {
        if s.biased {
            self.put("biased ");
        }
        self.put("strategy ");
        self.put(&s.name.text);
        match &s.dist {
            None if s.params.is_empty() => {}
            None => self.params(&s.params),
            Some(pattern) => {
                self.put("(");
                match pattern {
                    DistPattern::Any(name) => self.put(&name.text),
                    DistPattern::Of { dist, args } => {
                        self.put(&dist.text);
                        self.put("(");
                        self.names(args);
                        self.put(")");
                    }
                }
                for param in &s.params {
                    self.put(", ");
                    self.param(param);
                }
                self.put(")");
            }
        }
        let kind = match s.kind {
            ContinuationKind::Smooth => "smooth",
            ContinuationKind::Free => "free",
            ContinuationKind::Relaxed => "relaxed",
        };
        self.put(&format!("({}: {kind})", s.k.text));
        self.body(&s.body);
    }

    fn fit_line(&mut self, line: &FitLine) {
        if line.minimize {
            self.put("minimize ");
        }
        self.expr(&line.objective, 0);
        if !line.over.is_empty() {
            self.put(" over ");
            self.list(&line.over, |p, e| p.expr(e, 0));
        }
        if let Some(optimiser) = &line.optimiser {
            self.put(" with ");
            self.expr(optimiser, 0);
        }
        if let Some(particles) = &line.particles {
            self.put(" particles: ");
            self.expr(particles, 0);
        }
    }

    /// ` = e`, or ` { … }` where there are statements.
    pub(super) fn body(&mut self, block: &Block) {
        match inline(block) {
            Some(value) => {
                self.put(" = ");
                self.expr(value, 0);
            }
            None => {
                self.put(" ");
                self.block(block);
            }
        }
    }
}
