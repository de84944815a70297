//! What is kept of the iterates of an epoch: averages with their Monte Carlo error, and recent values of the objective.

use super::saved::{Reader, Saved};
use super::summary::Estimate;

const BATCHES: usize = 10;

/// Average of the second half of an epoch's iterates, and its Monte Carlo error by batch means; beside it the average of the
/// later part of the iterates so far, for an epoch that does not come to its end.
pub(crate) struct Average {
    from: usize,
    batch: usize,
    sums: Vec<Vec<f64>>,
    counts: Vec<usize>,
    /// Sum since the last step number that was a power of two, and of how many.
    late: Vec<f64>,
    late_count: usize,
    /// The sum over the power of two before that.
    before: Vec<f64>,
    before_count: usize,
}

impl Average {
    pub(crate) fn new(len: usize, length: usize) -> Average {
        let from = length / 2;
        let batch = (length - from).div_ceil(BATCHES).max(1);
        Average {
            from,
            batch,
            sums: vec![vec![0.0; len]; BATCHES],
            counts: vec![0; BATCHES],
            late: vec![0.0; len],
            late_count: 0,
            before: vec![0.0; len],
            before_count: 0,
        }
    }

    pub(crate) fn push(&mut self, t: usize, u: &[f64]) {
        if t >= self.from {
            let index = (t - self.from) / self.batch;
            self.counts[index] += 1;
            self.sums[index].iter_mut().zip(u).for_each(|(s, x)| *s += x);
            return;
        }
        if t.is_power_of_two() {
            std::mem::swap(&mut self.late, &mut self.before);
            self.before_count = self.late_count;
            self.late.fill(0.0);
            self.late_count = 0;
        }
        self.late_count += 1;
        self.late.iter_mut().zip(u).for_each(|(s, x)| *s += x);
    }

    /// The mean, and half the summed variance of its elements.
    pub(crate) fn finish(&self) -> (Vec<f64>, f64) {
        let total: usize = self.counts.iter().sum();
        let len = self.late.len();
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

    /// The mean over the later part of what has been pushed; `None` before there is any.
    pub(crate) fn so_far(&self) -> Option<Vec<f64>> {
        let counted: usize = self.counts.iter().sum();
        let late = counted.max(1) < self.from / 2;
        let mut sum = vec![0.0; self.late.len()];
        let mut total = 0;
        let mut add = |run: &[f64], count: usize| {
            sum.iter_mut().zip(run).for_each(|(s, x)| *s += x);
            total += count;
        };
        self.sums.iter().zip(&self.counts).for_each(|(run, count)| add(run, *count));
        if late {
            add(&self.late, self.late_count);
            if self.late_count < self.before_count {
                add(&self.before, self.before_count);
            }
        }
        (total > 0).then(|| sum.into_iter().map(|s| s / total as f64).collect())
    }

    pub(crate) fn save(&self, into: &mut Saved) {
        into.count(self.from);
        into.count(self.batch);
        for (run, count) in self.sums.iter().zip(&self.counts) {
            into.reals(run);
            into.count(*count);
        }
        into.reals(&self.late);
        into.count(self.late_count);
        into.reals(&self.before);
        into.count(self.before_count);
    }

    pub(crate) fn restore(len: usize, from: &mut Reader<'_>) -> Option<Average> {
        let mut average = Average::new(len, 0);
        average.from = from.count()?;
        average.batch = from.count().filter(|b| *b > 0)?;
        for (run, count) in average.sums.iter_mut().zip(&mut average.counts) {
            from.reals_into(run)?;
            *count = from.count()?;
        }
        from.reals_into(&mut average.late)?;
        average.late_count = from.count()?;
        from.reals_into(&mut average.before)?;
        average.before_count = from.count()?;
        Some(average)
    }
}

/// Mean and error of the objective over the last few hundred steps, for progress.
#[derive(Default)]
pub(crate) struct Recent {
    values: Vec<f64>,
    next: usize,
}

impl Recent {
    const SIZE: usize = 256;

    pub(crate) fn push(&mut self, value: f64) {
        if self.values.len() < Recent::SIZE {
            self.values.push(value);
        } else {
            self.values[self.next] = value;
            self.next = (self.next + 1) % Recent::SIZE;
        }
    }

    pub(crate) fn estimate(&self) -> Estimate {
        if self.values.is_empty() { Estimate { mean: f64::NAN, mcse: f64::NAN } } else { Estimate::of(&self.values) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the numbers 0, 1, 2, …: the mean of the second half, and at any time that of at least the later third.
    #[test]
    fn averages_of_a_ramp() {
        let mut average = Average::new(1, 1000);
        assert!(average.so_far().is_none());
        for t in 0..1000 {
            average.push(t, &[t as f64]);
            let so_far = average.so_far().unwrap()[0];
            let made = t as f64;
            assert!(so_far >= 0.49 * made && so_far <= made, "{t}: {so_far}");
            if t == 600 {
                let mut saved = Saved::default();
                average.save(&mut saved);
                average = Average::restore(1, &mut saved.reader()).unwrap();
            }
        }
        let (mean, _) = average.finish();
        assert!((mean[0] - 749.5).abs() < 1e-9);
    }
}
