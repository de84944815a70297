//! The stages in order, and what commands do with them: open a program with its data, make runnable programs of it, fit,
//! estimate gradients, evaluate, time, print stages, run tests. Everything here returns values; nothing prints.

pub mod compile;
pub mod session;
pub mod model;
pub mod fault;
mod placed;
pub mod fit;
pub mod variance;
pub mod grad;
pub mod claims;
pub mod eval;
pub mod bench;
pub mod stages;
pub mod quadrature;
pub mod test_items;

use crate::base::source::Sources;
use crate::diagnostic::Diagnostic;
use std::sync::Arc;

/// Why a command could not do its work: diagnostics, with the files their spans are in.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub diagnostics: Vec<Diagnostic>,
    pub sources: Arc<Sources>,
}

/// A stage as `provi ir --stage` names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    Syntax,
    Types,
    Sites,
    Derived,
    Gradient,
    Core,
    Loops,
    Code,
}

impl Stage {
    /// All stages, in the order in which a program passes them.
    pub const ALL: [Stage; 8] = [
        Stage::Syntax,
        Stage::Types,
        Stage::Sites,
        Stage::Derived,
        Stage::Gradient,
        Stage::Core,
        Stage::Loops,
        Stage::Code,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Stage::Syntax => "syntax",
            Stage::Types => "types",
            Stage::Sites => "sites",
            Stage::Derived => "derived",
            Stage::Gradient => "gradient",
            Stage::Core => "core",
            Stage::Loops => "loops",
            Stage::Code => "code",
        }
    }

    pub fn by_name(name: &str) -> Option<Stage> {
        Stage::ALL.into_iter().find(|s| s.name() == name)
    }
}
