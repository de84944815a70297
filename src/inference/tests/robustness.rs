//! Fits where a blind optimiser fails: scales, correlations, funnels, steps that are not finite; and what a fit promises
//! whatever the program: the same bits, an answer when interrupted, an error that replays.

use super::fit;
use super::guides::{Estimator, Family, Guide};
use super::models::{self, Reference};
use super::targets::Gaussian;
use crate::inference::bound::{Bound, ParamBlock, ParamRole, QuantityName};
use crate::inference::fit::{Config, Control, Line, Observer, Progress, Silent, Stopped};
use crate::inference::noise::Noise;
use crate::inference::optimise::{Choice, Rule};
use crate::inference::verdict::FitStatus;
use crate::runtime::executable::{Status, Stream};

fn config(seed: u64) -> Config {
    Config { seed, draws: 20_000, ..Config::default() }
}

/// Standard deviations over five decades, correlations near 1, a thousand standard deviations from the origin.
fn hard_gaussian() -> Gaussian {
    let n = 6;
    let mut noise = Noise::new(11, 0);
    let mut factor = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..i {
            factor[i * n + j] = noise.normal();
        }
        factor[i * n + i] = if i % 2 == 0 { 1.0 } else { 1e-2 };
    }
    for i in 0..n {
        let unit = 10f64.powi(i as i32 - 3);
        (0..n).for_each(|j| factor[i * n + j] *= unit);
    }
    let location = (0..n).map(|i| 1000.0 * factor[i * n + i] * if i % 2 == 0 { 1.0 } else { -100.0 }).collect();
    Gaussian { location, factor }
}

#[test]
fn ill_conditioned_gaussian_is_exact() {
    let truth = hard_gaussian();
    let mut guide = Guide::derived(hard_gaussian(), Family::FullRank, Estimator::Sticking, 1);
    let outcome = fit(&mut guide, &config(1), &mut Silent).unwrap();
    assert_eq!(outcome.status, FitStatus::Converged, "{:?} {:?}", outcome.method, outcome.trace);
    // With the exact posterior as guide every draw of the ELBO is the log evidence, 0.
    assert!(outcome.objective.mean.abs() < 1e-4, "{:?}", outcome.objective);
    for (i, row) in outcome.quantities.iter().enumerate() {
        let sd = super::super::dense::norm(&truth.factor[i * 6..i * 6 + 6]);
        assert!((row.mean - truth.location[i]).abs() < 0.03 * sd && (row.sd / sd - 1.0).abs() < 0.03, "{row:?}");
    }
}

/// Changing a covariate's unit or origin changes nothing but the coefficients' names.
#[test]
fn covariates_in_other_units() {
    let reference = Reference::of(models::KIDIQ);
    for (times, plus) in [(1000.0, 0.0), (1.0, 4000.0)] {
        let mut guide = Guide::derived(models::kidiq(times, plus), Family::FullRank, Estimator::Sticking, 2);
        let outcome = fit(&mut guide, &config(2), &mut Silent).unwrap();
        assert_eq!(outcome.status, FitStatus::Converged, "{times} {plus}: {:?}", outcome.reasons);
        // b1 + b3 (t q + p) + (b2 + b4 (t q + p)) h.
        let columns: Vec<Vec<f64>> = (0..4).map(|i| outcome.draws.column(i).collect()).collect();
        let moments = |of: &dyn Fn(usize) -> f64| {
            let count = outcome.draws.count();
            let mean = (0..count).map(of).sum::<f64>() / count as f64;
            let variance = (0..count).map(|d| (of(d) - mean).powi(2)).sum::<f64>() / count as f64;
            (mean, variance.sqrt())
        };
        let found = [
            moments(&|d| columns[0][d] + plus * columns[2][d]),
            moments(&|d| columns[1][d] + plus * columns[3][d]),
            moments(&|d| times * columns[2][d]),
            moments(&|d| times * columns[3][d]),
        ];
        for (k, (mean, sd)) in found.into_iter().enumerate() {
            let (m, s) = reference.get(&format!("beta[{}]", k + 1)).unwrap();
            assert!((mean - m).abs() < 0.1 * s && (sd / s - 1.0).abs() < 0.06, "{times} {plus} {k}: {mean} {sd}");
        }
    }
}

/// A funnel whose density has no mode: both families come to their optimum and say that it is not good.
#[test]
fn centred_schools_are_not_trusted() {
    for (family, elbo) in [(Family::MeanField, -33.40), (Family::FullRank, -32.59)] {
        let mut guide = Guide::derived(models::schools(true), family, Estimator::Sticking, 8);
        let outcome = fit(&mut guide, &Config { seed: 3, ..Config::default() }, &mut Silent).unwrap();
        let shown = format!("{family:?} {:?} {:?} {:?}", outcome.objective, outcome.khat, outcome.trace);
        assert!((outcome.objective.mean - elbo).abs() < 0.08, "{shown}");
        if family == Family::MeanField {
            assert_eq!((outcome.status, outcome.status.exit_code()), (FitStatus::Untrustworthy, 3), "{shown}");
            assert!(outcome.reasons[0].contains("k-hat") && outcome.advice[0].contains("full_rank"));
        }
    }
}

struct Counter {
    calls: usize,
    limit: usize,
}

impl Observer for Counter {
    fn progress(&mut self, _progress: &Progress) -> Control {
        self.calls += 1;
        if self.calls > self.limit { Control::Cancel } else { Control::Continue }
    }
}

#[test]
fn same_seed_same_bits() {
    let run = |observer: &mut dyn Observer, seed| {
        let mut guide = Guide::derived(models::schools(false), Family::FullRank, Estimator::Sticking, 1);
        fit(&mut guide, &Config { max_steps: 2000, ..config(seed) }, observer).unwrap()
    };
    let first = run(&mut Silent, 4);
    let second = run(&mut Counter { calls: 0, limit: usize::MAX }, 4);
    assert!(first.params.iter().zip(&second.params).all(|(a, b)| a.to_bits() == b.to_bits()));
    assert!(first.draws.values.iter().zip(&second.draws.values).all(|(a, b)| a.to_bits() == b.to_bits()));
    assert_eq!(first.objective.mean.to_bits(), second.objective.mean.to_bits());
    assert_ne!(first.params, run(&mut Silent, 5).params);
    assert_eq!(first.status, FitStatus::StepLimit);
    assert!(first.steps <= 2000 && first.steps > 1900);
}

#[test]
fn interruption_keeps_what_was_reached() {
    for limit in [3, 100, 400] {
        let mut guide = Guide::derived(models::schools(false), Family::FullRank, Estimator::Sticking, 4);
        let outcome = fit(&mut guide, &config(6), &mut Counter { calls: 0, limit }).unwrap();
        assert_eq!((outcome.status, outcome.status.exit_code()), (FitStatus::Interrupted, 130));
        assert!(outcome.draws.count() > 0 && outcome.quantities.iter().all(|q| q.mean.is_finite()));
    }
}

/// One parameter `l`; the objective is E[x log(0.8/q) + (1-x) log(0.2/(1-q))] over x ~ Bernoulli(q), q = sigmoid(l), by the
/// score function, and fails at every `period`-th step.
struct Coin {
    blocks: Vec<ParamBlock>,
    start: f64,
    period: u32,
}

impl Coin {
    fn new(start: f64, period: u32) -> Coin {
        let block =
            ParamBlock { name: "l".into(), offset: 0, len: 1, role: ParamRole::Free, explicit: true, trained: true };
        Coin { blocks: vec![block], start, period }
    }
}

impl Bound for Coin {
    fn params(&self) -> &[ParamBlock] {
        &self.blocks
    }
    fn param_len(&self) -> usize {
        1
    }
    fn tuned_len(&self) -> usize {
        1
    }
    fn state_len(&self) -> usize {
        1
    }
    fn initial_params(&self) -> &[f64] {
        std::slice::from_ref(&self.start)
    }
    fn initial_tuned(&self) -> &[f64] {
        &[3.0]
    }
    fn initial_state(&self) -> &[f64] {
        &[0.0]
    }
    /// The tuned parameter's loss is (t - 1)²; the state counts steps that were taken.
    fn step(
        &mut self,
        params: &[f64],
        tuned: &[f64],
        state: &[f64],
        stream: Stream,
        gradient: &mut [f64],
        tuned_gradient: &mut [f64],
        next_state: &mut [f64],
    ) -> (f64, Status) {
        let q = 1.0 / (1.0 + (-params[0]).exp());
        let mut noise = Noise::new(stream.seed ^ (u64::from(stream.step) << 20), 5);
        let x = noise.uniform() < q;
        let value = if x { (0.8 / q).ln() } else { (0.2 / (1.0 - q)).ln() };
        gradient[0] = value * (f64::from(u8::from(x)) - q);
        tuned_gradient[0] = 2.0 * (tuned[0] - 1.0);
        next_state[0] = state[0] + 1.0;
        if stream.step.is_multiple_of(self.period) { (f64::NAN, Status::Check(2)) } else { (value, Status::Fine) }
    }
    fn latent_len(&self) -> usize {
        0
    }
    fn log_joint(&mut self, _latent: &[f64], _gradient: &mut [f64]) -> (f64, Status) {
        (f64::NAN, Status::Domain)
    }
    fn quantities(&self) -> &[QuantityName] {
        &[]
    }
    fn draws(&mut self, _: &[f64], _: Stream, _: usize, _: usize, _: &mut [f64], _: &mut [f64]) -> bool {
        false
    }
    fn constrained(&mut self, params: &[f64]) -> Vec<(String, f64)> {
        vec![("l".into(), params[0])]
    }
}

#[test]
fn score_function_gradients_train() {
    let outcome = fit(&mut Coin::new(-2.0, u32::MAX), &config(7), &mut Silent).unwrap();
    assert_eq!(outcome.status, FitStatus::Converged, "{:?}", outcome.trace);
    assert!((outcome.parameters[0].1 - 4.0f64.ln()).abs() < 0.1, "{:?} {:?}", outcome.parameters, outcome.method);
    assert!(outcome.khat.is_none() && outcome.quantities.is_empty());
    assert!((outcome.lines[0].tuned[0] - 1.0).abs() < 0.05);
    assert!(
        outcome.lines[0].state[0] > 0.98 * outcome.steps as f64 && outcome.lines[0].state[0] < outcome.steps as f64
    );
}

#[test]
fn failing_steps_are_left_out_or_named() {
    let outcome = fit(&mut Coin::new(0.0, 10), &config(8), &mut Silent).unwrap();
    assert!((outcome.parameters[0].1 - 4.0f64.ln()).abs() < 0.1);
    assert!(outcome.warnings[0].contains("left out"), "{:?}", outcome.warnings);
    let stopped = fit(&mut Coin::new(0.0, 1), &config(9), &mut Silent).unwrap_err();
    let Stopped::Training(failure) = stopped else { unreachable!() };
    assert_eq!((failure.seed, failure.status), (9, Status::Check(2)));
    assert!(failure.to_string().contains("step") && failure.to_string().contains("check 2"));
}

/// Other rules, and Adam at the rate of a file, reach the same optimum from the same start.
#[test]
fn every_rule_trains() {
    for (rule, rate) in [
        (Rule::ADAM, 0.01),
        (Rule::Sgd { momentum: 0.9 }, 0.002),
        (Rule::Adagrad { epsilon: 1e-10 }, 0.1),
        (Rule::Rmsprop { keep: 0.99, epsilon: 1e-10 }, 0.01),
    ] {
        let mut guide = Guide::derived(models::sblri(), Family::MeanField, Estimator::Pathwise, 4);
        let line = Line { bound: &mut guide, optimiser: Some(Choice::of(rule, rate)) };
        let outcome = crate::inference::fit::fit(vec![line], &config(1), &mut Silent).unwrap();
        assert_eq!(outcome.status, FitStatus::Converged, "{rule:?}");
        assert!((outcome.objective.mean + 184.87).abs() < 0.03, "{rule:?} {:?}", outcome.objective);
    }
}
