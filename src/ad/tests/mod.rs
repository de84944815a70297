//! Laws of differentiation: reverse against forward mode and finite differences, eager against recomputed, on generated
//! programs and on the worked examples.

pub(crate) mod examples;

use super::{Options, forward, reverse, reverse_with};
use crate::ir::core::{Noise, Program, Role, Scalar, Stmt};
use crate::ir::generate;
use crate::ir::interpret::Interpreter;
use crate::ir::op::Op;
use crate::ir::validate::{Form, validate};
use crate::runtime::executable::{Array, Executable, Stream};
use std::sync::Arc;

pub(crate) const STREAM: Stream = Stream { seed: 11, step: 3 };

/// Outputs of one step.
pub(crate) fn run(program: &Program, data: &[Array], params: &[f64]) -> Vec<f64> {
    let mut i = Interpreter::new(Arc::new(program.clone()), data).unwrap();
    let mut out = vec![0.0; i.output_len()];
    let (tuned, state) = (vec![0.3; i.tuned_len()], vec![0.2; i.state_len()]);
    i.step(params, &tuned, &state, STREAM, &mut out);
    out
}

fn direction(n: usize) -> Vec<f64> {
    (0..n).map(|k| ((k * 37 + 11) % 17) as f64 / 8.5 - 1.0).collect()
}

/// Where output 0 stands, then as many outputs as there are real parameters.
fn gradient(program: &Program, data: &[Array], params: &[f64], options: Options) -> (f64, Vec<f64>) {
    let r = reverse_with(program, 0, Role::Param, options).unwrap();
    let faults = validate(&r, Form::Plain);
    assert!(faults.is_empty(), "{faults:?}");
    let out = run(&r, data, params);
    (out[0], out[1..=params.len()].to_vec())
}

/// The tangent of the first output along `v`.
fn tangent(program: &Program, data: &[Array], params: &[f64], v: &[f64]) -> f64 {
    let f = forward(program, Role::Param).unwrap();
    let faults = validate(&f, Form::Plain);
    assert!(faults.is_empty(), "{faults:?}");
    let both: Vec<f64> = params.iter().chain(v).copied().collect();
    let out = run(&f, data, &both);
    let before: usize = program.step.results.iter().map(|&a| program.atom_type(a).size()).sum();
    out[before]
}

pub(crate) fn close(a: f64, b: f64, tolerance: f64, scale: f64) -> bool {
    (a.is_nan() && b.is_nan()) || (a - b).abs() <= tolerance * scale.max(a.abs()).max(b.abs()) || a == b
}

fn along(program: &Program, data: &[Array], params: &[f64], v: &[f64], h: f64) -> f64 {
    let shifted = |s: f64| -> f64 {
        let p: Vec<f64> = params.iter().zip(v).map(|(x, d)| x + s * d).collect();
        run(program, data, &p)[0]
    };
    (8.0 * (shifted(h) - shifted(-h)) - (shifted(2.0 * h) - shifted(-2.0 * h))) / (12.0 * h)
}

/// True if part of the value is held constant by the derivative but not by a finite difference.
fn holds_parts(stmts: &[Stmt]) -> bool {
    stmts.iter().any(|s| {
        let own = match s {
            Stmt::Op { op, .. } => *op == Op::Stop,
            Stmt::Draw(d) => d.noise == Noise::LogGamma,
            _ => false,
        };
        own || s.regions().iter().any(|b| holds_parts(&b.stmts))
    })
}

#[test]
fn generated_programs_agree() {
    let mut compared = 0;
    let mut candidates = 0;
    let mut moved = 0;
    let seeds = 160;
    for seed in 0..seeds {
        let (program, data, params) = generate::smooth_program(seed);
        let all_real = program.inputs_of(Role::Param).all(|i| program.ty(i.var).scalar == Scalar::Real);
        assert!(all_real);
        let (value, g) = gradient(&program, &data, &params, Options::default());
        let (again, g2) = gradient(&program, &data, &params, Options { eager: false });
        assert!(close(value, run(&program, &data, &params)[0], 0.0, 0.0), "seed {seed}: the value changed");
        assert!(close(value, again, 0.0, 0.0));
        let scale = g.iter().fold(1.0f64, |m, x| if x.is_finite() { m.max(x.abs()) } else { m });
        for (k, (a, b)) in g.iter().zip(&g2).enumerate() {
            assert!(close(*a, *b, 1e-10, scale), "seed {seed}: eager {a} and recomputed {b} differ at {k}");
        }
        let v = direction(params.len());
        let dot: f64 = g.iter().zip(&v).map(|(a, b)| a * b).sum();
        let t = tangent(&program, &data, &params, &v);
        assert!(close(dot, t, 1e-9, scale), "seed {seed}: reverse {dot} and forward {t}");
        if holds_parts(&program.step.stmts) {
            continue;
        }
        candidates += 1;
        let (coarse, fine) = (along(&program, &data, &params, &v, 1e-3), along(&program, &data, &params, &v, 5e-4));
        // A kink near the point, or noise: finite differences do not agree with themselves.
        if (coarse - fine).abs() <= 1e-8 * scale && fine.is_finite() {
            compared += 1;
            assert!(close(dot, fine, 1e-6, scale), "seed {seed}: reverse {dot}, finite differences {fine}");
            if dot.abs() > 1e-3 {
                moved += 1;
            }
        }
    }
    assert!(
        candidates * 4 >= seeds && compared * 10 >= candidates * 8,
        "{compared} of {candidates} of {seeds} compared"
    );
    assert!(moved * 2 >= compared, "only {moved} of {compared} derivatives differ from zero");
}

#[test]
fn hessian_vector_products() {
    let mut moved = 0;
    for seed in 0..120 {
        let (program, data, params) = generate::smooth_program(seed);
        if holds_parts(&program.step.stmts) {
            continue;
        }
        let r = reverse(&program, Role::Param).unwrap();
        // An operation may have a first derivative but no second.
        let Ok(f) = forward(&r, Role::Param) else { continue };
        let v = direction(params.len());
        let both: Vec<f64> = params.iter().chain(&v).copied().collect();
        let out = run(&f, &data, &both);
        let before: usize = r.step.results.iter().map(|&a| r.atom_type(a).size()).sum();
        let product = &out[before + 1..before + 1 + params.len()];
        let shifted = |s: f64| -> Vec<f64> {
            let p: Vec<f64> = params.iter().zip(&v).map(|(x, d)| x + s * d).collect();
            run(&r, &data, &p)[1..=params.len()].to_vec()
        };
        let difference =
            |h: f64| -> Vec<f64> { shifted(h).iter().zip(&shifted(-h)).map(|(a, b)| (a - b) / (2.0 * h)).collect() };
        let (coarse, fine) = (difference(2e-4), difference(1e-4));
        for k in 0..params.len() {
            let scale = fine[k].abs().max(1.0);
            if (coarse[k] - fine[k]).abs() <= 1e-6 * scale {
                assert!(close(product[k], fine[k], 1e-4, scale), "seed {seed}, {k}: {} and {}", product[k], fine[k]);
                if fine[k].abs() > 1e-3 {
                    moved += 1;
                }
            }
        }
    }
    assert!(moved > 50, "only {moved} second derivatives differ from zero");
}
