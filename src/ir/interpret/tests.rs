//! Exact tests of the semantics on small hand-built programs, and laws over generated ones.

use super::{Interpreter, evaluate};
use crate::ir::builder::Builder;
use crate::ir::core::{Atom, Block, Collector, For, Program, Stmt, Type, Var, chunk_size};
use crate::ir::generate::{Options, case};
use crate::ir::op::Op;
use crate::ir::walk::{Substitution, copy_block, copy_stmts};
use crate::runtime::executable::{Array, Executable, Status, Stream, Values};
use std::sync::Arc;

const STREAM: Stream = Stream { seed: 3, step: 5 };

/// Runs the step that `build` makes.
fn run(data: &[(Type, Array)], build: impl FnOnce(&mut Builder<'_>, &[Atom]) -> Vec<Atom>) -> (Vec<Array>, Status) {
    let mut program = Program::default();
    let mut inputs = Vec::new();
    for (n, (ty, _)) in data.iter().enumerate() {
        let var = program.new_var(ty.clone(), None);
        let name = format!("d{n}");
        program.inputs.push(crate::ir::core::Input { var, role: crate::ir::core::Role::Data, name });
        inputs.push(Atom::Var(var));
    }
    let mut b = Builder::new(&mut program);
    let results = build(&mut b, &inputs);
    let stmts = b.stmts;
    program.outputs = results.iter().map(|_| "x".to_owned()).collect();
    program.step = Block { stmts, results };
    let arrays: Vec<Array> = data.iter().map(|(_, a)| a.clone()).collect();
    evaluate(&Arc::new(program), &arrays, STREAM).expect("a valid program")
}

fn one(x: f64) -> Array {
    Array::real([], vec![x])
}

/// 1/(i+1): sums of it depend on their order.
fn harmonic(n: usize) -> Vec<f64> {
    (0..n).map(|i| 1.0 / (i + 1) as f64).collect()
}

fn strip_sum(n: usize, m: usize, strip: Option<usize>, keep: &[usize]) -> Vec<f64> {
    let cells = harmonic(n * m);
    let ty = Type::array(crate::ir::core::Scalar::Real, [n, m]);
    let (out, status) = run(&[(ty, Array::real([n, m], cells))], |b, d| {
        let (i, j) = (b.var(Type::INT), b.var(Type::INT));
        let body = b.region(|b| vec![b.read(d[0], &[i.into(), j.into()])]);
        let out = b.push_for(vec![(i, n), (j, m)], body, vec![Collector::Sum { keep: keep.to_vec() }]);
        if let Some(Stmt::For(f)) = b.stmts.last_mut() {
            f.strip = strip;
        }
        out
    });
    assert_eq!(status, Status::Fine);
    let Values::Real(values) = out[0].values.clone() else { panic!("reals expected") };
    values
}

fn lanes(values: &[f64]) -> f64 {
    let mut lanes = [0.0; 4];
    for (i, x) in values.iter().enumerate() {
        lanes[i % 4] += x;
    }
    (lanes[0] + lanes[2]) + (lanes[1] + lanes[3])
}

fn plain(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |t, x| t + x)
}

#[test]
fn a_sum_without_strip_is_in_order() {
    let x = harmonic(3000);
    assert_eq!(strip_sum(3000, 1, None, &[]), [plain(&x)]);
    assert_ne!(plain(&x), x.chunks(1024).map(lanes).fold(0.0, |t, c| t + c), "the test could not fail");
}

#[test]
fn a_strip_at_the_first_index_has_lanes_and_chunks() {
    for n in [0, 1, 3, 5, 1030, 3000] {
        let expected = harmonic(n).chunks(1024).map(lanes).fold(0.0, |t, c| t + c);
        assert_eq!(strip_sum(n, 1, Some(0), &[]), [expected], "{n}");
    }
}

#[test]
fn a_strip_at_an_inner_index_leaves_plain_chunks_outside() {
    let (n, m) = (2100, 7);
    let rows: Vec<f64> = harmonic(n * m).chunks(m).map(lanes).collect();
    let expected = rows.chunks(1024).map(plain).fold(0.0, |t, c| t + c);
    assert_eq!(strip_sum(n, m, Some(1), &[]), [expected]);
    let by_row = harmonic(n * m).chunks(m).map(plain).collect::<Vec<f64>>();
    let outer = by_row.chunks(1024).map(lanes).fold(0.0, |t, c| t + c);
    assert_eq!(strip_sum(n, m, Some(0), &[]), [outer]);
}

#[test]
fn kept_indices_are_axes() {
    let (n, m) = (5, 3);
    let x = harmonic(n * m);
    let columns: Vec<f64> = (0..m).map(|j| plain(&(0..n).map(|i| x[i * m + j]).collect::<Vec<f64>>())).collect();
    assert_eq!(strip_sum(n, m, None, &[1]), columns);
    let rows: Vec<f64> = x.chunks(m).map(plain).collect();
    assert_eq!(strip_sum(n, m, None, &[0]), rows);
    assert_eq!(strip_sum(n, m, None, &[0, 1]), x);
    let column_lanes: Vec<f64> = (0..m).map(|j| lanes(&(0..n).map(|i| x[i * m + j]).collect::<Vec<f64>>())).collect();
    assert_eq!(strip_sum(n, m, Some(0), &[1]), column_lanes);
}

#[test]
fn chunk_sizes() {
    assert_eq!(chunk_size(0), 1024);
    assert_eq!(chunk_size(10_000), 1024);
    assert_eq!(chunk_size(65_536), 1024);
    assert_eq!(chunk_size(65_537), 1280);
    assert_eq!(chunk_size(1_000_000), 15_872);
}

#[test]
fn a_sum_at_accumulates_by_chunk() {
    let n = 2500;
    let x = harmonic(n);
    let ty = Type::array(crate::ir::core::Scalar::Real, [n]);
    for strip in [None, Some(0)] {
        let (out, status) = run(&[(ty.clone(), Array::real([n], x.clone()))], |b, d| {
            let i = b.var(Type::INT);
            let mut index = Atom::Int(0);
            let body = b.region(|b| {
                index = b.op(Op::IMod, &[i.into(), Atom::Int(3)]);
                vec![b.read(d[0], &[i.into()])]
            });
            let out = b.push_for(vec![(i, n)], body, vec![Collector::SumAt { index: vec![index], shape: vec![2] }]);
            if let Some(Stmt::For(f)) = b.stmts.last_mut() {
                f.strip = strip;
            }
            out
        });
        assert_eq!(status, Status::Domain, "index 2 is out of bounds");
        let of = |k: usize, chunk: &[usize]| {
            plain(&chunk.iter().filter(|&i| i % 3 == k).map(|&i| x[i]).collect::<Vec<f64>>())
        };
        let all: Vec<usize> = (0..n).collect();
        let expected: Vec<f64> = (0..2)
            .map(|k| match strip {
                None => of(k, &all),
                Some(_) => all.chunks(1024).map(|c| of(k, c)).fold(0.0, |t, c| t + c),
            })
            .collect();
        assert_eq!(out[0], Array::real([2], expected));
    }
}

#[test]
fn collectors_of_nothing() {
    let (out, _) = run(&[], |b, _| {
        b.for_(&[0], vec![Collector::Max, Collector::Min, Collector::Sum { keep: vec![] }, Collector::All], |_, _| {
            vec![Atom::Real(1.0), Atom::Int(1), Atom::Real(1.0), Atom::Bool(false)]
        })
    });
    let least = Array::int([], vec![i64::MAX]);
    let all = Array { shape: vec![], values: Values::Bool(vec![true]) };
    assert_eq!(out, [one(f64::NEG_INFINITY), least, one(0.0), all]);
}

#[test]
fn a_loop_runs_in_order_or_backwards() {
    for (reverse, expected, digits) in [(false, 123.0, [0.0, 1.0, 12.0]), (true, 321.0, [32.0, 3.0, 0.0])] {
        let (out, _) = run(&[], |b, _| {
            b.loop_(3, &[Atom::Real(0.0)], vec![Collector::Collect], reverse, |b, t, s| {
                let digit = b.op(Op::ToReal, &[t]);
                let digit = b.op(Op::Add, &[digit, Atom::Real(1.0)]);
                let next = b.op(Op::Mul, &[s[0], Atom::Real(10.0)]);
                let next = b.op(Op::Add, &[next, digit]);
                vec![next, s[0]]
            })
        });
        assert_eq!(out, [one(expected), Array::real([3], digits.to_vec())]);
    }
}

#[test]
fn carried_values_change_together() {
    let (out, _) =
        run(&[], |b, _| b.loop_(3, &[Atom::Int(1), Atom::Int(2)], vec![], false, |_, _, s| vec![s[1], s[0]]));
    assert_eq!(out, [Array::int([], vec![2]), Array::int([], vec![1])]);
}

#[test]
fn faults_are_statuses() {
    let ty = Type::array(crate::ir::core::Scalar::Real, [2]);
    let read =
        |i: i64| run(&[(ty.clone(), Array::real([2], vec![4.0, 5.0]))], |b, d| vec![b.read(d[0], &[Atom::Int(i)])]);
    assert_eq!(read(1), (vec![one(5.0)], Status::Fine));
    assert_eq!(read(2), (vec![one(0.0)], Status::Domain));
    assert_eq!(read(-1), (vec![one(0.0)], Status::Domain));
    let divide = |a: i64, b: i64| {
        let (out, status) = run(&[], |g, _| {
            vec![g.op(Op::IDiv, &[Atom::Int(a), Atom::Int(b)]), g.op(Op::IMod, &[Atom::Int(a), Atom::Int(b)])]
        });
        (out.iter().map(|x| x.values.clone()).collect::<Vec<Values>>(), status)
    };
    let ints = |q: i64, r: i64| vec![Values::Int(vec![q]), Values::Int(vec![r])];
    assert_eq!(divide(-7, 2), (ints(-4, 1), Status::Fine));
    assert_eq!(divide(7, -2), (ints(-4, -1), Status::Fine));
    assert_eq!(divide(7, 0), (ints(0, 0), Status::Domain));
    assert_eq!(divide(i64::MIN, -1), (ints(i64::MIN, 0), Status::Fine));
}

#[test]
fn the_lowest_failing_check_is_reported() {
    let mut program = Program::default();
    for n in 0..3 {
        program.checks.push(crate::ir::core::CheckInfo { message: format!("{n}"), span: None });
    }
    for (ok, check) in [(true, 0), (false, 2), (false, 1)] {
        program.step.stmts.push(Stmt::Check { ok: Atom::Bool(ok), check });
    }
    let (_, status) = evaluate(&Arc::new(program), &[], STREAM).expect("a valid program");
    assert_eq!(status, Status::Check(1));
}

#[test]
fn zeros_have_an_order_and_nan_propagates() {
    use super::scalar::{maximum, minimum};
    assert!(maximum(-0.0, 0.0).is_sign_positive() && maximum(0.0, -0.0).is_sign_positive());
    assert!(minimum(-0.0, 0.0).is_sign_negative() && minimum(0.0, -0.0).is_sign_negative());
    assert!(maximum(f64::NAN, 1.0).is_nan() && minimum(1.0, f64::NAN).is_nan());
    assert_eq!((maximum(1.0, 2.0), minimum(1.0, 2.0)), (2.0, 1.0));
}

#[test]
fn integer_powers_are_products() {
    use super::scalar::integer_power;
    assert_eq!(integer_power(-3.0, 3.0), -27.0);
    assert_eq!(integer_power(2.0, -2.0), 0.25);
    assert_eq!(integer_power(f64::NAN, 0.0), 1.0);
    let x: f64 = 1.1;
    assert_eq!(integer_power(x, 5.0), x * ((x * x) * (x * x)));
}

fn same(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x.to_bits() == y.to_bits() || (x.is_nan() && y.is_nan()))
}

#[test]
fn a_copy_with_fresh_variables_means_the_same() {
    let mut finite = 0;
    let mut total = 0;
    for seed in 0..300 {
        let case = case(seed, Options { all_roles: true, ..Options::default() });
        let mut copy = case.program.clone();
        let mut map = Substitution::default();
        copy.setup = copy_stmts(&mut copy, &case.program.setup, &mut map);
        copy.step = copy_block(&mut copy, &case.program.step, &mut map);
        let step = |p: Program| {
            let mut i = Interpreter::new(Arc::new(p), &case.data).expect("a valid program");
            let mut out = vec![0.0; i.output_len()];
            let status = i.step(&case.params, &case.tuned, &case.state, STREAM, &mut out);
            (out, status)
        };
        let (a, sa) = step(case.program.clone());
        let (b, sb) = step(copy);
        assert!(same(&a, &b) && sa == sb, "seed {seed}");
        finite += a.iter().filter(|x| x.is_finite()).count();
        total += a.len();
        assert!(a[0].is_finite(), "the value of seed {seed} is {}", a[0]);
    }
    assert!(finite * 10 > total * 9, "{finite} of {total} outputs are finite: the law says little");
}

#[test]
fn a_program_that_is_not_valid_is_refused() {
    let mut program = Program::default();
    program.step.stmts.push(Stmt::Term(Atom::Real(1.0)));
    assert!(evaluate(&Arc::new(program), &[], STREAM).is_err());
    let mut program = Program::default();
    program.step.results = vec![Atom::Var(Var(3))];
    program.outputs = vec!["x".to_owned()];
    assert!(evaluate(&Arc::new(program), &[], STREAM).is_err());
}

#[test]
fn a_for_without_collectors_still_checks() {
    let mut program = Program::default();
    program.checks.push(crate::ir::core::CheckInfo { message: "never".to_owned(), span: None });
    let i = program.new_var(Type::INT, None);
    let body = Block { stmts: vec![Stmt::Check { ok: Atom::Bool(false), check: 0 }], results: vec![] };
    let empty = For { results: vec![], indices: vec![(i, 2)], body, collectors: vec![], strip: None };
    program.step.stmts.push(Stmt::For(empty));
    let (_, status) = evaluate(&Arc::new(program), &[], STREAM).expect("a valid program");
    assert_eq!(status, Status::Check(0));
}

/// Contracts of all kinds against loops written out here.
#[test]
fn contracts_agree_with_plain_sums() {
    use crate::ir::core::{Contract, ContractKind, Scalar};
    let extent = |l: u8| match l {
        b'i' => 19,
        b'j' => 11,
        _ => 17,
    };
    let rows = Some(ContractKind::Rows);
    let gemm = Some(ContractKind::Gemm);
    let loops = Some(ContractKind::Loops);
    let cases: [(&str, &str, &str, Option<ContractKind>); 18] = [
        ("ij", "j", "i", rows),
        ("j", "ij", "i", rows),
        ("ij", "i", "j", rows),
        ("i", "ij", "j", rows),
        ("ik", "kj", "ij", gemm),
        ("ki", "kj", "ij", gemm),
        ("ik", "jk", "ij", gemm),
        ("ki", "jk", "ij", gemm),
        ("ik", "kj", "ji", gemm),
        ("ki", "jk", "ji", gemm),
        ("ijk", "kj", "ik", loops),
        ("ijk", "ikj", "", None),
        ("ij", "ij", "ji", None),
        ("i", "j", "ij", None),
        ("", "", "", None),
        ("ij", "k", "k", None),
        ("", "ij", "j", None),
        ("ijk", "", "kji", None),
    ];
    for (a, b, out, kind) in cases {
        let shape = |labels: &str| labels.bytes().map(extent).collect::<Vec<usize>>();
        let numbers = |n: usize, k: f64| (0..n).map(|i| (i as f64 * k).sin()).collect::<Vec<f64>>();
        let size = |labels: &str| shape(labels).iter().product::<usize>();
        let (x, y) = (numbers(size(a), 0.7), numbers(size(b), 1.3));
        let types = [a, b].map(|l| Type { scalar: Scalar::Real, shape: shape(l) });
        let data = [
            (types[0].clone(), Array::real(shape(a), x.clone())),
            (types[1].clone(), Array::real(shape(b), y.clone())),
        ];
        let (result, status) = run(&data, |g, d| {
            let result = g.var(Type { scalar: Scalar::Real, shape: shape(out) });
            let labels = |l: &str| l.as_bytes().to_vec();
            g.stmts.push(Stmt::Contract(Contract {
                result,
                a: d[0],
                b: d[1],
                a_labels: labels(a),
                b_labels: labels(b),
                out: labels(out),
                kind,
            }));
            vec![result.into()]
        });
        assert_eq!(status, Status::Fine);
        // Every assignment of the three labels that occur, added where it belongs.
        let occurs = |l: char| a.contains(l) || b.contains(l);
        let range = |l: char| 0..if occurs(l) { extent(l as u8) } else { 1 };
        let mut expected = vec![0.0; size(out)];
        let mut sizes = expected.clone();
        for i in range('i') {
            for j in range('j') {
                for k in range('k') {
                    let at = |labels: &str| {
                        labels.bytes().fold(0, |o, l| {
                            o * extent(l)
                                + match l {
                                    b'i' => i,
                                    b'j' => j,
                                    _ => k,
                                }
                        })
                    };
                    let term = x[at(a)] * y[at(b)];
                    expected[at(out)] += term;
                    sizes[at(out)] += f64::abs(term);
                }
            }
        }
        let Values::Real(result) = &result[0].values else { panic!("reals expected") };
        assert_eq!(result.len(), expected.len(), "{a},{b}->{out}");
        for ((r, e), s) in result.iter().zip(&expected).zip(&sizes) {
            assert!((r - e).abs() <= 1e-14 * s, "{a},{b}->{out}: {r} is not {e}");
        }
    }
}

#[test]
fn rows_are_summed_by_chunks() {
    use crate::ir::core::{Contract, ContractKind, Scalar};
    let (n, d) = (2500, 3);
    let (x, r) = (harmonic(n * d), harmonic(n));
    let types = [Type::array(Scalar::Real, [n, d]), Type::array(Scalar::Real, [n])];
    let data = [(types[0].clone(), Array::real([n, d], x.clone())), (types[1].clone(), Array::real([n], r.clone()))];
    let (out, _) = run(&data, |g, inputs| {
        let result = g.var(Type::array(Scalar::Real, [d]));
        let (a_labels, b_labels, out) = (b"ij".to_vec(), b"i".to_vec(), b"j".to_vec());
        let kind = Some(ContractKind::Rows);
        g.stmts.push(Stmt::Contract(Contract { result, a: inputs[0], b: inputs[1], a_labels, b_labels, out, kind }));
        vec![result.into()]
    });
    let mut expected = vec![0.0; d];
    for c in [0..1024, 1024..2048, 2048..2500] {
        let mut total = vec![0.0; d];
        crate::runtime::rows::rows_axpy(&x[c.start * d..c.end * d], &r[c], &mut total);
        expected.iter_mut().zip(total).for_each(|(e, t)| *e += t);
    }
    assert_eq!(out[0], Array::real([d], expected));
}

/// One array primitive on real arrays.
fn primitive(prim: crate::ir::core::Prim, args: &[Array], shape: &[usize]) -> (Vec<f64>, Status) {
    use crate::ir::core::Scalar;
    let data: Vec<(Type, Array)> =
        args.iter().map(|a| (Type { scalar: Scalar::Real, shape: a.shape.clone() }, a.clone())).collect();
    let (out, status) =
        run(&data, |g, inputs| vec![g.array(prim, inputs, Type { scalar: Scalar::Real, shape: shape.to_vec() })]);
    let Values::Real(values) = out[0].values.clone() else { panic!("reals expected") };
    (values, status)
}

#[test]
fn array_primitives() {
    use crate::ir::core::Prim;
    // [4 2; 2 10] = L Lᵀ with L = [2 0; 1 3]; the upper triangle is not read.
    let a = Array::real([2, 2], vec![4.0, f64::NAN, 2.0, 10.0]);
    assert_eq!(primitive(Prim::Cholesky, &[a], &[2, 2]), (vec![2.0, 0.0, 1.0, 3.0], Status::Fine));
    let bad = Array::real([2, 2], vec![1.0, 2.0, 2.0, 1.0]);
    let (l, status) = primitive(Prim::Cholesky, &[bad], &[2, 2]);
    assert!(l[3].is_nan() && status == Status::Domain);
    let l = Array::real([2, 2], vec![2.0, f64::NAN, 1.0, 3.0]);
    let b = Array::real([2], vec![4.0, 11.0]);
    let solve = |transposed| primitive(Prim::SolveLower { transposed }, &[l.clone(), b.clone()], &[2]).0;
    assert_eq!(solve(false), [2.0, 3.0]);
    assert_eq!(solve(true), [(4.0 - 11.0 / 3.0) / 2.0, 11.0 / 3.0]);
    let columns = Array::real([2, 2], vec![4.0, 2.0, 11.0, 4.0]);
    assert_eq!(primitive(Prim::SolveLower { transposed: false }, &[l, columns], &[2, 2]).0, [2.0, 1.0, 3.0, 1.0]);
    let x = Array::real([3], vec![1.0, 2.0, 4.0]);
    assert_eq!(primitive(Prim::CumSum { reverse: false }, std::slice::from_ref(&x), &[3]).0, [1.0, 3.0, 7.0]);
    assert_eq!(primitive(Prim::CumSum { reverse: true }, std::slice::from_ref(&x), &[3]).0, [7.0, 6.0, 4.0]);
    let m = Array::real([2, 1], vec![1.0, 2.0]);
    let n = Array::real([2, 2], vec![3.0, 4.0, 5.0, 6.0]);
    let joined = primitive(Prim::Concat { axis: 1 }, &[m.clone(), n.clone()], &[2, 3]).0;
    assert_eq!(joined, [1.0, 3.0, 4.0, 2.0, 5.0, 6.0]);
    assert_eq!(primitive(Prim::Concat { axis: 0 }, &[n.clone(), n.clone()], &[4, 2]).0.len(), 8);
    assert_eq!(primitive(Prim::Stack, &[x.clone(), x.clone()], &[2, 3]).0, [1.0, 2.0, 4.0, 1.0, 2.0, 4.0]);
    assert_eq!(primitive(Prim::Stack, &[one(5.0), one(6.0)], &[2]).0, [5.0, 6.0]);
    let messy = Array::real([5], vec![f64::NAN, 3.0, 0.0, -0.0, f64::NEG_INFINITY]);
    let sorted = primitive(Prim::Sort, &[messy], &[5]).0;
    assert!(sorted[4].is_nan() && sorted[1].is_sign_negative() && sorted[0] == f64::NEG_INFINITY && sorted[3] == 3.0);
    assert_eq!(primitive(Prim::Fill { shape: vec![2, 1] }, &[one(7.0)], &[2, 1]).0, [7.0, 7.0]);
    assert_eq!(primitive(Prim::Reshape { shape: vec![4] }, &[n], &[4]).0, [3.0, 4.0, 5.0, 6.0]);
}

#[test]
fn a_draw_depends_on_its_index_alone() {
    use crate::ir::core::{Draw, Noise};
    let (out, _) = run(&[], |b, _| {
        b.for_(&[3, 4], vec![Collector::Collect, Collector::Collect], |b, ij| {
            let mut draw = |index: Vec<(Atom, usize)>, mirror: Option<Atom>| {
                let result = b.var(Type::REAL);
                b.stmts.push(Stmt::Draw(Draw { result, noise: Noise::Normal, args: vec![], site: 9, index, mirror }));
                Atom::Var(result)
            };
            let plain = draw(vec![(ij[0], 3), (ij[1], 4)], None);
            vec![plain, draw(vec![(ij[0], 3), (ij[1], 4)], Some(Atom::Bool(true)))]
        })
    });
    let expected: Vec<f64> = (0..12).map(|i| crate::runtime::random::normal(STREAM, 9, i)).collect();
    assert_eq!(out[0], Array::real([3, 4], expected.clone()));
    assert_eq!(out[1], Array::real([3, 4], expected.iter().map(|x| -x).collect::<Vec<f64>>()));
}

/// A jump would make the difference quotient grow as the step shrinks; kinks are rare.
#[test]
fn smooth_programs_are_smooth() {
    let mut rough = Vec::new();
    let mut moving = 0;
    for seed in 0..100 {
        let (program, data, params) = crate::ir::generate::smooth_program(seed);
        let mut i = Interpreter::new(Arc::new(program), &data).expect("a valid program");
        let mut out = vec![0.0; i.output_len()];
        let mut slope = |h: f64| {
            let mut at = |h: f64| {
                let moved: Vec<f64> =
                    params.iter().enumerate().map(|(n, p)| p + h * (1.0 + 0.3 * n as f64).sin()).collect();
                i.step(&moved, &[], &[], STREAM, &mut out);
                out[0]
            };
            (at(h) - at(-h)) / (2.0 * h)
        };
        let (coarse, fine) = (slope(1e-4), slope(1e-6));
        moving += usize::from(fine.abs() > 1e-3);
        if (coarse - fine).abs() > 1e-3 * (1.0 + fine.abs()) {
            rough.push(seed);
        }
    }
    assert!(rough.len() <= 3, "not smooth: {rough:?}");
    assert!(moving > 90, "only {moving} of 100 depend on the parameters");
}
