//! What `--data` names: `FILE.json`, `FILE.csv`, `X,y=FILE:1-50,51`, `N=442`.

use super::csv::{self, Columns};
use super::json;
use super::raw::{Cell, RawData, RawValue, cell};
use crate::diagnostic::Diagnostic;
use std::path::{Path, PathBuf};

/// Reads all that is given, in order. Collects the errors of all files.
pub fn load(given: &[String]) -> Result<RawData, Vec<Diagnostic>> {
    let mut data = RawData::default();
    let mut errors = Vec::new();
    for spec in given {
        if let Err(error) = one(spec, &mut data) {
            errors.push(error);
        }
    }
    if errors.is_empty() { Ok(data) } else { Err(errors) }
}

/// `NAME.json` beside `NAME.ppl`, if it exists.
pub fn default_path(program: &Path) -> Option<PathBuf> {
    let path = program.with_extension("json");
    path.is_file().then_some(path)
}

fn one(spec: &str, data: &mut RawData) -> Result<(), Diagnostic> {
    // A file of this very name wins over `NAMES=…`.
    if let Some((names, rest)) = spec.split_once('=').filter(|_| !Path::new(spec).exists()) {
        return named(spec, names, rest, data);
    }
    let text = read(spec)?;
    match Path::new(spec).extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase).as_deref() {
        Some("json") => json::read(spec, &text, data),
        Some("csv" | "tsv") => csv::read_with_header(spec, &text, data),
        _ if text.trim_start().starts_with('{') => json::read(spec, &text, data),
        _ => Err(Diagnostic::bare("E0510", format!("{spec}: its name does not say what it is"))
            .note("data are read from JSON (`.json`) and CSV (`.csv`)")),
    }
}

fn named(spec: &str, names: &str, rest: &str, data: &mut RawData) -> Result<(), Diagnostic> {
    let refuse = |why: String| {
        Diagnostic::bare("E0510", format!("`--data {spec}` is not understood: {why}"))
            .fix("`--data FILE.json`, `--data FILE.csv`, `--data X,y=FILE.csv:1-50,51` or `--data N=442`")
    };
    let names: Vec<&str> = names.split(',').map(str::trim).collect();
    if let Some(bad) = names.iter().find(|n| !n.chars().all(|c| c.is_alphanumeric() || c == '_') || n.is_empty()) {
        return Err(refuse(format!("`{bad}` is no name")));
    }
    if let ([name], number @ (Cell::Int(_) | Cell::Real(_))) = (names.as_slice(), cell(rest)) {
        let value = match number {
            Cell::Int(n) => serde_json::Value::from(n),
            Cell::Real(x) => serde_json::Value::from(x),
            _ => serde_json::Value::Null,
        };
        return data.insert(name, &format!("--data {spec}"), RawValue::Json(value));
    }
    let (file, ranges) = match rest.rsplit_once(':') {
        Some((file, ranges)) if !Path::new(rest).exists() => (file, Some(ranges)),
        _ => (rest, None),
    };
    let mut wanted: Vec<Columns> = Vec::new();
    match ranges {
        None if names.len() == 1 => wanted.push(Columns { name: names[0].to_string(), range: None }),
        None => return Err(refuse(format!("{} names need columns, as in `{file}:1-50,51`", names.len()))),
        Some(ranges) => {
            let ranges: Vec<&str> = ranges.split(',').collect();
            if ranges.len() != names.len() {
                return Err(refuse(format!("{} names, {} ranges of columns", names.len(), ranges.len())));
            }
            for (name, range) in names.iter().zip(ranges) {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                let (Ok(first), Ok(last)) = (first.trim().parse(), last.trim().parse()) else {
                    return Err(refuse(format!("`{range}` is no range of columns")));
                };
                wanted.push(Columns { name: (*name).to_string(), range: Some((first, last)) });
            }
        }
    }
    csv::read_columns(file, &read(file)?, &wanted, data)
}

fn read(path: &str) -> Result<String, Diagnostic> {
    let bytes = std::fs::read(path).map_err(|e| {
        Diagnostic::bare("E0501", format!("cannot read {path}: {}", reason(&e)))
            .fix("check the path and its permissions")
    })?;
    String::from_utf8(bytes).map_err(|_| {
        Diagnostic::bare("E0501", format!("{path} is not text (UTF-8)"))
            .note("data are read from JSON (`.json`) and CSV (`.csv`), not compressed")
    })
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file".to_string(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_string(),
        _ => error.to_string(),
    }
}
