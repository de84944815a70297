//! A user file defines again what it uses of the library: distributions, strategies and objectives. The gradients are
//! those of the library's own, bit for bit: nothing in the compiler knows the names.

use crate::programs::{open_with, read, root, said};
use libtest_mimic::Trial;
use provi::driver::compile::Backend;
use provi::driver::grad::{GradOptions, Settings, run};

const PROGRAM: &str = "
param m: real = 0.3
param s: real<lower=0> = 0.7
param l: real[3] = [0.1, -0.2, 0.4]
param r: real = 0.2
model p() {
  mu ~ normal(0, 5)
  tau ~ half_cauchy(5)
  w ~ normal(0, 1)
  for i in 0..3 { z[i] ~ bernoulli(0.4) }
  k ~ poisson(2)
  c ~ bernoulli(0.5)
  for i in 0..3 { observe 1.5 ~ normal(mu + tau * z[i] + w, 2) }
  observe 2.5 ~ normal(k + c, 1)
}
guide q() {
  mu ~ normal(m, s) by reparam
  tau ~ lognormal(r, 0.5) by reparam
  w ~ normal(m, 1) by mvd
  for i in 0..3 { z[i] ~ bernoulli_logit(l[i]) by enum }
  k ~ poisson_log(r) by mvd
  c ~ bernoulli_logit(r) by reinforce(0.5)
}
model smooth_p() {
  x ~ normal(0, 5)
  y ~ gamma(2, 1)
  observe 1.5 ~ student_t(4, x, 2)
}
guide smooth_q() {
  x ~ normal(m, s) by reparam
  y ~ lognormal(r, s) by reparam
}
";

/// Library files whose items the program mentions.
const USED: [&str; 17] = [
    "distributions/normal",
    "distributions/half_cauchy",
    "distributions/lognormal",
    "distributions/bernoulli",
    "distributions/bernoulli_logit",
    "distributions/poisson",
    "distributions/poisson_log",
    "distributions/gamma",
    "distributions/student_t",
    "strategies/reparam",
    "strategies/reinforce",
    "strategies/enum",
    "strategies/implicit",
    "objectives/elbo",
    "objectives/iwelbo",
    "objectives/stl",
    "functions/tangent",
];

const OBJECTIVES: [&str; 4] = [
    "elbo(p(), q())",
    "elbo(smooth_p(), smooth_q())",
    "iwelbo(smooth_p(), smooth_q(), 3)",
    "stl(smooth_p(), smooth_q())",
];

pub(crate) fn trials() -> Vec<Trial> {
    OBJECTIVES
        .into_iter()
        .map(|objective| Trial::test(format!("redefined::{objective}"), move || Ok(same_gradients(objective)?)))
        .collect()
}

fn gradients(text: &str, objective: &str) -> Result<Vec<(String, u64, u64)>, String> {
    let opened = open_with("again.ppl", text, None, Some(objective)).map_err(|r| said(&r))?;
    let session = opened.session().map_err(|r| said(&r))?;
    let expr = opened.checked.command.as_deref().ok_or("no objective")?;
    let options = GradOptions {
        seed: 5,
        samples: 20,
        particles: 1,
        settings: Settings::new(),
        backend: Backend::Machine { threads: 1 },
    };
    let report = run(&session, expr, &options).map_err(|r| said(&r))?;
    let mut all = vec![("value".to_owned(), report.value.mean.to_bits(), report.value.mcse.to_bits())];
    all.extend(report.gradient.into_iter().map(|(n, e)| (n, e.mean.to_bits(), e.mcse.to_bits())));
    Ok(all)
}

fn same_gradients(objective: &str) -> Result<(), String> {
    let mut own = PROGRAM.to_owned();
    for file in USED {
        own.push_str(&read(&root().join("stdlib").join(format!("{file}.ppl")))?);
        own.push('\n');
    }
    let (library, own) = (gradients(PROGRAM, objective)?, gradients(&own, objective)?);
    if library.len() < 3 {
        return Err("the objective has hardly a gradient".to_owned());
    }
    if library == own { Ok(()) } else { Err(format!("library: {library:?}\nown: {own:?}")) }
}
