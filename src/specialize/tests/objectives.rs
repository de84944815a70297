//! Objectives with sites.

use super::{close, data, load, options, run};
use crate::ir::core::{Program, Stmt};
use crate::ir::print::print;
use crate::ir::validate::{Form, validate};
use crate::runtime::executable::Array;
use crate::specialize::bind::bind;
use crate::specialize::machine::Space;
use crate::specialize::programs::{self, Options};
use crate::specialize::sites::Sites;

const SCHOOLS: &str = "
data J: int<lower=1>
data y: real[J]
data sigma: real<lower=0>[J]
param m: real = 0
param s: real<lower=0> = 1
param tm: real = 0
param ts: real<lower=0> = 1
param zm: real[J] = zeros(J)
param zs: real<lower=0>[J] = ones(J)
model schools() {
  mu  ~ normal(0, 5)
  tau ~ half_cauchy(5)
  let theta = for j in 0..J {
    z[j] ~ normal(0, 1)
    mu + tau * z[j]
  }
  for j in 0..J { observe y[j] ~ normal(theta[j], sigma[j]) }
  { theta: theta }
}
guide q() {
  mu  ~ normal(m, s) by reparam
  tau ~ lognormal(tm, ts) by reparam
  for j in 0..J { z[j] ~ normal(zm[j], zs[j]) by reparam }
}
param q_location: real[J + 2] = zeros(J + 2)
param q_scale: real<lower=0>[J + 2] = ones(J + 2)
param c_location: real[J + 2] = zeros(J + 2)
param c_scale: cholesky_cov[J + 2] = identity(J + 2)
bijector unpack(): real[J + 2] -> { mu: real, tau: real<lower=0>, z: real[J] } {
  forward(z) {
    let mu = z[0]
    let (tau, tau_log_det) = forward(above(0), z[1])
    let zz = z[2..2 + J]
    ({ mu: mu, tau: tau, z: zz }, tau_log_det)
  }
  inverse(v) {
    let mu = v.mu
    let tau = v.tau
    let zz = v.z
    concat(mu, inverse(above(0), tau), zz)
  }
}
guide mf() { _ ~ transformed(normal(q_location, q_scale), unpack()) by reparam }
guide fr() { _ ~ transformed(multi_normal_cholesky(c_location, c_scale), unpack()) by reparam }
test \"elbo stl iwelbo\" { assert near(1, 1, 1) }
objective agree(q: gen) = expect {
  let (t, lq) = simulate(q)
  lq - log_density(q, t)
}
";

fn schools() -> Vec<(&'static str, Array)> {
    vec![
        ("J", Array::int([], vec![3])),
        ("y", Array::real([3], vec![28.0, 8.0, -3.0])),
        ("sigma", Array::real([3], vec![15.0, 10.0, 16.0])),
    ]
}

fn count(stmts: &[Stmt], f: &dyn Fn(&Stmt) -> bool) -> usize {
    stmts.iter().map(|s| usize::from(f(s)) + s.regions().iter().map(|r| count(&r.stmts, f)).sum::<usize>()).sum()
}

fn terms(p: &Program) -> usize {
    count(&p.step.stmts, &|s| matches!(s, Stmt::Term(_)))
}

fn samples(p: &Program) -> usize {
    count(&p.step.stmts, &|s| matches!(s, Stmt::Sample(_)))
}

#[test]
fn eight_schools_to_sites() {
    for (objective, sites) in [
        ("elbo(schools(), q())", 3),
        ("elbo(schools(), mf())", 1),
        ("elbo(schools(), fr())", 1),
        ("stl(schools(), fr())", 1),
    ] {
        for space in [Space::Constrained, Space::Unconstrained] {
            let mut loaded = load(SCHOOLS);
            let e = loaded.expr(objective);
            let bound = bind(&loaded.checked, &data(&schools())).unwrap();
            let o = Options { space, particles: 1, params: Vec::new() };
            let mut sited = programs::objective(&bound, &e, &o).unwrap_or_else(|d| panic!("{objective}: {d:?}"));
            let text = print(&sited.program);
            let errors = validate(&sited.program, Form::WithSites);
            assert!(errors.is_empty(), "{errors:?}\n{text}");
            assert_eq!(samples(&sited.program), sites, "{text}");
            assert!(sited.program.step.results.is_empty());
            assert!(terms(&sited.program) >= 4, "{text}");
            eliminate(&mut sited);
        }
    }
}

/// Every site's strategy and plain draw can be specialised.
fn eliminate(sited: &mut programs::Sited<'_>) {
    fn all(stmts: &[Stmt], into: &mut Vec<crate::ir::core::Sample>) {
        for s in stmts {
            if let Stmt::Sample(s) = s {
                into.push(s.clone());
            }
            s.regions().iter().for_each(|r| all(&r.stmts, into));
        }
    }
    let mut found = Vec::new();
    all(&sited.program.step.stmts, &mut found);
    for s in found {
        let form = sited.table.strategy(&mut sited.program, &s).unwrap();
        assert_eq!(form.calls.len(), 1);
        assert_eq!(form.calls[0].args.len(), s.results.len());
        let (_, atoms) = sited.table.plain_draw(&mut sited.program, &s).unwrap();
        assert_eq!(atoms.len(), s.results.len());
    }
}

#[test]
fn a_guide_scores_its_own_draw() {
    for guide in ["q()", "mf()", "fr()"] {
        let mut loaded = load(SCHOOLS);
        let e = loaded.expr(&format!("agree({guide})"));
        let bound = bind(&loaded.checked, &data(&schools())).unwrap();
        let core = programs::expression(&bound, &e, &options()).unwrap();
        let params: [(&str, &[f64]); 10] = [
            ("m", &[0.3]),
            ("s", &[0.7]),
            ("tm", &[0.1]),
            ("ts", &[0.5]),
            ("zm", &[0.1, 0.2, 0.3]),
            ("zs", &[0.5, 0.6, 0.7]),
            ("q_location", &[0.1, 0.2, 0.3, 0.4, 0.5]),
            ("q_scale", &[1.1, 1.2, 1.3, 1.4, 1.5]),
            ("c_location", &[0.1, 0.2, 0.3, 0.4, 0.5]),
            (
                "c_scale",
                &[
                    1.0, 0.0, 0.0, 0.0, 0.0, 0.2, 1.1, 0.0, 0.0, 0.0, 0.1, 0.3, 0.9, 0.0, 0.0, 0.4, 0.1, 0.2, 1.2, 0.0,
                    0.3, 0.2, 0.1, 0.0, 0.8,
                ],
            ),
        ];
        let (out, _) = run(&bound, core, &params, 3);
        assert!(out[0].abs() < 1e-10, "{guide}: {out:?}");
    }
}

#[test]
fn draws_weights_and_parameters() {
    let mut loaded = load(SCHOOLS);
    let p = loaded.expr("schools()");
    let q = loaded.expr("mf()");
    let bound = bind(&loaded.checked, &data(&schools())).unwrap();
    let names = vec!["q_location".to_owned(), "q_scale".to_owned()];
    let o = Options { space: Space::Unconstrained, particles: 1, params: names.clone() };
    let d = programs::draws(&bound, &p, &q, 4, &o).unwrap();
    let quantities: Vec<(&str, usize, bool)> =
        d.quantities.iter().map(|(n, s, l)| (n.as_str(), s.iter().product(), *l)).collect();
    assert_eq!(quantities, [("mu", 1, true), ("tau", 1, true), ("z", 3, true), ("theta", 3, false)]);
    let (out, _) = run(&bound, d.program, &[("q_location", &[0.0; 5]), ("q_scale", &[0.0; 5])], 1);
    assert_eq!(out.len(), 4 * 9);
    assert!(out.iter().all(|x| x.is_finite()));
    for k in 0..4 {
        let (mu, tau, z1, theta1) = (out[4 + k], out[8 + k], out[12 + 3 * k + 1], out[24 + 3 * k + 1]);
        close(theta1, mu + tau * z1);
    }
    let init = programs::initial_params(&bound, &names).unwrap();
    let (z, _) = run(&bound, init, &[], 1);
    assert_eq!(z, [0.0; 10]);
    let constrained = programs::constrained_params(&bound, &names).unwrap();
    let (c, _) = run(&bound, constrained, &[("q_location", &[0.5; 5]), ("q_scale", &[0.0; 5])], 1);
    assert_eq!(c, [0.5, 0.5, 0.5, 0.5, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0]);
}

#[test]
fn a_plate_of_enumerated_sites_keeps_its_loop() {
    let text = "
param a: real[6] = zeros(6)
param w: real = 0
param mu: real[2] = [0, 1]
model m() { for i in 0..6 { z[i] ~ bernoulli_logit(w); observe 0.5 ~ normal(mu[z[i]], 1) } }
guide q() { for i in 0..6 { z[i] ~ bernoulli_logit(a[i]) by enum } }
guide r() { for i in 0..6 { z[i] ~ bernoulli_logit(a[i]) by reinforce(0.5) } }
";
    for (guide, calls) in [("q()", 1), ("r()", 1)] {
        let mut loaded = load(&format!("{text}\ntest \"elbo\" {{ assert near(1, 1, 1) }}\n"));
        let e = loaded.expr(&format!("elbo(m(), {guide})"));
        let bound = bind(&loaded.checked, &data(&[])).unwrap();
        let mut sited = programs::objective(&bound, &e, &options()).unwrap();
        let printed = print(&sited.program);
        assert!(validate(&sited.program, Form::WithSites).is_empty(), "{printed}");
        assert_eq!(samples(&sited.program), 1, "{printed}");
        let Some(Stmt::For(f)) = sited.program.step.stmts.iter().find(|s| matches!(s, Stmt::For(_))) else {
            panic!("{printed}");
        };
        let Some(Stmt::Sample(s)) = f.body.stmts.iter().find(|s| matches!(s, Stmt::Sample(_))) else {
            panic!("{printed}");
        };
        let s = s.clone();
        let form = sited.table.strategy(&mut sited.program, &s).unwrap();
        assert_eq!(form.calls.len(), calls);
        if guide == "q()" {
            assert_eq!(form.calls[0].extents, [2]);
            assert!(form.calls[0].static_args);
            assert!(form.calls[0].stopped.is_none());
        } else {
            assert!(form.calls[0].extents.is_empty());
            assert_eq!(form.calls[0].primal, Some(crate::ir::core::Atom::Real(1.0)));
            assert!(form.calls[0].stopped.is_some());
        }
    }
}

#[test]
fn particles_and_iwelbo() {
    let mut loaded = load(SCHOOLS);
    let e = loaded.expr("elbo(schools(), q())");
    let k = loaded.expr("iwelbo(schools(), q(), 3)");
    let bound = bind(&loaded.checked, &data(&schools())).unwrap();
    let o = Options { space: Space::Unconstrained, particles: 8, params: Vec::new() };
    let sited = programs::objective(&bound, &e, &o).unwrap();
    let text = print(&sited.program);
    assert!(validate(&sited.program, Form::WithSites).is_empty(), "{text}");
    assert!(terms(&sited.program) > 4);
    let sited = programs::objective(&bound, &k, &o).unwrap();
    let text = print(&sited.program);
    assert!(validate(&sited.program, Form::WithSites).is_empty(), "{text}");
    assert_eq!(terms(&sited.program), 3, "{text}");
}
