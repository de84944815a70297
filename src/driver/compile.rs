//! From Core with sites to something that runs: derive, differentiate, optimise, lower, generate.

use crate::ad;
use crate::codegen;
use crate::diagnostic::Diagnostic;
use crate::estimate;
use crate::ir::core::{Block, Program, Role, Var};
use crate::ir::interpret::Interpreter;
use crate::lower;
use crate::opt;
use crate::runtime::executable::{Array, Executable};
use crate::runtime::pool::Pool;
use crate::specialize::programs::Sited;
use std::sync::{Arc, Mutex, PoisonError};

/// Who runs a program. Both give the same bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Backend {
    Interpreter,
    /// Machine code on so many threads.
    Machine {
        threads: usize,
    },
}

/// Sites eliminated: the first output is the value.
pub fn derived(sited: Sited<'_>) -> Result<Program, Vec<Diagnostic>> {
    let Sited { program, mut table } = sited;
    estimate::derive(program, &mut table)
}

/// Differentiates a region, for `grad`.
pub fn region_gradient(program: &mut Program, block: &Block, wrt: &[Var]) -> Result<Block, String> {
    ad::gradient(program, block, wrt).map_err(|e| e.to_string())
}

/// With the gradient in parameters, not yet optimised after differentiation.
pub fn gradient(derived: Program) -> Result<Program, Vec<Diagnostic>> {
    let before = opt::before_ad(derived);
    let refused = |e: ad::AdError| {
        vec![
            Diagnostic::bare("E0313", format!("the objective cannot be differentiated: {e}"))
                .note("an operation without derivative is reached by a parameter"),
        ]
    };
    let program = ad::reverse(&before, Role::Param).map_err(refused)?;
    match program.outputs.iter().position(|n| n == estimate::LEARN) {
        Some(learn) => ad::reverse_output(&program, learn, Role::Tuned).map_err(refused),
        None => Ok(program),
    }
}

/// Value and gradient, ready to be lowered.
pub fn with_gradient(derived: Program) -> Result<Program, Vec<Diagnostic>> {
    Ok(opt::after_ad(gradient(derived)?))
}

/// The value alone, ready to be lowered.
pub fn value_only(derived: Program) -> Program {
    opt::after_ad(opt::before_ad(derived))
}

/// A runnable program with its data bound.
pub fn executable(program: &Program, data: &[Array], backend: Backend) -> Result<Box<dyn Executable>, Vec<Diagnostic>> {
    let internal = |stage: &str, message: String| {
        vec![
            Diagnostic::bare("E0690", format!("{stage} failed: {message}"))
                .note("this is a defect of Provi; the interpreter may still run the program (`--interpret`)"),
        ]
    };
    match backend {
        Backend::Interpreter => {
            let run = Interpreter::new(Arc::new(program.clone()), data).map_err(|m| internal("interpretation", m))?;
            Ok(Box::new(run))
        }
        Backend::Machine { threads } => {
            let nests = lower::lower(program).map_err(|e| internal("lowering", e.to_string()))?;
            let code = codegen::compile(nests, data, &pool(threads))
                .map_err(|e| internal("code generation", e.to_string()))?;
            Ok(Box::new(code))
        }
    }
}

/// The resident pool of a thread count, made on first use: programs of one process share it.
fn pool(threads: usize) -> Arc<Pool> {
    static POOLS: Mutex<Vec<(usize, Arc<Pool>)>> = Mutex::new(Vec::new());
    let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, pool)) = pools.iter().find(|p| p.0 == threads) {
        return pool.clone();
    }
    let pool = Arc::new(Pool::new(threads.max(1)));
    pools.push((threads, pool.clone()));
    pool
}

/// True if a step of the program draws random numbers.
pub fn is_random(program: &Program) -> bool {
    use crate::ir::core::{Prim, Stmt};
    let draws = |s: &Stmt| matches!(s, Stmt::Draw(_) | Stmt::Array { prim: Prim::Subset { .. }, .. });
    fn any(stmts: &[Stmt], draws: &dyn Fn(&Stmt) -> bool) -> bool {
        stmts.iter().any(|s| draws(s) || s.regions().iter().any(|r| any(&r.stmts, draws)))
    }
    any(&program.step.stmts, &draws)
}

/// Steps after which each row of every subsampled plate was seen.
pub fn epoch(program: &Program) -> usize {
    use crate::ir::core::{Prim, Stmt};
    fn longest(stmts: &[Stmt]) -> usize {
        let one = |s: &Stmt| match s {
            Stmt::Array { prim: Prim::Subset { of, take, .. }, .. } => of / (*take).max(1),
            other => other.regions().iter().map(|r| longest(&r.stmts)).max().unwrap_or(1),
        };
        stmts.iter().map(one).max().unwrap_or(1).max(1)
    }
    longest(&program.step.stmts)
}
