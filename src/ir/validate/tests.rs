//! Valid programs broken in one place each are refused.

use super::{Form, validate};
use crate::ir::core::{Atom, Block, Collector, Prim, Program, Scalar, Stmt, Type, Var};
use crate::ir::generate::random::Random;
use crate::ir::generate::{Options, case};
use crate::ir::op::Op;

/// Statements everywhere in the block, outer before inner, with how deep they stand.
fn each(stmts: &mut Vec<Stmt>, depth: usize, f: &mut impl FnMut(&mut Stmt, usize)) {
    for s in stmts {
        f(s, depth);
        for b in s.regions_mut() {
            each(&mut b.stmts, depth + 1, f);
        }
    }
}

/// Changes the `n`-th statement to which `change` applies; false if there are not so many.
fn change_nth(program: &mut Program, mut n: usize, mut change: impl FnMut(&mut Stmt, usize) -> bool) -> bool {
    let mut done = false;
    let mut visit = |s: &mut Stmt, depth: usize| {
        if done {
            return;
        }
        let mut trial = s.clone();
        if change(&mut trial, depth) {
            if n == 0 {
                *s = trial;
                done = true;
            } else {
                n -= 1;
            }
        }
    };
    each(&mut program.step.stmts, 0, &mut visit);
    done
}

/// Changes a statement at the given depth, if it can.
type Damage = fn(&mut Stmt, usize) -> bool;

/// Every kind of damage; each returns false where it does not apply to the statement.
fn damages() -> Vec<(&'static str, Damage)> {
    vec![
        ("an operand left out", |s, _| match s {
            Stmt::Op { args, .. } => args.pop().is_some(),
            _ => false,
        }),
        ("an operand of another type", |s, _| match s {
            Stmt::Op { op, args, .. } if op.signature().is_some() => {
                let wrong = if op.signature().is_some_and(|(a, _)| a[0] == Scalar::Bool) {
                    Atom::Int(1)
                } else {
                    Atom::Bool(true)
                };
                args[0] = wrong;
                true
            }
            _ => false,
        }),
        ("a strip on an inner for", |s, depth| match s {
            Stmt::For(f) if depth > 1 => {
                f.strip = Some(0);
                true
            }
            _ => false,
        }),
        ("a strip index that is not there", |s, _| match s {
            Stmt::For(f) => {
                f.strip = Some(f.indices.len());
                true
            }
            _ => false,
        }),
        ("a collector too many", |s, _| match s {
            Stmt::For(f) => {
                f.collectors.push(Collector::Collect);
                true
            }
            _ => false,
        }),
        ("a value too many", |s, _| match s {
            Stmt::For(f) => {
                f.body.results.push(Atom::Real(1.0));
                true
            }
            _ => false,
        }),
        ("an extent changed", |s, _| match s {
            Stmt::For(f) if f.collectors.contains(&Collector::Collect) => {
                f.indices[0].1 += 1;
                true
            }
            _ => false,
        }),
        ("a kept index that is not there", |s, _| match s {
            Stmt::For(f) => {
                let n = f.indices.len();
                f.collectors.iter_mut().any(|c| match c {
                    Collector::Sum { keep } => {
                        keep.push(n);
                        true
                    }
                    _ => false,
                })
            }
            _ => false,
        }),
        ("max in a loop", |s, _| match s {
            Stmt::Loop(l) => l.collectors.iter_mut().any(|c| {
                *c = Collector::Max;
                true
            }),
            _ => false,
        }),
        ("a next value too few", |s, _| match s {
            Stmt::Loop(l) => {
                l.body.results.remove(0);
                true
            }
            _ => false,
        }),
        ("a first value of another type", |s, _| match s {
            Stmt::Loop(l) => {
                let (_, init) = &mut l.carried[0];
                *init = if matches!(init, Atom::Bool(_)) { Atom::Real(1.0) } else { Atom::Var(l.index) };
                true
            }
            _ => false,
        }),
        ("sides that differ", |s, _| match s {
            Stmt::If(i) => i.then.results.pop().is_some(),
            _ => false,
        }),
        ("a label in no operand", |s, _| match s {
            Stmt::Contract(c) => {
                c.out.push(b'z');
                true
            }
            _ => false,
        }),
        ("a label twice", |s, _| match s {
            Stmt::Contract(c) if c.a_labels.len() == 2 => {
                c.a_labels[1] = c.a_labels[0];
                true
            }
            _ => false,
        }),
        ("a shape changed", |s, _| match s {
            Stmt::Array { prim: Prim::Reshape { shape }, .. } => {
                shape[0] += 1;
                true
            }
            _ => false,
        }),
        ("an axis that is not there", |s, _| match s {
            Stmt::Array { prim: Prim::Concat { axis }, .. } => {
                *axis = 9;
                true
            }
            _ => false,
        }),
        ("a mirrored exponential", |s, _| match s {
            Stmt::Draw(d) => {
                d.noise = crate::ir::core::Noise::Exponential;
                d.args.clear();
                d.mirror = Some(Atom::Bool(true));
                true
            }
            _ => false,
        }),
        ("a check not in the table", |s, _| match s {
            Stmt::Check { check, .. } => {
                *check = 10_000;
                true
            }
            _ => false,
        }),
        ("an index variable that is real", |s, _| match s {
            Stmt::Draw(d) => {
                d.index.push((Atom::Real(0.0), 2));
                true
            }
            _ => false,
        }),
        ("a term", |s, _| {
            *s = Stmt::Term(Atom::Real(1.0));
            true
        }),
    ]
}

#[test]
fn each_damage_is_found() {
    let mut random = Random::new(1);
    for (what, damage) in damages() {
        let mut tried = 0;
        for seed in 0..60 {
            let mut program = case(seed, Options::default()).program;
            if change_nth(&mut program, random.below(3), damage) {
                tried += 1;
                assert!(!validate(&program, Form::Plain).is_empty(), "{what}, seed {seed}");
            }
        }
        assert!(tried > 5, "{what}: only {tried} programs have a place for it");
    }
}

#[test]
fn a_result_of_another_type_is_found() {
    for seed in 0..60 {
        let mut program = case(seed, Options::default()).program;
        let mut results = Vec::new();
        each(&mut program.step.stmts, 0, &mut |s, _| results.extend(s.results()));
        let var = results[seed as usize % results.len()];
        program.vars[var.0 as usize].ty.shape.push(7);
        assert!(!validate(&program, Form::Plain).is_empty(), "seed {seed}");
    }
}

#[test]
fn definitions_stand_once_before_uses_in_an_enclosing_region() {
    for seed in 0..60 {
        let mut program = case(seed, Options::default()).program;
        // Defined twice.
        let mut twice = program.clone();
        let copy = twice.step.stmts[0].clone();
        if !copy.results().is_empty() {
            twice.step.stmts.push(copy);
            assert!(!validate(&twice, Form::Plain).is_empty(), "seed {seed}");
        }
        // Used before: the statements in reverse order.
        let mut backwards = program.clone();
        backwards.step.stmts.reverse();
        assert!(!validate(&backwards, Form::Plain).is_empty(), "seed {seed}");
        // Used outside its region.
        let mut inner = None;
        each(&mut program.step.stmts, 0, &mut |s, depth| {
            if depth > 0 && inner.is_none() {
                inner = s.results().first().copied();
            }
        });
        if let Some(v) = inner {
            program.step.results.push(v.into());
            program.outputs.push("inner".to_owned());
            assert!(!validate(&program, Form::Plain).is_empty(), "seed {seed}");
        }
    }
}

#[test]
fn setup_reads_data_only_and_draws_nothing() {
    let (mut program, _, _) = crate::ir::generate::program(3);
    let param = program.inputs_of(crate::ir::core::Role::Param).map(|i| i.var).next();
    let r = program.new_var(Type::REAL, None);
    let mut reads = program.clone();
    reads.setup.push(Stmt::Op { result: r, op: Op::Neg, args: param.into_iter().map(Atom::Var).collect() });
    assert_eq!(validate(&reads, Form::Plain).len(), 1);
    let draw = crate::ir::core::Draw {
        result: r,
        noise: crate::ir::core::Noise::Normal,
        args: vec![],
        site: 0,
        index: vec![],
        mirror: None,
    };
    program.setup.push(Stmt::Draw(draw));
    assert_eq!(validate(&program, Form::Plain).len(), 1);
}

#[test]
fn nothing_makes_the_validator_panic() {
    let far = Var(1000);
    let step = Block {
        stmts: vec![
            Stmt::Op { result: far, op: Op::Read, args: vec![] },
            Stmt::Op { result: far, op: Op::Add, args: vec![far.into()] },
            Stmt::Array { results: vec![], prim: Prim::Stack, args: vec![] },
            Stmt::Array { results: vec![far, far], prim: Prim::Concat { axis: 3 }, args: vec![Atom::Real(1.0)] },
        ],
        results: vec![far.into()],
    };
    let program = Program { step, ..Program::default() };
    assert!(validate(&program, Form::Plain).len() > 4);
}
