//! Shots of a strategy's own loop: what is drawn after a site whose continuation is called in a loop at random values
//! (`for i in 0..K { k(x[i]) }`) is drawn anew for each call. Calls written apart, and those at fixed values (over a
//! support, at the nodes of a quadrature), share the draws.
//!
//! A draw is made anew by a further index, the number of the call. It must be so wherever a term reads it, or nowhere:
//! draws that the coefficients of a site depend on, and those that are read from arrays made elsewhere, are shared,
//! which is as unbiased.

use super::tree;
use super::variable::{Call, Variable};
use crate::ir::core::{Atom, Stmt, Var};
use std::collections::{HashMap, HashSet};

/// Per eliminated site: the draws that its calls make anew, and what depends on them.
#[derive(Default)]
pub(crate) struct Fresh {
    draws: Vec<HashSet<Var>>,
    dependent: Vec<HashSet<Var>>,
    by_draw: HashMap<Var, HashSet<Var>>,
}

/// A call of a site's continuation at hand: its loop indices.
#[derive(Clone, Debug)]
pub(crate) struct Shot {
    pub site: usize,
    pub at: Vec<(Atom, usize)>,
}

/// The call stands in a loop, at values that the strategy draws.
pub fn shoots(stmts: &[Stmt], call: &Call) -> bool {
    if call.extents.is_empty() || call.static_args {
        return false;
    }
    let mut draws = Vec::new();
    number(stmts, &mut 0, &mut HashMap::new(), &mut draws);
    let drawn = tree::taint(stmts, draws.into_iter().collect());
    call.args.iter().any(|&a| tree::is_tainted(&drawn, a))
}

impl Fresh {
    /// `held`: draws that must be shared.
    pub(crate) fn of(stmts: &[Stmt], variables: &[Variable], held: &HashSet<Var>) -> Fresh {
        let mut fresh = Fresh {
            draws: vec![HashSet::new(); variables.len()],
            dependent: vec![HashSet::new(); variables.len()],
            ..Fresh::default()
        };
        if !variables.iter().any(|v| v.shoots) {
            return fresh;
        }
        let mut places = HashMap::new();
        let mut draws = Vec::new();
        number(stmts, &mut 0, &mut places, &mut draws);
        for (k, variable) in variables.iter().enumerate().filter(|(_, v)| v.shoots) {
            let Some(&here) = variable.results.first().and_then(|r| places.get(r)) else { continue };
            for &draw in draws.iter().filter(|d| !held.contains(d)) {
                if places.get(&draw).is_none_or(|&p| p < here) {
                    continue;
                }
                let dependent =
                    fresh.by_draw.entry(draw).or_insert_with(|| tree::taint(stmts, HashSet::from([draw]))).clone();
                if variables.iter().any(|v| form_reads(v, &dependent)) {
                    continue;
                }
                fresh.draws[k].insert(draw);
                fresh.dependent[k].extend(dependent);
            }
        }
        fresh
    }

    /// Indices that a draw gets in the calls at hand.
    pub(crate) fn indices(&self, draw: Var, shots: &[Shot]) -> Vec<(Atom, usize)> {
        shots.iter().filter(|s| self.draws[s.site].contains(&draw)).flat_map(|s| s.at.clone()).collect()
    }

    /// Whether the value of `var` is another one in each of the calls at hand.
    pub(crate) fn varies(&self, var: Var, shots: &[Shot]) -> bool {
        shots.iter().any(|s| self.dependent[s.site].contains(&var))
    }

    /// Draws that `var` depends on, of those that are made anew.
    pub(crate) fn behind(&self, var: Var) -> Vec<Var> {
        self.by_draw.iter().filter(|(_, d)| d.contains(&var)).map(|(&v, _)| v).collect()
    }

    /// A copy of a statement with the draws inside it made anew for the calls at hand.
    pub(crate) fn redrawn(&self, stmt: &Stmt, shots: &[Shot]) -> Stmt {
        let mut stmt = stmt.clone();
        if !shots.is_empty() {
            self.redraw(&mut stmt, shots);
        }
        stmt
    }

    fn redraw(&self, stmt: &mut Stmt, shots: &[Shot]) {
        if let Stmt::Draw(d) = stmt {
            d.index.extend(self.indices(d.result, shots));
        }
        for region in stmt.regions_mut() {
            for inner in &mut region.stmts {
                self.redraw(inner, shots);
            }
        }
    }
}

fn form_reads(variable: &Variable, vars: &HashSet<Var>) -> bool {
    let mut calls = variable.calls.iter().flat_map(|c| c.args.iter().copied().chain(c.primal).chain(c.stopped));
    calls.any(|a| tree::is_tainted(vars, a))
}

/// Numbers draws and samples in the order of the program.
fn number(stmts: &[Stmt], next: &mut usize, places: &mut HashMap<Var, usize>, draws: &mut Vec<Var>) {
    for stmt in stmts {
        *next += 1;
        match stmt {
            Stmt::Draw(d) => {
                places.insert(d.result, *next);
                draws.push(d.result);
            }
            Stmt::Sample(s) => places.extend(s.results.iter().map(|&r| (r, *next))),
            _ => {}
        }
        for region in stmt.regions() {
            number(&region.stmts, next, places, draws);
        }
    }
}
