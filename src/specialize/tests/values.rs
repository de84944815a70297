//! Values against closed forms.

use super::{close, try_value, value};
use crate::runtime::executable::Array;

fn normal(x: f64, m: f64, s: f64) -> f64 {
    -0.5 * ((x - m) / s).powi(2) - s.ln() - 0.5 * (2.0 * std::f64::consts::PI).ln()
}

const SCHOOLS: &str = "
data J: int<lower=1>
data y: real[J]
data sigma: real<lower=0>[J]
model schools() {
  mu  ~ normal(0, 5)
  tau ~ half_cauchy(5)
  for j in 0..J {
    theta[j] ~ normal(mu, tau)
    observe y[j] ~ normal(theta[j], sigma[j])
  }
}
";

#[test]
fn arithmetic_and_arrays() {
    let v = |t: &str| value("", t, &[], &[]);
    assert_eq!(v("1 + 2 * 3 - 4 / 2"), [5.0]);
    assert_eq!(v("7 % 3 + (6 + 1) / 2"), [4.0]);
    assert_eq!(v("7 / 2"), [3.5]);
    assert_eq!(v("sum([1, 2, 3.5])"), [6.5]);
    assert_eq!(v("for i in 0..3 { i * i }"), [0.0, 1.0, 4.0]);
    assert_eq!(v("sum(for i in 0..3, j in 0..2 { i * 10 + j })"), [63.0]);
    assert_eq!(v("[[1, 2], [3, 4]] @ [5, 6]"), [17.0, 39.0]);
    assert_eq!(v("[1.0, 2.0] @ [3.0, 4.0]"), [11.0]);
    assert_eq!(v("transpose([[1, 2], [3, 4]])"), [1.0, 3.0, 2.0, 4.0]);
    assert_eq!(v("concat([1], 2, zeros(2))"), [1.0, 2.0, 0.0, 0.0]);
    assert_eq!(v("repeat(0..3, [2, 0, 1])"), [0.0, 0.0, 2.0]);
    assert_eq!(v("(for i in 0..5 { i })[1..3]"), [1.0, 2.0]);
    assert_eq!(v("identity(2)"), [1.0, 0.0, 0.0, 1.0]);
    assert_eq!(v("max([1, 7, 3])"), [7.0]);
    assert_eq!(v("if 1 < 2 { 3 } else { 4 }"), [3.0]);
    assert_eq!(v("{ let f = |x| x + 1; f(2) * f(3) }"), [12.0]);
    assert_eq!(v("{ var s = 0; for i in 0..4 { s = s + i }; s }"), [6.0]);
    assert_eq!(v("{ var s = 0; for i in 0..4 { s = s + 0.5 }; s }"), [2.0]);
    assert_eq!(v("{ var x = zeros(3); for i in 0..3 { x[i] = i + 1 }; x }"), [1.0, 2.0, 3.0]);
    assert_eq!(v("{ var a = 1.0; for i in 0..3 { if i == 1 { a = a * 10 } else { a = a + 1 } }; a }"), [21.0]);
}

#[test]
fn library_functions() {
    close(value("", "log_sum_exp([1, 2, 3])", &[], &[])[0], (1f64.exp() + 2f64.exp() + 3f64.exp()).ln());
    close(value("", "log_mean_exp([1, 1, 1])", &[], &[])[0], 1.0);
    close(value("", "logit(sigmoid(0.3))", &[], &[])[0], 0.3);
    assert_eq!(value("", "log_sum_exp([-infinity, -infinity])", &[], &[])[0], f64::NEG_INFINITY);
}

#[test]
fn density_of_eight_schools() {
    let y = vec![28.0, 8.0, -3.0];
    let s = vec![15.0, 10.0, 16.0];
    let given =
        [("J", Array::int([], vec![3])), ("y", Array::real([3], y.clone())), ("sigma", Array::real([3], s.clone()))];
    let v = value(SCHOOLS, "log_density(schools(), { mu: 1.5, tau: 2, theta: [0.5, 1, 2.5] })", &given, &[])[0];
    let mut want = normal(1.5, 0.0, 5.0) + (2.0 / std::f64::consts::PI).ln() - 5f64.ln() - (1.0 + 0.16f64).ln();
    for (j, t) in [0.5, 1.0, 2.5].into_iter().enumerate() {
        want += normal(t, 1.5, 2.0) + normal(y[j], t, s[j]);
    }
    close(v, want);
}

#[test]
fn chains_read_earlier_pieces() {
    let text = "
model walk() {
  x[0] ~ normal(0, 1)
  for t in 1..5 { x[t] ~ normal(0.5 * x[t-1], 2) }
}
model second() {
  x[0] ~ normal(0, 1)
  x[1] ~ normal(x[0], 1)
  for t in 2..5 { x[t] ~ normal(x[t-1] - x[t-2], 2) }
}
model tree() {
  z[0] ~ normal(0, 1)
  for i in 1..7 { z[i] ~ normal(z[(i - 1) / 2], 1) }
}
model panel() {
  for i in 0..3 {
    x[i, 0] ~ normal(0, 1)
    for t in 1..4 { x[i, t] ~ normal(x[i, t-1], 1) }
  }
}
objective check(q: gen) = expect {
  let (t, lq) = simulate(q)
  lq - log_density(q, t)
}
";
    for g in ["walk", "second", "tree", "panel"] {
        let v = value(text, &format!("check({g}())"), &[], &[])[0];
        assert!(v.abs() < 1e-12, "{g}: {v}");
    }
    let v = value(text, "log_density(walk(), { x: [1, 2, 3, 4, 5] })", &[], &[])[0];
    let mut want = normal(1.0, 0.0, 1.0);
    for t in 1..5 {
        want += normal(t as f64 + 1.0, 0.5 * t as f64, 2.0);
    }
    close(v, want);
    let v = value(text, "draw(panel())", &[], &[]);
    assert_eq!(v.len(), 12);
}

#[test]
fn missing_data_score_nothing() {
    let text = "
data T: int
data y: real?[T]
model m() { x ~ normal(0, 1); for t in 0..T { observe y[t] ~ normal(x, 2) } }
model whole() { x ~ normal(0, 1); observe y ~ normal(x * ones(T), 2) }
const present = sum(for t in 0..T { if is_missing(y[t]) { 0 } else { 1 } })
";
    let given = [("T", Array::int([], vec![3])), ("y", Array::real([3], vec![1.0, f64::NAN, 3.0]))];
    let want = normal(0.5, 0.0, 1.0) + normal(1.0, 0.5, 2.0) + normal(3.0, 0.5, 2.0);
    close(value(text, "log_density(m(), { x: 0.5 })", &given, &[])[0], want);
    close(value(text, "log_density(whole(), { x: 0.5 })", &given, &[])[0], want);
    assert_eq!(value(text, "present", &given, &[]), [2.0]);
    assert_eq!(value(text, "y[1] ?? 7", &given, &[]), [7.0]);
}

#[test]
fn distributions() {
    close(
        value("", "log_prob(normal([0, 1], 2), [0.5, 0.5])", &[], &[])[0],
        normal(0.5, 0.0, 2.0) + normal(0.5, 1.0, 2.0),
    );
    close(value("", "prob(categorical_logit([0, log(3)]), 1)", &[], &[])[0], 0.75);
    close(value("", "log_prob(bernoulli_logit(0.3), 1)", &[], &[])[0], -(1.0 + (-0.3f64).exp()).ln());
    assert_eq!(value("", "log_prob(half_normal(1), -1)", &[], &[])[0], f64::NEG_INFINITY);
    let l = "[[2, 0], [0.5, 1]]";
    let v = value("", &format!("log_prob(multi_normal_cholesky([1, 2], {l}), [1.5, 1])"), &[], &[])[0];
    let z0: f64 = 0.25;
    let z1 = -1.0 - 0.5 * z0;
    close(v, -0.5 * (z0 * z0 + z1 * z1) - 2f64.ln() - (2.0 * std::f64::consts::PI).ln());
    close(value("", "mean(normal(3, 1)) + cdf(normal(0, 1), 0)", &[], &[])[0], 3.5);
    close(
        value("", "log_prob(transformed(normal(0.2, 1.5), above(0)), 2)", &[], &[])[0],
        value("", "log_prob(lognormal(0.2, 1.5), 2)", &[], &[])[0],
    );
    assert_eq!(value("", "sum(draw(categorical([0, 1, 0])) + zeros(1))", &[], &[])[0], 1.0);
}

#[test]
fn bijectors_invert_and_have_their_log_det() {
    for (b, x) in [
        ("above(2)", "0.3"),
        ("below(2)", "0.3"),
        ("between(-1, 3)", "0.3"),
        ("to_simplex(4)", "[0.3, -0.2, 1]"),
        ("to_ordered(3)", "[0.3, -0.2, 1]"),
        ("to_positive_ordered(3)", "[0.3, -0.2, 1]"),
        ("to_cholesky_cov(2)", "[0.3, -0.2, 1]"),
        ("to_cholesky_corr(3)", "[0.3, -0.2, 1]"),
    ] {
        let v = value("", &format!("{{ let (y, _) = forward({b}, {x}); inverse({b}, y + 0) - {x} }}"), &[], &[]);
        assert!(v.iter().all(|d| d.abs() < 1e-12), "{b}: {v:?}");
    }
    // d simplex[0..2] / d x by differences.
    let at = |x: [f64; 2]| {
        value("", &format!("{{ let (y, ld) = forward(to_simplex(3), [{}, {}]); concat(y, ld) }}", x[0], x[1]), &[], &[])
    };
    let (h, x) = (1e-5, [0.4, -0.7]);
    let d = |k: usize, i: usize| {
        let (mut up, mut down) = (x, x);
        up[i] += h;
        down[i] -= h;
        (at(up)[k] - at(down)[k]) / (2.0 * h)
    };
    let det = d(0, 0) * d(1, 1) - d(0, 1) * d(1, 0);
    assert!((det.abs().ln() - at(x)[3]).abs() < 1e-8);
}

#[test]
fn refusals_are_diagnostics() {
    let code = |program: &str, text: &str| try_value(program, text, &[], &[]).unwrap_err()[0].code;
    assert_eq!(code("", "[1, 2] + [1, 2, 3]"), "E0390");
    assert_eq!(code("", "[1, 2][5]"), "E0390");
    assert_eq!(code("", "normal(0, -1)"), "E0213");
    assert_eq!(code("model m() { x ~ normal(0, 1) }", "log_density(m(), { y: 1 })"), "E0401");
}
