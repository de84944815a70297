//! What files hold before anything is known of the program.

use crate::diagnostic::Diagnostic;
use std::collections::HashMap;

/// Variables of all files by name.
#[derive(Clone, Debug, Default)]
pub struct RawData {
    variables: HashMap<String, RawVariable>,
}

/// One variable and where it came from.
#[derive(Clone, Debug)]
pub struct RawVariable {
    /// The file's name as given, or `--data N=3`.
    pub origin: String,
    pub value: RawValue,
}

#[derive(Clone, Debug)]
pub enum RawValue {
    /// Nested arrays, rows first.
    Json(serde_json::Value),
    /// Columns of a CSV file: `[rows]` or `[rows, columns]`, row-major.
    Table { shape: Vec<usize>, cells: Vec<Cell> },
}

/// One scalar.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Int(i64),
    Real(f64),
    Bool(bool),
    /// `null`, `"NaN"`, `NA`, an empty cell.
    Missing,
    /// What is no number.
    Text(String),
}

impl RawData {
    /// Adds a variable; a second value for a name is an error.
    pub fn insert(&mut self, name: &str, origin: &str, value: RawValue) -> Result<(), Diagnostic> {
        if let Some(first) = self.variables.get(name) {
            return Err(Diagnostic::bare(
                "E0511",
                format!("`{name}` is given twice, by {} and by {origin}", first.origin),
            )
            .fix("remove it from one of them"));
        }
        self.variables.insert(name.to_string(), RawVariable { origin: origin.to_string(), value });
        Ok(())
    }

    /// Makes variables of the leaves (`obs.x`) of a record, or of a nested array of records.
    pub fn take_apart(&mut self, name: &str, leaves: &[&str]) {
        let Some(RawVariable { origin, value: RawValue::Json(whole) }) = self.variables.get(name).cloned() else {
            return;
        };
        for leaf in leaves {
            let path: Vec<&str> = leaf.split('.').skip(1).collect();
            if let Some(value) = part(&whole, &path) {
                let variable = RawVariable { origin: origin.clone(), value: RawValue::Json(value) };
                self.variables.entry((*leaf).to_owned()).or_insert(variable);
            }
        }
        self.variables.remove(name);
    }

    pub fn get(&self, name: &str) -> Option<&RawVariable> {
        self.variables.get(name)
    }

    /// Names, sorted.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.variables.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }
}

/// The part of a record at a path; of an array, of each element. `None` if no element has it.
fn part(value: &serde_json::Value, path: &[&str]) -> Option<serde_json::Value> {
    let Some((first, rest)) = path.split_first() else { return Some(value.clone()) };
    match value {
        serde_json::Value::Object(fields) => part(fields.get(*first)?, rest),
        serde_json::Value::Array(elements) => {
            let parts: Vec<Option<serde_json::Value>> = elements.iter().map(|e| part(e, path)).collect();
            if parts.iter().all(Option::is_none) && !parts.is_empty() {
                return None;
            }
            Some(serde_json::Value::Array(parts.into_iter().map(Option::unwrap_or_default).collect()))
        }
        _ => None,
    }
}

/// A cell from text: a CSV cell, or a text in JSON.
pub(super) fn cell(text: &str) -> Cell {
    let text = text.trim();
    if let Ok(n) = text.parse::<i64>() {
        return Cell::Int(n);
    }
    match text.to_ascii_lowercase().as_str() {
        "" | "na" | "nan" | "null" | "+nan" | "-nan" => Cell::Missing,
        "inf" | "+inf" | "infinity" | "+infinity" => Cell::Real(f64::INFINITY),
        "-inf" | "-infinity" => Cell::Real(f64::NEG_INFINITY),
        "true" => Cell::Bool(true),
        "false" => Cell::Bool(false),
        _ => match text.parse::<f64>() {
            Ok(x) => Cell::Real(x),
            Err(_) => Cell::Text(text.to_string()),
        },
    }
}
