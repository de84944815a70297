//! The `test` items of `tests/stdlib`, one file a trial.

use crate::programs::{files, open, read, root, said};
use libtest_mimic::Trial;
use provi::driver::compile::Backend;
use provi::driver::test_items::{self, TestOptions};
use std::path::Path;

pub(crate) fn trials() -> Vec<Trial> {
    let trial = |path: std::path::PathBuf| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Trial::test(format!("library::{name}"), move || Ok(passes(&path)?))
    };
    files(&root().join("tests/stdlib"), "ppl").into_iter().map(trial).collect()
}

fn passes(path: &Path) -> Result<(), String> {
    let opened = open(&path.display().to_string(), &read(path)?, None).map_err(|r| said(&r))?;
    let options = TestOptions { seed: 0, backend: Backend::Machine { threads: 1 } };
    let cases = test_items::run(&opened.checked, &opened.data, path, &options).map_err(|r| said(&r))?;
    let mut failures = Vec::new();
    for case in &cases {
        failures.extend(case.failures.iter().map(|f| format!("{}, line {}: {}", case.name, f.line, f.message)));
    }
    if cases.is_empty() {
        failures.push("no tests".to_owned());
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
}
