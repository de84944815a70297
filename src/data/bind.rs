//! Binding: variables of files to declared types.
//!
//! Sizes and bounds are expressions over data that were declared before, so declarations are bound in order and the
//! caller evaluates each one's sizes and bounds with what is bound so far.

use super::json::flatten;
use super::raw::{Cell, RawData, RawValue};
use crate::base::constraint::Constraint;
use crate::base::source::Span;
use crate::diagnostic::Diagnostic;
use crate::runtime::executable::{Array, Values};
use std::collections::HashMap;

/// What a `data` item declares.
#[derive(Clone, Debug)]
pub struct Declaration {
    pub name: String,
    /// The item, for messages.
    pub span: Span,
    /// The type as written: `real<lower=0>[J]`.
    pub ty: String,
    pub scalar: Scalar,
    /// `real?`: `null` and NaN are admitted and become NaN.
    pub optional: bool,
    /// With a default a missing variable is no error; it stays out of the result.
    pub has_default: bool,
    pub constraint: Constraint,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scalar {
    Real,
    Int,
    Bool,
}

/// Sizes and bounds of a declaration, evaluated.
#[derive(Clone, Debug, Default)]
pub struct Shape {
    /// All axes, those of a constraint (`simplex[K]`) last.
    pub sizes: Vec<usize>,
    pub lower: Option<Bound>,
    pub upper: Option<Bound>,
}

/// A bound: one number, or one for each element (row-major).
#[derive(Clone, Debug)]
pub enum Bound {
    One(f64),
    Each(Vec<f64>),
}

impl Bound {
    fn at(&self, index: usize) -> f64 {
        match self {
            Bound::One(x) => *x,
            Bound::Each(list) => list.get(index).copied().unwrap_or(f64::NAN),
        }
    }
}

/// Binds all declarations in order; `shape` evaluates sizes and bounds of one with the data bound so far. All errors
/// are collected; a declaration whose sizes depend on one that failed is passed over (`shape` then returns `None`).
pub fn bind(
    raw: &RawData,
    declarations: &[Declaration],
    mut shape: impl FnMut(&Declaration, &HashMap<String, Array>) -> Result<Option<Shape>, Diagnostic>,
) -> Result<HashMap<String, Array>, Vec<Diagnostic>> {
    let mut bound: HashMap<String, Array> = HashMap::new();
    let mut errors = Vec::new();
    for declaration in declarations {
        let Some(variable) = raw.get(&declaration.name) else {
            if !declaration.has_default {
                errors.push(missing(raw, declaration));
            }
            continue;
        };
        let evaluated = match shape(declaration, &bound) {
            Ok(Some(evaluated)) => evaluated,
            Ok(None) => continue,
            Err(error) => {
                errors.push(error);
                continue;
            }
        };
        match one(declaration, &variable.origin, &variable.value, &evaluated) {
            Ok(array) => {
                bound.insert(declaration.name.clone(), array);
            }
            Err(error) => errors.push(*error),
        }
    }
    if errors.is_empty() { Ok(bound) } else { Err(errors) }
}

fn missing(raw: &RawData, declaration: &Declaration) -> Diagnostic {
    let name = &declaration.name;
    let error = Diagnostic::error("E0503", declaration.span, format!("data `{name}` is missing"))
        .label(format!("expected a value of type `{}`", declaration.ty));
    let names = raw.names();
    if names.is_empty() {
        return error.note("no data file was given").fix("pass one with `--data FILE`");
    }
    match names.iter().find(|n| n.eq_ignore_ascii_case(name)) {
        Some(near) => error.fix(format!("the data have `{near}`")),
        None => error
            .note(format!("the data have {}", names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")))
            .fix(format!("add `{name}` to the data, or give it a default: `data {name}: {} = …`", declaration.ty)),
    }
}

fn one(declaration: &Declaration, origin: &str, value: &RawValue, shape: &Shape) -> Result<Array, Box<Diagnostic>> {
    let name = &declaration.name;
    let fail = |code, message: String| {
        Box::new(
            Diagnostic::error(code, declaration.span, message)
                .label(format!("declared `{}`", declaration.ty))
                .note(format!("read from {origin}"))
                .fix(match code {
                    "E0504" => "mend the file, or declare the shape that it has (lists in lists are rows of a matrix)",
                    "E0506" => "mend the value in the file, or widen the declared bound",
                    "E0508" => "write rows of equal length",
                    "E0507" => "mend the file",
                    _ => "mend the value in the file, or declare the type that it has",
                }),
        )
    };
    let (found, cells) = match value {
        RawValue::Json(json) => match flatten(json) {
            Ok(flat) => flat,
            Err(why) => return Err(fail("E0508", format!("data `{name}` is ragged: {why}"))),
        },
        RawValue::Table { shape: found, cells } => {
            let same_count = found.iter().product::<usize>() == shape.sizes.iter().product::<usize>();
            // A column may stand for a scalar (one row) or for a matrix with one column.
            let fits = same_count && found.iter().filter(|&&n| n != 1).eq(shape.sizes.iter().filter(|&&n| n != 1));
            (if fits { shape.sizes.clone() } else { found.clone() }, cells.clone())
        }
    };
    let empty = cells.is_empty() && shape.sizes.contains(&0) && found.len() <= shape.sizes.len();
    if found != shape.sizes && !empty {
        return Err(fail(
            "E0504",
            format!("data `{name}` has the wrong shape: expected {}, found {}", shown(&shape.sizes), shown(&found)),
        ));
    }
    let place = |index: usize| format!("{name}{}", subscript(index, &shape.sizes));
    for (i, cell) in cells.iter().enumerate() {
        if let Cell::Text(text) = cell {
            return Err(fail(
                "E0505",
                format!("`{}` is {text:?}, expected {}", place(i), scalar_name(declaration.scalar)),
            ));
        }
        let absent = match cell {
            Cell::Missing => true,
            Cell::Real(x) => x.is_nan(),
            _ => false,
        };
        if absent && !declaration.optional {
            let error = fail("E0507", format!("`{}` is missing (null or NaN)", place(i)));
            return Err(Box::new(error.fix(if declaration.scalar == Scalar::Real {
                "declare it `real?` to skip missing observations, or mend the file"
            } else {
                "mend the file"
            })));
        }
    }
    let values = match declaration.scalar {
        Scalar::Real => {
            let mut list = Vec::with_capacity(cells.len());
            for (i, cell) in cells.iter().enumerate() {
                list.push(match cell {
                    #[expect(clippy::cast_precision_loss, reason = "an int of a file is a real of the program")]
                    Cell::Int(n) => *n as f64,
                    Cell::Real(x) => *x,
                    Cell::Missing | Cell::Text(_) => f64::NAN,
                    Cell::Bool(b) => return Err(fail("E0505", format!("`{}` is {b}, expected a real", place(i)))),
                });
            }
            Values::Real(list)
        }
        Scalar::Int => {
            let mut list = Vec::with_capacity(cells.len());
            for (i, cell) in cells.iter().enumerate() {
                list.push(match cell {
                    Cell::Int(n) => *n,
                    #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
                    Cell::Real(x) if x.fract() == 0.0 && x.abs() <= 9_007_199_254_740_992.0 => *x as i64,
                    Cell::Real(x) => return Err(fail("E0505", format!("`{}` is {x}, expected an int", place(i)))),
                    Cell::Bool(b) => return Err(fail("E0505", format!("`{}` is {b}, expected an int", place(i)))),
                    Cell::Missing | Cell::Text(_) => {
                        return Err(fail(
                            "E0507",
                            format!("`{}` is missing (null or NaN); only reals may be", place(i)),
                        ));
                    }
                });
            }
            Values::Int(list)
        }
        Scalar::Bool => {
            let mut list = Vec::with_capacity(cells.len());
            for (i, cell) in cells.iter().enumerate() {
                list.push(match cell {
                    Cell::Bool(b) => *b,
                    Cell::Int(n @ (0 | 1)) => *n == 1,
                    Cell::Int(n) => return Err(fail("E0505", format!("`{}` is {n}, expected a bool", place(i)))),
                    Cell::Real(x) => return Err(fail("E0505", format!("`{}` is {x}, expected a bool", place(i)))),
                    Cell::Missing | Cell::Text(_) => {
                        return Err(fail(
                            "E0507",
                            format!("`{}` is missing (null or NaN); only reals may be", place(i)),
                        ));
                    }
                });
            }
            Values::Bool(list)
        }
    };
    check_bounds(&values, shape)
        .map_err(|(i, value, bound)| fail("E0506", format!("`{}` is {value}, expected {bound}", place(i))))?;
    if let Values::Real(list) = &values {
        declaration.constraint.check(list, &shape.sizes).map_err(|(i, why)| {
            let at = if i < list.len() { place(i) } else { name.clone() };
            fail("E0506", format!("`{at}`: {why}"))
        })?;
    }
    Ok(Array { shape: shape.sizes.clone(), values })
}

/// The first element outside its bounds: its index, its value, the bound in words. NaN (an absent optional) passes.
fn check_bounds(values: &Values, shape: &Shape) -> Result<(), (usize, String, String)> {
    let check = |i: usize, x: f64, text: &dyn Fn() -> String| {
        if let Some(lower) = shape.lower.as_ref().map(|b| b.at(i))
            && x < lower
        {
            return Err((i, text(), format!("at least {lower}")));
        }
        if let Some(upper) = shape.upper.as_ref().map(|b| b.at(i))
            && x > upper
        {
            return Err((i, text(), format!("at most {upper}")));
        }
        Ok(())
    };
    match values {
        Values::Real(list) => list.iter().enumerate().try_for_each(|(i, x)| check(i, *x, &|| x.to_string())),
        #[expect(clippy::cast_precision_loss, reason = "bounds are compared as reals")]
        Values::Int(list) => list.iter().enumerate().try_for_each(|(i, n)| check(i, *n as f64, &|| n.to_string())),
        Values::Bool(_) => Ok(()),
    }
}

fn scalar_name(scalar: Scalar) -> &'static str {
    match scalar {
        Scalar::Real => "a real",
        Scalar::Int => "an int",
        Scalar::Bool => "a bool",
    }
}

fn shown(shape: &[usize]) -> String {
    match shape {
        [] => "a scalar".to_string(),
        sizes => format!("[{}]", sizes.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
    }
}

/// `[1, 2]` of a row-major index, counting from 0; empty for a scalar.
fn subscript(index: usize, shape: &[usize]) -> String {
    if shape.is_empty() {
        return String::new();
    }
    let mut rest = index;
    let mut parts: Vec<String> = Vec::new();
    for &size in shape.iter().rev() {
        let size = size.max(1);
        parts.push((rest % size).to_string());
        rest /= size;
    }
    parts.reverse();
    format!("[{}]", parts.join(","))
}
