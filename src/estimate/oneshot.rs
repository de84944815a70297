//! One-shot strategies: `k(x) + Σ stopped · stop(k(x')) + constant`. The sample becomes `x` in place; then each term `t`
//! that depends on the site gets a companion term.
//!
//! * `x'` is `x` itself (score functions): `stop(t) · c`, with `c` the coefficients of the elements that `t` depends on:
//!   one element, a prefix sum along a `loop`, or all. In a loop of T sites that is O(T): no cost-to-go is formed.
//! * `x'` is another value (measure-valued derivatives): where `t` reads one element, `stop(t at x') · c`, all elements
//!   perturbed together; else, for each element, the rest is run again with that element replaced (`O(N)` runs). Runs are
//!   for the value only: samples in them are plain draws at the same counters as in the base run.

use super::dependence::{Analysis, At, Dependence, disjoint};
use super::factor::Factor;
use super::memory::Keeper;
use super::{Deriver, Site};
use crate::diagnostic::Diagnostic;
use crate::eliminate::overrides::Overrides;
use crate::eliminate::pull::{Pull, Task, apply_export};
use crate::eliminate::tree::{self, Around, find_term};
use crate::ir::builder::Builder;
use crate::ir::core::{Atom, Collector, For, Program, Sample, Stmt, Type, Var};
use crate::ir::op::Op;
use crate::ir::walk::{Substitution, copy_stmt, subst};
use crate::specialize::sites::StrategyForm;
use std::collections::{HashMap, HashSet};

/// Exactly one primal call, outside loops, with coefficient one.
pub(crate) fn is_one_shot(form: &StrategyForm) -> bool {
    let mut primal = form.calls.iter().enumerate().filter(|(_, c)| c.primal.is_some());
    let one = matches!((primal.next(), primal.next()), (Some((_, c)), None)
        if c.extents.is_empty() && c.primal == Some(Atom::Real(1.0)));
    // What it remembers must be made of results of the run itself.
    one && form.results.iter().all(|&(k, _)| form.calls[k].primal.is_some())
}

/// A site whose sample has been replaced, with companions still to be made.
struct Replaced {
    /// The sample's values, fresh variables that only the continuation reads.
    values: Vec<Var>,
    stopped: Vec<Stopped>,
    entry: u32,
}

struct Stopped {
    /// `None`: the base run's own value.
    args: Option<Vec<Atom>>,
    extents: Vec<usize>,
    coefficient: Var,
}

impl Deriver<'_> {
    pub(crate) fn eliminate_one_shot(
        &mut self,
        mut stmts: Vec<Stmt>,
        sites: Vec<Site>,
        several: &mut Vec<Site>,
    ) -> Result<Vec<Stmt>, Diagnostic> {
        let mut replaced = Vec::new();
        let mut keepers = Vec::new();
        let mut queue: std::collections::VecDeque<Site> = sites.into();
        while let Some(site) = queue.pop_front() {
            let Some(path) = tree::find(&stmts, first_result(&site)) else { continue };
            let delegated = tree::has_samples(&site.form.stmts);
            let new = if delegated { self.evaluate_strategies(&site.form.stmts)? } else { Vec::new() };
            keepers.extend(Keeper::of(&site));
            let (done, known) = self.replace(&mut stmts, &path, site)?;
            replaced.extend(done);
            // Forms of sites further on were evaluated before, on the sample itself.
            for other in queue.iter_mut().chain(several.iter_mut()) {
                substitute_form(&mut other.form, &known);
            }
            // What the strategy samples itself stands where the site stood, with the same rest.
            for inner in new.into_iter().rev() {
                if is_one_shot(&inner.form) {
                    queue.push_front(inner);
                } else {
                    several.push(inner);
                }
            }
        }
        let mut order = Vec::new();
        tree::each_sample(&stmts, &mut |s| order.extend(s.results.first().copied()));
        several.sort_by_key(|s| order.iter().position(|&r| r == first_result(s)));
        let several: &[Site] = several;
        for keeper in &keepers {
            self.name_terms(&mut stmts, &mut HashSet::new());
            self.remember(&mut stmts, keeper)?;
        }
        for site in replaced.into_iter().rev() {
            for stopped in &site.stopped {
                self.name_terms(&mut stmts, &mut HashSet::new());
                stmts = self.companions(stmts, &site, stopped, several)?;
            }
        }
        Ok(stmts)
    }

    /// Puts the form's statements where the sample stood; returns what companions need, if there are any, and what stands for
    /// the sample's names where they are gone.
    fn replace(
        &mut self,
        stmts: &mut Vec<Stmt>,
        path: &[(usize, usize)],
        site: Site,
    ) -> Result<(Option<Replaced>, Substitution), Diagnostic> {
        let Site { sample, form } = site;
        let mut new = form.stmts;
        let mut known = Substitution::default();
        let Some(primal) = form.calls.iter().position(|c| c.primal.is_some()) else { return Ok((None, known)) };
        let base = form.calls[primal].args.clone();
        let mut stopped = Vec::new();
        for (i, call) in form.calls.iter().enumerate() {
            let Some(coefficient) = call.stopped else { continue };
            let coefficient = match coefficient {
                Atom::Var(v) => v,
                literal => match self.emit(&mut new, Op::Add, &[literal, Atom::Real(0.0)]) {
                    Atom::Var(v) => v,
                    _ => continue,
                },
            };
            let args = (i != primal && call.args != base).then(|| call.args.clone());
            stopped.push(Stopped { args, extents: call.extents.clone(), coefficient });
        }
        let values = if stopped.is_empty() && form.after.is_empty() {
            known = sample.results.iter().copied().zip(base.iter().copied()).collect();
            // Everywhere below the top list, so that what enclosing statements yield is included.
            substitute(stmts, &known);
            Vec::new()
        } else {
            // The values keep the sample's names, so that only the continuation reads them.
            for (&result, &value) in sample.results.iter().zip(&base) {
                new.push(self.named_copy(result, value));
            }
            sample.results.clone()
        };
        if form.constant != Atom::Real(0.0) {
            if value_is_zero(&new, form.constant) {
                self.zero_terms.extend(form.constant.var());
            }
            new.push(Stmt::Term(form.constant));
        }
        let list = region_at(stmts, path);
        let at = path.last().map_or(0, |p| p.0);
        list.splice(at..=at, new);
        Ok(((!stopped.is_empty()).then_some(Replaced { values, stopped, entry: sample.entry }), known))
    }

    /// Gives each term a variable of its own, defined in the list it stands in: a literal in a branch, or a variable from
    /// outside it, is then known to depend on the branch's condition, and no two terms are taken for each other.
    fn name_terms(&mut self, stmts: &mut Vec<Stmt>, seen: &mut HashSet<Var>) {
        let mut own: HashSet<Var> = HashSet::new();
        let mut out = Vec::with_capacity(stmts.len());
        for mut stmt in std::mem::take(stmts) {
            if let Stmt::Term(atom) = &mut stmt {
                if !atom.var().is_some_and(|v| own.contains(&v) && seen.insert(v)) {
                    let name = self.program.new_var(Type::REAL, None);
                    if atom.var().is_some_and(|v| self.zero_terms.contains(&v)) {
                        self.zero_terms.insert(name);
                    }
                    seen.insert(name);
                    out.push(self.named_copy(name, *atom));
                    *atom = name.into();
                }
            } else {
                own.extend(stmt.results());
                for region in stmt.regions_mut() {
                    self.name_terms(&mut region.stmts, seen);
                }
            }
            out.push(stmt);
        }
        *stmts = out;
    }

    /// `result = value`, in an operation that the optimiser removes.
    pub(crate) fn named_copy(&mut self, result: Var, value: Atom) -> Stmt {
        let ty = self.program.ty(result).clone();
        if ty.is_scalar() {
            return Stmt::Op { result, op: Op::Select, args: vec![Atom::Bool(true), value, value] };
        }
        let indices: Vec<(Var, usize)> = ty.shape.iter().map(|&n| (self.program.new_var(Type::INT, None), n)).collect();
        let mut args = vec![value];
        args.extend(indices.iter().map(|&(v, _)| Atom::Var(v)));
        let element = self.program.new_var(Type { scalar: ty.scalar, shape: Vec::new() }, None);
        Stmt::For(For {
            results: vec![result],
            indices,
            body: crate::ir::core::Block {
                stmts: vec![Stmt::Op { result: element, op: Op::Read, args }],
                results: vec![element.into()],
            },
            collectors: vec![Collector::Collect],
            strip: None,
        })
    }

    /// Companion terms of one stopped call of one site.
    fn companions(
        &mut self,
        mut stmts: Vec<Stmt>,
        site: &Replaced,
        stopped: &Stopped,
        several: &[Site],
    ) -> Result<Vec<Stmt>, Diagnostic> {
        let Some(path) = tree::find(&stmts, site.values[0]) else { return Ok(stmts) };
        let loops = tree::loops_around(&stmts, &path);
        let tainted = tree::taint(&stmts, site.values.iter().copied().collect());
        let mut operations = HashMap::new();
        tree::operations(&stmts, &mut operations);
        let terms = Analysis::run(&self.program, &stmts, &site.values, &loops, &operations, &tainted);
        let terms: Vec<(Atom, Dependence)> = terms
            .into_iter()
            .filter(|t| !t.atom.var().is_some_and(|v| self.zero_terms.contains(&v)))
            .map(|t| (t.atom, t.on))
            .collect();
        if terms.is_empty() {
            return Ok(stmts);
        }
        if let Some(args) = &stopped.args {
            return self.value_only(stmts, site, stopped, args, &path, &loops, &tainted, terms, several);
        }
        let Some(home) = tree::find(&stmts, stopped.coefficient) else { return Ok(stmts) };
        let mut factor = Factor::new(&loops);
        let mut outside: Vec<(Vec<Around>, Atom, Atom, Dependence)> = Vec::new();
        let mut pending: Vec<(Atom, Dependence)> = Vec::new();
        for (atom, on) in terms {
            let on = disjoint(&on, loops.len());
            let own = on.len() == 1
                && on[0]
                    .iter()
                    .zip(&loops)
                    .all(|(p, l)| *p == At::Index { base: Some(l.index), offset: 0, up_to: false });
            let Some(term_path) = find_term(&stmts, atom) else { continue };
            if own && encloses(&home, &term_path) {
                self.insert_companion(&mut stmts, &term_path, atom, stopped.coefficient.into());
            } else if term_path.first().map(|p| p.0) == home.first().map(|p| p.0) {
                // In the same loop, but not of its own iteration: made visible and combined after it.
                let around = tree::loops_around(&stmts, &term_path);
                let value = tree::export(&mut self.program, &mut stmts, &term_path, atom);
                outside.push((around, value, atom, on));
            } else {
                pending.push((atom, on));
            }
        }
        if outside.is_empty() && pending.is_empty() {
            return Ok(stmts);
        }
        let array = tree::export(&mut self.program, &mut stmts, &home, stopped.coefficient.into());
        factor.array = Some(array);
        let mut after_home = Vec::new();
        for (_, on) in pending.iter().map(|(a, on)| (a, on)).chain(outside.iter().map(|o| (&o.2, &o.3))) {
            factor.prepare(self, &mut after_home, on);
        }
        for (atom, on) in pending {
            let Some(term_path) = find_term(&stmts, atom) else { continue };
            let mut new = Vec::new();
            let around = tree::loops_around(&stmts, &term_path);
            let c = factor.at(self, &mut new, &on, &identity(&around));
            let held = self.emit(&mut new, Op::Stop, &[atom]);
            let product = self.emit(&mut new, Op::Mul, &[held, c]);
            self.zero_terms.extend(product.var());
            new.push(Stmt::Term(product));
            let at = term_path.last().map_or(0, |p| p.0);
            let list = region_at(&mut stmts, &term_path);
            list.splice(at + 1..at + 1, new);
        }
        let place = home.first().map_or(0, |p| p.0) + 1;
        let mut tail = Vec::new();
        for (around, value, _, on) in outside {
            let extents: Vec<usize> = around.iter().map(|a| a.extent).collect();
            let indices: Vec<(Var, usize)> =
                extents.iter().map(|&n| (self.program.new_var(Type::INT, None), n)).collect();
            let atoms: Vec<Atom> = indices.iter().map(|&(v, _)| v.into()).collect();
            let map: HashMap<Var, Atom> = around.iter().map(|a| a.index).zip(atoms.iter().copied()).collect();
            let mut body = Vec::new();
            let t = if atoms.is_empty() {
                value
            } else {
                let mut args = vec![value];
                args.extend(&atoms);
                self.emit(&mut body, Op::Read, &args)
            };
            let c = factor.at(self, &mut body, &on, &map);
            let held = self.emit(&mut body, Op::Stop, &[t]);
            let product = self.emit(&mut body, Op::Mul, &[held, c]);
            self.zero_terms.extend(product.var());
            body.push(Stmt::Term(product));
            if indices.is_empty() {
                tail.append(&mut body);
            } else {
                let body = crate::ir::core::Block { stmts: body, results: Vec::new() };
                tail.push(Stmt::For(For { results: Vec::new(), indices, body, collectors: Vec::new(), strip: None }));
            }
        }
        after_home.append(&mut tail);
        stmts.splice(place..place, after_home);
        Ok(stmts)
    }

    /// `stop(t) · c` right after term `t`.
    fn insert_companion(&mut self, stmts: &mut Vec<Stmt>, path: &[(usize, usize)], t: Atom, c: Atom) {
        let mut new = Vec::new();
        let held = self.emit(&mut new, Op::Stop, &[t]);
        let product = self.emit(&mut new, Op::Mul, &[held, c]);
        self.zero_terms.extend(product.var());
        new.push(Stmt::Term(product));
        let at = path.last().map_or(0, |p| p.0);
        region_at(stmts, path).splice(at + 1..at + 1, new);
    }

    /// Companions at another value than the base run's.
    #[expect(clippy::too_many_arguments, reason = "what the analysis found, handed on whole")]
    fn value_only(
        &mut self,
        mut stmts: Vec<Stmt>,
        site: &Replaced,
        stopped: &Stopped,
        args: &[Atom],
        path: &[(usize, usize)],
        loops: &[Around],
        tainted: &HashSet<Var>,
        terms: Vec<(Atom, Dependence)>,
        several: &[Site],
    ) -> Result<Vec<Stmt>, Diagnostic> {
        let about = self.sites.describe(site.entry);
        if !stopped.extents.is_empty() {
            return Err(Diagnostic::error(
                "E0312",
                about.span,
                "a strategy that calls `stop(k(…))` in a loop is not supported here",
            )
            .note(format!(
                "`{}` at `{}` evaluates its continuation in a loop of its own",
                about.strategy, about.address
            ))
            .fix("write the calls out one by one"));
        }
        if loops.is_empty() {
            return self.rerun_straight(stmts, site, stopped, args, path, tainted);
        }
        let single =
            |on: &Dependence| on.len() == 1 && on[0].iter().all(|p| matches!(p, At::Index { up_to: false, .. }));
        if terms.iter().all(|(_, on)| single(on)) {
            let overrides =
                Overrides { values: site.values.clone(), args: args.to_vec(), coefficient: stopped.coefficient.into() };
            let tasks: Vec<Task> = terms.iter().filter_map(|&(atom, _)| Task::of(&stmts, atom)).collect();
            let sites = &mut *self.sites;
            let mut redraw = |program: &mut Program, sample: &Sample| sites.plain_draw(program, sample);
            let mut pull = Pull::overriding(&mut self.program, &stmts, overrides, tainted.clone(), &mut redraw);
            let (new, zero) = pull.run_overrides(tasks)?;
            let exports = std::mem::take(&mut pull.exports);
            drop(pull);
            self.zero_terms.extend(zero);
            for (var, result) in exports {
                apply_export(&mut self.program, &mut stmts, var, result);
            }
            stmts.extend(new);
            return Ok(stmts);
        }
        // Run the rest again for each element.
        let first = path[0].0;
        for other in several {
            if tree::find(&stmts[first..=first], first_result(other)).is_some() {
                return Err(Diagnostic::error(
                    "E0312",
                    about.span,
                    format!(
                        "`{}` by `{}` stands in a loop with sites that are enumerated",
                        about.address, about.strategy
                    ),
                )
                .note("its alternative runs would need the enumerated values of earlier iterations")
                .fix("use a score-function strategy for one of them, or enumerate both"));
            }
        }
        let exported: Vec<Atom> = args.iter().map(|&a| tree::export(&mut self.program, &mut stmts, path, a)).collect();
        let home = tree::find(&stmts, stopped.coefficient).unwrap_or_default();
        let coefficient = tree::export(&mut self.program, &mut stmts, &home, stopped.coefficient.into());
        let indices: Vec<(Var, usize)> =
            loops.iter().map(|l| (self.program.new_var(Type::INT, None), l.extent)).collect();
        let atoms: Vec<Atom> = indices.iter().map(|&(v, _)| v.into()).collect();
        let mut body = Vec::new();
        let chosen: Vec<Atom> = exported
            .iter()
            .zip(&site.values)
            .map(|(&array, &value)| {
                let shape = self.program.ty(value).shape.clone();
                self.read_whole(&mut body, array, &atoms, &shape)
            })
            .collect();
        let mut map = Substitution::default();
        let wanted: HashSet<Atom> = terms.iter().map(|t| t.0).collect();
        let copied: Vec<Stmt> = stmts[first..].to_vec();
        let mut rerun = Vec::new();
        for (i, stmt) in copied.iter().enumerate() {
            let touched = i == 0 || stmt_is_tainted(stmt, tainted);
            if !touched {
                continue;
            }
            rerun.push(self.copy_for_value(stmt, &mut map, &site.values, &chosen, loops, &atoms)?);
        }
        let wanted: HashSet<Atom> = wanted.iter().map(|&a| subst(&map, a)).collect();
        let (rerun, cost) = self.total(rerun, &|a, zero| !zero && wanted.contains(&a));
        body.extend(rerun);
        let mut args = vec![coefficient];
        args.extend(&atoms);
        let c = self.emit(&mut body, Op::Read, &args);
        let held = self.emit(&mut body, Op::Stop, &[cost]);
        let product = self.emit(&mut body, Op::Mul, &[held, c]);
        self.zero_terms.extend(product.var());
        body.push(Stmt::Term(product));
        let body = crate::ir::core::Block { stmts: body, results: Vec::new() };
        stmts.push(Stmt::For(For { results: Vec::new(), indices, body, collectors: Vec::new(), strip: None }));
        Ok(stmts)
    }

    /// A read of a whole element (itself an array if `shape` is not empty).
    pub(crate) fn read_whole(&mut self, out: &mut Vec<Stmt>, array: Atom, at: &[Atom], shape: &[usize]) -> Atom {
        let mut builder = Builder::new(&mut self.program);
        let result = if shape.is_empty() {
            builder.read(array, at)
        } else {
            let prefix = at.to_vec();
            builder.for_(shape, vec![Collector::Collect], |b, inner| {
                let mut indices = prefix.clone();
                indices.extend_from_slice(inner);
                vec![b.read(array, &indices)]
            })[0]
        };
        out.append(&mut builder.stmts);
        result
    }

    /// A copy in which the site's values at element `at` are `chosen`, and samples are plain draws.
    fn copy_for_value(
        &mut self,
        stmt: &Stmt,
        map: &mut Substitution,
        values: &[Var],
        chosen: &[Atom],
        loops: &[Around],
        at: &[Atom],
    ) -> Result<Stmt, Diagnostic> {
        let prepared = self.prepare_for_value(stmt.clone(), values, chosen, loops, at, &HashMap::new())?;
        let Some(prepared) = prepared.into_iter().next() else { return Ok(stmt.clone()) };
        Ok(copy_stmt(&mut self.program, &prepared, map))
    }

    fn prepare_for_value(
        &mut self,
        mut stmt: Stmt,
        values: &[Var],
        chosen: &[Atom],
        loops: &[Around],
        at: &[Atom],
        kept: &HashMap<Var, Atom>,
    ) -> Result<Vec<Stmt>, Diagnostic> {
        if let Stmt::Sample(s) = &stmt
            && let Some(values) = s.results.iter().map(|r| kept.get(r).copied()).collect::<Option<Vec<_>>>()
        {
            // Sampled before the site, not by a one-shot strategy: the base run's value, which is still to be eliminated.
            return Ok(s.results.iter().zip(values).map(|(&r, v)| self.named_copy(r, v)).collect());
        }
        if let Stmt::Sample(s) = &stmt {
            let (mut new, drawn) = self.sites.plain_draw(&mut self.program, s)?;
            for (&result, &value) in s.results.iter().zip(&drawn) {
                new.push(self.named_copy(result, value));
            }
            return Ok(new);
        }
        if let Some(k) = values.iter().position(|v| stmt.results().contains(v)) {
            // x = select(here, chosen, own)
            let mut out = Vec::new();
            let mut here = Atom::Bool(true);
            for (l, &a) in loops.iter().zip(at) {
                let same = self.emit(&mut out, Op::IEq, &[l.index.into(), a]);
                here = if here == Atom::Bool(true) { same } else { self.emit(&mut out, Op::And, &[here, same]) };
            }
            match &mut stmt {
                Stmt::Op { args, .. } => {
                    *args = vec![here, chosen[k], args[2]];
                    out.push(stmt);
                }
                Stmt::For(f) => {
                    // The array copy of `named_copy`: its body's one read becomes a select.
                    let Some(Stmt::Op { args, result, .. }) = f.body.stmts.first().cloned() else {
                        return Ok(vec![stmt]);
                    };
                    let mut other_args = args.clone();
                    other_args[0] = chosen[k];
                    let other = self.emit(&mut f.body.stmts, Op::Read, &other_args);
                    let picked = self.emit(&mut f.body.stmts, Op::Select, &[here, other, result.into()]);
                    f.body.results = vec![picked];
                    out.push(stmt);
                }
                _ => out.push(stmt),
            }
            return Ok(out);
        }
        for region in stmt.regions_mut() {
            let mut new = Vec::new();
            for inner in std::mem::take(&mut region.stmts) {
                new.extend(self.prepare_for_value(inner, values, chosen, loops, at, kept)?);
            }
            region.stmts = new;
        }
        Ok(vec![stmt])
    }

    /// A site outside loops: the dependent statements after it once more, with the other value.
    fn rerun_straight(
        &mut self,
        mut stmts: Vec<Stmt>,
        site: &Replaced,
        stopped: &Stopped,
        args: &[Atom],
        path: &[(usize, usize)],
        tainted: &HashSet<Var>,
    ) -> Result<Vec<Stmt>, Diagnostic> {
        let mut map: Substitution = site.values.iter().copied().zip(args.iter().copied()).collect();
        let inside_branch = path.len() > 1;
        let home = tree::find(&stmts, stopped.coefficient).unwrap_or_default();
        let coefficient = tree::export(&mut self.program, &mut stmts, &home, stopped.coefficient.into());
        if inside_branch {
            // Sampled under a condition: the branch's own later statements see the other value too.
            let exported: Vec<Atom> =
                args.iter().map(|&a| tree::export(&mut self.program, &mut stmts, path, a)).collect();
            let first = path[0].0;
            let mut before = Vec::new();
            tree::each_sample(&stmts[first..], &mut |s| before.extend(s.results.iter().copied()));
            let mut kept = HashMap::new();
            for var in before.into_iter().filter(|v| !tainted.contains(v)) {
                let Some(place) = tree::find(&stmts, var) else { continue };
                kept.insert(var, tree::export(&mut self.program, &mut stmts, &place, var.into()));
            }
            let mut body = Vec::new();
            for stmt in stmts[first..].to_vec().iter().filter(|s| stmt_is_tainted(s, tainted)) {
                let prepared = self.prepare_for_value(stmt.clone(), &site.values, &exported, &[], &[], &kept)?;
                for p in prepared {
                    body.push(copy_stmt(&mut self.program, &p, &mut map));
                }
            }
            self.companions_in(&mut body, tainted, &map, coefficient);
            stmts.extend(body);
            return Ok(stmts);
        }
        let first = path[0].0 + 1;
        let mut body = Vec::new();
        for stmt in stmts[first..].to_vec().iter().filter(|s| stmt_is_tainted(s, tainted)) {
            let prepared = self.prepare_for_value(stmt.clone(), &[], &[], &[], &[], &HashMap::new())?;
            for p in prepared {
                body.push(copy_stmt(&mut self.program, &p, &mut map));
            }
        }
        self.companions_in(&mut body, tainted, &map, coefficient);
        stmts.extend(body);
        Ok(stmts)
    }

    /// Turns copied terms that depend on the site into `stop(t) · c`, and drops the others.
    fn companions_in(&mut self, stmts: &mut Vec<Stmt>, tainted: &HashSet<Var>, map: &Substitution, c: Atom) {
        let copies: HashSet<Atom> = tainted.iter().filter_map(|v| map.get(v)).copied().collect();
        let zero: HashSet<Atom> = self.zero_terms.iter().filter_map(|v| map.get(v)).copied().collect();
        self.companions_rec(stmts, &copies, &zero, c);
    }

    fn companions_rec(&mut self, stmts: &mut Vec<Stmt>, copies: &HashSet<Atom>, zero: &HashSet<Atom>, c: Atom) {
        let mut out = Vec::with_capacity(stmts.len());
        for mut stmt in std::mem::take(stmts) {
            if let Stmt::Term(t) = stmt {
                if copies.contains(&t) && !zero.contains(&t) {
                    let held = self.emit(&mut out, Op::Stop, &[t]);
                    let product = self.emit(&mut out, Op::Mul, &[held, c]);
                    self.zero_terms.extend(product.var());
                    out.push(Stmt::Term(product));
                }
                continue;
            }
            for region in stmt.regions_mut() {
                self.companions_rec(&mut region.stmts, copies, zero, c);
            }
            out.push(stmt);
        }
        *stmts = out;
    }
}

fn identity(around: &[Around]) -> HashMap<Var, Atom> {
    around.iter().map(|a| (a.index, Atom::Var(a.index))).collect()
}

fn first_result(site: &Site) -> Var {
    site.sample.results[0]
}

/// The statement list that holds the statement at `path`.
pub(crate) fn region_at<'s>(stmts: &'s mut Vec<Stmt>, path: &[(usize, usize)]) -> &'s mut Vec<Stmt> {
    if path.len() <= 1 {
        return stmts;
    }
    let (i, r) = path[0];
    let mut regions = stmts[i].regions_mut();
    region_at(&mut regions.swap_remove(r).stmts, &path[1..])
}

/// True if what stands at `inner` is in the region of `outer`, after it.
fn encloses(outer: &[(usize, usize)], inner: &[(usize, usize)]) -> bool {
    let n = outer.len() - 1;
    inner.len() > n && inner[..n] == outer[..n] && inner[n].0 > outer[n].0
}

fn stmt_is_tainted(stmt: &Stmt, tainted: &HashSet<Var>) -> bool {
    let mut touched = false;
    stmt.each_atom(&mut |a| touched |= tree::is_tainted(tainted, a));
    touched || stmt.results().iter().any(|r| tainted.contains(r))
}

/// The same in what a strategy made of another site.
pub(crate) fn substitute_form(form: &mut StrategyForm, map: &Substitution) {
    let one = |a: &mut Atom| *a = subst(map, *a);
    substitute(&mut form.stmts, map);
    one(&mut form.constant);
    for call in &mut form.calls {
        call.args.iter_mut().chain(&mut call.primal).chain(&mut call.stopped).for_each(one);
    }
    for after in &mut form.after {
        substitute(&mut after.stmts, map);
        one(&mut after.atom);
    }
}

/// Replaces operands in a list, in place.
pub(crate) fn substitute(stmts: &mut [Stmt], map: &Substitution) {
    for stmt in stmts {
        substitute_stmt(stmt, map);
    }
}

fn substitute_stmt(stmt: &mut Stmt, map: &Substitution) {
    let one = |a: &mut Atom| *a = subst(map, *a);
    let collectors = |cs: &mut Vec<Collector>| {
        for c in cs {
            if let Collector::SumAt { index, .. } = c {
                index.iter_mut().for_each(|a| *a = subst(map, *a));
            }
        }
    };
    match stmt {
        Stmt::Op { args, .. } | Stmt::Array { args, .. } => args.iter_mut().for_each(one),
        Stmt::For(f) => collectors(&mut f.collectors),
        Stmt::Loop(l) => {
            l.carried.iter_mut().for_each(|(_, a)| one(a));
            collectors(&mut l.collectors);
        }
        Stmt::If(i) => one(&mut i.condition),
        Stmt::Contract(c) => {
            one(&mut c.a);
            one(&mut c.b);
        }
        Stmt::Draw(d) => {
            d.args.iter_mut().for_each(one);
            d.index.iter_mut().for_each(|(a, _)| one(a));
            d.mirror.iter_mut().for_each(one);
        }
        Stmt::Sample(s) => {
            s.args.iter_mut().for_each(one);
            s.index.iter_mut().for_each(|(a, _)| one(a));
        }
        Stmt::Check { ok, .. } => one(ok),
        Stmt::Term(a) => one(a),
    }
    for region in stmt.regions_mut() {
        substitute(&mut region.stmts, map);
        region.results.iter_mut().for_each(|a| *a = subst(map, *a));
    }
}

/// True if the value of `atom` is zero whatever its operands are: `x - stop(x)` and multiples and sums of such.
pub(crate) fn value_is_zero(stmts: &[Stmt], atom: Atom) -> bool {
    let mut operations = HashMap::new();
    tree::operations(stmts, &mut operations);
    zero(&operations, atom, 0)
}

fn zero(operations: &HashMap<Var, (Op, Vec<Atom>)>, atom: Atom, depth: usize) -> bool {
    if depth > 64 {
        return false;
    }
    match atom {
        Atom::Real(x) => x == 0.0,
        Atom::Var(v) => match operations.get(&v) {
            Some((Op::Sub, args)) => {
                let stopped = matches!(args[1], Atom::Var(s)
                    if matches!(operations.get(&s), Some((Op::Stop, a)) if a[0] == args[0]));
                stopped || (zero(operations, args[0], depth + 1) && zero(operations, args[1], depth + 1))
            }
            Some((Op::Mul, args)) => args.iter().any(|&a| zero(operations, a, depth + 1)),
            Some((Op::Div | Op::Neg, args)) => zero(operations, args[0], depth + 1),
            Some((Op::Add, args)) => args.iter().all(|&a| zero(operations, a, depth + 1)),
            _ => false,
        },
        Atom::Int(_) | Atom::Bool(_) => false,
    }
}
