//! Laws of the passes: what they make is valid and means the same.

use super::{AFTER_AD, BEFORE_AD};
use crate::ir::generate;
use crate::ir::validate::{Form, validate};

#[test]
fn every_pass_keeps_programs_valid() {
    for seed in 0..300 {
        let (mut program, _, _) = generate::program(seed);
        for pass in BEFORE_AD.iter().chain(AFTER_AD) {
            let old = program.clone();
            program = (pass.run)(program);
            let faults = validate(&program, Form::Plain);
            assert!(
                faults.is_empty(),
                "seed {seed}: {}: {faults:?}\n{}\n---\n{}",
                pass.name,
                crate::ir::print::print(&old),
                crate::ir::print::print(&program)
            );
        }
    }
}
