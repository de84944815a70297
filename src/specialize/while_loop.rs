//! `for t in a..b while c`: a loop with a static bound that a condition stops early. Whether it still runs is a carried
//! bool; each iteration asks `c` while it runs, and does its body if `c` holds. Addresses of the iterations that are not
//! reached are optional, absent like those of a branch that is not taken.
//!
//! Short loops are written out, so that each iteration is a branch of its own and sites in it are treated like any site
//! under a condition. Of longer ones the first iteration is written out (where `c` does not ask for an earlier one).

use super::address::{Dim, PieceKey};
use super::clause::Clause;
use super::machine::{Machine, R, refuse};
use super::scan::{self, Mention};
use super::value::{Env, Value};
use crate::base::source::Span;
use crate::diagnostic::Diagnostic;
use crate::ir::core::Atom;
use crate::syntax::tree::{Block, Expr, ForClause};

/// Loops of at most so many iterations are written out.
const WRITTEN_OUT: usize = 8;

impl<'a> Machine<'a> {
    pub(super) fn while_loop(
        &mut self,
        clauses: &'a [ForClause],
        condition: &'a Expr,
        body: &'a Block,
        env: &Env<'a>,
        span: Span,
    ) -> R<Value<'a>> {
        let [clause] = clauses else {
            return refuse(condition.span, "`while` stops one loop: write the clauses as nested loops");
        };
        let assigned = self.assigned_cells(body, env);
        let mut samples: Vec<&'a str> = Vec::new();
        scan::block(body, &mut |m| {
            if let Mention::Sampled(n) = m {
                samples.push(n);
            }
        });
        let clause = self.clause(clause, &samples.into(), env)?;
        let runs = self.cells.len();
        self.cells.push(Value::Scalar(Atom::Bool(true)));
        let mut cells = assigned.clone();
        cells.push(runs);
        let mut iteration = |m: &mut Machine<'a>, env: &Env<'a>| -> R<Value<'a>> {
            let Value::Scalar(before) = m.cells[runs] else {
                return refuse(span, "a loop that is neither running nor stopped");
            };
            let now = m.choose_cells(
                before,
                &[],
                condition.span,
                &mut |m| Ok(Value::Scalar(m.scalar(condition, env)?)),
                &mut |_| Ok(Value::Scalar(Atom::Bool(false))),
            )?;
            m.cells[runs] = now.clone();
            let Value::Scalar(now) = now else {
                return refuse(condition.span, "a condition is a bool");
            };
            m.choose_cells(now, &assigned, span, &mut |m| m.block(body, env).map(|_| Value::Unit), &mut |_| {
                Ok(Value::Unit)
            })
        };
        let discard = super::loops::Reduce::Discard;
        if clause.extent <= WRITTEN_OUT {
            let reason = Diagnostic::error("E0390", span, "this loop cannot be written out");
            return self.unrolled(&clause, env, &mut iteration, discard, reason, span);
        }
        let first = Clause { extent: 1, ..clause.clone() };
        let rest = Clause { from: clause.from + 1, extent: clause.extent - 1, ..clause };
        let reason = Diagnostic::error("E0390", span, "this loop cannot be written out");
        self.unrolled(&first, env, &mut iteration, discard, reason, span)?;
        self.one_loop(&rest, &cells, env, &mut iteration, discard, span)
    }

    /// Gives the addresses of a loop that has been written out a value in every iteration. `marks` are the numbers of
    /// pieces before each.
    pub(super) fn complete(&mut self, from: i64, marks: &[usize], span: Span) -> R<()> {
        let (Some(&start), Some(frame)) = (marks.first(), self.frames.last()) else { return Ok(()) };
        let pieces: Vec<(usize, PieceKey, Value<'a>)> = frame
            .pieces
            .iter()
            .enumerate()
            .skip(start)
            .map(|(at, (key, value))| (marks.partition_point(|&m| m <= at) - 1, key.clone(), value.clone()))
            .collect();
        let index = |u: usize| Dim::At(Atom::Int(from + i64::try_from(u).unwrap_or(0)));
        let mut names: Vec<&str> = pieces.iter().map(|p| p.1.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let own: Vec<&(usize, PieceKey, Value<'a>)> = pieces.iter().filter(|p| p.1.name == name).collect();
            let rank = own.iter().map(|p| p.1.dims.len()).min().unwrap_or(0);
            let Some(axis) = (0..rank).find(|&k| own.iter().all(|(u, key, _)| key.dims[k] == index(*u))) else {
                continue;
            };
            let at = |key: &PieceKey, u: usize| {
                let mut key = key.clone();
                key.dims[axis] = index(u);
                key
            };
            let mut seen: Vec<PieceKey> = Vec::new();
            for (_, key, value) in &own {
                let form = at(key, 0);
                if seen.contains(&form) {
                    continue;
                }
                for u in 0..marks.len() {
                    let wanted = at(key, u);
                    if own.iter().any(|p| p.1 == wanted) {
                        continue;
                    }
                    let leaves = self.leaves(value, span)?;
                    let absent: Vec<Atom> = leaves.into_iter().map(|a| self.absent(a)).collect();
                    let stand_in = self.rebuild(value, &mut absent.into_iter());
                    self.put_pieces(vec![wanted], vec![stand_in]);
                }
                seen.push(form);
            }
        }
        Ok(())
    }
}
