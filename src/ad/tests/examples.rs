//! The worked examples, built as Core by generic code.

use super::{close, gradient, run};
use crate::ad::{Options, reverse};
use crate::ir::builder::Builder;
use crate::ir::core::{Atom, Collector, Contract, Draw, Input, Noise, Prim, Program, Role, Scalar, Stmt, Type, Var};
use crate::ir::op::Op;
use crate::runtime::executable::Array;

fn input(p: &mut Program, role: Role, name: &str, shape: &[usize]) -> Atom {
    let var = p.new_var(Type::array(Scalar::Real, shape), Some(name));
    p.inputs.push(Input { var, role, name: name.to_owned() });
    var.into()
}

fn sum() -> Collector {
    Collector::Sum { keep: Vec::new() }
}

fn noise(b: &mut Builder<'_>, site: u32, index: Vec<(Atom, usize)>) -> Atom {
    let result: Var = b.var(Type::REAL);
    b.stmts.push(Stmt::Draw(Draw { result, noise: Noise::Normal, args: Vec::new(), site, index, mirror: None }));
    result.into()
}

fn finish(p: Program, stmts: Vec<Stmt>, value: Atom) -> Program {
    let mut p = p;
    p.step.stmts = stmts;
    p.step.results = vec![value];
    p.outputs = vec!["value".to_owned()];
    p
}

/// Eight schools, centred, mean-field, the mean over `particles`: as the specialiser would leave it, with densities in
/// full.
pub(crate) fn schools(particles: usize) -> (Program, Vec<Array>, Vec<f64>) {
    let mut p = Program::default();
    let y = input(&mut p, Role::Data, "y", &[8]);
    let sigma = input(&mut p, Role::Data, "sigma", &[8]);
    let m = input(&mut p, Role::Param, "m", &[10]);
    let l = input(&mut p, Role::Param, "l", &[10]);
    let mut b = Builder::new(&mut p);
    let total = b.for_(&[particles], vec![sum()], |b, k| {
        let x = b.for_(&[10], vec![Collector::Collect], |b, i| {
            let (m, l) = (b.read(m, i), b.read(l, i));
            let s = b.op(Op::Exp, &[l]);
            let e = noise(b, 1, vec![(k[0], particles), (i[0], 10)]);
            let t = b.op(Op::Mul, &[s, e]);
            vec![b.op(Op::Add, &[m, t])]
        })[0];
        let mu = b.read(x, &[Atom::Int(0)]);
        let zt = b.read(x, &[Atom::Int(1)]);
        let tau = b.op(Op::Exp, &[zt]);
        let theta = b.for_(&[8], vec![Collector::Collect], |b, j| {
            let at = b.op(Op::IAdd, &[j[0], Atom::Int(2)]);
            vec![b.read(x, &[at])]
        })[0];
        let normal = |b: &mut Builder<'_>, x: Atom, m: Atom, s: Atom| {
            let d = b.op(Op::Sub, &[x, m]);
            let z = b.op(Op::Div, &[d, s]);
            let q = b.op(Op::Mul, &[z, z]);
            let q = b.op(Op::Mul, &[q, Atom::Real(-0.5)]);
            let ls = b.op(Op::Log, &[s]);
            let q = b.op(Op::Sub, &[q, ls]);
            b.op(Op::Sub, &[q, Atom::Real(0.918_938_533_204_672_7)])
        };
        let prior = b.for_(&[8], vec![sum()], |b, j| {
            let t = b.read(theta, j);
            vec![normal(b, t, mu, tau)]
        })[0];
        let likelihood = b.for_(&[8], vec![sum()], |b, j| {
            let (y, t, s) = (b.read(y, j), b.read(theta, j), b.read(sigma, j));
            vec![normal(b, y, t, s)]
        })[0];
        let entropy = b.for_(&[10], vec![sum()], |b, i| {
            let (m, l, x) = (b.read(m, i), b.read(l, i), b.read(x, i));
            let s = b.op(Op::Exp, &[l]);
            let lq = normal(b, x, m, s);
            vec![b.op(Op::Neg, &[lq])]
        })[0];
        let pmu = normal(b, mu, Atom::Real(0.0), Atom::Real(5.0));
        let r = b.op(Op::Div, &[tau, Atom::Real(5.0)]);
        let r = b.op(Op::Mul, &[r, r]);
        let r = b.op(Op::Log1p, &[r]);
        let ptau = b.op(Op::Sub, &[zt, r]);
        let mut value = b.op(Op::Add, &[pmu, ptau]);
        for t in [prior, likelihood, entropy] {
            value = b.op(Op::Add, &[value, t]);
        }
        vec![value]
    })[0];
    let value = b.op(Op::Mul, &[total, Atom::Real(1.0 / particles as f64)]);
    let stmts = b.stmts;
    let data = vec![
        Array::real([8], vec![28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0]),
        Array::real([8], vec![15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0]),
    ];
    let params = (0..20).map(|k| 0.1 * f64::from(k) - 0.7).collect();
    (finish(p, stmts, value), data, params)
}

/// Logistic regression with `particles` weights in a `log_sum_exp` (one: the plain objective). Rows are read one at a
/// time, as a program writes them.
pub(crate) fn logistic(n: usize, d: usize, particles: usize) -> (Program, Vec<Array>, Vec<f64>) {
    let mut p = Program::default();
    let x = input(&mut p, Role::Data, "X", &[n, d]);
    let y = input(&mut p, Role::Data, "y", &[n]);
    let m = input(&mut p, Role::Param, "m", &[d]);
    let l = input(&mut p, Role::Param, "l", &[d]);
    let mut b = Builder::new(&mut p);
    let weights = b.for_(&[particles], vec![Collector::Collect], |b, k| {
        let k = k[0];
        let outs = b.for_(&[d], vec![Collector::Collect, sum()], |b, a| {
            let (m, l) = (b.read(m, a), b.read(l, a));
            let s = b.op(Op::Exp, &[l]);
            let e = noise(b, 1, vec![(k, particles), (a[0], d)]);
            let t = b.op(Op::Mul, &[s, e]);
            let beta = b.op(Op::Add, &[m, t]);
            let q = b.op(Op::Mul, &[beta, beta]);
            let q = b.op(Op::Mul, &[q, Atom::Real(-0.5)]);
            vec![beta, b.op(Op::Add, &[q, l])]
        });
        let (beta, rest) = (outs[0], outs[1]);
        let likelihood = b.for_(&[n], vec![sum()], |b, i| {
            let i = i[0];
            let row = b.for_(&[d], vec![Collector::Collect], |b, j| vec![b.read(x, &[i, j[0]])])[0];
            let result = b.var(Type::REAL);
            b.stmts.push(Stmt::Contract(Contract {
                result,
                a: row,
                b: beta,
                a_labels: vec![b'j'],
                b_labels: vec![b'j'],
                out: Vec::new(),
                kind: None,
            }));
            let eta: Atom = result.into();
            let y = b.read(y, &[i]);
            let t = b.op(Op::Mul, &[y, eta]);
            let s = b.op(Op::Softplus, &[eta]);
            vec![b.op(Op::Sub, &[t, s])]
        })[0];
        vec![b.op(Op::Add, &[rest, likelihood])]
    })[0];
    let value = if particles == 1 {
        b.read(weights, &[Atom::Int(0)])
    } else {
        let top = b.for_(&[particles], vec![Collector::Max], |b, k| vec![b.read(weights, k)])[0];
        let top = b.op(Op::Stop, &[top]);
        let total = b.for_(&[particles], vec![sum()], |b, k| {
            let w = b.read(weights, k);
            let w = b.op(Op::Sub, &[w, top]);
            vec![b.op(Op::Exp, &[w])]
        })[0];
        let log = b.op(Op::Log, &[total]);
        b.op(Op::Add, &[log, top])
    };
    let stmts = b.stmts;
    let data = vec![
        Array::real([n, d], (0..n * d).map(|k| ((k * 29 + 7) % 23) as f64 / 11.5 - 1.0).collect::<Vec<_>>()),
        Array::real([n], (0..n).map(|k| ((k * 5 + 1) % 3 % 2) as f64).collect::<Vec<_>>()),
    ];
    let params = (0..2 * d).map(|k| 0.05 * (k % 7) as f64 - 0.4).collect();
    (finish(p, stmts, value), data, params)
}

/// A hidden Markov model's forward algorithm: `steps` observations, three states, log transition matrix as parameter.
pub(crate) fn hidden_markov(steps: usize) -> (Program, Vec<Array>, Vec<f64>) {
    let s = 3;
    let mut p = Program::default();
    let em = input(&mut p, Role::Data, "em", &[steps, s]);
    let l = input(&mut p, Role::Param, "L", &[s, s]);
    let shift = input(&mut p, Role::Param, "shift", &[s]);
    let mut b = Builder::new(&mut p);
    let start = b.array(Prim::Fill { shape: vec![s] }, &[Atom::Real(0.0)], Type::array(Scalar::Real, [s]));
    let out = b.loop_(steps, &[start], Vec::new(), false, |b, t, a| {
        let alpha = a[0];
        let next = b.for_(&[s], vec![Collector::Collect], |b, to| {
            let to = to[0];
            let score = |b: &mut Builder<'_>, from: Atom| {
                let (x, y) = (b.read(alpha, &[from]), b.read(l, &[from, to]));
                b.op(Op::Add, &[x, y])
            };
            let top = b.for_(&[s], vec![Collector::Max], |b, r| vec![score(b, r[0])])[0];
            let total = b.for_(&[s], vec![sum()], |b, r| {
                let x = score(b, r[0]);
                let x = b.op(Op::Sub, &[x, top]);
                vec![b.op(Op::Exp, &[x])]
            })[0];
            let log = b.op(Op::Log, &[total]);
            let lse = b.op(Op::Add, &[log, top]);
            let e = b.read(em, &[t, to]);
            let sh = b.read(shift, &[to]);
            let e = b.op(Op::Mul, &[e, sh]);
            vec![b.op(Op::Add, &[lse, e])]
        })[0];
        vec![next]
    });
    let last = out[0];
    let total = b.for_(&[s], vec![sum()], |b, r| {
        let x = b.read(last, r);
        vec![b.op(Op::Exp, &[x])]
    })[0];
    let value = b.op(Op::Log, &[total]);
    let stmts = b.stmts;
    let data =
        vec![Array::real([steps, s], (0..steps * s).map(|k| ((k * 13) % 7) as f64 / 7.0 - 0.5).collect::<Vec<_>>())];
    let params = (0..12).map(|k| -1.0 + 0.13 * f64::from(k % 5)).collect();
    (finish(p, stmts, value), data, params)
}

/// The gradient against central differences of every parameter, eager and recomputed.
fn against_differences(program: &Program, data: &[Array], params: &[f64]) {
    for eager in [true, false] {
        let (_, g) = gradient(program, data, params, Options { eager });
        for k in 0..params.len() {
            let at = |h: f64| {
                let mut q = params.to_vec();
                q[k] += h;
                run(program, data, &q)[0]
            };
            let h = 1e-3;
            let d = (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h);
            assert!(close(g[k], d, 1e-6, 1.0), "eager {eager}, parameter {k}: {} and {d}", g[k]);
        }
    }
}

#[test]
fn eight_schools() {
    for particles in [1, 9] {
        let (program, data, params) = schools(particles);
        against_differences(&program, &data, &params);
    }
}

/// Two layers applied to each row: `tanh(A x[i])`, then `B (h + noise)` under particles; the matrices are `[16, 16]`.
pub(crate) fn layers(rows: usize, particles: usize) -> (Program, Vec<Array>, Vec<f64>) {
    const D: usize = 16;
    let mut p = Program::default();
    let x = input(&mut p, Role::Data, "x", &[rows, D]);
    let first = input(&mut p, Role::Param, "A", &[D, D]);
    let second = input(&mut p, Role::Param, "B", &[D, D]);
    let mut b = Builder::new(&mut p);
    let layer = |b: &mut Builder<'_>, matrix: Atom, vector: Atom| -> Atom {
        let result = b.var(Type::array(Scalar::Real, vec![D]));
        b.stmts.push(Stmt::Contract(Contract {
            result,
            a: matrix,
            b: vector,
            a_labels: b"hd".to_vec(),
            b_labels: b"d".to_vec(),
            out: b"h".to_vec(),
            kind: None,
        }));
        result.into()
    };
    let value = b.for_(&[particles], vec![sum()], |b, k| {
        let k = k[0];
        let all = b.for_(&[rows], vec![sum()], |b, i| {
            let i = i[0];
            let input = b.for_(&[D], vec![Collector::Collect], |b, j| {
                let x = b.read(x, &[i, j[0]]);
                vec![b.op(Op::Mul, &[x, x])]
            })[0];
            let h = layer(b, first, input);
            let noisy = b.for_(&[D], vec![Collector::Collect], |b, j| {
                let h = b.read(h, j);
                let h = b.op(Op::Tanh, &[h]);
                let e = noise(b, 1, vec![(k, particles), (i, rows), (j[0], D)]);
                vec![b.op(Op::Add, &[h, e])]
            })[0];
            let out = layer(b, second, noisy);
            b.for_(&[D], vec![sum()], |b, j| {
                let y = b.read(out, j);
                vec![b.op(Op::Softplus, &[y])]
            })
        })[0];
        vec![all]
    })[0];
    let stmts = b.stmts;
    let p = finish(p, stmts, value);
    let data = vec![Array::real([rows, D], (0..rows * D).map(|k| (k as f64 * 0.37).sin()).collect::<Vec<f64>>())];
    let params = (0..2 * D * D).map(|k| (k as f64 * 0.71).cos() * 0.3).collect();
    (p, data, params)
}

#[test]
fn logistic_regression() {
    let (program, data, params) = logistic(40, 5, 1);
    against_differences(&program, &data, &params);
}

#[test]
fn importance_weighted() {
    let (program, data, params) = logistic(40, 5, 4);
    against_differences(&program, &data, &params);
    // The rows are read in one pass: one loop over them in the whole program.
    let r = reverse(&program, Role::Param).unwrap();
    let text = crate::ir::print::print(&r);
    assert_eq!(text.matches("<40").count(), 1, "{text}");
}

#[test]
fn hidden_markov_model() {
    let (program, data, params) = hidden_markov(17);
    against_differences(&program, &data, &params);
}
