//! Elimination on generated programs with plates, chains, gathers and branches, in both semirings, against complete
//! enumeration: every joint value of all elements is run through the interpreter, with its gradient.

use super::region::{Asked, expectation, log_sum};
use super::variable::{Call, Variable};
use crate::ad;
use crate::base::source::Span;
use crate::ir::builder::Builder;
use crate::ir::core::{Atom, Block, Collector, Input, Prim, Program, Role, Sample, Scalar, Stmt, Type};
use crate::ir::interpret::Interpreter;
use crate::ir::op::Op;
use crate::ir::validate::{Form, validate};
use crate::runtime::executable::{Executable, Stream};
use std::sync::Arc;

/// A small generator of numbers: splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// How a site of the generated program is written.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Form3 {
    /// As a sample, its log probability a term.
    LogSum,
    /// As a sample weighed by its probabilities.
    Expectation,
    /// Its value read from the state; terms are its log probability.
    LogProbability,
    /// The same without it.
    Terms,
}

const PARAMS: usize = 7;

/// Values of earlier elements that may be read where the generator stands, and where elements are sampled.
struct Maker {
    random: Random,
    form: Form3,
    state: Atom,
    /// Parameters.
    a: Atom,
    /// Supports of all elements in order.
    supports: Vec<usize>,
    variables: Vec<Variable>,
    /// Numbers of terms, for their constants.
    terms: usize,
}

/// An array of sampled values and its extents.
#[derive(Clone)]
struct Sampled {
    atom: Atom,
    dims: Vec<usize>,
}

impl Maker {
    fn param(&mut self, b: &mut Builder<'_>) -> Atom {
        let i = self.random.below(PARAMS);
        b.read(self.a, &[Atom::Int(i as i64)])
    }

    fn real(b: &mut Builder<'_>, x: Atom) -> Atom {
        b.op(Op::ToReal, &[x])
    }

    /// A smooth function of parameters, values and indices.
    fn smooth(&mut self, b: &mut Builder<'_>, values: &[Atom], at: &[Atom]) -> Atom {
        self.terms += 1;
        let mut s = self.param(b);
        for (k, &v) in values.iter().chain(at).enumerate() {
            let v = Self::real(b, v);
            let w = if k < values.len() { 0.7 + 0.4 * k as f64 } else { 0.17 };
            let v = b.op(Op::Mul, &[v, Atom::Real(w)]);
            s = b.op(Op::Add, &[s, v]);
        }
        let p = self.param(b);
        let s = b.op(Op::Add, &[s, Atom::Real(0.3 * self.terms as f64)]);
        let sin = b.op(Op::Sin, &[s]);
        b.op(Op::Mul, &[sin, p])
    }

    fn term(&mut self, b: &mut Builder<'_>, values: &[Atom], at: &[Atom]) {
        let t = self.smooth(b, values, at);
        if self.form != Form3::LogProbability {
            b.stmts.push(Stmt::Term(t));
        }
    }

    /// A site of `k` values given the values of its parents, under loops `around` with their extents.
    fn site(&mut self, b: &mut Builder<'_>, k: usize, parents: &[Atom], around: &[(Atom, usize)]) -> Atom {
        let at: Vec<Atom> = around.iter().map(|x| x.0).collect();
        let logits: Vec<Atom> = (0..k).map(|_| self.smooth(b, parents, &at)).collect();
        let weights: Vec<Atom> = logits.iter().map(|&l| b.op(Op::Exp, &[l])).collect();
        let mut total = weights[0];
        for &w in &weights[1..] {
            total = b.op(Op::Add, &[total, w]);
        }
        let probabilities: Vec<Atom> = weights.iter().map(|&w| b.op(Op::Div, &[w, total])).collect();
        let table = b.array(Prim::Stack, &probabilities, Type::array(Scalar::Real, [k]));
        let base = self.supports.len();
        let count: usize = around.iter().map(|x| x.1).product();
        self.supports.extend(std::iter::repeat_n(k, count));
        let sampled = matches!(self.form, Form3::LogSum | Form3::Expectation);
        let x = if sampled {
            let values = b.for_(&[k], vec![Collector::Collect], |_, i| vec![i[0]])[0];
            let x = b.var(Type::INT);
            b.stmts.push(Stmt::Sample(Sample {
                results: vec![x],
                site: self.variables.len() as u32,
                entry: 0,
                args: probabilities.clone(),
                index: around.to_vec(),
            }));
            self.variables.push(Variable {
                results: vec![x],
                types: vec![Type::INT],
                calls: vec![Call {
                    extents: vec![k],
                    args: vec![values],
                    static_args: true,
                    primal: Some(table),
                    stopped: None,
                }],
                shoots: false,
                address: format!("x{}", self.variables.len()),
                span: Span::default(),
            });
            x.into()
        } else {
            let mut place = Atom::Int(0);
            for &(i, n) in around {
                let scaled = b.op(Op::IMul, &[place, Atom::Int(n as i64)]);
                place = b.op(Op::IAdd, &[scaled, i]);
            }
            let place = b.op(Op::IAdd, &[place, Atom::Int(base as i64)]);
            let value = b.read(self.state, &[place]);
            b.op(Op::ToInt, &[value])
        };
        if matches!(self.form, Form3::LogSum | Form3::LogProbability) {
            let p = b.read(table, &[x]);
            let lp = b.op(Op::Log, &[p]);
            b.stmts.push(Stmt::Term(lp));
        }
        x
    }

    fn support(&mut self) -> usize {
        2 + usize::from(self.random.chance(30))
    }

    /// Some of the values at hand.
    fn some(&mut self, from: &[Atom], most: usize) -> Vec<Atom> {
        let mut out = Vec::new();
        for &x in from {
            if out.len() < most && self.random.chance(55) {
                out.push(x);
            }
        }
        out
    }

    fn size(&self) -> f64 {
        self.supports.iter().map(|&n| (n as f64).ln()).sum::<f64>()
    }

    /// One part of a program: what it samples is added to `values` (scalars) or `arrays`.
    fn part(&mut self, b: &mut Builder<'_>, values: &mut Vec<Atom>, arrays: &mut Vec<Sampled>) {
        match self.random.below(13) {
            0 => {
                let parents = self.some(values, 2);
                let k = self.support();
                let x = self.site(b, k, &parents, &[]);
                values.push(x);
            }
            1 => {
                // A plate, perhaps with a child in each row.
                let n = 2 + self.random.below(2);
                let outer = values.clone();
                let child = self.random.chance(50);
                let k = self.support();
                let out = b.for_(&[n], vec![Collector::Collect; 1 + usize::from(child)], |b, i| {
                    let parents = self.some(&outer, 1);
                    let x = self.site(b, k, &parents, &[(i[0], n)]);
                    if self.random.chance(50) {
                        let mut read = self.some(&outer, 1);
                        read.push(x);
                        self.term(b, &read, i);
                    }
                    if !child {
                        return vec![x];
                    }
                    let mut parents = self.some(&outer, 1);
                    parents.push(x);
                    let y = self.site(b, 2, &parents, &[(i[0], n)]);
                    vec![x, y]
                });
                arrays.extend(out.iter().map(|&atom| Sampled { atom, dims: vec![n] }));
            }
            2 => self.chain(b, &values.clone(), arrays, &[]),
            3 => {
                // A plate of chains.
                let n = 2;
                let outer = values.clone();
                let k = 2;
                let t = 2 + self.random.below(2);
                let shared = self.some(&outer, 1);
                let out = b.for_(&[n], vec![Collector::Collect], |b, i| {
                    let inner = b.loop_(t, &[Atom::Int(0)], vec![Collector::Collect], false, |b, t_index, c| {
                        let mut parents = vec![c[0]];
                        parents.extend(&shared);
                        let x = self.site(b, k, &parents, &[(i[0], n), (t_index, t)]);
                        vec![x, x]
                    });
                    vec![inner[1]]
                })[0];
                arrays.push(Sampled { atom: out, dims: vec![n, t] });
            }
            4 => {
                // A chain with a plate in each step.
                let (t, n) = (2 + self.random.below(2), 2);
                let start = values.last().copied().unwrap_or(Atom::Int(0));
                let out = b.loop_(t, &[start], vec![Collector::Collect], false, |b, s, c| {
                    let x = self.site(b, 2, &[c[0]], &[(s, t)]);
                    let inner = b.for_(&[n], vec![Collector::Collect], |b, j| {
                        let y = self.site(b, 2, &[x], &[(s, t), (j[0], n)]);
                        self.term(b, &[y], &[s, j[0]]);
                        vec![y]
                    })[0];
                    let first = b.read(inner, &[Atom::Int(0)]);
                    self.term(b, &[first, x], &[s]);
                    vec![x, x]
                });
                arrays.push(Sampled { atom: out[1], dims: vec![t] });
            }
            5 | 9 | 10 => {
                // A site under a condition on another.
                let z = match values.last() {
                    Some(&z) => z,
                    None => self.site(b, 2, &[], &[]),
                };
                let one = b.op(Op::IEq, &[z, Atom::Int(1)]);
                let (place, state, form) = (self.supports.len(), self.state, self.form);
                let x = b.if_(
                    one,
                    |b| {
                        let x = self.site(b, 2, &[z], &[]);
                        self.term(b, &[x], &[]);
                        vec![x]
                    },
                    |b| {
                        // An element that is not reached has one value only.
                        if form == Form3::LogProbability {
                            let v = b.read(state, &[Atom::Int(place as i64)]);
                            let first = b.op(Op::Eq, &[v, Atom::Real(0.0)]);
                            let none = Atom::Real(f64::NEG_INFINITY);
                            let p = b.op(Op::Select, &[first, Atom::Real(0.0), none]);
                            b.stmts.push(Stmt::Term(p));
                        }
                        vec![Atom::Int(1)]
                    },
                )[0];
                values.push(x);
            }
            6 => {
                // Rows that look elements of a plate up.
                let plates: Vec<Sampled> = arrays.iter().filter(|s| s.dims.len() == 1).cloned().collect();
                let Some(z) = plates.last() else { return };
                let rows = 3;
                let n = z.dims[0];
                let data: Vec<f64> = (0..rows).map(|_| self.random.below(n) as f64).collect();
                let ty = Type::array(Scalar::Int, [rows]);
                let g = b.array(Prim::Const { data: Arc::from(data), ty: ty.clone() }, &[], ty);
                let more = self.some(&values.clone(), 1);
                let two = self.random.chance(50);
                b.for_(&[rows], Vec::new(), |b, j| {
                    let at = b.read(g, &[j[0]]);
                    let x = b.read(z.atom, &[at]);
                    let mut read = vec![x];
                    if two {
                        // Another one, or the same.
                        let other = b.op(Op::IMod, &[j[0], Atom::Int(n as i64)]);
                        read.push(b.read(z.atom, &[other]));
                    }
                    read.extend(&more);
                    self.term(b, &read, j);
                    Vec::new()
                });
            }
            7 => {
                // Neighbours in one array, or the same places of two.
                let Some(z) = arrays.last().cloned() else { return };
                let mut dims = z.dims.clone();
                let neighbours = self.random.chance(60);
                let axis = dims.len() - 1;
                if neighbours {
                    dims[axis] -= 1;
                }
                let second = if neighbours {
                    z.clone()
                } else {
                    match arrays.iter().find(|s| s.dims == z.dims) {
                        Some(s) => s.clone(),
                        None => return,
                    }
                };
                b.for_(&dims, Vec::new(), |b, i| {
                    let u = b.read(z.atom, i);
                    let mut next = i.to_vec();
                    if neighbours {
                        next[axis] = b.op(Op::IAdd, &[next[axis], Atom::Int(1)]);
                    }
                    let v = b.read(second.atom, &next);
                    self.term(b, &[u, v], i);
                    Vec::new()
                });
            }
            11 => {
                // Rows that a loop carries, each reading its own past or another's.
                let (t, n) = (2 + self.random.below(2), 2);
                let crossed = self.random.chance(50);
                let start = b.for_(&[n], vec![Collector::Collect], |_, i| vec![i[0]])[0];
                let out = b.loop_(t, &[start], vec![Collector::Collect], false, |b, s, c| {
                    let row = b.for_(&[n], vec![Collector::Collect], |b, j| {
                        let mut parents = vec![b.read(c[0], j)];
                        if crossed {
                            let other = b.op(Op::ISub, &[Atom::Int(1), j[0]]);
                            parents.push(b.read(c[0], &[other]));
                        }
                        let x = self.site(b, 2, &parents, &[(s, t), (j[0], n)]);
                        self.term(b, &[x], &[s, j[0]]);
                        vec![x]
                    })[0];
                    vec![row, row]
                });
                arrays.push(Sampled { atom: out[1], dims: vec![t, n] });
            }
            _ => {
                let read = self.some(&values.clone(), 3);
                if !read.is_empty() {
                    self.term(b, &read, &[]);
                }
                if let Some(z) = arrays.last().cloned() {
                    let last: Vec<Atom> = z.dims.iter().map(|&n| Atom::Int(n as i64 - 1)).collect();
                    let x = b.read(z.atom, &last);
                    self.term(b, &[x], &[]);
                }
            }
        }
    }

    /// One or two chains in one loop, of first or second order.
    fn chain(&mut self, b: &mut Builder<'_>, values: &[Atom], arrays: &mut Vec<Sampled>, around: &[(Atom, usize)]) {
        let t = 2 + self.random.below(4);
        let k = self.support();
        let start = values.last().copied().unwrap_or(Atom::Int(0));
        let two = self.random.chance(40);
        let second_order = self.random.chance(30);
        let shared = self.some(values, 1);
        let inits = vec![start, Atom::Int(0), Atom::Int(1)];
        let out = b.loop_(t, &inits, vec![Collector::Collect; 1 + usize::from(two)], false, |b, s, c| {
            let mut place = around.to_vec();
            place.push((s, t));
            let mut parents = vec![c[0]];
            if second_order {
                parents.push(c[1]);
            }
            parents.extend(&shared);
            let x = self.site(b, k, &parents, &place);
            self.term(b, &[x, c[0]], &[s]);
            let y = if two { self.site(b, 2, &[x, c[2]], &place) } else { Atom::Int(0) };
            let mut results = vec![x, c[0], y, x];
            if two {
                results.push(y);
            }
            results
        });
        arrays.extend(out[3..].iter().map(|&atom| Sampled { atom, dims: vec![t] }));
    }
}

/// The generated program of a seed, its variables, and the supports of all elements.
fn program(seed: u64, form: Form3) -> (Program, Vec<Variable>, Vec<usize>) {
    let mut program = Program::default();
    let a = program.new_var(Type::array(Scalar::Real, [PARAMS]), Some("a"));
    program.inputs.push(Input { var: a, role: Role::Param, name: "a".to_owned() });
    let state = program.new_var(Type::array(Scalar::Real, [64]), Some("values"));
    program.inputs.push(Input { var: state, role: Role::State, name: "values".to_owned() });
    let mut b = Builder::new(&mut program);
    let mut maker = Maker {
        random: Random(seed),
        form,
        state: state.into(),
        a: a.into(),
        supports: Vec::new(),
        variables: Vec::new(),
        terms: 0,
    };
    let (mut values, mut arrays) = (Vec::new(), Vec::new());
    let parts = 2 + maker.random.below(5);
    for _ in 0..parts {
        if maker.size() < 5.0 {
            maker.part(&mut b, &mut values, &mut arrays);
        }
    }
    for x in values.clone() {
        maker.term(&mut b, &[x], &[]);
    }
    let stmts = b.stmts;
    program.step.stmts = stmts;
    (program, maker.variables, maker.supports)
}

fn finish(mut program: Program, stmts: Vec<Stmt>, total: Atom) -> Interpreter {
    program.step = Block { stmts, results: vec![total] };
    program.outputs = vec!["value".to_owned()];
    let faults = validate(&program, Form::Plain);
    assert!(faults.is_empty(), "{}", faults.join("; "));
    let program = ad::reverse(&program, Role::Param).unwrap();
    Interpreter::new(Arc::new(program), &[]).unwrap()
}

fn summed(mut program: Program) -> Interpreter {
    let stmts = std::mem::take(&mut program.step.stmts);
    let (stmts, total) = super::terms::total(&mut program, stmts, &|_| true);
    finish(program, stmts, total)
}

fn outputs(run: &mut Interpreter, params: &[f64], state: &[f64]) -> Vec<f64> {
    let mut out = vec![0.0; run.output_len()];
    run.step(params, &[], state, Stream { seed: 1, step: 0 }, &mut out);
    out
}

fn close(got: &[f64], wanted: &[f64]) -> bool {
    let scale = wanted.iter().fold(1.0_f64, |m, x| m.max(x.abs()));
    got.len() == wanted.len() && got.iter().zip(wanted).all(|(g, w)| (g - w).abs() <= 1e-9 * scale)
}

/// Value and gradient by complete enumeration: the log of the sum of exponentials, and the mean.
fn complete(seed: u64, params: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let (with_probability, _, supports) = program(seed, Form3::LogProbability);
    let (terms, _, _) = program(seed, Form3::Terms);
    let (mut probability, mut terms) = (summed(with_probability), summed(terms));
    let mut values = vec![0.0; 64];
    let (mut log_parts, mut mean) = (Vec::new(), vec![0.0; PARAMS + 1]);
    loop {
        let p = outputs(&mut probability, params, &values);
        let t = outputs(&mut terms, params, &values);
        if p[0].is_finite() {
            let w = p[0].exp();
            mean[0] += w * t[0];
            for k in 1..=PARAMS {
                mean[k] += w * (t[k] + p[k] * t[0]);
            }
            log_parts.push(p.iter().zip(&t).map(|(x, y)| x + y).collect::<Vec<f64>>());
        }
        let mut k = 0;
        while k < supports.len() {
            values[k] += 1.0;
            if values[k] < supports[k] as f64 {
                break;
            }
            values[k] = 0.0;
            k += 1;
        }
        if k == supports.len() {
            break;
        }
    }
    let top = log_parts.iter().map(|p| p[0]).fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = log_parts.iter().map(|p| (p[0] - top).exp()).sum();
    let mut log = vec![top + total.ln()];
    for k in 1..=PARAMS {
        log.push(log_parts.iter().map(|p| (p[0] - top).exp() / total * p[k]).sum());
    }
    (log, mean)
}

fn has_branch(stmts: &[Stmt]) -> bool {
    stmts.iter().any(|s| matches!(s, Stmt::If(_)) || s.regions().iter().any(|r| has_branch(&r.stmts)))
}

#[test]
fn generated_programs_equal_complete_enumeration() {
    let params: Vec<f64> = (0..PARAMS).map(|i| ((i * 5 % 7) as f64 - 3.0) * 0.35 + 0.1).collect();
    let (mut compared, mut refused, mut branches) = (0, 0, 0);
    for seed in 0..120 {
        let (mut p, variables, supports) = program(seed, Form3::LogSum);
        if variables.is_empty() || supports.len() > 64 {
            continue;
        }
        branches += u32::from(has_branch(&p.step.stmts));
        let (log, mean) = complete(seed, &params);
        let stmts = std::mem::take(&mut p.step.stmts);
        match log_sum(&mut p, stmts, &variables) {
            Ok((stmts, total)) => {
                let got = outputs(&mut finish(p, stmts, total), &params, &[0.0; 64]);
                assert!(close(&got, &log), "seed {seed}: log sum {got:?}, by enumeration {log:?}");
                compared += 1;
            }
            Err(d) => {
                refused += 1;
                println!("seed {seed}: {}", d.message);
            }
        }
        let (mut p, variables, _) = program(seed, Form3::Expectation);
        let stmts = std::mem::take(&mut p.step.stmts);
        let nothing = Asked { variables: &[], counts: &|_| false };
        match expectation(&mut p, stmts, &variables, &nothing) {
            Ok(means) => {
                let (stmts, total) = super::terms::total(&mut p, means.in_place(), &|_| true);
                let got = outputs(&mut finish(p, stmts, total), &params, &[0.0; 64]);
                assert!(close(&got, &mean), "seed {seed}: mean {got:?}, by enumeration {mean:?}");
                compared += 1;
            }
            Err(d) => {
                refused += 1;
                println!("seed {seed}: {}", d.message);
            }
        }
    }
    assert!(compared > 180 && refused * 20 < compared && branches > 30, "{compared}, {refused}, {branches}");
}
