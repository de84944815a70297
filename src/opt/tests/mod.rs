//! Laws of the passes: what they make is valid, and means the same up to the rounding of its sums.

use super::{AFTER_AD, BEFORE_AD, after_ad, before_ad};
use crate::ad::reverse;
use crate::ad::tests::{close, run};
use crate::ir::core::Role;
use crate::ir::generate;
use crate::ir::print::print;
use crate::ir::validate::{Form, validate};

#[test]
fn every_pass_keeps_programs_valid_and_their_meaning() {
    for seed in 0..250 {
        let (mut program, data, params) = generate::program(seed);
        let expected = run(&program, &data, &params);
        for pass in BEFORE_AD.iter().chain(AFTER_AD) {
            let old = program.clone();
            program = (pass.run)(program);
            let faults = validate(&program, Form::Plain);
            let both = || format!("{}\n---\n{}", print(&old), print(&program));
            assert!(faults.is_empty(), "seed {seed}: {}: {faults:?}\n{}", pass.name, both());
            let found = run(&program, &data, &params);
            for (k, (a, b)) in expected.iter().zip(&found).enumerate() {
                let fine = close(*a, *b, 1e-9, 1.0);
                assert!(fine, "seed {seed}: {}: output {k} was {a}, is {b}\n{}", pass.name, both());
            }
        }
    }
}

#[test]
fn optimised_gradients_agree() {
    for seed in 0..150 {
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
