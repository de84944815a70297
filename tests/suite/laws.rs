//! Laws over every program of an example, every expression of a stdlib test and 500 generated programs: interpreted and
//! compiled programs agree bit for bit on any number of threads; what is printed reads back as the same.

use crate::programs::{Opened, Subject, examples, files, fitted_cases, open, read, root, said};
use libtest_mimic::Trial;
use provi::base::source::Sources;
use provi::driver::compile::{self, Backend};
use provi::driver::model::initial;
use provi::driver::session::Session;
use provi::ir::core::{Program, Role};
use provi::ir::generate::{self, coverage};
use provi::ir::parse::parse;
use provi::ir::print::print;
use provi::runtime::executable::{Array, Status, Stream};
use provi::specialize::machine::Space;
use provi::specialize::programs::{self as specialised, Options};
use provi::syntax;
use provi::syntax::parser::{NodeIds, parse_file};
use provi::syntax::tree::{Block, Expr, ExprKind, FitLine, ItemKind, NodeId, Stmt, StmtKind};
use provi::types::program::Checked;

/// Generated programs.
const GENERATED: u64 = 500;
/// Of them in one trial.
const CHUNK: u64 = 50;
/// Particles of an example's objective.
const PARTICLES: usize = 3;
/// Draws of one step of an example's program of draws.
const BATCH: usize = 16;

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for subject in examples().into_iter().chain(fitted_cases()) {
        let (s, t) = (subject.clone(), subject.clone());
        trials.push(Trial::test(format!("law::bits::{}", subject.name), move || Ok(example_bits(&s)?)));
        trials.push(Trial::test(format!("law::printing::{}", subject.name), move || Ok(example_printing(&t)?)));
    }
    for path in files(&root().join("tests/stdlib"), "ppl") {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        trials.push(Trial::test(format!("law::bits::stdlib::{name}"), move || Ok(stdlib_bits(&read(&path)?)?)));
    }
    for path in files(&root().join("stdlib"), "ppl") {
        let name = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
        trials.push(Trial::test(format!("law::printing::{name}"), move || Ok(syntax_printing(&read(&path)?)?)));
    }
    for first in (0..GENERATED).step_by(CHUNK as usize) {
        let last = first + CHUNK;
        trials.push(Trial::test(format!("law::bits::generated::{first}"), move || Ok(generated_bits(first..last)?)));
    }
    trials.push(Trial::test("law::bits::coverage", || Ok(covered()?)));
    trials
}

/// The parameters of a program, moved off their declared values.
pub(crate) fn point(session: &Session<'_>, program: &Program) -> Result<Vec<f64>, String> {
    let names: Vec<String> = program.inputs_of(Role::Param).map(|i| i.name.clone()).collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let mut point = initial(session, &names).map_err(|r| said(&r))?;
    point.iter_mut().enumerate().for_each(|(k, x)| *x += 0.2 * pseudo(k));
    Ok(point)
}

/// Numbers in (-1, 1) without pattern.
pub(crate) fn pseudo(k: usize) -> f64 {
    ((k * 7919 + 131) % 1009) as f64 / 504.5 - 1.0
}

/// The same steps by the interpreter and by machine code on one and two threads.
fn same_bits(program: &Program, data: &[Array], params: &[f64]) -> Result<(), String> {
    let said =
        |d: Vec<provi::diagnostic::Diagnostic>| d.iter().map(|d| d.message.clone()).collect::<Vec<_>>().join("; ");
    let backends = [Backend::Interpreter, Backend::Machine { threads: 1 }, Backend::Machine { threads: 2 }];
    let mut runs = Vec::new();
    for backend in backends {
        runs.push(compile::executable(program, data, backend).map_err(said)?);
    }
    let (tuned, state) = (vec![0.25; runs[0].tuned_len()], vec![0.0; runs[0].state_len()]);
    for step in [0, 5] {
        let stream = Stream { seed: 0x9e37_79b9, step };
        let mut first: Option<(Vec<f64>, Status)> = None;
        for (run, backend) in runs.iter_mut().zip(backends) {
            let mut out = vec![0.0; run.output_len()];
            let status = run.step(params, &tuned, &state, stream, &mut out);
            let Some((expected, reached)) = &first else {
                first = Some((out, status));
                continue;
            };
            let differs = |x: &f64, y: &f64| x.to_bits() != y.to_bits() && !(x.is_nan() && y.is_nan());
            if let Some(k) = expected.iter().zip(&out).position(|(x, y)| differs(x, y)) {
                return Err(format!(
                    "step {step}, output {k}: {:?} interpreted, {:?} by {backend:?}",
                    expected[k], out[k]
                ));
            }
            if *reached != status {
                return Err(format!("step {step}: {reached:?} interpreted, {status:?} by {backend:?}"));
            }
        }
    }
    Ok(())
}

/// The `fit` lines of the main file.
pub(crate) fn lines(checked: &Checked) -> Vec<&FitLine> {
    let own = checked.items.items.iter().filter(|e| e.module == checked.main);
    own.filter_map(|e| if let ItemKind::Fit { lines } = &e.item.kind { Some(lines) } else { None }).flatten().collect()
}

/// Programs of a subject, derived and not yet optimised, with what they are.
pub(crate) fn derived(session: &Session<'_>, particles: usize) -> Result<Vec<(String, Program)>, String> {
    let failed = |d| said(&session.refuse(d));
    let mut all = Vec::new();
    for (n, line) in lines(session.checked).into_iter().enumerate() {
        let mut written = vec![("objective", &line.objective)];
        let differentiated = session.objective_of(line);
        if !std::ptr::eq(differentiated, &line.objective) {
            written.push(("substitute", differentiated));
        }
        for (what, expr) in written {
            for space in [Space::Unconstrained, Space::Constrained] {
                let options = Options { space, particles, params: Vec::new() };
                let sited = specialised::objective(&session.bound, expr, &options).map_err(failed)?;
                all.push((format!("{what} {n} in {space:?} space"), compile::derived(sited).map_err(failed)?));
            }
        }
    }
    for guide in &session.checked.derived_guides {
        let program = specialised::log_joint(&session.bound, guide).map_err(failed)?;
        all.push((format!("log joint density of {}", guide.name), program));
    }
    Ok(all)
}

fn with<T>(subject: &Subject, f: impl FnOnce(&Session<'_>) -> Result<T, String>) -> Result<T, String> {
    let opened = open(&subject.name, &subject.text, subject.data.as_deref()).map_err(|r| said(&r))?;
    f(&opened.session().map_err(|r| said(&r))?)
}

fn example_bits(subject: &Subject) -> Result<(), String> {
    with(subject, |session| {
        for (what, program) in derived(session, PARTICLES)? {
            let value = compile::value_only(program.clone());
            let gradient = compile::with_gradient(program).map_err(|d| said(&session.refuse(d)))?;
            for (kind, program) in [("value", value), ("gradient", gradient)] {
                let constrained = what.contains("Constrained") && !what.contains("Unconstrained");
                let mut params = if program.inputs_of(Role::Param).any(|i| i.name == "latent") {
                    let size: usize = program.inputs_of(Role::Param).map(|i| program.ty(i.var).size()).sum();
                    (0..size).map(|k| 0.3 * pseudo(k)).collect()
                } else {
                    point(session, &program)?
                };
                if constrained {
                    // Near the declared values, which lie inside their bounds.
                    params = declared(session, &program)?;
                }
                same_bits(&program, &session.data_of(&program), &params)
                    .map_err(|e| format!("{kind} of {what}: {e}"))?;
            }
        }
        for line in lines(session.checked) {
            let Some(pair) = session.pair_of(&line.objective) else { continue };
            let options = Options { space: Space::Unconstrained, particles: 1, params: Vec::new() };
            let draws = specialised::draws(&session.bound, pair.model, pair.guide, BATCH, &options);
            let program = compile::value_only(draws.map_err(|d| said(&session.refuse(d)))?.program);
            let params = point(session, &program)?;
            same_bits(&program, &session.data_of(&program), &params).map_err(|e| format!("draws: {e}"))?;
        }
        Ok(())
    })
}

/// Declared values of a program's parameters on their constrained scale.
fn declared(session: &Session<'_>, program: &Program) -> Result<Vec<f64>, String> {
    let shapes = provi::driver::session::param_shapes(program);
    provi::driver::grad::declared_values(session, &shapes, &Default::default()).map_err(|r| said(&r))
}

/// Every assertion's expressions.
fn stdlib_bits(text: &str) -> Result<(), String> {
    let mut compared = 0;
    assertions(text, &mut |session, name, asserted| {
        let (program, params) = match asserted {
            Asserted::Value(program, params) => (program, params),
            Asserted::Objective(program, params) => {
                (compile::with_gradient(program).map_err(|d| said(&session.refuse(d)))?, params)
            }
        };
        compared += 1;
        same_bits(&program, &session.data_of(&program), &params).map_err(|e| format!("{name}: {e}"))
    })?;
    if compared == 0 && text.contains("near(") { Err("nothing was compared".to_owned()) } else { Ok(()) }
}

/// What an assertion evaluates, with its parameters.
pub(crate) enum Asserted {
    /// Ready to run.
    Value(Program, Vec<f64>),
    /// Derived, not yet differentiated.
    Objective(Program, Vec<f64>),
}

type Visit<'a> = dyn FnMut(&Session<'_>, &str, Asserted) -> Result<(), String> + 'a;

/// Both sides of every `near` and `unbiased` of a file's tests.
pub(crate) fn assertions(text: &str, visit: &mut Visit<'_>) -> Result<(), String> {
    let opened = open("test.ppl", text, None).map_err(|r| said(&r))?;
    let session = opened.session().map_err(|r| said(&r))?;
    for entry in session.checked.items.items.iter().filter(|e| e.module == session.checked.main) {
        let ItemKind::Test { name, body } = &entry.item.kind else { continue };
        let mut before: Vec<Stmt> = Vec::new();
        for stmt in &body.stmts {
            let StmtKind::Assert { check, .. } = &stmt.kind else {
                before.push(stmt.clone());
                continue;
            };
            let ExprKind::Call { callee, args } = &check.kind else { continue };
            let ExprKind::Name(assertion) = &callee.kind else { continue };
            let parts: Vec<Expr> = args.iter().map(|a| in_scope(&before, &a.value)).collect();
            match (assertion.as_str(), parts.as_slice()) {
                ("near", [a, b, ..]) => {
                    for side in [a, b] {
                        let (program, params) = value(&session, side)?;
                        visit(&session, name, Asserted::Value(program, params))?;
                    }
                }
                ("unbiased", [a, b, _]) => {
                    for (whole, lambda) in [(a, &args[0].value), (b, &args[1].value)] {
                        let (program, params) = objective_at(&session, whole, lambda, &args[2].value)?;
                        visit(&session, name, Asserted::Objective(program, params))?;
                    }
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn in_scope(before: &[Stmt], expr: &Expr) -> Expr {
    if before.is_empty() {
        return expr.clone();
    }
    let block = Block { stmts: before.to_vec(), value: Some(Box::new(expr.clone())), span: expr.span };
    Expr { id: NodeId(u32::MAX), span: expr.span, kind: ExprKind::Block(block) }
}

type Ready = (Program, Vec<f64>);

fn value(session: &Session<'_>, expr: &Expr) -> Result<Ready, String> {
    let options = Options { space: Space::Constrained, particles: 1, params: Vec::new() };
    let program = specialised::expression(&session.bound, expr, &options).map_err(|d| said(&session.refuse(d)))?;
    let program = compile::value_only(program);
    let params = declared(session, &program)?;
    Ok((program, params))
}

/// A lambda as an objective, at the values that follow `at:`.
fn objective_at(session: &Session<'_>, whole: &Expr, lambda: &Expr, at: &Expr) -> Result<Ready, String> {
    let ExprKind::Lambda { params, .. } = &lambda.kind else { return Err("not a lambda".to_owned()) };
    let parts: Vec<&Expr> = if let ExprKind::Tuple(parts) = &at.kind { parts.iter().collect() } else { vec![at] };
    let mut arguments = Vec::new();
    let mut point = Vec::new();
    for (name, part) in params.iter().zip(parts) {
        let (program, _) = value(session, part)?;
        let shape = program.step.results.first().map(|&a| program.atom_type(a).shape).unwrap_or_default();
        arguments.push((name.text.clone(), shape));
        point.extend(session.run_once(&program, &[], Stream { seed: 0, step: 0 }).map_err(|r| said(&r))?);
    }
    let failed = |d| said(&session.refuse(d));
    let sited = specialised::objective_at(&session.bound, whole, &arguments).map_err(failed)?;
    Ok((compile::derived(sited).map_err(failed)?, point))
}

fn generated_bits(seeds: std::ops::Range<u64>) -> Result<(), String> {
    let mut failures = Vec::new();
    for seed in seeds {
        let (program, data, params) = generate::program(seed);
        if let Err(why) = same_bits(&program, &data, &params) {
            failures.push(format!("seed {seed}: {why}\n  {}", first_difference(&program, &data, &params)));
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
}

/// The first statement of the step whose result differs, as it is printed.
fn first_difference(program: &Program, data: &[Array], params: &[f64]) -> String {
    let mut alone = program.clone();
    for stmt in &program.step.stmts {
        for var in stmt.results() {
            alone.step.results = vec![var.into()];
            alone.outputs = vec!["value".to_owned()];
            if let Err(why) = same_bits(&alone, data, params) {
                alone.step.stmts = vec![stmt.clone()];
                return format!("{why} of\n{}", print(&alone));
            }
        }
    }
    "no statement alone differs".to_owned()
}

/// What the generated programs contain: everything that can be run.
fn covered() -> Result<(), String> {
    let mut counts = coverage::Coverage::new();
    (0..GENERATED).for_each(|seed| coverage::coverage(&generate::program(seed).0, &mut counts));
    // Statements of Core with sites, which are gone before anything runs.
    let missing: Vec<String> =
        coverage::features().into_iter().filter(|f| f != "sample" && f != "term" && !counts.contains_key(f)).collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("never generated: {missing:?}")) }
}

fn example_printing(subject: &Subject) -> Result<(), String> {
    syntax_printing(&subject.text)?;
    let texts = |text: &str| -> Result<Vec<String>, String> {
        let opened: Opened = open(&subject.name, text, subject.data.as_deref()).map_err(|r| said(&r))?;
        let session = opened.session().map_err(|r| said(&r))?;
        let mut all = Vec::new();
        for (what, program) in derived(&session, 1)? {
            let finished = compile::with_gradient(program.clone()).map_err(|d| said(&session.refuse(d)))?;
            for program in [program, finished] {
                let text = print(&program);
                let again = parse(&text).map_err(|e| format!("{what}: {e}"))?;
                if print(&again) != text {
                    return Err(format!("{what}: Core changes when it is printed and read"));
                }
                all.push(text);
            }
        }
        Ok(all)
    };
    let printed = printed(&subject.text)?;
    if texts(&subject.text)? != texts(&printed)? {
        return Err("the program as printed has another Core".to_owned());
    }
    Ok(())
}

fn printed(text: &str) -> Result<String, String> {
    let mut sources = Sources::default();
    let file = sources.add("printed.ppl", text, false);
    let (tree, diagnostics) = parse_file(&sources, file, &mut NodeIds::default());
    match diagnostics.first() {
        Some(d) => Err(format!("{}: {}\n{text}", d.code, d.message)),
        None => Ok(syntax::print::file(&tree)),
    }
}

/// What is printed, printed again, is the same.
fn syntax_printing(text: &str) -> Result<(), String> {
    let once = printed(text)?;
    let twice = printed(&once)?;
    if once == twice { Ok(()) } else { Err(format!("printing is not idempotent:\n{once}\n---\n{twice}")) }
}
