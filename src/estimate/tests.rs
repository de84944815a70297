//! Derivation on hand-made Core with sites, against sums over all assignments written in plain Rust.

use super::derive;
use crate::diagnostic::Diagnostic;
use crate::ir::builder::Builder;
use crate::ir::core::{Atom, Collector, Draw, Input, Noise, Prim, Program, Role, Sample, Scalar, Stmt, Type, Var};
use crate::ir::interpret::Interpreter;
use crate::ir::op::Op;
use crate::runtime::executable::{Executable, Stream};
use crate::specialize::sites::{Call, SiteDescription, Sites, StrategyForm};
use std::sync::Arc;

/// Bernoulli sites; the entry is the strategy.
struct Flips;

const ENUM: u32 = 0;
const SCORE: u32 = 1;
const MVD: u32 = 2;

impl Flips {
    fn draw(b: &mut Builder<'_>, sample: &Sample) -> Atom {
        let result = b.var(Type::REAL);
        b.stmts.push(Stmt::Draw(Draw {
            result,
            noise: Noise::Uniform,
            args: Vec::new(),
            site: sample.site,
            index: sample.index.clone(),
            mirror: None,
        }));
        let below = b.op(Op::Lt, &[result.into(), sample.args[0]]);
        b.op(Op::Select, &[below, Atom::Int(1), Atom::Int(0)])
    }
}

fn call(args: Vec<Atom>, primal: Option<Atom>, stopped: Option<Atom>) -> Call {
    Call { extents: Vec::new(), args, static_args: false, primal, stopped }
}

impl Sites for Flips {
    fn strategy(&mut self, program: &mut Program, sample: &Sample) -> Result<StrategyForm, Diagnostic> {
        let mut b = Builder::new(program);
        let p = sample.args[0];
        let calls = match sample.entry {
            ENUM => {
                let q = b.op(Op::Sub, &[Atom::Real(1.0), p]);
                let probabilities = b.array(Prim::Stack, &[q, p], Type::array(Scalar::Real, [2]));
                let values = b.for_(&[2], vec![Collector::Collect], |_, i| vec![i[0]])[0];
                vec![Call {
                    extents: vec![2],
                    args: vec![values],
                    static_args: true,
                    primal: Some(probabilities),
                    stopped: None,
                }]
            }
            SCORE => {
                let x = Flips::draw(&mut b, sample);
                let one = b.op(Op::IEq, &[x, Atom::Int(1)]);
                let q = b.op(Op::Sub, &[Atom::Real(1.0), p]);
                let probability = b.op(Op::Select, &[one, p, q]);
                let lp = b.op(Op::Log, &[probability]);
                let held = b.op(Op::Stop, &[lp]);
                let tangent = b.op(Op::Sub, &[lp, held]);
                vec![call(vec![x], Some(Atom::Real(1.0)), Some(tangent))]
            }
            _ => {
                let x = Flips::draw(&mut b, sample);
                let held = b.op(Op::Stop, &[p]);
                let tangent = b.op(Op::Sub, &[p, held]);
                let minus = b.op(Op::Neg, &[tangent]);
                vec![
                    call(vec![x], Some(Atom::Real(1.0)), None),
                    call(vec![Atom::Int(1)], None, Some(tangent)),
                    call(vec![Atom::Int(0)], None, Some(minus)),
                ]
            }
        };
        let stmts = b.stmts;
        Ok(StrategyForm {
            stmts,
            constant: Atom::Real(0.0),
            calls,
            after: Vec::new(),
            results: Vec::new(),
            kept: Vec::new(),
        })
    }

    fn instead(&mut self, _: u32) -> bool {
        false
    }

    fn plain_draw(&mut self, program: &mut Program, sample: &Sample) -> Result<(Vec<Stmt>, Vec<Atom>), Diagnostic> {
        let mut b = Builder::new(program);
        let x = Flips::draw(&mut b, sample);
        Ok((b.stmts, vec![x]))
    }

    fn result_types(&self, _: u32) -> Vec<Type> {
        vec![Type::INT]
    }

    fn describe(&self, entry: u32) -> SiteDescription {
        SiteDescription { address: "x".to_owned(), strategy: format!("s{entry}"), span: Default::default() }
    }
}

fn flip(b: &mut Builder<'_>, entry: u32, site: u32, p: Atom, index: &[(Atom, usize)]) -> Atom {
    let x = b.var(Type::INT);
    b.stmts.push(Stmt::Sample(Sample { results: vec![x], site, entry, args: vec![p], index: index.to_vec() }));
    x.into()
}

/// A program with one parameter vector `a[n]`.
fn program(n: usize, build: impl FnOnce(&mut Builder<'_>, Atom)) -> Program {
    let mut program = Program::default();
    let a = program.new_var(Type::array(Scalar::Real, [n]), Some("a"));
    program.inputs.push(Input { var: a, role: Role::Param, name: "a".to_owned() });
    let mut b = Builder::new(&mut program);
    build(&mut b, a.into());
    let stmts = b.stmts;
    program.step.stmts = stmts;
    program
}

fn value(program: Program, params: &[f64]) -> f64 {
    mean(program, params, 1)
}

fn mean(program: Program, params: &[f64], samples: u32) -> f64 {
    let derived = derive(program, &mut Flips).map_err(|d| format!("{d:?}")).unwrap();
    let mut run = Interpreter::new(Arc::new(derived), &[]).unwrap();
    let mut out = vec![0.0; run.output_len()];
    let mut total = 0.0;
    for step in 0..samples {
        run.step(params, &[], &[], Stream { seed: 7, step }, &mut out);
        total += out[0];
    }
    total / f64::from(samples)
}

fn near(a: f64, b: f64) {
    assert!((a - b).abs() <= 1e-10 * (1.0 + b.abs()), "{a} is not {b}");
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// `c(u, v, t)`: some cost of neighbours.
fn cost(b: &mut Builder<'_>, u: Atom, v: Atom, t: Atom) -> Atom {
    let (u, v, t) = (b.op(Op::ToReal, &[u]), b.op(Op::ToReal, &[v]), b.op(Op::ToReal, &[t]));
    let s = b.op(Op::Mul, &[Atom::Real(1.3), v]);
    let s = b.op(Op::Add, &[s, u]);
    let w = b.op(Op::Mul, &[t, Atom::Real(0.1)]);
    let s = b.op(Op::Add, &[s, w]);
    b.op(Op::Sin, &[s])
}

fn cost_of(u: usize, v: usize, t: usize) -> f64 {
    (1.3 * v as f64 + u as f64 + t as f64 * 0.1).sin()
}

/// Probability of a flip after `u`: sigmoid(a[t] + u/2).
fn after(b: &mut Builder<'_>, a: Atom, t: Atom, u: Atom) -> Atom {
    let base = b.read(a, &[t]);
    let u = b.op(Op::ToReal, &[u]);
    let half = b.op(Op::Mul, &[u, Atom::Real(0.5)]);
    let z = b.op(Op::Add, &[base, half]);
    b.op(Op::Sigmoid, &[z])
}

fn chain(entry: u32, n: usize) -> Program {
    program(n, |b, a| {
        let p0 = after(b, a, Atom::Int(0), Atom::Int(0));
        let x0 = flip(b, entry, 0, p0, &[]);
        let rest = b.loop_(n - 1, &[x0], vec![Collector::Collect], false, |b, t, s| {
            let now = b.op(Op::IAdd, &[t, Atom::Int(1)]);
            let p = after(b, a, now, s[0]);
            let x = flip(b, entry, 1, p, &[(t, n - 1)]);
            vec![x, x]
        });
        let first = b.array(Prim::Stack, &[x0], Type::array(Scalar::Int, [1]));
        let all = b.array(Prim::Concat { axis: 0 }, &[first, rest[1]], Type::array(Scalar::Int, [n]));
        let mut inner = Vec::new();
        b.for_(&[n - 1], Vec::new(), |b, t| {
            let now = b.op(Op::IAdd, &[t[0], Atom::Int(1)]);
            let u = b.read(all, &[t[0]]);
            let v = b.read(all, &[now]);
            let c = cost(b, u, v, now);
            b.stmts.push(Stmt::Term(c));
            inner.push(c);
            Vec::new()
        });
    })
}

fn chain_exact(a: &[f64]) -> f64 {
    let p = |t: usize, u: usize| sigmoid(a[t] + 0.5 * u as f64);
    let mut alpha = [1.0 - p(0, 0), p(0, 0)];
    let mut total = 0.0;
    for t in 1..a.len() {
        let mut next = [0.0; 2];
        for (u, w) in alpha.iter().enumerate() {
            for (v, slot) in next.iter_mut().enumerate() {
                let q = if v == 1 { p(t, u) } else { 1.0 - p(t, u) };
                total += w * q * cost_of(u, v, t);
                *slot += w * q;
            }
        }
        alpha = next;
    }
    total
}

fn parameters(n: usize) -> Vec<f64> {
    (0..n).map(|i| ((i * 7 % 11) as f64 - 5.0) * 0.2).collect()
}

#[test]
fn chain_by_tables() {
    for n in [2, 3, 20, 200] {
        let a = parameters(n);
        near(value(chain(ENUM, n), &a), chain_exact(&a));
    }
}

#[test]
fn chain_by_one_shot_has_the_value_of_its_draws() {
    // The derived value of a one-shot strategy is a plain run: its mean is the exact value.
    let a = parameters(6);
    for entry in [SCORE, MVD] {
        let m = mean(chain(entry, 6), &a, 4_000);
        assert!((m - chain_exact(&a)).abs() < 0.1, "{m} {}", chain_exact(&a));
    }
}

#[test]
fn plate_costs_its_rows() {
    let n = 1000;
    let a = parameters(n);
    let p = program(n, |b, a| {
        let x = b.for_(&[n], vec![Collector::Collect], |b, i| {
            let p = after(b, a, i[0], Atom::Int(0));
            vec![flip(b, ENUM, 0, p, &[(i[0], n)])]
        })[0];
        b.for_(&[n], Vec::new(), |b, i| {
            let v = b.read(x, &[i[0]]);
            let c = cost(b, v, v, i[0]);
            b.stmts.push(Stmt::Term(c));
            Vec::new()
        });
    });
    let exact: f64 = (0..n)
        .map(|i| {
            let p = sigmoid(a[i]);
            p * cost_of(1, 1, i) + (1.0 - p) * cost_of(0, 0, i)
        })
        .sum();
    near(value(p, &a), exact);
}

#[test]
fn gather_from_a_plate() {
    let a = parameters(5);
    let g = [4.0, 0.0, 0.0, 2.0, 3.0, 4.0, 1.0];
    let p = program(5, |b, a| {
        let data: Arc<[f64]> = Arc::from(g.as_slice());
        let ty = Type::array(Scalar::Int, [7]);
        let groups = b.array(Prim::Const { data, ty: ty.clone() }, &[], ty);
        let x = b.for_(&[5], vec![Collector::Collect], |b, i| {
            let p = after(b, a, i[0], Atom::Int(0));
            vec![flip(b, ENUM, 0, p, &[(i[0], 5)])]
        })[0];
        b.for_(&[7], Vec::new(), |b, j| {
            let at = b.read(groups, &[j[0]]);
            let v = b.read(x, &[at]);
            let c = cost(b, v, v, j[0]);
            b.stmts.push(Stmt::Term(c));
            Vec::new()
        });
    });
    let exact: f64 = g
        .iter()
        .enumerate()
        .map(|(j, &i)| {
            let p = sigmoid(a[i as usize]);
            p * cost_of(1, 1, j) + (1.0 - p) * cost_of(0, 0, j)
        })
        .sum();
    near(value(p, &a), exact);
}

#[test]
fn tree_of_written_sites() {
    // Node i's parent is (i - 1) / 2.
    let n = 31;
    let a = parameters(n);
    let p = program(n, |b, a| {
        let mut x: Vec<Atom> = Vec::new();
        for i in 0..n {
            let parent = if i == 0 { Atom::Int(0) } else { x[(i - 1) / 2] };
            let p = after(b, a, Atom::Int(i as i64), parent);
            x.push(flip(b, ENUM, i as u32, p, &[]));
        }
        for i in 1..n {
            let c = cost(b, x[(i - 1) / 2], x[i], Atom::Int(i as i64));
            b.stmts.push(Stmt::Term(c));
        }
    });
    let mut probability = vec![0.0; n];
    let mut exact = 0.0;
    for i in 0..n {
        let q = |u: usize| sigmoid(a[i] + 0.5 * u as f64);
        if i == 0 {
            probability[0] = q(0);
            continue;
        }
        let up = probability[(i - 1) / 2];
        for (u, w) in [(0, 1.0 - up), (1, up)] {
            probability[i] += w * q(u);
            exact += w * (q(u) * cost_of(u, 1, i) + (1.0 - q(u)) * cost_of(u, 0, i));
        }
    }
    near(value(p, &a), exact);
}

#[test]
fn second_order_chain_with_a_shared_parent_in_a_plate() {
    let (rows, n) = (3, 6);
    let a = parameters(n);
    let p = program(n, |b, a| {
        let ps = after(b, a, Atom::Int(0), Atom::Int(0));
        let s = flip(b, ENUM, 9, ps, &[]);
        let x = b.for_(&[rows], vec![Collector::Collect], |b, r| {
            let out = b.loop_(n, &[Atom::Int(0), s], vec![Collector::Collect], false, |b, t, c| {
                let sum = b.op(Op::IAdd, &[c[0], c[1]]);
                let sum = b.op(Op::IAdd, &[sum, s]);
                let p = after(b, a, t, sum);
                let x = flip(b, ENUM, 1, p, &[(r[0], rows), (t, n)]);
                vec![x, c[0], x]
            });
            vec![out[2]]
        })[0];
        b.for_(&[rows, n - 2], Vec::new(), |b, i| {
            let next = b.op(Op::IAdd, &[i[1], Atom::Int(2)]);
            let u = b.read(x, &[i[0], i[1]]);
            let v = b.read(x, &[i[0], next]);
            let u = b.op(Op::IAdd, &[u, s]);
            let c = cost(b, u, v, next);
            b.stmts.push(Stmt::Term(c));
            Vec::new()
        });
    });
    // All assignments of one row, given the shared parent.
    let mut exact = 0.0;
    let p0 = sigmoid(a[0]);
    for s in 0..2 {
        let ws = if s == 1 { p0 } else { 1.0 - p0 };
        for bits in 0..1 << n {
            let x = |t: usize| (bits >> t) & 1;
            let mut w = ws;
            let mut c = 0.0;
            for (t, &at) in a.iter().enumerate() {
                let c0 = if t == 0 { 0 } else { x(t - 1) };
                let c1 = match t {
                    0 => s,
                    1 => 0,
                    _ => x(t - 2),
                };
                let q = sigmoid(at + 0.5 * (c0 + c1 + s) as f64);
                w *= if x(t) == 1 { q } else { 1.0 - q };
                if t >= 2 {
                    c += cost_of(x(t - 2) + s, x(t), t);
                }
            }
            exact += w * c;
        }
    }
    near(value(p, &a), exact * rows as f64);
}

#[test]
fn joint_sites_inside_a_nonlinear_term() {
    let n = 3;
    let a = parameters(n);
    let p = program(n, |b, a| {
        let x = b.for_(&[n], vec![Collector::Collect], |b, k| {
            let p = after(b, a, k[0], Atom::Int(0));
            let x = flip(b, ENUM, 0, p, &[(k[0], n)]);
            let x = b.op(Op::ToReal, &[x]);
            vec![b.op(Op::Exp, &[x])]
        })[0];
        let sum = b.for_(&[n], vec![Collector::Sum { keep: Vec::new() }], |b, k| vec![b.read(x, &[k[0]])])[0];
        let log = b.op(Op::Log, &[sum]);
        b.stmts.push(Stmt::Term(log));
    });
    let mut exact = 0.0;
    for bits in 0..8_usize {
        let (mut w, mut s) = (1.0, 0.0);
        for (k, &ak) in a.iter().enumerate() {
            let one = (bits >> k) & 1 == 1;
            w *= if one { sigmoid(ak) } else { 1.0 - sigmoid(ak) };
            s += if one { 1.0_f64.exp() } else { 1.0 };
        }
        exact += w * s.ln();
    }
    near(value(p, &a), exact);
}

/// One term that reads `n` sites: 12 pass, 13 are refused with the sites' names.
#[test]
fn joint_limit() {
    for (n, fine) in [(12, true), (13, false)] {
        let p = program(n, |b, a| {
            let mut sum = Atom::Int(0);
            for i in 0..n {
                let p = after(b, a, Atom::Int(i as i64), Atom::Int(0));
                let x = flip(b, ENUM, i as u32, p, &[]);
                sum = b.op(Op::IAdd, &[sum, x]);
            }
            let real = b.op(Op::ToReal, &[sum]);
            let c = b.op(Op::Sin, &[real]);
            b.stmts.push(Stmt::Term(c));
        });
        let derived = derive(p, &mut Flips);
        match derived {
            Ok(_) => assert!(fine),
            Err(d) => {
                assert!(!fine);
                assert_eq!(d[0].code, "E0314");
            }
        }
    }
}

/// Results are read by tests of other rooms as the definition of `Var` order.
#[test]
fn no_site_remains() {
    let derived = derive(chain(ENUM, 5), &mut Flips).unwrap();
    let mut samples = 0;
    crate::eliminate::tree::each_sample(&derived.step.stmts, &mut |_| samples += 1);
    assert_eq!(samples, 0);
    assert!(!crate::eliminate::tree::has_term(&derived.step.stmts));
    let _: Option<Var> = derived.step.results[0].var();
}
