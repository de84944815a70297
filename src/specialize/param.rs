//! Parameters as inputs of a program: the declared value, or its unconstrained form with the bijector of the declared
//! support (the library's `support … by …` declarations).

use super::array::Index;
use super::machine::{Fact, Machine, R, Space, UNKNOWN, refuse};
use super::types::{LeafType, Support, TypeValue, named_support_rank};
use super::value::{Env, Value};
use crate::base::source::Span;
use crate::ir::core::{Atom, Role, Scalar, Type};
use crate::syntax::tree::{Expr, ExprKind, ItemKind, TypeExpr, TypeKind};
use crate::types::program::ItemId;

/// Initial values of one parameter draw at no more sites.
const SITES: u32 = 1 << 22;

impl<'a> Machine<'a> {
    /// The value of a parameter here; with derivative zero inside `frozen`.
    pub(super) fn param(&mut self, id: ItemId) -> R<Value<'a>> {
        self.param_reads += 1;
        if self.initialising.is_some() {
            return self.initial_value(id);
        }
        if self.frozen {
            if let Some(v) = self.frozen_params.get(&id) {
                return Ok(v.clone());
            }
            let value = self.live_param(id)?;
            let stopped = self.in_prologue(|m| m.stop(&value, Span::default()))?;
            self.frozen_params.insert(id, stopped.clone());
            return Ok(stopped);
        }
        self.live_param(id)
    }

    /// The declared value a parameter starts from, made once. Its draws are numbered by its place among the parameters, so
    /// that they do not depend on which others are asked for.
    pub(super) fn initial_value(&mut self, id: ItemId) -> R<Value<'a>> {
        if let Some(v) = self.params.get(&id) {
            return Ok(v.clone());
        }
        let checked = self.checked;
        let ItemKind::Param { name, ty, init, .. } = &checked.items.item(id).kind else {
            return refuse(Span::default(), "not a parameter");
        };
        let under_way = self.initialising.get_or_insert_with(Vec::new);
        if under_way.contains(&id) {
            return refuse(name.span, format!("the initial value of `{}` depends on itself", name.text));
        }
        under_way.push(id);
        let place = checked.items.items[..id.0 as usize]
            .iter()
            .filter(|e| matches!(e.item.kind, ItemKind::Param { .. }))
            .count();
        let site = std::mem::replace(&mut self.next_site, u32::try_from(place).unwrap_or(0).wrapping_mul(SITES));
        let env = Env::new(checked.items.module_of(id), 0);
        let value = self.in_prologue(|m| {
            let want = m.wanted(ty, &env);
            let value = m.expr_as(init, want, &env)?;
            let ty = m.eval_type(ty, &env)?;
            m.value_inside(&value, &ty, &format!("the initial value of `{}`", name.text), init.span)?;
            m.of_type(&value, &ty, init.span)
        });
        self.next_site = site;
        if let Some(under_way) = &mut self.initialising {
            under_way.pop();
        }
        let value = value?;
        self.params.insert(id, value.clone());
        Ok(value)
    }

    /// A value as one of a declared type: ints as reals, scalars repeated, shapes compared.
    fn of_type(&mut self, value: &Value<'a>, ty: &TypeValue<'a>, span: Span) -> R<Value<'a>> {
        match (value, ty) {
            (Value::Record(fields), TypeValue::Record(types)) => {
                let mut out = Vec::new();
                for (n, t) in types {
                    let Some((_, v)) = fields.iter().find(|(f, _)| f == n) else {
                        return refuse(span, format!("field `{n}` is missing"));
                    };
                    out.push((n.clone(), self.of_type(v, t, span)?));
                }
                Ok(Value::record(out))
            }
            (Value::Tuple(items), TypeValue::Tuple(types)) if items.len() == types.len() => {
                let items: R<Vec<_>> = items.iter().zip(types).map(|(v, t)| self.of_type(v, t, span)).collect();
                Ok(Value::Tuple(items?.into()))
            }
            (Value::Scalar(_) | Value::Array(_) | Value::Range(..), TypeValue::Leaf(leaf)) => {
                let value = self.with_scalar(value, leaf.scalar)?;
                let found = super::types::shape_of(&value);
                match value {
                    _ if found == leaf.shape => Ok(value),
                    Value::Scalar(a) => Ok(Value::fill(a, leaf.scalar, leaf.shape.clone())),
                    _ => refuse(span, format!("shape {:?} declared, the initial value has {found:?}", leaf.shape)),
                }
            }
            _ => refuse(span, "the initial value has another form than declared"),
        }
    }

    fn live_param(&mut self, id: ItemId) -> R<Value<'a>> {
        if let Some(v) = self.params.get(&id) {
            return Ok(v.clone());
        }
        let ItemKind::Param { name, ty, tuned, .. } = &self.checked.items.item(id).kind else {
            return refuse(Span::default(), "not a parameter");
        };
        let role = if *tuned { Role::Tuned } else { Role::Param };
        let env = Env::new(self.checked.items.module_of(id), 0);
        let value = self.in_prologue(|m| {
            let ty = m.eval_type(ty, &env)?;
            m.param_value(role, &name.text, &ty, name.span)
        })?;
        self.params.insert(id, value.clone());
        Ok(value)
    }

    fn param_value(&mut self, role: Role, name: &str, ty: &TypeValue<'a>, span: Span) -> R<Value<'a>> {
        match ty {
            TypeValue::Record(fields) => {
                let fields: R<Vec<(String, Value<'a>)>> = fields
                    .iter()
                    .map(|(n, t)| Ok((n.clone(), self.param_value(role, &format!("{name}.{n}"), t, span)?)))
                    .collect();
                Ok(Value::record(fields?))
            }
            TypeValue::Tuple(items) => {
                let items: R<Vec<Value<'a>>> = items
                    .iter()
                    .enumerate()
                    .map(|(k, t)| self.param_value(role, &format!("{name}.{k}"), t, span))
                    .collect();
                Ok(Value::Tuple(items?.into()))
            }
            TypeValue::Leaf(leaf) => self.role_leaf(role, name, leaf, span),
        }
    }

    /// A leaf of a trained or tuned parameter: an input on the space it is trained in, and the declared value of it.
    pub(super) fn role_leaf(&mut self, role: Role, name: &str, leaf: &LeafType<'a>, span: Span) -> R<Value<'a>> {
        if leaf.scalar != Scalar::Real {
            return refuse(span, "a parameter is real");
        }
        let bijector = match self.space {
            Space::Constrained => None,
            Space::Unconstrained => self.support_bijector(&leaf.support, span)?,
        };
        let Some(bijector) = bijector else {
            let atom = self.param_input(role, name, leaf.shape.clone());
            self.learn_support(atom, &leaf.support);
            return Ok(Value::core(atom, Scalar::Real, leaf.shape.clone()));
        };
        let (batch, inner) = self.unconstrained_shape(&bijector, leaf, span)?;
        let mut shape = batch.clone();
        shape.extend(&inner);
        let atom = self.param_input(role, name, shape.clone());
        let input = Value::core(atom, Scalar::Real, shape);
        let constrained = |m: &mut Machine<'a>, z: &Value<'a>| -> R<Value<'a>> {
            match m.forward(&bijector, z, span)? {
                Value::Tuple(parts) if parts.len() == 2 => Ok(parts[0].clone()),
                _ => refuse(span, "`forward` gives a pair"),
            }
        };
        if batch.is_empty() {
            return constrained(self, &input);
        }
        let value = self.collected_over(&batch, span, |m, idx| {
            let at: Vec<Index> = idx.iter().map(|&a| Index::At(a)).collect();
            let z = m.index(&input, &at, span)?;
            constrained(m, &z)
        })?;
        if let Value::Array(super::value::Array { repr: super::value::Repr::Core(a), .. }) = &value {
            self.learn_support(*a, &leaf.support);
        }
        Ok(value)
    }

    fn param_input(&mut self, role: Role, name: &str, shape: Vec<usize>) -> Atom {
        if let Some(input) = self.program.inputs.iter().find(|i| i.role == role && i.name == name) {
            return input.var.into();
        }
        let atom = self.input(role, name, Type { scalar: Scalar::Real, shape });
        self.set_fact(atom, Fact { ..UNKNOWN });
        atom
    }

    /// Extents of the leading axes of the leaf, and the shape that the bijector maps one element from.
    fn unconstrained_shape(
        &mut self,
        bijector: &Value<'a>,
        leaf: &LeafType<'a>,
        span: Span,
    ) -> R<(Vec<usize>, Vec<usize>)> {
        let rank = match leaf.support {
            Support::Named(n, _) => named_support_rank(n).unwrap_or(0),
            _ => 0,
        };
        let batch = leaf.shape[..leaf.shape.len() - rank].to_vec();
        match self.bijector_type(bijector, false, span)? {
            TypeValue::Leaf(from) => Ok((batch, from.shape)),
            _ => refuse(span, "a support's bijector maps from reals"),
        }
    }

    /// The library's bijector onto a support; `None` for all reals.
    pub(super) fn support_bijector(&mut self, support: &Support<'a>, span: Span) -> R<Option<Value<'a>>> {
        let (name, lower, upper, size) = match support {
            Support::Real { lower: None, upper: None } => return Ok(None),
            Support::Real { lower, upper } => ("real", lower.clone(), upper.clone(), None),
            Support::Named(n, size) => (*n, None, None, Some(*size)),
            Support::Int { .. } | Support::Bool => return refuse(span, "a discrete support has no bijector"),
        };
        let checked = self.checked;
        for entry in &checked.items.items {
            let ItemKind::SupportBijector { support: pattern, bijector } = &entry.item.kind else { continue };
            let mut env = Env::new(entry.module, 0);
            if match_support(pattern, name, &lower, &upper, size, &mut env) {
                return Ok(Some(self.expr(bijector, &env)?));
            }
        }
        refuse(span, format!("there is no bijector onto the support `{name}`"))
    }

    /// The unconstrained form of a declared value.
    pub(super) fn unconstrained(&mut self, value: &Value<'a>, ty: &TypeValue<'a>, span: Span) -> R<Value<'a>> {
        match (value, ty) {
            (Value::Record(fields), TypeValue::Record(types)) => {
                let mut out = Vec::new();
                for (n, t) in types {
                    let Some((_, v)) = fields.iter().find(|(f, _)| f == n) else {
                        return refuse(span, format!("field `{n}` is missing"));
                    };
                    out.push((n.clone(), self.unconstrained(v, t, span)?));
                }
                Ok(Value::record(out))
            }
            (Value::Tuple(items), TypeValue::Tuple(types)) if items.len() == types.len() => {
                let items: R<Vec<_>> = items.iter().zip(types).map(|(v, t)| self.unconstrained(v, t, span)).collect();
                Ok(Value::Tuple(items?.into()))
            }
            (_, TypeValue::Leaf(leaf)) => {
                let value = self.of_type(value, ty, span)?;
                let Some(bijector) = self.support_bijector(&leaf.support, span)? else { return Ok(value) };
                let (batch, _) = self.unconstrained_shape(&bijector, leaf, span)?;
                if batch.is_empty() {
                    return self.inverse(&bijector, &value, span);
                }
                self.collected_over(&batch, span, |m, idx| {
                    let at: Vec<Index> = idx.iter().map(|&a| Index::At(a)).collect();
                    let y = m.index(&value, &at, span)?;
                    m.inverse(&bijector, &y, span)
                })
            }
            _ => refuse(span, "the initial value has another form than declared"),
        }
    }
}

/// Whether a declared support is of the pattern's form; binds the pattern's names.
fn match_support<'a>(
    pattern: &'a TypeExpr,
    name: &str,
    lower: &Option<Value<'a>>,
    upper: &Option<Value<'a>>,
    size: Option<i64>,
    env: &mut Env<'a>,
) -> bool {
    let TypeKind::Named { name: own, bounds, sizes, .. } = &pattern.kind else { return false };
    if own.text != name {
        return false;
    }
    let mut bind = |pattern: Option<&'a Expr>, value: &Option<Value<'a>>| -> bool {
        match (pattern, value) {
            (None, None) => true,
            (Some(e), Some(v)) => {
                if let ExprKind::Name(n) = &e.kind {
                    env.bind(n, v.clone());
                    return true;
                }
                false
            }
            _ => false,
        }
    };
    let bounds = bounds.as_ref();
    let lower_pattern = bounds.and_then(|b| b.lower.as_deref());
    let upper_pattern = bounds.and_then(|b| b.upper.as_deref());
    if !bind(lower_pattern, lower) || !bind(upper_pattern, upper) {
        return false;
    }
    let size = size.map(Value::int);
    match (sizes.as_slice(), &size) {
        ([], None) => true,
        ([e], Some(_)) => bind(Some(e), &size),
        _ => false,
    }
}
