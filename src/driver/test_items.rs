//! `provi test`: the `test` items of a file. Each assertion is evaluated with the `let`s before it in scope.
//!
//! * `near(a, b, tolerance)`: exact where nothing is drawn; else means over samples, within the tolerance and 4 standard
//!   errors.
//! * `normalized(d)`: the mass is 1 within 1e-6.
//! * `unbiased(|θ| objective, |θ| reference, at: θ0)`: value and gradient, exactly where both are exact; else by a test in
//!   two stages: a difference of more than 3.6 standard errors in 100,000 samples must be found again, with the same
//!   sign, in a fresh stream of ten times as many.
//! * `refuses("E0301") { … }`: the items between the braces are refused with that code.

use super::Refusal;
use super::compile::{self, Backend};
use super::session::{Session, check_text};
use crate::diagnostic::Diagnostic;
use crate::inference::gradient::gradient_estimate;
use crate::inference::summary::Estimate;
use crate::runtime::executable::{Status, Stream};
use crate::specialize::machine::Space;
use crate::specialize::normalise;
use crate::specialize::programs::{self, Options};
use crate::syntax::tree::{Arg, Block, Expr, ExprKind, ItemKind, NodeId, RefusedProgram, Stmt, StmtKind};

/// Two-sided level 3e-4.
const CRITICAL: f64 = 3.6;
const SAMPLES: usize = 100_000;
const NEAR_SAMPLES: usize = 20_000;

/// One `test` item, run.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    pub file: String,
    pub line: usize,
    /// What failed; `None`: passed.
    pub failure: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub struct TestReport {
    pub cases: Vec<Case>,
}

impl TestReport {
    pub fn passed(&self) -> usize {
        self.cases.iter().filter(|c| c.failure.is_none()).count()
    }
    pub fn failed(&self) -> usize {
        self.cases.len() - self.passed()
    }
}

/// Runs every `test` item of the user's file.
pub fn run(session: &Session<'_>, seed: u64, backend: Backend) -> TestReport {
    let mut report = TestReport::default();
    for entry in session.checked.items.items.iter().filter(|e| e.module == session.checked.main) {
        let ItemKind::Test { name, body } = &entry.item.kind else { continue };
        let (line, _) = session.sources.line_column(entry.item.span);
        // Streams differ from test to test, and depend on nothing but the seed and the name.
        let own = name.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
        let failure = run_body(session, body, own, backend).err();
        report.cases.push(Case {
            name: name.clone(),
            file: session.sources.file(entry.item.span.file).name.clone(),
            line,
            failure,
        });
    }
    report
}

fn run_body(session: &Session<'_>, body: &Block, seed: u64, backend: Backend) -> Result<(), String> {
    let mut before: Vec<Stmt> = Vec::new();
    for stmt in &body.stmts {
        let StmtKind::Assert { check, block } = &stmt.kind else {
            before.push(stmt.clone());
            continue;
        };
        let (line, _) = session.sources.line_column(stmt.span);
        assertion(session, &before, check, block.as_ref(), seed, backend)
            .map_err(|message| format!("line {line}: {message}"))?;
    }
    Ok(())
}

/// The expression with the `let`s before it.
fn in_scope(before: &[Stmt], expr: &Expr) -> Expr {
    if before.is_empty() {
        return expr.clone();
    }
    let block = Block { stmts: before.to_vec(), value: Some(Box::new(expr.clone())), span: expr.span };
    Expr { id: NodeId(u32::MAX), span: expr.span, kind: ExprKind::Block(block) }
}

fn first_line(diagnostics: &[Diagnostic]) -> String {
    diagnostics.first().map_or_else(|| "refused".to_owned(), |d| format!("{}: {}", d.code, d.message))
}

fn refused(refusal: &Refusal) -> String {
    first_line(&refusal.diagnostics)
}

fn assertion(
    session: &Session<'_>,
    before: &[Stmt],
    check: &Expr,
    block: Option<&RefusedProgram>,
    seed: u64,
    backend: Backend,
) -> Result<(), String> {
    let ExprKind::Call { callee, args } = &check.kind else {
        return Err("an assertion is a call of `near`, `normalized`, `unbiased` or `refuses`".to_owned());
    };
    let ExprKind::Name(name) = &callee.kind else { return Err("an assertion has a name".to_owned()) };
    match (name.as_str(), &args[..]) {
        ("near", [a, b]) => near(session, before, a, b, None, seed, backend),
        ("near", [a, b, tolerance]) => near(session, before, a, b, Some(tolerance), seed, backend),
        ("normalized", [d]) => {
            let expr = in_scope(before, &d.value);
            let program = normalise::total_mass(&session.bound, &expr).map_err(|d| first_line(&d))?;
            let program = compile::value_only(program);
            let data = session.data_of(&program);
            let mut run = compile::executable(&program, &data, backend).map_err(|d| first_line(&d))?;
            let mut out = [f64::NAN];
            run.step(&vec![0.0; run.param_len()], &[], &[], Stream { seed, step: 0 }, &mut out);
            if (out[0] - 1.0).abs() <= 1e-6 { Ok(()) } else { Err(format!("the total mass is {}, not 1", out[0])) }
        }
        ("unbiased", [objective, reference, at]) => {
            unbiased(session, before, &objective.value, &reference.value, at, seed, backend)
        }
        ("refuses", [code]) => refuses(session, code, block),
        (other, _) => Err(format!("there is no assertion `{other}` with {} arguments", args.len())),
    }
}

/// Leaves of an expression's value, concatenated.
fn values(
    session: &Session<'_>,
    expr: &Expr,
    samples: usize,
    seed: u64,
    backend: Backend,
) -> Result<Vec<Estimate>, String> {
    let options = super::eval::EvalOptions { seed, samples, settings: Default::default(), backend };
    let report = super::eval::run(session, expr, &options).map_err(|r| refused(&r))?;
    Ok(report.leaves.into_iter().flat_map(|l| l.values).collect())
}

fn near(
    session: &Session<'_>,
    before: &[Stmt],
    a: &Arg,
    b: &Arg,
    tolerance: Option<&Arg>,
    seed: u64,
    backend: Backend,
) -> Result<(), String> {
    let (a, b) = (in_scope(before, &a.value), in_scope(before, &b.value));
    let a = values(session, &a, NEAR_SAMPLES, seed, backend)?;
    let b = values(session, &b, NEAR_SAMPLES, seed, backend)?;
    if a.len() != b.len() {
        return Err(format!("{} numbers are compared with {}", a.len(), b.len()));
    }
    let tolerance = match tolerance {
        None => None,
        Some(t) => {
            let t = in_scope(before, &t.value);
            Some(values(session, &t, 1, seed, backend)?.first().map_or(f64::NAN, |e| e.mean))
        }
    };
    for (k, (x, y)) in a.iter().zip(&b).enumerate() {
        let bound = tolerance.unwrap_or(1e-9 * (1.0 + x.mean.abs().max(y.mean.abs())));
        let noise = 4.0 * x.mcse.hypot(y.mcse);
        let distance = (x.mean - y.mean).abs();
        let same = x.mean == y.mean || (x.mean.is_nan() && y.mean.is_nan());
        if !same && !(distance <= bound + if noise.is_finite() { noise } else { 0.0 }) {
            let place = if a.len() > 1 { format!(" (element {k})") } else { String::new() };
            return Err(format!("{} and {} differ by {distance:.3e}, more than {bound:.3e}{place}", x.mean, y.mean));
        }
    }
    Ok(())
}

/// Value, then gradient in the lambda's parameters.
struct Runnable {
    run: Box<dyn crate::runtime::executable::Executable>,
    out: Vec<f64>,
    exact: bool,
}

fn runnable(
    session: &Session<'_>,
    lambda: &Expr,
    arguments: &[(String, Vec<usize>)],
    backend: Backend,
) -> Result<Runnable, String> {
    let sited = programs::objective_at(&session.bound, lambda, arguments).map_err(|d| first_line(&d))?;
    let derived = compile::derived(sited).map_err(|d| first_line(&d))?;
    let program = compile::with_gradient(derived).map_err(|d| first_line(&d))?;
    let data = session.data_of(&program);
    let run = compile::executable(&program, &data, backend).map_err(|d| first_line(&d))?;
    let out = vec![0.0; run.output_len()];
    Ok(Runnable { run, out, exact: !compile::is_random(&program) })
}

impl Runnable {
    fn estimate(&mut self, point: &[f64], samples: usize, seed: u64) -> Result<Vec<Estimate>, String> {
        let n = point.len();
        let samples = if self.exact { 1 } else { samples };
        let (run, out) = (&mut self.run, &mut self.out);
        let found = gradient_estimate(n, samples, seed, |stream, gradient| {
            let status = run.step(point, &[], &[], stream, out);
            gradient.copy_from_slice(&out[1..=n]);
            (out[0], status)
        })
        .map_err(|bad| match bad.status {
            Status::Check(_) => "a check failed while sampling".to_owned(),
            _ => format!("sample {} is not a number", bad.stream.step),
        })?;
        let mut all = vec![found.value];
        all.extend(found.gradient);
        if self.exact {
            all.iter_mut().for_each(|e| e.mcse = 0.0);
        }
        Ok(all)
    }
}

fn unbiased(
    session: &Session<'_>,
    before: &[Stmt],
    objective: &Expr,
    reference: &Expr,
    at: &Arg,
    seed: u64,
    backend: Backend,
) -> Result<(), String> {
    let ExprKind::Lambda { params, .. } = &objective.kind else {
        return Err("`unbiased` compares two lambdas, `|θ| …`".to_owned());
    };
    let parts: Vec<&Expr> = match &at.value.kind {
        ExprKind::Tuple(parts) => parts.iter().collect(),
        _ => vec![&at.value],
    };
    if parts.len() != params.len() {
        return Err(format!("the lambda has {} parameters, `at` gives {}", params.len(), parts.len()));
    }
    let mut point = Vec::new();
    let mut arguments = Vec::new();
    for (name, part) in params.iter().zip(parts) {
        let part = in_scope(before, part);
        let options = Options { space: Space::Constrained, particles: 1, params: Vec::new() };
        let program = programs::expression(&session.bound, &part, &options).map_err(|d| first_line(&d))?;
        let shape = program.step.results.first().map(|&a| program.atom_type(a).shape).unwrap_or_default();
        arguments.push((name.text.clone(), shape));
        point.extend(session.run_once(&program, &[], Stream { seed: 0, step: 0 }).map_err(|r| refused(&r))?);
    }
    let (objective, reference) = (in_scope(before, objective), in_scope(before, reference));
    let mut a = runnable(session, &objective, &arguments, backend)?;
    let mut b = runnable(session, &reference, &arguments, backend)?;
    let names: Vec<String> = std::iter::once("the value".to_owned())
        .chain(arguments.iter().flat_map(|(n, s)| {
            super::session::scalar_names(n, s).into_iter().map(|n| format!("the derivative in `{n}`"))
        }))
        .collect();
    let compare = |x: &[Estimate], y: &[Estimate]| -> Vec<f64> {
        x.iter()
            .zip(y)
            .map(|(x, y)| {
                let se = x.mcse.hypot(y.mcse);
                let d = x.mean - y.mean;
                if se > 1e-12 * (1.0 + x.mean.abs()) {
                    d / se
                } else if d.abs() <= 1e-9 * (1.0 + x.mean.abs().max(y.mean.abs())) {
                    0.0
                } else {
                    d.signum() * f64::INFINITY
                }
            })
            .collect()
    };
    let (x, y) = (a.estimate(&point, SAMPLES, seed)?, b.estimate(&point, SAMPLES, seed ^ 0x5bd1_e995)?);
    let first = compare(&x, &y);
    if first.iter().all(|z| z.abs() <= CRITICAL) {
        return Ok(());
    }
    let fresh = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let (x, y) = (a.estimate(&point, 10 * SAMPLES, fresh)?, b.estimate(&point, 10 * SAMPLES, fresh ^ 0x5bd1_e995)?);
    let second = compare(&x, &y);
    for (k, (one, two)) in first.iter().zip(&second).enumerate() {
        if one.abs() > CRITICAL && two.abs() > CRITICAL && one.signum() == two.signum() {
            return Err(format!(
                "biased: {} is {:.6} ± {:.1e} against {:.6} ± {:.1e}",
                names[k], x[k].mean, x[k].mcse, y[k].mean, y[k].mcse
            ));
        }
    }
    Ok(())
}

fn refuses(session: &Session<'_>, code: &Arg, block: Option<&RefusedProgram>) -> Result<(), String> {
    let ExprKind::Str(code) = &code.value.kind else { return Err("`refuses` takes a code in quotes".to_owned()) };
    let Some(block) = block else { return Err("`refuses` has a program between braces".to_owned()) };
    let text = session.sources.text(block.span);
    let inner = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or(text);
    let checking = check_text("the program between the braces", inner);
    if checking.diagnostics.iter().any(|d| d.code == code) {
        return Ok(());
    }
    match checking.diagnostics.first() {
        Some(d) => Err(format!("refused with {} ({}), not with {code}", d.code, d.message)),
        None => Err("the program is not refused".to_owned()),
    }
}
