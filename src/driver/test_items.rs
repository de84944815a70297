//! `provi test`: the `test` items of a file.
//!
//! * `assert near(a, b, tol)`: equal within `tol`, element by element; what is random by its mean.
//! * `assert normalized(d)`: the density of a scalar distribution integrates (or sums) to one.
//! * `assert unbiased(|θ| objective, |θ| reference, at: θ0)`: value and gradient in θ agree in the mean. What is exact on
//!   both sides is compared at 1e-9; else by a z-test at level 3e-4 per number, repeated once with ten times the samples
//!   on rejection.
//! * `assert refuses("E0301") { items }`: the file with these items in place of its own of the same names is refused with
//!   the code.
//! * `assert c`: `c` is true.

use super::compile::{self, Backend};
use super::eval::{self, EvalOptions, EvalReport};
use super::grad::Settings;
use super::session::{Session, check_source, command_expr, scalar_names};
use super::{Refusal, quadrature};
use crate::base::source::Sources;
use crate::diagnostic::Severity;
use crate::inference::gradient::gradient_estimate;
use crate::inference::summary::Estimate;
use crate::runtime::executable::Array;
use crate::specialize::programs;
use crate::syntax::print;
use crate::syntax::tree::{Arg, Block, Expr, ExprKind, Item, ItemKind, RefusedProgram, Stmt, StmtKind};
use crate::types::load::item_name;
use crate::types::program::Checked;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// What tests run on.
#[derive(Clone, Debug)]
pub struct TestOptions {
    pub seed: u64,
    pub backend: Backend,
}

/// One assertion that failed.
#[derive(Clone, Debug)]
pub struct Failed {
    /// From 1.
    pub line: usize,
    pub message: String,
}

/// One `test` item.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    pub line: usize,
    pub assertions: usize,
    pub failures: Vec<Failed>,
}

impl Case {
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}

/// Samples of the first stage of a statistical test; the second has ten times as many.
const SAMPLES: usize = 100_000;
/// Two-sided normal quantile at 3e-4.
const CRITICAL: f64 = 3.615;
/// Relative tolerance of what is exact.
const EXACT: f64 = 1e-9;

/// Where a test runs.
struct Place<'a> {
    checked: &'a Checked,
    data: &'a HashMap<String, Array>,
    path: &'a Path,
    options: TestOptions,
    /// Statements before the assertion.
    before: Vec<Stmt>,
}

/// Runs all `test` items of the main file, in order.
pub fn run(
    checked: &Checked,
    data: &HashMap<String, Array>,
    path: &Path,
    options: &TestOptions,
) -> Result<Vec<Case>, Refusal> {
    let mut cases = Vec::new();
    for entry in checked.items.items.iter().filter(|e| e.module == checked.main) {
        let ItemKind::Test { name, body } = &entry.item.kind else { continue };
        let options = TestOptions { seed: options.seed ^ seed_of(name), ..options.clone() };
        let mut place = Place { checked, data, path, options, before: Vec::new() };
        let mut case = Case {
            name: name.clone(),
            line: checked.sources.line_column(entry.item.span).0,
            assertions: 0,
            failures: Vec::new(),
        };
        block(body, &mut place, &mut case);
        cases.push(case);
    }
    Ok(cases)
}

fn block(body: &Block, place: &mut Place<'_>, case: &mut Case) {
    for stmt in &body.stmts {
        let StmtKind::Assert { check, block } = &stmt.kind else {
            place.before.push(stmt.clone());
            continue;
        };
        case.assertions += 1;
        let outcome = match block {
            Some(program) => refuses(check, program, place),
            None => assertion(check, place),
        };
        if let Err(message) = outcome {
            let line = place.checked.sources.line_column(stmt.span).0;
            case.failures.push(Failed { line, message });
        }
    }
}

/// FNV-1a of a test's name.
fn seed_of(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn told(refusal: &Refusal) -> String {
    let first = refusal.diagnostics.iter().find(|d| d.severity == Severity::Error).or(refusal.diagnostics.first());
    first.map_or_else(|| "it could not be run".to_string(), |d| format!("{}: {}", d.code, d.message))
}

fn assertion(check: &Expr, place: &Place<'_>) -> Result<(), String> {
    if let ExprKind::Call { callee, args } = &check.kind
        && let ExprKind::Name(name) = &callee.kind
    {
        match name.as_str() {
            "near" => return near(args, place),
            "normalized" => return normalized(args, place),
            "unbiased" => return unbiased(args, place),
            _ => {}
        }
    }
    let found = evaluate(&print::expr(check), place)?;
    match found.leaves.as_slice() {
        [leaf] if leaf.values.iter().all(|v| v.mean == 1.0) => Ok(()),
        _ => Err(format!("`{}` is false", print::expr(check))),
    }
}

/// The value of an expression after the test's earlier statements.
fn evaluate(text: &str, place: &Place<'_>) -> Result<EvalReport, String> {
    let before: String = place.before.iter().map(|s| format!("{}\n", print::stmt(s))).collect();
    let text = if before.is_empty() { text.to_string() } else { format!("{{\n{before}{text}\n}}") };
    with_expr(&text, place, |session, expr| {
        let options = EvalOptions {
            seed: place.options.seed,
            samples: SAMPLES,
            settings: Settings::new(),
            backend: place.options.backend,
        };
        eval::run(session, expr, &options)
    })
}

fn with_expr<T>(
    text: &str,
    place: &Place<'_>,
    work: impl for<'s> FnOnce(&Session<'s>, &'s Expr) -> Result<T, Refusal>,
) -> Result<T, String> {
    let (expr, sources) = command_expr(place.checked, text).map_err(|r| told(&r))?;
    with_tree(&expr, sources, place, work)
}

fn with_tree<T>(
    expr: &Expr,
    sources: Arc<Sources>,
    place: &Place<'_>,
    work: impl for<'s> FnOnce(&Session<'s>, &'s Expr) -> Result<T, Refusal>,
) -> Result<T, String> {
    let run = || {
        let session = Session::new(place.checked, place.data, sources)?;
        work(&session, expr)
    };
    run().map_err(|r| told(&r))
}

fn near(args: &[Arg], place: &Place<'_>) -> Result<(), String> {
    let [a, b, tolerance] = args else {
        return Err("`near` takes a value, what is expected, and a tolerance".to_string());
    };
    let numbers = |arg: &Arg| -> Result<Vec<f64>, String> {
        let report = evaluate(&print::expr(&arg.value), place)?;
        Ok(report.leaves.iter().flat_map(|l| l.values.iter().map(|v| v.mean)).collect())
    };
    let (found, expected, tolerance) = (numbers(a)?, numbers(b)?, numbers(tolerance)?);
    if found.len() != expected.len() && expected.len() != 1 {
        return Err(format!("{} numbers, expected {}", found.len(), expected.len()));
    }
    for (i, x) in found.iter().enumerate() {
        let y = expected.get(i).or(expected.first()).copied().unwrap_or(f64::NAN);
        let limit = tolerance.get(i).or(tolerance.first()).copied().unwrap_or(f64::NAN);
        let equal = x == &y || (x - y).abs() <= limit;
        if !equal {
            let place = if found.len() > 1 { format!("[{i}]") } else { String::new() };
            return Err(format!("`{}`{place} is {x}, expected {y} within {limit}", print::expr(&a.value)));
        }
    }
    Ok(())
}

fn normalized(args: &[Arg], place: &Place<'_>) -> Result<(), String> {
    let [arg] = args else { return Err("`normalized` takes one distribution".to_string()) };
    let text = print::expr(&arg.value);
    let total = match quadrature::support(&arg.value, place.checked)? {
        quadrature::Support::Counts { lower } => {
            let lower = scalar(&lower.text(), place)?;
            total_of_counts(&text, lower, place)?
        }
        quadrature::Support::Enumerable => {
            scalar(&format!("sum(for x in support({text}) {{ prob({text}, x) }})"), place)?
        }
        quadrature::Support::Interval { lower, upper } => {
            let bound = |side: Option<quadrature::Bound>, otherwise: f64| match side {
                Some(bound) => scalar(&bound.text(), place),
                None => Ok(otherwise),
            };
            let (lower, upper) = (bound(lower, f64::NEG_INFINITY)?, bound(upper, f64::INFINITY)?);
            let coarse = integral(&text, &quadrature::nodes(lower, upper, 1), place)?;
            // A kink costs the rule its speed, not its convergence.
            if is_one(coarse) { coarse } else { integral(&text, &quadrature::nodes(lower, upper, 16), place)? }
        }
    };
    if is_one(total) { Ok(()) } else { Err(format!("the density of `{text}` integrates to {total}, not to 1")) }
}

fn is_one(total: f64) -> bool {
    (total - 1.0).abs() <= 1e-6
}

/// Of the density of a distribution, by a rule.
fn integral(text: &str, nodes: &[quadrature::Node], place: &Place<'_>) -> Result<f64, String> {
    let points: Vec<String> = nodes.iter().map(|n| format!("{:?}", n.point)).collect();
    let count = points.len();
    let program =
        format!("{{ let nodes = [{}]\n for i in 0..{count} {{ log_prob({text}, nodes[i]) }} }}", points.join(", "));
    let report = evaluate(&program, place)?;
    let logs = report.leaves.iter().flat_map(|l| l.values.iter());
    Ok(logs
        .zip(nodes)
        .map(|(log, node)| if log.mean == f64::NEG_INFINITY { 0.0 } else { log.mean.exp() * node.weight })
        .sum())
}

fn scalar(text: &str, place: &Place<'_>) -> Result<f64, String> {
    let report = evaluate(text, place)?;
    match report.leaves.as_slice() {
        [leaf] if leaf.values.len() == 1 => Ok(leaf.values[0].mean),
        _ => Err(format!("`{text}` is not a number")),
    }
}

/// The sum of a density over ints from `lower` on, until a block adds nothing.
fn total_of_counts(text: &str, lower: f64, place: &Place<'_>) -> Result<f64, String> {
    const BLOCK: i64 = 1_000;
    const BLOCKS: i64 = 200;
    if !lower.is_finite() {
        return Err(format!("the support of `{text}` has no first element"));
    }
    #[expect(clippy::cast_possible_truncation, reason = "a bound of ints")]
    let lower = lower as i64;
    let mut total = 0.0;
    for block in 0..BLOCKS {
        let from = lower + block * BLOCK;
        let added = scalar(&format!("sum(for i in {from}..{} {{ exp(log_prob({text}, i)) }})", from + BLOCK), place)?;
        total += added;
        if added < 1e-12 && total > 0.5 {
            break;
        }
    }
    Ok(total)
}

/// Value and gradient with respect to the arguments of one side.
struct Side {
    value: Estimate,
    gradient: Vec<Estimate>,
    exact: bool,
}

fn unbiased(args: &[Arg], place: &Place<'_>) -> Result<(), String> {
    let functions: Vec<&Expr> = args.iter().filter(|a| a.name.is_none()).map(|a| &a.value).collect();
    let at = args.iter().find(|a| a.name.as_ref().is_some_and(|n| n.text == "at")).map(|a| &a.value);
    let ([objective, reference], Some(at)) = (functions.as_slice(), at) else {
        return Err("`unbiased` takes an objective, a reference, and `at: θ`".to_string());
    };
    let ExprKind::Lambda { params, .. } = &objective.kind else {
        return Err("the objective must be a lambda".to_string());
    };
    let values: Vec<&Expr> = match &at.kind {
        ExprKind::Tuple(list) if params.len() != 1 => list.iter().collect(),
        _ => vec![at],
    };
    if values.len() != params.len() {
        return Err(format!("{} arguments, {} values after `at:`", params.len(), values.len()));
    }
    let mut point = Vec::new();
    let mut arguments = Vec::new();
    for (value, param) in values.into_iter().zip(params) {
        let report = evaluate(&print::expr(value), place)?;
        let [leaf] = report.leaves.as_slice() else { return Err("a point is made of numbers and arrays".to_string()) };
        point.extend(leaf.values.iter().map(|v| v.mean));
        arguments.push((param.text.clone(), leaf.shape.clone()));
    }
    let first = |samples, seed| -> Result<(Side, Side), String> {
        Ok((
            side(objective, &arguments, &point, samples, seed, place)?,
            side(reference, &arguments, &point, samples, seed ^ 0x5851_f42d_4c95_7f2d, place)?,
        ))
    };
    let seed = place.options.seed;
    let (a, b) = first(SAMPLES, seed)?;
    let names: Vec<String> = std::iter::once("the value".to_string())
        .chain(arguments.iter().flat_map(|(n, s)| scalar_names(n, s)).map(|n| format!("the derivative in {n}")))
        .collect();
    let rows = |a: &Side, b: &Side| -> Vec<(Estimate, Estimate)> {
        std::iter::once((a.value, b.value)).chain(a.gradient.iter().copied().zip(b.gradient.iter().copied())).collect()
    };
    if a.exact && b.exact {
        for (name, (x, y)) in names.iter().zip(rows(&a, &b)) {
            let equal = (x.mean - y.mean).abs() <= EXACT * (1.0 + y.mean.abs());
            if !equal {
                return Err(format!("{name} is {}, expected {}", x.mean, y.mean));
            }
        }
        return Ok(());
    }
    let suspects: Vec<(usize, f64)> =
        rows(&a, &b).into_iter().enumerate().filter_map(|(i, (x, y))| rejected(x, y).map(|z| (i, z))).collect();
    if suspects.is_empty() {
        return Ok(());
    }
    let (a, b) = first(10 * SAMPLES, seed.wrapping_add(1))?;
    let second = rows(&a, &b);
    for (i, z) in suspects {
        let Some(&(x, y)) = second.get(i) else { continue };
        if rejected(x, y).is_some_and(|again| again.signum() == z.signum()) {
            return Err(format!(
                "{} is {} ± {}, expected {} ± {}: biased",
                names.get(i).map_or("a number", String::as_str),
                x.mean,
                x.mcse,
                y.mean,
                y.mcse
            ));
        }
    }
    Ok(())
}

/// The z-score of a difference, if it is beyond the critical value or not a number.
fn rejected(x: Estimate, y: Estimate) -> Option<f64> {
    let difference = x.mean - y.mean;
    let rounding = 1e-9 * (1.0 + y.mean.abs());
    if difference.is_nan() {
        return Some(f64::INFINITY);
    }
    let error = x.mcse.hypot(y.mcse);
    let z = difference / error.max(1e-300);
    (difference.abs() > CRITICAL * error + rounding).then_some(z)
}

fn side(
    lambda: &Expr,
    arguments: &[(String, Vec<usize>)],
    point: &[f64],
    samples: usize,
    seed: u64,
    place: &Place<'_>,
) -> Result<Side, String> {
    let ExprKind::Lambda { params, body } = &lambda.kind else {
        return Err("`unbiased` compares two lambdas".to_string());
    };
    // The nodes of the file, since the checker chose strategies for them.
    let whole = Block { stmts: place.before.clone(), value: Some(body.clone()), span: body.span };
    let whole = Expr { kind: ExprKind::Block(whole), ..(**body).clone() };
    let lambda = Expr { kind: ExprKind::Lambda { params: params.clone(), body: Box::new(whole) }, ..lambda.clone() };
    with_tree(&lambda, place.checked.sources.clone(), place, |session, expr| {
        let sited = programs::objective_at(&session.bound, expr, arguments).map_err(|d| session.refuse(d))?;
        let derived = compile::derived(sited).map_err(|d| session.refuse(d))?;
        let program = compile::with_gradient(derived).map_err(|d| session.refuse(d))?;
        let exact = !compile::is_random(&program);
        let data = session.data_of(&program);
        let mut run = compile::executable(&program, &data, place.options.backend).map_err(|d| session.refuse(d))?;
        let mut out = vec![0.0; run.output_len()];
        let n = point.len();
        let memory = super::model::memory(session, &program, crate::specialize::machine::Space::Constrained)?;
        let samples = if exact { 1 } else { samples };
        let estimate = gradient_estimate(n, samples, seed, |stream, gradient| {
            let status = run.step(point, &memory.tuned, &memory.state, stream, &mut out);
            gradient.copy_from_slice(out.get(1..=n).unwrap_or(&[]));
            (out[0], status)
        })
        .map_err(|bad| session.refuse_with("E0603", format!("a sample's value is {}", bad.value)))?;
        let fixed = |e: Estimate| if exact { Estimate { mcse: 0.0, ..e } } else { e };
        Ok(Side { value: fixed(estimate.value), gradient: estimate.gradient.into_iter().map(fixed).collect(), exact })
    })
}

fn refuses(check: &Expr, program: &RefusedProgram, place: &Place<'_>) -> Result<(), String> {
    let code = match &check.kind {
        ExprKind::Call { args, .. } => match args.as_slice() {
            [Arg { value: Expr { kind: ExprKind::Str(code), .. }, .. }] => code,
            _ => return Err("`refuses` takes one code, such as \"E0301\"".to_string()),
        },
        _ => return Err("a block belongs to `refuses(\"E0301\")`".to_string()),
    };
    let checked = place.checked;
    let main = program.span.file;
    let mut text = checked.sources.file(main).text.to_string();
    let shadowed: Vec<&str> = program.items.iter().filter_map(|i| item_name(i).map(|n| n.text.as_str())).collect();
    let has_fit = program.items.iter().any(|i| matches!(i.kind, ItemKind::Fit { .. }));
    for item in checked.items.items.iter().map(|e| &e.item).filter(|i| i.span.file == main) {
        let gone = match &item.kind {
            ItemKind::Test { .. } => true,
            ItemKind::Fit { .. } => has_fit,
            _ => item_name(item).is_some_and(|n| shadowed.contains(&n.text.as_str())),
        };
        if gone {
            blank(&mut text, item);
        }
    }
    for item in &program.items {
        text.push('\n');
        text.push_str(&print::item(item));
        text.push('\n');
    }
    let found = check_source(place.path, &text);
    let codes: Vec<&str> = found.diagnostics.iter().filter(|d| d.severity == Severity::Error).map(|d| d.code).collect();
    if codes.contains(&code.as_str()) {
        return Ok(());
    }
    if !codes.is_empty() {
        return Err(format!("refused with {}, not with {code}", codes.join(", ")));
    }
    // Some refusals come when the objective is derived.
    let derived = found.require().and_then(|(inner, _)| {
        let session = Session::new(&inner, place.data, Arc::clone(&inner.sources))?;
        for line in session.fit_lines() {
            super::grad::run(
                &session,
                session.objective_of(line),
                &super::grad::GradOptions {
                    seed: 0,
                    samples: 1,
                    particles: 1,
                    settings: Settings::new(),
                    backend: Backend::Interpreter,
                },
            )?;
        }
        Ok(())
    });
    match derived {
        Err(refusal) if refusal.diagnostics.iter().any(|d| d.code == code) => Ok(()),
        Err(refusal) => Err(format!("refused with {}, not with {code}", told(&refusal))),
        Ok(()) => Err(format!("accepted, expected {code}")),
    }
}

/// Replaces an item by blanks; lines stay.
fn blank(text: &mut String, item: &Item) {
    let range = item.span.start as usize..item.span.end as usize;
    let blanks: String = text[range.clone()].bytes().map(|b| if b == b'\n' { '\n' } else { ' ' }).collect();
    text.replace_range(range, &blanks);
}
