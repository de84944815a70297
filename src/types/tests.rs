//! Whole programs: those that must check, and those that must be refused with the code and place named.

use super::*;
use crate::diagnostic::{Diagnostic, Severity};

fn run(text: &str) -> (Option<program::Checked>, Vec<Diagnostic>, String) {
    let (checked, diagnostics, sources) = check_with_sources("test.ppl", text, &Alone);
    let mut shown = String::new();
    for d in &diagnostics {
        let place = d.primary.as_ref().map_or_else(String::new, |p| {
            let (line, column) = sources.line_column(p.span);
            format!("{}:{line}:{column} `{}` ({})", sources.file(p.span.file).name, sources.text(p.span), p.text)
        });
        shown.push_str(&format!("{} {} at {place}\n", d.code, d.message));
        for l in &d.secondary {
            let (line, column) = sources.line_column(l.span);
            shown.push_str(&format!("    {}:{line}:{column} {}\n", sources.file(l.span.file).name, l.text));
        }
        for n in &d.notes {
            shown.push_str(&format!("    note: {n}\n"));
        }
        if let Some(f) = &d.fix {
            shown.push_str(&format!("    fix: {f}\n"));
        }
    }
    (checked, diagnostics, shown)
}

/// The checked program; fails with what was reported.
fn fine(text: &str) -> program::Checked {
    let (checked, diagnostics, shown) = run(text);
    assert!(diagnostics.iter().all(|d| d.severity != Severity::Error), "{shown}");
    checked.unwrap_or_else(|| panic!("no result\n{shown}"))
}

/// The errors are exactly these codes, in order of place.
fn refused(text: &str, codes: &[&str]) -> String {
    let (checked, diagnostics, shown) = run(text);
    let found: Vec<&str> = diagnostics.iter().filter(|d| d.severity == Severity::Error).map(|d| d.code).collect();
    assert_eq!(found, codes, "{shown}");
    assert!(checked.is_none());
    for d in diagnostics.iter().filter(|d| d.severity == Severity::Error) {
        assert!(crate::diagnostic::has_errors(std::slice::from_ref(d)) && d.primary.is_some(), "{shown}");
    }
    shown
}

/// A model over `z` with data `y`, and a guide, with these right sides.
fn pair(mean: &str, guide: &str) -> String {
    format!(
        "data y: real\nparam m: real = 0\nparam s: real<lower=0> = 1\nmodel p() {{\n  z ~ normal(0, 1)\n  observe y ~ normal({mean}, 1)\n}}\nguide q() {{ z ~ {guide} }}\nfit elbo(p(), q())\n"
    )
}

#[test]
fn programs_of_the_language_check() {
    for name in ["p01", "p02", "p04", "p06", "p08", "p09", "p17_without_relaxed", "p18", "p22", "p25"] {
        let text = match name {
            "p01" => include_str!("../syntax/tests/programs/p01.ppl"),
            "p02" => include_str!("../syntax/tests/programs/p02.ppl"),
            "p04" => include_str!("../syntax/tests/programs/p04.ppl"),
            "p06" => include_str!("../syntax/tests/programs/p06.ppl"),
            "p08" => include_str!("../syntax/tests/programs/p08.ppl"),
            "p09" => include_str!("../syntax/tests/programs/p09.ppl"),
            "p18" => include_str!("../syntax/tests/programs/p18.ppl"),
            "p22" => include_str!("../syntax/tests/programs/p22.ppl"),
            "p25" => include_str!("../syntax/tests/programs/p25.ppl"),
            _ => {
                "strategy reparam(d)(k: smooth) = k(path(d))\nstrategy implicit(d)(k: smooth) {\n  let x = draw(d)\n  k(x - tangent(cdf(d, x)) / stop(exp(log_prob(d, x))))\n}\nstrategy enum(d)(k: free) = sum(for x in support(d) { prob(d, x) * k(x) })"
            }
        };
        fine(text);
    }
}

#[test]
fn library_files_check_as_user_files() {
    let mut number = 0;
    for folder in ["functions", "distributions", "strategies", "objectives", "guides", "bijectors"] {
        for file in library::files_under(folder) {
            let (name, text) = library::file(file);
            let (_, diagnostics, shown) = run(text);
            let errors = diagnostics.iter().any(|d| d.severity == Severity::Error);
            assert!(!errors, "{name}\n{shown}");
            number += 1;
        }
    }
    assert!(number > 30);
}

#[test]
fn derived_guide_of_eight_schools() {
    let checked = fine(include_str!("../syntax/tests/programs/p01.ppl"));
    let guide = &checked.derived_guides[0];
    assert_eq!(guide.name, "q");
    assert_eq!(guide.params, ["q_location", "q_scale"]);
    assert_eq!(
        guide.source,
        "param q_location: real[J + 2] = zeros(J + 2)
param q_scale: real<lower=0>[J + 2] = ones(J + 2)
bijector q_unpack(): real[J + 2] -> { mu: real, tau: real<lower=0>, theta: real[J] } {
  forward(z) {
    let mu = z[0]
    let (tau, tau_log_det) = forward(above(0), z[1])
    let theta = z[2..J + 2]
    ({ mu: mu, tau: tau, theta: theta }, tau_log_det)
  }
  inverse(v) {
    let mu = v.mu
    let tau = v.tau
    let theta = v.theta
    concat(mu, inverse(above(0), tau), theta)
  }
}
guide q() { _ ~ transformed(normal(q_location, q_scale), q_unpack()) }
"
    );
    assert!(checked.types.contains("model schools: { mu: real, tau: real<lower=0>, theta: real[J] }"));
    // The path derivative serves for the ELBO; the generated site is reparameterised.
    assert_eq!(checked.substitutes.len(), 1);
    assert!(checked.strategies.values().any(|s| s == "reparam"));
}

#[test]
fn derived_guides_cover_all_supports() {
    let checked = fine(
        "data K: int<lower=2>
model p() {
  mu: ordered[2] ~ normal(zeros(2), 2)
  w: simplex[K] ~ flat
  L: cholesky_cov[3] ~ flat
  a: real<lower=0> ~ flat
  b: real<lower=-a, upper=1 + a> ~ flat
  c: real<upper=3> ~ flat
  for k in 0..K { d[k] ~ half_normal(a) }
  for k in 0..K, j in 0..2 { e[k, j] ~ half_normal(1) }
  for k in 0..K { f[k]: simplex[3] ~ flat }
  x[0] ~ normal(0, 1)
  for t in 1..K { x[t] ~ normal(x[t - 1], 1) }
}
guide q = full_rank(p())
fit elbo(p(), q)
",
    );
    let source = &checked.derived_guides[0].source;
    assert!(source.contains("between(-a, a + 1)"), "{source}");
    assert_eq!(crate::syntax::print::expr(&checked.derived_guides[0].latents), "7 * K + 10");
}

#[test]
fn smooth_values_reach_jumps() {
    // N1, N2, and variants through a function, a distribution, an index and a `var`.
    let shown = refused(&pair("if z > 0 { 3 } else { 0 }", "normal(m, 1) by reparam"), &["E0301"]);
    assert!(
        shown.contains("test.ppl:6:25 `z > 0`") && shown.contains("8:13 `z` is sampled here by reparam"),
        "{shown}"
    );
    assert!(shown.contains("by reinforce"), "{shown}");
    refused(&pair("if stop(z) > 0 { 3 } else { 0 }", "normal(m, 1) by reparam"), &["E0301"]);
    refused(&pair("floor(z)", "normal(m, 1) by reparam"), &["E0301"]);
    let shown = refused(
        &(pair("step(z)", "normal(m, 1) by reparam") + "fn step(x: real) -> real = if x < 1 { x } else { 2 * x }\n"),
        &["E0301"],
    );
    assert!(shown.contains("`x < 1`"), "{shown}");
    refused(
        "data n: int<lower=1>\nparam m: real = 0\nmodel p() {\n  for i in 0..n { z[i] ~ normal(0, 1) }\n  var s = 0\n  for i in 0..n { s = s + z[i] }\n  factor if s > 0 { 1 } else { 0 }\n}\nguide q() { for i in 0..n { z[i] ~ normal(m, 1) by reparam } }\nfit elbo(p(), q())\n",
        &["E0301"],
    );
    // Parameters are smooth.
    let shown = refused(&pair("if m > 0 { z } else { 0 }", "normal(m, 1) by reparam"), &["E0302"]);
    assert!(shown.contains("`m > 0`"), "{shown}");
    refused(&pair("round(exp(m))", "normal(m, 1) by reparam"), &["E0302"]);
    refused(&pair("zeros(3)[to_int(s)]", "normal(m, 1) by reparam"), &["E0302"]);
}

#[test]
fn free_values_may_jump() {
    fine(&pair("if z > 0 { 3 } else { 0 }", "normal(m, 1) by reinforce"));
    fine(&pair("continuous if z > 0 { z } else { 0 }", "normal(m, 1) by reparam"));
    fine(&pair("max(z, 0) + abs(z)", "normal(m, 1) by reparam"));
    // Without `by` the site gets a strategy that its use allows.
    let checked = fine(&pair("if z > 0 { 3 } else { 0 }", "normal(m, 1)"));
    assert_eq!(checked.strategies.values().collect::<Vec<_>>(), ["mvd"]);
    let checked = fine(&pair("z", "normal(m, 1)"));
    assert_eq!(checked.strategies.values().collect::<Vec<_>>(), ["reparam"]);
}

#[test]
fn supports() {
    // N4
    let moving = "param m: real<lower=0> = 1\nmodel p() { x ~ uniform(0, 10) }\nguide q() { x ~ uniform(0, m) by reinforce }\nfit elbo(p(), q())\n";
    let shown = refused(moving, &["E0304"]);
    assert!(shown.contains("by reparam"), "{shown}");
    refused(&moving.replace("uniform(0, m)", "uniform(m - 1, 3)"), &["E0304"]);
    refused(&moving.replace("uniform(0, m)", "truncated(normal(0, 1), 0, m)"), &["E0304"]);
    // N5
    let outside = "param m: real = 0\nparam s: real<lower=0> = 1\nmodel p() { u ~ uniform(0, 1) }\nguide q() { u ~ normal(m, s) by reparam }\nfit elbo(p(), q())\n";
    let shown = refused(outside, &["E0303"]);
    assert!(shown.contains("4:13") && shown.contains("logit_normal"), "{shown}");
    refused(&outside.replace("u ~ uniform(0, 1)", "u ~ half_normal(1)"), &["E0303"]);
    refused(&outside.replace("u ~ normal(m, s)", "u ~ lognormal(m, s)"), &["E0303"]);
    fine(&outside.replace("u ~ normal(m, s)", "u ~ logit_normal(m, s)"));
    // A guide that covers less is a warning.
    let (checked, diagnostics, shown) =
        run(&outside.replace("uniform(0, 1)", "normal(0, 1)").replace("u ~ normal(m, s)", "u ~ lognormal(m, s)"));
    assert!(checked.is_some() && diagnostics.iter().any(|d| d.code == "W0301"), "{shown}");
    // N12
    let infinite = "param m: real = 0\nmodel p() { x ~ poisson(3) }\nguide q() { x ~ poisson(exp(m)) by enum }\nfit elbo(p(), q())\n";
    let shown = refused(infinite, &["E0307"]);
    assert!(shown.contains("3:36 `enum`"), "{shown}");
    refused(&infinite.replace("poisson(exp(m)) by", "geometric(sigmoid(m)) by"), &["E0307"]);
    refused(
        &infinite.replace("poisson(3)", "normal(0, 1)").replace("poisson(exp(m)) by", "normal(m, 1) by"),
        &["E0307"],
    );
}

#[test]
fn estimates_are_linear() {
    let head = "param m: real = 0\nmodel p() { z ~ normal(0, 1) }\nguide q() { z ~ normal(m, 1) }\n";
    for e in [
        "log(elbo(p(), q()))",
        "exp(elbo(p(), q()))",
        "if elbo(p(), q()) > 0 { 1 } else { 0 }",
        "1 / elbo(p(), q())",
        "elbo(p(), q())^2",
    ] {
        let shown = refused(&format!("{head}fit {e}\n"), &["E0305"]);
        assert!(shown.contains("test.ppl:4:"), "{shown}");
    }
    refused(&format!("{head}objective o() = {{ let e = elbo(p(), q()); e * e }}\n"), &["E0305"]);
    for e in ["2 * elbo(p(), q()) - elbo(p(), q()) / 3", "elbo(p(), q()) * iwelbo(p(), q(), 2)"] {
        fine(&format!("{head}fit {e}\n"));
    }
}

#[test]
fn strategies_are_affine() {
    for body in [
        "{ let v = k(draw(d)); v * v }",
        "exp(k(draw(d)))",
        "if k(draw(d)) > 0 { 1 } else { 0 }",
        "1 / k(draw(d))",
        "max(k(draw(d)), 0)",
    ] {
        refused(&format!("strategy bad(d)(k: free) = {body}\n"), &["E0308"]);
    }
    fine(
        "strategy leave_one_out(d, K: int<lower=2>)(k: free) {\n  let x = for i in 0..K { draw(d) }\n  let v = for i in 0..K { k(x[i]) }\n  let s = sum(v)\n  mean(for i in 0..K { v[i] + stop(v[i] - (s - v[i]) / (K - 1)) * tangent(log_prob(d, x[i])) })\n}\n",
    );
}

#[test]
fn addresses() {
    let head = "data n: int<lower=3>\n";
    // N15
    let shown = refused(&format!("{head}model p() {{ for i in 0..n {{ z ~ normal(0, 1) }} }}"), &["E0406"]);
    assert!(shown.contains("`z[i] ~ …`"), "{shown}");
    refused(
        &format!("{head}model c(i: int) {{ a ~ normal(i, 1) }}\nmodel p() {{ for i in 0..n {{ _ ~ c(i) }} }}"),
        &["E0406"],
    );
    refused(&format!("{head}model p() {{ for i in 0..n, j in 0..2 {{ z[i] ~ normal(0, 1) }} }}"), &["E0406"]);
    refused(&format!("{head}model p() {{\n  z ~ normal(0, 1)\n  z ~ normal(0, 1)\n}}"), &["E0402"]);
    // Gaps and overlaps.
    for (pieces, code) in [
        ("x[0] ~ normal(0, 1)\n  for t in 2..n { x[t] ~ normal(0, 1) }", "E0403"),
        ("for t in 1..n { x[t] ~ normal(0, 1) }", "E0403"),
        ("for t in 0..n { x[t, 0] ~ normal(0, 1) }\n  for t in 0..n { x[t, 2] ~ normal(0, 1) }", "E0403"),
        ("x[0] ~ normal(0, 1)\n  for t in 0..n { x[t] ~ normal(0, 1) }", "E0402"),
        ("for t in 0..n { x[t - 1] ~ normal(0, 1) }", "E0405"),
        ("x ~ normal(y, 1)\n  y ~ normal(0, 1)", "E0409"),
    ] {
        refused(&format!("{head}model p() {{\n  {pieces}\n}}"), &[code]);
    }
    let checked = fine(&format!(
        "{head}model p() {{\n  for i in 0..n {{ x[i, 0] ~ normal(0, 1) }}\n  for i in 0..n, t in 1..5 {{ x[i, t] ~ normal(x[i, t - 1], 1) }}\n}}"
    ));
    assert!(checked.types.contains("x: real[n, 5]"), "{}", checked.types);
}

#[test]
fn model_and_guide_fit_together() {
    let model = "model p() {\n  mu ~ normal(0, 1)\n  tau ~ half_normal(1)\n}\nparam m: real = 0\n";
    // N13
    let shown = refused(&format!("{model}guide q() {{ mu ~ normal(m, 1) }}\nfit elbo(p(), q())"), &["E0401"]);
    assert!(
        shown.contains("p has          { mu: real, tau: real<lower=0> }")
            && shown.contains("the guide has  { mu: real }"),
        "{shown}"
    );
    refused(
        &format!(
            "{model}guide q() {{\n  mu ~ normal(m, 1)\n  tau ~ lognormal(m, 1)\n  u ~ normal(0, 1)\n}}\nfit elbo(p(), q())"
        ),
        &["E0401"],
    );
    refused(&format!("{model}guide q() {{ x ~ normal(m, 1) }}\nfit iwelbo(p(), q(), 3)"), &["E0401"]);
    // N11, N21
    refused(
        "model p() {\n  a ~ normal(0, 1)\n  observe 3 ~ normal(a, 1)\n}\nobjective o() = expect {\n  let (t, l) = simulate(p())\n  l\n}\n",
        &["E0306"],
    );
    refused("guide q() { mu: ordered[2] ~ normal(zeros(2), 1) }", &["E0306"]);
    // N22
    refused(
        "param m: real = 0\nmodel p() { x ~ normal(0, 1) }\nguide q() { x ~ delta(m) }\nfit elbo(p(), q())",
        &["E0310"],
    );
    fine("param m: real = 0\nmodel p() { x ~ normal(0, 1) }\nguide q() { x ~ delta(m) }\nfit map(p(), q())");
}

#[test]
fn names_shapes_and_bounds() {
    let shown = refused(
        "data n: int<lower=1>
data x: real[n]
data X: real[n, n]
fn f(a: real[3]) -> real = sum(a)
const a = x + X
const b = f(zeros(4))
const c = zeros(3) + ones(4)
const d = nromal(0, 1)
const e = exp(x, x)
const g = x[0, 1]
const h = zeros(3)[3]
const i = 1 + true
model p() {
  mu ~ normal(0, -1)
  observe n ~ normal(mu)
  observe x ~ normal(mu, 1)
  k ~ poisson(2)
  observe x[k + 0.5] ~ normal(mu, 1)
}
",
        &["E0210", "E0211", "E0211", "E0201", "E0203", "E0210", "E0212", "E0204", "E0213", "E0203", "E0210", "E0204"],
    );
    assert!(shown.contains("did you mean `normal`?"), "{shown}");
    refused("fn f(x: real) -> real = g(x)\nfn g(x: real) -> real = f(x)", &["E0206"]);
    let checked = fine("data n: int\ndata m: int\ndata x: real[n]\ndata y: real[m]\nconst z = x + y");
    assert_eq!((checked.obligations[0].left.as_str(), checked.obligations[0].right.as_str()), ("n", "m"));
}

#[test]
fn the_torture_programs_check() {
    for text in [
        include_str!("../syntax/tests/programs/p03.ppl"),
        include_str!("../syntax/tests/programs/p07.ppl"),
        include_str!("../syntax/tests/programs/p12.ppl"),
        include_str!("../syntax/tests/programs/p16.ppl"),
        include_str!("../syntax/tests/programs/p14.ppl"),
        include_str!("../syntax/tests/programs/p15.ppl"),
        include_str!("../syntax/tests/programs/p30.ppl"),
        include_str!("../syntax/tests/programs/p31.ppl"),
    ] {
        let (_, diagnostics, shown) = run(text);
        assert!(diagnostics.iter().all(|d| d.severity != Severity::Error), "{shown}");
    }
}

#[test]
fn nothing_panics_on_broken_programs() {
    for name in ["p01", "p09", "p16", "p25", "p31"] {
        let text = match name {
            "p01" => include_str!("../syntax/tests/programs/p01.ppl"),
            "p09" => include_str!("../syntax/tests/programs/p09.ppl"),
            "p16" => include_str!("../syntax/tests/programs/p16.ppl"),
            "p25" => include_str!("../syntax/tests/programs/p25.ppl"),
            _ => include_str!("../syntax/tests/programs/p31.ppl"),
        };
        // Each line taken out, or a word of it replaced.
        let lines: Vec<&str> = text.lines().collect();
        for skip in 0..lines.len() {
            let without: Vec<&str> = lines.iter().enumerate().filter(|(i, _)| *i != skip).map(|(_, l)| *l).collect();
            let (_, diagnostics, _) = run(&without.join("\n"));
            assert!(diagnostics.iter().all(|d| d.code != "E0299"), "{}", without.join("\n"));
            for (from, to) in [("real", "int"), ("0", "n"), ("[j]", ""), ("normal", "p"), ("(", "(1, ")] {
                let changed: Vec<String> = lines
                    .iter()
                    .enumerate()
                    .map(|(i, l)| if i == skip { l.replacen(from, to, 1) } else { (*l).to_owned() })
                    .collect();
                let (_, diagnostics, _) = run(&changed.join("\n"));
                assert!(diagnostics.iter().all(|d| d.code != "E0299"), "{}", changed.join("\n"));
            }
        }
    }
}

#[test]
fn every_page_shows_its_code() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/diagnostic/pages");
    let mut number = 0;
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().replace(".md", "");
        if !OWN.contains(&name.as_str()) {
            continue;
        }
        let page = std::fs::read_to_string(entry.path()).unwrap();
        let program = page.split("```ppl\n").nth(1).and_then(|r| r.split("```").next()).unwrap();
        let (_, diagnostics, shown) = run(program);
        assert!(diagnostics.iter().any(|d| d.code == name), "{name} is not shown by its page:\n{program}\n{shown}");
        number += 1;
    }
    assert_eq!(number, OWN.len());
}

/// Codes of checking.
const OWN: [&str; 43] = [
    "E0201", "E0202", "E0203", "E0204", "E0205", "E0206", "E0207", "E0208", "E0209", "E0210", "E0211", "E0212",
    "E0213", "E0214", "E0290", "E0301", "E0302", "E0303", "E0304", "E0305", "E0306", "E0307", "E0308", "E0309",
    "E0310", "E0320", "E0401", "E0402", "E0403", "E0404", "E0405", "E0406", "E0407", "E0408", "E0409", "E0410",
    "E0411", "E0412", "E0420", "E0421", "E0422", "W0301", "W0302",
];
