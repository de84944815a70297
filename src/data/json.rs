//! JSON in Stan's layout: one object, a member per variable, arrays nested with rows first. `"NaN"`, `"Inf"`, `"-Inf"`
//! stand for what JSON has no word for; the bare words are accepted too.

use super::raw::{Cell, RawData, RawValue, cell};
use crate::diagnostic::Diagnostic;
use serde_json::Value;

/// Adds the variables of a JSON text.
pub fn read(origin: &str, text: &str, into: &mut RawData) -> Result<(), Diagnostic> {
    for (name, value) in read_object(origin, text)? {
        into.insert(&name, origin, RawValue::Json(value))?;
    }
    Ok(())
}

/// The members of a JSON text that is one object.
pub fn read_object(origin: &str, text: &str) -> Result<serde_json::Map<String, Value>, Diagnostic> {
    let value = match serde_json::from_str::<Value>(text) {
        Ok(value) => value,
        Err(error) => match serde_json::from_str::<Value>(&quote_bare_words(text)) {
            Ok(value) => value,
            Err(_) => {
                let why = error.to_string();
                let why = why.split(" at line ").next().unwrap_or("broken").to_string();
                return Err(Diagnostic::bare(
                    "E0502",
                    format!("{origin} is not JSON: line {}, column {}: {why}", error.line(), error.column()),
                )
                .fix(r#"mend the file at that place; its form is {"N": 3, "y": [1.5, 2, 0.1]}"#));
            }
        },
    };
    match value {
        Value::Object(members) => Ok(members),
        other => Err(Diagnostic::bare(
            "E0502",
            format!(
                "{origin} holds {}, where an object with a member for each variable was expected",
                describe(&other)
            ),
        )
        .fix(r#"write {"NAME": value, …}"#)),
    }
}

/// `NaN`, `Infinity`, `-Infinity`, `Inf`, `-Inf` outside texts, in quotes.
fn quote_bare_words(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    let mut in_text = false;
    while let Some(c) = rest.chars().next() {
        if in_text && c == '\\' {
            let len = 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
            out.push_str(&rest[..len]);
            rest = &rest[len..];
            continue;
        }
        if c == '"' {
            in_text = !in_text;
        }
        let word = if in_text {
            None
        } else {
            ["NaN", "-Infinity", "Infinity", "-Inf", "Inf"].into_iter().find(|w| rest.starts_with(w))
        };
        match word {
            Some(word) => {
                out.push('"');
                out.push_str(word);
                out.push('"');
                rest = &rest[word.len()..];
            }
            None => {
                out.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    out
}

/// Shape and scalars of a nested array, row-major. The error says where rows differ.
pub fn flatten(value: &Value) -> Result<(Vec<usize>, Vec<Cell>), String> {
    let mut shape = Vec::new();
    let mut at = value;
    while let Value::Array(elements) = at {
        shape.push(elements.len());
        match elements.first() {
            Some(first) => at = first,
            None => break,
        }
    }
    let mut cells = Vec::with_capacity(shape.iter().product());
    let mut path = Vec::new();
    collect(value, &shape, &mut path, &mut cells)?;
    Ok((shape, cells))
}

fn collect(value: &Value, shape: &[usize], path: &mut Vec<usize>, cells: &mut Vec<Cell>) -> Result<(), String> {
    match (value, shape.split_first()) {
        (Value::Array(elements), Some((&length, rest))) => {
            if elements.len() != length {
                return Err(format!(
                    "row {} has {} elements, the rows before it have {length}",
                    index(path),
                    elements.len()
                ));
            }
            for (i, element) in elements.iter().enumerate() {
                path.push(i);
                collect(element, rest, path, cells)?;
                path.pop();
            }
        }
        (Value::Array(_), None) => {
            return Err(format!("{} is an array where the elements before it are numbers", index(path)));
        }
        (_, Some(_)) => {
            return Err(format!("{} is {} where the elements before it are arrays", index(path), describe(value)));
        }
        (Value::Number(n), None) => cells.push(match n.as_i64() {
            Some(n) => Cell::Int(n),
            None => Cell::Real(n.as_f64().unwrap_or(f64::NAN)),
        }),
        (Value::Bool(b), None) => cells.push(Cell::Bool(*b)),
        (Value::Null, None) => cells.push(Cell::Missing),
        (Value::String(s), None) => cells.push(match cell(s) {
            // A number in quotes is a text.
            Cell::Int(_) | Cell::Bool(_) => Cell::Text(s.clone()),
            Cell::Real(x) if x.is_finite() => Cell::Text(s.clone()),
            other => other,
        }),
        (Value::Object(_), None) => cells.push(Cell::Text("a record".to_string())),
    }
    Ok(())
}

fn index(path: &[usize]) -> String {
    format!("[{}]", path.iter().map(usize::to_string).collect::<Vec<_>>().join(", "))
}

fn describe(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a bool",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "a record",
    }
}
