//! Exact gradients: value and gradient of small programs by every strategy that is valid there, against enumeration,
//! quadrature and forward algorithms in plain Rust ([`crate::references`]); and mutants, which must be rejected.
//!
//! An objective without randomness is compared at a relative tolerance. Another is tested in two stages: n draws at
//! level α, and only on a rejection a fresh stream of 10 n at the same level and sign. A case states the bias that it
//! must detect and is vacuous if it could not.

use crate::dual::{Dual, real};
use crate::references;
use libtest_mimic::Trial;
use provi::driver::Refusal;
use provi::driver::compile::Backend;
use provi::driver::grad::{self, GradOptions, GradReport, Settings};
use provi::driver::session::{Session, check_file, command_expr};
use provi::inference::summary::Estimate;
use provi::runtime::executable::{Array, Values};
use std::collections::HashMap;
use std::path::Path;

/// Draws of the first stage.
const SAMPLES: usize = 100_000;
/// A normal deviate's two-sided tail of 3e-4.
const CRITICAL: f64 = 3.615;
/// Standard errors within which a bias is found for all but certain (the critical value and 2.3 for the power).
const DETECTED: f64 = 5.9;

/// Parameters at which a program is compared.
pub(crate) struct Point {
    pub(crate) name: &'static str,
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f64>,
}

/// A scalar parameter.
pub(crate) fn scalar(name: &'static str, value: f64) -> Point {
    Point { name, shape: Vec::new(), values: vec![value] }
}

/// A parameter of one axis.
pub(crate) fn vector(name: &'static str, values: Vec<f64>) -> Point {
    Point { name, shape: vec![values.len()], values }
}

/// A parameter of two axes.
pub(crate) fn matrix(name: &'static str, rows: usize, columns: usize, f: impl Fn(usize, usize) -> f64) -> Point {
    let values = (0..rows * columns).map(|k| f(k / columns, k % columns)).collect();
    Point { name, shape: vec![rows, columns], values }
}

/// Value of the objective as a function of parameters in the order of the case's points.
pub(crate) type Reference = fn(&[Vec<Dual>]) -> Dual;

/// What a program's objective must agree with.
pub(crate) struct Case {
    pub(crate) file: &'static str,
    /// With `GUIDE` for the guide.
    pub(crate) objective: &'static str,
    pub(crate) at: Vec<Point>,
    pub(crate) reference: Reference,
    /// Guides that have no randomness left, with the relative tolerance.
    pub(crate) exact: &'static [&'static str],
    pub(crate) tolerance: f64,
    /// Guides that are unbiased, with the bias that must be detected.
    pub(crate) unbiased: &'static [(&'static str, f64)],
    /// Guides that must be rejected at a bias.
    pub(crate) mutants: &'static [&'static str],
}

pub(crate) fn trials() -> Vec<Trial> {
    let mut out = Vec::new();
    for case in references::cases() {
        let case = std::sync::Arc::new(case);
        let mut add = |name: String, run: Box<dyn Fn(&Case, &str) -> Result<(), String> + Send>| {
            let case = case.clone();
            let seeded = name.clone();
            out.push(Trial::test(name, move || Ok(run(&case, &seeded)?)));
        };
        for &guide in case.exact {
            let name = format!("gradients::{}::{guide}", case.file);
            add(name, Box::new(move |case, _| exact(case, guide)));
        }
        for &(guide, bias) in case.unbiased {
            let name = format!("gradients::{}::{guide}", case.file);
            add(name, Box::new(move |case, name| unbiased(case, guide, bias, seed_of(name))));
        }
        for &guide in case.mutants {
            let name = format!("gradients::{}::mutant_{guide}_is_rejected", case.file);
            add(name, Box::new(move |case, name| rejected(case, guide, seed_of(name))));
        }
    }
    out
}

/// FNV-1a of a test's name.
fn seed_of(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Value and gradient by name, from plain Rust.
fn expected(case: &Case) -> (f64, Vec<(String, f64)>) {
    let mut gradient = Vec::new();
    let mut value = f64::NAN;
    for (k, point) in case.at.iter().enumerate() {
        for element in 0..point.values.len() {
            let params: Vec<Vec<Dual>> = case
                .at
                .iter()
                .enumerate()
                .map(|(j, p)| {
                    let one = |(i, &value): (usize, &f64)| Dual {
                        value,
                        slope: if j == k && i == element { 1.0 } else { 0.0 },
                    };
                    p.values.iter().enumerate().map(one).collect()
                })
                .collect();
            let found = (case.reference)(&params);
            value = found.value;
            let name = match point.shape[..] {
                [] => point.name.to_owned(),
                [_] => format!("{}[{element}]", point.name),
                [_, columns, ..] => format!("{}[{},{}]", point.name, element / columns, element % columns),
            };
            gradient.push((name, found.slope));
        }
    }
    (value, gradient)
}

fn told(refusal: &Refusal) -> String {
    refusal.diagnostics.iter().map(|d| format!("{}: {}", d.code, d.message)).collect::<Vec<_>>().join("; ")
}

fn gradient(case: &Case, guide: &str, samples: usize, seed: u64) -> Result<GradReport, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/cases/gradients/{}.ppl", case.file));
    let (checked, _) = check_file(&path).require().map_err(|r| told(&r))?;
    let (expr, sources) = command_expr(&checked, &case.objective.replace("GUIDE", guide)).map_err(|r| told(&r))?;
    let session = Session::new(&checked, &HashMap::new(), sources).map_err(|r| told(&r))?;
    let settings: Settings = case
        .at
        .iter()
        .map(|p| (p.name.to_owned(), Array { shape: p.shape.clone(), values: Values::Real(p.values.clone()) }))
        .collect();
    let backend = Backend::Machine { threads: 1 };
    let options = GradOptions { seed, samples, particles: 1, settings, backend };
    grad::run(&session, &expr, &options).map_err(|r| told(&r))
}

/// One number with what it should be.
struct Row {
    name: String,
    found: Estimate,
    expected: f64,
}

fn rows(case: &Case, report: &GradReport) -> Result<Vec<Row>, String> {
    let (value, gradient) = expected(case);
    if report.gradient.len() != gradient.len() {
        return Err(format!("{} derivatives, expected {}", report.gradient.len(), gradient.len()));
    }
    let mut out = vec![Row { name: "the value".to_owned(), found: report.value, expected: value }];
    for (name, expected) in gradient {
        let Some((_, found)) = report.gradient.iter().find(|(n, _)| *n == name) else {
            return Err(format!("no derivative in {name}"));
        };
        out.push(Row { name: format!("the derivative in {name}"), found: *found, expected });
    }
    Ok(out)
}

fn close(found: f64, expected: f64, tolerance: f64) -> bool {
    (found - expected).abs() <= tolerance * expected.abs().max(0.1)
}

fn exact(case: &Case, guide: &str) -> Result<(), String> {
    let begin = std::time::Instant::now();
    let report = gradient(case, guide, 1, 0)?;
    let elapsed = begin.elapsed().as_secs_f64();
    if !report.exact {
        return Err("the objective is random".to_owned());
    }
    if !cfg!(debug_assertions) && elapsed > 0.5 {
        return Err(format!("the answer took {elapsed} s"));
    }
    for row in rows(case, &report)? {
        if !close(row.found.mean, row.expected, case.tolerance) {
            return Err(format!("{} is {}, expected {}", row.name, row.found.mean, row.expected));
        }
    }
    Ok(())
}

/// Deviations beyond the critical value, as (row, sign).
fn suspects(rows: &[Row]) -> Vec<(usize, bool)> {
    let one = |(k, row): (usize, &Row)| {
        let difference = row.found.mean - row.expected;
        let off = if is_constant(row) {
            !close(row.found.mean, row.expected, 1e-9)
        } else {
            difference.abs() > CRITICAL * row.found.mcse
        };
        (off || difference.is_nan()).then_some((k, difference > 0.0))
    };
    rows.iter().enumerate().filter_map(one).collect()
}

/// A number that no draw changes: compared as it is.
fn is_constant(row: &Row) -> bool {
    row.found.mcse <= 1e-14 * row.expected.abs().max(1.0)
}

/// What both stages reject.
fn biased(case: &Case, guide: &str, seed: u64) -> Result<(Vec<Row>, Vec<String>), String> {
    let first = rows(case, &gradient(case, guide, SAMPLES, seed)?)?;
    let found = suspects(&first);
    if found.is_empty() {
        return Ok((first, Vec::new()));
    }
    let second = rows(case, &gradient(case, guide, 10 * SAMPLES, seed.wrapping_add(1))?)?;
    let again = suspects(&second);
    let told = found
        .iter()
        .filter(|s| again.contains(s))
        .map(|&(k, _)| {
            let row = &second[k];
            format!("{} is {} ± {}, expected {}", row.name, row.found.mean, row.found.mcse, row.expected)
        })
        .collect();
    Ok((first, told))
}

fn unbiased(case: &Case, guide: &str, bias: f64, seed: u64) -> Result<(), String> {
    let (rows, told) = biased(case, guide, seed)?;
    if rows.iter().all(is_constant) {
        return Err("vacuous: no number varies".to_owned());
    }
    for row in &rows {
        if DETECTED * row.found.mcse > bias {
            return Err(format!("vacuous: {} has a standard error of {}", row.name, row.found.mcse));
        }
    }
    if told.is_empty() { Ok(()) } else { Err(told.join("; ")) }
}

fn rejected(case: &Case, guide: &str, seed: u64) -> Result<(), String> {
    let (_, told) = biased(case, guide, seed)?;
    if told.is_empty() { Err("a biased estimator passed".to_owned()) } else { Ok(()) }
}

/// A constant array of one parameter's numbers.
pub(crate) fn values(f: impl Fn(f64) -> f64, n: usize) -> Vec<f64> {
    (0..n).map(|i| f(i as f64)).collect()
}

/// Zero, for folds.
pub(crate) fn zero() -> Dual {
    real(0.0)
}
