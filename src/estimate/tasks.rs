//! The terms of a region that depend on eliminated sites, by the place where they stand: its loops and its conditions.

use super::pull::Task;
use super::tree;
use crate::ir::core::{Atom, Stmt, Var};
use std::collections::HashSet;

/// Terms that depend on eliminated sites, by place.
pub(crate) fn tasks(stmts: &[Stmt], tainted: &HashSet<Var>) -> Vec<Task> {
    let mut out = Vec::new();
    let empty = Task { loops: Vec::new(), conditions: Vec::new(), terms: Vec::new() };
    tasks_in(stmts, tainted, &empty, &mut out);
    out
}

fn tasks_in(stmts: &[Stmt], tainted: &HashSet<Var>, place: &Task, out: &mut Vec<Task>) {
    let controlled = place.conditions.iter().any(|&(c, _)| tree::is_tainted(tainted, c));
    let terms: Vec<Atom> = stmts
        .iter()
        .filter_map(|s| match s {
            Stmt::Term(a) if controlled || tree::is_tainted(tainted, *a) => Some(*a),
            _ => None,
        })
        .collect();
    if !terms.is_empty() {
        out.push(Task { terms, ..place.clone() });
    }
    for stmt in stmts {
        match stmt {
            Stmt::For(f) => {
                let mut inner = place.clone();
                inner.loops.extend(f.indices.iter().map(|&(v, n)| (v, 0, n)));
                if f.indices.iter().all(|x| x.1 > 0) {
                    tasks_in(&f.body.stmts, tainted, &inner, out);
                }
            }
            Stmt::Loop(l) if l.extent > 0 => {
                let mut inner = place.clone();
                inner.loops.push((l.index, 0, l.extent));
                tasks_in(&l.body.stmts, tainted, &inner, out);
            }
            Stmt::If(i) => {
                for (block, wanted) in [(&i.then, true), (&i.otherwise, false)] {
                    let mut inner = place.clone();
                    inner.conditions.push((i.condition, wanted));
                    tasks_in(&block.stmts, tainted, &inner, out);
                }
            }
            _ => {}
        }
    }
}
