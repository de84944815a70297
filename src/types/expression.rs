//! Expressions on abstract values.

use super::annotation::{leading_dim, strip};
use super::condition::Condition;
use super::context::{Checker, How};
use super::estimates::{Source, union};
use super::operator::interval;
use super::poly::Poly;
use super::program::ItemId;
use super::value::{Base, Callable, Env, Kind, Mode, Num, Record, Support, Val};
use crate::base::source::Span;
use crate::diagnostic::Diagnostic;
use crate::syntax::tree::{BinaryOp, Block, Expr, ExprKind, IndexExpr, ItemKind, TypeExpr, TypeKind};
use std::rc::Rc;

impl Checker {
    pub fn expr(&mut self, e: &Expr, env: &mut Env) -> Val {
        let want = self.want.take();
        match &e.kind {
            ExprKind::Int(i) => {
                #[expect(clippy::cast_precision_loss, reason = "sizes and bounds are far below 2^53")]
                let value = *i as f64;
                Val::Num(Num::literal(Base::Int, value))
            }
            ExprKind::Real(x) => Val::Num(Num::literal(Base::Real, *x)),
            ExprKind::Bool(b) => Val::Num(Num::condition(Condition::Constant(*b))),
            ExprKind::Str(_) => Val::Text,
            ExprKind::Name(name) => self.name(name, e.span, env),
            ExprKind::Path(segments) => match segments.last() {
                Some(last) => self.name(&last.text, e.span, env),
                None => Val::Unknown,
            },
            ExprKind::Binary { op, left, right } => self.binary(*op, left, right, e.span, env),
            ExprKind::Neg(inner) => {
                let value = self.expr(inner, env);
                let Some(n) = self.want_num(&value, inner.span, env) else { return Val::Unknown };
                if !self.arithmetic(&n, inner.span) {
                    return Val::Unknown;
                }
                let zero = Num::literal(n.base, 0.0);
                Val::Num(Num {
                    sym: n.sym.as_ref().filter(|_| n.dims.is_empty()).map(|s| s.scale(-1.0)),
                    support: interval(self, BinaryOp::Sub, &zero, &n),
                    ..n
                })
            }
            ExprKind::Not(inner) => {
                let value = self.expr(inner, env);
                self.want_bool(&value, inner.span);
                let test = self.value_condition(&value).not();
                let kind = value.kind();
                Val::Num(Num { kind, ..Num::condition(test) })
            }
            ExprKind::Call { callee, args } => self.call(callee, args, e.span, env, want),
            ExprKind::Index { array, indices } => self.index(array, indices, e.span, env),
            ExprKind::Field { value, field } => {
                if let Some(path) = address_path(e)
                    && env.get(path.split('.').next().unwrap_or("")).is_none()
                    && env.mode == Mode::Generative
                    && let Some(value) = self.address(&path, &[], e.span)
                {
                    return value;
                }
                let value = self.expr(value, env);
                self.field(&value, &field.text, field.span)
            }
            ExprKind::Array(parts) => {
                let want = want.map(|w| strip(&w, 1));
                self.array_literal(parts, want.as_ref(), e.span, env)
            }
            ExprKind::Tuple(parts) => {
                let wants = match want {
                    Some(Val::Tuple(w)) if w.len() == parts.len() => w,
                    _ => Vec::new(),
                };
                let values = parts.iter().enumerate().map(|(k, p)| self.expr_as(p, wants.get(k).cloned(), env));
                Val::Tuple(values.collect())
            }
            ExprKind::Record(fields) => {
                let mut record = Record::default();
                for (name, value) in fields {
                    if record.get(&name.text).is_some() {
                        self.report(
                            Diagnostic::error("E0202", name.span, format!("the field `{}` stands twice", name.text))
                                .label("again here"),
                        );
                    }
                    let wanted = match &want {
                        Some(Val::Record(w)) => w.get(&name.text).cloned(),
                        _ => None,
                    };
                    let value = self.expr_as(value, wanted, env);
                    record.fields.push((name.text.clone(), value));
                }
                Val::Record(record)
            }
            ExprKind::Block(block) => {
                self.want = want;
                self.block(block, env)
            }
            ExprKind::If { continuous, condition, then, otherwise } => {
                self.want = want;
                self.if_expr(*continuous, condition, then, otherwise.as_ref(), e.span, env)
            }
            ExprKind::For { clauses, condition, body } => {
                self.want = want;
                self.for_expr(clauses, condition.as_deref(), body, e.span, env)
            }
            ExprKind::Lambda { params, body } => Val::Fn(Rc::new(Callable::Lambda {
                params: params.clone(),
                body: Rc::new((**body).clone()),
                env: Rc::new(env.clone()),
            })),
            ExprKind::Expect(block) => self.expect(block, env),
            ExprKind::Default { value, default } => {
                let value = self.expr(value, env);
                let default_value = self.expr(default, env);
                match (value, default_value) {
                    (Val::Num(v), Val::Num(d)) => {
                        let present = Num { optional: false, sym: None, ..v };
                        // One number may stand for every missing element.
                        let d = if d.dims.is_empty() { d.under(&present.dims) } else { d };
                        self.join(&Val::Num(present), &Val::Num(d), default.span)
                    }
                    _ => Val::Unknown,
                }
            }
            ExprKind::Match { value, arms } => self.match_expr(value, arms, env),
            ExprKind::Range { from, to } => {
                let from = self.size(from, env);
                let to = self.size(to, env);
                Val::Range { from, to }
            }
        }
    }

    /// The value of an expression where a type is declared.
    pub fn expr_as(&mut self, e: &Expr, want: Option<Val>, env: &mut Env) -> Val {
        self.want = want;
        self.expr(e, env)
    }

    /// What a declared type says to the expression that must have it.
    pub fn wanted(&mut self, ty: &TypeExpr, env: &mut Env) -> Option<Val> {
        // A type without sizes settles none.
        if matches!(&ty.kind, TypeKind::Named { sizes, .. } if sizes.is_empty()) {
            return None;
        }
        Some(self.quietly(|c| c.resolve(ty, env)).0)
    }

    fn name(&mut self, name: &str, span: Span, env: &mut Env) -> Val {
        if let Some(binding) = env.get(name) {
            return binding.value.clone();
        }
        if env.open.iter().any(|o| o == name) {
            return Val::Num(Num::size(Poly::atom(name)));
        }
        if env.mode == Mode::Generative
            && let Some(value) = self.address(name, &[], span)
        {
            return value;
        }
        if let Some(owner) = env.owner.clone()
            && self.has_member(&owner, name)
        {
            return match name {
                // `mean`, `variance` of the distribution itself
                _ if self.member_arity(&owner, name) == Some(0) => self.own_member(&owner, name, Vec::new(), span, env),
                _ => Val::Fn(Rc::new(Callable::Member(name.to_owned()))),
            };
        }
        if let Some(id) = self.loaded.items.resolve(env.module, name) {
            return self.item_value(id, span, env);
        }
        match name {
            "pi" => Val::Num(Num::literal(Base::Real, std::f64::consts::PI)),
            "infinity" => Val::Num(Num { support: Support::interval(Some(0.0), None), ..Num::real() }),
            "nan" => Val::Num(Num::real()),
            "enumerate" => Val::Algorithm(Rc::new(super::value::Algorithm::Enumerate { span })),
            _ if super::native::is_native(name) => Val::Fn(Rc::new(Callable::Native(name.to_owned()))),
            _ if self.loaded.missing.contains(name) => Val::Unknown,
            _ => {
                self.unknown_name(name, span, env);
                Val::Unknown
            }
        }
    }

    pub fn unknown_name(&mut self, name: &str, span: Span, env: &Env) {
        if self.loaded.items.family(env.module, name).is_some() {
            self.report(
                Diagnostic::error("E0205", span, format!("the family `{name}` makes a guide, not a value"))
                    .label("used as a value")
                    .fix(format!("`guide q = {name}(model())`")),
            );
            return;
        }
        let mut d = Diagnostic::error("E0201", span, format!("`{name}` is not known here")).label("not found");
        if name == "_" {
            d = d.note("`_` stands for no value");
        }
        let scope = &self.loaded.items.modules[env.module.0 as usize].scope;
        let run = self
            .runs
            .last()
            .map(|r| r.bindings.iter().map(|b| b.path.as_str()).collect::<Vec<_>>())
            .unwrap_or_default();
        let library: Vec<&str> = super::library::names().collect();
        let native: Vec<&str> = super::native::names().collect();
        let candidates = env
            .vars
            .iter()
            .map(|b| b.name.as_str())
            .chain(run)
            .chain(scope.keys().map(String::as_str))
            .chain(library)
            .chain(native);
        if let Some(from) = super::library::used_from(name) {
            d = d.fix(format!("`use {from}::{{{name}}}`"));
        } else if let Some(here) = super::foreign::meant(name) {
            d = d.fix(here);
        } else if let Some(near) = crate::base::names::nearest(name, candidates) {
            let near = near.to_owned();
            d = d.fix(format!("did you mean `{near}`?"));
        } else if name != "_" {
            d = d.fix("declare it by `data`, `const` or `param`, bind it by `let`, or pass it as an argument");
        }
        self.report(d);
    }

    /// The value of an item's name.
    pub fn item_value(&mut self, id: ItemId, span: Span, env: &Env) -> Val {
        let item = self.loaded.items.item(id).clone();
        let module = self.loaded.items.module_of(id);
        match &item.kind {
            ItemKind::Data { .. } | ItemKind::Const { .. } | ItemKind::Param { .. } => self.global(id, env.frozen),
            ItemKind::Plate { .. } => self.plate(id),
            ItemKind::Type { name, .. } => {
                self.report(
                    Diagnostic::error("E0205", span, format!("`{}` is a type, not a value", name.text))
                        .label("used as a value"),
                );
                Val::Unknown
            }
            ItemKind::Gen(g) if g.params.is_empty() => self.apply_item(id, Vec::new(), span, env),
            ItemKind::Dist(d) if d.params.is_empty() => self.apply_item(id, Vec::new(), span, env),
            ItemKind::GuideAlias { value, .. } => {
                if self.poisoned.contains(&id) || self.frames.iter().any(|f| f.item == Some(id)) {
                    return Val::Unknown;
                }
                let mut inner = Env::new(module, Mode::Pure);
                self.frames.push(super::context::Frame { span, name: "guide".to_owned(), item: Some(id) });
                let value = self.expr(value, &mut inner);
                self.frames.pop();
                value
            }
            ItemKind::Fn(_)
            | ItemKind::Gen(_)
            | ItemKind::Dist(_)
            | ItemKind::Bijector(_)
            | ItemKind::Family { .. }
            | ItemKind::Strategy(_)
            | ItemKind::Objective(_) => Val::Fn(Rc::new(Callable::Item(id))),
            ItemKind::Fit { .. }
            | ItemKind::Test { .. }
            | ItemKind::Use { .. }
            | ItemKind::Prefer { .. }
            | ItemKind::SupportBijector { .. } => Val::Unknown,
        }
    }

    pub fn field(&mut self, value: &Val, field: &str, span: Span) -> Val {
        match value {
            Val::Record(r) => match r.get(field) {
                Some(Val::Optional(o)) if o.arity == 0 => {
                    let o = o.clone();
                    self.read_optional(&o, &[], span)
                }
                Some(v) => v.clone(),
                None => {
                    let mut d = Diagnostic::error("E0207", span, format!("there is no field `{field}`"))
                        .label("not found")
                        .note(format!("the value is {}", self.describe(value)));
                    if let Some(near) = crate::base::names::nearest(field, r.fields.iter().map(|(n, _)| n.as_str())) {
                        d = d.fix(format!("did you mean `{near}`?"));
                    }
                    self.report(d);
                    Val::Unknown
                }
            },
            Val::Unknown => Val::Unknown,
            other => {
                let found = self.describe(other);
                self.report(
                    Diagnostic::error("E0207", span, format!("there is no field `{field}`: this is {found}"))
                        .label("not a record"),
                );
                Val::Unknown
            }
        }
    }

    fn array_literal(&mut self, parts: &[Expr], want: Option<&Val>, span: Span, env: &mut Env) -> Val {
        let mut joined: Option<Val> = None;
        let mut bijectors = Vec::new();
        for part in parts {
            let value = self.expr_as(part, want.cloned(), env);
            if let Val::Bijector(b) = &value {
                bijectors.push(b.clone());
            }
            joined = Some(match joined {
                None => value,
                Some(before) => self.join(&before, &value, part.span),
            });
        }
        if bijectors.len() == parts.len() && !parts.is_empty() {
            return Val::Bijectors(bijectors.into());
        }
        let Some(element) = joined else {
            self.report(
                Diagnostic::error("E0204", span, "an array needs elements").label("empty").fix("`zeros(0)` has none"),
            );
            return Val::Unknown;
        };
        #[expect(clippy::cast_precision_loss, reason = "a literal's length is small")]
        let n = Poly::constant(parts.len() as f64);
        match element {
            Val::Fn(_) | Val::Dist(_) | Val::Gen(_) | Val::Bijector(_) | Val::Bijectors(_) | Val::Algorithm(_) => {
                Val::Unknown
            }
            element => element.map(&mut |x| x.clone().under(std::slice::from_ref(&n))),
        }
    }

    fn index(&mut self, array: &Expr, indices: &[IndexExpr], span: Span, env: &mut Env) -> Val {
        // A read of an address that is (or may be) sampled by pieces.
        if env.mode == Mode::Generative
            && let Some(path) = address_path(array)
            && env.get(path.split('.').next().unwrap_or("")).is_none()
            && let Some(arity) = self.address_arity(&path)
            && arity > 0
            && indices.len() >= arity
            && indices[..arity].iter().all(|i| matches!(i, IndexExpr::At(_)))
        {
            let mut at = Vec::new();
            for i in &indices[..arity] {
                if let IndexExpr::At(e) = i {
                    at.push(self.index_value(e, None, env));
                }
            }
            let element = self.address(&path, &at, span).unwrap_or(Val::Unknown);
            return self.index_into(&element, &indices[arity..], span, env);
        }
        let value = self.expr(array, env);
        self.index_into(&value, indices, span, env)
    }

    pub fn index_into(&mut self, value: &Val, indices: &[IndexExpr], span: Span, env: &mut Env) -> Val {
        if indices.is_empty() {
            return value.clone();
        }
        match value {
            Val::Unknown => {
                for i in indices {
                    if let IndexExpr::At(e) = i {
                        self.index_value(e, None, env);
                    }
                }
                return Val::Unknown;
            }
            Val::Num(_) | Val::Record(_) | Val::Tuple(_) => {}
            Val::Optional(o) => return self.index_optional(&o.clone(), indices, span, env),
            Val::Fn(_) => return Val::Unknown,
            other => {
                let found = self.describe(other);
                self.report(Diagnostic::error("E0204", span, format!("{found} cannot be indexed")).label("here"));
                return Val::Unknown;
            }
        }
        let mut rank = usize::MAX;
        value.each(&mut |n| rank = rank.min(n.dims.len()));
        if rank < indices.len() {
            let found = self.describe(value);
            self.report(
                Diagnostic::error(
                    "E0210",
                    span,
                    format!(
                        "{} {}, but this is {found}",
                        indices.len(),
                        if indices.len() == 1 { "index" } else { "indices" }
                    ),
                )
                .label(if rank == 0 { "a number has no index".to_owned() } else { format!("has {rank} axes") })
                .fix(if rank == 0 {
                    "leave the index out, or make it an array"
                } else {
                    "give one index for each axis, or fewer"
                }),
            );
            return Val::Unknown;
        }
        let mut value = value.clone();
        let mut kept: Vec<Poly> = Vec::new();
        for index in indices {
            // The axis looked at is always the one after those kept by slices.
            let axis = kept.len();
            let size = leading_dim(&value, axis);
            match index {
                IndexExpr::At(e) => {
                    let at = self.index_value(e, size.as_ref(), env);
                    if !at.dims.is_empty() {
                        self.report(
                            Diagnostic::error("E0204", e.span, "an index must be one int, not an array")
                                .label("an array")
                                .fix("write a loop: `for i in 0..n { a[idx[i]] }`"),
                        );
                        return Val::Unknown;
                    }
                    if let Some(size) = &size
                        && !self.index_rows(size, at.sym.as_ref(), e.span)
                    {
                        return Val::Unknown;
                    }
                    let text = match &at.sym {
                        Some(sym) => sym.clone(),
                        None => self.opaque(),
                    };
                    value = value.map(&mut |n| {
                        let mut dims = n.dims.clone();
                        if axis < dims.len() {
                            dims.remove(axis);
                        }
                        let sym = n.sym.as_ref().and_then(Poly::as_atom).filter(|_| kept.is_empty()).map(|a| {
                            let inner = text.print();
                            // `a[i][j]` is written `a[i, j]`.
                            match a.strip_suffix(']') {
                                Some(head) if a.contains('[') && !a.contains('(') => {
                                    Poly::atom(&format!("{head}, {inner}]"))
                                }
                                _ => Poly::atom(&format!("{a}[{inner}]")),
                            }
                        });
                        let support = match &n.support {
                            Support::Shape(shape) if dims.len() < shape.rank() => shape.hull(),
                            other => other.clone(),
                        };
                        // The index chooses among smooth values: the choice itself must be free, which ints are.
                        Num { dims, sym, support, ..n.clone() }
                    });
                }
                IndexExpr::Slice { from, to, span } => {
                    let from = from.as_ref().map(|e| self.size(e, env));
                    let to = to.as_ref().map(|e| self.size(e, env));
                    let start = from.unwrap_or_default();
                    let end = to.or_else(|| size.clone()).unwrap_or_default();
                    if let Some(size) = &size
                        && !self.index_rows(size, None, *span)
                    {
                        return Val::Unknown;
                    }
                    if let Some(size) = &size
                        && (self.at_most(&end, size) == Some(false)
                            || self.at_most(&Poly::default(), &start) == Some(false))
                    {
                        self.report(
                            Diagnostic::error(
                                "E0212",
                                *span,
                                format!(
                                    "the slice {}..{} is outside 0..{}",
                                    start.source(),
                                    end.source(),
                                    size.source()
                                ),
                            )
                            .label("outside")
                            .fix(format!(
                                "indices start at 0, and the end is excluded: the whole is 0..{}",
                                size.source()
                            )),
                        );
                    }
                    let length = end.sub(&start);
                    kept.push(length.clone());
                    value = value.map(&mut |n| {
                        let mut dims = n.dims.clone();
                        if let Some(d) = dims.get_mut(axis) {
                            *d = length.clone();
                        }
                        let support = match &n.support {
                            Support::Shape(
                                s @ (super::value::Shape::Ordered | super::value::Shape::PositiveOrdered),
                            ) => Support::Shape(*s),
                            Support::Shape(s) => s.hull(),
                            other => other.clone(),
                        };
                        Num { dims, support, sym: None, ..n.clone() }
                    });
                }
            }
        }
        value
    }

    /// An int that indexes an axis of this size.
    pub fn index_value(&mut self, e: &Expr, size: Option<&Poly>, env: &mut Env) -> Num {
        self.whole_division += 1;
        let value = self.expr(e, env);
        self.whole_division -= 1;
        let n = match value {
            Val::Num(n) => n,
            Val::Unknown => return Num::new(Base::Int, Vec::new()),
            other => {
                let found = self.describe(&other);
                self.report(
                    Diagnostic::error("E0204", e.span, format!("an index must be an int, not {found}")).label("here"),
                );
                return Num::new(Base::Int, Vec::new());
            }
        };
        if n.base != Base::Int {
            let found = self.describe_num(&n);
            self.must_be_free(&n.kind, e.span, "an index", "this index");
            if self.relaxed_origin(&n.kind).is_some() {
                return Num::new(Base::Int, Vec::new());
            }
            self.report(
                Diagnostic::error("E0204", e.span, format!("an index must be an int, not {found}"))
                    .label(format!("this is {found}"))
                    .fix("`to_int(x)` makes an int of a free real"),
            );
        } else if let Some(size) = size {
            let low = n.sym.clone().or_else(|| n.support.lower().map(|e| e.value));
            let high = n.sym.clone().or_else(|| n.support.upper().map(|e| e.value));
            let interval_low = n.support.lower().map(|e| e.value);
            let interval_high = n.support.upper().map(|e| e.value);
            let below = |p: &Option<Poly>| p.as_ref().is_some_and(|p| self.range(p).1 < 0.0);
            let above = |p: &Option<Poly>| p.as_ref().is_some_and(|p| self.at_most(size, p) == Some(true));
            // Outside for every value it may have.
            if below(&high) || below(&interval_high) || above(&low) || above(&interval_low) {
                let shown = n.sym.as_ref().map_or_else(|| self.describe_num(&n), Poly::source);
                self.report(
                    Diagnostic::error("E0212", e.span, format!("index {shown} is outside 0..{}", size.source()))
                        .label("outside")
                        .note("indices start at 0")
                        .fix(format!("use an index from 0 to {}", size.plus(-1.0).source())),
                );
            }
        }
        n
    }

    pub fn want_num(&mut self, value: &Val, span: Span, _env: &Env) -> Option<Num> {
        match value {
            Val::Num(n) => Some(n.clone()),
            Val::Unknown => None,
            Val::Optional(o) => {
                let o = o.clone();
                match self.read_optional(&o, &[], span) {
                    Val::Num(n) => Some(n),
                    _ => None,
                }
            }
            Val::Absent { name, span: place } => {
                self.no_density(self.user_span(span), *place, name);
                None
            }
            Val::Dist(_) => {
                self.report(
                    Diagnostic::error("E0204", span, "a number is wanted, not a distribution")
                        .label("a distribution")
                        .fix("sample it with `x ~ …`, or take `mean(d)`"),
                );
                None
            }
            other => {
                let found = self.describe(other);
                self.report(Diagnostic::error("E0204", span, format!("a number is wanted, not {found}")).label(found));
                None
            }
        }
    }

    /// Refuses bools and missing values in arithmetic.
    pub fn arithmetic(&mut self, n: &Num, span: Span) -> bool {
        if n.base == Base::Bool {
            self.report(
                Diagnostic::error("E0204", span, "a number is wanted, not a bool")
                    .label("a bool")
                    .fix("`if c { 1 } else { 0 }` makes a number of it"),
            );
            return false;
        }
        if self.refuse_rows(n, span) {
            return false;
        }
        if n.optional {
            self.report(
                Diagnostic::error("E0214", span, "this value may be missing")
                    .label("this is `real?`")
                    .fix("give a value for missing ones, `x ?? 0`, or ask `is_missing(x)`"),
            );
        }
        true
    }

    pub fn want_bool(&mut self, value: &Val, span: Span) {
        match value {
            Val::Num(n) if n.base == Base::Bool && n.dims.is_empty() => {}
            Val::Unknown => {}
            other => {
                let found = self.describe(other);
                self.report(
                    Diagnostic::error("E0204", span, format!("a condition must be a bool, not {found}"))
                        .label(found)
                        .fix("compare it: `x == 1`"),
                );
            }
        }
    }

    /// A value that is one or the other.
    pub fn join(&mut self, a: &Val, b: &Val, span: Span) -> Val {
        match (a, b) {
            (Val::Unknown, _) | (_, Val::Unknown) => Val::Unknown,
            (Val::Unit, Val::Unit) => Val::Unit,
            (Val::Num(a), Val::Num(b)) => {
                let base = match (a.base, b.base) {
                    (x, y) if x == y => x,
                    (Base::Int | Base::Real, Base::Int | Base::Real) => Base::Real,
                    _ => return self.cannot_join(&Val::Num(a.clone()), &Val::Num(b.clone()), span),
                };
                if a.dims.len() != b.dims.len() {
                    return self.cannot_join(&Val::Num(a.clone()), &Val::Num(b.clone()), span);
                }
                for (x, y) in a.dims.iter().zip(&b.dims) {
                    self.same_size(y, x, span, "both must have one shape");
                }
                let mut kind = a.kind.clone();
                kind.join(&b.kind);
                let support = if a.support == b.support {
                    a.support.clone()
                } else {
                    let lower = match (a.support.lower(), b.support.lower()) {
                        (Some(x), Some(y)) => self.lesser(x, y),
                        _ => None,
                    };
                    let upper = match (a.support.upper(), b.support.upper()) {
                        (Some(x), Some(y)) => self.greater(x, y),
                        _ => None,
                    };
                    Support::Interval { lower, upper }
                };
                let estimate = match (&a.estimate, &b.estimate) {
                    (None, None) => None,
                    (x, y) => Some(union(x, y)),
                };
                let sym = (a.sym == b.sym).then(|| a.sym.clone()).flatten();
                let test = (a.test == b.test).then(|| a.test.clone()).flatten();
                Val::Num(Num {
                    base,
                    dims: a.dims.clone(),
                    support,
                    kind,
                    sym,
                    optional: a.optional || b.optional,
                    estimate,
                    test,
                })
            }
            (Val::Tuple(x), Val::Tuple(y)) if x.len() == y.len() => {
                Val::Tuple(x.iter().zip(y).map(|(a, b)| self.join(a, b, span)).collect())
            }
            (Val::Record(x), Val::Record(y))
                if x.fields.len() == y.fields.len() && x.fields.iter().all(|(n, _)| y.get(n).is_some()) =>
            {
                let fields = x
                    .fields
                    .iter()
                    .map(|(n, v)| {
                        let other = y.get(n).cloned().unwrap_or(Val::Unknown);
                        (n.clone(), self.join(v, &other, span))
                    })
                    .collect();
                Val::Record(Record { fields, sampled: x.sampled.or(y.sampled) })
            }
            (Val::Dist(x), Val::Dist(y)) if x.item.is_some() && x.item == y.item && x.args.len() == y.args.len() => {
                let args =
                    x.args.iter().zip(&y.args).map(|((n, a), (_, b))| (n.clone(), self.join(a, b, span))).collect();
                Val::Dist(Rc::new(super::value::DistVal { args, ..(**x).clone() }))
            }
            (Val::Fn(_), Val::Fn(_))
            | (Val::Gen(_), Val::Gen(_))
            | (Val::Bijector(_), Val::Bijector(_))
            | (Val::Algorithm(_), Val::Algorithm(_)) => Val::Unknown,
            (Val::Dist(_), Val::Dist(_)) => {
                self.unsupported(span, "a choice between different distributions as a value");
                Val::Unknown
            }
            (a, b) => self.cannot_join(a, b, span),
        }
    }

    fn cannot_join(&mut self, a: &Val, b: &Val, span: Span) -> Val {
        let (x, y) = (self.describe(a), self.describe(b));
        self.report(
            Diagnostic::error("E0204", span, format!("both must have one type: one is {x}, the other {y}"))
                .label(format!("this is {y}")),
        );
        Val::Unknown
    }

    fn lesser(&mut self, x: super::value::Edge, y: super::value::Edge) -> Option<super::value::Edge> {
        match self.at_most(&x.value, &y.value) {
            Some(true) => Some(x),
            _ if self.at_most(&y.value, &x.value) == Some(true) => Some(y),
            _ => None,
        }
    }

    fn greater(&mut self, x: super::value::Edge, y: super::value::Edge) -> Option<super::value::Edge> {
        match self.at_most(&x.value, &y.value) {
            Some(true) => Some(y),
            _ if self.at_most(&y.value, &x.value) == Some(true) => Some(x),
            _ => None,
        }
    }

    pub fn expect(&mut self, block: &Block, env: &mut Env) -> Val {
        self.impure(block.span, "is an estimate");
        let own = vec![self.source(Source::Expect(block.span))];
        let mut inner = env.clone();
        inner.mode = Mode::Expect;
        let runs = std::mem::take(&mut self.runs);
        let value = self.block(block, &mut inner);
        self.runs = runs;
        let place = block.value.as_ref().map_or(block.span, |v| v.span);
        match value {
            Val::Num(n) if n.dims.is_empty() && n.base != Base::Bool => Val::Num(Num {
                base: Base::Real,
                estimate: Some(union(&Some(own), &n.estimate)),
                sym: None,
                support: Support::all(),
                ..n
            }),
            Val::Unknown => Val::Num(Num { estimate: Some(own), ..Num::real() }),
            other => {
                let found = self.describe(&other);
                self.report(
                    Diagnostic::error("E0204", place, format!("`expect` must end in a real, not {found}"))
                        .label(found.clone()),
                );
                Val::Num(Num { estimate: Some(own), ..Num::real() })
            }
        }
    }

    /// Values without derivatives; they keep their smoothness.
    pub fn stop(&self, value: &Val) -> Val {
        value.map(&mut |n| n.clone().with_kind(&self.without_memory(&n.kind)))
    }

    /// The value, free: `draw`, a free continuation.
    pub fn freed(&self, value: &Val) -> Val {
        value.map(&mut |n| Num { kind: Kind::default(), ..n.clone() })
    }

    /// How the current generative function runs.
    pub fn how(&self) -> Option<&How> {
        self.runs.last().map(|r| &r.how)
    }

    /// Elements of an array, when iterated over.
    pub fn element(&mut self, value: &Val) -> Val {
        strip(value, 1)
    }
}

/// `a`, `a.b.c` as a path.
pub fn address_path(e: &Expr) -> Option<String> {
    match &e.kind {
        ExprKind::Name(name) => Some(name.clone()),
        ExprKind::Field { value, field } => Some(format!("{}.{}", address_path(value)?, field.text)),
        _ => None,
    }
}
