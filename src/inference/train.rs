//! Training: epochs of stochastic ascent in training coordinates, with a decaying step size, averaged iterates and the
//! stopping rule. A step whose value or gradient is not finite, or that reports a status, moves nothing; after many of
//! them in a row the epoch goes back to its start with a smaller step; when that does not help, training fails. Where a
//! line asks for a constant step, it is plain ascent of the declared parameters, and an epoch is only a place to look from.
//! Invariant: the limit of steps cuts a run and changes nothing before the cut, so that a run can be saved and go on.

use super::average::{Average, Recent};
use super::dense;
use super::fit::{Failure, Phase, Progress};
use super::newton;
use super::optimise::Optimiser;
use super::saved::{Reader, Saved};
use super::stop::{self, EpochReport};
use super::summary::Estimate;
use super::trainer::{Bad, Trainer};
use super::verdict::Ending;
use super::whiten::Coordinates;
use crate::runtime::executable::Status;

const BAD_IN_A_ROW: usize = 25;
const RETREATS: usize = 6;
/// Gradients are cut to this many times their typical norm: rare enough that heavy tails, which carry weight in the mean, stay.
const CLIP: f64 = 1000.0;
/// Streams that measure the gradient's noise, the variance per element that a step is averaged down to, and at how many at most.
const NOISE_PROBES: usize = 64;
const STEP_VARIANCE: f64 = 0.04;
const MOST_REPEATS: usize = 32;
/// Batches of streams in which the gradient at a start is measured, and how large they grow to an error of the loss that is small
/// enough.
const LOOKS: usize = 8;
const FIRST_STREAMS: usize = 6;
const LOOK_STREAMS: usize = 48;
const LOOK_ERROR: f64 = 0.01;
/// Parameters up to which a start is looked at more closely: in a long valley the loss that one step can see is small.
pub(crate) const MANY: usize = 20_000;
const CLOSE_LOOK_ERROR: f64 = 0.001;
/// A start that looked like the optimum is left only for a gain of so much, measured on so many streams: else training has
/// but added its noise.
const WORTH: f64 = 0.05;
const WORTH_STREAMS: usize = 1000;
/// Epochs after which a search may be repeated.
const SEARCHED_EPOCHS: usize = 9;

/// What one line's updates carry on.
struct Climber {
    optimiser: Box<dyn Optimiser>,
    typical_norm: f64,
    /// The line's runs of coordinates, side by side, if they are not all.
    u: Vec<f64>,
    gradient: Vec<f64>,
}

/// A run of training, at any step between its start and its end.
pub(crate) struct Training {
    coordinates: Coordinates,
    /// Parameters at the start of the epoch.
    centre: Vec<f64>,
    u: Vec<f64>,
    climbers: Vec<Climber>,
    average: Average,
    recent: Recent,
    epoch: usize,
    /// Updates made of the epoch's.
    t: usize,
    /// 0: the epoch has not begun.
    length: usize,
    /// Streams that an update averages.
    repeats: usize,
    damping: f64,
    retreats: usize,
    bad_in_a_row: usize,
    noise_before: f64,
    settled: bool,
    /// A start that was near the optimum, as far as a look could tell; else empty.
    near: Vec<f64>,
    /// `(steps, objective)` at the ends of epochs.
    pub(crate) trace: Vec<(usize, f64)>,
}

impl Training {
    pub(crate) fn new(trainer: &Trainer<'_>, mut coordinates: Coordinates, start: Vec<f64>) -> Training {
        coordinates.recentre(&start);
        let len = start.len();
        let climbers = trainer.lines.iter().map(|line| {
            let own: usize = line.runs.iter().map(|(from, to)| to - from).sum();
            let side = if own == len { 0 } else { own };
            Climber {
                optimiser: line.choice.rule.start(own),
                typical_norm: f64::NAN,
                u: vec![0.0; side],
                gradient: vec![0.0; side],
            }
        });
        Training {
            u: coordinates.origin(),
            coordinates,
            climbers: climbers.collect(),
            centre: start,
            average: Average::new(len, 0),
            recent: Recent::default(),
            epoch: 0,
            t: 0,
            length: 0,
            repeats: 1,
            damping: 1.0,
            retreats: 0,
            bad_in_a_row: 0,
            noise_before: f64::INFINITY,
            settled: false,
            near: Vec::new(),
            trace: Vec::new(),
        }
    }

    /// Whether the start is the optimum already: half the squared gradient in whitened coordinates, which is the loss there, from
    /// products of independent batches, so that noise adds nothing in the mean. Returns it with its error.
    pub(crate) fn look(&mut self, trainer: &mut Trainer<'_>) -> Estimate {
        let len = self.u.len();
        let u = self.coordinates.origin();
        let (mut gradient, mut mean, mut pulled) = (vec![0.0; len], vec![0.0; len], vec![0.0; len]);
        let mut batches: Vec<Vec<f64>> = vec![vec![0.0; len]; LOOKS];
        let (mut streams, mut more) = (0, FIRST_STREAMS);
        loop {
            for batch in &mut batches {
                mean.fill(0.0);
                let first = trainer.fresh(more);
                for stream in 0..more as u32 {
                    trainer.evaluate(0, &self.centre, first + stream, &mut gradient);
                    mean.iter_mut().zip(&gradient).for_each(|(m, g)| *m += g);
                }
                self.coordinates.pull(&u, &self.centre, &mean, &mut pulled);
                batch.iter_mut().zip(&pulled).for_each(|(b, p)| *b += p);
            }
            streams += more;
            let scale = 0.5 / (streams * streams) as f64;
            let mut products = Vec::new();
            for i in 0..batches.len() {
                for j in 0..i {
                    products.push(scale * dense::dot(&batches[i], &batches[j]));
                }
            }
            let loss = Estimate::of(&products);
            let enough = if len > MANY { LOOK_ERROR } else { CLOSE_LOOK_ERROR };
            if loss.mcse < enough || streams >= LOOK_STREAMS || trainer.cancelled {
                return loss;
            }
            more = streams;
        }
    }

    /// The start is near the optimum, but maybe in a valley: it is left only for a gain.
    pub(crate) fn begin_near(&mut self) {
        self.near = self.centre.clone();
    }

    /// The start is where training would end.
    pub(crate) fn settle(&mut self) {
        self.settled = true;
    }

    pub(crate) fn save(&self, trainer: &Trainer<'_>, into: &mut Saved) {
        trainer.save(into);
        self.coordinates.save(into);
        into.reals(&self.centre);
        into.reals(&self.u);
        for climber in &self.climbers {
            climber.optimiser.save(into);
            into.real(climber.typical_norm);
        }
        self.average.save(into);
        for count in [self.epoch, self.t, self.length, self.repeats, self.retreats, self.bad_in_a_row] {
            into.count(count);
        }
        into.real(self.damping);
        into.real(self.noise_before);
        into.count(usize::from(self.settled));
        into.reals(&self.near);
        into.count(self.trace.len());
        for (step, value) in &self.trace {
            into.count(*step);
            into.real(*value);
        }
    }

    /// Into a new run over the same parameters.
    pub(crate) fn restore(&mut self, trainer: &mut Trainer<'_>, from: &mut Reader<'_>) -> Option<()> {
        trainer.restore(from)?;
        self.coordinates.restore(from)?;
        from.reals_into(&mut self.centre)?;
        from.reals_into(&mut self.u)?;
        for climber in &mut self.climbers {
            climber.optimiser.restore(from)?;
            climber.typical_norm = from.real()?;
        }
        self.average = Average::restore(self.u.len(), from)?;
        for count in [
            &mut self.epoch,
            &mut self.t,
            &mut self.length,
            &mut self.repeats,
            &mut self.retreats,
            &mut self.bad_in_a_row,
        ] {
            *count = from.count()?;
        }
        self.damping = from.real()?;
        self.noise_before = from.real()?;
        self.settled = from.count()? == 1;
        self.near = from.reals()?;
        self.trace.clear();
        for _ in 0..from.count()? {
            self.trace.push((from.count()?, from.real()?));
        }
        let whole = self.near.is_empty() || self.near.len() == self.centre.len();
        (self.repeats > 0 && whole).then_some(())
    }

    /// Goes on until the stopping rule holds, the limit of steps comes, or the observer cancels. After an epoch that still
    /// gained much, the `searched` parameters are searched again from where it came to.
    pub(crate) fn run(&mut self, trainer: &mut Trainer<'_>, searched: &[usize]) -> Result<Ending, Failure> {
        let len = self.u.len();
        let (mut params, mut mean_gradient, mut u_gradient) = (vec![0.0; len], vec![0.0; len], vec![0.0; len]);
        loop {
            if self.settled {
                return Ok(Ending::Settled);
            }
            if self.length == 0 {
                self.begin(trainer);
            }
            while self.t < self.length {
                if trainer.steps + self.repeats > trainer.config.max_steps {
                    return Ok(Ending::StepLimit);
                }
                self.update(trainer, &mut params, &mut mean_gradient, &mut u_gradient)?;
                self.average.push(self.t, &self.u);
                self.t += 1;
                if self.t.is_multiple_of(16) && trainer.watch(&self.progress(trainer)) {
                    return Ok(Ending::Cancelled);
                }
            }
            let mut before = Saved::default();
            self.save(trainer, &mut before);
            self.end(trainer, searched);
            if trainer.cancelled {
                // The end of an epoch is one piece.
                let _ = self.restore(trainer, &mut before.reader());
                return Ok(Ending::Cancelled);
            }
        }
    }

    fn progress(&self, trainer: &Trainer<'_>) -> Progress {
        Progress {
            phase: Phase::Training,
            step: trainer.steps,
            max_steps: trainer.config.max_steps,
            objective: self.recent.estimate(),
        }
    }

    fn begin(&mut self, trainer: &mut Trainer<'_>) {
        self.repeats = if self.coordinates.whitened { self.wanted_repeats(trainer) } else { 1 };
        self.length = stop::FIRST_EPOCH << self.epoch.min(40);
        self.t = 0;
        self.average = Average::new(self.u.len(), self.length);
        self.recent = Recent::default();
        for (climber, line) in self.climbers.iter_mut().zip(&trainer.lines) {
            climber.typical_norm = f64::NAN;
            if !line.choice.constant {
                climber.optimiser.reset();
            }
        }
    }

    /// One update of all lines, at the same parameters.
    fn update(
        &mut self,
        trainer: &mut Trainer<'_>,
        params: &mut [f64],
        mean_gradient: &mut [f64],
        u_gradient: &mut [f64],
    ) -> Result<(), Failure> {
        let step = trainer.steps;
        self.coordinates.params(&self.u, params);
        let (value, bad) = trainer.mean_step(params, self.repeats, mean_gradient);
        self.coordinates.pull(&self.u, params, mean_gradient, u_gradient);
        if bad.is_some() || !dense::all_finite(u_gradient) {
            self.bad_in_a_row += 1;
            if self.bad_in_a_row >= BAD_IN_A_ROW {
                self.retreats += 1;
                let plain = trainer.lines.iter().any(|line| line.choice.constant);
                if self.retreats > RETREATS || plain {
                    let here = Bad { step: step as u32, status: Status::Fine, value, line: 0 };
                    return Err(trainer.failure(bad.unwrap_or(here), params));
                }
                self.damping *= 0.5;
                self.bad_in_a_row = 0;
                self.u = self.coordinates.origin();
                self.climbers.iter_mut().for_each(|c| c.optimiser.reset());
            }
            return Ok(());
        }
        self.bad_in_a_row = 0;
        self.recent.push(value);
        for (climber, line) in self.climbers.iter_mut().zip(&trainer.lines) {
            let choice = &line.choice;
            let rate = match &choice.schedule {
                Some(schedule) => choice.rate * schedule.factor(step),
                None if choice.constant => choice.rate,
                None => decayed(choice.rate * 0.5f64.powf(0.5 * self.epoch as f64), self.t, self.length),
            };
            let rate = self.damping * rate;
            let whole = climber.u.is_empty();
            if whole {
                climber.climb(choice, &mut self.u, u_gradient, rate);
                continue;
            }
            let (mut u, mut g) = (std::mem::take(&mut climber.u), std::mem::take(&mut climber.gradient));
            gather(&line.runs, &self.u, &mut u);
            gather(&line.runs, u_gradient, &mut g);
            climber.climb(choice, &mut u, &mut g, rate);
            scatter(&line.runs, &u, &mut self.u);
            (climber.u, climber.gradient) = (u, g);
        }
        trainer.tune();
        Ok(())
    }

    /// Ends the epoch: moves the centre to the average, and looks whether that still gained.
    fn end(&mut self, trainer: &mut Trainer<'_>, searched: &[usize]) {
        let len = self.u.len();
        let tolerance = stop::tolerance(len);
        let (mut reached, noise) = self.average.finish();
        let mut plain = false;
        for line in trainer.lines.iter().filter(|line| line.choice.constant) {
            plain = true;
            line.runs.iter().for_each(|&(from, to)| reached[from..to].copy_from_slice(&self.u[from..to]));
        }
        let mut params = vec![0.0; len];
        self.coordinates.params(&reached, &mut params);
        let count = (self.length / 4).clamp(50, 400);
        let mut settled = true;
        let (mut worse, mut gained) = (false, 0.0f64);
        let drift = self.coordinates.whitened.then(|| 0.5 * dense::dot(&reached, &reached));
        let several = trainer.lines.len() > 1;
        for line in 0..trainer.lines.len() {
            let (mut gain, level) = trainer.gain(line, &self.centre, &params, count);
            if line == 0 {
                self.trace.push((trainer.steps, level));
            }
            worse |= !gain.mean.is_finite() || gain.mean < -(3.0 * gain.mcse + tolerance);
            gained = gained.max(gain.mean);
            if several {
                // What one line gains another may lose: settled is what no longer changes.
                gain.mean = gain.mean.abs();
            }
            let report = EpochReport { epoch: self.epoch, drift, noise, noise_before: self.noise_before, gain };
            settled &= stop::settled(&report, tolerance);
        }
        self.noise_before = noise;
        if worse && !plain && !several {
            self.damping *= 0.5;
            settled = false;
        } else {
            self.centre.copy_from_slice(&params);
            self.coordinates.recentre(&self.centre);
        }
        self.epoch += 1;
        self.length = 0;
        self.t = 0;
        self.u = self.coordinates.origin();
        let moving = gained > 0.5 || drift.is_some_and(|d| d - noise > 1.0);
        if moving && self.epoch <= SEARCHED_EPOCHS && !searched.is_empty() {
            let mut moved = self.centre.clone();
            if let Some(found) = newton::search(trainer, &mut moved, searched) {
                let (gain, _) = trainer.gain(0, &self.centre, &moved, count);
                if gain.mean > -2.0 * gain.mcse {
                    self.centre = moved;
                }
                self.coordinates.set_linear(searched, found);
                self.coordinates.recentre(&self.centre);
                self.noise_before = f64::INFINITY;
            }
            return;
        }
        // Plain ascent of so many steps is done when they are made.
        self.settled = settled && !(plain && trainer.config.exact);
    }

    /// The parameters to report: those of the last average that did not lose against the one before.
    pub(crate) fn reached(&mut self, trainer: &mut Trainer<'_>, ending: Ending) -> Vec<f64> {
        let params = self.trained(trainer, ending);
        if self.near.is_empty() || ending != Ending::Settled {
            return params;
        }
        let gain = trainer.gain(0, &self.near, &params, WORTH_STREAMS).0;
        if gain.mean > WORTH.max(2.0 * gain.mcse) { params } else { self.near.clone() }
    }

    fn trained(&mut self, trainer: &mut Trainer<'_>, ending: Ending) -> Vec<f64> {
        if ending == Ending::Settled || self.t == 0 {
            return self.centre.clone();
        }
        let mut u = self.average.so_far().unwrap_or_else(|| self.u.clone());
        let mut plain = false;
        for line in trainer.lines.iter().filter(|line| line.choice.constant) {
            plain = true;
            line.runs.iter().for_each(|&(from, to)| u[from..to].copy_from_slice(&self.u[from..to]));
        }
        let mut params = vec![0.0; u.len()];
        self.coordinates.params(&u, &mut params);
        if plain || self.epoch == 0 {
            return params;
        }
        let count = (self.t / 4).clamp(50, 400);
        let lost = (0..trainer.lines.len()).any(|line| {
            let gain = trainer.gain(line, &self.centre, &params, count).0;
            !gain.mean.is_finite() || gain.mean < -2.0 * gain.mcse
        });
        if lost { self.centre.clone() } else { params }
    }

    /// Over how many streams a step should average: as many as bring the noise of an element of the whitened gradient to
    /// `STEP_VARIANCE`. Adaptive step sizes are biased by noise, the more so by noise with heavy tails; averaging first costs
    /// nothing, since a step's information is the same.
    fn wanted_repeats(&mut self, trainer: &mut Trainer<'_>) -> usize {
        let len = self.u.len();
        let u = vec![0.0; len];
        let (mut gradient, mut pulled) = (vec![0.0; len], vec![0.0; len]);
        let (mut sum, mut squares, mut count) = (vec![0.0; len], 0.0, 0.0);
        let first = trainer.fresh(NOISE_PROBES);
        for probe in 0..NOISE_PROBES as u32 {
            let value = trainer.evaluate(0, &self.centre, first + probe, &mut gradient);
            if value.is_finite() {
                self.coordinates.pull(&u, &self.centre, &gradient, &mut pulled);
                squares += dense::dot(&pulled, &pulled);
                sum.iter_mut().zip(&pulled).for_each(|(s, g)| *s += g);
                count += 1.0;
            }
        }
        if count < 2.0 {
            return 1;
        }
        let variance = (squares - dense::dot(&sum, &sum) / count) / (count - 1.0) / len as f64;
        let wanted = (variance / STEP_VARIANCE).clamp(1.0, MOST_REPEATS as f64);
        if wanted.is_finite() { wanted.ceil() as usize } else { 1 }
    }
}

impl Climber {
    fn climb(&mut self, choice: &super::optimise::Choice, u: &mut [f64], gradient: &mut [f64], rate: f64) {
        let mut most = choice.clip.unwrap_or(f64::INFINITY);
        let norm = dense::norm(gradient);
        if !choice.constant {
            self.typical_norm = if self.typical_norm.is_nan() {
                norm
            } else if norm > self.typical_norm {
                self.typical_norm * 1.05
            } else {
                self.typical_norm / 1.05
            };
            most = most.min(CLIP * self.typical_norm);
        }
        if norm > most {
            let shrink = most / norm;
            gradient.iter_mut().for_each(|g| *g *= shrink);
        }
        self.optimiser.ascend(u, gradient, rate);
    }
}

fn gather(runs: &[(usize, usize)], all: &[f64], own: &mut [f64]) {
    let mut at = 0;
    for &(from, to) in runs {
        own[at..at + to - from].copy_from_slice(&all[from..to]);
        at += to - from;
    }
}

fn scatter(runs: &[(usize, usize)], own: &[f64], all: &mut [f64]) {
    let mut at = 0;
    for &(from, to) in runs {
        all[from..to].copy_from_slice(&own[at..at + to - from]);
        at += to - from;
    }
}

/// Cosine from `first` to a tenth of it over an epoch.
fn decayed(first: f64, t: usize, length: usize) -> f64 {
    let done = t as f64 / length as f64;
    first * (0.1 + 0.9 * 0.5 * (1.0 + (std::f64::consts::PI * done).cos()))
}
