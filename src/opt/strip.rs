//! The last choice of order: the strip index of every outermost `for`: the index of the largest
//! extent, the inner one on a tie; an inner index of at least 64 is taken before a larger outer one.

use crate::ir::core::{Block, Collector, For, Program, Stmt};

/// A `for` with fewer iterations along every index than this keeps plain order.
const FEWEST: usize = 8;
/// An inner index of this extent is strip enough.
const ENOUGH: usize = 64;

/// Sets `strip` at the top level and in bodies of top-level loops.
pub fn strip(mut program: Program) -> Program {
    program.setup = program.setup.into_iter().map(outermost).collect();
    let step = std::mem::take(&mut program.step);
    program.step = Block { stmts: step.stmts.into_iter().map(outermost).collect(), results: step.results };
    program
}

fn outermost(stmt: Stmt) -> Stmt {
    match stmt {
        Stmt::For(f) => Stmt::For(choose(f)),
        Stmt::Loop(mut l) => {
            let inner = std::mem::take(&mut l.body.stmts);
            l.body.stmts = inner
                .into_iter()
                .map(|s| match s {
                    Stmt::For(f) => Stmt::For(choose(f)),
                    other => other,
                })
                .collect();
            Stmt::Loop(l)
        }
        other => other,
    }
}

fn choose(f: For) -> For {
    let mut best: Option<(usize, usize)> = None;
    for (k, &(_, n)) in f.indices.iter().enumerate() {
        let better = best.is_none_or(|(_, m)| n >= m.min(ENOUGH));
        if n >= FEWEST && better {
            best = Some((k, n));
        }
    }
    // Where only whole arrays are folded, or ints and truths, there is no order of scalars to choose, but the strip
    // also says what is innermost.
    let strip = best.map(|(k, _)| k).filter(|_| !f.collectors.iter().all(|c| matches!(c, Collector::All)));
    For { strip, ..f }
}
