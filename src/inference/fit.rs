//! `fit`: from a program with its data to an answer with a verdict. Start, training, final draws; the same seed gives the
//! same bits, whatever the clock, the observer or the number of threads.

use super::bound::{Bound, ParamRole};
use super::newton;
use super::optimise::Choice;
use super::path;
use super::psis;
use super::summary::{Draws, Estimate, QuantitySummary};
use super::train::{self, Trained, Trainer};
use super::verdict::{self, Ending, FitStatus, Verdict};
use super::whiten::{self, Coordinates};
use crate::runtime::executable::{Status, Stream};

/// What a fit is asked for.
#[derive(Clone, Debug)]
pub struct Config {
    pub seed: u64,
    /// Most steps of training: evaluations of the objective and its gradient (an update may average several).
    pub max_steps: usize,
    /// The file's or flag's optimiser; `None` takes the default.
    pub optimiser: Option<Choice>,
    /// Final draws.
    pub draws: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config { seed: 0, max_steps: 256_000, optimiser: None, draws: 100_000 }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Searching for a start.
    Start,
    Training,
    /// Final evaluations and draws.
    Drawing,
}

#[derive(Clone, Copy, Debug)]
pub struct Progress {
    pub phase: Phase,
    /// Steps of training (final draws: draws) so far.
    pub step: usize,
    pub max_steps: usize,
    /// Over the last few hundred steps; NaN before there are any.
    pub objective: Estimate,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Control {
    Continue,
    Cancel,
}

/// Told of progress every few steps. What it does changes nothing of the result but by cancelling.
pub trait Observer {
    fn progress(&mut self, progress: &Progress) -> Control;
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn progress(&mut self, _progress: &Progress) -> Control {
        Control::Continue
    }
}

/// Training could not go on: steps kept ending without a finite value and gradient. The seed and step replay one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Failure {
    pub seed: u64,
    pub step: u32,
    pub status: Status,
    pub value: f64,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = match self.status {
            Status::Fine if self.value.is_finite() => "its gradient is not finite".to_string(),
            Status::Fine => format!("its value is {}", self.value),
            Status::Check(number) => format!("check {number} of the program failed"),
            Status::Domain => "an operation left its domain".to_string(),
        };
        let (step, seed) = (self.step, self.seed);
        write!(f, "the objective cannot be trained: step {step} with seed {seed} replays a failing step ({what})")
    }
}

/// All that a fit reports.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub status: FitStatus,
    /// Steps of training.
    pub steps: usize,
    pub objective: Estimate,
    /// Median over batches of 4,000 final draws; `None` if the objective has no model and guide to compare.
    pub khat: Option<f64>,
    pub quantities: Vec<QuantitySummary>,
    /// Constrained values of the declared parameters.
    pub parameters: Vec<(String, f64)>,
    /// Why the status is not `converged`.
    pub reasons: Vec<String>,
    pub advice: Vec<String>,
    pub warnings: Vec<String>,
    /// For resuming: unconstrained parameters, tuned parameters, state.
    pub params: Vec<f64>,
    pub tuned: Vec<f64>,
    pub state: Vec<f64>,
    pub draws: Draws,
    /// `(steps, objective)` at the ends of epochs.
    pub trace: Vec<(usize, f64)>,
    /// How the fit began and trained, in words.
    pub method: Vec<String>,
}

/// Fits: a start (a quasi-Newton path for a derived Gaussian guide, a deterministic Newton search for other parameters),
/// training until the stopping rule holds, final draws and verdict.
pub fn fit(bound: &mut dyn Bound, config: &Config, observer: &mut dyn Observer) -> Result<Outcome, Failure> {
    let blocks = bound.params().to_vec();
    let mut params = bound.initial_params().to_vec();
    let choice = config.optimiser.unwrap_or_default();
    let mut method = Vec::new();
    let gaussian = whiten::gaussian_blocks(&blocks);
    let mut reference = None;
    if let Some((location, scale)) = gaussian
        && bound.latent_len() == location.len
        && !location.explicit
        && !scale.explicit
    {
        if let Some(start) = path::start(bound, config.seed, observer) {
            method.push(format!("start: {}", start.description));
            start.write(location, scale, &mut params);
            reference = Some(start.factor);
        } else {
            method.push("start: as declared (no path reached a finite density)".to_string());
        }
    }
    let mut trainer = Trainer::new(bound, config, observer);
    let members: Vec<usize> = blocks
        .iter()
        .filter(|b| b.role == ParamRole::Free || gaussian.is_none())
        .flat_map(|b| b.offset..b.offset + b.len)
        .collect();
    let members = if choice.constant { Vec::new() } else { members };
    let mut free = None;
    if !members.is_empty()
        && let Some(found) = newton::search(&mut trainer, &mut params, &members)
    {
        method.push(format!("start of {} parameters: {}", members.len(), found.description));
        free = Some((&members[..], found));
    }
    let coordinates = Coordinates::new(&blocks, &params, reference.as_deref(), free);
    let whitened = if coordinates.whitened { "whitened" } else { "declared" };
    method.push(format!("training: {}({}) in {whitened} coordinates", train::rule_name(choice.rule), choice.rate));
    let Trained { params, ending, trace } = trainer.run(coordinates, params, &members)?;
    let objective = final_objective(&mut trainer, &params, ending);
    let (steps, skipped) = (trainer.steps, trainer.skipped);
    let (tuned, state) = (trainer.tuned, trainer.state);
    let (draws, cancelled) = final_draws(bound, config, observer, &params);
    let ending = if cancelled { Ending::Cancelled } else { ending };
    let khat = (draws.count() > 0).then(|| psis::median_khat(&draws.log_weights, 25));
    let quantities = draws.summarise();
    let factorised = blocks.iter().any(|b| b.role == ParamRole::LogScale);
    let Verdict { status, reasons, advice } = verdict::verdict(ending, steps, khat, &quantities, factorised);
    let mut warnings = Vec::new();
    if skipped > 0 {
        warnings.push(format!("{skipped} of {steps} steps had no finite value or gradient and were left out"));
    }
    let parameters = bound.constrained(&params);
    Ok(Outcome {
        status,
        steps,
        objective,
        khat,
        quantities,
        parameters,
        reasons,
        advice,
        warnings,
        params,
        tuned,
        state,
        draws,
        trace,
        method,
    })
}

/// The objective at the end: more evaluations until its error is 0.004, or 30,000 of them.
fn final_objective(trainer: &mut Trainer<'_>, params: &[f64], ending: Ending) -> Estimate {
    let most = if ending == Ending::Cancelled { 1000 } else { 30_000 };
    let mut values = Vec::new();
    let mut evaluated = 0;
    while evaluated < most {
        let more = trainer.values(params, 1000);
        evaluated += 1000.max(trainer.bound.epoch());
        if more.is_empty() {
            break;
        }
        values.extend(more);
        let objective = Estimate::of(&values);
        let (step, max_steps) = (trainer.steps, trainer.config.max_steps);
        let progress = Progress { phase: Phase::Drawing, step, max_steps, objective };
        if objective.mcse < 0.004 || trainer.observer.progress(&progress) == Control::Cancel {
            break;
        }
    }
    if values.is_empty() { Estimate { mean: f64::NAN, mcse: f64::NAN } } else { Estimate::of(&values) }
}

/// Final draws from the guide; true if the observer cancelled (what was drawn is kept).
fn final_draws(bound: &mut dyn Bound, config: &Config, observer: &mut dyn Observer, params: &[f64]) -> (Draws, bool) {
    const CHUNK: usize = 1000;
    let names = bound.quantities().to_vec();
    let width = names.len();
    let stream = Stream { seed: config.seed, step: train::DRAWS };
    let mut draws = Draws { names, values: Vec::new(), log_weights: Vec::new() };
    let mut first = 0;
    while first < config.draws {
        let count = CHUNK.min(config.draws - first);
        draws.values.resize((first + count) * width, 0.0);
        draws.log_weights.resize(first + count, 0.0);
        let (values, weights) = (&mut draws.values[first * width..], &mut draws.log_weights[first..]);
        if !bound.draws(params, stream, first, count, values, weights) {
            return (Draws::default(), false);
        }
        first += count;
        let objective = Estimate { mean: f64::NAN, mcse: f64::NAN };
        let progress = Progress { phase: Phase::Drawing, step: first, max_steps: config.draws, objective };
        if observer.progress(&progress) == Control::Cancel && first < config.draws {
            return (draws, true);
        }
    }
    (draws, false)
}
