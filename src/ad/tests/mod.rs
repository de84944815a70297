//! Laws of differentiation: programs made are valid.

use super::{forward, reverse};
use crate::ir::core::Role;
use crate::ir::generate;
use crate::ir::validate::{Form, validate};

#[test]
fn generated_programs_stay_valid() {
    for seed in 0..300 {
        let (program, _, _) = generate::smooth_program(seed);
        let Ok(r) = reverse(&program, Role::Param) else { panic!("seed {seed}: {:?}", reverse(&program, Role::Param).err()) };
        let faults = validate(&r, Form::Plain);
        assert!(faults.is_empty(), "seed {seed}: {faults:?}");
        let f = forward(&program, Role::Param).unwrap();
        let faults = validate(&f, Form::Plain);
        assert!(faults.is_empty(), "forward, seed {seed}: {faults:?}");
    }
}
