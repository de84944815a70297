//! Shots of a strategy's own loop: what is drawn after a site whose continuation is called in a loop at random values
//! (`for i in 0..K { k(x[i]) }`) is drawn anew for each call. Calls written apart, and those at fixed values (over a
//! support, at the nodes of a quadrature), share the draws.
//!
//! A draw is made anew by a further index, the number of the call. It must be so wherever a term reads it, or nowhere:
//! draws that the site itself or a table depends on, and those that are read from arrays made elsewhere, are shared,
//! which is as unbiased.

use super::tree;
use super::{Site, definitions};
use crate::ir::core::{Atom, Stmt, Var};
use crate::specialize::sites::{Call, StrategyForm};
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
pub(crate) fn shoots(form: &StrategyForm, call: &Call) -> bool {
    if call.extents.is_empty() || call.static_args {
        return false;
    }
    let mut draws = Vec::new();
    number(&form.stmts, &mut 0, &mut HashMap::new(), &mut draws);
    let drawn = tree::taint(&form.stmts, draws.into_iter().collect());
    call.args.iter().any(|&a| tree::is_tainted(&drawn, a))
}

fn site_shoots(site: &Site) -> bool {
    site.form.calls.iter().any(|c| shoots(&site.form, c))
}

impl Fresh {
    /// `tabulated`: sites that are weighed by tables, which no call may enter. `held`: draws that must be shared.
    pub(crate) fn of(stmts: &[Stmt], sites: &[Site], tabulated: &[bool], held: &HashSet<Var>) -> Fresh {
        let none = Fresh {
            draws: vec![HashSet::new(); sites.len()],
            dependent: vec![HashSet::new(); sites.len()],
            ..Fresh::default()
        };
        if !sites.iter().any(site_shoots) {
            return none;
        }
        let mut places = HashMap::new();
        let mut draws = Vec::new();
        number(stmts, &mut 0, &mut places, &mut draws);
        let mut fresh = none;
        for (k, site) in sites.iter().enumerate().filter(|(_, s)| site_shoots(s)) {
            let Some(&here) = site.sample.results.first().and_then(|r| places.get(r)) else { continue };
            for &draw in draws.iter().filter(|d| !held.contains(d)) {
                if places.get(&draw).is_none_or(|&p| p < here) {
                    continue;
                }
                let dependent =
                    fresh.by_draw.entry(draw).or_insert_with(|| tree::taint(stmts, HashSet::from([draw]))).clone();
                if form_reads(site, &dependent) {
                    continue;
                }
                if sites.iter().zip(tabulated).any(|(s, &t)| t && form_reads(s, &dependent)) {
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

    /// Whether `inner`'s distribution depends on what the calls of `outer` draw anew: then it is summed over inside them.
    pub(crate) fn inside(&self, outer: usize, inner: &Site) -> bool {
        !self.draws.is_empty() && form_reads(inner, &self.dependent[outer])
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

fn form_reads(site: &Site, vars: &HashSet<Var>) -> bool {
    let calls = site.form.calls.iter().flat_map(|c| c.args.iter().copied().chain(c.primal).chain(c.stopped));
    calls.chain([site.form.constant]).any(|a| tree::is_tainted(vars, a))
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

/// Which sites may be weighed by tables: one call over a support, and all that weighs it depends on none but such.
pub(crate) fn tabulated(stmts: &[Stmt], sites: &[Site], tainted: &HashSet<Var>) -> Vec<bool> {
    let mut fits: Vec<bool> = sites
        .iter()
        .map(|s| {
            s.form.after.is_empty()
                && matches!(&s.form.calls[..], [c] if c.primal.is_some() && c.stopped.is_none() && c.extents.len() == 1
                && !shoots(&s.form, c) && c.args.iter().all(|a| !tree::is_tainted(tainted, *a)))
        })
        .collect();
    if fits.iter().all(|&f| f) {
        return fits;
    }
    let defs = definitions::Definitions::of(stmts);
    let loop_of = |s: &Site| s.sample.results.first().and_then(|&r| defs.loop_around(r));
    loop {
        let others: HashSet<Var> =
            sites.iter().zip(&fits).filter(|(_, f)| !**f).flat_map(|(s, _)| s.sample.results.iter().copied()).collect();
        let reached = tree::taint(stmts, others);
        let mut changed = false;
        for (k, site) in sites.iter().enumerate() {
            let with_other =
                loop_of(site).is_some_and(|l| sites.iter().zip(&fits).any(|(s, f)| !f && loop_of(s) == Some(l)));
            if fits[k] && (form_reads(site, &reached) || with_other) {
                fits[k] = false;
                changed = true;
            }
        }
        if !changed {
            return fits;
        }
    }
}
