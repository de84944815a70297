//! A run that is cut and goes on is one run: the same bits, wherever it was cut. Plain ascent is what its name says, and
//! several lines step together.

use super::fit;
use super::guides::{Estimator, Family, Guide};
use super::models;
use crate::inference::bound::{Bound, ParamBlock, ParamRole, QuantityName};
use crate::inference::fit::{Config, Control, Line, Observer, Outcome, Progress, Silent, Stopped};
use crate::inference::optimise::{Choice, Rule};
use crate::inference::saved::Saved;
use crate::inference::verdict::FitStatus;
use crate::runtime::executable::{Status, Stream};

fn same(a: &Outcome, b: &Outcome) {
    let bits = |x: &[f64]| x.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(a.steps, b.steps);
    assert_eq!(bits(&a.params), bits(&b.params));
    assert_eq!(bits(&a.draws.values), bits(&b.draws.values));
    assert_eq!(a.objective.mean.to_bits(), b.objective.mean.to_bits());
    assert_eq!((a.status, &a.reasons, &a.trace), (b.status, &b.reasons, &b.trace));
    for (x, y) in a.lines.iter().zip(&b.lines) {
        assert_eq!(bits(&x.tuned), bits(&y.tuned));
        assert_eq!(bits(&x.state), bits(&y.state));
    }
}

fn config(max_steps: usize, resume: Option<Saved>) -> Config {
    Config { seed: 3, max_steps, draws: 2000, keep: true, resume, ..Config::default() }
}

struct After(usize);

impl Observer for After {
    fn progress(&mut self, progress: &Progress) -> Control {
        if progress.step >= self.0 { Control::Cancel } else { Control::Continue }
    }
}

#[test]
fn cut_runs_go_on() {
    for (family, estimator) in [(Family::FullRank, Estimator::Sticking), (Family::MeanField, Estimator::Pathwise)] {
        let guide = || Guide::derived(models::schools(false), family, estimator, 2);
        let whole = fit(&mut guide(), &config(9000, None), &mut Silent).unwrap();
        // In an epoch, at its end, twice, and where the observer cuts.
        let mut kept = None;
        for cut in [100, 250, 251, 1300] {
            let part = fit(&mut guide(), &config(cut, kept), &mut Silent).unwrap();
            assert_eq!(part.status, FitStatus::StepLimit);
            kept = part.saved;
        }
        let part = fit(&mut guide(), &config(9000, kept), &mut After(2000)).unwrap();
        assert_eq!(part.status, FitStatus::Interrupted);
        let resumed = fit(&mut guide(), &config(9000, part.saved), &mut Silent).unwrap();
        same(&whole, &resumed);
        // A run that has ended stays as it is.
        same(&whole, &fit(&mut guide(), &config(9000, whole.saved.clone()), &mut Silent).unwrap());
    }
}

#[test]
fn free_parameters_go_on() {
    let guide = || {
        let target = models::schools(false);
        let n = crate::inference::tests::targets::Target::dim(&target);
        Guide::by_hand(target, Family::MeanField, Estimator::Pathwise, 2, vec![2.0; n], vec![0.2; n])
    };
    let whole = fit(&mut guide(), &config(4000, None), &mut Silent).unwrap();
    let part = fit(&mut guide(), &config(900, None), &mut Silent).unwrap();
    same(&whole, &fit(&mut guide(), &config(4000, part.saved), &mut Silent).unwrap());
}

#[test]
fn another_program_does_not_go_on() {
    let mut guide = Guide::derived(models::schools(false), Family::MeanField, Estimator::Pathwise, 2);
    let part = fit(&mut guide, &config(300, None), &mut Silent).unwrap();
    let mut other = Guide::derived(models::schools(false), Family::FullRank, Estimator::Pathwise, 2);
    assert_eq!(fit(&mut other, &config(600, part.saved.clone()), &mut Silent).unwrap_err(), Stopped::Resume);
    let changed = Config { fingerprint: 1, ..config(600, part.saved) };
    assert_eq!(fit(&mut guide, &changed, &mut Silent).unwrap_err(), Stopped::Resume);
}

/// Two parameters; the objective is `-(x - 1)² - (y - x)²/2`, of which a line trains what it is told. Without noise.
struct Hill {
    blocks: Vec<ParamBlock>,
    /// Weights of the two terms.
    weights: [f64; 2],
}

impl Hill {
    fn new(x: bool, y: bool, weights: [f64; 2]) -> Hill {
        let block = |name: &str, offset, trained| ParamBlock {
            name: name.into(),
            offset,
            len: 1,
            role: ParamRole::Free,
            explicit: true,
            trained,
        };
        Hill { blocks: vec![block("x", 0, x), block("y", 1, y)], weights }
    }
}

impl Bound for Hill {
    fn params(&self) -> &[ParamBlock] {
        &self.blocks
    }
    fn param_len(&self) -> usize {
        2
    }
    fn tuned_len(&self) -> usize {
        0
    }
    fn state_len(&self) -> usize {
        0
    }
    fn initial_params(&self) -> &[f64] {
        &[3.0, -1.0]
    }
    fn initial_tuned(&self) -> &[f64] {
        &[]
    }
    fn initial_state(&self) -> &[f64] {
        &[]
    }
    fn step(
        &mut self,
        params: &[f64],
        _: &[f64],
        _: &[f64],
        _: Stream,
        gradient: &mut [f64],
        _: &mut [f64],
        _: &mut [f64],
    ) -> (f64, Status) {
        let (a, b) = (params[0] - 1.0, params[1] - params[0]);
        gradient[0] = -2.0 * self.weights[0] * a + self.weights[1] * b;
        gradient[1] = -self.weights[1] * b;
        (-self.weights[0] * a * a - 0.5 * self.weights[1] * b * b, Status::Fine)
    }
    fn latent_len(&self) -> usize {
        0
    }
    fn log_joint(&mut self, _: &[f64], _: &mut [f64]) -> (f64, Status) {
        (f64::NAN, Status::Domain)
    }
    fn quantities(&self) -> &[QuantityName] {
        &[]
    }
    fn draws(&mut self, _: &[f64], _: Stream, _: usize, _: usize, _: &mut [f64], _: &mut [f64]) -> bool {
        false
    }
    fn constrained(&mut self, params: &[f64]) -> Vec<(String, f64)> {
        vec![("x".into(), params[0]), ("y".into(), params[1])]
    }
}

fn plain(rate: f64) -> Option<Choice> {
    Some(Choice { constant: true, ..Choice::of(Rule::Sgd { momentum: 0.0 }, rate) })
}

/// Exactly the recursion `x ← x + r g`, through the ends of epochs, and no step more.
#[test]
fn plain_ascent_is_plain() {
    let mut hill = Hill::new(true, true, [1.0, 1.0]);
    let asked = Config { max_steps: 1777, exact: true, draws: 10, ..Config::default() };
    let line = Line { bound: &mut hill, optimiser: plain(1e-3) };
    let outcome = crate::inference::fit::fit(vec![line], &asked, &mut Silent).unwrap();
    let (mut x, mut y) = (3.0f64, -1.0f64);
    for _ in 0..1777 {
        let (a, b) = (x - 1.0, y - x);
        (x, y) = (x + 1e-3 * (-2.0 * a + b), y + 1e-3 * -b);
    }
    assert_eq!((outcome.steps, outcome.status), (1777, FitStatus::StepLimit));
    assert_eq!([outcome.params[0].to_bits(), outcome.params[1].to_bits()], [x.to_bits(), y.to_bits()]);
    assert!(outcome.reasons[0].contains("constant"), "{:?}", outcome.reasons);
}

#[test]
fn what_is_not_trained_stays() {
    let mut hill = Hill::new(false, true, [1.0, 1.0]);
    let outcome = fit(&mut hill, &Config { draws: 10, ..Config::default() }, &mut Silent).unwrap();
    assert_eq!(outcome.status, FitStatus::Converged);
    assert_eq!(outcome.params[0], 3.0);
    assert!((outcome.params[1] - 3.0).abs() < 1e-3, "{:?}", outcome.params);
    assert_eq!(outcome.lines[0].trained, ["y"]);
}

/// One line moves `x` towards 1, the other `y` towards wherever `x` is; each with its own rule.
#[test]
fn lines_step_together() {
    let run = |max_steps, resume| {
        let (mut first, mut second) = (Hill::new(true, false, [1.0, 0.0]), Hill::new(false, true, [0.0, 1.0]));
        let lines = vec![
            Line { bound: &mut first, optimiser: Some(Choice::of(Rule::ADAM, 0.05)) },
            Line { bound: &mut second, optimiser: Some(Choice::of(Rule::Sgd { momentum: 0.5 }, 0.05)) },
        ];
        crate::inference::fit::fit(lines, &config(max_steps, resume), &mut Silent).unwrap()
    };
    let outcome = run(100_000, None);
    assert_eq!(outcome.status, FitStatus::Converged, "{:?}", outcome.trace);
    assert!((outcome.params[0] - 1.0).abs() < 0.01 && (outcome.params[1] - 1.0).abs() < 0.01, "{:?}", outcome.params);
    assert_eq!((outcome.lines.len(), &outcome.lines[1].trained[..]), (2, &["y".to_string()][..]));
    assert!(outcome.lines.iter().all(|line| line.objective.mean.abs() < 1e-3));
    same(&outcome, &run(100_000, run(700, None).saved));
}
