//! Derivation: Core with sites to Core. Each site is replaced by what its strategy's program says, applied to the terms
//! that depend on it; terms that do not are untouched, which is all of Rao–Blackwellisation.
//!
//! A strategy in normal form is `constant + Σ (primal · k(x) + stopped · stop(k(x')))`, and the continuation is a sum of
//! terms, so by linearity each term is treated on its own:
//! * **one shot** ([`oneshot`]): exactly one primal call, with coefficient 1: the sample is replaced by the value in
//!   place (the whole continuation is then evaluated there), and each dependent term `t` gets companions
//!   `stop(t) · coefficient`;
//! * **several primal calls** ([`several`]): each dependent term becomes its expectation over the elements it reads, by
//!   variable elimination ([`crate::eliminate`]).
//!
//! Before: `x = sample#3 bernoulli(p) by enum; term f(x)`. After: `term Σ_v prob(p, v) · f(v)`.
//!
//! Invariants: counters of draws are copied, never changed; a term that is added has the same mean whether or not the
//! others are there; nothing is moved out of a term.

mod delegate;
pub mod dependence;
pub mod factor;
mod memory;
pub mod oneshot;
mod several;

#[cfg(test)]
mod tests;

use crate::diagnostic::Diagnostic;
use crate::eliminate::{terms, tree};
use crate::ir::core::{Atom, Block, Program, Role, Sample, Stmt, Var};
use crate::specialize::sites::{Sites, StrategyForm};
use std::collections::HashSet;

/// Name of the output that tuned parameters minimise.
pub const LEARN: &str = "learn";

/// State of one derivation.
pub(crate) struct Deriver<'a> {
    pub program: Program,
    pub sites: &'a mut dyn Sites,
    /// Terms whose value is identically zero (they carry derivatives only).
    pub zero_terms: HashSet<Var>,
    /// What sites remember and learn.
    pub remembered: Vec<memory::Remembered>,
}

/// A site whose strategy has been evaluated.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub sample: Sample,
    pub form: StrategyForm,
}

/// Eliminates every site of `program`. The result's first output is the value of the objective: the sum of all terms.
pub fn derive(program: Program, sites: &mut dyn Sites) -> Result<Program, Vec<Diagnostic>> {
    let mut d = Deriver { program, sites, zero_terms: HashSet::new(), remembered: Vec::new() };
    let step = std::mem::take(&mut d.program.step);
    let stmts = d.region(step.stmts).map_err(|e| vec![e])?;
    let (mut stmts, total) = d.total(stmts, &|_, _| true);
    let (learn, next) = d.memories(&mut stmts).map_err(|e| vec![e])?;
    let mut results = vec![total];
    results.extend(step.results);
    if d.program.outputs.len() < results.len() {
        d.program.outputs.insert(0, "value".to_owned());
    }
    if d.program.inputs_of(Role::Tuned).next().is_some() {
        results.push(learn);
        d.program.outputs.push(LEARN.to_owned());
    }
    for (name, atom) in next {
        results.push(atom);
        d.program.outputs.push(name);
    }
    d.program.step = Block { stmts, results };
    Ok(d.program)
}

impl Deriver<'_> {
    /// Eliminates the sites of a region whose objective is the sum of its terms. Where the joint values of sites would be too
    /// many, one that was not told its strategy gets another one.
    fn region(&mut self, stmts: Vec<Stmt>) -> Result<Vec<Stmt>, Diagnostic> {
        loop {
            let remembered = self.remembered.len();
            match self.eliminated(stmts.clone()) {
                Err(d) if d.code == "E0314" && self.choose_others(&stmts, &d) => self.remembered.truncate(remembered),
                done => return done,
            }
        }
    }

    /// The first of the sites that an error names which another strategy serves gets that one.
    fn choose_others(&mut self, stmts: &[Stmt], error: &Diagnostic) -> bool {
        let mut entries = Vec::new();
        tree::each_sample(stmts, &mut |s| entries.push(s.entry));
        for named in error.primary.iter().chain(&error.secondary) {
            let here: Vec<u32> =
                entries.iter().copied().filter(|&e| self.sites.describe(e).span == named.span).collect();
            // Every sample of the statement gets it.
            let changed = here.into_iter().filter(|&e| self.sites.instead(e)).count();
            if changed > 0 {
                return true;
            }
        }
        false
    }

    fn eliminated(&mut self, mut stmts: Vec<Stmt>) -> Result<Vec<Stmt>, Diagnostic> {
        self.closed(&mut stmts)?;
        let sites = self.evaluate_strategies(&stmts)?;
        if sites.is_empty() {
            return Ok(stmts);
        }
        let (one_shot, mut several): (Vec<Site>, Vec<Site>) =
            sites.into_iter().partition(|s| oneshot::is_one_shot(&s.form));
        // What a site remembers is made of values of its terms: where these are sums over other sites' values, so is it.
        let values = |sites: &[Site]| sites.iter().flat_map(|s| s.sample.results.iter().copied()).collect();
        let summed = tree::tainted_terms(&stmts, &tree::taint(&stmts, values(&several)));
        let (joint, one_shot): (Vec<Site>, Vec<Site>) = one_shot.into_iter().partition(|s| {
            !s.form.after.is_empty()
                && !tree::has_samples(&s.form.stmts)
                && !tree::tainted_terms(&stmts, &tree::taint(&stmts, values(std::slice::from_ref(s))))
                    .is_disjoint(&summed)
        });
        several.extend(joint);
        let stmts = self.eliminate_one_shot(stmts, one_shot, &mut several)?;
        self.eliminate_several(stmts, several)
    }

    /// Regions on their own: a `for`, `loop` or `if` none of whose results depends on what is sampled inside.
    fn closed(&mut self, stmts: &mut [Stmt]) -> Result<(), Diagnostic> {
        for stmt in stmts {
            if !tree::has_sample(stmt) || matches!(stmt, Stmt::Sample(_)) {
                continue;
            }
            let closed = tree::is_closed(stmt);
            for region in stmt.regions_mut() {
                if closed {
                    region.stmts = self.region(std::mem::take(&mut region.stmts))?;
                } else {
                    self.closed(&mut region.stmts)?;
                }
            }
        }
        Ok(())
    }

    fn evaluate_strategies(&mut self, stmts: &[Stmt]) -> Result<Vec<Site>, Diagnostic> {
        let mut samples = Vec::new();
        tree::each_sample(stmts, &mut |s| samples.push(s.clone()));
        let mut sites = Vec::new();
        for sample in samples {
            let form = self.sites.strategy(&mut self.program, &sample)?;
            let mut site = Site { sample, form };
            if !oneshot::is_one_shot(&site.form) {
                self.inline_delegated(&mut site)?;
            }
            sites.push(site);
        }
        Ok(sites)
    }

    /// The sum of the terms that `keep` accepts (given the term and whether its value is known to be zero), and the
    /// statements without any term.
    pub(crate) fn total(&mut self, stmts: Vec<Stmt>, keep: &dyn Fn(Atom, bool) -> bool) -> (Vec<Stmt>, Atom) {
        let zero = &self.zero_terms;
        terms::total(&mut self.program, stmts, &|a| keep(a, a.var().is_some_and(|v| zero.contains(&v))))
    }

    pub(crate) fn add_all(&mut self, stmts: &mut Vec<Stmt>, parts: Vec<Atom>) -> Atom {
        terms::add_all(&mut self.program, stmts, parts)
    }

    /// Adds one operation to `stmts`.
    pub(crate) fn emit(&mut self, stmts: &mut Vec<Stmt>, op: crate::ir::op::Op, args: &[Atom]) -> Atom {
        let mut builder = crate::ir::builder::Builder::new(&mut self.program);
        let result = builder.op(op, args);
        stmts.append(&mut builder.stmts);
        result
    }
}
