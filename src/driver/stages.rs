//! `provi ir`: what each stage made, as text.

use super::compile;
use super::session::Session;
use super::{Refusal, Stage};
use crate::ir::core::Program;
use crate::ir::print::print;
use crate::lower;
use crate::specialize::machine::Space;
use crate::specialize::programs::{self, Options};
use crate::syntax::tree::Expr;

/// The text of a stage from `Sites` on (the earlier ones need no data).
pub fn run<'a>(session: &Session<'a>, expr: &'a Expr, particles: usize, stage: Stage) -> Result<String, Refusal> {
    let options = Options { space: Space::Unconstrained, particles, params: Vec::new() };
    let sited = programs::objective(&session.bound, expr, &options).map_err(|d| session.refuse(d))?;
    if stage == Stage::Sites {
        return Ok(print(&sited.program));
    }
    let derived = compile::derived(sited).map_err(|d| session.refuse(d))?;
    if stage == Stage::Derived {
        return Ok(print(&derived));
    }
    let gradient = compile::gradient(derived).map_err(|d| session.refuse(d))?;
    if stage == Stage::Gradient {
        return Ok(print(&gradient));
    }
    let core = crate::opt::after_ad(gradient);
    match stage {
        Stage::Core => Ok(print(&core)),
        Stage::Loops => loops(session, &core),
        _ => code(session, &core),
    }
}

fn loops(session: &Session<'_>, program: &Program) -> Result<String, Refusal> {
    let nests = lower::lower(program).map_err(|e| session.refuse_with("E0690", e.to_string()))?;
    Ok(nests.to_string())
}

fn code(session: &Session<'_>, program: &Program) -> Result<String, Refusal> {
    let nests = lower::lower(program).map_err(|e| session.refuse_with("E0690", e.to_string()))?;
    Ok(nests.to_string())
}
