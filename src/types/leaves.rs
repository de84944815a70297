//! Record types taken apart: the numbers and arrays that a declared type is made of, each with its path (`obs.x`) and its own
//! type. An array of records is a record of arrays. Data of records are bound leaf by leaf.

use super::program::{Items, ModuleId};
use crate::syntax::tree::{Bounds, Expr, ExprKind, ItemKind, Name, TypeExpr, TypeKind};

/// Deeper types are not followed: they contain themselves.
const DEPTH: usize = 32;

/// Leaves of a record or an array of records; `None` for any other type.
pub fn leaves(items: &Items, module: ModuleId, name: &str, ty: &TypeExpr) -> Option<Vec<(String, TypeExpr)>> {
    let mut out = Vec::new();
    let record = collect(items, module, name, ty, &[], &mut out, 0)?;
    record.then_some(out)
}

/// True for a record; `None` for what has no leaves.
fn collect(
    items: &Items,
    module: ModuleId,
    path: &str,
    ty: &TypeExpr,
    axes: &[Expr],
    out: &mut Vec<(String, TypeExpr)>,
    depth: usize,
) -> Option<bool> {
    if depth > DEPTH {
        return None;
    }
    let mut each = |fields: &[(Name, TypeExpr)], axes: &[Expr]| -> Option<bool> {
        for (field, ty) in fields {
            collect(items, module, &format!("{path}.{}", field.text), ty, axes, out, depth + 1)?;
        }
        Some(true)
    };
    match &ty.kind {
        TypeKind::Record(fields) => each(fields, axes),
        TypeKind::Array { element, sizes } => {
            let axes: Vec<Expr> = axes.iter().chain(sizes).cloned().collect();
            collect(items, module, path, element, &axes, out, depth + 1)
        }
        TypeKind::Named { name, sizes, .. } => {
            let item = items.resolve(module, &name.text).map(|id| &items.item(id).kind);
            if let Some(ItemKind::Type { sizes: params, fields, .. }) = item {
                let own: Vec<(&str, &Expr)> = params.iter().map(|p| p.text.as_str()).zip(sizes).collect();
                let fields: Vec<(Name, TypeExpr)> =
                    fields.iter().map(|(n, t)| (n.clone(), with_sizes(t, &own))).collect();
                let outer = if params.is_empty() { sizes.as_slice() } else { &[] };
                let axes: Vec<Expr> = axes.iter().chain(outer).cloned().collect();
                return each(&fields, &axes);
            }
            let leaf = match axes {
                [] => ty.clone(),
                axes => TypeExpr {
                    span: ty.span,
                    kind: TypeKind::Array { element: Box::new(ty.clone()), sizes: axes.to_vec() },
                },
            };
            out.push((path.to_owned(), leaf));
            Some(false)
        }
        TypeKind::Tuple(_) | TypeKind::Fn { .. } => None,
    }
}

/// A type with size parameters replaced.
fn with_sizes(ty: &TypeExpr, sizes: &[(&str, &Expr)]) -> TypeExpr {
    let all = |list: &[Expr]| list.iter().map(|e| replaced(e, sizes)).collect::<Vec<_>>();
    let one = |e: &Option<Box<Expr>>| e.as_ref().map(|e| Box::new(replaced(e, sizes)));
    let kind = match &ty.kind {
        TypeKind::Named { name, bounds, optional, sizes: own, args } => TypeKind::Named {
            name: name.clone(),
            bounds: bounds.as_ref().map(|b| Bounds { lower: one(&b.lower), upper: one(&b.upper) }),
            optional: *optional,
            sizes: all(own),
            args: args.clone(),
        },
        TypeKind::Record(fields) => {
            TypeKind::Record(fields.iter().map(|(n, t)| (n.clone(), with_sizes(t, sizes))).collect())
        }
        TypeKind::Array { element, sizes: own } => {
            TypeKind::Array { element: Box::new(with_sizes(element, sizes)), sizes: all(own) }
        }
        other @ (TypeKind::Tuple(_) | TypeKind::Fn { .. }) => other.clone(),
    };
    TypeExpr { span: ty.span, kind }
}

fn replaced(e: &Expr, sizes: &[(&str, &Expr)]) -> Expr {
    let again = |e: &Expr| Box::new(replaced(e, sizes));
    let kind = match &e.kind {
        ExprKind::Name(name) => match sizes.iter().find(|(n, _)| n == name) {
            Some((_, by)) => return (*by).clone(),
            None => return e.clone(),
        },
        ExprKind::Binary { op, left, right } => ExprKind::Binary { op: *op, left: again(left), right: again(right) },
        ExprKind::Neg(inner) => ExprKind::Neg(again(inner)),
        _ => return e.clone(),
    };
    Expr { kind, ..e.clone() }
}
