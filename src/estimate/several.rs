//! Strategies with several primal calls (enumeration and its like): all such sites are eliminated at once, each term that
//! depends on them becomes its mean over the values that the calls pass, weighed by their coefficients:
//! `t(x) → Σ_l (primal[l] · t(args[l]) + stopped[l] · stop(t(args[l])))`, which is exact by linearity.

use super::memory::Keeper;
use super::{Deriver, Site, oneshot};
use crate::diagnostic::Diagnostic;
use crate::eliminate::fresh::shoots;
use crate::eliminate::region::{Asked, expectation};
use crate::eliminate::tree;
use crate::eliminate::variable::{Call, Variable};
use crate::ir::builder::Builder;
use crate::ir::core::{Atom, Collector, Prim, Stmt, Var};
use crate::ir::op::Op;
use std::collections::{HashMap, HashSet};

impl Deriver<'_> {
    pub(crate) fn eliminate_several(
        &mut self,
        mut stmts: Vec<Stmt>,
        sites: Vec<Site>,
    ) -> Result<Vec<Stmt>, Diagnostic> {
        if sites.is_empty() {
            return Ok(stmts);
        }
        let mut constants = Vec::new();
        let mut variables = Vec::new();
        let mut keepers: Vec<(usize, Keeper)> = Vec::new();
        for site in sites {
            let Some(path) = tree::find(&stmts, site.sample.results[0]) else { continue };
            keepers.extend(Keeper::of(&site).map(|k| (variables.len(), k)));
            // What a support holds does not depend on the conditions that the site stands under.
            let (fixed, mut new): (Vec<Stmt>, Vec<Stmt>) = site
                .form
                .stmts
                .iter()
                .cloned()
                .partition(|s| matches!(s, Stmt::Array { prim: Prim::Const { .. }, .. }));
            if site.form.constant != Atom::Real(0.0) {
                new.push(Stmt::Term(site.form.constant));
            }
            let at = path.last().map_or(0, |p| p.0);
            oneshot::region_at(&mut stmts, &path).splice(at..at, new);
            constants.extend(fixed);
            let about = self.sites.describe(site.sample.entry);
            variables.push(Variable {
                types: site.sample.results.iter().map(|&r| self.program.ty(r).clone()).collect(),
                results: site.sample.results,
                shoots: site.form.calls.iter().any(|c| shoots(&site.form.stmts, c)),
                calls: site.form.calls,
                address: about.address,
                span: about.span,
            });
        }
        stmts.splice(0..0, constants);
        self.check_keepers(&stmts, &variables, &keepers)?;
        let zero = &self.zero_terms;
        let counts = |a: Atom| !a.var().is_some_and(|v| zero.contains(&v));
        let kept: Vec<usize> = keepers.iter().map(|k| k.0).collect();
        let asked = Asked { variables: &kept, counts: &counts };
        let mut means = expectation(&mut self.program, stmts, &variables, &asked).map_err(|d| *d)?;
        let mut end = Vec::new();
        for ((variable, keeper), &all) in keepers.iter().zip(&means.results.clone()) {
            let Some(path) = tree::find(&means.stmts, keeper.values[0]) else { continue };
            let extents: Vec<usize> = tree::loops_around(&means.stmts, &path).iter().map(|l| l.extent).collect();
            let results = self.results_by_call(&mut end, keeper, &variables[*variable].calls, &extents, all);
            self.afterwards(&mut means.stmts, &mut end, keeper, &path, &results)?;
        }
        let mut stmts = means.in_place();
        stmts.extend(end);
        Ok(stmts)
    }

    /// A site with memory depends on none of the sites that are eliminated.
    fn check_keepers(
        &self,
        stmts: &[Stmt],
        variables: &[Variable],
        keepers: &[(usize, Keeper)],
    ) -> Result<(), Diagnostic> {
        let seeds: HashSet<Var> = variables.iter().flat_map(|v| v.results.iter().copied()).collect();
        let tainted = tree::taint(stmts, seeds);
        for (_, keeper) in keepers {
            if keeper.reads().iter().any(|v| tainted.contains(v)) {
                let about = self.sites.describe(keeper.entry);
                return Err(Diagnostic::error(
                    "E0290",
                    about.span,
                    format!("`{}` keeps a memory and depends on sites whose strategies call the rest several times: this is not supported yet", about.address),
                )
                .fix("use a strategy without memory for it, or a one-shot strategy for those"));
            }
        }
        Ok(())
    }

    /// Results by call, each an array over the site's loops and the call's own, of `all` over loops and positions.
    fn results_by_call(
        &mut self,
        out: &mut Vec<Stmt>,
        keeper: &Keeper,
        calls: &[Call],
        extents: &[usize],
        all: Atom,
    ) -> HashMap<Var, Atom> {
        let mut results = HashMap::new();
        for &(call, placeholder) in &keeper.form.results {
            let before: usize = calls[..call].iter().map(Call::positions).sum();
            let mut shape = extents.to_vec();
            shape.extend(&calls[call].extents);
            let own = &calls[call].extents;
            let mut b = Builder::new(&mut self.program);
            let read = |b: &mut Builder<'_>, at: &[Atom]| {
                let mut position = Atom::Int(0);
                for (&i, &n) in at[extents.len()..].iter().zip(own) {
                    let scaled = b.op(Op::IMul, &[position, Atom::Int(i64::try_from(n).unwrap_or(1))]);
                    position = b.op(Op::IAdd, &[scaled, i]);
                }
                position = b.op(Op::IAdd, &[position, Atom::Int(i64::try_from(before).unwrap_or(0))]);
                let mut index = at[..extents.len()].to_vec();
                index.push(position);
                b.read(all, &index)
            };
            let result = if shape.is_empty() {
                read(&mut b, &[])
            } else {
                b.for_(&shape, vec![Collector::Collect], |b, at| vec![read(b, at)])[0]
            };
            out.append(&mut b.stmts);
            results.insert(placeholder, result);
        }
        results
    }
}
