//! Invariant code motion: a statement of a loop's body that reads nothing made in the loop moves before the loop. Branches
//! keep what is theirs (it may not run), and so do loops of no iterations.

use crate::base::hash::HashSet;
use crate::ir::core::{Block, Program, Stmt, Var};

/// Moves invariant statements out of `for` and `loop`, innermost first.
pub fn invariant(mut program: Program) -> Program {
    let setup = std::mem::take(&mut program.setup);
    program.setup = region(setup);
    let step = std::mem::take(&mut program.step);
    program.step = Block { stmts: region(step.stmts), results: step.results };
    program
}

fn region(stmts: Vec<Stmt>) -> Vec<Stmt> {
    let mut out = Vec::with_capacity(stmts.len());
    for mut stmt in stmts {
        for block in stmt.regions_mut() {
            let inner = std::mem::take(&mut block.stmts);
            block.stmts = region(inner);
        }
        let (bound, runs): (Vec<Var>, bool) = match &stmt {
            Stmt::For(f) => (f.indices.iter().map(|&(v, _)| v).collect(), f.indices.iter().all(|&(_, n)| n > 0)),
            Stmt::Loop(l) => {
                let mut bound = vec![l.index];
                bound.extend(l.carried.iter().map(|&(v, _)| v));
                (bound, l.extent > 0)
            }
            _ => (Vec::new(), false),
        };
        if runs {
            let mut inside: HashSet<Var> = bound.into_iter().collect();
            for block in stmt.regions_mut() {
                let mut kept = Vec::new();
                for s in std::mem::take(&mut block.stmts) {
                    let stays = matches!(s, Stmt::Sample(_) | Stmt::Term(_))
                        || s.free_vars().iter().any(|v| inside.contains(v));
                    if stays {
                        inside.extend(s.results());
                        kept.push(s);
                    } else {
                        out.push(s);
                    }
                }
                block.stmts = kept;
            }
        }
        out.push(stmt);
    }
    out
}
