//! `fit`: from a program with its data to an answer with a verdict. Start, training, final draws; the same seed gives the
//! same bits, whatever the clock, the observer or the number of threads.

use super::bound::{Bound, ParamBlock, ParamRole};
use super::fixed_point;
use super::newton;
use super::optimise::{Choice, Rule};
use super::path;
use super::psis;
use super::saved::Saved;
use super::stop;
use super::summary::{Draws, Estimate, QuantitySummary};
use super::train::{MANY, Training};
use super::trainer::{self, Trainer};
use super::verdict::{self, Ending, FitStatus, Verdict};
use super::whiten::{self, Coordinates};
use crate::runtime::executable::{Status, Stream};

/// One line of a fit: what is maximised, and how.
pub struct Line<'a> {
    /// All lines of a fit have the same parameters; each says in its blocks which of them it trains.
    pub bound: &'a mut dyn Bound,
    /// The file's or flag's optimiser; `None` takes the default.
    pub optimiser: Option<Choice>,
}

/// What a fit is asked for.
#[derive(Clone, Debug)]
pub struct Config {
    pub seed: u64,
    /// Most steps of training: evaluations of the objective and its gradient (an update may average several).
    pub max_steps: usize,
    /// The number of steps was asked for: plain ascent makes exactly so many.
    pub exact: bool,
    /// Final draws.
    pub draws: usize,
    /// Of very many quantities no more draws than can be kept.
    pub fewer: bool,
    /// Keep what a later run needs to go on.
    pub keep: bool,
    /// Of the program and its data: only a run with the same one goes on.
    pub fingerprint: u64,
    /// Go on from what another run of the same program kept.
    pub resume: Option<Saved>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            seed: 0,
            max_steps: 256_000,
            exact: false,
            draws: 100_000,
            fewer: true,
            keep: false,
            fingerprint: 0,
            resume: None,
        }
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

/// A fit without an outcome.
#[derive(Clone, Debug, PartialEq)]
pub enum Stopped {
    Training(Failure),
    /// A guide at the mode, and no mode was found at which the curvature is a Gaussian's.
    NoMode,
    /// What was to be resumed belongs to another program, other data sizes or another optimiser.
    Resume,
}

/// Training could not go on: steps kept ending without a finite value and gradient. The seed and step replay one.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    pub seed: u64,
    pub step: u32,
    pub status: Status,
    pub value: f64,
    /// Which of the lines, and what its step began with; parameters unconstrained.
    pub line: usize,
    pub params: Vec<f64>,
    pub tuned: Vec<f64>,
    pub state: Vec<f64>,
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
        write!(f, "training cannot go on: at step {step} with seed {seed} {what}")
    }
}

/// What a fit reports of one of its lines.
#[derive(Clone, Debug)]
pub struct LineOutcome {
    pub objective: Estimate,
    /// Median over batches of 4,000 final draws; `None` if the objective has no model and guide to compare.
    pub khat: Option<f64>,
    pub quantities: Vec<QuantitySummary>,
    /// Names of the parameters that it trained.
    pub trained: Vec<String>,
    /// Optimiser and step size.
    pub optimiser: String,
    pub tuned: Vec<f64>,
    pub state: Vec<f64>,
}

/// All that a fit reports.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub status: FitStatus,
    /// Steps of training.
    pub steps: usize,
    /// In the file's order; at least one.
    pub lines: Vec<LineOutcome>,
    /// The first line's.
    pub objective: Estimate,
    /// Of the first line that has draws.
    pub khat: Option<f64>,
    pub quantities: Vec<QuantitySummary>,
    /// Constrained values of the declared parameters.
    pub parameters: Vec<(String, f64)>,
    /// Why the status is not `converged`.
    pub reasons: Vec<String>,
    pub advice: Vec<String>,
    pub warnings: Vec<String>,
    /// Unconstrained.
    pub params: Vec<f64>,
    pub draws: Draws,
    /// `(steps, objective)` at the ends of epochs.
    pub trace: Vec<(usize, f64)>,
    /// How the fit began and trained, in words.
    pub method: Vec<String>,
    /// What a later run needs to go on; `None` unless it was asked for and training had begun.
    pub saved: Option<Saved>,
}

/// Fits: a start (a quasi-Newton path for a derived Gaussian guide, a deterministic Newton search for other parameters),
/// training until the stopping rule holds, final draws and verdict. Several lines step together in the declared coordinates.
pub fn fit<'a>(lines: Vec<Line<'a>>, config: &'a Config, observer: &'a mut dyn Observer) -> Result<Outcome, Stopped> {
    let mut trainer = Trainer::new(lines, config, observer);
    let header = header(&trainer);
    let (mut training, members, method) = match &config.resume {
        Some(saved) => resumed(&mut trainer, saved, &header).ok_or(Stopped::Resume)?,
        None => begun(&mut trainer)?,
    };
    let mut ending = training.run(&mut trainer, &members).map_err(Stopped::Training)?;
    let saved = config.keep.then(|| {
        let mut saved = Saved::default();
        saved.text(&header);
        save_members(&members, &method, &mut saved);
        training.save(&trainer, &mut saved);
        saved
    });
    let params = training.reached(&mut trainer, ending);
    let steps = trainer.steps;
    let mut lines = Vec::new();
    let mut kept = Draws::default();
    for line in 0..trainer.lines.len() {
        let objective = final_objective(&mut trainer, line, &params, ending);
        let (draws, cancelled) = final_draws(&mut trainer, line, &params);
        if cancelled {
            ending = Ending::Cancelled;
        }
        let khat = (draws.count() > 0).then(|| psis::median_khat(&draws.log_weights, 25));
        let own = &trainer.lines[line];
        lines.push(LineOutcome {
            objective,
            khat,
            quantities: draws.summarise(),
            trained: own.bound.params().iter().filter(|b| b.trained).map(|b| b.name.clone()).collect(),
            optimiser: format!("{}({})", own.choice.rule.name(), own.choice.rate),
            tuned: own.tuned.clone(),
            state: own.state.clone(),
        });
        if kept.count() == 0 {
            kept = draws;
        }
    }
    let drawn = lines.iter().position(|line| line.khat.is_some());
    let (khat, quantities) =
        drawn.map_or((None, Vec::new()), |line| (lines[line].khat, lines[line].quantities.clone()));
    let bound = &trainer.lines[drawn.unwrap_or(0)].bound;
    let factorised = bound.latent_len() > 1 && whiten::factorised(bound.params());
    let plain = trainer.lines.iter().any(|line| line.choice.constant);
    let narrow = if ending == Ending::Cancelled { Vec::new() } else { narrow(&mut trainer, &params) };
    let Verdict { status, reasons, advice, mut warnings } = verdict::verdict(&verdict::Figures {
        ending,
        steps,
        plain,
        khat,
        closeness: verdict::Closeness::of(&kept.log_weights),
        rows: &quantities,
        factorised,
        narrow: &narrow,
    });
    if trainer.skipped > 0 {
        let skipped = trainer.skipped;
        warnings.push(format!("{skipped} of {steps} steps had no finite value or gradient and were left out"));
    }
    let parameters = trainer.lines[0].bound.constrained(&params);
    Ok(Outcome {
        status,
        steps,
        objective: lines[0].objective,
        lines,
        khat,
        quantities,
        parameters,
        reasons,
        advice,
        warnings,
        params,
        draws: kept,
        trace: training.trace,
        method,
        saved,
    })
}

/// Latents of a derived factorised guide with their standard deviations over the posterior's near the guide.
fn narrow(trainer: &mut Trainer<'_>, params: &[f64]) -> Vec<(String, f64)> {
    let seed = trainer.config.seed;
    let bound = &trainer.lines[0].bound;
    let n = bound.latent_len();
    let Some((location, scale)) = whiten::gaussian_blocks(bound.params()) else { return Vec::new() };
    if trainer.lines.len() > 1 || location.len != n || !whiten::factorised(bound.params()) {
        return Vec::new();
    }
    let mut names: Vec<String> = bound.quantities().iter().filter(|q| q.latent).map(|q| q.name.clone()).collect();
    if names.len() != n {
        // Some latent has another number of unconstrained coordinates than of scalars.
        names = (0..n).map(|i| format!("unconstrained latent {i}")).collect();
    }
    let at = params[location.offset..location.offset + n].to_vec();
    let sds: Vec<f64> = params[scale.offset..scale.offset + n].iter().map(|s| s.exp()).collect();
    let (bound, observer) = trainer.parts(0);
    let ratios = fixed_point::narrowness(&mut path::Surface::new(bound, observer), &at, &sds, seed);
    ratios.map_or(Vec::new(), |ratios| names.into_iter().zip(ratios).collect())
}

/// What must be the same for a run to go on.
fn header(trainer: &Trainer<'_>) -> String {
    let mut text = format!("seed {} program {:016x}", trainer.config.seed, trainer.config.fingerprint);
    for line in &trainer.lines {
        text.push_str(&format!("; {:?} particles {}", line.choice, line.bound.particles()));
        for block in line.bound.params() {
            text.push_str(&format!(" {}[{}]{}", block.name, block.len, if block.trained { "" } else { " held" }));
        }
    }
    text
}

fn save_members(members: &[usize], method: &[String], into: &mut Saved) {
    into.count(members.len());
    members.iter().for_each(|m| into.count(*m));
    into.count(method.len());
    method.iter().for_each(|m| into.text(m));
}

/// Whether training is of the declared parameters, with no search for a start and no whitening: several lines step together,
/// or plain ascent or a pull of the parameters towards 0 was asked for.
fn declared(trainer: &Trainer<'_>) -> bool {
    let decays = |rule: &Rule| matches!(rule, Rule::Adam { decay, .. } | Rule::Lion { decay, .. } if *decay > 0.0);
    trainer.lines.len() > 1 || trainer.lines.iter().any(|line| line.choice.constant || decays(&line.choice.rule))
}

/// Parameters that a search may move: the trained ones whose role is not known.
fn searched(trainer: &Trainer<'_>) -> Vec<usize> {
    if declared(trainer) {
        return Vec::new();
    }
    let blocks = trainer.lines[0].bound.params();
    let gaussian = whiten::gaussian_blocks(blocks).is_some();
    // A bent guide is searched as a whole, where it is small enough.
    let bent = blocks.iter().any(|b| matches!(b.role, ParamRole::Loadings | ParamRole::Shape));
    let whole = bent && trainer.param_len() <= newton::MOST_PARAMS;
    let members = blocks.iter().filter(|b| b.trained && (b.role == ParamRole::Free || !gaussian || whole));
    members.flat_map(|b| b.offset..b.offset + b.len).collect()
}

type Begun = (Training, Vec<usize>, Vec<String>);

/// A new run: its start, and the coordinates of training.
fn begun(trainer: &mut Trainer<'_>) -> Result<Begun, Stopped> {
    let blocks = trainer.lines[0].bound.params().to_vec();
    let mut params = trainer.lines[0].bound.initial_params().to_vec();
    let mut method = Vec::new();
    let describe = |trainer: &Trainer<'_>, how: &str| {
        let rules: Vec<String> =
            trainer.lines.iter().map(|l| format!("{}({})", l.choice.rule.name(), l.choice.rate)).collect();
        format!("training: {} in {how} coordinates", rules.join(", "))
    };
    if declared(trainer) {
        method.push("start: as declared".to_string());
        method.push(describe(trainer, "declared"));
        let coordinates = Coordinates::declared(&params);
        return Ok((Training::new(trainer, coordinates, params), Vec::new(), method));
    }
    if trainer.lines[0].bound.at_mode() {
        return standing(trainer, &blocks, params);
    }
    let gaussian = whiten::gaussian_blocks(&blocks);
    let bent = blocks.iter().any(|b| matches!(b.role, ParamRole::Loadings | ParamRole::Shape));
    let mut reference = None;
    let mut polished = false;
    let seed = trainer.config.seed;
    if let Some((location, scale)) = gaussian
        && trainer.lines[0].bound.latent_len() == location.len
        && !location.explicit
        && !scale.explicit
    {
        let (bound, observer) = trainer.parts(0);
        if let Some(start) = path::start(bound, seed, observer, scale.role == ParamRole::LogScale) {
            method.push(format!("start: {}", start.description));
            polished = start.polished && !bent;
            if let Some(rival) = start.rival {
                method.push(format!("another local optimum has ELBO {rival:.2}"));
            }
            start.write(location, scale, &mut params);
            blocks.iter().filter(|b| b.role == ParamRole::Loadings).for_each(|b| start.load(b, &mut params));
            reference = Some(start.factor);
        } else {
            method.push("start: as declared (no path reached a finite density)".to_string());
        }
    }
    let members = searched(trainer);
    let mut free = None;
    if !members.is_empty()
        && let Some(found) = newton::search_from_several(trainer, &mut params, &members, bent)
    {
        method.push(format!("start of {} parameters: {}", members.len(), found.description));
        free = Some((&members[..], found));
    }
    let coordinates = Coordinates::new(&blocks, &params, reference.as_deref(), free);
    method.push(describe(trainer, if coordinates.whitened { "whitened" } else { "declared" }));
    let whitened = coordinates.whitened;
    let mut training = Training::new(trainer, coordinates, params);
    // Worth it where a step is dear.
    if polished && whitened && trainer.param_len() >= LOOKED_AT {
        let loss = training.look(trainer);
        let tolerance = stop::tolerance(trainer.param_len()).min(MOST_LOSS);
        let near = loss.mean < tolerance.max(2.0 * loss.mcse) && loss.mcse < MOST_LOSS;
        if near && trainer.param_len() <= MANY && loss.mean > LEAST_LOSS.max(2.0 * loss.mcse) {
            training.begin_near();
        } else if near {
            method.push(format!(
                "no training: by the objective's own gradient the start is {:.3} ± {:.3} from the optimum",
                loss.mean.max(0.0),
                loss.mcse
            ));
            training.settle();
        }
    }
    Ok((training, members, method))
}

/// A guide at the mode: the Gaussian of the curvature there.
fn standing(trainer: &mut Trainer<'_>, blocks: &[ParamBlock], mut params: Vec<f64>) -> Result<Begun, Stopped> {
    let seed = trainer.config.seed;
    let (bound, observer) = trainer.parts(0);
    let gaussian = whiten::gaussian_blocks(blocks).filter(|(location, _)| location.len == bound.latent_len());
    let Some((location, scale)) = gaussian else { return Err(Stopped::NoMode) };
    let Some(start) = path::mode(bound, seed, observer) else { return Err(Stopped::NoMode) };
    start.write(location, scale, &mut params);
    let method = vec![start.description, "no training: the guide is the curvature at the mode".to_string()];
    let coordinates = Coordinates::new(blocks, &params, Some(&start.factor), None);
    let mut training = Training::new(trainer, coordinates, params);
    training.settle();
    Ok((training, Vec::new(), method))
}

/// Parameters from which on a start is looked at before it is trained, and the loss that it may have.
const LOOKED_AT: usize = 300;
const MOST_LOSS: f64 = 0.03;
/// A loss that is surely more is trained away, where that is not too dear.
const LEAST_LOSS: f64 = 0.002;

/// The run that was kept, at the step where it stood.
fn resumed(trainer: &mut Trainer<'_>, saved: &Saved, header: &str) -> Option<Begun> {
    let mut from = saved.reader();
    if from.text()? != header {
        return None;
    }
    let members = (0..from.count()?).map(|_| from.count()).collect::<Option<Vec<usize>>>()?;
    let method = (0..from.count()?).map(|_| from.text()).collect::<Option<Vec<String>>>()?;
    let bound = &trainer.lines[0].bound;
    let params = bound.initial_params().to_vec();
    if members != searched(trainer) {
        return None;
    }
    let coordinates = if declared(trainer) {
        Coordinates::declared(&params)
    } else {
        Coordinates::new(bound.params(), &params, None, None)
    };
    let mut training = Training::new(trainer, coordinates, params);
    training.restore(trainer, &mut from)?;
    from.done().then_some((training, members, method))
}

/// Parameters times evaluations of the final objective.
const MOST_WORK: usize = 100_000_000;

/// A line's objective at the end: more evaluations until its error is 0.004, or 30,000 of them (fewer of very many parameters); after
/// plain ascent, as many as draws were asked for.
fn final_objective(trainer: &mut Trainer<'_>, line: usize, params: &[f64], ending: Ending) -> Estimate {
    let own = &trainer.lines[line];
    let plain = own.choice.constant;
    let asked = trainer.config.draws.div_ceil(own.bound.particles().max(1));
    let most = match (ending == Ending::Cancelled, plain) {
        (true, _) => 1000,
        (false, true) => asked,
        (false, false) => (MOST_WORK / own.bound.param_len().max(1)).clamp(200, 30_000),
    };
    let mut values = Vec::new();
    let mut made = 0;
    while made < most {
        let count = (most - made).min(if most < 30_000 { 200 } else { 1000 });
        values.extend(trainer.values(line, params, count));
        made += count.max(trainer.lines[line].bound.epoch());
        if values.is_empty() {
            break;
        }
        let objective = Estimate::of(&values);
        let (step, max_steps) = (trainer.steps, trainer.config.max_steps);
        let progress = Progress { phase: Phase::Drawing, step, max_steps, objective };
        if (!plain && objective.mcse < 0.004) || trainer.watch(&progress) {
            break;
        }
    }
    if values.is_empty() { Estimate { mean: f64::NAN, mcse: f64::NAN } } else { Estimate::of(&values) }
}

/// Final draws from a line's guide; true if the observer cancelled (what was drawn is kept).
fn final_draws(trainer: &mut Trainer<'_>, line: usize, params: &[f64]) -> (Draws, bool) {
    const CHUNK: usize = 1000;
    let seed = trainer.config.seed;
    let names = trainer.lines[line].bound.quantities().to_vec();
    let width = names.len();
    let asked = trainer.config.draws;
    let wanted = if trainer.config.fewer { Draws::kept(width, asked) } else { asked };
    let stream = Stream { seed, step: trainer::DRAWS };
    let mut draws = Draws { names, ..Draws::default() };
    let kept = Draws::kept(width, wanted);
    let mut beyond = Vec::new();
    let mut first = 0;
    while first < wanted {
        let count = CHUNK.min(wanted - first);
        let keeps = first < kept;
        draws.log_weights.resize(first + count, 0.0);
        let values = if keeps {
            draws.values.resize((first + count) * width, 0.0);
            &mut draws.values[first * width..]
        } else {
            beyond.resize(count * width, 0.0);
            &mut beyond[..]
        };
        let weights = &mut draws.log_weights[first..];
        if !trainer.lines[line].bound.draws(params, stream, first, count, values, weights) {
            return (Draws::default(), false);
        }
        if kept < wanted {
            let rows = if keeps { draws.values[first * width..].to_vec() } else { std::mem::take(&mut beyond) };
            draws.add(&rows);
        }
        first += count;
        let objective = Estimate { mean: f64::NAN, mcse: f64::NAN };
        let progress = Progress { phase: Phase::Drawing, step: first, max_steps: wanted, objective };
        if trainer.watch(&progress) && first < wanted {
            return (draws, true);
        }
    }
    (draws, false)
}
