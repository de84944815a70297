//! `provi fit`: one line of a file's `fit` item, from its start to a verdict.

use super::Refusal;
use super::compile::Backend;
use super::model::Model;
use super::session::Session;
use crate::diagnostic::Diagnostic;
use crate::inference::fit::{Config, Observer, Outcome, fit};
use crate::inference::optimise::Choice;
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
    pub draws: usize,
    pub backend: Backend,
}

/// A finished fit, with what is worth saying beside the outcome.
pub struct FitReport {
    pub outcome: Outcome,
    pub warnings: Vec<String>,
    pub particles: usize,
    /// The objective that was differentiated, if it is not the one written.
    pub substitute: Option<String>,
}

/// Compiles the file's line and fits it.
pub fn run(session: &Session<'_>, options: &FitOptions, observer: &mut dyn Observer) -> Result<FitReport, Refusal> {
    let line = session.fit_line()?;
    if !line.over.is_empty() {
        return Err(session.refuse(vec![
            Diagnostic::error("E0290", line.over[0].span, "`over params(…)` is not supported yet")
                .fix("leave it out: all parameters of the objective are trained"),
        ]));
    }
    let particles = match options.particles {
        Some(n) => n,
        None => session.particles(line, PARTICLES)?,
    };
    let optimiser = match &options.optimiser {
        Some(text) => Some(flag_choice(session, text)?),
        None => line.optimiser.as_ref().map(|o| choice(session, o)).transpose()?,
    };
    let mut model = Model::new(session, line, particles, options.backend)?;
    let mut config = Config { seed: options.seed, optimiser, draws: options.draws, ..Config::default() };
    if let Some(steps) = options.max_steps {
        config.max_steps = steps;
    }
    let outcome =
        fit(&mut model, &config, observer).map_err(|failure| session.refuse_with("E0601", failure.to_string()))?;
    let mut warnings: Vec<String> = outcome.warnings.clone();
    warnings.extend(session.checked.biased.iter().map(|name| format!("`{name}` is declared biased")));
    Ok(FitReport { outcome, warnings, particles, substitute: substitute(session, line) })
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
    let numbers = args.iter().map(|a| session.number(&a.value)).collect::<Result<Vec<f64>, Refusal>>()?;
    Choice::by_name(name, &numbers).map_err(refuse)
}

fn flag_choice(session: &Session<'_>, text: &str) -> Result<Choice, Refusal> {
    let (expr, sources) = super::session::command_expr(session.checked, text)?;
    choice(session, &expr).map_err(|r| Refusal { diagnostics: r.diagnostics, sources })
}
