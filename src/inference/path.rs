//! The start of a derived Gaussian guide: quasi-Newton paths on the log joint density from several dispersed points. Along
//! each path local Gaussians (the quasi-Newton inverse Hessian at an iterate) are scored by their ELBO and the best is kept
//! (Pathfinder: Zhang, Carpenter, Gelman, Vehtari, JMLR 2022), so that a funnel, whose density has no mode, still gives a
//! start. The best is sharpened by the Hessian from gradient differences along its own axes, which no scale or correlation
//! troubles. Non-finite densities count as minus infinity.

use super::bound::{Bound, ParamBlock, ParamRole};
use super::dense;
use super::fit::{Control, Observer, Phase, Progress};
use super::noise::Noise;
use super::summary::Estimate;
use super::whiten;
use crate::runtime::executable::Status;

/// Above this many latents curvature is kept as a diagonal.
const DENSE: usize = 300;
const STARTS: usize = 6;
const MOST_ITERATIONS: usize = 400;
/// Draws that score a local Gaussian on the way, and the best of each path.
const GLANCE: usize = 12;
const LOOK: usize = 400;

/// A Gaussian on the unconstrained latents.
pub(crate) struct Start {
    pub(crate) location: Vec<f64>,
    /// Lower factor of the covariance, `[n, n]`.
    pub(crate) factor: Vec<f64>,
    pub(crate) elbo: f64,
    pub(crate) description: String,
}

impl Start {
    /// Writes the start to the guide's blocks. A factorised guide gets the standard deviations that are optimal for a Gaussian
    /// posterior: those conditional on the other latents.
    pub(crate) fn write(&self, location: &ParamBlock, scale: &ParamBlock, params: &mut [f64]) {
        let n = self.location.len();
        params[location.offset..location.offset + n].copy_from_slice(&self.location);
        let out = &mut params[scale.offset..scale.offset + scale.len];
        if scale.role == ParamRole::CholeskyScale {
            whiten::pack_lower(&self.factor, n, out);
        } else {
            let precision = dense::inverse_from_cholesky(&self.factor, n);
            for (i, value) in out.iter_mut().enumerate() {
                *value = -0.5 * precision[i * n + i].ln();
            }
        }
    }
}

/// The log joint as a function to climb.
struct Surface<'a> {
    bound: &'a mut dyn Bound,
    observer: &'a mut dyn Observer,
    calls: usize,
    cancelled: bool,
}

impl Surface<'_> {
    /// `-inf` where the density or its gradient is not finite.
    fn at(&mut self, x: &[f64], gradient: &mut [f64]) -> f64 {
        self.calls += 1;
        if self.calls.is_multiple_of(64) {
            let objective = Estimate { mean: f64::NAN, mcse: f64::NAN };
            let progress = Progress { phase: Phase::Start, step: 0, max_steps: 0, objective };
            self.cancelled |= self.observer.progress(&progress) == Control::Cancel;
        }
        let (value, status) = self.bound.log_joint(x, gradient);
        if status == Status::Fine && value.is_finite() && dense::all_finite(gradient) {
            value
        } else {
            f64::NEG_INFINITY
        }
    }

    /// ELBO of the Gaussian with this location and factor, over `count` antithetic draws; and a copy with the location moved
    /// to the draws' mean is not made: the estimate is of this Gaussian alone.
    fn elbo(&mut self, location: &[f64], factor: &[f64], count: usize, noise: &mut Noise) -> f64 {
        let n = location.len();
        let (mut e, mut x, mut g) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
        let mut total = 0.0;
        for draw in 0..count {
            if draw % 2 == 0 {
                e.iter_mut().for_each(|v| *v = noise.normal());
            } else {
                e.iter_mut().for_each(|v| *v = -*v);
            }
            x.copy_from_slice(location);
            dense::add_lower_product(factor, n, &e, &mut x);
            total += self.at(&x, &mut g);
            if total == f64::NEG_INFINITY {
                return total;
            }
        }
        let log_det: f64 = (0..n).map(|i| factor[i * n + i].ln()).sum();
        total / count as f64 + log_det + 0.5 * n as f64 * (1.0 + std::f64::consts::TAU.ln())
    }
}

/// The best start found; `None` if the log joint is finite nowhere that was tried.
pub(crate) fn start(bound: &mut dyn Bound, seed: u64, observer: &mut dyn Observer) -> Option<Start> {
    let n = bound.latent_len();
    let mut surface = Surface { bound, observer, calls: 0, cancelled: false };
    let mut noise = Noise::new(seed, 1);
    let mut best: Option<Start> = None;
    let mut reached = 0;
    let starts = if n > DENSE { 2 } else { STARTS };
    for index in 0..starts {
        // The origin first, then ever wider boxes.
        let width = [0.0, 0.5, 1.0, 2.0, 2.0, 4.0][index.min(5)];
        let origin: Vec<f64> = (0..n).map(|_| width * (2.0 * noise.uniform() - 1.0)).collect();
        let Some((location, factor)) = path(&mut surface, origin, &mut noise) else { continue };
        reached += 1;
        for (location, factor) in sharpened(&mut surface, location, factor) {
            // One set of draws for all candidates.
            let elbo = surface.elbo(&location, &factor, LOOK, &mut Noise::new(seed, 2));
            if elbo.is_finite() && best.as_ref().is_none_or(|b| elbo > b.elbo) {
                best = Some(Start { location, factor, elbo, description: String::new() });
            }
        }
        if surface.cancelled {
            break;
        }
    }
    if let Some(best) = &mut best {
        best.description =
            format!("local Gaussian with ELBO {:.2}, the best of {reached} quasi-Newton paths", best.elbo);
    }
    best
}

/// Climbs from `x` and returns the best local Gaussian along the way.
fn path(surface: &mut Surface<'_>, mut x: Vec<f64>, noise: &mut Noise) -> Option<(Vec<f64>, Vec<f64>)> {
    let n = x.len();
    let mut gradient = vec![0.0; n];
    let mut value = surface.at(&x, &mut gradient);
    for _ in 0..20 {
        if value > f64::NEG_INFINITY {
            break;
        }
        x.iter_mut().for_each(|v| *v *= 0.5);
        value = surface.at(&x, &mut gradient);
    }
    if value == f64::NEG_INFINITY {
        return None;
    }
    let mut curvature = Curvature::new(n);
    let mut best: Option<(f64, Vec<f64>, Vec<f64>)> = None;
    let (mut stale, mut flat) = (0, 0);
    for iteration in 0..MOST_ITERATIONS {
        let mut direction = curvature.ascent(&gradient);
        let mut decrement = dense::dot(&direction, &gradient);
        if decrement.is_nan() || decrement <= 0.0 {
            curvature = Curvature::new(n);
            direction.copy_from_slice(&gradient);
            decrement = dense::dot(&direction, &gradient);
        }
        let settled = decrement < 1e-10 || decrement == 0.0;
        let first = if curvature.pairs == 0 { 1.0 / dense::norm(&gradient).max(1.0) } else { 1.0 };
        let found = if settled { None } else { climb(surface, &x, value, &gradient, &direction, first) };
        let done = found.is_none();
        if let Some(next) = found {
            let step: Vec<f64> = next.x.iter().zip(&x).map(|(a, b)| a - b).collect();
            let change: Vec<f64> = gradient.iter().zip(&next.gradient).map(|(a, b)| a - b).collect();
            flat = if next.value - value < 1e-9 * (1.0 + value.abs()) { flat + 1 } else { 0 };
            curvature.update(&step, &change);
            (x, value, gradient) = (next.x, next.value, next.gradient);
        }
        let scored = n <= DENSE || done || iteration % 10 == 9;
        if scored
            && curvature.pairs > 0
            && let Some(factor) = curvature.factor()
        {
            // The local quadratic's mode, where that is near.
            let newton = curvature.ascent(&gradient);
            let mut location = x.clone();
            if dense::dot(&newton, &gradient) < 4.0 {
                location.iter_mut().zip(&newton).for_each(|(a, b)| *a += b);
            }
            let elbo = surface.elbo(&location, &factor, GLANCE, noise);
            if elbo.is_finite() && best.as_ref().is_none_or(|(b, _, _)| elbo > *b) {
                best = Some((elbo, location, factor));
                stale = 0;
            } else {
                stale += 1;
            }
        }
        // A density without a mode climbs for ever while its local Gaussians get worse.
        if done || flat >= 5 || surface.cancelled || (stale > 40 && best.is_some()) {
            break;
        }
    }
    best.map(|(_, location, factor)| (location, factor))
}

struct Point {
    x: Vec<f64>,
    value: f64,
    gradient: Vec<f64>,
}

/// A step along `direction` that meets the weak Wolfe conditions, by bisection and doubling (Lewis and Overton,
/// Math. Program. 2013, algorithm 2.6); a point that only climbs if none is found; `None` if none climbs.
fn climb(
    surface: &mut Surface<'_>,
    x: &[f64],
    value: f64,
    gradient: &[f64],
    direction: &[f64],
    first: f64,
) -> Option<Point> {
    let slope = dense::dot(gradient, direction);
    let (mut low, mut high) = (0.0, f64::INFINITY);
    let mut t = first;
    let mut climbed: Option<Point> = None;
    // Rounding of a sum of this size hides smaller gains.
    let rounding = 1e-13 * value.abs();
    for _ in 0..60 {
        let candidate: Vec<f64> = x.iter().zip(direction).map(|(a, d)| a + t * d).collect();
        let mut at = vec![0.0; x.len()];
        let reached = surface.at(&candidate, &mut at);
        if reached.is_nan() || reached < value + 1e-4 * t * slope - rounding {
            high = t;
        } else if dense::dot(&at, direction) > 0.9 * slope {
            low = t;
            climbed = Some(Point { x: candidate, value: reached, gradient: at });
        } else {
            return Some(Point { x: candidate, value: reached, gradient: at });
        }
        t = if high.is_finite() { 0.5 * (low + high) } else { 2.0 * low };
        if high - low < 1e-14 * high || t > 1e12 {
            break;
        }
    }
    climbed
}

/// Quasi-Newton inverse Hessian of the negated function: dense BFGS, or a diagonal with the scaled memory of L-BFGS.
struct Curvature {
    n: usize,
    pairs: usize,
    /// `[n, n]` if dense, else empty.
    inverse: Vec<f64>,
    memory: Vec<(Vec<f64>, Vec<f64>)>,
    diagonal: Vec<f64>,
}

impl Curvature {
    fn new(n: usize) -> Curvature {
        let mut inverse = Vec::new();
        if n <= DENSE {
            inverse = vec![0.0; n * n];
            (0..n).for_each(|i| inverse[i * n + i] = 1.0);
        }
        Curvature { n, pairs: 0, inverse, memory: Vec::new(), diagonal: vec![1.0; n] }
    }

    fn ascent(&self, gradient: &[f64]) -> Vec<f64> {
        if !self.inverse.is_empty() {
            return dense::product(&self.inverse, self.n, gradient);
        }
        let mut q = gradient.to_vec();
        let mut weights = Vec::with_capacity(self.memory.len());
        for (s, y) in self.memory.iter().rev() {
            let a = dense::dot(s, &q) / dense::dot(s, y);
            q.iter_mut().zip(y).for_each(|(q, y)| *q -= a * y);
            weights.push(a);
        }
        q.iter_mut().zip(&self.diagonal).for_each(|(q, d)| *q *= d);
        for ((s, y), a) in self.memory.iter().zip(weights.into_iter().rev()) {
            let b = dense::dot(y, &q) / dense::dot(s, y);
            q.iter_mut().zip(s).for_each(|(q, s)| *q += (a - b) * s);
        }
        q
    }

    /// `step` moved, `change` = decrease of the gradient.
    fn update(&mut self, step: &[f64], change: &[f64]) {
        let n = self.n;
        let sy = dense::dot(step, change);
        let yy = dense::dot(change, change);
        if !sy.is_finite() || yy == 0.0 || sy <= 1e-12 * dense::norm(step) * yy.sqrt() {
            return;
        }
        self.pairs += 1;
        if self.inverse.is_empty() {
            self.diagonal.fill(sy / yy);
            if self.memory.len() == 20 {
                self.memory.remove(0);
            }
            self.memory.push((step.to_vec(), change.to_vec()));
            return;
        }
        if self.pairs == 1 {
            self.inverse.fill(0.0);
            (0..n).for_each(|i| self.inverse[i * n + i] = sy / yy);
        }
        let hy = dense::product(&self.inverse, n, change);
        let yhy = dense::dot(change, &hy);
        let c = (1.0 + yhy / sy) / sy;
        for i in 0..n {
            for j in 0..n {
                self.inverse[i * n + j] += c * step[i] * step[j] - (hy[i] * step[j] + step[i] * hy[j]) / sy;
            }
        }
        dense::symmetrise(&mut self.inverse, n);
    }

    /// Lower factor of the inverse Hessian.
    fn factor(&self) -> Option<Vec<f64>> {
        let n = self.n;
        if !self.inverse.is_empty() {
            return dense::cholesky(&self.inverse, n);
        }
        let mut factor = vec![0.0; n * n];
        for i in 0..n {
            factor[i * n + i] = self.diagonal[i].sqrt();
        }
        Some(factor)
    }
}

/// The candidate itself, and what Newton steps with the Hessian along its own axes make of it. In those axes the
/// Hessian is near minus the identity, so differences of the gradient lose no digits to scale or correlation.
fn sharpened(surface: &mut Surface<'_>, location: Vec<f64>, factor: Vec<f64>) -> Vec<(Vec<f64>, Vec<f64>)> {
    let n = location.len();
    let (mut x, mut l) = (location.clone(), factor.clone());
    let mut candidates = vec![(location, factor)];
    if n > DENSE {
        return candidates;
    }
    for _ in 0..4 {
        let mut gradient = vec![0.0; n];
        let value = surface.at(&x, &mut gradient);
        let Some(precision) = whitened_precision(surface, &x, &l) else { break };
        let Some(p) = dense::cholesky(&precision, n) else { break };
        let mut step = vec![0.0; n];
        dense::lower_transposed_product(&l, n, &gradient, &mut step);
        dense::solve_lower(&p, n, &mut step);
        dense::solve_lower_transposed(&p, n, &mut step);
        // Covariance L P⁻¹ Lᵀ, its factor by Cholesky of P⁻¹ (well conditioned) times L.
        let Some(b) = dense::cholesky(&dense::inverse_from_cholesky(&p, n), n) else { break };
        let mut product = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..=i {
                product[i * n + j] = (j..=i).map(|k| l[i * n + k] * b[k * n + j]).sum();
            }
        }
        let mut length = 1.0;
        let mut moved = None;
        for _ in 0..12 {
            let mut candidate = x.clone();
            let scaled: Vec<f64> = step.iter().map(|s| length * s).collect();
            dense::add_lower_product(&l, n, &scaled, &mut candidate);
            let reached = surface.at(&candidate, &mut gradient);
            if reached >= value - 1e-13 * value.abs() {
                moved = Some(candidate);
                break;
            }
            length *= 0.5;
        }
        l = product;
        candidates.push((x.clone(), l.clone()));
        let Some(moved) = moved else { break };
        x = moved;
        candidates.push((x.clone(), l.clone()));
        let far = dense::norm(&step);
        let shape = (0..n * n).map(|k| (precision[k] - f64::from(u8::from(k / n == k % n))).abs()).fold(0.0, f64::max);
        if far < 1e-5 && shape < 1e-3 {
            break;
        }
    }
    // The last ones serve; earlier ones are kept as they are for densities whose mode is no place to start from.
    let keep = candidates.len().saturating_sub(2).max(1);
    let mut kept: Vec<_> = candidates.drain(keep..).collect();
    kept.push(candidates.swap_remove(0));
    kept
}

/// `-Lᵀ H L` by central differences along the columns of `L`.
fn whitened_precision(surface: &mut Surface<'_>, x: &[f64], l: &[f64]) -> Option<Vec<f64>> {
    const H: f64 = 1e-3;
    let n = x.len();
    let mut precision = vec![0.0; n * n];
    let (mut above, mut below, mut row) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
    for j in 0..n {
        let shifted = |h: f64| -> Vec<f64> { x.iter().enumerate().map(|(i, v)| v + h * l[i * n + j]).collect() };
        if surface.at(&shifted(H), &mut above) == f64::NEG_INFINITY
            || surface.at(&shifted(-H), &mut below) == f64::NEG_INFINITY
        {
            return None;
        }
        let change: Vec<f64> = above.iter().zip(&below).map(|(a, b)| (b - a) / (2.0 * H)).collect();
        dense::lower_transposed_product(l, n, &change, &mut row);
        for i in 0..n {
            precision[i * n + j] = row[i];
        }
    }
    dense::symmetrise(&mut precision, n);
    dense::all_finite(&precision).then_some(precision)
}
