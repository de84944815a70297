//! The printer: a tree back to text. Reading what it prints gives the same tree but for spans and ids, and printing
//! that gives the same text.
//!
//! `if(a){b}else{c}` prints as `if a { b } else { c }`.

use super::tree::{
    Address, Arg, BinaryOp, Block, Bounds, Expr, ExprKind, File, ForRange, IndexExpr, Item, MatchPattern, Name,
    Pattern, Stmt, StmtKind, TypeExpr, TypeKind,
};

mod items;

/// A file: items in order, a blank line between them.
pub fn file(file: &File) -> String {
    let items: Vec<String> = file.items.iter().map(item).collect();
    let mut text = items.join("\n\n");
    text.push('\n');
    text
}

/// One item, without a newline at its end.
pub fn item(item: &Item) -> String {
    let mut printer = Printer::default();
    printer.item(item);
    printer.text
}

/// One expression.
pub fn expr(expr: &Expr) -> String {
    let mut printer = Printer::default();
    printer.expr(expr, 0);
    printer.text
}

/// One statement.
pub fn stmt(stmt: &Stmt) -> String {
    let mut printer = Printer::default();
    printer.stmt(stmt);
    printer.text
}

/// A type.
pub fn type_expr(ty: &TypeExpr) -> String {
    let mut printer = Printer::default();
    printer.ty(ty);
    printer.text
}

#[derive(Default)]
struct Printer {
    text: String,
    indent: usize,
}

/// What binds as tightly as an operand.
const TIGHT: u8 = 20;

/// How tightly an expression binds: see the table in `build/expression.rs`.
fn level(kind: &ExprKind) -> u8 {
    match kind {
        ExprKind::Lambda { .. } => 0,
        ExprKind::Range { .. } => 1,
        ExprKind::Binary { op, .. } => operator(*op).1,
        ExprKind::Default { .. } => 9,
        ExprKind::Neg(_) | ExprKind::Not(_) => 16,
        ExprKind::Int(_)
        | ExprKind::Real(_)
        | ExprKind::Bool(_)
        | ExprKind::Str(_)
        | ExprKind::Name(_)
        | ExprKind::Call { .. }
        | ExprKind::Index { .. }
        | ExprKind::Field { .. }
        | ExprKind::Array(_)
        | ExprKind::Tuple(_)
        | ExprKind::Record(_)
        | ExprKind::Block(_)
        | ExprKind::If { .. }
        | ExprKind::For { .. }
        | ExprKind::Expect(_)
        | ExprKind::Match { .. }
        | ExprKind::Path(_) => TIGHT,
    }
}

/// Text, own level, least level of the left and of the right operand.
fn operator(op: BinaryOp) -> (&'static str, u8, u8, u8) {
    match op {
        BinaryOp::Or => ("||", 3, 3, 4),
        BinaryOp::And => ("&&", 5, 5, 6),
        BinaryOp::Eq => ("==", 7, 8, 8),
        BinaryOp::Ne => ("!=", 7, 8, 8),
        BinaryOp::Lt => ("<", 7, 8, 8),
        BinaryOp::Le => ("<=", 7, 8, 8),
        BinaryOp::Gt => (">", 7, 8, 8),
        BinaryOp::Ge => (">=", 7, 8, 8),
        BinaryOp::Add => ("+", 11, 11, 12),
        BinaryOp::Sub => ("-", 11, 11, 12),
        BinaryOp::Mul => ("*", 13, 13, 14),
        BinaryOp::Div => ("/", 13, 13, 14),
        BinaryOp::Rem => ("%", 13, 13, 14),
        BinaryOp::MatMul => ("@", 13, 13, 14),
        BinaryOp::Pow => ("^", 17, 18, 17),
    }
}

impl Printer {
    fn put(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn line(&mut self) {
        self.text.push('\n');
        for _ in 0..self.indent {
            self.text.push_str("  ");
        }
    }

    fn list<T>(&mut self, items: &[T], mut each: impl FnMut(&mut Printer, &T)) {
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                self.put(", ");
            }
            each(self, item);
        }
    }

    fn names(&mut self, names: &[Name]) {
        self.list(names, |p, n| p.put(&n.text));
    }

    /// Lines between braces.
    fn braces<T>(&mut self, items: &[T], mut each: impl FnMut(&mut Printer, &T)) {
        self.put("{");
        self.indent += 1;
        for item in items {
            self.line();
            each(self, item);
        }
        self.indent -= 1;
        self.line();
        self.put("}");
    }

    fn ty(&mut self, ty: &TypeExpr) {
        match &ty.kind {
            TypeKind::Named { name, bounds, optional, sizes, args } => {
                self.put(&name.text);
                if let Some(bounds) = bounds {
                    self.bounds(&name.text, bounds);
                }
                if !args.is_empty() {
                    self.put("<");
                    self.list(args, Printer::ty);
                    self.put(">");
                }
                if *optional {
                    self.put("?");
                }
                self.sizes(sizes);
            }
            TypeKind::Tuple(elements) => {
                self.put("(");
                self.list(elements, Printer::ty);
                self.put(")");
            }
            TypeKind::Record(fields) => self.record_type(fields),
            TypeKind::Fn { params, result } => {
                self.put("fn(");
                self.list(params, Printer::ty);
                self.put(") -> ");
                self.ty(result);
            }
            TypeKind::Array { element, sizes } => {
                let parenthesised = matches!(element.kind, TypeKind::Fn { .. });
                if parenthesised {
                    self.put("(");
                }
                self.ty(element);
                if parenthesised {
                    self.put(")");
                }
                self.sizes(sizes);
            }
        }
    }

    fn sizes(&mut self, sizes: &[Expr]) {
        if !sizes.is_empty() {
            self.put("[");
            self.list(sizes, |p, e| p.expr(e, 0));
            self.put("]");
        }
    }

    /// A bound is an additive expression.
    fn bounds(&mut self, name: &str, bounds: &Bounds) {
        const ADDITIVE: u8 = 11;
        self.put("<");
        match (&bounds.lower, &bounds.upper) {
            (Some(lower), Some(upper)) if name == "int" => {
                self.expr(lower, ADDITIVE);
                self.put("..=");
                self.expr(upper, ADDITIVE);
            }
            (lower, upper) => {
                if let Some(lower) = lower {
                    self.put("lower=");
                    self.expr(lower, ADDITIVE);
                }
                if lower.is_some() && upper.is_some() {
                    self.put(", ");
                }
                if let Some(upper) = upper {
                    self.put("upper=");
                    self.expr(upper, ADDITIVE);
                }
            }
        }
        self.put(">");
    }

    fn record_type(&mut self, fields: &[(Name, TypeExpr)]) {
        self.put("{ ");
        self.list(fields, |p, (name, ty)| {
            p.put(&name.text);
            p.put(": ");
            p.ty(ty);
        });
        self.put(" }");
    }

    fn block(&mut self, block: &Block) {
        match (&block.value, block.stmts.is_empty()) {
            (None, true) => self.put("{ }"),
            (Some(value), true) if !is_long(value) => {
                self.put("{ ");
                self.expr(value, 0);
                self.put(" }");
            }
            (value, _) => {
                self.put("{");
                self.indent += 1;
                for stmt in &block.stmts {
                    self.line();
                    self.stmt(stmt);
                }
                if let Some(value) = value {
                    self.line();
                    self.expr(value, 0);
                }
                self.indent -= 1;
                self.line();
                self.put("}");
            }
        }
    }

    fn stmt(&mut self, stmt: &Stmt) {
        match &stmt.kind {
            StmtKind::Let { pattern, ty, value } => {
                self.put("let ");
                self.pattern(pattern);
                if let Some(ty) = ty {
                    self.put(": ");
                    self.ty(ty);
                }
                self.put(" = ");
                self.expr(value, 0);
            }
            StmtKind::Var { name, ty, value } => self.named_value("var", name, ty.as_ref(), value),
            StmtKind::State { name, ty, init } => self.named_value("state", name, ty.as_ref(), init),
            StmtKind::Tune { name, ty, init } => self.named_value("tune", name, ty.as_ref(), init),
            StmtKind::Assign { name, fields, indices, value } => {
                let mut path = name.clone();
                for field in fields {
                    path.text = format!("{}.{}", path.text, field.text);
                }
                self.place(&path, indices);
                self.put(" = ");
                self.expr(value, 0);
            }
            StmtKind::Sample { address, ty, value, by } => {
                match address {
                    Address::Splice(_) => self.put("_"),
                    Address::Named { name, indices } => self.place(name, indices),
                }
                if let Some(ty) = ty {
                    self.put(": ");
                    self.ty(ty);
                }
                self.put(" ~ ");
                self.expr(value, 0);
                if let Some(by) = by {
                    self.put(" by ");
                    self.expr(by, 0);
                }
            }
            StmtKind::Observe { value, dist } => {
                self.put("observe ");
                self.expr(value, 0);
                self.put(" ~ ");
                self.expr(dist, 0);
            }
            StmtKind::Factor(e) => {
                self.put("factor ");
                self.expr(e, 0);
            }
            StmtKind::Next { name, value } => {
                self.put(&format!("next {} = ", name.text));
                self.expr(value, 0);
            }
            StmtKind::Learn(e) => {
                self.put("learn ");
                self.expr(e, 0);
            }
            StmtKind::Assert { check, block } => {
                self.put("assert ");
                self.expr(check, 0);
                if let Some(block) = block {
                    self.put(" ");
                    self.braces(&block.items, Printer::item);
                }
            }
            StmtKind::Expr(e) => self.expr(e, 0),
        }
    }

    fn named_value(&mut self, word: &str, name: &Name, ty: Option<&TypeExpr>, value: &Expr) {
        self.declared(word, name, ty);
        self.put(" = ");
        self.expr(value, 0);
    }

    fn place(&mut self, name: &Name, indices: &[Expr]) {
        self.put(&name.text);
        self.sizes(indices);
    }

    fn pattern(&mut self, pattern: &Pattern) {
        match pattern {
            Pattern::Name(name) => self.put(&name.text),
            Pattern::Ignore(_) => self.put("_"),
            Pattern::Tuple(elements) => {
                self.put("(");
                self.list(elements, Printer::pattern);
                self.put(")");
            }
        }
    }

    fn range(&mut self, from: &Expr, to: &Expr) {
        self.expr(from, 2);
        self.put("..");
        self.expr(to, 2);
    }

    /// An expression where nothing that binds looser than `least` may stand without parentheses.
    fn expr(&mut self, expr: &Expr, least: u8) {
        let parenthesised = level(&expr.kind) < least;
        if parenthesised {
            self.put("(");
        }
        self.kind(&expr.kind);
        if parenthesised {
            self.put(")");
        }
    }

    fn kind(&mut self, kind: &ExprKind) {
        match kind {
            ExprKind::Int(n) => self.put(&n.to_string()),
            ExprKind::Real(x) => self.put(&format!("{x:?}")),
            ExprKind::Bool(b) => self.put(if *b { "true" } else { "false" }),
            ExprKind::Str(s) => self.put(&format!("\"{s}\"")),
            ExprKind::Name(name) => self.put(name),
            ExprKind::Path(segments) => {
                let text: Vec<&str> = segments.iter().map(|s| s.text.as_str()).collect();
                self.put(&text.join("::"));
            }
            ExprKind::Binary { op, left, right } => {
                let (text, _, least_left, least_right) = operator(*op);
                self.expr(left, least_left);
                if *op == BinaryOp::Pow {
                    self.put(text);
                } else {
                    self.put(&format!(" {text} "));
                }
                self.expr(right, least_right);
            }
            ExprKind::Default { value, default } => {
                self.expr(value, 9);
                self.put(" ?? ");
                self.expr(default, 10);
            }
            ExprKind::Range { from, to } => self.range(from, to),
            ExprKind::Neg(inner) => {
                self.put("-");
                self.expr(inner, 16);
            }
            ExprKind::Not(inner) => {
                self.put("!");
                self.expr(inner, 16);
            }
            ExprKind::Call { callee, args } => {
                self.expr(callee, TIGHT);
                self.put("(");
                self.list(args, Printer::arg);
                self.put(")");
            }
            ExprKind::Index { array, indices } => {
                self.expr(array, TIGHT);
                self.put("[");
                self.list(indices, Printer::index);
                self.put("]");
            }
            ExprKind::Field { value, field } => {
                let number = matches!(value.kind, ExprKind::Int(_) | ExprKind::Real(_));
                if number {
                    self.put("(");
                }
                self.expr(value, TIGHT);
                if number {
                    self.put(")");
                }
                self.put(".");
                self.put(&field.text);
            }
            ExprKind::Array(elements) => {
                self.put("[");
                self.list(elements, |p, e| p.expr(e, 0));
                self.put("]");
            }
            ExprKind::Tuple(elements) => {
                self.put("(");
                self.list(elements, |p, e| p.expr(e, 0));
                self.put(if elements.len() == 1 { ",)" } else { ")" });
            }
            ExprKind::Record(fields) => {
                self.put("{ ");
                self.list(fields, |p, (name, value)| {
                    p.put(&name.text);
                    p.put(": ");
                    p.expr(value, 0);
                });
                self.put(" }");
            }
            ExprKind::Block(block) => self.block(block),
            ExprKind::If { continuous, condition, then, otherwise } => {
                self.put(if *continuous { "continuous if " } else { "if " });
                self.expr(condition, 0);
                self.put(" ");
                self.block(then);
                if let Some(otherwise) = otherwise {
                    self.put(" else ");
                    match inline(otherwise).map(|v| &v.kind) {
                        Some(chained @ ExprKind::If { .. }) => self.kind(chained),
                        _ => self.block(otherwise),
                    }
                }
            }
            ExprKind::For { clauses, condition, body } => {
                self.put("for ");
                self.list(clauses, |p, clause| {
                    p.put(&clause.name.text);
                    p.put(" in ");
                    match &clause.over {
                        ForRange::Range { from, to } => p.range(from, to),
                        ForRange::In(e) => p.expr(e, 0),
                    }
                });
                if let Some(condition) = condition {
                    self.put(" while ");
                    self.expr(condition, 0);
                }
                self.put(" ");
                self.block(body);
            }
            ExprKind::Lambda { params, body } => {
                self.put("|");
                self.names(params);
                self.put("| ");
                self.expr(body, 0);
            }
            ExprKind::Expect(block) => {
                self.put("expect ");
                self.block(block);
            }
            ExprKind::Match { value, arms } => {
                self.put("match ");
                self.expr(value, 0);
                self.put(" ");
                self.braces(arms, |p, (pattern, body)| {
                    match pattern {
                        MatchPattern::Int(n) => p.put(&n.to_string()),
                        MatchPattern::Bool(b) => p.put(if *b { "true" } else { "false" }),
                        MatchPattern::Any => p.put("_"),
                    }
                    p.put(" => ");
                    match inline(body) {
                        Some(value) => p.expr(value, 0),
                        None => p.block(body),
                    }
                });
            }
        }
    }

    fn arg(&mut self, arg: &Arg) {
        if let Some(name) = &arg.name {
            self.put(&name.text);
            self.put(": ");
        }
        self.expr(&arg.value, 0);
    }

    fn index(&mut self, index: &IndexExpr) {
        match index {
            IndexExpr::At(e) => self.expr(e, 2),
            IndexExpr::Slice { from, to, .. } => {
                if let Some(from) = from {
                    self.expr(from, 2);
                }
                self.put("..");
                if let Some(to) = to {
                    self.expr(to, 2);
                }
            }
        }
    }
}

/// The value of a block that has nothing else, unless it is a block itself.
fn inline(block: &Block) -> Option<&Expr> {
    match &block.value {
        Some(value) if block.stmts.is_empty() && !matches!(value.kind, ExprKind::Block(_)) => Some(value),
        _ => None,
    }
}

/// Whether a value deserves a line of its own.
fn is_long(value: &Expr) -> bool {
    match &value.kind {
        ExprKind::For { body, .. } => !body.stmts.is_empty() || body.value.as_deref().is_some_and(is_long),
        ExprKind::If { then, otherwise, .. } => {
            let long = |b: &Block| !b.stmts.is_empty() || b.value.as_deref().is_some_and(is_long);
            long(then) || otherwise.as_ref().is_some_and(long)
        }
        ExprKind::Match { .. } => true,
        ExprKind::Expect(block) | ExprKind::Block(block) => !block.stmts.is_empty(),
        _ => false,
    }
}
