//! Types with concrete sizes: of declared types under an environment, of values; inference of size parameters from
//! arguments; conversion of arguments to declared types.

use super::machine::{Machine, R, refuse};
use super::value::{Env, Value};
use crate::diagnostic::Diagnostic;
use crate::ir::core::{Atom, Scalar};
use crate::syntax::tree::{Expr, ExprKind, ItemKind, Name, Param, TypeExpr, TypeKind};
use crate::types::program::ModuleId;
use std::collections::HashMap;

/// The set that an element lies in.
#[derive(Clone)]
pub(super) enum Support<'a> {
    Bool,
    Int {
        lower: Option<Value<'a>>,
        upper: Option<Value<'a>>,
    },
    Real {
        lower: Option<Value<'a>>,
        upper: Option<Value<'a>>,
    },
    /// `simplex`, `cholesky_corr`, …, with its size.
    Named(&'a str, i64),
}

#[derive(Clone)]
pub(super) struct LeafType<'a> {
    pub scalar: Scalar,
    /// All axes, those of a named support last.
    pub shape: Vec<usize>,
    pub support: Support<'a>,
}

#[derive(Clone)]
pub(super) enum TypeValue<'a> {
    Leaf(LeafType<'a>),
    Tuple(Vec<TypeValue<'a>>),
    Record(Vec<(String, TypeValue<'a>)>),
}

impl TypeValue<'_> {
    /// Without so many leading axes of every leaf.
    pub(super) fn element(self, axes: usize) -> Self {
        match self {
            TypeValue::Leaf(leaf) => {
                let shape = leaf.shape.get(axes..).unwrap_or_default().to_vec();
                TypeValue::Leaf(LeafType { shape, ..leaf })
            }
            TypeValue::Tuple(items) => TypeValue::Tuple(items.into_iter().map(|t| t.element(axes)).collect()),
            TypeValue::Record(fields) => {
                TypeValue::Record(fields.into_iter().map(|(n, t)| (n, t.element(axes))).collect())
            }
        }
    }

    /// Number of axes of a leaf; 0 for the others.
    pub(super) fn rank(&self) -> usize {
        match self {
            TypeValue::Leaf(l) => l.shape.len(),
            _ => 0,
        }
    }
}

/// Number of axes a named support adds, and whether it is one.
pub(super) fn named_support_rank(name: &str) -> Option<usize> {
    match name {
        "simplex" | "ordered" | "positive_ordered" | "unit_vector" => Some(1),
        "cholesky_corr" | "corr_matrix" | "cov_matrix" | "cholesky_cov" => Some(2),
        _ => None,
    }
}

impl<'a> Machine<'a> {
    /// Number of axes of a declared type; `None` if it is not one of numbers.
    pub(super) fn declared_rank(&self, ty: &TypeExpr) -> Option<usize> {
        match &ty.kind {
            TypeKind::Named { name, sizes, args, .. } => match name.text.as_str() {
                "real" | "int" | "bool" => Some(sizes.len()),
                other => match named_support_rank(other) {
                    Some(2) => Some(sizes.len() + 1),
                    Some(_) => Some(sizes.len()),
                    None => {
                        let _ = args;
                        None
                    }
                },
            },
            TypeKind::Array { element, sizes } => Some(self.declared_rank(element)? + sizes.len()),
            TypeKind::Tuple(_) | TypeKind::Record(_) | TypeKind::Fn { .. } => None,
        }
    }

    pub(super) fn static_int(&mut self, expr: &'a Expr, env: &Env<'a>) -> R<i64> {
        match self.expr(expr, env)? {
            Value::Scalar(Atom::Int(i)) => Ok(i),
            Value::Scalar(Atom::Real(x)) if x.fract() == 0.0 => Ok(x as i64),
            Value::Scalar(_) => Err(Diagnostic::error(
                "E0390",
                expr.span,
                "a size or range must be known when data are bound",
            )
            .label("depends on parameters or samples")
            .fix("take it from data or constants; a loop of a random number of iterations goes over the most there can be, and stops: `for i in 0..100 while i < n { … }`")
            .into()),
            other => refuse(expr.span, format!("a size is an int, this is {}", other.kind())),
        }
    }

    pub(super) fn static_size(&mut self, expr: &'a Expr, env: &Env<'a>) -> R<usize> {
        let i = self.static_int(expr, env)?;
        match usize::try_from(i) {
            Ok(n) => Ok(n),
            Err(_) => refuse(expr.span, format!("a size of {i}")),
        }
    }

    /// A declared type with its sizes and bounds evaluated.
    pub(super) fn eval_type(&mut self, ty: &'a TypeExpr, env: &Env<'a>) -> R<TypeValue<'a>> {
        match &ty.kind {
            TypeKind::Named { name, bounds, sizes, args, .. } => {
                let bound = |m: &mut Machine<'a>, which: bool| -> R<Option<Value<'a>>> {
                    let Some(b) = bounds else { return Ok(None) };
                    match if which { &b.upper } else { &b.lower } {
                        // A bound over an earlier field has no value here; its shape is all that is asked then.
                        Some(e) => Ok(m.expr(e, env).ok()),
                        None => Ok(None),
                    }
                };
                let text = name.text.as_str();
                let (scalar, support) = match text {
                    "real" => (Scalar::Real, Support::Real { lower: bound(self, false)?, upper: bound(self, true)? }),
                    "int" => (Scalar::Int, Support::Int { lower: bound(self, false)?, upper: bound(self, true)? }),
                    "bool" => (Scalar::Bool, Support::Bool),
                    _ => {
                        if let Some(rank) = named_support_rank(text) {
                            let mut shape = Vec::new();
                            for s in sizes {
                                shape.push(self.static_size(s, env)?);
                            }
                            let Some(&n) = shape.last() else {
                                return refuse(ty.span, format!("`{text}` needs a size"));
                            };
                            if rank == 2 {
                                shape.push(n);
                            }
                            let support = Support::Named(text, n as i64);
                            return Ok(TypeValue::Leaf(LeafType { scalar: Scalar::Real, shape, support }));
                        }
                        return self.eval_named_type(ty, name, sizes, args, env);
                    }
                };
                let mut shape = Vec::new();
                for s in sizes {
                    shape.push(self.static_size(s, env)?);
                }
                Ok(TypeValue::Leaf(LeafType { scalar, shape, support }))
            }
            TypeKind::Tuple(items) => {
                let items: R<Vec<_>> = items.iter().map(|t| self.eval_type(t, env)).collect();
                Ok(TypeValue::Tuple(items?))
            }
            TypeKind::Record(fields) => {
                let mut out: Vec<(String, TypeValue<'a>)> = Vec::new();
                let mut env = env.clone();
                for (n, t) in fields {
                    let t = self.eval_type(t, &env)?;
                    env.bind(&n.text, Value::Unit);
                    out.push((n.text.clone(), t));
                }
                Ok(TypeValue::Record(out))
            }
            TypeKind::Array { element, sizes } => {
                let mut outer = Vec::new();
                for s in sizes {
                    outer.push(self.static_size(s, env)?);
                }
                let element = self.eval_type(element, env)?;
                Ok(with_axes(element, &outer))
            }
            TypeKind::Fn { .. } => refuse(ty.span, "a function type has no values here"),
        }
    }

    fn eval_named_type(
        &mut self,
        ty: &'a TypeExpr,
        name: &'a Name,
        sizes: &'a [Expr],
        _args: &'a [TypeExpr],
        env: &Env<'a>,
    ) -> R<TypeValue<'a>> {
        let text = name.text.as_str();
        if let Some(id) = self.checked.items.resolve(env.module, text)
            && let ItemKind::Type { sizes: params, fields, .. } = &self.checked.items.item(id).kind
        {
            let mut inner = Env::new(self.checked.items.module_of(id), 0);
            for (p, s) in params.iter().zip(sizes) {
                let n = self.static_int(s, env)?;
                inner.bind(&p.text, Value::int(n));
            }
            let mut out = Vec::new();
            for (n, t) in fields {
                out.push((n.text.clone(), self.eval_type(t, &inner)?));
            }
            let mut outer = Vec::new();
            for s in if params.is_empty() { sizes } else { &[] } {
                outer.push(self.static_size(s, env)?);
            }
            return Ok(with_axes(TypeValue::Record(out), &outer));
        }
        if let Some(found) = self.type_variable(text, env)? {
            return if sizes.is_empty() {
                Ok(found)
            } else {
                let mut outer = Vec::new();
                for s in sizes {
                    outer.push(self.static_size(s, env)?);
                }
                Ok(with_axes(found, &outer))
            };
        }
        refuse(ty.span, format!("the type `{text}` is not known here"))
    }

    /// The type that a type variable of the distribution or bijector in scope stands for: the one of the argument whose
    /// declared type mentions it.
    fn type_variable(&mut self, text: &str, env: &Env<'a>) -> R<Option<TypeValue<'a>>> {
        let (params, args): (&'a [Param], Vec<(&'a str, Value<'a>)>) = match &env.this {
            Some(super::value::This::Dist(d)) => match &self.checked.items.item(d.item).kind {
                ItemKind::Dist(item) => (&item.params, d.args.clone()),
                _ => return Ok(None),
            },
            Some(super::value::This::Bijector(b)) => match &self.checked.items.item(b.item).kind {
                ItemKind::Bijector(item) => (&item.params, b.args.clone()),
                _ => return Ok(None),
            },
            None => return Ok(None),
        };
        for param in params {
            let Some(ty) = &param.ty else { continue };
            let Some((_, value)) = args.iter().find(|(n, _)| *n == param.name.text) else { continue };
            if let Some(found) = self.match_variable(ty, value, text)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn match_variable(&mut self, ty: &'a TypeExpr, value: &Value<'a>, text: &str) -> R<Option<TypeValue<'a>>> {
        let is = |t: &TypeExpr| matches!(&t.kind, TypeKind::Named { name, .. } if name.text == text);
        match &ty.kind {
            TypeKind::Named { name, args, .. } => {
                for (k, arg) in args.iter().enumerate() {
                    if !is(arg) {
                        continue;
                    }
                    return Ok(Some(match (name.text.as_str(), k) {
                        ("dist", 0) => {
                            let d = self.as_dist(value, ty.span)?;
                            self.event_type(&d)?
                        }
                        ("bijector", 0) => self.bijector_type(value, false, ty.span)?,
                        ("bijector", 1) => self.bijector_type(value, true, ty.span)?,
                        _ => return Ok(None),
                    }));
                }
                Ok(None)
            }
            TypeKind::Fn { params, result } => {
                let TypeKind::Named { name, args, .. } = &result.kind else { return Ok(None) };
                if name.text != "dist" || !args.iter().any(is) {
                    return Ok(None);
                }
                // Which element does not matter: all have one type.
                let zeros = vec![Value::int(0); params.len()];
                self.enter();
                let found = self.apply(value, zeros, ty.span).and_then(|v| {
                    let d = self.as_dist(&v, ty.span)?;
                    self.event_type(&d)
                });
                self.leave();
                Ok(Some(found?))
            }
            _ => Ok(None),
        }
    }

    /// Binds size parameters that occur by name in `ty` to the extents of `value`.
    pub(super) fn infer_sizes(
        &mut self,
        ty: &'a TypeExpr,
        value: &Value<'a>,
        sizes: &[Name],
        module: ModuleId,
        found: &mut HashMap<&'a str, i64>,
    ) -> R<()> {
        match &ty.kind {
            TypeKind::Named { name, sizes: exprs, args, .. } => {
                let text = name.text.as_str();
                match text {
                    "dist" => {
                        if let ([arg], Value::Dist(d)) = (args.as_slice(), value)
                            && self.declared_rank(arg).is_some()
                        {
                            let event = self.event_type(d)?;
                            if let TypeValue::Leaf(leaf) = event {
                                let shape: Vec<usize> = d.batch.iter().chain(&leaf.shape).copied().collect();
                                let value = Value::fill(Atom::Real(0.0), Scalar::Real, shape);
                                self.infer_sizes(arg, &value, sizes, module, found)?;
                            }
                        }
                        return Ok(());
                    }
                    "bijector" => {
                        for (k, arg) in args.iter().enumerate() {
                            if self.declared_rank(arg).is_none() {
                                continue;
                            }
                            if let TypeValue::Leaf(leaf) = self.bijector_type(value, k == 1, ty.span)? {
                                let value = Value::fill(Atom::Real(0.0), Scalar::Real, leaf.shape);
                                self.infer_sizes(arg, &value, sizes, module, found)?;
                            }
                        }
                        return Ok(());
                    }
                    _ => {}
                }
                if let Some(rank) = self.declared_rank(ty) {
                    let shape = shape_of(value);
                    if shape.len() < rank {
                        return Ok(());
                    }
                    let own = &shape[shape.len() - rank..];
                    for (expr, &extent) in exprs.iter().zip(own) {
                        note(expr, extent, sizes, found);
                    }
                    return Ok(());
                }
                let checked = self.checked;
                if let Some(id) = checked.items.resolve(module, text)
                    && let ItemKind::Type { sizes: params, fields, .. } = &checked.items.item(id).kind
                {
                    let own = checked.items.module_of(id);
                    {
                        let mut inner = HashMap::new();
                        for (field, t) in fields {
                            if let Some(v) = value.field(&field.text) {
                                let v = v.clone();
                                self.infer_sizes(t, &v, params, own, &mut inner)?;
                            }
                        }
                        let outer = if params.is_empty() { exprs.as_slice() } else { &[] };
                        for (e, &extent) in outer.iter().zip(&shape_of(value)) {
                            note(e, extent, sizes, found);
                        }
                        for (p, e) in params.iter().zip(exprs) {
                            if let Some(&n) = inner.get(p.text.as_str()) {
                                note(e, n as usize, sizes, found);
                            }
                        }
                    }
                }
                Ok(())
            }
            TypeKind::Array { element, sizes: exprs } => {
                let shape = shape_of(value);
                let inner = self.declared_rank(element).unwrap_or(0);
                if shape.len() < inner + exprs.len() {
                    return Ok(());
                }
                let start = shape.len() - inner - exprs.len();
                for (expr, &extent) in exprs.iter().zip(&shape[start..]) {
                    note(expr, extent, sizes, found);
                }
                self.infer_sizes(element, value, sizes, module, found)
            }
            TypeKind::Record(fields) => {
                for (n, t) in fields {
                    if let Some(v) = value.field(&n.text) {
                        let v = v.clone();
                        self.infer_sizes(t, &v, sizes, module, found)?;
                    }
                }
                Ok(())
            }
            TypeKind::Tuple(items) => {
                if let Value::Tuple(values) = value {
                    for (t, v) in items.iter().zip(values.iter()) {
                        self.infer_sizes(t, v, sizes, module, found)?;
                    }
                }
                Ok(())
            }
            TypeKind::Fn { .. } => Ok(()),
        }
    }

    /// Ints become reals where reals are declared.
    pub(super) fn coerce(&mut self, value: Value<'a>, ty: &TypeExpr) -> R<Value<'a>> {
        match &ty.kind {
            TypeKind::Named { name, .. } => match name.text.as_str() {
                "int" | "bool" => match value {
                    Value::Range(a, b) => Ok(super::array::range_array(a, b)),
                    other => Ok(other),
                },
                "real" => self.with_scalar(&value, Scalar::Real),
                other if named_support_rank(other).is_some() => self.with_scalar(&value, Scalar::Real),
                _ => Ok(value),
            },
            TypeKind::Array { element, .. } => self.coerce(value, element),
            TypeKind::Record(fields) => match &value {
                Value::Record(values) => {
                    let mut out = Vec::new();
                    for (n, v) in values.iter() {
                        let v = match fields.iter().find(|(f, _)| f.text == *n) {
                            Some((_, t)) => self.coerce(v.clone(), t)?,
                            None => v.clone(),
                        };
                        out.push((n.clone(), v));
                    }
                    Ok(Value::record(out))
                }
                _ => Ok(value),
            },
            TypeKind::Tuple(types) => match &value {
                Value::Tuple(values) if values.len() == types.len() => {
                    let items: R<Vec<_>> = values.iter().zip(types).map(|(v, t)| self.coerce(v.clone(), t)).collect();
                    Ok(Value::Tuple(items?.into()))
                }
                _ => Ok(value),
            },
            TypeKind::Fn { .. } => Ok(value),
        }
    }

    /// The type of a number or an array, as far as its shape goes.
    pub(super) fn type_of(&self, value: &Value<'a>) -> Option<TypeValue<'a>> {
        match value {
            Value::Scalar(_) | Value::Array(_) | Value::Range(..) => Some(TypeValue::Leaf(LeafType {
                scalar: Scalar::Real,
                shape: shape_of(value),
                support: Support::Real { lower: None, upper: None },
            })),
            _ => None,
        }
    }

    /// A value of the leaf types' form, of zeros: the template of results.
    pub(super) fn template(&self, ty: &TypeValue<'a>) -> Value<'a> {
        match ty {
            TypeValue::Leaf(leaf) => {
                let zero = match leaf.scalar {
                    Scalar::Real => Atom::Real(0.0),
                    Scalar::Int => Atom::Int(0),
                    Scalar::Bool => Atom::Bool(false),
                };
                Value::fill(zero, leaf.scalar, leaf.shape.clone())
            }
            TypeValue::Tuple(items) => {
                let items: Vec<Value<'a>> = items.iter().map(|t| self.template(t)).collect();
                Value::Tuple(items.into())
            }
            TypeValue::Record(fields) => {
                Value::Record(fields.iter().map(|(n, t)| (n.clone(), self.template(t))).collect())
            }
        }
    }

    /// A bound as a literal, if it is one.
    pub(super) fn literal_of(value: &Option<Value<'a>>) -> Option<f64> {
        match value {
            Some(Value::Scalar(Atom::Int(i))) => Some(*i as f64),
            Some(Value::Scalar(Atom::Real(x))) => Some(*x),
            _ => None,
        }
    }
}

fn note<'a>(expr: &'a Expr, extent: usize, sizes: &[Name], found: &mut HashMap<&'a str, i64>) {
    if let ExprKind::Name(n) = &expr.kind
        && sizes.iter().any(|s| s.text == *n)
    {
        found.entry(n.as_str()).or_insert(extent as i64);
    }
}

pub(super) fn shape_of(value: &Value<'_>) -> Vec<usize> {
    match value {
        Value::Array(a) => a.shape.clone(),
        Value::Range(a, b) => vec![usize::try_from(b - a).unwrap_or(0)],
        Value::Plate(p) => vec![p.of],
        Value::Record(fields) => fields.first().map(|(_, v)| shape_of(v)).unwrap_or_default(),
        _ => Vec::new(),
    }
}

fn with_axes<'a>(ty: TypeValue<'a>, outer: &[usize]) -> TypeValue<'a> {
    match ty {
        TypeValue::Leaf(leaf) => {
            let shape = outer.iter().chain(&leaf.shape).copied().collect();
            TypeValue::Leaf(LeafType { shape, ..leaf })
        }
        TypeValue::Tuple(items) => TypeValue::Tuple(items.into_iter().map(|t| with_axes(t, outer)).collect()),
        TypeValue::Record(fields) => {
            TypeValue::Record(fields.into_iter().map(|(n, t)| (n, with_axes(t, outer))).collect())
        }
    }
}
