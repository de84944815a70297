//! `provi fit`: the lines of a file's `fit` item, from their start to a verdict.

use super::Refusal;
use super::compile::Backend;
use super::fault::{self, Step};
use super::model::{self, Model, names_of};
use super::session::Session;
use crate::diagnostic::Diagnostic;
use crate::inference::bound::Bound;
use crate::inference::fit::{Config, Failure, Line, Observer, Outcome, Stopped, fit};
use crate::inference::optimise::Choice;
use crate::inference::saved::Saved;
use crate::runtime::executable::Stream;
use crate::specialize::machine::Space;
use crate::syntax::tree::{Expr, ExprKind, FitLine};

/// Particles of a line that names none.
pub const PARTICLES: usize = 8;

/// What the command line asks for.
#[derive(Clone, Debug)]
pub struct FitOptions {
    pub seed: u64,
    pub max_steps: Option<usize>,
    pub particles: Option<usize>,
    /// `adam(0.01)` as an expression of the command line.
    pub optimiser: Option<String>,
    /// `None`: 100,000, or fewer of very many quantities.
    pub draws: Option<usize>,
    pub backend: Backend,
    /// Keep what a later run needs to go on.
    pub keep: bool,
    /// Go on from what another run of the same program kept.
    pub resume: Option<Saved>,
}

impl FitOptions {
    /// As the command line without flags.
    pub fn new(seed: u64, backend: Backend) -> FitOptions {
        FitOptions {
            seed,
            max_steps: None,
            particles: None,
            optimiser: None,
            draws: None,
            backend,
            keep: false,
            resume: None,
        }
    }
}

/// A finished fit, with what is worth saying beside the outcome.
pub struct FitReport {
    pub outcome: Outcome,
    pub warnings: Vec<String>,
    /// Of each line.
    pub particles: Vec<usize>,
    /// Of each line, as written.
    pub objectives: Vec<String>,
    /// Of each line: the objective that was differentiated, if it is not the one written.
    pub substitutes: Vec<Option<String>>,
}

/// Compiles the file's lines and fits them.
pub fn run(session: &Session<'_>, options: &FitOptions, observer: &mut dyn Observer) -> Result<FitReport, Refusal> {
    let written = session.fit_lines();
    if written.is_empty() {
        session.fit_line()?;
    }
    // All programs of a fit have the same parameters.
    let mut names: Vec<String> = Vec::new();
    if written.len() > 1 {
        for line in &written {
            for name in names_of(session, line)? {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
    }
    let (mut models, mut choices, mut particles) = (Vec::new(), Vec::new(), Vec::new());
    for line in &written {
        let count = match options.particles {
            Some(n) => n,
            None => session.particles(line, PARTICLES)?,
        };
        choices.push(match &options.optimiser {
            Some(text) => Some(flag_choice(session, text)?),
            None => line.optimiser.as_ref().map(|o| choice(session, o)).transpose()?,
        });
        models.push(Model::new(
            session,
            line,
            count,
            options.backend,
            &names,
            options.keep || options.resume.is_some(),
        )?);
        particles.push(count);
    }
    let mut config = Config {
        seed: options.seed,
        exact: options.max_steps.is_some(),
        keep: options.keep,
        fingerprint: models.iter().fold(0, |all, model| all ^ model.fingerprint),
        resume: options.resume.clone(),
        ..Config::default()
    };
    if let Some(steps) = options.max_steps {
        config.max_steps = steps;
    }
    if let Some(draws) = options.draws {
        (config.draws, config.fewer) = (draws, false);
    }
    if models.len() > 1 && models.iter().any(Bound::at_mode) {
        return Err(session.refuse(vec![
            Diagnostic::error(
                "E0520",
                written[1].span,
                "a guide at the mode is not trained, so it has a `fit` line of its own",
            )
            .label("steps with another line")
            .fix("fit the guide alone, or use one that is trained, such as `full_rank`"),
        ]));
    }
    let lines = models.iter_mut().zip(choices).map(|(bound, optimiser)| Line { bound, optimiser }).collect();
    let outcome = fit(lines, &config, observer).map_err(|stopped| match stopped {
        Stopped::Training(failure) => failed(session, written[failure.line], particles[failure.line], &names, &failure),
        Stopped::NoMode => session.refuse(vec![
            Diagnostic::bare("E0604", "no mode of the joint density was found at which its curvature is a Gaussian's")
                .note("on the unconstrained space a density may grow without end (a scale going to 0) or be flat along a line")
                .fix("use a guide that is trained, such as `full_rank`"),
        ]),
        Stopped::Resume => session.refuse(vec![
            Diagnostic::bare("E0525", "the run to resume is not one of this program")
                .note("its parameters, sizes, optimiser, particles or seed are others")
                .fix("resume with the file, data and flags of the run; only `--steps` and `--draws` may differ"),
        ]),
    })?;
    let mut warnings: Vec<String> = outcome.warnings.clone();
    warnings.extend(session.checked.biased.iter().map(|name| format!("`{name}` is declared biased")));
    Ok(FitReport {
        outcome,
        warnings,
        particles,
        objectives: written.iter().map(|line| crate::syntax::print::expr(&line.objective)).collect(),
        substitutes: written.iter().map(|line| substitute(session, line)).collect(),
    })
}

/// The error of a training that could not go on, with the place where its step failed.
fn failed<'a>(
    session: &Session<'a>,
    line: &'a FitLine,
    particles: usize,
    names: &[String],
    failure: &Failure,
) -> Refusal {
    let message = failure.to_string();
    let found = model::objective(session, session.objective_of(line), Space::Unconstrained, particles, names);
    let Ok(found) = found else { return session.refuse_with("E0601", message) };
    let step = Step {
        params: &failure.params,
        tuned: &failure.tuned,
        state: &failure.state,
        stream: Stream { seed: failure.seed, step: failure.step },
        status: failure.status,
        value: failure.value,
    };
    session.refuse(vec![fault::explained(session, "E0601", &message, &fault::replayed(found.derived), &step)])
}

fn substitute<'a>(session: &Session<'a>, line: &'a FitLine) -> Option<String> {
    let expr = session.objective_of(line);
    (!std::ptr::eq(expr, &line.objective)).then(|| crate::syntax::print::expr(expr))
}

/// An optimiser as written in `with adam(0.01)`.
pub fn choice(session: &Session<'_>, expr: &Expr) -> Result<Choice, Refusal> {
    let refuse = |message: String| session.refuse(vec![Diagnostic::error("E0521", expr.span, message)]);
    let (name, args) = match &expr.kind {
        ExprKind::Name(name) => (name, &[][..]),
        ExprKind::Call { callee, args } => match &callee.kind {
            ExprKind::Name(name) => (name, &args[..]),
            _ => return Err(refuse("an optimiser is a name with numbers, such as `adam(0.01)`".to_owned())),
        },
        _ => return Err(refuse("an optimiser is a name with numbers, such as `adam(0.01)`".to_owned())),
    };
    let settings = args
        .iter()
        .map(|a| Ok((a.name.as_ref().map(|n| n.text.as_str()), session.number(&a.value)?)))
        .collect::<Result<Vec<_>, Refusal>>()?;
    Choice::by_name(name, &settings).map_err(refuse)
}

fn flag_choice(session: &Session<'_>, text: &str) -> Result<Choice, Refusal> {
    let (expr, sources) = super::session::command_expr(session.checked, text)?;
    choice(session, &expr).map_err(|r| Refusal { diagnostics: r.diagnostics, sources })
}
