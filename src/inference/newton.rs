//! The start of parameters whose role is not known (guides by hand, parameters of models): ascent of a sample average. With
//! the random numbers held fixed (a stream is pure in its step number) the mean objective is an ordinary function; damped
//! Newton steps (Levenberg–Marquardt) on it, with the Hessian from differences of the gradient, reach its optimum from
//! starts whose scales are wrong by orders of magnitude. The sample grows from round to round. The inverse curvature at
//! the end gives training its coordinates. An estimator whose gradient is not the gradient of its value (score function,
//! path derivative) is served as well: a step is kept only if the mean value does not fall by more than noise explains.

use super::dense;
use super::fit::{Phase, Progress};
use super::noise::Noise;
use super::quasi_newton::{Curvature, Hill, Point, ascend};
use super::summary::Estimate;
use super::trainer::{self, Trainer};

/// More parameters than this are left to training alone: a Hessian costs a gradient per parameter.
pub(crate) const MOST_PARAMS: usize = 150;
/// More than this are searched from their declared values alone; at most so many other starts are tried, so many widths away.
const MOST_RESTARTED: usize = 40;
const RESTARTS: [f64; 3] = [0.3, 1.0, 2.0];
/// A gain that makes another optimum a better one.
const BETTER: f64 = 0.1;
const COMPARED: usize = 400;
const QUASI_NEWTON_STEPS: usize = 400;
const NEWTON_STEPS: usize = 8;
/// Damping, relative to the curvature's diagonal, above which it is not taken for a maximum's.
const ROUGH: f64 = 0.1;

pub(crate) struct Found {
    /// Lower factor of the inverse curvature over the members, `[n, n]`.
    pub(crate) factor: Vec<f64>,
    /// The curvature was no maximum's: the factor is diagonal, and lengths in its coordinates mean nothing.
    pub(crate) rough: bool,
    pub(crate) description: String,
}

/// The mean value over the fixed sample and its gradient in the members.
struct Search<'t, 'a> {
    trainer: &'t mut Trainer<'a>,
    members: &'t [usize],
    samples: usize,
    params: Vec<f64>,
    row: Vec<f64>,
    cancelled: bool,
}

impl Hill for Search<'_, '_> {
    fn at(&mut self, x: &[f64], gradient: &mut [f64]) -> f64 {
        for (&member, value) in self.members.iter().zip(x) {
            self.params[member] = *value;
        }
        gradient.fill(0.0);
        let mut total = 0.0;
        for sample in 0..self.samples {
            let value = self.trainer.evaluate(0, &self.params, trainer::FIXED + sample as u32, &mut self.row);
            if !value.is_finite() {
                return f64::NEG_INFINITY;
            }
            total += value;
            for (g, &member) in gradient.iter_mut().zip(self.members) {
                *g += self.row[member];
            }
        }
        let count = self.samples as f64;
        gradient.iter_mut().for_each(|g| *g /= count);
        self.watch();
        total / count
    }

    fn cancelled(&self) -> bool {
        self.cancelled
    }
}

impl Search<'_, '_> {
    fn watch(&mut self) {
        let objective = Estimate { mean: f64::NAN, mcse: f64::NAN };
        let max_steps = self.trainer.config.max_steps;
        let progress = Progress { phase: Phase::Start, step: 0, max_steps, objective };
        self.cancelled |= self.trainer.watch(&progress);
    }

    /// Minus the Hessian by central differences, each with a step of about a thousandth of its curvature's scale.
    fn curvature(&mut self, x: &[f64], steps: &mut [f64]) -> Option<Vec<f64>> {
        let n = x.len();
        let mut curvature = vec![0.0; n * n];
        let (mut above, mut below) = (vec![0.0; n], vec![0.0; n]);
        let mut moved = x.to_vec();
        for j in 0..n {
            for attempt in 0..4 {
                let h = steps[j];
                moved[j] = x[j] + h;
                let high = self.at(&moved, &mut above);
                moved[j] = x[j] - h;
                let low = self.at(&moved, &mut below);
                moved[j] = x[j];
                if self.cancelled {
                    return None;
                }
                if high == f64::NEG_INFINITY || low == f64::NEG_INFINITY {
                    steps[j] *= 0.01;
                    if attempt == 3 {
                        return None;
                    }
                    continue;
                }
                let diagonal = (below[j] - above[j]) / (2.0 * h);
                for i in 0..n {
                    curvature[i * n + j] = (below[i] - above[i]) / (2.0 * h);
                }
                let fitting = 1e-3 / diagonal.abs().sqrt();
                if !fitting.is_finite() || (fitting < 30.0 * h && h < 30.0 * fitting) {
                    break;
                }
                steps[j] = fitting.clamp(1e-3 * h, 1e3 * h);
            }
        }
        dense::symmetrise(&mut curvature, n);
        dense::all_finite(&curvature).then_some(curvature)
    }
}

/// As [`search`], from the declared values and from others about them: a search ends at the optimum of its valley, or at a saddle. `placed`:
/// the values are where the guide should be, and no others are tried.
pub(crate) fn search_from_several(
    trainer: &mut Trainer<'_>,
    params: &mut [f64],
    members: &[usize],
    placed: bool,
) -> Option<Found> {
    let declared = params.to_vec();
    let mut best = search(trainer, params, members)?;
    if placed || members.len() > MOST_RESTARTED {
        return Some(best);
    }
    let mut noise = Noise::new(trainer.config.seed, 10);
    let (mut found, mut tried) = (None, 0);
    for width in RESTARTS {
        let mut other = declared.clone();
        members.iter().for_each(|&m| other[m] += width * noise.normal());
        if trainer.cancelled || scout(trainer, &mut other, members).is_none() {
            continue;
        }
        tried += 1;
        let (gain, _) = trainer.gain(0, params, &other, COMPARED);
        if gain.mean < BETTER.max(4.0 * gain.mcse) || !gain.mean.is_finite() {
            continue;
        }
        if let Some(next) = search(trainer, &mut other, members) {
            params.copy_from_slice(&other);
            best = next;
            found = Some(gain.mean);
        }
    }
    best.description = match found {
        Some(gain) => format!("{}; the best of {} starts, by {gain:.2}", best.description, tried + 1),
        None => format!("{}; {tried} other starts gave nothing better", best.description),
    };
    Some(best)
}

/// Moves the members of `params` uphill on one small sample: enough to see whether a search from there is worth it.
fn scout(trainer: &mut Trainer<'_>, params: &mut [f64], members: &[usize]) -> Option<f64> {
    let n = members.len();
    let x: Vec<f64> = members.iter().map(|&m| params[m]).collect();
    let row = vec![0.0; params.len()];
    let samples = first_sample(n);
    let mut search = Search { trainer, members, samples, params: params.to_vec(), row, cancelled: false };
    let mut gradient = vec![0.0; n];
    let value = search.at(&x, &mut gradient);
    let mut point = Point { x, value, gradient };
    let mut curvature = Curvature::new(n);
    let least = 1e-2 * (n as f64 / samples as f64).min(1.0);
    for _ in 0..QUASI_NEWTON_STEPS / 4 {
        if point.value == f64::NEG_INFINITY || search.cancelled {
            return None;
        }
        let Some(next) = ascend(&mut search, &point, &mut curvature, least) else { break };
        let gain = next.value - point.value;
        point = next;
        if gain < 0.1 * least {
            break;
        }
    }
    members.iter().zip(&point.x).for_each(|(&m, v)| params[m] = *v);
    Some(point.value)
}

/// Streams of the first sample: a Gaussian guide over k latents has about k²/2 parameters, and fewer than k draws of it do not determine
/// a scale.
fn first_sample(n: usize) -> usize {
    ((4.0 * (2.0 * n as f64).sqrt()) as usize).max(24)
}

/// Moves the members of `params` to the optimum of the sample average, and returns coordinates for training; `None` (and
/// `params` as they were or better) where there are too many, or no curvature can be had.
pub(crate) fn search(trainer: &mut Trainer<'_>, params: &mut [f64], members: &[usize]) -> Option<Found> {
    let n = members.len();
    if n > MOST_PARAMS {
        return None;
    }
    let mut x: Vec<f64> = members.iter().map(|&m| params[m]).collect();
    let mut steps: Vec<f64> = x.iter().map(|v| 1e-4 * v.abs().max(0.1)).collect();
    let row = vec![0.0; params.len()];
    let mut search = Search { trainer, members, samples: 1, params: params.to_vec(), row, cancelled: false };
    let mut factor = None;
    let mut rough = true;
    let (mut quasi, mut newton) = (0, 0);
    let first = first_sample(n);
    for samples in [first, 4 * first] {
        search.samples = samples;
        let mut gradient = vec![0.0; n];
        let value = search.at(&x, &mut gradient);
        if value == f64::NEG_INFINITY {
            break;
        }
        // What the noise of a gradient that is not the value's own can cost.
        let slack = n as f64 / samples as f64;
        let mut point = Point { x: x.clone(), value, gradient };
        if factor.is_none() {
            let start = search.curvature(&x, &mut steps);
            factor = start.and_then(|c| inverse_factor(&c, &scale_of(&c, &point.gradient), 1e-2, 1e4));
        }
        let mut curvature = match &factor {
            Some(factor) => Curvature::from_factor(factor, n),
            None => Curvature::new(n),
        };
        for _ in 0..QUASI_NEWTON_STEPS {
            let Some(next) = ascend(&mut search, &point, &mut curvature, 1e-3 * slack.min(1.0)) else { break };
            let gain = next.value - point.value;
            point = next;
            quasi += 1;
            if search.cancelled || gain < 1e-4 * slack.min(1.0) {
                break;
            }
        }
        newton += newton_steps(&mut search, &mut point, &mut steps, slack);
        x = point.x;
        if let Some(found) = search.curvature(&x, &mut steps) {
            let (exact, scale) = (scale_of(&found, &vec![0.0; n]), scale_of(&found, &point.gradient));
            let sharp = inverse_factor(&found, &exact, 0.0, ROUGH);
            rough = sharp.is_none();
            factor = sharp.or_else(|| Some(diagonal_factor(&scale, &x)));
        }
        if search.cancelled {
            break;
        }
    }
    for (&member, value) in members.iter().zip(&x) {
        params[member] = *value;
    }
    let description = format!("{quasi} quasi-Newton and {newton} Newton steps on sample averages");
    factor.map(|factor| Found { factor, rough, description })
}

/// Damped Newton steps until the predicted gain is small beside the noise; their number.
fn newton_steps(search: &mut Search<'_, '_>, point: &mut Point, steps: &mut [f64], slack: f64) -> usize {
    let n = point.x.len();
    let mut damping = 1e-3;
    for taken in 0..NEWTON_STEPS {
        let Some(curvature) = search.curvature(&point.x, steps) else { return taken };
        let scale = scale_of(&curvature, &point.gradient);
        let mut moved = None;
        for _ in 0..25 {
            let Some(step) = damped_step(&curvature, &scale, damping, &point.gradient) else {
                damping = (damping * 4.0).max(1e-6);
                continue;
            };
            let predicted = 0.5 * dense::dot(&step, &point.gradient);
            if predicted < 1e-2 * slack.min(1.0) {
                return taken;
            }
            let x: Vec<f64> = point.x.iter().zip(&step).map(|(a, b)| a + b).collect();
            let mut gradient = vec![0.0; n];
            let value = search.at(&x, &mut gradient);
            let gain = value - point.value;
            let enough = if predicted > slack { 0.05 * predicted } else { -0.5 * predicted };
            if gain >= enough {
                if gain > 0.5 * predicted {
                    damping *= 0.1;
                }
                moved = Some((Point { x, value, gradient }, damping > 10.0 && gain < 0.1 * predicted));
                break;
            }
            damping = (damping * 5.0).max(1e-6);
            if damping > 1e12 || search.cancelled {
                break;
            }
        }
        let Some((next, stuck)) = moved else { return taken };
        *point = next;
        if stuck {
            return taken + 1;
        }
    }
    NEWTON_STEPS
}

/// A curvature's size, or 1 where there is none.
fn positive(curvature: f64) -> f64 {
    if curvature.abs() > 1e-16 { curvature.abs() } else { 1.0 }
}

/// Diagonal of the damping: the curvature, but no less than a step of 1 along the gradient asks for, so that a coordinate
/// that is still flat (the log of a far too small scale) is not thrown.
fn scale_of(curvature: &[f64], gradient: &[f64]) -> Vec<f64> {
    let n = gradient.len();
    (0..n).map(|i| positive(curvature[i * n + i].abs().max(gradient[i].abs()))).collect()
}

/// Steps of about the curvature's or gradient's scale, coordinate by coordinate, none above the coordinate's own size.
fn diagonal_factor(scale: &[f64], x: &[f64]) -> Vec<f64> {
    let n = scale.len();
    let mut factor = vec![0.0; n * n];
    for i in 0..n {
        factor[i * n + i] = (1.0 / scale[i].sqrt()).min(x[i].abs().max(1.0));
    }
    factor
}

/// The step of ascent `(C + λ D)⁻¹ g`; `None` if the matrix is not positive definite.
fn damped_step(curvature: &[f64], scale: &[f64], damping: f64, gradient: &[f64]) -> Option<Vec<f64>> {
    let n = scale.len();
    // In units of the diagonal, so that parameters of any size are served alike.
    let root: Vec<f64> = scale.iter().map(|s| s.sqrt()).collect();
    let mut scaled: Vec<f64> = (0..n * n).map(|k| curvature[k] / (root[k / n] * root[k % n])).collect();
    (0..n).for_each(|i| scaled[i * n + i] += damping);
    let l = dense::cholesky(&scaled, n)?;
    let mut step: Vec<f64> = gradient.iter().zip(&root).map(|(g, r)| g / r).collect();
    dense::solve_lower(&l, n, &mut step);
    dense::solve_lower_transposed(&l, n, &mut step);
    step.iter_mut().zip(&root).for_each(|(s, r)| *s /= r);
    dense::all_finite(&step).then_some(step)
}

/// Lower factor of the inverse of a curvature, made positive definite by the least damping from `damping` on that does;
/// `None` if that is more than `most`.
fn inverse_factor(curvature: &[f64], scale: &[f64], mut damping: f64, most: f64) -> Option<Vec<f64>> {
    let n = scale.len();
    let root: Vec<f64> = scale.iter().map(|s| s.sqrt()).collect();
    let scaled: Vec<f64> = (0..n * n).map(|k| curvature[k] / (root[k / n] * root[k % n])).collect();
    while damping <= most {
        let mut damped = scaled.clone();
        (0..n).for_each(|i| damped[i * n + i] += damping);
        if let Some(l) = dense::cholesky(&damped, n)
            && let Some(mut factor) = dense::cholesky(&dense::inverse_from_cholesky(&l, n), n)
        {
            for i in 0..n {
                for j in 0..=i {
                    factor[i * n + j] /= root[i];
                }
            }
            return Some(factor);
        }
        damping = if damping == 0.0 { 1e-10 } else { damping * 10.0 };
    }
    None
}
