//! A `for` whose body is one `for` is one `for` over both index sets; so array-valued yields become scalar ones and a strip
//! index can be chosen among all.
//!
//! before: `a = for i<n { r = for j<m { e } yield collect e } yield collect r`
//! after:  `a = for i<n, j<m { e } yield collect e`

use crate::base::hash::HashSet;
use crate::ir::core::{Block, Collector, For, Program, Stmt, Var};
use crate::ir::op::Op;

/// Statements between the two heads that may be run once per inner iteration.
const PREFIX: usize = 4;

/// Flattens perfect nests, innermost first.
pub fn flatten(mut program: Program) -> Program {
    let setup = std::mem::take(&mut program.setup);
    program.setup = region(setup);
    let step = std::mem::take(&mut program.step);
    program.step = Block { stmts: region(step.stmts), results: step.results };
    program
}

fn region(stmts: Vec<Stmt>) -> Vec<Stmt> {
    stmts
        .into_iter()
        .map(|mut s| {
            for block in s.regions_mut() {
                let inner = std::mem::take(&mut block.stmts);
                block.stmts = region(inner);
            }
            match s {
                Stmt::For(f) => Stmt::For(join(f)),
                other => other,
            }
        })
        .collect()
}

fn join(outer: For) -> For {
    let Some(collectors) = joined_collectors(&outer) else { return outer };
    let mut stmts = outer.body.stmts;
    let Some(Stmt::For(inner)) = stmts.pop() else {
        return For { body: Block { stmts, results: outer.body.results }, ..outer };
    };
    let positions: Vec<usize> =
        outer.body.results.iter().filter_map(|a| inner.results.iter().position(|&r| Some(r) == a.var())).collect();
    stmts.extend(inner.body.stmts);
    let results = positions.iter().map(|&k| inner.body.results[k]).collect();
    let mut indices = outer.indices;
    indices.extend(inner.indices);
    For { indices, body: Block { stmts, results }, collectors, ..outer }
}

/// The collectors of the flat loop, if the nest can be flattened.
fn joined_collectors(outer: &For) -> Option<Vec<Collector>> {
    let (last, prefix) = outer.body.stmts.split_last()?;
    let Stmt::For(inner) = last else { return None };
    let cheap = |s: &Stmt| {
        matches!(
            s,
            Stmt::Op {
                op: Op::Read
                    | Op::Add
                    | Op::Sub
                    | Op::Mul
                    | Op::IAdd
                    | Op::ISub
                    | Op::IMul
                    | Op::IMin
                    | Op::IMax
                    | Op::ILt
                    | Op::ILe
                    | Op::IEq
                    | Op::And
                    | Op::ToReal,
                ..
            }
        )
    };
    if outer.strip.is_some() || inner.strip.is_some() || prefix.len() > PREFIX || !prefix.iter().all(cheap) {
        return None;
    }
    let outside: HashSet<Var> = prefix.iter().flat_map(Stmt::results).collect();
    let n = outer.indices.len();
    let m = inner.indices.len();
    let mut collectors = Vec::new();
    for (c, value) in outer.collectors.iter().zip(&outer.body.results) {
        let v = value.var()?;
        if outside.contains(&v) {
            return None;
        }
        let k = inner.results.iter().position(|&r| r == v)?;
        let kept = |c: &Collector, n: usize| match c {
            Collector::Collect => Some((0..n).collect::<Vec<usize>>()),
            Collector::Sum { keep } => Some(keep.clone()),
            Collector::Max | Collector::Min | Collector::All | Collector::SumAt { .. } => None,
        };
        let mut keep = kept(c, n)?;
        keep.extend(kept(&inner.collectors[k], m)?.into_iter().map(|q| q + n));
        collectors.push(if keep.len() == n + m { Collector::Collect } else { Collector::Sum { keep } });
    }
    Some(collectors)
}
