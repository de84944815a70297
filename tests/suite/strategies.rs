//! Strategies beyond their mean: baselines lower the variance, its parts by site have their closed forms, `grad --test` finds
//! biased strategies and passes right ones.

use libtest_mimic::Trial;
use provi::driver::claims;
use provi::driver::compile::Backend;
use provi::driver::grad::{self, GradOptions, Settings};
use provi::driver::model::{Model, names_of};
use provi::driver::session::{Session, check_text};
use provi::inference::bound::Bound;
use provi::runtime::executable::{Status, Stream};
use std::collections::HashMap;

const MACHINE: Backend = Backend::Machine { threads: 1 };

pub(crate) fn trials() -> Vec<Trial> {
    let checks: [(&str, fn() -> Result<(), String>); 6] = [
        ("a_running_baseline_lowers_the_variance", running),
        ("a_learnt_baseline_lowers_the_variance", learnt),
        ("rebar_learns_to_lower_the_variance", rebar),
        ("a_baseline_is_on_the_scale_of_one_particle", baseline),
        ("variance_by_site_has_its_closed_form", by_site),
        ("the_test_of_claims_finds_a_biased_strategy", tested),
    ];
    checks.into_iter().map(|(name, check)| Trial::test(format!("strategy::{name}"), move || Ok(check()?))).collect()
}

fn with<T>(program: &str, f: impl FnOnce(&Session<'_>) -> Result<T, provi::driver::Refusal>) -> Result<T, String> {
    let told = |r: provi::driver::Refusal| {
        r.diagnostics.iter().map(|d| format!("{}: {}", d.code, d.message)).collect::<Vec<_>>().join("; ")
    };
    let (checked, _) = check_text("case.ppl", program).require().map_err(told)?;
    let session = Session::new(&checked, &HashMap::new(), checked.sources.clone()).map_err(told)?;
    f(&session).map_err(told)
}

/// Sum over the gradient of its variance at the start, before and after `steps` steps of memory alone, tuned parameters by
/// plain descent at a rate.
fn variances(program: &str, steps: u32, rate: f64) -> Result<(f64, f64), String> {
    with(program, |session| {
        let line = session.fit_line()?;
        let names = names_of(session, line)?;
        let mut model = Model::new(session, line, 1, MACHINE, &names, false)?;
        let params = model.initial_params().to_vec();
        let (mut tuned, mut state) = (model.initial_tuned().to_vec(), model.initial_state().to_vec());
        let mut gradient = vec![0.0; params.len()];
        let mut tuned_gradient = vec![0.0; tuned.len()];
        let mut next = vec![0.0; state.len()];
        let mut spread = |model: &mut Model, tuned: &[f64], state: &[f64]| -> f64 {
            let (mut sum, mut squares) = (vec![0.0; params.len()], vec![0.0; params.len()]);
            let n = 20_000;
            for step in 0..n {
                let stream = Stream { seed: 11, step };
                model.step(&params, tuned, state, stream, &mut gradient, &mut tuned_gradient, &mut next);
                for ((s, q), g) in sum.iter_mut().zip(&mut squares).zip(&gradient) {
                    *s += g;
                    *q += g * g;
                }
            }
            let n = f64::from(n);
            sum.iter().zip(&squares).map(|(s, q)| q / n - (s / n) * (s / n)).sum()
        };
        let before = spread(&mut model, &tuned, &state);
        let mut own = vec![0.0; params.len()];
        let mut own_tuned = vec![0.0; tuned.len()];
        let mut own_next = vec![0.0; state.len()];
        for step in 0..steps {
            let stream = Stream { seed: 5, step };
            let (_, status) = model.step(&params, &tuned, &state, stream, &mut own, &mut own_tuned, &mut own_next);
            if status == Status::Fine {
                state.copy_from_slice(&own_next);
                tuned.iter_mut().zip(&own_tuned).for_each(|(t, g)| *t -= rate * g);
            }
        }
        let after = spread(&mut model, &tuned, &state);
        Ok((before, after))
    })
}

const MODEL: &str = "data y: real[3] = [0.3, 1.2, 0.8]
param l: real[3] = [0.1, -0.4, 0.3]
model p() { for i in 0..3 { z[i] ~ bernoulli_logit(0.3); observe y[i] ~ normal(1.5 * z[i] - 3, 0.7) } }
";

/// The variance is a mean of 20,000 squares: its relative error is some 1 %, and the fall is at least a half.
fn halved((before, after): (f64, f64)) -> Result<(), String> {
    if after < 0.5 * before { Ok(()) } else { Err(format!("the variance was {before} and is {after}")) }
}

fn running() -> Result<(), String> {
    let guide =
        "guide q() { for i in 0..3 { z[i] ~ bernoulli_logit(l[i]) by reinforce_running } }\nfit elbo(p(), q())\n";
    halved(variances(&format!("{MODEL}{guide}"), 200, 0.01)?)
}

fn learnt() -> Result<(), String> {
    let guide = "tune c: real[3] = zeros(3)
guide q() { for i in 0..3 { z[i] ~ bernoulli_logit(l[i]) by reinforce_learned(c[i]) } }\nfit elbo(p(), q())\n";
    halved(variances(&format!("{MODEL}{guide}"), 2_000, 0.01)?)
}

fn rebar() -> Result<(), String> {
    let guide = "guide q() { for i in 0..3 { z[i] ~ bernoulli_logit(l[i]) by rebar } }\nfit elbo(p(), q())\n";
    let plain = "guide q() { for i in 0..3 { z[i] ~ bernoulli_logit(l[i]) by reinforce } }\nfit elbo(p(), q())\n";
    let (_, after) = variances(&format!("{MODEL}{guide}"), 500, 0.01)?;
    let (before, _) = variances(&format!("{MODEL}{plain}"), 0, 0.01)?;
    halved((before, after))
}

/// With the value of the rest as its baseline a score function is almost without noise, however many particles share the mean.
fn baseline() -> Result<(), String> {
    let program = "param l: real = 0.3
objective o() = expect { x ~ bernoulli_logit(l) by reinforce(baseline: 5); 5 * exp(1e-9 * x) }
fit o()\n";
    let gradients = with(program, |session| {
        let line = session.fit_line()?;
        let mut model = Model::new(session, line, 8, MACHINE, &names_of(session, line)?, false)?;
        let params = model.initial_params().to_vec();
        let mut gradient = vec![0.0; params.len()];
        let steps = (0..20).map(|step| {
            model.step(&params, &[], &[], Stream { seed: 1, step }, &mut gradient, &mut [], &mut []);
            gradient[0]
        });
        Ok(steps.collect::<Vec<_>>())
    })?;
    if gradients.iter().all(|g| g.abs() < 1e-8) { Ok(()) } else { Err(format!("gradients {gradients:?}")) }
}

/// `E f(x) + f(y)` with normal sites by their scores: the gradient in `m` is `x (x - m) + 2 y (y - m)`; each part's variance
/// is `c^2 (m^2 + 2)` for unit scale (`Var(e (m + e)) = m^2 + 2`).
fn by_site() -> Result<(), String> {
    let program = "param m: real = 0.5
objective o() = expect { x ~ normal(m, 1) by reinforce; y ~ normal(m, 1) by reinforce; x + 2 * y }
fit o()\n";
    let report = with(program, |session| {
        let options = GradOptions { seed: 3, samples: 1000, particles: 1, settings: Settings::new(), backend: MACHINE };
        grad::run(session, &session.fit_line()?.objective, &options)
    })?;
    for (name, expected) in [("x", 2.25), ("y", 4.0 * 2.25)] {
        let Some((_, found)) = report.variance_by_site.iter().find(|(n, _)| n == name) else {
            return Err(format!("`{name}` is not among {:?}", report.variance_by_site));
        };
        // Of 256 pairs: a relative error of some 20 %.
        if (found / expected - 1.0).abs() > 0.9 {
            return Err(format!("{name} makes {found}, expected {expected}"));
        }
    }
    Ok(())
}

fn tested() -> Result<(), String> {
    let program = |strategy: &str| {
        format!(
            "strategy half(d)(k: free) {{
  let x = draw(d)
  let v = k(x)
  v + 0.5 * stop(v) * tangent(log_prob(d, x))
}}
{MODEL}guide q() {{ for i in 0..3 {{ z[i] ~ bernoulli_logit(l[i]) by {strategy} }} }}\nfit elbo(p(), q())\n"
        )
    };
    for (strategy, fine) in [("reinforce", true), ("leave_one_out(4)", true), ("enum", true), ("half", false)] {
        let report = with(&program(strategy), |session| {
            let expr = &session.fit_line()?.objective;
            claims::test(session, expr, expr, 7, 20_000, MACHINE)
        })?;
        if report.passed() != fine {
            return Err(format!("by {strategy}: {:?}", report.rows));
        }
    }
    Ok(())
}
