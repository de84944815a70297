//! `provi fit`.

use super::Exit;
use super::arguments::Fit;
use super::commands::{Opened, backend, open_text};
use super::output::Output;
use super::{files, progress, report};
use crate::diagnostic::Diagnostic;
use crate::driver::Refusal;
use crate::driver::fit::{FitOptions, FitReport, run};
use crate::driver::session::Session;
use crate::inference::verdict::FitStatus;
use crate::types::program::Checked;
use std::sync::Arc;
use std::time::Instant;

pub fn fit(arguments: &Fit, output: &Output, started: Instant) -> Exit {
    let backend = match backend(&arguments.run) {
        Ok(backend) => backend,
        Err(message) => return output.usage(&message),
    };
    let resumed = match arguments.resume.as_deref().map(files::read_run).transpose() {
        Ok(resumed) => resumed,
        Err(error) => return output.refusal(&Refusal { diagnostics: vec![error], sources: Arc::default() }),
    };
    let (seed, resume) = match resumed {
        Some((seed, saved)) => (seed, Some(saved)),
        None => (arguments.run.seed, None),
    };
    let options = FitOptions {
        seed,
        max_steps: arguments.steps,
        particles: arguments.particles,
        optimiser: arguments.optimiser.clone(),
        draws: arguments.draws,
        backend,
        keep: arguments.out.is_some(),
        resume,
    };
    if options.particles == Some(0) || options.max_steps == Some(0) || options.draws == Some(0) {
        return output.usage("`--particles`, `--steps` and `--draws` are at least 1");
    }
    if arguments.run.data.is_empty() && !arguments.more_data.is_empty() {
        return output.usage(&format!("`{}` was not expected: data follow `--data`", arguments.more_data[0]));
    }
    let mut needs = arguments.run.clone();
    needs.data.extend_from_slice(&arguments.more_data);
    let opened = match open_text(&arguments.file, &needs, output, |checked| {
        arguments.guide.as_deref().map_or(Ok(None), |family| with_family(checked, family))
    }) {
        Ok(opened) => opened,
        Err(refusal) => return output.refusal(&refusal),
    };
    let session = match opened.session() {
        Ok(session) => session,
        Err(refusal) => return output.refusal(&refusal),
    };
    let mut bar = progress::Bar::new(output.shows_progress(), progress::interruption());
    let outcome = run(&session, &options, &mut bar);
    bar.finish();
    match outcome {
        Ok(found) => finish(arguments, seed, &opened, &session, &found, output, started),
        Err(refusal) => output.refusal(&refusal),
    }
}

fn finish(
    arguments: &Fit,
    seed: u64,
    opened: &Opened,
    session: &Session<'_>,
    found: &FitReport,
    output: &Output,
    started: Instant,
) -> Exit {
    let outcome = &found.outcome;
    let seconds = started.elapsed().as_secs_f64();
    let object = report::fit_json(found, seconds);
    if let Some(folder) = &arguments.out {
        let mut record = object.clone();
        if let Some(map) = record.as_object_mut() {
            map.insert("program".to_string(), serde_json::json!(arguments.file.display().to_string()));
            map.insert("data".to_string(), serde_json::json!(opened.data_files));
            map.insert("seed".to_string(), serde_json::json!(seed));
            map.insert("particles".to_string(), serde_json::json!(found.particles.first()));
            map.insert("version".to_string(), serde_json::json!(env!("CARGO_PKG_VERSION")));
            map.insert("trace".to_string(), serde_json::json!(outcome.trace));
        }
        let parameters = report::parameters_json(&outcome.parameters);
        if let Err(error) = files::write_fit(folder, outcome, &parameters, &record) {
            output.refusal(
                &session.refuse(vec![Diagnostic::bare(
                    "E0513",
                    format!("cannot write into {}: {error}", folder.display()),
                )]),
            );
            return Exit::Wrong;
        }
    }
    output.result(|| report::fit_text(found, seconds), || object);
    match outcome.status {
        FitStatus::Converged => Exit::Fine,
        FitStatus::StepLimit | FitStatus::Untrustworthy => Exit::Untrustworthy,
        FitStatus::Interrupted => Exit::Interrupted,
    }
}

/// The file's text with another family in the derived guide of its `fit` line: `guide q = mean_field(m())` becomes
/// `guide q = full_rank(m())`.
fn with_family(checked: &Checked, family: &str) -> Result<Option<String>, Refusal> {
    let refuse = |message: String| Refusal {
        diagnostics: vec![
            Diagnostic::bare("E0522", message).fix("`--guide` needs a line such as `guide q = mean_field(model())`"),
        ],
        sources: checked.sources.clone(),
    };
    let [guide] = &checked.derived_guides[..] else {
        return Err(refuse(format!(
            "`--guide {family}`: the file has {} derived guides, not one",
            checked.derived_guides.len()
        )));
    };
    // Items hold the generated source in place of the alias; in the text the family stands before the model's call.
    let file = guide.model.span.file;
    let text = &checked.sources.file(file).text;
    let before = &text[..guide.model.span.start as usize];
    match before.rfind(guide.family.as_str()) {
        Some(at) => Ok(Some(format!("{}{family}{}", &text[..at], &text[at + guide.family.len()..]))),
        None => Err(refuse(format!("`--guide {family}`: the family of `{}` was not found in the file", guide.name))),
    }
}
