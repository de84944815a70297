//! `provi test`: the `test` items of a file, or of every `.ppl` file under a folder.

use super::Exit;
use super::arguments::{Run, Test};
use super::commands::{backend, open};
use super::output::Output;
use crate::diagnostic::Diagnostic;
use crate::driver::Refusal;
use crate::driver::compile::Backend;
use crate::driver::test_items::{self, Case, TestReport};
use serde_json::json;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub fn test(arguments: &Test, output: &Output) -> Exit {
    let backend = match backend(&arguments.run) {
        Ok(backend) => backend,
        Err(message) => return output.usage(&message),
    };
    let files = match files_under(&arguments.path) {
        Ok(files) => files,
        Err(d) => return output.refusal(&Refusal { diagnostics: vec![d], sources: Arc::default() }),
    };
    let mut report = TestReport::default();
    for file in &files {
        report.cases.extend(run_file(file, &arguments.run, backend, output));
    }
    let (passed, failed) = (report.passed(), report.failed());
    output.result(
        || {
            let mut text = String::new();
            for case in &report.cases {
                let _ = match &case.failure {
                    None => writeln!(text, "ok      {}: {}", case.file, case.name),
                    Some(why) => writeln!(text, "FAILED  {}:{}: {}\n        {why}", case.file, case.line, case.name),
                };
            }
            let _ = writeln!(text, "{passed} passed, {failed} failed");
            text
        },
        || {
            let cases: Vec<_> = report
                .cases
                .iter()
                .map(|c| {
                    json!({ "name": c.name, "file": c.file, "line": c.line, "passed": c.failure.is_none(), "failure": c.failure })
                })
                .collect();
            json!({ "passed": passed, "failed": failed, "cases": cases })
        },
    );
    if failed == 0 { Exit::Fine } else { Exit::Wrong }
}

/// A file that cannot be opened is one failed case; the others still run.
fn run_file(file: &Path, run: &Run, backend: Backend, output: &Output) -> Vec<Case> {
    let done = open(file, run, output).and_then(|opened| {
        let session = opened.session()?;
        Ok(test_items::run(&session, run.seed, backend).cases)
    });
    match done {
        Ok(cases) => cases,
        Err(refusal) => {
            output.refusal(&refusal);
            let failure = refusal.diagnostics.first().map(|d| format!("{}: {}", d.code, d.message));
            vec![Case { name: "the file".to_owned(), file: file.display().to_string(), line: 1, failure }]
        }
    }
}

fn files_under(path: &Path) -> Result<Vec<PathBuf>, Diagnostic> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut files = Vec::new();
    let mut folders = vec![path.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder)
            .map_err(|e| Diagnostic::bare("E0510", format!("`{}` cannot be read: {e}", folder.display())))?;
        for entry in entries.flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "ppl") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}
