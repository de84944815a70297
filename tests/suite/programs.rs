//! Programs of the language, opened as the command line opens them: read, checked, bound to data.

use provi::data;
use provi::diagnostic::{Diagnostic, render};
use provi::driver::Refusal;
use provi::driver::session::{Checking, Session, check_source_with};
use provi::runtime::executable::Array;
use provi::types::Command;
use provi::types::program::Checked;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The folder of the crate.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A checked program with its data.
pub(crate) struct Opened {
    pub(crate) checked: Checked,
    pub(crate) data: HashMap<String, Array>,
}

/// What a refusal says, as the command line prints it.
pub(crate) fn said(refusal: &Refusal) -> String {
    render::report(&refusal.diagnostics, &refusal.sources, false)
}

/// Reads a file of the repository.
pub(crate) fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
}

/// Every file with this extension under a folder, sorted.
pub(crate) fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for path in entries.filter_map(|e| e.ok().map(|e| e.path())) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Checks a text, and binds the variables of a JSON text (`None`: no data).
pub(crate) fn open(name: &str, text: &str, json: Option<&str>) -> Result<Opened, Refusal> {
    bind(check_source_with(Path::new(name), text, None), json)
}

/// The same, with an objective that is named beside the file, if there is one.
pub(crate) fn open_with(
    name: &str,
    text: &str,
    json: Option<&str>,
    objective: Option<&str>,
) -> Result<Opened, Refusal> {
    bind(check_source_with(Path::new(name), text, objective.map(Command::Objective)), json)
}

fn bind(checking: Checking, json: Option<&str>) -> Result<Opened, Refusal> {
    let sources = checking.sources.clone();
    let refuse = |diagnostics: Vec<Diagnostic>| Refusal { diagnostics, sources: sources.clone() };
    let (checked, _) = checking.require()?;
    let mut raw = data::RawData::default();
    if let Some(json) = json {
        data::json::read("data.json", json, &mut raw).map_err(|d| refuse(vec![d]))?;
    }
    let data = data::bind_program(&checked, &raw).map_err(refuse)?;
    Ok(Opened { checked, data })
}

impl Opened {
    pub(crate) fn session(&self) -> Result<Session<'_>, Refusal> {
        Session::new(&self.checked, &self.data, self.checked.sources.clone())
    }
}

/// A program with an objective: an example, or a case of `tests/cases/programs`.
#[derive(Clone)]
pub(crate) struct Subject {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) data: Option<String>,
}

/// Every example; its data stand beside it.
pub(crate) fn examples() -> Vec<Subject> {
    let folder = root().join("examples");
    files(&folder, "ppl")
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            Subject { name, text, data: std::fs::read_to_string(path.with_extension("json")).ok() }
        })
        .collect()
}

/// Every case that has a `fit` line.
pub(crate) fn fitted_cases() -> Vec<Subject> {
    let folder = root().join("tests/cases/programs");
    files(&folder, "md")
        .into_iter()
        .filter_map(|path| {
            let pieces = crate::case::read(&std::fs::read_to_string(&path).ok()?).ok()?;
            let text = crate::case::block(&pieces, "ppl")?.to_owned();
            text.lines().any(|l| l.starts_with("fit ")).then(|| Subject {
                name: path.strip_prefix(root()).unwrap_or(&path).with_extension("ppl").display().to_string(),
                text,
                data: crate::inputs::json_text(crate::case::block(&pieces, "data")).unwrap_or_default(),
            })
        })
        .collect()
}
