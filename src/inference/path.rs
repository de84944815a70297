//! The start of a derived Gaussian guide: quasi-Newton paths on the log joint density from several dispersed points. Along
//! each path local Gaussians (the quasi-Newton inverse Hessian at an iterate) are scored by their ELBO and the best is kept
//! (Pathfinder: Zhang, Carpenter, Gelman, Vehtari, JMLR 2022), so that a funnel, whose density has no mode, still gives a
//! start. The best is sharpened by the Hessian from gradient differences along its own axes, which no scale or correlation
//! troubles. Non-finite densities count as minus infinity.

use super::bound::{Bound, ParamBlock, ParamRole};
use super::dense;
use super::fit::{Control, Observer, Phase, Progress};
use super::fixed_point::{self, Way};
use super::noise::Noise;
use super::quasi_newton::{Curvature, DENSE, Hill, Point, ascend};
use super::structure::Structure;
use super::summary::Estimate;
use super::whiten;
use crate::runtime::executable::Status;

const STARTS: usize = 6;
const WIDTHS: [f64; STARTS] = [0.0, 0.5, 1.0, 2.0, 2.0, 4.0];
const MOST_ITERATIONS: usize = 400;
/// Draws that score a local Gaussian on the way, and the best of each path.
const GLANCE: usize = 12;
const LOOK: usize = 400;
/// Candidates of different ELBO that are refined, and how much worse another optimum may be to be told of.
const REFINED: usize = 2;
const NEARLY: f64 = 3.0;
const FIXED_POINT_STEPS: usize = 48;
const SHARPENINGS: usize = 12;

/// A Gaussian on the unconstrained latents.
pub(crate) struct Start {
    pub(crate) location: Vec<f64>,
    /// Lower factor of the covariance, `[n, n]`.
    pub(crate) factor: Vec<f64>,
    pub(crate) elbo: f64,
    pub(crate) description: String,
    /// Of a factorised Gaussian; `None`: those conditional on the other latents.
    sds: Option<Vec<f64>>,
    /// The best Gaussian of the family, as far as its fixed point can be had.
    pub(crate) polished: bool,
    /// ELBO of another local optimum that is nearly as good.
    pub(crate) rival: Option<f64>,
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
            let conditional = || {
                let precision = dense::inverse_from_cholesky(&self.factor, n);
                (0..n).map(|i| 1.0 / precision[i * n + i].sqrt()).collect()
            };
            let sds = self.sds.clone().unwrap_or_else(conditional);
            out.iter_mut().zip(&sds).for_each(|(value, s)| *value = s.ln());
        }
    }
}

impl Start {
    /// Writes common factors `[n, k]` for a guide whose variance is the conditional one plus theirs: the directions in which the Gaussian
    /// is widest against that, at their widths.
    pub(crate) fn load(&self, loadings: &ParamBlock, params: &mut [f64]) {
        const ROUNDS: usize = 60;
        // Less would be a saddle: factors at 0 have no slope.
        const LEAST: f64 = 0.1;
        let n = self.location.len();
        let columns = loadings.len / n;
        let precision = dense::inverse_from_cholesky(&self.factor, n);
        let sds: Vec<f64> = (0..n).map(|i| 1.0 / precision[i * n + i].sqrt()).collect();
        let mut noise = Noise::new(0, 9);
        let mut found: Vec<Vec<f64>> = Vec::new();
        for column in 0..columns {
            let mut v: Vec<f64> = (0..n).map(|_| noise.normal()).collect();
            let mut width = 1.0;
            for _ in 0..ROUNDS {
                for other in &found {
                    let along = dense::dot(&v, other) / dense::dot(other, other);
                    v.iter_mut().zip(other).for_each(|(v, o)| *v -= along * o);
                }
                let length = dense::norm(&v).max(1e-300);
                let scaled: Vec<f64> = v.iter().zip(&sds).map(|(v, s)| v / (length * s)).collect();
                let mut half = vec![0.0; n];
                dense::lower_transposed_product(&self.factor, n, &scaled, &mut half);
                v.fill(0.0);
                dense::add_lower_product(&self.factor, n, &half, &mut v);
                v.iter_mut().zip(&sds).for_each(|(v, s)| *v /= s);
                width = dense::norm(&v);
            }
            let length = dense::norm(&v).max(1e-300);
            v.iter_mut().for_each(|v| *v /= length);
            let size = (width - 1.0).max(LEAST * LEAST).sqrt();
            for i in 0..n {
                params[loadings.offset + i * columns + column] = size * sds[i] * v[i];
            }
            found.push(v);
        }
    }
}

/// The log joint as a function to climb.
pub(crate) struct Surface<'a> {
    bound: &'a mut dyn Bound,
    observer: &'a mut dyn Observer,
    calls: usize,
    cancelled: bool,
}

impl Hill for Surface<'_> {
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

    fn cancelled(&self) -> bool {
        self.cancelled
    }
}

impl<'a> Surface<'a> {
    pub(crate) fn new(bound: &'a mut dyn Bound, observer: &'a mut dyn Observer) -> Surface<'a> {
        Surface { bound, observer, calls: 0, cancelled: false }
    }
}

impl Surface<'_> {
    /// ELBO of the Gaussian with this location and factor, over `count` antithetic draws.
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
/// For a factorised guide, where the density's Hessian has structure, it is the best factorised Gaussian.
pub(crate) fn start(bound: &mut dyn Bound, seed: u64, observer: &mut dyn Observer, factorised: bool) -> Option<Start> {
    let n = bound.latent_len();
    let mut surface = Surface::new(bound, observer);
    let mut noise = Noise::new(seed, 1);
    let mut found: Vec<Start> = Vec::new();
    let starts = if n > DENSE { 2 } else { STARTS };
    for index in 0..starts {
        // The origin first, then ever wider boxes.
        let width = WIDTHS[index.min(WIDTHS.len() - 1)];
        let origin: Vec<f64> = (0..n).map(|_| width * (2.0 * noise.uniform() - 1.0)).collect();
        let Some((location, factor)) = path(&mut surface, origin, &mut noise) else { continue };
        // One set of draws for all candidates.
        let candidates = sharpened(&mut surface, location, factor).into_iter().map(|(location, factor)| {
            let elbo = surface.elbo(&location, &factor, LOOK, &mut Noise::new(seed, 2));
            Start::at(location, factor, elbo)
        });
        found.extend(candidates.filter(|c| c.elbo.is_finite()).max_by(|a, b| a.elbo.total_cmp(&b.elbo)));
        if surface.cancelled {
            break;
        }
    }
    let paths = found.len();
    found.sort_by(|a, b| b.elbo.total_cmp(&a.elbo));
    // Paths that ended in the same place need one refinement only.
    found.dedup_by(|b, a| (a.elbo - b.elbo).abs() < 0.1);
    let ends = found.len();
    found.truncate(REFINED);
    let structure = found
        .first()
        .and_then(|first| fixed_point::structure(&mut surface, &first.location, &sds_of(&first.factor, n), seed));
    let mut groups = None;
    let mut known = Vec::new();
    let mut refined = Vec::new();
    for mut candidate in found {
        if surface.cancelled {
            refined.push(candidate);
            continue;
        }
        let way = match &structure {
            Some(s) => structured(&mut surface, &candidate, s, factorised, &mut known, seed),
            None => Way::Nowhere,
        };
        match way {
            Way::Ends(start) => {
                groups = structure.as_ref().map(|s| s.groups.len());
                candidate = start;
            }
            // On the way to a Gaussian that another candidate came to.
            Way::Meets => continue,
            Way::Nowhere if n <= DENSE => refine(&mut surface, &mut candidate, seed),
            Way::Nowhere => {}
        }
        refined.push(candidate);
    }
    let mut found = refined;
    found.sort_by(|a, b| b.elbo.total_cmp(&a.elbo));
    let rival = found.get(1).map(|second| second.elbo);
    let mut best = found.into_iter().next()?;
    best.rival = rival.filter(|r| best.elbo - r < NEARLY && best.elbo - r > 0.1);
    best.description =
        format!("local Gaussian with ELBO {:.2}, the best of {ends} optima on {paths} quasi-Newton paths", best.elbo);
    if let Some(groups) = groups {
        best.description.push_str(&format!("; Hessians by {groups} differences of gradients for {n} latents"));
    }
    Some(best)
}

/// The Gaussian at the highest mode found: its covariance is the inverse of minus the Hessian there. `None` where no path comes to a place
/// whose slope vanishes and whose curvature is a maximum's.
pub(crate) fn mode(bound: &mut dyn Bound, seed: u64, observer: &mut dyn Observer) -> Option<Start> {
    let n = bound.latent_len();
    let mut surface = Surface::new(bound, observer);
    let mut noise = Noise::new(seed, 1);
    let mut best: Option<(f64, Vec<f64>, Vec<f64>)> = None;
    let mut heights: Vec<f64> = Vec::new();
    for index in 0..if n > DENSE { 2 } else { STARTS } {
        let width = WIDTHS[index.min(WIDTHS.len() - 1)];
        let origin: Vec<f64> = (0..n).map(|_| width * (2.0 * noise.uniform() - 1.0)).collect();
        let Some((location, factor)) = path(&mut surface, origin, &mut noise) else { continue };
        let Some((location, factor)) = summit(&mut surface, location, factor, seed) else { continue };
        let height = surface.at(&location, &mut vec![0.0; n]);
        if !heights.iter().any(|h| (h - height).abs() < 1e-4) {
            heights.push(height);
        }
        if best.as_ref().is_none_or(|b| height > b.0) {
            best = Some((height, location, factor));
        }
        if surface.cancelled {
            break;
        }
    }
    let (height, location, factor) = best?;
    let seen = heights.len();
    let description = format!("start: the mode, of log joint density {height:.4}; the highest of {seen} seen");
    Some(Start { description, ..Start::at(location, factor, f64::NAN) })
}

/// Newton's steps to a mode, and a factor of the inverse of minus the Hessian there.
fn summit(surface: &mut Surface<'_>, location: Vec<f64>, factor: Vec<f64>, seed: u64) -> Option<(Vec<f64>, Vec<f64>)> {
    const NEWTON: usize = 60;
    /// Squared length of the last step, in the curvature's own units.
    const STILL: f64 = 1e-10;
    let n = location.len();
    let (mut x, mut l) = (location, factor);
    let structure = if n > DENSE { Some(fixed_point::structure(surface, &x, &sds_of(&l, n), seed)?) } else { None };
    for _ in 0..NEWTON {
        let mut gradient = vec![0.0; n];
        let value = surface.at(&x, &mut gradient);
        // The inverse of minus the Hessian, damped where that is no maximum's.
        let (step, sharp) = match &structure {
            Some(s) => {
                let (curvature, sharp) = fixed_point::curvature(surface, s, &x, &sds_of(&l, n))?;
                let g = s.cholesky(&curvature)?;
                l = s.dense_factor(&curvature)?;
                (s.solve(&g, &gradient), sharp)
            }
            None => {
                let precision = whitened_precision(surface, &x, &l)?;
                let (p, sharp) = [0.0, 1e-4, 1e-2, 0.1, 1.0, 10.0].into_iter().find_map(|damping| {
                    let mut matrix = precision.clone();
                    (0..n).for_each(|i| matrix[i * n + i] += damping);
                    dense::cholesky(&matrix, n).map(|p| (p, damping == 0.0))
                })?;
                let b = dense::cholesky(&dense::inverse_from_cholesky(&p, n), n)?;
                l = dense::lower_by_lower(&l, &b, n);
                let (mut half, mut step) = (vec![0.0; n], vec![0.0; n]);
                dense::lower_transposed_product(&l, n, &gradient, &mut half);
                dense::add_lower_product(&l, n, &half, &mut step);
                (step, sharp)
            }
        };
        let decrement = dense::dot(&step, &gradient);
        if sharp && decrement < STILL {
            return Some((x, l));
        }
        let mut length = 1.0;
        let moved = (0..30).find_map(|_| {
            let candidate: Vec<f64> = x.iter().zip(&step).map(|(x, s)| x + length * s).collect();
            let reached = surface.at(&candidate, &mut gradient);
            length *= 0.5;
            (reached >= value - 1e-13 * value.abs()).then_some(candidate)
        });
        x = moved?;
        if surface.cancelled {
            return None;
        }
    }
    None
}

/// Standard deviations of a covariance given by its lower factor.
fn sds_of(factor: &[f64], n: usize) -> Vec<f64> {
    (0..n).map(|i| dense::norm(&factor[i * n..i * n + i + 1])).collect()
}

impl Start {
    fn at(location: Vec<f64>, factor: Vec<f64>, elbo: f64) -> Start {
        Start { location, factor, elbo, description: String::new(), sds: None, polished: false, rival: None }
    }
}

/// The best Gaussian of the family from a candidate, if it is no worse.
fn structured(
    surface: &mut Surface<'_>,
    from: &Start,
    structure: &Structure,
    factorised: bool,
    known: &mut Vec<fixed_point::Sparse>,
    seed: u64,
) -> Way<Start> {
    let n = from.location.len();
    let sds = sds_of(&from.factor, n);
    let precision = (n <= DENSE).then(|| dense::inverse_from_cholesky(&from.factor, n));
    let begin = fixed_point::begin(surface, structure, &from.location, &sds, precision.as_deref(), factorised, seed);
    let found = match begin.map_or(Way::Nowhere, |begin| fixed_point::best(surface, begin, known, seed)) {
        Way::Ends(found) => found,
        Way::Meets => return Way::Meets,
        Way::Nowhere => return Way::Nowhere,
    };
    let lost = !factorised && n <= DENSE && found.elbo < from.elbo - 0.05;
    let Some(factor) = found.structure.dense_factor(&found.curvature).filter(|_| !lost) else { return Way::Nowhere };
    let sds = if factorised { found.sds() } else { None };
    let start = Start { sds, polished: true, ..Start::at(found.location.clone(), factor, found.elbo) };
    known.push(found);
    Way::Ends(start)
}

/// Moves a Gaussian towards its ELBO's optimum by damped fixed-point steps: the precision towards the mean curvature
/// under the Gaussian, which Stein's identity reads off gradients, and the location by a Newton step with it (Opper and
/// Archambeau, Neural Computation 2009). In the Gaussian's own axes both are `I` and 0 at the optimum, without noise where
/// the target is Gaussian. Kept only if the ELBO gains.
fn refine(surface: &mut Surface<'_>, start: &mut Start, seed: u64) {
    let n = start.location.len();
    let count = (4 * n).max(64);
    let mut noise = Noise::new(seed, 3);
    let (mut x, mut l) = (start.location.clone(), start.factor.clone());
    let (mut e, mut z, mut g, mut w) = (vec![0.0; n], vec![0.0; n], vec![0.0; n], vec![0.0; n]);
    let mut caution = 1.0;
    for iteration in 0..FIXED_POINT_STEPS {
        let mut slope = vec![0.0; n];
        let mut residual = vec![0.0; n * n];
        let mut finite = true;
        for draw in 0..count {
            if draw % 2 == 0 {
                e.iter_mut().for_each(|v| *v = noise.normal());
            } else {
                e.iter_mut().for_each(|v| *v = -*v);
            }
            z.copy_from_slice(&x);
            dense::add_lower_product(&l, n, &e, &mut z);
            finite &= surface.at(&z, &mut g) > f64::NEG_INFINITY;
            dense::lower_transposed_product(&l, n, &g, &mut w);
            for i in 0..n {
                slope[i] += w[i] / count as f64;
                let r = (w[i] + e[i]) / count as f64;
                residual[i * n..(i + 1) * n].iter_mut().zip(&e).for_each(|(s, e)| *s += r * e);
            }
        }
        if surface.cancelled {
            return;
        }
        if !finite || !dense::all_finite(&residual) {
            // The last step went too far.
            caution *= 0.5;
            (x, l) = (start.location.clone(), start.factor.clone());
            continue;
        }
        dense::symmetrise(&mut residual, n);
        let largest = (0..n).map(|i| dense::norm(&residual[i * n..(i + 1) * n])).fold(0.0, f64::max);
        let mut rate = caution * (0.6f64.min(6.0 / (iteration + 2) as f64)).min(1.5 / largest.max(1e-300));
        let mut factored = None;
        while rate > 1e-6 && factored.is_none() {
            let precision: Vec<f64> =
                (0..n * n).map(|k| f64::from(u8::from(k / n == k % n)) - rate * residual[k]).collect();
            factored = dense::cholesky(&precision, n);
            if factored.is_none() {
                rate *= 0.5;
            }
        }
        let Some(p) = factored else { break };
        let Some(b) = dense::cholesky(&dense::inverse_from_cholesky(&p, n), n) else { break };
        dense::solve_lower(&p, n, &mut slope);
        dense::solve_lower_transposed(&p, n, &mut slope);
        let length = dense::norm(&slope);
        let shorten = rate.min((n as f64).sqrt() / length.max(1e-300));
        slope.iter_mut().for_each(|s| *s *= shorten);
        dense::add_lower_product(&l, n, &slope, &mut x);
        l = dense::lower_by_lower(&l, &b, n);
        if iteration % 8 == 7 || iteration + 1 == FIXED_POINT_STEPS {
            let elbo = surface.elbo(&x, &l, LOOK, &mut Noise::new(seed, 2));
            let gain = elbo - start.elbo;
            if gain > 0.0 {
                (start.location, start.factor, start.elbo) = (x.clone(), l.clone(), elbo);
            } else {
                caution *= 0.5;
                if !elbo.is_finite() {
                    (x, l) = (start.location.clone(), start.factor.clone());
                }
            }
            if gain.abs() < 0.02 {
                break;
            }
        }
    }
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
    let mut point = Point { x, value, gradient };
    for iteration in 0..MOST_ITERATIONS {
        let next = ascend(surface, &point, &mut curvature, 1e-10);
        let done = next.is_none();
        if let Some(next) = next {
            flat = if next.value - point.value < 1e-11 * (1.0 + next.value.abs()) { flat + 1 } else { 0 };
            point = next;
        }
        let scored = n <= DENSE || done || iteration % 10 == 9;
        if scored
            && curvature.informed()
            && let Some(factor) = curvature.factor()
        {
            // The local quadratic's mode, where that is near.
            let newton = curvature.ascent(&point.gradient);
            let mut location = point.x.clone();
            if dense::dot(&newton, &point.gradient) < 4.0 {
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
        if done || flat >= 8 || surface.cancelled || (stale > 40 && best.is_some()) {
            break;
        }
    }
    best.map(|(_, location, factor)| (location, factor))
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
    for _ in 0..SHARPENINGS {
        let mut gradient = vec![0.0; n];
        let value = surface.at(&x, &mut gradient);
        let Some(precision) = whitened_precision(surface, &x, &l) else { break };
        // Axes of the wrong length lose digits in the differences: they are measured again at the right one.
        let lengths: Vec<f64> = (0..n).map(|j| precision[j * n + j].abs()).collect();
        if lengths.iter().any(|p| !(0.01..=100.0).contains(p)) {
            for (k, v) in l.iter_mut().enumerate() {
                *v *= (1.0 / lengths[k % n].sqrt()).clamp(1e-4, 1e4);
            }
            continue;
        }
        let damped = [0.0, 1e-8, 1e-6, 1e-4, 1e-2].into_iter().find_map(|damping| {
            let mut matrix = precision.clone();
            (0..n).for_each(|i| matrix[i * n + i] += damping);
            dense::cholesky(&matrix, n)
        });
        let Some(p) = damped else { break };
        let mut step = vec![0.0; n];
        dense::lower_transposed_product(&l, n, &gradient, &mut step);
        dense::solve_lower(&p, n, &mut step);
        dense::solve_lower_transposed(&p, n, &mut step);
        // Covariance L P⁻¹ Lᵀ, its factor by Cholesky of P⁻¹ (well conditioned) times L.
        let Some(b) = dense::cholesky(&dense::inverse_from_cholesky(&p, n), n) else { break };
        let product = dense::lower_by_lower(&l, &b, n);
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
