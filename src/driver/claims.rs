//! `provi grad --test`: whether the gradient that is used is unbiased at the given parameters.
//!
//! Strategies, `estimates` and the like are claims. The reference does without them: the mean of the objective with every
//! site drawn plainly, and its symmetric differences in each parameter (two step widths, extrapolated), on draws of their
//! own. Two stages: a rejection at level 3e-4 counts only if a fresh stream with ten times the samples rejects in the same
//! direction. What could not have been noticed is said: the smallest bias that is found for all but certain.

use super::Refusal;
use super::compile::{self, Backend};
use super::model::{initial, memory, objective};
use super::session::{Session, scalar_names};
use crate::inference::summary::Estimate;
use crate::runtime::executable::{Executable, Status, Stream};
use crate::specialize::machine::Space;
use crate::specialize::programs::{self, Options};
use crate::syntax::tree::Expr;

/// Two-sided normal quantile at 3e-4.
const CRITICAL: f64 = 3.615;
/// Standard errors at which a bias is found for all but certain.
const DETECTED: f64 = 5.9;
/// Half width of the differences, on the unconstrained scale.
const WIDTH: f64 = 0.1;
/// Parameters (scalars) that are tested; the first ones.
const MOST_PARAMETERS: usize = 32;

/// One number that was compared.
#[derive(Clone, Debug)]
pub struct Compared {
    /// `value`, or a parameter on its unconstrained scale.
    pub name: String,
    pub found: f64,
    pub expected: f64,
    /// Of the last stage that was run.
    pub p: f64,
    /// A bias of this size is found for all but certain.
    pub detectable: f64,
    pub rejected: bool,
}

#[derive(Clone, Debug)]
pub struct TestReport {
    pub samples: usize,
    pub rows: Vec<Compared>,
}

impl TestReport {
    pub fn passed(&self) -> bool {
        self.rows.iter().all(|r| !r.rejected)
    }
}

/// Mean and spread of one number over samples.
#[derive(Clone, Copy, Default)]
struct Running {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Running {
    fn push(&mut self, x: f64) {
        self.count += 1.0;
        let d = x - self.mean;
        self.mean += d / self.count;
        self.squares += d * (x - self.mean);
    }

    fn estimate(&self) -> Estimate {
        let variance = self.squares / (self.count - 1.0).max(1.0);
        Estimate { mean: self.mean, mcse: (variance / self.count.max(1.0)).sqrt() }
    }
}

/// Tests the gradient of `expr` at the declared initial parameters.
pub fn test<'a>(
    session: &Session<'a>,
    expr: &'a Expr,
    reference: &'a Expr,
    seed: u64,
    samples: usize,
    backend: Backend,
) -> Result<TestReport, Refusal> {
    let found = objective(session, expr, Space::Unconstrained, 1, &[])?;
    let data = session.data_of(&found.program);
    let mut gradient = compile::executable(&found.program, &data, backend).map_err(|d| session.refuse(d))?;
    let names: Vec<String> = found.params.iter().map(|p| p.0.clone()).collect();
    let kept = memory(session, &found.program, Space::Unconstrained)?;
    let options = Options { space: Space::Unconstrained, particles: 1, params: names.clone() };
    let plain = programs::expression(&session.bound, reference, &options).map_err(|d| session.refuse(d))?;
    let plain = compile::value_only(plain);
    let plain_kept = memory(session, &plain, Space::Unconstrained)?;
    let data = session.data_of(&plain);
    let mut value = compile::executable(&plain, &data, backend).map_err(|d| session.refuse(d))?;
    let params = initial(session, &names)?;
    let scalars: Vec<String> = found.params.iter().flat_map(|(n, s)| scalar_names(n, s)).collect();
    let tested = scalars.len().min(MOST_PARAMETERS);
    let mut rows = Vec::new();
    let mut stage = |seed: u64, samples: usize| -> Result<Vec<(Estimate, Estimate, f64)>, Refusal> {
        let mut ours = vec![Running::default(); tested + 1];
        let mut out = vec![0.0; gradient.output_len()];
        for step in 0..samples {
            let stream = Stream { seed, step: u32::try_from(step).unwrap_or(u32::MAX) };
            let status = gradient.step(&params, &kept.tuned, &kept.state, stream, &mut out);
            if status != Status::Fine {
                return Err(session.refuse_with("E0603", format!("sample {step} with seed {seed} does not finish")));
            }
            for (r, x) in ours.iter_mut().zip(&out) {
                r.push(*x);
            }
        }
        let mut theirs = vec![Running::default(); tested + 1];
        let mut slack = vec![0.0; tested + 1];
        let mut wide = vec![Running::default(); tested];
        let mut narrow = vec![Running::default(); tested];
        let other = seed ^ 0x5851_f42d_4c95_7f2d;
        let mut at = params.clone();
        let one = |value: &mut Box<dyn Executable>, at: &[f64], stream: Stream| -> Result<f64, Refusal> {
            let mut out = vec![0.0; value.output_len()];
            let status = value.step(at, &plain_kept.tuned, &plain_kept.state, stream, &mut out);
            if status == Status::Fine {
                Ok(out[0])
            } else {
                Err(session.refuse_with("E0603", "a plain run does not finish"))
            }
        };
        for step in 0..samples {
            let stream = Stream { seed: other, step: u32::try_from(step).unwrap_or(u32::MAX) };
            theirs[0].push(one(&mut value, &at, stream)?);
            for k in 0..tested {
                let mut along = |h: f64| -> Result<f64, Refusal> {
                    at[k] = params[k] + h;
                    let x = one(&mut value, &at, stream);
                    at[k] = params[k];
                    x
                };
                let d1 = (along(WIDTH)? - along(-WIDTH)?) / (2.0 * WIDTH);
                let d2 = (along(2.0 * WIDTH)? - along(-2.0 * WIDTH)?) / (4.0 * WIDTH);
                narrow[k].push(d1);
                wide[k].push(d2);
                theirs[k + 1].push((4.0 * d1 - d2) / 3.0);
            }
        }
        for k in 0..tested {
            // What the extrapolation may leave.
            slack[k + 1] = 0.02 * (narrow[k].mean - wide[k].mean).abs();
        }
        Ok(ours.iter().zip(&theirs).zip(slack).map(|((a, b), s)| (a.estimate(), b.estimate(), s)).collect())
    };
    let first = stage(seed, samples)?;
    let z = |&(a, b, slack): &(Estimate, Estimate, f64)| -> f64 {
        let difference = a.mean - b.mean;
        let beyond = (difference.abs() - slack - 1e-9 * (1.0 + b.mean.abs())).max(0.0);
        difference.signum() * beyond / a.mcse.hypot(b.mcse).max(1e-300)
    };
    let suspects: Vec<bool> = first.iter().map(|r| z(r).abs() > CRITICAL || z(r).is_nan()).collect();
    let second = if suspects.iter().any(|&s| s) { Some(stage(seed.wrapping_add(1), 10 * samples)?) } else { None };
    for (k, one) in first.iter().enumerate() {
        let name = if k == 0 { "value".to_owned() } else { scalars[k - 1].clone() };
        let last = match &second {
            Some(second) if suspects[k] => &second[k],
            _ => one,
        };
        let (score, before) = (z(last), z(one));
        let again = score.is_nan() || (score.abs() > CRITICAL && score.signum() == before.signum());
        rows.push(Compared {
            name,
            found: last.0.mean,
            expected: last.1.mean,
            p: two_sided(score),
            detectable: DETECTED * last.0.mcse.hypot(last.1.mcse) + last.2,
            rejected: suspects[k] && again,
        });
    }
    Ok(TestReport { samples, rows })
}

/// Probability of a normal deviate at least as large (Abramowitz and Stegun 7.1.26, absolute error 1.5e-7).
fn two_sided(z: f64) -> f64 {
    if z.is_nan() {
        return 0.0;
    }
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let poly =
        t * (0.254_829_592 + t * (-0.284_496_736 + t * (1.421_413_741 + t * (-1.453_152_027 + t * 1.061_405_429))));
    (poly * (-x * x).exp()).clamp(0.0, 1.0)
}
