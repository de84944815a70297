//! Optimisation: Core to Core, before and after differentiation. Each pass is a pure function in a file of its own; the
//! order is data ([`BEFORE_AD`], [`AFTER_AD`]). Every pass keeps the meaning of a program up to the rounding of sums and of
//! the identities marked so; in debug builds the validator runs after each and names the pass that broke it.

pub mod simplify;

mod algebra;
mod forwarding;

pub mod batch;
pub mod cse;
pub mod dce;
pub mod distribute;
pub mod dynamic;
pub mod flatten;
pub mod fma;
pub mod fuse;
pub mod gather;
pub mod hoist;
pub mod invariant;
pub mod kinds;
pub mod lift;
pub mod merge;
pub mod reuse;
pub mod share;
pub mod split;
pub mod strip;
mod sums;
pub mod unroll;

use crate::ir::core::Program;

/// One pass.
#[derive(Clone, Copy)]
pub struct Pass {
    pub name: &'static str,
    pub run: fn(Program) -> Program,
}

fn simplify_before(program: Program) -> Program {
    simplify::simplify(program, false)
}

fn simplify_after(program: Program) -> Program {
    simplify::simplify(program, true)
}

const SIMPLIFY: Pass = Pass { name: "simplify", run: simplify_after };
const CSE: Pass = Pass { name: "cse", run: cse::cse };
const DCE: Pass = Pass { name: "dce", run: dce::dce };
const FUSE: Pass = Pass { name: "fuse", run: fuse::fuse };
const UNROLL: Pass = Pass { name: "unroll", run: unroll::unroll };
const FLATTEN: Pass = Pass { name: "flatten", run: flatten::flatten };
const LIFT: Pass = Pass { name: "lift", run: lift::lift };
const HOIST: Pass = Pass { name: "hoist", run: hoist::hoist };
const INVARIANT: Pass = Pass { name: "invariant", run: invariant::invariant };

/// Before differentiation: what makes the derivative smaller.
pub const BEFORE_AD: &[Pass] = &[
    Pass { name: "simplify", run: simplify_before },
    CSE,
    DCE,
    HOIST,
    FLATTEN,
    Pass { name: "simplify", run: simplify_before },
    LIFT,
    INVARIANT,
    Pass { name: "batch", run: batch::batch },
    INVARIANT,
    DCE,
    FUSE,
    Pass { name: "simplify", run: simplify_before },
    CSE,
    DCE,
    Pass { name: "gather", run: gather::gather },
    Pass { name: "simplify", run: simplify_before },
    CSE,
    INVARIANT,
    Pass { name: "simplify", run: simplify_before },
    DCE,
];

/// After it: the program that is lowered.
pub const AFTER_AD: &[Pass] = &[
    SIMPLIFY,
    CSE,
    DCE,
    Pass { name: "distribute", run: distribute::distribute },
    SIMPLIFY,
    DCE,
    FLATTEN,
    LIFT,
    SIMPLIFY,
    DCE,
    FLATTEN,
    SIMPLIFY,
    CSE,
    INVARIANT,
    FUSE,
    SIMPLIFY,
    CSE,
    DCE,
    UNROLL,
    SIMPLIFY,
    CSE,
    FUSE,
    Pass { name: "split", run: split::split },
    SIMPLIFY,
    CSE,
    INVARIANT,
    HOIST,
    INVARIANT,
    SIMPLIFY,
    CSE,
    DCE,
    FLATTEN,
    FUSE,
    SIMPLIFY,
    CSE,
    Pass { name: "outward", run: hoist::outward },
    CSE,
    Pass { name: "merge", run: merge::merge },
    SIMPLIFY,
    CSE,
    Pass { name: "reuse", run: reuse::reuse },
    Pass { name: "share", run: share::share },
    CSE,
    DCE,
    Pass { name: "kinds", run: kinds::kinds },
    Pass { name: "strip", run: strip::strip },
    Pass { name: "fma", run: fma::fma },
    DCE,
];

/// Runs passes in order.
///
/// # Panics
/// In debug builds, if a pass makes an invalid program (a defect of that pass).
pub fn run(program: Program, passes: &[Pass]) -> Program {
    let mut program = program;
    for pass in passes {
        program = (pass.run)(program);
        #[cfg(debug_assertions)]
        {
            let faults = crate::ir::validate::validate(&program, crate::ir::validate::Form::Plain);
            assert!(faults.is_empty(), "pass `{}` made an invalid program: {}", pass.name, faults.join("; "));
        }
    }
    program
}

/// The passes before differentiation.
pub fn before_ad(program: Program) -> Program {
    run(program, BEFORE_AD)
}

/// The passes after differentiation (or instead, where nothing is differentiated).
pub fn after_ad(program: Program) -> Program {
    run(program, AFTER_AD)
}

#[cfg(test)]
mod tests;
