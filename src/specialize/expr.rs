//! Expressions, blocks and statements.

use super::array::Index;
use super::machine::{Constant, Machine, R, refuse, unsupported};
use super::scan::{self, Mention};
use super::types::TypeValue;
use super::value::{Binding, Closure, Env, Value};
use crate::base::source::Span;
use crate::ir::core::{Atom, Scalar};
use crate::ir::op::Op;
use crate::syntax::tree::{
    Arg, BinaryOp, Block, Expr, ExprKind, IndexExpr, ItemKind, Pattern, Stmt, StmtKind, TypeExpr, TypeKind,
};
use crate::types::program::ItemId;
use std::rc::Rc;

impl<'a> Machine<'a> {
    pub(super) fn block(&mut self, block: &'a Block, env: &Env<'a>) -> R<Value<'a>> {
        let mut env = env.clone();
        self.block_in(block, &mut env)
    }

    /// As [`Machine::block`], leaving its bindings in `env`.
    pub(super) fn block_in(&mut self, block: &'a Block, env: &mut Env<'a>) -> R<Value<'a>> {
        let want = self.want.take();
        for stmt in &block.stmts {
            self.stmt(stmt, env)?;
        }
        match &block.value {
            Some(value) => self.expr_as(value, want, env),
            None => Ok(Value::Unit),
        }
    }

    fn stmt(&mut self, stmt: &'a Stmt, env: &mut Env<'a>) -> R<()> {
        self.at(stmt.span, |m| m.stmt_here(stmt, env))
    }

    fn stmt_here(&mut self, stmt: &'a Stmt, env: &mut Env<'a>) -> R<()> {
        match &stmt.kind {
            StmtKind::Let { pattern, ty, value } => {
                let want = ty.as_ref().and_then(|ty| self.wanted(ty, env));
                let mut v = self.expr_as(value, want, env)?;
                if let Some(ty) = ty {
                    v = self.coerce(v, ty)?;
                }
                self.bind_pattern(pattern, v, env, stmt.span)
            }
            StmtKind::Var { name, ty, value } => {
                let want = ty.as_ref().and_then(|ty| self.wanted(ty, env));
                let mut v = self.expr_as(value, want, env)?;
                if let Some(ty) = ty {
                    v = self.coerce(v, ty)?;
                }
                let cell = self.cells.len();
                self.cells.push(v);
                env.push(&name.text, Binding::Cell(cell));
                Ok(())
            }
            StmtKind::Assign { name, fields, indices, value } => {
                let v = self.expr(value, env)?;
                let Some(Binding::Cell(cell)) = env.local(&name.text) else {
                    return refuse(name.span, format!("`{}` is not a `var`", name.text));
                };
                let cell = *cell;
                let mut whole = self.cells[cell].clone();
                let mut old = whole.clone();
                for field in fields {
                    old = match old.field(&field.text) {
                        Some(v) => v.clone(),
                        None => return refuse(field.span, format!("there is no field `{}`", field.text)),
                    };
                }
                let v = if indices.is_empty() {
                    v
                } else {
                    let mut at = Vec::new();
                    for e in indices {
                        at.push(self.scalar(e, env)?);
                    }
                    self.updated(&old, &at, &v, stmt.span)?
                };
                whole = whole.with_part(fields.iter().map(|f| f.text.as_str()), v);
                self.cells[cell] = whole;
                Ok(())
            }
            StmtKind::Sample { address, ty, value, by } => {
                self.sample_stmt(stmt, address, ty.as_ref(), value, by.as_ref(), env)
            }
            StmtKind::Observe { value, dist } => self.observe(stmt, value, dist, env),
            StmtKind::Factor(e) => {
                let x = self.scalar(e, env)?;
                let x = self.real_of(x);
                self.score(x);
                Ok(())
            }
            StmtKind::State { name, ty, init } => self.state_stmt(name, ty.as_ref(), init, env, stmt.span),
            StmtKind::Tune { name, ty, init } => self.tune_stmt(name, ty.as_ref(), init, env, stmt.span),
            StmtKind::Next { name, value } => self.next_stmt(name, value, env, stmt.span),
            StmtKind::Learn(e) => self.learn_stmt(e, env, stmt.span),
            StmtKind::Assert { .. } => refuse(stmt.span, "`assert` stands in a `test` only"),
            StmtKind::Expr(e) => {
                if let ExprKind::For { clauses, condition, body } = &e.kind {
                    self.for_expr(clauses, condition.as_deref(), body, env, super::loops::Reduce::Discard, e.span)?;
                } else {
                    self.expr(e, env)?;
                }
                Ok(())
            }
        }
    }

    pub(super) fn bind_pattern(
        &mut self,
        pattern: &'a Pattern,
        value: Value<'a>,
        env: &mut Env<'a>,
        span: Span,
    ) -> R<()> {
        match pattern {
            Pattern::Name(n) => {
                env.bind(&n.text, value);
                Ok(())
            }
            Pattern::Ignore(_) => Ok(()),
            Pattern::Tuple(parts) => match value {
                Value::Tuple(items) if items.len() == parts.len() => {
                    for (p, v) in parts.iter().zip(items.iter()) {
                        self.bind_pattern(p, v.clone(), env, span)?;
                    }
                    Ok(())
                }
                other => refuse(span, format!("a tuple of {} is needed, this is {}", parts.len(), other.kind())),
            },
        }
    }

    /// `old` with the element at `at` replaced.
    fn updated(&mut self, old: &Value<'a>, at: &[Atom], new: &Value<'a>, span: Span) -> R<Value<'a>> {
        let Value::Array(array) = old else {
            return refuse(span, format!("{} has no elements", old.kind()));
        };
        if at.len() != array.shape.len() {
            return unsupported(span, "assignment of part of an array");
        }
        let new = self.with_scalar(new, array.scalar)?;
        let Value::Scalar(mut x) = new else {
            return refuse(span, format!("an element is a scalar, this is {}", new.kind()));
        };
        let mut array = array.clone();
        if array.scalar == Scalar::Int && self.scalar_of(x) == Scalar::Real {
            if let Value::Array(a) = self.with_scalar(old, Scalar::Real)? {
                array = a;
            }
        } else {
            x = self.convert(x, array.scalar);
        }
        let at = at.to_vec();
        self.map(&array.shape.clone(), array.scalar, |m, idx| {
            let mut here = Atom::Bool(true);
            for (&i, &a) in idx.iter().zip(&at) {
                let same = m.op(Op::IEq, &[i, a]);
                here = m.op(Op::And, &[here, same]);
            }
            let kept = m.element(&array, idx)?;
            Ok(m.op(Op::Select, &[here, x, kept]))
        })
    }

    /// The value of an expression that must be a scalar.
    pub(super) fn scalar(&mut self, e: &'a Expr, env: &Env<'a>) -> R<Atom> {
        match self.expr(e, env)? {
            Value::Scalar(a) => Ok(a),
            other => refuse(e.span, format!("a scalar is needed, this is {}", other.kind())),
        }
    }

    /// The value of an expression where a type is declared.
    pub(super) fn expr_as(&mut self, e: &'a Expr, want: Option<TypeValue<'a>>, env: &Env<'a>) -> R<Value<'a>> {
        self.want = want;
        self.expr(e, env)
    }

    /// What a declared type says to the expression that must have it.
    pub(super) fn wanted(&mut self, ty: &'a TypeExpr, env: &Env<'a>) -> Option<TypeValue<'a>> {
        // A type without sizes settles none.
        if matches!(&ty.kind, TypeKind::Named { sizes, .. } if sizes.is_empty()) {
            return None;
        }
        self.eval_type(ty, env).ok()
    }

    pub(super) fn expr(&mut self, e: &'a Expr, env: &Env<'a>) -> R<Value<'a>> {
        self.at(e.span, |m| m.expr_here(e, env))
    }

    /// Runs `f`; what it makes is said to be made for `span`, if that is in the user's files.
    fn at<T>(&mut self, span: Span, f: impl FnOnce(&mut Machine<'a>) -> T) -> T {
        let before = self.program.here;
        if self.checked.sources.is_users(span) {
            self.program.here = Some(span);
        }
        let result = f(self);
        self.program.here = before;
        result
    }

    fn expr_here(&mut self, e: &'a Expr, env: &Env<'a>) -> R<Value<'a>> {
        let want = self.want.take();
        match &e.kind {
            ExprKind::Int(i) => Ok(Value::int(*i)),
            ExprKind::Real(x) => Ok(Value::real(*x)),
            ExprKind::Bool(b) => Ok(Value::Scalar(Atom::Bool(*b))),
            ExprKind::Str(s) => Ok(Value::Text(s)),
            ExprKind::Name(n) => self.name(n, env, e.span),
            ExprKind::Path(segments) => match segments.last() {
                Some(last) => self.name(&last.text, env, e.span),
                None => refuse(e.span, "an empty path"),
            },
            ExprKind::Binary { op, left, right } => self.binary_expr(*op, left, right, env, e.span),
            ExprKind::Neg(x) => {
                let v = self.expr(x, env)?;
                self.negate(&v, e.span)
            }
            ExprKind::Not(x) => {
                let a = self.scalar(x, env)?;
                Ok(Value::Scalar(self.op(Op::Not, &[a])))
            }
            ExprKind::Call { callee, args } => self.call(callee, args, env, e.span, want),
            ExprKind::Index { array, indices } => {
                let mut at = Vec::with_capacity(indices.len());
                let base = match &array.kind {
                    ExprKind::Name(n) if self.is_address(n, env) => None,
                    _ => Some(self.expr(array, env)?),
                };
                let shape = base.as_ref().map(super::types::shape_of).unwrap_or_default();
                for (k, i) in indices.iter().enumerate() {
                    at.push(self.index_expr(i, shape.get(k).copied(), env)?);
                }
                match (base, &array.kind) {
                    (None, ExprKind::Name(n)) => self.address_read(n, &at, env, e.span),
                    (Some(base), _) => {
                        if let Value::Estimates(est) = &base {
                            return self.estimate_at(est, &at, e.span);
                        }
                        self.index(&base, &at, e.span)
                    }
                    (None, _) => refuse(e.span, "nothing to index"),
                }
            }
            ExprKind::Field { value, field } => {
                let v = self.expr(value, env)?;
                match v.field(&field.text) {
                    Some(f) => Ok(f.clone()),
                    None => refuse(field.span, format!("there is no field `{}`", field.text)),
                }
            }
            ExprKind::Array(items) => {
                let want = want.map(|w| w.element(1));
                let values: R<Vec<_>> = items.iter().map(|i| self.expr_as(i, want.clone(), env)).collect();
                self.stack(values?, e.span)
            }
            ExprKind::Tuple(items) => {
                let wants = match want {
                    Some(TypeValue::Tuple(w)) => w,
                    _ => Vec::new(),
                };
                let values: R<Vec<_>> =
                    items.iter().enumerate().map(|(k, i)| self.expr_as(i, wants.get(k).cloned(), env)).collect();
                Ok(Value::Tuple(values?.into()))
            }
            ExprKind::Record(fields) => {
                let mut out = Vec::with_capacity(fields.len());
                for (n, x) in fields {
                    let want = match &want {
                        Some(TypeValue::Record(w)) => w.iter().find(|(f, _)| *f == n.text).map(|(_, t)| t.clone()),
                        _ => None,
                    };
                    out.push((n.text.clone(), self.expr_as(x, want, env)?));
                }
                Ok(Value::record(out))
            }
            ExprKind::Block(b) => {
                self.want = want;
                self.block(b, env)
            }
            ExprKind::If { condition, then, otherwise, .. } => {
                let c = self.scalar(condition, env)?;
                self.want = want;
                self.if_expr(c, then, otherwise.as_ref(), env, e.span)
            }
            ExprKind::For { clauses, condition, body } => {
                self.want = want.map(|w| w.element(clauses.len()));
                self.for_expr(clauses, condition.as_deref(), body, env, super::loops::Reduce::Collect, e.span)
            }
            ExprKind::Lambda { params, body } => {
                let env = self.capture(body, params.iter().map(|p| p.text.as_str()).collect(), env);
                let params = params.iter().map(|p| p.text.as_str()).collect();
                Ok(Value::Closure(Rc::new(Closure { params, body, env })))
            }
            ExprKind::Expect(b) => self.expect(b, env, e.span),
            ExprKind::Default { value, default } => {
                let v = self.expr(value, env)?;
                let d = self.expr(default, env)?;
                self.elementwise(&[v, d], e.span, &mut |m, x| {
                    if m.scalar_of(x[0]) != Scalar::Real {
                        return Ok(x[0]);
                    }
                    let missing = m.op(Op::IsNan, &[x[0]]);
                    let d = m.real_of(x[1]);
                    Ok(m.op(Op::Select, &[missing, d, x[0]]))
                })
            }
            ExprKind::Match { value, arms } => {
                let v = self.scalar(value, env)?;
                self.match_expr(v, arms, env, e.span)
            }
            ExprKind::Range { from, to } => {
                let a = self.static_int(from, env)?;
                let b = self.static_int(to, env)?;
                Ok(Value::Range(a, b))
            }
        }
    }

    fn index_expr(&mut self, i: &'a IndexExpr, extent: Option<usize>, env: &Env<'a>) -> R<Index> {
        match i {
            IndexExpr::At(e) => {
                let a = self.scalar(e, env)?;
                if self.scalar_of(a) != Scalar::Int {
                    return refuse(e.span, "an index is an int");
                }
                Ok(Index::At(a))
            }
            IndexExpr::Slice { from: None, to: None, .. } => Ok(Index::All),
            IndexExpr::Slice { from, to, span } => {
                let a = match from {
                    Some(e) => self.scalar(e, env)?,
                    None => Atom::Int(0),
                };
                let b = match to {
                    Some(e) => self.scalar(e, env)?,
                    None => match extent {
                        Some(n) => Atom::Int(n as i64),
                        None => return unsupported(*span, "an open slice of an address"),
                    },
                };
                // The extent must be known; the start may be an index.
                let ((base, low), (other, high)) = (self.affine(a), self.affine(b));
                if base != other {
                    return refuse(*span, "the extent of a slice must be known when data are bound");
                }
                Ok(Index::Slice(a, usize::try_from(high - low).unwrap_or(0)))
            }
        }
    }

    /// The environment a lambda keeps: the values of the names its body mentions.
    fn capture(&mut self, body: &'a Expr, params: Vec<&'a str>, env: &Env<'a>) -> Env<'a> {
        let mut captured = Env { locals: None, ..env.clone() };
        let mut names: Vec<&'a str> = Vec::new();
        scan::expr(body, &mut |m| {
            if let Mention::Name(n) = m
                && !names.contains(&n)
                && !params.contains(&n)
            {
                names.push(n);
            }
        });
        for name in names {
            match env.local(name) {
                Some(Binding::Value(v)) => captured.bind(name, v.clone()),
                Some(Binding::Cell(c)) => {
                    let v = self.cells[*c].clone();
                    captured.bind(name, v);
                }
                None => {
                    if self.is_address(name, env)
                        && let Ok(v) = self.address_value(name, env, Span::default())
                    {
                        captured.bind(name, v);
                    }
                }
            }
        }
        captured
    }

    pub(super) fn name(&mut self, name: &'a str, env: &Env<'a>, span: Span) -> R<Value<'a>> {
        match env.local(name) {
            Some(Binding::Value(v)) => return Ok(v.clone()),
            Some(Binding::Cell(c)) => return Ok(self.cells[*c].clone()),
            None => {}
        }
        if self.is_address(name, env) {
            return self.address_value(name, env, span);
        }
        if let Some(v) = self.own_member_value(name, env, span)? {
            return Ok(v);
        }
        if let Some(id) = self.checked.items.resolve(env.module, name) {
            return self.item_value(id, span);
        }
        match name {
            "pi" => Ok(Value::real(std::f64::consts::PI)),
            "infinity" => Ok(Value::real(f64::INFINITY)),
            "nan" => Ok(Value::real(f64::NAN)),
            "enumerate" => Ok(Value::Algorithm(Rc::new(super::value::Algorithm::Enumerate))),
            _ if super::native::is_native(name) => Ok(Value::Native(name)),
            _ => refuse(span, format!("`{name}` has no value here")),
        }
    }

    pub(super) fn item_value(&mut self, id: ItemId, span: Span) -> R<Value<'a>> {
        match &self.checked.items.item(id).kind {
            ItemKind::Data { name, .. } => match self.bindings.data.get(&id) {
                Some(known) => Ok(known_value(known)),
                None if self.bindings.consts.contains_key(&id) => {
                    Ok(constant_value(&self.bindings.consts[&id].clone()))
                }
                None => refuse(span, format!("`{}` is not bound", name.text)),
            },
            ItemKind::Const { name, .. } => match self.bindings.consts.get(&id) {
                Some(c) => Ok(constant_value(&c.clone())),
                None => refuse(span, format!("`{}` is used before it is defined", name.text)),
            },
            ItemKind::Param { .. } => self.param(id),
            ItemKind::Plate { .. } => self.plate(id, span),
            ItemKind::GuideAlias { value, .. } => {
                let env = Env::new(self.checked.items.module_of(id), 0);
                self.expr(value, &env)
            }
            _ => Ok(Value::Item(id)),
        }
    }

    fn binary_expr(
        &mut self,
        op: BinaryOp,
        left: &'a Expr,
        right: &'a Expr,
        env: &Env<'a>,
        span: Span,
    ) -> R<Value<'a>> {
        // Operands of an element-wise operation have one shape.
        if op != BinaryOp::MatMul && self.sized_by_place(left, env) {
            let r = self.expr(right, env)?;
            let want = self.type_of(&r);
            let l = self.expr_as(left, want, env)?;
            return self.binary(op, &l, &r, span);
        }
        let l = self.expr(left, env)?;
        // The right side of `and`, `or` may rely on the left: it is not evaluated when the left decides.
        match (op, &l) {
            (BinaryOp::And, Value::Scalar(Atom::Bool(false))) => return Ok(l),
            (BinaryOp::Or, Value::Scalar(Atom::Bool(true))) => return Ok(l),
            _ => {}
        }
        if let (BinaryOp::And | BinaryOp::Or, Value::Scalar(left)) = (op, &l)
            && self.scalar_of(*left) == Scalar::Bool
            && !matches!(left, Atom::Bool(_))
        {
            return self.short_circuit(op, *left, right, env, span);
        }
        let want = if op != BinaryOp::MatMul && self.sized_by_place(right, env) { self.type_of(&l) } else { None };
        let r = self.expr_as(right, want, env)?;
        if op == BinaryOp::Div
            && let (ExprKind::Int(a), ExprKind::Int(b)) = (&left.kind, &right.kind)
            && *b != 0
            && a % b != 0
        {
            return Ok(Value::real(*a as f64 / *b as f64));
        }
        self.binary(op, &l, &r, span)
    }

    pub(super) fn negate(&mut self, v: &Value<'a>, span: Span) -> R<Value<'a>> {
        if let Value::Estimate(_) | Value::Estimates(_) = v {
            return self.estimate_scale(v, Atom::Real(-1.0), span);
        }
        self.elementwise(std::slice::from_ref(v), span, &mut |m, x| {
            Ok(match m.scalar_of(x[0]) {
                Scalar::Int => m.op(Op::INeg, x),
                _ => m.real_op(Op::Neg, x),
            })
        })
    }

    pub(super) fn binary(&mut self, op: BinaryOp, l: &Value<'a>, r: &Value<'a>, span: Span) -> R<Value<'a>> {
        let is_estimate = |v: &Value<'a>| matches!(v, Value::Estimate(_) | Value::Estimates(_));
        if is_estimate(l) || is_estimate(r) {
            return self.estimate_binary(op, l, r, span);
        }
        match op {
            BinaryOp::MatMul => return self.matmul(l, r, span),
            BinaryOp::Add
            | BinaryOp::Sub
            | BinaryOp::Mul
            | BinaryOp::Div
            | BinaryOp::Rem
            | BinaryOp::Pow
            | BinaryOp::Eq
            | BinaryOp::Ne
            | BinaryOp::Lt
            | BinaryOp::Le
            | BinaryOp::Gt
            | BinaryOp::Ge
            | BinaryOp::And
            | BinaryOp::Or => {}
        }
        self.elementwise(&[l.clone(), r.clone()], span, &mut |m, x| m.scalar_binary(op, x[0], x[1], span))
    }

    fn scalar_binary(&mut self, op: BinaryOp, a: Atom, b: Atom, span: Span) -> R<Atom> {
        let (sa, sb) = (self.scalar_of(a), self.scalar_of(b));
        let ints = sa == Scalar::Int && sb == Scalar::Int;
        let bools = sa == Scalar::Bool && sb == Scalar::Bool;
        Ok(match op {
            BinaryOp::Add if ints => self.op(Op::IAdd, &[a, b]),
            BinaryOp::Sub if ints => self.op(Op::ISub, &[a, b]),
            BinaryOp::Mul if ints => self.op(Op::IMul, &[a, b]),
            BinaryOp::Div if ints => self.op(Op::IDiv, &[a, b]),
            BinaryOp::Rem if ints => self.op(Op::IMod, &[a, b]),
            BinaryOp::Rem => return refuse(span, "`%` is of ints"),
            BinaryOp::Add => self.real_op(Op::Add, &[a, b]),
            BinaryOp::Sub => self.real_op(Op::Sub, &[a, b]),
            BinaryOp::Mul => self.real_op(Op::Mul, &[a, b]),
            BinaryOp::Div => self.real_op(Op::Div, &[a, b]),
            BinaryOp::Pow => match (ints, a, b) {
                (true, Atom::Int(x), Atom::Int(n)) if n >= 0 => {
                    Atom::Int(x.wrapping_pow(u32::try_from(n).unwrap_or(u32::MAX)))
                }
                (true, _, Atom::Int(n)) if (0..=64).contains(&n) => {
                    let mut p = Atom::Int(1);
                    for _ in 0..n {
                        p = self.op(Op::IMul, &[p, a]);
                    }
                    p
                }
                _ => self.real_op(Op::Pow, &[a, b]),
            },
            BinaryOp::Eq | BinaryOp::Ne => {
                let same = if ints {
                    self.op(Op::IEq, &[a, b])
                } else if bools {
                    let x = self.op(Op::BoolToInt, &[a]);
                    let y = self.op(Op::BoolToInt, &[b]);
                    self.op(Op::IEq, &[x, y])
                } else {
                    self.real_op(Op::Eq, &[a, b])
                };
                if op == BinaryOp::Ne { self.op(Op::Not, &[same]) } else { same }
            }
            BinaryOp::Lt if ints => self.op(Op::ILt, &[a, b]),
            BinaryOp::Le if ints => self.op(Op::ILe, &[a, b]),
            BinaryOp::Gt if ints => self.op(Op::ILt, &[b, a]),
            BinaryOp::Ge if ints => self.op(Op::ILe, &[b, a]),
            BinaryOp::Lt => self.real_op(Op::Lt, &[a, b]),
            BinaryOp::Le => self.real_op(Op::Le, &[a, b]),
            BinaryOp::Gt => self.real_op(Op::Lt, &[b, a]),
            BinaryOp::Ge => self.real_op(Op::Le, &[b, a]),
            BinaryOp::And if bools => self.op(Op::And, &[a, b]),
            BinaryOp::Or if bools => self.op(Op::Or, &[a, b]),
            BinaryOp::And | BinaryOp::Or => return refuse(span, "`and`, `or` are of bools"),
            BinaryOp::MatMul => return refuse(span, "`@` needs arrays"),
        })
    }

    /// Positional and named arguments, evaluated.
    pub(super) fn args(&mut self, args: &'a [Arg], env: &Env<'a>) -> R<Vec<(Option<&'a str>, Value<'a>, Span)>> {
        args.iter()
            .map(|a| Ok((a.name.as_ref().map(|n| n.text.as_str()), self.expr(&a.value, env)?, a.value.span)))
            .collect()
    }
}

fn known_value<'a>(known: &Rc<super::value::Known>) -> Value<'a> {
    if known.shape.is_empty() {
        let x = known.values.first().copied().unwrap_or(f64::NAN);
        return Value::Scalar(match known.scalar {
            Scalar::Real => Atom::Real(x),
            Scalar::Int => Atom::Int(x as i64),
            Scalar::Bool => Atom::Bool(x != 0.0),
        });
    }
    Value::Array(super::value::Array {
        scalar: known.scalar,
        shape: known.shape.clone(),
        repr: super::value::Repr::Known(known.clone()),
    })
}

fn constant_value<'a>(c: &Constant) -> Value<'a> {
    match c {
        Constant::Leaf(k) => known_value(k),
        Constant::Tuple(items) => Value::Tuple(items.iter().map(constant_value).collect()),
        Constant::Record(fields) => Value::Record(fields.iter().map(|(n, c)| (n.clone(), constant_value(c))).collect()),
    }
}
