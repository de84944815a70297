//! Declarations of a checked program: what its `data` items ask of the files, and the sizes and bounds of each, evaluated
//! with what is bound before it.

use super::bind::{Bound, Declaration, Scalar, Shape, bind};
use super::raw::RawData;
use crate::base::constraint::Constraint;
use crate::diagnostic::Diagnostic;
use crate::runtime::executable::{Array, Values};
use crate::syntax::print;
use crate::syntax::tree::{BinaryOp, Block, Expr, ExprKind, IndexExpr, ItemKind, TypeExpr, TypeKind};
use crate::types::leaves::leaves;
use crate::types::program::{Checked, ModuleId};
use std::collections::HashMap;

/// Binds the data of a program: by name, all `data` items of the user's files, in order.
pub fn bind_program(checked: &Checked, raw: &RawData) -> Result<HashMap<String, Array>, Vec<Diagnostic>> {
    let mut declarations = Vec::new();
    let mut types: HashMap<String, (TypeExpr, ModuleId)> = HashMap::new();
    let mut raw = raw.clone();
    let mut refused = Vec::new();
    for entry in &checked.items.items {
        let ItemKind::Data { name, ty, default } = &entry.item.kind else { continue };
        if let Some(leaves) = leaves(&checked.items, entry.module, &name.text, ty) {
            raw.take_apart(&name.text, &leaves.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>());
            for (path, leaf) in leaves {
                match declaration(&path, &leaf) {
                    Some(found) => {
                        types.insert(path, (leaf, entry.module));
                        declarations.push(Declaration { span: name.span, has_default: default.is_some(), ..found });
                    }
                    None => refused.push(unreadable(&leaf)),
                }
            }
            continue;
        }
        match declaration(&name.text, ty) {
            Some(found) => {
                types.insert(name.text.clone(), (ty.clone(), entry.module));
                declarations.push(Declaration { span: name.span, has_default: default.is_some(), ..found });
            }
            None => refused.push(unreadable(ty)),
        }
    }
    let bound = bind(&raw, &declarations, |declaration, bound| {
        let Some((ty, module)) = types.get(&declaration.name) else { return Ok(None) };
        let known = Known { checked, bound, module: *module, depth: 0 };
        shape(ty, &known)
    });
    match bound {
        Ok(bound) if refused.is_empty() => Ok(bound),
        Ok(_) => Err(refused),
        Err(mut errors) => {
            errors.append(&mut refused);
            Err(errors)
        }
    }
}

fn unreadable(ty: &TypeExpr) -> Diagnostic {
    Diagnostic::error("E0512", ty.span, format!("data of type `{}` cannot be read", print::type_expr(ty)))
        .fix("declare numbers, arrays of numbers, and records of these")
}

/// Type without sizes; `None` for what files cannot hold.
fn declaration(name: &str, ty: &TypeExpr) -> Option<Declaration> {
    let (word, optional) = match &element(ty).kind {
        TypeKind::Named { name, optional, args, .. } if args.is_empty() => (name.text.as_str(), *optional),
        _ => return None,
    };
    let (scalar, constraint) = match word {
        "real" => (Scalar::Real, Constraint::None),
        "int" => (Scalar::Int, Constraint::None),
        "bool" => (Scalar::Bool, Constraint::None),
        other => (Scalar::Real, Constraint::named(other)?),
    };
    let ty = print::type_expr(ty);
    let span = crate::base::source::Span::default();
    Some(Declaration { name: name.to_string(), span, ty, scalar, optional, has_default: false, constraint })
}

/// The type under all groups of sizes.
fn element(ty: &TypeExpr) -> &TypeExpr {
    match &ty.kind {
        TypeKind::Array { element: inner, .. } => element(inner),
        _ => ty,
    }
}

/// `None` if something it depends on could not be bound.
fn shape(ty: &TypeExpr, known: &Known<'_>) -> Result<Option<Shape>, Diagnostic> {
    let mut found = Shape::default();
    let mut at = ty;
    // Groups of sizes: the last group of `T[a][b]` is the outermost axis.
    while let TypeKind::Array { element, sizes } = &at.kind {
        for size in sizes {
            let Some(size) = known.size(size)? else { return Ok(None) };
            found.sizes.push(size);
        }
        at = element;
    }
    let TypeKind::Named { name, bounds, sizes, .. } = &at.kind else { return Ok(None) };
    for size in sizes {
        let Some(size) = known.size(size)? else { return Ok(None) };
        found.sizes.push(size);
    }
    if matches!(name.text.as_str(), "cholesky_corr" | "cholesky_cov" | "corr_matrix" | "cov_matrix")
        && sizes.len() == 1
        && let Some(&n) = found.sizes.last()
    {
        found.sizes.push(n);
    }
    if let Some(bounds) = bounds {
        for (expr, slot) in [(&bounds.lower, &mut found.lower), (&bounds.upper, &mut found.upper)] {
            let Some(expr) = expr else { continue };
            match known.value(expr) {
                Ok(Number { shape, values }) if shape.is_empty() => *slot = values.first().map(|x| Bound::One(*x)),
                Ok(Number { shape, values }) if shape == found.sizes => *slot = Some(Bound::Each(values)),
                Ok(Number { shape, .. }) => {
                    return Err(Diagnostic::error(
                        "E0512",
                        expr.span,
                        format!("this bound has shape {shape:?}, the data have shape {:?}", found.sizes),
                    ));
                }
                Err(Unknown::Unbound) => return Ok(None),
                Err(Unknown::Unsupported) => return Err(unsupported(expr)),
            }
        }
    }
    Ok(Some(found))
}

fn unsupported(expr: &Expr) -> Diagnostic {
    Diagnostic::error("E0512", expr.span, "this cannot be evaluated while data are bound")
        .label("in the type of data")
        .fix("use data, constants, arithmetic, indices, `sum`, `min`, `max`, `length`")
}

/// A number or an array of numbers, row-major.
#[derive(Clone)]
struct Number {
    shape: Vec<usize>,
    values: Vec<f64>,
}

enum Unknown {
    /// Data that are missing or wrong: reported already.
    Unbound,
    Unsupported,
}

#[derive(Clone, Copy)]
struct Known<'a> {
    checked: &'a Checked,
    bound: &'a HashMap<String, Array>,
    module: ModuleId,
    depth: usize,
}

/// Constants that lead to constants.
const MAX_DEPTH: usize = 64;

impl Known<'_> {
    fn size(&self, expr: &Expr) -> Result<Option<usize>, Diagnostic> {
        match self.value(expr) {
            Ok(Number { shape, values }) => match (shape.as_slice(), values.as_slice()) {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole and within bounds")]
                ([], [n]) if *n >= 0.0 && n.fract() == 0.0 && *n < 1e15 => Ok(Some(*n as usize)),
                ([], [n]) => Err(Diagnostic::error("E0512", expr.span, format!("this size is {n}"))
                    .fix("a size is a whole number of at least 0")),
                _ => Err(Diagnostic::error("E0512", expr.span, "a size is a single number")),
            },
            Err(Unknown::Unbound) => Ok(None),
            Err(Unknown::Unsupported) => Err(unsupported(expr)),
        }
    }

    fn value(&self, expr: &Expr) -> Result<Number, Unknown> {
        if self.depth > MAX_DEPTH {
            return Err(Unknown::Unsupported);
        }
        let scalar = |x: f64| Ok(Number { shape: Vec::new(), values: vec![x] });
        match &expr.kind {
            #[expect(clippy::cast_precision_loss, reason = "sizes and bounds are small")]
            ExprKind::Int(n) => scalar(*n as f64),
            ExprKind::Real(x) => scalar(*x),
            ExprKind::Bool(b) => scalar(f64::from(u8::from(*b))),
            ExprKind::Name(name) => self.name(name),
            ExprKind::Field { value, field } => {
                let mut path = vec![field.text.as_str()];
                let mut at = &value.kind;
                while let ExprKind::Field { value, field } = at {
                    path.push(&field.text);
                    at = &value.kind;
                }
                let ExprKind::Name(root) = at else { return Err(Unknown::Unsupported) };
                path.push(root);
                path.reverse();
                self.bound.get(&path.join(".")).map(number).ok_or(Unknown::Unbound)
            }
            ExprKind::Neg(inner) => {
                let mut number = self.value(inner)?;
                number.values.iter_mut().for_each(|x| *x = -*x);
                Ok(number)
            }
            ExprKind::Binary { op, left, right } => arithmetic(*op, &self.value(left)?, &self.value(right)?),
            ExprKind::Index { array, indices } => {
                let array = self.value(array)?;
                let mut offset = 0;
                for (axis, index) in indices.iter().enumerate() {
                    let IndexExpr::At(index) = index else { return Err(Unknown::Unsupported) };
                    let at = self.value(index)?;
                    let (Some(&size), [x]) = (array.shape.get(axis), at.values.as_slice()) else {
                        return Err(Unknown::Unsupported);
                    };
                    #[expect(
                        clippy::cast_possible_truncation,
                        clippy::cast_sign_loss,
                        reason = "checked against the size"
                    )]
                    let x = if *x >= 0.0 && x.fract() == 0.0 { *x as usize } else { usize::MAX };
                    if x >= size {
                        return Err(Unknown::Unsupported);
                    }
                    offset = offset * size + x;
                }
                let rest = array.shape.get(indices.len()..).unwrap_or(&[]).to_vec();
                let len: usize = rest.iter().product();
                let values = array.values.get(offset * len..(offset + 1) * len).ok_or(Unknown::Unsupported)?.to_vec();
                Ok(Number { shape: rest, values })
            }
            ExprKind::Call { callee, args } => {
                let (ExprKind::Name(name), [arg]) = (&callee.kind, args.as_slice()) else {
                    return Err(Unknown::Unsupported);
                };
                let number = self.value(&arg.value)?;
                match name.as_str() {
                    "sum" => scalar(number.values.iter().sum()),
                    "min" => scalar(number.values.iter().copied().fold(f64::INFINITY, f64::min)),
                    "max" => scalar(number.values.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
                    #[expect(clippy::cast_precision_loss, reason = "a length of an array")]
                    "length" => scalar(*number.shape.first().ok_or(Unknown::Unsupported)? as f64),
                    "sqrt" => scalar(number.values.first().copied().unwrap_or(f64::NAN).sqrt()),
                    _ => Err(Unknown::Unsupported),
                }
            }
            _ => Err(Unknown::Unsupported),
        }
    }

    fn name(&self, name: &str) -> Result<Number, Unknown> {
        let Some(id) = self.checked.items.resolve(self.module, name) else {
            let value = match name {
                "pi" => std::f64::consts::PI,
                "infinity" => f64::INFINITY,
                _ => return Err(Unknown::Unsupported),
            };
            return Ok(Number { shape: Vec::new(), values: vec![value] });
        };
        let inner = Known { module: self.checked.items.module_of(id), depth: self.depth + 1, ..*self };
        match &self.checked.items.item(id).kind {
            ItemKind::Data { default, .. } => match (self.bound.get(name), default) {
                (Some(array), _) => Ok(number(array)),
                (None, Some(default)) => inner.value(default),
                (None, None) => Err(Unknown::Unbound),
            },
            ItemKind::Const { value, .. } => inner.value(value),
            ItemKind::Fn(f) => match &f.body {
                Block { stmts, value: Some(value), .. } if stmts.is_empty() && f.params.is_empty() => {
                    inner.value(value)
                }
                _ => Err(Unknown::Unsupported),
            },
            _ => Err(Unknown::Unsupported),
        }
    }
}

fn number(array: &Array) -> Number {
    let values = match &array.values {
        Values::Real(list) => list.clone(),
        #[expect(clippy::cast_precision_loss, reason = "sizes and bounds are small")]
        Values::Int(list) => list.iter().map(|n| *n as f64).collect(),
        Values::Bool(list) => list.iter().map(|b| f64::from(u8::from(*b))).collect(),
    };
    Number { shape: array.shape.clone(), values }
}

fn arithmetic(op: BinaryOp, a: &Number, b: &Number) -> Result<Number, Unknown> {
    let f: fn(f64, f64) -> f64 = match op {
        BinaryOp::Add => |x, y| x + y,
        BinaryOp::Sub => |x, y| x - y,
        BinaryOp::Mul => |x, y| x * y,
        BinaryOp::Div => |x, y| x / y,
        BinaryOp::Rem => f64::rem_euclid,
        BinaryOp::Pow => f64::powf,
        BinaryOp::MatMul
        | BinaryOp::Eq
        | BinaryOp::Ne
        | BinaryOp::Lt
        | BinaryOp::Le
        | BinaryOp::Gt
        | BinaryOp::Ge
        | BinaryOp::And
        | BinaryOp::Or => return Err(Unknown::Unsupported),
    };
    let broadcast = |shape: &[usize], values: Vec<f64>| Ok(Number { shape: shape.to_vec(), values });
    match (a.values.as_slice(), b.values.as_slice()) {
        (x, y) if a.shape == b.shape => broadcast(&a.shape, x.iter().zip(y).map(|(x, y)| f(*x, *y)).collect()),
        ([x], y) if a.shape.is_empty() => broadcast(&b.shape, y.iter().map(|y| f(*x, *y)).collect()),
        (x, [y]) if b.shape.is_empty() => broadcast(&a.shape, x.iter().map(|x| f(*x, *y)).collect()),
        _ => Err(Unknown::Unsupported),
    }
}
