//! The commands but `fit`: each opens a program, asks the driver, and prints.

use super::Exit;
use super::arguments::{Bench, Check, Eval, Explain, Grad, Ir, Precision, Run, Test};
use super::output::Output;
use super::{files, report, strategies};
use crate::base::source::Sources;
use crate::data;
use crate::diagnostic::{Diagnostic, codes, has_errors, render};
use crate::driver::compile::Backend;
use crate::driver::model::names_of;
use crate::driver::session::{Session, check_file, check_file_with, check_source, read_text};
use crate::driver::{
    Refusal, Stage, bench as benches, claims, eval as evaluation, grad as gradients, stages, test_items,
};
use crate::runtime::executable::Array;
use crate::syntax::parser::{NodeIds, parse_file};
use crate::syntax::print;
use crate::types::Command;
use crate::types::program::Checked;
use serde_json::json;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// A checked program with its data, to be bound.
pub struct Opened {
    pub checked: Checked,
    pub data: HashMap<String, Array>,
    /// With the command line's expression, if there is one.
    pub sources: Arc<Sources>,
    pub data_files: Vec<String>,
    /// Of checking.
    pub warnings: Vec<Diagnostic>,
    pub seed: u64,
}

impl Opened {
    pub fn session(&self) -> Result<Session<'_>, Refusal> {
        Ok(Session::new(&self.checked, &self.data, self.sources.clone())?.with_seed(self.seed))
    }
}

/// Who runs programs; the error is one of usage.
pub fn backend(run: &Run) -> Result<Backend, String> {
    if run.precision == Precision::F32 {
        return Err("`--precision f32` is not supported yet".to_string());
    }
    if run.interpret {
        return Ok(Backend::Interpreter);
    }
    match run.threads {
        Some(0) => Err("`--threads` is at least 1".to_string()),
        Some(threads) => Ok(Backend::Machine { threads }),
        None => Ok(Backend::Machine { threads: std::thread::available_parallelism().map_or(1, usize::from) }),
    }
}

/// Reads, checks, and reads data. Warnings are printed.
pub fn open(file: &Path, run: &Run, output: &Output) -> Result<Opened, Refusal> {
    open_text(file, run, output, |_| Ok(None))
}

/// The same, with the command line's expression, which is checked as part of the file.
fn open_with(file: &Path, run: &Run, output: &Output, command: Option<Command<'_>>) -> Result<Opened, Refusal> {
    let (checked, warnings) = check_file_with(file, command).require()?;
    output.diagnostics(&warnings, &checked.sources);
    let (data, data_files) = load_data(&checked, file, &run.data)?;
    let sources = checked.sources.clone();
    Ok(Opened { checked, data, sources, data_files, warnings, seed: run.seed })
}

/// The same, with a text that may take the file's place once it has been checked.
pub fn open_text(
    file: &Path,
    run: &Run,
    output: &Output,
    edit: impl FnOnce(&Checked) -> Result<Option<String>, Refusal>,
) -> Result<Opened, Refusal> {
    let (mut checked, mut warnings) = check_file(file).require()?;
    if let Some(text) = edit(&checked)? {
        (checked, warnings) = check_source(file, &text).require()?;
    }
    output.diagnostics(&warnings, &checked.sources);
    let (data, data_files) = load_data(&checked, file, &run.data)?;
    let sources = checked.sources.clone();
    Ok(Opened { checked, data, sources, data_files, warnings, seed: run.seed })
}

fn load_data(
    checked: &Checked,
    file: &Path,
    given: &[String],
) -> Result<(HashMap<String, Array>, Vec<String>), Refusal> {
    let refuse = |diagnostics| Refusal { diagnostics, sources: checked.sources.clone() };
    let mut paths = given.to_vec();
    if paths.is_empty()
        && let Some(path) = data::default_path(file)
    {
        paths.push(path.display().to_string());
    }
    let raw = data::load(&paths).map_err(refuse)?;
    let bound = data::bind_program(checked, &raw).map_err(refuse)?;
    Ok((bound, paths))
}

pub fn check(arguments: &Check, output: &Output) -> Exit {
    let found = check_file(&arguments.file);
    output.diagnostics(&found.diagnostics, &found.sources);
    let mut list: Vec<_> = found.diagnostics.iter().map(|d| render::json(d, &found.sources)).collect();
    let mut wrong = has_errors(&found.diagnostics) || found.checked.is_none();
    if let Some(checked) = found.checked.as_ref().filter(|_| !wrong && !arguments.data.is_empty())
        && let Err(refusal) = check_bound(checked, &arguments.file, &arguments.data)
    {
        output.diagnostics(&refusal.diagnostics, &refusal.sources);
        list.extend(refusal.diagnostics.iter().map(|d| render::json(d, &refusal.sources)));
        wrong = true;
    }
    output.result(
        || if wrong { String::new() } else { format!("{}: no errors\n", arguments.file.display()) },
        || json!({ "diagnostics": list }),
    );
    if wrong { Exit::Wrong } else { Exit::Fine }
}

/// What only data tell: they fit their declarations, and the objectives can be made of them.
fn check_bound(checked: &Checked, file: &Path, given: &[String]) -> Result<(), Refusal> {
    let (data, _) = load_data(checked, file, given)?;
    let session = Session::new(checked, &data, checked.sources.clone())?;
    session.fit_lines().into_iter().try_for_each(|line| names_of(&session, line).map(drop))
}

pub fn grad(arguments: &Grad, output: &Output) -> Exit {
    let backend = match backend(&arguments.run) {
        Ok(backend) => backend,
        Err(message) => return output.usage(&message),
    };
    if arguments.samples == 0 || arguments.particles == 0 {
        return output.usage("`--samples` and `--particles` are at least 1");
    }
    let found = (|| {
        let command = arguments.objective.as_deref().map(Command::Objective);
        let opened = open_with(&arguments.file, &arguments.run, output, command)?;
        let settings = files::settings(&arguments.values)
            .map_err(|d| Refusal { diagnostics: vec![d], sources: opened.sources.clone() })?;
        let session = opened.session()?;
        let objective = match &opened.checked.command {
            Some(expr) => expr,
            None => {
                let line = session.fit_line()?;
                session.objective_of(line)
            }
        };
        let options = gradients::GradOptions {
            seed: arguments.run.seed,
            samples: arguments.samples,
            particles: arguments.particles,
            settings,
            backend,
        };
        let tested = if arguments.test {
            let reference = match &opened.checked.command {
                Some(expr) => expr,
                None => &session.fit_line()?.objective,
            };
            Some(claims::test(&session, objective, reference, options.seed, options.samples, options.backend)?)
        } else {
            None
        };
        let biased = opened.checked.biased.clone();
        let mut warnings: Vec<String> = opened.warnings.iter().map(|d| d.message.clone()).collect();
        warnings.extend(biased.iter().map(|name| format!("`{name}` is declared biased")));
        Ok((gradients::run(&session, objective, &options)?, tested, biased, warnings))
    })();
    let (found, tested, biased, warnings) = match found {
        Ok(found) => found,
        Err(refusal) => return output.refusal(&refusal),
    };
    output.result(
        || {
            let rows: Vec<Vec<String>> =
                found.gradient.iter().map(|(name, e)| vec![name.clone(), report::with_error(*e)]).collect();
            let how = if found.exact { "exact".to_string() } else { format!("{} samples", found.samples) };
            let inspected: Vec<Vec<String>> = found
                .inspected
                .iter()
                .map(|(name, i)| {
                    std::iter::once(name.clone())
                        .chain([i.mean, i.sd, i.min, i.max].map(report::short))
                        .chain([i.count.to_string()])
                        .collect()
                })
                .collect();
            let inspected = if inspected.is_empty() {
                String::new()
            } else {
                format!("\n{}", report::table(&["inspected", "mean", "sd", "min", "max", "count"], &inspected))
            };
            let mut text = format!(
                "value  {}  ({how})\n\n{}{inspected}",
                report::with_error(found.value),
                report::table(&["", "gradient"], &rows)
            );
            if !found.variance_by_site.is_empty() {
                let rows: Vec<Vec<String>> =
                    found.variance_by_site.iter().map(|(name, v)| vec![name.clone(), format!("{v:.4}")]).collect();
                text.push_str(&format!("\n{}", report::table(&["site", "variance of the gradient"], &rows)));
            }
            if let Some(tested) = &tested {
                text.push_str(&report::claims(tested));
            }
            for name in &biased {
                text.push_str(&format!("\n`{name}` is declared biased\n"));
            }
            text
        },
        || {
            let gradient: serde_json::Map<_, _> =
                found.gradient.iter().map(|(name, e)| (name.clone(), report::estimate_json(*e))).collect();
            let inspected: serde_json::Map<_, _> = found
                .inspected
                .iter()
                .map(|(name, i)| {
                    let fields = json!({
                        "mean": i.mean,
                        "sd": i.sd,
                        "min": i.min,
                        "max": i.max,
                        "count": i.count,
                    });
                    (name.clone(), fields)
                })
                .collect();
            json!({
                "value": report::estimate_json(found.value),
                "samples": found.samples,
                "exact": found.exact,
                "gradient": gradient,
                "variance_by_site": found
                    .variance_by_site
                    .iter()
                    .map(|(name, v)| (name.clone(), json!(v)))
                    .collect::<serde_json::Map<_, _>>(),
                "biased": biased,
                "warnings": warnings,
                "test": tested.as_ref().map(report::claims_json),
                "inspected": inspected,
            })
        },
    );
    match &tested {
        Some(tested) if !tested.passed() => Exit::Wrong,
        _ => Exit::Fine,
    }
}

pub fn eval(arguments: &Eval, output: &Output) -> Exit {
    let backend = match backend(&arguments.run) {
        Ok(backend) => backend,
        Err(message) => return output.usage(&message),
    };
    if arguments.samples == 0 {
        return output.usage("`--samples` is at least 1");
    }
    let found = (|| {
        let opened = open_with(&arguments.file, &arguments.run, output, Some(Command::Value(&arguments.expression)))?;
        let settings = files::settings(&arguments.values)
            .map_err(|d| Refusal { diagnostics: vec![d], sources: opened.sources.clone() })?;
        let session = opened.session()?;
        let options =
            evaluation::EvalOptions { seed: arguments.run.seed, samples: arguments.samples, settings, backend };
        let Some(expr) = &opened.checked.command else {
            return Err(session.refuse_with("E0690", "nothing to evaluate"));
        };
        evaluation::run(&session, expr, &options)
    })();
    let found = match found {
        Ok(found) => found,
        Err(refusal) => return output.refusal(&refusal),
    };
    let value = |leaf: &evaluation::Leaf| {
        let mut values = leaf.values.iter();
        report::nested(&leaf.shape, &mut || match values.next() {
            Some(e) if found.exact => json!(e.mean),
            Some(e) => report::estimate_json(*e),
            None => serde_json::Value::Null,
        })
    };
    output.result(
        || {
            let mut text = String::new();
            for leaf in &found.leaves {
                let prefix = if found.leaves.len() > 1 { format!("{}  ", leaf.name) } else { String::new() };
                let shown = match (found.exact, leaf.values.as_slice()) {
                    (true, [e]) if leaf.shape.is_empty() => format!("{}", e.mean),
                    (false, [e]) if leaf.shape.is_empty() => {
                        format!("{}  ({} samples)", report::with_error(*e), found.samples)
                    }
                    _ => value(leaf).to_string(),
                };
                text.push_str(&format!("{prefix}{shown}\n"));
            }
            text
        },
        || {
            let value = match found.leaves.as_slice() {
                [one] => value(one),
                many => serde_json::Value::Object(many.iter().map(|l| (l.name.clone(), value(l))).collect()),
            };
            json!({ "value": value, "samples": found.samples })
        },
    );
    Exit::Fine
}

pub fn bench(arguments: &Bench, output: &Output, started: Instant) -> Exit {
    let backend = match backend(&arguments.run) {
        Ok(backend) => backend,
        Err(message) => return output.usage(&message),
    };
    let options = benches::BenchOptions { particles: arguments.particles, seconds: arguments.seconds, backend };
    let load = |checked: &Checked| load_data(checked, &arguments.file, &arguments.run.data).map(|(data, _)| data);
    let found = match benches::run(&arguments.file, load, &options, started) {
        Ok(found) => found,
        Err(refusal) => return output.refusal(&refusal),
    };
    output.result(
        || {
            let ms = |x: f64| format!("{x:.2} ms");
            let us = |x: f64| format!("{x:.2} µs");
            let rows = vec![
                vec!["read data".to_string(), ms(found.read_ms)],
                vec!["check".to_string(), ms(found.check_ms)],
                vec!["compile".to_string(), ms(found.compile_ms)],
                vec!["first gradient, from process start".to_string(), ms(found.first_gradient_ms)],
                vec!["step, 10th percentile".to_string(), us(found.step_us_p10)],
                vec!["step, median".to_string(), us(found.step_us_median)],
            ];
            let note = format!("{} steps of {} particles", found.steps, found.particles);
            format!("{}{note}\n", report::table(&["", "time"], &rows))
        },
        || {
            json!({
                "read_ms": found.read_ms,
                "check_ms": found.check_ms,
                "compile_ms": found.compile_ms,
                "first_gradient_ms": found.first_gradient_ms,
                "step_us": { "p10": found.step_us_p10, "median": found.step_us_median },
                "steps": found.steps,
                "particles": found.particles,
            })
        },
    );
    Exit::Fine
}

pub fn explain(arguments: &Explain, output: &Output) -> Exit {
    if let Some(page) = codes::page(&arguments.what) {
        output.result(|| page.to_string(), || json!({ "code": arguments.what.to_ascii_uppercase(), "page": page }));
        return Exit::Fine;
    }
    let looks_like_code = arguments.what.len() == 5
        && arguments.what.starts_with(['E', 'e', 'W', 'w'])
        && arguments.what[1..].chars().all(|c| c.is_ascii_digit());
    if looks_like_code {
        return output.usage(&format!("there is no code `{}`", arguments.what));
    }
    match check_file(Path::new(&arguments.what)).require() {
        Ok((checked, warnings)) => {
            output.diagnostics(&warnings, &checked.sources);
            let found = strategies::explain(&checked);
            output.result(|| found.text(), || found.json());
            Exit::Fine
        }
        Err(refusal) => output.refusal(&refusal),
    }
}

pub fn ir(arguments: &Ir, output: &Output) -> Exit {
    if let Err(message) = backend(&arguments.run) {
        return output.usage(&message);
    }
    let Some(stage) = Stage::by_name(&arguments.stage) else {
        return output.usage(&format!("there is no stage `{}`", arguments.stage));
    };
    match stage_text(arguments, stage, output) {
        Ok(text) => {
            output.result(|| text.clone(), || json!({ "stage": arguments.stage, "text": text }));
            Exit::Fine
        }
        Err(refusal) => output.refusal(&refusal),
    }
}

fn stage_text(arguments: &Ir, stage: Stage, output: &Output) -> Result<String, Refusal> {
    match stage {
        Stage::Syntax => return syntax_text(&arguments.file),
        Stage::Types => {
            let (checked, _) = check_file(&arguments.file).require()?;
            return Ok(crate::types::print_types(&checked));
        }
        Stage::Sites | Stage::Derived | Stage::Gradient | Stage::Core | Stage::Loops | Stage::Code => {}
    }
    let command = arguments.objective.as_deref().map(Command::Objective);
    let opened = open_with(&arguments.file, &arguments.run, output, command)?;
    let session = opened.session()?;
    let (objective, particles) = match &opened.checked.command {
        Some(expr) => (&**expr, arguments.particles.unwrap_or(1)),
        None => {
            let line = session.fit_line()?;
            let particles = match arguments.particles {
                Some(n) => n,
                None => session.particles(line, crate::driver::fit::PARTICLES)?,
            };
            (session.objective_of(line), particles)
        }
    };
    stages::run(&session, objective, particles, stage)
}

/// The tree of a file, printed.
fn syntax_text(path: &Path) -> Result<String, Refusal> {
    let text = read_text(path).map_err(|d| Refusal { diagnostics: vec![d], sources: Arc::default() })?;
    let mut sources = Sources::default();
    let file = sources.add(path.display().to_string(), text, false);
    let (tree, diagnostics) = parse_file(&sources, file, &mut NodeIds::default());
    if has_errors(&diagnostics) {
        return Err(Refusal { diagnostics, sources: Arc::new(sources) });
    }
    Ok(print::file(&tree))
}

/// Files with `test` items: the file itself, or all `.ppl` files of a folder and the folders in it, sorted.
fn programs(path: &Path) -> Result<Vec<PathBuf>, Diagnostic> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut found = Vec::new();
    let mut folders = vec![path.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let refuse = |e| Diagnostic::bare("E0501", format!("cannot read {}: {e}", folder.display()));
        for entry in std::fs::read_dir(&folder).map_err(refuse)? {
            let path = entry.map_err(refuse)?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "ppl") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

pub fn test(arguments: &Test, output: &Output) -> Exit {
    let backend = match backend(&arguments.run) {
        Ok(backend) => backend,
        Err(message) => return output.usage(&message),
    };
    let options = test_items::TestOptions { seed: arguments.run.seed, backend };
    let files = match programs(&arguments.path) {
        Ok(files) => files,
        Err(error) => return output.refusal(&Refusal { diagnostics: vec![error], sources: Arc::default() }),
    };
    let (mut passed, mut failed) = (0, 0);
    let mut text = String::new();
    let mut cases = Vec::new();
    for file in &files {
        let name = file.display().to_string();
        let found = open(file, &arguments.run, output)
            .and_then(|opened| test_items::run(&opened.checked, &opened.data, file, &options));
        let found = match found {
            Ok(found) => found,
            Err(refusal) if files.len() == 1 => return output.refusal(&refusal),
            Err(refusal) => {
                output.diagnostics(&refusal.diagnostics, &refusal.sources);
                failed += 1;
                text.push_str(&format!("FAILED  {name}: it could not be opened\n"));
                cases.push(json!({ "file": name, "name": null, "passed": false, "failures": [] }));
                continue;
            }
        };
        for case in found {
            let word = if case.passed() { "ok    " } else { "FAILED" };
            text.push_str(&format!("{word}  {name}: {}\n", case.name));
            for failure in &case.failures {
                text.push_str(&format!("          line {}: {}\n", failure.line, failure.message));
            }
            if case.passed() {
                passed += 1;
            } else {
                failed += 1;
            }
            let failures: Vec<_> =
                case.failures.iter().map(|f| json!({ "line": f.line, "message": f.message })).collect();
            cases.push(json!({
                "file": name, "name": case.name, "line": case.line, "assertions": case.assertions,
                "passed": case.passed(), "failures": failures,
            }));
        }
    }
    output.result(
        || format!("{text}\n{passed} passed, {failed} failed\n"),
        || json!({ "passed": passed, "failed": failed, "cases": cases }),
    );
    if failed == 0 { Exit::Fine } else { Exit::Wrong }
}
