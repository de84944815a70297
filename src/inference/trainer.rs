//! Evaluations of a fit's objectives: training steps, and evaluations at fixed parameters on streams that training never
//! meets. All lines of a fit share one vector of parameters.

use super::bound::Bound;
use super::dense;
use super::fit::{Config, Control, Failure, Line, Observer, Progress};
use super::optimise::{Choice, Optimiser};
use super::saved::{Reader, Saved};
use super::summary::Estimate;
use crate::runtime::executable::{Status, Stream};

/// Step numbers from here on are evaluations at fixed parameters, never training.
pub(crate) const EVALUATION: u32 = 0x8000_0000;
/// Step numbers of the fixed samples that a deterministic search holds.
pub(crate) const FIXED: u32 = 0xC000_0000;
/// Step number of the final draws.
pub(crate) const DRAWS: u32 = 0xF000_0000;
/// Step size of tuned parameters.
const TUNING_RATE: f64 = 0.01;

/// One line with what its steps carry from one to the next.
pub(crate) struct Objective<'a> {
    pub(crate) bound: &'a mut dyn Bound,
    pub(crate) choice: Choice,
    pub(crate) tuned: Vec<f64>,
    pub(crate) state: Vec<f64>,
    next_state: Vec<f64>,
    tuned_gradient: Vec<f64>,
    gradient: Vec<f64>,
    tuner: Box<dyn Optimiser>,
    /// Runs of parameters (first, end) that the line trains.
    pub(crate) runs: Vec<(usize, usize)>,
}

impl<'a> Objective<'a> {
    fn new(line: Line<'a>) -> Objective<'a> {
        let bound = line.bound;
        let (tuned, state) = (bound.initial_tuned().to_vec(), bound.initial_state().to_vec());
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for block in bound.params().iter().filter(|b| b.trained && b.len > 0) {
            match runs.last_mut() {
                Some(last) if last.1 == block.offset => last.1 += block.len,
                _ => runs.push((block.offset, block.offset + block.len)),
            }
        }
        Objective {
            next_state: vec![0.0; bound.state_len()],
            tuned_gradient: vec![0.0; bound.tuned_len()],
            gradient: vec![0.0; bound.param_len()],
            tuner: Choice::default().rule.start(tuned.len()),
            choice: line.optimiser.unwrap_or_default(),
            bound,
            tuned,
            state,
            runs,
        }
    }

    fn step(&mut self, params: &[f64], stream: Stream) -> (f64, Status) {
        self.bound.step(
            params,
            &self.tuned,
            &self.state,
            stream,
            &mut self.gradient,
            &mut self.tuned_gradient,
            &mut self.next_state,
        )
    }
}

/// A bad step: where, and how it ended.
#[derive(Clone, Copy)]
pub(crate) struct Bad {
    pub(crate) step: u32,
    pub(crate) status: Status,
    pub(crate) value: f64,
    pub(crate) line: usize,
}

pub(crate) struct Trainer<'a> {
    pub(crate) lines: Vec<Objective<'a>>,
    pub(crate) config: &'a Config,
    observer: &'a mut dyn Observer,
    /// The observer wants an end.
    pub(crate) cancelled: bool,
    pub(crate) steps: usize,
    evaluations: u32,
    pub(crate) skipped: usize,
}

impl<'a> Trainer<'a> {
    pub(crate) fn new(lines: Vec<Line<'a>>, config: &'a Config, observer: &'a mut dyn Observer) -> Trainer<'a> {
        let lines = lines.into_iter().map(Objective::new).collect();
        Trainer { lines, config, observer, cancelled: false, steps: 0, evaluations: 0, skipped: 0 }
    }

    pub(crate) fn param_len(&self) -> usize {
        self.lines[0].bound.param_len()
    }

    /// Tells the observer; true if it wants an end.
    pub(crate) fn watch(&mut self, progress: &Progress) -> bool {
        self.cancelled |= self.observer.progress(progress) == Control::Cancel;
        self.cancelled
    }

    /// A line's program and the observer, for a search of its own.
    pub(crate) fn parts(&mut self, line: usize) -> (&mut dyn Bound, &mut dyn Observer) {
        (&mut *self.lines[line].bound, &mut *self.observer)
    }

    /// A line's objective and its gradient on stream `step`, state held.
    pub(crate) fn evaluate(&mut self, line: usize, params: &[f64], step: u32, gradient: &mut [f64]) -> f64 {
        let stream = Stream { seed: self.config.seed, step };
        let line = &mut self.lines[line];
        let (value, status) = line.step(params, stream);
        gradient.copy_from_slice(&line.gradient);
        if status == Status::Fine && dense::all_finite(gradient) { value } else { f64::NAN }
    }

    /// Stream numbers for so many evaluations: the first.
    pub(crate) fn fresh(&mut self, count: usize) -> u32 {
        let first = self.evaluations;
        self.evaluations += count as u32;
        EVALUATION + first
    }

    /// Values on some `count` fresh streams; those that are not finite are left out. Where plates are subsampled, each is the
    /// mean over an epoch, so that all rows count in it.
    pub(crate) fn values(&mut self, line: usize, params: &[f64], count: usize) -> Vec<f64> {
        let epoch = self.lines[line].bound.epoch();
        let count = count.div_ceil(epoch) * epoch;
        // An epoch begins at a multiple of its length.
        let start = self.fresh(count + epoch - 1) as usize;
        let first = u32::try_from(start.div_ceil(epoch) * epoch).unwrap_or(u32::MAX);
        let values = self.values_at(line, params, first, count);
        let mean = |part: &[f64]| part.iter().sum::<f64>() / epoch as f64;
        values.chunks(epoch).map(mean).filter(|v| v.is_finite()).collect()
    }

    fn values_at(&mut self, line: usize, params: &[f64], first: u32, count: usize) -> Vec<f64> {
        let mut gradient = vec![0.0; params.len()];
        (0..count as u32).map(|i| self.evaluate(line, params, first + i, &mut gradient)).collect()
    }

    /// A line's objective at `after` minus at `before`, on shared random numbers, and its level.
    pub(crate) fn gain(&mut self, line: usize, before: &[f64], after: &[f64], count: usize) -> (Estimate, f64) {
        let first = self.fresh(count);
        let (old, new) = (self.values_at(line, before, first, count), self.values_at(line, after, first, count));
        let pairs: Vec<f64> = new.iter().zip(&old).map(|(a, b)| a - b).filter(|d| d.is_finite()).collect();
        let level: Vec<f64> = new.into_iter().filter(|v| v.is_finite()).collect();
        (Estimate::of(&pairs), Estimate::of(&level).mean)
    }

    /// One update's gradient: of each line in the parameters that it trains, the mean over `repeats` streams, state carried
    /// from one to the next. Evaluations that are not finite are left out; the update is bad where they are the majority.
    /// Returns the mean value of the first line.
    pub(crate) fn mean_step(&mut self, params: &[f64], repeats: usize, mean: &mut [f64]) -> (f64, Option<Bad>) {
        let (mut total, mut good, mut bad) = (0.0, 0u32, None);
        mean.fill(0.0);
        for _ in 0..repeats {
            let step = self.steps as u32;
            let stream = Stream { seed: self.config.seed, step };
            self.steps += 1;
            let mut first = f64::NAN;
            let mut fault = None;
            for (index, line) in self.lines.iter_mut().enumerate() {
                let (value, status) = line.step(params, stream);
                if index == 0 {
                    first = value;
                }
                if status != Status::Fine || !value.is_finite() || !dense::all_finite(&line.gradient) {
                    fault = fault.or(Some(Bad { step, status, value, line: index }));
                }
            }
            if fault.is_some() {
                self.skipped += 1;
                bad = fault;
                continue;
            }
            good += 1;
            total += first;
            for line in &mut self.lines {
                std::mem::swap(&mut line.state, &mut line.next_state);
                for &(from, to) in &line.runs {
                    mean[from..to].iter_mut().zip(&line.gradient[from..to]).for_each(|(m, g)| *m += g);
                }
            }
        }
        if 2 * (good as usize) < repeats {
            return (f64::NAN, bad);
        }
        let count = f64::from(good);
        if good > 1 {
            mean.iter_mut().for_each(|m| *m /= count);
        }
        (total / count, None)
    }

    /// Descends the losses of tuned parameters, with the gradients of the last step.
    pub(crate) fn tune(&mut self) {
        for line in &mut self.lines {
            if !line.tuned.is_empty() && dense::all_finite(&line.tuned_gradient) {
                line.tuned_gradient.iter_mut().for_each(|g| *g = -*g);
                line.tuner.ascend(&mut line.tuned, &line.tuned_gradient, TUNING_RATE);
            }
        }
    }

    pub(crate) fn failure(&self, bad: Bad, params: &[f64]) -> Failure {
        let Bad { step, status, value, line } = bad;
        let Objective { tuned, state, .. } = &self.lines[line];
        Failure {
            seed: self.config.seed,
            step,
            status,
            value,
            line,
            params: params.to_vec(),
            tuned: tuned.clone(),
            state: state.clone(),
        }
    }

    pub(crate) fn save(&self, into: &mut Saved) {
        into.count(self.steps);
        into.count(self.evaluations as usize);
        into.count(self.skipped);
        for line in &self.lines {
            into.reals(&line.tuned);
            into.reals(&line.state);
            line.tuner.save(into);
        }
    }

    pub(crate) fn restore(&mut self, from: &mut Reader<'_>) -> Option<()> {
        self.steps = from.count()?;
        self.evaluations = u32::try_from(from.count()?).ok()?;
        self.skipped = from.count()?;
        for line in &mut self.lines {
            from.reals_into(&mut line.tuned)?;
            from.reals_into(&mut line.state)?;
            line.tuner.restore(from)?;
        }
        Some(())
    }
}
