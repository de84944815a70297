//! The best Gaussian, full or factorised, for a density whose Hessian has structure: the precision is minus the mean Hessian
//! under the Gaussian (for a factorised one its diagonal), and the mean gradient vanishes (Opper and Archambeau, Neural Computation
//! 2009, equations 7 and 8). Damped steps towards both with averaged differences of gradients (Khan and Rue, JMLR 2023, section 3),
//! which is natural-gradient ascent. The structure is the posterior's, so it costs nothing of the optimum: the best Gaussian's
//! precision has it too.

use super::dense;
use super::noise::Noise;
use super::quasi_newton::Hill;
use super::structure::{Matrix, Structure};

/// Steps of the approach, with few draws, a constant rate and momentum: where a scale and the spread of what it scales must shrink or
/// grow together, each step is short against the way.
const APPROACH: usize = 1600;
const APPROACH_DRAWS: usize = 16;
const APPROACH_RATE: f64 = 0.4;
const MOMENTUM: f64 = 0.8;
/// Steps of the end, with more draws and a falling rate.
const END: usize = 96;
const DRAWS: usize = 96;
/// Steps between looks at the ELBO, a gain that is none, and looks without one after which the approach, and the end, are over.
const LOOK: usize = 16;
const GAIN: f64 = 0.01;
const QUIET: [usize; 2] = [4, 2];
/// A candidate whose ELBO is that near another's, at a distance of so little in nats a latent, is on the way to the same Gaussian.
const NEAR: f64 = 1.0;
const NEAR_EACH: f64 = 0.02;
/// Draws that score a Gaussian.
const SCORED: usize = 400;
/// More latents than this have no structure looked for.
const MOST: usize = 4000;

/// A Gaussian whose precision has the posterior's structure.
pub(crate) struct Sparse {
    pub(crate) structure: Structure,
    pub(crate) location: Vec<f64>,
    /// Minus the mean Hessian; a factorised Gaussian has its diagonal for precision.
    pub(crate) curvature: Matrix,
    pub(crate) factorised: bool,
    pub(crate) elbo: f64,
}

impl Sparse {
    /// Standard deviations of the Gaussian.
    pub(crate) fn sds(&self) -> Option<Vec<f64>> {
        if self.factorised {
            return Some(self.structure.diagonal(&self.curvature).iter().map(|p| 1.0 / p.sqrt()).collect());
        }
        let g = self.structure.cholesky(&self.curvature)?;
        Some(self.structure.variances(&g).iter().map(|v| v.sqrt()).collect())
    }
}

/// Structure at a Gaussian given by location and standard deviations; `None` where it would save nothing.
pub(crate) fn structure(hill: &mut dyn Hill, location: &[f64], sds: &[f64], seed: u64) -> Option<Structure> {
    let n = location.len();
    if !(6..=MOST).contains(&n) {
        return None;
    }
    let mut noise = Noise::new(seed, 5);
    let places: Vec<Vec<f64>> = [0.0, 0.5]
        .iter()
        .map(|width| location.iter().zip(sds).map(|(x, s)| x + width * s * noise.normal()).collect())
        .collect();
    let found = Structure::find(hill, &places, sds)?;
    (3 * found.groups.len() <= n).then_some(found)
}

/// One draw's noise turned into a point.
fn point(s: &Sparse, factor: &[f64], e: &[f64]) -> Vec<f64> {
    let moved = if s.factorised {
        // `factor` holds standard deviations.
        e.iter().zip(factor).map(|(e, s)| e * s).collect()
    } else {
        s.structure.spread(factor, e)
    };
    s.location.iter().zip(&moved).map(|(x, m)| x + m).collect()
}

/// What turns noise into points: the Cholesky factor, or standard deviations. `None` if the curvature is no maximum's.
fn factor_of(s: &Sparse) -> Option<Vec<f64>> {
    let g = s.structure.cholesky(&s.curvature)?;
    Some(if s.factorised { s.structure.diagonal(&s.curvature).iter().map(|p| 1.0 / p.sqrt()).collect() } else { g })
}

/// ELBO over fixed antithetic draws; `-inf` where a density is not finite.
fn elbo(hill: &mut dyn Hill, s: &Sparse, seed: u64) -> f64 {
    let n = s.location.len();
    let Some(factor) = factor_of(s) else { return f64::NEG_INFINITY };
    let mut noise = Noise::new(seed, 6);
    let (mut e, mut g, mut total) = (vec![0.0; n], vec![0.0; n], 0.0);
    for draw in 0..SCORED {
        if draw % 2 == 0 {
            e.iter_mut().for_each(|v| *v = noise.normal());
        } else {
            e.iter_mut().for_each(|v| *v = -*v);
        }
        total += hill.at(&point(s, &factor, &e), &mut g);
        if total == f64::NEG_INFINITY || hill.cancelled() {
            return f64::NEG_INFINITY;
        }
    }
    let half_log_det =
        if s.factorised { factor.iter().map(|s| s.ln()).sum() } else { -0.5 * s.structure.log_det(&factor) };
    total / SCORED as f64 + half_log_det + 0.5 * n as f64 * (1.0 + std::f64::consts::TAU.ln())
}

/// The curvature at one point, made that of a maximum by the least damping of its diagonal that does; whether it is one's as it is.
pub(crate) fn curvature(hill: &mut dyn Hill, structure: &Structure, x: &[f64], sds: &[f64]) -> Option<(Matrix, bool)> {
    let widths: Vec<f64> = sds.iter().map(|s| 1e-3 * s).collect();
    local(hill, structure, x, &widths).map(|found| (found.0, found.1 == 0.0))
}

/// The curvature at one point, and its damping.
fn local(hill: &mut dyn Hill, structure: &Structure, x: &[f64], steps: &[f64]) -> Option<(Matrix, f64)> {
    let mut a = vec![0.0; structure.len()];
    if !structure.add_curvature(hill, x, steps, &mut a, &mut vec![0.0; x.len()]) {
        return None;
    }
    for damping in [0.0, 1e-6, 1e-4, 1e-2, 0.1, 1.0] {
        let mut damped = a.clone();
        structure.scale_diagonal(&mut damped, 1.0 + damping);
        if structure.cholesky(&damped).is_some() {
            return Some((damped, damping));
        }
    }
    None
}

/// Where the way from a candidate leads.
pub(crate) enum Way<T> {
    Ends(T),
    /// To a Gaussian that is known.
    Meets,
    /// To none that could be trusted.
    Nowhere,
}

/// A Gaussian to begin at, from standard deviations and, if it is known, a precision `[n, n]`.
pub(crate) fn begin(
    hill: &mut dyn Hill,
    structure: &Structure,
    location: &[f64],
    sds: &[f64],
    precision: Option<&[f64]>,
    factorised: bool,
    seed: u64,
) -> Option<Sparse> {
    let widths: Vec<f64> = sds.iter().map(|s| 1e-3 * s).collect();
    let at_location = local(hill, structure, location, &widths).map(|found| found.0);
    let restricted = precision.map(|p| structure.restrict(p));
    let mut best: Option<Sparse> = None;
    for curvature in [at_location, restricted].into_iter().flatten() {
        let mut candidate = Sparse {
            structure: structure.clone(),
            location: location.to_vec(),
            curvature,
            factorised,
            elbo: f64::NEG_INFINITY,
        };
        candidate.elbo = elbo(hill, &candidate, seed);
        if candidate.elbo.is_finite() && best.as_ref().is_none_or(|b| candidate.elbo > b.elbo) {
            best = Some(candidate);
        }
    }
    best
}

/// The best Gaussian from one to begin at.
pub(crate) fn best(hill: &mut dyn Hill, begin: Sparse, known: &[Sparse], seed: u64) -> Way<Sparse> {
    let mut best = begin;
    let mut noise = Noise::new(seed, 7);
    let n = best.location.len();
    for approach in [true, false] {
        if !climb(hill, &mut best, &mut noise, approach, known, seed) {
            return Way::Meets;
        }
    }
    let widths: Vec<f64> = best.structure.diagonal(&best.curvature).iter().map(|p| 1e-3 / p.sqrt()).collect();
    // An entry that is nonzero elsewhere only would have been missed: then nothing here is worth anything.
    let direction: Vec<f64> =
        best.structure.diagonal(&best.curvature).iter().map(|p| noise.normal() / p.sqrt()).collect();
    let mut here = vec![0.0; best.structure.len()];
    let finite = best.structure.add_curvature(hill, &best.location, &widths, &mut here, &mut vec![0.0; n]);
    if finite && !best.structure.misses(hill, &best.location, &here, &direction) {
        Way::Ends(best)
    } else {
        Way::Nowhere
    }
}

/// Whether two Gaussians are nearly one, by the first one's own measure.
fn meets(known: &Sparse, now: &Sparse) -> bool {
    let away: Vec<f64> = now.location.iter().zip(&known.location).map(|(a, b)| a - b).collect();
    let distance = 0.5 * dense::dot(&away, &known.structure.product(&known.curvature, &away));
    (known.elbo - now.elbo).abs() < NEAR && distance < NEAR_EACH * away.len() as f64
}

/// One phase of damped steps; `best` becomes the last place that did not lose. False where the way leads to a known one.
fn climb(
    hill: &mut dyn Hill,
    best: &mut Sparse,
    noise: &mut Noise,
    approach: bool,
    known: &[Sparse],
    seed: u64,
) -> bool {
    let n = best.location.len();
    let (steps, draws, momentum) = if approach { (APPROACH, APPROACH_DRAWS, MOMENTUM) } else { (END, DRAWS, 0.0) };
    let mut now = Sparse {
        structure: best.structure.clone(),
        location: best.location.clone(),
        curvature: best.curvature.clone(),
        factorised: best.factorised,
        elbo: best.elbo,
    };
    let (mut e, mut velocity) = (vec![0.0; n], vec![0.0; n]);
    let (mut caution, mut quiet) = (1.0, 0);
    for step in 0..steps {
        let Some(factor) = factor_of(&now) else { break };
        let widths: Vec<f64> = now.structure.diagonal(&now.curvature).iter().map(|p| 1e-3 / p.sqrt()).collect();
        let (mut sum, mut slope) = (vec![0.0; now.structure.len()], vec![0.0; n]);
        let mut finite = true;
        for draw in 0..draws {
            if draw % 2 == 0 {
                e.iter_mut().for_each(|v| *v = noise.normal());
            } else {
                e.iter_mut().for_each(|v| *v = -*v);
            }
            let x = point(&now, &factor, &e);
            finite = now.structure.add_curvature(hill, &x, &widths, &mut sum, &mut slope);
            if !finite || hill.cancelled() {
                break;
            }
        }
        if hill.cancelled() {
            return true;
        }
        let mut back = !finite || !dense::all_finite(&sum) || !dense::all_finite(&slope);
        if !back {
            let wanted = if approach { APPROACH_RATE } else { 0.6f64.min(6.0 / (step + 2) as f64) };
            let mut rate: f64 = caution * wanted;
            let mut moved = None;
            while rate > 1e-6 && moved.is_none() {
                let share = rate / draws as f64;
                let mixed: Matrix =
                    now.curvature.iter().zip(&sum).map(|(old, new)| (1.0 - rate) * old + share * new).collect();
                // No variance changes by more than a factor of 4 at once.
                let (old, new) = (now.structure.diagonal(&now.curvature), now.structure.diagonal(&mixed));
                let tame = old.iter().zip(&new).all(|(o, n)| *n < 4.0 * o && *n > 0.25 * o);
                moved = tame.then(|| now.structure.cholesky(&mixed)).flatten().map(|g| (mixed, g));
                if moved.is_none() {
                    rate *= 0.5;
                }
            }
            let Some((curvature, g)) = moved else { return true };
            slope.iter_mut().for_each(|s| *s /= draws as f64);
            let along = now.structure.solve(&g, &slope);
            velocity.iter_mut().zip(&along).for_each(|(v, a)| *v = momentum * *v + rate * a);
            let length = dense::dot(&velocity, &now.structure.product(&curvature, &velocity)).max(0.0).sqrt();
            let most = (n as f64).sqrt();
            if length > most {
                velocity.iter_mut().for_each(|v| *v *= most / length);
            }
            now.location.iter_mut().zip(&velocity).for_each(|(x, v)| *x += v);
            now.curvature = curvature;
        }
        if step % LOOK == LOOK - 1 && !back {
            now.elbo = elbo(hill, &now, seed);
            let gain = now.elbo - best.elbo;
            back = gain.is_nan() || gain < -5.0 * GAIN;
            quiet = if gain < GAIN { quiet + 1 } else { 0 };
            // The end has less noise than its ELBO's figure: its last place is its best.
            if gain > 0.0 || (!approach && !back) {
                best.location.copy_from_slice(&now.location);
                best.curvature.copy_from_slice(&now.curvature);
                best.elbo = now.elbo;
            }
            if quiet >= QUIET[usize::from(!approach)] {
                return true;
            }
            if known.iter().any(|k| meets(k, &now)) {
                return false;
            }
        }
        if back {
            caution *= 0.5;
            velocity.fill(0.0);
            now.location.copy_from_slice(&best.location);
            now.curvature.copy_from_slice(&best.curvature);
            if caution < 1e-3 {
                return true;
            }
        }
    }
    true
}

/// Standard deviations of a factorised Gaussian over those of the posterior near it: of the Gaussian whose precision is minus the
/// mean Hessian under it. Below 1 where latents are correlated. `None` where that is no precision, or costs too much.
pub(crate) fn narrowness(hill: &mut dyn Hill, location: &[f64], sds: &[f64], seed: u64) -> Option<Vec<f64>> {
    const GROUPS: usize = 100;
    let n = location.len();
    if n > MOST {
        return None;
    }
    let structure = Structure::find(hill, &[location.to_vec()], sds)?;
    if structure.groups.len() > GROUPS {
        return None;
    }
    let widths: Vec<f64> = sds.iter().map(|s| 1e-3 * s).collect();
    let mut noise = Noise::new(seed, 8);
    let (mut sum, mut slope, mut e) = (vec![0.0; structure.len()], vec![0.0; n], vec![0.0; n]);
    for draw in 0..DRAWS {
        if draw % 2 == 0 {
            e.iter_mut().for_each(|v| *v = noise.normal());
        } else {
            e.iter_mut().for_each(|v| *v = -*v);
        }
        let x: Vec<f64> = location.iter().zip(sds).zip(&e).map(|((x, s), e)| x + s * e).collect();
        if !structure.add_curvature(hill, &x, &widths, &mut sum, &mut slope) || hill.cancelled() {
            return None;
        }
    }
    sum.iter_mut().for_each(|v| *v /= DRAWS as f64);
    let g = structure.cholesky(&sum)?;
    Some(structure.variances(&g).iter().zip(sds).map(|(v, s)| s / v.sqrt()).collect())
}
