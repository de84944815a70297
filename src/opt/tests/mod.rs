//! Laws of the passes: what they make is valid, and means the same up to the rounding of its sums.

use super::{AFTER_AD, BEFORE_AD, after_ad, before_ad};
use crate::ad::reverse;
use crate::ad::tests::{close, examples, run};
use crate::ir::core::{Program, Role, Scalar, Stmt};
use crate::ir::generate;
use crate::ir::print::print;
use crate::ir::validate::{Form, validate};
use crate::runtime::executable::Array;

/// How many generated programs; more on request.
fn seeds(usual: u64) -> u64 {
    std::env::var("PROVI_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(usual)
}

/// For each element of the outputs: is it real?
fn reals(program: &Program) -> Vec<bool> {
    let types = program.step.results.iter().map(|&a| program.atom_type(a));
    types.flat_map(|t| std::iter::repeat_n(t.scalar == Scalar::Real, t.size())).collect()
}

#[test]
fn every_pass_keeps_programs_valid_and_their_meaning() {
    let count = seeds(50);
    let mut ties = 0;
    'programs: for seed in 0..count {
        let (mut program, data, params) = generate::program(seed);
        let expected = run(&program, &data, &params);
        let is_real = reals(&program);
        for pass in BEFORE_AD.iter().chain(AFTER_AD) {
            let old = program.clone();
            program = (pass.run)(program);
            let faults = validate(&program, Form::Plain);
            let both = || format!("{}\n---\n{}", print(&old), print(&program));
            assert!(faults.is_empty(), "seed {seed}: {}: {faults:?}\n{}", pass.name, both());
            let found = run(&program, &data, &params);
            // A comparison of what is equal but for rounding may turn out either way.
            if expected.iter().zip(&found).zip(&is_real).any(|((a, b), real)| !real && a != b) {
                ties += 1;
                continue 'programs;
            }
            for (k, (a, b)) in expected.iter().zip(&found).enumerate() {
                assert!(close(*a, *b, 1e-9, 1.0), "seed {seed}: {}: output {k} was {a}, is {b}\n{}", pass.name, both());
            }
        }
    }
    assert!(ties * 50 <= count, "{ties} of {count} programs changed an int or a truth");
}

#[test]
fn optimised_gradients_agree() {
    for seed in 0..seeds(50) {
        let (program, data, params) = generate::smooth_program(seed);
        let plain = reverse(&program, Role::Param).unwrap();
        let expected = run(&plain, &data, &params);
        let fast = after_ad(reverse(&before_ad(program), Role::Param).unwrap());
        let found = run(&fast, &data, &params);
        let scale =
            expected[..=params.len()].iter().fold(1.0f64, |m, x| if x.is_finite() { m.max(x.abs()) } else { m });
        for (k, (a, b)) in expected.iter().zip(&found).enumerate() {
            assert!(close(*a, *b, 1e-9, scale), "seed {seed}: output {k} was {a}, is {b}\n{}", print(&fast));
        }
    }
}

/// The program that is lowered, as text, after its gradient was checked against the plain one.
fn lowered((program, data, params): (Program, Vec<Array>, Vec<f64>)) -> (Program, String) {
    let expected = run(&reverse(&program, Role::Param).unwrap(), &data, &params);
    let fast = after_ad(reverse(&before_ad(program), Role::Param).unwrap());
    let found = run(&fast, &data, &params);
    for (a, b) in expected.iter().zip(&found) {
        assert!(close(*a, *b, 1e-10, 1.0), "{a} and {b}");
    }
    let text = print(&fast);
    (fast, text)
}

fn loops(stmts: &[Stmt]) -> usize {
    stmts.iter().filter(|s| matches!(s, Stmt::For(_))).count()
}

#[test]
fn eight_schools_is_three_loops_and_draws_once() {
    let (fast, text) = lowered(examples::schools(1));
    assert_eq!(loops(&fast.step.stmts), 3, "{text}");
    assert_eq!(text.matches("draw").count(), 1, "{text}");
    // log sigma and 1 / sigma are found once per binding; two exponentials, one log1p in the step.
    let step = text.split("step {").nth(1).unwrap();
    assert!(
        !step.contains("= log(") && step.matches("= exp(").count() == 2 && step.matches("log1p").count() == 1,
        "{step}"
    );
}

#[test]
fn a_product_per_row_is_a_product_of_a_matrix() {
    let (fast, text) = lowered(examples::logistic(100, 30, 1));
    assert_eq!(loops(&fast.step.stmts), 3, "{text}");
    assert_eq!(text.matches("contract").count(), 2, "{text}");
    assert_eq!(text.matches(" rows").count(), 2, "{text}");
    // One exponential serves softplus and sigmoid.
    assert!(!text.contains("softplus") && !text.contains("sigmoid"), "{text}");
}

#[test]
fn data_are_read_once_under_particles() {
    let (_, text) = lowered(examples::logistic(100, 30, 10));
    assert_eq!(text.matches("contract").count(), 2, "{text}");
    assert_eq!(text.matches("log1p").count(), 1, "{text}");
}

#[test]
fn a_network_applied_to_each_row_is_products_of_matrices() {
    for particles in [1, 3] {
        let (fast, text) = lowered(examples::layers(300, particles));
        // Two forward; back to the second layer's input; one for each matrix. None in a loop.
        let products = fast.step.stmts.iter().filter(|s| matches!(s, Stmt::Contract(_))).count();
        assert_eq!(products, 5, "{text}");
        assert_eq!(text.matches(" gemm").count(), text.matches("contract").count(), "{text}");
        assert_eq!(products, text.matches("contract").count(), "{text}");
        // The first layer does not depend on the particle.
        let small = text.matches("real[300,16] = contract").count();
        assert_eq!(small, if particles == 1 { 3 } else { 1 }, "{text}");
    }
}

#[test]
fn a_hidden_markov_model_keeps_two_sequential_loops() {
    let (_, text) = lowered(examples::hidden_markov(40));
    assert_eq!(text.matches(" = loop ").count(), 2, "{text}");
}

#[test]
fn particles_are_the_strip_of_a_small_model() {
    let (fast, text) = lowered(examples::schools(100));
    assert_eq!(text.matches("draw").count(), 1, "{text}");
    let strips =
        fast.step.stmts.iter().any(|s| matches!(s, Stmt::For(f) if f.indices[0].1 == 100 && f.strip == Some(0)));
    assert!(strips, "{text}");
}

#[test]
fn sums_that_are_added_up_become_one() {
    let text = "param x.0: real[5]
data y.1: real[5]
step {
  (%2: real, %3: real, %4: real) = for %5<5 {
    %6: real = read(x.0, %5)
    %7: real = read(y.1, %5)
    %8: real = mul(%6, %6)
    %9: real = mul(%6, %7)
  } yield sum %8, sum %9, sum 2.0
  %10: real = sub(%2, 1.5)
  %11: real = add(%10, %4)
  %12: real = sub(%11, %3)
  %13: real = add(%12, 4.0)
} yield value = %13
";
    let program = crate::ir::parse::parse(text).unwrap();
    let x = vec![1.0, -2.0, 0.5, 3.0, -1.0];
    let data = [Array::real([5], vec![2.0, 1.0, 4.0, 0.25, 8.0])];
    let merged = super::merge::merge(program.clone());
    assert!(validate(&merged, Form::Plain).is_empty(), "{}", print(&merged));
    assert_eq!(run(&program, &data, &x), [15.25 - 1.5 + 10.0 - (-5.25) + 4.0]);
    assert_eq!(run(&merged, &data, &x), [33.0]);
    let text = print(&merged);
    assert_eq!(text.matches("sum ").count(), 1, "{text}");
    assert_eq!(text.matches("add(").count() + text.matches("sub(").count(), 3, "{text}");
}
