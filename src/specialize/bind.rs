//! Binding: data to declarations, constants evaluated. What is bound is known to the partial evaluator: sizes, scalars
//! and the elements of arrays at literal indices.

use super::gradient::Gradient;
use super::machine::{Bindings, Constant, Machine, SiteForm, Space};
use super::value::{Array, Known, Repr, Value};
use crate::base::source::Span;
use crate::diagnostic::Diagnostic;
use crate::ir::core::{Atom, Program, Role, Scalar};
use crate::ir::interpret::Interpreter;
use crate::runtime::executable::{Array as Bound_, Executable, Status, Stream, Values};
use crate::syntax::parser::{NodeIds, parse_expr};
use crate::syntax::tree::{ItemKind, TypeExpr, TypeKind};
use crate::types::leaves::leaves;
use crate::types::program::{Checked, ItemId};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

/// A checked program with its data.
pub struct Bound<'a> {
    pub checked: &'a Checked,
    pub(super) bindings: Rc<Bindings>,
    /// By name, the arrays that data inputs of programs stand for.
    arrays: HashMap<String, Rc<Known>>,
}

impl Bound<'_> {
    /// The arrays of a program's data inputs, in their order.
    pub fn input_data(&self, program: &Program) -> Vec<Bound_> {
        program
            .inputs_of(Role::Data)
            .map(|i| match self.arrays.get(&i.name) {
                Some(k) => to_array(k),
                None => Bound_::real(Vec::new(), vec![f64::NAN]),
            })
            .collect()
    }
}

fn to_array(k: &Known) -> Bound_ {
    let values = match k.scalar {
        Scalar::Real => Values::Real(k.values.clone()),
        Scalar::Int => Values::Int(k.values.iter().map(|&x| x as i64).collect()),
        Scalar::Bool => Values::Bool(k.values.iter().map(|&x| x != 0.0).collect()),
    };
    Bound_ { shape: k.shape.clone(), values }
}

fn from_array(name: &str, scalar: Scalar, a: &Bound_) -> Known {
    let values = match &a.values {
        Values::Real(v) => v.clone(),
        Values::Int(v) => v.iter().map(|&i| i as f64).collect(),
        Values::Bool(v) => v.iter().map(|&b| f64::from(u8::from(b))).collect(),
    };
    Known { name: Some(name.to_owned()), scalar, shape: a.shape.clone(), values }
}

/// Binds data by name and evaluates the constants. Data are taken as already checked against their declarations;
/// shapes are checked again here because everything after relies on them.
pub fn bind<'a>(checked: &'a Checked, data: &HashMap<String, Bound_>) -> Result<Bound<'a>, Vec<Diagnostic>> {
    bind_with(checked, data, None)
}

/// As [`bind`], with a way to differentiate, for `grad`.
pub fn bind_with<'a>(
    checked: &'a Checked,
    data: &HashMap<String, Bound_>,
    gradient: Option<Gradient>,
) -> Result<Bound<'a>, Vec<Diagnostic>> {
    let mut diagnostics = Vec::new();
    let mut bindings = Bindings { gradient, ..Bindings::default() };
    let mut arrays = HashMap::new();
    for (k, entry) in checked.items.items.iter().enumerate() {
        let id = ItemId(u32::try_from(k).unwrap_or(u32::MAX));
        match &entry.item.kind {
            ItemKind::Data { name, ty, default } => {
                if let Some(leaves) = leaves(&checked.items, entry.module, &name.text, ty) {
                    let given: Option<Vec<(String, Rc<Known>)>> = leaves
                        .iter()
                        .map(|(path, ty)| {
                            let array = data.get(path)?;
                            Some((path.clone(), Rc::new(from_array(path, scalar_of(ty), array))))
                        })
                        .collect();
                    let made = match (given, default) {
                        (Some(given), _) => Ok(given),
                        (None, Some(default)) => evaluate(checked, &bindings, &arrays, entry.module, Some(ty), default)
                            .map(|c| typed(&c, &name.text, &leaves)),
                        (None, None) => {
                            Err(Diagnostic::error("E0501", name.span, format!("data `{}` is missing", name.text))
                                .label("declared here"))
                        }
                    };
                    match made {
                        Ok(made) => {
                            arrays.extend(made.iter().cloned());
                            bindings.consts.insert(id, Constant::of_leaves(made));
                        }
                        Err(d) => diagnostics.push(d),
                    }
                    continue;
                }
                let scalar = scalar_of(ty);
                if let Some(a) = data.get(&name.text) {
                    let known = Rc::new(from_array(&name.text, scalar, a));
                    arrays.insert(name.text.clone(), known.clone());
                    bindings.data.insert(id, known);
                } else if let Some(default) = default {
                    match evaluate(checked, &bindings, &arrays, entry.module, Some(ty), default) {
                        Ok(Constant::Leaf(k)) => {
                            let mut k = (*k).clone();
                            k.name = Some(name.text.clone());
                            k.scalar = scalar;
                            let k = Rc::new(k);
                            arrays.insert(name.text.clone(), k.clone());
                            bindings.data.insert(id, k);
                        }
                        Ok(_) => {
                            diagnostics.push(Diagnostic::error("E0390", name.span, "a default is a number or an array"))
                        }
                        Err(d) => diagnostics.push(d),
                    }
                } else {
                    diagnostics.push(
                        Diagnostic::error("E0501", name.span, format!("data `{}` is missing", name.text))
                            .label("declared here"),
                    );
                }
            }
            ItemKind::Const { name, ty, value } => {
                if !diagnostics.is_empty() {
                    continue;
                }
                let result = evaluate(checked, &bindings, &arrays, entry.module, ty.as_ref(), value).map(|c| {
                    let real = ty
                        .as_ref()
                        .is_some_and(|t| matches!(&t.kind, TypeKind::Named { name, .. } if name.text == "real"));
                    named(c, &name.text, real, &mut arrays)
                });
                match result {
                    Ok(c) => {
                        bindings.consts.insert(id, c);
                    }
                    Err(d) => diagnostics.push(d),
                }
            }
            _ => {}
        }
    }
    if diagnostics.is_empty() {
        diagnostics.extend(unmet(checked, &bindings, &arrays));
    }
    if diagnostics.is_empty() { Ok(Bound { checked, bindings: Rc::new(bindings), arrays }) } else { Err(diagnostics) }
}

/// Sizes that were assumed to agree before data were bound, and do not.
fn unmet(checked: &Checked, bindings: &Bindings, arrays: &HashMap<String, Rc<Known>>) -> Vec<Diagnostic> {
    let value = |text: &str| -> Option<f64> {
        let mut sources = crate::base::source::Sources::default();
        let file = sources.add("a size", text, true);
        // Ids from the far end, so that they meet no file's.
        let mut ids = NodeIds::starting_at(1 << 31);
        let expr = parse_expr(&sources, file, &mut ids).ok()?;
        match evaluate(checked, bindings, arrays, checked.main, None, &expr).ok()? {
            Constant::Leaf(k) => k.values.first().copied(),
            Constant::Tuple(_) | Constant::Record(_) => None,
        }
    };
    let mut out = Vec::new();
    for o in &checked.obligations {
        if let (Some(left), Some(right)) = (value(&o.left), value(&o.right))
            && left != right
        {
            let said = |text: &str, value: f64| {
                let shown = crate::types::poly::number(value);
                if text == shown { format!("`{text}`") } else { format!("`{text}` is {shown}") }
            };
            out.push(
                Diagnostic::error(
                    "E0211",
                    o.span,
                    format!("sizes differ: {}, {}", said(&o.left, left), said(&o.right, right)),
                )
                .label("they must agree here")
                .note("the program is valid for data in which they do")
                .fix("bind data of agreeing sizes, or declare both with one size"),
            );
        }
    }
    out
}

fn scalar_of(ty: &TypeExpr) -> Scalar {
    match &ty.kind {
        TypeKind::Named { name, .. } if name.text == "int" => Scalar::Int,
        TypeKind::Named { name, .. } if name.text == "bool" => Scalar::Bool,
        TypeKind::Array { element, .. } => scalar_of(element),
        _ => Scalar::Real,
    }
}

/// Leaves of a default, with the scalars that are declared.
fn typed(c: &Constant, path: &str, leaves: &[(String, TypeExpr)]) -> Vec<(String, Rc<Known>)> {
    match c {
        Constant::Leaf(k) => {
            let declared = leaves.iter().find(|(n, _)| n == path).map_or(k.scalar, |(_, ty)| scalar_of(ty));
            let known = Known { name: Some(path.to_owned()), scalar: declared, ..(**k).clone() };
            vec![(path.to_owned(), Rc::new(known))]
        }
        Constant::Tuple(_) => Vec::new(),
        Constant::Record(fields) => fields.iter().flat_map(|(n, c)| typed(c, &format!("{path}.{n}"), leaves)).collect(),
    }
}

/// Gives the leaves of a constant the names of the inputs they become.
fn named(c: Constant, name: &str, real: bool, arrays: &mut HashMap<String, Rc<Known>>) -> Constant {
    match c {
        Constant::Leaf(k) => {
            let mut k = (*k).clone();
            k.name = Some(name.to_owned());
            if real {
                k.scalar = Scalar::Real;
            }
            let k = Rc::new(k);
            arrays.insert(name.to_owned(), k.clone());
            Constant::Leaf(k)
        }
        Constant::Tuple(items) => Constant::Tuple(
            items.into_iter().enumerate().map(|(i, c)| named(c, &format!("{name}.{i}"), real, arrays)).collect(),
        ),
        Constant::Record(fields) => Constant::Record(
            fields
                .into_iter()
                .map(|(n, c)| {
                    let c = named(c, &format!("{name}.{n}"), real, arrays);
                    (n, c)
                })
                .collect(),
        ),
    }
}

/// The value of a constant expression: specialised, and what is not literal then run by the interpreter.
fn evaluate(
    checked: &Checked,
    bindings: &Bindings,
    arrays: &HashMap<String, Rc<Known>>,
    module: crate::types::program::ModuleId,
    ty: Option<&crate::syntax::tree::TypeExpr>,
    value: &crate::syntax::tree::Expr,
) -> Result<Constant, Diagnostic> {
    let mut m = Machine::new(checked, Rc::new(bindings.clone()), Space::Constrained, SiteForm::Draw);
    let env = super::value::Env::new(module, 0);
    let want = ty.and_then(|ty| m.wanted(ty, &env));
    let v = m.expr_as(value, want, &env).map_err(|e| e.into_diagnostic())?;
    let declared = ty.and_then(|ty| m.eval_type(ty, &env).ok());
    let inside = |c: Constant| match &declared {
        Some(ty) => super::inside::constant_inside(&c, ty, "this value", value.span).map(|()| c),
        None => Ok(c),
    };
    if let Some(c) = literal(&v) {
        return inside(c);
    }
    let atoms = m.leaves(&v, value.span).map_err(|e| e.into_diagnostic())?;
    m.program.outputs = (0..atoms.len()).map(|i| format!("value{i}")).collect();
    let types: Vec<crate::ir::core::Type> = atoms.iter().map(|&a| m.program.atom_type(a)).collect();
    m.finish(atoms);
    let data: Vec<Bound_> = m
        .program
        .inputs_of(Role::Data)
        .map(|i| arrays.get(&i.name).map_or_else(|| Bound_::real(Vec::new(), vec![f64::NAN]), |k| to_array(k)))
        .collect();
    let outputs = run(m.program, &data, value.span)?;
    let mut at = 0;
    let mut leaves = Vec::new();
    for ty in types {
        let n = ty.size();
        leaves.push(Known { name: None, scalar: ty.scalar, shape: ty.shape, values: outputs[at..at + n].to_vec() });
        at += n;
    }
    inside(form(&v, &mut leaves.into_iter()))
}

/// Runs a program without parameters once.
pub(super) fn run(program: Program, data: &[Bound_], span: Span) -> Result<Vec<f64>, Diagnostic> {
    let mut interpreter = Interpreter::new(Arc::new(program), data).map_err(|e| Diagnostic::error("E0390", span, e))?;
    let mut outputs = vec![0.0; interpreter.output_len()];
    let status = interpreter.step(&[], &[], &[], Stream { seed: 0, step: 0 }, &mut outputs);
    match status {
        Status::Fine => Ok(outputs),
        Status::Check(_) | Status::Domain => {
            let event = interpreter.blame(&[], &[], &[], Stream { seed: 0, step: 0 });
            Err(Diagnostic::error(
                "E0390",
                event.and_then(|(e, _)| e.span).unwrap_or(span),
                "an index out of bounds or an argument outside its domain in this constant",
            ))
        }
    }
}

fn form(v: &Value<'_>, leaves: &mut dyn Iterator<Item = Known>) -> Constant {
    match v {
        Value::Tuple(items) => Constant::Tuple(items.iter().map(|i| form(i, leaves)).collect()),
        Value::Record(fields) => Constant::Record(fields.iter().map(|(n, f)| (n.clone(), form(f, leaves))).collect()),
        _ => Constant::Leaf(Rc::new(leaves.next().unwrap_or(Known {
            name: None,
            scalar: Scalar::Real,
            shape: Vec::new(),
            values: vec![f64::NAN],
        }))),
    }
}

fn literal(v: &Value<'_>) -> Option<Constant> {
    let leaf =
        |scalar, x| Some(Constant::Leaf(Rc::new(Known { name: None, scalar, shape: Vec::new(), values: vec![x] })));
    match v {
        Value::Scalar(Atom::Int(i)) => leaf(Scalar::Int, *i as f64),
        Value::Scalar(Atom::Real(x)) => leaf(Scalar::Real, *x),
        Value::Scalar(Atom::Bool(b)) => leaf(Scalar::Bool, f64::from(u8::from(*b))),
        Value::Range(..) => match super::array::range_array(0, 0) {
            Value::Array(_) => Machine::static_values(v).map(|values| {
                Constant::Leaf(Rc::new(Known { name: None, scalar: Scalar::Int, shape: vec![values.len()], values }))
            }),
            _ => None,
        },
        Value::Array(Array { repr: Repr::Known(k), .. }) => Some(Constant::Leaf(k.clone())),
        Value::Array(a) => Machine::static_values(v).map(|values| {
            Constant::Leaf(Rc::new(Known { name: None, scalar: a.scalar, shape: a.shape.clone(), values }))
        }),
        _ => None,
    }
}
