//! Subsampled plates are exact over an epoch: where the rows of a step divide all rows, the mean of value and gradient over the
//! steps of an epoch is the value and gradient of the program whose plate is whole. And the rows are shared: by particles, by
//! model and guide, by interpreter and machine code.

use crate::programs::{open, said};
use libtest_mimic::Trial;
use provi::driver::compile::Backend;
use provi::driver::grad::{self, GradOptions, GradReport};
use provi::driver::session::Session;
use provi::syntax::tree::{Expr, ItemKind};

/// A program without other randomness; `BY` stands where rows are subsampled. Steps of an epoch.
struct Case {
    name: &'static str,
    text: &'static str,
    by: &'static str,
    steps: usize,
}

const DATA: &str = "data y: real[12] = [0.3, -1.2, 0.8, -0.5, 1.9, 0.4, 1.1, -2.0, 0.1, 0.7, -0.9, 2.2]\n";

const CASES: &[Case] = &[
    Case {
        name: "sum",
        text: "plate rows = 0..12 BY\nparam m: real = 0.4\nparam a: real[12] = for i in 0..12 { 0.1 * i }\n\
               fit sum(for i in rows { -(y[i] - m * a[i])^2 }) / 12 + mean(for i in rows { sin(a[i]) * m })",
        by: "by 3",
        steps: 4,
    },
    Case {
        name: "enumerated_rows",
        text: "plate rows = 0..12 BY\nparam m: real[2] = [-1, 1]\nparam t: real<lower=0, upper=1> = 0.3\nparam l: real[12] = for i in 0..12 { 0.2 * y[i] }\n\
               model p() { for i in rows { z[i] ~ bernoulli(t); observe y[i] ~ normal(m[z[i]], 1.3) } }\n\
               guide q() { for i in rows { z[i] ~ bernoulli_logit(l[i]) by enum } }\nfit elbo(p(), q())",
        by: "by 4",
        steps: 3,
    },
    Case {
        name: "children_of_rows",
        text: "plate rows = 0..12 BY\nparam m: real[2] = [-1, 1]\nparam l: real[12, 2] = for i in 0..12, k in 0..2 { 0.2 * y[i] + k }\n\
               model row(x: real) { z ~ bernoulli(0.4); w ~ bernoulli(if z == 1 { 0.2 } else { 0.7 }); observe x ~ normal(m[w] + z, 1.3); z }\n\
               guide rowq(l: real[2]) { z ~ bernoulli_logit(l[0]) by enum; w ~ bernoulli_logit(l[1] + 0.5 * z) by enum; z }\n\
               model p() { for i in rows { c[i] ~ row(y[i]) } }\n\
               guide q() { for i in rows { c[i] ~ rowq(l[i]) } }\nfit elbo(p(), q())",
        by: "by 6",
        steps: 2,
    },
    Case {
        name: "objectives_of_rows",
        text: "plate rows = 0..12 BY\nparam m: real = 0.2\nparam s: real<lower=0> = 1.5\n\
               model p(x: real) { z ~ bernoulli(0.3); observe x ~ normal(m + z, s) }\n\
               guide q(x: real) { z ~ bernoulli_logit(m * x) by enum }\n\
               objective o() = sum(for i in rows { elbo(p(y[i]), q(y[i])) }) / 12 - s\nfit o()",
        by: "by 1",
        steps: 12,
    },
    Case {
        name: "shifted_rows",
        text: "plate rows = 2..12 BY\nparam m: real = 0.2\n\
               fit sum(for i in rows { -(y[i] - m * y[i - 2])^2 })",
        by: "by 5",
        steps: 2,
    },
    Case {
        name: "several_particles",
        text: "plate rows = 0..12 BY\nparam m: real[2] = [-1, 1]\nparam l: real[12] = for i in 0..12 { 0.2 * y[i] }\n\
               model p() { for i in rows { z[i] ~ bernoulli(0.3); observe y[i] ~ normal(m[z[i]], 1.3) } }\n\
               guide q() { for i in rows { z[i] ~ bernoulli_logit(l[i]) by enum } }\nfit mean(for _ in 0..3 { elbo(p(), q()) })",
        by: "by 2",
        steps: 6,
    },
];

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials: Vec<Trial> =
        CASES.iter().map(|c| Trial::test(format!("plates::epoch::{}", c.name), move || Ok(epoch(c)?))).collect();
    trials.push(Trial::test("plates::rows_are_distinct", || Ok(distinct()?)));
    trials
}

fn run(text: &str, samples: usize, seed: u64, backend: Backend) -> Result<GradReport, String> {
    let opened = open("plate.ppl", text, Some("{}")).map_err(|r| said(&r))?;
    let session: Session<'_> = opened.session().map_err(|r| said(&r))?;
    let objective: &Expr = opened
        .checked
        .items
        .items
        .iter()
        .find_map(|e| match &e.item.kind {
            ItemKind::Fit { lines } => lines.first().map(|l| &l.objective),
            _ => None,
        })
        .ok_or("no `fit` line")?;
    let options = GradOptions { seed, samples, particles: 1, settings: Default::default(), backend };
    grad::run(&session, objective, &options).map_err(|r| said(&r))
}

fn epoch(case: &Case) -> Result<(), String> {
    let text = |by: &str| format!("{DATA}{}\n", case.text.replace("BY", by));
    let machine = Backend::Machine { threads: 1 };
    let whole = run(&text(""), 1, 0, machine)?;
    if !whole.exact {
        return Err("the whole program draws".to_owned());
    }
    // A plate of no more rows than it takes is whole.
    let all = run(&text("by 12"), 1, 0, machine)?;
    if !all.exact || all.value.mean != whole.value.mean {
        return Err("a plate that takes all rows is not whole".to_owned());
    }
    for seed in 0..3 {
        let parts = run(&text(case.by), case.steps, seed, machine)?;
        let same = run(&text(case.by), case.steps, seed, Backend::Interpreter)?;
        let numbers = |r: &GradReport| -> Vec<f64> {
            std::iter::once(r.value.mean).chain(r.gradient.iter().map(|g| g.1.mean)).collect()
        };
        if numbers(&parts) != numbers(&same) {
            return Err("interpreter and machine code differ".to_owned());
        }
        let one = run(&text(case.by), 1, seed, machine)?;
        if (one.value.mean - whole.value.mean).abs() < 1e-6 {
            return Err("vacuous: a step is the whole".to_owned());
        }
        for (k, (found, wanted)) in numbers(&parts).into_iter().zip(numbers(&whole)).enumerate() {
            if (found - wanted).abs() > 1e-9 * wanted.abs().max(1.0) {
                return Err(format!("number {k} is {found} over an epoch, {wanted} of all rows"));
            }
        }
    }
    Ok(())
}

/// Each step's rows are distinct: the sum of their counts' squares shows repetitions.
fn distinct() -> Result<(), String> {
    let text = format!(
        "{DATA}plate rows = 0..12 by 5\nparam c: real[12] = zeros(12)\nfit sum(for i in rows {{ c[i] }}) * 5 / 12\n"
    );
    for step in 1..40 {
        let before = run(&text, step, 9, Backend::Interpreter)?;
        let after = run(&text, step + 1, 9, Backend::Interpreter)?;
        let mut ones = 0;
        for (a, b) in before.gradient.iter().zip(&after.gradient) {
            let own = (b.1.mean * (step + 1) as f64 - a.1.mean * step as f64).round();
            match own as i64 {
                0 => {}
                1 => ones += 1,
                more => return Err(format!("step {step} takes row {} {more} times", a.0)),
            }
        }
        if ones != 5 {
            return Err(format!("step {step} takes {ones} rows, not 5"));
        }
    }
    Ok(())
}
