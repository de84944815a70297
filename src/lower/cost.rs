//! Estimated time of Core, in nanoseconds on one core: decides what is worth threads.

use super::scalar::is_kernel;
use crate::ir::core::{Block, For, Program, Stmt};

/// A nest below this runs on one thread.
pub(super) const WORTH_THREADS: f64 = 20_000.0;

const INLINE: f64 = 0.1;
const KERNEL: f64 = 1.0;
const DRAW: f64 = 2.5;
const MULTIPLY_ADD: f64 = 0.02;

/// Of a whole `for`, through which `streamed` words of a matrix pass with each element.
pub(super) fn of_for(program: &Program, f: &For, streamed: usize) -> f64 {
    let elements: f64 = f.indices.iter().map(|&(_, n)| n as f64).product();
    elements * (of_block(program, &f.body) + streamed as f64 * 2.0 * MULTIPLY_ADD)
}

fn of_block(program: &Program, block: &Block) -> f64 {
    block.stmts.iter().map(|stmt| of_stmt(program, stmt)).sum()
}

fn of_stmt(program: &Program, stmt: &Stmt) -> f64 {
    match stmt {
        Stmt::Op { op, args, .. } => {
            if is_kernel(*op, args) {
                KERNEL
            } else {
                INLINE
            }
        }
        Stmt::For(f) => of_for(program, f, 0),
        Stmt::Loop(l) => l.extent as f64 * of_block(program, &l.body),
        Stmt::If(i) => of_block(program, &i.then).max(of_block(program, &i.otherwise)),
        Stmt::Contract(c) => {
            let (a, b) = (program.atom_type(c.a).size(), program.atom_type(c.b).size());
            a.max(b) as f64 * MULTIPLY_ADD * 4.0
        }
        Stmt::Array { results, .. } => results.iter().map(|&r| program.ty(r).size() as f64 * INLINE).sum(),
        Stmt::Draw(_) => DRAW,
        Stmt::Check { .. } | Stmt::Sample(_) | Stmt::Term(_) => 0.0,
    }
}
