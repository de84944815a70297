//! Binary operators: shapes, bases, intervals of results, smoothness, linearity in estimates.

use super::condition::Condition;
use super::context::Checker;
use super::estimates::union;
use super::poly::Poly;
use super::value::{Base, Edge, Env, Num, Support, Val};
use crate::base::source::Span;
use crate::diagnostic::Diagnostic;
use crate::syntax::tree::{BinaryOp, Expr, ExprKind};

impl Checker {
    pub fn binary(&mut self, op: BinaryOp, left: &Expr, right: &Expr, span: Span, env: &mut Env) -> Val {
        if let BinaryOp::And | BinaryOp::Or = op {
            let l = self.expr(left, env);
            return self.connective(op, &l, left, right, env);
        }
        // Operands of an element-wise operation have one shape.
        let (l, r) = if op != BinaryOp::MatMul && self.sized_by_place(left, env) {
            let r = self.expr(right, env);
            (self.expr_as(left, Some(r.clone()), env), r)
        } else {
            let l = self.expr(left, env);
            let want = (op != BinaryOp::MatMul && self.sized_by_place(right, env)).then(|| l.clone());
            let r = self.expr_as(right, want, env);
            (l, r)
        };
        let (Some(l), Some(r)) = (self.want_num(&l, left.span, env), self.want_num(&r, right.span, env)) else {
            return Val::Unknown;
        };
        match op {
            BinaryOp::And | BinaryOp::Or => Val::Num(Num::new(Base::Bool, Vec::new())),
            BinaryOp::Eq | BinaryOp::Ne | BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge => {
                self.comparison(op, &l, &r, left, right, span)
            }
            BinaryOp::MatMul => self.matmul(&l, &r, left.span, right.span, span),
            BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Div | BinaryOp::Rem | BinaryOp::Pow => {
                if !self.arithmetic(&l, left.span) || !self.arithmetic(&r, right.span) {
                    return Val::Unknown;
                }
                // `1 / 2` of literals is a real; other ints divide as ints.
                if let (BinaryOp::Div, ExprKind::Int(a), ExprKind::Int(b)) = (op, &left.kind, &right.kind)
                    && *b != 0
                    && a % b != 0
                {
                    #[expect(clippy::cast_precision_loss, reason = "a literal quotient is a real")]
                    let value = *a as f64 / *b as f64;
                    return Val::Num(Num::literal(Base::Real, value));
                }
                self.elementwise(op, &l, &r, span)
            }
        }
    }

    fn comparison(&mut self, op: BinaryOp, l: &Num, r: &Num, left: &Expr, right: &Expr, span: Span) -> Val {
        let result = Val::Num(Num::new(Base::Bool, Vec::new()));
        let bools = (l.base == Base::Bool, r.base == Base::Bool);
        if bools.0 != bools.1 || (bools.0 && !matches!(op, BinaryOp::Eq | BinaryOp::Ne)) {
            let (a, b) = (self.describe_num(l), self.describe_num(r));
            self.report(Diagnostic::error("E0204", span, format!("{a} and {b} cannot be compared")).label("here"));
            return result;
        }
        for (n, e) in [(l, left), (r, right)] {
            if !n.dims.is_empty() {
                let found = self.describe_num(n);
                self.report(
                    Diagnostic::error("E0210", e.span, format!("comparisons are of scalars, not of {found}"))
                        .label("an array")
                        .fix("compare elements in a loop"),
                );
                return result;
            }
            if n.optional {
                self.arithmetic(n, e.span);
            }
            if n.estimate.is_some() {
                self.nonlinear(&n.estimate, e.span, "compared");
                return result;
            }
        }
        let mut kind = l.kind.clone();
        kind.join(&r.kind);
        self.must_be_free(&kind, span, "a comparison", "this comparison");
        let memory = self.memory_part(&kind);
        Val::Num(Num::condition(self.comparison_test(op, l, r)).with_kind(&memory))
    }

    fn comparison_test(&mut self, op: BinaryOp, l: &Num, r: &Num) -> Condition {
        if l.base == Base::Bool {
            let (a, b) = (self.condition_of(l), self.condition_of(r));
            let same = Condition::any([Condition::all([a.clone(), b.clone()]), Condition::all([a.not(), b.not()])]);
            return if op == BinaryOp::Ne { same.not() } else { same };
        }
        self.note_values(l);
        self.note_values(r);
        let whole = l.base == Base::Int && r.base == Base::Int;
        let difference = self.sym(l).sub(&self.sym(r));
        match op {
            BinaryOp::Eq => Condition::zero(&difference),
            BinaryOp::Ne => Condition::zero(&difference).not(),
            BinaryOp::Lt => Condition::negative(&difference, whole),
            BinaryOp::Le => Condition::not_positive(&difference, whole),
            BinaryOp::Gt => Condition::not_positive(&difference, whole).not(),
            _ => Condition::negative(&difference, whole).not(),
        }
    }

    /// `and`, `or`: the right side is looked at only where the left leaves the question open.
    fn connective(&mut self, op: BinaryOp, l: &Val, left: &Expr, right: &Expr, env: &mut Env) -> Val {
        self.want_bool(l, left.span);
        let a = self.value_condition(l);
        let open = if op == BinaryOp::And { a.clone() } else { a.not() };
        self.guards.push(open);
        let r = self.expr(right, env);
        self.guards.pop();
        self.want_bool(&r, right.span);
        let b = self.value_condition(&r);
        let mut kind = l.kind();
        kind.join(&r.kind());
        let test = if op == BinaryOp::And { Condition::all([a, b]) } else { Condition::any([a, b]) };
        Val::Num(Num { kind, ..Num::condition(test) })
    }

    /// Shapes of an element-wise operation: equal, or one is a scalar.
    pub fn broadcast(&mut self, l: &Num, r: &Num, span: Span) -> Option<Vec<Poly>> {
        if r.dims.is_empty() {
            return Some(l.dims.clone());
        }
        if l.dims.is_empty() {
            return Some(r.dims.clone());
        }
        if l.dims.len() != r.dims.len() {
            let shape = |n: &Num| self.describe_num(&Num::new(n.base, n.dims.clone()));
            let (a, b) = (shape(l), shape(r));
            self.report(
                Diagnostic::error("E0210", span, format!("shapes differ: {a} and {b}"))
                    .label("element-wise operations need equal shapes or a scalar")
                    .fix("`@` is the matrix product; a loop says which axes belong together"),
            );
            return None;
        }
        for (a, b) in l.dims.iter().zip(&r.dims) {
            if !self.same_size(a, b, span, "element-wise operations need equal shapes") {
                return None;
            }
        }
        Some(l.dims.clone())
    }

    pub fn elementwise(&mut self, op: BinaryOp, l: &Num, r: &Num, span: Span) -> Val {
        let Some(dims) = self.broadcast(l, r, span) else { return Val::Unknown };
        let mut kind = l.kind.clone();
        kind.join(&r.kind);
        let estimate = match (op, &l.estimate, &r.estimate) {
            (_, None, None) => None,
            (BinaryOp::Add | BinaryOp::Sub, a, b) => Some(union(a, b)),
            (BinaryOp::Mul, Some(a), Some(b)) => {
                self.product(a, b, span);
                Some(union(&l.estimate, &r.estimate))
            }
            (BinaryOp::Mul, a, b) => Some(union(a, b)),
            (BinaryOp::Div, Some(_), None) => l.estimate.clone(),
            (BinaryOp::Div, _, _) => {
                self.nonlinear(&r.estimate, span, "divided by");
                l.estimate.clone().or_else(|| r.estimate.clone())
            }
            (_, a, b) => {
                let verb = if op == BinaryOp::Pow { "raised to a power" } else { "used in a remainder" };
                self.nonlinear(&Some(union(a, b)), span, verb);
                Some(union(a, b))
            }
        };
        let base = match op {
            BinaryOp::Div if l.base == Base::Int && r.base == Base::Int => Base::Int,
            BinaryOp::Div => Base::Real,
            BinaryOp::Rem => {
                if l.base != Base::Int || r.base != Base::Int {
                    self.must_be_free(&kind, span, "a remainder", "this remainder");
                    self.report(Diagnostic::error("E0204", span, "`%` is of ints").label("not ints"));
                }
                Base::Int
            }
            _ => l.base.max(r.base),
        };
        let sym = if dims.is_empty() {
            match (op, &l.sym, &r.sym) {
                (BinaryOp::Add, Some(a), Some(b)) => Some(a.add(b)),
                (BinaryOp::Sub, Some(a), Some(b)) => Some(a.sub(b)),
                (BinaryOp::Mul, Some(a), Some(b)) if a.len() * b.len() <= 64 => Some(a.mul(b)),
                (BinaryOp::Div, Some(a), Some(b)) => match b.as_constant() {
                    Some(c) if c != 0.0 && (base == Base::Real || a.divisible(c)) => Some(a.scale(1.0 / c)),
                    _ => Some(Poly::atom(&format!("(({}) / ({}))", a.print(), b.print()))),
                },
                (BinaryOp::Pow, Some(a), Some(b)) => match b.as_constant() {
                    Some(c) if c == 2.0 && a.len() <= 8 => Some(a.mul(a)),
                    _ => Some(Poly::atom(&format!("(({})^({}))", a.print(), b.print()))),
                },
                (BinaryOp::Rem, Some(a), Some(b)) => Some(Poly::atom(&format!("(({}) % ({}))", a.print(), b.print()))),
                _ => None,
            }
        } else {
            None
        };
        let sym = sym.filter(|s| s.len() <= 64 && s.atoms().all(|a| a.len() < 400));
        let support = if base == Base::Int && sym.is_some() && op != BinaryOp::Rem {
            interval(self, op, l, r)
        } else if let Some(c) = sym.as_ref().and_then(Poly::as_constant) {
            Support::interval(Some(c), Some(c))
        } else {
            interval(self, op, l, r)
        };
        Val::Num(Num { base, dims, support, kind, sym, optional: false, estimate, test: None })
    }

    fn matmul(&mut self, l: &Num, r: &Num, left: Span, right: Span, span: Span) -> Val {
        if !self.arithmetic(l, left) || !self.arithmetic(r, right) {
            return Val::Unknown;
        }
        let (a, b) = (l.dims.len(), r.dims.len());
        if !(1..=2).contains(&a) || !(1..=2).contains(&b) {
            let (x, y) = (self.describe_num(l), self.describe_num(r));
            self.report(
                Diagnostic::error("E0210", span, format!("`@` is of vectors and matrices, not of {x} and {y}"))
                    .label("here")
                    .fix("`*` multiplies by a scalar, and element by element"),
            );
            return Val::Unknown;
        }
        let inner = (l.dims[a - 1].clone(), r.dims[0].clone());
        if !self.same_size(&inner.0, &inner.1, span, "the inner sizes of a product must agree") {
            // Reported; the outer sizes are right all the same.
            let dims = l.dims[..a - 1].iter().chain(&r.dims[1..]).cloned().collect();
            return Val::Num(Num::new(Base::Real, dims));
        }
        if let (Some(x), Some(y)) = (&l.estimate, &r.estimate) {
            self.product(x, y, span);
        }
        let dims: Vec<Poly> = l.dims[..a - 1].iter().chain(&r.dims[1..]).cloned().collect();
        let mut kind = l.kind.clone();
        kind.join(&r.kind);
        let estimate = match (&l.estimate, &r.estimate) {
            (None, None) => None,
            (x, y) => Some(union(x, y)),
        };
        Val::Num(Num { kind, estimate, ..Num::new(Base::Real, dims) })
    }
}

fn edge(value: Poly) -> Option<Edge> {
    (value.len() <= 16).then_some(Edge { value, kind: super::value::Kind::default() })
}

/// Bounds of a result from bounds of the arguments.
pub fn interval(c: &Checker, op: BinaryOp, l: &Num, r: &Num) -> Support {
    let poly = |e: Option<Edge>| e.map(|e| e.value);
    let (la, lb) = (poly(l.support.lower()), poly(l.support.upper()));
    let (ra, rb) = (poly(r.support.lower()), poly(r.support.upper()));
    let nonneg = |p: &Option<Poly>| p.as_ref().is_some_and(|p| c.range(p).0 >= 0.0);
    let nonpos = |p: &Option<Poly>| p.as_ref().is_some_and(|p| c.range(p).1 <= 0.0);
    let zero = || edge(Poly::default());
    let both = |a: &Option<Poly>, b: &Option<Poly>, f: &dyn Fn(&Poly, &Poly) -> Poly| match (a, b) {
        (Some(a), Some(b)) => edge(f(a, b)),
        _ => None,
    };
    let constants = |a: &Option<Poly>, b: &Option<Poly>| -> Option<Poly> {
        let (a, b) = (a.as_ref()?.as_constant()?, b.as_ref()?.as_constant()?);
        Some(Poly::constant(a * b))
    };
    let (lower, upper) = match op {
        BinaryOp::Add => (both(&la, &ra, &Poly::add), both(&lb, &rb, &Poly::add)),
        BinaryOp::Sub => (both(&la, &rb, &Poly::sub), both(&lb, &ra, &Poly::sub)),
        BinaryOp::Mul => {
            let same = l.sym.is_some() && l.sym == r.sym;
            if nonneg(&la) && nonneg(&ra) {
                let lower = constants(&la, &ra).map_or_else(zero, edge);
                (lower, constants(&lb, &rb).and_then(edge))
            } else if same || (nonpos(&lb) && nonpos(&rb)) {
                (zero(), None)
            } else if (nonneg(&la) && nonpos(&rb)) || (nonpos(&lb) && nonneg(&ra)) {
                (None, zero())
            } else if let Some(k) = r.sym.as_ref().and_then(Poly::as_constant).filter(|_| r.dims.is_empty()) {
                scaled(&la, &lb, k)
            } else if let Some(k) = l.sym.as_ref().and_then(Poly::as_constant).filter(|_| l.dims.is_empty()) {
                scaled(&ra, &rb, k)
            } else {
                (None, None)
            }
        }
        BinaryOp::Div => {
            if let Some(k) = r.sym.as_ref().and_then(Poly::as_constant).filter(|k| *k != 0.0) {
                scaled(&la, &lb, 1.0 / k)
            } else if nonneg(&la) && nonneg(&ra) {
                (zero(), None)
            } else {
                (None, None)
            }
        }
        BinaryOp::Rem => (zero(), rb.as_ref().and_then(|b| edge(b.plus(-1.0)))),
        BinaryOp::Pow => {
            let exponent = r.sym.as_ref().and_then(Poly::as_constant);
            if nonneg(&la) || exponent.is_some_and(|e| e % 2.0 == 0.0) { (zero(), None) } else { (None, None) }
        }
        BinaryOp::MatMul
        | BinaryOp::Eq
        | BinaryOp::Ne
        | BinaryOp::Lt
        | BinaryOp::Le
        | BinaryOp::Gt
        | BinaryOp::Ge
        | BinaryOp::And
        | BinaryOp::Or => (None, None),
    };
    Support::Interval { lower, upper }
}

fn scaled(a: &Option<Poly>, b: &Option<Poly>, k: f64) -> (Option<Edge>, Option<Edge>) {
    let low = a.as_ref().and_then(|a| edge(a.scale(k)));
    let high = b.as_ref().and_then(|b| edge(b.scale(k)));
    if k >= 0.0 { (low, high) } else { (high, low) }
}
