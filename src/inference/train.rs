//! Training: epochs of stochastic ascent in training coordinates, with a decaying step size, averaged iterates and the
//! stopping rule. A step whose value or gradient is not finite, or that reports a status, moves nothing; after many of
//! them in a row the epoch goes back to its start with a smaller step; when that does not help, training fails.

use super::bound::Bound;
use super::fit::{Config, Control, Failure, Observer, Phase, Progress};
use super::optimise::Rule;
use super::stop::{self, EpochReport};
use super::summary::Estimate;
use super::verdict::Ending;
use super::whiten::Coordinates;
use super::{dense, newton, optimise};
use crate::runtime::executable::{Status, Stream};

/// Step numbers from here on are evaluations at fixed parameters, never training.
const EVALUATION: u32 = 0x8000_0000;
/// Step numbers of the fixed samples that a deterministic search holds.
pub(crate) const FIXED: u32 = 0xC000_0000;
/// Step number of the final draws.
pub(crate) const DRAWS: u32 = 0xF000_0000;
const BATCHES: usize = 10;
const BAD_IN_A_ROW: usize = 25;
const RETREATS: usize = 6;
/// Gradients are cut to this many times their typical norm: rare enough that heavy tails, which carry weight in the mean, stay.
const CLIP: f64 = 1000.0;
/// Streams that measure the gradient's noise, the variance per element that a step is averaged down to, and at how many at most.
const NOISE_PROBES: u32 = 64;
const STEP_VARIANCE: f64 = 0.04;
const MOST_REPEATS: usize = 32;
/// Epochs after which a search may be repeated.
const SEARCHED_EPOCHS: usize = 9;

pub(crate) struct Trainer<'a> {
    pub(crate) bound: &'a mut dyn Bound,
    pub(crate) config: &'a Config,
    pub(crate) observer: &'a mut dyn Observer,
    pub(crate) tuned: Vec<f64>,
    pub(crate) state: Vec<f64>,
    next_state: Vec<f64>,
    tuned_gradient: Vec<f64>,
    gradient: Vec<f64>,
    pub(crate) steps: usize,
    evaluations: u32,
    pub(crate) skipped: usize,
}

/// Where training ended.
pub(crate) struct Trained {
    pub(crate) params: Vec<f64>,
    pub(crate) ending: Ending,
    /// `(steps, objective)` at the end of each epoch.
    pub(crate) trace: Vec<(usize, f64)>,
}

/// A bad step: where, and how it ended.
#[derive(Clone, Copy)]
struct Bad {
    step: u32,
    status: Status,
    value: f64,
}

impl<'a> Trainer<'a> {
    pub(crate) fn new(bound: &'a mut dyn Bound, config: &'a Config, observer: &'a mut dyn Observer) -> Trainer<'a> {
        let (tuned, state) = (bound.initial_tuned().to_vec(), bound.initial_state().to_vec());
        Trainer {
            next_state: vec![0.0; bound.state_len()],
            tuned_gradient: vec![0.0; bound.tuned_len()],
            gradient: vec![0.0; bound.param_len()],
            bound,
            config,
            observer,
            tuned,
            state,
            steps: 0,
            evaluations: 0,
            skipped: 0,
        }
    }

    /// The objective and its gradient on stream `step`, state held.
    pub(crate) fn evaluate(&mut self, params: &[f64], step: u32, gradient: &mut [f64]) -> f64 {
        let stream = Stream { seed: self.config.seed, step };
        let (value, status) = self.bound.step(
            params,
            &self.tuned,
            &self.state,
            stream,
            gradient,
            &mut self.tuned_gradient,
            &mut self.next_state,
        );
        if status == Status::Fine && dense::all_finite(gradient) { value } else { f64::NAN }
    }

    /// Values on some `count` fresh streams; those that are not finite are left out. Where plates are subsampled, each is the
    /// mean over an epoch, so that all rows count in it.
    pub(crate) fn values(&mut self, params: &[f64], count: usize) -> Vec<f64> {
        let epoch = self.bound.epoch();
        let passed = EVALUATION.wrapping_add(self.evaluations) as usize % epoch;
        let first = self.evaluations + if passed == 0 { 0 } else { (epoch - passed) as u32 };
        let count = count.div_ceil(epoch) * epoch;
        self.evaluations = first + count as u32;
        let values = self.values_at(params, first, count);
        let mean = |part: &[f64]| part.iter().sum::<f64>() / epoch as f64;
        values.chunks(epoch).map(mean).filter(|v| v.is_finite()).collect()
    }

    fn values_at(&mut self, params: &[f64], first: u32, count: usize) -> Vec<f64> {
        let mut gradient = vec![0.0; params.len()];
        (0..count as u32).map(|i| self.evaluate(params, EVALUATION + first + i, &mut gradient)).collect()
    }

    /// Objective at `after` minus at `before`, on shared random numbers.
    fn gain(&mut self, before: &[f64], after: &[f64], count: usize) -> (Estimate, f64) {
        let first = self.evaluations;
        self.evaluations += count as u32;
        let (old, new) = (self.values_at(before, first, count), self.values_at(after, first, count));
        let pairs: Vec<f64> = new.iter().zip(&old).map(|(a, b)| a - b).filter(|d| d.is_finite()).collect();
        let level: Vec<f64> = new.into_iter().filter(|v| v.is_finite()).collect();
        (Estimate::of(&pairs), Estimate::of(&level).mean)
    }

    /// From `start` until the stopping rule holds, the limit of steps comes, or the observer cancels.
    /// After an epoch that still gained much, the `searched` parameters are searched again from where it came to.
    pub(crate) fn run(
        &mut self,
        mut coordinates: Coordinates,
        start: Vec<f64>,
        searched: &[usize],
    ) -> Result<Trained, Failure> {
        let len = start.len();
        let choice = self.config.optimiser.unwrap_or_default();
        let tolerance = stop::tolerance(len);
        let mut tuner = optimise::Choice::default().rule.start(self.tuned.len());
        let mut optimiser = choice.rule.start(len);
        let mut centre = start;
        coordinates.recentre(&centre);
        let mut noise_before = f64::INFINITY;
        let mut trace = Vec::new();
        let mut retreats = 0;
        let mut damping = 1.0;
        let (mut params, mut u_gradient, mut mean_gradient) = (centre.clone(), vec![0.0; len], vec![0.0; len]);
        for epoch in 0.. {
            let repeats =
                if choice.constant || !coordinates.whitened { 1 } else { self.repeats(&mut coordinates, &centre) };
            let left = self.config.max_steps.saturating_sub(self.steps) / repeats;
            let length = (stop::FIRST_EPOCH << epoch.min(40)).min(left);
            if length == 0 {
                return Ok(Trained { params: centre, ending: Ending::StepLimit, trace });
            }
            let first_rate = if choice.constant { choice.rate } else { choice.rate * 0.5f64.powf(0.5 * epoch as f64) };
            optimiser.reset();
            let mut u = vec![0.0; len];
            let mut average = Average::new(len, length);
            let mut recent = Recent::default();
            let mut typical_norm = f64::NAN;
            let mut bad_in_a_row = 0;
            for t in 0..length {
                coordinates.params(&u, &mut params);
                let (value, bad) = self.mean_step(&params, repeats, &mut mean_gradient);
                coordinates.pull(&u, &params, &mean_gradient, &mut u_gradient);
                let norm = dense::norm(&u_gradient);
                if bad.is_some() || !norm.is_finite() {
                    bad_in_a_row += 1;
                    if bad_in_a_row >= BAD_IN_A_ROW {
                        retreats += 1;
                        if retreats > RETREATS {
                            let step = self.steps as u32 - 1;
                            return Err(self.failure(bad.unwrap_or(Bad { step, status: Status::Fine, value })));
                        }
                        damping *= 0.5;
                        bad_in_a_row = 0;
                        u.fill(0.0);
                        optimiser.reset();
                    }
                } else {
                    bad_in_a_row = 0;
                    recent.push(value);
                    typical_norm = if typical_norm.is_nan() {
                        norm
                    } else if norm > typical_norm {
                        typical_norm * 1.05
                    } else {
                        typical_norm / 1.05
                    };
                    if norm > CLIP * typical_norm {
                        let shrink = CLIP * typical_norm / norm;
                        u_gradient.iter_mut().for_each(|g| *g *= shrink);
                    }
                    let rate = if choice.constant { first_rate } else { decayed(first_rate, t, length) };
                    optimiser.ascend(&mut u, &u_gradient, damping * rate);
                    if !self.tuned.is_empty() && dense::all_finite(&self.tuned_gradient) {
                        self.tuned_gradient.iter_mut().for_each(|g| *g = -*g);
                        tuner.ascend(&mut self.tuned, &self.tuned_gradient, 0.01);
                    }
                }
                average.push(t, &u);
                if (t + 1).is_multiple_of(16) {
                    let progress = Progress {
                        phase: Phase::Training,
                        step: self.steps,
                        max_steps: self.config.max_steps,
                        objective: recent.estimate(),
                    };
                    if self.observer.progress(&progress) == Control::Cancel {
                        let reached = if epoch == 0 || choice.constant { u } else { vec![0.0; len] };
                        coordinates.params(&reached, &mut params);
                        return Ok(Trained { params, ending: Ending::Cancelled, trace });
                    }
                }
            }
            let (mean, noise) = average.finish();
            coordinates.params(&mean, &mut params);
            let count = (length / 4).clamp(50, 400);
            let (gain, level) = self.gain(&centre, &params, count);
            trace.push((self.steps, level));
            let drift = coordinates.whitened.then(|| 0.5 * dense::dot(&mean, &mean));
            let report = EpochReport { epoch, drift, noise, noise_before, gain };
            noise_before = noise;
            let worse = !gain.mean.is_finite() || gain.mean < -(3.0 * gain.mcse + tolerance);
            if choice.constant {
                coordinates.params(&u, &mut params);
            }
            if worse && !choice.constant {
                damping *= 0.5;
            } else {
                centre.copy_from_slice(&params);
                coordinates.recentre(&centre);
            }
            let moving = gain.mean > 0.5 || drift.is_some_and(|d| d - noise > 1.0);
            if moving && epoch < SEARCHED_EPOCHS && !searched.is_empty() {
                let mut moved = centre.clone();
                if let Some(found) = newton::search(self, &mut moved, searched) {
                    let (gain, _) = self.gain(&centre, &moved, count);
                    if gain.mean > -2.0 * gain.mcse {
                        centre = moved;
                    }
                    coordinates.set_linear(searched, found);
                    coordinates.recentre(&centre);
                    noise_before = f64::INFINITY;
                }
                continue;
            }
            if !worse && stop::settled(&report, tolerance) {
                return Ok(Trained { params: centre, ending: Ending::Settled, trace });
            }
        }
        Ok(Trained { params: centre, ending: Ending::StepLimit, trace })
    }

    /// One update's value and gradient: the mean over `repeats` streams, state carried from one to the next. Evaluations that are
    /// not finite are left out; the update is bad where they are the majority.
    fn mean_step(&mut self, params: &[f64], repeats: usize, mean: &mut [f64]) -> (f64, Option<Bad>) {
        let (mut total, mut good, mut bad) = (0.0, 0u32, None);
        mean.fill(0.0);
        for _ in 0..repeats {
            let step = self.steps as u32;
            let stream = Stream { seed: self.config.seed, step };
            let (value, status) = self.bound.step(
                params,
                &self.tuned,
                &self.state,
                stream,
                &mut self.gradient,
                &mut self.tuned_gradient,
                &mut self.next_state,
            );
            self.steps += 1;
            if status != Status::Fine || !value.is_finite() || !dense::all_finite(&self.gradient) {
                self.skipped += 1;
                bad = Some(Bad { step, status, value });
                continue;
            }
            good += 1;
            std::mem::swap(&mut self.state, &mut self.next_state);
            total += value;
            mean.iter_mut().zip(&self.gradient).for_each(|(m, g)| *m += g);
        }
        if 2 * (good as usize) < repeats {
            return (f64::NAN, bad);
        }
        let count = f64::from(good);
        mean.iter_mut().for_each(|m| *m /= count);
        (total / count, None)
    }

    /// Over how many streams a step should average: as many as bring the noise of an element of the whitened gradient to
    /// `STEP_VARIANCE`. Adaptive step sizes are biased by noise, the more so by noise with heavy tails; averaging first costs
    /// nothing, since a step's information is the same.
    fn repeats(&mut self, coordinates: &mut Coordinates, centre: &[f64]) -> usize {
        let len = centre.len();
        let u = vec![0.0; len];
        let (mut gradient, mut pulled) = (vec![0.0; len], vec![0.0; len]);
        let (mut sum, mut squares, mut count) = (vec![0.0; len], 0.0, 0.0);
        for probe in 0..NOISE_PROBES {
            let value = self.evaluate(centre, EVALUATION + self.evaluations + probe, &mut gradient);
            if value.is_finite() {
                coordinates.pull(&u, centre, &gradient, &mut pulled);
                squares += dense::dot(&pulled, &pulled);
                sum.iter_mut().zip(&pulled).for_each(|(s, g)| *s += g);
                count += 1.0;
            }
        }
        self.evaluations += NOISE_PROBES;
        if count < 2.0 {
            return 1;
        }
        let variance = (squares - dense::dot(&sum, &sum) / count) / (count - 1.0) / len as f64;
        let wanted = (variance / STEP_VARIANCE).clamp(1.0, MOST_REPEATS as f64);
        if wanted.is_finite() { wanted.ceil() as usize } else { 1 }
    }

    fn failure(&self, bad: Bad) -> Failure {
        Failure { seed: self.config.seed, step: bad.step, status: bad.status, value: bad.value }
    }
}

/// Cosine from `first` to a tenth of it over an epoch.
fn decayed(first: f64, t: usize, length: usize) -> f64 {
    let done = t as f64 / length as f64;
    first * (0.1 + 0.9 * 0.5 * (1.0 + (std::f64::consts::PI * done).cos()))
}

/// Average of the second half of an epoch's iterates, and its Monte Carlo error by batch means.
struct Average {
    from: usize,
    batch: usize,
    sums: Vec<Vec<f64>>,
    counts: Vec<usize>,
}

impl Average {
    fn new(len: usize, length: usize) -> Average {
        let from = length / 2;
        let batch = (length - from).div_ceil(BATCHES);
        Average { from, batch, sums: vec![vec![0.0; len]; BATCHES], counts: vec![0; BATCHES] }
    }

    fn push(&mut self, t: usize, u: &[f64]) {
        if t >= self.from {
            let index = (t - self.from) / self.batch;
            self.counts[index] += 1;
            self.sums[index].iter_mut().zip(u).for_each(|(s, x)| *s += x);
        }
    }

    /// The mean, and half the summed variance of its elements.
    fn finish(self) -> (Vec<f64>, f64) {
        let total: usize = self.counts.iter().sum();
        let len = self.sums[0].len();
        let mut mean = vec![0.0; len];
        for sums in &self.sums {
            mean.iter_mut().zip(sums).for_each(|(m, s)| *m += s / total as f64);
        }
        let used = self.counts.iter().filter(|c| **c > 0).count() as f64;
        let mut spread = 0.0;
        for (sums, count) in self.sums.iter().zip(&self.counts).filter(|(_, c)| **c > 0) {
            spread += sums.iter().zip(&mean).map(|(s, m)| (s / *count as f64 - m).powi(2)).sum::<f64>();
        }
        (mean, 0.5 * spread / (used * (used - 1.0).max(1.0)))
    }
}

/// Mean and error of the objective over the last few hundred steps, for progress.
#[derive(Default)]
struct Recent {
    values: Vec<f64>,
    next: usize,
}

impl Recent {
    const SIZE: usize = 256;

    fn push(&mut self, value: f64) {
        if self.values.len() < Recent::SIZE {
            self.values.push(value);
        } else {
            self.values[self.next] = value;
            self.next = (self.next + 1) % Recent::SIZE;
        }
    }

    fn estimate(&self) -> Estimate {
        if self.values.is_empty() { Estimate { mean: f64::NAN, mcse: f64::NAN } } else { Estimate::of(&self.values) }
    }
}

/// The rule's name, for reports.
pub(crate) fn rule_name(rule: Rule) -> &'static str {
    match rule {
        Rule::Adam => "adam",
        Rule::AdamW { .. } => "adamw",
        Rule::Sgd { .. } => "sgd",
        Rule::Adagrad => "adagrad",
        Rule::Rmsprop => "rmsprop",
    }
}
