//! The blocks of a case whose program is a `ppl` block: what each command of Provi makes of it.

use crate::inputs;
use crate::programs::{Opened, open_with, said};
use crate::stages::Case;
use provi::driver::compile::Backend;
use provi::driver::fit::FitOptions;
use provi::driver::grad::{GradOptions, Settings};
use provi::driver::session::Session;
use provi::driver::test_items::{self, TestOptions};
use provi::driver::{Refusal, Stage, fit, grad, stages};
use provi::inference::fit::Silent;
use provi::runtime::executable::Array;
use provi::syntax::parser::{NodeIds, parse_file};
use provi::syntax::print;
use std::path::Path;

/// Samples of a `grad` block, unless the objective is exact.
const SAMPLES: usize = 4;

fn opened(case: &Case) -> Result<Opened, String> {
    let text = case.block("ppl").ok_or("the case has no `ppl` block")?;
    let json = inputs::json_text(case.block("data"))?;
    open_with("case.ppl", text, json.as_deref(), case.block("objective").map(str::trim)).map_err(|r| said(&r))
}

fn with_session<T>(case: &Case, f: impl FnOnce(&Session<'_>) -> Result<T, Refusal>) -> Result<T, String> {
    let opened = opened(case)?;
    let session = opened.session().map_err(|r| said(&r))?;
    f(&session).map_err(|r| said(&r))
}

/// The text of a stage.
fn stage(case: &Case, stage: Stage) -> Result<String, String> {
    let opened = opened(case)?;
    let session = opened.session().map_err(|r| said(&r))?;
    let expr = match &opened.checked.command {
        Some(expr) => expr,
        None => session.objective_of(session.fit_line().map_err(|r| said(&r))?),
    };
    stages::run(&session, expr, 1, stage).map_err(|r| said(&r))
}

/// The program as the syntax tree prints it.
pub(crate) fn syntax(case: &Case) -> Result<String, String> {
    let text = case.block("ppl").ok_or("the case has no `ppl` block")?;
    let mut sources = provi::base::source::Sources::default();
    let file = sources.add("case.ppl", text, false);
    let (tree, diagnostics) = parse_file(&sources, file, &mut NodeIds::default());
    if let Some(d) = diagnostics.first() {
        return Err(format!("{}: {}", d.code, d.message));
    }
    Ok(print::file(&tree))
}

/// Kinds and trace types of the items.
pub(crate) fn types(case: &Case) -> Result<String, String> {
    Ok(opened(case)?.checked.types.clone())
}

pub(crate) fn sites(case: &Case) -> Result<String, String> {
    stage(case, Stage::Sites)
}

pub(crate) fn derived(case: &Case) -> Result<String, String> {
    stage(case, Stage::Derived)
}

pub(crate) fn optimised(case: &Case) -> Result<String, String> {
    stage(case, Stage::Core)
}

pub(crate) fn loops(case: &Case) -> Result<String, String> {
    stage(case, Stage::Loops)
}

/// Source of the derived guides.
pub(crate) fn guide(case: &Case) -> Result<String, String> {
    Ok(opened(case)?.checked.derived_guides.iter().map(|g| g.source.clone()).collect::<Vec<_>>().join("\n"))
}

/// Everything that is wrong with the program or its data, as printed.
pub(crate) fn error(case: &Case) -> Result<String, String> {
    let opened = match opened(case) {
        Ok(opened) => opened,
        Err(said) => return Ok(said),
    };
    let session = match opened.session() {
        Ok(session) => session,
        Err(refusal) => return Ok(said(&refusal)),
    };
    let compiled = gradient(case, &opened, &session);
    Ok(compiled.err().unwrap_or_else(|| "no error\n".to_owned()))
}

fn settings(case: &Case) -> Result<Settings, String> {
    let Some(text) = case.block("params") else { return Ok(Settings::new()) };
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).map_err(|e| e.to_string())?;
    object
        .iter()
        .map(|(name, value)| {
            let mut numbers = Vec::new();
            inputs::flatten(value, &mut numbers)?;
            let shape = if value.is_array() { vec![numbers.len()] } else { vec![] };
            Ok((name.clone(), Array::real(shape, numbers)))
        })
        .collect()
}

fn gradient(case: &Case, opened: &Opened, session: &Session<'_>) -> Result<grad::GradReport, String> {
    let options = GradOptions {
        seed: inputs::stream(case.block("stream"))?.seed,
        samples: SAMPLES,
        particles: 1,
        settings: settings(case)?,
        backend: Backend::Machine { threads: 1 },
    };
    match &opened.checked.command {
        Some(expr) => grad::run(session, expr, &options).map_err(|r| said(&r)),
        None => {
            let line = session.fit_line().map_err(|r| said(&r))?;
            grad::run(session, &line.objective, &options).map_err(|r| said(&r))
        }
    }
}

/// Mean value and gradient of a few samples at the declared parameters (or those of a `params` block).
pub(crate) fn grad(case: &Case) -> Result<String, String> {
    let opened = opened(case)?;
    let session = opened.session().map_err(|r| said(&r))?;
    let found = gradient(case, &opened, &session)?;
    let mut out = format!("value = {:?}\n", found.value.mean);
    for (name, estimate) in &found.gradient {
        out.push_str(&format!("{name} = {:?}\n", estimate.mean));
    }
    Ok(out)
}

/// A short fit: what is reported, not its figures, which must be finite and have an honest verdict.
pub(crate) fn fit_summary(case: &Case) -> Result<String, String> {
    let options =
        FitOptions { max_steps: Some(400), draws: Some(4000), ..FitOptions::new(1, Backend::Machine { threads: 1 }) };
    with_session(case, |session| {
        let report = fit::run(session, &options, &mut Silent)?;
        let outcome = &report.outcome;
        let names = |names: Vec<&str>| names.join(" ");
        let mut bad: Vec<&str> = outcome.parameters.iter().filter(|p| !p.1.is_finite()).map(|p| p.0.as_str()).collect();
        bad.extend(outcome.quantities.iter().filter(|q| !(q.mean + q.sd).is_finite()).map(|q| q.name.as_str()));
        if !outcome.objective.mean.is_finite() {
            bad.push("objective");
        }
        let mut out = format!("latents: {}\n", names(of(outcome, true)));
        out.push_str(&format!("returned: {}\n", names(of(outcome, false))));
        out.push_str(&format!("parameters: {}\n", names(outcome.parameters.iter().map(|p| p.0.as_str()).collect())));
        let differentiated = |s: &Option<String>| s.clone().unwrap_or("as written".to_owned());
        let differentiated: Vec<String> = report.substitutes.iter().map(differentiated).collect();
        out.push_str(&format!("differentiated: {}\n", differentiated.join("; ")));
        out.push_str(&format!("not finite: {}\n", names(bad)));
        Ok(out)
    })
}

fn of(outcome: &provi::inference::fit::Outcome, latent: bool) -> Vec<&str> {
    outcome.quantities.iter().filter(|q| q.latent == latent).map(|q| q.name.as_str()).collect()
}

/// The file's `test` items.
pub(crate) fn tests(case: &Case) -> Result<String, String> {
    let opened = opened(case)?;
    let options = TestOptions { seed: 1, backend: Backend::Machine { threads: 1 } };
    let cases =
        test_items::run(&opened.checked, &opened.data, Path::new("case.ppl"), &options).map_err(|r| said(&r))?;
    let mut out = String::new();
    for case in &cases {
        let verdict = if case.passed() { "ok" } else { "FAILED" };
        out.push_str(&format!("{verdict} {} ({} assertions)\n", case.name, case.assertions));
        case.failures.iter().for_each(|f| out.push_str(&format!("  line {}: {}\n", f.line, f.message)));
    }
    Ok(out)
}
