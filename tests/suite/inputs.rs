//! Inputs of a case from its blocks: `data` is a JSON object by name (nested lists, row-major); `params`, `tuned` and
//! `state` are flat JSON lists, or objects by name; `stream` is `{"seed": 1, "step": 0}`.

use provi::ir::core::{Program, Role, Scalar, Type};
use provi::runtime::executable::{Array, Stream, Values};
use serde_json::Value;

/// A `data` block's JSON: the block itself, or the file that its one line names (`file tests/data/garch.json`).
pub(crate) fn json_text(block: Option<&str>) -> Result<Option<String>, String> {
    let Some(text) = block else { return Ok(None) };
    match text.trim().strip_prefix("file ") {
        Some(path) => crate::programs::read(&crate::programs::root().join(path)).map(Some),
        None => Ok(Some(text.to_owned())),
    }
}

fn json(text: &str, what: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|e| format!("block `{what}`: {e}"))
}

/// Numbers of nested lists in order; bools count as 0 and 1.
pub(crate) fn flatten(value: &Value, out: &mut Vec<f64>) -> Result<(), String> {
    match value {
        Value::Array(list) => list.iter().try_for_each(|v| flatten(v, out)),
        Value::Number(n) => n.as_f64().map(|x| out.push(x)).ok_or_else(|| format!("{n} is not a number")),
        Value::Bool(b) => {
            out.push(f64::from(u8::from(*b)));
            Ok(())
        }
        Value::String(s) => s.parse().map(|x| out.push(x)).map_err(|_| format!("{s:?} is not a number")),
        Value::Null | Value::Object(_) => Err(format!("{value} is not a number or list")),
    }
}

fn array(value: &Value, ty: &Type) -> Result<Array, String> {
    let mut numbers = Vec::new();
    flatten(value, &mut numbers)?;
    let values = match ty.scalar {
        Scalar::Real => Values::Real(numbers),
        Scalar::Int => Values::Int(numbers.iter().map(|&x| x as i64).collect()),
        Scalar::Bool => Values::Bool(numbers.iter().map(|&x| x != 0.0).collect()),
    };
    Ok(Array { shape: ty.shape.clone(), values })
}

/// Data in order of the program's inputs.
pub(crate) fn data(program: &Program, text: Option<&str>) -> Result<Vec<Array>, String> {
    let object = json(text.unwrap_or("{}"), "data")?;
    program
        .inputs_of(Role::Data)
        .map(|input| {
            let value = object.get(&input.name).ok_or_else(|| format!("block `data` lacks {}", input.name))?;
            array(value, program.ty(input.var)).map_err(|e| format!("data {}: {e}", input.name))
        })
        .collect()
}

/// The flat vector of a role.
pub(crate) fn flat(program: &Program, role: Role, text: Option<&str>, what: &str) -> Result<Vec<f64>, String> {
    let value = json(text.unwrap_or("[]"), what)?;
    let mut out = Vec::new();
    if let Value::Object(object) = &value {
        for input in program.inputs_of(role) {
            let value = object.get(&input.name).ok_or_else(|| format!("block `{what}` lacks {}", input.name))?;
            flatten(value, &mut out)?;
        }
    } else {
        flatten(&value, &mut out)?;
    }
    let wanted: usize = program.inputs_of(role).map(|i| program.ty(i.var).size()).sum();
    if out.len() != wanted {
        return Err(format!("block `{what}` has {} numbers, not {wanted}", out.len()));
    }
    Ok(out)
}

/// Seed 0, step 0 if there is no block.
pub(crate) fn stream(text: Option<&str>) -> Result<Stream, String> {
    let value = json(text.unwrap_or("{}"), "stream")?;
    let field = |name: &str| value.get(name).and_then(Value::as_u64).unwrap_or(0);
    Ok(Stream { seed: field("seed"), step: u32::try_from(field("step")).map_err(|e| e.to_string())? })
}
