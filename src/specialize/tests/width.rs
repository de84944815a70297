//! Programs of many forms become valid Core with sites, and every site's strategy can be specialised.

use super::{data, load};
use crate::ir::core::{Sample, Stmt};
use crate::ir::print::print;
use crate::ir::validate::{Form, validate};
use crate::runtime::executable::Array;
use crate::specialize::bind::bind;
use crate::specialize::machine::Space;
use crate::specialize::programs::{self, Options};
use crate::specialize::sites::Sites;

fn samples(stmts: &[Stmt], into: &mut Vec<Sample>) {
    for s in stmts {
        if let Stmt::Sample(s) = s {
            into.push(s.clone());
        }
        s.regions().iter().for_each(|r| samples(&r.stmts, into));
    }
}

/// The number of sample statements of `objective` in `text`.
fn sites(text: &str, objective: &str, given: &[(&str, Array)]) -> usize {
    let mut loaded = load(&format!("{text}\ntest \"{objective}\" {{ assert near(1, 1, 1) }}\n"));
    let e = loaded.expr(objective);
    let bound = bind(&loaded.checked, &data(given)).unwrap();
    let o = Options { space: Space::Unconstrained, particles: 1, params: Vec::new() };
    let mut sited = programs::objective(&bound, &e, &o).unwrap_or_else(|d| panic!("{objective}: {d:#?}"));
    let errors = validate(&sited.program, Form::WithSites);
    assert!(errors.is_empty(), "{errors:?}\n{}", print(&sited.program));
    let mut found = Vec::new();
    samples(&sited.program.step.stmts, &mut found);
    for s in &found {
        let form = sited.table.strategy(&mut sited.program, s).unwrap_or_else(|d| panic!("{objective}: {d:#?}"));
        assert!(!form.calls.is_empty());
        sited.table.plain_draw(&mut sited.program, s).unwrap();
    }
    found.len()
}

#[test]
fn discrete_structures() {
    let text = "
param a: real[8] = zeros(8)
param b: real = 0.3
param w: real[2] = zeros(2)
param mu: real[2] = [0, 1]
const g: int<0..=7>[5] = [0, 3, 3, 7, 1]
model chain() {
  x[0] ~ bernoulli_logit(0.1)
  for t in 1..8 { x[t] ~ bernoulli_logit(0.5 * x[t-1] - 0.2) }
  for t in 0..8 { observe 0.3 ~ normal(mu[x[t]], 1) }
}
guide chain_q() {
  x[0] ~ bernoulli_logit(a[0]) by enum
  for t in 1..8 { x[t] ~ bernoulli_logit(a[t] + b * x[t-1]) by enum }
}
guide chain_r() {
  x[0] ~ bernoulli_logit(a[0]) by reinforce(0.1)
  for t in 1..8 { x[t] ~ bernoulli_logit(a[t] + b * x[t-1]) by mvd }
}
guide second() {
  x[0] ~ bernoulli_logit(a[0]) by enum
  x[1] ~ bernoulli_logit(a[1] + x[0]) by enum
  for t in 2..8 { x[t] ~ bernoulli_logit(a[t] + b * x[t-1] - x[t-2]) by enum }
}
model second_p() {
  x[0] ~ bernoulli_logit(0)
  x[1] ~ bernoulli_logit(0)
  for t in 2..8 { x[t] ~ bernoulli_logit(0.1 * x[t-1] * x[t-2]) }
}
model panel() {
  for i in 0..3 {
    x[i, 0] ~ bernoulli_logit(0)
    for t in 1..4 { x[i, t] ~ bernoulli_logit(0.5 * x[i, t-1]) }
  }
}
guide panel_q() {
  for i in 0..3 {
    x[i, 0] ~ bernoulli_logit(a[i]) by enum
    for t in 1..4 { x[i, t] ~ bernoulli_logit(a[t] * x[i, t-1]) by enum }
  }
}
model shared() {
  p ~ bernoulli_logit(0)
  x[0] ~ bernoulli_logit(p)
  for t in 1..8 { x[t] ~ bernoulli_logit(0.5 * x[t-1] + p) }
}
guide shared_q() {
  p ~ bernoulli_logit(b) by enum
  x[0] ~ bernoulli_logit(a[0] + p) by enum
  for t in 1..8 { x[t] ~ bernoulli_logit(a[t] * x[t-1] - p) by enum }
}
model tree() {
  z[0] ~ bernoulli_logit(0)
  for i in 1..15 { z[i] ~ bernoulli_logit(0.5 * z[(i - 1) / 2]) }
}
guide tree_q() {
  z[0] ~ bernoulli_logit(b) by enum
  for i in 1..15 { z[i] ~ bernoulli_logit(b * z[(i - 1) / 2]) by enum }
}
model gather() {
  for i in 0..8 { z[i] ~ bernoulli_logit(0.2) }
  for j in 0..5 { observe 0.4 ~ normal(mu[z[g[j]]], 1) }
}
guide gather_q() { for i in 0..8 { z[i] ~ bernoulli_logit(a[i]) by enum } }
model index() { k ~ categorical([0.5, 0.5]); observe 0.1 ~ normal(mu[k], 1) }
guide index_q() { k ~ categorical_logit(w) by enum }
model count() { n ~ poisson(3); observe 0.1 ~ normal(n, 1) }
guide count_q() { n ~ poisson(exp(b)) by mvd }
";
    let n = |o: &str| sites(text, o, &[]);
    assert_eq!(n("elbo(chain(), chain_q())"), 2);
    assert_eq!(n("elbo(chain(), chain_r())"), 2);
    assert_eq!(n("iwelbo(chain(), chain_r(), 3)"), 2);
    assert_eq!(n("elbo(second_p(), second())"), 3);
    assert_eq!(n("elbo(panel(), panel_q())"), 2);
    assert_eq!(n("elbo(shared(), shared_q())"), 3);
    assert_eq!(n("elbo(tree(), tree_q())"), 15);
    assert_eq!(n("elbo(gather(), gather_q())"), 1);
    assert_eq!(n("elbo(index(), index_q())"), 1);
    assert_eq!(n("elbo(count(), count_q())"), 1);
}

#[test]
fn branches_returns_and_children() {
    let text = "
param m: real = 0.2
param c: real[3] = zeros(3)
fn shift(x: real, by_: real = 1) -> real = x + by_
model child(i: int) { u ~ normal(i, 1); { twice: 2 * u } }
model m1() {
  z ~ normal(0, 1)
  k ~ bernoulli(0.5)
  if k == 1 { a ~ normal(1, 1) } else { a ~ normal(-1, 2) }
  observe 0.5 ~ normal(shift(if z > 0 { 3 } else { 0 }), 1)
  for i in 0..3 { c[i] ~ child(i) }
  _ ~ tail()
  observe 0.1 ~ normal(last, 1)
}
model tail() { last ~ normal(0, 1) }
guide q1() {
  z ~ normal(m, 1) by reinforce(baseline: 0.5)
  k ~ bernoulli_logit(m) by enum
  a ~ normal(m, 1) by reparam
  for i in 0..3 { c[i] ~ child_q(c0: m) }
  last ~ normal(m, 1) by mvd
}
guide child_q(c0: real) { u ~ normal(c0, 1) by reparam }
";
    assert_eq!(sites(text, "elbo(m1(), q1())", &[]), 5);
}

#[test]
fn user_written_strategies_and_distributions() {
    let text = "
dist mine(loc: real, scale: real<lower=0>) on real {
  log_prob(x) = -0.5 * ((x - loc) / scale)^2 - log(scale) - 0.5 * log(2 * pi)
  path() = loc + scale * std_normal()
  strategy halves(k: smooth) = 0.5 * k(path()) + k(path()) / 2
}
strategy mixed(d, w: real = 0.5)(k: free) {
  let x = draw(d)
  let v = k(x)
  w * v + (1 - w) * v + stop(v - w) * tangent(log_prob(d, x))
}
dist mine_mixture[K](w: simplex[K], d: fn(int) -> dist<real>) on real {
  log_prob(x) = log_sum_exp(for k in 0..K { log(w[k]) + log_prob(d(k), x) })
  draw() = draw(d(draw(categorical(w))))
}
param m: real = 0
param s: real<lower=0> = 1
objective own(p: gen, q: gen) = expect { let (t, lq) = simulate(q); log_density(p, t) - lq }
objective square(n: int) = expect { x ~ mine(m, s) by halves; y ~ normal(x, 1) by mixed; x^2 + y * n }
model p() { x ~ normal(0, 1); y ~ mine_mixture([0.3, 0.7], |k| mine(k, 1)) }
guide q() { x ~ mine(m, s) by halves; y ~ mine(m, s) by mixed(w: 0.2) }
objective kl(p: gen, q: gen) where normalized(p) =
  expect { let (t, lq) = simulate(q); lq - log_density(p, t) } + expect { let (t, lp) = simulate(q); lp * lp }
";
    assert_eq!(sites(text, "own(p(), q())", &[]), 2);
    assert_eq!(sites(text, "square(3)", &[]), 2);
    assert_eq!(sites(text, "kl(p(), q())", &[]), 4);
}

#[test]
fn models_of_regressions_and_series() {
    let text = "
data N: int
data D: int
data X: real[N, D]
data y: real[N]
data group: int<1..=2>[N]
data start: int[3]
model reg() { b ~ normal(zeros(D), 1); for i in 0..N { observe y[i] ~ normal(X[i] @ b, 1) } }
model whole() { b ~ normal(zeros(D), 1); observe y ~ normal(X @ b, 1) }
model groups() { b ~ normal(zeros(2), 1); for i in 0..N { observe y[i] ~ normal(b[group[i] - 1], 1) } }
model ragged() { b ~ normal(zeros(2), 1); for g in 0..2 { for i in start[g]..start[g + 1] { observe y[i] ~ normal(b[g], 1) } } }
model garch() {
  b: real[2] ~ flat
  var v = 1.0
  for t in 0..N {
    observe y[t] ~ normal(b[0], sqrt(v))
    v = 0.5 + 0.1 * (y[t] - b[0])^2 + exp(b[1]) * v
  }
}
param l: real[2] = zeros(2)
guide q() { b ~ normal(l, 1) by reparam }
";
    let given = [
        ("N", Array::int([], vec![4])),
        ("D", Array::int([], vec![2])),
        ("X", Array::real([4, 2], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])),
        ("y", Array::real([4], vec![1.0, 2.0, 3.0, 4.0])),
        ("group", Array::int([4], vec![1, 2, 2, 1])),
        ("start", Array::int([3], vec![0, 1, 4])),
    ];
    for m in ["reg", "whole", "groups", "ragged", "garch"] {
        assert_eq!(sites(text, &format!("elbo({m}(), q())"), &given), 1, "{m}");
    }
    let v = |m: &str| super::value(text, &format!("log_density({m}(), {{ b: [0.5, -0.25] }})"), &given, &[])[0];
    super::close(v("reg"), v("whole"));
}
