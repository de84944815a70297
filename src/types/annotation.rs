//! Written types: what values they stand for, and whether a value may be used where one is declared. Size parameters that
//! no argument has settled (`Env::open`) are bound to the sizes met.

use super::context::Checker;
use super::poly::Poly;
use super::program::BoundTest;
use super::value::{
    Base, BijectorVal, Callable, DistVal, Edge, Env, GenForm, GenVal, Kind, Num, Record, Shape, Support, Val,
};
use crate::base::source::Span;
use crate::diagnostic::Diagnostic;
use crate::syntax::tree::{Bounds, Expr, ExprKind, ItemKind, Name, TypeExpr, TypeKind};
use std::rc::Rc;

/// What a value is declared for, in messages: `` `scale` of `normal` ``.
#[derive(Clone, Copy)]
pub struct Purpose<'a> {
    pub what: &'a str,
    pub span: Span,
}

/// A type name of the language itself.
fn scalar_base(name: &str) -> Option<Base> {
    match name {
        "real" => Some(Base::Real),
        "int" => Some(Base::Int),
        "bool" => Some(Base::Bool),
        _ => None,
    }
}

impl Checker {
    /// The values a type stands for; free, unnamed.
    pub fn resolve(&mut self, ty: &TypeExpr, env: &mut Env) -> Val {
        match &ty.kind {
            TypeKind::Tuple(parts) => Val::Tuple(parts.iter().map(|p| self.resolve(p, env)).collect()),
            TypeKind::Record(fields) => {
                let depth = env.vars.len();
                let mut record = Record::default();
                for (name, ty) in fields {
                    let value = self.resolve(ty, env);
                    // Later fields' bounds may mention it.
                    let atom = format!("{}@r", name.text);
                    env.bind(&name.text, named(&value, &atom));
                    record.fields.push((name.text.clone(), value));
                }
                env.vars.truncate(depth);
                Val::Record(record)
            }
            TypeKind::Fn { params, result } => {
                let result = self.resolve(result, env);
                Val::Fn(Rc::new(Callable::Declared { arity: params.len(), result }))
            }
            TypeKind::Array { element, sizes } => {
                let element = self.resolve(element, env);
                let dims: Vec<Poly> = sizes.iter().map(|s| self.size(s, env)).collect();
                element.map(&mut |n| n.clone().under(&dims))
            }
            TypeKind::Named { name, bounds, optional, sizes, args } => {
                if let Some(base) = scalar_base(&name.text) {
                    let mut num = Num::new(base, sizes.iter().map(|s| self.size(s, env)).collect());
                    num.optional = *optional;
                    if let Some(bounds) = bounds {
                        num.support = self.bounds(bounds, env);
                    }
                    return Val::Num(num);
                }
                if let Some(shape) = Shape::of(&name.text) {
                    let mut dims: Vec<Poly> = sizes.iter().map(|s| self.size(s, env)).collect();
                    if dims.is_empty() {
                        self.report(
                            Diagnostic::error("E0210", ty.span, format!("`{}` needs a size", name.text))
                                .label(format!("write `{}[n]`", name.text)),
                        );
                        return Val::Unknown;
                    }
                    // `cholesky_cov[K]` is K x K; further sizes in front are of an array of them.
                    if shape.rank() == 2
                        && let Some(last) = dims.last().cloned()
                    {
                        dims.push(last);
                    }
                    return Val::Num(Num { support: Support::Shape(shape), ..Num::new(Base::Real, dims) });
                }
                match name.text.as_str() {
                    "estimate" => Val::Num(Num { estimate: Some(Vec::new()), ..Num::real() }),
                    "dist" => {
                        let event = args.first().map_or(Val::Unknown, |a| self.resolve(a, env));
                        Val::Dist(Rc::new(DistVal {
                            item: None,
                            whole: None,
                            name: "dist".to_owned(),
                            args: Vec::new(),
                            sizes: Vec::new(),
                            batch: Vec::new(),
                            event,
                            span: ty.span,
                        }))
                    }
                    "gen" => Val::Gen(Rc::new(GenVal { form: GenForm::Declared, frozen: false, span: ty.span })),
                    "bijector" => {
                        let mut sides = args.iter().map(|a| self.resolve(a, env)).collect::<Vec<_>>().into_iter();
                        Val::Bijector(Rc::new(BijectorVal {
                            item: None,
                            args: Vec::new(),
                            sizes: Vec::new(),
                            from: sides.next().unwrap_or(Val::Unknown),
                            to: sides.next().unwrap_or(Val::Unknown),
                        }))
                    }
                    "trace" | "strategy" => Val::Unknown,
                    other => self.named_type(other, ty.span, sizes, env),
                }
            }
        }
    }

    fn named_type(&mut self, name: &str, span: Span, sizes: &[Expr], env: &mut Env) -> Val {
        // A type variable bound by an argument (`dist<T>`).
        if let Some(binding) = env.get(name) {
            // A variable that no argument settled was taken for a size.
            if let Val::Num(n) = &binding.value
                && n.sym.as_ref().and_then(Poly::as_atom).is_some_and(|a| a.starts_with('?'))
            {
                return Val::Unknown;
            }
            let found = binding.value.map(&mut |n| Num { kind: Kind::default(), sym: None, ..n.clone() });
            let dims: Vec<Poly> = sizes.iter().map(|s| self.size(s, env)).collect();
            return if dims.is_empty() { found } else { found.map(&mut |n| n.clone().under(&dims)) };
        }
        if env.open.iter().any(|o| o == name) {
            return Val::Unknown;
        }
        let found = self.loaded.items.resolve(env.module, name).map(|id| (id, self.loaded.items.item(id).clone()));
        if let Some((id, item)) = found
            && let ItemKind::Type { sizes: names, fields, .. } = &item.kind
        {
            // `Obs[3]` of a type without sizes is an array.
            let outer: &[Expr] = if names.is_empty() { sizes } else { &[] };
            if outer.is_empty() && names.len() != sizes.len() {
                self.report(
                    Diagnostic::error(
                        "E0203",
                        span,
                        format!("`{name}` takes {} sizes, not {}", names.len(), sizes.len()),
                    )
                    .label("here"),
                );
                return Val::Unknown;
            }
            if self.depth > 64 {
                return Val::Unknown;
            }
            self.depth += 1;
            let mut inner = Env::new(self.loaded.items.module_of(id), env.mode);
            for (formal, actual) in names.iter().zip(sizes) {
                let value = self.size(actual, env);
                inner.bind(&formal.text, Val::Num(Num::size(value)));
            }
            let mut record = Record::default();
            for (field, ty) in fields {
                record.fields.push((field.text.clone(), self.resolve(ty, &mut inner)));
            }
            self.depth -= 1;
            let dims: Vec<Poly> = outer.iter().map(|s| self.size(s, env)).collect();
            return Val::Record(record).map(&mut |n| n.clone().under(&dims));
        }
        if self.loaded.missing.contains(name) {
            return Val::Unknown;
        }
        let mut d = Diagnostic::error("E0201", span, format!("there is no type `{name}`")).label("not found");
        let known = ["real", "int", "bool", "simplex", "ordered", "positive_ordered", "cholesky_cov", "cov_matrix"];
        if let Some(from) = super::library::used_from(name) {
            d = d.fix(format!("`use {from}::{{{name}}}`"));
        } else if let Some(near) = crate::base::names::nearest(name, known.into_iter()) {
            d = d.fix(format!("did you mean `{near}`?"));
        }
        self.report(d);
        Val::Unknown
    }

    pub fn bounds(&mut self, bounds: &Bounds, env: &mut Env) -> Support {
        let mut edge = |checker: &mut Checker, e: &Option<Box<Expr>>| {
            let e = e.as_ref()?;
            match checker.expr(e, env) {
                Val::Num(n) => {
                    let infinite = matches!(&e.kind, ExprKind::Name(n) if n == "infinity")
                        || matches!(&e.kind, ExprKind::Neg(i) if matches!(&i.kind, ExprKind::Name(n) if n == "infinity"));
                    if infinite {
                        return None;
                    }
                    let value = match (&n.sym, n.dims.is_empty()) {
                        (Some(sym), true) => sym.clone(),
                        (Some(sym), false) => match sym.as_atom() {
                            Some(atom) => Poly::atom(&format!("{atom}[*]")),
                            None => checker.opaque(),
                        },
                        (None, _) => checker.opaque(),
                    };
                    Some(Edge { value, kind: n.kind })
                }
                _ => None,
            }
        };
        let lower = edge(self, &bounds.lower);
        let upper = edge(self, &bounds.upper);
        Support::Interval { lower, upper }
    }

    /// An expression where a size is wanted.
    pub fn size(&mut self, e: &Expr, env: &mut Env) -> Poly {
        if let ExprKind::Name(name) = &e.kind
            && env.get(name).is_none()
            && env.open.iter().any(|o| o == name)
        {
            return Poly::atom(name);
        }
        match self.expr(e, env) {
            Val::Num(n) if n.dims.is_empty() => {
                if n.base == Base::Bool || n.estimate.is_some() {
                    self.report(
                        Diagnostic::error(
                            "E0204",
                            e.span,
                            format!("a size must be an int, not {}", self.describe_num(&n)),
                        )
                        .label("here"),
                    );
                }
                self.must_be_free(&n.kind, e.span, "a size", "this size");
                self.sym(&n)
            }
            Val::Unknown => self.opaque(),
            other => {
                self.report(
                    Diagnostic::error("E0204", e.span, format!("a size must be an int, not {}", self.describe(&other)))
                        .label("here"),
                );
                self.opaque()
            }
        }
    }

    /// Checks a value against a declared type and gives it that type. Extra leading axes are put into `batch`, where
    /// that is allowed.
    pub fn conform(
        &mut self,
        ty: &TypeExpr,
        value: &Val,
        env: &mut Env,
        purpose: Purpose,
        batch: Option<&mut Vec<Poly>>,
    ) -> Val {
        match (&ty.kind, value) {
            (_, Val::Unknown) => Val::Unknown,
            (TypeKind::Tuple(types), Val::Tuple(parts)) if types.len() == parts.len() => {
                Val::Tuple(types.iter().zip(parts).map(|(t, v)| self.conform(t, v, env, purpose, None)).collect())
            }
            (TypeKind::Record(fields), Val::Record(record)) => self.conform_record(fields, record, env, purpose),
            (TypeKind::Fn { params, result }, Val::Fn(f)) => {
                let arity = match &**f {
                    Callable::Lambda { params, .. } => Some(params.len()),
                    Callable::Declared { arity, .. } => Some(*arity),
                    _ => None,
                };
                if let Some(arity) = arity.filter(|a| *a != params.len()) {
                    self.report(
                        Diagnostic::error(
                            "E0203",
                            purpose.span,
                            format!("{} takes {} arguments, not {arity}", purpose.what, params.len()),
                        )
                        .label(format!("this function has {arity}")),
                    );
                    return value.clone();
                }
                // A type variable of what it returns is settled by a call.
                if let TypeKind::Named { name, args, .. } = &result.kind
                    && name.text == "dist"
                    && let [of] = args.as_slice()
                    && let TypeKind::Named { name: variable, .. } = &of.kind
                    && env.open.contains(&variable.text)
                {
                    let args = params.iter().map(|p| super::call::ArgVal {
                        name: None,
                        value: self.resolve(p, env),
                        span: purpose.span,
                    });
                    let args: Vec<_> = args.collect();
                    let (found, _) = self.quietly(|c| c.apply(value, args, purpose.span, env));
                    if let Val::Dist(d) = found
                        && !matches!(d.event, Val::Unknown)
                    {
                        let whole = super::context::with_batch(&d.event, &d.batch);
                        self.bind_type(of, &whole, env, purpose);
                    }
                }
                value.clone()
            }
            (TypeKind::Array { element, sizes }, value) => {
                let mut open = Vec::new();
                for (axis, size) in sizes.iter().enumerate() {
                    let met = leading_dim(value, axis);
                    open.push(self.settle_size(size, met.as_ref(), env, purpose));
                }
                let inner = strip(value, sizes.len());
                let inner = self.conform(element, &inner, env, purpose, None);
                inner.map(&mut |n| n.clone().under(&open))
            }
            (TypeKind::Named { name, bounds, optional, sizes, args }, value) => {
                let base = scalar_base(&name.text);
                let shape = Shape::of(&name.text);
                if base.is_some() || shape.is_some() {
                    let Val::Num(num) = value else { return self.mismatch(ty, value, env, purpose) };
                    let wanted = Wanted { base: base.unwrap_or(Base::Real), shape, optional: *optional };
                    return self.conform_num(ty, wanted, bounds.as_ref(), sizes, num, env, purpose, batch);
                }
                match (name.text.as_str(), value) {
                    ("estimate", Val::Num(n)) if n.dims.is_empty() && n.base != Base::Bool => value.clone(),
                    ("dist", Val::Dist(d)) if of_ints(args, &d.event) => {
                        let (found, name) = (self.describe(&d.event), d.name.clone());
                        self.report(
                            Diagnostic::error(
                                "E0204",
                                purpose.span,
                                format!(
                                    "{} must be a distribution of reals, but `{name}` is over {found}",
                                    purpose.what
                                ),
                            )
                            .label(format!("`{name}` is over {found}"))
                            .fix("use a distribution over reals"),
                        );
                        Val::Unknown
                    }
                    ("dist", Val::Dist(d)) => {
                        if let (Some(arg), event) = (args.first(), &d.event)
                            && !matches!(event, Val::Unknown)
                        {
                            let whole = super::context::with_batch(event, &d.batch);
                            self.bind_type(arg, &whole, env, purpose);
                        }
                        value.clone()
                    }
                    ("bijector", Val::Bijector(b)) => {
                        if let [from, to] = args.as_slice() {
                            self.bind_type(from, &b.from, env, purpose);
                            self.bind_type(to, &b.to, env, purpose);
                        }
                        value.clone()
                    }
                    ("gen", Val::Gen(_)) | ("trace", Val::Record(_)) => value.clone(),
                    ("strategy", _) => Val::Unknown,
                    (other, value) => {
                        let found = self
                            .loaded
                            .items
                            .resolve(env.module, other)
                            .map(|id| (id, self.loaded.items.item(id).clone()));
                        if let Some((id, item)) = found
                            && let ItemKind::Type { sizes: names, fields, .. } = &item.kind
                            && let Val::Record(record) = value
                            && (names.len() == sizes.len() || names.is_empty())
                        {
                            let outer: &[Expr] = if names.is_empty() { sizes } else { &[] };
                            let mut open = Vec::new();
                            for (axis, size) in outer.iter().enumerate() {
                                let met = leading_dim(&Val::Record(record.clone()), axis);
                                open.push(self.settle_size(size, met.as_ref(), env, purpose));
                            }
                            let stripped = strip(&Val::Record(record.clone()), outer.len());
                            let Val::Record(record) = &stripped else { return Val::Unknown };
                            let mut inner = Env::new(self.loaded.items.module_of(id), env.mode);
                            for (formal, actual) in names.iter().zip(sizes) {
                                match &actual.kind {
                                    ExprKind::Name(n) if env.get(n).is_none() && env.open.contains(n) => {
                                        inner.open.push(formal.text.clone());
                                    }
                                    _ => {
                                        let size = self.size(actual, env);
                                        inner.bind(&formal.text, Val::Num(Num::size(size)));
                                    }
                                }
                            }
                            let out = self.conform_record(fields, record, &mut inner, purpose);
                            for (formal, actual) in names.iter().zip(sizes) {
                                if let ExprKind::Name(n) = &actual.kind
                                    && env.get(n).is_none()
                                    && let Some(Val::Num(size)) = inner.get(&formal.text).map(|b| b.value.clone())
                                {
                                    env.bind(n, Val::Num(size));
                                    env.open.retain(|o| o != n);
                                }
                            }
                            return out.map(&mut |n| n.clone().under(&open));
                        }
                        if env.open.iter().any(|o| o == other) {
                            env.bind(other, value.clone());
                            env.open.retain(|o| o != other);
                            return value.clone();
                        }
                        if let Some(Val::Num(bound)) = env.get(other).map(|b| b.value.clone())
                            && let Val::Num(n) = value
                        {
                            if bound.dims.len() != n.dims.len() {
                                let (wanted, found) = (self.describe_num(&bound), self.describe_num(n));
                                self.report(
                                    Diagnostic::error(
                                        "E0204",
                                        purpose.span,
                                        format!("{} must be {wanted}, not {found}", purpose.what),
                                    )
                                    .label(format!("this is {found}")),
                                );
                                return Val::Unknown;
                            }
                            for (a, b) in n.dims.iter().zip(&bound.dims) {
                                self.same_size(a, b, purpose.span, purpose.what);
                            }
                            return Val::Num(n.clone());
                        }
                        match self.resolve(ty, env) {
                            Val::Unknown => Val::Unknown,
                            Val::Record(_) if matches!(value, Val::Record(_)) => value.clone(),
                            _ => self.mismatch(ty, value, env, purpose),
                        }
                    }
                }
            }
            (_, value) => self.mismatch(ty, value, env, purpose),
        }
    }

    /// Binds type variables and sizes of `ty` to what is met, without a conversion of values.
    fn bind_type(&mut self, ty: &TypeExpr, met: &Val, env: &mut Env, purpose: Purpose) {
        if let TypeKind::Named { name, sizes, .. } = &ty.kind
            && sizes.is_empty()
            && env.open.contains(&name.text)
        {
            env.open.retain(|o| *o != name.text);
            env.bind(&name.text, met.clone());
            return;
        }
        if !matches!(met, Val::Unknown) {
            self.conform(ty, met, env, purpose, Some(&mut Vec::new()));
        }
    }

    fn conform_record(&mut self, fields: &[(Name, TypeExpr)], record: &Record, env: &mut Env, purpose: Purpose) -> Val {
        let mut out = Record { fields: Vec::new(), sampled: record.sampled };
        let depth = env.vars.len();
        let mut extra: Vec<(String, Val)> = Vec::new();
        for (name, ty) in fields {
            match record.get(&name.text) {
                Some(value) => {
                    let value = self.conform(ty, value, env, purpose, None);
                    extra.push((name.text.clone(), value.clone()));
                    env.bind(&name.text, value.clone());
                    out.fields.push((name.text.clone(), value));
                }
                None => self.report(
                    Diagnostic::error(
                        "E0207",
                        purpose.span,
                        format!("{} lacks the field `{}`", purpose.what, name.text),
                    )
                    .label("this record"),
                ),
            }
        }
        // Sizes that were settled stay; the fields' names go.
        let settled: Vec<super::value::Binding> =
            env.vars.drain(depth..).filter(|b| !extra.iter().any(|(n, _)| *n == b.name)).collect();
        env.vars.extend(settled);
        for (name, _) in &record.fields {
            if !fields.iter().any(|(n, _)| n.text == *name) {
                self.report(
                    Diagnostic::error("E0207", purpose.span, format!("{} has no field `{name}`", purpose.what))
                        .label("this record has it"),
                );
            }
        }
        Val::Record(out)
    }

    fn mismatch(&mut self, ty: &TypeExpr, value: &Val, env: &mut Env, purpose: Purpose) -> Val {
        let (wanted, _) = self.quietly(|c| {
            let wanted = c.resolve(ty, env);
            c.describe(&wanted)
        });
        let wanted = if wanted == "?" { "something else".to_owned() } else { wanted };
        let found = self.describe(value);
        self.report(
            Diagnostic::error("E0204", purpose.span, format!("{} must be {wanted}, not {found}", purpose.what))
                .label(format!("this is {found}")),
        );
        Val::Unknown
    }

    /// The size declared by `size`; an open size parameter is bound to the size met.
    fn settle_size(&mut self, size: &Expr, met: Option<&Poly>, env: &mut Env, purpose: Purpose) -> Poly {
        if let ExprKind::Name(name) = &size.kind
            && env.get(name).is_none()
            && env.open.iter().any(|o| o == name)
        {
            let Some(met) = met else { return Poly::atom(name) };
            env.open.retain(|o| o != name);
            let mut num = Num::size(met.clone());
            num.support = Support::interval(Some(0.0), None);
            num.sym = Some(met.clone());
            env.bind(name, Val::Num(num));
            return met.clone();
        }
        let declared = self.size(size, env);
        if let Some(met) = met {
            // An expression over open parameters says nothing yet.
            if !declared.atoms().any(|a| env.open.iter().any(|o| o == a)) {
                self.same_size(
                    met,
                    &declared,
                    purpose.span,
                    &format!("{} has size {} here", purpose.what, declared.source()),
                );
            }
        }
        declared
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one written type, the value, and where it goes")]
    fn conform_num(
        &mut self,
        ty: &TypeExpr,
        wanted: Wanted,
        bounds: Option<&Bounds>,
        sizes: &[Expr],
        num: &Num,
        env: &mut Env,
        purpose: Purpose,
        batch: Option<&mut Vec<Poly>>,
    ) -> Val {
        let base_ok = match (wanted.base, num.base) {
            (Base::Real, Base::Real | Base::Int) => true,
            (a, b) => a == b,
        };
        if !base_ok {
            return self.mismatch(ty, &Val::Num(num.clone()), env, purpose);
        }
        if num.estimate.is_some() && self.runs.is_empty() && wanted.shape.is_some() {
            return self.mismatch(ty, &Val::Num(num.clone()), env, purpose);
        }
        if num.optional && !wanted.optional {
            self.report(
                Diagnostic::error("E0214", purpose.span, format!("{} may be missing here", purpose.what))
                    .label("this is `real?`")
                    .fix("give a value for missing ones, `x ?? 0`, or ask `is_missing(x)`; only `observe x ~ …` skips them"),
            );
        }
        // The shapes' last size stands for two axes.
        let doubled = wanted.shape.is_some_and(|s| s.rank() == 2);
        let rank = sizes.len() + usize::from(doubled);
        if num.dims.len() < rank || (num.dims.len() > rank && batch.is_none()) {
            return self.mismatch(ty, &Val::Num(num.clone()), env, purpose);
        }
        let extra = num.dims.len() - rank;
        let mut dims = Vec::new();
        for (axis, size) in sizes.iter().enumerate() {
            let met = num.dims[extra + axis].clone();
            dims.push(self.settle_size(size, Some(&met), env, purpose));
        }
        if doubled && let Some(last) = dims.last().cloned() {
            let met = num.dims[num.dims.len() - 1].clone();
            self.same_size(&met, &last, purpose.span, &format!("{} must be square", purpose.what));
            dims.push(last);
        }
        if let Some(batch) = batch
            && extra > 0
        {
            let leading = &num.dims[..extra];
            if batch.is_empty() {
                *batch = leading.to_vec();
            } else if batch.len() == leading.len() {
                for (a, b) in batch.clone().iter().zip(leading) {
                    self.same_size(b, a, purpose.span, "the arguments of a distribution broadcast together");
                }
            } else {
                self.report(
                    Diagnostic::error(
                        "E0210",
                        purpose.span,
                        "the arguments of a distribution have different shapes".to_owned(),
                    )
                    .label(self.describe_num(num)),
                );
            }
        }
        let mut out = num.clone();
        out.base = wanted.base;
        out.optional = num.optional && wanted.optional;
        if extra > 0 {
            out.sym = num.sym.as_ref().and_then(Poly::as_atom).map(|a| Poly::atom(&format!("{a}[*]")));
        }
        let mut declared = Num::new(wanted.base, dims.clone());
        if let Some(shape) = wanted.shape {
            declared.support = Support::Shape(shape);
        } else if let Some(bounds) = bounds {
            declared.support = self.bounds(bounds, env);
        }
        out.dims = dims;
        self.test_bound(&out, &declared, purpose);
        match (&out.support, &declared.support) {
            (Support::Shape(_), Support::Interval { .. }) => {}
            (_, Support::Shape(_)) if !matches!(out.support, Support::Shape(_)) => out.support = declared.support,
            (Support::Shape(_), Support::Shape(_)) => {}
            (Support::Interval { lower, upper }, Support::Interval { lower: dl, upper: du }) => {
                // Keeps what is known beside what is declared.
                let lower = lower.clone().or_else(|| dl.clone());
                let upper = upper.clone().or_else(|| du.clone());
                out.support = Support::Interval { lower, upper };
            }
            (_, Support::Shape(_)) => {}
        }
        Val::Num(out)
    }

    /// A value that goes where bounds are declared: inside for sure, a test when it runs, or an error.
    fn test_bound(&mut self, value: &Num, declared: &Num, purpose: Purpose) {
        if self.contained(value, declared) == Some(true) {
            return;
        }
        if self.disjoint(value, declared) {
            let found = self.describe_num(value);
            let wanted = self.describe_num(declared);
            self.report(
                Diagnostic::error(
                    "E0213",
                    purpose.span,
                    format!("{} must be {wanted}: this is never so", purpose.what),
                )
                .label(format!("this is {found}"))
                .fix(format!("write a value of {wanted}")),
            );
            return;
        }
        if self.mute == 0 {
            let span = self.user_span(purpose.span);
            let wanted = self.describe_num(declared);
            let test = BoundTest { span, what: purpose.what.to_owned(), bound: wanted };
            if !self.is_library(span) && !self.bound_tests.iter().any(|t| t.span == span && t.what == test.what) {
                self.bound_tests.push(test);
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Wanted {
    base: Base,
    shape: Option<Shape>,
    optional: bool,
}

/// Numbers inside get this name, fields `name.field`.
pub fn named(value: &Val, atom: &str) -> Val {
    match value {
        Val::Num(n) => Val::Num(Num { sym: Some(Poly::atom(atom)), ..n.clone() }),
        Val::Record(r) => Val::Record(Record {
            fields: r.fields.iter().map(|(f, v)| (f.clone(), named(v, &format!("{atom}.{f}")))).collect(),
            sampled: r.sampled,
        }),
        Val::Tuple(parts) => {
            Val::Tuple(parts.iter().enumerate().map(|(i, v)| named(v, &format!("{atom}?{i}"))).collect())
        }
        other => other.clone(),
    }
}

/// The size of a leading axis of whatever numbers are inside.
pub fn leading_dim(value: &Val, axis: usize) -> Option<Poly> {
    let mut found = None;
    value.each(&mut |n| {
        if found.is_none() {
            found = n.dims.get(axis).cloned();
        }
    });
    found
}

/// Without `count` leading axes.
pub fn strip(value: &Val, count: usize) -> Val {
    value.map(&mut |n| Num {
        dims: n.dims.get(count..).unwrap_or_default().to_vec(),
        sym: n.sym.as_ref().and_then(Poly::as_atom).map(|a| Poly::atom(&format!("{a}[*]"))),
        ..n.clone()
    })
}

/// True of the arguments of `dist<real>` and a value that is an int.
fn of_ints(args: &[TypeExpr], event: &Val) -> bool {
    let [TypeExpr { kind: TypeKind::Named { name, .. }, .. }] = args else { return false };
    scalar_base(&name.text) == Some(Base::Real) && matches!(event, Val::Num(n) if n.base == Base::Int)
}
