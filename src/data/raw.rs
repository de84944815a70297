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
