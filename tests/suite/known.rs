//! Core written by hand against values that plain Rust computes from the densities: eight schools and logistic regression.
//! Gradients are compared with central differences of the plain Rust value at the same draws.

use crate::case::{block, read};
use crate::inputs;
use libtest_mimic::Trial;
use provi::ir::core::{Program, Role};
use provi::ir::interpret::Interpreter;
use provi::ir::parse::parse;
use provi::runtime::executable::{Array, Executable, Status, Stream};
use provi::runtime::random;
use std::sync::Arc;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("known::eight_schools", || Ok(eight_schools()?)),
        Trial::test("known::logistic_regression_of_1030_rows", || Ok(logistic_regression()?)),
    ]
}

fn case(name: &str) -> Result<String, String> {
    let path = format!("{}/tests/cases/core/{name}.md", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).map_err(|e| e.to_string())
}

/// log of the normal density.
fn normal(x: f64, mean: f64, sd: f64) -> f64 {
    let z = (x - mean) / sd;
    -0.5 * z * z - sd.ln() - 0.5 * (2.0 * std::f64::consts::PI).ln()
}

fn outputs(program: Program, data: &[Array], params: &[f64], stream: Stream) -> Result<Vec<f64>, String> {
    let mut interpreter = Interpreter::new(Arc::new(program), data)?;
    let mut out = vec![0.0; interpreter.output_len()];
    match interpreter.step(params, &[], &[], stream, &mut out) {
        Status::Fine => Ok(out),
        status => Err(format!("the step ended with {status:?}")),
    }
}

/// The value at 1e-10, the gradient against central differences of `value`.
fn compare(out: &[f64], params: &[f64], value: impl Fn(&[f64]) -> f64) -> Result<(), String> {
    let expected = value(params);
    if (out[0] - expected).abs() > 1e-10 * expected.abs() {
        return Err(format!("value {} is not {expected}", out[0]));
    }
    if out.len() != params.len() + 1 {
        return Err(format!("{} outputs for {} parameters", out.len(), params.len()));
    }
    for (n, &gradient) in out[1..].iter().enumerate() {
        let at = |h: f64| {
            let mut moved = params.to_vec();
            moved[n] += h;
            value(&moved)
        };
        let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
        if (gradient - difference).abs() > 1e-6 * (1.0 + gradient.abs()) {
            return Err(format!("gradient {n} is {gradient}, not {difference}"));
        }
    }
    Ok(())
}

fn eight_schools() -> Result<(), String> {
    let text = case("eight_schools")?;
    let pieces = read(&text)?;
    let program = parse(block(&pieces, "core").unwrap_or_default()).map_err(|e| e.to_string())?;
    let data = inputs::data(&program, block(&pieces, "data"))?;
    let params = inputs::flat(&program, Role::Param, block(&pieces, "params"), "params")?;
    let stream = inputs::stream(block(&pieces, "stream"))?;
    let y = [28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0];
    let sigma = [15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0];
    let noise: Vec<f64> = (0..10).map(|a| random::normal(stream, 0, a)).collect();
    let value = |p: &[f64]| {
        let x: Vec<f64> = (0..10).map(|a| p[a] + p[10 + a].exp() * noise[a]).collect();
        let (mu, tau) = (x[0], x[1].exp());
        let half_cauchy = (2.0 / (5.0 * std::f64::consts::PI)).ln() - (tau / 5.0 * tau / 5.0).ln_1p();
        let likelihood: f64 = (0..8).map(|j| normal(x[2 + j], mu, tau) + normal(y[j], x[2 + j], sigma[j])).sum();
        let guide: f64 = (0..10).map(|a| normal(noise[a], 0.0, 1.0) - p[10 + a]).sum();
        normal(mu, 0.0, 5.0) + half_cauchy + x[1] + likelihood - guide
    };
    compare(&outputs(program, &data, &params, stream)?, &params, value)
}

/// As the case file, with more rows than a chunk has and more columns than the row kernels have lanes.
fn logistic_regression() -> Result<(), String> {
    let (n, d) = (1030, 9);
    let text = case("logistic_regression")?;
    let core = block(&read(&text)?, "core").unwrap_or_default().to_owned();
    let core = core.replace("[6,3]", "[1030,9]").replace("[6]", "[1030]").replace("i<6", "i<1030");
    let core = core.replace("[3]", "[9]").replace("a<3", "a<9").replace("of 3", "of 9");
    let program = parse(&core).map_err(|e| e.to_string())?;
    let stream = Stream { seed: 11, step: 4 };
    let x: Vec<f64> = (0..n * d).map(|i| ((i * 37 % 101) as f64 - 50.0) / 40.0).collect();
    let y: Vec<f64> = (0..n).map(|i| f64::from(u8::from(i * 7 % 11 < 5))).collect();
    let params: Vec<f64> = (0..2 * d).map(|i| (i as f64 * 0.7).sin() * 0.4 - 0.1).collect();
    let noise: Vec<f64> = (0..d as u64).map(|a| random::normal(stream, 0, a)).collect();
    let value = |p: &[f64]| {
        let b: Vec<f64> = (0..d).map(|a| p[a] + p[d + a].exp() * noise[a]).collect();
        let prior: f64 = b.iter().map(|&b| normal(b, 0.0, 1.0)).sum();
        let guide: f64 = (0..d).map(|a| normal(noise[a], 0.0, 1.0) - p[d + a]).sum();
        let likelihood: f64 = (0..n)
            .map(|i| {
                let eta: f64 = (0..d).map(|j| x[i * d + j] * b[j]).sum();
                let p = 1.0 / (1.0 + (-eta).exp());
                if y[i] == 1.0 { p.ln() } else { (-p).ln_1p() }
            })
            .sum();
        prior + likelihood - guide
    };
    let data = [Array::real([n, d], x.clone()), Array::real([n], y.clone())];
    compare(&outputs(program, &data, &params, stream)?, &params, value)
}
